/* embed_cli_test.c - `hearth embed` and `hearth rerank` from outside. */
#include "tests/program_files.h"

#include <math.h>
#include <sys/stat.h>

#include "hearth.h"
#include "tests/tiny_encoder.h"

enum { D = 32 };

static const char *encoder, *ranker;

/* The vector of a text by the library. */
static void vector_of(const char *path, const char *text, float y[D])
{
    struct hearth_model *m;
    struct hearth_error e;
    struct hearth_embed_item it = { .out = y };
    int32_t *ids;
    assert_int_equal(hearth_model_open(&m, path, NULL, &e), 0);
    assert_int_equal(hearth_tokenize(m, text, strlen(text), HEARTH_TOKENIZE_SPECIAL, &ids, &it.n, &e), 0);
    it.ids = ids;
    assert_int_equal(hearth_embed(m, &it, 1, NULL, &e), 0);
    hearth_free(ids);
    hearth_model_close(m);
}

static void check_line(const char **at, const float *want, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char *end;
        assert_true(strtof(*at, &end) == want[i]);
        assert_int_equal(*end, i + 1 < n ? ' ' : '\n');
        *at = end + 1;
    }
}

static void vectors_as_numbers(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    float a[D], b[D];
    vector_of(encoder, "one", a);
    vector_of(encoder, "two words", b);
    struct result r = PROGRAM("one\ntwo words\n", "embed", encoder), r2 = PROGRAM(NULL, "embed", encoder, "one", "two words");
    program_expect(&r, 0);
    assert_string_equal(r.out, r2.out);
    const char *at = r.out;
    check_line(&at, a, D);
    check_line(&at, b, D);
    assert_int_equal(*at, 0);
    program_free(&r);
    program_free(&r2);
    r = PROGRAM("\"words\"", "embed", encoder, "--prefix", "two ", "--jsonl");
    at = r.out;
    check_line(&at, b, D);
    program_free(&r);
    r = PROGRAM(NULL, "embed", encoder, "one", "--pooling", "none", "--dims", "2", "--raw");
    size_t lines = 0;
    for (const char *p = r.out; *p; p++) lines += *p == '\n';
    assert_int_equal(lines, 5);                            /* [CLS] o n e [SEP] */
    program_free(&r);
}

static void vectors_as_json(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "embed", encoder, "abc", "d", "--json", "--dims", "7");
    program_expect(&r, 0);
    char *second = strchr(r.out, '\n') + 1;
    struct json *j = parsed(second);
    assert_int_equal(json_int(json_get(j, "index")), 1);
    assert_int_equal(json_int(json_get(j, "tokens")), 3);
    assert_int_equal(json_len(json_get(j, "embedding")), 7);
    double sum = 0;
    for (size_t i = 0; i < 7; i++) sum += pow(json_num(json_at(json_get(j, "embedding"), i)), 2);
    assert_true(fabs(sum - 1) < 1e-6);
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "embed", encoder, "abc", "--json", "--pooling", "none");
    j = parsed(r.out);
    assert_int_equal(json_len(json_get(j, "embedding")), 5);
    assert_int_equal(json_len(json_at(json_get(j, "embedding"), 4)), D);
    json_free(j);
    program_free(&r);
}

static void what_does_not_work_is_explained(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char text[220] = "";
    for (size_t i = 0; i + 3 < sizeof text; i += 2) memcpy(text + i, "x ", 3);
    static const struct { const char *args[6], *in, *word; int code; } row[] = {
        { { "embed", "E", "X" }, NULL, "--truncate", 1 },
        { { "embed", "E", "X", "--truncate" }, NULL, "", 0 },
        { { "embed", "E", "--pooling", "rank", "a" }, NULL, "cls.output.weight", 1 },
        { { "embed", "E", "a", "--jsonl" }, NULL, "takes no text", 2 },
        { { "embed", "E", "--pooling", "best" }, NULL, "mean", 2 },
        { { "embed", "E", "--jsonl" }, "\"a\"\n\"b\\u0000\"\n", "line 2", 1 },
        { { "embed" }, NULL, "embed needs MODEL", 2 },
        { { "rerank", "E" }, NULL, "rerank needs", 2 },
        { { "rerank", "E", "q", "a" }, NULL, "cls.output.weight", 1 },
        { { "run", "E", "hi" }, NULL, "embeddings", 1 },
        { { "bench", "E" }, NULL, "embeddings", 1 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        const char *args[7] = { 0 };
        for (size_t k = 0; k < 6 && row[i].args[k]; k++)
            args[k] = !strcmp(row[i].args[k], "E") ? encoder : !strcmp(row[i].args[k], "X") ? text : row[i].args[k];
        struct result r = program_run(row[i].in, args);
        program_expect(&r, row[i].code);
        program_contains(r.err, row[i].word);
        program_free(&r);
    }
}

static void the_best_document_comes_first(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = PROGRAM("aaa\nbb\nc\ndd dd\n", "rerank", ranker, "query", "--logits");
    program_expect(&r, 0);
    double last = INFINITY;
    size_t lines = 0;
    for (const char *p = r.out; *p; p = strchr(p, '\n') + 1, lines++) {
        char *end;
        double score = strtod(p, &end);
        assert_true(score <= last && *end == '\t');
        last = score;
    }
    assert_int_equal(lines, 4);
    char *first = strchr(r.out, '\t') + 1;
    *strchr(first, '\n') = 0;
    struct result top = PROGRAM(NULL, "rerank", ranker, "query", "aaa", "bb", "c", "dd dd", "--top", "1", "--json");
    struct json *j = parsed(top.out);
    assert_string_equal(json_str(json_get(j, "text"), NULL), first);
    double p = json_num(json_get(j, "score")), want = 1 / (1 + exp(-strtod(r.out, NULL)));
    assert_true(fabs(p - want) < 1e-4);
    json_free(j);
    program_free(&top);
    program_free(&r);
}

static int make_dir(void **unused)
{
    (void)unused;
    static char a[128], b[128];
    snprintf(dir, sizeof dir, "/tmp/hearth-embed-cli-%ld", (long)getpid());
    if (mkdir(dir, 0700) < 0) return -1;
    struct tiny_encoder t = { .t = { .arch = "bert", .type = DT_F16, .D = D, .L = 1, .H = 2, .F = 32 }, .word_piece = true,
                              .pooling = 2, .n_ctx = 100 };
    snprintf(a, sizeof a, "%s", in_dir("encoder.gguf"));
    snprintf(b, sizeof b, "%s", in_dir("ranker.gguf"));
    encoder = a, ranker = b;
    if (tiny_encoder(a, t) < 0) return -1;
    t.rank = 1, t.pooling = 4;
    return tiny_encoder(b, t);
}

static int remove_dir(void **unused)
{
    (void)unused;
    return program_remove_dir((const char *const[]){ "encoder.gguf", "ranker.gguf", NULL });
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_as_numbers),
        cmocka_unit_test(vectors_as_json),
        cmocka_unit_test(what_does_not_work_is_explained),
        cmocka_unit_test(the_best_document_comes_first),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
