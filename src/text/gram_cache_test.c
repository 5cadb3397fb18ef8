/* Compiled grammars that are kept: the same plan as without, the oldest go first, bounds, many threads. */
#include <pthread.h>

#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/mem.h"
#include "tests/grammar.h"
#include "text/turn_gram.h"

static struct grammar *choice(unsigned i)
{
    char word[24];
    struct grammar *g;
    snprintf(word, sizeof word, "word%u", i);
    assert_int_equal(grammar_from_choices(&g, (const char *const[]){ word }, 1, NULL), 0);
    return g;
}

static int64_t put(struct gram_cache *c, unsigned i, size_t n_text)
{
    struct buf key = { 0 }, text = { 0 };
    struct grammar *g = choice(i);
    buf_printf(&key, "key %u", i);
    for (size_t k = 0; k < n_text; k++) buf_putc(&text, 't');
    const int64_t grew = gram_cache_put(c, &key, g, &text);
    grammar_free(g);
    buf_release(&key);
    buf_release(&text);
    return grew;
}

/* The grammar of key i, or NULL; what it is for is checked. */
static struct grammar *get(struct gram_cache *c, unsigned i)
{
    struct buf key = { 0 }, text = { 0 };
    struct grammar *g;
    char word[24];
    buf_printf(&key, "key %u", i);
    bool there = gram_cache_get(c, &key, &g, &text);
    int n = snprintf(word, sizeof word, "word%u", i);
    assert_int_equal(there, g != NULL);
    if (g) assert_int_equal(grammar_verdict(g, word, (size_t)n), V_WHOLE);
    buf_release(&key);
    buf_release(&text);
    return g;
}

static void the_oldest_go(void **unused)
{
    (void)unused;
    static struct gram_cache c;
    int64_t sum = 0;
    for (unsigned i = 0; i < GRAM_CACHE_ENTRIES; i++) sum += put(&c, i, 10);
    struct grammar *kept = get(&c, 0);          /* now the youngest */
    sum += put(&c, 1000, 0);
    assert_int_equal(sum, c.bytes);
    struct grammar *gone = get(&c, 1), *still = get(&c, 2);
    assert_null(gone);
    assert_non_null(still);
    grammar_free(still);
    /* Bytes count as well, and what is larger than half is not kept. */
    put(&c, 1001, GRAM_CACHE_BYTES / 2 + 1);
    assert_null(get(&c, 1001));
    put(&c, 1002, GRAM_CACHE_BYTES / 2 - 100000);
    put(&c, 1003, GRAM_CACHE_BYTES / 2 - 100000);
    put(&c, 1004, GRAM_CACHE_BYTES / 2 - 100000);
    assert_true(c.bytes <= GRAM_CACHE_BYTES);
    assert_null(get(&c, 1002));
    gram_cache_release(&c);
    assert_int_equal(c.bytes, 0);
    assert_int_equal(grammar_verdict(kept, "word0", 5), V_WHOLE);          /* lives on */
    grammar_free(kept);
}

static void *hammer(void *arg)
{
    struct gram_cache *c = arg;
    uint32_t x = (uint32_t)(uintptr_t)&x;
    for (unsigned i = 0; i < 2000; i++) {
        x = x * 1664525u + 1013904223u;
        const unsigned k = (x >> 20) % 100;
        struct grammar *g = get(c, k);
        if (!g) put(c, k, 3);
        grammar_free(g);
    }
    return NULL;
}

static void many_threads(void **unused)
{
    (void)unused;
    static struct gram_cache c;
    pthread_t t[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, hammer, &c), 0);
    for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
    gram_cache_release(&c);
    assert_int_equal(c.bytes, 0);
}

static bool same_buf(const struct buf *a, const struct buf *b)
{
    return a->len == b->len && (!a->len || !memcmp(a->data, b->data, a->len));
}
static bool same_text(const char *a, const char *b) { return (!a && !b) || (a && b && !strcmp(a, b)); }

/* A plan with the cache is the one without; the second time nothing is compiled. */
static void plans_are_the_same(void **unused)
{
    (void)unused;
    static const char tools_text[] =
        "[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"a\":"
        "{\"type\":\"string\",\"not\":{\"minLength\":3}}}}}}]", form[] = "{\"type\":\"integer\"}";
    static const char *const source[] = { "<tool_call>", "<|channel|>analysis", "[TOOL_CALLS] [/INST]", "<think> <tool_call>" };
    static struct gram_cache c;
    struct tiny_vocab v = tiny_open(TINY_BPE, "qwen2");
    struct json *tools;
    unsigned shared = 0;
    assert_int_equal(json_parse(&tools, tools_text, sizeof tools_text - 1, NULL), 0);
    for (unsigned i = 0; i < 4 * 3 * 16; i++) {
        struct dialect d;
        struct turn_plan plan[3];
        struct err e = { 0 };
        dialect_find(source[i % 4], strlen(source[i % 4]), &d);
        struct turn_gram q = { .dialect = &d, .tokenizer = v.t, .tools = i & 64 ? NULL : tools,
                               .choice = (enum turn_choice)(i / 4 % 3), .form = TURN_SCHEMA, .text = i & 16 ? form : NULL,
                               .n_text = sizeof form - 1, .in_reasoning = i & 32, .in_text = i & 128,
                               .begun = i & 128 ? "" : NULL };
        int rc = turn_grammar(&q, &plan[0], &e);
        q.cache = &c;
        for (int k = 1; k < 3; k++) {
            assert_int_equal(turn_grammar(&q, &plan[k], &e), rc);
            if (!same_text(plan[0].how.trigger, plan[k].how.trigger) || !same_text(plan[0].how.begun, plan[k].how.begun) ||
                !same_buf(&plan[0].trigger, &plan[k].trigger) || !same_buf(&plan[0].notes, &plan[k].notes) ||
                !same_text(plan[0].how.skip_open, plan[k].how.skip_open) || plan[0].how.optional != plan[k].how.optional ||
                plan[0].how.within != plan[k].how.within || plan[0].how.never != plan[k].how.never ||
                plan[0].how.skipping != plan[k].how.skipping || plan[0].always != plan[k].always ||
                !plan[0].grammar != !plan[k].grammar)
                fail_msg("plan %u differs when it is kept", i);
        }
        if (rc == 0) assert_ptr_equal(plan[1].grammar, plan[2].grammar);
        shared += rc == 0 && plan[2].grammar;
        for (int k = 0; k < 3; k++) turn_plan_release(&plan[k]);
    }
    assert_true(shared > 50);
    /* Another schema is another key. */
    struct dialect d;
    struct turn_plan a, b;
    dialect_find(source[0], strlen(source[0]), &d);
    struct turn_gram q = { .dialect = &d, .tokenizer = v.t, .form = TURN_SCHEMA, .text = "{\"const\":1}", .n_text = 11,
                           .cache = &c };
    assert_int_equal(turn_grammar(&q, &a, NULL), 0);
    q.text = "{\"const\":2}";
    assert_int_equal(turn_grammar(&q, &b, NULL), 0);
    assert_ptr_not_equal(a.grammar, b.grammar);
    turn_plan_release(&a);
    turn_plan_release(&b);
    json_free(tools);
    gram_cache_release(&c);
    tiny_close(&v);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_oldest_go), cmocka_unit_test(many_threads),
                                        cmocka_unit_test(plans_are_the_same) };
    return run_tests(tests);
}
