/* siege_bench.c - what a server must bear from those who mean it no good: the load tests at full size.
 *
 *   slow      1,000 connections that send a byte of a head now and then, and 200 that ask for long streams and do not read: the
 *             time to the first text of others may be a tenth above that of a second server which nobody bothers, and all of
 *             them are cut off (10 s, 30 s); slow S R: so many of each
 *   idle      10,000 connections that stay open after a request: memory of the front for each, time of a new request (5 ms)
 *   bodies    32 MB of JSON in several forms, and more than is taken: time (1 s), memory of the front (3 times the body)
 *   overload  ten times as many clients as places, for S seconds (60): refusals come within 10 ms (median), what is answered
 *             stays at 95 % of what it is without them, and a second later all is well
 *   clock     the clock of the system jumps by a year, both ways, under streams: nothing happens (needs libfaketime)
 * Usage: siege_bench [slow [S R] | idle [N] | bodies | overload [S] | clock]   (default: all, smaller; `make load-test`: all of
 * them at full size)
 * Prints a line for each, and ends with status 1 when a limit is passed. */
#include "median.h"
#include "serve.h"

#include <sys/stat.h>
#include <time.h>

enum { MAX = 12000 };

static int failed;

static void limit(bool holds, const char *what)
{
    if (!holds) printf("          LIMIT PASSED: %s\n", what);
    failed |= !holds;
}

static double ms_since(uint64_t begun) { return (double)(os_now_ns() - begun) * 1e-6; }

static void send_all(int fd, const char *p, size_t n)
{
    for (ssize_t k; n; p += k, n -= (size_t)k)
        if ((k = send(fd, p, n, MSG_NOSIGNAL)) <= 0) return;
}

/* A connection that has sent this as the body of a request for a text. */
static int ask_at(const char *path, const char *body, const char *fields, int receive)
{
    char head[512];
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = receive ? socket(AF_INET, SOCK_STREAM, 0) : connect_to(true);
    if (receive) {
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive, sizeof receive);
        if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0) die(strerror(errno));
    }
    int n = snprintf(head, sizeof head, "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n", path, port, fields, strlen(body));
    send_all(fd, head, (size_t)n);
    send_all(fd, body, strlen(body));
    return fd;
}

static int ask(const char *body, const char *fields) { return ask_at("/v1/completions", body, fields, 0); }

/* Milliseconds to the first text of a short stream, read to its end; below 0: it was refused. */
static double first_ms(void)
{
    char text[16384] = "";
    size_t n = 0;
    double ms = -1;
    uint64_t begun = os_now_ns();
    int fd = ask("{\"prompt\":\"What is a hearth?\",\"max_tokens\":4,\"stream\":true}", "Connection: close\r\n");
    for (ssize_t k; n + 1 < sizeof text && (k = recv(fd, text + n, sizeof text - 1 - n, 0)) > 0;) {
        text[n += (size_t)k] = 0;
        if (ms < 0 && strstr(text, "data: {")) ms = ms_since(begun);
    }
    close(fd);
    if (ms < 0 && !strstr(text, " 429 ")) die(n ? text : "no answer");
    return ms;
}

/* Medians of both servers, asked in turns: what else the machine does meets both. */
static void first_of_both(double *here, double *aside_ms)
{
    enum { PAIRS = 101 };
    static double v[2][PAIRS];
    for (size_t i = 0; i < 2 * PAIRS; i++) {
        v[i % 2][i / 2] = first_ms();
        swap_servers();
    }
    *here = median(v[0], PAIRS);
    *aside_ms = median(v[1], PAIRS);
}

/* GET /health, in milliseconds, on a connection of its own. */
static double health_ms(void)
{
    char text[1024];
    uint64_t begun = os_now_ns();
    int fd = connect_to(true), n = snprintf(text, sizeof text, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                            "Connection: close\r\n\r\n", port);
    send_all(fd, text, (size_t)n);
    if (recv(fd, text, sizeof text, 0) < 12 || strncmp(text + 9, "200", 3)) die("/health does not answer");
    double ms = ms_since(begun);
    close(fd);
    return ms;
}

/* Whether the other side has closed it; what came is thrown away. */
static bool is_closed(int fd)
{
    char text[4096];
    ssize_t k;
    while ((k = recv(fd, text, sizeof text, MSG_DONTWAIT)) > 0) { }
    return k == 0 || (k < 0 && errno != EAGAIN && errno != EINTR);
}

/* Whether something has come, which stays where it is. */
static bool has_bytes(int fd)
{
    char c;
    return recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* A number that /metrics tells. */
static int metric(const char *name)
{
    static char text[1 << 18];
    size_t got = 0;
    int fd = connect_to(true), n = snprintf(text, sizeof text, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                                            "Connection: close\r\n\r\n", port);
    send_all(fd, text, (size_t)n);
    for (ssize_t k; got + 1 < sizeof text && (k = recv(fd, text + got, sizeof text - 1 - got, 0)) > 0;) got += (size_t)k;
    text[got] = 0;
    close(fd);
    const char *at = strstr(text, name);
    if (!at) die("/metrics lacks a number");
    return atoi(at + strlen(name));
}

/* ---- slow ---- */

static void slow(int senders, int readers)
{
    static int fd[2000];
    const char *head = "GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    /* Much to say for each token: more than the system keeps for a connection, less than may wait for a client. */
    static const char talk[] = "{\"messages\":[{\"role\":\"user\",\"content\":\"Tell me all.\"}],\"max_tokens\":400,"
                               "\"stream\":true,\"ignore_eos\":true,\"logprobs\":true,\"top_logprobs\":20}";
    double while_slow, else_ms;
    start_server((const char *const[]){ "--max-queued", "4000", NULL });
    swap_servers();
    start_server((const char *const[]){ "--max-queued", "4000", NULL });
    first_of_both(&while_slow, &else_ms);
    for (int i = 0; i < readers; i++) fd[senders + i] = ask_at("/v1/chat/completions", talk, "", 2048);
    /* Their time runs from when the last of them has what it takes. */
    for (int i = 0; i < readers; i++)
        while (!has_bytes(fd[senders + i])) usleep(1000);
    uint64_t stalled = os_now_ns();
    while (metric("\nhearth_jobs_running ")) usleep(100000);
    /* Their answers were work as any; threads that have worked for long are let wait by the system for a moment afterwards. */
    for (uint64_t t = os_now_ns(); ms_since(t) < 2000;) first_of_both(&while_slow, &else_ms);
    uint64_t begun = os_now_ns();
    for (int i = 0; i < senders; i++) {
        fd[i] = connect_to(true);
        send_all(fd[i], head, 1);
    }
    first_of_both(&while_slow, &else_ms);
    for (int i = 0; i < senders; i++) send_all(fd[i], head + 1, 1);
    int open = senders, reading = readers;
    double cut = 0, let_go = 0;
    while ((open || reading) && ms_since(stalled) < 90000) {
        usleep(50000);
        open = reading = 0;
        for (int i = 0; i < senders; i++) open += !is_closed(fd[i]);
        if (open) cut = ms_since(begun);
        /* The server is asked about readers: to read would be not to be slow. */
        reading = metric("\nhearth_connections ") - 1 - open;
        if (reading) let_go = ms_since(stalled);
    }
    for (int i = 0; i < senders + readers; i++) close(fd[i]);
    printf("slow      %d senders, %d readers: first text %.3f ms, else %.3f ms (%+.1f %%); cut off after %.1f s and %.1f s, "
           "%d stayed\n", senders, readers, while_slow, else_ms, (while_slow / else_ms - 1) * 100, cut * 1e-3, let_go * 1e-3,
           open + reading);
    limit(while_slow < else_ms * 1.1, "the first text of others comes a tenth later");
    limit(!open && !reading && cut < 13000, "slow connections are cut off in time");
    stop_server();
    swap_servers();
    stop_server();
}

/* ---- idle ---- */

static void idle(int n)
{
    static int fd[MAX];
    char text[2048], most[16];
    snprintf(most, sizeof most, "%d", n + 100);
    start_server((const char *const[]){ "--max-connections", most, NULL });
    int k = snprintf(text, sizeof text, "GET /health HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n\r\n", port);
    char request[128];
    memcpy(request, text, (size_t)k);
    for (int i = 0; i < 50; i++) health_ms();
    long before = rss_kb();
    for (int i = 0; i < n; i++) {
        fd[i] = connect_to(true);
        send_all(fd[i], request, (size_t)k);
        if (recv(fd[i], text, sizeof text, 0) <= 0) die("a connection was closed");
    }
    long after = rss_kb();
    double v[41];
    for (size_t i = 0; i < 41; i++) v[i] = health_ms();
    double new_ms = median(v, 41), each = (double)(after - before) * 1024 / n;
    printf("idle      %d connections: %.0f bytes each, a new request takes %.3f ms\n", n, each, new_ms);
    limit(each <= 8192, "8 KB for an idle connection");
    limit(new_ms < 5, "a new request within 5 ms");
    for (int i = 0; i < n; i++) close(fd[i]);
    stop_server();
}

/* ---- bodies ---- */

static long peak_kb(void)
{
    char path[64], line[256];
    long kb = 0;
    snprintf(path, sizeof path, "/proc/%d/status", (int)server);
    FILE *f = fopen(path, "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, "VmHWM:", 6)) kb = atol(line + 6);
    if (f) fclose(f);
    return kb;
}

static void fill(char *p, size_t n, int kind)
{
    static const char *const part[] = { "1,", "\"k\",", "[],", "{\"a\":1}," };
    size_t at = (size_t)sprintf(p, "{\"prompt\":\"x\",\"max_tokens\":1,\"junk\":%s", kind == 0 ? "\"" : "[");
    if (kind == 0) memset(p + at, 'a', n - at);
    else if (kind == 5) memset(p + at, '[', n - at);
    else for (size_t k = strlen(part[kind - 1]); at + k < n; at += k) memcpy(p + at, part[kind - 1], k);
    if (kind) memset(p + at, ' ', n - at);
    if (kind == 5) memset(p + 40, '[', 1000000);
    memcpy(p + n - 3, kind == 0 ? " \"}" : "0]}", 3);
}

static void bodies(void)
{
    static const char *const name[] = { "a string", "numbers", "strings", "arrays", "objects", "depth" };
    size_t n = 32 << 20;
    char *p = malloc(n), head[256], text[1024];
    if (!p) die("out of memory");
    for (int kind = 0; kind < 6; kind++) {
        start_server((const char *const[]){ NULL });
        health_ms();
        long before = peak_kb();
        fill(p, n, kind);
        int k = snprintf(head, sizeof head, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                         "Content-Type: application/json\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", port, n);
        uint64_t begun = os_now_ns();
        int fd = connect_to(true);
        send_all(fd, head, (size_t)k);
        send_all(fd, p, n);
        ssize_t r = recv(fd, text, sizeof text - 1, 0);
        double s = ms_since(begun) * 1e-3, times = (double)(peak_kb() - before) * 1024 / (double)n;
        text[r > 0 ? r : 0] = 0;
        close(fd);
        printf("bodies    32 MB, %-8s: status %.3s after %.3f s, the front grew by %.1f times the body\n", name[kind],
               text + 9, s, times);
        limit(s < 1, "a second for 32 MB");
        limit(times <= 3.05, "3 times the body");
        health_ms();
        stop_server();
    }
    free(p);
}

/* ---- overload ---- */

struct load { int fd; uint64_t begun; size_t n; char text[4096]; };

/* n clients without pause for some seconds; good: answers per second, refused: the median of a refusal in ms. */
static void load_for(int n, double seconds, double *good, double *refused, size_t *n_refused, size_t *n_bad)
{
    static const char answer[] = "{\"prompt\":\"Say something.\",\"max_tokens\":32,\"ignore_eos\":true}";
    static struct load c[2000];
    static struct pollfd p[2000];
    static double ms[1 << 16];
    size_t ok = 0, no = 0;
    *n_bad = 0;
    uint64_t begun = os_now_ns();
    for (int i = 0; i < n; i++) c[i].fd = -1;
    while (ms_since(begun) < seconds * 1e3) {
        for (int i = 0; i < n; i++) {
            if (c[i].fd < 0 && os_now_ns() >= c[i].begun) {
                c[i].begun = os_now_ns();
                c[i].n = 0;
                c[i].fd = ask(answer, "Connection: close\r\n");
            }
            p[i] = (struct pollfd){ c[i].fd, POLLIN, 0 };
        }
        poll(p, (nfds_t)n, 20);
        for (int i = 0; i < n; i++) {
            if (c[i].fd < 0 || !p[i].revents) continue;
            ssize_t k = recv(c[i].fd, c[i].text + c[i].n, sizeof c[i].text - 1 - c[i].n, 0);
            if (k > 0) {
                c[i].n += (size_t)k;
                continue;
            }
            c[i].text[c[i].n] = 0;
            bool busy = c[i].n > 12 && !strncmp(c[i].text + 9, "429", 3);
            if (busy && no < 1 << 16) ms[no] = ms_since(c[i].begun);
            no += busy;
            ok += c[i].n > 12 && !strncmp(c[i].text + 9, "200", 3);
            *n_bad += !busy && (c[i].n <= 12 || strncmp(c[i].text + 9, "200", 3) != 0);
            close(c[i].fd);
            c[i].fd = -1;
            /* One that was refused comes again when it was told, or up to a second later. */
            c[i].begun = os_now_ns() + (busy ? (uint64_t)(1000 + i * 619 % 1000) * 1000000 : 0);
        }
    }
    *good = (double)ok * 1e3 / ms_since(begun);
    *n_refused = no;
    *refused = no ? median(ms, no < 1 << 16 ? no : 1 << 16) : 0;
    for (int i = 0; i < n; i++)
        if (c[i].fd >= 0) close(c[i].fd);
}

static void overload(double seconds)
{
    double peak, good, ms, none;
    size_t refused, bad, bad_before;
    start_server((const char *const[]){ "--max-running", "8", "--max-queued", "16", NULL });
    load_for(24, 1, &peak, &none, &refused, &bad_before);
    load_for(24, seconds / 4, &peak, &none, &refused, &bad_before);
    load_for(240, seconds, &good, &ms, &refused, &bad);
    uint64_t over = os_now_ns();
    double after;
    do after = first_ms(); while ((after < 0 || after > 50) && ms_since(over) < 5000);
    double recovered = ms_since(over);
    printf("overload  240 clients for 24 places, %.0f s: %.0f answers/s, else %.0f (%.1f %%); %zu refused, in %.3f ms; "
           "%zu failed; well again after %.3f s\n", seconds, good, peak, good / peak * 100, refused, ms, bad + bad_before,
           recovered * 1e-3);
    limit(!bad && !bad_before, "every request is answered or refused");
    limit(refused > 0 && ms <= 10, "refusals within 10 ms");
    limit(good >= peak * 0.95, "95 % of the answers");
    limit(recovered < 1000, "well again within a second");
    stop_server();
}

/* ---- clock ---- */

static const char *faketime(void)
{
    static const char *const at[] = { "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
                                      "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1" };
    struct stat st;
    for (size_t i = 0; i < sizeof at / sizeof *at; i++)
        if (stat(at[i], &st) == 0) return at[i];
    return NULL;
}

static void set_clock(const char *path, const char *offset)
{
    FILE *f = fopen(path, "w");
    if (!f || fputs(offset, f) < 0 || fclose(f) != 0) die("cannot set the clock");
}

static void clock_jumps(void)
{
    char file[] = "/tmp/hearth-clock-XXXXXX", text[32768];
    int fd = mkstemp(file), whole = 0;
    const char *lib = faketime();
    if (!lib || fd < 0) {
        printf("clock     left out: there is no libfaketime\n");
        return;
    }
    close(fd);
    set_clock(file, "+0\n");
    setenv("LD_PRELOAD", lib, 1);
    setenv("FAKETIME_TIMESTAMP_FILE", file, 1);
    setenv("FAKETIME_NO_CACHE", "1", 1);
    setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1", 1);
    setenv("DONT_FAKE_MONOTONIC", "1", 1);
    start_server((const char *const[]){ "--no-sandbox", NULL });
    unsetenv("LD_PRELOAD");
    first_ms();
    enum { N = 16 };
    int stream[N], kept = connect_to(true);
    for (int i = 0; i < N; i++)
        stream[i] = ask("{\"prompt\":\"Go on.\",\"max_tokens\":300,\"ignore_eos\":true,\"stream\":true,\"deadline_ms\":600000}",
                        "Connection: close\r\n");
    static const char *const jump[] = { "+1y\n", "-1y\n", "+1h\n", "-1h\n", "+1s\n", "+0\n" };
    for (size_t i = 0; i < sizeof jump / sizeof *jump; i++) {
        set_clock(file, jump[i]);
        usleep(50000);
    }
    set_clock(file, "+1y\n");
    for (int i = 0; i < N; i++) {
        size_t n = 0;
        bool done = false;
        for (ssize_t k; (k = recv(stream[i], text + n, sizeof text - 1 - n, 0)) > 0;) {
            text[n += (size_t)k] = 0;
            done = done || strstr(text, "data: [DONE]");
            if (n > 16384) memmove(text, text + n - 64, 65), n = 64;
        }
        whole += done;
        close(stream[i]);
    }
    bool stays = !is_closed(kept);
    close(kept);
    double after = first_ms();
    printf("clock     %d of %d streams were whole, a quiet connection %s, first text then after %.3f ms\n", whole, N,
           stays ? "stayed" : "was closed", after);
    limit(whole == N && stays && after < 1000, "nothing depends on the clock");
    stop_server();
    unlink(file);
}

int main(int argc, char **argv)
{
    const char *what = argc > 1 ? argv[1] : "";
    int n = argc > 2 ? atoi(argv[2]) : 0;
    bool small = !*what, all = small || !strcmp(what, "all");
    net_raise_files();
    setvbuf(stdout, NULL, _IOLBF, 0);
    int readers = argc > 3 ? atoi(argv[3]) : small ? 10 : 200;
    if (all || !strcmp(what, "slow")) slow(argc > 3 ? n : small ? 100 : 1000, readers);
    if (all || !strcmp(what, "idle")) idle(n && n < MAX ? n : small ? 1000 : 10000);
    if (all || !strcmp(what, "bodies")) bodies();
    if (all || !strcmp(what, "overload")) overload(n && !all ? n : small ? 4 : 60);
    if (all || !strcmp(what, "clock")) clock_jumps();
    return failed;
}
