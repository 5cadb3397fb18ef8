/* input.h - what comes in through standard input. */
#ifndef HEARTH_APP_INPUT_H
#define HEARTH_APP_INPUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"

enum { INPUT_MAX = 64 << 20 };         /* bytes of one text or line */

/* A pipe or a file, so that reading it ends: worth reading although nobody asked for it. */
bool input_waits(void);
/* All of it.  ERR_CANCELLED when a signal came, ERR_LIMIT above INPUT_MAX. */
int input_all(struct buf *out, struct err *err);
/* The next line without its line feed; *more is false at the end. */
struct input_lines { struct buf data; size_t at; bool eof; };
int input_line(struct input_lines *l, const char **line, size_t *n, bool *more, struct err *err);

#endif
