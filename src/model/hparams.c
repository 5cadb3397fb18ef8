#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "model/arch.h"

/* "{general.architecture}.{key}" */
static const struct gguf_kv *find(const struct gguf *g, const char *key)
{
    struct gguf_str arch;
    char name[192];
    size_t n = strlen(key);
    if (!gguf_get_str(g, "general.architecture", &arch) || arch.n + n + 2 > sizeof name) return NULL;
    memcpy(name, arch.s, arch.n);
    name[arch.n] = '.';
    memcpy(name + arch.n + 1, key, n + 1);
    return gguf_find(g, name);
}

bool hparam_u32(const struct gguf *g, const char *key, uint32_t *out)
{
    const struct gguf_kv *kv = find(g, key);
    int64_t v;
    if (!kv || !gguf_item_i64(kv, 0, &v) || v < 0 || v > UINT32_MAX) return false;
    *out = (uint32_t)v;
    return true;
}

bool hparam_f32(const struct gguf *g, const char *key, float *out)
{
    const struct gguf_kv *kv = find(g, key);
    float v;
    if (!kv || !gguf_item_f32(kv, 0, &v) || !isfinite(v)) return false;
    *out = v;
    return true;
}

int64_t hparam_item(const struct gguf *g, const char *key, uint32_t i)
{
    const struct gguf_kv *kv = find(g, key);
    int64_t v;
    return kv && gguf_item_i64(kv, i, &v) ? v : 0;
}

/* A scalar for all layers or an array with one entry for each; fallback when absent. */
static int per_layer(uint32_t *out, uint32_t n, const struct gguf *g, const char *key, uint32_t fallback, struct err *err)
{
    const struct gguf_kv *kv = find(g, key);
    for (uint32_t i = 0; i < n; i++) {
        int64_t v = fallback;
        if (kv && (!gguf_item_i64(kv, i, &v) || v < 0 || v > 1 << 24))
            return err_set(err, ERR_FORMAT, "%s: key %s has no sound value for layer %u", gguf_path(g), key, i);
        out[i] = (uint32_t)v;
    }
    return 0;
}

static int need_u32(const struct gguf *g, const char *key, uint32_t lo, uint32_t hi, uint32_t *out, struct err *err)
{
    if (!hparam_u32(g, key, out))
        return err_set(err, ERR_FORMAT, "%s: key %s is missing or not a number; the file is damaged", gguf_path(g), key);
    if (*out < lo || *out > hi)
        return err_set(err, ERR_FORMAT, "%s: key %s is %u, expected %u to %u", gguf_path(g), key, *out, lo, hi);
    return 0;
}

static void read_scaling(struct hparams *h, const struct gguf *g)
{
    const struct gguf_kv *type = find(g, "rope.scaling.type");
    if (!hparam_f32(g, "rope.scaling.factor", &h->rope_factor)) hparam_f32(g, "rope.scale_linear", &h->rope_factor);
    struct gguf_str s = { "", 0 };
    const uint8_t *at;
    if (type && type->type == GGUF_STRING) {
        at = type->data;
        gguf_next_str(type, &at, &s);
    }
    h->scaling = !type && h->rope_factor != 1 ? SCALING_LINEAR : SCALING_NONE;
    if (s.n == 6 && !memcmp(s.s, "linear", 6)) h->scaling = SCALING_LINEAR;
    if (s.n == 4 && !memcmp(s.s, "yarn", 4)) h->scaling = SCALING_YARN;
    float yarn_factor = 1;
    hparam_f32(g, "rope.scaling.attn_factor", &h->rope_attn_factor);
    if (hparam_f32(g, "rope.scaling.yarn_attn_factor", &yarn_factor)) h->rope_attn_factor *= yarn_factor;
    hparam_f32(g, "rope.scaling.yarn_ext_factor", &h->yarn_ext);
    if (!(h->yarn_ext >= 0)) h->yarn_ext = 1;                     /* as files say that it is the usual */
    hparam_f32(g, "rope.scaling.yarn_beta_fast", &h->yarn_fast);
    hparam_f32(g, "rope.scaling.yarn_beta_slow", &h->yarn_slow);
    hparam_u32(g, "rope.scaling.original_context_length", &h->n_ctx_orig);
    if (gguf_tensor(g, "rope_factors_long.weight") && gguf_tensor(g, "rope_factors_short.weight"))
        h->scaling = SCALING_LONGROPE;
}

/* Where a file and the options disagree, the options hold. */
static int apply_rope(struct hparams *h, const struct rope_options *o, const struct gguf *g, struct err *err)
{
    if (!o) return 0;
    const float *const v[] = { &o->base, &o->factor, &o->attn_factor, &o->ext, &o->fast, &o->slow, &o->low, &o->high };
    for (size_t i = 0; i < sizeof v / sizeof *v; i++)
        if (!(*v[i] >= 0 && *v[i] <= 1e12f)) return err_set(err, ERR_ARG, "rope scaling: %g makes no sense", (double)*v[i]);
    if (o->scaling < SCALING_FILE || o->scaling > SCALING_LONGROPE)
        return err_set(err, ERR_ARG, "rope scaling %d is not known", (int)o->scaling);
    if (o->scaling == SCALING_LONGROPE && h->scaling != SCALING_LONGROPE)
        return err_set(err, ERR_ARG, "%s: has no tensors rope_factors_long.weight and rope_factors_short.weight; longrope needs "
                       "both", gguf_path(g));
    if (o->base > 0) h->rope_base = o->base;
    if (o->factor > 0) h->rope_factor = o->factor;
    if (o->n_ctx_orig) h->n_ctx_orig = o->n_ctx_orig;
    if (o->ext > 0) h->yarn_ext = o->ext;
    if (o->fast > 0) h->yarn_fast = o->fast;
    if (o->slow > 0) h->yarn_slow = o->slow;
    if (o->low > 0) h->llama3_low = o->low;
    if (o->high > 0) h->llama3_high = o->high;
    /* What a file says of one kind of scaling is not meant for another. */
    if (o->scaling && o->scaling != h->scaling) h->rope_attn_factor = 1;
    if (o->attn_factor > 0) h->rope_attn_factor = o->attn_factor;
    if (o->scaling) h->scaling = o->scaling;
    else if (h->scaling == SCALING_NONE && o->factor > 0) h->scaling = SCALING_LINEAR;
    if (h->scaling == SCALING_LLAMA3 && !(h->llama3_low < h->llama3_high))
        return err_set(err, ERR_ARG, "rope scaling: llama3 needs a low frequency factor below the high one, not %g and %g",
                       (double)h->llama3_low, (double)h->llama3_high);
    return 0;
}

void hparams_routing(struct hparams *h, const struct gguf *g)
{
    uint32_t gate = ROUTE_SOFTMAX, n_shared = 0;
    hparam_u32(g, "leading_dense_block_count", &h->n_dense);
    hparam_u32(g, "expert_gating_func", &gate);
    h->route.gate = gate ? gate : ROUTE_SOFTMAX;
    h->route.norm = hparam_item(g, "expert_weights_norm", 0) != 0;
    hparam_f32(g, "expert_weights_scale", &h->route.scale);
    if (h->route.scale == 0) h->route.scale = 1;                  /* as files say that there is none */
    hparam_u32(g, "expert_group_count", &h->route.n_group);
    hparam_u32(g, "expert_group_used_count", &h->route.n_group_used);
    hparam_u32(g, "expert_shared_feed_forward_length", &h->n_ff_shared);
    if (!hparam_u32(g, "expert_shared_count", &n_shared)) return;
    uint64_t width = (uint64_t)n_shared * h->n_ff_expert;         /* too wide: refused by check_layers */
    h->n_ff_shared = width < UINT32_MAX ? (uint32_t)width : UINT32_MAX;
}

void hparams_skip_nextn(struct hparams *h, const struct gguf *g)
{
    uint32_t n = 0;
    static const char *const part[] = { "eh_proj", "enorm", "hnorm" };
    hparam_u32(g, "nextn_predict_layers", &n);
    h->n_layer -= n < h->n_layer ? n : h->n_layer;                /* none left: refused by check_layers */
    h->guesses = n && h->n_layer;
    for (int i = 0; i < 3; i++) {                                 /* files may be without */
        char name[64];
        fmt_into(name, sizeof name, "blk.%u.nextn.%s.weight", h->n_layer, part[i]);
        h->guesses &= gguf_tensor(g, name) != NULL;
    }
}

static void read_embedding(struct hparams *h, const struct gguf *g)
{
    uint32_t v;
    if (hparam_u32(g, "attention.causal", &v)) h->bidirectional = !v;
    if (hparam_u32(g, "pooling_type", &v) && v <= POOL_RANK) h->pooling = (int)v;
}

static int read_experts(struct hparams *h, const struct gguf *g, struct err *err)
{
    hparam_u32(g, "expert_count", &h->n_expert);
    if (!h->n_expert) return 0;
    hparam_u32(g, "expert_used_count", &h->n_expert_used);
    h->n_ff_expert = h->n_ff[0];
    hparam_u32(g, "expert_feed_forward_length", &h->n_ff_expert);
    if (h->n_expert > 4096 || h->n_expert_used < 1 || h->n_expert_used > h->n_expert || h->n_expert_used > 64)
        return err_set(err, ERR_FORMAT, "%s: %u of %u experts used makes no sense", gguf_path(g), h->n_expert_used,
                       h->n_expert);
    h->route = (struct route){ .n_expert = h->n_expert, .n_used = h->n_expert_used, .gate = ROUTE_SOFTMAX, .norm = true,
                               .scale = 1 };
    return 0;
}

static int check_heads(const struct hparams *h, const struct gguf *g, struct err *err)
{
    for (uint32_t i = 0; i < h->n_layer; i++)
        if (!h->n_head[i] || h->n_head[i] > 4096 || (h->n_kv[i] && h->n_head[i] % h->n_kv[i]))
            return err_set(err, ERR_FORMAT, "%s: layer %u has %u heads and %u kv heads", gguf_path(g), i, h->n_head[i],
                           h->n_kv[i]);
    if (!h->dk || !h->dv || h->dk > 4096 || h->dv > 4096 || h->n_rot > h->dk || h->n_rot % 2)
        return err_set(err, ERR_FORMAT, "%s: head sizes %u and %u with %u rotated numbers make no sense", gguf_path(g),
                       h->dk, h->dv, h->n_rot);
    if (!(h->rope_factor > 0) || !(h->rope_base > 0) || !(h->eps >= 0))
        return err_set(err, ERR_FORMAT, "%s: rope or norm parameters make no sense", gguf_path(g));
    return 0;
}

/* What setups may have changed. */
static int check_layers(const struct hparams *h, const struct gguf *g, struct err *err)
{
    const struct route *r = &h->route;
    if (!h->n_layer) return err_set(err, ERR_FORMAT, "%s: key nextn_predict_layers leaves no layer", gguf_path(g));
    for (uint32_t i = 0; i < h->n_layer + h->guesses; i++)
        if (!h->n_kv[i] && !h->recurrent[i])
            return err_set(err, ERR_FORMAT, "%s: layer %u has no kv heads (key attention.head_count_kv)", gguf_path(g), i);
    if (!isfinite(h->attn_scale) || !isfinite(h->logit_scale) || !isfinite(h->embed_scale) || !(h->eps >= 0))
        return err_set(err, ERR_FORMAT, "%s: a scale or the norm's epsilon makes no sense", gguf_path(g));
    if (h->n_ff_expert > 1 << 24 || h->n_ff_shared > 1 << 24)
        return err_set(err, ERR_FORMAT, "%s: experts of %u and %u numbers make no sense", gguf_path(g), h->n_ff_expert,
                       h->n_ff_shared);
    if (h->dk_sliding > 4096 || h->n_rot_sliding > h->dk_sliding || h->n_rot_sliding % 2)
        return err_set(err, ERR_FORMAT, "%s: heads of %u with %u rotated numbers in sliding layers make no sense",
                       gguf_path(g), h->dk_sliding, h->n_rot_sliding);
    if (!h->n_expert) return 0;
    if (r->gate < ROUTE_SOFTMAX || r->gate > ROUTE_SOFTMAX_AFTER)
        return err_set(err, ERR_UNSUPPORTED, "%s: key expert_gating_func is %u, which is not known", gguf_path(g),
                       (unsigned)r->gate);
    if (r->n_group < 2) return 0;
    if (r->n_group > 64 || r->n_expert % r->n_group || !r->n_group_used || r->n_group_used > r->n_group ||
        r->n_expert / r->n_group * r->n_group_used < r->n_used)
        return err_set(err, ERR_FORMAT, "%s: %u experts from %u of %u groups of %u experts make no sense", gguf_path(g),
                       r->n_used, r->n_group_used, r->n_group, r->n_expert);
    return 0;
}

int hparams_read(struct hparams *h, const struct arch *a, const struct gguf *g, const struct rope_options *rope,
                 struct arena *arena, struct err *err)
{
    *h = (struct hparams){ .eps = 1e-5f, .rope_base = 10000, .rope_factor = 1, .rope_attn_factor = 1, .yarn_fast = 32,
                           .yarn_slow = 1, .yarn_ext = 1, .llama3_low = 1, .llama3_high = 4,
                           .scale_sliding = true, .embed_scale = 1, .n_ctx_train = 2048,
                           .logit_scale = 1, .rope = a->rope, .pooling = -1, .rank_act = ACT_TANH,
                           .final_norm = "/output_norm" };
    int rc = need_u32(g, "block_count", 1, 4096, &h->n_layer, err);
    if (rc == 0) rc = need_u32(g, "embedding_length", 1, 1 << 20, &h->n_embd, err);
    if (rc < 0) return rc;
    hparam_u32(g, "context_length", &h->n_ctx_train);
    h->n_head = arena_new(arena, uint32_t, h->n_layer);
    h->n_kv = arena_new(arena, uint32_t, h->n_layer);
    h->n_ff = arena_new(arena, uint32_t, h->n_layer);
    h->sliding = arena_new(arena, bool, h->n_layer);
    h->still = arena_new(arena, bool, h->n_layer);
    h->recurrent = arena_new(arena, bool, h->n_layer);
    if (!h->n_head || !h->n_kv || !h->n_ff || !h->sliding || !h->still || !h->recurrent)
        return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    if ((rc = per_layer(h->n_head, h->n_layer, g, "attention.head_count", 0, err)) < 0) return rc;
    if (!h->n_head[0]) return err_set(err, ERR_FORMAT, "%s: key attention.head_count is missing", gguf_path(g));
    if ((rc = per_layer(h->n_kv, h->n_layer, g, "attention.head_count_kv", h->n_head[0], err)) < 0) return rc;
    if ((rc = per_layer(h->n_ff, h->n_layer, g, "feed_forward_length", 0, err)) < 0) return rc;
    h->dk = h->dv = h->n_embd / h->n_head[0];
    hparam_u32(g, "attention.key_length", &h->dk);
    hparam_u32(g, "attention.value_length", &h->dv);
    h->n_rot = h->dk;
    hparam_u32(g, "rope.dimension_count", &h->n_rot);
    hparam_f32(g, "attention.layer_norm_epsilon", &h->eps);
    hparam_f32(g, "attention.layer_norm_rms_epsilon", &h->eps);
    hparam_f32(g, "rope.freq_base", &h->rope_base);
    hparam_f32(g, "attn_logit_softcapping", &h->attn_softcap);
    hparam_f32(g, "final_logit_softcapping", &h->final_softcap);
    read_embedding(h, g);
    h->n_ctx_orig = h->n_ctx_train;
    read_scaling(h, g);
    if ((rc = apply_rope(h, rope, g, err)) < 0) return rc;
    h->rope_base_sliding = h->rope_base;
    if (!h->n_ctx_orig) h->n_ctx_orig = 1;
    h->attn_scale = 1 / sqrtf((float)(h->dk ? h->dk : 1));
    uint32_t half = a->rope == ROPE_HALF;
    hparam_u32(g, "rope.half_split", &half);
    h->rope = half ? ROPE_HALF : ROPE_PAIR;
    if ((rc = read_experts(h, g, err)) < 0) return rc;
    if ((rc = check_heads(h, g, err)) < 0) return rc;
    if (a->setup) a->setup(h, g);
    if (h->norm == NORM_LAYER) hparam_f32(g, "attention.layer_norm_epsilon", &h->eps);      /* a file may have both keys */
    return check_layers(h, g, err);
}
