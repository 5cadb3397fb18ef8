/* sched_guess.c - guesses of the tokens that answers go on with: how many each gets to check in a step, and what comes of them.
 *
 * Guesses lie behind the text, and are evaluated with its last token.  Then the stream is shown as it would be had it evaluated
 * one token after the other: its sequence ends behind the last token that is decided, its logits are the row of that place.  What
 * picks, reads and tells sees nothing else, so that answers are those of plain steps.  While a prompt is read nothing is guessed:
 * such a step is long enough. */
#include "base/mem.h"
#include "engine/sched.h"

/* ---- engines and streams ---- */

int guesses_open(struct hearth_engine *g, struct err *err)
{
    const struct hearth_model *m = g->m;
    const int want = g->o.speculate;
    if (want < HEARTH_SPECULATE_OFF || want > HEARTH_MAX_DRAFT)
        return err_set(err, ERR_ARG, "guesses of %d tokens are asked for; at most %d", want, HEARTH_MAX_DRAFT);
    if (g->o.guess_by & ~HEARTH_GUESS_ALL) return err_set(err, ERR_ARG, "guesses by %d mean nothing", g->o.guess_by);
    if (g->o.draft == m) return err_set(err, ERR_ARG, "%s: a model cannot guess for itself", gguf_path(m->gguf));
    struct err other = { 0 };
    int rc = g->o.draft ? speculator_fits(m, g->o.draft, &other) : 0;
    if (rc < 0 && g->o.draft_if_fits) {
        g->o.draft = NULL;
        rc = 0;
    }
    if (rc < 0) *err = other;
    if (rc < 0 || want == HEARTH_SPECULATE_OFF || m->h.bidirectional) return rc;
    g->guesses = true;
    return 0;
}

/* Logits of guesses; an engine whose texts say nothing of what comes next never needs them.  false: out of memory. */
static bool rows_there(struct hearth_engine *g)
{
    if (g->rows) return true;
    const int64_t before = mem_thread_bytes();
    g->rows = mem_new((size_t)GUESS_ROWS * g->m->h.n_vocab, sizeof *g->rows);
    engine_heap(g->m, before);
    return g->rows != NULL;
}

void guesses_close(struct hearth_engine *g)
{
    if (!g->rows) return;
    const int64_t before = mem_thread_bytes();
    mem_free(g->rows);
    engine_heap(g->m, before);
    g->rows = NULL;
}

int stream_open_guesses(struct stream *x, struct err *err)
{
    const struct hearth_request *r = x->r;
    const struct hearth_engine *g = r->g;
    if (!g->guesses) return 0;
    int rc = speculator_new(&x->guesser, &x->s, HEARTH_MAX_DRAFT, (uint32_t)g->o.speculate, err);
    if (rc == 0) hearth_speculator_ask(x->guesser, g->o.guess_by);
    if (rc < 0 || !g->o.draft) return rc;
    struct hearth_session_options o = { .n_ctx = x->n_max, .kv_type = g->o.kv_type, .kv_type_v = g->o.kv_type_v,
                                        .no_cache = r->o.no_cache, .cache_salt = r->o.cache_salt };
    const uint32_t most = g->o.draft->h.n_position;
    if (most && most < o.n_ctx) o.n_ctx = most;
    rc = hearth_session_open(&x->draft, g->o.draft, &o, (struct hearth_error *)(void *)err);
    if (rc == 0) speculator_draft_with(x->guesser, x->draft);
    return rc;
}

void stream_close_guesses(struct stream *x)
{
    hearth_speculator_close(x->guesser);
    hearth_session_close(x->draft);
    x->guesser = NULL;
    x->draft = NULL;
}

/* ---- before a step ---- */

/* Those that will write in the next step, when that is all that it does; 0 else, or when they are too many. */
static uint32_t writers(struct hearth_engine *g, struct stream **of)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_run; i++) {
        struct stream *x = g->run[i];
        if (x->state != STREAM_RUNS) continue;
        if (!stream_writes(x) || n == MOST_GUESSING) return 0;
        of[n++] = x;
    }
    return n;
}

/* What a guess may make a step of several answers longer is what a prompt may. */
static uint32_t affordable(const struct hearth_engine *g, uint32_t n)
{
    const struct pace *p = &g->pace[n];
    uint32_t most = HEARTH_MAX_DRAFT;
    while (n > 1 && most && (pace_cost(p, n, most) - 1) * p->step_ns > g->o.budget_ms * 1e6) most--;
    return most;
}

/* Whether anything is to be guessed, and can be. */
static bool wanted(struct hearth_engine *g, const uint32_t *k, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (k[i]) return rows_there(g);
    return false;
}

/* Those for whom the model's head has the better offer, of[i].most > 0, share it with what the text of the others offers. */
static void ask_head(struct hearth_engine *g, struct stream **of, const struct offer *text, uint32_t n, uint32_t most)
{
    struct offer o[MOST_GUESSING];
    struct ahead a[MOST_GUESSING];
    bool headed[MOST_GUESSING];
    uint32_t k[MOST_GUESSING], n_asked = 0;
    /* One step of it serves all. */
    const double each = g->pace[n].step_ns > 0 ? g->head_ns[n] / g->pace[n].step_ns / n : -1;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t room = of[i]->n_max - of[i]->n_text;
        speculator_look_ahead(of[i]->guesser, of[i]->text, of[i]->n_text, room ? room - 1 : 0, each, &o[i]);
        headed[i] = offer_of_head(&text[i], &o[i]);
        if (!headed[i]) o[i] = text[i];
    }
    offers_share(&g->pace[n], n, o, n, most, k);
    if (!wanted(g, k, n)) return;
    for (uint32_t i = 0; i < n; i++) {
        struct stream *x = of[i];
        if (headed[i] && k[i])
            a[n_asked++] = (struct ahead){ .p = x->guesser, .ids = x->text, .n = x->n_text, .k = k[i],
                                           .out = x->text + x->n_text };
        else if (!headed[i])
            x->ahead = (uint32_t)speculator_take(x->guesser, x->text, x->n_text, k[i], x->text + x->n_text);
    }
    if (n_asked) speculators_ask(a, n_asked, g->rows, &g->head_ns[n]);
    for (uint32_t i = 0, j = 0; i < n; i++) {
        of[i]->headed = headed[i] && k[i];
        if (of[i]->headed) of[i]->ahead = a[j++].made;
    }
}

void guesses_make(struct hearth_engine *g)
{
    struct stream *of[MOST_GUESSING];
    struct offer o[MOST_GUESSING];
    uint32_t k[MOST_GUESSING], most[MOST_GUESSING], n = g->guesses ? writers(g, of) : 0, total = 0;
    if (!n) return;
    const uint32_t all = affordable(g, n);
    for (uint32_t i = 0; i < n; i++) {
        most[i] = of[i]->n_max - of[i]->n_text;
        if (most[i]) most[i]--;                               /* the row of the last gives a token, too */
        speculator_look(of[i]->guesser, of[i]->text, of[i]->n_text, most[i], &o[i]);
        of[i]->headed = false;
    }
    if (engine_guesses(g->m)) ask_head(g, of, o, n, all);
    for (uint32_t i = 0; i < n; i++) total += of[i]->ahead;
    if (total) return;
    offers_share(&g->pace[n], n, o, n, all, k);
    /* Another model reads what the answer has read, step by step: with several answers the batch is full enough. */
    if (n == 1 && !k[0]) {
        speculator_look_further(of[0]->guesser, of[0]->n_text, most[0], g->pace[1].step_ns, o);
        offers_share(&g->pace[1], 1, o, 1, all, k);
    }
    const bool some = wanted(g, k, n);
    for (uint32_t i = 0; i < n; i++) {
        struct stream *x = of[i];
        x->ahead = (uint32_t)speculator_take(x->guesser, x->text, x->n_text, some ? k[i] : 0, x->text + x->n_text);
    }
}

void guesses_forget(struct hearth_engine *g)
{
    for (uint32_t i = 0; i < g->n_run; i++) g->run[i]->ahead = 0;
}

/* ---- behind a step ---- */

/* The row `i` of those that were evaluated, as the logits of the text that ends there. */
static void show(struct stream *x, uint32_t i) { x->s.logits = x->rows + (size_t)i * x->s.m->h.n_vocab; }

/* Wrong guesses leave the sequence; where a state goes back behind right ones, these come again in the next step. */
static void drop(struct stream *x)
{
    struct seq *q = &x->s.q;
    const uint32_t n = x->ahead, to = q->n;
    x->ahead = 0;
    x->s.logits = x->logits;
    q->n += n;
    if (!seq_drop(q, n)) x->begun = false;                    /* it begins again from the nearest place */
    else x->again = to - q->n;
}

uint32_t guesses_check(struct stream *x, uint32_t (*give)(struct stream *x, bool *goes_on), uint32_t *right)
{
    uint32_t n = 0, row = 0;
    bool goes_on = true;
    struct seq *q = &x->s.q;
    struct hearth_guesses *told = &x->guessed;                /* what is given may end the answer, and tell of them */
    told->n_drafts++;
    told->n_tokens += x->ahead;
    q->n -= x->ahead;
    show(x, 0);
    for (;;) {
        n += give(x, &goes_on);
        if (x->state == STREAM_ENDED) return n;               /* with its sequence */
        if (!goes_on || !x->begun) break;
        for (; x->ahead && q->n < x->n_text && q->ids[q->n] == x->text[q->n]; q->n++, x->ahead--, row++) {
            ++*right;
            told->n_right++;
            told->right_at[row]++;
        }
        if (q->n < x->n_text) break;
        show(x, row);
    }
    drop(x);
    return n;
}
