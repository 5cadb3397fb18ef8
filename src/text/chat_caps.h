/* chat_caps.h - what a chat template can show of a conversation, found by rendering small ones with it; and messages put into
 * the form that it understands.
 *
 * Messages come in as the OpenAI chat API has them (role, content as text or parts, tool_calls with arguments as text or
 * object, tool_call_id, name, reasoning_content or reasoning or thinking).
 * Threads: any; nothing is kept. */
#ifndef HEARTH_TEXT_CHAT_CAPS_H
#define HEARTH_TEXT_CHAT_CAPS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "text/template.h"

enum caps_reasoning { REASONING_DROPPED, REASONING_CONTENT, REASONING_PLAIN, REASONING_THINKING, REASONING_PARTS };

struct chat_caps {
    bool system, developer;        /* shows such messages */
    bool tools;                    /* shows descriptions of tools */
    bool calls, results;           /* shows calls of the assistant and what came back */
    bool strings, parts;           /* takes content as text, as a list of parts */
    bool text_args;                /* wants arguments of calls as JSON text, not as an object */
    bool null_content;             /* wants null, not "", as the content beside calls */
    uint8_t reasoning;             /* under which name it shows the reasoning of an earlier answer */
};

/* shown (or NULL) gets what the template made of calls and reasoning appended: with its source, what dialect_find looks at. */
void chat_caps(const struct template *tp, struct chat_caps *out, struct buf *shown);

/* *out is a new array with every message as the template understands it:
 *   - parts become text, or text parts; images and others are ERR_UNSUPPORTED that names the message;
 *   - developer becomes system, and system goes before the next user's text, where the template knows no such role;
 *   - a template that knows no tools gets them described in the system message, calls as <tool_call>{...}</tool_call> in the
 *     answer and results as <tool_response> of the user (*generic is then true);
 *   - arguments become an object or text; reasoning gets the name that the template reads, or goes.
 * ERR_ARG for what is no message.  tools: an array, or NULL. */
int chat_normalise(const struct chat_caps *caps, const struct json *messages, const struct json *tools, struct json **out,
                   bool *generic, struct err *err);

#endif
