/* q_iq.c - codebook types: groups of 8 (or 4) values are entries of a fixed table.
 * A super-block of 256 has 8 groups b of 32, each with 4 vectors l of 8. */
#include "quant/block.h"

const int8_t iq4_codes[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

/* n <= 8 values; bit j of signs negates element j. */
static void put_signed(float *dst, float d, const uint8_t *grid, unsigned n, unsigned signs)
{
    for (unsigned j = 0; j < n; j++) dst[j] = d * (float)grid[j] * (signs >> j & 1 ? -1.0f : 1.0f);
}

/* { f16 d; u16 qs[32] }: per group four indices and a word of 4 x 7 sign bits and a scale */
void unpack_iq2_xxs(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 66, dst += 256) {
        float d = load_f16(src);
        for (unsigned b = 0; b < 8; b++) {
            const uint8_t *q = src + 2 + 8 * b;
            uint32_t w = load32(q + 4);
            float scale = d * (0.5f + (float)(w >> 28)) * 0.25f;
            for (unsigned l = 0; l < 4; l++)
                put_signed(dst + 32 * b + 8 * l, scale, iq2_xxs_grid[q[l]], 8, iq_sign8(w >> 7 * l & 127));
        }
    }
}

static float half_group_scale(float d, uint8_t scales, unsigned l)
{
    return d * (0.5f + (float)(l < 2 ? scales & 15 : scales >> 4)) * 0.25f;
}

/* { f16 d; u16 qs[32]; u8 scales[8] } */
void unpack_iq2_xs(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 74, dst += 256) {
        float d = load_f16(src);
        for (unsigned v = 0; v < 32; v++) {
            unsigned q = load16(src + 2 + 2 * v);
            float scale = half_group_scale(d, src[66 + v / 4], v % 4);
            put_signed(dst + 8 * v, scale, iq2_xs_grid[q & 511], 8, iq_sign8(q >> 9));
        }
    }
}

/* { f16 d; u8 qs[32]; u8 signs[32]; u8 qh[8]; u8 scales[8] } */
void unpack_iq2_s(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 82, dst += 256) {
        float d = load_f16(src);
        for (unsigned v = 0; v < 32; v++) {
            unsigned q = src[2 + v] | ((unsigned)src[66 + v / 4] >> 2 * (v % 4) & 3) << 8;
            float scale = half_group_scale(d, src[74 + v / 4], v % 4);
            put_signed(dst + 8 * v, scale, iq2_s_grid[q], 8, src[34 + v]);
        }
    }
}

/* { f16 d; u8 qs[64]; u8 sas[32] } */
void unpack_iq3_xxs(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 98, dst += 256) {
        float d = load_f16(src);
        for (unsigned b = 0; b < 8; b++) {
            uint32_t w = load32(src + 66 + 4 * b);
            float scale = d * (0.5f + (float)(w >> 28)) * 0.5f;
            for (unsigned l = 0; l < 4; l++) {
                const uint8_t *q = src + 2 + 8 * b + 2 * l;
                unsigned signs = iq_sign8(w >> 7 * l & 127);
                float *y = dst + 32 * b + 8 * l;
                put_signed(y, scale, iq3_xxs_grid[q[0]], 4, signs);
                put_signed(y + 4, scale, iq3_xxs_grid[q[1]], 4, signs >> 4);
            }
        }
    }
}

/* { f16 d; u8 qs[64]; u8 qh[8]; u8 signs[32]; u8 scales[4] } */
void unpack_iq3_s(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 110, dst += 256) {
        float d = load_f16(src);
        for (unsigned v = 0; v < 64; v++) {
            unsigned b = v / 8;
            float scale = d * (float)(1 + 2 * (src[106 + b / 2] >> 4 * (b % 2) & 15));
            unsigned q = src[2 + v] | ((unsigned)src[66 + b] >> v % 8 & 1) << 8;
            put_signed(dst + 4 * v, scale, iq3_s_grid[q], 4, (unsigned)src[74 + v / 2] >> 4 * (v % 2));
        }
    }
}

static void put_shifted(float *dst, float d, const int8_t *grid, float delta)
{
    for (unsigned j = 0; j < 8; j++) dst[j] = d * ((float)grid[j] + delta);
}

/* { f16 d; u8 qs[32]; u16 qh[8] } */
void unpack_iq1_s(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 50, dst += 256) {
        float d = load_f16(src);
        for (unsigned v = 0; v < 32; v++) {
            unsigned h = load16(src + 34 + 2 * (v / 4));
            float scale = d * (float)(2 * (h >> 12 & 7) + 1);
            unsigned q = src[2 + v] | (h >> 3 * (v % 4) & 7) << 8;
            put_shifted(dst + 8 * v, scale, iq1_grid[q], h & 0x8000 ? -0.125f : 0.125f);
        }
    }
}

/* { u8 qs[32]; u8 qh[16]; u8 scales[8] }: the f16 scale is in the top nibbles of the four words of scales */
void unpack_iq1_m(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 56, dst += 256) {
        unsigned bits = 0;
        for (unsigned k = 0; k < 4; k++) bits |= (unsigned)load16(src + 48 + 2 * k) >> 12 << 4 * k;
        float d = f16_to_f32((uint16_t)bits);
        for (unsigned v = 0; v < 32; v++) {
            unsigned b = v / 4, l = v % 4, h = (unsigned)src[32 + v / 2] >> 4 * (l % 2) & 15;
            unsigned sc = (unsigned)load16(src + 48 + 2 * (b / 2)) >> (6 * (b % 2) + (l < 2 ? 0 : 3)) & 7;
            float scale = d * (float)(2 * sc + 1);
            put_shifted(dst + 8 * v, scale, iq1_grid[src[v] | (h & 7) << 8], h & 8 ? -0.125f : 0.125f);
        }
    }
}

static void put_iq4(float *dst, float d, const uint8_t *q)
{
    for (unsigned j = 0; j < 16; j++) {
        dst[j] = d * (float)iq4_codes[q[j] & 15];
        dst[j + 16] = d * (float)iq4_codes[q[j] >> 4];
    }
}

/* { f16 d; u8 qs[16] } */
void unpack_iq4_nl(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 18, dst += 32) put_iq4(dst, load_f16(src), src + 2);
}

/* { f16 d; u16 scales_h; u8 scales_l[4]; u8 qs[128] } */
void unpack_iq4_xs(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 256, src += 136, dst += 256) {
        float d = load_f16(src);
        unsigned high = load16(src + 2);
        for (unsigned b = 0; b < 8; b++) {
            int s = (src[4 + b / 2] >> 4 * (b % 2) & 15) | (int)(high >> 2 * b & 3) << 4;
            put_iq4(dst + 32 * b, d * (float)(s - 32), src + 8 + 16 * b);
        }
    }
}
