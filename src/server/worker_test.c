/* worker_test.c - the engine process as a thread of this one, so that its allocations can fail: every job ends, with an answer,
 * an error, or the end of the process; never with a crash or without an end. */
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/proc.h"
#include "server/frame.h"
#include "server/worker.h"
#include "tests/testing.h"

struct side { struct chan *chan; struct os_thread *thread; int fd; char text[1 << 16]; size_t n; };

static void work(void *arg)
{
    struct err e;
    worker_run(((struct side *)arg)->fd, &e);
}

/* Writes a frame without allocating anything. */
static void send_frame(struct side *s, uint64_t id, const char *text)
{
    char frame[1024];
    size_t n = strlen(text);
    assert_true(n + FRAME_HEAD < sizeof frame);
    for (unsigned i = 0; i < 4; i++) frame[i] = (char)(n >> 8 * i);
    for (unsigned i = 0; i < 8; i++) frame[4 + i] = (char)(id >> 8 * i);
    memcpy(frame + FRAME_HEAD, text, n);
    chan_write(s->chan, frame, FRAME_HEAD + n);
}

enum ending { ENDS_DONE, ENDS_ERROR, ENDS_GONE };

static bool has(const struct side *s, const char *word)
{
    for (size_t i = 0; i + strlen(word) <= s->n; i++)
        if (!memcmp(s->text + i, word, strlen(word))) return true;
    return false;
}

/* What comes until the last event, or until nothing comes any more. */
static enum ending listen_for(struct side *s, const char *last)
{
    uint64_t end = os_now_ns() + UINT64_C(60000000000);
    for (s->n = 0; os_now_ns() < end;) {
        if (s->n > sizeof s->text - 4096) s->n = 0;
        int64_t k = chan_read(s->chan, s->text + s->n, sizeof s->text - s->n);
        if (k == CHAN_CLOSED) return ENDS_GONE;
        s->n += (size_t)k;
        if (has(s, last)) return ENDS_DONE;
        if (has(s, "\"event\":\"error\"")) return ENDS_ERROR;
        if (!k) chan_wait(s->chan, false, 1000);
    }
    mem_fail_after(-1);
    fail_msg("no end: %.*s", (int)s->n, s->text);
    return ENDS_GONE;
}

static void begin_with(struct side *s, const char *settings)
{
    struct err e;
    assert_int_equal(chan_pair(&s->chan, &s->fd, &e), 0);
    assert_int_equal(os_thread_start(&s->thread, work, s, &e), 0);
    send_frame(s, 0, settings);
    assert_int_equal(listen_for(s, "\"event\":\"hello\""), ENDS_DONE);
}

static void begin(struct side *s)
{
    begin_with(s, "{\"folders\":[],\"no_sandbox\":true,\"threads\":1,\"keep_alive_s\":-1}");
}

static void end(struct side *s)
{
    chan_close(s->chan);
    os_thread_join(s->thread);
}

static void allocations_that_fail(void **unused)
{
    (void)unused;
    static const char *const job[] = {
        "{\"op\":\"generate\",\"model\":\"embedded\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}],\"n\":2,"
        "\"logprobs\":1,\"want_ids\":true,\"no_cache\":true,"
        "\"options\":{\"max_tokens\":4,\"ban\":[\"Hello\"],\"stop\":[\"@\"],\"logit_bias\":[[5,1]]}}",
        "{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"one\",[1,2,3]]}",
        "{\"op\":\"tokenize\",\"model\":\"embedded\",\"text\":\"some words\"}",
        "{\"op\":\"template\",\"model\":\"embedded\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}",
        "{\"op\":\"status\"}",
    };
    static struct side s;
    unsigned n[3] = { 0 };
    uint64_t id = 0;
    begin(&s);
    for (size_t i = 0; i < sizeof job / sizeof *job; i++) {
        send_frame(&s, ++id, job[i]);                          /* once without failures: the model is loaded, plans are made */
        assert_int_equal(listen_for(&s, "\"event\":\"done\""), ENDS_DONE);
        for (int64_t k = 1, calm = 0; calm < 3 && k < 4000; k += 1 + k / 24) {
            uint64_t before = mem_count();
            mem_fail_after(k);
            send_frame(&s, ++id, job[i]);
            enum ending e = listen_for(&s, "\"event\":\"done\"");
            bool all = mem_count() - before >= (uint64_t)k;
            mem_fail_after(-1);
            n[e]++;
            calm = e == ENDS_DONE && !all ? calm + 1 : 0;
            if (e != ENDS_GONE) continue;
            end(&s);
            begin(&s);
        }
    }
    end(&s);
    print_message("# %u done, %u errors, %u ends of the process\n", n[0], n[1], n[2]);
    assert_true(n[ENDS_DONE] && n[ENDS_ERROR]);
}

/* What is no link, or says what it should not, ends it at once. */
static void strangers(void **unused)
{
    (void)unused;
    static const char *const first[] = { "{\"folders\":7}", "{\"unknown\":1}", "[]", "{", "{\"op\":\"status\"}" };
    for (size_t i = 0; i < sizeof first / sizeof *first; i++) {
        static struct side s;
        struct err e;
        assert_int_equal(chan_pair(&s.chan, &s.fd, &e), 0);
        assert_int_equal(os_thread_start(&s.thread, work, &s, &e), 0);
        send_frame(&s, i == 4 ? 5 : 0, first[i]);
        assert_int_equal(listen_for(&s, "\"event\":\"hello\""), ENDS_GONE);
        end(&s);
    }
    static struct side s;
    begin(&s);
    send_frame(&s, 1, "{\"op\":");
    assert_int_equal(listen_for(&s, "done"), ENDS_ERROR);      /* a job that is no JSON is only that job's trouble */
    send_frame(&s, 0, "{}");
    assert_int_equal(listen_for(&s, "done"), ENDS_GONE);
    end(&s);
}

/* ---- what hangs ---- */

static _Atomic uint32_t stands, may_go;

/* Stands between the program and the C library: a file of this name is not opened for as long as it is told. */
int open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    if (flags & O_CREAT) {
        va_list ap;
        va_start(ap, flags);
        mode = (mode_t)va_arg(ap, int);
        va_end(ap);
    }
    if (strstr(path, "stands-still"))
        for (atomic_store(&stands, 1); !atomic_load(&may_go);) fs_sleep_ms(1);
    return openat(AT_FDCWD, path, flags, mode);
}

/* Whether signs of life come (or none for a second), waited for for so long. */
static bool lives(struct side *s, bool wanted, uint32_t ms)
{
    uint64_t end = os_now_ns() + ms * UINT64_C(1000000), heard = os_now_ns();
    while (os_now_ns() < end) {
        s->n = 0;
        int64_t k = chan_read(s->chan, s->text, sizeof s->text);
        assert_true(k != CHAN_CLOSED);
        s->n = (size_t)k;
        bool alive = has(s, "\"event\":\"alive\"");
        if (alive && wanted) return true;
        if (alive) heard = os_now_ns();
        if (os_now_ns() - heard > UINT64_C(1000000000)) return false;
        if (!k) chan_wait(s->chan, false, 20);
    }
    return !wanted;
}

/* A job whose preparation, or whose model's load, stands still: no sign of life comes any more, until it goes on. */
static void what_hangs_is_no_life(void **unused)
{
    (void)unused;
    static const char *const job[] = { "{\"op\":\"info\",\"model\":\"/nowhere/stands-still.gguf\"}",
                                       "{\"op\":\"load\",\"model\":\"/nowhere/stands-still.gguf\"}" };
    static struct side s;
    for (size_t i = 0; i < sizeof job / sizeof *job; i++) {
        atomic_store(&stands, 0);
        atomic_store(&may_go, 0);
        begin_with(&s, "{\"folders\":[],\"no_sandbox\":true,\"threads\":1,\"silence_ms\":30}");
        assert_true(lives(&s, true, 30000));
        send_frame(&s, 1, job[i]);
        for (int k = 0; k < 20000 && !atomic_load(&stands); k++) fs_sleep_ms(1);
        assert_true(atomic_load(&stands));
        assert_false(lives(&s, false, 20000));
        atomic_store(&may_go, 1);
        assert_true(lives(&s, true, 30000));
        end(&s);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(what_hangs_is_no_life),
    cmocka_unit_test(strangers),
    cmocka_unit_test(allocations_that_fail),
};
int main(void) { return run_tests(tests); }
