/* simd.h - what the integer kernels share; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_SIMD_H
#define HEARTH_KERNEL_MATMUL_SIMD_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "quant/block.h"

/* Loops over a constant number of tokens must become straight code, or their registers become memory. */
#if defined(__clang__)
#define UNROLL _Pragma("unroll")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif
#define INLINE static inline __attribute__((always_inline))

enum { Q8_0_BYTES = 34, Q4_0_BYTES = 18, Q4_K_BYTES = 144, Q6_K_BYTES = 210, BLOCKS = 8 };

/* The 6-bit scales and minimums of Q4_K: eight bytes each, byte j for sub-block j. */
INLINE void q4_k_scales(const uint8_t *p, uint64_t *scales, uint64_t *mins)
{
    uint32_t a = load32(p), b = load32(p + 4), c = load32(p + 8);
    *scales = (a & 0x3f3f3f3f) | (uint64_t)((c & 0x0f0f0f0f) | ((a >> 2) & 0x30303030)) << 32;
    *mins = (b & 0x3f3f3f3f) | (uint64_t)(((c >> 4) & 0x0f0f0f0f) | ((b >> 2) & 0x30303030)) << 32;
}

#endif
