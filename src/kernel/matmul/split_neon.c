/* The kernel for codes and scales that lie apart, in Advanced SIMD. */
#include "kernel/simd/v16_neon.h"

#define SPLIT matmul_split_neon
#include "kernel/matmul/split.inc"
