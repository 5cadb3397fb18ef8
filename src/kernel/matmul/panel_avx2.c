/* Many tokens (AVX2): two registers of 8 rows by TILE tokens.  Products of codes add up in 16 bits for as long as they fit,
 * which pair order makes 32 columns for codes of 4 bits; the multiply that widens them applies the integer scales of two
 * groups at once. */
#define CODES pairs
#define VNNI 0
#include "kernel/matmul/panel_eights.h"

enum { TILE = 4 };

/* How many products of unsigned codes up to top and activations fit into 16 bits: 2 * top * 127 each. */
#define DEPTH(top) ((top) == 15 ? 8 : (top) == 31 ? 4 : 2)

/* sum[t][h] += 32 columns (block b) of 8 rows, group sums times coefficients c[t][h] of 16 bits. */
INLINE void columns32(const __m256i (*code)[EIGHTS], const struct act_block *const *a, int nt, int b, int top,
                      __m256i (*c)[EIGHTS], __m256i (*sum)[EIGHTS])
{
    if (top == 127) {               /* absolute codes times activations with their signs; a pair fits 16 bits */
        UNROLL for (int k = 0; k < 8; k++) {
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                __m256i w = code[8 * b + k][h], size = _mm256_abs_epi8(w);
                UNROLL for (int t = 0; t < nt; t++) {
                    __m256i x = _mm256_sign_epi8(spread32(a[t]->pairs + 32 * b + 4 * k), w);
                    sum[t][h] = _mm256_add_epi32(sum[t][h], _mm256_madd_epi16(_mm256_maddubs_epi16(size, x), c[t][h]));
                    KEEP(sum[t][h]);
                }
            }
        }
        return;
    }
    __m256i p[TILE][EIGHTS];
    UNROLL for (int k = 0; k < 8; k++) {
        __m256i w0 = code[8 * b + k][0], w1 = code[8 * b + k][1];
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i x = spread32(a[t]->pairs + 32 * b + 4 * k);
            __m256i u = _mm256_maddubs_epi16(w0, x), v = _mm256_maddubs_epi16(w1, x);
            p[t][0] = k % DEPTH(top) ? _mm256_add_epi16(p[t][0], u) : u;
            p[t][1] = k % DEPTH(top) ? _mm256_add_epi16(p[t][1], v) : v;
            KEEP(p[t][0]);
            KEEP(p[t][1]);
        }
        if ((k + 1) % DEPTH(top)) continue;
        UNROLL for (int t = 0; t < nt; t++) {
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                sum[t][h] = _mm256_add_epi32(sum[t][h], _mm256_madd_epi16(p[t][h], c[t][h]));
                KEEP(sum[t][h]);
            }
        }
    }
}

/* Pairs of 16-bit numbers of the rows times the group sums. */
INLINE __m256i times_sums(const __m256i (*n)[EIGHTS], int h, const struct act_block *a)
{
    __m256i sum = _mm256_setzero_si256();
    UNROLL for (int i = 0; i < BLOCKS; i++)
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(n[i][h], spread32(a->z.z16 + 2 * i)));
    return sum;
}

INLINE void tile_super(const struct panel_super *w, const struct tile *c, int nt, enum family family, int top)
{
    const struct act_block *a[TILE];
    __m256i isum[TILE][EIGHTS];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        isum[t][0] = isum[t][1] = _mm256_setzero_si256();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m256i f[TILE][EIGHTS];
        ask(c->x);
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int h = 0; h < EIGHTS; h++) f[t][h] = _mm256_mullo_epi16(w->sc[b][h], spread32(a[t]->s16 + 2 * b));
        columns32(w->code, a, nt, b, top, f, isum);
    }
    UNROLL for (int t = 0; t < nt; t++) {
        UNROLL for (int h = 0; h < EIGHTS; h++) {
            __m256i sum = isum[t][h];
            if (family == SUPER && top != 127)
                sum = _mm256_sub_epi32(sum, _mm256_mullo_epi32(_mm256_set1_epi32(w->offset), times_sums(w->sc, h, a[t])));
            __m256 v = _mm256_mul_ps(w->d[h], _mm256_cvtepi32_ps(sum));
            if (family == SUPER_MIN) v = _mm256_fnmadd_ps(w->dmin[h], _mm256_cvtepi32_ps(times_sums(w->mn, h, a[t])), v);
            store(c->acc + PANEL_ROWS * t + 8 * h, a[t]->d, v);
        }
    }
}

INLINE void tile_block(const struct panel_block *w, const struct tile *c, int nt, enum family family, int top)
{
    const struct act_block *a[TILE];
    __m256 value[TILE][EIGHTS];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        value[t][0] = value[t][1] = _mm256_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m256i f[TILE][EIGHTS], k[TILE][EIGHTS];
        ask(c->x);
        UNROLL for (int t = 0; t < nt; t++) {
            f[t][0] = _mm256_setzero_si256();
            if (family == BLOCK && top != 127)
                f[t][0] = _mm256_mullo_epi32(_mm256_set1_epi32(-w->offset), spread32(a[t]->z.pair + b));
            f[t][1] = f[t][0];
            k[t][0] = k[t][1] = spread32(a[t]->s16 + 2 * b);
        }
        columns32(w->code, a, nt, b, top, k, f);
        UNROLL for (int t = 0; t < nt; t++) {
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                __m256 v = _mm256_cvtepi32_ps(f[t][h]);
                value[t][h] = b ? _mm256_fmadd_ps(w->d[b][h], v, value[t][h]) : _mm256_mul_ps(w->d[b][h], v);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++) store_block(w, c, a[t], t, family, value[t]);
}

/* sum[parity of the group][t][h] += 32 columns (block b), codes of at most 31, group sums times s. */
INLINE void fine32(const __m256i (*code)[EIGHTS], const struct act_block *const *a, int nt, int b,
                   __m256i (*sum)[TILE][EIGHTS])
{
    const __m256i even = _mm256_set1_epi32(0xffff);
    __m256i p[TILE][EIGHTS];
    UNROLL for (int k = 0; k < 8; k++) {
        UNROLL for (int h = 0; h < EIGHTS; h++) {
            __m256i w = code[8 * b + k][h];
            UNROLL for (int t = 0; t < nt; t++) {
                __m256i u = _mm256_maddubs_epi16(w, spread32(a[t]->pairs + 32 * b + 4 * k));
                p[t][h] = k % DEPTH(31) ? _mm256_add_epi16(p[t][h], u) : u;
                KEEP(p[t][h]);
            }
        }
        if ((k + 1) % DEPTH(31)) continue;
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i s = spread32(a[t]->s16 + 2 * b), s_even = _mm256_and_si256(s, even), s_odd = _mm256_andnot_si256(even, s);
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                sum[0][t][h] = _mm256_add_epi32(sum[0][t][h], _mm256_madd_epi16(p[t][h], s_even));
                sum[1][t][h] = _mm256_add_epi32(sum[1][t][h], _mm256_madd_epi16(p[t][h], s_odd));
            }
        }
    }
}

INLINE void tile_fine(const struct panel_fine *w, const struct tile *c, int nt)
{
    const struct act_block *a[TILE];
    __m256 value[TILE][EIGHTS];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        value[t][0] = value[t][1] = _mm256_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m256i f[2][TILE][EIGHTS];
        ask(c->x);
        UNROLL for (int i = 0; i < 2; i++)
            UNROLL for (int t = 0; t < nt; t++)
                f[i][t][0] = f[i][t][1] = _mm256_set1_epi32(w->offset * a[t]->s[2 * b + i] * (a[t]->zero[2 * b + i] >> 7));
        fine32(w->code, a, nt, b, f);
        UNROLL for (int t = 0; t < nt; t++) {
            UNROLL for (int h = 0; h < EIGHTS; h++) {
                __m256 v = _mm256_cvtepi32_ps(f[0][t][h]), d = w->d[2 * b][h];
                value[t][h] = b ? _mm256_fmadd_ps(d, v, value[t][h]) : _mm256_mul_ps(d, v);
                value[t][h] = _mm256_fmadd_ps(w->d[2 * b + 1][h], _mm256_cvtepi32_ps(f[1][t][h]), value[t][h]);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++) store_eights(c, a[t], t, value[t]);
}

#define SUPERS(family, top) MULTIPLY(multiply_##family##_##top, panel_super, tile_super(p, &c, nt, family, top))
#define BLOCKED(family, top) MULTIPLY(multiply_##family##_##top, panel_block, tile_block(p, &c, nt, family, top))
SUPERS(SUPER, 15)
SUPERS(SUPER, 31)
SUPERS(SUPER, 63)
SUPERS(SUPER, 127)
SUPERS(SUPER_MIN, 15)
SUPERS(SUPER_MIN, 31)
BLOCKED(BLOCK, 15)
BLOCKED(BLOCK, 31)
BLOCKED(BLOCK, 127)
BLOCKED(BLOCK_ADD, 15)
BLOCKED(BLOCK_ADD, 31)
BLOCKED(BLOCK_ADD, 63)
BLOCKED(BLOCK_ADD, 127)
MULTIPLY(multiply_FINE_31, panel_fine, tile_fine(p, &c, nt))

#define SUFFIX avx2
#include "kernel/matmul/panel_x86.inc"
