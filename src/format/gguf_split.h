/* gguf_split.h - one model in several files, or in one again.
 *
 * A split model's files are PREFIX-00001-of-0000N.gguf; the first has all the metadata.  Each file appears when complete; when
 * anything fails, those that were already there by then are removed again.  Joining the parts gives the file that was split,
 * byte by byte, if it was written without gaps (as this program and others do).
 * Threads: one call at a time. */
#ifndef HEARTH_FORMAT_GGUF_SPLIT_H
#define HEARTH_FORMAT_GGUF_SPLIT_H

#include "format/gguf.h"

struct gguf_split_options {
    uint64_t max_bytes;            /* of tensor data per file, unless one tensor alone is larger; 0: any */
    uint32_t max_tensors;          /* per file; 0: any */
    bool replace;                  /* files that exist already may be replaced */
    /* Bytes of tensor data written; false stops (ERR_CANCELLED).  May be NULL. */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
};

/* Which file every tensor goes to: file[n_tensors] is filled in.  *n_files may be 1. */
int gguf_split_plan(const struct gguf *g, const struct gguf_split_options *o, uint32_t *file, uint32_t *n_files, struct err *err);
/* The path of part i of n; mem_free. */
char *gguf_split_path(const char *prefix, uint32_t i, uint32_t n);

/* Writes all parts; *n_files says how many. */
int gguf_split(const struct gguf *g, const char *prefix, const struct gguf_split_options *o, uint32_t *n_files, struct err *err);
/* Writes one file; only progress of o counts.  ERR_ARG when path is a file of g. */
int gguf_merge(const struct gguf *g, const char *path, const struct gguf_split_options *o, struct err *err);

#endif
