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

enum { UNITS = 4 };

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128(p); }

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
    __m256i h = fold4(v);
    return _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

#endif
