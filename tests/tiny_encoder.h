/* tiny_encoder.h - small encoders with random weights (bert, nomic-bert, modern-bert, gemma-embedding), with heads that rank or
 * project. */
#ifndef HEARTH_TESTS_TINY_ENCODER_H
#define HEARTH_TESTS_TINY_ENCODER_H

#include "tests/tiny_model.h"

struct tiny_encoder {
    struct tiny t;
    bool word_piece;              /* [PAD] [UNK] [CLS] [SEP] [MASK], then each letter at the beginning of a word and inside */
    uint32_t n_ctx, rank;         /* rank: rows of the classifier; 0: none */
    int pooling;                  /* -1: the file does not say */
    bool eos;                     /* the tokenizer closes a text */
};

enum { PIECES = 5 + 2 * 26, CLS_ID = 2, SEP_ID = 3 };

static inline int32_t tiny_letter(char c, bool first) { return 5 + 2 * (c - 'a') + !first; }

static inline void tiny_word_pieces(struct gguf_writer *w)
{
    static const char *const special[] = { "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]" };
    struct gguf_str *s = tiny_keep(malloc(PIECES * sizeof *s));
    int32_t *kind = tiny_keep(malloc(PIECES * sizeof *kind));
    char *text = tiny_keep(malloc(26 * 4));
    for (int i = 0; i < PIECES; i++) {
        kind[i] = i == 1 ? 2 : i < 5 ? 3 : 1;
        if (i < 5) {
            s[i] = (struct gguf_str){ special[i], strlen(special[i]) };
            continue;
        }
        char *at = text + (i - 5) / 2 * 4;
        memcpy(at, "\xe2\x96\x81", 3);
        at[3] = (char)('a' + (i - 5) / 2);
        s[i] = (i - 5) % 2 ? (struct gguf_str){ at + 3, 1 } : (struct gguf_str){ at, 4 };
    }
    gguf_put_str(w, "tokenizer.ggml.model", "bert", 4);
    gguf_put_strs(w, "tokenizer.ggml.tokens", s, PIECES);
    gguf_put_array(w, "tokenizer.ggml.token_type", GGUF_I32, kind, PIECES);
    gguf_put_u32(w, "tokenizer.ggml.cls_token_id", CLS_ID);
    gguf_put_u32(w, "tokenizer.ggml.seperator_token_id", SEP_ID);
}

static inline void tiny_vector(struct gguf_writer *w, struct tiny *t, const char *name, uint64_t n)
{
    tiny_tensor(w, t, name, (uint64_t[]){ n }, 1, 0);
}

/* name.weight and name.bias */
static inline void tiny_linear_of(struct gguf_writer *w, struct tiny *t, const char *name, uint64_t n_in, uint64_t n_out)
{
    char n[128];
    snprintf(n, sizeof n, "%s.weight", name);
    if (n_in) tiny_matrix(w, t, n, n_in, n_out);
    else tiny_vector(w, t, n, n_out);
    snprintf(n, sizeof n, "%s.bias", name);
    tiny_vector(w, t, n, n_out);
}

static inline void tiny_modern_layer(struct gguf_writer *w, struct tiny *t, uint32_t l)
{
    char n[96];
#define PART(s) (snprintf(n, sizeof n, "blk.%u.%s.weight", l, s), n)
    if (l) tiny_vector(w, t, PART("attn_norm"), t->D);
    tiny_matrix(w, t, PART("attn_qkv"), t->D, 3 * (uint64_t)t->D);
    tiny_matrix(w, t, PART("attn_output"), t->D, t->D);
    tiny_vector(w, t, PART("ffn_norm"), t->D);
    tiny_matrix(w, t, PART("ffn_up"), t->D, 2 * (uint64_t)t->F);
    tiny_matrix(w, t, PART("ffn_down"), t->F, t->D);
#undef PART
}

static inline void tiny_encoder_layer(struct gguf_writer *w, struct tiny *t, uint32_t l, bool nomic)
{
    char n[96];
#define PART(s) (snprintf(n, sizeof n, "blk.%u.%s", l, s), n)
    uint64_t E = t->D / t->H;
    if (nomic) {
        tiny_matrix(w, t, PART("attn_qkv.weight"), t->D, 3 * t->H * E);
        tiny_matrix(w, t, PART("attn_output.weight"), t->D, t->D);
        tiny_matrix(w, t, PART("ffn_gate.weight"), t->D, t->F);
        tiny_matrix(w, t, PART("ffn_up.weight"), t->D, t->F);
        tiny_matrix(w, t, PART("ffn_down.weight"), t->F, t->D);
    } else {
        tiny_linear_of(w, t, PART("attn_q"), t->D, t->D);
        tiny_linear_of(w, t, PART("attn_k"), t->D, t->D);
        tiny_linear_of(w, t, PART("attn_v"), t->D, t->D);
        tiny_linear_of(w, t, PART("attn_output"), t->D, t->D);
        tiny_linear_of(w, t, PART("ffn_up"), t->D, t->F);
        tiny_linear_of(w, t, PART("ffn_down"), t->F, t->D);
    }
    tiny_linear_of(w, t, PART("attn_output_norm"), 0, t->D);
    tiny_linear_of(w, t, PART("layer_output_norm"), 0, t->D);
#undef PART
}

static inline void tiny_number(struct gguf_writer *w, const struct tiny *t, const char *key, float v)
{
    char n[96];
    snprintf(n, sizeof n, "%s.%s", t->arch, key);
    gguf_put_f32(w, tiny_keep(strdup(n)), v);
}

static inline void tiny_encoder_keys(struct gguf_writer *w, struct tiny_encoder *e)
{
    struct tiny *t = &e->t;
    gguf_put_str(w, "general.architecture", t->arch, strlen(t->arch));
    tiny_u32(w, t, "context_length", e->n_ctx);
    tiny_u32(w, t, "embedding_length", t->D);
    tiny_u32(w, t, "block_count", t->L);
    tiny_u32(w, t, "feed_forward_length", t->F);
    tiny_u32(w, t, "attention.head_count", t->H);
    tiny_number(w, t, "attention.layer_norm_epsilon", 1e-5f);
    tiny_number(w, t, "attention.layer_norm_rms_epsilon", 1e-6f);
    if (t->window) tiny_u32(w, t, "attention.sliding_window", t->window);
    if (!strncmp(t->arch, "gemma", 5)) {                  /* what other programs want to know of the dense layers */
        tiny_u32(w, t, "dense_2_feat_in", t->D);
        tiny_u32(w, t, "dense_2_feat_out", 2 * t->D);
        tiny_u32(w, t, "dense_3_feat_in", 2 * t->D);
        tiny_u32(w, t, "dense_3_feat_out", t->D);
    }
    gguf_put_u32(w, "tokenizer.ggml.token_type_count", 2);
    if (e->pooling >= 0) tiny_u32(w, t, "pooling_type", (uint32_t)e->pooling);
    if (e->word_piece) tiny_word_pieces(w);
    else tiny_vocab(w, NULL);
    if (e->eos) gguf_put_bool(w, "tokenizer.ggml.add_eos_token", true);
}

/* Writes the model; returns 0. */
static inline int tiny_encoder(const char *path, struct tiny_encoder e)
{
    struct gguf_writer *w;
    struct err err;
    struct tiny *t = &e.t;
    uint32_t V = e.word_piece ? PIECES : TINY_VOCAB;
    bool nomic = !strcmp(t->arch, "nomic-bert"), modern = !strcmp(t->arch, "modern-bert"), gemma = !strncmp(t->arch, "gemma", 5);
    if (gguf_writer_open(&w, &err) < 0) return -1;
    if (!t->seed) t->seed = 1;
    if (!e.n_ctx) e.n_ctx = 700;
    t->K = t->H;
    t->E = t->D / t->H;
    tiny_encoder_keys(w, &e);
    tiny_matrix(w, t, "token_embd.weight", t->D, V);
    if (modern) tiny_vector(w, t, "token_embd_norm.weight", t->D);
    if (!gemma && !modern) {
        tiny_tensor(w, t, "token_types.weight", (uint64_t[]){ t->D, 2 }, 2, 0.5f);
        tiny_linear_of(w, t, "token_embd_norm", 0, t->D);
    }
    if (!gemma && !nomic && !modern) tiny_tensor(w, t, "position_embd.weight", (uint64_t[]){ t->D, e.n_ctx }, 2, 0.5f);
    for (uint32_t l = 0; l < t->L; l++) {
        if (gemma) tiny_layer(w, t, l);
        else if (modern) tiny_modern_layer(w, t, l);
        else tiny_encoder_layer(w, t, l, nomic);
    }
    if (gemma || modern) tiny_vector(w, t, "output_norm.weight", t->D);
    if (gemma) tiny_matrix(w, t, "dense_2.weight", t->D, 2 * t->D);
    if (gemma) tiny_matrix(w, t, "dense_3.weight", 2 * t->D, t->D);
    if (e.rank && !modern) tiny_linear_of(w, t, "cls", t->D, t->D);
    if (e.rank && modern) tiny_matrix(w, t, "cls.weight", t->D, t->D);
    if (e.rank && modern) tiny_vector(w, t, "cls.norm.weight", t->D);
    if (e.rank) tiny_linear_of(w, t, "cls.output", t->D, e.rank);
    int rc = gguf_writer_save(w, path, &err);
    if (rc < 0) fprintf(stderr, "%s\n", err.msg);
    gguf_writer_close(w);
    while (tiny_n_kept) free(tiny_kept[--tiny_n_kept]);
    return rc;
}

#endif
