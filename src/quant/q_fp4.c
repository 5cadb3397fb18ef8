/* q_fp4.c - 4-bit floats (E2M1) with a shared exponent or small float: MXFP4 and NVFP4. */
#include <string.h>

#include "quant/block.h"

const int8_t fp4_codes[16] = { 0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12 };

float fp4_ue4m3_half(uint8_t s)
{
    if (s == 127) return 0;
    unsigned e = s >> 3 & 15, m = s & 7;
    if (!e) return (float)m * 0x1p-10f;
    uint32_t u = (e + 127 - 8) << 23 | m << 20;
    float f;
    memcpy(&f, &u, 4);
    return f;
}

/* { u8 e; u8 qs[16] } */
void unpack_mxfp4(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 32, src += 17, dst += 32) {
        float d = fp4_e8m0_half(src[0]);
        for (unsigned j = 0; j < 16; j++) {
            dst[j] = d * (float)fp4_codes[src[1 + j] & 15];
            dst[j + 16] = d * (float)fp4_codes[src[1 + j] >> 4];
        }
    }
}

/* { u8 d[4]; u8 qs[32] } */
void unpack_nvfp4(const uint8_t *src, float *dst, size_t n)
{
    for (; n; n -= 64, src += 36, dst += 64)
        for (unsigned b = 0; b < 4; b++) {
            float d = fp4_ue4m3_half(src[b]);
            const uint8_t *q = src + 4 + 8 * b;
            for (unsigned j = 0; j < 8; j++) {
                dst[16 * b + j] = d * (float)fp4_codes[q[j] & 15];
                dst[16 * b + 8 + j] = d * (float)fp4_codes[q[j] >> 4];
            }
        }
}
