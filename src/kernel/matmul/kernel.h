/* kernel.h - what a matrix kernel offers; private to kernel/matmul.
 *
 * A row of kernels.inc is KERNEL(features, type, symbol), best first; the first row whose type fits (N_DTYPE: any) and whose
 * features the processor has is taken.  All rows of one type have the same form and give the same bits. */
#ifndef HEARTH_KERNEL_MATMUL_KERNEL_H
#define HEARTH_KERNEL_MATMUL_KERNEL_H

#include "format/split.h"
#include "kernel/matmul/matmul.h"

struct matmul_kernel {
    enum act_form form;
    size_t (*scratch)(const struct matmul *m, size_t T);      /* bytes, a multiple of 64; NULL: none */
    void (*rows)(const struct matmul_job *j, size_t r0, size_t r1);
};

#define KERNEL(features, type, symbol) extern const struct matmul_kernel symbol;
#include "kernel/matmul/kernels.inc"
#undef KERNEL

/* A matrix of a SPLIT type. */
static inline const struct split *split_of(const struct matmul *m) { return (const struct split *)(const void *)m->w; }

/* Row t of the job's activations, and where its results go. */
static inline const void *job_in(const struct matmul_job *j, size_t t)
{
    return j->act + (j->in ? (size_t)j->in[t] : t) * j->act_stride;
}
static inline float *job_out(const struct matmul_job *j, size_t t)
{
    return j->y + (j->out ? (size_t)j->out[t] : t) * j->y_stride;
}

#endif
