/* panel_x86.h - panels of 16 rows for x86; private to kernel/matmul.
 *
 * 16 rows x 256 columns as bytes [columns / 4][16 rows][4].  For AVX2 codes are as the file means them (4 and 6 bits unsigned, 8
 * bits signed); for VNNI the types with a scale per 32 are unsigned with a zero point of 128: Q8_0 by flipping the sign bit, Q4_0
 * as 16 times its code with a sixteenth of the scale, which is exact. */
#ifndef HEARTH_KERNEL_MATMUL_PANEL_X86_H
#define HEARTH_KERNEL_MATMUL_PANEL_X86_H

#include <immintrin.h>
#include <stdbool.h>

#include "kernel/matmul/dot.h"
#include "kernel/matmul/rows.h"

enum { HALVES = 2, QUADS = ACT_COLS / 4 };

/* sc: 32 bits per row, or (AVX2) twice 16 bits; mn: pairs of 16 bits per row, two neighbours in split order. */
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

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256(p); }
INLINE __m128i load128(const void *p) { return _mm_loadu_si128(p); }

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

INLINE __m256i twice(__m256i v, bool vnni)
{
    return vnni ? v : _mm256_blend_epi16(v, _mm256_slli_epi32(v, 16), 0xaa);
}

INLINE void x86_unpack_q4_k(void *panel, const uint8_t *const *rows, bool vnni)
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
        UNROLL for (int i = 0; i < 8; i++) p->sc[i][h] = twice(sc[i], vnni);
        UNROLL for (int i = 0; i < 4; i++) p->mn[i][h] = mn[i];
        p->d[h] = load_scales(row, 0);
        p->dmin[h] = load_scales(row, 2);
    }
}

INLINE void x86_unpack_q6_k(void *panel, const uint8_t *const *rows, bool vnni)
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
            p->sc[i][h] = twice(l0[i], vnni);
            p->sc[i + 8][h] = twice(l1[i], vnni);
            p->mn[i][h] = up[i];
        }
        p->d[h] = load_scales(row, 208);
    }
}

INLINE void x86_unpack_q8_0(void *panel, const uint8_t *const *rows, bool vnni)
{
    struct panel_blocks *p = panel;
    const __m256i flip = _mm256_set1_epi8(vnni ? -128 : 0);
    for (int h = 0; h < HALVES; h++) {
        for (int b = 0; b < BLOCKS; b++) {
            __m256i v[8];
            load_rows(rows + 8 * h, (size_t)(Q8_0_BYTES * b + 2), v);
            UNROLL for (int k = 0; k < 8; k++) p->code[8 * b + k][h] = _mm256_xor_si256(v[k], flip);
            p->d[b][h] = load_scales(rows + 8 * h, (size_t)(Q8_0_BYTES * b));
        }
    }
}

INLINE void x86_unpack_q4_0(void *panel, const uint8_t *const *rows, bool vnni)
{
    struct panel_blocks *p = panel;
    const __m256i low = _mm256_set1_epi8(15), high = _mm256_set1_epi8(-16);
    const __m256 factor = _mm256_set1_ps(vnni ? 0.0625f : 1.0f);
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
                p->code[at][h] = vnni ? _mm256_slli_epi16(_mm256_and_si256(v[k], low), 4) : _mm256_and_si256(v[k], low);
                p->code[at + 4][h] = _mm256_and_si256(vnni ? v[k] : _mm256_srli_epi16(v[k], 4), vnni ? high : low);
            }
        }
        for (int b = 0; b < BLOCKS; b++) p->d[b][h] = _mm256_mul_ps(load_scales(row, (size_t)(Q4_0_BYTES * b)), factor);
    }
}

/* The kernel of one type: tiles of TILE tokens, then 2, then 1.  VNNI says which panels. */
#define PANEL_KERNEL(name, isa, kind, bytes, form, tile)                                                            \
    static void unpack_##name(void *panel, const uint8_t *const *rows) { x86_unpack_##name(panel, rows, VNNI); }    \
    static void multiply_##name(const void *p, const struct act_block *const *a, size_t s, size_t T, float *acc)    \
    {                                                                                                               \
        size_t t = 0;                                                                                               \
        for (; t + TILE <= T; t += TILE) tile(p, a + t, s, TILE, acc + PANEL_ROWS * t);                             \
        for (; t + 2 <= T; t += 2) tile(p, a + t, s, 2, acc + PANEL_ROWS * t);                                      \
        if (t < T) tile(p, a + t, s, 1, acc + PANEL_ROWS * t);                                                      \
    }                                                                                                               \
    static const struct panel_type panel_##name = { bytes, sizeof(struct kind), unpack_##name, multiply_##name };   \
    static size_t scratch_##name(const struct matmul *m, size_t T)                                                  \
    {                                                                                                               \
        (void)m;                                                                                                    \
        return T < PANEL_MIN_T ? 0 : panel_scratch_bytes(&panel_##name);                                            \
    }                                                                                                               \
    static void rows_##name(const struct matmul_job *j, size_t r0, size_t r1)                                       \
    {                                                                                                               \
        if (j->T < PANEL_MIN_T) dot_##name##_##isa(j, r0, r1);                                                      \
        else panel_rows(j, r0, r1, &panel_##name);                                                                  \
    }                                                                                                               \
    const struct matmul_kernel matmul_##name##_##isa = { form, scratch_##name, rows_##name };

#endif
