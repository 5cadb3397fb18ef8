/* The kernel for codes and scales that lie apart, in AVX-512. */
#include "kernel/simd/v16_avx512.h"

#define SPLIT matmul_split_avx512
#include "kernel/matmul/split.inc"
