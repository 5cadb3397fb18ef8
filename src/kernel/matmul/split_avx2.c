/* The kernel for codes and scales that lie apart, in AVX2. */
#include "kernel/simd/v16_avx2.h"

#define SPLIT matmul_split_avx2
#include "kernel/matmul/split.inc"
