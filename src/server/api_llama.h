/* api_llama.h - llama-server's own endpoints. */
#ifndef HEARTH_SERVER_API_LLAMA_H
#define HEARTH_SERVER_API_LLAMA_H

#include "server/api_call.h"

extern const struct api_form api_llama_completion, api_llama_infill, api_llama_tokenize, api_llama_detokenize, api_llama_template,
    api_llama_embedding, api_llama_rerank;

/* {"error":{"code","message","type"}}, with "n_prompt_tokens" and "n_ctx" where they are known. */
void api_llama_put_error(struct buf *b, int status, const char *kind, const char *message, struct context_numbers n);

#endif
