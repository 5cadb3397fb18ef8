/* texts.h - the texts that a command works on: its operands, or the lines of standard input.
 *
 * A zeroed struct is ready; set json when lines are JSON strings.  Texts are NUL-terminated and contain no NUL. */
#ifndef HEARTH_APP_TEXTS_H
#define HEARTH_APP_TEXTS_H

#include "app/input.h"

struct texts {
    bool json, end;                /* end: standard input has no more lines */
    char **text;                   /* [n] */
    size_t n, cap, line;           /* line: how many were read */
    struct input_lines in;
};

int texts_add(struct texts *t, const char *s, size_t n, struct err *err);      /* copies it */
/* Adds the next lines, at most `most` of them; an error names the line. */
int texts_read(struct texts *t, size_t most, struct err *err);
void texts_clear(struct texts *t);                                             /* forgets the texts, not where it reads */
void texts_release(struct texts *t);

#endif
