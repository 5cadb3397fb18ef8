/* peak.h - how many integer multiply-adds one thread can do: the limit that matrix products are compared with. */
#ifndef HEARTH_KERNEL_MATMUL_PEAK_H
#define HEARTH_KERNEL_MATMUL_PEAK_H

#include <stddef.h>
#include <stdint.h>

/* Runs `rounds` rounds of the 8-bit multiply instruction of the best instruction set in cpu, on registers only; returns the
 * number of multiply-adds done. */
uint64_t peak_int8(uint32_t cpu, uint64_t rounds);

typedef uint64_t peak_fn(uint64_t rounds);
peak_fn peak_avx2, peak_avx512, peak_neon, peak_ref;

#endif
