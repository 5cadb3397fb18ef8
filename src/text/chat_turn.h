/* chat_turn.h - from the messages of a conversation to the prompt of the model's next turn, and how its answer will be read.
 *
 * Threads: any; a style is constant once found. */
#ifndef HEARTH_TEXT_CHAT_TURN_H
#define HEARTH_TEXT_CHAT_TURN_H

#include "text/answer.h"
#include "text/chat.h"
#include "text/chat_caps.h"

/* What is known of a template; found once. */
struct chat_style {
    struct chat_caps caps;
    struct dialect dialect;
    bool says_thinking, says_effort, says_budget;      /* variables that switch reasoning */
    const char *no_effort;                             /* the word for none, or NULL */
};
void chat_style_find(const struct template *tp, const char *source, size_t n, struct chat_style *out);

enum chat_think { CHAT_THINK_DEFAULT, CHAT_THINK_OFF, CHAT_THINK_ON, CHAT_THINK_LOW, CHAT_THINK_MEDIUM, CHAT_THINK_HIGH };

struct chat_turn_request {                             /* all borrowed for the call */
    const struct template *template;
    const struct tokenizer *tokenizer;
    const struct chat_style *style;
    const struct json *messages;                       /* as the OpenAI API has them */
    const struct json *tools, *documents;              /* arrays, or NULL */
    const struct json *extra;                          /* more variables; they win over what `think` sets */
    enum chat_think think;
    bool continues;                                    /* the last message is the assistant's own beginning: no new turn */
    bool no_answer;                                    /* end behind the last message */
    const int32_t *seen;                               /* tokens of an earlier prompt and its answer, to keep (chat_keep) */
    size_t n_seen;
    struct template_limits limits;
};

struct chat_turn {
    struct ids prompt;                                 /* the caller's (ids_release) */
    struct dialect dialect;                            /* for answer_open, as are these */
    bool in_reasoning, in_text;
};
/* Errors are those of template_render and chat_normalise; ERR_ARG when there is nothing to continue. */
int chat_turn(const struct chat_turn_request *r, struct chat_turn *out, struct err *err);

/* Where the prompt and tokens that were seen before spell the same text between the same control tokens, the prompt takes the
 * tokens that were seen: what is known of them then needs no computing again. */
void chat_keep(const struct tokenizer *t, struct ids *prompt, const int32_t *seen, size_t n_seen);

#endif
