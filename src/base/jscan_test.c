#include "base/jscan.h"

#include "base/json.h"
#include "tests/testing.h"

static void skip_all(struct jscan *s, const char *text, size_t n)
{
    jscan_init(s, text, n);
    jscan_skip(s);
    jscan_end(s);
}

static void reads_what_it_expects(void **state)
{
    (void)state;
    static const char text[] = " {\"a\\u00e9\\ud83d\\ude00\" : [1, 18446744073709551615, "
                               "-2.5e1,true ,null], \"b\":{}, \"c\":\"x\\n\\/\"}\n";
    struct jscan s;
    struct buf b = { 0 };
    jscan_init(&s, text, sizeof text - 1);
    assert_true(jscan_open(&s, '{'));
    assert_true(jscan_key(&s, &b));
    assert_string_equal(b.data, "a\xc3\xa9\xf0\x9f\x98\x80");
    assert_true(jscan_open(&s, '['));
    assert_true(jscan_item(&s) && jscan_u64(&s) == 1);
    assert_true(jscan_item(&s) && jscan_u64(&s) == UINT64_MAX);
    assert_true(jscan_item(&s) && jscan_num(&s) == -25);
    assert_true(jscan_item(&s) && jscan_bool(&s));
    const char *one = "1";
    assert_true(jscan_item(&s) && !jscan_null(&(struct jscan){ .at = one, .end = one + 1 }) && jscan_null(&s));
    assert_false(jscan_item(&s));
    assert_true(jscan_key(&s, &b) && jscan_peek(&s) == '{');
    jscan_skip(&s);
    assert_true(jscan_key(&s, &b));
    buf_clear(&b);
    jscan_str(&s, &b);
    assert_string_equal(b.data, "x\n/");
    assert_false(jscan_key(&s, &b));
    assert_true(jscan_end(&s));
    buf_release(&b);
}

static void says_where_it_failed(void **state)
{
    (void)state;
    struct jscan s;
    struct err e;
    struct buf b = { 0 };
    static const char text[] = "{\"a\": 1,\n \"b\": x}";
    jscan_init(&s, text, sizeof text - 1);
    assert_true(jscan_open(&s, '{') && jscan_key(&s, &b));
    jscan_skip(&s);
    assert_true(jscan_key(&s, &b));
    jscan_skip(&s);
    assert_false(jscan_key(&s, &b) || jscan_item(&s) || jscan_open(&s, '{') || jscan_peek(&s) || jscan_end(&s));
    assert_int_equal(jscan_error(&s, "f.json", &e), ERR_FORMAT);
    assert_string_equal(e.msg, "f.json: line 2, column 7: expected a value");
    buf_release(&b);
}

static void agrees_with_the_other_parser(void **state)
{
    (void)state;
    static const char *const text[] = {
        "", "1", "-0", "01", "1.", ".5", "1e5", "1e", "1E+3", "-", "+1", "true", "tru", "nullx", "\"a", "\"\\x\"", "\"\\u12g4\"",
        "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\\udc00\"", "\"\x01\"", "\"\xc3\xa9\"", "\"\xc0\x80\"", "\"\xed\xa0\x80\"",
            "[", "]",
        "[]", "[1]", "[1,]", "[,1]", "[1 2]", "{\"a\":1}", "{\"a\":1,}", "{,}", "{\"a\"}", "{\"a\":}", "{1:2}", "[}", "{]", "[1}",
        "{\"a\":[1,{\"b\":[]}],\"c\":{}}", "[[[[]]],[]]", "[] []", "[]x", "{\"a\":1 \"b\":2}", "[1,[2,[3,{}]],{\"x\":[]}]",
    };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct jscan s;
        struct json *j = NULL;
        skip_all(&s, text[i], strlen(text[i]));
        bool ok = json_parse(&j, text[i], strlen(text[i]), NULL) == 0;
        if (ok != !s.bad) fail_msg("%s: %s", text[i], s.bad ? s.bad : "accepted");
        json_free(j);
    }
}

static void depth_and_zero_bytes(void **state)
{
    (void)state;
    char deep[2 * JSCAN_DEPTH + 2];
    struct jscan s;
    memset(deep, '[', JSCAN_DEPTH);
    memset(deep + JSCAN_DEPTH, ']', JSCAN_DEPTH);
    skip_all(&s, deep, 2 * JSCAN_DEPTH);
    assert_null(s.bad);
    memset(deep, '[', JSCAN_DEPTH + 1);
    memset(deep + JSCAN_DEPTH + 1, ']', JSCAN_DEPTH + 1);
    skip_all(&s, deep, 2 * JSCAN_DEPTH + 2);
    assert_string_equal(s.bad, "too many levels of nesting");
    skip_all(&s, "[]\0[]", 5);
    assert_non_null(s.bad);
    struct buf small = { .limit = 4 };
    jscan_init(&s, "\"abcdefgh\"", 10);
    jscan_str(&s, &small);
    assert_non_null(s.bad);
    buf_release(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_expects),
        cmocka_unit_test(says_where_it_failed),
        cmocka_unit_test(agrees_with_the_other_parser),
        cmocka_unit_test(depth_and_zero_bytes),
    };
    return run_tests(tests);
}
