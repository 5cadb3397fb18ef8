#include "tests/testing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/chat_caps.h"

static struct json *parse(const char *text)
{
    struct json *j;
    struct err e = { 0 };
    if (json_parse(&j, text, strlen(text), &e) < 0) fail_msg("%s: %s", text, e.msg);
    return j;
}

static struct template *compile(const char *source, size_t n)
{
    struct template *tp;
    struct err e = { 0 };
    if (template_compile(&tp, source, n, &e) < 0) fail_msg("%s", e.msg);
    return tp;
}

/* The messages as a template of these abilities gets them. */
static void check(const struct chat_caps *caps, const char *messages, const char *tools, const char *want)
{
    struct json *m = parse(messages), *t = tools ? parse(tools) : NULL, *got = NULL;
    struct buf b = { 0 };
    struct err e = { 0 };
    bool generic;
    if (chat_normalise(caps, m, t, &got, &generic, &e) < 0) buf_printf(&b, "%d %s", e.code, e.msg);
    else json_write(got, false, &b);
    if (!strstr(b.data, want)) fail_msg("%s\n  gives %s\n  without %s", messages, b.data, want);
    buf_release(&b);
    json_free(m);
    json_free(t);
    json_free(got);
}

#define U "{\"role\":\"user\",\"content\":\"u\"}"
#define CALLS(args) "\"tool_calls\":[{\"id\":\"x\",\"function\":{\"name\":\"f\",\"arguments\":" args "}}]"

static void messages_are_put_right(void **state)
{
    (void)state;
    struct chat_caps all = { true, true, true, true, true, true, true, false, false, REASONING_CONTENT }, c;
    static const char tools[] = "[{\"name\":\"f\"}]";
    check(&all, "[" U "]", NULL, "[{\"role\":\"user\",\"content\":\"u\"}]");
    check(&all,
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]", NULL,
          "\"content\":\"a\\nb\"");
    check(&all, "[{\"role\":\"user\",\"content\":[{\"type\":\"image_url\",\"image_url\":{}}]}]", NULL,
          "-6 message 1: a part of type image_url, and this model takes text only");
    check(&all, "[" U ",{\"role\":\"user\",\"content\":[{}]}]", NULL, "-5 message 2: part 1 of its content has no type");
    check(&all, "[{\"content\":\"u\"}]", NULL, "-5 message 1 has no role");
    check(&all, "{}", NULL, "-5 messages must be an array");
    check(&all, "[{\"role\":\"assistant\",\"content\":null," CALLS("\"{\\\"a\\\":1}\"") "}]", NULL,
          "\"content\":\"\",\"tool_calls\":[{\"type\":\"function\",\"id\":\"x\","
          "\"function\":{\"name\":\"f\",\"arguments\":{\"a\":1}}}]");
    check(&all, "[{\"role\":\"assistant\",\"content\":\"\"," CALLS("\"no json\"") "}]", NULL, "\"arguments\":\"no json\"");
    check(&all, "[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", NULL, "-5 message 1: tool call 1 has no name");
    check(&all, "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\"}]", NULL, "\"reasoning_content\":\"r\"");
    check(&all, "[{\"role\":\"tool\",\"tool_call_id\":\"x\",\"content\":{\"t\":1}}]", NULL,
          "\"tool_call_id\":\"x\",\"content\":\"{\\\"t\\\":1}\"");
    c = all, c.text_args = true;
    check(&c, "[{\"role\":\"assistant\"," CALLS("{\"a\":1}") "}]", NULL, "\"arguments\":\"{\\\"a\\\":1}\"");
    c = all, c.null_content = true;
    check(&c, "[{\"role\":\"assistant\",\"content\":\"\"," CALLS("{}") "}]", NULL, "\"content\":null");
    c = all, c.strings = false;
    check(&c, "[" U "]", NULL, "\"content\":[{\"type\":\"text\",\"text\":\"u\"}]");
    c = all, c.reasoning = REASONING_PARTS;
    check(&c, "[{\"role\":\"assistant\",\"content\":\"a\",\"thinking\":\"r\"}]", NULL,
          "[{\"type\":\"thinking\",\"thinking\":\"r\"},{\"type\":\"text\",\"text\":\"a\"}]");
    c = all, c.reasoning = REASONING_DROPPED;
    check(&c, "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"r\"}]", NULL,
          "[{\"role\":\"assistant\",\"content\":\"a\"}]");
    c = all, c.developer = false;
    check(&c, "[{\"role\":\"developer\",\"content\":\"d\"}]", NULL, "[{\"role\":\"system\",\"content\":\"d\"}]");
    c.system = false;
    check(&c, "[{\"role\":\"system\",\"content\":\"s\"}," U "]", NULL, "[{\"role\":\"user\",\"content\":\"s\\n\\nu\"}]");
    check(&c, "[" U ",{\"role\":\"system\",\"content\":\"s\"}]", NULL, ",{\"role\":\"user\",\"content\":\"s\"}]");
    c = all, c.tools = false;
    check(&c, "[{\"role\":\"system\",\"content\":\"s\"}," U ",{\"role\":\"assistant\"," CALLS("{}")
          "},{\"role\":\"tool\",\"content\":\"r\"}]", tools, "[{\"role\":\"system\",\"content\":\"s\\n\\nYou can call "
              "functions.");
    check(&c, "[" U ",{\"role\":\"assistant\"," CALLS("{}") "},{\"role\":\"tool\",\"content\":\"r\"}]", tools,
          "<tool_call>\\n{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": {}}\\n</tool_call>\"},"
          "{\"role\":\"user\",\"content\":\"<tool_response>\\nr\\n</tool_response>\"}]");
}

/* Whatever a published template can do: nothing that was said is missing from the prompt. */
static void nothing_gets_lost(void **state)
{
    (void)state;
    static const char conversation[] =
        "[{\"role\":\"system\",\"content\":\"the-system\"},"
        "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"the-user\"}]},"
        "{\"role\":\"assistant\",\"content\":null,\"reasoning_content\":\"why\",\"tool_calls\":[{\"id\":\"abcdefghi\",\"type\":"
        "\"function\",\"function\":{\"name\":\"the_call\",\"arguments\":\"{\\\"city\\\": \\\"the-city\\\"}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"abcdefghi\",\"name\":\"the_call\",\"content\":\"the-result\"},"
        "{\"role\":\"assistant\",\"content\":\"the-answer\"},{\"role\":\"user\",\"content\":\"the-end\"}]";
    static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"the_call\",\"description\":\"the-tool\","
        "\"parameters\":{\"type\":\"object\",\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"x\"}},"
        "\"required\":[\"city\"]}}}]";
    static const char *const want[] = { "the-system", "the-user", "the-city", "the-result", "the-answer", "the-end",
        "the-tool" };
    char path[4096], file[300];
    if (!ref_path(path, sizeof path, "templates/renderer-differences.json")) skip();
    char *list;
    size_t n, count = 0, lost = 0;
    static char seen[128];
    assert_int_equal(os_read_file(path, 1 << 20, &list, &n, NULL), 0);
    struct json *rows = parse(list);
    for (size_t i = 0; i < json_len(rows); i++) {
        const char *name = json_str(json_get(json_at(rows, i), "template"), NULL);
        if (strcmp(name, seen) == 0) continue;
        snprintf(seen, sizeof seen, "%s", name);
        snprintf(file, sizeof file, "templates/jinja/%s.jinja", name);
        char *source;
        size_t size;
        assert_true(ref_path(path, sizeof path, file));
        assert_int_equal(os_read_file(path, 1 << 20, &source, &size, NULL), 0);
        struct template *tp = compile(source, size);
        struct chat_caps caps;
        struct json *m = parse(conversation), *t = parse(tools), *normal = NULL, *vars = json_new_object();
        struct buf out = { 0 };
        struct err e = { 0 };
        bool generic;
        chat_caps(tp, &caps, NULL);
        if (chat_normalise(&caps, m, t, &normal, &generic, &e) < 0) fail_msg("%s: %s", name, e.msg);
        json_put(vars, "messages", normal);
        json_put(vars, "tools", generic ? json_new_null() : json_share(t));
        json_put(vars, "add_generation_prompt", json_new_bool(true));
        json_put(vars, "bos_token", json_new_str("", 0));
        json_put(vars, "eos_token", json_new_str("", 0));
        if (template_render(tp, vars, NULL, &out, &e) < 0) {
            print_message("%s: %s\n", name, e.msg);
            lost++;
        }
        for (size_t k = 0; out.data && k < sizeof want / sizeof *want; k++)
            if (!strstr(out.data, want[k])) {
                print_message("%s: %s is missing\n", name, want[k]);
                lost++;
            }
        count++;
        buf_release(&out);
        json_free(m), json_free(t), json_free(vars);
        template_free(tp);
        mem_free(source);
    }
    json_free(rows);
    mem_free(list);
    print_message("%zu templates, %zu losses\n", count, lost);
    assert_int_equal(lost, 0);
    assert_true(count > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(messages_are_put_right), cmocka_unit_test(nothing_gets_lost) };
    return run_tests(tests);
}
