/* cpu_detect.c - asks the processor what it has.  Apart from cpu.c so that a test build can claim more than is there. */
#include "base/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

static uint64_t xcr0(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

uint32_t cpu_features(void)
{
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29 };
    if ((c & (FMA | OSXSAVE | AVX | F16C)) != (FMA | OSXSAVE | AVX | F16C)) return 0;
    uint64_t x = xcr0();
    if ((x & 6) != 6) return 0;                               /* xmm and ymm saved */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    uint32_t f = 0;
    if ((b & (1u << 5)) && (b & (1u << 8))) f |= CPU_AVX2;    /* AVX2, BMI2 */
    uint32_t need = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  /* F, DQ, BW, VL */
    if (f && (b & need) == need && (c & (1u << 11)) && (x & 0xe6) == 0xe6) f |= CPU_AVX512;
    if (f && a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 4))) f |= CPU_AVXVNNI;
    return f;
}
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>

uint32_t cpu_features(void)
{
    unsigned long cap = getauxval(AT_HWCAP);
    enum { ASIMD = 1 << 1, ASIMDDP = 1 << 20, I8MM = 1 << 13 };
    if (!(cap & ASIMD) || !(cap & ASIMDDP)) return 0;
    return CPU_NEON | (getauxval(AT_HWCAP2) & I8MM ? CPU_I8MM : 0);
}
#elif defined(__aarch64__)
#include <sys/sysctl.h>

uint32_t cpu_features(void)
{
    int i8mm = 0;
    size_t size = sizeof i8mm;
    if (sysctlbyname("hw.optional.arm.FEAT_I8MM", &i8mm, &size, NULL, 0)) i8mm = 0;     /* an older system knows no such name */
    return CPU_NEON | (i8mm ? CPU_I8MM : 0);                  /* every Apple chip has the dot product */
}
#else
uint32_t cpu_features(void) { return 0; }
#endif
