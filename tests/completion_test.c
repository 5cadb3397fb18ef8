/* completion_test.c - completions, manual pages and topics of the help: what is made from the rows of the commands. */
#include "tests/store_files.h"

static int setup(void **state)
{
    (void)state;
    return store_home();
}

static int teardown(void **state)
{
    (void)state;
    return store_home_remove();
}

/* Standard output of a shell command; its exit code goes to *code. */
static char *shell(const char *command, int *code)
{
    size_t n;
    FILE *out = tmpfile(), *p = popen(command, "r");
    assert_non_null(p);
    for (int c; (c = fgetc(p)) != EOF;) fputc(c, out);
    int status = pclose(p);
    *code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
    return program_slurp(out, &n);
}

static bool have(const char *program)
{
    char command[128];
    snprintf(command, sizeof command, "command -v %s > /dev/null 2>&1", program);
    return system(command) == 0;
}

static void scripts_are_sound(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const char *const name[] = { "bash", "zsh", "fish" };
    for (size_t i = 0; i < 3; i++) {
        struct result r = PROGRAM(NULL, "completion", name[i]);
        program_expect(&r, 0);
        program_contains(r.out, "kv-type");
        program_contains(r.out, "completion");
        store_text(name[i], r.out);
        program_free(&r);
        if (!have(name[i])) continue;
        char command[256];
        snprintf(command, sizeof command, "%s -n '%s'", name[i], in_dir(name[i]));
        assert_int_equal(system(command), 0);
    }
    struct result r = PROGRAM(NULL, "completion", "tcsh");
    program_expect(&r, 2);
    program_contains(r.err, "bash, zsh and fish");
    program_free(&r);
}

/* What bash offers for the last of the words. */
static char *complete(const char *words, int last)
{
    char command[2048];
    int code;
    snprintf(command, sizeof command, "cd '%s' && bash --norc -c 'source ./bash; hearth() { \"%s\" \"$@\"; }; "
             "COMP_WORDS=(%s) COMP_CWORD=%d; _hearth; printf \"%%s\\n\" \"${COMPREPLY[@]}\"'", in_dir("empty"),
             getenv("PROGRAM"), words, last);
    char *out = shell(command, &code);
    assert_int_equal(code, 0);
    return out;
}

static void expect_offer(const char *words, int last, const char *yes, const char *no)
{
    char *out = complete(words, last), line[128];
    snprintf(line, sizeof line, "%s\n", yes);
    if (!strstr(out, line)) fail_msg("%s: \"%s\" is not offered, but: %s", words, yes, out);
    if (no && strstr(out, no)) fail_msg("%s: \"%s\" is offered", words, no);
    free(out);
}

static void bash_completes(void **state)
{
    (void)state;
    NEED_PROGRAM();
    const char *emulator = getenv("EMULATOR");
    if (!have("bash") || (emulator && *emulator)) skip();
    struct result r = PROGRAM(NULL, "completion", "bash");
    store_text("empty/bash", r.out);
    program_free(&r);
    /* The program by its whole path: the test runs elsewhere. */
    char path[4096];
    assert_non_null(realpath(getenv("PROGRAM"), path));
    setenv("PROGRAM", path, 1);
    size_t n;
    char *model = store_model(&n, 1);
    store_file("home/.cache/llama.cpp/small.gguf", model, n);
    store_file("home/.cache/llama.cpp/a $(touch stolen) b.gguf", model, n);
    mem_free(model);
    expect_offer("hearth ver", 1, "verify", "run");
    expect_offer("hearth run --kv-t", 2, "--kv-type-v", "--kv-type \n");
    expect_offer("hearth run --kv-type q", 3, "q8_0", "f16");
    expect_offer("hearth rm s", 2, "small", "touch");
    expect_offer("hearth rm \"\"", 2, "small", "touch");
    expect_offer("hearth run --schema b", 3, "bash", "small");
    assert_false(os_file_exists(in_dir("empty/stolen")));
}

static void manual_pages(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "help", "--man");
    program_expect(&r, 0);
    program_contains(r.out, ".TH HEARTH 1");
    program_contains(r.out, ".BR hearth\\-run (1)");
    program_contains(r.out, ".B HEARTH_MODELS");
    program_free(&r);
    r = PROGRAM(NULL, "help", "--man", "create");
    program_expect(&r, 0);
    program_contains(r.out, "hearth\\-create \\- ");
    program_contains(r.out, ".SH \"EXIT STATUS\"");
    store_text("create.1", r.out);
    program_free(&r);
    if (!have("groff")) return;
    char command[512];
    int code;
    snprintf(command, sizeof command, "groff -man -Tutf8 -ww '%s' 2>&1 > /dev/null", in_dir("create.1"));
    char *out = shell(command, &code);
    assert_string_equal(out, "");
    free(out);
}

static void topics(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const char *const row[][2] = { { "environment", "HEARTH_MODELS" }, { "exit-codes", "wrong usage" },
                                          { "names", "hf.co/user/repo" },
                                          { "settings", "num_predict" }, { "files", "gc --remove" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = PROGRAM(NULL, "help", row[i][0]);
        program_expect(&r, 0);
        program_contains(r.out, row[i][1]);
        program_free(&r);
    }
    struct result r = PROGRAM(NULL, "help", "setings");
    program_expect(&r, 2);
    program_contains(r.err, "did you mean settings?");
    program_free(&r);
    r = PROGRAM(NULL, "version", "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    static const char *const key[] = { "version", "built_for", "instruction_sets", "here", "model_inside", "http", "index" };
    for (size_t i = 0; i < sizeof key / sizeof *key; i++) assert_non_null(json_str(json_get(j, key[i]), NULL));
    json_free(j);
    program_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scripts_are_sound), cmocka_unit_test(bash_completes), cmocka_unit_test(manual_pages),
        cmocka_unit_test(topics),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
