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

/* The coefficients of groups 2i and 2i+1, each filling one half, from 16 in split order. */
INLINE __m256i coef(__m256i c, int i)
{
    return _mm256_shuffle_epi8(c, _mm256_set1_epi16((short)(0x0100 + 0x0202 * i)));
}

/* Eight bytes of each half as 16 bits: cheaper than instructions that cross the halves. */
INLINE __m256i low_words(__m256i v)
{
    return _mm256_shuffle_epi8(v, both(_mm_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 5, -1, 6, -1, 7, -1)));
}
INLINE __m256i high_words(__m256i v)
{
    return _mm256_shuffle_epi8(v, both(_mm_setr_epi8(8, -1, 9, -1, 10, -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1)));
}

/* The integer scales of the activations, in split order. */
INLINE __m256i act_scales(const struct act_block *a)
{
    const __m256i words = _mm256_setr_epi8(0, -1, 1, -1, 2, -1, 3, -1, 4, -1, 5, -1, 6, -1, 7, -1,
                                           8, -1, 9, -1, 10, -1, 11, -1, 12, -1, 13, -1, 14, -1, 15, -1);
    return _mm256_shuffle_epi8(load_both(a->s8), words);
}

/* ---- types made from codes.h --------------------------------------------------------------------------------------- */

/* Products of 32 columns, pairs in 16 bits; codes with minimums are unsigned. */
INLINE __m256i products(__m256i code, bool is_unsigned, const int8_t *q)
{
    if (is_unsigned) return _mm256_maddubs_epi16(code, load256(q));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(load256(q), code));
}

INLINE void super_unit(const struct weight_codes *w, const struct act_block *const *a, int nt, enum family family,
                       __m256i *isum, __m256i *msum)
{
    const __m256i halves = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                            0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m256i sc = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(load256(w->sc), halves), 0xd8), c[4];
    UNROLL for (int t = 0; t < nt; t++) {
        c[t] = _mm256_mullo_epi16(sc, act_scales(a[t]));
        isum[t] = _mm256_setzero_si256();
        if (family == SUPER_MIN) msum[t] = _mm256_madd_epi16(load256(w->mn), load256(a[t]->z.z16));
    }
    UNROLL for (int i = 0; i < 8; i++) {
        __m256i code = load256(w->code + 32 * i);
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i p = products(code, family == SUPER_MIN, a[t]->q + 32 * i);
            isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(p, coef(c[t], i)));
            KEEP(isum[t]);
        }
    }
}

INLINE void block_unit(const struct weight_codes *w, const struct act_block *const *a, int nt, enum family family, __m256i *f)
{
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i s = act_scales(a[t]), p[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++)
            p[b] = _mm256_madd_epi16(products(load256(w->code + 32 * b), family == BLOCK_ADD, a[t]->q + 32 * b), coef(s, b));
        f[t] = sum8(p);
    }
}

#endif
