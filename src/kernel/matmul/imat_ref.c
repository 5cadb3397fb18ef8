/* The integer matrix products, one number after the other: the definition (see act.h). */
#include <math.h>
#include <string.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/kernel.h"
#include "quant/quant.h"

static float scale_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return f16_to_f32(h);
}

/* The integer value of 32 columns: two groups with their scales. */
static int32_t groups(const int8_t *code, const struct act_block *a, size_t block)
{
    int32_t sum = 0;
    for (size_t j = 2 * block; j < 2 * block + 2; j++) {
        int32_t dot = 0;
        for (size_t i = 0; i < ACT_GROUP; i++) dot += code[(j - 2 * block) * ACT_GROUP + i] * a->q[j * ACT_GROUP + i];
        sum += a->s[j] * dot;
    }
    return sum;
}

typedef void unpack32_fn(const uint8_t *w, int8_t *code);

static void unpack_q8_0(const uint8_t *w, int8_t *code)
{
    memcpy(code, w + 2, 32);
}

static void unpack_q4_0(const uint8_t *w, int8_t *code)
{
    for (size_t l = 0; l < 16; l++) {
        code[l] = (int8_t)((w[2 + l] & 15) - 8);
        code[l + 16] = (int8_t)((w[2 + l] >> 4) - 8);
    }
}

static float dot32(const uint8_t *w, const struct act_block *a, size_t K, size_t block_bytes, unpack32_fn *unpack)
{
    float acc = 0.0f;
    for (size_t k = 0; k < K; a++) {
        float d[8] = { 0 }, f[8] = { 0 };
        for (size_t i = 0; i < 8 && k < K; i++, k += 32, w += block_bytes) {
            int8_t code[32];
            unpack(w, code);
            d[i] = scale_at(w);
            f[i] = (float)groups(code, a, i);
        }
        float t = d[0] * f[0];
        for (size_t i = 1; i < 8; i++) t = fmaf(d[i], f[i], t);
        acc = fmaf(a->d, t, acc);
    }
    return acc;
}

static float dot_q8_0(const uint8_t *w, const struct act_block *a, size_t K)
{
    return dot32(w, a, K, 34, unpack_q8_0);
}

static float dot_q4_0(const uint8_t *w, const struct act_block *a, size_t K)
{
    return dot32(w, a, K, 18, unpack_q4_0);
}

static void q4_k_scale(const uint8_t *sc, size_t j, int32_t *scale, int32_t *min)
{
    if (j < 4) {
        *scale = sc[j] & 63;
        *min = sc[j + 4] & 63;
    } else {
        *scale = (sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4;
        *min = (sc[j + 4] >> 4) | (sc[j] >> 6) << 4;
    }
}

static float dot_q4_k(const uint8_t *w, const struct act_block *a, size_t K)
{
    float acc = 0.0f;
    for (; K; K -= 256, w += 144, a++) {
        int32_t isum = 0, msum = 0;
        for (size_t j = 0; j < 8; j++) {
            const uint8_t *qs = w + 16 + j / 2 * 32;
            int8_t code[32];
            int32_t scale, min;
            for (size_t l = 0; l < 32; l++) code[l] = (int8_t)(j % 2 ? qs[l] >> 4 : qs[l] & 15);
            q4_k_scale(w + 4, j, &scale, &min);
            isum += scale * groups(code, a, j);
            msum += min * (a->z.split[j] + a->z.split[j + 8]);
        }
        float t = scale_at(w) * (float)isum;
        t = fmaf(-scale_at(w + 2), (float)msum, t);
        acc = fmaf(a->d, t, acc);
    }
    return acc;
}

static float dot_q6_k(const uint8_t *w, const struct act_block *a, size_t K)
{
    float acc = 0.0f;
    for (; K; K -= 256, w += 210, a++) {
        int32_t isum = 0;
        for (size_t j = 0; j < ACT_GROUPS; j++) {
            int8_t scale;
            int32_t dot = 0;
            memcpy(&scale, w + 192 + j, 1);
            for (size_t i = 0; i < ACT_GROUP; i++) {
                size_t c = j * ACT_GROUP + i, half = c / 128, row = c % 128 / 32, l = c % 32;
                uint8_t lo = w[64 * half + row % 2 * 32 + l], hi = w[128 + 32 * half + l];
                int32_t code = (row < 2 ? lo & 15 : lo >> 4) | (hi >> (2 * row) & 3) << 4;
                dot += (code - 32) * a->q[c];
            }
            isum += scale * a->s[j] * dot;
        }
        acc = fmaf(a->d, scale_at(w + 208) * (float)isum, acc);
    }
    return acc;
}

typedef float dot_fn(const uint8_t *w, const struct act_block *a, size_t K);

static inline void rows(const struct matmul_job *j, size_t r0, size_t r1, dot_fn *dot)
{
    const struct matmul *m = j->m;
    for (size_t r = r0; r < r1; r++)
        for (size_t t = 0; t < j->T; t++) job_out(j, t)[r] = dot(m->w + r * m->row_bytes, job_in(j, t), m->K);
}

static void rows_q8_0(const struct matmul_job *j, size_t r0, size_t r1) { rows(j, r0, r1, dot_q8_0); }
static void rows_q4_0(const struct matmul_job *j, size_t r0, size_t r1) { rows(j, r0, r1, dot_q4_0); }
static void rows_q4_k(const struct matmul_job *j, size_t r0, size_t r1) { rows(j, r0, r1, dot_q4_k); }
static void rows_q6_k(const struct matmul_job *j, size_t r0, size_t r1) { rows(j, r0, r1, dot_q6_k); }

const struct matmul_kernel matmul_q8_0_ref = { ACT_Q32, NULL, rows_q8_0 };
const struct matmul_kernel matmul_q4_0_ref = { ACT_Q32, NULL, rows_q4_0 };
const struct matmul_kernel matmul_q4_k_ref = { ACT_Q256, NULL, rows_q4_k };
const struct matmul_kernel matmul_q6_k_ref = { ACT_Q256, NULL, rows_q6_k };
