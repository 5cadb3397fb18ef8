/* attn.h - the layout of attention's scratch memory (shared by attn.inc and attn_scratch). */
#ifndef HEARTH_KERNEL_VEC_ATTN_H
#define HEARTH_KERNEL_VEC_ATTN_H

#include "kernel/vec/vec.h"

/* Rows: the G query heads of one kv head at each query position; padded to whole vectors with zeros. */
struct attn_work {
    float *q;                 /* [rows][dk16] */
    float *s;                 /* [rows][ATTN_PAGE] scores, then exp(score - m), of one chunk */
    float *o;                 /* [rows][dv16] sum of exp(score - m) v */
    float *m, *l;             /* [rows] running maximum; sum of exp(score - m) */
    size_t G, rows, dk16, dv16;
};

/* Places w's arrays at `at` (NULL: only counts) for as many query positions as attn takes; returns the number of floats. */
static inline size_t attn_layout(struct attn_work *w, float *at, uint32_t n_head, uint32_t n_kv, uint32_t dk, uint32_t dv)
{
    w->G = n_head / n_kv;
    w->rows = w->G * attn_queries(n_head, n_kv);
    w->dk16 = ((size_t)dk + 15) / 16 * 16;
    w->dv16 = ((size_t)dv + 15) / 16 * 16;
    size_t r16 = (w->rows + 15) / 16 * 16;
    size_t size[] = { w->rows * w->dk16, w->rows * ATTN_PAGE, w->rows * w->dv16, r16, r16 };
    float **to[] = { &w->q, &w->s, &w->o, &w->m, &w->l };
    size_t n = 0;
    for (size_t i = 0; i < sizeof size / sizeof *size; i++) {
        *to[i] = at ? at + n : NULL;
        n += size[i];
    }
    return n;
}

#endif
