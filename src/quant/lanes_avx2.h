/* lanes_avx2.h - the lanes (described in lanes_any.h) as AVX2 registers. */
#ifndef HEARTH_QUANT_LANES
#define HEARTH_QUANT_LANES

#include <immintrin.h>

#include "quant/pack.h"

enum { LANES = 16, PART = 8, PARTS = LANES / PART };

typedef __m256 part;

static inline part part_set(float v) { return _mm256_set1_ps(v); }
static inline part part_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void part_store(float *p, part v) { _mm256_storeu_ps(p, v); }
static inline part part_above(part a, part b, part x) { return _mm256_and_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ), x); }
static inline part part_pick(part a, part b, part x, part y)
{
    return _mm256_blendv_ps(y, x, _mm256_cmp_ps(a, b, _CMP_GT_OQ));
}
static inline part part_max(part a, part b) { return _mm256_max_ps(a, b); }
static inline part part_min(part a, part b) { return _mm256_min_ps(a, b); }
static inline unsigned part_mask_above(part a, part b)
{
    return (unsigned)_mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ));
}

#endif
