/* Blobs of ours that went bad are fetched again. */
#include <string.h>

#include "base/mem.h"
#include "store/download.h"
#include "store/pull.h"

/* The file of the plan that is the blob; small files of the hub have no digest there, so their names count. */
static struct pull_item *item_of(struct pull *p, const struct bad_blob *b)
{
    for (size_t i = 0; i < p->n; i++) {
        struct pull_item *it = &p->item[i];
        const char *title = it->layer.title;
        bool named = !it->layer.digest[0] && title && !strcmp(title, b->title) && it->layer.size == b->size;
        if (named) fmt_into(it->layer.digest, sizeof it->layer.digest, "%s", b->digest);
        if (!strcmp(it->layer.digest, b->digest)) return it;
    }
    return NULL;
}

/* Registries have blobs by their digests, also those that no manifest names any more. */
static int by_digest(struct pull *p, const struct bad_blob *b, struct pull_item *it, struct err *err)
{
    char url[FETCH_URL];
    if (p->name.kind != NAME_REGISTRY)
        return err_set(err, ERR_NOTFOUND, "%s/%s/%s has another version of it now; `hearth pull` fetches that", p->name.host,
                       p->name.space, p->name.model);
    fmt_into(url, sizeof url, "%s/v2/%s/%s/blobs/sha256:%s", p->base, p->name.space, p->name.model, b->digest);
    *it = (struct pull_item){ .layer = { .kind = LAYER_OTHER, .size = b->size, .type = layer_type(LAYER_MODEL) },
                              .url = arena_strdup(&p->arena, url, strlen(url)) };
    fmt_into(it->layer.digest, sizeof it->layer.digest, "%s", b->digest);
    return it->url ? 0 : err_set(err, ERR_NOMEM, "out of memory for the plan");
}

static int fetch_again(struct pull *p, const struct bad_blob *b, struct err *err)
{
    char path[STORE_PATH];
    struct pull_item it;
    int rc = pull_plan(p, err);
    if (rc < 0) return rc;
    struct pull_item *in_plan = item_of(p, b);
    if (in_plan) it = *in_plan;
    else if ((rc = by_digest(p, b, &it, err)) < 0) return rc;
    it.git[0] = 0;                                              /* there is a better digest */
    if (!store_blob_path(p->store, path, b->digest)) return err_set(err, ERR_LIMIT, "the path of the store is too long");
    if ((rc = download_reopen(path, b->size, err)) < 0) return rc;
    p->item = &it;
    p->n = 1;
    p->total = b->size;
    return pull_items(p, err);
}

static int from(struct store *s, const struct name *n, const struct bad_blob *b, const struct pull_options *o, struct err *err)
{
    struct pull p = { .store = s, .o = o, .name = *n };
    int rc = n->kind == NAME_REGISTRY || n->kind == NAME_HUB ? store_lock_shared(s, &p.lock, err)
                                                             : err_set(err, ERR_NOTFOUND, "it was not fetched by its name");
    if (rc == 0) rc = fetch_open(&p.fetch, err);
    if (rc == 0) rc = fetch_again(&p, b, err);
    pull_release(&p);
    return rc;
}

static bool names_blob(const struct found *f, const char *digest)
{
    struct manifest m;
    bool has = false;
    if (!f->ours || !f->manifest || store_read_manifest(f->manifest, &m, NULL, NULL) < 0) return false;
    for (size_t i = 0; i < m.n; i++) has = has || (!m.layer[i].path && !strcmp(m.layer[i].digest, digest));
    manifest_release(&m);
    return has;
}

int pull_repair(struct store *s, const struct found *f, const struct bad_blob *b, const struct pull_options *o, struct err *err)
{
    struct found_list l = { 0 };
    struct err other;
    int rc = from(s, &f->parsed, b, o, err);
    if (rc == 0 || rc == ERR_CANCELLED || store_find_ours(s, &l, &other) < 0) return rc;
    for (size_t i = 0; rc < 0 && rc != ERR_CANCELLED && i < l.n; i++) {
        if (!strcmp(l.v[i].name, f->name) || !names_blob(&l.v[i], b->digest)) continue;
        if (from(s, &l.v[i].parsed, b, o, &other) == 0) rc = 0;
        else if (other.code == ERR_CANCELLED) rc = ERR_CANCELLED;
    }
    found_release(&l);
    return rc;
}
