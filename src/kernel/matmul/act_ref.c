/* The definition of the integer activations; act.h says what and why. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "kernel/matmul/act.h"

static float tame(float x)
{
    if (isnan(x)) return 0.0f;
    if (x > FLT_MAX) return FLT_MAX;
    if (x < -FLT_MAX) return -FLT_MAX;
    return x;
}

/* x[16] * v, rounded; returns their sum. */
static int32_t quantize(const float *x, float v, int8_t *q)
{
    int32_t sum = 0;
    for (size_t i = 0; i < ACT_GROUP; i++) {
        q[i] = (int8_t)lrintf(x[i] * v);
        sum += q[i];
    }
    return sum;
}

/* The error of the codes of x[16] under scale s, in units of d^2. */
static float error_of(const float *x, float d, float s)
{
    float v = 1.0f / (d * s), e[ACT_GROUP], p[8];
    for (size_t i = 0; i < ACT_GROUP; i++) {
        float y = x[i] * v;
        e[i] = y - rintf(y);
    }
    for (size_t i = 0; i < 8; i++) p[i] = fmaf(e[i + 8], e[i + 8], e[i] * e[i]);
    float lo = (p[0] + p[2]) + (p[1] + p[3]), hi = (p[4] + p[6]) + (p[5] + p[7]);
    return (lo + hi) * (s * s);
}

static float best_scale(const float *x, float d, float s)
{
    float best = s, least = error_of(x, d, s);
    for (int c = 1; c < ACT_TRIES; c++) {
        float e = error_of(x, d, s + (float)c);
        if (e < least) {
            least = e;
            best = s + (float)c;
        }
    }
    return best;
}

static void pack_block(const float *x, struct act_block *b, int S)
{
    int tight = S == ACT_S_Q32 ? S - ACT_TRIES + 1 : S;
    float top[ACT_GROUPS], a = 0.0f;
    memset(b, 0, sizeof *b);
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        top[j] = 0.0f;
        for (size_t i = 0; i < ACT_GROUP; i++) top[j] = fmaxf(top[j], fabsf(x[j * ACT_GROUP + i]));
        a = fmaxf(a, top[j]);
        b->s[j] = b->s16[j] = b->s8[j] = 1;
    }
    if (a < ACT_TINY) return;

    b->d = a / (float)(127 * tight);
    float u = 127.0f * b->d;
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        float s = fminf((float)tight, fmaxf(1.0f, ceilf(top[j] / u)));
        if (S == ACT_S_Q32) s = best_scale(x + j * ACT_GROUP, b->d, s);
        b->s[j] = (int32_t)s;
        b->s16[j] = (int16_t)s;
        b->s8[act_split(j)] = (uint8_t)b->s[j];
        int32_t sum = quantize(x + j * ACT_GROUP, 1.0f / (b->d * s), b->q + j * ACT_GROUP);
        b->zero[j] = -128 * sum;
        if (S == ACT_S_Q32) b->z.pair[j / 2] += b->s[j] * sum;
        else b->z.z16[j] = b->split[act_split(j)] = (int16_t)(b->s[j] * sum);
    }
    for (size_t c = 0; c < ACT_COLS; c++) b->pairs[act_pair_of(c)] = b->q[c];
}

void act_pack_ref(const float *x, struct act_block *out, size_t K, int S)
{
    for (size_t k = 0; k < K; k += ACT_COLS, out++) {
        float v[ACT_COLS] = { 0 };
        for (size_t i = 0; i < ACT_COLS && k + i < K; i++) v[i] = tame(x[k + i]);
        pack_block(v, out, S);
    }
}
