/* xorb.h - what the Hub keeps large files in: xorbs, which are rows of chunks, each packed by itself (huggingface.co/docs/xet).
 *
 * A chunk is a header of 8 bytes (version 0, packed size in 3 bytes, scheme, size in 3 bytes, all little-endian) and its bytes:
 * as they are (0), an LZ4 frame (1), or an LZ4 frame of the bytes in four groups by their place modulo 4 (2).  They come in
 * pieces of any size and are unpacked one by one.
 * Also the body of an answer to several ranges (multipart/byteranges, RFC 9110 14.6), in pieces too.
 * Nothing is trusted: a chunk has at most XORB_CHUNK bytes, packed or not.  Threads: one per object. */
#ifndef HEARTH_STORE_XORB_H
#define HEARTH_STORE_XORB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { XORB_CHUNK = 1 << 20, XORB_HEAD = 8, MULTIPART_BOUNDARY = 200, MULTIPART_LINE = 1000 };

/* The bytes of the chunk `index`; a negative value ends the work. */
typedef int xorb_chunk_fn(void *arg, uint32_t index, const uint8_t *p, size_t n, struct err *err);

struct xorb_room { uint8_t packed[XORB_CHUNK], plain[XORB_CHUNK], grouped[XORB_CHUNK]; };

struct xorb {
    struct xorb_room *room;                /* the caller's */
    xorb_chunk_fn *fn;
    void *arg;
    uint32_t at, end;                      /* the chunk that is next, and the one behind the last */
    uint8_t head[XORB_HEAD];
    size_t n_head, filled;                 /* of head, of packed */
};

/* Chunks first to end - 1 follow. */
void xorb_begin(struct xorb *x, struct xorb_room *room, uint32_t first, uint32_t end, xorb_chunk_fn *fn, void *arg);
int  xorb_add(struct xorb *x, const void *p, size_t n, struct err *err);     /* ERR_FORMAT, or what fn says */
bool xorb_is_whole(const struct xorb *x);                                    /* all chunks came, and nothing else */

struct multipart {
    char boundary[MULTIPART_BOUNDARY + 1], line[MULTIPART_LINE + 1];
    size_t n_line;
    unsigned lines;
    enum { MULTIPART_BETWEEN, MULTIPART_FIELDS, MULTIPART_BYTES, MULTIPART_END } state;
    uint64_t from, to, left;               /* of the part under way; both included */
    bool ranged;
    int (*part)(void *arg, uint64_t from, uint64_t to, struct err *err);     /* one begins */
    int (*bytes)(void *arg, const void *p, size_t n, struct err *err);
    void *arg;
};

/* The boundary from a Content-Type; false when that is none of multipart/byteranges. */
bool multipart_begin(struct multipart *m, const char *type);
int  multipart_add(struct multipart *m, const void *p, size_t n, struct err *err);

#endif
