/* imatrix.h - importance matrices: the mean squares of what each column of a weight is multiplied with.
 *
 * A file in GGUF (general.type "imatrix": <weight>.in_sum2 [columns, matrices] and <weight>.counts [1, matrices], both F32) or in
 * the older .dat form.  Read into memory as a whole: 4 bytes per column.  Nothing is trusted: sizes are checked, values must be
 * finite and not negative.  Threads: immutable after open, any thread. */
#ifndef HEARTH_QUANT_IMATRIX_H
#define HEARTH_QUANT_IMATRIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct imatrix;

struct imatrix_entry {
    const char *name;          /* of the weight: "blk.0.attn_q.weight" */
    uint64_t n;                /* columns times matrices (experts) */
    const float *value;        /* [n] */
};

/* *out is the caller's (imatrix_close), NULL on failure. */
int  imatrix_open(struct imatrix **out, const char *path, struct err *err);
/* The same for the bytes of a file; name is used in messages.  Nothing is kept of data. */
int  imatrix_parse(struct imatrix **out, const void *data, uint64_t size, const char *name, struct err *err);
void imatrix_close(struct imatrix *m);                             /* NULL is fine */
size_t imatrix_n(const struct imatrix *m);
const struct imatrix_entry *imatrix_at(const struct imatrix *m, size_t i);
const struct imatrix_entry *imatrix_find(const struct imatrix *m, const char *name);    /* NULL when absent */
uint32_t imatrix_chunks(const struct imatrix *m);                  /* of text that it was made from; 0: unknown */
const char *imatrix_dataset(const struct imatrix *m);              /* "": unknown */

/* ---- writing ---- */

struct imatrix_sums {
    const char *name;
    uint64_t n_col, n_mat;
    const double *sum2;        /* [n_mat][n_col] sums of squares */
    const uint64_t *count;     /* [n_mat] rows that went into them */
};
struct imatrix_source { const char *dataset; uint32_t chunks, chunk_size; };

/* A sum that is not finite is an error (ERR_FORMAT): the model computes nonsense. */
int imatrix_save(const char *path, const struct imatrix_sums *s, size_t n, const struct imatrix_source *from, struct err *err);

/* ---- collecting ---- */

/* Adds up squares, weight by weight. */
struct imatrix_collect;
int  imatrix_collect_open(struct imatrix_collect **out, struct err *err);
void imatrix_collect_close(struct imatrix_collect *c);             /* NULL is fine */
/* One row x[n_col] that matrix `part` of n_mat of a weight is multiplied with.  name is the weight's identity, by its address,
 * and must outlive the collection.  Failures are sticky and reported by save. */
struct imatrix_shape { uint64_t n_col, n_mat; };
void imatrix_collect_row(struct imatrix_collect *c, const char *name, struct imatrix_shape shape, uint32_t part, const float *x);
size_t imatrix_collect_n(const struct imatrix_collect *c);         /* weights seen */
int  imatrix_collect_save(struct imatrix_collect *c, const char *path, const struct imatrix_source *from, struct err *err);

#endif
