/* api_responses.h - what the two files of OpenAI's Responses share: the request's side (api_responses.c) and the answer's
 * (api_responses_out.c). */
#ifndef HEARTH_SERVER_API_RESPONSES_H
#define HEARTH_SERVER_API_RESPONSES_H

#include "server/api_call.h"

struct response {
    bool store, logprobs;
    const char *previous;              /* or NULL; borrowed from the body */
    struct json *messages;             /* the conversation without instructions, for the store */
    struct json *input;                /* the items that were sent */
    /* of the stream */
    int64_t seq;
    size_t n_items;                    /* items that were announced; the last one is open unless `closed` */
    bool closed;
};

void api_response_event(struct api_call *c, const struct api_event *e);
void api_response_whole(struct api_call *c);
void api_response_fail(struct api_call *c);

/* The conversation that an earlier answer of this user ended is appended to the list. */
int  api_recall(struct api_call *c, const char *id, struct json *list, struct err *err);
/* The item of a stored answer of this user; the caller's, or NULL. */
struct json *api_recall_item(struct api_call *c, const char *id);
/* Stores this answer under "resp_" and the call's id, with the conversation before it and what was sent. */
void api_remember(struct api_call *c, const struct json *messages, const struct json *input, const struct buf *object);

#endif
