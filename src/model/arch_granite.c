/* arch_granite.c - Granite 3 and 4 without recurrent layers, dense and with experts: the llama block whose embeddings, scores,
 * halves and logits are scaled by numbers of the file.  Source: arXiv 2408.13359 (power scheduler), 2405.04324. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE_SOME, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_SCALE, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_SCALE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step layer_moe[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE_SOME, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_SCALE, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_MOE_SHARED, 0 },
    { S_SCALE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

/* The key that says whether rotary positions were tuned turns them off here. */
static void setup(struct hparams *h, const struct gguf *g)
{
    float f;
    uint32_t rotary;
    if (hparam_f32(g, "embedding_scale", &f) && f != 0) h->embed_scale = f;
    if (hparam_f32(g, "attention.scale", &f) && f != 0) h->attn_scale = f;
    if (hparam_f32(g, "logit_scale", &f) && f != 0) h->logit_scale = 1 / f;
    for (uint32_t i = 0; i < h->n_layer; i++)
        h->still[i] = hparam_u32(g, "rope.scaling.finetuned", &rotary) && !rotary;
}

static void setup_moe(struct hparams *h, const struct gguf *g)
{
    setup(h, g);
    h->n_ff_expert = h->n_ff[0];
    hparam_u32(g, "expert_shared_feed_forward_length", &h->n_ff_shared);
    hparam_f32(g, "expert_weights_scale", &h->route.scale);
    if (h->route.scale == 0) h->route.scale = 1;
}

const struct arch arch_granite = { "granite", ROPE_PAIR, layer, setup };
const struct arch arch_granitemoe = { "granitemoe", ROPE_PAIR, layer_moe, setup_moe };
