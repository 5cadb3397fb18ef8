/* inspect.h - what hearth inspect prints of one file and of two. */
#ifndef HEARTH_APP_INSPECT_H
#define HEARTH_APP_INSPECT_H

#include "base/buf.h"
#include "format/gguf.h"

/* The value of a key; long strings and arrays are cut unless full. */
void inspect_put_value(const struct gguf_kv *kv, bool full, struct buf *out);

/* The keys and tensors in which two files differ, and by how much.  False when a signal ended it. */
bool inspect_compare(const struct gguf *a, const struct gguf *b, bool full, struct buf *out);

#endif
