/* q_ternary.c - values -1, 0, 1 times one scale: TQ1_0 and TQ2_0. */
#include "quant/block.h"

/* Digit i (3^i = power) of five base-3 digits that are stored as a fixed-point fraction in one byte. */
static float digit(uint8_t byte, unsigned power)
{
    unsigned t = byte * power & 255;
    return (float)((int)(t * 3 >> 8) - 1);
}

static const uint8_t power3[5] = { 1, 3, 9, 27, 81 };

/* { u8 qs[48]; u8 qh[4]; f16 d } */
void unpack_tq1_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 54, dst += 256) {
        float d = load_f16(src + 52);
        for (unsigned i = 0; i < 160; i++) dst[i] = digit(src[i % 32], power3[i / 32]) * d;
        for (unsigned i = 0; i < 80; i++) dst[160 + i] = digit(src[32 + i % 16], power3[i / 16]) * d;
        for (unsigned i = 0; i < 16; i++) dst[240 + i] = digit(src[48 + i % 4], power3[i / 4]) * d;
    }
}

/* { u8 qs[64]; f16 d } */
void unpack_tq2_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 66, dst += 256) {
        float d = load_f16(src + 64);
        for (unsigned i = 0; i < 256; i++)
            dst[i] = (float)((src[32 * (i / 128) + i % 32] >> 2 * (i / 32 % 4) & 3) - 1) * d;
    }
}
