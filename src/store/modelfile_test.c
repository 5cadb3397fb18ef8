/* modelfile_test.c - the grammar of Modelfiles. */
#include "tests/testing.h"

#include <string.h>

#include "store/modelfile.h"
#include "store/params.h"
#include "store/store.h"

static void expect_lines(const char *text, const char *const (*want)[3], size_t n)
{
    struct modelfile m;
    struct err e = { 0 };
    if (modelfile_parse(&m, text, strlen(text), &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(m.n, n);
    for (size_t i = 0; i < n; i++) {
        assert_string_equal(modelfile_word(m.v[i].word), want[i][0]);
        assert_string_equal(m.v[i].key, want[i][1]);
        assert_string_equal(m.v[i].value, want[i][2]);
    }
    modelfile_release(&m);
}

static void every_word(void **state)
{
    (void)state;
    static const char text[] =
        "\xef\xbb\xbf# a remark\r\n"
        "  from   qwen3:4b  \r\n"
        "PARAMETER temperature 0.7\nparameter stop \"<|end of it|>\"\n"
        "SYSTEM \"\"\"One\n  \"two\"\r\n\n# no remark\n\"\"\"\n"
        "TEMPLATE \"\"\"{{ messages }}\"\"\"   \n\n"
        "ADAPTER ./a b.gguf\nLICENSE \"first\nsecond\"\n"
        "MESSAGE user Hello \"there\"\nMESSAGE assistant \"\"\"\nHi\"\"\"\n"
        "SYSTEM \"\"\nSYSTEM \"\"\"\"\"\"\nSYSTEM say \"\"\" twice\nREQUIRES 0.14.0";
    static const char *const want[][3] = {
        { "FROM", "", "qwen3:4b" }, { "PARAMETER", "temperature", "0.7" }, { "PARAMETER", "stop", "<|end of it|>" },
        { "SYSTEM", "", "One\n  \"two\"\n\n# no remark\n" }, { "TEMPLATE", "", "{{ messages }}" },
            { "ADAPTER", "", "./a b.gguf" },
        { "LICENSE", "", "first\nsecond" }, { "MESSAGE", "user", "Hello \"there\"" }, { "MESSAGE", "assistant", "\nHi" },
        { "SYSTEM", "", "" }, { "SYSTEM", "", "" }, { "SYSTEM", "", "say \"\"\" twice" }, { "REQUIRES", "", "0.14.0" },
    };
    expect_lines(text, want, sizeof want / sizeof *want);
}

static void what_is_wrong(void **state)
{
    (void)state;
    static const char *const row[][2] = {
        { "", "there is no FROM" }, { "SYSTEM x", "there is no FROM" }, { "FROM", "line 1: FROM has no value" },
        { "FROM x\nSYSTEM \"\"\"abc\n\"\" \n", "line 2: the text that begins here with \"\"\" has no end" },
        { "FROM x\n\nSYSTEM \"abc\n", "line 3: the text that begins here with \" has no end" },
        { "FORM x", "did you mean FROM?" }, { "FROM x\nquite bar", "line 2: begins with none of" },
        { "FROM x\nFROM:y", "line 2" }, { "FROM x\n{{ y", "line 2: begins with none" },
        { "FROM x\nPARAMETER \n", "line 2: expected the name of a setting" },
        { "FROM x\nPARAMETER a-b 1\n", "line 2: expected the name of a setting" },
        { "FROM x\nPARAMETER stop\n", "line 2: expected the name of a setting" },
        { "FROM x\nMESSAGE robot hi", "line 2: \"robot\" is no role" }, { "FROM x\nMESSAGE user", "line 2" },
        { "FROM x\n\xff", "UTF-8" }, { "\xff\xfe" "F", "UTF-16" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct modelfile m;
        struct err e = { 0 };
        assert_true(modelfile_parse(&m, row[i][0], strlen(row[i][0]), &e) < 0);
        assert_null(m.v);
        if (!strstr(e.msg, row[i][1])) fail_msg("\"%s\" is not in: %s", row[i][1], e.msg);
    }
}

static void settings(void **state)
{
    (void)state;
    struct json *j = json_new_object(), *bad;
    struct err e;
    static const char *const row[][3] = { { "temperature", "hot", "needs a number" }, { "top_k", "1.5", "a whole number" },
                                          { "temprature", "1", "did you mean temperature?" },
                                              { "use_mmap", "maybe", "true or false" },
                                          { "temperature", "nan", "needs a number" } };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        assert_int_equal(params_add(j, row[i][0], row[i][1], &e), ERR_ARG);
        if (!strstr(e.msg, row[i][2])) fail_msg("\"%s\" is not in: %s", row[i][2], e.msg);
    }
    assert_int_equal(params_add(j, "temperature", "0.5", &e), 0);
    assert_int_equal(params_add(j, "stop", "a", &e), 0);
    assert_int_equal(params_add(j, "stop", "b", &e), 0);
    assert_int_equal(params_add(j, "num_ctx", "4096", &e), 0);
    assert_int_equal(params_check(j, &e), 0);
    struct buf b = { 0 };
    json_write(j, false, &b);
    assert_string_equal(b.data, "{\"temperature\":0.5,\"stop\":[\"a\",\"b\"],\"num_ctx\":4096}");
    buf_release(&b);
    json_free(j);
    static const char wrong[] = "{\"stop\":[1]}";
    assert_int_equal(json_parse(&bad, wrong, strlen(wrong), &e), 0);
    assert_int_equal(params_check(bad, &e), ERR_ARG);
    json_free(bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_word), cmocka_unit_test(what_is_wrong),
        cmocka_unit_test(settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
