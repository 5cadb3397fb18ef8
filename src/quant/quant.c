#include "quant/quant.h"

#include "quant/block.h"

/* The types that weights can have. */
#define WEIGHTS(X) \
    X(F32, f32) X(F16, f16) X(BF16, bf16) X(Q4_0, q4_0) X(Q4_1, q4_1) X(Q5_0, q5_0) X(Q5_1, q5_1) X(Q8_0, q8_0) \
    X(Q1_0, q1_0) X(Q2_0, q2_0) X(Q2_K, q2_k) X(Q3_K, q3_k) X(Q4_K, q4_k) X(Q5_K, q5_k) X(Q6_K, q6_k) \
    X(IQ1_S, iq1_s) X(IQ1_M, iq1_m) X(IQ2_XXS, iq2_xxs) X(IQ2_XS, iq2_xs) X(IQ2_S, iq2_s) X(IQ3_XXS, iq3_xxs) \
    X(IQ3_S, iq3_s) X(IQ4_NL, iq4_nl) X(IQ4_XS, iq4_xs) X(TQ1_0, tq1_0) X(TQ2_0, tq2_0) X(MXFP4, mxfp4) X(NVFP4, nvfp4)

#define PLAIN(T, t) static void plain_##t(const float *src, uint8_t *dst, size_t n) { pack_##t(src, NULL, dst, n); }
WEIGHTS(PLAIN)

static const struct { unpack_fn *unpack; pack_fn *pack; pack_weighted_fn *weighted; } table[N_DTYPE] = {
#define ROW(T, t) [DT_##T] = { unpack_##t, plain_##t, pack_##t },
    WEIGHTS(ROW)
    [DT_Q8_1] = { unpack_q8_1, NULL, NULL },
    [DT_Q8_K] = { unpack_q8_k, NULL, NULL },
};

unpack_fn *quant_unpack(enum dtype t) { return table[t].unpack; }
pack_fn *quant_pack(enum dtype t) { return table[t].pack; }
pack_weighted_fn *quant_pack_weighted(enum dtype t) { return table[t].weighted; }
