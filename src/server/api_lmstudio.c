/* api_lmstudio.c - LM Studio's POST /api/v1/chat, and what /api/v0 adds to OpenAI's answers.  Fields and events: its published
 * documentation. */
#include "server/api_lmstudio.h"

#include <string.h>

#include "base/mem.h"
#include "hearth.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_put.h"
#include "server/api_responses.h"

struct lmstudio {
    bool store, begun, loading, prompting;
    bool open;                         /* an item of the stream */
    enum api_kind kind;                /* of that item */
    const char *previous;
    struct json *messages, *input;
};

void api_lmstudio_put_error(struct buf *b, const char *kind, const char *message, const struct json *body)
{
    const char *type = "internal_error";
    static const struct { const char *kind, *type; } row[] = {
        { "invalid", "invalid_request" }, { "context", "invalid_request" }, { "unsupported", "not_implemented" },
        { "not_found", "model_not_found" }, { "auth", "invalid_request" }, { "forbidden", "invalid_request" },
        { "too_large", "invalid_request" }, { "unknown_url", "invalid_request" },
        { "method", "invalid_request" }, { "job_not_found", "job_not_found" },
    };
    for (size_t i = 0; kind && i < sizeof row / sizeof *row; i++)
        if (!strcmp(row[i].kind, kind)) type = row[i].type;
    char param[API_FIELD];
    api_blamed(body, message, param);
    if (!strcmp(param, "previous_response_id")) type = "invalid_request";       /* no model is missing */
    api_put(b, "{'error':{'type':%s,'message':%s,'code':null,'param':%s}}", type, message, *param ? param : NULL);
}

static void release(void *p)
{
    struct lmstudio *own = p;
    json_free(own->messages);
    json_free(own->input);
    mem_free(own);
}

/* ---- the request ---- */

static bool push(struct json *list, const char *role, struct json *content)
{
    struct json *m = json_new_object();
    bool ok = m && api_set_str(m, "role", role);
    ok = json_put(m, "content", content) && ok;
    return json_push(list, m) && ok;
}

/* Texts of one request are one message of the user. */
static int put_input(struct lmstudio *own, const struct json *input, struct err *err)
{
    struct buf b = { 0 };
    size_t n;
    const char *s = json_str(input, &n);
    int rc = 0;
    if (s) buf_put(&b, s, n);
    else if (json_type(input) != JSON_ARRAY || !json_len(input)) rc = err_set(err, ERR_ARG, "input: expected text or an array");
    for (size_t i = 0; rc == 0 && !s && i < json_len(input); i++) {
        const struct json *item = json_at(input, i), *type = json_get(item, "type");
        const char *text = json_str(json_get(item, "content"), &n);
        if (!api_is(type, "text") && !api_is(type, "message"))
            rc = err_set(err, ERR_UNSUPPORTED, "input: item %zu is of type %.40s, and this server takes text only", i + 1,
                         json_str(type, NULL) ? json_str(type, NULL) : "(none)");
        else if (!text) rc = err_set(err, ERR_ARG, "input: item %zu has no content", i + 1);
        else {
            if (b.len) buf_putc(&b, '\n');
            buf_put(&b, text, n);
        }
    }
    if (rc == 0 && (b.bad || !push(own->messages, "user", json_new_str(b.data ? b.data : "", b.len)))) rc = api_nomem(err);
    buf_release(&b);
    return rc;
}

static int put_messages(const struct lmstudio *own, const struct json *body, struct json *job, struct err *err)
{
    const struct json *system;
    int rc = api_value(body, "system_prompt", JSON_STRING, &system, err);
    struct json *list = json_new_array();
    bool ok = list && (!system || push(list, "system", json_share(system)));
    for (size_t i = 0; ok && i < json_len(own->messages); i++) ok = json_push(list, json_share(json_at(own->messages, i)));
    ok = json_put(job, "messages", list) && ok;
    return rc < 0 ? rc : ok ? 0 : api_nomem(err);
}

static int chat_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    static const struct api_refusal row[] = { { "integrations", "no plugins or other servers are called from here" } };
    struct lmstudio *own = c->own = mem_new(1, sizeof *own);
    c->release = release;
    int rc = own ? api_refuse(body, row, 1, err) : api_nomem(err);
    if (rc < 0) return rc;
    own->store = true;
    own->messages = json_new_array();
    if (!*c->model) rc = err_set(err, ERR_ARG, "model is required");
    if (rc == 0) rc = api_bool(body, "store", &own->store, err);
    c->stored = own->store;
    if (rc == 0) rc = api_str(body, "previous_response_id", &own->previous, err);
    if (rc == 0 && own->previous) rc = api_recall(c, own->previous, own->messages, err);
    if (rc == 0) rc = put_input(own, json_get(body, "input"), err);
    if (rc == 0) rc = put_messages(own, body, job, err);
    if (rc == 0) rc = api_options(body, job, err);
    if (rc == 0 && json_type(json_get(body, "reasoning")) != JSON_NULL)
        rc = api_think(json_get(body, "reasoning"), "reasoning", job, err);
    if (rc == 0 && c->stream && !api_set_bool(job, "progress", true)) rc = api_nomem(err);
    return rc;
}

/* ---- the answer ---- */

static double per_second(const struct api_call *c)
{
    double s = api_timing(c, "answer_ns");
    return s > 0 ? (double)c->answer_tokens / s : 0;
}

static double to_first(const struct api_call *c)
{
    return api_timing(c, "load_ns") + api_timing(c, "queue_ns") + api_timing(c, "prompt_ns");
}

static void put_result(const struct api_call *c, struct buf *b)
{
    const struct lmstudio *own = c->own;
    const struct api_choice *a = c->n ? &c->choice[0] : NULL;
    const char *sep = "";
    api_put(b, "{'model_instance_id':%s,'output':[", c->model);
    for (size_t k = 0; a && k < a->n; k++) {
        if (a->item[k].kind == API_CALL) continue;
        api_put(b, "%r{'type':%s,'content':%B}", sep, a->item[k].kind == API_TEXT ? "message" : "reasoning", &a->item[k].text);
        sep = ",";
    }
    api_put(b, "],'stats':{'input_tokens':%d,'total_output_tokens':%d,'reasoning_output_tokens':%d,'tokens_per_second':%f,"
               "'time_to_first_token_seconds':%f", c->prompt_tokens, c->answer_tokens, c->reasoning_tokens, per_second(c),
            to_first(c));
    if (api_timing(c, "load_ns") > 0) api_put(b, ",'model_load_time_seconds':%f", api_timing(c, "load_ns"));
    buf_putc(b, '}');
    if (own->store) api_put(b, ",'response_id':'resp_%r'", c->id);
    buf_putc(b, '}');
}

static void keep(struct api_call *c, const struct buf *result)
{
    const struct lmstudio *own = c->own;
    if (own->store) api_remember(c, own->messages, own->input, result);
}

static void chat_whole(struct api_call *c)
{
    put_result(c, &c->out);
    keep(c, &c->out);
}

/* {"type":... : what follows is the caller's; end_event closes it. */
static void event(struct api_call *c, const char *type)
{
    api_sse_begin(c, type);
    api_put(&c->out, "{'type':%s", type);
}

static void end_event(struct api_call *c)
{
    buf_putc(&c->out, '}');
    api_sse_end(c);
}

static void plain(struct api_call *c, const char *type)
{
    event(c, type);
    end_event(c);
}

static void progress(struct api_call *c, const char *type, const struct json *e)
{
    double total = json_num(json_get(e, "total"));
    event(c, type);
    api_put(&c->out, ",'progress':%f", total > 0 ? json_num(json_get(e, "done")) / total : 0.0);
    end_event(c);
}

static void load_ends(struct api_call *c)
{
    struct lmstudio *own = c->own;
    if (!own->loading) return;
    own->loading = false;
    event(c, "model_load.end");
    api_put(&c->out, ",'model_instance_id':%s,'load_time_seconds':%f", c->model, (double)api_elapsed_ms(c) / 1e3);
    end_event(c);
}

static void prompt_ends(struct api_call *c)
{
    struct lmstudio *own = c->own;
    if (!own->prompting) return;
    own->prompting = false;
    plain(c, "prompt_processing.end");
}

static void item_ends(struct api_call *c)
{
    struct lmstudio *own = c->own;
    if (!own->open) return;
    own->open = false;
    plain(c, own->kind == API_TEXT ? "message.end" : "reasoning.end");
}

static void before_text(struct api_call *c, const struct api_event *e)
{
    struct lmstudio *own = c->own;
    if (!own->begun) {
        own->begun = true;
        event(c, "chat.start");
        api_put(&c->out, ",'model_instance_id':%s", c->model);
        end_event(c);
    }
    if (e->kind == API_LOADING) {
        if (!own->loading) {
            event(c, "model_load.start");
            api_put(&c->out, ",'model_instance_id':%s", c->model);
            end_event(c);
        }
        own->loading = true;
        progress(c, "model_load.progress", e->json);
    } else
        load_ends(c);
    if (e->kind == API_PREFILL) {
        if (!own->prompting) plain(c, "prompt_processing.start");
        own->prompting = true;
        progress(c, "prompt_processing.progress", e->json);
    } else if (e->kind >= API_START)
        prompt_ends(c);
}

static void chat_event(struct api_call *c, const struct api_event *e)
{
    struct lmstudio *own = c->own;
    before_text(c, e);
    if (e->opened && e->kind != API_CALL) {
        item_ends(c);
        own->open = true;
        own->kind = e->kind;
        plain(c, e->kind == API_TEXT ? "message.start" : "reasoning.start");
    }
    if ((e->kind == API_TEXT || e->kind == API_REASONING) && e->item) {
        event(c, e->kind == API_TEXT ? "message.delta" : "reasoning.delta");
        api_put(&c->out, ",'content':%S", e->text, e->n);
        end_event(c);
    }
    if (e->kind == API_END) item_ends(c);
    if (e->kind != API_DONE) return;
    struct buf result = { 0 };
    put_result(c, &result);
    keep(c, &result);
    event(c, "chat.end");
    api_put(&c->out, ",'result':%R", &result);
    end_event(c);
    buf_release(&result);
}

static void chat_fail(struct api_call *c)
{
    struct buf b = { 0 };
    api_lmstudio_put_error(&b, c->kind, c->message, c->body);
    event(c, "error");
    buf_putc(&c->out, ',');
    if (b.len > 2) buf_put(&c->out, b.data + 1, b.len - 2);    /* without its braces */
    end_event(c);
    buf_release(&b);
}

const struct api_form api_lmstudio_chat = { "lmstudio.chat", "generate", "text/event-stream", false, chat_job, chat_event,
                                            chat_whole, chat_fail, NULL };

/* ---- v0: OpenAI's answers with more in them ---- */

static const char *stop_reason(const struct api_choice *a)
{
    if (!strcmp(a->reason, "length")) return "maxPredictedTokensReached";
    if (!strcmp(a->reason, "context")) return "contextLengthReached";
    if (!strcmp(a->reason, "cancelled") || !strcmp(a->reason, "deadline")) return "userStopped";
    return a->n_calls ? "toolCalls" : a->stop ? "stopStringFound" : "eosFound";
}

static void v0_more(struct api_call *c)
{
    struct buf *b = &c->out;
    if (b->bad || !b->len) return;
    b->len--;                                                  /* its last brace */
    api_put(b, ",'stats':{'tokens_per_second':%f,'time_to_first_token':%f,'generation_time':%f,'stop_reason':%s}", per_second(c),
            to_first(c), api_timing(c, "answer_ns"), c->n ? stop_reason(&c->choice[0]) : "failed");
    api_put(b, ",'model_info':{'arch':%j,'quant':%s,'format':%s,'context_length':%j}", json_get(c->model_info, "architecture"),
            *c->quant ? c->quant : NULL, *c->format ? c->format : NULL, json_get(c->model_info, "n_ctx"));
    api_put(b, ",'runtime':{'name':'hearth','version':%s,'supported_formats':['gguf','safetensors']}}", hearth_version());
}

static int v0_chat_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    return api_openai_chat.job(c, body, job, err);
}

/* The last chunk of a stream has it, too. */
static void v0_last(struct api_call *c, const struct api_event *e)
{
    static const char end[] = "\n\ndata: [DONE]\n\n";
    const size_t n = sizeof end - 1;
    struct buf *b = &c->out;
    if (e->kind != API_DONE || b->bad || b->len < n || memcmp(b->data + b->len - n, end, n)) return;
    b->len -= n;
    v0_more(c);
    buf_puts(b, end);
}

static void v0_chat_event(struct api_call *c, const struct api_event *e)
{
    api_openai_chat.event(c, e);
    v0_last(c, e);
}

static void v0_chat_whole(struct api_call *c)
{
    api_openai_chat.whole(c);
    v0_more(c);
}

static int v0_text_job(struct api_call *c, const struct json *body, struct json *job, struct err *err)
{
    return api_openai_completion.job(c, body, job, err);
}

static void v0_text_event(struct api_call *c, const struct api_event *e)
{
    api_openai_completion.event(c, e);
    v0_last(c, e);
}

static void v0_text_whole(struct api_call *c)
{
    api_openai_completion.whole(c);
    v0_more(c);
}

static int v0_text_next(struct api_call *c, struct json **job, struct err *err)
{
    return api_openai_completion.next(c, job, err);
}

const struct api_form api_lmstudio_v0_chat = { "lmstudio.v0_chat", "generate", "text/event-stream", false, v0_chat_job,
                                               v0_chat_event, v0_chat_whole, api_openai_fail, NULL };
const struct api_form api_lmstudio_v0_completion = { "lmstudio.v0_completion", "generate", "text/event-stream", false,
                                                     v0_text_job, v0_text_event, v0_text_whole, api_openai_fail,
                                                     v0_text_next };
