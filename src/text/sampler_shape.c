/* sampler_shape.c - steps that change logits without leaving tokens out, and the draws at the end. */
#include <math.h>

#include "base/detmath.h"
#include "text/sampler_impl.h"

static float best_logit(struct sampler *s)
{
    order_upto(&s->c, 1);
    return s->z[order_id(s->c.key[0])];
}

void sampler_weigh(struct sampler *s)
{
    double max = best_logit(s);
    s->sum = 0;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        s->sum += s->w[id] = det_exp((double)s->z[id] - max);
    }
}

/* base^e for base >= 0, e >= 0. */
static double power(double base, double e)
{
    if (e == 0) return 1;
    return base < 1e-300 ? 0 : det_exp(e * det_log(base));
}

/* The entropy as a share of what n equally likely tokens have.  With L = ln sum(exp(z - max)): H = L - sum(p (z - max)). */
static double relative_entropy(struct sampler *s)
{
    double max = best_logit(s), mean = 0;
    sampler_weigh(s);
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        if (s->w[id] > 0) mean += s->w[id] * ((double)s->z[id] - max);
    }
    double h = (det_log(s->sum) - mean / s->sum) / det_log((double)s->c.n);
    return h < 0 ? 0 : h > 1 ? 1 : h;
}

static double temperature(struct sampler *s)
{
    double t = s->o.temperature, r = s->o.dynatemp_range;
    if (!(r > 0)) return t;
    double low = t > r ? t - r : 0, high = t + r;
    return low + (high - low) * power(relative_entropy(s), s->o.dynatemp_exponent);
}

void sampler_temperature(struct sampler *s)
{
    sampler_list(s);
    if (s->o.dynatemp_range > 0 && s->c.n < 2) return;
    double t = temperature(s), max = best_logit(s);
    if (!(t > 0)) {
        sampler_cut(s, 1);
        return;
    }
    double origin = max / t > 1e30 || max / t < -1e30 ? max : 0;       /* the best must stay a number */
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        s->z[id] = sampler_usable(((double)s->z[id] - origin) / t);
    }
    sampler_rekey(s);
}

void sampler_smoothing(struct sampler *s)
{
    sampler_list(s);
    double max = best_logit(s), f = s->o.smoothing_factor, curve = s->o.smoothing_curve;
    double square = f * (3 - curve) / 2, cube = f * (curve - 1) / 2;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        double d = (double)s->z[id] - max;
        s->z[id] = sampler_usable(max - square * (d * d) + cube * (d * d * d));
    }
    sampler_rekey(s);
}

/* ---- draws ---- */

/* Inverse of the cumulative distribution, the most likely token first. */
static int32_t draw(struct sampler *s, size_t position)
{
    sampler_weigh(s);
    double target = det_uniform(s->o.seed, position, 0) * s->sum, seen = 0;
    int32_t id = order_id(s->c.key[0]);
    for (size_t i = 0; i < s->c.n; i++) {
        if (i == s->c.sorted) order_upto(&s->c, i + 1);
        int32_t next = order_id(s->c.key[i]);
        if (s->w[next] == 0) break;                            /* rounding of the sum; the rest is impossible */
        id = next;
        seen += s->w[id];
        if (seen > target) break;
    }
    return id;
}

static const double ln2 = 0x1.62e42fefa39efp-1;

/* How many of the most likely tokens have together the surprise mu, when surprises grow as Zipf's law says.
 * Source: Basu, Ramachandran, Keskar, Varshney, "Mirostat", ICLR 2021, algorithm 1. */
static size_t zipf_count(struct sampler *s, double mu)
{
    enum { M = 100 };
    size_t n = s->c.n, m = n - 1 < M ? n - 1 : M;
    order_upto(&s->c, m + 1);
    double tb = 0, tt = 0;
    for (size_t i = 0; i < m; i++) {
        double t = det_log((double)(i + 2) / (double)(i + 1));
        tb += t * ((double)s->z[order_id(s->c.key[i])] - (double)s->z[order_id(s->c.key[i + 1])]);
        tt += t * t;
    }
    double slope = tb / tt, eps = slope - 1, ln_v = det_log((double)s->v.n_vocab);
    if (!(slope > 0)) return n;                                /* all alike: there is no tail */
    /* ln of eps 2^mu / (1 - V^-eps); both factors have the sign of eps */
    double x = eps * ln_v, part = x > 1e-9 ? det_log((1 - det_exp(-x)) / eps) : x < -1e-9 ? det_log((det_exp(-x) - 1) / -eps)
                                                                                          : det_log(ln_v);
    double ln_k = (mu * ln2 - part) / slope;
    if (ln_k <= 0) return 1;
    return ln_k >= det_log((double)n) ? n : (size_t)det_exp(ln_k);
}

/* Those with -log2 p <= mu. */
static size_t surprise_count(struct sampler *s, double mu)
{
    sampler_weigh(s);
    size_t n = 0;
    while (n < s->c.n) {
        order_upto(&s->c, n + 1);
        double w = s->w[order_id(s->c.key[n])];
        if (n && (w == 0 || det_log(s->sum / w) > mu * ln2)) break;
        n++;
    }
    return n;
}

static int32_t draw_mirostat(struct sampler *s, size_t position)
{
    double *mu = &s->memory.mu;
    if (s->c.n > 1) sampler_cut(s, s->o.mirostat == 1 ? zipf_count(s, *mu) : surprise_count(s, *mu));
    int32_t id = draw(s, position);
    double surprise = det_log(s->sum / s->w[id]) / ln2;
    *mu -= (double)s->o.mirostat_eta * (surprise - (double)s->o.mirostat_tau);
    return id;
}

/* Draws most often what has about the probability that the choices so far call for. */
static int32_t draw_adaptive(struct sampler *s, size_t position)
{
    struct sampler_memory *m = &s->memory;
    double t = s->o.adaptive_target, aim = 2 * t - m->sum / m->weight, decay = s->o.adaptive_decay;
    aim = aim < 0 ? 0 : aim > 1 ? 1 : aim;
    sampler_weigh(s);
    double total = s->sum;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        s->p[id] = s->w[id] / total;
        double x = (s->p[id] - aim) / 0.3;
        if (x < 0) x = -x;
        s->z[id] = (float)(5 - 10 * x * x / (1 + x));
    }
    sampler_rekey(s);
    int32_t id = draw(s, position);
    m->sum = decay * m->sum + s->p[id];
    m->weight = decay * m->weight + 1;
    return id;
}

int32_t sampler_draw(struct sampler *s, size_t position)
{
    if (s->greedy) return draw(s, position);
    if (s->o.mirostat) return draw_mirostat(s, position);
    if (s->o.adaptive_target > 0) return draw_adaptive(s, position);
    return draw(s, position);
}

struct sampler_memory sampler_memory_first(const struct sampler_options *o)
{
    double weight = 1 / (1 - (double)o->adaptive_decay);
    return (struct sampler_memory){ .mu = 2 * (double)o->mirostat_tau, .sum = (double)o->adaptive_target * weight,
                                    .weight = weight };
}
