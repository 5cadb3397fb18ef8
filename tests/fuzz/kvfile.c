/* Fuzz target: files of keys and values.  Whatever the bytes are, they are refused with a message or all parts lie inside. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "engine/kvfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct kvfile f;
    struct err err = { 0 };
    int rc = kvfile_parse(&f, data, n, "input", &err);
    if (rc < 0 && (err.code != rc || strncmp(err.msg, "input: ", 7) != 0)) abort();
    if (rc < 0) return 0;
    if (f.end + 8 != data + n || f.pages > f.end || f.ids < data || f.ids + 4 * (size_t)f.head.n > f.pages) abort();
    uint32_t sum = 0;
    for (uint32_t i = 0; i < f.head.n; i++) sum += (uint32_t)kvfile_id(&f, i);
    for (const uint8_t *p = f.pages; p < f.end; p++) sum += *p;
    (void)kvfile_sum_is_right(&f, data);
    return sum == 0x12345678;
}
