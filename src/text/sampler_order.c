/* sampler_order.c - which steps a sampler takes, and in which order. */
#include <string.h>

#include "text/sampler_impl.h"

static const struct { const char *name[3]; char letter; } step_row[N_STEP] = {
    [STEP_PENALTIES] = { { "penalties", "repetition_penalty", NULL }, 'e' },
    [STEP_DRY] = { { "dry", NULL, NULL }, 'd' },
    [STEP_TOP_N_SIGMA] = { { "top_n_sigma", NULL, NULL }, 's' },
    [STEP_TOP_K] = { { "top_k", NULL, NULL }, 'k' },
    [STEP_TOP_A] = { { "top_a", NULL, NULL }, 'a' },
    [STEP_TFS] = { { "tfs_z", "tfs", "tail_free" }, 'f' },
    [STEP_TYPICAL] = { { "typ_p", "typical_p", "typical" }, 'y' },
    [STEP_TOP_P] = { { "top_p", NULL, NULL }, 'p' },
    [STEP_MIN_P] = { { "min_p", NULL, NULL }, 'm' },
    [STEP_XTC] = { { "xtc", NULL, NULL }, 'x' },
    [STEP_TEMPERATURE] = { { "temperature", "temp", NULL }, 't' },
    [STEP_SMOOTHING] = { { "smoothing", "quadratic", NULL }, 'q' },
    [STEP_INFILL] = { { "infill", NULL, NULL }, 'i' },
};

static bool step_does_something(const struct sampler_options *o, enum sampler_step k)
{
    switch (k) {
    case STEP_PENALTIES:
        return o->repeat_last_n != 0 && (o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0);
    case STEP_DRY: return o->dry_multiplier != 0 && o->dry_last_n != 0;
    case STEP_TEMPERATURE: return o->temperature != 1 || o->dynatemp_range > 0;
    case STEP_SMOOTHING: return o->smoothing_factor != 0;
    default: break;
    }
    if (o->mirostat) return false;
    switch (k) {
    case STEP_TOP_N_SIGMA: return o->top_n_sigma > 0;
    case STEP_TOP_K: return o->top_k > 0;
    case STEP_TOP_A: return o->top_a > 0;
    case STEP_TFS: return o->tfs_z > 0 && o->tfs_z < 1;
    case STEP_TYPICAL: return o->typical_p < 1;
    case STEP_TOP_P: return o->top_p < 1;
    case STEP_MIN_P: return o->min_p > 0;
    case STEP_XTC: return o->xtc_probability > 0 && o->xtc_threshold <= 0.5f;
    default: return true;
    }
}

/* Users write top-k and top_k. */
static bool same_name(const char *s, size_t n, const char *name)
{
    if (!name || strlen(name) != n) return false;
    for (size_t i = 0; i < n; i++)
        if (name[i] != (s[i] == '-' ? '_' : s[i])) return false;
    return true;
}

static int find_step(const char *s, size_t n)
{
    for (int k = 0; k < N_STEP; k++)
        for (int i = 0; i < 3; i++)
            if (same_name(s, n, step_row[k].name[i])) return k;
    return -1;
}

static int find_letter(char c)
{
    for (int k = 0; k < N_STEP; k++)
        if (step_row[k].letter == c) return k;
    return -1;
}

static int add_step(struct sampler *s, unsigned *used, int k, struct err *err)
{
    if (*used >> k & 1) return err_set(err, ERR_ARG, "%s is in the order of the samplers twice", step_row[k].name[0]);
    *used |= 1u << k;
    if (step_does_something(&s->o, (enum sampler_step)k)) s->step[s->n_step++] = (enum sampler_step)k;
    return 0;
}

static int unknown_step(const char *s, size_t n, struct err *err)
{
    return err_set(err, ERR_ARG, "\"%.*s\" is no sampler; the order is made of penalties, dry, top_n_sigma, top_k, top_a, tfs_z, "
                   "typ_p, top_p, min_p, xtc, temperature, smoothing and infill, with ';' between", (int)(n < 40 ? n : 40), s);
}

static int add_letters(struct sampler *s, unsigned *used, const char *letters, struct err *err)
{
    int rc = 0;
    for (const char *c = letters; *c && rc == 0; c++) {
        int k = find_letter(*c);
        rc = k < 0 ? unknown_step(letters, strlen(letters), err) : add_step(s, used, k, err);
    }
    return rc;
}

static int add_names(struct sampler *s, unsigned *used, const char *names, struct err *err)
{
    int rc = 0;
    for (const char *at = names; rc == 0;) {
        size_t n = strcspn(at, ";, ");
        int k = find_step(at, n);
        if (n) rc = k < 0 ? unknown_step(at, n, err) : add_step(s, used, k, err);
        if (!at[n]) break;
        at += n + 1;
    }
    return rc;
}

int sampler_order(struct sampler *s, struct err *err)
{
    const char *order = s->o.order;
    unsigned used = 0;
    int rc = 0;
    if (!order)
        for (int k = 0; k < STEP_INFILL; k++) rc = add_step(s, &used, k, err);
    else if (order[strcspn(order, ";, ")] || find_step(order, strlen(order)) >= 0)
        rc = add_names(s, &used, order, err);
    else
        rc = add_letters(s, &used, order, err);
    s->o.order = NULL;
    s->plain = s->greedy = (used >> STEP_TEMPERATURE & 1) && s->o.temperature <= 0 && !(s->o.dynatemp_range > 0);
    for (size_t i = 0; i < s->n_step; i++)
        if (s->step[i] == STEP_TYPICAL || s->step[i] == STEP_XTC || s->step[i] == STEP_INFILL) s->plain = false;
    return rc;
}
