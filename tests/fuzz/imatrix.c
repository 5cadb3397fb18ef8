/* Fuzz target: importance matrices.  Whatever the bytes are, they are refused with a message or give finite values. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "quant/imatrix.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct imatrix *m;
    struct err err = { 0 };
    int rc = imatrix_parse(&m, data, n, "input", &err);
    if (rc < 0 && (m || err.code != rc || strncmp(err.msg, "input: ", 7) != 0)) abort();
    for (size_t i = 0; rc == 0 && i < imatrix_n(m); i++) {
        const struct imatrix_entry *e = imatrix_at(m, i);
        if (imatrix_find(m, e->name) != e) abort();
        for (uint64_t k = 0; k < e->n; k++)
            if (!(e->value[k] >= 0 && e->value[k] - e->value[k] == 0)) abort();
    }
    imatrix_close(m);
    return 0;
}
