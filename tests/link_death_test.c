/* link_death_test.c - the engine process dies: jobs are sent again and go on as if nothing had happened, those that kill it are
 * given up, and it dies with the server. */
#include "tests/link_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define JOB(more) "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Once upon a time\"" more "}"
/* Long answers; under sanitizers a token takes thirty times as long. */
#if TEST_SHARE > 1
#define LONG "48"
#else
#define LONG "120"
#endif
#define OPTIONS(more) ",\"options\":{\"seed\":7,\"temperature\":1,\"ignore_eos\":true,\"max_tokens\":" LONG more "}"

static struct link *open_quiet(void)
{
    return open_link((struct link_options){ .threads = 1, .no_sandbox = true });
}

static void kill_engine(struct link *l)
{
    struct link_state s;
    link_state(l, &s);
    if (s.pid > 0) kill((pid_t)s.pid, SIGKILL);
}

/* What a client sees of a job whose engine is killed in mid-stream is what it sees of an undisturbed one, byte for byte. */
static void a_stream_goes_on(void **unused)
{
    (void)unused;
    NEED_LINK();
    static const char *const job[] = {
        JOB(OPTIONS("")), JOB(",\"n\":3,\"want_ids\":true" OPTIONS("")),
        JOB(",\"logprobs\":2" OPTIONS(",\"ban\":[\"the\",\"she\"]")),
        JOB(OPTIONS(",\"mirostat\":2")),
    };
    struct link *l = open_quiet();
    for (size_t i = 0; i < sizeof job / sizeof *job; i++) {
        if (!IN_SHARE(i)) continue;
        struct kept a = { .n_text = 0 }, b = { .kill_after = 10 + 20 * (uint32_t)i };
        struct link_state before, after;
        run_job(l, &a, job[i]);
        link_state(l, &before);
        run_job(l, &b, job[i]);
        link_state(l, &after);
        assert_int_equal(after.n_restarts, before.n_restarts + 1);
        assert_string_equal(b.message, "");
        assert_int_equal(b.n_start, 1);
        for (int k = 0; k < LANES; k++) {
            assert_string_equal(text_of(&a, k), text_of(&b, k));
            assert_string_equal(a.reason[k], b.reason[k]);
        }
        assert_int_equal(a.n_text, b.n_text);
        assert_true(a.text[0].len > 100);
        kept_release(&a);
        kept_release(&b);
    }
    link_close(l);
}

/* The seed is chosen once, not by each engine process. */
static void a_stream_without_a_seed_goes_on(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    struct kept k = { .kill_after = 30 };
    run_job(l, &k, JOB(",\"options\":{\"temperature\":1,\"ignore_eos\":true,\"max_tokens\":60}"));
    assert_string_equal(k.message, "");
    assert_int_equal(k.tokens[0], 60);
    kept_release(&k);
    link_close(l);
}

/* One that is stopped, as one that hangs, is noticed and replaced; one that only has nothing to do is not. */
static void a_silent_process_is_replaced(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_link((struct link_options){ .threads = 1, .no_sandbox = true, .silence_ms = 1000 });
    struct kept a = { .n_text = 0 }, b = { .kill_after = 40, .signal = SIGSTOP };
    struct link_state s;
    run_job(l, &a, JOB(OPTIONS("")));
    fs_sleep_ms(1500);
    link_state(l, &s);
    assert_int_equal(s.n_restarts, 0);
    run_job(l, &b, JOB(OPTIONS("")));
    link_state(l, &s);
    assert_true(s.n_restarts > 0);
    assert_string_equal(b.message, "");
    assert_string_equal(text_of(&a, 0), text_of(&b, 0));
    kept_release(&a);
    kept_release(&b);
    link_close(l);
}

enum { MANY = TEST_SHARE > 1 ? 5 : 12 };

/* Many at once, one of which kills it; all have what they would have alone, within two seconds and their own time. */
static void many_streams_go_on(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    struct kept a[MANY] = { { .n_text = 0 } }, b[MANY] = { { .n_text = 0 } };
    char job[256];
    struct err e;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < MANY; i++) {
            struct kept *k = round ? &b[i] : &a[i];
            if (round && i == 3) k->kill_after = 20;
            snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Story %d.\","
                     "\"options\":{\"seed\":%d,\"temperature\":1,\"ignore_eos\":true,\"max_tokens\":%d}}", i, i, 20 + i * 5);
            if (submit_job(l, k, job, &e) < 0) fail_msg("%s", e.msg);
            if (!round || i == MANY - 1)
                for (int w = round ? 0 : i; w <= i; w++) wait_job(round ? &b[w] : &a[w]);
        }
    for (int i = 0; i < MANY; i++) {
        assert_string_equal(b[i].message, "");
        assert_string_equal(text_of(&a[i], 0), text_of(&b[i], 0));
        kept_release(&a[i]);
        kept_release(&b[i]);
    }
    link_close(l);
}

static void it_is_back_within_two_seconds(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    uint64_t best = UINT64_MAX;                        /* what else this machine does only makes it slower */
    for (int i = 0; i < 3; i++) {
        struct kept k = { .n_text = 0 };
        uint64_t start = os_now_ns();
        kill_engine(l);
        run_job(l, &k, JOB(",\"options\":{\"max_tokens\":3}"));
        assert_string_equal(k.message, "");
        if (os_now_ns() - start < best) best = os_now_ns() - start;
        kept_release(&k);
    }
    assert_true(best < UINT64_C(2000000000));
    link_close(l);
}

/* A job during which it dies again and again is given up, and refused when it comes back; others are served meanwhile. */
static void a_job_that_kills(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    struct kept bad = { .n_text = 0 }, good = { .n_text = 0 };
    struct link_state s;
    struct err e;
    assert_int_equal(submit_job(l, &bad, JOB(",\"options\":{\"seed\":1,\"ignore_eos\":true,\"max_tokens\":3900}"), &e), 0);
    assert_int_equal(submit_job(l, &good, JOB(",\"options\":{\"seed\":2,\"ignore_eos\":true,\"max_tokens\":60}"), &e), 0);
    wait_job(&good);
    assert_int_equal(good.tokens[0], 60);
    for (uint32_t i = 0; i < 3; i++) {
        for (link_state(l, &s); !s.ready || s.n_restarts != i; link_state(l, &s)) fs_sleep_ms(2);
        fs_sleep_ms(20);
        assert_false(atomic_load(&bad.over));
        kill_engine(l);
    }
    wait_job(&bad);
    assert_string_equal(bad.kind, "engine");
    assert_non_null(strstr(bad.message, "signal 9"));
    kept_release(&bad);
    assert_int_equal(submit_job(l, &bad, JOB(",\"options\":{\"seed\":1,\"ignore_eos\":true,\"max_tokens\":3900}"), &e), ERR_IO);
    assert_non_null(strstr(e.msg, "died each time"));
    kept_release(&good);
    run_job(l, &good, JOB(",\"options\":{\"seed\":2,\"ignore_eos\":true,\"max_tokens\":10}"));
    assert_int_equal(good.tokens[0], 10);
    kept_release(&good);
    link_close(l);
}

/* When it dies whatever is done, everything ends soon and new jobs are refused. */
static void it_does_not_stay_alive(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    struct kept k = { .n_text = 0 };
    struct link_state s;
    struct err e;
    int rc = 0;
    for (uint32_t i = 0; i < 6; i++) {
        for (link_state(l, &s); !s.ready || s.n_restarts != i; link_state(l, &s)) fs_sleep_ms(2);
        if (i == 5) assert_int_equal(submit_job(l, &k, JOB(",\"options\":{\"max_tokens\":2000,\"ignore_eos\":true}"), &e), 0);
        kill_engine(l);
    }
    wait_job(&k);
    assert_string_equal(k.kind, "engine");
    assert_non_null(strstr(k.message, "does not stay alive"));
    kept_release(&k);
    rc = submit_job(l, &k, JOB(""), &e);
    assert_int_equal(rc, ERR_IO);
    link_close(l);
}

static bool is_pinned(struct link *l)
{
    struct kept k = { .n_text = 0 };
    run_job(l, &k, "{\"op\":\"status\"}");
    bool pinned = json_bool(json_get(json_at(json_get(k.done, "models"), 0), "pinned"));
    kept_release(&k);
    return pinned;
}

/* A pinned model is loaded and pinned again; one that no longer is is not. */
static void what_was_pinned_is_so_again(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    struct kept k = { .n_text = 0 };
    struct link_state s;
    for (uint32_t i = 0; i < 2; i++) {
        run_job(l, &k, i ? "{\"op\":\"unload\",\"model\":\"embedded\"}"
                         : "{\"op\":\"load\",\"model\":\"embedded\",\"pin\":true}");
        assert_string_equal(k.message, "");
        kept_release(&k);
        kill_engine(l);
        for (link_state(l, &s); !s.ready || s.n_restarts != i + 1; link_state(l, &s)) fs_sleep_ms(2);
        /* What is done again takes a moment, and is done when no job is left. */
        for (int t = 0; t < 2000 && (is_pinned(l) == (bool)i || (link_state(l, &s), s.n_jobs)); t++) fs_sleep_ms(5);
        assert_int_equal(is_pinned(l), !i);
    }
    link_close(l);
}

/* ---- what is not the engine ---- */

static const char *script(const char *text)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/hearth-script-%d", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp", (int)getpid());
    FILE *f = fopen(path, "w");
    fprintf(f, "#!/bin/sh\n%s\n", text);
    fclose(f);
    chmod(path, 0700);
    return path;
}

static void a_program_that_is_no_engine(void **unused)
{
    (void)unused;
    NEED_LINK();
    static const struct { const char *text, *word; } row[] = {
        { "exit 3", "exit code 3" },
        { "kill -11 $$", "signal 11" },
        { "printf 'this is no frame at all' >&3; exec sleep 300", "should not" },
        { "printf '\\002\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0{]' >&3; exec sleep 300", "should not" },
        { "printf '\\002\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0{}' >&3; exec sleep 300", "no hello" },
        { "printf '\\002\\0\\0\\0\\011\\0\\0\\0\\0\\0\\0\\0[]' >&3; exec sleep 300", "no event" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct link_options o = { .program = script(row[i].text) };
        struct link *l;
        struct err e;
        uint64_t start = os_now_ns();
        assert_int_equal(link_open(&l, &o, &e), ERR_IO);
        if (!strstr(e.msg, row[i].word)) fail_msg("%s: %s", row[i].text, e.msg);
        assert_null(l);
        assert_true(os_now_ns() - start < UINT64_C(60000000000));
    }
    struct link_options o = { .program = "/nowhere/hearth" };
    struct link *l;
    struct err e;
    assert_int_equal(link_open(&l, &o, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "exit code 127"));
}

/* A line of a script that sends a frame; one that waits for whatever comes. */
static void say(char *to, unsigned id, const char *text)
{
    sprintf(to + strlen(to), "printf '\\%03o\\0\\0\\0\\%03o\\0\\0\\0\\0\\0\\0\\0%s' >&3\n", (unsigned)strlen(text), id, text);
}
#define WAITS "dd bs=65536 count=1 <&3 >/dev/null 2>&1\n"
#define HELLO "{\"event\":\"hello\",\"sandbox\":\"none\"}"
#define TEXT(s) "{\"event\":\"text\",\"i\":0,\"text\":\"" s "\"}"

static const char *in_turns(const char *text)
{
    static char all[4096];
    snprintf(all, sizeof all, "n=$(cat $0.n 2>/dev/null || echo 0); echo $((n + 1)) > $0.n\n%s", text);
    const char *path = script(all);
    char count[512];
    snprintf(count, sizeof count, "%s.n", path);
    unlink(count);
    return path;
}

static void a_process_says_hello_once(void **unused)
{
    (void)unused;
    NEED_LINK();
    char text[1024] = WAITS;
    say(text, 0, HELLO);
    say(text, 0, HELLO);
    strcat(text, "exec sleep 300");
    struct link_options o = { .program = script(text) };
    struct link *l;
    struct link_state s = { .n_restarts = 0 };
    struct err e;
    int rc = link_open(&l, &o, &e);                            /* it may be over already */
    for (int i = 0; rc == 0 && i < 2000 && !s.n_restarts; i++, link_state(l, &s)) fs_sleep_ms(5);
    assert_true(rc < 0 || s.n_restarts);
    link_close(l);
}

/* One that never says hello, and one that says it and then computes for ever: its first thread speaks, but not of life. */
static void silence_from_the_start(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link_options o = { .program = script("exec sleep 300"), .silence_ms = 200 };
    struct link *l;
    struct link_state s = { .n_restarts = 0 };
    struct err e;
    char text[1024] = WAITS;
    assert_int_equal(link_open(&l, &o, &e), ERR_IO);
    assert_non_null(strstr(e.msg, "no sign of life for 200 ms"));
    say(text, 0, HELLO);
    say(text, 1, TEXT("a"));
    strcat(text, "while sleep 0.02; do\n");
    say(text, 1, TEXT("b"));
    strcat(text, "done");
    o.program = script(text);
    int rc = link_open(&l, &o, &e);                            /* it may be over already */
    for (int i = 0; rc == 0 && i < 2000 && !s.n_restarts; i++, link_state(l, &s)) fs_sleep_ms(5);
    assert_true(rc < 0 || s.n_restarts);
    link_close(l);
}

/* Sent again, an answer that ends before what was told of it is none. */
static void less_than_before_is_an_error(void **unused)
{
    (void)unused;
    NEED_LINK();
    char text[2048] = WAITS;
    say(text, 0, HELLO);
    strcat(text, WAITS "if [ $n = 0 ]; then\n");
    say(text, 1, "{\"event\":\"start\"}");
    say(text, 1, TEXT("a"));
    say(text, 1, TEXT("b"));
    strcat(text, "exit 1\nfi\n");
    say(text, 1, "{\"event\":\"start\"}");
    say(text, 1, TEXT("a"));
    say(text, 1, "{\"event\":\"done\"}");
    strcat(text, "exec sleep 300");
    struct link_options o = { .program = in_turns(text) };
    struct link *l;
    struct kept k = { .n_text = 0 };
    struct err e;
    if (link_open(&l, &o, &e) < 0) fail_msg("%s", e.msg);
    run_job(l, &k, JOB(""));
    assert_string_equal(text_of(&k, 0), "ab");
    assert_string_equal(k.kind, "engine");
    assert_non_null(strstr(k.message, "could not be continued"));
    kept_release(&k);
    link_close(l);
}

/* A pin that no process survives is given up, instead of being tried for ever. */
static void what_lasts_may_not_kill_for_ever(void **unused)
{
    (void)unused;
    NEED_LINK();
    char text[2048] = WAITS;
    say(text, 0, HELLO);
    strcat(text, WAITS "[ $n = 0 ] || exit 1\n");
    say(text, 1, "{\"event\":\"done\"}");
    strcat(text, "sleep 0.2; exit 1");
    struct link_options o = { .program = in_turns(text) };
    struct link *l;
    struct link_state s;
    struct kept k = { .n_text = 0 };
    struct err e;
    if (link_open(&l, &o, &e) < 0) fail_msg("%s", e.msg);
    run_job(l, &k, "{\"op\":\"load\",\"model\":\"embedded\",\"pin\":true}");
    assert_string_equal(k.message, "");
    link_state(l, &s);
    for (int i = 0; i < 2000 && s.n_restarts < 4; i++, link_state(l, &s)) fs_sleep_ms(5);
    assert_int_equal(s.n_restarts, 4);
    fs_sleep_ms(1500);
    link_state(l, &s);
    assert_int_equal(s.n_restarts, 4);
    assert_true(s.ready && !s.n_jobs);
    kept_release(&k);
    link_close(l);
}

/* The process has left, and it is not known yet why: what is asked for meanwhile waits for the next. */
static void a_job_while_it_ends(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link_options o = { .program = script("printf '\\042\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0{\"event\":\"hello\","
                                                "\"sandbox\":\"none\"}' >&3; exec sleep 300 3>&-") };
    struct link *l;
    struct kept k = { .n_text = 0 };
    struct err e;
    if (link_open(&l, &o, &e) < 0) fail_msg("%s", e.msg);
    fs_sleep_ms(100);
    if (submit_job(l, &k, JOB(""), &e) < 0) fail_msg("%s", e.msg);
    assert_false(atomic_load(&k.over));
    link_close(l);
    assert_string_equal(k.kind, "cancelled");
    kept_release(&k);
}

static void closing_ends_every_job(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct link *l = open_quiet();
    struct kept k[4] = { { .n_text = 0 } };
    struct link_state s;
    struct err e;
    for (int i = 0; i < 4; i++)
        assert_int_equal(submit_job(l, &k[i], JOB(",\"options\":{\"max_tokens\":3000,\"ignore_eos\":true}"), &e), 0);
    assert_false(link_drain(l, 30));
    assert_int_equal(submit_job(l, &k[0], JOB(""), &e), ERR_CANCELLED);
    link_state(l, &s);
    assert_true(s.draining && s.n_jobs == 4);
    for (int i = 0; i < 4; i++) link_cancel(l, (uint64_t)i + 1);
    assert_true(link_drain(l, 10000));
    for (int i = 0; i < 4; i++) assert_true(!strcmp(k[i].reason[0], "cancelled") || !strcmp(k[i].kind, "cancelled"));
    link_close(l);
    assert_int_equal(kill((pid_t)s.pid, 0), -1);
    for (int i = 0; i < 4; i++) kept_release(&k[i]);
    l = open_quiet();
    assert_int_equal(submit_job(l, &k[0], JOB(",\"options\":{\"max_tokens\":3000,\"ignore_eos\":true}"), &e), 0);
    link_close(l);
    assert_string_equal(k[0].kind, "cancelled");
    kept_release(&k[0]);
}

/* One that only waits for its new parent to look is dead. */
static bool is_alive(int32_t pid)
{
    char path[64], state = 'Z';
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%*d (%*[^)]) %c", &state) != 1) state = 'Z';
    if (f) fclose(f);
    return kill(pid, 0) == 0 && (state != 'Z' || !f);
}

/* The server is killed: its engine does not live on. */
static void it_dies_with_the_server(void **unused)
{
    (void)unused;
    NEED_LINK();
    int fd[2];
    int32_t pid = 0;
    assert_int_equal(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        struct link_state s;
        struct kept k = { .n_text = 0 };
        struct err e;
        struct link *l = open_quiet();
        submit_job(l, &k, JOB(",\"options\":{\"max_tokens\":4000,\"ignore_eos\":true}"), &e);
        while (atomic_load(&k.texts) < 2) fs_sleep_ms(1);
        link_state(l, &s);
        pid = (int32_t)s.pid;
        if (write(fd[1], &pid, sizeof pid) < 0) { }
        for (;;) pause();
    }
    assert_int_equal(read(fd[0], &pid, sizeof pid), sizeof pid);
    assert_int_equal(kill(pid, 0), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    int ms = 0;
    while (is_alive(pid) && ms < 5000) {
        fs_sleep_ms(10);
        ms += 10;
    }
    assert_false(is_alive(pid));
    close(fd[0]);
    close(fd[1]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(it_dies_with_the_server),
    cmocka_unit_test(a_stream_goes_on),
    cmocka_unit_test(a_stream_without_a_seed_goes_on),
    cmocka_unit_test(a_silent_process_is_replaced),
    cmocka_unit_test(silence_from_the_start),
    cmocka_unit_test(many_streams_go_on),
    cmocka_unit_test(it_is_back_within_two_seconds),
    cmocka_unit_test(what_was_pinned_is_so_again),
    cmocka_unit_test(a_job_that_kills),
    cmocka_unit_test(it_does_not_stay_alive),
    cmocka_unit_test(a_program_that_is_no_engine),
    cmocka_unit_test(a_job_while_it_ends),
    cmocka_unit_test(a_process_says_hello_once),
    cmocka_unit_test(less_than_before_is_an_error),
    cmocka_unit_test(what_lasts_may_not_kill_for_ever),
    cmocka_unit_test(closing_ends_every_job),
};
int main(void) { return run_tests(tests); }
