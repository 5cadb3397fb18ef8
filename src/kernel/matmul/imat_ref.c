/* The integer matrix products, one number after the other: the definition (see act.h). */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "kernel/matmul/rows.h"
#include "quant/codes.h"
#include "quant/split_codes.h"

static int32_t group_dot(const struct weight_codes *w, const struct act_block *a, size_t j)
{
    int32_t dot = 0;
    for (size_t i = j * ACT_GROUP; i < (j + 1) * ACT_GROUP; i++) dot += w->code[i] * a->q[i];
    return a->s[j] * dot;
}

static int32_t group_sum(const struct act_block *a, size_t j)
{
    int32_t sum = 0;
    for (size_t i = j * ACT_GROUP; i < (j + 1) * ACT_GROUP; i++) sum += a->q[i];
    return a->s[j] * sum;
}

static float fine_value(const struct weight_codes *w, const struct act_block *a)
{
    float t = 0.0f;
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        float f = (float)group_dot(w, a, j);
        t = j ? fmaf(w->scale[j], f, t) : w->scale[j] * f;
    }
    return t;
}

static float block_value(const struct weight_codes *w, const struct act_block *a, bool add)
{
    float t = 0.0f;
    for (size_t i = 0; i < BLOCKS; i++) {
        float f = (float)(group_dot(w, a, 2 * i) + group_dot(w, a, 2 * i + 1));
        t = i ? fmaf(w->scale[i], f, t) : w->scale[i] * f;
    }
    for (size_t i = 0; add && i < BLOCKS; i++)
        t = fmaf(w->add[i], (float)(group_sum(a, 2 * i) + group_sum(a, 2 * i + 1)), t);
    return t;
}

static float super_value(const struct weight_codes *w, const struct act_block *a, bool min)
{
    int32_t isum = 0, msum = 0;
    for (size_t j = 0; j < ACT_GROUPS; j++) isum += w->sc[j] * group_dot(w, a, j);
    for (size_t j = 0; min && j < ACT_GROUPS; j++) msum += w->mn[j] * group_sum(a, j);
    float t = w->d * (float)isum;
    return min ? fmaf(-w->dmin, (float)msum, t) : t;
}

static float value_of(const struct weight_codes *w, const struct act_block *a, enum family family)
{
    if (family == FINE) return fine_value(w, a);
    if (family <= BLOCK_ADD) return block_value(w, a, family == BLOCK_ADD);
    return super_value(w, a, family == SUPER_MIN);
}

static void row_dot(const struct matmul_job *j, size_t r, codes_fn *codes, size_t bytes, enum family family)
{
    enum { TOKENS = 64 };
    const struct matmul *m = j->m;
    const size_t whole = m->K / ACT_COLS, n = (m->K + ACT_COLS - 1) / ACT_COLS;
    const uint8_t *row = m->w + r * m->row_bytes;
    uint8_t tail[TAIL_BYTES];
    if (n > whole) row_tail(tail, row, m->row_bytes, whole * bytes, bytes);
    for (size_t t0 = 0; t0 < j->T; t0 += TOKENS) {
        size_t T = j->T - t0 < TOKENS ? j->T - t0 : TOKENS;
        float acc[TOKENS] = { 0 };
        for (size_t s = 0; s < n; s++) {
            struct weight_codes w;
            codes(s < whole ? row + s * bytes : tail, &w);
            for (size_t t = 0; t < T; t++) {
                const struct act_block *a = (const struct act_block *)job_in(j, t0 + t) + s;
                acc[t] = fmaf(a->d, value_of(&w, a, family), acc[t]);
            }
        }
        for (size_t t = 0; t < T; t++) job_out(j, t0 + t)[r] = acc[t];
    }
}

#define INT_TYPE(name, type, bytes, family, top, offset)                                              \
    static void rows_##name(const struct matmul_job *j, size_t r0, size_t r1)                   \
    {                                                                                           \
        for (size_t r = r0; r < r1; r++) row_dot(j, r, codes_##name, bytes, family);            \
    }                                                                                           \
    const struct matmul_kernel matmul_##name##_ref = { FAMILY_FORM(family), NULL, rows_##name };
#include "kernel/matmul/int_types.inc"
INT_TYPE(q8_0, DT_Q8_0, BLOCKS * Q8_0_BYTES, BLOCK, 127, 0)
INT_TYPE(q4_0, DT_Q4_0, BLOCKS * Q4_0_BYTES, BLOCK, 15, 8)
INT_TYPE(q4_k, DT_Q4_K, Q4_K_BYTES, SUPER_MIN, 15, 0)
INT_TYPE(q6_k, DT_Q6_K, Q6_K_BYTES, SUPER, 63, 32)

/* Codes and scales that lie apart. */
static void split_row(const struct matmul_job *j, size_t r, split_rows_fn *codes, enum family family)
{
    for (size_t t = 0; t < j->T; t++) job_out(j, t)[r] = 0;
    for (size_t s = 0; s * ACT_COLS < j->m->K; s++) {
        struct weight_codes w[8];
        codes(split_of(j->m), r, s, w);
        for (size_t t = 0; t < j->T; t++) {
            const struct act_block *a = (const struct act_block *)job_in(j, t) + s;
            float *y = &job_out(j, t)[r];
            *y = fmaf(a->d, value_of(w, a, family), *y);
        }
    }
}

#define SPLIT_KERNEL(name, family)                                                                      \
    static void rows_##name(const struct matmul_job *j, size_t r0, size_t r1)                           \
    {                                                                                                   \
        for (size_t r = r0; r < r1; r++) split_row(j, r, read_##name, family);                          \
    }                                                                                                   \
    const struct matmul_kernel matmul_##name##_ref = { FAMILY_FORM(family), NULL, rows_##name };
/* One row of the eight that a reader gives. */
#define SPLIT_INT(name, type, family, top, offset)                                                      \
    static void read_##name(const struct split *s, size_t r, size_t k, struct weight_codes *o)          \
    {                                                                                                   \
        split_codes_##name(s, r, k, o);                                                                 \
    }                                                                                                   \
    SPLIT_KERNEL(name, family)
#define SPLIT_COLUMNS SPLIT_INT
#define split_codes_awq4  split_rows_columns
#define split_codes_gptq4 split_rows_columns
#define split_codes_gptq8 split_rows_columns
#include "kernel/matmul/split_ints.inc"
