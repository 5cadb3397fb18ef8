/* dot.h - the kernels for few tokens, called by those for many; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_DOT_H
#define HEARTH_KERNEL_MATMUL_DOT_H

#include "kernel/matmul/kernel.h"

typedef void dot_rows_fn(const struct matmul_job *j, size_t r0, size_t r1);
dot_rows_fn dot_q8_0_avx2, dot_q4_0_avx2, dot_q4_k_avx2, dot_q6_k_avx2;
dot_rows_fn dot_q8_0_avx512, dot_q4_0_avx512, dot_q4_k_avx512, dot_q6_k_avx512;
dot_rows_fn dot_q8_0_neon, dot_q4_0_neon, dot_q4_k_neon, dot_q6_k_neon;
#define INT_TYPE(name, type, bytes, family, top, offset) \
    dot_rows_fn dot_##name##_avx2, dot_##name##_avx512, dot_##name##_neon;
#include "kernel/matmul/int_types.inc"
#undef INT_TYPE
#define SPLIT_INT(name, type, family, top, offset) \
    dot_rows_fn dot_##name##_avx2, dot_##name##_avx512, dot_##name##_neon;
#define SPLIT_COLUMNS(...)
#include "kernel/matmul/split_ints.inc"
#undef SPLIT_INT
#undef SPLIT_COLUMNS

size_t dot_scratch_avx512(size_t K);        /* bytes of scratch memory that its kernels take */
size_t nibbles_scratch_avx512(size_t K);    /* ... and those of nibbles_avx512.c */

/* Tokens in lanes (lanes_avx512.c): 1 to 16 of them, with so much scratch memory. */
dot_rows_fn lanes_q8_0_avx512, lanes_q4_0_avx512, lanes_q4_k_avx512, lanes_q6_k_avx512;
#define INT_TYPE(name, type, bytes, family, top, offset) dot_rows_fn lanes_##name##_avx512;
#include "kernel/matmul/int_types.inc"
#undef INT_TYPE
size_t lanes_scratch_avx512(size_t K);

#endif
