/* arch_dots1.c - dots.llm1: norms of q and k heads, leading dense layers, then experts and a shared one.  Source: arXiv
 * 2506.05767. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_QKNORM, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_LEAD_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_dots1 = { "dots1", ROPE_HALF, layer, hparams_routing };
