#include "base/lz4.h"

#include <string.h>

#include "base/rd.h"

enum { MAGIC = 0x184D2204, LEAST_MATCH = 4 };
enum { FLAG_DICT = 1, FLAG_SUM = 4, FLAG_SIZE = 8, FLAG_BLOCK_SUM = 16 };

struct out { uint8_t *p; size_t n, cap; };

/* A length of 15 goes on in bytes of which all but the last are 255. */
static uint64_t length_of(struct rd *r, unsigned nibble)
{
    uint64_t v = nibble;
    uint8_t b = 255;
    if (nibble == 15)
        while (b == 255 && !r->bad) v += b = rd_u8(r);
    return v;
}

static bool put(struct out *o, const uint8_t *p, uint64_t n)
{
    if (!p || n > o->cap - o->n) return false;
    memcpy(o->p + o->n, p, (size_t)n);
    o->n += (size_t)n;
    return true;
}

/* What was written `back` bytes ago, again; it may overlap what it writes. */
static bool repeat(struct out *o, size_t back, uint64_t n)
{
    if (!back || back > o->n || n > o->cap - o->n) return false;
    for (uint8_t *to = o->p + o->n, *end = to + n; to < end; to++) *to = to[-(ptrdiff_t)back];
    o->n += (size_t)n;
    return true;
}

/* Literals and matches in turn; the last has no match. */
static bool block(struct rd r, struct out *o)
{
    for (;;) {
        uint8_t token = rd_u8(&r);
        uint64_t n = length_of(&r, token >> 4);
        if (r.bad || !put(o, rd_take(&r, n), n)) return false;
        if (!rd_left(&r)) return true;
        uint16_t back = rd_u16(&r);
        uint64_t match = length_of(&r, token & 15) + LEAST_MATCH;
        if (r.bad || !repeat(o, back, match)) return false;
    }
}

bool lz4_frame(const uint8_t *p, size_t n, uint8_t *out, size_t cap, size_t *len)
{
    struct rd r = { .at = p, .end = p + n };
    struct out o = { out, 0, cap };
    bool good = rd_u32(&r) == MAGIC;
    uint8_t flags = rd_u8(&r);
    good = good && flags >> 6 == 1 && !(flags & FLAG_DICT);
    rd_take(&r, 1u + (flags & FLAG_SIZE ? 8 : 0) + 1);          /* the largest block, the size of all, the header's sum */
    while (good && !r.bad) {
        uint32_t size = rd_u32(&r), bytes = size & 0x7fffffff;
        if (r.bad || !size) break;
        const uint8_t *from = rd_take(&r, bytes);
        if (!from) return false;
        good = size >> 31 ? put(&o, from, bytes) : block((struct rd){ .at = from, .end = from + bytes }, &o);
        if (flags & FLAG_BLOCK_SUM) rd_take(&r, 4);
    }
    if (flags & FLAG_SUM) rd_take(&r, 4);
    *len = o.n;
    return good && !r.bad && !rd_left(&r);
}
