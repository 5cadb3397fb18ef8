#include <string.h>

#include "base/mem.h"
#include "server/http_impl.h"

/* ---- life ---- */

struct exchange *exchange_new(struct server *s, const char *raw)
{
    struct exchange *x = mem_new(1, sizeof *x);
    if (!x) return NULL;
    x->s = s;
    x->refs = 1;
    x->user = "";
    x->arena.limit = 256 << 10;
    x->raw = arena_strdup(&x->arena, raw, strlen(raw));
    x->began = os_now_ns();
    fmt_into(x->id, sizeof x->id, "req_%016llx", (unsigned long long)os_random64());
    atomic_fetch_add(&s->n_exchanges, 1);
    return x;
}

void exchange_share(struct exchange *x) { atomic_fetch_add(&x->refs, 1); }

void exchange_free(struct exchange *x)
{
    if (atomic_fetch_sub(&x->refs, 1) != 1) return;
    if (x->release) x->release(x->state);
    server_record(x);
    json_free(x->json);
    json_free(x->waiting);
    atomic_fetch_sub(&x->s->body_total, x->body.cap + x->values);
    buf_release(&x->body);
    buf_release(&x->out);
    arena_release(&x->arena);
    atomic_fetch_sub(&x->s->n_exchanges, 1);
    mem_free(x);
}

void exchange_leave(struct exchange *x)
{
    lock_take(&x->lock);
    bool first = !x->gone, running = atomic_load(&x->s->life) < LIFE_CLOSING;
    x->gone = x->drop = true;
    uint64_t kept = running && x->live && !x->ended ? x->replay : 0;
    uint64_t job = x->live ? x->job : 0;
    void (*on_gone)(struct exchange *) = x->held ? x->on_gone : NULL;
    if (x->suspended) http_resume(x);
    lock_give(&x->lock);
    if (!first || (kept && replay_left(&x->s->replays, kept))) return;
    if (job) link_cancel(x->s->link, job);
    else jobs_withdraw(x, "cancelled", "the client went away");
    if (on_gone) on_gone(x);
}

bool exchange_pending(struct exchange *x)
{
    lock_take(&x->lock);
    bool pending = x->live || x->held;
    lock_give(&x->lock);
    return pending;
}

void exchange_hold(struct exchange *x, void (*gone)(struct exchange *x))
{
    exchange_share(x);
    lock_take(&x->lock);
    x->held = true;
    x->on_gone = gone;
    lock_give(&x->lock);
}

void exchange_release(struct exchange *x)
{
    lock_take(&x->lock);
    x->held = false;
    x->on_gone = NULL;
    bool open = x->answer == ANSWER_NONE, stream = x->answer == ANSWER_STREAM && !x->ended;
    lock_give(&x->lock);
    if (open) exchange_fail(x, 500, "internal", "the request was left without an answer");
    if (stream) exchange_end(x);
    exchange_free(x);
}

bool exchange_gone(const struct exchange *x)
{
    struct exchange *open = (struct exchange *)(uintptr_t)x;     /* only its lock changes */
    lock_take(&open->lock);
    bool gone = x->gone;
    lock_give(&open->lock);
    return gone;
}

/* ---- the request ---- */

struct server *exchange_server(const struct exchange *x) { return x->s; }
const struct route *exchange_route(const struct exchange *x) { return x->route; }
const struct json *exchange_body(const struct exchange *x) { return x->json; }
const char *exchange_method(const struct exchange *x) { return x->method; }
const char *exchange_path(const struct exchange *x) { return x->uri.path; }
const char *exchange_query(const struct exchange *x, const char *name) { return uri_query(&x->uri, name); }
const char *exchange_user(const struct exchange *x) { return x->user; }
const char *exchange_id(const struct exchange *x) { return x->id; }

const char *exchange_param(const struct exchange *x, const char *name)
{
    struct arena *a = (struct arena *)(uintptr_t)&x->arena;      /* the joined rest of a path is made when it is asked for */
    return x->route ? uri_param(&x->uri, a, x->route->path, name) : NULL;
}

void exchange_keep(struct exchange *x, void *state, void (*release)(void *state))
{
    x->state = state;
    x->release = release;
}

void *exchange_state(const struct exchange *x) { return x->state; }

/* ---- the answer ---- */

/* Header fields come from us, but a value may hold what a client sent: no line ends. */
static bool good_value(const char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) return false;
    return true;
}

void exchange_header_put(struct exchange *x, const char *name, const char *value)
{
    for (size_t i = 0; i < x->n_headers; i++)
        if (!strcmp(x->header[i].name, name)) return;
    if (x->n_headers == X_HEADERS || !good_value(value)) return;
    const char *n = arena_strdup(&x->arena, name, strlen(name)), *v = arena_strdup(&x->arena, value, strlen(value));
    if (!n || !v) return;
    x->header[x->n_headers].name = n;
    x->header[x->n_headers++].value = v;
}

void exchange_set_header(struct exchange *x, const char *name, const char *value)
{
    lock_take(&x->lock);
    if (x->answer == ANSWER_NONE) exchange_header_put(x, name, value);
    lock_give(&x->lock);
}

/* Takes text. */
static void whole(struct exchange *x, int status, const char *type, struct buf *text)
{
    lock_take(&x->lock);
    if (x->answer == ANSWER_NONE) {
        exchange_header_put(x, "Content-Type", type);
        x->answer = ANSWER_WHOLE;
        x->status = status;
        x->ended = true;
        x->out = *text;
        *text = (struct buf){ 0 };
        x->taken_at = os_now_ns();
        if (x->suspended) http_resume(x);
    }
    lock_give(&x->lock);
    buf_release(text);
}

void exchange_text(struct exchange *x, int status, const char *type, const char *text, size_t n)
{
    struct buf b = { 0 };
    buf_put(&b, text, n);
    if (b.bad) {
        buf_release(&b);
        status = 500;
    }
    whole(x, status, type, &b);
}

void exchange_json(struct exchange *x, int status, struct json *answer)
{
    struct buf b = { 0 };
    if (answer) json_write(answer, false, &b);
    json_free(answer);
    if (!answer || b.bad) {
        buf_release(&b);
        status = 500;
        buf_puts(&b, "{\"error\":\"out of memory\"}");
    }
    whole(x, status, HTTP_JSON, &b);
}

void exchange_fail(struct exchange *x, int status, const char *kind, const char *message)
{
    const struct route *r = x->route ? x->route : x->near;
    void (*error)(struct exchange *, int, const char *, const char *) = r && r->error ? r->error : front_error;
    bool started = exchange_started(x);
    char seconds[16];
    fmt_into(seconds, sizeof seconds, "%u", status == 429 ? admit_retry_s(&x->s->admit) : 1);
    if (!started && (status == 429 || status == 503)) exchange_set_header(x, "Retry-After", seconds);
    error(x, status, kind, message);
    if (started) exchange_end(x);
}

void exchange_fail_err(struct exchange *x, const struct err *err)
{
    switch (err->code) {
    case ERR_ARG: case ERR_FORMAT: exchange_fail(x, 400, "invalid", err->msg); break;
    case ERR_LIMIT: exchange_fail(x, 400, "invalid", err->msg); break;
    case ERR_NOTFOUND: exchange_fail(x, 404, "not_found", err->msg); break;
    case ERR_UNSUPPORTED: exchange_fail(x, 501, "unsupported", err->msg); break;
    case ERR_NOMEM: exchange_fail(x, 503, "memory", err->msg); break;
    case ERR_CANCELLED: exchange_fail(x, 503, "cancelled", err->msg); break;
    default: exchange_fail(x, 500, "internal", err->msg);
    }
}

void exchange_fail_event(struct exchange *x, const struct json *event)
{
    static const struct { const char *kind; int status; } row[] = {
        { "invalid", 400 }, { "not_found", 404 }, { "context", 400 }, { "busy", 429 }, { "unsupported", 501 }, { "memory", 503 },
        { "engine", 503 }, { "deadline", 504 }, { "cancelled", 503 },
    };
    const char *kind = json_str(json_get(event, "kind"), NULL), *message = json_str(json_get(event, "message"), NULL);
    int status = 500;
    for (size_t i = 0; kind && i < sizeof row / sizeof *row; i++)
        if (!strcmp(row[i].kind, kind)) status = row[i].status;
    exchange_fail(x, status, kind ? kind : "internal", message ? message : "the engine gave no answer");
}

bool exchange_started(const struct exchange *x)
{
    struct exchange *open = (struct exchange *)(uintptr_t)x;
    lock_take(&open->lock);
    bool started = x->answer == ANSWER_STREAM;
    lock_give(&open->lock);
    return started;
}

void exchange_stream(struct exchange *x, const char *type)
{
    lock_take(&x->lock);
    bool keeps = x->conversation && x->fn && x->answer == ANSWER_NONE;
    lock_give(&x->lock);
    uint64_t r = keeps ? replay_begin(&x->s->replays, x, x->conversation, !strcmp(type, "text/event-stream")) : 0;
    lock_take(&x->lock);
    if (r) x->replay = r;
    if (x->answer == ANSWER_NONE) {
        exchange_header_put(x, "Content-Type", type);
        exchange_header_put(x, "Cache-Control", "no-cache");
        exchange_header_put(x, "X-Accel-Buffering", "no");
        x->answer = ANSWER_STREAM;
        x->sse = !strcmp(type, "text/event-stream");
        x->status = 200;
        x->taken_at = os_now_ns();
        if (x->suspended) http_resume(x);
    }
    lock_give(&x->lock);
}

/* False: too much waits for a client that does not read. */
static bool append(struct exchange *x, const char *p, size_t n)
{
    size_t waiting = x->out.len - x->taken;
    if (waiting == 0) {
        x->taken_at = os_now_ns();
        x->taken = 0;
        buf_clear(&x->out);
    }
    if (waiting + n > x->stream_bytes + x->backlog && waiting) return false;
    buf_put(&x->out, p, n);
    return !x->out.bad;
}

bool exchange_silent(const struct exchange *x, uint64_t now, uint64_t most)
{
    return x->sse && x->answer == ANSWER_STREAM && !x->ended && !x->drop && x->taken == x->out.len &&
           elapsed(x->taken_at, now) > most;
}

/* To this client alone. */
static void write_out(struct exchange *x, const char *bytes, size_t n)
{
    lock_take(&x->lock);
    bool ok = true;
    if (x->answer == ANSWER_STREAM && !x->ended && !x->drop && n) {
        ok = append(x, bytes, n);
        if (x->suspended) http_resume(x);
    }
    lock_give(&x->lock);
    if (!ok) exchange_leave(x);
}

void exchange_ping(struct exchange *x) { write_out(x, ":\n\n", 3); }

void exchange_write(struct exchange *x, const char *bytes, size_t n)
{
    struct buf numbered = { 0 };
    lock_take(&x->lock);
    uint64_t r = x->ended ? 0 : x->replay;
    lock_give(&x->lock);
    if (!r) {
        write_out(x, bytes, n);
        return;
    }
    replay_write(&x->s->replays, r, bytes, n, &numbered);
    if (numbered.bad) exchange_leave(x);
    else write_out(x, numbered.data, numbered.len);
    buf_release(&numbered);
}

void exchange_sse(struct exchange *x, const char *event, const struct json *data)
{
    struct buf b = { 0 };
    if (event) buf_printf(&b, "event: %s\n", event);
    buf_puts(&b, "data: ");
    json_write(data, false, &b);
    buf_puts(&b, "\n\n");
    if (!b.bad) exchange_write(x, b.data, b.len);
    else exchange_leave(x);
    buf_release(&b);
}

void exchange_ndjson(struct exchange *x, const struct json *line)
{
    struct buf b = { 0 };
    json_write(line, false, &b);
    buf_putc(&b, '\n');
    if (!b.bad) exchange_write(x, b.data, b.len);
    else exchange_leave(x);
    buf_release(&b);
}

void exchange_end(struct exchange *x)
{
    lock_take(&x->lock);
    uint64_t job = x->live ? x->job : 0;
    uint64_t r = 0;
    if (x->answer == ANSWER_STREAM) {
        r = x->ended ? 0 : x->replay;
        x->ended = true;
        if (x->suspended) http_resume(x);
    }
    lock_give(&x->lock);
    if (r) replay_end(&x->s->replays, r);
    if (job) link_cancel(x->s->link, job);
    else jobs_withdraw(x, "cancelled", "its answer is over");
}
