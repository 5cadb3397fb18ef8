/* kv.h - the memory of past tokens of one model, in pages that its sequences and its prefix cache share.
 *
 * A page holds KV_PAGE positions of all layers of a class (graph.h), or one recurrent state.  Pages are cut from slabs of the
 * device's memory, which come and go as they are needed, up to one limit for all sequences and the cache together.
 * Invariants: (1) a page is on its slab's free list or has refs > 0;  (2) a page with refs > 1 is never written;  (3) used is the
 * sum of the pages with refs > 0, reserved that of the slabs, and reserved <= limit.
 * Threads: any, with the pool's lock held where a function says so. */
#ifndef HEARTH_ENGINE_KV_H
#define HEARTH_ENGINE_KV_H

#include "base/lock.h"
#include "device/device.h"

enum { KV_STATE = N_KV_CLASS, N_PAGE_CLASS };

struct kv_page {
    uint8_t *data;
    struct kv_slab *slab;
    struct kv_page *next_free;
    uint32_t refs;
    bool written;                     /* it was somebody's before */
};

/* The pages of one pair of types. */
struct kv_layout {
    enum dtype type[2];
    size_t bytes[N_PAGE_CLASS];       /* of a page; 0: the model has none of the class */
    size_t *k_at, *v_at;              /* [n_layer] */
    struct kv_slab *slab[N_PAGE_CLASS];       /* those with free pages */
};

struct prefix_tree;

struct kv_pool {
    struct lock lock;
    const struct device_ops *ops;
    struct device *device;
    const struct graph *graph;        /* its geometry */
    struct budget *budget;            /* that the device's memory comes out of, or NULL */
    struct kv_layout *layout[25 + 1]; /* by pair of types, made when first asked for; NULL behind the last */
    uint64_t limit, reserved, used;   /* bytes */
    uint64_t n_used;                  /* pages */
    struct prefix_tree *tree;         /* gives up pages when there are no others */
};

void kv_pool_init(struct kv_pool *p, const struct device_ops *ops, struct device *d, const struct graph *g, uint64_t limit);
/* All pages must have been given back. */
void kv_pool_release(struct kv_pool *p);
/* Takes the lock.  NULL: out of memory. */
const struct kv_layout *kv_layout_of(struct kv_pool *p, const enum dtype type[2]);
/* The most bytes that a sequence of n_ctx tokens takes when at most n_batch of them are evaluated at once. */
uint64_t kv_bytes(const struct kv_pool *p, const struct kv_layout *l, uint32_t n_ctx, uint32_t n_batch);

/* With the lock held.  kv_take: a page of zeros with one reference; NULL when neither the limit nor what the cache
 * could give up leaves room. */
struct kv_page *kv_take(struct kv_pool *p, const struct kv_layout *l, int class);
/* Gives up past texts until the system has about so many bytes back, if nobody has the lock; returns how many. */
uint64_t kv_shrink(struct kv_pool *p, uint64_t bytes);
void kv_share(struct kv_page *page);
void kv_drop(struct kv_pool *p, struct kv_page *page);        /* NULL is fine */
size_t kv_page_bytes(const struct kv_page *page);

/* Pages of window layers that positions from n on may look at begin with this one. */
static inline uint32_t kv_window_page(const struct graph *g, uint32_t n)
{
    return g->window && n >= g->window ? (n - g->window + 1) / KV_PAGE : 0;
}

#endif
