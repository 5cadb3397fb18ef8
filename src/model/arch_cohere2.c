/* arch_cohere2.c - Command R; Command R7B and A.  Attention and feed-forward read the same LayerNorm side by side; in the latter
 * three layers have windows and rotary positions, then one sees everything and has no positions.  Source: arXiv 2504.00698. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_KEEP, 0 },
    { S_QKV, 0 },
    { S_ROPE_SOME, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_TAKE, 0 },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step layer1[] = {
    { S_NORM, "attn_norm" },
    { S_KEEP, 0 },
    { S_QKV, 0 },
    { S_QKNORM_MAY, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_TAKE, 0 },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup1(struct hparams *h, const struct gguf *g)
{
    h->norm = NORM_LAYER;
    hparam_f32(g, "logit_scale", &h->logit_scale);
}

static void setup(struct hparams *h, const struct gguf *g)
{
    h->norm = NORM_LAYER;
    h->window = 4096;
    hparam_u32(g, "attention.sliding_window", &h->window);
    hparam_f32(g, "logit_scale", &h->logit_scale);
    for (uint32_t i = 0; i < h->n_layer; i++) {
        h->sliding[i] = i % 4 < 3;
        h->still[i] = !h->sliding[i];
    }
}

const struct arch arch_cohere2 = { "cohere2", ROPE_PAIR, layer, setup };
const struct arch arch_command_r = { "command-r", ROPE_PAIR, layer1, setup1 };
