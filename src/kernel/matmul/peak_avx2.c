#include <immintrin.h>

#include "kernel/matmul/peak.h"
#include "kernel/matmul/simd.h"

enum { CHAINS = 12 };

uint64_t peak_avx2(uint64_t rounds)
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
