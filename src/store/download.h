/* download.h - one file over HTTP into the store, in parallel ranges, resumed wherever it stood, checked by its digest.
 *
 * The bytes come into PATH.part; PATH.part.map holds a check sum for each piece of 1 MB that is complete, so that after a
 * kill at any instant, or a loss of power, only what is not certainly there is fetched again: at most the pieces that were
 * under way.  Whoever holds the lock on PATH.part downloads; others wait for it and share the result.  When the SHA-256 of the
 * whole agrees, the file is synced, renamed to PATH and made read-only, and the folder is synced; else it is thrown away and
 * fetched again, three times at most; PATH.map keeps the check sums.  A server that cannot do ranges is read from the beginning.
 * Threads: one call per object; it starts its own. */
#ifndef HEARTH_STORE_DOWNLOAD_H
#define HEARTH_STORE_DOWNLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/sha256.h"
#include "store/xet.h"

struct fs_file;

enum { DOWNLOAD_PIECE = 1 << 20 };

struct download {
    const char *url, *token;               /* token: or NULL */
    const char *path;                      /* of the finished file */
    const char *digest;                    /* 64 digits, or NULL: any content will do, and *found says what it was */
    struct xet *xet;                       /* fetch chunks instead of the URL (xet.h); or NULL */
    uint64_t size;                         /* exact */
    unsigned workers, stall_s, tries;      /* 0: 4 at once, 30 s, 6 without progress */
    /* From the calling thread: bytes that are there.  False ends the download (ERR_CANCELLED), which can be resumed. */
    bool (*progress)(void *arg, uint64_t done);
    void *arg;
    struct fs_file *part;                  /* download_run's: what came without a digest */
};

/* Without a digest the file stays PATH.part, for which others wait, until one of the calls below.  found may be NULL when a
 * digest is given. */
int  download_run(struct download *d, char found[SHA256_HEX + 1], struct err *err);
/* Gives a file that came without a digest its name. */
int  download_keep(struct download *d, const char *path, struct err *err);
/* Forgets what came without a digest. */
void download_drop(struct download *d);
/* Leaves it as it is, for whoever comes to go on with.  When there is none, nothing happens. */
void download_leave(struct download *d);
/* A finished file that went bad, of which `size` bytes are right, becomes an unfinished download: the pieces that are what they
 * were are not fetched again.  Nothing happens when it is not there. */
int download_reopen(const char *path, uint64_t size, struct err *err);
/* Removes what download_reopen would need, of a file that is removed too. */
void download_forget(const char *path);
/* Bytes that are there already of an unfinished download; 0 when there is none. */
uint64_t download_done(const char *path);

#endif
