/* infill.h - `hearth run --fim-prefix FILE --fim-suffix FILE`: files in, a prompt for the text between them out.
 * Threads: main thread. */
#ifndef HEARTH_APP_INFILL_H
#define HEARTH_APP_INFILL_H

#include "app/args.h"
#include "hearth.h"

struct infill {
    const char *prefix, *suffix;       /* files, or NULL */
    struct opt_strs file;              /* others that may help */
};
static inline bool infill_wanted(const struct infill *f) { return f->prefix || f->suffix; }

/* *ids is the caller's (hearth_free). */
int infill_prompt(const struct hearth_model *m, const struct infill *f, int32_t **ids, size_t *n_ids, struct hearth_error *e);

#endif
