/* prefix.h - what past texts have left behind: a tree of pages by the tokens that led to them.
 *
 * A node is one page: up to KV_PAGE tokens after those of its parent.  Its pages are what a sequence had there; a page of a class
 * may be missing (windows are kept near the places where texts were left, states at chosen ones).  Texts of another key (salt,
 * adapters, types, kind of context) never meet.  The least recently used leaves go first.
 * Threads: with the pool's lock held. */
#ifndef HEARTH_ENGINE_PREFIX_H
#define HEARTH_ENGINE_PREFIX_H

#include "engine/kv.h"

/* Texts are only found by those who ask with the same key.  Zero padding: it is compared as bytes. */
struct prefix_key {
    uint64_t salt;                    /* whose text it is */
    uint64_t adapters;                /* a hash of what changes the weights; 0: nothing */
    uint32_t type[2], variant, zero;
};

struct prefix_node {
    struct prefix_node *parent, *child, *sibling, *prev_sibling;
    struct prefix_node *same_bucket;
    struct prefix_node *newer, *older;
    struct kv_page *page[N_PAGE_CLASS];
    uint64_t hash;                    /* of the path */
    uint32_t n;
    int32_t ids[KV_PAGE];             /* a root's: its key */
};

/* How far a text is known: `n` tokens, the last `n % KV_PAGE` of them in a part of the page of `part`. */
struct prefix_hit { uint32_t n; struct prefix_node *node, *part; };

/* limit: bytes that the tree may hold.  NULL: out of memory. */
struct prefix_tree *prefix_open(struct kv_pool *p, uint64_t limit);
void prefix_close(struct prefix_tree *t);
/* The longest prefix of ids[0..n) from whose end evaluation can go on.  What is found counts as used now. */
struct prefix_hit prefix_find(struct prefix_tree *t, const struct prefix_key *key, const int32_t *ids, uint32_t n);
/* The node of the `n` tokens after parent (NULL: the root of the key), made when it is not there; NULL when memory is out. */
struct prefix_node *prefix_root(struct prefix_tree *t, const struct prefix_key *key);
struct prefix_node *prefix_child(struct prefix_tree *t, struct prefix_node *parent, const int32_t *ids, uint32_t n);
/* Gives the node a page of its own reference, if it has none of the class. */
void prefix_keep(struct prefix_tree *t, struct prefix_node *node, int class, struct kv_page *page);
/* Counts the path to the node as used now, and gives up what is over the limit. */
void prefix_touch(struct prefix_tree *t, struct prefix_node *node);
/* Gives up the least recently used leaf; false when there is none. */
bool prefix_evict(struct prefix_tree *t);
uint64_t prefix_bytes(const struct prefix_tree *t, uint64_t *n_nodes);

#endif
