/* convert.h - rows of quantised checkpoints as rows of a GGUF type.
 *
 * Some of the SPLIT types (format/split.h) have an equal in GGUF, with the same codes and scales in another order: mxfp4, nvfp4,
 * and 4 and 5 bits with offsets in half precision.  The others can only be written as plain numbers.
 * Threads: one per object. */
#ifndef HEARTH_APP_CONVERT_H
#define HEARTH_APP_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "format/split.h"
#include "quant/quant.h"

/* The GGUF type that holds exactly these numbers; false when there is none. */
bool convert_equal(const struct split *s, enum dtype *out);

/* Row `row` as `type`: the equal, or F32, F16, BF16 (then v has room for the row's values, and pack is quant_pack(type), which
 * asks the processor).  ERR_UNSUPPORTED when a scale has a meaning there that it does not have here. */
int convert_row(const struct split *s, uint64_t row, enum dtype type, pack_fn *pack, float *v, uint8_t *dst, struct err *err);

#endif
