/* matmul.h - y[T][R] = x[T][K] . W[R][K]^T with W in the file's own block layout.
 *
 * Activations are brought into one of four forms first, once for all matrices that read them:
 *   ACT_F32   as they are: F32 weights, and matrices of checkpoints whose groups cross blocks of 32 columns or are not in order
 *             (quant/split_codes.h), whose rows are unpacked and multiplied in float
 *   ACT_Q16   codes of 14 bits, one scale per 32 columns, for weights of F16, BF16 and F8, which become such codes, too (wide.h)
 *   ACT_Q32   int8 codes for types with a float scale per block of 16, 32 or more (Q8_0, Q4_0, MXFP4, NVFP4, AFFINE, ...)
 *   ACT_Q256  int8 codes for super-block types with integer sub-scales (the K, IQ and TQ types)
 * The forms of 8 bits: x[j] ~ d * s[j/16] * q[j], one float d per 256 columns, one integer s per 16 columns (1..255 in
 * Q32, 1..15 in Q256 so that the integer sum of a super-block fits 32 bits), q in -127..127.  The finer scale makes the
 * error smaller than that of one scale per 32 (per 256), and stays integer arithmetic.
 *
 * The same bits come out for every T, every split of rows, and every instruction set (act.h and wide.h say in which order).
 * Threads: any; a job's scratch belongs to one thread. */
#ifndef HEARTH_KERNEL_MATMUL_H
#define HEARTH_KERNEL_MATMUL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"

enum act_form { ACT_F32, ACT_Q32, ACT_Q256, ACT_Q16 };

/* w: the data, of which only that of SPLIT types is looked at; NULL: of a matrix whose groups are in order. */
enum act_form matmul_act_form(enum dtype type, const void *w);

/* Bytes of one row of K activations, a multiple of 64. */
size_t act_row_bytes(enum act_form form, size_t K);
/* One row; out is aligned to 64.  cpu: features from base/cpu.h; the bits do not depend on them. */
void act_pack(enum act_form form, const float *x, void *out, size_t K, uint32_t cpu);

struct matmul {
    enum dtype type;
    const uint8_t *w;           /* [R] rows of row_bytes, any alignment */
    size_t row_bytes, R, K;
    const struct matmul_kernel *kernel;
};
/* Chooses the kernel.  K is a whole number of blocks. */
void matmul_init(struct matmul *m, enum dtype type, const void *w, size_t R, size_t K, uint32_t cpu);

struct matmul_job {
    const struct matmul *m;
    const uint8_t *act;         /* packed rows, act_stride bytes apart, aligned to 64 */
    size_t act_stride;
    size_t T;                   /* activation rows to multiply, >= 1 */
    const int32_t *in, *out;    /* row t reads act row in[t] and writes y row out[t]; NULL: t (mixture of experts) */
    float *y;                   /* y[out row * y_stride + r] */
    size_t y_stride;
    void *scratch;              /* matmul_scratch bytes, aligned to 64 */
    bool again;                 /* scratch is as the call before left it, which had these activations and this kernel */
};
size_t matmul_scratch(const struct matmul *m, size_t T);
/* Computes rows [r0, r1) of W for all T.  Threads divide rows; any division gives the same bits; multiples of
 * MATMUL_GRAIN are fastest. */
enum { MATMUL_GRAIN = 32 };
void matmul_rows(const struct matmul_job *j, size_t r0, size_t r1);

#endif
