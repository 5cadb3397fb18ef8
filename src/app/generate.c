#include "app/generate.h"

#include <stdio.h>
#include <string.h>

#include "app/bias.h"
#include "app/signals.h"
#include "app/stop.h"
#include "app/term.h"
#include "base/mem.h"
#include "base/os.h"

enum { QUIET_NS = 500000000, REDRAW_NS = 100000000 };

const char *finish_name(enum finish f)
{
    return f == FINISH_STOP ? "stop" : f == FINISH_LENGTH ? "length" : "cancelled";
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
    struct stopper stopper;
};

/* Hands certain text on; true when the answer ends here. */
static bool emit(struct loop *l, const char *text, size_t n)
{
    buf_put(&l->r->text, text, n);
    if (!n || !l->g->sink || l->g->sink(l->g->sink_arg, text, n)) return false;
    l->r->finish = FINISH_CANCELLED;
    return true;
}

static bool emit_piece(struct loop *l, const char *piece)
{
    const char *text;
    size_t n;
    bool found = stopper_push(&l->stopper, piece, strlen(piece), &text, &n);
    if (emit(l, text, n)) return true;
    if (found) l->r->finish = FINISH_STOP;
    return found;
}

/* Text that is still held back, when no stop string ended the answer. */
static void emit_rest(struct loop *l)
{
    const char *text;
    size_t n;
    if (emit_piece(l, hearth_decoder_push(l->decoder, -1))) return;
    stopper_flush(&l->stopper, &text, &n);
    emit(l, text, n);
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
                          : hearth_session_logprobs(g->session, id, t->top, &t->n);
    return 0;
}

/* Picks and evaluates until something ends the answer. */
static int decode(struct loop *l, struct hearth_error *e)
{
    const struct gen *g = l->g;
    struct gen_result *r = l->r;
    size_t room = hearth_session_n_ctx(g->session) - r->n_prompt;
    int rc;
    for (;;) {
        r->finish = FINISH_CANCELLED;
        if (signals_pending()) break;
        r->finish = FINISH_LENGTH;
        if (g->max_tokens >= 0 && r->n_tokens >= (size_t)g->max_tokens) break;
        int32_t id = hearth_sampler_pick(l->sampler, g->session);
        r->finish = FINISH_STOP;
        if (hearth_token_is_end(g->model, id)) break;
        if ((rc = keep_logprobs(l, id, e)) < 0) return rc;
        r->n_tokens++;
        if (emit_piece(l, hearth_decoder_push(l->decoder, id))) return 0;
        r->finish = FINISH_LENGTH;
        if (g->max_tokens >= 0 && r->n_tokens >= (size_t)g->max_tokens) break;
        if (r->n_steps == room) {
            r->context_full = true;
            break;
        }
        g->progress->start_ns = os_now_ns();
        rc = hearth_session_append(g->session, &id, 1, e);
        if (rc == HEARTH_ECANCELLED) {
            r->finish = FINISH_CANCELLED;
            break;
        }
        if (rc < 0) return rc;
        r->n_steps++;
    }
    emit_rest(l);
    return 0;
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
    struct loop l = { g, r, NULL, NULL, { .stop = g->stop, .n = g->n_stop } };
    int rc = check(g, r, e);
    if (rc < 0) return rc;
    if ((rc = hearth_sampler_open(&l.sampler, g->model, g->sampler, e)) < 0) goto done;
    if ((rc = hearth_decoder_open(&l.decoder, g->model, false, g->continues, e)) < 0) goto done;
    for (size_t i = 0; i < g->n_bias; i++)
        if ((rc = bias_add(l.sampler, g->model, g->bias[i], e)) < 0) goto done;
    hearth_sampler_no_end_before(l.sampler, n + (size_t)(g->min_tokens > 0 ? g->min_tokens : 0));
    r->n_kept = common_prefix(g->session, ids, n);
    uint64_t start = g->progress->start_ns = os_now_ns();
    rc = hearth_session_sync(g->session, ids, n, e);
    term_progress_end();
    r->prefill_ns = os_now_ns() - start;
    if (rc == 0) {
        start = os_now_ns();
        rc = decode(&l, e);
        r->decode_ns = os_now_ns() - start;
    } else if (rc == HEARTH_ECANCELLED)
        rc = 0;
    if (rc == 0 && (r->text.bad || l.stopper.held.bad)) rc = fail(e, HEARTH_ENOMEM, "out of memory for the answer");
done:
    stopper_release(&l.stopper);
    hearth_decoder_close(l.decoder);
    hearth_sampler_close(l.sampler);
    return rc;
}

void gen_result_release(struct gen_result *r)
{
    buf_release(&r->text);
    mem_free(r->token);
    r->token = NULL;
}
