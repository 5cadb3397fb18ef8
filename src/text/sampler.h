/* sampler.h - picks the next token from logits.
 *
 * Bias, bans and a mask come first; then the steps in the order of the options (penalties, dry, top_n_sigma, top_k, top_a, tfs,
 * typical, top_p, min_p, xtc, temperature, smoothing unless they say otherwise); then a draw, or one of mirostat or adaptive-p.
 * Random numbers are a function of (seed, position) only, so a draw does not depend on what was drawn before or by whom.
 * Formulas: docs/sampling.md.
 * Threads: one per sampler. */
#ifndef HEARTH_TEXT_SAMPLER_H
#define HEARTH_TEXT_SAMPLER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"

enum { SAMPLER_MAX_WINDOW = 1 << 20, SAMPLER_MAX_BREAKERS = 64, SAMPLER_MAX_BREAKER = 64 };

struct sampler_options {
    float temperature;          /* 0.8; <= 0: greedy, the largest logit, ties to the smaller id */
    float dynatemp_range;       /* 0: off; temperature - range .. + range by entropy */
    float dynatemp_exponent;    /* 1 */
    float smoothing_factor;     /* 0: off */
    float smoothing_curve;      /* 1: a parabola */
    int32_t top_k;              /* 40; <= 0: off */
    float top_p;                /* 0.95; >= 1: off */
    float min_p;                /* 0.05; <= 0: off */
    float typical_p;            /* 1; >= 1: off */
    float top_n_sigma;          /* -1; <= 0: off */
    float top_a;                /* 0; <= 0: off */
    float tfs_z;                /* 1; >= 1 or 0: off */
    float xtc_probability;      /* 0: off */
    float xtc_threshold;        /* 0.1; > 0.5: off */
    float repeat_penalty;       /* 1: off */
    float frequency_penalty;    /* 0: off */
    float presence_penalty;     /* 0: off */
    int32_t repeat_last_n;      /* 64 tokens, prompt included; 0: off, -1: all */
    float dry_multiplier;       /* 0: off */
    float dry_base;             /* 1.75 */
    int32_t dry_allowed_length; /* 2 */
    int32_t dry_last_n;         /* 64; 0: off, -1: all */
    const char *const *dry_breakers;    /* [n_dry_breakers] strings that no repeat reaches across; need the tokenizer */
    size_t n_dry_breakers;
    int32_t mirostat;           /* 0; 1 or 2: instead of the steps that leave tokens out */
    float mirostat_tau;         /* 5 */
    float mirostat_eta;         /* 0.1 */
    float adaptive_target;      /* -1; <= 0: off */
    float adaptive_decay;       /* 0.9 */
    int32_t min_keep;           /* 0; the filters keep at least this many */
    uint64_t seed;
    const char *order;          /* NULL: all but infill, as above; names between ';', or letters */
    bool ignore_end;            /* tokens that end a generation are never picked */
};
/* The defaults above with the breakers "\n", ":", "\"" and "*", seed 0. */
struct sampler_options sampler_defaults(void);

struct sampler;
/* What the sampler knows of tokens.  ids >= n_vocab are never picked (rows that pad the output matrix).  tokenizer: borrowed;
 * NULL: no token ends a generation, and breakers and infill are unknown. */
struct sampler_vocab { int32_t n_vocab; const struct tokenizer *tokenizer; };
/* Nothing of the options is borrowed.  ERR_ARG names a value out of range. */
int  sampler_open(struct sampler **out, const struct sampler_options *o, const struct sampler_vocab *v, struct err *err);
void sampler_close(struct sampler *s);

/* id can never be picked (suppressed tokens) or is more (less) likely by `bias` added to its logit; -INFINITY bans. */
int sampler_bias(struct sampler *s, int32_t id, float bias, struct err *err);
/* Tokens that end a generation are not picked at positions before this one. */
void sampler_no_end_before(struct sampler *s, size_t position);
/* The text has been taken back to `position`, where `id` is not to be picked again as long as what is before it stays. */
int sampler_forbid(struct sampler *s, size_t position, int32_t id, struct err *err);

/* n tokens were cut out of the middle of the text: positions behind are so much smaller from now on. */
void sampler_text_cut(struct sampler *s, size_t n);

/* Restricts what may come, e.g. to a grammar.  Both are told the whole text, so that a text that was taken back needs no word.
 * NULL allows: every pick goes through apply.  Borrowed. */
struct sampler_mask {
    void *arg;
    bool (*allows)(void *arg, const int32_t *ids, size_t n, int32_t id);                   /* may id follow ids[0..n)? */
    void (*apply)(void *arg, const int32_t *ids, size_t n, float *logits, int32_t n_vocab);    /* -INFINITY for what may not */
};
void sampler_mask(struct sampler *s, const struct sampler_mask *m);    /* NULL: none */

struct sampler_input {
    const float *logits;        /* [>= n_vocab], unchanged */
    const int32_t *ids;         /* [n] the text so far; NULL: penalties and DRY see nothing */
    size_t n;                   /* the position of the token to come */
};
/* The next token; -1 when the mask leaves nothing.  NaN logits count as -infinity; allocates nothing.  A function of the input
 * and the options; with mirostat and adaptive-p also of the picks at earlier positions. */
int32_t sampler_pick(struct sampler *s, const struct sampler_input *in);

struct sampler_choice { int32_t id; float logprob; };
/* The n most likely tokens that the last pick chose among, the most likely first, and their share; returns how many. */
size_t sampler_choices(struct sampler *s, struct sampler_choice *out, size_t n);
/* ln of the probability that the last pick gave to id; -INFINITY: none. */
float sampler_logprob(const struct sampler *s, int32_t id);

#endif
