/* Few tokens, straight from the file's blocks (AVX-512 VNNI).  64 columns are one register; each of its 128-bit lanes is a group
 * of 16 columns, whose products come out as four sums of four columns.  Where those fit 16 bits (codes of at most 63), two
 * registers of them become one and meet the integer scales in one instruction. */
#include "kernel/matmul/dot_x86.h"

enum { QUARTERS = 4 };        /* registers of 64 columns */

INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }

INLINE __m256i halves(__m512i v)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

INLINE __m512i times(const __m512i code, const struct act_block *a, int z)
{
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), code, load512(a->q + 64 * z));
}

/* Sums of two registers' products times f, the 16 coefficients of the groups (16 bits): lane l has group l of the first and of
 * the second register, twice each. */
INLINE __m512i weigh(const __m512i *code, const struct act_block *a, int z, __m512i f, __m512i sum)
{
    const __m512i first = _mm512_setr_epi64(0x0000000000000000, 0x0004000400040004, 0x0001000100010001, 0x0005000500050005,
                                            0x0002000200020002, 0x0006000600060006, 0x0003000300030003, 0x0007000700070007);
    __m512i at = _mm512_add_epi16(first, _mm512_set1_epi16((short)(4 * z)));
    __m512i p = _mm512_packs_epi32(times(code[z], a, z), times(code[z + 1], a, z + 1));
    return _mm512_dpwssd_epi32(sum, p, _mm512_permutexvar_epi16(at, f));
}

/* The 16 group sums of 4 x 64 columns, in split order. */
INLINE __m512i group_dots(const __m512i *code, const struct act_block *a)
{
    const __m512i split = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    __m512i p[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) p[z] = times(code[z], a, z);
    __m512i x = _mm512_add_epi32(_mm512_unpacklo_epi32(p[0], p[1]), _mm512_unpackhi_epi32(p[0], p[1]));
    __m512i y = _mm512_add_epi32(_mm512_unpacklo_epi32(p[2], p[3]), _mm512_unpackhi_epi32(p[2], p[3]));
    __m512i s = _mm512_add_epi32(_mm512_unpacklo_epi64(x, y), _mm512_unpackhi_epi64(x, y));   /* lane l, place z: group 4z + l */
    return _mm512_permutexvar_epi32(split, s);
}

/* 16 numbers of 16 bits in split order, as 32 bits. */
INLINE __m512i split_order(__m256i v)
{
    const __m512i even_odd = _mm512_setr_epi32(0x00020000, 0x00060004, 0x000a0008, 0x000e000c, 0x00030001, 0x00070005, 0x000b0009,
                                               0x000f000d, 0, 0, 0, 0, 0, 0, 0, 0);
    v = _mm512_castsi512_si256(_mm512_permutexvar_epi16(even_odd, _mm512_castsi256_si512(v)));
    return _mm512_cvtepi16_epi32(v);
}

INLINE __m256i act_scales(const struct act_block *a) { return load256(a->s16); }

/* Codes are offset too large, with sub-scales sc; narrow: and at most 63. */
INLINE __m256i super_sum(const __m512i *code, __m256i sc, const struct act_block *a, int offset, bool narrow)
{
    __m256i f = _mm256_mullo_epi16(sc, act_scales(a)), sum;
    if (narrow) {
        __m512i f2 = _mm512_castsi256_si512(f);
        sum = halves(weigh(code, a, 2, f2, weigh(code, a, 0, f2, _mm512_setzero_si512())));
    } else {
        sum = halves(_mm512_mullo_epi32(group_dots(code, a), split_order(f)));
    }
    if (!offset) return sum;
    return _mm256_sub_epi32(sum, _mm256_mullo_epi32(_mm256_set1_epi32(offset), _mm256_madd_epi16(sc, load256(a->z.z16))));
}

/* The same for 8 blocks of 32 columns. */
INLINE __m256i block_sums(const __m512i *code, const struct act_block *a, int offset, bool narrow)
{
    __m256i f;
    if (narrow) {
        const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 8, 1, 9, 2, 10, 3, 11);
        __m512i s = _mm512_castsi256_si512(act_scales(a)), none = _mm512_setzero_si512();
        __m512 x = _mm512_castsi512_ps(weigh(code, a, 0, s, none)), y = _mm512_castsi512_ps(weigh(code, a, 2, s, none));
        /* lane l, place z: group 4z + l */
        __m512i v = _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                                     _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
        v = _mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0xb1));
        f = _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, v));
    } else {
        f = halves(_mm512_mullo_epi32(group_dots(code, a), _mm512_cvtepu8_epi32(load128(a->s8))));
    }
    if (!offset) return f;
    return _mm256_sub_epi32(f, _mm256_mullo_epi32(_mm256_set1_epi32(offset), load256(a->z.pair)));
}

/* The 16 of FINE types: groups 0..7 and 8..15.  Codes are at most 63. */
INLINE void fine_sums(const __m512i *code, const struct act_block *a, int offset, __m256i *f)
{
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    __m512i s = _mm512_load_si512(a->s), zero = _mm512_srai_epi32(_mm512_load_si512(a->zero), 7);
    __m512i dot = _mm512_permutexvar_epi32(order, group_dots(code, a));
    dot = _mm512_add_epi32(dot, _mm512_mullo_epi32(zero, _mm512_set1_epi32(offset)));
    s = _mm512_mullo_epi32(dot, s);
    f[0] = _mm512_castsi512_si256(s);
    f[1] = _mm512_extracti64x4_epi64(s, 1);
}

/* ---- how codes are read ------------------------------------------------------------------------------------------------- */

/* Lanes of 16 columns from 4-bit codes: low, high, low, high halves of two times 16 bytes. */
INLINE __m512i nibbles(const uint8_t *first, const uint8_t *second)
{
    const __m512i by = _mm512_mask_blend_epi16(0xff00ff00, _mm512_setzero_si512(), _mm512_set1_epi16(4));
    __m512i v = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(load128(first)), 0xff00, load128(second));
    return _mm512_and_si512(_mm512_srlv_epi16(v, by), _mm512_set1_epi8(15));
}

/* 64 columns: the low halves of 32 bytes, then the high ones. */
INLINE __m512i nibbles32(const uint8_t *p)
{
    const __m512i by = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(4), 1);
    return _mm512_and_si512(_mm512_srlv_epi16(_mm512_broadcast_i64x4(load256(p)), by), _mm512_set1_epi8(15));
}

INLINE __m512i look_up(__m512i index, __m128i table) { return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(table), index); }

/* The values of IQ4_NL and 128 more. */
INLINE __m128i iq4_table(void)
{
    return _mm_setr_epi8(1, 24, 45, 63, 79, 93, 106, 118, -127, -115, -103, -90, -75, -59, -39, -15);
}

/* ---- types ------------------------------------------------------------------------------------------------------------ */

INLINE void k_unit(const uint8_t *w, const __m512i *code, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    __m128i scales = k_scales(w + 4);
    __m256i sc = twice(scales), mn = twice(upper_half(scales));
    UNROLL for (int t = 0; t < nt; t++) {
        isum[t] = super_sum(code, sc, a[t], 0, true);
        msum[t] = _mm256_madd_epi16(mn, load256(a[t]->z.z16));
    }
}

INLINE void q4_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    __m512i code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) code[z] = nibbles32(w + 16 + 32 * z);
    k_unit(w, code, a, nt, isum, msum);
}

/* The fifth bits of 64 columns: bit 2z of 32 bytes, then bit 2z + 1. */
INLINE void q5_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    const __m512i fifth = _mm512_set1_epi8(16);
    __m512i high = _mm512_broadcast_i64x4(load256(w + 16)), code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) {
        const int even = 4 - 2 * z, odd = 3 - 2 * z;
        __m512i by = _mm512_inserti64x4(_mm512_set1_epi16((short)(even < 0 ? -even : even)),
                                        _mm256_set1_epi16((short)(odd < 0 ? -odd : odd)), 1);
        __m512i bit = odd < 0 && even <= 0 ? _mm512_srlv_epi16(high, by) : _mm512_sllv_epi16(high, by);
        code[z] = _mm512_or_si512(nibbles32(w + 48 + 32 * z), _mm512_and_si512(bit, fifth));
    }
    k_unit(w, code, a, nt, isum, msum);
}

/* 64 columns of 2 bits: bits `shift` of 32 bytes, then the two above them. */
INLINE __m512i pairs_of_bits(__m512i twice, int shift)
{
    const __m512i by = _mm512_inserti64x4(_mm512_set1_epi16((short)shift), _mm256_set1_epi16((short)(shift + 2)), 1);
    return _mm512_and_si512(_mm512_srlv_epi16(twice, by), _mm512_set1_epi8(3));
}

INLINE void q2_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    const __m128i low = _mm_set1_epi8(15);
    __m128i scales = load128(w);
    __m256i sc = _mm256_cvtepu8_epi16(_mm_and_si128(scales, low));
    __m256i mn = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(scales, 4), low));
    __m512i code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++)
        code[z] = pairs_of_bits(_mm512_broadcast_i64x4(load256(w + 16 + 32 * (z / 2))), 4 * (z % 2));
    UNROLL for (int t = 0; t < nt; t++) {
        isum[t] = super_sum(code, sc, a[t], 0, true);
        msum[t] = _mm256_madd_epi16(mn, load256(a[t]->z.z16));
    }
}

/* The third bits of 64 columns: bit 2z of 32 bytes, then bit 2z + 1. */
INLINE void q3_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    _Alignas(32) int16_t sc[ACT_GROUPS];
    __m512i third = _mm512_broadcast_i64x4(load256(w)), code[QUARTERS];
    (void)msum;
    codes_q3_scales(w + 96, sc);
    UNROLL for (int z = 0; z < QUARTERS; z++) {
        __m512i two = pairs_of_bits(_mm512_broadcast_i64x4(load256(w + 32 + 32 * (z / 2))), 4 * (z % 2));
        __m512i bit = _mm512_inserti64x4(_mm512_set1_epi8((char)(1 << 2 * z)), _mm256_set1_epi8((char)(2 << 2 * z)), 1);
        code[z] = _mm512_mask_add_epi8(two, _mm512_test_epi8_mask(third, bit), two, _mm512_set1_epi8(4));
    }
    UNROLL for (int t = 0; t < nt; t++) isum[t] = super_sum(code, load256(sc), a[t], 4, true);
}

INLINE void q6_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    const __m512i up = _mm512_inserti64x4(_mm512_set1_epi16(4), _mm256_set1_epi16(2), 1);
    const __m512i down = _mm512_inserti64x4(_mm512_setzero_si512(), _mm256_set1_epi16(2), 1);
    __m256i sc = _mm256_cvtepi8_epi16(load128(w + 192));
    __m512i code[QUARTERS];
    (void)msum;
    UNROLL for (int half = 0; half < 2; half++) {
        __m512i l = load512(w + 64 * half), h = _mm512_broadcast_i64x4(load256(w + 128 + 32 * half));
        /* bits from l where `low` is set, else from h */
        code[2 * half] = _mm512_ternarylogic_epi32(l, _mm512_sllv_epi16(h, up), low, 0xe4);
        code[2 * half + 1] = _mm512_ternarylogic_epi32(_mm512_srli_epi16(l, 4), _mm512_srlv_epi16(h, down), low, 0xe4);
        code[2 * half] = _mm512_and_si512(code[2 * half], six);
        code[2 * half + 1] = _mm512_and_si512(code[2 * half + 1], six);
    }
    UNROLL for (int t = 0; t < nt; t++) isum[t] = super_sum(code, sc, a[t], 32, true);
}

INLINE void iq4_xs_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    _Alignas(32) int16_t sc[ACT_GROUPS];
    __m512i code[QUARTERS];
    (void)msum;
    codes_iq4_scales(w + 2, sc);
    UNROLL for (int z = 0; z < QUARTERS; z++)
        code[z] = look_up(nibbles(w + 8 + 32 * z, w + 24 + 32 * z), iq4_table());
    UNROLL for (int t = 0; t < nt; t++) isum[t] = super_sum(code, load256(sc), a[t], 128, false);
}

/* Codes are made unsigned by flipping the sign bit: 128 too much. */
INLINE void q8_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    __m512i code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) {
        const uint8_t *p = w + 2 * Q8_0_BYTES * z + 2;
        code[z] = _mm512_inserti64x4(_mm512_castsi256_si512(load256(p)), load256(p + Q8_0_BYTES), 1);
        code[z] = _mm512_xor_si512(code[z], _mm512_set1_epi8(-128));
    }
    UNROLL for (int t = 0; t < nt; t++) f[2 * t] = block_sums(code, a[t], 128, false);
}

INLINE void q4_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    __m512i code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) code[z] = nibbles(w + 36 * z + 2, w + 36 * z + 20);
    UNROLL for (int t = 0; t < nt; t++) f[2 * t] = block_sums(code, a[t], 8, true);
}

INLINE void iq4_nl_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    __m512i code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) code[z] = look_up(nibbles(w + 36 * z + 2, w + 36 * z + 20), iq4_table());
    UNROLL for (int t = 0; t < nt; t++) f[2 * t] = block_sums(code, a[t], 128, false);
}

/* Twice the values, and 12 more. */
INLINE void mxfp4_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    const __m128i table = _mm_setr_epi8(12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0);
    __m512i code[QUARTERS];
    UNROLL for (int z = 0; z < QUARTERS; z++) code[z] = look_up(nibbles(w + 34 * z + 1, w + 34 * z + 18), table);
    UNROLL for (int t = 0; t < nt; t++) f[2 * t] = block_sums(code, a[t], 12, true);
}

INLINE __m256 mxfp4_scales(const uint8_t *w)
{
    _Alignas(32) float scale[BLOCKS];
    codes_mxfp4_scales(w, scale);
    return _mm256_load_ps(scale);
}

/* ---- types made from codes.h ------------------------------------------------------------------------------------------ */

/* What was just written in halves is not ready as a whole. */
INLINE __m512i load_halves(const int8_t *p)
{
    return _mm512_inserti64x4(_mm512_castsi256_si512(load256(p)), load256(p + 32), 1);
}

/* A family with minimums has unsigned codes; 127 stands for signed bytes. */
INLINE int coded_offset(const struct dot_type *type) { return type->top == 127 ? 128 : type->offset; }

INLINE void coded(const struct weight_codes *w, const struct dot_type *type, __m512i *code)
{
    UNROLL for (int z = 0; z < QUARTERS; z++)
        code[z] = _mm512_add_epi8(load_halves(w->code + 64 * z), _mm512_set1_epi8((char)coded_offset(type)));
}

INLINE void super_unit(const struct weight_codes *w, const struct act_block *const *a, int nt, const struct dot_type *type,
                       __m256i *isum, __m256i *msum)
{
    __m512i code[QUARTERS];
    coded(w, type, code);
    UNROLL for (int t = 0; t < nt; t++) {
        isum[t] = super_sum(code, load256(w->sc), a[t], coded_offset(type), type->top < 64);
        if (type->family == SUPER_MIN) msum[t] = _mm256_madd_epi16(load256(w->mn), load256(a[t]->z.z16));
    }
}

INLINE void block_unit(const struct weight_codes *w, const struct act_block *const *a, int nt, const struct dot_type *type,
                       __m256i *f)
{
    __m512i code[QUARTERS];
    coded(w, type, code);
    UNROLL for (int t = 0; t < nt; t++) {
        if (type->family == FINE) fine_sums(code, a[t], type->offset, f + 2 * t);
        else f[2 * t] = block_sums(code, a[t], coded_offset(type), type->top < 64);
    }
}

#define AHEAD 0
#define LAG 1
#define SUFFIX avx512
#include "kernel/matmul/dot_x86.inc"

DOT_SUPER(q2_k, 84, SUPER_MIN, 80)
DOT_SUPER(q3_k, 110, SUPER, 108)
DOT_SUPER(q5_k, 176, SUPER_MIN, 0)
DOT_SUPER(iq4_xs, 136, SUPER, 0)
DOT_BLOCK(iq4_nl, BLOCKS * Q4_0_BYTES, NULL)
DOT_BLOCK(mxfp4, BLOCKS * 17, mxfp4_scales)
#define OWN_TYPE(...)
#define INT_TYPE(name, type, bytes, family, top, offset) DOT_CODES(name, bytes, family, top, offset)
#include "kernel/matmul/int_types.inc"
#include "kernel/matmul/split_ints.inc"
