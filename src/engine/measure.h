/* measure.h - how well a model predicts a text, and how far another one is from it.
 *
 * The text is cut into chunks of n_ctx tokens.  Each is evaluated on its own, beginning with BOS where the model wants one (in
 * the place of its first token), and every prediction from its middle on is scored: those have at least half a chunk before them.
 * This is the definition that published numbers of GGUF models use.  The result is the same bits for any number of threads.
 * Threads: one call at a time per model. */
#ifndef HEARTH_ENGINE_MEASURE_H
#define HEARTH_ENGINE_MEASURE_H

#include "hearth.h"

struct measure_options {
    uint32_t n_ctx;                /* tokens of a chunk, at least 8 */
    uint32_t max_chunks;           /* 0: all */
    int kv_type, kv_type_v;        /* HEARTH_KV_* */
    bool bos;                      /* chunks begin with BOS */
    struct hearth_model *base;     /* the model to compare with, or NULL */
    /* After each chunk; false stops (HEARTH_ECANCELLED).  May be NULL. */
    bool (*progress)(void *arg, uint32_t done, uint32_t total, double perplexity);
    void *arg;
};

/* A mean over the scored tokens and its standard error. */
struct measure_mean { double mean, error; };

struct measure {
    uint32_t chunks;
    uint64_t n;                                /* tokens scored */
    struct measure_mean nll, base_nll;         /* minus the logarithm of the probability of the token that came */
    double perplexity, perplexity_error, base_perplexity;
    struct measure_mean kl;                    /* of this model's distribution from the base's, in nats */
    double kl_max, same_top;                   /* same_top: part of the tokens on which both have the same most likely one */
};

/* HEARTH_EARG when the text is shorter than one chunk, or the vocabularies have other sizes. */
int measure_text(struct hearth_model *m, const int32_t *ids, size_t n, const struct measure_options *o, struct measure *out,
                 struct hearth_error *e);

/* Evaluates the same chunks for somebody who observes m (engine_observe); *chunks is their number. */
int measure_observed(struct hearth_model *m, const int32_t *ids, size_t n, const struct measure_options *o, uint32_t *chunks,
                     struct hearth_error *e);

#endif
