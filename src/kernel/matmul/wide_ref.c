/* Float weights in integers, one number after the other: the definition (see wide.h). */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/matmul/wide.h"
#include "quant/quant.h"
#include "quant/split_codes.h"

/* e of a group, and its codes.  More than WIDE_MOST: zeros. */
static int group_codes(const float *v, int least, int16_t *q)
{
    float top = 0.0f;
    bool finite = true;
    for (size_t i = 0; i < WIDE_GROUP; i++) {
        finite &= isfinite(v[i]) != 0;
        top = fmaxf(top, fabsf(v[i]));
    }
    int e = top > 0.0f && finite ? ilogbf(top) : least;
    if (e < least) e = least;
    if (!finite || e > WIDE_MOST) {
        memset(q, 0, WIDE_GROUP * sizeof *q);
        return least;
    }
    for (size_t i = 0; i < WIDE_GROUP; i++) q[i] = (int16_t)lrintf(ldexpf(v[i], WIDE_BITS - e));
    return e;
}

static void widen(const float *v, int least, struct act_wide *out)
{
    for (size_t g = 0; g < WIDE_GROUPS; g++) {
        int e = group_codes(v + g * WIDE_GROUP, least, out->q + g * WIDE_GROUP);
        out->d[g] = ldexpf(1.0f, e - WIDE_BITS);
        out->e[g] = (e - WIDE_BITS) * (1 << 23);
    }
}

static float tame(float x)
{
    return isnan(x) ? 0.0f : fmaxf(-WIDE_TOP, fminf(WIDE_TOP, x));
}

void wide_pack_ref(const float *x, struct act_wide *out, size_t K)
{
    for (size_t k = 0; k < K; k += ACT_COLS, out++) {
        float v[ACT_COLS] = { 0 };
        for (size_t i = 0; i < ACT_COLS && k + i < K; i++) v[i] = tame(x[k + i]);
        widen(v, WIDE_LEAST, out);
    }
}

static float value(const struct act_wide *w, const struct act_wide *a)
{
    float t = 0.0f;
    for (size_t g = 0; g < WIDE_GROUPS; g++) {
        int32_t sum = 0;
        for (size_t i = g * WIDE_GROUP; i < (g + 1) * WIDE_GROUP; i++) sum += w->q[i] * a->q[i];
        float d = w->d[g] * a->d[g];
        t = g ? fmaf(d, (float)sum, t) : d * (float)sum;
    }
    return t;
}

static void row(const struct matmul_job *j, size_t r)
{
    const struct matmul *m = j->m;
    const uint8_t *at = m->w + r * m->row_bytes;
    for (size_t t = 0; t < j->T; t++) job_out(j, t)[r] = 0.0f;
    for (size_t k = 0, s = 0; k < m->K; k += ACT_COLS, s++, at += WIDE_BYTES) {
        float v[ACT_COLS] = { 0 };
        struct act_wide w;
        quant_unpack(m->type)(at, v, m->K - k < ACT_COLS ? m->K - k : ACT_COLS);
        widen(v, WIDE_LEAST, &w);
        for (size_t t = 0; t < j->T; t++) {
            float *y = &job_out(j, t)[r];
            *y = *y + value(&w, (const struct act_wide *)job_in(j, t) + s);
        }
    }
}

static void rows(const struct matmul_job *j, size_t r0, size_t r1)
{
    for (size_t r = r0; r < r1; r++) row(j, r);
}

static void split_row(const struct matmul_job *j, size_t r)
{
    for (size_t t = 0; t < j->T; t++) job_out(j, t)[r] = 0.0f;
    for (size_t s = 0; s * ACT_COLS < j->m->K; s++) {
        uint16_t half[ACT_COLS];
        float scale[WIDE_GROUPS], v[ACT_COLS];
        struct act_wide w;
        split_halves(split_of(j->m), r, s, half, scale);
        for (size_t i = 0; i < ACT_COLS; i++) v[i] = f16_to_f32(half[i]);
        widen(v, -14, &w);
        for (size_t g = 0; g < WIDE_GROUPS; g++) w.d[g] *= scale[g];
        for (size_t t = 0; t < j->T; t++) {
            float *y = &job_out(j, t)[r];
            *y = *y + value(&w, (const struct act_wide *)job_in(j, t) + s);
        }
    }
}

static void split_rows(const struct matmul_job *j, size_t r0, size_t r1)
{
    for (size_t r = r0; r < r1; r++) split_row(j, r);
}

const struct matmul_kernel matmul_f8_ref = { ACT_Q16, NULL, split_rows };
const struct matmul_kernel matmul_f16_ref = { ACT_Q16, NULL, rows };
const struct matmul_kernel matmul_bf16_ref = { ACT_Q16, NULL, rows };
