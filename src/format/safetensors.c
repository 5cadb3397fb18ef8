#include "format/safetensors.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/ck.h"
#include "base/jscan.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rd.h"
#include "format/gguf_impl.h"
#include "format/names.h"

enum {
    MAX_HEADER = 100000000, MAX_INDEX = 100000000, MAX_TENSORS = 1 << 20, MAX_NAME = 255, MAX_FILES = 1000
};

typedef unsigned long long ull;

static const struct { const char *name; unsigned bits; } types[N_ST_TYPE] = {
#define ST_TYPE(name, bits) { #name, bits },
#include "format/safetensors.def"
#undef ST_TYPE
};

const char *st_type_name(enum st_type t) { return types[t].name; }
unsigned st_type_bits(enum st_type t) { return types[t].bits; }

/* One file; path, data and size are set before read_file. */
struct file {
    const char *path;
    const uint8_t *data;
    uint64_t size, data_at;
    struct st_tensor *tensor;
    size_t n, cap;
    struct names names;
};

struct safetensors {
    struct arena arena;
    struct file *file;
    struct os_map *map;                     /* of each file, or NULL when the bytes are the caller's */
    uint32_t n_files, n_maps;
    struct st_tensor *tensor;               /* of the model */
    size_t n;
    struct names names;
};

static struct gguf_str tensor_name(const void *items, size_t i)
{
    const char *s = ((const struct st_tensor *)items)[i].name;
    return (struct gguf_str){ s, strlen(s) };
}

static const char *shown(const char *name, struct gguf_shown *room)
{
    *room = gguf_show((struct gguf_str){ name, strlen(name) });
    return room->s;
}

static int out_of_memory(const char *path, struct err *err)
{
    return err_set(err, ERR_NOMEM, "%s: out of memory reading the header", path);
}

/* ---- one header ---- */

struct header {
    struct safetensors *s;
    struct file *f;
    struct jscan j;
    struct buf key, text;                   /* scratch */
    struct err *err;
    int rc;                                 /* sticky; 0 while only the scanner may have failed */
};

static void fail(struct header *h, int code, const char *why)
{
    struct gguf_shown room;
    if (h->rc == 0)
        h->rc = err_set(h->err, code, "%s: tensor '%s': %s", h->f->path, shown(h->key.data ? h->key.data : "", &room), why);
}

static void read_type(struct header *h, struct st_tensor *t)
{
    buf_clear(&h->text);
    jscan_str(&h->j, &h->text);
    if (h->j.bad) return;
    for (unsigned i = 0; i < N_ST_TYPE; i++)
        if (h->text.data && strcmp(h->text.data, types[i].name) == 0) {
            t->type = (enum st_type)i;
            return;
        }
    struct gguf_shown room;
    char why[128];
    fmt_into(why, sizeof why, "type '%s' is not known", shown(h->text.data ? h->text.data : "", &room));
    fail(h, ERR_UNSUPPORTED, why);
}

static void read_shape(struct header *h, struct st_tensor *t)
{
    if (!jscan_open(&h->j, '[')) return;
    t->n_dims = 0;
    while (jscan_item(&h->j)) {
        uint64_t n = jscan_u64(&h->j);
        if (t->n_dims == ST_MAX_DIMS) {
            fail(h, ERR_LIMIT, "more than 8 dimensions");
            return;
        }
        t->shape[t->n_dims++] = n;
    }
}

static void read_offsets(struct header *h, uint64_t at[2])
{
    unsigned n = 0;
    if (!jscan_open(&h->j, '[')) return;
    while (jscan_item(&h->j)) {
        uint64_t v = jscan_u64(&h->j);
        if (n < 2) at[n] = v;
        n++;
    }
    if (!h->j.bad && n != 2) fail(h, ERR_FORMAT, "data_offsets needs two numbers");
}

/* The bytes that type and shape ask for. */
static bool wanted_bytes(const struct st_tensor *t, uint64_t *out)
{
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (!ck_mul(n, t->shape[i], &n)) return false;
    if (!ck_mul(n, types[t->type].bits, &n) || n % 8) return false;
    *out = n / 8;
    return true;
}

static void place(struct header *h, struct st_tensor *t, const uint64_t at[2])
{
    uint64_t want, have = h->f->size - h->f->data_at;
    char why[192];
    if (!wanted_bytes(t, &want)) {
        fail(h, ERR_FORMAT, "its shape gives no whole number of bytes, or one that overflows");
    } else if (at[0] > at[1] || at[1] > have) {
        fmt_into(why, sizeof why, "its data is [%llu, %llu) of %llu bytes: the file is cut off or damaged, download it again",
                 (ull)at[0], (ull)at[1], (ull)have);
        fail(h, ERR_FORMAT, why);
    } else if (at[1] - at[0] != want) {
        fmt_into(why, sizeof why, "it has %llu bytes, but its type %s and shape need %llu", (ull)(at[1] - at[0]),
                 types[t->type].name, (ull)want);
        fail(h, ERR_FORMAT, why);
    } else {
        t->bytes = want;
        t->offset = h->f->data_at + at[0];
        t->data = h->f->data + t->offset;
        t->file = (uint32_t)(h->f - h->s->file);
    }
}

static struct st_tensor *new_tensor(struct header *h)
{
    struct file *f = h->f;
    if (f->n == f->cap) {
        size_t cap = f->cap ? f->cap * 2 : 64;
        struct st_tensor *v = arena_new(&h->s->arena, struct st_tensor, cap);
        if (!v) {
            h->rc = out_of_memory(f->path, h->err);
            return NULL;
        }
        if (f->n) memcpy(v, f->tensor, f->n * sizeof *v);
        f->tensor = v;
        f->cap = cap;
    }
    struct st_tensor *t = &f->tensor[f->n];
    if (f->n >= MAX_TENSORS) fail(h, ERR_LIMIT, "more than 1,048,576 tensors");
    else if (!h->key.len || h->key.len > MAX_NAME) fail(h, ERR_FORMAT, "a name must have 1 to 255 bytes");
    else if (!gguf_name_ok((struct gguf_str){ h->key.data, h->key.len }) || strlen(h->key.data) != h->key.len)
        fail(h, ERR_FORMAT, "its name has control characters");
    else if (!(t->name = arena_strdup(&h->s->arena, h->key.data, h->key.len))) h->rc = out_of_memory(f->path, h->err);
    if (h->rc < 0) return NULL;
    f->n++;
    return t;
}

enum { HAS_TYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4, HAS_ALL = 7 };

static void read_tensor(struct header *h)
{
    struct buf field = { .limit = 64 };
    struct st_tensor *t = new_tensor(h);
    uint64_t at[2] = { 0, 0 };
    unsigned have = 0, again = 0;
    if (!t || !jscan_open(&h->j, '{')) return;
    while (h->rc == 0 && jscan_key(&h->j, &field)) {
        unsigned now = !strcmp(field.data, "dtype") ? HAS_TYPE : !strcmp(field.data, "shape") ? HAS_SHAPE
                       : !strcmp(field.data, "data_offsets") ? HAS_OFFSETS : 0;
        again |= have & now;
        have |= now;
        if (now == HAS_TYPE) read_type(h, t);
        else if (now == HAS_SHAPE) read_shape(h, t);
        else if (now == HAS_OFFSETS) read_offsets(h, at);
        else jscan_skip(&h->j);
    }
    buf_release(&field);
    if (h->j.bad || h->rc < 0) return;
    if (again) fail(h, ERR_FORMAT, "a field occurs twice");
    else if (have != HAS_ALL) fail(h, ERR_FORMAT, "needs dtype, shape and data_offsets");
    else place(h, t, at);
}

static void read_tensors(struct header *h)
{
    bool metadata = false;
    if (!jscan_open(&h->j, '{')) return;
    while (h->rc == 0 && jscan_key(&h->j, &h->key)) {
        if (h->key.len != 12 || memcmp(h->key.data, "__metadata__", 12) != 0) {
            read_tensor(h);
            continue;
        }
        if (metadata) fail(h, ERR_FORMAT, "occurs twice");
        metadata = true;
        jscan_skip(&h->j);
    }
    if (h->rc == 0) jscan_end(&h->j);
}

static int by_offset(const void *a, const void *b)
{
    const struct st_tensor *x = *(const struct st_tensor *const *)a, *y = *(const struct st_tensor *const *)b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors must fill the data exactly. */
static int check_cover(const struct file *f, struct err *err)
{
    const struct st_tensor **v = mem_new_array(const struct st_tensor *, f->n);
    if (!v) return out_of_memory(f->path, err);
    for (size_t i = 0; i < f->n; i++) v[i] = &f->tensor[i];
    qsort(v, f->n, sizeof *v, by_offset);
    uint64_t at = f->data_at;
    struct gguf_shown room, other;
    int rc = 0;
    for (size_t i = 0; i < f->n && rc == 0; i++) {
        if (v[i]->offset < at)
            rc = err_set(err, ERR_FORMAT, "%s: tensor '%s': its data at byte %llu overlaps that of '%s', which ends at %llu",
                         f->path,
                         shown(v[i]->name, &room), (ull)v[i]->offset, shown(v[i ? i - 1 : 0]->name, &other), (ull)at);
        else if (v[i]->offset > at)
            rc = err_set(err, ERR_FORMAT, "%s: tensor '%s': nobody owns the %llu bytes before its data at byte %llu", f->path,
                         shown(v[i]->name, &room), (ull)(v[i]->offset - at), (ull)v[i]->offset);
        at = v[i]->offset + v[i]->bytes;
    }
    mem_free(v);
    if (rc == 0 && at != f->size)
        rc = err_set(err, ERR_FORMAT, "%s: its tensors end at byte %llu, but the file has %llu", f->path, (ull)at, (ull)f->size);
    return rc;
}

static int index_names(struct names *t, struct safetensors *s, const struct st_tensor *v, size_t n, const char *path,
                       struct err *err)
{
    size_t dup = 0;
    struct gguf_shown room;
    int rc = names_build(t, &s->arena, tensor_name, v, n, &dup);
    if (rc == ERR_NOMEM) return out_of_memory(path, err);
    if (rc < 0)
        return err_set(err, rc, "%s: tensor '%s': %s", path, shown(v[dup].name, &room),
                       rc == ERR_LIMIT ? "names are chosen to collide" : "the name occurs twice");
    return 0;
}

static int not_safetensors(const struct file *f, struct err *err)
{
    if (f->size >= 23 && memcmp(f->data, "version https://git-lfs", 23) == 0)
        return err_set(err, ERR_UNSUPPORTED, "%s: this is a git-lfs pointer, not the model: run 'git lfs pull' or download the "
                       "file itself", f->path);
    if (f->size < 8) return err_set(err, ERR_FORMAT, "%s: not a safetensors file: it has only %d bytes", f->path, (int)f->size);
    return 0;
}

static int read_file(struct safetensors *s, struct file *f, struct err *err)
{
    int rc = not_safetensors(f, err);
    if (rc < 0) return rc;
    struct rd r = { f->data, f->data + f->size, false };
    uint64_t n = rd_u64(&r);
    if (n > MAX_HEADER)
        return err_set(err, ERR_LIMIT, "%s: a header of %llu bytes, the limit is %d: damaged, or not a safetensors file", f->path,
                       (ull)n, MAX_HEADER);
    if (n > f->size - 8)
        return err_set(err, ERR_FORMAT, "%s: a header of %llu bytes, but the file has only %llu: it is cut off, download it "
                                        "again",
                       f->path, (ull)n, (ull)f->size);
    f->data_at = 8 + n;
    struct header h = { .s = s, .f = f, .key = { .limit = 4096 }, .text = { .limit = 4096 }, .err = err };
    jscan_init(&h.j, (const char *)f->data + 8, (size_t)n);
    read_tensors(&h);
    rc = h.rc < 0 ? h.rc : h.j.bad ? jscan_error(&h.j, f->path, err) : 0;
    buf_release(&h.key);
    buf_release(&h.text);
    if (rc == 0) rc = check_cover(f, err);
    if (rc == 0) rc = index_names(&f->names, s, f->tensor, f->n, f->path, err);
    return rc;
}

/* ---- files ---- */

static int new_safetensors(struct safetensors **out, uint32_t n_files, const char *path, struct err *err)
{
    struct safetensors *s = mem_new(1, sizeof *s);
    if (s) {
        s->file = arena_new(&s->arena, struct file, n_files);
        s->map = arena_new(&s->arena, struct os_map, n_files);
    }
    if (!s || !s->file || !s->map) {
        safetensors_close(s);
        return out_of_memory(path, err);
    }
    *out = s;
    return 0;
}

static int open_file(struct safetensors *s, const char *path, struct err *err)
{
    int rc = os_map_open(&s->map[s->n_maps], path, err);
    if (rc < 0) return rc;
    const struct os_map *m = &s->map[s->n_maps++];
    struct file *f = &s->file[s->n_files++];
    *f = (struct file){ .path = path, .data = m->data, .size = m->size };
    return read_file(s, f, err);
}

static int one_file(struct safetensors *s, struct err *err)
{
    (void)err;
    s->tensor = s->file[0].tensor;
    s->n = s->file[0].n;
    s->names = s->file[0].names;
    return 0;
}

static int hand_over(struct safetensors **out, struct safetensors *s, int rc)
{
    if (rc == 0) *out = s;
    else safetensors_close(s);
    return rc;
}

int safetensors_parse(struct safetensors **out, const void *data, uint64_t size, const char *name, struct err *err)
{
    *out = NULL;
    struct safetensors *s;
    int rc = new_safetensors(&s, 1, name, err);
    if (rc < 0) return rc;
    char *path = arena_strdup(&s->arena, name, strlen(name));
    if (!path) return hand_over(out, s, out_of_memory(name, err));
    s->n_files = 1;
    s->file[0] = (struct file){ .path = path, .data = data, .size = size };
    rc = read_file(s, &s->file[0], err);
    if (rc == 0) rc = one_file(s, err);
    return hand_over(out, s, rc);
}

/* ---- the index of a sharded model ---- */

struct entry { const char *name; uint32_t file; };

struct index {
    struct safetensors *s;
    const char *folder, *path;
    struct jscan j;
    struct buf key, text;
    const char *file[MAX_FILES];            /* names */
    uint32_t n_files, last;
    struct entry *entry;
    size_t n, cap;
    struct err *err;
    int rc;
};

static bool plain_name(const char *s, size_t n)
{
    if (!n || n > MAX_NAME || s[0] == '.' || strlen(s) != n) return false;
    return !strpbrk(s, "/\\") && gguf_name_ok((struct gguf_str){ s, n });
}

/* The number of the file that is named in x->text, which becomes one of the model's. */
static uint32_t file_number(struct index *x)
{
    const char *name = x->text.data ? x->text.data : "";
    if (x->n_files && !strcmp(x->file[x->last], name)) return x->last;
    for (uint32_t i = 0; i < x->n_files; i++)
        if (!strcmp(x->file[i], name)) return x->last = i;
    struct gguf_shown room;
    if (!plain_name(name, x->text.len))
        x->rc = err_set(x->err, ERR_FORMAT, "%s: '%s' is not the name of a file in this folder", x->path, shown(name, &room));
    else if (x->n_files == MAX_FILES)
        x->rc = err_set(x->err, ERR_LIMIT, "%s: more than %d files", x->path, MAX_FILES);
    else if (!(x->file[x->n_files] = arena_strdup(&x->s->arena, name, x->text.len)))
        x->rc = out_of_memory(x->path, x->err);
    else
        return x->last = x->n_files++;
    return 0;
}

static void add_entry(struct index *x)
{
    if (x->n == x->cap) {
        size_t cap = x->cap ? x->cap * 2 : 1024;
        struct entry *v = mem_resize(x->entry, cap, sizeof *v);
        if (!v) {
            x->rc = out_of_memory(x->path, x->err);
            return;
        }
        x->entry = v;
        x->cap = cap;
    }
    struct entry *e = &x->entry[x->n];
    if (x->n >= MAX_TENSORS) x->rc = err_set(x->err, ERR_LIMIT, "%s: more than %d tensors", x->path, MAX_TENSORS);
    else if (!(e->name = arena_strdup(&x->s->arena, x->key.data, x->key.len))) x->rc = out_of_memory(x->path, x->err);
    if (x->rc < 0) return;
    buf_clear(&x->text);
    jscan_str(&x->j, &x->text);
    if (x->j.bad) return;
    e->file = file_number(x);
    x->n++;
}

static void read_index(struct index *x)
{
    bool found = false;
    if (!jscan_open(&x->j, '{')) return;
    while (x->rc == 0 && jscan_key(&x->j, &x->key)) {
        if (found || strcmp(x->key.data, "weight_map") != 0) {
            jscan_skip(&x->j);
            continue;
        }
        found = true;
        if (!jscan_open(&x->j, '{')) return;
        while (x->rc == 0 && jscan_key(&x->j, &x->key)) add_entry(x);
    }
    if (x->rc == 0) jscan_end(&x->j);
    if (x->rc == 0 && !x->j.bad && !x->n) x->rc = err_set(x->err, ERR_FORMAT, "%s: has no weight_map with tensors", x->path);
}

static char *join(struct arena *a, const char *folder, const char *name)
{
    size_t n = strlen(folder), m = strlen(name);
    char *p = arena_new(a, char, n + m + 2);
    if (p) fmt_into(p, n + m + 2, "%s/%s", folder, name);
    return p;
}

static int open_shards(struct index *x)
{
    struct safetensors *s = x->s;
    for (uint32_t i = 0; i < x->n_files; i++) {
        const char *path = join(&s->arena, x->folder, x->file[i]);
        int rc = path ? open_file(s, path, x->err) : out_of_memory(x->path, x->err);
        if (rc < 0) return rc;
    }
    if (!(s->tensor = arena_new(&s->arena, struct st_tensor, x->n))) return out_of_memory(x->path, x->err);
    for (size_t i = 0; i < x->n; i++) {
        const struct file *f = &s->file[x->entry[i].file];
        const char *name = x->entry[i].name;
        size_t k = names_find(&f->names, tensor_name, f->tensor, (struct gguf_str){ name, strlen(name) });
        struct gguf_shown room;
        if (k == SIZE_MAX)
            return err_set(x->err, ERR_FORMAT, "%s: tensor '%s' is said to be in %s, but is not", x->path, shown(name, &room),
                           f->path);
        s->tensor[s->n++] = f->tensor[k];
    }
    return index_names(&s->names, s, s->tensor, s->n, x->path, x->err);
}

static int open_index(struct safetensors **out, const char *folder, const char *path, struct err *err)
{
    char *text = NULL;
    size_t n;
    struct index x = { .folder = folder, .path = path, .key = { .limit = MAX_NAME }, .text = { .limit = 4096 }, .err = err };
    int rc = new_safetensors(&x.s, MAX_FILES, path, err);
    if (rc == 0) rc = os_read_file(path, MAX_INDEX, &text, &n, err);
    if (rc == 0) {
        jscan_init(&x.j, text, n);
        read_index(&x);
        rc = x.rc < 0 ? x.rc : x.j.bad ? jscan_error(&x.j, path, err) : 0;
    }
    mem_free(text);
    if (rc == 0) rc = open_shards(&x);
    mem_free(x.entry);
    buf_release(&x.key);
    buf_release(&x.text);
    return hand_over(out, x.s, rc);
}

int safetensors_open(struct safetensors **out, const char *folder, struct err *err)
{
    *out = NULL;
    struct arena a = { 0 };
    struct safetensors *s = NULL;
    const char *index = join(&a, folder, "model.safetensors.index.json"), *one = join(&a, folder, "model.safetensors");
    int rc = 0;
    if (!index || !one) {
        rc = out_of_memory(folder, err);
    } else if (os_file_exists(index)) {
        rc = open_index(out, folder, index, err);
    } else if (!os_file_exists(one)) {
        rc = err_set(err, ERR_NOTFOUND, "%s: has no model.safetensors and no model.safetensors.index.json", folder);
    } else if ((rc = new_safetensors(&s, 1, folder, err)) == 0) {
        char *path = arena_strdup(&s->arena, one, strlen(one));
        rc = path ? open_file(s, path, err) : out_of_memory(folder, err);
        if (rc == 0) rc = one_file(s, err);
        rc = hand_over(out, s, rc);
    }
    arena_release(&a);
    return rc;
}

void safetensors_close(struct safetensors *s)
{
    if (!s) return;
    for (uint32_t i = 0; i < s->n_maps; i++) os_map_close(&s->map[i]);
    arena_release(&s->arena);
    mem_free(s);
}

/* ---- what is in it ---- */

size_t safetensors_n(const struct safetensors *s) { return s->n; }
const struct st_tensor *safetensors_at(const struct safetensors *s, size_t i) { return &s->tensor[i]; }

const struct st_tensor *safetensors_find(const struct safetensors *s, const char *name)
{
    size_t i = names_find(&s->names, tensor_name, s->tensor, (struct gguf_str){ name, strlen(name) });
    return i == SIZE_MAX ? NULL : &s->tensor[i];
}

uint32_t safetensors_n_files(const struct safetensors *s) { return s->n_files; }
const char *safetensors_path(const struct safetensors *s, uint32_t file) { return s->file[file].path; }

uint64_t safetensors_bytes(const struct safetensors *s)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < s->n_files; i++) n += s->file[i].size;
    return n;
}

const uint8_t *safetensors_data(const struct safetensors *s, uint32_t file, uint64_t *bytes)
{
    const struct file *f = &s->file[file];
    *bytes = f->size - f->data_at;
    return f->data + f->data_at;
}

void safetensors_willneed(const struct safetensors *s)
{
    for (uint32_t i = 0; i < s->n_maps; i++) os_map_willneed(&s->map[i], s->file[i].data_at,
                                                             s->file[i].size - s->file[i].data_at);
}
