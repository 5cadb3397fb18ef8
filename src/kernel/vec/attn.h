/* attn.h - the layout of attention's scratch memory (shared by attn.inc and attn_scratch). */
#ifndef HEARTH_KERNEL_VEC_ATTN_H
#define HEARTH_KERNEL_VEC_ATTN_H

#include "kernel/vec/vec.h"

enum { ATTN_KEYS = 4 };

/* Rows: the G query heads of one kv head at each query position; padded to whole vectors with zeros. */
struct attn_work {
    float *q;                 /* [rows][dk16] */
    float *s;                 /* [rows][ATTN_PAGE] scores, then exp(score - m), of one chunk; many rows: [ATTN_PAGE][step] */
    float *o;                 /* [rows][dv16] sum of exp(score - m) v */
    float *m, *l;             /* [rows] running maximum; sum of exp(score - m) */
    float *qt, *k;            /* of many rows: their queries, with rows in lanes; some keys, [ATTN_KEYS][dk16] */
    size_t G, rows, step, dk16, dv16;
};

static inline size_t attn_step(size_t rows) { return (rows + 31) / 32 * 32; }

/* Places w's arrays at `at` (NULL: only counts) for as many query positions as attn takes; returns the number of floats. */
static inline size_t attn_layout(struct attn_work *w, float *at, uint32_t n_head, uint32_t n_kv, uint32_t dk, uint32_t dv)
{
    w->G = n_head / n_kv;
    w->rows = w->G * attn_queries(n_head, n_kv);
    w->dk16 = ((size_t)dk + 15) / 16 * 16;
    w->dv16 = ((size_t)dv + 15) / 16 * 16;
    w->step = attn_step(w->rows);
    size_t size[] = { w->rows * w->dk16, w->step * (ATTN_PAGE + ATTN_KEYS), w->rows * w->dv16, w->step, w->step,
                      w->step * w->dk16, ATTN_KEYS * w->dk16 };
    float **to[] = { &w->q, &w->s, &w->o, &w->m, &w->l, &w->qt, &w->k };
    size_t n = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *to[i] = at ? at + n : NULL;
        n += size[i];
    }
    return n;
}

#endif
