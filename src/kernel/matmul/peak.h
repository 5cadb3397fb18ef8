/* peak.h - what one thread can do at best: the limits that matrix products are compared with. */
#ifndef HEARTH_KERNEL_MATMUL_PEAK_H
#define HEARTH_KERNEL_MATMUL_PEAK_H

#include <stddef.h>
#include <stdint.h>

/* Runs `rounds` rounds of the 8-bit multiply (of the 16-bit one, of the fused float one) of the best instruction set in cpu, on
 * registers only; returns the number of multiply-adds done. */
uint64_t peak_int8(uint32_t cpu, uint64_t rounds);
uint64_t peak_int16(uint32_t cpu, uint64_t rounds);
uint64_t peak_f32(uint32_t cpu, uint64_t rounds);
/* Reads all bytes, as fast as they come; the value only keeps the compiler from leaving the reading out. */
uint64_t peak_read(uint32_t cpu, const uint8_t *p, size_t bytes);

/* One instruction set. */
struct peak_kernels {
    uint64_t (*int8)(uint64_t rounds);
    uint64_t (*int16)(uint64_t rounds);
    uint64_t (*f32)(uint64_t rounds);
    uint64_t (*read)(const uint8_t *p, size_t bytes);      /* a multiple of PEAK_READ */
};
enum { PEAK_READ = 512 };
extern const struct peak_kernels peak_avx2, peak_avx512, peak_neon, peak_i8mm, peak_ref;

#endif
