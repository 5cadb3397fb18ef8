/* engine_test.c - what the engine promises beside invariance_test.c: a continued session is a fresh one (D3), no allocation
 * while decoding, clean failure when memory runs out, limits and cancelling. */
#include "tests/engine_fixture.h"

/* D3: a session that continues, goes back and branches gives the bits of a fresh one. */
static void a_continued_session_is_a_fresh_one(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_session *s = open_session(m, 0);
        struct hearth_error e;
        uint64_t want = sync_hash(s, N), half = 0;
        int32_t other[64] = { 1, 2, 3 };
        half = sync_hash(s, 70);
        assert_int_equal(hearth_session_sync(s, other, 64, &e), 0);
        assert_int_equal(sync_hash(s, 70), half);
        for (size_t n = 71; n <= N; n += 29) sync_hash(s, n);
        assert_true(sync_hash(s, N) == want);
        assert_int_equal(hearth_session_sync(s, ids, N - 25, &e), 0);
        for (size_t n = N - 25; n < N; n++) assert_int_equal(hearth_session_append(s, ids + n, 1, &e), 0);
        assert_true(memcmp(hearth_session_ids(s, &(size_t){ 0 }), ids, sizeof ids) == 0);
        float last[TINY_VOCAB];
        memcpy(last, hearth_session_logits(s), sizeof last);
        sync_hash(s, N);
        assert_memory_equal(last, hearth_session_logits(s), sizeof last);
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* A sync that goes back evaluates what the state cannot tell any more, not all, and gives the bits of a fresh session. */
static void check_back(struct hearth_model *m, struct hearth_session *s, const int32_t *text, size_t n, size_t want)
{
    struct hearth_error e;
    struct hearth_session *fresh;
    struct hearth_session_options o = { .n_ctx = 256, .n_logits = ROWS, .no_cache = true };
    if (hearth_session_sync(s, text, n, &e) < 0) fail_msg("%s", e.message);
    size_t evaluated = n - hearth_session_n_kept(s);
    if (evaluated != want) fail_msg("%zu tokens evaluated, not %zu", evaluated, want);
    assert_int_equal(hearth_session_open(&fresh, m, &o, &e), 0);
    assert_int_equal(hearth_session_sync(fresh, text, n, &e), 0);
    assert_int_equal(hearth_session_n_kept(fresh), 0);
    assert_true(hash_rows(s) == hash_rows(fresh));
    hearth_session_close(fresh);
}

static void a_recurrent_state_goes_back(void **state)
{
    (void)state;
    size_t i = 0;
    while (strcmp(model[i].arch, "qwen35")) i++;
    struct hearth_model *m = open_model(i, NULL, 2);
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 256, .n_batch = 8, .n_logits = ROWS };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    int32_t text[N];
    memcpy(text, ids, sizeof text);
    enum { SAVED = 128 };                                             /* the last end of a page well before the last rows */
    check_back(m, s, text, N, N);
    check_back(m, s, text, N - 10, N - 10 - SAVED);                   /* shorter: from what was saved */
    assert_int_equal(hearth_session_append(s, text, 20, &e), 0);      /* generating does not change what is saved */
    check_back(m, s, text, N, N - SAVED);
    text[SAVED]++;
    check_back(m, s, text, N, N - SAVED);                             /* different right behind it */
    text[SAVED - 1]++;
    check_back(m, s, text, N, N);                                     /* different right before it: from the beginning */
    check_back(m, s, text, 30, 30);
    check_back(m, s, text, 35, 5);                                    /* goes on where it is */
    check_back(m, s, text, N, N - SAVED);                             /* the cache has both texts */
    memcpy(text, ids, sizeof text);
    check_back(m, s, text, N, N - SAVED);
    check_back(m, s, text, SAVED + 1, SAVED + 1);
    hearth_cache_clear(m);
    check_back(m, s, text, N, N - SAVED - 1);
    hearth_session_close(s);
    hearth_model_close(m);
}

static void decoding_allocates_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_session *s = open_session(m, 0);
        struct hearth_sampler *p;
        struct hearth_error e;
        struct hearth_sampler_options o;
        hearth_sampler_defaults(m, &o);
        o.repeat_penalty = 1.1f;
        assert_int_equal(hearth_sampler_open(&p, m, &o, &e), 0);
        sync_hash(s, 20);
        uint64_t before = mem_count();
        for (int k = 0; k < 40; k++) {
            int32_t id = hearth_sampler_pick(p, s);
            assert_in_range(id, 0, TINY_VOCAB - 1);
            assert_int_equal(hearth_session_append(s, &id, 1, &e), 0);
        }
        assert_int_equal(mem_count() - before, 0);
        hearth_sampler_close(p);
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* Fails the first, second, ... allocation until opening and evaluating succeeds. */
static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    struct hearth_error e;
    int rc = -1;
    for (int64_t n = 0; rc < 0; n++) {
        struct hearth_model *m = NULL;
        struct hearth_session *s = NULL;
        assert_in_range(n, 0, 2000);
        mem_fail_after(n);
        rc = hearth_model_open(&m, model_path(2), &(struct hearth_model_options){ .threads = 2 }, &e);
        if (rc == 0) rc = hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 64 }, &e);
        if (rc == 0) rc = hearth_session_sync(s, ids, 40, &e);
        mem_fail_after(-1);
        if (rc < 0 && rc != HEARTH_ENOMEM) fail_msg("allocation %d: %d %s", (int)n, rc, e.message);
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

static bool stop_at_64(void *arg, size_t done, size_t total)
{
    size_t *seen = arg;
    *seen = done;
    assert_true(done < total);
    return done < 64;
}

static void limits_and_cancelling(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 2);
    struct hearth_session *s;
    struct hearth_error e;
    size_t seen = 0, n;
    struct hearth_session_options o = { .n_ctx = 128, .n_batch = 32, .progress = stop_at_64, .progress_arg = &seen };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    assert_int_equal(hearth_session_sync(s, ids, 129, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "129"));
    assert_non_null(strstr(e.message, "128"));
    assert_int_equal(hearth_session_sync(s, ids, 100, &e), HEARTH_ECANCELLED);
    assert_int_equal(seen, 64);
    hearth_session_ids(s, &n);
    assert_int_equal(n, 64);
    assert_null(hearth_session_logits(s));
    assert_int_equal(hearth_session_sync(s, ids, 90, &e), 0);     /* goes on from there */
    assert_non_null(hearth_session_logits(s));
    assert_int_equal(hearth_session_append(s, &(int32_t){ TINY_VOCAB }, 1, &e), HEARTH_EARG);
    assert_int_equal(hearth_session_append(s, &(int32_t){ -1 }, 1, &e), HEARTH_EARG);
    hearth_session_close(s);
    o = (struct hearth_session_options){ .n_ctx = 1u << 28 };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), HEARTH_ELIMIT);   /* about 137 GB of cache */
    assert_non_null(strstr(e.message, "GB"));
    assert_null(s);
    hearth_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_continued_session_is_a_fresh_one), cmocka_unit_test(a_recurrent_state_goes_back),
        cmocka_unit_test(decoding_allocates_nothing),
        cmocka_unit_test(running_out_of_memory_is_an_error),  cmocka_unit_test(limits_and_cancelling),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
