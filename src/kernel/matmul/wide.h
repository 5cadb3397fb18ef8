/* wide.h - float weights and their activations as integers of 14 bits, and the order in which they are added; private to
 * kernel/matmul.
 *
 * F16 and BF16 matrices are multiplied in integers: a processor multiplies twice as many pairs of 16 bits as floats, exact sums
 * need no order, and the codes lose no more than activations rounded to f16 would.
 *
 * A row is cut into groups of 32 columns; columns past K count as 0.  In a group, of weights as of activations,
 *   v[j] ~ 2^(e - 12) * q[j],   e = floor(log2(max |v|)), at least -50;   q = v * 2^(12 - e), rounded to nearest even
 * so that |q| <= 8192.  Weights of F16 and BF16 have at most 11 bits: those down to an eighth of the largest are exact.
 *   activations: x <- 0 when NaN, magnitudes at most the largest float below 2^64
 *   weights: a group with one of 2^64 or more, or one that is not finite, counts as zeros (e is not used then)
 * isum = sum of q_w q_x over a group: at most 32 * 8188 * 8192 < 2^31.
 *
 * F8_E4M3 and MXFP8_ROWS are halves with a scale S beside each 32 columns (split_halves); e is at least -14 there, and S a factor
 * of 2^(e_w - 12).
 *
 * Floats, each an IEEE operation rounded to nearest even: d_i = 2^(e_w - 12) [S] * 2^(e_x - 12), exact and normal; acc = 0, and
 * for every 256 columns in order
 *   t = d_0 * (float)isum_0;   t = fma(d_i, (float)isum_i, t), i = 1..7;   acc = acc + t
 * Error of a product sum: half a unit 2^(e - 12) of each factor times the other, and the roundings of the chain. */
#ifndef HEARTH_KERNEL_MATMUL_WIDE_H
#define HEARTH_KERNEL_MATMUL_WIDE_H

#include "kernel/matmul/act.h"
#include "kernel/matmul/kernel.h"

enum { WIDE_GROUP = 32, WIDE_GROUPS = ACT_COLS / WIDE_GROUP, WIDE_LEAST = -50, WIDE_MOST = 63, WIDE_BITS = 12 };
enum { WIDE_BYTES = 2 * ACT_COLS };         /* of 256 weights */
#define WIDE_TOP 0x1.fffffep63f

/* 256 columns of activations. */
struct act_wide {
    int16_t q[ACT_COLS];
    float d[WIDE_GROUPS];                   /* 2^(e - 12) */
    int32_t e[WIDE_GROUPS];                 /* (e - 12) << 23: what multiplies a float by that when added to its bits */
};

typedef void wide_pack_fn(const float *x, struct act_wide *out, size_t K);
#define WIDE(features, name) wide_pack_fn name;
#include "kernel/matmul/wides.inc"
#undef WIDE

#endif
