#include <immintrin.h>

#include "kernel/matmul/peak.h"
#include "kernel/matmul/simd.h"

enum { CHAINS = 12, STREAMS = 8 };

static uint64_t int8(uint64_t rounds)
{
    __m512i s[CHAINS], x = _mm512_set1_epi8(3);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = _mm512_set1_epi8((char)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = _mm512_dpbusd_epi32(s[k], x, x);
            __asm__ volatile("" : "+v"(s[k]));
        }
    }
    return rounds * CHAINS * 64;
}

static uint64_t int16(uint64_t rounds)
{
    __m512i s[CHAINS], x = _mm512_set1_epi16(3);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = _mm512_set1_epi16((short)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = _mm512_dpwssd_epi32(s[k], x, x);
            __asm__ volatile("" : "+v"(s[k]));
        }
    }
    return rounds * CHAINS * 32;
}

static uint64_t f32(uint64_t rounds)
{
    __m512 s[CHAINS], x = _mm512_set1_ps(0.5f);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = _mm512_set1_ps((float)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = _mm512_fmadd_ps(s[k], x, x);
            __asm__ volatile("" : "+v"(s[k]));
        }
    }
    return rounds * CHAINS * 16;
}

static uint64_t read(const uint8_t *p, size_t bytes)
{
    __m512i s[STREAMS];
    UNROLL for (int k = 0; k < STREAMS; k++) s[k] = _mm512_setzero_si512();
    for (const uint8_t *end = p + bytes; p < end; p += 64 * STREAMS)
        UNROLL for (int k = 0; k < STREAMS; k++) s[k] = _mm512_xor_si512(s[k], _mm512_loadu_si512(p + 64 * k));
    for (int k = 1; k < STREAMS; k++) s[0] = _mm512_xor_si512(s[0], s[k]);
    return (uint64_t)_mm_cvtsi128_si64(_mm512_castsi512_si128(s[0]));
}

const struct peak_kernels peak_avx512 = { int8, int16, f32, read };
