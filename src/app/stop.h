/* stop.h - ends a stream of text at the first of some strings, wherever the pieces are cut.
 *
 * Text that may be the beginning of a stop string is held back until that is decided.  A zeroed struct with stop and n
 * set is ready.  Threads: one per object. */
#ifndef HEARTH_APP_STOP_H
#define HEARTH_APP_STOP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

struct stopper {
    const char *const *stop;       /* [n], none empty; borrowed */
    size_t n;
    struct buf held;
    size_t given;                  /* bytes of held that were handed out by the last call */
};

/* Adds text; *out[*n_out] is what is now certain, valid until the next call.  True when a stop string was found (the text
 * before it is in out, and nothing more may be pushed). */
bool stopper_push(struct stopper *s, const char *text, size_t n, const char **out, size_t *n_out);
/* The end of the stream: what was held back. */
void stopper_flush(struct stopper *s, const char **out, size_t *n_out);
void stopper_release(struct stopper *s);

#endif
