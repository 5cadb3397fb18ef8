/* cli_test.c - the program from outside: arguments, pipes, exit codes, and what it prints. */
#include "tests/program_files.h"

#include <sys/stat.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "format/gguf.h"

static char stories[512], qwen3[512];

#define NEED(path, name) do { NEED_PROGRAM(); REF_OR_SKIP(path, name); } while (0)

/* ---- help and usage ---- */

static void help_and_version(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static const char *const command[] = { "run", "inspect", "tokenize", "embed", "rerank", "logits", "bench",
                                           "convert", "synth", "quantize", "imatrix", "perplexity", "split", "merge",
                                           "help", "version" };
    struct result r = PROGRAM(NULL, "--help"), r2 = PROGRAM(NULL, "help");
    program_expect(&r, 0);
    assert_string_equal(r.out, r2.out);
    for (size_t i = 0; i < sizeof command / sizeof *command; i++) {
        program_contains(r.out, command[i]);
        struct result a = PROGRAM(NULL, "help", command[i]), b = PROGRAM(NULL, command[i], "--help");
        program_expect(&a, 0);
        program_expect(&b, 0);
        assert_string_equal(a.out, b.out);
        assert_int_equal(a.n_err, 0);
        program_contains(a.out, "Usage: hearth ");
        program_free(&a);
        program_free(&b);
    }
    program_free(&r);
    program_free(&r2);
    r = PROGRAM(NULL, "--version");
    program_expect(&r, 0);
    program_contains(r.out, "hearth 0.");
    program_free(&r);
    r = PROGRAM(NULL, "help", "environment");
    program_contains(r.out, "HEARTH_THREADS");
    program_free(&r);
}

static void wrong_usage_is_explained(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    static const struct { const char *args[8], *word; } row[] = {
        { { "rnu" }, "did you mean run?" },
        { { "xyzzy" }, "unknown command \"xyzzy\"" },
        { { "run", "--tmep", "1" }, "did you mean --temp?" },
        { { "run", "--temp", "hot" }, "from 0 to 100" },
        { { "run", "--top-k" }, "--top-k needs a value" },
        { { "run", "a", "b", "c" }, "one argument too many" },
        { { "run", "m", "" }, "the prompt is empty" },
        { { "run", "m", "x", "--stop", "" }, "--stop needs" },
        { { "run", "m", "x", "--kv", "f64" }, "f16|f32" },
        { { "run", "m", "x", "--no-template", "--system=x" }, "--system" },
        { { "inspect" }, "inspect needs MODEL" },
        { { "inspect", "a", "b" }, "--compare takes two" },
        { { "inspect", "a", "--compare" }, "needs two files" },
        { { "quantize", "a", "b" }, "needs --type" },
        { { "quantize", "a", "b", "--type", "Q4_K_X" }, "Q4_K_M" },
        { { "quantize", "a", "b", "--type", "Q4_0", "--tensor=x" }, "NAME=TYPE" },
        { { "split", "a", "b" }, "--max-size or" },
        { { "split", "a", "b", "--max-size", "4X" }, "4G or 500M" },
        { { "imatrix", "a", "b" }, "needs --out" },
        { { "merge", "a" }, "merge needs FIRST.gguf" },
        { { "tokenize" }, "tokenize needs MODEL" },
        { { "tokenize", "m", "x", "--jsonl" }, "--jsonl" },
        { { "tokenize", "m", "--pieces", "--count" }, "choose one" },
        { { "logits", "m" }, "needs --tokens" },
        { { "logits", "m", "--tokens", "1" }, "needs --out" },
        { { "help", "rnu" }, "did you mean run?" },
        { { "version", "x" }, "too many" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct result r = program_run(NULL, row[i].args);
        program_expect(&r, 2);
        assert_int_equal(r.n_out, 0);
        program_contains(r.err, row[i].word);
        program_contains(r.err, "Try: hearth ");
        program_free(&r);
    }
    struct result r = PROGRAM(NULL, "--");
    assert_int_equal(r.code, 2);
    program_free(&r);
}

static void missing_and_damaged_files(void **unused)
{
    (void)unused;
    NEED_PROGRAM();
    const char *bad = in_dir("bad.gguf");
    FILE *f = fopen(bad, "w");
    fputs("GGUF but not really", f);
    fclose(f);
    static const char *const command[][4] = { { "run", NULL, "hi" }, { "inspect", NULL }, { "tokenize", NULL, "x" } };
    for (size_t i = 0; i < 3; i++)
        for (int kind = 0; kind < 3; kind++) {
            const char *path = kind == 0 ? in_dir("missing.gguf") : kind == 1 ? bad : dir;
            const char *args[4] = { command[i][0], path, command[i][2], NULL };
            struct result r = program_run(NULL, args);
            program_expect(&r, 1);
            assert_int_equal(r.n_out, 0);
            program_contains(r.err, "hearth: ");
            program_contains(r.err, path);
            program_free(&r);
        }
}

/* ---- inspect and tokenize ---- */

/* The metadata of a model without its tensors, and with a name that tries to colour the terminal. */
static void write_vocabulary(const char *path)
{
    struct gguf *g;
    struct gguf_writer *w;
    struct err e = { 0 };
    assert_int_equal(gguf_open(&g, stories, &e), 0);
    assert_int_equal(gguf_writer_open(&w, &e), 0);
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        if (kv->key.n != 12 || memcmp(kv->key.s, "general.name", 12)) gguf_copy_kv(w, kv);
    }
    gguf_put_str(w, "general.name", "\033[31mred\033[0m", 12);
    if (gguf_writer_save(w, path, &e) < 0) fail_msg("%s", e.msg);
    gguf_writer_close(w);
    gguf_close(g);
}

static void inspect_tells_what_is_there(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    struct result r = PROGRAM(NULL, "inspect", stories);
    program_expect(&r, 0);
    static const char *const word[] = { "architecture   llama", "parameters     260032", "context        512",
                                        "runs here      yes", "tokenizer.ggml.tokens", "blk.4.ffn_down.weight", "172 x 64",
                                        "... (512)]" };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++) program_contains(r.out, word[i]);
    assert_true(utf8_valid(r.out, r.n_out));
    program_free(&r);
    r = PROGRAM(NULL, "inspect", stories, "--metadata", "--full");
    program_expect(&r, 0);
    assert_null(strstr(r.out, "... ("));
    program_free(&r);
    r = PROGRAM(NULL, "inspect", stories, "--summary");
    program_expect(&r, 0);
    program_contains(r.out, "runs here      yes");
    assert_null(strstr(r.out, "blk.4.ffn_down.weight"));
    program_free(&r);
    r = PROGRAM(NULL, "inspect", stories, "--json");
    struct json *j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "parameters")), 260032);
    assert_true(json_bool(json_get(j, "runs")));
    assert_int_equal(json_len(json_get(j, "tensors")), 47);
    assert_int_equal(json_int(json_get(json_get(j, "metadata"), "llama.context_length")), 512);
    json_free(j);
    program_free(&r);
}

static void a_vocabulary_is_enough_to_tokenize(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    const char *path = in_dir("vocabulary.gguf");
    write_vocabulary(path);
    struct result r = PROGRAM(NULL, "tokenize", path, "Once upon a time", "--bos");
    program_expect(&r, 0);
    assert_string_equal(r.out, "1 403 407 261 378\n");
    program_free(&r);
    r = PROGRAM(NULL, "inspect", path, "-m");
    program_expect(&r, 0);
    program_contains(r.out, "runs here      no");
    assert_null(strchr(r.out, '\033'));
    program_free(&r);
}

static void tokenize_reads_text_and_json_lines(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    struct result r = PROGRAM("Once upon a time", "tokenize", stories);
    assert_string_equal(r.out, "403 407 261 378\n");
    program_free(&r);
    r = PROGRAM("Once upon a time", "tokenize", stories, "--count");
    assert_string_equal(r.out, "4\n");
    program_free(&r);
    r = PROGRAM(NULL, "tokenize", stories, "Once\x1b", "--pieces");
    program_contains(r.out, "     403  \" Once\"\n");
    assert_null(strchr(r.out, '\033'));
    program_free(&r);
    r = PROGRAM("\"Once upon\"\n\"\"\n\"a\\u0000b\"\n\"Once\"", "tokenize", stories, "--jsonl");
    program_expect(&r, 0);
    assert_memory_equal(r.out, "[403,407]\n[]\n[", 14);
    assert_string_equal(strrchr(r.out, '['), "[403]\n");
    program_free(&r);
    static const char *const bad[] = { "\"ok\"\n\"not closed\n\"x\"\n", "\"ok\"\n5\n", "\"ok\"\n\n", "\"ok\"\n\"a\" \"b\"\n" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = PROGRAM(bad[i], "tokenize", stories, "--jsonl");
        program_expect(&r, 1);
        program_contains(r.err, "line 2");
        assert_int_equal(r.out[0], '[');
        program_free(&r);
    }
    r = PROGRAM("\"<s>\"", "tokenize", stories, "--jsonl", "--special");
    assert_string_equal(r.out, "[1]\n");
    program_free(&r);
}

/* ---- answers ---- */

static char *reference_text(int which, char *prompt, size_t n_prompt)
{
    char path[512], *text, *copy;
    size_t n;
    if (!ref_path(path, sizeof path, "models/stories260K.json")) skip();
    assert_int_equal(os_read_file(path, 64 << 20, &text, &n, NULL), 0);
    struct json *j = parsed(text), *g = json_at(json_get(j, "greedy"), (size_t)which);
    const char *whole = json_str(json_get(g, "text"), NULL);
    snprintf(prompt, n_prompt, "%s", json_str(json_get(g, "prompt"), NULL));
    copy = strdup(whole + 1 + strlen(prompt));                 /* " " + prompt + answer */
    json_free(j);
    mem_free(text);
    return copy;
}

static void greedy_text_is_the_reference(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    for (int i = 0; i < 4; i++) {
        char prompt[128], *want = reference_text(i, prompt, sizeof prompt);
        if (!*prompt) {
            free(want);
            continue;
        }
        struct result r = PROGRAM(NULL, "run", stories, prompt, "--no-template", "--temp", "0", "-n", "256", "--kv", "f32");
        program_expect(&r, 0);
        size_t n = strlen(want);
        if (r.n_out < n || memcmp(r.out, want, n)) fail_msg("\"%s\" is not the beginning of \"%s\"", want, r.out);
        free(want);
        program_free(&r);
    }
}

static void json_output_is_one_object(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    struct result r = PROGRAM(NULL, "run", stories, "Once upon a time", "--no-template", "--json", "--seed", "7", "-n", "20",
                              "-v");
    program_expect(&r, 0);
    struct json *j = parsed(r.out);
    assert_string_equal(json_str(json_get(j, "finish_reason"), NULL), "length");
    assert_int_equal(json_int(json_get(j, "prompt_tokens")), 5);
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 20);
    assert_int_equal(json_int(json_get(j, "seed")), 7);
    assert_true(json_num(json_get(json_get(j, "timings"), "decode_tokens_per_s")) > 0);
    program_contains(r.err, "tokens/s");
    /* The same seed says the same; without --json it is the bare text. */
    struct result again = PROGRAM(NULL, "run", stories, "Once upon a time", "--no-template", "--seed=7", "-n20");
    size_t n;
    const char *text = json_str(json_get(j, "text"), &n);
    assert_int_equal(again.n_out, n + 1);
    assert_memory_equal(again.out, text, n);
    assert_string_equal(again.err, "");
    json_free(j);
    program_free(&r);
    program_free(&again);
    r = PROGRAM(NULL, "run", stories, "Once upon a time", "--no-template", "--seed=8", "-n20");
    again = PROGRAM(NULL, "run", stories, "Once upon a time", "--no-template", "--seed=8", "-n20", "-t1", "-b1");
    assert_string_equal(r.out, again.out);
    program_free(&r);
    program_free(&again);
}

static void pipes_are_part_of_the_prompt(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
#define RUN(in, ...) PROGRAM(in, "run", stories, "--no-template", "--temp=0", "-n", "12", __VA_ARGS__)
    struct result whole = RUN(NULL, "Once upon\n\na time"), joined = RUN("a time\n", "Once upon"),
                  alone = PROGRAM("Once upon\n\na time", "run", stories, "--no-template", "--temp=0", "-n", "12");
    program_expect(&whole, 0);
    assert_string_equal(whole.out, joined.out);
    assert_string_equal(whole.out, alone.out);
    program_free(&whole);
    program_free(&joined);
    program_free(&alone);
    struct result empty = PROGRAM("", "run", stories);
    program_expect(&empty, 2);
    program_free(&empty);
}

static void stop_strings_and_limits(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    struct result r = RUN(NULL, "Once upon a time", "-n", "60", "--stop", "little girl", "--json");
    struct json *j = parsed(r.out);
    assert_string_equal(json_str(json_get(j, "text"), NULL), ", there was a ");
    assert_string_equal(json_str(json_get(j, "finish_reason"), NULL), "stop");
    json_free(j);
    program_free(&r);
    r = RUN(NULL, "Once upon a time", "-n", "-1", "--ctx", "16", "--json");
    program_expect(&r, 0);
    j = parsed(r.out);
    assert_string_equal(json_str(json_get(j, "finish_reason"), NULL), "length");
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 16 - 5 + 1);
    program_contains(r.err, "context of 16 tokens is full");
    program_contains(r.err, "--ctx");
    json_free(j);
    program_free(&r);
    r = RUN(NULL, "Once upon a time there was a little girl named Lily who loved to play", "--ctx", "9");
    program_expect(&r, 1);
    program_contains(r.err, "context holds 9");
    assert_int_equal(r.n_out, 0);
    program_free(&r);
    r = RUN(NULL, "Once upon a time", "-n", "0", "--json");
    j = parsed(r.out);
    assert_int_equal(json_int(json_get(j, "completion_tokens")), 0);
    json_free(j);
    program_free(&r);
}

static void a_chat_template_is_used(void **unused)
{
    (void)unused;
    NEED(qwen3, "models/qwen3.gguf");
    struct result raw = PROGRAM(NULL, "run", qwen3, "hello", "-n4", "--temp=0", "--json", "--no-template"),
                  chat = PROGRAM(NULL, "run", qwen3, "hello", "-n4", "--temp=0", "--json"),
                  system = PROGRAM(NULL, "run", qwen3, "hello", "-n4", "--temp=0", "--json", "--system", "Be kind.");
    program_expect(&raw, 0);
    program_expect(&chat, 0);
    program_expect(&system, 0);
    struct json *a = parsed(raw.out), *b = parsed(chat.out), *c = parsed(system.out);
    assert_true(json_int(json_get(a, "prompt_tokens")) < json_int(json_get(b, "prompt_tokens")));
    assert_true(json_int(json_get(b, "prompt_tokens")) < json_int(json_get(c, "prompt_tokens")));
    json_free(a);
    json_free(b);
    json_free(c);
    program_free(&raw);
    program_free(&chat);
    program_free(&system);
}

/* ---- logits ---- */

static void logits_do_not_depend_on_threads_or_batch(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    static const char *const threads[] = { "1", "2", "3" }, *const batch[] = { "512", "1", "3" };
    char first[256] = "";
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 3; k++) {
            struct result r = PROGRAM(NULL, "logits", stories, "--tokens", "1 403 407 261 378", "--last", "5", "--greedy", "4",
                                      "--hash", "--threads", threads[i], "--batch", batch[k]);
            program_expect(&r, 0);
            if (!*first) snprintf(first, sizeof first, "%s", r.out);
            assert_string_equal(r.out, first);
            program_free(&r);
        }
    assert_memory_equal(first, "432 383 286 261\n", 16);
    assert_int_equal(strlen(first), 16 + 17);
}

static void logits_rows_go_to_a_file_or_a_pipe(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    const char *path = in_dir("rows.f32"), *ids = in_dir("ids.txt");
    FILE *f = fopen(ids, "w");
    fputs("[1, 403, 407,\n261, 378]\n", f);
    fclose(f);
    char at[160];
    snprintf(at, sizeof at, "@%s", ids);
    struct result r = PROGRAM(NULL, "logits", stories, "--tokens", at, "--last", "2", "--greedy", "3", "--out", path);
    program_expect(&r, 0);
    assert_string_equal(r.out, "432 383 286\n");
    char *data;
    size_t n;
    assert_int_equal(os_read_file(path, 1 << 20, &data, &n, NULL), 0);
    assert_int_equal(n, 5 * 512 * 4);
    struct result p = PROGRAM(NULL, "logits", stories, "--tokens", "1 403 407 261 378", "--last", "2", "--greedy", "3",
                              "--out", "-");
    assert_int_equal(p.n_out, n);
    assert_memory_equal(p.out, data, n);
    assert_string_equal(p.err, "432 383 286\n");
    mem_free(data);
    program_free(&r);
    program_free(&p);
    static const struct { const char *tokens, *word; } bad[] = {
        { "", "empty" }, { "1 x", "\"x\"" }, { "1 -5", "no token id" }, { "99999999999", "no token id" }, { "1 512", "512" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        r = PROGRAM(NULL, "logits", stories, "--tokens", bad[i].tokens, "--out", path);
        program_expect(&r, 1);
        program_contains(r.err, bad[i].word);
        program_free(&r);
    }
}

/* ---- the world ends ---- */

/* Starts the program with standard input from one pipe and standard output to another. */
static pid_t start(const char *const *args, int *in, int *out)
{
    int a[2], b[2];
    assert_int_equal(pipe(a), 0);
    assert_int_equal(pipe(b), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        dup2(a[0], 0);
        dup2(b[1], 1);
        for (int i = 0; i < 2; i++) close(a[i]), close(b[i]);
        program_exec(args);
    }
    close(a[0]);
    close(b[1]);
    *in = a[1];
    *out = b[0];
    return pid;
}

static void signals_end_it_with_their_code(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    static const int sig[] = { SIGINT, SIGTERM };
    for (size_t i = 0; i < 2; i++) {
        const char *const args[] = { "run", stories, "--no-template", NULL };
        int in, out;
        pid_t pid = start(args, &in, &out);                    /* waits for its standard input */
        usleep(300000);
        kill(pid, sig[i]);
        assert_int_equal(program_wait(pid), 128 + sig[i]);
        close(in);
        close(out);
    }
}

static void a_closed_pipe_ends_it_quietly(void **unused)
{
    (void)unused;
    NEED(stories, "models/stories260K.gguf");
    const char *const args[] = { "run", stories, "--no-template", "--temp=0", "Once upon a time", NULL };
    int in, out;
    char c;
    FILE *err = tmpfile();
    int saved = dup(2);
    dup2(fileno(err), 2);
    pid_t pid = start(args, &in, &out);
    dup2(saved, 2);
    close(saved);
    close(in);
    assert_int_equal(read(out, &c, 1), 1);
    close(out);
    int code = program_wait(pid);
    size_t n;
    char *text = program_slurp(err, &n);
    assert_true(code == 0 || code == 141);
    assert_int_equal(n, 0);
    free(text);
}

/* ---- */

static int make_dir(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "/tmp/hearth-cli-%ld", (long)getpid());
    ref_path(stories, sizeof stories, "models/stories260K.gguf");
    return mkdir(dir, 0700);
}

static int remove_dir(void **unused)
{
    (void)unused;
    return program_remove_dir((const char *const[]){ "bad.gguf", "vocabulary.gguf", "rows.f32", "ids.txt", NULL });
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(help_and_version),
    cmocka_unit_test(wrong_usage_is_explained),
    cmocka_unit_test(missing_and_damaged_files),
    cmocka_unit_test(inspect_tells_what_is_there),
    cmocka_unit_test(a_vocabulary_is_enough_to_tokenize),
    cmocka_unit_test(tokenize_reads_text_and_json_lines),
    cmocka_unit_test(greedy_text_is_the_reference),
    cmocka_unit_test(json_output_is_one_object),
    cmocka_unit_test(pipes_are_part_of_the_prompt),
    cmocka_unit_test(stop_strings_and_limits),
    cmocka_unit_test(a_chat_template_is_used),
    cmocka_unit_test(logits_do_not_depend_on_threads_or_batch),
    cmocka_unit_test(logits_rows_go_to_a_file_or_a_pipe),
    cmocka_unit_test(signals_end_it_with_their_code),
    cmocka_unit_test(a_closed_pipe_ends_it_quietly),
};
int main(void) { return cmocka_run_group_tests_name("cli", tests, make_dir, remove_dir); }
