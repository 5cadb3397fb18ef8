/* api_lmstudio_routes.c - where LM Studio's endpoints are; models, loading and fetching. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "server/api_ask.h"
#include "server/api_lmstudio.h"
#include "server/api_models.h"
#include "server/api_openai.h"
#include "server/api_options.h"
#include "server/api_pull.h"
#include "server/api_put.h"

static void error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct buf b = { 0 };
    bool started = exchange_started(x);
    if (started) buf_puts(&b, "event: error\ndata: ");
    api_lmstudio_put_error(&b, kind, message, exchange_body(x));
    if (started) buf_puts(&b, "\n\n");
    const char *text = b.bad || !b.data ? "{\"error\":{\"type\":\"internal_error\",\"message\":\"out of memory\"}}" : b.data;
    if (started) exchange_write(x, text, strlen(text));
    else exchange_text(x, status, HTTP_JSON, text, strlen(text));
    buf_release(&b);
}

static void chat(struct exchange *x) { api_handle(x, &api_lmstudio_chat); }
static void v0_chat(struct exchange *x) { api_handle_with_file(x, &api_lmstudio_v0_chat); }
static void v0_completion(struct exchange *x) { api_handle_with_file(x, &api_lmstudio_v0_completion); }
static void v0_embedding(struct exchange *x) { api_handle(x, &api_openai_embedding); }

/* ---- models ---- */

struct listing { struct buf b; const struct json *status; bool v0; char only[SERVER_MODEL_NAME]; size_t n; };

static bool is_encoder(const struct api_model *m)
{
    return strstr(m->facts.arch, "bert") != NULL || strstr(m->facts.arch, "embedding") != NULL ||
           !strcmp(m->facts.arch, "t5encoder");
}

static const struct json *state_of(const struct listing *l, const struct api_model *m)
{
    const struct json *list = json_get(l->status, "models");
    for (size_t i = 0; i < json_len(list); i++)
        if (api_is(json_get(json_at(list, i), "model"), m->path)) return json_at(list, i);
    return NULL;
}

static const char *publisher(const struct api_model *m)
{
    return m->found && m->found->parsed.space[0] ? m->found->parsed.space : m->owner;
}

/* What it was loaded with; a model that only embeds takes what it was trained with. */
static int64_t context_of(const struct json *status, const struct api_model *m)
{
    int64_t n = json_int(json_get(status, "n_ctx"));
    return n ? n : (int64_t)m->facts.context;
}

static void put_v0(struct listing *l, const struct api_model *m)
{
    const struct json *s = state_of(l, m);
    api_put(&l->b, "%r{'id':%s,'object':'model','type':%s,'publisher':%s,'arch':%s,'compatibility_type':%s,'quantization':%s,"
                   "'state':%s,'max_context_length':%d", l->n ? "," : "", m->name, is_encoder(m) ? "embeddings" : "llm",
            publisher(m), m->facts.arch, api_model_format(m), m->facts.quant, s ? "loaded" : "not-loaded",
            (int64_t)m->facts.context);
    if (s) api_put(&l->b, ",'loaded_context_length':%d", context_of(s, m));
    buf_putc(&l->b, '}');
}

static void put_v1(struct listing *l, const struct api_model *m)
{
    const struct json *s = state_of(l, m);
    struct buf size = { 0 };
    api_put_params(m->facts.n_params, &size);
    api_put(&l->b, "%r{'type':%s,'publisher':%s,'key':%s,'display_name':%s,'architecture':%s,'quantization':", l->n ? "," : "",
            is_encoder(m) ? "embedding" : "llm", publisher(m), m->name, m->name, m->facts.arch);
    if (m->facts.quant[0] && m->facts.n_params)
        api_put(&l->b, "{'name':%s,'bits_per_weight':%f}", m->facts.quant, (double)m->size * 8 / (double)m->facts.n_params);
    else buf_puts(&l->b, "null");
    api_put(&l->b, ",'size_bytes':%u,'params_string':%s,'loaded_instances':[", m->size, size.len ? size.data : NULL);
    if (s) api_put(&l->b, "{'id':%s,'config':{'context_length':%d}}", m->name, context_of(s, m));
    api_put(&l->b, "],'max_context_length':%d,'format':%s,'capabilities':{'vision':false}}",
            (int64_t)m->facts.context, api_model_format(m));
    buf_release(&size);
}

static void put_model(void *arg, const struct api_model *m)
{
    struct listing *l = arg;
    if (l->v0) put_v0(l, m);
    else put_v1(l, m);
    l->n++;
}

static void listing_free(void *own)
{
    struct listing *l = own;
    buf_release(&l->b);
    mem_free(l);
}

static void models_answer(struct exchange *x, void *own, const struct json *done)
{
    struct listing *l = own;
    struct err e = { 0 };
    l->status = done;
    if (!l->only[0]) buf_puts(&l->b, l->v0 ? "{\"object\":\"list\",\"data\":[" : "{\"models\":[");
    int rc = l->only[0] ? api_models_one(exchange_server(x), l->only, put_model, l, &e)
                        : api_models_each(exchange_server(x), put_model, l, &e);
    if (!l->only[0]) buf_puts(&l->b, "]}");
    if (rc == 0) api_answer(x, &l->b);
    else api_fail(x, &e);
}

static void list(struct exchange *x, bool v0, const char *only)
{
    struct listing *l = mem_new(1, sizeof *l);
    if (!l) {
        exchange_fail(x, 503, "memory", "out of memory for the list of models");
        return;
    }
    l->v0 = v0;
    fmt_into(l->only, sizeof l->only, "%s", only ? only : "");
    api_ask(x, &(struct api_question){ .op = "status", .own = l, .release = listing_free }, models_answer);
}

static void v0_models(struct exchange *x) { list(x, true, NULL); }
static void v0_model(struct exchange *x) { list(x, true, exchange_param(x, "id")); }
static void v1_models(struct exchange *x) { list(x, false, NULL); }

/* ---- loading ---- */

struct loading { uint64_t begun; char model[SERVER_MODEL_NAME]; struct json *config; };

static void loading_free(void *own)
{
    struct loading *l = own;
    json_free(l->config);
    mem_free(l);
}

static void load_answer(struct exchange *x, void *own, const struct json *done)
{
    const struct loading *l = own;
    struct buf b = { 0 };
    const char *type = json_bool(json_get(done, "encoder")) ? "embedding" : "llm";
    int64_t n_ctx = json_int(json_get(done, "n_ctx"));
    api_put(&b, "{'type':%s,'instance_id':%s,'load_time_seconds':%f,'status':'loaded'", type, l->model,
            (double)(os_now_ns() - l->begun) / 1e9);
    if (l->config) {
        if (n_ctx) api_set_int(l->config, "context_length", n_ctx);
        api_put(&b, ",'load_config':%j", l->config);
    }
    buf_putc(&b, '}');
    api_answer(x, &b);
}

static void load(struct exchange *x)
{
    const struct json *body = exchange_body(x);
    static const char *const echoed[] = { "context_length", "eval_batch_size" };
    const char *model = NULL;
    struct err e = { 0 };
    bool echo = false;
    struct server_model m;
    struct loading *l = mem_new(1, sizeof *l);
    struct json *all = json_new_object(), *job = json_new_object();
    int rc = l && all && job ? api_str(body, "model", &model, &e) : api_nomem(&e);
    if (rc == 0 && (!model || !*model)) rc = err_set(&e, ERR_ARG, "model is required");
    if (rc == 0) rc = api_bool(body, "echo_load_config", &echo, &e);
    if (rc == 0 && api_says(body, "num_experts"))
        rc = err_set(&e, ERR_UNSUPPORTED, "num_experts: a model is used with as many experts as its file says");
    if (rc == 0) rc = api_options(body, all, &e);
    if (rc == 0 && !(api_set_str(job, "op", "load") && api_set_str(job, "model", model) &&
                     api_set_copy(job, "load", json_get(all, "load")) &&
                     api_set_copy(job, "keep_alive", json_get(all, "keep_alive")))) rc = api_nomem(&e);
    if (rc == 0) rc = server_resolve(exchange_server(x), model, &m, &e);
    if (rc == 0) {
        l->begun = os_now_ns();
        fmt_into(l->model, sizeof l->model, "%s", m.name);
        if (echo && (l->config = json_new_object()) != NULL)
            for (size_t i = 0; i < 2; i++) api_set_copy(l->config, echoed[i], json_get(body, echoed[i]));
        json_free(all);
        api_ask(x, &(struct api_question){ .job = job, .own = l, .release = loading_free }, load_answer);
        return;
    }
    json_free(all);
    json_free(job);
    mem_free(l);
    api_fail(x, &e);
}

static void unload_answer(struct exchange *x, void *own, const struct json *done)
{
    const struct loading *l = own;
    struct buf b = { 0 };
    (void)done;
    api_put(&b, "{'instance_id':%s}", l->model);
    api_answer(x, &b);
}

static void unload(struct exchange *x)
{
    const char *id = NULL;
    struct err e = { 0 };
    struct loading *l = mem_new(1, sizeof *l);
    int rc = l ? api_str(exchange_body(x), "instance_id", &id, &e) : api_nomem(&e);
    if (rc == 0 && (!id || !*id)) rc = err_set(&e, ERR_ARG, "instance_id is required");
    if (rc == 0) {
        fmt_into(l->model, sizeof l->model, "%s", id);
        api_ask(x, &(struct api_question){ "unload", l->model, NULL, l, loading_free }, unload_answer);
        return;
    }
    mem_free(l);
    api_fail(x, &e);
}

/* ---- fetching ---- */

/* The address of a repository of the Hub, or user/repo, is that repository; a quantisation chooses its file. */
static int download_name(const struct json *body, char out[API_PULL_NAME], struct err *err)
{
    static const char *const before[] = { "https://huggingface.co/", "https://hf.co/", "huggingface.co/", "hf.co/" };
    const char *model = NULL, *quant = NULL, *rest = NULL;
    int rc = api_str(body, "model", &model, err);
    if (rc == 0) rc = api_str(body, "quantization", &quant, err);
    if (rc == 0 && (!model || !*model)) rc = err_set(err, ERR_ARG, "model is required");
    if (rc < 0) return rc;
    for (size_t i = 0; i < sizeof before / sizeof *before && !rest; i++)
        if (!strncmp(model, before[i], strlen(before[i]))) rest = model + strlen(before[i]);
    const char *slash = strchr(model, '/');
    bool plain = !rest && slash && !strchr(slash + 1, '/') && !strchr(model, ':') && !strchr(model, '.');
    if (rest || plain) fmt_into(out, API_PULL_NAME, "hf.co/%s%s%s", rest ? rest : model, quant ? ":" : "", quant ? quant : "");
    else fmt_into(out, API_PULL_NAME, "%s", model);
    return 0;
}

static void put_download(const struct api_pull_info *i, bool progress, struct buf *b)
{
    static const char *const state[] = { "downloading", "completed", "failed" };
    api_put(b, "{'job_id':%s,'status':%s", i->id, state[i->state]);
    if (i->total) api_put(b, ",'total_size_bytes':%u", i->total);
    if (progress && i->total) api_put(b, ",'downloaded_bytes':%u,'bytes_per_second':%f", i->done, i->per_second);
    buf_puts(b, ",\"started_at\":\"");
    api_put_time(b, i->begun);
    buf_putc(b, '"');
    if (i->ended) {
        buf_puts(b, ",\"completed_at\":\"");
        api_put_time(b, i->ended);
        buf_putc(b, '"');
    } else if (progress && i->per_second > 1 && i->total > i->done) {
        buf_puts(b, ",\"estimated_completion\":\"");
        api_put_time(b, os_wall_s() + (int64_t)((double)(i->total - i->done) / i->per_second));
        buf_putc(b, '"');
    }
    if (i->message[0]) api_put(b, ",'error':%s", i->message);
    buf_putc(b, '}');
}

static void download(struct exchange *x)
{
    struct api_pulls *pulls = server_pulls(exchange_server(x));
    struct api_pull_info i;
    struct server_model m;
    struct err e = { 0 };
    struct buf b = { 0 };
    char name[API_PULL_NAME], id[API_PULL_ID];
    int rc = download_name(exchange_body(x), name, &e);
    if (rc == 0 && server_resolve(exchange_server(x), name, &m, NULL) == 0) {
        buf_puts(&b, "{\"status\":\"already_downloaded\"}");
        api_answer(x, &b);
        return;
    }
    if (rc == 0) rc = api_pull_begin(pulls, name, false, id, &e);
    if (rc == 0 && api_pull_info(pulls, id, &i)) {
        put_download(&i, false, &b);
        api_answer(x, &b);
    } else
        api_fail(x, &e);
}

static void download_status(struct exchange *x)
{
    struct api_pull_info i;
    struct buf b = { 0 };
    const char *id = exchange_param(x, "id");
    if (!id || !api_pull_info(server_pulls(exchange_server(x)), id, &i)) {
        exchange_fail(x, 404, "job_not_found", "there is no such download");
        return;
    }
    put_download(&i, true, &b);
    api_answer(x, &b);
}

#define ROW(method, path, role, body, handle, summary) { method, path, role, body, handle, error, NULL, summary }
const struct route routes_lmstudio[] = {
    ROW("POST", "/api/v1/chat", ROLE_INFER, BODY_JSON, chat, "answers a conversation, which may be stored"),
    ROW("GET", "/api/v1/models", ROLE_INFER, BODY_NONE, v1_models, "the models of this machine, with what is loaded"),
    ROW("POST", "/api/v1/models/load", ROLE_MANAGE, BODY_JSON, load, "loads a model"),
    ROW("POST", "/api/v1/models/unload", ROLE_MANAGE, BODY_JSON, unload, "unloads a model"),
    ROW("POST", "/api/v1/models/download", ROLE_MANAGE, BODY_JSON, download, "fetches a model"),
    ROW("GET", "/api/v1/models/download/status/{id}", ROLE_MANAGE, BODY_NONE, download_status, "how far a download is"),
    { "POST", "/api/v0/chat/completions", ROLE_INFER, BODY_JSON, v0_chat, api_openai_error, NULL, "answers a conversation" },
    { "POST", "/api/v0/completions", ROLE_INFER, BODY_JSON, v0_completion, api_openai_error, NULL, "continues a text" },
    { "POST", "/api/v0/embeddings", ROLE_INFER, BODY_JSON, v0_embedding, api_openai_error, NULL, "texts to vectors" },
    ROW("GET", "/api/v0/models", ROLE_INFER, BODY_NONE, v0_models, "the models of this machine"),
    ROW("GET", "/api/v0/models/{id*}", ROLE_INFER, BODY_NONE, v0_model, "one model"),
    { 0 },
};
