/* arch_hunyuan.c - Hunyuan, dense and A13B: q and k heads are normed behind their rotation.  Source: arXiv 2411.02265; compared
 * with the field's standard engine.  Files hold the base that their longer context asks for. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_QKNORM, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step layer_moe[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_QKNORM, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_MOE_SHARED, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup_moe(struct hparams *h, const struct gguf *g)
{
    h->n_ff_expert = h->n_ff[0];
    if (!hparam_u32(g, "expert_shared_feed_forward_length", &h->n_ff_shared)) h->n_ff_shared = h->n_ff[0];
}

const struct arch arch_hunyuan_dense = { "hunyuan-dense", ROPE_HALF, layer, 0 };
const struct arch arch_hunyuan_moe = { "hunyuan-moe", ROPE_HALF, layer_moe, setup_moe };
