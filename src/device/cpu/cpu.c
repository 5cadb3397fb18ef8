#include "device/cpu/cpu.h"

#include "base/cpu.h"
#include "base/mem.h"
#include "base/os.h"
#include "quant/quant.h"

static void cpu_close(struct device *d)
{
    if (!d) return;
    os_pages_free(d->arena, d->arena_bytes);
    os_pages_free(d->scratch, d->scratch_bytes * (d->pool ? pool_size(d->pool) : 0));
    budget_give(d->budget, atomic_load(&d->buffers));
    pool_close(d->pool);
    mem_free(d);
}

static int cpu_open(struct device **out, const struct device_options *o, struct err *err)
{
    *out = NULL;
    struct device *d = mem_new(1, sizeof *d);
    if (!d) return err_set(err, ERR_NOMEM, "out of memory opening the CPU device");
    int rc = cpu_select(o->cpu, &d->features, err);
    if (rc == 0) rc = pool_open(&d->pool, o->threads ? o->threads : os_core_count(), err);
    if (rc < 0) {
        cpu_close(d);
        return rc;
    }
    d->vec = vec_select(d->features);
    d->budget = o->budget;
    *out = d;
    return 0;
}

static void cpu_memory(const struct device *d, uint64_t *free, uint64_t *total)
{
    (void)d;
    *free = os_memory_available();
    *total = os_memory_total();
}

static bool cpu_supports(const struct device *d, enum op_kind op, enum dtype weight)
{
    (void)d;
    /* Those step through a matrix by the bytes of its rows, which SPLIT types do not have. */
    if (op == OP_POSITION || op == OP_TYPE) return quant_unpack(weight) != NULL;
    if (op_info(op)->shape == OP_MAT || op == OP_EMBED)
        return quant_unpack(weight) != NULL || dtype_info(weight)->family == DTF_SPLIT;
    return weight == DT_F32;
}

static bool cpu_unpack(enum dtype type, const uint8_t *src, float *dst, size_t n)
{
    if (!quant_unpack(type)) return false;
    quant_unpack(type)(src, dst, n);
    return true;
}

static void *cpu_alloc(struct device *d, size_t bytes)
{
    if (!budget_take(d->budget, bytes)) return NULL;
    void *p = os_pages_new(bytes);
    if (p) atomic_fetch_add(&d->allocated, bytes);
    else budget_give(d->budget, bytes);
    return p;
}

static void cpu_release(struct device *d, void *p, size_t bytes)
{
    if (!p) return;
    os_pages_free(p, bytes);
    atomic_fetch_sub(&d->allocated, bytes);
    budget_give(d->budget, bytes);
}

static void cpu_used(const struct device *d, uint64_t *buffers, uint64_t *allocated)
{
    *buffers = atomic_load(&d->buffers);
    *allocated = atomic_load(&d->allocated);
}

static int target_form(const struct weight *w) { return (int)matmul_act_form(w->type, w->data); }
static size_t target_form_bytes(int form, size_t K) { return act_row_bytes((enum act_form)form, K); }
static const struct plan_target target = { target_form, target_form_bytes };

/* What is there stays until the larger is: other plans use it. */
static int reserve(struct device *d, uint8_t **p, size_t *have, size_t want, struct err *err)
{
    const size_t n = p == &d->scratch ? pool_size(d->pool) : 1, more = want > *have ? (want - *have) * n : 0;
    if (!more) return 0;
    if (!budget_take_hard(d->budget, more))
        return err_set(err, ERR_LIMIT, "compute buffers need %.1f MB more, but %.1f MB of the %.1f MB that all models may have "
                       "are in use", (double)more / 1e6, (double)atomic_load(&d->budget->used) / 1e6,
                       (double)d->budget->limit / 1e6);
    uint8_t *q = os_pages_new(want * n);
    if (!q) {
        budget_give(d->budget, more);
        return err_set(err, ERR_NOMEM, "out of memory: compute buffers of %zu bytes", want * n);
    }
    os_pages_free(*p, *have * n);
    atomic_fetch_add(&d->buffers, more);
    *p = q;
    *have = want;
    return 0;
}

static size_t op_scratch(const struct plan *p, const struct op *o, const struct matmul *mm)
{
    if (op_info(o->kind)->shape == OP_MAT) {
        size_t T = p->value[o->out].rows == ROWS_OUT ? p->max_out : p->max_T;
        return matmul_scratch(mm, T);
    }
    if (o->kind == OP_ATTN) {
        const struct kv_layer *kv = &p->kv[o->n[0]];
        return attn_scratch(p->value[o->in[0]].width / kv->dk, kv->n_kv, kv->dk, kv->dv);
    }
    return 0;
}

static int cpu_compile(struct device *d, struct plan *p, struct err *err)
{
    struct cpu_plan *c = arena_new(&p->arena, struct cpu_plan, 1);
    if (c) c->mm = arena_new(&p->arena, struct matmul, p->n_op);
    if (!c || !c->mm) return err_set(err, ERR_NOMEM, "out of memory compiling the plan");
    size_t scratch = 64;
    for (uint32_t i = 0; i < p->n_op; i++) {
        const struct op *o = &p->op[i];
        if (op_info(o->kind)->shape == OP_MAT)
            matmul_init(&c->mm[i], o->w->type, o->w->data, (size_t)o->w->ne[1], (size_t)o->w->ne[0], d->features);
        size_t s = (op_scratch(p, o, &c->mm[i]) + 63) & ~(size_t)63;
        if (s > scratch) scratch = s;
    }
    p->device = c;
    int rc = reserve(d, &d->arena, &d->arena_bytes, p->arena_bytes, err);
    if (rc == 0) rc = reserve(d, &d->scratch, &d->scratch_bytes, scratch, err);
    return rc;
}

static void cpu_forget(struct device *d, struct plan *p)
{
    (void)d;
    p->device = NULL;             /* its memory is the plan's */
}

static uint64_t cpu_beat(const struct device *d) { return pool_beat(d->pool); }

static const char *cpu_describe(const struct device *d, unsigned *threads)
{
    if (threads) *threads = pool_size(d->pool);
    return cpu_features_name(d->features);
}

const struct device_ops device_cpu = {
    .name = "cpu",
    .open = cpu_open,
    .close = cpu_close,
    .memory = cpu_memory,
    .supports = cpu_supports,
    .unpack = cpu_unpack,
    .alloc = cpu_alloc,
    .release = cpu_release,
    .used = cpu_used,
    .target = &target,
    .compile = cpu_compile,
    .forget = cpu_forget,
    .run = cpu_run,
    .beat = cpu_beat,
    .describe = cpu_describe,
    .limit = cpu_limit,
    .few_row = cpu_few_row,
    .few_kv = cpu_few_kv,
};
