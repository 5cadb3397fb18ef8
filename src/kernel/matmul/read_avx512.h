/* read_avx512.h - a super-block of a row as registers (AVX-512), for the kernels that take rows one by one; private to
 * kernel/matmul. */
#ifndef HEARTH_KERNEL_MATMUL_READ_AVX512_H
#define HEARTH_KERNEL_MATMUL_READ_AVX512_H

#include <immintrin.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/x86.h"

enum { QUARTERS = 4 };        /* registers of 64 columns */

/* Each lane of 128 bits is a group of 16 columns.  Codes are unsigned, too large by the type's offset.  sc, mn: of the groups. */
struct row_codes {
    __m512i code[QUARTERS];
    __m256i sc, mn;
};

INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }

/* Halves of bytes: the high ones where `high` has a bit for 16 of them, else the low ones.  A multiplication shifts: multipliers
 * wait less than the two ports that shifts share with shuffles. */
INLINE __m512i halves_of(__m512i v, __mmask32 high)
{
    v = _mm512_mask_mulhi_epu16(v, high, v, _mm512_set1_epi16(1 << 12));
    return _mm512_and_si512(v, _mm512_set1_epi8(15));
}

/* Lanes of 16 columns from 4-bit codes: low, high, low, high halves of two times 16 bytes. */
INLINE __m512i nibbles(const uint8_t *first, const uint8_t *second)
{
    __m512i v = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(load128(first)), 0xff00, load128(second));
    return halves_of(v, 0xff00ff00);
}

/* 64 columns: the low halves of 32 bytes, then the high ones. */
INLINE __m512i nibbles32(const uint8_t *p) { return halves_of(_mm512_broadcast_i64x4(load256(p)), 0xffff0000); }

INLINE __m512i look_up(__m512i index, __m128i table) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index); }

/* The values of IQ4_NL and 128 more. */
INLINE __m128i iq4_table(void)
{
    return _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15);
}

/* ---- super-blocks ------------------------------------------------------------------------------------------------------- */

INLINE void k_read(const uint8_t *w, struct row_codes *o)
{
    __m128i scales = k_scales(w + 4);
    o->sc = twice(scales);
    o->mn = twice(upper_half(scales));
}

INLINE void q4_k_read(const uint8_t *w, struct row_codes *o)
{
    UNROLL for (int z = 0; z < QUARTERS; z++) o->code[z] = nibbles32(w + 16 + 32 * z);
    k_read(w, o);
}

/* The fifth bits of 64 columns: bit 2z of 32 bytes, then bit 2z + 1. */
INLINE void q5_k_read(const uint8_t *w, struct row_codes *o)
{
    const __m512i fifth = _mm512_set1_epi8(16);
    __m512i high = _mm512_broadcast_i64x4(load256(w + 16));
    UNROLL for (int z = 0; z < QUARTERS; z++) {
        const int even = 4 - 2 * z, odd = 3 - 2 * z;
        __m512i by = _mm512_inserti64x4(_mm512_set1_epi16((short)(even < 0 ? -even : even)),
                                        _mm256_set1_epi16((short)(odd < 0 ? -odd : odd)), 1);
        __m512i bit = odd < 0 && even <= 0 ? _mm512_srlv_epi16(high, by) : _mm512_sllv_epi16(high, by);
        o->code[z] = _mm512_or_si512(nibbles32(w + 48 + 32 * z), _mm512_and_si512(bit, fifth));
    }
    k_read(w, o);
}

/* 64 columns of 2 bits: bits `shift` of 32 bytes, then the two above them. */
INLINE __m512i pairs_of_bits(__m512i twice, int shift)
{
    const __m512i by = _mm512_inserti64x4(_mm512_set1_epi16((short)shift), _mm256_set1_epi16((short)(shift + 2)), 1);
    return _mm512_and_si512(_mm512_srlv_epi16(twice, by), _mm512_set1_epi8(3));
}

INLINE void q2_k_read(const uint8_t *w, struct row_codes *o)
{
    const __m128i low = _mm_set1_epi8(15);
    __m128i scales = load128(w);
    o->sc = _mm256_cvtepu8_epi16(_mm_and_si128(scales, low));
    o->mn = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(scales, 4), low));
    UNROLL for (int z = 0; z < QUARTERS; z++)
        o->code[z] = pairs_of_bits(_mm512_broadcast_i64x4(load256(w + 16 + 32 * (z / 2))), 4 * (z % 2));
}

/* The third bits of 64 columns: bit 2z of 32 bytes, then bit 2z + 1. */
INLINE void q3_k_read(const uint8_t *w, struct row_codes *o)
{
    _Alignas(32) int16_t sc[ACT_GROUPS];
    __m512i third = _mm512_broadcast_i64x4(load256(w));
    codes_q3_scales(w + 96, sc);
    o->sc = load256(sc);
    UNROLL for (int z = 0; z < QUARTERS; z++) {
        __m512i two = pairs_of_bits(_mm512_broadcast_i64x4(load256(w + 32 + 32 * (z / 2))), 4 * (z % 2));
        __m512i bit = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * z)), _mm256_set1_epi8((char)(2 << 2 * z)), 1);
        o->code[z] = _mm512_mask_add_epi8(two, _mm512_test_epi8_mask(third, bit), two, _mm512_set1_epi8(4));
    }
}

INLINE void q6_k_read(const uint8_t *w, struct row_codes *o)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    const __m512i up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    o->sc = _mm256_cvtepi8_epi16(load128(w + 192));
    UNROLL for (int half = 0; half < 2; half++) {
        __m512i l = load512(w + 64 * half), h = _mm512_broadcast_i64x4(load256(w + 128 + 32 * half));
        /* bits from l where `low` is set, else from h */
        __m512i a = _mm512_ternarylogic_epi32(l, _mm512_sllv_epi16(h, up), low, 0xe4);
        __m512i b = _mm512_ternarylogic_epi32(_mm512_srli_epi16(l, 4), _mm512_srlv_epi16(h, down), low, 0xe4);
        o->code[2 * half] = _mm512_and_si512(a, six);
        o->code[2 * half + 1] = _mm512_and_si512(b, six);
    }
}

INLINE void iq4_xs_read(const uint8_t *w, struct row_codes *o)
{
    _Alignas(32) int16_t sc[ACT_GROUPS];
    codes_iq4_scales(w + 2, sc);
    o->sc = load256(sc);
    UNROLL for (int z = 0; z < QUARTERS; z++)
        o->code[z] = look_up(nibbles(w + 8 + 32 * z, w + 24 + 32 * z), iq4_table());
}

/* ---- blocks of 32 ------------------------------------------------------------------------------------------------------- */

/* Codes are made unsigned by flipping the sign bit: 128 too much. */
INLINE void q8_0_read(const uint8_t *w, struct row_codes *o)
{
    UNROLL for (int z = 0; z < QUARTERS; z++) {
        const uint8_t *p = w + 2 * Q8_0_BYTES * z + 2;
        __m512i v = _mm512_inserti64x4(_mm512_castsi256_si512(load256(p)), load256(p + Q8_0_BYTES), 1);
        o->code[z] = _mm512_xor_si512(v, _mm512_set1_epi8(-128));
    }
}

INLINE void q4_0_read(const uint8_t *w, struct row_codes *o)
{
    UNROLL for (int z = 0; z < QUARTERS; z++) o->code[z] = nibbles(w + 36 * z + 2, w + 36 * z + 20);
}

INLINE void iq4_nl_read(const uint8_t *w, struct row_codes *o)
{
    UNROLL for (int z = 0; z < QUARTERS; z++) o->code[z] = look_up(nibbles(w + 36 * z + 2, w + 36 * z + 20), iq4_table());
}

/* Twice the values, and 12 more. */
INLINE __m128i mxfp4_table(void) { return _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0); }

INLINE void mxfp4_read(const uint8_t *w, struct row_codes *o)
{
    UNROLL for (int z = 0; z < QUARTERS; z++) o->code[z] = look_up(nibbles(w + 34 * z + 1, w + 34 * z + 18), mxfp4_table());
}

INLINE __m256 mxfp4_scales(const uint8_t *w)
{
    _Alignas(32) float scale[BLOCKS];
    codes_mxfp4_scales(w, scale);
    return _mm256_load_ps(scale);
}

/* ---- made from codes.h -------------------------------------------------------------------------------------------------- */

/* What was just written in halves is not ready as a whole. */
INLINE __m512i load_halves(const int8_t *p)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load256(p)), load256(p + 32), 1);
}

/* top, offset: as in int_types.inc. */
#define CODED_OFFSET(top, offset) ((top) == 127 ? 128 : (offset))

INLINE void coded(const struct weight_codes *w, int offset, __m512i *code)
{
    UNROLL for (int z = 0; z < QUARTERS; z++)
        code[z] = _mm512_add_epi8(load_halves(w->code + 64 * z), _mm512_set1_epi8((char)offset));
}

/* ---- 16 rows ------------------------------------------------------------------------------------------------------------ */

/* Four bytes of 16 rows as one register for each k: 32 bytes at `at`. */
INLINE void load_rows16(const uint8_t *const *row, size_t at, __m512i *v)
{
    __m512i a[8], b[8];
    UNROLL for (int i = 0; i < 8; i++) {            /* rows 0..3 beside 4..7, and 8..11 beside 12..15 */
        const int r = i < 4 ? i : i + 4;
        v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(load256(row[r] + at)), load256(row[r + 4] + at), 1);
    }
    UNROLL for (int i = 0; i < 8; i += 2) {
        a[i] = _mm512_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        b[i] = _mm512_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm512_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm512_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm512_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        v[i] = _mm512_shuffle_i64x2(b[i], b[i + 4], 0x88);
        v[i + 4] = _mm512_shuffle_i64x2(b[i], b[i + 4], 0xdd);
    }
}

/* Four bytes of 16 rows as one register for each k: 16 bytes at `at`. */
INLINE void load_rows16_half(const uint8_t *const *row, size_t at, __m512i *v)
{
    __m512i z[4];
    UNROLL for (int i = 0; i < 4; i++) {
        z[i] = _mm512_castsi128_si512(load128(row[i] + at));
        z[i] = _mm512_inserti32x4(z[i], load128(row[i + 4] + at), 1);
        z[i] = _mm512_inserti32x4(z[i], load128(row[i + 8] + at), 2);
        z[i] = _mm512_inserti32x4(z[i], load128(row[i + 12] + at), 3);
    }
    __m512i a = _mm512_unpacklo_epi32(z[0], z[1]), b = _mm512_unpackhi_epi32(z[0], z[1]);
    __m512i c = _mm512_unpacklo_epi32(z[2], z[3]), d = _mm512_unpackhi_epi32(z[2], z[3]);
    v[0] = _mm512_unpacklo_epi64(a, c);
    v[1] = _mm512_unpackhi_epi64(a, c);
    v[2] = _mm512_unpacklo_epi64(b, d);
    v[3] = _mm512_unpackhi_epi64(b, d);
}

/* An f16 in the lower half of each 32 bits. */
INLINE __m512i halves_as_floats(__m512i v) { return _mm512_castps_si512(_mm512_cvtph_ps(_mm512_cvtepi32_epi16(v))); }

#endif
