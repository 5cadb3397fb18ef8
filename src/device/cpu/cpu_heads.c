/* cpu_heads.c - products of heads, each with a matrix of its own (MATMUL_HEADS). */
#include "device/cpu/cpu.h"

static size_t blocks_of(const struct matmul *m) { return (m->R + MATMUL_GRAIN - 1) / MATMUL_GRAIN; }
static const struct matmul *matrix(const struct run *r, uint32_t i) { return &((const struct cpu_plan *)r->p->device)->mm[i]; }

/* Blocks [lo, hi) of an operation's rows: those of a head behind those of the head before it. */
static void run_blocks(const struct run *r, uint32_t i, unsigned thread, size_t lo, size_t hi)
{
    const struct op *o = &r->p->op[i];
    const struct value *x = &r->p->value[o->in[0]], *y = &r->p->value[o->out];
    const size_t H = (size_t)o->n[0], blocks = blocks_of(matrix(r, i));
    for (size_t u = lo, next; u < hi; u = next) {
        size_t h = u / blocks, r0 = u % blocks * MATMUL_GRAIN;
        next = (h + 1) * blocks < hi ? (h + 1) * blocks : hi;
        size_t r1 = r0 + (next - u) * MATMUL_GRAIN;
        struct matmul m = *matrix(r, i);
        if (o->w->slice) m.w = o->w->slice[h];
        else m.w += h * m.R * m.row_bytes;
        struct matmul_job j = {
            .m = &m,
            .act = value_row(r, o->in[0], 0) + h * (x->width / H),
            .act_stride = x->row_bytes,
            .T = r->v->T,
            .y = float_row(r, o->out, 0) + h * (size_t)o->n[2],
            .y_stride = y->row_bytes / sizeof(float),
            .scratch = r->d->scratch + thread * r->d->scratch_bytes,
        };
        matmul_rows(&j, r0, r1 < m.R ? r1 : m.R);
    }
}

/* Blocks of the operations of a step lie end to end. */
void cpu_run_heads(const struct run *r, const struct plan_step *s, unsigned thread)
{
    size_t units = 0, lo, hi;
    for (uint32_t i = s->first; i < s->first + s->n; i++) units += (size_t)r->p->op[i].n[0] * blocks_of(matrix(r, i));
    while (pool_take(r->d->pool, units, &lo, &hi)) {
        size_t at = 0;
        for (uint32_t i = s->first; i < s->first + s->n; i++) {
            size_t n = (size_t)r->p->op[i].n[0] * blocks_of(matrix(r, i));
            size_t a = lo > at ? lo - at : 0, b = hi > at ? hi - at : 0;
            run_blocks(r, i, thread, a, b < n ? b : n);
            at += n;
        }
    }
}
