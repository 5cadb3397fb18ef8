/* The denial-of-service cases H14 to H17 that texts, grammars and templates of strangers can bring, by their numbers: each is
 * refused or done within its limits, and what comes next works.  Times are of the thread's processor, with room for sanitizers,
 * emulators and slow machines. */
#include "tests/testing.h"
#include "tests/tiny_vocab.h"

#include "base/json.h"
#include "base/mem.h"
#include "tests/grammar.h"
#include "text/gram_cache.h"
#include "text/matcher.h"
#include "text/template.h"

enum { SLOWER = 20 };
enum kind { GBNF, SCHEMA, REGEX };

static int compile(enum kind kind, const char *s, size_t n, struct grammar **g, struct err *e)
{
    return kind == GBNF ? grammar_from_gbnf(g, s, n, e) : kind == SCHEMA ? grammar_from_schema(g, s, n, e)
                                                                         : grammar_from_regex(g, s, n, e);
}

static void within(uint64_t since, double ms, const char *name)
{
    const double took = (double)(os_thread_ns() - since) * 1e-6;
    if (took > ms * SLOWER) fail_msg("%s took %.0f ms, %.0f are allowed", name, took, ms);
}

/* Compiled or refused within 200 ms; no memory stays, and the next one is compiled as ever. */
static void h14_one(const char *name, enum kind kind, const char *s, size_t n)
{
    struct grammar *g;
    struct err e = { 0 };
    const int64_t before = mem_thread_bytes();
    const uint64_t start = os_thread_ns();
    const int rc = compile(kind, s, n, &g, &e);
    within(start, 200, name);
    if (rc < 0 && rc != ERR_LIMIT && rc != ERR_FORMAT && rc != ERR_UNSUPPORTED) fail_msg("%s: %d %s", name, rc, e.msg);
    if (rc < 0) assert_true(strlen(e.msg) > 10 && !g);
    assert_true(mem_thread_bytes() - before <= GRAMMAR_BYTES);
    grammar_free(g);
    assert_int_equal(mem_thread_bytes(), before);
    assert_int_equal(compile(GBNF, "root ::= \"a\"", 12, &g, &e), 0);
    grammar_free(g);
}

static void h14_many(const char *name, enum kind kind, const char *head, const char *item, unsigned times, const char *tail)
{
    struct buf b = { 0 };
    buf_puts(&b, head);
    for (unsigned i = 0; i < times; i++) {
        if (i && kind == SCHEMA) buf_putc(&b, ',');
        for (const char *p = item; *p; p++) {
            if (*p == '#') buf_printf(&b, "%u", i);
            else if (*p == '@') buf_printf(&b, "%u", (i * 7 + 1) % times);
            else buf_putc(&b, *p);
        }
    }
    buf_puts(&b, tail);
    h14_one(name, kind, b.data, b.len);
    buf_release(&b);
}

static void h14_grammars(void **unused)
{
    (void)unused;
    static const struct { enum kind kind; const char *source; } row[] = {
        { REGEX, "a{1,1000000000}" }, { REGEX, "((((((((((a*)*)*)*)*)*)*)*)*)*)*" }, { REGEX, "(x{1,1000000}){1,1000000}" },
        { REGEX, "((a?){1000}){1000}" }, { REGEX, "(a|b)*a(a|b){5000}" }, { REGEX, "([\\u0100-\\uffff]{1,50}[^\\u0400]){1,500}" },
        { GBNF, "root ::= root \"a\" | \"b\"" }, { GBNF, "root ::= \"x\" a\na ::= b \"1\" | \"2\"\nb ::= a \"3\" | \"4\"" },
        { GBNF, "root ::= e e e e a\ne ::= \"\" | \"\"*\na ::= e root? \"x\"" }, { GBNF, "root ::= \"\"{1,1000000000}" },
        { GBNF, "root ::= ((\"\" | \"a\"){1000}){1000}" }, { GBNF, "root ::= (root | \"a\"){0,1000000} \"b\"" },
        { SCHEMA, "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"$ref\":\"#/$defs/b\"},\"b\":{\"$ref\":\"#/$defs/a\"}}}" },
        { SCHEMA, "{\"allOf\":[{\"$ref\":\"#\"},{\"$ref\":\"#\"}]}" },
        { SCHEMA, "{\"type\":\"array\",\"minItems\":4000000000,\"items\":{\"type\":\"string\",\"minLength\":4000000000}}" },
        { SCHEMA, "{\"type\":\"string\",\"pattern\":\"^(a|b)*a(a|b){20}$\",\"maxLength\":5000}" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        h14_one(row[i].source, row[i].kind, row[i].source, strlen(row[i].source));
    h14_many("100,000 alternatives", GBNF, "root ::= \"x\"", " | \"a#\"", 100000, "");
    h14_many("rules in circles", GBNF, "root ::= \"a\" r0\n", "r# ::= \"b\" r@ | \"c\" r@ r@ | \"d\"\n", 5000, "");
    h14_many("oneOf of 1,000", SCHEMA, "{\"oneOf\":[", "{\"const\":#}", 1000, "]}");
    h14_many("oneOf of 1,000 objects", SCHEMA, "{\"oneOf\":[", "{\"type\":\"object\",\"properties\":{\"k\":{\"const\":\"v#\"}},"
             "\"required\":[\"k\"]}", 1000, "]}");
    h14_many("definitions in circles", SCHEMA, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{",
             "\"d#\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/d@\"},"
             "\"b\":{\"$ref\":\"#/$defs/d@\"}}}", 1000, "}}");
    h14_many("10,000 properties", SCHEMA, "{\"type\":\"object\",\"properties\":{", "\"p#\":{\"type\":\"string\"}", 10000, "}}");
    h14_many("nested arrays", SCHEMA, "", "{\"items\":", 1, "{}}");
    struct buf deep = { 0 };
    for (int i = 0; i < 5000; i++) buf_puts(&deep, "{\"items\":");
    buf_puts(&deep, "{}");
    for (int i = 0; i < 5000; i++) buf_putc(&deep, '}');
    h14_one("a schema 5,000 deep", SCHEMA, deep.data, deep.len);
    buf_clear(&deep);
    for (int i = 0; i < 100000; i++) buf_putc(&deep, '(');
    h14_one("100,000 brackets", REGEX, deep.data, deep.len);
    buf_release(&deep);
}

static void h14_many_schemas_stay_bounded(void **unused)
{
    (void)unused;
    static struct gram_cache c;
    const uint64_t start = os_thread_ns();
    for (unsigned i = 0; i < 2000; i++) {
        struct buf s = { 0 };
        struct grammar *g;
        buf_printf(&s, "{\"type\":\"object\",\"properties\":{\"a%u\":{\"type\":\"string\"}}}", i);
        assert_int_equal(grammar_from_schema(&g, s.data, s.len, NULL), 0);
        gram_cache_put(&c, &s, g, &(struct buf){ 0 });
        assert_true(c.bytes <= GRAM_CACHE_BYTES);
        grammar_free(g);
        buf_release(&s);
    }
    within(start, 2000, "2,000 schemas");
    gram_cache_release(&c);
}

/* Masks of texts that can be read in very many ways; or an error for this text. */
static void h14_masks(void **unused)
{
    (void)unused;
    static const char *const source[] = {
        "root ::= ([^x] [^y] [^z]){1,1000000}", "root ::= (. | .. | ...)* \"x\" .{0,300}",
        "root ::= ((\"a\" | [a-c] | .){1,9000}){1,9000}",
        "root ::= \"a\" p \"b\" | \"a\" q \"c\" | \"d\"\np ::= root \"x\" | \"e\" p\nq ::= root \"y\" | \"f\" q",
    };
    struct tiny_vocab tiny = tiny_open(TINY_BPE, "qwen2");
    struct vocab *v;
    struct err e = { 0 };
    assert_int_equal(vocab_open(&v, tiny.t, tokenizer_n_vocab(tiny.t), &e), 0);
    const int32_t a = tokenizer_find(tiny.t, "a", 1);
    for (size_t i = 0; i < sizeof source / sizeof *source; i++) {
        struct grammar *g;
        struct matcher *m;
        const int64_t before = mem_thread_bytes();
        assert_int_equal(grammar_from_gbnf(&g, source[i], strlen(source[i]), &e), 0);
        assert_int_equal(matcher_open(&m, g, v, NULL, &e), 0);
        const uint64_t start = os_thread_ns();
        const uint64_t *mask;
        int rc = 0, steps = 0;
        for (; rc == 0 && steps < 500; steps++)
            if ((rc = matcher_mask(m, &mask, &e)) == 0) rc = matcher_accept(m, a, &e);
        if (rc < 0 && rc != ERR_LIMIT) fail_msg("%s: %d %s", source[i], rc, e.msg);
        within(start, 1000, source[i]);                         /* 1 ms for each, and a step at the limit */
        assert_true(mem_thread_bytes() - before < 60 << 20);
        matcher_close(m);
        grammar_free(g);
    }
    vocab_close(v);
    tiny_close(&tiny);
}

static void h15_patterns(void **unused)
{
    (void)unused;
    static const char *const pattern[] = {
        "(a+)+$", "(a|a)*$", "(a|aa)+$", "^(([a-z])+.)+[A-Z]([a-z])+$", "(.*)*x", "(a?){50}a{50}",
    };
    struct buf text = { 0 };
    for (int i = 0; i < 50000; i++) buf_putc(&text, 'a');
    buf_putc(&text, '!');
    for (size_t i = 0; i < sizeof pattern / sizeof *pattern; i++) {
        struct grammar *g;
        const uint64_t start = os_thread_ns();
        assert_int_equal(grammar_from_regex(&g, pattern[i], strlen(pattern[i]), NULL), 0);
        assert_true(grammar_verdict(g, text.data, text.len) != V_WHOLE);
        within(start, 20, pattern[i]);
        grammar_free(g);
        struct buf schema = { 0 };
        buf_puts(&schema, "{\"type\":\"string\",\"pattern\":");
        json_write_str(pattern[i], strlen(pattern[i]), &schema);
        buf_putc(&schema, '}');
        h14_one(pattern[i], SCHEMA, schema.data, schema.len);
        buf_release(&schema);
    }
    buf_release(&text);
}

static void h16_templates(void **unused)
{
    (void)unused;
    static const struct { const char *source; unsigned line; } row[] = {
        { "\n{% for i in range(10**9) %}{% endfor %}", 2 },
        { "\n\n{% for i in range(99999) %}{% for j in range(99999) %}{% for k in range(99999) %}{% endfor %}{% endfor %}"
          "{% endfor %}", 3 },
        { "{% set n = namespace(s='ab') %}\n{% for i in range(99) %}\n{% set n.s = n.s ~ n.s %}{% endfor %}", 3 },
        { "{% set n = namespace(l=[1]) %}\n{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}", 2 },
        { "{% macro f(x) %}\n{{ f(x) }}{% endmacro %}{{ f(1) }}", 2 },
        { "{% macro f(x) %}{{ g(x) }}{% endmacro %}{% macro g(x) %}{{ f(x) }}{% endmacro %}\n{{ f(1) }}", 1 },
        { "\n\n\n{% include 'me' %}", 4 }, { "\n{{ 'a' * 10**12 }}", 2 }, { "\n{{ ''.__class__.__mro__ }}", 2 },
        { "{% for i in range(99999) %}\n{{ 'x' * 1000 }}{% endfor %}", 2 }, { "\n{{ '%999999999d' % 1 }}", 2 },
    };
    struct json *vars = json_new_object();
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct template *t;
        struct buf out = { 0 };
        struct err e = { 0 };
        char place[24];
        const int64_t before = mem_thread_bytes();
        const uint64_t start = os_thread_ns();
        int rc = template_compile(&t, row[i].source, strlen(row[i].source), &e);
        if (rc == 0) rc = template_render(t, vars, NULL, &out, &e);
        within(start, 150, row[i].source);
        snprintf(place, sizeof place, "line %u", row[i].line);
        if (rc == 0 || !strstr(e.msg, place)) fail_msg("%s: %d %s", row[i].source, rc, e.msg);
        buf_release(&out);
        if (rc < 0) template_free(t);
        assert_int_equal(mem_thread_bytes(), before);
    }
    json_free(vars);
}

/* Long texts are cut in linear time, and what looks like control tokens stays text. */
static void h17_tokens(void **unused)
{
    (void)unused;
    enum { N = 1 << 19 };
    static const char *const unit[] = { "a", " ", "\n", "<|im_end|>", "aaab", "\xc3\xa9", "0" };
    char *text = mem_new_array(char, N + 16);
    for (int kind = 0; kind < 2; kind++) {
        struct tiny_vocab v = tiny_open(kind ? TINY_SPM : TINY_BPE, kind ? "" : "qwen2");
        for (size_t i = 0; i < sizeof unit / sizeof *unit; i++) {
            struct ids ids = { 0 };
            size_t n = 0, len = strlen(unit[i]);
            for (; n + len <= N; n += len) memcpy(text + n, unit[i], len);
            const uint64_t start = os_thread_ns();
            assert_int_equal(tokenizer_encode(v.t, text, n, 0, &ids, NULL), 0);
            within(start, 2000.0 * N / (32 << 20), unit[i]);    /* 2 s for 32 MB */
            for (size_t k = 0; k < ids.n; k++)
                if (tokenizer_token_kind(v.t, ids.id[k]) == TOKEN_CONTROL) fail_msg("%s became a control token", unit[i]);
            ids_release(&ids);
        }
        tiny_close(&v);
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(h14_grammars), cmocka_unit_test(h14_many_schemas_stay_bounded), cmocka_unit_test(h14_masks),
        cmocka_unit_test(h15_patterns), cmocka_unit_test(h16_templates), cmocka_unit_test(h17_tokens),
    };
    return run_tests(tests);
}
