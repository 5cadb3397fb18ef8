/* Integer activations with NEON; the same operations as act_ref.c. */
#include <arm_neon.h>
#include <float.h>
#include <string.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/simd.h"

INLINE float32x4_t load_finite(const float *x)
{
    float32x4_t v = vld1q_f32(x);
    v = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v), vceqq_f32(v, v)));
    return vmaxq_f32(vminq_f32(v, vdupq_n_f32(FLT_MAX)), vdupq_n_f32(-FLT_MAX));
}

/* 16 columns; returns the sum of their codes. */
INLINE int32_t quantize(const float32x4_t *x, float v, int8_t *q)
{
    int32x4_t c[4];
    UNROLL for (int i = 0; i < 4; i++) c[i] = vcvtnq_s32_f32(vmulq_n_f32(x[i], v));
    int16x8_t lo = vcombine_s16(vmovn_s32(c[0]), vmovn_s32(c[1])), hi = vcombine_s16(vmovn_s32(c[2]), vmovn_s32(c[3]));
    int8x16_t all = vcombine_s8(vmovn_s16(lo), vmovn_s16(hi));
    vst1q_s8(q, all);
    return vaddlvq_s8(all);
}

/* The error of the codes of 16 columns under scale s, by the tree of act.h. */
INLINE float error_of(const float32x4_t *x, float d, float s)
{
    float32x4_t e[4];
    float v = 1.0f / (d * s);
    UNROLL for (int i = 0; i < 4; i++) {
        float32x4_t y = vmulq_n_f32(x[i], v);
        e[i] = vsubq_f32(y, vrndnq_f32(y));
    }
    float32x4_t lo = vfmaq_f32(vmulq_f32(e[0], e[0]), e[2], e[2]), hi = vfmaq_f32(vmulq_f32(e[1], e[1]), e[3], e[3]);
    float32x2_t a = vadd_f32(vget_low_f32(lo), vget_high_f32(lo)), b = vadd_f32(vget_low_f32(hi), vget_high_f32(hi));
    a = vpadd_f32(a, b);
    return (vget_lane_f32(a, 0) + vget_lane_f32(a, 1)) * (s * s);
}

INLINE float best_scale(const float32x4_t *x, float d, float s)
{
    float best = s, least = error_of(x, d, s);
    for (int c = 1; c < ACT_TRIES; c++) {
        float e = error_of(x, d, s + (float)c);
        best = e < least ? s + (float)c : best;
        least = e < least ? e : least;
    }
    return best;
}

static void pack_block(const float *src, struct act_block *b, int S)
{
    float32x4_t x[64];
    float top[ACT_GROUPS], all = 0.0f;
    for (int j = 0; j < ACT_GROUPS; j++) {
        float32x4_t m = vdupq_n_f32(0.0f);
        UNROLL for (int i = 0; i < 4; i++) {
            x[4 * j + i] = load_finite(src + ACT_GROUP * j + 4 * i);
            m = vmaxq_f32(m, vabsq_f32(x[4 * j + i]));
        }
        top[j] = vmaxvq_f32(m);
        all = top[j] > all ? top[j] : all;
    }
    memset(b, 0, sizeof *b);
    if (all < ACT_TINY) {
        for (int j = 0; j < ACT_GROUPS; j++) b->s[j] = b->s16[j] = b->s8[j] = 1;
        return;
    }
    const int tight = S == ACT_S_Q32 ? S - ACT_TRIES + 1 : S;
    b->d = all / (float)(127 * tight);
    const float32x4_t d = vdupq_n_f32(b->d), u = vdupq_n_f32(127.0f * b->d), one = vdupq_n_f32(1.0f);
    float v[ACT_GROUPS];
    for (int j = 0; j < ACT_GROUPS; j += 4) {
        float32x4_t s = vrndpq_f32(vdivq_f32(vld1q_f32(top + j), u));
        s = vminq_f32(vdupq_n_f32((float)tight), vmaxq_f32(one, s));
        if (S == ACT_S_Q32) {
            vst1q_f32(top + j, s);
            for (int i = j; i < j + 4; i++) top[i] = best_scale(x + 4 * i, b->d, top[i]);
            s = vld1q_f32(top + j);
        }
        vst1q_f32(v + j, vdivq_f32(one, vmulq_f32(d, s)));
        vst1q_s32(b->s + j, vcvtq_s32_f32(s));
    }
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        int32_t sum = quantize(x + 4 * j, v[j], b->q + ACT_GROUP * j);
        b->s8[act_split(j)] = (uint8_t)b->s[j];
        b->s16[j] = (int16_t)b->s[j];
        b->zero[j] = -128 * sum;
        if (S == ACT_S_Q32) b->z.pair[j / 2] += b->s[j] * sum;
        else b->z.z16[j] = b->split[act_split(j)] = (int16_t)(b->s[j] * sum);
    }
    for (int i = 0; i < ACT_COLS; i += 32) {
        int16x8_t even = vreinterpretq_s16_s8(vld1q_s8(b->q + i)), odd = vreinterpretq_s16_s8(vld1q_s8(b->q + i + 16));
        vst1q_s8(b->pairs + i, vreinterpretq_s8_s16(vzip1q_s16(even, odd)));
        vst1q_s8(b->pairs + i + 16, vreinterpretq_s8_s16(vzip2q_s16(even, odd)));
    }
}

void act_pack_neon(const float *x, struct act_block *out, size_t K, int S)
{
    for (; K >= ACT_COLS; K -= ACT_COLS, x += ACT_COLS) pack_block(x, out++, S);
    if (!K) return;
    float last[ACT_COLS] = { 0 };
    memcpy(last, x, K * sizeof *x);
    pack_block(last, out, S);
}
