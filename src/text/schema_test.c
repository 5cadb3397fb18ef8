/* JSON Schema: which texts a schema allows, and what is refused, with its place. */
#include "tests/testing.h"

#include "base/buf.h"
#include "base/mem.h"
#include "tests/grammar.h"

struct row { const char *schema, *good, *bad; };        /* texts separated by lines */

static void check_texts(const struct grammar *g, const char *schema, const char *texts, bool good)
{
    for (const char *s = texts; s; s = strchr(s, '\n') ? strchr(s, '\n') + 1 : NULL) {
        size_t n = strcspn(s, "\n");
        if ((grammar_verdict(g, s, n) == V_WHOLE) != good) fail_msg("%s\n  \"%.*s\" must %sbe allowed", schema, (int)n,
            s, good ? "" : "not ");
    }
}

static void check_rows(const struct row *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct grammar *g;
        struct err e = { 0 };
        if (grammar_from_schema(&g, t[i].schema, strlen(t[i].schema), &e) < 0) fail_msg("%s: %s", t[i].schema, e.msg);
        check_texts(g, t[i].schema, t[i].good, true);
        check_texts(g, t[i].schema, t[i].bad, false);
        grammar_free(g);
    }
}
#define ROWS(t) check_rows((t), sizeof (t) / sizeof *(t))

static void values(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "true", "1\n\"a\"\n{\"a\": [1, 2.5e3, null, {}]}\n[]\ntrue\n\"\\ud83d\\ude00 \\u00e9\"",
            "01\n1.\n\"\\ud83d\"\n[1,]\n{a:1}\n'a'\n\"\t\"" },
        { "{\"type\":[\"null\",\"boolean\"]}", "null\ntrue\nfalse", "0\n\"null\"\nnul" },
        { "{\"enum\":[1,\"a\\\"b\",{\"k\":[null]},2.5]}", "1\n\"a\\\"b\"\n{\"k\":[null]}\n2.5", "2\n\"a\"\n{}\n1.0" },
        { "{\"const\":\"\xc3\xa9\"}", "\"\xc3\xa9\"", "\"e\"\n\xc3\xa9" },
        { "{\"enum\":[1,\"a\",null],\"type\":\"string\"}", "\"a\"", "1\nnull" },
        { "{\"type\":\"object\"}", "{}\n{\"a\":{\"b\":[]}}", "[]\nnull" },
    };
    ROWS(t);
}

static void objects(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "{\"properties\":{\"a\":{\"type\":\"integer\"},\"b\":{\"const\":1},\"c\":{\"const\":2}},\"required\":[\"b\"],"
          "\"type\":\"object\"}",
          "{\"b\":1}\n{\"a\":5,\"b\":1}\n{\"a\": 5, \"b\": 1, \"c\": 2}\n{ \"b\":1,\"c\":2 }",
          "{}\n{\"a\":1}\n{\"b\":1,\"a\":1}\n{\"b\":1,}\n{,\"b\":1}\n{\"b\":1,\"d\":1}\n{\"b\":1 \"c\":2}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1}},\"additionalProperties\":{\"type\":\"null\"}}",
          "{}\n{\"a\":1}\n{\"b\":null}\n{\"a\":1,\"b\":null,\"aa\":null,\"\":null}",
              "{\"a\":null}\n{\"b\":1}\n{\"\\u0061\":null}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":true},\"additionalProperties\":false}", "{}\n{\"a\":[]}", "{\"b\":1}" },
        { "{\"type\":\"object\",\"patternProperties\":{\"^x\":{\"const\":1},\"y$\":{\"enum\":[1,2]}},"
          "\"additionalProperties\":false}",
          "{\"x\":1}\n{\"y\":2}\n{\"xy\":1,\"ay\":2}\n{}", "{\"x\":2}\n{\"xy\":2}\n{\"z\":1}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"const\":1},\"b\":{\"const\":1},\"c\":{\"const\":1}},\"minProperties\":2,"
          "\"maxProperties\":2}", "{\"a\":1,\"b\":1}\n{\"a\":1,\"c\":1}\n{\"b\":1,\"c\":1}",
              "{}\n{\"a\":1}\n{\"a\":1,\"b\":1,\"c\":1}" },
        { "{\"type\":\"object\",\"required\":[\"z\"]}", "{\"z\":1}", "{}\n{\"a\":1}" },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"additionalProperties\":false}",
            "{}\n{\"a\":{\"a\":{}}}", "{\"a\":1}" },
    };
    ROWS(t);
}

static void arrays(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "{\"type\":\"array\",\"items\":{\"const\":1},\"minItems\":1,\"maxItems\":3}", "[1]\n[1,1]\n[1, 1, 1]\n[ 1 ]",
            "[]\n[1,1,1,1]\n[2]\n[1 1]" },
        { "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":{\"const\":3}}",
            "[]\n[1]\n[1,2]\n[1,2,3,3]", "[2]\n[1,3]\n[1,2,2]" },
        { "{\"type\":\"array\",\"prefixItems\":[{\"const\":1},{\"const\":2}],\"items\":false,\"minItems\":2}", "[1,2]",
            "[]\n[1]\n[1,2,3]" },
        { "{\"type\":\"array\",\"items\":[{\"const\":1}],\"additionalItems\":{\"const\":2}}", "[1]\n[1,2,2]", "[2]\n[1,1]" },
        { "{\"type\":\"array\",\"maxItems\":0}", "[]\n[ ]", "[1]" },
    };
    ROWS(t);
}

static void numbers(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "{\"type\":\"integer\"}", "0\n-7\n123456789012345", "1.0\n01\n1e3\n-\n+1" },
        { "{\"type\":\"number\"}", "0\n-0.5\n1e3\n12.25E-7", ".5\n1.\n1e\n--1" },
        { "{\"type\":\"integer\",\"minimum\":-12,\"maximum\":105}", "-12\n-9\n0\n99\n100\n105", "-13\n-20\n106\n110\n1000\n-0" },
        { "{\"type\":\"integer\",\"exclusiveMinimum\":9,\"exclusiveMaximum\":21}", "10\n20", "9\n21\n1\n2" },
        { "{\"type\":\"integer\",\"minimum\":99.5}", "100\n101\n99999", "99\n10" },
        { "{\"type\":\"integer\",\"maximum\":-5}", "-5\n-6\n-100", "-4\n5\n0" },
        { "{\"type\":\"number\",\"minimum\":0.25,\"maximum\":10}", "0.25\n0.3\n1\n9.99\n10\n10.0",
            "0.2\n0.249\n0\n10.1\n11\n-1" },
        { "{\"type\":\"number\",\"exclusiveMinimum\":0,\"exclusiveMaximum\":1}", "0.5\n0.001\n0.999", "0\n1\n1.0\n0.0\n-0.5" },
        { "{\"type\":\"number\",\"exclusiveMinimum\":-1.5,\"maximum\":-0.5}", "-1.4\n-0.5\n-1", "-1.5\n-1.6\n-0.4\n0\n1" },
        { "{\"type\":\"integer\",\"multipleOf\":7,\"minimum\":-30,\"maximum\":30}", "-28\n0\n7\n28", "1\n-30\n30\n35" },
        { "{\"type\":\"integer\",\"format\":\"int32\"}", "2147483647\n-2147483648", "2147483648\n-2147483649" },
        { "{\"minimum\":5,\"type\":[\"integer\",\"string\"]}", "5\n\"x\"", "4" },
    };
    ROWS(t);
}

static void strings(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "{\"type\":\"string\",\"minLength\":2,\"maxLength\":3}",
            "\"ab\"\n\"a\xc3\xa9\xe2\x82\xac\"\n\"\\n\\\"\"\n\"\\ud83d\\ude00x\"", "\"a\"\n\"abcd\"\n\"\\u0041\"" },
        { "{\"type\":\"string\",\"pattern\":\"^[A-Z]{2}-\\\\d+$\"}", "\"AB-1\"\n\"XY-123\"",
            "\"A-1\"\n\"AB-\"\n\"AB-1x\"\n\"xAB-1\"" },
        { "{\"type\":\"string\",\"pattern\":\"b\"}", "\"b\"\n\"abc\"", "\"\"\n\"ac\"" },
        { "{\"type\":\"string\",\"pattern\":\"^\\\"\\\\\\\\$\"}", "\"\\\"\\\\\"", "\"\\\"\"\n\"\"\\\"" },
        { "{\"allOf\":[{\"type\":\"string\",\"pattern\":\"^a\"},{\"pattern\":\"z$\"},{\"maxLength\":3}]}",
            "\"az\"\n\"abz\"", "\"a\"\n\"z\"\n\"abbz\"" },
        { "{\"type\":\"string\",\"format\":\"date\"}", "\"2024-02-29\"\n\"2023-12-31\"\n\"0001-01-01\"",
            "\"2023-02-29\"\n\"2023-13-01\"\n\"2023-04-31\"\n\"0000-01-01\"" },
        { "{\"type\":\"string\",\"format\":\"date-time\"}", "\"2024-01-02T03:04:05Z\"\n\"2024-01-02T23:59:59.25+01:30\"",
            "\"2024-01-02\"\n\"2024-01-02T24:00:00Z\"\n\"2024-01-02T03:04:05\"" },
        { "{\"type\":\"string\",\"format\":\"uuid\"}", "\"01234567-89ab-cdef-0123-456789ABCDEF\"", "\"0123\"" },
        { "{\"type\":\"string\",\"format\":\"ipv4\"}", "\"0.0.0.0\"\n\"255.249.100.99\"",
            "\"256.0.0.1\"\n\"1.2.3\"\n\"01.2.3.4\"" },
        { "{\"type\":\"string\",\"format\":\"ipv6\"}", "\"::\"\n\"::1\"\n\"1:2:3:4:5:6:7:8\"\n\"fe80::1:2\"",
            "\"1::2::3\"\n\"1:2:3\"\n\"12345::\"" },
        { "{\"type\":\"string\",\"format\":\"email\"}", "\"a.b@example.org\"", "\"a@b\"\n\"@x.y\"" },
        { "{\"type\":\"string\",\"format\":\"uri\"}", "\"https://example.org/a/b?c=d#e\"", "\"example\"\n\"http//x\"" },
        { "{\"type\":\"string\",\"maxLength\":100000}", "\"\"\n\"abc\"", "abc" },
    };
    ROWS(t);
}

static void combinations(void **unused)
{
    (void)unused;
    static const struct row t[] = {
        { "{\"anyOf\":[{\"type\":\"integer\"},{\"type\":\"string\"}],\"maximum\":5,\"minLength\":1}", "5\n\"a\"",
            "6\n\"\"\nnull" },
        { "{\"oneOf\":[{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"a\"},\"x\":{\"type\":\"null\"}},"
          "\"required\":[\"t\",\"x\"]},"
          "{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"b\"}},\"required\":[\"t\"]}]}",
              "{\"t\":\"a\",\"x\":null}\n{\"t\":\"b\"}", "{\"t\":\"c\"}\n{\"t\":\"a\"}" },
        { "{\"oneOf\":[{\"type\":\"integer\",\"maximum\":3},{\"type\":\"integer\",\"minimum\":10}]}", "3\n10", "5" },
        { "{\"allOf\":[{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}},\"required\":[\"a\"]},"
          "{\"properties\":{\"a\":{\"minimum\":3},"
          "\"b\":{\"const\":0}}}]}", "{\"a\":3}\n{\"a\":4,\"b\":0}", "{\"a\":2}\n{\"b\":0}\n{\"a\":\"x\"}" },
        { "{\"$ref\":\"#/$defs/n\",\"$defs\":{\"n\":{\"type\":\"object\",\"properties\":{\"v\":{\"type\":\"integer\"},"
          "\"next\":{\"anyOf\":[{\"$ref\":\"#/$defs/n\"},"
          "{\"type\":\"null\"}]}},\"required\":[\"v\",\"next\"]}}}",
              "{\"v\":1,\"next\":null}\n{\"v\":1,\"next\":{\"v\":2,\"next\":null}}", "{\"v\":1}\n{\"v\":1,\"next\":2}" },
        { "{\"definitions\":{\"a/b\":{\"const\":1}},\"$ref\":\"#/definitions/a~1b\"}", "1", "2" },
        { "{\"not\":{\"type\":[\"object\",\"array\",\"string\"]},\"type\":[\"string\",\"null\",\"boolean\"]}",
            "null\ntrue", "\"a\"" },
        { "{\"anyOf\":[{\"const\":1},{\"type\":\"object\",\"required\":[\"a\"],"
          "\"properties\":{\"a\":{\"$ref\":\"#/anyOf/1\"}}}]}", "1", "{\"a\":1}\n{" },
    };
    ROWS(t);
}

static void refused_with_its_place(void **unused)
{
    (void)unused;
    static const struct { const char *schema, *word; int code; } t[] = {
        { "{\"properties\":{\"a\":{\"type\":\"array\",\"uniqueItems\":true}}}",
            "/properties/a/uniqueItems: cannot be kept", ERR_UNSUPPORTED },
        { "{\"if\":{\"type\":\"string\"},\"then\":{\"minLength\":1}}", "/if: cannot", ERR_UNSUPPORTED },
        { "{\"not\":{\"required\":[\"a\"]}}", "/not: can only exclude types", ERR_UNSUPPORTED },
        { "{\"contains\":{}}", "/contains", ERR_UNSUPPORTED },
        { "{\"items\":{\"propertyNames\":{\"maxLength\":3}}}", "/items/propertyNames", ERR_UNSUPPORTED },
        { "{\"oneOf\":[{\"type\":\"string\"},{\"type\":\"string\",\"maxLength\":3}]}",
            "/oneOf: a value could be valid for both 0 and 1", ERR_UNSUPPORTED },
        { "{\"properties\":{\"x\":{\"type\":\"string\",\"format\":\"color\"}}}",
            "/properties/x/format: color is not known", ERR_UNSUPPORTED },
        { "{\"type\":\"string\",\"pattern\":\"(?=a)\"}", "/pattern: ", ERR_UNSUPPORTED },
        { "{\"type\":\"number\",\"multipleOf\":0.3}", "/multipleOf: can only be a whole number", ERR_UNSUPPORTED },
        { "{\"$ref\":\"http://example.org/x\"}", "only places within the schema", ERR_UNSUPPORTED },
        { "{\"$ref\":\"#/nope\"}", "where there is no schema", ERR_FORMAT },
        { "{\"$ref\":\"#\"}", "refers to itself", ERR_FORMAT },
        { "{\"$ref\":\"#/$defs/a\",\"$defs\":{\"a\":{\"allOf\":[{\"$ref\":\"#/$defs/b\"}]},"
          "\"b\":{\"$ref\":\"#/$defs/a\"}}}", "refers to itself", ERR_FORMAT },
        { "{\"type\":\"strin\"}", "/type: there is no type strin", ERR_FORMAT },
        { "{\"properties\":[]}", "/properties: is of the wrong type", ERR_FORMAT },
        { "{\"type\":\"string\",\"minLength\":-1}", "/minLength: must be a whole number", ERR_FORMAT },
        { "{\"type\":\"integer\",\"minimum\":3,\"maximum\":2}", "never ends", ERR_FORMAT },
        { "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "never ends", ERR_FORMAT },
        { "false", "never ends", ERR_FORMAT }, { "3", "a schema must be", ERR_FORMAT }, { "{", "schema: JSON: line 1",
            ERR_FORMAT },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct grammar *g;
        struct err e = { 0 };
        int rc = grammar_from_schema(&g, t[i].schema, strlen(t[i].schema), &e);
        if (rc != t[i].code || g || !strstr(e.msg, t[i].word)) fail_msg("%s: %d %s\n  does not say %s", t[i].schema, rc,
            e.msg, t[i].word);
    }
}

/* ---- hostile schemas: within 200 ms and 64 MB, or refused ---- */

static int compile(const char *name, const struct buf *b)
{
    struct grammar *g;
    struct err e = { 0 };
    uint64_t start = os_now_ns();
    int rc = grammar_from_schema(&g, b->data, b->len, &e);
    double ms = (double)(os_now_ns() - start) * 1e-6;
    print_message("# %s: %.0f ms, %s\n", name, ms, rc < 0 ? e.msg : "compiled");
    if (ms > 200 * 20) fail_msg("%s: %.0f ms", name, ms);        /* room for sanitizers and emulators */
    grammar_free(g);
    return rc;
}

static void hostile(void **unused)
{
    (void)unused;
    struct buf b = { 0 };
    buf_puts(&b, "{\"oneOf\":[");
    for (int i = 0; i < 1000; i++)
        buf_printf(&b, "%s{\"type\":\"object\",\"properties\":{\"t\":{\"const\":\"t%d\"},\"v\":{\"type\":\"string\"}},"
          "\"required\":[\"t\"]}", i ? "," : "", i);
    buf_puts(&b, "]}");
    compile("1,000 alternatives that exclude each other", &b);
    buf_clear(&b);
    buf_puts(&b, "{\"allOf\":[");
    for (int i = 0; i < 16; i++) buf_printf(&b, "%s{\"anyOf\":[{\"minimum\":%d},{\"minLength\":%d},{\"maxItems\":%d}]}",
        i ? "," : "", i, i, i);
    buf_puts(&b, "]}");
    assert_int_equal(compile("3^16 combinations", &b), ERR_LIMIT);
    buf_clear(&b);
    buf_puts(&b, "{\"$ref\":\"#/$defs/d0\",\"$defs\":{");
    for (int i = 0; i < 2000; i++)
        buf_printf(&b, "%s\"d%d\":{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#/$defs/d%d\"},"
          "\"b\":{\"$ref\":\"#/$defs/d%d\"}}}", i ? "," : "", i,
                   (i * 7 + 1) % 2000, (i * 13 + 5) % 2000);
    buf_puts(&b, "}}");
    compile("2,000 definitions in circles", &b);
    buf_clear(&b);
    buf_puts(&b, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 3000; i++) buf_printf(&b, "%s\"p%d\":{\"type\":\"string\",\"maxLength\":1000000000}", i ? "," : "", i);
    buf_puts(&b, "},\"additionalProperties\":true}");
    compile("3,000 properties", &b);
    buf_clear(&b);
    buf_puts(&b, "{\"type\":\"string\",\"pattern\":\"^(((a{1,500}){1,500}){1,500})*$\",\"minLength\":5}");
    assert_true(compile("a pattern that is too large to combine", &b) < 0);
    buf_clear(&b);
    buf_puts(&b, "{\"type\":\"string\",\"pattern\":\"^(a|b)*a(a|b){24}$\",\"maxLength\":40}");
    compile("subsets of a pattern", &b);
    buf_clear(&b);
    buf_puts(&b, "{\"enum\":[");
    for (int i = 0; i < 20000; i++) buf_printf(&b, "%s\"value %d\"", i ? "," : "", i * 31);
    buf_puts(&b, "]}");
    compile("20,000 values", &b);
    buf_release(&b);
}

static void memory_runs_out(void **unused)
{
    (void)unused;
    static const char schema[] = "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"number\",\"minimum\":1.5},"
      "\"b\":{\"enum\":[1]},\"c\":"
                                 "{\"anyOf\":[{\"type\":\"string\",\"pattern\":\"a\"},{\"$ref\":\"#\"}]}},"
                                   "\"additionalProperties\":{\"maxItems\":2}}";
    int rc = -1;
    for (int64_t n = 0; rc < 0 && n < 20000; n += n < 200 ? 1 : 17) {
        struct grammar *g;
        struct err e;
        mem_fail_after(n);
        rc = grammar_from_schema(&g, schema, sizeof schema - 1, &e);
        mem_fail_after(-1);
        grammar_free(g);
    }
    assert_int_equal(rc, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values), cmocka_unit_test(objects), cmocka_unit_test(arrays), cmocka_unit_test(numbers),
        cmocka_unit_test(strings), cmocka_unit_test(combinations), cmocka_unit_test(refused_with_its_place),
        cmocka_unit_test(hostile), cmocka_unit_test(memory_runs_out),
    };
    return run_tests(tests);
}
