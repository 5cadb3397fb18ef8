/* cpu_low.c - what adapters add: low-rank products behind matrix products and table look-ups, and vectors behind layers.
 *
 * A row's sums depend on nothing but the row and its sequence's adapters: dot products over whole rows of A, then the rows of B
 * transposed added one after the other. */
#include "device/cpu/cpu.h"

enum { PART = 256 };          /* columns of a row that a thread takes at once */

static const struct adapt_set *set_of(const struct run *r, uint32_t seq)
{
    return seq < r->v->n_adapt ? r->v->adapt[seq] : NULL;
}

static const struct low_rank *product_of(const struct adapt_use *u, const struct weight *w)
{
    return w->id < u->adapt->n_id ? u->adapt->product[w->id] : NULL;
}

/* One row of an operation: whose adapters, which matrix of a stack, which row goes in and comes out. */
struct low_row { const struct adapt_set *set; size_t matrix, in, out; };

static uint32_t token_of(const struct run *r, enum rows rows, size_t row)
{
    return rows == ROWS_OUT ? r->v->out_row[row] : (uint32_t)row;
}

static struct low_row row_of(const struct run *r, const struct op *o, size_t i)
{
    if (o->in[1] < 0) {
        uint32_t t = token_of(r, r->p->value[o->out].rows, i);
        return (struct low_row){ set_of(r, r->v->seq[t]), 0, i, i };
    }
    /* The i-th slot in the order of experts. */
    const int32_t *begin = (const int32_t *)(const void *)value_row(r, o->in[1], 0);
    const size_t E = r->p->value[o->in[1]].width - 1, n = r->v->T * r->p->n_slot;
    const int32_t *slot = begin + E + 1, *token = slot + n;
    size_t lo = 0, hi = E;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if ((size_t)begin[mid] <= i) lo = mid;
        else hi = mid;
    }
    return (struct low_row){ set_of(r, r->v->seq[token[i]]), lo, (size_t)(o->n[0] ? slot[i] : token[i]), (size_t)slot[i] };
}

static size_t rows_of(const struct run *r, const struct op *o)
{
    switch (r->p->value[o->out].rows) {
    case ROWS_OUT: return r->v->n_out;
    case ROWS_SLOT: return (size_t)r->v->T * r->p->n_slot;
    default: return r->v->T;
    }
}

/* Numbers [lo, hi) of row i of A's products. */
static void low_a(const struct run *r, const struct op *o, size_t i, size_t lo, size_t hi)
{
    struct low_row w = row_of(r, o, i);
    const size_t K = (size_t)o->w->ne[0];
    const float *x = float_row(r, o->in[0], w.in);
    float *y = float_row(r, o->out, w.out);
    size_t at = 0;
    for (uint32_t k = 0; w.set && k < w.set->n; k++) {
        const struct low_rank *p = product_of(&w.set->use[k], o->w);
        if (!p) continue;
        p += w.matrix;
        const float scale = w.set->use[k].scale * p->scale;
        for (size_t j = lo > at ? lo - at : 0; j < p->rank && at + j < hi; j++)
            y[at + j] = scale * r->d->vec->dot(p->a + j * K, x, K);
        at += p->rank;
    }
}

/* Adds to columns [lo, hi) of row i. */
static void low_b(const struct run *r, const struct op *o, size_t i, size_t lo, size_t hi)
{
    struct low_row w = row_of(r, o, i);
    const size_t R = (size_t)o->w->ne[1];
    const float *x = float_row(r, o->in[0], w.out);
    float *y = float_row(r, o->out, w.out);
    for (uint32_t k = 0; w.set && k < w.set->n; k++) {
        const struct low_rank *p = product_of(&w.set->use[k], o->w);
        if (!p) continue;
        p += w.matrix;
        for (uint32_t j = 0; j < p->rank; j++, x++) r->d->vec->axpy(y + lo, p->b + j * R + lo, *x, hi - lo);
    }
}

/* Units of work in a row. */
static size_t row_units(const struct run *r, const struct op *o)
{
    return o->kind == OP_LOW_A ? r->p->rank : ((size_t)o->w->ne[1] + PART - 1) / PART;
}

static bool wanted(const struct run *r, const struct op *o)
{
    for (uint32_t s = 0; s < r->v->n_adapt; s++)
        for (uint32_t k = 0; r->v->adapt[s] && k < r->v->adapt[s]->n; k++)
            if (product_of(&r->v->adapt[s]->use[k], o->w)) return true;
    return false;
}

/* Units [lo, hi) of one operation. */
static void run_units(const struct run *r, const struct op *o, size_t lo, size_t hi)
{
    const size_t per = row_units(r, o), R = (size_t)o->w->ne[1];
    for (size_t u = lo, next; u < hi; u = next) {
        size_t i = u / per, a = u % per;
        next = (i + 1) * per < hi ? (i + 1) * per : hi;
        size_t b = a + (next - u);
        if (o->kind == OP_LOW_A) low_a(r, o, i, a, b);
        else low_b(r, o, i, a * PART, b * PART < R ? b * PART : R);
    }
}

void cpu_run_low(const struct run *r, const struct plan_step *s)
{
    const struct op *op = r->p->op + s->first;
    size_t units = 0, lo, hi;
    for (uint32_t i = 0; i < s->n; i++)
        if (wanted(r, &op[i])) units += rows_of(r, &op[i]) * row_units(r, &op[i]);
    while (pool_take(r->d->pool, units, &lo, &hi)) {
        size_t at = 0;
        for (uint32_t i = 0; i < s->n; i++) {
            if (!wanted(r, &op[i])) continue;
            size_t n = rows_of(r, &op[i]) * row_units(r, &op[i]), a = lo > at ? lo - at : 0, b = hi > at ? hi - at : 0;
            at += n;
            if (b > n) b = n;
            if (a < b) run_units(r, &op[i], a, b);
        }
    }
}

void cpu_low_embed(const struct run *r, const struct op *o, size_t t)
{
    const struct adapt_set *set = set_of(r, r->v->seq[t]);
    const size_t D = (size_t)o->w->ne[0];
    float *y = float_row(r, o->out, t);
    for (uint32_t k = 0; set && k < set->n; k++) {
        const struct adapt_use *u = &set->use[k];
        const struct low_rank *p = o->w->id < u->adapt->n_id ? u->adapt->table[o->w->id] : NULL;
        if (!p) continue;
        const float *a = p->a + (size_t)r->v->token[t] * p->rank, scale = u->scale * p->scale * o->f[0];
        for (uint32_t j = 0; j < p->rank; j++) r->d->vec->axpy(y, p->b + j * D, scale * a[j], D);
    }
}

void cpu_steer(const struct run *r, const struct op *o, size_t t)
{
    const struct adapt_set *set = set_of(r, r->v->seq[t]);
    const uint32_t l = (uint32_t)o->n[0];
    float *x = float_row(r, o->in[0], t);
    for (uint32_t k = 0; set && k < set->n; k++) {
        const struct adapt_use *u = &set->use[k];
        if (l < u->first || l > u->last || l >= u->adapt->n_steer || !u->adapt->steer[l]) continue;
        r->d->vec->axpy(x, u->adapt->steer[l], u->scale, r->p->value[o->in[0]].width);
    }
}
