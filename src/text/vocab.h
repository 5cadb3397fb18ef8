/* vocab.h - the tokens of a tokenizer as a trie of their bytes, for matching them against a grammar.
 *
 * A preorder of nodes: a subtree is node[i] .. node[node[i].end - 1], and the tokens of a subtree are order[node[i].token ..
 * node[node[i].end].token - 1].  Control, unknown and unused tokens, and those of no or of more than 255 bytes, are not in it.
 * Which characters occur in a subtree is known, so that a grammar that takes all of them needs no look at each token.
 * Threads: immutable after open, any thread. */
#ifndef HEARTH_TEXT_VOCAB_H
#define HEARTH_TEXT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"

/* Characters by class: ASCII c is class c, all that begin with the byte 0xc0 + k are class 128 + k.  BAD: bytes that are no UTF-8
 * when the token begins with a character. */
enum { VOCAB_CLASSES = 192, VOCAB_BAD = VOCAB_CLASSES - 1, VOCAB_UNKNOWN = 0x7fffffff,
       VOCAB_NEAR = 32 };               /* characters of a token that are listed by their place */
struct vocab_set { uint64_t w[VOCAB_CLASSES / 64]; };
static inline unsigned vocab_class(uint8_t first) { return first < 0x80 ? first : 128u + (first & 0x3f); }
static inline uint8_t vocab_first(unsigned class) { return (uint8_t)(class < 128 ? class : 0xc0 + (class - 128)); }
static inline void vocab_set_add(struct vocab_set *s, unsigned bit) { s->w[bit >> 6] |= (uint64_t)1 << (bit & 63); }
static inline bool vocab_set_within(const struct vocab_set *s, const struct vocab_set *all)
{
    return !((s->w[0] & ~all->w[0]) | (s->w[1] & ~all->w[1]) | (s->w[2] & ~all->w[2]));
}
static inline bool vocab_set_has(const struct vocab_set *s, unsigned bit) { return s->w[bit >> 6] >> (bit & 63) & 1; }

struct vocab_node {
    uint32_t end, token;
    uint32_t below : 31;        /* index into set: the characters that begin behind this node; VOCAB_UNKNOWN for small subtrees */
    uint32_t whole : 1;         /* a character ends here */
    uint8_t byte, depth;
    uint8_t chars, deepest;     /* characters begun up to here; most of them in the subtree */
};

struct vocab_long { uint32_t rank, chars; struct vocab_set of; };       /* a token of more than VOCAB_NEAR characters */

struct vocab {
    const struct tokenizer *tokenizer;
    int32_t n_vocab;
    uint32_t n_nodes, n_order, n_sets, n_words;     /* words of 64 bits in a mask */
    struct vocab_node *node;                /* one more at the end; node[0] is the root */
    int32_t *order;                         /* ids by their bytes: by rank */
    struct vocab_set *set;                  /* of subtrees */
    uint64_t *text;                         /* mask of the tokens in the trie */
    uint32_t *bad, n_bad;                   /* ranks of those that have a BAD in them, ascending */
    /* Ranks of the others by the class c of their character k, ascending: place[begin[i]] up to begin[i + 1], where i is
     * k * VOCAB_CLASSES + c; and which classes there are for k. */
    uint32_t *place, *begin;
    struct vocab_set present[VOCAB_NEAR];
    uint64_t weight[VOCAB_CLASSES];         /* how often they occur */
    /* The largest subtree of the root, and what of each list is in it: place[inner[2 * i]] up to inner[2 * i + 1]. */
    uint32_t largest, *inner;
    struct vocab_long *longer;              /* and those of more characters, by rank */
    uint32_t n_longer;
    uint32_t *at;                           /* by id: where its bytes are; at[id + 1] is their end */
    uint8_t *bytes;
    uint64_t *ends;                         /* mask of the tokens that end generation */
};

/* t is borrowed: must outlive the vocabulary.  Ids from n_vocab on do not exist. */
int  vocab_open(struct vocab **out, const struct tokenizer *t, int32_t n_vocab, struct err *err);
void vocab_close(struct vocab *v);
/* The first of the ascending a up to z that is not below rank. */
static inline const uint32_t *vocab_from(const uint32_t *a, const uint32_t *z, uint32_t rank)
{
    while (a < z) {
        const uint32_t *mid = a + (z - a) / 2;
        if (*mid < rank) a = mid + 1;
        else z = mid;
    }
    return a;
}
/* The node below `from` that spells s[n]; 0: none (or the root, for n = 0). */
uint32_t vocab_walk(const struct vocab *v, uint32_t from, const uint8_t *s, size_t n);

#endif
