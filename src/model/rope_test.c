/* rope_test.c - the rotary frequencies of every kind of scaling against formulas computed here with the C library's pow and log,
 * and against the specification's check values; options against the same said by a file. */
#include <math.h>

#include "base/mem.h"
#include "model/arch.h"
#include "tests/testing.h"
#include "tests/tiny_arch.h"

enum { MAX_PAIRS = 64 };

struct angles { double freq[MAX_PAIRS]; uint32_t n; float magnitude; };

/* Keys that a file has beside a small model's own; heads of E numbers, all rotated. */
struct keys { uint32_t E; const char *type; float base, factor; uint32_t orig; float attn, yarn_attn, ext, fast, slow; };

static struct gguf *file_of(const struct keys *k, struct buf *b)
{
    struct tiny_any a = { .t = { .arch = "llama", .type = DT_F32, .D = 32, .L = 1, .H = 1, .K = 1, .E = k->E, .F = 32,
                                 .blank = true } };
    struct buf plain = { 0 };
    struct gguf *g;
    struct gguf_writer *w;
    assert_int_equal(tiny_any_bytes(&plain, &a), 0);
    assert_int_equal(gguf_parse(&g, plain.data, plain.len, "plain", NULL), 0);
    assert_int_equal(gguf_writer_open(&w, NULL), 0);
    for (size_t i = 0; i < gguf_n_kv(g); i++) gguf_copy_kv(w, gguf_kv_at(g, i));
    if (k->type) gguf_put_str(w, "llama.rope.scaling.type", k->type, strlen(k->type));
    const struct { const char *key; float v; } f[] = {
        { "llama.rope.freq_base", k->base }, { "llama.rope.scaling.factor", k->factor },
        { "llama.rope.scaling.attn_factor", k->attn }, { "llama.rope.scaling.yarn_attn_factor", k->yarn_attn },
        { "llama.rope.scaling.yarn_ext_factor", k->ext }, { "llama.rope.scaling.yarn_beta_fast", k->fast },
        { "llama.rope.scaling.yarn_beta_slow", k->slow },
    };
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        if (f[i].v != 0) gguf_put_f32(w, f[i].key, f[i].v);
    if (k->orig) gguf_put_u32(w, "llama.rope.scaling.original_context_length", k->orig);
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        gguf_put_tensor(w, t->name, t->type, t->n_dims, t->ne, t->data);
    }
    assert_int_equal(gguf_writer_bytes(w, b, NULL), 0);
    gguf_writer_close(w);
    gguf_close(g);
    buf_release(&plain);
    assert_int_equal(gguf_parse(&g, b->data, b->len, "file", NULL), 0);
    return g;
}

/* 0 and the angles of the full layers, or the error. */
static int read_angles(const struct keys *k, const struct rope_options *o, struct angles *out, struct err *err)
{
    struct buf b = { 0 };
    struct gguf *g = file_of(k, &b);
    struct arena arena = { 0 };
    struct graph *graph = NULL;
    struct hparams h;
    const struct arch *a = arch_find("llama", 5);
    int rc = hparams_read(&h, a, g, o, &arena, err);
    h.n_vocab = TINY_VOCAB;
    if (rc == 0) rc = model_graph(&graph, a, &h, g, GRAPH_TEXT, err);
    *out = (struct angles){ .n = 0 };
    for (uint32_t i = 0; rc == 0 && i < graph->n_op && !out->n; i++) {
        const struct op *op = &graph->op[i];
        if (op->kind != OP_ANGLES) continue;
        out->n = graph->value[op->out].width / 2;
        out->magnitude = op->f[0];
        memcpy(out->freq, op->freq, out->n * sizeof *op->freq);
    }
    graph_close(graph);
    arena_release(&arena);
    gguf_close(g);
    buf_release(&b);
    return rc;
}

static struct angles angles(const struct keys *k, const struct rope_options *o)
{
    struct angles a;
    struct err err;
    if (read_angles(k, o, &a, &err) < 0) fail_msg("%s", err.msg);
    assert_int_equal(a.n, k->E / 2);
    return a;
}

static void near(double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 * fabs(want))) fail_msg("%.17g, not %.17g", got, want);
}

static void plain_linear_and_ntk(void **state)
{
    (void)state;
    const struct keys k = { .E = 64 };
    struct angles a = angles(&k, NULL);
    for (int i = 0; i < 32; i++) near(a.freq[i], pow(10000, -2.0 * i / 64));
    assert_true(a.magnitude == 1);
    a = angles(&k, &(struct rope_options){ .base = 500000 });
    for (int i = 0; i < 32; i++) near(a.freq[i], pow(500000, -2.0 * i / 64));
    /* A factor alone is linear. */
    static const enum rope_scaling linear[] = { SCALING_FILE, SCALING_LINEAR };
    for (int l = 0; l < 2; l++) {
        a = angles(&k, &(struct rope_options){ .scaling = linear[l], .factor = 4 });
        for (int i = 0; i < 32; i++) near(a.freq[i], pow(10000, -2.0 * i / 64) / 4);
    }
    a = angles(&k, &(struct rope_options){ .scaling = SCALING_NTK, .factor = 8 });
    for (int i = 0; i < 32; i++) near(a.freq[i], pow(10000 * pow(8, 64.0 / 62), -2.0 * i / 64));
    near(a.freq[31], pow(10000, -62.0 / 64) / 8);
    assert_true(a.magnitude == 1);
}

/* low, high, m: the specification's check values. */
static void yarn(void **state)
{
    (void)state;
    static const struct { uint32_t E, orig; float base, factor; int low, high; double m; } known[] = {
        { 64, 4096, 150000, 32, 8, 18, 1.3465736 },           /* gpt-oss */
        { 128, 32768, 1000000, 4, 23, 40, 1.1386294 },        /* Qwen, four times its context */
        { 64, 4096, 10000, 40, 10, 23, 1.3688879 },           /* DeepSeek V3 */
    };
    for (size_t c = 0; c < sizeof known / sizeof *known; c++) {
        const struct keys bare = { .E = known[c].E, .base = known[c].base };
        const struct keys said = { .E = known[c].E, .base = known[c].base, .type = "yarn", .factor = known[c].factor,
                                   .orig = known[c].orig };
        struct angles a = angles(&bare, &(struct rope_options){ .scaling = SCALING_YARN, .factor = known[c].factor,
                                                                .n_ctx_orig = known[c].orig });
        struct angles b = angles(&said, NULL);
        for (uint32_t i = 0; i < a.n; i++) {
            double f = pow((double)known[c].base, -2.0 * i / known[c].E);
            double ramp = 1 - fmin(1, fmax(0, ((double)i - known[c].low) / (known[c].high - known[c].low)));
            near(a.freq[i], f / (double)known[c].factor * (1 - ramp) + f * ramp);
            assert_true(a.freq[i] == b.freq[i]);
        }
        assert_true(fabs((double)a.magnitude - known[c].m) < 1e-6 && a.magnitude == b.magnitude);
    }
}

/* Each parameter of YaRN, by option as by the file. */
static void yarn_has_parameters(void **state)
{
    (void)state;
    const struct keys bare = { .E = 64 }, said = { .E = 64, .type = "yarn", .factor = 8, .orig = 2048, .attn = 1.5f, .ext = 0.5f,
                                                   .fast = 24, .slow = 2 };
    const struct rope_options o = { .scaling = SCALING_YARN, .factor = 8, .n_ctx_orig = 2048, .attn_factor = 1.5f, .ext = 0.5f,
                                    .fast = 24, .slow = 2 };
    struct angles a = angles(&bare, &o), b = angles(&said, NULL);
    double low = floor(64 * log(2048 / (2 * M_PI * 24)) / (2 * log(10000)));
    double high = ceil(64 * log(2048 / (2 * M_PI * 2)) / (2 * log(10000)));
    for (uint32_t i = 0; i < 32; i++) {
        double f = pow(10000, -2.0 * i / 64), ramp = 0.5 * (1 - fmin(1, fmax(0, (i - low) / (high - low))));
        near(a.freq[i], f / 8 * (1 - ramp) + f * ramp);
        assert_true(a.freq[i] == b.freq[i]);
    }
    assert_true(fabs((double)a.magnitude - 1.5 * (1 + 0.1 * log(8))) < 1e-6 && a.magnitude == b.magnitude);
    /* Both names of the factor. */
    struct keys k = said;
    k.yarn_attn = 2;
    b = angles(&k, NULL);
    assert_true(fabs((double)b.magnitude - 2 * (double)a.magnitude) < 1e-6);
}

static void llama3(void **state)
{
    (void)state;
    static const double factor[2][8] = {
        { 1.207484, 1.553415, 2.026313, 2.694530, 3.684253, 5.257327, 8, 8 },
        { 1.234937, 1.651329, 2.276660, 3.292262, 5.171596, 9.666729, 32, 32 },
    };
    const struct keys k = { .E = 128, .base = 500000 };
    for (int c = 0; c < 2; c++) {
        struct angles a = angles(&k, &(struct rope_options){ .scaling = SCALING_LLAMA3, .factor = c ? 32 : 8,
                                                             .n_ctx_orig = 8192 });
        for (int i = 0; i <= 28; i++) near(a.freq[i], pow(500000, -2.0 * i / 128));
        for (int i = 29; i < 64; i++) {
            double ff = pow(500000, -2.0 * i / 128) / a.freq[i];
            double want = i < 37 ? factor[c][i - 29] : c ? 32 : 8;
            if (!(fabs(ff - want) < 1e-6)) fail_msg("factor of pair %d is %.7f, not %.7f", i, ff, want);
        }
        assert_true(a.magnitude == 1);
    }
}

static void options_hold_against_the_file(void **state)
{
    (void)state;
    const struct keys said = { .E = 64, .type = "yarn", .factor = 8, .orig = 2048, .attn = 1.5f };
    struct angles a = angles(&said, &(struct rope_options){ .scaling = SCALING_NONE });
    for (int i = 0; i < 32; i++) near(a.freq[i], pow(10000, -2.0 * i / 64));
    assert_true(a.magnitude == 1);
    a = angles(&said, &(struct rope_options){ .scaling = SCALING_LINEAR, .factor = 2 });
    for (int i = 0; i < 32; i++) near(a.freq[i], pow(10000, -2.0 * i / 64) / 2);
    assert_true(a.magnitude == 1);
    /* The file's kind, another factor. */
    a = angles(&said, &(struct rope_options){ .factor = 16 });
    assert_true(fabs((double)a.magnitude - 1.5 * (1 + 0.1 * log(16))) < 1e-6);
}

static void nonsense_is_refused(void **state)
{
    (void)state;
    const struct keys k = { .E = 64 };
    const struct { struct rope_options o; const char *say; } bad[] = {
        { { .factor = -1 }, "-1 makes no sense" },
        { { .base = NAN }, "makes no sense" },
        { { .scaling = (enum rope_scaling)99 }, "99 is not known" },
        { { .scaling = SCALING_LONGROPE }, "rope_factors_long.weight" },
        { { .scaling = SCALING_LLAMA3, .low = 4, .high = 4 }, "below the high one" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct angles a;
        struct err err = { 0 };
        assert_int_equal(read_angles(&k, &bad[i].o, &a, &err), ERR_ARG);
        if (!strstr(err.msg, bad[i].say)) fail_msg("\"%s\" does not say \"%s\"", err.msg, bad[i].say);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_linear_and_ntk),
        cmocka_unit_test(yarn),
        cmocka_unit_test(yarn_has_parameters),
        cmocka_unit_test(llama3),
        cmocka_unit_test(options_hold_against_the_file),
        cmocka_unit_test(nonsense_is_refused),
    };
    return run_tests(tests);
}
