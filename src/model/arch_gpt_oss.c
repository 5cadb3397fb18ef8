/* arch_gpt_oss.c - gpt-oss: every second layer has a window, each head an extra score without a value, experts have biases and a
 * clamped unit; weights are the softmax of the chosen.  Source: arXiv 2508.10925. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN_SINKS, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_MOE_CLAMPED, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    h->window = 128;
    hparam_u32(g, "attention.sliding_window", &h->window);
    for (uint32_t i = 0; i < h->n_layer; i++) h->sliding[i] = i % 2 == 0;
    h->route.gate = ROUTE_SOFTMAX_AFTER;
    h->route.norm = false;
}

const struct arch arch_gpt_oss = { "gpt-oss", ROPE_HALF, layer, setup };
