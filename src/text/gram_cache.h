/* gram_cache.h - compiled grammars that are kept between answers, for clients ask with the same tools again and again.
 *
 * A key says all that a grammar is made of; equal keys are compared byte by byte.  What was used longest ago goes first.
 * Threads: any, at the same time. */
#ifndef HEARTH_TEXT_GRAM_CACHE_H
#define HEARTH_TEXT_GRAM_CACHE_H

#include "base/buf.h"
#include "base/lock.h"
#include "text/grammar.h"

enum {
    GRAM_CACHE_BYTES = 32 << 20,        /* of keys and grammars together; one of more than half of it is not kept */
    GRAM_CACHE_ENTRIES = 64
};

struct gram_kept {
    char *key, *text;                   /* in one allocation */
    size_t n_key, n_text, bytes;
    uint64_t hash, used;
    struct grammar *g;
};

struct gram_cache {                     /* a zeroed one is empty */
    struct lock lock;
    uint64_t clock;
    size_t bytes;
    struct gram_kept entry[GRAM_CACHE_ENTRIES];
};

void gram_cache_release(struct gram_cache *c);
/* What was put there: *g (the caller's reference, grammar_free; NULL where none was put), and the text, appended. */
bool gram_cache_get(struct gram_cache *c, const struct buf *key, struct grammar **g, struct buf *text);
/* Keeps a reference to g (or NULL) and a copy of text; without memory nothing.  By how many bytes the cache grew. */
int64_t gram_cache_put(struct gram_cache *c, const struct buf *key, struct grammar *g, const struct buf *text);

#endif
