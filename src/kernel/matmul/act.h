/* act.h - activations as integers, and the one order in which integer kernels add; private to kernel/matmul.
 *
 * A row of K columns (a multiple of 32) is cut into super-blocks of 256; columns past K count as 0.  In a super-block
 *   x[j] ~ d * s[j/16] * q[j],   q in -127..127,   s in 1..S,   S = 255 (ACT_Q32) or 15 (ACT_Q256).
 * Every step below is one IEEE float operation, rounded to nearest even, so all instruction sets agree:
 *   x  <- 0 when x is NaN; +-FLT_MAX when x is infinite
 *   a_j = max |x| over the 16 columns of group j;   a = max a_j
 *   a < ACT_TINY: the super-block is zero (d = 0, s = 1, q = 0); nothing below meets a subnormal number or an overflow
 *   d   = a / (127 (S - C + 1))  u = 127 * d
 *   s   = min(S - C + 1, max(1, ceil(a_j / u)))
 *   s_j = s + c for the c of 0..C-1 with the smallest error of the group, the first of equals; C = 8 (Q32), 1 (Q256)
 *   v_j = 1 / (d * s_j)          q = round to nearest even of x * v_j
 * A group of 16 has few enough roundings that some scale a little larger than the tightest one suits it by luck: trying
 * eight takes a tenth to a sixth off the error of Q8_0 and costs little, as a row is packed once for all matrices that
 * read it.  Coarse scales (Q256) gain nothing.
 *   error of c: y_i = x_i * v, e_i = y_i - round(y_i), p_i = fma(e_i+8, e_i+8, e_i * e_i) for i = 0..7,
 *               (((p0 + p2) + (p1 + p3)) + ((p4 + p6) + (p5 + p7))) * (float)(s_j^2)
 * |q| <= 127 without a clamp: |x| <= a_j <= 127 d s_j up to four roundings of 2^-24 each, and 127.5 is further away.
 *
 * Integers.  dot_j = sum of q * code over group j, sum_j = sum of q; codes and sub-scales as in quant/codes.h.  The sums
 * below fit int32, so they are exact however they are added (intermediate wrap-around is harmless).  The largest:
 *   Q8_0    |s_j dot_j| summed over 32 columns   <= 2 * 255 * 16 * 127 * 128                 = 132,648,960
 *   Q6_K    sum of sc_j s_j dot_j over 256       <= 16 * 128 * 15 * 16 * 127 * 32            = 1,997,537,280 < 2^31
 *   IQ4_XS  the same                             <= 16 * 32 * 15 * 16 * 127 * 127            = 1,981,931,520
 *   Q5_K    sum of mn_j s_j sum_j                <= 16 * 63 * 15 * 16 * 127                  =  30,723,840
 *
 * Floats.  acc = 0; for every super-block in order, acc = fma(d, t, acc), where
 *   BLOCK      f_i = (float)(s_2i dot_2i + s_2i+1 dot_2i+1);  t = scale_0 * f_0;  t = fma(scale_i, f_i, t), i = 1..7
 *   BLOCK_ADD  then t = fma(add_i, (float)(s_2i sum_2i + s_2i+1 sum_2i+1), t), i = 0..7
 *   FINE       t = scale_0 * (float)(s_0 dot_0);  t = fma(scale_j, (float)(s_j dot_j), t), j = 1..15
 *   SUPER      t = d_w * (float)(sum of sc_j s_j dot_j)
 *   SUPER_MIN  then t = fma(-dmin, (float)(sum of mn_j s_j sum_j), t)
 * and acc is the result.  Columns past K have weights of zero bytes. */
#ifndef HEARTH_KERNEL_MATMUL_ACT_H
#define HEARTH_KERNEL_MATMUL_ACT_H

#include "kernel/matmul/matmul.h"

#define ACT_TINY 0x1p-100f

enum { ACT_COLS = 256, ACT_GROUP = 16, ACT_GROUPS = ACT_COLS / ACT_GROUP, ACT_S_Q32 = 255, ACT_S_Q256 = 15,
       ACT_TRIES = 8 };

/* Kept as kernels load it: 12 cache lines.  Groups past K are q = 0, s = 1.  "Split" order: groups 0, 2, .. 14, 1, 3, .. 15.
 * Pair order (for instructions that add pairs of products in 16 bits): every four bytes are two columns of group 2i and the
 * same two of group 2i + 1. */
struct act_block {
    int8_t q[ACT_COLS];
    int8_t pairs[ACT_COLS];
    int32_t s[ACT_GROUPS];
    int32_t zero[ACT_GROUPS];           /* -128 sum_j: what an unsigned code's offset adds to dot_j */
    int16_t s16[ACT_GROUPS];            /* s */
    union {
        int16_t z16[ACT_GROUPS];        /* Q256: s_j sum_j (at most 30480) */
        int32_t pair[ACT_GROUPS / 2];   /* Q32: the same per 32 columns, s_2i sum_2i + s_2i+1 sum_2i+1 */
    } z;
    int16_t split[ACT_GROUPS];          /* z16 in split order */
    float d;
    uint8_t s8[ACT_GROUPS];             /* s in split order */
    uint8_t pad[12];
};

static inline size_t act_split(size_t j)
{
    return j / 2 + j % 2 * (ACT_GROUPS / 2);
}

/* Where column c of a super-block lies in pairs. */
static inline size_t act_pair_of(size_t c)
{
    return c / 32 * 32 + c % 16 / 2 * 4 + c % 32 / 16 * 2 + c % 2;
}

typedef void act_pack_fn(const float *x, struct act_block *out, size_t K, int S);
#define ACT(features, name) act_pack_fn name;
#include "kernel/matmul/acts.inc"
#undef ACT

#endif
