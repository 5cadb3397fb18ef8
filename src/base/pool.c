#include "base/pool.h"

#include "base/cpu_relax.h"
#include "base/mem.h"
#include "base/os.h"

enum { SPIN = 4000 };

struct pool {
    unsigned n;
    unsigned spin;                     /* 0 when there are more threads than processors: spinning would only hurt */
    pool_fn *fn;
    void *arg;
    bool quit;
    struct worker { struct pool *pool; unsigned index; struct os_thread *thread; } *worker;
    _Alignas(64) _Atomic uint32_t job;          /* counts pool_run calls; workers wait for it to change */
    _Alignas(64) _Atomic uint32_t arrived;      /* threads inside the current barrier */
    _Alignas(64) _Atomic uint32_t phase;        /* counts finished barriers */
    _Alignas(64) _Atomic uint32_t sleepers;
    _Alignas(64) _Atomic size_t next;           /* the first item that nobody took since the last barrier */
};

/* Waits until *word differs from old. */
static void wait_change(struct pool *p, _Atomic uint32_t *word, uint32_t old)
{
    for (unsigned i = 0; i < p->spin; i++) {
        if (atomic_load_explicit(word, memory_order_acquire) != old) return;
        cpu_relax();
    }
    atomic_fetch_add(&p->sleepers, 1);
    while (atomic_load_explicit(word, memory_order_acquire) == old) os_wait(word, old);
    atomic_fetch_sub(&p->sleepers, 1);
}

static void change(struct pool *p, _Atomic uint32_t *word)
{
    atomic_fetch_add(word, 1);
    if (atomic_load(&p->sleepers)) os_wake_all(word);
}

void pool_barrier(struct pool *p)
{
    uint32_t phase = atomic_load_explicit(&p->phase, memory_order_acquire);
    if (p->n == 1) {
        atomic_store_explicit(&p->next, 0, memory_order_relaxed);
        atomic_store_explicit(&p->phase, phase + 1, memory_order_relaxed);
        return;
    }
    if (atomic_fetch_add(&p->arrived, 1) + 1 == p->n) {
        atomic_store(&p->arrived, 0);
        atomic_store_explicit(&p->next, 0, memory_order_relaxed);
        change(p, &p->phase);
    } else {
        wait_change(p, &p->phase, phase);
    }
}

/* Large parts first, to be read as one stream; smaller ones towards the end, so that the last ones end together. */
bool pool_take(struct pool *p, size_t n, size_t *lo, size_t *hi)
{
    enum { LEAST = 16 };
    size_t at = atomic_load_explicit(&p->next, memory_order_relaxed), part;
    do {
        if (at >= n) return false;
        part = p->n == 1 ? n - at : (n - at) / (2 * p->n);
        if (part < n / (LEAST * p->n)) part = n / (LEAST * p->n);
        if (!part) part = 1;
        if (part > n - at) part = n - at;
    } while (!atomic_compare_exchange_weak_explicit(&p->next, &at, at + part, memory_order_relaxed, memory_order_relaxed));
    *lo = at;
    *hi = at + part;
    return true;
}

static void worker_main(void *arg)
{
    struct worker *w = arg;
    struct pool *p = w->pool;
    for (uint32_t job = 0;; job++) {
        wait_change(p, &p->job, job);
        if (p->quit) return;
        p->fn(p->arg, w->index, p->n);
        pool_barrier(p);
    }
}

int pool_open(struct pool **out, unsigned n, struct err *err)
{
    *out = NULL;
    if (n < 1 || n > POOL_MAX_THREADS)
        return err_set(err, ERR_ARG, "number of threads must be 1 to %d, not %u", POOL_MAX_THREADS, n);
    struct pool *p = mem_new_aligned(sizeof *p, 64);
    if (!p || !(p->worker = mem_new_array(struct worker, n))) {
        mem_free_aligned(p);
        return err_set(err, ERR_NOMEM, "out of memory starting %u threads", n);
    }
    p->n = 1;
    p->spin = n <= os_cpu_count() ? SPIN : 0;
    int rc = 0;
    for (unsigned i = 1; i < n && rc == 0; i++) {
        p->worker[i] = (struct worker){ p, i, NULL };
        rc = os_thread_start(&p->worker[i].thread, worker_main, &p->worker[i], err);
        if (rc == 0) p->n = i + 1;
    }
    if (rc < 0) {
        pool_close(p);
        return rc;
    }
    *out = p;
    return 0;
}

void pool_close(struct pool *p)
{
    if (!p) return;
    p->quit = true;
    change(p, &p->job);
    for (unsigned i = 1; i < p->n; i++) os_thread_join(p->worker[i].thread);
    mem_free(p->worker);
    mem_free_aligned(p);
}

unsigned pool_size(const struct pool *p) { return p->n; }

uint64_t pool_beat(const struct pool *p)
{
    return (uint64_t)atomic_load(&p->phase) << 32 ^ (uint64_t)atomic_load_explicit(&p->next, memory_order_relaxed);
}

void pool_run(struct pool *p, pool_fn *fn, void *arg)
{
    p->fn = fn;
    p->arg = arg;
    if (p->n > 1) change(p, &p->job);
    fn(arg, 0, p->n);
    pool_barrier(p);
}
