/* cpu.h - which instruction sets may be used.
 *
 * A kernel variant names the set of features it needs; the first row of its kernels.inc that fits runs.
 * All variants of a kernel give the same bits, so the choice is only about speed. */
#ifndef HEARTH_BASE_CPU_H
#define HEARTH_BASE_CPU_H

#include <stdint.h>

#include "base/err.h"

enum {
    CPU_AVX2    = 1u << 0,   /* AVX2, FMA, F16C, BMI2 */
    CPU_AVX512  = 1u << 1,   /* AVX-512 F, BW, VL, DQ and VNNI; implies CPU_AVX2 */
    CPU_NEON    = 1u << 2,   /* Advanced SIMD with dot product and half-precision conversion */
    CPU_AVXVNNI = 1u << 3,   /* VNNI of 256 bits, in the encoding of AVX; implies CPU_AVX2 */
    CPU_I8MM    = 1u << 4    /* the product of 8-bit matrices; implies CPU_NEON */
};

/* What this processor has and the system saves on a context switch. */
uint32_t cpu_features(void);

#define CPU_NAMES "scalar, avx2, avxvnni, avx512, neon, i8mm"
/* features restricted by a name of CPU_NAMES, NULL or "auto" (no restriction).
 * ERR_ARG when the name is unknown, ERR_UNSUPPORTED when this processor lacks it. */
int cpu_select(const char *name, uint32_t *features, struct err *err);

const char *cpu_features_name(uint32_t features);   /* the best of CPU_NAMES that they have */

#endif
