/* front.c - what belongs to no dialect: health, and errors at paths that nobody has. */
#include <string.h>

#include "server/api_llama.h"
#include "server/http_impl.h"

static bool put_str(struct json *o, const char *key, const char *value)
{
    return json_put(o, key, json_new_str(value, strlen(value)));
}

void front_error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct buf b = { 0 };
    bool started = exchange_started(x);
    api_llama_put_error(&b, status, kind, message, exchange_context(x));
    if (started) buf_putc(&b, '\n');
    static const char nomem[] = "{\"error\":{\"code\":503,\"message\":\"out of memory\",\"type\":\"unavailable_error\"}}";
    const char *text = b.bad || !b.data ? nomem : b.data;
    if (started) exchange_write(x, text, strlen(text));
    else exchange_text(x, status, "application/json; charset=utf-8", text, strlen(text));
    buf_release(&b);
}

/* Loading: the engine does not answer yet, or begins anew.  The error is for clients that expect llama-server's. */
static void health(struct exchange *x)
{
    struct server *s = exchange_server(x);
    struct link_state l;
    link_state(s->link, &l);
    bool draining = l.draining || atomic_load(&s->life) >= LIFE_DRAINING;
    bool loading = !l.ready || atomic_load(&s->loading);
    const char *status = draining ? "draining" : loading ? "loading" : "ok";
    struct json *o = json_new_object();
    bool ok = put_str(o, "status", status);
    if (draining || loading) {
        struct json *e = json_new_object();
        ok = json_put(e, "code", json_new_int(503)) && put_str(e, "message", draining ? "Shutting down" : "Loading model") && ok;
        ok = put_str(e, "type", "unavailable_error") && ok;
        ok = json_put(o, "error", e) && ok;
        exchange_set_header(x, "Retry-After", "1");
    }
    if (!ok) json_free(o);
    exchange_json(x, draining || loading ? 503 : 200, ok ? o : NULL);
}

static void put_metrics(struct exchange *x, const struct json *status)
{
    struct server *s = exchange_server(x);
    struct link_state l;
    struct buf b = { 0 };
    link_state(s->link, &l);
    lock_take(&s->conns.lock);
    uint64_t connections = s->conns.n;
    lock_give(&s->conns.lock);
    lock_take(&s->admit.lock);
    struct metric_gauges g = { .connections = connections, .requests = atomic_load(&s->n_exchanges), .running = s->admit.running,
                               .waiting = s->admit.waiting, .restarts = l.n_restarts, .memory_peak = os_memory_peak(),
                               .ready = l.ready, .draining = atomic_load(&s->life) >= LIFE_DRAINING };
    lock_give(&s->admit.lock);
    metrics_put(&s->metrics, &g, status, &b);
    if (b.bad) exchange_fail(x, 503, "memory", "out of memory for the metrics");
    else exchange_text(x, 200, "text/plain; version=0.0.4; charset=utf-8", b.data, b.len);
    buf_release(&b);
}

static void on_status(struct exchange *x, const struct json *event, bool last)
{
    if (last) put_metrics(x, event);
}

/* An engine that does not answer is no reason to say nothing. */
static void metrics(struct exchange *x)
{
    struct link_state l;
    link_state(exchange_server(x)->link, &l);
    struct json *job = json_new_object();
    if (!l.ready || l.draining || !put_str(job, "op", "status") || !json_put(job, "deadline_ms", json_new_int(1000))) {
        json_free(job);
        put_metrics(x, NULL);
    } else
        exchange_submit(x, job, on_status);
}

const struct route routes_front[] = {
    { "GET", "/health", ROLE_NONE, BODY_NONE, health, front_error, NULL, "whether the server is loading, ready or draining" },
    { "GET", "/v1/health", ROLE_NONE, BODY_NONE, health, front_error, NULL, NULL },
    { "GET", "/metrics", ROLE_INFER, BODY_NONE, metrics, front_error, NULL, "counters and times for Prometheus" },
    { "GET", "/openapi.json", ROLE_NONE, BODY_NONE, openapi_get, front_error, NULL, "this description" },
    { "GET", "/v1/stream", ROLE_INFER, BODY_NONE, replay_get, front_error, NULL, "the rest of a stream whose connection broke" },
    { "DELETE", "/v1/stream", ROLE_INFER, BODY_NONE, replay_delete, front_error, NULL, "ends a stream that is kept" },
    { "POST", "/v1/streams/lookup", ROLE_INFER, BODY_JSON, replay_lookup, front_error, NULL, "which streams are kept" },
    { 0 },
};
