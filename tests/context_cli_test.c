/* context_cli_test.c - `hearth run` with texts that do not fit, from outside, with the embedded model. */
#include "tests/program_files.h"

#include "base/json.h"
#include "base/os.h"

#define NEED_SPARK() do { NEED_PROGRAM(); if (!os_file_exists("models/spark.gguf")) skip(); } while (0)
#define TELL(...) PROGRAM(NULL, "run", "spark", "--no-template", "--temp", "0", "--ctx", "64", "--json", __VA_ARGS__, text)

static char text[2000];

static int64_t number(const char *out, const char *key)
{
    struct json *j;
    struct err e;
    if (json_parse(&j, out, strlen(out), &e) < 0) fail_msg("%s", e.msg);
    int64_t v = json_int(json_get(j, key));
    json_free(j);
    return v;
}

static void prompts_that_do_not_fit(void **unused)
{
    (void)unused;
    NEED_SPARK();
    for (int i = 0; i < 40; i++) strcat(text, "The cat sat on the mat. ");
    struct result r = TELL("-n", "8");
    program_expect(&r, 1);
    assert_non_null(strstr(r.err, "the context holds 64"));
    program_free(&r);
    r = TELL("-n", "8", "--context-policy", "drop");            /* there are no turns */
    program_expect(&r, 1);
    assert_non_null(strstr(r.err, "a prompt may have 56"));
    program_free(&r);
    struct result cut[2] = { TELL("-n", "8", "--context-policy", "middle"),
                             TELL("-n", "8", "--context-policy", "middle", "--keep", "5") };
    int64_t n = number(cut[0].out, "dropped_tokens");
    for (int i = 0; i < 2; i++) {
        program_expect(&cut[i], 0);
        assert_int_equal(number(cut[i].out, "prompt_tokens"), 56);
        assert_int_equal(number(cut[i].out, "dropped_from"), i ? 5 : 28);
        assert_true(n > 100);
        assert_int_equal(number(cut[i].out, "dropped_tokens"), n);
        assert_non_null(strstr(cut[i].err, "did not fit and were left out"));
        program_free(&cut[i]);
    }
}

static void answers_that_do_not_fit(void **unused)
{
    (void)unused;
    NEED_SPARK();
    snprintf(text, sizeof text, "Once upon a time");
    struct result r = TELL("-n", "200", "--ignore-end");
    program_expect(&r, 0);
    assert_int_equal(number(r.out, "completion_tokens"), 64 - number(r.out, "prompt_tokens") + 1);
    assert_non_null(strstr(r.err, "the context of 64 tokens is full"));
    program_free(&r);
    struct result plain = TELL("-n", "200", "--ignore-end", "--context-policy", "shift", "--keep", "4", "--speculate", "off");
    struct result ahead = TELL("-n", "200", "--ignore-end", "--context-policy", "shift", "--keep", "4");
    program_expect(&plain, 0);
    program_expect(&ahead, 0);
    assert_int_equal(number(plain.out, "completion_tokens"), 200);
    assert_true(number(plain.out, "shifts") >= 4);
    assert_int_equal(number(plain.out, "shifted_tokens"), number(ahead.out, "shifted_tokens"));
    assert_non_null(strstr(plain.err, "the context was full"));
    program_free(&plain);
    program_free(&ahead);
    static const char *const bad[][2] = { { "--ban", "x" }, { "--choice", "a,b" } };
    for (size_t i = 0; i < 2; i++) {
        r = TELL("--context-policy", "shift", bad[i][0], bad[i][1]);
        program_expect(&r, 2);
        program_free(&r);
    }
    r = TELL("--keep", "3");
    program_expect(&r, 2);
    program_free(&r);
}

/* A long text is found again by another process, and says the same. */
static void long_texts_are_found_again(void **unused)
{
    (void)unused;
    NEED_SPARK();
    char folder[] = "/tmp/hearth-kv-XXXXXX", line[64];
    assert_non_null(mkdtemp(folder));
    text[0] = 0;
    for (int i = 0; i < 60; i++) {
        snprintf(line, sizeof line, "There were %d cats and %d dogs. ", i, i * 7 % 10);
        strcat(text, line);
    }
    struct result r[3];
    for (int i = 0; i < 3; i++) {
        r[i] = PROGRAM(NULL, "run", "spark", "--no-template", "--temp", "0", "--json", "-n", "20", "--speculate", "off",
                       "--kv-files", i ? folder : "off", text);
        program_expect(&r[i], 0);
        assert_string_equal(r[i].err, r[0].err);
    }
    int64_t n = number(r[0].out, "prompt_tokens");
    assert_true(n > 400);
    assert_int_equal(number(r[0].out, "kept_tokens"), 0);
    assert_int_equal(number(r[1].out, "kept_tokens"), 0);
    assert_int_equal(number(r[2].out, "kept_tokens"), n - 1);
    for (int i = 0; i < 3; i++) {
        char *at = strstr(r[i].out, "\"text\":"), *end = at ? strstr(at, "\"finish_reason\"") : NULL;
        assert_non_null(end);
        *end = 0;
        assert_string_equal(at, strstr(r[0].out, "\"text\":"));
    }
    for (int i = 0; i < 3; i++) program_free(&r[i]);
    snprintf(line, sizeof line, "rm -r %s", folder);
    assert_int_equal(system(line), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts_that_do_not_fit),
        cmocka_unit_test(answers_that_do_not_fit),
        cmocka_unit_test(long_texts_are_found_again),
    };
    return run_tests(tests);
}
