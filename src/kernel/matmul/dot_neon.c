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
    int16x8_t even = vld1q_s16(a->split), odd = vld1q_s16(a->split + 8);
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

INLINE float super_unit(const struct weight_codes *w, const int8x16_t *code, const struct act_block *a, bool min)
{
    int32x4_t c[4], m = vdupq_n_s32(0);
    UNROLL for (int z = 0; z < 4; z++) {
        c[z] = vmulq_s32(vmovl_s16(vld1_s16(w->sc + 4 * z)), vld1q_s32(a->s + 4 * z));
        if (min) m = vmlal_s16(m, vld1_s16(w->mn + 4 * z), vld1_s16(a->z.z16 + 4 * z));
    }
    float t = w->d * (float)vaddvq_s32(weighted(code, a, c));
    return min ? fmaf(-w->dmin, (float)vaddvq_s32(m), t) : t;
}

INLINE float block_unit(const float *scale, const int8x16_t *code, const struct act_block *a)
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
    float t = scale[0] * f[0];
    UNROLL for (size_t i = 1; i < BLOCKS; i++) t = fmaf(scale[i], f[i], t);
    return t;
}

INLINE float fine_unit(const struct weight_codes *w, const int8x16_t *code, const struct act_block *a)
{
    float t = 0;
    UNROLL for (int z = 0; z < 4; z++) {
        int32x4_t lo = vpaddq_s32(group_dot(code[4 * z], a, 4 * z), group_dot(code[4 * z + 1], a, 4 * z + 1));
        int32x4_t hi = vpaddq_s32(group_dot(code[4 * z + 2], a, 4 * z + 2), group_dot(code[4 * z + 3], a, 4 * z + 3));
        float f[4];
        vst1q_f32(f, vcvtq_f32_s32(vmulq_s32(vpaddq_s32(lo, hi), vld1q_s32(a->s + 4 * z))));
        UNROLL for (int i = 0; i < 4; i++) t = z || i ? fmaf(w->scale[4 * z + i], f[i], t) : w->scale[0] * f[0];
    }
    return t;
}

INLINE float codes_unit(const struct weight_codes *w, const int8x16_t *code, const struct act_block *a, enum family family)
{
    if (family == FINE) return fine_unit(w, code, a);
    if (family >= SUPER) return super_unit(w, code, a, family == SUPER_MIN);
    float t = block_unit(w->scale, code, a);
    for (size_t i = 0; family == BLOCK_ADD && i < BLOCKS; i++) t = fmaf(w->add[i], (float)a->z.pair[i], t);
    return t;
}

INLINE float q8_0_unit(const uint8_t *w, const int8x16_t *code, const struct act_block *a)
{
    float scale[BLOCKS];
    UNROLL for (size_t i = 0; i < BLOCKS; i++) scale[i] = half_at(w + Q8_0_BYTES * i);
    return block_unit(scale, code, a);
}

INLINE float q4_0_unit(const uint8_t *w, const int8x16_t *code, const struct act_block *a)
{
    float scale[BLOCKS];
    UNROLL for (size_t i = 0; i < BLOCKS; i++) scale[i] = half_at(w + Q4_0_BYTES * i);
    return block_unit(scale, code, a);
}

/* read and unit: how a super-block's codes are read and multiplied. */
#define ROW_DOT(name, bytes, read, unit)                                                                    \
    INLINE void row_##name(const struct matmul_job *j, size_t r, size_t t0, int nt)                         \
    {                                                                                                       \
        const struct matmul *m = j->m;                                                                      \
        const size_t whole = m->K / ACT_COLS, n = (m->K + ACT_COLS - 1) / ACT_COLS;                         \
        const struct split *of = split_of(m);                                                               \
        const uint8_t *w = m->w + r * m->row_bytes;                                                         \
        const struct act_block *a[2];                                                                       \
        uint8_t tail[TAIL_BYTES];                                                                           \
        float acc[2] = { 0 };                                                                               \
        if (n > whole) row_tail(tail, w, m->row_bytes, whole * (bytes), bytes);                             \
        UNROLL for (int t = 0; t < nt; t++) a[t] = job_in(j, t0 + (size_t)t);                               \
        for (size_t s = 0; s < n; s++, w += (bytes)) {                                                      \
            const uint8_t *p = s < whole ? w : tail;                                                        \
            int8x16_t code[ACT_GROUPS];                                                                     \
            struct weight_codes c;                                                                          \
            (void)c, (void)of, (void)p;                                                                     \
            read;                                                                                           \
            UNROLL for (int t = 0; t < nt; t++) {                                                           \
                const struct act_block *x = a[t] + s;                                                       \
                acc[t] = fmaf(x->d, unit, acc[t]);                                                          \
            }                                                                                               \
        }                                                                                                   \
        UNROLL for (int t = 0; t < nt; t++) job_out(j, t0 + (size_t)t)[r] = acc[t];                         \
    }                                                                                                       \
    static void name##_1(const struct matmul_job *j, size_t r0, size_t r1, size_t t)                        \
    {                                                                                                       \
        for (size_t r = r0; r < r1; r++) row_##name(j, r, t, 1);                                            \
    }                                                                                                       \
    static void name##_2(const struct matmul_job *j, size_t r0, size_t r1, size_t t)                        \
    {                                                                                                       \
        for (size_t r = r0; r < r1; r++) row_##name(j, r, t, 2);                                            \
    }                                                                                                       \
    void dot_##name##_neon(const struct matmul_job *j, size_t r0, size_t r1)                                \
    {                                                                                                       \
        dot_rows(j, r0, r1, name##_1, name##_2);                                                            \
    }

INLINE void load_codes(const struct weight_codes *w, int8x16_t *code)
{
    UNROLL for (int i = 0; i < ACT_GROUPS; i++) code[i] = vld1q_s8(w->code + ACT_GROUP * i);
}

ROW_DOT(q8_0, BLOCKS * Q8_0_BYTES, neon_q8_0(p, code), q8_0_unit(p, code, x))
ROW_DOT(q4_0, BLOCKS * Q4_0_BYTES, neon_q4_0(p, code), q4_0_unit(p, code, x))
ROW_DOT(q4_k, Q4_K_BYTES, neon_q4_k(p, code), q4_k_unit(p, code, x))
ROW_DOT(q6_k, Q6_K_BYTES, neon_q6_k(p, code), q6_k_unit(p, code, x))
#define INT_TYPE(name, type, bytes, family, top, offset) \
    ROW_DOT(name, bytes, codes_##name(p, &c); load_codes(&c, code), codes_unit(&c, code, x, family))
#include "kernel/matmul/int_types.inc"
#define SPLIT_INT(name, type, family, top, offset) \
    ROW_DOT(name, 0, split_codes_##name(of, r, s, &c); load_codes(&c, code), codes_unit(&c, code, x, family))
#define SPLIT_COLUMNS(...)
#include "kernel/matmul/split_ints.inc"
