/* Few tokens, types whose codes are 16 bytes for 32 columns, low halves before high ones (AVX-512 VNNI).  Four super-blocks are
 * taken at a time and turned: a register holds the same four columns of 16 blocks, so that sums of products need no adding across
 * lanes.  Lane b, place u: block b, or 4 + b, of super-block u. */
#define DOT_ACT quad_act
#include "kernel/matmul/dot_x86.h"
#include "kernel/matmul/read_avx512.h"
#include "kernel/simd/transpose_avx512.h"

enum { QUAD = UNITS, QUAD_COLS = QUAD * ACT_COLS };

/* Activations of four super-blocks, made once for the rows of a call.  [2]: blocks 0..3 and 4..7; then the low halves' columns
 * and the high ones'; [4]: four columns of 16.  less: what the offset of the codes adds to two groups. */
struct quad_act {
    int8_t q[2][2][4][64];
    int32_t s[2][2][16];
    int32_t less[2][16];
    float d[16];
};

static size_t quads_of(size_t K) { return (K + QUAD_COLS - 1) / QUAD_COLS; }

size_t nibbles_scratch_avx512(size_t K) { return (PANEL_MIN_T - 1) * quads_of(K) * sizeof(struct quad_act); }

/* How a type's rows are read: bytes of 256 columns; the first 16 bytes of codes, and from there to the next; the table that codes
 * are places in, or NULL; how much too large codes are.  scales: the floats of block i of four super-blocks. */
typedef void quad_scales_fn(const uint8_t *const *p, __m128 *d);
typedef __m128i table_fn(void);
struct nibbles { size_t bytes, at, step; enum family family; table_fn *table; int offset; quad_scales_fn *scales; };

/* 16 bytes of four blocks. */
INLINE __m512i four_blocks(const uint8_t *p, size_t step)
{
    __m256i a = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p)), load128(p + step), 1);
    __m256i b = _mm256_inserti128_si256(_mm256_castsi128_si256(load128(p + 2 * step)), load128(p + 3 * step), 1);
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
}

/* have super-blocks from a on; what is missing counts as zeros. */
static void quad_make(struct quad_act *to, const struct act_block *a, size_t have, int offset, bool super)
{
    static const struct act_block none;
    const struct act_block *x[QUAD];
    for (size_t u = 0; u < QUAD; u++) {
        x[u] = u < have ? a + u : &none;
        to->d[u] = x[u]->d;
    }
    for (size_t h = 0; h < 2; h++)
        for (size_t high = 0; high < 2; high++) {
            __m512i v[QUAD], y[4];
            for (size_t u = 0; u < QUAD; u++) v[u] = four_blocks((const uint8_t *)x[u]->q + 128 * h + 16 * high, 32);
            avx512_transpose4(v, y);
            for (size_t c = 0; c < 4; c++) _mm512_storeu_si512((void *)to->q[h][high][c], y[c]);
            for (size_t i = 0; i < 16; i++) to->s[h][high][i] = x[i % QUAD]->s[8 * h + i / QUAD * 2 + high];
        }
    for (size_t i = 0; i < 32; i++) {
        const struct act_block *b = x[i % QUAD];
        const size_t block = i / QUAD;
        to->less[i / 16][i % 16] = offset * (super ? b->z.z16[2 * block] + b->z.z16[2 * block + 1] : b->z.pair[block]);
    }
}

/* The job over such activations, which go to its scratch memory, once for all calls that read them. */
static struct matmul_job quad_job(const struct matmul_job *j, const struct nibbles *type)
{
    const size_t n = (j->m->K + ACT_COLS - 1) / ACT_COLS, quads = quads_of(j->m->K);
    struct quad_act *to = j->scratch;
    struct matmul_job own = *j;
    own.act = j->scratch;
    own.act_stride = quads * sizeof *to;
    own.in = NULL;
    for (size_t t = 0; t < j->T && !j->again; t++)
        for (size_t i = 0; i < quads; i++, to++)
            quad_make(to, (const struct act_block *)job_in(j, t) + QUAD * i, at_most(n - QUAD * i, QUAD), type->offset,
                      type->family == SUPER);
    return own;
}

/* Integer sums of 16 blocks of 32 columns each, for each half and token; p: the super-blocks. */
INLINE void quad_sums(const uint8_t *const *p, const struct quad_act *const *a, int nt, struct nibbles type,
                      __m512i (*f)[2])
{
    const __m512i low = _mm512_set1_epi8(15), high = _mm512_set1_epi8(-16);
    __m512i x[2][QUAD];
    UNROLL for (int u = 0; u < QUAD; u++)                  /* in the order of addresses */
        UNROLL for (size_t h = 0; h < 2; h++) {
            const uint8_t *from = p[u] + type.at + 4 * h * type.step;
            x[h][u] = type.step == 16 ? load512(from) : four_blocks(from, type.step);
        }
    UNROLL for (int h = 0; h < 2; h++) {
        __m512i v[4], lo[4], hi[4];
        avx512_transpose4(x[h], v);
        UNROLL for (int c = 0; c < 4; c++) {
            lo[c] = _mm512_and_si512(v[c], low);
            if (type.table) {
                const __m128i table = type.table();
                lo[c] = look_up(lo[c], table);
                hi[c] = look_up(_mm512_and_si512(_mm512_mulhi_epu16(v[c], _mm512_set1_epi16(1 << 12)), low), table);
            } else {
                hi[c] = _mm512_and_si512(v[c], high);      /* 16 times as large */
            }
        }
        UNROLL for (int t = 0; t < nt; t++) {
            __m512i l = _mm512_setzero_si512(), g = l;
            UNROLL for (int c = 0; c < 4; c++) {
                l = _mm512_dpbusd_epi32(l, lo[c], load512(a[t]->q[h][0][c]));
                g = _mm512_dpbusd_epi32(g, hi[c], load512(a[t]->q[h][1][c]));
            }
            l = _mm512_mullo_epi32(l, load512(a[t]->s[h][0]));
            g = _mm512_mullo_epi32(g, load512(a[t]->s[h][1]));
            if (!type.table) g = _mm512_srai_epi32(g, 4);
            f[t][h] = _mm512_sub_epi32(_mm512_add_epi32(l, g), load512(a[t]->less[h]));
        }
    }
}

INLINE __m128i lane(__m512i v, int i)
{
    __m256i half = i < 2 ? _mm512_castsi512_si256(v) : _mm512_extracti64x4_epi64(v, 1);
    return i % 2 ? _mm256_extracti128_si256(half, 1) : _mm256_castsi256_si128(half);
}

/* What is to be multiplied with the activations' scales: floats of four super-blocks (act.h). */
INLINE __m128 quad_blocks(const __m512i *f, const __m128 *d)
{
    __m128 t = _mm_mul_ps(d[0], _mm_cvtepi32_ps(lane(f[0], 0)));
    UNROLL for (int i = 1; i < BLOCKS; i++) t = _mm_fmadd_ps(d[i], _mm_cvtepi32_ps(lane(f[i / 4], i % 4)), t);
    return t;
}

/* sc: of block i in the lower, 4 + i in the upper half, of four super-blocks. */
INLINE __m128 quad_super(const __m512i *f, const __m256i *sc, __m128 d)
{
    __m256i sum = _mm256_setzero_si256();
    UNROLL for (int i = 0; i < 4; i++) {
        __m256i v = _mm256_inserti128_si256(_mm256_castsi128_si256(lane(f[0], i)), lane(f[1], i), 1);
        sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(v, sc[i]));
    }
    return _mm_mul_ps(d, _mm_cvtepi32_ps(_mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1))));
}

/* The results of four super-blocks, of which `have` are in the row. */
INLINE void quad_unit(const uint8_t *const *p, const struct quad_act *const *a, size_t have, int nt, struct nibbles type,
                      float *acc)
{
    __m512i f[2][2];
    __m128 d[BLOCKS], v;
    __m256i sc[QUAD];
    quad_sums(p, a, nt, type, f);
    if (type.family == SUPER) {
        __m256 s[QUAD], turned[QUAD];
        UNROLL for (int u = 0; u < QUAD; u++) s[u] = _mm256_castsi256_ps(iq4_scales(p[u] + 2));
        x86_transpose(s, turned);
        UNROLL for (int i = 0; i < QUAD; i++) sc[i] = _mm256_castps_si256(turned[i]);
        d[0] = _mm_cvtph_ps(_mm_setr_epi16((short)load16(p[0]), (short)load16(p[1]), (short)load16(p[2]), (short)load16(p[3]),
                                           0, 0, 0, 0));
    } else {
        type.scales(p, d);
    }
    UNROLL for (int t = 0; t < nt; t++) {
        float value[QUAD];
        v = type.family == SUPER ? quad_super(f[t], sc, d[0]) : quad_blocks(f[t], d);
        _mm_storeu_ps(value, v);
        UNROLL for (size_t u = 0; u < QUAD; u++) {
            if (u && u >= have) break;
            acc[t] = fmaf(a[t]->d[u], value[u], acc[t]);
        }
    }
}

INLINE void nibble_rows(const struct matmul_job *j, size_t r0, size_t r1, size_t t0, int nt, struct nibbles type)
{
    const struct matmul *m = j->m;
    const size_t n = m->K / ACT_COLS, whole = n / QUAD, rest = (m->K + ACT_COLS - 1) / ACT_COLS - whole * QUAD;
    const uint8_t *w = m->w + r0 * m->row_bytes;
    for (size_t r = r0; r < r1; r++, w += m->row_bytes) {
        const struct quad_act *a[2] = { job_in(j, t0), job_in(j, t0 + (size_t)nt - 1) };
        const uint8_t *p[QUAD], *at = w;
        uint8_t tail[TAIL_BYTES];
        float acc[2] = { 0, 0 };
        for (size_t i = 0; i < whole; i++, at += QUAD * type.bytes, a[0]++, a[1]++) {
            UNROLL for (size_t u = 0; u < QUAD; u++) p[u] = at + u * type.bytes;
            quad_unit(p, a, QUAD, nt, type, acc);
        }
        if (rest) {
            if (n * ACT_COLS < m->K) row_tail(tail, w, m->row_bytes, n * type.bytes, type.bytes);
            for (size_t u = 0; u < QUAD; u++) {
                size_t s = whole * QUAD + (u < rest ? u : rest - 1);
                p[u] = s < n ? w + s * type.bytes : tail;
            }
            quad_unit(p, a, rest, nt, type, acc);
        }
        for (int t = 0; t < nt; t++) job_out(j, t0 + (size_t)t)[r] = acc[t];
    }
}

/* ---- types -------------------------------------------------------------------------------------------------------------- */

/* Scales of 16 bits, eight of each of four super-blocks. */
INLINE void turn_halves(const __m128i *h, __m128 *d)
{
    __m128i a = _mm_unpacklo_epi16(h[0], h[1]), b = _mm_unpacklo_epi16(h[2], h[3]);
    __m128i x = _mm_unpackhi_epi16(h[0], h[1]), y = _mm_unpackhi_epi16(h[2], h[3]);
    __m128i two[4] = { _mm_unpacklo_epi32(a, b), _mm_unpackhi_epi32(a, b), _mm_unpacklo_epi32(x, y), _mm_unpackhi_epi32(x, y) };
    UNROLL for (int i = 0; i < 4; i++) {
        __m256 f = _mm256_cvtph_ps(two[i]);
        d[2 * i] = _mm256_castps256_ps128(f);
        d[2 * i + 1] = _mm256_extractf128_ps(f, 1);
    }
}

INLINE void q4_0_scales(const uint8_t *const *p, __m128 *d)
{
    __m128i h[QUAD];
    UNROLL for (int u = 0; u < QUAD; u++) h[u] = f16_bits(p[u], Q4_0_BYTES);
    turn_halves(h, d);
}

INLINE void mxfp4_quad_scales(const uint8_t *const *p, __m128 *d)
{
    __m256 s[QUAD], turned[QUAD];
    UNROLL for (int u = 0; u < QUAD; u++) s[u] = mxfp4_scales(p[u]);
    x86_transpose(s, turned);
    UNROLL for (int i = 0; i < QUAD; i++) {
        d[i] = _mm256_castps256_ps128(turned[i]);
        d[4 + i] = _mm256_extractf128_ps(turned[i], 1);
    }
}

#define NIBBLES(name, ...)                                                                                              \
    static const struct nibbles nibbles_##name = { __VA_ARGS__ };                                                       \
    static void name##_1(const struct matmul_job *j, size_t r0, size_t r1, size_t t)                                    \
    {                                                                                                                   \
        nibble_rows(j, r0, r1, t, 1, nibbles_##name);                                                                   \
    }                                                                                                                   \
    static void name##_2(const struct matmul_job *j, size_t r0, size_t r1, size_t t)                                    \
    {                                                                                                                   \
        nibble_rows(j, r0, r1, t, 2, nibbles_##name);                                                                   \
    }                                                                                                                   \
    void dot_##name##_avx512(const struct matmul_job *j, size_t r0, size_t r1)                                          \
    {                                                                                                                   \
        const struct matmul_job own = quad_job(j, &nibbles_##name);                                                     \
        dot_rows(&own, r0, r1, name##_1, name##_2);                                                                     \
    }

NIBBLES(q4_0, BLOCKS * Q4_0_BYTES, 2, Q4_0_BYTES, BLOCK, NULL, 8, q4_0_scales)
NIBBLES(iq4_nl, BLOCKS * Q4_0_BYTES, 2, Q4_0_BYTES, BLOCK, iq4_table, 128, q4_0_scales)
NIBBLES(mxfp4, BLOCKS * 17, 1, 17, BLOCK, mxfp4_table, 12, mxfp4_quad_scales)
NIBBLES(iq4_xs, 136, 8, 16, SUPER, iq4_table, 128, NULL)
