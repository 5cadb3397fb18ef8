/* hf_bert.c - folders of encoders: BERT, RoBERTa and XLM-RoBERTa, Nomic's and ModernBERT, as sentence encoders or with a
 * classifier that ranks.  Their layers are in the table of hf_tensor.c.  Source: models spec. */
#include <string.h>

#include "format/hf_impl.h"

static bool classifies(const struct hf *h)
{
    const char *class = json_str(json_at(json_get(h->config, "architectures"), 0), NULL);
    return class && strstr(class, "ForSequenceClassification");
}

/* RoBERTa's positions begin behind that of padding. */
static uint32_t skipped_positions(const struct hf *h)
{
    return h->family->flags & HF_BERT && strcmp(h->family->type, "bert") != 0 ? 2 : 0;
}

/* ---- config.json ---- */

/* The first of the names that is there. */
static int need_any(struct hf *h, const char *a, const char *b, uint32_t max, uint32_t *out)
{
    return hf_need(h, json_type(json_get(h->text, a)) == JSON_NULL ? b : a, max, out);
}

static int only(struct hf *h, const char *key, const char *value)
{
    const char *s = json_str(json_get(h->text, key), NULL);
    char what[64];
    if (!s || !strcmp(s, value)) return 0;
    fmt_into(what, sizeof what, "this %s", key);
    return hf_unsupported(h, what);
}

static int nomic(struct hf *h)
{
    double base = 10000, part = 1;
    uint32_t every = 0;
    int rc = only(h, "activation_function", "swiglu");
    if (rc == 0) rc = hf_u32(h, h->text, "moe_every_n_layers", &every);
    if (rc < 0) return rc;
    hf_num(h->text, "rotary_emb_base", &base);
    hf_num(h->text, "rotary_emb_fraction", &part);
    if (every || part != 1 || hf_is_true(h, "rotary_emb_interleaved") || hf_is_true(h, "prenorm") ||
        hf_is_true(h, "use_rms_norm") || hf_is_true(h, "parallel_block"))
        return hf_unsupported(h, "this kind of nomic_bert");
    hf_put_f32(h, "rope.freq_base", (float)base);
    return 0;
}

static int modern(struct hf *h)
{
    const struct json *p = json_get(h->text, "rope_parameters");
    double global = 160000, local = 10000;
    uint32_t every = 3;
    int rc = only(h, "hidden_activation", "gelu");
    if (rc == 0) rc = hf_u32(h, h->text, "global_attn_every_n_layers", &every);
    if (rc < 0) return rc;
    hf_num(h->text, "global_rope_theta", &global);
    hf_num(h->text, "local_rope_theta", &local);
    hf_num(json_get(p, "full_attention"), "rope_theta", &global);
    hf_num(json_get(p, "sliding_attention"), "rope_theta", &local);
    if (every != 3) return hf_unsupported(h, "global_attn_every_n_layers other than 3");
    if (hf_is_true(h, "norm_bias") || hf_is_true(h, "attention_bias") || hf_is_true(h, "mlp_bias"))
        return hf_unsupported(h, "a ModernBERT with biases");
    if (classifies(h) && !json_get(h->text, "classifier_pooling")) return hf_unsupported(h, "classifier_pooling other than mean");
    if (classifies(h) && (rc = only(h, "classifier_pooling", "mean")) < 0) return rc;
    hf_put_f32(h, "rope.freq_base", (float)global);
    hf_put_f32(h, "rope.freq_base_swa", (float)local);
    return hf_copy_u32(h, "local_attention", "attention.sliding_window");
}

int hf_encoder_config(struct hf *h)
{
    uint32_t n_ff = 0, n_ctx = 0, vocab = 0, skip = skipped_positions(h), labels = 1;
    char name[128];
    int rc = need_any(h, "hidden_size", "n_embd", 1 << 20, &h->n_embd);
    if (rc == 0) rc = need_any(h, "num_hidden_layers", "n_layer", HF_MAX_LAYERS, &h->n_layer);
    if (rc == 0) rc = need_any(h, "num_attention_heads", "n_head", 4096, &h->n_head);
    if (rc == 0) rc = need_any(h, "intermediate_size", "n_inner", 1 << 24, &n_ff);
    if (rc == 0) rc = need_any(h, "max_position_embeddings", "n_positions", 1 << 24, &n_ctx);
    if (rc == 0) rc = hf_u32(h, h->text, "vocab_size", &vocab);
    if (rc < 0) return rc;
    if (n_ctx <= skip || h->n_embd % h->n_head)
        return err_set(h->err, ERR_FORMAT, "%s: %u positions or %u heads make no sense", h->config_path, n_ctx, h->n_head);
    h->n_head_kv = h->n_head;
    h->head_dim = h->n_rot = h->n_embd / h->n_head;
    hf_put_u32(h, "embedding_length", h->n_embd);
    hf_put_u32(h, "block_count", h->n_layer);
    hf_put_u32(h, "feed_forward_length", n_ff);
    hf_put_u32(h, "attention.head_count", h->n_head);
    hf_put_u32(h, "context_length", n_ctx - skip);
    if (vocab) hf_put_u32(h, "vocab_size", vocab);
    fmt_into(name, sizeof name, "%s.attention.causal", h->family->arch);
    gguf_put_bool(h->w, name, false);
    double eps = h->family->flags & HF_MODERN ? 1e-5 : 1e-12;
    hf_num(h->text, h->family->flags & HF_MODERN ? "norm_eps" : h->family->flags & HF_NOMIC ? "layer_norm_epsilon"
           : "layer_norm_eps", &eps);
    hf_put_f32(h, "attention.layer_norm_epsilon", (float)eps);
    if (classifies(h)) {
        labels = (uint32_t)json_len(json_get(h->config, "id2label"));
        if (labels > 2) return hf_unsupported(h, "a classifier of more than two labels");
        hf_put_u32(h, "pooling_type", 4);
    }
    if (h->family->flags & HF_NOMIC) return nomic(h);
    if (h->family->flags & HF_MODERN) return modern(h);
    rc = only(h, "hidden_act", "gelu");
    return rc < 0 ? rc : only(h, "position_embedding_type", "absolute");
}

/* How sentence encoders want one vector from many: the file 1_Pooling/config.json. */
int hf_pooling(struct hf *h)
{
    static const struct { const char *key; uint32_t type; } mode[] = {
        { "pooling_mode_mean_tokens", 1 }, { "pooling_mode_cls_token", 2 }, { "pooling_mode_lasttoken", 3 },
    };
    static const char *const other[] = { "pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens",
                                         "pooling_mode_weightedmean_tokens" };
    struct json *p;
    uint32_t type = 0, n = 0;
    int rc = hf_json(h, "1_Pooling/config.json", &p);
    if (rc < 0 || !p) return rc;
    for (size_t i = 0; i < sizeof mode / sizeof *mode; i++)
        if (json_bool(json_get(p, mode[i].key))) type = mode[i].type, n++;
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) n += json_bool(json_get(p, other[i]));
    json_free(p);
    if (n == 1 && type) {
        if (!(h->family->flags & HF_ENCODER) || !classifies(h)) hf_put_u32(h, "pooling_type", type);
        return 0;
    }
    return err_set(h->err, ERR_UNSUPPORTED, "%s/1_Pooling/config.json: this way of pooling is not supported", h->folder);
}

/* ---- tensors that belong to no layer ---- */

/* A vector or table as float32, without its first rows. */
static int floats(struct hf *h, const struct st_tensor *t, const char *name, uint32_t skip)
{
    if (t->n_dims < 1 || t->n_dims > 2 || t->shape[0] <= skip || !t->shape[t->n_dims - 1])
        return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "a table of this shape is not supported");
    uint64_t rows = t->shape[0] - skip, row = t->n_dims == 2 ? t->shape[1] : 1;
    const uint64_t table[2] = { row, rows }, vector[2] = { rows, 1 };
    return hf_add_numbers(h, t, name, skip * row, t->n_dims == 2 ? table : vector, NULL);
}

/* name: without the model's prefix, which classifiers are outside of. */
int hf_encoder_tensor(struct hf *h, const char *name, const struct st_tensor *t, bool *matrix, const char **gguf)
{
    enum kind { MATRIX, FLOATS, NOTHING, RANK, RANK_MATRIX };
    static const struct { const char *hf, *gguf; unsigned need; enum kind kind; } top[] = {
        { "embeddings.word_embeddings.weight", "token_embd.weight", HF_BERT, MATRIX },
        { "embeddings.position_embeddings.weight", "position_embd.weight", HF_BERT, FLOATS },
        { "embeddings.token_type_embeddings.weight", "token_types.weight", HF_BERT, FLOATS },
        { "embeddings.LayerNorm.weight", "token_embd_norm.weight", HF_BERT, FLOATS },
        { "embeddings.LayerNorm.bias", "token_embd_norm.bias", HF_BERT, FLOATS },
        { "embeddings.position_ids", "", HF_BERT, NOTHING },
        { "pooler.dense.weight", "cls.weight", HF_BERT, RANK_MATRIX },
        { "pooler.dense.bias", "cls.bias", HF_BERT, RANK },
        { "classifier.dense.weight", "cls.weight", HF_BERT, RANK_MATRIX },
        { "classifier.dense.bias", "cls.bias", HF_BERT, RANK },
        { "classifier.out_proj.weight", "cls.output.weight", HF_BERT, RANK_MATRIX },
        { "classifier.out_proj.bias", "cls.output.bias", HF_BERT, RANK },
        { "embeddings.word_embeddings.weight", "token_embd.weight", HF_NOMIC, MATRIX },
        { "embeddings.token_type_embeddings.weight", "token_types.weight", HF_NOMIC, FLOATS },
        { "emb_ln.weight", "token_embd_norm.weight", HF_NOMIC, FLOATS },
        { "emb_ln.bias", "token_embd_norm.bias", HF_NOMIC, FLOATS },
        { "embeddings.tok_embeddings.weight", "token_embd.weight", HF_MODERN, MATRIX },
        { "embeddings.norm.weight", "token_embd_norm.weight", HF_MODERN, FLOATS },
        { "final_norm.weight", "output_norm.weight", HF_MODERN, FLOATS },
        { "head.dense.weight", "cls.weight", HF_MODERN, RANK_MATRIX },
        { "head.norm.weight", "cls.norm.weight", HF_MODERN, RANK },
        { "classifier.weight", "cls.output.weight", HF_ENCODER, RANK_MATRIX },
        { "classifier.bias", "cls.output.bias", HF_ENCODER, RANK },
    };
    static const char *const heads[] = { "cls.", "lm_head.", "decoder.", "head." };       /* that guess masked words */
    for (size_t i = 0; i < sizeof top / sizeof *top; i++) {
        if (!(h->family->flags & top[i].need) || strcmp(top[i].hf, name) != 0) continue;
        bool rank = top[i].kind == RANK || top[i].kind == RANK_MATRIX;
        if (top[i].kind == NOTHING || (rank && !classifies(h))) return 1;
        *gguf = top[i].gguf;
        *matrix = top[i].kind == MATRIX || top[i].kind == RANK_MATRIX;
        if (*matrix) return 1;
        int rc = floats(h, t, top[i].gguf, strstr(name, "position_embeddings") ? skipped_positions(h) : 0);
        return rc < 0 ? rc : 1;
    }
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++)
        if (!strncmp(name, heads[i], strlen(heads[i]))) return 1;
    return 0;
}
