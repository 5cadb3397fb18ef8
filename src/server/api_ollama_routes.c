/* api_ollama_routes.c - where Ollama's endpoints are, and those that list models or are quick. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "server/api_ask.h"
#include "server/api_models.h"
#include "server/api_ollama.h"
#include "server/api_ollama_store.h"
#include "server/api_put.h"

void api_ollama_error(struct exchange *x, int status, const char *kind, const char *message)
{
    struct buf b = { 0 };
    bool started = exchange_started(x);
    if (status == 429 && kind && !strcmp(kind, "busy")) status = 503;      /* as its clients know it */
    api_put(&b, started ? "{'error':%s}\n" : "{'error':%s}", message);
    const char *text = b.bad || !b.data ? "{\"error\":\"out of memory\"}" : b.data;
    if (started) exchange_write(x, text, strlen(text));
    else exchange_text(x, status, "application/json; charset=utf-8", text, strlen(text));
    buf_release(&b);
}

static void generate(struct exchange *x)
{
    bool render = api_says(exchange_body(x), "_debug_render_only");
    api_handle(x, render ? &api_ollama_render : &api_ollama_generate);
}

static void chat(struct exchange *x)
{
    bool render = api_says(exchange_body(x), "_debug_render_only");
    api_handle(x, render ? &api_ollama_render : &api_ollama_chat);
}

static void embed(struct exchange *x) { api_handle(x, &api_ollama_embed); }
static void embeddings(struct exchange *x) { api_handle(x, &api_ollama_embeddings); }

/* ---- what is there ---- */

static void put_name(const struct api_model *m, struct buf *b)
{
    const char *slash = strrchr(m->name, '/');
    bool tagged = strchr(slash ? slash : m->name, ':') != NULL;
    bool registry = m->embedded || (m->found && !m->found->plain && m->found->parsed.kind == NAME_REGISTRY);
    struct buf name = { 0 };
    buf_puts(&name, m->name);
    if (registry && !tagged) buf_puts(&name, ":latest");
    api_put(b, "%B", &name);
    buf_release(&name);
}

static void put_facts(const char *format, const char *arch, uint64_t n_params, const char *quant, struct buf *b)
{
    struct buf size = { 0 };
    buf_puts(&size, "");
    api_put_params(n_params, &size);
    api_put(b, "{'parent_model':'','format':%s,'family':%s,'families':[%s],'parameter_size':%B,'quantization_level':%s}", format,
            arch, arch, &size, quant);
    buf_release(&size);
}

static void put_details(const struct api_model *m, struct buf *b)
{
    put_facts(api_model_format(m), m->facts.arch, m->facts.n_params, m->facts.quant, b);
}

static void put_model(const struct api_model *m, struct buf *b)
{
    if (b->len && b->data[b->len - 1] == '}') buf_putc(b, ',');
    buf_puts(b, "{\"name\":");
    put_name(m, b);
    buf_puts(b, ",\"model\":");
    put_name(m, b);
}

static void put_tag(void *arg, const struct api_model *m)
{
    struct buf *b = arg;
    put_model(m, b);
    buf_puts(b, ",\"modified_at\":\"");
    api_put_time(b, m->mtime);
    api_put(b, "','size':%u,'digest':%s,'details':", m->size, m->id);
    put_details(m, b);
    buf_putc(b, '}');
}

static void tags(struct exchange *x)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    buf_puts(&b, "{\"models\":[");
    int rc = api_models_each(exchange_server(x), put_tag, &b, &e);
    buf_puts(&b, "]}");
    if (rc == 0) api_answer(x, &b);
    else api_fail(x, &e);
    buf_release(&b);
}

/* ---- what is loaded ---- */

struct loaded { struct buf *b; const struct json *status; int64_t now; };

static void put_loaded(void *arg, const struct api_model *m)
{
    enum { FOR_EVER_S = 100 * 365 * 86400L };
    struct loaded *l = arg;
    const struct json *list = json_get(l->status, "models"), *s = NULL;
    for (size_t i = 0; i < json_len(list) && !s; i++)
        if (api_is(json_get(json_at(list, i), "model"), m->path)) s = json_at(list, i);
    if (!s) return;
    int64_t left = json_get(s, "expires_s") ? json_int(json_get(s, "expires_s")) : -1;
    uint64_t bytes = (uint64_t)(json_int(json_get(s, "bytes")) + json_int(json_get(s, "kv_bytes")));
    put_model(m, l->b);
    api_put(l->b, ",'size':%u,'digest':%s,'details':", bytes, m->id);
    put_details(m, l->b);
    buf_puts(l->b, ",\"expires_at\":\"");
    api_put_time(l->b, l->now + (left < 0 ? FOR_EVER_S : left));
    buf_puts(l->b, "\",\"size_vram\":0");
    if (json_get(s, "n_ctx")) api_put(l->b, ",'context_length':%j", json_get(s, "n_ctx"));
    buf_putc(l->b, '}');
}

static void ps_answer(struct exchange *x, void *own, const struct json *done)
{
    struct buf b = { 0 };
    struct err e = { 0 };
    struct loaded l = { &b, done, os_wall_s() };
    (void)own;
    buf_puts(&b, "{\"models\":[");
    int rc = api_models_each(exchange_server(x), put_loaded, &l, &e);
    buf_puts(&b, "]}");
    if (rc == 0) api_answer(x, &b);
    else api_fail(x, &e);
    buf_release(&b);
}

static void ps(struct exchange *x) { api_ask(x, &(struct api_question){ .op = "status" }, ps_answer); }

/* ---- one model ---- */

/* What the store knows: JSON members, and what is asked for again when the engine has answered. */
struct shown {
    struct buf head; char name[SERVER_MODEL_NAME], arch[64], quant[32]; const char *format; uint64_t n_params; bool template;
};

static void shown_free(void *own)
{
    struct shown *s = own;
    buf_release(&s->head);
    mem_free(s);
}

/* A line for each setting, its values one by one: a word, the name, blanks up to a column, the value. */
static void put_lines(const char *params, const char *word, int column, struct buf *out)
{
    struct json *j = NULL, *v;
    const char *key;
    if (!params || json_parse(&j, params, strlen(params), NULL) < 0) return;
    for (void *it = NULL; json_next(j, &it, &key, &v);)
        for (size_t i = 0; i < (json_type(v) == JSON_ARRAY ? json_len(v) : 1); i++) {
            if (out->len && out->data[out->len - 1] != '\n') buf_putc(out, '\n');
            buf_printf(out, "%s%-*s ", word, column, key);
            json_write(json_type(v) == JSON_ARRAY ? json_at(v, i) : v, false, out);
        }
    json_free(j);
}

/* Ollama shows settings as lines: the name, blanks up to a column, the value. */
static void put_settings(const char *params, struct buf *out) { put_lines(params, "", 30, out); }

static void put_parameters(const char *params, struct buf *file)
{
    put_lines(params, "PARAMETER ", 0, file);
    if (file->len && file->data[file->len - 1] != '\n') buf_putc(file, '\n');
}

/* True: it has a template of its own. */
static bool put_parts(const struct api_model *m, struct buf *b)
{
    struct parts p = { 0 };
    struct buf license = { 0 }, settings = { 0 }, file = { 0 };
    struct json *messages = NULL;
    if (m->found && store_parts(m->found, &p, NULL) < 0) p = (struct parts){ 0 };
    for (size_t i = 0; i < p.n_license; i++) {
        if (i) buf_putc(&license, '\n');
        buf_puts(&license, p.license[i]);
    }
    put_settings(p.params, &settings);
    buf_printf(&file, "FROM %s\n", m->name);
    put_parameters(p.params, &file);
    if (p.template) buf_printf(&file, "TEMPLATE \"\"\"%s\"\"\"\n", p.template);
    if (p.system) buf_printf(&file, "SYSTEM \"\"\"%s\"\"\"\n", p.system);
    bool template = p.template != NULL;
    api_put(b, "'license':%B,'modelfile':%B,'parameters':%B,'system':%s,", &license, &file, &settings, p.system ? p.system : "");
    if (template) api_put(b, "'template':%s,", p.template);
    if (p.messages && json_parse(&messages, p.messages, strlen(p.messages), NULL) == 0) api_put(b, "'messages':%j,", messages);
    buf_puts(b, "\"modified_at\":\"");
    api_put_time(b, m->mtime);
    buf_puts(b, "\"");
    json_free(messages);
    buf_release(&license);
    buf_release(&settings);
    buf_release(&file);
    parts_release(&p);
    return template;
}

static void take_shown(void *arg, const struct api_model *m)
{
    struct shown *s = arg;
    fmt_into(s->name, sizeof s->name, "%s", m->name);
    fmt_into(s->arch, sizeof s->arch, "%s", m->facts.arch);
    fmt_into(s->quant, sizeof s->quant, "%s", m->facts.quant);
    s->format = api_model_format(m);
    s->n_params = m->facts.n_params;
    s->template = put_parts(m, &s->head);
}

/* What the file says, but for what stands elsewhere; then what the engine says, under the names that GGUF files have for it. */
static void put_info(const struct json *done, struct buf *b)
{
    static const char *const row[][2] = {
        { "n_ctx_train", "context_length" }, { "n_embd", "embedding_length" }, { "n_layer", "block_count" },
        { "n_head", "attention.head_count" }, { "n_head_kv", "attention.head_count_kv" }, { "n_expert", "expert_count" },
        { "n_vocab", "vocab_size" },
    };
    const struct json *keys = json_get(done, "keys");
    const char *arch = json_str(json_get(done, "architecture"), NULL), *key;
    struct json *v;
    char name[128];
    api_put(b, "{'general.architecture':%s,'general.parameter_count':%j", arch, json_get(done, "n_parameters"));
    if (!json_get(keys, "general.basename")) api_put(b, ",'general.basename':%j", json_get(done, "name"));
    if (!json_get(keys, "tokenizer.ggml.model")) api_put(b, ",'tokenizer.ggml.model':%j", json_get(done, "tokenizer"));
    static const char *const told[] = { "general.architecture", "general.parameter_count", "tokenizer.chat_template" };
    for (void *it = NULL; json_next(keys, &it, &key, &v);) {
        size_t i = 0;
        while (i < sizeof told / sizeof *told && strcmp(told[i], key)) i++;
        if (i == sizeof told / sizeof *told) api_put(b, ",%s:%j", key, v);
    }
    for (size_t i = 0; arch && i < sizeof row / sizeof *row; i++) {
        fmt_into(name, sizeof name, "%.64s.%s", arch, row[i][1]);
        if (json_int(json_get(done, row[i][0])) && !json_get(keys, name)) api_put(b, ",%s:%j", name, json_get(done, row[i][0]));
    }
    buf_putc(b, '}');
}

static void show_answer(struct exchange *x, void *own, const struct json *done)
{
    struct shown *s = own;
    struct buf b = { 0 };
    bool encoder = json_bool(json_get(done, "encoder"));
    const char *arch = json_str(json_get(done, "architecture"), NULL);
    const char *template = json_str(json_get(done, "chat_template"), NULL);
    uint64_t n = (uint64_t)json_int(json_get(done, "n_parameters"));
    api_put(&b, "{%R,'details':", &s->head);
    put_facts(s->format, arch ? arch : s->arch, n ? n : s->n_params, s->quant, &b);
    buf_puts(&b, ",\"model_info\":");
    put_info(done, &b);
    if (json_get(done, "tensors")) api_put(&b, ",'tensors':%j", json_get(done, "tensors"));
    if (!s->template) api_put(&b, ",'template':%s", template ? template : "");
    api_put(&b, ",'capabilities':[%s", encoder ? "embedding" : "completion");
    if (json_bool(json_get(done, "tools"))) buf_puts(&b, ",\"tools\"");
    if (json_bool(json_get(done, "reasoning"))) buf_puts(&b, ",\"thinking\"");
    if (json_bool(json_get(done, "infill"))) buf_puts(&b, ",\"insert\"");
    buf_puts(&b, "]}");
    api_answer(x, &b);
}

static void show(struct exchange *x)
{
    const char *name = NULL;
    struct err e = { 0 };
    bool verbose = false;
    struct shown *s = mem_new(1, sizeof *s);
    int rc = !s ? api_nomem(&e) : exchange_body(x) ? api_str(exchange_body(x), "model", &name, &e)
                                                  : err_set(&e, ERR_ARG, "missing request body");
    if (rc == 0 && !name) rc = api_str(exchange_body(x), "name", &name, &e);
    if (rc == 0 && (!name || !*name)) rc = err_set(&e, ERR_ARG, "model is required");
    if (rc == 0) rc = api_models_one(exchange_server(x), name, take_shown, s, &e);
    if (rc == 0 && s->head.bad) rc = api_nomem(&e);
    if (rc == 0) rc = api_bool(exchange_body(x), "verbose", &verbose, &e);
    struct json *job = rc == 0 ? json_new_object() : NULL;
    if (rc == 0 && !(job && api_set_str(job, "op", "info") && api_set_str(job, "model", s->name) &&
                     api_set_bool(job, "file", true) && api_set_bool(job, "arrays", verbose))) rc = api_nomem(&e);
    if (rc == 0) {
        api_ask(x, &(struct api_question){ .job = job, .own = s, .release = shown_free }, show_answer);
        return;
    }
    json_free(job);
    if (s) shown_free(s);
    api_fail(x, &e);
}

/* ---- the rest ---- */

static void text(struct exchange *x, const char *answer) { exchange_text(x, 200, HTTP_JSON, answer, strlen(answer)); }
static void version(struct exchange *x) { text(x, "{\"version\":\"" API_OLLAMA_VERSION "\"}"); }
static void cloud(struct exchange *x) { text(x, "{\"cloud\":{\"disabled\":true,\"source\":\"config\"}}"); }
static void root(struct exchange *x) { exchange_text(x, 200, "text/plain; charset=utf-8", "Ollama is running", 17); }

/* Nobody can sign in here. */
static void account(struct exchange *x)
{
    static const char answer[] = "{\"error\":\"unauthorized\",\"signin_url\":\"\"}";
    exchange_text(x, 401, "application/json; charset=utf-8", answer, sizeof answer - 1);
}

static void push(struct exchange *x)
{
    exchange_fail(x, 501, "unsupported", "this server only fetches models; to publish one, upload its file to a registry or hub");
}

#define ROW(method, path, role, body, handle, summary) \
    { method, path, role, body, handle, api_ollama_error, NULL, summary }
const struct route routes_ollama[] = {
    ROW("GET", "/", ROLE_NONE, BODY_NONE, root, NULL),
    ROW("GET", "/api/version", ROLE_NONE, BODY_NONE, version, "the version of Ollama's API that this is"),
    ROW("GET", "/api/status", ROLE_NONE, BODY_NONE, cloud, NULL),
    ROW("POST", "/api/generate", ROLE_INFER, BODY_JSON, generate, "continues a text"),
    ROW("POST", "/api/chat", ROLE_INFER, BODY_JSON, chat, "answers a conversation"),
    ROW("POST", "/api/embed", ROLE_INFER, BODY_JSON, embed, "texts to vectors"),
    ROW("POST", "/api/embeddings", ROLE_INFER, BODY_JSON, embeddings, "a text to a vector"),
    ROW("GET", "/api/tags", ROLE_INFER, BODY_NONE, tags, "the models of this machine"),
    ROW("GET", "/api/ps", ROLE_INFER, BODY_NONE, ps, "the models that are loaded"),
    ROW("POST", "/api/show", ROLE_INFER, BODY_JSON, show, "what a model is"),
    ROW("POST", "/api/create", ROLE_MANAGE, BODY_JSON, api_ollama_create, "makes a model of others and settings"),
    ROW("POST", "/api/copy", ROLE_MANAGE, BODY_JSON, api_ollama_copy, "gives a model another name"),
    ROW("DELETE", "/api/delete", ROLE_MANAGE, BODY_JSON, api_ollama_delete, "removes a model"),
    ROW("POST", "/api/pull", ROLE_MANAGE, BODY_JSON, api_ollama_pull, "fetches a model"),
    ROW("POST", "/api/push", ROLE_MANAGE, BODY_JSON, push, NULL),
    ROW("GET", "/api/blobs/{digest}", ROLE_MANAGE, BODY_NONE, api_ollama_blob, "whether a file is there"),
    { "POST", "/api/blobs/{digest}", ROLE_MANAGE, BODY_RAW, api_ollama_blob_end, api_ollama_error, api_ollama_blob_sink,
      "brings a file, by its digest" },
    ROW("POST", "/api/me", ROLE_INFER, BODY_JSON, account, NULL),
    ROW("POST", "/api/signout", ROLE_INFER, BODY_JSON, account, NULL),
    { 0 },
};
