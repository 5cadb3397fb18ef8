/* cpu_emulated.c - in the place of base/cpu_detect.c: claims what avx512.h and avxvnni.h emulate. */
#include "base/cpu.h"

uint32_t cpu_features(void)
{
    uint32_t f = CPU_AVX2;
#ifdef EMULATE_avx512
    f |= CPU_AVX512;
#endif
#ifdef EMULATE_avxvnni
    f |= CPU_AVXVNNI;
#endif
    return f;
}
