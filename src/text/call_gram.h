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
#include "text/tokenizer.h"

struct call_gram {                     /* all borrowed for the call */
    const struct dialect *dialect;     /* its form, or channels */
    const struct tokenizer *tokenizer; /* marks that are control tokens of it are written as these; NULL: all is text */
    const struct json *tools;          /* an array */
    const char *choice;                /* the one tool to call; NULL: any of them */
    bool parallel;                     /* more than one call is allowed */
    bool refer;                        /* leaves rules to the caller, which call_name reads; else they are any JSON */
};

/* Appends the grammar, and to trigger (or NULL) the mark with which such text begins: where calls are only allowed (tool_choice
 * auto) the grammar counts from there on; where one is required, from the beginning of the text.  The trigger is empty for
 * forms without a mark.  ERR_NOTFOUND when no tool has the name; ERR_ARG for a tool without a name. */
int call_grammar(const struct call_gram *q, struct buf *gbnf, struct buf *trigger, struct err *err);

/* A rule that was left to the caller: the arguments of tool i, an object; a value for property k of its parameters, as JSON;
 * the same of a string as plain text; text up to and including a mark. */
enum call_rule { CALL_NONE, CALL_ARGS, CALL_VALUE, CALL_TEXT, CALL_UNTIL };
enum call_rule call_name(const struct dialect *d, const char *name, size_t *i, size_t *k, const char **mark);

/* The parts of a tool, as an API has it or only its function. */
const struct json *tool_function(const struct json *tool);
const struct json *tool_parameters(const struct json *tool);       /* or NULL */
/* The expression of GBNF for a mark of the model: literals, and control tokens by number. */
void call_put_mark(const struct tokenizer *t, const char *s, size_t n, struct buf *out);

#endif
