/* arch_llama.c - Llama 1 to 3, Mistral, Codestral, Mixtral and everything converted as "llama";
 * InternLM 2 and 3.
 * Source: arXiv 2302.13971, 2307.09288, 2407.21783; Mixtral 2401.04088.  Q and K rows are stored permuted, so that
 * neighbouring pairs rotate; llama 3's frequency scaling comes as rope_freqs.weight. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    h->n_ff_expert = h->n_ff[0];              /* Mixtral: experts are as wide as the feed-forward key says */
    /* Mistral 7B v0.1 slides in every layer; its GGUF files do not say so. */
    hparam_u32(g, "attention.sliding_window", &h->window);
    for (uint32_t i = 0; i < h->n_layer; i++) h->sliding[i] = h->window > 0;
}

const struct arch arch_llama = { "llama", ROPE_PAIR, layer, setup };
const struct arch arch_internlm2 = { "internlm2", ROPE_PAIR, layer, setup };
