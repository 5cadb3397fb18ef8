/* pack_fp4.c - 4-bit floats: MXFP4 (a power of two for 32 values) and NVFP4 (a small float for 16). */
#include "quant/pack.h"

/* The code of a level: its magnitude's index, and 8 for a sign. */
static uint8_t code_of(float level)
{
    uint8_t k = 0;
    while ((float)fp4_codes[k] < pack_abs(level)) k++;
    return level < 0 ? (uint8_t)(k | 8) : k;
}

static void put_codes(uint8_t *dst, const float *l, unsigned half)
{
    for (unsigned j = 0; j < half; j++) dst[j] = (uint8_t)(code_of(l[j]) | code_of(l[j + half]) << 4);
}

/* floor(log2(v)) of a positive normal number. */
static int exponent_of(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return (int)(u >> 23 & 255) - 127;
}

void pack_mxfp4(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    for (; n; n -= 32, src += 32, dst += 17, weight += weight ? 32 : 0) {
        float x[32], w[32], l[32], most = 0, top;
        pack_load(src, weight, x, w, 32);
        top = pack_abs(pack_extreme(x, 32));
        /* The largest code is 6: with a scale of 2^(e - 127) it is between 4 and 8 times that, or one step more or less. */
        int first = top > 0 ? exponent_of(top) - 2 + 127 : 0, e = 0;
        for (int k = first - 2; k <= first + 1; k++) {
            if (k < 0 || k > 254) continue;
            float gain = pack_gain(&pack_grid_fp4, x, w, 32, fp4_e8m0_half((uint8_t)k));
            if (gain <= most) continue;
            most = gain;
            e = k;
        }
        dst[0] = (uint8_t)e;
        pack_levels(&pack_grid_fp4, x, most > 0 ? pack_inverse(fp4_e8m0_half((uint8_t)e)) : 0, l, 32);
        put_codes(dst + 1, l, 16);
    }
}

/* The largest scale byte whose value is not above v. */
static int ue4m3_below(float v)
{
    int lo = 0, hi = 126;
    while (lo < hi) {
        int mid = (lo + hi + 1) / 2;
        if (fp4_ue4m3_half((uint8_t)mid) <= v) lo = mid;
        else hi = mid - 1;
    }
    return lo;
}

void pack_nvfp4(const float *src, const float *weight, uint8_t *dst, size_t n)
{
    static const struct pack_search search = { &pack_grid_fp4, -2.5f, 0.25f, 24 };
    for (; n; n -= 64, src += 64, dst += 36, weight += weight ? 64 : 0) {
        float x[64], w[64];
        pack_load(src, weight, x, w, 64);
        for (unsigned b = 0; b < 4; b++) {
            const float *v = x + 16 * b, *vw = w + 16 * b;
            float l[16], most = 0;
            int near[2] = { ue4m3_below(pack_abs(pack_fit(&search, v, vw, 16))),
                            ue4m3_below(pack_abs(pack_extreme(v, 16)) / 12) }, s = 0;
            for (int k = 0; k < 12; k++) {
                int c = near[k / 6] + k % 6 - 2;
                if (c < 1 || c > 126) continue;
                float gain = pack_gain(&pack_grid_fp4, v, vw, 16, fp4_ue4m3_half((uint8_t)c));
                if (gain <= most) continue;
                most = gain;
                s = c;
            }
            dst[b] = (uint8_t)s;
            pack_levels(&pack_grid_fp4, v, pack_inverse(fp4_ue4m3_half((uint8_t)s)), l, 16);
            put_codes(dst + 4 + 8 * b, l, 8);
        }
    }
}
