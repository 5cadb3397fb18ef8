/* turn_gram.h - what an answer may be: the reasoning that a family of models writes first, then calls of the tools that were
 * asked for, or a text of a form.
 *
 * Where nothing is asked for, or only what nothing but the reader can tell, there is no grammar.  Where calls are merely
 * allowed, it waits for the mark with which they begin; inside reasoning that mark means nothing.
 * Threads: any. */
#ifndef HEARTH_TEXT_TURN_GRAM_H
#define HEARTH_TEXT_TURN_GRAM_H

#include "base/json.h"
#include "text/answer.h"
#include "text/gram_cache.h"
#include "text/grammar.h"
#include "text/matcher.h"
#include "text/tokenizer.h"

enum turn_choice { TURN_AUTO, TURN_NONE, TURN_REQUIRED };
enum turn_form { TURN_GBNF, TURN_SCHEMA, TURN_REGEX, TURN_JSON, TURN_CHOICES };      /* the last: a JSON array of strings */

struct turn_gram {                     /* all borrowed for the call */
    const struct dialect *dialect;
    const struct tokenizer *tokenizer;
    const struct json *tools;          /* an array, or NULL */
    enum turn_choice choice;
    const char *name;                  /* TURN_REQUIRED: this tool; NULL: any */
    bool one_call;
    enum turn_form form;
    const char *text;                  /* of the form; NULL: any text */
    size_t n_text;
    bool in_reasoning, in_text;        /* where the prompt ends (chat_turn.h) */
    bool no_reasoning;                 /* the answer has none */
    const char *begun;                 /* in_text: the text so far */
    struct gram_cache *cache;          /* of this tokenizer, or NULL */
};

struct turn_plan {
    struct grammar *grammar;           /* NULL: any answer; the caller's (grammar_free) */
    struct matcher_options how;        /* for matcher_open; its strings live as long as the plan */
    struct buf trigger, begun, notes;  /* notes: lines for people, about tools whose arguments are only promised to be objects */
    bool always;                       /* it counts from the beginning: reasoning, too, is part of it */
    int64_t kept;                      /* by how many bytes the cache grew */
};
/* ERR_NOTFOUND when the named tool is not there, ERR_ARG, ERR_FORMAT, ERR_UNSUPPORTED, ERR_LIMIT with what is wrong.  A tool that
 * says "strict" is refused when its schema cannot be kept.  Only turn_plan_release follows failure. */
int  turn_grammar(const struct turn_gram *q, struct turn_plan *out, struct err *err);
void turn_plan_release(struct turn_plan *p);

#endif
