/* structured_cli_test.c - hearth run held to a form, with the model that is inside the program. */
#include "tests/program_files.h"

#include "base/json.h"
#include "tests/grammar.h"

static const char *write_file(const char *name, const char *text)
{
    FILE *f = fopen(in_dir(name), "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    return in_dir(name);
}

static void expect_form(const char *out, struct grammar *g)
{
    size_t n = strlen(out);
    if (n && out[n - 1] == '\n') n--;
    if (grammar_verdict(g, out, n) != V_WHOLE) fail_msg("\"%s\"", out);
    grammar_free(g);
}

static void answers_have_the_form(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\",\"minimum\":1},\"b\":"
                                 "{\"enum\":[\"x\",null]}},\"required\":[\"a\",\"b\"]}";
    static const char gbnf[] = "root ::= (\"a\" | \"b\"){3} [0-9]{2}";
    static const char *const choice[] = { "yes", "no", "maybe so" };
    struct grammar *g;
    struct result r;
    for (int seed = 0; seed < 3; seed++) {
        char s[16];
        snprintf(s, sizeof s, "%d", seed);
        r = PROGRAM(NULL, "run", "spark", "--seed", s, "--temp", "1.5", "--schema", write_file("form.json", schema), "Hello");
        program_expect(&r, 0);
        assert_int_equal(grammar_from_schema(&g, schema, sizeof schema - 1, NULL), 0);
        expect_form(r.out, g);
        program_free(&r);
        r = PROGRAM(NULL, "run", "spark", "--seed", s, "--temp", "1.5", "--grammar", write_file("form.gbnf", gbnf), "Hello");
        program_expect(&r, 0);
        assert_int_equal(grammar_from_gbnf(&g, gbnf, sizeof gbnf - 1, NULL), 0);
        expect_form(r.out, g);
        program_free(&r);
        r = PROGRAM(NULL, "run", "spark", "--seed", s, "--temp", "1.5", "--regex", "[A-Z]{2}-\\d{3}", "Hello");
        program_expect(&r, 0);
        assert_int_equal(grammar_from_regex(&g, "[A-Z]{2}-\\d{3}", 14, NULL), 0);
        expect_form(r.out, g);
        program_free(&r);
        r = PROGRAM(NULL, "run", "spark", "--seed", s, "--temp", "1.5", "--choice", "yes,no,maybe so", "Hello");
        program_expect(&r, 0);
        assert_int_equal(grammar_from_choices(&g, choice, 3, NULL), 0);
        expect_form(r.out, g);
        program_free(&r);
    }
}

/* An answer with wrong guesses behind its end, of a model that must not end by itself, has the form and ends. */
static void expect_guessed(struct result *r, struct grammar *g)
{
    struct json *j = NULL;
    program_expect(r, 0);
    assert_int_equal(json_parse(&j, r->out, strlen(r->out), NULL), 0);
    expect_form(json_str(json_get(j, "text"), NULL), g);
    assert_string_equal(json_str(json_get(j, "finish_reason"), NULL), "stop");
    assert_true(json_int(json_get(j, "right_tokens")) > 2);
    assert_true(json_int(json_get(j, "guessed_tokens")) > json_int(json_get(j, "right_tokens")));
    json_free(j);
    program_free(r);
}

#define GUESSING(guess, ...) \
    PROGRAM(NULL, "run", "spark", "--temp", "0", "--json", "--speculate", guess, "--ignore-end", __VA_ARGS__, "Hello")

static void complete_answers_end_among_guesses(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static const char schema[] = "{\"type\":\"integer\",\"minimum\":100000000000000,\"maximum\":999999999999999}";
    struct grammar *g;
    struct result r;
    for (int n = 20; n < 23; n++) {
        char form[24];
        snprintf(form, sizeof form, "([ab]c){%d}", n);
        r = GUESSING("8", "--regex", form);
        assert_int_equal(grammar_from_regex(&g, form, strlen(form), NULL), 0);
        expect_guessed(&r, g);
        r = GUESSING("8", "--regex", form, "--logprobs", "0");
        assert_int_equal(grammar_from_regex(&g, form, strlen(form), NULL), 0);
        expect_guessed(&r, g);
    }
    r = GUESSING("6", "--schema", write_file("form.json", schema), "--logit-bias", "1=20");
    assert_int_equal(grammar_from_schema(&g, schema, sizeof schema - 1, NULL), 0);
    expect_guessed(&r, g);
}

static void mistakes_are_explained(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    const char *bad = write_file("bad.json", "{\"properties\":{\"a\":{\"contains\":{}}}}");
    struct result r = PROGRAM(NULL, "run", "spark", "--schema", bad, "Hello");
    assert_int_equal(r.code, 1);
    program_contains(r.err, "bad.json: schema: /properties/a/contains: cannot be kept while writing");
    program_free(&r);
    r = PROGRAM(NULL, "run", "spark", "--regex", "(a", "Hello");
    assert_int_equal(r.code, 1);
    program_contains(r.err, "character 1: this ( has no )");
    program_free(&r);
    r = PROGRAM(NULL, "run", "spark", "--regex", "a", "--choice", "a", "Hello");
    assert_int_equal(r.code, 2);
    program_contains(r.err, "exclude each other");
    program_free(&r);
    r = PROGRAM(NULL, "run", "spark", "--after", "</think>", "Hello");
    assert_int_equal(r.code, 2);
    program_free(&r);
}

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "/tmp/hearth-form-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    static const char *const files[] = { "form.json", "form.gbnf", "bad.json", NULL };
    return program_remove_dir(files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_have_the_form),
        cmocka_unit_test(complete_answers_end_among_guesses),
        cmocka_unit_test(mistakes_are_explained),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
