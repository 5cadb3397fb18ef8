/* gram_set.c - sets of bytes with a number each: automata have many edges and few different sets. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "text/gram.h"

static uint32_t *slot_of(const struct gset_table *t, const struct gbytes *b)
{
    uint32_t i = (uint32_t)(hash_bytes(b, sizeof *b) >> 20) & t->mask;
    while (t->slot[i] && memcmp(&t->set[t->slot[i] - 1], b, sizeof *b) != 0) i = (i + 1) & t->mask;
    return &t->slot[i];
}

static bool grow(struct gset_table *t)
{
    uint32_t cap = t->cap ? t->cap * 2 : 128;
    struct gbytes *set = mem_resize(t->set, cap, sizeof *set);
    if (!set) return false;
    t->set = set;
    uint32_t *slot = mem_new_array(uint32_t, (size_t)cap * 2);
    if (!slot) return false;
    mem_free(t->slot);
    t->slot = slot;
    t->cap = cap;
    t->mask = cap * 2 - 1;
    for (uint32_t i = 0; i < t->n; i++) *slot_of(t, &t->set[i]) = i + 1;
    return true;
}

uint32_t gset_id(struct gram *g, const struct gbytes *b)
{
    struct gset_table *t = g->sets;
    if (t->n == t->cap && (t->n >= ON_INDEX / 2 || !grow(t))) {
        gram_nomem(g);
        return 0;
    }
    uint32_t *slot = slot_of(t, b);
    if (*slot) return *slot - 1;
    t->set[t->n] = *b;
    *slot = ++t->n;
    return t->n - 1;
}
