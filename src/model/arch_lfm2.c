/* arch_lfm2.c - LFM2, dense and with experts: gated short convolutions between layers of attention; the layers without kv heads
 * are the convolutions.  Source: arXiv 2511.23404. */
#include "model/arch.h"

static const struct step attention[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_QKNORM, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_LEAD_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step convolution[] = {
    { S_NORM, "attn_norm" },
    { S_SHORTCONV, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_LEAD_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup_moe(struct hparams *h, const struct gguf *g)
{
    hparams_routing(h, g);
    h->route.norm = true;
    for (uint32_t i = 0; i < h->n_layer; i++) h->recurrent[i] = !h->n_kv[i];
    h->recurrent_layer = convolution;
    hparam_u32(g, "shortconv.l_cache", &h->recur.taps);
    if (!gguf_tensor(g, "output_norm.weight")) h->final_norm = "/token_embd_norm";
}

static void setup(struct hparams *h, const struct gguf *g)
{
    setup_moe(h, g);
    h->n_dense = h->n_layer;
}

const struct arch arch_lfm2 = { "lfm2", ROPE_HALF, attention, setup };
const struct arch arch_lfm2moe = { "lfm2moe", ROPE_HALF, attention, setup_moe };
