/* sampler_infill.c - the step for fill-in-the-middle: ends early rather than late, and prefers the longer of two tokens that
 * begin alike only when it is the likelier. */
#include <string.h>

#include "base/detmath.h"
#include "text/sampler_impl.h"

enum { MAX_LOOKED_AT = 256 };      /* tokens that are compared with each other */

static bool ends(const struct sampler *s, size_t i)
{
    return s->v.tokenizer && tokenizer_is_eog(s->v.tokenizer, order_id(s->c.key[i]));
}

static double *weight(const struct sampler *s, size_t i) { return &s->w[order_id(s->c.key[i])]; }

/* Keeps the tokens that end the text, and of the others those with at least this share; returns how many others. */
static size_t keep(struct sampler *s, double share)
{
    size_t n = 0, others = 0;
    double sum = 0;
    for (size_t i = 0; i < s->c.n; i++) sum += *weight(s, i);
    for (size_t i = 0; i < s->c.n; i++) {
        if (!ends(s, i) && *weight(s, i) < share * sum) continue;
        others += !ends(s, i);
        s->c.key[n++] = s->c.key[i];
    }
    s->c.n = n;
    s->c.sorted = 0;
    return others;
}

static bool begins_with(const struct gguf_str *a, const struct gguf_str *b)
{
    return b->n && b->n <= a->n && !memcmp(a->s, b->s, b->n);
}

static struct gguf_str text_of(const struct sampler *s, size_t i)
{
    struct gguf_str t = { "", 0 };
    const char *text = s->v.tokenizer ? tokenizer_text(s->v.tokenizer, order_id(s->c.key[i]), &t.n) : NULL;
    if (text) t.s = text;
    return t;
}

/* Of two tokens one of which begins with the other, the likelier gets the probability of both. */
static void merge(struct sampler *s)
{
    struct gguf_str text[MAX_LOOKED_AT];
    size_t n = s->c.n;
    for (size_t i = 0; i < n; i++) text[i] = text_of(s, i);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n && *weight(s, i) > 0; k++) {
            if (k == i || *weight(s, k) == 0 || !begins_with(&text[k], &text[i])) continue;
            size_t to = *weight(s, k) > *weight(s, i) ? k : i, from = to == i ? k : i;
            *weight(s, to) += *weight(s, from);
            *weight(s, from) = 0;
        }
}

/* The model's end token, when no text is left. */
static void only_end(struct sampler *s)
{
    int32_t id = s->v.tokenizer ? tokenizer_eos(s->v.tokenizer) : -1;
    if (id < 0 || id >= s->v.n_vocab) return;
    s->z[id] = 0;
    s->c.key[0] = order_key(0, (uint32_t)id);
    s->c.n = 1;
    s->c.sorted = 0;
}

void sampler_infill(struct sampler *s)
{
    sampler_list(s);
    sampler_weigh(s);
    double end = 0;
    for (size_t i = 0; i < s->c.n; i++) end += ends(s, i) ? *weight(s, i) : 0;
    if (3 * end * (double)s->c.n > s->sum - end) {
        keep(s, 2);
        return;
    }
    sampler_cut(s, s->c.n < MAX_LOOKED_AT ? s->c.n : MAX_LOOKED_AT);
    uint64_t best = s->c.key[0];
    merge(s);
    size_t others = keep(s, 0.2);
    if (!others) {
        only_end(s);
        if (s->c.n) return;
        s->c.key[0] = best;                                    /* a vocabulary without an end */
        s->c.n = 1;
        return;
    }
    keep(s, 1 / (double)(others + 1));
    if (!s->c.n) {
        s->c.key[0] = best;
        s->c.n = 1;
    }
    for (size_t i = 0; i < s->c.n; i++) s->z[order_id(s->c.key[i])] = (float)det_log(*weight(s, i));
    sampler_rekey(s);
}
