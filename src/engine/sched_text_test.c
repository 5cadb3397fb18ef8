/* sched_text_test.c - embeddings, scores and adapters as requests: the bits of separate calls, beside answers and each other. */
#include <stdatomic.h>
#include <unistd.h>

#include "tests/engine_fixture.h"
#include "tests/tiny_adapter.h"
#include "tests/tiny_answerer.h"
#include "tests/tiny_encoder.h"

enum { R = 4, TEXTS = 5, WIDTH = 96 };

static char path[] = "/tmp/hearth-sched-text-XXXXXX";

static const struct tiny_encoder encoder[] = {
    { .t = { .arch = "bert", .type = DT_F16, .D = WIDTH, .L = 2, .H = 4, .F = 160 }, .word_piece = true, .pooling = 2,
      .rank = 1 },
    { .t = { .arch = "nomic-bert", .type = DT_Q8_0, .D = WIDTH, .L = 3, .H = 3, .F = 128 }, .word_piece = true, .pooling = 1 },
};

struct seen {
    uint32_t events, done, order;
    int finish, rc;
    uint64_t stop_after;
    char error[512];
};
static _Atomic uint32_t clock_;

static bool see(void *arg, const struct hearth_event *ev)
{
    struct seen *s = arg;
    assert_true(ev->n_answer >= s->done);
    if (!s->events++) s->order = atomic_fetch_add(&clock_, 1) + 1;
    s->done = ev->n_answer;
    if (ev->finish) s->finish = ev->finish;
    if (ev->error) snprintf(s->error, sizeof s->error, "%s", ev->error->message);
    return !s->stop_after || s->done < s->stop_after;
}

static struct hearth_model *open_path(const char *p)
{
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, p, &(struct hearth_model_options){ .threads = 1 }, &e) < 0) fail_msg("%s", e.message);
    return m;
}

static struct hearth_engine *open_engine(struct hearth_model *m, struct hearth_engine_options o)
{
    struct hearth_engine *g;
    struct hearth_error e;
    if (hearth_engine_open(&g, m, &o, &e) < 0) fail_msg("%s", e.message);
    return g;
}

/* What request k embeds, and how. */
static struct hearth_embed_options how(uint32_t k)
{
    static const int pooling[] = { HEARTH_POOL_MEAN, HEARTH_POOL_CLS, HEARTH_POOL_LAST, HEARTH_POOL_NONE };
    return (struct hearth_embed_options){ .pooling = pooling[k % 4], .normalise = k % 3 == 0, .n_dims = k % 5 == 1 ? 17 : 0 };
}

static struct hearth_embed_item item_of(uint32_t k, uint32_t i, float *out)
{
    uint32_t n = 1 + (k * 31 + i * 47) % 140;
    return (struct hearth_embed_item){ ids + i % 7, n, 0, out };
}

static size_t size_of(struct hearth_model *m, uint32_t k, uint32_t i)
{
    struct hearth_embed_options o = how(k);
    return (o.pooling == HEARTH_POOL_NONE ? item_of(k, i, NULL).n : 1) * hearth_embed_width(m, &o);
}

/* All requests at once, against hearth_embed. */
static void check_embeddings(struct hearth_model *m, struct hearth_engine *g)
{
    static float *out[R][TEXTS];
    struct hearth_request *r[R];
    static struct seen s[R];
    struct hearth_error e;
    memset(s, 0, sizeof s);
    for (uint32_t k = 0; k < R; k++) {
        struct hearth_embed_item it[TEXTS];
        struct hearth_embed_options o = how(k);
        for (uint32_t i = 0; i < TEXTS; i++) it[i] = item_of(k, i, out[k][i] = calloc(size_of(m, k, i), sizeof(float)));
        struct hearth_embed_request q = { .items = it, .n = 1 + k % TEXTS, .options = &o, .event = see, .arg = &s[k] };
        if (hearth_embed_submit(&r[k], g, &q, &e) < 0) fail_msg("%s", e.message);
    }
    for (uint32_t k = 0; k < R; k++) {
        if (hearth_request_wait(r[k]) != HEARTH_FINISH_END) fail_msg("%s", s[k].error);
        assert_int_equal(s[k].finish, HEARTH_FINISH_END);
        assert_int_equal(s[k].done, 1 + k % TEXTS);
        hearth_request_close(r[k]);
        struct hearth_embed_options o = how(k);
        for (uint32_t i = 0; i < 1 + k % TEXTS; i++) {
            size_t n = size_of(m, k, i);
            float *want = calloc(n, sizeof *want);
            struct hearth_embed_item it = item_of(k, i, want);
            assert_int_equal(hearth_embed(m, &it, 1, &o, &e), 0);
            assert_memory_equal(out[k][i], want, n * sizeof *want);
            assert_true(want[0] != 0);
            free(want);
        }
        for (uint32_t i = 0; i < TEXTS; i++) free(out[k][i]);
    }
    struct hearth_engine_stats st;
    hearth_engine_stats(g, &st);
    assert_int_equal(st.n_queued, 0);
    assert_true(st.n_finished >= R && st.n_finished <= st.n_requests);       /* answers beside them may go on */
    uint64_t texts = 0;
    for (uint32_t k = 0; k < R; k++) texts += 1 + k % TEXTS;
    assert_int_equal(st.n_texts, texts);
}

static void encoders_serve_many(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof encoder / sizeof *encoder; i++) {
        assert_int_equal(tiny_encoder(path, encoder[i]), 0);
        struct hearth_model *m = open_path(path);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
        struct hearth_request *r;
        struct hearth_error e;
        check_embeddings(m, g);
        struct hearth_request_options text = { .ids = ids, .n = 3 };
        assert_int_equal(hearth_request_submit(&r, g, &text, &e), HEARTH_EUNSUPPORTED);
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

struct answer { uint64_t hash; uint32_t n; };

static bool hash_rows_of(void *arg, const struct hearth_event *ev)
{
    struct answer *a = arg;
    if (ev->id < 0) return true;
    a->hash = hash_add(a->n++ ? a->hash : HASH_START, hearth_session_logits(ev->session), TINY_VOCAB * 4);
    return true;
}

static struct hearth_request_options writer(uint32_t k, struct answer *a)
{
    static struct hearth_sampler_options so;
    hearth_sampler_defaults(NULL, &so);
    so.temperature = 0;
    return (struct hearth_request_options){ .ids = ids + k, .n = 60 + k, .max_tokens = 20, .sampler = &so, .ignore_end = true,
                                            .event = hash_rows_of, .arg = a };
}

/* Answers and embeddings of one model in turns: neither changes the other. */
static void embeddings_beside_answers(void **state)
{
    (void)state;
    static const size_t which[] = { 3 };
    for (size_t w = 0; w < 1; w++) {
        struct hearth_model *m = open_model(which[w], NULL, 1);
        struct hearth_request *r[4];
        struct hearth_error e;
        struct answer alone[4] = { { 0, 0 } }, beside[4] = { { 0, 0 } };
        for (uint32_t k = 0; k < 4; k++) {
            struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 256 });
            struct hearth_request_options o = writer(k, &alone[k]);
            o.no_cache = true;
            assert_int_equal(hearth_request_submit(&r[k], g, &o, &e), 0);
            hearth_request_wait(r[k]);
            hearth_request_close(r[k]);
            hearth_engine_close(g);
        }
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 256, .budget_ms = 1 });
        for (uint32_t k = 0; k < 4; k++) {
            struct hearth_request_options o = writer(k, &beside[k]);
            assert_int_equal(hearth_request_submit(&r[k], g, &o, &e), 0);
        }
        check_embeddings(m, g);
        for (uint32_t k = 0; k < 4; k++) {
            assert_int_equal(hearth_request_wait(r[k]), HEARTH_FINISH_LENGTH);
            hearth_request_close(r[k]);
            assert_int_equal(beside[k].n, 20);
            assert_true(beside[k].hash == alone[k].hash);
        }
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

enum { MANY = 120 };

static void texts_have_an_order_and_an_end(void **state)
{
    (void)state;
    assert_int_equal(tiny_encoder(path, encoder[1]), 0);
    struct hearth_model *m = open_path(path);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .max_queued = 6 });
    static float out[MANY][WIDTH];
    static struct hearth_embed_item it[MANY];
    struct hearth_request *r[7] = { NULL };
    static struct seen s[7];
    struct hearth_error e;
    memset(s, 0, sizeof s);
    for (size_t i = 0; i < MANY; i++) it[i] = (struct hearth_embed_item){ ids, 100, 0, out[i] };
    static const struct { size_t n; int priority; } row[6] = { { 80, 0 }, { MANY, 0 }, { 5, 0 }, { 6, 3 }, { 100, -1 },
                                                               { 50, -2 } };
    for (int k = 0; k < 6; k++) {
        struct hearth_embed_request q = { .items = it, .n = row[k].n, .priority = row[k].priority, .event = see, .arg = &s[k],
                                          .deadline_ms = k == 5 };
        if (k == 1) s[k].stop_after = 4;
        assert_int_equal(hearth_embed_submit(&r[k], g, &q, &e), 0);
    }
    struct hearth_embed_request q = { .items = it, .n = 1 };
    assert_int_equal(hearth_embed_submit(&r[6], g, &q, &e), HEARTH_ELIMIT);
    assert_null(r[6]);
    hearth_request_cancel(r[4]);
    assert_int_equal(hearth_request_wait(r[4]), HEARTH_FINISH_CANCELLED);
    assert_int_equal(hearth_request_wait(r[1]), HEARTH_FINISH_STOPPED);
    assert_int_equal(hearth_request_wait(r[5]), HEARTH_FINISH_DEADLINE);
    assert_int_equal(hearth_request_wait(r[0]), HEARTH_FINISH_END);
    assert_int_equal(hearth_request_wait(r[2]), HEARTH_FINISH_END);
    assert_int_equal(hearth_request_wait(r[3]), HEARTH_FINISH_END);
    assert_true(s[3].order < s[2].order);             /* priority; and a short request does not wait for the long ones */
    assert_true(s[0].events > 5);
    for (int k = 0; k < 6; k++) hearth_request_close(r[k]);
    /* What is refused. */
    struct hearth_embed_item bad[2] = { { ids, 3, 0, out[0] }, { ids, 0, 0, out[1] } };
    q = (struct hearth_embed_request){ .items = bad, .n = 2 };
    assert_int_equal(hearth_embed_submit(&r[0], g, &q, &e), HEARTH_EARG);
    q.n = 0;
    assert_int_equal(hearth_embed_submit(&r[0], g, &q, &e), HEARTH_EARG);
    bad[1] = (struct hearth_embed_item){ (int32_t[]){ 1 << 20 }, 1, 0, out[1] };
    q.n = 2;
    assert_int_equal(hearth_embed_submit(&r[0], g, &q, &e), HEARTH_EARG);
    struct hearth_embed_options rank = { .pooling = HEARTH_POOL_RANK };
    q = (struct hearth_embed_request){ .items = it, .n = 1, .options = &rank };
    assert_int_equal(hearth_embed_submit(&r[0], g, &q, &e), HEARTH_EUNSUPPORTED);
    /* An engine that closes ends what waits. */
    memset(s, 0, sizeof s);
    q = (struct hearth_embed_request){ .items = it, .n = MANY, .event = see, .arg = &s[0] };
    assert_int_equal(hearth_embed_submit(&r[0], g, &q, &e), 0);
    hearth_engine_close(g);
    assert_int_equal(hearth_request_wait(r[0]), HEARTH_FINISH_CANCELLED);
    hearth_request_close(r[0]);
    hearth_model_close(m);
}

struct between { _Atomic uint32_t tokens; };

static bool count_tokens(void *arg, const struct hearth_event *ev)
{
    struct between *b = arg;
    if (ev->id >= 0) atomic_fetch_add(&b->tokens, 1);
    return true;
}

/* While an answer is written a long text is evaluated in parts, between which the answer gets on; its numbers are the same. */
static void a_long_text_lets_others_get_on(void **state)
{
    (void)state;
    enum { LONG = 420 };
    static const int pooling[] = { HEARTH_POOL_MEAN, HEARTH_POOL_CLS, HEARTH_POOL_LAST, HEARTH_POOL_NONE };
    static int32_t text[LONG];
    static float want[LONG * 512], got[LONG * 512];
    static const size_t which[] = { 0, 3, 8, 10 };
    for (int i = 0; i < LONG; i++) text[i] = i * 11 % TINY_VOCAB;
    for (size_t w = 0; w < 4; w++) {
        struct hearth_model *m = open_model(which[w], NULL, 1);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 8000, .budget_ms = 1 });
        struct between b = { 0 };
        struct hearth_request *a, *r;
        struct hearth_error e;
        struct hearth_request_options o = { .ids = ids, .n = 3, .ignore_end = true, .event = count_tokens, .arg = &b };
        assert_int_equal(hearth_request_submit(&a, g, &o, &e), 0);
        while (!atomic_load(&b.tokens)) usleep(100);
        for (int k = 0; k < 4; k++) {
            struct hearth_embed_options how = { .pooling = pooling[k], .normalise = k % 2 };
            struct hearth_embed_item it = { text, LONG, 0, want };
            const size_t n = (k == 3 ? LONG : 1) * hearth_embed_width(m, &how);
            assert_true(n <= sizeof want / sizeof *want);
            assert_int_equal(hearth_embed(m, &it, 1, &how, &e), 0);
            it.out = got;
            struct hearth_embed_request q = { .items = &it, .n = 1, .options = &how };
            const uint32_t before = atomic_load(&b.tokens);
            assert_int_equal(hearth_embed_submit(&r, g, &q, &e), 0);
            assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_END);
            hearth_request_close(r);
            /* 32 tokens at first, while nothing is known; at no time all of them. */
            if (k == 0 && atomic_load(&b.tokens) - before < 3) fail_msg("model %zu: all in one step", which[w]);
            assert_memory_equal(got, want, n * sizeof *want);
        }
        /* One that is called off in the middle leaves nothing. */
        struct hearth_embed_item it = { text, LONG, 0, got };
        struct hearth_embed_request q = { .items = &it, .n = 1 };
        assert_int_equal(hearth_embed_submit(&r, g, &q, &e), 0);
        hearth_request_cancel(r);
        hearth_request_wait(r);
        hearth_request_close(r);
        hearth_request_close(a);
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

/* ---- scores ---- */

enum { DOCS = 6 };
static const char *doc[DOCS];

static void check_scores(struct hearth_model *m, struct hearth_engine *g)
{
    float want[DOCS], got[2][DOCS];
    struct hearth_request *r[2];
    struct hearth_error e;
    struct seen s[2] = { { .finish = 0 } };
    struct hearth_rerank_options o = { .logits = true };
    memset(got, 0, sizeof got);
    for (int k = 0; k < 2; k++) {
        struct hearth_rerank_request q = { .query = "q r", .documents = doc, .n = DOCS, .options = &o, .scores = got[k],
                                           .event = see, .arg = &s[k] };
        if (hearth_rerank_submit(&r[k], g, &q, &e) < 0) fail_msg("%s", e.message);
    }
    for (int k = 0; k < 2; k++) {
        if (hearth_request_wait(r[k]) != HEARTH_FINISH_END) fail_msg("%s", s[k].error);
        assert_int_equal(s[k].finish, HEARTH_FINISH_END);
        assert_int_equal(s[k].done, DOCS);
        hearth_request_close(r[k]);
    }
    if (hearth_rerank(m, "q r", doc, DOCS, &o, want, &e) < 0) fail_msg("%s", e.message);
    for (int k = 0; k < 2; k++) assert_memory_equal(got[k], want, sizeof want);
    for (int i = 1; i < DOCS; i++) assert_true(want[i] != want[0]);
    struct hearth_rerank_request none = { .query = "q", .documents = doc, .n = 0, .scores = want };
    assert_int_equal(hearth_rerank_submit(&r[0], g, &none, &e), HEARTH_EARG);
}

static void scores_as_requests(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        assert_int_equal(kind == 0 ? tiny_encoder(path, encoder[0]) : tiny_answerer(path, kind == 1), 0);
        for (uint32_t running = 1; running <= 9; running += 8) {
            struct hearth_model *m = open_path(path);
            struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 256, .max_running = running });
            struct hearth_memory mem;
            check_scores(m, g);
            hearth_cache_clear(m);
            hearth_model_memory(m, &mem);
            assert_int_equal(mem.n_pages, 0);
            hearth_engine_close(g);
            hearth_model_close(m);
        }
    }
    assert_int_equal(tiny_encoder(path, encoder[1]), 0);
    struct hearth_model *m = open_path(path);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
    struct hearth_request *r;
    struct hearth_error e;
    float y[1];
    struct hearth_rerank_request q = { .query = "q", .documents = doc, .n = 1, .scores = y };
    assert_int_equal(hearth_rerank_submit(&r, g, &q, &e), HEARTH_EUNSUPPORTED);
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* A model of which questions read the beginning once. */
static void questions_share_their_beginning(void **state)
{
    (void)state;
    assert_int_equal(tiny_answerer(path, false), 0);
    struct hearth_model *m = open_path(path);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ 0 });
    struct hearth_request *r;
    struct hearth_error e;
    struct hearth_engine_stats st;
    float y[DOCS];
    struct seen s = { .finish = 0 };
    struct hearth_rerank_request q = { .query = "q", .documents = doc, .n = DOCS, .scores = y, .event = see, .arg = &s };
    assert_int_equal(hearth_rerank_submit(&r, g, &q, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_END);
    hearth_request_close(r);
    hearth_engine_stats(g, &st);
    assert_int_equal(st.n_texts, DOCS);
    assert_int_equal(st.n_answer_tokens, 0);
    assert_true(st.n_prompt_tokens < 400 + DOCS * 100);   /* the head has some 250 tokens */
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* ---- adapters ---- */

/* Scores, too: of a classifier, and of a model that is asked. */
static void scores_have_their_own_adapters(void **state)
{
    (void)state;
    char lora[64];
    snprintf(lora, sizeof lora, "%s/lora.gguf", dir);
    for (int kind = 0; kind < 2; kind++) {
        if (!IN_SHARE(kind)) continue;
        struct gguf *file;
        struct err err;
        struct hearth_error e;
        float want[2][DOCS], got[2][DOCS];
        assert_int_equal(tiny_answerer(path, kind == 1), 0);
        assert_int_equal(gguf_open(&file, path, &err), 0);
        struct ta a = ta_new(file, 5, 4, 0, 0.0625f);
        for (size_t i = 0; i < a.n; i++)              /* a classifier cannot be adapted */
            if (!strcmp(a.p[i].name, "cls.output.weight")) {
                free(a.p[i].a);
                free(a.p[i].b);
                a.p[i] = a.p[--a.n];
            }
        assert_int_equal(ta_write(&a, "qwen3", DT_F32, lora), 0);
        ta_free(&a);
        gguf_close(file);
        struct hearth_model *m = open_path(path);
        struct hearth_adapter *ad;
        if (hearth_adapter_open(&ad, m, lora, &e) < 0) fail_msg("%s", e.message);
        struct hearth_adapter_use use = { .adapter = ad, .scale = 1 };
        for (int k = 0; k < 2; k++) {
            assert_int_equal(hearth_model_set_adapters(m, &use, (size_t)k, &e), 0);
            if (hearth_rerank(m, "q r", doc, DOCS, NULL, want[k], &e) < 0) fail_msg("%s", e.message);
        }
        assert_memory_not_equal(want[0], want[1], sizeof want[0]);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 512 });
        struct hearth_request *r[2];
        for (uint32_t k = 0; k < 2; k++) {            /* the model has it: that is no matter */
            struct hearth_rerank_request q = { .query = "q r", .documents = doc, .n = DOCS, .scores = got[k], .adapters = &use,
                                               .n_adapters = k };
            if (hearth_rerank_submit(&r[k], g, &q, &e) < 0) fail_msg("%s", e.message);
        }
        for (uint32_t k = 0; k < 2; k++) {
            assert_int_equal(hearth_request_wait(r[k]), HEARTH_FINISH_END);
            hearth_request_close(r[k]);
            assert_memory_equal(got[k], want[k], sizeof want[k]);
        }
        hearth_engine_close(g);
        assert_int_equal(hearth_model_set_adapters(m, NULL, 0, &e), 0);
        hearth_adapter_close(ad);
        hearth_model_close(m);
    }
    unlink(lora);
}

static void requests_have_their_own_adapters(void **state)
{
    (void)state;
    char lora[64];
    snprintf(lora, sizeof lora, "%s/lora.gguf", dir);
    struct gguf *file;
    struct err err;
    assert_int_equal(gguf_open(&file, model_path(7), &err), 0);
    struct ta a = ta_new(file, 5, 4, 0, 0.0625f);
    assert_int_equal(ta_write(&a, "llama", DT_F32, lora), 0);
    ta_free(&a);
    gguf_close(file);
    struct hearth_model *m = open_model(7, NULL, 1);
    struct hearth_adapter *ad;
    struct hearth_error e;
    if (hearth_adapter_open(&ad, m, lora, &e) < 0) fail_msg("%s", e.message);
    struct hearth_adapter_use use = { .adapter = ad, .scale = 0.5f };
    uint64_t want[2];
    float vector[2][72], got[2][72];
    struct hearth_embed_item it[2] = { { ids, 30, 0, vector[0] }, { ids, 30, 0, vector[1] } };
    for (int k = 0; k < 2; k++) {                     /* alone: the model's own adapters */
        assert_int_equal(hearth_model_set_adapters(m, &use, (size_t)k, &e), 0);
        struct answer x = { 0, 0 };
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 256 });
        struct hearth_request *r;
        struct hearth_request_options o = writer(0, &x);
        o.no_cache = true;
        assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
        hearth_request_wait(r);
        hearth_request_close(r);
        hearth_engine_close(g);
        want[k] = x.hash;
        assert_int_equal(hearth_embed(m, &it[k], 1, NULL, &e), 0);
    }
    assert_true(want[0] != want[1]);
    assert_memory_not_equal(vector[0], vector[1], sizeof vector[0]);
    for (int own = 0; own < 2; own++) {               /* together: what the model has is no matter */
        assert_int_equal(hearth_model_set_adapters(m, &use, (size_t)own, &e), 0);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 256 });
        struct hearth_request *r[6], *t[2];
        struct answer x[6] = { { 0, 0 } };
        for (uint32_t k = 0; k < 6; k++) {
            struct hearth_request_options o = writer(0, &x[k]);
            o.adapters = &use, o.n_adapters = k % 2;
            assert_int_equal(hearth_request_submit(&r[k], g, &o, &e), 0);
        }
        for (uint32_t k = 0; k < 2; k++) {
            it[k].out = got[k];
            struct hearth_embed_request q = { .items = &it[k], .n = 1, .adapters = &use, .n_adapters = k };
            assert_int_equal(hearth_embed_submit(&t[k], g, &q, &e), 0);
        }
        for (uint32_t k = 0; k < 6; k++) {
            assert_int_equal(hearth_request_wait(r[k]), HEARTH_FINISH_LENGTH);
            hearth_request_close(r[k]);
            assert_true(x[k].hash == want[k % 2]);
        }
        for (uint32_t k = 0; k < 2; k++) {
            assert_int_equal(hearth_request_wait(t[k]), HEARTH_FINISH_END);
            hearth_request_close(t[k]);
            assert_memory_equal(got[k], vector[k], sizeof vector[k]);
        }
        struct hearth_request_options o = writer(0, &x[0]);
        use.scale = __builtin_nanf("");
        o.adapters = &use, o.n_adapters = 1;
        assert_int_equal(hearth_request_submit(&r[0], g, &o, &e), HEARTH_EARG);
        use.scale = 0.5f;
        hearth_engine_close(g);
    }
    assert_int_equal(hearth_model_set_adapters(m, NULL, 0, &e), 0);
    hearth_adapter_close(ad);
    hearth_model_close(m);
    unlink(lora);
}

static void a_request_may_have_a_smaller_context(void **state)
{
    (void)state;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 200 });
    struct hearth_request *r;
    struct hearth_error e;
    struct answer a = { 0, 0 };
    struct hearth_request_options o = writer(0, &a);
    o.n_ctx = 75, o.max_tokens = 0;
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), 0);
    assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_CONTEXT);
    assert_int_equal(a.n, 15);
    hearth_request_close(r);
    o.n_ctx = 60;
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "60 tokens leaves no room"));
    o.n_ctx = 201;
    assert_int_equal(hearth_request_submit(&r, g, &o, &e), HEARTH_ELIMIT);
    assert_non_null(strstr(e.message, "201"));
    assert_non_null(strstr(e.message, "200"));
    hearth_engine_close(g);
    hearth_model_close(m);
}

/* ---- memory ---- */

/* Fails the n-th allocation of a request until it succeeds; the next one is served all the same. */
static void running_out_of_memory_ends_one_request(void **state)
{
    (void)state;
    for (int kind = 0; kind < 3; kind++) {
        assert_int_equal(kind < 2 ? tiny_encoder(path, encoder[0]) : tiny_answerer(path, false), 0);
        struct hearth_model *m = open_path(path);
        struct hearth_engine *g = open_engine(m, (struct hearth_engine_options){ .n_ctx = 256 });
        float y[WIDTH], want[WIDTH];
        struct hearth_embed_item it = { ids, 40, 0, y }, right = { ids, 40, 0, want };
        struct hearth_embed_request q = { .items = &it, .n = 1 };
        struct hearth_rerank_request k = { .query = "q", .documents = doc, .n = 2, .scores = y };
        struct hearth_error e;
        int finish = 0;
        assert_int_equal(kind ? hearth_rerank(m, "q", doc, 2, NULL, want, &e) : hearth_embed(m, &right, 1, NULL, &e), 0);
        for (int64_t n = 0; finish != HEARTH_FINISH_END; n += 1 + n / 16) {
            struct hearth_request *r = NULL;
            assert_in_range(n, 0, 400);
            if (kind == 2 && n > 20) n += 4;                   /* a long question: each takes its time */
            mem_fail_after(n);
            int rc = kind ? hearth_rerank_submit(&r, g, &k, &e) : hearth_embed_submit(&r, g, &q, &e);
            if (rc == 0) finish = hearth_request_wait(r);
            mem_fail_after(-1);
            if (rc < 0) assert_int_equal(rc, HEARTH_ENOMEM);
            else if (finish != HEARTH_FINISH_END) assert_int_equal(finish, HEARTH_FINISH_ERROR);
            hearth_request_close(r);
            memset(y, 0, sizeof y);
            rc = kind ? hearth_rerank_submit(&r, g, &k, &e) : hearth_embed_submit(&r, g, &q, &e);
            assert_int_equal(rc, 0);
            assert_int_equal(hearth_request_wait(r), HEARTH_FINISH_END);
            hearth_request_close(r);
            assert_memory_equal(y, want, kind ? 2 * sizeof *y : sizeof y);
        }
        hearth_engine_close(g);
        hearth_model_close(m);
    }
}

/* Tokens that encoders have, too. */
static int setup_all(void **state)
{
    int rc = setup(state);
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % PIECES);
    return rc;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encoders_serve_many),
        cmocka_unit_test(embeddings_beside_answers),
        cmocka_unit_test(texts_have_an_order_and_an_end),
        cmocka_unit_test(a_long_text_lets_others_get_on),
        cmocka_unit_test(scores_as_requests),
        cmocka_unit_test(questions_share_their_beginning),
        cmocka_unit_test(requests_have_their_own_adapters),
        cmocka_unit_test(scores_have_their_own_adapters),
        cmocka_unit_test(a_request_may_have_a_smaller_context),
        cmocka_unit_test(running_out_of_memory_ends_one_request),
    };
    static char text[DOCS][48];
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    for (int i = 0; i < DOCS; i++) {
        for (int k = 0; k < 3 + i; k++) text[i][k] = (char)('a' + (i * 5 + k * k) % 26);
        doc[i] = text[i];
    }
    int rc = cmocka_run_group_tests(tests, setup_all, teardown);
    unlink(path);
    return rc;
}
