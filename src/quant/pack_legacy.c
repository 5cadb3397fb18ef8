/* pack_legacy.c - blocks with one scale, or a scale and a minimum: Q4_0 to Q8_0, IQ4_NL, Q1_0, Q2_0, and the ternary types. */
#include "quant/pack.h"

/* The f16 of this scale, or of the plain one that puts the extreme value onto `reach`: values that lie on a grid already
 * (trained that way) must stay what they are. */
static uint16_t choose_scale(const struct pack_search *s, const float *x, const float *w, unsigned n, float reach)
{
    uint16_t fitted = pack_scale(pack_fit(s, x, w, n)), plain = pack_scale(pack_extreme(x, n) / reach), best = plain;
    float most = pack_gain(s->grid, x, w, n, f16_to_f32(plain));
    for (int k = -1; k <= 1; k++) {
        uint16_t h = (uint16_t)(fitted + k);
        if ((h & 0x7c00) == 0x7c00) continue;
        float gain = pack_gain(s->grid, x, w, n, f16_to_f32(h));
        if (gain <= most) continue;
        most = gain;
        best = h;
    }
    return best;
}

void pack_q8_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_grid grid = { -127, 127, 0, NULL, NULL };
    for (; n; n -= 32, src += 32, dst += 34, weight += weight ? 32 : 0) {
        float x[32], w[32], l[32], most = -1;
        pack_load(src, weight, x, w, 32);
        uint16_t h0 = pack_scale(pack_abs(pack_extreme(x, 32)) / 127), h = h0;
        for (int k = -3; k <= 2; k++) {
            if (h0 + k < 0 || h0 + k >= 0x7c00) continue;
            float gain = pack_gain(&grid, x, w, 32, f16_to_f32((uint16_t)(h0 + k)));
            if (gain < most || (gain == most && k)) continue;
            most = gain;
            h = (uint16_t)(h0 + k);
        }
        store16(dst, h);
        pack_levels(&grid, x, pack_inverse(f16_to_f32(h)), l, 32);
        for (unsigned i = 0; i < 32; i++) dst[2 + i] = (uint8_t)(int8_t)l[i];
    }
}

/* Element j in the low nibble of byte j, j + 16 in the high one. */
static void put_nibbles(uint8_t *dst, const uint8_t *q)
{
    for (unsigned j = 0; j < 16; j++) dst[j] = (uint8_t)((q[j] & 15) | (q[j + 16] & 15) << 4);
}

static void put_high_bits(uint8_t *dst, const uint8_t *q)
{
    uint32_t high = 0;
    for (unsigned i = 0; i < 32; i++) high |= (uint32_t)(q[i] >> 4 & 1) << i;
    store16(dst, (uint16_t)high);
    store16(dst + 2, (uint16_t)(high >> 16));
}

void pack_q4_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_grid grid = { -8, 7, 0, NULL, NULL };
    static const struct pack_search search = { &grid, -1.2f, 0.1f, 28 };
    for (; n; n -= 32, src += 32, dst += 18, weight += weight ? 32 : 0) {
        float x[32], w[32], l[32];
        uint8_t q[32];
        pack_load(src, weight, x, w, 32);
        uint16_t h = choose_scale(&search, x, w, 32, -8);
        store16(dst, h);
        pack_levels(&grid, x, pack_inverse(f16_to_f32(h)), l, 32);
        for (unsigned i = 0; i < 32; i++) q[i] = (uint8_t)((int)l[i] + 8);
        put_nibbles(dst + 2, q);
    }
}

void pack_q5_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_grid grid = { -16, 15, 0, NULL, NULL };
    static const struct pack_search search = { &grid, -1.2f, 0.1f, 36 };
    for (; n; n -= 32, src += 32, dst += 22, weight += weight ? 32 : 0) {
        float x[32], w[32], l[32];
        uint8_t q[32];
        pack_load(src, weight, x, w, 32);
        uint16_t h = choose_scale(&search, x, w, 32, -16);
        store16(dst, h);
        pack_levels(&grid, x, pack_inverse(f16_to_f32(h)), l, 32);
        for (unsigned i = 0; i < 32; i++) q[i] = (uint8_t)((int)l[i] + 16);
        put_high_bits(dst + 2, q);
        put_nibbles(dst + 6, q);
    }
}

void pack_iq4_nl(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_search search = { &pack_grid_iq4, -20, 1.5f, 32 };
    for (; n; n -= 32, src += 32, dst += 18, weight += weight ? 32 : 0) {
        float x[32], w[32], l[32];
        uint8_t q[32];
        pack_load(src, weight, x, w, 32);
        uint16_t h = choose_scale(&search, x, w, 32, -127);
        store16(dst, h);
        pack_levels(&pack_grid_iq4, x, pack_inverse(f16_to_f32(h)), l, 32);
        for (unsigned i = 0; i < 32; i++)
            for (q[i] = 0; (float)iq4_codes[q[i]] < l[i];) q[i]++;
        put_nibbles(dst + 2, q);
    }
}

/* ---- a scale and a minimum of any sign ---- */

struct line { float d, m; };

/* The least-squares line through the levels that d and m give; what it gains over all zeros, or a negative number. */
static float fit_line(const float *x, const float *w, int nmax, struct line at, struct line *out)
{
    float l[32], ones[32];
    float id = pack_inverse(at.d), m = at.m, hi = (float)nmax;
    for (unsigned i = 0; i < 32; i++) {
        l[i] = pack_round((x[i] - m) * id, 0, hi);
        ones[i] = 1;
    }
    struct pack_moments a = pack_moments(x, w, l, 32), b = pack_moments(x, w, ones, 32);
    float sl = pack_moments(l, w, ones, 32).xl, det = b.ll * a.ll - sl * sl;
    if (!(det > 0)) return -1;
    out->d = (b.ll * a.xl - b.xl * sl) / det;
    out->m = (a.ll * b.xl - sl * a.xl) / det;
    return out->d * a.xl + out->m * b.xl;
}

/* The error with the f16 forms of d and m, and their levels. */
static float line_error(const float *x, const float *w, int nmax, struct line at, float *l)
{
    float y[32], id = pack_inverse(at.d), hi = (float)nmax;
    for (unsigned i = 0; i < 32; i++) {
        l[i] = pack_round((x[i] - at.m) * id, 0, hi);
        y[i] = at.d * l[i] + at.m;
    }
    return pack_error(x, w, y, 32);
}

static struct line search_line(const float *x, const float *w, int nmax)
{
    float low = x[0], high = x[0], most = 0, l[32];
    for (unsigned i = 0; i < 32; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    struct line plain = { (high - low) / (float)nmax, low }, best = plain, next;
    if (!(high - low > 1e-20f)) return (struct line){ 0, low };
    for (int s = 0; s < 28; s++) {
        struct line at = { (high - low) / ((float)nmax - 1 + 0.1f * (float)s), low };
        float gain = fit_line(x, w, nmax, at, &next);
        for (int round = 0; round < 3 && gain > most; round++) {
            most = gain;
            best = at = next;
            gain = fit_line(x, w, nmax, at, &next);
        }
    }
    struct line f = { f16_to_f32(pack_scale(best.d)), f16_to_f32(pack_scale(best.m)) };
    struct line p = { f16_to_f32(pack_scale(plain.d)), f16_to_f32(pack_scale(plain.m)) };
    return line_error(x, w, nmax, f, l) < line_error(x, w, nmax, p, l) ? f : p;
}

static void put_line(const float *src, const float *weight, int nmax, uint8_t *dst, uint8_t *q)
{
    float x[32], w[32], l[32];
    pack_load(src, weight, x, w, 32);
    struct line at = search_line(x, w, nmax);
    uint16_t d = pack_scale(at.d), m = pack_scale(at.m);
    store16(dst, d);
    store16(dst + 2, m);
    line_error(x, w, nmax, (struct line){ f16_to_f32(d), f16_to_f32(m) }, l);
    for (unsigned i = 0; i < 32; i++) q[i] = (uint8_t)l[i];
}

void pack_q4_1(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    for (; n; n -= 32, src += 32, dst += 20, weight += weight ? 32 : 0) {
        uint8_t q[32];
        put_line(src, weight, 15, dst, q);
        put_nibbles(dst + 4, q);
    }
}

void pack_q5_1(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    for (; n; n -= 32, src += 32, dst += 24, weight += weight ? 32 : 0) {
        uint8_t q[32];
        put_line(src, weight, 31, dst, q);
        put_high_bits(dst + 4, q);
        put_nibbles(dst + 8, q);
    }
}

/* ---- one and two bits ---- */

/* The best scale of signs is the weighted mean of the magnitudes. */
void pack_q1_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    for (; n; n -= 128, src += 128, dst += 18, weight += weight ? 128 : 0) {
        float x[128], w[128], l[128];
        pack_load(src, weight, x, w, 128);
        for (unsigned i = 0; i < 128; i++) l[i] = x[i] < 0 ? -1.0f : 1.0f;
        struct pack_moments m = pack_moments(x, w, l, 128);
        store16(dst, pack_scale(m.xl / m.ll));
        memset(dst + 2, 0, 16);
        for (unsigned i = 0; i < 128; i++) dst[2 + i / 8] |= (uint8_t)((l[i] > 0) << i % 8);
    }
}

void pack_q2_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_grid grid = { -1, 2, 0, NULL, NULL };
    static const struct pack_search search = { &grid, -0.6f, 0.1f, 40 };
    for (; n; n -= 64, src += 64, dst += 18, weight += weight ? 64 : 0) {
        float x[64], w[64], l[64];
        pack_load(src, weight, x, w, 64);
        uint16_t h = choose_scale(&search, x, w, 64, 1);
        store16(dst, h);
        pack_levels(&grid, x, pack_inverse(f16_to_f32(h)), l, 64);
        memset(dst + 2, 0, 16);
        for (unsigned i = 0; i < 64; i++) dst[2 + i / 4] |= (uint8_t)(((int)l[i] + 1) << 2 * (i % 4));
    }
}

/* Codes 0, 1, 2 of the values -1, 0, 1 times the scale. */
static uint16_t ternary(const float *src, const float *weight, uint8_t *q)
{
    static const struct pack_grid grid = { -1, 1, 0, NULL, NULL };
    static const struct pack_search search = { &grid, -0.4f, 0.06f, 64 };
    float x[256], w[256], l[256];
    pack_load(src, weight, x, w, 256);
    uint16_t h = choose_scale(&search, x, w, 256, 1) & 0x7fff;
    pack_levels(&grid, x, pack_inverse(f16_to_f32(h)), l, 256);
    for (unsigned i = 0; i < 256; i++) q[i] = (uint8_t)((int)l[i] + 1);
    return h;
}

void pack_tq2_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    for (; n; n -= 256, src += 256, dst += 66, weight += weight ? 256 : 0) {
        uint8_t q[256];
        store16(dst + 64, ternary(src, weight, q));
        memset(dst, 0, 64);
        for (unsigned i = 0; i < 256; i++) dst[32 * (i / 128) + i % 32] |= (uint8_t)(q[i] << 2 * (i / 32 % 4));
    }
}

/* Up to five digits `step` apart as a fixed-point fraction: the smallest byte that is not below v / 243. */
static uint8_t digits(const uint8_t *q, unsigned n, unsigned step)
{
    unsigned v = 0;
    for (unsigned k = 0; k < 5; k++) v = 3 * v + (k < n ? q[k * step] : 0);
    return (uint8_t)((v * 256 + 242) / 243);
}

void pack_tq1_0(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    for (; n; n -= 256, src += 256, dst += 54, weight += weight ? 256 : 0) {
        uint8_t q[256];
        store16(dst + 52, ternary(src, weight, q));
        for (unsigned i = 0; i < 32; i++) dst[i] = digits(q + i, 5, 32);
        for (unsigned i = 0; i < 16; i++) dst[32 + i] = digits(q + 160 + i, 5, 16);
        for (unsigned i = 0; i < 4; i++) dst[48 + i] = digits(q + 240 + i, 4, 4);
    }
}
