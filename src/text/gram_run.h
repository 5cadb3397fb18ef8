/* gram_run.h - a grammar while it runs: sets of stacks, and how bytes change them.
 *
 * A stack is a node (state, count, the node below); equal stacks are one node, so a set of stacks is an ascending list of
 * numbers, and equal sets are one config, a number too.  From a config each class of bytes leads to one other config, found
 * when first asked for and kept: in time the grammar becomes a table.  Node 0 is the bottom; a config that has it may end
 * here.  Config 0 is empty: nothing can follow and the text is no good.
 * Memory is bounded: beyond GRUN_BYTES grun_collect must be called, which keeps only the configs that it is told of.
 * Threads: one at a time. */
#ifndef HEARTH_TEXT_GRAM_RUN_H
#define HEARTH_TEXT_GRAM_RUN_H

#include "text/gram.h"
#include "text/vocab.h"

enum {
    GRUN_BYTES = 24 << 20,
    GRUN_STACKS = 4000,         /* most stacks of one config */
    GRUN_VISITS = 40000,        /* most stacks that are looked at for one byte */
    GRUN_DEAD = 0
};

struct gstack { uint32_t q, count, up, pass, depth; };
/* mask.c: characters that are plain text at each of the next 2^k places, and where so many of them lead. */
enum { GFAR = 7 };
struct gfar { struct vocab_set set[GFAR]; uint32_t to[GFAR]; unsigned n; };     /* the first n are known */

struct gconfig {
    struct gfar *far;           /* NULL: nothing is known */
    uint32_t *next;             /* [n_classes], NULL until asked for; GRAM_NONE: not known yet */
    uint32_t at, n;             /* its stacks, in the pool */
    uint32_t chain;             /* mask.c: where plain text leads; GRAM_NONE: there is none */
    uint32_t mask;              /* matcher.c: which mask is its + 1; 0: none */
    struct vocab_set absorbs;   /* mask.c: the characters of plain text */
    bool ends, known;           /* known: chain and absorbs are */
};

struct grun {
    const struct grammar *g;
    struct gstack *node;
    struct gconfig *config;
    uint32_t *pool, *node_slot, *config_slot, *work, *found;
    uint32_t n_nodes, cap_nodes, n_configs, cap_configs, n_pool, cap_pool, node_mask, config_mask;
    uint32_t n_work, cap_work, n_found, cap_found, pass;
    struct arena rows;
    uint32_t start;
    int rc;                     /* sticky: ERR_NOMEM, ERR_LIMIT */
};

int  grun_open(struct grun *r, const struct grammar *g);
void grun_close(struct grun *r);
uint32_t grun_step(struct grun *r, uint32_t config, unsigned class);    /* computes it; use grun_byte */
uint32_t grun_token(struct grun *r, uint32_t config, uint32_t token);   /* over the token symbol */
uint32_t grun_union(struct grun *r, uint32_t a, uint32_t b);
bool grun_wants_tokens(const struct grun *r, uint32_t config);          /* whether a token symbol is possible */
size_t grun_bytes(const struct grun *r);
/* Forgets all configs but those at live[i], whose numbers it changes. */
int  grun_collect(struct grun *r, uint32_t *const *live, size_t n);
uint32_t *grun_row(struct grun *r, uint32_t config);                    /* its next, made; NULL: out of memory */

static inline uint32_t grun_class(struct grun *r, uint32_t config, unsigned class)
{
    const uint32_t *row = r->config[config].next;
    uint32_t to = row ? row[class] : GRAM_NONE;
    return to != GRAM_NONE ? to : grun_step(r, config, class);
}
static inline uint32_t grun_byte(struct grun *r, uint32_t config, uint8_t byte)
{
    return grun_class(r, config, r->g->class_of[byte]);
}

#endif
