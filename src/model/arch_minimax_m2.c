/* arch_minimax_m2.c - MiniMax M2: q and k are normed as wholes, a part of each head rotates, experts are chosen by sigmoid scores
 * plus a bias.  Source: the model's published configuration; compared with the field's standard engine. */
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
    hparams_routing(h, g);
    h->route.norm = true;
}

const struct arch arch_minimax_m2 = { "minimax-m2", ROPE_HALF, layer, setup };
