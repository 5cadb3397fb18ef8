/* xet.h - files of the Hub by their chunks (its protocol is called Xet): what it does not serve whole, above 50 GB.
 *
 * The Hub gives a token and names a store of chunks; that says of which rows of chunks a range of the file consists and
 * where these can be had; they are fetched, unpacked (xorb.h) and laid one behind the other.  Equal parts are fetched once
 * within a range.  Where the store of chunks lies counts like a redirect by the Hub (fetch.h).  Version 2 of the list is asked
 * for, else version 1.
 * Threads: several may use one object, each with its own struct fetch. */
#ifndef HEARTH_STORE_XET_H
#define HEARTH_STORE_XET_H

#include "base/lock.h"
#include "store/fetch.h"
#include "store/xorb.h"

#define XET_ABOVE 50000000000u             /* bytes that a file has at most to be served whole */

enum { XET_HOST = 1024 };

struct xet {
    const char *hub, *token;               /* URL of the Hub's tokens for reading; the user's token, or NULL */
    const char *hash;                      /* of the file: 64 digits */
    /* the rest is its own; zeroed at first */
    struct lock lock;
    char *key;                             /* for the store of chunks */
    char store[XET_HOST];
    bool inside, v1;
};

struct xet_range {
    uint64_t from, to;                     /* bytes of the file; to is not included */
    unsigned stall_s;
    /* Each byte of the range once, in any order; false ends it. */
    bool (*sink)(void *arg, uint64_t at, const void *p, size_t n);
    fetch_alive_fn *alive;
    void *arg;
    struct xorb_room *room;
};

/* All of the range, or an error: ERR_FORMAT for an answer that makes no sense, ERR_IO for one that may be better next time. */
int  xet_bring(struct xet *x, struct fetch *f, const struct xet_range *r, struct err *err);
void xet_release(struct xet *x);

#endif
