/* Float weights in integers (NEON).  Many tokens: codes [256 columns][16 rows], tiles of 8 rows and 4 tokens, a column of the
 * activations picked by lane. */
#include "kernel/matmul/neon.h"
#include "kernel/matmul/wide.h"

enum { TILE = 4, VECS = 2, PARTS = PANEL_ROWS / 4 };

struct panel_wide {
    int16_t code[ACT_COLS][PANEL_ROWS];
    float d[WIDE_GROUPS][PANEL_ROWS];
};

/* 2^e */
INLINE float power(int e)
{
    uint32_t u = (uint32_t)(e + 127) << 23;
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

INLINE void put_codes(const float32x4_t *v, int e, int16_t *q)
{
    UNROLL for (int i = 0; i < 8; i++)
        vst1_s16(q + 4 * i, vmovn_s32(vcvtnq_s32_f32(vmulq_n_f32(v[i], power(WIDE_BITS - e)))));
}

static void pack_group(const float *x, struct act_wide *out, size_t g)
{
    float32x4_t v[8], top = vdupq_n_f32(0);
    UNROLL for (int i = 0; i < 8; i++) {
        v[i] = vld1q_f32(x + 4 * i);
        v[i] = vreinterpretq_f32_u32(vandq_u32(vreinterpretq_u32_f32(v[i]), vceqq_f32(v[i], v[i])));
        v[i] = vmaxq_f32(vminq_f32(v[i], vdupq_n_f32(WIDE_TOP)), vdupq_n_f32(-WIDE_TOP));
        top = vmaxq_f32(top, vabsq_f32(v[i]));
    }
    int e = (int)(vmaxvq_u32(vreinterpretq_u32_f32(top)) >> 23) - 127;
    if (e < WIDE_LEAST) e = WIDE_LEAST;
    out->e[g] = (e - WIDE_BITS) * (1 << 23);
    out->d[g] = power(e - WIDE_BITS);
    put_codes(v, e, out->q + WIDE_GROUP * g);
}

void wide_pack_neon(const float *x, struct act_wide *out, size_t K)
{
    for (; K >= ACT_COLS; K -= ACT_COLS, x += ACT_COLS, out++)
        for (size_t g = 0; g < WIDE_GROUPS; g++) pack_group(x + WIDE_GROUP * g, out, g);
    if (!K) return;
    float last[ACT_COLS] = { 0 };
    memcpy(last, x, K * sizeof *x);
    for (size_t g = 0; g < WIDE_GROUPS; g++) pack_group(last + WIDE_GROUP * g, out, g);
}

/* Codes and scale of 32 weights. */
INLINE float group_codes(const uint8_t *w, enum dtype type, int16_t *q)
{
    const int least = type == DT_F16 ? -14 : WIDE_LEAST, most = type == DT_F16 ? 15 : WIDE_MOST;
    const int bias = type == DT_F16 ? 15 : 127, bits = type == DT_F16 ? 10 : 7;
    uint16x8_t h[4], top = vdupq_n_u16(0);
    float32x4_t v[8];
    UNROLL for (int i = 0; i < 4; i++) {
        h[i] = vreinterpretq_u16_u8(vld1q_u8(w + 16 * i));
        top = vmaxq_u16(top, vandq_u16(h[i], vdupq_n_u16(0x7fff)));
    }
    int e = (vmaxvq_u16(top) >> bits) - bias;
    const uint16x8_t keep = vdupq_n_u16(e > most ? 0 : 0xffff);
    e = e > most ? 0 : e < least ? least : e;
    UNROLL for (int i = 0; i < 4; i++) {
        uint16x8_t u = vandq_u16(h[i], keep);
        if (type == DT_F16) {
            v[2 * i] = vcvt_f32_f16(vreinterpret_f16_u16(vget_low_u16(u)));
            v[2 * i + 1] = vcvt_f32_f16(vreinterpret_f16_u16(vget_high_u16(u)));
        } else {
            v[2 * i] = vreinterpretq_f32_u32(vshll_n_u16(vget_low_u16(u), 16));
            v[2 * i + 1] = vreinterpretq_f32_u32(vshll_n_u16(vget_high_u16(u), 16));
        }
    }
    put_codes(v, e, q);
    return power(e - WIDE_BITS);
}

/* ---- few tokens --------------------------------------------------------------------------------------------------------- */

/* factor: of the scales, or NULL. */
INLINE void wide_step(const uint8_t *w, enum dtype type, const float *factor, const struct act_wide *const *a, size_t s, int nt,
                      float *acc)
{
    float t[2] = { 0 };
    for (int g = 0; g < WIDE_GROUPS; g++) {
        int16_t q[WIDE_GROUP];
        float d = group_codes(w + 2 * WIDE_GROUP * g, type, q) * (factor ? factor[g] : 1);
        UNROLL for (int k = 0; k < nt; k++) {
            const struct act_wide *x = a[k] + s;
            int32x4_t sum = vdupq_n_s32(0);
            UNROLL for (int i = 0; i < 4; i++) {
                int16x8_t u = vld1q_s16(q + 8 * i), v = vld1q_s16(x->q + WIDE_GROUP * g + 8 * i);
                sum = vmlal_high_s16(vmlal_s16(sum, vget_low_s16(u), vget_low_s16(v)), u, v);
            }
            float f = (float)vaddvq_s32(sum), dx = d * x->d[g];
            t[k] = g ? fmaf(dx, f, t[k]) : dx * f;
        }
    }
    UNROLL for (int k = 0; k < nt; k++) acc[k] += t[k];
}

INLINE void wide_dot(const struct matmul_job *j, size_t r, size_t t0, int nt, enum dtype type)
{
    const struct matmul *m = j->m;
    const size_t n = m->K / ACT_COLS;
    const uint8_t *row = m->w + r * m->row_bytes;
    const struct act_wide *a[2];
    float acc[2] = { 0 };
    UNROLL for (int t = 0; t < nt; t++) a[t] = job_in(j, t0 + (size_t)t);
    for (size_t s = 0; type == DT_F8_E4M3 && s * ACT_COLS < m->K; s++) {
        uint16_t half[ACT_COLS];
        float factor[WIDE_GROUPS];
        split_halves(split_of(m), r, s, half, factor);
        wide_step((const uint8_t *)half, DT_F16, factor, a, s, nt, acc);
    }
    for (size_t s = 0; type != DT_F8_E4M3 && s < n; s++) wide_step(row + s * WIDE_BYTES, type, NULL, a, s, nt, acc);
    if (type != DT_F8_E4M3 && n * ACT_COLS < m->K) {
        uint8_t tail[WIDE_BYTES];
        row_tail(tail, row, m->row_bytes, n * WIDE_BYTES, WIDE_BYTES);
        wide_step(tail, type, NULL, a, n, nt, acc);
    }
    UNROLL for (int t = 0; t < nt; t++) job_out(j, t0 + (size_t)t)[r] = acc[t];
}

/* ---- many tokens ---------------------------------------------------------------------------------------------------------- */

INLINE void fill(struct panel_wide *p, const uint8_t *const *rows, enum dtype type, float (*factor)[WIDE_GROUPS])
{
    for (int r = 0; r < PANEL_ROWS; r++)
        for (int g = 0; g < WIDE_GROUPS; g++) {
            int16_t q[WIDE_GROUP];
            p->d[g][r] = group_codes(rows[r] + 2 * WIDE_GROUP * g, type, q) * (factor ? factor[r][g] : 1);
            for (int i = 0; i < WIDE_GROUP; i++) p->code[WIDE_GROUP * g + i][r] = q[i];
        }
}

/* sum[t][v] += column `at + lane` of 8 rows. */
#define COLUMN(lane)                                                                                                \
    do {                                                                                                            \
        int16x8_t u = vld1q_s16(w->code[at + (lane)] + 4 * v0);                                                     \
        UNROLL for (int t = 0; t < nt; t++) {                                                                       \
            sum[t][0] = vmlal_laneq_s16(sum[t][0], vget_low_s16(u), x[t], lane);                                    \
            sum[t][1] = vmlal_high_laneq_s16(sum[t][1], u, x[t], lane);                                             \
        }                                                                                                           \
    } while (0)

INLINE void half_tile(const struct panel_wide *w, const struct act_wide *const *a, int v0, int nt, float *acc)
{
    float32x4_t value[TILE][VECS];
    for (int g = 0; g < WIDE_GROUPS; g++) {
        int32x4_t sum[TILE][VECS];
        UNROLL for (int t = 0; t < nt; t++) sum[t][0] = sum[t][1] = vdupq_n_s32(0);
        for (int at = WIDE_GROUP * g; at < WIDE_GROUP * (g + 1); at += 8) {
            int16x8_t x[TILE];
            UNROLL for (int t = 0; t < nt; t++) x[t] = vld1q_s16(a[t]->q + at);
            COLUMN(0);
            COLUMN(1);
            COLUMN(2);
            COLUMN(3);
            COLUMN(4);
            COLUMN(5);
            COLUMN(6);
            COLUMN(7);
        }
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int v = 0; v < VECS; v++) {
                float32x4_t d = vmulq_n_f32(vld1q_f32(w->d[g] + 4 * (v0 + v)), a[t]->d[g]), f = vcvtq_f32_s32(sum[t][v]);
                value[t][v] = g ? vfmaq_f32(value[t][v], d, f) : vmulq_f32(d, f);
            }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int v = 0; v < VECS; v++) {
            float *y = acc + PANEL_ROWS * t + 4 * (v0 + v);
            vst1q_f32(y, vaddq_f32(vld1q_f32(y), value[t][v]));
        }
}

INLINE void tile(const struct panel_wide *w, const struct tile *c, int nt)
{
    const struct act_wide *a[TILE];
    UNROLL for (int t = 0; t < nt; t++) a[t] = (const struct act_wide *)(const void *)c->a[t] + c->s;
    for (int v0 = 0; v0 < PARTS; v0 += VECS) {
        ask(c->x);
        half_tile(w, a, v0, nt, c->acc);
    }
}

#define SUFFIX neon
#include "kernel/matmul/wide_panel.inc"
