/* grammar.h - what a text may be: compiled from GBNF, a regular expression, a list of choices or a JSON Schema.
 *
 * A grammar describes UTF-8 text.  It is compiled to a pushdown automaton over bytes; matcher.h runs it over tokens.  All
 * limits are fixed numbers, so that no source takes more than GRAMMAR_BYTES of memory or about 0.2 s: what does not fit is
 * ERR_LIMIT.  Errors name line and column (GBNF, regular expressions) or the place in the schema ("/properties/a").
 * Threads: immutable after compiling, any thread. */
#ifndef HEARTH_TEXT_GRAMMAR_H
#define HEARTH_TEXT_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    GRAMMAR_BYTES = 64 << 20,       /* memory for compiling */
    GRAMMAR_SOURCE = 4 << 20,       /* bytes of source */
    GRAMMAR_NESTING = 200           /* brackets within brackets */
};

struct grammar;

/* The text is what the rule "root" says.  docs/structured.md has the syntax. */
int grammar_from_gbnf(struct grammar **out, const char *source, size_t n, struct err *err);
/* The whole text matches the expression, which may be anchored by ^ and $; no backtracking, back references or looking around. */
int grammar_from_regex(struct grammar **out, const char *pattern, size_t n, struct err *err);
/* The text is one of these, which are UTF-8 and not empty. */
int grammar_from_choices(struct grammar **out, const char *const *choice, size_t n, struct err *err);
/* The text is a JSON value that the schema (JSON text) accepts.  ERR_UNSUPPORTED names what cannot be promised. */
int grammar_from_schema(struct grammar **out, const char *schema, size_t n, struct err *err);
/* Any JSON value, or any JSON object. */
int grammar_from_json(struct grammar **out, bool object_only, struct err *err);
/* One reference more, which is returned; g may be NULL. */
struct grammar *grammar_share(struct grammar *g);
size_t grammar_bytes(const struct grammar *g);
void grammar_free(struct grammar *g);       /* gives a reference back; NULL is fine */

#endif
