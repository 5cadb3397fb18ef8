/* vec.h - everything in float that is not a matrix product: norms, activations, rotary positions, softmax, attention.
 *
 * Written once over a virtual vector of 16 floats (kernel/simd) and compiled per instruction set; sums run in 16 lanes
 * (lane = index mod 16, missing elements count as 0) that are added in a fixed tree (i with i+8, +4, +2, +1), with explicit
 * fused multiply-add.  Hence every instruction set gives the same bits.  exp, tanh, sin, cos are our own.
 * Threads: any; no state.  Buffers may be unaligned unless said otherwise; y may equal x where both have the same size. */
#ifndef HEARTH_KERNEL_VEC_H
#define HEARTH_KERNEL_VEC_H

#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"

enum vec_act { VEC_SILU, VEC_GELU_TANH, VEC_GELU_ERF, VEC_RELU, VEC_SIGMOID, VEC_TANH };
enum vec_rope { VEC_ROPE_PAIR, VEC_ROPE_HALF };          /* pairs (2i, 2i+1), or (i, i + n_rot/2) */

/* Keys and values are kept as F32, F16, BF16, Q8_0 or Q4_0 rows, each of whole blocks.  Heads of a Q4_0 row are turned before
 * they are rounded: blocks of kv_turn() numbers go through the orthonormal Walsh-Hadamard transform, which spreads outliers.
 * Queries are turned alike, results back. */
static inline uint32_t kv_turn(enum dtype t, uint32_t width)
{
    uint32_t block = width & (~width + 1);
    return t != DT_Q4_0 ? 1 : block < 128 ? block : 128;
}

enum { ATTN_PAGE = 64 };      /* positions per page of keys or values; also the unit in which softmax is merged */
enum { ATTN_ROWS = 32 };      /* query heads times positions that share one reading of keys and values */

/* n_query query positions that follow each other, each against its own past.
 * A page of keys is [n_kv][ATTN_PAGE] rows of dk numbers, k_at bytes behind k_page[p]; one of values likewise of v_step; page p
 * holds positions p * ATTN_PAGE and up.  Keys at 0..pos take part, or with window > 0 those with pos - key < window. */
struct attn_query {
    const float *q;           /* [n_head][dk], the next position's q_step floats behind */
    float *o;                 /* [n_head][dv], likewise o_step */
    size_t q_step, o_step;
    uint32_t n_query;         /* 1 .. attn_queries() */
    const uint8_t *const *k_page, *const *v_page;
    size_t k_at, v_at;
    enum dtype k_type, v_type;
    uint32_t turn;            /* kv_turn() of dk, and of dv, 1: as they are */
    uint32_t turn_v;
    uint32_t n_head, n_kv, dk, dv;
    uint32_t v_step;          /* from one position's values to the next's; 0: dv, they lie close */
    int64_t pos, window;      /* of the first query; window 0: unlimited */
    int64_t end;              /* 0: only the past takes part; else keys after the query too, before `end`, key - pos < window */
    float scale, softcap;     /* s = scale * q.k; softcap > 0: s = softcap * tanh(s / softcap) */
    const float *sinks;       /* [n_head] extra logits of the softmax's denominator, or NULL */
};

/* n positions of one sequence through a causal convolution of each channel by itself:
 * y[c] = sum over j of w[c][j] * (the input taps - 1 - j positions back), j ascending. */
enum { CONV_MAX_TAPS = 16 };
struct conv_run {
    const float *x;           /* [channels], the next position's x_step floats behind */
    float *y;                 /* likewise y_step */
    size_t x_step, y_step, n;
    const float *w;           /* [channels][taps] */
    float *state;             /* [taps - 1][channels]: the inputs before, oldest first; becomes those before what follows */
    uint32_t channels, taps;  /* taps: 2 .. CONV_MAX_TAPS */
};

/* n positions of one head through the gated delta rule, with a state S of [dv][dk]:
 * S = decay S;  S += beta (v - S k) k^T;  o = S q.  Source: arXiv 2412.06464. */
struct delta_run {
    const float *q, *k, *v;   /* [dk], [dk], [dv], the next position's step floats behind */
    const float *decay, *beta;/* one number, the next gate_step floats behind */
    float *o;                 /* [dv], o_step */
    size_t step, gate_step, o_step, n;
    float *state;
    uint32_t dk;
};

struct vec_kernels {
    /* y = x / sqrt(mean(x^2) + eps) * w; w NULL: 1.  Source: arXiv 1910.07467. */
    void (*rms_norm)(float *y, const float *x, const float *w, size_t n, float eps);
    /* y = (x - mean) / sqrt(var + eps) * w + b; b may be NULL. */
    void (*layer_norm)(float *y, const float *x, const float *w, const float *b, size_t n, float eps);
    void (*add)(float *y, const float *a, const float *b, size_t n);
    void (*mul)(float *y, const float *a, const float *b, size_t n);
    void (*scale)(float *y, const float *x, float s, size_t n);
    void (*axpy)(float *y, const float *x, float s, size_t n);              /* y = fma(s, x, y) */
    void (*softcap)(float *y, const float *x, float c, size_t n);           /* c * tanh(x / c) */
    void (*act)(float *y, const float *x, size_t n, enum vec_act f);
    void (*glu)(float *y, const float *gate, const float *up, size_t n, enum vec_act f);   /* f(gate) * up */
    void (*softmax)(float *y, const float *x, size_t n);                    /* n >= 1 */
    float (*dot)(const float *a, const float *b, size_t n);
    /* Rotates one head of x in place: the first n_rot of its values by the angles whose cos and sin are given
     * [n_rot/2]. */
    void (*rope)(float *x, const float *cos, const float *sin, size_t n_rot, enum vec_rope mode);
    /* A row of n values; turn: kv_turn() of the row's heads.  Rounds to nearest even. */
    void (*kv_store)(void *dst, const float *x, size_t n, enum dtype kv, uint32_t turn);
    /* Heads that share kv heads [kv0, kv1).  scratch: attn_scratch bytes, aligned to 64.  Chunks of ATTN_PAGE positions are
     * taken in order and merged by their running maximum (arXiv 1805.02867), so a result depends on nothing but its
     * query and its past. */
    void (*attn)(const struct attn_query *a, uint32_t kv0, uint32_t kv1, void *scratch);
    /* y = g sigmoid(slope g) (u + 1) with g = min(gate, limit), u = up cut to -limit .. limit.  Source: arXiv 2508.10925. */
    void (*glu_clamped)(float *y, const float *gate, const float *up, size_t n, float slope, float limit);
    /* Channels [c0, c1), rows [i0, i1) of the state: each by itself, so any division gives the same bits. */
    void (*conv)(const struct conv_run *r, size_t c0, size_t c1);
    void (*delta)(const struct delta_run *r, size_t i0, size_t i1);
};
const struct vec_kernels *vec_select(uint32_t cpu);          /* never NULL */
/* How many query positions attn takes at most. */
static inline uint32_t attn_queries(uint32_t n_head, uint32_t n_kv)
{
    uint32_t G = n_head / n_kv;
    return G < ATTN_ROWS ? ATTN_ROWS / G : 1;
}
size_t attn_scratch(uint32_t n_head, uint32_t n_kv, uint32_t dk, uint32_t dv);

/* cos and sin of pos * freq[i] for n pairs, times `mscale`; freq in radian per position, double; error <= 1 ulp of float
 * for |angle| < 2^31.  Scalar double arithmetic, the same everywhere. */
void rope_angles(float *cos, float *sin, const double *freq, size_t n, int64_t pos, float mscale);

#endif
