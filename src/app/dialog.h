/* dialog.h - the messages of a conversation, and how they are kept in a file.
 *
 * File: JSON {"hearth_chat": 1, "model": ..., "messages": [{"role": "system|user|assistant", "content": ...}, ...]}, written
 * atomically.  Threads: one per object. */
#ifndef HEARTH_APP_DIALOG_H
#define HEARTH_APP_DIALOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "hearth.h"

/* A zeroed struct is an empty conversation.  message[0] is the system message when there is one. */
struct dialog { struct hearth_message *message; size_t n, cap; };

void dialog_release(struct dialog *d);
/* Copies role (one of the three) and content. */
int  dialog_add(struct dialog *d, const char *role, const char *content, size_t n, struct err *err);
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
