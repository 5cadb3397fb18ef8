/* Masks of tokens: they agree with the text byte by byte, whatever the cut into tokens; ends, triggers, taking back. */
#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"
#include "tests/grammar.h"
#include "text/matcher.h"

struct setup { struct tiny_vocab tiny; struct vocab *v; struct grammar *g; struct matcher *m; };

static struct setup setup(enum tiny kind, const char *source, const struct matcher_options *o)
{
    struct setup s = { .tiny = tiny_open(kind, kind == TINY_BPE ? "qwen2" : "") };
    struct err e = { 0 };
    if (vocab_open(&s.v, s.tiny.t, tokenizer_n_vocab(s.tiny.t), &e) < 0 || grammar_from_gbnf(&s.g, source,
        strlen(source), &e) < 0 ||
        matcher_open(&s.m, s.g, s.v, o, &e) < 0)
        fail_msg("%s: %s", source, e.msg);
    return s;
}

static void teardown(struct setup *s)
{
    matcher_close(s->m);
    grammar_free(s->g);
    vocab_close(s->v);
    tiny_close(&s->tiny);
}

static bool allowed(const uint64_t *mask, int32_t id) { return mask[id >> 6] >> (id & 63) & 1; }

static int32_t id_of(const struct setup *s, const char *text)
{
    int32_t id = tokenizer_find(s->tiny.t, text, strlen(text));
    if (id < 0) fail_msg("no token %s", text);
    return id;
}

static void accept(struct setup *s, const char *text)
{
    struct err e = { 0 };
    if (matcher_accept(s->m, id_of(s, text), &e) < 0) fail_msg("%s: %s", text, e.msg);
}

/* The truth about a token: the text with it, byte by byte. */
static bool truth(const struct setup *s, const struct buf *text, int32_t id)
{
    struct buf b = { 0 };
    if (tokenizer_is_eog(s->tiny.t, id)) return grammar_verdict(s->g, text->data ? text->data : "", text->len) == V_WHOLE;
    enum token_kind k = tokenizer_token_kind(s->tiny.t, id);
    if (k == TOKEN_CONTROL || k == TOKEN_UNKNOWN || k == TOKEN_UNUSED) return false;
    buf_put(&b, text->data, text->len);
    tokenizer_piece(s->tiny.t, id, false, &b);
    bool yes = b.len > text->len && grammar_verdict(s->g, b.data, b.len) != V_DEAD;
    buf_release(&b);
    return yes;
}

static void walk_and_compare(enum tiny kind, const char *source, uint64_t seed)
{
    struct setup s = setup(kind, source, NULL);
    struct buf text = { 0 };
    struct err e = { 0 };
    const uint64_t *mask;
    for (int step = 0; step < 25; step++) {
        if (matcher_mask(s.m, &mask, &e) < 0) fail_msg("%s after %s: %s", source, text.data, e.msg);
        int32_t id = -1, n = s.v->n_vocab;
        for (int32_t i = 0; i < n; i++)
            if (allowed(mask, i) != truth(&s, &text, i))
                fail_msg("%s after \"%s\": token %d is %sallowed", source, text.data ? text.data : "", i, allowed(mask,
                    i) ? "" : "not ");
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        for (int32_t i = 0, at = (int32_t)((seed >> 33) % (uint64_t)n); i < n && id < 0; i++)
            if (allowed(mask, (at + i) % n)) id = (at + i) % n;
        assert_int_equal(matcher_accept(s.m, id, &e), 0);
        if (tokenizer_is_eog(s.tiny.t, id)) {
            assert_true(matcher_is_done(s.m));
            assert_int_equal(matcher_mask(s.m, &mask, &e), ERR_NOTFOUND);
            break;
        }
        tokenizer_piece(s.tiny.t, id, false, &text);
        if (matcher_may_end(s.m) != (grammar_verdict(s.g, text.data, text.len) == V_WHOLE)) fail_msg("%s: end after %s",
            source, text.data);
    }
    buf_release(&text);
    teardown(&s);
}

static void masks_are_exact(void **unused)
{
    (void)unused;
    static const char *const source[] = {
        "root ::= [a-z ]* | [0-9]+", "root ::= \"hello\" \" world\"? [^x]{0,12}", "root ::= .{3,5} \"\xc3\xa9\"",
        "root ::= [^\"\\\\\\x00-\\x1f]{2,40} \"\\\"\"", "root ::= \"(\" root \")\" | [\\u0400-\\u04ff\xe4\xbd\xa0]* | [^a-z]",
        "root ::= \"a\"{5,200} \"b\" | [a-h]{1,3} \"lo\" .*", "root ::= ([^x] [^l] [^o]){1,300}",
        "root ::= ([a-l]+ \" \"? [A-Z]*){1,300}", "root ::= [^x]{1,300} [^l]*", "root ::= ([^\\x01] [^\\x00e]){0,99}",
    };
    static const enum tiny kind[] = { TINY_BPE, TINY_SPM, TINY_GEMMA4 };
    for (size_t k = 0; k < 3; k++)
        for (size_t i = 0; i < sizeof source / sizeof *source; i++)
            for (uint64_t seed = 1; seed <= 2; seed++) walk_and_compare(kind[k], source[i], seed);
}

/* Every way of cutting a text into tokens ends in the same verdict. */
static void cut(struct setup *s, const char *text, size_t n, unsigned *ways)
{
    struct err e;
    if (!n) {
        if (!matcher_may_end(s->m)) fail_msg("the whole text may not end");
        ++*ways;
        return;
    }
    for (int32_t id = 0; id < s->v->n_vocab; id++) {
        size_t len = s->v->at[id + 1] - s->v->at[id];
        if (!len || len > n || memcmp(s->v->bytes + s->v->at[id], text, len) != 0) continue;
        assert_true(matcher_allows(s->m, id));
        assert_int_equal(matcher_accept(s->m, id, &e), 0);
        cut(s, text + len, n - len, ways);
        assert_int_equal(matcher_rewind(s->m, 1, &e), 0);
    }
}

static void every_cut_is_the_same(void **unused)
{
    (void)unused;
    struct setup s = setup(TINY_BPE, "root ::= [a-z]{5} \" \" [a-z]+ \"\xc3\xa9\"", NULL);
    unsigned ways = 0;
    cut(&s, "hello world\xc3\xa9", 13, &ways);
    assert_true(ways > 8);
    teardown(&s);
}

static void ends_exactly_where_it_may(void **unused)
{
    (void)unused;
    struct setup s = setup(TINY_BPE, "root ::= \"h\" \"e\"?", NULL);
    const uint64_t *mask;
    struct err e = { 0 };
    int32_t end = id_of(&s, "<|im_end|>");
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_false(allowed(mask, end));
    assert_int_equal(matcher_accept(s.m, end, &e), ERR_ARG);
    accept(&s, "h");
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_true(allowed(mask, end));
    assert_false(matcher_is_done(s.m));
    accept(&s, "e");
    assert_true(matcher_is_done(s.m));
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    for (int32_t i = 0; i < s.v->n_vocab; i++) assert_int_equal(allowed(mask, i), tokenizer_is_eog(s.tiny.t, i));
    teardown(&s);
}

static void tokens_by_name(void **unused)
{
    (void)unused;
    struct setup s = setup(TINY_BPE, "root ::= <think> !<|im_start|>{2} \"h\" | \"x\"", NULL);
    const uint64_t *mask;
    struct err e = { 0 };
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_true(allowed(mask, id_of(&s, "<think>")));
    assert_false(allowed(mask, id_of(&s, "<|im_start|>")));
    accept(&s, "<think>");
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_false(allowed(mask, id_of(&s, "<|im_start|>")));
    assert_true(allowed(mask, id_of(&s, "hello")));
    accept(&s, "hello");
    accept(&s, "hello");
    accept(&s, "h");
    assert_true(matcher_may_end(s.m));
    teardown(&s);
    struct grammar *g;
    struct matcher *m;
    s = setup(TINY_BPE, "root ::= \"x\"", NULL);
    assert_int_equal(grammar_from_gbnf(&g, "root ::= <nope>", 15, &e), 0);
    assert_int_equal(matcher_open(&m, g, s.v, NULL, &e), ERR_NOTFOUND);
    grammar_free(g);
    assert_int_equal(grammar_from_gbnf(&g, "root ::= <[999999]>", 19, &e), 0);
    assert_int_equal(matcher_open(&m, g, s.v, NULL, &e), ERR_NOTFOUND);
    grammar_free(g);
    teardown(&s);
}

static void armed_by_a_trigger(void **unused)
{
    (void)unused;
    struct matcher_options o = { .trigger = "</think>" };
    struct setup s = setup(TINY_BPE, "root ::= \"h\" \"e\"", &o);
    const uint64_t *mask;
    struct err e = { 0 };
    assert_true(matcher_waits(s.m));
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_true(allowed(mask, id_of(&s, "hello")));
    assert_true(allowed(mask, id_of(&s, "<|im_start|>")));
    assert_false(allowed(mask, id_of(&s, "<|im_end|>")));
    for (int32_t i = s.v->n_vocab; i < (int32_t)s.v->n_words * 64; i++) assert_false(allowed(mask, i));
    accept(&s, "hello");
    for (const char *p = "</</think"; *p; p++) accept(&s, (char[]){ *p, 0 });
    assert_true(matcher_waits(s.m));
    accept(&s, ">");
    assert_false(matcher_waits(s.m));
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_true(allowed(mask, id_of(&s, "h")));
    assert_false(allowed(mask, id_of(&s, "hello")));
    assert_int_equal(matcher_rewind(s.m, 1, &e), 0);
    assert_true(matcher_waits(s.m));
    teardown(&s);
    /* A token that goes on behind the trigger must fit. */
    o = (struct matcher_options){ .trigger = "h", .optional = true };
    s = setup(TINY_BPE, "root ::= \"x\"", &o);
    assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
    assert_false(allowed(mask, id_of(&s, "hello")));
    assert_true(allowed(mask, id_of(&s, "h")));
    assert_true(allowed(mask, id_of(&s, "<|im_end|>")));
    teardown(&s);
}

static void forced_text_is_known(void **unused)
{
    (void)unused;
    struct setup s = setup(TINY_BPE, "root ::= \"hello world\" (\"a\" | \"b\") \"hello\"", NULL);
    struct buf b = { 0 };
    struct ids ids = { 0 };
    struct err e;
    matcher_forced(s.m, 100, &b);
    assert_string_equal(b.data, "hello world");
    assert_int_equal(matcher_forced_tokens(s.m, &ids, &e), 0);
    assert_true(ids.n >= 1);
    assert_int_equal(ids.id[0], id_of(&s, "hello"));
    for (size_t i = 0; i < ids.n; i++) assert_int_equal(matcher_accept(s.m, ids.id[i], &e), 0);
    buf_release(&b);
    ids_release(&ids);
    teardown(&s);
}

static void clones_and_collection(void **unused)
{
    (void)unused;
    /* Every count is another situation: what is known must be forgotten now and then, under the clones' feet. */
    struct setup s = setup(TINY_BPE, "root ::= ([ab] [cd] [ef]){1,4000000} (\"x\" | \"y\" root)", NULL);
    struct matcher *c;
    struct err e = { 0 };
    const uint64_t *mask;
    accept(&s, "a");
    assert_int_equal(matcher_clone(&c, s.m, &e), 0);
    static const char *const next[] = { "c", "e", "b", "d", "f", "a" };
    for (int i = 0; i < 60000; i++) {
        if (i % 64 == 0) assert_int_equal(matcher_mask(s.m, &mask, &e), 0);
        if (matcher_accept(s.m, id_of(&s, next[i % 6]), &e) < 0) fail_msg("step %d: %s", i, e.msg);
    }
    assert_int_equal(matcher_rewind(s.m, MATCHER_HISTORY, &e), 0);
    assert_int_equal(matcher_rewind(s.m, 1, &e), ERR_ARG);
    assert_true(matcher_allows(s.m, id_of(&s, next[(60000 - MATCHER_HISTORY) % 6])));
    assert_int_equal(matcher_accept(c, id_of(&s, "d"), &e), 0);
    assert_int_equal(matcher_accept(c, id_of(&s, "d"), &e), ERR_ARG);
    assert_int_equal(matcher_accept(c, id_of(&s, "e"), &e), 0);
    assert_true(matcher_allows(c, id_of(&s, "x")));
    matcher_close(c);
    teardown(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_are_exact), cmocka_unit_test(every_cut_is_the_same), cmocka_unit_test(ends_exactly_where_it_may),
        cmocka_unit_test(tokens_by_name), cmocka_unit_test(armed_by_a_trigger), cmocka_unit_test(forced_text_is_known),
        cmocka_unit_test(clones_and_collection),
    };
    return run_tests(tests);
}
