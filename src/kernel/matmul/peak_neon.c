#include <arm_neon.h>

#include "kernel/matmul/peak.h"
#include "kernel/matmul/simd.h"

enum { CHAINS = 16, STREAMS = 8 };

static uint64_t int8(uint64_t rounds)
{
    int32x4_t s[CHAINS];
    int8x16_t x = vdupq_n_s8(3);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = vdupq_n_s32(k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = vdotq_s32(s[k], x, x);
            __asm__ volatile("" : "+w"(s[k]));
        }
    }
    return rounds * CHAINS * 16;
}

static uint64_t int16(uint64_t rounds)
{
    int32x4_t s[CHAINS];
    int16x4_t x = vdup_n_s16(3);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = vdupq_n_s32(k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = vmlal_s16(s[k], x, x);
            __asm__ volatile("" : "+w"(s[k]));
        }
    }
    return rounds * CHAINS * 4;
}

static uint64_t f32(uint64_t rounds)
{
    float32x4_t s[CHAINS], x = vdupq_n_f32(0.5f);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = vdupq_n_f32((float)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = vfmaq_f32(x, s[k], x);
            __asm__ volatile("" : "+w"(s[k]));
        }
    }
    return rounds * CHAINS * 4;
}

static uint64_t read(const uint8_t *p, size_t bytes)
{
    uint8x16_t s[STREAMS];
    UNROLL for (int k = 0; k < STREAMS; k++) s[k] = vdupq_n_u8(0);
    for (const uint8_t *end = p + bytes; p < end; p += 16 * STREAMS)
        UNROLL for (int k = 0; k < STREAMS; k++) s[k] = veorq_u8(s[k], vld1q_u8(p + 16 * k));
    for (int k = 1; k < STREAMS; k++) s[0] = veorq_u8(s[0], s[k]);
    return vgetq_lane_u64(vreinterpretq_u64_u8(s[0]), 0);
}

const struct peak_kernels peak_neon = { int8, int16, f32, read };
