#include "quant/quant.h"

#include "quant/block.h"

static const struct { unpack_fn *unpack; pack_fn *pack; } table[N_DTYPE] = {
    [DT_F32]     = { unpack_f32, pack_f32 },
    [DT_F16]     = { unpack_f16, pack_f16 },
    [DT_BF16]    = { unpack_bf16, pack_bf16 },
    [DT_Q4_0]    = { unpack_q4_0, pack_q4_0 },
    [DT_Q4_1]    = { unpack_q4_1, NULL },
    [DT_Q5_0]    = { unpack_q5_0, NULL },
    [DT_Q5_1]    = { unpack_q5_1, NULL },
    [DT_Q8_0]    = { unpack_q8_0, pack_q8_0 },
    [DT_Q8_1]    = { unpack_q8_1, NULL },
    [DT_Q1_0]    = { unpack_q1_0, NULL },
    [DT_Q2_0]    = { unpack_q2_0, NULL },
    [DT_Q2_K]    = { unpack_q2_k, NULL },
    [DT_Q3_K]    = { unpack_q3_k, NULL },
    [DT_Q4_K]    = { unpack_q4_k, pack_q4_k },
    [DT_Q5_K]    = { unpack_q5_k, NULL },
    [DT_Q6_K]    = { unpack_q6_k, pack_q6_k },
    [DT_Q8_K]    = { unpack_q8_k, NULL },
    [DT_IQ1_S]   = { unpack_iq1_s, NULL },
    [DT_IQ1_M]   = { unpack_iq1_m, NULL },
    [DT_IQ2_XXS] = { unpack_iq2_xxs, NULL },
    [DT_IQ2_XS]  = { unpack_iq2_xs, NULL },
    [DT_IQ2_S]   = { unpack_iq2_s, NULL },
    [DT_IQ3_XXS] = { unpack_iq3_xxs, NULL },
    [DT_IQ3_S]   = { unpack_iq3_s, NULL },
    [DT_IQ4_NL]  = { unpack_iq4_nl, NULL },
    [DT_IQ4_XS]  = { unpack_iq4_xs, NULL },
    [DT_TQ1_0]   = { unpack_tq1_0, NULL },
    [DT_TQ2_0]   = { unpack_tq2_0, NULL },
    [DT_MXFP4]   = { unpack_mxfp4, NULL },
    [DT_NVFP4]   = { unpack_nvfp4, NULL },
};

unpack_fn *quant_unpack(enum dtype t) { return table[t].unpack; }
pack_fn *quant_pack(enum dtype t) { return table[t].pack; }
