/* codes_x86.h - quant/codes.h with the instructions of AVX2; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_CODES_X86_H
#define HEARTH_KERNEL_MATMUL_CODES_X86_H

#include <immintrin.h>

#include "kernel/matmul/simd.h"

INLINE __m128i codes_load(const void *p) { return _mm_loadu_si128(p); }
INLINE __m256i codes_load32(const void *p) { return _mm256_loadu_si256(p); }
INLINE void codes_store(__m256i v, void *p) { _mm256_storeu_si256(p, v); }

INLINE void codes_field(const uint8_t *in, unsigned shift, unsigned bits, int8_t *out)
{
    __m256i v = _mm256_srl_epi16(codes_load32(in), _mm_cvtsi32_si128((int)shift));
    codes_store(_mm256_and_si256(v, _mm256_set1_epi8((char)((1 << bits) - 1))), out);
}

/* set: any bits where `one` is to be added, none elsewhere. */
INLINE void codes_add_where(__m256i set, int one, int less, int8_t *out)
{
    __m256i add = _mm256_andnot_si256(_mm256_cmpeq_epi8(set, _mm256_setzero_si256()), _mm256_set1_epi8((char)one));
    codes_store(_mm256_sub_epi8(_mm256_add_epi8(codes_load32(out), add), _mm256_set1_epi8((char)less)), out);
}

INLINE void codes_add_bit(const uint8_t *in, unsigned shift, int one, int less, int8_t *out)
{
    codes_add_where(_mm256_and_si256(codes_load32(in), _mm256_set1_epi8((char)(1 << shift))), one, less, out);
}

INLINE void codes_high_bits(uint32_t high, int one, int less, int8_t *out)
{
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    codes_add_where(_mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)high), byte), bit), one, less, out);
}

/* Always one store of 32 bytes: two of 16 would keep a load of all waiting. */
INLINE __m256i codes_halves(const uint8_t *q)
{
    __m128i v = codes_load(q);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

INLINE void codes_nibbles(const uint8_t *q, int8_t *out) { codes_store(codes_halves(q), out); }

INLINE void codes_table(const uint8_t *q, const int8_t *table, int8_t *out)
{
    codes_store(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(codes_load(table)), codes_halves(q)), out);
}

/* The 6-bit numbers of Q4_K and Q5_K from their 12 bytes (16 are read): 8 scales, 8 minimums. */
INLINE __m128i k_scales(const uint8_t *p)
{
    const __m128i low = _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 8, 9, 10, 11);
    const __m128i top = _mm_setr_epi8(-1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7);
    __m128i v = codes_load(p), a = _mm_srlv_epi32(_mm_shuffle_epi8(v, low), _mm_setr_epi32(0, 0, 0, 4));
    a = _mm_and_si128(a, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m128i b = _mm_srli_epi16(_mm_shuffle_epi8(v, top), 2);
    return _mm_or_si128(a, _mm_and_si128(b, _mm_set1_epi8(0x30)));
}

INLINE void codes_twice(__m128i bytes, int16_t *out)
{
    __m256i v = _mm256_cvtepu8_epi32(bytes);
    codes_store(_mm256_or_si256(v, _mm256_slli_epi32(v, 16)), out);
}

INLINE void codes_k_scales(const uint8_t *p, int16_t *sc, int16_t *mn)
{
    __m128i v = k_scales(p);
    codes_twice(v, sc);
    codes_twice(_mm_srli_si128(v, 8), mn);
}

#define CODES_F16(half) _cvtsh_ss(half)
#define CODES_PRIMITIVES
#include "quant/codes.h"

#endif
