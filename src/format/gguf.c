/* gguf.c - opens a model: one file, or the parts of a split one, as one set of tensors. */
#include "format/gguf.h"

#include <string.h>

#include "base/mem.h"
#include "format/gguf_impl.h"

static int out_of_memory(const char *path, struct err *err)
{
    return err_set(err, ERR_NOMEM, "%s: out of memory reading the model", path);
}

/* Room for n parts; keeps those that are open. */
static int resize_parts(struct gguf *g, uint32_t n, struct err *err)
{
    struct gguf_part *part = arena_new(&g->arena, struct gguf_part, n);
    struct os_map *map = arena_new(&g->arena, struct os_map, n);
    if (!part || !map) return out_of_memory(g->path, err);
    if (g->n_parts) memcpy(part, g->part, g->n_parts * sizeof *part);
    if (g->n_maps) memcpy(map, g->map, g->n_maps * sizeof *map);
    g->part = part;
    g->map = map;
    g->n_parts = n;
    return 0;
}

static int open_part(struct gguf *g, uint32_t i, const char *path, struct err *err)
{
    int rc = os_map_open(&g->map[i], path, err);
    if (rc < 0) return rc;
    g->n_maps = i + 1;
    g->part[i] = (struct gguf_part){ .path = path, .data = g->map[i].data, .size = g->map[i].size };
    return gguf_read_part(&g->part[i], &g->arena, err);
}

/* ---- split files ---- */

enum { SUFFIX = 20 };                       /* characters of -00001-of-00002.gguf */

struct split { uint64_t no, count, tensors; bool has_tensors; };

static struct split split_of(const struct gguf_part *p)
{
    struct split s = { 0, 1, 0, false };
    gguf_kv_u64(gguf_part_find(p, "split.no"), &s.no);
    gguf_kv_u64(gguf_part_find(p, "split.count"), &s.count);
    s.has_tensors = gguf_kv_u64(gguf_part_find(p, "split.tensors.count"), &s.tensors);
    return s;
}

static void put_five_digits(char *dst, uint64_t v)
{
    for (int i = 4; i >= 0; i--, v /= 10) dst[i] = (char)('0' + v % 10);
}

static void put_suffix(char *dst, uint64_t no, uint64_t count)
{
    memcpy(dst, "-00000-of-00000.gguf", SUFFIX);
    put_five_digits(dst + 1, no + 1);
    put_five_digits(dst + 10, count);
}

/* The path of part `to`, derived from that of part `from`; NULL without memory or when the name does not fit. */
static char *part_path(struct arena *a, const char *path, uint64_t from, uint64_t to, uint64_t count)
{
    size_t n = strlen(path);
    char suffix[SUFFIX];
    put_suffix(suffix, from, count);
    if (n <= SUFFIX || memcmp(path + n - SUFFIX, suffix, SUFFIX) != 0) return NULL;
    char *out = arena_strdup(a, path, n);
    if (out) put_suffix(out + n - SUFFIX, to, count);
    return out;
}

static int check_first(struct gguf *g, struct split s, struct err *err)
{
    const char *path = g->path;
    if (s.count > GGUF_MAX_FILES)
        return err_set(err, ERR_LIMIT, "%s: key 'split.count': %llu files, the limit is %d", path,
                       (unsigned long long)s.count, GGUF_MAX_FILES);
    if (s.no >= s.count)
        return err_set(err, ERR_FORMAT, "%s: key 'split.no': part %llu does not exist, the model has %llu", path,
                       (unsigned long long)s.no + 1, (unsigned long long)s.count);
    if (s.no == 0) return 0;
    const char *first = part_path(&g->arena, path, s.no, 0, s.count);
    return err_set(err, ERR_ARG, "%s: this is part %d of %d of a model: open the first part%s%s", path, (int)s.no + 1,
                   (int)s.count, first ? ", " : "", first ? first : "");
}

static int open_others(struct gguf *g, struct err *err)
{
    struct split s = split_of(&g->part[0]);
    int rc = check_first(g, s, err);
    if (rc < 0 || s.count <= 1) return rc;
    if (!part_path(&g->arena, g->path, 0, 0, s.count))
        return err_set(err, ERR_ARG, "%s: this is part 1 of %d of a model, but its name does not end in "
                       "-00001-of-%05d.gguf: give the parts their names back", g->path, (int)s.count, (int)s.count);
    if ((rc = resize_parts(g, (uint32_t)s.count, err)) < 0) return rc;
    for (uint32_t i = 1; i < g->n_parts; i++) {
        const char *path = part_path(&g->arena, g->path, 0, i, s.count);
        if (!path) return out_of_memory(g->path, err);
        rc = open_part(g, i, path, err);
        if (rc < 0) return err_prefix(err, rc, "part %u of %u of the model: ", i + 1, g->n_parts);
        struct split t = split_of(&g->part[i]);
        if (t.no != i || t.count != s.count)
            return err_set(err, ERR_FORMAT, "%s: says it is part %llu of %llu, but its name says %u of %u: the parts "
                           "are mixed up", path, (unsigned long long)t.no + 1, (unsigned long long)t.count, i + 1,
                           g->n_parts);
    }
    return 0;
}

/* ---- one set of tensors ---- */

static int merge(struct gguf *g, struct err *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < g->n_parts; i++) n += g->part[i].n_tensors;
    if (n > GGUF_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "%s: the parts have %zu tensors, the limit is %d", g->path, n, GGUF_MAX_TENSORS);
    g->n_tensors = n;
    g->tensor = g->part[0].tensor;
    if (g->n_parts == 1) return 0;
    struct split s = split_of(&g->part[0]);
    if (s.has_tensors && s.tensors != n)
        return err_set(err, ERR_FORMAT, "%s: key 'split.tensors.count' says %llu tensors, but the %u parts have %zu",
                       g->path, (unsigned long long)s.tensors, g->n_parts, n);
    if (!(g->tensor = arena_new(&g->arena, struct gguf_tensor, n))) return out_of_memory(g->path, err);
    struct gguf_tensor *t = g->tensor;
    for (uint32_t i = 0; i < g->n_parts; i++)
        for (size_t k = 0; k < g->part[i].n_tensors; k++, t++) {
            *t = g->part[i].tensor[k];
            t->file = i;
        }
    return 0;
}

static int finish(struct gguf *g, struct err *err)
{
    int rc = merge(g, err);
    if (rc < 0) return rc;
    size_t dup = 0;
    rc = names_build(&g->names, &g->arena, gguf_tensor_name, g->tensor, g->n_tensors, &dup);
    if (rc == 0) return 0;
    if (rc == ERR_NOMEM) return out_of_memory(g->path, err);
    const struct gguf_tensor *t = &g->tensor[dup];
    return err_set(err, rc, "%s: byte %llu: tensor '%s': %s", g->view ? g->path : g->part[t->file].path,
                   (unsigned long long)t->offset,
                   gguf_show(gguf_tensor_name(t, 0)).s,
                   rc == ERR_LIMIT ? "names are chosen to collide" : "the name occurs twice");
}

static struct gguf *new_gguf(const char *path, struct err *err)
{
    struct gguf *g = mem_new(1, sizeof *g);
    if (g && (g->path = arena_strdup(&g->arena, path, strlen(path)))) return g;
    gguf_close(g);
    out_of_memory(path, err);
    return NULL;
}

static int hand_over(struct gguf **out, struct gguf *g, int rc)
{
    if (rc == 0)
        *out = g;
    else
        gguf_close(g);
    return rc;
}

int gguf_open(struct gguf **out, const char *path, struct err *err)
{
    *out = NULL;
    struct gguf *g = new_gguf(path, err);
    if (!g) return ERR_NOMEM;
    int rc = resize_parts(g, 1, err);
    if (rc == 0) rc = open_part(g, 0, g->path, err);
    if (rc == 0) rc = open_others(g, err);
    if (rc == 0) rc = finish(g, err);
    return hand_over(out, g, rc);
}

int gguf_parse(struct gguf **out, const void *data, uint64_t size, const char *name, struct err *err)
{
    *out = NULL;
    struct gguf *g = new_gguf(name, err);
    if (!g) return ERR_NOMEM;
    int rc = resize_parts(g, 1, err);
    if (rc == 0) {
        g->part[0] = (struct gguf_part){ .path = g->path, .data = data, .size = size };
        rc = gguf_read_part(&g->part[0], &g->arena, err);
    }
    if (rc == 0) rc = finish(g, err);
    return hand_over(out, g, rc);
}

int gguf_from_view(struct gguf **out, const struct gguf_view *v, struct err *err)
{
    *out = NULL;
    struct gguf *g = new_gguf(v->path, err);
    if (g) g->view = arena_new(&g->arena, struct gguf_view, 1);
    if (!g || !g->view) {
        int rc = out_of_memory(v->path, err);       /* the path is the owner's */
        v->release(v->owner);
        gguf_close(g);
        return rc;
    }
    *g->view = *v;
    int rc = resize_parts(g, 1, err);
    if (rc == 0) {
        g->part[0] = (struct gguf_part){ .path = g->path, .data = v->header, .size = v->header_bytes };
        rc = gguf_read_part(&g->part[0], &g->arena, err);
    }
    if (rc == 0 && v->n_tensors > GGUF_MAX_TENSORS)
        rc = err_set(err, ERR_LIMIT, "%s: %zu tensors, the limit is %d", g->path, v->n_tensors, GGUF_MAX_TENSORS);
    if (rc == 0) {
        g->part[0].tensor = v->tensor;
        g->part[0].n_tensors = v->n_tensors;
        rc = finish(g, err);
    }
    return hand_over(out, g, rc);
}

void gguf_close(struct gguf *g)
{
    if (!g) return;
    if (g->view) g->view->release(g->view->owner);
    for (uint32_t i = 0; i < g->n_maps; i++) os_map_close(&g->map[i]);
    arena_release(&g->arena);
    mem_free(g);
}

/* ---- what is in it ---- */

uint32_t gguf_version(const struct gguf *g) { return g->view ? g->view->version : g->part[0].version; }
uint32_t gguf_n_files(const struct gguf *g) { return g->view ? g->view->n_files : g->n_parts; }
const char *gguf_path(const struct gguf *g) { return g->path; }
const char *gguf_file_path(const struct gguf *g, uint32_t i) { return g->part[i].path; }

uint64_t gguf_file_bytes(const struct gguf *g)
{
    uint64_t n = 0;
    if (g->view) return g->view->file_bytes;
    for (uint32_t i = 0; i < g->n_parts; i++) n += g->part[i].size;
    return n;
}

const uint8_t *gguf_first_data(const struct gguf *g, uint64_t *bytes)
{
    const struct gguf_part *p = &g->part[0];
    *bytes = g->view ? g->view->data_bytes : p->data_at < p->size ? p->size - p->data_at : 0;
    return !*bytes ? NULL : g->view ? g->view->data : p->data + p->data_at;
}

void gguf_willneed(const struct gguf *g)
{
    if (g->view) g->view->willneed(g->view->owner);
    for (uint32_t i = 0; i < g->n_maps; i++)
        os_map_willneed(&g->map[i], g->part[i].data_at, g->part[i].size);
}

void gguf_done(const struct gguf *g, const struct gguf_tensor *t, uint64_t at, uint64_t n)
{
    if (t->file < g->n_maps) os_map_done(&g->map[t->file], t->offset + at, n);
}

size_t gguf_n_kv(const struct gguf *g) { return g->part[0].n_kv; }
const struct gguf_kv *gguf_kv_at(const struct gguf *g, size_t i) { return &g->part[0].kv[i]; }
const struct gguf_kv *gguf_find(const struct gguf *g, const char *key) { return gguf_part_find(&g->part[0], key); }

size_t gguf_n_tensors(const struct gguf *g) { return g->n_tensors; }
const struct gguf_tensor *gguf_tensor_at(const struct gguf *g, size_t i) { return &g->tensor[i]; }

const struct gguf_tensor *gguf_tensor(const struct gguf *g, const char *name)
{
    size_t i = names_find(&g->names, gguf_tensor_name, g->tensor, (struct gguf_str){ name, strlen(name) });
    return i == SIZE_MAX ? NULL : &g->tensor[i];
}
