#include <arm_neon.h>

#include "kernel/matmul/peak.h"
#include "kernel/matmul/simd.h"

enum { CHAINS = 16 };

uint64_t peak_neon(uint64_t rounds)
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
