/* Float weights in integers (AVX-512 VNNI).  Few tokens: a group of 32 columns is one register.  Many: 16 rows are one register
 * of pairs of columns, eight tokens a tile. */
#define PANEL_FROM 3
#include "kernel/matmul/dot_x86.h"
#include "kernel/matmul/wide.h"
#include "kernel/simd/transpose_avx512.h"

enum { TILE = 8, PAIRS = WIDE_GROUP / 2 };

struct panel_wide {
    __m512i pair[WIDE_GROUPS][PAIRS];
    __m512 d[WIDE_GROUPS];
};

INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }

INLINE __m512i spread(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

/* ---- weights as codes ----------------------------------------------------------------------------------------------- */

typedef __m512i op_fn(__m512i a, __m512i b);
INLINE __m512i most(__m512i a, __m512i b) { return _mm512_max_epu16(a, b); }
INLINE __m512i plus(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }

/* Parts of two registers under op with their neighbours: a's in the places that `from_b` leaves out, b's in the others.  Blends
 * run on every port, shuffles on few. */
#define FOLD(op, a, b, from_b, swap) \
    op(_mm512_mask_blend_epi64(from_b, a, b), swap(_mm512_mask_blend_epi64(from_b, b, a)))
#define SWAP_HALVES(v) _mm512_shuffle_i64x2(v, v, 0x4e)
#define SWAP_LANES(v) _mm512_shuffle_i64x2(v, v, 0xb1)
#define SWAP_WORDS(v) _mm512_shuffle_epi32(v, 0x4e)

/* One number for each of eight registers: theirs, 32 bits of the result. */
INLINE __m256i fold8(op_fn *op, const __m512i *v)
{
    const __m512i even = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    __m512i h[4], x, y;
    UNROLL for (int i = 0; i < 4; i++) h[i] = FOLD(op, v[i], v[i + 4], 0xf0, SWAP_HALVES);
    x = FOLD(op, h[0], h[2], 0xcc, SWAP_LANES);
    y = FOLD(op, h[1], h[3], 0xcc, SWAP_LANES);
    x = FOLD(op, x, y, 0xaa, SWAP_WORDS);
    return _mm512_castsi512_si256(_mm512_permutexvar_epi32(even, op(x, _mm512_shuffle_epi32(x, 0xb1))));
}

/* Numbers that are to be read from memory one by one: taking them from a register costs shuffles. */
#define IN_MEMORY(p) __asm__("" : "+m"(*(float (*)[WIDE_GROUPS])(p)))

/* Adding 1.5 * 2^23 rounds to a whole number, whose lower 16 bits are those of the sum. */
INLINE __m512i round_codes(__m512 v, float by)
{
    return _mm512_castps_si512(_mm512_fmadd_ps(v, _mm512_set1_ps(by), _mm512_set1_ps(0x1.8p23f)));
}

/* The scales of 256 weights, and by: their inverses; both are 0 for a bad group. */
INLINE __m256 wide_scales(const uint8_t *w, enum dtype type, float *by)
{
    const int least = type == DT_F16 ? -14 : WIDE_LEAST, bias = type == DT_F16 ? 15 : 127;
    const int top = type == DT_F16 ? 15 : WIDE_MOST;
    __m512i size[WIDE_GROUPS];
    UNROLL for (int g = 0; g < WIDE_GROUPS; g++)
        size[g] = _mm512_and_si512(load512(w + 64 * g), _mm512_set1_epi16(0x7fff));
    __m256i e = fold8(most, size);
    e = _mm256_max_epu16(e, _mm256_slli_epi32(e, 16));
    e = _mm256_sub_epi32(_mm256_srli_epi32(e, type == DT_F16 ? 26 : 23), _mm256_set1_epi32(bias));
    __m256i good = _mm256_cmpgt_epi32(_mm256_set1_epi32(top + 1), e);
    e = _mm256_max_epi32(e, _mm256_set1_epi32(least));
    __m256i up = _mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(127 + WIDE_BITS), e), 23);
    _mm256_storeu_ps(by, _mm256_castsi256_ps(_mm256_and_si256(up, good)));
    IN_MEMORY(by);
    __m256i d = _mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127 - WIDE_BITS)), 23);
    return _mm256_castsi256_ps(_mm256_and_si256(d, good));
}

/* Their codes in order; those of a bad group are anything. */
INLINE void wide_codes(const uint8_t *w, enum dtype type, const float *by, __m512i *code)
{
    UNROLL for (int g = 0; g < WIDE_GROUPS; g++) {
        const uint8_t *p = w + 64 * g;
        if (type == DT_F16) {
            const __m512i lower = _mm512_setr_epi32(0x00020000, 0x00060004, 0x000a0008, 0x000e000c, 0x00120010, 0x00160014,
                0x001a0018, 0x001e001c, 0x00220020, 0x00260024, 0x002a0028, 0x002e002c, 0x00320030, 0x00360034, 0x003a0038,
                0x003e003c);
            __m512i lo = round_codes(_mm512_cvtph_ps(load256(p)), by[g]);
            __m512i hi = round_codes(_mm512_cvtph_ps(load256(p + 32)), by[g]);
            code[g] = _mm512_permutex2var_epi16(lo, lower, hi);
        } else {
            __m512i v = load512(p);
            __m512i even = round_codes(_mm512_castsi512_ps(_mm512_slli_epi32(v, 16)), by[g]);
            __m512i odd = round_codes(_mm512_castsi512_ps(_mm512_and_si512(v, _mm512_set1_epi32(-65536))), by[g]);
            code[g] = _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16));
        }
    }
}

/* ---- few tokens --------------------------------------------------------------------------------------------------------- */

INLINE void wide_unit(const uint8_t *w, enum dtype type, const float *by, const struct act_wide *const *a, int nt, __m256 *f)
{
    __m512i code[WIDE_GROUPS];
    wide_codes(w, type, by, code);
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i p[WIDE_GROUPS];
        UNROLL for (int g = 0; g < WIDE_GROUPS; g++) p[g] = _mm512_madd_epi16(code[g], load512(a[t]->q + WIDE_GROUP * g));
        f[t] = _mm256_cvtepi32_ps(fold8(plus, p));
    }
}

#include "kernel/matmul/wide_dot.inc"

/* ---- many tokens ---------------------------------------------------------------------------------------------------------- */

/* factor: of the scales, or NULL. */
INLINE void fill(struct panel_wide *p, const uint8_t *const *rows, enum dtype type, float (*factor)[WIDE_GROUPS])
{
    __m512i code[PANEL_ROWS][WIDE_GROUPS];
    float d[PANEL_ROWS][WIDE_GROUPS], by[PANEL_ROWS][WIDE_GROUPS];
    for (int r = 0; r < PANEL_ROWS; r++) _mm256_storeu_ps(d[r], wide_scales(rows[r], type, by[r]));
    for (int r = 0; r < PANEL_ROWS; r++) wide_codes(rows[r], type, by[r], code[r]);
    for (int r = 0; factor && r < PANEL_ROWS; r++)
        _mm256_storeu_ps(d[r], _mm256_mul_ps(_mm256_loadu_ps(d[r]), _mm256_loadu_ps(factor[r])));
    for (int g = 0; g < WIDE_GROUPS; g++) {
        __m512i v[PANEL_ROWS];
        float each[PANEL_ROWS];
        UNROLL for (int r = 0; r < PANEL_ROWS; r++) {
            v[r] = by[r][g] > 0 ? code[r][g] : _mm512_setzero_si512();
            each[r] = by[r][g] > 0 ? d[r][g] : 1;          /* finite when an exponent is added */
        }
        avx512_transpose16(v);              /* v[row] of 16 numbers becomes v[number] of 16 rows */
        UNROLL for (int k = 0; k < PAIRS; k++) p->pair[g][k] = v[k];
        p->d[g] = _mm512_loadu_ps(each);
    }
}

INLINE void tile(const struct panel_wide *w, const struct tile *c, int nt)
{
    const struct act_wide *a[TILE];
    __m512 value[TILE];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = (const struct act_wide *)(const void *)c->a[t] + c->s;
        value[t] = _mm512_setzero_ps();
    }
    for (int g = 0; g < WIDE_GROUPS; g++) {
        __m512i sum[TILE];
        ask(c->x);
        UNROLL for (int t = 0; t < nt; t++) sum[t] = _mm512_setzero_si512();
        UNROLL for (int k = 0; k < PAIRS; k++) {
            __m512i v = w->pair[g][k];
            UNROLL for (int t = 0; t < nt; t++) sum[t] = _mm512_dpwssd_epi32(sum[t], v, spread(a[t]->q + WIDE_GROUP * g + 2 * k));
        }
        UNROLL for (int t = 0; t < nt; t++) {
            __m512 f = _mm512_cvtepi32_ps(sum[t]);
            __m512 d = _mm512_castsi512_ps(_mm512_add_epi32(_mm512_castps_si512(w->d[g]), spread(&a[t]->e[g])));
            value[t] = _mm512_fmadd_ps(d, f, value[t]);         /* the first: to 0, which is exact */
        }
    }
    UNROLL for (int t = 0; t < nt; t++) {
        float *acc = c->acc + PANEL_ROWS * t;
        _mm512_storeu_ps(acc, _mm512_add_ps(_mm512_loadu_ps(acc), value[t]));
    }
}

#define SUFFIX avx512
#include "kernel/matmul/wide_panel.inc"
