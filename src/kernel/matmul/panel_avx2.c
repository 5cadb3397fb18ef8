/* Many tokens (AVX2): two registers of 8 rows by TILE tokens.  Products of codes add up in 16 bits for as long as they fit,
 * which pair order makes 32 columns for codes of 4 bits; the multiply that widens them applies the integer scales of two
 * groups at once. */
#include <stddef.h>

#define CODES pairs
#include "kernel/matmul/panel_x86.h"

enum { TILE = 4, VNNI = 0 };

INLINE __m256i spread32(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

/* acc = fma(da, value, acc). */
INLINE void store(float *acc, float da, __m256 value)
{
    _mm256_storeu_ps(acc, _mm256_fmadd_ps(_mm256_set1_ps(da), value, _mm256_loadu_ps(acc)));
}

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
    UNROLL for (int t = 0; t < nt; t++) {
        UNROLL for (int h = 0; h < EIGHTS; h++) {
            if (family == BLOCK_ADD)
                for (int b = 0; b < BLOCKS; b++)
                    value[t][h] = _mm256_fmadd_ps(w->add[b][h], _mm256_cvtepi32_ps(spread32(a[t]->z.pair + b)), value[t][h]);
            store(c->acc + PANEL_ROWS * t + 8 * h, a[t]->d, value[t][h]);
        }
    }
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
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int h = 0; h < EIGHTS; h++) store(c->acc + PANEL_ROWS * t + 8 * h, a[t]->d, value[t][h]);
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

/* ---- unpacking --------------------------------------------------------------------------------------------------------- */

INLINE void lay_q4_k(struct panel_super *p, const uint8_t *const *rows)
{
    const __m256i low = _mm256_set1_epi8(15);
    for (int h = 0; h < EIGHTS; h++) {
        const uint8_t *const *row = rows + 8 * h;
        __m256i v[8], sc[8], mn[8];
        for (int g = 0; g < 4; g++) {
            load_rows(row, (size_t)(16 + 32 * g), v, false);
            UNROLL for (int k = 0; k < 8; k++) {
                p->code[16 * g + k][h] = _mm256_and_si256(v[k], low);
                p->code[16 * g + 8 + k][h] = _mm256_and_si256(_mm256_srli_epi16(v[k], 4), low);
            }
        }
        for (int i = 0; i < 8; i++) {
            __m128i scales = k_scales(row[i] + 4);
            sc[i] = twice(scales);
            mn[i] = twice(upper_half(scales));
        }
        x86_transpose8(sc);
        x86_transpose8(mn);
        UNROLL for (int i = 0; i < BLOCKS; i++) {
            p->sc[i][h] = sc[i];
            p->mn[i][h] = mn[i];
        }
        p->d[h] = load_scales(row, 0);
        p->dmin[h] = load_scales(row, 2);
    }
}

INLINE void lay_q6_k(struct panel_super *p, const uint8_t *const *rows)
{
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(0x30);
    p->offset = 32;
    for (int h = 0; h < EIGHTS; h++) {
        const uint8_t *const *row = rows + 8 * h;
        __m256i l0[8], l1[8], up[8];
        for (int half = 0; half < 2; half++) {
            load_rows(row, (size_t)(64 * half), l0, false);
            load_rows(row, (size_t)(64 * half + 32), l1, false);
            load_rows(row, (size_t)(128 + 32 * half), up, false);
            UNROLL for (int k = 0; k < 8; k++) {
                __m256i *out = &p->code[32 * half + k][h];
                __m256i a = l0[k], b = l1[k], u = up[k], c[4];
                c[0] = _mm256_or_si256(_mm256_and_si256(a, low), _mm256_and_si256(_mm256_slli_epi16(u, 4), high));
                c[1] = _mm256_or_si256(_mm256_and_si256(b, low), _mm256_and_si256(_mm256_slli_epi16(u, 2), high));
                c[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low), _mm256_and_si256(u, high));
                c[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low),
                                       _mm256_and_si256(_mm256_srli_epi16(u, 2), high));
                UNROLL for (int i = 0; i < 4; i++) out[8 * EIGHTS * i] = c[i];
            }
        }
        for (int i = 0; i < 8; i++) l0[i] = _mm256_cvtepi8_epi16(load128(row[i] + 192));
        x86_transpose8(l0);
        UNROLL for (int i = 0; i < BLOCKS; i++) p->sc[i][h] = l0[i];
        p->d[h] = load_scales(row, 208);
    }
}

INLINE void lay_q8_0(struct panel_block *p, const uint8_t *const *rows)
{
    for (int h = 0; h < EIGHTS; h++) {
        for (int b = 0; b < BLOCKS; b++) {
            __m256i v[8];
            load_rows(rows + 8 * h, (size_t)(Q8_0_BYTES * b + 2), v, false);
            UNROLL for (int k = 0; k < 8; k++) p->code[8 * b + k][h] = v[k];
            p->d[b][h] = load_scales(rows + 8 * h, (size_t)(Q8_0_BYTES * b));
        }
    }
}

/* A byte is one column of each group. */
INLINE void lay_q4_0(struct panel_block *p, const uint8_t *const *rows)
{
    const __m256i low = _mm256_set1_epi8(15);
    p->offset = 8;
    for (int h = 0; h < EIGHTS; h++) {
        const uint8_t *const *row = rows + 8 * h;
        for (int b = 0; b < BLOCKS; b++) {
            __m256i v[8], lo[4], hi[4];
            const size_t at = (size_t)(Q4_0_BYTES * b + 2);
            UNROLL for (int i = 0; i < 4; i++) {
                __m256i q = two_rows(row, i, at);
                lo[i] = _mm256_and_si256(q, low);
                hi[i] = _mm256_and_si256(_mm256_srli_epi16(q, 4), low);
            }
            pair_columns(lo, hi, v);
            UNROLL for (int k = 0; k < 8; k++) p->code[8 * b + k][h] = v[k];
            p->d[b][h] = load_scales(row, (size_t)(Q4_0_BYTES * b));
        }
    }
}

#define FEW(name)
INLINE size_t few_bytes(const struct matmul *m, size_t T)
{
    (void)m;
    (void)T;
    return 0;
}
#define SUFFIX avx2
#include "kernel/matmul/panel_x86.inc"
