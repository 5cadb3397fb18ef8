/* header.h - a model that is not here, as far as its shape goes: the headers of its files, fetched with ranges.
 *
 * The files get their names and sizes in a folder of their own, where all but their headers (and small JSON files, and the
 * factors of rotary positions) are holes that take no room on the disk.  Such a folder can be opened as the model, but not
 * computed with.  What was fetched cannot be verified: digests are of whole files.
 * Threads: one call per store. */
#ifndef HEARTH_STORE_HEADER_H
#define HEARTH_STORE_HEADER_H

#include "store/pull.h"

enum { HEADER_MAX = 128 << 20 };           /* bytes of one file that are fetched at most */

struct header {
    char folder[STORE_PATH];
    char path[STORE_PATH];                 /* what is opened: the (first) GGUF file, or the folder */
    uint64_t fetched;                      /* bytes */
    uint64_t total;                        /* that the whole would have */
    unsigned files;                        /* of the model */
};

/* The headers of the files that pull_model would fetch.  On failure nothing is left behind. */
int  header_fetch(struct store *s, const struct name *n, const struct pull_options *o, struct header *out, struct err *err);
/* Removes the folder. */
void header_remove(struct header *h);

#endif
