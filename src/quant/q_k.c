/* q_k.c - super-blocks of 256 whose sub-blocks have integer scales: Q2_K to Q6_K, and Q8_K of the activations. */
#include <string.h>

#include "quant/block.h"

/* { u8 sc[16]; u8 qs[64]; f16 d; f16 dmin } */
void unpack_q2_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 84, dst += 256) {
        const uint8_t *qs = src + 16;
        float d = load_f16(src + 80), dmin = load_f16(src + 82);
        for (unsigned b = 0; b < 16; b++) {
            float scale = d * (float)(src[b] & 15), min = dmin * (float)(src[b] >> 4);
            unsigned shift = 2 * (b / 2 % 4);
            const uint8_t *q = qs + 32 * (b / 8) + 16 * (b % 2);
            for (unsigned l = 0; l < 16; l++) dst[16 * b + l] = scale * (float)(q[l] >> shift & 3) - min;
        }
    }
}

/* { u8 hmask[32]; u8 qs[64]; u8 sc[12]; f16 d } */
void unpack_q3_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 110, dst += 256) {
        const uint8_t *sc = src + 96;
        float d = load_f16(src + 108);
        for (unsigned b = 0; b < 16; b++) {
            unsigned low = b < 8 ? sc[b] & 15u : (unsigned)sc[b - 8] >> 4;
            unsigned high = (unsigned)sc[8 + b % 4] >> 2 * (b / 4) & 3;
            float scale = d * (float)((int)(low | high << 4) - 32);
            unsigned j = b / 2 % 4, l0 = 16 * (b % 2);
            const uint8_t *q = src + 32 + 32 * (b / 8) + l0, *mask = src + l0;
            unsigned bit = 4 * (b / 8) + j;
            for (unsigned l = 0; l < 16; l++)
                dst[16 * b + l] = scale * (float)((q[l] >> 2 * j & 3) - (mask[l] >> bit & 1 ? 0 : 4));
        }
    }
}

/* { f16 d; f16 dmin; u8 sc[12]; u8 qs[128] } */
void unpack_q4_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 144, dst += 256) {
        float d = load_f16(src), dmin = load_f16(src + 2);
        for (unsigned b = 0; b < 8; b++) {
            uint8_t s, m;
            k_scale_min(src + 4, b, &s, &m);
            float scale = d * (float)s, min = dmin * (float)m;
            const uint8_t *q = src + 16 + 32 * (b / 2);
            for (unsigned l = 0; l < 32; l++) dst[32 * b + l] = scale * (float)(q[l] >> 4 * (b % 2) & 15) - min;
        }
    }
}

/* { f16 d; f16 dmin; u8 sc[12]; u8 qh[32]; u8 qs[128] } */
void unpack_q5_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 176, dst += 256) {
        float d = load_f16(src), dmin = load_f16(src + 2);
        for (unsigned b = 0; b < 8; b++) {
            uint8_t s, m;
            k_scale_min(src + 4, b, &s, &m);
            float scale = d * (float)s, min = dmin * (float)m;
            const uint8_t *q = src + 48 + 32 * (b / 2), *high = src + 16;
            for (unsigned l = 0; l < 32; l++)
                dst[32 * b + l] = scale * (float)((q[l] >> 4 * (b % 2) & 15) + (high[l] >> b & 1) * 16) - min;
        }
    }
}

/* { u8 ql[128]; u8 qh[64]; i8 sc[16]; f16 d } */
void unpack_q6_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 210, dst += 256) {
        float d = load_f16(src + 208);
        for (unsigned b = 0; b < 16; b++) {
            float scale = d * (float)(int8_t)src[192 + b];
            unsigned h = b / 8, part = b / 2 % 4, l0 = 16 * (b % 2);
            const uint8_t *ql = src + 64 * h + 32 * (part % 2) + l0, *qh = src + 128 + 32 * h + l0;
            for (unsigned l = 0; l < 16; l++) {
                int q = (ql[l] >> 4 * (part / 2) & 15) | (qh[l] >> 2 * part & 3) << 4;
                dst[16 * b + l] = scale * (float)(q - 32);
            }
        }
    }
}

/* { f32 d; i8 qs[256]; i16 bsums[16] } */
void unpack_q8_k(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 292, dst += 256) {
        uint32_t bits = load32(src);
        float d;
        memcpy(&d, &bits, 4);
        for (unsigned j = 0; j < 256; j++) dst[j] = d * (float)(int8_t)src[4 + j];
    }
}
