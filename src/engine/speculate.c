/* speculate.c - guesses of the next tokens, and whether they pay.
 *
 * A guess costs time when it is evaluated and saves a step for each token that proves right.  What is likely to prove right is
 * learned without evaluating anything: each token that is chosen is compared with what would have been guessed, by how long the
 * text before agreed.  What a step of several tokens costs is measured when one is taken, and assumed to be high before. */
#include "engine/speculate.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "text/ngram.h"

/* DRAFTED: guesses of another model; HEADED: of the model's own head.  When these do not pay they are tried again now and then,
 * for texts change. */
enum { N_MATCH = 4, DRAFTED = N_MATCH, HEADED, N_KIND, TRY_AGAIN = 100, FIRST_DRAFT = 3, FIRST_HEADED = 2 };

enum { MOST_OFFERS = 64 };

struct hearth_speculator {
    struct ngram ngram;
    bool possible;                    /* there are rows of logits for guesses */
    uint32_t limit;                   /* longest guess; fixed: always as long as it can be */
    bool fixed;
    double right[N_KIND];             /* chance that the next guessed token is right, by agreement */
    struct pace pace;                 /* of the session's own steps */
    int32_t guess[HEARTH_MAX_DRAFT];  /* [n_guess] how the text would go on at `at` */
    size_t n_guess, at;
    int kind;                         /* of these guesses */
    struct hearth_session *own;       /* whose text it is, */
    const struct hearth_model *m;     /* and its model */
    int whom;                         /* HEARTH_GUESS_* */
    struct hearth_session *draft;     /* borrowed, or NULL */
    bool ask;                         /* what was looked for last is the other model's to say */
    double draft_ns, head_ns;         /* a guess of it, of the head takes; 0: not seen */
    uint32_t idle, head_idle;         /* steps since it was last asked, since the head was */
    float *row;                       /* of logits, for the head; NULL: others have some, or it has not been asked */
};

/* ---- what steps cost ---- */

void pace_learn(struct pace *p, uint32_t k, double ns)
{
    if (k > HEARTH_MAX_DRAFT || !(ns > 0)) return;
    if (k && p->step_ns > 0) {
        double c = ns / p->step_ns;
        if (c < 1) c = 1;
        p->cost[k] += (p->cost[k] > 0 ? 0.3 : 1) * (c - p->cost[k]);
    } else if (!k) {
        p->step_ns += (p->step_ns > 0 ? 0.2 : 1) * (ns - p->step_ns);
        /* What was dear once, perhaps while the machine did something else, is tried again some day. */
        for (uint32_t i = 1; i <= HEARTH_MAX_DRAFT; i++)
            if (p->cost[i] > 1) p->cost[i] -= (p->cost[i] - 1) / 2048;
    }
}

double pace_cost(const struct pace *p, uint32_t n_answers, uint32_t k)
{
    if (!k) return 1;
    if (p->cost[k] > 0) return p->cost[k];
    double known = 1;
    const double slope = 0.3 / n_answers;
    uint32_t at = 0;
    for (uint32_t i = 1; i <= HEARTH_MAX_DRAFT; i++) {
        if (!(p->cost[i] > 0)) continue;
        if (i > k && p->cost[i] < known + slope * (i - at))    /* a longer one was cheaper than the guess */
            return known + (p->cost[i] - known) * (k - at) / (i - at);
        if (i < k) {
            known = p->cost[i];
            at = i;
        }
    }
    return known + slope * (k - at);
}

void offers_share(const struct pace *p, uint32_t n_answers, const struct offer *o, uint32_t n, uint32_t most, uint32_t *k)
{
    double chance[MOST_OFFERS], tokens = n_answers, extra = 0, best = 1.1 * n_answers;
    uint32_t try[MOST_OFFERS] = { 0 }, total = 0;
    if (n > MOST_OFFERS) n = MOST_OFFERS;
    for (uint32_t i = 0; i < n; i++) chance[i] = o[i].right;
    for (uint32_t i = 0; i < n; i++)
        for (k[i] = 0; k[i] < o[i].least && k[i] < o[i].most && total < most; total++) k[i]++;
    if (total) return;
    while (total < most) {
        uint32_t next = n;
        for (uint32_t i = 0; i < n; i++)
            if (try[i] < o[i].most && (next == n || chance[i] > chance[next])) next = i;
        if (next == n) return;
        try[next]++;
        tokens += chance[next];
        extra += o[next].each;
        chance[next] *= o[next].right;
        double rate = tokens / (pace_cost(p, n_answers, ++total) + extra);
        if (!(rate > best)) continue;
        best = rate;
        memcpy(k, try, n * sizeof *k);
    }
}

/* ---- opening ---- */

static int kind_of(size_t match) { return match <= 2 ? 0 : match <= 4 ? 1 : match <= 8 ? 2 : 3; }

int speculator_new(struct hearth_speculator **out, struct hearth_session *s, uint32_t limit, uint32_t n_draft, struct err *err)
{
    const struct hearth_model *m = s->m;
    *out = NULL;
    if (n_draft > HEARTH_MAX_DRAFT)
        return err_set(err, ERR_ARG, "guesses of %u tokens are too long; at most %d", n_draft, HEARTH_MAX_DRAFT);
    struct hearth_speculator *p = mem_new(1, sizeof *p);
    if (!p || !ngram_open(&p->ngram, s->q.n_max)) {
        mem_free(p);
        return err_set(err, ERR_NOMEM, "out of memory for guesses");
    }
    p->own = s;
    p->m = m;
    p->whom = HEARTH_GUESS_ALL;
    p->possible = limit;
    p->fixed = n_draft != 0;
    p->limit = n_draft && n_draft < limit ? n_draft : limit;
    if (p->limit > HEARTH_MAX_DRAFT) p->limit = HEARTH_MAX_DRAFT;
    for (int i = 0; i < N_KIND; i++) p->right[i] = 0.2 + 0.15 * i;     /* of another model's guesses 0.8, */
    p->right[HEADED] = 0.8;                                            /* and of the head's */
    *out = p;
    return 0;
}

int hearth_speculator_open(struct hearth_speculator **out, struct hearth_session *s, uint32_t n_draft, struct hearth_error *e)
{
    return speculator_new(out, s, s->n_logits - 1, n_draft, err_of(e));
}

void hearth_speculator_ask(struct hearth_speculator *p, int whom) { p->whom = whom ? whom : HEARTH_GUESS_ALL; }

void hearth_speculator_close(struct hearth_speculator *p)
{
    if (!p) return;
    ngram_close(&p->ngram);
    mem_free(p->row);
    mem_free(p);
}

int speculator_fits(const struct hearth_model *m, const struct hearth_model *d, struct err *err)
{
    const struct tokenizer *a = m->tokenizer, *b = d->tokenizer;
    if (d->h.bidirectional)
        return err_set(err, ERR_ARG, "%s makes embeddings, not text; it cannot guess for %s", gguf_path(d->gguf),
                       gguf_path(m->gguf));
    if (d->h.n_vocab < m->h.n_vocab)
        return err_set(err, ERR_ARG, "%s has %u tokens, %s only %u; it cannot guess for it", gguf_path(m->gguf), m->h.n_vocab,
                       gguf_path(d->gguf), d->h.n_vocab);
    for (int32_t i = 0; i < tokenizer_n_vocab(a); i++) {
        size_t n = 0, k = 0;
        const char *s = tokenizer_text(a, i, &n), *t = i < tokenizer_n_vocab(b) ? tokenizer_text(b, i, &k) : NULL;
        if (!s == !t && n == k && (!s || !memcmp(s, t, n))) continue;
        return err_set(err, ERR_ARG, "token %d of %s is another than that of %s; it cannot guess for it", i, gguf_path(d->gguf),
                       gguf_path(m->gguf));
    }
    return 0;
}

void speculator_draft_with(struct hearth_speculator *p, struct hearth_session *draft) { p->draft = draft; }

int hearth_speculator_set_draft(struct hearth_speculator *p, struct hearth_session *draft, struct hearth_error *e)
{
    int rc = speculator_fits(p->m, draft->m, err_of(e));
    if (rc == 0) p->draft = draft;
    return rc;
}

/* ---- guessing ---- */

/* Compares what was guessed with what came. */
static void learn(struct hearth_speculator *p, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < p->n_guess && p->at + i < n; i++) {
        bool right = ids[p->at + i] == p->guess[i];
        p->right[p->kind] += 0.2 * (right - p->right[p->kind]);
        if (!right) break;
    }
    p->n_guess = 0;
}

void speculator_look(struct hearth_speculator *p, const int32_t *ids, size_t n, uint32_t most, struct offer *out)
{
    size_t match;
    *out = (struct offer){ 0 };
    p->ask = false;
    if (!p->possible || n > p->ngram.cap) return;
    learn(p, ids, n);
    if (!(p->whom & HEARTH_GUESS_TEXT)) return;
    ngram_learn(&p->ngram, ids, n);
    size_t place = ngram_find(&p->ngram, ids, &match);
    if (!place) return;
    p->at = n;
    p->kind = kind_of(match);
    for (size_t i = 0; i < p->limit; i++) p->guess[i] = place + i < n ? ids[place + i] : p->guess[place + i - n];
    p->n_guess = p->limit;
    if (most > p->limit) most = p->limit;
    *out = (struct offer){ .right = p->right[p->kind], .least = p->fixed ? most : 0, .most = most };
}

void speculator_look_further(struct hearth_speculator *p, uint32_t n, uint32_t most, double step_ns, struct offer *out)
{
    *out = (struct offer){ 0 };
    const struct hearth_session *d = p->draft;
    if (!p->possible || !d || !(p->whom & HEARTH_GUESS_DRAFT)) return;
    if (most > p->limit) most = p->limit;
    if (n + most > d->q.n_max) most = n < d->q.n_max ? d->q.n_max - n : 0;
    if (!p->fixed && !(step_ns > 0)) return;                  /* there is nothing yet to compare with */
    p->ask = true;
    const bool known = p->draft_ns > 0;
    out->right = p->right[DRAFTED];
    out->each = known ? p->draft_ns / step_ns : 0;
    out->most = most;
    out->least = p->fixed ? most : !known ? FIRST_DRAFT : p->idle >= TRY_AGAIN ? 1 : 0;
}

/* ---- the model's own head ---- */

void speculator_look_ahead(struct hearth_speculator *p, const int32_t *ids, size_t n, uint32_t most, double each,
                           struct offer *out)
{
    *out = (struct offer){ 0 };
    const struct seq *q = &p->own->q;
    const bool there = p->possible && engine_guesses(p->m) && (p->whom & HEARTH_GUESS_HEAD) && n > 1 && q->n == n - 1 &&
                       engine_can_guess(q) && q->ids[q->n - 1] == ids[n - 2];
    if (!there) return;
    if (each < 0 && !p->fixed) return;
    if (most > p->limit) most = p->limit;
    if (q->state && !p->fixed && most > 1) most = 1;          /* the next step would have none when only some are right */
    out->right = p->right[HEADED];
    out->each = each > 0 ? each : 0;
    out->most = most;
    out->least = p->fixed ? most : !(each > 0) ? FIRST_HEADED : p->head_idle >= TRY_AGAIN ? 1 : 0;
    p->head_idle++;
}

bool offer_of_head(const struct offer *text, const struct offer *head)
{
    if (text->least) return false;                            /* so many are asked for, whoever guesses */
    return head->most && (!text->most || head->least || head->right > text->right);
}

static int32_t likeliest(const float *z, uint32_t n)
{
    uint32_t best = 0;
    for (uint32_t v = 1; v < n; v++)
        if (z[v] > z[best]) best = v;
    return (int32_t)best;
}

void speculators_ask(struct ahead *a, uint32_t n, float *rows, double *ns)
{
    struct hearth_model *m = a[0].p->own->m;
    struct ahead_item item[MOST_OFFERS];
    uint32_t of[MOST_OFFERS], most = 0, d = 0;
    const uint64_t start = os_now_ns();
    int rc = 0;
    for (uint32_t i = 0; i < n; i++) {
        a[i].made = 0;
        if (a[i].k > most) most = a[i].k;
    }
    for (; d < most && rc == 0; d++) {
        uint32_t k = 0;
        for (uint32_t i = 0; i < n; i++) {
            if (a[i].k <= d) continue;
            struct hearth_session *s = a[i].p->own;
            item[k] = (struct ahead_item){ .q = &s->q, .adapt = &s->adaption.set, .ahead = d,
                                           .logits = rows + (size_t)k * m->h.n_vocab,
                                           .token = d ? a[i].out[d - 1] : a[i].ids[a[i].n - 1] };
            of[k++] = i;
        }
        lock_take(&m->lock);
        rc = engine_guess(m, item, k, NULL);
        lock_give(&m->lock);
        for (uint32_t j = 0; j < k && rc == 0; j++) a[of[j]].out[a[of[j]].made++] = likeliest(item[j].logits, m->h.n_vocab);
    }
    if (d && rc == 0) *ns += (*ns > 0 ? 0.2 : 1) * ((double)(os_now_ns() - start) / d - *ns);
    for (uint32_t i = 0; i < n; i++) {
        struct hearth_speculator *p = a[i].p;
        memcpy(p->guess, a[i].out, a[i].made * sizeof *p->guess);
        p->n_guess = a[i].made;
        p->at = a[i].n;
        p->kind = HEADED;
        if (a[i].made) p->head_idle = 0;
    }
}

/* ---- another model ---- */

/* The likeliest tokens that the other model sees behind the text. */
static size_t ask_draft(struct hearth_speculator *p, const int32_t *ids, size_t n, int32_t *out, size_t k)
{
    struct hearth_session *d = p->draft;
    uint64_t start = os_now_ns();
    size_t i = 0;
    p->idle = 0;
    int rc = hearth_session_sync(d, ids, n, NULL);
    if (n - hearth_session_n_kept(d) > HEARTH_MAX_DRAFT + 1) start = os_now_ns();     /* a prompt is read once */
    while (rc == 0 && i < k) {
        int32_t best = likeliest(hearth_session_logits(d), p->m->h.n_vocab);
        p->guess[i] = out[i] = best;
        if (++i < k) rc = hearth_session_append(d, &best, 1, NULL);
    }
    if (!i) return 0;
    double each = (double)(os_now_ns() - start) / (double)i;
    p->draft_ns += (p->draft_ns > 0 ? 0.2 : 1) * (each - p->draft_ns);
    p->at = n;
    p->kind = DRAFTED;
    return p->n_guess = i;
}

size_t speculator_take(struct hearth_speculator *p, const int32_t *ids, size_t n, uint32_t k, int32_t *out)
{
    if (p->ask && k) return ask_draft(p, ids, n, out, k);
    p->idle += p->ask;
    for (uint32_t i = 0; i < k; i++) out[i] = p->guess[i];
    return k;
}

size_t hearth_speculator_draft(struct hearth_speculator *p, const int32_t *ids, size_t n, int32_t *out, size_t most)
{
    const uint32_t all = most < HEARTH_MAX_DRAFT ? (uint32_t)most : HEARTH_MAX_DRAFT;
    const double step_ns = p->pace.step_ns;
    struct offer o, head;
    uint32_t k;
    speculator_look(p, ids, n, all, &o);
    speculator_look_ahead(p, ids, n, all, step_ns > 0 ? p->head_ns / step_ns : -1, &head);
    if (offer_of_head(&o, &head)) {
        offers_share(&p->pace, 1, &head, 1, all, &k);
        if (k && !p->row) p->row = mem_new_array(float, p->m->h.n_vocab);
        struct ahead a = { .p = p, .ids = ids, .n = (uint32_t)n, .k = k, .out = out };
        if (k && p->row) speculators_ask(&a, 1, p->row, &p->head_ns);
        if (a.made) return a.made;
    }
    offers_share(&p->pace, 1, &o, 1, all, &k);
    if (!k && n <= p->ngram.cap) {
        speculator_look_further(p, (uint32_t)n, all, p->pace.step_ns, &o);
        offers_share(&p->pace, 1, &o, 1, all, &k);
    }
    return speculator_take(p, ids, n, k, out);
}

void hearth_speculator_timed(struct hearth_speculator *p, size_t n_tokens, uint64_t ns)
{
    if (n_tokens && n_tokens <= HEARTH_MAX_DRAFT + 1) pace_learn(&p->pace, (uint32_t)n_tokens - 1, (double)ns);
}
