/* dialect.h - GGUF files of Ollama's own library, whose keys and tensors have other names than usual and which hold a model's
 * vision part too, read as if they were usual ones.  Everything stays where it is in the file.
 * Facts: what that library's files contain, as its own compatibility layer describes it. */
#ifndef HEARTH_FORMAT_DIALECT_H
#define HEARTH_FORMAT_DIALECT_H

#include "format/gguf.h"

/* u32: how many tensors of parts that are not text (vision, sound, further tokens) were left out. */
#define DIALECT_IGNORED "hearth.dialect.ignored"

/* Replaces *g when it is of that kind; else leaves it.  On failure *g is closed and NULL. */
int dialect_translate(struct gguf **g, struct err *err);

#endif
