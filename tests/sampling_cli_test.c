/* sampling_cli_test.c - how `hearth run` chooses tokens, from outside, with the embedded model. */
#include "tests/program_files.h"

#include <math.h>

#include "base/os.h"
#include "hearth.h"

#define NEED_SPARK() do { NEED_PROGRAM(); if (!os_file_exists("models/spark.gguf")) skip(); } while (0)
#define TELL(...) PROGRAM(NULL, "run", "spark", "--no-template", "--seed", "3", __VA_ARGS__, "Once upon a time")

static void expect_same(struct result a, struct result b, bool same)
{
    program_expect(&a, 0);
    program_expect(&b, 0);
    if (same) assert_string_equal(a.out, b.out);
    else assert_string_not_equal(a.out, b.out);
    program_free(&a);
    program_free(&b);
}

static void every_step_can_be_asked_for(void **unused)
{
    (void)unused;
    NEED_SPARK();
    static const char *const option[][4] = {
        { "--top-n-sigma", "0.05" }, { "--top-a", "0.9" }, { "--tfs", "0.2" }, { "--typical-p", "0.3" },
        { "--xtc-probability", "1" }, { "--dynatemp-range", "5" }, { "--smoothing", "3" }, { "--repeat-penalty", "1.8" },
        { "--dry-multiplier", "9", "--dry-allowed-length", "1" }, { "--mirostat", "1" }, { "--mirostat", "2" },
        { "--adaptive-target", "0.3" }, { "--samplers", "temperature" },
        { NULL, NULL },
    };
    for (size_t i = 0; option[i][1]; i++)
        expect_same(TELL("-n", "40", "--temp", "1.5"),
                    option[i][2] ? TELL("-n", "40", "--temp", "1.5", option[i][0], option[i][1], option[i][2], option[i][3])
                                 : TELL("-n", "40", "--temp", "1.5", option[i][0], option[i][1]), false);
    expect_same(TELL("-n", "40", "--samplers", "kt"), TELL("-n", "40", "--samplers", "top-k;temp"), true);
    expect_same(TELL("-n", "9", "--temp", "0"), TELL("-n", "9", "--temp", "0", "--top-p", "0.1", "--min-p", "0.9"), true);
}

static size_t count(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)) != NULL; p++) n++;
    return n;
}

static void biases_ban_and_prefer(void **unused)
{
    (void)unused;
    NEED_SPARK();
    struct result plain = TELL("-n", "60", "--temp", "0"), without = TELL("-n", "60", "--temp", "0", "--logit-bias", " Max=-inf"),
                  more = TELL("-n", "20", "--temp", "0", "--logit-bias", "!=100");
    program_expect(&plain, 0);
    program_expect(&without, 0);
    program_expect(&more, 0);
    assert_string_not_equal(plain.out, without.out);
    assert_int_equal(count(more.out, "!"), 20);
    program_free(&plain);
    program_free(&without);
    program_free(&more);
}

static size_t answer_tokens(const struct result *r, const char **finish)
{
    struct json *j = parsed(r->out);
    size_t n = (size_t)json_int(json_get(j, "completion_tokens"));
    *finish = !strcmp(json_str(json_get(j, "finish_reason"), NULL), "stop") ? "stop" : "length";
    json_free(j);
    return n;
}

static void shortest_and_longest_answers(void **unused)
{
    (void)unused;
    NEED_SPARK();
    const char *finish;
    struct result r = TELL("--temp", "0", "--json", "-n", "1500", "--ctx", "2000");
    program_expect(&r, 0);
    size_t n = answer_tokens(&r, &finish);
    assert_string_equal(finish, "stop");
    program_free(&r);
    char more[16];
    snprintf(more, sizeof more, "%zu", n + 5);
    r = TELL("--temp", "0", "--json", "-n", more, "--ctx", "2000", "--ignore-eos");
    assert_int_equal(answer_tokens(&r, &finish), n + 5);
    assert_string_equal(finish, "length");
    program_free(&r);
    r = TELL("--temp", "0", "--json", "-n", "1900", "--ctx", "2000", "--min-tokens", more);
    assert_true(answer_tokens(&r, &finish) >= n + 5);
    program_free(&r);
}

static void logprobs_come_with_json(void **unused)
{
    (void)unused;
    NEED_SPARK();
    for (int after = 0; after < 2; after++) {
        struct result r = after ? TELL("-n", "9", "--json", "--logprobs", "3", "--logprobs-after", "--top-k", "2", "--min-p", "0",
                                       "--top-p", "1")
                                : TELL("-n", "9", "--json", "--logprobs", "3", "--temp", "0");
        program_expect(&r, 0);
        struct json *j = parsed(r.out);
        const struct json *list = json_get(j, "logprobs");
        assert_int_equal(json_len(list), 9);
        for (size_t i = 0; i < 9; i++) {
            const struct json *t = json_at(list, i), *top = json_get(t, "top_logprobs");
            double sum = 0, own = json_num(json_get(t, "logprob"));
            assert_int_equal(json_len(top), after ? 2 : 3);
            for (size_t k = 0; k < json_len(top); k++) {
                double p = json_num(json_get(json_at(top, k), "logprob"));
                assert_true(!k || p <= json_num(json_get(json_at(top, k - 1), "logprob")));
                sum += exp(p);
            }
            if (after) assert_true(fabs(sum - 1) < 1e-5);
            else assert_true(sum < 1 && own == json_num(json_get(json_at(top, 0), "logprob")));       /* greedy */
        }
        json_free(j);
        program_free(&r);
    }
    struct result r = TELL("--logprobs", "3");
    program_expect(&r, 2);
    program_contains(r.err, "needs --json");
    program_free(&r);
}

static void banned_phrases_are_said_otherwise(void **unused)
{
    (void)unused;
    NEED_SPARK();
    for (int i = 0; i < 3; i++) {                              /* greedy, drawn, with what remembers */
        const char *const how[3][2] = { { "--temp", "0" }, { "--temp", "1" }, { "--mirostat", "2" } };
        struct result plain = TELL("-n", "150", how[i][0], how[i][1]);
        program_expect(&plain, 0);
        char phrase[2][16] = { "", "" };
        memcpy(phrase[0], plain.out + 30, 12);                 /* what it says, ban it */
        memcpy(phrase[1], plain.out + 90, 9);
        struct result r = TELL("-n", "150", how[i][0], how[i][1], "--ban", phrase[0], "--ban", phrase[1], "--ban", "e"),
                      a = TELL("-n", "150", how[i][0], how[i][1], "--ban", phrase[0], "--ban", phrase[1]),
                      b = TELL("-n", "150", how[i][0], how[i][1], "--ban", phrase[0], "--ban", phrase[1], "--json");
        program_expect(&a, 0);
        program_expect(&r, 0);
        assert_null(strstr(a.out, phrase[0]));
        assert_null(strstr(a.out, phrase[1]));
        assert_null(strpbrk(r.out, "eE"));
        assert_true(strlen(r.out) > 20);
        struct json *j = parsed(b.out);
        assert_true(json_int(json_get(j, "taken_back_tokens")) > 0);
        assert_memory_equal(plain.out, a.out, 20);             /* nothing else changes before */
        json_free(j);
        program_free(&plain);
        program_free(&r);
        program_free(&a);
        program_free(&b);
    }
}

#define DRAFTED(...) \
    PROGRAM(NULL, "run", "spark", "--no-template", "--seed", "3", "--temp", "0.7", "-n", "60", "--json", __VA_ARGS__, "Once upon")

/* The model's own file guesses for it: most is right, and the answer is the same. */
static void another_model_guesses(void **unused)
{
    (void)unused;
    NEED_SPARK();
    struct result plain = DRAFTED("--speculate", "off"), r = DRAFTED("--speculate", "4", "--draft", "models/spark.gguf");
    struct json *a = parsed(plain.out), *b = parsed(r.out);
    assert_string_equal(json_str(json_get(a, "text"), NULL), json_str(json_get(b, "text"), NULL));
    assert_true(json_int(json_get(b, "right_tokens")) > 10);
    json_free(a);
    json_free(b);
    program_free(&plain);
    program_free(&r);
    r = DRAFTED("--draft", "no-such-model.gguf");
    program_expect(&r, 1);
    program_contains(r.err, "no-such-model.gguf");
    program_free(&r);
    r = DRAFTED("--draft", "models/spark.gguf", "--speculate", "off");
    program_expect(&r, 2);
    program_free(&r);
}

static void infill_needs_a_model_for_it(void **unused)
{
    (void)unused;
    NEED_SPARK();
    static const struct { const char *args[8], *word; } row[] = {
        { { "run", "spark", "--fim-prefix", "Makefile" }, "filling in the middle" },
        { { "run", "spark", "--fim-prefix", "no-such-file" }, "no-such-file" },
        { { "run", "spark", "--fim-suffix", "models/spark.gguf" }, "not a text" },
        { { "run", "spark", "--fim-suffix", "Makefile", "hello" }, "whole prompt" },
        { { "run", "spark", "--fim-file", "Makefile", "hello" }, "--fim-file needs" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = program_run(NULL, row[i].args);
        assert_true(r.code == 1 || r.code == 2);
        program_contains(r.err, row[i].word);
        program_free(&r);
    }
}

static void bad_requests_are_explained(void **unused)
{
    (void)unused;
    NEED_SPARK();
    static const struct { const char *option, *value, *word; } row[] = {
        { "--samplers", "top_k;best", "\"best\" is no sampler" }, { "--samplers", "kk", "twice" },
        { "--logit-bias", "x", "15043=2.5" }, { "--logit-bias", "99999999=1", "ids are 0 to" },
        { "--logit-bias", "=1", "15043=2.5" }, { "--logit-bias", "a=nan", "15043=2.5" }, { "--mirostat", "3", "from 0 to 2" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = TELL(row[i].option, row[i].value);
        assert_true(r.code == 1 || r.code == 2);
        program_contains(r.err, row[i].word);
        program_free(&r);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_step_can_be_asked_for),
    cmocka_unit_test(biases_ban_and_prefer),
    cmocka_unit_test(shortest_and_longest_answers),
    cmocka_unit_test(logprobs_come_with_json),
    cmocka_unit_test(banned_phrases_are_said_otherwise),
    cmocka_unit_test(another_model_guesses),
    cmocka_unit_test(infill_needs_a_model_for_it),
    cmocka_unit_test(bad_requests_are_explained),
};
int main(void) { return run_tests(tests); }
