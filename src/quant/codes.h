/* codes.h - 256 weights as small integers with their scales: what the integer kernels multiply.  Private to quant and kernel.
 *
 * Types with a float scale per block (32, 64 or 128 columns):   w[j] = scale[j / 32] * code[j] + add[j / 32]
 * NVFP4, with one per 16 columns:                                w[j] = scale[j / 16] * code[j]
 * Types with super-blocks of 256:                                w[j] = d * sc[j / 16] * code[j] - dmin * mn[j / 16]
 * Codes are integers by nature or made so by a power of two that moves into the scale (IQ2: d/8, IQ1: codes times 8), so
 * these forms are exact; quant_unpack says what the value is after its own roundings.
 * Every function reads 256 columns.  They are inline so that each instruction set's file gets its own vector code; CODES_F16
 * may name a faster exact conversion, and CODES_PRIMITIVES says that those of codes_plain.h are defined already.  Types without
 * minimums leave mn, dmin and add alone. */
#ifndef HEARTH_QUANT_CODES_H
#define HEARTH_QUANT_CODES_H

#include <string.h>

#include "quant/block.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are used in place");

#ifndef CODES_F16
#define CODES_F16(half) f16_to_f32(half)
#endif

struct weight_codes {
    _Alignas(32) int8_t code[256];
    _Alignas(32) int16_t sc[16];
    _Alignas(32) int16_t mn[16];
    float d, dmin;
    _Alignas(32) float scale[16], add[8];
};

typedef void codes_fn(const uint8_t *w, struct weight_codes *out);

static inline float codes_half(const uint8_t *p) { return CODES_F16(load16(p)); }

#ifndef CODES_PRIMITIVES
#include "quant/codes_plain.h"
#endif

/* ---- blocks of 32 -------------------------------------------------------------------------------------------------- */

static inline void codes_q8_0(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 8; b++, w += 34) {
        o->scale[b] = codes_half(w);
        for (unsigned j = 0; j < 32; j++) o->code[32 * b + j] = (int8_t)w[2 + j];
    }
}

static inline void codes_q4_0(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 8; b++, w += 18) {
        o->scale[b] = codes_half(w);
        codes_nibbles(w + 2, o->code + 32 * b);
        codes_high_bits(0, 0, 8, o->code + 32 * b);
    }
}

static inline void codes_q4_1(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 8; b++, w += 20) {
        o->scale[b] = codes_half(w);
        o->add[b] = codes_half(w + 2);
        codes_nibbles(w + 4, o->code + 32 * b);
    }
}

static inline void codes_q5_0(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 8; b++, w += 22) {
        o->scale[b] = codes_half(w);
        codes_nibbles(w + 6, o->code + 32 * b);
        codes_high_bits(load32(w + 2), 16, 16, o->code + 32 * b);
    }
}

static inline void codes_q5_1(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 8; b++, w += 24) {
        o->scale[b] = codes_half(w);
        o->add[b] = codes_half(w + 2);
        codes_nibbles(w + 8, o->code + 32 * b);
        codes_high_bits(load32(w + 4), 16, 0, o->code + 32 * b);
    }
}

static inline void codes_iq4_nl(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 8; b++, w += 18) {
        o->scale[b] = codes_half(w);
        codes_table(w + 2, iq4_codes, o->code + 32 * b);
    }
}

static inline void codes_mxfp4(const uint8_t *w, struct weight_codes *o)
{
    codes_mxfp4_scales(w, o->scale);
    for (unsigned b = 0; b < 8; b++) codes_table(w + 17 * b + 1, fp4_codes, o->code + 32 * b);
}

static inline void codes_nvfp4(const uint8_t *w, struct weight_codes *o)
{
    codes_nvfp4_scales(w, o->scale);
    for (unsigned b = 0; b < 8; b++) codes_table8(w + b / 2 * 36 + 4 + b % 2 * 16, fp4_codes, o->code + 32 * b);
}

static inline void codes_q1_0(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 2; b++, w += 18)
        for (unsigned i = 0; i < 4; i++) {
            int8_t *out = o->code + 128 * b + 32 * i;
            o->scale[4 * b + i] = codes_half(w);
            for (unsigned j = 0; j < 32; j++) out[j] = 0;
            codes_high_bits(load32(w + 2 + 4 * i), 2, 1, out);
        }
}

static inline void codes_q2_0(const uint8_t *w, struct weight_codes *o)
{
    for (unsigned b = 0; b < 4; b++, w += 18) {
        o->scale[2 * b] = o->scale[2 * b + 1] = codes_half(w);
        for (unsigned j = 0; j < 16; j++) {             /* four codes in a word; the top bits keep each borrow in its byte */
            uint32_t q = w[2 + j], v = (q | q << 6 | q << 12 | q << 18) & 0x03030303;
            v = ((v | 0x80808080) - 0x01010101) ^ 0x80808080;
            memcpy(o->code + 64 * b + 4 * j, &v, 4);
        }
    }
}

/* ---- super-blocks ------------------------------------------------------------------------------------------------- */

static inline void codes_both(int16_t *of, unsigned b, int v) { of[2 * b] = of[2 * b + 1] = (int16_t)v; }

static inline void codes_q2_k(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w + 80);
    o->dmin = codes_half(w + 82);
    for (unsigned j = 0; j < 16; j++) {
        o->sc[j] = w[j] & 15;
        o->mn[j] = w[j] >> 4;
    }
    for (unsigned h = 0; h < 2; h++)
        for (unsigned p = 0; p < 4; p++) codes_field(w + 16 + 32 * h, 2 * p, 2, o->code + 128 * h + 32 * p);
}

static inline void codes_q3_k(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w + 108);
    codes_q3_scales(w + 96, o->sc);
    for (unsigned h = 0; h < 2; h++)
        for (unsigned p = 0; p < 4; p++) {
            codes_field(w + 32 + 32 * h, 2 * p, 2, o->code + 128 * h + 32 * p);
            codes_add_bit(w, 4 * h + p, 4, 4, o->code + 128 * h + 32 * p);
        }
}

static inline void codes_q4_k(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w);
    o->dmin = codes_half(w + 2);
    codes_k_scales(w + 4, o->sc, o->mn);
    for (unsigned b = 0; b < 8; b++) codes_field(w + 16 + b / 2 * 32, b % 2 * 4, 4, o->code + 32 * b);
}

static inline void codes_q5_k(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w);
    o->dmin = codes_half(w + 2);
    codes_k_scales(w + 4, o->sc, o->mn);
    for (unsigned b = 0; b < 8; b++) {
        codes_field(w + 48 + b / 2 * 32, b % 2 * 4, 4, o->code + 32 * b);
        codes_add_bit(w + 16, b, 16, 0, o->code + 32 * b);
    }
}

static inline void codes_q6_k(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w + 208);
    for (unsigned j = 0; j < 16; j++) o->sc[j] = (int8_t)w[192 + j];
    for (unsigned h = 0; h < 2; h++)
        for (unsigned l = 0; l < 32; l++) {
            int a = w[64 * h + l], b = w[64 * h + 32 + l], u = w[128 + 32 * h + l];
            int8_t *c = o->code + 128 * h + l;
            c[0] = (int8_t)(((a & 15) | (u & 3) << 4) - 32);
            c[32] = (int8_t)(((b & 15) | (u >> 2 & 3) << 4) - 32);
            c[64] = (int8_t)((a >> 4 | (u >> 4 & 3) << 4) - 32);
            c[96] = (int8_t)((b >> 4 | (u >> 6) << 4) - 32);
        }
}

/* The signs of 32 values that four 7-bit indices stand for (iq_sign8). */
static inline uint32_t codes_signs(uint32_t v)
{
    uint32_t s = (v & 127) | (v << 1 & 127 << 8) | (v << 2 & 127 << 16) | (v << 3 & UINT32_C(127) << 24), p = s ^ s >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return s | (p & 0x01010101) << 7;
}

static inline uint64_t codes_entry8(const uint8_t *g)
{
    uint64_t v;
    memcpy(&v, g, 8);
    return v;
}

/* Two entries of four values. */
static inline uint64_t codes_entries(const uint8_t *g, const uint8_t *h)
{
    return (uint64_t)load32(g) | (uint64_t)load32(h) << 32;
}

static inline void codes_iq2_xxs(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w) * 0.125f;
    for (unsigned b = 0; b < 8; b++) {
        const uint8_t *q = w + 2 + 8 * b;
        uint32_t v = load32(q + 4);
        codes_both(o->sc, b, 2 * (int)(v >> 28) + 1);
        uint64_t value[4];
        for (unsigned l = 0; l < 4; l++) value[l] = codes_entry8(iq2_xxs_grid[q[l]]);
        codes_signed(value, codes_signs(v), o->code + 32 * b);
    }
}

static inline void codes_iq2_xs(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w) * 0.125f;
    codes_iq2_scales(w + 66, o->sc);
    for (unsigned b = 0; b < 8; b++) {
        uint64_t q = codes_entry8(w + 2 + 8 * b), signs = q >> 9 & UINT64_C(0x007f007f007f007f), value[4];
        value[0] = codes_entry8(iq2_xs_grid[q & 511]);
        value[1] = codes_entry8(iq2_xs_grid[q >> 16 & 511]);
        value[2] = codes_entry8(iq2_xs_grid[q >> 32 & 511]);
        value[3] = codes_entry8(iq2_xs_grid[q >> 48 & 511]);
        signs |= signs >> 9;                    /* 14 bits in each word */
        signs = (signs & 0x3fff) | (signs >> 18 & 0x3fff << 14);
        codes_signed(value, codes_signs((uint32_t)signs), o->code + 32 * b);
    }
}

static inline void codes_iq2_s(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w) * 0.125f;
    codes_iq2_scales(w + 74, o->sc);
    for (unsigned b = 0; b < 8; b++) {
        const uint8_t *q = w + 2 + 4 * b;
        const unsigned high = w[66 + b];
        uint64_t value[4];
        for (unsigned l = 0; l < 4; l++) value[l] = codes_entry8(iq2_s_grid[q[l] | (high >> 2 * l & 3) << 8]);
        codes_signed(value, load32(w + 34 + 4 * b), o->code + 32 * b);
    }
}

static inline void codes_iq3_xxs(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w) * 0.25f;
    for (unsigned b = 0; b < 8; b++) {
        uint32_t v = load32(w + 66 + 4 * b);
        codes_both(o->sc, b, 2 * (int)(v >> 28) + 1);
        const uint8_t *q = w + 2 + 8 * b;
        uint64_t value[4];
        for (unsigned l = 0; l < 4; l++) value[l] = codes_entries(iq3_xxs_grid[q[2 * l]], iq3_xxs_grid[q[2 * l + 1]]);
        codes_signed(value, codes_signs(v), o->code + 32 * b);
    }
}

static inline void codes_iq3_s(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w);
    for (unsigned b = 0; b < 8; b++) codes_both(o->sc, b, 1 + 2 * (w[106 + b / 2] >> 4 * (b % 2) & 15));
    for (unsigned b = 0; b < 8; b++) {
        const uint8_t *q = w + 2 + 8 * b;
        const unsigned high = w[66 + b];
        uint64_t value[4];
        for (unsigned l = 0; l < 4; l++) {
            unsigned i = q[2 * l] | (high >> 2 * l & 1) << 8, j = q[2 * l + 1] | (high >> (2 * l + 1) & 1) << 8;
            value[l] = codes_entries(iq3_s_grid[i], iq3_s_grid[j]);
        }
        codes_signed(value, load32(w + 74 + 4 * b), o->code + 32 * b);
    }
}

/* -1, 0 or 1, plus or minus an eighth, times 8: eight bytes in a word, whose upper bits are added without a carry. */
static inline void codes_shifted(int8_t *out, const int8_t *grid, int delta)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), low = 0x7f * ones;
    uint64_t v, add = delta < 0 ? 0xff * ones : ones;
    memcpy(&v, grid, 8);
    v = v << 3 & 0xf8 * ones;
    v = ((v & low) + (add & low)) ^ ((v ^ add) & 0x80 * ones);
    memcpy(out, &v, 8);
}

static inline void codes_iq1_s(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w) * 0.125f;
    for (unsigned b = 0; b < 8; b++) {
        unsigned h = load16(w + 34 + 2 * b);
        codes_both(o->sc, b, 2 * (int)(h >> 12 & 7) + 1);
        for (unsigned l = 0; l < 4; l++) {
            unsigned q = w[2 + 4 * b + l] | (h >> 3 * l & 7) << 8;
            codes_shifted(o->code + 32 * b + 8 * l, iq1_grid[q], h & 0x8000 ? -1 : 1);
        }
    }
}

static inline void codes_iq1_m(const uint8_t *w, struct weight_codes *o)
{
    unsigned bits = 0;
    for (unsigned k = 0; k < 4; k++) bits |= (unsigned)load16(w + 48 + 2 * k) >> 12 << 4 * k;
    o->d = CODES_F16((uint16_t)bits) * 0.125f;
    for (unsigned j = 0; j < 16; j++) o->sc[j] = (int16_t)(2 * (load16(w + 48 + j / 4 * 2) >> 3 * (j % 4) & 7) + 1);
    for (unsigned v = 0; v < 32; v++) {
        unsigned h = (unsigned)w[32 + v / 2] >> 4 * (v % 2) & 15;
        codes_shifted(o->code + 8 * v, iq1_grid[w[v] | (h & 7) << 8], h & 8 ? -1 : 1);
    }
}

static inline void codes_iq4_xs(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w);
    codes_iq4_scales(w + 2, o->sc);
    for (unsigned b = 0; b < 8; b++) codes_table(w + 8 + 16 * b, iq4_codes, o->code + 32 * b);
}

/* Digit i (3^i = power) of five base-3 digits that are stored as a fixed-point fraction in one byte. */
static inline int8_t codes_digit(uint8_t byte, unsigned power)
{
    return (int8_t)((int)((byte * power & 255) * 3 >> 8) - 1);
}

static inline void codes_tq1_0(const uint8_t *w, struct weight_codes *o)
{
    static const uint8_t power[5] = { 1, 3, 9, 27, 81 };
    o->d = codes_half(w + 52);
    for (unsigned j = 0; j < 16; j++) o->sc[j] = 1;
    for (unsigned p = 0; p < 5; p++) {
        for (unsigned i = 0; i < 32; i++) o->code[32 * p + i] = codes_digit(w[i], power[p]);
        for (unsigned i = 0; i < 16; i++) o->code[160 + 16 * p + i] = codes_digit(w[32 + i], power[p]);
    }
    for (unsigned p = 0; p < 4; p++)
        for (unsigned i = 0; i < 4; i++) o->code[240 + 4 * p + i] = codes_digit(w[48 + i], power[p]);
}

static inline void codes_tq2_0(const uint8_t *w, struct weight_codes *o)
{
    o->d = codes_half(w + 64);
    for (unsigned j = 0; j < 16; j++) o->sc[j] = 1;
    for (unsigned h = 0; h < 2; h++)
        for (unsigned p = 0; p < 4; p++) {
            codes_field(w + 32 * h, 2 * p, 2, o->code + 128 * h + 32 * p);
            codes_high_bits(0, 0, 1, o->code + 128 * h + 32 * p);
        }
}

#endif
