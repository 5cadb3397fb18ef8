/* Few tokens, straight from the file's blocks (AVX-512 VNNI).  64 columns are one register; each of its 128-bit lanes is a group
 * of 16 columns, whose products come out as four sums of four columns.  Where those fit 16 bits (codes of at most 63), two
 * registers of them become one and meet the integer scales in one instruction. */
#define DOT_ACT few_act
#include "kernel/matmul/dot_x86.h"
#include "kernel/matmul/read_avx512.h"

/* Activations as they are read here, close together: those of a long row then stay in the first cache beside the weights that
 * stream through it.  In front of a row of them lie its float scales, the last first. */
struct few_act {
    int8_t q[ACT_COLS];
    int16_t s[ACT_GROUPS];
    union { int16_t z16[ACT_GROUPS]; int32_t pair[BLOCKS]; } z;
};
#define ACT_D(a, s) ((const float *)(const void *)(a))[-1 - (ptrdiff_t)(s)]

INLINE __m256i halves(__m512i v)
{
    return _mm256_add_epi32(_mm512_castsi512_si256(v), _mm512_extracti64x4_epi64(v, 1));
}

INLINE __m512i times(const __m512i code, const dot_act *a, int z)
{
    return _mm512_dpbusd_epi32(_mm512_setzero_si512(), code, load512(a->q + 64 * z));
}

/* Where each lane of two registers finds its group's coefficient, four times for each register. */
INLINE __m512i lanes_in_order(void)
{
    return _mm512_setr_epi64(0x0000000000000000, 0x0004000400040004, 0x0001000100010001, 0x0005000500050005,
                             0x0002000200020002, 0x0006000600060006, 0x0003000300030003, 0x0007000700070007);
}

/* Sums of two registers' products times f, the 16 coefficients of the groups (16 bits): each lane has a group of the first and
 * one of the second register, twice each; which ones of the first 8 groups, `first` says. */
INLINE __m512i weigh(const __m512i *code, const dot_act *a, int z, __m512i f, __m512i first, __m512i sum)
{
    __m512i at = _mm512_add_epi16(first, _mm512_set1_epi16((short)(4 * z)));
    __m512i p = _mm512_packs_epi32(times(code[z], a, z), times(code[z + 1], a, z + 1));
    return _mm512_dpwssd_epi32(sum, p, _mm512_permutexvar_epi16(at, f));
}

/* The 16 group sums of 4 x 64 columns, in split order. */
INLINE __m512i group_dots(const __m512i *code, const dot_act *a)
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

INLINE __m256i act_scales(const dot_act *a) { return load256(a->s); }

/* Codes are offset too large, with sub-scales sc; narrow: and at most 63. */
INLINE __m256i super_sum(const __m512i *code, __m256i sc, const dot_act *a, int offset, bool narrow)
{
    __m256i f = _mm256_mullo_epi16(sc, act_scales(a)), sum;
    if (narrow) {
        __m512i f2 = _mm512_castsi256_si512(f);
        const __m512i first = lanes_in_order();
        sum = halves(weigh(code, a, 2, f2, first, weigh(code, a, 0, f2, first, _mm512_setzero_si512())));
    } else {
        sum = halves(_mm512_mullo_epi32(group_dots(code, a), split_order(f)));
    }
    if (!offset) return sum;
    return _mm256_sub_epi32(sum, _mm256_mullo_epi32(_mm256_set1_epi32(offset), _mm256_madd_epi16(sc, load256(a->z.z16))));
}

/* The same for 8 blocks of 32 columns. */
INLINE __m256i block_sums(const __m512i *code, const dot_act *a, int offset, bool narrow)
{
    __m256i f;
    if (narrow) {
        const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 0, 8, 1, 9, 2, 10, 3, 11);
        __m512i s = _mm512_castsi256_si512(act_scales(a)), none = _mm512_setzero_si512();
        const __m512i first = lanes_in_order();
        __m512 x = _mm512_castsi512_ps(weigh(code, a, 0, s, first, none));
        __m512 y = _mm512_castsi512_ps(weigh(code, a, 2, s, first, none));
        /* lane l, place z: group 4z + l */
        __m512i v = _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(x, y, 0x88)),
                                     _mm512_castps_si512(_mm512_shuffle_ps(x, y, 0xdd)));
        v = _mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0xb1));
        f = _mm512_castsi512_si256(_mm512_permutexvar_epi32(order, v));
    } else {
        f = halves(_mm512_mullo_epi32(group_dots(code, a), _mm512_cvtepi16_epi32(act_scales(a))));
    }
    if (!offset) return f;
    return _mm256_sub_epi32(f, _mm256_mullo_epi32(_mm256_set1_epi32(offset), load256(a->z.pair)));
}

/* The 16 of FINE types: groups 0..7 and 8..15.  Codes are at most 63. */
INLINE void fine_sums(const __m512i *code, const dot_act *a, int offset, __m256i *f)
{
    const __m512i order = _mm512_setr_epi32(0, 8, 1, 9, 2, 10, 3, 11, 4, 12, 5, 13, 6, 14, 7, 15);
    __m512i s = _mm512_cvtepi16_epi32(act_scales(a)), zero = _mm512_cvtepi16_epi32(load256(a->z.z16));
    __m512i dot = _mm512_permutexvar_epi32(order, group_dots(code, a));
    dot = _mm512_add_epi32(dot, _mm512_mullo_epi32(zero, _mm512_set1_epi32(offset)));
    s = _mm512_mullo_epi32(dot, s);
    f[0] = _mm512_castsi512_si256(s);
    f[1] = _mm512_extracti64x4_epi64(s, 1);
}

/* ---- types ------------------------------------------------------------------------------------------------------------ */

#define SUPER_UNIT(name, offset, narrow, min)                                                                             \
    INLINE void name##_unit(const uint8_t *w, const dot_act *const *a, int nt, __m256i *isum, __m256i *msum)     \
    {                                                                                                                     \
        struct row_codes c;                                                                                               \
        (void)msum;                                                                                                       \
        name##_read(w, &c);                                                                                               \
        UNROLL for (int t = 0; t < nt; t++) {                                                                             \
            isum[t] = super_sum(c.code, c.sc, a[t], offset, narrow);                                                      \
            if (min) msum[t] = _mm256_madd_epi16(c.mn, load256(a[t]->z.z16));                                             \
        }                                                                                                                 \
    }
#define BLOCK_UNIT(name, offset, narrow)                                                                                  \
    INLINE void name##_unit(const uint8_t *w, const dot_act *const *a, int nt, __m256i *f)                       \
    {                                                                                                                     \
        struct row_codes c;                                                                                               \
        name##_read(w, &c);                                                                                               \
        UNROLL for (int t = 0; t < nt; t++) f[2 * t] = block_sums(c.code, a[t], offset, narrow);                          \
    }

SUPER_UNIT(q2_k, 0, true, true)
SUPER_UNIT(q3_k, 4, true, false)
SUPER_UNIT(q6_k, 32, true, false)
BLOCK_UNIT(q8_0, 128, false)

/* ---- halves of 64 bytes ------------------------------------------------------------------------------------------------ */

/* Codes of Q4_K and Q5_K are taken from 64 bytes at a time: the low halves of all, then the high ones. */
static const uint8_t by_32[ACT_GROUPS] = { 0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15 };
static const uint8_t in_order[ACT_GROUPS] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
static const uint8_t evens_first[ACT_GROUPS] = { 0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15 };

/* Bytes of the scales in front, and of a row. */
static size_t few_lead(size_t n) { return (n * sizeof(float) + 63) / 64 * 64; }
static size_t few_row(size_t n) { return few_lead(n) + n * sizeof(struct few_act); }
static size_t few_blocks(size_t K) { return (K + ACT_COLS - 1) / ACT_COLS; }

size_t dot_scratch_avx512(size_t K)
{
    const size_t few = (PANEL_MIN_T - 1) * few_row(few_blocks(K)), nibbles = nibbles_scratch_avx512(K);
    return few > nibbles ? few : nibbles;
}

/* dot_type.order: of groups of codes.  Scales are in order, or split where sums come out so. */
enum { BY_32 = 1 };

static void few_block(struct few_act *to, const struct act_block *a, const uint8_t *group, const uint8_t *scale)
{
    UNROLL for (size_t i = 0; i < ACT_GROUPS; i++) {
        memcpy(to->q + ACT_GROUP * i, a->q + ACT_GROUP * group[i], ACT_GROUP);
        to->s[i] = a->s16[scale[i]];
    }
    memcpy(&to->z, &a->z, sizeof to->z);
}

/* The job over such activations, which go to its scratch memory, once for all calls that read them. */
static struct matmul_job few_job(const struct matmul_job *j, const struct dot_type *type)
{
    const size_t n = few_blocks(j->m->K);
    const bool apart = type->family <= BLOCK_ADD && (!type->top || type->top == 127);
    const uint8_t *group = type->order == BY_32 ? by_32 : in_order, *scale = apart ? evens_first : in_order;
    struct matmul_job own = *j;
    own.act = (const uint8_t *)j->scratch + few_lead(n);
    own.act_stride = few_row(n);
    own.in = NULL;
    for (size_t t = 0; t < j->T && !j->again; t++) {
        const struct act_block *a = job_in(j, t);
        struct few_act *to = (struct few_act *)(void *)((uint8_t *)j->scratch + few_lead(n) + t * own.act_stride);
        for (size_t s = 0; s < n; s++) {
            few_block(to + s, a + s, group, scale);
            if (type->family == FINE)
                for (size_t i = 0; i < ACT_GROUPS; i++) to[s].z.z16[i] = (int16_t)(a[s].zero[i] / 128);
            ((float *)(void *)to)[-1 - (ptrdiff_t)s] = a[s].d;
        }
    }
    return own;
}

INLINE void halves64(__m512i v, __m512i *code)
{
    const __m512i low = _mm512_set1_epi8(15);
    code[0] = _mm512_and_si512(v, low);
    code[1] = _mm512_and_si512(_mm512_mulhi_epu16(v, _mm512_set1_epi16(1 << 12)), low);
}

/* The fifth bits of 128 columns from bit `first` of 32 bytes on, in the order of halves64. */
INLINE void fifth_bits(__m512i high, int first, __m512i *code)
{
    UNROLL for (int i = 0; i < 2; i++) {
        const int bit = 1 << (first + i);
        __m512i at = _mm512_inserti64x4(_mm512_set1_epi8((char)bit), _mm256_set1_epi8((char)(4 * bit)), 1);
        code[i] = _mm512_mask_add_epi8(code[i], _mm512_test_epi8_mask(high, at), code[i], _mm512_set1_epi8(16));
    }
}

/* As k_read; the processor's other half has time to spare. */
INLINE void k_read_fast(const uint8_t *w, __m256i *sc, __m256i *mn)
{
    const uint64_t six = 0x3f3f3f3f3f3f3f3f, two = 0x3030303030303030, four = 0x0f0f0f0f0f0f0f0f;
    uint64_t v, last = load32(w + 8);
    memcpy(&v, w, sizeof v);
    /* four scales, four minimums; then those of the upper half */
    uint64_t upper = (v >> 2 & two) | ((last | last << 28) & four);
    __m256i both_halves = _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_cvtsi64_si128((long long)(v & six))),
                                                  _mm_cvtsi64_si128((long long)upper), 1);
    *sc = _mm256_shuffle_epi8(both_halves, both(_mm_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1)));
    *mn = _mm256_shuffle_epi8(both_halves, both(_mm_setr_epi8(4, -1, 4, -1, 5, -1, 5, -1, 6, -1, 6, -1, 7, -1, 7, -1)));
}

INLINE void k_unit(const __m512i *code, const uint8_t *scales, const dot_act *const *a, int nt, __m256i *isum,
                   __m256i *msum)
{
    const __m512i first = _mm512_setr_epi64(0x0000000000000000, 0x0002000200020002, 0x0001000100010001, 0x0003000300030003,
                                            0x0004000400040004, 0x0006000600060006, 0x0005000500050005, 0x0007000700070007);
    __m256i sc, mn;
    k_read_fast(scales, &sc, &mn);
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i f = _mm512_castsi256_si512(_mm256_mullo_epi16(sc, act_scales(a[t])));
        __m512i sum = weigh(code, a[t], 2, f, first, weigh(code, a[t], 0, f, first, _mm512_setzero_si512()));
        isum[t] = halves(sum);
        msum[t] = _mm256_madd_epi16(mn, load256(a[t]->z.z16));
    }
}

INLINE void q4_k_unit(const uint8_t *w, const dot_act *const *a, int nt, __m256i *isum, __m256i *msum)
{
    __m512i code[QUARTERS];
    halves64(load512(w + 16), code);
    halves64(load512(w + 80), code + 2);
    k_unit(code, w + 4, a, nt, isum, msum);
}

INLINE void q5_k_unit(const uint8_t *w, const dot_act *const *a, int nt, __m256i *isum, __m256i *msum)
{
    __m512i code[QUARTERS], high = _mm512_broadcast_i64x4(load256(w + 16));
    halves64(load512(w + 48), code);
    halves64(load512(w + 112), code + 2);
    fifth_bits(high, 0, code);
    fifth_bits(high, 4, code + 2);
    k_unit(code, w + 4, a, nt, isum, msum);
}

/* ---- types made from codes.h ------------------------------------------------------------------------------------------ */

INLINE void super_unit(const struct weight_codes *w, const dot_act *const *a, int nt, const struct dot_type *type,
                       __m256i *isum, __m256i *msum)
{
    const int offset = CODED_OFFSET(type->top, type->offset);
    __m512i code[QUARTERS];
    coded(w, offset, code);
    UNROLL for (int t = 0; t < nt; t++) {
        isum[t] = super_sum(code, load256(w->sc), a[t], offset, type->top < 64);
        if (type->family == SUPER_MIN) msum[t] = _mm256_madd_epi16(load256(w->mn), load256(a[t]->z.z16));
    }
}

INLINE void block_unit(const struct weight_codes *w, const dot_act *const *a, int nt, const struct dot_type *type,
                       __m256i *f)
{
    const int offset = CODED_OFFSET(type->top, type->offset);
    __m512i code[QUARTERS];
    coded(w, offset, code);
    UNROLL for (int t = 0; t < nt; t++) {
        if (type->family == FINE) fine_sums(code, a[t], type->offset, f + 2 * t);
        else f[2 * t] = block_sums(code, a[t], offset, type->top < 64);
    }
}

#define AHEAD 0
#define LAG 1
#define SUFFIX avx512
#define ACT_JOB(j, type) few_job(j, type)
#include "kernel/matmul/dot_x86.inc"

#define SUPER_HALVES(name, bytes, family, order) \
    DOT_KERNEL(name, super_dot, bytes, family, 0, 0, NULL, name##_unit, 0, NULL, NULL, NULL, order)

DOT_SUPER(q2_k, 84, SUPER_MIN, 80)
DOT_SUPER(q3_k, 110, SUPER, 108)
SUPER_HALVES(q4_k, Q4_K_BYTES, SUPER_MIN, BY_32)
SUPER_HALVES(q5_k, 176, SUPER_MIN, BY_32)
#define OWN_TYPE(...)
#define INT_TYPE(name, type, bytes, family, top, offset) DOT_CODES(name, bytes, family, top, offset)
#include "kernel/matmul/int_types.inc"
#include "kernel/matmul/split_ints.inc"
