/* Regular expressions: verdicts of another engine, errors, and patterns that make others slow. */
#include "tests/testing.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "tests/grammar.h"

static void agrees_with_the_fixtures(void **unused)
{
    (void)unused;
    char *text;
    size_t n;
    struct json *all;
    struct err e = { 0 };
    if (os_read_file("tests/golden/regex/patterns.json", 1 << 20, &text, &n, &e) < 0) fail_msg("%s", e.msg);
    if (json_parse(&all, text, n, &e) < 0) fail_msg("%s", e.msg);
    assert_true(json_len(all) >= 100);
    for (size_t i = 0; i < json_len(all); i++) {
        const struct json *row = json_at(all, i), *texts = json_at(row, 1);
        size_t len;
        const char *pattern = json_str(json_at(row, 0), &len);
        struct grammar *g;
        if (grammar_from_regex(&g, pattern, len, &e) < 0) fail_msg("%s: %s", pattern, e.msg);
        for (size_t k = 0; k < json_len(texts); k++) {
            const char *t = json_str(json_at(json_at(texts, k), 0), &len);
            bool want = json_bool(json_at(json_at(texts, k), 1));
            if ((grammar_verdict(g, t, len) == V_WHOLE) != want) fail_msg("%s on \"%s\" must be %d", pattern, t, want);
        }
        grammar_free(g);
    }
    json_free(all);
    mem_free(text);
}

static void errors_say_where(void **unused)
{
    (void)unused;
    static const struct { const char *pattern, *word; int code; } t[] = {
        { "a(b", "character 2: this ( has no )", ERR_FORMAT }, { "a)b", "character 2: this ) has no (", ERR_FORMAT },
        { "[a", "character 1: this [ has no ]", ERR_FORMAT }, { "*a", "character 1: there is nothing", ERR_FORMAT },
        { "a**", "character 3: a repetition of a repetition", ERR_FORMAT }, { "[z-a]", "ends before it begins", ERR_FORMAT },
        { "a{3,2}", "above the most", ERR_FORMAT }, { "(a)\\1", "back references", ERR_UNSUPPORTED },
        { "(?=a)b", "looking ahead", ERR_UNSUPPORTED }, { "\\bword", "escape", ERR_UNSUPPORTED },
        { "a^b", "only possible at the ends", ERR_UNSUPPORTED }, { "a$b", "only possible at the ends", ERR_UNSUPPORTED },
        { "\\xg1", "hexadecimal", ERR_FORMAT }, { "\\ud800", "no Unicode character", ERR_FORMAT }, { "\xff", "UTF-8",
            ERR_FORMAT },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct grammar *g;
        struct err e = { 0 };
        int rc = grammar_from_regex(&g, t[i].pattern, strlen(t[i].pattern), &e);
        if (rc != t[i].code || g || !strstr(e.msg, t[i].word)) fail_msg("%s: %d %s", t[i].pattern, rc, e.msg);
    }
}

/* Linear in the text whatever the pattern: 10 ms per MB, with room for sanitizers and emulators. */
static void time_is_linear(void **unused)
{
    (void)unused;
    static const char *const pattern[] = { "(a+)+", "(a|a)*b?", "(a*)*(a*)*(a*)*", "(a|aa)+", "(.*)*x?", "([a-z]+)*" };
    size_t n = 1 << 20;
    char *text = mem_new_array(char, n);
    assert_non_null(text);
    memset(text, 'a', n);
    for (size_t i = 0; i < sizeof pattern / sizeof *pattern; i++) {
        struct grammar *g;
        struct err e;
        uint64_t start = os_now_ns();
        assert_int_equal(grammar_from_regex(&g, pattern[i], strlen(pattern[i]), &e), 0);
        assert_int_equal(grammar_verdict(g, text, n), V_WHOLE);
        double ms = (double)(os_now_ns() - start) * 1e-6;
        if (ms > 10 * 20) fail_msg("%s: %.0f ms", pattern[i], ms);
        grammar_free(g);
    }
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_fixtures), cmocka_unit_test(errors_say_where), cmocka_unit_test(time_is_linear),
    };
    return run_tests(tests);
}
