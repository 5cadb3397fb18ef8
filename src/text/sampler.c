#include "text/sampler.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/detmath.h"
#include "text/order.h"

enum { MAX_WINDOW = 1 << 20 };

struct sampler {
    struct sampler_options o;
    int32_t n_vocab;
    float *bias;             /* [n_vocab], NULL until a token has one */
    int32_t *count;          /* [n_vocab] times in the window; NULL when no penalty is on */
    int32_t *window;         /* the last repeat_last_n ids, a ring; NULL when the window is all or off */
    size_t n_window, at;     /* ids in the ring, where the next goes */
    float *z;                /* [n_vocab] logits after bias and penalties */
    double *w;               /* [n_vocab] weights of the candidates, by id */
    struct order c;          /* the candidates */
};

struct sampler_options sampler_defaults(void)
{
    return (struct sampler_options){ .temperature = 0.8f, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f, .typical_p = 1,
                                     .repeat_penalty = 1, .repeat_last_n = 64 };
}

static int check(const struct sampler_options *o, struct err *err)
{
    const struct { const char *name; float v, min; } row[] = {
        { "temperature", o->temperature, -FLT_MAX },
        { "top_p", o->top_p, 0 },
        { "min_p", o->min_p, -FLT_MAX },
        { "typical_p", o->typical_p, 0 },
        { "repeat_penalty", o->repeat_penalty, 1e-6f },
        { "frequency_penalty", o->frequency_penalty, -FLT_MAX },
        { "presence_penalty", o->presence_penalty, -FLT_MAX },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (!isfinite(row[i].v)) return err_set(err, ERR_ARG, "%s must be a finite number", row[i].name);
        if (row[i].v < row[i].min)
            return err_set(err, ERR_ARG, "%s is %g, must be at least %g", row[i].name, (double)row[i].v,
                           (double)row[i].min);
    }
    if (o->repeat_last_n < -1 || o->repeat_last_n > MAX_WINDOW)
        return err_set(err, ERR_ARG, "repeat_last_n is %d, must be -1 to %d", o->repeat_last_n, MAX_WINDOW);
    if (o->min_keep < 0) return err_set(err, ERR_ARG, "min_keep is %d, must be at least 0", o->min_keep);
    return 0;
}

static bool has_penalty(const struct sampler_options *o)
{
    return o->repeat_last_n != 0 &&
           (o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0);
}

int sampler_open(struct sampler **out, const struct sampler_options *o, int32_t n_vocab, struct err *err)
{
    *out = NULL;
    if (n_vocab < 1) return err_set(err, ERR_ARG, "a sampler needs a vocabulary of at least one token");
    int rc = check(o, err);
    if (rc < 0) return rc;
    struct sampler *s = mem_new_array(struct sampler, 1);
    if (!s) return err_set(err, ERR_NOMEM, "out of memory for the sampler");
    size_t n = (size_t)n_vocab;
    s->o = *o;
    s->n_vocab = n_vocab;
    s->z = mem_new_array(float, n);
    s->w = mem_new_array(double, n);
    s->c.key = mem_new_array(uint64_t, n);
    bool ok = s->z && s->w && s->c.key;
    if (has_penalty(o)) {
        ok = ok && (s->count = mem_new_array(int32_t, n));
        if (o->repeat_last_n > 0) ok = ok && (s->window = mem_new_array(int32_t, (size_t)o->repeat_last_n));
    }
    if (!ok) {
        sampler_close(s);
        return err_set(err, ERR_NOMEM, "out of memory for the sampler of %d tokens", n_vocab);
    }
    *out = s;
    return 0;
}

void sampler_close(struct sampler *s)
{
    if (!s) return;
    mem_free(s->bias);
    mem_free(s->count);
    mem_free(s->window);
    mem_free(s->z);
    mem_free(s->w);
    mem_free(s->c.key);
    mem_free(s);
}

int sampler_bias(struct sampler *s, int32_t id, float bias, struct err *err)
{
    if (id < 0 || id >= s->n_vocab)
        return err_set(err, ERR_ARG, "bias for token %d: ids are 0 to %d", id, s->n_vocab - 1);
    if (isnan(bias)) return err_set(err, ERR_ARG, "bias for token %d is not a number", id);
    if (!s->bias && !(s->bias = mem_new_array(float, (size_t)s->n_vocab)))
        return err_set(err, ERR_NOMEM, "out of memory for the biases");
    float sum = s->bias[id] + bias;
    s->bias[id] = isnan(sum) ? -INFINITY : sum;                /* a ban stays */
    return 0;
}

/* ---- the window of accepted tokens ---- */

static void add_count(struct sampler *s, int32_t id, int32_t n)
{
    if (id >= 0 && id < s->n_vocab && (n < 0 || s->count[id] < INT32_MAX)) s->count[id] += n;
}

void sampler_accept(struct sampler *s, int32_t id)
{
    if (!s->count) return;
    if (s->window) {
        size_t cap = (size_t)s->o.repeat_last_n;
        if (s->n_window == cap)
            add_count(s, s->window[s->at], -1);
        else
            s->n_window++;
        s->window[s->at] = id;
        s->at = (s->at + 1) % cap;
    }
    add_count(s, id, 1);
}

void sampler_reset(struct sampler *s)
{
    s->n_window = s->at = 0;
    if (s->count) memset(s->count, 0, (size_t)s->n_vocab * sizeof *s->count);
}

/* ---- logits to candidates ---- */

static float penalised(const struct sampler_options *o, float z, int32_t count)
{
    z = z > 0 ? z / o->repeat_penalty : z * o->repeat_penalty;
    return z - ((float)count * o->frequency_penalty + o->presence_penalty);
}

/* NaN becomes -infinity and +infinity the largest number. */
static float usable(float z) { return isnan(z) ? -INFINITY : z > FLT_MAX ? FLT_MAX : z; }

/* What is compared: logits + bias, penalised; the logits themselves where there is neither. */
static const float *prepare(struct sampler *s, const float *logits)
{
    if (!s->bias && !s->count) return logits;
    for (int32_t i = 0; i < s->n_vocab; i++) {
        float z = logits[i];
        if (s->bias) z += s->bias[i];
        if (s->count && s->count[i]) z = penalised(&s->o, z, s->count[i]);
        s->z[i] = usable(z);
    }
    return s->z;
}

/* Makes id a candidate; z[id] is what later steps read. */
static uint64_t candidate(struct sampler *s, float z, int32_t id)
{
    s->z[id] = usable(z);
    return order_key(s->z[id], (uint32_t)id);
}

/* Nothing is possible: the first token that nobody banned. */
static int32_t first_allowed(const struct sampler *s)
{
    for (int32_t i = 0; s->bias && i < s->n_vocab; i++)
        if (s->bias[i] != -INFINITY) return i;
    return 0;
}

/* The first number from i on that is above least; n: none.  Nearly all of a sampler's time is spent here. */
static int32_t next_above(const float *z, int32_t i, int32_t n, float least)
{
    for (; i + 4 <= n; i += 4)
        if (z[i] > least || z[i + 1] > least || z[i + 2] > least || z[i + 3] > least) break;
    while (i < n && !(z[i] > least)) i++;
    return i;
}

static int32_t largest(const struct sampler *s, const float *z)
{
    int32_t best = -1;
    float most = -INFINITY;
    for (int32_t i = 0; (i = next_above(z, i, s->n_vocab, most)) < s->n_vocab && most < FLT_MAX; i++) most = usable(z[best = i]);
    return best < 0 ? first_allowed(s) : best;
}

static void take_all(struct sampler *s, const float *z)
{
    size_t n = 0;
    for (int32_t i = 0; i < s->n_vocab; i++)
        if (z[i] > -INFINITY) s->c.key[n++] = candidate(s, z[i], i);
    s->c.n = n;
    s->c.sorted = 0;
}

/* The k best.  Twice k keys are collected, cut to k, and from then on only what beats the worst of these is looked at:
 * one pass over the logits and at most n / k cuts of 2k keys. */
static void take_top(struct sampler *s, const float *z, size_t k)
{
    uint64_t *key = s->c.key, worst = UINT64_MAX;
    size_t n = 0, room = 2 * k;
    float least = -INFINITY;
    for (int32_t i = 0; (i = next_above(z, i, s->n_vocab, least)) < s->n_vocab; i++) {     /* equal: the earlier id is in */
        key[n++] = candidate(s, z[i], i);
        if (n < room) continue;
        order_select(key, n, k);
        n = k;
        worst = 0;
        for (size_t j = 0; j < k; j++)
            if (key[j] > worst) worst = key[j];
        least = s->z[order_id(worst)];
    }
    if (n > k) order_select(key, n, k);
    s->c.n = n < k ? n : k;
    s->c.sorted = 0;
    order_upto(&s->c, s->c.n);
}

/* ---- filters ---- */

static size_t min_keep(const struct sampler *s)
{
    size_t keep = s->o.min_keep > 1 ? (size_t)s->o.min_keep : 1;
    return keep < s->c.n ? keep : s->c.n;
}

static float best_logit(struct sampler *s)
{
    order_upto(&s->c, 1);
    return s->z[order_id(s->c.key[0])];
}

/* w = exp((z - max) / t) of each candidate; returns the sum. */
static double weigh(struct sampler *s, double t)
{
    double max = best_logit(s), sum = 0;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        sum += s->w[id] = det_exp(((double)s->z[id] - max) / t);
    }
    return sum;
}

/* Keeps the shortest prefix of the current order whose share of the sum reaches (or, when above, exceeds) p. */
static void keep_share(struct sampler *s, double sum, double p, bool above)
{
    size_t i = 0, least = min_keep(s);
    double seen = 0;
    while (i < s->c.n) {
        if (i == s->c.sorted) order_upto(&s->c, i + 1);
        seen += s->w[order_id(s->c.key[i++])];
        if (i >= least && (above ? seen > p * sum : seen >= p * sum)) break;
    }
    s->c.n = i;
    if (s->c.sorted > i) s->c.sorted = i;
}

/* Sorts by the distance of -ln p from the entropy H.  With L = ln sum(exp(z - max)): -ln p = L + max - z and
 * H = L - sum(p (z - max)), so the distance is |sum(p (z - max)) + max - z|. */
static void filter_typical(struct sampler *s)
{
    double max = best_logit(s), sum = weigh(s, 1), mean = 0;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        if (s->w[id] > 0) mean += s->w[id] * ((double)s->z[id] - max);
    }
    mean /= sum;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        double d = mean - ((double)s->z[id] - max);
        s->c.key[i] = ~order_key((float)(d < 0 ? -d : d), ~(uint32_t)id);
    }
    s->c.sorted = 0;
    keep_share(s, sum, s->o.typical_p, true);
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        s->c.key[i] = order_key(s->z[id], (uint32_t)id);
    }
    s->c.sorted = 0;
}

static void filter_min_p(struct sampler *s)
{
    double least = s->o.min_p >= 1 ? best_logit(s) : (double)best_logit(s) + det_log(s->o.min_p);
    size_t keep = min_keep(s), n = 0;
    order_upto(&s->c, keep);
    for (size_t i = 0; i < s->c.n; i++)
        if (i < keep || (double)s->z[order_id(s->c.key[i])] >= least) s->c.key[n++] = s->c.key[i];
    s->c.n = n;
    if (s->c.sorted > n) s->c.sorted = n;
}

/* Inverse of the cumulative distribution, the most likely token first. */
static int32_t draw(struct sampler *s, uint64_t position)
{
    double sum = weigh(s, s->o.temperature), target = det_uniform(s->o.seed, position, 0) * sum, seen = 0;
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

int32_t sampler_pick(struct sampler *s, const float *logits, uint64_t position)
{
    const struct sampler_options *o = &s->o;
    const float *z = prepare(s, logits);
    if (o->temperature <= 0) return largest(s, z);
    size_t k = o->top_k > 0 ? (size_t)o->top_k : 0;
    if (k && o->min_keep > o->top_k) k = (size_t)o->min_keep;
    if (k && k <= (size_t)s->n_vocab / 2)
        take_top(s, z, k);
    else {
        take_all(s, z);
        if (k && k < s->c.n) {
            order_upto(&s->c, k);
            s->c.n = k;
            if (s->c.sorted > k) s->c.sorted = k;
        }
    }
    if (!s->c.n) return first_allowed(s);
    if (o->typical_p < 1) filter_typical(s);
    if (o->top_p < 1) keep_share(s, weigh(s, 1), o->top_p, false);
    if (o->min_p > 0) filter_min_p(s);
    return draw(s, position);
}
