/* codes_plain.h - the primitives of codes.h in plain C; an instruction set's file may bring its own instead. */
#ifndef HEARTH_QUANT_CODES_PLAIN_H
#define HEARTH_QUANT_CODES_PLAIN_H

#include <math.h>

#include "quant/block.h"

/* Bits [shift, shift + bits) of 32 bytes. */
static inline void codes_field(const uint8_t *in, unsigned shift, unsigned bits, int8_t *out)
{
    for (unsigned j = 0; j < 32; j++) out[j] = (int8_t)(in[j] >> shift & ((1u << bits) - 1));
}

/* Adds `one`, a power of two, to out[j] where bit `shift` of in[j] is set, and subtracts `less` from all 32. */
static inline void codes_add_bit(const uint8_t *in, unsigned shift, int one, int less, int8_t *out)
{
    for (unsigned j = 0; j < 32; j++) out[j] = (int8_t)(out[j] + (in[j] >> shift & 1 ? one : 0) - less);
}

/* The same with bit j of a word. */
static inline void codes_high_bits(uint32_t high, int one, int less, int8_t *out)
{
    for (unsigned j = 0; j < 32; j++) out[j] = (int8_t)(out[j] + (high >> j & 1 ? one : 0) - less);
}

/* 16 bytes: low nibbles are columns 0..15, high nibbles 16..31. */
static inline void codes_nibbles(const uint8_t *q, int8_t *out)
{
    for (unsigned j = 0; j < 16; j++) {
        out[j] = (int8_t)(q[j] & 15);
        out[j + 16] = (int8_t)(q[j] >> 4);
    }
}

static inline void codes_table(const uint8_t *q, const int8_t *table, int8_t *out)
{
    for (unsigned j = 0; j < 16; j++) {
        out[j] = table[q[j] & 15];
        out[j + 16] = table[q[j] >> 4];
    }
}

/* 32 values, none of them 0, eight in the bytes of each word; bit j of signs negates value j. */
static inline void codes_signed(const uint64_t *values, uint32_t signs, int8_t *out)
{
    const uint64_t ones = UINT64_C(0x0101010101010101);
    for (unsigned l = 0; l < 4; l++) {
        uint64_t bit = (signs >> 8 * l & 255) * ones & UINT64_C(0x8040201008040201), one = (bit + 0x7f * ones) >> 7 & ones;
        uint64_t v = (values[l] ^ one * 255) + one;         /* no carry leaves a byte */
        memcpy(out + 8 * l, &v, 8);
    }
}

/* The 6-bit scales and minimums of 12 bytes, each for two groups. */
static inline void codes_k_scales(const uint8_t *p, int16_t *sc, int16_t *mn)
{
    for (unsigned b = 0; b < 8; b++) {
        uint8_t s, m;
        k_scale_min(p, b, &s, &m);
        sc[2 * b] = sc[2 * b + 1] = s;
        mn[2 * b] = mn[2 * b + 1] = m;
    }
}

/* Q3_K: the 6-bit scales of 12 bytes, less 32. */
static inline void codes_q3_scales(const uint8_t *p, int16_t *sc)
{
    for (unsigned i = 0; i < 4; i++) {
        int a = p[i], b = p[4 + i], high = p[8 + i];
        sc[i] = (int16_t)(((a & 15) | (high & 3) << 4) - 32);
        sc[4 + i] = (int16_t)(((b & 15) | (high >> 2 & 3) << 4) - 32);
        sc[8 + i] = (int16_t)((a >> 4 | (high >> 4 & 3) << 4) - 32);
        sc[12 + i] = (int16_t)((b >> 4 | high >> 6 << 4) - 32);
    }
}

/* IQ4_XS: scale b is 4 bits at p + 2 and 2 bits in the word at p, less 32; each for two groups. */
static inline void codes_iq4_scales(const uint8_t *p, int16_t *sc)
{
    unsigned high = load16(p);
    for (unsigned b = 0; b < 8; b++) {
        unsigned s = (p[2 + b / 2] >> 4 * (b % 2) & 15u) | (high >> 2 * b & 3) << 4;
        sc[2 * b] = sc[2 * b + 1] = (int16_t)((int)s - 32);
    }
}

/* IQ2: 4-bit scales of 16 groups, as odd numbers. */
static inline void codes_iq2_scales(const uint8_t *p, int16_t *sc)
{
    for (unsigned b = 0; b < 8; b++) {
        sc[2 * b] = (int16_t)(2 * (p[b] & 15) + 1);
        sc[2 * b + 1] = (int16_t)(2 * (p[b] >> 4) + 1);
    }
}

/* As codes_table, but of each 8 bytes the low nibbles come first, then the high ones. */
static inline void codes_table8(const uint8_t *q, const int8_t *table, int8_t *out)
{
    for (unsigned j = 0; j < 16; j++) {
        out[j / 8 * 16 + j % 8] = table[q[j] & 15];
        out[j / 8 * 16 + j % 8 + 8] = table[q[j] >> 4];
    }
}

/* NVFP4: the first four of each 36 bytes. */
static inline void codes_nvfp4_scales(const uint8_t *p, float *scale)
{
    for (unsigned b = 0; b < 16; b++) scale[b] = fp4_ue4m3_half(p[b / 4 * 36 + b % 4]);
}

/* 32 codes of 2 to 8 bits that follow one another from the lowest bit, less `less`. */
static inline void codes_stream(const uint8_t *p, unsigned bits, int less, int8_t *out)
{
    for (unsigned j = 0; j < 32; j++) {
        unsigned at = j * bits, shift = at % 8, q = p[at / 8] >> shift;
        if (shift + bits > 8) q |= (unsigned)p[at / 8 + 1] << (8 - shift);
        out[j] = (int8_t)((int)(q & ((1u << bits) - 1)) - less);
    }
}

/* What 32 codes of 4 bits stand for. */
static inline void codes_stream_table(const uint8_t *p, const int8_t *table, int8_t *out)
{
    for (unsigned j = 0; j < 16; j++) {
        out[2 * j] = table[p[j] & 15];
        out[2 * j + 1] = table[p[j] >> 4];
    }
}

/* 32 columns of eight rows in words that lie `stride` bytes apart, less zero[row]; row i's go to out + i * step.  A word of AWQ
 * has a code of each row, in the order 0 2 4 6 1 3 5 7; one of GPTQ 8 columns of a row (of 8 bits: 4), and eight rows lie side
 * by side. */
static inline void codes_awq(const uint8_t *p, size_t stride, const uint8_t *zero, int8_t *out, size_t step)
{
    static const uint8_t place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    for (unsigned j = 0; j < 32; j++) {
        uint32_t v = load32(p + j * stride);
        for (unsigned i = 0; i < 8; i++) out[i * step + j] = (int8_t)((int)(v >> 4 * place[i] & 15) - zero[i]);
    }
}

static inline void codes_gptq4(const uint8_t *p, size_t stride, const uint8_t *zero, int8_t *out, size_t step)
{
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < 32; j++)
            out[i * step + j] = (int8_t)((int)(load32(p + j / 8 * stride + 4 * i) >> 4 * (j % 8) & 15) - zero[i]);
}

/* Less 128. */
static inline void codes_gptq8(const uint8_t *p, size_t stride, int8_t *out, size_t step)
{
    for (unsigned i = 0; i < 8; i++)
        for (unsigned j = 0; j < 32; j++) out[i * step + j] = (int8_t)(p[j / 4 * stride + 4 * i + j % 4] - 128);
}

/* Half of each of 16 signed E4M3; what is no number counts as 0. */
static inline void codes_e4m3_scales(const uint8_t *p, float *scale)
{
    for (unsigned i = 0; i < 16; i++) {
        float f = fp4_ue4m3_half(p[i] & 127);
        scale[i] = p[i] & 128 ? -f : f;
    }
}

/* n E4M3 (at most 256) as halves, 2^-8 times as large, and zeros up to 256. */
static inline void codes_e4m3_halves(const uint8_t *p, size_t n, uint16_t *half)
{
    for (size_t j = 0; j < 256; j++) {
        unsigned v = j < n ? p[j] : 0;
        half[j] = (uint16_t)((v & 127) == 127 ? 0x7e00 : (v & 128) << 8 | (v & 127) << 7);
    }
}

/* 8 / per numbers of F16 or BF16, each `per` times (1, 2, 4, 8). */
static inline void codes_numbers(const uint8_t *p, int brain, unsigned per, float *out)
{
    for (unsigned b = 0; b < 8; b++) {
        uint16_t h = load16(p + b / per * 2);
        out[b] = brain ? bf16_to_f32(h) : f16_to_f32(h);
    }
}

/* add += 128 * scale in one rounding, for eight. */
static inline void codes_add128(const float *scale, float *add)
{
    for (unsigned b = 0; b < 8; b++) add[b] = fmaf(128, scale[b], add[b]);
}

/* 2^(p - 128), eight times. */
static inline void codes_e8m0_halves(const uint8_t *p, float *scale)
{
    for (unsigned b = 0; b < 8; b++) scale[b] = fp4_e8m0_half(p[b]);
}

/* MXFP4: the first of each 17 bytes. */
static inline void codes_mxfp4_scales(const uint8_t *p, float *scale)
{
    for (unsigned b = 0; b < 8; b++) scale[b] = fp4_e8m0_half(p[17 * b]);
}

#endif
