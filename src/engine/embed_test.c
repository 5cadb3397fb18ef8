/* embed_test.c - vectors of texts: what they depend on and what they do not, heads, limits, pairs of texts. */
#include <math.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "base/mem.h"
#include "hearth.h"
#include "tests/testing.h"
#include "tests/tiny_answerer.h"
#include "tests/tiny_encoder.h"

enum { N = 90, D = 96, V = PIECES };

static char path[] = "/tmp/hearth-embed-XXXXXX";
static int32_t ids[700];

static const struct tiny_encoder model[] = {
    { .t = { .arch = "bert", .type = DT_F16, .D = D, .L = 2, .H = 4, .F = 160 }, .word_piece = true, .pooling = 2 },
    { .t = { .arch = "nomic-bert", .type = DT_Q8_0, .D = D, .L = 3, .H = 3, .F = 128 }, .word_piece = true, .pooling = 1 },
    { .t = { .arch = "gemma-embedding", .type = DT_Q8_0, .D = D, .L = 7, .H = 3, .F = 96, .window = 30 }, .pooling = 1 },
    { .t = { .arch = "modern-bert", .type = DT_Q4_0, .D = D, .L = 4, .H = 3, .F = 64, .window = 30 }, .word_piece = true,
      .pooling = 2 },
};
enum { N_MODEL = sizeof model / sizeof *model };

static struct hearth_model *open_encoder(struct tiny_encoder t, const char *cpu, uint32_t threads)
{
    struct hearth_model *m;
    struct hearth_error e;
    assert_int_equal(tiny_encoder(path, t), 0);
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .cpu = cpu, .threads = threads }, &e) < 0)
        fail_msg("%s", e.message);
    return m;
}

static struct hearth_embed_options raw(int pooling)
{
    return (struct hearth_embed_options){ .pooling = pooling };
}

/* The caller frees it. */
static float *embed(struct hearth_model *m, const int32_t *id, size_t n, struct hearth_embed_options o)
{
    struct hearth_error e;
    size_t width = hearth_embed_width(m, &o);
    float *y = calloc((o.pooling == HEARTH_POOL_NONE ? n : 1) * width + 1, sizeof *y);
    struct hearth_embed_item it = { id, n, 0, y };
    if (hearth_embed(m, &it, 1, &o, &e) < 0) fail_msg("%s", e.message);
    return y;
}

static void expect(const float *y, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) assert_true(y[i] == y[i]);
    assert_memory_equal(y, want, n * sizeof *y);
}

static void nothing_else_matters(void **state)
{
    (void)state;
    static const char *const cpu[] = { "scalar", "avx2", "avxvnni", "avx512", "neon", "i8mm" };
    for (size_t i = 0; i < N_MODEL; i++)
        for (int pooling = HEARTH_POOL_NONE; pooling <= HEARTH_POOL_LAST; pooling++) {
            struct hearth_model *m = open_encoder(model[i], NULL, 1);
            struct hearth_embed_options o = raw(pooling);
            size_t width = hearth_embed_width(m, &o), n = (pooling == HEARTH_POOL_NONE ? N : 1) * width;
            float *want = embed(m, ids, N, o);
            struct hearth_embed_item it[24];
            struct hearth_error e;
            float *out[24];
            for (size_t k = 0; k < 24; k++) {
                size_t len = k % 5 == 3 ? N : 1 + 37 * k % 80;
                out[k] = calloc(len * D + 1, sizeof **out);
                it[k] = (struct hearth_embed_item){ k % 5 == 3 ? ids : ids + k, len, 0, out[k] };
            }
            assert_int_equal(hearth_embed(m, it, 24, &o, &e), 0);
            for (size_t k = 3; k < 24; k += 5) expect(out[k], want, n);
            for (size_t k = 0; k < 24; k++) free(out[k]);
            hearth_model_close(m);
            for (uint32_t threads = 2; threads <= 5; threads += 3)
                for (size_t c = 0; c < 4; c++) {
                    uint32_t f;
                    if (cpu_select(cpu[c], &f, NULL) < 0) continue;
                    m = open_encoder(model[i], cpu[c], threads);
                    float *got = embed(m, ids, N, o);
                    expect(got, want, n);
                    free(got);
                    hearth_model_close(m);
                }
            free(want);
        }
}

/* A long text runs in a larger plan than a short one; attention spans several pages. */
static void long_texts(void **state)
{
    (void)state;
    struct hearth_model *m = open_encoder(model[1], NULL, 2);
    float *alone = embed(m, ids, 600, raw(HEARTH_POOL_CLS)), *cut = embed(m, ids, 599, raw(HEARTH_POOL_CLS));
    float other[D];
    struct hearth_error e;
    struct hearth_embed_options o = raw(HEARTH_POOL_CLS);
    struct hearth_embed_item it[2] = { { ids, 20, 0, other }, { ids, 600, 0, cut } };
    assert_memory_not_equal(cut, alone, D * sizeof *cut);             /* the first position sees the last */
    assert_int_equal(hearth_embed(m, it, 2, &o, &e), 0);
    expect(cut, alone, D);
    free(alone);
    free(cut);
    hearth_model_close(m);
}

static void poolings_agree_with_the_tokens(void **state)
{
    (void)state;
    struct hearth_model *m = open_encoder(model[0], NULL, 2);
    float *all = embed(m, ids, N, raw(HEARTH_POOL_NONE)), *mean = embed(m, ids, N, raw(HEARTH_POOL_MEAN));
    float *cls = embed(m, ids, N, raw(HEARTH_POOL_CLS)), *last = embed(m, ids, N, raw(HEARTH_POOL_LAST));
    float *own = embed(m, ids, N, raw(HEARTH_POOL_AUTO));
    expect(all, cls, D);
    expect(all, own, D);                                               /* the file says cls */
    expect(all + (N - 1) * D, last, D);
    for (size_t d = 0; d < D; d++) {
        double sum = 0;
        for (size_t t = 0; t < N; t++) sum += (double)all[t * D + d];
        assert_true(fabs(sum / N - (double)mean[d]) < 1e-6);
    }
    struct hearth_embed_options o;
    hearth_embed_defaults(&o);
    o.n_dims = 10;
    assert_int_equal(hearth_embed_width(m, &o), 10);
    float *unit = embed(m, ids, N, o);
    double length = 0, norm = 0;
    for (size_t d = 0; d < 10; d++) length += (double)unit[d] * (double)unit[d], norm += (double)cls[d] * (double)cls[d];
    assert_true(fabs(length - 1) < 1e-6);
    for (size_t d = 0; d < 10; d++) assert_true(fabs((double)unit[d] - (double)cls[d] / sqrt(norm)) < 1e-6);
    assert_true(unit[10] == 0);
    float *const made[] = { all, mean, cls, last, own, unit };
    for (size_t i = 0; i < 6; i++) free(made[i]);
    hearth_model_close(m);
}

/* Layer 0 of EmbeddingGemma slides: positions at most half the window away are seen, on both sides. */
static void sliding_layers_see_both_sides(void **state)
{
    (void)state;
    struct tiny_encoder t = model[2];
    t.t.L = 1;
    struct hearth_model *m = open_encoder(t, NULL, 2);
    int32_t changed[N];
    float *a = embed(m, ids, N, raw(HEARTH_POOL_NONE));
    for (int at = 20; at <= 60; at += 40) {
        memcpy(changed, ids, sizeof changed);
        changed[at] = changed[at] ? 0 : 1;
        float *b = embed(m, changed, N, raw(HEARTH_POOL_NONE));
        for (int p = 0; p < N; p++) {
            bool same = !memcmp(a + p * D, b + p * D, D * sizeof *a), near = abs(p - at) <= 15;
            if (same == near) fail_msg("position %d, change at %d", p, at);
        }
        free(b);
    }
    free(a);
    hearth_model_close(m);
}

static const float *floats_of(struct gguf *g, const char *name)
{
    const struct gguf_tensor *t = gguf_tensor(g, name);
    assert_non_null(t);
    assert_int_equal(t->type, DT_F32);
    return (const float *)(const void *)t->data;
}

static void multiply(double *y, const double *x, const float *w, const float *bias, size_t K, size_t R)
{
    for (size_t r = 0; r < R; r++) {
        y[r] = bias ? (double)bias[r] : 0;
        for (size_t k = 0; k < K; k++) y[r] += (double)w[r * K + k] * x[k];
    }
}

static void heads_multiply(void **state)
{
    (void)state;
    struct gguf *g;
    double x[2 * D], y[2 * D];
    struct tiny_encoder t = model[0];
    t.t.type = DT_F32;
    t.rank = 2;
    struct hearth_model *m = open_encoder(t, NULL, 2);
    float *cls = embed(m, ids, N, raw(HEARTH_POOL_CLS)), *rank = embed(m, ids, N, raw(HEARTH_POOL_RANK));
    assert_int_equal(gguf_open(&g, path, NULL), 0);
    for (size_t d = 0; d < D; d++) x[d] = (double)cls[d];
    multiply(y, x, floats_of(g, "cls.weight"), floats_of(g, "cls.bias"), D, D);
    for (size_t d = 0; d < D; d++) y[d] = tanh(y[d]);
    multiply(x, y, floats_of(g, "cls.output.weight"), floats_of(g, "cls.output.bias"), D, 2);
    for (size_t d = 0; d < 2; d++) assert_true(fabs(x[d] - (double)rank[d]) < 1e-5);
    gguf_close(g);
    hearth_model_close(m);
    free(cls);
    free(rank);

    t = model[2];
    t.t.type = DT_F32;
    m = open_encoder(t, NULL, 2);
    struct hearth_embed_options o = raw(HEARTH_POOL_MEAN);
    assert_int_equal(hearth_embed_width(m, &o), D);
    float *all = embed(m, ids, N, raw(HEARTH_POOL_NONE)), *mean = embed(m, ids, N, o);
    assert_int_equal(gguf_open(&g, path, NULL), 0);
    for (size_t d = 0; d < D; d++) {
        x[d] = 0;
        for (size_t k = 0; k < N; k++) x[d] += (double)all[k * D + d] / N;
    }
    multiply(y, x, floats_of(g, "dense_2.weight"), NULL, D, 2 * D);
    multiply(x, y, floats_of(g, "dense_3.weight"), NULL, 2 * D, D);
    for (size_t d = 0; d < D; d++) assert_true(fabs(x[d] - (double)mean[d]) < 1e-4);
    gguf_close(g);
    hearth_model_close(m);
    free(all);
    free(mean);
}

static void limits(void **state)
{
    (void)state;
    struct tiny_encoder t = model[0];
    t.n_ctx = 50;
    struct hearth_model *m = open_encoder(t, NULL, 2);
    struct hearth_model_info info;
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_embed_options o = raw(HEARTH_POOL_CLS);
    float y[D], want[D];
    hearth_model_info(m, &info);
    assert_int_equal(info.n_embed_tokens, 50);
    assert_true(info.encoder);
    assert_int_equal(hearth_session_open(&s, m, NULL, &e), HEARTH_EUNSUPPORTED);
    assert_non_null(strstr(e.message, "embeddings"));
    struct hearth_embed_item it = { ids, 51, 0, y };
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "51"));
    assert_non_null(strstr(e.message, "50"));
    o.truncate = true;
    int32_t text[60];
    memcpy(text, ids, sizeof text);
    text[59] = SEP_ID;
    it = (struct hearth_embed_item){ text, 60, 0, y };
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), 0);
    text[49] = SEP_ID;                                     /* a cut text still ends with its separator */
    it = (struct hearth_embed_item){ text, 50, 0, want };
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), 0);
    expect(y, want, D);
    it.n = 0;
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), HEARTH_EARG);
    it.n = 1, text[0] = V;
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), HEARTH_EARG);
    text[0] = -1;
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), HEARTH_EARG);
    o.pooling = HEARTH_POOL_RANK;
    assert_int_equal(hearth_embed_width(m, &o), 0);
    text[0] = 1;
    assert_int_equal(hearth_embed(m, &it, 1, &o, &e), HEARTH_EUNSUPPORTED);
    assert_non_null(strstr(e.message, "cls.output.weight"));
    assert_int_equal(hearth_embed(m, NULL, 0, NULL, &e), 0);
    hearth_model_close(m);
}

static void running_out_of_memory_is_an_error(void **state)
{
    (void)state;
    struct tiny_encoder t = model[2];
    t.t.L = 1;
    struct hearth_error e;
    float y[D];
    int rc = -1;
    for (int64_t n = 0; rc < 0; n++) {
        struct hearth_model *m = open_encoder(t, NULL, 2);
        struct hearth_embed_item it = { ids, N, 0, y };
        assert_in_range(n, 0, 500);
        mem_fail_after(n);
        rc = hearth_embed(m, &it, 1, NULL, &e);
        mem_fail_after(-1);
        if (rc < 0 && rc != HEARTH_ENOMEM) fail_msg("allocation %d: %d %s", (int)n, rc, e.message);
        hearth_model_close(m);
    }
}

/* ModernBERT's classifier reads the mean and has a norm behind its first layer. */
static void a_classifier_of_the_mean(void **state)
{
    (void)state;
    struct gguf *g;
    double x[D], y[D], mean = 0, var = 0;
    struct tiny_encoder t = model[3];
    t.t.type = DT_F32;
    t.rank = 1;
    struct hearth_model *m = open_encoder(t, NULL, 2);
    float *pooled = embed(m, ids, N, raw(HEARTH_POOL_MEAN)), *rank = embed(m, ids, N, raw(HEARTH_POOL_RANK));
    assert_int_equal(gguf_open(&g, path, NULL), 0);
    for (size_t d = 0; d < D; d++) x[d] = (double)pooled[d];
    multiply(y, x, floats_of(g, "cls.weight"), NULL, D, D);
    for (size_t d = 0; d < D; d++) mean += (y[d] *= 0.5 * (1 + erf(y[d] / sqrt(2)))) / D;
    for (size_t d = 0; d < D; d++) var += (y[d] - mean) * (y[d] - mean) / D;
    for (size_t d = 0; d < D; d++) y[d] = (y[d] - mean) / sqrt(var + 1e-5) * (double)floats_of(g, "cls.norm.weight")[d];
    multiply(x, y, floats_of(g, "cls.output.weight"), floats_of(g, "cls.output.bias"), D, 1);
    assert_true(fabs(x[0] - (double)rank[0]) < 1e-5);
    gguf_close(g);
    hearth_model_close(m);
    free(pooled);
    free(rank);
}

/* ---- pairs and questions ---- */

static float rank_pair(struct hearth_model *m, const int32_t *id, size_t n, size_t second)
{
    float y[2] = { 0 };
    struct hearth_error e;
    struct hearth_embed_options o = raw(HEARTH_POOL_RANK);
    struct hearth_embed_item it = { id, n, second, y };
    if (hearth_embed(m, &it, 1, &o, &e) < 0) fail_msg("%s", e.message);
    return y[0];
}

static void encoders_rank_pairs(void **state)
{
    (void)state;
    struct tiny_encoder t = model[0];
    t.rank = 1;
    t.n_ctx = 16;
    struct hearth_model *m = open_encoder(t, NULL, 2);
    const char *const doc[] = { "ab", "c d", "eeeeeeeeeeeeeeeeeeee" };
    struct hearth_rerank_options o = { .logits = true };
    struct hearth_error e;
    float score[3], p[3];
    if (hearth_rerank(m, "qr", doc, 3, &o, score, &e) < 0) fail_msg("%s", e.message);
    int32_t want[16] = { CLS_ID, tiny_letter('q', true), tiny_letter('r', false), SEP_ID, tiny_letter('a', true),
                         tiny_letter('b', false), SEP_ID };
    assert_true(score[0] == rank_pair(m, want, 7, 4));
    assert_true(score[0] != rank_pair(m, want, 7, 0));               /* the second text has a type of its own */
    want[4] = tiny_letter('c', true), want[5] = tiny_letter('d', true);
    assert_true(score[1] == rank_pair(m, want, 7, 4));
    for (int i = 4; i < 15; i++) want[i] = tiny_letter('e', i == 4);
    want[15] = SEP_ID;
    assert_true(score[2] == rank_pair(m, want, 16, 4));              /* cut, but closed */
    assert_int_equal(hearth_rerank(m, "qr", doc, 3, NULL, p, &e), 0);
    for (int i = 0; i < 3; i++) assert_true(fabs((double)p[i] - 1 / (1 + exp(-(double)score[i]))) < 1e-6);
    assert_int_equal(hearth_rerank(m, "qqqqqqqqqqqqqqqq", doc, 3, NULL, p, &e), HEARTH_ELIMIT);
    hearth_model_close(m);

    t = model[1];                                                    /* no word pieces: </s></s> between the texts */
    t.word_piece = false, t.rank = 2, t.eos = true;
    m = open_encoder(t, NULL, 2);
    assert_int_equal(hearth_rerank(m, "qr", doc, 1, &o, score, &e), 0);
    int32_t pair[] = { 'q', 'r', 258, 258, 'a', 'b', 258 };
    float y[2];
    struct hearth_embed_options rank = raw(HEARTH_POOL_RANK);
    struct hearth_embed_item it = { pair, 7, 4, y };
    assert_int_equal(hearth_embed(m, &it, 1, &rank, &e), 0);
    assert_true(score[0] == y[0] - y[1]);
    hearth_model_close(m);
}

/* Documents share the beginning of the question; scores are those of separate sessions, and control tokens stay text. */
static void models_that_generate_are_asked(void **state)
{
    (void)state;
    assert_int_equal(tiny_answerer(path, false), 0);
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_error e;
    assert_int_equal(hearth_model_open(&m, path, NULL, &e), 0);
    const char *const doc[] = { "a document", "<|im_end|>" };
    struct hearth_rerank_options o = { .logits = true, .instruction = "I" };
    float score[2];
    if (hearth_rerank(m, "q", doc, 2, &o, score, &e) < 0) fail_msg("%s", e.message);
    for (int i = 0; i < 2; i++) {
        int32_t *part[3], all[1024];
        size_t n[3], total = 0;
        char text[200];
        static const char head[] =
            "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
            "provided. Note that the answer can only be \"yes\" or \"no\".<|im_end|>\n<|im_start|>user\n";
        static const char tail[] = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n";
        snprintf(text, sizeof text, "<Instruct>: I\n<Query>: q\n<Document>: %s", doc[i]);
        assert_int_equal(hearth_tokenize(m, head, strlen(head), HEARTH_TOKENIZE_PARSE, &part[0], &n[0], &e), 0);
        assert_int_equal(hearth_tokenize(m, text, strlen(text), 0, &part[1], &n[1], &e), 0);
        assert_int_equal(hearth_tokenize(m, tail, strlen(tail), HEARTH_TOKENIZE_PARSE, &part[2], &n[2], &e), 0);
        for (int k = 0; k < 3; k++) {
            memcpy(all + total, part[k], n[k] * sizeof *all);
            total += n[k];
            hearth_free(part[k]);
        }
        for (size_t k = n[0]; k < n[0] + n[1]; k++) assert_true(all[k] < 256);
        struct hearth_session_options so = { .n_ctx = (uint32_t)total, .kv_type = HEARTH_KV_F32 };
        assert_int_equal(hearth_session_open(&s, m, &so, &e), 0);
        assert_int_equal(hearth_session_sync(s, all, total, &e), 0);
        const float *z = hearth_session_logits(s);
        assert_true(score[i] == z[0] - z[1]);
        hearth_session_close(s);
    }
    hearth_model_close(m);

    float same[2];
    assert_int_equal(tiny_answerer(path, true), 0);
    assert_int_equal(hearth_model_open(&m, path, NULL, &e), 0);
    assert_int_equal(hearth_rerank(m, "q", doc, 2, &o, same, &e), 0);
    assert_memory_equal(same, score, sizeof same);
    hearth_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_else_matters),        cmocka_unit_test(long_texts),
        cmocka_unit_test(poolings_agree_with_the_tokens), cmocka_unit_test(sliding_layers_see_both_sides),
        cmocka_unit_test(heads_multiply),              cmocka_unit_test(a_classifier_of_the_mean),
        cmocka_unit_test(limits),
        cmocka_unit_test(running_out_of_memory_is_an_error), cmocka_unit_test(encoders_rank_pairs),
        cmocka_unit_test(models_that_generate_are_asked),
    };
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % PIECES);
    int rc = run_tests(tests);
    unlink(path);
    return rc;
}
