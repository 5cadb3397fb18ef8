/* models.c - names of models as requests give them; answers are remembered for a while. */
#include <string.h>

#include "base/mem.h"
#include "server/http_impl.h"
#include "text/template.h"

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
    const char *file = strrchr(own, '/') ? strrchr(own, '/') + 1 : own;
    size_t n = strlen(file);
    if (n > 5 && name_ends_with(file, ".gguf")) n -= 5;
    return !strcmp(name, own) || !strcmp(name, file) || (strlen(name) == n && !memcmp(name, file, n));
}

static int of_file(const struct server *s, struct server_model *out, struct err *err)
{
    const char *own = s->o.model, *file = strrchr(own, '/') ? strrchr(own, '/') + 1 : own;
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

static int of_store(struct server *s, const char *text, struct server_model *out, struct parts *parts, struct err *err)
{
    struct name n;
    struct found_list l = { 0 };
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
        rc = store_parts(&l.v[at], parts, err);
    }
    found_release(&l);
    return rc;
}

static bool remembered(struct server *s, const char *name, struct server_model *out)
{
    for (size_t i = 0; i < MODELS_KNOWN; i++) {
        struct known_model *k = &s->known[i];
        struct fs_info now;
        if (!k->at || strcmp(k->asked, name) || os_now_ns() - k->at > GOOD_FOR_NS) continue;
        if (!fs_info(k->model.path, &now) || now.size != k->file.size || now.mtime != k->file.mtime) continue;
        *out = k->model;
        return true;
    }
    return false;
}

static void remember(struct server *s, const char *name, const struct server_model *m, const struct parts *parts)
{
    size_t oldest = 0;
    struct fs_info file;
    if (!fs_info(m->path, &file)) return;
    for (size_t i = 0; i < MODELS_KNOWN; i++) {
        if (s->known[i].at < s->known[oldest].at) oldest = i;
        if (s->known[i].at && !strcmp(s->known[i].asked, name)) {
            oldest = i;
            break;
        }
    }
    struct known_model *k = &s->known[oldest];
    const char *t = parts->template;
    mem_free(k->template);
    *k = (struct known_model){ .model = *m, .file = file, .at = os_now_ns() };
    if (t && *t && !(k->template = mem_strdup(t, strlen(t)))) k->at = 0;        /* read again next time */
    k->own_template = t && (parts->own_template || !template_is_go(t, strlen(t)));
    fmt_into(k->asked, sizeof k->asked, "%s", name);
}

int server_resolve(struct server *s, const char *name, struct server_model *out, struct err *err)
{
    bool own = !name || !*name;
    if (own && !s->o.model) {
        embedded(out);
        return 0;
    }
    if (own) name = s->o.model;
    if (strlen(name) >= SERVER_MODEL_NAME) return err_set(err, ERR_ARG, "the name of the model is too long");
    if (is_own_file(s, name)) return of_file(s, out, err);
    if (is_embedded(name)) {
        embedded(out);
        return 0;
    }
    struct parts parts = { .n_license = 0 };
    lock_take(&s->models);
    int rc = 0;
    if (!remembered(s, name, out)) {
        rc = of_store(s, name, out, &parts, err);
        if (rc == 0) remember(s, name, out, &parts);
    }
    lock_give(&s->models);
    parts_release(&parts);
    return rc;
}

bool server_put_model(struct server *s, const char *name, const struct server_model *m, struct json *job)
{
    bool ok = true;
    if (!name || !*name) name = s->o.model;
    lock_take(&s->models);
    for (size_t i = 0; ok && name && i < MODELS_KNOWN; i++) {
        const struct known_model *k = &s->known[i];
        if (!k->at || !k->template || strcmp(k->asked, name) || strcmp(k->model.path, m->path)) continue;
        struct json *load = json_get(job, "load");
        if (json_type(load) != JSON_OBJECT && !json_put(job, "load", load = json_new_object())) ok = false;
        ok = ok && json_put(load, k->own_template ? "chat_template" : "spare_template",
                            json_new_str(k->template, strlen(k->template)));
        break;
    }
    lock_give(&s->models);
    return ok && json_put(job, "model", json_new_str(m->path, strlen(m->path)));      /* the name may lie in the job: last */
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
    for (size_t i = 0; i < MODELS_KNOWN; i++) mem_free(s->known[i].template);
    memset(s->known, 0, sizeof s->known);
    lock_give(&s->models);
}
