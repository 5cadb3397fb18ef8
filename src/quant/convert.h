/* convert.h - makes a model file of other types out of one: a plan that says what every tensor becomes, then the writing.
 *
 * The file is written tensor by tensor in pieces, each by all threads; memory holds one piece, whatever the model's size.  The
 * result does not depend on the number of threads.  It appears under its name only when complete.
 * Threads: one at a time per plan. */
#ifndef HEARTH_QUANT_CONVERT_H
#define HEARTH_QUANT_CONVERT_H

#include "quant/imatrix.h"
#include "quant/recipe.h"

/* pattern: a tensor's name, with or without its ".weight"; * stands for any characters, ? for one. */
struct convert_override { const char *pattern; enum dtype type; };

struct convert_options {
    enum recipe_id recipe;
    const struct convert_override *override;       /* the first that fits counts; every one must fit some tensor */
    size_t n_override;
    int output_type, embedding_type;               /* enum dtype, or -1: as the recipe says */
    const struct imatrix *imatrix;                 /* or NULL */
    const char *imatrix_path;                      /* noted in the file */
    bool pure;                                     /* every matrix gets the recipe's default type */
    bool keep_output;                              /* the output matrix stays as it is */
    bool requantise;                               /* tensors that are quantised already may change their type */
    unsigned threads;                              /* 0: one per core */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);    /* bytes read; false stops (ERR_CANCELLED); or NULL */
    void *arg;
};

struct convert_tensor {
    const struct gguf_tensor *from;
    enum dtype type;
    bool kept;                 /* left as it is */
    bool fallback;             /* its rows are no whole number of the wanted type's blocks */
    bool weighted;             /* packed with the imatrix */
    uint64_t bytes;            /* that it will have */
};

struct convert;

/* o and g must outlive the plan.  *out is the caller's (convert_close), NULL on failure: a pattern that fits nothing, a type
 * that does not fit the rows, a type that needs an imatrix, a tensor that is quantised already; all name the tensor. */
int  convert_plan(struct convert **out, const struct gguf *g, const struct convert_options *o, struct err *err);
void convert_close(struct convert *c);                             /* NULL is fine */
size_t convert_n(const struct convert *c);
const struct convert_tensor *convert_at(const struct convert *c, size_t i);
uint64_t convert_bytes(const struct convert *c);                   /* of the file, to the byte */
uint64_t convert_values(const struct convert *c);                  /* numbers in all tensors */
/* ERR_LIMIT with both numbers when the disk has too little room; ERR_ARG when path is a file of the model; ERR_FORMAT when a
 * weight is no finite number.  On failure nothing is left behind. */
int  convert_save(struct convert *c, const char *path, struct err *err);

/* The path may be written: it is no file of g, and there is room for so many bytes.  (Other writers of models use it too.) */
int  convert_check_path(const struct gguf *g, const char *path, uint64_t bytes, struct err *err);

#endif
