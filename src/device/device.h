/* device.h - where plans run.
 *
 * A device is a table of calls; cpu/ fills it today.  Weights are adopted in place: a plan refers to the mapped bytes of the
 * file.  "supports" asks the same tables that dispatch.
 * Threads: calls on one device one at a time. */
#ifndef HEARTH_DEVICE_DEVICE_H
#define HEARTH_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/budget.h"
#include "base/err.h"
#include "graph/graph.h"

struct device;

struct device_options {
    unsigned threads;         /* 0: one per physical core */
    const char *cpu;          /* instruction set by name, NULL: the best */
    struct budget *budget;    /* what its memory comes out of, or NULL; outlives the device */
};

/* What a machine can do at best, per second: bytes read, multiply-adds of 8-bit and 16-bit integers, of 32-bit floats. */
enum device_limit { DEVICE_READ, DEVICE_INT8, DEVICE_INT16, DEVICE_F32 };

struct device_ops {
    const char *name;
    int  (*open)(struct device **out, const struct device_options *o, struct err *err);
    void (*close)(struct device *d);
    /* Free and total bytes of the device's memory; 0 when unknown. */
    void (*memory)(const struct device *d, uint64_t *free, uint64_t *total);
    /* Whether a weight of this type can be used by this operation. */
    bool (*supports)(const struct device *d, enum op_kind op, enum dtype weight);
    /* The first n numbers of a tensor of this type (n whole blocks) as floats; false when it has no such numbers. */
    bool (*unpack)(enum dtype type, const uint8_t *src, float *dst, size_t n);
    /* Zeroed memory for caches, in place on the host where the device can.  NULL when out of memory. */
    void *(*alloc)(struct device *d, size_t bytes);
    void (*release)(struct device *d, void *p, size_t bytes);
    /* Bytes of compute buffers, and of what alloc gave, that it has now.  Any thread. */
    void (*used)(const struct device *d, uint64_t *buffers, uint64_t *allocated);
    const struct plan_target *target;
    /* Once per plan: binds kernels and reserves the arena.  Undone by forget. */
    int  (*compile)(struct device *d, struct plan *p, struct err *err);
    void (*forget)(struct device *d, struct plan *p);
    /* Runs to the end; allocates nothing. */
    void (*run)(struct device *d, const struct plan *p, const struct params *v);
    /* Another number each time that run has got on.  Any thread. */
    uint64_t (*beat)(const struct device *d);
    /* What it computes with, for people ("avx512"), and how many threads. */
    const char *(*describe)(const struct device *d, unsigned *threads);
    /* Measured now, in some milliseconds, with all the device's threads; DEVICE_READ reads p[bytes]. */
    double (*limit)(struct device *d, enum device_limit what, const void *p, size_t bytes);
    /* For forecasts, as measured once: how many multiply-adds DEVICE_INT8 allows in the time in which a row of n weights is
     * multiplied with one token, when memory is no hindrance; and in which n numbers of the KV cache are attended to. */
    double (*few_row)(enum dtype weight, uint64_t n);
    double (*few_kv)(uint64_t n);
};

extern const struct device_ops device_cpu;

#endif
