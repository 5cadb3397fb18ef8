/* struct vec_kernels of AVX2. */
#include "kernel/simd/v16_avx2.h"

#define VEC_KERNELS vec_avx2
#include "kernel/vec/vec.inc"
