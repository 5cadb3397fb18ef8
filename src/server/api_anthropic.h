/* api_anthropic.h - Anthropic's Messages. */
#ifndef HEARTH_SERVER_API_ANTHROPIC_H
#define HEARTH_SERVER_API_ANTHROPIC_H

#include "server/api_call.h"

extern const struct api_form api_anthropic_messages, api_anthropic_count;

/* {"type":"error","error":{"type","message"},"request_id"}; id NULL: without. */
void api_anthropic_put_error(struct buf *b, int status, const char *message, const char *id, struct context_numbers n);
void api_anthropic_error(struct exchange *x, int status, const char *kind, const char *message);

#endif
