#include "base/pool.h"

#include "tests/testing.h"

enum { ROUNDS = 300, MAX = 16 };

struct work {
    struct pool *p;
    unsigned seen[MAX];               /* written by its own thread, read by the others after the barrier */
    _Atomic unsigned wrong;
};

static void count(void *arg, unsigned thread, unsigned n)
{
    struct work *w = arg;
    for (unsigned r = 1; r <= ROUNDS; r++) {
        w->seen[thread] = r;
        pool_barrier(w->p);
        for (unsigned i = 0; i < n; i++) w->wrong += w->seen[i] != r;
        pool_barrier(w->p);
    }
}

static void all_threads_meet_at_every_barrier(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= MAX; n = n < 4 ? n + 1 : n * 2) {
        struct work w = { 0 };
        assert_int_equal(pool_open(&w.p, n, NULL), 0);
        assert_int_equal(pool_size(w.p), n);
        uint64_t beat = pool_beat(w.p);
        for (int k = 0; k < 3; k++) pool_run(w.p, count, &w);
        assert_true(pool_beat(w.p) != beat);
        assert_int_equal(w.wrong, 0);
        pool_close(w.p);
    }
}

enum { ITEMS = 1000 };

struct taken { struct pool *p; _Atomic unsigned char times[ITEMS]; _Atomic unsigned wrong; };

static void take_all(void *arg, unsigned thread, unsigned n)
{
    struct taken *w = arg;
    for (size_t r = 1; r <= ROUNDS; r++) {
        size_t items = 1 + (r * 37) % ITEMS, lo, hi;
        while (pool_take(w->p, items, &lo, &hi)) {
            w->wrong += lo >= hi || hi > items;
            for (size_t i = lo; i < hi; i++) w->times[i]++;
        }
        pool_barrier(w->p);
        for (size_t i = thread; i < ITEMS; i += n) {
            w->wrong += w->times[i] != (i < items);
            w->times[i] = 0;
        }
        pool_barrier(w->p);
    }
}

/* Between two barriers every item is handed out once, to whoever asks. */
static void items_are_taken_once(void **state)
{
    (void)state;
    for (unsigned n = 1; n <= 4; n++) {
        struct taken w = { 0 };
        assert_int_equal(pool_open(&w.p, n, NULL), 0);
        for (int k = 0; k < 2; k++) pool_run(w.p, take_all, &w);
        assert_int_equal(w.wrong, 0);
        pool_close(w.p);
    }
}

static void shares_cover_everything_once(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++)
        for (size_t grain = 1; grain <= 32; grain *= 2)
            for (unsigned threads = 1; threads <= 9; threads++) {
                size_t at = 0, lo, hi;
                for (unsigned t = 0; t < threads; t++) {
                    pool_share(n, grain, t, threads, &lo, &hi);
                    assert_int_equal(lo, at);
                    assert_true(lo <= hi && (lo % grain == 0 || lo == n));
                    at = hi;
                }
                assert_int_equal(at, n);
            }
}

static void impossible_numbers_are_refused(void **state)
{
    (void)state;
    struct pool *p;
    struct err err;
    assert_int_equal(pool_open(&p, 0, &err), ERR_ARG);
    assert_int_equal(pool_open(&p, POOL_MAX_THREADS + 1, &err), ERR_ARG);
    assert_null(p);
    pool_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_threads_meet_at_every_barrier),
        cmocka_unit_test(items_are_taken_once),
        cmocka_unit_test(shares_cover_everything_once),
        cmocka_unit_test(impossible_numbers_are_refused),
    };
    return run_tests(tests);
}
