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

/* Those of n blocks. */
static inline void split_numbers(const struct split *s, const uint8_t *p, size_t k, unsigned n, float *out)
{
    const uint32_t per = s->group / 32;
    if (n == SPLIT_BLOCKS && s->number != DT_F32 && (per == 1 || per == 2 || per == 4 || per == 8)) {
        codes_numbers(p + SPLIT_BLOCKS * k / per * 2, s->number == DT_BF16, per, out);
        return;
    }
    struct split_walk x = split_begin(s, k);
    for (unsigned b = 0; b < n; b++) out[b] = split_number(p, s->number, split_next(&x));
}

/* ---- rows that lie one after the other --------------------------------------------------------------------------------- */

static inline void split_affine(const struct split *s, size_t r, size_t k, unsigned bits, struct weight_codes *o)
{
    const unsigned n = split_blocks(s, k, o);
    const uint8_t *code = s->code + r * s->code_row + k * 32 * bits;
    split_numbers(s, s->scale + r * s->scale_row, k, n, o->scale);
    if (s->bias) split_numbers(s, s->bias + r * s->scale_row, k, n, o->add);
    else for (unsigned b = 0; b < n; b++) o->add[b] = -(float)(1u << (bits - 1)) * o->scale[b];
    if (bits == 8) codes_add128(o->scale, o->add);
    for (unsigned b = 0; b < n; b++) codes_stream(code + 4 * bits * b, bits, bits == 8 ? 128 : 0, o->code + 32 * b);
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
    if (n == SPLIT_BLOCKS && s->group == 32) codes_e8m0_halves(scale + SPLIT_BLOCKS * k, o->scale);
    else for (unsigned b = 0; b < n; b++) o->scale[b] = fp4_e8m0_half(scale[split_next(&x)]);
    for (unsigned b = 0; s->factor != 1 && b < n; b++) o->scale[b] *= s->factor;
    for (unsigned b = 0; b < n; b++) codes_stream_table(code + 16 * b, fp4_codes, o->code + 32 * b);
}

static inline void split_codes_nvfp4_rows(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    const unsigned n = split_blocks(s, k, o);
    const uint8_t *code = s->code + r * s->code_row + k * SPLIT_COLS / 2, *scale = s->scale + r * s->scale_row;
    const uint32_t per = s->group / 16;
    uint8_t each[16] = { 0 };
    if (per == 1) memcpy(each, scale + 16 * k, 2 * n);
    else for (unsigned i = 0; i < 2 * n; i++) each[i] = scale[(uint32_t)(16 * k + i) / per];
    codes_e4m3_scales(each, o->scale);
    for (unsigned i = 0; s->factor != 1 && i < 16; i++) o->scale[i] *= s->factor;
    for (unsigned b = 0; b < n; b++) codes_stream_table(code + 16 * b, fp4_codes, o->code + 32 * b);
}

static inline void split_rows_of(split_codes_fn *codes, const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    for (size_t i = 0; i < 8; i++) codes(s, r + i < s->rows ? r + i : s->rows - 1, k, o + i);
}

/* ---- columns that lie one after the other ------------------------------------------------------------------------------- */

/* Eight rows from r, whose words lie side by side; r is a multiple of 8.  What their codes lose in group g, and their scales. */
struct split_eight { uint8_t zero[8]; float scale[8]; };

static inline void split_eight(const struct split *s, size_t r, size_t g, struct split_eight *o)
{
    static const uint8_t awq[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    const unsigned bits = s->type == DT_GPTQ8 ? 8 : 4;
    const size_t row = s->type == DT_AWQ4 ? s->code_row : s->rows * bits / 8;
    const uint8_t *p = s->bias + g * row + r * bits / 8;
    for (unsigned i = 0; i < 8; i++) {
        unsigned at = bits * (s->type == DT_AWQ4 ? awq[i] : i);
        o->zero[i] = (uint8_t)((p[at / 8] >> at % 8 & ((1u << bits) - 1)) + s->zero_add);
        o->scale[i] = split_number(s->scale + g * s->scale_row, s->number, r + i);
    }
}

/* Of 8 bits the zero, up to 256, goes into what is added: o->zero is one byte, which counts as 1..256 where zero_add is 1. */
static inline int split_zero8(const struct split *s, uint8_t zero) { return zero || !s->zero_add ? zero : 256; }

static inline void split_columns(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    struct split_eight e = { { 0 }, { 0 } };
    struct split_walk x = split_begin(s, k);
    size_t have = SIZE_MAX;
    unsigned n = 0;
    /* Words in 32 columns; whether nobody has asked for their cache lines. */
    const size_t words = s->type == DT_AWQ4 ? 32 : s->type == DT_GPTQ4 ? 4 : 8;
    const bool first = r % (s->type == DT_AWQ4 ? 128 : 16) == 0;
    for (size_t i = 0; i < 8; i++) n = split_blocks(s, k, o + i);
    for (unsigned b = 0; b < n; b++) {
        const size_t block = SPLIT_BLOCKS * k + b, g = split_next(&x);
        int8_t *code = o->code + 32 * b;
        const uint8_t *word = s->code + words * block * s->code_row + (s->type == DT_AWQ4 ? r / 2 : r * 4);
        if (g != have) split_eight(s, r, have = g, &e);
        for (size_t i = 0; first && i < words; i++) __builtin_prefetch(word + (words + i) * s->code_row, 0, 3);
        if (s->type == DT_AWQ4) codes_awq(word, s->code_row, e.zero, code, sizeof *o);
        else if (s->type == DT_GPTQ4) codes_gptq4(word, s->code_row, e.zero, code, sizeof *o);
        else codes_gptq8(word, s->code_row, code, sizeof *o);
        for (size_t i = 0; i < 8; i++) {
            o[i].scale[b] = e.scale[i];
            if (s->type == DT_GPTQ8) o[i].add[b] = (float)(128 - split_zero8(s, e.zero[i])) * e.scale[i];
        }
    }
}

/* Any eight rows. */
static inline void split_rows_columns(const struct split *s, size_t r, size_t k, struct weight_codes *o)
{
    struct weight_codes all[8];
    if (r % 8 == 0) {
        split_columns(s, r, k, o);
        return;
    }
    for (size_t i = 0; i < 8; i++) {
        size_t want = r + i < s->rows ? r + i : s->rows - 1;
        if (!i || want % 8 == 0) split_columns(s, want / 8 * 8, k, all);
        o[i] = all[want % 8];
    }
}

/* ---- floats of 8 bits ------------------------------------------------------------------------------------------------------ */

/* Column of 256s k of row r as halves, 2^-8 times the E4M3, and what to multiply them with. */
static inline void split_halves(const struct split *s, size_t r, size_t k, uint16_t *half, float *scale)
{
    const size_t at = SPLIT_COLS * k, n = s->cols - at < SPLIT_COLS ? s->cols - at : SPLIT_COLS;
    const uint8_t *row = s->scale ? s->scale + (s->type == DT_MXFP8_ROWS ? r : r / s->scale_rows) * s->scale_row : NULL;
    struct split_walk x = { 0, s->group / 32, s->group / 32 };
    if (s->group < s->cols) x = split_begin(s, k);
    codes_e4m3_halves(s->code + r * s->code_row + at, n, half);
    for (size_t b = 0; b < SPLIT_BLOCKS; b++) {
        float f = 1;
        if (row && 32 * b < n) {
            size_t g = s->group < s->cols ? split_next(&x) : 0;
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
    if (s->type == DT_GPTQ2 || s->type == DT_GPTQ3 || s->type == DT_INT8_ROWS || s->type == DT_NF4_ROWS) return false;
    if (s->cols > UINT32_MAX / 2 || (s->cols % 32 && !halves)) return false;
    if (columns && (s->index || s->zero_add > 1 || s->rows % 8)) return false;
    if (s->type == DT_NVFP4_ROWS) return s->group >= 16 && s->group % 16 == 0;
    return s->group >= s->cols || (s->group >= 32 && s->group % 32 == 0);
}

#endif
