/* Files that are here already: what somebody else has downloaded need not be fetched, only looked at. */
#include <string.h>

#include "store/pull.h"

struct look {
    struct pull *p;
    struct pull_item *it;
    const char *owner;
    bool known;                            /* only files that are said to have the digest; then those that say nothing */
};

static int take(struct look *k, const char *path, struct err *err)
{
    k->it->layer.path = arena_strdup(&k->p->arena, path, strlen(path));
    return k->it->layer.path ? 0 : err_set(err, ERR_NOMEM, "out of memory for the plan");
}

static int try_file(void *arg, const struct model_file *m, struct err *err)
{
    struct look *k = arg;
    const struct layer *l = &k->it->layer;
    struct store *s = k->p->store;
    char hex[SHA256_HEX + 1];
    struct fs_info info;
    struct facts x = { 0 };
    if (l->path || m->ours || !fs_info(m->path, &info) || !info.regular || info.size != l->size) return 0;
    const char *said = m->digest;
    if (!*said && index_get(store_index(s), m->path, &info, &x)) said = x.digest;
    if (k->known ? strcmp(said, l->digest) != 0 : *said != 0) return 0;
    /* What a name says is not believed: a file that is run in the place of a verified one is verified like it. */
    int rc = store_digest_again(s, m->path, hex, k->p->o->compare, k->p->o->arg, err);
    if (rc == ERR_CANCELLED || rc == ERR_NOMEM) return rc;
    if (rc < 0 || strcmp(hex, l->digest)) return 0;
    rc = take(k, m->path, err);
    if (rc == 0 && k->p->o->in_place)
        k->p->o->in_place(k->p->o->arg, l->title ? l->title : l->digest, m->path, k->owner);
    return rc;
}

/* An older manifest of this name may say so already: then the file is not read once more, unless it has changed. */
static int from_before(struct pull *p, struct pull_item *it, const struct manifest *m, struct err *err)
{
    for (size_t i = 0; i < m->n; i++) {
        const struct layer *l = &m->layer[i];
        struct fs_info info;
        struct facts x;
        if (!l->path || strcmp(l->digest, it->layer.digest) || !fs_info(l->path, &info) || info.size != it->layer.size) continue;
        if (!index_get(store_index(p->store), l->path, &info, &x) || strcmp(x.digest, l->digest)) continue;
        struct look k = { .p = p, .it = it };
        return take(&k, l->path, err);
    }
    return 0;
}

static int look_everywhere(struct pull *p, struct pull_item *it, const struct found_list *l, struct err *err)
{
    int rc = 0;
    for (int known = 1; known >= 0; known--)
        for (size_t i = 0; rc == 0 && !it->layer.path && i < l->n; i++) {
            struct look k = { p, it, l->v[i].owner, known };
            rc = store_each_file(&l->v[i], try_file, &k, err);
            if (rc < 0 && rc != ERR_CANCELLED && rc != ERR_NOMEM) rc = 0;         /* a manifest that cannot be read */
        }
    return rc;
}

int pull_in_place(struct pull *p, struct err *err)
{
    struct found_list l = { 0 };
    struct manifest m = { 0 };
    char path[STORE_PATH];
    bool listed = false;
    int rc = 0;
    if (p->o->own) return 0;
    if (store_manifest_path(p->store, &p->name, path, NULL) == 0) store_read_manifest(path, &m, NULL, NULL);
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        struct pull_item *it = &p->item[i];
        enum layer_kind kind = it->layer.kind;
        bool weights = kind == LAYER_MODEL || kind == LAYER_PROJECTOR || kind == LAYER_ADAPTER || kind == LAYER_DRAFT;
        if (!weights || !it->layer.digest[0] || pull_has(p, it)) continue;
        rc = from_before(p, it, &m, err);
        if (rc < 0 || it->layer.path) continue;
        if (!listed) rc = store_find(p->store, &l, err);
        listed = true;
        if (rc == 0) rc = look_everywhere(p, it, &l, err);
    }
    found_release(&l);
    manifest_release(&m);
    return rc;
}
