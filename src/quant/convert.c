#include "quant/convert.h"

#include <stdatomic.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/os.h"
#include "base/pool.h"
#include "quant/quant.h"

/* Values that a thread takes at once, and that are made between two looks at the progress; the largest block. */
enum { UNIT = 4096, STEP = 64 * UNIT, BLOCK = 256 };

struct convert {
    struct arena arena;
    const struct gguf *g;
    const struct convert_options *o;
    struct convert_tensor *tensor;
    struct fill { struct convert *c; const struct convert_tensor *t; } *fill;
    size_t n;
    struct gguf_writer *w;
    struct pool *pool;
    uint64_t bytes, values, total, done;
};

static int out_of_memory(const struct convert *c, struct err *err)
{
    return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(c->g));
}

/* ---- what each tensor becomes ---- */

/* Shell patterns of * and ?, without recursion: only the last star is ever taken back. */
static bool matches(const char *p, const char *s, size_t n)
{
    const char *star = NULL;
    size_t i = 0, back = 0;
    while (i < n) {
        if (*p == '*') {
            star = p++;
            back = i;
        } else if (*p && (*p == '?' || *p == s[i])) {
            p++;
            i++;
        } else if (star) {
            p = star + 1;
            i = ++back;
        } else {
            return false;
        }
    }
    while (*p == '*') p++;
    return !*p;
}

static bool fits_name(const char *pattern, const char *name)
{
    size_t n = strlen(name);
    return matches(pattern, name, n) || (n > 7 && !strcmp(name + n - 7, ".weight") && matches(pattern, name, n - 7));
}

static const struct convert_override *find_override(const struct convert_options *o, const char *name)
{
    for (size_t i = 0; i < o->n_override; i++)
        if (fits_name(o->override[i].pattern, name)) return &o->override[i];
    return NULL;
}

static int check_overrides(const struct convert *c, struct err *err)
{
    for (size_t k = 0; k < c->o->n_override; k++) {
        bool used = false;
        for (size_t i = 0; i < c->n && !used; i++) {
            const struct gguf_tensor *t = gguf_tensor_at(c->g, i);
            used = t->n_dims >= 2 && fits_name(c->o->override[k].pattern, t->name);
        }
        if (!used)
            return err_set(err, ERR_ARG, "%s: no tensor with rows and columns is called \"%.60s\"", gguf_path(c->g),
                           c->o->override[k].pattern);
    }
    return 0;
}

/* The type that the user asked for by the tensor's name, or -1. */
static int asked_type(const struct convert_options *o, const struct recipe_model *m, const struct gguf_tensor *t)
{
    const struct convert_override *v = t->n_dims >= 2 ? find_override(o, t->name) : NULL;
    if (v) return (int)v->type;
    bool embed = !strcmp(t->name, "token_embd.weight"), output = !strcmp(t->name, "output.weight") || (embed && m->tied);
    if (output && o->output_type >= 0) return o->output_type;
    if (embed && o->embedding_type >= 0) return o->embedding_type;
    if (output && o->keep_output) return (int)t->type;
    return -1;
}

static int choose(const struct convert *c, const struct recipe_model *m, struct convert_tensor *t, uint32_t v, struct err *err)
{
    const struct convert_options *o = c->o;
    const struct gguf_tensor *f = t->from;
    int asked = asked_type(o, m, f);
    if (asked >= 0) {
        t->type = (enum dtype)asked;
        if (!quant_pack(t->type))
            return err_set(err, ERR_ARG, "%s: tensor %s: %s is no type for weights", gguf_path(c->g), f->name,
                           dtype_info(t->type)->name);
        if (f->ne[0] % dtype_info(t->type)->block_values)
            return err_set(err, ERR_ARG, "%s: tensor %s has rows of %llu values, no whole number of %s's blocks of %u",
                           gguf_path(c->g), f->name, (unsigned long long)f->ne[0], dtype_info(t->type)->name,
                           dtype_info(t->type)->block_values);
    } else if (recipe_keeps(f)) {
        t->type = f->type;
    } else {
        t->type = recipe_type(o->recipe, m, f, v, &t->fallback);
        enum dtype all = recipe_at(o->recipe)->type;
        if (o->pure && f->ne[0] % dtype_info(all)->block_values == 0) t->type = all;
    }
    t->kept = t->type == f->type;
    if (t->kept) return 0;
    if (!quant_unpack(f->type))
        return err_set(err, ERR_ARG, "%s: tensor %s has type %s, whose values are no weights", gguf_path(c->g), f->name,
                       dtype_info(f->type)->name);
    if (dtype_info(f->type)->family != DTF_FLOAT && !o->requantise)
        return err_set(err, ERR_ARG, "%s: tensor %s is quantised already (%s); making %s of it loses more than making it of the "
                       "original would: take the F16 or BF16 model, or --allow-requantize", gguf_path(c->g), f->name,
                       dtype_info(f->type)->name, dtype_info(t->type)->name);
    return 0;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

/* The matrices of heads lie one behind the other in two dimensions in some files, in three in others. */
static bool has_heads(const struct gguf_tensor *f, uint64_t heads)
{
    bool named = ends_with(f->name, ".attn_k_b.weight") || ends_with(f->name, ".attn_v_b.weight");
    return named && f->ne[2] == 1 && f->ne[1] % heads == 0;
}

static int find_weights(const struct convert *c, struct convert_tensor *t, struct err *err)
{
    const struct gguf_tensor *f = t->from;
    const struct imatrix_entry *e = c->o->imatrix && !t->kept ? imatrix_find(c->o->imatrix, f->name) : NULL;
    bool fits = e && (e->n == f->ne[0] * f->ne[2] || e->n == f->ne[0] ||
                      (e->n && e->n % f->ne[0] == 0 && has_heads(f, e->n / f->ne[0])));
    if (e && !fits)
        return err_set(err, ERR_ARG, "%s: tensor %s has %llu columns and %llu matrices, but the importance matrix has %llu "
                       "values for it: it belongs to another model", gguf_path(c->g), f->name, (unsigned long long)f->ne[0],
                       (unsigned long long)f->ne[2], (unsigned long long)e->n);
    t->weighted = e && dtype_info(t->type)->family != DTF_FLOAT;
    if (t->kept || e || !recipe_needs_imatrix(c->o->recipe, f->name, t->type)) return 0;
    return err_set(err, ERR_ARG, "%s: tensor %s: %s without an importance matrix makes a model that is of no use; %s",
                   gguf_path(c->g), f->name, dtype_info(t->type)->name,
                   c->o->imatrix ? "the given one has nothing for it" : "make one with hearth imatrix, then --imatrix FILE");
}

static uint64_t values_of(const struct gguf_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

static int choose_types(struct convert *c, struct err *err)
{
    struct recipe_model m;
    uint32_t v = 0;
    recipe_read_model(&m, c->g, c->o->imatrix != NULL);
    int rc = check_overrides(c, err);
    for (size_t i = 0; i < c->n && rc == 0; i++) {
        struct convert_tensor *t = &c->tensor[i];
        t->from = gguf_tensor_at(c->g, i);
        rc = choose(c, &m, t, v, err);
        v += recipe_is_attn_v(t->from->name);
        if (rc == 0) rc = find_weights(c, t, err);
        t->bytes = values_of(t->from) / dtype_info(t->type)->block_values * dtype_info(t->type)->block_bytes;
        c->total += t->from->bytes;
        c->values += values_of(t->from);
    }
    return rc;
}

/* ---- making a piece of a tensor ---- */

/* Values [first, first + n) of a tensor, by all threads. */
struct piece {
    struct convert *c;
    const struct convert_tensor *t;
    unpack_fn *unpack;
    pack_weighted_fn *pack;
    const float *weight;               /* of the columns, or NULL */
    uint64_t n_weight;
    uint64_t first;
    size_t n;
    uint8_t *dst;
    _Atomic uint64_t bad;              /* 1 + the lowest value that was found not finite, 0: none */
};

static void note_bad(struct piece *p, uint64_t at)
{
    uint64_t seen = atomic_load(&p->bad);
    while ((!seen || at + 1 < seen) && !atomic_compare_exchange_weak(&p->bad, &seen, at + 1)) { }
}

/* The weights of n values from value `at`: those of its matrix, a row after the other. */
static void gather_weights(const struct piece *p, uint64_t at, size_t n, float *w)
{
    const struct gguf_tensor *f = p->t->from;
    for (size_t i = 0, k; i < n; i += k) {
        uint64_t row = (at + i) / f->ne[0], col = (at + i) % f->ne[0];
        uint64_t parts = p->n_weight / f->ne[0], part = parts > 1 ? row / (f->ne[1] * f->ne[2] / parts) % parts : 0;
        k = f->ne[0] - col < n - i ? (size_t)(f->ne[0] - col) : n - i;
        memcpy(w + i, p->weight + part * f->ne[0] + col, k * sizeof *w);
    }
}

static void make_unit(struct piece *p, size_t u)
{
    const struct gguf_tensor *f = p->t->from;
    const struct dtype_info *from = dtype_info(f->type), *to = dtype_info(p->t->type);
    float x[UNIT + 2 * BLOCK], w[UNIT];
    size_t n = p->n - u * UNIT < UNIT ? p->n - u * UNIT : UNIT;
    uint64_t at = p->first + u * UNIT, lo = at / from->block_values, hi = (at + n + from->block_values - 1) / from->block_values;
    size_t skip = (size_t)(at - lo * from->block_values);
    p->unpack(f->data + lo * from->block_bytes, x, (size_t)(hi - lo) * from->block_values);
    for (size_t i = 0; i < n; i++)
        if (!(x[skip + i] - x[skip + i] == 0)) {
            note_bad(p, at + i);
            break;
        }
    if (p->weight) gather_weights(p, at, n, w);
    p->pack(x + skip, p->weight ? w : NULL, p->dst + u * UNIT / to->block_values * to->block_bytes, n);
}

static void make_units(void *arg, unsigned thread, unsigned n_threads)
{
    struct piece *p = arg;
    size_t lo, hi;
    (void)thread, (void)n_threads;
    while (pool_take(p->c->pool, (p->n + UNIT - 1) / UNIT, &lo, &hi))
        for (size_t u = lo; u < hi; u++) make_unit(p, u);
}

struct bytes { uint64_t at; uint8_t *dst; size_t n; };

static int make_piece(struct convert *c, const struct convert_tensor *t, struct bytes out, struct err *err)
{
    const struct dtype_info *to = dtype_info(t->type);
    const struct imatrix_entry *e = t->weighted ? imatrix_find(c->o->imatrix, t->from->name) : NULL;
    struct piece p = { .c = c, .t = t, .unpack = quant_unpack(t->from->type), .pack = quant_pack_weighted(t->type),
                       .weight = e ? e->value : NULL, .n_weight = e ? e->n : 0, .dst = out.dst,
                       .first = out.at / to->block_bytes * to->block_values,
                       .n = out.n / to->block_bytes * to->block_values };
    pool_run(c->pool, make_units, &p);
    uint64_t bad = atomic_load(&p.bad);
    if (bad)
        return err_set(err, ERR_FORMAT, "%s: tensor %s: value %llu of %llu is not a finite number; the file is damaged",
                       gguf_path(c->g), t->from->name, (unsigned long long)(bad - 1), (unsigned long long)values_of(t->from));
    return 0;
}

/* The source's bytes that so many of the result come from. */
static uint64_t source_bytes(const struct convert_tensor *t, uint64_t at)
{
    const struct dtype_info *to = dtype_info(t->type), *from = dtype_info(t->from->type);
    return at / to->block_bytes * to->block_values / from->block_values * from->block_bytes;
}

static int fill(void *arg, const struct gguf_tensor *out, uint64_t at, uint8_t *dst, size_t n, struct err *err)
{
    const struct fill *f = arg;
    struct convert *c = f->c;
    (void)out;
    const struct dtype_info *to = dtype_info(f->t->type);
    const size_t step = STEP / to->block_values * to->block_bytes;
    int rc = 0;
    for (size_t k = 0, part; k < n && rc == 0; k += part) {
        part = n - k < step ? n - k : step;
        if (f->t->kept) memcpy(dst + k, f->t->from->data + at + k, part);
        else rc = make_piece(c, f->t, (struct bytes){ at + k, dst + k, part }, err);
        uint64_t before = source_bytes(f->t, at + k), read = source_bytes(f->t, at + k + part) - before;
        gguf_done(c->g, f->t->from, before, read);
        c->done += read;
        if (rc == 0 && c->o->progress && !c->o->progress(c->o->arg, c->done, c->total))
            rc = err_set(err, ERR_CANCELLED, "stopped");
    }
    return rc;
}

/* ---- the file ---- */

static bool is_key(const struct gguf_kv *kv, const char *name)
{
    size_t n = strlen(name);
    return kv->key.n >= n && !memcmp(kv->key.s, name, n) && (kv->key.n == n || name[n - 1] == '.');
}

static void put_keys(const struct convert *c)
{
    const struct imatrix *im = c->o->imatrix;
    for (size_t i = 0; i < gguf_n_kv(c->g); i++) {
        const struct gguf_kv *kv = gguf_kv_at(c->g, i);
        if (is_key(kv, "general.file_type") || is_key(kv, "general.quantization_version") || is_key(kv, "split.") ||
            is_key(kv, "quantize.imatrix."))
            continue;
        gguf_copy_kv(c->w, kv);
    }
    gguf_put_u32(c->w, "general.quantization_version", 2);
    gguf_put_u32(c->w, "general.file_type", recipe_at(c->o->recipe)->file_type);
    if (!im) return;
    const char *path = c->o->imatrix_path ? c->o->imatrix_path : "", *set = imatrix_dataset(im);
    gguf_put_str(c->w, "quantize.imatrix.file", path, strlen(path));
    gguf_put_str(c->w, "quantize.imatrix.dataset", set, strlen(set));
    gguf_put_u32(c->w, "quantize.imatrix.entries_count", (uint32_t)imatrix_n(im));
    gguf_put_u32(c->w, "quantize.imatrix.chunks_count", imatrix_chunks(im));
}

static int plan(struct convert *c, struct err *err)
{
    c->tensor = arena_new(&c->arena, struct convert_tensor, c->n + 1);
    c->fill = arena_new(&c->arena, struct fill, c->n + 1);
    if (!c->tensor || !c->fill) return out_of_memory(c, err);
    int rc = choose_types(c, err);
    if (rc == 0) rc = gguf_writer_open(&c->w, err);
    if (rc < 0) return rc;
    put_keys(c);
    for (size_t i = 0; i < c->n; i++) {
        struct gguf_tensor t = *c->tensor[i].from;
        t.type = c->tensor[i].type;
        c->fill[i] = (struct fill){ c, &c->tensor[i] };
        gguf_put_filled(c->w, &t, fill, &c->fill[i]);
    }
    return gguf_writer_size(c->w, &c->bytes, err);
}

int convert_plan(struct convert **out, const struct gguf *g, const struct convert_options *o, struct err *err)
{
    *out = NULL;
    struct convert *c = mem_new(1, sizeof *c);
    if (!c) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    c->g = g;
    c->o = o;
    c->n = gguf_n_tensors(g);
    int rc = plan(c, err);
    if (rc == 0) *out = c;
    else convert_close(c);
    return rc;
}

void convert_close(struct convert *c)
{
    if (!c) return;
    gguf_writer_close(c->w);
    pool_close(c->pool);
    arena_release(&c->arena);
    mem_free(c);
}

size_t convert_n(const struct convert *c) { return c->n; }
const struct convert_tensor *convert_at(const struct convert *c, size_t i) { return &c->tensor[i]; }
uint64_t convert_bytes(const struct convert *c) { return c->bytes; }
uint64_t convert_values(const struct convert *c) { return c->values; }

int convert_check_path(const struct gguf *g, const char *path, uint64_t bytes, struct err *err)
{
    for (uint32_t i = 0; i < gguf_n_files(g); i++)
        if (os_file_same(gguf_file_path(g, i), path))
            return err_set(err, ERR_ARG, "%s: is the model that is read; give the new one another name", path);
    uint64_t free = os_disk_free(path);
    if (!free || bytes <= free) return 0;
    return err_set(err, ERR_LIMIT, "%s: %.3f GB are needed, but only %.3f GB are free there", path, (double)bytes / 1e9,
                   (double)free / 1e9);
}

int convert_save(struct convert *c, const char *path, struct err *err)
{
    int rc = convert_check_path(c->g, path, c->bytes, err);
    if (rc == 0 && !c->pool) rc = pool_open(&c->pool, c->o->threads ? c->o->threads : os_core_count(), err);
    c->done = 0;
    return rc < 0 ? rc : gguf_writer_save(c->w, path, err);
}
