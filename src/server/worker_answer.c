/* worker_answer.c - tokens of answers as events: text, reasoning, calls, log-probabilities, the end.  On the engine's thread. */
#include <string.h>

#include "base/mem.h"
#include "server/generation.h"

/* ---- the whole job ---- */

static void fail(struct generation *g, const char *kind, const struct err *err)
{
    if (g->failed) return;
    g->failed = true;
    g->err = *err;
    if (kind) g->t->kind = kind;
}

static void out_of_memory(struct generation *g)
{
    fail(g, NULL, &(struct err){ ERR_NOMEM, "out of memory for the answer" });
}

/* Nothing is left out in silence. */
static void tell_cut(struct generation *g, uint32_t i, const struct hearth_cut *cut)
{
    struct buf *b = &g->line;
    buf_clear(b);
    buf_printf(b, "{\"event\":\"warning\",\"i\":%u,\"text\":\"", i);
    if (cut->n_messages) buf_printf(b, "%zu messages of %zu tokens", cut->n_messages, cut->n);
    else buf_printf(b, "%zu tokens, from number %zu on,", cut->n, cut->from);
    buf_puts(b, " did not fit into the context and were left out\"}");
    task_event_text(g->t, b);
}

static void start(struct generation *g, const struct hearth_event *ev)
{
    struct buf *b = &g->line;
    struct task *t = g->t;
    if (g->started) return;
    g->started = true;
    g->first_token = os_now_ns();
    if (!g->slot) g->slot = g->first_token;
    t->times.queue = g->slot - g->submitted;
    t->times.prompt = g->first_token - g->slot;
    g->n_kept = ev->n_kept;
    g->n_ids = ev->n_prompt;                                   /* fewer when it was cut */
    buf_clear(b);
    buf_printf(b, "{\"event\":\"start\",\"prompt_tokens\":%zu,\"cached_tokens\":%u,\"seed\":%llu,\"prompt_ns\":%llu,", g->n_ids,
               g->n_kept, (unsigned long long)g->o.sampler.seed, (unsigned long long)t->times.prompt);
    buf_printf(b, "\"model\":%s}", t->loaded->about);
    task_event_text(t, b);
    struct hearth_cut cut = { 0 };
    if (g->chat) hearth_chat_cut(g->chat, &cut);
    if (cut.n) tell_cut(g, 0, &cut);
}

/* What became of guesses, of all completions together; nothing where there were none. */
static bool put_guesses(const struct generation *g, struct json *o)
{
    struct hearth_guesses all = { 0 };
    for (uint32_t i = 0; i < g->n; i++) {
        const struct hearth_guesses *one = &g->answer[i].guesses;
        all.n_drafts += one->n_drafts;
        all.n_tokens += one->n_tokens;
        all.n_right += one->n_right;
        for (size_t k = 0; k < HEARTH_MAX_DRAFT; k++) all.right_at[k] += one->right_at[k];
    }
    if (!all.n_drafts) return true;
    struct json *at = json_new_array();
    bool ok = at != NULL;
    for (size_t k = 0; ok && k < HEARTH_MAX_DRAFT; k++) ok = json_push(at, json_new_int(all.right_at[k]));
    ok = json_put(o, "draft_right_at", at) && ok;
    return ok && put_int(o, "drafts", all.n_drafts) && put_int(o, "draft_tokens", all.n_tokens) &&
           put_int(o, "draft_right", all.n_right);
}

/* The last completion has ended. */
static void finish(struct generation *g)
{
    struct task *t = g->t;
    uint64_t tokens = 0, thought = 0;
    for (uint32_t i = 0; i < g->n; i++) {
        tokens += g->answer[i].n_tokens;
        thought += g->answer[i].n_reasoning;
    }
    if (g->started) t->times.answer = os_now_ns() - g->first_token;
    models_count(t->w->models, t, g->n_ids, g->n_kept, tokens);
    struct json *o = json_new_object();
    bool ok = put_int(o, "prompt_tokens", g->n_ids) && put_int(o, "cached_tokens", g->n_kept) &&
              put_int(o, "answer_tokens", tokens) && put_int(o, "reasoning_tokens", thought) && put_guesses(g, o);
    if (!ok) out_of_memory(g);
    if (g->failed) {
        task_fail(t, &g->err);
        json_free(o);
    } else
        task_done(t, o);
    generation_leave(g);
}

/* ---- tokens that are still to be told of ---- */

static void put_choice(struct generation *g, struct buf *b, int32_t id, float logprob)
{
    struct hearth_error e;
    char *text = NULL;
    size_t n = 0;
    if (hearth_detokenize(g->t->loaded->model, &id, 1, true, &text, &n, &e) < 0) b->bad = true;
    buf_printf(b, "{\"id\":%d,\"text\":", id);
    json_write_str(text ? text : "", n, b);
    buf_puts(b, ",\"bytes\":[");
    for (size_t i = 0; i < n; i++) buf_printf(b, "%s%u", i ? "," : "", (unsigned char)text[i]);
    /* JSON has no infinities: this is what others write for a token that cannot come. */
    buf_printf(b, "],\"logprob\":%.9g", logprob > -9999 ? (double)logprob : -9999.0);
    hearth_free(text);
}

static void put_logprobs(struct generation *g, struct buf *b, const struct hearth_event *ev)
{
    struct hearth_choice top[MAX_TOP];
    size_t n = ev->session ? (size_t)g->f.logprobs : 0;
    float logprob = !ev->session ? 0
                  : g->f.logprobs_after ? hearth_sampler_logprobs(ev->sampler, ev->id, top, &n)
                                        : hearth_session_logprobs(ev->session, 0, ev->id, top, &n);
    put_choice(g, b, ev->id, logprob);
    buf_puts(b, ",\"top\":[");
    for (size_t i = 0; i < n; i++) {
        if (i) buf_putc(b, ',');
        put_choice(g, b, top[i].id, top[i].logprob);
        buf_putc(b, '}');
    }
    buf_puts(b, "]},");
}

/* Room for one more in an array that grows; false when out of memory. */
static bool room(void **array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return true;
    void *more = mem_resize(*array, *cap ? 2 * *cap : 16, size);
    if (!more) return false;
    *array = more;
    *cap = *cap ? 2 * *cap : 16;
    return true;
}

static void add_token(struct generation *g, struct answer *a, const struct hearth_event *ev)
{
    a->n_tokens++;
    atomic_fetch_add(&g->n_written, 1);
    if (!g->f.want_ids && g->f.logprobs < 0) return;
    void *untold = a->untold;
    bool ok = room(&untold, a->n_untold, &a->cap_untold, sizeof *a->untold);
    a->untold = untold;
    if (ok) a->untold[a->n_untold++] = (struct untold){ ev->id, a->logprobs.len };
    if (ok && g->f.logprobs >= 0) put_logprobs(g, &a->logprobs, ev);
    if (!ok || a->logprobs.bad) out_of_memory(g);
}

/* The last n tokens are no part of the answer any more. */
static void take_back(struct answer *a, uint32_t n)
{
    a->n_tokens -= n < a->n_tokens ? n : a->n_tokens;
    if (n > a->n_untold) n = (uint32_t)a->n_untold;
    if (!n) return;
    a->n_untold -= n;
    a->logprobs.len = a->untold[a->n_untold].at;
}

/* Adds those that cannot be taken back any more. */
static void put_tokens(struct generation *g, struct answer *a, uint32_t held)
{
    struct buf *b = &g->line;
    size_t n = a->n_untold > held ? a->n_untold - held : 0;
    if (!n) return;
    if (g->f.want_ids) {
        for (size_t i = 0; i < n; i++) buf_printf(b, "%s%d", i ? "," : ",\"ids\":[", a->untold[i].id);
        buf_putc(b, ']');
    }
    if (g->f.logprobs >= 0) {
        size_t end = n < a->n_untold ? a->untold[n].at : a->logprobs.len;
        buf_puts(b, ",\"logprobs\":[");
        buf_put(b, a->logprobs.data, end - 1);                 /* without the last comma */
        buf_putc(b, ']');
        memmove(a->logprobs.data, a->logprobs.data + end, a->logprobs.len - end);
        a->logprobs.len -= end;
        for (size_t i = n; i < a->n_untold; i++) a->untold[i].at -= end;
    }
    memmove(a->untold, a->untold + n, (a->n_untold - n) * sizeof *a->untold);
    a->n_untold -= n;
}

/* ---- what is said ---- */

static void put_text(struct buf *b, const char *key, const char *s, size_t n)
{
    buf_printf(b, ",\"%s\":", key);
    json_write_str(s, n, b);
}

/* How much of a piece of text may be said, when its lines matter: none may begin with fewer blanks than was asked for, and after
 * some time the next end of a line is the answer's. */
static size_t within_lines(const struct generation *g, struct answer *a, const char *s, size_t n)
{
    bool late = g->f.line_ms && os_now_ns() - g->first_token > (uint64_t)g->f.line_ms * 1000000;
    for (size_t i = 0; i < n; i++) {
        if (a->at_start && (s[i] == ' ' || s[i] == '\t')) {
            a->n_blanks++;
            continue;
        }
        bool short_ = a->at_start && a->n_blanks < g->f.n_indent;
        a->ends = short_ || (s[i] == '\n' && late);
        if (a->ends) return short_ ? i : i + 1;
        a->at_start = s[i] == '\n';
        a->n_blanks = 0;
    }
    return n;
}

void answer_said(void *arg, uint32_t completion, const struct hearth_chat_event *e)
{
    static const char *const name[] = {
        [HEARTH_CHAT_TEXT] = "text", [HEARTH_CHAT_REASONING] = "reasoning", [HEARTH_CHAT_CALL] = "call",
        [HEARTH_CHAT_ARGUMENTS] = "arguments", [HEARTH_CHAT_CALL_END] = "call_end", [HEARTH_CHAT_CALL_BROKEN] = "call_broken",
        [HEARTH_CHAT_WARNING] = "warning" };
    struct generation *g = arg;
    struct answer *a = &g->answer[completion];
    struct buf *b = &a->said;
    void *saying = a->saying;
    bool text = e->kind == HEARTH_CHAT_TEXT || e->kind == HEARTH_CHAT_REASONING;
    size_t n = e->n;
    if (!g->o.max_tokens || a->ends) return;                   /* the one token that is evaluated is not wanted */
    if (e->kind == HEARTH_CHAT_TEXT && (g->f.n_indent || g->f.line_ms)) n = within_lines(g, a, e->text, n);
    bool ok = room(&saying, a->n_saying, &a->cap_saying, sizeof *a->saying);
    a->saying = saying;
    if (!ok) {
        out_of_memory(g);
        return;
    }
    struct saying *s = &a->saying[a->n_saying++];
    *s = (struct saying){ b->len, 0, text || e->kind == HEARTH_CHAT_CALL || e->kind == HEARTH_CHAT_ARGUMENTS };
    buf_printf(b, "{\"event\":\"%s\",\"i\":%u", name[e->kind], completion);
    if (!text && e->kind != HEARTH_CHAT_WARNING) buf_printf(b, ",\"call\":%zu", e->call);
    if (e->kind == HEARTH_CHAT_CALL) {
        put_text(b, "id", e->id ? e->id : "", e->id ? strlen(e->id) : 0);
        put_text(b, "name", e->name, strlen(e->name));
    } else if (text || e->kind == HEARTH_CHAT_ARGUMENTS || e->kind == HEARTH_CHAT_WARNING)
        put_text(b, "text", e->text, n);
    if (e->kind == HEARTH_CHAT_TEXT && memchr(e->text, '\n', n)) atomic_store(&g->new_line, true);
    s->to = b->len;
    if (b->bad) out_of_memory(g);
}

/* Hands out what was said. */
static void tell(struct generation *g, struct answer *a, uint32_t held)
{
    for (size_t i = 0; i < a->n_saying && !g->failed; i++) {
        const struct saying *s = &a->saying[i];
        buf_clear(&g->line);
        buf_put(&g->line, a->said.data + s->from, s->to - s->from);
        if (s->takes_tokens) put_tokens(g, a, held);
        buf_putc(&g->line, '}');
        task_event_text(g->t, &g->line);
    }
    a->n_saying = 0;
    buf_clear(&a->said);
}

/* ---- the end ---- */

static const char *reason_of(const struct answer *a, const struct hearth_event *ev)
{
    if (a->ends) return "length";
    switch (ev->finish) {
    case HEARTH_FINISH_LENGTH: return "length";
    case HEARTH_FINISH_CONTEXT: return "context";
    case HEARTH_FINISH_CANCELLED: return "cancelled";
    case HEARTH_FINISH_DEADLINE: return "deadline";
    default: return ev->n_calls ? "tool_calls" : "stop";
    }
}

static void end(struct generation *g, struct answer *a, const struct hearth_event *ev)
{
    struct buf *b = &g->line;
    a->over = true;
    a->n_reasoning = ev->n_reasoning;
    if (ev->guesses) a->guesses = *ev->guesses;
    if (!ev->error && !g->f.no_cache) {
        size_t n = g->n_ids;
        const int32_t *ids = ev->session ? hearth_session_ids(ev->session, &n) : g->chat ? hearth_chat_ids(g->chat, &n) : g->ids;
        slots_note(g->t->w, g->t, g->f.slot, ids, n);
    }
    if (ev->error) {
        struct err err;
        err_of_hearth(&err, (const struct hearth_error *)ev->error);
        fail(g, err.code == ERR_LIMIT && !g->o.ban.n ? "memory" : NULL, &err);
    }
    if (!g->failed) {
        start(g, ev);
        tell(g, a, 0);
        const char *reason = reason_of(a, ev);
        buf_clear(b);
        buf_printf(b, "{\"event\":\"end\",\"i\":%zu,\"reason\":\"%s\"", (size_t)(a - g->answer), reason);
        if (ev->stop) put_text(b, "stop", ev->stop, strlen(ev->stop));
        buf_printf(b, ",\"tokens\":%u,\"reasoning_tokens\":%u", a->n_tokens, a->n_reasoning);
        put_tokens(g, a, 0);
        buf_putc(b, '}');
        task_event_text(g->t, b);
    }
    if (!--g->n_open) finish(g);
}

bool answer_event(void *arg, const struct hearth_event *ev)
{
    struct generation *g = arg;
    struct answer *a = &g->answer[ev->completion];
    if (a->over) return false;
    if (ev->id >= 0 && g->o.max_tokens) {
        start(g, ev);
        if (ev->finish != HEARTH_FINISH_END) add_token(g, a, ev);
    }
    if (ev->cut && !ev->error) {
        start(g, ev);
        tell_cut(g, ev->completion, ev->cut);
    }
    if (ev->n_back) take_back(a, ev->n_back);
    if (ev->finish) {
        end(g, a, ev);
        return false;
    }
    tell(g, a, ev->n_held);
    if (a->ends && !g->failed) {
        end(g, a, ev);
        return false;
    }
    if (!g->failed) return true;
    a->over = true;                                            /* there is no further event when this returns false */
    if (!--g->n_open) finish(g);
    return false;
}

void answer_read(void *arg, uint32_t done, uint32_t kept, uint32_t total)
{
    struct generation *g = arg;
    if (!g->slot) g->slot = os_now_ns();
    if (!g->f.progress) return;
    buf_clear(&g->line);
    buf_printf(&g->line, "{\"event\":\"prefill\",\"done\":%u,\"cached\":%u,\"total\":%u}", done, kept, total);
    task_event_text(g->t, &g->line);
}
