/* api_ollama.h - what the files of Ollama's dialect share. */
#ifndef HEARTH_SERVER_API_OLLAMA_H
#define HEARTH_SERVER_API_OLLAMA_H

#include "server/api_call.h"

extern const struct api_form api_ollama_chat, api_ollama_generate, api_ollama_embed, api_ollama_embeddings, api_ollama_render;

/* The version that clients are told: of Ollama's API, as of August 2026, which some clients compare with what they need. */
#define API_OLLAMA_VERSION "0.32.15"

void api_ollama_error(struct exchange *x, int status, const char *kind, const char *message);      /* {"error": message} */
void api_ollama_fail(struct api_call *c);
/* "model", else the older "name". */
int  api_ollama_model(struct api_call *c, const struct json *body, struct json *job, struct err *err);
void api_put_now(const struct api_call *c, struct buf *b);                   /* "created_at" of a line, quotes included */

#endif
