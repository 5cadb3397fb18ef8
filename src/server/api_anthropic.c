/* api_anthropic.c - Anthropic's POST /v1/messages and count_tokens.  Fields and events: the types of its published clients. */
#include "server/api_anthropic.h"

#include <string.h>

#include "base/mem.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_put.h"

enum { USUAL_MAX_TOKENS = 4096 };

struct anthropic { size_t n_blocks; bool open; };

void api_anthropic_put_error(struct buf *b, int status, const char *message, const char *id, struct context_numbers n)
{
    static const struct { int status; const char *type; } row[] = {
        { 400, "invalid_request_error" }, { 401, "authentication_error" }, { 403, "permission_error" },
        { 404, "not_found_error" }, { 405, "invalid_request_error" }, { 413, "request_too_large" },
        { 415, "invalid_request_error" }, { 429, "rate_limit_error" }, { 503, "overloaded_error" }, { 504, "timeout_error" },
    };
    const char *type = "api_error";
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (row[i].status == status) type = row[i].type;
    char text[96];
    if (n.n_ctx)                       /* by these words its clients know when to shorten a conversation */
        fmt_into(text, sizeof text, "prompt is too long: %llu tokens > %llu maximum", (unsigned long long)n.n_prompt,
                 (unsigned long long)n.n_ctx);
    api_put(b, "{'type':'error','error':{'type':%s,'message':%s}", type, n.n_ctx ? text : message);
    if (id) api_put(b, ",'request_id':%s", id);
    buf_putc(b, '}');
}

/* ---- blocks to messages ---- */

struct blocks {
    struct json *list;                 /* messages */
    struct buf text, why;              /* of the message being read */
    struct json *calls;
    struct err *err;
};

static int refuse_block(struct blocks *v, size_t i, const char *type)
{
    return err_set(v->err, ERR_UNSUPPORTED, "messages: number %zu has a block of type %.40s, and this server takes text only",
                   i + 1, type);
}

static void add_text(struct buf *b, const char *s, size_t n)
{
    if (b->len) buf_putc(b, '\n');
    buf_put(b, s, n);
}

/* Text, or blocks of text; a line with which Anthropic's own program counts its requests is left out, for it would be another
 * one each time and nothing before it could be found again. */
static int text_of(const struct json *content, const char *where, struct buf *out, struct err *err)
{
    static const char counter[] = "x-anthropic-billing-header";
    size_t n;
    const char *s = json_str(content, &n);
    if (s) add_text(out, s, n);
    if (s || json_type(content) == JSON_NULL) return 0;
    if (json_type(content) != JSON_ARRAY) return err_set(err, ERR_ARG, "%s: expected text or blocks", where);
    for (size_t k = 0; k < json_len(content); k++) {
        const struct json *block = json_at(content, k);
        const char *type = json_str(json_get(block, "type"), NULL);
        s = json_str(json_get(block, "text"), &n);
        if (!type || strcmp(type, "text") != 0)
            return err_set(err, ERR_UNSUPPORTED, "%s: block %zu is of type %.40s, and this server takes text only", where, k + 1,
                           type ? type : "(none)");
        if (!s) return err_set(err, ERR_ARG, "%s: block %zu has no text", where, k + 1);
        if (strncmp(s, counter, sizeof counter - 1) != 0) add_text(out, s, n);
    }
    return 0;
}

static bool put_buf(struct json *m, const char *key, const struct buf *b)
{
    return !b->bad && json_put(m, key, json_new_str(b->data ? b->data : "", b->len));
}

/* Templates have no place for it, so that a call failed is said in its text. */
static int add_result(struct blocks *v, const struct json *block)
{
    const struct json *id = json_get(block, "tool_use_id");
    struct buf text = { 0 };
    if (json_type(id) != JSON_STRING) return err_set(v->err, ERR_ARG, "messages: a tool_result has no tool_use_id");
    bool failed = false;
    int rc = api_bool(block, "is_error", &failed, v->err);
    if (failed) buf_puts(&text, "Error:");
    if (rc == 0) rc = text_of(json_get(block, "content"), "a tool_result", &text, v->err);
    struct json *m = rc == 0 ? json_new_object() : NULL;
    bool ok = m && api_set_str(m, "role", "tool") && api_set_copy(m, "tool_call_id", id) && put_buf(m, "content", &text);
    buf_release(&text);
    if (rc < 0) return rc;
    return json_push(v->list, m) && ok ? 0 : api_nomem(v->err);
}

static int add_call(struct blocks *v, const struct json *block, size_t i)
{
    const struct json *id = json_get(block, "id"), *name = json_get(block, "name"), *input = json_get(block, "input");
    if (json_type(id) != JSON_STRING || json_type(name) != JSON_STRING || (input && json_type(input) != JSON_OBJECT))
        return err_set(v->err, ERR_ARG, "messages: a tool_use of number %zu needs an id, a name and an object as input", i + 1);
    struct json *c = json_new_object(), *f = json_new_object();
    if (!v->calls) v->calls = json_new_array();
    bool ok = c && f && api_set_copy(c, "id", id) && api_set_str(c, "type", "function") && api_set_copy(f, "name", name) &&
              json_put(f, "arguments", input ? json_share(input) : json_new_object());
    ok = json_put(c, "function", f) && ok;
    return json_push(v->calls, c) && ok ? 0 : api_nomem(v->err);
}

static int add_block(struct blocks *v, const struct json *block, size_t i, bool assistant)
{
    size_t n;
    const char *type = json_str(json_get(block, "type"), NULL), *s;
    if (!type) return err_set(v->err, ERR_ARG, "messages: a block of number %zu has no type", i + 1);
    if (!strcmp(type, "text")) {
        if ((s = json_str(json_get(block, "text"), &n)) == NULL)
            return err_set(v->err, ERR_ARG, "messages: a text block of number %zu has no text", i + 1);
        add_text(&v->text, s, n);
        return 0;
    }
    if (!assistant && !strcmp(type, "tool_result")) return add_result(v, block);
    if (assistant && !strcmp(type, "tool_use")) return add_call(v, block, i);
    if (assistant && !strcmp(type, "redacted_thinking")) return 0;
    if (assistant && !strcmp(type, "thinking")) {
        if ((s = json_str(json_get(block, "thinking"), &n)) != NULL) add_text(&v->why, s, n);
        return 0;
    }
    return refuse_block(v, i, type);
}

/* What was read becomes a message; a user's that held results only is none. */
static int end_message(struct blocks *v, const char *role, bool always)
{
    int rc = 0;
    if (always || v->text.len || v->calls || v->why.len) {
        struct json *m = json_new_object();
        bool ok = m && api_set_str(m, "role", role) && put_buf(m, "content", &v->text);
        if (ok && v->why.len) ok = put_buf(m, "reasoning_content", &v->why);
        if (v->calls) ok = json_put(m, "tool_calls", v->calls) && ok;
        rc = json_push(v->list, m) && ok ? 0 : api_nomem(v->err);
        v->calls = NULL;
    }
    buf_clear(&v->text);
    buf_clear(&v->why);
    return rc;
}

static int one_message(struct blocks *v, const struct json *m, size_t i)
{
    const struct json *content = json_get(m, "content");
    const char *role = json_str(json_get(m, "role"), NULL);
    size_t n;
    const char *s = json_str(content, &n);
    bool assistant = role && !strcmp(role, "assistant");
    if (!role || (!assistant && strcmp(role, "user") != 0 && strcmp(role, "system") != 0))
        return err_set(v->err, ERR_ARG, "messages: the role of number %zu is neither user nor assistant", i + 1);
    if (!s && json_type(content) != JSON_ARRAY)
        return err_set(v->err, ERR_ARG, "messages: the content of number %zu is neither text nor blocks", i + 1);
    if (s) add_text(&v->text, s, n);
    int rc = 0;
    for (size_t k = 0; rc == 0 && !s && k < json_len(content); k++) rc = add_block(v, json_at(content, k), i, assistant);
    return rc == 0 ? end_message(v, role, s != NULL) : rc;
}

static int put_system(struct blocks *v, const struct json *body)
{
    int rc = text_of(json_get(body, "system"), "system", &v->text, v->err);
    return rc == 0 ? end_message(v, "system", false) : rc;
}

static int put_messages(const struct json *body, struct json *job, struct err *err)
{
    const struct json *messages;
    struct blocks v = { .list = json_new_array(), .err = err };
    int rc = v.list ? api_required(body, "messages", JSON_ARRAY, &messages, err) : api_nomem(err);
    if (rc == 0 && !json_len(messages)) rc = err_set(err, ERR_ARG, "messages is empty");
    if (rc == 0) rc = put_system(&v, body);
    for (size_t i = 0; rc == 0 && i < json_len(messages); i++) rc = one_message(&v, json_at(messages, i), i);
    const struct json *last = json_at(v.list, json_len(v.list) ? json_len(v.list) - 1 : 0);
    bool goes_on = rc == 0 && api_is(json_get(last, "role"), "assistant") && !json_get(last, "tool_calls");
    buf_release(&v.text);
    buf_release(&v.why);
    json_free(v.calls);
    bool ok = json_put(job, "messages", v.list) && (!goes_on || api_set_bool(job, "continue", true));
    return rc < 0 ? rc : ok ? 0 : api_nomem(err);
}

/* ---- tools ---- */

static int put_tools(const struct json *body, struct json *job, struct err *err)
{
    const struct json *tools;
    int rc = api_value(body, "tools", JSON_ARRAY, &tools, err);
    struct json *list = rc == 0 && json_len(tools) ? json_new_array() : NULL;
    for (size_t i = 0; rc == 0 && i < json_len(tools); i++) {
        const struct json *t = json_at(tools, i), *type = json_get(t, "type");
        if (json_type(type) == JSON_STRING && !api_is(type, "custom")) {
            rc = err_set(err, ERR_UNSUPPORTED, "tools: number %zu is of type %.40s, which cannot be run here", i + 1,
                         json_str(type, NULL));
            break;
        }
        struct json *out = json_new_object(), *f = json_new_object();
        bool ok = out && f && api_set_str(out, "type", "function") && api_set_copy(f, "name", json_get(t, "name")) &&
                  api_set_copy(f, "description", json_get(t, "description")) &&
                  api_set_copy(f, "parameters", json_get(t, "input_schema"));
        ok = json_put(out, "function", f) && ok;
        ok = json_push(list, out) && ok;
        if (!ok) rc = api_nomem(err);
    }
    if (rc == 0 && list) rc = api_tools(list, job, err);
    json_free(list);
    return rc;
}

static int put_choice(const struct json *body, struct json *job, struct err *err)
{
    const struct json *choice;
    bool alone = false;
    const char *type = NULL, *name = NULL;
    int rc = api_value(body, "tool_choice", JSON_OBJECT, &choice, err);
    if (rc < 0 || !choice) return rc;
    rc = api_str(choice, "type", &type, err);
    if (rc == 0) rc = api_str(choice, "name", &name, err);
    if (rc == 0) rc = api_bool(choice, "disable_parallel_tool_use", &alone, err);
    if (rc == 0 && alone && !api_set_bool(job, "parallel_calls", false)) rc = api_nomem(err);
    if (rc < 0) return rc;
    if (!type) return err_set(err, ERR_ARG, "tool_choice has no type");
    if (!strcmp(type, "tool"))
        return name ? api_tool_choice(job, NULL, name, err) : err_set(err, ERR_ARG, "tool_choice of type tool has no name");
    return api_tool_choice(job, !strcmp(type, "any") ? "required" : type, NULL, err);
}

/* ---- the rest ---- */

/* Without a word about it there is no thinking, as with Anthropic: a program that has not asked does not expect such blocks. */
static int put_thinking(const struct json *body, struct json *job, struct err *err)
{
    const struct json *thinking, *config;
    const char *type = NULL;
    int64_t budget = 0;
    int rc = api_value(body, "thinking", JSON_OBJECT, &thinking, err);
    if (rc == 0) rc = api_value(body, "output_config", JSON_OBJECT, &config, err);
    if (rc == 0 && thinking) rc = api_str(thinking, "type", &type, err);
    if (rc == 0 && thinking) rc = api_int(thinking, "budget_tokens", 1, 1 << 24, &budget, err);
    if (rc < 0) return rc;
    bool on = type && (!strcmp(type, "enabled") || !strcmp(type, "adaptive"));
    if (type && !on && strcmp(type, "disabled") != 0)
        return err_set(err, ERR_ARG, "thinking: \"%.40s\" is none of enabled, disabled, adaptive", type);
    const struct json *effort = json_get(config, "effort");
    if (on && json_type(effort) == JSON_STRING) rc = api_think(effort, "output_config.effort", job, err);
    else if (!json_get(job, "think") && !api_set_str(job, "think", on ? "on" : "off")) rc = api_nomem(err);
    if (rc == 0 && on && budget && !api_set_int(job, "think_budget", budget)) rc = api_nomem(err);
    const struct json *format = json_get(config, "format") ? json_get(config, "format") : json_get(body, "output_format");
    return rc == 0 ? api_openai_format(format, "output_config.format", true, job, err) : rc;
}

static int put_stops(const struct json *body, struct json *job, struct err *err)
{
    const struct json *stops = json_get(body, "stop_sequences");
    struct json *renamed = json_new_object();
    bool ok = renamed && (json_type(stops) == JSON_NULL || api_set_copy(renamed, "stop", stops));
    int rc = ok ? api_options(renamed, job, err) : api_nomem(err);
    json_free(renamed);
    return rc;
}

static int messages_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    static const struct api_refusal row[] = {
        { "mcp_servers", "no other servers are called from here" },
        { "container", "nothing is run here" },
    };
    c->own = mem_new(1, sizeof(struct anthropic));
    c->release = mem_free;
    int rc = c->own ? api_refuse(body, row, sizeof row / sizeof *row, err) : api_nomem(err);
    if (rc == 0) rc = put_messages(body, job, err);
    if (rc == 0) rc = put_tools(body, job, err);
    if (rc == 0) rc = put_choice(body, job, err);
    if (rc == 0) rc = put_stops(body, job, err);
    if (rc == 0) rc = api_options(body, job, err);
    if (rc == 0) rc = put_thinking(body, job, err);
    if (rc == 0 && json_type(json_get(body, "max_tokens")) == JSON_NULL) {
        struct json *options = api_object(job, "options");
        if (!options || (!json_get(options, "max_tokens") && !api_set_int(options, "max_tokens", USUAL_MAX_TOKENS)))
            rc = api_nomem(err);
    }
    return rc;
}

/* ---- answers ---- */

static const char *stop_reason(const struct api_choice *a)
{
    if (!strcmp(a->reason, "context")) return "model_context_window_exceeded";
    if (api_openai_finish(a)[0] == 'l') return "max_tokens";
    return a->n_calls ? "tool_use" : a->stop ? "stop_sequence" : "end_turn";
}

static void put_usage(const struct api_call *c, int64_t output, struct buf *b)
{
    api_put(b, "{'input_tokens':%d,'cache_creation_input_tokens':0,'cache_read_input_tokens':%d,'output_tokens':%d}",
            c->prompt_tokens - c->cached_tokens, c->cached_tokens, output);
}

static void put_input(const struct api_item *it, struct buf *b)
{
    struct json *j = NULL;
    int rc = json_parse(&j, it->text.data ? it->text.data : "", it->text.len, NULL);
    if (rc == 0 && json_type(j) == JSON_OBJECT) buf_put(b, it->text.data, it->text.len);
    else buf_puts(b, "{}");
    json_free(j);
}

static void put_block(const struct api_item *it, bool full, struct buf *b)
{
    static const struct buf none;
    const struct buf *text = full ? &it->text : &none;
    if (it->kind == API_TEXT) api_put(b, "{'type':'text','text':%B}", text);
    if (it->kind == API_REASONING) api_put(b, "{'type':'thinking','thinking':%B,'signature':''}", text);
    if (it->kind != API_CALL) return;
    api_put(b, "{'type':'tool_use','id':%s,'name':%s,'input':", it->id, it->name);
    if (full) put_input(it, b);
    else buf_puts(b, "{}");
    buf_putc(b, '}');
}

static void messages_whole(struct api_call *c)
{
    const struct api_choice *a = c->n ? &c->choice[0] : NULL;
    struct buf *b = &c->out;
    const char *sep = "";
    api_put(b, "{'id':'msg_%r','type':'message','role':'assistant','model':%s,'content':[", c->id, c->model);
    for (size_t k = 0; a && k < a->n; k++) {
        if (a->item[k].kind == API_CALL && (a->item[k].broken || !a->item[k].closed)) continue;
        buf_puts(b, sep);
        put_block(&a->item[k], true, b);
        sep = ",";
    }
    api_put(b, "],'stop_reason':%s,'stop_sequence':%s,'usage':", a ? stop_reason(a) : "end_turn", a ? a->stop : NULL);
    put_usage(c, c->answer_tokens, b);
    buf_putc(b, '}');
}

static void message_start(struct api_call *c)
{
    api_sse_begin(c, "message_start");
    api_put(&c->out, "{'type':'message_start','message':{'id':'msg_%r','type':'message','role':'assistant','model':%s,"
                     "'content':[],'stop_reason':null,'stop_sequence':null,'usage':", c->id, c->model);
    put_usage(c, 0, &c->out);
    buf_puts(&c->out, "}}");
    api_sse_end(c);
    buf_puts(&c->out, "event: ping\ndata: {\"type\":\"ping\"}\n\n");
}

static void block_stop(struct api_call *c)
{
    struct anthropic *own = c->own;
    if (!own->open) return;
    const struct api_item *it = &c->choice[0].item[own->n_blocks - 1];
    if (it->kind == API_REASONING) {
        api_sse_begin(c, "content_block_delta");
        api_put(&c->out, "{'type':'content_block_delta','index':%i,'delta':{'type':'signature_delta','signature':''}}",
                (int)own->n_blocks - 1);
        api_sse_end(c);
    }
    api_sse_begin(c, "content_block_stop");
    api_put(&c->out, "{'type':'content_block_stop','index':%i}", (int)own->n_blocks - 1);
    api_sse_end(c);
    own->open = false;
}

static void block_start(struct api_call *c, const struct api_event *e)
{
    struct anthropic *own = c->own;
    block_stop(c);
    own->n_blocks = (size_t)(e->item - e->choice->item) + 1;
    own->open = true;
    api_sse_begin(c, "content_block_start");
    api_put(&c->out, "{'type':'content_block_start','index':%i,'content_block':", (int)own->n_blocks - 1);
    put_block(e->item, false, &c->out);
    buf_putc(&c->out, '}');
    api_sse_end(c);
}

static void block_delta(struct api_call *c, const struct api_event *e, const char *type, const char *key)
{
    api_sse_begin(c, "content_block_delta");
    api_put(&c->out, "{'type':'content_block_delta','index':%i,'delta':{'type':%s,%s:%S}}", (int)(e->item - e->choice->item),
            type, key, e->text, e->n);
    api_sse_end(c);
}

static void message_end(struct api_call *c)
{
    const struct api_choice *a = c->n ? &c->choice[0] : NULL;
    api_sse_begin(c, "message_delta");
    api_put(&c->out, "{'type':'message_delta','delta':{'stop_reason':%s,'stop_sequence':%s},'usage':",
            a ? stop_reason(a) : "end_turn", a ? a->stop : NULL);
    put_usage(c, c->answer_tokens, &c->out);
    buf_putc(&c->out, '}');
    api_sse_end(c);
    buf_puts(&c->out, "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n");
}

static void messages_event(struct api_call *c, const struct api_event *e)
{
    if (e->kind == API_START) message_start(c);
    if (e->opened) block_start(c, e);
    if (e->kind == API_TEXT && e->item) block_delta(c, e, "text_delta", "text");
    if (e->kind == API_REASONING && e->item) block_delta(c, e, "thinking_delta", "thinking");
    if (e->kind == API_ARGUMENTS && e->item) block_delta(c, e, "input_json_delta", "partial_json");
    if ((e->kind == API_CALL_END || e->kind == API_CALL_BROKEN) && e->item) block_stop(c);
    if (e->kind == API_END) block_stop(c);
    if (e->kind == API_DONE) message_end(c);
}

static void messages_fail(struct api_call *c)
{
    api_sse_begin(c, "error");
    api_anthropic_put_error(&c->out, c->status, c->message, NULL, c->context);
    api_sse_end(c);
}

const struct api_form api_anthropic_messages = { "anthropic.messages", "generate", "text/event-stream", false, messages_job,
                                                 messages_event, messages_whole, messages_fail, NULL };

/* ---- count_tokens ---- */

static int count_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    (void)c;
    int rc = put_messages(body, job, err);
    if (rc == 0) rc = put_tools(body, job, err);
    return rc == 0 ? put_thinking(body, job, err) : rc;
}

static void count_whole(struct api_call *c)
{
    api_put(&c->out, "{'input_tokens':%u}", (uint64_t)json_len(json_get(c->done, "ids")));
}

const struct api_form api_anthropic_count = { "anthropic.count", "template", NULL, false, count_job, NULL, count_whole, NULL,
                                              NULL };
