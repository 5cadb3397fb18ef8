/* Fuzz target: the safetensors reader.  Whatever the bytes are, it refuses them with a message or offers only what is there. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct safetensors *s;
    struct err err = { 0 };
    int rc = safetensors_parse(&s, data, n, "input", &err);
    if (rc < 0 && (s || err.code != rc || strncmp(err.msg, "input: ", 7) != 0)) abort();
    uint64_t sum = 0;
    for (size_t i = 0; rc == 0 && i < safetensors_n(s); i++) {
        const struct st_tensor *t = safetensors_at(s, i);
        if (safetensors_find(s, t->name) != t || t->data < data || t->bytes > n || t->data > data + n - t->bytes) abort();
        sum += t->bytes;
    }
    uint64_t bytes = 0;
    if (rc == 0 && (safetensors_data(s, 0, &bytes), bytes != sum)) abort();
    safetensors_close(s);
    return 0;
}
