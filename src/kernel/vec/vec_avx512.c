/* struct vec_kernels of AVX-512. */
#include "kernel/simd/v16_avx512.h"

#define VEC_KERNELS vec_avx512
#include "kernel/vec/vec.inc"
