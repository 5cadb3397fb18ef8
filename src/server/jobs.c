/* jobs.c - the way of a job from an exchange through the queue to the link, and of its events back. */
#include <string.h>

#include "base/mem.h"
#include "server/http_impl.h"

uint64_t exchange_job(const struct exchange *x)
{
    struct exchange *open = (struct exchange *)(uintptr_t)x;
    lock_take(&open->lock);
    uint64_t job = x->job;
    lock_give(&open->lock);
    return job;
}

struct context_numbers exchange_context(const struct exchange *x) { return x->context; }

void exchange_call(struct exchange *x, const char *id) { x->called = arena_strdup(&x->arena, id, strlen(id)); }

uint64_t exchange_find_job(struct exchange *x, const char *id)
{
    struct server *s = x->s;
    size_t n = strlen(id);
    uint64_t job = 0;
    lock_take(&s->conns.lock);
    for (const struct conn *c = s->conns.first; c && !job; c = c->next) {
        if (!c->x || c->x == x) continue;
        lock_take(&c->x->lock);
        size_t k = c->x->job && c->x->called ? strlen(c->x->called) : 0;
        if (k && k <= n && !strcmp(c->x->called, id + n - k) && !strcmp(c->x->user, x->user)) job = c->x->job;
        lock_give(&c->x->lock);
    }
    lock_give(&s->conns.lock);
    return job;
}

static struct exchange *exchange_of(struct ticket *t)
{
    return (struct exchange *)(void *)((char *)t - offsetof(struct exchange, ticket));
}

/* ---- events ---- */

static uint64_t count_of(const struct json *event, const char *key)
{
    int64_t v = json_int(json_get(event, key));
    return v > 0 ? (uint64_t)v : 0;
}

static double seconds(uint64_t from, uint64_t to) { return to > from ? (double)(to - from) * 1e-9 : 0; }

/* What metrics and the log want to know. */
static void watch(struct exchange *x, const struct json *event)
{
    static const char *const said[] = { "text", "reasoning", "call", "arguments" };
    const char *name = json_str(json_get(event, "event"), NULL), *reason;
    uint64_t now = os_now_ns();
    if (!name) return;
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        if (strcmp(name, said[i])) continue;
        if (!x->first_at) x->first_at = now;
        else if (x->text_at) metrics_between(&x->s->metrics, x->model, seconds(x->text_at, now));
        x->text_at = now;
        x->n_answer++;                                        /* about a token; the end tells how many they were */
        return;
    }
    if (!strcmp(name, "start")) {
        x->n_prompt = count_of(event, "prompt_tokens");
        x->n_cached = count_of(event, "cached_tokens");
    } else if (!strcmp(name, "end") && (reason = json_str(json_get(event, "reason"), NULL)) != NULL)
        fmt_into(x->reason, sizeof x->reason, "%s", reason);
    else if (!strcmp(name, "done")) {
        const struct json *texts = json_get(event, "tokens");      /* of texts that were embedded, each */
        x->n_answer = count_of(event, "answer_tokens");
        for (size_t i = 0; i < json_len(texts); i++) x->n_prompt += (uint64_t)json_int(json_at(texts, i));
        if (!json_len(texts)) x->n_prompt += count_of(event, "tokens");
    }
    else if (!strcmp(name, "error")) {
        const char *kind = json_str(json_get(event, "kind"), NULL);
        fmt_into(x->reason, sizeof x->reason, "%s", kind ? kind : "error");
        x->failed = !kind || strcmp(kind, "cancelled");
        x->context = (struct context_numbers){ count_of(event, "n_prompt_tokens"), count_of(event, "n_ctx") };
    }
}

static void count_job(struct exchange *x, const struct json *last)
{
    bool cancelled = !strcmp(x->reason, "cancelled");
    if (!x->model[0]) return;
    metrics_job(&x->s->metrics, &(struct metric_job){
        .model = x->model, .first_s = seconds(x->began, x->first_at), .text = x->first_at != 0,
        .waited_s = seconds(x->submitted, x->given ? x->given : os_now_ns()), .failed = x->failed, .cancelled = cancelled,
            .done = last });
}

/* In tokens of a prompt that were evaluated; to write one takes about as long as to read four. */
static uint64_t cost_of(const struct exchange *x)
{
    return 1 + (x->n_prompt > x->n_cached ? x->n_prompt - x->n_cached : 0) + 4 * x->n_answer;
}

/* Paths of this machine are nobody's business: clients hear the model's name where an error has its path. */
static struct json *named(const struct exchange *x, const struct json *event)
{
    const char *message = json_str(json_get(event, "message"), NULL), *at = x->path && message ? strstr(message, x->path) : NULL;
    const char *key;
    struct json *v, *out = at ? json_new_object() : json_share(event);
    struct buf b = { 0 };
    if (!at || !out) return out;
    for (; at; message = at + strlen(x->path), at = strstr(message, x->path))
        buf_printf(&b, "%.*s%s", (int)(at - message), message, x->model);
    buf_puts(&b, message);
    bool ok = !b.bad;
    for (void *it = NULL; ok && json_next(event, &it, &key, &v);) ok = json_put(out, key, json_share(v));
    ok = ok && json_put(out, "message", json_new_str(b.data, b.len));
    buf_release(&b);
    if (ok) return out;
    json_free(out);
    return NULL;
}

static void hear(struct exchange *x, const struct json *event, bool last);

static void on_event(void *arg, const struct json *event, bool last)
{
    struct json *own = last && json_get(event, "message") ? named(arg, event) : NULL;
    hear(arg, last && json_get(event, "message") ? own : event, last);
    json_free(own);
}

static void hear(struct exchange *x, const struct json *event, bool last)
{
    struct server *s = x->s;
    watch(x, event);
    lock_take(&x->lock);
    exchange_event_fn *fn = x->fn;
    if (last) {
        x->live = false;
        x->job = 0;
        x->ending++;                                          /* until fn has answered nobody else does */
    }
    lock_give(&x->lock);
    if (last) {
        admit_leave(&s->admit, &x->ticket, cost_of(x));       /* first: fn may submit the next */
        count_job(x, event);
    }
    fn(x, event, last);
    if (!last) return;
    lock_take(&x->lock);
    bool works = x->live || x->held || x->ending > 1;         /* fn has submitted another, which may be ending, too */
    bool open = x->answer == ANSWER_NONE && !works, stream = x->answer == ANSWER_STREAM && !x->ended && !works;
    x->ending -= !open;
    lock_give(&x->lock);
    if (open) exchange_fail_event(x, event);
    if (stream) exchange_end(x);
    lock_take(&x->lock);
    x->ending -= open;
    lock_give(&x->lock);
    jobs_next(s);
    exchange_free(x);
}

/* An event of our own, the last. */
static void end_with(struct exchange *x, int code, const char *kind, const char *message)
{
    struct json *e = json_new_object();
    bool ok = json_put(e, "event", json_new_str("error", 5)) && json_put(e, "code", json_new_int(code)) &&
              json_put(e, "kind", json_new_str(kind, strlen(kind)));
    json_put(e, "message", json_new_str(message, strlen(message)));
    if (ok) on_event(x, e, true);
    else on_event(x, NULL, true);
    json_free(e);
}

static const char *kind_of(int code)
{
    switch (code) {
    case ERR_ARG: case ERR_FORMAT: case ERR_LIMIT: return "invalid";
    case ERR_NOTFOUND: return "not_found";
    case ERR_UNSUPPORTED: return "unsupported";
    case ERR_NOMEM: return "memory";
    case ERR_CANCELLED: return "cancelled";
    }
    return "engine";
}

/* ---- to the link ---- */

/* What is left of a deadline when the job has waited. */
static void shorten(struct exchange *x, struct json *job)
{
    uint64_t now = os_now_ns(), end = x->ticket.deadline;
    if (end) json_put(job, "deadline_ms", json_new_int(end > now ? (int64_t)((end - now) / 1000000) + 1 : 1));
}

/* Gives the job that waits to the link, which then owns a share of x; the caller has one of its own, since all of the job's
 * events may have come when link_submit returns. */
static int give(struct exchange *x, struct err *err)
{
    uint64_t id = 0;
    struct json *job = x->waiting;
    x->waiting = NULL;
    x->given = os_now_ns();
    shorten(x, job);
    int rc = link_submit(x->s->link, job, on_event, x, &id, err);
    if (rc < 0) return rc;
    lock_take(&x->lock);
    if (x->live) x->job = id;
    bool gone = x->gone || (x->answer != ANSWER_NONE && x->ended);
    lock_give(&x->lock);
    if (gone) link_cancel(x->s->link, id);
    return 0;
}

void jobs_next(struct server *s)
{
    for (struct ticket *t; (t = admit_next(&s->admit)) != NULL;) {
        struct exchange *x = exchange_of(t);
        struct err e = { 0 };
        exchange_share(x);
        int rc = give(x, &e);
        if (rc < 0) end_with(x, rc, kind_of(rc), e.msg);
        exchange_free(x);
    }
}

void jobs_withdraw(struct exchange *x, const char *kind, const char *message)
{
    if (admit_withdraw(&x->s->admit, &x->ticket)) end_with(x, ERR_CANCELLED, kind, message);
}

void jobs_stop(struct exchange *x)
{
    uint64_t job = exchange_job(x);
    if (job) link_cancel(x->s->link, job);
    else jobs_withdraw(x, "cancelled", "the server is shutting down");
}

void jobs_late(struct server *s, uint64_t now)
{
    for (struct ticket *t; (t = admit_late(&s->admit, now)) != NULL;)
        end_with(exchange_of(t), ERR_CANCELLED, "deadline", "the request waited longer than its deadline allows");
}

static bool refuse(struct exchange *x, struct json *job, const struct err *e)
{
    json_free(job);
    exchange_fail_err(x, e);
    return false;
}

/* Its place in the queue; false: refused, and answered. */
static bool enter(struct exchange *x, bool queues, bool *waits)
{
    struct server_limits l = server_limits(x->s);
    int64_t ms = json_int(json_get(x->waiting, "deadline_ms"));
    if (ms <= 0) ms = l.deadline_ms;
    uint64_t end = ms > 0 ? os_now_ns() + (uint64_t)ms * 1000000 : 0;
    char text[160];
    enum admission a = ADMIT_RUN;
    if (queues) a = admit_enter(&x->s->admit, &x->ticket, x->user, end);
    else x->ticket = (struct ticket){ .deadline = end };
    *waits = a == ADMIT_WAIT;
    if (a == ADMIT_RUN || a == ADMIT_WAIT) return true;
    atomic_fetch_add(&x->s->metrics.refused, 1);
    if (a == ADMIT_FULL) fmt_into(text, sizeof text, "server busy, please try again.  maximum pending requests exceeded (%u)",
                                  l.queued);
    else fmt_into(text, sizeof text, "this API key has as many requests as it may have at once (%u)", l.per_key);
    exchange_fail(x, 429, "busy", text);
    return false;
}

static bool prepare(struct exchange *x, struct json *job, const char *op, struct err *err)
{
    struct server_model m;
    const char *name = json_str(json_get(job, "model"), NULL);
    bool ok = job && op, needs = ok && strcmp(op, "status") && strcmp(op, "stop_thinking");
    if (needs && server_put_model(x->s, name, &m, job, err) < 0) return false;
    x->model[0] = 0;
    x->path = NULL;
    if (needs) fmt_into(x->model, sizeof x->model, "%s", m.name);
    const char *loads = exchange_query(x, "autoload");
    if (needs && loads && (!strcmp(loads, "false") || !strcmp(loads, "0")))
        ok = json_put(job, "only_loaded", json_new_bool(true));
    if (needs && !m.embedded) ok = ok && (x->path = arena_strdup(&x->arena, m.path, strlen(m.path))) != NULL;
    if (ok && *x->user) ok = json_put(job, "salt", json_new_str(x->user, strlen(x->user)));
    if (ok && *x->user) ok = json_put(job, "user", json_new_str(x->user, strlen(x->user)));
    if (!ok) err_set(err, ERR_NOMEM, "out of memory for the request");
    return ok;
}

bool exchange_submit(struct exchange *x, struct json *job, exchange_event_fn *fn)
{
    struct err e = { 0 };
    const char *op = json_str(json_get(job, "op"), NULL);
    bool waits, queues = op && (!strcmp(op, "generate") || !strcmp(op, "embed") || !strcmp(op, "rerank"));
    if (atomic_load(&x->s->life) >= LIFE_DRAINING) {
        json_free(job);
        exchange_fail(x, 503, "draining", "the server is shutting down");
        return false;
    }
    if (!prepare(x, job, op, &e)) return refuse(x, job, &e);
    server_trace(x, job);
    json_free(x->waiting);                                    /* of one before that ended in the queue */
    x->waiting = job;
    x->submitted = os_now_ns();
    x->given = x->text_at = x->n_prompt = x->n_cached = x->n_answer = 0;
    exchange_share(x);
    lock_take(&x->lock);
    x->fn = fn;
    x->live = true;
    lock_give(&x->lock);
    bool entered = enter(x, queues, &waits);
    if (entered && waits) {
        jobs_next(x->s);                                      /* a place may have become free since */
        if (exchange_gone(x)) jobs_withdraw(x, "cancelled", "the client went away");
        return true;
    }
    int rc = entered ? give(x, &e) : 0;
    if (entered && rc == 0) return true;
    lock_take(&x->lock);
    x->live = false;
    lock_give(&x->lock);
    json_free(x->waiting);
    x->waiting = NULL;
    admit_leave(&x->s->admit, &x->ticket, 0);
    if (rc < 0) exchange_fail_err(x, &e);
    jobs_next(x->s);
    exchange_free(x);
    return false;
}
