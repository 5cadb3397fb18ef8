/* hf_folder.h - writes a small model (tests/tiny_model.h) once more as a folder of the Hugging Face Hub: the same numbers under
 * the names, shapes and orders of such checkpoints.  The tables are written from the checkpoints' conventions, not from
 * src/format. */
#ifndef HEARTH_TESTS_HF_FOLDER_H
#define HEARTH_TESTS_HF_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "format/gguf.h"
#include "quant/quant.h"

enum {
    HFF_NESTED = 1,        /* text_config, tensors below language_model.model. */
    HFF_SHARDS = 2,        /* two files and an index */
    HFF_STACKED = 4,       /* experts as [E, 2F, D] and [E, D, F] */
    HFF_FUSED = 8,         /* q, k, v in one matrix, gate and up in another */
    HFF_PERMUTED = 16,     /* the GGUF file has Q and K permuted: undo it */
    HFF_NEW_ROPE = 32,     /* rope_parameters instead of rope_theta */
    HFF_MIXTRAL = 64       /* block_sparse_moe.experts.E.w1 */
};

struct hff_tensor { char name[192]; const char *dtype; uint64_t shape[4]; int n_dims; uint8_t *data; size_t bytes; };

struct hff {
    const char *dir;
    const struct gguf *g;
    unsigned flags;
    char arch[32];
    struct hff_tensor *t;
    size_t n;
};

static inline FILE *hff_file(const char *dir, const char *name)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    if (!f) abort();
    return f;
}

static inline void hff_text(const char *dir, const char *name, const char *text)
{
    FILE *f = hff_file(dir, name);
    if (fputs(text, f) < 0 || fclose(f)) abort();
}

static inline struct hff_tensor *hff_new(struct hff *w, const char *name, const char *dtype, size_t bytes)
{
    struct hff_tensor *t = &w->t[w->n++];
    memset(t, 0, sizeof *t);
    snprintf(t->name, sizeof t->name, "%s", name);
    t->dtype = dtype;
    t->bytes = bytes;
    if (!(t->data = malloc(bytes))) abort();
    return t;
}

/* The tensors [from, to) as one file. */
static inline void hff_save(const struct hff *w, const char *name, size_t from, size_t to)
{
    static char head[1 << 20];
    size_t n = 0, at = 0;
    n += (size_t)snprintf(head + n, sizeof head - n, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (size_t i = from; i < to; i++) {
        const struct hff_tensor *t = &w->t[i];
        n += (size_t)snprintf(head + n, sizeof head - n, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, t->dtype);
        for (int d = 0; d < t->n_dims; d++)
            n += (size_t)snprintf(head + n, sizeof head - n, "%s%llu", d ? "," : "", (unsigned long long)t->shape[d]);
        n += (size_t)snprintf(head + n, sizeof head - n, "],\"data_offsets\":[%zu,%zu]}", at, at + t->bytes);
        at += t->bytes;
    }
    n += (size_t)snprintf(head + n, sizeof head - n, "} ");
    while (n % 8 != 3) head[n++] = ' ';                  /* data at an odd address: nothing may depend on alignment */
    FILE *f = hff_file(w->dir, name);
    for (int i = 0; i < 8; i++) fputc((int)(n >> (8 * i) & 255), f);
    fwrite(head, 1, n, f);
    for (size_t i = from; i < to; i++) fwrite(w->t[i].data, 1, w->t[i].bytes, f);
    if (fclose(f)) abort();
}

static inline void hff_save_all(const struct hff *w)
{
    if (!(w->flags & HFF_SHARDS)) {
        hff_save(w, "model.safetensors", 0, w->n);
        return;
    }
    static const char *const shard[] = { "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors" };
    hff_save(w, shard[0], 0, w->n / 2);
    hff_save(w, shard[1], w->n / 2, w->n);
    FILE *f = hff_file(w->dir, "model.safetensors.index.json");
    fputs("{\"metadata\":{\"total_size\":1},\"weight_map\":{", f);
    for (size_t i = 0; i < w->n; i++) fprintf(f, "%s\n\"%s\":\"%s\"", i ? "," : "", w->t[i].name, shard[i >= w->n / 2]);
    fputs("}}\n", f);
    if (fclose(f)) abort();
}

/* ---- tensors ---- */

static inline const char *hff_dtype(enum dtype t)
{
    return t == DT_F32 ? "F32" : t == DT_F16 ? "F16" : t == DT_BF16 ? "BF16" : NULL;
}

static inline uint32_t hff_u32(const struct hff *w, const char *key)
{
    char name[96];
    uint32_t v = 0;
    snprintf(name, sizeof name, "%s.%s", w->arch, key);
    gguf_get_u32(w->g, name, &v);
    return v;
}

/* Rows 2i + s of a head become rows i + s * size / 2. */
static inline void hff_unpermute(const struct hff *w, struct hff_tensor *t)
{
    uint64_t E = hff_u32(w, "attention.key_length"), row = t->bytes / t->shape[0];
    uint8_t *d = malloc(t->bytes);
    if (!d) abort();
    for (uint64_t r = 0; r < t->shape[0]; r++) {
        uint64_t head = r / E, in = r % E;
        memcpy(d + (head * E + in / 2 + in % 2 * (E / 2)) * row, t->data + r * row, row);
    }
    free(t->data);
    t->data = d;
}

static inline void hff_copy(struct hff *w, const char *name, const struct gguf_tensor *g)
{
    struct hff_tensor *t = hff_new(w, name, hff_dtype(g->type), (size_t)g->bytes);
    memcpy(t->data, g->data, t->bytes);
    t->n_dims = (int)g->n_dims;
    for (int i = 0; i < t->n_dims; i++) t->shape[i] = g->ne[t->n_dims - 1 - i];
    bool gemma = !strncmp(w->arch, "gemma", 5);
    for (size_t i = 0; gemma && t->n_dims == 1 && i < t->bytes / 4; i++) {
        float f;
        memcpy(&f, t->data + 4 * i, 4);
        f -= 1;
        memcpy(t->data + 4 * i, &f, 4);
    }
    if (w->flags & HFF_PERMUTED && (strstr(name, "q_proj") || strstr(name, "k_proj"))) hff_unpermute(w, t);
}

/* Matrices one below the other, per expert where there are experts. */
static inline void hff_join(struct hff *w, const char *name, const struct gguf_tensor *const *g, int n)
{
    size_t E = (size_t)g[0]->ne[2], bytes = 0, at = 0;
    for (int i = 0; i < n; i++) bytes += (size_t)g[i]->bytes;
    struct hff_tensor *t = hff_new(w, name, hff_dtype(g[0]->type), bytes);
    for (size_t e = 0; e < E; e++)
        for (int i = 0; i < n; i++) {
            size_t one = (size_t)g[i]->bytes / E;
            memcpy(t->data + at, g[i]->data + e * one, one);
            at += one;
            if (!e) t->shape[E > 1] += g[i]->ne[1];
        }
    t->n_dims = E > 1 ? 3 : 2;
    if (E > 1) t->shape[0] = E;
    t->shape[t->n_dims - 1] = g[0]->ne[0];
}

static inline void hff_experts(struct hff *w, const char *layer, const struct gguf_tensor *g, int which)
{
    static const char *const usual[] = { "mlp.experts.%u.gate_proj", "mlp.experts.%u.up_proj", "mlp.experts.%u.down_proj" };
    static const char *const mixtral[] = { "block_sparse_moe.experts.%u.w1", "block_sparse_moe.experts.%u.w3",
                                           "block_sparse_moe.experts.%u.w2" };
    for (unsigned e = (unsigned)g->ne[2]; e--;) {            /* backwards: the order in the file means nothing */
        char module[64], name[192];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(module, sizeof module, (w->flags & HFF_MIXTRAL ? mixtral : usual)[which], e);
#pragma GCC diagnostic pop
        snprintf(name, sizeof name, "%s%s.weight", layer, module);
        struct hff_tensor *t = hff_new(w, name, hff_dtype(g->type), (size_t)(g->bytes / g->ne[2]));
        memcpy(t->data, g->data + e * t->bytes, t->bytes);
        t->n_dims = 2;
        t->shape[0] = g->ne[1];
        t->shape[1] = g->ne[0];
    }
}

static inline void hff_layer(struct hff *w, uint32_t l, const char *prefix)
{
    bool gemma = !strncmp(w->arch, "gemma", 5) && w->arch[5], moe = hff_u32(w, "expert_count") > 0;
    const struct { const char *from, *to; } row[] = {
        { "attn_norm", "input_layernorm" },
        { "attn_q", w->flags & HFF_FUSED ? NULL : "self_attn.q_proj" },
        { "attn_k", w->flags & HFF_FUSED ? NULL : "self_attn.k_proj" },
        { "attn_v", w->flags & HFF_FUSED ? NULL : "self_attn.v_proj" },
        { "attn_output", "self_attn.o_proj" },
        { "attn_q_norm", "self_attn.q_norm" },
        { "attn_k_norm", "self_attn.k_norm" },
        { "post_attention_norm", "post_attention_layernorm" },
        { "ffn_norm", gemma ? "pre_feedforward_layernorm" : "post_attention_layernorm" },
        { "post_ffw_norm", "post_feedforward_layernorm" },
        { "ffn_gate", w->flags & HFF_FUSED ? NULL : "mlp.gate_proj" },
        { "ffn_up", w->flags & HFF_FUSED ? NULL : "mlp.up_proj" },
        { "ffn_down", "mlp.down_proj" },
        { "ffn_gate_inp", w->flags & HFF_MIXTRAL ? "block_sparse_moe.gate" : "mlp.gate" },
    };
    char layer[64], name[160];
    const struct gguf_tensor *x[3];
    snprintf(layer, sizeof layer, "%slayers.%u.", prefix, l);
#define HFF_OF(part) (snprintf(name, sizeof name, "blk.%u.%s.weight", l, part), gguf_tensor(w->g, name))
#define HFF_TO(part) (snprintf(name, sizeof name, "%s%s", layer, part), name)
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const struct gguf_tensor *g = row[i].to ? HFF_OF(row[i].from) : NULL;
        if (!g) continue;
        snprintf(name, sizeof name, "%s%s.weight", layer, row[i].to);
        hff_copy(w, name, g);
    }
    if (w->flags & HFF_FUSED) {
        x[0] = HFF_OF("attn_q"), x[1] = HFF_OF("attn_k"), x[2] = HFF_OF("attn_v");
        hff_join(w, HFF_TO("self_attn.qkv_proj.weight"), x, 3);
        x[0] = HFF_OF("ffn_gate"), x[1] = HFF_OF("ffn_up");
        hff_join(w, HFF_TO("mlp.gate_up_proj.weight"), x, 2);
    }
    if (!moe) return;
    x[0] = HFF_OF("ffn_gate_exps"), x[1] = HFF_OF("ffn_up_exps"), x[2] = HFF_OF("ffn_down_exps");
    if (w->flags & HFF_STACKED) {
        hff_join(w, HFF_TO("mlp.experts.gate_up_proj"), x, 2);
        hff_join(w, HFF_TO("mlp.experts.down_proj"), x + 2, 1);
    }
    for (int i = 0; !(w->flags & HFF_STACKED) && i < 3; i++) hff_experts(w, layer, x[i], i);
#undef HFF_OF
#undef HFF_TO
}

/* ---- the small files ---- */

static inline void hff_config(const struct hff *w)
{
    static const struct { const char *arch, *class, *type; } row[] = {
        { "llama", "LlamaForCausalLM", "llama" }, { "qwen2", "Qwen2ForCausalLM", "qwen2" },
        { "qwen3", "Qwen3ForCausalLM", "qwen3" }, { "qwen3moe", "Qwen3MoeForCausalLM", "qwen3_moe" },
        { "gemma", "GemmaForCausalLM", "gemma" }, { "gemma2", "Gemma2ForCausalLM", "gemma2" },
        { "gemma3", "Gemma3ForCausalLM", "gemma3_text" }, { "phi3", "Phi3ForCausalLM", "phi3" },
    };
    size_t i = 0;
    while (strcmp(row[i].arch, w->arch)) i++;
    bool mixtral = w->flags & HFF_MIXTRAL;
    const char *class = mixtral ? "MixtralForCausalLM" : w->flags & HFF_NESTED ? "Gemma3ForConditionalGeneration" : row[i].class;
    FILE *f = hff_file(w->dir, "config.json");
    fprintf(f, "{\"architectures\":[\"%s\"],", class);
    if (w->flags & HFF_NESTED) fputs("\"model_type\":\"wrapper\",\"vision_config\":{},\"text_config\":{", f);
    fprintf(f, "\"model_type\":\"%s\",\"hidden_size\":%u,\"num_hidden_layers\":%u,\"intermediate_size\":%u,", mixtral ? "mixtral"
            : row[i].type, hff_u32(w, "embedding_length"), hff_u32(w, "block_count"), hff_u32(w, "feed_forward_length"));
    fprintf(f, "\"num_attention_heads\":%u,\"num_key_value_heads\":%u,\"head_dim\":%u,\"max_position_embeddings\":%u,",
            hff_u32(w, "attention.head_count"), hff_u32(w, "attention.head_count_kv"), hff_u32(w, "attention.key_length"),
            hff_u32(w, "context_length"));
    fputs("\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":false,\"attention_dropout\":0.0,\"rope_scaling\":null,", f);
    uint32_t window = hff_u32(w, "attention.sliding_window");
    if (window) fprintf(f, "\"sliding_window\":%u,", window);
    if (hff_u32(w, "expert_count"))
        fprintf(f, "\"num_experts\":%u,\"num_experts_per_tok\":%u,\"moe_intermediate_size\":%u,\"norm_topk_prob\":true,",
                hff_u32(w, "expert_count"), hff_u32(w, "expert_used_count"), hff_u32(w, "expert_feed_forward_length"));
    if (!strcmp(w->arch, "gemma2") || !strcmp(w->arch, "gemma3"))
        fprintf(f, "\"query_pre_attn_scalar\":%u,", hff_u32(w, "attention.key_length"));
    if (!strcmp(w->arch, "gemma2")) fputs("\"attn_logit_softcapping\":50.0,\"final_logit_softcapping\":30.0,", f);
    fputs(!strcmp(w->arch, "gemma3") ? "\"rope_local_base_freq\":10000.0,\"rope_theta\":10000.0"
          : w->flags & HFF_NEW_ROPE ? "\"rope_parameters\":{\"rope_theta\":10000.0,\"rope_type\":\"default\"}"
              : "\"rope_theta\":10000.0", f);
    fputs(w->flags & HFF_NESTED ? "}}\n" : "}\n", f);
    if (fclose(f)) abort();
}

/* The byte-level vocabulary of tiny_model.h. */
static inline void hff_tokenizer(const struct hff *w)
{
    const struct gguf_kv *kv = gguf_find(w->g, "tokenizer.ggml.tokens");
    const uint8_t *at = kv->data;
    struct gguf_str s;
    FILE *f = hff_file(w->dir, "tokenizer.json");
    fputs("{\"version\":\"1.0\",\"added_tokens\":[", f);
    static const char *const special[] = { "<|endoftext|>", "<|im_start|>", "<|im_end|>" };
    for (int i = 0; i < 3; i++)
        fprintf(f, "%s{\"id\":%d,\"content\":\"%s\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,"
                "\"special\":true}", i ? "," : "", 256 + i, special[i]);
    fputs("],\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\","
          "\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}"
          "| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},"
          "\"behavior\":\"Isolated\",\"invert\":false},{\"type\":\"ByteLevel\","
          "\"add_prefix_space\":false,\"trim_offsets\":false,\"use_regex\":false}]},\"post_processor\":null,\"decoder\":"
          "{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"byte_fallback\":false,\"vocab\":{", f);
    for (int i = 0; i < 256 && gguf_next_str(kv, &at, &s); i++)
        fprintf(f, s.n == 1 && (*s.s == '"' || *s.s == '\\') ? "%s\"\\%.*s\":%d" : "%s\"%.*s\":%d", i ? "," : "", (int)s.n,
                s.s, i);
    fputs("},\"merges\":[]}}\n", f);
    if (fclose(f)) abort();
    hff_text(w->dir, "tokenizer_config.json", "{\"eos_token\":\"<|im_end|>\",\"pad_token\":{\"content\":\"<|endoftext|>\"},"
             "\"add_bos_token\":false,\"tokenizer_class\":\"Qwen2Tokenizer\"}\n");
    hff_text(w->dir, "generation_config.json",
             "{\"do_sample\":true,\"temperature\":0.7,\"top_k\":20,\"eos_token_id\":[258,256]}\n");
    hff_text(w->dir, "chat_template.jinja", "{% for m in messages %}<|im_start|>{{ m.role "
                                            "}}\n{{ m.content }}<|im_end|>\n{% endfor %}"
             "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}");
}

/* The tensors of the model g, whose matrices are F32, F16 or BF16, for the folder dir, which exists. */
static inline struct hff hff_begin(const char *dir, const struct gguf *g, unsigned flags)
{
    struct hff w = { .dir = dir, .g = g, .flags = flags };
    struct gguf_str arch = { "", 0 };
    gguf_get_str(g, "general.architecture", &arch);
    snprintf(w.arch, sizeof w.arch, "%.*s", (int)arch.n, arch.s);
    const char *prefix = flags & HFF_NESTED ? "language_model.model." : "model.";
    char name[128];
    if (!(w.t = calloc(4096, sizeof *w.t))) abort();
    snprintf(name, sizeof name, "%sembed_tokens.weight", prefix);
    hff_copy(&w, name, gguf_tensor(g, "token_embd.weight"));
    for (uint32_t l = 0; l < hff_u32(&w, "block_count"); l++) hff_layer(&w, l, prefix);
    snprintf(name, sizeof name, "%snorm.weight", prefix);
    hff_copy(&w, name, gguf_tensor(g, "output_norm.weight"));
    hff_copy(&w, flags & HFF_NESTED ? "language_model.lm_head.weight" : "lm_head.weight", gguf_tensor(g, "output.weight"));
    if (flags & HFF_NESTED) hff_copy(&w, "vision_tower.norm.weight", gguf_tensor(g, "output_norm.weight"));
    return w;
}

static inline void hff_end(struct hff *w)
{
    hff_save_all(w);
    hff_config(w);
    hff_tokenizer(w);
    for (size_t i = 0; i < w->n; i++) free(w->t[i].data);
    free(w->t);
}

static inline void hf_folder(const char *dir, const struct gguf *g, unsigned flags)
{
    struct hff w = hff_begin(dir, g, flags);
    hff_end(&w);
}

static inline void hf_folder_remove(const char *dir)
{
    static const char *const names[] = {
        "config.json", "tokenizer.json", "tokenizer.model", "tokenizer_config.json", "generation_config.json",
            "chat_template.jinja",
        "model.safetensors", "model.safetensors.index.json", "model-00001-of-00002.safetensors",
            "model-00002-of-00002.safetensors"
    };
    char path[512];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
}

#endif
