/* split_codes.h - 256 columns of a matrix whose codes and scales lie apart (format/split.h), as codes.h has them; of F8 and
 * MXFP8 as halves.  Private to quant and kernel.
 *
 *   AFFINEb, GPTQ8    w[j] = scale[j / 32] * code[j] + add[j / 32];  8 bits: code = q - 128, and add makes up for it
 *   MXFP4_ROWS, AWQ4, GPTQ4                  w[j] = scale[j / 32] * code[j]
 *   NVFP4_ROWS                               w[j] = scale[j / 16] * code[j]
 *   F8_E4M3, MXFP8_ROWS                      w[j] = scale[j / 32] * half[j], exact
 * split_has_codes says for which matrices; rows and columns are in range, columns past the last are zeros.  A scale that is no
 * number counts as 0 in NVFP4_ROWS; so does one of F8 and MXFP8 outside 2^-46 .. 2^56, and what is not a number there makes its
 * 32 columns zeros.  Included behind codes.h, whose primitives it uses. */
#ifndef HEARTH_QUANT_SPLIT_CODES_H
#define HEARTH_QUANT_SPLIT_CODES_H

#include <math.h>

#include "format/split.h"
#include "quant/codes.h"

enum { SPLIT_COLS = 256, SPLIT_BLOCKS = 8 };

/* 256 columns of row r; k counts them in 256s. */
typedef void split_codes_fn(const struct split *s, size_t r, size_t k, struct weight_codes *o);
/* The same of eight rows from r; those past the last repeat it. */
typedef void split_rows_fn(const struct split *s, size_t r, size_t k, struct weight_codes *o);

/* Blocks of 32 columns that there are; the others become zeros. */
static inline unsigned split_blocks(const struct split *s, size_t k, struct weight_codes *o)
{
    size_t n = s->cols / 32 - SPLIT_BLOCKS * k;
    if (n >= SPLIT_BLOCKS) return SPLIT_BLOCKS;
    memset(o, 0, sizeof *o);
    return (unsigned)n;
}

static inline float split_number(const uint8_t *p, enum dtype t, size_t i)
{
    float f;
    if (t == DT_F16) return CODES_F16(load16(p + 2 * i));
    uint32_t u = t == DT_BF16 ? (uint32_t)load16(p + 2 * i) << 16 : load32(p + 4 * i);
    memcpy(&f, &u, sizeof f);
    return f;
}

/* The group of each block of 32 columns in turn. */
struct split_walk { size_t g; uint32_t left, per; };

static inline struct split_walk split_begin(const struct split *s, size_t k)
{
    uint32_t per = s->group / 32, at = (uint32_t)(SPLIT_BLOCKS * k);
    return (struct split_walk){ at / per, per - at % per, per };
}

static inline size_t split_next(struct split_walk *x)
{
    size_t g = x->g;
    if (--x->left == 0) x->g++, x->left = x->per;
    return g;
}

/* Half of a signed E4M3. */
static inline float split_e4m3_half(uint8_t b)
{
    float f = b == 255 ? 0 : fp4_ue4m3_half(b & 127);
    return b & 128 ? -f : f;
}

/* ---- rows that lie one after the other --------------------------------------------------------------------------------- */

static inline void split_affine(const struct split *s, size_t r, size_t k, unsigned bits, struct weight_codes *o)
{
    const unsigned n = split_blocks(s, k, o);
    const uint8_t *code = s->code + r * s->code_row + k * 32 * bits;
    const uint8_t *scale = s->scale + r * s->scale_row, *bias = s->bias + r * s->scale_row;
    struct split_walk x = split_begin(s, k);
    for (unsigned b = 0; b < n; b++) {
        size_t g = split_next(&x);
        o->scale[b] = split_number(scale, s->number, g);
        o->add[b] = split_number(bias, s->number, g);
        if (bits == 8) o->add[b] = fmaf(128, o->scale[b], o->add[b]);
        codes_stream(code + 4 * bits * b, bits, bits == 8 ? 128 : 0, o->code + 32 * b);
    }
}

#define SPLIT_AFFINE(bits)                                                                                          \
    static inline void split_codes_affine##bits(const struct split *s, size_t r, size_t k, struct weight_codes *o)  \
    {                                                                                                               \
        split_affine(s, r, k, bits, o);                                                                             \
    }
SPLIT_AFFINE(2)
SPLIT_AFFINE(3)
SPLIT_AFFINE(4)
SPLIT_AFFINE(5)
SPLIT_AFFINE(6)
SPLIT_AFFINE(8)

static inline void split_codes_mxfp4_rows(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    const unsigned n = split_blocks(s, k, o);
    const uint8_t *code = s->code + r * s->code_row + k * SPLIT_COLS / 2, *scale = s->scale + r * s->scale_row;
    struct split_walk x = split_begin(s, k);
    for (unsigned b = 0; b < n; b++) {
        o->scale[b] = fp4_e8m0_half(scale[split_next(&x)]) * s->factor;
        codes_stream_table(code + 16 * b, fp4_codes, o->code + 32 * b);
    }
}

static inline void split_codes_nvfp4_rows(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    const unsigned n = split_blocks(s, k, o);
    const uint8_t *code = s->code + r * s->code_row + k * SPLIT_COLS / 2, *scale = s->scale + r * s->scale_row;
    const uint32_t per = s->group / 16;
    for (unsigned b = 0; b < n; b++) {
        for (unsigned i = 2 * b; i < 2 * b + 2; i++)
            o->scale[i] = split_e4m3_half(scale[(uint32_t)(16 * k + i) / per]) * s->factor;
        codes_stream_table(code + 16 * b, fp4_codes, o->code + 32 * b);
    }
}

static inline void split_rows_of(split_codes_fn *codes, const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    for (size_t i = 0; i < 8; i++) codes(s, r + i < s->rows ? r + i : s->rows - 1, k, o + i);
}

/* ---- columns that lie one after the other ------------------------------------------------------------------------------- */

/* What the codes of row r in group g lose. */
static inline int split_awq_zero(const struct split *s, size_t r, size_t g)
{
    static const uint8_t place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    return (int)(load32(s->bias + g * s->code_row + r / 8 * 4) >> 4 * place[r % 8] & 15);
}

static inline int split_gptq_zero(const struct split *s, size_t r, size_t g, unsigned bits)
{
    const unsigned per = 32 / bits;
    uint32_t v = load32(s->bias + g * (s->rows / per * 4) + r / per * 4) >> (bits * (r % per));
    return (int)((v & ((1u << bits) - 1)) + s->zero_add);
}

static inline float split_column_scale(const struct split *s, size_t r, size_t g)
{
    return split_number(s->scale + g * s->scale_row, s->number, r);
}

/* Eight rows of which the first is a multiple of 8 share their words. */
static inline void split_rows_awq4(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    struct weight_codes all[8];
    unsigned n = 0;
    if (r % 8) {                                  /* rows of two words */
        for (size_t i = 0; i < 8; i++) {
            size_t want = r + i < s->rows ? r + i : s->rows - 1;
            if (!i || want % 8 == 0) split_rows_awq4(s, want / 8 * 8, k, all);
            o[i] = all[want % 8];
        }
        return;
    }
    for (size_t i = 0; i < 8; i++) n = split_blocks(s, k, o + i);
    struct split_walk x = split_begin(s, k);
    for (unsigned b = 0; b < n; b++) {
        size_t g = split_next(&x);
        codes_awq(s->code + (SPLIT_COLS * k + 32 * b) * s->code_row + r / 8 * 4, s->code_row, o->code + 32 * b, sizeof *o);
        for (size_t i = 0; i < 8; i++) {
            codes_high_bits(0, 0, split_awq_zero(s, r + i, g), o[i].code + 32 * b);
            o[i].scale[b] = split_column_scale(s, r + i, g);
        }
    }
}

static inline void split_gptq(const struct split *s, size_t r, size_t k, unsigned bits, struct weight_codes *o)
{
    const unsigned n = split_blocks(s, k, o);
    struct split_walk x = split_begin(s, k);
    for (unsigned b = 0; b < n; b++) {
        const uint8_t *code = s->code + (SPLIT_BLOCKS * k + b) * bits * s->code_row + r * 4;
        size_t g = split_next(&x);
        int zero = split_gptq_zero(s, r, g, bits);
        o->scale[b] = split_column_scale(s, r, g);
        if (bits == 8) o->add[b] = (float)(128 - zero) * o->scale[b];
        codes_words(code, s->code_row, bits, bits == 8 ? 128 : zero, o->code + 32 * b);
    }
}

static inline void split_codes_gptq4(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    split_gptq(s, r, k, 4, o);
}
static inline void split_codes_gptq8(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    split_gptq(s, r, k, 8, o);
}


static inline void split_rows_gptq4(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    split_rows_of(split_codes_gptq4, s, r, k, o);
}
static inline void split_rows_gptq8(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    split_rows_of(split_codes_gptq8, s, r, k, o);
}

/* ---- floats of 8 bits ------------------------------------------------------------------------------------------------------ */

/* Column of 256s k of row r as halves, 2^-8 times the E4M3, and what to multiply them with. */
static inline void split_halves(const struct split *s, size_t r, size_t k, uint16_t *half, float *scale)
{
    const size_t at = SPLIT_COLS * k, n = s->cols - at < SPLIT_COLS ? s->cols - at : SPLIT_COLS;
    const uint8_t *row = s->scale ? s->scale + (s->type == DT_MXFP8_ROWS ? r : r / s->scale_rows) * s->scale_row : NULL;
    codes_e4m3_halves(s->code + r * s->code_row + at, n, half);
    for (size_t b = 0; b < SPLIT_BLOCKS; b++) {
        float f = 1;
        if (row && 32 * b < n) {
            size_t g = (at + 32 * b) / s->group;
            uint32_t u = s->type == DT_MXFP8_ROWS ? (uint32_t)row[g] << 23 : 0;       /* 0 stands for 2^-127: too small */
            memcpy(&f, &u, sizeof f);
            if (s->type != DT_MXFP8_ROWS) f = split_number(row, s->number, g);
            f *= s->factor;
        }
        bool good = fabsf(f) >= 0x1p-46f && fabsf(f) < 0x1p56f;
        scale[b] = good ? f * 256 : 1;
        if (!good) memset(half + 32 * b, 0, 32 * sizeof *half);
    }
}

/* ---- which matrices ------------------------------------------------------------------------------------------------ */

/* Groups of whole blocks that follow one another; others are multiplied in float. */
static inline bool split_has_codes(const struct split *s)
{
    const bool halves = s->type == DT_F8_E4M3 || s->type == DT_MXFP8_ROWS;
    const bool columns = s->type == DT_AWQ4 || s->type == DT_GPTQ4 || s->type == DT_GPTQ8;
    if (s->cols > UINT32_MAX / 2 || (s->cols % 32 && !halves)) return false;
    if (columns && (s->index || s->zero_add > 1 || s->rows % 8)) return false;
    if (s->type == DT_NVFP4_ROWS) return s->group >= 16 && s->group % 16 == 0;
    return s->group >= s->cols || (s->group >= 32 && s->group % 32 == 0);
}

#endif
