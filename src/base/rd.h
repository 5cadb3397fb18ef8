/* rd.h - a cursor over untrusted bytes whose failure is sticky, so that parsers check once.
 * Reads past the end return 0 and set bad.  Little-endian. */
#ifndef HEARTH_BASE_RD_H
#define HEARTH_BASE_RD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct rd { const uint8_t *at, *end; bool bad; };

static inline uint64_t rd_left(const struct rd *r) { return (uint64_t)(r->end - r->at); }

static inline const uint8_t *rd_take(struct rd *r, uint64_t n)
{
    if (r->bad || n > rd_left(r)) { r->bad = true; return NULL; }
    const uint8_t *p = r->at;
    r->at += n;
    return p;
}

static inline uint64_t rd_uint(struct rd *r, unsigned bytes)
{
    const uint8_t *p = rd_take(r, bytes);
    uint64_t v = 0;
    if (p)
        for (unsigned i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static inline uint8_t rd_u8(struct rd *r) { return (uint8_t)rd_uint(r, 1); }
static inline uint16_t rd_u16(struct rd *r) { return (uint16_t)rd_uint(r, 2); }
static inline uint32_t rd_u32(struct rd *r) { return (uint32_t)rd_uint(r, 4); }
static inline uint64_t rd_u64(struct rd *r) { return rd_uint(r, 8); }

static inline float rd_f32(struct rd *r)
{
    uint32_t u = rd_u32(r);
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline double rd_f64(struct rd *r)
{
    uint64_t u = rd_u64(r);
    double f;
    memcpy(&f, &u, 8);
    return f;
}

#endif
