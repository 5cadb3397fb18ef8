/* Many tokens (NEON with the dot product): [columns / 4][4 rows][4]; the four columns of each step are picked by lane from one
 * load of 16 columns of activations. */
#include "kernel/matmul/neon.h"

enum { LANE_ROWS = 4, LANE_TOKENS = 1, GROUP_STEPS = 4 };
enum { TILE = 4, COLUMNS = TILE / LANE_TOKENS, VECS = 8 / LANE_ROWS, PARTS = PANEL_ROWS / LANE_ROWS };

#define MATMUL(name) matmul_##name##_neon

INLINE void put_group(int8x16_t (*out)[PARTS], int part, const int8x16_t *row)
{
    int32x4_t a = vreinterpretq_s32_s8(row[0]), b = vreinterpretq_s32_s8(row[1]);
    int32x4_t c = vreinterpretq_s32_s8(row[2]), d = vreinterpretq_s32_s8(row[3]);
    int8x16_t ab0 = vreinterpretq_s8_s32(vtrn1q_s32(a, b)), ab1 = vreinterpretq_s8_s32(vtrn2q_s32(a, b));
    int8x16_t cd0 = vreinterpretq_s8_s32(vtrn1q_s32(c, d)), cd1 = vreinterpretq_s8_s32(vtrn2q_s32(c, d));
    out[0][part] = low_halves(ab0, cd0);
    out[1][part] = low_halves(ab1, cd1);
    out[2][part] = high_halves(ab0, cd0);
    out[3][part] = high_halves(ab1, cd1);
}

struct tokens { const struct act_block *a[COLUMNS]; };

INLINE void gather(const struct act_block *const *a, int n, struct tokens *to)
{
    UNROLL for (int t = 0; t < n; t++) to->a[t] = a[t];
}

INLINE void group(const int8x16_t (*code)[PARTS], int v0, const struct tokens *of, int n, int j, int32x4_t (*dot)[VECS])
{
    int8x16_t x[COLUMNS];
    UNROLL for (int t = 0; t < n; t++) x[t] = vld1q_s8(of->a[t]->q + ACT_GROUP * j);
    UNROLL for (int v = 0; v < VECS; v++) {
        const int8x16_t w0 = code[4 * j][v0 + v], w1 = code[4 * j + 1][v0 + v];
        const int8x16_t w2 = code[4 * j + 2][v0 + v], w3 = code[4 * j + 3][v0 + v];
        UNROLL for (int t = 0; t < n; t++) dot[t][v] = vdotq_laneq_s32(vdupq_n_s32(0), w0, x[t], 0);
        UNROLL for (int t = 0; t < n; t++) dot[t][v] = vdotq_laneq_s32(dot[t][v], w1, x[t], 1);
        UNROLL for (int t = 0; t < n; t++) dot[t][v] = vdotq_laneq_s32(dot[t][v], w2, x[t], 2);
        UNROLL for (int t = 0; t < n; t++) dot[t][v] = vdotq_laneq_s32(dot[t][v], w3, x[t], 3);
    }
}

INLINE int32x4_t of_tokens(const struct tokens *of, int t, int j) { return vdupq_n_s32(of->a[t]->s[j]); }

INLINE void by_token(float32x4_t (*sum)[VECS], int n, float32x4_t (*out)[2])
{
    UNROLL for (int t = 0; t < n; t++) UNROLL for (int v = 0; v < VECS; v++) out[t][v] = sum[t][v];
}

#include "kernel/matmul/panel_neon.inc"
