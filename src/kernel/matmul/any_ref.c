/* Every type: unpack a row, multiply in float.
 * Order: 16 lanes (lane = column mod 16), fused multiply-add in column order, lanes added as a tree (i with i+8, +4, +2, +1). */
#include <math.h>

#include "kernel/matmul/kernel.h"
#include "quant/quant.h"

static float dot(const float *a, const float *b, size_t n)
{
    float s[16] = { 0 };
    for (size_t i = 0; i < n; i++) s[i % 16] = fmaf(a[i], b[i], s[i % 16]);
    for (size_t w = 8; w; w /= 2)
        for (size_t i = 0; i < w; i++) s[i] += s[i + w];
    return s[0];
}

static size_t scratch(const struct matmul *m, size_t T)
{
    (void)T;
    return (m->K * sizeof(float) + 63) / 64 * 64;
}

static void rows(const struct matmul_job *j, size_t r0, size_t r1)
{
    const struct matmul *m = j->m;
    unpack_fn *unpack = quant_unpack(m->type);
    for (size_t r = r0; r < r1; r++) {
        unpack(m->w + r * m->row_bytes, j->scratch, m->K);
        for (size_t t = 0; t < j->T; t++) job_out(j, t)[r] = dot(j->scratch, job_in(j, t), m->K);
    }
}

const struct matmul_kernel matmul_any_ref = { ACT_F32, scratch, rows };
