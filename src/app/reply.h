/* reply.h - what an answer has beside its text: reasoning and tool calls, kept and shown.
 *
 * A zeroed struct is ready.  Threads: main thread. */
#ifndef HEARTH_APP_REPLY_H
#define HEARTH_APP_REPLY_H

#include <stdbool.h>

#include "base/buf.h"
#include "hearth.h"

struct reply {
    bool show, hide_reasoning;     /* set by the caller: on standard output; but not the reasoning */
    struct buf reasoning;
    struct buf calls;              /* JSON objects, separated by commas */
    size_t n_calls, mark;          /* complete ones; where the one at work begins */
    size_t args;                   /* where its arguments begin */
    struct buf name;
    bool dimmed;                   /* reasoning is being shown */
};

/* Takes any event; that of text only ends what is shown of reasoning. */
void reply_event(struct reply *r, const struct hearth_chat_event *e);
void reply_end(struct reply *r);                    /* the answer is over */
/* A JSON array of {"id", "name", "arguments"}, or NULL (out of memory). */
struct json *reply_calls_json(const struct reply *r);
void reply_release(struct reply *r);

#endif
