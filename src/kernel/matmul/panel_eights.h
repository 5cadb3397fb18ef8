/* panel_eights.h - panels unpacked and stored eight rows at a time, for instruction sets of 256 bits; private to kernel/matmul.
 * The including file has defined CODES, and VNNI as in panel_x86.h: 0 or 1. */
#ifndef HEARTH_KERNEL_MATMUL_PANEL_EIGHTS_H
#define HEARTH_KERNEL_MATMUL_PANEL_EIGHTS_H

#include <stddef.h>

#include "kernel/matmul/panel_x86.h"

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

/* The ends of a tile: the sums of token t, after what each block adds. */
INLINE void store_eights(const struct tile *c, const struct act_block *a, int t, const __m256 *value)
{
    UNROLL for (int h = 0; h < EIGHTS; h++) store(c->acc + PANEL_ROWS * t + 8 * h, a->d, value[h]);
}

INLINE void store_block(const struct panel_block *w, const struct tile *c, const struct act_block *a, int t,
                        enum family family, __m256 *value)
{
    UNROLL for (int h = 0; h < EIGHTS; h++)
        for (int b = 0; family == BLOCK_ADD && b < BLOCKS; b++)
            value[h] = _mm256_fmadd_ps(w->add[b][h], _mm256_cvtepi32_ps(spread32(a->z.pair + b)), value[h]);
    store_eights(c, a, t, value);
}

/* ---- unpacking --------------------------------------------------------------------------------------------------------- */

INLINE void lay_q4_k(struct panel_super *p, const uint8_t *const *rows)
{
    const __m256i low = _mm256_set1_epi8(15);
    for (int h = 0; h < EIGHTS; h++) {
        const uint8_t *const *row = rows + 8 * h;
        __m256i v[8], sc[8], mn[8];
        for (int g = 0; g < 4; g++) {
            load_rows(row, (size_t)(16 + 32 * g), v, VNNI);
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
    const __m256i flip = _mm256_set1_epi8(VNNI ? 96 : 0);          /* - 32, and the sign bit flipped */
    p->offset = 32;
    for (int h = 0; h < EIGHTS; h++) {
        const uint8_t *const *row = rows + 8 * h;
        __m256i l0[8], l1[8], up[8];
        for (int half = 0; half < 2; half++) {
            load_rows(row, (size_t)(64 * half), l0, VNNI);
            load_rows(row, (size_t)(64 * half + 32), l1, VNNI);
            load_rows(row, (size_t)(128 + 32 * half), up, VNNI);
            UNROLL for (int k = 0; k < 8; k++) {
                __m256i *out = &p->code[32 * half + k][h];
                __m256i a = l0[k], b = l1[k], u = up[k], c[4];
                c[0] = _mm256_or_si256(_mm256_and_si256(a, low), _mm256_and_si256(_mm256_slli_epi16(u, 4), high));
                c[1] = _mm256_or_si256(_mm256_and_si256(b, low), _mm256_and_si256(_mm256_slli_epi16(u, 2), high));
                c[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low), _mm256_and_si256(u, high));
                c[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low),
                                       _mm256_and_si256(_mm256_srli_epi16(u, 2), high));
                UNROLL for (int i = 0; i < 4; i++) out[8 * EIGHTS * i] = _mm256_add_epi8(c[i], flip);
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
    const __m256i flip = _mm256_set1_epi8(VNNI ? -128 : 0);
    for (int h = 0; h < EIGHTS; h++) {
        for (int b = 0; b < BLOCKS; b++) {
            __m256i v[8];
            load_rows(rows + 8 * h, (size_t)(Q8_0_BYTES * b + 2), v, VNNI);
            UNROLL for (int k = 0; k < 8; k++) p->code[8 * b + k][h] = _mm256_xor_si256(v[k], flip);
            p->d[b][h] = load_scales(rows + 8 * h, (size_t)(Q8_0_BYTES * b));
        }
    }
}

/* A byte is one column of each group. */
INLINE void lay_q4_0(struct panel_block *p, const uint8_t *const *rows)
{
    const __m256i low = _mm256_set1_epi8(15), flip = _mm256_set1_epi8(VNNI ? 120 : 0);     /* - 8, and the sign bit flipped */
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
            if (VNNI) {
                x86_transpose4(lo, v);
                x86_transpose4(hi, v + 4);
            } else {
                pair_columns(lo, hi, v);
            }
            UNROLL for (int k = 0; k < 8; k++) p->code[8 * b + k][h] = _mm256_add_epi8(v[k], flip);
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

#endif
