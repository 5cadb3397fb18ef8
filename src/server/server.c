#include <string.h>

#include "base/mem.h"
#include "server/api_pull.h"
#include "server/api_state.h"
#include "server/http_impl.h"

#define ROUTES(name) extern const struct route routes_##name[];
#include "server/routes.def"
#undef ROUTES
static const struct route *const table[] = {
#define ROUTES(name) routes_##name,
#include "server/routes.def"
#undef ROUTES
};
#define LAST_WORDS_NS ((uint64_t)500000000)    /* for clients to hear that their job was cancelled */
#define ENGINE_NS ((uint64_t)1000000000)       /* for the engine, after that, to end jobs that were cancelled */
static const char *const table_name[] = {
#define ROUTES(name) #name,
#include "server/routes.def"
#undef ROUTES
};
enum { N_TABLE = sizeof table / sizeof *table, DEFAULT_PORT = 11434, MAX_PEM = 1 << 20 };
enum { MAX_ANSWERS = 1000, MAX_ANSWER_BYTES = 64 << 20 };

/* ---- what http.c asks ---- */

const struct route *server_table(size_t i, const char **name)
{
    *name = i < N_TABLE ? table_name[i] : NULL;
    return i < N_TABLE ? table[i] : NULL;
}

static void add_method(struct near *near, const char *method)
{
    size_t n = strlen(near->methods);
    if (strstr(near->methods, method)) return;
    fmt_into(near->methods + n, sizeof near->methods - n, "%s%s%s", n ? ", " : "", method, strcmp(method, "GET") ? "" : ", HEAD");
}

static const struct route *in_table(const struct route *r, const struct exchange *x, struct near *near)
{
    const char *method = strcmp(x->method, "HEAD") ? x->method : "GET";
    for (; r && r->path; r++) {
        if (!uri_match(&x->uri, r->path)) continue;
        if (!strcmp(r->method, method)) return r;
        add_method(near, r->method);
    }
    return NULL;
}

/* How many characters of whole segments two paths have in common. */
static size_t in_common(const char *a, const char *b)
{
    size_t n = 0;
    for (size_t i = 1; a[i - 1] && b[i - 1]; i++) {
        bool ends = (!a[i] || a[i] == '/') && (!b[i] || b[i] == '/');
        if (a[i - 1] != b[i - 1]) break;
        if (ends) n = i;
    }
    return n;
}

/* Of the dialect that has most of the path; table 0 is nobody's. */
static const struct route *nearest(const char *path)
{
    const struct route *best = NULL;
    size_t most = 1;
    for (size_t t = 1; t < N_TABLE; t++)
        for (const struct route *r = table[t]; r->path; r++) {
            size_t n = in_common(path, r->path);
            if (n > most) best = r, most = n;
        }
    return best;
}

const struct route *server_route(const struct server *s, const struct exchange *x, struct near *near)
{
    const struct route *found = in_table(s->o.routes, x, near);
    for (size_t t = 0; !found && t < N_TABLE; t++) found = in_table(table[t], x, near);
    near->route = found ? NULL : nearest(x->uri.path);
    return found;
}

struct server_limits server_limits(struct server *s)
{
    lock_take(&s->config);
    struct server_limits l = s->limits;
    lock_give(&s->config);
    return l;
}

int server_admit(struct exchange *x, const struct guard_request *g, const char *key, char *why, size_t n)
{
    struct server *s = x->s;
    int status = guard_check(&s->guard, g, why, n);
    if (status) return status;
    if (guard_lists(&s->guard, g->origin)) x->origin = arena_strdup(&x->arena, g->origin, strlen(g->origin));
    if (!s->asks_keys || g->local || !x->route || x->route->role == ROLE_NONE) return 0;
    enum role role = ROLE_NONE;
    lock_take(&s->config);
    const struct key *k = key ? keys_find(&s->keys, key) : NULL;
    if (k) {
        role = k->role;
        x->user = arena_strdup(&x->arena, k->name, strlen(k->name));
    }
    lock_give(&s->config);
    if (!k || !x->user) {
        x->user = "";
        exchange_set_header(x, "WWW-Authenticate", "Bearer");
        fmt_into(why, n, key ? "this API key is not known here" : "an API key is needed: Authorization: Bearer KEY");
        return 401;
    }
    if (role >= x->route->role) return 0;
    fmt_into(why, n, "the key %s may not do this; it needs the role manage", x->user);
    return 403;
}

/* ---- the log ---- */

static void put_record(struct server *s, void (*fill)(struct record *r, const void *arg), const char *level, const char *word,
                       const void *arg)
{
    size_t n;
    if (!s->o.log) return;
    lock_take(&s->records);
    record_begin(&s->record, s->o.log_json, level, word);
    fill(&s->record, arg);
    const char *line = record_end(&s->record, &n);
    if (n) s->o.log(s->o.log_arg, line, n);
    lock_give(&s->records);
}

static void fill_request(struct record *r, const void *arg)
{
    const struct exchange *x = arg;
    record_str(r, "id", x->id);
    record_str(r, "method", x->method);
    record_str(r, "path", x->uri.path);
    record_int(r, "status", x->status);
    record_ms(r, "ms", os_now_ns() - x->began);
    record_str(r, "user", x->user);
    record_int(r, "sent", (int64_t)x->sent);
    if (x->model[0]) {
        record_str(r, "model", x->model);
        record_ms(r, "wait_ms", x->given > x->submitted ? x->given - x->submitted : 0);
        if (x->first_at) record_ms(r, "first_ms", x->first_at - x->began);
        record_int(r, "prompt", (int64_t)x->n_prompt);
        record_int(r, "cached", (int64_t)x->n_cached);
        record_int(r, "answer", (int64_t)x->n_answer);
        record_str(r, "reason", x->reason);
    }
    if (x->gone) record_str(r, "client", "gone");
}

void server_record(const struct exchange *x)
{
    if (!x->method) return;
    atomic_fetch_add(&x->s->metrics.status[x->status / 100 < 6 ? x->status / 100 : 5], 1);
    atomic_fetch_add(&x->s->metrics.sent, x->sent);
    atomic_fetch_add(&x->s->metrics.received, x->body_bytes);
    bool noise = x->route && x->route->role == ROLE_NONE && x->status < 400;       /* probes ask every second */
    if (!noise) put_record(x->s, fill_request, x->status >= 500 ? "error" : x->status >= 400 ? "warn" : "info", "request", x);
}

static void fill_note(struct record *r, const void *arg) { record_str(r, "text", arg); }

void server_note(struct server *s, const char *level, const char *word, const char *text)
{
    put_record(s, fill_note, level, word, text);
}

struct trace { const struct exchange *x; const struct json *job; };
static void fill_trace(struct record *r, const void *arg)
{
    const struct trace *t = arg;
    struct json *safe = t->x->s->o.trace_text ? json_share(t->job) : record_redact(t->job);
    record_str(r, "id", t->x->id);
    record_json(r, "job", safe);
    json_free(safe);
}

void server_trace(struct exchange *x, const struct json *job)
{
    struct trace t = { x, job };
    if (x->s->o.trace || x->s->o.trace_text) put_record(x->s, fill_trace, "trace", "job", &t);
}

/* ---- opening ---- */

static const char *keep(struct server *s, const char *text, bool *ok)
{
    const char *copy = text ? arena_strdup(&s->arena, text, strlen(text)) : NULL;
    if (text && !copy) *ok = false;
    return copy;
}

static int keep_options(struct server *s, const struct server_options *o, struct err *err)
{
    bool ok = true;
    s->o = *o;
    for (size_t i = 0; i < SERVER_MAX_LISTEN; i++) s->o.listen[i] = keep(s, o->listen[i], &ok);
    for (size_t i = 0; i < SERVER_MAX_NAMES; i++) {
        s->o.host_name[i] = keep(s, o->host_name[i], &ok);
        s->o.origin[i] = keep(s, o->origin[i], &ok);
    }
    s->o.key_file = keep(s, o->key_file, &ok);
    s->o.tls_cert = keep(s, o->tls_cert, &ok);
    s->o.tls_key = keep(s, o->tls_key, &ok);
    s->o.model = keep(s, o->model, &ok);
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory for the server's options");
}

static void fill_limits(struct server_limits *l)
{
    static const struct server_limits usual = {
        .body_bytes = 32 << 20, .upload_bytes = (uint64_t)1 << 40, .connections = 4096, .running = 64, .queued = 1024,
        .header_ms = 10000, .body_ms = 30000, .idle_ms = 60000, .write_ms = 30000, .ping_ms = 30000,
        .stream_bytes = 1 << 20,
    };
    if (!l->body_bytes) l->body_bytes = usual.body_bytes;
    if (!l->upload_bytes) l->upload_bytes = usual.upload_bytes;
    if (!l->connections) l->connections = usual.connections;
    if (!l->running) l->running = usual.running;
    if (!l->queued) l->queued = usual.queued;
    if (!l->header_ms) l->header_ms = usual.header_ms;
    if (!l->body_ms) l->body_ms = usual.body_ms;
    if (!l->idle_ms) l->idle_ms = usual.idle_ms;
    if (!l->write_ms) l->write_ms = usual.write_ms;
    if (!l->ping_ms) l->ping_ms = usual.ping_ms;
    if (!l->stream_bytes) l->stream_bytes = usual.stream_bytes;
}

static void allow_name(struct guard *g, const char *name)
{
    if (name && g->n_names < GUARD_MAX) g->name[g->n_names++] = name;
}

static int listen_on(struct server *s, const char *text, struct err *err)
{
    struct listener *l = &s->listen[s->n_listen];
    struct uri_listen at;
    int rc = uri_listen(&at, text, DEFAULT_PORT, err);
    if (rc < 0) return rc;
    rc = at.local ? net_listen_unix(&l->net, at.host, err) : net_listen(&l->net, at.host, at.port, err);
    if (rc < 0) return rc;
    s->n_listen++;
    l->s = s;
    l->tls = s->tls_cert && !at.local;
    if (at.local) {
        fmt_into(l->path, sizeof l->path, "%s", at.host);
        fmt_into(l->url, sizeof l->url, "unix:%s", at.host);
    } else {
        bool six = strchr(at.host, ':') != NULL;
        const char *scheme = l->tls ? "https" : "http";
        fmt_into(l->url, sizeof l->url, six ? "%s://[%s]:%u" : "%s://%s:%u", scheme, at.host, l->net.port);
        s->guard.port[s->guard.n_ports++] = l->net.port;
        /* A page cannot rebind a number. */
        const char *host = strchr(l->url, '/') + 2;
        bool all = !strcmp(at.host, "0.0.0.0") || !strcmp(at.host, "::");
        if (!all) allow_name(&s->guard, arena_strdup(&s->arena, host, strlen(host)));
    }
    if (l->net.loopback || s->o.key_file || s->o.insecure_no_key) return 0;
    return err_set(err, ERR_ARG, "%s can be reached by other machines, so it needs keys: make one with `hearth key new`, and "
                   "give --key-file (or --insecure-no-key, which lets everybody in)", l->url);
}

static int read_secrets(struct server *s, struct err *err)
{
    size_t n;
    int rc = 0;
    if (s->o.key_file && (rc = keys_read(&s->keys, s->o.key_file, err)) < 0) return rc;
    if (s->o.key_file && !s->keys.n) return err_set(err, ERR_ARG, "%s: there is no key in it", s->o.key_file);
    s->asks_keys = s->o.key_file != NULL;
    if (!s->o.tls_cert != !s->o.tls_key) return err_set(err, ERR_ARG, "TLS needs both a certificate and its key");
    if (!s->o.tls_cert) return 0;
    rc = os_read_file(s->o.tls_cert, MAX_PEM, &s->tls_cert, &n, err);
    return rc < 0 ? rc : os_read_file(s->o.tls_key, MAX_PEM, &s->tls_key, &n, err);
}

static int start(struct server *s, struct err *err)
{
    int rc = read_secrets(s, err);
    if (rc == 0) rc = net_wake_open(&s->wake, err);
    if (rc == 0) rc = store_open(&s->store, err);
    if (rc < 0) return rc;
    s->store_open = true;
    for (size_t i = 0; i < SERVER_MAX_NAMES; i++) {
        allow_name(&s->guard, s->o.host_name[i]);
        if (s->o.origin[i]) s->guard.origin[s->guard.n_origins++] = s->o.origin[i];
    }
    s->guard.any_type = s->o.any_content_type;
    if (!s->o.listen[0]) s->o.listen[0] = "127.0.0.1";
    for (size_t i = 0; rc == 0 && i < SERVER_MAX_LISTEN && s->o.listen[i]; i++) rc = listen_on(s, s->o.listen[i], err);
    if (rc == 0) rc = os_thread_start(&s->watcher, http_watch, s, err);
    for (size_t i = 0; rc == 0 && i < s->n_listen; i++) rc = http_start(s, &s->listen[i], err);
    if (rc == 0) atomic_store(&s->life, LIFE_READY);
    return rc;
}

static void on_pull(void *arg, const struct api_pull_info *i)
{
    struct server *s = arg;
    if (i->state == PULL_DONE) server_models_changed(s);
    feed_pull(&s->feed, i);
}

static void on_model(void *arg, const struct json *event) { feed_model(&((struct server *)arg)->feed, event); }

/* What the dialects need. */
static int make_parts(struct server *s, struct err *err)
{
    s->answers = api_state_new(MAX_ANSWERS, MAX_ANSWER_BYTES);
    s->works = api_works_new();
    s->pulls = api_pulls_new(s->works);
    if (!s->answers || !s->works || !s->pulls) return err_set(err, ERR_NOMEM, "out of memory for the server");
    api_pulls_tell(s->pulls, on_pull, s);
    link_watch(s->link, on_model, s);
    return 0;
}

int server_open(struct server **out, const struct server_options *o, struct link *l, struct err *err)
{
    *out = NULL;
    struct server *s = mem_new(1, sizeof *s);
    if (!s) return err_set(err, ERR_NOMEM, "out of memory for the server");
    s->link = l;
    for (size_t i = 0; i < SERVER_MAX_LISTEN; i++) s->listen[i].net.fd = -1;
    int rc = keep_options(s, o, err);
    s->limits = o->limits;
    fill_limits(&s->limits);
    admit_limits(&s->admit, s->limits.running, s->limits.queued, s->limits.per_key);
    if (rc == 0) rc = make_parts(s, err);
    if (rc == 0) rc = start(s, err);
    if (rc < 0) server_close(s);
    else *out = s;
    return rc;
}

int server_check(const struct server_options *o, struct err *err)
{
    struct uri_listen at;
    struct keys k = { 0 };
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < SERVER_MAX_LISTEN && o->listen[i]; i++) rc = uri_listen(&at, o->listen[i], DEFAULT_PORT,
                                                                                              err);
    if (rc == 0 && o->key_file) rc = keys_read(&k, o->key_file, err);
    keys_release(&k);
    return rc;
}

/* ---- its own model ---- */

static void on_loaded(void *arg, const struct json *event, bool last)
{
    struct server *s = arg;
    const char *name = json_str(json_get(event, "event"), NULL), *message = json_str(json_get(event, "message"), NULL);
    if (!last) return;
    bool bad = name && !strcmp(name, "error");
    server_note(s, bad ? "error" : "info", "load", bad ? message : "the model is loaded");
    atomic_store(&s->loading, false);
}

int server_preload(struct server *s, struct err *err)
{
    struct server_model m;
    struct json *job = json_new_object();
    uint64_t id;
    bool ok = json_put(job, "op", json_new_str("load", 4)) && json_put(job, "pin", json_new_bool(true));
    int rc = ok ? server_put_model(s, NULL, &m, job, err) : err_set(err, ERR_NOMEM, "out of memory");
    if (rc < 0) {
        json_free(job);
        return rc;
    }
    atomic_store(&s->loading, true);
    rc = link_submit(s->link, job, on_loaded, s, &id, err);
    if (rc < 0) atomic_store(&s->loading, false);
    return rc;
}

/* ---- closing ---- */

/* Every exchange that has a connection is left; those that begin now see that it closes.  stop: only its job is cancelled, so
 * that its client hears of it. */
static void leave_all(struct server *s, bool stop)
{
    struct exchange *some[64];
    size_t n;
    do {
        n = 0;
        lock_take(&s->conns.lock);
        for (struct conn *c = s->conns.first; c && n < sizeof some / sizeof *some; c = c->next) {
            if (!c->x) continue;
            lock_take(&c->x->lock);
            bool stays = stop ? c->x->live && !c->x->stopped : !c->x->gone;
            if (stop) c->x->stopped = true;
            lock_give(&c->x->lock);
            if (!stays) continue;
            exchange_share(c->x);
            some[n++] = c->x;
        }
        lock_give(&s->conns.lock);
        for (size_t i = 0; i < n; i++) {
            if (stop) jobs_stop(some[i]);
            else exchange_leave(some[i]);
            exchange_free(some[i]);
        }
    } while (n);
}

void server_drain(struct server *s, uint32_t timeout_ms, bool (*hurry)(void))
{
    uint64_t end = os_now_ns() + (uint64_t)timeout_ms * 1000000;
    int ready = LIFE_READY;
    atomic_compare_exchange_strong(&s->life, &ready, LIFE_DRAINING);
    for (size_t i = 0; i < s->n_listen; i++) http_quiet(&s->listen[i]);
    feed_stop(&s->feed);
    while (atomic_load(&s->n_exchanges) && os_now_ns() < end && !(hurry && hurry())) fs_sleep_ms(5);
    if (!atomic_load(&s->n_exchanges)) return;
    end = os_now_ns() + LAST_WORDS_NS;
    leave_all(s, true);
    replays_stop(&s->replays);
    while (atomic_load(&s->n_exchanges) && os_now_ns() < end) fs_sleep_ms(5);
}

void server_close(struct server *s)
{
    if (!s) return;
    atomic_store(&s->life, LIFE_CLOSING);
    if (s->works) api_works_stop(s->works);
    link_watch(s->link, NULL, NULL);
    feed_stop(&s->feed);
    leave_all(s, false);
    replays_stop(&s->replays);
    for (size_t i = 0; i < s->n_listen; i++) http_stop(&s->listen[i]);
    for (size_t i = 0; i < s->n_listen; i++)
        if (s->listen[i].net.local) os_file_remove(s->listen[i].path);
    atomic_store(&s->stop, true);
    if (s->watcher) {
        net_wake(&s->wake);
        os_thread_join(s->watcher);
    }
    /* Jobs that were cancelled get their last event; an engine that does not give it is waited for no longer. */
    for (uint64_t end = os_now_ns() + ENGINE_NS; atomic_load(&s->n_exchanges) || atomic_load(&s->loading); fs_sleep_ms(1))
        if (os_now_ns() >= end) link_abandon(s->link);
    net_wake_close(&s->wake);
    keys_release(&s->keys);
    api_works_free(s->works);
    api_pulls_free(s->pulls);
    api_state_free(s->answers);
    if (s->store_open) {
        server_models_changed(s);
        store_close(&s->store);
    }
    for (size_t i = 0; i < SCALES_KNOWN; i++) mem_free(s->scales[i]);
    mem_free(s->tls_cert);
    mem_free(s->tls_key);
    replays_free(&s->replays);
    feed_free(&s->feed);
    record_release(&s->record);
    arena_release(&s->arena);
    mem_free(s);
}

int server_reload(struct server *s, const struct server_limits *limits, struct err *err)
{
    struct keys fresh = { 0 }, old = { 0 };
    if (s->o.key_file) {
        int rc = keys_read(&fresh, s->o.key_file, err);
        if (rc == 0 && !fresh.n) rc = err_set(err, ERR_ARG, "%s: there is no key in it", s->o.key_file);
        if (rc < 0) {
            keys_release(&fresh);
            return rc;
        }
    }
    lock_take(&s->config);
    old = s->keys;
    s->keys = fresh;
    if (limits) s->limits = *limits;
    fill_limits(&s->limits);
    struct server_limits l = s->limits;
    lock_give(&s->config);
    keys_release(&old);
    admit_limits(&s->admit, l.running, l.queued, l.per_key);
    jobs_next(s);
    return 0;
}

const char *server_url(const struct server *s, size_t i) { return i < s->n_listen ? s->listen[i].url : NULL; }
uint32_t server_places(struct server *s) { return server_limits(s).running; }
struct link *server_link(struct server *s) { return s->link; }
const struct server_options *server_options(const struct server *s) { return &s->o; }
struct api_state *server_answers(struct server *s) { return s->answers; }
struct feed *server_feed(struct server *s) { return &s->feed; }
struct api_works *server_works(struct server *s) { return s->works; }
struct api_pulls *server_pulls(struct server *s) { return s->pulls; }
