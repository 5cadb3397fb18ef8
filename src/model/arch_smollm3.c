/* arch_smollm3.c - SmolLM3: the llama block; every fourth layer has no rotary positions.  Source: arXiv 2501.18795 (NoPE in some
 * layers), the model's published configuration. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE_SOME, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    (void)g;
    for (uint32_t i = 0; i < h->n_layer; i++) h->still[i] = i % 4 == 3;
}

const struct arch arch_smollm3 = { "smollm3", ROPE_PAIR, layer, setup };
