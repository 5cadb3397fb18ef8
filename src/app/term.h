/* term.h - everything that is printed.
 *
 * Text of a model or a file reaches a terminal only through term_clean.  Colours and progress appear on a terminal that
 * understands them (TERM, NO_COLOR).  Process-wide; main thread. */
#ifndef HEARTH_APP_TERM_H
#define HEARTH_APP_TERM_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"

enum { EXIT_OK = 0, EXIT_RUN = 1, EXIT_USAGE = 2 };            /* of the program */

bool term_in_tty(void);
bool term_out_tty(void);
bool term_err_tty(void);

/* Appends s with what could steer a terminal made visible: control characters as control pictures, C1 and bidirectional
 * controls and invalid bytes as U+FFFD.  Line feeds and tabs stay, a carriage return before a line feed goes. */
void term_clean(const char *s, size_t n, struct buf *out);

/* To standard output, unchanged.  False when it cannot be written any more; then term_closed() says if the reader just
 * went away (no reason to complain). */
bool term_write(const char *s, size_t n);
bool term_puts(const char *s);
bool term_put(struct buf *b);                  /* writes b and releases it; false also when b is bad */
bool term_put_clean(struct buf *b);            /* the same, as term_clean makes it */
bool term_closed(void);
/* Text of a model: cleaned for a terminal, as it is for a file or pipe. */
bool term_text(const char *s, size_t n);

/* "hearth: ..." on standard error, cleaned; the value is the exit code to return. */
int term_fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The same for a wrong command line: points to the help of `command` (or of the program when NULL). */
int term_usage(const char *command, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* A remark on standard error, dimmed on a terminal. */
void term_note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* The exit code after a failed write: quiet when the reader went away. */
int term_write_failed(void);

/* Text that follows on standard output is dimmed, or no longer; nothing unless it is a terminal with colours. */
void term_dim(bool on);

/* Asks a terminal to mark pasted text (ESC[200~ ... ESC[201~), or no longer. */
void term_paste_marks(bool on);

/* One line on standard error that is overwritten by the next; nothing unless it is a terminal. */
void term_progress(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void term_progress_end(void);

#endif
