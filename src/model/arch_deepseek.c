/* arch_deepseek.c - DeepSeek MoE 16B: the llama block, leading dense layers, then fine-grained experts beside shared ones;
 * weights are not renormalised.  Source: arXiv 2401.06066. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_LEAD_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_deepseek = { "deepseek", ROPE_PAIR, layer, hparams_routing };
