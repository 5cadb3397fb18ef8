/* lanes_any.h - sixteen floats that go the same way: the candidates of a search, each in a lane of its own.
 *
 * Each lanes_<isa>.h offers the same type and operations; a file includes exactly one of them.  A lane never meets another, and
 * all arithmetic is single precision, rounded to nearest even: the results do not depend on which header it is.
 *   part_above   a > b ? x : 0, bit for bit               part_pick   a > b ? x : y
 *   part_mask_above   a bit for each lane where a > b */
#ifndef HEARTH_QUANT_LANES
#define HEARTH_QUANT_LANES

#include "quant/pack.h"

enum { LANES = 16, PART = 4, PARTS = LANES / PART };

typedef pack_quad part;

static inline part part_set(float v) { return (part){ v, v, v, v }; }
static inline part part_load(const float *p) { return pack_quad_at(p); }
static inline void part_store(float *p, part v) { memcpy(p, &v, sizeof v); }
static inline part part_above(part a, part b, part x) { return (part)((a > b) & (pack_mask)x); }
static inline part part_pick(part a, part b, part x, part y)
{
    pack_mask m = a > b;
    return (part)((m & (pack_mask)x) | (~m & (pack_mask)y));
}
static inline part part_max(part a, part b) { return part_pick(a, b, a, b); }
static inline part part_min(part a, part b) { return part_pick(b, a, a, b); }
static inline unsigned part_mask_above(part a, part b)
{
    pack_mask m = (a > b) & (pack_mask){ 1, 2, 4, 8 };
    return (unsigned)(m[0] | m[1] | m[2] | m[3]);
}

#endif
