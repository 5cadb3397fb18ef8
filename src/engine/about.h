/* about.h - what a model's file says of itself, as JSON.
 *
 * Threads: any; the values belong to the caller's.  NULL: out of memory. */
#ifndef HEARTH_ENGINE_ABOUT_H
#define HEARTH_ENGINE_ABOUT_H

#include "base/err.h"
#include "base/json.h"
#include "format/gguf.h"
#include "hearth.h"

/* Text of any bytes: what is no UTF-8 is replaced. */
struct json *about_text(const char *s, size_t n);
/* Item i of an array, or the value itself; *at: kv->data first, then where the texts before it ended. */
struct json *about_item(const struct gguf_kv *kv, uint64_t i, const uint8_t **at);
/* {key: value} of all its metadata.  Arrays are null unless they are wanted, and those of more than a million values
 * then, too. */
struct json *engine_keys(const struct hearth_model *m, bool arrays);
/* [{"name","type","shape": [row length, rows, ...]}] in the file's order. */
struct json *engine_tensors(const struct hearth_model *m);
/* The file inside the program.  ERR_NOTFOUND: this build has none. */
int engine_embedded_bytes(const void **p, size_t *n, struct err *err);

#endif
