/* api_params_test.c - every field of every dialect with values that make no sense: it is taken, or refused with an error that
 * names it. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "server/api_forms.h"
#include "server/api_options.h"
#include "tests/testing.h"

/* Bodies that are fine as they are: a form, and what it must have. */
static const struct { const char *form, *body; } base[] = {
    { "openai.chat", "'messages':[{'role':'user','content':'a'}]" },
    { "openai.completion", "'prompt':'a'" },
    { "openai.embedding", "'input':'a'" },
    { "openai.response", "'input':'a'" },
    { "anthropic.messages", "'messages':[{'role':'user','content':'a'}],'max_tokens':5" },
    { "anthropic.count", "'messages':[{'role':'user','content':'a'}]" },
    { "ollama.chat", "'model':'m','messages':[{'role':'user','content':'a'}]" },
    { "ollama.generate", "'model':'m','prompt':'a'" },
    { "ollama.embed", "'model':'m','input':'a'" },
    { "llama.completion", "'prompt':'a'" },
    { "llama.infill", "'input_prefix':'a','input_suffix':'b'" },
    { "llama.tokenize", "'content':'a'" },
    { "llama.embedding", "'content':'a'" },
    { "llama.rerank", "'query':'a','documents':['b']" },
    { "lmstudio.chat", "'model':'m','input':'a'" },
};

/* Those that are in no table. */
static const char *const field[] = {
    "n", "best_of", "logprobs", "top_logprobs", "n_probs", "n_cmpl", "top_n", "dimensions",
    "embd_normalize", "stream", "stop_sequences", "stream_options", "tools", "tool_choice",
    "parallel_tool_calls", "response_format", "messages", "prompt", "input", "suffix", "echo",
    "system", "thinking", "reasoning", "text", "include", "instructions", "previous_response_id",
    "store", "encoding_format", "truncate", "documents", "query", "content", "input_extra", "raw",
    "system_prompt", "truncation", "n_discard", "n_indent", "t_max_predict_ms", "output_config",
    "options", "model", "return_tokens", "return_progress", "post_sampling_probs", "with_pieces",
    "add_special",
};
static const char *const value[] = {
    "-1", "0", "1", "-2147483648", "2147483648", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "1e308", "-1e308", "0.5", "1e-308", "'5'", "''", "'\\u0000'", "null",
    "[]", "{}", "[[]]", "[null]", "[1e308]", "{'a':{}}", "true", "false", "[-1]", "{'type':-1}",
    "{'effort':[]}", "{'-1':1e308}", "[[-1,1]]", "[{'type':'text'}]",
};

static struct json *json_of(const char *text)
{
    struct json *j;
    struct err e;
    char *s = mem_strdup(text, strlen(text));
    for (char *c = s; *c; c++)
        if (*c == '\'') *c = '"';
    if (json_parse(&j, s, strlen(s), &e) < 0) fail_msg("%s: %s", e.msg, s);
    mem_free(s);
    return j;
}

static size_t n_bad;

/* An error of this field names it, or the wrong part of it. */
static void try(const char *form, const char *body, const char *name, struct json *v)
{
    struct json *job = NULL, *all;
    struct err e = { 0 };
    char text[512];
    size_t i = 0;
    while (strcmp(api_forms[i]->name, form) != 0) i++;
    struct api_call *c = api_call_new(api_forms[i]);
    snprintf(text, sizeof text, "{%s}", body);
    all = json_of(text);
    assert_true(json_put(all, name, v));
    int rc = api_call_job(c, all, &job, &e);
    if (rc == 0) {
        assert_non_null(job);
    } else {
        char first[32];
        snprintf(first, sizeof first, "%.*s", (int)strcspn(name, "_"), name);      /* "the documents", "dry_last_n" */
        bool known = rc == ERR_ARG || rc == ERR_LIMIT || rc == ERR_UNSUPPORTED || rc == ERR_NOTFOUND || rc == ERR_FORMAT;
        struct buf b = { 0 };
        json_write(json_get(all, name), false, &b);
        const char *inner = NULL;
        struct json *in;
        void *it = NULL;
        if (json_type(json_get(all, name)) == JSON_OBJECT) json_next(json_get(all, name), &it, &inner, &in);
        if (!known || (!strstr(e.msg, first) && !(inner && strstr(e.msg, inner))))
            n_bad++, print_message("%s: %s = %.*s: %d, %s\n", form, name, (int)b.len, b.data, rc, e.msg);
        buf_release(&b);
    }
    json_free(job);
    api_call_free(c);
    json_free(all);
}

static void every_value(const char *form, const char *body, const char *name)
{
    for (size_t v = 0; v < sizeof value / sizeof *value; v++) try(form, body, name, json_of(value[v]));
}

static void values_that_make_no_sense(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof base / sizeof *base; i++) {
        for (size_t k = 0; k < sizeof field / sizeof *field; k++) every_value(base[i].form, base[i].body, field[k]);
        for (size_t k = 0; api_option_at(k); k++)
            for (const char *p = api_option_at(k)->names; *p;) {
                char name[64];
                size_t n = strcspn(p, " ");
                snprintf(name, sizeof name, "%.*s", (int)n, p);
                every_value(base[i].form, base[i].body, name);
                p += n + (p[n] == ' ');
            }
    }
    assert_int_equal(n_bad, 0);
}

/* What a request may say is what a command line, a model and a preset may: the same names, the same limits. */
static void options_are_the_settings(void **unused)
{
    (void)unused;
    static const struct { const char *name; char kind; double least, most; } row[] = {
#define SETTING(stored, name, second, letter, kind, value, fallback, help, example, field, least, most) \
        { #stored, #kind[0], least, most },
#define OPTION(...)
#define PARAM(...)
#include "base/settings.def"
#undef SETTING
#undef OPTION
#undef PARAM
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        if (row[i].kind == 'S') continue;
        /* Below 0 a seed is random, and no limit is no limit. */
        bool whole = row[i].kind != 'F', open = !strcmp(row[i].name, "seed") || !strcmp(row[i].name, "num_predict");
        double step = whole ? 1 : 0.001 * (fabs(row[i].most) + 1);
        const double v[] = { row[i].least, row[i].most, row[i].least - step, row[i].most + step };
        for (size_t k = 0; k < 4; k++) {
            struct json *body = json_new_object(), *job = json_new_object();
            struct err e = { 0 };
            json_put(body, row[i].name, whole ? json_new_int((int64_t)v[k]) : json_new_real(v[k]));
            int rc = api_options(body, job, &e);
            if ((rc == 0) != (k < 2) && !(open && k > 1)) fail_msg("%s = %g: %d %s", row[i].name, v[k], rc, e.msg);
            if (rc == 0) assert_non_null(json_get(job, "options"));
            json_free(body);
            json_free(job);
        }
    }
}

static void very_long_lists(void **unused)
{
    (void)unused;
    static const char *const name[] = { "stop", "stop_sequences", "ban", "logit_bias", "prompt", "tools",
                                        "dry_sequence_breakers" };
    for (size_t i = 0; i < sizeof name / sizeof *name; i++)
        for (size_t k = 0; k < 4; k++) {
            struct json *list = json_new_array();
            for (int n = 0; n < 100000; n++) json_push(list, json_new_str("a", 1));
            try(base[k].form, base[k].body, name[i], list);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_that_make_no_sense),
        cmocka_unit_test(very_long_lists),
        cmocka_unit_test(options_are_the_settings),
    };
    return run_tests(tests);
}
