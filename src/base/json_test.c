#include "tests/testing.h"

#include <stdlib.h>

#include "base/json.h"
#include "base/mem.h"

static struct json *parse(const char *s)
{
    struct json *j;
    struct err e = { 0 };
    if (json_parse(&j, s, strlen(s), &e) < 0) fail_msg("%s: %s", s, e.msg);
    return j;
}

static void refuse(const char *s, size_t n, const char *says)
{
    struct json *j;
    struct err e = { 0 };
    assert_true(json_parse(&j, s, n, &e) < 0);
    assert_null(j);
    if (!strstr(e.msg, says)) fail_msg("\"%s\" does not say \"%s\"", e.msg, says);
    assert_true(json_parse(&j, s, n, NULL) < 0);
}
#define REFUSE(text, says) refuse((text), sizeof(text) - 1, (says))

static void types(void **state)
{
    (void)state;
    struct json *j = parse("{\"z\":null,\"a\":true,\"m\":-5,\"b\":2.5,\"s\":\"x\\u0000\\u00e9\",\"l\":[1,[],{}],\"o\":{}}");
    static const enum json_type want[] = { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };
    void *it = NULL;
    const char *key;
    struct json *v;
    char order[8] = { 0 };
    size_t n = 0;
    while (json_next(j, &it, &key, &v)) {
        assert_true(n < 7);
        assert_int_equal(json_type(v), want[n]);
        order[n++] = key[0];
    }
    assert_string_equal(order, "zambslo");
    assert_int_equal(json_len(j), 7);
    assert_int_equal(json_type(j), JSON_OBJECT);
    assert_true(json_bool(json_get(j, "a")));
    assert_int_equal(json_int(json_get(j, "m")), -5);
    assert_true(json_num(json_get(j, "m")) == -5.0);
    assert_true(json_num(json_get(j, "b")) == 2.5);
    assert_memory_equal(json_str(json_get(j, "s"), &n), "x\0\xc3\xa9", 4);
    assert_int_equal(n, 4);
    assert_int_equal(json_len(json_get(j, "l")), 3);
    assert_int_equal(json_int(json_at(json_get(j, "l"), 0)), 1);
    assert_null(json_at(json_get(j, "l"), 3));
    assert_null(json_get(j, "none"));
    json_free(j);
}

static void wrong_type_is_harmless(void **state)
{
    (void)state;
    size_t n = 7;
    struct json *j = parse("[1]"), *v;
    void *it = NULL;
    const char *key;
    assert_false(json_bool(j));
    assert_int_equal(json_int(j), 0);
    assert_true(json_num(j) == 0);
    assert_null(json_str(j, &n));
    assert_int_equal(n, 0);
    assert_null(json_get(j, "a"));
    assert_null(json_at(json_at(j, 0), 0));
    assert_int_equal(json_len(json_at(j, 0)), 0);
    assert_false(json_next(j, &it, &key, &v));
    json_free(j);
    json_free(NULL);
    assert_int_equal(json_type(NULL), JSON_NULL);
    assert_false(json_bool(NULL));
    assert_int_equal(json_int(NULL), 0);
    assert_true(json_num(NULL) == 0);
    assert_null(json_str(NULL, NULL));
    assert_int_equal(json_len(NULL), 0);
    assert_null(json_at(NULL, 0));
    assert_null(json_get(NULL, ""));
    assert_false(json_next(NULL, &it, &key, &v));
}

static void refusals(void **state)
{
    (void)state;
    REFUSE("", "line 1");
    REFUSE("{\n \"a\": 1,\n \"a\": 2}", "line 3");
    REFUSE("[1] 2", "end of file");
    REFUSE("[1,]", "JSON:");
    REFUSE("nul", "JSON:");
    REFUSE("\"\xff\"", "decode byte");
    REFUSE("\"\xc0\x80\"", "decode byte");
    REFUSE("\"\xed\xa0\x80\"", "decode byte");
    REFUSE("\"\\ud800\"", "JSON:");
    REFUSE("\"a\nb\"", "JSON:");
    REFUSE("1e999", "overflow");
    REFUSE("01", "JSON:");
    REFUSE("NaN", "JSON:");
    REFUSE("\"abc", "JSON:");
    REFUSE("\"abc\\", "JSON:");
    REFUSE("{\"a\\u0000\":1}", "NUL");
    REFUSE("[1]\0", "JSON:");
}

static void large_numbers_are_reals(void **state)
{
    (void)state;
    static const char text[] = "[9223372036854775808,-1000000000000000019884624838656,9223372036854775807,-9223372036854775808,"
                               "\"\\\"12345678901234567890\",1.5,12345678901234567890123]";
    struct json *j;
    struct err e;
    if (json_parse(&j, text, sizeof text - 1, &e) < 0) fail_msg("%s", e.msg);
    assert_true(json_type(json_at(j, 0)) == JSON_REAL && json_num(json_at(j, 0)) == 9223372036854775808.0);
    assert_true(json_num(json_at(j, 1)) == -1e30);
    assert_true(json_type(json_at(j, 2)) == JSON_INT && json_int(json_at(j, 2)) == INT64_MAX);
    assert_true(json_int(json_at(j, 3)) == INT64_MIN);
    assert_string_equal(json_str(json_at(j, 4), NULL), "\"12345678901234567890");
    assert_true(json_num(json_at(j, 5)) == 1.5 && json_type(json_at(j, 6)) == JSON_REAL);
    json_free(j);
}

static void depth(void **state)
{
    (void)state;
    size_t n = 1000000;
    char *s = malloc(n);
    assert_non_null(s);
    memset(s, '[', n);
    refuse(s, n, "column 65: more than 64 levels");
    memset(s + 64, ']', 64);
    struct json *j;
    assert_int_equal(json_parse(&j, s, 128, NULL), 0);
    json_free(j);
    memset(s, '[', n);
    s[0] = s[n - 1] = '"';          /* brackets inside a string count for nothing */
    assert_int_equal(json_parse(&j, s, n, NULL), 0);
    json_free(j);
    free(s);
}

struct asked { unsigned n; uint64_t bytes, most; };
static bool may(void *arg, uint64_t bytes)
{
    struct asked *a = arg;
    a->n++;
    a->bytes = bytes;
    return bytes <= a->most;
}

/* Once, with the bytes of text and values, and only for a text whose shape is right. */
static void values_are_asked_for(void **state)
{
    (void)state;
    struct asked a = { .most = 9 + 6 * 44 };
    struct json *j;
    struct err e;
    assert_int_equal(json_parse_asking(&j, "[1,2,3,4]", 9, 100, may, &a, &e), 0);
    assert_true(json_len(j) == 4 && a.n == 1 && a.bytes == a.most);
    json_free(j);
    a.most--;
    assert_int_equal(json_parse_asking(&j, "[1,2,3,4]", 9, 100, may, &a, &e), ERR_CANCELLED);
    assert_true(!j && a.n == 2);
    assert_int_equal(json_parse_asking(&j, "[1,2,3,4]", 9, 5, may, &a, &e), ERR_LIMIT);
    assert_true(!j && a.n == 2);
}

/* Texts that are about as heavy as ten numbers, and a little more. */
static void weight(void **state)
{
    (void)state;
    static const struct { const char *text; size_t most; } row[] = {
        { "[1,2,3,4]", 6 }, { "[\"a,[{\",\"\\\"\"]", 8 }, { "{\"a\":1,\"b\":[]}", 14 }, { "[[],{},1]", 14 }, { "7", 0 },
        { "\"x\"", 2 },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct json *j;
        struct err e;
        size_t n = strlen(row[i].text);
        if (json_parse_most(&j, row[i].text, n, row[i].most, &e) < 0) fail_msg("%s: %s", row[i].text, e.msg);
        json_free(j);
        if (!row[i].most) continue;
        assert_int_equal(json_parse_most(&j, row[i].text, n, row[i].most - 1, &e), ERR_LIMIT);
        assert_null(j);
    }
}

/* What other processes and hubs send has a limit as well. */
static void a_small_text_is_not_a_large_value(void **state)
{
    (void)state;
    const size_t n = (size_t)JSON_MOST_VALUES / 7 * 3 + 100;
    char *text = mem_new(n + 1, 1);
    struct json *j;
    struct err e;
    text[0] = '[';
    for (size_t i = 1; i + 3 < n; i += 3) memcpy(text + i, "{},", 3);
    assert_int_equal(json_parse(&j, text, n, &e), ERR_LIMIT);
    assert_non_null(strstr(e.msg, "more values than are taken"));
    mem_free(text);
}

static void round_trip(void **state)
{
    (void)state;
    static const char *const text[] = {
        "null", "true", "-9223372036854775808", "0.1", "1e+300", "-2.0", "5e-324", "1.7976931348623157e+308", "\"\"",
        "[]", "{}", "[1,[2,{\"a\":[]}],\"\\\"\\\\\\n\\t\\r\\b\\f\\u0001\\u0000\x7f\xc3\xa9\xf0\x9f\x98\x80\"]",
        "{\"b\":1,\"a\":{\"\":false}}",
    };
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        struct json *j = parse(text[i]), *again;
        struct buf b = { 0 };
        json_write(j, false, &b);
        assert_string_equal(b.data, text[i]);
        buf_clear(&b);
        json_write(j, true, &b);
        assert_int_equal(json_parse(&again, b.data, b.len, NULL), 0);
        buf_clear(&b);
        json_write(again, false, &b);
        assert_string_equal(b.data, text[i]);
        json_free(j);
        json_free(again);
        buf_release(&b);
    }
}

static void building(void **state)
{
    (void)state;
    struct json *o = json_new_object(), *a = json_new_array();
    assert_true(json_push(a, json_new_int(1)));
    assert_true(json_push(a, json_new_real(0.5)));
    assert_true(json_push(a, json_new_bool(true)));
    assert_true(json_push(a, json_new_null()));
    assert_true(json_push(a, json_new_str("a\0b", 3)));
    assert_true(json_push(a, json_new_str(NULL, 0)));
    assert_null(json_new_str("\xff", 1));
    assert_false(json_push(a, json_new_str("\xff", 1)));
    assert_false(json_push(NULL, json_new_int(1)));
    assert_false(json_put(NULL, "a", json_new_int(1)));
    assert_false(json_put(a, "a", json_new_int(1)));
    assert_false(json_push(o, json_new_int(1)));
    struct json *again = json_share(a);
    assert_true(json_put(o, "list", a));
    assert_ptr_equal(again, a);
    json_free(again);
    assert_null(json_share(NULL));
    assert_true(json_put(o, "one", json_new_int(1)));
    assert_true(json_put(o, "one", json_new_int(2)));
    struct buf b = { 0 };
    json_write(o, false, &b);
    assert_string_equal(b.data, "{\"list\":[1,0.5,true,null,\"a\\u0000b\",\"\"],\"one\":2}");
    buf_clear(&b);
    json_write(o, true, &b);
    assert_string_equal(b.data, "{\n  \"list\": [\n    1,\n    0.5,\n    true,\n    null,\n    \"a\\u0000b\",\n    \"\"\n  ],\n"
                                "  \"one\": 2\n}");
    buf_release(&b);
    json_free(o);
}

static void invalid_utf8_is_replaced(void **state)
{
    (void)state;
    struct buf b = { 0 };
    const char s[] = "a\xff\xe2\x82z\xed\xa0\x80\xf4\x90\x80\x80\xc3";
    json_write_str(s, sizeof s - 1, &b);
#define R "\xef\xbf\xbd"
    assert_string_equal(b.data, "\"a" R R R "z" R R R R R R R R "\"");
    struct json *j = parse(b.data);
    json_free(j);
    buf_release(&b);
}

static void writing_is_bounded(void **state)
{
    (void)state;
    struct json *j = json_new_array();
    for (int i = 0; i < 500; i++) {
        struct json *up = json_new_array();
        assert_true(json_push(up, j));
        j = up;
    }
    struct buf b = { 0 };
    json_write(j, false, &b);
    assert_true(b.bad);
    buf_release(&b);
    json_free(j);
    struct buf small = { .limit = 3 };
    struct json *s = json_new_str("long enough", 11);
    json_write(s, false, &small);
    assert_true(small.bad);
    buf_release(&small);
    json_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types), cmocka_unit_test(wrong_type_is_harmless), cmocka_unit_test(refusals),
        cmocka_unit_test(large_numbers_are_reals),
        cmocka_unit_test(depth), cmocka_unit_test(values_are_asked_for),
        cmocka_unit_test(weight), cmocka_unit_test(a_small_text_is_not_a_large_value),
        cmocka_unit_test(round_trip), cmocka_unit_test(building),
        cmocka_unit_test(invalid_utf8_is_replaced), cmocka_unit_test(writing_is_bounded),
    };
    return run_tests(tests);
}
