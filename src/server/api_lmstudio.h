/* api_lmstudio.h - LM Studio's REST, v0 and v1. */
#ifndef HEARTH_SERVER_API_LMSTUDIO_H
#define HEARTH_SERVER_API_LMSTUDIO_H

#include "server/api_call.h"

extern const struct api_form api_lmstudio_chat, api_lmstudio_v0_chat, api_lmstudio_v0_completion;

/* {"error":{"type","message","code","param"}} */
void api_lmstudio_put_error(struct buf *b, const char *kind, const char *message, const struct json *body);

#endif
