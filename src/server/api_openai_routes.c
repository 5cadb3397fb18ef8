/* api_openai_routes.c - where OpenAI's endpoints are. */
#include <string.h>

#include "server/api_anthropic.h"
#include "server/api_models.h"
#include "server/api_openai.h"
#include "server/api_put.h"
#include "server/api_state.h"

void api_openai_error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct buf b = { 0 };
    bool started = exchange_started(x);
    if (started) buf_puts(&b, "data: ");
    api_openai_put_error(&b, &(struct api_failure){ status, kind, message, exchange_context(x), exchange_body(x) });
    if (started) buf_puts(&b, "\n\n");
    const char *text = b.bad || !b.data ? "{\"error\":{\"message\":\"out of memory\"}}" : b.data;
    if (started) exchange_write(x, text, strlen(text));
    else exchange_text(x, status, HTTP_JSON, text, strlen(text));
    buf_release(&b);
}

void api_answer(struct exchange *x, struct buf *b)
{
    if (b->bad) exchange_fail(x, 503, "memory", "out of memory for the answer");
    else exchange_text(x, 200, HTTP_JSON, b->data ? b->data : "", b->len);
    buf_release(b);
}

static void chat(struct exchange *x) { api_handle(x, &api_openai_chat); }
static void completion(struct exchange *x) { api_handle(x, &api_openai_completion); }
static void embedding(struct exchange *x) { api_handle(x, &api_openai_embedding); }
static void count(struct exchange *x) { api_handle(x, &api_openai_count); }
static void response(struct exchange *x) { api_handle(x, &api_openai_response); }
static void response_count(struct exchange *x) { api_handle(x, &api_openai_response_count); }

/* ---- models ---- */

static void put_model(void *arg, const struct api_model *m)
{
    struct buf *b = arg;
    if (b->len && b->data[b->len - 1] == '}') buf_putc(b, ',');
    api_put(b, "{'id':%s,'object':'model','created':%d,'owned_by':%s,'meta':{'n_ctx_train':%d,'n_params':%u,'size':%u}}", m->name,
            m->mtime, m->owner, (int64_t)m->facts.context, m->facts.n_params, m->size);
}

struct anthropic_list { struct buf b; char first[SERVER_MODEL_NAME], last[SERVER_MODEL_NAME]; };

static void put_anthropic(void *arg, const struct api_model *m)
{
    struct anthropic_list *l = arg;
    struct buf *b = &l->b;
    fmt_into(l->last, sizeof l->last, "%s", m->name);
    if (!l->first[0]) fmt_into(l->first, sizeof l->first, "%s", m->name);
    if (b->len && b->data[b->len - 1] == '}') buf_putc(b, ',');
    api_put(b, "{'type':'model','id':%s,'display_name':%s,'created_at':'", m->name, m->name);
    api_put_time(b, m->mtime);
    buf_puts(b, "\"}");
}

/* Anthropic's list is at the same place, and so are its errors. */
static bool for_anthropic(const struct exchange *x) { return exchange_header(x, "anthropic-version") != NULL; }

static void models_error(struct exchange *x, int status, const char *kind, const char *message)
{
    if (for_anthropic(x)) api_anthropic_error(x, status, kind, message);
    else api_openai_error(x, status, kind, message);
}

static void anthropic_models(struct exchange *x, const char *one)
{
    struct anthropic_list l = { .first = "" };
    struct err e = { 0 };
    if (!one) buf_puts(&l.b, "{\"data\":[");
    int rc = one ? api_models_one(exchange_server(x), one, put_anthropic, &l, &e)
                 : api_models_each(exchange_server(x), put_anthropic, &l, &e);
    if (!one)
        api_put(&l.b, "],'has_more':false,'first_id':%s,'last_id':%s}", l.first[0] ? l.first : NULL, l.first[0] ? l.last : NULL);
    if (rc == 0) api_answer(x, &l.b);
    else api_fail(x, &e);
    buf_release(&l.b);
}

static void models(struct exchange *x)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    if (for_anthropic(x)) {
        anthropic_models(x, NULL);
        return;
    }
    buf_puts(&b, "{\"object\":\"list\",\"data\":[");
    int rc = api_models_each(exchange_server(x), put_model, &b, &e);
    buf_puts(&b, "]}");
    if (rc == 0) {
        api_answer(x, &b);
        return;
    }
    buf_release(&b);
    api_fail(x, &e);
}

static void model(struct exchange *x)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    if (for_anthropic(x)) {
        anthropic_models(x, exchange_param(x, "id"));
        return;
    }
    if (api_models_one(exchange_server(x), exchange_param(x, "id"), put_model, &b, &e) == 0) {
        api_answer(x, &b);
        return;
    }
    buf_release(&b);
    api_fail(x, &e);
}

/* ---- stored answers ---- */

static bool kept(struct exchange *x, struct api_kept *k)
{
    const char *id = exchange_param(x, "id");
    char why[128];
    if (id && api_state_get(server_answers(exchange_server(x)), exchange_user(x), id, k)) return true;
    fmt_into(why, sizeof why, "there is no answer \"%.60s\" (any more)", id ? id : "");
    exchange_fail(x, 404, "response_not_found", why);
    return false;
}

static void response_get(struct exchange *x)
{
    struct api_kept k;
    if (!kept(x, &k)) return;
    struct buf b = { 0 };
    api_put(&b, "%j", k.object);
    api_kept_release(&k);
    api_answer(x, &b);
}

static void response_delete(struct exchange *x)
{
    struct api_kept k;
    struct buf b = { 0 };
    if (!kept(x, &k)) return;
    api_kept_release(&k);
    api_state_remove(server_answers(exchange_server(x)), exchange_user(x), exchange_param(x, "id"));
    api_put(&b, "{'id':%s,'object':'response','deleted':true}", exchange_param(x, "id"));
    api_answer(x, &b);
}

static void response_items(struct exchange *x)
{
    struct api_kept k;
    struct buf b = { 0 };
    if (!kept(x, &k)) return;
    api_put(&b, "{'object':'list','data':%j,'first_id':null,'last_id':null,'has_more':false}", k.input);
    api_kept_release(&k);
    api_answer(x, &b);
}

static void response_cancel(struct exchange *x)
{
    struct api_kept k;
    if (!kept(x, &k)) return;
    api_kept_release(&k);
    exchange_fail(x, 400, "invalid", "this answer is complete; close the connection to cancel one that goes on");
}

#define ROW(method, path, role, body, handle, summary) \
    { method, path, role, body, handle, api_openai_error, NULL, summary }
const struct route routes_openai[] = {
    ROW("POST", "/v1/chat/completions", ROLE_INFER, BODY_JSON, chat, "answers a conversation"),
    ROW("POST", "/v1/chat/completions/input_tokens", ROLE_INFER, BODY_JSON, count, "how many tokens a conversation has"),
    ROW("POST", "/v1/completions", ROLE_INFER, BODY_JSON, completion, "continues a text"),
    ROW("POST", "/v1/embeddings", ROLE_INFER, BODY_JSON, embedding, "texts to vectors"),
    ROW("POST", "/v1/responses", ROLE_INFER, BODY_JSON, response, "answers a conversation, which may be stored"),
    ROW("POST", "/v1/responses/input_tokens", ROLE_INFER, BODY_JSON, response_count, "how many tokens the input has"),
    ROW("GET", "/v1/responses/{id}", ROLE_INFER, BODY_NONE, response_get, "an answer that was stored"),
    ROW("DELETE", "/v1/responses/{id}", ROLE_INFER, BODY_NONE, response_delete, "forgets an answer that was stored"),
    ROW("GET", "/v1/responses/{id}/input_items", ROLE_INFER, BODY_NONE, response_items, "what an answer was given to"),
    ROW("POST", "/v1/responses/{id}/cancel", ROLE_INFER, BODY_JSON, response_cancel, NULL),
    { "GET", "/v1/models", ROLE_INFER, BODY_NONE, models, models_error, NULL, "the models of this machine" },
    { "GET", "/v1/models/{id*}", ROLE_INFER, BODY_NONE, model, models_error, NULL, "one model" },
    { 0 },
};
