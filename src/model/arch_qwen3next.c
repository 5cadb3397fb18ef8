/* arch_qwen3next.c - Qwen3-Next and Qwen 3.5, dense and with experts: three gated delta nets for each layer of gated attention.
 * Source: arXiv 2412.06464; models spec.  Positions of text are the same on all axes of a multi-axis rotation, so it is the
 * plain one here.  Qwen 3.5 files have the value heads in another order than Qwen3-Next's. */
#include "model/arch.h"

static const struct step attention_moe[] = {
    { S_NORM, "attn_norm" },
    { S_QKV_GATED, 0 },
    { S_QKNORM, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_GATE, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_MOE_GATED, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step delta_moe[] = {
    { S_NORM, "attn_norm" },
    { S_DELTA, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_MOE_GATED, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step attention[] = {
    { S_NORM, "attn_norm" },
    { S_QKV_GATED, 0 },
    { S_QKNORM, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_GATE, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step delta[] = {
    { S_NORM, "attn_norm" },
    { S_DELTA, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static void setup(struct hparams *h, const struct gguf *g)
{
    uint32_t interval = 4, inner = 0;
    hparams_skip_nextn(h, g);
    hparam_u32(g, "full_attention_interval", &interval);
    for (uint32_t i = 0; i < h->n_layer; i++) h->recurrent[i] = !interval || (i + 1) % interval != 0;
    struct recurrence *r = &h->recur;
    hparam_u32(g, "ssm.conv_kernel", &r->taps);
    hparam_u32(g, "ssm.state_size", &r->dk);
    hparam_u32(g, "ssm.group_count", &r->n_key);
    hparam_u32(g, "ssm.time_step_rank", &r->n_value);
    hparam_u32(g, "ssm.inner_size", &inner);
    r->dv = r->n_value && inner % r->n_value == 0 ? inner / r->n_value : 0;
    hparam_u32(g, "expert_shared_feed_forward_length", &h->n_ff_shared);
}

static void setup_next(struct hparams *h, const struct gguf *g)
{
    setup(h, g);
    h->recur.grouped = true;
    h->recurrent_layer = delta_moe;
}

static void setup_35(struct hparams *h, const struct gguf *g)
{
    uint32_t grouped = 0;
    setup(h, g);
    hparam_u32(g, "ssm.value_heads_grouped", &grouped);       /* as checkpoints have them before they become such files */
    h->recur.tiled = !grouped;
    h->recurrent_layer = delta;
}

static void setup_35moe(struct hparams *h, const struct gguf *g)
{
    setup_35(h, g);
    h->recurrent_layer = delta_moe;
}

const struct arch arch_qwen3next = { "qwen3next", ROPE_HALF, attention_moe, setup_next };
const struct arch arch_qwen35 = { "qwen35", ROPE_HALF, attention, setup_35 };
const struct arch arch_qwen35moe = { "qwen35moe", ROPE_HALF, attention_moe, setup_35moe };
