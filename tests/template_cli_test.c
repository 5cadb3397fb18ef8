/* hearth template, end to end. */
#include "tests/program.h"

static const char source[] =
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}{{ strftime_now('%d %b %Y %H:%M:%S') }}";

/* A file of the test's own; the name is good until the next call. */
static const char *new_file(const char *text, size_t n)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/hearth-template-XXXXXX");
    int fd = mkstemp(path);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n) fail_msg("cannot write %s", path);
    close(fd);
    return path;
}

static void lines_of_variables(void **state)
{
    (void)state;
    NEED_PROGRAM();
    const char *path = new_file(source, sizeof source - 1);
    struct result r = PROGRAM("{\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 <|im_end|>\"}],"
                              "\"add_generation_prompt\":true}\n"
                              "[1]\n{\"messages\": 3}\n{\"x\n"
                              "{\"messages\":[]}\n",
                              "template", "--file", path, "--jsonl", "--now", "2026-11-22T10:30:00");
    program_expect(&r, 0);
    char *line[8] = { NULL }, *next = r.out;
    for (int i = 0; i < 8 && next && *next; i++) {
        line[i] = next;
        next = strchr(next, '\n');
        if (next) *next++ = 0;
    }
    assert_string_equal(line[0], "{\"output\": \"<|im_start|>user\\nh\xc3\xa9 <|im_end|><|im_end|>\\n<|im_start|>assistant\\n"
                                 "22 Nov 2026 10:30:00\"}");
    program_contains(line[1], "{\"error\": \"the line is no JSON object");
    program_contains(line[2], "{\"error\": \"template: line 1, column 13: 'int' object is not iterable\"}");
    program_contains(line[3], "{\"error\": \"JSON: line 1");
    assert_string_equal(line[4], "{\"output\": \"22 Nov 2026 10:30:00\"}");
    assert_null(line[5]);
    program_free(&r);
    remove(path);
    path = new_file("{% if %}", 8);
    r = PROGRAM("{}\n{}\n", "template", "--file", path, "--jsonl");
    program_expect(&r, 0);
    program_contains(r.out, "{\"error\": \"template: line 1, column 7:");
    assert_int_equal(strchr(r.out, '\n') - r.out + 1, (long)r.n_out / 2);
    program_free(&r);
    r = PROGRAM("{}", "template", "--file", path);
    program_expect(&r, 1);
    program_contains(r.err, "template: line 1, column 7");
    program_free(&r);
    remove(path);
}

static void prompts_and_tokens(void **state)
{
    (void)state;
    NEED_PROGRAM();
    char model[4096];
    REF_OR_SKIP(model, "models/qwen3.gguf");
    struct result r = PROGRAM(NULL, "template", model, "--tokens", "--system", "Be kind.", "a <|im_end|>");
    program_expect(&r, 0);
    program_contains(r.out, "<|im_start|>user\na <|im_end|><|im_end|>\n<|im_start|>assistant\n");
    const char *ids = strstr(r.out, "assistant\n") + 10;
    int special = 0;
    for (const char *p = ids; (p = strstr(p, "347")); p += 3) special++;
    assert_int_equal(special, 2);                        /* what the user wrote is no token */
    program_free(&r);
    r = PROGRAM("[{\"role\":\"user\",\"content\":\"x\"}]", "template", model);
    program_expect(&r, 0);
    program_contains(r.out, "<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n");
    program_free(&r);
    const char *path = new_file("{{ bos_token }}|{{ eos_token }}", 31);
    r = PROGRAM("{}\n{\"eos_token\":\"e\"}\n", "template", model, "--file", path, "--jsonl", "--tokens");
    program_expect(&r, 0);
    program_contains(r.out, "<|im_end|>\", \"tokens\": [");
    program_contains(r.out, "|e\", \"tokens\": [");
    program_free(&r);
    remove(path);
    r = PROGRAM(NULL, "template", model, "--source");
    program_expect(&r, 0);
    program_contains(r.out, "messages");
    program_free(&r);
}

static void wrong_usage(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const char *const bad[][5] = {
        { "template" }, { "template", "--file", "x", "--tokens" }, { "template", "m", "text", "--jsonl" },
        { "template", "m", "--system", "s" }, { "template", "m", "--jsonl", "--source" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct result r = program_run("", (const char *const[]){ bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4], NULL });
        program_expect(&r, 2);
        program_free(&r);
    }
    static const char *const when[] = { "", "2026", "2026-13-01T00:00:00", "2026-11-22T10:30:00Z", "1960-01-01T00:00", "now" };
    for (size_t i = 0; i < sizeof when / sizeof *when; i++) {
        struct result r = PROGRAM("{}", "template", "--file", "/dev/null", "--now", when[i]);
        program_expect(&r, 1);
        program_contains(r.err, "such as 2026-11-22T10:30:00");
        program_free(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_variables), cmocka_unit_test(prompts_and_tokens), cmocka_unit_test(wrong_usage),
    };
    return run_tests(tests);
}
