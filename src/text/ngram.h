/* ngram.h - guesses how a text goes on from what it says itself: what followed the last tokens when they were there before.
 *
 * Threads: one per object. */
#ifndef HEARTH_TEXT_NGRAM_H
#define HEARTH_TEXT_NGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NGRAM = 2, NGRAM_TABLE = 1 << 15, NGRAM_MAX_MATCH = 16 };

struct ngram {
    int32_t *last;           /* [NGRAM_TABLE] the last place where a pair of this hash ended, + 1; 0: none */
    int32_t *before;         /* [cap] by place: the one before of the same hash, + 1; always an earlier place */
    size_t n, cap;           /* places that are in the tables */
};
/* Places up to `cap` can be learned.  False when out of memory. */
bool ngram_open(struct ngram *g, size_t cap);
void ngram_close(struct ngram *g);

/* Learns the text up to ids[n); what was learned of a longer or other text from n on is forgotten. */
void ngram_learn(struct ngram *g, const int32_t *ids, size_t n);
/* Where the learned text was most like its end: the place that followed, *match the tokens that agreed (NGRAM to
 * NGRAM_MAX_MATCH).  0: nowhere. */
size_t ngram_find(const struct ngram *g, const int32_t *ids, size_t *match);

#endif
