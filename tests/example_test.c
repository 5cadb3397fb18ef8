/* example_test.c - the programs of examples/ do what their first comment says. */
#include <stdlib.h>
#include <sys/wait.h>

#include "tests/testing.h"

/* Runs `$EMULATOR $BUILD/examples/ARGS`; returns the exit status and what it printed. */
static int run_example(const char *args, char *out, size_t n)
{
    const char *build = getenv("BUILD"), *emulator = getenv("EMULATOR");
    char command[1024];
    snprintf(command, sizeof command, "%s %s/examples/%s", emulator ? emulator : "", build ? build : "build", args);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    size_t got = fread(out, 1, n - 1, f);
    out[got] = 0;
    int status = pclose(f);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void complete_answers_with_the_embedded_model(void **state)
{
    (void)state;
    if (!os_file_exists("models/spark.gguf")) skip();
    char first[4096], second[4096];
    assert_int_equal(run_example("complete", first, sizeof first), 0);
    assert_true(strlen(first) > 1);                      /* more than the newline at the end */
    assert_int_equal(run_example("complete", second, sizeof second), 0);
    assert_string_equal(first, second);                  /* the seed is fixed */
}

static void complete_names_the_file_it_cannot_open(void **state)
{
    (void)state;
    char out[4096];
    assert_int_equal(run_example("complete no/such.gguf 2>&1", out, sizeof out), EXIT_FAILURE);
    assert_non_null(strstr(out, "no/such.gguf"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(complete_answers_with_the_embedded_model),
        cmocka_unit_test(complete_names_the_file_it_cannot_open),
    };
    return run_tests(tests);
}
