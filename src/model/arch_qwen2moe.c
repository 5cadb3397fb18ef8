/* arch_qwen2moe.c - Qwen 1.5 and 2 with experts: weights are not renormalised, and every token meets a gated shared expert.
 * Source: arXiv 2407.10671. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_MOE_GATED, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    h->route.norm = false;
    if (!hparam_u32(g, "expert_shared_feed_forward_length", &h->n_ff_shared)) h->n_ff_shared = h->n_ff[0];
}

const struct arch arch_qwen2moe = { "qwen2moe", ROPE_HALF, layer, setup };
