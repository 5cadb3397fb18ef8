/* v16_avx2.h - v16 (described in v16_ref.h) as two AVX2 registers. */
#ifndef HEARTH_KERNEL_V16
#define HEARTH_KERNEL_V16

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { V16_PART = 8, V16_ROWS = 3, V16_COLS = 4, V16_PANEL = 9 };

typedef struct { __m256 a, b; } v16;      /* lanes 0..7, 8..15 */

static inline v16 v16_set1(float x) { return (v16){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
static inline v16 v16_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
static inline void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
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

static inline __m128i v16_half_(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline v16 v16_load_f32(const uint8_t *p)
{
    return (v16){ _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)p)),
                  _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)(p + 32))) };
}
static inline v16 v16_load_f16(const uint8_t *p)
{
    return (v16){ _mm256_cvtph_ps(v16_half_(p)), _mm256_cvtph_ps(v16_half_(p + 16)) };
}
static inline __m256 v16_bf16_(__m128i h) { return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16)); }
static inline v16 v16_load_bf16(const uint8_t *p)
{
    return (v16){ v16_bf16_(v16_half_(p)), v16_bf16_(v16_half_(p + 16)) };
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
    _mm_storeu_si128((__m128i *)(void *)to, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(void *)(to + 16), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
    if (n < 16) memcpy(p, b, n * 2);
}

#define V16_OP(name) \
    static inline v16 v16_##name(v16 a, v16 b) \
    { \
        return (v16){ _mm256_##name##_ps(a.a, b.a), _mm256_##name##_ps(a.b, b.b) }; \
    }
V16_OP(add)
V16_OP(sub)
V16_OP(mul)
V16_OP(div)
V16_OP(max)
V16_OP(min)
#undef V16_OP
static inline v16 v16_fma(v16 a, v16 b, v16 c)
{
    return (v16){ _mm256_fmadd_ps(a.a, b.a, c.a), _mm256_fmadd_ps(a.b, b.b, c.b) };
}
static inline v16 v16_neg(v16 x)
{
    __m256 s = _mm256_set1_ps(-0.0f);
    return (v16){ _mm256_xor_ps(x.a, s), _mm256_xor_ps(x.b, s) };
}
static inline v16 v16_abs(v16 x)
{
    __m256 s = _mm256_set1_ps(-0.0f);
    return (v16){ _mm256_andnot_ps(s, x.a), _mm256_andnot_ps(s, x.b) };
}
static inline v16 v16_copysign(v16 x, v16 y)
{
    __m256 s = _mm256_set1_ps(-0.0f);
    return (v16){ _mm256_or_ps(_mm256_andnot_ps(s, x.a), _mm256_and_ps(s, y.a)),
                  _mm256_or_ps(_mm256_andnot_ps(s, x.b), _mm256_and_ps(s, y.b)) };
}
static inline v16 v16_pick(v16 a, v16 b, v16 x, v16 y)
{
    return (v16){ _mm256_blendv_ps(y.a, x.a, _mm256_cmp_ps(a.a, b.a, _CMP_LT_OQ)),
                  _mm256_blendv_ps(y.b, x.b, _mm256_cmp_ps(a.b, b.b, _CMP_LT_OQ)) };
}
static inline __m256 v16_ldexp_(__m256 x, __m256 n)
{
    __m256i bias = _mm256_set1_epi32(127), k = _mm256_cvtps_epi32(n), h = _mm256_srai_epi32(k, 1);
    __m256i l = _mm256_sub_epi32(k, h);
    x = _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(h, bias), 23)));
    return _mm256_mul_ps(x, _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(l, bias), 23)));
}
static inline v16 v16_ldexp(v16 x, v16 n) { return (v16){ v16_ldexp_(x.a, n.a), v16_ldexp_(x.b, n.b) }; }

/* lanes i + (i + 8) + ((i + 4) + (i + 12)), i < 4 */
static inline __m128 v16_quarter_(v16 x)
{
    __m256 y = _mm256_add_ps(x.a, x.b);
    return _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
}
static inline float v16_sum(v16 x)
{
    __m128 y = v16_quarter_(x);
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
static inline void v16_sum4(float *dst, v16 a, v16 b, v16 c, v16 d)
{
    __m128 p = v16_quarter_(a), q = v16_quarter_(b), r = v16_quarter_(c), s = v16_quarter_(d);
    __m128 u = _mm_add_ps(_mm_movelh_ps(p, q), _mm_movehl_ps(q, p));
    __m128 v = _mm_add_ps(_mm_movelh_ps(r, s), _mm_movehl_ps(s, r));
    _mm_storeu_ps(dst, _mm_add_ps(_mm_shuffle_ps(u, v, 0x88), _mm_shuffle_ps(u, v, 0xdd)));
}
static inline float v16_top(v16 x)
{
    __m256 y = _mm256_max_ps(x.a, x.b);
    __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_max_ps(z, _mm_movehl_ps(z, z));
    return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
}
static inline float v16_first(v16 x) { return _mm256_cvtss_f32(x.a); }

#include "kernel/simd/v16_transpose.inc"
static inline v16 v16_swap(v16 x) { return (v16){ _mm256_permute_ps(x.a, 0xb1), _mm256_permute_ps(x.b, 0xb1) }; }
static inline v16 v16_dup_n(const float *p, size_t n)
{
    float f[8] = { 0 };
    if (n < 8) {
        memcpy(f, p, n * sizeof *f);
        p = f;
    }
    __m256 x = _mm256_loadu_ps(p);
    return (v16){ _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3)),
                  _mm256_permutevar8x32_ps(x, _mm256_setr_epi32(4, 4, 5, 5, 6, 6, 7, 7)) };
}

typedef __m256 v16p;
static inline v16p v16p_set1(float x) { return _mm256_set1_ps(x); }
static inline v16p v16p_load(const float *p) { return _mm256_loadu_ps(p); }
static inline v16p v16p_load_f32(const uint8_t *p)
{
    return _mm256_castsi256_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline v16p v16p_load_f16(const uint8_t *p) { return _mm256_cvtph_ps(v16_half_(p)); }
static inline v16p v16p_load_bf16(const uint8_t *p) { return v16_bf16_(v16_half_(p)); }
static inline __m128i v16p_bytes_(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)(const void *)p); }
static inline v16p v16p_load_i8(const uint8_t *p) { return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(v16p_bytes_(p))); }
static inline v16p v16p_load_i4(const uint8_t *p, int high)
{
    __m128i x = v16p_bytes_(p);
    x = _mm_and_si128(high ? _mm_srli_epi16(x, 4) : x, _mm_set1_epi8(15));
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_sub_epi8(x, _mm_set1_epi8(8))));
}
static inline v16p v16p_dup_f16(const uint8_t *p)
{
    short h;
    memcpy(&h, p, 2);
    return _mm256_cvtph_ps(_mm_set1_epi16(h));
}
static inline v16p v16p_mul(v16p a, v16p b) { return _mm256_mul_ps(a, b); }
static inline v16p v16p_add(v16p a, v16p b) { return _mm256_add_ps(a, b); }
static inline void v16p_store(float *p, v16p x) { _mm256_storeu_ps(p, x); }
static inline v16p v16p_fma(v16p a, v16p b, v16p c) { return _mm256_fmadd_ps(a, b, c); }
static inline v16 v16p_join(const v16p *p) { return (v16){ p[0], p[1] }; }

#endif
