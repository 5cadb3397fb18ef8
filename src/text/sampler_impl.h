/* sampler_impl.h - what the files of the sampler share; nobody else includes it.
 *
 *   sampler.c       opening, biases, the pick              sampler_filter.c   steps that leave tokens out
 *   sampler_order.c names and order of the steps           sampler_infill.c   the one for fill-in-the-middle
 *   sampler_shape.c steps that change logits, the draws    sampler_repeat.c   penalties and DRY */
#ifndef HEARTH_TEXT_SAMPLER_IMPL_H
#define HEARTH_TEXT_SAMPLER_IMPL_H

#include <float.h>

#include "base/buf.h"
#include "text/order.h"
#include "text/sampler.h"

enum sampler_step {
    STEP_PENALTIES, STEP_DRY, STEP_TOP_N_SIGMA, STEP_TOP_K, STEP_TOP_A, STEP_TFS, STEP_TYPICAL, STEP_TOP_P, STEP_MIN_P, STEP_XTC,
    STEP_TEMPERATURE, STEP_SMOOTHING, STEP_INFILL, N_STEP
};

/* What is carried from one pick to the next. */
struct sampler_memory { double mu, sum, weight; size_t at; };     /* at: the position + 1, in the ring */
enum { MEMORY_RING = 2048 };

/* A set of ids with a number each, emptied at the cost of what is in it. */
struct tally {
    int32_t *of;             /* [n_vocab] 0: not in the set */
    int32_t *id;             /* [cap] */
    size_t n;
};

struct dry {
    struct tally longest;    /* by token: the longest repeat that it would go on with */
    int32_t *same;           /* [window] */
    size_t window;
    uint8_t *flag;           /* [n_vocab] DRY_... ; NULL: no breakers */
    char *breaker[SAMPLER_MAX_BREAKERS];
    size_t n_breakers;
    struct buf piece;        /* text of one token; has room for the longest */
};

struct sampler {
    struct sampler_options o;
    struct sampler_vocab v;
    enum sampler_step step[N_STEP];      /* those that do something, in order */
    size_t n_step;
    bool greedy, plain;      /* temperature 0; and no step can leave out the best token */

    struct { int32_t *id; float *bias; uint32_t *slot; size_t n, cap; } bias;     /* slot: [n_vocab] place + 1 in the list */
    size_t gone;             /* tokens that were cut out of the text; places below are counted as if they were there */
    struct { size_t *at; int32_t *id; size_t n, cap; } forbidden;        /* by position */
    int32_t *end;            /* [n_end] tokens that end a generation */
    size_t n_end, end_from;
    struct sampler_mask mask;

    struct tally seen;       /* times in the window of the penalties */
    struct dry dry;
    struct sampler_memory memory, *ring;     /* ring: [MEMORY_RING] memory before the pick at a position */

    const float *from;       /* [n_vocab] logits while there is no list: z or the caller's */
    bool listed;
    float *z;                /* [n_vocab] logits after what has been done so far */
    double *w;               /* [n_vocab] weights of the candidates, by id */
    double sum;              /* of the weights */
    double *p;               /* [n_vocab] adaptive-p: shares before its own weights; else NULL */
    struct order c;          /* the candidates */
};

/* ---- sampler.c ---- */

/* Candidates: every token that is possible.  Nothing to do when there is a list. */
void sampler_list(struct sampler *s);
/* The k best, without a list of all where there is none yet. */
void sampler_list_top(struct sampler *s, size_t k);
/* Keys for changed logits of the candidates. */
void sampler_rekey(struct sampler *s);
/* Logits that may be changed by id. */
float *sampler_logits(struct sampler *s);

/* NaN becomes -infinity and +infinity the largest number. */
static inline float sampler_usable(double z)
{
    return z > FLT_MAX ? FLT_MAX : z >= -FLT_MAX ? (float)z : -__builtin_inff();
}

/* ---- sampler_order.c ---- */
int sampler_order(struct sampler *s, struct err *err);

/* ---- sampler_shape.c ---- */
/* w = exp(z - max) of each candidate; there is one. */
void sampler_weigh(struct sampler *s);
void sampler_temperature(struct sampler *s);
void sampler_smoothing(struct sampler *s);
int32_t sampler_draw(struct sampler *s, size_t position);
/* What mirostat begins with, and adaptive-p. */
struct sampler_memory sampler_memory_first(const struct sampler_options *o);

/* ---- sampler_filter.c ---- */
size_t sampler_min_keep(const struct sampler *s);
void sampler_cut(struct sampler *s, size_t n);       /* keeps the first n */
void sampler_top_n_sigma(struct sampler *s);
void sampler_top_a(struct sampler *s);
void sampler_tfs(struct sampler *s);
void sampler_typical(struct sampler *s);
void sampler_top_p(struct sampler *s);
void sampler_min_p(struct sampler *s);
void sampler_xtc(struct sampler *s, size_t position);

/* ---- sampler_repeat.c ---- */
int  sampler_repeat_open(struct sampler *s, struct err *err);
void sampler_repeat_close(struct sampler *s);
void sampler_penalties(struct sampler *s, const struct sampler_input *in);
void sampler_dry(struct sampler *s, const struct sampler_input *in);

/* ---- sampler_infill.c ---- */
void sampler_infill(struct sampler *s);

#endif
