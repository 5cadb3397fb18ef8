/* arch_gpt2.c - GPT-2: learned positions, LayerNorm, fused q, k, v, a plain feed-forward, biases everywhere.  Source: Radford and
 * others, "Language Models are Unsupervised Multitask Learners", 2019.
 * StarCoder 1 has the same block, and one head of keys and values for all (arXiv 2305.06161). */
#include "model/arch.h"

static const struct step layer[] = {
    { S_POSITIONS, 0 },
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
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
    h->n_rot = 0;
    h->n_position = h->n_ctx_train;
}

const struct arch arch_gpt2 = { "gpt2", ROPE_HALF, layer, setup };
const struct arch arch_starcoder = { "starcoder", ROPE_HALF, layer, setup };
