/* Many tokens (AVX-512 VNNI): 16 rows are one register, eight tokens a tile; activations are broadcast on load.
 * One kernel for super-blocks, one for a float scale per 32. */
#define CODES q
#include "kernel/matmul/panel_x86.h"

enum { TILE = 8, VNNI = 1 };

INLINE __m512i load512(const void *p) { return _mm512_load_si512(p); }

INLINE __m512i spread(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE void store(float *acc, float da, __m512 value)
{
    _mm512_storeu_ps(acc, _mm512_fmadd_ps(_mm512_set1_ps(da), value, _mm512_loadu_ps(acc)));
}

/* dot[t] += 16 columns of 16 rows. */
INLINE void group(const __m256i (*code)[HALVES], const struct act_block *const *a, int nt, int j, __m512i *dot)
{
    UNROLL for (int k = 0; k < 4; k++) {
        __m512i w = load512(code[4 * j + k]);
        UNROLL for (int t = 0; t < nt; t++) dot[t] = _mm512_dpbusd_epi32(dot[t], w, spread(a[t]->q + ACT_GROUP * j + 4 * k));
    }
}

/* The signed or, in families with minimums, unsigned dots of groups 2i and 2i + 1. */
INLINE void two_groups(const __m256i (*code)[HALVES], const struct act_block *const *a, int nt, int i, bool is_signed,
                       __m512i *even, __m512i *odd)
{
    UNROLL for (int t = 0; t < nt; t++) {
        even[t] = is_signed ? spread(&a[t]->zero[2 * i]) : _mm512_setzero_si512();
        odd[t] = is_signed ? spread(&a[t]->zero[2 * i + 1]) : _mm512_setzero_si512();
    }
    group(code, a, nt, 2 * i, even);
    group(code, a, nt, 2 * i + 1, odd);
}

/* sum += even * (low half of f) + odd * (high half).  narrow: both dots fit 16 bits, so that one instruction does it; only
 * multiplications count here, shifts and blends run beside them. */
INLINE __m512i add_pair(__m512i sum, __m512i even, __m512i odd, __m512i f, bool narrow)
{
    if (narrow) return _mm512_dpwssd_epi32(sum, _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16)), f);
    even = _mm512_mullo_epi32(even, _mm512_srai_epi32(_mm512_slli_epi32(f, 16), 16));
    odd = _mm512_mullo_epi32(odd, _mm512_srai_epi32(f, 16));
    return _mm512_add_epi32(sum, _mm512_add_epi32(even, odd));
}

INLINE void tile_super(const struct panel_super *w, const struct tile *c, int nt, enum family family, bool narrow)
{
    const struct act_block *a[TILE];
    __m512i isum[TILE];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        isum[t] = _mm512_setzero_si512();
    }
    for (int i = 0; i < BLOCKS; i++) {
        __m512i even[TILE], odd[TILE], sc = load512(w->sc[i]);
        ask(c->x);
        two_groups(w->code, a, nt, i, family == SUPER, even, odd);
        UNROLL for (int t = 0; t < nt; t++)
            isum[t] = add_pair(isum[t], even[t], odd[t], _mm512_mullo_epi16(sc, spread(a[t]->s16 + 2 * i)), narrow);
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m512 v = _mm512_mul_ps(_mm512_load_ps(w->d), _mm512_cvtepi32_ps(isum[t]));
        if (family == SUPER_MIN) {
            __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
            UNROLL for (int i = 0; i < BLOCKS; i += 2) {
                even = _mm512_dpwssd_epi32(even, load512(w->mn[i]), spread(a[t]->z.z16 + 2 * i));
                odd = _mm512_dpwssd_epi32(odd, load512(w->mn[i + 1]), spread(a[t]->z.z16 + 2 * i + 2));
            }
            v = _mm512_fnmadd_ps(_mm512_load_ps(w->dmin), _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd)), v);
        }
        store(c->acc + PANEL_ROWS * t, a[t]->d, v);
    }
}

INLINE void tile_block(const struct panel_block *w, const struct tile *c, int nt, enum family family, bool narrow)
{
    const struct act_block *a[TILE];
    __m512 value[TILE];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        value[t] = _mm512_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m512i even[TILE], odd[TILE];
        __m512 d = _mm512_load_ps(w->d[b]);
        ask(c->x);
        two_groups(w->code, a, nt, b, family == BLOCK, even, odd);
        UNROLL for (int t = 0; t < nt; t++) {
            __m512 v = _mm512_cvtepi32_ps(add_pair(_mm512_setzero_si512(), even[t], odd[t], spread(a[t]->s16 + 2 * b), narrow));
            value[t] = b ? _mm512_fmadd_ps(d, v, value[t]) : _mm512_mul_ps(d, v);
        }
    }
    UNROLL for (int t = 0; t < nt; t++) {
        for (int b = 0; family == BLOCK_ADD && b < BLOCKS; b++)
            value[t] = _mm512_fmadd_ps(_mm512_load_ps(w->add[b]), _mm512_cvtepi32_ps(spread(a[t]->z.pair + b)), value[t]);
        store(c->acc + PANEL_ROWS * t, a[t]->d, value[t]);
    }
}

/* Codes of at most 16 (15 without a sign): a group's dot fits 16 bits. */
MULTIPLY(multiply_SUPER_15, panel_super, tile_super(p, &c, nt, SUPER, true))
MULTIPLY(multiply_SUPER_127, panel_super, tile_super(p, &c, nt, SUPER, false))
MULTIPLY(multiply_SUPER_MIN_15, panel_super, tile_super(p, &c, nt, SUPER_MIN, true))
MULTIPLY(multiply_SUPER_MIN_31, panel_super, tile_super(p, &c, nt, SUPER_MIN, false))
MULTIPLY(multiply_BLOCK_15, panel_block, tile_block(p, &c, nt, BLOCK, true))
MULTIPLY(multiply_BLOCK_127, panel_block, tile_block(p, &c, nt, BLOCK, false))
MULTIPLY(multiply_BLOCK_ADD_15, panel_block, tile_block(p, &c, nt, BLOCK_ADD, true))
MULTIPLY(multiply_BLOCK_ADD_31, panel_block, tile_block(p, &c, nt, BLOCK_ADD, false))
#define multiply_SUPER_31 multiply_SUPER_15
#define multiply_SUPER_63 multiply_SUPER_127
#define multiply_BLOCK_31 multiply_BLOCK_15

#define SUFFIX avx512
#include "kernel/matmul/panel_x86.inc"
