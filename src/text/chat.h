/* chat.h - the prompt of a conversation: messages through the model's template to token ids.
 *
 * Everything that comes in as JSON is text from outside: none of it becomes a control token, whatever it spells and
 * whatever pieces the template makes of it.  Only the template's own text and the BOS and EOS it is given do.  The
 * usual names of roles are let through unmarked, because templates build control tokens from them ("<|" + role + "|>").
 * Threads: any; a call keeps its state on its own. */
#ifndef HEARTH_TEXT_CHAT_H
#define HEARTH_TEXT_CHAT_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "text/template.h"
#include "text/tokenizer.h"

struct chat_request {                     /* all borrowed for the call */
    const struct template *template;
    const struct tokenizer *tokenizer;
    const struct json *messages;          /* an array of objects with at least a role */
    const struct json *tools, *documents; /* arrays; NULL: the template sees none, as with Hugging Face transformers */
    const struct json *extra;             /* an object of more variables (enable_thinking, ...) or NULL */
    bool answer;                          /* end where the assistant is to speak (add_generation_prompt) */
    struct template_limits limits;        /* its guard is set here and need not be */
};

/* Appends the rendered text, which holds TOKENIZER_BARRIER bytes: for tokenizer_encode with TOK_BARRIER only.
 * Errors are those of template_render; ERR_ARG when messages is no array of objects. */
int chat_text(const struct chat_request *r, struct buf *out, struct err *err);

/* The two halves of chat_prompt, for variables of any kind.  chat_render: `trusted` (an object or NULL) holds the variables
 * whose text may become control tokens.  chat_encode: of text with barriers; BOS is added as chat_prompt says. */
int chat_render(const struct chat_request *r, const struct json *vars, const struct json *trusted, struct buf *out,
                struct err *err);
int chat_encode(const struct tokenizer *t, const struct buf *text, struct ids *out, struct err *err);
/* Takes the barriers out. */
void chat_plain(const struct buf *text, struct buf *out);

/* Appends the ids of the prompt.  It begins with one BOS when the model or the template wants it, never two. */
int chat_prompt(const struct chat_request *r, struct ids *out, struct err *err);

/* A template for files that carry none: ChatML or [INST], told by the vocabulary.  *source is static.
 * ERR_NOTFOUND when the vocabulary tells nothing. */
int chat_default_template(const struct tokenizer *t, const char **source, struct err *err);

/* For tests: the marking of one string.  special: bytes that begin special tokens. */
bool chat_mark(const bool special[256], const char *s, size_t n, struct buf *out);

#endif
