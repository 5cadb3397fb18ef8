/* speculate.c - guesses of the next tokens, and whether they pay.
 *
 * A guess costs time when it is evaluated and saves a step for each token that proves right.  What is likely to prove right is
 * learned without evaluating anything: each token that is chosen is compared with what would have been guessed, by how long the
 * text before agreed.  What a step of several tokens costs is measured when one is taken, and assumed to be high before. */
#include "base/mem.h"
#include "engine/engine.h"
#include "text/ngram.h"

enum { N_KIND = 4, N_COST = HEARTH_MAX_DRAFT + 2 };

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
    p->possible = !s->m->variant[V_TEXT].graph->n_state && s->n_logits > 1;
    p->fixed = n_draft != 0;
    p->limit = n_draft ? n_draft : HEARTH_MAX_DRAFT;
    if (p->limit > s->n_logits - 1) p->limit = s->n_logits - 1;
    for (int i = 0; i < N_KIND; i++) p->right[i] = 0.2 + 0.15 * i;
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

/* The length that gives the most tokens for its time; 0: plain steps do. */
static uint32_t best_length(const struct hearth_speculator *p, double right, uint32_t most)
{
    uint32_t best = 0;
    double gain = 1.1, tokens = 1, chance = 1;
    for (uint32_t k = 1; k <= most; k++) {
        chance *= right;
        tokens += chance;
        if (tokens / cost(p, k + 1) > gain) {
            gain = tokens / cost(p, k + 1);
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

size_t hearth_speculator_draft(struct hearth_speculator *p, const int32_t *ids, size_t n, int32_t *out, size_t most)
{
    size_t match;
    if (!p->possible || n > p->ngram.cap) return 0;
    learn(p, ids, n);
    ngram_learn(&p->ngram, ids, n);
    size_t place = ngram_find(&p->ngram, ids, &match);
    if (!place) return 0;
    p->at = n;
    p->kind = kind_of(match);
    if (most > p->limit) most = p->limit;
    for (size_t i = 0; i < p->limit; i++) p->guess[i] = place + i < n ? ids[place + i] : p->guess[place + i - n];
    p->n_guess = p->limit;
    uint32_t k = p->fixed ? (uint32_t)most : best_length(p, p->right[p->kind], (uint32_t)most);
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
