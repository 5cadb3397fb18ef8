#include <immintrin.h>

#include "kernel/matmul/peak.h"
#include "kernel/matmul/simd.h"

enum { CHAINS = 12 };

uint64_t peak_avx512(uint64_t rounds)
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
