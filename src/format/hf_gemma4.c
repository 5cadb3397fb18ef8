/* hf_gemma4.c - the configuration of Gemma 4: two sizes of heads, layers without keys and values of their own, an input for each
 * layer.  Source: models spec. */
#include <string.h>

#include "format/hf_impl.h"

static void put_array(struct hf *h, const char *key, enum gguf_type type, const void *v)
{
    char name[128];
    fmt_into(name, sizeof name, "%s.%s", h->family->arch, key);
    gguf_put_array(h->w, name, type, v, h->n_layer);
}

/* Which layers slide: layer_types, else all but every sliding_window_pattern-th. */
static int put_layers(struct hf *h, uint32_t n_ff, uint32_t kv_full)
{
    const struct json *types = json_get(h->text, "layer_types"), *wide = json_get(h->text, "use_double_wide_mlp");
    bool *slides = arena_new(&h->arena, bool, h->n_layer), twice = json_type(wide) != JSON_BOOL || json_bool(wide);
    uint32_t *ff = arena_new(&h->arena, uint32_t, h->n_layer), *kv = arena_new(&h->arena, uint32_t, h->n_layer), every = 5;
    int rc = hf_u32(h, h->text, "sliding_window_pattern", &every);
    if (rc < 0) return rc;
    if (!slides || !ff || !kv) return hf_nomem(h);
    if (!every) every = 1;
    for (uint32_t i = 0; i < h->n_layer; i++) {
        const char *t = json_str(json_at(types, i), NULL);
        slides[i] = (i + 1) % every != 0;
        if (json_type(types) == JSON_ARRAY) {
            if (!t || (strcmp(t, "sliding_attention") != 0 && strcmp(t, "full_attention") != 0))
                return err_set(h->err, ERR_UNSUPPORTED, "%s: layer_types: layer %u is neither sliding_attention nor "
                               "full_attention", h->config_path, i);
            slides[i] = *t == 's';
        }
        ff[i] = n_ff * (twice && i >= h->n_layer - h->n_shared ? 2 : 1);
        kv[i] = slides[i] ? h->n_head_kv : kv_full;
    }
    put_array(h, "attention.sliding_window_pattern", GGUF_BOOL, slides);
    put_array(h, "feed_forward_length", GGUF_U32, ff);
    put_array(h, "attention.head_count_kv", GGUF_U32, kv);
    return 0;
}

/* Which part of a head turns in layers that do not slide is said by divisors of the frequencies. */
static int put_rope(struct hf *h, uint32_t dk)
{
    const struct json *p = json_get(h->text, "rope_parameters"), *full = json_get(p, "full_attention");
    const struct json *slides = json_get(p, "sliding_attention");
    const char *type = json_str(json_get(full, "rope_type"), NULL), *other = json_str(json_get(slides, "rope_type"), NULL);
    double base = 1000000, local = 10000, part = 0.25, all = 1;
    hf_num(h->text, "global_partial_rotary_factor", &part);
    hf_num(h->text, "partial_rotary_factor", &all);
    hf_num(full, "rope_theta", &base);
    hf_num(full, "partial_rotary_factor", &part);
    hf_num(slides, "rope_theta", &local);
    hf_num(slides, "partial_rotary_factor", &all);
    if ((type && strcmp(type, "proportional") != 0 && strcmp(type, "default") != 0) || (other && strcmp(other, "default") != 0) ||
        all != 1 || !(part > 0 && part <= 1) || !(base > 1) || !(local > 1))
        return hf_unsupported(h, "this rope_parameters");
    float *f = hf_add_vector(h, "rope_freqs.weight", dk / 2);
    if (!f) return ERR_NOMEM;
    for (uint32_t i = 0; i < dk / 2; i++) f[i] = i < (uint32_t)(part * dk / 2) ? 1 : 1e30f;
    hf_put_f32(h, "rope.freq_base", (float)base);
    hf_put_f32(h, "rope.freq_base_swa", (float)local);
    hf_put_u32(h, "rope.dimension_count", dk);
    hf_put_u32(h, "rope.dimension_count_swa", h->head_dim);
    return 0;
}

static int put_experts(struct hf *h)
{
    uint32_t used = 0, width = 0;
    if (!hf_is_true(h, "enable_moe_block")) return 0;
    int rc = hf_need(h, "num_experts", HF_MAX_EXPERTS, &h->n_expert);
    if (rc == 0) rc = hf_need(h, "top_k_experts", HF_MAX_EXPERTS, &used);
    if (rc == 0) rc = hf_need(h, "moe_intermediate_size", 1 << 24, &width);
    if (rc < 0) return rc;
    hf_put_u32(h, "expert_count", h->n_expert);
    hf_put_u32(h, "expert_used_count", used);
    hf_put_u32(h, "expert_feed_forward_length", width);
    return 0;
}

int hf_gemma4_config(struct hf *h)
{
    uint32_t n_ff = 0, vocab = 0, dk = 512, kv_full = 0;
    double cap = 30, eps = 1e-6;
    h->head_dim = 256;
    h->n_head_kv = 1;
    int rc = hf_need(h, "hidden_size", 1 << 20, &h->n_embd);
    if (rc == 0) rc = hf_need(h, "num_hidden_layers", HF_MAX_LAYERS, &h->n_layer);
    if (rc == 0) rc = hf_need(h, "num_attention_heads", 4096, &h->n_head);
    if (rc == 0) rc = hf_need(h, "intermediate_size", 1 << 23, &n_ff);
    if (rc == 0) rc = hf_u32(h, h->text, "num_key_value_heads", &h->n_head_kv);
    if (rc == 0) rc = hf_u32(h, h->text, "head_dim", &h->head_dim);
    if (rc == 0) rc = hf_u32(h, h->text, "global_head_dim", &dk);
    if (rc == 0) rc = hf_u32(h, h->text, "num_global_key_value_heads", &kv_full);
    if (rc == 0) rc = hf_u32(h, h->text, "num_kv_shared_layers", &h->n_shared);
    if (rc == 0) rc = hf_u32(h, h->text, "vocab_size", &vocab);
    if (rc < 0) return rc;
    if (!kv_full || !hf_is_true(h, "attention_k_eq_v")) kv_full = h->n_head_kv;
    if (!h->head_dim || h->head_dim > 4096 || !dk || dk > 4096 || dk % 2 || !h->n_head_kv || h->n_head % h->n_head_kv ||
        h->n_head % kv_full || h->n_shared >= h->n_layer)
        return err_set(h->err, ERR_FORMAT, "%s: %u heads of %u and %u, %u and %u key/value heads, %u layers without: no sense",
                       h->config_path, h->n_head, h->head_dim, dk, h->n_head_kv, kv_full, h->n_shared);
    hf_num(h->text, "final_logit_softcapping", &cap);
    hf_num(h->text, "rms_norm_eps", &eps);
    hf_put_u32(h, "embedding_length", h->n_embd);
    hf_put_u32(h, "block_count", h->n_layer);
    hf_put_u32(h, "attention.head_count", h->n_head);
    hf_put_u32(h, "attention.key_length", dk);
    hf_put_u32(h, "attention.value_length", dk);
    hf_put_u32(h, "attention.key_length_swa", h->head_dim);
    hf_put_u32(h, "attention.value_length_swa", h->head_dim);
    hf_put_u32(h, "attention.shared_kv_layers", h->n_shared);
    hf_put_f32(h, "final_logit_softcapping", (float)cap);
    hf_put_f32(h, "attention.layer_norm_rms_epsilon", (float)eps);
    if (vocab) hf_put_u32(h, "vocab_size", vocab);
    rc = hf_copy_u32(h, "max_position_embeddings", "context_length");
    if (rc == 0) rc = hf_copy_u32(h, "sliding_window", "attention.sliding_window");
    if (rc == 0) rc = hf_copy_u32(h, "hidden_size_per_layer_input", "embedding_length_per_layer_input");
    if (rc == 0) rc = put_layers(h, n_ff, kv_full);
    if (rc == 0) rc = put_experts(h);
    return rc < 0 ? rc : put_rope(h, dk);
}
