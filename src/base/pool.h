/* pool.h - the threads that compute.
 *
 * n threads (the caller's is number 0) run the same function and meet at barriers.  A waiting thread spins for
 * some microseconds, then sleeps.  The results of kernels never depend on n.
 * Threads: one pool_run at a time per pool. */
#ifndef HEARTH_BASE_POOL_H
#define HEARTH_BASE_POOL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { POOL_MAX_THREADS = 256 };

struct pool;
typedef void pool_fn(void *arg, unsigned thread, unsigned n_threads);

/* n in 1..POOL_MAX_THREADS.  *out is the caller's, NULL on failure. */
int      pool_open(struct pool **out, unsigned n, struct err *err);
void     pool_close(struct pool *p);                    /* NULL is fine */
unsigned pool_size(const struct pool *p);
/* Another number each time that some work was done since: for who watches from outside.  Any thread. */
uint64_t pool_beat(const struct pool *p);

/* Calls fn(arg, thread, n) once on each thread; returns when all have returned. */
void pool_run(struct pool *p, pool_fn *fn, void *arg);

/* Inside pool_run: returns when all n threads have called it. */
void pool_barrier(struct pool *p);

/* Inside pool_run: the next part [*lo, *hi) of n items that nobody has taken since the last barrier; false when none is left.
 * Threads that are slower (other programs, small cores) take fewer parts.  All threads pass the same n and parts. */
bool pool_take(struct pool *p, size_t n, size_t *lo, size_t *hi);

/* The part [*lo, *hi) of n items, in multiples of grain, that belongs to this thread. */
static inline void pool_share(size_t n, size_t grain, unsigned thread, unsigned n_threads, size_t *lo, size_t *hi)
{
    size_t units = (n + grain - 1) / grain;
    *lo = units * thread / n_threads * grain;
    *hi = units * (thread + 1) / n_threads * grain;
    if (*lo > n) *lo = n;
    if (*hi > n) *hi = n;
}

#endif
