/* arch_glm4moe.c - GLM-4.5, 4.5-Air, 4.6: leading dense layers, then experts chosen by sigmoid scores plus a bias, and one expert
 * that every token meets.  The last block of a file, which guesses a further token, is left out.  Source: arXiv 2508.06471. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_QKNORM_MAY, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_LEAD_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    uint32_t gate = 0;
    hparams_skip_nextn(h, g);
    hparams_routing(h, g);
    if (!hparam_u32(g, "expert_gating_func", &gate) || !gate) h->route.gate = ROUTE_SIGMOID;
}

const struct arch arch_glm4moe = { "glm4moe", ROPE_HALF, layer, setup };
