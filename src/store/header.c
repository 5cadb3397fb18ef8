#include "store/header.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "format/gguf.h"

/* FIRST is what most headers need; a guess too large costs less than another question. */
enum { FIRST = 1 << 20, SMALL_FILE = 64 << 20, ROTARY_MAX = 1 << 20, OLD_S = 3600 };

/* One file on its way. */
struct part {
    struct pull *p;
    const struct pull_item *item;
    struct fs_file *file;
    struct header *h;
    uint64_t at, end;                      /* the range that is asked for; at moves */
    uint64_t skip;                         /* bytes before it, from a server that cannot do ranges */
    bool wrong;
    int rc;
    struct err *err;
};

static const char *title_of(const struct pull_item *it) { return it->layer.title ? it->layer.title : "model.gguf"; }

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* ---- ranges ---- */

static bool on_begin(void *arg, const struct fetch *f)
{
    struct part *t = arg;
    const struct fetch_answer *a = fetch_answer(f);
    if (a->status == 206 && a->has_range && a->from == t->at && (a->total == UINT64_MAX || a->total == t->item->layer.size))
        return true;
    if (a->status == 200 && t->at <= HEADER_MAX) {         /* more would be a download by another name */
        t->skip = t->at;
        return true;
    }
    t->wrong = true;
    return false;
}

static bool on_bytes(void *arg, const void *p, size_t n)
{
    struct part *t = arg;
    const uint8_t *b = p;
    t->h->fetched += n;
    size_t past = t->skip < n ? (size_t)t->skip : n;
    t->skip -= past;
    b += past;
    n -= past;
    if (n > t->end - t->at) n = (size_t)(t->end - t->at);
    if (n && (t->rc = fs_file_write(t->file, t->at, b, n, t->err)) < 0) return false;
    t->at += n;
    return t->at < t->end;                 /* what a server sends beyond is not wanted */
}

static bool part_alive(void *arg) { return pull_alive(((struct part *)arg)->p); }

/* Bytes [at, end) of the file go to their place. */
static int fetch_range(struct part *t, uint64_t at, uint64_t end)
{
    struct fetch_request r = { .url = t->item->url, .token = t->p->token, .range = true, .from = at, .to = end - 1,
                               .stall_s = t->p->o->stall_s, .sink = on_bytes, .alive = part_alive, .arg = t, .begin = on_begin };
    struct err why = { 0 };
    if (at >= end) return 0;
    t->at = at;
    t->end = end;
    t->skip = 0;
    t->wrong = false;
    t->rc = 0;
    int rc = fetch_do(t->p->fetch, &r, &why);
    if (t->rc < 0) return t->rc;
    if (t->at == t->end && !t->wrong) return 0;
    const struct fetch_answer *a = fetch_answer(t->p->fetch);
    if (a->status >= 400) return pull_status_error(t->p, title_of(t->item), t->err);
    if (t->wrong)
        return err_set(t->err, ERR_FORMAT, "%s: the server sends another range than was asked for, or a file that has not %llu "
                       "bytes", title_of(t->item), (unsigned long long)t->item->layer.size);
    if (rc < 0) return err_set(t->err, rc, "%s", why.msg);
    return err_set(t->err, ERR_IO, "%s: the server sent %llu of %llu bytes", title_of(t->item),
                   (unsigned long long)(t->at - at), (unsigned long long)(end - at));
}

/* ---- headers ---- */

static int too_long(const struct part *t)
{
    return err_set(t->err, ERR_LIMIT, "%s: its header is longer than %d MB", title_of(t->item), HEADER_MAX >> 20);
}

/* All of a GGUF header, in steps that double. */
static int fetch_gguf(struct part *t)
{
    const uint64_t size = t->item->layer.size;
    uint64_t have = 0, end = 0, want = FIRST;
    uint8_t *head = NULL;
    enum gguf_head state = GGUF_HEAD_MORE;
    int rc = 0;
    while (rc == 0 && state == GGUF_HEAD_MORE && have < size) {
        if (have >= HEADER_MAX) {
            rc = too_long(t);
            break;
        }
        if (want > size) want = size;
        rc = fetch_range(t, have, want);
        uint8_t *more = rc == 0 ? mem_resize(head, (size_t)want, 1) : NULL;
        if (rc == 0 && !more) rc = err_set(t->err, ERR_NOMEM, "out of memory for a header");
        if (rc < 0) break;
        head = more;
        rc = fs_file_read(t->file, have, head + have, (size_t)(want - have), t->err);
        have = want;
        want *= 2;
        if (rc == 0) state = gguf_header_end(head, (size_t)have, &end);
    }
    mem_free(head);                        /* what is wrong with it is said when it is opened */
    return rc;
}

/* The length in front of a safetensors file, and that many bytes of JSON. */
static int fetch_safetensors(struct part *t)
{
    const uint64_t size = t->item->layer.size, first = size < FIRST / 4 ? size : FIRST / 4;
    uint8_t len[8] = { 0 };
    int rc = fetch_range(t, 0, first);
    if (rc == 0 && first >= sizeof len) rc = fs_file_read(t->file, 0, len, sizeof len, t->err);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--) n = n << 8 | len[i];
    if (rc < 0 || n > size || n + 8 <= first) return rc;       /* a length that is wrong is seen when it is opened */
    if (n > HEADER_MAX) return too_long(t);
    return fetch_range(t, first, n + 8 < size ? n + 8 : size);
}

static int fetch_part(struct part *t, const char *path)
{
    const uint64_t size = t->item->layer.size;
    int rc = fs_file_open(&t->file, path, FS_WRITE, t->err);
    if (rc == 0) rc = fs_file_resize(t->file, size, t->err);
    if (rc < 0) return rc;
    if (name_ends_with(title_of(t->item), ".gguf")) return fetch_gguf(t);
    if (name_ends_with(title_of(t->item), ".safetensors")) return fetch_safetensors(t);
    if (size > SMALL_FILE) return err_set(t->err, ERR_LIMIT, "%s: has %.0f MB; %d are the limit for a file that is no weights",
                                          title_of(t->item), (double)size / 1e6, SMALL_FILE >> 20);
    return fetch_range(t, 0, size);
}

/* ---- the folder ---- */

struct sweep { const char *folder; bool folders; };

static int sweep_entry(void *arg, const char *name, struct err *err)
{
    const struct sweep *s = arg;
    char path[STORE_PATH];
    struct fs_info info;
    (void)err;
    if (strlen(s->folder) + strlen(name) + 2 > sizeof path) return 0;
    fmt_into(path, sizeof path, "%s/%s", s->folder, name);
    if (fs_is_link(path) || !fs_info(path, &info)) return 0;
    if (!s->folders) os_file_remove(path);
    else if (info.folder && os_wall_s() - info.mtime > OLD_S) {
        struct sweep inner = { path, false };
        fs_list(path, sweep_entry, &inner, NULL);
        fs_remove_folder(path);
    }
    return 0;
}

void header_remove(struct header *h)
{
    struct sweep s = { h->folder, false };
    if (!h->folder[0]) return;
    fs_list(h->folder, sweep_entry, &s, NULL);
    fs_remove_folder(h->folder);
    h->folder[0] = 0;
}

/* What others left behind that ended too early goes, too. */
static int make_folder(const struct store *s, struct header *h, struct err *err)
{
    char all[STORE_PATH], name[32];
    fmt_into(name, sizeof name, "%016llx", (unsigned long long)os_random64());
    if (!store_path(s, all, "headers", NULL) || !store_path(s, h->folder, "headers", name)) {
        h->folder[0] = 0;
        return err_set(err, ERR_LIMIT, "the path of the store is too long");
    }
    struct sweep old = { all, true };
    fs_list(all, sweep_entry, &old, NULL);
    return fs_make_folders(h->folder, err);
}

/* ---- rotary factors ---- */

static const struct pull_item *item_of(const struct pull *p, const char *path)
{
    const char *name = file_name(path);
    for (size_t i = 0; i < p->n; i++)
        if (p->item[i].layer.kind == LAYER_MODEL && !strcmp(file_name(title_of(&p->item[i])), name)) return &p->item[i];
    return NULL;
}

/* Graphs are built from them. */
static int fetch_rotary(struct pull *p, struct header *h, struct err *err)
{
    struct gguf *g;
    uint64_t all = 0;
    if (!name_ends_with(h->path, ".gguf")) return 0;
    int rc = gguf_open(&g, h->path, err);
    for (size_t i = 0; rc == 0 && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (strncmp(t->name, "rope_", 5) != 0) continue;
        all += t->bytes < ROTARY_MAX ? t->bytes : ROTARY_MAX + 1;
        if (all > ROTARY_MAX)
            rc = err_set(err, ERR_LIMIT, "%s: rotary factors of more than %d bytes, up to tensor %.60s", h->path, ROTARY_MAX,
                         t->name);
        struct part part = { .p = p, .item = item_of(p, gguf_file_path(g, t->file)), .h = h, .err = err };
        if (rc == 0 && !part.item) rc = err_set(err, ERR_FORMAT, "%s: is in no file that was listed", t->name);
        if (rc == 0) rc = fs_file_open(&part.file, gguf_file_path(g, t->file), FS_WRITE, err);
        if (rc == 0) rc = fetch_range(&part, t->offset, t->offset + t->bytes);
        fs_file_close(part.file);
    }
    gguf_close(g);
    return rc;
}

/* ---- all of it ---- */

static int fetch_all(struct pull *p, struct header *h, struct err *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < p->n; i++) {
        const struct pull_item *it = &p->item[i];
        if (it->layer.kind != LAYER_MODEL) continue;
        char path[STORE_PATH];
        const char *name = file_name(title_of(it));
        unsigned no, of;
        store_part_of(name, &no, &of);
        if (strlen(h->folder) + strlen(name) + 2 > sizeof path)
            return err_set(err, ERR_LIMIT, "the path of the store is too long");
        fmt_into(path, sizeof path, "%s/%s", h->folder, name);
        if (os_file_exists(path)) continue;               /* a second model without a name */
        struct part part = { .p = p, .item = it, .h = h, .err = err };
        p->file = title_of(it);
        rc = fetch_part(&part, path);
        fs_file_close(part.file);
        if (!h->path[0] && no == 1 && name_ends_with(name, ".gguf")) fmt_into(h->path, sizeof h->path, "%s", path);
        h->files++;
        h->total += it->layer.size;
    }
    if (!h->path[0]) fmt_into(h->path, sizeof h->path, "%s", h->folder);
    return rc == 0 ? fetch_rotary(p, h, err) : rc;
}

int header_fetch(struct store *s, const struct name *n, const struct pull_options *o, struct header *out, struct err *err)
{
    struct pull p = { .store = s, .o = o, .name = *n };
    *out = (struct header){ 0 };
    int rc = fetch_open(&p.fetch, err);
    if (rc == 0) rc = pull_plan(&p, err);
    if (rc == 0) rc = make_folder(s, out, err);
    if (rc == 0) rc = fetch_all(&p, out, err);
    if (rc < 0) header_remove(out);
    fetch_close(p.fetch);
    mem_free(p.token);
    arena_release(&p.arena);
    return rc;
}
