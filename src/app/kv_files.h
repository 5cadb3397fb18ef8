/* kv_files.h - past texts that `hearth run` finds again after it was left.  Main thread. */
#ifndef HEARTH_APP_KV_FILES_H
#define HEARTH_APP_KV_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "hearth.h"

/* option: "off" or NULL, "auto" (hearth/kv in the user's folder of caches), or a folder.  Makes the folder; an empty one: off. */
int  kv_files_open(const char *option, struct buf *folder, struct err *err);
/* Brings what the folder has of the text into the model's cache.  Returns how many tokens that are; what cannot be read is told
 * and does no harm. */
size_t kv_files_find(struct hearth_session *s, const struct buf *folder, const int32_t *ids, size_t n);
/* Keeps the session's text, when it is long enough to be worth a file. */
void kv_files_keep(struct hearth_session *s, const struct buf *folder);

#endif
