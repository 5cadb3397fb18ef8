/* brings_test.c - what came with a model in jobs: what it adds, what a job keeps, and what is damaged. */
#include "server/brings.h"

#include "base/mem.h"
#include "tests/testing.h"

static struct json *json_of(const char *text)
{
    struct json *j;
    struct err e;
    struct buf b = { 0 };
    for (; *text; text++) buf_putc(&b, *text == '\'' ? '"' : *text);
    if (json_parse(&j, b.data, b.len, &e) < 0) fail_msg("%s: %s", e.msg, b.data);
    buf_release(&b);
    return j;
}

static int read_parts(const struct parts *p, const char *preset, struct buf *out, struct buf *left_out, struct err *err)
{
    struct preset with = { .all = NULL };
    struct err e;
    if (preset && preset_parse(&with, preset, strlen(preset), NULL, &e) < 0) fail_msg("%s", e.msg);
    int rc = brings_read(p, &with, out, left_out, err);
    preset_release(&with);
    return rc;
}

/* The job of before, with all of it, is the job of after. */
static void expect(const struct parts *p, const char *preset, const char *before, const char *after)
{
    struct buf text = { 0 }, left_out = { 0 }, got = { 0 }, want = { 0 };
    struct err e = { 0 };
    struct json *job = json_of(before), *other = json_of(after);
    if (read_parts(p, preset, &text, &left_out, &e) < 0 || brings_put(&text, job, &e) < 0) fail_msg("%s", e.msg);
    assert_int_equal(left_out.len, 0);
    json_write(job, false, &got);
    json_write(other, false, &want);
    assert_string_equal(got.data, want.data);
    json_free(job);
    json_free(other);
    buf_release(&text);
    buf_release(&got);
    buf_release(&want);
}

static const struct parts all = {
    .system = "S", .template = "{% for m in messages %}{% endfor %}", .own_template = true,
    .params = "{\"temperature\":0,\"num_predict\":3,\"stop\":[\"<e>\"],\"num_ctx\":64,\"num_gpu\":9,\"min_predict\":1,"
              "\"rope_frequency_base\":5000,\"seed\":7}",
    .messages = "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}]",
    .adapter = { "/x/lora.gguf" }, .n_adapter = 1,
};
#define ADAPTER "'adapters':[{'path':'/x/lora.gguf'}]"
#define TEMPLATE "'chat_template':'{% for m in messages %}{% endfor %}'"
#define LOAD "'load':{" TEMPLATE "," ADAPTER ",'num_ctx':64,'rope_freq_base':5000.0}"
#define OPTIONS "'options':{'temperature':0.0,'max_tokens':3,'stop':['<e>'],'min_tokens':1,'seed':7}"
#define EXAMPLES "{'role':'user','content':'a'},{'role':'assistant','content':'b'}"

static void a_job_gets_what_it_does_not_say(void **unused)
{
    (void)unused;
    static const struct parts none = { .n_license = 0 };
    const char *chat = "{'op':'generate','messages':[{'role':'user','content':'q'}]}";
    expect(&none, NULL, chat, chat);
    expect(&all, NULL, chat, "{'op':'generate','messages':[{'role':'system','content':'S'}," EXAMPLES
                             ",{'role':'user','content':'q'}]," LOAD "," OPTIONS "}");
    expect(&all, NULL, "{'op':'generate','prompt':'q'}", "{'op':'generate','prompt':'q'," LOAD "," OPTIONS "}");
    expect(&all, NULL, "{'op':'embed','input':[]}", "{'op':'embed','input':[]," LOAD "}");
    expect(&all, NULL, "{'op':'template','messages':[]}",
           "{'op':'template','messages':[{'role':'system','content':'S'}," EXAMPLES "]," LOAD "}");
}

static void a_job_counts_more(void **unused)
{
    (void)unused;
    expect(&all, NULL, "{'op':'generate','prompt':'q','load':{'num_ctx':8,'adapters':[]},'options':{'stop':[],'seed':null,"
                       "'max_tokens':-1,'temperature':1}}",
           "{'op':'generate','prompt':'q','load':{'num_ctx':8,'adapters':[]," TEMPLATE ",'rope_freq_base':5000.0},'options':"
           "{'stop':[],'seed':null,'max_tokens':-1,'temperature':1,'min_tokens':1}}");
    static const struct parts p = { .system = "S", .messages = "[{\"role\":\"user\",\"content\":\"a\"}]" };
    expect(&p, NULL, "{'op':'generate','messages':[{'role':'developer','content':'D'},{'role':'user','content':'q'}]}",
           "{'op':'generate','messages':[{'role':'developer','content':'D'},{'role':'user','content':'a'},"
           "{'role':'user','content':'q'}]}");
    expect(&p, NULL, "{'op':'generate','messages':[{'role':'user','content':'q'},{'role':'system','content':'D'}]}",
           "{'op':'generate','messages':[{'role':'user','content':'a'},{'role':'user','content':'q'},"
           "{'role':'system','content':'D'}]}");
}

static void what_counts_more_of_a_model(void **unused)
{
    (void)unused;
    static const struct parts p = { .system = "S", .template = "{{ .Prompt }}", .params = "{\"top_k\":1,\"top_p\":0.5}",
                                    .messages = "[{\"role\":\"system\",\"content\":\"M\"}]" };
    expect(&p, NULL, "{'op':'generate','messages':[]}",
           "{'op':'generate','messages':[{'role':'system','content':'M'}],'load':{'spare_template':'{{ .Prompt }}'},"
           "'options':{'top_k':1,'top_p':0.5}}");
    expect(&p, "{\"hearth_preset\":1,\"system\":\"P\",\"settings\":{\"top_k\":2,\"num_ctx\":0,\"num_predict\":-2}}",
           "{'op':'generate','messages':[]}",
           "{'op':'generate','messages':[{'role':'system','content':'P'}],'load':{'spare_template':'{{ .Prompt }}'},"
           "'options':{'top_k':2,'top_p':0.5,'max_tokens':-1}}");
}

static void settings_that_cannot_be_are_left_out(void **unused)
{
    (void)unused;
    static const struct parts p = { .params = "{\"top_k\":-1,\"top_p\":\"x\",\"rope_frequency_base\":0,\"min_p\":0.5}" };
    struct buf text = { 0 }, left_out = { 0 };
    struct err e;
    assert_int_equal(read_parts(&p, NULL, &text, &left_out, &e), 0);
    assert_string_equal(text.data, "{\"options\":{\"min_p\":0.5}}");
    assert_non_null(strstr(left_out.data, "top_k is -1"));
    assert_non_null(strstr(left_out.data, "the setting top_p needs a number"));
    assert_non_null(strstr(left_out.data, "rope_frequency_base is 0"));
    buf_release(&text);
    buf_release(&left_out);
}

static void damage_is_an_error(void **unused)
{
    (void)unused;
    char *large = mem_new_array(char, BRINGS_MOST + 2);
    memset(large, 'a', BRINGS_MOST + 1);
    large[BRINGS_MOST + 1] = 0;
    const struct { struct parts p; int rc; const char *word; } row[] = {
        { { .params = "{\"top_k\"" }, ERR_FORMAT, "its settings: " },
        { { .params = "[1]" }, ERR_FORMAT, "no JSON object" },
        { { .messages = "{}" }, ERR_FORMAT, "no JSON array" },
        { { .messages = "[" }, ERR_FORMAT, "its messages: " },
        { { .messages = "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\"}]" }, ERR_FORMAT, "message 2 has no role" },
        { { .messages = "[{\"role\":\"king\",\"content\":\"a\"}]" }, ERR_FORMAT, "message 1" },
        { { .messages = "[{\"role\":\"user\",\"content\":\"\\u0000\"}]" }, ERR_FORMAT, "message 1" },
        { { .messages = "[7]" }, ERR_FORMAT, "message 1" },
        { { .system = "\xff" }, ERR_FORMAT, "its system prompt is no UTF-8" },
        { { .template = "{{ \xff }}" }, ERR_FORMAT, "its chat template is no UTF-8" },
        { { .adapter = { "/\xff" }, .n_adapter = 1 }, ERR_FORMAT, "path is no UTF-8" },
        { { .system = large }, ERR_LIMIT, "at most 4194304" },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        struct buf text = { 0 }, left_out = { 0 };
        struct err e = { 0 };
        assert_int_equal(read_parts(&row[i].p, NULL, &text, &left_out, &e), row[i].rc);
        if (!strstr(e.msg, row[i].word)) fail_msg("row %zu: %s", i, e.msg);
        buf_release(&text);
        buf_release(&left_out);
    }
    mem_free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_job_gets_what_it_does_not_say), cmocka_unit_test(a_job_counts_more),
        cmocka_unit_test(what_counts_more_of_a_model), cmocka_unit_test(settings_that_cannot_be_are_left_out),
        cmocka_unit_test(damage_is_an_error),
    };
    return run_tests(tests);
}
