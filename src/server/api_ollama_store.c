#include "server/api_ollama_store.h"

#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "engine/about.h"
#include "server/api_call.h"
#include "server/api_pull.h"
#include "server/api_put.h"
#include "server/feed.h"
#include "server/server.h"

/* A model by its name in a store that is ours for the time being. */
static int find(struct store *s, const char *name, struct found_list *l, size_t *at, struct err *err)
{
    struct name n;
    struct err e = { 0 };
    *at = SIZE_MAX;
    if (name_parse(&n, name, &e) < 0 || n.kind == NAME_PATH || n.kind == NAME_URL)
        return err_set(err, ERR_ARG, "\"%.100s\" is no name of a model", name);
    int rc = store_find(s, l, err);
    if (rc == 0 && (store_resolve(l, &n, name, at, &e) < 0 || *at == SIZE_MAX))
        rc = e.code == ERR_ARG ? err_set(err, ERR_ARG, "%s", e.msg)
                               : err_set(err, ERR_NOTFOUND, "model '%.200s' not found", name);
    return rc;
}

static int wanted_name(const struct json *body, const char *key, const char *older, const char **out, struct err *err)
{
    *out = NULL;
    int rc = body ? api_str(body, key, out, err) : err_set(err, ERR_ARG, "missing request body");
    if (rc == 0 && !*out && older) rc = api_str(body, older, out, err);
    return rc == 0 && (!*out || !**out) ? err_set(err, ERR_ARG, "%s is required", key) : rc;
}

static int new_name(const char *text, struct name *out, struct err *err)
{
    int rc = name_parse(out, text, err);
    if (rc == 0 && out->kind != NAME_REGISTRY)
        rc = err_set(err, ERR_ARG, "\"%.100s\" cannot be a model's name here; say namespace/model:tag", text);
    return rc;
}

/* ---- removing ---- */

int api_ollama_remove(struct server *server, const char *name, struct err *err)
{
    struct store s;
    struct found_list l = { 0 };
    struct removal r = { 0 };
    size_t at;
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    rc = find(&s, name, &l, &at, err);
    if (rc == 0) rc = store_remove(&s, &l, at, &r, err);
    found_release(&l);
    store_close(&s);
    server_models_changed(server);
    if (rc == 0) feed_say(server_feed(server), name, "model_remove", "{}");
    return rc;
}

void api_ollama_delete(struct exchange *x)
{
    struct err e = { 0 };
    const char *name;
    int rc = wanted_name(exchange_body(x), "model", "name", &name, &e);
    if (rc == 0) rc = api_ollama_remove(exchange_server(x), name, &e);
    if (rc == 0) exchange_text(x, 200, "text/plain", "", 0);
    else api_fail(x, &e);
}

/* ---- what takes longer: a thread, which may have to read files for their digests ---- */

struct task { struct json *body; bool stream; struct api_work *w; };

static void task_free(void *own)
{
    struct task *t = own;
    json_free(t->body);
    mem_free(t);
}

static bool going_on(void *arg, uint64_t done, uint64_t total)
{
    const struct task *t = arg;
    (void)done;
    (void)total;
    return !api_work_stopped(t->w);
}

static void say(struct task *t, const char *form, const char *a)
{
    struct exchange *x = api_work_exchange(t->w);
    struct buf status = { 0 }, b = { 0 };
    if (!t->stream) return;
    buf_printf(&status, "%s%s", form, a ? a : "");
    api_put(&b, "{'status':%B}\n", &status);
    if (!b.bad) {
        exchange_stream(x, "application/x-ndjson");
        exchange_write(x, b.data, b.len);
    }
    buf_release(&status);
    buf_release(&b);
}

static void end(struct task *t, int rc, const struct err *e)
{
    static const char done[] = "{\"status\":\"success\"}";
    struct exchange *x = api_work_exchange(t->w);
    if (rc < 0) {
        api_fail(x, e);
        return;
    }
    server_models_changed(exchange_server(x));
    if (t->stream) {
        say(t, "success", NULL);
        exchange_end(x);
    } else
        exchange_text(x, 200, HTTP_JSON, done, sizeof done - 1);
}

static void begin(struct exchange *x, api_work_fn *fn, bool streams)
{
    struct err e = { 0 };
    struct task *t = mem_new(1, sizeof *t);
    int rc = t ? 0 : api_nomem(&e);
    if (t) {
        t->body = json_share(exchange_body(x));
        t->stream = streams;
        if (streams) rc = api_bool(t->body, "stream", &t->stream, &e);
    }
    if (rc == 0) {
        api_work_start(server_works(exchange_server(x)), x, &(struct api_task){ fn, t, task_free }, &e);
        return;
    }
    if (t) task_free(t);
    api_fail(x, &e);
}

static void copy(struct api_work *w, void *own)
{
    struct task *t = own;
    struct store s;
    struct found_list l = { 0 };
    struct name to;
    struct err e = { 0 };
    const char *source, *destination;
    size_t at;
    t->w = w;
    int rc = wanted_name(t->body, "source", NULL, &source, &e);
    if (rc == 0) rc = wanted_name(t->body, "destination", NULL, &destination, &e);
    if (rc == 0) rc = new_name(destination, &to, &e);
    if (rc == 0 && (rc = store_open(&s, &e)) == 0) {
        rc = find(&s, source, &l, &at, &e);
        if (rc == 0) rc = store_copy(&s, &l.v[at], &to, &(struct copy_options){ true, going_on, t }, &e);
        found_release(&l);
        store_close(&s);
    }
    end(t, rc, &e);
}

void api_ollama_copy(struct exchange *x) { begin(x, copy, false); }

/* ---- create: of models and blobs that are here, never of paths that a client names ---- */

static int blobs(struct task *t, struct create *c, const char *key, enum layer_kind kind, struct err *err)
{
    const struct json *files;
    const char *title;
    struct json *digest;
    int rc = api_value(t->body, key, JSON_OBJECT, &files, err);
    for (void *it = NULL; rc == 0 && json_next(files, &it, &title, &digest);) {
        char hex[SHA256_HEX + 1];
        const char *text = json_str(digest, NULL);
        if (!text || !digest_parse(text, hex))
            return err_set(err, ERR_ARG, "%s: \"%.80s\" has no digest: sha256: and 64 digits", key, title);
        if (!name_is_safe_path(title, 255)) return err_set(err, ERR_ARG, "%s: \"%.80s\" is no name of a file", key, title);
        say(t, "using already created layer ", text);
        rc = create_blob(c, kind, hex, title, err);
    }
    return rc;
}

static int texts(struct task *t, struct create *c, struct err *err)
{
    static const struct { const char *key; enum layer_kind kind; } row[] = { { "template", LAYER_TEMPLATE },
                                                                             { "system", LAYER_SYSTEM } };
    const struct json *license = json_get(t->body, "license"), *params, *messages;
    const char *text;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < sizeof row / sizeof *row; i++) {
        text = NULL;
        rc = api_str(t->body, row[i].key, &text, err);
        if (rc == 0 && text) {
            say(t, "creating ", i ? "system layer" : "template layer");
            rc = create_text(c, row[i].kind, text, err);
        }
    }
    for (size_t i = 0; rc == 0 && i < (json_type(license) == JSON_ARRAY ? json_len(license) : license != NULL); i++) {
        text = json_str(json_type(license) == JSON_ARRAY ? json_at(license, i) : license, NULL);
        rc = text ? create_text(c, LAYER_LICENSE, text, err) : err_set(err, ERR_ARG, "license: expected text");
    }
    if (rc == 0) rc = api_value(t->body, "parameters", JSON_OBJECT, &params, err);
    if (rc == 0 && params) rc = create_params(c, params, err);
    if (rc == 0) rc = api_value(t->body, "messages", JSON_ARRAY, &messages, err);
    if (rc == 0 && messages) {
        struct buf b = { 0 };
        json_write(messages, false, &b);
        rc = b.bad ? api_nomem(err) : create_text(c, LAYER_MESSAGES, b.data, err);
        buf_release(&b);
    }
    return rc;
}

/* The model inside the program has no file to point to: it becomes one of the store. */
static int from_embedded(struct create *c, struct err *err)
{
    const void *p;
    size_t n;
    char hex[SHA256_HEX + 1];
    int rc = engine_embedded_bytes(&p, &n, err);
    if (rc == 0) rc = store_put_blob(c->store, p, n, hex, err);
    return rc < 0 ? rc : create_blob(c, LAYER_MODEL, hex, "spark.gguf", err);
}

static int make(struct task *t, struct store *s, const struct name *name, const char *from, struct err *err)
{
    struct create c = { 0 };
    struct found_list l = { 0 };
    struct server_model inside;
    size_t at = SIZE_MAX;
    int rc = from ? find(s, from, &l, &at, err) : 0;
    bool embedded = rc == ERR_NOTFOUND && !server_resolve(exchange_server(api_work_exchange(t->w)), from, &inside, NULL) &&
                    inside.embedded;
    if (rc == 0 || embedded) rc = create_begin(&c, s, err);
    if (rc == 0) {
        c.progress = going_on;
        c.arg = t;
        say(t, "reading model metadata", NULL);
        if (from) rc = embedded ? from_embedded(&c, err) : create_from(&c, &l.v[at], err);
        if (rc == 0) rc = blobs(t, &c, "files", LAYER_MODEL, err);
        if (rc == 0) rc = blobs(t, &c, "adapters", LAYER_ADAPTER, err);
        if (rc == 0) rc = blobs(t, &c, "draft_files", LAYER_DRAFT, err);
        if (rc == 0) rc = texts(t, &c, err);
        if (rc == 0) say(t, "writing manifest", NULL);
        if (rc == 0) rc = create_end(&c, name, err);
        create_release(&c);
    }
    found_release(&l);
    return rc;
}

static void create(struct api_work *w, void *own)
{
    static const char *const no[] = { "quantize", "draft_quantize" };
    struct task *t = own;
    struct store s;
    struct name name;
    struct err e = { 0 };
    const char *text, *from = NULL;
    t->w = w;
    int rc = wanted_name(t->body, "model", "name", &text, &e);
    if (rc == 0) rc = new_name(text, &name, &e);
    if (rc == 0) rc = api_str(t->body, "from", &from, &e);
    for (size_t i = 0; rc == 0 && i < 2; i++)
        if (api_says(t->body, no[i]))
            rc = err_set(&e, ERR_UNSUPPORTED, "%s: a server does not do that; `hearth quantize` makes smaller models", no[i]);
    if (rc == 0 && api_says(t->body, "modelfile"))
        rc = err_set(&e, ERR_UNSUPPORTED, "modelfile: this old form is not taken; use from, system, parameters, ...");
    if (rc == 0 && (!from || !*from) && !api_says(t->body, "files"))
        rc = err_set(&e, ERR_ARG, "neither from nor files was given");
    if (rc == 0 && (rc = store_open(&s, &e)) == 0) {
        rc = make(t, &s, &name, from && *from ? from : NULL, &e);
        store_close(&s);
    }
    end(t, rc, &e);
}

void api_ollama_create(struct exchange *x) { begin(x, create, true); }

/* ---- blobs ---- */

struct upload { struct store store; bool open, there; struct blob_writer *w; struct err err; int rc; };

static void upload_free(void *state)
{
    struct upload *u = state;
    store_blob_abort(u->w);
    if (u->open) store_close(&u->store);
    mem_free(u);
}

static int digest_of(struct exchange *x, char hex[SHA256_HEX + 1], struct err *err)
{
    const char *text = exchange_param(x, "digest");
    if (text && digest_parse(text, hex)) return 0;
    return err_set(err, ERR_ARG, "\"%.100s\" is no digest: sha256: and 64 digits", text ? text : "");
}

static struct upload *upload_of(struct exchange *x)
{
    struct upload *u = exchange_state(x);
    char hex[SHA256_HEX + 1];
    if (u || !(u = mem_new(1, sizeof *u))) return u;
    exchange_keep(x, u, upload_free);
    u->rc = digest_of(x, hex, &u->err);
    if (u->rc == 0) u->rc = store_open(&u->store, &u->err);
    u->open = u->rc == 0;
    u->there = u->open && store_has_blob(&u->store, hex, NULL);
    if (u->rc == 0 && !u->there) u->rc = store_blob_begin(&u->w, &u->store, hex, &u->err);
    return u;
}

bool api_ollama_blob_sink(struct exchange *x, const char *bytes, size_t n)
{
    struct upload *u = upload_of(x);
    if (u && u->rc == 0 && u->w) u->rc = store_blob_write(u->w, bytes, n, &u->err);
    if (u && u->rc == 0) return true;
    if (u) api_fail(x, &u->err);
    else exchange_fail(x, 503, "memory", "out of memory for a file");
    return false;
}

void api_ollama_blob_end(struct exchange *x)
{
    struct upload *u = upload_of(x);
    if (!u) {
        exchange_fail(x, 503, "memory", "out of memory for a file");
        return;
    }
    bool there = u->there;
    if (u->rc == 0 && u->w) {
        u->rc = store_blob_end(u->w, NULL, &u->err);
        u->w = NULL;
    }
    if (u->rc == 0) exchange_text(x, there ? 200 : 201, "text/plain", "", 0);
    else api_fail(x, &u->err);
}

void api_ollama_blob(struct exchange *x)
{
    struct store s;
    struct err e = { 0 };
    char hex[SHA256_HEX + 1];
    bool there = false;
    int rc = digest_of(x, hex, &e);
    if (rc == 0 && (rc = store_open(&s, &e)) == 0) {
        there = store_has_blob(&s, hex, NULL);
        store_close(&s);
    }
    if (rc == 0 && !there) rc = err_set(&e, ERR_NOTFOUND, "there is no such file here");
    if (rc == 0) exchange_text(x, 200, "text/plain", "", 0);
    else api_fail(x, &e);
}

/* ---- pull ---- */

static void say_pulling(struct task *t, const struct api_pull_info *i)
{
    struct exchange *x = api_work_exchange(t->w);
    struct buf status = { 0 }, digest = { 0 }, b = { 0 };
    char hex[SHA256_HEX + 1];
    bool is_digest = digest_parse(i->file, hex) || sha256_is_hex(i->file, strlen(i->file));
    const char *file = !is_digest ? i->file : strncmp(i->file, "sha256", 6) ? i->file : i->file + 7;
    if (!t->stream) return;
    buf_printf(&status, is_digest ? "pulling %.12s" : "pulling %s", file);
    buf_printf(&digest, is_digest ? "sha256:%s" : "%s", file);
    api_put(&b, "{'status':%B,'digest':%B,'total':%u,'completed':%u}\n", &status, &digest, i->total, i->done);
    if (!b.bad) exchange_write(x, b.data, b.len);
    buf_release(&status);
    buf_release(&digest);
    buf_release(&b);
}

static void pull(struct api_work *w, void *own)
{
    struct task *t = own;
    struct api_pulls *pulls = server_pulls(exchange_server(api_work_exchange(w)));
    struct api_pull_info i = { .state = PULL_RUNNING };
    struct err e = { 0 };
    char id[API_PULL_ID];
    const char *name;
    uint64_t told = UINT64_MAX;
    t->w = w;
    int rc = wanted_name(t->body, "model", "name", &name, &e);
    if (rc == 0) rc = api_pull_begin(pulls, name, true, id, &e);
    if (rc < 0) {
        end(t, rc, &e);
        return;
    }
    say(t, "pulling manifest", NULL);
    while (api_pull_info(pulls, id, &i) && i.state == PULL_RUNNING && !api_work_stopped(w)) {
        if (i.total && i.done != told) say_pulling(t, &i);
        told = i.done;
        fs_sleep_ms(50);
    }
    api_pull_leave(pulls, id);
    if (i.state == PULL_FAILED) rc = err_set(&e, ERR_NOTFOUND, "%s", i.message);
    if (i.state == PULL_RUNNING) rc = err_set(&e, ERR_CANCELLED, "the download was left");
    if (rc == 0) {
        if (i.total && i.done != told) say_pulling(t, &i);
        say(t, "verifying sha256 digest", NULL);
        say(t, "writing manifest", NULL);
    }
    end(t, rc, &e);
}

void api_ollama_pull(struct exchange *x) { begin(x, pull, true); }
