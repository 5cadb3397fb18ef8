/* call_gram.h - the calls of a family as a grammar, so that a choice of tools can be enforced.
 *
 * The text is GBNF whose root is everything from the family's opening mark to the end of the last call; whatever it allows,
 * the parser of answer.h reads as calls of the tools that were asked for.
 * Threads: any. */
#ifndef HEARTH_TEXT_CALL_GRAM_H
#define HEARTH_TEXT_CALL_GRAM_H

#include "base/buf.h"
#include "base/err.h"
#include "text/answer.h"

struct call_gram {                     /* all borrowed for the call */
    const struct dialect *dialect;     /* its form, or channels */
    const struct json *tools;          /* an array */
    const char *choice;                /* the one tool to call; NULL: any of them */
    bool parallel;                     /* more than one call is allowed */
    /* Appends the rules of a schema, the first of them named `rule`; NULL (or false): any JSON of its type. */
    bool (*schema)(void *arg, const struct json *schema, const char *rule, struct buf *out);
    void *arg;
};

/* Appends the grammar, and to trigger (or NULL) the mark with which such text begins: where calls are only allowed (tool_choice
 * auto) the grammar counts from there on; where one is required, from the beginning of the text.  The trigger is empty for
 * forms without a mark.  ERR_NOTFOUND when no tool has the name; ERR_ARG for a tool without a name. */
int call_grammar(const struct call_gram *q, struct buf *gbnf, struct buf *trigger, struct err *err);

#endif
