/* arch_starcoder2.c - StarCoder 2: LayerNorm, a plain feed-forward, biases everywhere.  Source: arXiv 2402.19173.  The window
 * that some configurations name is in no file. */
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
    (void)g;
    h->norm = NORM_LAYER;
    h->act = ACT_GELU;
}

const struct arch arch_starcoder2 = { "starcoder2", ROPE_HALF, layer, setup };
