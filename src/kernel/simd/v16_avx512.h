/* v16_avx512.h - v16 (described in v16_ref.h) as one AVX-512 register. */
#ifndef HEARTH_KERNEL_V16
#define HEARTH_KERNEL_V16

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/simd/transpose_avx512.h"

enum { V16_PART = 16, V16_ROWS = 4, V16_COLS = 6, V16_PANEL = 8 };

typedef __m512 v16;

static inline __mmask16 v16_mask_(size_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

static inline v16 v16_set1(float x) { return _mm512_set1_ps(x); }
static inline v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
static inline void v16_store(float *p, v16 x) { _mm512_storeu_ps(p, x); }
static inline v16 v16_load_n(const float *p, size_t n) { return _mm512_maskz_loadu_ps(v16_mask_(n), p); }
static inline void v16_store_n(float *p, v16 x, size_t n) { _mm512_mask_storeu_ps(p, v16_mask_(n), x); }

static inline v16 v16_load_f32(const uint8_t *p) { return _mm512_loadu_ps(p); }
static inline v16 v16_load_f32_n(const uint8_t *p, size_t n) { return _mm512_maskz_loadu_ps(v16_mask_(n), p); }
static inline v16 v16_load_f16(const uint8_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline v16 v16_load_f16_n(const uint8_t *p, size_t n)
{
    return _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(v16_mask_(n), p));
}
static inline v16 v16_bf16_(__m256i h) { return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16)); }
static inline v16 v16_load_bf16(const uint8_t *p)
{
    return v16_bf16_(_mm256_loadu_si256((const __m256i *)(const void *)p));
}
static inline v16 v16_load_bf16_n(const uint8_t *p, size_t n)
{
    return v16_bf16_(_mm256_maskz_loadu_epi16(v16_mask_(n), p));
}
static inline void v16_store_f16_n(uint8_t *p, v16 x, size_t n)
{
    _mm256_mask_storeu_epi16(p, v16_mask_(n), _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}

static inline v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
static inline v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
static inline v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
static inline v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
static inline v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
static inline v16 v16_min(v16 a, v16 b) { return _mm512_min_ps(a, b); }
static inline v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v16 v16_neg(v16 x) { return _mm512_xor_ps(x, _mm512_set1_ps(-0.0f)); }
static inline v16 v16_abs(v16 x) { return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), x); }
static inline v16 v16_copysign(v16 x, v16 y)
{
    __m512 s = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(s, x), _mm512_and_ps(s, y));
}
static inline v16 v16_pick(v16 a, v16 b, v16 x, v16 y)
{
    return _mm512_mask_blend_ps(_mm512_cmp_ps_mask(a, b, _CMP_LT_OQ), y, x);
}
static inline v16 v16_ldexp(v16 x, v16 n) { return _mm512_scalef_ps(x, n); }

/* lanes i + (i + 8) + ((i + 4) + (i + 12)), i < 4 */
static inline __m128 v16_quarter_(v16 x)
{
    __m256 y = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    return _mm_add_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
}
static inline float v16_sum(v16 x)
{
    __m128 y = v16_quarter_(x);
    y = _mm_add_ps(y, _mm_movehl_ps(y, y));
    return _mm_cvtss_f32(_mm_add_ss(y, _mm_movehdup_ps(y)));
}
/* Lanes 0..7 and 8..15 of two added, then those of two such sums: each quarter is one of the four. */
static inline __m512 v16_two_(v16 a, v16 b)
{
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xee));
}
static inline void v16_sum4(float *dst, v16 a, v16 b, v16 c, v16 d)
{
    __m512 x = v16_two_(a, b), y = v16_two_(c, d);
    x = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x88), _mm512_shuffle_f32x4(x, y, 0xdd));
    x = _mm512_add_ps(x, _mm512_permute_ps(x, 0x4e));
    x = _mm512_add_ps(x, _mm512_permute_ps(x, 0xb1));
    const __m512i first = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
    _mm_storeu_ps(dst, _mm512_castps512_ps128(_mm512_permutexvar_ps(first, x)));
}
static inline float v16_top(v16 x)
{
    __m256 y = _mm256_max_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 z = _mm_max_ps(_mm256_castps256_ps128(y), _mm256_extractf128_ps(y, 1));
    z = _mm_max_ps(z, _mm_movehl_ps(z, z));
    return _mm_cvtss_f32(_mm_max_ss(z, _mm_movehdup_ps(z)));
}
static inline float v16_first(v16 x) { return _mm512_cvtss_f32(x); }

static inline void v16_transpose(v16 *x) { avx512_transpose16((__m512i *)x); }
static inline v16 v16_swap(v16 x) { return _mm512_permute_ps(x, 0xb1); }
static inline v16 v16_dup_n(const float *p, size_t n)
{
    __m512 x = v16_load_n(p, n < 8 ? n : 8);
    return _mm512_permutexvar_ps(_mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7), x);
}

typedef __m512 v16p;
static inline v16p v16p_set1(float x) { return v16_set1(x); }
static inline v16p v16p_load(const float *p) { return v16_load(p); }
static inline v16p v16p_load_f32(const uint8_t *p) { return v16_load_f32(p); }
static inline v16p v16p_load_f16(const uint8_t *p) { return v16_load_f16(p); }
static inline v16p v16p_load_bf16(const uint8_t *p) { return v16_load_bf16(p); }
static inline __m128i v16p_bytes_(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline v16p v16p_load_i8(const uint8_t *p) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(v16p_bytes_(p))); }
static inline v16p v16p_load_i4(const uint8_t *p, int high)
{
    __m128i x = v16p_bytes_(p);
    x = _mm_and_si128(high ? _mm_srli_epi16(x, 4) : x, _mm_set1_epi8(15));
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_sub_epi8(x, _mm_set1_epi8(8))));
}
static inline v16p v16p_dup_f16(const uint8_t *p)
{
    short h;
    __builtin_memcpy(&h, p, 2);
    return _mm512_cvtph_ps(_mm256_set1_epi16(h));
}
static inline v16p v16p_mul(v16p a, v16p b) { return v16_mul(a, b); }
static inline v16p v16p_add(v16p a, v16p b) { return v16_add(a, b); }
static inline void v16p_store(float *p, v16p x) { v16_store(p, x); }
static inline v16p v16p_fma(v16p a, v16p b, v16p c) { return v16_fma(a, b, c); }
static inline v16 v16p_join(const v16p *p) { return p[0]; }

#endif
