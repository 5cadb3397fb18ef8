#include "app/generate.h"

#include <stdio.h>
#include <string.h>

#include "app/bias.h"
#include "app/signals.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"

enum { QUIET_NS = 500000000, REDRAW_NS = 100000000 };

const char *finish_name(enum finish f)
{
    static const char *const name[] = { "stop", "length", "cancelled", "tool_calls" };
    return name[f];
}

bool gen_on_progress(void *arg, size_t done, size_t total)
{
    struct gen_progress *p = arg;
    uint64_t now = os_now_ns(), spent = now - p->start_ns;
    if (total > 1 && done && spent > QUIET_NS && now - p->shown_ns > REDRAW_NS) {
        double rate = (double)done / ((double)spent / 1e9);
        term_progress("reading %zu of %zu tokens, %.1f tokens/s, %.0f s left", done, total, rate,
                      (double)(total - done) / rate);
        p->shown_ns = now;
    }
    return !signals_pending();
}

static int fail(struct hearth_error *e, int code, const char *message)
{
    if (e) {
        e->code = code;
        snprintf(e->message, sizeof e->message, "%s", message);
    }
    return code;
}

static size_t common_prefix(const struct hearth_session *s, const int32_t *ids, size_t n)
{
    size_t have, i = 0;
    const int32_t *old = hearth_session_ids(s, &have);
    while (i + 1 < n && i < have && old[i] == ids[i]) i++;
    return i;
}

struct loop {
    const struct gen *g;
    struct gen_result *r;
    struct hearth_sampler *sampler;
    struct hearth_decoder *decoder;
    struct hearth_speculator *guesser;         /* NULL: plain decoding */
    struct ids text;                           /* the prompt and the answer so far */
    size_t ahead;                              /* tokens at the end of the session that are only guesses */
    size_t step_n;                             /* tokens that the last step evaluated, for how long */
    uint64_t step_ns;
    bool held;                                 /* the sampler follows a grammar */
    bool gone, finished;                       /* the reader, while a token is taken; the chat was told of the end */
};

/* Hands certain text on; true when the answer ends here. */
static bool emit(struct loop *l, const char *text)
{
    size_t n = strlen(text);
    buf_put(&l->r->text, text, n);
    if (!n || !l->g->sink || l->g->sink(l->g->sink_arg, text, n)) return false;
    l->r->finish = FINISH_CANCELLED;
    return true;
}

static void on_chat(void *arg, const struct hearth_chat_event *e)
{
    struct loop *l = arg;
    if (l->gone) return;
    reply_event(&l->r->reply, e);
    if (e->kind == HEARTH_CHAT_TEXT) l->gone = emit(l, e->text);
}

/* The text that a token made certain (id < 0: the end), through the reader of the chat when there is one. */
static bool emit_token(struct loop *l, int32_t id)
{
    struct hearth_chat *c = l->g->chat;
    const char *text = c && id >= 0 && !hearth_chat_wants(c, id) ? "" : hearth_decoder_push(l->decoder, id);
    if (!c) return emit(l, text);
    l->gone = false;
    l->finished = id < 0;
    if (hearth_chat_push_text(c, text, strlen(text), id < 0, on_chat, l, NULL) < 0) l->r->text.bad = true;
    return l->gone || l->r->text.bad;
}

enum { GOES_ON, ENDED, TAKEN_BACK };

/* The text so far is kept in place of what the session went on to, and the first token that is gone is not picked again. */
static int take_back(struct loop *l, size_t n, int32_t first, struct hearth_error *e)
{
    struct gen_result *r = l->r;
    size_t have;
    r->n_tokens -= n;
    r->n_back += n;
    l->text.n -= n;
    if (r->n_back > 4096 + 16 * r->n_tokens)
        return fail(e, HEARTH_ELIMIT, "the model comes back to banned phrases again and again (--ban); ban fewer");
    int rc = hearth_sampler_forbid(l->sampler, l->text.n, first, e);
    hearth_session_ids(l->g->session, &have);
    if (rc < 0 || (!l->ahead && have == l->text.n)) return rc;
    l->ahead = 0;
    return hearth_session_sync(l->g->session, l->text.id, l->text.n, e);
}

/* Takes a token into the answer, or for id -1 ends it: GOES_ON, ENDED, TAKEN_BACK or an error. */
static int take_token(struct loop *l, int32_t id, struct hearth_error *e)
{
    size_t n_back;
    int32_t first;
    bool gone = emit_token(l, id);
    switch (hearth_decoder_state(l->decoder, &n_back, &first)) {
    case HEARTH_TEXT_STOPPED:
        if (!gone) l->r->finish = FINISH_STOP;
        return ENDED;
    case HEARTH_TEXT_BANNED: {
        int rc = take_back(l, n_back, first, e);
        return rc < 0 ? rc : TAKEN_BACK;
    }
    default: return gone ? ENDED : GOES_ON;
    }
}

/* Keeps the log-probabilities of the token that is the next of the answer. */
static int keep_logprobs(struct loop *l, int32_t id, struct hearth_error *e)
{
    const struct gen *g = l->g;
    struct gen_result *r = l->r;
    if (g->n_logprobs < 0) return 0;
    if (r->n_tokens == r->cap_token) {
        size_t cap = r->cap_token ? 2 * r->cap_token : 64;
        struct gen_token *t = mem_resize(r->token, cap, sizeof *t);
        if (!t) return fail(e, HEARTH_ENOMEM, "out of memory for the log-probabilities");
        r->token = t;
        r->cap_token = cap;
    }
    struct gen_token *t = &r->token[r->n_tokens];
    *t = (struct gen_token){ .id = id, .n = (size_t)g->n_logprobs };
    t->logprob = g->after ? hearth_sampler_logprobs(l->sampler, id, t->top, &t->n)
                          : hearth_session_logprobs(g->session, l->ahead, id, t->top, &t->n);
    return 0;
}

/* A token of the answer. */
static int add_token(struct loop *l, int32_t id, struct hearth_error *e)
{
    l->r->n_tokens++;
    ids_push(&l->text, id);
    if (l->text.bad) return fail(e, HEARTH_ENOMEM, "out of memory for the answer");
    return take_token(l, id, e);
}

static int end_answer(struct loop *l, struct hearth_error *e)
{
    l->r->finish = FINISH_STOP;
    int rc = take_token(l, -1, e);
    return rc < 0 ? rc : ENDED;
}

enum { MOST_FORCED = 64 };

/* Takes the *n tokens of which a grammar leaves no choice, as pick does. */
static int take_forced(struct loop *l, size_t *n, struct hearth_error *e)
{
    const struct gen *g = l->g;
    int32_t ids[MOST_FORCED];
    size_t most = hearth_session_n_ctx(g->session) - l->text.n;
    if (g->max_tokens >= 0 && (size_t)g->max_tokens - l->r->n_tokens < most) most = (size_t)g->max_tokens - l->r->n_tokens;
    int rc = hearth_sampler_forced(l->sampler, g->session, ids, most < MOST_FORCED ? most : MOST_FORCED, n, e);
    for (size_t i = 0; rc == GOES_ON && i < *n; i++)
        rc = hearth_token_is_end(g->model, ids[i]) ? end_answer(l, e) : add_token(l, ids[i], e);
    return rc;
}

/* Picks a token and takes it: GOES_ON when it must be evaluated, ENDED with the finish set, TAKEN_BACK or an error. */
static int pick(struct loop *l, struct hearth_error *e)
{
    const struct gen *g = l->g;
    int32_t id;
    int rc;
    if (g->chat && hearth_chat_next(g->chat, &id)) return (rc = keep_logprobs(l, id, e)) < 0 ? rc : add_token(l, id, e);
    rc = l->held ? hearth_sampler_grammar_state_at(l->sampler, g->session, l->ahead, e) : 0;
    if (rc) return rc < 0 ? rc : end_answer(l, e);
    if (l->held && !l->ahead && g->n_logprobs < 0) {
        size_t n;
        rc = take_forced(l, &n, e);
        if (rc != GOES_ON || n) return rc;
    }
    id = hearth_sampler_pick_at(l->sampler, g->session, l->ahead);
    if (id < 0 && l->held && (rc = hearth_sampler_grammar_state_at(l->sampler, g->session, l->ahead, e)) < 0) return rc;
    if (id < 0 || hearth_token_is_end(g->model, id)) return end_answer(l, e);
    rc = keep_logprobs(l, id, e);
    return rc < 0 ? rc : add_token(l, id, e);
}

/* A full context goes on with a part of its text, read again. */
static int shift(struct loop *l, struct hearth_error *e)
{
    const struct gen *g = l->g;
    struct hearth_cut cut;
    hearth_context_shift(l->text.n, g->n_keep, &cut);
    l->text.n = hearth_context_cut(l->text.id, l->text.n, &cut);
    l->r->n_shifts++;
    l->r->n_shifted += cut.n;
    l->ahead = 0;
    g->progress->start_ns = os_now_ns();
    if (g->min_tokens <= 0 || l->r->n_tokens >= (size_t)g->min_tokens) hearth_sampler_no_end_before(l->sampler, 0);
    else hearth_sampler_no_end_before(l->sampler, l->text.n + (size_t)g->min_tokens - l->r->n_tokens);
    return hearth_session_sync(g->session, l->text.id, l->text.n, e);
}

/* Whether the answer is as long as it may be. */
static bool is_full(struct loop *l)
{
    const struct gen *g = l->g;
    size_t have;
    l->r->finish = FINISH_LENGTH;
    if (g->max_tokens >= 0 && l->r->n_tokens >= (size_t)g->max_tokens) return true;
    hearth_session_ids(g->session, &have);
    if (g->context == HEARTH_CONTEXT_SHIFT) return false;
    l->r->context_full = have < l->text.n && have == hearth_session_n_ctx(g->session);
    return l->r->context_full;
}

/* The last token of the text was the next guess: it is evaluated.  Else the guesses go. */
static int check_guess(struct loop *l, struct hearth_error *e)
{
    size_t have;
    const int32_t *ids = hearth_session_ids(l->g->session, &have);
    if (!l->ahead) return 0;
    if (ids[have - l->ahead] != l->text.id[l->text.n - 1]) {
        const uint64_t start = os_now_ns();
        int rc = hearth_session_drop(l->g->session, l->ahead, e);
        l->step_ns += os_now_ns() - start;
        l->ahead = 0;
        if (rc != HEARTH_EUNSUPPORTED) return rc;
        hearth_speculator_close(l->guesser);                   /* it cannot go back: once is enough */
        l->guesser = NULL;
        return hearth_session_sync(l->g->session, l->text.id, l->text.n, e);
    }
    l->ahead--;
    l->r->n_right++;
    l->r->n_steps++;
    return 0;
}

/* Evaluates the tokens of the text from `have` on; behind a single one also guesses. */
static int evaluate(struct loop *l, size_t have, struct hearth_error *e)
{
    const struct gen *g = l->g;
    if (l->text.n - have > 1) {
        g->progress->start_ns = os_now_ns();
        l->r->n_steps += l->text.n - have;
        return hearth_session_append(g->session, l->text.id + have, l->text.n - have, e);
    }
    int32_t ids[GEN_ROWS] = { l->text.id[l->text.n - 1] };
    size_t most = hearth_session_n_ctx(g->session) - l->text.n, n = 0;
    size_t left = g->max_tokens >= 0 ? (size_t)g->max_tokens - l->r->n_tokens - 1 : most;
    if (left < most) most = left;
    if (l->guesser && l->step_n) hearth_speculator_timed(l->guesser, l->step_n, l->step_ns);
    l->step_n = 0;
    if (l->guesser) n = hearth_speculator_draft(l->guesser, l->text.id, l->text.n, ids + 1, most);
    uint64_t start = g->progress->start_ns = os_now_ns();
    int rc = hearth_session_append(g->session, ids, n + 1, e);
    if (rc < 0) return rc;
    l->step_n = n + 1;
    l->step_ns = os_now_ns() - start;
    l->ahead = n;
    l->r->n_guessed += n;
    l->r->n_steps++;
    return 0;
}

/* Picks and evaluates until something ends the answer. */
static int decode(struct loop *l, struct hearth_error *e)
{
    const struct gen *g = l->g;
    struct gen_result *r = l->r;
    while (!is_full(l)) {
        r->finish = FINISH_CANCELLED;
        if (signals_pending()) break;
        size_t have;
        int rc = pick(l, e);
        if (rc < 0 || rc == ENDED) return rc < 0 ? rc : 0;
        if (rc == TAKEN_BACK) continue;
        if ((rc = check_guess(l, e)) < 0) return rc;
        if (is_full(l)) break;
        hearth_session_ids(g->session, &have);
        bool full = have < l->text.n && l->text.n > hearth_session_n_ctx(g->session);
        rc = full ? shift(l, e) : have < l->text.n ? evaluate(l, have, e) : 0;
        r->finish = FINISH_CANCELLED;
        if (rc == HEARTH_ECANCELLED) break;
        if (rc < 0) return rc;
    }
    enum finish why = r->finish;
    int rc = take_token(l, -1, e);
    if (rc == GOES_ON) r->finish = why;
    return rc < 0 ? rc : 0;
}

static int check(const struct gen *g, const struct gen_result *r, struct hearth_error *e)
{
    uint32_t room = hearth_session_n_ctx(g->session);
    char text[160];
    if (!r->n_prompt) return fail(e, HEARTH_EARG, "the prompt is empty; give some text to begin with");
    if (r->n_prompt <= room) return 0;
    snprintf(text, sizeof text, "the prompt has %zu tokens, but the context holds %u; shorten it or use --ctx %zu or more",
             r->n_prompt, room, r->n_prompt + 256);
    return fail(e, HEARTH_ELIMIT, text);
}

int generate(const struct gen *g, const int32_t *ids, size_t n, struct gen_result *r, struct hearth_error *e)
{
    *r = (struct gen_result){ .finish = FINISH_CANCELLED, .n_prompt = n };
    struct loop l = { .g = g, .r = r };
    r->reply.show = g->show;
    r->reply.hide_reasoning = g->hide_reasoning;
    int rc = check(g, r, e);
    if (rc < 0) return rc;
    if ((rc = hearth_sampler_open(&l.sampler, g->model, g->sampler, e)) < 0) goto done;
    if (g->grammar) rc = hearth_sampler_set_grammar(l.sampler, g->grammar, n, g->grammar_after, e);
    else if (g->chat) rc = hearth_chat_hold(g->chat, l.sampler, n, &l.held, e);
    if (rc < 0) goto done;
    l.held |= g->grammar != NULL;
    /* A grammar is about all of the answer: no first space is dropped. */
    if ((rc = hearth_decoder_open(&l.decoder, g->model, g->chat != NULL, g->continues || l.held, e)) < 0) goto done;
    if ((rc = hearth_decoder_watch(l.decoder, g->stop, g->n_stop, g->ban, g->n_ban, e)) < 0) goto done;
    if (g->speculate != GEN_PLAIN &&
        (rc = hearth_speculator_open(&l.guesser, g->session, (uint32_t)g->speculate, e)) < 0) goto done;
    if (l.guesser) hearth_speculator_ask(l.guesser, g->guess_by);
    if (l.guesser && g->draft && (rc = hearth_speculator_set_draft(l.guesser, g->draft, e)) < 0) goto done;
    for (size_t i = 0; i < n; i++) ids_push(&l.text, ids[i]);
    for (size_t i = 0; i < g->n_bias; i++)
        if ((rc = bias_add(l.sampler, g->model, g->bias[i], e)) < 0) goto done;
    hearth_sampler_no_end_before(l.sampler, n + (size_t)(g->min_tokens > 0 ? g->min_tokens : 0));
    r->n_kept = common_prefix(g->session, ids, n);
    uint64_t start = g->progress->start_ns = os_now_ns();
    rc = hearth_session_sync(g->session, ids, n, e);
    term_progress_end();
    if (hearth_session_n_kept(g->session) > r->n_kept) r->n_kept = hearth_session_n_kept(g->session);
    r->prefill_ns = os_now_ns() - start;
    if (rc == 0) {
        start = os_now_ns();
        rc = decode(&l, e);
        if (g->chat && !l.finished) hearth_chat_push_text(g->chat, "", 0, true, on_chat, &l, NULL);
        reply_end(&r->reply);
        if (r->finish == FINISH_STOP && r->reply.n_calls) r->finish = FINISH_CALLS;
        r->decode_ns = os_now_ns() - start;
    } else if (rc == HEARTH_ECANCELLED)
        rc = 0;
    if (rc == 0 && (r->text.bad || l.text.bad)) rc = fail(e, HEARTH_ENOMEM, "out of memory for the answer");
done:
    ids_release(&l.text);
    hearth_speculator_close(l.guesser);
    hearth_decoder_close(l.decoder);
    hearth_sampler_close(l.sampler);
    return rc;
}

void gen_result_release(struct gen_result *r)
{
    buf_release(&r->text);
    reply_release(&r->reply);
    mem_free(r->token);
    r->token = NULL;
}
