/* arch_olmo2.c - OLMo 2 and 3: norms follow attention and feed-forward instead of preceding them; q and k are normed as wholes.
 * OLMo 3 has windows in three of four layers, and scales its positions only in the others.  Source: arXiv 2501.00656. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_INPUT, 0 },
    { S_QKV, 0 },
    { S_QKNORM_ALL, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_POSTNORM, "post_attention_norm" },
    { S_ADD, 0 },
    { S_INPUT, 0 },
    { S_FFN, 0 },
    { S_POSTNORM, "post_ffw_norm" },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    if (!hparam_u32(g, "attention.sliding_window", &h->window)) return;
    for (uint32_t i = 0; i < h->n_layer; i++) h->sliding[i] = i % 4 < 3;
    h->scale_sliding = false;
}

const struct arch arch_olmo2 = { "olmo2", ROPE_HALF, layer, setup };
