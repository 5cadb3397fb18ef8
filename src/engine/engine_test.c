/* engine_test.c - what the engine promises: the same bits whatever the batch, threads, chunks, cache and instruction set;
 * no allocation while decoding; clean failure when memory runs out. */
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/pool.h"
#include "hearth.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

enum { N = 150, ROWS = 3 };

static char dir[] = "/tmp/hearth-engine-XXXXXX";
static int32_t ids[N];

static const struct tiny model[] = {
    { .arch = "llama", .type = DT_Q8_0, .D = 288, .F = 320 },
    { .arch = "qwen3", .type = DT_Q4_0 },
    { .arch = "qwen3moe", .type = DT_Q4_K, .experts = 8, .used = 3 },
    { .arch = "gemma3", .type = DT_Q6_K, .L = 7, .window = 40 },
    { .arch = "gemma2", .type = DT_Q8_0, .window = 33 },
    { .arch = "llama", .type = DT_F16, .E = 40, .H = 6, .K = 3 },
    { .arch = "qwen3", .type = DT_BF16 },
    { .arch = "llama", .type = DT_F32, .D = 72, .F = 100, .E = 18, .K = 4 },
};
enum { N_MODEL = sizeof model / sizeof *model };

static const char *model_path(size_t i)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/%zu.gguf", dir, i);
    return path;
}

static struct hearth_model *open_model(size_t i, const char *cpu, uint32_t threads)
{
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, model_path(i), &(struct hearth_model_options){ .cpu = cpu, .threads = threads }, &e) < 0)
        fail_msg("%s", e.message);
    return m;
}

static struct hearth_session *open_session(struct hearth_model *m, uint32_t batch)
{
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 256, .n_batch = batch, .n_logits = ROWS };
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static uint64_t hash_rows(const struct hearth_session *s)
{
    size_t n;
    const float *l = hearth_session_logits_rows(s, &n);
    assert_int_equal(n, ROWS);
    for (size_t i = 0; i < n * TINY_VOCAB; i++) assert_true(l[i] == l[i]);
    return hash_bytes(l, n * TINY_VOCAB * 4);
}

static uint64_t sync_hash(struct hearth_session *s, size_t n)
{
    struct hearth_error e;
    if (hearth_session_sync(s, ids, n, &e) < 0) fail_msg("%s", e.message);
    return hash_rows(s);
}

static uint64_t cold_hash(size_t i, const char *cpu, uint32_t threads, uint32_t batch)
{
    struct hearth_model *m = open_model(i, cpu, threads);
    struct hearth_session *s = open_session(m, batch);
    uint64_t h = sync_hash(s, N);
    hearth_session_close(s);
    hearth_model_close(m);
    return h;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % TINY_VOCAB);
    for (size_t i = 0; i < N_MODEL; i++)
        if (tiny_model(model_path(i), model[i]) < 0) return -1;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) unlink(model_path(i));
    return rmdir(dir);
}

/* D2 and D4. */
static void threads_and_chunks_do_not_matter(void **state)
{
    (void)state;
    static const uint32_t chunk[] = { 1, 7, 32, 512 };
    for (size_t i = 0; i < N_MODEL; i++) {
        uint64_t want = cold_hash(i, NULL, 1, 512);
        for (size_t c = 0; c < 4; c++)
            if (cold_hash(i, NULL, 2, chunk[c]) != want) fail_msg("model %zu: chunk %u gives other bits", i, chunk[c]);
        for (uint32_t threads = 3 + i % 4; threads <= 16; threads += 4)     /* each number with two of the models */
            if (cold_hash(i, NULL, threads, i % 2 ? 512 : 37) != want)
                fail_msg("model %zu: %u threads give other bits", i, threads);
    }
}

/* D6. */
static void instruction_sets_agree(void **state)
{
    (void)state;
    static const char *const name[] = { "avx2", "avx512", "neon" };
    for (size_t i = 0; i < N_MODEL; i++) {
        uint64_t want = cold_hash(i, "scalar", 2, 64);
        for (size_t k = 0; k < 3; k++) {
            uint32_t f;
            if (cpu_select(name[k], &f, NULL) < 0) continue;
            if (cold_hash(i, name[k], 2, 64) != want) fail_msg("model %zu: %s differs from scalar", i, name[k]);
        }
    }
}

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
        for (size_t n = 71; n <= N; n += 13) sync_hash(s, n);
        assert_true(sync_hash(s, N) == want);
        assert_int_equal(hearth_session_sync(s, ids, 10, &e), 0);
        for (size_t n = 10; n < N; n++) assert_int_equal(hearth_session_append(s, ids + n, 1, &e), 0);
        assert_true(memcmp(hearth_session_ids(s, &(size_t){ 0 }), ids, sizeof ids) == 0);
        float last[TINY_VOCAB];
        memcpy(last, hearth_session_logits(s), sizeof last);
        sync_hash(s, N);
        assert_memory_equal(last, hearth_session_logits(s), sizeof last);
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* D1: alone or with up to 15 others, of other lengths and at other positions. */
static void the_batch_does_not_matter(void **state)
{
    (void)state;
    enum { S = 16, STEPS = 6 };
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_session *alone = open_session(m, 0), *s[S];
        struct hearth_error e;
        float want[STEPS][TINY_VOCAB];
        for (size_t k = 0; k < STEPS; k++) {
            sync_hash(alone, 40 + k);
            memcpy(want[k], hearth_session_logits(alone), sizeof want[k]);
        }
        hearth_session_close(alone);
        struct hearth_batch_item item[S];
        for (size_t k = 0; k < S; k++) {
            s[k] = open_session(m, 100);
            item[k] = (struct hearth_batch_item){ s[k], k == 5 ? ids : ids + k, k == 5 ? 40 : 3 + 5 * k };
        }
        assert_int_equal(hearth_batch_append(item, S, &e), 0);
        for (size_t k = 0; k < STEPS; k++) {
            assert_memory_equal(hearth_session_logits(s[5]), want[k], sizeof want[k]);
            for (size_t j = 0; j < S; j++) item[j] = (struct hearth_batch_item){ s[j], j == 5 ? ids + 40 + k : ids + j, 1 };
            assert_int_equal(hearth_batch_append(item + k, S - k, &e), 0);
        }
        for (size_t k = 0; k < S; k++) hearth_session_close(s[k]);
        hearth_model_close(m);
    }
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
        for (int k = 0; k < 100; k++) {
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
        cmocka_unit_test(threads_and_chunks_do_not_matter), cmocka_unit_test(instruction_sets_agree),
        cmocka_unit_test(a_continued_session_is_a_fresh_one), cmocka_unit_test(the_batch_does_not_matter),
        cmocka_unit_test(decoding_allocates_nothing), cmocka_unit_test(running_out_of_memory_is_an_error),
        cmocka_unit_test(limits_and_cancelling),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
