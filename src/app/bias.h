/* bias.h - what the user says about single tokens: "15043=2.5", "hello=-inf", "15043+1", "15043-1", "word=false".
 * Threads: one per sampler. */
#ifndef HEARTH_APP_BIAS_H
#define HEARTH_APP_BIAS_H

#include "hearth.h"

/* A number is an id; any other text biases each of its tokens.  HEARTH_EARG says what is wrong. */
int bias_add(struct hearth_sampler *s, const struct hearth_model *m, const char *text, struct hearth_error *e);

#endif
