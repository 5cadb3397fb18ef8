/* recon.h - of what a file of the Hub consists: the answer of its store of chunks to /v1 or /v2/reconstructions/HASH.
 *
 * Terms, one behind the other, are rows of chunks of a xorb (xorb.h); each lies in one range of one URL.  Nothing is trusted:
 * every term has its range, lengths and counts are bounded, and the sum of lengths cannot overflow.  Threads: one per object. */
#ifndef HEARTH_STORE_RECON_H
#define HEARTH_STORE_RECON_H

#include "base/arena.h"
#include "base/err.h"

enum { RECON_TEXT = 16 << 20, RECON_MANY = 16384, RECON_RANGES = 512 };

struct recon_range { uint32_t first, end; uint64_t from, to; };         /* chunks first to end - 1 are bytes from to `to` */
struct recon_fetch { const char *url; struct recon_range *range; size_t n; };
struct recon_term {
    const struct recon_range *range;
    uint32_t first, end;                   /* chunks */
    uint64_t at, length;                   /* where its bytes begin in the answer, and how many they are */
    uint64_t done;                         /* for who reads them */
};
struct recon {
    struct arena arena;
    struct recon_term *term;
    struct recon_fetch *fetch;             /* at most RECON_RANGES ranges each */
    size_t n_terms, n_fetch;
    uint64_t skip, length;                 /* bytes of the first term that are before what was asked for; of all terms */
};

int  recon_parse(struct recon *r, const char *text, size_t n, struct err *err);
void recon_release(struct recon *r);

#endif
