/* x86.h - what the integer kernels of x86 share, and quant/codes.h with the instructions of AVX2; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_X86_H
#define HEARTH_KERNEL_MATMUL_X86_H

#include <immintrin.h>

#include "kernel/matmul/simd.h"

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128(p); }
INLINE void store256(__m256i v, void *p) { _mm256_storeu_si256(p, v); }

/* 32 columns of act.h's pair order. */
INLINE __m256i pair_order(__m256i v)
{
    const __m256i pair = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
                                          0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(v, 0xd8), pair);
}

/* The 6-bit numbers of Q4_K and Q5_K from their 12 bytes (16 are read): 8 scales, 8 minimums. */
INLINE __m128i k_scales(const uint8_t *p)
{
    const __m128i low = _mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 8, 9, 10, 11);
    const __m128i top = _mm_setr_epi8(-1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7);
    __m128i v = load128(p), a = _mm_srlv_epi32(_mm_shuffle_epi8(v, low), _mm_setr_epi32(0, 0, 0, 4));
    a = _mm_and_si128(a, _mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m128i b = _mm_srli_epi16(_mm_shuffle_epi8(v, top), 2);
    return _mm_or_si128(a, _mm_and_si128(b, _mm_set1_epi8(0x30)));
}

/* Eight bytes, each twice as 16 bits. */
INLINE __m256i twice(__m128i bytes)
{
    __m256i v = _mm256_cvtepu8_epi32(bytes);
    return _mm256_or_si256(v, _mm256_slli_epi32(v, 16));
}

INLINE __m128i upper_half(__m128i v) { return _mm_srli_si128(v, 8); }

/* ---- the primitives of quant/codes.h ------------------------------------------------------------------------------------ */

INLINE void codes_field(const uint8_t *in, unsigned shift, unsigned bits, int8_t *out)
{
    __m256i v = _mm256_srl_epi16(load256(in), _mm_cvtsi32_si128((int)shift));
    store256(_mm256_and_si256(v, _mm256_set1_epi8((char)((1 << bits) - 1))), out);
}

/* set: any bits where `one` is to be added, none elsewhere. */
INLINE void codes_add_where(__m256i set, int one, int less, int8_t *out)
{
    __m256i add = _mm256_andnot_si256(_mm256_cmpeq_epi8(set, _mm256_setzero_si256()), _mm256_set1_epi8((char)one));
    store256(_mm256_sub_epi8(_mm256_add_epi8(load256(out), add), _mm256_set1_epi8((char)less)), out);
}

INLINE void codes_add_bit(const uint8_t *in, unsigned shift, int one, int less, int8_t *out)
{
    codes_add_where(_mm256_and_si256(load256(in), _mm256_set1_epi8((char)(1 << shift))), one, less, out);
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
    __m128i v = load128(q);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
}

INLINE void codes_nibbles(const uint8_t *q, int8_t *out) { store256(codes_halves(q), out); }

INLINE void codes_table(const uint8_t *q, const int8_t *table, int8_t *out)
{
    store256(_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(load128(table)), codes_halves(q)), out);
}

INLINE void codes_k_scales(const uint8_t *p, int16_t *sc, int16_t *mn)
{
    __m128i v = k_scales(p);
    store256(twice(v), sc);
    store256(twice(upper_half(v)), mn);
}

#define CODES_F16(half) _cvtsh_ss(half)
#define CODES_PRIMITIVES
#include "quant/codes.h"

#endif
