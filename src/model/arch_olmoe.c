/* arch_olmoe.c - OLMoE: q and k are normed as wholes; experts whose weights are not renormalised.  Source: arXiv 2409.02060. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_QKNORM_ALL, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    (void)g;
    h->route.norm = false;
}

const struct arch arch_olmoe = { "olmoe", ROPE_HALF, layer, setup };
