/* What each keyword of JSON Schema 2020-12 means: values that are valid and written, values that are not valid, and schemas that
 * are refused with their place.  tests/golden/schema/keywords.json has the cases; `unwritten` ones are valid, but no answer has
 * them.  tests/schema_oracle_test.c lets an independent validator judge the same file. */
#include "tests/testing.h"

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "tests/grammar.h"

static unsigned wrong;
#define WRONG(...) (print_error(__VA_ARGS__), wrong++)

static void check_values(const struct grammar *g, const char *schema, const struct json *list, bool written)
{
    for (size_t i = 0; i < json_len(list); i++) {
        struct buf b = { 0 };
        json_write(json_at(list, i), false, &b);
        if ((grammar_verdict(g, b.data, b.len) == V_WHOLE) != written)
            WRONG("%s\n  %s is %sallowed\n", schema, b.data, written ? "not " : "");
        buf_release(&b);
    }
}

static void check_case(const char *keyword, const struct json *x)
{
    const char *refused = json_str(json_get(x, "refused"), NULL);
    struct buf schema = { 0 }, place = { 0 };
    struct grammar *g;
    struct err e = { 0 };
    json_write(json_get(x, "schema"), false, &schema);
    int rc = grammar_from_schema(&g, schema.data, schema.len, &e);
    if (refused) {
        buf_printf(&place, "%s%s", refused, *refused ? ": " : "");
        if (rc == 0) WRONG("%s: %s\n  is not refused\n", keyword, schema.data);
        else if (!strstr(e.msg, place.data)) WRONG("%s: %s\n  is refused without %s: %s\n", keyword, schema.data, refused, e.msg);
    } else if (rc < 0) {
        WRONG("%s: %s\n  is refused: %s\n", keyword, schema.data, e.msg);
    } else {
        assert_true(json_len(json_get(x, "good")) > 0);
        check_values(g, schema.data, json_get(x, "good"), true);
        check_values(g, schema.data, json_get(x, "bad"), false);
        check_values(g, schema.data, json_get(x, "unwritten"), false);
    }
    grammar_free(g);
    buf_release(&schema);
    buf_release(&place);
}

static void every_keyword(void **unused)
{
    (void)unused;
    char *text;
    const char *keyword;
    size_t n, n_cases = 0;
    struct json *all, *cases;
    struct err e = { 0 };
    if (os_read_file("tests/golden/schema/keywords.json", 1 << 20, &text, &n, &e) < 0) fail_msg("%s", e.msg);
    if (json_parse(&all, text, n, &e) < 0) fail_msg("%s", e.msg);
    assert_true(json_len(all) >= 40);
    for (void *it = NULL; json_next(all, &it, &keyword, &cases);)
        for (size_t i = 0; i < json_len(cases); i++, n_cases++) check_case(keyword, json_at(cases, i));
    assert_true(n_cases >= 200);
    assert_int_equal(wrong, 0);
    json_free(all);
    mem_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_keyword) };
    return run_tests(tests);
}
