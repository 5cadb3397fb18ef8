/* arch_ernie4_5.c - ERNIE 4.5 text models, dense and with experts, where a bias takes part in their choice.  Source: ERNIE 4.5
 * technical report; compared with the field's standard engine. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
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
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_ROUTED, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup_moe(struct hparams *h, const struct gguf *g)
{
    hparam_u32(g, "expert_shared_feed_forward_length", &h->n_ff_shared);
}

const struct arch arch_ernie4_5 = { "ernie4_5", ROPE_PAIR, layer, 0 };
const struct arch arch_ernie4_5_moe = { "ernie4_5-moe", ROPE_PAIR, layer_moe, setup_moe };
