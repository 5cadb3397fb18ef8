/* Rows of W against few activation rows, straight from the file's blocks (AVX2).
 *
 * A unit is one super-block against one activation row.  Four units are carried side by side: 4 super-blocks for one row of
 * activations, 2 for two, 1 for four; their sums are added in one tree and the short float chains run as vectors.
 * Weights are touched in address order. */
#include <immintrin.h>
#include <math.h>

#include "kernel/matmul/dot.h"
#include "kernel/matmul/rows.h"

enum { UNITS = 4 };

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128(p); }

/* Sums of neighbours, a's in even and b's in odd places.  Blends run on every port, shuffles on few. */
INLINE __m256i fold16(__m256i a, __m256i b)
{
    const __m256i swap = _mm256_set_epi8(13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2,
                                         13, 12, 15, 14, 9, 8, 11, 10, 5, 4, 7, 6, 1, 0, 3, 2);
    return _mm256_add_epi16(_mm256_blend_epi16(a, b, 0xaa), _mm256_shuffle_epi8(_mm256_blend_epi16(b, a, 0xaa), swap));
}
#define FOLD32(add, a, b) add(_mm256_blend_epi32(a, b, 0xaa), _mm256_shuffle_epi32(_mm256_blend_epi32(b, a, 0xaa), 0xb1))
#define FOLD64(add, a, b) add(_mm256_blend_epi32(a, b, 0xcc), _mm256_shuffle_epi32(_mm256_blend_epi32(b, a, 0xcc), 0x4e))

/* Sums of the halves of four vectors: [v0 v1 v2 v3 low halves | high halves]. */
INLINE __m256i fold4(const __m256i *v)
{
    __m256i a = FOLD32(_mm256_add_epi32, v[0], v[1]), b = FOLD32(_mm256_add_epi32, v[2], v[3]);
    return FOLD64(_mm256_add_epi32, a, b);
}

/* [sum v0, .. sum v7] */
INLINE __m256i sum8(const __m256i *v)
{
    __m256i a = fold4(v), b = fold4(v + 4);
    return _mm256_add_epi32(_mm256_permute2x128_si256(a, b, 0x20), _mm256_permute2x128_si256(a, b, 0x31));
}

/* [sum v0, sum v1, sum v2, sum v3] */
INLINE __m128i sum4(const __m256i *v)
{
    __m256i h = fold4(v);
    return _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
}

/* The coefficients of groups 2i and 2i+1, each filling one half, from 16 in split order. */
INLINE __m256i coef(__m256i c, int i)
{
    return _mm256_shuffle_epi8(c, _mm256_set1_epi16((short)(0x0100 + 0x0202 * i)));
}

/* ---- super-block types -------------------------------------------------------------------------------------------- */

INLINE void q4_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum, __m256i *msum)
{
    const __m256i low = _mm256_set1_epi8(15);
    uint64_t scales, mins;
    q4_k_scales(w + 4, &scales, &mins);
    __m128i sc = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)scales));
    __m128i mn = _mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)mins));
    __m256i sc2 = _mm256_broadcastsi128_si256(sc), mn2 = _mm256_broadcastsi128_si256(mn);
    __m256i c[4];
    UNROLL for (int t = 0; t < nt; t++) {
        c[t] = _mm256_mullo_epi16(sc2, _mm256_cvtepu8_epi16(load128(a[t]->s8)));
        msum[t] = _mm256_madd_epi16(mn2, load256(a[t]->z.split));
        isum[t] = _mm256_setzero_si256();
    }
    UNROLL for (int g = 0; g < 4; g++) {
        __m256i v = load256(w + 16 + 32 * g);
        __m256i lo = _mm256_and_si256(v, low), hi = _mm256_and_si256(_mm256_srli_epi16(v, 4), low);
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i p = _mm256_maddubs_epi16(lo, load256(a[t]->q + 64 * g));
            __m256i q = _mm256_maddubs_epi16(hi, load256(a[t]->q + 64 * g + 32));
            p = _mm256_madd_epi16(p, coef(c[t], 2 * g));
            q = _mm256_madd_epi16(q, coef(c[t], 2 * g + 1));
            isum[t] = _mm256_add_epi32(isum[t], _mm256_add_epi32(p, q));
        }
    }
}

/* Codes stay 0..63; the offset of 32 comes off at the end: 32 * sum of sc * z.  Sums may wrap in between. */
INLINE void q6_k_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *isum)
{
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(0x30);
    const __m128i split = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    __m256i sc = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(load128(w + 192), split));
    __m256i c[4];
    UNROLL for (int t = 0; t < nt; t++) {
        c[t] = _mm256_mullo_epi16(sc, _mm256_cvtepu8_epi16(load128(a[t]->s8)));
        isum[t] = _mm256_slli_epi32(_mm256_madd_epi16(sc, load256(a[t]->z.split)), 5);
        isum[t] = _mm256_sub_epi32(_mm256_setzero_si256(), isum[t]);
    }
    UNROLL for (int half = 0; half < 2; half++) {
        __m256i l0 = load256(w + 64 * half), l1 = load256(w + 64 * half + 32), h = load256(w + 128 + 32 * half);
        __m256i code[4];
        code[0] = _mm256_or_si256(_mm256_and_si256(l0, low), _mm256_and_si256(_mm256_slli_epi16(h, 4), high));
        code[1] = _mm256_or_si256(_mm256_and_si256(l1, low), _mm256_and_si256(_mm256_slli_epi16(h, 2), high));
        code[2] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l0, 4), low), _mm256_and_si256(h, high));
        code[3] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(l1, 4), low),
                                  _mm256_and_si256(_mm256_srli_epi16(h, 2), high));
        UNROLL for (int i = 0; i < 4; i++) {
            UNROLL for (int t = 0; t < nt; t++) {
                __m256i p = _mm256_maddubs_epi16(code[i], load256(a[t]->q + 128 * half + 32 * i));
                isum[t] = _mm256_add_epi32(isum[t], _mm256_madd_epi16(p, coef(c[t], 4 * half + i)));
            }
        }
    }
}

INLINE void super_dot(const struct matmul_job *j, size_t r, size_t t0, int nt, enum dtype type)
{
    const struct matmul *m = j->m;
    const size_t n = m->K / ACT_COLS, bytes = type == DT_Q4_K ? Q4_K_BYTES : Q6_K_BYTES;
    const int sb = UNITS / nt;
    const uint8_t *w = m->w + r * m->row_bytes;
    const struct act_block *a[UNITS];
    float acc[UNITS] = { 0 };
    UNROLL for (int t = 0; t < nt; t++) a[t] = job_in(j, t0 + (size_t)t);
    for (size_t s = 0; s < n; s += (size_t)sb) {
        __m256i isum[UNITS], msum[UNITS];
        float d[UNITS], dmin[UNITS], value[UNITS], da[UNITS];
        UNROLL for (int b = 0; b < sb; b++) {
            size_t at = s + (size_t)b < n ? s + (size_t)b : n - 1;       /* past the end: any block, not added below */
            const uint8_t *p = w + at * bytes;
            const struct act_block *x[UNITS];
            UNROLL for (int t = 0; t < nt; t++) x[t] = a[t] + at;
            if (type == DT_Q4_K) q4_k_unit(p, x, nt, isum + b * nt, msum + b * nt);
            else q6_k_unit(p, x, nt, isum + b * nt);
            UNROLL for (int t = 0; t < nt; t++) {
                d[b * nt + t] = _cvtsh_ss(load16(type == DT_Q4_K ? p : p + 208));
                if (type == DT_Q4_K) dmin[b * nt + t] = _cvtsh_ss(load16(p + 2));
                da[b * nt + t] = x[t]->d;
            }
        }
        __m128 v = _mm_mul_ps(_mm_loadu_ps(d), _mm_cvtepi32_ps(sum4(isum)));
        if (type == DT_Q4_K) v = _mm_fnmadd_ps(_mm_loadu_ps(dmin), _mm_cvtepi32_ps(sum4(msum)), v);
        _mm_storeu_ps(value, v);
        UNROLL for (int b = 0; b < sb; b++) {
            if (b && s + (size_t)b >= n) break;
            UNROLL for (int t = 0; t < nt; t++) acc[t] = fmaf(da[b * nt + t], value[b * nt + t], acc[t]);
        }
    }
    UNROLL for (int t = 0; t < nt; t++) job_out(j, t0 + (size_t)t)[r] = acc[t];
}

/* ---- types with a scale per 32 ------------------------------------------------------------------------------------- */

/* One super-block: the eight sums f_i of each activation row. */
INLINE void q8_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i s = _mm256_cvtepu8_epi16(load128(a[t]->s8)), p[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++) {
            __m256i code = load256(w + Q8_0_BYTES * b + 2);
            __m256i q = _mm256_sign_epi8(load256(a[t]->q + 32 * b), code);
            p[b] = _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_abs_epi8(code), q), coef(s, b));
        }
        f[t] = sum8(p);
    }
}

/* The codes of a group add up in 16 bits; what comes out is in split order. */
INLINE void q4_0_unit(const uint8_t *w, const struct act_block *const *a, int nt, __m256i *f)
{
    __m256i code[BLOCKS];
    UNROLL for (int b = 0; b < BLOCKS; b++) {
        __m128i v = load128(w + Q4_0_BYTES * b + 2);
        code[b] = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(v, 4), v), _mm256_set1_epi8(15));
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i p[BLOCKS];
        UNROLL for (int b = 0; b < BLOCKS; b++) p[b] = _mm256_maddubs_epi16(code[b], load256(a[t]->q + 32 * b));
        UNROLL for (int b = 0; b < BLOCKS; b += 2) p[b] = fold16(p[b], p[b + 1]);
        __m256i lo = FOLD32(_mm256_add_epi16, p[0], p[2]), hi = FOLD32(_mm256_add_epi16, p[4], p[6]);
        __m256i dot = _mm256_permute4x64_epi64(FOLD64(_mm256_add_epi16, lo, hi), 0xd8);
        __m256i s = _mm256_permute4x64_epi64(_mm256_cvtepu8_epi16(load128(a[t]->s8)), 0xd8);
        dot = _mm256_unpacklo_epi16(dot, _mm256_srli_si256(dot, 8));
        s = _mm256_unpacklo_epi16(s, _mm256_srli_si256(s, 8));
        f[t] = _mm256_sub_epi32(_mm256_madd_epi16(dot, s), _mm256_slli_epi32(load256(a[t]->z.pair), 3));
    }
}

/* The scales of 8 blocks: scale i lies 2 i bytes behind (bytes - 2) i, so that one load per block puts it in its place. */
INLINE __m256 block_scales(const uint8_t *w, size_t bytes)
{
    const size_t step = bytes - 2;
    __m128i a = _mm_blend_epi16(load128(w), load128(w + step), 0x02);
    __m128i b = _mm_blend_epi16(load128(w + 2 * step), load128(w + 3 * step), 0x08);
    __m128i c = _mm_blend_epi16(load128(w + 4 * step), load128(w + 5 * step), 0x20);
    __m128i d = _mm_blend_epi16(load128(w + 6 * step), load128(w + 7 * step), 0x80);
    return _mm256_cvtph_ps(_mm_blend_epi16(_mm_blend_epi16(a, b, 0x0c), _mm_blend_epi16(c, d, 0xc0), 0xf0));
}

/* Four rows of eight become four of [column i | column i + 4]. */
INLINE void transpose(const __m256 *v, __m256 *out)
{
    __m256d x0 = _mm256_castps_pd(_mm256_unpacklo_ps(v[0], v[1])), x1 = _mm256_castps_pd(_mm256_unpackhi_ps(v[0], v[1]));
    __m256d x2 = _mm256_castps_pd(_mm256_unpacklo_ps(v[2], v[3])), x3 = _mm256_castps_pd(_mm256_unpackhi_ps(v[2], v[3]));
    out[0] = _mm256_castpd_ps(_mm256_unpacklo_pd(x0, x2));
    out[1] = _mm256_castpd_ps(_mm256_unpackhi_pd(x0, x2));
    out[2] = _mm256_castpd_ps(_mm256_unpacklo_pd(x1, x3));
    out[3] = _mm256_castpd_ps(_mm256_unpackhi_pd(x1, x3));
}

/* t of four units: d_0 f_0, then seven fused steps. */
INLINE __m128 chain(const __m256 *d, const __m256 *f)
{
    __m256 D[4], F[4];
    transpose(d, D);
    transpose(f, F);
    __m128 t = _mm_mul_ps(_mm256_castps256_ps128(D[0]), _mm256_castps256_ps128(F[0]));
    UNROLL for (int i = 1; i < 4; i++) t = _mm_fmadd_ps(_mm256_castps256_ps128(D[i]), _mm256_castps256_ps128(F[i]), t);
    UNROLL for (int i = 0; i < 4; i++) t = _mm_fmadd_ps(_mm256_extractf128_ps(D[i], 1), _mm256_extractf128_ps(F[i], 1), t);
    return t;
}

INLINE void block_dot(const struct matmul_job *j, size_t r, size_t t0, int nt, enum dtype type)
{
    const struct matmul *m = j->m;
    const size_t bytes = type == DT_Q8_0 ? Q8_0_BYTES : Q4_0_BYTES;
    const size_t whole = m->K / ACT_COLS, n = (m->K + ACT_COLS - 1) / ACT_COLS;
    const int sb = UNITS / nt;
    const uint8_t *w = m->w + r * m->row_bytes;
    uint8_t tail[BLOCKS * Q8_0_BYTES];
    const struct act_block *a[UNITS];
    float acc[UNITS] = { 0 };
    if (n > whole) row_tail(tail, w, m->row_bytes, whole * BLOCKS * bytes, BLOCKS * bytes);
    UNROLL for (int t = 0; t < nt; t++) a[t] = job_in(j, t0 + (size_t)t);
    for (size_t s = 0; s < n; s += (size_t)sb) {
        __m256i sum[UNITS];
        __m256 d[UNITS], f[UNITS];
        float value[UNITS], da[UNITS];
        UNROLL for (int b = 0; b < sb; b++) {
            size_t at = s + (size_t)b < n ? s + (size_t)b : n - 1;
            const uint8_t *p = at < whole ? w + at * BLOCKS * bytes : tail;
            const struct act_block *x[UNITS];
            UNROLL for (int t = 0; t < nt; t++) x[t] = a[t] + at;
            if (type == DT_Q8_0) q8_0_unit(p, x, nt, sum + b * nt);
            else q4_0_unit(p, x, nt, sum + b * nt);
            __m256 scales = block_scales(p, bytes);
            UNROLL for (int t = 0; t < nt; t++) {
                d[b * nt + t] = scales;
                f[b * nt + t] = _mm256_cvtepi32_ps(sum[b * nt + t]);
                da[b * nt + t] = x[t]->d;
            }
        }
        _mm_storeu_ps(value, chain(d, f));
        UNROLL for (int b = 0; b < sb; b++) {
            if (b && s + (size_t)b >= n) break;
            UNROLL for (int t = 0; t < nt; t++) acc[t] = fmaf(da[b * nt + t], value[b * nt + t], acc[t]);
        }
    }
    UNROLL for (int t = 0; t < nt; t++) job_out(j, t0 + (size_t)t)[r] = acc[t];
}

/* ---- all rows and tokens ------------------------------------------------------------------------------------------- */

#define DOT_KERNEL(name, type, dot)                                                                     \
    static void name##_1(const struct matmul_job *j, size_t r, size_t t) { dot(j, r, t, 1, type); }     \
    static void name##_2(const struct matmul_job *j, size_t r, size_t t) { dot(j, r, t, 2, type); }     \
    static void name##_4(const struct matmul_job *j, size_t r, size_t t) { dot(j, r, t, 4, type); }     \
    void dot_##name##_avx2(const struct matmul_job *j, size_t r0, size_t r1)                            \
    {                                                                                                   \
        dot_rows(j, r0, r1, name##_1, name##_2, name##_4);                                              \
    }

DOT_KERNEL(q8_0, DT_Q8_0, block_dot)
DOT_KERNEL(q4_0, DT_Q4_0, block_dot)
DOT_KERNEL(q4_k, DT_Q4_K, super_dot)
DOT_KERNEL(q6_k, DT_Q6_K, super_dot)
