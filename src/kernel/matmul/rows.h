/* rows.h - how the integer kernels walk rows and tokens; private to kernel/matmul.
 *
 * Few tokens ("dot"): each row of W is read once in address order.
 * Many tokens ("panel"): PANEL_ROWS rows of one super-block are unpacked into scratch and multiplied with up to
 * PANEL_TOKENS activation rows.  So that these stay in the second cache, only as many columns as fit there are taken at a
 * time, by a group of blocks of rows whose float sums stay there, too. */
#ifndef HEARTH_KERNEL_MATMUL_ROWS_H
#define HEARTH_KERNEL_MATMUL_ROWS_H

#include <stdbool.h>

#include "kernel/matmul/act.h"
#include "kernel/matmul/kernel.h"
#include "kernel/matmul/simd.h"

/* How the scales of a type work (codes.h). */
enum family { BLOCK, BLOCK_ADD, FINE, SUPER, SUPER_MIN };
#define FAMILY_FORM(family) ((family) <= FINE ? ACT_Q32 : ACT_Q256)

#ifndef PANEL_WIDTH
#define PANEL_WIDTH 16                    /* an instruction set may take 32 rows at once */
#endif
#ifndef PANEL_FROM
#define PANEL_FROM 4                      /* so many tokens, or one fewer where that pays */
#endif
enum { PANEL_ROWS = PANEL_WIDTH, PANEL_TOKENS = 512, PANEL_MIN_T = PANEL_FROM };
enum { GROUP_ROWS = 128, NEAR_BYTES = 400 << 10 };

/* Rows [r0, r1) against 1 or 2 tokens from t. */
typedef void dot_fn(const struct matmul_job *j, size_t r0, size_t r1, size_t t);

/* The second pair of tokens finds the row in the cache. */
INLINE void dot_rows(const struct matmul_job *j, size_t r0, size_t r1, dot_fn *one, dot_fn *two)
{
    const size_t step = j->T <= 2 ? r1 - r0 : 1;
    for (size_t r = r0; r < r1; r += step) {
        size_t t = 0;
        for (; j->T - t >= 2; t += 2) two(j, r, r + step, t);
        if (t < j->T) one(j, r, r + step, t);
    }
}

/* The last, shorter super-block of a row, filled up with blocks of zeros. */
INLINE void row_tail(uint8_t *tail, const uint8_t *row, size_t row_bytes, size_t from, size_t n)
{
    size_t have = row_bytes - from;
    memcpy(tail, row + from, have);
    memset(tail + have, 0, n - have);
}

/* Bytes that will be wanted next: from at to end, then those of the rows.  They are asked for in small steps all along the
 * multiplication: memory answers a burst no faster, and what waits behind a burst waits long.  cold: so are the activations,
 * nobody has read these columns lately. */
struct ahead {
    const uint8_t *at, *end;
    size_t step;
    bool cold;
    const uint8_t *const *row;
    size_t rows, bytes;                     /* of each row */
};

INLINE void ahead_steps(struct ahead *x, size_t n)
{
    size_t bytes = (size_t)(x->end - x->at) + x->rows * (x->bytes + 63);
    x->step = (bytes / n + 63) / 64 * 64;
}

INLINE void ask(struct ahead *x)
{
    if (x->at >= x->end) {
        if (!x->rows) return;
        x->at = *x->row++;
        x->end = x->at + x->bytes;
        x->at -= (uintptr_t)x->at % 64;
        x->rows--;
    }
    for (size_t i = 0; i < x->step; i += 64) __builtin_prefetch(x->at + i, 0, 2);
    x->at += x->step;
}

/* PANEL_ROWS rows of super-block s to panel; row[i] points at the block of row i. */
typedef void panel_unpack_fn(void *panel, const uint8_t *const *row);
/* The same from row r of a matrix whose codes and scales lie apart; rows past the last are any. */
typedef void panel_split_fn(void *panel, const struct split *w, size_t r, size_t s);
/* acc[t][PANEL_ROWS] += panel . a[t][s] */
typedef void panel_multiply_fn(const void *panel, const struct act_block *const *a, size_t s, size_t T, float *acc,
                               struct ahead *x);

/* Tokens of a multiplication that keep their sums in registers: rows of activations, super-block, results [nt][PANEL_ROWS]. */
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
    panel_split_fn *split;     /* of SPLIT types, instead of unpack; super_bytes is 0 then, as are row_bytes of the matrix */
};

enum { TAIL_BYTES = 2 * ACT_COLS };         /* the largest: 16 bits for each column */

struct panel_scratch {
    const struct act_block *a[PANEL_TOKENS];
    uint8_t tail[PANEL_ROWS][TAIL_BYTES];
    _Alignas(64) uint8_t panel[];             /* and after panel_bytes: float acc[block of the group][T][PANEL_ROWS] */
};

INLINE size_t panel_scratch_bytes(const struct panel_type *p, size_t T)
{
    if (T < PANEL_MIN_T && !p->split) return 0;
    if (T > PANEL_TOKENS) T = PANEL_TOKENS;
    return sizeof(struct panel_scratch) + p->panel_bytes + GROUP_ROWS * T * sizeof(float);
}

/* Rows [r, r + rows) of a matrix at super-block s; rows past the last repeat it. */
INLINE void block_rows(const struct matmul *m, size_t r, size_t rows, size_t at, const uint8_t **row)
{
    for (size_t i = 0; i < PANEL_ROWS; i++) row[i] = m->w + (r + (i < rows ? i : rows - 1)) * m->row_bytes + at;
}

INLINE size_t at_most(size_t n, size_t most) { return n < most ? n : most; }

/* What the rows that come next have of codes, where rows lie one after the other. */
INLINE const uint8_t *split_next_rows(const struct split *s, size_t r, size_t n, size_t *bytes)
{
    const bool columns = s->type == DT_AWQ4 || s->type == DT_GPTQ4 || s->type == DT_GPTQ8;
    *bytes = columns ? 0 : n * s->code_row;
    return columns ? s->code : s->code + r * s->code_row;
}

/* T tokens from t0 against the rows before end, span super-blocks at a time. */
struct panel_pass { const struct matmul_job *j; const struct panel_type *type; size_t t0, T, end, span, n; };

/* One block of rows, the super-blocks [s0, s1) of it, and where the block that comes next begins. */
struct panel_part { size_t r, rows, s0, s1, next_r, next_s; };

INLINE void panel_part(const struct panel_pass *c, const struct panel_part *b, float *acc, struct ahead *x)
{
    const struct matmul *m = c->j->m;
    const struct panel_type *p = c->type;
    struct panel_scratch *sc = c->j->scratch;
    const size_t whole = m->K / ACT_COLS, n = b->s1 - b->s0, ahead = (size_t)(x->end - x->at);
    const bool apart = c->span < c->n;
    const uint8_t *row[PANEL_ROWS], *from = x->at, *end = m->w + m->R * m->row_bytes;
    block_rows(m, b->r, b->rows, b->s0 * p->super_bytes, row);
    for (size_t s = b->s0; s < b->s1; s++) {
        for (size_t i = 0; s == whole && i < PANEL_ROWS; i++) {
            row_tail(sc->tail[i], row[i] - whole * p->super_bytes, m->row_bytes, whole * p->super_bytes, p->super_bytes);
            row[i] = sc->tail[i];
        }
        if (p->split) p->split(sc->panel, split_of(m), b->r, s);
        else p->unpack(sc->panel, row);
        if (s + 1 < b->s1)
            for (size_t i = 0; i < PANEL_ROWS; i++) row[i] += p->super_bytes;
        else
            block_rows(m, b->next_r, at_most(c->end - b->next_r, PANEL_ROWS), b->next_s * p->super_bytes, row);
        for (size_t i = 0; !apart && i < PANEL_ROWS; i++)
            for (size_t at = 0; at < p->super_bytes && row[i] + at < end; at += 64) __builtin_prefetch(row[i] + at, 0, 3);
        struct ahead part = { from + ahead * (s - b->s0) / n, from + ahead * (s + 1 - b->s0) / n, 0, x->cold,
                              row, apart && p->super_bytes ? PANEL_ROWS : 0, p->super_bytes };
        p->multiply(sc->panel, sc->a, s, c->T, acc, &part);
    }
}

/* Token by token: its results lie together. */
INLINE void panel_store(const struct panel_pass *c, size_t g, size_t end, const float *acc)
{
    for (size_t t = 0; t < c->T; t++, acc += PANEL_ROWS) {
        float *y = job_out(c->j, c->t0 + t);
        const float *from = acc;
        for (size_t r = g; r < end; r += PANEL_ROWS, from += c->T * PANEL_ROWS) {
            const size_t rows = at_most(end - r, PANEL_ROWS);
            if (rows == PANEL_ROWS) memcpy(y + r, from, PANEL_ROWS * sizeof *y);      /* known length: no call */
            else memcpy(y + r, from, rows * sizeof *y);
        }
    }
}

/* Rows [g, end), at most GROUP_ROWS. */
INLINE void panel_group(const struct panel_pass *c, size_t g, size_t end)
{
    const struct matmul *m = c->j->m;
    struct panel_scratch *sc = c->j->scratch;
    float *acc = (float *)(void *)(sc->panel + c->type->panel_bytes);
    memset(acc, 0, (end - g + PANEL_ROWS - 1) / PANEL_ROWS * PANEL_ROWS * c->T * sizeof *acc);
    for (size_t s = 0; s < c->n; s += c->span)
        for (size_t r = g; r < end; r += PANEL_ROWS) {
            const size_t rows = at_most(end - r, PANEL_ROWS), left = c->end - r - rows;
            struct panel_part b = { r, rows, s, at_most(s + c->span, c->n), r + rows, s };
            if (b.next_r == end && b.s1 < c->n) b.next_r = g, b.next_s = b.s1;
            else if (b.next_r == end) b.next_s = 0;
            if (b.next_r == c->end) b.next_r = r;
            /* Where a block takes all columns at once, what comes next lies behind it. */
            const uint8_t *next = m->w + (r + rows) * m->row_bytes;
            size_t bytes = c->span < c->n ? 0 : at_most(left, PANEL_ROWS) * m->row_bytes;
            if (c->type->split && c->span == c->n)
                next = split_next_rows(split_of(m), r + rows, at_most(left, PANEL_ROWS), &bytes);
            struct ahead x = { next, next + bytes, 0, r == g, NULL, 0, 0 };
            panel_part(c, &b, acc + (r - g) * c->T, &x);
        }
    panel_store(c, g, end, acc);
}

INLINE void panel_rows(const struct matmul_job *j, size_t r0, size_t r1, const struct panel_type *p)
{
    struct panel_scratch *sc = j->scratch;
    const size_t n = (j->m->K + ACT_COLS - 1) / ACT_COLS;
    for (size_t t0 = 0; t0 < j->T; t0 += PANEL_TOKENS) {
        size_t T = at_most(j->T - t0, PANEL_TOKENS);
        struct panel_pass c = { j, p, t0, T, r1, at_most(n, NEAR_BYTES / (T * sizeof(struct act_block))), n };
        for (size_t t = 0; t < T; t++) sc->a[t] = job_in(j, t0 + t);
        for (size_t g = r0; g < r1; g += GROUP_ROWS) panel_group(&c, g, at_most(r1, g + GROUP_ROWS));
    }
}

#endif
