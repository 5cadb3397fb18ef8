#include "engine/kv.h"

#include <string.h>

#include "base/mem.h"
#include "engine/prefix.h"

/* Small pages are taken from the system many at once. */
enum { SLAB_BYTES = 4 << 20, SLAB_MOST = 64, ALIGN = 4096 };

/* The head of a slab lies in its own memory, so that growing asks nobody else for any. */
struct kv_slab {
    struct kv_layout *layout;
    int class;
    size_t bytes;                     /* of the whole slab */
    uint32_t n, n_free;
    struct kv_page *free;
    struct kv_slab *prev, *next;      /* among those with free pages */
    struct kv_page page[SLAB_MOST];
};

void kv_pool_init(struct kv_pool *p, const struct device_ops *ops, struct device *d, const struct graph *g, uint64_t limit)
{
    p->ops = ops;
    p->device = d;
    p->graph = g;
    p->limit = limit;
}

/* ---- layouts ---- */

const struct kv_layout *kv_layout_of(struct kv_pool *p, const enum dtype type[2])
{
    lock_take(&p->lock);
    size_t i = 0;
    while (p->layout[i] && (p->layout[i]->type[0] != type[0] || p->layout[i]->type[1] != type[1])) i++;
    struct kv_layout *l = p->layout[i];
    if (!l) {
        l = mem_new(1, sizeof *l);
        if (l) {
            l->type[0] = type[0];
            l->type[1] = type[1];
            l->k_at = mem_new_array(size_t, p->graph->n_layer);
            l->v_at = mem_new_array(size_t, p->graph->n_layer);
        }
        if (l && (!l->k_at || !l->v_at)) {
            mem_free(l->k_at);
            mem_free(l->v_at);
            mem_free(l);
            l = NULL;
        }
        if (l) kv_page_layout(p->graph->kv, p->graph->n_layer, type, l->k_at, l->v_at, l->bytes);
        if (l) l->bytes[KV_STATE] = (size_t)p->graph->n_state * sizeof(float);
        p->layout[i] = l;
    }
    lock_give(&p->lock);
    return l;
}

uint64_t kv_bytes(const struct kv_pool *p, const struct kv_layout *l, uint32_t n_ctx, uint32_t n_batch)
{
    uint64_t pages = ((uint64_t)n_ctx + KV_PAGE - 1) / KV_PAGE;
    uint64_t near = ((uint64_t)p->graph->window + n_batch) / KV_PAGE + 2;
    return pages * l->bytes[KV_FULL] + (near < pages ? near : pages) * l->bytes[KV_WINDOW] + 2 * (uint64_t)l->bytes[KV_STATE];
}

/* ---- slabs ---- */

static void unlink_slab(struct kv_slab *s)
{
    if (s->prev) s->prev->next = s->next;
    else s->layout->slab[s->class] = s->next;
    if (s->next) s->next->prev = s->prev;
    s->prev = s->next = NULL;
}

static void link_slab(struct kv_slab *s)
{
    struct kv_slab **first = &s->layout->slab[s->class];
    s->next = *first;
    if (*first) (*first)->prev = s;
    *first = s;
}

static void release_slab(struct kv_pool *p, struct kv_slab *s)
{
    unlink_slab(s);
    p->reserved -= s->bytes;
    p->ops->release(p->device, s, s->bytes);
}

/* Slabs that nobody uses, of all kinds. */
static void release_spare(struct kv_pool *p)
{
    for (size_t i = 0; i < sizeof p->layout / sizeof *p->layout && p->layout[i]; i++)
        for (int c = 0; c < N_PAGE_CLASS; c++)
            for (struct kv_slab *s = p->layout[i]->slab[c], *next; s; s = next) {
                next = s->next;
                if (s->n_free == s->n) release_slab(p, s);
            }
}

static struct kv_slab *new_slab(struct kv_pool *p, struct kv_layout *l, int class)
{
    const size_t head = (sizeof(struct kv_slab) + ALIGN - 1) / ALIGN * ALIGN, page = l->bytes[class];
    uint64_t left = p->limit - p->reserved;
    if (left < head || left - head < page) return NULL;
    /* A part of what is left: other classes and types need some, too. */
    uint64_t n = SLAB_BYTES / page, most = (left - head) / page / 8;
    if (n > SLAB_MOST) n = SLAB_MOST;
    if (n > most) n = most;
    if (n < 1) n = 1;
    struct kv_slab *s = p->ops->alloc(p->device, head + (size_t)n * page);
    if (!s && n > 1) s = p->ops->alloc(p->device, head + (size_t)(n = 1) * page);
    if (!s) return NULL;
    *s = (struct kv_slab){ .layout = l, .class = class, .bytes = head + (size_t)n * page, .n = (uint32_t)n,
                           .n_free = (uint32_t)n };
    for (uint32_t i = (uint32_t)n; i-- > 0;) {
        s->page[i] = (struct kv_page){ .data = (uint8_t *)s + head + i * page, .slab = s, .next_free = s->free };
        s->free = &s->page[i];
    }
    p->reserved += s->bytes;
    link_slab(s);
    return s;
}

static struct kv_slab *find_slab(struct kv_pool *p, struct kv_layout *l, int class)
{
    if (l->slab[class]) return l->slab[class];
    struct kv_slab *s = new_slab(p, l, class);
    for (bool more = true; !s && more;) {
        release_spare(p);
        if ((s = new_slab(p, l, class))) break;
        more = p->tree && prefix_evict(p->tree);
        if (l->slab[class]) return l->slab[class];
    }
    /* Own past texts are gone; others that share the memory may have some. */
    while (!s && p->limit - p->reserved > l->bytes[class] && budget_reclaim(p->budget, SLAB_BYTES + l->bytes[class]))
        s = new_slab(p, l, class);
    return s;
}

/* ---- pages ---- */

struct kv_page *kv_take(struct kv_pool *p, const struct kv_layout *l, int class)
{
    size_t i = 0;
    while (p->layout[i] != l) i++;
    struct kv_slab *s = find_slab(p, p->layout[i], class);
    if (!s) return NULL;
    struct kv_page *page = s->free;
    s->free = page->next_free;
    if (--s->n_free == 0) unlink_slab(s);
    page->refs = 1;
    /* Nobody sees, or saves, what was another's: the end of a page is not always written. */
    if (page->written) memset(page->data, 0, l->bytes[class]);
    page->written = true;
    p->used += l->bytes[class];
    p->n_used++;
    return page;
}

void kv_share(struct kv_page *page) { page->refs++; }
size_t kv_page_bytes(const struct kv_page *page) { return page->slab->layout->bytes[page->slab->class]; }

void kv_drop(struct kv_pool *p, struct kv_page *page)
{
    if (!page || --page->refs) return;
    struct kv_slab *s = page->slab;
    p->used -= s->layout->bytes[s->class];
    p->n_used--;
    page->next_free = s->free;
    s->free = page;
    if (s->n_free++ == 0) link_slab(s);
    /* One empty slab may stay for the next to come. */
    if (s->n_free == s->n && (s->prev || s->next)) release_slab(p, s);
}

uint64_t kv_shrink(struct kv_pool *p, uint64_t bytes)
{
    if (!lock_try(&p->lock)) return 0;
    uint64_t before = p->reserved;
    release_spare(p);
    while (before - p->reserved < bytes && p->tree && prefix_evict(p->tree)) release_spare(p);
    uint64_t freed = before - p->reserved;
    lock_give(&p->lock);
    return freed;
}

void kv_pool_release(struct kv_pool *p)
{
    release_spare(p);
    for (size_t i = 0; i < sizeof p->layout / sizeof *p->layout && p->layout[i]; i++) {
        mem_free(p->layout[i]->k_at);
        mem_free(p->layout[i]->v_at);
        mem_free(p->layout[i]);
        p->layout[i] = NULL;
    }
}
