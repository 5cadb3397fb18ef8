/* Many tokens (NEON with the matrix product): [columns / 8][2 rows][8]; one instruction multiplies 8 columns of two rows with
 * those of two tokens, twice what the dot product does. */
#include "kernel/matmul/neon.h"

enum { LANE_ROWS = 2, LANE_TOKENS = 2, GROUP_STEPS = 2 };
enum { TILE = 4, COLUMNS = TILE / LANE_TOKENS, VECS = 8 / LANE_ROWS, PARTS = PANEL_ROWS / LANE_ROWS };

#define MATMUL(name) matmul_##name##_i8mm

INLINE void put_group(int8x16_t (*out)[PARTS], int part, const int8x16_t *row)
{
    UNROLL for (int i = 0; i < 2; i++) {
        out[0][2 * part + i] = low_halves(row[2 * i], row[2 * i + 1]);
        out[1][2 * part + i] = high_halves(row[2 * i], row[2 * i + 1]);
    }
}

/* Columns of two tokens side by side, made once for the 16 rows of a panel. */
struct tokens {
    int8x16_t q[ACT_GROUPS][COLUMNS][GROUP_STEPS];
    int32x4_t s[ACT_GROUPS][COLUMNS];
};

INLINE void gather(const struct act_block *const *a, int n, struct tokens *to)
{
    UNROLL for (int t = 0; t < n; t++) {
        const struct act_block *p = a[2 * t], *q = a[2 * t + 1];
        for (int j = 0; j < ACT_GROUPS; j++) {
            int8x16_t u = vld1q_s8(p->q + ACT_GROUP * j), v = vld1q_s8(q->q + ACT_GROUP * j);
            to->q[j][t][0] = low_halves(u, v);
            to->q[j][t][1] = high_halves(u, v);
        }
        for (int j = 0; j < ACT_GROUPS; j += 2) {
            int32x2_t u = vld1_s32(p->s + j), v = vld1_s32(q->s + j);
            to->s[j][t] = vcombine_s32(vdup_lane_s32(u, 0), vdup_lane_s32(v, 0));
            to->s[j + 1][t] = vcombine_s32(vdup_lane_s32(u, 1), vdup_lane_s32(v, 1));
        }
    }
}

INLINE void group(const int8x16_t (*code)[PARTS], int v0, const struct tokens *of, int n, int j, int32x4_t (*dot)[VECS])
{
    UNROLL for (int v = 0; v < VECS; v++) {
        const int8x16_t w0 = code[2 * j][v0 + v], w1 = code[2 * j + 1][v0 + v];
        UNROLL for (int t = 0; t < n; t++) dot[t][v] = vmmlaq_s32(vdupq_n_s32(0), of->q[j][t][0], w0);
        UNROLL for (int t = 0; t < n; t++) dot[t][v] = vmmlaq_s32(dot[t][v], of->q[j][t][1], w1);
    }
}

INLINE int32x4_t of_tokens(const struct tokens *of, int t, int j) { return of->s[j][t]; }

INLINE void by_token(float32x4_t (*sum)[VECS], int n, float32x4_t (*out)[2])
{
    UNROLL for (int t = 0; t < n; t++)
        UNROLL for (int h = 0; h < 2; h++) {
            int8x16_t p = vreinterpretq_s8_f32(sum[t][2 * h]), q = vreinterpretq_s8_f32(sum[t][2 * h + 1]);
            out[2 * t][h] = vreinterpretq_f32_s8(low_halves(p, q));
            out[2 * t + 1][h] = vreinterpretq_f32_s8(high_halves(p, q));
        }
}

#include "kernel/matmul/panel_neon.inc"
