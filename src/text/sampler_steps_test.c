/* Every step against a second implementation that follows the definitions of docs/sampling.md word by word, with the C
 * library's exp and log. */
#include "tests/testing.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/detmath.h"
#include "base/mem.h"
#include "text/logprob.h"
#include "text/sampler.h"
#include "tests/tiny_vocab.h"

enum { MAX_N = 1500, MAX_TEXT = 400 };

static uint64_t state = 1;
static double rnd(void) { return det_uniform(78, state++, 5); }

static struct sampler_options off(void)
{
    struct sampler_options o = sampler_defaults();
    o.temperature = o.top_p = 1;
    o.top_k = 0;
    o.min_p = 0;
    return o;
}

static struct sampler *opened(const struct sampler_options *o, int32_t n, const struct tokenizer *t)
{
    struct sampler *s;
    struct err e = { 0 };
    if (sampler_open(&s, o, &(struct sampler_vocab){ n, t }, &e) < 0) fail_msg("%s", e.msg);
    return s;
}

/* ---- the definitions ---- */

struct cand { int32_t id; double z, p, d; };
struct naive {
    struct cand c[MAX_N];
    size_t n, keep;
    const struct sampler_options *o;
    const int32_t *ids;
    size_t n_ids;
    double mu, sum, weight;
};

static int by_logit(const void *a, const void *b)
{
    const struct cand *x = a, *y = b;
    return x->z != y->z ? (x->z > y->z ? -1 : 1) : x->id - y->id;
}
static int by_distance(const void *a, const void *b)
{
    const struct cand *x = a, *y = b;
    return (float)x->d != (float)y->d ? ((float)x->d < (float)y->d ? -1 : 1) : x->id - y->id;
}

static void softmax(struct naive *v)
{
    qsort(v->c, v->n, sizeof *v->c, by_logit);
    double sum = 0;
    for (size_t i = 0; i < v->n; i++) sum += v->c[i].p = exp(v->c[i].z - v->c[0].z);
    for (size_t i = 0; i < v->n; i++) v->c[i].p /= sum;
}

static size_t at_least(const struct naive *v, size_t n)
{
    size_t keep = v->keep < v->n ? v->keep : v->n;
    return n > keep ? n : keep;
}

static void n_penalties(struct naive *v)
{
    const struct sampler_options *o = v->o;
    size_t from = o->repeat_last_n < 0 || v->n_ids < (size_t)o->repeat_last_n ? 0 : v->n_ids - (size_t)o->repeat_last_n;
    if (!o->repeat_last_n) return;
    for (size_t i = 0; i < v->n; i++) {
        int count = 0;
        for (size_t k = from; k < v->n_ids; k++) count += v->ids[k] == v->c[i].id;
        if (!count) continue;
        float z = (float)v->c[i].z;
        z = z > 0 ? z / o->repeat_penalty : z * o->repeat_penalty;
        v->c[i].z = (double)(float)(z - ((float)count * o->frequency_penalty + o->presence_penalty));
    }
}

/* For each token the longest ending of the text that was followed by it before. */
static void n_dry(struct naive *v)
{
    const struct sampler_options *o = v->o;
    size_t w = o->dry_last_n < 0 || v->n_ids < (size_t)o->dry_last_n ? v->n_ids : (size_t)o->dry_last_n;
    const int32_t *t = v->ids + v->n_ids - w;
    for (size_t i = 0; i < v->n; i++) {
        size_t longest = 0;
        for (size_t j = 1; j < w; j++) {                       /* t[j] is the token, what is before it matches */
            size_t m = 0;
            if (t[j] != v->c[i].id) continue;
            while (m < j && t[j - 1 - m] == t[w - 1 - m]) m++;
            if (m > longest) longest = m;
        }
        if (longest < (size_t)o->dry_allowed_length) continue;
        double p = (double)o->dry_multiplier * pow(o->dry_base, (double)longest - o->dry_allowed_length);
        v->c[i].z = (double)(float)(v->c[i].z - p);
    }
}

static void n_top_n_sigma(struct naive *v)
{
    double sum = 0, square = 0, n = (double)v->n;
    for (size_t i = 0; i < v->n; i++) sum += v->c[i].z;
    for (size_t i = 0; i < v->n; i++) square += pow(v->c[i].z - sum / n, 2);
    softmax(v);
    size_t i = 0;
    while (i < v->n && v->c[i].z >= v->c[0].z - (double)v->o->top_n_sigma * sqrt(square / n)) i++;
    v->n = at_least(v, i);
}

static void n_top_k(struct naive *v)
{
    softmax(v);
    size_t k = at_least(v, (size_t)v->o->top_k);
    if (k < v->n) v->n = k;
}

static void n_top_a(struct naive *v)
{
    softmax(v);
    size_t i = 0;
    while (i < v->n && v->c[i].p >= (double)v->o->top_a * v->c[0].p * v->c[0].p) i++;
    v->n = at_least(v, i);
}

static void n_tfs(struct naive *v)
{
    softmax(v);
    if (v->n < 3) return;
    double all = 0, seen = 0;
    size_t keep = at_least(v, 1);
    for (size_t i = 0; i + 2 < v->n; i++) {
        v->c[i].d = fabs((v->c[i].p - v->c[i + 1].p) - (v->c[i + 1].p - v->c[i + 2].p));
        all += v->c[i].d;
    }
    for (size_t i = 0; i + 2 < v->n; i++) {
        seen += all > 1e-6 ? v->c[i].d / all : 1 / (double)(v->n - 2);
        if (seen > (double)v->o->tfs_z && i >= keep) {
            v->n = i;
            return;
        }
    }
}

static void n_typical(struct naive *v)
{
    softmax(v);
    double h = 0, seen = 0;
    size_t keep = at_least(v, 1), i = 0;
    for (size_t k = 0; k < v->n; k++) h -= v->c[k].p > 0 ? v->c[k].p * log(v->c[k].p) : 0;
    for (size_t k = 0; k < v->n; k++) v->c[k].d = fabs(-log(v->c[k].p) - h);
    qsort(v->c, v->n, sizeof *v->c, by_distance);
    while (i < v->n && (i < keep || !(seen > (double)v->o->typical_p))) seen += v->c[i++].p;
    v->n = i;
}

static void n_top_p(struct naive *v)
{
    softmax(v);
    double seen = 0;
    size_t i = 0, keep = at_least(v, 1);
    while (i < v->n && (i < keep || seen < (double)v->o->top_p)) seen += v->c[i++].p;
    v->n = i;
}

static void n_min_p(struct naive *v)
{
    softmax(v);
    size_t i = 0;
    while (i < v->n && v->c[i].z >= v->c[0].z + log(v->o->min_p)) i++;
    v->n = at_least(v, i);
}

static void n_xtc(struct naive *v)
{
    softmax(v);
    size_t m = 0;
    if (det_uniform(v->o->seed, v->n_ids, 1) >= (double)v->o->xtc_probability) return;
    while (m < v->n && v->c[m].p >= (double)v->o->xtc_threshold) m++;
    if (m < 2 || v->n - (m - 1) < at_least(v, 1)) return;
    v->n -= m - 1;
    memmove(v->c, v->c + m - 1, v->n * sizeof *v->c);
}

static void n_temperature(struct naive *v)
{
    softmax(v);
    double t = v->o->temperature, r = v->o->dynatemp_range, h = 0;
    if (r > 0) {
        if (v->n < 2) return;
        for (size_t i = 0; i < v->n; i++) h -= v->c[i].p > 0 ? v->c[i].p * log(v->c[i].p) : 0;
        double low = fmax(0, t - r), high = t + r;
        t = low + (high - low) * pow(fmax(0, h / log((double)v->n)), v->o->dynatemp_exponent);
    }
    if (t <= 0) v->n = 1;
    for (size_t i = 0; t > 0 && i < v->n; i++) v->c[i].z = (double)(float)(v->c[i].z / t);
}

static void n_smoothing(struct naive *v)
{
    softmax(v);
    double f = v->o->smoothing_factor, curve = v->o->smoothing_curve, max = v->c[0].z;
    for (size_t i = 0; i < v->n; i++) {
        double d = v->c[i].z - max;
        v->c[i].z = (double)(float)(-((3 - curve) / 2 * f * d * d) + (curve - 1) / 2 * f * d * d * d + max);
    }
}

/* ---- the draws ---- */

static size_t n_draw(struct naive *v)
{
    softmax(v);
    double u = det_uniform(v->o->seed, v->n_ids, 0), seen = 0;
    for (size_t i = 0; i < v->n; i++)
        if ((seen += v->c[i].p) > u) return i;
    return v->n - 1;
}

static int32_t n_mirostat(struct naive *v, int32_t n_vocab)
{
    softmax(v);
    if (v->o->mirostat == 1 && v->n > 1) {
        double tb = 0, tt = 0;
        for (size_t i = 0; i < 100 && i + 1 < v->n; i++) {
            double t = log((double)(i + 2) / (double)(i + 1));
            tb += t * (v->c[i].z - v->c[i + 1].z);              /* ln(p_i / p_i+1), also where both vanish */
            tt += t * t;
        }
        double s = tb / tt, eps = s - 1, k = pow(eps * pow(2, v->mu) / (1 - pow(n_vocab, -eps)), 1 / s);
        if (s == 0) k = (double)v->n;                          /* the best 100 are alike: nothing to estimate from */
        v->n = k < 1 ? 1 : k < (double)v->n ? (size_t)k : v->n;
    } else {
        size_t i = 1;
        while (i < v->n && -log2(v->c[i].p) <= v->mu) i++;
        if (v->o->mirostat == 2) v->n = i;
    }
    size_t i = n_draw(v);
    v->mu -= (double)v->o->mirostat_eta * (-log2(v->c[i].p) - (double)v->o->mirostat_tau);
    return v->c[i].id;
}

static int32_t n_adaptive(struct naive *v)
{
    softmax(v);
    double a = fmin(1, fmax(0, 2 * (double)v->o->adaptive_target - v->sum / v->weight));
    for (size_t i = 0; i < v->n; i++) {
        double x = fabs(v->c[i].p - a) / 0.3;
        v->c[i].d = v->c[i].p;
        v->c[i].z = (double)(float)(5 - 10 * x * x / (1 + x));
    }
    size_t i = n_draw(v);
    v->sum = (double)v->o->adaptive_decay * v->sum + v->c[i].d;
    v->weight = (double)v->o->adaptive_decay * v->weight + 1;
    return v->c[i].id;
}

/* ---- chains ---- */

static const struct { const char *name; char letter; void (*run)(struct naive *v); bool truncates; } step[] = {
    { "penalties", 'e', n_penalties, false }, { "dry", 'd', n_dry, false }, { "top_n_sigma", 's', n_top_n_sigma, true },
    { "top_k", 'k', n_top_k, true }, { "top_a", 'a', n_top_a, true }, { "tfs_z", 'f', n_tfs, true },
    { "typ_p", 'y', n_typical, true }, { "top_p", 'p', n_top_p, true }, { "min_p", 'm', n_min_p, true },
    { "xtc", 'x', n_xtc, true }, { "temperature", 't', n_temperature, false }, { "smoothing", 'q', n_smoothing, false },
};
enum { N_STEPS = sizeof step / sizeof *step };

/* Values that do something for the steps in `on`, values that do nothing for the others. */
static void random_values(struct sampler_options *o, unsigned on)
{
    *o = off();
    o->seed = state;
    o->dry_breakers = NULL;
    o->n_dry_breakers = 0;
    if (on & 1) o->repeat_penalty = (float)(0.8 + rnd()), o->frequency_penalty = (float)rnd(), o->presence_penalty = (float)rnd();
    o->repeat_last_n = rnd() < 0.3 ? -1 : (int32_t)(rnd() * 100);
    if (on & 2) o->dry_multiplier = (float)(rnd() * 2);
    o->dry_last_n = rnd() < 0.3 ? -1 : 1 + (int32_t)(rnd() * 100);
    o->dry_allowed_length = 1 + (int32_t)(rnd() * 3);
    if (on & 4) o->top_n_sigma = (float)(rnd() * 3);
    if (on & 8) o->top_k = 1 + (int32_t)(rnd() * 60);
    if (on & 16) o->top_a = (float)rnd();
    if (on & 32) o->tfs_z = (float)(0.5 + rnd() / 2);
    if (on & 64) o->typical_p = (float)rnd();
    if (on & 128) o->top_p = (float)rnd();
    if (on & 256) o->min_p = (float)(rnd() * 0.3);
    if (on & 512) o->xtc_probability = (float)rnd(), o->xtc_threshold = (float)(rnd() * 0.3);
    if (on & 1024) o->temperature = (float)(0.1 + rnd() * 3);
    if (on & 1024 && rnd() < 0.5) o->dynatemp_range = (float)(rnd() * 2), o->dynatemp_exponent = (float)(rnd() * 3);
    if (on & 2048) o->smoothing_factor = (float)rnd(), o->smoothing_curve = (float)(1 + rnd() * 2);
    if (rnd() < 0.3) o->min_keep = (int32_t)(rnd() * 10);
}

static bool is_on(unsigned on, const struct sampler_options *o, int k)
{
    return (on >> k & 1) && !(step[k].truncates && o->mirostat);
}

static void shuffle(int *v, int n)
{
    for (int i = n; i-- > 1;) {
        int k = (int)(rnd() * (i + 1)), t = v[i];
        v[i] = v[k];
        v[k] = t;
    }
}

struct world { float z[MAX_N]; int32_t ids[MAX_TEXT]; int32_t n_vocab; };

/* A text that repeats itself. */
static void random_world(struct world *w, int t)
{
    w->n_vocab = 1 + (int32_t)(rnd() * (t % 7 ? 200 : MAX_N - 1));
    for (int i = 0; i < MAX_TEXT; i++)
        w->ids[i] = i > 5 && rnd() < 0.7 ? w->ids[i - 1 - (int)(rnd() * 2) * 3] : (int32_t)(rnd() * 9 * w->n_vocab / 8) - 1;
}

static void random_logits(struct world *w, int t)
{
    for (int32_t i = 0; i < w->n_vocab; i++) {
        double v = (rnd() + rnd() - 1) * (t % 5 ? 12 : 2);
        w->z[i] = (float)(t % 3 ? v : floor(v));               /* every third case is full of ties */
    }
}

/* adaptive-p makes many logits alike up to rounding, so that their order may differ. */
static bool alike(const struct naive *v, int32_t a, int32_t b)
{
    double za = 0, zb = 1;
    for (size_t i = 0; i < v->n; i++) {
        if (v->c[i].id == a) za = v->c[i].z;
        if (v->c[i].id == b) zb = v->c[i].z;
    }
    return v->o->adaptive_target > 0 && fabs(za - zb) < 1e-6;
}

/* A few picks in a row; what mirostat and adaptive-p carry over must agree too. */
static void compare_chain(struct sampler_options *o, const struct world *in, unsigned on, const int *order)
{
    static struct naive v;
    static struct world w;
    w = *in;
    struct sampler *s = opened(o, w.n_vocab, NULL);
    v = (struct naive){ .o = o, .ids = w.ids, .keep = o->min_keep > 1 ? (size_t)o->min_keep : 1 };
    v.mu = 2 * (double)o->mirostat_tau;
    v.weight = 1 / (1 - (double)o->adaptive_decay);
    v.sum = (double)o->adaptive_target * v.weight;
    for (size_t len = 20 + (size_t)(rnd() * 300), end = len + 4; len < end; len++) {
        random_logits(&w, (int)len);
        v.n = (size_t)w.n_vocab;
        v.n_ids = len;
        for (int32_t i = 0; i < w.n_vocab; i++) v.c[i] = (struct cand){ .id = i, .z = (double)w.z[i] };
        for (int k = 0; k < N_STEPS; k++)
            if (is_on(on, o, order[k])) step[order[k]].run(&v);
        int32_t want = o->mirostat ? n_mirostat(&v, w.n_vocab) : o->adaptive_target > 0 ? n_adaptive(&v) : v.c[n_draw(&v)].id;
        int32_t got = sampler_pick(s, &(struct sampler_input){ w.z, w.ids, len });
        if (got != want && alike(&v, got, want)) break;
        if (got != want) fail_msg("steps %x, order %s: picked %d, should be %d", on, o->order ? o->order : "-", got, want);
    }
    sampler_close(s);
}

static const int usual[N_STEPS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 };

static void each_step_matches_its_definition(void **unused)
{
    (void)unused;
    static struct world w;
    for (int t = 0; t < N_STEPS * 60; t++) {
        struct sampler_options o;
        random_values(&o, 1u << t % N_STEPS);
        random_world(&w, t);
        compare_chain(&o, &w, 1u << t % N_STEPS, usual);
    }
}

static void chains_in_the_usual_order(void **unused)
{
    (void)unused;
    static struct world w;
    for (int t = 0; t < 600; t++) {
        unsigned on = (unsigned)(rnd() * 4096);
        struct sampler_options o;
        random_values(&o, on);
        random_world(&w, t);
        compare_chain(&o, &w, on, usual);
    }
}

static void chains_in_any_order(void **unused)
{
    (void)unused;
    static struct world w;
    for (int t = 0; t < 600; t++) {
        unsigned on = (unsigned)(rnd() * 4096), named = (unsigned)(rnd() * 4096);
        int order[N_STEPS];
        char names[300] = "", letters[N_STEPS + 1] = "";
        struct sampler_options o;
        memcpy(order, usual, sizeof order);
        shuffle(order, N_STEPS);
        random_values(&o, on);
        random_world(&w, t);
        for (int k = 0, n = 0; k < N_STEPS; k++) {
            if (!(named >> order[k] & 1)) continue;
            if (*names) strcat(names, t % 4 == 1 ? ", " : ";");
            strcat(names, step[order[k]].name);
            letters[n++] = step[order[k]].letter;
        }
        o.order = t & 1 ? names : letters;
        compare_chain(&o, &w, on & named, order);
    }
}

static void mirostat_and_adaptive_match_their_definitions(void **unused)
{
    (void)unused;
    static struct world w;
    for (int t = 0; t < 900; t++) {
        unsigned on = t % 2 ? 0 : (unsigned)(rnd() * 4096);
        struct sampler_options o;
        random_values(&o, on);
        o.mirostat = t % 3;
        o.mirostat_tau = (float)(rnd() * 8);
        o.mirostat_eta = (float)rnd();
        if (!o.mirostat) o.adaptive_target = (float)(0.05 + rnd() * 0.9), o.adaptive_decay = (float)(rnd() * 0.99);
        random_world(&w, t);
        compare_chain(&o, &w, on, usual);
    }
}

/* mu settles where the mean surprise is tau. */
static void mirostat_keeps_its_surprise(void **unused)
{
    (void)unused;
    enum { N = 2000, STEPS = 4000 };
    static float z[N];
    for (int i = 0; i < N; i++) z[i] = (float)(rnd() * 2 - log(i + 1.0));
    for (int version = 1; version <= 2; version++) {
        struct sampler_options o = off();
        o.mirostat = version;
        o.mirostat_tau = 3;
        struct sampler *s = opened(&o, N, NULL);
        double sum = 0;
        for (size_t i = 0; i < STEPS; i++) {
            int32_t id = sampler_pick(s, &(struct sampler_input){ .logits = z, .n = i });
            if (i >= STEPS / 4) sum -= (double)sampler_logprob(s, id) / log(2);
        }
        assert_true(fabs(sum / (STEPS * 3 / 4) - 3) < 0.1);
        sampler_close(s);
    }
}

/* ---- DRY's breakers, infill: with a vocabulary ---- */

static int32_t id_of(const struct tokenizer *t, const char *text)
{
    int32_t id = tokenizer_find(t, text, strlen(text));
    if (id < 0) fail_msg("the vocabulary lacks %s", text);
    return id;
}

/* The logit that a token gets when all are 0. */
static float penalty_of(const char *const *breakers, size_t n, const struct tiny_vocab *v, const char *const *text,
                        const char *id)
{
    int32_t ids[16];
    size_t len = 0;
    struct sampler_options o = off();
    o.dry_multiplier = 1;
    o.dry_base = 2;
    o.dry_breakers = breakers;
    o.n_dry_breakers = n;
    for (; text[len]; len++) ids[len] = id_of(v->t, text[len]);
    int32_t n_vocab = tokenizer_n_vocab(v->t);
    float *z = calloc((size_t)n_vocab, sizeof *z);
    struct sampler *s = opened(&o, n_vocab, v->t);
    sampler_pick(s, &(struct sampler_input){ z, ids, len });
    float p = sampler_logprob(s, id_of(v->t, id)), rest = sampler_logprob(s, id_of(v->t, "b"));
    sampler_close(s);
    free(z);
    return rest - p;
}

static void dry_stops_at_breakers(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    static const char *const repeat[] = { "x", "y", "z", "hello", "x", "y", "z", NULL },
                      *const colon[] = { "x", "y", ":", "z", "hello", "x", "y", ":", "z", NULL },
                      *const cut[] = { "x", "h", "e", "y", "z", "w", "x", "h", "e", "y", "z", NULL },
                      *const mark[] = { ":" }, *const two[] = { "he" }, *const long_two[] = { "hez" }, *const self[] = { "lo" };
    assert_true(fabsf(penalty_of(NULL, 0, &v, repeat, "hello") - 2) < 1e-5f);       /* 2^(3-2) */
    assert_true(fabsf(penalty_of(NULL, 0, &v, colon, "hello") - 4) < 1e-5f);
    assert_true(fabsf(penalty_of(mark, 1, &v, colon, "hello")) < 1e-5f);             /* only z is left of the repeat */
    assert_true(fabsf(penalty_of(two, 1, &v, cut, "w") - 1) < 1e-5f);           /* y z is left: 2^(2-2) */
    assert_true(fabsf(penalty_of(NULL, 0, &v, cut, "w") - 8) < 1e-5f);
    assert_true(fabsf(penalty_of(self, 1, &v, repeat, "hello")) < 1e-5f);           /* the token itself is a breaker */
    assert_true(fabsf(penalty_of(long_two, 1, &v, cut, "w") - 8) < 1e-5f);      /* h e y is no h e z */
    tiny_close(&v);
}

/* n logits: those named have ln(share), the others nothing. */
static int32_t infill_pick(const struct tiny_vocab *v, const char *const *text, const double *share, struct sampler_choice *out,
                           size_t *n_out)
{
    int32_t n = tokenizer_n_vocab(v->t);
    float *z = malloc((size_t)n * sizeof *z);
    struct sampler_options o = off();
    o.order = "infill";
    for (int32_t i = 0; i < n; i++) z[i] = -INFINITY;
    for (size_t i = 0; text[i]; i++) z[id_of(v->t, text[i])] = (float)log(share[i]);
    struct sampler *s = opened(&o, n, v->t);
    int32_t id = sampler_pick(s, &(struct sampler_input){ .logits = z });
    *n_out = sampler_choices(s, out, *n_out);
    sampler_close(s);
    free(z);
    return id;
}

static void infill_matches_its_definition(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    struct sampler_choice c[8];
    const char *end = "<|endoftext|>";
    static const char *const some[] = { "x", "y", "<|endoftext|>", NULL }, *const words[] = { "he", "hello", "y", "z", NULL },
                      *const many[] = { "a", "b", "c", "d", "e", "f", NULL };
    size_t n = 8;
    /* 3 * 0.1 * 3 candidates > 0.9: not; with 0.15 it is */
    assert_int_equal(infill_pick(&v, some, (double[]){ 0.6, 0.22, 0.18 }, c, &n), id_of(v.t, end));
    assert_int_equal(n, 1);
    n = 8;
    infill_pick(&v, some, (double[]){ 0.7, 0.25, 0.05 }, c, &n);
    assert_int_equal(n, 2);                                    /* y is under 1 / (2 + 1), the end stays */
    assert_int_equal(c[0].id, id_of(v.t, "x"));
    assert_int_equal(c[1].id, id_of(v.t, end));
    assert_true(fabsf(c[0].logprob - logf(0.7f / 0.75f)) < 1e-5f);
    n = 8;
    infill_pick(&v, words, (double[]){ 0.25, 0.3, 0.35, 0.1 }, c, &n);       /* he goes to hello: 0.55, y has 0.35 */
    assert_int_equal(n, 2);
    assert_int_equal(c[0].id, id_of(v.t, "hello"));
    assert_true(fabsf(c[0].logprob - logf(0.55f / 0.9f)) < 1e-5f);
    n = 8;
    assert_int_equal(infill_pick(&v, many, (double[]){ 0.17, 0.17, 0.17, 0.17, 0.16, 0.16 }, c, &n), id_of(v.t, end));
    tiny_close(&v);
}

/* ---- bans, masks, ends ---- */

static int32_t pick(struct sampler *s, const float *z, const int32_t *ids, size_t n)
{
    return sampler_pick(s, &(struct sampler_input){ z, ids, n });
}

static void forbidden_tokens_belong_to_a_place(void **unused)
{
    (void)unused;
    static const float z[4] = { 1, 4, 3, 2 };
    struct sampler_options o = off();
    o.temperature = 0;
    struct sampler *s = opened(&o, 4, NULL);
    assert_int_equal(sampler_forbid(s, 7, 1, NULL), 0);
    assert_int_equal(pick(s, z, NULL, 7), 2);
    assert_int_equal(pick(s, z, NULL, 8), 1);
    assert_int_equal(sampler_forbid(s, 7, 2, NULL), 0);
    assert_int_equal(sampler_forbid(s, 9, 1, NULL), 0);
    assert_int_equal(pick(s, z, NULL, 7), 3);
    assert_int_equal(pick(s, z, NULL, 9), 2);
    assert_int_equal(sampler_forbid(s, 8, 1, NULL), 0);        /* what is behind it is another text now */
    assert_int_equal(pick(s, z, NULL, 9), 1);
    assert_int_equal(pick(s, z, NULL, 8), 2);
    assert_int_equal(pick(s, z, NULL, 7), 3);
    assert_int_equal(sampler_forbid(s, 7, 3, NULL), 0);
    assert_int_equal(sampler_forbid(s, 7, 0, NULL), 0);
    assert_int_equal(pick(s, z, NULL, 7), 0);                  /* nothing is left: the first that only now is forbidden */
    assert_int_equal(sampler_forbid(s, 7, 4, NULL), ERR_ARG);
    sampler_close(s);
}

/* Taking a text back also takes back what mirostat and adaptive-p remember. */
static void memory_goes_back_with_the_text(void **unused)
{
    (void)unused;
    enum { N = 300, LEN = 40 };
    float z[LEN][N];
    for (int i = 0; i < LEN * N; i++) z[i / N][i % N] = (float)(rnd() * 8);
    for (int kind = 0; kind < 3; kind++) {
        struct sampler_options o = off();
        o.mirostat = kind;
        if (!kind) o.adaptive_target = 0.4f;
        struct sampler *a = opened(&o, N, NULL), *b = opened(&o, N, NULL);
        for (size_t i = 0; i < LEN; i++) pick(a, z[i], NULL, i);
        for (size_t i = 0; i < 10; i++) pick(b, z[i], NULL, i);
        for (struct sampler *s = a; s; s = s == a ? b : NULL) assert_int_equal(sampler_forbid(s, 10, 299, NULL), 0);
        for (size_t i = 10; i < LEN; i++) assert_int_equal(pick(a, z[i], NULL, i), pick(b, z[i], NULL, i));
        sampler_close(a);
        sampler_close(b);
    }
}

static bool even(void *arg, const int32_t *ids, size_t n, int32_t id)
{
    (void)ids, (void)n;
    ++*(int *)arg;
    return id % 2 == 0;
}
static void only_even(void *arg, const int32_t *ids, size_t n, float *z, int32_t n_vocab)
{
    (void)ids, (void)n;
    *(int *)arg += 100;
    for (int32_t i = 1; i < n_vocab; i += 2) z[i] = -INFINITY;
}
static void nothing(void *arg, const int32_t *ids, size_t n, float *z, int32_t n_vocab)
{
    (void)arg, (void)ids, (void)n;
    for (int32_t i = 0; i < n_vocab; i++) z[i] = -INFINITY;
}

static void masks_restrict_the_choice(void **unused)
{
    (void)unused;
    enum { N = 200 };
    float z[N];
    int calls = 0;
    struct sampler_options o = off();
    o.mirostat = 2;                                            /* what it remembers must come from the second pick only */
    struct sampler *s = opened(&o, N, NULL), *always = opened(&o, N, NULL);
    sampler_mask(s, &(struct sampler_mask){ &calls, even, only_even });
    for (size_t i = 0; i < 200; i++) {
        for (int k = 0; k < N; k++) z[k] = (float)(rnd() * 6);
        assert_int_equal(pick(s, z, NULL, i) % 2, 0);
    }
    assert_true(calls % 100 == 0 && calls / 100 > 20 + 2 && calls / 100 < 200 + 2);    /* asked each time, applied at times */
    o.mirostat = 0;
    o.temperature = 0;
    sampler_close(s);
    s = opened(&o, N, NULL);
    sampler_mask(s, &(struct sampler_mask){ &calls, even, only_even });
    z[101] = 50, z[44] = 40;
    assert_int_equal(pick(s, z, NULL, 0), 44);
    sampler_mask(s, &(struct sampler_mask){ NULL, NULL, nothing });
    assert_int_equal(pick(s, z, NULL, 0), -1);
    sampler_mask(s, NULL);
    assert_int_equal(pick(s, z, NULL, 0), 101);
    sampler_close(s);
    sampler_close(always);
}

static void ends_can_be_kept_away(void **unused)
{
    (void)unused;
    struct tiny_vocab v = tiny_open(TINY_BPE, "gpt-2");
    int32_t n = tokenizer_n_vocab(v.t), end = id_of(v.t, "<|endoftext|>"), other = id_of(v.t, "<|im_end|>"), a = id_of(v.t, "a");
    float *z = calloc((size_t)n, sizeof *z);
    z[end] = 9, z[other] = 8, z[a] = 5;
    struct sampler_options o = off();
    for (int i = 0; i < 2; i++) {
        o.temperature = i ? 0.01f : 0;
        struct sampler *s = opened(&o, n, v.t);
        sampler_no_end_before(s, 5);
        assert_int_equal(pick(s, z, NULL, 4), a);
        assert_int_equal(pick(s, z, NULL, 5), end);
        sampler_close(s);
    }
    o.ignore_end = true;
    struct sampler *s = opened(&o, n, v.t);
    sampler_no_end_before(s, 5);
    assert_int_equal(pick(s, z, NULL, 1000000), a);
    sampler_close(s);
    free(z);
    tiny_close(&v);
}

static void logprobs_are_those_of_the_softmax(void **unused)
{
    (void)unused;
    static float z[MAX_N];
    static struct naive v;
    for (int t = 0; t < 300; t++) {
        struct sampler_choice c[30];
        int32_t n = 1 + (int32_t)(rnd() * (MAX_N - 1)), id = (int32_t)(rnd() * n);
        size_t top = (size_t)(rnd() * 30);
        for (int32_t i = 0; i < n; i++) {
            z[i] = t % 3 ? (float)(rnd() * 40) : (float)(int)(rnd() * 9);
            if (t % 4 == 1 && i % 3 == 1) z[i] = i % 2 ? NAN : -INFINITY;
            v.c[i] = (struct cand){ .id = i, .z = isnan(z[i]) ? -INFINITY : (double)z[i] };
        }
        v.n = (size_t)n;
        softmax(&v);
        size_t got = top, possible = 0;
        float own = logprob(z, n, id, c, &got);
        for (int32_t i = 0; i < n; i++) possible += v.c[i].p > 0;
        assert_int_equal(got, top < possible ? top : possible);
        for (size_t i = 0; i < got; i++) {
            assert_int_equal(c[i].id, v.c[i].id);
            assert_true(fabs((double)c[i].logprob - log(v.c[i].p)) < 1e-5);
        }
        for (int32_t i = 0; i < n; i++)
            if (v.c[i].id == id) assert_true(v.c[i].p > 0 ? fabs((double)own - log(v.c[i].p)) < 1e-5 : own == -INFINITY);
    }
    size_t n = 3;
    struct sampler_choice c[3];
    assert_true(logprob((float[]){ NAN, -INFINITY }, 2, 0, c, &n) == -INFINITY && n == 0);
    n = 3;
    assert_true(logprob((float[]){ INFINITY, 1 }, 2, 0, c, &n) == 0 && n == 2 && c[0].id == 0);
    n = 0;
    assert_true(logprob((float[]){ 1, 1 }, 2, 7, c, &n) == -INFINITY && n == 0);
}

/* ---- hostile values, bad requests ---- */

static void no_values_break_a_step(void **unused)
{
    (void)unused;
    enum { N = 150 };
    static const float odd[] = { NAN, INFINITY, -INFINITY, FLT_MAX, -FLT_MAX, 0, -0.0f, 1e-45f, 88, -1e30f };
    static const float extreme[] = { 0, 1e-38f, 0.5f, 1, 100, FLT_MAX };
    for (int t = 0; t < 6000; t++) {
        unsigned on = t % 2 ? 1u << t / 2 % N_STEPS : (unsigned)(rnd() * 4096);
        struct sampler_options o;
        float z[N];
        int32_t ids[60];
        random_values(&o, on);
        float x = extreme[(size_t)(rnd() * 6)];
        if (t % 3 == 0) o.dynatemp_range = x, o.smoothing_factor = x, o.dry_multiplier = x, o.top_n_sigma = x, o.top_a = x;
        if (t % 5 == 0) o.smoothing_curve = x, o.dry_base = x, o.dynatemp_exponent = x, o.temperature = x;
        if (t % 4 == 0) o.mirostat = 1 + t / 4 % 2, o.mirostat_eta = 1000;
        if (t % 7 == 0) o.adaptive_target = 1;
        if (t % 11 == 0) o.order = "penalties;dry;top_k;infill;temperature";
        for (int i = 0; i < N; i++) z[i] = t % 13 ? odd[(size_t)(rnd() * 10)] : -INFINITY;
        for (int i = 0; i < 60; i++) ids[i] = (int32_t)(t % 17 ? rnd() * 4 : det_uniform(1, (uint64_t)i, 9) * 4e9 - 2e9);
        struct sampler *s = opened(&o, N, NULL);
        assert_int_equal(sampler_bias(s, 3, INFINITY, NULL), 0);
        for (size_t i = 0; i < 6; i++) {
            int32_t id = pick(s, z, ids, i * 10);
            assert_true(id >= 0 && id < N);
            struct sampler_choice c[5];
            size_t n = sampler_choices(s, c, 5);
            for (size_t k = 0; k < n; k++) assert_true(c[k].logprob <= 1e-6f && c[k].logprob > -INFINITY);
        }
        sampler_close(s);
    }
}

static void bad_requests_say_why(void **unused)
{
    (void)unused;
    static const char *const empty[] = { "" };
    struct sampler *s;
    struct err e = { 0 };
    const struct sampler_vocab v = { 5, NULL };
    struct { const char *order, *word; } row[] = {
        { "top_k;top_j", "top_j" }, { "top_k;top-k", "top_k" }, { "kz", "kz" }, { "kk", "twice" },
        { "temperature;temp", "twice" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct sampler_options o = off();
        o.order = row[i].order;
        assert_int_equal(sampler_open(&s, &o, &v, &e), ERR_ARG);
        assert_non_null(strstr(e.msg, row[i].word));
    }
    struct sampler_options o[6];
    for (int i = 0; i < 6; i++) o[i] = off();
    o[0].mirostat = 3;
    o[1].dry_allowed_length = 0, o[1].dry_multiplier = 1;
    o[2].dry_multiplier = 1, o[2].dry_breakers = empty, o[2].n_dry_breakers = 1;
    o[3].adaptive_target = 1.5f;
    o[4].dynatemp_range = -1;
    o[5].xtc_probability = NAN;
    for (int i = 0; i < 6; i++) assert_int_equal(sampler_open(&s, &o[i], &v, &e), ERR_ARG);
    struct tiny_vocab tiny = tiny_open(TINY_BPE, "gpt-2");
    for (int64_t n = 0; n < 40; n++) {                         /* each allocation fails in turn */
        struct sampler_options all = sampler_defaults();
        all.repeat_penalty = all.dry_multiplier = 2;
        all.adaptive_target = 0.5f;
        mem_fail_after(n);
        int rc = sampler_open(&s, &all, &(struct sampler_vocab){ tokenizer_n_vocab(tiny.t), tiny.t }, &e);
        if (rc == 0) rc = sampler_bias(s, 1, 1, NULL);
        if (rc == 0) rc = sampler_forbid(s, 1, 1, NULL);
        mem_fail_after(-1);
        assert_true(rc == 0 || rc == ERR_NOMEM);
        sampler_close(s);
    }
    tiny_close(&tiny);
}

/* The same bits everywhere: what every step at once picked when this was written, on any machine. */
static void picks_of_long_ago(void **unused)
{
    (void)unused;
    enum { N = 1000 };
    static const int32_t golden[3][8] = {
        { 481, 789, 829, 347, 55, 458, 261, 274 }, { 848, 938, 449, 443, 273, 863, 201, 378 },
        { 303, 797, 399, 835, 791, 822, 303, 91 },
    };
    static float z[N];
    int32_t ids[64];
    for (int kind = 0; kind < 3; kind++) {
        struct sampler_options o = sampler_defaults();
        o.seed = 7;
        o.top_k = 0, o.min_p = 0.001f, o.top_p = 0.99f, o.typical_p = 0.99f, o.tfs_z = 0.99f, o.top_a = 0.001f, o.top_n_sigma = 3;
        o.repeat_penalty = 1.1f, o.dry_multiplier = 0.8f, o.n_dry_breakers = 0, o.dynatemp_range = 0.3f;
        o.smoothing_factor = 0.1f, o.smoothing_curve = 1.5f, o.xtc_probability = 0.5f, o.xtc_threshold = 0.05f;
        o.mirostat = kind == 1 ? 1 : 0;
        if (kind == 2) o.adaptive_target = 0.5f;
        struct sampler *s = opened(&o, N, NULL);
        for (size_t i = 0; i < 8; i++) {
            for (uint64_t k = 0; k < N; k++) z[k] = (float)(det_uniform(5, k, (uint32_t)i) * det_uniform(6, k, (uint32_t)i) * 12);
            for (uint64_t k = 0; k < 64; k++) ids[k] = (int32_t)(det_uniform(3, k % 20, 0) * N);
            assert_int_equal(pick(s, z, ids, 40 + i), golden[kind][i]);
        }
        sampler_close(s);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(each_step_matches_its_definition),
    cmocka_unit_test(chains_in_the_usual_order),
    cmocka_unit_test(chains_in_any_order),
    cmocka_unit_test(mirostat_and_adaptive_match_their_definitions),
    cmocka_unit_test(mirostat_keeps_its_surprise),
    cmocka_unit_test(dry_stops_at_breakers),
    cmocka_unit_test(infill_matches_its_definition),
    cmocka_unit_test(forbidden_tokens_belong_to_a_place),
    cmocka_unit_test(memory_goes_back_with_the_text),
    cmocka_unit_test(masks_restrict_the_choice),
    cmocka_unit_test(ends_can_be_kept_away),
    cmocka_unit_test(logprobs_are_those_of_the_softmax),
    cmocka_unit_test(no_values_break_a_step),
    cmocka_unit_test(bad_requests_say_why),
    cmocka_unit_test(picks_of_long_ago),
};
int main(void) { return run_tests(tests); }
