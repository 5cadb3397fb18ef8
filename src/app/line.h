/* line.h - a line from a person at a terminal, with editing and history; the only user of libedit.
 *
 * The history is $XDG_STATE_HOME/hearth/history or ~/.local/state/hearth/history, one entry per line, readable only by its
 * owner; when it cannot be kept there is simply none.
 * Threads: one object per process, main thread. */
#ifndef HEARTH_APP_LINE_H
#define HEARTH_APP_LINE_H

#include <stddef.h>

#include "base/err.h"

enum line_status { LINE_OK, LINE_EOF, LINE_INTERRUPTED };

struct line_editor;
int  line_open(struct line_editor **out, struct err *err);
void line_close(struct line_editor *e);                        /* NULL is fine */

/* *text is the line without its line feed, valid until the next call.  LINE_INTERRUPTED when a signal came (it is left
 * pending in signals.h). */
enum line_status line_read(struct line_editor *e, const char *prompt, const char **text, size_t *n);

#endif
