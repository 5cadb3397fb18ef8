/* draft_serve_test.c - a small model that guesses for others in the server: for whom, what is told of it, and what is refused. */
#include "tests/link_fixture.h"
#include "tests/program.h"
#include "tests/tiny_model.h"

#include <sys/stat.h>

#define NEED_SPARK() do { NEED_PROGRAM(); if (!os_file_exists("models/spark.gguf")) skip(); } while (0)

static char dir[400], model[2][500];

static int make(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "%s/hearth-draft-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir)) return -1;
    static const struct tiny made[] = { { .arch = "llama", .type = DT_Q8_0 }, { .arch = "qwen3", .type = DT_Q8_0, .L = 1 } };
    for (int i = 0; i < 2; i++) {
        snprintf(model[i], sizeof model[i], "%s/%d.gguf", dir, i);
        if (tiny_model(model[i], made[i])) return -1;
    }
    return 0;
}

static int clear(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) unlink(model[i]);
    return rmdir(dir);
}

static struct link *open_with(const char *draft)
{
    static const char *folders[1];
    folders[0] = dir;
    return open_link((struct link_options){ .threads = 1, .folders = folders, .n_folders = 1, .keep_alive_s = -1, .draft = draft,
                                            .speculate = draft ? 3 : HEARTH_SPECULATE_OFF });
}

static int64_t n_drafts;               /* of the last answer */

/* The text, and how many tokens it has. */
static char *answer(struct link *l, const char *path, int seed)
{
    struct kept k = { .n_text = 0 };
    char job[900];
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"abc abd\",\"options\":{\"seed\":%d,"
             "\"temperature\":1,\"max_tokens\":24,\"ignore_end\":true}}", path, seed);
    run_job(l, &k, job);
    if (k.message[0]) fail_msg("%s: %s", job, k.message);
    struct buf b = { 0 };
    const struct json *at = json_get(k.done, "draft_right_at");
    int64_t right = 0;
    for (size_t i = 0; i < json_len(at); i++) right += json_int(json_at(at, i));
    n_drafts = json_int(json_get(k.done, "drafts"));
    assert_int_equal(right, json_int(json_get(k.done, "draft_right")));
    assert_true(n_drafts <= json_int(json_get(k.done, "draft_tokens")));
    buf_printf(&b, "%s|%u", text_of(&k, 0), k.tokens[0]);
    kept_release(&k);
    return buf_take(&b);
}

/* What "status" says of the model's draft, "" when nothing; pinned: of the model itself. */
static void told(struct link *l, const char *path, char *draft, size_t n, bool *pinned)
{
    struct kept k = { .n_text = 0 };
    run_job(l, &k, "{\"op\":\"status\"}");
    const struct json *list = json_get(k.done, "models");
    *draft = 0;
    *pinned = false;
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *m = json_at(list, i);
        const char *own = json_str(json_get(m, "model"), NULL), *by = json_str(json_get(m, "draft"), NULL);
        if (!own || strcmp(own, path)) continue;
        snprintf(draft, n, "%s", by ? by : "");
        *pinned = json_bool(json_get(m, "pinned"));
    }
    kept_release(&k);
}

static void it_guesses_for_those_with_its_tokens(void **unused)
{
    (void)unused;
    NEED_LINK();
    char draft[600];
    bool pinned;
    struct link *plain = open_with(NULL), *l = open_with(model[1]);
    for (int seed = 1; seed < 4; seed++) {
        char *a = answer(plain, model[0], seed);
        assert_int_equal(n_drafts, 0);
        char *b = answer(l, model[0], seed);
        assert_true(n_drafts > 0);
        assert_string_equal(a, b);
        mem_free(a);
        mem_free(b);
    }
    told(l, model[0], draft, sizeof draft, &pinned);
    assert_string_equal(draft, model[1]);
    told(l, model[1], draft, sizeof draft, &pinned);
    assert_true(pinned && !*draft);
    mem_free(answer(l, model[1], 1));                         /* it answers like any other */
    told(l, model[1], draft, sizeof draft, &pinned);
    assert_string_equal(draft, "");
    /* The next process has it again. */
    struct link_state s;
    link_state(l, &s);
    kill((pid_t)s.pid, SIGKILL);
    mem_free(answer(l, model[0], 1));
    told(l, model[0], draft, sizeof draft, &pinned);
    assert_string_equal(draft, model[1]);
    link_state(l, &s);
    assert_true(s.n_restarts >= 1);
    link_close(plain);
    link_close(l);
}

static void others_do_without(void **unused)
{
    (void)unused;
    NEED_LINK();
    NEED_SPARK();
    char draft[600];
    bool pinned;
    struct link *l = open_with(model[1]);
    mem_free(answer(l, "embedded", 1));
    told(l, "embedded", draft, sizeof draft, &pinned);
    assert_string_equal(draft, "");
    link_close(l);
}

/* One that is gone when it is needed, or damaged: answers are as without it. */
static void one_that_cannot_be_loaded(void **unused)
{
    (void)unused;
    NEED_LINK();
    char bad[500], draft[600];
    bool pinned;
    snprintf(bad, sizeof bad, "%s/bad.gguf", dir);
    struct link *plain = open_with(NULL), *l = open_with(bad);
    for (int i = 0; i < 2; i++) {
        char *a = answer(plain, model[0], 5), *b = answer(l, model[0], 5);
        assert_string_equal(a, b);
        mem_free(a);
        mem_free(b);
        told(l, model[0], draft, sizeof draft, &pinned);
        assert_string_equal(draft, "");
    }
    link_close(plain);
    link_close(l);
}

static void what_cannot_be_is_said_at_the_start(void **unused)
{
    (void)unused;
    NEED_SPARK();
    struct result r = PROGRAM(NULL, "serve", model[0], "--draft", "models/spark.gguf", "--port", "0", "--log", "-");
    program_expect(&r, 1);
    program_contains(r.err, "cannot guess for it");
    program_free(&r);
    r = PROGRAM(NULL, "serve", "--draft", model[1], "--speculate", "-1", "--port", "0", "--log", "-");
    program_expect(&r, 1);
    program_contains(r.err, "--speculate -1");
    program_free(&r);
    r = PROGRAM(NULL, "serve", "--draft", "no-such-model.gguf", "--port", "0", "--log", "-");
    program_expect(&r, 1);
    program_contains(r.err, "no-such-model.gguf");
    program_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_guesses_for_those_with_its_tokens),
        cmocka_unit_test(others_do_without),
        cmocka_unit_test(one_that_cannot_be_loaded),
        cmocka_unit_test(what_cannot_be_is_said_at_the_start),
    };
    return cmocka_run_group_tests(tests, make, clear);
}
