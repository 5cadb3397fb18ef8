/* frame_test.c - frames through pieces of every size and through a real pair of sockets; limits; the other side going away. */
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "server/frame.h"
#include "server/job.h"
#include "tests/testing.h"

struct got { uint64_t id[64]; char text[64][32]; size_t n, bytes; };

static int keep(void *arg, uint64_t id, const char *text, size_t n, struct err *err)
{
    struct got *g = arg;
    g->bytes += n;
    if (g->n < 64) {
        g->id[g->n] = id;
        snprintf(g->text[g->n], sizeof g->text[0], "%.*s", (int)(n < 31 ? n : 31), text);
    }
    g->n++;
    return n == 4 && !memcmp(text, "stop", 4) ? err_set(err, ERR_CANCELLED, "stopped") : 0;
}

static void pieces_of_every_size(void **unused)
{
    (void)unused;
    struct buf b = { 0 };
    for (uint64_t i = 0; i < 5; i++) assert_true(frame_put(&b, i ? UINT64_MAX / i : 0, "[1,2,3]", (size_t)i + 3));
    for (size_t piece = 1; piece <= b.len; piece++) {
        struct frame_reader r = { 0 };
        struct got g = { .n = 0 };
        struct err e;
        for (size_t at = 0; at < b.len; at += piece)
            assert_int_equal(frame_reader_push(&r, b.data + at, b.len - at < piece ? b.len - at : piece, keep, &g, &e), 0);
        assert_int_equal(g.n, 5);
        assert_string_equal(g.text[4], "[1,2,3]");
        assert_string_equal(g.text[0], "[1,");
        assert_true(g.id[1] == UINT64_MAX && g.id[4] == UINT64_MAX / 4);
        frame_reader_release(&r);
    }
    buf_release(&b);
}

static void lengths_are_checked(void **unused)
{
    (void)unused;
    static const char none[FRAME_HEAD + 1] = { 0 }, over[FRAME_HEAD] = { 1, 0, 0, 4 };        /* 64 MB and one byte */
    struct frame_reader r = { 0 };
    struct got g = { .n = 0 };
    struct err e;
    assert_int_equal(frame_reader_push(&r, none, sizeof none, keep, &g, &e), ERR_FORMAT);
    frame_reader_release(&r);
    assert_int_equal(frame_reader_push(&r, over, sizeof over, keep, &g, &e), ERR_FORMAT);
    assert_non_null(strstr(e.msg, "67108865"));
    frame_reader_release(&r);
    struct buf b = { 0 };
    assert_false(frame_put(&b, 1, "", 0));
    assert_false(frame_put(&b, 1, "x", JOB_MAX_BYTES + 1));
    assert_true(frame_put(&b, 1, "stop", 4) && frame_put(&b, 2, "x", 1));
    assert_int_equal(frame_reader_push(&r, b.data, b.len, keep, &g, &e), ERR_CANCELLED);
    assert_int_equal(g.n, 1);
    frame_reader_release(&r);
    buf_release(&b);
}

static void an_announced_length_takes_no_memory(void **unused)
{
    (void)unused;
    static const char head[FRAME_HEAD] = { 0, 0, 0, 4 };                                       /* 64 MB are announced */
    struct frame_reader r = { 0 };
    struct got g = { .n = 0 };
    struct err e;
    assert_int_equal(frame_reader_push(&r, head, sizeof head, keep, &g, &e), 0);
    assert_true(r.held.cap < 4096);
    frame_reader_release(&r);
}

struct side { struct frames *f; struct got got; _Atomic int ended; };

static void serve(void *arg)
{
    struct side *s = arg;
    struct err e;
    int rc;
    while ((rc = frames_step(s->f, -1, keep, &s->got, &e)) > 0) { }
    atomic_store(&s->ended, rc < 0 ? rc : 1);
}

static void open_pair(struct side *a, struct side *b)
{
    struct chan *mine, *other;
    struct err e;
    int theirs;
    assert_int_equal(chan_pair(&mine, &theirs, &e), 0);
    assert_int_equal(chan_of(&other, theirs, &e), 0);
    *a = *b = (struct side){ .f = NULL };
    assert_int_equal(frames_open(&a->f, mine, &e), 0);
    assert_int_equal(frames_open(&b->f, other, &e), 0);
}

/* More than a socket holds goes both ways at once, from threads that only send. */
static void both_ways_at_once(void **unused)
{
    (void)unused;
    enum { TIMES = 300, SIZE = 100000 };
    struct side a, b;
    struct os_thread *t[2];
    struct err e;
    char *text = calloc(SIZE, 1);
    open_pair(&a, &b);
    memset(text, 'x', SIZE);
    assert_int_equal(os_thread_start(&t[0], serve, &a, &e), 0);
    assert_int_equal(os_thread_start(&t[1], serve, &b, &e), 0);
    for (uint64_t i = 0; i < TIMES; i++) {
        assert_true(frames_send(a.f, i, text, SIZE, false));
        assert_true(frames_send(b.f, i, text, SIZE, false));
    }
    assert_true(frames_send(a.f, 1, "stop", 4, false));        /* b ends by it, and a sees b gone once b is closed */
    os_thread_join(t[1]);
    assert_int_equal(atomic_load(&b.ended), ERR_CANCELLED);
    assert_int_equal(b.got.bytes, TIMES * SIZE + 4);
    assert_false(frames_send(b.f, 1, "x", 1, false));
    frames_close(b.f);
    os_thread_join(t[0]);
    assert_int_equal(atomic_load(&a.ended), 1);
    assert_false(frames_send(a.f, 1, "x", 1, false));
    frames_close(a.f);
    free(text);
}

/* Who sends at once is refused when the other side does not read; who may wait is freed when it goes away. */
static void wait_for_loss(void *arg)
{
    struct side *s = arg;
    char *text = calloc(1, 1 << 20);
    while (frames_send(s->f, 1, text, 1 << 20, false)) { }
    atomic_store(&s->ended, 1);
    free(text);
}

static void a_reader_that_does_not_read(void **unused)
{
    (void)unused;
    struct side a, b;
    struct os_thread *t;
    struct err e;
    char *text = calloc(1, 16 << 20);
    int n = 0;
    open_pair(&a, &b);
    while (frames_send(a.f, 1, text, 16 << 20, true)) n++;
    assert_int_equal(n, 16);                                   /* the one that comes to more than 256 MB is the last */
    assert_int_equal(os_thread_start(&t, wait_for_loss, &a, &e), 0);
    frames_close(b.f);
    while (frames_step(a.f, -1, keep, &a.got, &e) > 0) { }
    os_thread_join(t);
    assert_int_equal(atomic_load(&a.ended), 1);
    frames_close(a.f);
    free(text);
}

static void allocations_that_fail(void **unused)
{
    (void)unused;
    for (int64_t k = 1;; k++) {
        struct chan *mine;
        struct frames *f = NULL;
        struct err e = { 0 };
        int theirs;
        mem_fail_after(k);
        int rc = chan_pair(&mine, &theirs, &e);
        if (rc == 0) rc = frames_open(&f, mine, &e);
        if (theirs >= 0) close(theirs);
        bool sent = rc == 0 && frames_send(f, 1, "[]", 2, true);
        mem_fail_after(-1);
        frames_close(f);
        if (sent) break;
        assert_true(rc == 0 || rc == ERR_NOMEM);
        assert_true(k < 100);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(pieces_of_every_size),
    cmocka_unit_test(lengths_are_checked),
    cmocka_unit_test(an_announced_length_takes_no_memory),
    cmocka_unit_test(both_ways_at_once),
    cmocka_unit_test(a_reader_that_does_not_read),
    cmocka_unit_test(allocations_that_fail),
};
int main(void) { return run_tests(tests); }
