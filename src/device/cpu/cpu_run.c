/* cpu_run.c - walks the steps of a plan on all threads, with one barrier after each. */
#include <string.h>

#include "device/cpu/cpu.h"

_Static_assert((int)KV_PAGE == (int)ATTN_PAGE, "a page of the cache is the unit of attention");

static size_t domain_rows(const struct run *r, enum rows d) { return d == ROWS_OUT ? r->v->n_out : r->v->T; }

static void run_rows(const struct run *r, const struct plan_step *s, unsigned thread, unsigned n_threads)
{
    size_t lo, hi;
    pool_share(domain_rows(r, s->domain), 1, thread, n_threads, &lo, &hi);
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

/* The matrices of a step lie end to end; each thread takes one contiguous range of their rows. */
static void run_matmuls(const struct run *r, const struct plan_step *s, unsigned thread, unsigned n_threads)
{
    const struct cpu_plan *c = r->p->device;
    size_t units = 0, lo, hi, at = 0;
    for (uint32_t i = s->first; i < s->first + s->n; i++) units += (c->mm[i].R + MATMUL_GRAIN - 1) / MATMUL_GRAIN;
    pool_share(units, 1, thread, n_threads, &lo, &hi);
    for (uint32_t i = s->first; i < s->first + s->n; i++) {
        size_t R = c->mm[i].R, n = (R + MATMUL_GRAIN - 1) / MATMUL_GRAIN;
        size_t a = lo > at ? lo - at : 0, b = hi > at ? hi - at : 0;
        at += n;
        if (b > n) b = n;
        if (a >= b) continue;
        struct matmul_job j = job_of(r, i, thread);
        matmul_rows(&j, a * MATMUL_GRAIN, b * MATMUL_GRAIN < R ? b * MATMUL_GRAIN : R);
    }
}

/* Work of one expert: reading its rows costs about as much as multiplying them with a few tokens. */
static size_t expert_cost(int32_t tokens) { return tokens ? (size_t)tokens + 4 : 0; }

/* Threads divide (matrix, expert, block of rows) by cost. */
static void run_experts(const struct run *r, const struct plan_step *s, unsigned thread, unsigned n_threads)
{
    const struct cpu_plan *c = r->p->device;
    size_t total = 0, at = 0, K = r->p->n_slot;
    for (int pass = 0; pass < 2; pass++) {
        size_t lo = total * thread / n_threads, hi = total * (thread + 1) / n_threads;
        for (uint32_t i = s->first; i < s->first + s->n; i++) {
            const struct op *o = &r->p->op[i];
            size_t E = r->p->value[o->in[1]].width - 1;
            const int32_t *begin = (const int32_t *)(const void *)value_row(r, o->in[1], 0);
            const int32_t *slot = begin + E + 1, *token = slot + r->v->T * K;
            size_t blocks = (c->mm[i].R + MATMUL_GRAIN - 1) / MATMUL_GRAIN;
            for (size_t e = 0; e < E; e++) {
                int32_t n = begin[e + 1] - begin[e];
                size_t cost = expert_cost(n), b0, b1;
                if (pass == 0 || !n) {
                    total += pass == 0 ? cost * blocks : 0;
                    continue;
                }
                b0 = lo <= at ? 0 : (lo - at + cost - 1) / cost;
                b1 = hi <= at ? 0 : (hi - at + cost - 1) / cost;
                at += cost * blocks;
                if (b1 > blocks) b1 = blocks;
                if (b0 >= b1) continue;
                struct matmul m = c->mm[i];
                m.w += e * m.R * m.row_bytes;
                struct matmul_job j = job_of(r, i, thread);
                j.m = &m;
                j.T = (size_t)n;
                j.in = (o->n[0] ? slot : token) + begin[e];
                j.out = slot + begin[e];
                matmul_rows(&j, b0 * MATMUL_GRAIN, b1 * MATMUL_GRAIN < m.R ? b1 * MATMUL_GRAIN : m.R);
            }
        }
    }
}

static void run_attention(const struct run *r, const struct op *o, unsigned thread, unsigned n_threads)
{
    const struct kv_layer *l = &r->p->kv[o->n[0]];
    size_t lo, hi;
    pool_share(r->v->T * l->n_kv, 1, thread, n_threads, &lo, &hi);
    for (size_t i = lo; i < hi;) {
        size_t t = i / l->n_kv, h0 = i % l->n_kv, h1 = h0 + (hi - i);
        if (h1 > l->n_kv) h1 = l->n_kv;
        const struct kv_view *kv = &r->v->kv[r->v->seq[t]];
        size_t page = (size_t)o->n[0] * kv->n_pages;
        struct attn_query q = {
            .q = float_row(r, o->in[0], t),
            .o = float_row(r, o->out, t),
            .k_page = (const uint8_t *const *)kv->k_page + page,
            .v_page = (const uint8_t *const *)kv->v_page + page,
            .kv = kv->type == KV_F32 ? VEC_KV_F32 : VEC_KV_F16,
            .n_head = r->p->value[o->in[0]].width / l->dk,
            .n_kv = l->n_kv,
            .dk = l->dk,
            .dv = l->dv,
            .pos = r->v->pos[t],
            .window = o->n[1],
            .scale = o->f[0],
            .softcap = o->f[1],
            .sinks = o->w ? (const float *)(const void *)o->w->data : NULL,
        };
        r->d->vec->attn(&q, (uint32_t)h0, (uint32_t)h1, r->d->scratch + thread * r->d->scratch_bytes);
        i += h1 - h0;
    }
}

static void run_step(const struct run *r, const struct plan_step *s, unsigned thread, unsigned n_threads)
{
    const struct op *o = &r->p->op[s->first];
    switch (s->shape) {
    case OP_ROW: run_rows(r, s, thread, n_threads); return;
    case OP_MAT:
        if (o->kind == OP_MATMUL_ID) run_experts(r, s, thread, n_threads);
        else run_matmuls(r, s, thread, n_threads);
        return;
    case OP_ATT: run_attention(r, o, thread, n_threads); return;
    case OP_ONE:
        if (thread == 0) cpu_sort(r, o);
        return;
    }
}

static void run_thread(void *arg, unsigned thread, unsigned n_threads)
{
    const struct run *r = arg;
    for (uint32_t i = 0; i < r->p->n_step; i++) {
        const struct plan_step *s = &r->p->step[i];
        if (s->domain == ROWS_OUT && !r->v->n_out) continue;
        run_step(r, s, thread, n_threads);
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
