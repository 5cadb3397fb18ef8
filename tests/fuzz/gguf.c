/* Fuzz target: the GGUF reader.  Whatever the bytes are, it refuses them with a message or offers only what is there. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "tests/gguf_walk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct gguf *g;
    struct err err = { 0 };
    int rc = gguf_parse(&g, data, n, "input", &err);
    if (rc < 0 && (g || err.code != rc || strncmp(err.msg, "input: ", 7) != 0)) abort();
    if (rc == 0 && !gguf_walk(g)) abort();
    gguf_close(g);
    return 0;
}
