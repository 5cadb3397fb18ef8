/* cpu.h - inside the CPU device: what cpu.c, cpu_row.c and cpu_run.c share. */
#ifndef HEARTH_DEVICE_CPU_CPU_H
#define HEARTH_DEVICE_CPU_CPU_H

#include "base/pool.h"
#include "device/device.h"
#include "kernel/matmul/matmul.h"
#include "kernel/vec/vec.h"

struct device {
    struct pool *pool;
    uint32_t features;
    const struct vec_kernels *vec;
    uint8_t *arena;               /* values of the plan that runs; as large as the largest plan needs */
    size_t arena_bytes;
    uint8_t *scratch;             /* scratch_bytes for each thread */
    size_t scratch_bytes;
    struct budget *budget;
    _Atomic uint64_t buffers, allocated;      /* bytes */
};

/* A plan's own part: one entry per operation that multiplies. */
struct cpu_plan {
    struct matmul *mm;            /* [n_op]; unused entries are zero */
};

struct run {
    struct device *d;
    const struct plan *p;
    const struct params *v;
};

static inline uint8_t *value_row(const struct run *r, vid v, size_t row)
{
    const struct value *x = &r->p->value[v];
    return r->d->arena + x->offset + row * x->row_bytes;
}

static inline float *float_row(const struct run *r, vid v, size_t row) { return (float *)(void *)value_row(r, v, row); }

/* How the heads of a layer's keys (0) or values (1) are turned; values inside keys as these are. */
static inline uint32_t cpu_turn(const struct kv_layer *l, enum dtype t, int value)
{
    return kv_turn(t, l->v_in_k ? l->dk | l->dv : value ? l->dv : l->dk);
}

/* One row operation for token (or wanted row) t. */
void cpu_row_op(const struct run *r, const struct op *o, size_t t);
void cpu_run(struct device *d, const struct plan *p, const struct params *v);
double cpu_limit(struct device *d, enum device_limit what, const void *p, size_t bytes);
double cpu_few_row(enum dtype weight, uint64_t n);
double cpu_few_kv(uint64_t n);
/* Steps of MATMUL_HEADS; all threads call it. */
void cpu_run_heads(const struct run *r, const struct plan_step *s, unsigned thread);
/* Operations of shape SEQ; all threads call it. */
void cpu_run_seq(const struct run *r, const struct op *o);
/* Operations of shape LOW; all threads call it. */
void cpu_run_low(const struct run *r, const struct plan_step *s);
/* LOW_EMBED and STEER, for token t. */
void cpu_low_embed(const struct run *r, const struct op *o, size_t t);
void cpu_steer(const struct run *r, const struct op *o, size_t t);
/* SORT and OBSERVE, on one thread. */
void cpu_one(const struct run *r, const struct op *o);

#endif
