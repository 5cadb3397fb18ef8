/* arch_bert.c - encoders.  BERT, RoBERTa and XLM-RoBERTa (bge, e5, gte, MiniLM and rerankers) normalise after each half of a
 * block, as does Nomic's with rotary positions and a gated feed-forward; ModernBERT before, and two of three layers slide.
 * Source: arXiv 1810.04805, 1911.02116, 2402.01613, 2412.13663.  Files of the RoBERTa kind leave out the rows of the position
 * table that padding would use, so positions begin at 0. */
#include "model/arch.h"

static const struct step layer_bert[] = {
    { S_TYPES, 0 },
    { S_POSITIONS, 0 },
    { S_FIRSTNORM, "/token_embd_norm" },
    { S_INPUT, 0 },
    { S_QKV, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_XNORM, "attn_output_norm" },
    { S_INPUT, 0 },
    { S_MLP, 0 },
    { S_ADD, 0 },
    { S_XNORM, "layer_output_norm" },
    { S_END, 0 },
};

static const struct step layer_nomic[] = {
    { S_TYPES, 0 },
    { S_FIRSTNORM, "/token_embd_norm" },
    { S_INPUT, 0 },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_XNORM, "attn_output_norm" },
    { S_INPUT, 0 },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_XNORM, "layer_output_norm" },
    { S_END, 0 },
};

static const struct step layer_modern[] = {
    { S_FIRSTNORM, "/token_embd_norm" },
    { S_NORM_MAY, "attn_norm" },
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

static void setup_nomic(struct hparams *h, const struct gguf *g)
{
    const struct gguf_tensor *types = gguf_tensor(g, "token_types.weight");
    h->n_segment = !types ? 0 : types->ne[1] < UINT32_MAX ? (uint32_t)types->ne[1] : UINT32_MAX;
    h->bidirectional = true;
    h->norm = NORM_LAYER;
    h->final_norm = NULL;
}

static void setup_bert(struct hparams *h, const struct gguf *g)
{
    setup_nomic(h, g);
    h->act = ACT_GELU_ERF;
    h->n_rot = 0;
    h->n_position = h->n_ctx_train;
}

static void setup_modern(struct hparams *h, const struct gguf *g)
{
    h->bidirectional = true;
    h->norm = NORM_LAYER;
    h->act = ACT_GELU_ERF;
    h->window = 128;
    hparam_u32(g, "attention.sliding_window", &h->window);
    h->window = h->window / 2 + 1;                      /* half of it on each side */
    for (uint32_t i = 0; i < h->n_layer; i++) h->sliding[i] = i % 3 != 0;
    h->rope_base_sliding = 10000;
    hparam_f32(g, "rope.freq_base_swa", &h->rope_base_sliding);
    h->rank_pooling = POOL_MEAN;
    h->rank_act = ACT_GELU_ERF;
}

const struct arch arch_bert = { "bert", ROPE_HALF, layer_bert, setup_bert };
const struct arch arch_nomic_bert = { "nomic-bert", ROPE_HALF, layer_nomic, setup_nomic };
const struct arch arch_modern_bert = { "modern-bert", ROPE_HALF, layer_modern, setup_modern };
