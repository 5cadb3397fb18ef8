/* hostile_test.c - what a server meets that anybody can reach: malformed, ambiguous and endless requests, and who may do what. */
#include "tests/served.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "base/mem.h"
#include "server/keys.h"

static char dir[64];

static void answer(struct exchange *x)
{
    struct buf b = { 0 };
    buf_puts(&b, "MARK ");
    if (exchange_body(x)) json_write(exchange_body(x), false, &b);
    buf_puts(&b, exchange_user(x));
    exchange_text(x, 200, "text/plain", b.data, b.len);
    buf_release(&b);
}

static const struct route routes[] = {
    { "POST", "/t", ROLE_INFER, BODY_JSON, answer, NULL, NULL, NULL },
    { "GET", "/t", ROLE_INFER, BODY_NONE, answer, NULL, NULL, NULL },
    { "DELETE", "/t", ROLE_MANAGE, BODY_NONE, answer, NULL, NULL, NULL },
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
    struct server_options o = { .limits = { .header_ms = 400, .body_ms = 400, .idle_ms = 800, .write_ms = 500 } };
    open_with(&o);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void expect_alive(void) { client_expect(client_call(port, "GET", "/health", NULL, ""), 200, "ok"); }

static size_t count(const char *text, const char *part)
{
    size_t n = 0;
    for (; (text = strstr(text, part)) != NULL; text += strlen(part)) n++;
    return n;
}

/* ---- HTTP ---- */

/* %d is the port.  At most one answer comes, an error that is in `status` (or none at all), and the connection ends. */
static void one_refusal(const char *pattern, int lo, int hi)
{
    char request[2048];
    size_t n = 0;
    for (const char *p = pattern; *p; p++)
        if (!strncmp(p, "%d", 2)) n += (size_t)sprintf(request + n, "%d", port), p++;
        else request[n++] = *p;
    request[n] = 0;
    uint64_t began = os_now_ns();
    char *text = client_ask(port, request, 0);
    int status = client_status(text);
    if (os_now_ns() - began > 3000000000) fail_msg("the connection stays open after: %s\n%s", request, text);
    /* libmicrohttpd sends the head of its own refusals of Content-Length twice, and then closes. */
    char first[14] = "";
    memcpy(first, text, strlen(text) < 13 ? strlen(text) : 13);
    if (*text && count(text, "HTTP/1.1 ") != count(text, first)) fail_msg("two answers to: %s\n%s", request, text);
    if (count(text, "MARK")) fail_msg("it was carried out: %s\n%s", request, text);
    if (*text && (status < lo || status > hi)) fail_msg("status %d for: %s\n%s", status, request, text);
    free(text);
}

#define NEXT "GET /t HTTP/1.1\r\nHost: localhost:%d\r\n\r\n"
static void ambiguous_requests_are_refused(void **unused)
{
    (void)unused;
    static const char *const smuggled[] = {
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\n"
        "Content-Type: application/json\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n"
        "\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\n"
        "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\nContent-Length: 6\r\n"
        "\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 0\r\nContent-Length: 44\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: +2\r\n\r\n{}" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 2,2\r\n\r\n{}" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: -1\r\n\r\n{}" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 0x2\r\n\r\n{}" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 99999999999999999999999\r\n\r\n{}" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\n"
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        "ffffffffffffffff1\r\n{}\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        "-2\r\n{}\r\n0\r\n\r\n" NEXT,
        "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\n{}XX0\r\n\r\n" NEXT,
        "POST /t HTTP/1.0\r\nHost: localhost:%d\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" NEXT,
        "GET /t HTTP/1.1\r\nHost: localhost:%d\r\nHost: evil.example\r\n\r\n" NEXT,
        "GET /t HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        "GET http://localhost:%d/t HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        "GET /t#x HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        "GET t HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        "CONNECT localhost:%d HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        "GET /t\x01 HTTP/1.1\r\nHost: localhost:%d\r\n\r\n",
        "GET /t HTTP/9.9\r\nHost: localhost:%d\r\n\r\n",
        "\x16\x03\x01\x02",
        "GET\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof smuggled / sizeof *smuggled; i++) one_refusal(smuggled[i], 400, 505);
    expect_alive();
}

static void header_bombs_are_refused(void **unused)
{
    (void)unused;
    size_t n = 16 << 20;
    char *bomb = malloc(n);
    for (int kind = 0; kind < 4; kind++) {
        size_t k = kind == 3 ? 0 : kind == 2 ? (size_t)sprintf(bomb, "GET /")
                 : (size_t)sprintf(bomb, "GET /t HTTP/1.1\r\nHost: localhost:%d\r\nX: ", port);
        if (kind == 1) for (; k < 2000000; k += 8) memcpy(bomb + k, "\r\nA: b  ", 8);
        else for (; k < 2000000; k++) bomb[k] = 'a';
        k += (size_t)sprintf(bomb + k, "\r\n\r\n");
        char *text = client_ask(port, bomb, k);
        if (*text && client_status(text) < 400) fail_msg("kind %d: %.300s", kind, text);
        free(text);
    }
    free(bomb);
    expect_alive();
}

static long rss_kb(void)
{
    long pages = 0, rss = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    if (!f) return 0;
    if (fscanf(f, "%ld %ld", &pages, &rss) != 2) rss = 0;
    fclose(f);
    return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static void slow_senders_are_cut_off(void **unused)
{
    (void)unused;
    char head[256];
    bool closed;
    snprintf(head, sizeof head,
             "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n", port);
    enum { N = 40 };
    int fd[N];
    for (int i = 0; i < N; i++) fd[i] = client_open(port);
    uint64_t began = os_now_ns();
    /* A byte at a time, for longer than a head or a body may take; every fourth says nothing at all. */
    for (size_t at = 0; os_now_ns() - began < 1500000000; at++) {
        for (int i = 0; i < N; i++) {
            if (i % 4 == 1) client_send(fd[i], head + (at < 60 ? at : 60), 1);
            if (i % 4 == 2) client_send(fd[i], at ? "{" : head, at ? 1 : strlen(head));
        }
        nanosleep(&(struct timespec){ 0, 30000000 }, NULL);
        if (at == 10) expect_alive();
    }
    for (int i = 0; i < N; i++) {
        free(client_read(fd[i], NULL, 100, &closed));
        if (!closed) fail_msg("connection %d is still open", i);
        close(fd[i]);
    }
    expect_alive();
}

static void idle_connections_cost_little(void **unused)
{
    (void)unused;
    enum { N = 400 };
    int fd[N];
    char request[128];
    snprintf(request, sizeof request, NEXT, port);
    server_close(server);
    struct server_options o = { .limits = { .connections = 10000 } };
    link_close(fake);
    open_with(&o);
    snprintf(request, sizeof request, NEXT, port);
    expect_alive();
    long before = rss_kb();
    for (int i = 0; i < N; i++) {
        fd[i] = client_open(port);
        client_send(fd[i], request, strlen(request));
        char *text = client_read(fd[i], "MARK", 3000, NULL);
        client_expect(text, 200, "MARK");
    }
    long each = (rss_kb() - before) * 1024 / N;
    uint64_t began = os_now_ns();
    expect_alive();
    assert_true(os_now_ns() - began < 1000000000);
    for (int i = 0; i < N; i++) close(fd[i]);
    print_message("# %ld bytes for an idle connection\n", each);
    if (strstr(getenv("BUILD") ? getenv("BUILD") : "", "address")) skip();
    assert_true(each < 10000);
}

/* ---- JSON ---- */

static int status_of(const char *body, size_t n)
{
    char *request = malloc(n + 512);
    int k = sprintf(request, "POST /t HTTP/1.1\r\nHost: localhost:%d\r\nConnection: close\r\nContent-Type: application/json\r\n"
                    "Content-Length: %zu\r\n\r\n", port, n);
    memcpy(request + k, body, n);
    char *text = client_ask(port, request, (size_t)k + n);
    int status = client_status(text);
    free(request);
    free(text);
    return status;
}

static void hostile_bodies_are_refused(void **unused)
{
    (void)unused;
#define B(s) { s, sizeof s - 1 }
    static const struct { const char *s; size_t n; } bad[] = {
        B("["), B("]"), B("{"), B("}"), B("[1,]"), B("[,1]"), B("[1 2]"), B("{\"a\"}"), B("{\"a\":}"), B("{\"a\":1,}"),
            B("{a:1}"), B("{'a':1}"),
        B("[1]x"), B("nul"), B("NaN"), B("[Infinity]"), B("[-]"), B("[01]"), B("[1.]"), B("[.5]"), B("[1e]"), B("[1e999]"),
            B("[+1]"),
        B("[0x1]"), B("\"a"), B("[\"\\x\"]"), B("[\"\\u12\"]"), B("[\"\\ud800\"]"), B("[\"\\udc00\\ud800\"]"), B("[\"\xff\"]"),
        B("[\"\xc0\x80\"]"), B("[\"\xed\xa0\x80\"]"), B("[\"a\nb\"]"), B("[\"a\0b\"]"), B("\xef\xbb\xbf{}"), B("/**/{}"),
            B("{}//"),
        B("{\"a\":1,\"a\":2}"), B("[\"\t\"]"), B("{}{}"), B("\xff\xfe{\0}\0"), B(" "), B("true false"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status = status_of(bad[i].s, bad[i].n);
        if (status != 400) fail_msg("status %d for body %zu: %s", status, i, bad[i].s);
    }
    static const struct { const char *s; size_t n; } good[] = {
        B("{}"), B("[]"), B("null"), B(" {\"a\":[1,-0,1e5,1E-5,\"\\u0000\",\"\\ud83d\\ude00\"]}\r\n"),
            B("[123456789012345678901234567890]"),
        B("\"x\""), B("[\"\x7f\"]"),
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        if (status_of(good[i].s, good[i].n) != 200) fail_msg("refused: %s", good[i].s);
    size_t n = 1000000;
    char *large = malloc(n + 64);
    memset(large, '[', n);
    assert_int_equal(status_of(large, n), 400);
    for (size_t i = 0; i < n; i += 5) memcpy(large + i, "{\"a\":", 5);
    assert_int_equal(status_of(large, n), 400);
    /* More values than their bytes say. */
    memset(large, ' ', n);
    large[0] = '[';
    for (size_t i = 1; i + 3 < n; i += 3) memcpy(large + i, "[],", 3);
    memcpy(large + n - 2, "0]", 2);
    assert_int_equal(status_of(large, n), 400);
    memset(large, 'a', n);
    large[0] = large[n - 1] = '"';
    assert_int_equal(status_of(large, n), 200);
    memset(large, '9', n);
    large[0] = '[';
    large[n - 1] = ']';
    int huge = status_of(large, n);
    assert_true(huge == 200 || huge == 400);
    free(large);
    expect_alive();
}

/* What all bodies hold together has a limit, values included, and it is given back. */
static void bodies_have_one_limit_together(void **unused)
{
    (void)unused;
    struct server_options o = { .limits = { .body_bytes = 1 << 20 } };
    size_t n = 900001;
    char *text = malloc(n);
    open_with(&o);
    for (size_t i = 0; i < n; i++) text[i] = i & 1 ? '1' : ',';
    text[0] = '[';
    text[n - 1] = ']';
    assert_int_equal(status_of(text, n), 413);                 /* 20 MB of values, and 16 are all */
    for (int i = 0; i < 3; i++) {
        text[600000] = ']';
        assert_int_equal(status_of(text, 600001), 200);
    }
    free(text);
    expect_alive();
}

/* ---- who may call ---- */

static void pages_of_others_may_not_call(void **unused)
{
    (void)unused;
    server_close(server);
    link_close(fake);
    struct server_options o = { .origin = { "http://localhost:3000" }, .host_name = { "my.box" } };
    open_with(&o);
    char own[96];
    snprintf(own, sizeof own, "Origin: http://127.0.0.1:%d\r\n", port);
    client_expect(client_call(port, "GET", "/t", NULL, own), 200, "MARK");
    client_expect(client_call(port, "GET", "/t", NULL, "Origin: http://evil.example\r\n"), 403, "--origin");
    client_expect(client_call(port, "GET", "/health", NULL, "Origin: http://evil.example\r\n"), 403, NULL);
    client_expect(client_call(port, "GET", "/t", NULL, "Sec-Fetch-Site: cross-site\r\n"), 403, NULL);
    char *text = client_call(port, "GET", "/t", NULL, "Origin: http://localhost:3000\r\nSec-Fetch-Site: same-site\r\n");
    assert_non_null(strstr(text, "Access-Control-Allow-Origin: http://localhost:3000\r\n"));
    assert_non_null(strstr(text, "Vary: Origin"));
    client_expect(text, 200, "MARK");
    text = client_call(port, "GET", "/t", NULL, own);
    assert_null(strstr(text, "Access-Control"));
    free(text);
    text = client_call(port, "OPTIONS", "/t", NULL, "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"
                       "Access-Control-Request-Headers: content-type\r\n");
    assert_null(strstr(text, "Private-Network"));
    client_expect(text, 204, "Access-Control-Allow-Headers: content-type");
    client_expect(client_call(port, "OPTIONS", "/t", NULL, "Origin: http://evil.example\r\n"), 403, NULL);
    client_expect(client_ask(port, "GET /t HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 0), 403, "--host-name");
    client_expect(client_ask(port, "GET /t HTTP/1.1\r\nHost: my.box\r\nConnection: close\r\n\r\n", 0), 200, "MARK");
}

static void keys_and_roles(void **unused)
{
    (void)unused;
    char infer[KEY_TEXT + 1], manage[KEY_TEXT + 1], fields[160];
    struct buf file = { 0 };
    struct err e = { 0 };
    key_make(ROLE_INFER, "laptop", infer, &file, &e);
    key_make(ROLE_MANAGE, "admin", manage, &file, &e);
    FILE *f = fopen(in_dir("keys"), "w");
    fputs(file.data, f);
    fclose(f);
    server_close(server);
    link_close(fake);
    char path[128];
    snprintf(path, sizeof path, "%s", in_dir("keys"));
    struct server_options o = { .key_file = path, .listen = { "0.0.0.0:0" } };
    open_with(&o);
    client_expect(client_call(port, "GET", "/health", NULL, ""), 200, NULL);
    client_expect(client_call(port, "GET", "/t", NULL, ""), 401, "WWW-Authenticate: Bearer");
    client_expect(client_call(port, "GET", "/t", NULL, "Authorization: Bearer ollama\r\n"), 401, "not known");
    client_expect(client_call(port, "GET", "/t", NULL, "Authorization: Basic YTpi\r\n"), 401, NULL);
    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", infer);
    client_expect(client_call(port, "GET", "/t", NULL, fields), 200, "MARK laptop");
    client_expect(client_call(port, "DELETE", "/t", NULL, fields), 403, "the role manage");
    snprintf(fields, sizeof fields, "X-Api-Key: %s\r\n", manage);
    client_expect(client_call(port, "DELETE", "/t", NULL, fields), 200, "MARK admin");
    /* Without the first key; connections and the second go on. */
    f = fopen(path, "w");
    fputs(strchr(file.data, '\n') + 1, f);
    fclose(f);
    assert_int_equal(server_reload(server, NULL, &e), 0);
    client_expect(client_call(port, "DELETE", "/t", NULL, fields), 200, "MARK admin");
    snprintf(fields, sizeof fields, "Authorization: bearer  %s\r\n", infer);
    client_expect(client_call(port, "GET", "/t", NULL, fields), 401, NULL);
    f = fopen(path, "w");
    fputs("nonsense\n", f);
    fclose(f);
    assert_int_equal(server_reload(server, NULL, &e), ERR_FORMAT);
    snprintf(fields, sizeof fields, "X-Api-Key: %s\r\n", manage);
    client_expect(client_call(port, "DELETE", "/t", NULL, fields), 200, NULL);
    unlink(path);
    buf_release(&file);
}

static void others_need_a_key(void **unused)
{
    (void)unused;
    struct server *s;
    struct err e = { 0 };
    struct server_options o = { .listen = { "0.0.0.0:0" } };
    assert_int_equal(server_open(&s, &o, fake, &e), ERR_ARG);
    assert_non_null(strstr(e.msg, "hearth key new"));
    o.listen[0] = "[::]:0";
    assert_true(server_open(&s, &o, fake, &e) < 0);
    o.listen[0] = "0.0.0.0:0";
    o.insecure_no_key = true;
    assert_int_equal(server_open(&s, &o, fake, &e), 0);
    server_close(s);
    o = (struct server_options){ .listen = { "127.0.0.1:0", "127.0.0.1:0", "[::1]:0" } };
    if (server_open(&s, &o, fake, &e) < 0) {
        o.listen[2] = NULL;                                   /* a machine without IPv6 */
        assert_int_equal(server_open(&s, &o, fake, &e), 0);
    }
    for (size_t i = 0; i < 2; i++)
        client_expect(client_call(atoi(strrchr(server_url(s, i), ':') + 1), "GET", "/health", NULL, ""), 200, NULL);
    o.listen[0] = strchr(server_url(s, 0), '/') + 2;
    struct server *second;
    assert_int_equal(server_open(&second, &o, fake, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "choose another port"));
    server_close(s);
}

static void unix_sockets_are_this_users(void **unused)
{
    (void)unused;
    char at[160];
    struct server *s;
    struct err e = { 0 };
    struct stat st;
    snprintf(at, sizeof at, "unix:%s", in_dir("s"));
    struct server_options o = { .listen = { at }, .routes = routes };
    for (int round = 0; round < 2; round++) {
        if (server_open(&s, &o, fake, &e) < 0) fail_msg("%s", e.msg);
        assert_int_equal(stat(at + 5, &st), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
        struct sockaddr_un a = { .sun_family = AF_UNIX };
        strcpy(a.sun_path, at + 5);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
        client_send(fd, "GET /t HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 47);
        client_expect(client_read(fd, NULL, 3000, NULL), 200, "MARK");
        close(fd);
        struct server *second;
        assert_int_equal(server_open(&second, &o, fake, &e), ERR_IO);
        server_close(s);
        assert_int_equal(stat(at + 5, &st), -1);
        if (round) break;
        /* One that was left behind makes no trouble. */
        fd = socket(AF_UNIX, SOCK_STREAM, 0);
        assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
        close(fd);
    }
    FILE *f = fopen(at + 5, "w");
    fclose(f);
    assert_int_equal(server_open(&s, &o, fake, &e), ERR_ARG);
    unlink(at + 5);
}

static int command(const char *text)
{
    int status = system(text);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void tls(void **unused)
{
    (void)unused;
    char text[1024], cert[128], key[128];
    if (command("openssl version > /dev/null 2>&1") != 0) skip();
    snprintf(cert, sizeof cert, "%s", in_dir("cert"));
    snprintf(key, sizeof key, "%s", in_dir("key"));
    snprintf(text, sizeof text,
             "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
             "-keyout %s -out %s > /dev/null 2>&1", key, cert);
    assert_int_equal(command(text), 0);
    struct server_options o = { .tls_cert = cert, .tls_key = key };
    server_close(server);
    link_close(fake);
    open_with(&o);
    assert_int_equal(strncmp(server_url(server, 0), "https://", 8), 0);
    snprintf(text, sizeof text, "printf 'GET /health HTTP/1.1\\r\\nHost: localhost:%d\\r\\nConnection: close\\r\\n\\r\\n' | "
             "timeout 10 openssl s_client -quiet -verify_return_error -CAfile %s -servername localhost -connect 127.0.0.1:%d "
             "2> /dev/null | grep -q '\"status\":\"ok\"'", port, cert, port);
    assert_int_equal(command(text), 0);
    char *plain = client_call(port, "GET", "/health", NULL, "");
    assert_int_equal(client_status(plain) == 200, 0);
    free(plain);
    struct server *s;
    struct err e = { 0 };
    o.listen[0] = "127.0.0.1:0";
    o.tls_cert = key;
    o.tls_key = cert;
    assert_int_equal(server_open(&s, &o, fake, &e), ERR_IO);
    o.tls_key = NULL;
    assert_int_equal(server_open(&s, &o, fake, &e), ERR_ARG);
    unlink(cert);
    unlink(key);
}

#define T(f) cmocka_unit_test_setup_teardown(f, begin, served_close)
int main(void)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%s/hXXXXXX", tmp && strlen(tmp) < 40 ? tmp : "/tmp");
    if (!mkdtemp(dir)) return 1;
    const struct CMUnitTest tests[] = {
        T(ambiguous_requests_are_refused), T(header_bombs_are_refused), T(slow_senders_are_cut_off),
            T(idle_connections_cost_little),
        T(hostile_bodies_are_refused),
        cmocka_unit_test_setup_teardown(bodies_have_one_limit_together, NULL, served_close),
        T(pages_of_others_may_not_call), T(keys_and_roles), T(others_need_a_key),
        T(unix_sockets_are_this_users), T(tls),
    };
    int rc = run_tests(tests);
    rmdir(dir);
    return rc;
}
