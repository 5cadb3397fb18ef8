#include "base/arena.h"

#include <string.h>

#include "base/mem.h"

struct arena_block {
    struct arena_block *next;
    size_t unused;              /* keeps the payload aligned to 16 */
};

static int arena_grow(struct arena *a, size_t need)
{
    size_t cap = a->cap < 4096 ? 4096 : a->cap < (1u << 22) ? a->cap * 2 : a->cap;
    if (cap < need) cap = need;
    if (cap > SIZE_MAX - sizeof(struct arena_block)) return -1;
    if (a->limit && (a->total > a->limit || cap > a->limit - a->total)) {
        cap = need;
        if (a->total > a->limit || cap > a->limit - a->total) return -1;
    }
    struct arena_block *b = mem_new(1, sizeof *b + cap);
    if (!b) return -1;
    b->next = a->head;
    a->head = b;
    a->used = 0;
    a->cap = cap;
    a->total += cap;
    return 0;
}

void *arena_push(struct arena *a, size_t n, size_t size)
{
    if (size && n > (SIZE_MAX - 15) / size) return NULL;
    size_t need = (n * size + 15) & ~(size_t)15;
    if (!need) need = 16;
    if ((!a->head || need > a->cap - a->used) && arena_grow(a, need) < 0) return NULL;
    void *p = (char *)(a->head + 1) + a->used;
    a->used += need;
    return p;
}

char *arena_strdup(struct arena *a, const char *s, size_t n)
{
    if (n == SIZE_MAX) return NULL;
    char *d = arena_push(a, n + 1, 1);
    if (d && n) memcpy(d, s, n);
    return d;
}

void arena_release(struct arena *a)
{
    while (a->head) {
        struct arena_block *b = a->head;
        a->head = b->next;
        mem_free(b);
    }
    a->used = a->cap = a->total = 0;
}
