/* Many tokens (AVX-512 VNNI): a tile is 32 rows, two registers, by four tokens: a processor broadcasts hardly more often than
 * it multiplies, so each broadcast serves two multiplications.  One kernel for super-blocks, one for a float scale per 32. */
#define CODES q
#define PANEL_WIDTH 32
#define PANEL_FROM 3
#include "kernel/matmul/panel_x86.h"
#include "kernel/matmul/read_avx512.h"

enum { TILE = 4, VECS = EIGHTS / 2, VNNI = 1 };

/* Vector v of a row of panels. */
#define VEC(array, v) load512((array) + 2 * (v))

INLINE __m512i spread(const void *p)
{
    int32_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi32(v);
}

INLINE void store(float *acc, float da, __m512 value)
{
    _mm512_storeu_ps(acc, _mm512_fmadd_ps(_mm512_set1_ps(da), value, _mm512_loadu_ps(acc)));
}

typedef __m512i sums[TILE][VECS];

/* dot += 16 columns of all rows. */
INLINE void group(const __m256i (*code)[EIGHTS], const struct act_block *const *a, int nt, int j, sums dot)
{
    UNROLL for (int k = 0; k < 4; k++) {
        __m512i w[VECS];
        UNROLL for (int v = 0; v < VECS; v++) w[v] = VEC(code[4 * j + k], v);
        UNROLL for (int t = 0; t < nt; t++) {
            __m512i q = spread(a[t]->q + ACT_GROUP * j + 4 * k);
            UNROLL for (int v = 0; v < VECS; v++) dot[t][v] = _mm512_dpbusd_epi32(dot[t][v], w[v], q);
        }
    }
}

/* The dots of groups 2i and 2i + 1 less centre, a power of two: 128 makes codes signed. */
INLINE void two_groups(const __m256i (*code)[EIGHTS], const struct act_block *const *a, int nt, int i, int centre, sums even,
                       sums odd)
{
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i e = centre ? spread(&a[t]->zero[2 * i]) : _mm512_setzero_si512();
        __m512i o = centre ? spread(&a[t]->zero[2 * i + 1]) : _mm512_setzero_si512();
        if (centre && centre < 128) {
            e = _mm512_srai_epi32(e, 7 - __builtin_ctz((unsigned)centre));
            o = _mm512_srai_epi32(o, 7 - __builtin_ctz((unsigned)centre));
        }
        UNROLL for (int v = 0; v < VECS; v++) {
            even[t][v] = e;
            odd[t][v] = o;
        }
    }
    group(code, a, nt, 2 * i, even);
    group(code, a, nt, 2 * i + 1, odd);
}

/* sum += even * (low half of f) + odd * (high half).  narrow: both dots fit 16 bits, so that one instruction does it; only
 * multiplications count here, shifts and blends run beside them. */
INLINE __m512i add_narrow(__m512i sum, __m512i even, __m512i odd, __m512i f)
{
    return _mm512_dpwssd_epi32(sum, _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16)), f);
}

/* The same where each factor has 32 bits. */
INLINE __m512i add_wide(__m512i sum, __m512i even, __m512i odd, __m512i f_even, __m512i f_odd)
{
    return _mm512_add_epi32(sum, _mm512_add_epi32(_mm512_mullo_epi32(even, f_even), _mm512_mullo_epi32(odd, f_odd)));
}

INLINE __m512i add_pair(__m512i sum, __m512i even, __m512i odd, __m512i f, bool narrow)
{
    if (narrow) return add_narrow(sum, even, odd, f);
    return add_wide(sum, even, odd, _mm512_srai_epi32(_mm512_slli_epi32(f, 16), 16), _mm512_srai_epi32(f, 16));
}

/* Every product sc * s of a weight's scale and an activation's: looking them up costs no multiplication.  narrow: in both halves,
 * where the groups of 32 columns share sc, with the minimums as pairs of 32 columns.  wide: 16 bits for each group. */
enum { PRODUCTS_T = 24 };                  /* fewer tokens would not pay for the table */
struct panel_products {
    const struct panel_super *w;
    union {
        __m512i narrow[BLOCKS][ACT_S_Q256][VECS];
        __m256i wide[ACT_GROUPS][ACT_S_Q256][VECS];
    } of;
    __m512i mn[BLOCKS / 2][VECS];          /* minimums, and scales, of 32 columns in pairs */
    __m512i sc[BLOCKS / 2][VECS];
};

/* Whether both halves are the same, everywhere. */
INLINE bool halves_share(const __m256i (*n)[EIGHTS])
{
    __m256i differs = _mm256_setzero_si256();
    for (int i = 0; i < BLOCKS; i++)
        UNROLL for (int h = 0; h < EIGHTS; h++) {
            __m256i swapped = _mm256_or_si256(_mm256_slli_epi32(n[i][h], 16), _mm256_srli_epi32(n[i][h], 16));
            differs = _mm256_or_si256(differs, _mm256_xor_si256(n[i][h], swapped));
        }
    return _mm256_testz_si256(differs, differs);
}

INLINE void products_narrow(const struct panel_super *w, struct panel_products *out)
{
    for (int i = 0; i < BLOCKS; i++)
        UNROLL for (int v = 0; v < VECS; v++) {
            __m512i sc = VEC(w->sc[i], v), sum = _mm512_setzero_si512();
            for (int s = 0; s < ACT_S_Q256; s++) {
                sum = _mm512_add_epi16(sum, sc);
                out->of.narrow[i][s][v] = sum;
            }
            if (i % 2 == 0) continue;
            out->mn[i / 2][v] = _mm512_mask_blend_epi16(0xaaaaaaaa, VEC(w->mn[i - 1], v), VEC(w->mn[i], v));
            out->sc[i / 2][v] = _mm512_mask_blend_epi16(0xaaaaaaaa, VEC(w->sc[i - 1], v), sc);
        }
}

INLINE void products_wide(const struct panel_super *w, struct panel_products *out)
{
    for (int i = 0; i < BLOCKS; i++)
        UNROLL for (int v = 0; v < VECS; v++) {
            __m512i both = VEC(w->sc[i], v);
            __m256i even = _mm512_cvtepi32_epi16(both), odd = _mm512_cvtepi32_epi16(_mm512_srli_epi32(both, 16));
            __m256i e = _mm256_setzero_si256(), o = e;
            for (int s = 0; s < ACT_S_Q256; s++) {
                e = out->of.wide[2 * i][s][v] = _mm256_add_epi16(e, even);
                o = out->of.wide[2 * i + 1][s][v] = _mm256_add_epi16(o, odd);
            }
        }
}

INLINE bool products_fill(const struct panel_super *w, enum family family, struct panel_products *out)
{
    if (family == SUPER_MIN && !(halves_share(w->sc) && halves_share(w->mn))) return false;
    out->w = w;
    if (family == SUPER_MIN) products_narrow(w, out);
    else products_wide(w, out);
    return true;
}

/* The sums z of two groups together.  false: they do not fit 16 bits (rare: it takes nearly the largest codes all along). */
INLINE bool pair_sums(const struct act_block *a, int16_t *out)
{
    __m256i z = load256(a->z.z16), odd = _mm256_slli_epi32(z, 16), sum = _mm256_add_epi16(z, odd);
    __m256i off = _mm256_srli_epi32(_mm256_xor_si256(sum, _mm256_adds_epi16(z, odd)), 16);
    __m256i packed = _mm512_cvtepi32_epi16(_mm512_castsi256_si512(_mm256_srli_epi32(sum, 16)));
    _mm_store_si128((__m128i *)(void *)out, _mm256_castsi256_si128(packed));
    return _mm256_testz_si256(off, off);
}

/* Sums of n pairs of minimums times pairs of sums of activations. */
INLINE void minimums(const __m512i (*mn)[VECS], const int16_t *z, int n, __m512i *sum)
{
    __m512i odd[VECS];
    UNROLL for (int v = 0; v < VECS; v++) sum[v] = odd[v] = _mm512_setzero_si512();
    for (int i = 0; i < n; i += 2) {
        __m512i z0 = spread(z + 2 * i), z1 = spread(z + 2 * i + 2);
        UNROLL for (int v = 0; v < VECS; v++) {
            sum[v] = _mm512_dpwssd_epi32(sum[v], load512(&mn[i][v]), z0);
            odd[v] = _mm512_dpwssd_epi32(odd[v], load512(&mn[i + 1][v]), z1);
        }
    }
    UNROLL for (int v = 0; v < VECS; v++) sum[v] = _mm512_add_epi32(sum[v], odd[v]);
}

/* w, what is known of it (p, or NULL), and how to use it. */
struct super { const struct panel_super *w; const struct panel_products *p; enum family family; int centre; bool narrow; };

/* The factors of groups 2i and 2i + 1 of a token: in the halves of *f (narrow), else *f and *g. */
INLINE void factors(const struct super *x, const int16_t *s, int i, int v, __m512i *f, __m512i *g)
{
    const __m512i (*of)[VECS] = x->p->of.narrow[i];
    const __m256i (*even)[VECS] = x->p->of.wide[2 * i], (*odd)[VECS] = x->p->of.wide[2 * i + 1];
    if (x->family == SUPER_MIN) {
        *f = _mm512_mask_blend_epi16(0xaaaaaaaa, load512(&of[s[0] - 1][v]), load512(&of[s[1] - 1][v]));
        return;
    }
    *f = _mm512_cvtepi16_epi32(load256(&even[s[0] - 1][v]));
    *g = _mm512_cvtepi16_epi32(load256(&odd[s[1] - 1][v]));
    if (x->narrow) *f = _mm512_mask_blend_epi16(0xaaaaaaaa, *f, _mm512_slli_epi32(*g, 16));
}

/* One pair of groups of a token. */
INLINE void add_super(const struct super *x, const struct act_block *a, int i, const __m512i *even, const __m512i *odd,
                      __m512i *sum)
{
    UNROLL for (int v = 0; v < VECS; v++) {
        const int16_t *s = a->s16 + 2 * i;
        __m512i f, g;
        if (!x->p) f = _mm512_mullo_epi16(VEC(x->w->sc[i], v), spread(s));
        else factors(x, s, i, v, &f, &g);
        if (!x->p || x->narrow) sum[v] = add_pair(sum[v], even[v], odd[v], f, x->narrow);
        else sum[v] = add_wide(sum[v], even[v], odd[v], f, g);
    }
}

/* min = sums of minimums times sums of activations; z: by pairs of groups, or NULL. */
INLINE void super_minimums(const struct super *x, const struct act_block *a, const int16_t *z, __m512i *min)
{
    if (z) minimums(x->p->mn, z, BLOCKS / 2, min);
    else minimums((const __m512i(*)[VECS])x->w->mn, a->z.z16, BLOCKS, min);
}

/* What codes less 16 left out: 16 times the sums of scales times sums of activations. */
INLINE void super_centre(const struct super *x, const struct act_block *a, const int16_t *z, __m512i *isum)
{
    __m512i sum[VECS];
    if (z) minimums(x->p->sc, z, BLOCKS / 2, sum);
    else minimums((const __m512i(*)[VECS])x->w->sc, a->z.z16, BLOCKS, sum);
    UNROLL for (int v = 0; v < VECS; v++) isum[v] = _mm512_add_epi32(isum[v], _mm512_slli_epi32(sum[v], 4));
}

INLINE __m512 scale16(const __m256 *d, int v) { return _mm512_load_ps((const float *)d + 16 * v); }

INLINE void tile_super(const struct super *x, const struct tile *c, int nt)
{
    const struct panel_super *w = x->w;
    const struct act_block *a[TILE];
    _Alignas(16) int16_t z[TILE][BLOCKS];
    bool pairs = x->p;
    sums isum;
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        if (x->p && x->family == SUPER_MIN) pairs &= pair_sums(a[t], z[t]);
        UNROLL for (int v = 0; v < VECS; v++) isum[t][v] = _mm512_setzero_si512();
    }
    for (int i = 0; i < BLOCKS; i++) {
        sums even, odd;
        ask(c->x);
        two_groups(w->code, a, nt, i, x->centre, even, odd);
        UNROLL for (int t = 0; t < nt; t++) add_super(x, a[t], i, even[t], odd[t], isum[t]);
    }
    UNROLL for (int t = 0; t < nt; t++) {
        __m512i min[VECS];
        if (x->family == SUPER_MIN) super_minimums(x, a[t], pairs ? z[t] : NULL, min);
        if (x->family == SUPER_MIN && x->centre) super_centre(x, a[t], pairs ? z[t] : NULL, isum[t]);
        UNROLL for (int v = 0; v < VECS; v++) {
            __m512 value = _mm512_mul_ps(scale16(w->d, v), _mm512_cvtepi32_ps(isum[t][v]));
            if (x->family == SUPER_MIN) value = _mm512_fnmadd_ps(scale16(w->dmin, v), _mm512_cvtepi32_ps(min[v]), value);
            store(c->acc + PANEL_ROWS * t + 16 * v, a[t]->d, value);
        }
    }
}

INLINE void tile_block(const struct panel_block *w, const struct tile *c, int nt, enum family family, bool is_signed, bool narrow)
{
    const struct act_block *a[TILE];
    __m512 value[TILE][VECS];
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        UNROLL for (int v = 0; v < VECS; v++) value[t][v] = _mm512_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        sums even, odd;
        ask(c->x);
        two_groups(w->code, a, nt, b, is_signed ? 128 : 0, even, odd);
        UNROLL for (int t = 0; t < nt; t++) {
            __m512i s = spread(a[t]->s16 + 2 * b);
            UNROLL for (int v = 0; v < VECS; v++) {
                __m512 d = scale16(w->d[b], v);
                __m512 f = _mm512_cvtepi32_ps(add_pair(_mm512_setzero_si512(), even[t][v], odd[t][v], s, narrow));
                value[t][v] = b ? _mm512_fmadd_ps(d, f, value[t][v]) : _mm512_mul_ps(d, f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int v = 0; v < VECS; v++) {
            for (int b = 0; family == BLOCK_ADD && b < BLOCKS; b++)
                value[t][v] = _mm512_fmadd_ps(scale16(w->add[b], v), _mm512_cvtepi32_ps(spread(a[t]->z.pair + b)),
                                              value[t][v]);
            store(c->acc + PANEL_ROWS * t + 16 * v, a[t]->d, value[t][v]);
        }
}

/* A scale for each group: both are at most 16 * 16 * 127, of 16 bits. */
INLINE void tile_fine(const struct panel_fine *w, const struct tile *c, int nt)
{
    const struct act_block *a[TILE];
    __m512 value[TILE][VECS];
    const __m512i none = _mm512_setzero_si512();
    UNROLL for (int t = 0; t < nt; t++) {
        a[t] = c->a[t] + c->s;
        UNROLL for (int v = 0; v < VECS; v++) value[t][v] = _mm512_setzero_ps();
    }
    for (int b = 0; b < BLOCKS; b++) {
        sums even, odd;
        ask(c->x);
        two_groups(w->code, a, nt, b, 128, even, odd);
        UNROLL for (int t = 0; t < nt; t++) {
            __m512i s = spread(a[t]->s16 + 2 * b);
            UNROLL for (int v = 0; v < VECS; v++) {
                __m512 d = scale16(w->d[2 * b], v), f = _mm512_cvtepi32_ps(add_narrow(none, even[t][v], none, s));
                value[t][v] = b ? _mm512_fmadd_ps(d, f, value[t][v]) : _mm512_mul_ps(d, f);
                f = _mm512_cvtepi32_ps(add_narrow(none, none, odd[t][v], s));
                value[t][v] = _mm512_fmadd_ps(scale16(w->d[2 * b + 1], v), f, value[t][v]);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int v = 0; v < VECS; v++) store(c->acc + PANEL_ROWS * t + 16 * v, a[t]->d, value[t][v]);
}

/* Codes of at most 16 (15 without a sign), or less 16 at most that: a group's dot fits 16 bits. */
#define MULTIPLY_SUPER(name, family, centre, narrow)                                                                \
    MULTIPLY(name##_plain, panel_super, tile_super(&(struct super){ p, NULL, family, centre, narrow }, &c, nt))     \
    MULTIPLY(name##_looked_up, panel_products, tile_super(&(struct super){ p->w, p, family, centre, narrow }, &c, nt)) \
    static void name(const void *w, const struct act_block *const *a, size_t s, size_t T, float *acc,               \
                     struct ahead *x)                                                                               \
    {                                                                                                               \
        struct panel_products p;                                                                                    \
        if (T >= PRODUCTS_T && products_fill(w, family, &p)) name##_looked_up(&p, a, s, T, acc, x);                 \
        else name##_plain(w, a, s, T, acc, x);                                                                      \
    }

MULTIPLY_SUPER(multiply_SUPER_15, SUPER, 128, true)
MULTIPLY_SUPER(multiply_SUPER_127, SUPER, 128, false)
MULTIPLY_SUPER(multiply_SUPER_MIN_15, SUPER_MIN, 0, true)
MULTIPLY_SUPER(multiply_SUPER_MIN_31, SUPER_MIN, 16, true)
MULTIPLY(multiply_BLOCK_15, panel_block, tile_block(p, &c, nt, BLOCK, true, true))
MULTIPLY(multiply_BLOCK_127, panel_block, tile_block(p, &c, nt, BLOCK, true, false))
MULTIPLY(multiply_BLOCK_ADD_15, panel_block, tile_block(p, &c, nt, BLOCK_ADD, false, true))
MULTIPLY(multiply_BLOCK_ADD_31, panel_block, tile_block(p, &c, nt, BLOCK_ADD, false, false))
MULTIPLY(multiply_BLOCK_ADD_127, panel_block, tile_block(p, &c, nt, BLOCK_ADD, true, false))
MULTIPLY(multiply_FINE_31, panel_fine, tile_fine(p, &c, nt))
#define multiply_BLOCK_ADD_63 multiply_BLOCK_ADD_31
#define multiply_SUPER_31 multiply_SUPER_15
#define multiply_SUPER_63 multiply_SUPER_127
#define multiply_BLOCK_31 multiply_BLOCK_15

/* ---- unpacking: 16 rows at a time --------------------------------------------------------------------------------------- */

INLINE void put(void *to, int v, __m512i x) { _mm512_storeu_si512((__m512i *)to + v, x); }

/* The f16 at one place of 16 rows. */
INLINE __m512i load_scales16(const uint8_t *const *row, size_t at)
{
    uint16_t h[16];
    UNROLL for (int i = 0; i < 16; i++) h[i] = load16(row[i] + at);
    return _mm512_castps_si512(_mm512_cvtph_ps(load256(h)));
}

/* Four bytes of each row, the numbers of blocks i to i + 3, each twice as 16 bits. */
INLINE void put_twice(__m256i (*to)[EIGHTS], int v, __m512i bytes)
{
    const __m128i first = _mm_setr_epi8(0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1);
    UNROLL for (int i = 0; i < 4; i++) {
        const __m512i at = _mm512_add_epi32(_mm512_broadcast_i32x4(first), _mm512_set1_epi32(i * 0x00010001));
        put(to[i], v, _mm512_shuffle_epi8(bytes, at));
    }
}

INLINE void lay_q4_k(struct panel_super *p, const uint8_t *const *rows)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63), two = _mm512_set1_epi8(0x30);
    for (int v = 0; v < VECS; v++) {
        const uint8_t *const *row = rows + 16 * v;
        __m512i s[4], w[8];
        load_rows16_half(row, 0, s);                 /* both scales, and 12 bytes of 6-bit numbers */
        put(p->d, v, halves_as_floats(s[0]));
        put(p->dmin, v, halves_as_floats(_mm512_srli_epi32(s[0], 16)));
        put_twice(p->sc, v, _mm512_and_si512(s[1], six));
        put_twice(p->mn, v, _mm512_and_si512(s[2], six));
        put_twice(p->sc + 4, v, _mm512_or_si512(_mm512_and_si512(s[3], low), _mm512_and_si512(_mm512_srli_epi32(s[1], 2), two)));
        put_twice(p->mn + 4, v, _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(s[3], 4), low),
                                                _mm512_and_si512(_mm512_srli_epi32(s[2], 2), two)));
        for (int g = 0; g < 4; g++) {
            load_rows16(row, (size_t)(16 + 32 * g), w);
            UNROLL for (int k = 0; k < 8; k++) {
                put(p->code[16 * g + k], v, _mm512_and_si512(w[k], low));
                put(p->code[16 * g + 8 + k], v, _mm512_and_si512(_mm512_srli_epi16(w[k], 4), low));
            }
        }
    }
}

/* Bits of a where `from` is set, else of b. */
INLINE __m512i choose(__m512i a, __m512i b, __m512i from) { return _mm512_ternarylogic_epi32(a, b, from, 0xe4); }

INLINE void lay_q6_k(struct panel_super *p, const uint8_t *const *rows)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63);
    const __m512i flip = _mm512_set1_epi8(96);              /* - 32, and the sign bit flipped */
    for (int v = 0; v < VECS; v++) {
        const uint8_t *const *row = rows + 16 * v;
        __m512i l0[8], l1[8], up[8];
        for (int half = 0; half < 2; half++) {
            load_rows16(row, (size_t)(64 * half), l0);
            load_rows16(row, (size_t)(64 * half + 32), l1);
            load_rows16(row, (size_t)(128 + 32 * half), up);
            UNROLL for (int k = 0; k < 8; k++) {
                __m512i c[4], u = up[k];
                c[0] = choose(l0[k], _mm512_slli_epi16(u, 4), low);
                c[1] = choose(l1[k], _mm512_slli_epi16(u, 2), low);
                c[2] = choose(_mm512_srli_epi16(l0[k], 4), u, low);
                c[3] = choose(_mm512_srli_epi16(l1[k], 4), _mm512_srli_epi16(u, 2), low);
                UNROLL for (int i = 0; i < 4; i++)
                    put(p->code[32 * half + 8 * i + k], v, _mm512_add_epi8(_mm512_and_si512(c[i], six), flip));
            }
        }
        load_rows16_half(row, 192, up);              /* four scales each: of groups 4i and 4i + 1, 4i + 2 and 4i + 3 */
        UNROLL for (int i = 0; i < 4; i++) {
            const __m512i top = _mm512_set1_epi32((int)0xff000000);
            __m512i even = _mm512_srai_epi16(choose(_mm512_slli_epi32(up[i], 16), _mm512_slli_epi32(up[i], 8), top), 8);
            __m512i odd = _mm512_srai_epi16(choose(up[i], _mm512_srli_epi32(up[i], 8), top), 8);
            put(p->sc[2 * i], v, even);
            put(p->sc[2 * i + 1], v, odd);
        }
        put(p->d, v, load_scales16(row, 208));
    }
}

INLINE void lay_q8_0(struct panel_block *p, const uint8_t *const *rows)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    for (int v = 0; v < VECS; v++)
        for (int b = 0; b < BLOCKS; b++) {
            __m512i w[8];
            load_rows16(rows + 16 * v, (size_t)(Q8_0_BYTES * b + 2), w);
            UNROLL for (int k = 0; k < 8; k++) put(p->code[8 * b + k], v, _mm512_xor_si512(w[k], flip));
            put(p->d[b], v, load_scales16(rows + 16 * v, (size_t)(Q8_0_BYTES * b)));
        }
}

/* A byte is one column of each group. */
INLINE void lay_q4_0(struct panel_block *p, const uint8_t *const *rows)
{
    const __m512i low = _mm512_set1_epi8(15), flip = _mm512_set1_epi8(120);         /* - 8, and the sign bit flipped */
    for (int v = 0; v < VECS; v++)
        for (int b = 0; b < BLOCKS; b++) {
            __m512i w[4];
            load_rows16_half(rows + 16 * v, (size_t)(Q4_0_BYTES * b + 2), w);
            UNROLL for (int k = 0; k < 4; k++) {
                put(p->code[8 * b + k], v, _mm512_add_epi8(_mm512_and_si512(w[k], low), flip));
                put(p->code[8 * b + 4 + k], v, _mm512_add_epi8(_mm512_and_si512(_mm512_srli_epi16(w[k], 4), low), flip));
            }
            put(p->d[b], v, load_scales16(rows + 16 * v, (size_t)(Q4_0_BYTES * b)));
        }
}

/* 7, 8, 15 and 16 tokens are taken as lanes: 8 are 6 to 16 % faster so, 5 of them, or 12 of 16, slower. */
enum { LANES_FROM = 7, LANES_TO = 16 };
INLINE size_t few_bytes(const struct matmul *m, size_t T)
{
    size_t dot = dot_scratch_avx512(m->K), lanes = T < LANES_FROM ? 0 : lanes_scratch_avx512(m->K);
    return dot > lanes ? dot : lanes;
}
#define FEW(name)                                               \
    if (j->T <= LANES_TO && (j->T + 1) % 8 <= 1 && j->T >= LANES_FROM) {        \
        lanes_##name##_avx512(j, r0, r1);                       \
        return;                                                 \
    }
#define SUFFIX avx512
#include "kernel/matmul/panel_x86.inc"
