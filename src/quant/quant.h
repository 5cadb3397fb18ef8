/* quant.h - exact scalar unpacking of every block type, and packing of every type that weights can have.
 *
 * Unpacking defines what the bytes of a file mean; fast kernels are compared with it bit for bit.
 * Threads: any; no state. */
#ifndef HEARTH_QUANT_QUANT_H
#define HEARTH_QUANT_QUANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/dtype.h"

/* n values (a multiple of the type's block) from src to dst[n]. */
typedef void unpack_fn(const uint8_t *src, float *dst, size_t n);
/* n values (a multiple of the type's block) from src[n] to dst; round half to even where the format says "nearest".
 * Block types take any input: a NaN counts as 0, magnitudes that the block cannot hold are clamped. */
typedef void pack_fn(const float *src, uint8_t *dst, size_t n);
/* The same, minimising sum weight[i] * (error of value i)^2 in each block: weight[n] >= 0 says how much a value matters (an
 * importance matrix: the mean square of what it is multiplied with).  NULL is what pack_fn does: all the same, or in some types
 * larger values a little more. */
typedef void pack_weighted_fn(const float *src, const float *weight, uint8_t *dst, size_t n);

/* Packers are the fastest that this processor can run, and all give the same bits; finding them out costs microseconds. */
unpack_fn *quant_unpack(enum dtype t);       /* NULL for PLAIN and SPLIT types */
pack_fn   *quant_pack(enum dtype t);         /* NULL for those and the blocks of activations, Q8_1 and Q8_K */
pack_weighted_fn *quant_pack_weighted(enum dtype t);        /* NULL for the same */

/* Row `row` (n values, all of it) of a SPLIT matrix. */
struct split;
void split_unpack(const struct split *s, uint64_t row, float *dst, size_t n);

/* Random valid blocks of any type that weights can have, for measuring speed: the codes are uniform, the scales such that the
 * values have about this standard deviation and mean 0 (F32, F16, BF16: nearly normal around mean).  Block i is a function
 * of the arguments of init and of i, and is the same on every machine. */
enum { QUANT_RANDOM_VALUES = 4096 };
struct quant_random {
    enum dtype type;
    uint64_t seed;
    unsigned n_set;
    struct { uint8_t at, keep, bits; } set[4];       /* bytes of a block that hold its scales */
    uint32_t value[QUANT_RANDOM_VALUES];             /* plain numbers: the bits of those that are drawn from */
};
/* False for types that are no weights: integers, and the blocks of activations. */
bool quant_random_init(struct quant_random *r, enum dtype t, float mean, float sigma, uint64_t seed);
void quant_random_blocks(const struct quant_random *r, uint64_t first, size_t n, uint8_t *dst);

float    f16_to_f32(uint16_t h);             /* exact, subnormals and infinities included */
uint16_t f32_to_f16(float f);                /* round to nearest even */
float    bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float f);               /* round to nearest even; a NaN stays a NaN */

#endif
