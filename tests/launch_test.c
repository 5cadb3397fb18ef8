/* launch_test.c - hearth launch: what is printed for each client, and files that are written once. */
#include "tests/store_files.h"

#include "base/json.h"

static int setup(void **unused) { (void)unused; return store_home(); }
static int teardown(void **unused) { (void)unused; return store_home_remove(); }

static void every_client_is_told_where_and_what(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result all = PROGRAM(NULL, "launch");
    size_t n = 0;
    program_expect(&all, 0);
    for (char *line = strtok(all.out, "\n"); line; line = strtok(NULL, "\n"), n++) {
        char name[32];
        assert_int_equal(sscanf(line, "%31s", name), 1);
        struct result r = PROGRAM(NULL, "launch", name, "--model", "a/b:c", "--url", "http://127.0.0.1:9", "--key", "k");
        program_expect(&r, 0);
        program_contains(r.out, "http://127.0.0.1:9");
        assert_null(strchr(r.out, '{') ? strstr(r.out, "{url}") : NULL);
        assert_null(strstr(r.out, "{model}"));
        program_free(&r);
    }
    assert_true(n >= 10);
    program_free(&all);
}

static void variables_are_commands_of_a_shell(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "launch", "openai");
    program_expect(&r, 0);
    assert_string_equal(r.out, "export OPENAI_BASE_URL='http://127.0.0.1:11434/v1'\nexport OPENAI_API_KEY='hearth'\n");
    program_free(&r);
    r = PROGRAM(NULL, "launch", "codex");                      /* what it would ask for otherwise is refused */
    program_contains(r.out, "web_search = \"disabled\"\n\n[model_providers.hearth]\n");
    program_free(&r);
    r = PROGRAM(NULL, "launch", "claude", "--model", "m");     /* another key would go before the token */
    program_contains(r.out, "export ANTHROPIC_API_KEY=''\n");
    program_contains(r.out, "export ANTHROPIC_DEFAULT_HAIKU_MODEL='m'\n");
    program_free(&r);
    r = PROGRAM(NULL, "launch", "aider");                      /* nothing was fetched: the model inside the program */
    program_contains(r.out, "# then: aider --model openai/spark\n");
    program_free(&r);
}

static void a_file_is_written_once(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char path[300], *text;
    size_t n;
    struct json *j;
    struct err e;
    struct result r = PROGRAM(NULL, "launch", "opencode", "--model", "m:1", "--write");
    program_expect(&r, 0);
    program_free(&r);
    snprintf(path, sizeof path, "%s", in_dir("home/.config/opencode/opencode.json"));
    assert_int_equal(os_read_file(path, 1 << 16, &text, &n, &e), 0);
    assert_int_equal(json_parse(&j, text, n, &e), 0);
    assert_string_equal(json_str(json_get(j, "model"), NULL), "hearth/m:1");
    json_free(j);
    mem_free(text);
    r = PROGRAM(NULL, "launch", "opencode", "--model", "other", "--write");
    program_expect(&r, 1);
    program_contains(r.err, "there already");
    program_free(&r);
    assert_int_equal(os_read_file(path, 1 << 16, &text, &n, &e), 0);
    assert_non_null(strstr(text, "m:1"));
    mem_free(text);
    r = PROGRAM(NULL, "launch", "claude", "--write");
    program_expect(&r, 1);
    program_free(&r);
}

static void what_is_wrong_is_said(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "launch", "codx");
    program_expect(&r, 2);
    program_contains(r.err, "codex");
    program_free(&r);
    r = PROGRAM(NULL, "launch", "openai", "--key", "a'; rm -rf x; '");
    program_expect(&r, 1);
    program_contains(r.err, "--key");
    program_free(&r);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_client_is_told_where_and_what),
    cmocka_unit_test(variables_are_commands_of_a_shell),
    cmocka_unit_test(a_file_is_written_once),
    cmocka_unit_test(what_is_wrong_is_said),
};
int main(void) { return cmocka_run_group_tests(tests, setup, teardown); }
