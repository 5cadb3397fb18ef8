/* gguf_write.c - collects keys and tensors and writes them as one version 3 file. */
#include <string.h>

#include "base/buf.h"
#include "base/ck.h"
#include "base/mem.h"
#include "format/gguf_impl.h"

/* Who makes a tensor's bytes; fn NULL: they are there already. */
struct source { gguf_fill_fn *fn; void *arg; };

struct gguf_writer {
    struct buf kv;                          /* the encoded records */
    struct gguf_kv *key;                    /* .key and .data are offsets into kv until the file is built */
    struct gguf_tensor *tensor;             /* .name is ours, .data the caller's, .offset relative */
    struct source *source;                  /* of each tensor */
    size_t n_kv, cap_kv, n_tensors, cap_tensors, cap_sources;
    uint64_t data_bytes;
    uint32_t alignment;
    struct err bad;                         /* the first failure */
};

int gguf_writer_open(struct gguf_writer **out, struct err *err)
{
    struct gguf_writer *w = mem_new(1, sizeof *w);
    *out = w;
    if (!w) return err_set(err, ERR_NOMEM, "out of memory writing a model");
    w->alignment = GGUF_DEFAULT_ALIGNMENT;
    return 0;
}

void gguf_writer_close(struct gguf_writer *w)
{
    if (!w) return;
    for (size_t i = 0; i < w->n_tensors; i++) mem_free((void *)(uintptr_t)w->tensor[i].name);
    mem_free(w->tensor);
    mem_free(w->source);
    mem_free(w->key);
    buf_release(&w->kv);
    mem_free(w);
}

/* ---- keys ---- */

static void put_le(struct buf *b, uint64_t v, unsigned bytes)
{
    uint8_t d[8];
    for (unsigned i = 0; i < bytes; i++) d[i] = (uint8_t)(v >> (8 * i));
    buf_put(b, d, bytes);
}

static void put_str(struct buf *b, const char *s, size_t n)
{
    put_le(b, n, 8);
    buf_put(b, s, n);
}

static bool grow(struct gguf_writer *w, void **v, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return true;
    size_t more = *cap ? *cap * 2 : 32;
    void *d = mem_resize(*v, more, size);
    if (!d) {
        err_set(&w->bad, ERR_NOMEM, "out of memory writing a model");
        return false;
    }
    *v = d;
    *cap = more;
    return true;
}

/* Begins a record; false when the writer has failed already. */
static bool begin(struct gguf_writer *w, struct gguf_str key, enum gguf_type type)
{
    if (w->bad.code) return false;
    if (!key.n || key.n > GGUF_MAX_KEY || !gguf_name_ok(key)) {
        err_set(&w->bad, ERR_ARG, "key '%s': must have 1 to %d bytes and no control characters", gguf_show(key).s,
                GGUF_MAX_KEY);
        return false;
    }
    void *v = w->key;
    bool ok = grow(w, &v, w->n_kv, &w->cap_kv, sizeof *w->key);
    w->key = v;
    if (!ok) return false;
    w->key[w->n_kv++] = (struct gguf_kv){ .key = { NULL, key.n }, .type = type, .bytes = w->kv.len + 8 };
    put_str(&w->kv, key.s, key.n);
    put_le(&w->kv, (uint64_t)type, 4);
    return true;
}

static void put_number(struct gguf_writer *w, const char *key, enum gguf_type type, uint64_t bits)
{
    struct gguf_str k = { key, strlen(key) };
    if (strcmp(key, "general.alignment") == 0) {
        if (type != GGUF_U32 || !bits || bits > GGUF_MAX_ALIGNMENT || (bits & (bits - 1)) || w->n_tensors) {
            if (!w->bad.code)
                err_set(&w->bad, ERR_ARG, "key '%s': must be a u32 power of two up to %d, before any tensor", key,
                        GGUF_MAX_ALIGNMENT);
            return;
        }
        w->alignment = (uint32_t)bits;
    }
    if (begin(w, k, type)) put_le(&w->kv, bits, gguf_type_bytes(type));
}

void gguf_put_u32(struct gguf_writer *w, const char *key, uint32_t v) { put_number(w, key, GGUF_U32, v); }
void gguf_put_u64(struct gguf_writer *w, const char *key, uint64_t v) { put_number(w, key, GGUF_U64, v); }
void gguf_put_i32(struct gguf_writer *w, const char *key, int32_t v) { put_number(w, key, GGUF_I32, (uint32_t)v); }
void gguf_put_bool(struct gguf_writer *w, const char *key, bool v) { put_number(w, key, GGUF_BOOL, v); }

void gguf_put_f32(struct gguf_writer *w, const char *key, float v)
{
    uint32_t u;
    memcpy(&u, &v, 4);
    put_number(w, key, GGUF_F32, u);
}

static bool string_ok(struct gguf_writer *w, struct gguf_str key, size_t n, uint64_t limit)
{
    if (n <= limit) return true;
    err_set(&w->bad, ERR_LIMIT, "key '%s': a string of %zu bytes, the limit is %llu", gguf_show(key).s, n,
            (unsigned long long)limit);
    return false;
}

void gguf_put_str(struct gguf_writer *w, const char *key, const char *s, size_t n)
{
    struct gguf_str k = { key, strlen(key) };
    if (begin(w, k, GGUF_STRING) && string_ok(w, k, n, gguf_string_limit(k))) put_str(&w->kv, s, n);
}

void gguf_put_array(struct gguf_writer *w, const char *key, enum gguf_type item, const void *v, uint64_t count)
{
    struct gguf_str k = { key, strlen(key) };
    uint32_t size = gguf_type_bytes(item);
    if (!begin(w, k, GGUF_ARRAY)) return;
    if (!size || count > SIZE_MAX / size) {
        err_set(&w->bad, ERR_ARG, "key '%s': an array needs elements of a numeric type", gguf_show(k).s);
        return;
    }
    put_le(&w->kv, (uint64_t)item, 4);
    put_le(&w->kv, count, 8);
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *at = (const uint8_t *)v + i * size;
        uint64_t bits = 0;
        uint16_t h;
        uint32_t u;
        if (size == 1) bits = *at;
        else if (size == 2) memcpy(&h, at, 2), bits = h;
        else if (size == 4) memcpy(&u, at, 4), bits = u;
        else memcpy(&bits, at, 8);
        put_le(&w->kv, bits, size);
    }
}

void gguf_put_strs(struct gguf_writer *w, const char *key, const struct gguf_str *v, uint64_t count)
{
    struct gguf_str k = { key, strlen(key) };
    if (!begin(w, k, GGUF_ARRAY)) return;
    put_le(&w->kv, GGUF_STRING, 4);
    put_le(&w->kv, count, 8);
    for (uint64_t i = 0; i < count && string_ok(w, k, v[i].n, GGUF_MAX_STRING); i++) put_str(&w->kv, v[i].s, v[i].n);
}

void gguf_copy_kv(struct gguf_writer *w, const struct gguf_kv *kv)
{
    uint64_t v = 0;
    if (kv->type == GGUF_U32 && kv->key.n == 17 && memcmp(kv->key.s, "general.alignment", 17) == 0) {
        gguf_kv_u64(kv, &v);
        put_number(w, "general.alignment", GGUF_U32, v);
        return;
    }
    if (!begin(w, kv->key, kv->type)) return;
    if (kv->type == GGUF_ARRAY) {
        put_le(&w->kv, (uint64_t)kv->item, 4);
        put_le(&w->kv, kv->count, 8);
    }
    buf_put(&w->kv, kv->data, (size_t)kv->bytes);
}

/* ---- tensors ---- */

static bool tensor_bytes(struct gguf_writer *w, struct gguf_tensor *t)
{
    const char *name = t->name;
    struct gguf_str s = { name, strlen(name) };
    uint64_t n = 1;
    bool ok = t->n_dims >= 1 && t->n_dims <= 4;
    for (unsigned i = 0; i < 4; i++) ok = ok && t->ne[i] && ck_mul(n, t->ne[i], &n) && n <= INT64_MAX;
    ok = ok && dtype_row_bytes(t->type, t->ne[0], &t->bytes);
    for (unsigned i = 1; i < 4; i++) ok = ok && ck_mul(t->bytes, t->ne[i], &t->bytes);
    if (!ok)
        err_set(&w->bad, ERR_ARG, "tensor '%s': 1 to 4 dimensions of at least 1, rows of whole %s blocks",
                gguf_show(s).s, dtype_info(t->type)->name);
    else if (!s.n || s.n > GGUF_MAX_NAME || !gguf_name_ok(s))
        err_set(&w->bad, ERR_ARG, "tensor '%s': a name must have 1 to %d bytes and no control characters",
                gguf_show(s).s, GGUF_MAX_NAME);
    return !w->bad.code;
}

static void put_tensor(struct gguf_writer *w, struct gguf_tensor t, const uint64_t *ne, struct source from)
{
    if (w->bad.code) return;
    for (unsigned i = 0; i < 4; i++) t.ne[i] = i < t.n_dims && t.n_dims <= 4 ? ne[i] : 1;
    if (!tensor_bytes(w, &t)) return;
    uint64_t end;
    t.offset = w->data_bytes;
    if (!ck_add(t.offset, t.bytes, &end) || !ck_align(end, w->alignment, &end)) {
        err_set(&w->bad, ERR_LIMIT, "tensor '%s': the file becomes too large", t.name);
        return;
    }
    void *v = w->tensor, *s = w->source;
    bool ok = grow(w, &v, w->n_tensors, &w->cap_tensors, sizeof t);
    w->tensor = v;
    ok = ok && grow(w, &s, w->n_tensors, &w->cap_sources, sizeof from);
    w->source = s;
    if (!ok) return;
    if (!(t.name = mem_strdup(t.name, strlen(t.name)))) {
        err_set(&w->bad, ERR_NOMEM, "out of memory writing a model");
        return;
    }
    w->source[w->n_tensors] = from;
    w->tensor[w->n_tensors++] = t;
    w->data_bytes = end;
}

void gguf_put_tensor(struct gguf_writer *w, const char *name, enum dtype type, uint32_t n_dims, const uint64_t *ne,
                     const void *data)
{
    put_tensor(w, (struct gguf_tensor){ .name = name, .type = type, .n_dims = n_dims, .data = data }, ne, (struct source){ 0 });
}

void gguf_put_filled(struct gguf_writer *w, const struct gguf_tensor *t, gguf_fill_fn *fill, void *arg)
{
    put_tensor(w, *t, t->ne, (struct source){ fill, arg });
}

uint64_t gguf_writer_data_bytes(const struct gguf_writer *w) { return w->data_bytes; }

/* ---- the file ---- */

static int check_unique(struct gguf_writer *w, struct err *err)
{
    struct arena a = { 0 };
    struct names t;
    size_t dup = 0;
    for (size_t i = 0; i < w->n_kv; i++) w->key[i].key.s = w->kv.data + w->key[i].bytes;
    int rc = names_build(&t, &a, gguf_kv_name, w->key, w->n_kv, &dup);
    if (rc == ERR_FORMAT || rc == ERR_LIMIT)
        rc = err_set(err, ERR_ARG, "key '%s' was put twice", gguf_show(w->key[dup].key).s);
    if (rc == 0) {
        rc = names_build(&t, &a, gguf_tensor_name, w->tensor, w->n_tensors, &dup);
        if (rc == ERR_FORMAT || rc == ERR_LIMIT)
            rc = err_set(err, ERR_ARG, "tensor '%s' was put twice", w->tensor[dup].name);
    }
    if (rc == ERR_NOMEM) err_set(err, rc, "out of memory writing a model");
    arena_release(&a);
    return rc;
}

/* Everything before the tensor data, padded. */
static int build_header(struct gguf_writer *w, struct buf *b, struct err *err)
{
    if (w->kv.bad && !w->bad.code) err_set(&w->bad, ERR_NOMEM, "out of memory writing a model");
    if (w->bad.code) return err_set(err, w->bad.code, "%s", w->bad.msg);
    if (w->n_kv > GGUF_MAX_KEYS || w->n_tensors > GGUF_MAX_TENSORS)
        return err_set(err, ERR_LIMIT, "%zu keys and %zu tensors: the limit is %d of each", w->n_kv, w->n_tensors,
                       GGUF_MAX_KEYS);
    int rc = check_unique(w, err);
    if (rc < 0) return rc;
    buf_puts(b, "GGUF");
    put_le(b, 3, 4);
    put_le(b, w->n_tensors, 8);
    put_le(b, w->n_kv, 8);
    if (w->kv.len) buf_put(b, w->kv.data, w->kv.len);
    for (size_t i = 0; i < w->n_tensors; i++) {
        const struct gguf_tensor *t = &w->tensor[i];
        put_str(b, t->name, strlen(t->name));
        put_le(b, t->n_dims, 4);
        for (unsigned d = 0; d < t->n_dims; d++) put_le(b, t->ne[d], 8);
        put_le(b, dtype_info(t->type)->gguf_id, 4);
        put_le(b, t->offset, 8);
    }
    while (!b->bad && b->len & (w->alignment - 1)) buf_putc(b, 0);
    return b->bad ? err_set(err, ERR_NOMEM, "out of memory writing a model") : 0;
}

int gguf_writer_size(struct gguf_writer *w, uint64_t *bytes, struct err *err)
{
    struct buf head = { 0 };
    int rc = build_header(w, &head, err);
    *bytes = head.len + w->data_bytes;
    buf_release(&head);
    return rc;
}

typedef int sink_fn(void *to, const void *p, size_t n, struct err *err);

static int to_file(void *to, const void *p, size_t n, struct err *err) { return os_write(to, p, n, err); }

static int to_buf(void *to, const void *p, size_t n, struct err *err)
{
    struct buf *b = to;
    buf_put(b, p, n);
    return b->bad ? err_set(err, ERR_NOMEM, "out of memory writing a model") : 0;
}

static int write_padding(sink_fn *sink, void *to, size_t n, struct err *err)
{
    static const uint8_t zeros[4096];
    int rc = 0;
    for (size_t k; n && rc == 0; n -= k) {
        k = n < sizeof zeros ? n : sizeof zeros;
        rc = sink(to, zeros, k, err);
    }
    return rc;
}

/* Whole blocks, so that whoever makes them never has to cut one. */
enum { PIECE = 1 << 20 };

static int write_filled(const struct gguf_tensor *t, struct source from, sink_fn *sink, void *to, struct err *err)
{
    size_t block = dtype_info(t->type)->block_bytes, piece = PIECE / block * block;
    uint8_t *p = mem_new(piece, 1);
    if (!p) return err_set(err, ERR_NOMEM, "out of memory writing a model");
    int rc = 0;
    for (uint64_t at = 0; at < t->bytes && rc == 0; at += piece) {
        size_t n = t->bytes - at < piece ? (size_t)(t->bytes - at) : piece;
        rc = from.fn(from.arg, t, at, p, n, err);
        if (rc == 0) rc = sink(to, p, n, err);
    }
    mem_free(p);
    return rc;
}

static int write_all(struct gguf_writer *w, sink_fn *sink, void *to, struct err *err)
{
    struct buf head = { 0 };
    int rc = build_header(w, &head, err);
    if (rc == 0) rc = sink(to, head.data, head.len, err);
    buf_release(&head);
    for (size_t i = 0; i < w->n_tensors && rc == 0; i++) {
        const struct gguf_tensor *t = &w->tensor[i];
        uint64_t next = i + 1 < w->n_tensors ? t[1].offset : w->data_bytes;
        if (w->source[i].fn) rc = write_filled(t, w->source[i], sink, to, err);
        else rc = sink(to, t->data, (size_t)t->bytes, err);
        if (rc == 0) rc = write_padding(sink, to, (size_t)(next - t->offset - t->bytes), err);
    }
    return rc;
}

int gguf_writer_save(struct gguf_writer *w, const char *path, struct err *err)
{
    struct os_writer *file;
    int rc = os_write_begin(&file, path, err);
    if (rc < 0) return rc;
    rc = write_all(w, to_file, file, err);
    if (rc < 0) {
        os_write_abort(file);
        return w->bad.code || rc != ERR_IO ? err_prefix(err, rc, "%s: ", path) : rc;
    }
    return os_write_commit(file, err);
}

int gguf_writer_bytes(struct gguf_writer *w, struct buf *out, struct err *err)
{
    buf_clear(out);
    return write_all(w, to_buf, out, err);
}
