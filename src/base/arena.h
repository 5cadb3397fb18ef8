/* arena.h - one lifetime: many small allocations, released together.
 *
 * A chain of blocks that doubles in size; pointers stay valid until arena_release.  A zeroed struct is a ready
 * arena.  `limit` (0: none) bounds the total, so that hostile input cannot make it grow without end.
 * Threads: one at a time. */
#ifndef HEARTH_BASE_ARENA_H
#define HEARTH_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct arena {
    struct arena_block *head;
    size_t used, cap;         /* of the head block */
    size_t total, limit;      /* bytes taken from the system; 0 = no limit */
};

/* n * size zeroed bytes aligned to 16, or NULL (overflow, limit, out of memory). */
void *arena_push(struct arena *a, size_t n, size_t size);
char *arena_strdup(struct arena *a, const char *s, size_t n);   /* NUL added */
void  arena_release(struct arena *a);                           /* the arena is empty and usable again */

#define arena_new(a, type, n) ((type *)arena_push((a), (n), sizeof(type)))

#endif
