/* Removing: models, and what nobody needs; and looking whether files are still what they were. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "store/download.h"
#include "store/store.h"

/* ---- what is needed ---- */

/* The digests that manifests of ours name, sorted. */
struct needs { char (*hex)[SHA256_HEX + 1]; size_t n, cap; };

static int by_text(const void *a, const void *b) { return strcmp(a, b); }

static int add_need(struct needs *v, const char *hex, struct err *err)
{
    if (v->n == v->cap) {
        size_t cap = v->cap ? 2 * v->cap : 256;
        char (*p)[SHA256_HEX + 1] = mem_resize(v->hex, cap, sizeof *p);
        if (!p) return err_set(err, ERR_NOMEM, "out of memory for the digests");
        v->hex = p;
        v->cap = cap;
    }
    memcpy(v->hex[v->n++], hex, SHA256_HEX + 1);
    return 0;
}

/* Of all models but that of this manifest (NULL: of all); files that lie elsewhere need no blob. */
static int find_needs(const struct store *s, const struct found_list *l, const char *but, struct needs *v, struct err *err)
{
    int rc = 0;
    *v = (struct needs){ 0 };
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        struct manifest m;
        if (!l->v[i].ours || !l->v[i].manifest || (but && !strcmp(l->v[i].manifest, but))) continue;
        if ((rc = store_read_manifest(l->v[i].manifest, &m, NULL, err)) < 0) break;
        const struct layer *view = manifest_in_place(&m) ? NULL : manifest_find(&m, LAYER_MODEL);      /* has that name */
        for (size_t k = 0; rc == 0 && k < m.n; k++)
            if (!m.layer[k].path || &m.layer[k] == view || !strncmp(m.layer[k].path, s->root, strlen(s->root)))
                rc = add_need(v, m.layer[k].digest, err);
        manifest_release(&m);
    }
    if (v->n) qsort(v->hex, v->n, sizeof *v->hex, by_text);
    return rc;
}

static bool is_needed(const struct needs *v, const char *hex)
{
    size_t lo = 0, hi = v->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int d = strcmp(v->hex[mid], hex);
        if (!d) return true;
        if (d < 0) lo = mid + 1;
        else hi = mid;
    }
    return false;
}

/* What a manifest that cannot be read needs is not known, so nothing may go. */
static int check_unread(const struct store *s, const struct found_list *l, struct err *err)
{
    struct buf names = { 0 };
    if (!l->n_unread) return 0;
    for (size_t i = 0; i < l->n_unread && i < FOUND_UNREAD; i++)
        buf_printf(&names, "%s%s", i ? ", " : "", l->unread[i] ? l->unread[i] + strlen(s->root) + 1 : "?");
    int rc = err_set(err, ERR_FORMAT, "%zu damaged manifests in %s may need its files: %.260s; pull those models again, or "
                     "remove these files, or keep all (hearth rm --keep-files)", l->n_unread, s->root,
                     names.data ? names.data : "");
    buf_release(&names);
    return rc;
}

/* ---- removing a model ---- */

static bool remove_file(const char *path, uint64_t *freed)
{
    struct fs_info info;
    if (!fs_info(path, &info)) return true;
    os_file_remove(path);
    if (os_file_exists(path)) return false;
    *freed += info.size;
    return true;
}

struct view { const struct store *s; char path[STORE_PATH]; bool remove; uint64_t size; };

static int view_entry(void *arg, const char *name, struct err *err)
{
    struct view *v = arg;
    char path[STORE_PATH];
    (void)err;
    if (strlen(v->path) + strlen(name) + 2 > sizeof path) return 0;
    fmt_into(path, sizeof path, "%s/%s", v->path, name);
    if (v->remove && fs_is_link(path)) os_file_remove(path);
    return 0;
}

static void remove_view(const struct store *s, const char *hex)
{
    struct view v = { .s = s, .remove = true };
    if (!store_path(s, v.path, "views", hex)) return;
    fs_list(v.path, view_entry, &v, NULL);
    fs_remove_folder(v.path);
}

/* gone: the manifest that is there no more, though l has it. */
static int remove_files(struct store *s, const struct found_list *l, const char *gone, const struct manifest *m,
                        struct removal *r, struct err *err)
{
    struct needs v;
    char path[STORE_PATH];
    int rc = find_needs(s, l, gone, &v, err);
    for (size_t i = 0; rc == 0 && i < m->n; i++) {
        const struct layer *f = &m->layer[i];
        if (is_needed(&v, f->digest)) continue;
        if (f->kind == LAYER_MODEL) remove_view(s, f->digest);
        if (f->path || !store_blob_path(s, path, f->digest)) continue;
        download_forget(path);
        if (!remove_file(path, &r->freed)) rc = err_set(err, ERR_IO, "%s: cannot be removed", path);
    }
    mem_free(v.hex);
    return rc;
}

/* For good, before the files that it names go. */
static int remove_manifest(const char *path, struct err *err)
{
    char folder[STORE_PATH];
    os_file_remove(path);
    if (os_file_exists(path)) return err_set(err, ERR_IO, "%s: cannot be removed", path);
    fmt_into(folder, sizeof folder, "%.*s", (int)(strrchr(path, '/') - path), path);
    return fs_sync_folder(folder, err);
}

int store_remove(struct store *s, const struct found_list *l, size_t at, struct removal *r, struct err *err)
{
    const struct found *f = &l->v[at];
    struct found_list now = { 0 };
    struct manifest m = { 0 };
    struct fs_file *lock = NULL;
    r->freed = 0;
    r->deferred = false;
    if (!f->ours || !f->manifest)
        return err_set(err, ERR_ARG, "%s belongs to %s; remove it there: %s", f->name, f->owner, f->path);
    int rc = store_read_manifest(f->manifest, &m, NULL, err);
    if (rc == 0 && !r->keep) rc = store_lock_alone(s, &lock, err);
    /* Looked at again: until there was the lock, others may have come that need its files. */
    if (rc == 0 && !r->keep) rc = store_find_ours(s, &now, err);
    if (rc == 0 && (rc = check_unread(s, &now, err)) < 0) err_prefix(err, rc, "%s: ", f->name);
    r->deferred = rc == 0 && !r->keep && !lock;
    if (rc == 0) rc = remove_manifest(f->manifest, err);
    if (rc == 0 && lock) rc = remove_files(s, &now, f->manifest, &m, r, err);
    fs_file_close(lock);
    found_release(&now);
    manifest_release(&m);
    return rc;
}

/* ---- what nobody needs ---- */

struct sweep {
    struct store *s;
    const struct gc_options *o;
    const struct needs *needs;
    char path[STORE_PATH];
    unsigned depth;                        /* of folders of manifests */
};

static void take(struct sweep *w, enum garbage_kind kind, const char *path, uint64_t size)
{
    const struct garbage g = { kind, path, size };
    if (w->o->fn) w->o->fn(w->o->arg, &g);
    if (!w->o->remove) return;
    if (kind == GARBAGE_VIEW) remove_view(w->s, strrchr(path, '/') + 1);
    else os_file_remove(path);
}

static int blob_entry(void *arg, const char *name, struct err *err)
{
    struct sweep *w = arg;
    char path[STORE_PATH], hex[SHA256_HEX + 1], stem[SHA256_HEX + 16];
    const char *end = name_ends_with(name, ".map") ? name + strlen(name) - 4 : "";       /* what mends a blob goes with it */
    struct fs_info info;
    (void)err;
    fmt_into(stem, sizeof stem, "%.*s", (int)(*end ? end - name : (long)strlen(name)), name);
    if (!store_path(w->s, path, "blobs", name) || !fs_info(path, &info) || !info.regular) return 0;
    bool part = name_ends_with(name, ".part") || name_ends_with(name, ".part.map");
    if (strstr(name, ".tmp-")) take(w, GARBAGE_TEMPORARY, path, info.size);
    else if (part && w->o->downloads) take(w, GARBAGE_DOWNLOAD, path, info.size);
    else if (!strncmp(name, "sha256-", 7) && digest_parse(stem, hex) && !is_needed(w->needs, hex))
        take(w, *end ? GARBAGE_TEMPORARY : GARBAGE_BLOB, path, info.size);
    return 0;
}

static int views_entry(void *arg, const char *name, struct err *err)
{
    struct sweep *w = arg;
    char path[STORE_PATH];
    (void)err;
    if (sha256_is_hex(name, strlen(name)) && !is_needed(w->needs, name) && store_path(w->s, path, "views", name))
        take(w, GARBAGE_VIEW, path, 0);
    return 0;
}

/* What was left of manifests that were being written. */
static int manifest_entry(void *arg, const char *name, struct err *err)
{
    struct sweep *w = arg;
    size_t n = strlen(w->path);
    struct fs_info info;
    int rc = 0;
    if (n + strlen(name) + 2 > STORE_PATH) return 0;
    fmt_into(w->path + n, STORE_PATH - n, "/%s", name);
    if (fs_info(w->path, &info) && info.folder && w->depth < 4) {
        w->depth++;
        rc = fs_list(w->path, manifest_entry, w, err);
        w->depth--;
    } else if (info.regular && strstr(name, ".tmp-"))
        take(w, GARBAGE_TEMPORARY, w->path, info.size);
    w->path[n] = 0;
    return rc;
}

static int sweep(struct sweep *w, struct err *err)
{
    char path[STORE_PATH];
    if (!store_path(w->s, path, "blobs", NULL) || !store_path(w->s, w->path, "manifests", NULL))
        return err_set(err, ERR_LIMIT, "the path of the store is too long");
    int rc = fs_list(path, blob_entry, w, err);
    if (rc == 0) rc = fs_list(w->path, manifest_entry, w, err);
    if (rc == 0 && store_path(w->s, path, "views", NULL)) rc = fs_list(path, views_entry, w, err);
    return rc;
}

int store_gc(struct store *s, const struct gc_options *o, struct err *err)
{
    struct found_list l = { 0 };
    struct needs v = { 0 };
    struct fs_file *lock;
    int rc = store_lock_alone(s, &lock, err);
    if (rc == 0 && !lock)
        return err_set(err, ERR_LIMIT, "a model is being added to %s at this moment; try again when that is done", s->root);
    if (rc == 0) rc = store_find_ours(s, &l, err);
    if (rc == 0) rc = check_unread(s, &l, err);
    if (rc == 0) rc = find_needs(s, &l, NULL, &v, err);
    struct sweep w = { .s = s, .o = o, .needs = &v };
    if (rc == 0) rc = sweep(&w, err);
    mem_free(v.hex);
    found_release(&l);
    fs_file_close(lock);
    return rc;
}

/* ---- whether files are what they were ---- */

struct check { struct store *s; const struct verify_options *o; size_t *bad; };

static int check_file(void *arg, const struct model_file *m, struct err *err)
{
    struct check *c = arg;
    char hex[SHA256_HEX + 1] = "";
    struct fs_info info;
    struct facts x = { 0 };
    struct verified v = { .path = m->path, .title = m->title, .want = m->digest, .found = hex, .size = m->size, .ours = m->ours };
    bool there = fs_info(m->path, &info) && info.regular;
    int rc = 0;
    if (there && !*m->digest && index_get(store_index(c->s), m->path, &info, &x)) v.want = x.digest;
    if (!there) v.state = VERIFY_MISSING;
    else if (*m->digest && info.size != m->size) v.state = VERIFY_SIZE;
    else {
        v.size = info.size;
        if ((rc = sha256_file(m->path, hex, c->o->progress, c->o->arg, err)) < 0) return rc;
        v.state = !*v.want ? VERIFY_UNKNOWN : strcmp(v.want, hex) ? VERIFY_WRONG : VERIFY_GOOD;
    }
    if (v.state == VERIFY_UNKNOWN) rc = store_digest(c->s, m->path, hex, NULL, NULL, err);       /* the next time there is one */
    *c->bad += v.state == VERIFY_WRONG || v.state == VERIFY_SIZE || v.state == VERIFY_MISSING;
    if (c->o->fn) c->o->fn(c->o->arg, &v);
    return rc;
}

int store_verify(struct store *s, const struct found *f, const struct verify_options *o, size_t *bad, struct err *err)
{
    struct check c = { s, o, bad };
    *bad = 0;
    return store_each_file(f, check_file, &c, err);
}
