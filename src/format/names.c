#include "format/names.h"

#include <string.h>

struct names_slot { uint32_t tag, item; };         /* item 0 is an empty slot, else index + 1 */

/* Eight bytes at a time: a header at the limits has 20 MB of names.  The order of the bytes in a word only moves slots. */
uint64_t names_hash(struct gguf_str s)
{
    uint64_t h = s.n, word = 0;
    for (; s.n >= 8; s.s += 8, s.n -= 8) {
        memcpy(&word, s.s, 8);
        h = (h ^ word) * 0x9e3779b97f4a7c15u;
        h ^= h >> 32;
    }
    word = 0;
    if (s.n) memcpy(&word, s.s, s.n);
    h = (h ^ word) * 0x9e3779b97f4a7c15u;
    return (h ^ h >> 32) * 0xd6e8feb86659fd93u;
}

static bool same(struct gguf_str a, struct gguf_str b) { return a.n == b.n && memcmp(a.s, b.s, a.n) == 0; }

int names_build(struct names *t, struct arena *a, name_fn *name, const void *items, size_t n, size_t *dup)
{
    size_t cap = 8;
    while (cap < 2 * n) cap *= 2;
    *t = (struct names){ arena_new(a, struct names_slot, cap), cap - 1 };
    if (!t->slot) return ERR_NOMEM;
    for (size_t i = 0; i < n; i++) {
        struct gguf_str s = name(items, i);
        uint64_t h = names_hash(s);
        uint32_t tag = (uint32_t)h;
        size_t at = (size_t)(h >> 32) & t->mask;
        *dup = i;
        for (unsigned probes = 0; t->slot[at].item; at = (at + 1) & t->mask) {
            if (t->slot[at].tag == tag && same(s, name(items, t->slot[at].item - 1))) return ERR_FORMAT;
            if (++probes == NAMES_MAX_PROBES) return ERR_LIMIT;
        }
        t->slot[at] = (struct names_slot){ tag, (uint32_t)i + 1 };
    }
    return 0;
}

size_t names_find(const struct names *t, name_fn *name, const void *items, struct gguf_str key)
{
    uint64_t h = names_hash(key);
    for (size_t at = (size_t)(h >> 32) & t->mask; t->slot[at].item; at = (at + 1) & t->mask)
        if (t->slot[at].tag == (uint32_t)h && same(key, name(items, t->slot[at].item - 1)))
            return t->slot[at].item - 1;
    return SIZE_MAX;
}
