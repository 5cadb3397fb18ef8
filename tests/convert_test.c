/* convert_test.c - hearth convert: the GGUF file that comes out holds the numbers that went in, and is the one that a
 * converter of
 * the field would have written. */
#include "tests/hf_folder.h"
#include "tests/program.h"

#include "base/mem.h"
#include "format/hf.h"
#include "format/split.h"
#include "tests/tiny_model.h"

static char dir[] = "/tmp/hearth-cv-XXXXXX", original[64], converted[64];

static struct gguf *open_file(const char *path)
{
    struct gguf *g;
    struct err e;
    if (model_file_open(&g, path, &e) < 0) fail_msg("%s", e.msg);
    return g;
}

static void make(struct tiny t, unsigned flags)
{
    assert_int_equal(tiny_model(original, t), 0);
    struct gguf *g = open_file(original);
    hf_folder_remove(dir);
    hf_folder(dir, g, flags);
    gguf_close(g);
}

static void convert(void)
{
    struct result r = PROGRAM(NULL, "convert", dir, converted, "--force");
    program_expect(&r, 0);
    program_contains(r.out, converted);
    program_free(&r);
}

/* Every tensor of the original is there with the same bytes. */
static void same_as_original(void)
{
    struct gguf *a = open_file(original), *b = open_file(converted);
    assert_int_equal(gguf_n_tensors(a), gguf_n_tensors(b));
    for (size_t i = 0; i < gguf_n_tensors(a); i++) {
        const struct gguf_tensor *x = gguf_tensor_at(a, i), *y = gguf_tensor(b, x->name);
        if (!y || y->type != x->type || y->bytes != x->bytes || memcmp(x->ne, y->ne, sizeof x->ne) || memcmp(x->data, y->data,
                                                                                                             x->bytes))
            fail_msg("%s differs", x->name);
    }
    assert_null(gguf_find(b, "llama.rope.half_split"));
    const struct gguf_kv *p = gguf_find(a, "tokenizer.ggml.tokens"), *q = gguf_find(b, "tokenizer.ggml.tokens");
    assert_true(p->count == q->count && p->bytes == q->bytes && !memcmp(p->data, q->data, p->bytes));
    gguf_close(a);
    gguf_close(b);
}

static void the_file_is_the_usual_one(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct tiny t = { .arch = "llama", .type = DT_BF16, .D = 64, .H = 4, .K = 2, .E = 16, .F = 96 };
    make(t, HFF_PERMUTED | HFF_SHARDS);
    convert();
    same_as_original();
    t.experts = 4, t.used = 2, t.type = DT_F16;
    make(t, HFF_PERMUTED | HFF_MIXTRAL);
    convert();
    same_as_original();
    t = (struct tiny){ .arch = "gemma3", .type = DT_F32, .D = 64, .H = 4, .K = 2, .E = 16, .F = 96, .L = 7, .window = 9 };
    make(t, HFF_NESTED);
    convert();
    same_as_original();
}

/* ---- quantised folders ---- */

enum { WIDTH = 128 };

/* The matrices of the layers are codes and scales. */
static void make_coded(const char *mode, unsigned bits, unsigned group)
{
    struct tiny t = { .arch = "llama", .type = DT_F32, .L = 1, .D = WIDTH, .H = 4, .K = 2, .E = 32, .F = 128 };
    assert_int_equal(tiny_model(original, t), 0);
    struct gguf *g = open_file(original);
    hf_folder_remove(dir);
    struct hff a = hff_begin(dir, g, 0), w = { .dir = dir, .g = g };
    memcpy(w.arch, a.arch, sizeof w.arch);
    w.t = calloc(4096, sizeof *w.t);
    bool affine = !strcmp(mode, "affine");
    for (size_t i = 0; i < a.n; i++) {
        struct hff_tensor *x = &a.t[i];
        bool coded = strstr(x->name, "_proj");
        if (!coded) {
            struct hff_tensor *y = hff_new(&w, x->name, x->dtype, x->bytes);
            memcpy(y->data, x->data, x->bytes);
            y->n_dims = x->n_dims;
            memcpy(y->shape, x->shape, sizeof y->shape);
            continue;
        }
        uint64_t rows = x->shape[0], cols = x->shape[1];
        static const char *const part[] = { "weight", "scales", "biases" };
        for (int k = 0; k < (affine ? 3 : 2); k++) {
            char name[192];
            snprintf(name, sizeof name, "%.*s%s", (int)strlen(x->name) - 6, x->name, part[k]);
            uint64_t n = k ? cols / group : cols * bits / 32;
            struct hff_tensor *y = hff_new(&w, name, k ? affine ? "F16" : "U8" : "U32", (size_t)(rows * n) * (k ? affine ? 2
                                                                                                              : 1 : 4));
            y->n_dims = 2;
            y->shape[0] = rows;
            y->shape[1] = n;
            for (size_t b = 0; b < y->bytes; b++) y->data[b] = (uint8_t)(k ? affine ? b % 2 ? 0x24 + b % 3 : b * 7
                                                                         : 60 + b % 50 : b * 37 + b / 9);
        }
    }
    hff_end(&a);
    hff_end(&w);
    gguf_close(g);
    char path[128], *text;
    size_t n;
    struct err e;
    snprintf(path, sizeof path, "%s/config.json", dir);
    assert_int_equal(os_read_file(path, 1 << 20, &text, &n, &e), 0);
    *strrchr(text, '}') = 0;
    FILE *f = hff_file(dir, "config.json");
    fprintf(f, "%s,\"quantization\":{\"group_size\":%u,\"bits\":%u,\"mode\":\"%s\"}}", text, group, bits, mode);
    fclose(f);
    mem_free(text);
}

/* Rows of the converted file are those of the folder; Q and K by way of the permutation. */
static void check_coded(enum dtype want, double bound)
{
    struct gguf *a = open_file(dir), *b = open_file(converted);
    static float x[256], y[256];
    for (size_t i = 0; i < gguf_n_tensors(a); i++) {
        const struct gguf_tensor *s = gguf_tensor_at(a, i), *t = gguf_tensor(b, s->name);
        if (dtype_info(s->type)->family != DTF_SPLIT) continue;
        if (!t || t->type != want) fail_msg("%s has another type", s->name);
        bool turned = strstr(s->name, "attn_q") || strstr(s->name, "attn_k");
        for (uint64_t r = 0; r < s->ne[1]; r++) {
            uint64_t in = r % 32, from = turned ? r - in + in / 2 + in % 2 * 16 : r;
            split_unpack((const struct split *)(const void *)s->data, from, x, (size_t)s->ne[0]);
            quant_unpack(want)(t->data + r * (t->bytes / t->ne[1]), y, (size_t)s->ne[0]);
            for (uint64_t c = 0; c < s->ne[0]; c++)
                if (!(fabsf(x[c] - y[c]) <= bound * fabsf(x[c])))
                    fail_msg("%s: (%d, %d) is %g, not %g", s->name, (int)r, (int)c, (double)y[c], (double)x[c]);
        }
    }
    gguf_close(a);
    gguf_close(b);
}

static void codes_keep_their_meaning(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const struct { const char *mode; unsigned bits, group; enum dtype type; } row[] = {
        { "affine", 4, 64, DT_Q4_1 }, { "affine", 5, 32, DT_Q5_1 }, { "mxfp4", 4, 32, DT_MXFP4 }, { "nvfp4", 4, 16, DT_NVFP4 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        make_coded(row[i].mode, row[i].bits, row[i].group);
        convert();
        check_coded(row[i].type, 0);
    }
    make_coded("affine", 3, 64);
    struct result r = PROGRAM(NULL, "convert", dir, converted, "--force");
    program_expect(&r, 1);
    program_contains(r.err, "no type of GGUF holds the numbers of AFFINE3 exactly; --expand");
    program_free(&r);
    r = PROGRAM(NULL, "convert", dir, converted, "--force", "--expand", "f32");
    program_expect(&r, 0);
    program_free(&r);
    check_coded(DT_F32, 0);
    r = PROGRAM(NULL, "convert", dir, converted, "--force", "--expand", "f16");
    program_expect(&r, 0);
    program_free(&r);
    check_coded(DT_F16, 1e-3);
}

static void files_are_not_lost(void **state)
{
    (void)state;
    NEED_PROGRAM();
    make((struct tiny){ .arch = "qwen3", .type = DT_F16, .D = 64, .H = 4, .K = 2, .E = 16, .F = 96 }, 0);
    convert();
    struct result r = PROGRAM(NULL, "convert", dir, converted);
    program_expect(&r, 1);
    program_contains(r.err, "exists already");
    program_free(&r);
    r = PROGRAM(NULL, "convert", dir, "/nowhere/at/all.gguf");
    program_expect(&r, 1);
    program_contains(r.err, "/nowhere/at/all.gguf");
    program_free(&r);
    r = PROGRAM(NULL, "convert", "/nowhere", converted, "-f");
    program_expect(&r, 1);
    program_free(&r);
    struct gguf *g = open_file(converted);               /* still there */
    gguf_close(g);
    /* and the commands take the folder itself */
    char config[64];
    snprintf(config, sizeof config, "%s/config.json", dir);
    r = PROGRAM(NULL, "inspect", dir, "--summary");
    program_expect(&r, 0);
    program_contains(r.out, "format         safetensors");
    program_contains(r.out, "runs here      yes");
    program_free(&r);
    r = PROGRAM(NULL, "tokenize", config, "ab");
    program_expect(&r, 0);
    assert_string_equal(r.out, "97 98\n");
    program_free(&r);
    r = PROGRAM(NULL, "run", dir, "hi", "-n", "4", "--json");
    program_expect(&r, 0);
    program_contains(r.out, "\"finish_reason\"");
    program_free(&r);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(original, sizeof original, "%s.gguf", dir);
    snprintf(converted, sizeof converted, "%s-new.gguf", dir);
    return 0;
}

static int end(void **state)
{
    (void)state;
    unlink(original);
    unlink(converted);
    hf_folder_remove(dir);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_file_is_the_usual_one),
        cmocka_unit_test(codes_keep_their_meaning),
        cmocka_unit_test(files_are_not_lost),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
