/* hf_rope.c - rope_scaling (old) or rope_parameters (new) becomes GGUF's keys and tables.
 * Source: models spec; arXiv 2309.00071 (YaRN), 2402.13753 (LongRoPE). */
#include <math.h>
#include <string.h>

#include "base/detmath.h"
#include "format/hf_impl.h"

static int missing(struct hf *h, const char *key)
{
    return err_set(h->err, ERR_FORMAT, "%s: rope scaling: %s is missing or not a number that makes sense", h->config_path, key);
}

static int put_factor(struct hf *h, const struct json *s, const char *type, double *factor)
{
    char name[128];
    if (!hf_num(s, "factor", factor) || !(*factor > 0)) return missing(h, "factor");
    fmt_into(name, sizeof name, "%s.rope.scaling.type", h->family->arch);
    gguf_put_str(h->w, name, type, strlen(type));
    hf_put_f32(h, "rope.scaling.factor", (float)*factor);
    return 0;
}

/* The context before the scaling: in the scaling itself, else in the configuration. */
static int original(struct hf *h, const struct json *s, uint32_t *out)
{
    int rc = hf_u32(h, s, "original_max_position_embeddings", out);
    if (rc == 0 && !*out) rc = hf_u32(h, h->text, "original_max_position_embeddings", out);
    if (rc == 0 && !*out) rc = hf_u32(h, h->text, "max_position_embeddings", out);
    return rc < 0 ? rc : *out ? 0 : missing(h, "original_max_position_embeddings");
}

/* Llama 3: the table of divisors. */
static int llama3(struct hf *h, const struct json *s, double base)
{
    double factor, low, high;
    uint32_t old = 0;
    int rc = original(h, s, &old);
    if (rc < 0) return rc;
    if (!hf_num(s, "factor", &factor) || !(factor > 0)) return missing(h, "factor");
    if (!hf_num(s, "low_freq_factor", &low) || !(low > 0)) return missing(h, "low_freq_factor");
    if (!hf_num(s, "high_freq_factor", &high) || !(high > low)) return missing(h, "high_freq_factor");
    float *ff = hf_add_vector(h, "rope_freqs.weight", h->n_rot / 2);
    if (!ff) return ERR_NOMEM;
    for (uint32_t i = 0; i < h->n_rot / 2; i++) {
        double wave = 2 * 3.14159265358979323846 * det_exp(2.0 * i / h->n_rot * det_log(base));
        double smooth = (old / wave - low) / (high - low);
        double f = wave < old / high ? 1 : wave > old / low ? factor : 1 / ((1 - smooth) / factor + smooth);
        ff[i] = (float)f;
    }
    return 0;
}

static double magnitude(double mscale, double factor) { return factor > 1 ? 0.1 * mscale * det_log(factor) + 1 : 1; }

/* DeepSeek: the scores grow and the rotation does not, which is so where both numbers are the same. */
static int latent_yarn(struct hf *h, const struct json *s)
{
    double mscale = 1, all = 0;
    hf_num(s, "mscale", &mscale);
    hf_num(s, "mscale_all_dim", &all);
    if (mscale != all || !(all > 0))
        return err_set(h->err, ERR_UNSUPPORTED, "%s: rope scaling: mscale %g and mscale_all_dim %g are not supported",
                       h->config_path,
                       mscale, all);
    hf_put_f32(h, "rope.scaling.yarn_log_multiplier", (float)(0.1 * all));
    return 0;
}

static int yarn(struct hf *h, const struct json *s)
{
    double factor, m, mscale = 0, all = 0, v;
    uint32_t old = 0;
    int rc = put_factor(h, s, "yarn", &factor);
    if (rc == 0) rc = original(h, s, &old);
    if (rc < 0) return rc;
    hf_put_u32(h, "rope.scaling.original_context_length", old);
    if (hf_num(s, "beta_fast", &v)) hf_put_f32(h, "rope.scaling.yarn_beta_fast", (float)v);
    if (hf_num(s, "beta_slow", &v)) hf_put_f32(h, "rope.scaling.yarn_beta_slow", (float)v);
    if (h->family->flags & HF_LATENT) return latent_yarn(h, s);
    bool both = hf_num(s, "mscale", &mscale) && hf_num(s, "mscale_all_dim", &all) && mscale != 0 && all != 0;
    if (!strcmp(h->family->arch, "mistral3") && both && mscale == 1) {
        hf_put_f32(h, "rope.scaling.yarn_log_multiplier", (float)all);
        return 0;
    }
    if (!hf_num(s, "attention_factor", &m)) m = both ? magnitude(mscale, factor) / magnitude(all, factor) : magnitude(1, factor);
    double usual = magnitude(1, factor);
    if (m != usual) hf_put_f32(h, "rope.scaling.attn_factor", (float)(m / (1 + 0.1 * det_log(factor))));
    return 0;
}

static int factors(struct hf *h, const struct json *s, const char *from, const char *to)
{
    const struct json *list = json_get(s, from);
    if (json_len(list) != h->n_rot / 2 || json_type(list) != JSON_ARRAY)
        return err_set(h->err, ERR_FORMAT, "%s: %s has %zu numbers, expected %u", h->config_path, from, json_len(list),
                       h->n_rot / 2);
    float *ff = hf_add_vector(h, to, h->n_rot / 2);
    if (!ff) return ERR_NOMEM;
    for (uint32_t i = 0; i < h->n_rot / 2; i++) {
        ff[i] = (float)json_num(json_at(list, i));
        if (!(ff[i] > 0) || !isfinite(ff[i])) return missing(h, from);
    }
    return 0;
}

static int longrope(struct hf *h, const struct json *s)
{
    uint32_t old = 0, max = 0;
    double m, factor;
    int rc = original(h, s, &old);
    if (rc == 0) rc = hf_u32(h, h->text, "max_position_embeddings", &max);
    if (rc == 0) rc = factors(h, s, "long_factor", "rope_factors_long.weight");
    if (rc == 0) rc = factors(h, s, "short_factor", "rope_factors_short.weight");
    if (rc < 0) return rc;
    factor = (double)max / old;
    if (!hf_num(s, "attention_factor", &m)) {
        if (json_get(s, "short_mscale") || json_get(s, "long_mscale"))
            return err_set(h->err, ERR_UNSUPPORTED, "%s: short_mscale and long_mscale are not supported", h->config_path);
        if (json_type(json_get(s, "factor")) != JSON_NULL && hf_num(s, "factor", &m) && m > 0) factor = m;
        m = factor > 1 ? sqrt(1 + det_log(factor) / det_log(old)) : 1;
    }
    hf_put_u32(h, "rope.scaling.original_context_length", old);
    hf_put_f32(h, "rope.scaling.attn_factor", (float)m);
    return 0;
}

static int scaling(struct hf *h, const struct json *s, double base)
{
    const char *type = json_str(json_get(s, "rope_type"), NULL);
    double factor;
    if (!type) type = json_str(json_get(s, "type"), NULL);
    /* "dynamic" changes nothing up to max_position_embeddings, and that is where this model's context ends. */
    if (!type || !strcmp(type, "default") || !strcmp(type, "dynamic") || !strcmp(type, "mrope")) return 0;
    if (!strcmp(type, "linear")) return put_factor(h, s, "linear", &factor);
    if (!strcmp(type, "llama3")) return llama3(h, s, base);
    if (!strcmp(type, "yarn")) return yarn(h, s);
    if (!strcmp(type, "longrope") || !strcmp(type, "su")) return longrope(h, s);
    return err_set(h->err, ERR_UNSUPPORTED, "%s: rope scaling '%s' is not supported", h->config_path,
                   gguf_show((struct gguf_str){ type, strlen(type) }).s);
}

int hf_rope(struct hf *h)
{
    const struct json *p = json_get(h->text, "rope_parameters"), *old = json_get(h->text, "rope_scaling");
    const struct json *full = json_get(p, "full_attention"), *sliding = json_get(p, "sliding_attention");
    bool gemma3 = !strcmp(h->family->type, "gemma3_text");
    bool million = gemma3 || !strcmp(h->family->type, "mixtral") || h->family->flags & HF_CONV;
    double base = million ? 1000000 : 10000, local = 10000, v;
    hf_num(h->text, "rope_theta", &base);
    hf_num(h->text, "rope_local_base_freq", &local);
    if (!full) full = p;
    hf_num(full, "rope_theta", &base);
    hf_num(sliding, "rope_theta", &local);
    /* Hunyuan: a larger base once and for all. */
    if (hf_num(old, "alpha", &v) && v > 0 && h->n_rot > 2) base *= det_exp(det_log(v) * h->n_rot / (h->n_rot - 2));
    if (!(base > 1) || !(local > 1)) return missing(h, "rope_theta");
    hf_put_f32(h, "rope.freq_base", (float)base);
    if (gemma3) hf_put_f32(h, "rope.freq_base_swa", (float)local);
    if (hf_num(p, "llama_4_scaling_beta", &v) || hf_num(old, "llama_4_scaling_beta", &v))
        hf_put_f32(h, "attention.temperature_scale", (float)v);
    if (json_type(full) != JSON_OBJECT) full = old;
    return json_type(full) == JSON_OBJECT ? scaling(h, full, base) : 0;
}
