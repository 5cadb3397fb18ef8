/* Renders the reference conversations with published chat templates and compares with what Python gives. */
#include "tests/testing.h"

#include <stdlib.h>
#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "text/template.h"

static struct json *read_json(const char *name)
{
    char path[4096], *text;
    size_t n;
    struct json *j = NULL;
    struct err e = { 0 };
    if (!ref_path(path, sizeof path, name)) return NULL;
    if (os_read_file(path, 64u << 20, &text, &n, &e) < 0 || json_parse(&j, text, n, &e) < 0) fail_msg("%s: %s", name, e.msg);
    mem_free(text);
    return j;
}

/* The clock of the cases, "2026-11-22T10:30:00", is local time. */
static int64_t local_time(const char *s)
{
    struct tm tm = { .tm_isdst = -1 };
    if (sscanf(s, "%d-%d-%dT%d:%d:%d", &tm.tm_year, &tm.tm_mon, &tm.tm_mday, &tm.tm_hour, &tm.tm_min, &tm.tm_sec) != 6)
        fail_msg("clock: %s", s);
    tm.tm_year -= 1900;
    tm.tm_mon--;
    return (int64_t)mktime(&tm);
}

/* A deep copy through text: the variables of a case are its context and the messages and tokens. */
static struct json *variables(const struct json *c, const struct json *expected)
{
    struct buf b = { 0 };
    struct json *vars, *v;
    static const char *const more[] = { "messages", "bos_token", "eos_token" };
    json_write(json_get(c, "context"), false, &b);
    assert_int_equal(json_parse(&vars, b.data, b.len, NULL), 0);
    for (int i = 0; i < 3; i++) {
        buf_clear(&b);
        json_write(json_get(i ? expected : c, more[i]), false, &b);
        assert_int_equal(json_parse(&v, b.data, b.len, NULL), 0);
        assert_true(json_put(vars, more[i], v));
    }
    buf_release(&b);
    return vars;
}

struct tally { int equal, differ, informative_equal, informative, errors_both, errors_differ; };

struct texts { const char *want; size_t n; const char *got; size_t m; };

static void show_difference(const char *file, const char *name, struct texts s)
{
    size_t i = 0;
    while (i < s.n && i < s.m && s.want[i] == s.got[i]) i++;
    size_t from = i > 30 ? i - 30 : 0;
    print_message("%s / %s: at byte %zu\n  want: %.*s\n  got:  %.*s\n", file, name, i,
                  (int)(s.n - from > 120 ? 120 : s.n - from), s.want + from,
                  (int)(s.m - from > 120 ? 120 : s.m - from), s.got + from);
}

static void run_case(const struct template *tp, const char *file, const struct json *c, const struct json *expected,
                     const struct template_limits *lim, struct tally *sum)
{
    const char *name = json_str(json_get(c, "name"), NULL);
    struct json *result = json_get(json_get(expected, "results"), name), *vars = variables(c, expected);
    size_t n;
    const char *want = json_str(json_get(result, "output"), &n);
    struct buf out = { 0 };
    struct err e = { 0 };
    int rc = template_render(tp, vars, lim, &out, &e);
    bool informative = strncmp(name, "content_parts_", 14) == 0;
    if (!want) {
        if (rc < 0) sum->errors_both++;
        else {
            sum->errors_differ++;
            print_message("%s / %s: renders, but Python says %s\n", file, name, json_str(json_get(result, "error"), NULL));
        }
    } else if (rc == 0 && out.len == n && memcmp(out.data ? out.data : "", want, n) == 0) {
        if (informative) sum->informative_equal++, sum->informative++;
        else sum->equal++;
    } else {
        if (informative) sum->informative++;
        else sum->differ++;
        if (rc < 0) print_message("%s / %s: %s\n", file, name, e.msg);
        else show_difference(file, name, (struct texts){ want, n, out.data ? out.data : "", out.len });
    }
    json_free(vars);
    buf_release(&out);
}

static void published_templates(void **state)
{
    (void)state;
    struct json *cases = read_json("templates/cases.json");
    static const char *const names[] = {
        "Apertus-8B-Instruct", "Bielik-11B-v3.0-Instruct", "ByteDance-Seed-OSS",
        "CohereForAI-c4ai-command-r7b-12-2024-tool_use", "GLM-4.5", "GLM-4.6", "GLM-4.7-Flash",
        "HuggingFaceTB-SmolLM3-3B", "Kimi-K2-Thinking", "LFM2-8B-A1B", "Llama-3-8B-Instruct", "MiniMax-M2",
        "Mistral-Small-3.2-24B-Instruct-2506", "NVIDIA-Nemotron-Nano-v2",
        "NousResearch-Hermes-2-Pro-Llama-3-8B-tool_use", "OpenHermes-2.5-Mistral-7B", "Qwen-QwQ-32B",
        "Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "Qwen3-Coder", "Qwen3.5-4B",
        "deepseek-ai-DeepSeek-R1-Distill-Llama-8B", "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B",
        "deepseek-ai-DeepSeek-V2", "deepseek-ai-DeepSeek-V3.1", "deepseek-ai-DeepSeek-V3.2",
        "deepseek-ai-DeepSeek-V4", "google-gemma-2-2b-it", "google-gemma-3-it-tools", "google-gemma-4-31B-it",
        "google-gemma-7b-it", "ibm-granite-granite-3.3-2B-Instruct", "ibm-granite-granite-4.0",
        "llama-cpp-deepseek-r1", "meta-llama-Llama-3.1-8B-Instruct", "meta-llama-Llama-3.2-3B-Instruct",
        "meta-llama-Llama-3.3-70B-Instruct", "microsoft-Phi-3-mini", "microsoft-Phi-3.5-mini-instruct",
        "microsoft-Phi-4-mini-instruct", "microsoft-phi-4", "mistral-v1-Mistral-7B-Instruct-v0.2",
        "mistral-v3-Mistral-Large-2407", "mistral-v7-Mistral-Large-2411",
        "mistralai-Ministral-3-14B-Reasoning-2512", "mistralai-Mistral-Nemo-Instruct-2407", "moonshotai-Kimi-K2",
        "openai-gpt-oss-120b", "tencent-Hy3", "unsloth-mistral-Devstral-Small-2507", "upstage-Solar-Open-100B",
    };
    if (!cases) skip();
    struct template_limits lim = { .now = local_time(json_str(json_get(cases, "now"), NULL)) };
    struct tally sum = { 0 };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char file[256], path[4096], *text;
        size_t n;
        struct template *tp;
        struct err e = { 0 };
        snprintf(file, sizeof file, "templates/expected/%s.json", names[i]);
        struct json *expected = read_json(file);
        snprintf(file, sizeof file, "templates/jinja/%s.jinja", names[i]);
        if (!expected || !ref_path(path, sizeof path, file)) fail_msg("%s is missing", names[i]);
        assert_int_equal(os_read_file(path, 1u << 20, &text, &n, &e), 0);
        if (template_compile(&tp, text, n, &e) < 0) fail_msg("%s: %s", names[i], e.msg);
        const struct json *list = json_get(cases, "cases");
        for (size_t k = 0; k < json_len(list); k++) run_case(tp, names[i], json_at(list, k), expected, &lim, &sum);
        template_free(tp);
        mem_free(text);
        json_free(expected);
    }
    json_free(cases);
    print_message("%d equal, %d differ; with content parts %d of %d equal; errors: %d in both, %d only in Python\n", sum.equal,
                  sum.differ, sum.informative_equal, sum.informative, sum.errors_both, sum.errors_differ);
    assert_int_equal(sum.differ, 0);
    assert_true(sum.equal > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(published_templates) };
    return run_tests(tests);
}
