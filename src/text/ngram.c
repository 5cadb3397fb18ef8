#include "text/ngram.h"

#include "base/mem.h"

enum { TRIES = 24 };         /* places that are compared at most */

bool ngram_open(struct ngram *g, size_t cap)
{
    *g = (struct ngram){ .last = mem_new_array(int32_t, NGRAM_TABLE), .before = mem_new_array(int32_t, cap + 1), .cap = cap };
    if (g->last && g->before) return true;
    ngram_close(g);
    return false;
}

void ngram_close(struct ngram *g)
{
    mem_free(g->last);
    mem_free(g->before);
    *g = (struct ngram){ 0 };
}

static int32_t *slot(const struct ngram *g, const int32_t *end)
{
    uint64_t h = ((uint64_t)(uint32_t)end[-1] << 32 | (uint32_t)end[-2]) * 0x9e3779b97f4a7c15u;
    return &g->last[h >> 49 & (NGRAM_TABLE - 1)];
}

/* The first place of the chain that is before `limit`. */
static size_t earlier(const struct ngram *g, size_t place, size_t limit)
{
    while (place >= limit) place = (size_t)g->before[place];
    return place;
}

void ngram_learn(struct ngram *g, const int32_t *ids, size_t n)
{
    if (n < g->n) g->n = n;
    for (size_t i = g->n; i < n && i < g->cap; i++) {
        size_t place = i + 1;                                  /* the text before it ends in the pair */
        g->before[place] = 0;
        if (place < NGRAM) continue;
        int32_t *s = slot(g, ids + place);
        size_t old = (size_t)*s;
        g->before[place] = (int32_t)earlier(g, old, place);
        *s = (int32_t)place;
    }
    g->n = n < g->cap ? n : g->cap;
}

static size_t agreement(const int32_t *ids, size_t a, size_t b)
{
    size_t m = 0;
    while (m < NGRAM_MAX_MATCH && m < a && ids[a - 1 - m] == ids[b - 1 - m]) m++;
    return m;
}

size_t ngram_find(const struct ngram *g, const int32_t *ids, size_t *match)
{
    size_t best = 0;
    *match = 0;
    if (g->n < NGRAM) return 0;
    size_t place = earlier(g, (size_t)*slot(g, ids + g->n), g->n);
    for (int i = 0; i < TRIES && place; i++, place = (size_t)g->before[place]) {
        size_t m = agreement(ids, place, g->n);
        if (m < NGRAM || m <= *match) continue;
        *match = m;
        best = place;
        if (m == NGRAM_MAX_MATCH) break;
    }
    return best;
}
