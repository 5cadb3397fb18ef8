/* Integer activations with AVX2; the same operations as act_ref.c. */
#include <float.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/x86.h"

/* 32 columns of act.h's pair order. */
INLINE __m256i pair_order(__m256i v)
{
    const __m256i pair = _mm256_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15,
                                          0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15);
    return _mm256_shuffle_epi8(_mm256_permute4x64_epi64(v, 0xd8), pair);
}

INLINE __m256 load_finite(const float *x)
{
    __m256 v = _mm256_loadu_ps(x);
    v = _mm256_and_ps(v, _mm256_cmp_ps(v, v, _CMP_ORD_Q));
    return _mm256_max_ps(_mm256_min_ps(v, _mm256_set1_ps(FLT_MAX)), _mm256_set1_ps(-FLT_MAX));
}

/* 32 columns, two groups of 16: codes to q, their sums to sum[2]. */
INLINE void quantize(const __m256 *x, const float *v, int8_t *q, int8_t *pairs, int32_t *sum)
{
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    __m256i c[4];
    UNROLL for (int i = 0; i < 4; i++) c[i] = _mm256_cvtps_epi32(_mm256_mul_ps(x[i], _mm256_set1_ps(v[i / 2])));
    __m256i p = _mm256_packs_epi32(c[0], c[1]), r = _mm256_packs_epi32(c[2], c[3]);
    __m256i all = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(p, r), order);
    _mm256_storeu_si256((__m256i *)(void *)q, all);
    store256(pair_order(all), pairs);
    __m256i two = _mm256_maddubs_epi16(_mm256_set1_epi8(1), all);
    __m256i s = _mm256_madd_epi16(two, _mm256_set1_epi16(1));
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

/* Lane c: the error of the codes of 16 columns under scale s[c], by the tree of act.h. */
INLINE __m256 errors(const __m256 *x, __m256 s, __m256 v)
{
    __m256 p[ACT_TRIES];
    float each[ACT_TRIES];
    _mm256_storeu_ps(each, v);
    UNROLL for (int c = 0; c < ACT_TRIES; c++) {
        __m256 f = _mm256_set1_ps(each[c]), y0 = _mm256_mul_ps(x[0], f), y1 = _mm256_mul_ps(x[1], f);
        y0 = _mm256_sub_ps(y0, _mm256_round_ps(y0, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        y1 = _mm256_sub_ps(y1, _mm256_round_ps(y1, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        p[c] = _mm256_fmadd_ps(y1, y1, _mm256_mul_ps(y0, y0));
    }
    UNROLL for (int c = 0; c < 8; c += 2)
        p[c] = _mm256_add_ps(_mm256_unpacklo_ps(p[c], p[c + 1]), _mm256_unpackhi_ps(p[c], p[c + 1]));
    UNROLL for (int c = 0; c < 8; c += 4)
        p[c] = _mm256_add_ps(_mm256_shuffle_ps(p[c], p[c + 2], 0x44), _mm256_shuffle_ps(p[c], p[c + 2], 0xee));
    __m256 sum = _mm256_add_ps(_mm256_permute2f128_ps(p[0], p[4], 0x20), _mm256_permute2f128_ps(p[0], p[4], 0x31));
    return _mm256_mul_ps(sum, _mm256_mul_ps(s, s));
}

INLINE float best_scale(const __m256 *x, __m256 d, float s)
{
    __m256 tries = _mm256_add_ps(_mm256_set1_ps(s), _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7));
    __m256 e = errors(x, tries, _mm256_div_ps(_mm256_set1_ps(1.0f), _mm256_mul_ps(d, tries)));
    __m256 m = _mm256_min_ps(e, _mm256_permute2f128_ps(e, e, 1));
    m = _mm256_min_ps(m, _mm256_shuffle_ps(m, m, 0x4e));
    m = _mm256_min_ps(m, _mm256_shuffle_ps(m, m, 0xb1));
    return s + (float)__builtin_ctz((unsigned)_mm256_movemask_ps(_mm256_cmp_ps(e, m, _CMP_EQ_OQ)));
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
        for (int i = 0; i < ACT_GROUPS; i++) b->s[i] = b->s16[i] = b->s8[i] = 1;
        return;
    }
    const int tight = S == ACT_S_Q32 ? S - ACT_TRIES + 1 : S;
    b->d = all / (float)(127 * tight);
    const __m256 d = _mm256_set1_ps(b->d), u = _mm256_set1_ps(127.0f * b->d), one = _mm256_set1_ps(1.0f);
    for (int i = 0; i < ACT_GROUPS; i += 8) {
        __m256 s = _mm256_ceil_ps(_mm256_div_ps(_mm256_loadu_ps(top + i), u));
        s = _mm256_min_ps(_mm256_set1_ps((float)tight), _mm256_max_ps(one, s));
        if (S == ACT_S_Q32) {
            _mm256_storeu_ps(top + i, s);
            for (int j = i; j < i + 8; j++) top[j] = best_scale(x + 2 * j, d, top[j]);
            s = _mm256_loadu_ps(top + i);
        }
        _mm256_storeu_ps(v + i, _mm256_div_ps(one, _mm256_mul_ps(d, s)));
        _mm256_storeu_si256((__m256i *)(void *)(b->s + i), _mm256_cvtps_epi32(s));
    }
    for (int i = 0; i < ACT_GROUPS; i += 2) quantize(x + 2 * i, v + i, b->q + ACT_GROUP * i, b->pairs + ACT_GROUP * i, sum + i);
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        b->s8[act_split(j)] = (uint8_t)b->s[j];
        b->s16[j] = (int16_t)b->s[j];
        b->zero[j] = -128 * sum[j];
        if (S == ACT_S_Q32) b->z.pair[j / 2] += b->s[j] * sum[j];
        else b->z.z16[j] = b->split[act_split(j)] = (int16_t)(b->s[j] * sum[j]);
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
