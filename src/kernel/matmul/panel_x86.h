/* panel_x86.h - panels of PANEL_ROWS rows for x86; private to kernel/matmul.
 *
 * They are bytes [columns / 4][rows][4].  For VNNI (the macro is 1) the columns are in order and codes are unsigned: signed
 * ones by flipping the sign bit, a zero point of 128.  For AVX2 (it is 0) the columns are in pair order (act.h) and codes
 * unsigned by their type's offset, or signed where they need all 8 bits.  The including file has defined CODES, the order it
 * reads. */
#ifndef HEARTH_KERNEL_MATMUL_PANEL_X86_H
#define HEARTH_KERNEL_MATMUL_PANEL_X86_H

#include <immintrin.h>
#include <stdbool.h>

#include "kernel/matmul/dot.h"
#include "kernel/matmul/rows.h"
#include "kernel/matmul/x86.h"

enum { EIGHTS = PANEL_ROWS / 8, QUADS = ACT_COLS / 4 };

/* sc, mn: pairs of 16 bits for groups 2i and 2i + 1. */
struct panel_super {
    _Alignas(64) __m256i code[QUADS][EIGHTS];
    __m256i sc[BLOCKS][EIGHTS];
    __m256i mn[BLOCKS][EIGHTS];
    __m256 d[EIGHTS], dmin[EIGHTS];
    int32_t offset;
};
struct panel_block {
    _Alignas(64) __m256i code[QUADS][EIGHTS];
    __m256 d[BLOCKS][EIGHTS];
    __m256 add[BLOCKS][EIGHTS];
    int32_t offset;
};

/* A scale per 16 columns. */
struct panel_fine {
    _Alignas(64) __m256i code[QUADS][EIGHTS];
    __m256 d[ACT_GROUPS][EIGHTS];
    int32_t offset;
};

/* The same 16 bytes of rows i and i + 4. */
INLINE __m256i two_rows(const uint8_t *const *row, int i, size_t at)
{
    return _mm256_inserti128_si256(_mm256_castsi128_si256(load128(row[i] + at)), load128(row[i + 4] + at), 1);
}

/* Pair order of 8 rows: lo[i], hi[i] are columns 0..15 and 16..31 of rows i and i + 4; v[k] is four columns of each row. */
INLINE void pair_columns(const __m256i *lo, const __m256i *hi, __m256i *v)
{
    UNROLL for (int j = 0; j < 2; j++, v += 4) {
        __m256i w[4];
        UNROLL for (int i = 0; i < 4; i++) w[i] = j ? _mm256_unpackhi_epi16(lo[i], hi[i]) : _mm256_unpacklo_epi16(lo[i], hi[i]);
        x86_transpose4(w, v);
    }
}

/* 32 bytes of 8 rows, v[k] four of each row. */
INLINE void load_rows(const uint8_t *const *row, size_t at, __m256i *v, bool vnni)
{
    if (vnni) {
        UNROLL for (int i = 0; i < 8; i++) v[i] = load256(row[i] + at);
        x86_transpose8(v);
    } else {
        __m256i lo[4], hi[4];
        UNROLL for (int i = 0; i < 4; i++) {
            lo[i] = two_rows(row, i, at);
            hi[i] = two_rows(row, i, at + 16);
        }
        pair_columns(lo, hi, v);
    }
}

/* The f16 at one place of 8 rows. */
INLINE __m256 load_scales(const uint8_t *const *row, size_t at)
{
    uint16_t h[8];
    for (int i = 0; i < 8; i++) h[i] = load16(row[i] + at);
    return _mm256_cvtph_ps(load128(h));
}

/* ---- types made from codes.h --------------------------------------------------------------------------------------- */

/* 8 rows; add: what makes codes unsigned. */
INLINE void put_codes(__m256i (*code)[EIGHTS], int h, const struct weight_codes *w, __m256i add, bool vnni)
{
    const uint8_t *row[8];
    UNROLL for (int i = 0; i < 8; i++) row[i] = (const uint8_t *)w[i].code;
    for (int b = 0; b < BLOCKS; b++) {
        __m256i v[8];
        load_rows(row, (size_t)(32 * b), v, vnni);
        UNROLL for (int k = 0; k < 8; k++) code[8 * b + k][h] = _mm256_add_epi8(v[k], add);
    }
}

INLINE void x86_unpack_super(struct panel_super *p, const uint8_t *const *rows, codes_fn *codes, enum family family,
                             int offset, bool vnni)
{
    const __m256i add = _mm256_set1_epi8((char)(!vnni ? offset : family == SUPER ? -128 : 0));
    p->offset = offset;
    for (int h = 0; h < EIGHTS; h++) {
        struct weight_codes w[8];
        __m256i v[8];
        float d[8], dmin[8];
        for (int i = 0; i < 8; i++) {
            codes(rows[8 * h + i], &w[i]);
            d[i] = w[i].d;
            if (family == SUPER_MIN) dmin[i] = w[i].dmin;
        }
        put_codes(p->code, h, w, add, vnni);
        UNROLL for (int i = 0; i < 8; i++) v[i] = load256(w[i].sc);
        x86_transpose8(v);
        UNROLL for (int i = 0; i < BLOCKS; i++) p->sc[i][h] = v[i];
        p->d[h] = _mm256_loadu_ps(d);
        if (family != SUPER_MIN) continue;
        UNROLL for (int i = 0; i < 8; i++) v[i] = load256(w[i].mn);
        x86_transpose8(v);
        UNROLL for (int i = 0; i < BLOCKS; i++) p->mn[i][h] = v[i];
        p->dmin[h] = _mm256_loadu_ps(dmin);
    }
}

/* How the codes of a type are made unsigned: what is added. */
struct unpacking { enum family family; int top, offset; bool vnni; };

INLINE __m256i unpack_add(struct unpacking u)
{
    const bool is_signed = u.family != BLOCK_ADD || u.top == 127;
    return _mm256_set1_epi8((char)(!u.vnni ? u.offset : is_signed ? -128 : 0));
}

/* Eight numbers of 8 rows, from `first`, which is one of the first row. */
INLINE void put_numbers(__m256 (*to)[EIGHTS], int h, const float *first)
{
    const size_t step = sizeof(struct weight_codes) / sizeof *first;
    __m256i v[8];
    UNROLL for (size_t i = 0; i < 8; i++) v[i] = load256(first + i * step);
    x86_transpose8(v);
    UNROLL for (int i = 0; i < 8; i++) to[i][h] = _mm256_castsi256_ps(v[i]);
}

/* Rows 8h .. 8h + 7. */
INLINE void put_block(struct panel_block *p, int h, const struct weight_codes *w, struct unpacking u)
{
    p->offset = u.offset;
    put_codes(p->code, h, w, unpack_add(u), u.vnni);
    put_numbers(p->d, h, w->scale);
    if (u.family == BLOCK_ADD) put_numbers(p->add, h, w->add);
}

INLINE void put_fine(struct panel_fine *p, int h, const struct weight_codes *w, struct unpacking u)
{
    p->offset = u.offset;
    put_codes(p->code, h, w, unpack_add(u), u.vnni);
    put_numbers(p->d, h, w->scale);
    put_numbers(p->d + BLOCKS, h, w->scale + BLOCKS);
}

INLINE void x86_unpack_block(void *p, const uint8_t *const *rows, codes_fn *codes, struct unpacking u)
{
    for (int h = 0; h < EIGHTS; h++) {
        struct weight_codes w[8];
        for (int i = 0; i < 8; i++) codes(rows[8 * h + i], &w[i]);
        if (u.family == FINE) put_fine(p, h, w, u);
        else put_block(p, h, w, u);
    }
}

INLINE void x86_unpack_split(void *p, const struct split *s, size_t r, size_t k, split_rows_fn *read, struct unpacking u)
{
    for (int h = 0; h < EIGHTS; h++) {
        struct weight_codes w[8];
        size_t at = r + 8 * (size_t)h;
        read(s, at < s->rows ? at : s->rows - 1, k, w);
        if (u.family == FINE) put_fine(p, h, w, u);
        else put_block(p, h, w, u);
    }
}

/* ---- a kernel per type ------------------------------------------------------------------------------------------------ */

/* The tokens of the next tile, while this one is multiplied: rows of activations are far apart. */
INLINE void prefetch_tile(const struct act_block *const *a, size_t s, size_t n)
{
    for (size_t t = 0; t < n; t++) {
        const char *p = (const char *)(a[t] + s);
        const size_t codes = offsetof(struct act_block, CODES), rest = offsetof(struct act_block, s);
        UNROLL for (size_t i = 0; i < ACT_COLS; i += 64) __builtin_prefetch(p + codes + i, 0, 3);
        UNROLL for (size_t i = rest; i < sizeof(struct act_block); i += 64) __builtin_prefetch(p + i, 0, 3);
    }
}

/* Tiles of TILE tokens, then 4, 2, 1; multiply_tile(panel, tile, tokens). */
#define MULTIPLY(name, kind, multiply_tile)                                                                         \
    INLINE void name##_tile(const struct kind *p, struct tile c, size_t t, int nt)                                  \
    {                                                                                                               \
        c.a += t;                                                                                                   \
        c.acc += PANEL_ROWS * t;                                                                                    \
        multiply_tile;                                                                                              \
    }                                                                                                               \
    static void name(const void *p, const struct act_block *const *a, size_t s, size_t T, float *acc,               \
                     struct ahead *x)                                                                               \
    {                                                                                                               \
        const struct tile c = { a, s, acc, x };                                                                     \
        size_t t = 0;                                                                                               \
        ahead_steps(x, (T + TILE - 1) / TILE * BLOCKS);                                                             \
        for (; t + TILE <= T; t += TILE) {                                                                          \
            size_t left = T - t - TILE;                                                                             \
            if (x->cold) prefetch_tile(a + t + TILE, s, left < TILE ? left : TILE);                                 \
            name##_tile(p, c, t, TILE);                                                                             \
        }                                                                                                           \
        for (; TILE > 4 && t + 4 <= T; t += 4) name##_tile(p, c, t, 4);                                             \
        for (; t + 2 <= T; t += 2) name##_tile(p, c, t, 2);                                                         \
        if (t < T) name##_tile(p, c, t, 1);                                                                         \
    }

#endif
