/* pack.c - Q8_0, Q4_0, Q4_K, Q6_K from floats: scales are searched, not only taken from the largest value.
 *
 * Every packer first fits scales with real numbers, rounds them to what the block can store, and then chooses the
 * levels (and once more the small integer scales) against the rounded scales, so that rounding is part of the fit.
 * A NaN counts as 0; magnitudes beyond what a block can hold are clamped. */
#include <string.h>

#include "quant/block.h"

#define LARGEST 3e8f                        /* more than any block can represent, and its square sums stay finite */
#define F16_MAX 65504.0f

static float clean(float v)
{
    if (v != v) return 0;
    return v > LARGEST ? LARGEST : v < -LARGEST ? -LARGEST : v;
}

static float absf(float v) { return v < 0 ? -v : v; }

/* Nearest whole number, ties to even, clamped; a NaN gives lo. */
static int nearest(float v, int lo, int hi)
{
    if (!(v > (float)lo)) return lo;
    if (v > (float)hi) return hi;
    float magic = 12582912.0f;              /* 1.5 * 2^23: the addition rounds to a whole number */
    return (int)((v + magic) - magic);
}

static uint16_t to_scale(float d) { return f32_to_f16(d > F16_MAX ? F16_MAX : d < -F16_MAX ? -F16_MAX : d); }

static float inverse(float d) { return d != 0 && absf(d) > 1e-30f ? 1 / d : 0; }

/* ---- one symmetric scale ---- */

/* The value of largest magnitude, with its sign. */
static float extreme(const float *x, unsigned n)
{
    float m = 0;
    for (unsigned i = 0; i < n; i++)
        if (absf(x[i]) > absf(m)) m = x[i];
    return m;
}

/* Fits x = scale * level, level in -nmax..nmax-1, minimising sum w (x - scale level)^2 over steps tries. */
static float fit_symmetric(const float *x, const float *w, unsigned n, int nmax, float *score)
{
    float m = extreme(x, n), best = -1, scale = 0;
    *score = 0;
    if (absf(m) < 1e-20f) return 0;
    for (int t = -19; t <= 19; t++) {
        float iscale = -((float)nmax + 0.05f * (float)t) / m, sxl = 0, sll = 0;
        for (unsigned i = 0; i < n; i++) {
            float l = (float)nearest(x[i] * iscale, -nmax, nmax - 1);
            sxl += w[i] * x[i] * l;
            sll += w[i] * l * l;
        }
        if (sll > 0 && sxl * sxl > best * sll) {
            best = sxl * sxl / sll;
            scale = sxl / sll;
        }
    }
    *score = best;
    return scale;
}

static float error_symmetric(const float *x, const float *w, unsigned n, int nmax, float d)
{
    float id = inverse(d), e = 0;
    for (unsigned i = 0; i < n; i++) {
        float r = x[i] - d * (float)nearest(x[i] * id, -nmax, nmax - 1);
        e += w[i] * r * r;
    }
    return e;
}

void pack_q8_0(const float *src, uint8_t *dst, size_t n)
{
    for (; n; n -= 32, src += 32, dst += 34) {
        float x[32];
        for (unsigned i = 0; i < 32; i++) x[i] = clean(src[i]);
        uint16_t h = to_scale(absf(extreme(x, 32)) / 127);
        float id = inverse(f16_to_f32(h));
        store16(dst, h);
        for (unsigned i = 0; i < 32; i++) dst[2 + i] = (uint8_t)(int8_t)nearest(x[i] * id, -127, 127);
    }
}

void pack_q4_0(const float *src, uint8_t *dst, size_t n)
{
    static const float ones[32] = { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                    1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1 };
    for (; n; n -= 32, src += 32, dst += 18) {
        float x[32], score;
        for (unsigned i = 0; i < 32; i++) x[i] = clean(src[i]);
        uint16_t plain = to_scale(extreme(x, 32) / -8), h = to_scale(fit_symmetric(x, ones, 32, 8, &score));
        /* Values that lie on a grid already (trained that way) must stay what they are. */
        if (error_symmetric(x, ones, 32, 8, f16_to_f32(plain)) <= error_symmetric(x, ones, 32, 8, f16_to_f32(h)))
            h = plain;
        float id = inverse(f16_to_f32(h));
        store16(dst, h);
        for (unsigned j = 0; j < 16; j++)
            dst[2 + j] = (uint8_t)((nearest(x[j] * id, -8, 7) + 8) | (nearest(x[j + 16] * id, -8, 7) + 8) << 4);
    }
}

/* ---- Q6_K ---- */

static void put_q6_k(uint8_t *dst, const float *x, float d, const int8_t *sc)
{
    memset(dst, 0, 192);
    for (unsigned i = 0; i < 256; i++) {
        unsigned half = i / 128, part = i / 32 % 4, l = i % 32;
        unsigned q = (unsigned)(nearest(x[i] * inverse(d * (float)sc[i / 16]), -32, 31) + 32);
        dst[64 * half + 32 * (part % 2) + l] |= (uint8_t)((q & 15) << 4 * (part / 2));
        dst[128 + 32 * half + l] |= (uint8_t)(q >> 4 << 2 * part);
    }
    memcpy(dst + 192, sc, 16);
}

void pack_q6_k(const float *src, uint8_t *dst, size_t n)
{
    for (; n; n -= 256, src += 256, dst += 210) {
        float x[256], w[256], scale[16], score, top;
        for (unsigned i = 0; i < 256; i++) {
            x[i] = clean(src[i]);
            w[i] = x[i] * x[i];
        }
        for (unsigned b = 0; b < 16; b++) scale[b] = fit_symmetric(x + 16 * b, w + 16 * b, 16, 32, &score);
        top = extreme(scale, 16);
        uint16_t h = to_scale(top / -128);
        float d = f16_to_f32(h), id = inverse(d);
        int8_t sc[16];
        for (unsigned b = 0; b < 16; b++) {
            int first = nearest(scale[b] * id, -128, 127);
            float best = -1;
            for (int s = first - 1; s <= first + 1; s++) {
                if (s < -128 || s > 127) continue;
                float e = error_symmetric(x + 16 * b, w + 16 * b, 16, 32, d * (float)s);
                if (best >= 0 && e >= best) continue;
                best = e;
                sc[b] = (int8_t)s;
            }
        }
        put_q6_k(dst, x, d, sc);
        store16(dst + 208, h);
    }
}

/* ---- Q4_K ---- */

struct affine { float scale, min; };        /* x = scale * level - min, both >= 0 */

/* The least-squares line through the levels that iscale gives; false when it has no positive slope. */
static bool fit_line(const float *x, const float *w, unsigned n, int nmax, float low, float iscale, struct affine *out)
{
    float sw = 0, sl = 0, sll = 0, sx = 0, sxl = 0;
    for (unsigned i = 0; i < n; i++) {
        float l = (float)nearest((x[i] - low) * iscale, 0, nmax);
        sw += w[i];
        sl += w[i] * l;
        sll += w[i] * l * l;
        sx += w[i] * x[i];
        sxl += w[i] * x[i] * l;
    }
    float det = sw * sll - sl * sl;
    if (det <= 0) return false;
    *out = (struct affine){ (sw * sxl - sx * sl) / det, -(sll * sx - sl * sxl) / det };
    if (out->min < 0) *out = (struct affine){ sll > 0 ? sxl / sll : 0, 0 };
    return out->scale > 0;
}

static float error_affine(const float *x, const float *w, unsigned n, int nmax, struct affine a)
{
    float id = inverse(a.scale), e = 0;
    for (unsigned i = 0; i < n; i++) {
        float r = a.scale * (float)nearest((x[i] + a.min) * id, 0, nmax) - a.min - x[i];
        e += w[i] * r * r;
    }
    return e;
}

static struct affine fit_affine(const float *x, const float *w, unsigned n, int nmax)
{
    float low = 0, high = x[0];
    for (unsigned i = 0; i < n; i++) {
        if (x[i] < low) low = x[i];
        if (x[i] > high) high = x[i];
    }
    if (high - low < 1e-20f) return (struct affine){ 0, -low };
    struct affine best = { (high - low) / (float)nmax, -low };
    float least = error_affine(x, w, n, nmax, best);
    for (int s = 0; s <= 20; s++) {
        struct affine a;
        if (!fit_line(x, w, n, nmax, low, (-1 + 0.1f * (float)s + (float)nmax) / (high - low), &a)) continue;
        float e = error_affine(x, w, n, nmax, a);
        if (e >= least) continue;
        least = e;
        best = a;
    }
    return best;
}

/* The best 6-bit scale and minimum near those that were fitted, given the rounded factors of the super-block. */
static void choose_scale_min(const float *x, const float *w, struct affine a, float d, float dmin, uint8_t *scale,
                             uint8_t *min)
{
    int s0 = nearest(a.scale * inverse(d), 0, 63), m0 = nearest(a.min * inverse(dmin), 0, 63);
    float least = -1;
    for (int s = s0 - 1; s <= s0 + 1; s++)
        for (int m = m0 - 1; m <= m0 + 1; m++) {
            if (s < 0 || s > 63 || m < 0 || m > 63) continue;
            float e = error_affine(x, w, 32, 15, (struct affine){ d * (float)s, dmin * (float)m });
            if (least >= 0 && e >= least) continue;
            least = e;
            *scale = (uint8_t)s;
            *min = (uint8_t)m;
        }
}

static void put_scale_min(uint8_t *sc, const uint8_t *scale, const uint8_t *min)
{
    for (unsigned j = 0; j < 4; j++) {
        sc[j] = (uint8_t)(scale[j] | scale[j + 4] >> 4 << 6);
        sc[j + 4] = (uint8_t)(min[j] | min[j + 4] >> 4 << 6);
        sc[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

/* Larger values matter somewhat more, as they usually meet larger activations. */
static void weigh(const float *x, float *w, unsigned n)
{
    float s = 0;
    for (unsigned i = 0; i < n; i++) s += x[i] * x[i];
    float rms = __builtin_sqrtf(s / (float)n);
    for (unsigned i = 0; i < n; i++) w[i] = 3 * rms + absf(x[i]);
}

void pack_q4_k(const float *src, uint8_t *dst, size_t n)
{
    for (; n; n -= 256, src += 256, dst += 144) {
        float x[256], w[256], top = 0, top_min = 0;
        struct affine a[8];
        uint8_t scale[8], min[8];
        for (unsigned i = 0; i < 256; i++) x[i] = clean(src[i]);
        for (unsigned b = 0; b < 8; b++) {
            weigh(x + 32 * b, w + 32 * b, 32);
            a[b] = fit_affine(x + 32 * b, w + 32 * b, 32, 15);
            if (a[b].scale > top) top = a[b].scale;
            if (a[b].min > top_min) top_min = a[b].min;
        }
        uint16_t h = to_scale(top / 63), hmin = to_scale(top_min / 63);
        float d = f16_to_f32(h), dmin = f16_to_f32(hmin);
        store16(dst, h);
        store16(dst + 2, hmin);
        memset(dst + 16, 0, 128);
        for (unsigned b = 0; b < 8; b++) {
            const float *v = x + 32 * b;
            choose_scale_min(v, w + 32 * b, a[b], d, dmin, &scale[b], &min[b]);
            float id = inverse(d * (float)scale[b]), m = dmin * (float)min[b];
            for (unsigned l = 0; l < 32; l++)
                dst[16 + 32 * (b / 2) + l] |= (uint8_t)(nearest((v[l] + m) * id, 0, 15) << 4 * (b % 2));
        }
        put_scale_min(dst + 4, scale, min);
    }
}
