/* rows.h - how the dot kernels walk rows and tokens; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_ROWS_H
#define HEARTH_KERNEL_MATMUL_ROWS_H

#include <string.h>

#include "kernel/matmul/kernel.h"

/* Row r against 1, 2 or 4 tokens from t. */
typedef void dot_fn(const struct matmul_job *j, size_t r, size_t t);

/* Each row is read once from memory; the second group of four tokens finds it in the cache. */
static inline void dot_rows(const struct matmul_job *j, size_t r0, size_t r1, dot_fn *one, dot_fn *two, dot_fn *four)
{
    for (size_t r = r0; r < r1; r++) {
        size_t t = 0;
        for (; j->T - t >= 4; t += 4) four(j, r, t);
        if (j->T - t >= 2) {
            two(j, r, t);
            t += 2;
        }
        if (t < j->T) one(j, r, t);
    }
}

/* The last, shorter super-block of a row, filled up with blocks of zeros. */
static inline void row_tail(uint8_t *tail, const uint8_t *row, size_t row_bytes, size_t from, size_t n)
{
    size_t have = row_bytes - from;
    memcpy(tail, row + from, have);
    memset(tail + have, 0, n - have);
}

#endif
