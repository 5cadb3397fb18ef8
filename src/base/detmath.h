/* detmath.h - exp, log and random numbers that are the same bits on every machine.
 *
 * Only IEEE double addition, multiplication, division and integer operations in a written order (the build turns
 * contraction off), so a token that is drawn does not depend on anybody's libm.
 * Threads: pure functions. */
#ifndef HEARTH_BASE_DETMATH_H
#define HEARTH_BASE_DETMATH_H

#include <stdint.h>
#include <string.h>

/* e^x for x <= 709; relative error below 1e-15.  0 below -708 (no denormals), also for -infinity; x must not be NaN.
 * x = k ln 2 + r with |r| <= ln 2 / 2, then the Taylor sum of e^r to r^13 / 13! by Horner. */
static inline double det_exp(double x)
{
    if (!(x > -708.0)) return 0.0;
    if (x > 709.0) x = 709.0;
    const double ln2_hi = 0x1.62e42fefa0000p-1, ln2_lo = 0x1.cf79abc9e3b3ap-40, inv_ln2 = 0x1.71547652b82fep+0;
    double t = x * inv_ln2;
    int64_t k = (int64_t)(t < 0 ? t - 0.5 : t + 0.5);
    double r = (x - (double)k * ln2_hi) - (double)k * ln2_lo;
    double p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
    p = p * r + 1.0;
    p = p * r + 1.0;
    uint64_t bits = (uint64_t)(k + 1023) << 52;
    double scale;
    memcpy(&scale, &bits, 8);
    return p * scale;
}

/* ln x for positive normal x; absolute error below 1e-15 * (1 + |ln x|).
 * x = m 2^k with m in [0.70, 1.42), s = (m - 1) / (m + 1), ln m = 2 (s + s^3/3 + s^5/5 + ...), |s| < 0.172. */
static inline double det_log(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, 8);
    int64_t k = (int64_t)(bits >> 52) - 1023;
    bits = (bits & 0x000fffffffffffffu) | 0x3ff0000000000000u;
    double m;
    memcpy(&m, &bits, 8);
    if (m > 1.41421356237309515) {
        m *= 0.5;
        k++;
    }
    double s = (m - 1.0) / (m + 1.0), q = s * s, sum = 0;
    for (int i = 21; i >= 3; i -= 2) sum = (sum + 1.0 / i) * q;
    double ln_m = 2.0 * s + 2.0 * s * sum;
    return (double)k * 0x1.62e42fefa39efp-1 + ln_m;
}

/* Philox4x32 with 10 rounds: four random words as a function of a 128-bit counter and a 64-bit key.
 * Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. */
static inline void det_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t a = counter[0], b = counter[1], c = counter[2], d = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t x = (uint64_t)0xD2511F53u * a, y = (uint64_t)0xCD9E8D57u * c;
        a = (uint32_t)(y >> 32) ^ b ^ k0;
        b = (uint32_t)y;
        c = (uint32_t)(x >> 32) ^ d ^ k1;
        d = (uint32_t)x;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = a;
    out[1] = b;
    out[2] = c;
    out[3] = d;
}

/* Uniform in [0, 1), a multiple of 2^-53.  stream separates uses of the same seed and position. */
static inline double det_uniform(uint64_t seed, uint64_t position, uint32_t stream)
{
    uint32_t counter[4] = { (uint32_t)position, (uint32_t)(position >> 32), stream, 0 };
    uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) }, w[4];
    det_philox(counter, key, w);
    return (double)(((uint64_t)w[0] << 32 | w[1]) >> 11) * 0x1p-53;
}

#endif
