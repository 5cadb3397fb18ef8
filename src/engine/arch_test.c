/* arch_test.c - every architecture in odd shapes: the same bits whatever the batch, the threads, the chunks and the instruction
 * set; tensors of other shapes and absurd hyper-parameters are refused, or what remains can be computed. */
#include <stdlib.h>

#include "base/cpu.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/engine.h"
#include "tests/testing.h"
#include "tests/tiny_arch.h"

#define SHAPE(name, of, d, l, h, k, e, f) .t = { .arch = name, .type = DT_##of, .D = d, .L = l, .H = h, .K = k, .E = e, .F = f }
static const struct tiny_any model[] = {
    { SHAPE("llama", Q8_0, 96, 1, 3, 1, 26, 40), .tied = true, .bias = true },
    { SHAPE("mistral3", Q4_0, 64, 2, 2, 2, 32, 96), .bias = true },
    { SHAPE("qwen2", F16, 40, 2, 5, 1, 8, 72), .tied = true, .bias = true },
    { SHAPE("qwen2moe", Q8_0, 64, 1, 4, 2, 16, 64), .t.experts = 5, .t.used = 5, .Fe = 32, .shared = 96, .bias = true },
    { SHAPE("qwen2moe", F32, 36, 2, 4, 4, 10, 20), .t.experts = 3, .t.used = 1, .Fe = 12, .shared = 20 },
    { SHAPE("qwen3", Q8_0, 32, 1, 3, 1, 10, 96), .tied = true },
    { SHAPE("qwen3moe", Q4_0, 64, 1, 2, 2, 32, 64), .t.experts = 9, .t.used = 2, .Fe = 64 },
    { SHAPE("gemma", F16, 28, 1, 2, 1, 22, 36), .tied = true },
    { SHAPE("gemma2", Q8_0, 64, 2, 6, 2, 14, 32), .t.window = 13, .tied = true },
    { SHAPE("gemma3", Q4_0, 32, 7, 1, 1, 32, 64), .t.window = 5 },
    { SHAPE("phi3", Q8_0, 96, 1, 3, 3, 32, 40), .bias = true },
    { SHAPE("olmo2", BF16, 56, 2, 4, 2, 14, 100) },
    { SHAPE("olmo2", Q4_0, 64, 5, 2, 1, 32, 32), .t.window = 9, .tied = true },
    { SHAPE("granite", Q8_0, 32, 2, 6, 3, 20, 64), .tied = true, .bias = true },
    { SHAPE("granitemoe", F16, 48, 2, 2, 1, 24, 28), .t.experts = 7, .t.used = 2, .Fe = 28, .shared = 36 },
    { SHAPE("cohere2", Q4_0, 96, 5, 3, 1, 32, 64), .t.window = 17, .tied = true },
    { SHAPE("glm4", Q8_0, 64, 2, 4, 2, 32, 96), .rot = 12, .bias = true },
    { SHAPE("glm4moe", Q4_0, 96, 3, 3, 3, 32, 32), .rot = 16, .t.experts = 6, .t.used = 4, .Fe = 32, .shared = 64, .dense = 1,
      .heads_normed = true },
    { SHAPE("glm4moe", F16, 40, 4, 4, 1, 12, 52), .rot = 6, .t.experts = 2, .t.used = 2, .Fe = 20, .dense = 2, .nextn = 1,
      .bias = true },
    { SHAPE("smollm3", Q4_K, 256, 5, 4, 2, 64, 256), .tied = true },
    { SHAPE("phi2", Q8_0, 64, 2, 4, 4, 16, 96), .rot = 6, .bias = true },
    { SHAPE("gpt2", F16, 60, 2, 3, 3, 20, 88), .bias = true },
    { SHAPE("gpt2", Q8_0, 64, 1, 4, 4, 16, 32), .tied = true },
    { SHAPE("starcoder2", Q8_0, 64, 2, 6, 2, 16, 32), .tied = true, .bias = true },
    { SHAPE("gpt-oss", MXFP4, 64, 3, 4, 1, 32, 64), .t.experts = 5, .t.used = 3, .t.window = 21, .Fe = 96, .bias = true },
    { SHAPE("gpt-oss", F32, 44, 2, 6, 2, 14, 44), .t.experts = 4, .t.used = 4, .t.window = 70, .Fe = 18, .bias = true },
    { SHAPE("deepseek2", Q8_0, 96, 2, 3, 0, 48, 64), .split = true, .pe = 16, .kv_rank = 64, .Ev = 32, .t.experts = 8,
      .t.used = 3, .groups = 4, .groups_used = 2, .Fe = 32, .shared = 64, .dense = 1, .q_rank = 32 },
    { SHAPE("deepseek2", Q4_0, 64, 2, 37, 0, 40, 32), .split = true, .pe = 8, .kv_rank = 32, .Ev = 20, .t.experts = 5,
      .t.used = 2, .Fe = 32, .tied = true },
    { SHAPE("deepseek2", F16, 44, 3, 5, 0, 18, 30), .pe = 6, .kv_rank = 26, .Ev = 14, .t.experts = 6, .t.used = 4, .groups = 2,
      .groups_used = 2, .Fe = 22, .shared = 44, .dense = 2, .q_rank = 28 },
    { SHAPE("deepseek2", Q4_K, 256, 1, 2, 0, 288, 256), .split = true, .pe = 32, .kv_rank = 256, .Ev = 128, .t.experts = 4,
      .t.used = 1, .Fe = 256, .dense = 1 },
    { SHAPE("gemma4", Q8_0, 64, 6, 4, 2, 32, 96), .E_sliding = 16, .t.window = 11, .per_layer = 32, .kv_shared = 2,
      .tied = true },
    { SHAPE("gemma4", F16, 44, 3, 6, 3, 14, 40), .E_sliding = 10, .t.window = 70, .rot = 6, .tied = true },
    { SHAPE("gemma4", Q4_0, 96, 2, 2, 1, 48, 32), .E_sliding = 32, .t.window = 30, .t.experts = 5, .t.used = 2, .Fe = 32 },
    { SHAPE("qwen2vl", Q8_0, 32, 1, 2, 1, 12, 32), .bias = true, .tied = true },
    { SHAPE("qwen3vl", F16, 20, 1, 3, 1, 10, 24), .tied = true },
    { SHAPE("qwen3vlmoe", Q4_0, 32, 1, 2, 1, 16, 32), .t.experts = 3, .t.used = 2, .Fe = 32 },
    { SHAPE("seed_oss", Q8_0, 32, 1, 2, 1, 22, 64), .bias = true },
    { SHAPE("dots1", Q8_0, 32, 2, 2, 1, 16, 32), .t.experts = 5, .t.used = 3, .Fe = 32, .shared = 64, .dense = 1 },
    { SHAPE("hunyuan-dense", F16, 28, 1, 4, 2, 6, 20), .tied = true },
    { SHAPE("hunyuan-moe", Q4_0, 32, 1, 2, 2, 16, 32), .t.experts = 4, .t.used = 1, .Fe = 32, .shared = 64 },
    { SHAPE("ernie4_5", Q8_0, 32, 1, 3, 3, 8, 32), .bias = true },
    { SHAPE("ernie4_5-moe", F16, 36, 2, 2, 1, 14, 20), .t.experts = 6, .t.used = 6, .Fe = 12, .shared = 28, .dense = 1 },
    { SHAPE("minimax-m2", Q8_0, 32, 1, 2, 1, 16, 32), .t.experts = 7, .t.used = 4, .Fe = 32, .rot = 10 },
    { SHAPE("exaone", Q4_0, 32, 1, 2, 1, 16, 32) },
    { SHAPE("exaone4", F16, 24, 5, 2, 1, 12, 20), .t.window = 7, .tied = true },
    { SHAPE("internlm2", Q8_0, 32, 1, 4, 1, 10, 32), .bias = true },
    { SHAPE("deepseek", Q8_0, 32, 2, 2, 2, 16, 32), .t.experts = 5, .t.used = 2, .Fe = 32, .shared = 32, .dense = 1 },
    { SHAPE("olmoe", Q4_0, 32, 1, 4, 2, 8, 32), .t.experts = 6, .t.used = 2, .Fe = 32 },
    { SHAPE("command-r", F16, 28, 2, 2, 1, 14, 20), .tied = true },
    { SHAPE("chatglm", Q8_0, 32, 1, 4, 2, 8, 32), .rot = 4, .bias = true },
    { SHAPE("bailingmoe2", Q8_0, 32, 2, 2, 1, 16, 32), .t.experts = 6, .t.used = 2, .groups = 3, .groups_used = 1, .Fe = 32,
      .shared = 32, .dense = 1, .rot = 8 },
    { SHAPE("starcoder", Q8_0, 32, 1, 20, 1, 8, 32), .bias = true },
};
enum { N_MODEL = sizeof model / sizeof *model, N = 80, ROWS = 3 };

static char path[] = "/tmp/hearth-arch-XXXXXX";
static int32_t ids[N];

static void bytes_of(struct buf *b, struct tiny_any *a)
{
    *b = (struct buf){ 0 };
    assert_int_equal(tiny_any_bytes(b, a), 0);
    assert_false(b->bad);
}

static void write_file(const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void write_model(size_t i)
{
    struct tiny_any a = model[i];
    struct buf b;
    bytes_of(&b, &a);
    write_file(b.data, b.len);
    buf_release(&b);
}

static struct hearth_model *open_model(const char *cpu, uint32_t threads)
{
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .cpu = cpu, .threads = threads }, &e) < 0)
        fail_msg("%s", e.message);
    return m;
}

static struct hearth_session *open_session(struct hearth_model *m, uint32_t batch, int kv_type)
{
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 128, .n_batch = batch, .n_logits = ROWS, .kv_type = kv_type };
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static uint64_t hash_of(const char *cpu, uint32_t threads, uint32_t batch, int kv_type)
{
    struct hearth_error e;
    struct hearth_model *m = open_model(cpu, threads);
    struct hearth_session *s = open_session(m, batch, kv_type);
    size_t n;
    if (hearth_session_sync(s, ids, N, &e) < 0) fail_msg("%s", e.message);
    const float *l = hearth_session_logits_rows(s, &n);
    assert_int_equal(n, ROWS);
    for (size_t i = 0; i < n * TINY_VOCAB; i++)
        if (l[i] - l[i] != 0) fail_msg("logit %zu is not finite", i);
    uint64_t h = hash_bytes(l, n * TINY_VOCAB * sizeof *l);
    hearth_session_close(s);
    hearth_model_close(m);
    return h;
}

static void the_same_bits(void **state)
{
    (void)state;
    static const char *const set[] = { "avx2", "avxvnni", "avx512", "neon", "i8mm" };
    for (size_t i = 0; i < N_MODEL; i++) {
        write_model(i);
        for (int kv = HEARTH_KV_F16; kv <= HEARTH_KV_F32; kv++) {
            uint64_t want = hash_of("scalar", 1, 512, kv);
            if (hash_of(NULL, 2, 9, kv) != want) fail_msg("model %zu: 2 threads and chunks of 9 give other bits", i);
            if (hash_of(NULL, 3, 1, kv) != want) fail_msg("model %zu: 3 threads and single tokens give other bits", i);
            for (size_t k = 0; k < sizeof set / sizeof *set; k++) {
                uint32_t f;
                if (cpu_select(set[k], &f, NULL) == 0 && hash_of(set[k], 2, 512, kv) != want)
                    fail_msg("model %zu: %s differs from scalar", i, set[k]);
            }
        }
    }
}

/* A change of the numerics, or of the models above, changes this number; nothing else may. */
static void every_machine_gives_these_bits(void **state)
{
    (void)state;
    uint64_t h = HASH_START;
    for (size_t i = 0; i < N_MODEL; i++) {
        write_model(i);
        uint64_t one = hash_of(NULL, 2, 16, HEARTH_KV_F16);
        h = hash_add(h, &one, sizeof one);
    }
    print_message("# hash %016llx\n", (unsigned long long)h);
    assert_true(h == UINT64_C(0xe1bdfe5af6157825));
}

static void the_batch_does_not_matter(void **state)
{
    (void)state;
    enum { S = 5, AT = 60, STEPS = 3 };
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_error e;
        float want[STEPS][TINY_VOCAB];
        write_model(i);
        struct hearth_model *m = open_model(NULL, 2);
        struct hearth_session *alone = open_session(m, 0, 0), *s[S];
        for (size_t k = 0; k < STEPS; k++) {
            if (hearth_session_sync(alone, ids, AT + k, &e) < 0) fail_msg("%s", e.message);
            memcpy(want[k], hearth_session_logits(alone), sizeof want[k]);
        }
        hearth_session_close(alone);
        struct hearth_batch_item item[S];
        for (size_t k = 0; k < S; k++) {
            s[k] = open_session(m, 40, 0);
            item[k] = (struct hearth_batch_item){ s[k], k == 3 ? ids : ids + k, k == 3 ? AT : 5 + 11 * k };
        }
        assert_int_equal(hearth_batch_append(item, S, &e), 0);
        for (size_t k = 0; k < STEPS; k++) {
            if (memcmp(hearth_session_logits(s[3]), want[k], sizeof want[k])) fail_msg("model %zu, step %zu", i, k);
            for (size_t j = 0; j < S; j++) item[j] = (struct hearth_batch_item){ s[j], j == 3 ? ids + AT + k : ids + j, 1 };
            assert_int_equal(hearth_batch_append(item + k, S - k, &e), 0);
        }
        for (size_t k = 0; k < S; k++) hearth_session_close(s[k]);
        hearth_model_close(m);
    }
}

/* Latent attention caches one row per token, values inside it; layers that use another's cache have none. */
static void caches_hold_no_more_than_they_must(void **state)
{
    (void)state;
    size_t latent = 0, shared = 0;
    for (size_t i = 0; i < N_MODEL; i++) {
        const struct tiny_any *a = &model[i];
        uint64_t numbers = 0;
        if (!a->split && !a->kv_shared) continue;
        write_model(i);
        struct hearth_model *m = open_model(NULL, 1);
        const struct graph *g = m->variant[0].graph;
        if (a->split) numbers = (uint64_t)a->t.L * (a->kv_rank + a->pe);
        for (uint32_t l = 0; a->kv_shared && l + a->kv_shared < a->t.L; l++)
            numbers += 2 * a->t.K * (tiny_slides(a, l) ? a->E_sliding : a->t.E);
        size_t bytes[N_KV_CLASS];
        kv_page_layout(g->kv, g->n_layer, (enum dtype[]){ DT_F16, DT_F16 }, NULL, NULL, bytes);
        assert_int_equal(bytes[0] + bytes[1], numbers * KV_PAGE * 2);
        hearth_model_close(m);
        latent += a->split;
        shared += a->kv_shared > 0;
    }
    assert_true(latent >= 3 && shared >= 1);
}

/* What a step of latent attention asks of a machine, by hand: products of heads, and the cache read once. */
static void latent_work_is_counted(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        const struct tiny_any *a = &model[i];
        const double D = a->t.D, H = a->t.H, E = a->t.E, F = a->Fe;
        if (!a->split || a->dense || a->shared || a->q_rank) continue;
        double heads = H * a->kv_rank * ((E - a->pe) + a->Ev);
        double layer = D * H * E + D * (a->kv_rank + a->pe) + heads + H * a->Ev * D + D * a->t.experts + 3 * D * F * a->t.used;
        struct engine_work w, deep;
        write_model(i);
        struct hearth_model *m = open_model(NULL, 1);
        engine_work(m, &(struct engine_step){ .T = 1, .S = 1, .n_out = 1, .kv_type = HEARTH_KV_F16 }, &w);
        engine_work(m, &(struct engine_step){ .T = 1, .S = 1, .n_out = 1, .depth = 10, .kv_type = HEARTH_KV_F16 }, &deep);
        assert_true(w.int_macs + w.wide_macs + w.float_macs == a->t.L * layer + D * TINY_VOCAB);
        assert_true(deep.bytes - w.bytes == 10.0 * a->t.L * (a->kv_rank + a->pe) * 2);
        hearth_model_close(m);
        return;
    }
    fail_msg("no such model in the list");
}

/* A session has no more positions than the model has learned. */
static void learned_positions_end(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct hearth_error e;
        struct hearth_session *s;
        if (strcmp(model[i].t.arch, "gpt2")) continue;
        write_model(i);
        struct hearth_model *m = open_model(NULL, 1);
        assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 257 }, &e), HEARTH_EARG);
        assert_non_null(strstr(e.message, "256"));
        assert_int_equal(hearth_session_open(&s, m, NULL, &e), 0);
        assert_int_equal(hearth_session_n_ctx(s), 256);
        hearth_session_close(s);
        hearth_model_close(m);
    }
}

/* Each tensor in turn has a row, or a number, too many. */
static void wrong_shapes_are_named(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_MODEL; i++) {
        struct tiny_any a = model[i];
        for (a.damage = a.t.blank = true, a.wrong = 0;; a.wrong++) {
            struct err err = { 0 };
            struct gguf *g;
            struct buf b;
            if (a.wrong && a.wrong < a.n_tensor && !IN_SHARE(i + a.wrong)) continue;
            bytes_of(&b, &a);
            if (a.wrong >= a.n_tensor) {
                buf_release(&b);
                break;
            }
            assert_int_equal(gguf_parse(&g, b.data, b.len, "wrong", &err), 0);
            if (engine_can_run(g, &err) == 0 && strcmp(a.wrong_name, "token_embd.weight"))
                fail_msg("model %zu: a wrong %s is accepted", i, a.wrong_name);
            if (!strstr(err.msg, a.wrong_name) && strcmp(a.wrong_name, "token_embd.weight"))
                fail_msg("model %zu: a wrong %s gives: %s", i, a.wrong_name, err.msg);
            gguf_close(g);
            buf_release(&b);
        }
        assert_true(a.n_tensor > 8);
    }
}

/* A model that is accepted is computed, as far as its numbers are small. */
static void compute(const uint8_t *data, size_t n)
{
    struct hearth_error e = { 0 };
    struct hearth_model *m;
    struct hearth_session *s;
    write_file(data, n);
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = 1 }, &e) < 0) {
        assert_true(strlen(e.message) > 10);
        return;
    }
    if (hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = 70, .n_batch = 8 }, &e) == 0) {
        assert_int_equal(hearth_session_sync(s, ids, 5, &e), 0);
        assert_int_equal(hearth_session_append(s, ids, 1, &e), 0);
        hearth_session_close(s);
    }
    hearth_model_close(m);
}

static void absurd_numbers(void **state)
{
    (void)state;
    static const uint32_t value[] = { 0, 1, 3, 5, 33, 65535, 1u << 20, 1u << 30, UINT32_MAX, 0x7f800000, 0x7fc00000 };
    for (size_t i = 0; i < N_MODEL; i++) {
        struct tiny_any a = model[i];
        struct buf b;
        struct gguf *g;
        bytes_of(&b, &a);
        uint8_t *data = (uint8_t *)b.data;
        assert_int_equal(gguf_parse(&g, data, b.len, "tiny", NULL), 0);
        for (size_t k = 0; k < gguf_n_kv(g); k++) {
            const struct gguf_kv *kv = gguf_kv_at(g, k);
            if (kv->bytes != 4 || kv->type == GGUF_STRING || kv->type == GGUF_ARRAY || kv->key.s[0] == 't') continue;
            uint8_t *at = data + (kv->data - data), old[4];
            memcpy(old, at, 4);
            for (size_t v = 0; v < sizeof value / sizeof *value; v++) {
                struct err err = { 0 };
                struct gguf *h;
                if (!IN_SHARE(i + k + v)) continue;
                memcpy(at, &value[v], 4);
                int rc = gguf_parse(&h, data, b.len, "absurd", &err);
                if (rc == 0) rc = engine_can_run(h, &err);
                if (rc < 0) assert_true(strlen(err.msg) > 10);
                else compute(data, b.len);
                gguf_close(h);
            }
            memcpy(at, old, 4);
        }
        gguf_close(g);
        buf_release(&b);
    }
}

static int setup(void **state)
{
    (void)state;
    int fd = mkstemp(path);
    if (fd < 0) return -1;
    close(fd);
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % TINY_VOCAB);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_bits),
        cmocka_unit_test(every_machine_gives_these_bits),
        cmocka_unit_test(the_batch_does_not_matter),
        cmocka_unit_test(caches_hold_no_more_than_they_must),
        cmocka_unit_test(latent_work_is_counted),
        cmocka_unit_test(learned_positions_end),
        cmocka_unit_test(wrong_shapes_are_named),
        cmocka_unit_test(absurd_numbers),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
