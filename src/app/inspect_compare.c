#include <string.h>

#include "app/inspect.h"
#include "app/progress.h"
#include "app/term.h"
#include "quant/compare.h"

/* A key by its bytes: names of the file end with no NUL. */
static const struct gguf_kv *find_key(const struct gguf *g, struct gguf_str key)
{
    char name[256];
    if (key.n >= sizeof name) return NULL;
    memcpy(name, key.s, key.n);
    name[key.n] = 0;
    return gguf_find(g, name);
}

static void put_key(const char *sign, const struct gguf_kv *kv, bool full, struct buf *out)
{
    buf_puts(out, sign);
    term_clean(kv->key.s, kv->key.n, out);
    buf_puts(out, "  ");
    inspect_put_value(kv, full, out);
    buf_putc(out, '\n');
}

static unsigned compare_metadata(const struct gguf *a, const struct gguf *b, bool full, struct buf *out)
{
    unsigned n = 0;
    for (size_t i = 0; i < gguf_n_kv(a); i++) {
        const struct gguf_kv *x = gguf_kv_at(a, i), *y = find_key(b, x->key);
        if (y && compare_keys(x, y)) continue;
        put_key("- ", x, full, out);
        if (y) put_key("+ ", y, full, out);
        n++;
    }
    for (size_t i = 0; i < gguf_n_kv(b); i++) {
        const struct gguf_kv *y = gguf_kv_at(b, i);
        if (find_key(a, y->key)) continue;
        put_key("+ ", y, full, out);
        n++;
    }
    return n;
}

static void put_shape(const struct gguf_tensor *t, struct buf *out)
{
    for (uint32_t d = 0; d < t->n_dims; d++) buf_printf(out, "%s%llu", d ? " x " : "", (unsigned long long)t->ne[d]);
}

static void put_difference(const struct gguf_tensor *a, const struct gguf_tensor *b, const struct compare_result *r,
                           struct buf *out)
{
    buf_printf(out, "%-8s %-8s ", dtype_info(a->type)->name, dtype_info(b->type)->name);
    if (r->comparable)
        buf_printf(out, "%-11.4g %-9.4f %-10.4g ", r->mse, 100 * r->relative, r->largest);
    else {
        put_shape(a, out);
        buf_puts(out, "  and  ");
        put_shape(b, out);
        buf_puts(out, "  ");
    }
    term_clean(a->name, strlen(a->name), out);
    if (r->n_bad) buf_printf(out, "  (%llu values are not finite in the second)", (unsigned long long)r->n_bad);
    buf_putc(out, '\n');
}

static void put_only(const char *where, const struct gguf_tensor *t, struct buf *out)
{
    buf_printf(out, "%s %s ", where, dtype_info(t->type)->name);
    put_shape(t, out);
    buf_puts(out, "  ");
    term_clean(t->name, strlen(t->name), out);
    buf_putc(out, '\n');
}

/* Where the work is, in values of the first file. */
struct place { struct progress p; uint64_t before, total; };

static bool go_on(void *arg, uint64_t done)
{
    struct place *at = arg;
    return progress_parts(&at->p, at->before + done, at->total, "values");
}

static uint64_t values_of(const struct gguf_tensor *t) { return t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3]; }

bool inspect_compare(const struct gguf *a, const struct gguf *b, bool full, struct buf *out)
{
    struct place at = { .total = 0 };
    unsigned same = 0, differ = 0, keys = compare_metadata(a, b, full, out);
    for (size_t i = 0; i < gguf_n_tensors(a); i++) at.total += values_of(gguf_tensor_at(a, i));
    for (size_t i = 0; i < gguf_n_tensors(a); i++) {
        const struct gguf_tensor *x = gguf_tensor_at(a, i), *y = gguf_tensor(b, x->name);
        struct compare_result r = { 0 };
        if (y) compare_tensors(x, y, go_on, &at, &r);
        at.before += values_of(x);
        if (!go_on(&at, 0)) return false;
        same += r.same_bytes;
        differ += !r.same_bytes;
        if (r.same_bytes) continue;
        if (differ == 1) buf_printf(out, "%-8s %-8s %-11s %-9s %-10s TENSOR\n", "FIRST", "SECOND", "MSE", "% of it", "largest");
        if (y) put_difference(x, y, &r, out);
        else put_only("only in the first: ", x, out);
    }
    for (size_t i = 0; i < gguf_n_tensors(b); i++) {
        const struct gguf_tensor *y = gguf_tensor_at(b, i);
        if (gguf_tensor(a, y->name)) continue;
        put_only("only in the second:", y, out);
        differ++;
    }
    buf_printf(out, "%u keys and %u tensors differ, %u tensors are the same\n", keys, differ, same);
    return true;
}
