/* tiny_arch.h - small models with random weights of every architecture, in any shape: head counts, tied or not, with and without
 * biases, with few or many experts, in widths that are no whole number of blocks. */
#ifndef HEARTH_TESTS_TINY_ARCH_H
#define HEARTH_TESTS_TINY_ARCH_H

#include "base/buf.h"
#include "tests/tiny_model.h"

/* What the layers of an architecture are made of. */
enum {
    LN = 1,              /* LayerNorm, with biases where the model has them; else RMSNorm */
    POST_ONLY = 2,       /* no norm before attention and feed-forward */
    POST = 4,            /* norms behind both */
    FFN_POST = 8,        /* the norm before the feed-forward is called post_attention_norm */
    PARALLEL = 16,       /* one norm for both */
    NORM_HEADS = 32,     /* norms of q and k heads */
    NORM_QK = 64,        /* norms of all of q and of k */
    FUSED_QKV = 128,
    FUSED_GLU = 256,
    MLP = 512,           /* up and down only */
    POSITIONS = 1024,
    SINKS = 2048,
    EXPERT_BIAS = 4096,
    PROBS_BIAS = 8192,   /* of the choice of experts */
    SHARED_GATE = 16384,
    LATENT = 32768,      /* keys and values from a common compressed form */
    GEMMA4 = 65536
};

static const struct tiny_kind { const char *arch; unsigned parts; } tiny_kind[] = {
    { "llama", 0 },
    { "mistral3", 0 },
    { "qwen2", 0 },
    { "qwen2moe", SHARED_GATE },
    { "qwen3", NORM_HEADS },
    { "qwen3moe", NORM_HEADS },
    { "gemma", 0 },
    { "gemma2", POST },
    { "gemma3", POST | NORM_HEADS },
    { "gemma4", POST | NORM_HEADS | GEMMA4 },
    { "phi2", LN | PARALLEL | MLP },
    { "phi3", FUSED_QKV | FUSED_GLU },
    { "olmo2", POST_ONLY | POST | NORM_QK },
    { "granite", 0 },
    { "granitemoe", 0 },
    { "cohere2", LN | PARALLEL },
    { "glm4", POST | FUSED_GLU },
    { "glm4moe", FFN_POST | PROBS_BIAS },
    { "smollm3", 0 },
    { "gpt2", LN | MLP | POSITIONS | FUSED_QKV },
    { "starcoder2", LN | MLP },
    { "gpt-oss", FFN_POST | SINKS | EXPERT_BIAS },
    { "deepseek2", LATENT | PROBS_BIAS },
    { "qwen2vl", 0 },
    { "qwen3vl", NORM_HEADS },
    { "qwen3vlmoe", NORM_HEADS },
    { "seed_oss", FFN_POST },
    { "dots1", NORM_HEADS | PROBS_BIAS },
    { "hunyuan-dense", NORM_HEADS },
    { "hunyuan-moe", NORM_HEADS },
    { "ernie4_5", 0 },
    { "ernie4_5-moe", 0 },
    { "minimax-m2", NORM_QK | PROBS_BIAS },
    { "exaone", 0 },
    { "exaone4", POST_ONLY | POST | NORM_HEADS },
    { "internlm2", 0 },
    { "deepseek", 0 },
    { "olmoe", NORM_QK },
    { "command-r", LN | PARALLEL },
    { "chatglm", FUSED_QKV | FUSED_GLU },
    { "bailingmoe2", FUSED_QKV | NORM_HEADS | PROBS_BIAS },
    { "starcoder", LN | MLP | POSITIONS | FUSED_QKV },
};

struct tiny_any {
    struct tiny t;                /* K = 0: a kv head for each head */
    bool tied, bias, heads_normed, split;      /* split: the newer layout of latent attention */
    uint32_t rot, Fe, shared, dense, nextn;    /* Fe: width of an expert; shared: of the expert that all meet */
    enum { NEXT_NONE, NEXT_SHARED, NEXT_OWN } next;    /* the last block guesses, with the model's head or one of its own */
    bool echo;                    /* layers add nothing, and that head sees the embedding only: it guesses what the model picks */
    uint32_t groups, groups_used;              /* glm4moe, deepseek2: shared is a multiple of Fe */
    uint32_t q_rank, kv_rank, pe;              /* latent attention; pe: rotated part of a head of t.E, v heads have Ev */
    uint32_t Ev;
    uint32_t per_layer, E_sliding, kv_shared;  /* gemma4 */
    /* Tests of wrong shapes: this tensor (by number) gets one row, or one number, too many. */
    bool damage;
    uint32_t wrong, n_tensor;
    char wrong_name[96];
};

/* A vector of ones; a matrix that gives its input's first numbers. */
static inline void tiny_plain(struct gguf_writer *w, const char *name, const uint64_t ne[3])
{
    float *x = tiny_keep(calloc((size_t)(ne[0] * (ne[1] ? ne[1] : 1)), sizeof *x));
    for (uint64_t i = 0; i < (ne[1] ? ne[1] : ne[0]); i++) x[ne[1] ? i * ne[0] + i : i] = 1;
    gguf_put_tensor(w, tiny_keep(strdup(name)), DT_F32, ne[1] ? 2 : 1, ne, x);
}

static inline void tiny_put(struct gguf_writer *w, struct tiny_any *a, const char *name, const uint64_t shape[3])
{
    if (a->echo && (strstr(name, "nextn.eh_proj") || strstr(name, "nextn.enorm"))) {
        tiny_plain(w, name, shape);
        return;
    }
    uint64_t ne[3] = { shape[0], shape[1], shape[2] };
    uint32_t n = ne[2] ? 3 : ne[1] ? 2 : 1;
    if (a->damage && a->n_tensor++ == a->wrong) {
        snprintf(a->wrong_name, sizeof a->wrong_name, "%s", name);
        ne[n - 1]++;
    }
    bool as_float = strstr(name, ".bias") || strstr(name, "_norm.");
    enum dtype type = a->t.type;
    a->t.blank = a->echo && (strstr(name, "attn_output") || strstr(name, "ffn_down"));
    if (as_float || ne[0] % dtype_info(type)->block_values) a->t.type = as_float ? DT_F32 : DT_F16;
    tiny_tensor(w, &a->t, name, ne, n, 2.0f / sqrtf((float)ne[0]));
    a->t.type = type;
}

/* "blk.l.name"; n1 = 0: a vector. */
static inline void tiny_part(struct gguf_writer *w, struct tiny_any *a, uint32_t l, const char *name, const uint64_t shape[3])
{
    char full[96];
    snprintf(full, sizeof full, "blk.%u.%s", l, name);
    tiny_put(w, a, full, shape);
}

#define TINY_2(name, n0, n1) tiny_part(w, a, l, name, (uint64_t[]){ (n0), (n1), 0 })
#define TINY_3(name, n0, n1, n2) tiny_part(w, a, l, name, (uint64_t[]){ (n0), (n1), (n2) })

static inline void tiny_norm_of(struct gguf_writer *w, struct tiny_any *a, uint32_t l, const char *name, unsigned parts)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    TINY_2(full, a->t.D, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    if ((parts & LN) && a->bias) TINY_2(full, a->t.D, 0);
}

static inline void tiny_linear(struct gguf_writer *w, struct tiny_any *a, uint32_t l, const char *name, uint64_t n_in,
                               uint64_t n_out)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    TINY_2(full, n_in, n_out);
    snprintf(full, sizeof full, "%s.bias", name);
    if (a->bias) TINY_2(full, n_out, 0);
}

static inline void tiny_latent(struct gguf_writer *w, struct tiny_any *a, uint32_t l)
{
    const struct tiny *t = &a->t;
    uint64_t H = t->H, nope = t->E - a->pe;
    if (a->q_rank) {
        TINY_2("attn_q_a.weight", t->D, a->q_rank);
        TINY_2("attn_q_a_norm.weight", a->q_rank, 0);
        TINY_2("attn_q_b.weight", a->q_rank, H * t->E);
    } else {
        TINY_2("attn_q.weight", t->D, H * t->E);
    }
    TINY_2("attn_kv_a_mqa.weight", t->D, a->kv_rank + a->pe);
    TINY_2("attn_kv_a_norm.weight", a->kv_rank, 0);
    if (a->split) {
        TINY_3("attn_k_b.weight", nope, a->kv_rank, H);
        TINY_3("attn_v_b.weight", a->kv_rank, a->Ev, H);
    } else {
        TINY_2("attn_kv_b.weight", a->kv_rank, H * (nope + a->Ev));
    }
    TINY_2("attn_output.weight", H * a->Ev, t->D);
}

static inline bool tiny_slides(const struct tiny_any *a, uint32_t l) { return a->t.window && l % 2 == 0; }

static inline void tiny_attention(struct gguf_writer *w, struct tiny_any *a, uint32_t l, unsigned parts)
{
    const struct tiny *t = &a->t;
    uint64_t E = (parts & GEMMA4) && tiny_slides(a, l) ? a->E_sliding : t->E, q = t->H * E, k = t->K * E;
    bool own = !(parts & GEMMA4) || l + a->kv_shared < t->L;
    if (parts & FUSED_QKV) {
        tiny_linear(w, a, l, "attn_qkv", t->D, q + 2 * k);
    } else {
        tiny_linear(w, a, l, "attn_q", t->D, q);
        if (own) tiny_linear(w, a, l, "attn_k", t->D, k);
        if (own && (!(parts & GEMMA4) || tiny_slides(a, l))) tiny_linear(w, a, l, "attn_v", t->D, k);
    }
    tiny_linear(w, a, l, "attn_output", q, t->D);
    if ((parts & NORM_HEADS) || a->heads_normed) {
        TINY_2("attn_q_norm.weight", E, 0);
        if (own) TINY_2("attn_k_norm.weight", E, 0);
    }
    if (parts & NORM_QK) {
        TINY_2("attn_q_norm.weight", q, 0);
        TINY_2("attn_k_norm.weight", k, 0);
    }
    if (parts & SINKS) TINY_2("attn_sinks.weight", t->H, 0);
}

static inline void tiny_experts(struct gguf_writer *w, struct tiny_any *a, uint32_t l, unsigned parts)
{
    const struct tiny *t = &a->t;
    uint64_t D = t->D, F = a->Fe, E = t->experts;
    TINY_2("ffn_gate_inp.weight", D, E);
    if (parts & GEMMA4) {
        TINY_2("ffn_gate_inp.scale", D, 0);
        TINY_3("ffn_gate_up_exps.weight", D, 2 * F, E);
        TINY_2("ffn_down_exps.scale", E, 0);
    } else {
        TINY_3("ffn_gate_exps.weight", D, F, E);
        TINY_3("ffn_up_exps.weight", D, F, E);
    }
    TINY_3("ffn_down_exps.weight", F, D, E);
    if (parts & EXPERT_BIAS) {
        TINY_2("ffn_gate_inp.bias", E, 0);
        TINY_2("ffn_gate_exps.bias", F, E);
        TINY_2("ffn_up_exps.bias", F, E);
        TINY_2("ffn_down_exps.bias", D, E);
    }
    if (parts & PROBS_BIAS) TINY_2("exp_probs_b.bias", E, 0);
    if (!a->shared) return;
    if (parts & SHARED_GATE) TINY_2("ffn_gate_inp_shexp.weight", D, 1);
    TINY_2("ffn_gate_shexp.weight", D, a->shared);
    TINY_2("ffn_up_shexp.weight", D, a->shared);
    TINY_2("ffn_down_shexp.weight", a->shared, D);
}

static inline void tiny_any_layer(struct gguf_writer *w, struct tiny_any *a, uint32_t l, unsigned parts)
{
    const struct tiny *t = &a->t;
    if (!(parts & POST_ONLY)) tiny_norm_of(w, a, l, "attn_norm", parts);
    if (parts & LATENT) tiny_latent(w, a, l);
    else tiny_attention(w, a, l, parts);
    if (parts & (POST | FFN_POST)) TINY_2("post_attention_norm.weight", t->D, 0);
    if (!(parts & (POST_ONLY | PARALLEL | FFN_POST))) tiny_norm_of(w, a, l, "ffn_norm", parts);
    if (t->experts && l >= a->dense) tiny_experts(w, a, l, parts);
    if (t->experts && (parts & GEMMA4)) {
        TINY_2("post_ffw_norm_1.weight", t->D, 0);
        TINY_2("pre_ffw_norm_2.weight", t->D, 0);
        TINY_2("post_ffw_norm_2.weight", t->D, 0);
    }
    if (t->experts && l >= a->dense && !(parts & GEMMA4)) {
        /* experts only */
    } else if (parts & MLP) {
        tiny_linear(w, a, l, "ffn_up", t->D, t->F);
        tiny_linear(w, a, l, "ffn_down", t->F, t->D);
    } else {
        if (!(parts & FUSED_GLU)) tiny_linear(w, a, l, "ffn_gate", t->D, t->F);
        tiny_linear(w, a, l, "ffn_up", t->D, parts & FUSED_GLU ? 2 * t->F : t->F);
        tiny_linear(w, a, l, "ffn_down", t->F, t->D);
    }
    if (parts & POST) TINY_2("post_ffw_norm.weight", t->D, 0);
    if (!(parts & GEMMA4)) return;
    TINY_2("layer_output_scale.weight", 1, 0);
    if (!a->per_layer) return;
    TINY_2("inp_gate.weight", t->D, a->per_layer);
    TINY_2("proj.weight", a->per_layer, t->D);
    TINY_2("post_norm.weight", t->D, 0);
}

static inline void tiny_next(struct gguf_writer *w, struct tiny_any *a, uint32_t l)
{
    const struct tiny *t = &a->t;
    TINY_2("nextn.eh_proj.weight", 2 * (uint64_t)t->D, t->D);
    TINY_2("nextn.enorm.weight", t->D, 0);
    TINY_2("nextn.hnorm.weight", t->D, 0);
    if (a->next != NEXT_OWN) return;
    TINY_2("nextn.shared_head_norm.weight", t->D, 0);
    TINY_2("nextn.embed_tokens.weight", t->D, TINY_VOCAB);
    TINY_2("nextn.shared_head_head.weight", t->D, TINY_VOCAB);
}

static inline void tiny_f32(struct gguf_writer *w, const struct tiny *t, const char *key, float v)
{
    char n[96];
    snprintf(n, sizeof n, "%s.%s", t->arch, key);
    gguf_put_f32(w, tiny_keep(strdup(n)), v);
}

/* Keys that are not 0. */
static inline void tiny_any_keys(struct gguf_writer *w, const struct tiny_any *a, unsigned parts)
{
    const struct tiny *t = &a->t;
    const bool counted = (parts & PROBS_BIAS) || !strcmp(t->arch, "deepseek");
    const bool mqa = (parts & LATENT) && a->split;
    const struct { const char *key; uint32_t v; } u32[] = {
        { "context_length", 256 }, { "embedding_length", t->D }, { "block_count", t->L }, { "feed_forward_length", t->F },
        { "attention.head_count", t->H }, { "attention.head_count_kv", mqa ? 1 : parts & LATENT ? t->H : t->K },
        { "attention.key_length", mqa ? a->kv_rank + a->pe : t->E },
        { "attention.value_length", mqa ? a->kv_rank : parts & LATENT ? a->Ev : t->E },
        { "attention.key_length_mla", mqa ? t->E : 0 }, { "attention.value_length_mla", mqa ? a->Ev : 0 },
        { "attention.sliding_window", t->window }, { "rope.dimension_count", parts & LATENT ? a->pe : a->rot },
        { "attention.q_lora_rank", a->q_rank }, { "attention.kv_lora_rank", a->kv_rank },
        { "expert_count", t->experts }, { "expert_used_count", t->used }, { "expert_feed_forward_length", a->Fe },
        { counted ? "expert_shared_count" : "expert_shared_feed_forward_length",
          counted && a->Fe ? a->shared / a->Fe : a->shared }, { "leading_dense_block_count", a->dense },
        { "nextn_predict_layers", a->nextn }, { "expert_group_count", a->groups },
        { "expert_group_used_count", a->groups_used }, { "expert_gating_func", parts & PROBS_BIAS ? 2 : 0 },
        { "attention.key_length_swa", a->E_sliding }, { "attention.value_length_swa", a->E_sliding },
        { "rope.dimension_count_swa", a->E_sliding },
        { "attention.shared_kv_layers", a->kv_shared }, { "embedding_length_per_layer_input", a->per_layer },
    };
    for (size_t i = 0; i < sizeof u32 / sizeof *u32; i++)
        if (u32[i].v) tiny_u32(w, t, u32[i].key, u32[i].v);
    tiny_f32(w, t, parts & LN ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", 1e-5f);
    if (!strncmp(t->arch, "granite", 7)) {
        tiny_f32(w, t, "logit_scale", 3);
        tiny_f32(w, t, "residual_scale", 0.4f);
        tiny_f32(w, t, "embedding_scale", 2);
        tiny_f32(w, t, "attention.scale", 0.1f);
    }
    char name[96];
    snprintf(name, sizeof name, "%s.expert_weights_norm", t->arch);
    if (parts & PROBS_BIAS) gguf_put_bool(w, tiny_keep(strdup(name)), true);
    if (!strcmp(t->arch, "cohere2") || !strcmp(t->arch, "command-r")) tiny_f32(w, t, "logit_scale", 0.5f);
    if ((parts & (SINKS | LATENT)) || ((parts & NORM_QK) && t->window)) {
        snprintf(name, sizeof name, "%s.rope.scaling.type", t->arch);
        gguf_put_str(w, tiny_keep(strdup(name)), "yarn", 4);
        tiny_f32(w, t, "rope.scaling.factor", 8);
        tiny_u32(w, t, "rope.scaling.original_context_length", 32);
    }
    if (!strcmp(t->arch, "ernie4_5-moe")) tiny_u32(w, t, "interleave_moe_layer_step", 1);
    static const int32_t sections[4] = { 2, 2, 1, 0 };
    snprintf(name, sizeof name, "%s.rope.dimension_sections", t->arch);
    if (strstr(t->arch, "vl")) gguf_put_array(w, tiny_keep(strdup(name)), GGUF_I32, sections, 4);
    if (parts & LATENT) tiny_f32(w, t, "rope.scaling.yarn_log_multiplier", 0.1f);
    if (parts & LATENT) tiny_f32(w, t, "expert_weights_scale", 1.5f);
}

/* The sliding layers of gemma4, one number for each. */
static inline void tiny_pattern(struct gguf_writer *w, const struct tiny_any *a)
{
    uint32_t *slides = tiny_keep(malloc(a->t.L * sizeof *slides));
    for (uint32_t l = 0; l < a->t.L; l++) slides[l] = tiny_slides(a, l);
    gguf_put_array(w, "gemma4.attention.sliding_window_pattern", GGUF_U32, slides, a->t.L);
}

/* Appends the file's bytes to out.  Zero widths get small defaults; a's damage is as its comment says. */
static inline int tiny_any_bytes(struct buf *out, struct tiny_any *a)
{
    struct gguf_writer *w;
    struct err err = { 0 };
    struct tiny *t = &a->t;
    unsigned parts = 0;
    for (size_t i = 0; i < sizeof tiny_kind / sizeof *tiny_kind; i++)
        if (!strcmp(tiny_kind[i].arch, t->arch)) parts = tiny_kind[i].parts;
    if (gguf_writer_open(&w, &err) < 0) return -1;
    if (!t->L) t->L = 2;
    if (!t->K) t->K = t->H;
    t->seed = 1;
    a->n_tensor = 0;
    gguf_put_str(w, "general.architecture", t->arch, strlen(t->arch));
    tiny_any_keys(w, a, parts);
    if (parts & GEMMA4) tiny_pattern(w, a);
    tiny_vocab(w, NULL);
    tiny_put(w, a, "token_embd.weight", (uint64_t[]){ t->D, TINY_VOCAB, 0 });
    if (parts & POSITIONS) tiny_put(w, a, "position_embd.weight", (uint64_t[]){ t->D, 256, 0 });
    if (a->per_layer) {
        tiny_put(w, a, "per_layer_token_embd.weight", (uint64_t[]){ (uint64_t)a->per_layer * t->L, TINY_VOCAB, 0 });
        tiny_put(w, a, "per_layer_model_proj.weight", (uint64_t[]){ t->D, (uint64_t)a->per_layer * t->L, 0 });
        tiny_put(w, a, "per_layer_proj_norm.weight", (uint64_t[]){ a->per_layer, 0, 0 });
    }
    const uint32_t layers = t->L - (a->next ? 0 : a->nextn);
    for (uint32_t l = 0; l < layers; l++) tiny_any_layer(w, a, l, parts);
    if (a->next) tiny_next(w, a, t->L - a->nextn);
    tiny_put(w, a, "output_norm.weight", (uint64_t[]){ t->D, 0, 0 });
    if ((parts & LN) && a->bias) tiny_put(w, a, "output_norm.bias", (uint64_t[]){ t->D, 0, 0 });
    if (!a->tied) tiny_put(w, a, "output.weight", (uint64_t[]){ t->D, TINY_VOCAB, 0 });
    if (!strcmp(t->arch, "phi2")) tiny_put(w, a, "output.bias", (uint64_t[]){ TINY_VOCAB, 0, 0 });
    if (parts & GEMMA4) tiny_put(w, a, "rope_freqs.weight", (uint64_t[]){ (a->rot ? a->rot : t->E) / 2, 0, 0 });
    int rc = gguf_writer_bytes(w, out, &err);
    if (rc < 0) fprintf(stderr, "%s\n", err.msg);
    gguf_writer_close(w);
    while (tiny_n_kept) free(tiny_kept[--tiny_n_kept]);
    return rc;
}

#undef TINY_2
#undef TINY_3

#endif
