/* Many tokens (AVX-VNNI: 256 bits, four products at once added to 32 bits, which saturate nowhere): two registers of 8 rows by
 * TILE tokens, so that the dots of two groups and the sums stay in the 16 registers. */
#define CODES q
#define VNNI 1
#include "kernel/matmul/panel_eights.h"

enum { TILE = 2 };

typedef __m256i sums[TILE][EIGHTS];

INLINE __m256i add_pairs(__m256i sum, __m256i a, __m256i b) { return _mm256_dpwssd_avx_epi32(sum, a, b); }

/* The dots of the 16 columns of group j, of codes less 128 where they are signed. */
INLINE void group(const __m256i (*code)[EIGHTS], const struct act_block *const *a, int nt, int j, bool is_signed, sums dot)
{
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i zero = is_signed ? spread32(&a[t]->zero[j]) : _mm256_setzero_si256();
        UNROLL for (int h = 0; h < EIGHTS; h++) dot[t][h] = zero;
    }
    UNROLL for (int k = 0; k < 4; k++) {
        const __m256i *w = code[4 * j + k];
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i x = spread32(a[t]->q + ACT_GROUP * j + 4 * k);
            UNROLL for (int h = 0; h < EIGHTS; h++) dot[t][h] = _mm256_dpbusd_avx_epi32(dot[t][h], w[h], x);
        }
    }
}

/* sum + even * (low half of f) + odd * (high half).  narrow: both dots fit 16 bits. */
INLINE __m256i add_groups(__m256i sum, __m256i even, __m256i odd, __m256i f, bool narrow)
{
    if (narrow) return add_pairs(sum, _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xaa), f);
    even = _mm256_mullo_epi32(even, _mm256_srai_epi32(_mm256_slli_epi32(f, 16), 16));
    odd = _mm256_mullo_epi32(odd, _mm256_srai_epi32(f, 16));
    return _mm256_add_epi32(sum, _mm256_add_epi32(even, odd));
}

INLINE void tile_super(const struct panel_super *w, const struct tile *c, int nt, enum family family, bool narrow)
{
    const bool is_signed = family == SUPER;
    const struct act_block *a[TILE];
    sums isum;
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        isum[t][0] = isum[t][1] = _mm256_setzero_si256();
    }
    for (int i = 0; i < BLOCKS; i++) {
        sums even, odd;
        ask(c->x);
        group(w->code, a, nt, 2 * i, is_signed, even);
        group(w->code, a, nt, 2 * i + 1, is_signed, odd);
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                __m256i f = _mm256_mullo_epi16(w->sc[i][h], spread32(a[t]->s16 + 2 * i));
                isum[t][h] = add_groups(isum[t][h], even[t][h], odd[t][h], f, narrow);
            }
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i min[EIGHTS] = { _mm256_setzero_si256(), _mm256_setzero_si256() };
        for (int i = 0; family == SUPER_MIN && i < BLOCKS; i++) {
            __m256i z = spread32(a[t]->z.z16 + 2 * i);
            UNROLL for (int h = 0; h < EIGHTS; h++) min[h] = add_pairs(min[h], w->mn[i][h], z);
        }
        UNROLL for (int h = 0; h < EIGHTS; h++) {
            __m256 v = _mm256_mul_ps(w->d[h], _mm256_cvtepi32_ps(isum[t][h]));
            if (family == SUPER_MIN) v = _mm256_fnmadd_ps(w->dmin[h], _mm256_cvtepi32_ps(min[h]), v);
            store(c->acc + PANEL_ROWS * t + 8 * h, a[t]->d, v);
        }
    }
}

INLINE void tile_block(const struct panel_block *w, const struct tile *c, int nt, enum family family, bool is_signed, bool narrow)
{
    const struct act_block *a[TILE];
    __m256 value[TILE][EIGHTS];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        value[t][0] = value[t][1] = _mm256_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        sums even, odd;
        ask(c->x);
        group(w->code, a, nt, 2 * b, is_signed, even);
        group(w->code, a, nt, 2 * b + 1, is_signed, odd);
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i s = spread32(a[t]->s16 + 2 * b);
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                __m256 v = _mm256_cvtepi32_ps(add_groups(_mm256_setzero_si256(), even[t][h], odd[t][h], s, narrow));
                value[t][h] = b ? _mm256_fmadd_ps(w->d[b][h], v, value[t][h]) : _mm256_mul_ps(w->d[b][h], v);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++) store_block(w, c, a[t], t, family, value[t]);
}

/* A scale for each group, whose dots fit 16 bits: the high halves of the factors are 0. */
INLINE void tile_fine(const struct panel_fine *w, const struct tile *c, int nt)
{
    const struct act_block *a[TILE];
    __m256 value[TILE][EIGHTS];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        value[t][0] = value[t][1] = _mm256_setzero_ps();
    }
    for (int j = 0; j < ACT_GROUPS; j++) {
        sums dot;
        if (j % 2 == 0) ask(c->x);
        group(w->code, a, nt, j, true, dot);
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                __m256 v = _mm256_cvtepi32_ps(_mm256_madd_epi16(dot[t][h], spread32(a[t]->s + j)));
                value[t][h] = j ? _mm256_fmadd_ps(w->d[j][h], v, value[t][h]) : _mm256_mul_ps(w->d[j][h], v);
            }
    }
    UNROLL for (int t = 0; t < nt; t++) store_eights(c, a[t], t, value[t]);
}

/* Codes of at most 16, 15 without a sign: a group's dot fits 16 bits. */
MULTIPLY(multiply_SUPER_15, panel_super, tile_super(p, &c, nt, SUPER, true))
MULTIPLY(multiply_SUPER_127, panel_super, tile_super(p, &c, nt, SUPER, false))
MULTIPLY(multiply_SUPER_MIN_15, panel_super, tile_super(p, &c, nt, SUPER_MIN, true))
MULTIPLY(multiply_SUPER_MIN_31, panel_super, tile_super(p, &c, nt, SUPER_MIN, false))
MULTIPLY(multiply_BLOCK_15, panel_block, tile_block(p, &c, nt, BLOCK, true, true))
MULTIPLY(multiply_BLOCK_127, panel_block, tile_block(p, &c, nt, BLOCK, true, false))
MULTIPLY(multiply_BLOCK_ADD_15, panel_block, tile_block(p, &c, nt, BLOCK_ADD, false, true))
MULTIPLY(multiply_BLOCK_ADD_31, panel_block, tile_block(p, &c, nt, BLOCK_ADD, false, false))
MULTIPLY(multiply_BLOCK_ADD_127, panel_block, tile_block(p, &c, nt, BLOCK_ADD, true, false))
MULTIPLY(multiply_FINE_31, panel_fine, tile_fine(p, &c, nt))
#define multiply_BLOCK_ADD_63 multiply_BLOCK_ADD_31
#define multiply_SUPER_31 multiply_SUPER_15
#define multiply_SUPER_63 multiply_SUPER_127
#define multiply_BLOCK_31 multiply_BLOCK_15

/* One or two tokens: as with AVX2, whose kernels wait for memory. */
#define DOT_SUFFIX avx2
#define SUFFIX avxvnni
#include "kernel/matmul/panel_x86.inc"
