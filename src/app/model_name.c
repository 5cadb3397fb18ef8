#include "app/model_name.h"

#include <string.h>

#include "app/args.h"
#include "base/os.h"

struct near { const struct found_list *l; };

static const char *next_name(const void *arg, size_t i)
{
    const struct near *n = arg;
    return i < n->l->n ? n->l->v[i].name : NULL;
}

/* What can be done about a model that is not here. */
static int missing(const struct found_list *l, const struct name *n, const char *operand, struct err *err)
{
    struct near near = { l };
    const char *meant = args_nearest(operand, next_name, &near);
    if (meant)
        return err_set(err, ERR_NOTFOUND, "\"%.200s\": no model of that name is on this machine; did you mean %s?", operand,
                       meant);
    if (n->kind == NAME_PATH) return err_set(err, ERR_NOTFOUND, "%.300s: No such file or directory", operand);
    return err_set(err, ERR_NOTFOUND, "\"%.200s\": no model of that name is on this machine; `hearth pull %.200s` fetches it, "
                   "`hearth list` shows what is here", operand, operand);
}

static int of_found(const struct found *f, char path[STORE_PATH], struct err *err)
{
    fmt_into(path, STORE_PATH, "%s", f->path);
    if (!f->broken) return 0;
    return err_set(err, ERR_NOTFOUND, "%s (%s): a file of it is missing or has another size: %.200s; %s", f->name, f->owner,
                   f->path, f->ours ? "pull it again" : "the program that keeps it can fetch it again");
}

int model_find(struct store *s, const char *operand, struct found_list *l, size_t *at, char path[STORE_PATH], struct err *err)
{
    struct name n;
    *l = (struct found_list){ 0 };
    *at = SIZE_MAX;
    if (strlen(operand) < STORE_PATH && os_file_exists(operand)) {
        fmt_into(path, STORE_PATH, "%s", operand);
        return 0;
    }
    int rc = name_parse(&n, operand, err);
    if (rc < 0) return rc;
    if (n.kind == NAME_PATH) {
        if (!store_expand(path, n.text)) return err_set(err, ERR_LIMIT, "the path is too long");
        if (os_file_exists(path) || strchr(n.text, '/') || strcmp(n.text, operand)) return 0;
    }
    if ((rc = store_find(s, l, err)) < 0) return rc;
    if (store_resolve(l, &n, operand, at, err) < 0)
        return err && err->code == ERR_ARG ? err->code : missing(l, &n, operand, err);
    return of_found(&l->v[*at], path, err);
}

int model_path(const char *operand, char path[STORE_PATH], struct err *err)
{
    struct store s;
    struct found_list l = { 0 };
    size_t at;
    if (strlen(operand) < STORE_PATH && os_file_exists(operand)) {        /* needs no store */
        fmt_into(path, STORE_PATH, "%s", operand);
        return 0;
    }
    int rc = store_open(&s, err);
    if (rc < 0) return rc;
    rc = model_find(&s, operand, &l, &at, path, err);
    found_release(&l);
    store_close(&s);
    return rc;
}

int named_model_open(struct hearth_model **out, const char *operand, const struct hearth_model_options *o,
                     struct hearth_error *e)
{
    char path[STORE_PATH];
    struct err err = { 0 };
    *out = NULL;
    if (model_path(operand, path, &err) == 0) return hearth_model_open(out, path, o, e);
    e->code = err.code;
    fmt_into(e->message, sizeof e->message, "%s", err.msg);
    return err.code;
}

int named_file_open(struct gguf **out, const char *operand, struct err *err)
{
    char path[STORE_PATH];
    *out = NULL;
    int rc = model_path(operand, path, err);
    return rc < 0 ? rc : model_file_open(out, path, err);
}

int named_gguf_open(struct gguf **out, const char *operand, struct err *err)
{
    char path[STORE_PATH];
    *out = NULL;
    int rc = model_path(operand, path, err);
    return rc < 0 ? rc : gguf_open(out, path, err);
}
