/* api_ask.h - a request that is answered from what the engine says of something: its status, a model. */
#ifndef HEARTH_SERVER_API_ASK_H
#define HEARTH_SERVER_API_ASK_H

#include "server/http.h"

/* done: the job's last event.  own is what api_ask got. */
typedef void api_ask_fn(struct exchange *x, void *own, const struct json *done);
/* Submits the job ({"op": op, "model": model unless NULL} when job is NULL; takes it) and calls fn when it is done; an error of
 * the engine is answered as one.  release (may be NULL) frees own in the end. */
struct api_question { const char *op, *model; struct json *job; void *own; void (*release)(void *own); };
void api_ask(struct exchange *x, const struct api_question *q, api_ask_fn *fn);

#endif
