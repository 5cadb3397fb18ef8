/* call_form.c - the families: how they mark reasoning and calls, and what in a template's text tells them. */
#include <string.h>

#include "text/answer.h"

/* The first whose marks are all in the template counts, so the more special ones stand first. */
static const struct call_form forms[] = {
    { .name = "dsml", .mark = { "｜DSML｜", "function_calls>" }, .open = "<｜DSML｜function_calls>",
      .close = "</｜DSML｜function_calls>", .call = "<｜DSML｜invoke name=\"%n\"> %p </｜DSML｜invoke>",
      .param = "<｜DSML｜parameter name=\"%k\" string=\"%t\">%v</｜DSML｜parameter>" },
    { .name = "dsml-v4", .mark = { "｜DSML｜" }, .open = "<｜DSML｜tool_calls>", .close = "</｜DSML｜tool_calls>",
      .call = "<｜DSML｜invoke name=\"%n\"> %p </｜DSML｜invoke>",
      .param = "<｜DSML｜parameter name=\"%k\" string=\"%t\">%v</｜DSML｜parameter>" },
    { .name = "deepseek-v3", .mark = { "<｜tool▁calls▁begin｜>", "```json" }, .open = "<｜tool▁calls▁begin｜>",
      .close = "<｜tool▁calls▁end｜>",
      .call = "<｜tool▁call▁begin｜>function<｜tool▁sep｜>%n\n```json\n%a\n``` <｜tool▁call▁end｜>" },
    { .name = "deepseek-v3.1", .mark = { "<｜tool▁calls▁begin｜>" }, .open = "<｜tool▁calls▁begin｜>",
      .close = "<｜tool▁calls▁end｜>", .call = "<｜tool▁call▁begin｜>%n<｜tool▁sep｜>%a <｜tool▁call▁end｜>" },
    { .name = "kimi-k2", .mark = { "<|tool_calls_section_begin|>" }, .open = "<|tool_calls_section_begin|>",
      .close = "<|tool_calls_section_end|>",
      .call = "<|tool_call_begin|>%f<|tool_call_argument_begin|>%a <|tool_call_end|>" },
    { .name = "minimax", .mark = { "<minimax:tool_call>" }, .open = "<minimax:tool_call>", .close = "</minimax:tool_call>",
      .call = "<invoke name=\"%n\"> %p </invoke>", .param = "<parameter name=\"%k\">%v</parameter>" },
    { .name = "seed-oss", .mark = { "<seed:tool_call>" }, .call = "<seed:tool_call> <function=%n> %p </function> "
        "</seed:tool_call>",
      .param = "<parameter=%k>\n%v\n</parameter>" },
    { .name = "hunyuan-3", .mark = { "<tool_sep:opensource>" }, .open = "<tool_calls:opensource>",
      .close = "</tool_calls:opensource>", .call = "<tool_call:opensource>%n<tool_sep:opensource> %p </tool_call:opensource>",
      .param = "<arg_key:opensource>%k</arg_key:opensource> <arg_value:opensource>%v</arg_value:opensource>" },
    { .name = "hunyuan", .mark = { "<tool_calls>", "<tool_sep>" }, .open = "<tool_calls>", .close = "</tool_calls>",
      .call = "<tool_call>%n<tool_sep> %p </tool_call>", .param = "<arg_key>%k</arg_key> <arg_value>%v</arg_value>" },
    { .name = "hunyuan-a13b", .mark = { "<tool_calls>", "<tool_call>" }, .open = "<tool_calls>", .close = "</tool_calls>",
      .call = "<tool_call>%n\n```json\n%a\n``` </tool_call>" },
    { .name = "glm", .mark = { "<arg_key>", "<tool_call>" }, .call = "<tool_call>%n %p </tool_call>",
      .param = "<arg_key>%k</arg_key> <arg_value>%v</arg_value>" },
    { .name = "qwen3-coder", .mark = { "<tool_call>", "<function=" },
      .call = "<tool_call> <function=%n> %p </function> </tool_call>", .param = "<parameter=%k>\n%v\n</parameter>" },
    { .name = "gemma4", .mark = { "<|tool_call>call:" }, .call = "<|tool_call>call:%n %g <tool_call|>" },
    { .name = "solar", .mark = { "<|tool_call:begin|>" }, .open = "<|tool_calls|>",
      .call = "<|tool_call:begin|>%i<|tool_call:name|>%n<|tool_call:args|>%a <|tool_call:end|>" },
    { .name = "command-r7b", .list = true, .mark = { "<|START_ACTION|>" }, .call = "<|START_ACTION|> %l <|END_ACTION|>",
      .name_key = "tool_name", .args_key = "parameters", .id_key = "tool_call_id" },
    { .name = "mistral", .mark = { "[TOOL_CALLS]", "[ARGS]" }, .call = "[TOOL_CALLS]%n[ARGS]%a" },
    { .name = "mistral-list", .list = true, .mark = { "[TOOL_CALLS]" }, .call = "[TOOL_CALLS] %l" },
    { .name = "apertus", .list = true, .mark = { "<|tools_prefix|>" }, .call = "<|tools_prefix|> %l <|tools_suffix|>",
        .name_is_key = true },
    { .name = "nemotron", .list = true, .mark = { "<TOOLCALL>" }, .call = "<TOOLCALL> %l </TOOLCALL>" },
    { .name = "lfm2", .mark = { "<|tool_call_start|>" }, .call = "<|tool_call_start|> %y <|tool_call_end|>" },
    { .name = "lfm2", .mark = { "<|tool_list_start|>" }, .call = "<|tool_call_start|> %y <|tool_call_end|>" },
    { .name = "internlm", .mark = { "<|action_start|>", "<|plugin|>" }, .call = "<|action_start|> <|plugin|> %o "
        "<|action_end|>" },
    { .name = "phi-4-mini", .mark = { "<|/tool_call|>" }, .call = "<|tool_call|> %l <|/tool_call|>" },
    { .name = "granite", .list = true, .mark = { "<|tool_call|>" }, .call = "<|tool_call|> %l" },
    { .name = "functools", .list = true, .mark = { " functools[" }, .call = "functools %l" },
    { .name = "hermes", .mark = { "<tool_call>" }, .call = "<tool_call> %l </tool_call>" },
    { .name = "functionary", .mark = { ">>>all" }, .call = ">>>%n\n%a" },
    { .name = "functionary-v3.1", .mark = { "<function=" }, .call = "<function=%n>%a </function>" },
    { .name = "jamba", .list = true, .mark = { "<tool_calls>" }, .call = "<tool_calls> %l </tool_calls>" },
    { .name = "olmo", .mark = { "<function_calls>" }, .call = "<function_calls> %y </function_calls>" },
    { .name = "command-r", .list = true, .mark = { "Action:```json" }, .call = "Action: ```json %l ```",
      .name_key = "tool_name", .args_key = "parameters" },
    { .name = "llama3", .mark = { "<|start_header_id|>", "\"parameters\"" }, .call = "%o", .args_key = "parameters",
      .bare = true },
    { .name = "pythonic", .mark = { "[func_name1(" }, .call = "%y", .bare = true },
};
enum { N_FORMS = sizeof forms / sizeof *forms };

static const struct call_form generic = { .name = "generic", .call = "<tool_call> %l </tool_call>" };

const struct call_form *call_form_at(size_t i) { return i < N_FORMS ? &forms[i] : NULL; }
const struct call_form *call_form_generic(void) { return &generic; }

/* Tags of reasoning; the first whose tag is in the template counts. */
static const struct { const char *mark, *open, *close; const char *skip[4]; } reasoning[] = {
    { "<think:opensource>", "<think:opensource>", "</think:opensource>", { NULL } },
    { "<seed:think>", "<seed:think>", "</seed:think>", { NULL } },
    { "[THINK]", "[THINK]", "[/THINK]", { NULL } },
    { "<|channel>thought", "<|channel>thought", "<channel|>", { NULL } },
    { "<|START_THINKING|>", "<|START_THINKING|>", "<|END_THINKING|>", { "<|START_RESPONSE|>", "<|END_RESPONSE|>" } },
    { "<|inner_prefix|>", "<|inner_prefix|>", "<|inner_suffix|>", { NULL } },
    { "<|begin|>assistant", "<|think|>", "<|end|>", { "<|begin|>assistant", "<|content|>", "<|end|>" } },
    { "</response>", "<think>", "</think>", { "<response>", "</response>" } },
    { "Here is my thought process:", "Here is my thought process:", "Here is my response:", { NULL } },
    { "<think>", "<think>", "</think>", { NULL } },
    { "</think>", "<think>", "</think>", { NULL } },
    { "<thinking>", "<thinking>", "</thinking>", { NULL } },
    { "<reasoning>", "<reasoning>", "</reasoning>", { NULL } },
};

static bool has(const char *s, size_t n, const char *what)
{
    size_t len = strlen(what);
    const char *end = s + n, *p = s;
    while (n >= len && (p = memchr(p, what[0], (size_t)(end - p))) && (size_t)(end - p) >= len) {
        if (memcmp(p, what, len) == 0) return true;
        p++;
    }
    return false;
}

void dialect_find(const char *source, size_t n, struct dialect *out)
{
    *out = (struct dialect){ .form = &generic };
    if (has(source, n, "<|channel|>") && has(source, n, "<|message|>")) {
        out->channels = true;
        return;
    }
    for (size_t i = 0; i < N_FORMS && out->form == &generic; i++) {
        const struct call_form *f = &forms[i];
        if (has(source, n, f->mark[0]) && (!f->mark[1] || has(source, n, f->mark[1]))) out->form = f;
    }
    for (size_t i = 0; i < sizeof reasoning / sizeof *reasoning && !out->think_open; i++)
        if (has(source, n, reasoning[i].mark)) {
            out->think_open = reasoning[i].open;
            out->think_close = reasoning[i].close;
            memcpy(out->skip, reasoning[i].skip, sizeof out->skip);
        }
    if (strcmp(out->form->name, "llama3") == 0) out->skip[0] = "<|python_tag|>";
    if (strcmp(out->form->name, "functionary") == 0) out->skip[0] = ">>>all\n";
}
