/* q_legacy.c - blocks with one scale: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q8_1, Q1_0, Q2_0.
 * In the 4- and 5-bit types byte j of a block holds elements j (low half) and j + 16. */
#include "quant/block.h"

void unpack_q4_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 18, dst += 32) {
        float d = load_f16(src);
        const uint8_t *q = src + 2;
        for (unsigned j = 0; j < 16; j++) {
            dst[j] = d * (float)((q[j] & 15) - 8);
            dst[j + 16] = d * (float)((q[j] >> 4) - 8);
        }
    }
}

void unpack_q4_1(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 20, dst += 32) {
        float d = load_f16(src), m = load_f16(src + 2);
        const uint8_t *q = src + 4;
        for (unsigned j = 0; j < 16; j++) {
            dst[j] = d * (float)(q[j] & 15) + m;
            dst[j + 16] = d * (float)(q[j] >> 4) + m;
        }
    }
}

void unpack_q5_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 22, dst += 32) {
        float d = load_f16(src);
        uint32_t high = load32(src + 2);
        const uint8_t *q = src + 6;
        for (unsigned j = 0; j < 16; j++) {
            int lo = (int)((q[j] & 15u) | (high >> j & 1) << 4);
            int hi = (int)((unsigned)q[j] >> 4 | (high >> (j + 16) & 1) << 4);
            dst[j] = d * (float)(lo - 16);
            dst[j + 16] = d * (float)(hi - 16);
        }
    }
}

void unpack_q5_1(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 24, dst += 32) {
        float d = load_f16(src), m = load_f16(src + 2);
        uint32_t high = load32(src + 4);
        const uint8_t *q = src + 8;
        for (unsigned j = 0; j < 16; j++) {
            dst[j] = d * (float)((q[j] & 15u) | (high >> j & 1) << 4) + m;
            dst[j + 16] = d * (float)((unsigned)q[j] >> 4 | (high >> (j + 16) & 1) << 4) + m;
        }
    }
}

void unpack_q8_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 34, dst += 32) {
        float d = load_f16(src);
        for (unsigned j = 0; j < 32; j++) dst[j] = d * (float)(int8_t)src[2 + j];
    }
}

void unpack_q8_1(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 36, dst += 32) {
        float d = load_f16(src);
        for (unsigned j = 0; j < 32; j++) dst[j] = d * (float)(int8_t)src[4 + j];
    }
}

void unpack_q1_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 128, src += 18, dst += 128) {
        float d = load_f16(src);
        for (unsigned j = 0; j < 128; j++) dst[j] = src[2 + j / 8] >> j % 8 & 1 ? d : -d;
    }
}

void unpack_q2_0(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 64, src += 18, dst += 64) {
        float d = load_f16(src);
        for (unsigned j = 0; j < 64; j++) dst[j] = d * (float)((src[2 + j / 4] >> 2 * (j % 4) & 3) - 1);
    }
}
