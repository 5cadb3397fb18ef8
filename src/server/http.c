/* http.c - the only user of libmicrohttpd: connections, and the bytes of requests and answers.
 *
 * A few threads with epoll (or poll) serve all connections of an address.  A request whose answer is not there yet is suspended
 * (nothing is asked of its socket) and resumed when there is something to send; a watcher looks whether the other side of those
 * is still there, and closes what takes too long. */
#include "server/http_impl.h"

#include <microhttpd.h>
#include <string.h>

#include "base/mem.h"

/* A head must fit into the buffer of its connection, which the library keeps while that is idle: most of what such a one costs.
 * Where very many connections are allowed, each has less. */
enum { BUFFERS = 64 << 20, BUFFER_MOST = 16 << 10, BUFFER_LEAST = 7 << 10 };
enum { SMALL_ANSWER = 64 << 10, TICK_MS = 40, REST_MS = 500, BODIES = 16, JSON_MOST = 1 << 20 };

/* ---- connections ---- */

static void on_connection(void *cls, struct MHD_Connection *m, void **ctx, enum MHD_ConnectionNotificationCode what)
{
    struct server *s = ((struct listener *)cls)->s;
    struct conn *c = *ctx;
    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(m, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (!(c = mem_new(1, sizeof *c))) return;             /* its requests will be refused */
        *c = (struct conn){ .fd = info ? info->connect_fd : -1, .fresh = true, .since = os_now_ns() };
        lock_take(&s->conns.lock);
        c->next = s->conns.first;
        if (c->next) c->next->prev = c;
        s->conns.first = c;
        s->conns.n++;
        lock_give(&s->conns.lock);
        *ctx = c;
        return;
    }
    if (!c) return;
    lock_take(&s->conns.lock);
    *(c->prev ? &c->prev->next : &s->conns.first) = c->next;
    if (c->next) c->next->prev = c->prev;
    s->conns.n--;
    lock_give(&s->conns.lock);
    mem_free(c);
    *ctx = NULL;
}

/* The line of a request has been read: here it begins, for us and for those who count. */
static void *on_line(void *cls, const char *raw, struct MHD_Connection *m)
{
    (void)m;
    return exchange_new(cls, raw);
}

static void on_completed(void *cls, struct MHD_Connection *m, void **ctx, enum MHD_RequestTerminationCode why)
{
    struct server *s = ((struct listener *)cls)->s;
    struct exchange *x = *ctx;
    (void)m;
    if (!x) return;
    *ctx = NULL;
    if (x->conn) {
        lock_take(&s->conns.lock);
        x->conn->x = NULL;
        x->conn->since = os_now_ns();
        s->conns.n_busy--;
        lock_give(&s->conns.lock);
    }
    lock_take(&x->lock);
    x->mhd = NULL;
    x->over = x->drop = true;
    bool left = why != MHD_REQUEST_TERMINATED_COMPLETED_OK || x->live;
    lock_give(&x->lock);
    if (left) exchange_leave(x);
    exchange_free(x);
}

void http_resume(struct exchange *x)
{
    x->suspended = false;
    MHD_resume_connection(x->mhd);
}

/* ---- the watcher ---- */

static uint64_t ms(uint32_t v) { return (uint64_t)v * 1000000; }

/* Whether the client takes nothing though something waits for it.  What its system has taken counts, however little it is, not
 * what ours keeps for it; where that is not known, what the library has taken.  It is asked in steps: that it is not found out a
 * step too late, the time is shorter by some. */
static bool takes_nothing(struct exchange *x, int fd, uint64_t most, uint64_t now)
{
    enum { STEPS = 64 };
    const uint64_t step = most / STEPS;
    uint64_t acked;
    bool waits;
    if (x->looked_at && elapsed(x->looked_at, now) < step) return false;
    x->looked_at = now;
    if (!net_unread(fd, &acked, &waits))
        return !x->suspended && (x->out.len > x->taken || x->ended) && elapsed(x->taken_at, now) > most;
    if (!waits || !x->moved_at || acked != x->acked) x->moved_at = now;
    x->acked = acked;
    return elapsed(x->moved_at, now) > most - 3 * step;
}

/* Whether this connection has used up its time: for a head, a body (a byte in a millisecond is enough), or to take an answer. */
static bool too_slow(const struct conn *c, const struct server_limits *l, uint64_t now)
{
    struct exchange *x = c->x;
    if (!x) return elapsed(c->since, now) > ms(c->fresh ? l->header_ms : l->idle_ms);
    lock_take(&x->lock);
    bool slow = x->gone;                                      /* what is left for it may never be taken */
    if (x->phase == PHASE_BODY) slow = elapsed(x->began, now) > ms(l->body_ms) + x->body_bytes * 1000000;
    else if (x->answer != ANSWER_NONE) slow = slow || takes_nothing(x, c->fd, ms(l->write_ms), now);
    lock_give(&x->lock);
    return slow;
}

enum { PINGS = 64 };
struct look { struct exchange *x[512], *ping[PINGS]; int fd[512]; bool gone[512]; size_t n, n_ping; };

/* Those of a batch whose client has gone stay in it, shared. */
static void look_at(struct look *k)
{
    size_t n = 0;
    net_gone(k->fd, k->gone, k->n);
    for (size_t i = 0; i < k->n; i++)
        if (k->gone[i]) {
            exchange_share(k->x[i]);
            k->x[n++] = k->x[i];
        }
    k->n = n;
}

/* From *at on (NULL: the first), as many as fit; *at is good only while the lock is held, so a full batch begins anew later. */
static void look_around(struct server *s, const struct server_limits *l, struct look *k)
{
    uint64_t now = os_now_ns();
    k->n = k->n_ping = 0;
    lock_take(&s->conns.lock);
    struct conn *c = s->conns.first;
    for (; c; c = c->next) {
        if (!c->closed && too_slow(c, l, now)) {
            c->closed = true;
            net_shutdown(c->fd);
        }
        if (!c->x) continue;
        lock_take(&c->x->lock);
        bool waits = c->x->suspended && !c->x->gone, silent = exchange_silent(c->x, now, ms(l->ping_ms));
        lock_give(&c->x->lock);
        if (silent && k->n_ping < PINGS) {
            exchange_share(c->x);
            k->ping[k->n_ping++] = c->x;
        }
        if (!waits) continue;
        k->x[k->n] = c->x;
        k->fd[k->n++] = c->fd;
        if (k->n < sizeof k->fd / sizeof *k->fd) continue;
        look_at(k);
        if (k->n) break;
    }
    if (!c) look_at(k);
    lock_give(&s->conns.lock);
}

void http_watch(void *server)
{
    struct server *s = server;
    struct look k;
    while (!atomic_load(&s->stop)) {
        struct server_limits l = server_limits(s);
        look_around(s, &l, &k);
        for (size_t i = 0; i < k.n; i++) {
            exchange_leave(k.x[i]);
            exchange_free(k.x[i]);
        }
        for (size_t i = 0; i < k.n_ping; i++) {
            exchange_ping(k.ping[i]);
            exchange_free(k.ping[i]);
        }
        jobs_late(s, os_now_ns());
        replays_look(&s->replays, os_now_ns());
        feed_look(&s->feed, os_now_ns());
        atomic_store(&s->rests, true);                        /* before looking: who begins now sees it, or is seen */
        lock_take(&s->conns.lock);
        bool busy = s->conns.n_busy != 0;
        lock_give(&s->conns.lock);
        if (busy) atomic_store(&s->rests, false);
        net_wait(&s->wake, busy ? TICK_MS : REST_MS);
        atomic_store(&s->rests, false);
    }
}

/* ---- the head of a request ---- */

const char *exchange_header(const struct exchange *x, const char *name)
{
    return x->mhd ? MHD_lookup_connection_value(x->mhd, MHD_HEADER_KIND, name) : NULL;
}

struct framing { unsigned n_length, n_coding, n_host; bool odd; };

static enum MHD_Result count_field(void *arg, enum MHD_ValueKind kind, const char *key, const char *value)
{
    struct framing *f = arg;
    (void)kind;
    if (name_equal(key, "Content-Length")) {
        f->n_length++;
        f->odd |= !value || !*value || strlen(value) > 18 || value[strspn(value, "0123456789")];
    } else if (name_equal(key, "Transfer-Encoding")) {
        f->n_coding++;
        f->odd |= !value || !name_equal(value, "chunked");
    } else if (name_equal(key, "Host"))
        f->n_host++;
    for (const char *c = key; *c; c++)                        /* "Content-Length : 5" and the like */
        f->odd |= (unsigned char)*c <= 0x20 || (unsigned char)*c >= 0x7f;
    return MHD_YES;
}

/* What two servers in a row could read as two different requests. */
static bool ambiguous(struct exchange *x, const char *version)
{
    struct framing f = { 0 };
    MHD_get_connection_values(x->mhd, MHD_HEADER_KIND, count_field, &f);
    return f.odd || f.n_length + f.n_coding > 1 || f.n_host > 1 || (!f.n_host && !strcmp(version, "HTTP/1.1")) ||
           (f.n_coding && strcmp(version, "HTTP/1.1"));
}

static const char *key_of(const struct exchange *x)
{
    const char *auth = exchange_header(x, "Authorization"), *key = exchange_header(x, "X-Api-Key");
    char scheme[8] = "";
    if (auth) fmt_into(scheme, sizeof scheme, "%.7s", auth);
    if (!name_equal(scheme, "Bearer ")) return key;
    return auth + 7 + strspn(auth + 7, " ");
}

static uint64_t number(const char *s)
{
    uint64_t v = 0;
    for (; s && *s >= '0' && *s <= '9'; s++) v = v * 10 + (uint64_t)(*s - '0');
    return v;
}

static void preflight(struct exchange *x)
{
    const char *wanted = exchange_header(x, "Access-Control-Request-Headers");
    exchange_set_header(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE, OPTIONS");
    if (!wanted || strlen(wanted) > 1000) wanted = "Authorization, Content-Type";
    exchange_set_header(x, "Access-Control-Allow-Headers", wanted);
    exchange_set_header(x, "Access-Control-Max-Age", "600");
    exchange_text(x, 204, "text/plain", "", 0);
}

static void other_method(struct exchange *x, const char *methods)
{
    exchange_set_header(x, "Allow", methods);
    if (strcmp(x->method, "OPTIONS")) exchange_fail(x, 405, "method", "this path does not take that method");
    else exchange_text(x, 204, "text/plain", "", 0);
}

static void take_id(struct exchange *x)
{
    const char *conversation = exchange_header(x, "X-Conversation-Id");
    if (conversation) x->conversation = arena_strdup(&x->arena, conversation, strlen(conversation));
    const char *id = exchange_header(x, "X-Request-Id");
    if (!id || !*id || strlen(id) > X_ID) return;
    if (id[strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")]) return;
    fmt_into(x->id, sizeof x->id, "%s", id);
}

/* Answers when it may not go on. */
static void check_head(struct exchange *x, const char *version)
{
    struct err e = { 0 };
    struct server_limits l = server_limits(x->s);
    const char *length = exchange_header(x, "Content-Length");
    const char *packed = exchange_header(x, "Content-Encoding");
    struct near near = { 0 };
    bool coded = exchange_header(x, "Transfer-Encoding") != NULL;
    char why[400];
    x->expects = number(length);
    x->stream_bytes = l.stream_bytes;
    if (ambiguous(x, version)) {
        exchange_fail(x, 400, "invalid", "the header fields Host, Content-Length and Transfer-Encoding do not say one thing");
        return;
    }
    if (!x->raw || uri_parse(&x->uri, &x->arena, x->raw, &e) < 0) {
        exchange_fail(x, 400, "invalid", x->raw ? e.msg : "out of memory");
        return;
    }
    x->route = server_route(x->s, x, &near);
    x->near = near.route;
    bool json = x->route && x->route->body == BODY_JSON && (coded || x->expects);
    struct guard_request g = { exchange_header(x, "Host"), exchange_header(x, "Origin"), exchange_header(x, "Sec-Fetch-Site"),
                               exchange_header(x, "Content-Type"), json, x->at->net.local, x->at->tls };
    int status = server_admit(x, &g, key_of(x), why, sizeof why);
    uint64_t limit = x->route && x->route->body == BODY_RAW ? l.upload_bytes : l.body_bytes;
    if (status) exchange_fail(x, status, status == 401 ? "auth" : status == 403 ? "forbidden" : "invalid", why);
    else if (!x->route && x->origin && !strcmp(x->method, "OPTIONS")) preflight(x);
    else if (!x->route && near.methods[0]) other_method(x, near.methods);
    else if (!x->route) exchange_fail(x, 404, "unknown_url", "there is nothing at this path");
    else if (x->expects > limit) {
        fmt_into(why, sizeof why, "the body has %llu bytes; at most %llu are taken", (unsigned long long)x->expects,
                 (unsigned long long)limit);
        exchange_fail(x, 413, "too_large", why);
    } else if (json && packed && !name_equal(packed, "identity")) {
        fmt_into(why, sizeof why, "a body with the Content-Encoding \"%.40s\" is not taken; send it as it is", packed);
        exchange_fail(x, 415, "invalid", why);
    } else if (atomic_load(&x->s->life) >= LIFE_DRAINING && x->route->role != ROLE_NONE)
        exchange_fail(x, 503, "draining", "the server is shutting down");
}

/* ---- the answer ---- */

static ssize_t read_answer(void *cls, uint64_t at, char *dst, size_t max)
{
    struct exchange *x = cls;
    (void)at;
    lock_take(&x->lock);
    size_t n = x->out.len - x->taken;
    ssize_t rc = 0;
    if (x->gone || atomic_load(&x->s->life) == LIFE_CLOSING) rc = MHD_CONTENT_READER_END_WITH_ERROR;
    else if (n) {
        if (n > max) n = max;
        memcpy(dst, x->out.data + x->taken, n);
        x->taken += n;
        x->sent += n;
        x->taken_at = os_now_ns();
        rc = (ssize_t)n;
    } else if (x->ended) rc = MHD_CONTENT_READER_END_OF_STREAM;
    else {
        x->suspended = true;
        MHD_suspend_connection(x->mhd);
    }
    lock_give(&x->lock);
    return rc;
}

static void put_headers(struct exchange *x, struct MHD_Response *r)
{
    for (size_t i = 0; i < x->n_headers; i++) MHD_add_response_header(r, x->header[i].name, x->header[i].value);
    MHD_add_response_header(r, "X-Request-Id", x->id);
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    if (x->origin) {
        MHD_add_response_header(r, "Access-Control-Allow-Origin", x->origin);
        MHD_add_response_header(r, "Vary", "Origin");
    }
    if (x->early || atomic_load(&x->s->life) >= LIFE_DRAINING) MHD_add_response_header(r, "Connection", "close");
}

static enum MHD_Result send_answer(struct exchange *x)
{
    struct MHD_Response *r;
    lock_take(&x->lock);
    x->phase = PHASE_SENT;
    bool small = x->answer == ANSWER_WHOLE && x->out.len <= SMALL_ANSWER;
    char none[1], *text = x->out.data ? x->out.data : none;
    if (small) {
        r = MHD_create_response_from_buffer(x->out.len, text, MHD_RESPMEM_PERSISTENT);
        x->sent = x->taken = x->out.len;
    } else
        r = MHD_create_response_from_callback(x->answer == ANSWER_WHOLE ? x->out.len : MHD_SIZE_UNKNOWN, 16 << 10, read_answer, x,
                                              NULL);
    if (r) put_headers(x, r);
    unsigned status = (unsigned)x->status;
    lock_give(&x->lock);
    if (!r) return MHD_NO;
    enum MHD_Result rc = MHD_queue_response(x->mhd, status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Sends the answer, or waits for it. */
static enum MHD_Result answer(struct exchange *x)
{
    lock_take(&x->lock);
    bool gone = x->gone || atomic_load(&x->s->life) == LIFE_CLOSING;
    bool none = x->answer == ANSWER_NONE, works = x->live || x->held || x->ending;
    if (none && works && !gone) {
        x->suspended = true;
        MHD_suspend_connection(x->mhd);
    }
    lock_give(&x->lock);
    if (gone) return MHD_NO;
    if (none && works) {
        if (atomic_load(&x->s->rests)) net_wake(&x->s->wake);
        return MHD_YES;
    }
    if (none) exchange_fail(x, 500, "internal", "the request was left without an answer");
    return send_answer(x);
}

/* ---- the body ---- */

static enum MHD_Result take_body(struct exchange *x, const char *data, size_t *n)
{
    struct server_limits l = server_limits(x->s);
    uint64_t limit = x->route->body == BODY_RAW ? l.upload_bytes : l.body_bytes;
    size_t k = *n;
    *n = 0;
    lock_take(&x->lock);
    x->body_bytes += k;
    bool answered = x->answer != ANSWER_NONE;
    lock_give(&x->lock);
    if (x->body_bytes > limit) {
        if (!answered) exchange_fail(x, 413, "too_large", "the body is larger than this server takes");
        return x->body_bytes > limit + (1 << 20) ? MHD_NO : MHD_YES;      /* reads on a little, so that the answer arrives */
    }
    if (answered || x->route->body == BODY_NONE) return MHD_YES;
    if (x->route->body == BODY_RAW) {
        if (x->route->sink) x->route->sink(x, data, k);
        return MHD_YES;
    }
    size_t had = x->body.cap;
    buf_put(&x->body, data, k);
    uint64_t all = atomic_fetch_add(&x->s->body_total, x->body.cap - had) + (x->body.cap - had);
    if (x->body.bad || all > BODIES * l.body_bytes) exchange_fail(x, 503, "memory", "too many large requests at once; try again");
    return MHD_YES;
}

/* Values are there for as long as the request is, of those that wait too.  False: it has been answered. */
static bool may_make(void *arg, uint64_t bytes)
{
    struct exchange *x = arg;
    uint64_t limit = BODIES * server_limits(x->s).body_bytes, all = atomic_fetch_add(&x->s->body_total, bytes) + bytes;
    x->values = bytes;
    if (bytes > limit) exchange_fail(x, 413, "too_large", "the body would take more memory than this server has for bodies");
    else if (all > limit) exchange_fail(x, 503, "memory", "too many large requests at once; try again");
    return all <= limit;
}

static bool parse_body(struct exchange *x)
{
    struct err e = { 0 };
    int rc = json_parse_asking(&x->json, x->body.data, x->body.len, JSON_MOST, may_make, x, &e);
    if (rc < 0 && rc != ERR_CANCELLED) exchange_fail_err(x, &e);
    return rc == 0;
}

static enum MHD_Result run(struct exchange *x)
{
    lock_take(&x->lock);
    x->phase = PHASE_RUN;
    bool answered = x->answer != ANSWER_NONE;
    lock_give(&x->lock);
    if (!answered && x->route->body == BODY_JSON && x->body.len) answered = !parse_body(x);
    atomic_fetch_sub(&x->s->body_total, x->body.cap);
    buf_release(&x->body);
    if (!answered) x->route->handle(x);
    return answer(x);
}

static enum MHD_Result begin(struct exchange *x, struct MHD_Connection *m, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(m, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct conn *c = info ? info->socket_context : NULL;
    struct server *s = x->s;
    if (!c) return MHD_NO;
    x->mhd = m;
    x->conn = c;
    x->began = os_now_ns();
    x->method = arena_strdup(&x->arena, method, strlen(method));
    if (!x->method) x->method = "";
    take_id(x);
    lock_take(&s->conns.lock);
    c->x = x;
    c->fresh = false;
    s->conns.n_busy++;
    lock_give(&s->conns.lock);
    check_head(x, version);
    lock_take(&x->lock);
    x->early = x->answer != ANSWER_NONE;
    if (!x->early) x->phase = PHASE_BODY;
    lock_give(&x->lock);
    if (x->early) return send_answer(x);
    return MHD_YES;
}

/* As the library calls it. */
#define REQUEST void *cls, struct MHD_Connection *m, const char *url, const char *method, const char *version, const char *data, \
                size_t *n, void **ctx
static enum MHD_Result on_request(REQUEST)
{
    struct exchange *x = *ctx;
    (void)url;
    if (!x) return MHD_NO;
    switch (x->phase) {
    case PHASE_HEAD:
        x->at = cls;
        return begin(x, m, method, version);
    case PHASE_BODY:
        return *n ? take_body(x, data, n) : run(x);
    case PHASE_RUN:
        return answer(x);
    case PHASE_SENT:
        *n = 0;
        break;
    }
    return MHD_YES;
}

/* ---- the daemon ---- */

/* Paths are decoded by uri.c. */
static size_t as_it_is(void *cls, struct MHD_Connection *m, char *s)
{
    (void)cls, (void)m;
    return strlen(s);
}

/* What it says about connections that end is no news. */
static void quiet(void *cls, const char *fmt, va_list ap) { (void)cls, (void)fmt, (void)ap; }

int http_start(struct server *s, struct listener *l, struct err *err)
{
    struct server_limits limits = server_limits(s);
    unsigned threads = s->o.threads ? s->o.threads : os_cpu_count() < HTTP_THREADS ? os_cpu_count() : HTTP_THREADS;
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    if (l->net.local && !l->tls) threads = 1;
    struct MHD_OptionItem option[16];
    size_t n = 0, buffer = BUFFERS / limits.connections;
    buffer = buffer > BUFFER_MOST ? BUFFER_MOST : buffer < BUFFER_LEAST ? BUFFER_LEAST : buffer;
    if (threads > 1) option[n++] = (struct MHD_OptionItem){ MHD_OPTION_THREAD_POOL_SIZE, (intptr_t)threads, NULL };
    option[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_LIMIT, (intptr_t)limits.connections, NULL };
    option[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_TIMEOUT, (intptr_t)(limits.idle_ms + 999) / 1000 + 1, NULL };
    option[n++] = (struct MHD_OptionItem){ MHD_OPTION_CONNECTION_MEMORY_LIMIT, (intptr_t)buffer, NULL };
    option[n++] = (struct MHD_OptionItem){ MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL };
    option[n++] = (struct MHD_OptionItem){ MHD_OPTION_LISTEN_SOCKET, l->net.fd, NULL };
    if (l->tls) {
        flags |= MHD_USE_TLS;
        option[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_CERT, 0, s->tls_cert };
        option[n++] = (struct MHD_OptionItem){ MHD_OPTION_HTTPS_MEM_KEY, 0, s->tls_key };
    }
    option[n] = (struct MHD_OptionItem){ MHD_OPTION_END, 0, NULL };
    if (l->tls && MHD_is_feature_supported(MHD_FEATURE_TLS) != MHD_YES)
        return err_set(err, ERR_UNSUPPORTED, "this system's libmicrohttpd has no TLS");
    /* The logger comes first, so that nothing that the others say goes to standard error. */
    l->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, l, MHD_OPTION_EXTERNAL_LOGGER, quiet, NULL,
                                 MHD_OPTION_NOTIFY_CONNECTION, on_connection, l, MHD_OPTION_NOTIFY_COMPLETED, on_completed, l,
                                 MHD_OPTION_URI_LOG_CALLBACK, on_line, s, MHD_OPTION_UNESCAPE_CALLBACK, as_it_is, NULL,
                                 MHD_OPTION_ARRAY, option, MHD_OPTION_END);
    if (!l->daemon)
        return err_set(err, ERR_IO, "cannot serve %s%s", l->url,
                       l->tls ? ": is the certificate's file PEM, and the key its own?" : "");
    return 0;
}

void http_quiet(struct listener *l)
{
    if (!l->daemon || l->net.fd < 0) return;
    MHD_socket fd = MHD_quiesce_daemon(l->daemon);
    net_close(fd);
    l->net.fd = -1;
}

void http_stop(struct listener *l)
{
    if (l->daemon) MHD_stop_daemon(l->daemon);
    else net_close(l->net.fd);
    l->daemon = NULL;
    l->net.fd = -1;
}
