/* bench_cli_test.c - synth and bench from outside: a model is made, is what it says it is, and its speed is measured. */
#include "tests/program.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"

static char dir[64];

static const char *in_dir(const char *name)
{
    static char path[4][128];
    static unsigned turn;
    char *p = path[turn++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", dir, name);
    return p;
}

static struct json *parsed(const char *text)
{
    struct json *j;
    struct err e = { 0 };
    if (json_parse(&j, text, strlen(text), &e) < 0) fail_msg("%s in: %s", e.msg, text);
    return j;
}

static unsigned files_in_dir(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;                                              /* . and .. */
}

/* ---- synth ---- */

/* The smallest that there is: 34 MB. */
#define SYNTH(path, ...) PROGRAM(NULL, "synth", "qwen3-0.6b", "iq1_s", path, "--pure", "--layers", "1", __VA_ARGS__)

static bool same_files(const char *a, const char *b)
{
    struct os_map x, y;
    assert_int_equal(os_map_open(&x, a, NULL), 0);
    assert_int_equal(os_map_open(&y, b, NULL), 0);
    bool same = x.size == y.size && !memcmp(x.data, y.data, (size_t)x.size);
    os_map_close(&x);
    os_map_close(&y);
    return same;
}

static void synth_writes_a_model_that_runs(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    const char *a = in_dir("a.gguf"), *b = in_dir("b.gguf");
    struct result r = SYNTH(a, "--seed", "3");
    program_expect(&r, 0);
    program_contains(r.out, "Qwen3-0.6B IQ1_S, 1 layers, 171.31 M parameters");
    program_free(&r);
    r = PROGRAM(NULL, "inspect", a, "--json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    assert_true(json_bool(json_get(j, "runs")));
    assert_int_equal(json_int(json_get(j, "parameters")), 171314432);
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "tokenize", a, "an apple", "--count");
    program_expect(&r, 0);
    program_free(&r);
    r = PROGRAM(NULL, "logits", a, "--tokens", "1 2", "--greedy", "1", "--hash");
    program_expect(&r, 0);
    assert_true(r.n_out > 17);
    program_free(&r);
    /* The seed decides, and nothing is replaced by accident. */
    r = SYNTH(b, "-s3");
    program_expect(&r, 0);
    assert_true(same_files(a, b));
    program_free(&r);
    r = SYNTH(b, "-s4");
    program_expect(&r, 1);
    program_contains(r.err, "--force");
    assert_true(same_files(a, b));
    program_free(&r);
    r = SYNTH(b, "-s4", "--force");
    program_expect(&r, 0);
    assert_false(same_files(a, b));
    program_free(&r);
    assert_int_equal(files_in_dir(), 2);
    unlink(a);
    unlink(b);
}

static void synth_explains_wrong_usage(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static const struct { const char *args[6], *word; int code; } row[] = {
        { { "synth" }, "SHAPE TYPE FILE", 2 },
        { { "synth", "lama-1b", "F16", "x" }, "no shape \"lama-1b\"", 2 },
        { { "synth", "llama-1b", "Q9", "x" }, "Q4_K_M", 2 },
        { { "synth", "llama-1b", "Q8_K", "x" }, "no type \"Q8_K\"", 2 },
        { { "synth", "llama-1b", "F16", "x", "--layers=17" }, "has only 16", 2 },
        { { "synth", "--list", "x" }, "--list", 2 },
        { { "synth", "llama-1b", "F16", "/nowhere/at/all" }, "/nowhere/at/all", 1 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = program_run(NULL, row[i].args);
        program_expect(&r, row[i].code);
        assert_int_equal(r.n_out, 0);
        program_contains(r.err, row[i].word);
        program_free(&r);
    }
    struct result r = PROGRAM(NULL, "synth", "--list");
    program_expect(&r, 0);
    program_contains(r.out, "\nqwen3-30b-a3b  Qwen3-30B-A3B    48          18.55   32.48   61.09\n");
    program_free(&r);
}

static void synth_leaves_nothing_when_stopped(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    const char *const args[] = { "synth", "qwen3-0.6b", "F32", in_dir("c.gguf"), NULL };
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) program_exec(args);
    for (int i = 0; i < 2000 && !files_in_dir(); i++) usleep(1000);
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    assert_int_equal(files_in_dir(), 0);
}

/* ---- */

static int make_dir(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "/tmp/hearth-bench-cli-%ld", (long)getpid());
    return mkdir(dir, 0700);
}

static int remove_dir(void **unused)
{
    (void)unused;
    static const char *const name[] = { "a.gguf", "b.gguf", "c.gguf" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) unlink(in_dir(name[i]));
    return rmdir(dir);                                         /* fails when something was left behind */
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(synth_writes_a_model_that_runs),
    cmocka_unit_test(synth_explains_wrong_usage),
    cmocka_unit_test(synth_leaves_nothing_when_stopped),
};
int main(void) { return cmocka_run_group_tests_name("bench_cli", tests, make_dir, remove_dir); }
