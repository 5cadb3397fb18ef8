/* Many tokens (AVX2): 16 rows x 256 columns are unpacked to bytes [columns / 4][16 rows][4] and multiplied with 2 x 3 tiles
 * (two registers of 8 rows, three tokens).  Codes of 4 bits add up in 16 bits over a whole group of 16 columns
 * (16 * 15 * 127 = 30480), those of 6 bits over half of one; the product of the integer scales does the widening. */
#include <immintrin.h>

#include "kernel/matmul/dot.h"
#include "kernel/matmul/rows.h"

enum { TILE = 3, HALVES = 2, QUADS = ACT_COLS / 4 };

/* Scales lie as pairs of 16 bits per row: twice the same (sc), or those of two neighbours in split order (mn). */
struct panel_super {
    __m256i code[QUADS][HALVES];
    __m256i sc[ACT_GROUPS][HALVES];
    __m256i mn[ACT_GROUPS / 2][HALVES];
    __m256 d[HALVES], dmin[HALVES];
};
struct panel_blocks {
    __m256i code[QUADS][HALVES];
    __m256 d[BLOCKS][HALVES];
};

/* Sums stay in the order written: the compiler would make trees of them, which need more registers than there are. */
#define KEEP(v) __asm__("" : "+x"(v))

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128(p); }

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

/* ---- unpacking ----------------------------------------------------------------------------------------------------- */

/* v[row] of 8 numbers of 32 bits becomes v[number] of 8 rows. */
INLINE void transpose8(__m256i *v)
{
    __m256i a[8], b[8];
    UNROLL for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(v[i], v[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(v[i], v[i + 1]);
    }
    UNROLL for (int i = 0; i < 8; i += 4) {
        b[i] = _mm256_unpacklo_epi64(a[i], a[i + 2]);
        b[i + 1] = _mm256_unpackhi_epi64(a[i], a[i + 2]);
        b[i + 2] = _mm256_unpacklo_epi64(a[i + 1], a[i + 3]);
        b[i + 3] = _mm256_unpackhi_epi64(a[i + 1], a[i + 3]);
    }
    UNROLL for (int i = 0; i < 4; i++) {
        v[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        v[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

INLINE void load_rows(const uint8_t *const *row, size_t at, __m256i *v)
{
    UNROLL for (int i = 0; i < 8; i++) v[i] = load256(row[i] + at);
    transpose8(v);
}

/* The f16 at one place of 8 rows. */
INLINE __m256 load_scales(const uint8_t *const *row, size_t at)
{
    uint16_t h[8];
    for (int i = 0; i < 8; i++) h[i] = load16(row[i] + at);
    return _mm256_cvtph_ps(load128(h));
}

INLINE __m256i twice(__m256i v)
{
    return _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
}

static void unpack_q4_k(void *panel, const uint8_t *const *rows)
{
    struct panel_super *p = panel;
    const __m256i low = _mm256_set1_epi8(15);
    for (int h = 0; h < HALVES; h++) {
        const uint8_t *const *row = rows + 8 * h;
        __m256i v[8], sc[8], mn[8];
        for (int g = 0; g < 4; g++) {
            load_rows(row, (size_t)(16 + 32 * g), v);
            UNROLL for (int k = 0; k < 8; k++) {
                p->code[16 * g + k][h] = _mm256_and_si256(v[k], low);
                p->code[16 * g + 8 + k][h] = _mm256_and_si256(_mm256_srli_epi16(v[k], 4), low);
            }
        }
        for (int i = 0; i < 8; i++) {
            uint64_t scales, mins;
            q4_k_scales(row[i] + 4, &scales, &mins);
            sc[i] = _mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)scales));
            mn[i] = _mm256_castsi128_si256(_mm_cvtepu8_epi16(_mm_cvtsi64_si128((long long)mins)));
        }
        transpose8(sc);
        transpose8(mn);
        UNROLL for (int i = 0; i < 8; i++) p->sc[i][h] = twice(sc[i]);
        UNROLL for (int i = 0; i < 4; i++) p->mn[i][h] = mn[i];
        p->d[h] = load_scales(row, 0);
        p->dmin[h] = load_scales(row, 2);
    }
}

static void unpack_q6_k(void *panel, const uint8_t *const *rows)
{
    struct panel_super *p = panel;
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(0x30);
    const __m128i split = _mm_setr_epi8(0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15);
    for (int h = 0; h < HALVES; h++) {
        const uint8_t *const *row = rows + 8 * h;
        __m256i l0[8], l1[8], up[8];
        for (int half = 0; half < 2; half++) {
            load_rows(row, (size_t)(64 * half), l0);
            load_rows(row, (size_t)(64 * half + 32), l1);
            load_rows(row, (size_t)(128 + 32 * half), up);
            UNROLL for (int k = 0; k < 8; k++) {
                __m256i *out = &p->code[32 * half + k][h];
                __m256i a = l0[k], b = l1[k], u = up[k];
                out[0] = _mm256_or_si256(_mm256_and_si256(a, low), _mm256_and_si256(_mm256_slli_epi16(u, 4), high));
                out[8 * HALVES] = _mm256_or_si256(_mm256_and_si256(b, low), _mm256_and_si256(_mm256_slli_epi16(u, 2), high));
                out[16 * HALVES] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(a, 4), low), _mm256_and_si256(u, high));
                out[24 * HALVES] = _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(b, 4), low),
                                                   _mm256_and_si256(_mm256_srli_epi16(u, 2), high));
            }
        }
        for (int i = 0; i < 8; i++) {
            __m128i sc = load128(row[i] + 192);
            l0[i] = _mm256_cvtepi8_epi32(sc);
            l1[i] = _mm256_cvtepi8_epi32(_mm_srli_si128(sc, 8));
            up[i] = _mm256_cvtepi8_epi16(_mm_shuffle_epi8(sc, split));
        }
        transpose8(l0);
        transpose8(l1);
        transpose8(up);
        UNROLL for (int i = 0; i < 8; i++) {
            p->sc[i][h] = twice(l0[i]);
            p->sc[i + 8][h] = twice(l1[i]);
            p->mn[i][h] = up[i];
        }
        p->d[h] = load_scales(row, 208);
    }
}

static void unpack_q8_0(void *panel, const uint8_t *const *rows)
{
    struct panel_blocks *p = panel;
    for (int h = 0; h < HALVES; h++) {
        for (int b = 0; b < BLOCKS; b++) {
            __m256i v[8];
            load_rows(rows + 8 * h, (size_t)(Q8_0_BYTES * b + 2), v);
            UNROLL for (int k = 0; k < 8; k++) p->code[8 * b + k][h] = v[k];
            p->d[b][h] = load_scales(rows + 8 * h, (size_t)(Q8_0_BYTES * b));
        }
    }
}

static void unpack_q4_0(void *panel, const uint8_t *const *rows)
{
    struct panel_blocks *p = panel;
    const __m256i low = _mm256_set1_epi8(15);
    for (int h = 0; h < HALVES; h++) {
        const uint8_t *const *row = rows + 8 * h;
        for (int b = 0; b < BLOCKS; b += 2) {
            __m256i v[8];
            UNROLL for (int i = 0; i < 8; i++) {
                const uint8_t *w = row[i] + Q4_0_BYTES * b + 2;
                v[i] = _mm256_set_m128i(load128(w + Q4_0_BYTES), load128(w));
            }
            transpose8(v);
            UNROLL for (int k = 0; k < 8; k++) {
                int at = 8 * (b + k / 4) + k % 4;
                p->code[at][h] = _mm256_and_si256(v[k], low);
                p->code[at + 4][h] = _mm256_and_si256(_mm256_srli_epi16(v[k], 4), low);
            }
        }
        for (int b = 0; b < BLOCKS; b++) p->d[b][h] = load_scales(row, (size_t)(Q4_0_BYTES * b));
    }
}

/* ---- multiplying --------------------------------------------------------------------------------------------------- */

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

#define PANEL_KERNEL(name, kind, bytes, form)                                                                             \
    static void multiply_##name(const void *p, const struct act_block *const *a, size_t s, size_t T, float *acc)          \
    {                                                                                                                     \
        size_t t = 0;                                                                                                     \
        for (; t + TILE <= T; t += TILE) tile_##name(p, a + t, s, TILE, acc + PANEL_ROWS * t);                            \
        if (T - t == 2) tile_##name(p, a + t, s, 2, acc + PANEL_ROWS * t);                                                \
        else if (T - t == 1) tile_##name(p, a + t, s, 1, acc + PANEL_ROWS * t);                                           \
    }                                                                                                                     \
    static const struct panel_type panel_##name = { bytes, sizeof(struct kind), unpack_##name, multiply_##name };         \
    static size_t scratch_##name(const struct matmul *m, size_t T)                                                        \
    {                                                                                                                     \
        (void)m;                                                                                                          \
        return T < PANEL_MIN_T ? 0 : panel_scratch_bytes(&panel_##name);                                                  \
    }                                                                                                                     \
    static void rows_##name(const struct matmul_job *j, size_t r0, size_t r1)                                             \
    {                                                                                                                     \
        if (j->T < PANEL_MIN_T) dot_##name##_avx2(j, r0, r1);                                                             \
        else panel_rows(j, r0, r1, &panel_##name);                                                                        \
    }                                                                                                                     \
    const struct matmul_kernel matmul_##name##_avx2 = { form, scratch_##name, rows_##name };

PANEL_KERNEL(q8_0, panel_blocks, BLOCKS * Q8_0_BYTES, ACT_Q32)
PANEL_KERNEL(q4_0, panel_blocks, BLOCKS * Q4_0_BYTES, ACT_Q32)
PANEL_KERNEL(q4_k, panel_super, Q4_K_BYTES, ACT_Q256)
PANEL_KERNEL(q6_k, panel_super, Q6_K_BYTES, ACT_Q256)
