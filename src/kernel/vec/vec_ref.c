/* struct vec_kernels of plain C. */
#include "kernel/simd/v16_ref.h"

#define VEC_KERNELS vec_ref
#include "kernel/vec/vec.inc"
