/* corpus.h - a text as tokens: what perplexity and imatrix read. */
#ifndef HEARTH_APP_CORPUS_H
#define HEARTH_APP_CORPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "hearth.h"

struct corpus { int32_t *ids; size_t n; bool bos; };        /* bos: the model wants texts to begin with it */

/* path: a file, or - for standard input.  parse: text that spells a control token becomes it.  Then corpus_release. */
int  corpus_read(struct corpus *out, const struct hearth_model *m, const char *path, bool parse, struct err *err);
void corpus_release(struct corpus *c);

#endif
