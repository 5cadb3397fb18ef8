/* budget.h - a number of bytes that several users share.
 *
 * Who is about to take memory asks first; who asks in vain may have others give something up (reclaim).
 * Invariant: used is the sum of what was taken and not given; it passes the limit only by budget_add.
 * Threads: any.  A budget of NULL is without limit. */
#ifndef HEARTH_BASE_BUDGET_H
#define HEARTH_BASE_BUDGET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget {
    uint64_t limit;
    _Atomic uint64_t used;
    /* Makes others give up about so many bytes; false: nobody has anything.  Called without locks of the budget; it must not wait
     * for locks that a caller of budget_take_hard may hold. */
    bool (*reclaim)(void *arg, uint64_t bytes);
    void *arg;
};

static inline bool budget_take(struct budget *b, uint64_t bytes)
{
    if (!b) return true;
    uint64_t used = atomic_load(&b->used);
    do
        if (used > b->limit || bytes > b->limit - used) return false;
    while (!atomic_compare_exchange_weak(&b->used, &used, used + bytes));
    return true;
}

static inline bool budget_reclaim(struct budget *b, uint64_t bytes) { return b && b->reclaim && b->reclaim(b->arg, bytes); }

/* Takes what others have to give up for it. */
static inline bool budget_take_hard(struct budget *b, uint64_t bytes)
{
    while (!budget_take(b, bytes))
        if (bytes > b->limit || !budget_reclaim(b, bytes)) return false;
    return true;
}

static inline void budget_give(struct budget *b, uint64_t bytes)
{
    if (b) atomic_fetch_sub(&b->used, bytes);
}

/* Makes others give up what was added over the limit; false: they do not have so much. */
static inline bool budget_settle(struct budget *b)
{
    for (uint64_t used; b && (used = atomic_load(&b->used)) > b->limit;)
        if (!budget_reclaim(b, used - b->limit)) return false;
    return true;
}

/* What is there already; negative: what is there no more. */
static inline void budget_add(struct budget *b, int64_t bytes)
{
    if (b) atomic_fetch_add(&b->used, (uint64_t)bytes);
}

#endif
