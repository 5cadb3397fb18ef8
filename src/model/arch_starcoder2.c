/* arch_starcoder2.c - StarCoder 2: LayerNorm, a plain feed-forward, biases everywhere.  Source: arXiv 2402.19173.  Its window
 * is in the configuration of checkpoints and in no GGUF file. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_MLP, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    h->norm = NORM_LAYER;
    h->act = ACT_GELU;
    hparam_u32(g, "attention.sliding_window", &h->window);
    for (uint32_t i = 0; i < h->n_layer; i++) h->sliding[i] = h->window > 0;
}

const struct arch arch_starcoder2 = { "starcoder2", ROPE_HALF, layer, setup };
