/* sampler.h - picks the next token from logits.
 *
 * Order: logit bias, penalties, top-k, typical, top-p, min-p, temperature, draw.  temperature <= 0 is greedy: the
 * largest logit, ties to the smaller id.  Random numbers are a function of (seed, position) only, so a draw does not
 * depend on what was drawn before or by whom.  Formulas: spec of the field's standard samplers, see docs/sampling.md.
 * Threads: one per sampler. */
#ifndef HEARTH_TEXT_SAMPLER_H
#define HEARTH_TEXT_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct sampler_options {
    float temperature;          /* 0.8; <= 0: greedy */
    int32_t top_k;              /* 40; <= 0: off */
    float top_p;                /* 0.95; >= 1: off */
    float min_p;                /* 0.05; <= 0: off */
    float typical_p;            /* 1; >= 1: off */
    float repeat_penalty;       /* 1: off */
    float frequency_penalty;    /* 0: off */
    float presence_penalty;     /* 0: off */
    int32_t repeat_last_n;      /* 64 tokens, prompt included; 0: off, -1: all */
    int32_t min_keep;           /* 0; the filters keep at least this many */
    uint64_t seed;
};
/* The defaults above, seed 0. */
struct sampler_options sampler_defaults(void);

struct sampler;
/* n_vocab: ids >= n_vocab are never picked (rows that pad the output matrix).  ERR_ARG names a value out of range. */
int  sampler_open(struct sampler **out, const struct sampler_options *o, int32_t n_vocab, struct err *err);
void sampler_close(struct sampler *s);

/* id can never be picked (suppressed tokens) or is more (less) likely by `bias` added to its logit; -INFINITY bans. */
int sampler_bias(struct sampler *s, int32_t id, float bias, struct err *err);

/* Tells that id is now part of the text (prompt tokens and picked tokens). */
void sampler_accept(struct sampler *s, int32_t id);
void sampler_reset(struct sampler *s);                      /* forgets the accepted tokens */

/* The next token.  logits[n] with n >= n_vocab, unchanged; position: index of the token to come in its sequence, the counter of
 * the random numbers.  NaN logits count as -infinity; allocates nothing. */
int32_t sampler_pick(struct sampler *s, const float *logits, uint64_t position);

#endif
