#include "kernel/matmul/peak.h"

uint64_t peak_ref(uint64_t rounds)
{
    int32_t s[8] = { 0 }, x = 3;
    for (uint64_t i = 0; i < rounds; i++) {
        __asm__ volatile("" : "+r"(x));
        for (int k = 0; k < 8; k++) s[k] += x * (int32_t)(x + k);
    }
    for (int k = 1; k < 8; k++) s[0] |= s[k];
    __asm__ volatile("" : : "r"(s[0]));
    return rounds * 8;
}
