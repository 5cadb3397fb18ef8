/* vec.c - selection, and the parts that are scalar on every machine. */
#include "kernel/vec/vec.h"

#include <math.h>

#include "base/cpu.h"
#include "kernel/vec/attn.h"

#define KERNEL(need, name) extern const struct vec_kernels name;
#include "kernel/vec/kernels.inc"
#undef KERNEL

static const struct { uint32_t need; const struct vec_kernels *kernels; } variant[] = {
#define KERNEL(need, name) { need, &name },
#include "kernel/vec/kernels.inc"
#undef KERNEL
};

const struct vec_kernels *vec_select(uint32_t cpu)
{
    size_t i = 0;
    while (variant[i].need & ~cpu) i++;
    return variant[i].kernels;
}

size_t attn_scratch(uint32_t n_head, uint32_t n_kv, uint32_t dk, uint32_t dv)
{
    struct attn_work w;
    return attn_layout(&w, NULL, n_head, n_kv, dk, dv) * sizeof(float);
}

/* Taylor series: on |r| <= pi/4 the first term left out is below 2^-53. */
static double sin_part(double r)
{
    double z = r * r, p = -1.0 / 1307674368000;
    p = p * z + 1.0 / 6227020800;
    p = p * z - 1.0 / 39916800;
    p = p * z + 1.0 / 362880;
    p = p * z - 1.0 / 5040;
    p = p * z + 1.0 / 120;
    p = p * z - 1.0 / 6;
    return p * z * r + r;
}

static double cos_part(double r)
{
    double z = r * r, p = 1.0 / 20922789888000;
    p = p * z - 1.0 / 87178291200;
    p = p * z + 1.0 / 479001600;
    p = p * z - 1.0 / 3628800;
    p = p * z + 1.0 / 40320;
    p = p * z - 1.0 / 720;
    p = p * z + 1.0 / 24;
    return p * z * z - 0.5 * z + 1;
}

/* The angle hi + lo is the exact product.  n * HALF_PI_1 is a multiple of 2^-52, so for n < 2^31 the first fma is exact;
 * the angle keeps full relative precision down to 1e-24. */
void rope_angles(float *cos, float *sin, const double *freq, size_t n, int64_t pos, float mscale)
{
    const double half_pi_1 = 0x1.921fb54442d18p0, half_pi_2 = 0x1.1a62633145c07p-54, shift = 0x1.8p52;
    for (size_t i = 0; i < n; i++) {
        double hi = (double)pos * freq[i], lo = fma((double)pos, freq[i], -hi);
        double turns = hi * 0x1.45f306dc9c883p-1 + shift - shift;
        double r = fma(-turns, half_pi_1, hi);
        r = fma(-turns, half_pi_2, r) + lo;
        int64_t quarter = (int64_t)turns & 3;
        double s = sin_part(r), c = cos_part(r);
        double y = quarter & 1 ? c : s, x = quarter & 1 ? s : c;
        sin[i] = (float)((quarter & 2 ? -y : y) * (double)mscale);
        cos[i] = (float)(((quarter + 1) & 2 ? -x : x) * (double)mscale);
    }
}
