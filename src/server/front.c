/* front.c - what belongs to no dialect: health, and errors at paths that nobody has. */
#include <string.h>

#include "server/http_impl.h"

static bool put_str(struct json *o, const char *key, const char *value)
{
    return json_put(o, key, json_new_str(value, strlen(value)));
}

void front_error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct json *o = json_new_object(), *e = json_new_object();
    bool ok = json_put(e, "code", json_new_int(status)) && put_str(e, "message", message) && put_str(e, "type", kind);
    ok = json_put(o, "error", e) && ok;
    if (exchange_started(x)) {
        exchange_ndjson(x, o);
        json_free(o);
        return;
    }
    if (!ok) json_free(o);
    exchange_json(x, status, ok ? o : NULL);
}

/* Loading: the engine does not answer yet, or begins anew.  The error is for clients that expect llama-server's. */
static void health(struct exchange *x)
{
    struct server *s = exchange_server(x);
    struct link_state l;
    link_state(s->link, &l);
    bool draining = l.draining || atomic_load(&s->life) >= LIFE_DRAINING;
    const char *status = draining ? "draining" : l.ready ? "ok" : "loading";
    struct json *o = json_new_object();
    bool ok = put_str(o, "status", status);
    if (draining || !l.ready) {
        struct json *e = json_new_object();
        ok = json_put(e, "code", json_new_int(503)) && put_str(e, "message", draining ? "Shutting down" : "Loading model") && ok;
        ok = put_str(e, "type", "unavailable_error") && ok;
        ok = json_put(o, "error", e) && ok;
        exchange_set_header(x, "Retry-After", "1");
    }
    if (!ok) json_free(o);
    exchange_json(x, draining || !l.ready ? 503 : 200, ok ? o : NULL);
}

const struct route routes_front[] = {
    { "GET", "/health", ROLE_NONE, BODY_NONE, health, front_error, NULL, "whether the server is loading, ready or draining" },
    { "GET", "/v1/health", ROLE_NONE, BODY_NONE, health, front_error, NULL, NULL },
    { 0 },
};
