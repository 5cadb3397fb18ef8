/* neon.h - blocks as signed codes, for the NEON kernels; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_NEON_H
#define HEARTH_KERNEL_MATMUL_NEON_H

#include <arm_neon.h>
#include <math.h>
#include <stdbool.h>

#include "kernel/matmul/dot.h"
#include "kernel/matmul/rows.h"

static inline float neon_half(uint16_t bits)
{
    __fp16 h;
    memcpy(&h, &bits, sizeof h);
    return (float)h;
}
#define CODES_F16(half) neon_half(half)

#include "quant/codes.h"
#include "quant/split_codes.h"

/* The 6-bit scales and minimums of Q4_K: eight bytes each, byte j for sub-block j. */
INLINE void q4_k_scales(const uint8_t *p, uint64_t *scales, uint64_t *mins)
{
    uint32_t a = load32(p), b = load32(p + 4), c = load32(p + 8);
    *scales = (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030)) << 32;
    *mins = (b & 0x3f3f3f3f) | (uint64_t)(((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030)) << 32;
}

INLINE float half_at(const uint8_t *p)
{
    return neon_half(load16(p));
}

/* Each fills code[16]: the groups of one super-block in column order. */
INLINE void neon_q4_k(const uint8_t *w, int8x16_t *code)
{
    const uint8x16_t low = vdupq_n_u8(15);
    UNROLL for (int g = 0; g < 4; g++) {
        uint8x16_t a = vld1q_u8(w + 16 + 32 * g), b = vld1q_u8(w + 32 + 32 * g);
        code[4 * g] = vreinterpretq_s8_u8(vandq_u8(a, low));
        code[4 * g + 1] = vreinterpretq_s8_u8(vandq_u8(b, low));
        code[4 * g + 2] = vreinterpretq_s8_u8(vshrq_n_u8(a, 4));
        code[4 * g + 3] = vreinterpretq_s8_u8(vshrq_n_u8(b, 4));
    }
}

INLINE int8x16_t minus(uint8x16_t v, int8_t n)
{
    return vsubq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(n));
}

INLINE void neon_q6_k(const uint8_t *w, int8x16_t *code)
{
    const uint8x16_t low = vdupq_n_u8(15), high = vdupq_n_u8(0x30);
    UNROLL for (int half = 0; half < 2; half++) {
        UNROLL for (int p = 0; p < 2; p++) {
            uint8x16_t a = vld1q_u8(w + 64 * half + 16 * p), b = vld1q_u8(w + 64 * half + 32 + 16 * p);
            uint8x16_t h = vld1q_u8(w + 128 + 32 * half + 16 * p);
            int8x16_t *c = code + 8 * half + p;
            c[0] = minus(vorrq_u8(vandq_u8(a, low), vandq_u8(vshlq_n_u8(h, 4), high)), 32);
            c[2] = minus(vorrq_u8(vandq_u8(b, low), vandq_u8(vshlq_n_u8(h, 2), high)), 32);
            c[4] = minus(vorrq_u8(vshrq_n_u8(a, 4), vandq_u8(h, high)), 32);
            c[6] = minus(vorrq_u8(vshrq_n_u8(b, 4), vandq_u8(vshrq_n_u8(h, 2), high)), 32);
        }
    }
}

INLINE void neon_q8_0(const uint8_t *w, int8x16_t *code)
{
    UNROLL for (int b = 0; b < BLOCKS; b++) {
        code[2 * b] = vreinterpretq_s8_u8(vld1q_u8(w + Q8_0_BYTES * b + 2));
        code[2 * b + 1] = vreinterpretq_s8_u8(vld1q_u8(w + Q8_0_BYTES * b + 18));
    }
}

INLINE void neon_q4_0(const uint8_t *w, int8x16_t *code)
{
    UNROLL for (int b = 0; b < BLOCKS; b++) {
        uint8x16_t v = vld1q_u8(w + Q4_0_BYTES * b + 2);
        code[2 * b] = minus(vandq_u8(v, vdupq_n_u8(15)), 8);
        code[2 * b + 1] = minus(vshrq_n_u8(v, 4), 8);
    }
}

/* The same eight bytes of two registers. */
INLINE int8x16_t low_halves(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s64(vtrn1q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

INLINE int8x16_t high_halves(int8x16_t a, int8x16_t b)
{
    return vreinterpretq_s8_s64(vtrn2q_s64(vreinterpretq_s64_s8(a), vreinterpretq_s64_s8(b)));
}

INLINE int8x8_t bytes8(uint64_t v)
{
    return vreinterpret_s8_u64(vcreate_u64(v));
}

#endif
