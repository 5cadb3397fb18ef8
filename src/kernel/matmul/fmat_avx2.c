/* The float kernel in AVX2. */
#include "kernel/simd/v16_avx2.h"

#define FMAT matmul_float_avx2
#include "kernel/matmul/fmat.inc"
