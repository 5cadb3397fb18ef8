/* gguf_parse.c - reads the header of one GGUF file, trusting nothing. */
#include <stdlib.h>

#include "base/ck.h"
#include "base/mem.h"
#include "base/rd.h"
#include "format/gguf_impl.h"

enum { MIN_KV = 8 + 1 + 4 + 1, MIN_TENSOR = 8 + 1 + 4 + 8 + 4 + 8 };      /* bytes of the smallest records */

typedef unsigned long long ull;

struct parse {
    struct gguf_part *part;
    struct rd r;
    struct arena *arena;
    struct err *err;
    /* what is being read, for messages */
    const char *kind;                       /* "key", "tensor" or NULL in the header */
    size_t index;
    struct gguf_str name;
    /* limits over the whole file */
    uint64_t n_strings;
    uint32_t alignment;
};

static uint64_t here(const struct parse *p) { return (uint64_t)(p->r.at - p->part->data); }

static int fail(struct parse *p, int code, uint64_t at, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
static int fail(struct parse *p, int code, uint64_t at, const char *fmt, ...)
{
    char text[320];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    const char *path = p->part->path;
    if (!p->kind) return err_set(p->err, code, "%s: byte %llu: %s", path, (ull)at, text);
    if (!p->name.n)
        return err_set(p->err, code, "%s: byte %llu: %s number %zu: %s", path, (ull)at, p->kind, p->index + 1, text);
    return err_set(p->err, code, "%s: byte %llu: %s '%s': %s", path, (ull)at, p->kind, gguf_show(p->name).s, text);
}

static int fail_end(struct parse *p, const char *what)
{
    return fail(p, ERR_FORMAT, p->part->size, "the file ends inside %s: it is cut off, download it again", what);
}

static int read_str(struct parse *p, const char *what, uint64_t max, struct gguf_str *out)
{
    uint64_t at = here(p), n = rd_u64(&p->r);
    if (p->r.bad) return fail_end(p, what);
    if (n > max) return fail(p, ERR_LIMIT, at, "%s has %llu bytes, the limit is %llu", what, (ull)n, (ull)max);
    const uint8_t *s = rd_take(&p->r, n);
    if (!s) return fail_end(p, what);
    *out = (struct gguf_str){ (const char *)s, (size_t)n };
    return 0;
}

static int read_name(struct parse *p, const char *what, uint64_t max, struct gguf_str *out)
{
    uint64_t at = here(p);
    int rc = read_str(p, what, max, out);
    if (rc < 0) return rc;
    if (!out->n) return fail(p, ERR_FORMAT, at, "%s is empty", what);
    if (!gguf_name_ok(*out)) return fail(p, ERR_FORMAT, at, "%s contains control characters", what);
    p->name = *out;
    return 0;
}

/* ---- keys and values ---- */

static inline uint64_t le64(const uint8_t *b)
{
    return (uint64_t)b[0] | (uint64_t)b[1] << 8 | (uint64_t)b[2] << 16 | (uint64_t)b[3] << 24 | (uint64_t)b[4] << 32 |
           (uint64_t)b[5] << 40 | (uint64_t)b[6] << 48 | (uint64_t)b[7] << 56;
}

/* Vocabularies are the bulk of a header: one tight loop, the cursor is moved once. */
static int skip_strings(struct parse *p, uint64_t count)
{
    const uint8_t *at = p->r.at, *end = p->r.end;
    for (uint64_t i = 0; i < count; i++) {
        if ((size_t)(end - at) < 8) return fail_end(p, "an array of strings");
        uint64_t n = le64(at);
        at += 8;
        if (n > GGUF_MAX_STRING)
            return fail(p, ERR_LIMIT, (uint64_t)(at - 8 - p->part->data),
                        "string %llu of the array has %llu bytes, the limit is %d", (ull)i, (ull)n, GGUF_MAX_STRING);
        if (n > (uint64_t)(end - at)) return fail_end(p, "an array of strings");
        at += n;
    }
    p->r.at = at;
    return 0;
}

static int read_array(struct parse *p, struct gguf_kv *kv)
{
    uint64_t at = here(p);
    uint32_t item = rd_u32(&p->r);
    kv->count = rd_u64(&p->r);
    if (p->r.bad) return fail_end(p, "an array");
    uint32_t size = gguf_type_bytes(item);
    if (item == GGUF_ARRAY) return fail(p, ERR_UNSUPPORTED, at, "arrays of arrays are not supported");
    if (!size && item != GGUF_STRING) return fail(p, ERR_FORMAT, at, "unknown element type %u", item);
    kv->item = (enum gguf_type)item;
    kv->data = p->r.at;
    if (kv->count > rd_left(&p->r) / (size ? size : 8))
        return fail(p, ERR_FORMAT, at + 4, "an array of %llu elements does not fit in the %llu bytes that follow",
                    (ull)kv->count, (ull)rd_left(&p->r));
    if (size) {
        kv->bytes = kv->count * size;
        rd_take(&p->r, kv->bytes);
        return 0;
    }
    p->n_strings += kv->count;
    if (p->n_strings > GGUF_MAX_STRINGS)
        return fail(p, ERR_LIMIT, at + 4, "more than %d strings in arrays", GGUF_MAX_STRINGS);
    int rc = skip_strings(p, kv->count);
    kv->bytes = (uint64_t)(p->r.at - kv->data);
    return rc;
}

static int read_kv(struct parse *p, struct gguf_kv *kv)
{
    int rc = read_name(p, "the name of the key", GGUF_MAX_KEY, &kv->key);
    if (rc < 0) return rc;
    uint64_t at = here(p);
    uint32_t type = rd_u32(&p->r), size = gguf_type_bytes(type);
    if (p->r.bad) return fail_end(p, "the type of the value");
    if (!size && type != GGUF_STRING && type != GGUF_ARRAY)
        return fail(p, ERR_FORMAT, at, "unknown value type %u", type);
    kv->type = kv->item = (enum gguf_type)type;
    kv->count = 1;
    kv->data = p->r.at;
    if (type == GGUF_ARRAY) return read_array(p, kv);
    if (type == GGUF_STRING) {
        struct gguf_str s;
        if ((rc = read_str(p, "the value", gguf_string_limit(kv->key), &s)) < 0) return rc;
        kv->bytes = 8 + s.n;
        return 0;
    }
    kv->bytes = size;
    if (!rd_take(&p->r, size)) return fail_end(p, "the value");
    return 0;
}

static int read_alignment(struct parse *p)
{
    p->alignment = GGUF_DEFAULT_ALIGNMENT;
    const struct gguf_kv *kv = gguf_part_find(p->part, "general.alignment");
    if (!kv) return 0;
    p->name = kv->key;
    uint64_t at = (uint64_t)(kv->data - p->part->data), v = 0;
    if (kv->type != GGUF_U32) return fail(p, ERR_FORMAT, at, "must be an unsigned 32-bit number");
    gguf_kv_u64(kv, &v);
    if (!v || v > GGUF_MAX_ALIGNMENT || (v & (v - 1)))
        return fail(p, ERR_FORMAT, at, "alignment %llu is not a power of two from 1 to %d", (ull)v, GGUF_MAX_ALIGNMENT);
    p->alignment = (uint32_t)v;
    return 0;
}

static int read_kvs(struct parse *p)
{
    struct gguf_part *f = p->part;
    p->kind = "key";
    if (!(f->kv = arena_new(p->arena, struct gguf_kv, f->n_kv)))
        return err_set(p->err, ERR_NOMEM, "%s: out of memory for %zu keys", f->path, f->n_kv);
    for (size_t i = 0; i < f->n_kv; i++) {
        p->index = i;
        p->name.n = 0;
        int rc = read_kv(p, &f->kv[i]);
        if (rc < 0) return rc;
    }
    size_t dup = 0;
    int rc = names_build(&f->keys, p->arena, gguf_kv_name, f->kv, f->n_kv, &dup);
    if (rc == ERR_NOMEM) return err_set(p->err, rc, "%s: out of memory for %zu keys", f->path, f->n_kv);
    if (rc < 0) {
        p->name = f->kv[dup].key;
        return fail(p, rc, (uint64_t)((const uint8_t *)p->name.s - f->data),
                    rc == ERR_LIMIT ? "keys are chosen to collide" : "the key occurs twice");
    }
    return read_alignment(p);
}

/* ---- tensors ---- */

static int read_dims(struct parse *p, struct gguf_tensor *t)
{
    uint64_t at = here(p);
    t->n_dims = rd_u32(&p->r);
    if (p->r.bad) return fail_end(p, "the number of dimensions");
    if (t->n_dims < 1 || t->n_dims > 4)
        return fail(p, ERR_FORMAT, at, "%u dimensions, must be 1 to 4", t->n_dims);
    uint64_t n = 1;
    for (unsigned i = 0; i < 4; i++) {
        at = here(p);
        t->ne[i] = i < t->n_dims ? rd_u64(&p->r) : 1;
        if (p->r.bad) return fail_end(p, "the dimensions");
        if (!t->ne[i]) return fail(p, ERR_FORMAT, at, "dimension %u is zero", i);
        if (!ck_mul(n, t->ne[i], &n) || n > INT64_MAX)
            return fail(p, ERR_FORMAT, at, "dimension %u is %llu: the number of elements overflows", i, (ull)t->ne[i]);
    }
    return 0;
}

static int read_dtype(struct parse *p, struct gguf_tensor *t)
{
    uint64_t at = here(p);
    uint32_t id = rd_u32(&p->r);
    if (p->r.bad) return fail_end(p, "the type of a tensor");
    if (!dtype_from_gguf(id, &t->type)) {
        bool repacked = (id >= 31 && id <= 33) || (id >= 36 && id <= 38);
        return fail(p, ERR_UNSUPPORTED, at, "unknown tensor type %u: %s", id,
                    repacked ? "this layout was withdrawn, get the model in Q4_0 or IQ4_NL"
                             : "the file is damaged or needs another program");
    }
    const struct dtype_info *d = dtype_info(t->type);
    if (t->ne[0] % d->block_values)
        return fail(p, ERR_FORMAT, at, "rows of %llu values are not whole blocks of %u (type %s)", (ull)t->ne[0],
                    d->block_values, d->name);
    if (!dtype_row_bytes(t->type, t->ne[0], &t->bytes) || !ck_mul(t->bytes, t->ne[1], &t->bytes) ||
        !ck_mul(t->bytes, t->ne[2], &t->bytes) || !ck_mul(t->bytes, t->ne[3], &t->bytes))
        return fail(p, ERR_FORMAT, at, "the size in bytes overflows");
    return 0;
}

static int read_tensor(struct parse *p, struct gguf_tensor *t)
{
    struct gguf_str name;
    int rc = read_name(p, "the name of the tensor", GGUF_MAX_NAME, &name);
    if (rc < 0 || (rc = read_dims(p, t)) < 0 || (rc = read_dtype(p, t)) < 0) return rc;
    if (!(t->name = arena_strdup(p->arena, name.s, name.n)))
        return err_set(p->err, ERR_NOMEM, "%s: out of memory for tensor names", p->part->path);
    uint64_t at = here(p);
    t->offset = rd_u64(&p->r);
    if (p->r.bad) return fail_end(p, "the offset of a tensor");
    if (t->offset & (p->alignment - 1))
        return fail(p, ERR_FORMAT, at, "offset %llu is not a multiple of the alignment %u", (ull)t->offset,
                    p->alignment);
    return 0;
}

/* Makes the offset absolute and checks that the data is in the file and can be used in place. */
static int place_tensor(struct parse *p, struct gguf_tensor *t)
{
    const struct dtype_info *d = dtype_info(t->type);
    uint64_t end, relative = t->offset;
    p->name = gguf_tensor_name(t, 0);
    if (!ck_add(t->offset, p->part->data_at, &t->offset) || !ck_add(t->offset, t->bytes, &end))
        return fail(p, ERR_FORMAT, p->part->data_at, "offset %llu overflows", (ull)relative);
    if (end > p->part->size)
        return fail(p, ERR_FORMAT, t->offset, "its data ends at byte %llu but the file has only %llu: it is cut off "
                    "(download it again, or join its parts first)", (ull)end, (ull)p->part->size);
    if (t->offset % (d->block_values == 1 ? d->block_bytes : 4))
        return fail(p, ERR_UNSUPPORTED, t->offset, "%s data is not aligned to its own size", d->name);
    t->data = p->part->data + t->offset;
    return 0;
}

static int by_offset(const void *a, const void *b)
{
    const struct gguf_tensor *x = *(const struct gguf_tensor *const *)a, *y = *(const struct gguf_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static int check_overlap(struct parse *p)
{
    struct gguf_part *f = p->part;
    bool sorted = true;                     /* nearly every file is */
    for (size_t i = 1; i < f->n_tensors && sorted; i++)
        sorted = f->tensor[i].offset >= f->tensor[i - 1].offset + f->tensor[i - 1].bytes;
    if (sorted) return 0;
    const struct gguf_tensor **v = mem_new_array(const struct gguf_tensor *, f->n_tensors);
    if (!v) return err_set(p->err, ERR_NOMEM, "%s: out of memory for %zu tensors", f->path, f->n_tensors);
    for (size_t i = 0; i < f->n_tensors; i++) v[i] = &f->tensor[i];
    qsort(v, f->n_tensors, sizeof *v, by_offset);
    int rc = 0;
    for (size_t i = 1; i < f->n_tensors && rc == 0; i++)
        if (v[i]->offset - v[i - 1]->offset < v[i - 1]->bytes) {
            p->name = gguf_tensor_name(v[i], 0);
            rc = fail(p, ERR_FORMAT, v[i]->offset, "its data overlaps that of '%s'",
                      gguf_show(gguf_tensor_name(v[i - 1], 0)).s);
        }
    mem_free(v);
    return rc;
}

static int read_tensors(struct parse *p)
{
    struct gguf_part *f = p->part;
    p->kind = "tensor";
    if (!(f->tensor = arena_new(p->arena, struct gguf_tensor, f->n_tensors)))
        return err_set(p->err, ERR_NOMEM, "%s: out of memory for %zu tensors", f->path, f->n_tensors);
    for (size_t i = 0; i < f->n_tensors; i++) {
        p->index = i;
        p->name.n = 0;
        int rc = read_tensor(p, &f->tensor[i]);
        if (rc < 0) return rc;
    }
    if (!ck_align(here(p), p->alignment, &f->data_at)) return fail_end(p, "the header");
    for (size_t i = 0; i < f->n_tensors; i++) {
        int rc = place_tensor(p, &f->tensor[i]);
        if (rc < 0) return rc;
    }
    return check_overlap(p);
}

/* ---- header ---- */

static int read_version(struct parse *p)
{
    uint32_t v = rd_u32(&p->r);
    if (p->r.bad) return fail_end(p, "the version");
    if (v && !(v & 0xffff))
        return fail(p, ERR_UNSUPPORTED, 4, "this is a big-endian GGUF file: get the little-endian one");
    if (v == 1)
        return fail(p, ERR_UNSUPPORTED, 4, "GGUF version 1 (of 2023) is not supported: get a newer file of this model");
    if (v == 0) return fail(p, ERR_FORMAT, 4, "version 0 does not exist: the file is damaged");
    if (v > 3) return fail(p, ERR_UNSUPPORTED, 4, "GGUF version %u is newer than this program, which reads 2 and 3", v);
    p->part->version = v;
    return 0;
}

static int check_count(struct parse *p, uint64_t at, uint64_t n, uint64_t max, uint64_t record, const char *what)
{
    if (n > max) return fail(p, ERR_LIMIT, at, "%llu %s, the limit is %llu", (ull)n, what, (ull)max);
    if (n * record > rd_left(&p->r))
        return fail(p, ERR_FORMAT, at, "%llu %s do not fit in the %llu bytes that follow", (ull)n, what,
                    (ull)rd_left(&p->r));
    return 0;
}

int gguf_read_part(struct gguf_part *f, struct arena *a, struct err *err)
{
    if (f->size < 4 || memcmp(f->data, "GGUF", 4) != 0) return gguf_not_gguf(f->path, f->data, f->size, err);
    struct parse p = { .part = f, .r = { f->data + 4, f->data + f->size, false }, .arena = a, .err = err };
    int rc = read_version(&p);
    if (rc < 0) return rc;
    uint64_t n_tensors = rd_u64(&p.r), n_kv = rd_u64(&p.r);
    if (p.r.bad) return fail_end(&p, "the counts of tensors and keys");
    if ((rc = check_count(&p, 8, n_tensors, GGUF_MAX_TENSORS, MIN_TENSOR, "tensors")) < 0) return rc;
    if ((rc = check_count(&p, 16, n_kv, GGUF_MAX_KEYS, MIN_KV, "keys")) < 0) return rc;
    f->n_tensors = (size_t)n_tensors;
    f->n_kv = (size_t)n_kv;
    if ((rc = read_kvs(&p)) < 0) return rc;
    return read_tensors(&p);
}
