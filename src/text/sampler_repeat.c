/* sampler_repeat.c - steps against repetition: penalties for tokens that were there lately, and DRY. */
#include <float.h>
#include <string.h>

#include "base/mem.h"
#include "text/sampler_impl.h"

enum { DRY_BREAKS = 1, DRY_BEGINS = 2 };     /* a token's text has a breaker inside; ends with the beginning of one */

/* ---- sets of ids ---- */

static bool tally_open(struct tally *t, int32_t n_vocab, size_t cap)
{
    t->of = mem_new_array(int32_t, (size_t)n_vocab);
    t->id = mem_new_array(int32_t, cap);
    return t->of && t->id;
}

static void tally_clear(struct tally *t)
{
    while (t->n) t->of[t->id[--t->n]] = 0;
}

static void tally_set(struct tally *t, int32_t id, int32_t v)
{
    if (!t->of[id]) t->id[t->n++] = id;
    t->of[id] = v;
}

static void tally_close(struct tally *t)
{
    mem_free(t->of);
    mem_free(t->id);
}

/* ---- opening ---- */

static bool has(const struct sampler *s, enum sampler_step k)
{
    for (size_t i = 0; i < s->n_step; i++)
        if (s->step[i] == k) return true;
    return false;
}

static size_t window(int32_t last_n) { return last_n < 0 || last_n > SAMPLER_MAX_WINDOW ? SAMPLER_MAX_WINDOW : (size_t)last_n; }

/* Whether s[n] ends with a beginning of b that is not all of it. */
static bool ends_with_beginning(const char *s, size_t n, const char *b, size_t n_b)
{
    for (size_t k = 1; k < n_b && k <= n; k++)
        if (!memcmp(s + n - k, b, k)) return true;
    return false;
}

static bool contains(const char *s, size_t n, const char *b, size_t n_b)
{
    for (size_t i = 0; i + n_b <= n; i++)
        if (!memcmp(s + i, b, n_b)) return true;
    return false;
}

static uint8_t breaker_flag(const struct dry *d)
{
    unsigned flag = 0;
    for (size_t i = 0; i < d->n_breakers && d->piece.data; i++) {
        size_t n = strlen(d->breaker[i]);
        if (contains(d->piece.data, d->piece.len, d->breaker[i], n)) flag |= DRY_BREAKS;
        if (ends_with_beginning(d->piece.data, d->piece.len, d->breaker[i], n)) flag |= DRY_BEGINS;
    }
    return (uint8_t)flag;
}

static int open_breakers(struct sampler *s, struct err *err)
{
    struct dry *d = &s->dry;
    const struct sampler_options *o = &s->o;
    if (o->n_dry_breakers > SAMPLER_MAX_BREAKERS)
        return err_set(err, ERR_ARG, "%zu sequence breakers for DRY are too many, at most %d", o->n_dry_breakers,
                       SAMPLER_MAX_BREAKERS);
    for (size_t i = 0; i < o->n_dry_breakers; i++) {
        size_t n = strlen(o->dry_breakers[i]);
        if (n < 1 || n > SAMPLER_MAX_BREAKER)
            return err_set(err, ERR_ARG, "a sequence breaker for DRY has %zu bytes, must have 1 to %d", n, SAMPLER_MAX_BREAKER);
        if (!(d->breaker[d->n_breakers++] = mem_strdup(o->dry_breakers[i], n)))
            return err_set(err, ERR_NOMEM, "out of memory for the sequence breakers");
    }
    if (!d->n_breakers || !s->v.tokenizer) return 0;
    if (!(d->flag = mem_new_array(uint8_t, (size_t)s->v.n_vocab)))
        return err_set(err, ERR_NOMEM, "out of memory for the sequence breakers");
    for (int32_t id = 0; id < s->v.n_vocab; id++) {
        buf_clear(&d->piece);
        tokenizer_piece(s->v.tokenizer, id, true, &d->piece);
        d->flag[id] = breaker_flag(d);
    }
    return d->piece.bad ? err_set(err, ERR_NOMEM, "out of memory for the sequence breakers") : 0;
}

int sampler_repeat_open(struct sampler *s, struct err *err)
{
    size_t n = (size_t)s->v.n_vocab;
    bool ok = true;
    if (has(s, STEP_PENALTIES)) ok = tally_open(&s->seen, s->v.n_vocab, n);
    if (has(s, STEP_DRY)) {
        s->dry.window = window(s->o.dry_last_n);
        ok = ok && tally_open(&s->dry.longest, s->v.n_vocab, n) && (s->dry.same = mem_new_array(int32_t, s->dry.window));
    }
    if (!ok) return err_set(err, ERR_NOMEM, "out of memory for the sampler of %d tokens", s->v.n_vocab);
    return has(s, STEP_DRY) ? open_breakers(s, err) : 0;
}

void sampler_repeat_close(struct sampler *s)
{
    struct dry *d = &s->dry;
    tally_close(&s->seen);
    tally_close(&d->longest);
    mem_free(d->same);
    mem_free(d->flag);
    for (size_t i = 0; i < d->n_breakers; i++) mem_free(d->breaker[i]);
    buf_release(&d->piece);
}

/* ---- penalties ---- */

static float penalised(const struct sampler_options *o, float z, int32_t count)
{
    z = z > 0 ? z / o->repeat_penalty : z * o->repeat_penalty;
    return sampler_usable(z - ((float)count * o->frequency_penalty + o->presence_penalty));
}

static bool known(const struct sampler *s, int32_t id) { return id >= 0 && id < s->v.n_vocab; }

void sampler_penalties(struct sampler *s, const struct sampler_input *in)
{
    size_t w = window(s->o.repeat_last_n), from = in->n > w ? in->n - w : 0;
    tally_clear(&s->seen);
    for (size_t i = from; in->ids && i < in->n; i++)
        if (known(s, in->ids[i])) tally_set(&s->seen, in->ids[i], s->seen.of[in->ids[i]] + 1);
    float *z = sampler_logits(s);
    for (size_t i = 0; i < s->seen.n; i++) {
        int32_t id = s->seen.id[i];
        z[id] = penalised(&s->o, z[id], s->seen.of[id]);
    }
    if (s->listed) sampler_rekey(s);
}

/* ---- DRY ---- */

/* How many of the tokens before `back` (0 is the last of the text) spell the rest of a breaker; 0: they do not. */
static size_t tail_tokens(struct sampler *s, const struct sampler_input *in, size_t back, const char *rest)
{
    struct dry *d = &s->dry;
    size_t left = strlen(rest), used = 0;
    while (left && used < back) {
        buf_clear(&d->piece);
        tokenizer_piece(s->v.tokenizer, in->ids[in->n - back + used++], true, &d->piece);
        size_t n = d->piece.len < left ? d->piece.len : left;
        if (!n || memcmp(d->piece.data, rest, n)) return 0;
        rest += n;
        left -= n;
    }
    return left ? 0 : used;
}

/* The token at `back` begins a breaker that goes on in the next ones: how many of these. */
static size_t breaker_tail(struct sampler *s, const struct sampler_input *in, size_t back)
{
    struct dry *d = &s->dry;
    char end[SAMPLER_MAX_BREAKER];
    size_t best = 0;
    buf_clear(&d->piece);
    tokenizer_piece(s->v.tokenizer, in->ids[in->n - 1 - back], true, &d->piece);
    size_t n_end = d->piece.len < sizeof end ? d->piece.len : sizeof end;
    if (n_end) memcpy(end, d->piece.data + d->piece.len - n_end, n_end);
    for (size_t i = 0; i < d->n_breakers; i++) {
        size_t n = strlen(d->breaker[i]);
        for (size_t k = 1; k < n && k <= n_end; k++) {
            if (memcmp(end + n_end - k, d->breaker[i], k)) continue;
            size_t tail = tail_tokens(s, in, back, d->breaker[i] + k);
            if (tail > best) best = tail;
        }
    }
    return best;
}

/* The tokens behind the last breaker among the last n. */
static size_t free_tokens(struct sampler *s, const struct sampler_input *in, size_t n)
{
    for (size_t back = 0; s->dry.flag && back < n; back++) {
        int32_t id = in->ids[in->n - 1 - back];
        unsigned flag = known(s, id) ? s->dry.flag[id] : 0;
        if (flag & DRY_BREAKS) return back;
        size_t tail = flag & DRY_BEGINS ? breaker_tail(s, in, back) : 0;
        if (tail) return back - tail;
    }
    return n;
}

/* same[i]: the longest common beginning of the text read backwards and the same from i on; at most n - i.
 * Source: the Z algorithm, Gusfield, "Algorithms on strings, trees and sequences", 1997, 1.4. */
static void common_endings(const int32_t *last, size_t n, int32_t *same)
{
    size_t left = 0, right = 0;
    for (size_t i = 1; i < n; i++) {
        size_t k = i < right ? (size_t)same[i - left] : 0;
        if (i < right && k > right - i) k = right - i;
        while (i + k < n && last[-(ptrdiff_t)k] == last[-(ptrdiff_t)(i + k)]) k++;
        same[i] = (int32_t)k;
        if (i + k > right) {
            left = i;
            right = i + k;
        }
    }
}

/* base^e, at most what a float holds. */
static double whole_power(double base, int32_t e)
{
    double p = 1;
    for (; e > 0 && p < FLT_MAX; e >>= 1, base = base < FLT_MAX ? base * base : base)
        if (e & 1) p *= base;
    return p < FLT_MAX ? p : FLT_MAX;
}

void sampler_dry(struct sampler *s, const struct sampler_input *in)
{
    struct dry *d = &s->dry;
    size_t n = in->ids ? in->n < d->window ? in->n : d->window : 0, limit = free_tokens(s, in, n);
    if (limit < (size_t)s->o.dry_allowed_length) return;
    common_endings(in->ids + in->n - 1, n, d->same);
    tally_clear(&d->longest);
    for (size_t i = 1; i < n; i++) {
        int32_t m = (size_t)d->same[i] < limit ? d->same[i] : (int32_t)limit, id = in->ids[in->n - i];
        if (m < s->o.dry_allowed_length || !known(s, id) || d->longest.of[id] >= m) continue;
        if (d->flag && d->flag[id] & DRY_BREAKS) continue;     /* it would end the repeat */
        tally_set(&d->longest, id, m);
    }
    if (!d->longest.n) return;
    float *z = sampler_logits(s);
    for (size_t i = 0; i < d->longest.n; i++) {
        int32_t id = d->longest.id[i];
        double penalty = whole_power((double)s->o.dry_base, d->longest.of[id] - s->o.dry_allowed_length);
        z[id] = sampler_usable((double)z[id] - (double)s->o.dry_multiplier * penalty);
    }
    if (s->listed) sampler_rekey(s);
}
