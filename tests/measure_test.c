/* measure_test.c - perplexity, divergence and importance against sums made another way; and whole models made smaller. */
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "engine/engine.h"
#include "engine/measure.h"
#include "quant/convert.h"
#include "tests/testing.h"
#include "tests/tiny_arch.h"

enum { N = 150, CTX = 64 };

static char dir[] = "/tmp/hearth-measure-XXXXXX";
static int32_t ids[N];

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    for (size_t i = 0; i < N; i++) ids[i] = (int32_t)((i * i * 7 + i * 13 + 5) % TINY_VOCAB);
    return tiny_model(in_dir("a.gguf"), (struct tiny){ .arch = "llama", .type = DT_F32 }) < 0 ||
           tiny_model(in_dir("b.gguf"), (struct tiny){ .arch = "llama", .type = DT_Q4_0 }) < 0 ||
           tiny_model(in_dir("moe.gguf"), (struct tiny){ .arch = "qwen3moe", .type = DT_Q8_0, .experts = 5, .used = 2 }) < 0
               ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const file[] = { "a.gguf", "b.gguf", "moe.gguf", "mla.gguf" };
    for (size_t i = 0; i < sizeof file / sizeof *file; i++) unlink(in_dir(file[i]));
    return rmdir(dir);
}

static struct hearth_model *open_path(const char *path, uint32_t threads)
{
    struct hearth_model *m;
    struct hearth_error e;
    if (hearth_model_open(&m, path, &(struct hearth_model_options){ .threads = threads }, &e) < 0) fail_msg("%s", e.message);
    return m;
}

static struct hearth_model *open_model(const char *name, uint32_t threads) { return open_path(in_dir(name), threads); }

/* ---- perplexity ---- */

/* The logits of all positions of a chunk, and the probabilities as plain doubles. */
static double *probabilities(struct hearth_model *m, const int32_t *chunk)
{
    struct hearth_session *s;
    struct hearth_error e;
    size_t n;
    struct hearth_session_options o = { .n_ctx = CTX, .n_logits = CTX, .kv_type = HEARTH_KV_F32 };
    assert_int_equal(hearth_session_open(&s, m, &o, &e), 0);
    assert_int_equal(hearth_session_append(s, chunk, CTX, &e), 0);
    const float *z = hearth_session_logits_rows(s, &n);
    assert_int_equal(n, CTX);
    double *p = mem_new_array(double, CTX * TINY_VOCAB);
    for (size_t t = 0; t < CTX; t++) {
        double sum = 0;
        for (size_t i = 0; i < TINY_VOCAB; i++) sum += p[t * TINY_VOCAB + i] = exp((double)z[t * TINY_VOCAB + i]);
        for (size_t i = 0; i < TINY_VOCAB; i++) p[t * TINY_VOCAB + i] /= sum;
    }
    hearth_session_close(s);
    return p;
}

static void measures_are_what_they_are_defined_to_be(void **state)
{
    (void)state;
    struct hearth_model *a = open_model("a.gguf", 1), *b = open_model("b.gguf", 2);
    struct hearth_error e;
    struct measure r;
    struct measure_options o = { .n_ctx = CTX, .kv_type = HEARTH_KV_F32, .base = a };
    assert_int_equal(measure_text(b, ids, N, &o, &r, &e), 0);
    assert_int_equal(r.chunks, 2);
    assert_int_equal(r.n, 2 * (CTX - 1 - CTX / 2));
    double nll = 0, base = 0, kl = 0, most = 0, square = 0;
    unsigned same = 0;
    for (size_t c = 0; c < 2; c++) {
        double *p = probabilities(a, ids + c * CTX), *q = probabilities(b, ids + c * CTX);
        for (size_t t = CTX / 2; t + 1 < CTX; t++) {
            double *x = p + t * TINY_VOCAB, *y = q + t * TINY_VOCAB, d = 0;
            size_t top[2] = { 0, 0 }, next = (size_t)ids[c * CTX + t + 1];
            for (size_t i = 0; i < TINY_VOCAB; i++) {
                d += x[i] * log(x[i] / y[i]);
                if (x[i] > x[top[0]]) top[0] = i;
                if (y[i] > y[top[1]]) top[1] = i;
            }
            nll -= log(y[next]);
            square += log(y[next]) * log(y[next]);
            base -= log(x[next]);
            kl += d;
            same += top[0] == top[1];
            if (d > most) most = d;
        }
        mem_free(p);
        mem_free(q);
    }
    double n = (double)r.n, mean = nll / n;
    assert_true(fabs(r.nll.mean - mean) < 1e-9 && fabs(r.base_nll.mean - base / n) < 1e-9);
    assert_true(fabs(r.nll.error - sqrt((square / n - mean * mean) / (n - 1))) < 1e-9);
    assert_true(fabs(r.perplexity - exp(mean)) < 1e-6 && fabs(r.base_perplexity - exp(base / n)) < 1e-6);
    assert_true(fabs(r.kl.mean - kl / n) < 1e-9 && fabs(r.kl_max - most) < 1e-9 && r.kl.mean > 0);
    assert_true(fabs(r.same_top - same / n) < 1e-12);
    /* A model is no distance from itself; the number of threads changes nothing. */
    struct hearth_model *again = open_model("b.gguf", 3);
    struct measure s;
    o.base = again;
    assert_int_equal(measure_text(b, ids, N, &o, &s, &e), 0);
    assert_true(s.kl.mean == 0 && s.same_top == 1 && s.nll.mean == r.nll.mean && s.base_nll.mean == r.nll.mean);
    hearth_model_close(again);
    hearth_model_close(a);
    hearth_model_close(b);
}

static bool stop(void *arg, uint32_t done, uint32_t total, double perplexity)
{
    assert_int_equal(total, 2);
    assert_true(perplexity > 1);
    *(uint32_t *)arg = done;
    return false;
}

static void texts_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    struct hearth_model *a = open_model("a.gguf", 1);
    struct hearth_error e;
    struct measure r;
    uint32_t done = 0;
    struct measure_options o = { .n_ctx = CTX };
    assert_int_equal(measure_text(a, ids, CTX - 1, &o, &r, &e), HEARTH_EARG);
    assert_non_null(strstr(e.message, "63 tokens"));
    o.progress = stop;
    o.arg = &done;
    assert_int_equal(measure_text(a, ids, N, &o, &r, &e), HEARTH_ECANCELLED);
    assert_int_equal(done, 1);
    o.n_ctx = 4;
    assert_int_equal(measure_text(a, ids, N, &o, &r, &e), HEARTH_EARG);
    hearth_model_close(a);
}

/* ---- importance ---- */

static void see(void *arg, const struct weight *w, uint32_t part, const float *x)
{
    imatrix_collect_row(arg, w->name, (struct imatrix_shape){ w->ne[0], w->ne[2] }, part, x);
}

/* The importance matrix of a model over the text; *g is the file as it was written. */
static struct imatrix *collect(const char *model, uint32_t threads, struct gguf **g)
{
    struct hearth_model *m = open_model(model, threads);
    struct imatrix_collect *c;
    struct hearth_error e;
    struct err err;
    uint32_t chunks = 0;
    assert_int_equal(imatrix_collect_open(&c, &err), 0);
    struct observer observer = { see, c };
    engine_observe(m, &observer);
    struct measure_options o = { .n_ctx = CTX };
    assert_int_equal(measure_observed(m, ids, N, &o, &chunks, &e), 0);
    assert_int_equal(chunks, 2);
    struct imatrix_source from = { "text", chunks, CTX };
    assert_int_equal(imatrix_collect_save(c, in_dir("im.gguf"), &from, &err), 0);
    imatrix_collect_close(c);
    hearth_model_close(m);
    struct imatrix *im;
    if (imatrix_open(&im, in_dir("im.gguf"), &err) < 0) fail_msg("%s", err.msg);
    if (g && gguf_open(g, in_dir("im.gguf"), &err) < 0) fail_msg("%s", err.msg);
    unlink(in_dir("im.gguf"));
    return im;
}

/* What layer 0's attention sees is made from the embedding by a norm: the same by hand. */
static void sums_are_those_of_the_inputs(void **state)
{
    (void)state;
    struct gguf *g;
    struct err err;
    struct imatrix *im = collect("a.gguf", 3, NULL);
    assert_int_equal(imatrix_n(im), 2 * 7);           /* the matrices of both layers, but not that of the logits */
    assert_null(imatrix_find(im, "output.weight"));
    const struct imatrix_entry *q = imatrix_find(im, "blk.0.attn_q.weight"), *k = imatrix_find(im, "blk.0.attn_k.weight");
    assert_true(q && k && q->n == 256 && k->n == 256);
    assert_memory_equal(q->value, k->value, 256 * sizeof(float));
    assert_int_equal(gguf_open(&g, in_dir("a.gguf"), &err), 0);
    const float *embed = (const void *)gguf_tensor(g, "token_embd.weight")->data;
    const float *norm = (const void *)gguf_tensor(g, "blk.0.attn_norm.weight")->data;
    double want[256] = { 0 };
    for (size_t t = 0; t < 2 * CTX; t++) {
        const float *x = embed + (size_t)ids[t] * 256;
        double power = 0;
        for (size_t i = 0; i < 256; i++) power += (double)x[i] * (double)x[i] / 256;
        for (size_t i = 0; i < 256; i++) want[i] += pow((double)x[i] * (double)norm[i], 2) / (power + 1e-5) / (2 * CTX);
    }
    for (size_t i = 0; i < 256; i++)
        if (fabs((double)q->value[i] - want[i]) > 1e-3 * want[i])
            fail_msg("column %zu: %g, expected %g", i, (double)q->value[i], want[i]);
    gguf_close(g);
    imatrix_close(im);
}

static void experts_are_counted_apart(void **state)
{
    (void)state;
    struct gguf *g;
    struct imatrix *im = collect("moe.gguf", 2, &g), *one = collect("moe.gguf", 1, NULL);
    const struct gguf_tensor *t = gguf_tensor(g, "blk.1.ffn_down_exps.weight.counts");
    assert_non_null(t);
    float total = 0;
    unsigned used = 0;
    const struct imatrix_entry *down = imatrix_find(im, "blk.1.ffn_down_exps.weight");
    assert_true(t->ne[1] == 5 && down && down->n == 5 * 256);
    for (size_t i = 0; i < 5; i++) {
        float count = ((const float *)(const void *)t->data)[i];
        assert_true(count <= 2 * CTX && (count > 0) == (down->value[256 * i] > 0));
        total += count;
        used += count > 0;
    }
    assert_true(total == 2 * CTX * 2 && used > 2);                /* every token meets two experts */
    const struct imatrix_entry *up = imatrix_find(im, "blk.1.ffn_up_exps.weight");
    assert_true(up && up->n == 5 * 256);
    assert_memory_not_equal(up->value, up->value + 256, 256 * sizeof(float));
    assert_non_null(imatrix_find(im, "blk.1.ffn_gate_inp.weight"));
    for (size_t i = 0; i < imatrix_n(im); i++) {
        const struct imatrix_entry *a = imatrix_at(im, i), *b = imatrix_find(one, a->name);
        assert_true(b && a->n == b->n);
        assert_memory_equal(a->value, b->value, (size_t)a->n * sizeof(float));
    }
    gguf_close(g);
    imatrix_close(im);
    imatrix_close(one);
}

/* Watching changes nothing. */
/* Each head of latent attention has a matrix of its own, multiplied with its part of the query: by hand too, and a plan with
 * it. */
static void heads_are_counted_apart(void **state)
{
    (void)state;
    enum { D = 64, H = 3, E = 40, PE = 8, NOPE = E - PE };
    struct tiny_any a = { .t = { .arch = "deepseek2", .type = DT_F32, .D = D, .L = 1, .H = H, .E = E, .F = 32, .experts = 4,
                                 .used = 1 }, .split = true, .pe = PE, .kv_rank = 32, .Ev = 32, .Fe = 32, .dense = 1 };
    struct buf b = { 0 };
    struct gguf *g;
    struct err err;
    assert_int_equal(tiny_any_bytes(&b, &a), 0);
    FILE *f = fopen(in_dir("mla.gguf"), "wb");
    assert_true(f && fwrite(b.data, 1, b.len, f) == b.len && !fclose(f));
    buf_release(&b);
    struct imatrix *im = collect("mla.gguf", 2, NULL);
    const struct imatrix_entry *k = imatrix_find(im, "blk.0.attn_k_b.weight"), *v = imatrix_find(im, "blk.0.attn_v_b.weight");
    assert_true(k && v && k->n == NOPE * H && v->n == 32 * H);
    assert_memory_not_equal(v->value, v->value + 32, 32 * sizeof(float));
    assert_int_equal(gguf_open(&g, in_dir("mla.gguf"), &err), 0);
    const float *embed = (const void *)gguf_tensor(g, "token_embd.weight")->data;
    const float *norm = (const void *)gguf_tensor(g, "blk.0.attn_norm.weight")->data;
    const float *q = (const void *)gguf_tensor(g, "blk.0.attn_q.weight")->data;
    for (size_t h = 0; h < H; h++)
        for (size_t i = 0; i < NOPE; i++) {
            double want = 0;
            for (size_t t = 0; t < 2 * CTX; t++) {
                const float *x = embed + (size_t)ids[t] * D, *w = q + (h * E + i) * D;
                double power = 0, y = 0;
                for (size_t d = 0; d < D; d++) power += (double)x[d] * (double)x[d] / D;
                for (size_t d = 0; d < D; d++) y += (double)x[d] * (double)norm[d] * (double)w[d];
                want += y * y / (power + 1e-5) / (2 * CTX);
            }
            double got = (double)k->value[h * NOPE + i];
            if (fabs(got - want) > 2e-3 * want) fail_msg("head %zu, column %zu: %g, expected %g", h, i, got, want);
        }
    struct convert *c;
    struct convert_options o = { .recipe = RECIPE_Q8_0, .output_type = -1, .embedding_type = -1, .imatrix = im };
    if (convert_plan(&c, g, &o, &err) < 0) fail_msg("%s", err.msg);
    unsigned weighted = 0;
    for (size_t i = 0; i < convert_n(c); i++)
        weighted += convert_at(c, i)->weighted && strstr(convert_at(c, i)->from->name, "_b.weight") != NULL;
    assert_int_equal(weighted, 2);
    convert_close(c);
    gguf_close(g);
    imatrix_close(im);
}

static void observed_logits_are_the_same(void **state)
{
    (void)state;
    struct hearth_error e;
    float *kept = NULL;
    for (int k = 0; k < 2; k++) {
        struct hearth_model *m = open_model("moe.gguf", 2);
        struct hearth_session *s;
        struct imatrix_collect *c;
        assert_int_equal(imatrix_collect_open(&c, NULL), 0);
        struct observer observer = { see, c };
        if (k) engine_observe(m, &observer);
        assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = N }, &e), 0);
        assert_int_equal(hearth_session_append(s, ids, N, &e), 0);
        if (k) assert_memory_equal(kept, hearth_session_logits(s), TINY_VOCAB * sizeof(float));
        else if ((kept = mem_new_array(float, TINY_VOCAB))) memcpy(kept, hearth_session_logits(s), TINY_VOCAB * sizeof(float));
        hearth_session_close(s);
        hearth_model_close(m);
        imatrix_collect_close(c);
    }
    mem_free(kept);
}

/* ---- whole models ---- */

enum { STORIES = 16, WORDS = 300 };

/* What the model itself tells, by chance but always the same: a text that it finds natural, long enough to measure on. */
static int32_t *tell_stories(struct hearth_model *m)
{
    int32_t *text = mem_new_array(int32_t, STORIES * WORDS);
    struct hearth_error e;
    for (size_t k = 0; k < STORIES; k++) {
        struct hearth_session *s;
        struct hearth_sampler *p;
        struct hearth_sampler_options o = { .temperature = 1, .top_p = 1, .typical_p = 1, .repeat_penalty = 1, .seed = k + 1 };
        int32_t *at = text + k * WORDS;
        at[0] = hearth_token_bos(m);
        assert_int_equal(hearth_session_open(&s, m, &(struct hearth_session_options){ .n_ctx = WORDS }, &e), 0);
        assert_int_equal(hearth_sampler_open(&p, m, &o, &e), 0);
        for (size_t i = 1; i < WORDS; i++) {
            assert_int_equal(hearth_session_append(s, &at[i - 1], 1, &e), 0);
            at[i] = hearth_sampler_pick(p, s);
        }
        hearth_sampler_close(p);
        hearth_session_close(s);
    }
    return text;
}

static struct measure measured(const char *path, struct hearth_model *base, const int32_t *text)
{
    struct hearth_model *m = open_path(path, 1);
    struct measure r;
    struct hearth_error e;
    struct measure_options o = { .n_ctx = WORDS, .kv_type = HEARTH_KV_F32, .base = base };
    if (measure_text(m, text, STORIES * WORDS, &o, &r, &e) < 0) fail_msg("%s", e.message);
    hearth_model_close(m);
    return r;
}

static void make(const char *from, const char *to, enum recipe_id r)
{
    struct convert_options o = { .recipe = r, .output_type = -1, .embedding_type = -1, .threads = 2 };
    struct gguf *g;
    struct convert *c;
    struct err err;
    assert_int_equal(gguf_open(&g, from, &err), 0);
    assert_int_equal(convert_plan(&c, g, &o, &err), 0);
    assert_int_equal(convert_save(c, to, &err), 0);
    convert_close(c);
    gguf_close(g);
}

/* stories260K in three mixtures is nearer to itself than the files of the field's quantiser are. */
static void small_models_are_as_good_as_the_reference(void **state)
{
    (void)state;
    static const struct { enum recipe_id r; const char *file; } row[] = {
        { RECIPE_Q8_0, "models/stories260K-Q8_0.gguf" }, { RECIPE_Q4_0, "models/stories260K-Q4_0.gguf" },
        { RECIPE_Q4_K_M, "models/stories260K-Q4_K_M.gguf" },
    };
    char path[1024], theirs[1024];
    REF_OR_SKIP(path, "models/stories260K.gguf");
    struct hearth_model *full = open_path(path, 1);
    int32_t *text = tell_stories(full);
    for (size_t k = 0; k < sizeof row / sizeof *row; k++) {
        assert_true(ref_path(theirs, sizeof theirs, row[k].file));
        make(path, in_dir("out.gguf"), row[k].r);
        struct measure a = measured(in_dir("out.gguf"), full, text), b = measured(theirs, full, text);
        unlink(in_dir("out.gguf"));
        print_message("# %s: perplexity %.4f, reference %.4f, F32 %.4f; divergence %.6f, reference %.6f\n",
                      recipe_at(row[k].r)->name, a.perplexity, b.perplexity, a.base_perplexity, a.kl.mean, b.kl.mean);
        /* On what a model tells itself the mean loss against it is the divergence plus chance, which for a text this long
         * is larger than what the two quantisers differ by. */
        if (a.kl.mean > b.kl.mean || a.perplexity > b.perplexity + 0.5 * b.perplexity_error)
            fail_msg("%s is worse", recipe_at(row[k].r)->name);
    }
    mem_free(text);
    hearth_model_close(full);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(measures_are_what_they_are_defined_to_be),
        cmocka_unit_test(texts_that_do_not_fit_are_refused),
        cmocka_unit_test(sums_are_those_of_the_inputs),
        cmocka_unit_test(experts_are_counted_apart),
        cmocka_unit_test(heads_are_counted_apart),
        cmocka_unit_test(observed_logits_are_the_same),
        cmocka_unit_test(small_models_are_as_good_as_the_reference),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
