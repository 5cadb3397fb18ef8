/* lock.h - a mutex of one word that sleeps in the kernel only when contended.  Zero is unlocked. */
#ifndef HEARTH_BASE_LOCK_H
#define HEARTH_BASE_LOCK_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/os.h"

struct lock { _Atomic uint32_t word; };       /* 0 free, 1 held, 2 held and somebody waits */

static inline void lock_take(struct lock *l)
{
    uint32_t seen = 0;
    if (atomic_compare_exchange_strong(&l->word, &seen, 1)) return;
    while (atomic_exchange(&l->word, 2) != 0) os_wait(&l->word, 2);
}

static inline bool lock_try(struct lock *l)
{
    uint32_t seen = 0;
    return atomic_compare_exchange_strong(&l->word, &seen, 1);
}

static inline void lock_give(struct lock *l)
{
    if (atomic_exchange(&l->word, 0) == 2) os_wake_one(&l->word);      /* who takes it then wakes the next */
}

#endif
