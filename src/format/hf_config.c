/* hf_config.c - config.json becomes hyper-parameters under GGUF's names. */
#include <math.h>
#include <string.h>

#include "format/hf_impl.h"

static void full_key(char *dst, size_t n, const struct hf *h, const char *key)
{
    fmt_into(dst, n, "%s.%s", h->family->arch, key);
}

void hf_put_u32(struct hf *h, const char *key, uint32_t v)
{
    char name[128];
    full_key(name, sizeof name, h, key);
    gguf_put_u32(h->w, name, v);
}

void hf_put_f32(struct hf *h, const char *key, float v)
{
    char name[128];
    full_key(name, sizeof name, h, key);
    gguf_put_f32(h->w, name, v);
}

static bool absent(const struct json *j) { return json_type(j) == JSON_NULL; }

int hf_u32(struct hf *h, const struct json *j, const char *key, uint32_t *out)
{
    const struct json *v = json_get(j, key);
    if (absent(v)) return 0;
    if (json_type(v) != JSON_INT || json_int(v) < 0 || json_int(v) > UINT32_MAX)
        return err_set(h->err, ERR_FORMAT, "%s: %s is not a whole number from 0 to 2^32 - 1", h->config_path, key);
    *out = (uint32_t)json_int(v);
    return 0;
}

bool hf_num(const struct json *j, const char *key, double *out)
{
    const struct json *v = json_get(j, key);
    if (json_type(v) != JSON_INT && json_type(v) != JSON_REAL) return false;
    *out = json_num(v);
    return isfinite(*out);
}

int hf_need(struct hf *h, const char *key, uint32_t max, uint32_t *out)
{
    if (absent(json_get(h->text, key))) return err_set(h->err, ERR_FORMAT, "%s: %s is missing", h->config_path, key);
    int rc = hf_u32(h, h->text, key, out);
    if (rc == 0 && (*out < 1 || *out > max))
        rc = err_set(h->err, ERR_FORMAT, "%s: %s is %u, expected 1 to %u", h->config_path, key, *out, max);
    return rc;
}

int hf_copy_u32(struct hf *h, const char *from, const char *to)
{
    uint32_t v = 0;
    int rc = hf_u32(h, h->text, from, &v);
    if (rc == 0 && !absent(json_get(h->text, from))) hf_put_u32(h, to, v);
    return rc;
}

static void copy_f32(struct hf *h, const char *from, const char *to)
{
    double v;
    if (hf_num(h->text, from, &v)) hf_put_f32(h, to, (float)v);
}

const char *hf_listed(const struct hf *h, const char *key, uint32_t i)
{
    return json_str(json_at(json_get(h->text, key), i), NULL);
}

bool hf_is_true(const struct hf *h, const char *key) { return json_bool(json_get(h->text, key)); }

int hf_unsupported(struct hf *h, const char *what)
{
    return err_set(h->err, ERR_UNSUPPORTED, "%s: %s is not supported", h->config_path, what);
}

/* ---- sizes ---- */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

/* Conversions to MLX have the two halves of kv_b_proj apart. */
static bool has_absorbed(const struct hf *h)
{
    for (size_t i = 0; h->st && i < safetensors_n(h->st); i++)
        if (ends_with(safetensors_at(h->st, i)->name, ".self_attn.embed_q.weight")) return true;
    return false;
}

/* DeepSeek: heads of a part that turns and one that does not; values of another size. */
static int put_latent(struct hf *h)
{
    uint32_t still = 0, turns = 0, value = 0, rank = 0;
    int rc = hf_need(h, "qk_nope_head_dim", 4096, &still);
    if (rc == 0) rc = hf_need(h, "qk_rope_head_dim", 4096, &turns);
    if (rc == 0) rc = hf_need(h, "v_head_dim", 4096, &value);
    if (rc == 0) rc = hf_need(h, "kv_lora_rank", 1 << 20, &rank);
    if (rc == 0) rc = hf_copy_u32(h, "q_lora_rank", "attention.q_lora_rank");
    if (rc < 0) return rc;
    h->n_rot = turns;
    hf_put_u32(h, "attention.kv_lora_rank", rank);
    if (has_absorbed(h)) {                   /* one head that all share, and those that are meant by it */
        hf_put_u32(h, "attention.head_count_kv", 1);
        hf_put_u32(h, "attention.key_length", rank + turns);
        hf_put_u32(h, "attention.value_length", rank);
        hf_put_u32(h, "attention.key_length_mla", still + turns);
        hf_put_u32(h, "attention.value_length_mla", value);
        return 0;
    }
    hf_put_u32(h, "attention.head_count_kv", h->n_head);
    hf_put_u32(h, "attention.key_length", still + turns);
    hf_put_u32(h, "attention.value_length", value);
    return 0;
}

/* The block behind the last one, which guesses further tokens; of several the first alone is used. */
static bool guesses(const struct hf *h)
{
    char name[64];
    const char *arch = h->family->arch, *rest;
    const bool beside = h->family->flags & HF_DELTA;
    if (!beside && strcmp(arch, "deepseek2") != 0 && strcmp(arch, "glm4moe") != 0) return false;
    fmt_into(name, sizeof name, ".layers.%u.eh_proj.weight", h->n_layer);
    for (size_t i = 0; h->st && i < safetensors_n(h->st); i++) {
        const char *full = safetensors_at(h->st, i)->name;
        if (beside ? (rest = hf_after_mtp(h, full)) && !strncmp(rest, "fc.", 3) : ends_with(full, name)) return true;
    }
    return false;
}

static int put_sizes(struct hf *h)
{
    uint32_t n_ff = 0, vocab = 0;
    double partial = 1;
    int rc = hf_need(h, "hidden_size", 1 << 20, &h->n_embd);
    if (rc == 0) rc = hf_need(h, "num_hidden_layers", HF_MAX_LAYERS, &h->n_layer);
    if (rc == 0) rc = hf_need(h, "num_attention_heads", 4096, &h->n_head);
    if (rc < 0) return rc;
    if (guesses(h)) {
        h->n_layer += h->n_next = 1;
        hf_put_u32(h, "nextn_predict_layers", 1);
    }
    h->n_head_kv = h->n_head;
    h->head_dim = h->n_embd / h->n_head;
    if (!strcmp(h->family->arch, "gemma2") || !strcmp(h->family->arch, "gemma3") || !strcmp(h->family->arch, "gemma"))
        h->head_dim = 256;                       /* the default of these classes */
    if (!strcmp(h->family->type, "qwen3") || !strcmp(h->family->type, "qwen3_moe")) h->head_dim = 128;
    if (h->family->flags & HF_DELTA) h->head_dim = 256, partial = 0.25;
    if ((rc = hf_u32(h, h->text, "num_key_value_heads", &h->n_head_kv)) < 0) return rc;
    if ((rc = hf_u32(h, h->text, "head_dim", &h->head_dim)) < 0) return rc;
    if (!h->head_dim || h->head_dim > 4096 || !h->n_head_kv || h->n_head % h->n_head_kv)
        return err_set(h->err, ERR_FORMAT, "%s: %u heads, %u key/value heads of size %u make no sense", h->config_path, h->n_head,
                       h->n_head_kv, h->head_dim);
    hf_num(h->text, "partial_rotary_factor", &partial);
    hf_num(json_get(h->text, "rope_parameters"), "partial_rotary_factor", &partial);
    h->n_rot = partial > 0 && partial <= 1 ? (uint32_t)(h->head_dim * partial) : h->head_dim;
    bool experts_only = h->family->flags & HF_MOE && absent(json_get(h->text, "intermediate_size"));
    if (h->family->flags & HF_CONV) rc = hf_conv_width(h, &n_ff);
    else if (h->family->flags & HF_HYBRID) rc = hf_need(h, "shared_intermediate_size", 1 << 24, &n_ff);
    else rc = hf_need(h, experts_only ? "moe_intermediate_size" : "intermediate_size", 1 << 24, &n_ff);
    if (rc < 0) return rc;
    if ((rc = hf_u32(h, h->text, "vocab_size", &vocab)) < 0) return rc;
    hf_put_u32(h, "embedding_length", h->n_embd);
    hf_put_u32(h, "block_count", h->n_layer);
    hf_put_u32(h, "feed_forward_length", n_ff);
    hf_put_u32(h, "attention.head_count", h->n_head);
    if (h->family->flags & HF_LATENT) {
        if ((rc = put_latent(h)) < 0) return rc;
    } else {
        if (!(h->family->flags & HF_CONV)) hf_put_u32(h, "attention.head_count_kv", h->n_head_kv);
        hf_put_u32(h, "attention.key_length", h->head_dim);
        hf_put_u32(h, "attention.value_length", h->head_dim);
    }
    hf_put_u32(h, "rope.dimension_count", h->n_rot);
    if (vocab) hf_put_u32(h, "vocab_size", vocab);
    return hf_copy_u32(h, "max_position_embeddings", "context_length");
}

/* ---- experts ---- */

/* What a router does beside the softmax over all and the largest k. */
static int put_routing(struct hf *h)
{
    const char *score = json_str(json_get(h->text, "scoring_func"), NULL), *how = json_str(json_get(h->text, "topk_method"),
                                                                                           NULL);
    static const char *const by_sigmoid[] = { "glm4_moe", "glm4_moe_lite", "deepseek_v3", "kimi_k2", "dots1" };
    bool sigmoid = false, dots = !strcmp(h->family->type, "dots1");
    for (size_t i = 0; i < sizeof by_sigmoid / sizeof *by_sigmoid; i++) sigmoid |= !strcmp(h->family->type, by_sigmoid[i]);
    if (score && !dots) sigmoid = !strcmp(score, "sigmoid");           /* dots.llm1 has the name of the method there */
    uint32_t groups = 1, freq = 1;
    char name[128];
    int rc = hf_u32(h, h->text, "n_group", &groups);
    if (rc == 0) rc = hf_u32(h, h->text, "moe_layer_freq", &freq);
    if (rc == 0) rc = hf_copy_u32(h, "first_k_dense_replace", "leading_dense_block_count");
    if (rc == 0) rc = hf_copy_u32(h, "n_shared_experts", "expert_shared_count");
    if (rc < 0) return rc;
    if (score && !sigmoid && strcmp(score, "softmax") != 0) return hf_unsupported(h, "this scoring_func");
    if (freq != 1) return hf_unsupported(h, "moe_layer_freq other than 1");
    hf_put_u32(h, "expert_gating_func", sigmoid ? 2 : 1);
    copy_f32(h, "routed_scaling_factor", "expert_weights_scale");
    full_key(name, sizeof name, h, "expert_weights_norm");
    gguf_put_bool(h->w, name, hf_is_true(h, "norm_topk_prob"));
    if (groups < 2 || (how && !strcmp(how, "greedy"))) return 0;
    if (how ? strcmp(how, "noaux_tc") != 0 : !sigmoid) return hf_unsupported(h, "a choice of experts by the best of each group");
    rc = hf_copy_u32(h, "n_group", "expert_group_count");
    return rc < 0 ? rc : hf_copy_u32(h, "topk_group", "expert_group_used_count");
}

static int put_experts(struct hf *h)
{
    uint32_t used = 2, width = 0, step = 1;
    int rc = 0;
    if (!(h->family->flags & HF_MOE)) return 0;
    static const char *const count[] = { "num_local_experts", "num_experts", "n_routed_experts" };
    for (size_t i = 0; i < 3 && rc == 0; i++) rc = hf_u32(h, h->text, count[i], &h->n_expert);
    if (rc == 0) rc = hf_u32(h, h->text, "num_experts_per_tok", &used);
    if (rc == 0) rc = hf_u32(h, h->text, "moe_intermediate_size", &width);
    if (rc == 0) rc = hf_u32(h, h->text, "decoder_sparse_step", &step);
    if (rc == 0 && h->family->flags & HF_SHARED && !(h->family->flags & HF_ROUTED))
        rc = hf_copy_u32(h, "shared_expert_intermediate_size", "expert_shared_feed_forward_length");
    if (rc < 0) return rc;
    if (h->n_expert < 1 || h->n_expert > HF_MAX_EXPERTS)
        return err_set(h->err, ERR_FORMAT, "%s: %u experts, expected 1 to %d", h->config_path, h->n_expert, HF_MAX_EXPERTS);
    if (step != 1 || json_len(json_get(h->text, "mlp_only_layers"))) return hf_unsupported(h,
                                                                                        "mlp_only_layers or decoder_sparse_step");
    hf_put_u32(h, "expert_count", h->n_expert);
    hf_put_u32(h, "expert_used_count", used);
    if (width) hf_put_u32(h, "expert_feed_forward_length", width);
    if (h->family->flags & HF_ROUTED) return put_routing(h);
    /* the others do what their architecture does */
    bool norm = hf_is_true(h, "norm_topk_prob"), said = json_get(h->text, "norm_topk_prob");
    if (!strcmp(h->family->arch, "qwen2moe") || !strcmp(h->family->arch, "olmoe"))
        return norm ? hf_unsupported(h, "norm_topk_prob = true") : 0;
    if (!norm && (!strcmp(h->family->arch, "qwen3moe") || (said && h->family->flags & HF_DELTA)))
        return hf_unsupported(h, "norm_topk_prob = false");
    return 0;
}

/* ---- attention ---- */

/* "LLLG": three layers with a window, then one that sees all. */
static int pattern_of_letters(struct hf *h, const char *s, uint32_t *period)
{
    size_t n = strlen(s);
    if (!n || n > 64 || strspn(s, "L") != n - 1 || s[n - 1] != 'G') return hf_unsupported(h, "this sliding_window_pattern");
    *period = (uint32_t)n;
    return 0;
}

/* Which layers slide: layer_types, or every sliding_window_pattern-th that does not.  Written only where the rule is not the
 * one of the architecture (every = its period); fixed: it knows no other. */
static int put_pattern(struct hf *h, uint32_t every, bool fixed)
{
    const struct json *types = json_get(h->text, "layer_types");
    uint32_t period = every;
    bool same = true, *slides = arena_new(&h->arena, bool, h->n_layer);
    const char *letters = json_str(json_get(h->text, "sliding_window_pattern"), NULL);
    int rc = letters ? pattern_of_letters(h, letters, &period) : hf_u32(h, h->text, "sliding_window_pattern", &period);
    if (rc < 0) return rc;
    if (!slides) return hf_nomem(h);
    if (!period) period = 1;
    if (json_type(types) == JSON_ARRAY && json_len(types) < h->n_layer)
        return err_set(h->err, ERR_FORMAT, "%s: layer_types has %zu entries for %u layers", h->config_path, json_len(types),
                       h->n_layer);
    for (uint32_t i = 0; i < h->n_layer; i++) {
        const char *t = hf_listed(h, "layer_types", i);
        slides[i] = (i + 1) % period != 0;
        if (json_type(types) == JSON_ARRAY) {
            if (!t || (strcmp(t, "sliding_attention") != 0 && strcmp(t, "full_attention") != 0))
                return err_set(h->err, ERR_UNSUPPORTED, "%s: layer_types: layer %u is neither sliding_attention "
                                                        "nor full_attention",
                               h->config_path, i);
            slides[i] = *t == 's';
        }
        same = same && slides[i] == ((i + 1) % every != 0);
    }
    char name[128];
    full_key(name, sizeof name, h, "attention.sliding_window_pattern");
    if (!same && fixed) return hf_unsupported(h, "this order of sliding and full layers");
    if (!same) gguf_put_array(h->w, name, GGUF_BOOL, slides, h->n_layer);
    return 0;
}

static int put_gemma(struct hf *h)
{
    double scale;
    copy_f32(h, "attn_logit_softcapping", "attn_logit_softcapping");
    copy_f32(h, "final_logit_softcapping", "final_logit_softcapping");
    if (!strcmp(h->family->arch, "gemma2")) {       /* null means none here, and the key's default is another */
        if (json_get(h->text, "attn_logit_softcapping") && absent(json_get(h->text, "attn_logit_softcapping")))
            hf_put_f32(h, "attn_logit_softcapping", 0);
        if (json_get(h->text, "final_logit_softcapping") && absent(json_get(h->text, "final_logit_softcapping")))
            hf_put_f32(h, "final_logit_softcapping", 0);
    }
    if (hf_num(h->text, "query_pre_attn_scalar", &scale) && scale > 0)
        hf_put_f32(h, "attention.scale", (float)(1 / sqrt(scale)));
    int rc = hf_copy_u32(h, "sliding_window", "attention.sliding_window");
    if (rc < 0 || !strcmp(h->family->arch, "gemma")) return rc;
    return put_pattern(h, !strcmp(h->family->arch, "gemma2") ? 2 : 6, false);
}

/* SmolLM3: every fourth layer has no rotary positions. */
static int check_no_rope(struct hf *h)
{
    const struct json *list = json_get(h->text, "no_rope_layers");
    for (size_t i = 0; i < json_len(list); i++)
        if (json_int(json_at(list, i)) != (i % 4 != 3)) return hf_unsupported(h, "this no_rope_layers");
    return 0;
}

/* Granite 4 without recurrent layers and experts. */
static int check_granite4(struct hf *h)
{
    const char *how = json_str(json_get(h->text, "position_embedding_type"), NULL);
    uint32_t experts = 0;
    char name[128];
    int rc = hf_u32(h, h->text, "num_local_experts", &experts);
    if (rc < 0) return rc;
    if (experts) return hf_unsupported(h, "a Granite 4 with experts");
    for (uint32_t i = 0; json_get(h->text, "layer_types") && i < h->n_layer; i++) {
        const char *t = hf_listed(h, "layer_types", i);
        if (!t || strcmp(t, "attention") != 0) return hf_unsupported(h, "a Granite 4 with recurrent layers");
    }
    full_key(name, sizeof name, h, "rope.scaling.finetuned");
    if (how && strcmp(how, "rope") != 0) gguf_put_bool(h->w, name, false);
    return 0;
}

/* Settings that would change the result, and nobody publishes. */
static int check_own(struct hf *h)
{
    static const struct { const char *type, *key; } off[] = {
        { "cohere", "use_qk_norm" }, { "phi", "qk_layernorm" }, { "cohere2", "use_qk_norm" },
    };
    for (size_t i = 0; i < sizeof off / sizeof *off; i++)
        if (!strcmp(h->family->type, off[i].type) && hf_is_true(h, off[i].key)) return hf_unsupported(h, off[i].key);
    if (!strcmp(h->family->type, "olmoe") && !absent(json_get(h->text, "clip_qkv"))) return hf_unsupported(h, "clip_qkv");
    if (strcmp(h->family->type, "starcoder2") != 0) return 0;
    const char *norm = json_str(json_get(h->text, "norm_type"), NULL), *mlp = json_str(json_get(h->text, "mlp_type"), NULL);
    if (norm && strcmp(norm, "layer_norm") != 0) return hf_unsupported(h, "this norm_type");
    return mlp && strcmp(mlp, "default") != 0 ? hf_unsupported(h, "this mlp_type") : 0;
}

/* What single architectures have. */
static int put_own(struct hf *h)
{
    static const struct { const char *arch, *from, *to; } number[] = {
        { "granite", "embedding_multiplier", "embedding_scale" },    { "granite", "residual_multiplier", "residual_scale" },
        { "granite", "attention_multiplier", "attention.scale" },    { "granite", "logits_scaling", "logit_scale" },
        { "granitemoe", "embedding_multiplier", "embedding_scale" }, { "granitemoe", "residual_multiplier", "residual_scale" },
        { "granitemoe", "attention_multiplier", "attention.scale" }, { "granitemoe", "logits_scaling", "logit_scale" },
        { "cohere2", "logit_scale", "logit_scale" },                 { "command-r", "logit_scale", "logit_scale" },
    };
    const char *arch = h->family->arch;
    for (size_t i = 0; i < sizeof number / sizeof *number; i++)
        if (!strcmp(arch, number[i].arch)) copy_f32(h, number[i].from, number[i].to);
    bool slides = !strcmp(h->family->type, "olmo3") || !strcmp(arch, "cohere2") || !strcmp(arch, "gpt-oss") ||
                  (!strcmp(arch, "exaone4") && !absent(json_get(h->text, "sliding_window")));
    int rc = check_own(h);
    if (rc == 0 && h->family->flags & HF_HYBRID) rc = check_granite4(h);
    if (rc < 0) return rc;
    rc = slides ? hf_copy_u32(h, "sliding_window", "attention.sliding_window") : 0;
    if (rc == 0 && slides) rc = put_pattern(h, !strcmp(arch, "gpt-oss") ? 2 : 4, true);
    if (rc == 0 && !strcmp(arch, "smollm3")) rc = check_no_rope(h);
    return rc;
}

static bool is_gemma(const struct hf *h) { return !strncmp(h->family->arch, "gemma", 5); }

static bool known_act(const struct hf *h)
{
    static const char *const gelu[] = { "gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_tanh" };
    const char *a = json_str(json_get(h->text, "hidden_activation"), NULL);
    if (!a) a = json_str(json_get(h->text, "hidden_act"), NULL);
    if (!is_gemma(h) && !(h->family->flags & HF_PLAIN)) return !a || !strcmp(a, "silu") || !strcmp(a, "swish");
    for (size_t i = 0; a && i < sizeof gelu / sizeof *gelu; i++)       /* the first is what old files say and do not mean */
        if (!strcmp(a, gelu[i])) return true;
    return !a;
}

int hf_config(struct hf *h)
{
    int rc = put_sizes(h);
    if (rc == 0) rc = put_experts(h);
    if (rc == 0) rc = hf_hybrid_config(h);
    if (rc < 0) return rc;
    bool layer = h->family->flags & HF_LAYERNORM, conv = h->family->flags & HF_CONV;
    double eps = layer || conv ? 1e-5 : 1e-6;
    hf_num(h->text, layer ? "layer_norm_eps" : conv ? "norm_eps" : "rms_norm_eps", &eps);
    if (!strcmp(h->family->type, "starcoder2")) hf_num(h->text, "norm_epsilon", &eps);
    hf_put_f32(h, layer ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", (float)eps);
    if (is_gemma(h)) rc = put_gemma(h);
    else if (h->family->flags & HF_WINDOW) rc = hf_copy_u32(h, "sliding_window", "attention.sliding_window");
    if (rc == 0) rc = put_own(h);
    if (rc < 0) return rc;
    if (hf_is_true(h, "use_sliding_window")) return hf_unsupported(h, "use_sliding_window");
    if (!known_act(h)) return hf_unsupported(h, "this hidden_act");
    char name[128];
    full_key(name, sizeof name, h, "rope.half_split");
    if (h->family->flags & HF_HALF) gguf_put_bool(h->w, name, true);
    return 0;
}
