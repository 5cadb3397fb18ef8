/* arch_bailingmoe2.c - Ling 2.0 and Ring 2.0: fused q, k, v with normed heads, leading dense layers, then experts, chosen from
 * the best groups where the file has groups, and shared ones.  Source: arXiv 2510.22115. */
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

/* The width that the file names is that of one shared expert. */
static void setup(struct hparams *h, const struct gguf *g)
{
    uint32_t n = 1, one = 0;
    hparams_skip_nextn(h, g);
    hparams_routing(h, g);
    hparam_u32(g, "expert_shared_count", &n);
    if (!hparam_u32(g, "expert_shared_feed_forward_length", &one) || !one) one = h->n_ff_expert;
    uint64_t width = (uint64_t)n * one;
    h->n_ff_shared = width < UINT32_MAX ? (uint32_t)width : UINT32_MAX;
}

const struct arch arch_bailingmoe2 = { "bailingmoe2", ROPE_HALF, layer, setup };
