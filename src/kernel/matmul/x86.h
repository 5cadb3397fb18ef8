/* x86.h - what the integer kernels of x86 share, and quant/codes.h with the instructions of AVX2; private to kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_X86_H
#define HEARTH_KERNEL_MATMUL_X86_H

#include <immintrin.h>

#include "kernel/matmul/simd.h"

/* Sums stay in the order written: the compiler would make trees of them, which need more registers than there are. */
#define KEEP(v) __asm__("" : "+x"(v))

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128(p); }
INLINE void store256(__m256i v, void *p) { _mm256_storeu_si256(p, v); }

/* 16 bytes in both halves. */
INLINE __m256i load_both(const void *p) { return _mm256_broadcastsi128_si256(load128(p)); }
INLINE __m256i both(__m128i v) { return _mm256_broadcastsi128_si256(v); }

/* The 6-bit numbers of Q4_K and Q5_K from their 12 bytes (16 are read): 8 scales, 8 minimums, in both halves. */
INLINE __m256i k_scales_both(const uint8_t *p)
{
    const __m256i low = both(_mm_setr_epi8(0, 1, 2, 3, 8, 9, 10, 11, 4, 5, 6, 7, 8, 9, 10, 11));
    const __m256i top = both(_mm_setr_epi8(-1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, 4, 5, 6, 7));
    const __m256i bits = both(_mm_setr_epi32(0x3f3f3f3f, 0x0f0f0f0f, 0x3f3f3f3f, 0x0f0f0f0f));
    __m256i v = load_both(p), a = _mm256_srlv_epi32(_mm256_shuffle_epi8(v, low), both(_mm_setr_epi32(0, 0, 0, 4)));
    __m256i b = _mm256_srli_epi16(_mm256_shuffle_epi8(v, top), 2);
    return _mm256_or_si256(_mm256_and_si256(a, bits), _mm256_and_si256(b, _mm256_set1_epi8(0x30)));
}
INLINE __m128i k_scales(const uint8_t *p) { return _mm256_castsi256_si128(k_scales_both(p)); }

/* Eight bytes, each twice as 16 bits. */
INLINE __m256i twice(__m128i bytes)
{
    __m256i v = _mm256_cvtepu8_epi32(bytes);
    return _mm256_or_si256(v, _mm256_slli_epi32(v, 16));
}

INLINE __m128i upper_half(__m128i v) { return _mm_srli_si128(v, 8); }

/* In each half: word k of w[i] becomes word i of v[k]. */
INLINE void x86_transpose4(const __m256i *w, __m256i *v)
{
    __m256i a = _mm256_unpacklo_epi32(w[0], w[1]), b = _mm256_unpackhi_epi32(w[0], w[1]);
    __m256i c = _mm256_unpacklo_epi32(w[2], w[3]), d = _mm256_unpackhi_epi32(w[2], w[3]);
    v[0] = _mm256_unpacklo_epi64(a, c);
    v[1] = _mm256_unpackhi_epi64(a, c);
    v[2] = _mm256_unpacklo_epi64(b, d);
    v[3] = _mm256_unpackhi_epi64(b, d);
}

/* v[row] of 8 numbers of 32 bits becomes v[number] of 8 rows. */
INLINE void x86_transpose8(__m256i *v)
{
    __m256i a[8], b[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

/* ---- the primitives of quant/codes.h ------------------------------------------------------------------------------------ */

INLINE void codes_field(const uint8_t *in, unsigned shift, unsigned bits, int8_t *out)
{
    __m256i v = _mm256_srl_epi16(load256(in), _mm_cvtsi32_si128((int)shift));
    store256(_mm256_and_si256(v, _mm256_set1_epi8((char)((1 << bits) - 1))), out);
}

INLINE void codes_add_bit(const uint8_t *in, unsigned shift, int one, int less, int8_t *out)
{
    const unsigned to = (unsigned)__builtin_ctz((unsigned)one);
    const __m128i by = _mm_cvtsi32_si128((int)(shift > to ? shift - to : to - shift));
    __m256i v = shift > to ? _mm256_srl_epi16(load256(in), by) : _mm256_sll_epi16(load256(in), by);
    v = _mm256_add_epi8(load256(out), _mm256_and_si256(v, _mm256_set1_epi8((char)one)));
    store256(less ? _mm256_sub_epi8(v, _mm256_set1_epi8((char)less)) : v, out);
}

INLINE void codes_high_bits(uint32_t high, int one, int less, int8_t *out)
{
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i set = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)high), byte), bit);
    __m256i add = _mm256_andnot_si256(_mm256_cmpeq_epi8(set, _mm256_setzero_si256()), _mm256_set1_epi8((char)one));
    store256(_mm256_sub_epi8(_mm256_add_epi8(load256(out), add), _mm256_set1_epi8((char)less)), out);
}

/* Always one store of 32 bytes: two of 16 would keep a load of all waiting. */
INLINE __m256i codes_halves(const uint8_t *q)
{
    const __m256i upper = _mm256_setr_epi32(0, 0, 0, 0, 4, 4, 4, 4);
    return _mm256_and_si256(_mm256_srlv_epi32(load_both(q), upper), _mm256_set1_epi8(15));
}

INLINE void codes_nibbles(const uint8_t *q, int8_t *out) { store256(codes_halves(q), out); }

INLINE void codes_table(const uint8_t *q, const int8_t *table, int8_t *out)
{
    store256(_mm256_shuffle_epi8(load_both(table), codes_halves(q)), out);
}

INLINE void codes_signed(const uint64_t *values, uint32_t signs, int8_t *out)
{
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    __m256i v = _mm256_setr_epi64x((long long)values[0], (long long)values[1], (long long)values[2], (long long)values[3]);
    __m256i set = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)signs), byte), bit);
    __m256i minus = _mm256_cmpeq_epi8(set, bit);
    store256(_mm256_sub_epi8(_mm256_xor_si256(v, minus), minus), out);
}

INLINE void codes_k_scales(const uint8_t *p, int16_t *sc, int16_t *mn)
{
    __m128i v = k_scales(p);
    store256(twice(v), sc);
    store256(twice(upper_half(v)), mn);
}

INLINE void codes_q3_scales(const uint8_t *p, int16_t *sc)
{
    uint64_t low;
    memcpy(&low, p, sizeof low);
    __m128i v = _mm_and_si128(_mm_set_epi64x((long long)(low >> 4), (long long)low), _mm_set1_epi8(15));
    __m128i high = _mm_srlv_epi32(_mm_set1_epi32((int)load32(p + 8)), _mm_setr_epi32(0, 2, 4, 6));
    high = _mm_slli_epi16(_mm_and_si128(high, _mm_set1_epi8(3)), 4);
    store256(_mm256_cvtepi8_epi16(_mm_sub_epi8(_mm_or_si128(v, high), _mm_set1_epi8(32))), sc);
}

/* The eight scales of IQ4_XS. */
INLINE __m256i iq4_scales(const uint8_t *p)
{
    const __m256i by = _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28), half = _mm256_srli_epi32(by, 1);
    __m256i low = _mm256_srlv_epi32(_mm256_set1_epi32((int)load32(p + 2)), by);
    __m256i high = _mm256_srlv_epi32(_mm256_set1_epi32(load16(p)), half);
    low = _mm256_and_si256(low, _mm256_set1_epi32(15));
    high = _mm256_slli_epi32(_mm256_and_si256(high, _mm256_set1_epi32(3)), 4);
    return _mm256_sub_epi32(_mm256_or_si256(low, high), _mm256_set1_epi32(32));
}

/* Each twice. */
INLINE void codes_iq4_scales(const uint8_t *p, int16_t *sc)
{
    __m256i v = iq4_scales(p);
    store256(_mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa), sc);
}

INLINE void codes_iq2_scales(const uint8_t *p, int16_t *sc)
{
    __m128i v = _mm_loadl_epi64((const __m128i *)(const void *)p), high = _mm_srli_epi16(v, 4);
    v = _mm_and_si128(_mm_unpacklo_epi8(v, high), _mm_set1_epi8(15));
    store256(_mm256_cvtepu8_epi16(_mm_add_epi8(_mm_add_epi8(v, v), _mm_set1_epi8(1))), sc);
}

/* 2^(e - 128) of eight bytes. */
INLINE __m256i e8m0_halves(__m128i bytes)
{
    __m256i e = _mm256_cvtepu8_epi32(bytes), normal = _mm256_slli_epi32(_mm256_sub_epi32(e, _mm256_set1_epi32(1)), 23);
    __m256i tiny = _mm256_sllv_epi32(_mm256_set1_epi32(0x00200000), e);
    return _mm256_blendv_epi8(normal, tiny, _mm256_cmpgt_epi32(_mm256_set1_epi32(2), e));
}

INLINE void codes_e8m0_halves(const uint8_t *p, float *scale) { store256(e8m0_halves(_mm_loadl_epi64((const void *)p)), scale); }

INLINE void codes_numbers(const uint8_t *p, int brain, unsigned per, float *out)
{
    __m128i h = per == 1 ? load128(p) : per == 2 ? _mm_loadl_epi64((const void *)p) :
        _mm_cvtsi32_si128(per == 4 ? (int)load32(p) : load16(p));
    const __m256i place = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7), shift = _mm256_set1_epi32(__builtin_ctz(per));
    __m256i f = brain ? _mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16) : _mm256_castps_si256(_mm256_cvtph_ps(h));
    store256(_mm256_permutevar8x32_epi32(f, _mm256_srlv_epi32(place, shift)), out);
}

INLINE void codes_add128(const float *scale, float *add)
{
    _mm256_storeu_ps(add, _mm256_fmadd_ps(_mm256_set1_ps(128), _mm256_loadu_ps(scale), _mm256_loadu_ps(add)));
}

INLINE void codes_mxfp4_scales(const uint8_t *p, float *scale)
{
    __m128i a = _mm_unpacklo_epi8(load128(p), load128(p + 17)), b = _mm_unpacklo_epi8(load128(p + 34), load128(p + 51));
    __m128i c = _mm_unpacklo_epi8(load128(p + 68), load128(p + 85)), d = _mm_unpacklo_epi8(load128(p + 102), load128(p + 119));
    store256(e8m0_halves(_mm_unpacklo_epi32(_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, d))), scale);
}

INLINE void codes_table8(const uint8_t *q, const int8_t *table, int8_t *out)
{
    store256(_mm256_permute4x64_epi64(_mm256_shuffle_epi8(load_both(table), codes_halves(q)), 0xd8), out);
}

/* Seven bits as a half are 2^-8 times the number; 127 is none. */
INLINE void codes_nvfp4_scales(const uint8_t *p, float *scale)
{
    __m128i b = _mm_setr_epi32((int)load32(p), (int)load32(p + 36), (int)load32(p + 72), (int)load32(p + 108));
    b = _mm_andnot_si128(_mm_cmpeq_epi8(b, _mm_set1_epi8(127)), b);
    __m256i h = _mm256_slli_epi16(_mm256_cvtepu8_epi16(_mm_and_si128(b, _mm_set1_epi8(127))), 7);
    const __m256 by = _mm256_set1_ps(128);
    _mm256_storeu_ps(scale, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(h)), by));
    _mm256_storeu_ps(scale + 8, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)), by));
}

/* Where code i of 8 in `bits` bytes begins: that byte and the next, for a shuffle; from: of the first. */
#define STREAM_AT(bits, from, i) (char)((from) + (i) * (bits) / 8), (char)((from) + (i) * (bits) / 8 + 1)
#define STREAM_HALF(bits, from) \
    _mm_setr_epi8(STREAM_AT(bits, from, 0), STREAM_AT(bits, from, 1), STREAM_AT(bits, from, 2), STREAM_AT(bits, from, 3), \
                  STREAM_AT(bits, from, 4), STREAM_AT(bits, from, 5), STREAM_AT(bits, from, 6), STREAM_AT(bits, from, 7))
/* What brings code i to the top of 16 bits. */
#define STREAM_UP(bits, i) (short)(1 << (16 - (bits) - (i) * (bits) % 8))

/* 32 codes of fewer than 8 bits: each in 16 bits of its own, moved up by a multiplication and down together. */
INLINE __m256i stream(__m128i first, __m128i last, const unsigned bits, const unsigned had)
{
    const unsigned back = had - 2 * bits;         /* where code 16 begins in last */
    const __m256i up = both(_mm_setr_epi16(STREAM_UP(bits, 0), STREAM_UP(bits, 1), STREAM_UP(bits, 2), STREAM_UP(bits, 3),
                                           STREAM_UP(bits, 4), STREAM_UP(bits, 5), STREAM_UP(bits, 6), STREAM_UP(bits, 7)));
    __m256i at = _mm256_inserti128_si256(_mm256_castsi128_si256(STREAM_HALF(bits, 0)), STREAM_HALF(bits, bits), 1);
    __m256i a = _mm256_shuffle_epi8(both(first), at);
    __m256i b = _mm256_shuffle_epi8(both(last), _mm256_add_epi8(at, _mm256_set1_epi8((char)back)));
    a = _mm256_srli_epi16(_mm256_mullo_epi16(a, up), (int)(16 - bits));
    b = _mm256_srli_epi16(_mm256_mullo_epi16(b, up), (int)(16 - bits));
    return _mm256_permute4x64_epi64(_mm256_packus_epi16(a, b), 0xd8);
}

/* 16 bytes of 4-bit codes. */
INLINE __m256i stream4(__m128i v)
{
    const __m128i low = _mm_set1_epi8(15);
    __m128i lo = _mm_and_si128(v, low), hi = _mm_and_si128(_mm_srli_epi16(v, 4), low);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_unpacklo_epi8(lo, hi)), _mm_unpackhi_epi8(lo, hi), 1);
}

INLINE void codes_stream(const uint8_t *p, unsigned bits, int less, int8_t *out)
{
    __m256i v;
    if (bits == 8) v = load256(p);
    else if (bits == 4) v = stream4(load128(p));
    else if (bits > 4) v = stream(load128(p), load128(p + 4 * bits - 16), bits, 16);
    else v = stream(_mm_loadl_epi64((const void *)p), _mm_loadl_epi64((const void *)(p + 4 * bits - 8)), bits, 8);
    store256(less ? _mm256_sub_epi8(v, _mm256_set1_epi8((char)less)) : v, out);
}

INLINE void codes_stream_table(const uint8_t *p, const int8_t *table, int8_t *out)
{
    store256(_mm256_shuffle_epi8(load_both(table), stream4(load128(p))), out);
}

INLINE __m128i words4(const uint8_t *p, size_t stride)
{
    return _mm_setr_epi32((int)load32(p), (int)load32(p + stride), (int)load32(p + 2 * stride), (int)load32(p + 3 * stride));
}

INLINE void codes_awq(const uint8_t *p, size_t stride, const uint8_t *zero, int8_t *out, size_t step)
{
    static const int place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    const __m256i low = _mm256_set1_epi32(15), order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i w[4];
    UNROLL for (size_t q = 0; q < 4; q++) {
        const uint8_t *at = p + 8 * q * stride;
        w[q] = _mm256_inserti128_si256(_mm256_castsi128_si256(words4(at, stride)), words4(at + 4 * stride, stride), 1);
    }
    UNROLL for (int i = 0; i < 8; i++) {
        __m256i c[4];
        UNROLL for (int q = 0; q < 4; q++) c[q] = _mm256_and_si256(_mm256_srli_epi32(w[q], 4 * place[i]), low);
        __m256i v = _mm256_packus_epi16(_mm256_packus_epi32(c[0], c[1]), _mm256_packus_epi32(c[2], c[3]));
        v = _mm256_sub_epi8(_mm256_permutevar8x32_epi32(v, order), _mm256_set1_epi8((char)zero[i]));
        store256(v, out + (size_t)i * step);
    }
}

/* Four words of eight rows: v[i] has those of row i, then those of row i + 4. */
INLINE void words_of_rows(const uint8_t *p, size_t stride, __m256i *v)
{
    __m256i w[4];
    UNROLL for (size_t k = 0; k < 4; k++) w[k] = load256(p + k * stride);
    x86_transpose4(w, v);
}

INLINE void codes_gptq4(const uint8_t *p, size_t stride, const uint8_t *zero, int8_t *out, size_t step)
{
    __m256i v[4];
    words_of_rows(p, stride, v);
    UNROLL for (size_t i = 0; i < 8; i++) {
        __m256i code = stream4(i < 4 ? _mm256_castsi256_si128(v[i]) : _mm256_extracti128_si256(v[i - 4], 1));
        store256(_mm256_sub_epi8(code, _mm256_set1_epi8((char)zero[i])), out + i * step);
    }
}

INLINE void codes_gptq8(const uint8_t *p, size_t stride, int8_t *out, size_t step)
{
    const __m256i flip = _mm256_set1_epi8(-128);
    __m256i v[4], w[4];
    words_of_rows(p, stride, v);
    words_of_rows(p + 4 * stride, stride, w);
    UNROLL for (size_t i = 0; i < 4; i++) {
        store256(_mm256_xor_si256(_mm256_permute2x128_si256(v[i], w[i], 0x20), flip), out + i * step);
        store256(_mm256_xor_si256(_mm256_permute2x128_si256(v[i], w[i], 0x31), flip), out + (i + 4) * step);
    }
}

/* Numbers of 8 bits as halves, 2^-8 times as large; what is none as `none`. */
INLINE __m256i e4m3_halves(__m128i bytes, short none)
{
    __m256i v = _mm256_cvtepu8_epi16(bytes), nan = _mm256_set1_epi16(127 << 7);
    __m256i size = _mm256_and_si256(_mm256_slli_epi16(v, 7), nan);
    __m256i h = _mm256_or_si256(size, _mm256_slli_epi16(_mm256_srli_epi16(v, 7), 15));
    return _mm256_blendv_epi8(h, _mm256_set1_epi16(none), _mm256_cmpeq_epi16(size, nan));
}

INLINE void codes_e4m3_scales(const uint8_t *p, float *scale)
{
    __m256i h = e4m3_halves(load128(p), 0);
    const __m256 by = _mm256_set1_ps(128);
    _mm256_storeu_ps(scale, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(h)), by));
    _mm256_storeu_ps(scale + 8, _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)), by));
}

INLINE void codes_e4m3_halves(const uint8_t *p, size_t n, uint16_t *half)
{
    uint8_t last[256];
    if (n < sizeof last) {
        memset(last, 0, sizeof last);
        memcpy(last, p, n);
        p = last;
    }
    UNROLL for (int i = 0; i < 16; i++) store256(e4m3_halves(load128(p + 16 * i), 0x7e00), half + 16 * i);
}

#define CODES_F16(half) _cvtsh_ss(half)
#define CODES_PRIMITIVES
#include "quant/codes.h"
#include "quant/split_codes.h"

#endif
