/* kvfolder.c - past texts in a folder of files (kvfile.h): saving a session's, finding the one that a new text has most in
 * common with, and keeping the folder small. */
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

static bool is_ours(const char *name)
{
    size_t n = strlen(name), k = strlen(KVFILE_END);
    return n == 16 + k && !strcmp(name + 16, KVFILE_END);
}

static struct kvfile_head head_of(const struct hearth_session *s)
{
    const struct seq *q = &s->q;
    struct kvfile_head h = { .model = digest_of(s->m), .salt = q->key.salt, .adapters = q->key.adapters,
                             .variant = q->key.variant, .n = q->n, .window_from = q->window_from };
    for (int i = 0; i < 2; i++) h.type[i] = dtype_info((enum dtype)q->key.type[i])->gguf_id;
    for (int c = 0; c < N_PAGE_CLASS; c++) h.bytes[c] = q->layout->bytes[c];
    if (h.bytes[KV_STATE]) h.n = h.n_saved = q->n_saved;     /* evaluation goes on from there and nowhere else */
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

struct oldest { const char *keep; uint64_t bytes; int64_t changed; char name[64]; };

static int look(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    struct oldest *o = arg;
    (void)err;
    if (!is_ours(name)) return 0;
    o->bytes += info->size;
    if (!strcmp(name, o->keep) || (o->name[0] && info->mtime >= o->changed)) return 0;
    o->changed = info->mtime;
    fmt_into(o->name, sizeof o->name, "%s", name);
    return 0;
}

/* Removes what was used longest ago until the folder is small enough. */
static int trim(const char *folder, uint64_t limit, const char *keep, struct err *err)
{
    for (;;) {
        struct oldest o = { .keep = keep };
        struct buf path = { 0 };
        int rc = fs_list_files(folder, look, &o, err);
        if (rc < 0 || o.bytes <= limit || !o.name[0]) return rc;
        buf_printf(&path, "%s/%s", folder, o.name);
        if (!path.bad) os_file_remove(path.data);
        bool stuck = path.bad || os_file_exists(path.data);
        buf_release(&path);
        if (stuck) return err_set(err, ERR_IO, "%s/%s: cannot be removed", folder, o.name);
    }
}

struct older { const char *folder, *keep; const struct kvfile_head *head; const int32_t *ids; };

/* A text that goes on in the one that was saved is found there. */
static int remove_older(void *arg, const char *name, const struct fs_info *info, struct err *err)
{
    const struct older *o = arg;
    struct buf path = { 0 };
    struct os_map map;
    struct kvfile f;
    (void)info, (void)err;
    if (!is_ours(name) || !strcmp(name, o->keep)) return 0;
    buf_printf(&path, "%s/%s", o->folder, name);
    if (!path.bad && os_map_open(&map, path.data, NULL) == 0) {
        bool older = kvfile_parse(&f, map.data, map.size, name, NULL) == 0 && f.head.n < o->head->n;
        struct kvfile_head same = *o->head;
        same.n = f.head.n;
        same.window_from = f.head.window_from;
        older = older && !memcmp(&same, &f.head, sizeof same);
        for (uint32_t i = 0; older && i < f.head.n; i++) older = kvfile_id(&f, i) == o->ids[i];
        os_map_close(&map);
        if (older) os_file_remove(path.data);
    }
    buf_release(&path);
    return 0;
}

int hearth_cache_save(struct hearth_session *s, const char *folder, uint64_t limit, struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct kvfile_head h = head_of(s);
    struct buf path = { 0 };
    if (!h.n) return 0;
    uint8_t head[KVFILE_HEAD];
    char name[64];
    kvfile_put_head(head, &h);
    fmt_into(name, sizeof name, "%016llx%s",
             (unsigned long long)hash_add(hash_bytes(head, sizeof head), s->q.ids, h.n * sizeof *s->q.ids), KVFILE_END);
    buf_printf(&path, "%s/%s", folder, name);
    int rc = path.bad ? err_set(err, ERR_NOMEM, "out of memory") : 0;
    if (rc == 0 && os_file_exists(path.data)) os_file_touch(path.data);
    else if (rc == 0) rc = write_text(s, &h, path.data, err);
    if (rc == 0 && !h.bytes[KV_WINDOW] && !h.bytes[KV_STATE])
        rc = fs_list_files(folder, remove_older, &(struct older){ folder, name, &h, s->q.ids }, err);
    if (rc == 0 && limit) rc = trim(folder, limit, name, err);
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
    if (!is_ours(name)) return 0;
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
    if (path.bad) rc = err_set(err, ERR_NOMEM, "out of memory");
    if (rc == 0 && (rc = os_map_open(&map, path.data, err)) == 0) {
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
    return rc;
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
