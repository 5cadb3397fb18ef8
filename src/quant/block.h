/* block.h - what the block files share: loads, stores, and the codebooks.  Private to quant and kernel. */
#ifndef HEARTH_QUANT_BLOCK_H
#define HEARTH_QUANT_BLOCK_H

#include <string.h>

#include "quant/quant.h"

static inline uint16_t load16(const uint8_t *p) { return (uint16_t)(p[0] | p[1] << 8); }

static inline uint32_t load32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline float load_f16(const uint8_t *p) { return f16_to_f32(load16(p)); }

static inline void store16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

/* The sign byte that a 7-bit index stands for: bit 7 makes the number of ones even. */
static inline uint8_t iq_sign8(uint32_t s)
{
    uint32_t p = s ^ s >> 4;
    p ^= p >> 2;
    p ^= p >> 1;
    return (uint8_t)(s | (p & 1) << 7);
}

/* Scale j (0..7) and minimum j of the 12 bytes of Q4_K and Q5_K. */
static inline void k_scale_min(const uint8_t *sc, unsigned j, uint8_t *scale, uint8_t *min)
{
    if (j < 4) {
        *scale = sc[j] & 63;
        *min = sc[j + 4] & 63;
    } else {
        *scale = (uint8_t)((sc[j + 4] & 15) | (sc[j - 4] >> 6) << 4);
        *min = (uint8_t)(sc[j + 4] >> 4 | (sc[j] >> 6) << 4);
    }
}

/* Factors for the doubled 4-bit float codes in fp4_codes: 2^(e - 128), and half of an unsigned E4M3. */
static inline float fp4_e8m0_half(uint8_t e)
{
    uint32_t u = e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
float fp4_ue4m3_half(uint8_t s);

/* Codebooks: magnitudes (IQ1: values) of the elements of each entry. */
extern const int8_t fp4_codes[16];          /* doubled */
extern const int8_t iq4_codes[16];
extern const uint8_t iq2_xxs_grid[256][8];
extern const uint8_t iq2_xs_grid[512][8];
extern const uint8_t iq2_s_grid[1024][8];
extern const uint8_t iq3_xxs_grid[256][4];
extern const uint8_t iq3_s_grid[512][4];
extern const int8_t iq1_grid[2048][8];

unpack_fn unpack_f32, unpack_f16, unpack_bf16;
unpack_fn unpack_q4_0, unpack_q4_1, unpack_q5_0, unpack_q5_1, unpack_q8_0, unpack_q8_1, unpack_q1_0, unpack_q2_0;
unpack_fn unpack_q2_k, unpack_q3_k, unpack_q4_k, unpack_q5_k, unpack_q6_k, unpack_q8_k;
unpack_fn unpack_iq1_s, unpack_iq1_m, unpack_iq2_xxs, unpack_iq2_xs, unpack_iq2_s, unpack_iq3_xxs, unpack_iq3_s;
unpack_fn unpack_iq4_nl, unpack_iq4_xs, unpack_tq1_0, unpack_tq2_0, unpack_mxfp4, unpack_nvfp4;
pack_weighted_fn pack_f32, pack_f16, pack_bf16;

#endif
