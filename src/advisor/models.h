/* models.h - well-known models: what they are good for, their shapes, and how large they are as they are usually fetched.
 *
 * A shape says how many parameters there are, how many of them one token is multiplied with, and what a token costs in the KV
 * cache; it is enough to judge a model that is not here.  Threads: pure functions. */
#ifndef HEARTH_ADVISOR_MODELS_H
#define HEARTH_ADVISOR_MODELS_H

#include "advisor/forecast.h"

struct shape {
    uint32_t L, D, H, K, E, F, V;          /* layers, width, heads, key/value heads, head width, feed-forward width, vocabulary */
    uint32_t experts, used, Fe;            /* 0: dense */
    uint32_t shared, dense;                /* width of what every token meets beside them; layers without experts */
    uint32_t latent, rope, q_latent;       /* of latent attention: width kept of keys and values; rotated; of queries */
    uint32_t window, every;                /* all layers but each so many-th look back only so far; 0: none */
    bool tied;                             /* the embedding is the output matrix, too */
};

enum { USE_GENERAL = 1, USE_CODING = 2, USE_SMALL = 4, USE_VISION = 8, USE_EMBEDDING = 16 };

struct known_model {
    const char *name;                      /* what hearth pull takes */
    const char *title, *licence;
    unsigned use;
    unsigned rank;                         /* among those of a use: the larger, the better */
    double gb;                             /* 1e9 bytes of its files */
    struct shape shape;
};
const struct known_model *known_model_at(size_t i);      /* NULL past the end */

double   shape_parameters(const struct shape *s);
double   shape_active(const struct shape *s);            /* that one token is multiplied with */
/* Bytes of keys and values of a text of n_ctx tokens in 16-bit floats. */
double   shape_kv(const struct shape *s, uint32_t n_ctx);
/* What it needs when its weights are so large in all. */
struct shape_load { double weight_bytes; uint32_t n_ctx, n_prompt, n_sessions; bool encoder; };
void shape_load(struct load *out, const struct shape *s, const struct shape_load *o);

#endif
