/* v16_neon.h - v16 (described in v16_ref.h) as four Advanced SIMD registers. */
#ifndef HEARTH_KERNEL_V16
#define HEARTH_KERNEL_V16

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { V16_PART = 4, V16_ROWS = 4, V16_COLS = 6, V16_PANEL = 8 };

typedef struct { float32x4_t a, b, c, d; } v16;      /* lanes 0..3, 4..7, 8..11, 12..15 */

static inline v16 v16_set1(float x)
{
    float32x4_t v = vdupq_n_f32(x);
    return (v16){ v, v, v, v };
}
static inline v16 v16_load(const float *p)
{
    return (v16){ vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12) };
}
static inline void v16_store(float *p, v16 x)
{
    vst1q_f32(p, x.a);
    vst1q_f32(p + 4, x.b);
    vst1q_f32(p + 8, x.c);
    vst1q_f32(p + 12, x.d);
}
static inline v16 v16_load_n(const float *p, size_t n)
{
    if (n >= 16) return v16_load(p);
    float f[16] = { 0 };
    memcpy(f, p, n * sizeof *f);
    return v16_load(f);
}
static inline void v16_store_n(float *p, v16 x, size_t n)
{
    if (n >= 16) {
        v16_store(p, x);
    } else {
        float f[16];
        v16_store(f, x);
        memcpy(p, f, n * sizeof *f);
    }
}

static inline v16 v16_load_f32(const uint8_t *p)
{
    return (v16){ vreinterpretq_f32_u8(vld1q_u8(p)), vreinterpretq_f32_u8(vld1q_u8(p + 16)),
                  vreinterpretq_f32_u8(vld1q_u8(p + 32)), vreinterpretq_f32_u8(vld1q_u8(p + 48)) };
}
static inline v16 v16_load_f16(const uint8_t *p)
{
    float16x8_t x = vreinterpretq_f16_u8(vld1q_u8(p)), y = vreinterpretq_f16_u8(vld1q_u8(p + 16));
    return (v16){ vcvt_f32_f16(vget_low_f16(x)), vcvt_high_f32_f16(x), vcvt_f32_f16(vget_low_f16(y)), vcvt_high_f32_f16(y) };
}
static inline v16 v16_load_bf16(const uint8_t *p)
{
    uint16x8_t x = vreinterpretq_u16_u8(vld1q_u8(p)), y = vreinterpretq_u16_u8(vld1q_u8(p + 16));
    return (v16){ vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(x), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(x, 16)),
                  vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(y), 16)), vreinterpretq_f32_u32(vshll_high_n_u16(y, 16)) };
}
#define V16_LOAD_N(type, bytes) \
    static inline v16 v16_load_##type##_n(const uint8_t *p, size_t n) \
    { \
        if (n >= 16) return v16_load_##type(p); \
        uint8_t b[16 * (bytes)] = { 0 }; \
        memcpy(b, p, n * (bytes)); \
        return v16_load_##type(b); \
    }
V16_LOAD_N(f32, 4)
V16_LOAD_N(f16, 2)
V16_LOAD_N(bf16, 2)
#undef V16_LOAD_N
static inline void v16_store_f16_n(uint8_t *p, v16 x, size_t n)
{
    uint8_t b[32], *to = n >= 16 ? p : b;
    vst1q_u8(to, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.a), x.b)));
    vst1q_u8(to + 16, vreinterpretq_u8_f16(vcvt_high_f16_f32(vcvt_f16_f32(x.c), x.d)));
    if (n < 16) memcpy(p, b, n * 2);
}

#define V16_OP(name, op) \
    static inline v16 v16_##name(v16 a, v16 b) { return (v16){ op(a.a, b.a), op(a.b, b.b), op(a.c, b.c), op(a.d, b.d) }; }
static inline float32x4_t v16_max_(float32x4_t a, float32x4_t b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline float32x4_t v16_min_(float32x4_t a, float32x4_t b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline float32x4_t v16_copysign_(float32x4_t x, float32x4_t y)
{
    return vbslq_f32(vdupq_n_u32(0x80000000u), y, x);
}
static inline float32x4_t v16_ldexp_(float32x4_t x, float32x4_t n)
{
    int32x4_t bias = vdupq_n_s32(127), k = vcvtnq_s32_f32(n), h = vshrq_n_s32(k, 1), l = vsubq_s32(k, h);
    x = vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(h, bias), 23)));
    return vmulq_f32(x, vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(l, bias), 23)));
}
V16_OP(add, vaddq_f32)
V16_OP(sub, vsubq_f32)
V16_OP(mul, vmulq_f32)
V16_OP(div, vdivq_f32)
V16_OP(max, v16_max_)
V16_OP(min, v16_min_)
V16_OP(copysign, v16_copysign_)
V16_OP(ldexp, v16_ldexp_)
#undef V16_OP
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){ vfmaq_f32(c.a, a.a, b.a), vfmaq_f32(c.b, a.b, b.b), vfmaq_f32(c.c, a.c, b.c), vfmaq_f32(c.d, a.d, b.d) };
}
static inline v16 v16_neg(v16 x) { return (v16){ vnegq_f32(x.a), vnegq_f32(x.b), vnegq_f32(x.c), vnegq_f32(x.d) }; }
static inline v16 v16_abs(v16 x) { return (v16){ vabsq_f32(x.a), vabsq_f32(x.b), vabsq_f32(x.c), vabsq_f32(x.d) }; }
static inline v16 v16_pick(v16 a, v16 b, v16 x, v16 y)
{
    return (v16){ vbslq_f32(vcltq_f32(a.a, b.a), x.a, y.a), vbslq_f32(vcltq_f32(a.b, b.b), x.b, y.b),
                  vbslq_f32(vcltq_f32(a.c, b.c), x.c, y.c), vbslq_f32(vcltq_f32(a.d, b.d), x.d, y.d) };
}

/* lanes i + (i + 8) + ((i + 4) + (i + 12)), i < 4 */
static inline float32x4_t v16_quarter_(v16 x) { return vaddq_f32(vaddq_f32(x.a, x.c), vaddq_f32(x.b, x.d)); }
static inline float v16_sum(v16 x)
{
    float32x4_t y = v16_quarter_(x);
    float32x2_t z = vadd_f32(vget_low_f32(y), vget_high_f32(y));
    return vget_lane_f32(vpadd_f32(z, z), 0);
}
static inline void v16_sum4(float *dst, v16 a, v16 b, v16 c, v16 d)
{
    float32x4_t p = v16_quarter_(a), q = v16_quarter_(b), r = v16_quarter_(c), s = v16_quarter_(d);
    float32x4_t u = vaddq_f32(vcombine_f32(vget_low_f32(p), vget_low_f32(q)), vcombine_f32(vget_high_f32(p), vget_high_f32(q)));
    float32x4_t v = vaddq_f32(vcombine_f32(vget_low_f32(r), vget_low_f32(s)), vcombine_f32(vget_high_f32(r), vget_high_f32(s)));
    vst1q_f32(dst, vpaddq_f32(u, v));
}
static inline float v16_top(v16 x)
{
    float32x4_t y = v16_max_(v16_max_(x.a, x.c), v16_max_(x.b, x.d));
    y = v16_max_(y, vextq_f32(y, y, 2));
    return vgetq_lane_f32(v16_max_(y, vextq_f32(y, y, 1)), 0);
}
static inline float v16_first(v16 x) { return vgetq_lane_f32(x.a, 0); }

#include "kernel/simd/v16_transpose.inc"
static inline v16 v16_swap(v16 x)
{
    return (v16){ vrev64q_f32(x.a), vrev64q_f32(x.b), vrev64q_f32(x.c), vrev64q_f32(x.d) };
}
static inline v16 v16_dup_n(const float *p, size_t n)
{
    float f[8] = { 0 };
    if (n < 8) {
        memcpy(f, p, n * sizeof *f);
        p = f;
    }
    float32x4_t x = vld1q_f32(p), y = vld1q_f32(p + 4);
    return (v16){ vzip1q_f32(x, x), vzip2q_f32(x, x), vzip1q_f32(y, y), vzip2q_f32(y, y) };
}

typedef float32x4_t v16p;
static inline v16p v16p_set1(float x) { return vdupq_n_f32(x); }
static inline v16p v16p_load(const float *p) { return vld1q_f32(p); }
static inline v16p v16p_load_f32(const uint8_t *p) { return vreinterpretq_f32_u8(vld1q_u8(p)); }
static inline v16p v16p_load_f16(const uint8_t *p) { return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p))); }
static inline v16p v16p_load_bf16(const uint8_t *p)
{
    return vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p)), 16));
}
static inline v16p v16p_bytes_(int8x8_t x) { return vcvtq_f32_s32(vmovl_s16(vget_low_s16(vmovl_s8(x)))); }
static inline int8x8_t v16p_four_(const uint8_t *p)
{
    uint32_t four;
    memcpy(&four, p, 4);
    return vreinterpret_s8_u32(vdup_n_u32(four));
}
static inline v16p v16p_load_i8(const uint8_t *p) { return v16p_bytes_(v16p_four_(p)); }
static inline v16p v16p_load_i4(const uint8_t *p, int high)
{
    uint8x8_t x = vreinterpret_u8_s8(v16p_four_(p));
    x = high ? vshr_n_u8(x, 4) : vand_u8(x, vdup_n_u8(15));
    return v16p_bytes_(vsub_s8(vreinterpret_s8_u8(x), vdup_n_s8(8)));
}
static inline v16p v16p_dup_f16(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, 2);
    return vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(h)));
}
static inline v16p v16p_mul(v16p a, v16p b) { return vmulq_f32(a, b); }
static inline v16p v16p_add(v16p a, v16p b) { return vaddq_f32(a, b); }
static inline void v16p_store(float *p, v16p x) { vst1q_f32(p, x); }
static inline v16p v16p_fma(v16p a, v16p b, v16p c) { return vfmaq_f32(c, a, b); }
static inline v16 v16p_join(const v16p *p) { return (v16){ p[0], p[1], p[2], p[3] }; }

#endif
