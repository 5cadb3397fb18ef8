/* api_llama_routes.c - where llama-server's endpoints are, and those about the server itself. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/os.h"
#include "hearth.h"
#include "server/api_ask.h"
#include "server/api_llama.h"
#include "server/api_models.h"
#include "server/api_ollama_store.h"
#include "server/api_openai.h"
#include "server/api_pull.h"
#include "server/api_put.h"
#include "server/feed.h"

static void error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct buf b = { 0 };
    bool started = exchange_started(x);
    if (started) buf_puts(&b, "data: ");
    api_llama_put_error(&b, status, kind, message, exchange_context(x));
    if (started) buf_puts(&b, "\n\n");
    static const char nomem[] = "{\"error\":{\"code\":503,\"message\":\"out of memory\",\"type\":\"unavailable_error\"}}";
    const char *text = b.bad || !b.data ? nomem : b.data;
    if (started) exchange_write(x, text, strlen(text));
    else exchange_text(x, status, HTTP_JSON, text, strlen(text));
    buf_release(&b);
}

static void chat(struct exchange *x) { api_handle(x, &api_openai_chat); }
static void completion(struct exchange *x) { api_handle(x, &api_llama_completion); }
static void infill(struct exchange *x) { api_handle(x, &api_llama_infill); }
static void tokenize(struct exchange *x) { api_handle(x, &api_llama_tokenize); }
static void detokenize(struct exchange *x) { api_handle(x, &api_llama_detokenize); }
static void template(struct exchange *x) { api_handle(x, &api_llama_template); }
static void embedding(struct exchange *x) { api_handle(x, &api_llama_embedding); }
static void rerank(struct exchange *x) { api_handle(x, &api_llama_rerank); }

/* What the model cannot, where its whole purpose is asked for; a field that is not taken is a bad request as everywhere. */
static void error_501(struct exchange *x, int status, const char *kind, const char *message)
{
    bool model = exchange_state(x) && kind && !strcmp(kind, "unsupported") && !exchange_started(x);
    error(x, model ? 501 : status, kind, message);
}

/* ---- what is being written ---- */

static void control_answer(struct exchange *x, void *own, const struct json *done)
{
    (void)own;
    (void)done;
    exchange_text(x, 200, HTTP_JSON, "{\"success\":true}", 16);
}

/* Reasoning is cut short, and the answer begins. */
static void control(struct exchange *x)
{
    const char *id = NULL, *action = NULL;
    struct err e = { 0 };
    int rc = api_str(exchange_body(x), "id", &id, &e);
    if (rc == 0) rc = api_str(exchange_body(x), "action", &action, &e);
    if (rc == 0 && (!action || strcmp(action, "reasoning_end") != 0))
        rc = err_set(&e, ERR_ARG, "action: only \"reasoning_end\" is known");
    if (rc == 0 && !id) rc = err_set(&e, ERR_ARG, "id is required");
    uint64_t number = rc == 0 ? exchange_find_job(x, id) : 0;
    if (rc == 0 && !number) rc = err_set(&e, ERR_NOTFOUND, "no answer \"%.60s\" is being written", id);
    struct json *job = json_new_object();
    if (rc == 0 && !(job && api_set_str(job, "op", "stop_thinking") && api_set_int(job, "job", (int64_t)number)))
        rc = api_nomem(&e);
    if (rc == 0) {
        api_ask(x, &(struct api_question){ .job = job }, control_answer);
        return;
    }
    json_free(job);
    api_fail(x, &e);
}

/* ---- what a model is ---- */

/* What the store knows of it, and what it was made with. */
struct prop { char quant[32]; struct json *options; };

static void prop_free(void *own)
{
    struct prop *p = own;
    json_free(p->options);
    mem_free(p);
}

static void take_quant(void *arg, const struct api_model *m)
{
    struct prop *p = arg;
    fmt_into(p->quant, sizeof p->quant, "%s", m->facts.quant);
}

/* The model's defaults, but for what came with it. */
static void put_params(const struct json *defaults, const struct json *own, struct buf *b)
{
    const char *key;
    struct json *v;
    const char *sep = "";
    buf_putc(b, '{');
    for (void *it = NULL; json_next(defaults, &it, &key, &v); sep = ",") {
        const char *ours = !strcmp(key, "num_predict") ? "max_tokens" : key;
        api_put(b, "%r%s:%j", sep, ours, json_get(own, ours) ? json_get(own, ours) : v);
    }
    for (void *it = NULL; json_next(own, &it, &key, &v); sep = ",")
        if (!json_get(defaults, key) && strcmp(key, "max_tokens")) api_put(b, "%r%s:%j", sep, key, v);
    buf_putc(b, '}');
}

/* Of a path the file's name: folders are nobody's business. */
static const char *file_name(const struct json *path)
{
    const char *p = json_str(path, NULL);
    return fs_base_name(p ? p : "");
}

static void props_answer(struct exchange *x, void *own, const struct json *done)
{
    struct buf b = { 0 };
    const struct prop *p = own;
    const char *template = json_str(json_get(done, "chat_template"), NULL), *draft = file_name(json_get(done, "draft"));
    int tools = json_bool(json_get(done, "tools"));
    buf_puts(&b, "{\"default_generation_settings\":{\"params\":");
    put_params(json_get(done, "defaults"), p->options, &b);
    api_put(&b, ",'n_ctx':%j},'total_slots':%d,'model_alias':%j,'model_ftype':%s,'model_path':%s,", json_get(done, "n_ctx"),
            (int64_t)server_places(exchange_server(x)), json_get(done, "name"), p->quant, file_name(json_get(done, "path")));
    api_put(&b, "'modalities':{'vision':false,'video':false,'audio':false},'media_marker':'','endpoint_slots':true,"
                "'endpoint_props':false,'endpoint_metrics':true,'ui':false,'ui_settings':{},'chat_template':%s,"
                "'chat_template_caps':{'supports_tools':%b,'supports_tool_calls':%b},'bos_token':%j,'eos_token':%j,"
                "'build_info':'hearth-%r','is_sleeping':false,'cors_proxy_enabled':false,'draft_model':%s}",
            template ? template : "", tools, tools, json_get(done, "bos"), json_get(done, "eos"), hearth_version(), draft);
    api_answer(x, &b);
}

static void props(struct exchange *x)
{
    const char *model = exchange_query(x, "model");
    struct err e = { 0 };
    struct server_model m;
    struct prop *p = mem_new(1, sizeof *p);
    struct json *job = json_new_object();
    int rc = p && job && api_set_str(job, "op", "generate") ? server_put_model(exchange_server(x), model, &m, job, &e)
                                                            : api_nomem(&e);
    if (rc == 0) p->options = json_share(json_get(job, "options"));
    if (rc == 0) rc = api_models_one(exchange_server(x), model, take_quant, p, &e);
    json_free(job);
    if (rc == 0) {
        api_ask(x, &(struct api_question){ "info", model, NULL, p, prop_free }, props_answer);
        return;
    }
    if (p) prop_free(p);
    api_fail(x, &e);
}

/* What others asked for is none of this client's business. */
static void put_slot(struct exchange *x, const struct json *a, const struct json *n_ctx, int64_t id, struct buf *b)
{
    const struct json *options = api_is(json_get(a, "user"), exchange_user(x)) ? json_get(a, "options") : NULL;
    int64_t done = json_int(json_get(a, "tokens")), most = json_int(json_get(a, "max_tokens"));
    api_put(b, "%r{'id':%d,'id_task':%j,'n_ctx':%j,'speculative':%j,'is_processing':true,'params':", id ? "," : "", id,
            json_get(a, "job"), n_ctx, json_get(a, "speculative"));
    if (options) api_put(b, "%j", options);
    else buf_puts(b, "{}");
    api_put(b, ",'next_token':{'has_next_token':true,'has_new_line':%j,'n_remain':%d,'n_decoded':%d}}", json_get(a, "new_line"),
            most < 0 ? -1 : most > done ? most - done : 0, done);
}

/* Hearth has no fixed slots: one is shown for each answer that is being written, and a free one. */
static void slots_answer(struct exchange *x, void *own, const struct json *done)
{
    struct buf b = { 0 };
    const struct json *models = json_get(done, "models");
    int64_t id = 0, busy = 0;
    (void)own;
    for (size_t i = 0; i < json_len(models); i++) busy += json_int(json_get(json_at(models, i), "running"));
    if (exchange_query(x, "fail_on_no_slot") && busy >= (int64_t)server_places(exchange_server(x))) {
        exchange_fail(x, 503, "busy", "no slot is free");
        return;
    }
    buf_putc(&b, '[');
    for (size_t i = 0; i < json_len(models); i++) {
        const struct json *m = json_at(models, i), *list = json_get(m, "answers");
        for (size_t k = 0; k < json_len(list); k++) put_slot(x, json_at(list, k), json_get(m, "n_ctx"), id++, &b);
    }
    api_put(&b, "%r{'id':%d,'id_task':-1,'n_ctx':null,'speculative':false,'is_processing':false,'params':{},'next_token':"
                "{'has_next_token':false,'has_new_line':false,'n_remain':-1,'n_decoded':0}}]", id ? "," : "", id);
    api_answer(x, &b);
}

static void slots(struct exchange *x) { api_ask(x, &(struct api_question){ .op = "status" }, slots_answer); }

struct slot { char action[8], file[208]; int64_t id; uint64_t begun; };

static void slot_answer(struct exchange *x, void *own, const struct json *done)
{
    const struct slot *s = own;
    const struct json *n = json_get(done, "n");
    struct buf b = { 0 };
    double ms = (double)(os_now_ns() - s->begun) / 1e6;
    if (!strcmp(s->action, "erase")) api_put(&b, "{'id_slot':%d,'n_erased':%j}", s->id, n);
    else if (!strcmp(s->action, "save"))
        api_put(&b, "{'id_slot':%d,'filename':%s,'n_saved':%j,'n_written':%j,'timings':{'save_ms':%f}}", s->id, s->file, n,
                json_get(done, "bytes"), ms);
    else
        api_put(&b, "{'id_slot':%d,'filename':%s,'n_restored':%j,'n_read':%j,'timings':{'restore_ms':%f}}", s->id, s->file, n,
                json_get(done, "bytes"), ms);
    api_answer(x, &b);
}

/* The text of the last answer under this number, to a file of the operator's folder or from one. */
static void slot(struct exchange *x)
{
    const char *action = exchange_query(x, "action"), *id = exchange_param(x, "id"), *file = NULL;
    const char *model = exchange_query(x, "model");
    struct err e = { 0 };
    struct slot *own = mem_new(1, sizeof *own);
    struct json *job = json_new_object();
    bool known = action && (!strcmp(action, "save") || !strcmp(action, "restore") || !strcmp(action, "erase"));
    bool number = id && *id && strspn(id, "0123456789") == strlen(id) && strlen(id) < 10;
    int rc = !own || !job ? api_nomem(&e) : !known ? err_set(&e, ERR_ARG, "action must be save, restore or erase") :
             !number ? err_set(&e, ERR_ARG, "the slot must be a number") : api_str(exchange_body(x), "filename", &file, &e);
    if (rc == 0 && strcmp(action, "erase") && (!file || !name_is_safe_path(file, 200) || strchr(file, '/')))
        rc = err_set(&e, ERR_ARG, "filename: expected the name of a file, without a folder");
    if (rc == 0) {
        *own = (struct slot){ .id = strtol(id, NULL, 10), .begun = os_now_ns() };
        fmt_into(own->action, sizeof own->action, "%s", action);
        fmt_into(own->file, sizeof own->file, "%s", file ? file : "");
        bool ok = api_set_str(job, "op", "slot") && api_set_str(job, "action", action) && api_set_int(job, "slot", own->id) &&
                  api_set_str(job, "file", own->file) && (!model || api_set_str(job, "model", model));
        if (!ok) rc = api_nomem(&e);
    }
    if (rc == 0) {
        api_ask(x, &(struct api_question){ .job = job, .own = own, .release = mem_free }, slot_answer);
        return;
    }
    json_free(job);
    mem_free(own);
    api_fail(x, &e);
}

/* ---- adapters of a model ---- */

static void adapters(struct exchange *x)
{
    struct json *list;
    struct err e = { 0 };
    if (server_adapters(exchange_server(x), exchange_query(x, "model"), &list, &e) == 0) exchange_json(x, 200, list);
    else api_fail(x, &e);
}

static void adapters_set(struct exchange *x)
{
    struct err e = { 0 };
    int rc = exchange_body(x) ? server_set_scales(exchange_server(x), exchange_query(x, "model"), exchange_body(x), &e)
                              : err_set(&e, ERR_ARG, "expected an array of objects with id and scale");
    if (rc == 0) exchange_text(x, 200, HTTP_JSON, "{\"success\":true}", 16);
    else api_fail(x, &e);
}

/* ---- models, as the router has them ---- */

struct listing { struct buf *b; const struct json *status; };

static void put_model(void *arg, const struct api_model *m)
{
    struct listing *l = arg;
    const struct json *list = json_get(l->status, "models");
    const char *state = "unloaded";
    for (size_t i = 0; i < json_len(list); i++)
        if (api_is(json_get(json_at(list, i), "model"), m->path))
            state = api_is(json_get(json_at(list, i), "state"), "loading") ? "loading" : "loaded";
    if (l->b->len && l->b->data[l->b->len - 1] == '}') buf_putc(l->b, ',');
    api_put(l->b, "{'id':%s,'object':'model','created':%d,'owned_by':%s,'status':{'value':%s},'architecture':{'input_modalities':"
                  "['text'],'output_modalities':['text']}}", m->name, m->mtime, m->owner, state);
}

static void models_answer(struct exchange *x, void *own, const struct json *done)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    struct listing l = { &b, done };
    (void)own;
    buf_puts(&b, "{\"object\":\"list\",\"data\":[");
    int rc = api_models_each(exchange_server(x), put_model, &l, &e);
    buf_puts(&b, "]}");
    if (rc == 0) api_answer(x, &b);
    else api_fail(x, &e);
    buf_release(&b);
}

static void models(struct exchange *x)
{
    if (exchange_query(x, "reload")) server_models_changed(exchange_server(x));
    api_ask(x, &(struct api_question){ .op = "status" }, models_answer);
}

static void success(struct exchange *x, void *own, const struct json *done)
{
    (void)own;
    (void)done;
    exchange_text(x, 200, HTTP_JSON, "{\"success\":true}", 16);
}

static void load_or_not(struct exchange *x, const char *op)
{
    const char *model = NULL;
    struct err e = { 0 };
    int rc = api_str(exchange_body(x), "model", &model, &e);
    if (rc == 0 && !model) rc = err_set(&e, ERR_ARG, "model is required");
    if (rc == 0) api_ask(x, &(struct api_question){ .op = op, .model = model }, success);
    else api_fail(x, &e);
}

static void load(struct exchange *x) { load_or_not(x, "load"); }
static void unload(struct exchange *x) { load_or_not(x, "unload"); }

static void remove_one(struct exchange *x)
{
    struct err e = { 0 };
    const char *model = exchange_query(x, "model");
    int rc = model && *model ? api_ollama_remove(exchange_server(x), model, &e) : err_set(&e, ERR_ARG, "model is required");
    if (rc == 0) success(x, NULL, NULL);
    else api_fail(x, &e);
}

static void download(struct exchange *x)
{
    const char *model = NULL;
    char id[API_PULL_ID];
    struct err e = { 0 };
    int rc = api_str(exchange_body(x), "model", &model, &e);
    if (rc == 0 && !model) rc = err_set(&e, ERR_ARG, "model is required");
    if (rc == 0) rc = api_pull_begin(server_pulls(exchange_server(x)), model, false, id, &e);
    if (rc == 0) success(x, NULL, NULL);
    else api_fail(x, &e);
}

#define ROW(method, path, role, body, handle, summary) { method, path, role, body, handle, error, NULL, summary }
const struct route routes_llama[] = {
    ROW("POST", "/completion", ROLE_INFER, BODY_JSON, completion, "continues a text"),
    ROW("POST", "/completions", ROLE_INFER, BODY_JSON, completion, NULL),
    ROW("POST", "/chat/completions", ROLE_INFER, BODY_JSON, chat, NULL),
    ROW("POST", "/v1/chat/completions/control", ROLE_INFER, BODY_JSON, control, "ends the reasoning of an answer"),
    { "POST", "/infill", ROLE_INFER, BODY_JSON, infill, error_501, NULL, "writes what comes between two texts" },
    ROW("POST", "/tokenize", ROLE_INFER, BODY_JSON, tokenize, "a text to tokens"),
    ROW("POST", "/detokenize", ROLE_INFER, BODY_JSON, detokenize, "tokens to a text"),
    ROW("POST", "/apply-template", ROLE_INFER, BODY_JSON, template, "the prompt of a conversation"),
    ROW("POST", "/embedding", ROLE_INFER, BODY_JSON, embedding, "texts to vectors"),
    ROW("POST", "/embeddings", ROLE_INFER, BODY_JSON, embedding, NULL),
    { "POST", "/rerank", ROLE_INFER, BODY_JSON, rerank, error_501, NULL, "orders documents by how well they answer a query" },
    { "POST", "/reranking", ROLE_INFER, BODY_JSON, rerank, error_501, NULL, NULL },
    { "POST", "/v1/rerank", ROLE_INFER, BODY_JSON, rerank, error_501, NULL, NULL },
    { "POST", "/v1/reranking", ROLE_INFER, BODY_JSON, rerank, error_501, NULL, NULL },
    ROW("GET", "/props", ROLE_INFER, BODY_NONE, props, "what the server's own model is"),
    ROW("GET", "/slots", ROLE_INFER, BODY_NONE, slots, "answers that are being written"),
    ROW("POST", "/slots/{id}", ROLE_MANAGE, BODY_JSON, slot, "saves the last answer's text to a file, restores or forgets it"),
    ROW("GET", "/lora-adapters", ROLE_INFER, BODY_NONE, adapters, "the adapters of a model, and their scales"),
    ROW("POST", "/lora-adapters", ROLE_MANAGE, BODY_JSON, adapters_set, "sets the scales of a model's adapters"),
    ROW("GET", "/models", ROLE_INFER, BODY_NONE, models, "the models of this machine, with their states"),
    ROW("GET", "/models/sse", ROLE_INFER, BODY_NONE, feed_get, "what becomes of models, as it happens"),
    ROW("POST", "/models", ROLE_MANAGE, BODY_JSON, download, "fetches a model"),
    ROW("DELETE", "/models", ROLE_MANAGE, BODY_NONE, remove_one, "removes a model"),
    ROW("POST", "/models/load", ROLE_MANAGE, BODY_JSON, load, "loads a model"),
    ROW("POST", "/models/unload", ROLE_MANAGE, BODY_JSON, unload, "unloads a model"),
    { 0 },
};
