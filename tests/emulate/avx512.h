/* avx512.h - the AVX-512 intrinsics that Hearth's kernels use, in plain C over arrays.
 *
 * Included in front of every *_avx512.c by `make EMULATE=avx512`, so that those files can be tested bit for bit on a machine
 * without AVX-512 (slowly).  Semantics: the instruction set reference of the processor's maker.  cpu_emulated.c then claims
 * the feature. */
#ifndef HEARTH_TESTS_EMULATE_AVX512_H
#define HEARTH_TESTS_EMULATE_AVX512_H

#include <immintrin.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#define EMU static inline __attribute__((unused, always_inline))

typedef union { __m512 v; __m512i i; float f[16]; double d[8]; uint64_t q[8]; uint32_t u[16]; int32_t s[16]; uint16_t h[32];
    int16_t sh[32]; uint8_t b[64]; int8_t sb[64]; __m256i y[2]; __m256 yf[2]; __m128i x[4]; __m128 xf[4]; } emu;
typedef union { __m256i i; __m256 f; uint64_t q[4]; uint32_t u[8]; int32_t s[8]; uint16_t h[16]; int16_t sh[16];
    uint8_t b[32]; int8_t sb[32]; __m128i x[2]; __m128 xf[2]; } emu2;
typedef union { __m128i i; __m128 f; uint64_t q[2]; uint32_t u[4]; int32_t s[4]; uint16_t h[8]; int16_t sh[8]; uint8_t b[16];
    int8_t sb[16]; } emu1;

#define LANES(n, e) for (int k = 0; k < (n); k++) { e; }
#define F2(name, e) EMU __m512 name(__m512 va, __m512 vb) \
    { emu a = { .v = va }, b = { .v = vb }, r; LANES(16, e) return r.v; }
#define I2(name, n, e) EMU __m512i name(__m512i va, __m512i vb) \
    { emu a = { .i = va }, b = { .i = vb }, r; LANES(n, e) return r.i; }
#define I1(name, n, e) EMU __m512i name(__m512i va, unsigned c) { emu a = { .i = va }, r; LANES(n, e) return r.i; }

/* ---- floats ---- */
F2(emu_add_ps, r.f[k] = a.f[k] + b.f[k])
F2(emu_sub_ps, r.f[k] = a.f[k] - b.f[k])
F2(emu_mul_ps, r.f[k] = a.f[k] * b.f[k])
F2(emu_div_ps, r.f[k] = a.f[k] / b.f[k])
F2(emu_max_ps, r.f[k] = a.f[k] > b.f[k] ? a.f[k] : b.f[k])
F2(emu_min_ps, r.f[k] = a.f[k] < b.f[k] ? a.f[k] : b.f[k])
F2(emu_xor_ps, r.u[k] = a.u[k] ^ b.u[k])
F2(emu_or_ps, r.u[k] = a.u[k] | b.u[k])
F2(emu_and_ps, r.u[k] = a.u[k] & b.u[k])
F2(emu_andnot_ps, r.u[k] = ~a.u[k] & b.u[k])

EMU float emu_scalef(float x, float n)
{
    if (isnan(x) || isnan(n)) return x + n;
    float m = floorf(n);
    return ldexpf(x, m > 2000 ? 2000 : m < -2000 ? -2000 : (int)m);
}
F2(emu_scalef_ps, r.f[k] = emu_scalef(a.f[k], b.f[k]))
EMU __m512 emu_fmadd_ps(__m512 va, __m512 vb, __m512 vc)
{
    emu a = { .v = va }, b = { .v = vb }, c = { .v = vc }, r;
    for (int k = 0; k < 16; k++) {
        __m128 x = _mm_fmadd_ss(_mm_set_ss(a.f[k]), _mm_set_ss(b.f[k]), _mm_set_ss(c.f[k]));
        r.f[k] = _mm_cvtss_f32(x);
    }
    return r.v;
}
EMU __m512 emu_fnmadd_ps(__m512 a, __m512 b, __m512 c)
{
    emu z = { .v = a };
    LANES(16, z.u[k] ^= 0x80000000u)
    return emu_fmadd_ps(z.v, b, c);
}
EMU __m512 emu_sqrt_ps(__m512 va) { emu a = { .v = va }; LANES(16, a.f[k] = sqrtf(a.f[k])) return a.v; }
EMU __m512 emu_set1_ps(float x) { emu r; LANES(16, r.f[k] = x) return r.v; }
EMU __m512 emu_setzero_ps(void) { return emu_set1_ps(0); }
EMU __m512 emu_loadu_ps(const void *p) { emu r; memcpy(&r, p, 64); return r.v; }
EMU __m512 emu_load_ps(const void *p) { return emu_loadu_ps(p); }
EMU void emu_storeu_ps(void *p, __m512 v) { memcpy(p, &v, 64); }
EMU __m512 emu_maskz_loadu_ps(__mmask16 m, const void *p)
{
    emu r = { .q = { 0 } };
    LANES(16, if (m >> k & 1) memcpy(&r.f[k], (const char *)p + 4 * k, 4))
    return r.v;
}
EMU void emu_mask_storeu_ps(void *p, __mmask16 m, __m512 v)
{
    emu a = { .v = v };
    LANES(16, if (m >> k & 1) memcpy((char *)p + 4 * k, &a.f[k], 4))
}
EMU __mmask16 emu_cmp_ps_mask(__m512 va, __m512 vb, int op)
{
    emu a = { .v = va }, b = { .v = vb };
    uint32_t m = 0;
    for (int k = 0; k < 16; k++) {
        int t = op == _CMP_LT_OQ   ? a.f[k] < b.f[k]
                 : op == _CMP_GT_OQ ? a.f[k] > b.f[k]
                 : op == _CMP_GE_OQ ? a.f[k] >= b.f[k]
                 : op == _CMP_LE_OQ ? a.f[k] <= b.f[k]
                 : op == _CMP_EQ_OQ ? a.f[k] == b.f[k]
                 : op == _CMP_ORD_Q ? !(isnan(a.f[k]) || isnan(b.f[k]))
                                    : (isnan(a.f[k]) || isnan(b.f[k]));
        m |= (uint32_t)t << k;
    }
    return (__mmask16)m;
}
EMU __m512 emu_mask_blend_ps(__mmask16 m, __m512 va, __m512 vb)
{
    emu a = { .v = va }, b = { .v = vb };
    LANES(16, if (m >> k & 1) a.u[k] = b.u[k])
    return a.v;
}
EMU __m512 emu_cvtph_ps(__m256i h)
{
    emu2 a = { .i = h };
    emu r;
    LANES(2, r.yf[k] = _mm256_cvtph_ps(a.x[k]))
    return r.v;
}
EMU __m256i emu_cvtps_ph(__m512 v)
{
    emu a = { .v = v };
    emu2 r;
    LANES(2, r.x[k] = _mm256_cvtps_ph(a.yf[k], _MM_FROUND_TO_NEAREST_INT))
    return r.i;
}
EMU __m512i emu_cvtps_epi32(__m512 v)
{
    emu a = { .v = v }, r;
    LANES(2, r.y[k] = _mm256_cvtps_epi32(a.yf[k]))
    return r.i;
}
EMU __m512i emu_cvttps_epi32(__m512 v)
{
    emu a = { .v = v }, r;
    LANES(2, r.y[k] = _mm256_cvttps_epi32(a.yf[k]))
    return r.i;
}
EMU __m512 emu_cvtepi32_ps(__m512i v)
{
    emu a = { .i = v }, r;
    LANES(2, r.yf[k] = _mm256_cvtepi32_ps(a.y[k]))
    return r.v;
}
EMU __m512 emu_permute_ps(__m512 v, int c)
{
    emu a = { .v = v }, r;
    LANES(16, r.u[k] = a.u[(k & ~3) | (c >> 2 * (k & 3) & 3)])
    return r.v;
}
EMU __m512 emu_permutexvar_ps(__m512i vi, __m512 v)
{
    emu i = { .i = vi }, a = { .v = v }, r;
    LANES(16, r.u[k] = a.u[i.u[k] & 15])
    return r.v;
}
EMU __m256 emu_extractf32x8_ps(__m512 v, int c) { emu a = { .v = v }; return a.yf[c & 1]; }
EMU __m256 emu_castps512_ps256(__m512 v) { emu a = { .v = v }; return a.yf[0]; }
EMU __m512 emu_castsi512_ps(__m512i v) { emu a = { .i = v }; return a.v; }
EMU __m128 emu_castps512_ps128(__m512 v) { emu a = { .v = v }; return a.xf[0]; }
EMU __m512i emu_castps_si512(__m512 v) { emu a = { .v = v }; return a.i; }
EMU float emu_cvtss_f32(__m512 v) { emu a = { .v = v }; return a.f[0]; }
EMU __m512 emu_broadcast_f32x4(__m128 v) { emu r; LANES(4, r.xf[k] = v) return r.v; }

/* ---- integers ---- */
EMU __m512i emu_loadu_si512(const void *p) { emu r; memcpy(&r, p, 64); return r.i; }
EMU __m512i emu_load_si512(const void *p) { return emu_loadu_si512(p); }
EMU void emu_storeu_si512(void *p, __m512i v) { memcpy(p, &v, 64); }
EMU __m512i emu_setzero_si512(void) { emu r = { .q = { 0 } }; return r.i; }
EMU __m512i emu_set1_epi8(char x) { emu r; LANES(64, r.b[k] = (uint8_t)x) return r.i; }
EMU __m512i emu_set1_epi16(short x) { emu r; LANES(32, r.sh[k] = x) return r.i; }
EMU __m512i emu_set1_epi32(int x) { emu r; LANES(16, r.s[k] = x) return r.i; }
EMU __m512i emu_set1_epi64(long long x) { emu r; LANES(8, r.q[k] = (uint64_t)x) return r.i; }
I2(emu_add_epi32, 16, r.u[k] = a.u[k] + b.u[k])
I2(emu_sub_epi32, 16, r.u[k] = a.u[k] - b.u[k])
I2(emu_mullo_epi32, 16, r.u[k] = a.u[k] * b.u[k])
I2(emu_add_epi16, 32, r.h[k] = (uint16_t)(a.h[k] + b.h[k]))
I2(emu_sub_epi16, 32, r.h[k] = (uint16_t)(a.h[k] - b.h[k]))
I2(emu_mullo_epi16, 32, r.h[k] = (uint16_t)((uint32_t)a.h[k] * b.h[k]))
I2(emu_mulhi_epu16, 32, r.h[k] = (uint16_t)((uint32_t)a.h[k] * b.h[k] >> 16))
I2(emu_add_epi8, 64, r.b[k] = (uint8_t)(a.b[k] + b.b[k]))
I2(emu_sub_epi8, 64, r.b[k] = (uint8_t)(a.b[k] - b.b[k]))
I2(emu_and_si512, 8, r.q[k] = a.q[k] & b.q[k])
I2(emu_or_si512, 8, r.q[k] = a.q[k] | b.q[k])
I2(emu_xor_si512, 8, r.q[k] = a.q[k] ^ b.q[k])
I2(emu_andnot_si512, 8, r.q[k] = ~a.q[k] & b.q[k])
I2(emu_max_epi32, 16, r.s[k] = a.s[k] > b.s[k] ? a.s[k] : b.s[k])
I2(emu_max_epu16, 32, r.h[k] = a.h[k] > b.h[k] ? a.h[k] : b.h[k])
I2(emu_min_epi32, 16, r.s[k] = a.s[k] < b.s[k] ? a.s[k] : b.s[k])
I1(emu_slli_epi16, 32, r.h[k] = (uint16_t)(c > 15 ? 0 : a.h[k] << c))
I1(emu_srli_epi16, 32, r.h[k] = (uint16_t)(c > 15 ? 0 : a.h[k] >> c))
I1(emu_slli_epi32, 16, r.u[k] = c > 31 ? 0 : a.u[k] << c)
I1(emu_srli_epi32, 16, r.u[k] = c > 31 ? 0 : a.u[k] >> c)
I1(emu_srai_epi32, 16, r.s[k] = a.s[k] >> (c > 31 ? 31 : c))
I1(emu_srai_epi16, 32, r.sh[k] = (int16_t)(a.sh[k] >> (c > 15 ? 15 : c)))
I1(emu_slli_epi64, 8, r.q[k] = c > 63 ? 0 : a.q[k] << c)
I1(emu_srli_epi64, 8, r.q[k] = c > 63 ? 0 : a.q[k] >> c)
I2(emu_srlv_epi32, 16, r.u[k] = b.u[k] > 31 ? 0 : a.u[k] >> b.u[k])
I2(emu_sllv_epi32, 16, r.u[k] = b.u[k] > 31 ? 0 : a.u[k] << b.u[k])
I2(emu_srlv_epi16, 32, r.h[k] = (uint16_t)(b.h[k] > 15 ? 0 : a.h[k] >> b.h[k]))
I2(emu_sllv_epi16, 32, r.h[k] = (uint16_t)(b.h[k] > 15 ? 0 : a.h[k] << b.h[k]))
EMU __m512i emu_mask_srli_epi16(__m512i vs, __mmask32 m, __m512i va, unsigned c)
{
    emu s = { .i = vs }, a = { .i = va };
    LANES(32, if (m >> k & 1) s.h[k] = (uint16_t)(c > 15 ? 0 : a.h[k] >> c))
    return s.i;
}
I2(emu_madd_epi16, 16, r.u[k] = (uint32_t)(a.sh[2 * k] * b.sh[2 * k]) + (uint32_t)(a.sh[2 * k + 1] * b.sh[2 * k + 1]))
I2(emu_shuffle_epi8, 64, r.b[k] = b.b[k] & 128 ? 0 : a.b[(k & 48) | (b.b[k] & 15)])
I2(emu_unpacklo_epi8, 64, r.b[k] = (k & 1 ? b : a).b[(k & 48) + (k & 15) / 2])
I2(emu_unpackhi_epi8, 64, r.b[k] = (k & 1 ? b : a).b[(k & 48) + 8 + (k & 15) / 2])
I2(emu_unpacklo_epi16, 32, r.h[k] = (k & 1 ? b : a).h[(k & 24) + (k & 7) / 2])
I2(emu_unpackhi_epi16, 32, r.h[k] = (k & 1 ? b : a).h[(k & 24) + 4 + (k & 7) / 2])
I2(emu_unpacklo_epi32, 16, r.u[k] = (k & 1 ? b : a).u[(k & 12) + (k & 3) / 2])
I2(emu_unpackhi_epi32, 16, r.u[k] = (k & 1 ? b : a).u[(k & 12) + 2 + (k & 3) / 2])
I2(emu_unpacklo_epi64, 8, r.q[k] = (k & 1 ? b : a).q[k & 6])
I2(emu_unpackhi_epi64, 8, r.q[k] = (k & 1 ? b : a).q[(k & 6) + 1])
EMU int16_t emu_sat16(int32_t x) { return (int16_t)(x > 32767 ? 32767 : x < -32768 ? -32768 : x); }
I2(emu_packs_epi32, 32, r.sh[k] = emu_sat16((k & 4 ? b : a).s[(k >> 3) * 4 + (k & 3)]))
EMU int8_t emu_sat8(int32_t x) { return (int8_t)(x > 127 ? 127 : x < -128 ? -128 : x); }
I2(emu_packs_epi16, 64, r.sb[k] = emu_sat8((k & 8 ? b : a).sh[(k >> 4) * 8 + (k & 7)]))
I2(emu_maddubs_epi16, 32, r.sh[k] = emu_sat16(a.b[2 * k] * b.sb[2 * k] + a.b[2 * k + 1] * b.sb[2 * k + 1]))
/* The index comes first here. */
I2(emu_permutexvar_epi32, 16, r.u[k] = b.u[a.u[k] & 15])
I2(emu_permutexvar_epi64, 8, r.q[k] = b.q[a.q[k] & 7])
I2(emu_permutexvar_epi16, 32, r.h[k] = b.h[a.h[k] & 31])
EMU __m512i emu_permutex2var_epi32(__m512i va, __m512i vi, __m512i vb)
{
    emu a = { .i = va }, i = { .i = vi }, b = { .i = vb }, r;
    LANES(16, r.u[k] = (i.u[k] & 16 ? b : a).u[i.u[k] & 15])
    return r.i;
}
EMU __m512i emu_permutex2var_epi64(__m512i va, __m512i vi, __m512i vb)
{
    emu a = { .i = va }, i = { .i = vi }, b = { .i = vb }, r;
    LANES(8, r.q[k] = (i.q[k] & 8 ? b : a).q[i.q[k] & 7])
    return r.i;
}
EMU __m512i emu_permutex2var_epi16(__m512i va, __m512i vi, __m512i vb)
{
    emu a = { .i = va }, i = { .i = vi }, b = { .i = vb }, r;
    LANES(32, r.h[k] = (i.h[k] & 32 ? b : a).h[i.h[k] & 31])
    return r.i;
}
EMU __m512 emu_permutex2var_ps(__m512 a, __m512i i, __m512 b)
{
    return emu_castsi512_ps(emu_permutex2var_epi32(emu_castps_si512(a), i, emu_castps_si512(b)));
}
EMU __m512i emu_shuffle_epi32(__m512i v, int c)
{
    emu a = { .i = v }, r;
    LANES(16, r.u[k] = a.u[(k & 12) | (c >> 2 * (k & 3) & 3)])
    return r.i;
}
EMU __m512 emu_shuffle_ps(__m512 va, __m512 vb, int c)
{
    emu a = { .v = va }, b = { .v = vb }, r;
    LANES(16, r.u[k] = (k & 2 ? b : a).u[(k & 12) | (c >> 2 * (k & 3) & 3)])
    return r.v;
}
EMU __m512i emu_shuffle_i32x4(__m512i va, __m512i vb, int c)
{
    emu a = { .i = va }, b = { .i = vb }, r;
    LANES(4, r.x[k] = (k < 2 ? a : b).x[c >> 2 * k & 3])
    return r.i;
}
EMU __m512 emu_shuffle_f32x4(__m512 a, __m512 b, int c)
{
    return emu_castsi512_ps(emu_shuffle_i32x4(emu_castps_si512(a), emu_castps_si512(b), c));
}
EMU __m512i emu_dpbusd_epi32(__m512i vs, __m512i va, __m512i vb)
{
    emu s = { .i = vs }, a = { .i = va }, b = { .i = vb };
    LANES(64, s.u[k / 4] += (uint32_t)(a.b[k] * b.sb[k]))
    return s.i;
}
EMU __m512i emu_dpwssd_epi32(__m512i vs, __m512i va, __m512i vb)
{
    emu s = { .i = vs }, a = { .i = va }, b = { .i = vb };
    LANES(32, s.u[k / 2] += (uint32_t)(a.sh[k] * b.sh[k]))
    return s.i;
}
EMU __m512i emu_ternarylogic_epi32(__m512i va, __m512i vb, __m512i vc, int op)
{
    emu a = { .i = va }, b = { .i = vb }, c = { .i = vc }, r = { .q = { 0 } };
    for (int j = 0; j < 512; j++) {
        int idx = (a.b[j / 8] >> j % 8 & 1) * 4 + (b.b[j / 8] >> j % 8 & 1) * 2 + (c.b[j / 8] >> j % 8 & 1);
        r.b[j / 8] |= (uint8_t)((op >> idx & 1) << j % 8);
    }
    return r.i;
}
EMU __m512i emu_castsi256_si512(__m256i v) { emu r = { .q = { 0 } }; r.y[0] = v; return r.i; }
EMU __m512i emu_castsi128_si512(__m128i v) { emu r = { .q = { 0 } }; r.x[0] = v; return r.i; }
EMU __m256i emu_castsi512_si256(__m512i v) { emu a = { .i = v }; return a.y[0]; }
EMU __m128i emu_castsi512_si128(__m512i v) { emu a = { .i = v }; return a.x[0]; }
EMU __m256i emu_extracti64x4_epi64(__m512i v, int c) { emu a = { .i = v }; return a.y[c & 1]; }
EMU __m128i emu_extracti32x4_epi32(__m512i v, int c) { emu a = { .i = v }; return a.x[c & 3]; }
EMU __m512i emu_inserti64x4(__m512i v, __m256i y, int c) { emu a = { .i = v }; a.y[c & 1] = y; return a.i; }
EMU __m512i emu_inserti32x4(__m512i v, __m128i x, int c) { emu a = { .i = v }; a.x[c & 3] = x; return a.i; }
EMU __m512i emu_broadcast_i32x4(__m128i v) { emu r; LANES(4, r.x[k] = v) return r.i; }
EMU __m512i emu_broadcast_i64x4(__m256i v) { emu r; LANES(2, r.y[k] = v) return r.i; }
EMU __m512i emu_broadcast_i32x8(__m256i v) { return emu_broadcast_i64x4(v); }
EMU __m512i emu_shuffle_i64x2(__m512i a, __m512i b, int c) { return emu_shuffle_i32x4(a, b, c); }
EMU __m512i emu_broadcastd_epi32(__m128i v) { emu1 a = { .i = v }; return emu_set1_epi32(a.s[0]); }
EMU __m512i emu_broadcastq_epi64(__m128i v) { emu1 a = { .i = v }; return emu_set1_epi64((long long)a.q[0]); }
EMU __m512i emu_cvtepi8_epi16(__m256i v) { emu2 a = { .i = v }; emu r; LANES(32, r.sh[k] = a.sb[k]) return r.i; }
EMU __m512i emu_cvtepu8_epi16(__m256i v) { emu2 a = { .i = v }; emu r; LANES(32, r.h[k] = a.b[k]) return r.i; }
EMU __m512i emu_cvtepi16_epi32(__m256i v) { emu2 a = { .i = v }; emu r; LANES(16, r.s[k] = a.sh[k]) return r.i; }
EMU __m512i emu_cvtepu16_epi32(__m256i v) { emu2 a = { .i = v }; emu r; LANES(16, r.u[k] = a.h[k]) return r.i; }
EMU __m512i emu_cvtepi8_epi32(__m128i v) { emu1 a = { .i = v }; emu r; LANES(16, r.s[k] = a.sb[k]) return r.i; }
EMU __m512i emu_cvtepu8_epi32(__m128i v) { emu1 a = { .i = v }; emu r; LANES(16, r.u[k] = a.b[k]) return r.i; }
EMU __m128i emu_cvtepi32_epi8(__m512i v) { emu a = { .i = v }; emu1 r; LANES(16, r.b[k] = a.b[4 * k]) return r.i; }
EMU __m128i emu_cvtsepi32_epi8(__m512i v) { emu a = { .i = v }; emu1 r; LANES(16, r.sb[k] = emu_sat8(a.s[k])) return r.i; }
EMU __m256i emu_cvtepi32_epi16(__m512i v) { emu a = { .i = v }; emu2 r; LANES(16, r.h[k] = a.h[2 * k]) return r.i; }
EMU __m256i emu_cvtepi16_epi8(__m512i v) { emu a = { .i = v }; emu2 r; LANES(32, r.b[k] = a.b[2 * k]) return r.i; }
EMU int emu_reduce_add_epi32(__m512i v) { emu a = { .i = v }; uint32_t s = 0; LANES(16, s += a.u[k]) return (int)s; }
EMU int emu_reduce_max_epi32(__m512i v) { emu a = { .i = v }; int s = a.s[0]; LANES(16, if (a.s[k] > s) s = a.s[k]) return s; }
EMU float emu_reduce_max_ps(__m512 v) { emu a = { .v = v }; float s = a.f[0]; LANES(16, if (a.f[k] > s) s = a.f[k]) return s; }
EMU __m512i emu_setr(const void *p) { return emu_loadu_si512(p); }
EMU __m512i emu_maskz_loadu_epi8(__mmask64 m, const void *p)
{
    emu r = { .q = { 0 } };
    LANES(64, if (m >> k & 1) r.b[k] = ((const uint8_t *)p)[k])
    return r.i;
}
EMU __m512i emu_maskz_loadu_epi32(__mmask16 m, const void *p) { return emu_castps_si512(emu_maskz_loadu_ps(m, p)); }
EMU void emu_mask_storeu_epi32(void *p, __mmask16 m, __m512i v) { emu_mask_storeu_ps(p, m, emu_castsi512_ps(v)); }
EMU __m512i emu_mask_add_epi8(__m512i vs, __mmask64 m, __m512i va, __m512i vb)
{
    emu s = { .i = vs }, a = { .i = va }, b = { .i = vb };
    LANES(64, if (m >> k & 1) s.b[k] = (uint8_t)(a.b[k] + b.b[k]))
    return s.i;
}
EMU __m512i emu_mask_mulhi_epu16(__m512i vs, __mmask32 m, __m512i va, __m512i vb)
{
    emu s = { .i = vs }, a = { .i = va }, b = { .i = vb };
    LANES(32, if (m >> k & 1) s.h[k] = (uint16_t)((uint32_t)a.h[k] * b.h[k] >> 16)) return s.i;
}
EMU __m512i emu_mask_sub_epi8(__m512i vs, __mmask64 m, __m512i va, __m512i vb)
{
    emu s = { .i = vs }, a = { .i = va }, b = { .i = vb };
    LANES(64, if (m >> k & 1) s.b[k] = (uint8_t)(a.b[k] - b.b[k]))
    return s.i;
}
EMU __m512i emu_mask_blend_epi16(__mmask32 m, __m512i va, __m512i vb)
{
    emu a = { .i = va }, b = { .i = vb };
    LANES(32, if (m >> k & 1) a.h[k] = b.h[k])
    return a.i;
}
EMU __m512i emu_mask_blend_epi64(__mmask8 m, __m512i va, __m512i vb)
{
    emu a = { .i = va }, b = { .i = vb };
    LANES(8, if (m >> k & 1) a.q[k] = b.q[k])
    return a.i;
}
EMU __m512i emu_mask_broadcast_i32x4(__m512i vs, __mmask16 m, __m128i v)
{
    emu s = { .i = vs };
    emu1 x = { .i = v };
    LANES(16, if (m >> k & 1) s.u[k] = x.u[k & 3])
    return s.i;
}
EMU __mmask64 emu_test_epi8_mask(__m512i va, __m512i vb)
{
    emu a = { .i = va }, b = { .i = vb };
    __mmask64 m = 0;
    LANES(64, m |= (__mmask64)((a.b[k] & b.b[k]) != 0) << k)
    return m;
}
EMU __mmask64 emu_movepi8_mask(__m512i v)
{
    emu a = { .i = v };
    __mmask64 m = 0;
    LANES(64, m |= (__mmask64)(a.b[k] >> 7) << k)
    return m;
}
EMU __m512 emu_mask_mov_ps(__m512 a, __mmask16 m, __m512 b) { return emu_mask_blend_ps(m, a, b); }
EMU __m512 emu_maskz_mov_ps(__mmask16 m, __m512 b) { return emu_mask_blend_ps(m, emu_setzero_ps(), b); }
EMU __m512 emu_abs_ps(__m512 v) { emu a = { .v = v }; LANES(16, a.u[k] &= 0x7fffffffu) return a.v; }
EMU __m512 emu_roundscale_ps(__m512 v, int c)
{
    emu a = { .v = v };
    LANES(16, a.f[k] = (c & 3) == _MM_FROUND_TO_POS_INF ? ceilf(a.f[k]) : nearbyintf(a.f[k]))   /* never scaled */
    return a.v;
}

/* ---- 256-bit forms of the same extension ---- */
EMU __m256i emu256_maskz_loadu_epi16(__mmask16 m, const void *p)
{
    emu2 r = { .q = { 0 } };
    LANES(16, if (m >> k & 1) memcpy(&r.h[k], (const char *)p + 2 * k, 2))
    return r.i;
}
EMU void emu256_mask_storeu_epi16(void *p, __mmask16 m, __m256i v)
{
    emu2 a = { .i = v };
    LANES(16, if (m >> k & 1) memcpy((char *)p + 2 * k, &a.h[k], 2))
}
EMU __m256i emu256_dpbusd_epi32(__m256i vs, __m256i va, __m256i vb)
{
    emu2 s = { .i = vs }, a = { .i = va }, b = { .i = vb };
    LANES(32, s.u[k / 4] += (uint32_t)(a.b[k] * b.sb[k]))
    return s.i;
}

#include "tests/emulate/avx512_names.h"

#endif
