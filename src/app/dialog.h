/* dialog.h - the messages of a conversation, with reasoning, calls of tools and what came back, and how they are kept in a file.
 *
 * File: JSON {"hearth_chat": 1, "model": ..., "messages": [{"role": "system|user|assistant|tool", "content": ...,
 * "reasoning_content": ..., "tool_calls": [{"id", "type": "function", "function": {"name", "arguments": text}}],
 * "tool_call_id": ..., "name": ...}, ...]}, what is not there left out, written atomically; only the
 * user may read it.  Threads: one per object. */
#ifndef HEARTH_APP_DIALOG_H
#define HEARTH_APP_DIALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/json.h"
#include "hearth.h"

/* A zeroed struct is an empty conversation.  message[0] is the system message when there is one. */
struct dialog { struct hearth_chat_message *message; size_t n, cap; };

void dialog_release(struct dialog *d);
/* Copies role (one of the four) and content. */
int  dialog_add(struct dialog *d, const char *role, const char *content, size_t n, struct err *err);
/* What the model said: text[n], its reasoning (or NULL) and an array of {"id", "name", "arguments"} (or NULL).  Calls without an
 * id get one. */
int  dialog_add_answer(struct dialog *d, const char *text, size_t n, const char *reasoning, const struct json *calls,
                       struct err *err);
/* Calls of the last answer that nothing came back for. */
size_t dialog_waiting(const struct dialog *d);
/* What came back for the first of these; ERR_NOTFOUND when none waits. */
int  dialog_add_result(struct dialog *d, const char *text, size_t n, struct err *err);
void dialog_drop_last(struct dialog *d);
/* Forgets everything but the system message. */
void dialog_clear(struct dialog *d);
const char *dialog_system(const struct dialog *d);             /* or NULL */
/* Replaces the system message; NULL or "" removes it. */
int  dialog_set_system(struct dialog *d, const char *content, struct err *err);

int dialog_save(const struct dialog *d, const char *model, const char *path, struct err *err);
/* Replaces *d when the file is sound, else leaves it alone. */
int dialog_load(struct dialog *d, const char *path, struct err *err);

#endif
