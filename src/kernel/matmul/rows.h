/* rows.h - how the integer kernels walk rows and tokens; private to kernel/matmul.
 *
 * Few tokens ("dot"): each row of W is read once in address order.
 * Many tokens ("panel"): 16 rows of one super-block are unpacked into scratch, multiplied with up to PANEL_TOKENS activation
 * rows whose float accumulators stay in the cache, then the next super-block follows. */
#ifndef HEARTH_KERNEL_MATMUL_ROWS_H
#define HEARTH_KERNEL_MATMUL_ROWS_H

#include "kernel/matmul/act.h"
#include "kernel/matmul/kernel.h"
#include "kernel/matmul/simd.h"

/* How the scales of a type work (codes.h). */
enum family { BLOCK, BLOCK_ADD, SUPER, SUPER_MIN };
#define FAMILY_FORM(family) ((family) <= BLOCK_ADD ? ACT_Q32 : ACT_Q256)

enum { PANEL_ROWS = 16, PANEL_TOKENS = 256, PANEL_MIN_T = 4 };

/* Row r against 1 or 2 tokens from t. */
typedef void dot_fn(const struct matmul_job *j, size_t r, size_t t);

/* The second pair of tokens finds the row in the cache. */
INLINE void dot_rows(const struct matmul_job *j, size_t r0, size_t r1, dot_fn *one, dot_fn *two)
{
    for (size_t r = r0; r < r1; r++) {
        size_t t = 0;
        for (; j->T - t >= 2; t += 2) two(j, r, t);
        if (t < j->T) one(j, r, t);
    }
}

/* The last, shorter super-block of a row, filled up with blocks of zeros. */
INLINE void row_tail(uint8_t *tail, const uint8_t *row, size_t row_bytes, size_t from, size_t n)
{
    size_t have = row_bytes - from;
    memcpy(tail, row + from, have);
    memset(tail + have, 0, n - have);
}

/* Bytes that will be wanted next.  They are asked for in small steps all along the multiplication: memory answers a burst no
 * faster, and what waits behind a burst waits long. */
struct ahead { const uint8_t *at, *end; size_t step; };

INLINE void ahead_steps(struct ahead *x, size_t n) { x->step = ((size_t)(x->end - x->at) / n + 63) / 64 * 64; }

INLINE void ask(struct ahead *x)
{
    if (x->at >= x->end) return;
    for (size_t i = 0; i < x->step; i += 64) __builtin_prefetch(x->at + i, 0, 2);
    x->at += x->step;
}

/* 16 rows of super-block s to panel; row[i] points at the block of row i. */
typedef void panel_unpack_fn(void *panel, const uint8_t *const *row);
/* acc[t][16] += panel . a[t][s] */
typedef void panel_multiply_fn(const void *panel, const struct act_block *const *a, size_t s, size_t T, float *acc,
                               struct ahead *x);

/* Tokens of a multiplication that keep their sums in registers: rows of activations, the super-block, results [nt][16]. */
struct tile {
    const struct act_block *const *a;
    size_t s;
    float *acc;
    struct ahead *x;
};

struct panel_type {
    size_t super_bytes;        /* of 256 columns */
    size_t panel_bytes;        /* a multiple of 64 */
    panel_unpack_fn *unpack;
    panel_multiply_fn *multiply;
};

enum { TAIL_BYTES = BLOCKS * Q8_0_BYTES };

struct panel_scratch {
    const struct act_block *a[PANEL_TOKENS];
    float acc[PANEL_TOKENS * PANEL_ROWS];
    uint8_t tail[PANEL_ROWS][TAIL_BYTES];
    _Alignas(64) uint8_t panel[];
};

INLINE size_t panel_scratch_bytes(const struct panel_type *p)
{
    return sizeof(struct panel_scratch) + p->panel_bytes;
}

/* Rows [r, r + rows) against the tokens of sc->a; rows past the last repeat it and are not stored. */
INLINE void panel_block(const struct matmul_job *j, const struct panel_type *p, size_t r, size_t rows, size_t T, size_t next)
{
    const struct matmul *m = j->m;
    struct panel_scratch *sc = j->scratch;
    const size_t whole = m->K / ACT_COLS, n = (m->K + ACT_COLS - 1) / ACT_COLS;
    const uint8_t *row[PANEL_ROWS];
    for (size_t i = 0; i < PANEL_ROWS; i++) {
        row[i] = m->w + (r + (i < rows ? i : rows - 1)) * m->row_bytes;
        if (n > whole) row_tail(sc->tail[i], row[i], m->row_bytes, whole * p->super_bytes, p->super_bytes);
    }
    const uint8_t *after = m->w + (r + rows) * m->row_bytes;
    memset(sc->acc, 0, T * PANEL_ROWS * sizeof(float));
    for (size_t s = 0; s < n; s++) {
        if (s == whole)
            for (size_t i = 0; i < PANEL_ROWS; i++) row[i] = sc->tail[i];
        p->unpack(sc->panel, row);
        for (size_t i = 0; i < PANEL_ROWS; i++) {
            row[i] += p->super_bytes;
            for (size_t b = 0; b < p->super_bytes; b += 64) __builtin_prefetch(row[i] + b, 0, 3);
        }
        struct ahead x = { after + next * m->row_bytes * s / n, after + next * m->row_bytes * (s + 1) / n, 0 };
        p->multiply(sc->panel, sc->a, s, T, sc->acc, &x);
    }
}

INLINE void panel_rows(const struct matmul_job *j, size_t r0, size_t r1, const struct panel_type *p)
{
    struct panel_scratch *sc = j->scratch;
    for (size_t t0 = 0; t0 < j->T; t0 += PANEL_TOKENS) {
        size_t T = j->T - t0 < PANEL_TOKENS ? j->T - t0 : PANEL_TOKENS;
        for (size_t t = 0; t < T; t++) sc->a[t] = job_in(j, t0 + t);
        for (size_t r = r0; r < r1; r += PANEL_ROWS) {
            size_t rows = r1 - r < PANEL_ROWS ? r1 - r : PANEL_ROWS, left = r1 - r - rows;
            panel_block(j, p, r, rows, T, left < PANEL_ROWS ? left : PANEL_ROWS);
            for (size_t t = 0; t < T; t++) {
                const float *acc = sc->acc + t * PANEL_ROWS;
                float *y = job_out(j, t0 + t) + r;
                if (rows == PANEL_ROWS) memcpy(y, acc, PANEL_ROWS * sizeof *y);      /* known length: no call */
                else memcpy(y, acc, rows * sizeof *y);
            }
        }
    }
}

#endif
