/* The kernel for codes and scales that lie apart, in plain C. */
#include "kernel/simd/v16_ref.h"

#define SPLIT matmul_split_ref
#include "kernel/matmul/split.inc"
