/* cpu_run.c - walks the steps of a plan on all threads, with one barrier after each. */
#include <string.h>

#include "device/cpu/cpu.h"

_Static_assert((int)KV_PAGE == (int)ATTN_PAGE, "a page of the cache is the unit of attention");

static size_t domain_rows(const struct run *r, enum rows d) { return d == ROWS_OUT ? r->v->n_out : r->v->T; }

/* Steps hand out their work in parts (pool_take): any division gives the same bits. */
static void run_rows(const struct run *r, const struct plan_step *s)
{
    size_t lo, hi;
    while (pool_take(r->d->pool, domain_rows(r, s->domain), &lo, &hi))
        for (size_t t = lo; t < hi; t++)
            for (uint32_t i = 0; i < s->n; i++) cpu_row_op(r, &r->p->op[s->first + i], t);
}

static struct matmul_job job_of(const struct run *r, uint32_t i, unsigned thread)
{
    const struct op *o = &r->p->op[i];
    const struct value *x = &r->p->value[o->in[0]], *y = &r->p->value[o->out];
    return (struct matmul_job){
        .m = &((const struct cpu_plan *)r->p->device)->mm[i],
        .act = value_row(r, o->in[0], 0),
        .act_stride = x->row_bytes,
        .T = domain_rows(r, y->rows),
        .y = float_row(r, o->out, 0),
        .y_stride = y->row_bytes / 4,
        .scratch = r->d->scratch + thread * r->d->scratch_bytes,
    };
}

static size_t blocks_of(size_t R) { return (R + MATMUL_GRAIN - 1) / MATMUL_GRAIN; }

static void matmul_blocks(const struct matmul_job *j, size_t lo, size_t hi)
{
    size_t R = j->m->R;
    matmul_rows(j, lo * MATMUL_GRAIN, hi * MATMUL_GRAIN < R ? hi * MATMUL_GRAIN : R);
}

/* What a thread multiplied last in a step, whose activations it may have laid out for itself. */
struct last { const struct matmul_kernel *kernel; const uint8_t *act; };

/* Blocks [lo, hi) of rows of the matrices of a step, which lie end to end. */
static void run_blocks(const struct run *r, const struct plan_step *s, unsigned thread, size_t lo, size_t hi, struct last *last)
{
    const struct cpu_plan *c = r->p->device;
    size_t at = 0;
    for (uint32_t i = s->first; i < s->first + s->n; i++) {
        size_t n = blocks_of(c->mm[i].R), a = lo > at ? lo - at : 0, b = hi > at ? hi - at : 0;
        at += n;
        if (b > n) b = n;
        if (a >= b) continue;
        struct matmul_job j = job_of(r, i, thread);
        j.again = last->kernel == j.m->kernel && last->act == j.act;
        *last = (struct last){ j.m->kernel, j.act };
        matmul_blocks(&j, a, b);
    }
}

static void run_matmuls(const struct run *r, const struct plan_step *s, unsigned thread)
{
    const struct cpu_plan *c = r->p->device;
    struct last last = { NULL, NULL };
    size_t units = 0, lo, hi;
    for (uint32_t i = s->first; i < s->first + s->n; i++) units += blocks_of(c->mm[i].R);
    while (pool_take(r->d->pool, units, &lo, &hi)) run_blocks(r, s, thread, lo, hi, &last);
}

/* The experts of one operation: where the tokens of each begin. */
struct experts { const struct op *op; const struct matmul *mm; const int32_t *begin; size_t n; };

static struct experts experts_of(const struct run *r, uint32_t i)
{
    const struct op *o = &r->p->op[i];
    return (struct experts){ o, &((const struct cpu_plan *)r->p->device)->mm[i],
                             (const int32_t *)(const void *)value_row(r, o->in[1], 0), r->p->value[o->in[1]].width - 1 };
}

/* Work of a block of rows of expert e: reading them costs about as much as multiplying them with a few tokens. */
static size_t expert_cost(const struct experts *x, size_t e)
{
    int32_t tokens = x->begin[e + 1] - x->begin[e];
    return tokens ? (size_t)tokens + 4 : 0;
}

/* The blocks whose work begins in [lo, hi) of the whole step's. */
static void run_expert_blocks(const struct run *r, const struct plan_step *s, unsigned thread, size_t lo, size_t hi)
{
    size_t at = 0;
    for (uint32_t i = s->first; i < s->first + s->n; i++) {
        struct experts x = experts_of(r, i);
        const int32_t *slot = x.begin + x.n + 1, *token = slot + r->v->T * r->p->n_slot;
        size_t blocks = blocks_of(x.mm->R);
        for (size_t e = 0; e < x.n; e++) {
            size_t cost = expert_cost(&x, e);
            if (!cost) continue;
            size_t a = lo <= at ? 0 : (lo - at + cost - 1) / cost, b = hi <= at ? 0 : (hi - at + cost - 1) / cost;
            at += cost * blocks;
            if (b > blocks) b = blocks;
            if (a >= b) continue;
            struct matmul m = *x.mm;
            m.w = x.op->w->slice ? x.op->w->slice[e] : m.w + e * m.R * m.row_bytes;
            struct matmul_job j = job_of(r, i, thread);
            j.m = &m;
            j.T = (size_t)(x.begin[e + 1] - x.begin[e]);
            j.in = (x.op->n[0] ? slot : token) + x.begin[e];
            j.out = slot + x.begin[e];
            matmul_blocks(&j, a, b);
        }
    }
}

/* Threads divide (matrix, expert, block of rows) by cost. */
static void run_experts(const struct run *r, const struct plan_step *s, unsigned thread)
{
    size_t total = 0, lo, hi;
    for (uint32_t i = s->first; i < s->first + s->n; i++) {
        struct experts x = experts_of(r, i);
        for (size_t e = 0; e < x.n; e++) total += expert_cost(&x, e) * blocks_of(x.mm->R);
    }
    while (pool_take(r->d->pool, total, &lo, &hi)) run_expert_blocks(r, s, thread, lo, hi);
}

/* Query heads that are taken together.  A kv head that all share is read once for each SHARE of them, so that threads can
 * divide them. */
static uint32_t part_heads(const struct kv_layer *l, uint32_t n_head)
{
    enum { SHARE = 16 };
    return l->n_kv == 1 && n_head > SHARE ? SHARE : n_head / l->n_kv;
}

/* Query positions [t, t + n) of one sequence. */
static void run_queries(const struct run *r, const struct op *o, size_t t, size_t n, uint32_t part, unsigned thread)
{
    const struct kv_layer *l = &r->p->kv[o->n[0]];
    const uint32_t n_head = r->p->value[o->in[0]].width / l->dk, heads = part_heads(l, n_head);
    const uint32_t first = l->n_kv == 1 ? part * heads : 0, kv_head = l->n_kv == 1 ? 0 : part;
    const struct kv_view *kv = &r->v->kv[r->v->seq[t]];
    const uint8_t *const *page = (const uint8_t *const *)kv->page[kv_class_of(l)];
    struct attn_query q = {
        .q = float_row(r, o->in[0], t) + (size_t)first * l->dk,
        .o = float_row(r, o->out, t) + (size_t)first * l->dv,
        .q_step = r->p->value[o->in[0]].row_bytes / sizeof(float),
        .o_step = r->p->value[o->out].row_bytes / sizeof(float),
        .n_query = (uint32_t)n,
        .k_page = page,
        .v_page = page,
        .k_at = kv->k_at[o->n[0]],
        .v_at = kv->v_at[o->n[0]],
        .k_type = kv->k_type,
        .v_type = l->v_in_k ? kv->k_type : kv->v_type,
        .turn = cpu_turn(l, kv->k_type, 0),
        .turn_v = cpu_turn(l, l->v_in_k ? kv->k_type : kv->v_type, 1),
        .n_head = l->n_kv == 1 && n_head - first > heads ? heads : n_head - first,
        .n_kv = l->n_kv,
        .dk = l->dk,
        .dv = l->dv,
        .v_step = l->v_in_k ? l->dk : 0,
        .pos = r->v->pos[t],
        .window = o->n[2] ? r->v->pos[t] : o->n[1],
        .end = kv->end,
        .scale = o->f[0],
        .softcap = o->f[1],
        .sinks = o->w ? (const float *)(const void *)o->w->data + first : NULL,
    };
    r->d->vec->attn(&q, kv_head, kv_head + 1, r->d->scratch + thread * r->d->scratch_bytes);
}

static bool follows(const struct params *v, size_t t)
{
    return v->seq[t] == v->seq[t - 1] && v->pos[t] == v->pos[t - 1] + 1;
}

/* Work is (kv head or part of the heads that share it, tile of tokens); positions in a row of one sequence are taken together.
 * The last tiles, which have the longest past, come first: what is taken last should be short. */
static void run_attention(const struct run *r, const struct op *o, unsigned thread)
{
    const struct kv_layer *l = &r->p->kv[o->n[0]];
    const uint32_t n_head = r->p->value[o->in[0]].width / l->dk, heads = part_heads(l, n_head);
    const size_t tile = attn_queries(heads, 1), T = r->v->T, tiles = (T + tile - 1) / tile;
    size_t lo, hi;
    while (pool_take(r->d->pool, tiles * ((n_head + heads - 1) / heads), &lo, &hi))
        for (size_t i = lo; i < hi; i++) {
            const size_t at = (tiles - 1 - i % tiles) * tile, end = at + tile < T ? at + tile : T;
            for (size_t t = at, n; t < end; t += n) {
                for (n = 1; t + n < end && follows(r->v, t + n);) n++;
                run_queries(r, o, t, n, (uint32_t)(i / tiles), thread);
            }
        }
}

static void run_step(const struct run *r, const struct plan_step *s, unsigned thread)
{
    const struct op *o = &r->p->op[s->first];
    switch (s->shape) {
    case OP_ROW: run_rows(r, s); return;
    case OP_MAT:
        if (o->kind == OP_MATMUL_ID) run_experts(r, s, thread);
        else if (o->kind == OP_MATMUL_HEADS) cpu_run_heads(r, s, thread);
        else run_matmuls(r, s, thread);
        return;
    case OP_ATT: run_attention(r, o, thread); return;
    case OP_SEQ: cpu_run_seq(r, o); return;
    case OP_LOW: cpu_run_low(r, s); return;
    case OP_ONE:
        if (thread == 0) cpu_one(r, o);
        return;
    }
}

static void run_thread(void *arg, unsigned thread, unsigned n_threads)
{
    const struct run *r = arg;
    for (uint32_t i = 0; i < r->p->n_step; i++) {
        const struct plan_step *s = &r->p->step[i];
        if (s->domain == ROWS_OUT && !r->v->n_out) continue;
        run_step(r, s, thread);
        pool_barrier(r->d->pool);
    }
    size_t lo, hi;
    pool_share(r->v->n_out, 1, thread, n_threads, &lo, &hi);
    size_t n = r->p->value[r->p->logits].width;
    for (size_t i = lo; i < hi; i++) memcpy(r->v->logits[i], float_row(r, r->p->logits, i), n * sizeof(float));
}

void cpu_run(struct device *d, const struct plan *p, const struct params *v)
{
    struct run r = { d, p, v };
    pool_run(d->pool, run_thread, &r);
}
