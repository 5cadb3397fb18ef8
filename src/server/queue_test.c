/* queue_test.c - many clients at once: the queue, its limits and deadlines, the end of the server, metrics and the log. */
#include "tests/served.h"

#include <time.h>

#include "base/mem.h"
#include "server/api_work.h"
#include "server/keys.h"

static char logged[1 << 16];
static size_t n_logged;

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

static void on_event(struct exchange *x, const struct json *event, bool last)
{
    const char *name = json_str(json_get(event, "event"), NULL);
    if (!strcmp(name, "error")) {
        exchange_fail_event(x, event);
        return;
    }
    exchange_stream(x, "application/x-ndjson");
    exchange_ndjson(x, event);
    if (last) exchange_end(x);
}

static void generate(struct exchange *x)
{
    struct json *j = json_new_object();
    json_put(j, "op", json_new_str("generate", 8));
    json_put(j, "options", json_share(exchange_body(x)));
    const struct json *prompt = json_get(exchange_body(x), "prompt"), *ms = json_get(exchange_body(x), "deadline_ms");
    if (prompt) json_put(j, "prompt", json_share(prompt));
    if (ms) json_put(j, "deadline_ms", json_share(ms));
    exchange_submit(x, j, on_event);
}

/* A second job follows the first, and ends in the queue, on another thread, while the first is still being ended. */
static struct { _Atomic bool begun, over; _Atomic int jobs; } chain;

static bool wait_for(_Atomic bool *what)
{
    for (int i = 0; i < 10000 && !atomic_load(what); i++) pause_ms(1);
    return atomic_load(what);
}

static struct json *job_of(const char *options)
{
    struct json *j;
    return json_parse(&j, options, strlen(options), NULL) < 0 ? NULL : j;
}

static void on_chain(struct exchange *x, const struct json *event, bool last)
{
    (void)event;
    if (!last) return;
    if (atomic_fetch_add(&chain.jobs, 1) == 0) {
        exchange_submit(x, job_of("{\"op\":\"generate\",\"deadline_ms\":1}"), on_chain);
        wait_for(&chain.begun);
        return;
    }
    atomic_store(&chain.begun, true);
    wait_for(&chain.over);                                    /* the end of the first */
    exchange_text(x, 299, "text/plain", "the second", 10);
}

static void two_jobs(struct exchange *x)
{
    exchange_submit(x, job_of("{\"op\":\"generate\",\"options\":{\"max_tokens\":1}}"), on_chain);
}

/* What takes long, on a thread of its own. */
static struct { _Atomic bool over; _Atomic int n; } slow;
static void work_slowly(struct api_work *w, void *own)
{
    (void)own;
    atomic_fetch_add(&slow.n, 1);
    wait_for(&slow.over);
    exchange_text(api_work_exchange(w), 200, "text/plain", "at last", 7);
}

static void start_work(struct exchange *x)
{
    struct err e;
    api_work_start(server_works(exchange_server(x)), x, &(struct api_task){ work_slowly, NULL, NULL }, &e);
}

static const struct route routes[] = {
    { "POST", "/slow", ROLE_INFER, BODY_JSON, start_work, NULL, NULL, NULL },
    { "POST", "/chain", ROLE_INFER, BODY_JSON, two_jobs, NULL, NULL, NULL },
    { "POST", "/t", ROLE_INFER, BODY_JSON, generate, NULL, NULL, NULL },
    { 0 },
};

static void on_log(void *arg, const char *line, size_t n)
{
    (void)arg;
    if (n_logged + n < sizeof logged) memcpy(logged + n_logged, line, n);
    n_logged += n;
}

static void open_with(struct server_options *o)
{
    o->routes = routes;
    o->log = on_log;
    memset(logged, 0, sizeof logged);
    n_logged = 0;
    served_open(o);
}

static int begin(void **unused)
{
    (void)unused;
    struct server_options o = { .limits = { .running = 4, .queued = 20 } };
    open_with(&o);
    return 0;
}

static int ask_at(const char *path, const char *body, const char *fields)
{
    char request[1024];
    int fd = client_open(port);
    snprintf(request, sizeof request,
             "POST %s HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nConnection: close\r\n"
             "%sContent-Length: %zu\r\n\r\n%s", path, port, fields, strlen(body), body);
    client_send(fd, request, strlen(request));
    return fd;
}

static int ask(const char *body, const char *fields) { return ask_at("/t", body, fields); }

static char *answer(int fd)
{
    char *text = client_read(fd, NULL, 20000, NULL);
    close(fd);
    return text;
}

static void wait_submitted(uint64_t n)
{
    for (int i = 0; i < 5000 && atomic_load(&fake->n_submitted) < n; i++) pause_ms(1);
    assert_int_equal(atomic_load(&fake->n_submitted), n);
}

static void beyond_the_queue_is_refused_at_once(void **unused)
{
    (void)unused;
    enum { N = 40 };
    int fd[N], ok = 0, busy = 0;
    for (int i = 0; i < N; i++) fd[i] = ask("{\"max_tokens\":3,\"ms\":30}", "");
    for (int i = 0; i < N; i++) {
        char *text = answer(fd[i]);
        if (client_status(text) != 429 && !strstr(text, "\"done\"")) fail_msg("neither done nor refused: %s", text);
        ok += client_status(text) == 200;
        if (client_status(text) == 429) {
            busy++;
            assert_non_null(strstr(text, "Retry-After: "));
            assert_non_null(strstr(text, "maximum pending requests exceeded"));
        }
        free(text);
    }
    assert_int_equal(ok + busy, N);
    assert_in_range(ok, 24, N);
    assert_true(busy > 0);
    assert_in_range(fake->peak, 4, 5);                        /* one more: the fake counts a job that tells its end */
    uint64_t began = os_now_ns();
    client_expect(answer(ask("{\"max_tokens\":1}", "")), 200, "\"done\"");
    assert_true(os_now_ns() - began < 5000000000);
}

static void those_that_wait_can_leave(void **unused)
{
    (void)unused;
    int run[4], wait[4];
    for (int i = 0; i < 4; i++) run[i] = ask("{\"silent\":true}", "");
    wait_submitted(4);
    for (int i = 0; i < 4; i++) wait[i] = ask("{\"max_tokens\":1}", "");
    pause_ms(50);
    for (int i = 0; i < 3; i++) close(wait[i]);
    pause_ms(200);
    assert_int_equal(atomic_load(&fake->n_submitted), 4);
    close(run[0]);
    client_expect(answer(wait[3]), 200, "t0 ");
    assert_int_equal(atomic_load(&fake->n_submitted), 5);
    for (int i = 1; i < 4; i++) close(run[i]);
}

static void waiting_has_a_deadline(void **unused)
{
    (void)unused;
    int run[4];
    for (int i = 0; i < 4; i++) run[i] = ask("{\"silent\":true}", "");
    wait_submitted(4);
    uint64_t began = os_now_ns();
    client_expect(answer(ask("{\"max_tokens\":1,\"deadline_ms\":150}", "")), 504, "deadline");
    uint64_t took = os_now_ns() - began;
    assert_in_range(took, 140000000, 600000000);
    for (int i = 0; i < 4; i++) close(run[i]);
}

/* Nobody answers for a job that the handler has yet to answer for. */
static void a_second_job_ends_within_the_first(void **unused)
{
    (void)unused;
    struct server_options o = { .limits = { .running = 1, .queued = 20 } };
    served_close(NULL);
    open_with(&o);
    memset(&chain, 0, sizeof chain);
    int run = ask("{\"silent\":true}", "");
    wait_submitted(1);
    int fd = ask_at("/chain", "{}", "");
    pause_ms(50);                                             /* it waits; behind it the one that keeps its second waiting */
    int next = ask("{\"silent\":true}", "");
    pause_ms(50);
    close(run);
    assert_true(wait_for(&chain.begun));
    pause_ms(100);
    atomic_store(&chain.over, true);
    client_expect(answer(fd), 299, "the second");
    close(next);
}

/* Threads are not as many as connections may be. */
static void threads_for_clients_have_a_limit(void **unused)
{
    (void)unused;
    int fd[API_WORKS], n = 0;
    memset(&slow, 0, sizeof slow);
    for (int i = 0; i < API_WORKS; i++) fd[i] = ask_at("/slow", "{}", "");
    for (int i = 0; i < 5000 && (n = atomic_load(&slow.n)) < API_WORKS; i++) pause_ms(1);
    assert_int_equal(n, API_WORKS);
    client_expect(answer(ask_at("/slow", "{}", "")), 429, "64 requests of this kind");
    atomic_store(&slow.over, true);
    for (int i = 0; i < API_WORKS; i++) client_expect(answer(fd[i]), 200, "at last");
    client_expect(answer(ask_at("/slow", "{}", "")), 200, "at last");
}

static void one_key_does_not_starve_another(void **unused)
{
    (void)unused;
    char key[2][KEY_TEXT + 1], fields[2][128], path[128];
    struct buf file = { 0 };
    struct err e;
    key_make(ROLE_INFER, "flood", key[0], &file, &e);
    key_make(ROLE_INFER, "few", key[1], &file, &e);
    for (int i = 0; i < 2; i++) snprintf(fields[i], sizeof fields[i], "X-Api-Key: %s\r\n", key[i]);
    const char *tmp = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/keys-%d", tmp ? tmp : "/tmp", (int)getpid());
    FILE *f = fopen(path, "w");
    fputs(file.data, f);
    fclose(f);
    buf_release(&file);
    served_close(NULL);
    struct server_options o = { .key_file = path, .limits = { .running = 2, .queued = 100 } };
    open_with(&o);
    enum { N = 40 };
    int fd[N];
    for (int i = 0; i < N; i++) fd[i] = ask("{\"max_tokens\":1,\"ms\":20}", fields[0]);
    wait_submitted(2);
    uint64_t began = os_now_ns();
    client_expect(answer(ask("{\"max_tokens\":1,\"ms\":20}", fields[1])), 200, "t0 ");
    uint64_t few = os_now_ns() - began;
    for (int i = 0; i < N; i++) client_expect(answer(fd[i]), 200, "t0 ");
    uint64_t all = os_now_ns() - began;
    if (few * 3 > all) fail_msg("waited %llu of %llu ms", (unsigned long long)few / 1000000, (unsigned long long)all / 1000000);
    unlink(path);
}

static void limits_change_while_it_runs(void **unused)
{
    (void)unused;
    struct err e;
    int run[4];
    for (int i = 0; i < 4; i++) run[i] = ask("{\"silent\":true}", "");
    wait_submitted(4);
    int wait = ask("{\"max_tokens\":1}", "");
    pause_ms(50);
    assert_int_equal(atomic_load(&fake->n_submitted), 4);
    struct server_limits l = { .running = 5, .queued = 20 };
    assert_int_equal(server_reload(server, &l, &e), 0);
    client_expect(answer(wait), 200, "t0 ");
    for (int i = 0; i < 4; i++) close(run[i]);
}

static bool at_once(void) { return true; }

static void draining_lets_streams_finish(void **unused)
{
    (void)unused;
    int fd[6];
    for (int i = 0; i < 6; i++) fd[i] = ask("{\"max_tokens\":10,\"ms\":30}", "");
    wait_submitted(4);
    int idle = client_open(port);
    char request[128];
    snprintf(request, sizeof request, "GET /health HTTP/1.1\r\nHost: localhost:%d\r\n\r\n", port);
    client_send(idle, request, strlen(request));
    client_expect(client_read(idle, "ok", 3000, NULL), 200, NULL);
    uint64_t began = os_now_ns();
    server_drain(server, 10000, NULL);
    uint64_t took = os_now_ns() - began;
    assert_in_range(took, 100000000, 3000000000);
    for (int i = 0; i < 6; i++) client_expect(answer(fd[i]), 200, "\"done\"");
    client_send(idle, request, strlen(request));
    client_expect(client_read(idle, "draining", 3000, NULL), 503, "draining");
    close(idle);
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(late, (struct sockaddr *)&a, sizeof a), -1);
    close(late);
    served_close(NULL);
    struct server_options o = { 0 };
    open_with(&o);
    int endless = ask("{\"silent\":true}", "");
    wait_submitted(1);
    began = os_now_ns();
    server_drain(server, 10000, at_once);
    assert_true(os_now_ns() - began < 5000000000);
    assert_int_equal(atomic_load(&fake->n_cancelled), 1);
    client_expect(answer(endless), 503, "cancelled");         /* it hears of it */
    server_close(server);
    link_close(fake);
    open_with(&o);
}

static void what_is_counted_and_logged(void **unused)
{
    (void)unused;
    served_close(NULL);
    struct server_options o = { .trace = true, .log_json = true };
    open_with(&o);
    client_expect(answer(ask("{\"max_tokens\":3,\"prompt\":\"SECRET\"}", "X-Request-Id: my-id.1\r\n")), 200,
                  "X-Request-Id: my-id.1");
    client_expect(answer(ask("{\"max_tokens\":1,\"fail\":\"engine\"}", "X-Request-Id: bad id\r\n")), 200, "X-Request-Id: req_");
    client_expect(client_call(port, "GET", "/x%1b%5b31m", NULL, ""), 400, NULL);
    char *text = client_call(port, "GET", "/metrics", NULL, "");
    static const char *const line[] = { "hearth_up 1\n", "hearth_jobs_total{model=\"spark\"} 2\n",
                                        "hearth_jobs_failed_total{model=\"spark\"} 1\n",
                                        "hearth_prompt_tokens_total{model=\"spark\"} 3\n",
                                            "hearth_inter_token_seconds_count{model=\"spark\"} 2\n",
                                        "hearth_time_to_first_token_seconds_count{model=\"spark\"} 2\n",
                                            "hearth_answers_total{status=\"4xx\"} 1\n" };
    for (size_t i = 0; i < sizeof line / sizeof *line; i++)
        if (!strstr(text, line[i])) fail_msg("%s is not in\n%s", line[i], text);
    assert_null(strstr(text, "SECRET"));
    client_expect(text, 200, "text/plain; version=0.0.4");
    server_close(server);
    assert_non_null(strstr(logged, "\"id\":\"my-id.1\",\"method\":\"POST\",\"path\":\"/t\",\"status\":200"));
    assert_non_null(strstr(logged, "\"event\":\"job\",\"id\":\"my-id.1\",\"job\":{\"op\":\"generate\""));
    assert_non_null(strstr(logged, "\"prompt\":\"(6 bytes)\""));
    assert_non_null(strstr(logged, "\"reason\":\"stop\""));
    assert_null(strstr(logged, "SECRET"));
    assert_null(strchr(logged, 0x1b));
    for (char *at = logged; *at;) {
        char *stop = strchr(at, '\n');
        struct json *j;
        struct err e;
        assert_non_null(stop);
        if (json_parse(&j, at, (size_t)(stop - at), &e) < 0) fail_msg("%s: %.300s", e.msg, at);
        json_free(j);
        at = stop + 1;
    }
    link_close(fake);
    open_with(&o);
}

/* Waits of streams that all come at once are as long as their place in the queue says, and nobody is forgotten. */
static void hundreds_of_streams(void **unused)
{
    (void)unused;
    served_close(NULL);
    struct server_options o = { .limits = { .running = 16, .queued = 1000 } };
    open_with(&o);
    enum { N = 300 };
    static int fd[N];
    for (int i = 0; i < N; i++) fd[i] = ask("{\"max_tokens\":5,\"ms\":2}", "");
    for (int i = 0; i < N; i++) client_expect(answer(fd[i]), 200, "t4 ");
    assert_in_range(fake->peak, 16, 17);
    assert_int_equal(atomic_load(&fake->n_over), N);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, served_close)
int main(void)
{
    const struct CMUnitTest tests[] = {
        T(beyond_the_queue_is_refused_at_once), T(those_that_wait_can_leave), T(waiting_has_a_deadline),
        T(a_second_job_ends_within_the_first), T(threads_for_clients_have_a_limit),
        T(one_key_does_not_starve_another), T(limits_change_while_it_runs), T(draining_lets_streams_finish),
        T(what_is_counted_and_logged), T(hundreds_of_streams),
    };
    return run_tests(tests);
}
