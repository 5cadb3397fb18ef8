/* Few tokens, straight from the file's blocks (AVX-512 VNNI).  64 columns are one register; each of its 128-bit lanes is a group
 * of 16 columns.  Four registers' sums fold into one of 16 group sums, which then meet the integer scales. */
#include "kernel/matmul/dot_x86.h"

INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }

/* The 16 group sums of 4 x 64 columns, in split order. */
INLINE __m512i group_sums(const __m512i *p)
{
    const __m512i split = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(p[0], p[1]), _mm512_unpackhi_epi32(p[0], p[1]));
    __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(p[2], p[3]), _mm512_unpackhi_epi32(p[2], p[3]));
    __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));   /* lane l, place z: group 4z + l */
    return _mm512_permutexvar_epi32(split, s);
}

INLINE __m256i halves(__m512i v)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

INLINE __m512i times(const __m512i code, const struct act_block *a, int z)
{
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), code, load512(a->q + 64 * z));
}

INLINE __m512i group_dots(const __m512i *code, const struct act_block *a)
{
    __m512i p[4];
    UNROLL for (int z = 0; z < 4; z++) p[z] = times(code[z], a, z);
    return group_sums(p);
}

INLINE void q4_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    const __m512i low = _mm512_set1_epi8(15);
    __m128i scales = k_scales(w + 4);
    __m512i sc = _mm512_broadcast_i32x8(_mm256_cvtepu8_epi32(scales));
    __m256i mn = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(upper_half(scales)));
    __m512i code[4];
    UNROLL for (int i = 0; i < 2; i++) {
        __m512i v = load512(w + 16 + 64 * i);
        __m512i lo = _mm512_and_si512(v, low), hi = _mm512_and_si512(_mm512_srli_epi16(v, 4), low);
        code[2 * i] = _mm512_shuffle_i64x2(lo, hi, 0x44);
        code[2 * i + 1] = _mm512_shuffle_i64x2(lo, hi, 0xee);
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i c = _mm512_madd_epi16(sc, _mm512_cvtepu8_epi32(load128(a[t]->s8)));
        isum[t] = halves(_mm512_madd_epi16(group_dots(code, a[t]), c));
        msum[t] = _mm256_madd_epi16(mn, load256(a[t]->split));
    }
}

INLINE void q6_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum)
{
    const __m128i split = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    const __m512i up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    __m128i sc = _mm_shuffle_epi8(load128(w + 192), split);
    __m512i code[4];
    UNROLL for (int half = 0; half < 2; half++) {
        __m512i l = load512(w + 64 * half), h = _mm512_broadcast_i64x4(load256(w + 128 + 32 * half));
        /* bits from l where `low` is set, else from h */
        code[2 * half] = _mm512_ternarylogic_epi32(l, _mm512_sllv_epi16(h, up), low, 0xe4);
        code[2 * half + 1] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(l, 4), _mm512_srlv_epi16(h, down), low, 0xe4);
        code[2 * half] = _mm512_and_si512(code[2 * half], six);
        code[2 * half + 1] = _mm512_and_si512(code[2 * half + 1], six);
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i c = _mm512_madd_epi16(_mm512_cvtepi8_epi32(sc), _mm512_cvtepu8_epi32(load128(a[t]->s8)));
        __m256i z = _mm256_madd_epi16(_mm256_cvtepi8_epi16(sc), load256(a[t]->split));
        isum[t] = halves(_mm512_mullo_epi32(group_dots(code, a[t]), c));
        isum[t] = _mm256_sub_epi32(isum[t], _mm256_slli_epi32(z, 5));
    }
}

/* Codes are made unsigned by flipping the sign bit: 128 too much. */
INLINE void q8_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    __m512i code[4];
    UNROLL for (int z = 0; z < 4; z++) {
        const uint8_t *p = w + 2 * Q8_0_BYTES * z + 2;
        code[z] = _mm512_inserti64x4(_mm512_castsi256_si512(load256(p)), load256(p + Q8_0_BYTES), 1);
        code[z] = _mm512_xor_si512(code[z], _mm512_set1_epi8(-128));
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i s = _mm512_cvtepu8_epi32(load128(a[t]->s8));
        f[t] = halves(_mm512_mullo_epi32(group_dots(code, a[t]), s));
        f[t] = _mm256_sub_epi32(f[t], _mm256_slli_epi32(load256(a[t]->z.pair), 7));
    }
}

INLINE void q4_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    const __m512i twice = _mm512_setr_epi64(0, 1, 0, 1, 2, 3, 2, 3);
    __m512i code[4];
    UNROLL for (int z = 0; z < 4; z++) {
        const uint8_t *p = w + 2 * Q4_0_BYTES * z + 2;
        __m256i two = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p)), load128(p + Q4_0_BYTES), 1);
        __m512i v = _mm512_permutexvar_epi64(twice, _mm512_castsi256_si512(two));
        v = _mm512_mask_srli_epi16(v, 0xff00ff00, v, 4);
        code[z] = _mm512_and_si512(v, _mm512_set1_epi8(15));
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i s = _mm512_cvtepu8_epi32(load128(a[t]->s8));
        f[t] = halves(_mm512_madd_epi16(group_dots(code, a[t]), s));
        f[t] = _mm256_sub_epi32(f[t], _mm256_slli_epi32(load256(a[t]->z.pair), 3));
    }
}

#define AHEAD 0
#define SUFFIX avx512
#include "kernel/matmul/dot_x86.inc"
