/* The float kernel in plain C. */
#include "kernel/simd/v16_ref.h"

#define FMAT matmul_float_ref
#include "kernel/matmul/fmat.inc"
