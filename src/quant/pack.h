/* pack.h - what the packers share.  Private to quant.
 *
 * Every packer minimises sum weight[i] * (value[i] - what unpacking gives)^2 inside each block; without weights all count the
 * same (but see pack_k.inc).  It first fits scales with real numbers, rounds them to what the block can store, and then chooses
 * the levels (and once more the small integer scales) against the rounded ones, so that rounding is part of the fit.
 *
 * A search tries sixteen candidates at once, each in a lane of a vector (lanes_any.h).  A candidate's sums run over the block's
 * values one after the other, whatever the width of a register is: the bits are the same on every machine.
 *
 *   pack.inc          input, levels, the fit of one scale     pack_k.inc    scales and minimums, Q4_1 and Q5_1 too
 *   pack_legacy.inc   blocks with one scale                   pack_sym.inc  super-blocks without minimums
 *   pack_fp4.inc      MXFP4, NVFP4                            pack_iq.inc   codebooks; pack_iq_put.inc lays them out
 *   packers.inc       all of them, which a pack_<isa>.c compiles for its instruction set */
#ifndef HEARTH_QUANT_PACK_H
#define HEARTH_QUANT_PACK_H

#include "quant/block.h"

#define PACK_F16_MAX 65504.0f

struct packers { struct { pack_fn *plain; pack_weighted_fn *weighted; } of[N_DTYPE]; };
/* Never NULL; all give the same bits. */
const struct packers *pack_select(uint32_t cpu);

static inline float pack_abs(float v) { return v < 0 ? -v : v; }

/* Nearest whole number, ties to even, clamped; a NaN gives lo. */
static inline float pack_round(float v, float lo, float hi)
{
    const float magic = 12582912.0f;        /* 1.5 * 2^23: the addition rounds to a whole number */
    v = v > lo ? v : lo;
    v = v < hi ? v : hi;
    return (v + magic) - magic;
}

static inline int pack_nearest(float v, int lo, int hi) { return (int)pack_round(v, (float)lo, (float)hi); }

/* The f16 nearest to a scale, never infinite. */
static inline uint16_t pack_scale(float d)
{
    return f32_to_f16(d > PACK_F16_MAX ? PACK_F16_MAX : d < -PACK_F16_MAX ? -PACK_F16_MAX : d);
}

static inline float pack_inverse(float d) { return pack_abs(d) > 1e-30f ? 1 / d : 0; }

typedef float pack_quad __attribute__((vector_size(16)));
typedef int32_t pack_mask __attribute__((vector_size(16)));
static inline pack_quad pack_quad_at(const float *p)
{
    pack_quad v;
    memcpy(&v, p, sizeof v);
    return v;
}
static inline float pack_quad_sum(pack_quad v) { return (v[0] + v[1]) + (v[2] + v[3]); }

/* sum w x l, sum w l^2.  n is a multiple of 4 in all of these, whose sums run in four lanes. */
struct pack_moments { float xl, ll; };
static inline struct pack_moments pack_moments(const float *x, const float *w, const float *l, unsigned n)
{
    pack_quad xl = { 0 }, ll = { 0 };
    for (unsigned i = 0; i < n; i += 4) {
        pack_quad v = pack_quad_at(l + i), t = v * pack_quad_at(w + i);
        xl += t * pack_quad_at(x + i);
        ll += t * v;
    }
    return (struct pack_moments){ pack_quad_sum(xl), pack_quad_sum(ll) };
}

/* sum w x^2 */
static inline float pack_power(const float *x, const float *w, unsigned n)
{
    pack_quad s = { 0 };
    for (unsigned i = 0; i < n; i += 4) s += pack_quad_at(w + i) * pack_quad_at(x + i) * pack_quad_at(x + i);
    return pack_quad_sum(s);
}

#endif
