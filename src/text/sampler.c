/* sampler.c - opening a sampler, what is added to logits, and the pick. */
#include "text/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "base/detmath.h"
#include "base/mem.h"
#include "text/sampler_impl.h"

struct sampler_options sampler_defaults(void)
{
    static const char *const breakers[] = { "\n", ":", "\"", "*" };
    return (struct sampler_options){
        .temperature = 0.8f, .dynatemp_exponent = 1, .smoothing_curve = 1, .top_k = 40, .top_p = 0.95f, .min_p = 0.05f,
        .typical_p = 1, .top_n_sigma = -1, .tfs_z = 1, .xtc_threshold = 0.1f, .repeat_penalty = 1, .repeat_last_n = 64,
        .dry_base = 1.75f, .dry_allowed_length = 2, .dry_last_n = 64, .dry_breakers = breakers, .n_dry_breakers = 4,
        .mirostat_tau = 5, .mirostat_eta = 0.1f, .adaptive_target = -1, .adaptive_decay = 0.9f,
    };
}

static int check_floats(const struct sampler_options *o, struct err *err)
{
    const struct { const char *name; float v, min, max; } row[] = {
        { "temperature", o->temperature, -FLT_MAX, FLT_MAX },
        { "dynatemp_range", o->dynatemp_range, 0, FLT_MAX },
        { "dynatemp_exponent", o->dynatemp_exponent, 0, FLT_MAX },
        { "smoothing_factor", o->smoothing_factor, 0, FLT_MAX },
        { "smoothing_curve", o->smoothing_curve, 0, FLT_MAX },
        { "top_p", o->top_p, 0, FLT_MAX },
        { "min_p", o->min_p, -FLT_MAX, FLT_MAX },
        { "typical_p", o->typical_p, 0, FLT_MAX },
        { "top_n_sigma", o->top_n_sigma, -FLT_MAX, FLT_MAX },
        { "top_a", o->top_a, -FLT_MAX, FLT_MAX },
        { "tfs_z", o->tfs_z, 0, FLT_MAX },
        { "xtc_probability", o->xtc_probability, 0, 1 },
        { "xtc_threshold", o->xtc_threshold, 0, FLT_MAX },
        { "repeat_penalty", o->repeat_penalty, 1e-6f, FLT_MAX },
        { "frequency_penalty", o->frequency_penalty, -FLT_MAX, FLT_MAX },
        { "presence_penalty", o->presence_penalty, -FLT_MAX, FLT_MAX },
        { "dry_multiplier", o->dry_multiplier, 0, FLT_MAX },
        { "dry_base", o->dry_base, 0, FLT_MAX },
        { "mirostat_tau", o->mirostat_tau, 0, 1000 },
        { "mirostat_eta", o->mirostat_eta, 0, 1000 },
        { "adaptive_target", o->adaptive_target, -FLT_MAX, 1 },
        { "adaptive_decay", o->adaptive_decay, 0, 0.99f },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (!isfinite(row[i].v)) return err_set(err, ERR_ARG, "%s must be a finite number", row[i].name);
        if (row[i].v < row[i].min)
            return err_set(err, ERR_ARG, "%s is %g, must be at least %g", row[i].name, (double)row[i].v, (double)row[i].min);
        if (row[i].v > row[i].max)
            return err_set(err, ERR_ARG, "%s is %g, must be at most %g", row[i].name, (double)row[i].v, (double)row[i].max);
    }
    return 0;
}

static int check(const struct sampler_options *o, struct err *err)
{
    const struct { const char *name; int32_t v, min, max; } row[] = {
        { "repeat_last_n", o->repeat_last_n, -1, SAMPLER_MAX_WINDOW },
        { "dry_last_n", o->dry_last_n, -1, SAMPLER_MAX_WINDOW },
        { "dry_allowed_length", o->dry_allowed_length, o->dry_multiplier != 0, SAMPLER_MAX_WINDOW },
        { "min_keep", o->min_keep, 0, INT32_MAX },
        { "mirostat", o->mirostat, 0, 2 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].v < row[i].min || row[i].v > row[i].max)
            return err_set(err, ERR_ARG, "%s is %d, must be %d to %d", row[i].name, row[i].v, row[i].min, row[i].max);
    return check_floats(o, err);
}

/* ---- opening ---- */

static bool open_arrays(struct sampler *s)
{
    size_t n = (size_t)s->v.n_vocab;
    bool mirostat = s->o.mirostat != 0, adaptive = s->o.adaptive_target > 0 && !mirostat;
    s->z = mem_new_array(float, n);
    s->w = mem_new_array(double, n);
    s->c.key = mem_new_array(uint64_t, n);
    if (adaptive && !(s->p = mem_new_array(double, n))) return false;
    if ((mirostat || adaptive) && !(s->ring = mem_new_array(struct sampler_memory, MEMORY_RING))) return false;
    return s->z && s->w && s->c.key;
}

static int open_ends(struct sampler *s, struct err *err)
{
    for (int32_t id = 0; s->v.tokenizer && id < s->v.n_vocab; id++) s->n_end += tokenizer_is_eog(s->v.tokenizer, id);
    if (!(s->end = mem_new_array(int32_t, s->n_end + 1))) return err_set(err, ERR_NOMEM, "out of memory for the sampler");
    s->n_end = 0;
    for (int32_t id = 0; s->v.tokenizer && id < s->v.n_vocab; id++)
        if (tokenizer_is_eog(s->v.tokenizer, id)) s->end[s->n_end++] = id;
    s->end_from = s->o.ignore_end ? SIZE_MAX : 0;
    return 0;
}

int sampler_open(struct sampler **out, const struct sampler_options *o, const struct sampler_vocab *v, struct err *err)
{
    *out = NULL;
    if (v->n_vocab < 1) return err_set(err, ERR_ARG, "a sampler needs a vocabulary of at least one token");
    int rc = check(o, err);
    if (rc < 0) return rc;
    struct sampler *s = mem_new_array(struct sampler, 1);
    if (!s) return err_set(err, ERR_NOMEM, "out of memory for the sampler");
    s->o = *o;
    s->v = *v;
    rc = sampler_order(s, err);
    if (rc == 0 && !open_arrays(s)) rc = err_set(err, ERR_NOMEM, "out of memory for the sampler of %d tokens", v->n_vocab);
    if (rc == 0) rc = open_ends(s, err);
    if (rc == 0) rc = sampler_repeat_open(s, err);
    s->o.dry_breakers = NULL;
    s->memory = sampler_memory_first(o);
    if (rc < 0) {
        sampler_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void sampler_close(struct sampler *s)
{
    if (!s) return;
    sampler_repeat_close(s);
    mem_free(s->bias.id);
    mem_free(s->bias.slot);
    mem_free(s->bias.bias);
    mem_free(s->forbidden.at);
    mem_free(s->forbidden.id);
    mem_free(s->end);
    mem_free(s->ring);
    mem_free(s->p);
    mem_free(s->z);
    mem_free(s->w);
    mem_free(s->c.key);
    mem_free(s);
}

/* ---- what comes first ---- */

static int check_id(const struct sampler *s, const char *what, int32_t id, struct err *err)
{
    if (id >= 0 && id < s->v.n_vocab) return 0;
    return err_set(err, ERR_ARG, "%s for token %d: ids are 0 to %d", what, id, s->v.n_vocab - 1);
}

int sampler_bias(struct sampler *s, int32_t id, float bias, struct err *err)
{
    int rc = check_id(s, "bias", id, err);
    if (rc < 0) return rc;
    if (isnan(bias)) return err_set(err, ERR_ARG, "bias for token %d is not a number", id);
    if (!s->bias.slot && !(s->bias.slot = mem_new_array(uint32_t, (size_t)s->v.n_vocab)))
        return err_set(err, ERR_NOMEM, "out of memory for the biases");
    if (s->bias.n == s->bias.cap) {
        size_t cap = s->bias.cap ? 2 * s->bias.cap : 16;
        int32_t *ids = mem_resize(s->bias.id, cap, sizeof *ids);
        if (ids) s->bias.id = ids;
        float *values = ids ? mem_resize(s->bias.bias, cap, sizeof *values) : NULL;
        if (!values) return err_set(err, ERR_NOMEM, "out of memory for the biases");
        s->bias.bias = values;
        s->bias.cap = cap;
    }
    if (!s->bias.slot[id]) {
        s->bias.id[s->bias.n] = id;
        s->bias.bias[s->bias.n++] = 0;
        s->bias.slot[id] = (uint32_t)s->bias.n;
    }
    size_t i = s->bias.slot[id] - 1;
    float sum = s->bias.bias[i] + bias;
    s->bias.bias[i] = isnan(sum) ? -INFINITY : sum;            /* a ban stays */
    return 0;
}

void sampler_no_end_before(struct sampler *s, size_t position)
{
    if (!s->o.ignore_end) s->end_from = position;
}

int sampler_forbid(struct sampler *s, size_t position, int32_t id, struct err *err)
{
    int rc = check_id(s, "ban", id, err);
    if (rc < 0) return rc;
    position += s->gone;
    while (s->forbidden.n && s->forbidden.at[s->forbidden.n - 1] > position) s->forbidden.n--;
    if (s->forbidden.n == s->forbidden.cap) {
        size_t cap = s->forbidden.cap ? 2 * s->forbidden.cap : 16;
        size_t *at = mem_resize(s->forbidden.at, cap, sizeof *at);
        if (at) s->forbidden.at = at;
        int32_t *ids = at ? mem_resize(s->forbidden.id, cap, sizeof *ids) : NULL;
        if (!ids) return err_set(err, ERR_NOMEM, "out of memory for banned tokens");
        s->forbidden.id = ids;
        s->forbidden.cap = cap;
    }
    s->forbidden.at[s->forbidden.n] = position;
    s->forbidden.id[s->forbidden.n++] = id;
    const struct sampler_memory *old = s->ring ? &s->ring[position % MEMORY_RING] : NULL;
    if (old && old->at == position + 1) s->memory = *old;
    return 0;
}

void sampler_text_cut(struct sampler *s, size_t n) { s->gone += n; }

void sampler_mask(struct sampler *s, const struct sampler_mask *m) { s->mask = m ? *m : (struct sampler_mask){ 0 }; }

float *sampler_logits(struct sampler *s)
{
    if (!s->listed && s->from != s->z) {
        memcpy(s->z, s->from, (size_t)s->v.n_vocab * sizeof *s->z);
        s->from = s->z;
    }
    return s->z;
}

static void prepare(struct sampler *s, const struct sampler_input *in, bool mask)
{
    s->from = in->logits;
    s->listed = false;
    if (mask) s->mask.apply(s->mask.arg, in->ids, in->n, sampler_logits(s), s->v.n_vocab);
    for (size_t i = 0; i < s->bias.n; i++) {
        float *z = sampler_logits(s) + s->bias.id[i];
        *z = sampler_usable((double)sampler_usable((double)*z) + (double)s->bias.bias[i]);
    }
    for (size_t i = 0; in->n < s->end_from && i < s->n_end; i++) sampler_logits(s)[s->end[i]] = -INFINITY;
    const size_t at = in->n + s->gone;
    for (size_t i = s->forbidden.n; i-- > 0 && s->forbidden.at[i] >= at;)
        if (s->forbidden.at[i] == at) sampler_logits(s)[s->forbidden.id[i]] = -INFINITY;
}

/* ---- logits to candidates ---- */

/* Makes id a candidate; z[id] is what later steps read. */
static uint64_t candidate(struct sampler *s, float z, int32_t id)
{
    s->z[id] = sampler_usable((double)z);
    return order_key(s->z[id], (uint32_t)id);
}

/* The first number from i on that is above least; n: none.  Nearly all of a sampler's time is spent here. */
static int32_t next_above(const float *z, int32_t i, int32_t n, float least)
{
    for (; i + 4 <= n; i += 4)
        if (z[i] > least || z[i + 1] > least || z[i + 2] > least || z[i + 3] > least) break;
    while (i < n && !(z[i] > least)) i++;
    return i;
}

void sampler_list(struct sampler *s)
{
    if (s->listed) return;
    size_t n = 0;
    for (int32_t i = 0; i < s->v.n_vocab; i++)
        if (s->from[i] > -INFINITY) s->c.key[n++] = candidate(s, s->from[i], i);
    s->c.n = n;
    s->c.sorted = 0;
    s->listed = true;
}

/* Twice k keys are collected, cut to k, and from then on only what beats the worst of these is looked at: one pass over the
 * logits and at most n / k cuts of 2k keys. */
static void list_best(struct sampler *s, size_t k)
{
    const float *z = s->from;
    uint64_t *key = s->c.key, worst = UINT64_MAX;
    size_t n = 0, room = 2 * k;
    float least = -INFINITY;
    for (int32_t i = 0; (i = next_above(z, i, s->v.n_vocab, least)) < s->v.n_vocab; i++) {     /* equal: the earlier id is in */
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
    s->listed = true;
}

void sampler_list_top(struct sampler *s, size_t k)
{
    if (!s->listed && k <= (size_t)s->v.n_vocab / 2) list_best(s, k);
    sampler_list(s);
    sampler_cut(s, k);
}

void sampler_rekey(struct sampler *s)
{
    size_t n = 0;
    for (size_t i = 0; i < s->c.n; i++) {
        int32_t id = order_id(s->c.key[i]);
        if (s->z[id] > -INFINITY) s->c.key[n++] = order_key(s->z[id], (uint32_t)id);
    }
    s->c.n = n;
    s->c.sorted = 0;
}

/* ---- the pick ---- */

static void take_step(struct sampler *s, enum sampler_step k, const struct sampler_input *in)
{
    switch (k) {
    case STEP_PENALTIES: sampler_penalties(s, in); return;
    case STEP_DRY: sampler_dry(s, in); return;
    case STEP_TOP_N_SIGMA: sampler_top_n_sigma(s); return;
    case STEP_TOP_K: sampler_list_top(s, (size_t)(s->o.min_keep > s->o.top_k ? s->o.min_keep : s->o.top_k)); return;
    case STEP_TOP_A: sampler_top_a(s); return;
    case STEP_TFS: sampler_tfs(s); return;
    case STEP_TYPICAL: sampler_typical(s); return;
    case STEP_TOP_P: sampler_top_p(s); return;
    case STEP_MIN_P: sampler_min_p(s); return;
    case STEP_XTC: sampler_xtc(s, in->n); return;
    case STEP_TEMPERATURE: sampler_temperature(s); return;
    case STEP_SMOOTHING: sampler_smoothing(s); return;
    case STEP_INFILL: sampler_infill(s); return;
    case N_STEP: return;
    }
}

/* The largest logit becomes the only candidate. */
static void list_largest(struct sampler *s)
{
    int32_t best = -1;
    float most = -INFINITY;
    for (int32_t i = 0; (i = next_above(s->from, i, s->v.n_vocab, most)) < s->v.n_vocab && most < FLT_MAX; i++)
        most = sampler_usable((double)s->from[best = i]);
    s->c.n = best >= 0;
    s->c.sorted = 0;
    if (best >= 0) s->c.key[0] = candidate(s, most, best);
    s->listed = true;
}

/* Nothing is possible: the first token that nobody banned. */
static int32_t first_allowed(struct sampler *s, size_t n)
{
    int32_t id = 0;
    memset(s->z, 0, (size_t)s->v.n_vocab * sizeof *s->z);
    for (size_t i = 0; i < s->bias.n; i++) s->z[s->bias.id[i]] = s->bias.bias[i];
    for (size_t i = 0; i < s->forbidden.n; i++)
        if (s->forbidden.at[i] == n + s->gone) s->z[s->forbidden.id[i]] = -INFINITY;
    for (size_t i = 0; n < s->end_from && i < s->n_end; i++) s->z[s->end[i]] = -INFINITY;
    while (id < s->v.n_vocab && s->z[id] == -INFINITY) id++;
    return id < s->v.n_vocab ? id : 0;
}

/* Steps that see no candidate would have nothing to compare with. */
static bool none_left(struct sampler *s) { return s->listed && !s->c.n; }

static int32_t pick(struct sampler *s, const struct sampler_input *in, bool mask)
{
    prepare(s, in, mask);
    for (size_t i = 0; i < s->n_step && !none_left(s); i++) {
        bool changes = s->step[i] == STEP_PENALTIES || s->step[i] == STEP_DRY;
        if (s->plain && !changes) continue;
        if (!s->listed && !changes && s->step[i] != STEP_TOP_K) sampler_list(s);
        if (!none_left(s)) take_step(s, s->step[i], in);
    }
    if (s->plain && !s->listed) list_largest(s);
    sampler_list(s);
    if (s->c.n) return sampler_draw(s, in->n);
    return mask ? -1 : first_allowed(s, in->n);
}

int32_t sampler_pick(struct sampler *s, const struct sampler_input *in)
{
    struct sampler_memory before = s->memory;
    before.at = in->n + s->gone + 1;
    if (s->ring) s->ring[(in->n + s->gone) % MEMORY_RING] = before;
    if (!s->mask.apply) return pick(s, in, false);
    if (s->mask.allows) {
        int32_t id = pick(s, in, false);
        if (s->mask.allows(s->mask.arg, in->ids, in->n, id)) return id;
        s->memory = before;
    }
    return pick(s, in, true);
}

/* ---- what it was chosen from ---- */

static float share(const struct sampler *s, int32_t id) { return (float)det_log(s->w[id] / s->sum); }

size_t sampler_choices(struct sampler *s, struct sampler_choice *out, size_t n)
{
    if (n > s->c.n) n = s->c.n;
    order_upto(&s->c, n);
    size_t k = 0;
    for (; k < n && s->w[order_id(s->c.key[k])] > 0; k++) {
        int32_t id = order_id(s->c.key[k]);
        out[k] = (struct sampler_choice){ id, share(s, id) };
    }
    return k;
}

float sampler_logprob(const struct sampler *s, int32_t id)
{
    for (size_t i = 0; i < s->c.n; i++)
        if (order_id(s->c.key[i]) == id && s->w[id] > 0) return share(s, id);
    return -INFINITY;
}
