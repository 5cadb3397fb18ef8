/* Many tokens (NEON with the dot product): signed codes [columns / 4][16 rows][4]; tiles of 8 rows and 4 tokens, the four columns
 * of each step picked by lane from one load of 16 columns of activations. */
#include "kernel/matmul/neon.h"

enum { TILE = 4, QUADS = ACT_COLS / 4, VECS = 2, PARTS = PANEL_ROWS / 4 };     /* VECS registers of 4 rows in a tile */

struct panel_super {
    int8x16_t code[QUADS][PARTS];
    int32_t sc[ACT_GROUPS][PANEL_ROWS];
    int32_t mn[ACT_GROUPS][PANEL_ROWS];
    float d[PANEL_ROWS], dmin[PANEL_ROWS];
};
struct panel_block {
    int8x16_t code[QUADS][PARTS];
    float d[BLOCKS][PANEL_ROWS];
    float add[BLOCKS][PANEL_ROWS];
};

struct panel_fine {
    int8x16_t code[QUADS][PARTS];
    float d[ACT_GROUPS][PANEL_ROWS];
};

/* Four rows of 16 columns become four steps of 4 columns. */
INLINE void put_group(int8x16_t (*out)[PARTS], int part, const int8x16_t *row)
{
    int32x4_t a = vreinterpretq_s32_s8(row[0]), b = vreinterpretq_s32_s8(row[1]);
    int32x4_t c = vreinterpretq_s32_s8(row[2]), d = vreinterpretq_s32_s8(row[3]);
    int64x2_t ab0 = vreinterpretq_s64_s32(vtrn1q_s32(a, b)), ab1 = vreinterpretq_s64_s32(vtrn2q_s32(a, b));
    int64x2_t cd0 = vreinterpretq_s64_s32(vtrn1q_s32(c, d)), cd1 = vreinterpretq_s64_s32(vtrn2q_s32(c, d));
    out[0][part] = vreinterpretq_s8_s64(vtrn1q_s64(ab0, cd0));
    out[1][part] = vreinterpretq_s8_s64(vtrn1q_s64(ab1, cd1));
    out[2][part] = vreinterpretq_s8_s64(vtrn2q_s64(ab0, cd0));
    out[3][part] = vreinterpretq_s8_s64(vtrn2q_s64(ab1, cd1));
}

typedef void read_fn(const uint8_t *w, int8x16_t *code);

INLINE void put_rows(int8x16_t (*out)[PARTS], const uint8_t *const *rows, read_fn *read)
{
    for (int part = 0; part < PARTS; part++) {
        int8x16_t code[4][ACT_GROUPS];
        for (int i = 0; i < 4; i++) read(rows[4 * part + i], code[i]);
        for (int g = 0; g < ACT_GROUPS; g++) {
            int8x16_t row[4] = { code[0][g], code[1][g], code[2][g], code[3][g] };
            put_group(out + 4 * g, part, row);
        }
    }
}

static void fill_q4_k(void *panel, const uint8_t *const *rows)
{
    struct panel_super *p = panel;
    put_rows(p->code, rows, neon_q4_k);
    for (int r = 0; r < PANEL_ROWS; r++) {
        uint64_t scales, mins;
        q4_k_scales(rows[r] + 4, &scales, &mins);
        for (int i = 0; i < BLOCKS; i++) {
            p->sc[2 * i][r] = p->sc[2 * i + 1][r] = (int32_t)(scales >> 8 * i & 63);
            p->mn[2 * i][r] = p->mn[2 * i + 1][r] = (int32_t)(mins >> 8 * i & 63);
        }
        p->d[r] = half_at(rows[r]);
        p->dmin[r] = half_at(rows[r] + 2);
    }
}

static void fill_q6_k(void *panel, const uint8_t *const *rows)
{
    struct panel_super *p = panel;
    put_rows(p->code, rows, neon_q6_k);
    for (int r = 0; r < PANEL_ROWS; r++) {
        for (int j = 0; j < ACT_GROUPS; j++) p->sc[j][r] = (int8_t)rows[r][192 + j];
        p->d[r] = half_at(rows[r] + 208);
    }
}

INLINE void fill_block(struct panel_block *p, const uint8_t *const *rows, read_fn *read, size_t bytes)
{
    put_rows(p->code, rows, read);
    for (int r = 0; r < PANEL_ROWS; r++)
        for (size_t b = 0; b < BLOCKS; b++) p->d[b][r] = half_at(rows[r] + bytes * b);
}

static void fill_q8_0(void *panel, const uint8_t *const *rows) { fill_block(panel, rows, neon_q8_0, Q8_0_BYTES); }
static void fill_q4_0(void *panel, const uint8_t *const *rows) { fill_block(panel, rows, neon_q4_0, Q4_0_BYTES); }

/* Types made from codes.h: four rows at a time. */
INLINE void put_codes(int8x16_t (*out)[PARTS], int part, const struct weight_codes *w)
{
    for (int g = 0; g < ACT_GROUPS; g++) {
        int8x16_t row[4];
        UNROLL for (int i = 0; i < 4; i++) row[i] = vld1q_s8(w[i].code + ACT_GROUP * g);
        put_group(out + 4 * g, part, row);
    }
}

INLINE void fill_super_codes(struct panel_super *p, const uint8_t *const *rows, codes_fn *codes, enum family family)
{
    for (int part = 0; part < PARTS; part++) {
        struct weight_codes w[4];
        for (int i = 0; i < 4; i++) {
            int r = 4 * part + i;
            codes(rows[r], &w[i]);
            for (int g = 0; g < ACT_GROUPS; g++) {
                p->sc[g][r] = w[i].sc[g];
                if (family == SUPER_MIN) p->mn[g][r] = w[i].mn[g];
            }
            p->d[r] = w[i].d;
            if (family == SUPER_MIN) p->dmin[r] = w[i].dmin;
        }
        put_codes(p->code, part, w);
    }
}

/* Four rows of a panel. */
INLINE void put_block(struct panel_block *p, int part, const struct weight_codes *w, enum family family)
{
    for (int i = 0; i < 4; i++)
        for (int b = 0; b < BLOCKS; b++) {
            p->d[b][4 * part + i] = w[i].scale[b];
            if (family == BLOCK_ADD) p->add[b][4 * part + i] = w[i].add[b];
        }
    put_codes(p->code, part, w);
}

INLINE void put_fine(struct panel_fine *p, int part, const struct weight_codes *w)
{
    for (int i = 0; i < 4; i++)
        for (int g = 0; g < ACT_GROUPS; g++) p->d[g][4 * part + i] = w[i].scale[g];
    put_codes(p->code, part, w);
}

INLINE void fill_block_codes(void *p, const uint8_t *const *rows, codes_fn *codes, enum family family)
{
    for (int part = 0; part < PARTS; part++) {
        struct weight_codes w[4];
        for (int i = 0; i < 4; i++) codes(rows[4 * part + i], &w[i]);
        if (family == FINE) put_fine(p, part, w);
        else put_block(p, part, w, family);
    }
}

INLINE void fill_split(void *p, const struct split *s, size_t r, size_t k, split_rows_fn *read, enum family family)
{
    for (int part = 0; part < PARTS; part += 2) {
        struct weight_codes w[8];
        size_t at = r + 4 * (size_t)part;
        read(s, at < s->rows ? at : s->rows - 1, k, w);
        for (int i = 0; i < 2; i++) {
            if (family == FINE) put_fine(p, part + i, w + 4 * i);
            else put_block(p, part + i, w + 4 * i, family);
        }
    }
}

/* dot[t][v]: 16 columns of 8 rows. */
INLINE void group(const int8x16_t (*code)[PARTS], int v0, const struct act_block *const *a, int nt, int j,
                  int32x4_t (*dot)[VECS])
{
    int8x16_t x[TILE];
    UNROLL for (int t = 0; t < nt; t++) x[t] = vld1q_s8(a[t]->q + ACT_GROUP * j);
    UNROLL for (int v = 0; v < VECS; v++) {
        const int8x16_t w0 = code[4 * j][v0 + v], w1 = code[4 * j + 1][v0 + v];
        const int8x16_t w2 = code[4 * j + 2][v0 + v], w3 = code[4 * j + 3][v0 + v];
        UNROLL for (int t = 0; t < nt; t++) dot[t][v] = vdotq_laneq_s32(vdupq_n_s32(0), w0, x[t], 0);
        UNROLL for (int t = 0; t < nt; t++) dot[t][v] = vdotq_laneq_s32(dot[t][v], w1, x[t], 1);
        UNROLL for (int t = 0; t < nt; t++) dot[t][v] = vdotq_laneq_s32(dot[t][v], w2, x[t], 2);
        UNROLL for (int t = 0; t < nt; t++) dot[t][v] = vdotq_laneq_s32(dot[t][v], w3, x[t], 3);
    }
}

INLINE void store(float *acc, float da, float32x4_t value)
{
    vst1q_f32(acc, vfmaq_n_f32(vld1q_f32(acc), value, da));
}

INLINE void half_super(const struct panel_super *w, int v0, const struct act_block *const *a, int nt, bool mins, float *acc)
{
    int32x4_t isum[TILE][VECS];
    UNROLL for (int t = 0; t < nt; t++) UNROLL for (int v = 0; v < VECS; v++) isum[t][v] = vdupq_n_s32(0);
    for (int j = 0; j < ACT_GROUPS; j++) {
        int32x4_t dot[TILE][VECS];
        group(w->code, v0, a, nt, j, dot);
        UNROLL for (int v = 0; v < VECS; v++) {
            int32x4_t sc = vld1q_s32(w->sc[j] + 4 * (v0 + v));
            UNROLL for (int t = 0; t < nt; t++) isum[t][v] = vmlaq_s32(isum[t][v], vmulq_n_s32(dot[t][v], a[t]->s[j]), sc);
        }
    }
    UNROLL for (int t = 0; t < nt; t++) {
        UNROLL for (int v = 0; v < VECS; v++) {
            int at = 4 * (v0 + v);
            float32x4_t value = vmulq_f32(vld1q_f32(w->d + at), vcvtq_f32_s32(isum[t][v]));
            if (mins) {
                int32x4_t msum = vdupq_n_s32(0);
                UNROLL for (int i = 0; i < ACT_GROUPS; i++)
                    msum = vmlaq_n_s32(msum, vld1q_s32(w->mn[i] + at), a[t]->z.z16[i]);
                value = vfmsq_f32(value, vld1q_f32(w->dmin + at), vcvtq_f32_s32(msum));
            }
            store(acc + PANEL_ROWS * t + at, a[t]->d, value);
        }
    }
}

INLINE void half_block(const struct panel_block *w, int v0, const struct act_block *const *a, int nt, bool add, float *acc)
{
    float32x4_t value[TILE][VECS];
    UNROLL for (int t = 0; t < nt; t++) UNROLL for (int v = 0; v < VECS; v++) value[t][v] = vdupq_n_f32(0.0f);
    for (int b = 0; b < BLOCKS; b++) {
        int32x4_t even[TILE][VECS], odd[TILE][VECS];
        group(w->code, v0, a, nt, 2 * b, even);
        UNROLL for (int t = 0; t < nt; t++)
            UNROLL for (int v = 0; v < VECS; v++) even[t][v] = vmulq_n_s32(even[t][v], a[t]->s[2 * b]);
        group(w->code, v0, a, nt, 2 * b + 1, odd);
        UNROLL for (int v = 0; v < VECS; v++) {
            float32x4_t d = vld1q_f32(w->d[b] + 4 * (v0 + v));
            UNROLL for (int t = 0; t < nt; t++) {
                float32x4_t f = vcvtq_f32_s32(vmlaq_n_s32(even[t][v], odd[t][v], a[t]->s[2 * b + 1]));
                value[t][v] = b ? vfmaq_f32(value[t][v], d, f) : vmulq_f32(d, f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int v = 0; v < VECS; v++) {
            int at = 4 * (v0 + v);
            for (int b = 0; add && b < BLOCKS; b++)
                value[t][v] = vfmaq_n_f32(value[t][v], vld1q_f32(w->add[b] + at), (float)a[t]->z.pair[b]);
            store(acc + PANEL_ROWS * t + at, a[t]->d, value[t][v]);
        }
}

INLINE void half_fine(const struct panel_fine *w, int v0, const struct act_block *const *a, int nt, float *acc)
{
    float32x4_t value[TILE][VECS];
    for (int j = 0; j < ACT_GROUPS; j++) {
        int32x4_t dot[TILE][VECS];
        group(w->code, v0, a, nt, j, dot);
        UNROLL for (int v = 0; v < VECS; v++) {
            float32x4_t d = vld1q_f32(w->d[j] + 4 * (v0 + v));
            UNROLL for (int t = 0; t < nt; t++) {
                float32x4_t f = vcvtq_f32_s32(vmulq_n_s32(dot[t][v], a[t]->s[j]));
                value[t][v] = j ? vfmaq_f32(value[t][v], d, f) : vmulq_f32(d, f);
            }
        }
    }
    UNROLL for (int t = 0; t < nt; t++)
        UNROLL for (int v = 0; v < VECS; v++) store(acc + PANEL_ROWS * t + 4 * (v0 + v), a[t]->d, value[t][v]);
}

INLINE void tile(const void *p, const struct tile *c, size_t at, int nt, enum family family)
{
    const struct act_block *a[TILE];
    float *acc = c->acc + PANEL_ROWS * at;
    UNROLL for (int t = 0; t < nt; t++) a[t] = c->a[at + (size_t)t] + c->s;
    for (int v0 = 0; v0 < PARTS; v0 += VECS) {
        ask(c->x);
        if (family == FINE) half_fine(p, v0, a, nt, acc);
        else if (family <= BLOCK_ADD) half_block(p, v0, a, nt, family == BLOCK_ADD, acc);
        else half_super(p, v0, a, nt, family == SUPER_MIN, acc);
    }
}

#define MULTIPLY(family)                                                                                            \
    static void multiply_##family(const void *p, const struct act_block *const *a, size_t s, size_t T, float *acc,  \
                                  struct ahead *x)                                                                  \
    {                                                                                                               \
        const struct tile c = { a, s, acc, x };                                                                     \
        size_t t = 0;                                                                                               \
        ahead_steps(x, (T + TILE - 1) / TILE * (PARTS / VECS));                                                     \
        for (; t + TILE <= T; t += TILE) tile(p, &c, t, TILE, family);                                              \
        for (; t < T; t++) tile(p, &c, t, 1, family);                                                               \
    }
MULTIPLY(BLOCK)
MULTIPLY(BLOCK_ADD)
MULTIPLY(FINE)
MULTIPLY(SUPER)
MULTIPLY(SUPER_MIN)

#define PANEL_OF_BLOCK     panel_block
#define PANEL_OF_BLOCK_ADD panel_block
#define PANEL_OF_FINE      panel_fine
#define PANEL_OF_SUPER     panel_super
#define PANEL_OF_SUPER_MIN panel_super
#define FILL_OF_BLOCK     fill_block_codes
#define FILL_OF_BLOCK_ADD fill_block_codes
#define FILL_OF_FINE      fill_block_codes
#define FILL_OF_SUPER     fill_super_codes
#define FILL_OF_SUPER_MIN fill_super_codes

#define PANEL_KERNEL(name, bytes, family)                                                                           \
    static const struct panel_type panel_##name = {                                                                 \
        bytes, sizeof(struct PANEL_OF_##family), fill_##name, multiply_##family, NULL };                            \
    static size_t scratch_##name(const struct matmul *m, size_t T)                                                  \
    {                                                                                                               \
        (void)m;                                                                                                    \
        return panel_scratch_bytes(&panel_##name, T);                                                                 \
    }                                                                                                               \
    static void rows_##name(const struct matmul_job *j, size_t r0, size_t r1)                                       \
    {                                                                                                               \
        if (j->T < PANEL_MIN_T) dot_##name##_neon(j, r0, r1);                                                       \
        else panel_rows(j, r0, r1, &panel_##name);                                                                  \
    }                                                                                                               \
    const struct matmul_kernel matmul_##name##_neon = { FAMILY_FORM(family), scratch_##name, rows_##name };

PANEL_KERNEL(q8_0, BLOCKS * Q8_0_BYTES, BLOCK)
PANEL_KERNEL(q4_0, BLOCKS * Q4_0_BYTES, BLOCK)
PANEL_KERNEL(q4_k, Q4_K_BYTES, SUPER_MIN)
PANEL_KERNEL(q6_k, Q6_K_BYTES, SUPER)

#define INT_TYPE(name, type, bytes, family, top, offset)                                      \
    static void fill_##name(void *panel, const uint8_t *const *rows)                    \
    {                                                                                   \
        FILL_OF_##family(panel, rows, codes_##name, family);                            \
    }                                                                                   \
    PANEL_KERNEL(name, bytes, family)
#include "kernel/matmul/int_types.inc"

/* Codes and scales that lie apart. */
#define SPLIT_KERNEL(name, family, few)                                                                             \
    static void fill_##name(void *panel, const struct split *s, size_t r, size_t k)                                 \
    {                                                                                                               \
        fill_split(panel, s, r, k, read_##name, family);                                                            \
    }                                                                                                               \
    static const struct panel_type panel_##name = {                                                                 \
        0, sizeof(struct PANEL_OF_##family), NULL, multiply_##family, fill_##name };                                \
    static size_t scratch_##name(const struct matmul *m, size_t T)                                                  \
    {                                                                                                               \
        (void)m;                                                                                                    \
        return panel_scratch_bytes(&panel_##name, T);                                                               \
    }                                                                                                               \
    static void rows_##name(const struct matmul_job *j, size_t r0, size_t r1)                                       \
    {                                                                                                               \
        few;                                                                                                        \
        panel_rows(j, r0, r1, &panel_##name);                                                                       \
    }                                                                                                               \
    const struct matmul_kernel matmul_##name##_neon = { FAMILY_FORM(family), scratch_##name, rows_##name };
#define SPLIT_INT(name, type, family, top, offset)                                                                  \
    static void read_##name(const struct split *s, size_t r, size_t k, struct weight_codes *o)                      \
    {                                                                                                               \
        split_rows_of(split_codes_##name, s, r, k, o);                                                              \
    }                                                                                                               \
    SPLIT_KERNEL(name, family, if (j->T < PANEL_MIN_T) { dot_##name##_neon(j, r0, r1); return; })
#define SPLIT_COLUMNS(name, type, family, top, offset)                                                              \
    static void read_##name(const struct split *s, size_t r, size_t k, struct weight_codes *o)                      \
    {                                                                                                               \
        split_rows_columns(s, r, k, o);                                                                             \
    }                                                                                                               \
    SPLIT_KERNEL(name, family, (void)0)
#include "kernel/matmul/split_ints.inc"
