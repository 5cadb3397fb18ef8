/* Integer activations with AVX-512; the same operations as act_ref.c.  A register holds one number of each group of 16. */
#include <float.h>
#include <immintrin.h>
#include <string.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/x86.h"
#include "kernel/simd/transpose_avx512.h"

INLINE __m512 load_finite(const float *x)
{
    __m512 v = _mm512_loadu_ps(x);
    v = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(v, v, _CMP_ORD_Q), v);
    return _mm512_max_ps(_mm512_min_ps(v, _mm512_set1_ps(FLT_MAX)), _mm512_set1_ps(-FLT_MAX));
}

INLINE __m512 inverse(__m512 d, __m512 s) { return _mm512_div_ps(_mm512_set1_ps(1.0f), _mm512_mul_ps(d, s)); }

/* Columns i and i + 8 of the error's tree. */
INLINE __m512 error_part(const __m512 *x, int i, __m512 v)
{
    __m512 y0 = _mm512_mul_ps(x[i], v), y1 = _mm512_mul_ps(x[i + 8], v);
    y0 = _mm512_sub_ps(y0, _mm512_roundscale_ps(y0, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    y1 = _mm512_sub_ps(y1, _mm512_roundscale_ps(y1, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    return _mm512_fmadd_ps(y1, y1, _mm512_mul_ps(y0, y0));
}

INLINE __m512 error_half(const __m512 *x, int i, __m512 v)
{
    return _mm512_add_ps(_mm512_add_ps(error_part(x, i, v), error_part(x, i + 2, v)),
                         _mm512_add_ps(error_part(x, i + 1, v), error_part(x, i + 3, v)));
}

INLINE __m512 error_of(const __m512 *x, __m512 d, __m512 s)
{
    __m512 v = inverse(d, s);
    return _mm512_mul_ps(_mm512_add_ps(error_half(x, 0, v), error_half(x, 4, v)), _mm512_mul_ps(s, s));
}

INLINE __m512 best_scales(const __m512 *x, __m512 d, __m512 s)
{
    __m512 best = s, least = error_of(x, d, s);
    for (int c = 1; c < ACT_TRIES; c++) {
        __m512 with = _mm512_add_ps(s, _mm512_set1_ps((float)c)), e = error_of(x, d, with);
        __mmask16 less = _mm512_cmp_ps_mask(e, least, _CMP_LT_OQ);
        least = _mm512_mask_mov_ps(least, less, e);
        best = _mm512_mask_mov_ps(best, less, with);
    }
    return best;
}

/* What depends on the scales and the sums of codes only. */
INLINE void put_scales(struct act_block *b, __m512i s, __m512i sum, int S)
{
    const __m512i split = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m512i times = _mm512_mullo_epi32(s, sum);
    _mm512_storeu_si512(b->s, s);
    _mm512_storeu_si512(b->zero, _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_slli_epi32(sum, 7)));
    store256(_mm512_cvtepi32_epi16(s), b->s16);
    _mm_storeu_si128((__m128i *)(void *)b->s8, _mm512_cvtepi32_epi8(_mm512_permutexvar_epi32(split, s)));
    times = _mm512_permutexvar_epi32(split, times);
    if (S == ACT_S_Q32) {
        store256(_mm256_add_epi32(_mm512_castsi512_si256(times), _mm512_extracti64x4_epi64(times, 1)), b->z.pair);
        store256(_mm256_setzero_si256(), b->split);
    } else {
        store256(_mm512_cvtepi32_epi16(_mm512_mullo_epi32(s, sum)), b->z.z16);
        store256(_mm512_cvtepi32_epi16(times), b->split);
    }
    memset(b->pad, 0, sizeof b->pad);
}

/* Codes in both orders; x as in memory, v by group. */
INLINE void put_codes(struct act_block *b, const float (*x)[ACT_GROUP], const float *v)
{
    const __m256i pair = both(_mm_setr_epi8(0, 1, 8, 9, 2, 3, 10, 11, 4, 5, 12, 13, 6, 7, 14, 15));
    UNROLL for (int j = 0; j < ACT_GROUPS; j++) {
        __m512i c = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x[j]), _mm512_set1_ps(v[j])));
        _mm_store_si128((__m128i *)(void *)(b->q + ACT_GROUP * j), _mm512_cvtepi32_epi8(c));
    }
    UNROLL for (int i = 0; i < ACT_COLS; i += 32)
        store256(_mm256_shuffle_epi8(_mm256_permute4x64_epi64(load256(b->q + i), 0xd8), pair), b->pairs + i);
}

static void pack_block(const float *src, struct act_block *b, int S)
{
    _Alignas(64) float x[ACT_GROUPS][ACT_GROUP], by[ACT_GROUPS];
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    __m512 t[16], top = _mm512_setzero_ps();
    UNROLL for (int i = 0; i < 16; i++) {
        t[i] = load_finite(src + ACT_GROUP * i);
        _mm512_storeu_ps(x[i], t[i]);
    }
    avx512_transpose16((__m512i *)t);
    UNROLL for (int i = 0; i < 16; i++) top = _mm512_max_ps(top, _mm512_andnot_ps(sign, t[i]));
    const float all = _mm512_reduce_max_ps(top);
    if (all < ACT_TINY) {
        memset(b, 0, sizeof *b);
        put_scales(b, _mm512_set1_epi32(1), _mm512_setzero_si512(), S);
        return;
    }
    const int tight = S == ACT_S_Q32 ? S - ACT_TRIES + 1 : S;
    b->d = all / (float)(127 * tight);
    const __m512 d = _mm512_set1_ps(b->d);
    __m512 s = _mm512_div_ps(top, _mm512_set1_ps(127.0f * b->d));
    s = _mm512_roundscale_ps(s, _MM_FROUND_TO_POS_INF | _MM_FROUND_NO_EXC);
    s = _mm512_min_ps(_mm512_set1_ps((float)tight), _mm512_max_ps(one, s));
    if (S == ACT_S_Q32) s = best_scales(t, d, s);
    const __m512 v = inverse(d, s);
    __m512i sum = _mm512_setzero_si512();
    UNROLL for (int i = 0; i < 16; i++) sum = _mm512_add_epi32(sum, _mm512_cvtps_epi32(_mm512_mul_ps(t[i], v)));
    _mm512_storeu_ps(by, v);
    put_codes(b, (const float(*)[ACT_GROUP])x, by);
    put_scales(b, _mm512_cvtps_epi32(s), sum, S);
}

void act_pack_avx512(const float *x, struct act_block *out, size_t K, int S)
{
    for (; K >= ACT_COLS; K -= ACT_COLS, x += ACT_COLS) pack_block(x, out++, S);
    if (!K) return;
    float last[ACT_COLS] = { 0 };
    memcpy(last, x, K * sizeof *x);
    pack_block(last, out, S);
}
