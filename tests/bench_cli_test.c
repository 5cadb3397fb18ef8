/* bench_cli_test.c - synth and bench from outside: a model is made, is what it says it is, and its speed is measured. */
#include "tests/program_files.h"

#include <dirent.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"

static unsigned files_in_dir(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    assert_non_null(d);
    while (readdir(d)) n++;
    closedir(d);
    return n - 2;                                              /* . and .. */
}

struct refusal { const char *args[6], *word; int code; };

/* Nothing on standard output; the word and the code say what was wrong. */
static void expect_refusals(const struct refusal *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct result r = program_run(NULL, row[i].args);
        program_expect(&r, row[i].code);
        assert_int_equal(r.n_out, 0);
        program_contains(r.err, row[i].word);
        program_free(&r);
    }
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
    static const struct refusal row[] = {
        { { "synth" }, "SHAPE TYPE FILE", 2 },
        { { "synth", "lama-1b", "F16", "x" }, "no shape \"lama-1b\"", 2 },
        { { "synth", "llama-1b", "Q9", "x" }, "Q4_K_M", 2 },
        { { "synth", "llama-1b", "Q8_K", "x" }, "no type \"Q8_K\"", 2 },
        { { "synth", "llama-1b", "F16", "x", "--layers=17" }, "has only 16", 2 },
        { { "synth", "--list", "x" }, "--list", 2 },
        { { "synth", "llama-1b", "F16", "/nowhere/at/all" }, "/nowhere/at/all", 1 },
    };
    expect_refusals(row, sizeof row / sizeof *row);
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

/* ---- bench ---- */

static void check_stat(const struct json *j, double most)
{
    double median = json_num(json_get(j, "median")), min = json_num(json_get(j, "min")), max = json_num(json_get(j, "max"));
    double first = json_num(json_get(j, "first")), last = json_num(json_get(j, "last"));
    if (!(min > 0 && min <= median && median <= max && max < most)) fail_msg("%g, %g, %g", min, median, max);
    if (!(min <= first && first <= max && min <= last && last <= max)) fail_msg("%g, %g of %g, %g", first, last, min, max);
}

static void check_result(const struct json *j, const char *test, int64_t tokens, int64_t depth, int64_t batch)
{
    assert_string_equal(json_str(json_get(j, "test"), NULL), test);
    assert_int_equal(json_int(json_get(j, "tokens")), tokens);
    assert_int_equal(json_int(json_get(j, "depth")), depth);
    assert_int_equal(json_int(json_get(j, "batch")), batch);
    assert_int_equal(json_int(json_get(j, "repetitions")), 2);
    check_stat(json_get(j, "tok_s"), 1e9);
    check_stat(json_get(j, "pct_of_limit"), 1e4);              /* a busy machine can make the limit look small, not absurd */
}

static void bench_measures_every_combination(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "bench", "--json", "-p", "8,20", "-n", "4", "--depth", "12,0", "--batch", "1,3", "-r", "2",
                              "-t", "1,2", "--kv-type", "q8_0/q4_0", "--parallel", "2");
    program_expect(&r, 0);
    assert_string_equal(r.err, "");
    struct json *j = parsed(r.out), *results = json_get(j, "results"), *limits = json_get(j, "limits");
    assert_int_equal(json_len(results), 20);
    for (size_t t = 0; t < 2; t++)
        for (size_t d = 0; d < 2; d++) {
            int64_t depth = d ? 0 : 12;
            size_t at = 10 * t + 5 * d;
            check_result(json_at(results, at), "prefill", 8, depth, 1);
            check_result(json_at(results, at + 1), "prefill", 20, depth, 1);
            check_result(json_at(results, at + 2), "decode", 4, depth, 1);
            check_result(json_at(results, at + 3), "decode", 4, depth, 3);
            check_result(json_at(results, at + 4), "parallel", 4, depth, 2);
            assert_int_equal(json_int(json_get(json_at(results, at), "threads")), (int64_t)t + 1);
            assert_string_equal(json_str(json_get(json_at(results, at), "kv"), NULL), "q8_0/q4_0");
        }
    assert_int_equal(json_len(limits), 2);
    for (size_t i = 0; i < 2; i++) {
        check_stat(json_get(json_at(limits, i), "read_gb_s"), 1e6);
        check_stat(json_get(json_at(limits, i), "int8_gop_s"), 1e9);
        check_stat(json_get(json_at(limits, i), "int16_gop_s"), 1e8);
        check_stat(json_get(json_at(limits, i), "float_gop_s"), 1e9);
    }
    /* The figures at the top are those without depth and batch. */
    const struct json *prefill = json_at(results, 5), *decode = json_at(results, 7);
    assert_true(json_num(json_get(j, "prefill_tok_s")) == json_num(json_get(json_get(prefill, "tok_s"), "median")));
    assert_true(json_num(json_get(j, "decode_tok_s")) == json_num(json_get(json_get(decode, "tok_s"), "median")));
    assert_true(json_num(json_get(j, "prefill_pct_of_limit")) == json_num(json_get(json_get(prefill, "pct_of_limit"), "median")));
    assert_true(json_num(json_get(j, "decode_pct_of_limit")) == json_num(json_get(json_get(decode, "pct_of_limit"), "median")));
    assert_true(json_num(json_get(j, "load_ms")) > 0);
    assert_true(json_num(json_get(j, "first_token_ms")) > json_num(json_get(j, "load_ms")));
    assert_int_equal(json_int(json_get(j, "first_token_prompt")), 8);
    assert_true(json_int(json_get(j, "peak_memory_bytes")) > 1 << 20);
    assert_string_equal(json_str(json_get(j, "model"), NULL), "spark");
    json_free(j);
    program_free(&r);
}

static unsigned lines_with(const char *text, const char *word)
{
    unsigned n = 0;
    for (const char *s = text; (s = strstr(s, word)) != NULL; s++) n++;
    return n;
}

static void bench_prints_in_four_formats(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
#define BENCH(...) PROGRAM(NULL, "bench", "spark", "-r1", "-p4", "-n2", "--batch=1,2", __VA_ARGS__)
    struct result r = BENCH("--format", "csv");
    program_expect(&r, 0);
    assert_int_equal(lines_with(r.out, "\n"), 4);
    program_contains(r.out, "\n\"spark\",prefill,4,0,1,1,f16,1,");
    program_contains(r.out, "\n\"spark\",decode,2,0,2,1,f16,1,");
    program_free(&r);
    r = BENCH("--format", "markdown");
    program_expect(&r, 0);
    assert_int_equal(lines_with(r.out, "\n| decode | 2 | 0 | "), 2);
    program_free(&r);
    r = BENCH("--format", "table");
    program_expect(&r, 0);
    assert_int_equal(lines_with(r.out, "\ndecode "), 2);
    program_contains(r.out, "limit of 1 thread: read ");
    program_free(&r);
    r = PROGRAM(NULL, "bench", "-p0", "-n2", "-r1", "--format=json");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    assert_int_equal(json_type(json_get(j, "prefill_tok_s")), JSON_NULL);
    assert_true(json_num(json_get(j, "decode_tok_s")) > 0);
    json_free(j);
    program_free(&r);
#undef BENCH
}

static void bench_explains_wrong_usage(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static const struct refusal row[] = {
        { { "bench", "-p", "512;3" }, "--prefill needs whole numbers", 2 },
        { { "bench", "-n", "" }, "--decode needs", 2 },
        { { "bench", "--depth", "1," }, "--depth needs", 2 },
        { { "bench", "--batch", "0" }, "from 1 to 512", 2 },
        { { "bench", "-t", "1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17" }, "at most 16 values", 2 },
        { { "bench", "--kv", "f16,f64" }, "--kv-type needs", 2 },
        { { "bench", "--json", "--format", "csv" }, "choose one", 2 },
        { { "bench", "--format", "xml" }, "table|json|csv|markdown", 2 },
        { { "bench", "/nowhere.gguf" }, "/nowhere.gguf", 1 },
        { { "bench", "--depth", "16000000", "--batch", "512" }, "use a smaller --depth or --batch", 1 },
    };
    expect_refusals(row, sizeof row / sizeof *row);
}

/* What it prints when it is interrupted after some seconds. */
static char *stopped_after(unsigned seconds, size_t *n)
{
    const char *const args[] = { "bench", "--json", "-p0", "-n", "20", "-r", "1000", NULL };
    FILE *f = tmpfile();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(fileno(f), 1);
        program_exec(args);
    }
    sleep(seconds);
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    return program_slurp(f, n);
}

/* Stopped in the middle of far too many repetitions, it prints those that it has; a slow machine gets more time for the first. */
static void bench_stopped_prints_what_it_has(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    size_t n = 0;
    char *text = NULL;
    for (unsigned seconds = 1; seconds < 100 && !n; seconds *= 4) {
        free(text);
        text = stopped_after(seconds, &n);
    }
    struct json *j = parsed(text);
    int64_t times = json_int(json_get(json_at(json_get(j, "results"), 0), "repetitions"));
    assert_true(times > 0 && times < 1000);
    json_free(j);
    free(text);
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
    return program_remove_dir((const char *const[]){ "a.gguf", "b.gguf", "c.gguf", NULL });
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(synth_writes_a_model_that_runs),
    cmocka_unit_test(synth_explains_wrong_usage),
    cmocka_unit_test(synth_leaves_nothing_when_stopped),
    cmocka_unit_test(bench_measures_every_combination),
    cmocka_unit_test(bench_prints_in_four_formats),
    cmocka_unit_test(bench_explains_wrong_usage),
    cmocka_unit_test(bench_stopped_prints_what_it_has),
};
int main(void) { return cmocka_run_group_tests_name("bench_cli", tests, make_dir, remove_dir); }
