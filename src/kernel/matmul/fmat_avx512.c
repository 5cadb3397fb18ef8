/* The float kernel in AVX-512. */
#include "kernel/simd/v16_avx512.h"

#define FMAT matmul_float_avx512
#include "kernel/matmul/fmat.inc"
