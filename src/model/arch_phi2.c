/* arch_phi2.c - Phi 1, 1.5 and 2: attention and a plain feed-forward read the same LayerNorm side by side; biases everywhere;
 * a part of each head rotates.  Source: arXiv 2309.05463. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_KEEP, 0 },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_TAKE, 0 },
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

const struct arch arch_phi2 = { "phi2", ROPE_HALF, layer, setup };
