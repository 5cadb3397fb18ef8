/* engine_fixture.h - small models of all kinds and what the tests of the engine do with them. */
#ifndef HEARTH_TESTS_ENGINE_FIXTURE_H
#define HEARTH_TESTS_ENGINE_FIXTURE_H

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
    { .arch = "qwen35", .type = DT_Q8_0, .L = 5 },
    { .arch = "qwen3next", .type = DT_Q4_0, .L = 4, .H = 6, .K = 3, .D = 192, .F = 64, .experts = 5, .used = 2 },
    { .arch = "lfm2", .type = DT_F16, .L = 3, .D = 200, .F = 120 },
};
enum { N_MODEL = sizeof model / sizeof *model };

static inline const char *model_path(size_t i)
{
    static char path[64];
    snprintf(path, sizeof path, "%s/%zu.gguf", dir, i);
    return path;
}

static inline struct hearth_model *open_model(size_t i, const char *cpu, uint32_t threads)
{
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, model_path(i), &(struct hearth_model_options){ .cpu = cpu, .threads = threads }, &e) < 0)
        fail_msg("%s", e.message);
    return m;
}

static inline struct hearth_session *open_session(struct hearth_model *m, uint32_t batch)
{
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 256, .n_batch = batch, .n_logits = ROWS };
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static inline uint64_t hash_rows(const struct hearth_session *s)
{
    size_t n;
    const float *l = hearth_session_logits_rows(s, &n);
    assert_int_equal(n, ROWS);
    for (size_t i = 0; i < n * TINY_VOCAB; i++) assert_true(l[i] == l[i]);
    return hash_bytes(l, n * TINY_VOCAB * 4);
}

static inline uint64_t sync_hash(struct hearth_session *s, size_t n)
{
    struct hearth_error e;
    if (hearth_session_sync(s, ids, n, &e) < 0) fail_msg("%s", e.message);
    return hash_rows(s);
}

static inline uint64_t cold_hash(size_t i, const char *cpu, uint32_t threads, uint32_t batch)
{
    struct hearth_model *m = open_model(i, cpu, threads);
    struct hearth_session *s = open_session(m, batch);
    uint64_t h = sync_hash(s, N);
    hearth_session_close(s);
    hearth_model_close(m);
    return h;
}

static inline int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % TINY_VOCAB);
    for (size_t i = 0; i < N_MODEL; i++)
        if (tiny_model(model_path(i), model[i]) < 0) return -1;
    return 0;
}

static inline int teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) unlink(model_path(i));
    return rmdir(dir);
}

#endif
