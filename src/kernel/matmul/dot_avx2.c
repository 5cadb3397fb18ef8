/* Few tokens, straight from the file's blocks (AVX2).  Products of codes stay in 16 bits; the integer scales ride on the
 * multiply that widens them. */
#include "kernel/matmul/dot_x86.h"

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


INLINE void q4_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    const __m256i low = _mm256_set1_epi8(15);
    __m256i scales = k_scales_both(w + 4), sc2 = low_words(scales), mn2 = high_words(scales), c[4];
    UNROLL for (int t = 0; t < nt; t++) {
        c[t] = _mm256_mullo_epi16(sc2, act_scales(a[t]));
        msum[t] = _mm256_madd_epi16(mn2, load256(a[t]->split));
        isum[t] = _mm256_setzero_si256();
    }
    UNROLL for (int g = 0; g < 4; g++) {
        __m256i v = load256(w + 16 + 32 * g);
        KEEP(v);                                   /* one load for both uses: many cross a cache line */
        __m256i lo = _mm256_and_si256(v, low), hi = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i p = _mm256_maddubs_epi16(lo, load256(a[t]->q + 64 * g));
            __m256i q = _mm256_maddubs_epi16(hi, load256(a[t]->q + 64 * g + 32));
            isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(p, coef(c[t], 2 * g)));
            KEEP(isum[t]);
            isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(q, coef(c[t], 2 * g + 1)));
            KEEP(isum[t]);
        }
    }
}

/* Codes stay 0..63; the offset of 32 comes off at the end: 32 * sum of sc * z.  Sums may wrap in between. */
INLINE void q6_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    (void)msum;
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(0x30);
    const __m256i split = _mm256_setr_epi8(-1, 0, -1, 2, -1, 4, -1, 6, -1, 8, -1, 10, -1, 12, -1, 14,
                                           -1, 1, -1, 3, -1, 5, -1, 7, -1, 9, -1, 11, -1, 13, -1, 15);
    __m256i sc = _mm256_srai_epi16(_mm256_shuffle_epi8(load_both(w + 192), split), 8), c[4];
    UNROLL for (int t = 0; t < nt; t++) {
        c[t] = _mm256_mullo_epi16(sc, act_scales(a[t]));
        isum[t] = _mm256_slli_epi32(_mm256_madd_epi16(sc, load256(a[t]->split)), 5);
        isum[t] = _mm256_sub_epi32(_mm256_setzero_si256(), isum[t]);
    }
    UNROLL for (int half = 0; half < 2; half++) {
        __m256i l0 = load256(w + 64 * half), l1 = load256(w + 64 * half + 32), h = load256(w + 128 + 32 * half);
        __m256i code[4];
        code[0] = _mm256_or_si256(_mm256_and_si256(l0, low), _mm256_and_si256(_mm256_slli_epi16(h, 4), high));
        code[1] = _mm256_or_si256(_mm256_and_si256(l1, low), _mm256_and_si256(_mm256_slli_epi16(h, 2), high));
        code[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l0, 4), low), _mm256_and_si256(h, high));
        code[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l1, 4), low),
                                  _mm256_and_si256(_mm256_srli_epi16(h, 2), high));
        UNROLL for (int i = 0; i < 4; i++) {
            UNROLL for (int t = 0; t < nt; t++) {
                __m256i p = _mm256_maddubs_epi16(code[i], load256(a[t]->q + 128 * half + 32 * i));
                isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(p, coef(c[t], 4 * half + i)));
                KEEP(isum[t]);
            }
        }
    }
}

/* Sums of neighbours, a's in even and b's in odd places.  Blends run on every port, shuffles on few. */
INLINE __m256i fold16(__m256i a, __m256i b)
{
    const __m256i swap = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2,
                                         13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
    return _mm256_add_epi16(_mm256_blend_epi16(a, b, 0xaa), _mm256_shuffle_epi8(_mm256_blend_epi16(b, a, 0xaa), swap));
}

/* One super-block: the eight sums f_i of each activation row. */
INLINE void q8_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i s = act_scales(a[t]), p[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            __m256i code = load256(w + Q8_0_BYTES * b + 2);
            __m256i q = _mm256_sign_epi8(load256(a[t]->q + 32 * b), code);
            p[b] = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(code), q), coef(s, b));
        }
        f[2 * t] = sum8(p);
    }
}

/* The codes of a group add up in 16 bits; what comes out is in split order. */
INLINE void q4_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    __m256i code[BLOCKS];
    UNROLL for (int b = 0; b < BLOCKS; b++) code[b] = codes_halves(w + Q4_0_BYTES * b + 2);
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i p[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++) p[b] = _mm256_maddubs_epi16(code[b], load256(a[t]->q + 32 * b));
        UNROLL for (int b = 0; b < BLOCKS; b += 2) p[b] = fold16(p[b], p[b + 1]);
        __m256i lo = FOLD32(_mm256_add_epi16, p[0], p[2]), hi = FOLD32(_mm256_add_epi16, p[4], p[6]);
        __m256i dot = _mm256_permute4x64_epi64(FOLD64(_mm256_add_epi16, lo, hi), 0xd8);
        __m256i s = _mm256_permute4x64_epi64(act_scales(a[t]), 0xd8);
        dot = _mm256_unpacklo_epi16(dot, _mm256_srli_si256(dot, 8));
        s = _mm256_unpacklo_epi16(s, _mm256_srli_si256(s, 8));
        f[2 * t] = _mm256_sub_epi32(_mm256_madd_epi16(dot, s), _mm256_slli_epi32(load256(a[t]->z.pair), 3));
    }
}

/* ---- types made from codes.h --------------------------------------------------------------------------------------- */

/* Products of 32 columns, pairs in 16 bits; codes with minimums are unsigned. */
INLINE __m256i products(__m256i code, bool is_unsigned, const int8_t *q)
{
    if (is_unsigned) return _mm256_maddubs_epi16(code, load256(q));
    return _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(load256(q), code));
}

INLINE void super_unit(const struct weight_codes *w, const struct act_block *const *a, int nt, const struct dot_type *type,
                       __m256i *isum, __m256i *msum)
{
    const __m256i halves = _mm256_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15,
                                            0, 1, 4, 5, 8, 9, 12, 13, 2, 3, 6, 7, 10, 11, 14, 15);
    __m256i sc = _mm256_permute4x64_epi64(_mm256_shuffle_epi8(load256(w->sc), halves), 0xd8), c[4];
    UNROLL for (int t = 0; t < nt; t++) {
        c[t] = _mm256_mullo_epi16(sc, act_scales(a[t]));
        isum[t] = _mm256_setzero_si256();
        if (type->family == SUPER_MIN) msum[t] = _mm256_madd_epi16(load256(w->mn), load256(a[t]->z.z16));
    }
    UNROLL for (int i = 0; i < 8; i++) {
        __m256i code = load256(w->code + 32 * i);
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i p = products(code, type->family == SUPER_MIN, a[t]->q + 32 * i);
            isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(p, coef(c[t], i)));
            KEEP(isum[t]);
        }
    }
}

/* Vector i has group 2i in its lower half and 2i + 1 in the upper. */
INLINE void fine_sums(const __m256i *p, __m256i *f)
{
    UNROLL for (int i = 0; i < 2; i++) {
        __m256i v = _mm256_permute4x64_epi64(fold4(p + 4 * i), 0xd8);
        f[i] = _mm256_unpacklo_epi32(v, _mm256_srli_si256(v, 8));
    }
}

INLINE void block_unit(const struct weight_codes *w, const struct act_block *const *a, int nt, const struct dot_type *type,
                       __m256i *f)
{
    const bool is_unsigned = type->family == BLOCK_ADD && type->top != 127;
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i s = act_scales(a[t]), p[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++)
            p[b] = _mm256_madd_epi16(products(load256(w->code + 32 * b), is_unsigned, a[t]->q + 32 * b), coef(s, b));
        if (type->family == FINE) fine_sums(p, f + 2 * t);
        else f[2 * t] = sum8(p);
    }
}

#define AHEAD 2048
#define LAG 0
#define SUFFIX avx2
#include "kernel/matmul/dot_x86.inc"

DOT_BLOCK(q4_0, BLOCKS * Q4_0_BYTES, NULL)
DOT_SUPER(q4_k, Q4_K_BYTES, SUPER_MIN, 0)
#define INT_TYPE(name, type, bytes, family, top, offset) DOT_CODES(name, bytes, family, top, offset)
#include "kernel/matmul/int_types.inc"
#include "kernel/matmul/split_ints.inc"
