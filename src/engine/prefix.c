#include "engine/prefix.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* How many texts that differ after the same tokens are searched for the one with most in common. */
enum { SIBLINGS = 128, FIRST_BUCKETS = 256 };

struct prefix_tree {
    struct kv_pool *pool;
    uint64_t limit, bytes, n;
    struct prefix_node **bucket;
    size_t n_bucket;                  /* a power of two */
    struct prefix_node *newest, *oldest;
};

struct prefix_tree *prefix_open(struct kv_pool *p, uint64_t limit)
{
    struct prefix_tree *t = mem_new(1, sizeof *t);
    if (!t) return NULL;
    t->pool = p;
    t->limit = limit;
    t->n_bucket = FIRST_BUCKETS;
    t->bucket = mem_new_array(struct prefix_node *, t->n_bucket);
    if (t->bucket) return t;
    mem_free(t);
    return NULL;
}

void prefix_close(struct prefix_tree *t)
{
    if (!t) return;
    while (prefix_evict(t)) continue;
    mem_free(t->bucket);
    mem_free(t);
}

uint64_t prefix_bytes(const struct prefix_tree *t, uint64_t *n_nodes)
{
    *n_nodes = t->n;
    return t->bytes;
}

/* ---- order of use ---- */

static void unlink_use(struct prefix_tree *t, struct prefix_node *x)
{
    if (x->newer) x->newer->older = x->older;
    else t->newest = x->older;
    if (x->older) x->older->newer = x->newer;
    else t->oldest = x->newer;
    x->newer = x->older = NULL;
}

static void link_use(struct prefix_tree *t, struct prefix_node *x)
{
    x->older = t->newest;
    if (t->newest) t->newest->newer = x;
    else t->oldest = x;
    t->newest = x;
}

/* From the leaf up: a parent is always newer than its children, so that the oldest node has none. */
void prefix_touch(struct prefix_tree *t, struct prefix_node *node)
{
    for (struct prefix_node *x = node; x; x = x->parent) {
        unlink_use(t, x);
        link_use(t, x);
    }
    while (t->bytes > t->limit && prefix_evict(t)) continue;
}

/* ---- nodes ---- */

static struct prefix_node **bucket_of(struct prefix_tree *t, uint64_t hash) { return &t->bucket[hash & (t->n_bucket - 1)]; }

static struct prefix_node *lookup(struct prefix_tree *t, const struct prefix_node *parent, const int32_t *ids, uint32_t n,
                                  uint64_t *hash)
{
    *hash = hash_add(parent ? parent->hash : HASH_START, ids, n * sizeof *ids);
    for (struct prefix_node *x = *bucket_of(t, *hash); x; x = x->same_bucket)
        if (x->hash == *hash && x->parent == parent && x->n == n && !memcmp(x->ids, ids, n * sizeof *ids)) return x;
    return NULL;
}

/* More buckets when there is memory for them; else the chains grow. */
static void grow(struct prefix_tree *t)
{
    size_t n = t->n_bucket * 2;
    struct prefix_node **b = mem_new_array(struct prefix_node *, n);
    if (!b) return;
    for (size_t i = 0; i < t->n_bucket; i++)
        for (struct prefix_node *x = t->bucket[i], *next; x; x = next) {
            next = x->same_bucket;
            x->same_bucket = b[x->hash & (n - 1)];
            b[x->hash & (n - 1)] = x;
        }
    mem_free(t->bucket);
    t->bucket = b;
    t->n_bucket = n;
}

static struct prefix_node *add(struct prefix_tree *t, struct prefix_node *parent, const int32_t *ids, uint32_t n, uint64_t hash)
{
    struct prefix_node *x = mem_new(1, sizeof *x);
    if (!x) return NULL;
    if (t->n >= t->n_bucket) grow(t);
    memcpy(x->ids, ids, n * sizeof *ids);
    x->n = n;
    x->hash = hash;
    x->parent = parent;
    x->same_bucket = *bucket_of(t, hash);
    *bucket_of(t, hash) = x;
    if (parent) {
        x->sibling = parent->child;
        if (parent->child) parent->child->prev_sibling = x;
        parent->child = x;
    }
    t->n++;
    link_use(t, x);
    /* The new one must not be newer than those above it. */
    for (struct prefix_node *up = parent; up; up = up->parent) {
        unlink_use(t, up);
        link_use(t, up);
    }
    return x;
}

static void remove_leaf(struct prefix_tree *t, struct prefix_node *x)
{
    struct prefix_node **at = bucket_of(t, x->hash);
    while (*at != x) at = &(*at)->same_bucket;
    *at = x->same_bucket;
    if (x->prev_sibling) x->prev_sibling->sibling = x->sibling;
    else if (x->parent) x->parent->child = x->sibling;
    if (x->sibling) x->sibling->prev_sibling = x->prev_sibling;
    unlink_use(t, x);
    for (int c = 0; c < N_PAGE_CLASS; c++) {
        if (!x->page[c]) continue;
        t->bytes -= kv_page_bytes(x->page[c]);
        kv_drop(t->pool, x->page[c]);
    }
    t->n--;
    mem_free(x);
}

bool prefix_evict(struct prefix_tree *t)
{
    struct prefix_node *x = t->oldest;
    if (!x) return false;
    struct prefix_node *parent = x->parent;
    remove_leaf(t, x);
    /* A root that nothing is left of. */
    if (parent && !parent->parent && !parent->child) remove_leaf(t, parent);
    return true;
}

struct prefix_node *prefix_root(struct prefix_tree *t, const struct prefix_key *key)
{
    int32_t ids[sizeof *key / sizeof(int32_t)];
    uint64_t hash;
    memcpy(ids, key, sizeof ids);
    struct prefix_node *x = lookup(t, NULL, ids, sizeof ids / sizeof *ids, &hash);
    return x ? x : add(t, NULL, ids, sizeof ids / sizeof *ids, hash);
}

/* A shorter page that a longer one begins with is of no more use. */
static void remove_shorter(struct prefix_tree *t, struct prefix_node *parent, const struct prefix_node *longer)
{
    size_t seen = 0;
    for (struct prefix_node *x = parent->child, *next; x && seen < SIBLINGS; x = next, seen++) {
        next = x->sibling;
        if (x != longer && x->n < longer->n && !x->child && !memcmp(x->ids, longer->ids, x->n * sizeof *x->ids))
            remove_leaf(t, x);
    }
}

struct prefix_node *prefix_child(struct prefix_tree *t, struct prefix_node *parent, const int32_t *ids, uint32_t n)
{
    uint64_t hash;
    struct prefix_node *x = lookup(t, parent, ids, n, &hash);
    if (x) return x;
    x = add(t, parent, ids, n, hash);
    if (x) remove_shorter(t, parent, x);
    return x;
}

void prefix_keep(struct prefix_tree *t, struct prefix_node *node, int class, struct kv_page *page)
{
    if (!page || node->page[class]) return;
    kv_share(page);
    node->page[class] = page;
    t->bytes += kv_page_bytes(page);
}

/* ---- finding ---- */

struct walk {
    const struct graph *g;
    const struct kv_layout *layout;
    uint32_t depth;                   /* whole pages so far */
    uint32_t run;                     /* of them, the last so many have pages of windows */
};

/* Whether evaluation can go on from position n: the last of `pages` pages, `run` of them with what windows need, ends there or
 * has it inside. */
static bool window_there(const struct walk *w, uint32_t n, uint32_t pages, uint32_t run)
{
    uint32_t first = kv_window_page(w->g, n);
    return !w->layout->bytes[KV_WINDOW] || first >= pages || pages - first <= run;
}

static uint32_t in_common(const struct prefix_node *x, const int32_t *ids, uint32_t n)
{
    uint32_t most = x->n < n ? x->n : n, i = 0;
    while (i < most && x->ids[i] == ids[i]) i++;
    return i;
}

/* The child that has most in common with the text behind the walk. */
static void find_part(const struct walk *w, struct prefix_node *parent, const int32_t *ids, uint32_t n,
                      struct prefix_hit *hit)
{
    size_t seen = 0;
    for (struct prefix_node *x = parent->child; x && seen < SIBLINGS; x = x->sibling, seen++) {
        uint32_t m = in_common(x, ids, n), at = w->depth * KV_PAGE + m;
        bool there = !w->layout->bytes[KV_FULL] || x->page[KV_FULL];
        uint32_t run = x->page[KV_WINDOW] ? w->run + 1 : 0;
        if (!m || at <= hit->n || !there || !window_there(w, at, w->depth + 1, run)) continue;
        *hit = (struct prefix_hit){ at, parent, x };
    }
}

struct prefix_hit prefix_find(struct prefix_tree *t, const struct prefix_key *key, const int32_t *ids, uint32_t n)
{
    struct prefix_hit hit = { 0 };
    enum dtype type[2] = { (enum dtype)key->type[0], (enum dtype)key->type[1] };
    struct walk w = { .g = t->pool->graph };
    for (size_t i = 0; t->pool->layout[i]; i++)
        if (!memcmp(t->pool->layout[i]->type, type, sizeof type)) w.layout = t->pool->layout[i];
    int32_t root[sizeof *key / sizeof(int32_t)];
    uint64_t hash;
    memcpy(root, key, sizeof root);
    struct prefix_node *x = lookup(t, NULL, root, sizeof root / sizeof *root, &hash), *next;
    if (!x || !w.layout) return hit;
    const bool state = w.layout->bytes[KV_STATE] > 0;
    for (; (w.depth + 1) * KV_PAGE <= n; x = next) {
        next = lookup(t, x, ids + w.depth * KV_PAGE, KV_PAGE, &hash);
        if (!next || (w.layout->bytes[KV_FULL] && !next->page[KV_FULL])) break;
        w.depth++;
        w.run = next->page[KV_WINDOW] ? w.run + 1 : 0;
        if (state && !next->page[KV_STATE]) continue;
        if (!window_there(&w, w.depth * KV_PAGE, w.depth, w.run)) continue;
        hit = (struct prefix_hit){ w.depth * KV_PAGE, next, NULL };
    }
    if (!state && w.depth * KV_PAGE < n) find_part(&w, x, ids + w.depth * KV_PAGE, n - w.depth * KV_PAGE, &hit);
    if (hit.n) prefix_touch(t, hit.part ? hit.part : hit.node);
    return hit;
}
