/* Published templates write calls and reasoning of an earlier answer as their models do: the parser that is chosen by the
 * template's text must read them back. */
#include "tests/testing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/answer.h"
#include "text/chat_caps.h"
#include "text/template.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"description\":\"d\",\"parameters\":{\"type\":\"object\","
    "\"properties\":{\"city\":{\"type\":\"string\",\"description\":\"c\"},\"n\":{\"type\":\"integer\",\"description\":\"c\"},"
    "\"o\":{\"type\":\"object\",\"description\":\"c\",\"properties\":{}}},\"required\":[\"city\"]}}}]";
static const char user[] = "{\"role\":\"user\",\"content\":\"UUU\"}";
#define CALL(id, args) \
    "{\"id\":\"" id "\",\"type\":\"function\",\"function\":{\"name\":\"get_weather\",\"arguments\":" args "}}"
static const char *const answers[] = {
    "{\"role\":\"assistant\",\"content\":\"CONTENT\",\"reasoning_content\":\"RRR\",\"tool_calls\":[" CALL("abcdefghi",
        "{\"city\":\"Pa\\\"ris\",\"n\":3}") "," CALL("bcdefghij", "{\"city\":\"Rome\",\"o\":{\"a\":true}}") "]}",
    "{\"role\":\"assistant\",\"content\":\"\",\"reasoning_content\":\"RRR\",\"tool_calls\":[" CALL("abcdefghi",
        "{\"city\":\"Pa\\\"ris\",\"n\":3}") "]}",
    "{\"role\":\"assistant\",\"content\":\"CONTENT\",\"reasoning_content\":\"RRR\"}",
};

struct seen { struct buf reasoning, text, calls; size_t n; };

static void on_event(void *arg, const struct answer_event *e)
{
    struct seen *s = arg;
    if (e->kind == ANSWER_TEXT) buf_put(&s->text, e->text, e->n);
    if (e->kind == ANSWER_REASONING) buf_put(&s->reasoning, e->text, e->n);
    if (e->kind == ANSWER_CALL) buf_printf(&s->calls, "%s", e->name);
    if (e->kind == ANSWER_ARGS) buf_put(&s->calls, e->text, e->n);
    if (e->kind == ANSWER_CALL_END) s->n++, buf_putc(&s->calls, ';');
    if (e->kind == ANSWER_CALL_BROKEN) buf_puts(&s->calls, "BROKEN");
}

static struct json *parse(const char *text)
{
    struct json *j;
    struct err e = { 0 };
    if (json_parse(&j, text, strlen(text), &e) < 0) fail_msg("%s: %s", text, e.msg);
    return j;
}

/* The conversation by the template; false when it refuses. */
static bool render(const struct template *tp, const struct json *messages, const struct json *tools, bool answer,
    struct buf *out)
{
    struct json *vars = json_new_object();
    json_put(vars, "messages", json_share(messages));
    json_put(vars, "tools", tools ? json_share(tools) : json_new_null());
    json_put(vars, "add_generation_prompt", json_new_bool(answer));
    json_put(vars, "bos_token", json_new_str("", 0));
    json_put(vars, "eos_token", json_new_str("", 0));
    json_put(vars, "enable_thinking", json_new_bool(true));
    json_put(vars, "thinking", json_new_bool(true));
    int rc = template_render(tp, vars, NULL, out, NULL);
    json_free(vars);
    return rc == 0;
}

static void tail_off(struct buf *b, const char *const *ends)
{
    for (bool again = true; again;) {
        again = false;
        for (const char *const *e = ends; *e; e++) {
            size_t n = strlen(*e);
            if (b->len < n || memcmp(b->data + b->len - n, *e, n) != 0) continue;
            b->len -= n;
            b->data[b->len] = 0;
            again = true;
        }
    }
}

static size_t common(const struct buf *a, const struct buf *b)
{
    size_t i = 0;
    while (i < a->len && i < b->len && a->data[i] == b->data[i]) i++;
    for (size_t k = i; i < a->len && k > 0 && k + 20 > i && a->data[k - 1] != '>'; k--)
        if (a->data[k - 1] == '<') return k - 1;                                        /* not inside a mark */
    return i;
}

struct tally { int calls, reasoning, text; };

static void one(const char *name, const struct template *tp, const char *source, size_t which, struct tally *sum)
{
    /* what ends a turn, which the model says as a token that ends generation */
    static const char *const ends[] = { "<|im_end|>\n", "<|im_end|>", "<|end|>", "<|eot_id|>", "</s>", "<turn|>\n",
        "<|eom_id|>",
        "<seed:eos>", "<|END_OF_TURN_TOKEN|>", "[e~[\n", "<SPECIAL_12>\n", "<SPECIAL_12>\n\n", "<end_of_turn>\n",
            "<|call|>", "<|calls|>",
        "<|end_of_text|>\n", "<|assistant_end|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "<｜hy_eos:opensource｜>",
            "<|return|>",
        "<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>", "<|start_header_id|>assistant<|end_header_id|>\n\n", NULL };
    struct chat_caps caps;
    struct json *tools = parse(tools_text), *first, *both, *normal = NULL, *normal2 = NULL;
    struct buf text = { 0 }, before = { 0 }, after = { 0 };
    struct seen s = { .n = 0 };
    bool generic;
    struct buf known = { 0 };
    buf_puts(&known, source);
    chat_caps(tp, &caps, &known);
    buf_printf(&text, "[%s]", user);
    first = parse(text.data);
    buf_clear(&text);
    buf_printf(&text, "[%s,%s]", user, answers[which]);
    both = parse(text.data);
    assert_int_equal(chat_normalise(&caps, first, NULL, &normal, &generic, NULL), 0);
    assert_int_equal(chat_normalise(&caps, both, NULL, &normal2, &generic, NULL), 0);
    if (render(tp, normal, tools, true, &before) && render(tp, normal2, tools, false, &after)) {
        struct answer_options o = { .tools = tools, .fn = on_event, .arg = &s };
        struct answer *a;
        size_t at = common(&before, &after);
        dialect_find(known.data, known.len, &o.dialect);
        size_t open = o.dialect.think_open ? strlen(o.dialect.think_open) : 0;
        if (open && at && after.data[at - 1] == '\n') open++;
        o.in_reasoning = open && at >= open && strncmp(after.data + at - open, o.dialect.think_open,
            strlen(o.dialect.think_open)) == 0
            && strstr(after.data + at, "RRR");
        if (strstr(after.data + at, "UUU")) at = (size_t)(strstr(after.data, "UUU") - after.data) + 3;
        tail_off(&after, ends);
        assert_int_equal(answer_open(&a, &o, NULL), 0);
        if (at < after.len) answer_push(a, after.data + at, after.len - at);
        answer_finish(a);
        answer_close(a);
        const char *calls = s.calls.data ? s.calls.data : "", *said = s.text.data ? s.text.data : "",
                   *why = s.reasoning.data ? s.reasoning.data : "";
        bool shown = strstr(after.data, "Pa\"ris") || strstr(after.data, "Pa\\\"ris");
        bool good = true;
        if (which < 2 && shown) {
            good = strstr(calls, "{\"city\": \"Pa\\\"ris\", \"n\": 3};") != NULL;
            good &= s.n == (strstr(after.data, "Rome") ? 2u : 1u) && (s.n == 1 || strstr(calls, "{\"city\": \"Rome\","
                " \"o\": {\"a\""));
            sum->calls += good;
        }
        if (strstr(after.data + at, "RRR") && o.dialect.think_open) {
            good &= strcmp(why, "RRR") == 0;
            sum->reasoning += good;
        }
        if (strstr(after.data + at, "CONTENT")) {
            good &= strstr(o.dialect.channels && s.n ? why : said, "CONTENT") != NULL;
            sum->text += good;
        }
        if (!good) fail_msg("%s, answer %zu: %s\n  text: %s\n  reasoning: %s\n  calls: %s", name, which, after.data + at,
            said, why, calls);
    }
    json_free(tools), json_free(first), json_free(both), json_free(normal), json_free(normal2);
    buf_release(&known), buf_release(&text), buf_release(&before), buf_release(&after);
    buf_release(&s.reasoning), buf_release(&s.text), buf_release(&s.calls);
}

static void published_templates(void **state)
{
    (void)state;
    char path[4096], file[256];
    static const char *const names[] = {
        "Apertus-8B-Instruct", "Bielik-11B-v3.0-Instruct", "ByteDance-Seed-OSS",
            "CohereForAI-c4ai-command-r7b-12-2024-tool_use",
        "GLM-4.5", "GLM-4.6", "GLM-4.7-Flash", "MiniMax-M2", "Mistral-Small-3.2-24B-Instruct-2506", "NVIDIA-Nemotron-Nano-v2",
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "Qwen-QwQ-32B", "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B",
        "Qwen3-Coder", "Qwen3.5-4B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B", "deepseek-ai-DeepSeek-V3.1",
        "deepseek-ai-DeepSeek-V3.2", "deepseek-ai-DeepSeek-V4", "google-gemma-3-it-tools", "google-gemma-4-31B-it",
        "ibm-granite-granite-4.0", "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct",
        "meta-llama-Llama-3.3-70B-Instruct", "microsoft-Phi-4-mini-instruct", "mistral-v3-Mistral-Large-2407",
        "mistralai-Ministral-3-14B-Reasoning-2512", "mistralai-Mistral-Nemo-Instruct-2407", "moonshotai-Kimi-K2",
        "openai-gpt-oss-120b", "tencent-Hy3", "unsloth-mistral-Devstral-Small-2507", "upstage-Solar-Open-100B",
    };
    struct tally sum = { 0 };
    if (!ref_path(path, sizeof path, "templates/cases.json")) skip();
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct template *tp;
        struct err e = { 0 };
        char *source;
        size_t n;
        snprintf(file, sizeof file, "templates/jinja/%s.jinja", names[i]);
        assert_true(ref_path(path, sizeof path, file));
        assert_int_equal(os_read_file(path, 1u << 20, &source, &n, &e), 0);
        assert_int_equal(template_compile(&tp, source, n, &e), 0);
        for (size_t k = 0; k < 3; k++) {
            int before = sum.calls;
            one(names[i], tp, source, k, &sum);
            if (k == 1 && sum.calls == before) print_message("%s shows no calls\n", names[i]);
        }
        template_free(tp);
        mem_free(source);
    }
    print_message("%d calls, %d reasonings, %d texts read back\n", sum.calls, sum.reasoning, sum.text);
    assert_true(sum.calls > 60 && sum.reasoning > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(published_templates) };
    return run_tests(tests);
}
