/* tok_table.c - strings to numbers: a hash table over strings kept elsewhere, and a trie whose edges are hashed. */
#include <string.h>

#include "base/mem.h"
#include "text/tok.h"

uint32_t str_hash(const char *s, size_t n)
{
    uint32_t h = STR_HASH_START;
    for (size_t i = 0; i < n; i++) h = str_hash_add(h, (uint8_t)s[i]);
    return h;
}

static uint32_t power_of_two(uint64_t n)
{
    uint32_t p = 16;
    while (p < n && p < (1u << 31)) p *= 2;
    return p;
}

static bool str_table_size(struct str_table *t, uint32_t slots)
{
    struct str_slot *slot = mem_new_array(struct str_slot, slots);
    if (!slot) return false;
    memset(slot, 0xff, sizeof *slot * slots);
    for (uint32_t i = 0; t->slot && i <= t->mask; i++) {
        if (t->slot[i].id == TOK_NONE) continue;
        uint32_t at = str_hash_mix(t->slot[i].hash) & (slots - 1);
        while (slot[at].id != TOK_NONE) at = (at + 1) & (slots - 1);
        slot[at] = t->slot[i];
    }
    mem_free(t->slot);
    t->slot = slot;
    t->mask = slots - 1;
    return true;
}

bool str_table_init(struct str_table *t, uint32_t expect)
{
    *t = (struct str_table){ 0 };
    return str_table_size(t, power_of_two((uint64_t)expect * 3 / 2));
}

void str_table_release(struct str_table *t)
{
    mem_free(t->slot);
    *t = (struct str_table){ 0 };
}

static struct str_slot *find(const struct str_table *t, const struct gguf_str *text, uint32_t hash, const char *s,
                             size_t n)
{
    for (uint32_t at = str_hash_mix(hash) & t->mask;; at = (at + 1) & t->mask) {
        struct str_slot *slot = &t->slot[at];
        if (slot->id == TOK_NONE) return slot;
        if (slot->hash == hash && text[slot->id].n == n && memcmp(text[slot->id].s, s, n) == 0) return slot;
    }
}

uint32_t str_table_find(const struct str_table *t, const struct gguf_str *text, uint32_t hash, const char *s, size_t n)
{
    return find(t, text, hash, s, n)->id;
}

bool str_table_put(struct str_table *t, const struct gguf_str *text, uint32_t id)
{
    if ((uint64_t)t->used * 4 > (uint64_t)t->mask * 3 && !str_table_size(t, (t->mask + 1) * 2)) return false;
    uint32_t hash = str_hash(text[id].s, text[id].n);
    struct str_slot *slot = find(t, text, hash, text[id].s, text[id].n);
    if (slot->id == TOK_NONE) t->used++;
    *slot = (struct str_slot){ hash, id };
    return true;
}

/* ---- trie ---- */

enum { MAX_NODES = 1 << 24 };

static uint32_t edge_slot(uint64_t key) { return (uint32_t)(key * 0x9e3779b97f4a7c15u >> 32); }

bool trie_init(struct trie *t, size_t expect_bytes)
{
    *t = (struct trie){ 0 };
    if (expect_bytes >= MAX_NODES) return false;
    t->cap_nodes = (uint32_t)expect_bytes + 1;
    uint32_t slots = power_of_two((uint64_t)t->cap_nodes * 2);
    t->mask = slots - 1;
    t->edge = mem_new_array(uint64_t, slots);
    t->leaf = mem_new_array(int32_t, t->cap_nodes);
    if (!t->edge || !t->leaf) return false;
    t->leaf[0] = -1;
    t->n_nodes = 1;
    return true;
}

void trie_release(struct trie *t)
{
    mem_free(t->edge);
    mem_free(t->leaf);
    *t = (struct trie){ 0 };
}

uint32_t trie_step(const struct trie *t, uint32_t node, uint8_t c)
{
    if (!node) return t->root[c];
    uint64_t key = (uint64_t)node << 8 | c;
    for (uint32_t at = edge_slot(key) & t->mask; t->edge[at]; at = (at + 1) & t->mask)
        if (t->edge[at] >> 32 == key) return (uint32_t)t->edge[at];
    return 0;
}

static uint32_t grow_edge(struct trie *t, uint32_t node, uint8_t c)
{
    if (t->n_nodes == t->cap_nodes) return 0;
    uint32_t child = t->n_nodes++;
    t->leaf[child] = -1;
    if (!node) {
        t->root[c] = child;
        return child;
    }
    uint64_t key = (uint64_t)node << 8 | c;
    uint32_t at = edge_slot(key) & t->mask;
    while (t->edge[at]) at = (at + 1) & t->mask;
    t->edge[at] = key << 32 | child;
    return child;
}

bool trie_put(struct trie *t, const char *s, size_t n, int32_t value)
{
    uint32_t node = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t next = trie_step(t, node, (uint8_t)s[i]);
        if (!next && !(next = grow_edge(t, node, (uint8_t)s[i]))) return false;
        node = next;
    }
    t->leaf[node] = value;
    return true;
}
