/* imatrix_collect.c - sums of squares of what weights are multiplied with. */
#include "base/arena.h"
#include "base/mem.h"
#include "quant/imatrix.h"

enum { MAX_WEIGHTS = 65536 };

struct sums { const char *name; struct imatrix_shape shape; double *sum2; uint64_t *count; };

struct imatrix_collect {
    struct arena arena;
    struct sums *item;
    size_t n, cap, last;               /* last: the one that was found last */
    bool bad;                          /* out of memory */
};

int imatrix_collect_open(struct imatrix_collect **out, struct err *err)
{
    *out = mem_new(1, sizeof **out);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory collecting an importance matrix");
}

void imatrix_collect_close(struct imatrix_collect *c)
{
    if (!c) return;
    arena_release(&c->arena);
    mem_free(c->item);
    mem_free(c);
}

static struct sums *add_weight(struct imatrix_collect *c, const char *name, struct imatrix_shape shape)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 256;
        struct sums *more = cap <= MAX_WEIGHTS ? mem_resize(c->item, cap, sizeof *more) : NULL;
        if (!more) return NULL;
        c->item = more;
        c->cap = cap;
    }
    struct sums s = { name, shape, arena_push(&c->arena, shape.n_col, shape.n_mat * sizeof *s.sum2),
                      arena_push(&c->arena, shape.n_mat, sizeof *s.count) };
    if (!s.sum2 || !s.count) return NULL;
    c->item[c->n] = s;
    return &c->item[c->last = c->n++];
}

/* A model meets its weights in the same order again and again: the next one is almost always the right one. */
static struct sums *find_weight(struct imatrix_collect *c, const char *name, struct imatrix_shape shape)
{
    for (size_t k = 0; k < c->n; k++) {
        size_t i = (c->last + k) % c->n;
        if (c->item[i].name == name) return &c->item[c->last = i];
    }
    return add_weight(c, name, shape);
}

void imatrix_collect_row(struct imatrix_collect *c, const char *name, struct imatrix_shape shape, uint32_t part, const float *x)
{
    struct sums *s = c->bad ? NULL : find_weight(c, name, shape);
    if (!s) {
        c->bad = true;
        return;
    }
    double *sum = s->sum2 + part * shape.n_col;
    for (uint64_t i = 0; i < shape.n_col; i++) sum[i] += (double)x[i] * (double)x[i];
    s->count[part]++;
}

size_t imatrix_collect_n(const struct imatrix_collect *c) { return c->n; }

int imatrix_collect_save(struct imatrix_collect *c, const char *path, const struct imatrix_source *from, struct err *err)
{
    struct imatrix_sums *s = mem_new_array(struct imatrix_sums, c->n + 1);
    if (c->bad || !s) {
        mem_free(s);
        return err_set(err, ERR_NOMEM, "%s: out of memory collecting an importance matrix", path);
    }
    for (size_t i = 0; i < c->n; i++) {
        const struct sums *f = &c->item[i];
        s[i] = (struct imatrix_sums){ f->name, f->shape.n_col, f->shape.n_mat, f->sum2, f->count };
    }
    int rc = imatrix_save(path, s, c->n, from, err);
    mem_free(s);
    return rc;
}
