/* hash.h - FNV-1a, 64 bits: for tables and for comparing results, never for security. */
#ifndef HEARTH_BASE_HASH_H
#define HEARTH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_START 0xcbf29ce484222325u

static inline uint64_t hash_add(uint64_t h, const void *p, size_t n)
{
    const uint8_t *b = p;
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * 0x100000001b3u;
    return h;
}

static inline uint64_t hash_bytes(const void *p, size_t n) { return hash_add(HASH_START, p, n); }

#endif
