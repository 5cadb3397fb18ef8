/* api_responses_out.c - the answers of /v1/responses: the object, the events of a stream, what is stored. */
#include <string.h>

#include "server/api_openai.h"
#include "server/api_put.h"
#include "server/api_responses.h"
#include "server/api_state.h"

/* ---- the conversation goes on ---- */

static bool put_call(struct json *calls, const struct api_item *it)
{
    struct json *c = json_new_object(), *f = json_new_object();
    bool ok = c && f && api_set_str(c, "id", it->id) && api_set_str(c, "type", "function") && api_set_str(f, "name", it->name) &&
              json_put(f, "arguments", json_new_str(it->text.data ? it->text.data : "", it->text.len));
    ok = json_put(c, "function", f) && ok;
    return json_push(calls, c) && ok;
}

static bool put_text(struct json *m, const char *key, const struct api_choice *a, enum api_kind kind)
{
    struct buf b = { 0 };
    api_gather(a, kind, &b);
    bool ok = !b.bad && (!b.len || json_put(m, key, json_new_str(b.data, b.len)));
    buf_release(&b);
    return ok;
}

/* The answer as jobs have it; false when memory ran out. */
static bool append_answer(struct json *messages, const struct api_choice *a)
{
    struct json *m = json_new_object(), *calls = json_new_array();
    bool ok = m && calls && api_set_str(m, "role", "assistant") && put_text(m, "content", a, API_TEXT) &&
              put_text(m, "reasoning_content", a, API_REASONING);
    for (size_t k = 0; ok && k < a->n; k++)
        if (a->item[k].kind == API_CALL && a->item[k].closed && !a->item[k].broken) ok = put_call(calls, &a->item[k]);
    bool any = json_len(calls) > 0;
    if (ok && !json_get(m, "content")) ok = json_put(m, "content", any ? json_new_null() : json_new_str("", 0));
    if (any) ok = json_put(m, "tool_calls", calls) && ok;
    else json_free(calls);
    return json_push(messages, m) && ok;
}

int api_recall(struct api_call *c, const char *id, struct json *list, struct err *err)
{
    struct api_kept k = { 0 };
    if (!c->state || !api_state_get(c->state, c->user, id, &k))
        return err_set(err, ERR_NOTFOUND, "previous_response_id: there is no answer \"%.60s\" (any more)", id);
    bool ok = true;
    for (size_t i = 0; ok && i < json_len(k.messages); i++) ok = json_push(list, json_share(json_at(k.messages, i)));
    api_kept_release(&k);
    return ok ? 0 : api_nomem(err);
}

/* An item's id is a word for its kind, the 24 letters of the answer, and its place there. */
struct json *api_recall_item(struct api_call *c, const char *id)
{
    enum { LETTERS = 24 };
    struct api_kept k = { 0 };
    struct json *found = NULL;
    char answer[API_STATE_ID];
    const char *at = strchr(id, '_');
    if (!at || strlen(at + 1) < LETTERS || !c->state) return NULL;
    fmt_into(answer, sizeof answer, "resp_%.*s", (int)LETTERS, at + 1);
    if (!api_state_get(c->state, c->user, answer, &k)) return NULL;
    const struct json *output = json_get(k.object, "output");
    for (size_t i = 0; !found && i < json_len(output); i++)
        if (api_is(json_get(json_at(output, i), "id"), id)) found = json_share(json_at(output, i));
    api_kept_release(&k);
    return found;
}

void api_remember(struct api_call *c, const struct json *messages, const struct json *input, const struct buf *object)
{
    struct api_kept k = { 0 };
    char id[API_STATE_ID];
    if (!c->state || !c->n) return;
    k.messages = json_new_array();
    bool ok = k.messages && !object->bad && json_parse(&k.object, object->data, object->len, NULL) == 0;
    for (size_t i = 0; ok && i < json_len(messages); i++) ok = json_push(k.messages, json_share(json_at(messages, i)));
    ok = ok && append_answer(k.messages, &c->choice[0]);
    k.input = json_share(input);
    fmt_into(id, sizeof id, "resp_%s", c->id);
    if (ok) api_state_put(c->state, c->user, id, &k);
    api_kept_release(&k);
}

/* ---- items ---- */

enum state { IN_PROGRESS, COMPLETED, INCOMPLETE };
static const char *const state_name[] = { "in_progress", "completed", "incomplete" };

static const char *prefix_of(const struct api_item *it)
{
    return it->kind == API_TEXT ? "msg" : it->kind == API_REASONING ? "rs" : "fc";
}

static void put_item_id(const struct api_call *c, size_t k, struct buf *b)
{
    api_put(b, "'%r_%r%i'", prefix_of(&c->choice[0].item[k]), c->id, (int)k);
}

static void put_part(const struct api_call *c, const struct api_item *it, bool full, struct buf *b)
{
    const struct response *own = c->own;
    static const struct buf none;
    if (it->kind == API_REASONING) {
        api_put(b, "{'type':'reasoning_text','text':%B}", full ? &it->text : &none);
        return;
    }
    api_put(b, "{'type':'output_text','text':%B,'annotations':[],'logprobs':", full ? &it->text : &none);
    if (full && own->logprobs) api_openai_put_logprobs(c->choice[0].logprobs, false, b);
    else buf_puts(b, "[]");
    buf_putc(b, '}');
}

static void put_item(const struct api_call *c, size_t k, enum state state, struct buf *b)
{
    const struct api_item *it = &c->choice[0].item[k];
    static const struct buf none;
    buf_puts(b, "{\"id\":");
    put_item_id(c, k, b);
    if (it->kind == API_CALL && (it->broken || (state != IN_PROGRESS && !it->closed))) state = INCOMPLETE;
    if (it->kind == API_CALL) {
        api_put(b, ",'type':'function_call','status':%s,'call_id':%s,'name':%s,'arguments':%B}", state_name[state], it->id,
                it->name, state == IN_PROGRESS ? &none : &it->text);
        return;
    }
    if (it->kind == API_TEXT) api_put(b, ",'type':'message','status':%s,'role':'assistant','content':[", state_name[state]);
    else api_put(b, ",'type':'reasoning','status':%s,'summary':[],'encrypted_content':null,'content':[", state_name[state]);
    if (state != IN_PROGRESS) put_part(c, it, true, b);
    buf_puts(b, "]}");
}

/* ---- the object ---- */

static void put_given(const struct json *body, const char *key, const char *otherwise, struct buf *b)
{
    const struct json *v = json_get(body, key);
    api_put(b, ",'%r':", key);
    if (json_type(v) != JSON_NULL) api_put(b, "%j", v);
    else buf_puts(b, otherwise);
}

static bool cut(const struct api_call *c)
{
    return c->n && !strcmp(api_openai_finish(&c->choice[0]), "length");
}

static void put_usage(const struct api_call *c, struct buf *b)
{
    api_put(b, "{'input_tokens':%d,'input_tokens_details':{'cached_tokens':%d},'output_tokens':%d,'output_tokens_details':"
               "{'reasoning_tokens':%d},'total_tokens':%d}", c->prompt_tokens, c->cached_tokens, c->answer_tokens,
            c->reasoning_tokens, c->prompt_tokens + c->answer_tokens);
}

static void put_output(const struct api_call *c, struct buf *b)
{
    for (size_t k = 0; c->n && k < c->choice[0].n; k++) {
        if (k) buf_putc(b, ',');
        put_item(c, k, cut(c) && k + 1 == c->choice[0].n ? INCOMPLETE : COMPLETED, b);
    }
}

static void put_object(const struct api_call *c, const char *status, struct buf *b)
{
    static const char *const given[][2] = {
        { "instructions", "null" }, { "previous_response_id", "null" }, { "tools", "[]" }, { "tool_choice", "\"auto\"" },
        { "parallel_tool_calls", "true" }, { "text", "{\"format\":{\"type\":\"text\"}}" },
        { "reasoning", "{\"effort\":null,\"summary\":null}" }, { "temperature", "null" }, { "top_p", "null" },
        { "truncation", "\"disabled\"" }, { "max_output_tokens", "null" }, { "max_tool_calls", "null" }, { "store", "true" },
        { "metadata", "{}" }, { "user", "null" }, { "service_tier", "\"default\"" },
    };
    bool over = strcmp(status, "in_progress") != 0, failed = !strcmp(status, "failed");
    api_put(b, "{'id':'resp_%r','object':'response','created_at':%d,'status':%s,'background':false,'error':", c->id, c->created,
            status);
    if (failed) api_put(b, "{'code':'server_error','message':%s}", c->message);
    else buf_puts(b, "null");
    if (!strcmp(status, "completed")) api_put(b, ",'completed_at':%d", c->created + api_elapsed_ms(c) / 1000);
    else buf_puts(b, ",\"completed_at\":null");
    api_put(b, ",'incomplete_details':%r,'model':%s,'output':[", !strcmp(status, "incomplete") ?
            "{\"reason\":\"max_output_tokens\"}" : "null", c->model);
    if (over) put_output(c, b);
    buf_putc(b, ']');
    for (size_t i = 0; i < sizeof given / sizeof *given; i++) put_given(c->body, given[i][0], given[i][1], b);
    buf_puts(b, ",\"usage\":");
    if (over && !failed) put_usage(c, b);
    else buf_puts(b, "null");
    buf_putc(b, '}');
}

static const char *final_status(const struct api_call *c) { return cut(c) ? "incomplete" : "completed"; }

static void keep(struct api_call *c, const struct buf *object)
{
    const struct response *own = c->own;
    if (own->store) api_remember(c, own->messages, own->input, object);
}

void api_response_whole(struct api_call *c)
{
    put_object(c, final_status(c), &c->out);
    keep(c, &c->out);
}

/* ---- the stream ---- */

/* {"type":...,"sequence_number":n: the event goes on behind it. */
static void begin(struct api_call *c, const char *type)
{
    struct response *own = c->own;
    api_sse_begin(c, type);
    api_put(&c->out, "{'type':%s,'sequence_number':%d", type, own->seq++);
}

static void end(struct api_call *c)
{
    buf_putc(&c->out, '}');
    api_sse_end(c);
}

static void object_event(struct api_call *c, const char *type, const char *status)
{
    begin(c, type);
    buf_puts(&c->out, ",\"response\":");
    put_object(c, status, &c->out);
    end(c);
}

/* ,"item_id","output_index" and for parts "content_index". */
static void put_place(struct api_call *c, size_t k, bool part)
{
    buf_puts(&c->out, ",\"item_id\":");
    put_item_id(c, k, &c->out);
    api_put(&c->out, ",'output_index':%i%r", (int)k, part ? ",\"content_index\":0" : "");
}

static void item_event(struct api_call *c, const char *type, size_t k, enum state state)
{
    begin(c, type);
    api_put(&c->out, ",'output_index':%i,'item':", (int)k);
    put_item(c, k, state, &c->out);
    end(c);
}

static void part_event(struct api_call *c, const char *type, size_t k, bool full)
{
    begin(c, type);
    put_place(c, k, true);
    buf_puts(&c->out, ",\"part\":");
    put_part(c, &c->choice[0].item[k], full, &c->out);
    end(c);
}

static void open_item(struct api_call *c, size_t k)
{
    struct response *own = c->own;
    own->n_items = k + 1;
    own->closed = false;
    item_event(c, "response.output_item.added", k, IN_PROGRESS);
    if (c->choice[0].item[k].kind != API_CALL) part_event(c, "response.content_part.added", k, false);
}

static void close_item(struct api_call *c, enum state state)
{
    struct response *own = c->own;
    if (own->closed) return;
    own->closed = true;
    size_t k = own->n_items - 1;
    const struct api_item *it = &c->choice[0].item[k];
    if (it->kind == API_CALL) {
        begin(c, "response.function_call_arguments.done");
        put_place(c, k, false);
        api_put(&c->out, ",'name':%s,'arguments':%B", it->name, &it->text);
        end(c);
    } else {
        begin(c, it->kind == API_TEXT ? "response.output_text.done" : "response.reasoning_text.done");
        put_place(c, k, true);
        api_put(&c->out, ",'text':%B", &it->text);
        if (it->kind == API_TEXT) {
            buf_puts(&c->out, ",\"logprobs\":");
            api_openai_put_logprobs(own->logprobs ? c->choice[0].logprobs : NULL, false, &c->out);
        }
        end(c);
        part_event(c, "response.content_part.done", k, true);
    }
    item_event(c, "response.output_item.done", k, state);
}

static void delta(struct api_call *c, const char *type, const struct api_event *e)
{
    const struct response *own = c->own;
    size_t k = (size_t)(e->item - e->choice->item);
    begin(c, type);
    put_place(c, k, e->kind != API_ARGUMENTS);
    api_put(&c->out, ",'delta':%S", e->text, e->n);
    if (e->kind == API_TEXT) {
        buf_puts(&c->out, ",\"logprobs\":");
        api_openai_put_logprobs(own->logprobs ? json_get(e->json, "logprobs") : NULL, false, &c->out);
    }
    end(c);
}

static void finish(struct api_call *c)
{
    const char *status = final_status(c);
    struct buf object = { 0 };
    put_object(c, status, &object);
    keep(c, &object);
    begin(c, cut(c) ? "response.incomplete" : "response.completed");
    api_put(&c->out, ",'response':%R", &object);
    end(c);
    buf_release(&object);
}

void api_response_event(struct api_call *c, const struct api_event *e)
{
    if (e->kind == API_START) {
        object_event(c, "response.created", "in_progress");
        object_event(c, "response.in_progress", "in_progress");
    }
    if (e->opened) {
        close_item(c, COMPLETED);
        open_item(c, (size_t)(e->item - e->choice->item));
    }
    if (e->kind == API_TEXT && e->item) delta(c, "response.output_text.delta", e);
    if (e->kind == API_REASONING && e->item) delta(c, "response.reasoning_text.delta", e);
    if (e->kind == API_ARGUMENTS && e->item) delta(c, "response.function_call_arguments.delta", e);
    if ((e->kind == API_CALL_END || e->kind == API_CALL_BROKEN) && e->item) close_item(c, COMPLETED);
    if (e->kind == API_END) close_item(c, cut(c) ? INCOMPLETE : COMPLETED);
    if (e->kind == API_DONE) finish(c);
}

void api_response_fail(struct api_call *c)
{
    close_item(c, INCOMPLETE);
    object_event(c, "response.failed", "failed");
}
