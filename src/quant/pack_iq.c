/* pack_iq.c - super-blocks of 256 whose values come in groups from a codebook: IQ1, IQ2, IQ3.  x = D (2 s + 1) c, where c is
 * an entry of the codebook with signs (IQ2, IQ3), or an entry plus or minus an eighth (IQ1).
 *
 * The nearest entry is found exactly.  A group's score (what is gained over zeros) is a sum over its elements, so the scores of
 * both halves of all entries are made first; the entries that share their high half lie together and are skipped where the best
 * low half would not help. */
#include "quant/pack.h"

enum { MAX_RUNS = 81, MAX_SUB = 16 };

/* ---- the codebooks as packed level indices ---- */

static const uint16_t entries_iq2_xxs[] = {
#define IQ2_XXS(e) e,
#include "quant/iq_grids.inc"
};
static const uint16_t entries_iq2_xs[] = {
#define IQ2_XS(e) e,
#include "quant/iq_grids.inc"
};
static const uint16_t entries_iq2_s[] = {
#define IQ2_S(e) e,
#include "quant/iq_grids.inc"
};
static const uint16_t entries_iq3_xxs[] = {
#define IQ3_XXS(e) e,
#include "quant/iq_grids.inc"
};
static const uint16_t entries_iq3_s[] = {
#define IQ3_S(e) e,
#include "quant/iq_grids.inc"
};
static const uint16_t entries_iq1[] = {
#define IQ1(e) e,
#include "quant/iq_grids.inc"
};
static const float levels_iq2[8] = { 8, 25, 43 }, levels_iq1[8] = { -1, 0, 1 };
static const float levels_iq3_xxs[8] = { 4, 12, 20, 28, 36, 44, 52, 62 }, levels_iq3_s[8] = { 1, 3, 5, 7, 9, 11, 13, 15 };

enum signs { SIGNS_EVEN, SIGNS_FREE, SIGNS_SHIFT };        /* an even number of them; any; none, but a shift of an eighth */

struct iq {
    const uint16_t *entry;
    const float *level;
    unsigned n_entry, n_level, bits;       /* bits of a level's index */
    unsigned per;                          /* elements of an entry: 8 or 4 */
    unsigned sub;                          /* values that share a scale */
    int smax;                              /* 2 s + 1 with s in 0..smax */
    enum signs signs;
    unsigned shared;                       /* values that share a shift */
    float reach[2];                        /* the largest value divided by these is where scales are tried */
};

/* An iq ready to be searched: runs of entries with equal high halves. */
struct book {
    const struct iq *q;
    unsigned half;                         /* bits of half an entry */
    unsigned n_run;
    struct { uint16_t begin, end; uint8_t high; } run[MAX_RUNS];
};

static void open_book(struct book *k, const struct iq *q)
{
    k->q = q;
    k->half = q->bits * q->per / 2;
    k->n_run = 0;
    for (unsigned i = 0; i < q->n_entry; i++) {
        uint8_t high = (uint8_t)(q->entry[i] >> k->half);
        if (!k->n_run || k->run[k->n_run - 1].high != high) {
            k->run[k->n_run].begin = (uint16_t)i;
            k->run[k->n_run++].high = high;
        }
        k->run[k->n_run - 1].end = (uint16_t)(i + 1);
    }
}

/* ---- the nearest entry ---- */

/* score[v]: of half an entry, whose digits are the bits of v; wx, w of its elements.  Returns the largest. */
static float half_scores(const struct iq *q, const float *wx, const float *w, float sigma, float shift, float *score)
{
    float p[4][8] = { 0 }, best = 0;
    const unsigned n = q->per / 2, L = q->n_level;
    for (unsigned j = 0; j < n; j++) {
        float most = -3e38f;
        for (unsigned k = 0; k < L; k++) {
            float c = sigma * (q->level[k] + shift);
            p[j][k] = c * (2 * wx[j] - c * w[j]);
            if (p[j][k] > most) most = p[j][k];
        }
        best += most;
    }
    pack_quad first = pack_quad_at(p[0]), more = pack_quad_at(p[0] + 4), v;
    if (n == 2) {
        for (unsigned b = 0; b < 8; b++) {
            v = first + p[1][b];
            memcpy(score + 8 * b, &v, sizeof v);
            v = more + p[1][b];
            memcpy(score + 8 * b + 4, &v, sizeof v);
        }
        return best;
    }
    for (unsigned d = 0; d < 3; d++)
        for (unsigned c = 0; c < 3; c++)
            for (unsigned b = 0; b < 3; b++) {             /* four at once, of which the last is no level */
                v = first + (p[1][b] + (p[2][c] + p[3][d]));
                memcpy(score + (d << 6 | c << 4 | b << 2), &v, sizeof v);
            }
    return best;
}

/* The entry with the largest score for one group. */
static float nearest_entry(const struct book *k, const float *wx, const float *w, float sigma, float shift, uint16_t *entry)
{
    const struct iq *q = k->q;
    float low[256], high[256], best = -3e38f;
    float most_low = half_scores(q, wx, w, sigma, shift, low);
    half_scores(q, wx + q->per / 2, w + q->per / 2, sigma, shift, high);
    unsigned first = 0, mask = (1u << k->half) - 1;
    for (unsigned r = 1; r < k->n_run; r++)
        if (high[k->run[r].high] > high[k->run[first].high]) first = r;
    for (unsigned i = 0; i <= k->n_run; i++) {             /* the most promising run first, so that others can be skipped */
        unsigned r = i ? i - 1 : first;
        float top = high[k->run[r].high];
        if (top + most_low <= best) continue;
        for (unsigned e = k->run[r].begin; e < k->run[r].end; e++) {
            float s = top + low[q->entry[e] & mask];
            if (s <= best) continue;
            best = s;
            *entry = (uint16_t)e;
        }
    }
    return best;
}

/* ---- groups of 8 with signs ---- */

struct group { uint16_t entry[2]; uint8_t signs; int8_t shift; };

struct super {
    struct book book;
    float x[256], w[256], wx[256];         /* wx: weight times magnitude (times value where there are no signs) */
    struct group group[32];
    uint8_t s[MAX_SUB];
    float sigma[MAX_SUB], D, gain;
};

static float level_of(const struct iq *q, const struct group *g, unsigned j)
{
    unsigned e = q->entry[g->entry[j / q->per]];
    return q->level[e >> q->bits * (j % q->per) & ((1u << q->bits) - 1)];
}

static float group_entries(const struct book *k, const float *wx, const float *w, float sigma, struct group *g)
{
    float shift = 0.125f * (float)g->shift, gain = 0;
    for (unsigned i = 0; i < 8 / k->q->per; i++)
        gain += nearest_entry(k, wx + i * k->q->per, w + i * k->q->per, sigma, shift, &g->entry[i]);
    return gain;
}

/* With an odd number of signs one value gets the wrong one.  First the one that is least worth; then, if the entries that were
 * found make another one cheaper, that. */
static float group_even(const struct super *p, unsigned at, float sigma, struct group *g)
{
    const struct iq *q = p->book.q;
    float wx[8], gain = 0;
    unsigned flip = 0, signs = g->signs;
    memcpy(wx, p->wx + at, sizeof wx);
    if (!(__builtin_popcount(signs) & 1)) return group_entries(&p->book, wx, p->w + at, sigma, g);
    for (unsigned j = 1; j < 8; j++)
        if (wx[j] < wx[flip]) flip = j;
    struct group best = *g;
    for (int round = 0; round < 3; round++) {
        wx[flip] = -wx[flip];
        float got = group_entries(&p->book, wx, p->w + at, sigma, g);
        wx[flip] = -wx[flip];
        if (round && got <= gain) break;
        gain = got;
        best = *g;
        best.signs = (uint8_t)(signs ^ 1u << flip);
        unsigned next = flip;
        for (unsigned j = 0; j < 8; j++)
            if (wx[j] * level_of(q, g, j) < wx[next] * level_of(q, g, next)) next = j;
        if (next == flip) break;
        flip = next;
    }
    *g = best;
    return gain;
}

static uint8_t signs_of(const float *x)
{
    unsigned s = 0;
    for (unsigned j = 0; j < 8; j++) s |= (unsigned)(x[j] < 0) << j;
    return (uint8_t)s;
}

/* The best groups of [at, at + n) for this scale; what they gain. */
static float groups_of(const struct super *p, unsigned at, unsigned n, float sigma, struct group *out)
{
    const struct iq *q = p->book.q;
    float gain = 0;
    if (q->signs != SIGNS_SHIFT) {
        for (unsigned i = 0; i < n / 8; i++, at += 8) {
            out[i].signs = signs_of(p->x + at);
            gain += q->signs == SIGNS_EVEN ? group_even(p, at, sigma, &out[i])
                                           : group_entries(&p->book, p->wx + at, p->w + at, sigma, &out[i]);
        }
        return gain;
    }
    for (unsigned i = 0; i < n; i += q->shared) {
        struct group two[2][4];
        float got[2] = { 0, 0 };
        for (int side = 0; side < 2; side++)
            for (unsigned j = 0; j < q->shared / 8; j++) {
                struct group *g = &two[side][j];
                *g = (struct group){ .shift = (int8_t)(side ? -1 : 1) };
                got[side] += group_entries(&p->book, p->wx + at + i + 8 * j, p->w + at + i + 8 * j, sigma, g);
            }
        int side = got[1] > got[0];
        memcpy(out + i / 8, two[side], q->shared / 8 * sizeof *out);
        gain += got[side];
    }
    return gain;
}

/* The values c of [at, at + n) that the groups stand for. */
static void values_of(const struct super *p, const struct group *g, unsigned n, float *c)
{
    const struct iq *q = p->book.q;
    for (unsigned i = 0; i < n; i++) {
        float v = level_of(q, &g[i / 8], i % 8) + 0.125f * (float)g[i / 8].shift;
        c[i] = g[i / 8].signs >> i % 8 & 1 ? -v : v;
    }
}

/* ---- scales ---- */

/* The best scale of a sub-block: some tries, then least squares and the nearest entries in turn. */
static float fit_sub(const struct super *p, unsigned b)
{
    enum { TRIES = 8 };
    const struct iq *q = p->book.q;
    const float *x = p->x + b * q->sub, *w = p->w + b * q->sub;
    struct group g[4] = { 0 };
    float top = pack_abs(pack_extreme(x, q->sub)), c[32], most = 0, sigma = 0;
    if (top == 0) return 0;
    for (unsigned t = 0; t < TRIES; t++) {
        float s = top / (q->reach[0] + (q->reach[1] - q->reach[0]) * (float)t / (TRIES - 1));
        float gain = groups_of(p, b * q->sub, q->sub, s, g);
        if (gain <= most) continue;
        most = gain;
        sigma = s;
    }
    for (int round = 0; round < 2 && sigma > 0; round++) {
        groups_of(p, b * q->sub, q->sub, sigma, g);
        values_of(p, g, q->sub, c);
        struct pack_moments m = pack_moments(x, w, c, q->sub);
        if (m.ll > 0 && m.xl > 0) sigma = m.xl / m.ll;
    }
    return sigma;
}

static float choose_sub(struct super *p, unsigned b)
{
    const struct iq *q = p->book.q;
    struct group g[4] = { 0 };
    int near = pack_nearest((p->sigma[b] * pack_inverse(p->D) - 1) / 2, 0, q->smax);
    float most = -3e38f;
    for (int s = near - 1; s <= near + 1; s++) {
        if (s < 0 || s > q->smax) continue;
        float gain = groups_of(p, b * q->sub, q->sub, p->D * (float)(2 * s + 1), g);
        if (gain <= most) continue;
        most = gain;
        p->s[b] = (uint8_t)s;
        memcpy(p->group + b * q->sub / 8, g, q->sub / 8 * sizeof *g);
    }
    return most;
}

/* unit: the stored scale is D / unit, rounded to f16. */
static bool try_factor(struct super *p, float D, float unit)
{
    const struct super old = *p;
    const struct iq *q = p->book.q;
    p->D = f16_to_f32(pack_scale(D / unit)) * unit;
    p->gain = 0;
    for (unsigned b = 0; b < 256 / q->sub; b++) p->gain += choose_sub(p, b);
    if (p->gain > old.gain) return true;
    *p = old;
    return false;
}

static bool refit(struct super *p, float unit)
{
    const struct iq *q = p->book.q;
    float c[256];
    values_of(p, p->group, 256, c);
    for (unsigned i = 0; i < 256; i++) c[i] *= (float)(2 * p->s[i / q->sub] + 1);
    struct pack_moments m = pack_moments(p->x, p->w, c, 256);
    return m.ll > 0 && m.xl > 0 && try_factor(p, m.xl / m.ll, unit);
}

static void solve(struct super *p, const float *src, const float *weight, float unit)
{
    const struct iq *q = p->book.q;
    float top = 0;
    pack_load(src, weight, p->x, p->w, 256);
    for (unsigned i = 0; i < 256; i++) p->wx[i] = p->w[i] * (q->signs == SIGNS_SHIFT ? p->x[i] : pack_abs(p->x[i]));
    memset(p->group, 0, sizeof p->group);
    memset(p->s, 0, sizeof p->s);
    for (unsigned b = 0; b < 256 / q->sub; b++) {
        p->sigma[b] = fit_sub(p, b);
        if (p->sigma[b] > top) top = p->sigma[b];
    }
    p->D = 0;
    p->gain = 0;
    if (!(top > 0)) return;
    try_factor(p, top / (float)(2 * q->smax + 1), unit);
    for (int round = 0; round < 2 && refit(p, unit); round++) { }
}

/* ---- the types ---- */

#define BOOK(name, levels, n_levels, n_bits, ...) \
    { .entry = entries_##name, .n_entry = sizeof entries_##name / sizeof *entries_##name, .level = levels, \
      .n_level = n_levels, .bits = n_bits, __VA_ARGS__ }

static const struct iq iq2_xxs = BOOK(iq2_xxs, levels_iq2, 3, 2, .per = 8, .sub = 32, .smax = 15, .reach = { 30, 58 });
static const struct iq iq2_xs = BOOK(iq2_xs, levels_iq2, 3, 2, .per = 8, .sub = 16, .smax = 15, .reach = { 30, 58 });
static const struct iq iq2_s = BOOK(iq2_s, levels_iq2, 3, 2, .per = 8, .sub = 16, .smax = 15, .signs = SIGNS_FREE,
                                    .reach = { 30, 58 });
static const struct iq iq3_xxs = BOOK(iq3_xxs, levels_iq3_xxs, 8, 3, .per = 4, .sub = 32, .smax = 15, .reach = { 44, 76 });
static const struct iq iq3_s = BOOK(iq3_s, levels_iq3_s, 8, 3, .per = 4, .sub = 32, .smax = 15, .signs = SIGNS_FREE,
                                    .reach = { 11, 18 });
static const struct iq iq1_s = BOOK(iq1, levels_iq1, 3, 2, .per = 8, .sub = 32, .smax = 7, .signs = SIGNS_SHIFT, .shared = 32,
                                    .reach = { 0.9f, 2.2f });
static const struct iq iq1_m = BOOK(iq1, levels_iq1, 3, 2, .per = 8, .sub = 16, .smax = 7, .signs = SIGNS_SHIFT, .shared = 8,
                                    .reach = { 0.9f, 2.0f });

static void store32(uint8_t *p, uint32_t v)
{
    store16(p, (uint16_t)v);
    store16(p + 2, (uint16_t)(v >> 16));
}

/* The scale of a super-block that has one; every value is 0 without. */
static void put_scale(uint8_t *dst, const struct super *p, float unit) { store16(dst, pack_scale(p->D / unit)); }

/* { f16 d; u16 qs[32] } */
void pack_iq2_xxs(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq2_xxs);
    for (; n; n -= 256, src += 256, dst += 66, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 0.125f);
        put_scale(dst, &p, 0.125f);
        for (unsigned b = 0; b < 8; b++) {
            uint32_t v = (uint32_t)p.s[b] << 28;
            for (unsigned l = 0; l < 4; l++) {
                dst[2 + 8 * b + l] = (uint8_t)p.group[4 * b + l].entry[0];
                v |= (uint32_t)(p.group[4 * b + l].signs & 127) << 7 * l;
            }
            store32(dst + 2 + 8 * b + 4, v);
        }
    }
}

static void put_nibbles(uint8_t *dst, const uint8_t *s, unsigned n)
{
    for (unsigned b = 0; b < n; b++) dst[b] = (uint8_t)(s[2 * b] | s[2 * b + 1] << 4);
}

/* { f16 d; u16 qs[32]; u8 scales[8] } */
void pack_iq2_xs(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq2_xs);
    for (; n; n -= 256, src += 256, dst += 74, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 0.125f);
        put_scale(dst, &p, 0.125f);
        for (unsigned v = 0; v < 32; v++)
            store16(dst + 2 + 2 * v, (uint16_t)(p.group[v].entry[0] | (p.group[v].signs & 127) << 9));
        put_nibbles(dst + 66, p.s, 8);
    }
}

/* { f16 d; u8 qs[32]; u8 signs[32]; u8 qh[8]; u8 scales[8] } */
void pack_iq2_s(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq2_s);
    for (; n; n -= 256, src += 256, dst += 82, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 0.125f);
        put_scale(dst, &p, 0.125f);
        memset(dst + 66, 0, 8);
        for (unsigned v = 0; v < 32; v++) {
            dst[2 + v] = (uint8_t)p.group[v].entry[0];
            dst[34 + v] = p.group[v].signs;
            dst[66 + v / 4] |= (uint8_t)(p.group[v].entry[0] >> 8 << 2 * (v % 4));
        }
        put_nibbles(dst + 74, p.s, 8);
    }
}

/* { f16 d; u8 qs[64]; u32 scales and signs[8] } */
void pack_iq3_xxs(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq3_xxs);
    for (; n; n -= 256, src += 256, dst += 98, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 0.25f);
        put_scale(dst, &p, 0.25f);
        for (unsigned b = 0; b < 8; b++) {
            uint32_t v = (uint32_t)p.s[b] << 28;
            for (unsigned l = 0; l < 4; l++) {
                const struct group *g = &p.group[4 * b + l];
                dst[2 + 8 * b + 2 * l] = (uint8_t)g->entry[0];
                dst[3 + 8 * b + 2 * l] = (uint8_t)g->entry[1];
                v |= (uint32_t)(g->signs & 127) << 7 * l;
            }
            store32(dst + 66 + 4 * b, v);
        }
    }
}

/* { f16 d; u8 qs[64]; u8 qh[8]; u8 signs[32]; u8 scales[4] } */
void pack_iq3_s(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq3_s);
    for (; n; n -= 256, src += 256, dst += 110, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 1);
        put_scale(dst, &p, 1);
        memset(dst + 66, 0, 8);
        for (unsigned v = 0; v < 32; v++) {
            const struct group *g = &p.group[v];
            dst[2 + 2 * v] = (uint8_t)g->entry[0];
            dst[3 + 2 * v] = (uint8_t)g->entry[1];
            dst[66 + v / 4] |= (uint8_t)((g->entry[0] >> 8 | g->entry[1] >> 8 << 1) << 2 * (v % 4));
            dst[74 + v] = g->signs;
        }
        put_nibbles(dst + 106, p.s, 4);
    }
}

/* { f16 d; u8 qs[32]; u16 qh[8] } */
void pack_iq1_s(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq1_s);
    for (; n; n -= 256, src += 256, dst += 50, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 1);
        put_scale(dst, &p, 1);
        for (unsigned b = 0; b < 8; b++) {
            unsigned h = (unsigned)p.s[b] << 12 | (p.group[4 * b].shift < 0 ? 0x8000 : 0);
            for (unsigned l = 0; l < 4; l++) {
                dst[2 + 4 * b + l] = (uint8_t)p.group[4 * b + l].entry[0];
                h |= (unsigned)p.group[4 * b + l].entry[0] >> 8 << 3 * l;
            }
            store16(dst + 34 + 2 * b, (uint16_t)h);
        }
    }
}

/* { u8 qs[32]; u8 qh[16]; u8 scales[8] }: the f16 scale lies in the top nibbles of the four scale words. */
void pack_iq1_m(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    struct super p;
    open_book(&p.book, &iq1_m);
    for (; n; n -= 256, src += 256, dst += 56, weight += weight ? 256 : 0) {
        solve(&p, src, weight, 1);
        unsigned d = pack_scale(p.D);
        memset(dst + 32, 0, 16);
        for (unsigned v = 0; v < 32; v++) {
            const struct group *g = &p.group[v];
            dst[v] = (uint8_t)g->entry[0];
            dst[32 + v / 2] |= (uint8_t)((g->entry[0] >> 8 | (g->shift < 0 ? 8 : 0)) << 4 * (v % 2));
        }
        for (unsigned k = 0; k < 4; k++) {
            unsigned word = (d >> 4 * k & 15) << 12;
            for (unsigned j = 0; j < 4; j++) word |= (unsigned)p.s[4 * k + j] << 3 * j;
            store16(dst + 48 + 2 * k, (uint16_t)word);
        }
    }
}
