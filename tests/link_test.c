/* link_test.c - the engine as a process of its own: answers, their events, cancelling, deadlines, limits, what is refused. */
#include "tests/link_fixture.h"

#include <sys/stat.h>

#include "tests/tiny_model.h"

#define HELLO "\"model\":\"embedded\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello, who are you?\"}]"

static struct link *l;

static int open_one(void **unused)
{
    (void)unused;
    if (getenv("PROGRAM") && !(getenv("EMULATOR") && *getenv("EMULATOR")))
        l = open_link((struct link_options){ .threads = 1 });
    return 0;
}

static int close_one(void **unused)
{
    (void)unused;
    link_close(l);
    return 0;
}

/* What the library answers to the same. */
static char *library_answer(uint64_t seed, uint32_t max)
{
    struct hearth_model *m;
    struct hearth_session *s;
    struct hearth_sampler *p;
    struct hearth_decoder *d;
    struct hearth_error e;
    struct hearth_message msg = { "user", "Hello, who are you?" };
    struct hearth_sampler_options so;
    struct buf out = { 0 };
    int32_t *ids;
    size_t n;
    if (hearth_model_open_embedded(&m, NULL, &e) < 0 || hearth_session_open(&s, m, NULL, &e) < 0) fail_msg("%s", e.message);
    assert_int_equal(hearth_chat_prompt(m, &msg, 1, &ids, &n, &e), 0);
    hearth_sampler_defaults(m, &so);
    so.seed = seed;
    so.temperature = 1;
    assert_int_equal(hearth_sampler_open(&p, m, &so, &e), 0);
    assert_int_equal(hearth_decoder_open(&d, m, false, false, &e), 0);
    assert_int_equal(hearth_session_sync(s, ids, n, &e), 0);
    for (uint32_t i = 0; i < max; i++) {
        int32_t id = hearth_sampler_pick(p, s);
        if (hearth_token_is_end(m, id)) break;
        buf_puts(&out, hearth_decoder_push(d, id));
        assert_int_equal(hearth_session_append(s, &id, 1, &e), 0);
    }
    buf_puts(&out, hearth_decoder_push(d, -1));
    hearth_free(ids);
    hearth_decoder_close(d);
    hearth_sampler_close(p);
    hearth_session_close(s);
    hearth_model_close(m);
    return buf_take(&out);
}

static void answers_are_those_of_the_library(void **unused)
{
    (void)unused;
    NEED_LINK();
    for (uint64_t seed = 1; seed < 4; seed++) {
        struct kept k = { .n_text = 0 };
        char job[512], *want = library_answer(seed, 40);
        snprintf(job, sizeof job, "{\"op\":\"generate\"," HELLO ",\"options\":{\"seed\":%d,\"temperature\":1,\"max_tokens\":40}}",
                 (int)seed);
        run_job(l, &k, job);
        assert_string_equal(k.message, "");
        assert_string_equal(text_of(&k, 0), want);
        assert_true(!strcmp(k.reason[0], "stop") || !strcmp(k.reason[0], "length"));
        assert_int_equal(k.n_start, 1);
        assert_int_equal(json_int(json_get(k.done, "answer_tokens")), k.tokens[0]);
        assert_true(json_int(json_get(k.done, "prompt_tokens")) > 4);
        assert_true(json_int(json_get(json_get(k.done, "timings"), "prompt_ns")) > 0);
        mem_free(want);
        kept_release(&k);
    }
}

static void several_completions_have_seeds_in_a_row(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 };
    run_job(l, &k, "{\"op\":\"generate\"," HELLO ",\"n\":3,\"options\":{\"seed\":1,\"temp\":1.0,\"max_tokens\":20}}");
    for (uint64_t i = 0; i < 3; i++) {
        char *want = library_answer(1 + i, 20);
        assert_string_equal(text_of(&k, (int)i), want);
        mem_free(want);
    }
    kept_release(&k);
}

static const char *const plain = "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Once upon a time\","
                                 "\"options\":{\"temperature\":0,\"max_tokens\":30}}";

/* The first `words` words of the plain answer. */
static void stop_strings_and_banned_phrases(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 }, s = { .n_text = 0 }, b = { .n_text = 0 };
    char job[512], word[16];
    run_job(l, &k, plain);
    assert_true(k.text[0].len > 40);
    snprintf(word, sizeof word, "%.5s", k.text[0].data + 20);
    for (char *c = word; *c; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < 32) skip();
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Once upon a time\",\"want_ids\":true,"
             "\"logprobs\":2,\"options\":{\"temperature\":0,\"max_tokens\":30,\"stop\":[\"@@@\",\"%s\"]}}", word);
    run_job(l, &s, job);
    const char *at = strstr(text_of(&k, 0), word);
    assert_int_equal(s.text[0].len, at - text_of(&k, 0));
    assert_memory_equal(text_of(&s, 0), text_of(&k, 0), s.text[0].len);
    assert_string_equal(s.reason[0], "stop");
    assert_string_equal(s.stop[0], word);
    snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Once upon a time\",\"want_ids\":true,"
             "\"logprobs\":1,\"options\":{\"temperature\":0,\"max_tokens\":30,\"ban\":[\"%s\"]}}", word);
    run_job(l, &b, job);
    assert_string_equal(b.message, "");
    assert_null(strstr(text_of(&b, 0), word));
    assert_int_equal(b.tokens[0], 30);
    kept_release(&k);
    kept_release(&s);
    kept_release(&b);
}

/* Every token is told of once, with its log-probability, and the texts of the tokens make the answer. */
static void every_token_is_told_of_once(void **unused)
{
    (void)unused;
    NEED_LINK();
    static const char *const extra[] = { "", ",\"ban\":[\"the \",\"was\"]", ",\"stop\":[\"@@@@@@@@@@\"]" };
    for (size_t x = 0; x < 3; x++) {
        struct kept k = { .n_text = 0 };
        char job[512], *line, *save = NULL;
        struct buf text = { 0 };
        size_t n = 0;
        snprintf(job, sizeof job, "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":\"Once upon a time\",\"want_ids\":true,"
                 "\"logprobs\":3,\"options\":{\"seed\":5,\"temperature\":1,\"max_tokens\":40%s}}", extra[x]);
        run_job(l, &k, job);
        assert_string_equal(k.message, "");
        for (line = strtok_r(k.all.data, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
            struct json *e = job_of(line), *ids = json_get(e, "ids"), *lp = json_get(e, "logprobs");
            assert_int_equal(json_len(ids), json_len(lp));
            for (size_t i = 0; i < json_len(lp); i++, n++) {
                const struct json *one = json_at(lp, i), *top = json_get(one, "top"), *bytes = json_get(one, "bytes");
                assert_int_equal(json_int(json_get(one, "id")), json_int(json_at(ids, i)));
                assert_int_equal(json_len(top), 3);
                assert_true(json_num(json_get(one, "logprob")) <= json_num(json_get(json_at(top, 0), "logprob")));
                assert_true(json_num(json_get(json_at(top, 1), "logprob")) >= json_num(json_get(json_at(top, 2), "logprob")));
                for (size_t b = 0; b < json_len(bytes); b++) buf_putc(&text, (char)json_int(json_at(bytes, b)));
            }
            json_free(e);
        }
        assert_int_equal(n, k.tokens[0]);
        assert_string_equal(text.data, text_of(&k, 0));
        buf_release(&text);
        kept_release(&k);
    }
}

static void cancel_and_deadline(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .cancel_after = 3 }, d = { .n_text = 0 }, g = { .n_text = 0 };
    uint64_t start = os_now_ns();
    run_job(l, &k, "{\"op\":\"generate\"," HELLO ",\"options\":{\"ignore_eos\":true,\"max_tokens\":3000}}");
    assert_string_equal(k.reason[0], "cancelled");
    assert_true(k.n_text >= 3 && k.n_text < 500);
    run_job(l, &d, "{\"op\":\"generate\"," HELLO ",\"deadline_ms\":50,\"options\":{\"ignore_eos\":true,\"max_tokens\":4000}}");
    assert_true(!strcmp(d.reason[0], "deadline") || !strcmp(d.kind, "deadline"));
    assert_true(os_now_ns() - start < UINT64_C(60000000000));
    link_cancel(l, k.id);
    link_cancel(l, 123456789);
    run_job(l, &g, "{\"op\":\"generate\"," HELLO ",\"options\":{\"max_tokens\":0}}");
    assert_string_equal(g.reason[0], "length");
    assert_int_equal(g.tokens[0], 0);
    assert_int_equal(g.n_text, 0);
    kept_release(&k);
    kept_release(&d);
    kept_release(&g);
}

static void forms(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 };
    run_job(l, &k, "{\"op\":\"generate\"," HELLO ",\"format\":{\"type\":\"choices\",\"choices\":[\"blue\",\"green\"]}}");
    assert_true(!strcmp(text_of(&k, 0), "blue") || !strcmp(text_of(&k, 0), "green"));
    assert_string_equal(k.reason[0], "stop");
    kept_release(&k);
    run_job(l, &k, "{\"op\":\"generate\"," HELLO ",\"options\":{\"max_tokens\":60},\"format\":{\"type\":\"schema\",\"schema\":"
                   "{\"type\":\"object\",\"properties\":{\"n\":{\"type\":\"integer\",\"minimum\":3,\"maximum\":9}},"
                   "\"required\":[\"n\"]}}}");
    struct json *j = job_of(text_of(&k, 0));
    assert_true(json_int(json_get(j, "n")) >= 3 && json_int(json_get(j, "n")) <= 9);
    json_free(j);
    kept_release(&k);
}

static void what_is_wrong_is_said(void **unused)
{
    (void)unused;
    NEED_LINK();
    static const struct { const char *job, *kind, *word; } row[] = {
        { "{\"op\":\"fly\"}", "invalid", "fly" },
        { "{\"op\":\"generate\",\"model\":\"embedded\"}", "invalid", "messages, prompt" },
        { "{\"op\":\"generate\",\"prompt\":\"x\"}", "invalid", "model" },
        { "{\"op\":\"generate\"," HELLO ",\"colour\":1}", "invalid", "colour" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"top_k\":-1}}", "invalid", "options.top_k must be a whole number" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"top_k\":1.5}}", "invalid", "top_k" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"temperature\":1e308}}", "invalid", "from 0 to 100" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"seed\":-1}}", "invalid", "seed" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"nucleus\":1}}", "invalid", "options.nucleus" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"samplers\":\"xyzzy\"}}", "invalid", "xyzzy" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"stop\":[\"\"]}}", "invalid", "options.stop" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"stop\":\"x\"}}", "invalid", "list of strings" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"dry_sequence_breaker\":[\"a\\u0000\"]}}", "invalid", "zero byte" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"dry_sequence_breaker\":[7]}}", "invalid", "a string" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"logit_bias\":[[1]]}}", "invalid", "pair 1" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":{\"logit_bias\":[[1,2],[99999999,1]]}}", "invalid", "pair 2" },
        { "{\"op\":\"generate\"," HELLO ",\"options\":[]}", "invalid", "options must be an object" },
        { "{\"op\":\"generate\"," HELLO ",\"n\":0}", "invalid", "n must be" },
        { "{\"op\":\"generate\"," HELLO ",\"think\":\"hard\"}", "invalid", "think" },
        { "{\"op\":\"generate\"," HELLO ",\"deadline_ms\":-5}", "invalid", "deadline_ms" },
        { "{\"op\":\"generate\"," HELLO ",\"load\":{\"num_ctx\":\"big\"}}", "invalid", "load.num_ctx" },
        { "{\"op\":\"generate\",\"model\":\"embedded\",\"messages\":[{\"role\":7}]}", "invalid", "" },
        { "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":{}}", "invalid", "prompt" },
        { "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":[1,2,-3]}", "invalid", "-3" },
        { "{\"op\":\"generate\",\"model\":\"embedded\",\"prompt\":[]}", "invalid", "empty" },
        { "{\"op\":\"generate\",\"model\":\"/nowhere/x.gguf\",\"prompt\":\"x\"}", "not_found", "/nowhere/x.gguf" },
        { "{\"op\":\"generate\"," HELLO ",\"format\":{\"type\":\"regex\",\"text\":\"(\"}}", "invalid", "" },
        { "{\"op\":\"generate\"," HELLO ",\"format\":{\"type\":\"poem\"}}", "invalid", "format.type" },
        { "{\"op\":\"template\",\"model\":\"embedded\",\"prompt\":\"x\"}", "invalid", "messages" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct kept k = { .n_text = 0 };
        run_job(l, &k, row[i].job);
        if (strcmp(k.kind, row[i].kind) != 0 || !strstr(k.message, row[i].word))
            fail_msg("%s: %s: %s", row[i].job, k.kind, k.message);
        kept_release(&k);
    }
    struct link_state s;
    link_state(l, &s);
    assert_int_equal(s.n_restarts, 0);                         /* and that is all that comes of it */
    struct kept k = { .n_text = 0 };
    struct err e;
    assert_int_equal(submit_job(l, &k, "{}", &e), ERR_ARG);
}

static void a_prompt_that_is_too_long(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 };
    struct buf b = { 0 };
    buf_puts(&b, "{\"op\":\"generate\",\"model\":\"embedded\",\"load\":{\"num_ctx\":64},\"prompt\":[");
    for (int i = 0; i < 64; i++) buf_printf(&b, "%s%d", i ? "," : "", 65 + i % 20);
    buf_puts(&b, "]}");
    run_job(l, &k, b.data);
    assert_string_equal(k.kind, "context");
    assert_non_null(strstr(k.message, "64"));
    kept_release(&k);
    b.data[b.len - 3] = ' ';                                   /* one token less: there is room for one */
    b.data[b.len - 4] = ' ';
    b.data[b.len - 5] = ' ';
    run_job(l, &k, b.data);
    assert_string_equal(k.reason[0], "context");
    assert_int_equal(k.tokens[0], 1);
    kept_release(&k);
    buf_release(&b);
}

/* A conversation of n messages, the last of so many letters, in a context of 64 tokens. */
static void run_turns(struct kept *k, int n, int letters, const char *options)
{
    struct buf b = { 0 };
    buf_printf(&b, "{\"op\":\"generate\",\"model\":\"embedded\",\"load\":{\"num_ctx\":64},\"options\":%s,\"messages\":[",
               options);
    for (int i = 0; i < n; i++) {
        buf_printf(&b, "%s{\"role\":\"%s\",\"content\":\"", i ? "," : "", i % 2 ? "assistant" : "user");
        for (int c = 0; c < (i == n - 1 ? letters : 12); c++) buf_putc(&b, (char)('a' + c % 26));
        buf_puts(&b, "\"}");
    }
    buf_puts(&b, "]}");
    run_job(l, k, b.data);
    buf_release(&b);
}

static void run_prompt(struct kept *k, const char *options)
{
    struct buf b = { 0 };
    buf_printf(&b, "{\"op\":\"generate\",\"model\":\"embedded\",\"load\":{\"num_ctx\":64},\"options\":%s,\"prompt\":[", options);
    for (int i = 0; i < 100; i++) buf_printf(&b, "%s%d", i ? "," : "", 65 + i % 20);
    buf_puts(&b, "]}");
    run_job(l, k, b.data);
    buf_release(&b);
}

static const char *all_of(const struct kept *k) { return k->all.data ? k->all.data : ""; }

static void what_does_not_fit_is_cut(void **unused)
{
    (void)unused;
    NEED_LINK();
    struct kept k = { .n_text = 0 };
    run_prompt(&k, "{\"max_tokens\":10,\"ignore_eos\":true,\"context_policy\":\"stop\"}");
    assert_string_equal(k.kind, "context");
    kept_release(&k);
    run_prompt(&k, "{\"max_tokens\":10,\"ignore_eos\":true,\"context_policy\":\"middle\",\"n_keep\":7}");
    assert_string_equal(k.message, "");
    assert_int_equal(json_int(json_get(k.done, "prompt_tokens")), 54);
    assert_non_null(strstr(all_of(&k), "46 tokens, from number 7 on, did not fit"));
    assert_string_equal(k.reason[0], "length");
    kept_release(&k);
    run_prompt(&k, "{\"ignore_eos\":true,\"context_policy\":\"middle\"}");
    assert_string_equal(k.reason[0], "context");
    assert_int_equal(k.tokens[0], 16);
    kept_release(&k);
    run_prompt(&k, "{\"max_tokens\":80,\"ignore_eos\":true,\"context_policy\":\"shift\",\"n_keep\":-1}");
    assert_string_equal(k.reason[0], "length");
    assert_int_equal(k.tokens[0], 80);
    assert_non_null(strstr(strstr(all_of(&k), "did not fit") + 1, "did not fit"));
    kept_release(&k);
    run_prompt(&k, "{\"context_policy\":\"drop\"}");
    assert_string_equal(k.kind, "invalid");
    kept_release(&k);
    run_prompt(&k, "{\"context_policy\":\"other\"}");
    assert_non_null(strstr(k.message, "stop, drop, middle, shift"));
    kept_release(&k);
    run_turns(&k, 15, 8, "{\"max_tokens\":4,\"ignore_eos\":true}");
    assert_string_equal(k.kind, "context");
    kept_release(&k);
    run_turns(&k, 15, 8, "{\"max_tokens\":4,\"ignore_eos\":true,\"context_policy\":\"drop\"}");
    assert_string_equal(k.message, "");
    assert_true(json_int(json_get(k.done, "prompt_tokens")) <= 60);
    assert_int_equal(k.tokens[0], 4);
    assert_non_null(strstr(all_of(&k), " messages of "));
    kept_release(&k);
    run_turns(&k, 3, 300, "{\"context_policy\":\"drop\"}");
    assert_string_equal(k.kind, "context");
    kept_release(&k);
    run_turns(&k, 1, 4, "{\"max_tokens\":4,\"context_policy\":\"drop\"}");
    assert_string_equal(k.message, "");
    assert_null(strstr(all_of(&k), "did not fit"));
    kept_release(&k);
}

static void write_tiny(const char *path)
{
    assert_int_equal(tiny_model(path, (struct tiny){ .arch = "llama", .type = DT_Q8_0, .seed = 3 }), 0);
}

/* The engine of a real server: it answers, and reads only what it may. */
static void a_shut_in_engine_answers(void **unused)
{
    (void)unused;
    NEED_LINK();
    static const char ask[] = "{\"op\":\"generate\",\"model\":\"%s/%s/m.gguf\",\"prompt\":\"x\","
        "\"options\":{\"max_tokens\":4,\"ignore_end\":true}}";
    char dir[400], in[512], out[512], cache[512], job[1024];
    snprintf(dir, sizeof dir, "%s/hearth-link-XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    assert_non_null(mkdtemp(dir));
    snprintf(in, sizeof in, "%s/in", dir);
    snprintf(out, sizeof out, "%s/out", dir);
    snprintf(cache, sizeof cache, "%s/cache/of/texts", dir);
    mkdir(in, 0700);
    mkdir(out, 0700);
    const char *folders[] = { in, "/nowhere" };
    struct link *b = open_link((struct link_options){ .threads = 1, .folders = folders, .n_folders = 2, .cache_folder = cache });
    snprintf(job, sizeof job, "%s/m.gguf", in);                /* made after the engine had begun */
    write_tiny(job);
    snprintf(job, sizeof job, "%s/m.gguf", out);
    write_tiny(job);
    struct kept k = { .n_text = 0 };
    struct link_state s;
    link_state(b, &s);
    run_job(b, &k, "{\"op\":\"generate\"," HELLO ",\"n\":2,\"options\":{\"seed\":1,\"temperature\":1,\"max_tokens\":30}}");
    char *want = library_answer(1, 30);
    assert_string_equal(text_of(&k, 0), want);
    mem_free(want);
    kept_release(&k);
    snprintf(job, sizeof job, ask, dir, "in");
    run_job(b, &k, job);
    assert_string_equal(k.message, "");
    assert_true(k.tokens[0] > 0);
    kept_release(&k);
    snprintf(job, sizeof job, ask, dir, "out");
    run_job(b, &k, job);
    bool shut = strstr(s.sandbox, "read files outside") != NULL;
    assert_string_equal(k.kind, shut ? "engine" : "");
    if (shut) assert_non_null(strstr(k.message, "Permission denied"));
    if (!strstr(s.sandbox, "cannot open sockets") || !shut) print_message("# %s\n", s.sandbox);
    kept_release(&k);
    link_close(b);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(answers_are_those_of_the_library),
    cmocka_unit_test(several_completions_have_seeds_in_a_row),
    cmocka_unit_test(stop_strings_and_banned_phrases),
    cmocka_unit_test(every_token_is_told_of_once),
    cmocka_unit_test(cancel_and_deadline),
    cmocka_unit_test(forms),
    cmocka_unit_test(what_is_wrong_is_said),
    cmocka_unit_test(a_prompt_that_is_too_long), cmocka_unit_test(what_does_not_fit_is_cut),
    cmocka_unit_test(a_shut_in_engine_answers),
};
int main(void) { return cmocka_run_group_tests(tests, open_one, close_one); }
