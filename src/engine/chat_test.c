#include <stdlib.h>

#include "base/mem.h"
#include "tests/tiny_chat.h"

static const char tools[] = "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{}}}]";

/* ---- what is seen ---- */

struct seen { struct buf b; int kind; };

static void on_event(void *arg, const struct hearth_chat_event *e)
{
    struct seen *s = arg;
    static const char *const name[] = { "T", "R", "C", "A", "/", "X", "W" };
    bool more = e->kind == s->kind && (e->kind == HEARTH_CHAT_TEXT || e->kind == HEARTH_CHAT_REASONING ||
                                       e->kind == HEARTH_CHAT_ARGUMENTS);
    if (!more) buf_printf(&s->b, "|%s:", name[e->kind]);
    buf_put(&s->b, e->text, e->n);
    if (e->kind == HEARTH_CHAT_CALL) buf_puts(&s->b, e->name);
    s->kind = e->kind;
}

static struct hearth_chat *open_chat(const struct hearth_chat_request *r)
{
    struct hearth_chat *c;
    struct hearth_error e;
    if (hearth_chat_open(&c, model, r, &e) < 0) fail_msg("%s", e.message);
    return c;
}

/* The model has a token for each byte.  Forced tokens go in front, as a program should do it; they are shown as {text}. */
static char *say(struct hearth_chat *c, const char *text)
{
    struct seen s = { .kind = -1 };
    int32_t id;
    for (const char *p = text; *p; p++) {
        assert_int_equal(hearth_chat_push(c, (uint8_t)*p, on_event, &s, NULL), 0);
        while (hearth_chat_next(c, &id)) assert_int_equal(hearth_chat_push(c, id, on_event, &s, NULL), 0);
    }
    assert_int_equal(hearth_chat_push(c, -1, on_event, &s, NULL), 0);
    return s.b.data ? buf_take(&s.b) : mem_strdup("", 0);
}

static void check_prompt(const struct hearth_chat_request *r, const char *want)
{
    struct hearth_chat *c = open_chat(r);
    size_t n, n_text;
    char *text;
    const int32_t *ids = hearth_chat_ids(c, &n);
    assert_int_equal(hearth_detokenize(model, ids, n, true, &text, &n_text, NULL), 0);
    if (!strstr(text, want)) fail_msg("%s\n  without %s", text, want);
    hearth_free(text);
    hearth_chat_close(c);
}

static const struct hearth_chat_message hi[] = { { .role = "user", .content = "hi" } };

static void prompts(void **state)
{
    (void)state;
    static const struct hearth_tool_call call = { "1", "get", "{\"a\": 1}" };
    static const struct hearth_chat_message all[] = {
        { .role = "developer", .content = "d" }, { .role = "user", .parts = "[{\"type\":\"text\",\"text\":\"u\"}]" },
        { .role = "assistant", .reasoning = "why", .calls = &call, .n_calls = 1 },
        { .role = "tool", .content = "r", .call_id = "1" },
    };
    struct hearth_chat_request r = { .messages = all, .n = 4, .tools = tools };
    check_prompt(&r, "<|im_start|>tools\n[{\"type\": \"function\", \"function\": {\"name\": \"get\"");
    check_prompt(&r, "developer\nd<|im_end|>\n<|im_start|>user\nu<|im_end|>\n<|im_start|>assistant\n<think>why</think>"
                     "<tool_call>{\"name\": \"get\", \"arguments\": {\"a\": 1}}</tool_call><|im_end|>\n"
                     "<|im_start|>tool\nr<|im_end|>\n"
                     "<|im_start|>assistant\n");
    r = (struct hearth_chat_request){ .messages_json = "[{\"role\":\"user\",\"content\":\"x\"}]", .think = HEARTH_THINK_ON };
    check_prompt(&r, "user\nx<|im_end|>\n<|im_start|>assistant\n<think>\n");
    r.variables = "{\"enable_thinking\": false}";
    check_prompt(&r, "user\nx<|im_end|>\n<|im_start|>assistant\n");
    r = (struct hearth_chat_request){ .continues = true,
        .messages_json = "[{\"role\":\"user\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"y \"}]" };
    check_prompt(&r, "<|im_start|>assistant\ny ");
}

static void wrong_requests(void **state)
{
    (void)state;
    static const struct hearth_chat_message bytes = { .role = "user", .content = "\xff" }, nobody = { .content = "x" };
    static const struct hearth_chat_message image = { .role = "user", .parts = "[{\"type\":\"image\"}]" };
    static const struct { struct hearth_chat_request r; int code; const char *says; } t[] = {
        { { .messages_json = "{}" }, HEARTH_EARG, "messages: expected a JSON array" },
        { { .messages_json = "[" }, HEARTH_EARG, "messages: JSON: line 1" },
        { { .messages = hi, .n = 1, .tools = "{}" }, HEARTH_EARG, "tools: expected a JSON array" },
        { { .messages = hi, .n = 1, .variables = "[]" }, HEARTH_EARG, "variables: expected a JSON object" },
        { { .messages = hi, .n = 1, .think = 9 }, HEARTH_EARG, "think is 9" },
        { { .messages = hi, .n = 1, .continues = true }, HEARTH_EARG, "nothing to continue" },
        { { .messages = &bytes, .n = 1 }, HEARTH_EARG, "UTF-8" },
        { { .messages = &image, .n = 1 },
          HEARTH_EUNSUPPORTED, "message 1: a part of type image" },
        { { .messages = &nobody, .n = 1 }, HEARTH_EARG, "message 1 has no role" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct hearth_chat *c;
        struct hearth_error e;
        assert_int_equal(hearth_chat_open(&c, model, &t[i].r, &e), t[i].code);
        assert_null(c);
        if (!strstr(e.message, t[i].says)) fail_msg("%zu: %s\n  does not say %s", i, e.message, t[i].says);
    }
}

static void answers(void **state)
{
    (void)state;
    static const struct { const char *tools; bool none; int think; const char *text, *want; } t[] = {
        { tools, false, 0, "<think>a</think>b <tool_call>{\"name\": \"get\", \"arguments\": {\"x\": 1}}</tool_call>",
          "|R:a|T:b|C:get|A:{\"x\": 1}|/:" },
        { tools, false, HEARTH_THINK_ON, "a\n</think>\n\nh\xc3\xa9", "|R:a|T:h\xc3\xa9" },
        { tools, true, 0, "<tool_call>{\"name\": \"get\"}</tool_call>", "|T:<tool_call>{\"name\": \"get\"}</tool_call>" },
        { NULL, false, 0, "<tool_call>", "|T:<tool_call>" },
        { tools, false, 0, "<tool_call>{\"name\": \"get\", \"arguments\": {1}}</tool_call>",
          "|C:get|A:{|X:|W:a tool call is malformed and stays in the text|T:<tool_call>{\"name\": \"get\", \"arguments\": "
          "{1}}</tool_call>" },
    };
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct hearth_chat *c = open_chat(&(struct hearth_chat_request){ .messages = hi, .n = 1, .tools = t[i].tools,
                                                                         .tool_choice = t[i].none ? HEARTH_TOOLS_NONE : 0,
                                                                         .think = t[i].think });
        char *got = say(c, t[i].text);
        assert_string_equal(got, t[i].want);
        mem_free(got);
        hearth_chat_close(c);
    }
}

static void thinking_ends(void **state)
{
    (void)state;
    struct hearth_chat_request r = { .messages = hi, .n = 1, .think = HEARTH_THINK_ON, .think_budget = 4 };
    struct hearth_chat *c = open_chat(&r);
    assert_true(hearth_chat_thinking(c));
    char *got = say(c, "abcdef");
    assert_string_equal(got, "|R:abcd\n\nThat is enough thinking; now I answer.|T:ef");
    assert_false(hearth_chat_thinking(c));
    mem_free(got);
    hearth_chat_close(c);
    r.think_budget = 80;                        /* near the end of the budget a line may end it, without a word */
    c = open_chat(&r);
    got = say(c, "0123456789\n0123456789012345678901234567890123456789012345678901234567890\nabc");
    assert_string_equal(got, "|R:0123456789\n0123456789012345678901234567890123456789012345678901234567890|T:abc");
    mem_free(got);
    hearth_chat_close(c);
    r.think_budget = 0;
    c = open_chat(&r);
    hearth_chat_stop_thinking(c);
    hearth_chat_stop_thinking(c);               /* once is enough */
    got = say(c, "x");
    assert_string_equal(got, "|R:x\n\nThat is enough thinking; now I answer.");
    mem_free(got);
    hearth_chat_close(c);
    r.think = HEARTH_THINK_DEFAULT;
    c = open_chat(&r);
    hearth_chat_stop_thinking(c);
    got = say(c, "x");
    assert_string_equal(got, "|T:x");
    mem_free(got);
    hearth_chat_close(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prompts), cmocka_unit_test(wrong_requests), cmocka_unit_test(answers), cmocka_unit_test(thinking_ends),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
