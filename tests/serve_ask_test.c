/* serve_ask_test.c - commands that ask a running server: ps, stop; and prove, which starts one. */
#include "tests/program.h"

#include "base/fs.h"
#include "base/json.h"

#define NEED_SERVE() do { \
        NEED_PROGRAM(); \
        if (getenv("EMULATOR") && *getenv("EMULATOR")) skip(); \
        struct result known = PROGRAM(NULL, "help", "serve"); \
        int code = known.code; \
        program_free(&known); \
        if (code) skip(); \
    } while (0)

static char folder[300], address[400], listen[420];
static pid_t server;

static void start(void)
{
    snprintf(folder, sizeof folder, "%s/hearth-ask-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(folder));
    setenv("HOME", folder, 1);
    snprintf(address, sizeof address, "--host=unix:%s/s", folder);
    snprintf(listen, sizeof listen, "%s", address);
    fflush(NULL);
    server = fork();
    if (server == 0) {
        int null = open("/dev/null", O_RDWR);
        for (int i = 0; i < 3; i++) dup2(null, i);
        program_exec((const char *const[]){ "serve", listen, "--log=-", NULL });
    }
    for (int i = 0; i < 1500; i++) {
        struct result r = PROGRAM(NULL, "ps", address);
        int code = r.code;
        program_free(&r);
        if (code == 0) return;
        fs_sleep_ms(20);
    }
    fail_msg("the server does not begin");
}

static void models_are_shown_and_let_go(void **unused)
{
    (void)unused;
    NEED_SERVE();
    start();
    struct result r = PROGRAM(NULL, "ps", address, "--json");
    program_expect(&r, 0);
    program_contains(r.out, "\"models\"");
    program_free(&r);
    r = PROGRAM(NULL, "stop", "no-such-model", address);
    program_expect(&r, 1);
    program_contains(r.err, "404");
    program_free(&r);
    r = PROGRAM(NULL, "stop", "spark", address);
    program_expect(&r, 0);
    program_free(&r);
    kill(server, SIGTERM);
    assert_int_equal(program_wait(server), 0);
    r = PROGRAM(NULL, "ps", address);
    program_expect(&r, 1);
    program_contains(r.err, "hearth serve");
    program_free(&r);
}

static void what_cannot_leave_is_shown(void **unused)
{
    (void)unused;
    NEED_SERVE();
    struct result r = PROGRAM(NULL, "prove", "--prompt", "Hi");
    if (strstr(r.out, "cannot do it") || strstr(r.out, "not filtered")) {
        if (r.code) {
            print_message("# this system, or this build, has no sandbox\n");
            program_free(&r);
            skip();
        }
    }
    program_expect(&r, 0);
    program_contains(r.out, "a conversation over the socket: \"");
    program_contains(r.out, "which computes): system calls are filtered for good");
    program_contains(r.out, "which strangers talk to): system calls are filtered for good");
    program_contains(r.out, "socket: Operation not permitted; connect: Operation not permitted");
    program_contains(r.out, "Nothing of this can leave the machine.");
    if (!strstr(r.err, "gives no network")) program_contains(r.out, "from the same network: Network is unreachable");
    program_free(&r);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(models_are_shown_and_let_go),
    cmocka_unit_test(what_cannot_leave_is_shown),
};
int main(void) { return run_tests(tests); }
