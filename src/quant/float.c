/* float.c - F32, F16, BF16. */
#include <string.h>

#include "quant/block.h"

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static float of_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

float f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3ff;
    if (e == 31) return of_bits(sign | 0x7f800000 | m << 13);
    if (e) return of_bits(sign | (e + 112) << 23 | m << 13);
    return of_bits(sign | bits_of((float)m * 0x1p-24f));
}

uint16_t f32_to_f16(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
    if (a > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (a >> 13 & 0x3ff));
    if (a >= 0x477ff000) return (uint16_t)(sign | 0x7c00);            /* 65520 and more round to infinity */
    if (a >= 0x38800000) {                                            /* normal: drop 13 bits, ties to even */
        a += 0xfff + (a >> 13 & 1);
        return (uint16_t)(sign | (a - 0x38000000) >> 13);
    }
    /* Subnormal: the addition of 0.5 makes the processor round at the right bit. */
    return (uint16_t)(sign | (bits_of(of_bits(a) + 0.5f) - 0x3f000000));
}

float bf16_to_f32(uint16_t h) { return of_bits((uint32_t)h << 16); }

uint16_t f32_to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7fffffff) > 0x7f800000) return (uint16_t)(u >> 16 | 64);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

void unpack_f32(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = of_bits(load32(src + 4 * i));
}

void unpack_f16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = load_f16(src + 2 * i);
}

void unpack_bf16(const uint8_t *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) dst[i] = bf16_to_f32(load16(src + 2 * i));
}

void pack_f32(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    (void)weight;
    for (size_t i = 0; i < n; i++) {
        uint32_t u = bits_of(src[i]);
        store16(dst + 4 * i, (uint16_t)u);
        store16(dst + 4 * i + 2, (uint16_t)(u >> 16));
    }
}

void pack_f16(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    (void)weight;
    for (size_t i = 0; i < n; i++) store16(dst + 2 * i, f32_to_f16(src[i]));
}

void pack_bf16(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    (void)weight;
    for (size_t i = 0; i < n; i++) store16(dst + 2 * i, f32_to_bf16(src[i]));
}
