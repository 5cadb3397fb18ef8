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

#endif
