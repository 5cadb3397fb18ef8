/* Up to 16 tokens (AVX-512 VNNI): they lie in the lanes of a register, and what is broadcast are the codes of weights, which so
 * need no transposing.  16 lanes are 8 tokens by 2 rows, or 16 by 1: codes of 2 rows are woven, four bytes of each in turn, by
 * shuffles inside lanes.  A tile is eight such registers.  Tokens that are missing cost as much as those that are there. */
#include <stdbool.h>

#include "kernel/matmul/dot_x86.h"
#include "kernel/matmul/read_avx512.h"
#include "kernel/matmul/rows.h"

enum { LANES = 16, VECS = 8, MOST = 2, TILE_ROWS = VECS * MOST, QUADS = ACT_COLS / 4 };

/* A super-block of all tokens; lane l belongs to token l / (rows in a register). */
struct lanes_act {
    __m512i q[QUADS];                   /* four columns */
    __m512i zero[ACT_GROUPS];           /* what an unsigned code's offset adds to a group's dot */
    __m512i s[BLOCKS];                  /* scales of two groups */
    __m512i z[BLOCKS];                  /* what minimums, or added numbers, are multiplied with */
    __m512 d;
    int64_t wide[8];                    /* [0]: z[4..7] count, too */
};

/* A super-block of a tile's rows, woven. */
struct lanes_rows {
    _Alignas(64) uint8_t code[TILE_ROWS * ACT_COLS];
    _Alignas(64) uint8_t sc[TILE_ROWS * 32], mn[TILE_ROWS * 32];
    _Alignas(64) uint8_t scale[2][TILE_ROWS * 32], add[TILE_ROWS * 32];       /* floats: of eight blocks or groups */
    _Alignas(64) float d[TILE_ROWS], dmin[TILE_ROWS];
};

struct lanes_scratch {
    struct lanes_rows rows;
    _Alignas(64) float acc[VECS * LANES];
    uint8_t tail[TILE_ROWS][TAIL_BYTES];
    _Alignas(64) struct lanes_act act[];
};

/* Bytes from one number of Q4_K's rows to the next. */
enum { K4_STRIDE = 64 };

/* ---- weaving ------------------------------------------------------------------------------------------------------------ */

/* G registers, each a row's: G registers of words of all rows in turn, in each lane by itself. */
INLINE void weave512(const __m512i *x, int G, __m512i *y)
{
    y[0] = G == 1 ? x[0] : _mm512_unpacklo_epi32(x[0], x[1]);
    if (G == 2) y[1] = _mm512_unpackhi_epi32(x[0], x[1]);
}
INLINE void weave256(const __m256i *x, int G, __m256i *y)
{
    y[0] = G == 1 ? x[0] : _mm256_unpacklo_epi32(x[0], x[1]);
    if (G == 2) y[1] = _mm256_unpackhi_epi32(x[0], x[1]);
}
#define PUT512(p, v) _mm512_storeu_si512((void *)(p), v)

/* Where word k of a lane lies, beside the lane's 16 bytes; size: of a register. */
INLINE size_t woven(size_t k, size_t G, size_t size) { return k * G / 4 * size + k * G % 4 * 4; }
/* Word i of eight in 32 bytes. */
INLINE size_t woven8(size_t i, size_t G) { return woven(i % 4, G, 32) + i / 4 * 16; }

/* One word of each of the G rows, over all tokens. */
INLINE __m512i spread(const void *p, int G)
{
    if (G == 1) return _mm512_set1_epi32((int)load32(p));
    int64_t v;
    memcpy(&v, p, sizeof v);
    return _mm512_set1_epi64(v);
}
INLINE __m512 spread_ps(const void *p, int G) { return _mm512_castsi512_ps(spread(p, G)); }

/* ---- activations -------------------------------------------------------------------------------------------------------- */

/* shared: minimums hold for 32 columns, so that the sums of two groups are added up where 16 bits are enough. */
struct lanes_type {
    size_t bytes;              /* of 256 columns */
    enum family family;
    int offset;
    bool shared;
    void (*fill[2])(const uint8_t *const *row, struct lanes_rows *o);        /* for 1, 2 rows in a register */
    void (*multiply[2])(const struct lanes_rows *w, const struct lanes_act *a, float *acc, struct ahead *x);
};

INLINE void take_rows(const struct act_block *const *a, size_t at, __m512i *out)
{
    const uint8_t *row[LANES];
    for (int l = 0; l < LANES; l++) row[l] = (const uint8_t *)a[l];
    load_rows16(row, at, out);
}

static void take_shared(const struct act_block *const *a, struct lanes_act *o)
{
    _Alignas(32) int16_t sums[LANES][ACT_GROUPS];
    const uint8_t *row[LANES];
    bool wide = false;
    for (int l = 0; l < LANES; l++) {
        __m256i z = load256(a[l]->z.z16), odd = _mm256_slli_epi32(z, 16);
        __m256i off = _mm256_xor_si256(_mm256_add_epi16(z, odd), _mm256_adds_epi16(z, odd));
        wide |= !_mm256_testz_si256(off, _mm256_set1_epi32((int)0xffff0000));
    }
    for (int l = 0; l < LANES; l++) {
        for (int i = 0; i < BLOCKS; i++) {
            int16_t even = a[l]->z.z16[2 * i], odd = a[l]->z.z16[2 * i + 1];
            sums[l][i] = (int16_t)(wide ? even : even + odd);
            sums[l][BLOCKS + i] = wide ? odd : 0;
        }
        row[l] = (const uint8_t *)sums[l];
    }
    load_rows16(row, 0, o->z);
    o->wide[0] = wide;
}

static void lanes_take(const struct act_block *const *a, const struct lanes_type *type, struct lanes_act *o)
{
    float d[LANES];
    for (size_t c = 0; c < BLOCKS; c++) take_rows(a, offsetof(struct act_block, q) + 32 * c, o->q + 8 * c);
    take_rows(a, offsetof(struct act_block, s16), o->s);
    for (size_t h = 0; type->offset && h < 2; h++) {
        __m512i v[8];
        take_rows(a, offsetof(struct act_block, zero) + 32 * h, v);
        UNROLL for (int i = 0; i < 8; i++)
            o->zero[8 * h + (size_t)i] = _mm512_mullo_epi32(_mm512_srai_epi32(v[i], 7), _mm512_set1_epi32(type->offset));
    }
    if (type->shared) take_shared(a, o);
    else take_rows(a, offsetof(struct act_block, z), o->z);
    for (int l = 0; l < LANES; l++) d[l] = a[l]->d;
    o->d = _mm512_loadu_ps(d);
}

/* ---- multiplying -------------------------------------------------------------------------------------------------------- */

typedef __m512i vecs[VECS];

/* Where the codes of groups 2i and 2i + 1 are, and their numbers. */
enum order { ROWS, K4 };       /* K4: Q4_K's, with numbers of 16 rows side by side */
INLINE size_t code_at(int i, int G, enum order o)
{
    return (size_t)(o == K4 ? i / 4 * 128 * G + i % 2 * 64 * G + i / 2 % 2 * 32 : i / 2 * 64 * G + i % 2 * 32);
}
INLINE size_t number_at(size_t i, int v, int G, enum order o)
{
    return o == K4 ? i * K4_STRIDE + (size_t)(v * G * 4) : woven8(i, (size_t)G) + (size_t)(v * G * 32);
}

INLINE void two_groups(const uint8_t *code, const struct lanes_act *a, int i, int G, bool offset, vecs even, vecs odd)
{
    UNROLL for (int v = 0; v < VECS; v++) even[v] = offset ? a->zero[2 * i] : _mm512_setzero_si512();
    UNROLL for (size_t k = 0; k < 4; k++) {
        __m512i q = a->q[8 * (size_t)i + k];
        UNROLL for (int v = 0; v < VECS; v++)
            even[v] = _mm512_dpbusd_epi32(even[v], spread(code + v * ACT_COLS * G + woven(k, (size_t)G, 64), G), q);
    }
    UNROLL for (int v = 0; v < VECS; v++) odd[v] = offset ? a->zero[2 * i + 1] : _mm512_setzero_si512();
    UNROLL for (size_t k = 0; k < 4; k++) {
        __m512i q = a->q[8 * (size_t)i + 4 + k];
        UNROLL for (int v = 0; v < VECS; v++)
            odd[v] = _mm512_dpbusd_epi32(odd[v], spread(code + v * ACT_COLS * G + woven(k, (size_t)G, 64) + 16, G), q);
    }
}

/* sum += even * (low half of f) + odd * (high half).  narrow: both fit 16 bits, so that one instruction does it. */
INLINE __m512i add_pair(__m512i sum, __m512i even, __m512i odd, __m512i f, bool narrow)
{
    if (narrow) return _mm512_dpwssd_epi32(sum, _mm512_mask_blend_epi16(0xaaaaaaaa, even, _mm512_slli_epi32(odd, 16)), f);
    __m512i e = _mm512_mullo_epi32(even, _mm512_srai_epi32(_mm512_slli_epi32(f, 16), 16));
    return _mm512_add_epi32(sum, _mm512_add_epi32(e, _mm512_mullo_epi32(odd, _mm512_srai_epi32(f, 16))));
}

INLINE void store(float *acc, int v, __m512 d, __m512 value)
{
    _mm512_storeu_ps(acc + LANES * v, _mm512_fmadd_ps(d, value, _mm512_loadu_ps(acc + LANES * v)));
}

/* shared: minimums hold for 32 columns, and are pairs of such.  */
INLINE __m512i minimums(const struct lanes_rows *w, const struct lanes_act *a, int v, int G, bool shared, enum order order)
{
    enum { HALF = BLOCKS / 2 };
    __m512i sum = _mm512_setzero_si512();
    if (shared)
        UNROLL for (size_t i = 0; i < HALF; i++)
            sum = _mm512_dpwssd_epi32(sum, spread(w->mn + number_at(i, v, G, order), G), a->z[i]);
    else
        UNROLL for (size_t i = 0; i < BLOCKS; i++)
            sum = _mm512_dpwssd_epi32(sum, spread(w->mn + number_at(i, v, G, order), G), a->z[i]);
    for (size_t i = 0; shared && a->wide[0] && i < HALF; i++)
        sum = _mm512_dpwssd_epi32(sum, spread(w->mn + number_at(i, v, G, order), G), a->z[HALF + i]);
    return sum;
}

/* What a kernel knows of its type. */
struct way { bool min, shared, offset, narrow; enum order order; };

INLINE void tile_super(const struct lanes_rows *w, const struct lanes_act *a, float *acc, struct ahead *x, int G, struct way k)
{
    const enum order order = k.order;
    vecs isum;
    UNROLL for (int v = 0; v < VECS; v++) isum[v] = _mm512_setzero_si512();
    for (int i = 0; i < BLOCKS; i++) {
        vecs even, odd;
        ask(x);
        two_groups(w->code + code_at(i, G, order), a, i, G, k.offset, even, odd);
        UNROLL for (int v = 0; v < VECS; v++) {
            __m512i f = _mm512_mullo_epi16(spread(w->sc + number_at((size_t)i, v, G, order), G), a->s[i]);
            isum[v] = add_pair(isum[v], even[v], odd[v], f, k.narrow);
        }
    }
    UNROLL for (int v = 0; v < VECS; v++) {
        __m512 value = _mm512_mul_ps(spread_ps(w->d + v * G, G), _mm512_cvtepi32_ps(isum[v]));
        if (k.min) {
            __m512i min = minimums(w, a, v, G, k.shared, order);
            value = _mm512_fnmadd_ps(spread_ps(w->dmin + v * G, G), _mm512_cvtepi32_ps(min), value);
        }
        store(acc, v, a->d, value);
    }
}

INLINE __m512 fused(__m512 d, __m512i f, __m512 value, bool first)
{
    return first ? _mm512_mul_ps(d, _mm512_cvtepi32_ps(f)) : _mm512_fmadd_ps(d, _mm512_cvtepi32_ps(f), value);
}

INLINE void tile_block(const struct lanes_rows *w, const struct lanes_act *a, float *acc, struct ahead *x, int G, struct way k)
{
    const enum order order = k.order;
    __m512 value[VECS];
    UNROLL for (int v = 0; v < VECS; v++) value[v] = _mm512_setzero_ps();
    for (int i = 0; i < BLOCKS; i++) {
        vecs even, odd;
        ask(x);
        two_groups(w->code + code_at(i, G, order), a, i, G, k.offset, even, odd);
        UNROLL for (int v = 0; v < VECS; v++) {
            __m512i f = add_pair(_mm512_setzero_si512(), even[v], odd[v], a->s[i], k.narrow);
            value[v] = fused(spread_ps(w->scale[0] + number_at((size_t)i, v, G, order), G), f, value[v], !i);
        }
    }
    for (size_t i = 0; k.min && i < BLOCKS; i++)
        UNROLL for (int v = 0; v < VECS; v++)
            value[v] = fused(spread_ps(w->add + number_at(i, v, G, order), G), a->z[i], value[v], false);
    UNROLL for (int v = 0; v < VECS; v++) store(acc, v, a->d, value[v]);
}

/* A scale for each group: both dots are at most 16 * 16 * 127, of 16 bits. */
INLINE void tile_fine(const struct lanes_rows *w, const struct lanes_act *a, float *acc, struct ahead *x, int G, struct way k)
{
    const enum order order = k.order;
    const __m512i none = _mm512_setzero_si512();
    __m512 value[VECS];
    UNROLL for (int v = 0; v < VECS; v++) value[v] = _mm512_setzero_ps();
    for (size_t i = 0; i < BLOCKS; i++) {
        vecs even, odd;
        const uint8_t *d = w->scale[i / 4];
        ask(x);
        two_groups(w->code + code_at((int)i, G, order), a, (int)i, G, k.offset, even, odd);
        UNROLL for (int v = 0; v < VECS; v++) {
            __m512i e = add_pair(none, even[v], none, a->s[i], true), o = add_pair(none, none, odd[v], a->s[i], true);
            value[v] = fused(spread_ps(d + number_at(2 * i % 8, v, G, order), G), e, value[v], !i);
            value[v] = fused(spread_ps(d + number_at(2 * i % 8 + 1, v, G, order), G), o, value[v], false);
        }
    }
    UNROLL for (int v = 0; v < VECS; v++) store(acc, v, a->d, value[v]);
}

#define MULTIPLY_G(name, G, tile, ...)                                                                                    \
    static void name##_##G(const struct lanes_rows *w, const struct lanes_act *a, float *acc, struct ahead *x)            \
    {                                                                                                                     \
        tile(w, a, acc, x, G, (struct way){ __VA_ARGS__ });                                                               \
    }
#define MULTIPLY(name, ...)                                                                                               \
    MULTIPLY_G(name, 1, __VA_ARGS__)                                                                                      \
    MULTIPLY_G(name, 2, __VA_ARGS__)

/* narrow: a group's dot fits 16 bits where codes are at most 16 in size. */
MULTIPLY(multiply_SUPER_15, tile_super, .offset = true, .narrow = true)
MULTIPLY(multiply_SUPER_127, tile_super, .offset = true)
MULTIPLY(multiply_SUPER_MIN_15, tile_super, .min = true, .narrow = true)
MULTIPLY(multiply_SUPER_MIN_K4, tile_super, .min = true, .shared = true, .narrow = true, .order = K4)
MULTIPLY(multiply_SUPER_MIN_31, tile_super, .min = true)
MULTIPLY(multiply_BLOCK_15, tile_block, .offset = true, .narrow = true)
MULTIPLY(multiply_BLOCK_127, tile_block, .offset = true)
MULTIPLY(multiply_BLOCK_ADD_15, tile_block, .min = true, .narrow = true)
MULTIPLY(multiply_BLOCK_ADD_31, tile_block, .min = true)
MULTIPLY(multiply_FINE_31, tile_fine, .offset = true)

/* ---- rows --------------------------------------------------------------------------------------------------------------- */

/* What is read of one row. */
struct lanes_row { struct row_codes c; __m256i scale[2], add; float d, dmin; };
typedef void lanes_read_fn(const uint8_t *w, struct lanes_row *o);

INLINE void lanes_fill(const uint8_t *const *row, struct lanes_rows *o, lanes_read_fn *read, enum family family, int G)
{
    for (int v = 0; v < VECS; v++) {
        struct lanes_row r[MOST];
        __m512i code[MOST], woven_code[MOST];
        __m256i number[MOST], woven_number[MOST];
        UNROLL for (int g = 0; g < G; g++) read(row[v * G + g], &r[g]);
        UNROLL for (int z = 0; z < QUARTERS; z++) {
            UNROLL for (int g = 0; g < G; g++) code[g] = r[g].c.code[z];
            weave512(code, G, woven_code);
            UNROLL for (int g = 0; g < G; g++) PUT512(o->code + v * ACT_COLS * G + 64 * (z * G + g), woven_code[g]);
        }
#define NUMBERS(from, to)                                                   \
    do {                                                                    \
        UNROLL for (int g = 0; g < G; g++) number[g] = r[g].from;           \
        weave256(number, G, woven_number);                                  \
        UNROLL for (int g = 0; g < G; g++) store256(woven_number[g], (to) + 32 * (v * G + g)); \
    } while (0)
        if (family <= FINE) {
            NUMBERS(scale[0], o->scale[0]);
            if (family == FINE) NUMBERS(scale[1], o->scale[1]);
            if (family == BLOCK_ADD) NUMBERS(add, o->add);
            continue;
        }
        NUMBERS(c.sc, o->sc);
        UNROLL for (int g = 0; g < G; g++) o->d[v * G + g] = r[g].d;
        if (family != SUPER_MIN) continue;
        NUMBERS(c.mn, o->mn);
        UNROLL for (int g = 0; g < G; g++) o->dmin[v * G + g] = r[g].dmin;
    }
}

/* The scales of 16 rows of Q4_K, and its minimums by pairs. */
INLINE void q4_k_numbers(const uint8_t *const *row, struct lanes_rows *o)
{
    const __m512i low = _mm512_set1_epi8(15), six = _mm512_set1_epi8(63), two = _mm512_set1_epi8(0x30);
    const __m512i twice = _mm512_broadcast_i32x4(_mm_setr_epi8(0, -1, 0, -1, 4, -1, 4, -1, 8, -1, 8, -1, 12, -1, 12, -1));
    const __m512i pair = _mm512_broadcast_i32x4(_mm_setr_epi8(0, -1, 1, -1, 4, -1, 5, -1, 8, -1, 9, -1, 12, -1, 13, -1));
    __m512i s[4], sc[2], mn[2];
    load_rows16_half(row, 0, s);                     /* both scales, and 12 bytes of 6-bit numbers */
    PUT512(o->d, halves_as_floats(s[0]));
    PUT512(o->dmin, halves_as_floats(_mm512_srli_epi32(s[0], 16)));
    sc[0] = _mm512_and_si512(s[1], six);
    mn[0] = _mm512_and_si512(s[2], six);
    sc[1] = _mm512_or_si512(_mm512_and_si512(s[3], low), _mm512_and_si512(_mm512_srli_epi32(s[1], 2), two));
    mn[1] = _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi32(s[3], 4), low), _mm512_and_si512(_mm512_srli_epi32(s[2], 2), two));
    UNROLL for (size_t i = 0; i < 8; i++) {
        __m512i at = _mm512_add_epi32(twice, _mm512_set1_epi32((int)(i % 4) * 0x00010001));
        PUT512(o->sc + i * K4_STRIDE, _mm512_shuffle_epi8(sc[i / 4], at));
    }
    UNROLL for (size_t i = 0; i < 4; i++) {
        __m512i at = _mm512_add_epi32(pair, _mm512_set1_epi32((int)(i % 2) * 0x00020002));
        PUT512(o->mn + i * K4_STRIDE, _mm512_shuffle_epi8(mn[i / 2], at));
    }
}

/* Bytes of two codes are woven before they are taken apart. */
INLINE void q4_k_fill(const uint8_t *const *row, struct lanes_rows *o, int G)
{
    const __m512i low = _mm512_set1_epi8(15);
    for (int v = 0; v < VECS; v++)
        UNROLL for (int h = 0; h < 2; h++) {
            __m512i x[MOST], y[MOST];
            UNROLL for (int g = 0; g < G; g++) x[g] = load512(row[v * G + g] + 16 + 64 * h);
            weave512(x, G, y);
            UNROLL for (int g = 0; g < G; g++) {
                uint8_t *to = o->code + v * ACT_COLS * G + 128 * G * h + 64 * g;
                PUT512(to, _mm512_and_si512(y[g], low));
                PUT512(to + 64 * G, _mm512_and_si512(_mm512_srli_epi16(y[g], 4), low));
            }
        }
    const uint8_t *all[LANES];
    for (size_t l = 0; G == 1 && l < LANES; l++) all[l] = row[l % VECS];
    q4_k_numbers(G == 1 ? all : row, o);
}

/* Bytes of the next rows are asked for while these are multiplied, as in rows.h. */
static void lanes_tile(const struct matmul_job *j, const struct lanes_type *type, size_t r, size_t end, int log)
{
    const struct matmul *m = j->m;
    struct lanes_scratch *sc = j->scratch;
    const size_t rows = (size_t)VECS << log, whole = m->K / ACT_COLS, n = (m->K + ACT_COLS - 1) / ACT_COLS;
    const size_t bytes = r + rows < end ? at_most(end - r - rows, rows) * m->row_bytes : 0;
    const uint8_t *row[TILE_ROWS], *next = m->w + (r + rows) * m->row_bytes;
    for (size_t i = 0; i < rows; i++) row[i] = m->w + (r + i < end ? r + i : end - 1) * m->row_bytes;
    memset(sc->acc, 0, sizeof sc->acc);
    for (size_t s = 0; s < n; s++) {
        for (size_t i = 0; s == whole && i < rows; i++) {
            row_tail(sc->tail[i], row[i] - whole * type->bytes, m->row_bytes, whole * type->bytes, type->bytes);
            row[i] = sc->tail[i];
        }
        type->fill[log](row, &sc->rows);
        for (size_t i = 0; i < rows; i++) row[i] += type->bytes;
        struct ahead x = { next + bytes * s / n, next + bytes * (s + 1) / n, 0, false, NULL, 0, 0 };
        if (bytes) ahead_steps(&x, BLOCKS);
        else x.end = x.at;
        type->multiply[log](&sc->rows, &sc->act[s], sc->acc, &x);
    }
}

INLINE void store_whole(const struct matmul_job *j, size_t r, const float *acc, const size_t G)
{
    for (size_t t = 0; t < j->T; t++, acc += G) {
        float *y = job_out(j, t) + r;
        UNROLL for (size_t v = 0; v < VECS; v++) memcpy(y + v * G, acc + v * LANES, G * sizeof *y);
    }
}

static void lanes_store(const struct matmul_job *j, size_t r, size_t end, int log)
{
    const float *acc = ((const struct lanes_scratch *)j->scratch)->acc;
    const size_t G = (size_t)1 << log, rows = at_most(end - r, VECS * G);
    if (rows == VECS * G) {
        if (log) store_whole(j, r, acc, 2);
        else store_whole(j, r, acc, 1);
        return;
    }
    for (size_t t = 0; t < j->T; t++) {
        float *y = job_out(j, t) + r;
        for (size_t i = 0; i < rows; i++) y[i] = acc[i / G * LANES + t * G + i % G];
    }
}

static void lanes_run(const struct matmul_job *j, size_t r0, size_t r1, const struct lanes_type *type)
{
    struct lanes_scratch *sc = j->scratch;
    const int log = j->T <= 8;
    const struct act_block *a[LANES];
    for (size_t l = 0; l < LANES; l++) a[l] = job_in(j, at_most(l >> log, j->T - 1));
    for (size_t s = 0; s * ACT_COLS < j->m->K && !j->again; s++) {
        lanes_take(a, type, &sc->act[s]);
        for (size_t l = 0; l < LANES; l++) a[l]++;
    }
    for (size_t r = r0; r < r1; r += (size_t)VECS << log) {
        lanes_tile(j, type, r, r1, log);
        lanes_store(j, r, r1, log);
    }
}

size_t lanes_scratch_avx512(size_t K)
{
    return sizeof(struct lanes_scratch) + (K + ACT_COLS - 1) / ACT_COLS * sizeof(struct lanes_act);
}

/* ---- types -------------------------------------------------------------------------------------------------------------- */

#define FILL(name, G, fill) \
    static void fill_##name##_##G(const uint8_t *const *row, struct lanes_rows *o) { fill; }
#define OF_G_(name, G) name##_##G
#define OF_G(name, G)  OF_G_(name, G)
#define ROWS_KERNEL(name, bytes, family, offset, shared, multiply)                                                        \
    void lanes_##name##_avx512(const struct matmul_job *j, size_t r0, size_t r1)                                          \
    {                                                                                                                     \
        static const struct lanes_type type = { bytes, family, offset, shared,                                            \
            { fill_##name##_1, fill_##name##_2 }, { OF_G(multiply, 1), OF_G(multiply, 2) } };                             \
        lanes_run(j, r0, r1, &type);                                                                                      \
    }
#define LANES_KERNEL(name, bytes, family, offset, multiply)                                                               \
    FILL(name, 1, lanes_fill(row, o, read_##name, family, 1))                                                             \
    FILL(name, 2, lanes_fill(row, o, read_##name, family, 2))                                                             \
    ROWS_KERNEL(name, bytes, family, offset, false, multiply)

FILL(q4_k, 1, q4_k_fill(row, o, 1))
FILL(q4_k, 2, q4_k_fill(row, o, 2))
ROWS_KERNEL(q4_k, Q4_K_BYTES, SUPER_MIN, 0, true, multiply_SUPER_MIN_K4)

INLINE float half_at(const uint8_t *p) { return _cvtsh_ss(load16(p)); }

#define LANES_SUPER(name, bytes, family, at, offset, multiply)                                                     \
    INLINE void read_##name(const uint8_t *w, struct lanes_row *o)                                                        \
    {                                                                                                                     \
        name##_read(w, &o->c);                                                                                            \
        o->d = half_at(w + at);                                                                                           \
        o->dmin = family == SUPER_MIN ? half_at(w + at + 2) : 0;                                                          \
    }                                                                                                                     \
    LANES_KERNEL(name, bytes, family, offset, multiply)
#define LANES_BLOCK(name, bytes, scales, offset, multiply)                                                                \
    INLINE void read_##name(const uint8_t *w, struct lanes_row *o)                                                        \
    {                                                                                                                     \
        name##_read(w, &o->c);                                                                                            \
        o->scale[0] = _mm256_castps_si256(scales);                                                                        \
    }                                                                                                                     \
    LANES_KERNEL(name, bytes, BLOCK, offset, multiply)

LANES_SUPER(q5_k, 176, SUPER_MIN, 0, 0, multiply_SUPER_MIN_31)
LANES_SUPER(q2_k, 84, SUPER_MIN, 80, 0, multiply_SUPER_MIN_15)
LANES_SUPER(q3_k, 110, SUPER, 108, 4, multiply_SUPER_15)
LANES_SUPER(q6_k, Q6_K_BYTES, SUPER, 208, 32, multiply_SUPER_127)
LANES_SUPER(iq4_xs, 136, SUPER, 0, 128, multiply_SUPER_127)
LANES_BLOCK(q8_0, BLOCKS * Q8_0_BYTES, f16_scales(w, Q8_0_BYTES), 128, multiply_BLOCK_127)
LANES_BLOCK(q4_0, BLOCKS * Q4_0_BYTES, f16_scales(w, Q4_0_BYTES), 8, multiply_BLOCK_15)
LANES_BLOCK(iq4_nl, BLOCKS * Q4_0_BYTES, f16_scales(w, Q4_0_BYTES), 128, multiply_BLOCK_127)
LANES_BLOCK(mxfp4, BLOCKS * 17, mxfp4_scales(w), 12, multiply_BLOCK_15)

/* Types made from codes.h. */
#define multiply_SUPER_31     multiply_SUPER_15
#define multiply_BLOCK_31     multiply_BLOCK_15
INLINE void read_codes(const uint8_t *w, struct lanes_row *o, codes_fn *codes, enum family family, int offset)
{
    struct weight_codes c;
    codes(w, &c);
    coded(&c, offset, o->c.code);
    o->d = c.d;
    o->c.sc = load256(c.sc);
    o->scale[0] = load256(c.scale);
    if (family == FINE) o->scale[1] = load256(c.scale + BLOCKS);
    if (family == BLOCK_ADD) o->add = load256(c.add);
}
#define OWN_TYPE(...)
#define INT_TYPE(name, type, bytes, family, top, offset)                                                                  \
    INLINE void read_##name(const uint8_t *w, struct lanes_row *o)                                                        \
    {                                                                                                                     \
        read_codes(w, o, codes_##name, family, CODED_OFFSET(top, offset));                                                \
    }                                                                                                                     \
    LANES_KERNEL(name, bytes, family, CODED_OFFSET(top, offset), multiply_##family##_##top)
#include "kernel/matmul/int_types.inc"
