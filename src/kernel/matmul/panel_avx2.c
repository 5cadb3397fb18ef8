/* Many tokens (AVX2): 2 x 3 tiles (two registers of 8 rows, three tokens).  Codes of 4 bits add up in 16 bits over a whole
 * group of 16 columns (16 * 15 * 127 = 30480), those of 6 bits over half of one; the product of the integer scales does the
 * widening. */
#include "kernel/matmul/panel_x86.h"

enum { TILE = 3, VNNI = 0 };

/* Sums stay in the order written: the compiler would make trees of them, which need more registers than there are. */
#define KEEP(v) __asm__("" : "+x"(v))

INLINE __m256i spread32(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi32(v);
}

INLINE __m256i spread16(const void *p)
{
    int16_t v;
    memcpy(&v, p, sizeof v);
    return _mm256_set1_epi16(v);
}

/* acc = fma(da, value, acc). */
INLINE void store(float *acc, float da, __m256 value)
{
    _mm256_storeu_ps(acc, _mm256_fmadd_ps(_mm256_set1_ps(da), value, _mm256_loadu_ps(acc)));
}

/* Codes of 4 bits against 16 columns: sums in 16 bits. */
INLINE void group4(const __m256i (*code)[HALVES], const struct act_block *const *a, int nt, int group, __m256i (*p)[HALVES])
{
    UNROLL for (int k = 0; k < 4; k++) {
        __m256i w0 = code[4 * group + k][0], w1 = code[4 * group + k][1];
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i x = spread32(a[t]->q + ACT_GROUP * group + 4 * k);
            __m256i u = _mm256_maddubs_epi16(w0, x), v = _mm256_maddubs_epi16(w1, x);
            p[t][0] = k ? _mm256_add_epi16(p[t][0], u) : u;
            p[t][1] = k ? _mm256_add_epi16(p[t][1], v) : v;
            KEEP(p[t][0]);
            KEEP(p[t][1]);
        }
    }
}

INLINE void tile_q4_k(const struct panel_super *w, const struct act_block *const *row, size_t s, int nt, float *acc)
{
    const struct act_block *a[TILE];
    __m256i isum[TILE][HALVES];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = row[t] + s;
        isum[t][0] = isum[t][1] = _mm256_setzero_si256();
    }
    for (int j = 0; j < ACT_GROUPS; j++) {
        __m256i p[TILE][HALVES];
        group4(w->code, a, nt, j, p);
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i scale = spread16(&a[t]->s[j]);
            UNROLL for (int h = 0; h < HALVES; h++) {
                __m256i c = _mm256_mullo_epi16(w->sc[j / 2][h], scale);
                isum[t][h] = _mm256_add_epi32(isum[t][h], _mm256_madd_epi16(p[t][h], c));
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++) {
        UNROLL for (int h = 0; h < HALVES; h++) {
            __m256i msum = _mm256_setzero_si256();
            UNROLL for (int i = 0; i < 4; i++) {
                msum = _mm256_add_epi32(msum, _mm256_madd_epi16(w->mn[i][h], spread32(a[t]->z.split + 2 * i)));
                msum = _mm256_add_epi32(msum, _mm256_madd_epi16(w->mn[i][h], spread32(a[t]->z.split + 8 + 2 * i)));
            }
            __m256 v = _mm256_mul_ps(w->d[h], _mm256_cvtepi32_ps(isum[t][h]));
            v = _mm256_fnmadd_ps(w->dmin[h], _mm256_cvtepi32_ps(msum), v);
            store(acc + PANEL_ROWS * t + 8 * h, a[t]->d, v);
        }
    }
}

INLINE void tile_q6_k(const struct panel_super *w, const struct act_block *const *row, size_t s, int nt, float *acc)
{
    const struct act_block *a[TILE];
    __m256i isum[TILE][HALVES];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = row[t] + s;
        UNROLL for (int h = 0; h < HALVES; h++) {
            __m256i z = _mm256_setzero_si256();
            UNROLL for (int i = 0; i < 8; i++)
                z = _mm256_sub_epi32(z, _mm256_madd_epi16(w->mn[i][h], spread32(a[t]->z.split + 2 * i)));
            isum[t][h] = _mm256_slli_epi32(z, 5);
        }
    }
    for (int j = 0; j < ACT_GROUPS; j++) {
        UNROLL for (int k = 0; k < 4; k += 2) {
            const __m256i *code = w->code[4 * j + k];
            UNROLL for (int t = 0; t < nt; t++) {
                const int8_t *q = a[t]->q + ACT_GROUP * j + 4 * k;
                __m256i x0 = spread32(q), x1 = spread32(q + 4), scale = spread16(&a[t]->s[j]);
                UNROLL for (int h = 0; h < HALVES; h++) {
                    __m256i p = _mm256_add_epi16(_mm256_maddubs_epi16(code[h], x0), _mm256_maddubs_epi16(code[2 + h], x1));
                    __m256i c = _mm256_mullo_epi16(w->sc[j][h], scale);
                    isum[t][h] = _mm256_add_epi32(isum[t][h], _mm256_madd_epi16(p, c));
                    KEEP(isum[t][h]);
                }
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int h = 0; h < HALVES; h++)
            store(acc + PANEL_ROWS * t + 8 * h, a[t]->d, _mm256_mul_ps(w->d[h], _mm256_cvtepi32_ps(isum[t][h])));
}

/* t = d_i * f, or a fused step once i > 0. */
INLINE __m256 step(int i, __m256 d, __m256i f, __m256 t)
{
    __m256 v = _mm256_cvtepi32_ps(f);
    return i ? _mm256_fmadd_ps(d, v, t) : _mm256_mul_ps(d, v);
}

INLINE void tile_q4_0(const struct panel_blocks *w, const struct act_block *const *row, size_t s, int nt, float *acc)
{
    const struct act_block *a[TILE];
    __m256 value[TILE][HALVES];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = row[t] + s;
        value[t][0] = value[t][1] = _mm256_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m256i f[TILE][HALVES];
        UNROLL for (int t = 0; t < nt; t++) {
            __m256i z = _mm256_slli_epi32(spread32(&a[t]->z.pair[b]), 3);
            f[t][0] = f[t][1] = _mm256_sub_epi32(_mm256_setzero_si256(), z);
        }
        UNROLL for (int g = 0; g < 2; g++) {
            __m256i p[TILE][HALVES];
            group4(w->code, a, nt, 2 * b + g, p);
            UNROLL for (int t = 0; t < nt; t++) {
                __m256i scale = spread16(&a[t]->s[2 * b + g]);
                UNROLL for (int h = 0; h < HALVES; h++)
                    f[t][h] = _mm256_add_epi32(f[t][h], _mm256_madd_epi16(p[t][h], scale));
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int h = 0; h < HALVES; h++) value[t][h] = step(b, w->d[b][h], f[t][h], value[t][h]);
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int h = 0; h < HALVES; h++) store(acc + PANEL_ROWS * t + 8 * h, a[t]->d, value[t][h]);
}

/* Codes of 8 bits: their absolute values times the activations with their signs; a pair fits 16 bits. */
INLINE void tile_q8_0(const struct panel_blocks *w, const struct act_block *const *row, size_t s, int nt, float *acc)
{
    const struct act_block *a[TILE];
    __m256 value[TILE][HALVES];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = row[t] + s;
        value[t][0] = value[t][1] = _mm256_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        __m256i f[TILE][HALVES];
        UNROLL for (int t = 0; t < nt; t++) f[t][0] = f[t][1] = _mm256_setzero_si256();
        UNROLL for (int g = 0; g < 2; g++) {
            __m256i scale[TILE];
            UNROLL for (int t = 0; t < nt; t++) scale[t] = spread16(&a[t]->s[2 * b + g]);
            UNROLL for (int k = 0; k < 4; k++) {
                UNROLL for (int h = 0; h < HALVES; h++) {
                    __m256i code = w->code[8 * b + 4 * g + k][h], size = _mm256_abs_epi8(code);
                    UNROLL for (int t = 0; t < nt; t++) {
                        __m256i x = _mm256_sign_epi8(spread32(a[t]->q + 32 * b + 16 * g + 4 * k), code);
                        f[t][h] = _mm256_add_epi32(f[t][h], _mm256_madd_epi16(_mm256_maddubs_epi16(size, x), scale[t]));
                        KEEP(f[t][h]);
                    }
                }
            }
        }
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int h = 0; h < HALVES; h++) value[t][h] = step(b, w->d[b][h], f[t][h], value[t][h]);
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int h = 0; h < HALVES; h++) store(acc + PANEL_ROWS * t + 8 * h, a[t]->d, value[t][h]);
}

PANEL_KERNEL(q8_0, avx2, panel_blocks, BLOCKS * Q8_0_BYTES, ACT_Q32, tile_q8_0)
PANEL_KERNEL(q4_0, avx2, panel_blocks, BLOCKS * Q4_0_BYTES, ACT_Q32, tile_q4_0)
PANEL_KERNEL(q4_k, avx2, panel_super, Q4_K_BYTES, ACT_Q256, tile_q4_k)
PANEL_KERNEL(q6_k, avx2, panel_super, Q6_K_BYTES, ACT_Q256, tile_q6_k)
