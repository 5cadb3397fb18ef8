/* pack_k.c - super-blocks of 256 with integer scales and minimums: Q2_K, Q4_K, Q5_K.  x = d S level - dmin M. */
#include "quant/pack.h"

/* What the three types differ in. */
struct affine {
    unsigned n;                /* values of a sub-block */
    int nmax;                  /* levels 0..nmax */
    int smax;                  /* integer scales and minimums 0..smax */
    float from, step;          /* of the search, in levels beyond nmax */
    unsigned n_step;
    bool by_size;              /* without weights, larger values count more */
};

/* x = scale * level - min, both >= 0 */
struct line { float scale, min; };

static void levels(const struct affine *a, const float *x, struct line at, float *l)
{
    float id = pack_inverse(at.scale), min = at.min, hi = (float)a->nmax;
    for (unsigned i = 0; i < a->n; i++) l[i] = pack_round((x[i] + min) * id, 0, hi);
}

struct sums { float w, x, l, xl, ll; };

static struct sums sums_of(const float *x, const float *w, const float *l, unsigned n)
{
    pack_quad sw = { 0 }, sx = { 0 }, sl = { 0 }, xl = { 0 }, ll = { 0 };
    for (unsigned i = 0; i < n; i += 4) {
        pack_quad wi = pack_quad_at(w + i), xi = pack_quad_at(x + i), li = pack_quad_at(l + i), t = wi * li;
        sw += wi;
        sx += wi * xi;
        sl += t;
        xl += t * xi;
        ll += t * li;
    }
    return (struct sums){ pack_quad_sum(sw), pack_quad_sum(sx), pack_quad_sum(sl), pack_quad_sum(xl), pack_quad_sum(ll) };
}

/* The least-squares line through the levels that `at` gives; what it gains over all zeros, negative when there is none. */
static float fit_line(const struct affine *a, const float *x, const float *w, struct line at, struct line *out)
{
    float l[32];
    levels(a, x, at, l);
    struct sums s = sums_of(x, w, l, a->n);
    float det = s.w * s.ll - s.l * s.l;
    if (det > 0) {
        *out = (struct line){ (s.w * s.xl - s.x * s.l) / det, (s.l * s.xl - s.ll * s.x) / det };
        if (out->min >= 0) return out->scale > 0 ? out->scale * s.xl - out->min * s.x : -1;
    }
    if (!(s.ll > 0) || !(s.xl > 0)) return -1;
    *out = (struct line){ s.xl / s.ll, 0 };
    return s.xl * s.xl / s.ll;
}

static struct line fit(const struct affine *a, const float *x, const float *w)
{
    float low = 0, high = x[0], most = 0;
    for (unsigned i = 0; i < a->n; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    if (!(high - low > 1e-20f)) return (struct line){ 0, -low };
    struct line best = { (high - low) / (float)a->nmax, -low }, next;
    for (unsigned s = 0; s < a->n_step; s++) {
        struct line at = { (high - low) / ((float)a->nmax + a->from + a->step * (float)s), -low };
        float gain = fit_line(a, x, w, at, &next);
        for (int round = 0; round < 3 && gain > most; round++) {
            most = gain;
            best = at = next;
            gain = fit_line(a, x, w, at, &next);
        }
    }
    return best;
}

static float error_of(const struct affine *a, const float *x, const float *w, struct line at)
{
    float l[32], y[32];
    levels(a, x, at, l);
    for (unsigned i = 0; i < a->n; i++) y[i] = at.scale * l[i] - at.min;
    return pack_error(x, w, y, a->n);
}

/* One super-block: the input, and what was found. */
struct super {
    float x[256], w[256];
    struct line line[16];
    float d, dmin;
    uint8_t scale[16], min[16];
    float error;
};

/* The best integer scale and minimum of sub-block b near those that were fitted. */
static float choose_pair(const struct affine *a, struct super *s, unsigned b)
{
    const float *x = s->x + b * a->n, *w = s->w + b * a->n;
    int s0 = pack_nearest(s->line[b].scale * pack_inverse(s->d), 0, a->smax);
    int m0 = pack_nearest(s->line[b].min * pack_inverse(s->dmin), 0, a->smax);
    float least = -1;
    for (int i = s0 - 1; i <= s0 + 1; i++)
        for (int m = m0 - 1; m <= m0 + 1; m++) {
            if (i < 0 || i > a->smax || m < 0 || m > a->smax) continue;
            float e = error_of(a, x, w, (struct line){ s->d * (float)i, s->dmin * (float)m });
            if (least >= 0 && e >= least) continue;
            least = e;
            s->scale[b] = (uint8_t)i;
            s->min[b] = (uint8_t)m;
        }
    return least;
}

/* Tries d and dmin, rounded to f16, with the best integers for them; keeps the better of these and those of before. */
static bool try_factors(const struct affine *a, struct super *s, float d, float dmin)
{
    struct super old = *s;
    s->d = f16_to_f32(pack_scale(d));
    s->dmin = f16_to_f32(pack_scale(dmin));
    s->error = 0;
    for (unsigned b = 0; b < 256 / a->n; b++) s->error += choose_pair(a, s, b);
    if (old.error < 0 || s->error < old.error) return true;
    *s = old;
    return false;
}

/* The least-squares factors for the integers and levels that are chosen: x = d (S l) - dmin M. */
static bool refit(const struct affine *a, struct super *s)
{
    float u[256], v[256], l[32];
    for (unsigned b = 0; b < 256 / a->n; b++) {
        levels(a, s->x + b * a->n, (struct line){ s->d * (float)s->scale[b], s->dmin * (float)s->min[b] }, l);
        for (unsigned i = 0; i < a->n; i++) {
            u[b * a->n + i] = (float)s->scale[b] * l[i];
            v[b * a->n + i] = -(float)s->min[b];
        }
    }
    struct pack_moments p = pack_moments(s->x, s->w, u, 256), q = pack_moments(s->x, s->w, v, 256);
    float uv = pack_moments(u, s->w, v, 256).xl, det = p.ll * q.ll - uv * uv;
    if (!(q.ll > 0)) return p.ll > 0 && p.xl > 0 && try_factors(a, s, p.xl / p.ll, s->dmin);
    if (!(det > 1e-6f * p.ll * q.ll)) return false;
    float d = (q.ll * p.xl - uv * q.xl) / det, dmin = (p.ll * q.xl - uv * p.xl) / det;
    return d > 0 && dmin >= 0 && try_factors(a, s, d, dmin);
}

/* Weights where there are none: the spread of the sub-block plus the magnitude.  A model's text loses about an eighth less that
 * way with Q4_K (see docs/quantize.md); types with fewer bits gain nothing. */
static void weigh_by_size(struct super *s)
{
    for (unsigned b = 0; b < 256; b += 32) {
        float *w = s->w + b, rms = __builtin_sqrtf(pack_power(s->x + b, w, 32) / 32);
        for (unsigned i = 0; i < 32; i++) w[i] = rms + pack_abs(s->x[b + i]);
    }
}

static void solve(const struct affine *a, const float *src, const float *weight, struct super *s)
{
    /* The largest integer need not be used: a few coarser divisions may suit the other sub-blocks better. */
    static const float part[] = { 1, 0.95f, 0.9f, 1.04f };
    float top = 0, top_min = 0;
    pack_load(src, weight, s->x, s->w, 256);
    if (a->by_size && !weight) weigh_by_size(s);
    s->error = -1;
    for (unsigned b = 0; b < 256 / a->n; b++) {
        s->line[b] = fit(a, s->x + b * a->n, s->w + b * a->n);
        if (s->line[b].scale > top) top = s->line[b].scale;
        if (s->line[b].min > top_min) top_min = s->line[b].min;
    }
    unsigned tries = a->smax > 15 ? 1 : sizeof part / sizeof *part;
    for (unsigned k = 0; k < tries; k++) {
        try_factors(a, s, top / (float)a->smax / part[k], top_min / (float)a->smax);
        if (k) try_factors(a, s, top / (float)a->smax, top_min / (float)a->smax / part[k]);
    }
    for (int round = 0; round < 3 && refit(a, s); round++) { }
}

/* The levels of sub-block b as they are stored. */
static void final_levels(const struct affine *a, const struct super *s, unsigned b, uint8_t *q)
{
    float l[32];
    levels(a, s->x + b * a->n, (struct line){ s->d * (float)s->scale[b], s->dmin * (float)s->min[b] }, l);
    for (unsigned i = 0; i < a->n; i++) q[i] = (uint8_t)l[i];
}

static void put_factors(uint8_t *dst, const struct super *s)
{
    store16(dst, pack_scale(s->d));
    store16(dst + 2, pack_scale(s->dmin));
}

/* { u8 sc[16]; u8 qs[64]; f16 d; f16 dmin } */
void pack_q2_k(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct affine a = { 16, 3, 15, -0.9f, 0.15f, 20, false };
    for (; n; n -= 256, src += 256, dst += 84, weight += weight ? 256 : 0) {
        struct super s;
        solve(&a, src, weight, &s);
        memset(dst, 0, 84);
        for (unsigned b = 0; b < 16; b++) {
            uint8_t q[16];
            final_levels(&a, &s, b, q);
            dst[b] = (uint8_t)(s.scale[b] | s.min[b] << 4);
            for (unsigned l = 0; l < 16; l++)
                dst[16 + 32 * (b / 8) + 16 * (b % 2) + l] |= (uint8_t)(q[l] << 2 * (b / 2 % 4));
        }
        put_factors(dst + 80, &s);
    }
}

/* The 12 bytes of 6-bit scales and minimums (see k_scale_min). */
static void put_scale_min(uint8_t *sc, const uint8_t *scale, const uint8_t *min)
{
    for (unsigned j = 0; j < 4; j++) {
        sc[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        sc[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        sc[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

void pack_q4_k(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct affine a = { 32, 15, 63, -1, 0.1f, 24, true };
    for (; n; n -= 256, src += 256, dst += 144, weight += weight ? 256 : 0) {
        struct super s;
        solve(&a, src, weight, &s);
        memset(dst + 16, 0, 128);
        for (unsigned b = 0; b < 8; b++) {
            uint8_t q[32];
            final_levels(&a, &s, b, q);
            for (unsigned l = 0; l < 32; l++) dst[16 + 32 * (b / 2) + l] |= (uint8_t)(q[l] << 4 * (b % 2));
        }
        put_factors(dst, &s);
        put_scale_min(dst + 4, s.scale, s.min);
    }
}

/* { f16 d; f16 dmin; u8 sc[12]; u8 qh[32]; u8 qs[128] } */
void pack_q5_k(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct affine a = { 32, 31, 63, -0.9f, 0.1f, 24, true };
    for (; n; n -= 256, src += 256, dst += 176, weight += weight ? 256 : 0) {
        struct super s;
        solve(&a, src, weight, &s);
        memset(dst + 16, 0, 160);
        for (unsigned b = 0; b < 8; b++) {
            uint8_t q[32];
            final_levels(&a, &s, b, q);
            for (unsigned l = 0; l < 32; l++) {
                dst[48 + 32 * (b / 2) + l] |= (uint8_t)((q[l] & 15) << 4 * (b % 2));
                dst[16 + l] |= (uint8_t)(q[l] >> 4 << b);
            }
        }
        put_factors(dst, &s);
        put_scale_min(dst + 4, s.scale, s.min);
    }
}
