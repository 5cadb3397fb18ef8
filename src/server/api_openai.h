/* api_openai.h - what the OpenAI dialect's files share, and what LM Studio's takes from it. */
#ifndef HEARTH_SERVER_API_OPENAI_H
#define HEARTH_SERVER_API_OPENAI_H

#include "server/api_call.h"

extern const struct api_form api_openai_chat, api_openai_completion, api_openai_embedding, api_openai_count;
extern const struct api_form api_openai_response, api_openai_response_count;

/* Errors as {"error":{"message","type","param","code"}}. */
void api_openai_error(struct exchange *x, int status, const char *kind, const char *message);
struct api_failure { int status; const char *kind, *message; struct context_numbers n; const struct json *body; };
void api_openai_put_error(struct buf *b, const struct api_failure *f);
void api_openai_fail(struct api_call *c);                        /* of a stream */

const char *api_openai_finish(const struct api_choice *a);       /* "stop", "length", "tool_calls" */
void api_openai_put_usage(const struct api_call *c, struct buf *b);
/* [{"token","logprob","bytes","top_logprobs":[...]}] of job.h's list; with `id` also the token's number. */
void api_openai_put_logprobs(const struct json *list, bool id, struct buf *b);
/* [{"id","type","function":{...}}] of the complete calls. */
void api_openai_put_calls(const struct api_choice *a, struct buf *b);
/* "response_format", or "format" of Responses whose schema stands beside its type. */
int  api_openai_format(const struct json *f, const char *field, bool flat, struct json *job, struct err *err);
int  api_openai_tool_choice(const struct json *v, struct json *job, struct err *err);
/* The parts of a chat request that count_tokens and templates need too. */
int  api_openai_messages(const struct json *body, struct json *job, struct err *err);
/* Fields that ask for what cannot be given: a name between spaces, what to say. */
struct api_refusal { const char *field, *why; };
int  api_refuse(const struct json *body, const struct api_refusal *row, size_t n, struct err *err);

#endif
