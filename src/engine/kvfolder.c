/* kvfolder.c - past texts in a folder of files (kvfile.h): saving a session's, finding the one that a new text has most in
 * common with, and keeping the folder small. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/engine.h"
#include "engine/kvfile.h"

/* ---- which model it is ---- */

/* Of each tensor its name, shape and some bytes here and there; of the other keys the numbers.  A file of gigabytes is told from
 * others without being read. */
static uint64_t compute_digest(const struct hearth_model *m)
{
    const struct gguf *g = m->gguf;
    uint64_t h = hash_add(HASH_START, &m->rope, sizeof m->rope);
    for (size_t i = 0; i < gguf_n_kv(g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(g, i);
        h = hash_add(h, kv->key.s, kv->key.n);
        for (uint64_t k = 0; k < kv->count && k < 4096; k++) {
            float f = 0;
            int64_t v = 0;
            if (gguf_item_i64(kv, k, &v)) h = hash_add(h, &v, sizeof v);
            else if (gguf_item_f32(kv, k, &f)) h = hash_add(h, &f, sizeof f);
            else break;
        }
    }
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        h = hash_add(hash_add(h, t->name, strlen(t->name)), t->ne, sizeof t->ne);
        for (uint64_t k = 0; t->data && k < 4; k++) {
            uint64_t at = t->bytes / 4 * k, n = t->bytes - at < 64 ? t->bytes - at : 64;
            h = hash_add(h, t->data + at, (size_t)n);
        }
    }
    return h;
}

static uint64_t digest_of(struct hearth_model *m)
{
    uint64_t h = atomic_load(&m->digest);
    if (!h) atomic_store(&m->digest, h = compute_digest(m) | 1);      /* never 0 */
    return h;
}

/* ---- saving ---- */

enum { NAME_DIGITS = 16, TEXT_NAME = NAME_DIGITS + sizeof KVFILE_END };

/* A file is named by its text, so that what a text goes on from is found by names: the hash of n tokens is a step on the way to
 * that of more. */
static uint64_t name_begin(const struct kvfile_head *h)
{
    struct kvfile_head same = *h;
    uint8_t head[KVFILE_HEAD];
    same.n = same.n_saved = same.window_from = 0;
    kvfile_put_head(head, &same);
    return hash_bytes(head, sizeof head);
}

static uint64_t name_add(uint64_t hash, int32_t id) { return hash_add(hash, &id, sizeof id); }

static void name_of(const struct kvfile_head *h, const int32_t *ids, char name[TEXT_NAME])
{
    uint64_t hash = name_begin(h);
    for (uint32_t i = 0; i < h->n; i++) hash = name_add(hash, ids[i]);
    fmt_into(name, TEXT_NAME, "%016llx%s", (unsigned long long)hash, KVFILE_END);
}

/* Whether a file is one of ours: its hash; tail: what stands behind such a name. */
static bool is_ours(const char *name, uint64_t *hash, const char **tail)
{
    const size_t k = strlen(KVFILE_END);
    *hash = 0;
    for (int i = 0; i < NAME_DIGITS; i++) {
        static const char digit[] = "0123456789abcdef";
        const char *d = name[i] ? strchr(digit, name[i]) : NULL;
        if (!d) return false;
        *hash = *hash << 4 | (uint64_t)(d - digit);
    }
    *tail = name + NAME_DIGITS + k;
    return !strncmp(name + NAME_DIGITS, KVFILE_END, k);
}

static bool is_text(const char *name)
{
    uint64_t hash;
    const char *tail;
    return is_ours(name, &hash, &tail) && !*tail;
}

static struct kvfile_head head_of(const struct hearth_session *s)
{
    const struct seq *q = &s->q;
    struct kvfile_head h = { .model = digest_of(s->m), .salt = q->key.salt, .adapters = q->key.adapters,
                             .variant = q->key.variant, .n = q->n, .window_from = q->window_from };
    for (int i = 0; i < 2; i++) h.type[i] = dtype_info((enum dtype)q->key.type[i])->gguf_id;
    for (int c = 0; c < N_PAGE_CLASS; c++) h.bytes[c] = q->layout->bytes[c];
    /* Evaluation goes on from there and nowhere else; behind the text are guesses. */
    if (h.bytes[KV_STATE]) h.n = h.n_saved = q->n_saved <= q->n ? q->n_saved : 0;
    if (!h.bytes[KV_WINDOW]) h.window_from = (h.n + KV_PAGE - 1) / KV_PAGE;
    else if (h.window_from > kv_window_page(q->pool->graph, h.n)) h.n = h.n_saved = 0;
    return h;
}

struct out { struct os_writer *w; struct kvfile_sum sum; int rc; struct err *err; };

static void put(struct out *o, const void *p, size_t n)
{
    kvfile_sum_add(&o->sum, p, n);
    if (o->rc == 0) o->rc = os_write(o->w, p, n, o->err);
}

static int write_text(const struct hearth_session *s, const struct kvfile_head *h, const char *path, struct err *err)
{
    const struct seq *q = &s->q;
    struct out o = { .err = err };
    uint8_t head[KVFILE_HEAD];
    const uint32_t pages = (h->n + KV_PAGE - 1) / KV_PAGE;
    int rc = os_write_begin(&o.w, path, err);
    if (rc < 0) return rc;
    kvfile_put_head(head, h);
    put(&o, head, sizeof head);
    for (uint32_t i = 0; i < h->n + (h->n & 1); i++) {
        uint32_t id = i < h->n ? (uint32_t)q->ids[i] : 0;
        put(&o, (uint8_t[]){ (uint8_t)id, (uint8_t)(id >> 8), (uint8_t)(id >> 16), (uint8_t)(id >> 24) }, 4);
    }
    for (uint32_t i = 0; h->bytes[KV_FULL] && i < pages; i++) put(&o, q->data[KV_FULL][i], h->bytes[KV_FULL]);
    for (uint32_t i = h->window_from; h->bytes[KV_WINDOW] && i < pages; i++)
        put(&o, q->data[KV_WINDOW][i], h->bytes[KV_WINDOW]);
    if (h->n_saved) put(&o, q->saved->data, h->bytes[KV_STATE]);
    uint64_t sum = kvfile_sum_of(&o.sum);
    uint8_t tail[8];
    for (int i = 0; i < 8; i++) tail[i] = (uint8_t)(sum >> (8 * i));
    put(&o, tail, sizeof tail);
    if (o.rc == 0) return os_write_commit(o.w, err);
    os_write_abort(o.w);
    return o.rc;
}

/* ---- the folder ---- */

enum { STALE_S = 3600 };                 /* who still writes a file has changed it since */

/* What is there, by names, sizes and times alone: a folder of terabytes is looked through as fast as a small one, and what
 * other processes write or remove meanwhile does no harm. */
struct past { uint64_t hash, bytes; int64_t at; bool gone; };
struct pasts { const char *folder; struct past *v; size_t n, cap; };      /* in the order of their names, and so of hashes */

static bool remove_file(const char *folder, const char *name)
{
    struct buf path = { 0 };
    buf_printf(&path, "%s/%s", folder, name);
    if (!path.bad) os_file_remove(path.data);
    bool gone = !path.bad && !os_file_exists(path.data);
    buf_release(&path);
    return gone;
}

static bool remove_past(const struct pasts *l, struct past *p)
{
    char name[TEXT_NAME];
    fmt_into(name, sizeof name, "%016llx%s", (unsigned long long)p->hash, KVFILE_END);
    return p->gone = remove_file(l->folder, name);
}

static int note_past(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    struct pasts *l = arg;
    uint64_t hash;
    const char *tail;
    if (!is_ours(name, &hash, &tail)) return 0;
    if (*tail) {                          /* of a process that was killed while it wrote */
        if (!strncmp(tail, ".tmp-", 5) && os_wall_s() - info->mtime > STALE_S) remove_file(l->folder, name);
        return 0;
    }
    if (l->n == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 64;
        struct past *v = mem_resize(l->v, cap, sizeof *v);
        if (!v) return err_set(err, ERR_NOMEM, "%s: out of memory", l->folder);
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = (struct past){ hash, info->size, info->mtime_ns, false };
    return 0;
}

static int by_hash(const void *a, const void *b)
{
    const struct past *x = a, *y = b;
    return x->hash < y->hash ? -1 : x->hash > y->hash;
}

static int by_time(const void *a, const void *b)
{
    const struct past *x = a, *y = b;
    return x->at < y->at ? -1 : x->at > y->at;
}

/* A text that goes on in the one that was saved is found there. */
static void remove_begun(struct pasts *l, const struct kvfile_head *h, const int32_t *ids)
{
    struct past want = { .hash = name_begin(h) };
    struct kvfile_head part = *h;
    for (part.n = 1; part.n < h->n; part.n++) {
        want.hash = name_add(want.hash, ids[part.n - 1]);
        struct past *p = bsearch(&want, l->v, l->n, sizeof want, by_hash);
        if (p && p->bytes == kvfile_bytes(&part)) remove_past(l, p);
    }
}

/* Removes what was used longest ago until the folder is small enough. */
static int trim(struct pasts *l, uint64_t limit, uint64_t keep, struct err *err)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < l->n; i++) bytes += l->v[i].gone ? 0 : l->v[i].bytes;
    qsort(l->v, l->n, sizeof *l->v, by_time);
    for (size_t i = 0; bytes > limit && i < l->n; i++) {
        struct past *p = &l->v[i];
        if (p->gone || p->hash == keep) continue;
        if (!remove_past(l, p))
            return err_set(err, ERR_IO, "%s/%016llx%s: cannot be removed", l->folder, (unsigned long long)p->hash, KVFILE_END);
        bytes -= p->bytes;
    }
    return 0;
}

static int tidy(const struct hearth_session *s, const struct kvfile_head *h, const char *folder, const char *name, uint64_t limit,
                struct err *err)
{
    struct pasts l = { .folder = folder };
    const char *tail;
    uint64_t keep;
    int rc = fs_list_files(folder, note_past, &l, err);
    is_ours(name, &keep, &tail);
    if (rc == 0 && l.n && !h->bytes[KV_WINDOW] && !h->bytes[KV_STATE]) remove_begun(&l, h, s->q.ids);
    if (rc == 0 && l.n && limit) rc = trim(&l, limit, keep, err);
    mem_free(l.v);
    return rc;
}

int hearth_cache_save(struct hearth_session *s, const char *folder, uint64_t limit, struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct kvfile_head h = head_of(s);
    struct buf path = { 0 };
    char name[TEXT_NAME];
    if (!h.n) return 0;
    name_of(&h, s->q.ids, name);
    buf_printf(&path, "%s/%s", folder, name);
    int rc = path.bad ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0 && os_file_exists(path.data)) os_file_touch(path.data);
    else if (rc == 0) rc = write_text(s, &h, path.data, err);
    if (rc == 0) rc = tidy(s, &h, folder, name, limit, err);
    buf_release(&path);
    return rc;
}

/* ---- finding ---- */

struct search {
    const char *folder;
    struct kvfile_head want;          /* n: of the text */
    const int32_t *ids;
    uint32_t best;                    /* tokens in common */
    char name[64];
    const struct graph *g;
};

/* How many tokens of the text evaluation could go on behind. */
static uint32_t usable(const struct search *s, const struct kvfile *f)
{
    const struct kvfile_head *h = &f->head, *w = &s->want;
    if (h->model != w->model || h->salt != w->salt || h->adapters != w->adapters || h->variant != w->variant ||
        memcmp(h->type, w->type, sizeof h->type) || memcmp(h->bytes, w->bytes, sizeof h->bytes) ||
        !h->n_saved != !h->bytes[KV_STATE] || (s->g->window && h->window_from > kv_window_page(s->g, h->n)))
        return 0;
    uint32_t n = 0;
    while (n < h->n && n < w->n && kvfile_id(f, n) == s->ids[n]) n++;
    return n < h->n && (h->n_saved || s->g->window) ? 0 : n;    /* only whole ones of those can be gone on from */
}

static int compare(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    struct search *s = arg;
    struct buf path = { 0 };
    struct os_map map;
    struct kvfile f;
    (void)info, (void)err;
    if (!is_text(name)) return 0;
    buf_printf(&path, "%s/%s", s->folder, name);
    if (!path.bad && os_map_open(&map, path.data, NULL) == 0) {
        uint32_t n = kvfile_parse(&f, map.data, map.size, name, NULL) == 0 ? usable(s, &f) : 0;
        if (n > s->best) {
            s->best = n;
            fmt_into(s->name, sizeof s->name, "%s", name);
        }
        os_map_close(&map);
    }
    buf_release(&path);
    return 0;
}

/* The first n tokens of the file become a text of the cache. */
static int bring(struct hearth_session *s, const struct kvfile *f, uint32_t n, struct err *err)
{
    struct seq q;
    const uint32_t pages = (n + KV_PAGE - 1) / KV_PAGE, all = (f->head.n + KV_PAGE - 1) / KV_PAGE;
    const uint32_t from = f->head.bytes[KV_WINDOW] ? f->head.window_from : 0;
    int rc = seq_open(&q, s->q.pool, &(struct seq_options){ .n_max = n, .key = s->q.key }, err);
    for (uint32_t i = 0; rc == 0 && i < n; i++) q.ids[i] = kvfile_id(f, i);
    if (rc == 0) rc = seq_fill(&q, n, from, f->head.n_saved, err);
    const uint8_t *at = f->pages;
    for (uint32_t i = 0; rc == 0 && i < pages && f->head.bytes[KV_FULL]; i++)
        memcpy(q.data[KV_FULL][i], at + i * f->head.bytes[KV_FULL], f->head.bytes[KV_FULL]);
    at += all * f->head.bytes[KV_FULL];
    for (uint32_t i = from; rc == 0 && i < pages && f->head.bytes[KV_WINDOW]; i++)
        memcpy(q.data[KV_WINDOW][i], at + (i - from) * f->head.bytes[KV_WINDOW], f->head.bytes[KV_WINDOW]);
    at += (all - f->head.window_from) * f->head.bytes[KV_WINDOW];
    if (rc == 0 && f->head.n_saved) memcpy(q.saved->data, at, f->head.bytes[KV_STATE]);
    if (rc < 0) q.alone = true;                       /* what is half there must not be found */
    seq_release(&q);
    return rc;
}

int hearth_cache_load(struct hearth_session *s, const char *folder, const int32_t *ids, size_t n, size_t *found,
                      struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct search search = { .folder = folder, .want = head_of(s), .ids = ids, .g = s->q.pool->graph };
    struct buf path = { 0 };
    struct os_map map;
    struct kvfile f;
    *found = 0;
    search.want.n = n < KVFILE_MAX_TOKENS ? (uint32_t)n : KVFILE_MAX_TOKENS;
    int rc = os_is_folder(folder) ? fs_list_files(folder, compare, &search, err)
                                  : err_set(err, ERR_IO, "%s: is not a folder that is there", folder);
    if (rc < 0 || !search.best) return rc;
    buf_printf(&path, "%s/%s", folder, search.name);
    rc = path.bad ? err_set(err, ERR_NOMEM, "out of memory") : os_map_open(&map, path.data, err);
    if (rc == 0) {
        rc = kvfile_parse(&f, map.data, map.size, path.data, err);
        bool right = rc == 0 && usable(&search, &f) == search.best && kvfile_sum_is_right(&f, map.data);
        if (right) rc = bring(s, &f, search.best, err);
        if (right && rc == 0) {
            *found = search.best;
            os_file_touch(path.data);
        } else if (rc == 0) {
            os_file_remove(path.data);                /* damaged: it would only be found again */
        }
        os_map_close(&map);
    }
    buf_release(&path);
    return rc == ERR_NOTFOUND ? 0 : rc;               /* somebody else has removed it meanwhile */
}

/* ---- one file ---- */

int hearth_cache_save_file(struct hearth_session *s, const char *path, size_t *n, uint64_t *bytes, struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct kvfile_head h = head_of(s);
    struct fs_info info;
    *n = h.n;
    *bytes = 0;
    if (!h.n) return err_set(err, ERR_ARG, "there is nothing in this text that could be saved");
    int rc = write_text(s, &h, path, err);
    if (rc == 0 && fs_info(path, &info)) *bytes = info.size;
    return rc;
}

static int load_all(struct hearth_session *s, const struct os_map *map, const char *path, int32_t **ids, size_t *n,
                    struct err *err)
{
    struct kvfile f;
    int rc = kvfile_parse(&f, map->data, map->size, path, err);
    if (rc < 0) return rc;
    struct search all = { .want = head_of(s), .g = s->q.pool->graph };
    all.want.n = f.head.n;
    int32_t *text = mem_new_array(int32_t, f.head.n + 1);
    if (!text) return err_set(err, ERR_NOMEM, "%s: out of memory for its %u tokens", path, f.head.n);
    for (uint32_t i = 0; i < f.head.n; i++) text[i] = kvfile_id(&f, i);
    all.ids = text;
    if (usable(&all, &f) != f.head.n)
        rc = err_set(err, ERR_ARG, "%s: was saved with another model, adapter or type of keys and values, or for another user",
                     path);
    else if (!kvfile_sum_is_right(&f, map->data)) rc = err_set(err, ERR_FORMAT, "%s: is damaged: its checksum is wrong", path);
    else rc = bring(s, &f, f.head.n, err);
    if (rc < 0) {
        mem_free(text);
        return rc;
    }
    *ids = text;
    *n = f.head.n;
    return 0;
}

int hearth_cache_load_file(struct hearth_session *s, const char *path, int32_t **ids, size_t *n, uint64_t *bytes,
                           struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct os_map map;
    *ids = NULL;
    *n = 0;
    int rc = os_map_open(&map, path, err);
    if (rc < 0) return rc;
    *bytes = map.size;
    rc = load_all(s, &map, path, ids, n, err);
    os_map_close(&map);
    return rc;
}
