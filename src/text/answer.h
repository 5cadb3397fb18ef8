/* answer.h - what a model says, taken apart while it comes: reasoning, text for the user, tool calls.
 *
 * A dialect says how a family of models marks these; it is told by the text of the chat template.  The parser works byte by
 * byte, so that it does not matter how the answer is cut into pieces, and never fails: what looks like a call but is none
 * stays in the text, with a warning.  Nothing is lost but the marks themselves and the white space beside them.
 * Threads: dialects are constants; a parser belongs to one thread at a time. */
#ifndef HEARTH_TEXT_ANSWER_H
#define HEARTH_TEXT_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* How calls are written.  Patterns: a blank or line feed stands for any white space or none; %n name, %i id, %f Kimi's
 * "functions.NAME:NUMBER", %a arguments as a JSON object, %o a JSON object with name and arguments, %l one or a list of
 * these, %p any number of `param`, %y a list of calls as Python writes them, %g Gemma's object; in `param` %k its name, %v its
 * value, %t whether it is a string.  Everything else is literal. */
struct call_form {
    const char *name;                  /* of the family, for people and tests */
    const char *mark[2];               /* what the template must contain; NULL: nothing more */
    const char *open, *close;          /* around all calls, or NULL */
    const char *call, *param;
    const char *name_key, *args_key, *id_key;       /* of %o and %l, beside "name", "arguments", "parameters" and "id" */
    bool bare;                         /* no mark: only where the text begins, and only with a known name */
    bool name_is_key;                  /* {"NAME": {arguments}} */
    bool list;                         /* %l is written as a list, also of one call */
};

struct dialect {
    const char *think_open, *think_close;           /* NULL: no reasoning, or the parser of channels knows it */
    const char *skip[4];               /* marks that mean nothing */
    const struct call_form *form;      /* NULL: no calls */
    bool channels;                     /* gpt-oss */
};

/* By the template's text and what it made of some conversations (chat_caps.h); what is not recognised has no reasoning and
 * Hermes' form of calls. */
void dialect_find(const char *source, size_t n, struct dialect *out);
const struct call_form *call_form_at(size_t i);     /* all forms, for tests; NULL past the end */
const struct call_form *call_form_generic(void);    /* of templates that know no tools (chat_caps.h) */

enum answer_kind {
    ANSWER_TEXT, ANSWER_REASONING,     /* text[n]: more of it */
    ANSWER_CALL,                       /* a call begins: name, id ("" when the model gave none) */
    ANSWER_ARGS,                       /* text[n]: more of its arguments, which together are a JSON object */
    ANSWER_CALL_END,
    ANSWER_CALL_BROKEN,                /* forget this call: what was written of it follows as text */
    ANSWER_WARNING                     /* text[n] for people */
};
struct answer_event {
    enum answer_kind kind;
    size_t call;                       /* index of the call, from 0; a broken one's is used again */
    const char *text;                  /* valid during the call; NUL-terminated */
    size_t n;
    const char *name, *id;
};
typedef void answer_fn(void *arg, const struct answer_event *e);

struct answer_options {                /* zero-initialise; borrowed while the parser lives */
    struct dialect dialect;
    const struct json *tools;          /* the tools offered; NULL: calls are not looked for and stay text */
    bool in_reasoning;                 /* the prompt opened the block */
    bool in_text;                      /* the prompt ends in the middle of the answer */
    answer_fn *fn;
    void *arg;
};

struct answer;
int  answer_open(struct answer **out, const struct answer_options *o, struct err *err);
void answer_close(struct answer *a);
/* More text.  Events come during the call.  False when memory ran out: then nothing more comes. */
bool answer_push(struct answer *a, const char *text, size_t n);
/* The end: what was held back. */
bool answer_finish(struct answer *a);
bool answer_in_reasoning(const struct answer *a);
size_t answer_calls(const struct answer *a);                       /* complete ones */
/* Whether this text of a special token means something to the parser; others are better left out. */
bool answer_wants(const struct answer *a, const char *text, size_t n);
/* What ends the reasoning from outside, as text with special tokens; NULL when there is nothing to end. */
const char *answer_stop_reasoning(const struct answer *a);

#endif
