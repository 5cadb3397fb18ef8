/* arch_phi3.c - Phi-3, 3.5, 4 and 4-mini: fused q, k, v and fused gate and up; LongRoPE.  Source: arXiv 2404.14219,
 * 2402.13753.  The sliding window that some files name is not applied: the field's standard engine ignores it too. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_phi3 = { "phi3", ROPE_HALF, layer, 0 };
