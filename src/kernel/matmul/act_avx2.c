/* Integer activations with AVX2; the same operations as act_ref.c. */
#include <float.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/simd.h"

INLINE __m256 load_finite(const float *x)
{
    __m256 v = _mm256_loadu_ps(x);
    v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
    return _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(FLT_MAX)), _mm256_set1_ps(-FLT_MAX));
}

/* 32 columns, two groups of 16: codes to q, their sums to sum[2]. */
INLINE void quantize(const __m256 *x, const float *v, int8_t *q, int32_t *sum)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i c[4];
    UNROLL for (int i = 0; i < 4; i++) c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], _mm256_set1_ps(v[i / 2])));
    __m256i p = _mm256_packs_epi32(c[0], c[1]), r = _mm256_packs_epi32(c[2], c[3]);
    __m256i all = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(p, r), order);
    _mm256_storeu_si256((__m256i *)(void *)q, all);
    __m256i pairs = _mm256_maddubs_epi16(_mm256_set1_epi8(1), all);
    __m256i s = _mm256_madd_epi16(pairs, _mm256_set1_epi16(1));
    s = _mm256_hadd_epi32(s, s);
    s = _mm256_hadd_epi32(s, s);
    sum[0] = _mm256_extract_epi32(s, 0);
    sum[1] = _mm256_extract_epi32(s, 4);
}

INLINE float top_of(__m256 a, __m256 b)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    __m256 m = _mm256_max_ps(_mm256_andnot_ps(sign, a), _mm256_andnot_ps(sign, b));
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(m), _mm256_extractf128_ps(m, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    return _mm_cvtss_f32(_mm_max_ss(h, _mm_movehdup_ps(h)));
}

static void pack_block(const float *src, struct act_block *b, int S)
{
    __m256 x[32];
    float top[ACT_GROUPS], v[ACT_GROUPS];
    int32_t sum[ACT_GROUPS];
    __m256 a = _mm256_setzero_ps();
    for (int i = 0; i < ACT_GROUPS; i++) {
        x[2 * i] = load_finite(src + ACT_GROUP * i);
        x[2 * i + 1] = load_finite(src + ACT_GROUP * i + 8);
        top[i] = top_of(x[2 * i], x[2 * i + 1]);
    }
    a = _mm256_max_ps(_mm256_loadu_ps(top), _mm256_loadu_ps(top + 8));
    float all = top_of(a, a);
    memset(b, 0, sizeof *b);
    if (all < ACT_TINY) {
        for (int i = 0; i < ACT_GROUPS; i++) b->s[i] = b->s8[i] = 1;
        return;
    }
    b->d = all / (float)(127 * S);
    const __m256 d = _mm256_set1_ps(b->d), u = _mm256_set1_ps(127.0f * b->d), one = _mm256_set1_ps(1.0f);
    for (int i = 0; i < ACT_GROUPS; i += 8) {
        __m256 s = _mm256_ceil_ps(_mm256_div_ps(_mm256_loadu_ps(top + i), u));
        s = _mm256_min_ps(_mm256_set1_ps((float)S), _mm256_max_ps(one, s));
        _mm256_storeu_ps(v + i, _mm256_div_ps(one, _mm256_mul_ps(d, s)));
        _mm256_storeu_si256((__m256i *)(void *)(b->s + i), _mm256_cvtps_epi32(s));
    }
    for (int i = 0; i < ACT_GROUPS; i += 2) quantize(x + 2 * i, v + i, b->q + ACT_GROUP * i, sum + i);
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        b->s8[act_split(j)] = (uint8_t)b->s[j];
        b->zero[j] = (S == ACT_S_Q32 ? -128 : -32) * sum[j];
        if (S == ACT_S_Q32) b->z.pair[j / 2] += b->s[j] * sum[j];
        else b->z.split[act_split(j)] = (int16_t)(b->s[j] * sum[j]);
    }
}

void act_pack_avx2(const float *x, struct act_block *out, size_t K, int S)
{
    for (; K >= ACT_COLS; K -= ACT_COLS, x += ACT_COLS) pack_block(x, out++, S);
    if (!K) return;
    float last[ACT_COLS] = { 0 };
    memcpy(last, x, K * sizeof *x);
    pack_block(last, out, S);
}
