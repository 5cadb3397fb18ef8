/* server_test.c - the front over real sockets, with an engine that is none. */
#include "tests/served.h"

#include <ctype.h>
#include <time.h>

#include "base/mem.h"
#include "server/http_impl.h"

static _Atomic uint64_t sunk, gone_at, released;

static void pause_ms(int ms) { nanosleep(&(struct timespec){ 0, ms * 1000000L }, NULL); }

/* ---- routes of our own ---- */

static void error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct json *o = json_new_object();
    json_put(o, "kind", json_new_str(kind, strlen(kind)));
    json_put(o, "message", json_new_str(message, strlen(message)));
    if (exchange_started(x)) {
        exchange_sse(x, "error", o);
        json_free(o);
    } else
        exchange_json(x, status, o);
}

static void stream_event(struct exchange *x, const struct json *event, bool last)
{
    const char *name = json_str(json_get(event, "event"), NULL);
    if (!strcmp(name, "error")) {
        exchange_fail_event(x, event);
        return;
    }
    exchange_stream(x, "text/event-stream");
    exchange_sse(x, NULL, event);
    if (last) exchange_end(x);
}

static void whole_event(struct exchange *x, const struct json *event, bool last)
{
    struct buf *b = exchange_state(x);
    const char *text = json_str(json_get(event, "text"), NULL);
    if (text) buf_puts(b, text);
    const char *name = json_str(json_get(event, "event"), NULL);
    if (last && !strcmp(name, "done")) exchange_text(x, 200, "text/plain", b->data ? b->data : "", b->len);
}

static struct json *job_of(struct exchange *x)
{
    struct json *j = json_new_object();
    json_put(j, "op", json_new_str("generate", 8));
    const struct json *model = json_get(exchange_body(x), "model");
    if (model) json_put(j, "model", json_share(model));
    json_put(j, "options", json_share(exchange_body(x)));
    return j;
}

static void stream(struct exchange *x) { exchange_submit(x, job_of(x), stream_event); }

static void free_text(void *state)
{
    buf_release(state);
    mem_free(state);
    atomic_fetch_add(&released, 1);
}

static void whole(struct exchange *x)
{
    exchange_keep(x, mem_new(1, sizeof(struct buf)), free_text);
    exchange_submit(x, job_of(x), whole_event);
}

static void echo(struct exchange *x)
{
    struct buf b = { 0 };
    const char *id = exchange_param(x, "id"), *q = exchange_query(x, "q");
    buf_printf(&b, "id=%s q=%s user=%s", id ? id : "-", q ? q : "-", exchange_user(x));
    exchange_text(x, 200, "text/plain", b.data, b.len);
    buf_release(&b);
}

static bool sink(struct exchange *x, const char *bytes, size_t n)
{
    (void)x, (void)bytes;
    atomic_fetch_add(&sunk, n);
    return true;
}

static void sunk_all(struct exchange *x)
{
    char text[32];
    fmt_into(text, sizeof text, "%llu", (unsigned long long)atomic_load(&sunk));
    exchange_text(x, 201, "text/plain", text, strlen(text));
}

static void nothing(struct exchange *x) { (void)x; }

static void gone(struct exchange *x)
{
    (void)x;
    atomic_store(&gone_at, os_now_ns());
}

static struct os_thread *holder;
static void hold_on(void *arg)
{
    struct exchange *x = arg;
    while (!exchange_gone(x)) pause_ms(1);
    exchange_release(x);
}

static void hold(struct exchange *x)
{
    exchange_hold(x, gone);
    os_thread_start(&holder, hold_on, x, NULL);
}

static void large(struct exchange *x)
{
    size_t n = 3 << 20;
    char *text = mem_new(n, 1);
    memset(text, 'y', n);
    exchange_text(x, 200, "text/plain", text, n);
    mem_free(text);
}

static const struct route routes[] = {
    { "POST", "/t/stream", ROLE_INFER, BODY_JSON, stream, error, NULL, NULL },
    { "POST", "/t/whole", ROLE_INFER, BODY_JSON, whole, error, NULL, NULL },
    { "GET", "/t/echo", ROLE_INFER, BODY_NONE, echo, error, NULL, NULL },
    { "GET", "/t/echo/{id}", ROLE_INFER, BODY_NONE, echo, error, NULL, NULL },
    { "GET", "/t/rest/{id*}", ROLE_MANAGE, BODY_NONE, echo, error, NULL, NULL },
    { "POST", "/t/raw", ROLE_MANAGE, BODY_RAW, sunk_all, error, sink, NULL },
    { "POST", "/t/nothing", ROLE_INFER, BODY_JSON, nothing, error, NULL, NULL },
    { "POST", "/t/hold", ROLE_INFER, BODY_JSON, hold, error, NULL, NULL },
    { "GET", "/t/large", ROLE_INFER, BODY_NONE, large, error, NULL, NULL },
    { 0 },
};

static void open_with(struct server_options *o)
{
    o->routes = routes;
    served_open(o);
}

static int begin(void **unused)
{
    (void)unused;
    struct server_options o = { 0 };
    open_with(&o);
    return 0;
}

static char *get(const char *path) { return client_call(port, "GET", path, NULL, ""); }
static char *post(const char *path, const char *body) { return client_call(port, "POST", path, body, ""); }

static void wait_jobs(void)
{
    struct link_state l;
    for (int i = 0; i < 3000; i++) {
        link_state(fake, &l);
        if (!l.n_jobs) return;
        pause_ms(1);
    }
    fail_msg("%u jobs are still there", l.n_jobs);
}

/* ---- requests and answers ---- */

static void health_tells_states_apart(void **unused)
{
    (void)unused;
    client_expect(get("/health"), 200, "{\"status\":\"ok\"}");
    fake->ready = false;
    client_expect(get("/health"), 503, "\"loading\"");
    fake->ready = true;
    client_expect(client_call(port, "HEAD", "/health", NULL, ""), 200, "Content-Length: 15");
    client_expect(get("/v1/health/"), 200, NULL);
}

static void paths_and_queries(void **unused)
{
    (void)unused;
    client_expect(get("/t/echo"), 200, "id=- q=-");
    client_expect(get("/t/echo/a%2Fb%20c?q=x+y%26z&r"), 200, "id=a/b c q=x y&z");
    client_expect(get("/t/rest/hf.co/u/r:Q4"), 200, "id=hf.co/u/r:Q4");
    client_expect(get("/t/rest"), 404, NULL);
    client_expect(get("/t/echo/x/y"), 404, "not_found");
    client_expect(get("/nowhere"), 404, "there is nothing at this path");
    client_expect(post("/t/echo", "{}"), 405, "method");
    client_expect(get("/t/echo/%2e%2e"), 400, "malformed");
    client_expect(get("/t/echo/a%00b"), 400, "malformed");
    client_expect(get("/t/echo/%zz"), 400, NULL);
    client_expect(get("/t/echo/%ff"), 400, NULL);
    client_expect(get("//t/echo"), 400, "empty part");
}

static void whole_answers(void **unused)
{
    (void)unused;
    uint64_t before = atomic_load(&released);
    client_expect(post("/t/whole", "{\"max_tokens\":3}"), 200, "t0 t1 t2 ");
    assert_string_equal(fake->last_model, "embedded");
    client_expect(post("/t/whole", "{\"max_tokens\":1,\"ms\":20}"), 200, "t0 ");
    client_expect(post("/t/whole", "{\"max_tokens\":1,\"fail\":\"context\"}"), 400, "it was told to fail");
    client_expect(post("/t/whole", "{\"fail\":\"busy\"}"), 429, "Retry-After: 1");
    client_expect(post("/t/whole", "{\"fail\":\"engine\"}"), 503, "Retry-After: 1");
    client_expect(post("/t/nothing", "{}"), 500, "without an answer");
    char *large = get("/t/large");
    assert_int_equal(strlen(client_body(large)), 3 << 20);
    free(large);
    wait_jobs();
    for (int i = 0; i < 1000 && atomic_load(&released) != before + 5; i++) pause_ms(1);
    assert_int_equal(atomic_load(&released), before + 5);
}

static void streams_come_as_they_are_made(void **unused)
{
    (void)unused;
    char request[512];
    const char *body = "{\"max_tokens\":5,\"ms\":30}";
    int fd = client_open(port);
    snprintf(request, sizeof request, "POST /t/stream HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s", port, strlen(body), body);
    uint64_t began = os_now_ns();
    client_send(fd, request, strlen(request));
    char *first = client_read(fd, "t0 ", 3000, NULL);
    uint64_t at_first = os_now_ns() - began;
    char *rest = client_read(fd, "\r\n0\r\n\r\n", 3000, NULL);
    uint64_t at_end = os_now_ns() - began;
    assert_non_null(strstr(first, "Content-Type: text/event-stream"));
    assert_non_null(strstr(first, "X-Request-Id: req_"));
    assert_non_null(strstr(rest, "data: {\"event\":\"text\",\"i\":0,\"text\":\"t4 \"}\n\n"));
    assert_non_null(strstr(rest, "\"done\""));
    assert_true(at_end > 140000000 && at_first < 100000000);
    free(first);
    free(rest);
    /* The connection goes on. */
    client_send(fd, request, strlen(request));
    rest = client_read(fd, "\r\n0\r\n\r\n", 3000, NULL);
    assert_non_null(strstr(rest, "t4 "));
    free(rest);
    close(fd);
    client_expect(post("/t/stream", "{\"max_tokens\":2,\"fail\":\"engine\"}"), 200, "event: error\ndata: {\"kind\":\"engine\"");
    client_expect(post("/t/stream", "{\"max_tokens\":5000}"), 200, "t4999 ");
}

static void bodies(void **unused)
{
    (void)unused;
    client_expect(post("/t/whole", "{\"max_tokens\":"), 400, "JSON: line 1");
    client_expect(post("/t/whole", "{\"a\":1,\"a\":2}"), 400, "JSON");
    client_expect(client_ask(port, "POST /t/whole HTTP/1.1\r\nHost: localhost\r\n\r\n", 0), 403, "--host-name");
    char request[512];
    snprintf(request, sizeof request, "POST /t/whole HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
             "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n8\r\n{\"max_to\r\na\r\nkens\":  2}\r\n0\r\n\r\n", port);
    client_expect(client_ask(port, request, 0), 200, "t0 t1 ");
    snprintf(request, sizeof request, "POST /t/whole HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
             "Content-Length: 99999999999\r\n\r\n", port);
    client_expect(client_ask(port, request, 0), 413, "at most 33554432");
    snprintf(request, sizeof request, "POST /t/whole HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 2\r\nConnection: close\r\n"
             "\r\n{}", port);
    client_expect(client_ask(port, request, 0), 415, "application/json");
    size_t n = 5 << 20;
    char *raw = malloc(n + 512);
    int k = sprintf(raw, "POST /t/raw HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n",
                    port, n);
    memset(raw + k, 'z', n);
    client_expect(client_ask(port, raw, (size_t)k + n), 201, "5242880");
    free(raw);
}

static int start_stream(const char *path, const char *body)
{
    char request[512];
    int fd = client_open(port);
    snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
             "Content-Length: %zu\r\n\r\n%s", path, port, strlen(body), body);
    client_send(fd, request, strlen(request));
    return fd;
}

/* The watcher reads the clock before it looks at times that others set meanwhile. */
static void time_does_not_run_back(void **unused)
{
    (void)unused;
    assert_int_equal(elapsed(3, 5), 2);
    assert_int_equal(elapsed(5, 5), 0);
    assert_int_equal(elapsed(6, 5), 0);
}

/* ---- clients that go ---- */

static void a_client_that_goes_cancels_its_job(void **unused)
{
    (void)unused;
    static const char *const body[] = { "{\"silent\":true}", "{\"max_tokens\":1000000,\"ms\":5}",
                                        "{\"max_tokens\":1000000,\"ms\":60000}" };
    for (size_t how = 0; how < 3; how++)
        for (size_t i = 0; i < 3; i++) {
            uint64_t had = atomic_load(&fake->n_cancelled), submitted = atomic_load(&fake->n_submitted);
            int fd = start_stream("/t/stream", body[i]);
            while (atomic_load(&fake->n_submitted) == submitted) pause_ms(1);
            pause_ms(60);
            uint64_t left = os_now_ns();
            struct linger rst = { 1, 0 };
            if (how == 1) setsockopt(fd, SOL_SOCKET, SO_LINGER, &rst, sizeof rst);
            if (how == 2) shutdown(fd, SHUT_WR);
            else close(fd);
            for (int k = 0; k < 2000 && atomic_load(&fake->n_cancelled) == had; k++) pause_ms(1);
            if (atomic_load(&fake->n_cancelled) != had + 1) fail_msg("not cancelled: way %zu, body %zu", how, i);
            uint64_t took = atomic_load(&fake->cancelled_at) - left;
            if (took > 100000000) fail_msg("way %zu, body %zu: after %llu ms", how, i, (unsigned long long)took / 1000000);
            if (how == 2) close(fd);
            wait_jobs();
        }
}

static void a_client_that_does_not_read_is_cut_off(void **unused)
{
    (void)unused;
    uint64_t had = atomic_load(&fake->n_cancelled);
    int fd = start_stream("/t/stream", "{\"max_tokens\":10000,\"bytes\":100000}");
    for (int k = 0; k < 5000 && atomic_load(&fake->n_cancelled) == had; k++) pause_ms(1);
    assert_int_equal(atomic_load(&fake->n_cancelled), had + 1);
    close(fd);
    wait_jobs();
}

/* A request whose sender's system takes little that it does not read. */
static int ask_narrow(const char *method, const char *path, const char *body)
{
    char text[512];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), bytes = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    int n = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\n\r\n%s", method, path, port, strlen(body), body);
    assert_true(client_send(fd, text, (size_t)n));
    return fd;
}

/* The time runs from when the client took something last, not from when the system has no room for more. */
static void time_to_take_something(void **unused)
{
    (void)unused;
    struct err e;
    char piece[1000];
    uint64_t taken, begun = os_now_ns(), had = atomic_load(&fake->n_cancelled);
    bool waits;
    assert_int_equal(server_reload(server, &(struct server_limits){ .write_ms = 500 }, &e), 0);
    int fd = ask_narrow("POST", "/t/stream", "{\"max_tokens\":10000,\"bytes\":500,\"ms\":40}");
    if (!net_unread(fd, &taken, &waits)) {                     /* the system does not tell */
        close(fd);
        wait_jobs();
        server_reload(server, &(struct server_limits){ .write_ms = 0 }, &e);
        skip();
    }
    for (int k = 0; k < 15000 && atomic_load(&fake->n_cancelled) == had; k++) pause_ms(1);
    uint64_t after = os_now_ns() - begun;
    assert_int_equal(atomic_load(&fake->n_cancelled), had + 1);
    assert_true(after > UINT64_C(450000000) && after < UINT64_C(15000000000));
    close(fd);
    wait_jobs();
    /* Who takes a little now and then is served, however long that takes. */
    fd = ask_narrow("GET", "/t/large", "");
    size_t got = 0;
    for (begun = os_now_ns(); os_now_ns() - begun < UINT64_C(1300000000); pause_ms(20)) {
        ssize_t n = recv(fd, piece, sizeof piece, 0);
        if (n <= 0) fail_msg("closed after %zu bytes and %llu ms", got, (unsigned long long)(os_now_ns() - begun) / 1000000);
        got += (size_t)n;
    }
    close(fd);
    server_reload(server, &(struct server_limits){ .write_ms = 0 }, &e);
}

static void held_work_hears_of_it(void **unused)
{
    (void)unused;
    atomic_store(&gone_at, 0);
    int fd = start_stream("/t/hold", "{}");
    pause_ms(50);
    assert_int_equal(atomic_load(&gone_at), 0);
    uint64_t left = os_now_ns();
    close(fd);
    for (int k = 0; k < 2000 && !atomic_load(&gone_at); k++) pause_ms(1);
    assert_true(atomic_load(&gone_at) && atomic_load(&gone_at) - left < 100000000);
    os_thread_join(holder);
}

/* ---- streams that are taken up again ---- */

static char *body_of(char *answer)
{
    /* Chunks: a length in hexadecimal, the bytes, a line end. */
    char *body = calloc(strlen(answer) + 1, 1), *to = body;
    char *at = answer + (client_body(answer) - answer);
    for (unsigned long n; *at && (n = strtoul(at, &at, 16)) != 0 && at[0] && at[1]; at += n + 2) {
        at += 2;
        if (strlen(at) < n) n = strlen(at);
        memcpy(to, at, n);
        to += n;
        if (strlen(at) < n + 2) break;
    }
    free(answer);
    return body;
}

static int start_kept(const char *id, const char *body)
{
    char request[512];
    int fd = client_open(port);
    snprintf(request, sizeof request, "POST /t/stream HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\n"
             "X-Conversation-Id: %s\r\nContent-Length: %zu\r\n\r\n%s", port, id, strlen(body), body);
    client_send(fd, request, strlen(request));
    return fd;
}

static void a_broken_stream_goes_on(void **unused)
{
    (void)unused;
    uint64_t had = atomic_load(&fake->n_cancelled);
    int fd = start_kept("conv-1", "{\"max_tokens\":20,\"ms\":15}");
    char *first = client_read(fd, "t4 \"}\n\n", 3000, NULL);
    close(fd);
    assert_non_null(strstr(first, "id: 1\ndata: {\"event\":\"start\""));
    assert_non_null(strstr(first, "id: 6\ndata: {\"event\":\"text\",\"i\":0,\"text\":\"t4 \"}\n\n"));
    free(first);
    pause_ms(60);
    char *rest = body_of(client_call(port, "GET", "/v1/stream?conv_id=conv-1", NULL, "Last-Event-ID: 6\r\n"));
    assert_int_equal(strncmp(rest, "id: 7\ndata: {\"event\":\"text\",\"i\":0,\"text\":\"t5 \"}", 45), 0);
    for (int i = 5; i < 20; i++) {
        char part[32];
        snprintf(part, sizeof part, "\"t%d \"", i);
        assert_non_null(strstr(rest, part));
    }
    assert_non_null(strstr(rest, "id: 23\ndata: {\"event\":\"done\""));
    assert_int_equal(atomic_load(&fake->n_cancelled), had);
    /* It is kept after its end too; all of it, and what stands behind a byte. */
    char *all = body_of(client_call(port, "GET", "/v1/stream?conv_id=conv-1&from=0", NULL, ""));
    assert_non_null(strstr(all, rest));
    char path[64];
    snprintf(path, sizeof path, "/v1/stream?conv_id=conv-1&from=%zu", strlen(all) - 10);
    char *end_of = body_of(client_call(port, "GET", path, NULL, ""));
    assert_string_equal(end_of, all + strlen(all) - 10);
    snprintf(path, sizeof path, "/v1/stream?conv_id=conv-1&from=%zu", strlen(all) + 1);
    client_expect(client_call(port, "GET", path, NULL, ""), 410, NULL);
    client_expect(client_call(port, "GET", "/v1/stream?conv_id=conv-1", NULL, "Last-Event-ID: 24\r\n"), 410, NULL);
    client_expect(client_call(port, "GET", "/v1/stream?conv_id=conv-2", NULL, ""), 404, NULL);
    client_expect(post("/v1/streams/lookup", "{\"conv_ids\":[\"conv-1\",\"x\",3]}"), 200, "\"last_event_id\":23}]}");
    free(all);
    free(end_of);
    free(rest);
    wait_jobs();
}

static void kept_streams_end_when_asked(void **unused)
{
    (void)unused;
    int fd = start_kept("c", "{\"max_tokens\":100000,\"ms\":5}");
    free(client_read(fd, "t0 ", 3000, NULL));
    close(fd);
    char request[128];
    int reader = client_open(port);
    snprintf(request, sizeof request, "GET /v1/stream?conv_id=c HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", port);
    client_send(reader, request, strlen(request));
    free(client_read(reader, "t9 ", 3000, NULL));
    int second = client_open(port);
    client_send(second, request, strlen(request));
    free(client_read(second, "t9 ", 3000, NULL));
    close(second);
    assert_int_equal(atomic_load(&fake->n_cancelled), 0);
    client_expect(client_call(port, "DELETE", "/v1/stream?conv_id=c", NULL, ""), 200, "true");
    char *rest = client_read(reader, "0\r\n\r\n", 3000, NULL);
    assert_non_null(strstr(rest, "0\r\n\r\n"));
    free(rest);
    close(reader);
    assert_int_equal(atomic_load(&fake->n_cancelled), 1);
    wait_jobs();
    client_expect(client_call(port, "DELETE", "/v1/stream?conv_id=c", NULL, ""), 200, "true");
    client_expect(client_call(port, "DELETE", "/v1/stream?conv_id=c", NULL, ""), 404, NULL);
    /* One that goes on without anybody does not keep the server from closing. */
    fd = start_kept("d", "{\"max_tokens\":100000,\"ms\":5}");
    free(client_read(fd, "t0 ", 3000, NULL));
    close(fd);
    pause_ms(60);
    server_close(server);
    link_close(fake);
    struct server_options o = { 0 };
    open_with(&o);
}

static void it_describes_itself(void **unused)
{
    (void)unused;
    struct json *j;
    struct err e = { 0 };
    char *text = get("/openapi.json");
    assert_int_equal(client_status(text), 200);
    if (json_parse(&j, client_body(text), strlen(client_body(text)), &e) < 0) fail_msg("%s: %s", e.msg, text);
    const struct json *health = json_get(json_get(json_get(j, "paths"), "/health"), "get");
    assert_non_null(json_get(health, "summary"));
    assert_int_equal(json_len(json_get(health, "security")), 0);
    const struct json *lookup = json_get(json_get(json_get(j, "paths"), "/v1/streams/lookup"), "post");
    assert_int_equal(json_len(json_get(lookup, "security")), 1);
    assert_non_null(json_get(json_get(lookup, "requestBody"), "content"));
    json_free(j);
    free(text);
}

/* Every route, and no other. */
static void it_names_all_routes(void **unused)
{
    (void)unused;
    struct json *j, *methods;
    struct err e = { 0 };
    const char *tag, *key;
    const struct route *r;
    size_t in_tables = 0, told = 0;
    char *text = get("/openapi.json");
    assert_int_equal(json_parse(&j, client_body(text), strlen(client_body(text)), &e), 0);
    const struct json *paths = json_get(j, "paths");
    for (size_t i = 0; (r = server_table(i, &tag)) != NULL; i++)
        for (; r->path; r++, in_tables++) {
            char path[256], method[16], *star;
            snprintf(path, sizeof path, "%s", r->path);
            if ((star = strstr(path, "*}")) != NULL) memmove(star, star + 1, strlen(star));
            for (size_t k = 0; k <= strlen(r->method); k++) method[k] = (char)tolower((unsigned char)r->method[k]);
            if (!json_get(json_get(paths, path), method)) fail_msg("%s %s is not told of", r->method, r->path);
        }
    for (void *it = NULL; json_next(paths, &it, &key, &methods);) told += json_len(methods);
    if (told < 60) fail_msg("%zu routes", told);
    assert_int_equal(told, in_tables);
    json_free(j);
    free(text);
}

static void silence_is_broken(void **unused)
{
    (void)unused;
    struct err e;
    assert_int_equal(server_reload(server, &(struct server_limits){ .ping_ms = 50 }, &e), 0);
    char *got = body_of(post("/t/stream", "{\"max_tokens\":3,\"ms\":300}"));
    if (!strstr(got, "\n\n:\n\ndata: ")) fail_msg("%s", got);
    free(got);
    server_reload(server, &(struct server_limits){ .ping_ms = 0 }, &e);
    got = body_of(post("/t/stream", "{\"max_tokens\":3,\"ms\":300}"));
    if (strstr(got, "\n:\n")) fail_msg("%s", got);
    free(got);
}

/* What the engine says of a model's file, clients hear of its name. */
static void paths_stay_here(void **unused)
{
    (void)unused;
    char path[64] = "/tmp/hearth-served-XXXXXX.gguf";
    int fd = mkstemps(path, 5);
    assert_true(fd >= 0);
    close(fd);
    served_close(NULL);
    struct server_options o = { .model = path };
    open_with(&o);
    char *got = post("/t/whole", "{\"fail\":\"engine\"}");
    assert_string_equal(fake->last_model, path);
    assert_null(strstr(client_body(got), "/tmp"));
    path[strlen(path) - 5] = 0;
    if (!strstr(client_body(got), path + 5)) fail_msg("%s", got);
    assert_non_null(strstr(client_body(got), ": it was told to fail"));
    free(got);
    strcat(path, ".gguf");
    unlink(path);
}

/* ---- the end ---- */

static void closing_with_work_left(void **unused)
{
    (void)unused;
    int fd[8];
    for (int i = 0; i < 8; i++)
        fd[i] = start_stream("/t/stream", i == 5 ? "{\"hung\":true}" : i & 1 ? "{\"silent\":true}"
                                                                           : "{\"max_tokens\":100000,\"ms\":2}");
    while (atomic_load(&fake->n_submitted) < 8) pause_ms(1);
    server_close(server);
    struct link_state l;
    link_state(fake, &l);
    assert_int_equal(l.n_jobs, 0);
    for (int i = 0; i < 8; i++) {
        bool closed;
        free(client_read(fd[i], NULL, 3000, &closed));
        assert_true(closed);
        close(fd[i]);
    }
    struct server_options o = { 0 };
    link_close(fake);
    open_with(&o);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, served_close)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(health_tells_states_apart), T(paths_and_queries), T(whole_answers), T(streams_come_as_they_are_made), T(bodies),
            T(time_does_not_run_back),
        T(a_client_that_goes_cancels_its_job), T(a_client_that_does_not_read_is_cut_off), T(time_to_take_something),
            T(held_work_hears_of_it),
        T(a_broken_stream_goes_on), T(kept_streams_end_when_asked), T(it_describes_itself), T(it_names_all_routes),
            T(silence_is_broken), T(paths_stay_here),
        T(closing_with_work_left),
    };
    return run_tests(tests);
}
