/* attach.h - files that go with a message.  Threads: pure function. */
#ifndef HEARTH_APP_ATTACH_H
#define HEARTH_APP_ATTACH_H

#include "base/buf.h"
#include "base/err.h"

enum { ATTACH_MAX = 16 << 20 };

/* Appends an empty line (unless out is empty), the file's name, and its text between fences.  ERR_UNSUPPORTED for images and
 * other files that are no text, with what they are. */
int attach_file(const char *path, struct buf *out, struct err *err);

#endif
