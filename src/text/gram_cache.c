#include "text/gram_cache.h"

#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

static void drop(struct gram_cache *c, struct gram_kept *k)
{
    c->bytes -= k->bytes;
    grammar_free(k->g);
    mem_free(k->key);
    *k = (struct gram_kept){ 0 };
}

static struct gram_kept *find(struct gram_cache *c, const struct buf *key, uint64_t hash)
{
    for (struct gram_kept *k = c->entry; k < c->entry + GRAM_CACHE_ENTRIES; k++)
        if (k->key && k->hash == hash && k->n_key == key->len && !memcmp(k->key, key->data, key->len)) return k;
    return NULL;
}

bool gram_cache_get(struct gram_cache *c, const struct buf *key, struct grammar **g, struct buf *text)
{
    *g = NULL;
    if (key->bad || !key->len) return false;
    const uint64_t hash = hash_bytes(key->data, key->len);
    lock_take(&c->lock);
    struct gram_kept *k = find(c, key, hash);
    if (k) {
        k->used = ++c->clock;
        *g = grammar_share(k->g);
        if (k->n_text) buf_put(text, k->text, k->n_text);
    }
    lock_give(&c->lock);
    return k != NULL;
}

/* A free entry, with room for so many bytes: the oldest go. */
static struct gram_kept *make_room(struct gram_cache *c, size_t bytes)
{
    for (;;) {
        struct gram_kept *oldest = NULL, *empty = NULL;
        for (struct gram_kept *k = c->entry; k < c->entry + GRAM_CACHE_ENTRIES; k++) {
            if (!k->key) empty = k;
            else if (!oldest || k->used < oldest->used) oldest = k;
        }
        if (empty && c->bytes + bytes <= GRAM_CACHE_BYTES) return empty;
        if (!oldest) return NULL;
        drop(c, oldest);
    }
}

int64_t gram_cache_put(struct gram_cache *c, const struct buf *key, struct grammar *g, const struct buf *text)
{
    const size_t bytes = key->len + text->len + grammar_bytes(g);
    if (key->bad || text->bad || !key->len || bytes > GRAM_CACHE_BYTES / 2) return 0;
    char *copy = mem_new_array(char, key->len + text->len);
    if (!copy) return 0;
    memcpy(copy, key->data, key->len);
    if (text->len) memcpy(copy + key->len, text->data, text->len);
    const uint64_t hash = hash_bytes(key->data, key->len);
    lock_take(&c->lock);
    const size_t before = c->bytes;
    struct gram_kept *k = find(c, key, hash);
    if (k) drop(c, k);                  /* another thread was as quick */
    k = make_room(c, bytes);
    *k = (struct gram_kept){ copy, copy + key->len, key->len, text->len, bytes, hash, ++c->clock, grammar_share(g) };
    c->bytes += bytes;
    const int64_t grew = (int64_t)c->bytes - (int64_t)before;
    lock_give(&c->lock);
    return grew;
}

void gram_cache_release(struct gram_cache *c)
{
    for (struct gram_kept *k = c->entry; k < c->entry + GRAM_CACHE_ENTRIES; k++)
        if (k->key) drop(c, k);
}
