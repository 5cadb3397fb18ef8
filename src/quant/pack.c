/* pack.c - what the packers share (see pack.h). */
#include "quant/pack.h"

#define LARGEST 3e8f                        /* more than any block can represent, and its square sums stay finite */
#define LEAST_WEIGHT 1e-5f

static float clean(float v)
{
    if (v != v) return 0;
    return v > LARGEST ? LARGEST : v < -LARGEST ? -LARGEST : v;
}

void pack_load(const float *src, const float *weight, float *x, float *w, unsigned n)
{
    float top = 0;
    for (unsigned i = 0; i < n; i++) x[i] = clean(src[i]);
    for (unsigned i = 0; weight && i < n; i++)
        if (weight[i] > top && weight[i] <= 3e38f) top = weight[i];
    for (unsigned i = 0; i < n; i++) {
        float v = top > 0 ? weight[i] / top : 1;
        w[i] = v > LEAST_WEIGHT ? v < 1 ? v : 1 : LEAST_WEIGHT;
    }
}

float pack_extreme(const float *x, unsigned n)
{
    float m = 0;
    for (unsigned i = 0; i < n; i++)
        if (pack_abs(x[i]) > pack_abs(m)) m = x[i];
    return pack_abs(m) < 1e-20f ? 0 : m;
}

float pack_power(const float *x, const float *w, unsigned n)
{
    pack_quad s = { 0 };
    for (unsigned i = 0; i < n; i += 4) s += pack_quad_at(w + i) * pack_quad_at(x + i) * pack_quad_at(x + i);
    return pack_quad_sum(s);
}

float pack_error(const float *x, const float *w, const float *y, unsigned n)
{
    pack_quad s = { 0 };
    for (unsigned i = 0; i < n; i += 4) {
        pack_quad d = pack_quad_at(x + i) - pack_quad_at(y + i);
        s += pack_quad_at(w + i) * d * d;
    }
    return pack_quad_sum(s);
}

/* ---- grids ---- */

static const float iq4_mid[15] = { -115.5f, -93.5f, -74, -57, -42, -28.5f, -16, -4.5f, 7, 19, 31.5f, 45.5f, 61, 79, 101 };
static const float iq4_step[15] = { 23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24 };
const struct pack_grid pack_grid_iq4 = { -127, 113, 15, iq4_mid, iq4_step };

static const float fp4_mid[14] = { -10, -7, -5, -3.5f, -2.5f, -1.5f, -0.5f, 0.5f, 1.5f, 2.5f, 3.5f, 5, 7, 10 };
static const float fp4_step[14] = { 4, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 4 };
const struct pack_grid pack_grid_fp4 = { -12, 12, 14, fp4_mid, fp4_step };

void pack_levels(const struct pack_grid *g, const float *x, float iscale, float *l, unsigned n)
{
    if (!g->n) {
        const float lo = g->lo, hi = g->hi;
        for (unsigned i = 0; i < n; i++) l[i] = pack_round(x[i] * iscale, lo, hi);
        return;
    }
    for (unsigned i = 0; i < n; i += 4) {
        pack_quad v = pack_quad_at(x + i) * iscale, level = { g->lo, g->lo, g->lo, g->lo };
        for (unsigned k = 0; k < g->n; k++) {
            pack_quad step = { g->step[k], g->step[k], g->step[k], g->step[k] };
            level += (pack_quad)((v > g->mid[k]) & (pack_mask)step);
        }
        memcpy(l + i, &level, sizeof level);
    }
}

/* ---- one scale ---- */

struct best { float score, scale; };

static bool try_scale(const struct pack_grid *g, const float *x, const float *w, unsigned n, float iscale, struct best *b)
{
    float l[256];
    pack_levels(g, x, iscale, l, n);
    struct pack_moments m = pack_moments(x, w, l, n);
    if (!(m.ll > 0) || m.xl * m.xl <= b->score * m.ll) return false;
    *b = (struct best){ m.xl * m.xl / m.ll, m.xl / m.ll };
    return true;
}

float pack_fit(const struct pack_search *s, const float *x, const float *w, unsigned n)
{
    /* How far beyond the last level a value may lie that is far from all others. */
    static const float far[] = { 1.25f, 1.4f, 1.6f, 1.85f, 2.2f, 2.7f };
    float m = pack_extreme(x, n), reach[2] = { s->grid->lo, s->grid->hi };
    struct best b = { 0, 0 };
    if (m == 0) return 0;
    for (int side = 0; side < 2; side++) {
        float sign = side ? 1.0f : -1.0f;
        for (unsigned t = 0; t < s->n; t++)
            try_scale(s->grid, x, w, n, (reach[side] + sign * (s->from + s->step * (float)t)) / m, &b);
        for (unsigned t = 0; t < sizeof far / sizeof *far; t++) try_scale(s->grid, x, w, n, reach[side] * far[t] / m, &b);
    }
    for (int round = 0; round < 4 && try_scale(s->grid, x, w, n, pack_inverse(b.scale), &b); round++) { }
    return b.scale;
}

float pack_gain(const struct pack_grid *g, const float *x, const float *w, unsigned n, float d)
{
    float l[256];
    if (d == 0) return 0;
    pack_levels(g, x, pack_inverse(d), l, n);
    struct pack_moments m = pack_moments(x, w, l, n);
    return 2 * d * m.xl - d * d * m.ll;
}
