/* progress.h - the line that shows how far a long work is, how fast, and how long it will still take; and Ctrl-C as its end.
 * On a terminal only.  Main thread. */
#ifndef HEARTH_APP_PROGRESS_H
#define HEARTH_APP_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress { uint64_t begun, shown; };            /* zeroed at the start of a work */

/* Bytes of a file.  False when a signal came: the work is to stop. */
bool progress_bytes(void *progress, uint64_t done, uint64_t total);
/* Parts of a text, with a number that is known so far ("perplexity 5.81"), or "". */
bool progress_parts(struct progress *p, uint64_t done, uint64_t total, const char *so_far);

#endif
