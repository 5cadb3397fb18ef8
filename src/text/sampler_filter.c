/* sampler_filter.c - steps that leave tokens out. */
#include <math.h>
#include <string.h>

#include "base/detmath.h"
#include "text/sampler_impl.h"

size_t sampler_min_keep(const struct sampler *s)
{
    size_t keep = s->o.min_keep > 1 ? (size_t)s->o.min_keep : 1;
    return keep < s->c.n ? keep : s->c.n;
}

void sampler_cut(struct sampler *s, size_t n)
{
    order_upto(&s->c, n);
    if (n < s->c.n) s->c.n = n;
    if (s->c.sorted > s->c.n) s->c.sorted = s->c.n;
}

static float logit(const struct sampler *s, size_t i) { return s->z[order_id(s->c.key[i])]; }
static double weight(const struct sampler *s, size_t i) { return s->w[order_id(s->c.key[i])]; }

/* Keeps the shortest prefix of the current order whose share of the sum reaches (or, when above, exceeds) p. */
static void keep_share(struct sampler *s, double p, bool above)
{
    size_t i = 0, least = sampler_min_keep(s);
    double seen = 0;
    while (i < s->c.n) {
        if (i == s->c.sorted) order_upto(&s->c, i + 1);
        seen += weight(s, i++);
        if (i >= least && (above ? seen > p * s->sum : seen >= p * s->sum)) break;
    }
    sampler_cut(s, i);
}

/* Keeps the tokens with at least this logit. */
static void keep_above(struct sampler *s, double least)
{
    size_t keep = sampler_min_keep(s), n = 0;
    order_upto(&s->c, keep);
    for (size_t i = 0; i < s->c.n; i++)
        if (i < keep || (double)logit(s, i) >= least) s->c.key[n++] = s->c.key[i];
    s->c.n = n;
    if (s->c.sorted > n) s->c.sorted = n;
}

void sampler_top_n_sigma(struct sampler *s)
{
    sampler_list(s);
    double sum = 0, square = 0, n = (double)s->c.n;
    for (size_t i = 0; i < s->c.n; i++) sum += (double)logit(s, i);
    double mean = sum / n;
    for (size_t i = 0; i < s->c.n; i++) square += ((double)logit(s, i) - mean) * ((double)logit(s, i) - mean);
    order_upto(&s->c, 1);
    keep_above(s, (double)logit(s, 0) - (double)s->o.top_n_sigma * sqrt(square / n));
}

void sampler_top_a(struct sampler *s)
{
    sampler_list(s);
    sampler_weigh(s);
    size_t keep = sampler_min_keep(s), n = 0;
    double least = (double)s->o.top_a / s->sum;                /* p >= a p_max^2, and p_max = 1 / sum */
    order_upto(&s->c, keep);
    for (size_t i = 0; i < s->c.n; i++)
        if (i < keep || weight(s, i) >= least) s->c.key[n++] = s->c.key[i];
    s->c.n = n;
    if (s->c.sorted > n) s->c.sorted = n;
}

/* The bend of the curve of sorted probabilities at i. */
static double bend(const struct sampler *s, size_t i)
{
    double d = (weight(s, i) - weight(s, i + 1)) - (weight(s, i + 1) - weight(s, i + 2));
    return d < 0 ? -d : d;
}

/* The tail begins where the bends seen so far exceed z of them all. */
void sampler_tfs(struct sampler *s)
{
    sampler_list(s);
    if (s->c.n < 3) return;
    sampler_weigh(s);
    order_upto(&s->c, s->c.n);
    size_t bends = s->c.n - 2, keep = sampler_min_keep(s), i = 0;
    double all = 0, seen = 0, flat = 1e-6 * s->sum;
    for (size_t k = 0; k < bends; k++) all += bend(s, k);
    for (; i < bends; i++) {
        seen += all > flat ? bend(s, i) / all : 1 / (double)bends;
        if (seen > (double)s->o.tfs_z && i >= keep) break;
    }
    if (i < bends) sampler_cut(s, i);
}

/* Sorts by the distance of -ln p from the entropy H.  With L = ln sum(exp(z - max)): -ln p = L + max - z and
 * H = L - sum(p (z - max)), so the distance is |sum(p (z - max)) + max - z|. */
void sampler_typical(struct sampler *s)
{
    sampler_list(s);
    sampler_weigh(s);
    double max = logit(s, 0), mean = 0;
    for (size_t i = 0; i < s->c.n; i++)
        if (weight(s, i) > 0) mean += weight(s, i) * ((double)logit(s, i) - max);
    mean /= s->sum;
    for (size_t i = 0; i < s->c.n; i++) {
        double d = mean - ((double)logit(s, i) - max);
        s->c.key[i] = ~order_key((float)(d < 0 ? -d : d), ~(uint32_t)order_id(s->c.key[i]));
    }
    s->c.sorted = 0;
    keep_share(s, s->o.typical_p, true);
    sampler_rekey(s);
}

void sampler_top_p(struct sampler *s)
{
    sampler_list(s);
    sampler_weigh(s);
    keep_share(s, s->o.top_p, false);
}

void sampler_min_p(struct sampler *s)
{
    sampler_list(s);
    order_upto(&s->c, 1);
    double max = logit(s, 0);
    keep_above(s, s->o.min_p >= 1 ? max : max + det_log(s->o.min_p));
}

/* Sometimes the most likely tokens go, all but the last that reaches the threshold. */
void sampler_xtc(struct sampler *s, size_t position)
{
    if (det_uniform(s->o.seed, position, 1) >= (double)s->o.xtc_probability) return;
    sampler_list(s);
    sampler_weigh(s);
    size_t m = 0;
    while (m < s->c.n) {
        order_upto(&s->c, m + 1);
        if (weight(s, m) < (double)s->o.xtc_threshold * s->sum) break;
        m++;
    }
    if (m < 2 || s->c.n - (m - 1) < sampler_min_keep(s)) return;
    s->c.n -= m - 1;
    s->c.sorted -= m - 1;
    memmove(s->c.key, s->c.key + m - 1, s->c.n * sizeof *s->c.key);
}
