/* arch_mistral3.c - Ministral 3 and later: the llama block with YaRN and a query temperature that grows with the position.
 * Source: reference logits; arXiv 2309.00071 (YaRN). */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_QTEMP, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    hparam_f32(g, "attention.temperature_scale", &h->qtemp);
    hparam_f32(g, "rope.scaling.yarn_log_multiplier", &h->yarn_log_multiplier);
    h->n_ff_expert = h->n_ff[0];
}

const struct arch arch_mistral3 = { "mistral3", ROPE_PAIR, layer, setup };
