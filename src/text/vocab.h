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

/* Characters: bit c for ASCII c, but MANY for those of more than one byte and BAD for 0, 1 and bytes that are no UTF-8 when the
 * token begins with a character. */
struct vocab_set { uint64_t w[2]; };
enum { VOCAB_MANY = 0, VOCAB_BAD = 1, VOCAB_UNKNOWN = 0x7fffffff };
static inline void vocab_set_add(struct vocab_set *s, unsigned bit) { s->w[bit >> 6] |= (uint64_t)1 << (bit & 63); }
static inline bool vocab_set_within(const struct vocab_set *s, const struct vocab_set *all)
{
    return !(s->w[0] & ~all->w[0]) && !(s->w[1] & ~all->w[1]);
}
static inline bool vocab_set_has(const struct vocab_set *s, unsigned bit) { return s->w[bit >> 6] >> (bit & 63) & 1; }

struct vocab_node {
    uint32_t end, token;
    uint32_t below : 31;        /* index into set: the characters behind this node; VOCAB_UNKNOWN for small subtrees */
    uint32_t whole : 1;         /* a character ends here */
    uint8_t byte, depth;
    uint8_t chars, deepest;     /* characters begun up to here; most of them in the subtree */
};

struct vocab {
    const struct tokenizer *tokenizer;
    int32_t n_vocab;
    uint32_t n_nodes, n_order, n_sets, n_words;     /* words of 64 bits in a mask */
    struct vocab_node *node;                /* one more at the end; node[0] is the root */
    int32_t *order;                         /* ids by their bytes */
    struct vocab_set *set;                  /* of subtrees */
    struct vocab_set *of;                   /* by id: the characters of the token (BAD when it is not in the trie) ... */
    uint8_t *chars;                         /* ... and how many */
    uint32_t *at;                           /* by id: where its bytes are; at[id + 1] is their end */
    uint8_t *bytes;
    uint64_t *ends;                         /* mask of the tokens that end generation */
};

/* t is borrowed: must outlive the vocabulary.  Ids from n_vocab on do not exist. */
int  vocab_open(struct vocab **out, const struct tokenizer *t, int32_t n_vocab, struct err *err);
void vocab_close(struct vocab *v);
/* The node below `from` that spells s[n]; 0: none (or the root, for n = 0). */
uint32_t vocab_walk(const struct vocab *v, uint32_t from, const uint8_t *s, size_t n);

#endif
