/* dtype.h - the tensor types as a table (rows: dtype.def). */
#ifndef HEARTH_FORMAT_DTYPE_H
#define HEARTH_FORMAT_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype {
#define DTYPE(name, id, values, bytes, family) DT_##name,
#include "format/dtype.def"
#undef DTYPE
    N_DTYPE
};

enum dtype_family { DTF_FLOAT, DTF_INT32, DTF_SUPER, DTF_PLAIN, DTF_SPLIT };
#define DTYPE_NO_ID UINT32_MAX

struct dtype_info {
    const char *name;           /* "Q4_K" */
    uint32_t gguf_id;
    uint32_t block_values, block_bytes;
    enum dtype_family family;
};

const struct dtype_info *dtype_info(enum dtype t);
bool dtype_from_gguf(uint32_t id, enum dtype *out);
bool dtype_from_name(const char *name, enum dtype *out);      /* case does not matter */
/* Bytes of a row of n values; false when n is no whole number of blocks or the size overflows. */
bool dtype_row_bytes(enum dtype t, uint64_t n, uint64_t *bytes);

/* Bytes of n values whose last block is filled up; for the widths of heads, which cannot overflow. */
static inline size_t dtype_padded_bytes(enum dtype t, size_t n)
{
    const struct dtype_info *i = dtype_info(t);
    return (n + i->block_values - 1) / i->block_values * i->block_bytes;
}

#endif
