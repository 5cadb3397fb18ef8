#include "server/api_models.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"

void api_put_params(uint64_t n, struct buf *out)
{
    if (n >= 1000000000) buf_printf(out, "%.1fB", (double)n / 1e9);
    else if (n >= 1000000) buf_printf(out, "%.2fM", (double)n / 1e6);
    else if (n) buf_printf(out, "%.2fK", (double)n / 1e3);
}

const char *api_model_format(const struct api_model *m)
{
    return !m->embedded && os_is_folder(m->path) ? "safetensors" : "gguf";
}

static void name_by_path(struct api_model *m)
{
    if (!m->id[0] && sha256_bytes(m->path, strlen(m->path), m->id, NULL) < 0) m->id[0] = 0;
}

static void from_found(struct server *s, const struct found *f, struct api_model *m)
{
    *m = (struct api_model){ .name = f->name, .owner = f->owner, .path = f->path, .size = f->size, .mtime = f->mtime,
                             .ours = f->ours, .found = f };
    fmt_into(m->id, sizeof m->id, "%s", f->id[0] ? f->id : f->digest);
    server_facts(s, f, &m->facts);
    name_by_path(m);
}

/* A file outside the store, or the embedded model. */
static void from_server(struct server *s, const struct server_model *of, struct api_model *m)
{
    struct fs_info info = { 0 };
    struct found f = { .name = of->name, .owner = "file", .path = of->path, .file = "", .files = 1 };
    *m = (struct api_model){ .name = of->name, .owner = "hearth", .path = of->path, .embedded = of->embedded };
    name_by_path(m);
    if (of->embedded) {
        m->facts = server_options(s)->embedded;
        m->size = server_options(s)->embedded_bytes;
        return;
    }
    if (fs_info(of->path, &info)) {
        m->size = f.size = info.regular ? info.size : 0;
        m->mtime = f.mtime = info.mtime;
    }
    server_facts(s, &f, &m->facts);
}

static int newer(const void *a, const void *b)
{
    const struct found *x = *(const struct found *const *)a, *y = *(const struct found *const *)b;
    if (x->mtime != y->mtime) return x->mtime < y->mtime ? 1 : -1;
    return strcmp(x->name, y->name);
}

static bool has_path(const struct found_list *l, const char *path)
{
    for (size_t i = 0; i < l->n; i++)
        if (!strcmp(l->v[i].path, path)) return true;
    return false;
}

int api_models_each(struct server *s, api_model_fn *fn, void *arg, struct err *err)
{
    struct found_list l = { 0 };
    struct server_model own;
    struct api_model m;
    int rc = server_models(s, &l, err);
    const struct found **order = rc == 0 && l.n ? mem_new(l.n, sizeof *order) : NULL;
    if (rc == 0 && l.n && !order) rc = err_set(err, ERR_NOMEM, "out of memory for the list of models");
    if (rc == 0) {
        if (server_resolve(s, NULL, &own, NULL) == 0 && !own.embedded && !has_path(&l, own.path)) {
            from_server(s, &own, &m);
            fn(arg, &m);
        }
        for (size_t i = 0; i < l.n; i++) order[i] = &l.v[i];
        if (l.n) qsort(order, l.n, sizeof *order, newer);
        for (size_t i = 0; i < l.n; i++) {
            if (order[i]->broken) continue;
            from_found(s, order[i], &m);
            fn(arg, &m);
        }
        if (server_resolve(s, "spark", &own, NULL) == 0 && own.embedded) {
            from_server(s, &own, &m);
            fn(arg, &m);
        }
    }
    mem_free(order);
    found_release(&l);
    return rc;
}

int api_models_one(struct server *s, const char *name, api_model_fn *fn, void *arg, struct err *err)
{
    struct server_model one;
    struct found_list l = { 0 };
    struct api_model m;
    int rc = server_resolve(s, name, &one, err);
    if (rc == 0 && !one.embedded) rc = server_models(s, &l, err);
    if (rc == 0) {
        from_server(s, &one, &m);
        for (size_t i = 0; i < l.n; i++)
            if (!strcmp(l.v[i].path, one.path) && !strcmp(l.v[i].name, one.name)) from_found(s, &l.v[i], &m);
        fn(arg, &m);
    }
    found_release(&l);
    return rc;
}
