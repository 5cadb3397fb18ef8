/* random.c - valid blocks of every weight type from random bits: any code is a value, only the scales must be chosen. */
#include <math.h>
#include <string.h>

#include "quant/block.h"

/* Where a block has its scale.  The values shall have about mean 0 when the codes are uniform: in types with a minimum, the
 * number behind the scale is `second` times the scale; in those whose codes lean to one side, the scale's sign is random. */
static const struct place { uint8_t kind, at, at2; float second; } place[N_DTYPE] = {
#define F16_AT(at) { 1, at, 0, 0 }
#define F16_SIGNED(at) { 6, at, 0, 0 }
#define F16_PAIR(at, second) { 2, at, (at) + 2, second }
    [DT_Q4_0] = F16_SIGNED(0),  [DT_Q5_0] = F16_SIGNED(0), [DT_Q8_0] = F16_AT(0),     [DT_Q1_0] = F16_AT(0),
    [DT_Q2_0] = F16_SIGNED(0),  [DT_Q3_K] = F16_AT(108),   [DT_Q6_K] = F16_AT(208),   [DT_IQ2_XXS] = F16_AT(0),
    [DT_IQ2_XS] = F16_AT(0),    [DT_IQ2_S] = F16_AT(0),    [DT_IQ3_XXS] = F16_AT(0),  [DT_IQ3_S] = F16_AT(0),
    [DT_IQ1_S] = F16_AT(0),     [DT_IQ4_NL] = F16_SIGNED(0), [DT_IQ4_XS] = F16_AT(0),   [DT_TQ1_0] = F16_AT(52),
    [DT_TQ2_0] = F16_AT(64),    [DT_Q4_1] = F16_PAIR(0, -7.5f),  [DT_Q5_1] = F16_PAIR(0, -15.5f),
    [DT_Q2_K] = F16_PAIR(80, 1.5f),  [DT_Q4_K] = F16_PAIR(0, 7.5f),  [DT_Q5_K] = F16_PAIR(0, 15.5f),
    [DT_MXFP4] = { 3, 0, 0, 0 },     [DT_NVFP4] = { 4, 0, 0, 0 },    [DT_IQ1_M] = { 5, 48, 0, 0 },
#undef F16_AT
#undef F16_SIGNED
#undef F16_PAIR
};
enum { IS_F16 = 1, IS_PAIR, IS_E8M0, IS_UE4M3, IS_NIBBLES, IS_SIGNED };

static bool is_float(enum dtype t) { return t == DT_F32 || t == DT_F16 || t == DT_BF16; }

/* Number i of a stream of random bits (splitmix64: Steele, Lea, Flood 2014). */
static uint64_t bits_at(uint64_t seed, uint64_t i)
{
    uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* ---- scales ---- */

static void set_byte(struct quant_random *r, uint8_t at, uint8_t keep, uint8_t set)
{
    r->set[r->n_set].at = at;
    r->set[r->n_set].keep = keep;
    r->set[r->n_set++].bits = set;
}

static void set_f16(struct quant_random *r, uint8_t at, float f, uint8_t keep)
{
    uint16_t h = f32_to_f16(f);
    set_byte(r, at, 0, (uint8_t)h);
    set_byte(r, (uint8_t)(at + 1), keep, (uint8_t)(h >> 8));
}

/* The code whose value is nearest in ratio; value(code) must grow with it. */
static uint8_t nearest_code(float (*value)(uint8_t code), uint8_t last, float want)
{
    uint8_t c = 1;
    while (c < last && want / value(c) > value((uint8_t)(c + 1)) / want) c++;
    return c;
}

static void set_scale(struct quant_random *r, float d)
{
    const struct place *p = &place[r->type];
    r->n_set = 0;
    switch (p->kind) {
    case IS_PAIR:
        set_f16(r, p->at2, p->second * d, 0);
        set_f16(r, p->at, d, 0);
        break;
    case IS_F16: set_f16(r, p->at, d, 0); break;
    case IS_SIGNED: set_f16(r, p->at, d, 0x80); break;
    case IS_E8M0: set_byte(r, 0, 0, nearest_code(fp4_e8m0_half, 254, d)); break;
    case IS_UE4M3:
        for (uint8_t i = 0; i < 4; i++) set_byte(r, i, 0, nearest_code(fp4_ue4m3_half, 126, d));
        break;
    case IS_NIBBLES:
        for (uint8_t k = 0; k < 4; k++)
            set_byte(r, (uint8_t)(p->at + 2 * k + 1), 0x0f, (uint8_t)((f32_to_f16(d) >> 4 * k & 15) << 4));
        break;
    }
}

/* The standard deviation of the values when the scale is 1, from some blocks of this very stream. */
static double spread(const struct quant_random *r)
{
    uint8_t block[8 * 292];
    float x[8 * 256];
    size_t n = dtype_info(r->type)->block_values;
    double sum = 0;
    for (int i = 0; i < 8; i++) {
        quant_random_blocks(r, (uint64_t)i * 8, 8, block);
        quant_unpack(r->type)(block, x, 8 * n);
        for (size_t k = 0; k < 8 * n; k++) sum += (double)x[k] * x[k];
    }
    return sqrt(sum / (double)(64 * n));
}

/* Nearly normal: twelve uniform numbers, whose sum has variance 1. */
static float normal(uint64_t i)
{
    double sum = -6;
    for (uint64_t k = 0; k < 12; k++) sum += (double)(bits_at(1, 12 * i + k) >> 11) * 0x1p-53;
    return (float)sum;
}

bool quant_random_init(struct quant_random *r, enum dtype t, float mean, float sigma, uint64_t seed)
{
    *r = (struct quant_random){ .type = t, .seed = bits_at(seed, 0) };
    if (is_float(t)) {
        for (unsigned i = 0; i < QUANT_RANDOM_VALUES; i++) {
            float f = mean + sigma * normal(i);
            if (t == DT_F32) memcpy(&r->value[i], &f, 4);
            else r->value[i] = t == DT_F16 ? f32_to_f16(f) : f32_to_bf16(f);
        }
        return true;
    }
    if (!place[t].kind) return false;
    set_scale(r, 1);
    set_scale(r, (float)(sigma / spread(r)));
    return true;
}

/* ---- blocks ---- */

static void put_values(const struct quant_random *r, uint64_t first, size_t n, uint8_t *dst)
{
    size_t bytes = dtype_info(r->type)->block_bytes;
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++, dst += bytes) {
        uint64_t at = first + i;
        if (i == 0 || at % 4 == 0) v = bits_at(r->seed, at / 4) >> 16 * (at % 4);
        uint32_t x = r->value[v % QUANT_RANDOM_VALUES];
        v >>= 16;
        if (bytes == 4) memcpy(dst, &x, 4);
        else store16(dst, (uint16_t)x);
    }
}

void quant_random_blocks(const struct quant_random *r, uint64_t first, size_t n, uint8_t *dst)
{
    if (is_float(r->type)) {
        put_values(r, first, n, dst);
        return;
    }
    size_t bytes = dtype_info(r->type)->block_bytes, words = (bytes + 7) / 8;
    for (size_t i = 0; i < n; i++, dst += bytes) {
        for (size_t k = 0; k < words; k++) {
            uint64_t v = bits_at(r->seed, (first + i) * words + k);
            if (8 * k + 8 <= bytes) memcpy(dst + 8 * k, &v, 8);
            else memcpy(dst + 8 * k, &v, bytes - 8 * k);
        }
        /* Two bits hold -1, 0, 1 and a code that is none of them. */
        for (size_t k = 0; r->type == DT_TQ2_0 && k < 64; k++) dst[k] ^= (uint8_t)((dst[k] & dst[k] >> 1 & 0x55) << 1);
        for (unsigned k = 0; k < r->n_set; k++) {
            uint8_t *b = dst + r->set[k].at;
            *b = (uint8_t)((*b & r->set[k].keep) | r->set[k].bits);
        }
    }
}
