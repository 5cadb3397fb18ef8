/* gguf_walk.h - reads everything that a GGUF file offers, so that a sanitizer sees every access. */
#ifndef HEARTH_TESTS_GGUF_WALK_H
#define HEARTH_TESTS_GGUF_WALK_H

#include <string.h>

#include "base/hash.h"
#include "format/gguf.h"

static inline uint64_t gguf_walk_kv(const struct gguf *g, const struct gguf_kv *kv, uint64_t h)
{
    char key[256];
    struct gguf_str s;
    h = hash_add(h, kv->key.s, kv->key.n);
    for (const uint8_t *at = kv->data; gguf_next_str(kv, &at, &s);) h = hash_add(h, s.s, s.n);
    for (uint64_t i = 0; i < kv->count + 1 && i < 100000; i++) {
        int64_t v;
        float f;
        if (gguf_item_i64(kv, i, &v)) h = hash_add(h, &v, sizeof v);
        if (gguf_item_f32(kv, i, &f)) h = hash_add(h, &f, sizeof f);
        if (kv->type != GGUF_ARRAY) break;
    }
    if (kv->key.n >= sizeof key) return h;
    memcpy(key, kv->key.s, kv->key.n);
    key[kv->key.n] = 0;
    if (gguf_find(g, key) != kv) return 0;
    uint64_t u = 0;
    int64_t i = 0;
    uint32_t w = 0;
    float f = 0;
    bool b = false;
    if (gguf_get_u64(g, key, &u)) h = hash_add(h, &u, sizeof u);
    if (gguf_get_i64(g, key, &i)) h = hash_add(h, &i, sizeof i);
    if (gguf_get_u32(g, key, &w)) h = hash_add(h, &w, sizeof w);
    if (gguf_get_f32(g, key, &f)) h = hash_add(h, &f, sizeof f);
    if (gguf_get_bool(g, key, &b)) h = hash_add(h, &b, 1);
    if (gguf_get_str(g, key, &s)) h = hash_add(h, s.s, s.n);
    return h;
}

/* 0 when a lookup does not find what the list has. */
static inline uint64_t gguf_walk(const struct gguf *g)
{
    uint64_t h = HASH_START + gguf_version(g) + gguf_file_bytes(g);
    for (size_t i = 0; i < gguf_n_kv(g) && h; i++) h = gguf_walk_kv(g, gguf_kv_at(g, i), h);
    for (size_t i = 0; i < gguf_n_tensors(g) && h; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(g, i);
        if (gguf_tensor(g, t->name) != t) return 0;
        h = hash_add(h, t->name, strlen(t->name));
        h = hash_add(h, t->data, t->bytes < 64 ? (size_t)t->bytes : 64);
        h = hash_add(h, t->data + t->bytes - 1, 1);
    }
    return h;
}

#endif
