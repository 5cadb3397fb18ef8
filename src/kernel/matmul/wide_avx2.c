/* Float weights in integers (AVX2).  Many tokens: two registers of 8 rows of pairs of columns, four tokens a tile. */
#include "kernel/matmul/dot_x86.h"
#include "kernel/matmul/wide.h"

enum { TILE = 4, HALVES = 2, PAIRS = WIDE_GROUP / 2 };

struct panel_wide {
    __m256i pair[WIDE_GROUPS][PAIRS][HALVES];
    __m256 d[WIDE_GROUPS][HALVES];
};

/* ---- activations ---------------------------------------------------------------------------------------------------- */

/* 32 numbers, tame, to codes in order; by: 2^(12 - e). */
INLINE void put_codes(const __m256 *v, __m256 by, int16_t *q)
{
    UNROLL for (int i = 0; i < 2; i++) {
        __m256i lo = _mm256_cvtps_epi32(_mm256_mul_ps(v[2 * i], by)), hi = _mm256_cvtps_epi32(_mm256_mul_ps(v[2 * i + 1], by));
        store256(_mm256_permute4x64_epi64(_mm256_packs_epi32(lo, hi), 0xd8), q + 16 * i);
    }
}

static void pack_group(const float *x, struct act_wide *out, size_t g)
{
    const __m256 most = _mm256_set1_ps(WIDE_TOP), sign = _mm256_set1_ps(-0.0f);
    __m256 v[4], top = _mm256_setzero_ps();
    UNROLL for (int i = 0; i < 4; i++) {
        v[i] = _mm256_loadu_ps(x + 8 * i);
        v[i] = _mm256_and_ps(v[i], _mm256_cmp_ps(v[i], v[i], _CMP_ORD_Q));
        v[i] = _mm256_max_ps(_mm256_min_ps(v[i], most), _mm256_sub_ps(_mm256_setzero_ps(), most));
        top = _mm256_max_ps(top, _mm256_andnot_ps(sign, v[i]));
    }
    __m128 h = _mm_max_ps(_mm256_castps256_ps128(top), _mm256_extractf128_ps(top, 1));
    h = _mm_max_ps(h, _mm_movehl_ps(h, h));
    h = _mm_max_ss(h, _mm_movehdup_ps(h));
    int e = (_mm_cvtsi128_si32(_mm_castps_si128(h)) >> 23) - 127;
    if (e < WIDE_LEAST) e = WIDE_LEAST;
    out->e[g] = (e - WIDE_BITS) * (1 << 23);
    out->d[g] = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((e - WIDE_BITS + 127) << 23)));
    put_codes(v, _mm256_castsi256_ps(_mm256_set1_epi32((127 + WIDE_BITS - e) << 23)), out->q + WIDE_GROUP * g);
}

void wide_pack_avx2(const float *x, struct act_wide *out, size_t K)
{
    for (; K >= ACT_COLS; K -= ACT_COLS, x += ACT_COLS, out++)
        for (size_t g = 0; g < WIDE_GROUPS; g++) pack_group(x + WIDE_GROUP * g, out, g);
    if (!K) return;
    float last[ACT_COLS] = { 0 };
    memcpy(last, x, K * sizeof *x);
    for (size_t g = 0; g < WIDE_GROUPS; g++) pack_group(last + WIDE_GROUP * g, out, g);
}

/* ---- weights as codes --------------------------------------------------------------------------------------------------- */

INLINE __m256 floats(__m128i h, enum dtype type)
{
    if (type == DT_F16) return _mm256_cvtph_ps(h);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}

/* The largest of 16 numbers of 16 bits each, of eight registers, as 32 bits. */
INLINE __m256i most8(const __m256i *v)
{
    __m256i a[4];
    UNROLL for (int i = 0; i < 4; i++)          /* 16 bits to 32: each register's numbers lie in its own half of a place */
        a[i] = _mm256_max_epu16(_mm256_blend_epi16(v[2 * i], v[2 * i + 1], 0xaa),
                                _mm256_or_si256(_mm256_srli_epi32(v[2 * i], 16), _mm256_slli_epi32(v[2 * i + 1], 16)));
    __m256i x = FOLD32(_mm256_max_epu16, a[0], a[1]), y = FOLD32(_mm256_max_epu16, a[2], a[3]);
    __m256i z = FOLD64(_mm256_max_epu16, x, y);
    __m128i all = _mm_max_epu16(_mm256_castsi256_si128(z), _mm256_extracti128_si256(z, 1));
    return _mm256_cvtepu16_epi32(all);
}

/* The scales of 256 weights; by: their inverses, 0 for a bad group. */
INLINE __m256 wide_scales(const uint8_t *w, enum dtype type, float *by)
{
    const int least = type == DT_F16 ? -14 : WIDE_LEAST, bias = type == DT_F16 ? 15 : 127;
    const int top = type == DT_F16 ? 15 : WIDE_MOST;
    __m256i size[WIDE_GROUPS];
    UNROLL for (int g = 0; g < WIDE_GROUPS; g++)
        size[g] = _mm256_and_si256(_mm256_set1_epi16(0x7fff), load256(w + 64 * g));
    UNROLL for (int g = 0; g < WIDE_GROUPS; g++)
        size[g] = _mm256_max_epu16(size[g], _mm256_and_si256(_mm256_set1_epi16(0x7fff), load256(w + 64 * g + 32)));
    __m256i e = _mm256_sub_epi32(_mm256_srli_epi32(most8(size), type == DT_F16 ? 10 : 7), _mm256_set1_epi32(bias));
    __m256i good = _mm256_cmpgt_epi32(_mm256_set1_epi32(top + 1), e);
    e = _mm256_and_si256(_mm256_max_epi32(e, _mm256_set1_epi32(least)), good);
    __m256i up = _mm256_slli_epi32(_mm256_sub_epi32(_mm256_set1_epi32(127 + WIDE_BITS), e), 23);
    store256(_mm256_and_si256(up, good), by);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(e, _mm256_set1_epi32(127 - WIDE_BITS)), 23));
}

/* Their codes in order. */
INLINE void wide_codes(const uint8_t *w, enum dtype type, const float *by, __m256i *code)
{
    UNROLL for (int g = 0; g < WIDE_GROUPS; g++) {
        const __m256 f = _mm256_broadcast_ss(by + g);
        const __m128i keep = _mm_castps_si128(_mm_cmp_ps(_mm256_castps256_ps128(f), _mm_setzero_ps(), _CMP_NEQ_UQ));
        UNROLL for (int i = 0; i < 2; i++) {
            __m256 lo = floats(_mm_and_si128(keep, load128(w + 64 * g + 32 * i)), type);
            __m256 hi = floats(_mm_and_si128(keep, load128(w + 64 * g + 32 * i + 16)), type);
            __m256i p = _mm256_packs_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(lo, f)), _mm256_cvtps_epi32(_mm256_mul_ps(hi, f)));
            code[2 * g + i] = _mm256_permute4x64_epi64(p, 0xd8);
        }
    }
}

/* ---- few tokens --------------------------------------------------------------------------------------------------------- */

INLINE void wide_unit(const uint8_t *w, enum dtype type, const float *by, const struct act_wide *const *a, int nt, __m256 *f)
{
    __m256i code[2 * WIDE_GROUPS];
    wide_codes(w, type, by, code);
    UNROLL for (int t = 0; t < nt; t++) {
        __m256i p[WIDE_GROUPS];
        UNROLL for (int g = 0; g < WIDE_GROUPS; g++)
            p[g] = _mm256_add_epi32(_mm256_madd_epi16(code[2 * g], load256(a[t]->q + WIDE_GROUP * g)),
                                    _mm256_madd_epi16(code[2 * g + 1], load256(a[t]->q + WIDE_GROUP * g + 16)));
        f[t] = _mm256_cvtepi32_ps(sum8(p));
    }
}

#include "kernel/matmul/wide_dot.inc"

/* ---- many tokens ---------------------------------------------------------------------------------------------------------- */

/* factor: of the scales, or NULL. */
INLINE void fill(struct panel_wide *p, const uint8_t *const *rows, enum dtype type, float (*factor)[WIDE_GROUPS])
{
    for (int h = 0; h < HALVES; h++) {
        float by[8][WIDE_GROUPS];
        __m256i code[8][2 * WIDE_GROUPS], v[8];
        for (int r = 0; r < 8; r++) v[r] = _mm256_castps_si256(wide_scales(rows[8 * h + r], type, by[r]));
        for (int r = 0; r < 8; r++) wide_codes(rows[8 * h + r], type, by[r], code[r]);
        for (int r = 0; factor && r < 8; r++)
            v[r] = _mm256_castps_si256(_mm256_mul_ps(_mm256_castsi256_ps(v[r]), _mm256_loadu_ps(factor[8 * h + r])));
        x86_transpose8(v);
        UNROLL for (int g = 0; g < WIDE_GROUPS; g++) p->d[g][h] = _mm256_castsi256_ps(v[g]);
        for (int i = 0; i < 2 * WIDE_GROUPS; i++) {
            UNROLL for (int r = 0; r < 8; r++) v[r] = code[r][i];
            x86_transpose8(v);
            UNROLL for (int k = 0; k < 8; k++) p->pair[i / 2][8 * (i % 2) + k][h] = v[k];
        }
    }
}

INLINE __m256i spread32(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

INLINE void tile(const struct panel_wide *w, const struct tile *c, int nt)
{
    const struct act_wide *a[TILE];
    __m256 value[TILE][HALVES];
    UNROLL for (int t = 0; t < nt; t++) a[t] = (const struct act_wide *)(const void *)c->a[t] + c->s;
    for (int g = 0; g < WIDE_GROUPS; g++) {
        __m256i sum[TILE][HALVES];
        ask(c->x);
        UNROLL for (int t = 0; t < nt; t++) sum[t][0] = sum[t][1] = _mm256_setzero_si256();
        UNROLL for (int k = 0; k < PAIRS; k++) {
            __m256i w0 = w->pair[g][k][0], w1 = w->pair[g][k][1];
            UNROLL for (int t = 0; t < nt; t++) {
                __m256i x = spread32(a[t]->q + WIDE_GROUP * g + 2 * k);
                sum[t][0] = _mm256_add_epi32(sum[t][0], _mm256_madd_epi16(w0, x));
                sum[t][1] = _mm256_add_epi32(sum[t][1], _mm256_madd_epi16(w1, x));
                KEEP(sum[t][0]);
                KEEP(sum[t][1]);
            }
        }
        UNROLL for (int t = 0; t < nt; t++) {
            UNROLL for (int h = 0; h < HALVES; h++) {
                __m256 f = _mm256_cvtepi32_ps(sum[t][h]), d = _mm256_mul_ps(w->d[g][h], _mm256_broadcast_ss(&a[t]->d[g]));
                value[t][h] = g ? _mm256_fmadd_ps(d, f, value[t][h]) : _mm256_mul_ps(d, f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int h = 0; h < HALVES; h++) {
            float *acc = c->acc + PANEL_ROWS * t + 8 * h;
            _mm256_storeu_ps(acc, _mm256_add_ps(_mm256_loadu_ps(acc), value[t][h]));
        }
}

#define SUFFIX avx2
#include "kernel/matmul/wide_panel.inc"
