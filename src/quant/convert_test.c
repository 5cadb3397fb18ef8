#include "quant/convert.h"

#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "quant/quant.h"
#include "tests/testing.h"
#include "tests/tiny_model.h"

static char dir[] = "/tmp/hearth-convert-XXXXXX";

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static const struct tiny dense = { .arch = "llama", .type = DT_F32, .L = 4, .F = 352 };
static const struct tiny moe = { .arch = "qwen3moe", .type = DT_F16, .L = 1, .experts = 3, .used = 2 };

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    return tiny_model(in_dir("dense.gguf"), dense) < 0 || tiny_model(in_dir("moe.gguf"), moe) < 0 ? -1 : 0;
}

/* What is in the folder beside the two models; the test that left it there is wrong. */
static unsigned others(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;)
        n += e->d_name[0] != '.' && strcmp(e->d_name, "dense.gguf") && strcmp(e->d_name, "moe.gguf");
    closedir(d);
    return n;
}

static int teardown(void **state)
{
    (void)state;
    unlink(in_dir("dense.gguf"));
    unlink(in_dir("moe.gguf"));
    return rmdir(dir);
}

static struct gguf *open_file(const char *name)
{
    struct gguf *g;
    struct err err;
    if (gguf_open(&g, in_dir(name), &err) < 0) fail_msg("%s", err.msg);
    return g;
}

static struct convert_options options(enum recipe_id r)
{
    return (struct convert_options){ .recipe = r, .output_type = -1, .embedding_type = -1, .threads = 1 };
}

static void make(const char *from, const char *to, const struct convert_options *o)
{
    struct gguf *g = open_file(from);
    struct convert *c;
    struct err err;
    if (convert_plan(&c, g, o, &err) < 0 || convert_save(c, in_dir(to), &err) < 0) fail_msg("%s", err.msg);
    struct gguf *got = open_file(to);
    assert_int_equal(convert_bytes(c), gguf_file_bytes(got));
    assert_int_equal(gguf_n_tensors(got), gguf_n_tensors(g));
    gguf_close(got);
    convert_close(c);
    gguf_close(g);
}

/* The plan fails with this code and these words. */
static void refuse(const char *from, const struct convert_options *o, int code, const char *word)
{
    struct gguf *g = open_file(from);
    struct convert *c;
    struct err err = { 0 };
    assert_int_equal(convert_plan(&c, g, o, &err), code);
    assert_null(c);
    if (!strstr(err.msg, word)) fail_msg("\"%s\" is not in: %s", word, err.msg);
    gguf_close(g);
}

/* Every recipe: the types are those of the plan, keys stay, and the values are near those of the source. */
static void every_recipe_makes_a_model(void **state)
{
    (void)state;
    for (unsigned r = 0; r < N_RECIPE; r++) {
        struct convert_options o = options((enum recipe_id)r);
        struct gguf *g = open_file("moe.gguf");
        struct convert *c;
        struct err err;
        uint32_t v = 0;
        if (convert_plan(&c, g, &o, &err) < 0) {
            assert_non_null(strstr(err.msg, "imatrix"));
            gguf_close(g);
            continue;
        }
        if (convert_save(c, in_dir("out.gguf"), &err) < 0) fail_msg("%s", err.msg);
        struct gguf *got = open_file("out.gguf");
        assert_true(gguf_get_u32(got, "general.file_type", &v));
        assert_int_equal(v, recipe_at((enum recipe_id)r)->file_type);
        assert_non_null(gguf_find(got, "tokenizer.ggml.tokens"));
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
            const struct gguf_tensor *a = gguf_tensor_at(g, i), *b = gguf_tensor_at(got, i);
            size_t n = (size_t)(a->ne[0] * a->ne[1] * a->ne[2]);
            assert_string_equal(a->name, b->name);
            assert_int_equal(b->type, convert_at(c, i)->type);
            if (a->n_dims < 2) {
                assert_int_equal(b->type, DT_F32);
                assert_memory_equal(a->data, b->data, (size_t)a->bytes);
                continue;
            }
            float *x = mem_new_array(float, n), *y = mem_new_array(float, n);
            double e = 0, power = 0;
            quant_unpack(a->type)(a->data, x, n);
            quant_unpack(b->type)(b->data, y, n);
            for (size_t k = 0; k < n; k++) {
                e += pow((double)x[k] - (double)y[k], 2);
                power += pow((double)x[k], 2);
            }
            if (e > 0.45 * power) fail_msg("%s %s: error %g", recipe_at((enum recipe_id)r)->name, a->name, e / power);
            mem_free(x);
            mem_free(y);
        }
        gguf_close(got);
        convert_close(c);
        gguf_close(g);
        unlink(in_dir("out.gguf"));
    }
}

static bool same_bytes(const char *a, const char *b)
{
    struct os_map x, y;
    struct err err;
    assert_int_equal(os_map_open(&x, in_dir(a), &err), 0);
    assert_int_equal(os_map_open(&y, in_dir(b), &err), 0);
    bool same = x.size == y.size && !memcmp(x.data, y.data, (size_t)x.size);
    os_map_close(&x);
    os_map_close(&y);
    return same;
}

static void threads_do_not_matter(void **state)
{
    (void)state;
    struct convert_options o = options(RECIPE_Q4_K_M);
    make("dense.gguf", "one.gguf", &o);
    o.threads = 5;
    make("dense.gguf", "five.gguf", &o);
    assert_true(same_bytes("one.gguf", "five.gguf"));
    o.recipe = RECIPE_F32;                       /* nothing to do: the same tensors */
    make("dense.gguf", "five.gguf", &o);
    assert_false(same_bytes("one.gguf", "five.gguf"));
    unlink(in_dir("one.gguf"));
    unlink(in_dir("five.gguf"));
}

static enum dtype type_in(const char *file, const char *tensor)
{
    struct gguf *g = open_file(file);
    const struct gguf_tensor *t = gguf_tensor(g, tensor);
    assert_non_null(t);
    enum dtype type = t->type;
    gguf_close(g);
    return type;
}

static void overrides_win(void **state)
{
    (void)state;
    struct convert_override v[] = { { "blk.*.attn_?", DT_Q8_0 }, { "*attn*", DT_BF16 }, { "blk.1.ffn_up.weight", DT_F16 } };
    struct convert_options o = options(RECIPE_Q4_K_M);
    o.override = v;
    o.n_override = 3;
    o.output_type = DT_Q4_0;
    o.embedding_type = DT_Q3_K;
    make("dense.gguf", "out.gguf", &o);
    assert_int_equal(type_in("out.gguf", "blk.3.attn_q.weight"), DT_Q8_0);
    assert_int_equal(type_in("out.gguf", "blk.3.attn_output.weight"), DT_BF16);
    assert_int_equal(type_in("out.gguf", "blk.1.ffn_up.weight"), DT_F16);
    assert_int_equal(type_in("out.gguf", "blk.2.ffn_up.weight"), DT_Q4_K);
    assert_int_equal(type_in("out.gguf", "blk.2.attn_norm.weight"), DT_F32);
    assert_int_equal(type_in("out.gguf", "output.weight"), DT_Q4_0);
    assert_int_equal(type_in("out.gguf", "token_embd.weight"), DT_Q3_K);
    o = options(RECIPE_Q4_K_M);
    o.pure = o.keep_output = true;
    make("dense.gguf", "out.gguf", &o);
    assert_int_equal(type_in("out.gguf", "output.weight"), DT_F32);
    assert_int_equal(type_in("out.gguf", "blk.0.attn_v.weight"), DT_Q4_K);
    assert_int_equal(type_in("out.gguf", "blk.3.ffn_down.weight"), DT_Q8_0);        /* rows of 352: Q6_K does not fit */
    unlink(in_dir("out.gguf"));
}

static void wrong_requests_are_refused(void **state)
{
    (void)state;
    struct convert_options o = options(RECIPE_Q4_K_M);
    struct convert_override v = { "blk.*.nothing", DT_Q8_0 };
    o.override = &v;
    o.n_override = 1;
    refuse("dense.gguf", &o, ERR_ARG, "blk.*.nothing");
    v = (struct convert_override){ "blk.0.ffn_down", DT_Q4_K };
    refuse("dense.gguf", &o, ERR_ARG, "rows of 352 values");
    v.type = DT_Q8_K;
    refuse("dense.gguf", &o, ERR_ARG, "no type for weights");
    o = options(RECIPE_IQ2_XS);
    refuse("dense.gguf", &o, ERR_ARG, "--imatrix");
    o = options(RECIPE_Q4_0);
    make("dense.gguf", "q.gguf", &o);
    o.recipe = RECIPE_Q4_K_M;
    refuse("q.gguf", &o, ERR_ARG, "--allow-requantize");
    o.requantise = true;
    make("q.gguf", "qq.gguf", &o);
    assert_int_equal(type_in("qq.gguf", "blk.0.attn_q.weight"), DT_Q4_K);
    unlink(in_dir("q.gguf"));
    unlink(in_dir("qq.gguf"));
}

/* ---- nothing is left behind ---- */

static bool stop_at_half(void *arg, uint64_t done, uint64_t total)
{
    (void)arg;
    return done < total / 2;
}

static void stopping_leaves_nothing(void **state)
{
    (void)state;
    struct convert_options o = options(RECIPE_Q8_0);
    struct gguf *g = open_file("dense.gguf");
    struct convert *c;
    struct err err;
    o.progress = stop_at_half;
    assert_int_equal(convert_plan(&c, g, &o, &err), 0);
    assert_int_equal(convert_save(c, in_dir("out.gguf"), &err), ERR_CANCELLED);
    assert_int_equal(others(), 0);
    /* The input is not touched, by whatever name it is called. */
    assert_int_equal(symlink(in_dir("dense.gguf"), in_dir("link.gguf")), 0);
    assert_int_equal(convert_save(c, in_dir("link.gguf"), &err), ERR_ARG);
    assert_non_null(strstr(err.msg, "is the model that is read"));
    unlink(in_dir("link.gguf"));
    assert_int_equal(convert_check_path(g, in_dir("out.gguf"), (uint64_t)1 << 60, &err), ERR_LIMIT);
    assert_non_null(strstr(err.msg, "1152921504.607 GB are needed"));
    assert_int_equal(convert_save(c, "/nowhere/at/all.gguf", &err), ERR_IO);
    convert_close(c);
    gguf_close(g);
    assert_int_equal(others(), 0);
}

/* A weight that is no number: the tensor and the place are named. */
static void damaged_weights_are_found(void **state)
{
    (void)state;
    struct gguf_writer *w;
    struct err err;
    static float x[256 * 64];
    for (size_t i = 0; i < 256 * 64; i++) x[i] = (float)(i % 17) - 8;
    x[5000] = INFINITY;
    x[9000] = NAN;
    assert_int_equal(gguf_writer_open(&w, &err), 0);
    gguf_put_str(w, "general.architecture", "llama", 5);
    gguf_put_tensor(w, "blk.0.attn_q.weight", DT_F32, 2, (uint64_t[]){ 256, 64 }, x);
    assert_int_equal(gguf_writer_save(w, in_dir("bad.gguf"), &err), 0);
    gguf_writer_close(w);
    struct convert_options o = options(RECIPE_Q6_K);
    struct gguf *g = open_file("bad.gguf");
    struct convert *c;
    o.threads = 3;
    assert_int_equal(convert_plan(&c, g, &o, &err), 0);
    assert_int_equal(convert_save(c, in_dir("out.gguf"), &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "blk.0.attn_q.weight: value 5000 of 16384"));
    convert_close(c);
    gguf_close(g);
    unlink(in_dir("bad.gguf"));
    assert_int_equal(others(), 0);
}

/* ---- importance ---- */

enum { COLS = 256, PARTS = 3 };

static void save_imatrix(const char *name, uint64_t n_col, const double *sum, const uint64_t *count)
{
    struct err err;
    struct imatrix_sums s = { "blk.0.ffn_up_exps.weight", n_col, PARTS, sum, count };
    struct imatrix_source from = { "words", 12, 512 };
    assert_int_equal(imatrix_save(in_dir(name), &s, 1, &from, &err), 0);
}

/* Each expert's columns get their own weights: the weighted error of every one is smaller than without. */
static void experts_have_their_own_weights(void **state)
{
    (void)state;
    static double sum[PARTS * COLS];
    uint64_t count[PARTS], seed = 4;
    struct err err;
    struct imatrix *im;
    for (size_t i = 0; i < PARTS * COLS; i++) sum[i] = exp(3.0 * (double)tiny_random(&seed)) * 10;
    for (size_t i = 0; i < PARTS; i++) count[i] = 10;
    save_imatrix("im.gguf", COLS, sum, count);
    assert_int_equal(imatrix_open(&im, in_dir("im.gguf"), &err), 0);
    assert_int_equal(imatrix_chunks(im), 12);
    assert_string_equal(imatrix_dataset(im), "words");
    const struct imatrix_entry *e = imatrix_find(im, "blk.0.ffn_up_exps.weight");
    assert_non_null(e);
    assert_true(fabs((double)e->value[300] - sum[300] / 10) < 1e-5 * sum[300]);
    struct convert_options o = options(RECIPE_Q3_K_S);
    make("moe.gguf", "without.gguf", &o);
    o.imatrix = im;
    o.imatrix_path = "im.gguf";
    make("moe.gguf", "with.gguf", &o);
    struct gguf *g[3] = { open_file("moe.gguf"), open_file("without.gguf"), open_file("with.gguf") };
    assert_non_null(gguf_find(g[2], "quantize.imatrix.chunks_count"));
    float *x[3];
    for (int k = 0; k < 3; k++) {
        const struct gguf_tensor *t = gguf_tensor(g[k], "blk.0.ffn_up_exps.weight");
        x[k] = mem_new_array(float, (size_t)COLS * 256 * PARTS);
        quant_unpack(t->type)(t->data, x[k], (size_t)COLS * 256 * PARTS);
    }
    for (size_t part = 0; part < PARTS; part++) {
        double error[3] = { 0 };
        for (size_t i = part * COLS * 256; i < (part + 1) * COLS * 256; i++)
            for (int k = 1; k < 3; k++)
                error[k] += sum[part * COLS + i % COLS] * pow((double)x[k][i] - (double)x[0][i], 2);
        if (!(error[2] < 0.9 * error[1])) fail_msg("expert %zu: %g with, %g without", part, error[2], error[1]);
    }
    for (int k = 0; k < 3; k++) {
        mem_free(x[k]);
        gguf_close(g[k]);
    }
    imatrix_close(im);
    unlink(in_dir("im.gguf"));
    unlink(in_dir("with.gguf"));
    unlink(in_dir("without.gguf"));
}

static void wrong_imatrices_are_refused(void **state)
{
    (void)state;
    static double sum[PARTS * COLS];
    uint64_t count[PARTS] = { 0 };
    struct err err;
    struct imatrix *im;
    struct convert_options o = options(RECIPE_Q4_K_M);
    save_imatrix("im.gguf", COLS - 32, sum, count);
    assert_int_equal(imatrix_open(&im, in_dir("im.gguf"), &err), 0);
    o.imatrix = im;
    refuse("moe.gguf", &o, ERR_ARG, "belongs to another model");
    imatrix_close(im);
    unlink(in_dir("im.gguf"));
    sum[COLS + 77] = NAN;
    struct imatrix_sums s = { "blk.0.ffn_up_exps.weight", COLS, PARTS, sum, count };
    assert_int_equal(imatrix_save(in_dir("im.gguf"), &s, 1, &(struct imatrix_source){ "", 1, 1 }, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "column 77 of 256"));
    sum[COLS + 77] = 0;
    assert_int_equal(imatrix_open(&im, in_dir("moe.gguf"), &err), ERR_ARG);
    assert_null(im);
}

/* ---- the older form ---- */

static void put32(uint8_t **p, uint32_t v)
{
    for (int i = 0; i < 4; i++) *(*p)++ = (uint8_t)(v >> 8 * i);
}

static void put_float(uint8_t **p, float f)
{
    uint32_t v;
    memcpy(&v, &f, 4);
    put32(p, v);
}

static size_t make_dat(uint8_t *d)
{
    uint8_t *p = d;
    put32(&p, 2);
    for (unsigned k = 0; k < 2; k++) {
        put32(&p, 3);
        memcpy(p, k ? "two" : "one", 3);
        p += 3;
        put32(&p, 4);
        put32(&p, 5);
        for (unsigned i = 0; i < 5; i++) put_float(&p, (float)(4 * (i + k)));
    }
    put32(&p, 9);
    put32(&p, 4);
    memcpy(p, "text", 4);
    return (size_t)(p + 4 - d);
}

static int open_dat(struct imatrix **im, const uint8_t *d, size_t n, struct err *err)
{
    FILE *f = fopen(in_dir("old.dat"), "w");
    assert_int_equal(fwrite(d, 1, n, f), n);
    fclose(f);
    return imatrix_open(im, in_dir("old.dat"), err);
}

static void older_files_are_read_and_damage_is_refused(void **state)
{
    (void)state;
    uint8_t d[256];
    struct imatrix *im;
    struct err err;
    size_t n = make_dat(d);
    assert_int_equal(open_dat(&im, d, n, &err), 0);
    assert_int_equal(imatrix_n(im), 2);
    assert_int_equal(imatrix_chunks(im), 9);
    assert_string_equal(imatrix_dataset(im), "text");
    const struct imatrix_entry *e = imatrix_find(im, "two");
    assert_true(e && e->n == 5 && e->value[2] == 3);
    assert_null(imatrix_find(im, "three"));
    imatrix_close(im);
    assert_int_equal(open_dat(&im, d, n - 12, &err), 0);       /* the oldest end after the values */
    imatrix_close(im);
    uint8_t *value = d + 19 + 4 * 3, bad[4] = { 0, 0, 0xc0, 0x7f }, good[4];
    memcpy(good, value, 4);
    memcpy(value, bad, 4);
    assert_int_equal(open_dat(&im, d, n, &err), ERR_FORMAT);
    assert_non_null(strstr(err.msg, "one: value 3 of 5"));
    memcpy(value, good, 4);
    for (size_t cut = 0; cut < n - 12; cut++) {
        int rc = open_dat(&im, d, cut, &err);
        if (rc != ERR_FORMAT) fail_msg("%zu bytes: code %d", cut, rc);
    }
    for (size_t at = 0; at < n; at++)
        for (unsigned v = 1; v < 256; v += 127) {
            uint8_t was = d[at];
            d[at] = (uint8_t)(d[at] + v);
            if (open_dat(&im, d, n, &err) == 0) imatrix_close(im);
            d[at] = was;
        }
    unlink(in_dir("old.dat"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_recipe_makes_a_model),
        cmocka_unit_test(threads_do_not_matter),
        cmocka_unit_test(overrides_win),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(stopping_leaves_nothing),
        cmocka_unit_test(damaged_weights_are_found),
        cmocka_unit_test(experts_have_their_own_weights),
        cmocka_unit_test(wrong_imatrices_are_refused),
        cmocka_unit_test(older_files_are_read_and_damage_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
