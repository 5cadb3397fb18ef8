/* Answers of a random model under a grammar: what it promises, taking back, forced tokens, errors. */
#include "tests/engine_fixture.h"

#include "base/json.h"
#include "tests/grammar.h"

static const char schema[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":8},"
    "\"n\":{\"type\":\"integer\",\"minimum\":-5,\"maximum\":20},"
    "\"l\":{\"type\":\"array\",\"items\":{\"enum\":[\"a\",null]},\"maxItems\":3}},\"required\":[\"name\",\"l\"]}";

static struct hearth_grammar *open_grammar(struct hearth_model *m, int kind, const char *text)
{
    struct hearth_grammar *g;
    struct hearth_error e;
    if (hearth_grammar_open(&g, m, kind, text, strlen(text), &e) < 0) fail_msg("%s", e.message);
    return g;
}

static struct hearth_sampler *open_sampler(struct hearth_model *m, uint64_t seed, float temperature)
{
    struct hearth_sampler *s;
    struct hearth_sampler_options o;
    hearth_sampler_defaults(m, &o);
    o.temperature = temperature;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    o.seed = seed;
    assert_int_equal(hearth_sampler_open(&s, m, &o, NULL), 0);
    return s;
}

/* Appends tokens until the answer ends; its text is the caller's (hearth_free). */
static char *answer(struct hearth_model *m, struct hearth_session *s, struct hearth_sampler *p, size_t from, bool jump)
{
    struct hearth_error e;
    size_t n;
    char *text;
    int state = 0;
    for (int k = 0; k < 120 && (state = hearth_sampler_grammar_state(p, s, &e)) == 0; k++) {
        int32_t next[16];
        n = 0;
        if (jump) assert_int_equal(hearth_sampler_forced(p, s, next, 16, &n, &e), 0);
        if (!n) next[n++] = hearth_sampler_pick(p, s);
        if (next[0] < 0) fail_msg("%d", hearth_sampler_grammar_state(p, s, &e));
        if (hearth_token_is_end(m, next[0])) break;
        assert_int_equal(hearth_session_append(s, next, n, &e), 0);
    }
    assert_true(state >= 0);
    const int32_t *all = hearth_session_ids(s, &n);
    assert_int_equal(hearth_detokenize(m, all + from, n - from, false, &text, &n, &e), 0);
    return text;
}

static void answers_keep_the_schema(void **unused)
{
    (void)unused;
    struct hearth_model *m = open_model(1, NULL, 1);
    struct hearth_session *s = open_session(m, 0);
    struct hearth_grammar *g = open_grammar(m, HEARTH_GRAMMAR_SCHEMA, schema);
    struct grammar *plain;
    struct hearth_error e;
    assert_int_equal(grammar_from_schema(&plain, schema, strlen(schema), NULL), 0);
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct hearth_sampler *p = open_sampler(m, seed, seed % 4 ? 1.5f : 0);
        assert_int_equal(hearth_session_sync(s, ids, 5, &e), 0);
        assert_int_equal(hearth_sampler_set_grammar(p, g, 5, NULL, &e), 0);
        char *text = answer(m, s, p, 5, seed % 2), *again;
        enum verdict v = grammar_verdict(plain, text, strlen(text));
        if (v == V_DEAD) fail_msg("%s", text);
        if (hearth_sampler_grammar_state(p, s, &e) == 1) {
            struct json *j;
            if (json_parse(&j, text, strlen(text), NULL) < 0 || v != V_WHOLE) fail_msg("%s", text);
            json_free(j);
        }
        /* The same sampler on the same text again: what it saw in between does not matter. */
        assert_int_equal(hearth_session_sync(s, ids, 5, &e), 0);
        again = answer(m, s, p, 5, seed % 2);
        assert_string_equal(text, again);
        hearth_free(text);
        hearth_free(again);
        hearth_sampler_close(p);
    }
    grammar_free(plain);
    hearth_grammar_close(g);
    hearth_session_close(s);
    hearth_model_close(m);
}

static void choices_and_triggers(void **unused)
{
    (void)unused;
    static const char *const choice[] = { "yes", "no" };
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_session *s = open_session(m, 0);
    struct hearth_grammar *g;
    struct hearth_error e;
    assert_int_equal(hearth_grammar_open_choices(&g, m, choice, 2, &e), 0);
    struct hearth_sampler *p = open_sampler(m, 7, 1.5f);
    assert_int_equal(hearth_session_sync(s, ids, 5, &e), 0);
    assert_int_equal(hearth_sampler_set_grammar(p, g, 5, NULL, &e), 0);
    char *text = answer(m, s, p, 5, false);
    assert_true(!strcmp(text, "yes") || !strcmp(text, "no"));
    hearth_free(text);
    /* A guess behind the whole answer is no part of it. */
    assert_int_equal(hearth_session_append(s, &(int32_t){ 'x' }, 1, &e), 0);
    assert_int_equal(hearth_sampler_grammar_state_at(p, s, 1, &e), 1);
    assert_int_equal(hearth_sampler_grammar_state(p, s, &e), HEARTH_EARG);
    /* Behind a text: free before it, except the end. */
    assert_int_equal(hearth_session_sync(s, ids, 5, &e), 0);
    assert_int_equal(hearth_sampler_set_grammar(p, g, 5, "</t>", &e), 0);
    for (int k = 0; k < 30; k++) {
        int32_t id = hearth_sampler_pick(p, s);
        assert_true(id >= 0 && !hearth_token_is_end(m, id));
        assert_int_equal(hearth_session_append(s, &id, 1, &e), 0);
    }
    int32_t trigger[4] = { '<', '/', 't', '>' };
    for (int k = 0; k < 4; k++) {
        size_t n;
        hearth_session_ids(s, &n);
        assert_int_equal(hearth_session_append(s, &trigger[k], 1, &e), 0);
    }
    int32_t id = hearth_sampler_pick(p, s);
    if (id != 'y' && id != 'n') fail_msg("%d", id);
    /* A text that does not fit is an error of this sampler only. */
    assert_int_equal(hearth_session_append(s, &(int32_t){ 'x' }, 1, &e), 0);
    assert_int_equal(hearth_sampler_pick(p, s), -1);
    assert_int_equal(hearth_sampler_grammar_state(p, s, &e), HEARTH_EARG);
    /* Bans win: nothing is left. */
    assert_int_equal(hearth_session_sync(s, ids, 5, &e), 0);
    assert_int_equal(hearth_sampler_set_grammar(p, g, 5, NULL, &e), 0);
    assert_int_equal(hearth_sampler_bias(p, 'y', -INFINITY, &e), 0);
    assert_int_equal(hearth_sampler_bias(p, 'n', -INFINITY, &e), 0);
    assert_int_equal(hearth_sampler_pick(p, s), -1);
    assert_int_equal(hearth_sampler_grammar_state(p, s, &e), HEARTH_ENOTFOUND);
    hearth_sampler_close(p);
    hearth_grammar_close(g);
    hearth_session_close(s);
    hearth_model_close(m);
}

static void refused(void **unused)
{
    (void)unused;
    struct hearth_model *m = open_model(0, NULL, 1);
    struct hearth_grammar *g;
    struct hearth_error e;
    assert_int_equal(hearth_grammar_open(&g, m, HEARTH_GRAMMAR_SCHEMA, "{\"contains\":{}}", 15, &e), HEARTH_EUNSUPPORTED);
    assert_null(g);
    assert_non_null(strstr(e.message, "/contains"));
    assert_int_equal(hearth_grammar_open(&g, m, 99, "", 0, &e), HEARTH_EARG);
    assert_int_equal(hearth_grammar_open(&g, m, HEARTH_GRAMMAR_JSON, NULL, 0, &e), 0);
    hearth_grammar_close(g);
    hearth_model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_keep_the_schema), cmocka_unit_test(choices_and_triggers), cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
