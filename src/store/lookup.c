#include <string.h>

#include "base/mem.h"
#include "base/near.h"
#include "base/os.h"
#include "store/store.h"

struct near { char (*stem)[NAME_PART + 1]; size_t n; };

static const char *next_stem(const void *arg, size_t i)
{
    const struct near *n = arg;
    return i < n->n ? n->stem[i] : NULL;
}

/* A tag that nobody typed does not make a name another one. */
const char *store_nearest(const struct found_list *l, const char *text)
{
    struct near near = { mem_new(l->n + 1, sizeof *near.stem), l->n };
    const char *colon = strrchr(text, ':'), *found;
    if (!near.stem) return NULL;
    for (size_t i = 0; i < l->n; i++) {
        const char *name = l->v[i].name, *tag = strrchr(name, ':');
        size_t n = colon || !tag ? strlen(name) : (size_t)(tag - name);
        fmt_into(near.stem[i], sizeof near.stem[i], "%.*s", (int)n, name);
    }
    found = near_find(text, next_stem, &near);
    const char *name = found ? l->v[(size_t)(found - near.stem[0]) / sizeof *near.stem].name : NULL;
    mem_free(near.stem);
    return name;
}

/* What can be done about a model that is not here. */
static int missing(const struct found_list *l, const struct name *n, const char *operand, struct err *err)
{
    const char *meant = store_nearest(l, operand);
    if (meant)
        return err_set(err, ERR_NOTFOUND, "\"%.200s\": no model of that name is on this machine; did you mean %s?", operand,
                       meant);
    if (n->kind == NAME_PATH) return err_set(err, ERR_NOTFOUND, "%.300s: No such file or directory", operand);
    return err_set(err, ERR_NOTFOUND, "\"%.200s\": no model of that name is on this machine; `hearth pull %.200s` fetches it, "
                   "`hearth list` shows what is here", operand, operand);
}

static int find_lost(void *arg, const struct model_file *m, struct err *err)
{
    struct fs_info info;
    (void)err;
    if (!*(char *)arg && (!fs_info(m->path, &info) || info.size != m->size)) fmt_into(arg, STORE_PATH, "%s", m->path);
    return 0;
}

static int of_found(const struct found *f, char path[STORE_PATH], struct err *err)
{
    fmt_into(path, STORE_PATH, "%s", f->path);
    if (!f->broken) return 0;
    char lost[STORE_PATH] = "";
    store_each_file(f, find_lost, lost, NULL);
    if (f->ours)
        return err_set(err, ERR_NOTFOUND, "%s: a file of it is missing or has another size: %.300s; `hearth pull %s` fetches it",
                       f->name, *lost ? lost : f->path, f->name);
    return err_set(err, ERR_NOTFOUND, "%s (%s): a file of it is missing or has another size: %.300s; the program that keeps it "
                   "can fetch it again", f->name, f->owner, *lost ? lost : f->path);
}

int store_lookup(struct store *s, const char *text, struct found_list *l, size_t *at, char path[STORE_PATH], struct err *err)
{
    struct name n;
    *l = (struct found_list){ 0 };
    *at = SIZE_MAX;
    if (strlen(text) < STORE_PATH && os_file_exists(text)) {
        fmt_into(path, STORE_PATH, "%s", text);
        return 0;
    }
    int rc = name_parse(&n, text, err);
    if (rc < 0) return rc;
    if (n.kind == NAME_PATH) {
        if (!store_expand(path, n.text)) return err_set(err, ERR_LIMIT, "the path is too long");
        if (os_file_exists(path) || strchr(n.text, '/') || strcmp(n.text, text)) return 0;
    }
    if ((rc = store_find(s, l, err)) < 0) return rc;
    if (store_resolve(l, &n, text, at, err) < 0)
        return err && err->code == ERR_ARG ? err->code : missing(l, &n, text, err);
    return of_found(&l->v[*at], path, err);
}
