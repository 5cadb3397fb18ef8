/* speculate.c - guesses of the next tokens, and whether they pay.
 *
 * A guess costs time when it is evaluated and saves a step for each token that proves right.  What is likely to prove right is
 * learned without evaluating anything: each token that is chosen is compared with what would have been guessed, by how long the
 * text before agreed.  What a step of several tokens costs is measured when one is taken, and assumed to be high before. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/engine.h"
#include "text/ngram.h"

/* DRAFTED: guesses of another model.  When these do not pay they are tried again now and then, for texts change. */
enum { N_MATCH = 4, DRAFTED = N_MATCH, N_KIND, TRY_AGAIN = 100, FIRST_DRAFT = 3, N_COST = HEARTH_MAX_DRAFT + 2 };

struct hearth_speculator {
    struct ngram ngram;
    bool possible;                    /* the session can go back */
    uint32_t limit;                   /* longest guess; fixed: always as long as it can be */
    bool fixed;
    double right[N_KIND];             /* chance that the next guessed token is right, by agreement */
    double cost[N_COST];              /* time of a step by tokens, in steps of one; 0: not seen */
    double step_ns;                   /* a step of one token */
    int32_t guess[HEARTH_MAX_DRAFT];  /* [n_guess] how the text would go on at `at` */
    size_t n_guess, at;
    int kind;                         /* of these guesses */
    const struct hearth_model *m;
    struct hearth_session *draft;     /* borrowed, or NULL */
    double draft_ns;                  /* a guess of it takes; 0: not seen */
    uint32_t idle;                    /* steps since it was last asked */
};

static int kind_of(size_t match) { return match <= 2 ? 0 : match <= 4 ? 1 : match <= 8 ? 2 : 3; }

int hearth_speculator_open(struct hearth_speculator **out, const struct hearth_session *s, uint32_t n_draft,
                           struct hearth_error *e)
{
    *out = NULL;
    if (n_draft > HEARTH_MAX_DRAFT)
        return err_set(err_of(e), ERR_ARG, "guesses of %u tokens are too long; at most %d", n_draft, HEARTH_MAX_DRAFT);
    struct hearth_speculator *p = mem_new(1, sizeof *p);
    if (!p || !ngram_open(&p->ngram, s->q.n_max)) {
        mem_free(p);
        return err_set(err_of(e), ERR_NOMEM, "out of memory for guesses");
    }
    p->m = s->m;
    p->possible = !s->m->variant[V_TEXT].graph->n_state && s->n_logits > 1;
    p->fixed = n_draft != 0;
    p->limit = n_draft ? n_draft : HEARTH_MAX_DRAFT;
    if (p->limit > s->n_logits - 1) p->limit = s->n_logits - 1;
    for (int i = 0; i < N_KIND; i++) p->right[i] = 0.2 + 0.15 * i;     /* of another model's guesses 0.8 */
    *out = p;
    return 0;
}

void hearth_speculator_close(struct hearth_speculator *p)
{
    if (!p) return;
    ngram_close(&p->ngram);
    mem_free(p);
}

/* What a step of T tokens costs: as measured, else between its measured neighbours or a high guess. */
static double cost(const struct hearth_speculator *p, uint32_t T)
{
    if (T <= 1) return 1;
    if (p->cost[T] > 0) return p->cost[T];
    double known = 1, slope = 0.3;
    uint32_t at = 1;
    for (uint32_t k = 2; k < N_COST; k++) {
        if (!(p->cost[k] > 0)) continue;
        if (k > T && p->cost[k] < known + slope * (k - at))    /* a longer one was cheaper than the guess */
            return known + (p->cost[k] - known) * (T - at) / (k - at);
        if (k < T) {
            known = p->cost[k];
            at = k;
        }
    }
    return known + slope * (T - at);
}

/* The length that gives the most tokens for its time, when each guess costs `each` steps to make; 0: plain steps do. */
static uint32_t best_length(const struct hearth_speculator *p, double right, double each, uint32_t most)
{
    uint32_t best = 0;
    double gain = 1.1, tokens = 1, chance = 1;
    for (uint32_t k = 1; k <= most; k++) {
        chance *= right;
        tokens += chance;
        double time = cost(p, k + 1) + each * k;
        if (tokens / time > gain) {
            gain = tokens / time;
            best = k;
        }
    }
    return best;
}

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

int hearth_speculator_set_draft(struct hearth_speculator *p, struct hearth_session *draft, struct hearth_error *e)
{
    const struct tokenizer *a = p->m->tokenizer, *b = draft->m->tokenizer;
    if (draft->m->h.n_vocab < p->m->h.n_vocab)
        return err_set(err_of(e), ERR_ARG, "%s has %u tokens, %s only %u; it cannot guess for it", gguf_path(p->m->gguf),
                       p->m->h.n_vocab, gguf_path(draft->m->gguf), draft->m->h.n_vocab);
    for (int32_t i = 0; i < tokenizer_n_vocab(a); i++) {
        size_t n = 0, k = 0;
        const char *s = tokenizer_text(a, i, &n), *t = i < tokenizer_n_vocab(b) ? tokenizer_text(b, i, &k) : NULL;
        if (!s == !t && n == k && (!s || !memcmp(s, t, n))) continue;
        return err_set(err_of(e), ERR_ARG, "token %d of %s is another than that of %s; it cannot guess for it", i,
                       gguf_path(draft->m->gguf), gguf_path(p->m->gguf));
    }
    p->draft = draft;
    return 0;
}

/* How many guesses of the other model pay. */
static uint32_t draft_length(struct hearth_speculator *p, uint32_t most)
{
    if (p->fixed) return most;
    if (!(p->step_ns > 0)) return 0;              /* there is nothing yet to compare with */
    if (!(p->draft_ns > 0)) return most < FIRST_DRAFT ? most : FIRST_DRAFT;
    uint32_t k = best_length(p, p->right[DRAFTED], p->draft_ns / p->step_ns, most);
    if (!k && ++p->idle >= TRY_AGAIN) k = most < 1 ? most : 1;
    return k;
}

/* The likeliest tokens that the other model sees behind the text. */
static size_t ask_draft(struct hearth_speculator *p, const int32_t *ids, size_t n, int32_t *out, size_t most)
{
    struct hearth_session *d = p->draft;
    if (most > p->limit) most = p->limit;
    if (n + most > d->q.n_max) most = n < d->q.n_max ? d->q.n_max - n : 0;
    size_t k = draft_length(p, (uint32_t)most), i = 0;
    uint64_t start = os_now_ns();
    if (!k) return 0;
    p->idle = 0;
    int rc = hearth_session_sync(d, ids, n, NULL);
    while (rc == 0 && i < k) {
        const float *z = hearth_session_logits(d);
        int32_t best = 0;
        for (uint32_t v = 1; v < p->m->h.n_vocab; v++)
            if (z[v] > z[best]) best = (int32_t)v;
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

size_t hearth_speculator_draft(struct hearth_speculator *p, const int32_t *ids, size_t n, int32_t *out, size_t most)
{
    size_t match;
    if (!p->possible || n > p->ngram.cap) return 0;
    learn(p, ids, n);
    ngram_learn(&p->ngram, ids, n);
    size_t place = ngram_find(&p->ngram, ids, &match);
    if (!place) return p->draft ? ask_draft(p, ids, n, out, most) : 0;
    p->at = n;
    p->kind = kind_of(match);
    if (most > p->limit) most = p->limit;
    for (size_t i = 0; i < p->limit; i++) p->guess[i] = place + i < n ? ids[place + i] : p->guess[place + i - n];
    p->n_guess = p->limit;
    uint32_t k = p->fixed ? (uint32_t)most : best_length(p, p->right[p->kind], 0, (uint32_t)most);
    if (!k && p->draft) return ask_draft(p, ids, n, out, most);
    for (uint32_t i = 0; i < k; i++) out[i] = p->guess[i];
    return k;
}

void hearth_speculator_timed(struct hearth_speculator *p, size_t n_tokens, uint64_t ns)
{
    if (!n_tokens || n_tokens >= N_COST || !ns) return;
    if (n_tokens == 1) p->step_ns += (p->step_ns > 0 ? 0.2 : 1) * ((double)ns - p->step_ns);
    else if (p->step_ns > 0) {
        double c = (double)ns / p->step_ns;
        if (c < 1) c = 1;
        p->cost[n_tokens] += (p->cost[n_tokens] > 0 ? 0.3 : 1) * (c - p->cost[n_tokens]);
    }
}
