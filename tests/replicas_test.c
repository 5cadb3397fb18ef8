/* replicas_test.c - deploy/replicas: four servers behind HAProxy.  The same beginning goes to the same replica; one that dies or
 * is drained under load loses no request but streams that had begun on the dead one.  With a number as its argument it kills
 * one of them every 5 seconds for so many seconds (make soak-deploy). */
#include "tests/http_client.h"
#include "tests/program_files.h"

#include <dirent.h>
#include <time.h>

enum { REPLICAS = 4, CLIENTS = 8 };

static pid_t script = -1;
static int front, base;

static void pause_ms(int ms) { nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000L }, NULL); }

/* Whether nobody listens on any of these. */
static bool all_free(int first, int n)
{
    for (int i = 0; i < n; i++) {
        struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)(first + i)) };
        a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        bool taken = bind(fd, (struct sockaddr *)&a, sizeof a) < 0;
        close(fd);
        if (taken) return false;
    }
    return true;
}

static int try_connect(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0) return fd;
    close(fd);
    return -1;
}

static bool there(void)
{
    const char *emulator = getenv("EMULATOR");
    return getenv("PROGRAM") && !(emulator && *emulator) && !system("PATH=$PATH:/usr/sbin haproxy -v > /dev/null 2>&1");
}

static bool answers(int port)
{
    int fd = try_connect(port);
    if (fd < 0) return false;
    close(fd);
    char *text = client_call(port, "GET", "/health", NULL, "");
    bool ok = client_status(text) == 200;
    free(text);
    return ok;
}

static void wait_until_answers(int port)
{
    for (int i = 0; !answers(port); i++) {
        if (i == 3000) fail_msg("port %d does not answer /health", port);
        pause_ms(10);
    }
}

static int start(void **unused)
{
    (void)unused;
    char listen[32], first[16];
    strcpy(dir, "/tmp/hearth-replicas-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    if (!there()) return 0;
    srand((unsigned)getpid());
    for (base = 20000 + rand() % 10000; !all_free(base, REPLICAS + 1); base += 7) { }
    front = base;
    snprintf(listen, sizeof listen, "127.0.0.1:%d", front);
    snprintf(first, sizeof first, "%d", base);
    fflush(NULL);
    script = fork();
    if (script == 0) {
        setenv("HEARTH", getenv("PROGRAM"), 1);
        setenv("HEARTH_MODELS", in_dir("models"), 1);
        setenv("HOME", dir, 1);
        execl("deploy/replicas", "replicas", "-l", listen, "-r", first, "-d", in_dir("run"), "--", "--threads", "1",
              (char *)NULL);
        _exit(126);
    }
    wait_until_answers(front);
    return 0;
}

static int stop(void **unused)
{
    (void)unused;
    char command[128];
    int rc = 0;
    if (script > 0) {
        kill(script, SIGTERM);
        rc = program_wait(script);
    }
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command) || rc ? -1 : 0;
}

/* The number of the replica that answered, from 1 on. */
static int replica_of(const char *answer)
{
    const char *at = strstr(answer, "x-replica: r");
    if (!at) fail_msg("no replica in: %s", answer);
    return atoi(at + 12);
}

static int ask(const char *path, const char *body, const char *fields)
{
    char *answer = client_call(front, body ? "POST" : "GET", path, body, fields);
    if (client_status(answer) != 200) fail_msg("%s", answer);
    int r = replica_of(answer);
    free(answer);
    return r;
}

/* A request of a conversation, in one of three dialects. */
static int say(int user, int turn)
{
    static const struct { const char *path, *before, *between, *after; } dialect[] = {
        { "/v1/chat/completions", "{\"messages\":[{\"role\":\"system\",\"content\":\"You help user ",
          ".\"},{\"role\":\"user\",\"content\":\"Question ", "\"}],\"max_tokens\":1}" },
        { "/v1/messages", "{\"system\":[{\"type\":\"text\",\"text\":\"You help user ",
          ".\"}],\"messages\":[{\"role\":\"user\",\"content\":\"Question ", "\"}],\"max_tokens\":1}" },
        { "/v1/responses", "{\"instructions\":\"You help user ", ".\",\"input\":\"Question ", "\",\"max_output_tokens\":1}" },
    };
    char body[512];
    size_t d = (size_t)turn % 3;
    snprintf(body, sizeof body, "%s%d%s%d%s", dialect[d].before, user, dialect[d].between, turn, dialect[d].after);
    return ask(dialect[d].path, body, "");
}

/* One that is a moment busier than the others, because it has not quite done with the last request, may be passed over: a few
 * go elsewhere.  By chance a quarter would stay. */
static void the_same_beginning_goes_to_the_same_replica(void **unused)
{
    (void)unused;
    if (!there()) skip();
    enum { USERS = 12, TURNS = 6 };
    int by[REPLICAS + 1] = { 0 }, stayed = 0, used = 0;
    for (int user = 0; user < USERS; user++) {
        int most = 0, at[REPLICAS + 1] = { 0 };
        for (int turn = 0; turn < TURNS; turn++) at[say(user, turn)]++;
        for (int r = 1; r <= REPLICAS; r++) {
            by[r] += at[r];
            if (at[r] > most) most = at[r];
        }
        stayed += most;
    }
    for (int r = 1; r <= REPLICAS; r++) used += by[r] > 0;
    if (used < 2 || stayed < USERS * TURNS * 4 / 5)
        fail_msg("%d of %d requests stayed with their replica; %d replicas had some", stayed, USERS * TURNS, used);
    stayed = 0;
    int first = ask("/v1/completions", "{\"prompt\":\"one\",\"max_tokens\":1}", "X-Prefix-Key: mine\r\n");
    for (int i = 0; i < TURNS; i++) {
        char body[64];
        snprintf(body, sizeof body, "{\"prompt\":\"another %d\",\"max_tokens\":1}", i);
        stayed += ask("/v1/completions", body, "X-Prefix-Key: mine\r\n") == first;
    }
    if (stayed < TURNS / 2) fail_msg("%d of %d requests with one X-Prefix-Key stayed", stayed, TURNS);
}

static void a_stored_answer_is_found(void **unused)
{
    (void)unused;
    if (!there()) skip();
    for (int i = 0; i < 8; i++) {
        char body[256], path[128], id[64];
        snprintf(body, sizeof body, "{\"input\":\"Begin %d\",\"max_output_tokens\":1}", i);
        char *answer = client_call(front, "POST", "/v1/responses", body, "");
        const char *at = strstr(answer, "x-response-id: ");
        if (!at || sscanf(at + 15, "%60[a-zA-Z0-9_]", id) != 1) fail_msg("%s", answer);
        int r = replica_of(answer);
        free(answer);
        snprintf(path, sizeof path, "/v1/responses/%s", id);
        assert_int_equal(ask(path, NULL, ""), r);
        snprintf(body, sizeof body, "{\"input\":\"Go on\",\"previous_response_id\":\"%s\",\"max_output_tokens\":1}", id);
        assert_int_equal(ask("/v1/responses", body, ""), r);
    }
}

/* ---- under load ---- */

enum { TIMES = 1 << 17 };
struct request { int fd; bool stream; size_t n; uint64_t begun; char text[32768]; };
static struct load {
    struct request r[CLIENTS];
    size_t asked, good, cut, n_first;
    int by[REPLICAS + 1];
    float first[TIMES];            /* ms to the first byte of each answer */
} load;

static void send_one(struct request *r)
{
    char body[256], head[512];
    r->stream = load.asked % 2 == 0;
    r->n = 0;
    int n = snprintf(body, sizeof body, "{\"prompt\":\"Number %zu of the load:\",\"max_tokens\":24,\"ignore_eos\":true,"
                     "\"stream\":%s}", load.asked++, r->stream ? "true" : "false");
    int k = snprintf(head, sizeof head, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n"
                     "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", front, n, body);
    r->begun = os_now_ns();
    r->fd = client_open(front);
    assert_true(client_send(r->fd, head, (size_t)k));
}

/* A request is over: it was answered, or is a stream that had begun, perhaps with no more than its head.  `dead`: a replica
 * whose streams may be cut, or 0. */
static void judge(struct request *r, int dead)
{
    r->text[r->n] = 0;
    close(r->fd);
    r->fd = -1;
    if (client_status(r->text) != 200) fail_msg("request refused: %s", r->text);
    int by = replica_of(r->text);
    bool whole = strstr(r->text, r->stream ? "data: [DONE]" : "\"finish_reason\":\"length\"") != NULL;
    load.by[by]++;
    if (whole) load.good++;
    else if (r->stream && by == dead) load.cut++;
    else
        fail_msg("%s of replica %d ended too early (%d was killed): %s", r->stream ? "a stream" : "an answer", by, dead, r->text);
}

static void run_for(int ms, int dead, bool to_end)
{
    uint64_t end = os_now_ns() + (uint64_t)ms * 1000000;
    for (int open = 1; open;) {
        struct pollfd p[CLIENTS];
        bool more = os_now_ns() < end;
        open = 0;
        for (int i = 0; i < CLIENTS; i++) {
            if (load.r[i].fd < 0 && more) send_one(&load.r[i]);
            p[i] = (struct pollfd){ load.r[i].fd, POLLIN, 0 };
            open += load.r[i].fd >= 0;
        }
        if (!open || (!more && !to_end)) return;
        if (poll(p, CLIENTS, 30000) <= 0) fail_msg("nothing has come for 30 s");
        for (int i = 0; i < CLIENTS; i++) {
            struct request *r = &load.r[i];
            if (!p[i].revents) continue;
            ssize_t k = recv(r->fd, r->text + r->n, sizeof r->text - 1 - r->n, 0);
            if (k > 0 && !r->n && load.n_first < TIMES) load.first[load.n_first++] = (float)(os_now_ns() - r->begun) * 1e-6f;
            if (k > 0) r->n += (size_t)k;
            else judge(r, dead);
        }
    }
}

static pid_t pid_of(int replica)
{
    char name[32], text[32] = "";
    snprintf(name, sizeof name, "run/r%d.pid", replica);
    FILE *f = fopen(in_dir(name), "r");
    if (!f) return 0;
    if (!fgets(text, sizeof text, f)) *text = 0;
    fclose(f);
    return (pid_t)atoi(text);
}

static void replicas_die_and_leave_under_load(void **unused)
{
    (void)unused;
    if (!there()) skip();
    for (int i = 0; i < CLIENTS; i++) load.r[i].fd = -1;
    run_for(150, 0, false);
    /* One dies: only streams that had begun there are cut, and it comes back. */
    pid_t first = pid_of(1);
    assert_true(first > 1);
    kill(first, SIGKILL);
    run_for(400, 1, false);
    /* One is drained: nothing at all is lost, and it stays away. */
    pid_t second = pid_of(2);
    assert_true(second > 1);
    kill(second, SIGTERM);
    run_for(400, 1, true);
    size_t cut = load.cut;
    for (int i = 0; i < 2000 && (pid_of(2) || !pid_of(1)); i++) pause_ms(10);
    assert_int_equal(pid_of(2), 0);
    assert_true(pid_of(1) && pid_of(1) != first);
    wait_until_answers(base + 1);
    memset(load.by, 0, sizeof load.by);
    run_for(150, 0, true);
    assert_int_equal(load.by[2], 0);
    assert_int_equal(load.cut, cut);
    assert_true(load.by[3] && load.by[4]);
    if (load.cut > CLIENTS / 2) fail_msg("%zu streams were cut, and at most %d ran", load.cut, CLIENTS / 2);
    print_message("%zu requests: %zu whole, %zu streams cut\n", load.asked, load.good, load.cut);
}

/* ---- for longer ---- */

static int seconds;

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Of the answers since the last time; begins anew. */
static double p99(void)
{
    qsort(load.first, load.n_first, sizeof *load.first, by_size);
    double v = load.n_first ? load.first[load.n_first * 99 / 100] : 0;
    load.n_first = 0;
    return v;
}

static void one_dies_every_five_seconds(void **unused)
{
    (void)unused;
    if (!there()) skip();
    for (int i = 0; i < CLIENTS; i++) load.r[i].fd = -1;
    run_for(5000, 0, false);
    double steady = p99();
    int deaths = 0;
    for (int at = 5; at < seconds; at += 5, deaths++) {
        int replica = deaths % REPLICAS + 1;
        pid_t pid = pid_of(replica);
        assert_true(pid > 1);
        kill(pid, SIGKILL);
        run_for(5000, replica, at + 5 >= seconds);
    }
    print_message("%zu requests, %d deaths: %zu whole, %zu streams cut (%.3f %%); first byte: 99 %% within %.1f ms, %.1f ms "
                  "without deaths\n", load.asked, deaths, load.good, load.cut, 100.0 * (double)load.cut / (double)load.asked,
                  p99(), steady);
    assert_int_equal(load.asked, load.good + load.cut);
    assert_true(load.cut * 1000 < load.asked);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest soak[] = { cmocka_unit_test(one_dies_every_five_seconds) };
    if (argc > 1 && (seconds = atoi(argv[1])) > 0) return cmocka_run_group_tests(soak, start, stop);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_beginning_goes_to_the_same_replica),
        cmocka_unit_test(a_stored_answer_is_found),
        cmocka_unit_test(replicas_die_and_leave_under_load),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
