/* jscan.h - reads JSON from untrusted bytes as a stream: no tree, no memory but the strings that are asked for.
 *
 * For files that are large or hostile (the header of a safetensors file, a tokenizer with half a million merges).  The caller
 * says what it expects and in which order it comes:
 *
 *   if (jscan_open(&s, '{'))
 *       while (jscan_key(&s, &key)) if (...) n = jscan_u64(&s); else jscan_skip(&s);
 *   if (jscan_end(&s)) ...
 *
 * A failure is sticky: every later call does nothing, so loops end, and one check at the end is enough.  At most JSCAN_DEPTH
 * levels; strings must be valid UTF-8 without raw control characters.  Whether keys are unique is the caller's to check.
 * Threads: one per object. */
#ifndef HEARTH_BASE_JSCAN_H
#define HEARTH_BASE_JSCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { JSCAN_DEPTH = 64 };

struct jscan {
    const char *start, *at, *end;
    const char *bad;                  /* what is wrong at `at`; NULL while all is well */
    unsigned depth;
    uint64_t more;                    /* bit d: the list at depth d has had a member */
    char close[JSCAN_DEPTH];
};

void jscan_init(struct jscan *s, const char *text, size_t n);

/* The first character of the value that comes next: one of { [ " t f n - 0..9, or 0 when there is none. */
char jscan_peek(struct jscan *s);
/* Takes the { or [ that must come next. */
bool jscan_open(struct jscan *s, char bracket);
/* The next key of the object that was opened last, into key (cleared first); false after the last, whose } is taken. */
bool jscan_key(struct jscan *s, struct buf *key);
/* Whether the array that was opened last has one more item; false after the last, whose ] is taken. */
bool jscan_item(struct jscan *s);

/* The value that must come next; anything else is a failure. */
void     jscan_str(struct jscan *s, struct buf *out);      /* appended */
uint64_t jscan_u64(struct jscan *s);
double   jscan_num(struct jscan *s);
bool     jscan_bool(struct jscan *s);
void     jscan_skip(struct jscan *s);                      /* any value */
/* Takes a null when it comes next. */
bool     jscan_null(struct jscan *s);

/* True when all was well and only white space is left. */
bool jscan_end(struct jscan *s);
/* A failure of the caller's own, at this place. */
void jscan_fail(struct jscan *s, const char *why);
/* "PATH: line 3, column 7: why"; returns ERR_FORMAT. */
int  jscan_error(const struct jscan *s, const char *path, struct err *err);

#endif
