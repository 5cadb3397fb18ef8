#include <immintrin.h>

#include "kernel/matmul/peak.h"
#include "kernel/matmul/simd.h"

enum { CHAINS = 12, STREAMS = 8 };

static uint64_t int8(uint64_t rounds)
{
    __m256i s[CHAINS], x = _mm256_set1_epi8(3);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = _mm256_set1_epi8((char)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = _mm256_maddubs_epi16(s[k], x);
            __asm__ volatile("" : "+x"(s[k]));
        }
    }
    return rounds * CHAINS * 32;
}

static uint64_t int16(uint64_t rounds)
{
    __m256i s[CHAINS], x = _mm256_set1_epi16(3);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = _mm256_set1_epi16((short)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = _mm256_madd_epi16(s[k], x);
            __asm__ volatile("" : "+x"(s[k]));
        }
    }
    return rounds * CHAINS * 16;
}

static uint64_t f32(uint64_t rounds)
{
    __m256 s[CHAINS], x = _mm256_set1_ps(0.5f);
    UNROLL for (int k = 0; k < CHAINS; k++) s[k] = _mm256_set1_ps((float)k);
    for (uint64_t i = 0; i < rounds; i++) {
        UNROLL for (int k = 0; k < CHAINS; k++) {
            s[k] = _mm256_fmadd_ps(s[k], x, x);
            __asm__ volatile("" : "+x"(s[k]));
        }
    }
    return rounds * CHAINS * 8;
}

static uint64_t read(const uint8_t *p, size_t bytes)
{
    __m256i s[STREAMS];
    UNROLL for (int k = 0; k < STREAMS; k++) s[k] = _mm256_setzero_si256();
    for (const uint8_t *end = p + bytes; p < end; p += 32 * STREAMS)
        UNROLL for (int k = 0; k < STREAMS; k++)
            s[k] = _mm256_xor_si256(s[k], _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * k)));
    for (int k = 1; k < STREAMS; k++) s[0] = _mm256_xor_si256(s[0], s[k]);
    return (uint64_t)_mm256_extract_epi64(s[0], 0);
}

const struct peak_kernels peak_avx2 = { int8, int16, f32, read };
