/* avxvnni.h - the two instructions of AVX-VNNI that Hearth's kernels use, for machines without them.
 *
 * Included in front of every *_avxvnni.c by `make EMULATE=avxvnni`.  With EVEX the processor has the same instructions in the
 * encoding of AVX-512, and runs those, at its full speed and with the 16 registers that AVX2 has; else plain C. */
#ifndef HEARTH_TESTS_EMULATE_AVXVNNI_H
#define HEARTH_TESTS_EMULATE_AVXVNNI_H

#include <immintrin.h>
#include <stdint.h>

#define EMU static inline __attribute__((unused, always_inline))

#ifdef EVEX
EMU __m256i emu_dpbusd(__m256i sum, __m256i a, __m256i b)
{
    __asm__("%{evex%} vpdpbusd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
}
EMU __m256i emu_dpwssd(__m256i sum, __m256i a, __m256i b)
{
    __asm__("%{evex%} vpdpwssd %2, %1, %0" : "+x"(sum) : "x"(a), "x"(b));
    return sum;
}
#else
typedef union { __m256i v; int32_t s[8]; int16_t h[16]; uint8_t b[32]; int8_t sb[32]; } emu_vnni;

EMU __m256i emu_dpbusd(__m256i sum, __m256i va, __m256i vb)
{
    emu_vnni r = { sum }, a = { va }, b = { vb };
    for (int k = 0; k < 32; k++) r.s[k / 4] = (int32_t)((uint32_t)r.s[k / 4] + (uint32_t)(a.b[k] * b.sb[k]));
    return r.v;
}
EMU __m256i emu_dpwssd(__m256i sum, __m256i va, __m256i vb)
{
    emu_vnni r = { sum }, a = { va }, b = { vb };
    for (int k = 0; k < 16; k++) r.s[k / 2] = (int32_t)((uint32_t)r.s[k / 2] + (uint32_t)(a.h[k] * b.h[k]));
    return r.v;
}
#endif

#define _mm256_dpbusd_avx_epi32 emu_dpbusd
#define _mm256_dpwssd_avx_epi32 emu_dpwssd

#endif
