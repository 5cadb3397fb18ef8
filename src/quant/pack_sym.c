/* pack_sym.c - super-blocks of 256 with integer scales of either sign and no minimum: Q3_K, Q6_K, IQ4_XS.  x = d S level. */
#include "quant/pack.h"

struct symmetric {
    struct pack_search search;
    unsigned n;                /* values of a sub-block */
    int smin, smax;            /* of the integer scales */
};

struct super {
    float x[256], w[256], scale[16];
    float d, gain;
    int8_t s[16];
};

static float choose(const struct symmetric *a, struct super *p, unsigned b)
{
    const float *x = p->x + b * a->n, *w = p->w + b * a->n;
    int near = pack_nearest(p->scale[b] * pack_inverse(p->d), a->smin, a->smax);
    float most = 0;
    p->s[b] = 0;
    for (int s = near - 1; s <= near + 1; s++) {
        if (s < a->smin || s > a->smax) continue;
        float gain = pack_gain(a->search.grid, x, w, a->n, p->d * (float)s);
        if (gain <= most) continue;
        most = gain;
        p->s[b] = (int8_t)s;
    }
    return most;
}

static bool try_factor(const struct symmetric *a, struct super *p, float d)
{
    struct super old = *p;
    p->d = f16_to_f32(pack_scale(d));
    p->gain = 0;
    for (unsigned b = 0; b < 256 / a->n; b++) p->gain += choose(a, p, b);
    if (old.gain < 0 || p->gain > old.gain) return true;
    *p = old;
    return false;
}

/* S level of all values. */
static void products(const struct symmetric *a, const struct super *p, float *u)
{
    for (unsigned b = 0; b < 256 / a->n; b++) {
        pack_levels(a->search.grid, p->x + b * a->n, pack_inverse(p->d * (float)p->s[b]), u + b * a->n, a->n);
        for (unsigned i = 0; i < a->n; i++) u[b * a->n + i] *= (float)p->s[b];
    }
}

static bool refit(const struct symmetric *a, struct super *p)
{
    float u[256];
    products(a, p, u);
    struct pack_moments m = pack_moments(p->x, p->w, u, 256);
    return m.ll > 0 && try_factor(a, p, m.xl / m.ll);
}

static void solve(const struct symmetric *a, const float *src, const float *weight, struct super *p)
{
    static const float part[] = { 1, 0.98f, 0.95f };
    pack_load(src, weight, p->x, p->w, 256);
    for (unsigned b = 0; b < 256 / a->n; b++) p->scale[b] = pack_fit(&a->search, p->x + b * a->n, p->w + b * a->n, a->n);
    float top = pack_extreme(p->scale, 256 / a->n);
    p->gain = -1;
    p->d = 0;
    for (unsigned k = 0; k < sizeof part / sizeof *part; k++) {
        try_factor(a, p, top / (float)a->smin / part[k]);
        try_factor(a, p, top / (float)a->smax / part[k]);
    }
    for (int round = 0; round < 3 && refit(a, p); round++) { }
}

/* The levels of sub-block b as they are stored. */
static void final_levels(const struct symmetric *a, const struct super *p, unsigned b, float *l)
{
    pack_levels(a->search.grid, p->x + b * a->n, pack_inverse(p->d * (float)p->s[b]), l, a->n);
}

/* { u8 hmask[32]; u8 qs[64]; u8 sc[12]; f16 d } */
void pack_q3_k(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_grid grid = { -4, 3, 0, NULL, NULL };
    static const struct symmetric a = { { &grid, -1, 0.1f, 24 }, 16, -32, 31 };
    for (; n; n -= 256, src += 256, dst += 110, weight += weight ? 256 : 0) {
        struct super p;
        solve(&a, src, weight, &p);
        memset(dst, 0, 110);
        for (unsigned b = 0; b < 16; b++) {
            float v[16];
            unsigned s = (unsigned)(p.s[b] + 32), at = 16 * (b % 2), shift = 2 * (b / 2 % 4), bit = b / 2;
            final_levels(&a, &p, b, v);
            dst[96 + b % 8] |= (uint8_t)((s & 15) << 4 * (b / 8));
            dst[104 + b % 4] |= (uint8_t)(s >> 4 << 2 * (b / 4));
            for (unsigned l = 0; l < 16; l++) {
                unsigned q = (unsigned)((int)v[l] + 4);
                dst[32 + 32 * (b / 8) + at + l] |= (uint8_t)((q & 3) << shift);
                dst[at + l] |= (uint8_t)(q >> 2 << bit);
            }
        }
        store16(dst + 108, pack_scale(p.d));
    }
}

/* { u8 ql[128]; u8 qh[64]; i8 sc[16]; f16 d } */
void pack_q6_k(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_grid grid = { -32, 31, 0, NULL, NULL };
    static const struct symmetric a = { { &grid, -1.3f, 0.1f, 27 }, 16, -128, 127 };
    for (; n; n -= 256, src += 256, dst += 210, weight += weight ? 256 : 0) {
        struct super p;
        solve(&a, src, weight, &p);
        memset(dst, 0, 210);
        for (unsigned b = 0; b < 16; b++) {
            float v[16];
            unsigned half = b / 8, part = b / 2 % 4, at = 16 * (b % 2);
            final_levels(&a, &p, b, v);
            dst[192 + b] = (uint8_t)p.s[b];
            for (unsigned l = 0; l < 16; l++) {
                unsigned q = (unsigned)((int)v[l] + 32);
                dst[64 * half + 32 * (part % 2) + at + l] |= (uint8_t)((q & 15) << 4 * (part / 2));
                dst[128 + 32 * half + at + l] |= (uint8_t)(q >> 4 << 2 * part);
            }
        }
        store16(dst + 208, pack_scale(p.d));
    }
}

/* { f16 d; u16 scales_h; u8 scales_l[4]; u8 qs[128] } */
void pack_iq4_xs(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct symmetric a = { { &pack_grid_iq4, -20, 1.5f, 32 }, 32, -32, 31 };
    for (; n; n -= 256, src += 256, dst += 136, weight += weight ? 256 : 0) {
        struct super p;
        unsigned high = 0;
        solve(&a, src, weight, &p);
        memset(dst, 0, 136);
        for (unsigned b = 0; b < 8; b++) {
            float v[32];
            unsigned s = (unsigned)(p.s[b] + 32);
            final_levels(&a, &p, b, v);
            high |= s >> 4 << 2 * b;
            dst[4 + b / 2] |= (uint8_t)((s & 15) << 4 * (b % 2));
            for (unsigned i = 0; i < 32; i++) {
                uint8_t k = 0;
                while ((float)iq4_codes[k] < v[i]) k++;
                dst[8 + 16 * b + i % 16] |= (uint8_t)(k << 4 * (i / 16));
            }
        }
        store16(dst, pack_scale(p.d));
        store16(dst + 2, (uint16_t)high);
    }
}
