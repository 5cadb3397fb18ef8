/* struct vec_kernels of Advanced SIMD. */
#include "kernel/simd/v16_neon.h"

#define VEC_KERNELS vec_neon
#include "kernel/vec/vec.inc"
