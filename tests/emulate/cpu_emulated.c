/* cpu_emulated.c - in the place of base/cpu_detect.c: claims what avx512.h emulates. */
#include "base/cpu.h"

uint32_t cpu_features(void) { return CPU_AVX2 | CPU_AVX512; }
