/* proc_test.c - processes and channels: how they end is told, what they inherit, and the process that starts others. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/sandbox.h"
#include "tests/testing.h"

static char script[400];

/* What is started: a shell that does what its third argument says. */
static int setup(void **unused)
{
    (void)unused;
    snprintf(script, sizeof script, "%s/hearth-proc-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    FILE *f = fopen(script, "w");
    if (!f) return -1;
    fputs("#!/bin/sh\neval \"$3\"\n", f);
    fclose(f);
    return chmod(script, 0700);
}

static int teardown(void **unused)
{
    (void)unused;
    return unlink(script);
}

/* Starts the script; what it writes to its channel is in out. */
static struct proc_end run(const char *word, const char *what, char *out, size_t n)
{
    const char *args[] = { word, "--", what, NULL };
    struct proc_end end = { 0 };
    struct proc *p;
    struct chan *c;
    struct err e;
    int theirs;
    size_t got = 0;
    if (chan_pair(&c, &theirs, &e) < 0 || proc_start(&p, script, args, theirs, &e) < 0) fail_msg("%s", e.msg);
    assert_true(proc_id(p) > 0);
    for (int64_t k; (k = chan_read(c, out + got, n - 1 - got)) != CHAN_CLOSED; got += (size_t)k)
        if (!k) chan_wait(c, false, 10000);
    out[got] = 0;
    for (int i = 0; i < 5000 && !proc_ended(p, &end); i++) fs_sleep_ms(1);
    assert_true(proc_ended(p, &end));
    proc_free(p);
    chan_close(c);
    return end;
}

static void check_ends(void)
{
    char out[256];
    struct proc_end e = run("engine", "printf hello >&3; exit 7", out, sizeof out);
    assert_string_equal(out, "hello");
    assert_true(e.code == 7 && !e.signal && !e.out_of_memory);
    e = run("engine", "kill -9 $$", out, sizeof out);
    assert_true(e.signal == 9);
    e = run("engine", "ls /proc/self/fd | tr '\\n' ' ' >&3", out, sizeof out);
    if (strstr(out, "0 1 2")) assert_null(strstr(out, "5"));   /* ls has one more of its own */
    e = run("engine", "cat <&0 >&3; echo end >&3", out, sizeof out);
    assert_string_equal(out, "end\n");
}

static void how_it_ended_is_told(void **unused)
{
    (void)unused;
    int other = open("/dev/null", O_RDONLY);                   /* not inherited, though nobody said so */
    check_ends();
    close(other);
}

static void freeing_kills(void **unused)
{
    (void)unused;
    const char *args[] = { "engine", "--", "exec sleep 100", NULL };
    struct proc *p;
    struct chan *c;
    struct err e;
    int theirs;
    assert_int_equal(chan_pair(&c, &theirs, &e), 0);
    assert_int_equal(proc_start(&p, script, args, theirs, &e), 0);
    int64_t pid = proc_id(p);
    struct proc_end end;
    assert_false(proc_ended(p, &end));
    assert_int_equal(kill((pid_t)pid, 0), 0);
    proc_free(p);
    assert_true(kill((pid_t)pid, 0) < 0 && errno == ESRCH);
    proc_free(NULL);
    chan_close(c);
}

static void waking_ends_waiting(void **unused)
{
    (void)unused;
    struct chan *c, *d;
    struct err e;
    int theirs;
    char b[8];
    assert_int_equal(chan_pair(&c, &theirs, &e), 0);
    assert_int_equal(chan_of(&d, theirs, &e), 0);
    for (int i = 0; i < 3; i++) {
        chan_wake(c);
        chan_wake(c);
        chan_wait(c, false, 20000);
    }
    uint64_t start = os_now_ns();
    chan_wait(c, false, 30);
    assert_true(os_now_ns() - start >= 20000000);
    assert_int_equal(chan_read(c, b, sizeof b), 0);
    assert_int_equal(chan_write(d, "abc", 3), 3);
    chan_wait(c, false, 20000);
    assert_int_equal(chan_read(c, b, sizeof b), 3);
    chan_close(d);
    assert_int_equal(chan_read(c, b, sizeof b), CHAN_CLOSED);
    assert_int_equal(chan_write(c, "x", 1), CHAN_CLOSED);
    chan_close(c);
}

/* Questions as nobody would ask them who had not taken over the process: it answers, or ends, and starts nothing. */
static int odd_questions(int fd)
{
    static char text[16384];
    struct { int32_t pid; uint32_t n; } q = { 0, sizeof text };
    int32_t answer[4];
    memset(text, 'a', sizeof text);                            /* arguments that never end */
    if (send(fd, &q, sizeof q, 0) != sizeof q || send(fd, text, sizeof text, 0) != sizeof text) return 10;
    if (recv(fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer || answer[0] != -1 || answer[1] != EPERM) return 11;
    q.n = 0;
    if (send(fd, &q, sizeof q, 0) != sizeof q || recv(fd, answer, sizeof answer, MSG_WAITALL) != sizeof answer) return 12;
    if (answer[0] != -1 || answer[1] != EPERM) return 13;
    return 0;
}

static int asked_oddly(void)
{
    static const char *const words[] = { "engine", NULL };
    struct err e;
    int fd = open("/dev/null", O_RDONLY);                      /* the number that the question's end will have */
    close(fd);
    return proc_keep(script, words, &e) < 0 ? 1 : odd_questions(fd);
}

static void a_keeper_checks_what_it_is_asked(void **unused)
{
    (void)unused;
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(asked_oddly());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A process that can start nothing any more has others started, but only what was agreed. */
static int kept(void)
{
    static const char *const rows[] = { "engine --", "pull --json --", "status", NULL };
    static const char *const other[][5] = {
        { "run", "--", "exit 0" }, { "engine" }, { "engine", "exit 0" }, { "engine", "--", "exit 0", "x" }, { "engine --", "x" },
        { "pull", "--", "exit 0" }, { "pull", "--json", "--hub=x", "--" }, { "status", "x" }, { "statu" }, { "" }, { NULL },
    };
    struct proc *p;
    struct chan *c;
    struct err e;
    unsigned reached;
    int theirs;
    if (proc_keep(script, rows, &e) < 0 || sandbox_serve(&reached, &e) < 0) return 1;
    check_ends();
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) {
        if (chan_pair(&c, &theirs, &e) < 0) return 2;
        if (proc_start(&p, script, other[i], theirs, &e) != ERR_IO || p) return 20 + (int)i;
        if (!strstr(e.msg, "not permitted")) return 4;
        chan_close(c);
    }
    freeing_kills(NULL);
    return 0;
}

/* What they write to standard error is read by this process, with a keeper or without. */
static int complaints(bool keeps)
{
    static const char *const rows[] = { "engine --", NULL };
    static const char *const args[] = { "engine", "--", "echo one >&2; echo two", NULL };
    struct proc *p;
    struct chan *errors, *c;
    struct err e;
    char text[16] = "";
    size_t n = 0;
    int theirs;
    if (proc_errors(&errors, &e) < 0 || (keeps && proc_keep(script, rows, &e) < 0)) return 1;
    for (int round = 0; round < 2; round++) {
        if (chan_pair(&c, &theirs, &e) < 0 || proc_start(&p, script, args, theirs, &e) < 0) return 2;
        for (n = 0; n < 8;) {
            int64_t k = chan_read(errors, text + n, sizeof text - 1 - n);
            if (k < 0) return 3;
            if (!k) chan_wait(errors, false, 20000);
            n += (size_t)k;
        }
        if (strcmp(text, "one\ntwo\n") != 0) return 4;
        proc_free(p);
        chan_close(c);
    }
    chan_close(errors);
    return 0;
}

static void what_others_complain_of(void **unused)
{
    (void)unused;
    for (int keeps = 0; keeps < 2; keeps++) {
        int status;
        fflush(NULL);
        pid_t pid = fork();
        if (pid == 0) _exit(complaints(keeps));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_int_equal(status, 0);
    }
}

static void a_keeper_starts_others(void **unused)
{
    (void)unused;
    int status;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(kept());
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(how_it_ended_is_told),
    cmocka_unit_test(freeing_kills),
    cmocka_unit_test(waking_ends_waiting),
    cmocka_unit_test(what_others_complain_of),
    cmocka_unit_test(a_keeper_starts_others),
    cmocka_unit_test(a_keeper_checks_what_it_is_asked),
};
int main(void) { return cmocka_run_group_tests(tests, setup, teardown); }
