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

static void pack_block(const float *x, struct act_block *b, int S)
{
    float top[ACT_GROUPS], a = 0.0f;
    memset(b, 0, sizeof *b);
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        top[j] = 0.0f;
        for (size_t i = 0; i < ACT_GROUP; i++) top[j] = fmaxf(top[j], fabsf(x[j * ACT_GROUP + i]));
        a = fmaxf(a, top[j]);
        b->s[j] = b->s8[j] = 1;
    }
    if (a < ACT_TINY) return;

    b->d = a / (float)(127 * S);
    float u = 127.0f * b->d;
    for (size_t j = 0; j < ACT_GROUPS; j++) {
        float s = fminf((float)S, fmaxf(1.0f, ceilf(top[j] / u)));
        b->s[j] = (int32_t)s;
        b->s8[act_split(j)] = (uint8_t)b->s[j];
        int32_t sum = quantize(x + j * ACT_GROUP, 1.0f / (b->d * s), b->q + j * ACT_GROUP);
        b->zero[j] = (S == ACT_S_Q32 ? -128 : -32) * sum;
        if (S == ACT_S_Q32) b->z.pair[j / 2] += b->s[j] * sum;
        else b->z.split[act_split(j)] = (int16_t)(b->s[j] * sum);
    }
}

void act_pack_ref(const float *x, struct act_block *out, size_t K, int S)
{
    for (size_t k = 0; k < K; k += ACT_COLS, out++) {
        float v[ACT_COLS] = { 0 };
        for (size_t i = 0; i < ACT_COLS && k + i < K; i++) v[i] = tame(x[k + i]);
        pack_block(v, out, S);
    }
}
