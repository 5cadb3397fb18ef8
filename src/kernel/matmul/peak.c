#include "kernel/matmul/peak.h"

#include "base/cpu.h"

static const struct { uint32_t need; peak_fn *fn; } peaks[] = {
#define PEAK(features, name) { features, name },
#include "kernel/matmul/peaks.inc"
#undef PEAK
};

uint64_t peak_int8(uint32_t cpu, uint64_t rounds)
{
    size_t i = 0;
    while (peaks[i].need & ~cpu) i++;
    return peaks[i].fn(rounds);
}
