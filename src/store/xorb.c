#include "store/xorb.h"

#include <string.h>

#include "base/lz4.h"

enum { PLAIN, LZ4, GROUPED_LZ4 };

void xorb_begin(struct xorb *x, struct xorb_room *room, uint32_t first, uint32_t end, xorb_chunk_fn *fn, void *arg)
{
    *x = (struct xorb){ .room = room, .fn = fn, .arg = arg, .at = first, .end = end };
}

bool xorb_is_whole(const struct xorb *x) { return x->at == x->end && !x->n_head; }

static size_t u24(const uint8_t *p) { return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16; }

/* Four groups, of which the first have one byte more when n is no multiple of 4, back into their order. */
static void ungroup(const uint8_t *g, uint8_t *to, size_t n)
{
    for (size_t k = 0; k < 4; k++)
        for (size_t i = k; i < n; i += 4) to[i] = *g++;
}

static int unpack(struct xorb *x, struct err *err)
{
    size_t packed = u24(x->head + 1), size = u24(x->head + 5), n = 0;
    const uint8_t *p = x->room->plain;
    bool good = true;
    if (x->head[4] == PLAIN) {
        p = x->room->packed;
        n = packed;
    } else {
        bool grouped = x->head[4] == GROUPED_LZ4;
        good = lz4_frame(x->room->packed, packed, grouped ? x->room->grouped : x->room->plain, size, &n);
        if (good && grouped) ungroup(x->room->grouped, x->room->plain, n);
    }
    if (!good || n != size) return err_set(err, ERR_FORMAT, "chunk %u: does not unpack to %zu bytes", x->at, size);
    return x->fn(x->arg, x->at, p, n, err);
}

static int check_head(const struct xorb *x, struct err *err)
{
    size_t packed = u24(x->head + 1), size = u24(x->head + 5);
    if (x->head[0]) return err_set(err, ERR_UNSUPPORTED, "chunk %u: version %u, only 0 is known", x->at, x->head[0]);
    if (x->head[4] > GROUPED_LZ4) return err_set(err, ERR_UNSUPPORTED, "chunk %u: packed by scheme %u, 0 to 2 are known", x->at,
                                                 x->head[4]);
    if (packed > XORB_CHUNK || size > XORB_CHUNK || !packed || !size)
        return err_set(err, ERR_FORMAT, "chunk %u: %zu bytes from %zu, 1 to %d are possible", x->at, size, packed, XORB_CHUNK);
    return 0;
}

int xorb_add(struct xorb *x, const void *bytes, size_t n, struct err *err)
{
    const uint8_t *p = bytes;
    while (n) {
        if (x->at == x->end) return err_set(err, ERR_FORMAT, "more bytes follow than its chunks have");
        bool head = x->n_head < XORB_HEAD;
        size_t want = head ? XORB_HEAD - x->n_head : u24(x->head + 1) - x->filled, k = n < want ? n : want;
        memcpy(head ? x->head + x->n_head : x->room->packed + x->filled, p, k);
        if (head) x->n_head += k;
        else x->filled += k;
        p += k;
        n -= k;
        if (k < want) break;
        int rc = head ? check_head(x, err) : unpack(x, err);
        if (rc < 0) return rc;
        if (head) continue;
        x->at++;
        x->n_head = x->filled = 0;
    }
    return 0;
}
