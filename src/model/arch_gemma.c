/* arch_gemma.c - Gemma 1 to 4, EmbeddingGemma.  Source: arXiv 2403.08295, 2408.00118, 2503.19786, 2509.20354;
 * steps_gemma4.c.
 * Embeddings are scaled by sqrt(D); the stored norm weights of 1 to 3 already include the +1. */
#include <math.h>

#include "base/buf.h"
#include "model/arch.h"

static const struct step layer1[] = {
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

static const struct step layer2[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_POSTNORM, "post_attention_norm" },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_POSTNORM, "post_ffw_norm" },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step layer3[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_QKNORM, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_POSTNORM, "post_attention_norm" },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_POSTNORM, "post_ffw_norm" },
    { S_ADD, 0 },
    { S_END, 0 },
};

/* Which layers slide, where the file does not follow the rule of its family. */
static void sliding(struct hparams *h, const struct gguf *g, uint32_t every)
{
    char key[64];
    fmt_into(key, sizeof key, "gemma%d.attention.sliding_window_pattern", every == 2 ? 2 : 3);
    const struct gguf_kv *kv = gguf_find(g, key);
    bool given = kv && kv->type == GGUF_ARRAY && kv->item == GGUF_BOOL && kv->count == h->n_layer;
    for (uint32_t i = 0; i < h->n_layer; i++) {
        int64_t v = (i + 1) % every != 0;
        if (given) gguf_item_i64(kv, i, &v);
        h->sliding[i] = v != 0;
    }
}

static void setup1(struct hparams *h, const struct gguf *g)
{
    (void)g;
    h->act = ACT_GELU;
    h->embed_scale = sqrtf((float)h->n_embd);
}

static void setup2(struct hparams *h, const struct gguf *g)
{
    setup1(h, g);
    h->window = 4096;
    hparam_u32(g, "attention.sliding_window", &h->window);
    if (!hparam_f32(g, "attn_logit_softcapping", &h->attn_softcap)) h->attn_softcap = 50;
    if (!hparam_f32(g, "final_logit_softcapping", &h->final_softcap)) h->final_softcap = 30;
    sliding(h, g, 2);
    if (h->n_layer == 46) h->attn_scale = 1 / sqrtf((float)(h->n_embd / h->n_head[0]));   /* 27B */
    hparam_f32(g, "attention.scale", &h->attn_scale);
}

static void setup3(struct hparams *h, const struct gguf *g)
{
    setup1(h, g);
    if (!h->window) h->window = 1024;
    hparam_u32(g, "attention.sliding_window", &h->window);
    sliding(h, g, 6);
    h->rope_base_sliding = 10000;
    hparam_f32(g, "rope.freq_base_swa", &h->rope_base_sliding);
    h->scale_sliding = false;
    if (h->n_layer == 62) h->attn_scale = 1 / sqrtf((float)(h->n_embd / h->n_head[0]));   /* 27B */
    hparam_f32(g, "attention.scale", &h->attn_scale);
}

static const struct step layer4[] = {
    { S_INPUTS, 0 },
    { S_NORM, "attn_norm" },
    { S_ATTN_SHARED, 0 },
    { S_POSTNORM, "post_attention_norm" },
    { S_ADD, 0 },
    { S_FFN_BOTH, 0 },
    { S_POSTNORM, "post_ffw_norm" },
    { S_ADD, 0 },
    { S_ADD_INPUTS, 0 },
    { S_END, 0 },
};

static void setup4(struct hparams *h, const struct gguf *g)
{
    setup1(h, g);
    h->attn_scale = 1;
    hparam_u32(g, "attention.sliding_window", &h->window);
    h->dk_sliding = h->dk;
    hparam_u32(g, "attention.key_length_swa", &h->dk_sliding);
    h->n_rot_sliding = h->dk_sliding;
    hparam_u32(g, "rope.dimension_count_swa", &h->n_rot_sliding);
    for (uint32_t i = 0; i < h->n_layer; i++) h->sliding[i] = hparam_item(g, "attention.sliding_window_pattern", i) != 0;
}

/* Positions at most half a window away, before and after, are seen by sliding layers. */
static void setup_embedding(struct hparams *h, const struct gguf *g)
{
    h->window = 512;
    setup3(h, g);
    h->window = h->window / 2 + 1;
    h->bidirectional = true;
}

const struct arch arch_gemma = { "gemma", ROPE_HALF, layer1, setup1 };
const struct arch arch_gemma2 = { "gemma2", ROPE_HALF, layer2, setup2 };
const struct arch arch_gemma3 = { "gemma3", ROPE_HALF, layer3, setup3 };
const struct arch arch_gemma4 = { "gemma4", ROPE_HALF, layer4, setup4 };
const struct arch arch_gemma_embedding = { "gemma-embedding", ROPE_HALF, layer3, setup_embedding };
