/* api_openai.c - POST /v1/chat/completions, and what the other endpoints of OpenAI's API share with it.
 * Fields and events: OpenAI's OpenAPI description, and llama-server's documentation for its additions. */
#include "server/api_openai.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "hearth.h"
#include "server/api_options.h"
#include "server/api_put.h"

/* ---- errors ---- */

void api_openai_put_error(struct buf *b, const struct api_failure *f)
{
    static const struct { int status; const char *type; } row[] = {
        { 400, "invalid_request_error" }, { 401, "authentication_error" }, { 403, "permission_error" },
        { 404, "not_found_error" }, { 405, "invalid_request_error" }, { 413, "invalid_request_error" },
        { 415, "invalid_request_error" }, { 429, "rate_limit_error" }, { 503, "unavailable_error" }, { 504, "timeout_error" },
    };
    const char *type = "server_error", *code = f->kind, *kind = f->kind ? f->kind : "";
    char param[API_FIELD];
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].status == f->status) type = row[i].type;
    api_blamed(f->body, f->message, param);
    if (!strcmp(kind, "context")) code = "context_length_exceeded";
    else if (!strcmp(kind, "not_found"))
        code = strcmp(param, "previous_response_id") ? "model_not_found" : "previous_response_not_found";
    else if (!strcmp(kind, "invalid")) code = NULL;
    api_put(b, "{'error':{'message':%s,'type':%s,'param':%s,'code':%s", f->message, type, *param ? param : NULL, code);
    if (f->n.n_ctx) api_put(b, ",'n_prompt_tokens':%u,'n_ctx':%u", f->n.n_prompt, f->n.n_ctx);
    buf_puts(b, "}}");
}

void api_openai_fail(struct api_call *c)
{
    api_sse_begin(c, NULL);
    api_openai_put_error(&c->out, &(struct api_failure){ c->status, c->kind, c->message, c->context, c->body });
    api_sse_end(c);
}

int api_refuse(const struct json *body, const struct api_refusal *row, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (api_says(body, row[i].field)) return err_set(err, ERR_UNSUPPORTED, "%s: %s", row[i].field, row[i].why);
    return 0;
}

/* ---- pieces of answers ---- */

const char *api_openai_finish(const struct api_choice *a)
{
    if (!strcmp(a->reason, "length") || !strcmp(a->reason, "context") || !strcmp(a->reason, "deadline")) return "length";
    return a->n_calls ? "tool_calls" : "stop";
}

void api_openai_put_usage(const struct api_call *c, struct buf *b)
{
    api_put(b, "{'prompt_tokens':%d,'completion_tokens':%d,'total_tokens':%d,'prompt_tokens_details':{'cached_tokens':%d},"
               "'completion_tokens_details':{'reasoning_tokens':%d}}", c->prompt_tokens, c->answer_tokens,
            c->prompt_tokens + c->answer_tokens, c->cached_tokens, c->reasoning_tokens);
}

static void put_one(const struct json *t, bool id, struct buf *b)
{
    double lp = json_num(json_get(t, "logprob"));
    if (id) api_put(b, "'id':%d,", json_int(json_get(t, "id")));
    api_put(b, "'token':%j,'logprob':%f,'bytes':%j", json_get(t, "text"), isfinite(lp) && lp > -9999 ? lp : -9999.0,
            json_get(t, "bytes"));
}

void api_openai_put_logprobs(const struct json *list, bool id, struct buf *b)
{
    buf_putc(b, '[');
    for (size_t i = 0; i < json_len(list); i++) {
        const struct json *t = json_at(list, i), *top = json_get(t, "top");
        buf_puts(b, i ? ",{" : "{");
        put_one(t, id, b);
        buf_puts(b, ",\"top_logprobs\":[");
        for (size_t k = 0; k < json_len(top); k++) {
            buf_puts(b, k ? ",{" : "{");
            put_one(json_at(top, k), id, b);
            buf_putc(b, '}');
        }
        buf_puts(b, "]}");
    }
    buf_putc(b, ']');
}

void api_openai_put_calls(const struct api_choice *a, struct buf *b)
{
    const char *sep = "";
    buf_putc(b, '[');
    for (size_t k = 0; k < a->n; k++) {
        const struct api_item *it = &a->item[k];
        if (it->kind != API_CALL || it->broken || !it->closed) continue;
        api_put(b, "%r{'id':%s,'type':'function','function':{'name':%s,'arguments':%B}}", sep, it->id, it->name, &it->text);
        sep = ",";
    }
    buf_putc(b, ']');
}

/* ---- the request ---- */

int api_openai_format(const struct json *f, const char *field, bool flat, struct json *job, struct err *err)
{
    const struct json *type = json_get(f, "type"), *inner = flat ? f : json_get(f, "json_schema");
    const struct json *schema = json_get(inner, "schema");
    char name[64];
    if (json_type(f) == JSON_NULL || api_is(type, "text")) return 0;
    if (api_is(type, "json_object"))
        return json_get(f, "schema") ? api_format(job, "schema", "schema", json_get(f, "schema"), err)
                                     : api_format(job, "json", NULL, NULL, err);
    if (!api_is(type, "json_schema"))
        return err_set(err, ERR_ARG, "%s: its type must be text, json_object or json_schema", field);
    if (!schema && !flat) schema = json_get(f, "schema");                 /* as llama-server takes it too */
    fmt_into(name, sizeof name, "%s%s.schema", field, flat ? "" : ".json_schema");
    if (json_type(schema) != JSON_OBJECT) return err_set(err, ERR_ARG, "%s: expected a JSON Schema", name);
    return api_format(job, "schema", "schema", schema, err);
}

/* Only some of the tools may be called: {"type":"allowed_tools","mode","tools":[{"type","function":{"name"}}]}. */
static int allow_tools(const struct json *choice, struct json *job, struct err *err)
{
    const struct json *inner = json_get(choice, "allowed_tools") ? json_get(choice, "allowed_tools") : choice;
    const struct json *tools = json_get(job, "tools"), *wanted = json_get(inner, "tools");
    const char *mode = json_str(json_get(inner, "mode"), NULL);
    struct json *left = json_new_array();
    bool ok = left != NULL;
    for (size_t i = 0; ok && i < json_len(tools); i++) {
        const char *name = json_str(json_get(json_get(json_at(tools, i), "function"), "name"), NULL);
        for (size_t k = 0; ok && k < json_len(wanted); k++) {
            const struct json *w = json_at(wanted, k), *f = json_get(w, "function");
            if (api_is(json_get(f ? f : w, "name"), name)) {
                ok = json_push(left, json_share(json_at(tools, i)));
                break;
            }
        }
    }
    if (ok && !json_len(left)) {
        json_free(left);
        return err_set(err, ERR_ARG, "tool_choice: none of its allowed_tools is among the tools");
    }
    if (!json_put(job, "tools", left) || !ok) return api_nomem(err);
    return api_tool_choice(job, mode ? mode : "auto", NULL, err);
}

int api_openai_tool_choice(const struct json *v, struct json *job, struct err *err)
{
    const char *word = json_str(v, NULL);
    if (json_type(v) == JSON_NULL) return 0;
    if (word) return api_tool_choice(job, word, NULL, err);
    if (api_is(json_get(v, "type"), "allowed_tools")) return allow_tools(v, job, err);
    const struct json *f = json_get(v, "function");
    const char *name = json_str(json_get(f ? f : v, "name"), NULL);
    if (!name) return err_set(err, ERR_ARG, "tool_choice: expected none, auto, required, or a function with its name");
    return api_tool_choice(job, NULL, name, err);
}

static int check_message(const struct json *m, size_t i, struct err *err)
{
    const char *role = json_str(json_get(m, "role"), NULL);
    enum json_type content = json_type(json_get(m, "content"));
    if (!role) return err_set(err, ERR_ARG, "messages: number %zu has no role", i);
    if (content == JSON_STRING || content == JSON_ARRAY) return 0;
    if (content != JSON_NULL) return err_set(err, ERR_ARG, "messages: the content of number %zu is neither text nor parts", i);
    return strcmp(role, "assistant") ? err_set(err, ERR_ARG, "messages: number %zu has no content", i) : 0;
}

int api_openai_messages(const struct json *body, struct json *job, struct err *err)
{
    const struct json *messages, *tools, *documents;
    bool parallel = true;
    int rc = api_required(body, "messages", JSON_ARRAY, &messages, err);
    if (rc == 0 && !json_len(messages)) rc = err_set(err, ERR_ARG, "messages is empty");
    if (rc == 0 && api_says(body, "chat_template"))
        rc = err_set(err, ERR_UNSUPPORTED, "chat_template: a request brings no template; the model's own is used");
    for (size_t i = 0; rc == 0 && i < json_len(messages); i++) rc = check_message(json_at(messages, i), i + 1, err);
    if (rc == 0 && !api_set_copy(job, "messages", messages)) rc = api_nomem(err);
    if (rc == 0) rc = api_value(body, "tools", JSON_ARRAY, &tools, err);
    if (rc == 0) rc = api_tools(tools, job, err);
    if (rc == 0) rc = api_openai_tool_choice(json_get(body, "tool_choice"), job, err);
    if (rc == 0) rc = api_bool(body, "parallel_tool_calls", &parallel, err);
    if (rc == 0 && !parallel && !api_set_bool(job, "parallel_calls", false)) rc = api_nomem(err);
    if (rc == 0) rc = api_value(body, "documents", JSON_ARRAY, &documents, err);
    if (rc == 0 && !api_set_copy(job, "documents", documents)) rc = api_nomem(err);
    return rc;
}

static int refuse_chat(const struct json *body, struct err *err)
{
    static const struct api_refusal row[] = {
        { "functions", "this old form of tools is not taken; use tools" },
        { "function_call", "this old form of tool_choice is not taken; use tool_choice" },
        { "audio", "only text comes out" },
        { "preset", "settings are named by themselves here" },
    };
    int rc = api_refuse(body, row, sizeof row / sizeof *row, err);
    if (rc == 0 && json_type(json_get(body, "web_search_options")) != JSON_NULL)         /* {} asks for it, too */
        rc = err_set(err, ERR_UNSUPPORTED, "web_search_options: nothing is fetched from the network here");
    const struct json *modalities = json_get(body, "modalities"), *format = json_get(body, "reasoning_format");
    for (size_t i = 0; rc == 0 && i < json_len(modalities); i++)
        if (!api_is(json_at(modalities, i), "text")) rc = err_set(err, ERR_UNSUPPORTED, "modalities: only text comes out");
    if (rc == 0 && api_is(format, "none"))
        rc = err_set(err, ERR_UNSUPPORTED, "reasoning_format: reasoning always stands apart from the answer");
    const struct json *add = json_get(body, "add_generation_prompt");
    if (rc == 0 && json_type(add) == JSON_BOOL && !json_bool(add) && !api_says(body, "continue_final_message"))
        rc = err_set(err, ERR_UNSUPPORTED, "add_generation_prompt: false goes only with continue_final_message");
    return rc;
}

struct chat {
    bool usage, progress, timings;
    struct json *last;                 /* the end of answer last_i, which is told with what follows, or NULL */
    size_t last_i;
};

static void release(void *p)
{
    struct chat *own = p;
    json_free(own->last);
    mem_free(own);
}

static int logprobs_of(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    bool wanted = false;
    int64_t top = -1;
    int rc = api_bool(body, "logprobs", &wanted, err);
    if (rc == 0) rc = api_int(body, "top_logprobs", 0, 20, &top, err);
    if (rc == 0 && top > 0 && !wanted) rc = err_set(err, ERR_ARG, "top_logprobs goes only with logprobs: true");
    if (rc == 0 && wanted && !api_set_int(job, "logprobs", top > 0 ? top : 0)) rc = api_nomem(err);
    c->flag = wanted;
    return rc;
}

static int chat_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct chat *own = c->own = mem_new(1, sizeof *own);
    const struct json *options, *reasoning = json_get(body, "reasoning");
    int64_t n = 1;
    c->release = release;
    int rc = own ? refuse_chat(body, err) : api_nomem(err);
    if (rc == 0) rc = api_openai_messages(body, job, err);
    if (rc == 0) rc = api_options(body, job, err);
    if (rc == 0) rc = api_openai_format(json_get(body, "response_format"), "response_format", false, job, err);
    if (rc == 0 && json_type(json_get(reasoning, "effort")) != JSON_NULL)
        rc = api_think(json_get(reasoning, "effort"), "reasoning.effort", job, err);
    if (rc == 0) rc = logprobs_of(c, body, job, err);
    if (rc == 0) rc = api_int(body, "n", 1, 64, &n, err);
    if (rc == 0 && n > 1 && !api_set_int(job, "n", n)) rc = api_nomem(err);
    if (rc == 0) rc = api_value(body, "stream_options", JSON_OBJECT, &options, err);
    if (rc == 0 && options) rc = api_bool(options, "include_usage", &own->usage, err);
    if (rc == 0) rc = api_bool(body, "return_progress", &own->progress, err);
    if (rc == 0 && own->progress && !api_set_bool(job, "progress", true)) rc = api_nomem(err);
    if (rc == 0) rc = api_bool(body, "timings_per_token", &own->timings, err);
    if (rc < 0) return rc;
    own->timings = own->timings && c->stream;
    return !own->timings || api_set_bool(job, "want_ids", true) ? 0 : api_nomem(err);
}

/* ---- the answer ---- */

static void put_head(const struct api_call *c, const char *object, struct buf *b)
{
    api_put(b, "{'id':'chatcmpl-%r','object':%s,'created':%d,'model':%s,'system_fingerprint':'hearth-%r'", c->id, object,
            c->created, c->model, hearth_version());
}

static void chat_whole(struct api_call *c)
{
    struct buf *b = &c->out;
    put_head(c, "chat.completion", b);
    buf_puts(b, ",\"choices\":[");
    for (size_t i = 0; i < c->n; i++) {
        const struct api_choice *a = &c->choice[i];
        struct buf text = { 0 }, why = { 0 };
        api_gather(a, API_TEXT, &text);
        api_gather(a, API_REASONING, &why);
        api_put(b, "%r{'index':%i,'message':{'role':'assistant','content':", i ? "," : "", (int)i);
        if (text.len || !a->n_calls) api_put(b, "%B", &text);
        else buf_puts(b, "null");
        buf_puts(b, ",\"refusal\":null");
        if (why.len) api_put(b, ",'reasoning_content':%B,'reasoning':%B", &why, &why);
        if (a->n_calls) {
            buf_puts(b, ",\"tool_calls\":");
            api_openai_put_calls(a, b);
        }
        buf_puts(b, "},\"logprobs\":");
        if (c->flag) {
            buf_puts(b, "{\"content\":");
            api_openai_put_logprobs(a->logprobs, false, b);
            buf_puts(b, ",\"refusal\":null}");
        } else
            buf_puts(b, "null");
        api_put(b, ",'finish_reason':%s}", api_openai_finish(a));
        buf_release(&text);
        buf_release(&why);
    }
    buf_puts(b, "],\"usage\":");
    api_openai_put_usage(c, b);
    buf_puts(b, ",\"timings\":");
    api_put_timings(c, b);
    buf_putc(b, '}');
}

/* A chunk up to its delta, and from there on. */
static void chunk_begin(struct api_call *c, size_t i)
{
    api_sse_begin(c, NULL);
    put_head(c, "chat.completion.chunk", &c->out);
    api_put(&c->out, ",'choices':[{'index':%i,'delta':{", (int)i);
}

static void chunk_end(struct api_call *c, const struct json *event, const char *finish)
{
    const struct chat *own = c->own;
    const struct json *list = json_get(event, "logprobs");
    buf_puts(&c->out, "},\"logprobs\":");
    if (c->flag && json_len(list)) {
        buf_puts(&c->out, "{\"content\":");
        api_openai_put_logprobs(list, false, &c->out);
        buf_puts(&c->out, ",\"refusal\":null}");
    } else
        buf_puts(&c->out, "null");
    api_put(&c->out, ",'finish_reason':%s}]%r", finish, own->usage ? ",\"usage\":null" : "");
    if (own->timings || (c->done && !own->usage)) {
        buf_puts(&c->out, ",\"timings\":");
        api_put_timings(c, &c->out);
    }
    buf_putc(&c->out, '}');
    api_sse_end(c);
}

/* The end of an answer goes out with the next, or with the times of all. */
static void tell_last(struct api_call *c)
{
    struct chat *own = c->own;
    if (!own->last) return;
    chunk_begin(c, own->last_i);
    chunk_end(c, own->last, api_openai_finish(&c->choice[own->last_i]));
    json_free(own->last);
    own->last = NULL;
}

static size_t call_index(const struct api_choice *a, const struct api_item *item)
{
    size_t n = 0;
    for (const struct api_item *it = a->item; it < item; it++) n += it->kind == API_CALL;
    return n;
}

static void chat_first(struct api_call *c, const struct api_event *e)
{
    int64_t n = json_int(json_get(c->body, "n"));
    for (int64_t i = 0; i < (n > 1 ? n : 1); i++) {
        chunk_begin(c, (size_t)i);
        buf_puts(&c->out, "\"role\":\"assistant\",\"content\":null");
        chunk_end(c, e->json, NULL);
    }
}

static void chat_last(struct api_call *c)
{
    const struct chat *own = c->own;
    struct buf *b = &c->out;
    tell_last(c);
    if (own->usage) {
        api_sse_begin(c, NULL);
        put_head(c, "chat.completion.chunk", b);
        buf_puts(b, ",\"choices\":[],\"usage\":");
        api_openai_put_usage(c, b);
        buf_puts(b, ",\"timings\":");
        api_put_timings(c, b);
        buf_putc(b, '}');
        api_sse_end(c);
    }
    buf_puts(b, "data: [DONE]\n\n");
}

static void chat_progress(struct api_call *c, const struct api_event *e)
{
    api_sse_begin(c, NULL);
    put_head(c, "chat.completion.chunk", &c->out);
    api_put(&c->out, ",'choices':[],'prompt_progress':{'total':%d,'cache':%d,'processed':%d,'time_ms':%d}}",
            json_int(json_get(e->json, "total")), api_count(json_get(e->json, "cached")), json_int(json_get(e->json, "done")),
            api_elapsed_ms(c));
    api_sse_end(c);
}

static void chat_event(struct api_call *c, const struct api_event *e)
{
    struct chat *own = c->own;
    struct buf *b = &c->out;
    switch (e->kind) {
    case API_PREFILL:
        if (own->progress) chat_progress(c, e);
        break;
    case API_START: chat_first(c, e); break;
    case API_TEXT:
        if (!e->n && !json_len(json_get(e->json, "logprobs"))) break;
        chunk_begin(c, e->i);
        api_put(b, "'content':%S", e->text, e->n);
        chunk_end(c, e->json, NULL);
        break;
    case API_REASONING:
        if (!e->n) break;
        chunk_begin(c, e->i);
        api_put(b, "'reasoning_content':%S,'reasoning':%S", e->text, e->n, e->text, e->n);
        chunk_end(c, e->json, NULL);
        break;
    case API_CALL:
        if (!e->item) break;
        chunk_begin(c, e->i);
        api_put(b, "'tool_calls':[{'index':%i,'id':%s,'type':'function','function':{'name':%s,'arguments':''}}]",
                (int)call_index(e->choice, e->item), e->item->id, e->item->name);
        chunk_end(c, e->json, NULL);
        break;
    case API_ARGUMENTS:
        if (!e->item) break;
        chunk_begin(c, e->i);
        api_put(b, "'tool_calls':[{'index':%i,'function':{'arguments':%S}}]", (int)call_index(e->choice, e->item), e->text, e->n);
        chunk_end(c, e->json, NULL);
        break;
    case API_END:
        tell_last(c);
        own->last = json_share(e->json);
        own->last_i = e->i;
        break;
    case API_DONE: chat_last(c); break;
    default: break;
    }
}

const struct api_form api_openai_chat = { "openai.chat", "generate", "text/event-stream", false, chat_job, chat_event, chat_whole,
                                          api_openai_fail, NULL };

/* ---- POST /v1/chat/completions/input_tokens ---- */

static int count_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    (void)c;
    int rc = api_openai_messages(body, job, err);
    return rc < 0 ? rc : api_options(body, job, err);
}

static void count_whole(struct api_call *c)
{
    api_put(&c->out, "{'object':'response.input_tokens','input_tokens':%u}", (uint64_t)json_len(json_get(c->done, "ids")));
}

const struct api_form api_openai_count = { "openai.count", "template", NULL, false, count_job, NULL, count_whole, NULL, NULL };
