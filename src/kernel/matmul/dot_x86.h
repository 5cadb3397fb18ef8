/* dot_x86.h - sums of vectors, for the dot kernels of x86; private to kernel/matmul.
 *
 * A unit is one super-block against one activation row.  Four units are carried side by side: 4 super-blocks for one row of
 * activations, 2 for two; their sums are added in one tree and the short float chains run as vectors.  Weights are
 * touched in address order. */
#ifndef HEARTH_KERNEL_MATMUL_DOT_X86_H
#define HEARTH_KERNEL_MATMUL_DOT_X86_H

#include <immintrin.h>
#include <math.h>

#include "kernel/matmul/dot.h"
#include "kernel/matmul/rows.h"
#include "kernel/matmul/x86.h"

enum { UNITS = 4 };

/* Activations of 256 columns; an instruction set may have a form of its own, which it makes once for the rows of a call. */
#ifdef DOT_ACT
typedef struct DOT_ACT dot_act;
#else
typedef struct act_block dot_act;
#define ACT_D(a, s) (a)[s].d
#define ACT_JOB(j, type) *(j)
#endif

/* Sums of neighbours, a's in even and b's in odd places.  Blends run on every port, shuffles on few. */
#define FOLD32(add, a, b) add(_mm256_blend_epi32(a, b, 0xaa), _mm256_shuffle_epi32(_mm256_blend_epi32(b, a, 0xaa), 0xb1))
#define FOLD64(add, a, b) add(_mm256_blend_epi32(a, b, 0xcc), _mm256_shuffle_epi32(_mm256_blend_epi32(b, a, 0xcc), 0x4e))

/* Sums of the halves of four vectors: [v0 v1 v2 v3 low halves | high halves]. */
INLINE __m256i fold4(const __m256i *v)
{
    __m256i a = FOLD32(_mm256_add_epi32, v[0], v[1]), b = FOLD32(_mm256_add_epi32, v[2], v[3]);
    return FOLD64(_mm256_add_epi32, a, b);
}

/* [sum v0, .. sum v7] */
INLINE __m256i sum8(const __m256i *v)
{
    __m256i a = fold4(v), b = fold4(v + 4);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* [sum v0, sum v1, sum v2, sum v3] */
INLINE __m128i sum4(const __m256i *v)
{
    __m256i a = _mm256_add_epi32(_mm256_unpacklo_epi32(v[0], v[1]), _mm256_unpackhi_epi32(v[0], v[1]));
    __m256i b = _mm256_add_epi32(_mm256_unpacklo_epi32(v[2], v[3]), _mm256_unpackhi_epi32(v[2], v[3]));
    __m256i h = _mm256_add_epi32(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    return _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* Four rows of eight become four of [column i | column i + 4]. */
INLINE void x86_transpose(const __m256 *v, __m256 *out)
{
    __m256d x0 = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1])), x1 = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1]));
    __m256d x2 = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3])), x3 = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));
    out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(x0, x2));
    out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x0, x2));
    out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(x1, x3));
    out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(x1, x3));
}

/* What the two kernels have for a type: bytes of 256 columns; how its blocks are read, either by a unit of its own
 * (super-block types then have an f16 scale, with minimums two, at `d`) or through codes.h.  scales: NULL where each block of
 * 32 begins with an f16, or codes.h has them.  top, offset: as in int_types.inc. */
typedef void super_unit_fn(const uint8_t *w, const dot_act *const *a, int nt, __m256i *isum, __m256i *msum);
typedef void block_unit_fn(const uint8_t *w, const dot_act *const *a, int nt, __m256i *f);
typedef __m256 block_scales_fn(const uint8_t *w);
struct dot_type {
    size_t bytes;
    enum family family;
    int top, offset;
    codes_fn *codes;
    super_unit_fn *super;
    size_t d;
    block_unit_fn *block;
    block_scales_fn *scales;
    split_codes_fn *split;     /* SPLIT types: how they are read, w being a struct split_row and bytes 0 */
    int order;                 /* of the activations, where an instruction set has several */
};
struct split_row { const struct split *s; size_t r; };

/* Super-block s of a row, at p. */
INLINE void dot_codes(const struct dot_type *type, const uint8_t *p, size_t s, struct weight_codes *c)
{
    const struct split_row *row = (const struct split_row *)(const void *)p;
    if (type->split) type->split(row->s, row->r, s, c);
    else type->codes(p, c);
}

/* The scales of 8 blocks: scale i lies 2 i bytes behind (bytes - 2) i, so that one load per block puts it in its place. */
INLINE __m128i f16_bits(const uint8_t *w, size_t bytes)
{
    const size_t step = bytes - 2;
    __m128i a = _mm_blend_epi16(load128(w), load128(w + step), 0x02);
    __m128i b = _mm_blend_epi16(load128(w + 2 * step), load128(w + 3 * step), 0x08);
    __m128i c = _mm_blend_epi16(load128(w + 4 * step), load128(w + 5 * step), 0x20);
    __m128i d = _mm_blend_epi16(load128(w + 6 * step), load128(w + 7 * step), 0x80);
    return _mm_blend_epi16(_mm_blend_epi16(a, b, 0x0c), _mm_blend_epi16(c, d, 0xc0), 0xf0);
}
INLINE __m256 f16_scales(const uint8_t *w, size_t bytes) { return _mm256_cvtph_ps(f16_bits(w, bytes)); }

#endif
