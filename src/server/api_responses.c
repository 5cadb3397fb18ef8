/* api_responses.c - POST /v1/responses: items to messages, and the rest of the request. */
#include "server/api_responses.h"

#include <string.h>

#include "base/mem.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_put.h"

static void release(void *p)
{
    struct response *own = p;
    json_free(own->messages);
    json_free(own->input);
    mem_free(own);
}

/* ---- items to messages ---- */

struct conv {
    struct api_call *c;
    struct json *list;
    struct json *open;                 /* an assistant's message that goes on: calls and text may join it; borrowed from list */
    struct json *why;                  /* reasoning that the next message of the assistant gets */
    struct err *err;
};

static struct json *new_message(struct conv *v, const char *role)
{
    struct json *m = json_new_object();
    bool ok = m && api_set_str(m, "role", role);
    if (ok && v->why && !strcmp(role, "assistant")) {
        ok = json_put(m, "reasoning_content", v->why);
        v->why = NULL;
    }
    v->open = !strcmp(role, "assistant") ? m : NULL;
    return json_push(v->list, m) && ok ? m : NULL;
}

static int add_message(struct conv *v, const struct json *item, size_t i)
{
    const char *role = json_str(json_get(item, "role"), NULL);
    const struct json *content = json_get(item, "content");
    if (!role) return err_set(v->err, ERR_ARG, "input: item %zu has no role", i + 1);
    if (json_type(content) != JSON_STRING && json_type(content) != JSON_ARRAY)
        return err_set(v->err, ERR_ARG, "input: the content of item %zu is neither text nor parts", i + 1);
    struct json *m = new_message(v, role);
    return m && api_set_copy(m, "content", content) ? 0 : api_nomem(v->err);
}

static int add_call(struct conv *v, const struct json *item, size_t i)
{
    const char *name = json_str(json_get(item, "name"), NULL), *id = json_str(json_get(item, "call_id"), NULL);
    const struct json *arguments = json_get(item, "arguments");
    if (!name || !id || json_type(arguments) != JSON_STRING)
        return err_set(v->err, ERR_ARG, "input: item %zu needs a name, a call_id and arguments as text", i + 1);
    struct json *m = v->open ? v->open : new_message(v, "assistant");
    struct json *calls = m ? json_get(m, "tool_calls") : NULL, *c = json_new_object(), *f = json_new_object();
    bool ok = m && (calls || (json_put(m, "tool_calls", json_new_array()) && (calls = json_get(m, "tool_calls")) != NULL));
    ok = ok && (json_get(m, "content") || json_put(m, "content", json_new_null()));
    ok = ok && c && f && api_set_str(c, "id", id) && api_set_str(c, "type", "function") && api_set_str(f, "name", name) &&
         api_set_copy(f, "arguments", arguments);
    ok = json_put(c, "function", f) && ok;
    ok = json_push(calls, c) && ok;
    return ok ? 0 : api_nomem(v->err);
}

static int add_result(struct conv *v, const struct json *item, size_t i)
{
    const char *id = json_str(json_get(item, "call_id"), NULL);
    const struct json *output = json_get(item, "output");
    if (!id || json_type(output) == JSON_NULL)
        return err_set(v->err, ERR_ARG, "input: item %zu needs a call_id and an output", i + 1);
    struct json *m = new_message(v, "tool");
    return m && api_set_str(m, "tool_call_id", id) && api_set_copy(m, "content", output) ? 0 : api_nomem(v->err);
}

static int add_reasoning(struct conv *v, const struct json *item)
{
    static const char *const from[] = { "content", "summary" };
    struct buf b = { 0 };
    for (size_t k = 0; k < 2 && !b.len; k++) {
        const struct json *parts = json_get(item, from[k]);
        for (size_t i = 0; i < json_len(parts); i++) {
            size_t n;
            const char *text = json_str(json_get(json_at(parts, i), "text"), &n);
            if (text && b.len) buf_putc(&b, '\n');
            if (text) buf_put(&b, text, n);
        }
    }
    int rc = b.bad ? api_nomem(v->err) : 0;
    if (rc == 0 && b.len) {
        json_free(v->why);
        v->why = json_new_str(b.data, b.len);
        if (!v->why) rc = api_nomem(v->err);
    }
    v->open = NULL;
    buf_release(&b);
    return rc;
}

static int add_item(struct conv *v, const struct json *item, size_t i);

/* An item of an answer that was stored, by its id; it is no reference itself. */
static int add_reference(struct conv *v, const struct json *item, size_t i)
{
    const char *id = NULL;
    struct json *found = NULL;
    int rc = api_str(item, "id", &id, v->err);
    if (rc < 0) return rc;
    if (!id || !(found = api_recall_item(v->c, id)))
        return err_set(v->err, ERR_NOTFOUND, "input: item %zu refers to \"%.60s\", which is not there (any more)", i + 1,
                       id ? id : "");
    rc = add_item(v, found, i);
    json_free(found);
    return rc;
}

static int add_item(struct conv *v, const struct json *item, size_t i)
{
    const struct json *type = json_get(item, "type");
    const char *word = json_str(type, NULL);
    if (word && !strcmp(word, "item_reference")) return add_reference(v, item, i);
    if (json_type(item) != JSON_OBJECT) return err_set(v->err, ERR_ARG, "input: item %zu is no object", i + 1);
    if (!word || !strcmp(word, "message")) return add_message(v, item, i);
    if (!strcmp(word, "function_call")) return add_call(v, item, i);
    if (!strcmp(word, "function_call_output")) return add_result(v, item, i);
    if (!strcmp(word, "reasoning")) return add_reasoning(v, item);
    return err_set(v->err, ERR_UNSUPPORTED, "input: item %zu is of type %.40s, which is not taken here", i + 1, word);
}

/* Text is one message of the user. */
static int items_of(const struct json *input, struct json **out, struct err *err)
{
    if (json_type(input) == JSON_ARRAY && json_len(input)) {
        *out = json_share(input);
        return 0;
    }
    if (json_type(input) != JSON_STRING) return err_set(err, ERR_ARG, "input: expected text, or an array of items");
    struct json *list = json_new_array(), *m = json_new_object();
    bool ok = list && m && api_set_str(m, "type", "message") && api_set_str(m, "role", "user");
    ok = ok && api_set_copy(m, "content", input);
    ok = json_push(list, m) && ok;
    *out = list;
    if (ok) return 0;
    json_free(list);
    *out = NULL;
    return api_nomem(err);
}

static int conversation(struct api_call *c, struct response *own, const struct json *body, struct err *err)
{
    struct conv v = { .c = c, .list = own->messages = json_new_array(), .err = err };
    int rc = v.list ? items_of(json_get(body, "input"), &own->input, err) : api_nomem(err);
    if (rc == 0 && own->previous) rc = api_recall(c, own->previous, v.list, err);
    for (size_t i = 0; rc == 0 && i < json_len(own->input); i++) rc = add_item(&v, json_at(own->input, i), i);
    if (rc == 0 && v.why && !new_message(&v, "assistant")) rc = api_nomem(err);
    if (rc == 0 && v.open && !json_get(v.open, "content") && !api_set_str(v.open, "content", "")) rc = api_nomem(err);
    json_free(v.why);
    return rc;
}

/* The messages of the job: the instructions, then the conversation. */
static int put_messages(const struct response *own, const struct json *body, struct json *job, struct err *err)
{
    const struct json *text;
    int rc = api_value(body, "instructions", JSON_STRING, &text, err);
    if (rc < 0) return rc;
    if (!text) return api_set_copy(job, "messages", own->messages) ? 0 : api_nomem(err);
    struct json *list = json_new_array(), *m = json_new_object();
    bool ok = list && m && api_set_str(m, "role", "system") && api_set_copy(m, "content", text);
    ok = json_push(list, m) && ok;
    for (size_t i = 0; ok && i < json_len(own->messages); i++) ok = json_push(list, json_share(json_at(own->messages, i)));
    ok = json_put(job, "messages", list) && ok;
    return ok ? 0 : api_nomem(err);
}

/* ---- the rest ---- */

/* {"type":"function","name",...} becomes {"type":"function","function":{"name",...}}. */
static int put_tools(const struct json *body, struct json *job, struct err *err)
{
    const struct json *tools;
    int rc = api_value(body, "tools", JSON_ARRAY, &tools, err);
    if (rc < 0 || !json_len(tools)) return rc;
    struct json *list = json_new_array();
    bool ok = list != NULL;
    for (size_t i = 0; ok && i < json_len(tools); i++) {
        static const char *const key[] = { "name", "description", "parameters", "strict" };
        const struct json *t = json_at(tools, i);
        struct json *out = json_new_object(), *f = json_new_object();
        const struct json *type = json_get(t, "type");
        ok = out && f && json_put(out, "type", type ? json_share(type) : json_new_str("function", 8));
        for (size_t k = 0; ok && k < 4; k++)
            if (json_type(json_get(t, key[k])) != JSON_NULL) ok = api_set_copy(f, key[k], json_get(t, key[k]));
        ok = json_put(out, "function", f) && ok;
        ok = json_push(list, out) && ok;
    }
    rc = ok ? api_tools(list, job, err) : api_nomem(err);
    json_free(list);
    return rc;
}

static int refuse(const struct json *body, struct err *err)
{
    static const struct api_refusal row[] = {
        { "background", "answers are given while the connection lasts" },
        { "conversation", "conversations are not kept here; use previous_response_id" },
        { "prompt", "there are no stored prompts here" },
    };
    return api_refuse(body, row, sizeof row / sizeof *row, err);
}

/* "auto": the oldest messages go when they do not fit. */
static int put_truncation(const struct json *body, struct json *job, struct err *err)
{
    const char *word = NULL;
    int rc = api_str(body, "truncation", &word, err);
    if (rc < 0 || !word || !strcmp(word, "disabled")) return rc;
    if (strcmp(word, "auto") != 0) return err_set(err, ERR_ARG, "truncation: \"%.40s\" is neither auto nor disabled", word);
    struct json *options = api_object(job, "options");
    if (json_get(options, "context_policy")) return 0;
    return options && api_set_str(options, "context_policy", "drop") ? 0 : api_nomem(err);
}

static int put_options(struct response *own, const struct json *body, struct json *job, struct err *err)
{
    const struct json *effort = json_get(json_get(body, "reasoning"), "effort"), *include;
    int64_t top = 0;
    bool parallel = true;
    int rc = api_options(body, job, err);
    if (rc == 0) rc = put_truncation(body, job, err);
    if (rc == 0) rc = api_openai_format(json_get(json_get(body, "text"), "format"), "text.format", true, job, err);
    if (rc == 0 && json_type(effort) != JSON_NULL) rc = api_think(effort, "reasoning.effort", job, err);
    if (rc == 0) rc = api_bool(body, "parallel_tool_calls", &parallel, err);
    if (rc == 0 && !parallel && !api_set_bool(job, "parallel_calls", false)) rc = api_nomem(err);
    if (rc == 0) rc = api_int(body, "top_logprobs", 0, 20, &top, err);
    if (rc == 0) rc = api_value(body, "include", JSON_ARRAY, &include, err);
    for (size_t i = 0; rc == 0 && i < json_len(include); i++)
        if (api_is(json_at(include, i), "message.output_text.logprobs")) own->logprobs = true;
    if (rc == 0 && (own->logprobs || top) && !api_set_int(job, "logprobs", top)) rc = api_nomem(err);
    own->logprobs = own->logprobs || top > 0;
    return rc;
}

static int response_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct response *own = c->own = mem_new(1, sizeof *own);
    c->release = release;
    int rc = own ? refuse(body, err) : api_nomem(err);
    if (rc < 0) return rc;
    own->store = true;
    own->closed = true;
    rc = api_bool(body, "store", &own->store, err);
    c->stored = own->store;
    if (rc == 0) rc = api_str(body, "previous_response_id", &own->previous, err);
    if (rc == 0) rc = conversation(c, own, body, err);
    if (rc == 0) rc = put_messages(own, body, job, err);
    if (rc == 0) rc = put_tools(body, job, err);
    if (rc == 0) rc = api_openai_tool_choice(json_get(body, "tool_choice"), job, err);
    if (rc == 0) rc = put_options(own, body, job, err);
    return rc;
}

const struct api_form api_openai_response = { "openai.response", "generate", "text/event-stream", false, response_job,
                                              api_response_event, api_response_whole, api_response_fail, NULL };

/* ---- POST /v1/responses/input_tokens ---- */

static int count_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    struct response *own = c->own = mem_new(1, sizeof *own);
    c->release = release;
    int rc = own ? api_str(body, "previous_response_id", &own->previous, err) : api_nomem(err);
    if (rc == 0) rc = conversation(c, own, body, err);
    if (rc == 0) rc = put_messages(own, body, job, err);
    return rc < 0 ? rc : put_tools(body, job, err);
}

static void count_whole(struct api_call *c)
{
    api_put(&c->out, "{'object':'response.input_tokens','input_tokens':%u}", (uint64_t)json_len(json_get(c->done, "ids")));
}

const struct api_form api_openai_response_count = { "openai.response_count", "template", NULL, false, count_job, NULL,
                                                    count_whole, NULL, NULL };
