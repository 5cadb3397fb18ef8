/* adapter_test.c - LoRA and steering vectors: against models whose weights were changed instead, the same bits whatever is in the
 * batch, and what is refused. */
#include "tests/engine_fixture.h"
#include "tests/tiny_adapter.h"

#include <math.h>

static char path[3][96], base[96], merged[96];

/* Models in float, whose matrices can be changed as they are. */
static const struct tiny plain[] = {
    { .arch = "llama", .type = DT_F32, .D = 72, .F = 100, .E = 18, .K = 4 },
    { .arch = "qwen3moe", .type = DT_F32, .D = 64, .F = 48, .E = 16, .experts = 6, .used = 2 },
    { .arch = "gemma3", .type = DT_F32, .D = 64, .F = 80, .E = 16, .L = 3, .window = 20 },
    { .arch = "qwen35", .type = DT_F32, .L = 5, .D = 64, .F = 80, .E = 64 },
    { .arch = "qwen3next", .type = DT_F32, .L = 4, .H = 6, .K = 3, .D = 64, .F = 40, .experts = 5, .used = 2 },
    { .arch = "lfm2", .type = DT_F32, .L = 3, .D = 64, .F = 80, .E = 16 },
};
enum { N_PLAIN = sizeof plain / sizeof *plain };

static struct gguf *parse(const char *file)
{
    struct gguf *g;
    struct err err;
    if (gguf_open(&g, file, &err) < 0) fail_msg("%s", err.msg);
    return g;
}

static struct hearth_model *open_file(const char *file)
{
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, file, &(struct hearth_model_options){ .threads = 2 }, &e) < 0) fail_msg("%s", e.message);
    return m;
}

static struct hearth_adapter *open_adapter(struct hearth_model *m, const char *file)
{
    struct hearth_adapter *a;
    struct hearth_error e;
    if (hearth_adapter_open(&a, m, file, &e) < 0) fail_msg("%s", e.message);
    return a;
}

static struct hearth_session *open_f32(struct hearth_model *m)
{
    struct hearth_session *s;
    struct hearth_error e;
    struct hearth_session_options o = { .n_ctx = 64, .n_logits = ROWS, .kv_type = HEARTH_KV_F32 };
    if (hearth_session_open(&s, m, &o, &e) < 0) fail_msg("%s", e.message);
    return s;
}

static void set(struct hearth_session *s, const struct hearth_adapter_use *use, size_t n)
{
    struct hearth_error e;
    if (hearth_session_set_adapters(s, use, n, &e) < 0) fail_msg("%s", e.message);
}

/* Rows of logits after 40 tokens, with a set of adapters or none. */
static void rows_of(struct hearth_model *m, const struct hearth_adapter_use *use, size_t n, float *out)
{
    struct hearth_session *s = open_f32(m);
    struct hearth_error e;
    size_t rows;
    set(s, use, n);
    if (hearth_session_sync(s, ids, 40, &e) < 0) fail_msg("%s", e.message);
    const float *z = hearth_session_logits_rows(s, &rows);
    assert_int_equal(rows, ROWS);
    memcpy(out, z, ROWS * TINY_VOCAB * sizeof *out);
    hearth_session_close(s);
}

/* |a - b| relative to |b|, over all rows. */
static double distance(const float *a, const float *b)
{
    double d = 0, n = 0;
    for (size_t i = 0; i < ROWS * TINY_VOCAB; i++) {
        d += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        n += (double)b[i] * (double)b[i];
    }
    return sqrt(d / n);
}

static float got[ROWS * TINY_VOCAB], want[ROWS * TINY_VOCAB], none[ROWS * TINY_VOCAB];

/* Two adapters of all matrices, experts and embedding, at scales of their own, against the merged model. */
static void merged_weights_agree(void **state)
{
    (void)state;
    static const enum dtype type[] = { DT_F32, DT_F16, DT_BF16 };
    for (size_t i = 0; i < N_PLAIN; i++) {
        assert_int_equal(tiny_model(base, plain[i]), 0);
        struct gguf *g = parse(base);
        struct ta a[2] = { ta_new(g, 7 + i, 4, 16, 0.015625f), ta_new(g, 99 + i, 1, 0, 0.03125f) };
        const double user[2] = { 0.75, -1.5 };
        assert_int_equal(ta_write(&a[0], plain[i].arch, type[i % 3], path[0]), 0);
        assert_int_equal(ta_write(&a[1], plain[i].arch, DT_F32, path[1]), 0);
        assert_int_equal(ta_merge(g, a, user, 2, merged), 0);
        gguf_close(g);
        struct hearth_model *m = open_file(base), *other = open_file(merged);
        struct hearth_adapter *l[2] = { open_adapter(m, path[0]), open_adapter(m, path[1]) };
        struct hearth_adapter_info info;
        hearth_adapter_info(l[0], &info);
        assert_int_equal(info.n_matrices, a[0].n);
        assert_int_equal(info.rank, 6);
        rows_of(m, NULL, 0, none);
        rows_of(other, NULL, 0, want);
        rows_of(m, (struct hearth_adapter_use[]){ { l[0], 0.75f, 0, 0 }, { l[1], -1.5f, 0, 0 } }, 2, got);
        double d = distance(got, want);
        if (!(d < 2e-5) || !(distance(none, want) > 0.1))
            fail_msg("%s: %g from the merged model, which is %g from the base", plain[i].arch, d, distance(none, want));
        hearth_adapter_close(l[0]);
        hearth_adapter_close(l[1]);
        hearth_model_close(m);
        hearth_model_close(other);
        ta_free(&a[0]);
        ta_free(&a[1]);
    }
}

/* The head of a tied model is a matrix of its own to adapters. */
static void tied_heads_and_embeddings_are_apart(void **state)
{
    (void)state;
    assert_int_equal(tiny_model(base, plain[0]), 0);
    struct gguf *g = parse(base);
    struct ta a = ta_new(g, 3, 2, 4, 0.1f);
    assert_int_equal(ta_write(&a, "llama", DT_F32, path[0]), 0);
    const struct gguf_tensor *embd = gguf_tensor(g, "token_embd.weight");
    struct gguf_writer *w, *x;
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    assert_int_equal(gguf_writer_open(&x, NULL), 0);
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(x, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        bool head = !strcmp(t->name, "output.weight");
        if (!head) gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
        gguf_put_tensor(x, t->name, t->type, t->n_dims, t->ne, head ? embd->data : t->data);
    }
    assert_int_equal(ta_finish(w, path[1]), 0);                  /* tied */
    assert_int_equal(ta_finish(x, path[2]), 0);                  /* the same with a copy of the embedding as its head */
    gguf_close(g);
    g = parse(path[2]);
    assert_int_equal(ta_merge(g, &a, (const double[]){ 1 }, 1, merged), 0);
    gguf_close(g);
    struct hearth_model *m = open_file(path[1]), *other = open_file(merged);
    struct hearth_adapter *l = open_adapter(m, path[0]);
    rows_of(other, NULL, 0, want);
    rows_of(m, &(struct hearth_adapter_use){ l, 1, 0, 0 }, 1, got);
    assert_true(distance(got, want) < 2e-5);
    hearth_adapter_close(l);
    hearth_model_close(m);
    hearth_model_close(other);
    ta_free(&a);
}

/* Adapters of a model of the fixture. */
static void write_two(size_t i)
{
    struct gguf *g = parse(model_path(i));
    struct ta a[2] = { ta_new(g, 11 + i, 5, 16, 0.02f), ta_new(g, 12 + i, 17, 8, 0.02f) };
    assert_int_equal(ta_write(&a[0], model[i].arch, DT_F32, path[0]), 0);
    assert_int_equal(ta_write(&a[1], model[i].arch, DT_F16, path[1]), 0);
    gguf_close(g);
    ta_free(&a[0]);
    ta_free(&a[1]);
}

static uint64_t adapted_hash(size_t i, const char *cpu, uint32_t threads, uint32_t batch)
{
    struct hearth_model *m = open_model(i, cpu, threads);
    struct hearth_adapter *l[2] = { open_adapter(m, path[0]), open_adapter(m, path[1]) };
    struct hearth_session *s = open_session(m, batch);
    set(s, (struct hearth_adapter_use[]){ { l[0], 1, 0, 0 }, { l[1], 0.5f, 0, 0 } }, 2);
    uint64_t h = sync_hash(s, N);
    hearth_session_close(s);
    hearth_adapter_close(l[0]);
    hearth_adapter_close(l[1]);
    hearth_model_close(m);
    return h;
}

static void threads_chunks_and_instructions_do_not_matter(void **state)
{
    (void)state;
    static const char *const name[] = { "scalar", "avx2", "avxvnni", "avx512", "neon", "i8mm" };
    for (size_t i = 0; i < N_MODEL; i++) {
        write_two(i);
        uint64_t first = adapted_hash(i, NULL, 1, 512);
        assert_true(first != cold_hash(i, NULL, 1, 512));
        if (adapted_hash(i, NULL, 2, 7) != first) fail_msg("model %zu: 2 threads and chunks of 7 give other bits", i);
        if (adapted_hash(i, NULL, 5, 1) != first) fail_msg("model %zu: single tokens give other bits", i);
        for (size_t k = 0; k < sizeof name / sizeof *name; k++) {
            uint32_t f;
            if (cpu_select(name[k], &f, NULL) < 0) continue;
            if (adapted_hash(i, name[k], 2, 64) != first) fail_msg("model %zu: %s gives other bits", i, name[k]);
        }
    }
}

/* Sessions without, with one, the other and both adapters: in one batch as alone. */
static void the_batch_does_not_matter(void **state)
{
    (void)state;
    enum { S = 4, STEPS = 3 };
    for (size_t i = 0; i < N_MODEL; i++) {
        write_two(i);
        struct hearth_model *m = open_model(i, NULL, 2);
        struct hearth_adapter *l[2] = { open_adapter(m, path[0]), open_adapter(m, path[1]) };
        const struct hearth_adapter_use use[3] = { { l[0], 1, 0, 0 }, { l[1], 0.5f, 0, 0 }, { l[0], -0.25f, 0, 0 } };
        struct hearth_session *s[S];
        struct hearth_batch_item item[S];
        struct hearth_error e;
        static float alone[S][STEPS][TINY_VOCAB];
        for (size_t k = 0; k < S; k++) {
            struct hearth_session *one = open_session(m, 0);
            set(one, use + (k == 3), k == 0 ? 0 : k == 3 ? 2 : 1);
            for (size_t t = 0; t < STEPS; t++) {
                sync_hash(one, 20 + 9 * k + t);
                memcpy(alone[k][t], hearth_session_logits(one), sizeof alone[k][t]);
            }
            hearth_session_close(one);
            s[k] = open_session(m, 0);
            set(s[k], use + (k == 3), k == 0 ? 0 : k == 3 ? 2 : 1);
            item[k] = (struct hearth_batch_item){ s[k], ids, 20 + 9 * k };
        }
        for (size_t t = 0; t < STEPS; t++) {
            if (hearth_batch_append(item, S, &e) < 0) fail_msg("%s", e.message);
            for (size_t k = 0; k < S; k++) {
                if (memcmp(hearth_session_logits(s[k]), alone[k][t], sizeof alone[k][t]))
                    fail_msg("model %zu, step %zu: session %zu has other bits in a batch", i, t, k);
                item[k] = (struct hearth_batch_item){ s[k], ids + 20 + 9 * k + t, 1 };
            }
        }
        assert_true(memcmp(alone[1], alone[3], sizeof alone[1]));
        for (size_t k = 0; k < S; k++) hearth_session_close(s[k]);
        hearth_adapter_close(l[0]);
        hearth_adapter_close(l[1]);
        hearth_model_close(m);
    }
}

/* Another set empties the session; the same, or one of scale 0, does not.  A step allocates nothing. */
static void sets_change_at_any_time(void **state)
{
    (void)state;
    write_two(0);
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_adapter *l[2] = { open_adapter(m, path[0]), open_adapter(m, path[1]) };
    const struct hearth_adapter_use one = { l[0], 1, 0, 0 }, off = { l[0], 0, 0, 0 };
    struct hearth_session *s = open_session(m, 0);
    struct hearth_error e;
    size_t n;
    uint64_t bare = sync_hash(s, 50);
    set(s, &off, 1);
    hearth_session_ids(s, &n);
    assert_int_equal(n, 50);
    set(s, &one, 1);
    hearth_session_ids(s, &n);
    assert_int_equal(n, 0);
    assert_null(hearth_session_logits(s));
    uint64_t with = sync_hash(s, 50);
    assert_true(with != bare);
    set(s, &one, 1);
    hearth_session_ids(s, &n);
    assert_int_equal(n, 50);
    uint64_t count = mem_count();
    assert_int_equal(hearth_session_append(s, ids, 1, &e), 0);
    assert_int_equal(mem_count(), count);
    set(s, NULL, 0);
    assert_true(sync_hash(s, 50) == bare);
    /* What sessions begin with. */
    assert_int_equal(hearth_model_set_adapters(m, &one, 1, &e), 0);
    struct hearth_session *t = open_session(m, 0);
    assert_true(sync_hash(t, 50) == with);
    hearth_session_close(t);
    assert_int_equal(hearth_model_set_adapters(m, NULL, 0, &e), 0);
    t = open_session(m, 0);
    assert_true(sync_hash(t, 50) == bare);
    hearth_session_close(t);
    hearth_session_close(s);
    /* Wrong uses. */
    struct hearth_model *other = open_model(1, NULL, 1);
    s = open_session(other, 0);
    assert_int_equal(hearth_session_set_adapters(s, &one, 1, &e), HEARTH_EARG);
    assert_int_equal(hearth_model_set_adapters(m, &(struct hearth_adapter_use){ l[0], NAN, 0, 0 }, 1, &e), HEARTH_EARG);
    hearth_session_close(s);
    hearth_model_close(other);
    hearth_adapter_close(l[0]);
    hearth_adapter_close(l[1]);
    hearth_model_close(m);
}

/* Embeddings, and the bits of texts that are embedded together. */
static void embeddings_are_adapted(void **state)
{
    (void)state;
    struct tiny t = { .arch = "gemma-embedding", .type = DT_F32, .D = 64, .F = 80, .E = 16, .L = 3, .window = 20 };
    assert_int_equal(tiny_model(base, t), 0);
    struct gguf *g = parse(base);
    struct ta a = ta_new(g, 5, 3, 8, 0.05f);
    size_t n = 0;                                     /* encoders have no output matrix */
    for (size_t i = 0; i < a.n; i++) {
        if (!strcmp(a.p[i].name, "output.weight")) free(a.p[i].a), free(a.p[i].b);
        else a.p[n++] = a.p[i];
    }
    a.n = n;
    assert_int_equal(ta_write(&a, t.arch, DT_F32, path[0]), 0);
    assert_int_equal(ta_merge(g, &a, (const double[]){ 1 }, 1, merged), 0);
    gguf_close(g);
    struct hearth_model *m = open_file(base), *other = open_file(merged);
    struct hearth_adapter *l = open_adapter(m, path[0]);
    struct hearth_error e;
    float x[64], y[64], pair[2][64], bare[64];
    assert_int_equal(hearth_embed(m, &(struct hearth_embed_item){ ids, 30, 0, bare }, 1, NULL, &e), 0);
    assert_int_equal(hearth_model_set_adapters(m, &(struct hearth_adapter_use){ l, 1, 0, 0 }, 1, &e), 0);
    assert_int_equal(hearth_embed(m, &(struct hearth_embed_item){ ids, 30, 0, x }, 1, NULL, &e), 0);
    assert_int_equal(hearth_embed(other, &(struct hearth_embed_item){ ids, 30, 0, y }, 1, NULL, &e), 0);
    assert_int_equal(hearth_embed(m, (struct hearth_embed_item[]){ { ids + 5, 9, 0, pair[0] }, { ids, 30, 0, pair[1] } }, 2,
                                  NULL, &e), 0);
    double d = 0, moved = 0;
    for (int i = 0; i < 64; i++) {
        d += fabs((double)x[i] - (double)y[i]);
        moved += fabs((double)bare[i] - (double)y[i]);
    }
    assert_true(d < 1e-4 && moved > 0.1);
    assert_memory_equal(pair[1], x, sizeof x);
    hearth_adapter_close(l);
    hearth_model_close(m);
    hearth_model_close(other);
    ta_free(&a);
}

/* ---- steering ---- */

static void write_steer(const char *file, const char *hint, uint32_t D, const uint32_t *layer, size_t n, float strength)
{
    struct gguf_writer *w;
    uint64_t seed = 5;
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    gguf_put_str(w, "general.architecture", "controlvector", 13);
    gguf_put_str(w, "controlvector.model_hint", hint, strlen(hint));
    for (size_t i = 0; i < n; i++) {
        float *x = tiny_keep(malloc(D * sizeof *x));
        char *name = tiny_keep(malloc(32));
        for (uint32_t d = 0; d < D; d++) x[d] = tiny_random(&seed) * strength;
        snprintf(name, 32, "direction.%u", layer[i]);
        gguf_put_tensor(w, name, DT_F32, 1, (uint64_t[]){ D }, x);
    }
    assert_int_equal(ta_finish(w, file), 0);
}

/* The same as a bias of the last matrix of the layer. */
static void write_biased(const char *from, const char *vector, uint32_t first, uint32_t last, float scale, const char *to)
{
    struct gguf *g = parse(from), *v = parse(vector);
    struct gguf_writer *w;
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    for (size_t i = 0; i < gguf_n_tensors(v); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(v, i);
        uint32_t l = (uint32_t)atoi(t->name + 10);
        if (l < first || l > last) continue;
        char *name = tiny_keep(malloc(32));
        float *x = tiny_keep(malloc((size_t)t->bytes));
        memcpy(x, t->data, (size_t)t->bytes);
        for (size_t d = 0; d < t->ne[0]; d++) x[d] *= scale;
        snprintf(name, 32, "blk.%u.ffn_down.bias", l);
        gguf_put_tensor(w, name, DT_F32, 1, t->ne, x);
    }
    assert_int_equal(ta_finish(w, to), 0);
    gguf_close(g);
    gguf_close(v);
}

static void steering_is_a_bias(void **state)
{
    (void)state;
    struct tiny t = { .arch = "llama", .type = DT_F32, .D = 72, .F = 100, .E = 18, .K = 4, .L = 4 };
    static const struct { uint32_t first, last, first_bias, last_bias; float scale; } range[] = {
        { 0, 0, 0, 3, 1 }, { 2, 3, 2, 3, 1.5f }, { 1, 1, 1, 1, -1 },
    };
    assert_int_equal(tiny_model(base, t), 0);
    write_steer(path[0], "llama", t.D, (const uint32_t[]){ 1, 2, 3 }, 3, 0.5f);
    struct hearth_model *m = open_file(base);
    struct hearth_adapter *l = open_adapter(m, path[0]);
    struct hearth_adapter_info info;
    hearth_adapter_info(l, &info);
    assert_int_equal(info.n_steered, 3);
    rows_of(m, NULL, 0, none);
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        write_biased(base, path[0], range[i].first_bias, range[i].last_bias, range[i].scale, merged);
        struct hearth_model *other = open_file(merged);
        rows_of(other, NULL, 0, want);
        rows_of(m, &(struct hearth_adapter_use){ l, range[i].scale, range[i].first, range[i].last }, 1, got);
        assert_true(distance(got, want) < 2e-5);
        assert_true(distance(none, want) > 0.05);
        hearth_model_close(other);
    }
    hearth_adapter_close(l);
    hearth_model_close(m);
}

/* ---- what is refused ---- */

static struct hearth_model *refuser;

/* One pair of this name and shape. */
static void refused(const char *arch, struct ta_pair p, int code, const char *say)
{
    struct hearth_adapter *l;
    struct hearth_error e = { 0 };
    struct ta a = { &p, 1, 8 };
    uint64_t most = (p.K > p.R ? p.K : p.R) * (p.rank ? p.rank : 1) * p.n;
    p.a = p.b = calloc((size_t)most, sizeof *p.a);
    assert_int_equal(ta_write(&a, arch, DT_F32, path[0]), 0);
    assert_int_equal(hearth_adapter_open(&l, refuser, path[0], &e), code);
    if (!strstr(e.message, say)) fail_msg("\"%s\" does not say \"%s\"", e.message, say);
    assert_null(l);
    free(p.a);
}

static void what_does_not_fit_is_named(void **state)
{
    (void)state;
    struct hearth_adapter *l;
    struct hearth_error e;
    assert_int_equal(tiny_model(base, plain[0]), 0);
    refuser = open_file(base);
    const struct ta_pair q = { .name = "blk.1.attn_q.weight", .K = 72, .R = 72, .n = 1, .rank = 3 };
    struct ta_pair x = q;
    refused("qwen2", x, HEARTH_EARG, "'qwen2', but");
    x.K = 80;
    refused("llama", x, HEARTH_EFORMAT, "blk.1.attn_q.weight.lora_a: dimension 0 is 80, but");
    x = q;
    x.R = 74;
    refused("llama", x, HEARTH_EFORMAT, "blk.1.attn_q.weight.lora_b: dimension 1 is 74, but");
    x = q;
    x.n = 2;
    refused("llama", x, HEARTH_EFORMAT, "dimension 2 is 2, but");
    x = q;
    x.rank = 20000;
    refused("llama", x, HEARTH_ELIMIT, "rank 20000; at most 16384");
    x = q;
    strcpy(x.name, "blk.2.attn_q.weight");
    refused("llama", x, HEARTH_EFORMAT, "adapts tensor blk.2.attn_q.weight, which");
    strcpy(x.name, "blk.1.attn_norm.weight");
    refused("llama", x, HEARTH_EUNSUPPORTED, "blk.1.attn_norm.weight: adapting this tensor");
    strcpy(x.name, "blk.1.attn_qkv.weight");
    refused("llama", x, HEARTH_EFORMAT, "adapts tensor blk.1.attn_qkv.weight, which");
    if (hearth_adapter_open(&l, refuser, base, &e) != HEARTH_EARG) fail();
    assert_non_null(strstr(e.message, "neither an adapter"));
    assert_int_equal(hearth_adapter_open(&l, refuser, "/nowhere/at/all.gguf", &e), HEARTH_ENOTFOUND);
    static const struct { const char *hint; uint32_t D, layer; const char *say; } steer[] = {
        { "gemma", 72, 1, "'gemma', but" }, { "llama", 70, 1, "dimension 0 is 70, but" },
        { "llama", 72, 2, "layers 0 to 1 only" },
    };
    for (size_t i = 0; i < sizeof steer / sizeof *steer; i++) {
        write_steer(path[0], steer[i].hint, steer[i].D, &steer[i].layer, 1, 1);
        assert_true(hearth_adapter_open(&l, refuser, path[0], &e) < 0);
        if (!strstr(e.message, steer[i].say)) fail_msg("\"%s\" does not say \"%s\"", e.message, steer[i].say);
    }
    hearth_model_close(refuser);
}

/* Halves of pairs, other tensors, other keys. */
static void damaged_files_are_refused(void **state)
{
    (void)state;
    static const struct { const char *type, *name, *say; bool alora; } bad[] = {
        { "lora", "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b: is missing", false },
        { "lora", "blk.0.attn_q.weight.lora_b", "blk.0.attn_q.weight.lora_a: is missing", false },
        { "lora", "blk.0.attn_q.bias", "blk.0.attn_q.bias: is no part of a LoRA", false },
        { "lora", NULL, "has no tensors", false },
        { "other", NULL, "adapter.type is 'other'", false },
        { "lora", NULL, "adapter.alora.invocation_tokens", true },
    };
    assert_int_equal(tiny_model(base, plain[0]), 0);
    struct hearth_model *m = open_file(base);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct gguf_writer *w;
        struct hearth_adapter *l;
        struct hearth_error e = { 0 };
        static const float x[72 * 2];
        assert_int_equal(gguf_writer_open(&w, NULL), 0);
        gguf_put_str(w, "general.type", "adapter", 7);
        gguf_put_str(w, "general.architecture", "llama", 5);
        gguf_put_str(w, "adapter.type", bad[i].type, strlen(bad[i].type));
        if (bad[i].alora) gguf_put_u32(w, "adapter.alora.invocation_tokens", 1);
        if (bad[i].name) gguf_put_tensor(w, bad[i].name, DT_F32, 2, (uint64_t[]){ 72, 2 }, x);
        assert_int_equal(ta_finish(w, path[0]), 0);
        assert_true(hearth_adapter_open(&l, m, path[0], &e) < 0);
        if (!strstr(e.message, bad[i].say)) fail_msg("\"%s\" does not say \"%s\"", e.message, bad[i].say);
    }
    hearth_model_close(m);
}

/* Every allocation in turn fails: an error, no crash, no leak. */
static void memory_runs_out(void **state)
{
    (void)state;
    write_two(0);
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_session *s = open_session(m, 0);
    for (int64_t n = 0;; n++) {
        struct hearth_adapter *l;
        struct hearth_error e = { 0 };
        mem_fail_after(n);
        int rc = hearth_adapter_open(&l, m, path[0], &e);
        if (rc == 0) rc = hearth_session_set_adapters(s, &(struct hearth_adapter_use){ l, 2, 0, 0 }, 1, &e);
        if (rc == 0) rc = hearth_model_set_adapters(m, &(struct hearth_adapter_use){ l, 1, 0, 0 }, 1, &e);
        mem_fail_after(-1);
        if (rc < 0) assert_int_equal(rc, HEARTH_ENOMEM);
        assert_int_equal(hearth_session_set_adapters(s, NULL, 0, NULL), 0);
        assert_int_equal(hearth_model_set_adapters(m, NULL, 0, NULL), 0);
        hearth_adapter_close(l);
        if (rc == 0) break;
        assert_true(n < 2000);
    }
    hearth_session_close(s);
    hearth_model_close(m);
}

static int begin(void **state)
{
    int rc = setup(state);
    for (int i = 0; i < 3; i++) snprintf(path[i], sizeof path[i], "%s/a%d.gguf", dir, i);
    snprintf(base, sizeof base, "%s/base.gguf", dir);
    snprintf(merged, sizeof merged, "%s/merged.gguf", dir);
    return rc;
}

static int end(void **state)
{
    for (int i = 0; i < 3; i++) unlink(path[i]);
    unlink(base);
    unlink(merged);
    return teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(merged_weights_agree),
        cmocka_unit_test(tied_heads_and_embeddings_are_apart),
        cmocka_unit_test(threads_chunks_and_instructions_do_not_matter),
        cmocka_unit_test(the_batch_does_not_matter),
        cmocka_unit_test(sets_change_at_any_time),
        cmocka_unit_test(embeddings_are_adapted),
        cmocka_unit_test(steering_is_a_bias),
        cmocka_unit_test(what_does_not_fit_is_named),
        cmocka_unit_test(damaged_files_are_refused),
        cmocka_unit_test(memory_runs_out),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
