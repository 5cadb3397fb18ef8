/* steps_rope.c - the rotary frequencies of a model: radians per position for each pair, with every kind of scaling folded in, so
 * that the device only multiplies by the position.  Source: models spec; arXiv 2104.09864, 2309.00071, 2402.13753. */
#include <math.h>

#include "base/detmath.h"
#include "model/arch.h"

/* Radians per position; keeps angles within what the device's sine is exact for, at any position a session can have. */
#define MAX_FREQ 4.0

/* Pair index at which a wave of `turns` full turns over the original context occurs. */
static double yarn_index(const struct hparams *h, double base, double turns)
{
    return h->n_rot * det_log(h->n_ctx_orig / (2 * 3.14159265358979323846 * turns)) / (2 * det_log(base));
}

static void yarn(const struct hparams *h, double base, double *freq)
{
    double lo = floor(yarn_index(h, base, h->yarn_fast)), hi = ceil(yarn_index(h, base, h->yarn_slow));
    if (lo < 0) lo = 0;
    if (hi > h->n_rot - 1) hi = h->n_rot - 1;
    for (uint32_t i = 0; i < h->n_rot / 2; i++) {
        double y = (i - lo) / fmax(0.001, hi - lo);
        double ramp = 1 - fmin(1, fmax(0, y));
        ramp *= h->yarn_ext;
        freq[i] = freq[i] / h->rope_factor * (1 - ramp) + freq[i] * ramp;
    }
}

/* mscale / mscale_all_dim, the latter only where a file has it. */
static float yarn_magnitude(const struct hparams *h)
{
    double ln = h->yarn_ext != 0 ? 0.1 * det_log(h->rope_factor) : 0;
    return (float)(h->rope_attn_factor * (1 + ln) / (1 + h->yarn_log_multiplier * ln));
}

/* Long waves are stretched by the factor, short ones not, those between by a part of it. */
static void llama3(const struct hparams *h, double *freq)
{
    for (uint32_t i = 0; i < h->n_rot / 2; i++) {
        double turns = h->n_ctx_orig * freq[i] / (2 * 3.14159265358979323846);       /* over the original context */
        double s = (turns - h->llama3_low) / (h->llama3_high - h->llama3_low);
        s = fmin(1, fmax(0, s));
        freq[i] *= (1 - s) / h->rope_factor + s;
    }
}

/* The base with which the longest wave is stretched by the factor and the shortest stays.  Source: the models specification. */
static double ntk_base(const struct hparams *h, double base)
{
    return h->n_rot > 2 ? base * det_exp(h->n_rot / (h->n_rot - 2.0) * det_log(h->rope_factor)) : base;
}

static const float *factors(struct builder *b)
{
    const char *name = "/rope_freqs";
    if (b->h->scaling == SCALING_LLAMA3) return NULL;             /* which are what it computes */
    if (b->h->scaling == SCALING_LONGROPE) name = b->long_context ? "/rope_factors_long" : "/rope_factors_short";
    const struct weight *w = bind(b, name, "weight", (uint64_t[]){ b->h->n_rot / 2, 0, 0 }, false);
    return w ? (const float *)(const void *)w->data : NULL;
}

static vid angles_op(struct builder *b, const double *freq, uint32_t n_rot, float magnitude)
{
    for (uint32_t i = 0; i < n_rot / 2; i++)
        if (!(freq[i] >= 0 && freq[i] <= MAX_FREQ)) {
            b->rc = err_set(b->err, ERR_FORMAT, "%s: rotary frequency %u is out of range; the file is damaged",
                            gguf_path(b->gguf), i);
            return -1;
        }
    vid y = graph_value(b->g, ROWS_T, n_rot);
    struct op *o = graph_op(b->g, OP_ANGLES, -1, -1, y);
    o->freq = freq;
    o->f[0] = magnitude;
    return y;
}

vid rope_plain(struct builder *b, double base, uint32_t n_rot)
{
    double *freq = arena_new(&b->g->arena, double, n_rot / 2 + 1);
    if (!freq && b->rc == 0) b->rc = err_set(b->err, ERR_NOMEM, "out of memory");
    if (b->rc < 0) return -1;
    for (uint32_t i = 0; i < n_rot / 2; i++) freq[i] = det_exp(-2.0 * i / n_rot * det_log(base));
    return angles_op(b, freq, n_rot, 1);
}

static vid table(struct builder *b, double base, bool scaled)
{
    const struct hparams *h = b->h;
    uint32_t n = h->n_rot / 2;
    double *freq = arena_new(&b->g->arena, double, n ? n : 1);
    const float *ff = factors(b);
    if (!freq && b->rc == 0) b->rc = err_set(b->err, ERR_NOMEM, "out of memory");
    if (b->rc < 0) return -1;
    float magnitude = scaled ? h->rope_attn_factor : 1;
    if (scaled && h->scaling == SCALING_NTK) base = ntk_base(h, base);
    for (uint32_t i = 0; i < n; i++) {
        freq[i] = det_exp(-2.0 * i / h->n_rot * det_log(base));
        if (ff) freq[i] /= ff[i];
    }
    if (scaled && h->scaling == SCALING_LINEAR)
        for (uint32_t i = 0; i < n; i++) freq[i] /= h->rope_factor;
    if (scaled && h->scaling == SCALING_LLAMA3) llama3(h, freq);
    if (scaled && h->scaling == SCALING_YARN) {
        yarn(h, base, freq);
        magnitude = yarn_magnitude(h);
    }
    return angles_op(b, freq, h->n_rot, magnitude);
}

void rope_tables(struct builder *b)
{
    const struct hparams *h = b->h;
    b->angles[0] = b->angles[1] = table(b, h->rope_base, true);
    bool sliding = false;
    for (uint32_t i = 0; i < h->n_layer; i++) sliding |= h->sliding[i];
    if (sliding && (h->rope_base_sliding != h->rope_base || !h->scale_sliding))
        b->angles[1] = table(b, h->rope_base_sliding, h->scale_sliding);
}
