/* speculate.h - guesses of the next tokens, and whether they pay: for one text (hearth_speculator_draft), or for all that an
 * engine writes in one step (sched_guess.c), which look for guesses first and then share what a step can check among them.
 *
 * Threads: one per object. */
#ifndef HEARTH_ENGINE_SPECULATE_H
#define HEARTH_ENGINE_SPECULATE_H

#include "engine/engine.h"

/* How long the steps of so many answers take, by the guesses that they check beside. */
struct pace {
    double step_ns;                             /* without any; 0: not seen */
    double cost[HEARTH_MAX_DRAFT + 1];          /* with k of them, in steps without; 0: not seen */
};
void pace_learn(struct pace *p, uint32_t k, double ns);
/* Measured, or between its measured neighbours, or a high guess. */
double pace_cost(const struct pace *p, uint32_t n_answers, uint32_t k);

/* Guesses that one answer could have. */
struct offer {
    double right;                               /* chance of each, when those before it are right */
    double each;                                /* steps that it takes to make one */
    uint32_t least, most;                       /* at least so many are checked, whatever they cost; at most */
};
/* How many guesses each of n offers gets, of `most` together: k[n], such that n_answers get the most tokens for their time, and a
 * tenth more than without guesses. */
void offers_share(const struct pace *p, uint32_t n_answers, const struct offer *o, uint32_t n, uint32_t most, uint32_t *k);

/* For the text of s, which is borrowed: its model, its sequence and its adapters are looked at.  n_draft: as of
 * hearth_speculator_open. */
int  speculator_new(struct hearth_speculator **out, struct hearth_session *s, uint32_t limit, uint32_t n_draft, struct err *err);
/* Whether d's tokens are m's. */
int  speculator_fits(const struct hearth_model *m, const struct hearth_model *d, struct err *err);
void speculator_draft_with(struct hearth_speculator *p, struct hearth_session *draft);
/* What it has for the text, by itself and by the other model; most 0: nothing.  step_ns: what a step takes without guesses. */
void speculator_look(struct hearth_speculator *p, const int32_t *ids, size_t n, uint32_t most, struct offer *out);
void speculator_look_further(struct hearth_speculator *p, uint32_t n, uint32_t most, double step_ns, struct offer *out);
/* The same by the model's head, whose guesses take `each` steps (0: not known; < 0: nor what a step takes, so that there is
 * nothing to compare with).  After speculator_look. */
void speculator_look_ahead(struct hearth_speculator *p, const int32_t *ids, size_t n, uint32_t most, double each,
                           struct offer *out);
/* The better of the two for one answer: true: that of the head. */
bool offer_of_head(const struct offer *text, const struct offer *head);
/* Asks the head for a[i].k tokens behind each text, of different sequences of one model, all in common steps; a[i].made of them
 * come, fewer when there are no pages.  rows: [n][n_vocab].  *ns becomes what a step of it takes. */
struct ahead { struct hearth_speculator *p; const int32_t *ids; uint32_t n, k, made; int32_t *out; };
void speculators_ask(struct ahead *a, uint32_t n, float *rows, double *ns);
/* The first k of what was looked for last; returns how many there are. */
size_t speculator_take(struct hearth_speculator *p, const int32_t *ids, size_t n, uint32_t k, int32_t *out);

#endif
