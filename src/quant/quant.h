/* quant.h - exact scalar unpacking of every block type, and packing of the common ones.
 *
 * Unpacking defines what the bytes of a file mean; fast kernels are compared with it bit for bit.
 * Threads: any; no state. */
#ifndef HEARTH_QUANT_QUANT_H
#define HEARTH_QUANT_QUANT_H

#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"

/* n values (a multiple of the type's block) from src to dst[n]. */
typedef void unpack_fn(const uint8_t *src, float *dst, size_t n);
/* n values (a multiple of the type's block) from src[n] to dst; round half to even where the format says "nearest".
 * Block types take any input: a NaN counts as 0, magnitudes that the block cannot hold are clamped. */
typedef void pack_fn(const float *src, uint8_t *dst, size_t n);

unpack_fn *quant_unpack(enum dtype t);       /* NULL for PLAIN types */
pack_fn   *quant_pack(enum dtype t);         /* NULL where no packer exists yet */

float    f16_to_f32(uint16_t h);             /* exact, subnormals and infinities included */
uint16_t f32_to_f16(float f);                /* round to nearest even */
float    bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);               /* round to nearest even; a NaN stays a NaN */

#endif
