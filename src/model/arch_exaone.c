/* arch_exaone.c - EXAONE 3 and 3.5: the llama block; EXAONE 4: norms follow attention and feed-forward, and models with windows
 * have rotary positions in the layers with windows only, three of four.  Source: arXiv 2412.04862, 2507.11407. */
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

static const struct step layer4[] = {
    { S_INPUT, 0 },
    { S_QKV, 0 },
    { S_QKNORM, 0 },
    { S_ROPE_SOME, 0 },
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

static void setup4(struct hparams *h, const struct gguf *g)
{
    if (!hparam_u32(g, "attention.sliding_window", &h->window) || !h->window) return;
    for (uint32_t i = 0; i < h->n_layer; i++) {
        h->sliding[i] = i % 4 < 3;
        h->still[i] = !h->sliding[i];
    }
}

const struct arch arch_exaone = { "exaone", ROPE_HALF, layer, 0 };
const struct arch arch_exaone4 = { "exaone4", ROPE_HALF, layer4, setup4 };
