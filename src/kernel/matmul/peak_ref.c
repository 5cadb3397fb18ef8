#include <string.h>

#include "kernel/matmul/peak.h"

static uint64_t int8(uint64_t rounds)
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

static uint64_t f32(uint64_t rounds)
{
    float s[8] = { 0 }, x = 3;
    for (uint64_t i = 0; i < rounds; i++) {
        __asm__ volatile("" : "+m"(x));
        for (int k = 0; k < 8; k++) s[k] = s[k] * x + 1;
    }
    for (int k = 1; k < 8; k++) s[0] += s[k];
    __asm__ volatile("" : : "m"(s[0]));
    return rounds * 8;
}

static uint64_t read(const uint8_t *p, size_t bytes)
{
    uint64_t s[8] = { 0 };
    for (const uint8_t *end = p + bytes; p < end; p += 64) {
        uint64_t v[8];
        memcpy(v, p, sizeof v);
        for (int k = 0; k < 8; k++) s[k] += v[k];
    }
    return s[0] ^ s[1] ^ s[2] ^ s[3] ^ s[4] ^ s[5] ^ s[6] ^ s[7];
}

const struct peak_kernels peak_ref = { int8, int8, f32, read };
