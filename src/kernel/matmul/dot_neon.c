/* Few tokens, straight from the file's blocks (NEON with the dot product): one group of 16 columns is one sdot, its integer
 * scale one multiply-add by lane. */
#include "kernel/matmul/neon.h"

INLINE int32x4_t group_dot(int8x16_t code, const struct act_block *a, int j)
{
    return vdotq_s32(vdupq_n_s32(0), code, vld1q_s8(a->q + ACT_GROUP * j));
}

/* sum of c[j] * dot_j; the four lanes are still to be added. */
INLINE int32x4_t weighted(const int8x16_t *code, const struct act_block *a, const int32x4_t *c)
{
    int32x4_t sum = vdupq_n_s32(0);
    UNROLL for (int z = 0; z < 4; z++) {
        sum = vmlaq_laneq_s32(sum, group_dot(code[4 * z], a, 4 * z), c[z], 0);
        sum = vmlaq_laneq_s32(sum, group_dot(code[4 * z + 1], a, 4 * z + 1), c[z], 1);
        sum = vmlaq_laneq_s32(sum, group_dot(code[4 * z + 2], a, 4 * z + 2), c[z], 2);
        sum = vmlaq_laneq_s32(sum, group_dot(code[4 * z + 3], a, 4 * z + 3), c[z], 3);
    }
    return sum;
}

INLINE float q4_k_unit(const uint8_t *w, const int8x16_t *code, const struct act_block *a)
{
    uint64_t scales, mins;
    q4_k_scales(w + 4, &scales, &mins);
    int16x8_t sc = vmovl_s8(bytes8(scales)), mn = vmovl_s8(bytes8(mins));
    int32x4_t lo = vmovl_s16(vget_low_s16(sc)), hi = vmovl_high_s16(sc);
    int32x4_t c[4] = {
        vmulq_s32(vzip1q_s32(lo, lo), vld1q_s32(a->s)), vmulq_s32(vzip2q_s32(lo, lo), vld1q_s32(a->s + 4)),
        vmulq_s32(vzip1q_s32(hi, hi), vld1q_s32(a->s + 8)), vmulq_s32(vzip2q_s32(hi, hi), vld1q_s32(a->s + 12)),
    };
    int16x8_t even = vld1q_s16(a->z.split), odd = vld1q_s16(a->z.split + 8);
    int32x4_t m = vmull_s16(vget_low_s16(mn), vget_low_s16(even));
    m = vmlal_high_s16(m, mn, even);
    m = vmlal_s16(m, vget_low_s16(mn), vget_low_s16(odd));
    m = vmlal_high_s16(m, mn, odd);
    float t = half_at(w) * (float)vaddvq_s32(weighted(code, a, c));
    return fmaf(-half_at(w + 2), (float)vaddvq_s32(m), t);
}

INLINE float q6_k_unit(const uint8_t *w, const int8x16_t *code, const struct act_block *a)
{
    int8x16_t sc = vreinterpretq_s8_u8(vld1q_u8(w + 192));
    int16x8_t lo = vmovl_s8(vget_low_s8(sc)), hi = vmovl_high_s8(sc);
    int32x4_t c[4] = {
        vmulq_s32(vmovl_s16(vget_low_s16(lo)), vld1q_s32(a->s)), vmulq_s32(vmovl_high_s16(lo), vld1q_s32(a->s + 4)),
        vmulq_s32(vmovl_s16(vget_low_s16(hi)), vld1q_s32(a->s + 8)), vmulq_s32(vmovl_high_s16(hi), vld1q_s32(a->s + 12)),
    };
    return half_at(w + 208) * (float)vaddvq_s32(weighted(code, a, c));
}

INLINE float block_unit(const uint8_t *w, const int8x16_t *code, const struct act_block *a, size_t bytes)
{
    int32x4_t p[BLOCKS];
    UNROLL for (int z = 0; z < 4; z++) {
        int32x4_t s = vld1q_s32(a->s + 4 * z);
        p[2 * z] = vmulq_laneq_s32(group_dot(code[4 * z], a, 4 * z), s, 0);
        p[2 * z] = vmlaq_laneq_s32(p[2 * z], group_dot(code[4 * z + 1], a, 4 * z + 1), s, 1);
        p[2 * z + 1] = vmulq_laneq_s32(group_dot(code[4 * z + 2], a, 4 * z + 2), s, 2);
        p[2 * z + 1] = vmlaq_laneq_s32(p[2 * z + 1], group_dot(code[4 * z + 3], a, 4 * z + 3), s, 3);
    }
    float f[BLOCKS];
    vst1q_f32(f, vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(p[0], p[1]), vpaddq_s32(p[2], p[3]))));
    vst1q_f32(f + 4, vcvtq_f32_s32(vpaddq_s32(vpaddq_s32(p[4], p[5]), vpaddq_s32(p[6], p[7]))));
    float t = half_at(w) * f[0];
    UNROLL for (size_t i = 1; i < BLOCKS; i++) t = fmaf(half_at(w + bytes * i), f[i], t);
    return t;
}

INLINE void row_dot(const struct matmul_job *j, size_t r, size_t t0, int nt, enum dtype type)
{
    const struct matmul *m = j->m;
    const size_t bytes = type == DT_Q4_K ? Q4_K_BYTES : type == DT_Q6_K ? Q6_K_BYTES :
                         type == DT_Q8_0 ? BLOCKS * Q8_0_BYTES : BLOCKS * Q4_0_BYTES;
    const size_t whole = m->K / ACT_COLS, n = (m->K + ACT_COLS - 1) / ACT_COLS;
    const uint8_t *w = m->w + r * m->row_bytes;
    const struct act_block *a[2];
    uint8_t tail[TAIL_BYTES];
    float acc[2] = { 0 };
    if (n > whole) row_tail(tail, w, m->row_bytes, whole * bytes, bytes);
    UNROLL for (int t = 0; t < nt; t++) a[t] = job_in(j, t0 + (size_t)t);
    for (size_t s = 0; s < n; s++, w += bytes) {
        const uint8_t *p = s < whole ? w : tail;
        int8x16_t code[ACT_GROUPS];
        if (type == DT_Q4_K) codes_q4_k(p, code);
        else if (type == DT_Q6_K) codes_q6_k(p, code);
        else if (type == DT_Q8_0) codes_q8_0(p, code);
        else codes_q4_0(p, code);
        UNROLL for (int t = 0; t < nt; t++) {
            float v = type == DT_Q4_K ? q4_k_unit(p, code, a[t] + s) : type == DT_Q6_K ? q6_k_unit(p, code, a[t] + s) :
                      block_unit(p, code, a[t] + s, bytes / BLOCKS);
            acc[t] = fmaf(a[t][s].d, v, acc[t]);
        }
    }
    UNROLL for (int t = 0; t < nt; t++) job_out(j, t0 + (size_t)t)[r] = acc[t];
}

#define DOT_KERNEL(name, type)                                                                           \
    static void name##_1(const struct matmul_job *j, size_t r, size_t t) { row_dot(j, r, t, 1, type); }  \
    static void name##_2(const struct matmul_job *j, size_t r, size_t t) { row_dot(j, r, t, 2, type); }  \
    void dot_##name##_neon(const struct matmul_job *j, size_t r0, size_t r1)                             \
    {                                                                                                    \
        dot_rows(j, r0, r1, name##_1, name##_2);                                                         \
    }

DOT_KERNEL(q8_0, DT_Q8_0)
DOT_KERNEL(q4_0, DT_Q4_0)
DOT_KERNEL(q4_k, DT_Q4_K)
DOT_KERNEL(q6_k, DT_Q6_K)
