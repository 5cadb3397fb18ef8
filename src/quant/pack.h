/* pack.h - what the packers share: clean input, levels, sums in a fixed order, and the fit of one scale.  Private to quant.
 *
 * Every packer minimises sum weight[i] * (value[i] - what unpacking gives)^2 inside each block; without weights all count the
 * same (but see pack_k.c).  It first fits scales with real numbers, rounds them to what the block can store, and then chooses the
 * levels (and once more the small integer scales) against the rounded ones, so that rounding is part of the fit.
 * Sums run in four lanes that are added in one order: the bits are the same on every machine, and compilers may use vectors. */
#ifndef HEARTH_QUANT_PACK_H
#define HEARTH_QUANT_PACK_H

#include "quant/block.h"

#define PACK_F16_MAX 65504.0f

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

/* Copies n values: a NaN counts as 0, magnitudes are clamped to what keeps every sum finite.  Weights are scaled so that the
 * largest is 1; one that is not above a hundred-thousandth of it (or no number) becomes that, so that no value is free. */
void pack_load(const float *src, const float *weight, float *x, float *w, unsigned n);

/* The value of largest magnitude, with its sign; 0 when that is too small to matter. */
float pack_extreme(const float *x, unsigned n);

/* sum w x l, sum w l^2.  n is a multiple of 4 in all of these. */
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
float pack_power(const float *x, const float *w, unsigned n);
/* sum w (x - y)^2 */
float pack_error(const float *x, const float *w, const float *y, unsigned n);

/* ---- values that are a scale times a level ---- */

/* The levels of a type: whole numbers lo..hi, or (n > 0) lo and n more, each step[k] above the one before and chosen above
 * mid[k]. */
struct pack_grid { float lo, hi; unsigned n; const float *mid, *step; };
extern const struct pack_grid pack_grid_iq4, pack_grid_fp4;

/* l[i] = the level nearest to x[i] * iscale */
void pack_levels(const struct pack_grid *g, const float *x, float iscale, float *l, unsigned n);

/* How a scale is looked for: the extreme value is put onto lo (and onto hi) plus from, plus from + step, ... n times. */
struct pack_search { const struct pack_grid *grid; float from, step; unsigned n; };

/* The best scale for n (at most 256) values; 0 when all are 0. */
float pack_fit(const struct pack_search *s, const float *x, const float *w, unsigned n);
/* What is gained over all zeros, in the error that is minimised, with the levels that scale d (0: none) gives. */
float pack_gain(const struct pack_grid *g, const float *x, const float *w, unsigned n, float d);

#endif
