#include "quant/imatrix.h"

#include <string.h>

#include "base/arena.h"
#include "base/ck.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/rd.h"
#include "format/gguf.h"
#include "format/names.h"

enum { MAX_ENTRIES = 65536, MAX_NAME = 255, MAX_CHUNKS = 1 << 30 };

struct imatrix {
    struct arena arena;
    struct imatrix_entry *entry;
    size_t n;
    struct names names;
    uint32_t chunks;
    const char *dataset;
};

static struct gguf_str entry_name(const void *items, size_t i)
{
    const char *s = ((const struct imatrix_entry *)items)[i].name;
    return (struct gguf_str){ s, strlen(s) };
}

static int out_of_memory(const char *path, struct err *err) { return err_set(err, ERR_NOMEM, "%s: out of memory", path); }

static int check_values(const char *path, const struct imatrix_entry *e, struct err *err)
{
    for (uint64_t i = 0; i < e->n; i++)
        if (!(e->value[i] >= 0 && e->value[i] <= 3e38f))
            return err_set(err, ERR_FORMAT, "%s: %s: value %llu of %llu is no finite number that is not negative", path, e->name,
                           (unsigned long long)i, (unsigned long long)e->n);
    return 0;
}

/* ---- GGUF ---- */

static const char sum_suffix[] = ".in_sum2";
enum { SUFFIX = sizeof sum_suffix - 1 };

static bool is_sum(const struct gguf_tensor *t)
{
    size_t n = strlen(t->name);
    return n > SUFFIX && !strcmp(t->name + n - SUFFIX, sum_suffix);
}

static float value_at(const struct gguf_tensor *t, uint64_t i)
{
    struct rd r = { t->data + 4 * i, t->data + 4 * i + 4, false };
    return rd_f32(&r);
}

static int read_sum(struct imatrix *m, const struct gguf *g, const struct gguf_tensor *t, struct err *err)
{
    struct imatrix_entry *e = &m->entry[m->n++];
    char counts[80];
    size_t len = strlen(t->name) - SUFFIX;
    fmt_into(counts, sizeof counts, "%.*s.counts", (int)len, t->name);
    const struct gguf_tensor *c = gguf_tensor(g, counts);
    uint64_t n_mat = t->ne[1] * t->ne[2] * t->ne[3], n = t->ne[0] * n_mat;
    if (t->type != DT_F32 || !c || c->type != DT_F32 || c->bytes / 4 != n_mat)
        return err_set(err, ERR_FORMAT, "%s: tensor %s needs F32 values and %llu F32 counts in %s", gguf_path(g), t->name,
                       (unsigned long long)n_mat, counts);
    float *v = arena_new(&m->arena, float, n);
    *e = (struct imatrix_entry){ arena_strdup(&m->arena, t->name, len), n, v };
    if (!v || !e->name) return out_of_memory(gguf_path(g), err);
    for (uint64_t k = 0; k < n_mat; k++) {
        float count = value_at(c, k);
        for (uint64_t i = 0; i < t->ne[0]; i++)
            v[k * t->ne[0] + i] = value_at(t, k * t->ne[0] + i) / (count > 0 ? count : 1);
    }
    return check_values(gguf_path(g), e, err);
}

static int read_gguf(struct imatrix *m, const struct gguf *g, struct err *err)
{
    struct gguf_str s = { "", 0 };
    const struct gguf_kv *kv = gguf_find(g, "imatrix.datasets");
    const uint8_t *at = kv ? kv->data : NULL;
    if (!gguf_get_str(g, "general.type", &s) || s.n != 7 || memcmp(s.s, "imatrix", 7))
        return err_set(err, ERR_ARG, "%s: key general.type does not say imatrix; it is no importance matrix", gguf_path(g));
    gguf_get_u32(g, "imatrix.chunk_count", &m->chunks);
    s = (struct gguf_str){ "", 0 };
    if (kv) gguf_next_str(kv, &at, &s);
    m->dataset = arena_strdup(&m->arena, s.s, s.n);
    m->entry = arena_new(&m->arena, struct imatrix_entry, gguf_n_tensors(g) + 1);
    if (!m->dataset || !m->entry) return out_of_memory(gguf_path(g), err);
    int rc = 0;
    for (size_t i = 0; i < gguf_n_tensors(g) && rc == 0; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (is_sum(t)) rc = read_sum(m, g, t, err);
    }
    return rc;
}

/* ---- .dat ---- */

/* i32 entries; each: i32 length, name, i32 calls, i32 values, f32 values times calls; then i32 chunks, i32 length, dataset. */
static int read_entry(struct imatrix *m, struct rd *r, const char *path, struct imatrix_entry *e, struct err *err)
{
    uint32_t len = rd_u32(r);
    const uint8_t *name = len && len <= MAX_NAME ? rd_take(r, len) : NULL;
    uint32_t calls = rd_u32(r), n = rd_u32(r);
    if (!name || memchr(name, 0, len) || r->bad || !n || n > rd_left(r) / 4 || calls > MAX_CHUNKS)
        return err_set(err, ERR_FORMAT, "%s: entry %zu is damaged or cut off; %llu bytes are left", path, m->n,
                       (unsigned long long)rd_left(r));
    float *v = arena_new(&m->arena, float, n);
    *e = (struct imatrix_entry){ arena_strdup(&m->arena, (const char *)name, len), n, v };
    if (!v || !e->name) return out_of_memory(path, err);
    for (uint32_t i = 0; i < n; i++) v[i] = rd_f32(r) / (float)(calls ? calls : 1);
    return check_values(path, e, err);
}

static int read_dat(struct imatrix *m, const char *path, const uint8_t *data, size_t size, struct err *err)
{
    struct rd r = { data, size ? data + size : data, false };
    uint32_t n = rd_u32(&r);
    /* The smallest entry has 17 bytes. */
    if (!n || n > MAX_ENTRIES || n > rd_left(&r) / 17)
        return err_set(err, ERR_FORMAT, "%s: neither GGUF nor an older importance matrix: %u entries in %zu bytes", path, n,
                       size);
    if (!(m->entry = arena_new(&m->arena, struct imatrix_entry, n))) return out_of_memory(path, err);
    int rc = 0;
    while (m->n < n && rc == 0) {
        rc = read_entry(m, &r, path, &m->entry[m->n], err);
        m->n++;
    }
    uint32_t chunks = rd_u32(&r), len = rd_u32(&r);
    const uint8_t *s = len <= rd_left(&r) ? rd_take(&r, len) : NULL;
    m->chunks = s ? chunks : 0;
    m->dataset = s ? arena_strdup(&m->arena, (const char *)s, len) : arena_strdup(&m->arena, "", 0);
    return rc < 0 || m->dataset ? rc : out_of_memory(path, err);
}

/* ---- opening ---- */

static int read_any(struct imatrix *m, const uint8_t *data, uint64_t size, const char *path, struct err *err)
{
    int rc;
    if (size >= 4 && !memcmp(data, "GGUF", 4)) {
        struct gguf *g;
        rc = gguf_parse(&g, data, size, path, err);
        if (rc == 0) rc = read_gguf(m, g, err);
        gguf_close(g);
    } else {
        rc = read_dat(m, path, data, (size_t)size, err);
    }
    if (rc < 0) return rc;
    if (!m->n) return err_set(err, ERR_FORMAT, "%s: has no values of any weight", path);
    size_t dup = 0;
    rc = names_build(&m->names, &m->arena, entry_name, m->entry, m->n, &dup);
    if (rc == ERR_NOMEM) return out_of_memory(path, err);
    return rc < 0 ? err_set(err, ERR_FORMAT, "%s: %s occurs twice", path, m->entry[dup].name) : 0;
}

int imatrix_parse(struct imatrix **out, const void *data, uint64_t size, const char *name, struct err *err)
{
    struct imatrix *m = mem_new(1, sizeof *m);
    *out = NULL;
    if (!m) return out_of_memory(name, err);
    int rc = read_any(m, data, size, name, err);
    if (rc == 0) *out = m;
    else imatrix_close(m);
    return rc;
}

int imatrix_open(struct imatrix **out, const char *path, struct err *err)
{
    struct os_map map;
    *out = NULL;
    int rc = os_map_open(&map, path, err);
    if (rc < 0) return rc;
    rc = imatrix_parse(out, map.data, map.size, path, err);
    os_map_close(&map);
    return rc;
}

void imatrix_close(struct imatrix *m)
{
    if (!m) return;
    arena_release(&m->arena);
    mem_free(m);
}

size_t imatrix_n(const struct imatrix *m) { return m->n; }
const struct imatrix_entry *imatrix_at(const struct imatrix *m, size_t i) { return &m->entry[i]; }
uint32_t imatrix_chunks(const struct imatrix *m) { return m->chunks; }
const char *imatrix_dataset(const struct imatrix *m) { return m->dataset; }

const struct imatrix_entry *imatrix_find(const struct imatrix *m, const char *name)
{
    size_t i = names_find(&m->names, entry_name, m->entry, (struct gguf_str){ name, strlen(name) });
    return i == SIZE_MAX ? NULL : &m->entry[i];
}

/* ---- writing ---- */

static int put_sums(struct gguf_writer *w, struct arena *a, const struct imatrix_sums *s, struct err *err)
{
    char name[128];
    uint64_t n;
    if (!ck_mul(s->n_col, s->n_mat, &n)) return err_set(err, ERR_LIMIT, "%s: too many columns", s->name);
    float *sum = arena_new(a, float, n), *count = arena_new(a, float, s->n_mat);
    if (!sum || !count) return err_set(err, ERR_NOMEM, "out of memory writing an importance matrix");
    for (uint64_t i = 0; i < n; i++) {
        sum[i] = (float)s->sum2[i];
        if (!(sum[i] >= 0 && sum[i] <= 3e38f))
            return err_set(err, ERR_FORMAT, "%s: column %llu of %llu meets values that are not finite; the model or its file is "
                           "damaged", s->name, (unsigned long long)(i % s->n_col), (unsigned long long)s->n_col);
    }
    for (uint64_t i = 0; i < s->n_mat; i++) count[i] = (float)s->count[i];
    fmt_into(name, sizeof name, "%s%s", s->name, sum_suffix);
    gguf_put_tensor(w, name, DT_F32, 2, (uint64_t[]){ s->n_col, s->n_mat }, sum);
    fmt_into(name, sizeof name, "%s.counts", s->name);
    gguf_put_tensor(w, name, DT_F32, 2, (uint64_t[]){ 1, s->n_mat }, count);
    return 0;
}

int imatrix_save(const char *path, const struct imatrix_sums *s, size_t n, const struct imatrix_source *from, struct err *err)
{
    struct gguf_writer *w;
    struct arena a = { 0 };
    struct gguf_str dataset = { from->dataset, strlen(from->dataset) };
    int rc = gguf_writer_open(&w, err);
    if (rc < 0) return rc;
    gguf_put_str(w, "general.type", "imatrix", 7);
    gguf_put_strs(w, "imatrix.datasets", &dataset, 1);
    gguf_put_u32(w, "imatrix.chunk_count", from->chunks);
    gguf_put_u32(w, "imatrix.chunk_size", from->chunk_size);
    for (size_t i = 0; i < n && rc == 0; i++) rc = put_sums(w, &a, &s[i], err);
    if (rc == 0) rc = gguf_writer_save(w, path, err);
    gguf_writer_close(w);
    arena_release(&a);
    return rc;
}
