#include "tests/testing.h"

#include <stdlib.h>

#include "base/mem.h"
#include "text/answer.h"

static const char tools_text[] =
    "[{\"type\":\"function\",\"function\":{\"name\":\"get\",\"parameters\":{\"type\":\"object\",\"properties\":{"
    "\"city\":{\"type\":\"string\"},\"n\":{\"type\":\"integer\"},\"o\":{\"type\":\"object\"}}}}},"
    "{\"type\":\"function\",\"function\":{\"name\":\"now\",\"parameters\":{\"type\":\"object\",\"properties\":{}}}}]";

/* What came, as one text: reasoning, text, calls with id and arguments, number of warnings. */
struct seen {
    struct buf reasoning, text, args[8], name[8], id[8];
    size_t n_calls, warnings;
    bool open;
};

static void on_event(void *arg, const struct answer_event *e)
{
    struct seen *s = arg;
    if (e->kind == ANSWER_TEXT) buf_put(&s->text, e->text, e->n);
    if (e->kind == ANSWER_REASONING) buf_put(&s->reasoning, e->text, e->n);
    if (e->kind == ANSWER_WARNING) s->warnings++;
    if (e->call >= 8) return;
    if (e->kind == ANSWER_CALL) {
        assert_false(s->open);
        assert_int_equal(e->call, s->n_calls);
        buf_clear(&s->args[e->call]);
        buf_clear(&s->name[e->call]);
        buf_clear(&s->id[e->call]);
        buf_puts(&s->name[e->call], e->name);
        buf_puts(&s->id[e->call], e->id);
        s->open = true;
    }
    if (e->kind == ANSWER_ARGS) {
        assert_true(s->open);
        buf_put(&s->args[e->call], e->text, e->n);
    }
    if (e->kind == ANSWER_CALL_BROKEN || e->kind == ANSWER_CALL_END) assert_true(s->open);
    if (e->kind == ANSWER_CALL_BROKEN) s->open = false;
    if (e->kind == ANSWER_CALL_END) {
        s->open = false;
        s->n_calls++;
    }
}

static char *summary(struct seen *s)
{
    struct buf b = { 0 };
    if (s->reasoning.len) buf_printf(&b, "R{%s}", s->reasoning.data);
    if (s->text.len) buf_printf(&b, "T{%s}", s->text.data);
    for (size_t i = 0; i < s->n_calls; i++) {
        struct json *j = NULL;
        const char *args = s->args[i].data ? s->args[i].data : "";
        struct err e = { 0 };
        if (json_parse(&j, args, s->args[i].len, &e) < 0) fail_msg("arguments are no JSON: %s: %s", args, e.msg);
        buf_printf(&b, "C{%s", s->name[i].data);
        if (s->id[i].len) buf_printf(&b, " %s", s->id[i].data);
        buf_putc(&b, ' ');
        json_write(j, false, &b);
        buf_putc(&b, '}');
        json_free(j);
    }
    if (s->warnings) buf_printf(&b, "W%zu", s->warnings);
    assert_false(s->open);
    for (size_t i = 0; i < 8; i++) {
        buf_release(&s->args[i]);
        buf_release(&s->name[i]);
        buf_release(&s->id[i]);
    }
    buf_release(&s->text);
    buf_release(&s->reasoning);
    return b.data ? buf_take(&b) : mem_strdup("", 0);
}

/* The text in pieces that end at the places of `cut` (ascending, closed by n). */
static char *run(const struct answer_options *o, const char *text, size_t n, const size_t *cut, size_t n_cut)
{
    struct seen s = { .n_calls = 0 };
    struct answer_options mine = *o;
    struct answer *a;
    mine.fn = on_event;
    mine.arg = &s;
    assert_int_equal(answer_open(&a, &mine, NULL), 0);
    size_t from = 0;
    for (size_t i = 0; i < n_cut; i++) {
        assert_true(answer_push(a, text + from, cut[i] - from));
        from = cut[i];
    }
    assert_true(answer_push(a, text + from, n - from));
    assert_true(answer_finish(a));
    answer_close(a);
    return summary(&s);
}

/* Whole, cut once at every byte, byte by byte, and at random. */
static void check(const struct answer_options *o, const char *name, const char *text, const char *want)
{
    size_t n = strlen(text), cut[4096], n_cut;
    char *got = run(o, text, n, NULL, 0);
    if (strcmp(got, want) != 0) fail_msg("%s: %s\n  gives %s\n  not   %s", name, text, got, want);
    mem_free(got);
    for (size_t turn = 0; turn <= n + 40 && n < 4096; turn++) {
        n_cut = 0;
        if (turn <= n) cut[n_cut++] = turn;
        else
            for (size_t i = 1; i < n; i++)
                if (turn == n + 1 || rand() % 7 == 0) cut[n_cut++] = i;
        got = run(o, text, n, cut, n_cut);
        if (strcmp(got, want) != 0) fail_msg("%s, cut %zu: %s\n  gives %s\n  not   %s", name, turn, text, got, want);
        mem_free(got);
    }
}

static struct json *tools(void)
{
    struct json *j;
    assert_int_equal(json_parse(&j, tools_text, sizeof tools_text - 1, NULL), 0);
    return j;
}

static const struct call_form *form(const char *name)
{
    for (size_t i = 0; call_form_at(i); i++)
        if (strcmp(call_form_at(i)->name, name) == 0) return call_form_at(i);
    fail_msg("no form is named %s", name);
    return NULL;
}

static void every_family(void **state)
{
    (void)state;
    static const struct { const char *form, *text, *want; } t[] = {
        { "hermes", "Look:\n<tool_call>\n{\"name\": \"get\", \"arguments\": {\"city\": \"Paris\", \"n\": 3}}\n</tool_call>\n"
                    "<tool_call>{\"arguments\": {\"a\": [1.5e3, \"}{\"]}, \"name\": \"now\"}</tool_call>",
          "T{Look:}C{get {\"city\":\"Paris\",\"n\":3}}C{now {\"a\":[1.5e+03,\"}{\"]}}" },
        { "hermes", "<tool_call>[{\"name\": \"get\", \"id\": \"x1\", \"arguments\": \"{\\\"n\\\": 1}\"}, "
            "{\"name\":\"now\"}]</tool_call> done",
          "T{done}C{get {\"n\":1}}C{now {}}" },
        { "hermes", "<tool_call>{\"id\": \"x1\", \"name\": \"get\", \"arguments\": {\"s\": \"a\nb\\u00e9\"}}",
          "C{get x1 {\"s\":\"a\\nb\xc3\xa9\"}}" },
        { "qwen3-coder", "<tool_call>\n<function=get>\n<parameter=city>\nSan\n\"F\" "
            "</p\n\n</parameter>\n<parameter=n>\n3\n</parameter>\n"
                         "<parameter=o>\n{\"a\": [true]}\n</parameter>\n<parameter=x>\nfree "
                             "text\n</parameter>\n</function>\n</tool_call>\n"
                         "<tool_call>\n<function=now>\n</function>\n</tool_call>",
          "C{get {\"city\":\"San\\n\\\"F\\\" </p\\n\",\"n\":3,\"o\":{\"a\":[true]},\"x\":\"free text\"}}C{now {}}" },
        { "seed-oss", "<seed:tool_call>\n<function=get>\n<parameter=city>12</parameter>\n</function>\n</seed:tool_call>",
          "C{get {\"city\":\"12\"}}" },
        { "glm", "a<tool_call>get\n<arg_key>city</arg_key>\n<arg_value>Par\nis</arg_value>\n<arg_key>"
            "n</arg_key>\n<arg_value>7</arg_value>\n"
                 "</tool_call>\n<tool_call>now</tool_call>",
          "T{a}C{get {\"city\":\"Par\\nis\",\"n\":7}}C{now {}}" },
        { "minimax", "<minimax:tool_call>\n<invoke name=\"get\">\n<parameter name=\"city\">Rome</parameter>\n</invoke>\n"
                     "<invoke name=\"now\">\n</invoke>\n</minimax:tool_call>",
          "C{get {\"city\":\"Rome\"}}C{now {}}" },
        { "dsml", "x\n\n<｜DSML｜function_calls>\n<｜DSML｜invoke name=\"get\">\n<｜DSML｜parameter name=\"q\" string=\"true\">"
            "5</｜DSML｜parameter>\n"
                  "<｜DSML｜parameter name=\"n\" string=\"false\">5</｜DSML｜parameter>\n</｜DSML｜invoke>\n</｜DSML｜function_calls>",
          "T{x}C{get {\"q\":\"5\",\"n\":5}}" },
        { "deepseek-v3",
            "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get\n```json\n{\"city\": \"P\"}\n```<｜tool▁call▁end｜>\n"
                         "<｜tool▁call▁begin｜>function<｜tool▁sep｜>now\n```json\n{}\n```<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
          "C{get {\"city\":\"P\"}}C{now {}}" },
        { "deepseek-v3.1", "Hm.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>{\"n\": -1}<｜tool▁call▁end｜>"
            "<｜tool▁calls▁end｜>",
          "T{Hm.}C{get {\"n\":-1}}" },
        { "kimi-k2", "<|tool_calls_section_begin|><|tool_call_begin|>functions.get:0<|tool_call_argument_begin|>{\"n\": "
            "0}<|tool_call_end|>"
                     "<|tool_call_begin|>functions.now:1<|tool_call_argument_begin|><|tool_call_end|>"
                         "<|tool_calls_section_end|>",
          "C{get functions.get:0 {\"n\":0}}C{now functions.now:1 {}}" },
        { "mistral", "[TOOL_CALLS]get[CALL_ID]abcdefghi[ARGS]{\"n\": 1}[TOOL_CALLS]now[ARGS]{}", "C{get abcdefghi "
            "{\"n\":1}}C{now {}}" },
        { "mistral-list", "[TOOL_CALLS] [{\"name\": \"get\", \"arguments\": {\"n\": 1}, \"id\": \"abc\"}, "
            "{\"name\": \"now\", \"arguments\": {}}]",
          "C{get {\"n\":1}}C{now {}}" },
        { "phi-4-mini", "ok <|tool_call|>[{\"name\":\"get\",\"arguments\":{}}]<|/tool_call|>", "T{ok}C{get {}}" },
        { "granite", "<|tool_call|>[{\"name\": \"get\", \"arguments\": {}}]", "C{get {}}" },
        { "command-r7b", "<|START_ACTION|>[\n    {\"tool_call_id\": \"0\", \"tool_name\": \"get\", \"parameters\": "
            "{\"city\": \"P\"}}\n]<|END_ACTION|>",
          "C{get 0 {\"city\":\"P\"}}" },
        { "nemotron", "<TOOLCALL>[{\"name\": \"get\", \"arguments\": {}}, {\"name\": \"now\", \"arguments\": {}}]</TOOLCALL>",
          "C{get {}}C{now {}}" },
        { "apertus", "<|tools_prefix|>[{\"get\": {\"n\": 2}}, {\"now\": {}}]<|tools_suffix|>", "C{get {\"n\":2}}C{now {}}" },
        { "lfm2", "<|tool_call_start|>[get(city='Par\\'is', n=3, o={\"a\": None}), now()]<|tool_call_end|>Wait.",
          "T{Wait.}C{get {\"city\":\"Par'is\",\"n\":3,\"o\":{\"a\":null}}}C{now {}}" },
        { "olmo", "<function_calls>get(n=1)\nnow()</function_calls>", "C{get {\"n\":1}}C{now {}}" },
        { "pythonic", "[get(city=\"Paris\"n=3), now()] ok", "T{ok}C{get {\"city\":\"Paris\",\"n\":3}}C{now {}}" },
        { "pythonic", "[1, 2] is a list", "T{[1, 2] is a list}" },
        { "gemma4", "<|tool_call>call:get{city:<|\"|>Pa\"ris<|\"|>,o:{a:true,l:[1,<|\"|>x<|\"|>]}}<tool_call|>"
            "<|tool_call>call:now{}<tool_call|>",
          "C{get {\"city\":\"Pa\\\"ris\",\"o\":{\"a\":true,\"l\":[1,\"x\"]}}}C{now {}}" },
        { "solar", "<|tool_calls|><|tool_call:begin|>ab<|tool_call:name|>get<|tool_call:args|>{}<|tool_call:end|>",
            "C{get ab {}}" },
        { "hunyuan-3", "<tool_calls:opensource>\n<tool_call:opensource>get<tool_sep:opensource>\n<arg_key:opensource>"
            "city</arg_key:opensource>\n"
                       "<arg_value:opensource>P</arg_value:opensource>\n</tool_call:opensource>\n</tool_calls:opensource>",
          "C{get {\"city\":\"P\"}}" },
        { "llama3", "{\"name\": \"get\", \"parameters\": {\"city\": \"P\"}}", "C{get {\"city\":\"P\"}}" },
        { "llama3", "{\"name\": \"Bob\", \"parameters\": {}}", "T{{\"name\": \"Bob\", \"parameters\": {}}}" },
        { "llama3", "It is {\"name\": \"get\"}", "T{It is {\"name\": \"get\"}}" },
        { "functionary-v3.1", "<function=get>{\"n\": 1}</function>", "C{get {\"n\":1}}" },
        { "functionary", ">>>get\n{\"n\": 1}>>>now\n{}", "C{get {\"n\":1}}C{now {}}" },
        { "internlm", "I<|action_start|><|plugin|>\n{\"name\": \"get\", \"parameters\": {}}<|action_end|>", "T{I}C{get {}}" },
        { "jamba", "<tool_calls>[{\"name\": \"get\", \"arguments\": {}}]</tool_calls>", "C{get {}}" },
        { "hunyuan-a13b", "<tool_calls>\n<tool_call>get\n```json\n{\"n\": 1}\n```\n</tool_call>\n</tool_calls>", "C{get "
            "{\"n\":1}}" },
    };
    struct json *offered = tools();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct answer_options o = { .tools = offered };
        o.dialect.form = form(t[i].form);
        check(&o, t[i].form, t[i].text, t[i].want);
    }
    json_free(offered);
}

static void broken_calls_stay(void **state)
{
    (void)state;
    static const struct { const char *form, *text, *want; } t[] = {
        { "hermes", "a <tool_call>{\"name\": \"get\", \"arguments\": {\"city\": Paris}}</tool_call> b",
          "T{a <tool_call>{\"name\": \"get\", \"arguments\": {\"city\": Paris}}</tool_call> b}W1" },
        { "hermes", "<tool_call>{\"name\": \"get\", \"arguments\": {\"city\": \"P", "T{<tool_call>{\"name\": \"get\","
            " \"arguments\": {\"city\": \"P}W1" },
        { "hermes", "<tool_call>\nget\n</tool_call>", "T{<tool_call>\nget\n</tool_call>}W1" },
        { "hermes", "<tool_call>{\"arguments\": {}}</tool_call>", "T{<tool_call>{\"arguments\": {}}</tool_call>}W1" },
        { "hermes", "<tool_call", "T{<tool_call}" },
        { "hermes", "<tool_call>", "T{<tool_call>}W1" },
        { "hermes", "<tool_call>x<tool_call>{\"name\": \"now\"}</tool_call>", "T{<tool_call>x}C{now {}}W1" },
        { "hermes", "<tool_call>{\"name\": \"now\"} oops</tool_call> z", "T{oops</tool_call> z}C{now {}}" },
        { "hermes", "<tool_call>[{\"name\": \"now\"}, {\"nam\": 1}]</tool_call>", "T{, {\"nam\": 1}]</tool_call>}C{now {}}W1" },
        { "qwen3-coder", "<tool_call>\n<function=get>\n<parameter=city>\nP\n</function>\n</tool_call>",
          "T{<tool_call>\n<function=get>\n<parameter=city>\nP\n</function>\n</tool_call>}W1" },
        { "glm", "<tool_call>get it now</tool_call>", "T{<tool_call>get it now</tool_call>}W1" },
        { "kimi-k2", "<|tool_calls_section_begin|>nothing", "T{<|tool_calls_section_begin|>nothing}W1" },
        { "lfm2", "<|tool_call_start|>[get(city=]<|tool_call_end|>", "T{<|tool_call_start|>[get(city=]<|tool_call_end|>}W1" },
        { "gemma4", "<|tool_call>call:get{city:<tool_call|>", "T{<|tool_call>call:get{city:<tool_call|>}W1" },
        { "deepseek-v3.1", "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>[1]<｜tool▁call▁end｜><｜tool▁calls▁end｜>",
          "T{<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>get<｜tool▁sep｜>[1]<｜tool▁call▁end｜><｜tool▁calls▁end｜>}W1" },
    };
    struct json *offered = tools();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct answer_options o = { .tools = offered };
        o.dialect.form = form(t[i].form);
        check(&o, t[i].form, t[i].text, t[i].want);
    }
    /* nobody offered tools: it is text */
    struct answer_options o = { .tools = NULL };
    o.dialect.form = form("hermes");
    check(&o, "no tools", "<tool_call>{\"name\": \"now\"}</tool_call>", "T{<tool_call>{\"name\": \"now\"}</tool_call>}");
    json_free(offered);
}

static void reasoning(void **state)
{
    (void)state;
    static const struct { const char *template, *text; bool open; const char *want; } t[] = {
        { "<think>", "<think>\nhm <b>\n</think>\n\nYes.\n", false, "R{hm <b>}T{Yes.\n}" },
        { "<think>", "hm\n</think>\n\nYes.", true, "R{hm}T{Yes.}" },
        { "<think>", "never ends", true, "R{never ends}" },
        { "<think>", "no < thinking", false, "T{no < thinking}" },
        { "<think><tool_call>", "<think>a <tool_call>{} b</think><tool_call>{\"name\": \"now\"}</tool_call>", false,
          "R{a <tool_call>{} b}C{now {}}" },
        { "[THINK]", "[THINK]a[/THINK]b", false, "R{a}T{b}" },
        { "<|channel>thought", "<|channel>thought\na\n<channel|>b", false, "R{a}T{b}" },
        { "<|START_THINKING|>", "<|START_THINKING|>a<|END_THINKING|><|START_RESPONSE|>b<|END_RESPONSE|>", false, "R{a}T{b}" },
        { "<seed:think>", "<seed:think>a</seed:think>b", false, "R{a}T{b}" },
        { "<|inner_prefix|>", "<|inner_prefix|>a<|inner_suffix|>b", false, "R{a}T{b}" },
        { "</think> </response>", "<think>a</think>\n<response>b</response>", false, "R{a}T{b}" },
        { "Here is my thought process:", "Here is my thought process: a\n\nHere is my response: b", false, "R{a}T{b}" },
        { "<|begin|>assistant", "<|think|>a<|end|><|begin|>assistant<|content|>b<|end|>", false, "R{a}T{b}" },
        { "<|channel|><|message|>", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>final<|message|>"
            "b", false,
          "R{a}T{b}" },
        { "<|channel|><|message|>", "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary "
            "to=functions.get "
          "<|constrain|>json<|message|>{\"n\": 1}<|call|>", false, "R{a}C{get {\"n\":1}}" },
        { "<|channel|><|message|>", " to=functions.now<|channel|>commentary json<|message|>{}", false, "C{now {}}" },
        { "<|channel|><|message|>", "<|channel|>commentary<|message|>First.<|end|><|start|>assistant<|channel|>commentary "
          "to=functions.get<|message|>{\"n\": x}<|call|>", false, "T{First.{\"n\": x}}W1" },
        { "<|channel|><|message|>", "<|channel|>commentary to=functions.get<|message|>{\"n\": ", false, "T{{\"n\": }W1" },
        { "<|channel|><|message|>", "just text", false, "T{just text}" },
    };
    struct json *offered = tools();
    for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
        struct answer_options o = { .tools = offered, .in_reasoning = t[i].open };
        dialect_find(t[i].template, strlen(t[i].template), &o.dialect);
        check(&o, t[i].template, t[i].text, t[i].want);
    }
    json_free(offered);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char text[] = "<think>x</think>a\n"
                               "<tool_call>\n<function=get>\n<parameter=city>\nP\n</parameter>\n</function>\n</tool_call>b";
    struct json *offered = tools();
    for (int i = 0; i < 400; i++) {
        struct seen s = { .n_calls = 0 };
        struct answer_options o = { .tools = offered };
        struct answer *a;
        dialect_find("<think><tool_call><function=", 28, &o.dialect);
        mem_fail_after(i);
        bool ok = answer_open(&a, &o, NULL) == 0 && answer_push(a, text, sizeof text - 1) && answer_finish(a);
        mem_fail_after(-1);
        answer_close(a);
        mem_free(summary(&s));
        if (ok) {
            json_free(offered);
            return;
        }
    }
    fail_msg("never enough memory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_family), cmocka_unit_test(broken_calls_stay), cmocka_unit_test(reasoning),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return run_tests(tests);
}
