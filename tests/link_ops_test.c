/* link_ops_test.c - everything but answers that the engine process can be asked for. */
#include "tests/link_fixture.h"

#include <math.h>
#include <sys/stat.h>

#include "tests/tiny_model.h"

static struct link *l;
static char dir[400], model[2][500];

static int open_one(void **unused)
{
    (void)unused;
    snprintf(dir, sizeof dir, "%s/hearth-ops-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(dir)) return -1;
    static const struct tiny made[] = { { .arch = "llama", .type = DT_Q8_0 }, { .arch = "qwen3", .type = DT_Q8_0 } };
    for (int i = 0; i < 2; i++) {
        snprintf(model[i], sizeof model[i], "%s/%d.gguf", dir, i);
        if (tiny_model(model[i], made[i])) return -1;
    }
    static const char *const folders[] = { dir };              /* borrowed by the link */
    if (getenv("PROGRAM") && !(getenv("EMULATOR") && *getenv("EMULATOR")))
        l = open_link((struct link_options){ .threads = 1, .folders = folders, .n_folders = 1, .keep_alive_s = -1 });
    return 0;
}

static int close_one(void **unused)
{
    (void)unused;
    link_close(l);
    return 0;
}

static struct json *done(const char *job)
{
    struct kept k = { .n_text = 0 };
    run_job(l, &k, job);
    if (k.message[0]) fail_msg("%s: %s", job, k.message);
    struct json *d = json_share(k.done);
    kept_release(&k);
    return d;
}

static void refused(const char *job, const char *kind, const char *word)
{
    struct kept k = { .n_text = 0 };
    run_job(l, &k, job);
    if (strcmp(k.kind, kind) != 0 || !strstr(k.message, word)) fail_msg("%s: %s: %s", job, k.kind, k.message);
    kept_release(&k);
}

static void tokens_and_text(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct json *a = done("{\"op\":\"tokenize\",\"model\":\"embedded\",\"special\":false,"
                          "\"text\":\"Hello \\u0000 w\\u00f6rld\"}");
    struct buf b = { 0 }, job = { 0 };
    assert_int_equal(json_len(json_get(a, "ids")), json_len(json_get(a, "pieces")));
    assert_true(json_len(json_get(a, "ids")) > 2);
    json_write(json_get(a, "ids"), false, &b);
    buf_printf(&job, "{\"op\":\"detokenize\",\"model\":\"embedded\",\"ids\":%s}", b.data);
    struct json *t = done(job.data);
    size_t n;
    const char *text = json_str(json_get(t, "text"), &n);
    assert_true(n == 14 && !memcmp(text + n - 14, "Hello \0 w\xc3\xb6rld", 14));
    json_free(a);
    json_free(t);
    buf_release(&b);
    buf_release(&job);
    /* Parts of a character are bytes. */
    a = done("{\"op\":\"tokenize\",\"model\":\"embedded\",\"special\":false,\"text\":\"\\ud83d\\ude00\"}");
    size_t whole = 0;
    for (size_t i = 0; i < json_len(json_get(a, "pieces")); i++) {
        const struct json *piece = json_at(json_get(a, "pieces"), i);
        assert_int_equal(json_type(piece), JSON_ARRAY);
        for (size_t k = 0; k < json_len(piece); k++, whole++)
            assert_int_equal(json_int(json_at(piece, k)), "\xf0\x9f\x98\x80"[whole] & 0xff);
    }
    assert_int_equal(whole, 4);
    json_free(a);
    refused("{\"op\":\"generate\",\"model\":\"embedded\",\"messages\":[{\"role\":\"user\",\"content\":\"a\"}],\"think\":\"on\","
            "\"must_think\":true}", "unsupported", "does not support thinking");
    a = done("{\"op\":\"tokenize\",\"model\":\"embedded\",\"text\":\"<|im_end|>\",\"special\":false}");
    t = done("{\"op\":\"tokenize\",\"model\":\"embedded\",\"text\":\"<|im_end|>\",\"special\":false,\"parse\":true}");
    assert_true(json_len(json_get(t, "ids")) <= json_len(json_get(a, "ids")));
    json_free(a);
    json_free(t);
    refused("{\"op\":\"tokenize\",\"model\":\"embedded\"}", "invalid", "text is missing");
    refused("{\"op\":\"detokenize\",\"model\":\"embedded\",\"ids\":[1,-1]}", "invalid", "no token -1");
    refused("{\"op\":\"detokenize\",\"model\":\"embedded\",\"ids\":[1,\"x\"]}", "invalid", "token ids");
}

static void a_prompt_by_the_template(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct json *a = done("{\"op\":\"template\",\"model\":\"embedded\",\"messages\":[{\"role\":\"user\",\"content\":\"Hi!\"}]}");
    assert_non_null(strstr(json_str(json_get(a, "prompt"), NULL), "Hi!"));
    assert_true(json_len(json_get(a, "ids")) > 3);
    json_free(a);
}

static void vectors(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct json *a = done("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"one text\",\"another\",[5,6,7]]}");
    struct json *b = done("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"another\"],\"dims\":8}");
    const struct json *v = json_get(a, "vectors");
    assert_int_equal(json_len(v), 3);
    for (size_t i = 0; i < 3; i++) {
        double sum = 0;
        for (size_t k = 0; k < json_len(json_at(v, i)); k++) sum += pow(json_num(json_at(json_at(v, i), k)), 2);
        assert_true(fabs(sum - 1) < 1e-3);
    }
    assert_int_equal(json_int(json_at(json_get(a, "tokens"), 2)), 3);
    assert_int_equal(json_len(json_at(json_get(b, "vectors"), 0)), 8);
    json_free(a);
    json_free(b);
    a = done("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[[5,6,7]],\"pooling\":\"none\",\"normalise\":false}");
    assert_int_equal(json_len(json_at(json_get(a, "vectors"), 0)), 3);
    json_free(a);
    refused("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[]}", "invalid", "input");
    refused("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"x\"],\"dims\":9999}", "invalid", "dimensions");
    refused("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"\",7]}", "invalid", "input");
    refused("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"x\"],\"pooling\":\"best\"}", "invalid", "pooling");
    refused("{\"op\":\"embed\",\"model\":\"embedded\",\"input\":[\"x\"],\"pooling\":\"rank\"}", "unsupported", "pooling");
}

static void scores(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 };
    run_job(l, &k, "{\"op\":\"rerank\",\"model\":\"embedded\",\"query\":\"fire\",\"documents\":[\"a hearth\",\"the sea\"]}");
    /* The embedded model may have no tokens for yes and no; then it says so. */
    if (k.message[0]) assert_true(!strcmp(k.kind, "unsupported") || !strcmp(k.kind, "invalid"));
    else {
        assert_int_equal(json_len(json_get(k.done, "scores")), 2);
        assert_true(json_int(json_get(k.done, "tokens")) > 0);
    }
    kept_release(&k);
    refused("{\"op\":\"rerank\",\"model\":\"embedded\",\"query\":\"fire\"}", "invalid", "documents");
}

/* The state of a model in the answer of "status", or NULL; *all is to be freed. */
static const struct json *state_of(const char *path, struct json **all)
{
    *all = done("{\"op\":\"status\"}");
    const struct json *list = json_get(*all, "models");
    for (size_t i = 0; i < json_len(list); i++)
        if (!strcmp(json_str(json_get(json_at(list, i), "model"), NULL), path)) return json_at(list, i);
    return NULL;
}

static void wait_until_gone(const char *path)
{
    struct json *all;
    bool there = true;
    for (int i = 0; i < 500 && there; i++) {
        there = state_of(path, &all) != NULL;
        json_free(all);
        if (there) fs_sleep_ms(10);
    }
    assert_false(there);
}

/* The same answer, with more in its job. */
static void answer_of(const char *more, struct kept *k)
{
    struct buf job = { 0 };
    buf_printf(&job, "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Once upon a time\",\"want_ids\":true,"
                     "\"options\":{\"temperature\":0,\"max_tokens\":200}%s}", more);
    *k = (struct kept){ .n_text = 0 };
    run_job(l, k, job.data);
    buf_release(&job);
    if (k->message[0]) fail_msg("%s: %s", more, k->message);
}

static void lines_end_answers(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept all, cut;
    answer_of("", &all);
    const char *text = all.text[0].data, *line = text ? strchr(text, '\n') : NULL;
    assert_non_null(line);
    assert_string_equal(all.reason[0], "stop");
    static const char *const more[] = { ",\"n_indent\":1", ",\"line_ms\":1" };
    for (int i = 0; i < 2; i++) {
        answer_of(more[i], &cut);
        size_t n = cut.text[0].len;
        assert_true(n > (size_t)(line - text) && n < all.text[0].len);
        assert_memory_equal(cut.text[0].data, text, n);
        assert_int_equal(cut.text[0].data[n - 1], '\n');
        assert_string_equal(cut.reason[0], "length");
        assert_true(cut.tokens[0] > 0 && cut.tokens[0] < all.tokens[0]);
        kept_release(&cut);
    }
    refused("{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"a\",\"n_indent\":-1}", "invalid", "n_indent");
    answer_of(",\"n_indent\":0,\"line_ms\":1000000", &cut);
    assert_string_equal(cut.text[0].data, text);
    kept_release(&cut);
    kept_release(&all);
}

static void what_a_file_says(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct json *plain = done("{\"op\":\"info\",\"model\":\"embedded\"}");
    struct json *file = done("{\"op\":\"info\",\"model\":\"embedded\",\"file\":true}");
    struct json *all = done("{\"op\":\"info\",\"model\":\"embedded\",\"file\":true,\"arrays\":true}");
    assert_null(json_get(plain, "keys"));
    const struct json *keys = json_get(file, "keys"), *tensors = json_get(file, "tensors");
    assert_int_equal(json_type(json_get(keys, "tokenizer.ggml.tokens")), JSON_NULL);
    assert_string_equal(json_str(json_get(keys, "general.architecture"), NULL), "qwen3");
    int64_t n_vocab = json_int(json_get(plain, "n_vocab"));
    assert_int_equal(json_len(json_get(json_get(all, "keys"), "tokenizer.ggml.tokens")), n_vocab);
    assert_int_equal(json_type(json_at(json_get(json_get(all, "keys"), "tokenizer.ggml.token_type"), 0)), JSON_INT);
    const struct json *first = json_at(tensors, 0), *shape = json_get(first, "shape");
    assert_string_equal(json_str(json_get(first, "name"), NULL), "token_embd.weight");
    assert_true(json_len(shape) == 2 && json_int(json_at(shape, 1)) == n_vocab);
    json_free(plain);
    json_free(file);
    json_free(all);
}

/* The text of a model that has no template goes on where a chat is not insisted on. */
static void texts_that_only_go_on(void **unused)
{
    (void)unused;
    NEED_LINK();
    char path[512], job[900];
    struct kept k[2] = { { .n_text = 0 }, { .n_text = 0 } };
    REF_OR_SKIP(path, "models/stories260K.gguf");
    link_close(l);
    char *folder = strdup(path);
    *strrchr(folder, '/') = 0;
    l = open_link((struct link_options){ .threads = 1, .folders = (const char *const[]){ folder }, .n_folders = 1 });
    static const char *const asked[] = { "\"prompt\":\"Once\"",
                                         "\"messages\":[{\"role\":\"user\",\"content\":\"Once\"}],\"completes\":true" };
    for (int i = 0; i < 2; i++) {
        snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",%s,\"options\":{\"temperature\":0,\"max_tokens\":3}}",
                 path, asked[i]);
        run_job(l, &k[i], job);
        assert_string_equal(k[i].message, "");
    }
    assert_int_equal(k[0].text[0].len, k[1].text[0].len);
    assert_memory_equal(k[0].text[0].data, k[1].text[0].data, k[0].text[0].len);
    kept_release(&k[0]);
    kept_release(&k[1]);
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"messages\":[{\"role\":\"user\",\"content\":\"abc\"}]}",
             path);
    refused(job, "unsupported", "no chat template");
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"infill\":{\"prefix\":\"a\",\"suffix\":\"b\"}}", path);
    refused(job, "unsupported", "does not support insert: ");
    free(folder);
}

static void models_come_and_go(void **unused)
{
    (void)unused;
    NEED_LINK();
    char job[1024];
    struct json *all;
    assert_null(state_of(model[0], &all));
    json_free(all);
    snprintf(job, sizeof job, "{\"op\":\"info\",\"model\":\"%s\"}", model[0]);
    struct json *info = done(job);
    assert_string_equal(json_str(json_get(info, "architecture"), NULL), "llama");
    assert_int_equal(json_int(json_get(info, "n_ctx")), 1024);
    assert_true(json_bool(json_get(info, "has_template")));
    assert_non_null(strstr(json_str(json_get(info, "chat_template"), NULL), "im_start"));
    json_free(info);
    assert_null(state_of(model[0], &all));                     /* looking at it loads nothing */
    json_free(all);
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"abc\",\"only_loaded\":true}", model[0]);
    refused(job, "invalid", "is not loaded");
    assert_null(state_of(model[0], &all));
    json_free(all);
    snprintf(job, sizeof job, "{\"op\":\"load\",\"model\":\"%s\",\"pin\":true,\"load\":{\"num_ctx\":128}}", model[0]);
    json_free(done(job));
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"load\":{\"num_ctx\":128},\"prompt\":\"abc\","
             "\"only_loaded\":true,\"options\":{\"max_tokens\":5,\"ignore_eos\":true}}", model[0]);
    json_free(done(job));
    const struct json *m = state_of(model[0], &all);
    assert_string_equal(json_str(json_get(m, "state"), NULL), "ready");
    assert_true(json_bool(json_get(m, "pinned")));
    assert_int_equal(json_int(json_get(m, "n_ctx")), 128);
    assert_true(json_int(json_get(m, "bytes")) > 10000);
    assert_int_equal(json_int(json_get(json_get(m, "stats"), "requests")), 1);
    assert_int_equal(json_int(json_get(json_get(m, "stats"), "answer_tokens")), 5);
    assert_true(json_int(json_get(json_get(all, "memory"), "limit")) > 0);
    json_free(all);
    snprintf(job, sizeof job, "{\"op\":\"unload\",\"model\":\"%s\"}", model[0]);
    json_free(done(job));
    wait_until_gone(model[0]);
    json_free(done(job));                                      /* it is not there already */
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"abc\",\"keep_alive\":0,"
             "\"options\":{\"max_tokens\":2}}", model[1]);
    json_free(done(job));
    wait_until_gone(model[1]);
}

static void damaged_files_and_wrong_loads(void **unused)
{
    (void)unused;
    NEED_LINK();
    char job[1024], path[500];
    snprintf(path, sizeof path, "%s/bad.gguf", dir);
    FILE *f = fopen(path, "w");
    fwrite("GGUF\3\0\0\0", 1, 8, f);
    fclose(f);
    snprintf(job, sizeof job, "{\"op\":\"load\",\"model\":\"%s\"}", path);
    refused(job, "engine", "bad.gguf");
    snprintf(job, sizeof job, "{\"op\":\"info\",\"model\":\"%s\"}", path);
    refused(job, "engine", "bad.gguf");
    refused("{\"op\":\"load\",\"model\":\"embedded\",\"load\":{\"kv_type\":\"q1\"}}", "invalid", "load.kv_type");
    refused("{\"op\":\"load\",\"model\":\"embedded\",\"load\":{\"rope_scaling\":\"x\"}}", "invalid", "load.rope_scaling");
    refused("{\"op\":\"load\",\"model\":\"embedded\",\"load\":{\"adapters\":[{\"scale\":1}]}}", "invalid", "path is missing");
    refused("{\"op\":\"load\",\"model\":\"embedded\",\"pin\":3}", "invalid", "pin");
    refused("{\"op\":\"unload\"}", "invalid", "model");
    refused("{\"op\":\"status\",\"model\":\"embedded\",\"all\":true}", "invalid", "all");
    refused("{\"op\":\"stop_thinking\",\"job\":99999}", "not_found", "99999");
    refused("{\"op\":\"stop_thinking\"}", "invalid", "job is missing");
    snprintf(job, sizeof job, "{\"op\":\"adapters\",\"model\":\"embedded\",\"use\":[{\"path\":\"%s\"}]}", path);
    refused(job, "engine", "bad.gguf");
    json_free(done("{\"op\":\"adapters\",\"model\":\"embedded\",\"use\":[]}"));
}

/* ---- how far answers are, and models ---- */

static struct lock watching;
static struct buf watched;

static void watch(void *arg, const struct json *event)
{
    (void)arg;
    lock_take(&watching);
    buf_printf(&watched, "%s ", event ? json_str(json_get(event, "state"), NULL) : "died");
    lock_give(&watching);
}

static bool has_come(const char *text)
{
    lock_take(&watching);
    bool yes = watched.data && strstr(watched.data, text);
    lock_give(&watching);
    return yes;
}

static void models_are_told_of(void **unused)
{
    (void)unused;
    NEED_LINK();
    char job[1024];
    link_watch(l, watch, NULL);
    snprintf(job, sizeof job, "{\"op\":\"load\",\"model\":\"%s\",\"load\":{\"num_ctx\":96}}", model[0]);
    json_free(done(job));
    snprintf(job, sizeof job, "{\"op\":\"unload\",\"model\":\"%s\"}", model[0]);
    json_free(done(job));
    for (int i = 0; i < 2000 && !has_come("gone"); i++) fs_sleep_ms(5);
    if (!has_come("loading ") || !has_come("ready gone ")) fail_msg("%s", watched.data);
    struct link_state s;
    link_state(l, &s);
    kill((pid_t)s.pid, SIGKILL);
    for (int i = 0; i < 2000 && !has_come("died"); i++) fs_sleep_ms(5);
    assert_true(has_come("gone died "));
    link_watch(l, NULL, NULL);
    buf_release(&watched);
}

static void answers_are_told_of(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 };
    struct err e;
    struct json *all;
    char job[1024];
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"prompt\":\"abc\",\"user\":\"me\",\"options\":"
             "{\"max_tokens\":200,\"ignore_eos\":true,\"stop\":[\"no such\"],\"seed\":4}}", model[0]);
    const struct json *a = NULL;
    for (int i = 0; i < 50 && !a; i++) {               /* it may be over before it is asked about */
        if (submit_job(l, &k, job, &e) < 0) fail_msg("%s", e.msg);
        while (!atomic_load(&k.texts) && !atomic_load(&k.over)) fs_sleep_ms(1);
        a = json_at(json_get(state_of(model[0], &all), "answers"), 0);
        if (!a || !json_int(json_get(a, "tokens"))) {
            a = NULL;
            json_free(all);
        }
        wait_job(&k);
        kept_release(&k);
    }
    assert_non_null(a);
    assert_string_equal(json_str(json_get(a, "user"), NULL), "me");
    assert_in_range(json_int(json_get(a, "tokens")), 1, 200);
    assert_int_equal(json_int(json_get(a, "max_tokens")), 200);
    assert_true(json_int(json_get(a, "job")) > 0);
    assert_int_equal(json_type(json_get(a, "new_line")), JSON_BOOL);
    assert_true(json_bool(json_get(a, "speculative")));
    assert_int_equal(json_int(json_get(json_get(a, "options"), "seed")), 4);
    assert_string_equal(json_str(json_at(json_get(json_get(a, "options"), "stop"), 0), NULL), "no such");
    const struct json *m = json_at(json_get(all, "models"), 0);
    assert_true(json_int(json_get(m, "steps")) > 0 && json_int(json_get(m, "step_texts")) > 0);
    json_free(all);
}

/* A policy that would cut the prompt does not, where all of it is wanted. */
static void a_whole_prompt_or_none(void **unused)
{
    (void)unused;
    NEED_LINK();
    char job[2048], prompt[400];
    memset(prompt, 'a', sizeof prompt - 1);
    prompt[sizeof prompt - 1] = 0;
    for (int whole = 0; whole < 2; whole++) {
        snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"%s\",\"load\":{\"num_ctx\":64},\"prompt\":\"%s\",%s"
                 "\"options\":{\"context_policy\":\"shift\",\"max_tokens\":80,\"ignore_eos\":true}}", model[0], prompt,
                 whole ? "\"whole_prompt\":true," : "");
        if (whole) refused(job, "context", "leaves no room");
        else {
            struct json *d = done(job);
            assert_int_equal(json_int(json_get(d, "answer_tokens")), 80);      /* more than the context holds */
            json_free(d);
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(tokens_and_text),
    cmocka_unit_test(a_prompt_by_the_template),
    cmocka_unit_test(vectors),
    cmocka_unit_test(scores),
    cmocka_unit_test(lines_end_answers),
    cmocka_unit_test(what_a_file_says),
    cmocka_unit_test(models_come_and_go),
    cmocka_unit_test(damaged_files_and_wrong_loads),
    cmocka_unit_test(answers_are_told_of),
    cmocka_unit_test(a_whole_prompt_or_none),
    cmocka_unit_test(models_are_told_of),
    cmocka_unit_test(texts_that_only_go_on),          /* the last: it opens another */
};
int main(void) { return cmocka_run_group_tests(tests, open_one, close_one); }
