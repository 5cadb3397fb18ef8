/* adapter_cli_test.c - --lora and --control-vector of the commands that evaluate a model. */
#include "tests/program.h"
#include "tests/tiny_adapter.h"

static char dir[] = "/tmp/hearth-lora-XXXXXX", model[64], lora[64], steer[64], text[64];

static struct result logits(const char *a, const char *b, const char *c, const char *d)
{
    return PROGRAM(NULL, "logits", model, "--tokens", "1 2 3 4 5 6 7 8", "--hash", "-t", "1", a, b, c, d);
}

static void hash(char *dst, const char *a, const char *b, const char *c, const char *d)
{
    struct result r = logits(a, b, c, d);
    program_expect(&r, 0);
    assert_int_equal(r.n_out, 17);
    memcpy(dst, r.out, 18);
    program_free(&r);
}

static void logits_change_with_scales(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char none[18], one[18], half[18], off[18], two[18], swapped[18], arg[2][80];
    hash(none, NULL, NULL, NULL, NULL);
    hash(one, "--lora", lora, NULL, NULL);
    snprintf(arg[0], sizeof arg[0], "%s:0.5", lora);
    hash(half, "--lora", arg[0], NULL, NULL);
    snprintf(arg[1], sizeof arg[1], "%s:0", lora);
    hash(off, "--lora", arg[1], NULL, NULL);
    hash(two, "--lora", lora, "--control-vector", steer);
    hash(swapped, "--control-vector", steer, "--lora", lora);
    assert_string_equal(off, none);
    assert_string_not_equal(one, none);
    assert_string_not_equal(half, none);
    assert_string_not_equal(half, one);
    assert_string_not_equal(two, one);
    assert_string_equal(two, swapped);
    hash(half, "--control-vector", steer, "--control-vector-layers", "1-1");
    hash(one, "--control-vector", steer, NULL, NULL);
    hash(off, "--control-vector", steer, "--control-vector-layers", "0-9");
    assert_string_not_equal(half, one);
    assert_string_equal(off, one);
}

static void other_commands_take_them(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result a = PROGRAM(NULL, "perplexity", model, text, "--ctx", "32", "--json"), b, r;
    b = PROGRAM(NULL, "perplexity", model, text, "--ctx", "32", "--json", "--lora", lora);
    program_expect(&a, 0);
    program_expect(&b, 0);
    assert_string_not_equal(a.out, b.out);
    program_free(&a);
    program_free(&b);
    a = PROGRAM(NULL, "run", model, "--no-template", "--temp", "0", "-n", "8", "hello");
    b = PROGRAM(NULL, "run", model, "--no-template", "--temp", "0", "-n", "8", "hello", "--lora", lora);
    program_expect(&a, 0);
    program_expect(&b, 0);
    assert_true(a.n_out != b.n_out || memcmp(a.out, b.out, a.n_out));
    program_free(&a);
    program_free(&b);
    r = PROGRAM(NULL, "bench", model, "-p", "8", "-n", "2", "-r", "1", "--lora", lora);
    program_expect(&r, 0);
    program_free(&r);
}

/* The rotary options reach the model; 1 is what there is without them. */
static void positions_are_stretched(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char none[18], one[18], h[6][18];
    hash(none, NULL, NULL, NULL, NULL);
    hash(one, "--rope-scaling", "linear", "--rope-scale", "1");
    assert_string_equal(one, none);
    hash(h[0], "--rope-scale", "4", NULL, NULL);
    hash(one, "--rope-scaling", "linear", "--rope-scale", "4");
    assert_string_equal(one, h[0]);
    hash(h[1], "--rope-scaling", "ntk", "--rope-scale", "4");
    hash(h[2], "--rope-scaling", "yarn", "--rope-scale", "4");
    hash(h[3], "--rope-scaling", "llama3", "--rope-scale", "4");
    hash(h[4], "--rope-freq-base", "50000", NULL, NULL);
    memcpy(h[5], none, sizeof none);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++) assert_string_not_equal(h[i], h[k]);
    struct result r = logits("--rope-scaling", "longrope", NULL, NULL);
    program_expect(&r, 1);
    program_contains(r.err, "longrope needs both");
    program_free(&r);
}

static void mistakes_are_named(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char bad[80];
    snprintf(bad, sizeof bad, "%s:much", lora);
    const struct { const char *arg[4], *say; } row[] = {
        { { "--lora", bad }, "the scale behind the colon must be a number" },
        { { "--lora", "/nowhere/lora.gguf" }, "/nowhere/lora.gguf" },
        { { "--lora", model }, "is neither an adapter" },
        { { "--control-vector", steer, "--control-vector-layers", "3" }, "needs two numbers" },
        { { "--control-vector", steer, "--control-vector-layers", "3-1" }, "needs two numbers" },
        { { "--lora", lora, "--control-vector-layers", "0-1" }, "needs a --control-vector" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = logits(row[i].arg[0], row[i].arg[1], row[i].arg[2], row[i].arg[3]);
        program_expect(&r, 1);
        program_contains(r.err, row[i].say);
        program_free(&r);
    }
}

static int begin(void **state)
{
    (void)state;
    struct tiny t = { .arch = "llama", .type = DT_Q8_0, .D = 64, .F = 96, .E = 32, .H = 2, .K = 1 };
    struct gguf *g;
    struct gguf_writer *w;
    float v[64];
    if (!mkdtemp(dir)) return -1;
    snprintf(model, sizeof model, "%s/model.gguf", dir);
    snprintf(lora, sizeof lora, "%s/lora.gguf", dir);
    snprintf(steer, sizeof steer, "%s/steer.gguf", dir);
    snprintf(text, sizeof text, "%s/text", dir);
    if (tiny_model(model, t) < 0 || gguf_open(&g, model, NULL) < 0) return -1;
    struct ta a = ta_new(g, 1, 4, 8, 0.125f);
    gguf_close(g);
    if (ta_write(&a, "llama", DT_F16, lora) < 0 || gguf_writer_open(&w, NULL) < 0) return -1;
    ta_free(&a);
    for (int i = 0; i < 64; i++) v[i] = (float)(i % 5) - 2;
    gguf_put_str(w, "general.architecture", "controlvector", 13);
    gguf_put_tensor(w, "direction.0", DT_F32, 1, (uint64_t[]){ 64 }, v);
    gguf_put_tensor(w, "direction.1", DT_F32, 1, (uint64_t[]){ 64 }, v);
    if (ta_finish(w, steer) < 0) return -1;
    FILE *f = fopen(text, "w");
    for (int i = 0; f && i < 30; i++) fputs("words and more words ", f);
    return f ? fclose(f) : -1;
}

static int end(void **state)
{
    (void)state;
    unlink(model);
    unlink(lora);
    unlink(steer);
    unlink(text);
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_change_with_scales),
        cmocka_unit_test(other_commands_take_them),
        cmocka_unit_test(positions_are_stretched),
        cmocka_unit_test(mistakes_are_named),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
