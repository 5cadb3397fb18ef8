#include "tests/testing.h"

#include "app/reply.h"
#include "base/json.h"
#include "base/mem.h"

static void take(struct reply *r, int kind, const char *text, const char *name)
{
    struct hearth_chat_event e = { .kind = kind, .text = text, .n = strlen(text), .name = name, .id = "i\"1" };
    reply_event(r, &e);
}

static void calls_are_kept(void **state)
{
    (void)state;
    struct reply r = { .show = false };
    struct buf b = { 0 };
    take(&r, HEARTH_CHAT_REASONING, "why", "");
    take(&r, HEARTH_CHAT_TEXT, "a", "");
    take(&r, HEARTH_CHAT_CALL, "", "f");
    take(&r, HEARTH_CHAT_ARGUMENTS, "{\"x\":", "");
    take(&r, HEARTH_CHAT_ARGUMENTS, "[1]}", "");
    take(&r, HEARTH_CHAT_CALL_END, "", "");
    take(&r, HEARTH_CHAT_CALL, "", "g");
    take(&r, HEARTH_CHAT_ARGUMENTS, "{\"bad", "");
    take(&r, HEARTH_CHAT_CALL_BROKEN, "", "");
    take(&r, HEARTH_CHAT_CALL, "", "h");
    take(&r, HEARTH_CHAT_ARGUMENTS, "{}", "");
    take(&r, HEARTH_CHAT_CALL_END, "", "");
    reply_end(&r);
    struct json *j = reply_calls_json(&r);
    json_write(j, false, &b);
    assert_string_equal(b.data, "[{\"id\":\"i\\\"1\",\"name\":\"f\",\"arguments\":{\"x\":[1]}},"
                                "{\"id\":\"i\\\"1\",\"name\":\"h\",\"arguments\":{}}]");
    assert_string_equal(r.reasoning.data, "why");
    assert_int_equal(r.n_calls, 2);
    json_free(j);
    buf_release(&b);
    reply_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(calls_are_kept) };
    return run_tests(tests);
}
