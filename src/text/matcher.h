/* matcher.h - a grammar over the tokens of a vocabulary: which token may come next.
 *
 * A token is allowed when its bytes can go on the text so far, so every text is reached however it is cut into tokens.  A
 * token that ends generation is allowed exactly when the text may end.  Control tokens are no text: only <token> in a grammar
 * allows them.  Tokens of more than 255 bytes are never allowed.
 * Masks are kept for the situations that come back; a new one takes well below 1 ms for 150,000 tokens.  A matcher and its
 * clones share what they learn and at most 40 MB; the grammar's own limits (GRUN_*) end a text with ERR_LIMIT.
 * Threads: a matcher and its clones belong to one thread at a time. */
#ifndef HEARTH_TEXT_MATCHER_H
#define HEARTH_TEXT_MATCHER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "text/grammar.h"
#include "text/vocab.h"

enum { MATCHER_HISTORY = 256 };     /* tokens that can be taken back */

struct matcher_options {            /* zero-initialise; strings are copied */
    /* The grammar begins behind this text, for example "</think>"; until then everything is allowed.  NULL: at once.  A control
     * token counts with its text. */
    const char *trigger;
    bool optional;                  /* generation may also end before the trigger was seen */
    bool within;                    /* the trigger is the beginning of what the grammar says, not before it */
    bool never;                     /* the trigger must not come at all; the grammar means nothing */
    const char *skip_open, *skip_close;     /* between these the trigger is not looked for; NULL: nothing is skipped */
    bool skipping;                  /* the text begins behind skip_open */
    const char *begun;              /* what was written before the first token, or NULL */
};

struct matcher;
/* g and v are borrowed: must outlive it.  o may be NULL.  ERR_NOTFOUND: a <token> of the grammar is not in the vocabulary;
 * ERR_ARG: what was begun does not fit. */
int  matcher_open(struct matcher **out, const struct grammar *g, const struct vocab *v, const struct matcher_options *o,
                  struct err *err);
/* Another text that begins like this one. */
int  matcher_clone(struct matcher **out, const struct matcher *m, struct err *err);
void matcher_close(struct matcher *m);

/* *mask: bit id & 63 of word id / 64 says whether id may come next; NULL: every id.  Valid until the next call for the
 * matcher or a clone.  ERR_LIMIT; ERR_NOTFOUND when nothing may come next. */
int  matcher_mask(struct matcher *m, const uint64_t **mask, struct err *err);
bool matcher_allows(struct matcher *m, int32_t id);
/* id is the next token.  ERR_ARG when it is not allowed; the matcher is then as before. */
int  matcher_accept(struct matcher *m, int32_t id, struct err *err);
/* Takes the last n tokens back, at most MATCHER_HISTORY (ERR_ARG). */
int  matcher_rewind(struct matcher *m, size_t n, struct err *err);

bool matcher_waits(const struct matcher *m);        /* for the trigger */
bool matcher_may_end(const struct matcher *m);
bool matcher_is_done(struct matcher *m);            /* the text may end, and nothing else may come */
/* Appends the bytes that must come next, at most `most`; stops where there is a choice. */
void matcher_forced(struct matcher *m, size_t most, struct buf *out);
/* Appends the tokens that must come next: of the way in which the tokenizer cuts the forced bytes, those that no longer
 * token could replace. */
int  matcher_forced_tokens(struct matcher *m, struct ids *out, struct err *err);

#endif
