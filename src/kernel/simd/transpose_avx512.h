/* transpose_avx512.h - numbers of 32 bits change rows and columns, in registers.  No loops: their arrays would become memory. */
#ifndef HEARTH_KERNEL_TRANSPOSE
#define HEARTH_KERNEL_TRANSPOSE

#include <immintrin.h>

#define STRAIGHT static inline __attribute__((always_inline))

/* In each lane of 128 bits: word k of x[i] becomes word i of y[k]. */
STRAIGHT void avx512_transpose4(const __m512i *x, __m512i *y)
{
    __m512i a = _mm512_unpacklo_epi32(x[0], x[1]), b = _mm512_unpackhi_epi32(x[0], x[1]);
    __m512i c = _mm512_unpacklo_epi32(x[2], x[3]), d = _mm512_unpackhi_epi32(x[2], x[3]);
    y[0] = _mm512_unpacklo_epi64(a, c);
    y[1] = _mm512_unpackhi_epi64(a, c);
    y[2] = _mm512_unpacklo_epi64(b, d);
    y[3] = _mm512_unpackhi_epi64(b, d);
}

/* Lane l of b[4 g + k] has rows 4 g .. 4 g + 3 of column 4 l + k; x: columns k, 4 + k, 8 + k, 12 + k. */
STRAIGHT void avx512_lanes_(const __m512i *b, int k, __m512i *x)
{
    __m512i p = _mm512_shuffle_i32x4(b[k], b[4 + k], 0x88), q = _mm512_shuffle_i32x4(b[8 + k], b[12 + k], 0x88);
    __m512i r = _mm512_shuffle_i32x4(b[k], b[4 + k], 0xdd), s = _mm512_shuffle_i32x4(b[8 + k], b[12 + k], 0xdd);
    x[k] = _mm512_shuffle_i32x4(p, q, 0x88);
    x[4 + k] = _mm512_shuffle_i32x4(r, s, 0x88);
    x[8 + k] = _mm512_shuffle_i32x4(p, q, 0xdd);
    x[12 + k] = _mm512_shuffle_i32x4(r, s, 0xdd);
}

/* Number j of x[i] becomes number i of x[j]. */
STRAIGHT void avx512_transpose16(__m512i *x)
{
    __m512i b[16];
    avx512_transpose4(x, b);
    avx512_transpose4(x + 4, b + 4);
    avx512_transpose4(x + 8, b + 8);
    avx512_transpose4(x + 12, b + 12);
    avx512_lanes_(b, 0, x);
    avx512_lanes_(b, 1, x);
    avx512_lanes_(b, 2, x);
    avx512_lanes_(b, 3, x);
}

#undef STRAIGHT
#endif
