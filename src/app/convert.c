#include "app/convert.h"

#include <string.h>

#include "quant/quant.h"

bool convert_equal(const struct split *s, enum dtype *out)
{
    bool half = s->number == DT_F16 && s->group % 32 == 0, middle = !s->bias;
    switch (s->type) {
    case DT_MXFP4_ROWS: *out = DT_MXFP4; break;
    case DT_NVFP4_ROWS: *out = DT_NVFP4; return s->cols % 64 == 0 && s->factor == 1;
    case DT_AFFINE4: *out = middle ? DT_Q4_0 : DT_Q4_1; return half;
    case DT_AFFINE5: *out = middle ? DT_Q5_0 : DT_Q5_1; return half;
    case DT_AFFINE8: *out = DT_Q8_0; return half && middle;
    default: return false;
    }
    return true;
}

static unsigned nibble(const uint8_t *code, size_t i) { return code[i / 2] >> (i % 2 * 4) & 15; }

/* Exponents: 255 is infinity here and 2^127 there. */
static bool mxfp4(const struct split *s, uint64_t row, uint8_t *dst)
{
    const uint8_t *code = s->code + row * s->code_row, *scale = s->scale + row * s->scale_row;
    for (size_t b = 0; b < s->cols / 32; b++, dst += 17, code += 16) {
        if (scale[b] == 255) return false;
        dst[0] = scale[b];
        for (size_t j = 0; j < 16; j++) dst[1 + j] = (uint8_t)(nibble(code, j) | nibble(code, j + 16) << 4);
    }
    return true;
}

/* Scales there have no sign, and 127 is 0. */
static bool nvfp4(const struct split *s, uint64_t row, uint8_t *dst)
{
    const uint8_t *code = s->code + row * s->code_row, *scale = s->scale + row * s->scale_row;
    for (size_t b = 0; b < s->cols / 16; b++, code += 8) {
        uint8_t *q = dst + b / 4 * 36 + 4 + b % 4 * 8;
        if (scale[b] >= 127) return false;
        dst[b / 4 * 36 + b % 4] = scale[b];
        for (size_t j = 0; j < 8; j++) q[j] = (uint8_t)(nibble(code, j) | nibble(code, j + 8) << 4);
    }
    return true;
}

/* { f16 scale; [f16 offset;] [u32 fifth bits;] u8 low bits[16] }, 32 values each. */
static void affine(const struct split *s, uint64_t row, uint8_t *dst)
{
    const unsigned bits = s->type == DT_AFFINE4 ? 4 : 5, head = s->bias ? 4 : 2, fifth = bits == 5 ? 4 : 0;
    const uint8_t *code = s->code + row * s->code_row;
    for (size_t b = 0; b < s->cols / 32; b++, dst += head + fifth + 16) {
        size_t at = (size_t)(row * s->scale_row) + b * 32 / s->group * 2;
        uint8_t *low = dst + head + fifth;
        uint32_t high = 0;
        memcpy(dst, s->scale + at, 2);
        if (s->bias) memcpy(dst + 2, s->bias + at, 2);
        memset(low, 0, 16);
        for (size_t j = 0; j < 32; j++) {
            size_t bit = (b * 32 + j) * bits, shift = bit % 8;
            unsigned q = code[bit / 8] >> shift;
            if (shift + bits > 8) q |= (unsigned)code[bit / 8 + 1] << (8 - shift);
            low[j % 16] |= (uint8_t)((q & 15) << (j / 16 * 4));
            high |= (uint32_t)(q >> 4 & 1) << j;
        }
        for (size_t i = 0; i < fifth; i++) dst[head + i] = (uint8_t)(high >> (8 * i));
    }
}

/* { f16 scale; i8 codes[32] } */
static void bytes(const struct split *s, uint64_t row, uint8_t *dst)
{
    const uint8_t *code = s->code + row * s->code_row;
    for (size_t b = 0; b < s->cols / 32; b++, dst += 34) {
        memcpy(dst, s->scale + row * s->scale_row + b * 32 / s->group * 2, 2);
        for (size_t j = 0; j < 32; j++) dst[2 + j] = code[32 * b + j] ^ 128;
    }
}

int convert_row(const struct split *s, uint64_t row, enum dtype type, pack_fn *pack, float *v, uint8_t *dst, struct err *err)
{
    bool ok = true;
    switch (type) {
    case DT_MXFP4: ok = mxfp4(s, row, dst); break;
    case DT_NVFP4: ok = nvfp4(s, row, dst); break;
    case DT_Q4_0:
    case DT_Q4_1:
    case DT_Q5_0:
    case DT_Q5_1: affine(s, row, dst); break;
    case DT_Q8_0: bytes(s, row, dst); break;
    default:
        split_unpack(s, row, v, (size_t)s->cols);
        pack(v, dst, (size_t)s->cols);
    }
    return ok ? 0 : err_set(err, ERR_UNSUPPORTED, "a scale that type %s cannot hold; --expand writes plain numbers",
                            dtype_info(type)->name);
}
