/* cache_test.c - the prefix cache and the pages under it: cold, found, evicted or shared, a text has the same logits (D3 to D5 of
 * docs/numerics.md); pages and bytes are counted exactly, and their limit is kept. */
#include "engine/engine.h"
#include "tests/engine_fixture.h"

enum { KEEP = N - ROWS };

static struct hearth_session *session_with(struct hearth_model *m, struct hearth_session_options o)
{
    struct hearth_session *s;
    struct hearth_error e;
    if (!o.n_ctx) o.n_ctx = 256;
    o.n_logits = ROWS;
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static uint64_t text_hash(struct hearth_session *s, const int32_t *text, size_t n)
{
    struct hearth_error e;
    if (hearth_session_sync(s, text, n, &e) < 0) fail_msg("%s", e.message);
    return hash_rows(s);
}

static uint64_t fresh_hash(struct hearth_model *m, const int32_t *text, size_t n, int kv_type)
{
    struct hearth_session *s = session_with(m, (struct hearth_session_options){ .no_cache = true, .kv_type = kv_type });
    uint64_t h = text_hash(s, text, n);
    assert_int_equal(hearth_session_n_kept(s), 0);
    hearth_session_close(s);
    return h;
}

static bool has_state(size_t i)
{
    const char *a = model[i].arch;
    return !strcmp(a, "qwen35") || !strcmp(a, "qwen3next") || !strcmp(a, "lfm2");
}

static void check_empty(struct hearth_model *m)
{
    struct hearth_memory mem;
    hearth_cache_clear(m);
    hearth_model_memory(m, &mem);
    assert_int_equal(mem.kv_used, 0);
    assert_int_equal(mem.n_pages, 0);
    assert_int_equal(mem.cached, 0);
    assert_int_equal(mem.n_cached_pages, 0);
}

/* Every kind of model, every type: what a closed session left is found by the next, up to the last token that may be. */
static void a_past_text_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 2);
        for (int kv = HEARTH_KV_AUTO; kv <= HEARTH_KV_Q4_0; kv++) {
            uint64_t want = fresh_hash(m, ids, N, kv);
            struct hearth_session *a = session_with(m, (struct hearth_session_options){ .kv_type = kv });
            uint32_t found = kv == HEARTH_KV_F16 ? has_state(i) ? 128 : KEEP : 0;      /* as AUTO */
            assert_true(text_hash(a, ids, N) == want);
            if (hearth_session_n_kept(a) != found) fail_msg("model %zu, type %d: %u kept", i, kv, hearth_session_n_kept(a));
            struct hearth_session *b = session_with(m, (struct hearth_session_options){ .kv_type = kv, .n_batch = 5 });
            assert_true(text_hash(b, ids, N) == want);            /* while a is there: whole pages only */
            if (hearth_session_n_kept(b) < 128) fail_msg("model %zu, type %d: %u kept", i, kv, hearth_session_n_kept(b));
            hearth_session_close(a);
            hearth_session_close(b);
            struct hearth_session *c = session_with(m, (struct hearth_session_options){ .kv_type = kv });
            assert_true(text_hash(c, ids, N) == want);
            if (hearth_session_n_kept(c) != (has_state(i) ? 128 : KEEP))
                fail_msg("model %zu, type %d: %u kept", i, kv, hearth_session_n_kept(c));
            hearth_session_close(c);
        }
        check_empty(m);
        struct hearth_session *d = session_with(m, (struct hearth_session_options){ 0 });
        text_hash(d, ids, N);
        assert_int_equal(hearth_session_n_kept(d), 0);
        hearth_session_close(d);
        check_empty(m);
        hearth_model_close(m);
    }
}

/* Other salts, types and sessions that stay alone neither find nor leave anything. */
static void texts_are_kept_apart(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(0, NULL, 2);
    struct hearth_session_options o[] = { { .cache_salt = 1 }, { .cache_salt = 2 },
                                          { .cache_salt = 1, .kv_type = HEARTH_KV_Q8_0 },
                                          { .cache_salt = 1, .kv_type = HEARTH_KV_F16, .kv_type_v = HEARTH_KV_Q8_0 },
                                          { .cache_salt = 1, .no_cache = true }, { 0 } };
    for (size_t i = 0; i < sizeof o / sizeof *o; i++) {
        struct hearth_session *s = session_with(m, o[i]);
        text_hash(s, ids, N);
        assert_int_equal(hearth_session_n_kept(s), 0);
        hearth_session_close(s);
    }
    struct hearth_session *s = session_with(m, o[0]);
    text_hash(s, ids, N);
    assert_int_equal(hearth_session_n_kept(s), KEEP);
    hearth_session_close(s);
    check_empty(m);
    hearth_model_close(m);
}

/* A page that was somebody's has nothing of that in it, also where the next does not write. */
static void pages_are_clean(void **state)
{
    (void)state;
    enum { SHORT = KV_PAGE + 1 };
    struct hearth_session_options o = { .n_ctx = 256, .no_cache = true };
    struct hearth_model *m[2] = { open_model(0, NULL, 1), open_model(0, NULL, 1) };
    struct hearth_session *s[2];
    struct hearth_error e;
    assert_int_equal(hearth_session_open(&s[0], m[0], &o, &e), 0);
    assert_int_equal(hearth_session_sync(s[0], ids, N, &e), 0);
    hearth_session_close(s[0]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hearth_session_open(&s[i], m[i], &o, &e), 0);
        assert_int_equal(hearth_session_sync(s[i], ids + 20, SHORT, &e), 0);
    }
    for (int page = 0; page < 2; page++)
        assert_memory_equal(s[0]->q.data[KV_FULL][page], s[1]->q.data[KV_FULL][page], s[0]->q.layout->bytes[KV_FULL]);
    for (int i = 0; i < 2; i++) {
        hearth_session_close(s[i]);
        hearth_model_close(m[i]);
    }
}

/* Two sessions go on from one page in different ways; neither sees what the other writes. */
static void shared_pages_are_copied_before_they_are_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_session *s[3];
        struct hearth_error e;
        int32_t text[3][N + 8];
        s[2] = session_with(m, (struct hearth_session_options){ 0 });
        text_hash(s[2], ids, N);
        hearth_session_close(s[2]);
        for (int k = 0; k < 3; k++) {
            memcpy(text[k], ids, sizeof ids);
            for (int j = 0; j < 8; j++) text[k][N + j] = (int32_t)(17 * k + j);
            s[k] = session_with(m, (struct hearth_session_options){ 0 });
            text_hash(s[k], text[k], N);
        }
        for (int j = 0; j < 8; j++) {
            struct hearth_batch_item item[3];
            for (int k = 0; k < 3; k++) item[k] = (struct hearth_batch_item){ s[k], &text[k][N + j], 1 };
            assert_int_equal(hearth_batch_append(item, 3, &e), 0);
        }
        for (int k = 0; k < 3; k++) {
            float last[TINY_VOCAB];
            memcpy(last, hearth_session_logits(s[k]), sizeof last);
            struct hearth_session *f = session_with(m, (struct hearth_session_options){ .no_cache = true });
            text_hash(f, text[k], N + 8);
            assert_memory_equal(last, hearth_session_logits(f), sizeof last);
            hearth_session_close(f);
        }
        for (int k = 0; k < 3; k++) hearth_session_close(s[k]);
        check_empty(m);
        hearth_model_close(m);
    }
}

/* Of a page, the mean of all classes. */
static uint64_t page_bytes(size_t i, struct hearth_session_options o)
{
    struct hearth_model *m = open_model(i, NULL, 1);
    struct hearth_memory mem;
    struct hearth_session *s = session_with(m, o);
    text_hash(s, ids, N);
    hearth_model_memory(m, &mem);
    hearth_session_close(s);
    hearth_model_close(m);
    return mem.kv_used / mem.n_pages + 1;
}

static uint32_t seed = 1;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) % n;
}

/* Random texts that branch from each other, in sessions of any age, with a budget that is too small for all of them. */
static void random_texts_with_little_memory(void **state)
{
    (void)state;
    enum { S = 4, LEN = 400 };
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m;
        struct hearth_error e;
        struct hearth_memory mem;
        struct hearth_session_options so = { .n_ctx = LEN };
        uint64_t page = page_bytes(i, so);
        struct hearth_model_options mo = { .threads = 1, .kv_limit = 8 << 20, .cache_limit = 20 * page };
        if (hearth_model_open(&m, model_path(i), &mo, &e) < 0) fail_msg("%s", e.message);
        struct hearth_session *s[S];
        for (int k = 0; k < S; k++) s[k] = session_with(m, so);
        int32_t text[LEN];
        uint32_t kept = 0;
        for (int round = 0; round < 40 / TEST_SHARE; round++) {
            for (uint32_t k = 0; k < LEN; k++) text[k] = (int32_t)(k * k % TINY_VOCAB);
            for (int cut = 0; cut < 3; cut++) text[rnd(LEN)] = (int32_t)rnd(2);
            uint32_t n = ROWS + rnd(LEN - 10), k = rnd(S);
            uint64_t got = text_hash(s[k], text, n);
            if (got != fresh_hash(m, text, n < 256 ? n : 256, 0) && n <= 256) fail_msg("model %zu, round %d", i, round);
            kept += hearth_session_n_kept(s[k]);
            if (rnd(4) == 0) {
                hearth_session_close(s[k]);
                s[k] = session_with(m, so);
            }
            hearth_model_memory(m, &mem);
            assert_true(mem.kv_reserved <= mem.kv_limit && mem.kv_used <= mem.kv_reserved && mem.cached <= 20 * page);
        }
        assert_true(kept > 0);
        for (int k = 0; k < S; k++) hearth_session_close(s[k]);
        check_empty(m);
        hearth_model_close(m);
    }
}

/* A session that finds no more pages says so and lives on; what others give back helps it. */
static void the_limit_is_kept(void **state)
{
    (void)state;
    struct hearth_model *m;
    struct hearth_error e;
    struct hearth_memory mem;
    struct hearth_session *a, *b, *c;
    struct hearth_session_options o = { .n_ctx = 256, .kv_type = HEARTH_KV_F32, .n_logits = ROWS };
    uint64_t page = page_bytes(0, o);
    struct hearth_model_options mo = { .threads = 1, .kv_limit = 8 * (page + 4096) };        /* three texts would need 9 */
    assert_int_equal(hearth_model_open(&m, model_path(0), &mo, &e), 0);
    assert_int_equal(hearth_session_open(&a, m, &(struct hearth_session_options){ .n_ctx = 1 << 20 }, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "GB"));
    assert_int_equal(hearth_session_open(&a, m, &o, &e), 0);
    assert_int_equal(hearth_session_open(&b, m, &o, &e), 0);
    assert_int_equal(hearth_session_open(&c, m, &o, &e), 0);
    uint64_t want = fresh_hash(m, ids, N, HEARTH_KV_F32);
    struct hearth_session *all[] = { a, b, c };
    int rc = 0, n = 0;
    int32_t other[N];
    for (; n < 3 && rc == 0; n++) {                                        /* three different texts */
        memcpy(other, ids, sizeof other);
        other[0] += n;
        rc = hearth_session_sync(all[n], other, N, &e);
    }
    assert_int_equal(rc, HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "kv_limit"));
    hearth_model_memory(m, &mem);
    assert_true(mem.kv_reserved <= mem.kv_limit);
    hearth_session_close(a);
    assert_int_equal(hearth_session_sync(all[n - 1], ids, N, &e), 0);
    assert_true(hash_rows(all[n - 1]) == want);
    hearth_session_close(b);
    hearth_session_close(c);
    check_empty(m);
    hearth_model_close(m);
}

/* Pages of windows that nobody can look at any more are given back while the text grows. */
static void only_the_window_is_kept(void **state)
{
    (void)state;
    size_t i = 0;
    while (strcmp(model[i].arch, "gemma3")) i++;
    struct hearth_model *m = open_model(i, NULL, 1);
    struct hearth_memory mem;
    struct hearth_session_options o = { .n_ctx = 2000, .n_batch = 64, .no_cache = true };
    uint64_t most = hearth_session_bytes(m, &o);
    struct hearth_session *s = session_with(m, o);
    struct hearth_error e;
    static int32_t text[2000];
    for (int k = 0; k < 2000; k++) text[k] = k * 7 % TINY_VOCAB;
    assert_int_equal(hearth_session_sync(s, text, 2000, &e), 0);
    hearth_model_memory(m, &mem);
    /* Of 7 layers one looks everywhere: 32 pages of it, and at most 4 of the others. */
    assert_in_range(mem.n_pages, 33, 36);
    assert_true(mem.kv_used <= most);
    hearth_session_close(s);
    check_empty(m);
    hearth_model_close(m);
}

static void running_out_of_memory_loses_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i += 4) {
        struct hearth_model *m = open_model(i, NULL, 1);
        struct hearth_error e;
        uint64_t want = fresh_hash(m, ids, N, 0);
        int rc = -1;
        for (int64_t n = 0; rc < 0; n++) {
            struct hearth_session *s = NULL;
            assert_in_range(n, 0, 200);
            mem_fail_after(n);
            rc = hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 256, .n_logits = ROWS }, &e);
            if (rc == 0) rc = hearth_session_sync(s, ids, N, &e);
            mem_fail_after(-1);
            if (rc < 0 && rc != HEARTH_ENOMEM) fail_msg("allocation %d: %d %s", (int)n, rc, e.message);
            if (rc == 0) assert_true(hash_rows(s) == want);
            hearth_session_close(s);
            check_empty(m);
        }
        hearth_model_close(m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_past_text_is_found),
        cmocka_unit_test(texts_are_kept_apart),
        cmocka_unit_test(pages_are_clean),
        cmocka_unit_test(shared_pages_are_copied_before_they_are_written),
        cmocka_unit_test(random_texts_with_little_memory),
        cmocka_unit_test(the_limit_is_kept),
        cmocka_unit_test(only_the_window_is_kept),
        cmocka_unit_test(running_out_of_memory_loses_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
