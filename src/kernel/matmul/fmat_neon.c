/* The float kernel in Advanced SIMD. */
#include "kernel/simd/v16_neon.h"

#define FMAT matmul_float_neon
#include "kernel/matmul/fmat.inc"
