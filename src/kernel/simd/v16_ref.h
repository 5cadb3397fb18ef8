/* v16_ref.h - sixteen floats in plain C: the definition that every other v16_*.h must match bit for bit.
 *
 * Each v16_<isa>.h offers the same type and operations; a file includes exactly one of them.  All arithmetic is IEEE
 * single precision, round to nearest even, subnormals kept.  Which NaN an operation gives is not defined.
 *   load_n, store_n   the first n elements; the rest are 0, or not written.  n >= 16: all.
 *   max, min          a > b ? a : b, a < b ? a : b: the second operand when one is NaN, or both are zero.
 *   ldexp             x * 2^n, rounded once, for 0.5 <= |x| <= 2 and whole |n| <= 200
 *   sum, top          lane i with i + 8, then + 4, + 2, + 1; sum4 does it for four vectors
 *   transpose         element j of vector i becomes element i of vector j
 *   swap, dup         lanes (1 0 3 2 ...); elements (0 0 1 1 2 2 ...) of the first n of 8
 * v16p, a part, is what one register holds: V16_PART of the sixteen lanes; load_i8, load_i4: from so many bytes, of each all or
 * one nibble - 8; dup_f16: one number for all lanes.  V16_ROWS x V16_COLS parts fit the registers beside
 * V16_ROWS + 1 operands; V16_PANEL is how many rows of floats lie well in the first cache. */
#ifndef HEARTH_KERNEL_V16
#define HEARTH_KERNEL_V16

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "quant/quant.h"

enum { V16_PART = 16, V16_ROWS = 2, V16_COLS = 2, V16_PANEL = 8 };

typedef struct { float f[16]; } v16;

#define V16_EACH for (int i = 0; i < 16; i++)

static inline v16 v16_set1(float x)
{
    v16 r;
    V16_EACH r.f[i] = x;
    return r;
}
static inline v16 v16_load_n(const float *p, size_t n)
{
    v16 r = { { 0 } };
    memcpy(r.f, p, (n < 16 ? n : 16) * sizeof *p);
    return r;
}
static inline v16 v16_load(const float *p) { return v16_load_n(p, 16); }
static inline void v16_store_n(float *p, v16 x, size_t n) { memcpy(p, x.f, (n < 16 ? n : 16) * sizeof *p); }
static inline void v16_store(float *p, v16 x) { v16_store_n(p, x, 16); }

/* Stored numbers, at any alignment. */
static inline v16 v16_load_f32_n(const uint8_t *p, size_t n)
{
    v16 r = { { 0 } };
    memcpy(r.f, p, (n < 16 ? n : 16) * sizeof *r.f);
    return r;
}
static inline v16 v16_load_f16_n(const uint8_t *p, size_t n)
{
    uint16_t h[16] = { 0 };
    v16 r;
    memcpy(h, p, (n < 16 ? n : 16) * sizeof *h);
    V16_EACH r.f[i] = f16_to_f32(h[i]);
    return r;
}
static inline v16 v16_load_bf16_n(const uint8_t *p, size_t n)
{
    uint16_t h[16] = { 0 };
    v16 r;
    memcpy(h, p, (n < 16 ? n : 16) * sizeof *h);
    V16_EACH r.f[i] = bf16_to_f32(h[i]);
    return r;
}
static inline v16 v16_load_f32(const uint8_t *p) { return v16_load_f32_n(p, 16); }
static inline v16 v16_load_f16(const uint8_t *p) { return v16_load_f16_n(p, 16); }
static inline v16 v16_load_bf16(const uint8_t *p) { return v16_load_bf16_n(p, 16); }
static inline void v16_store_f16_n(uint8_t *p, v16 x, size_t n)
{
    uint16_t h[16];
    V16_EACH h[i] = f32_to_f16(x.f[i]);
    memcpy(p, h, (n < 16 ? n : 16) * sizeof *h);
}

#define V16_OP(name, value) \
    static inline v16 v16_##name(v16 a, v16 b) { v16 r; V16_EACH r.f[i] = (value); return r; }
V16_OP(add, a.f[i] + b.f[i])
V16_OP(sub, a.f[i] - b.f[i])
V16_OP(mul, a.f[i] * b.f[i])
V16_OP(div, a.f[i] / b.f[i])
V16_OP(max, a.f[i] > b.f[i] ? a.f[i] : b.f[i])
V16_OP(min, a.f[i] < b.f[i] ? a.f[i] : b.f[i])
V16_OP(copysign, copysignf(a.f[i], b.f[i]))
#undef V16_OP

/* a * b + c, rounded once */
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    v16 r;
    V16_EACH r.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
    return r;
}
static inline v16 v16_neg(v16 x)
{
    V16_EACH x.f[i] = -x.f[i];
    return x;
}
static inline v16 v16_abs(v16 x)
{
    V16_EACH x.f[i] = fabsf(x.f[i]);
    return x;
}
/* a < b ? x : y */
static inline v16 v16_pick(v16 a, v16 b, v16 x, v16 y)
{
    V16_EACH x.f[i] = a.f[i] < b.f[i] ? x.f[i] : y.f[i];
    return x;
}
static inline float v16_pow2_(int32_t n)
{
    uint32_t u = (uint32_t)(n + 127) << 23;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}
static inline v16 v16_ldexp(v16 x, v16 n)
{
    V16_EACH {
        int32_t k = n.f[i] == n.f[i] ? (int32_t)n.f[i] : 0, h = k / 2;
        x.f[i] = x.f[i] * v16_pow2_(h) * v16_pow2_(k - h);
    }
    return x;
}

static inline float v16_sum(v16 x)
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) x.f[i] = x.f[i] + x.f[i + w];
    return x.f[0];
}
static inline void v16_sum4(float *dst, v16 a, v16 b, v16 c, v16 d)
{
    dst[0] = v16_sum(a);
    dst[1] = v16_sum(b);
    dst[2] = v16_sum(c);
    dst[3] = v16_sum(d);
}
static inline float v16_top(v16 x)
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++) x.f[i] = x.f[i] > x.f[i + w] ? x.f[i] : x.f[i + w];
    return x.f[0];
}
static inline float v16_first(v16 x) { return x.f[0]; }

#include "kernel/simd/v16_transpose.inc"
static inline v16 v16_swap(v16 x)
{
    v16 r;
    V16_EACH r.f[i] = x.f[i ^ 1];
    return r;
}
static inline v16 v16_dup_n(const float *p, size_t n)
{
    v16 r;
    V16_EACH r.f[i] = (size_t)i / 2 < n ? p[i / 2] : 0;
    return r;
}

typedef v16 v16p;
static inline v16p v16p_set1(float x) { return v16_set1(x); }
static inline v16p v16p_load(const float *p) { return v16_load(p); }
static inline v16p v16p_load_f32(const uint8_t *p) { return v16_load_f32(p); }
static inline v16p v16p_load_f16(const uint8_t *p) { return v16_load_f16(p); }
static inline v16p v16p_load_bf16(const uint8_t *p) { return v16_load_bf16(p); }
static inline v16p v16p_load_i8(const uint8_t *p)
{
    v16 r;
    V16_EACH r.f[i] = (float)(int8_t)p[i];
    return r;
}
static inline v16p v16p_load_i4(const uint8_t *p, int high)
{
    v16 r;
    V16_EACH r.f[i] = (float)((int)(high ? p[i] >> 4 : p[i] & 15) - 8);
    return r;
}
static inline v16p v16p_dup_f16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return v16_set1(f16_to_f32(h));
}
static inline v16p v16p_mul(v16p a, v16p b) { return v16_mul(a, b); }
static inline v16p v16p_add(v16p a, v16p b) { return v16_add(a, b); }
static inline void v16p_store(float *p, v16p x) { v16_store(p, x); }
static inline v16p v16p_fma(v16p a, v16p b, v16p c) { return v16_fma(a, b, c); }
static inline v16 v16p_join(const v16p *p) { return p[0]; }

#undef V16_EACH
#endif
