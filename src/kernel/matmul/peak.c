#include "kernel/matmul/peak.h"

#include "base/cpu.h"

static const struct { uint32_t need; const struct peak_kernels *k; } peaks[] = {
#define PEAK(features, name) { features, &name },
#include "kernel/matmul/peaks.inc"
#undef PEAK
};

static const struct peak_kernels *best(uint32_t cpu)
{
    size_t i = 0;
    while (peaks[i].need & ~cpu) i++;
    return peaks[i].k;
}

uint64_t peak_int8(uint32_t cpu, uint64_t rounds) { return best(cpu)->int8(rounds); }
uint64_t peak_int16(uint32_t cpu, uint64_t rounds) { return best(cpu)->int16(rounds); }
uint64_t peak_f32(uint32_t cpu, uint64_t rounds) { return best(cpu)->f32(rounds); }

uint64_t peak_read(uint32_t cpu, const uint8_t *p, size_t bytes)
{
    size_t whole = bytes / PEAK_READ * PEAK_READ;
    uint64_t sum = best(cpu)->read(p, whole);
    for (size_t i = whole; i < bytes; i++) sum += p[i];
    return sum;
}
