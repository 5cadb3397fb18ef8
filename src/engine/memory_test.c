/* memory_test.c - in every public call that allocates, the first, second, ... allocation fails until it succeeds: an error that
 * says so, nothing left behind, and the same answers afterwards.  (Engines and pools: sched_test.c, models_test.c; adapters:
 * adapter_test.c; the opening of models and sessions: engine_test.c.) */
#include <sys/stat.h>
#include <unistd.h>

#include "tests/engine_fixture.h"

static struct hearth_model *m, *draft;
static struct hearth_session *s, *other;          /* with a text, and of the draft */
static char folder[80], one_file[100];

/* ---- the calls ---- */

static int tokens(struct hearth_error *e)
{
    int32_t *out = NULL;
    char *text = NULL;
    size_t n;
    int rc = hearth_tokenize(m, "some words, <|im_end|>", 22, HEARTH_TOKENIZE_PARSE, &out, &n, e);
    if (rc == 0) rc = hearth_detokenize(m, out, n, true, &text, &n, e);
    hearth_free(out);
    hearth_free(text);
    return rc;
}

static int decoder(struct hearth_error *e)
{
    static const char *const words[] = { "stop", "end" };
    struct hearth_decoder *d;
    int rc = hearth_decoder_open(&d, m, false, false, e);
    if (rc < 0) return rc;
    rc = hearth_decoder_watch(d, words, 2, words + 1, 1, e);
    for (int i = 0; rc == 0 && i < 40; i++) hearth_decoder_push(d, 'a' + i % 26);
    hearth_decoder_close(d);
    return rc;
}

static int prompt(struct hearth_error *e)
{
    static const struct hearth_message messages[] = { { "system", "be" }, { "user", "say" } };
    int32_t *out;
    size_t n;
    int rc = hearth_chat_prompt(m, messages, 2, &out, &n, e);
    hearth_free(out);
    return rc;
}

static void hear(void *arg, const struct hearth_chat_event *e) { (void)arg, (void)e; }

static int chat(struct hearth_error *e)
{
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]}";
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{}}}]";
    static const struct hearth_chat_message say[] = { { .role = "user", .content = "hi" } };
    const struct hearth_chat_request r = { .messages = say, .n = 1, .tools = tools, .form = HEARTH_GRAMMAR_SCHEMA,
                                           .form_text = schema, .n_form_text = sizeof schema - 1, .room = 4000 };
    struct hearth_chat *c, *fork = NULL;
    struct hearth_sampler *p = NULL;
    bool held;
    size_t n;
    int rc = hearth_chat_open(&c, m, &r, e);
    if (rc == 0) rc = hearth_chat_fork(&fork, c, e);
    if (rc == 0) rc = hearth_sampler_open(&p, m, NULL, e);
    if (rc == 0) hearth_chat_ids(c, &n);
    if (rc == 0) rc = hearth_chat_hold(fork, p, n, &held, e);
    for (const char *t = "{\"a\": 12}"; rc == 0 && *t; t++) rc = hearth_chat_push(fork, (uint8_t)*t, hear, NULL, e);
    if (rc == 0) rc = hearth_chat_push(fork, -1, hear, NULL, e);
    hearth_sampler_close(p);
    hearth_chat_close(fork);
    hearth_chat_close(c);
    return rc;
}

static int sampler(struct hearth_error *e)
{
    struct hearth_sampler *p;
    struct hearth_sampler_options o;
    hearth_sampler_defaults(m, &o);
    o.repeat_penalty = 1.1f, o.dry_multiplier = 0.5f, o.xtc_probability = 0.3f, o.mirostat = 2;
    int rc = hearth_sampler_open(&p, m, &o, e);
    if (rc == 0) rc = hearth_sampler_bias(p, 7, 2, e);
    if (rc == 0) rc = hearth_sampler_forbid(p, 60, 9, e);
    for (int i = 0; rc == 0 && i < 3; i++) assert_in_range(hearth_sampler_pick(p, s), 0, TINY_VOCAB - 1);
    hearth_sampler_close(p);
    return rc;
}

/* Of another length each time, so that no mask is known yet. */
static int grammar(struct hearth_error *e)
{
    static const char *const words[] = { "yes", "no" };
    static int many;
    char text[64];
    struct hearth_grammar *g = NULL, *choice = NULL;
    struct hearth_sampler *p = NULL;
    int32_t out[8];
    size_t n;
    snprintf(text, sizeof text, "[a-f]{2,%d}(gh|ij)+", 4 + many++);
    int rc = hearth_grammar_open(&g, m, HEARTH_GRAMMAR_REGEX, text, strlen(text), e);
    if (rc == 0) rc = hearth_grammar_open_choices(&choice, m, words, 2, e);
    if (rc == 0) rc = hearth_sampler_open(&p, m, NULL, e);
    if (rc == 0) rc = hearth_sampler_set_grammar(p, g, 60, "</t>", e);
    if (rc == 0) rc = hearth_sampler_set_grammar(p, g, 60, NULL, e);
    if (rc == 0) rc = hearth_sampler_forced(p, s, out, 8, &n, e);
    if (rc == 0 && hearth_sampler_pick(p, s) < 0) rc = hearth_sampler_grammar_state(p, s, e);
    hearth_sampler_close(p);
    hearth_grammar_close(choice);
    hearth_grammar_close(g);
    return rc;
}

/* Without memory the other model guesses nothing: no error. */
static int speculator(struct hearth_error *e)
{
    struct hearth_speculator *p;
    int32_t out[4];
    int rc = hearth_speculator_open(&p, s, 3, e);
    if (rc == 0) rc = hearth_speculator_set_draft(p, other, e);
    if (rc == 0 && !hearth_speculator_draft(p, ids, 60, out, 3)) rc = HEARTH_ENOMEM;
    hearth_speculator_close(p);
    return rc;
}

static int check_draft(struct hearth_error *e)
{
    char own[64];
    snprintf(own, sizeof own, "%s", model_path(1));
    return hearth_draft_check(own, model_path(8), e);
}

static int save(struct hearth_error *e) { return hearth_cache_save(s, folder, 1 << 20, e); }

static int load(struct hearth_error *e)
{
    size_t found;
    hearth_cache_clear(m);
    int rc = hearth_cache_load(s, folder, ids, 60, &found, e);
    return rc == 0 && !found ? HEARTH_ENOMEM : rc;            /* what cannot be read is passed over */
}

static int save_file(struct hearth_error *e)
{
    size_t n;
    uint64_t bytes;
    return hearth_cache_save_file(s, one_file, &n, &bytes, e);
}

static int load_file(struct hearth_error *e)
{
    int32_t *out;
    size_t n;
    uint64_t bytes;
    hearth_cache_clear(m);
    int rc = hearth_cache_load_file(s, one_file, &out, &n, &bytes, e);
    if (rc == 0) assert_int_equal(n, 60);
    hearth_free(out);
    return rc;
}

static int embed(struct hearth_error *e)
{
    static float out[512];
    struct hearth_embed_item it = { ids, 30, 0, out };
    return hearth_embed(m, &it, 1, NULL, e);
}

static int needs(struct hearth_error *e)
{
    struct hearth_needs out;
    return hearth_model_needs(model_path(9), NULL, &out, e);
}

/* A state is copied, and gone back to. */
static int go_back(struct hearth_error *e)
{
    struct hearth_session *t;
    int rc = hearth_session_open(&t, draft, &(struct hearth_session_options){ .n_ctx = 128, .n_logits = 4 }, e);
    if (rc == 0) rc = hearth_session_sync(t, ids, 40, e);
    if (rc == 0) rc = hearth_session_append(t, ids, 4, e);
    if (rc == 0) rc = hearth_session_drop(t, 2, e);
    hearth_session_close(t);
    return rc;
}

static const struct { const char *name; int (*fn)(struct hearth_error *e); bool grows; } calls[] = {
    { "tokens", tokens, false }, { "decoder", decoder, false }, { "prompt", prompt, false }, { "chat", chat, false },
    { "sampler", sampler, false }, { "grammar", grammar, true }, { "speculator", speculator, false },
    { "draft_check", check_draft, false }, { "save", save, false }, { "load", load, true }, { "save_file", save_file, false },
    { "load_file", load_file, true }, { "embed", embed, false }, { "needs", needs, false },
    { "go_back", go_back, true },
};

/* ---- what must hold ---- */

/* Once from cold, and once more when what a model keeps is there: then nothing may be left behind. */
static void every_call_fails_cleanly(void **state)
{
    (void)state;
    uint64_t want = sync_hash(s, 60);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        for (int warm = 0; warm < 2; warm++) {
            struct hearth_error e = { 0 };
            int rc = -1;
            uint32_t failed = 0;
            for (int64_t n = 0; rc < 0; n += 1 + n / 24) {
                const int64_t before = mem_thread_bytes();
                assert_in_range(n, 0, 100000);
                mem_fail_after(n);
                rc = calls[i].fn(&e);
                mem_fail_after(-1);
                if (rc < 0 && rc != HEARTH_ENOMEM) fail_msg("%s, allocation %d: %d %s", calls[i].name, (int)n, rc, e.message);
                if (warm && !calls[i].grows && mem_thread_bytes() != before)
                    fail_msg("%s, allocation %d: %d bytes stay", calls[i].name, (int)n, (int)(mem_thread_bytes() - before));
                failed += rc < 0;
            }
            if (!failed) fail_msg("%s allocates nothing", calls[i].name);
            hearth_cache_clear(m);
            assert_true(sync_hash(s, 60) == want);
        }
}

static int begin(void **state)
{
    struct hearth_error e;
    if (setup(state) < 0) return -1;
    snprintf(folder, sizeof folder, "%s/past", dir);
    snprintf(one_file, sizeof one_file, "%s/one", dir);
    m = open_model(1, NULL, 1);
    draft = open_model(8, NULL, 1);
    s = open_session(m, 0);
    return mkdir(folder, 0700) || hearth_session_open(&other, draft, &(struct hearth_session_options){ .n_ctx = 256 }, &e);
}

static int end(void **state)
{
    char command[120];
    hearth_session_close(s);
    hearth_session_close(other);
    hearth_model_close(m);
    hearth_model_close(draft);
    unlink(one_file);
    snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command) || teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_call_fails_cleanly) };
    return cmocka_run_group_tests(tests, begin, end);
}
