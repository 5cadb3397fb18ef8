/* Grammars as people write them: which texts they take, what is wrong with them and where, and their limits. */
#include "tests/testing.h"

#include <stdlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/grammar.h"

static struct grammar *gbnf(const char *source)
{
    struct grammar *g;
    struct err e = { 0 };
    if (grammar_from_gbnf(&g, source, strlen(source), &e) < 0) fail_msg("%s: %s", source, e.msg);
    return g;
}

/* Texts are separated by bars; each must have this verdict. */
static void check_texts(const struct grammar *g, const char *source, const char *texts, enum verdict want)
{
    for (const char *s = texts; s; s = strchr(s, '|') ? strchr(s, '|') + 1 : NULL) {
        size_t n = strcspn(s, "|");
        enum verdict v = grammar_verdict(g, s, n);
        if (v != want) fail_msg("%s\n  \"%.*s\" is %d, not %d", source, (int)n, s, v, want);
    }
}

/* Sanitizers and emulators are slower than what the limits are meant for. */
enum { TIME_FACTOR = 20 };

struct row { const char *source, *whole, *open, *dead; };

static void check_rows(const struct row *row, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct grammar *g = gbnf(row[i].source);
        if (row[i].whole) check_texts(g, row[i].source, row[i].whole, V_WHOLE);
        if (row[i].open) check_texts(g, row[i].source, row[i].open, V_OPEN);
        if (row[i].dead) check_texts(g, row[i].source, row[i].dead, V_DEAD);
        grammar_free(g);
    }
}
#define ROWS(t) check_rows((t), sizeof (t) / sizeof *(t))

static void syntax(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "root ::= \"a\" | \"b\"+ \"c\"", "a|bc|bbc", "b|bb|", "c|ab|ac|bca" },
        { "root ::= x\nx ::=\n  \"a\"\n  \"b\" |\n\n  \"c\" # a comment \"d\"\n", "ab|c", "a|", "b|d|abc" },
        { "root ::= (\n \"a\"\n | # or\n \"b\" )?\r\ny ::= \"z\"", "a|b|", NULL, "z|ab" },
        { "root::=\"x\"x_1-y\nx_1-y::=[0-9]", "x1", "x", "1|xx" },
        { "root ::= \"\\x41\\u00e9\\U0001F600\\\"\\\\\\[\\]\\n\\t\\r\"", "A\xc3\xa9\xf0\x9f\x98\x80\"\\[]\n\t\r",
            "A|A\xc3", "a|A\xc2" },
        { "root ::= [a-c\\]x-]+", "abc]x-|-", "", "d|b^" },
        { "root ::= [^a-z\\n]*", "ABC \xe2\x82\xac|", "\xe2|\xe2\x82", "a|\n|\x80" },
        { "root ::= .", "x|\n|\xf0\x9f\x98\x80", "\xf0\x9f|\xed|\xf4\x8f", "xx|\x80|\xc0|\xed\xa0|\xf5|\xe0\x80|\xf4\x90|\xff" },
        { "root ::= \"a\"{2} \"b\"{1,} \"c\"{,2} \"d\"{ 0 , 1 }", "aab|aabbbc|aabccd|aabd", "aa|a|", "ab|aaa|aabccc|aabdd" },
        { "root ::= (\"a\" | \"bc\"){2,3}", "aa|abc|bcbcbc|aaa", "a|ab|", "c|aaaa" },
        { "root ::= [a-b]{3,5}{2}", "ababab|abababab|ababababab", "aba|ababa", "ababababab" "a" },
        { "root ::= e e \"x\" e\ne ::= \"\"", "x", "", "y|xx" },
        { "root ::= [\\u0400-\\u04ff\\U00010000-\\U0001ffff]", "\xd0\x96|\xf0\x9f\x98\x80", "\xd0|\xf0\x90", "a|\xcf|\xf0\xa0" },
    };
    ROWS(t);
}

static void recursion(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "root ::= \"(\" root \")\" | \"\"", "()|((()))|", "(|((|(()", ")|())|(()))" },
        { "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"", "aabc|aacb|", "aa|aaab", "b|ab" "b" },
        { "root ::= [0-9] root | \".\"", "123.|.", "1", "1.2" },
        { "root ::= sum\nsum ::= term ([-+] term)*\nterm ::= [0-9]+ | \"(\" sum \")\"", "1+(2-3)|12", "(|1+|((1", ")|1++|()" },
        { "root ::= ((\"a\"*)*)* \"b\"", "b|aaaaab", "a|aaa|", "c|bb" },
        { "root ::= (\"\" | \"a\"){0,20}", "|aaa", NULL, "b|aaaaaaaaaaaaaaaaaaaaa" },
        { "root ::= \"x\" | loop\nloop ::= \"a\" loop", "x", "", "a" },          /* what never ends is never begun */
        { "root ::= a b\na ::= \"x\"?\nb ::= \"y\" a root | \"\"", "|x|y|xy|xyx|yx" "y", NULL, "xx" "x" },
    };
    ROWS(t);
}

static void counted(void **unused)
{
    (void)unused;
    struct buf text = { 0 };
    struct grammar *g = gbnf("root ::= \"a\"{3,1000000000} \"b\"");
    for (int i = 0; i < 5000; i++) buf_putc(&text, 'a');
    assert_int_equal(grammar_verdict(g, text.data, text.len), V_OPEN);
    buf_putc(&text, 'b');
    assert_int_equal(grammar_verdict(g, text.data, text.len), V_WHOLE);
    assert_int_equal(grammar_verdict(g, "aab", 3), V_DEAD);
    grammar_free(g);
    g = gbnf("root ::= (\"ab\" | \"c\"){200,300}");
    buf_clear(&text);
    for (int i = 1; i <= 301; i++) {
        buf_puts(&text, i % 2 ? "ab" : "c");
        assert_int_equal(grammar_verdict(g, text.data, text.len), i < 200 ? V_OPEN : i <= 300 ? V_WHOLE : V_DEAD);
    }
    buf_release(&text);
    grammar_free(g);
}

static void errors_say_where(void **unused)
{
    (void)unused;
    static const struct { const char *source, *word; } t[] = {
        { "", "no rule named root" },
        { "x ::= \"a\"", "no rule named root" },
        { "root ::= \"a\" y", "line 1, column 14: there is no rule named y" },
        { "root ::= \"a\nb\"", "line 1, column 10: this string has no closing quote" },
        { "root ::= [a", "line 1, column 10: this class" },
        { "root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: a rule of this name" },
        { "root ::= (\"a\"", "line 1, column 10: this ( has no )" },
        { "root ::= \"\\q\"", "line 1, column 12: unknown escape" },
        { "root ::= \"\\ud800\"", "is no Unicode character" },
        { "root ::= \"\\x4\"", "lacks hexadecimal digits" },
        { "root ::= [b-a]", "column 11: this range" },
        { "root ::= \"a\"{3,2}", "above the most" },
        { "root ::= \"a\"{}", "number of repetitions" },
        { "root ::= \"a\"{1", "expected }" },
        { "root = \"a\"", "expected \"name ::=\"" },
        { "root ::= *", "expected a rule name" },
        { "root ::= <x", "no closing >" },
        { "root ::= <[x]>", "expected <[NUMBER]>" },
        { "root ::= \"a\" )", "expected a rule name" },
        { "root ::= \"\xff\"", "not valid UTF-8" },
        { "\n root ::= root \"a\" | \"b\"", "line 2, column 2: rule root begins with itself" },
        { "root ::= \"x\" a\na ::= e b\nb ::= a | \"z\"\ne ::= \"y\"?", "begins with itself" },
        { "root ::= \"a\" root", "never ends" },
        { "root ::= []", "never ends" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct grammar *g;
        struct err e = { 0 };
        int rc = grammar_from_gbnf(&g, t[i].source, strlen(t[i].source), &e);
        if (rc != ERR_FORMAT || g || !strstr(e.msg, t[i].word)) fail_msg("%s: %d %s\n  does not say %s", t[i].source, rc,
            e.msg, t[i].word);
    }
}

static void choices(void **unused)
{
    (void)unused;
    static const char *const list[] = { "yes", "yesterday", "no", "n\xc3\xb6" }, *const empty[] = { "a", "" },
        *const bad[] = { "\xff" };
    struct grammar *g;
    struct err e;
    assert_int_equal(grammar_from_choices(&g, list, 4, &e), 0);
    check_texts(g, "choices", "yes|yesterday|no|n\xc3\xb6", V_WHOLE);
    check_texts(g, "choices", "|y|yest|n\xc3", V_OPEN);
    check_texts(g, "choices", "x|yes |nope", V_DEAD);
    grammar_free(g);
    assert_int_equal(grammar_from_choices(&g, empty, 2, &e), ERR_ARG);
    assert_int_equal(grammar_from_choices(&g, bad, 1, &e), ERR_ARG);
    assert_int_equal(grammar_from_choices(&g, list, 0, &e), ERR_ARG);
}

/* ---- hostile sources: within 200 ms and 64 MB, or refused ---- */

static int compile_in_time(const char *name, const char *source, size_t n)
{
    struct grammar *g;
    struct err e = { 0 };
    uint64_t start = os_now_ns();
    int rc = grammar_from_gbnf(&g, source, n, &e);
    double ms = (double)(os_now_ns() - start) * 1e-6;
    if (ms > 200 * TIME_FACTOR) fail_msg("%s: %.0f ms", name, ms);
    if (rc < 0 && rc != ERR_LIMIT && rc != ERR_FORMAT) fail_msg("%s: %d %s", name, rc, e.msg);
    grammar_free(g);
    return rc;
}

static void put_times(struct buf *b, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) buf_puts(b, s);
}

static void hostile(void **unused)
{
    (void)unused;
    struct buf b = { 0 };
#define COMPILE(name) compile_in_time((name), b.data, b.len)
    buf_puts(&b, "root ::= \"a\"{1,1000000000}");
    assert_int_equal(COMPILE("huge repetition"), 0);
    buf_clear(&b);
    buf_puts(&b, "root ::= ((((\"a\"{1000}){1000}){1000}){1000}){1000}");
    assert_int_equal(COMPILE("repetitions of repetitions"), 0);
    buf_clear(&b);
    buf_puts(&b, "root ::= ((((\"a\"?){1000}){1000}){1000}){1000}");
    assert_int_equal(COMPILE("repetitions of what may be empty"), ERR_LIMIT);
    buf_clear(&b);
    buf_puts(&b, "root ::= ");
    put_times(&b, "(", 100000);
    assert_int_equal(COMPILE("deep"), ERR_LIMIT);
    buf_clear(&b);
    buf_puts(&b, "root ::= \"a\"");
    put_times(&b, "*", 100000);
    assert_true(COMPILE("stars") < 0);
    buf_clear(&b);
    buf_puts(&b, "root ::= \"\"");
    for (int i = 0; i < 100000; i++) buf_printf(&b, " | \"%d\"", i * 7919);
    COMPILE("100,000 alternatives");
    buf_clear(&b);
    buf_puts(&b, "root ::= r0\n");
    for (int i = 0; i < 15000; i++) buf_printf(&b, "r%d ::= \"a\" r%d | r%d\n", i, i + 1, (i * 7) % 15000 > i
        ? (i * 7) % 15000 : i + 1);
    buf_puts(&b, "r15000 ::= \"b\"");
    COMPILE("15,000 rules that refer to each other");
    buf_clear(&b);
    for (int i = 0; i < 30; i++) buf_printf(&b, "%s%d ::= r%d r%d\n", i ? "r" : "root ::= r1 r1\nr", i, i + 1, i + 1);
    buf_puts(&b, "r30 ::= [a-z]");
    assert_int_equal(COMPILE("doubling"), 0);
    buf_clear(&b);
    buf_puts(&b, "root ::= (\"a\" | \"b\")* \"a\" (\"a\" | \"b\"){40}");
    assert_int_equal(COMPILE("subsets"), 0);
    buf_release(&b);
#undef COMPILE
}

static void ambiguity_is_bounded(void **unused)
{
    (void)unused;
    /* 2^n ways after n bytes. */
    struct grammar *g = gbnf("root ::= \"a\" p \"b\" | \"a\" q \"c\" | \"d\"\n"
                             "p ::= root \"x\" | \"e\" p\nq ::= root \"y\" | \"f\" q");
    char text[64];
    memset(text, 'a', sizeof text);
    struct grun r;
    assert_int_equal(grun_open(&r, g), 0);
    uint32_t c = r.start;
    for (size_t i = 0; i < sizeof text && !r.rc; i++) c = grun_byte(&r, c, (uint8_t)text[i]);
    assert_int_equal(r.rc, ERR_LIMIT);
    assert_true(grun_bytes(&r) < 2 * GRUN_BYTES);
    grun_close(&r);
    grammar_free(g);
    /* Too deep is not allowed, so that what was begun can end. */
    g = gbnf("root ::= \"(\" root \")\" | \"x\"");
    char deep[600];
    memset(deep, '(', sizeof deep);
    assert_int_equal(grammar_verdict(g, deep, 500), V_OPEN);
    assert_int_equal(grammar_verdict(g, deep, 600), V_DEAD);
    grammar_free(g);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    static const char source[] = "root ::= a{2,300} | \"x\" <[3]> b\na ::= [a-z\xc3\xa9] | \"(\" root \")\"\nb ::= \"1\"* \"2\"";
    int rc = -1;
    for (int64_t n = 0; rc < 0 && n < 10000; n++) {
        struct grammar *g;
        struct err e;
        mem_fail_after(n);
        rc = grammar_from_gbnf(&g, source, sizeof source - 1, &e);
        struct grun r = { 0 };
        if (rc == 0) rc = grun_open(&r, g);
        if (rc == 0) grun_byte(&r, r.start, 'a');
        if (rc == 0) rc = r.rc;
        mem_fail_after(-1);
        if (rc < 0) assert_int_equal(rc, ERR_NOMEM);
        grun_close(&r);
        grammar_free(g);
    }
    assert_int_equal(rc, 0);
}

/* Texts that can be read in many ways, of which only the best are kept: what is right is counted here. */
static void ambiguous_repetitions(void **state)
{
    (void)state;
    struct grammar *pairs = gbnf("root ::= ([ab] [ab]?){2,200}"), *runs = gbnf("root ::= (\"a\"+ \"b\"*){3,150}");
    char text[700];
    memset(text, 'a', sizeof text);
    for (size_t n = 0; n < 410; n++)
        assert_int_equal(grammar_verdict(pairs, text, n), n > 400 ? V_DEAD : n >= 2 ? V_WHOLE : V_OPEN);
    for (unsigned seed = 0; seed < 300; seed++) {
        size_t a = 0, blocks = 0, n = seed * 7 % 650;
        uint32_t x = seed * 2654435761u + 1;
        for (size_t i = 0; i < n; i++) {
            x = x * 1664525u + 1013904223u;
            text[i] = i == 0 || x >> 28 < (seed % 15) + 1 ? 'a' : 'b';
            a += text[i] == 'a';
            blocks += text[i] == 'a' && (!i || text[i - 1] == 'b');
        }
        enum verdict want = blocks > 150 ? V_DEAD : a >= 3 ? V_WHOLE : V_OPEN;
        if (grammar_verdict(runs, text, n) != want) fail_msg("%zu: %.*s", n, (int)n, text);
    }
    grammar_free(pairs);
    grammar_free(runs);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ambiguous_repetitions),
        cmocka_unit_test(syntax), cmocka_unit_test(recursion), cmocka_unit_test(counted), cmocka_unit_test(errors_say_where),
        cmocka_unit_test(choices), cmocka_unit_test(hostile), cmocka_unit_test(ambiguity_is_bounded),
        cmocka_unit_test(memory_runs_out),
    };
    return run_tests(tests);
}
