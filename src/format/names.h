/* names.h - finds the index of a name among many, by hash.
 *
 * Open addressing at most half full.  A lookup that would probe more than NAMES_MAX_PROBES slots cannot happen with
 * names that were not chosen to collide; names_build refuses such a set, so that a hostile file costs no more time
 * than an honest one.
 * Threads: immutable after names_build. */
#ifndef HEARTH_FORMAT_NAMES_H
#define HEARTH_FORMAT_NAMES_H

#include "base/arena.h"
#include "base/err.h"
#include "format/gguf.h"

enum { NAMES_MAX_PROBES = 128 };

/* Name number i of the items. */
typedef struct gguf_str name_fn(const void *items, size_t i);

struct names {
    struct names_slot *slot;
    size_t mask;
};

/* Indexes n < 2^31 items; memory comes from the arena.  ERR_NOMEM; ERR_FORMAT with *dup = an item whose name an
 * earlier item has; ERR_LIMIT with *dup = an item whose name collides too often.  Sets no message. */
int names_build(struct names *t, struct arena *a, name_fn *name, const void *items, size_t n, size_t *dup);

/* Where a name wants to be: slot names_hash >> 32, modulo the size. */
uint64_t names_hash(struct gguf_str s);

/* The index of the item with this name, or SIZE_MAX. */
size_t names_find(const struct names *t, name_fn *name, const void *items, struct gguf_str key);

#endif
