/* tiny_model.h - writes small models with random weights, so that every checkout can test the engine end to end.
 * The vocabulary is byte-level: ids 0..255 are the bytes, then <|endoftext|>, <|im_start|>, <|im_end|>. */
#ifndef HEARTH_TESTS_TINY_MODEL_H
#define HEARTH_TESTS_TINY_MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/gguf.h"
#include "quant/quant.h"

struct tiny {
    const char *arch;             /* "llama", "qwen3", "qwen3moe", "gemma3", ... */
    enum dtype type;              /* of all matrices */
    uint32_t D, L, H, K, E, F;    /* widths; K kv heads, E head size, F feed-forward */
    uint32_t experts, used;
    uint32_t window;
    bool next;                    /* a block more: a head that guesses further tokens */
    bool echo;                    /* layers add little, and that head sees little but the embedding: it is often right */
    bool blank;                   /* all matrices are 0: where only shapes matter */
    uint64_t seed;
    const char *chat;             /* its chat template; NULL: ChatML */
};

enum { TINY_VOCAB = 259, TINY_MAX_TENSORS = 4096 };

static void *tiny_kept[TINY_MAX_TENSORS];
static size_t tiny_n_kept;

static void *tiny_keep(void *p)
{
    if (!p || tiny_n_kept == TINY_MAX_TENSORS) abort();
    return tiny_kept[tiny_n_kept++] = p;
}

static float tiny_random(uint64_t *s)
{
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    uint64_t a = *s >> 33;
    *s = *s * 6364136223846793005u + 1442695040888963407u;
    uint64_t b = *s >> 33;
    return ((float)a + (float)b) / 2147483648.0f - 1.0f;       /* triangular in -1..1 */
}

/* How much of a matrix of an echo is left. */
static inline float tiny_echo(const struct tiny *t, const char *name)
{
    return t->echo && (strstr(name, "attn_output") || strstr(name, "ssm_out") || strstr(name, "ffn_down")) ? 0.02f : 1;
}

/* Vectors are about 1, but for the decay of delta nets: a slow one. */
static inline float tiny_value(struct tiny *t, const char *name, bool vector, float scale)
{
    float x = tiny_random(&t->seed);
    if (!vector) return scale * x;
    if (strstr(name, ".ssm_dt")) return x - 2;
    return strstr(name, ".ssm_a") ? 0.2f * x - 0.5f : 1 + 0.1f * x;
}

static inline void tiny_tensor(struct gguf_writer *w, struct tiny *t, const char *name, const uint64_t *ne, uint32_t n_dims,
                               float scale)
{
    size_t rows = 1;
    for (uint32_t i = 1; i < n_dims; i++) rows *= (size_t)ne[i];
    enum dtype type = n_dims == 1 || strstr(name, "gate_inp") || strstr(name, "conv1d") || strstr(name, ".conv.") ? DT_F32
                                                                                                                 : t->type;
    uint64_t row_bytes;
    if (!dtype_row_bytes(type, ne[0], &row_bytes)) abort();
    float *x = malloc((size_t)ne[0] * 4);
    uint8_t *d = tiny_keep(calloc(rows, (size_t)row_bytes));
    struct quant_random any;
    pack_fn *const pack = quant_pack(type);
    if (t->blank && n_dims > 1) {
        rows = 0;
    } else if (!pack && quant_random_init(&any, type, 0, scale / 2, t->seed++)) {
        quant_random_blocks(&any, 0, rows * (size_t)row_bytes / dtype_info(type)->block_bytes, d);
        rows = 0;
    }
    for (size_t r = 0; r < rows; r++) {
        const bool through = t->echo && strstr(name, "nextn.");        /* the embedding goes through as it is */
        for (uint64_t i = 0; i < ne[0]; i++)
            x[i] = through ? n_dims == 1 || i == r : tiny_value(t, name, n_dims == 1, scale * tiny_echo(t, name));
        pack(x, d + r * row_bytes, (size_t)ne[0]);
    }
    free(x);
    gguf_put_tensor(w, tiny_keep(strdup(name)), type, n_dims, ne, d);
}

static inline void tiny_matrix(struct gguf_writer *w, struct tiny *t, const char *name, uint64_t n_in, uint64_t n_out)
{
    tiny_tensor(w, t, name, (uint64_t[]){ n_in, n_out }, 2, 2.0f / sqrtf((float)n_in));
}

/* Delta nets have K key heads of E - 24 numbers and H value heads of E; every fourth layer of Qwen's and every second of LFM2's
 * is attention. */
enum { TINY_TAPS = 4, TINY_SHORT_TAPS = 3 };

static inline bool tiny_lfm2(const struct tiny *t) { return !strncmp(t->arch, "lfm2", 4); }
static inline bool tiny_delta(const struct tiny *t) { return !strcmp(t->arch, "qwen3next") || !strncmp(t->arch, "qwen35", 6); }
static inline bool tiny_recurrent(const struct tiny *t, uint32_t l)
{
    return tiny_lfm2(t) ? l % 2 == 0 : tiny_delta(t) && l < t->L && (l + 1) % 4 != 0;
}

static inline void tiny_recurrent_mixer(struct gguf_writer *w, struct tiny *t, uint32_t l)
{
    char n[64];
#define TINY_NAME(s) (snprintf(n, sizeof n, "blk.%u.%s", l, s), n)
    uint64_t keys = (uint64_t)t->K * (t->E - 24), values = (uint64_t)t->H * t->E, all = 2 * keys + values;
    if (tiny_lfm2(t)) {
        tiny_matrix(w, t, TINY_NAME("shortconv.in_proj.weight"), t->D, 3 * (uint64_t)t->D);
        tiny_tensor(w, t, TINY_NAME("shortconv.conv.weight"), (uint64_t[]){ TINY_SHORT_TAPS, t->D }, 2, 0.7f);
        tiny_matrix(w, t, TINY_NAME("shortconv.out_proj.weight"), t->D, t->D);
        return;
    }
    tiny_matrix(w, t, TINY_NAME("attn_qkv.weight"), t->D, all);
    tiny_matrix(w, t, TINY_NAME("attn_gate.weight"), t->D, values);
    tiny_tensor(w, t, TINY_NAME("ssm_conv1d.weight"), (uint64_t[]){ TINY_TAPS, all }, 2, 0.7f);
    tiny_tensor(w, t, TINY_NAME("ssm_dt.bias"), (uint64_t[]){ t->H }, 1, 0);
    tiny_tensor(w, t, TINY_NAME("ssm_a"), (uint64_t[]){ t->H }, 1, 0);
    if (!strcmp(t->arch, "qwen3next")) {
        tiny_matrix(w, t, TINY_NAME("ssm_ba.weight"), t->D, 2 * (uint64_t)t->H);
    } else {
        tiny_matrix(w, t, TINY_NAME("ssm_beta.weight"), t->D, t->H);
        tiny_matrix(w, t, TINY_NAME("ssm_alpha.weight"), t->D, t->H);
    }
    tiny_tensor(w, t, TINY_NAME("ssm_norm.weight"), (uint64_t[]){ t->E }, 1, 0);
    tiny_matrix(w, t, TINY_NAME("ssm_out.weight"), values, t->D);
#undef TINY_NAME
}

static inline void tiny_plain_attention(struct gguf_writer *w, struct tiny *t, uint32_t l)
{
    char n[64];
#define TINY_NAME(s) (snprintf(n, sizeof n, "blk.%u.%s.weight", l, s), n)
    bool normed = !strncmp(t->arch, "qwen3", 5) || tiny_lfm2(t) || !strcmp(t->arch, "gemma3") ||
                  !strcmp(t->arch, "gemma-embedding");
    tiny_matrix(w, t, TINY_NAME("attn_q"), t->D, (uint64_t)t->H * t->E * (tiny_delta(t) ? 2 : 1));
    tiny_matrix(w, t, TINY_NAME("attn_k"), t->D, (uint64_t)t->K * t->E);
    tiny_matrix(w, t, TINY_NAME("attn_v"), t->D, (uint64_t)t->K * t->E);
    tiny_matrix(w, t, TINY_NAME("attn_output"), (uint64_t)t->H * t->E, t->D);
    if (normed) tiny_tensor(w, t, TINY_NAME("attn_q_norm"), (uint64_t[]){ t->E }, 1, 0);
    if (normed) tiny_tensor(w, t, TINY_NAME("attn_k_norm"), (uint64_t[]){ t->E }, 1, 0);
#undef TINY_NAME
}

static inline void tiny_layer(struct gguf_writer *w, struct tiny *t, uint32_t l)
{
    char n[64];
#define TINY_NAME(s) (snprintf(n, sizeof n, "blk.%u.%s.weight", l, s), n)
    bool gemma = !strncmp(t->arch, "gemma", 5);
    tiny_tensor(w, t, TINY_NAME("attn_norm"), (uint64_t[]){ t->D }, 1, 0);
    if (tiny_recurrent(t, l)) tiny_recurrent_mixer(w, t, l);
    else tiny_plain_attention(w, t, l);
    if (gemma && t->arch[5]) tiny_tensor(w, t, TINY_NAME("post_attention_norm"), (uint64_t[]){ t->D }, 1, 0);
    if (gemma && t->arch[5]) tiny_tensor(w, t, TINY_NAME("post_ffw_norm"), (uint64_t[]){ t->D }, 1, 0);
    tiny_tensor(w, t, TINY_NAME(tiny_delta(t) ? "post_attention_norm" : "ffn_norm"), (uint64_t[]){ t->D }, 1, 0);
    if (!t->experts) {
        tiny_matrix(w, t, TINY_NAME("ffn_gate"), t->D, t->F);
        tiny_matrix(w, t, TINY_NAME("ffn_up"), t->D, t->F);
        tiny_matrix(w, t, TINY_NAME("ffn_down"), t->F, t->D);
        return;
    }
    float in = 2.0f / sqrtf((float)t->D), out = 2.0f / sqrtf((float)t->F);
    tiny_matrix(w, t, TINY_NAME("ffn_gate_inp"), t->D, t->experts);
    tiny_tensor(w, t, TINY_NAME("ffn_gate_exps"), (uint64_t[]){ t->D, t->F, t->experts }, 3, in);
    tiny_tensor(w, t, TINY_NAME("ffn_up_exps"), (uint64_t[]){ t->D, t->F, t->experts }, 3, in);
    tiny_tensor(w, t, TINY_NAME("ffn_down_exps"), (uint64_t[]){ t->F, t->D, t->experts }, 3, out);
    if (!tiny_delta(t)) return;
    tiny_matrix(w, t, TINY_NAME("ffn_gate_shexp"), t->D, t->F);
    tiny_matrix(w, t, TINY_NAME("ffn_up_shexp"), t->D, t->F);
    tiny_matrix(w, t, TINY_NAME("ffn_down_shexp"), t->F, t->D);
    tiny_tensor(w, t, TINY_NAME("ffn_gate_inp_shexp"), (uint64_t[]){ t->D }, 1, 0);
#undef TINY_NAME
}

static inline void tiny_next_head(struct gguf_writer *w, struct tiny *t)
{
    char n[64];
#define TINY_NAME(s) (snprintf(n, sizeof n, "blk.%u.nextn.%s.weight", t->L, s), n)
    tiny_matrix(w, t, TINY_NAME("eh_proj"), 2 * (uint64_t)t->D, t->D);
    tiny_tensor(w, t, TINY_NAME("enorm"), (uint64_t[]){ t->D }, 1, 0);
    tiny_tensor(w, t, TINY_NAME("hnorm"), (uint64_t[]){ t->D }, 1, 0);
    if (!t->echo) tiny_tensor(w, t, TINY_NAME("shared_head_norm"), (uint64_t[]){ t->D }, 1, 0);
#undef TINY_NAME
}

/* The printable alphabet of byte-level BPE. */
static inline void tiny_vocab(struct gguf_writer *w, const char *chat)
{
    static const char *const special[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
    struct gguf_str *s = tiny_keep(malloc(TINY_VOCAB * sizeof *s));
    int32_t *kind = tiny_keep(malloc(TINY_VOCAB * sizeof *kind));
    char *text = tiny_keep(malloc(256 * 2));
    int extra = 256;
    for (int b = 0; b < 256; b++) {
        bool plain = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        int cp = plain ? b : extra++;
        char *c = text + 2 * b;
        c[0] = (char)(cp < 128 ? cp : 0xc0 | cp >> 6);
        c[1] = (char)(0x80 | (cp & 63));
        s[b] = (struct gguf_str){ c, cp < 128 ? 1 : 2 };
        kind[b] = 1;
    }
    for (int i = 0; i < 3; i++) {
        s[256 + i] = (struct gguf_str){ special[i], strlen(special[i]) };
        kind[256 + i] = 3;
    }
    gguf_put_str(w, "tokenizer.ggml.model", "gpt2", 4);
    gguf_put_str(w, "tokenizer.ggml.pre", "qwen2", 5);
    gguf_put_strs(w, "tokenizer.ggml.tokens", s, TINY_VOCAB);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, kind, TINY_VOCAB);
    gguf_put_strs(w, "tokenizer.ggml.merges", s, 0);
    gguf_put_u32(w, "tokenizer.ggml.eos_token_id", 258);
    static const char chatml[] =
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
    if (!chat) chat = chatml;
    gguf_put_str(w, "tokenizer.chat_template", chat, strlen(chat));
}

static inline void tiny_u32(struct gguf_writer *w, const struct tiny *t, const char *key, uint32_t v)
{
    char n[96];
    snprintf(n, sizeof n, "%s.%s", t->arch, key);
    gguf_put_u32(w, tiny_keep(strdup(n)), v);
}

static inline void tiny_recurrent_keys(struct gguf_writer *w, const struct tiny *t)
{
    if (tiny_lfm2(t)) tiny_u32(w, t, "shortconv.l_cache", TINY_SHORT_TAPS);
    if (!tiny_delta(t)) return;
    tiny_u32(w, t, "ssm.conv_kernel", TINY_TAPS);
    tiny_u32(w, t, "ssm.state_size", t->E - 24);
    tiny_u32(w, t, "ssm.group_count", t->K);
    tiny_u32(w, t, "ssm.time_step_rank", t->H);
    tiny_u32(w, t, "ssm.inner_size", t->H * t->E);
    tiny_u32(w, t, "full_attention_interval", 4);
    tiny_u32(w, t, "rope.dimension_count", t->E / 4 / 2 * 2);
    if (t->experts) tiny_u32(w, t, "expert_shared_feed_forward_length", t->F);
}

/* A number, or for LFM2 one for each layer. */
static inline void tiny_kv_heads(struct gguf_writer *w, const struct tiny *t)
{
    char n[96];
    if (!tiny_lfm2(t)) {
        tiny_u32(w, t, "attention.head_count_kv", t->K);
        return;
    }
    int32_t *v = tiny_keep(malloc(t->L * sizeof *v));
    for (uint32_t l = 0; l < t->L; l++) v[l] = tiny_recurrent(t, l) ? 0 : (int32_t)t->K;
    snprintf(n, sizeof n, "%s.attention.head_count_kv", t->arch);
    gguf_put_array(w, tiny_keep(strdup(n)), GGUF_I32, v, t->L);
}

/* Writes the model; returns 0.  Zero fields get small defaults. */
static inline int tiny_model(const char *path, struct tiny t)
{
    struct gguf_writer *w;
    struct err err;
    if (gguf_writer_open(&w, &err) < 0) return -1;
    if (!t.D) t.D = 256;
    if (!t.L) t.L = 2;
    if (!t.H) t.H = 4;
    if (!t.K) t.K = 2;
    if (!t.E) t.E = 64;
    if (!t.F) t.F = 256;
    if (!t.seed) t.seed = 1;
    gguf_put_str(w, "general.architecture", t.arch, strlen(t.arch));
    gguf_put_str(w, "general.name", "tiny", 4);
    tiny_u32(w, &t, "context_length", 1024);
    tiny_u32(w, &t, "embedding_length", t.D);
    tiny_u32(w, &t, "block_count", t.L + t.next);
    if (t.next) tiny_u32(w, &t, "nextn_predict_layers", 1);
    tiny_u32(w, &t, "feed_forward_length", t.F);
    tiny_u32(w, &t, "attention.head_count", t.H);
    tiny_kv_heads(w, &t);
    tiny_recurrent_keys(w, &t);
    tiny_u32(w, &t, "attention.key_length", t.E);
    tiny_u32(w, &t, "attention.value_length", t.E);
    if (t.window) tiny_u32(w, &t, "attention.sliding_window", t.window);
    if (t.experts) {
        tiny_u32(w, &t, "expert_count", t.experts);
        tiny_u32(w, &t, "expert_used_count", t.used);
        tiny_u32(w, &t, "expert_feed_forward_length", t.F);
    }
    tiny_vocab(w, t.chat);
    tiny_matrix(w, &t, "token_embd.weight", t.D, TINY_VOCAB);
    for (uint32_t l = 0; l < t.L + t.next; l++) tiny_layer(w, &t, l);
    if (t.next) tiny_next_head(w, &t);
    tiny_tensor(w, &t, tiny_lfm2(&t) ? "token_embd_norm.weight" : "output_norm.weight", (uint64_t[]){ t.D }, 1, 0);
    tiny_matrix(w, &t, "output.weight", t.D, TINY_VOCAB);
    int rc = gguf_writer_save(w, path, &err);
    if (rc < 0) fprintf(stderr, "%s\n", err.msg);
    gguf_writer_close(w);
    while (tiny_n_kept) free(tiny_kept[--tiny_n_kept]);
    return rc;
}

#endif
