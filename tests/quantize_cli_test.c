/* quantize_cli_test.c - the commands that make, measure, cut and join models, from outside. */
#include "tests/program_files.h"

#include <dirent.h>
#include <time.h>

#include "base/json.h"
#include "tests/tiny_model.h"

static int setup(void **state)
{
    (void)state;
    strcpy(dir, "/tmp/hearth-smaller-XXXXXX");
    if (!mkdtemp(dir)) return -1;
    FILE *f = fopen(in_dir("text"), "w");
    for (int i = 0; i < 120; i++) fprintf(f, "%d bottles, %d of them green. ", i * 7 % 31, i);
    fclose(f);
    return tiny_model(in_dir("in.gguf"), (struct tiny){ .arch = "llama", .type = DT_F16 }) < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return program_remove_dir((const char *const[]){ "text", "in.gguf", "q.gguf", "im.gguf", "again.gguf", NULL });
}

static unsigned files(void)
{
    unsigned n = 0;
    DIR *d = opendir(dir);
    for (struct dirent *e; (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static long size_of(const char *name)
{
    FILE *f = fopen(in_dir(name), "r");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    long n = ftell(f);
    fclose(f);
    return n;
}

/* Runs to the end with this code; the output is the caller's. */
static struct result expect(int code, const char *const *args)
{
    struct result r = program_run(NULL, args);
    program_expect(&r, code);
    return r;
}
#define EXPECT(code, ...) expect((code), (const char *const[]){ __VA_ARGS__, NULL })

static void a_model_becomes_smaller(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    char bytes[64];
    struct result dry = EXPECT(0, "quantize", in_dir("in.gguf"), "--type", "Q4_K_M", "--dry-run", "--tensors");
    program_contains(dry.out, "blk.0.attn_q.weight");
    struct result r = EXPECT(0, "quantize", in_dir("in.gguf"), in_dir("q.gguf"), "--type", "Q4_K_M");
    snprintf(bytes, sizeof bytes, "%ld bytes", size_of("q.gguf"));
    program_contains(dry.out, bytes);
    program_contains(r.out, bytes);
    program_free(&r);
    program_free(&dry);
    r = EXPECT(1, "quantize", in_dir("in.gguf"), in_dir("q.gguf"), "--type", "Q4_0");
    program_contains(r.err, "--force");
    program_free(&r);
    r = EXPECT(1, "quantize", in_dir("in.gguf"), in_dir("in.gguf"), "--type", "Q4_0", "--force");
    program_contains(r.err, "the model that is read");
    program_free(&r);
    r = EXPECT(0, "inspect", "--compare", in_dir("in.gguf"), in_dir("q.gguf"));
    program_contains(r.out, "F16      Q4_K");
    program_contains(r.out, "+ general.file_type");
    program_contains(r.out, "tensors differ, 5 tensors are the same");        /* the norms */
    program_free(&r);
    r = EXPECT(0, "inspect", "--compare", in_dir("q.gguf"), in_dir("q.gguf"));
    program_contains(r.out, "0 keys and 0 tensors differ");
    program_free(&r);
}

static void importance_is_collected_and_used(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = EXPECT(1, "quantize", in_dir("in.gguf"), in_dir("again.gguf"), "--type", "IQ2_XXS");
    program_contains(r.err, "hearth imatrix");
    program_free(&r);
    r = EXPECT(0, "imatrix", in_dir("in.gguf"), in_dir("text"), "--ctx", "64", "--chunks", "4", "-o", in_dir("im.gguf"));
    program_contains(r.out, "14 weights, 4 chunks of 64 tokens");
    program_free(&r);
    r = EXPECT(0, "quantize", in_dir("in.gguf"), in_dir("again.gguf"), "--type", "IQ2_XXS", "--imatrix", in_dir("im.gguf"));
    program_free(&r);
    r = EXPECT(1, "imatrix", in_dir("in.gguf"), in_dir("text"), "-o", in_dir("im.gguf"));
    program_contains(r.err, "exists already");
    program_free(&r);
    unlink(in_dir("again.gguf"));
}

static void perplexity_is_printed(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    struct result r = EXPECT(0, "perplexity", in_dir("q.gguf"), in_dir("text"), "--ctx", "128", "--chunks", "2", "--json",
                             "--kl-base", in_dir("in.gguf"));
    struct json *j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "tokens")), 2 * 63);
    assert_true(json_num(json_get(j, "perplexity")) > 1 && json_num(json_get(j, "kl_mean")) > 0);
    json_free(j);
    program_free(&r);
    r = EXPECT(1, "perplexity", in_dir("q.gguf"), in_dir("text"), "--ctx", "100000");
    program_contains(r.err, "one chunk needs 100000");
    program_free(&r);
}

static void files_are_cut_and_joined(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    unsigned before = files();
    struct result r = EXPECT(0, "split", in_dir("in.gguf"), in_dir("part"), "--max-size", "300K");
    program_contains(r.out, "-00001-of-");
    char *first = strndup(r.out, (size_t)(strchr(r.out, ':') - r.out));
    unsigned parts = files() - before;
    assert_true(parts > 2);
    program_free(&r);
    r = EXPECT(0, "merge", first, in_dir("again.gguf"));
    program_free(&r);
    assert_int_equal(size_of("again.gguf"), size_of("in.gguf"));
    r = EXPECT(0, "inspect", "--compare", in_dir("again.gguf"), in_dir("in.gguf"));
    program_contains(r.out, "0 keys and 0 tensors differ");
    program_free(&r);
    r = EXPECT(1, "merge", in_dir("again.gguf"), in_dir("other.gguf"));
    program_contains(r.err, "is one file already");
    program_free(&r);
    for (unsigned i = 0; i < parts; i++) {
        char name[64];
        snprintf(name, sizeof name, "part-%05u-of-%05u.gguf", i + 1, parts);
        unlink(in_dir(name));
    }
    unlink(in_dir("again.gguf"));
    free(first);
    assert_int_equal(files(), before);
}

/* A model that takes a while, stopped as soon as the temporary file is there. */
static void ctrl_c_leaves_nothing(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    unsigned before = files();
    char in[128], out[128];
    snprintf(in, sizeof in, "%s", in_dir("large.gguf"));
    snprintf(out, sizeof out, "%s", in_dir("out.gguf"));
    assert_int_equal(tiny_model(in, (struct tiny){ .arch = "llama", .type = DT_F32, .D = 512, .H = 8, .F = 2048, .L = 4 }), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) program_exec((const char *const[]){ "quantize", in, out, "--type", "IQ3_S", "--threads", "1", NULL });
    for (int i = 0; i < 2000 && files() < before + 2; i++) nanosleep(&(struct timespec){ 0, 5000000 }, NULL);
    assert_int_equal(files(), before + 2);
    kill(pid, SIGINT);
    assert_int_equal(program_wait(pid), 130);
    unlink(in);
    assert_int_equal(files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_becomes_smaller), cmocka_unit_test(importance_is_collected_and_used),
        cmocka_unit_test(perplexity_is_printed),   cmocka_unit_test(files_are_cut_and_joined),
        cmocka_unit_test(ctrl_c_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
