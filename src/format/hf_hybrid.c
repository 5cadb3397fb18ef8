/* hf_hybrid.c - configurations of models in which most layers keep a state of fixed size instead of keys and values: Qwen's gated
 * delta nets (Qwen3-Next, Qwen 3.5) and LFM2's short convolutions.  Source: models spec. */
#include <string.h>

#include "format/hf_impl.h"

/* Whether layer i is full attention by layer_types; -1 where the list does not say. */
static int listed(const struct hf *h, uint32_t i, const char *other)
{
    const char *t = json_str(json_at(json_get(h->text, "layer_types"), i), NULL);
    return !t ? -1 : !strcmp(t, "full_attention") ? 1 : !strcmp(t, other) ? 0 : -1;
}

static int unknown_layer(struct hf *h, uint32_t i)
{
    return err_set(h->err, ERR_UNSUPPORTED, "%s: layer_types does not say what Hearth knows of layer %u", h->config_path, i);
}

static int delta(struct hf *h)
{
    uint32_t n_key = 0, n_value = 0, dk = 0, dv = 0, every = 4;
    char name[128];
    int rc = hf_need(h, "linear_num_key_heads", 4096, &n_key);
    if (rc == 0) rc = hf_need(h, "linear_num_value_heads", 4096, &n_value);
    if (rc == 0) rc = hf_need(h, "linear_key_head_dim", 4096, &dk);
    if (rc == 0) rc = hf_need(h, "linear_value_head_dim", 4096, &dv);
    if (rc == 0) rc = hf_copy_u32(h, "linear_conv_kernel_dim", "ssm.conv_kernel");
    if (rc == 0) rc = hf_u32(h, h->text, "full_attention_interval", &every);
    if (rc < 0) return rc;
    for (uint32_t i = 0; json_len(json_get(h->text, "layer_types")) && i < h->n_layer - h->n_next; i++) {
        int full = listed(h, i, "linear_attention");
        if (full < 0) return unknown_layer(h, i);
        if (full != (every && (i + 1) % every == 0)) return hf_unsupported(h, "this order of linear and full layers");
    }
    hf_put_u32(h, "full_attention_interval", every);
    hf_put_u32(h, "ssm.group_count", n_key);
    hf_put_u32(h, "ssm.time_step_rank", n_value);
    hf_put_u32(h, "ssm.state_size", dk);
    hf_put_u32(h, "ssm.inner_size", n_value * dv);
    fmt_into(name, sizeof name, "%s.ssm.value_heads_grouped", h->family->arch);
    gguf_put_bool(h->w, name, true);
    return 0;
}

/* Whether layer i of LFM2 is attention: by layer_types, or by the older list of their numbers. */
static int attends(const struct hf *h, uint32_t i)
{
    const struct json *list = json_get(h->text, "full_attn_idxs");
    if (json_len(json_get(h->text, "layer_types"))) return listed(h, i, "conv");
    for (size_t k = 0; k < json_len(list); k++)
        if (json_int(json_at(list, k)) == (int64_t)i) return 1;
    return json_type(list) == JSON_ARRAY ? 0 : -1;
}

static int convolutions(struct hf *h)
{
    uint32_t *n_kv = arena_new(&h->arena, uint32_t, h->n_layer);
    char name[128];
    if (!n_kv) return hf_nomem(h);
    for (uint32_t i = 0; i < h->n_layer; i++) {
        int full = attends(h, i);
        if (full < 0) return unknown_layer(h, i);
        n_kv[i] = full ? h->n_head_kv : 0;
    }
    if (hf_is_true(h, "conv_bias")) return hf_unsupported(h, "conv_bias");
    fmt_into(name, sizeof name, "%s.attention.head_count_kv", h->family->arch);
    gguf_put_array(h->w, name, GGUF_U32, n_kv, h->n_layer);
    int rc = hf_copy_u32(h, "conv_L_cache", "shortconv.l_cache");
    if (rc < 0 || !(h->family->flags & HF_MOE)) return rc;
    double scale = 1;
    hf_num(h->text, "routed_scaling_factor", &scale);
    hf_put_f32(h, "expert_weights_scale", (float)scale);
    hf_put_u32(h, "expert_gating_func", 2);
    if (json_get(h->text, "norm_topk_prob") && !hf_is_true(h, "norm_topk_prob"))
        return hf_unsupported(h, "norm_topk_prob = false");
    return hf_copy_u32(h, "num_dense_layers", "leading_dense_block_count");
}

/* Two thirds of what is asked, times a factor, up to a multiple: older files are given that way. */
int hf_conv_width(struct hf *h, uint32_t *out)
{
    uint32_t width = 0, multiple = 1;
    double factor = 1;
    const struct json *adjust = json_get(h->text, "block_auto_adjust_ff_dim");
    int rc = hf_u32(h, h->text, "block_ff_dim", &width);
    if (rc == 0 && !width) rc = hf_need(h, "intermediate_size", 1 << 24, &width);
    if (rc == 0) rc = hf_u32(h, h->text, "block_multiple_of", &multiple);
    if (rc < 0) return rc;
    hf_num(h->text, "block_ffn_dim_multiplier", &factor);
    if (json_type(adjust) == JSON_BOOL && json_bool(adjust)) {
        double v = (double)(2 * (uint64_t)width / 3) * factor;
        if (!(v >= 1 && v <= 1 << 24) || !multiple || multiple > 1 << 24)
            return err_set(h->err, ERR_FORMAT, "%s: block_ff_dim %u makes no sense", h->config_path, width);
        width = (uint32_t)v;
        width = (width + multiple - 1) / multiple * multiple;
    }
    *out = width;
    return 0;
}

int hf_hybrid_config(struct hf *h)
{
    return h->family->flags & HF_DELTA ? delta(h) : h->family->flags & HF_CONV ? convolutions(h) : 0;
}
