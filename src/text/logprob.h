/* logprob.h - the logarithms of the probabilities that logits mean, before any sampler.
 * Threads: pure functions. */
#ifndef HEARTH_TEXT_LOGPROB_H
#define HEARTH_TEXT_LOGPROB_H

#include <stddef.h>
#include <stdint.h>

#include "text/sampler.h"

/* ln softmax at id, and at the n likeliest tokens, the likeliest first, ties to the smaller id.  Logits that are not numbers
 * count as in sampler.h.  *n becomes how many have a probability; a token without one has -INFINITY. */
float logprob(const float *logits, int32_t n_vocab, int32_t id, struct sampler_choice *out, size_t *n);

#endif
