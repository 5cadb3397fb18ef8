/* split.c - exact scalar unpacking of matrices whose codes and scales lie apart (format/split.h says what they mean). */
#include "format/split.h"

#include <string.h>

#include "quant/block.h"

static float number(const uint8_t *p, enum dtype t, uint64_t i)
{
    float f;
    if (t == DT_F16) return load_f16(p + 2 * i);
    if (t == DT_BF16) return bf16_to_f32(load16(p + 2 * i));
    uint32_t u = load32(p + 4 * i);
    memcpy(&f, &u, sizeof f);
    return f;
}

/* E4M3 without infinities: 0x7f and 0xff are NaN. */
static float e4m3(uint8_t b)
{
    uint32_t e = b >> 3 & 15, m = b & 7, u = (uint32_t)(b & 0x80) << 24;
    float f;
    if (e == 15 && m == 7) {
        u |= 0x7fc00000u;
    } else if (!e) {
        f = (float)m * 0x1p-9f;
        return b & 0x80 ? -f : f;
    } else {
        u |= (e + 120) << 23 | m << 20;
    }
    memcpy(&f, &u, sizeof f);
    return f;
}

/* 2^(e - 127), the smallest being a subnormal. */
static float e8m0(uint8_t e)
{
    uint32_t u = e ? (uint32_t)e << 23 : 0x00400000u;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

static unsigned affine_bits(enum dtype t)
{
    switch (t) {
    case DT_AFFINE2: return 2;
    case DT_AFFINE3: return 3;
    case DT_AFFINE4: return 4;
    case DT_AFFINE5: return 5;
    case DT_AFFINE6: return 6;
    default: return 8;
    }
}

static void affine(const struct split *s, uint64_t row, float *dst, size_t n)
{
    const unsigned bits = affine_bits(s->type), mask = (1u << bits) - 1;
    const uint8_t *code = s->code + row * s->code_row, *scale = s->scale + row * s->scale_row;
    const uint8_t *bias = s->bias ? s->bias + row * s->scale_row : NULL;
    const int32_t middle = bias ? 0 : 1 << (bits - 1);
    for (size_t c = 0; c < n; c += s->group) {
        float d = number(scale, s->number, c / s->group), m = bias ? number(bias, s->number, c / s->group) : 0;
        for (size_t i = c; i < c + s->group && i < n; i++) {
            size_t at = i * bits;
            unsigned shift = at % 8, q = code[at / 8] >> shift;
            if (shift + bits > 8) q |= (unsigned)code[at / 8 + 1] << (8 - shift);
            dst[i] = d * (float)((int32_t)(q & mask) - middle) + m;
        }
    }
}

static void small_floats(const struct split *s, uint64_t row, float *dst, size_t n)
{
    const uint8_t *code = s->code + row * s->code_row, *scale = s->scale + row * s->scale_row;
    for (size_t c = 0; c < n; c += s->group) {
        uint8_t b = scale[c / s->group];
        float d = s->type == DT_NVFP4_ROWS ? e4m3(b) : e8m0(b);
        for (size_t i = c; i < c + s->group && i < n; i++) {
            if (s->type == DT_MXFP8_ROWS) dst[i] = d * e4m3(code[i]);
            else dst[i] = d * ((float)fp4_codes[code[i / 2] >> (i % 2 * 4) & 15] * 0.5f);
            if (s->factor != 1) dst[i] *= s->factor;
        }
    }
}

static void f8(const struct split *s, uint64_t row, float *dst, size_t n)
{
    const uint8_t *code = s->code + row * s->code_row;
    const uint8_t *scale = s->scale ? s->scale + row / s->scale_rows * s->scale_row : NULL;
    for (size_t i = 0; i < n; i++) dst[i] = e4m3(code[i]);
    for (size_t i = 0; scale && i < n; i++) dst[i] *= number(scale, s->number, i / s->group);
}

static void awq(const struct split *s, uint64_t row, float *dst, size_t n)
{
    static const uint8_t place[8] = { 0, 4, 1, 5, 2, 6, 3, 7 };
    const unsigned shift = 4 * place[row % 8];
    for (size_t c = 0; c < n; c++) {
        uint64_t g = c / s->group;
        uint32_t q = load32(s->code + c * s->code_row + row / 8 * 4) >> shift & 15;
        uint32_t zero = load32(s->bias + g * s->code_row + row / 8 * 4) >> shift & 15;
        dst[c] = (float)((int32_t)q - (int32_t)zero) * number(s->scale + g * s->scale_row, s->number, row);
    }
}

static unsigned gptq_bits(enum dtype t) { return t == DT_GPTQ2 ? 2 : t == DT_GPTQ3 ? 3 : t == DT_GPTQ4 ? 4 : 8; }

/* Value i of a stream of so many bits in words that are step bytes apart. */
static uint32_t stream_value(const uint8_t *word, uint64_t step, uint64_t i, unsigned bits)
{
    const uint64_t at = i * bits;
    const unsigned shift = at % 32;
    uint32_t v = load32(word + at / 32 * step) >> shift;
    if (shift + bits > 32) v |= load32(word + (at / 32 + 1) * step) << (32 - shift);
    return v & ((1u << bits) - 1);
}

static void gptq(const struct split *s, uint64_t row, float *dst, size_t n)
{
    const unsigned bits = gptq_bits(s->type);
    const uint64_t zero_row = s->rows * bits / 8;
    for (size_t c = 0; c < n; c++) {
        uint64_t g = s->index ? load32(s->index + 4 * c) : c / s->group;
        uint32_t q = stream_value(s->code + row * 4, s->code_row, c, bits);
        uint32_t zero = stream_value(s->bias + g * zero_row, 4, row, bits);
        dst[c] = (float)((int32_t)q - (int32_t)(zero + s->zero_add)) * number(s->scale + g * s->scale_row, s->number, row);
    }
}

static void int8_rows(const struct split *s, uint64_t row, float *dst, size_t n)
{
    const uint8_t *code = s->code + row * s->code_row, *scale = s->scale + row * s->scale_row;
    for (size_t c = 0; c < n; c++) dst[c] = number(scale, s->number, c / s->group) * s->factor * (float)(int8_t)code[c];
}

static void nf4_rows(const struct split *s, uint64_t row, float *dst, size_t n)
{
    const uint8_t *code = s->code + row * s->code_row, *scale = s->scale + row * s->scale_row;
    for (size_t c = 0; c < n; c++) {
        unsigned q = c % 2 ? code[c / 2] & 15 : code[c / 2] >> 4;
        dst[c] = number(scale, s->number, c / s->group) * number(s->bias, DT_F32, q);
    }
}

void split_unpack(const struct split *s, uint64_t row, float *dst, size_t n)
{
    switch (s->type) {
    case DT_F8_E4M3: f8(s, row, dst, n); break;
    case DT_MXFP4_ROWS:
    case DT_MXFP8_ROWS:
    case DT_NVFP4_ROWS: small_floats(s, row, dst, n); break;
    case DT_AWQ4: awq(s, row, dst, n); break;
    case DT_GPTQ2:
    case DT_GPTQ3:
    case DT_GPTQ4:
    case DT_GPTQ8: gptq(s, row, dst, n); break;
    case DT_INT8_ROWS: int8_rows(s, row, dst, n); break;
    case DT_NF4_ROWS: nf4_rows(s, row, dst, n); break;
    default: affine(s, row, dst, n); break;
    }
}
