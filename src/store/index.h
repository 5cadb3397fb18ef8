/* index.h - what is known about files, so that it need not be found out again: the only user of SQLite (WAL mode).
 *
 * A cache and nothing else: it can be deleted at any time and is built again from the files.  A row holds for one path with one
 * device, inode, size and time of change.  An index that is damaged is made anew; one that cannot be written is read, and a
 * missing one (NULL) knows nothing.
 * Threads: one per object; several processes may share a file. */
#ifndef HEARTH_STORE_INDEX_H
#define HEARTH_STORE_INDEX_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/sha256.h"

struct index;

struct facts {
    char arch[64], quant[32];              /* "" when unknown */
    uint64_t n_params;
    uint32_t context;
    char digest[SHA256_HEX + 1];           /* of the whole file, or "" */
};

/* NULL when there can be none. */
struct index *index_open(const char *path);
void index_close(struct index *x);
bool index_get(struct index *x, const char *path, const struct fs_info *file, struct facts *out);
void index_put(struct index *x, const char *path, const struct fs_info *file, const struct facts *f);
const char *index_library(void);           /* "SQLite 3.40.1" */
/* Between these, many rows are written at once. */
void index_begin(struct index *x);
void index_end(struct index *x);

#endif
