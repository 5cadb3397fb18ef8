/* models.c - names of models as requests give them; answers are remembered for a while. */
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "server/api_options.h"
#include "server/api_put.h"
#include "server/brings.h"
#include "server/http_impl.h"

#define GOOD_FOR_NS ((uint64_t)5000000000)

static bool is_embedded(const char *name)
{
    return !strcmp(name, "spark") || !strcmp(name, "spark:latest") || !strcmp(name, "embedded");
}

static void embedded(struct server_model *out)
{
    *out = (struct server_model){ .embedded = true };
    fmt_into(out->name, sizeof out->name, "spark");
    fmt_into(out->path, sizeof out->path, "embedded");
}

/* The model that the server was started with, when it is a file of its own. */
static bool is_own_file(const struct server *s, const char *name)
{
    const char *own = s->o.model;
    if (!own || !os_file_exists(own)) return false;
    const char *file = fs_base_name(own);
    size_t n = strlen(file);
    if (n > 5 && name_ends_with(file, ".gguf")) n -= 5;
    return !strcmp(name, own) || !strcmp(name, file) || (strlen(name) == n && !memcmp(name, file, n));
}

static int of_file(const struct server *s, struct server_model *out, struct err *err)
{
    const char *own = s->o.model, *file = fs_base_name(own);
    size_t n = strlen(file);
    struct buf real = { 0 };
    *out = (struct server_model){ 0 };
    if (n > 5 && name_ends_with(file, ".gguf")) n -= 5;
    fmt_into(out->name, sizeof out->name, "%.*s", (int)n, file);
    bool ok = fs_real_path(own, &real) && real.len < sizeof out->path;
    if (ok) fmt_into(out->path, sizeof out->path, "%s", real.data);
    buf_release(&real);
    return ok ? 0 : err_set(err, ERR_NOTFOUND, "%.300s: No such file or directory", own);
}

static bool looks_like_path(const char *s)
{
    return *s == '/' || *s == '.' || *s == '~' || !strncmp(s, "file:", 5) || strstr(s, "://") || strchr(s, '\\');
}

/* ---- what came with it ---- */

/* Paths of this machine are for the log. */
static int damaged(struct server *s, const char *name, const struct err *why, struct err *err)
{
    if (why->code == ERR_NOMEM) return err_set(err, ERR_NOMEM, "model '%.200s': %s", name, why->msg);
    server_note(s, "error", "model", why->msg);
    return err_set(err, ERR_IO, "model '%.200s': what came with it cannot be used; the server's log says why", name);
}

/* One that is gone is done without, as hearth run does. */
static int default_preset(struct server *s, const char *model, struct preset *out, struct err *err)
{
    char name[PRESET_NAME + 1];
    int rc = preset_default(&s->store, model, name, err);
    if (rc < 0 || !*name) return rc;
    rc = preset_load(&s->store, name, out, err);
    if (rc != ERR_NOTFOUND) return rc;
    server_note(s, "warning", "preset", name);
    return 0;
}

static int read_brings(struct server *s, const char *model, const struct parts *p, struct buf *out, struct err *err)
{
    struct preset preset = { .all = NULL };
    struct buf left_out = { 0 };
    struct err e;
    int rc = default_preset(s, model, &preset, &e);
    if (rc == 0) rc = brings_read(p, &preset, out, &left_out, &e);
    if (rc < 0) err_prefix(&e, rc, "%.200s: ", model);
    if (left_out.len && !left_out.bad) server_note(s, "warning", "settings left out", left_out.data);
    buf_release(&left_out);
    preset_release(&preset);
    return rc < 0 ? damaged(s, model, &e, err) : 0;
}

static int of_store(struct server *s, const char *text, struct server_model *out, struct buf *brings, struct err *err)
{
    struct name n;
    struct found_list l = { 0 };
    struct parts parts = { .n_license = 0 };
    size_t at = SIZE_MAX;
    struct err e = { 0 };
    *out = (struct server_model){ 0 };
    if (looks_like_path(text) || name_parse(&n, text, &e) < 0)
        return err_set(err, ERR_ARG, "\"%.100s\" is no name of a model", text);
    int rc = store_find(&s->store, &l, err);
    if (rc == 0 && (store_resolve(&l, &n, text, &at, &e) < 0 || at == SIZE_MAX)) {
        rc = e.code == ERR_ARG ? err_set(err, ERR_ARG, "%s", e.msg)
                               : err_set(err, ERR_NOTFOUND, "model '%.200s' not found, try pulling it first", text);
    } else if (rc == 0 && l.v[at].broken) {
        rc = err_set(err, ERR_NOTFOUND, "model '%.200s': a file of it is missing or has another size; pull it again", text);
    } else if (rc == 0) {
        fmt_into(out->name, sizeof out->name, "%s", l.v[at].name);
        fmt_into(out->path, sizeof out->path, "%s", l.v[at].path);
        fmt_into(out->digest, sizeof out->digest, "%s", l.v[at].digest);
        if ((rc = store_parts(&l.v[at], &parts, &e)) < 0) rc = damaged(s, l.v[at].name, &e, err);
        else rc = read_brings(s, l.v[at].name, &parts, brings, err);
    }
    parts_release(&parts);
    found_release(&l);
    return rc;
}

/* ---- remembering ---- */

static const struct known_model *remembered(struct server *s, const char *name)
{
    for (size_t i = 0; i < MODELS_KNOWN; i++) {
        struct known_model *k = &s->known[i];
        struct fs_info now;
        if (!k->at || strcmp(k->asked, name) || os_now_ns() - k->at > GOOD_FOR_NS) continue;
        if (!fs_info(k->model.path, &now) || now.size != k->file.size || now.inode != k->file.inode ||
            now.mtime_ns != k->file.mtime_ns) continue;
        return k;
    }
    return NULL;
}

/* Takes brings. */
static void remember(struct server *s, const char *name, const struct server_model *m, struct buf *brings)
{
    size_t oldest = 0;
    struct fs_info file;
    if (!fs_info(m->path, &file)) {
        buf_release(brings);
        return;
    }
    for (size_t i = 0; i < MODELS_KNOWN; i++) {
        if (s->known[i].at < s->known[oldest].at) oldest = i;
        if (s->known[i].at && !strcmp(s->known[i].asked, name)) {
            oldest = i;
            break;
        }
    }
    struct known_model *k = &s->known[oldest];
    buf_release(&k->brings);
    *k = (struct known_model){ .model = *m, .file = file, .at = os_now_ns(), .brings = *brings };
    fmt_into(k->asked, sizeof k->asked, "%s", name);
}

/* Under the lock.  brings: what came with it is appended; NULL: nobody wants to know. */
static int resolve(struct server *s, const char *name, struct server_model *out, struct buf *brings, struct err *err)
{
    static const struct parts none = { .n_license = 0 };
    struct buf all = { 0 };
    if (is_own_file(s, name)) {
        int rc = of_file(s, out, err);
        return rc == 0 && brings ? read_brings(s, s->o.model, &none, brings, err) : rc;
    }
    if (is_embedded(name)) {
        embedded(out);
        return brings ? read_brings(s, out->name, &none, brings, err) : 0;
    }
    const struct known_model *k = remembered(s, name);
    int rc = k ? 0 : of_store(s, name, out, &all, err);
    const struct buf *from = k ? &k->brings : &all;
    if (k) *out = k->model;
    if (rc == 0 && brings) buf_put(brings, from->data, from->len);
    if (rc == 0 && brings && brings->bad) rc = err_set(err, ERR_NOMEM, "out of memory for the request");
    if (!k && rc == 0) remember(s, name, out, &all);
    else buf_release(&all);
    return rc;
}

static int find(struct server *s, const char *name, struct server_model *out, struct buf *brings, struct err *err)
{
    if (!name || !*name) name = s->o.model ? s->o.model : "spark";
    if (strlen(name) >= SERVER_MODEL_NAME) return err_set(err, ERR_ARG, "the name of the model is too long");
    lock_take(&s->models);
    int rc = resolve(s, name, out, brings, err);
    lock_give(&s->models);
    return rc;
}

int server_resolve(struct server *s, const char *name, struct server_model *out, struct err *err)
{
    return find(s, name, out, NULL, err);
}

/* ---- adapters ---- */

/* Under the lock; NULL: all are as the model was made, or as it was made anew.  of: as of hash_of. */
static const struct known_scales *scales_of(const struct server *s, const char *model, uint64_t of)
{
    for (size_t i = 0; i < SCALES_KNOWN; i++)
        if (s->scales[i] && !strcmp(s->scales[i]->model, model)) return s->scales[i]->of == of ? s->scales[i] : NULL;
    return NULL;
}

static const struct json *adapters_of(const struct json *job) { return json_get(json_get(job, "load"), "adapters"); }

static uint64_t hash_of(const struct json *adapters)
{
    struct buf b = { 0 };
    json_write(adapters, false, &b);
    uint64_t h = b.bad ? 0 : hash_bytes(b.data, b.len);
    buf_release(&b);
    return h;
}

/* What a client set, into a job that does not say itself. */
static bool put_scales(struct server *s, const char *model, struct json *job)
{
    size_t n = json_len(adapters_of(job));
    double v[JOB_MAX_ADAPTERS];
    const struct json *op = json_get(job, "op");
    bool takes = api_is(op, "generate") || api_is(op, "embed") || api_is(op, "rerank");
    if (!n || n > JOB_MAX_ADAPTERS || !takes || json_get(job, "lora")) return true;
    uint64_t of = hash_of(adapters_of(job));
    lock_take(&s->models);
    const struct known_scales *k = scales_of(s, model, of);
    if (k) memcpy(v, k->v, sizeof v);
    lock_give(&s->models);
    struct json *list = k ? json_new_array() : NULL;
    bool ok = !k || list;
    for (size_t i = 0; list && ok && i < n; i++) {
        struct json *o = json_new_object();
        ok = o && api_set_int(o, "id", (int64_t)i) && api_set_real(o, "scale", v[i]);
        ok = json_push(list, o) && ok;
    }
    return (!list || json_put(job, "lora", list)) && ok;
}

/* A job for the model, for what came with it; its adapters, and what they are called. */
static int ask_adapters(struct server *s, const char *name, struct server_model *m, struct json **job, struct err *err)
{
    *job = json_new_object();
    if (!*job) return err_set(err, ERR_NOMEM, "out of memory for the request");
    int rc = server_put_model(s, name, m, *job, err);
    if (rc == 0 && json_len(adapters_of(*job)) > JOB_MAX_ADAPTERS)
        rc = err_set(err, ERR_LIMIT, "the model has more than %d adapters", (int)JOB_MAX_ADAPTERS);
    if (rc == 0) return 0;
    json_free(*job);
    *job = NULL;
    return rc;
}

int server_adapters(struct server *s, const char *name, struct json **out, struct err *err)
{
    struct server_model m;
    struct json *job, *list;
    int rc = ask_adapters(s, name, &m, &job, err);
    if (rc < 0) return rc;
    const struct json *adapters = adapters_of(job);
    uint64_t of = hash_of(adapters);
    bool ok = (list = *out = json_new_array()) != NULL;
    lock_take(&s->models);
    const struct known_scales *k = scales_of(s, m.name, of);
    for (size_t i = 0; ok && i < json_len(adapters); i++) {
        const char *path = json_str(json_get(json_at(adapters, i), "path"), NULL);
        struct json *o = json_new_object();
        ok = o && api_set_int(o, "id", (int64_t)i) && api_set_str(o, "path", fs_base_name(path ? path : "")) &&
             api_set_real(o, "scale", k ? k->v[i] : 1);
        ok = json_push(list, o) && ok;
    }
    lock_give(&s->models);
    json_free(job);
    if (ok) return 0;
    json_free(list);
    *out = NULL;
    return err_set(err, ERR_NOMEM, "out of memory for the list of adapters");
}

int server_set_scales(struct server *s, const char *name, const struct json *scales, struct err *err)
{
    struct server_model m;
    struct json *job, *checked = json_new_object();
    struct known_scales *fresh = mem_new(1, sizeof *fresh);
    int rc = fresh && checked && api_set_copy(checked, "lora", scales) ? ask_adapters(s, name, &m, &job, err)
                                                                      : err_set(err, ERR_NOMEM, "out of memory");
    size_t n = rc == 0 ? json_len(adapters_of(job)) : 0;
    if (rc == 0) {
        fresh->of = hash_of(adapters_of(job));
        json_free(job);
        struct json *all = json_new_object();
        rc = all ? api_options(checked, all, err) : err_set(err, ERR_NOMEM, "out of memory");
        const struct json *list = json_get(all, "lora");
        for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
            int64_t id = json_int(json_get(json_at(list, i), "id"));
            if (id >= (int64_t)n)
                rc = err_set(err, ERR_ARG, "there is no adapter %lld: the model '%.100s' was made with %zu (hearth create makes "
                             "one with adapters)", (long long)id, m.name, n);
            else fresh->v[id] = json_num(json_get(json_at(list, i), "scale"));
        }
        json_free(all);
    }
    json_free(checked);
    if (rc == 0 && n) {
        fmt_into(fresh->model, sizeof fresh->model, "%s", m.name);
        lock_take(&s->models);
        size_t at = 0;
        while (at < SCALES_KNOWN && !(s->scales[at] && !strcmp(s->scales[at]->model, m.name))) at++;
        if (at == SCALES_KNOWN) at = s->n_scales++ % SCALES_KNOWN;
        struct known_scales *old = s->scales[at];
        s->scales[at] = fresh;
        fresh = old;
        lock_give(&s->models);
    }
    mem_free(fresh);
    return rc;
}

/* ---- jobs ---- */

int server_put_model(struct server *s, const char *name, struct server_model *out, struct json *job, struct err *err)
{
    struct buf brings = { 0 };
    int rc = find(s, name, out, &brings, err);
    if (rc == 0) rc = brings_put(&brings, job, err);
    buf_release(&brings);
    if (rc == 0) feed_name(&s->feed, out->path, out->name);
    if (rc == 0 && !put_scales(s, out->name, job)) rc = err_set(err, ERR_NOMEM, "out of memory for the request");
    if (rc < 0) return rc;
    /* The name may lie in the job: last. */
    return json_put(job, "model", json_new_str(out->path, strlen(out->path)))
           ? 0 : err_set(err, ERR_NOMEM, "out of memory for the request");
}

int server_models(struct server *s, struct found_list *out, struct err *err)
{
    lock_take(&s->models);
    int rc = store_find(&s->store, out, err);
    lock_give(&s->models);
    return rc;
}

void server_facts(struct server *s, const struct found *f, struct facts *out)
{
    lock_take(&s->models);
    store_facts(&s->store, f, out);
    lock_give(&s->models);
}

void server_models_changed(struct server *s)
{
    lock_take(&s->models);
    for (size_t i = 0; i < MODELS_KNOWN; i++) buf_release(&s->known[i].brings);
    memset(s->known, 0, sizeof s->known);
    lock_give(&s->models);
    feed_say(&s->feed, "*", "models_reload", "{}");
}
