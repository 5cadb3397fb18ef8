/* order.h - the smallest of many 64-bit keys, in order, as far as somebody asks.
 *
 * Keys are distinct, so the order is unique whatever the algorithm; nothing is allocated and no input makes it slow
 * (O(n) to find the first few, O(n log n) for all).
 * Threads: one per object. */
#ifndef HEARTH_TEXT_ORDER_H
#define HEARTH_TEXT_ORDER_H

#include <stddef.h>
#include <stdint.h>

struct order {
    uint64_t *key;         /* [n], permuted in place; borrowed */
    size_t n, sorted;      /* key[0..sorted) are the smallest, ascending */
};

/* Makes at least the first min(want, n) keys sorted. */
void order_upto(struct order *o, size_t want);

/* key for a logit and its id: ascending keys are descending logits, equal logits by ascending id.  z is not NaN. */
static inline uint64_t order_key(float z, uint32_t id)
{
    union { float f; uint32_t u; } v = { z + 0.0f };           /* -0 becomes +0 */
    uint32_t up = v.u & 0x80000000u ? ~v.u : v.u | 0x80000000u;
    return (uint64_t)~up << 32 | id;
}
static inline int32_t order_id(uint64_t key) { return (int32_t)(uint32_t)key; }

/* Puts the k smallest keys first, unordered; k <= n. */
void order_select(uint64_t *key, size_t n, size_t k);

#endif
