/* hearth run with tools and reasoning, end to end. */
#include "tests/program.h"

#include "base/json.h"
#include "tests/tiny_model.h"

static char model[] = "/tmp/hearth-run-tools-XXXXXX", tools[] = "/tmp/hearth-run-tools-XXXXXX";
static const char template[] =
    "{% if tools %}{{ tools | tojson }}{% endif %}{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% if enable_thinking %}<think>\n{% endif %}{% endif %}";

static int set_up(void **state)
{
    (void)state;
    int a = mkstemp(model), b = mkstemp(tools);
    static const char text[] = "{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"get\"}}]}";
    if (a < 0 || b < 0 || write(b, text, sizeof text - 1) < 0) return -1;
    close(a), close(b);
    return tiny_model(model, (struct tiny){ .arch = "llama", .type = DT_Q8_0, .chat = template });
}

static int clean_up(void **state)
{
    (void)state;
    return unlink(model) + unlink(tools);
}

static struct json *answer(const struct result *r)
{
    struct json *j;
    struct err e = { 0 };
    program_expect(r, 0);
    if (json_parse(&j, r->out, r->n_out, &e) < 0) fail_msg("%s: %s", e.msg, r->out);
    return j;
}

static void a_budget_ends_the_reasoning(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "run", model, "hi", "--json", "--think", "on", "--think-budget", "5", "-n", "90", "--temp",
                              "0");
    struct json *j = answer(&r);
    const char *why = json_str(json_get(j, "reasoning"), NULL), *end;
    assert_non_null(why);
    end = strstr(why, "\n\nThat is enough thinking; now I answer.");
    if (!end || end - why > 15) fail_msg("%s", why);       /* five bytes, or what stands for bytes that are no text */
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--json", "-n", "5", "--temp", "0");
    j = answer(&r);
    assert_null(json_get(j, "reasoning"));
    json_free(j);
    program_free(&r);
}

static void tools_are_in_the_prompt(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "run", model, "hi", "--json", "-n", "1");
    struct json *j = answer(&r);
    int64_t without = json_int(json_get(j, "prompt_tokens"));
    json_free(j);
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--json", "-n", "1", "--tools", tools);
    j = answer(&r);
    assert_int_equal(json_int(json_get(j, "prompt_tokens")) - without,
                     (int)strlen("[{\"type\": \"function\", \"function\": {\"name\": \"get\"}}]"));
    json_free(j);
    program_free(&r);
}

static void a_call_is_made(void **state)
{
    (void)state;
    NEED_PROGRAM();
    static const char *const choice[] = { "required", "get" };
    static const char text[] = "[{\"function\":{\"name\":\"get\",\"parameters\":{\"properties\":{\"a\":{\"enum\":[7]}},"
                               "\"required\":[\"a\"],\"additionalProperties\":false}}}]";
    char bound[] = "/tmp/hearth-run-tools-XXXXXX";
    int fd = mkstemp(bound);
    assert_true(fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1);
    close(fd);
    for (int i = 0; i < 2; i++) {
        struct result r = PROGRAM(NULL, "run", model, "hi", "--json", "-n", "300", "--ctx", "700", "--temp", "0", "--think",
                                  "off", "--tools", bound, "--tool-choice", choice[i]);
        struct json *j = answer(&r);
        const struct json *call = json_at(json_get(j, "tool_calls"), 0);
        const char *name = json_str(json_get(call, "name"), NULL);
        if (!name || strcmp(name, "get")) fail_msg("%s", r.out);
        const char *rest = json_str(json_get(j, "text"), NULL);        /* another call may have been cut off */
        if (*rest && strncmp(rest, "<tool_call>", 11) != 0) fail_msg("%s", r.out);
        assert_int_equal(json_int(json_get(json_get(call, "arguments"), "a")), 7);
        json_free(j);
        program_free(&r);
    }
    unlink(bound);
}

static void wrong_usage(void **state)
{
    (void)state;
    NEED_PROGRAM();
    struct result r = PROGRAM(NULL, "run", model, "hi", "--tools", model);
    program_expect(&r, 1);
    program_contains(r.err, "JSON");
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--tools", "/nowhere");
    program_expect(&r, 1);
    program_contains(r.err, "/nowhere");
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--think", "on", "--no-template");
    program_expect(&r, 2);
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--tool-choice", "none");
    program_expect(&r, 2);
    program_contains(r.err, "--tool-choice needs --tools");
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--tools", tools, "--tool-choice", "put");
    program_expect(&r, 1);
    program_contains(r.err, "no tool has the name put");
    program_free(&r);
    r = PROGRAM(NULL, "run", model, "hi", "--think", "much");
    program_expect(&r, 2);
    program_contains(r.err, "default|off|on");
    program_free(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_budget_ends_the_reasoning), cmocka_unit_test(tools_are_in_the_prompt),
        cmocka_unit_test(a_call_is_made), cmocka_unit_test(wrong_usage),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
