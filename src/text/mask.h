/* mask.h - which tokens can follow a config of a running grammar.
 *
 * Of most configs nearly every character leads to one and the same config, from there again, and so on: a chain.  The
 * characters that stay on it are plain text.  The tokens of such characters are a mask that is kept; then those are looked at
 * that leave the chain, which the vocabulary lists by place and character.  What begins otherwise, and what is quicker so, is
 * found by walking the trie.
 * Threads: one at a time. */
#ifndef HEARTH_TEXT_MASK_H
#define HEARTH_TEXT_MASK_H

#include "text/gram_run.h"
#include "text/vocab.h"

enum { MASK_BASES = 16 };

struct mask_base { struct vocab_set of; uint32_t node, used; uint64_t *bits; };

struct masks {
    struct grun *run;
    const struct vocab *v;
    uint64_t *seen;             /* tokens of the mask being made that were followed byte by byte */
    struct mask_base base[MASK_BASES];
    uint32_t clock;
};

static inline bool mask_has(const uint64_t *mask, int32_t id) { return mask[id >> 6] >> (id & 63) & 1; }
static inline void mask_put(uint64_t *mask, int32_t id) { mask[id >> 6] |= (uint64_t)1 << (id & 63); }
static inline void mask_take(uint64_t *mask, int32_t id) { mask[id >> 6] &= ~((uint64_t)1 << (id & 63)); }

/* Both are borrowed.  ERR_NOMEM; only masks_close follows. */
int  masks_open(struct masks *m, struct grun *run, const struct vocab *v);
void masks_close(struct masks *m);
/* Writes mask[v->n_words]: tokens that can follow config c, and those that end generation where the text may end.  token: the id
 * of each token symbol of the grammar.  The run's rc. */
int  masks_make(struct masks *m, uint32_t c, const int32_t *token, uint64_t *mask);

#endif
