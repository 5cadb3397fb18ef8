/* gram.h - what the files of the grammar share; nobody else includes it.
 *
 *   gram_gbnf.c, gram_regex.c, schema*.c   source -> expressions (struct gnode) and rules
 *   gram_expr.c     making expressions; sets of characters      gram_set.c    sets of bytes
 *   gram_check.c    recursion, what can end, what is copied into what calls it
 *   gram_nfa.c      expression -> nondeterministic automaton over bytes
 *   gram_dfa.c      its subsets; intersection and difference of regular expressions
 *   gram_compile.c  rules -> struct grammar
 *   gram_run.c      sets of stacks, their transitions, found when needed and kept
 *   gram_vocab.c    tokens as a trie                            matcher.c     masks of tokens
 *
 * A frame is the automaton of one rule: its edges are labelled with a set of bytes, a rule to call or a token. */
#ifndef HEARTH_TEXT_GRAM_H
#define HEARTH_TEXT_GRAM_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/arena.h"
#include "base/buf.h"
#include "text/grammar.h"

#define GRAM_INF  UINT32_MAX
#define GRAM_NONE UINT32_MAX
#define GRAM_LAST_CHAR 0x10ffffu

enum {
    GRAM_RULES = 20000,         /* most rules */
    GRAM_STATES = 400000,       /* most states, of all frames together or of one before it is made deterministic */
    GRAM_UNROLL = 96,           /* a repetition of up to so many states is written out, a longer one counts */
    GRAM_UNROLL_MOST = 20000,   /* ... where counting is impossible */
    GRAM_INLINE = 300,          /* rules of up to so many states are copied to where they are called */
    GRAM_COPIES = 20000,        /* ... as long as all its copies have no more together */
    GRAM_WORK = 20000000,       /* steps of analysis */
    GRAM_JSON_DEPTH = 60,       /* values within values: readers of JSON have limits, too */
    GRAM_SUBSETS = 3000000     /* states and groups that are looked at for all subsets together */
};

/* ---- expressions ---- */

struct cp_range { uint32_t lo, hi; };

enum gram_op {
    G_FAIL,         /* nothing matches */
    G_EMPTY,
    G_BYTES,        /* bytes[n] */
    G_SET,          /* one character of range[n], ascending, apart; no surrogates */
    G_SEQ, G_ALT,   /* kid[n] */
    G_REP,          /* kid[0], min to max times; max may be GRAM_INF */
    G_REF,          /* rule id */
    G_TOKEN,        /* token symbol id */
    G_LIST,         /* list: items with separators */
    G_GRAPH         /* graph: a finished automaton without calls */
};

struct gnode {
    enum gram_op op;
    uint32_t n, min, max, id;
    union {
        const struct gnode **kid;
        const char *bytes;
        const struct cp_range *range;
        const struct glist *list;
        const struct ggraph *graph;
    };
};

/* item[0] sep item[1] sep ... sep rest sep rest ...: between min and max things in all.
 * tuple: things come in order and the list may end before any of them; else those that are not `needed` may be left out. */
struct glist {
    const struct gnode **item, *sep, *rest;     /* rest: NULL, none */
    const bool *needed;                         /* [n_items], unused in a tuple */
    uint32_t n_items, min, max;
    bool tuple;
};

/* Deterministic; state 0 is the first. */
struct gbytes { uint64_t w[4]; };
struct garc { uint32_t from, to; struct gbytes on; };
struct ggraph { struct garc *arc; bool *accept; uint32_t n_arcs, n_states; };

struct grule { const char *name; const struct gnode *body; uint32_t place; };    /* place: the source's own */
struct gtoken { int32_t id; bool negated; const char *text; };      /* id -1: the token that text spells */

/* What is being compiled.  Failure is sticky in rc; makers of expressions then return a G_FAIL and go on. */
struct gram {
    struct arena arena;
    struct grule *rule;
    uint32_t n_rules, cap_rules;
    struct gtoken *token;
    uint32_t n_tokens, cap_tokens;
    struct gset_table *sets;
    uint64_t subset_work;
    const char *what;           /* "grammar", "pattern", "schema": begins messages */
    const char *source;         /* NULL, or the text in which a rule's place is an offset */
    int rc;
    struct err *err;
};

int  gram_init(struct gram *g, const char *what, struct err *err);
void gram_release(struct gram *g);
int  gram_nomem(struct gram *g);
int  gram_fail(struct gram *g, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void *gram_push(struct gram *g, size_t n, size_t size);      /* from the arena; NULL sets rc */

extern const struct gnode gram_failure, gram_nothing;
const struct gnode *gram_bytes(struct gram *g, const char *s, size_t n);
const struct gnode *gram_text(struct gram *g, const char *s);
const struct gnode *gram_seq(struct gram *g, const struct gnode *const *kid, size_t n);
const struct gnode *gram_alt(struct gram *g, const struct gnode *const *kid, size_t n);
const struct gnode *gram_rep(struct gram *g, const struct gnode *kid, uint32_t min, uint32_t max);
const struct gnode *gram_ref(struct gram *g, uint32_t rule);
const struct gnode *gram_list(struct gram *g, const struct glist *l);
#define GRAM_SEQ(g, ...) gram_seq((g), (const struct gnode *[]){ __VA_ARGS__ }, \
                                  sizeof((const struct gnode *[]){ __VA_ARGS__ }) / sizeof(struct gnode *))
#define GRAM_ALT(g, ...) gram_alt((g), (const struct gnode *[]){ __VA_ARGS__ }, \
                                  sizeof((const struct gnode *[]){ __VA_ARGS__ }) / sizeof(struct gnode *))
/* A rule without a body yet; GRAM_NONE when there are too many. */
uint32_t gram_rule(struct gram *g, const char *name, uint32_t place);
const struct gnode *gram_token(struct gram *g, int32_t id, const char *text, bool negated);

/* Characters while they are collected; any order, overlaps allowed. */
struct cp_set { struct cp_range *r; uint32_t n, cap; };
void cp_add(struct gram *g, struct cp_set *s, uint32_t lo, uint32_t hi);
void cp_add_set(struct gram *g, struct cp_set *s, const struct cp_set *from);
void cp_normalise(struct cp_set *s);                                    /* ascending, apart */
void cp_negate(struct gram *g, struct cp_set *s);                       /* within U+0000..10FFFF */
void cp_release(struct cp_set *s);
/* The node takes what it needs; the set is released. */
const struct gnode *gram_set(struct gram *g, struct cp_set *s);
const struct gnode *gram_range(struct gram *g, uint32_t lo, uint32_t hi);
const struct gnode *gram_any(struct gram *g);

/* ---- gram_set.c: sets of bytes with a number each ---- */

struct gset_table { struct gbytes *set; uint32_t *slot; uint32_t n, cap, mask; };
uint32_t gset_id(struct gram *g, const struct gbytes *b);
static inline void gbytes_add(struct gbytes *b, unsigned lo, unsigned hi)
{
    for (unsigned c = lo; c <= hi; c++) b->w[c >> 6] |= (uint64_t)1 << (c & 63);
}
static inline bool gbytes_has(const struct gbytes *b, unsigned c) { return b->w[c >> 6] >> (c & 63) & 1; }
static inline bool gbytes_none(const struct gbytes *b) { return !(b->w[0] | b->w[1] | b->w[2] | b->w[3]); }

/* ---- gram_check.c ---- */

struct ginfo {                  /* of a rule */
    bool nullable, productive, kept;    /* kept: called, not copied */
    uint32_t size, height;
};
/* Fills info[n_rules]; replaces what can never end by G_FAIL.  root must be able to end. */
int gram_check(struct gram *g, uint32_t root, struct ginfo *info);
bool gram_nullable(const struct gnode *x, const struct ginfo *info);
uint32_t gram_size(const struct gnode *x, const struct ginfo *info);    /* states, as far as it is known; saturates */

/* ---- gram_nfa.c ---- */

enum { ON_EPSILON = 0, ON_CALL = 1 << 30, ON_TOKEN = 1 << 29, ON_SET = 1 << 28, ON_INDEX = ON_SET - 1 };   /* kinds of labels */

struct nfa_edge { uint32_t label, to, next; };
struct nfa {
    struct gram *g;
    const struct ginfo *info;   /* NULL: rules may not be called */
    uint32_t *head;             /* by state: its first edge + 1 */
    struct nfa_edge *edge;
    uint32_t n, cap, n_edges, cap_edges;
    uint32_t depth;
    /* Asked for the rule that repeats body; GRAM_NONE: write it out. */
    uint32_t (*counted)(void *arg, const struct gnode *body, uint32_t min, uint32_t max);
    void *arg;
};
/* Empties it and builds x between two new states. */
int  nfa_build(struct nfa *a, const struct gnode *x, uint32_t *first, uint32_t *last);
void nfa_release(struct nfa *a);

/* ---- gram_dfa.c ---- */

struct dfa_edge { uint32_t label, to; };
struct dfa_state { uint32_t edge, n_edges; bool accept; };      /* edges: bytes, then calls, then tokens */
struct dfa {
    struct dfa_state *state;
    struct dfa_edge *edge;
    uint32_t n, cap, n_edges, cap_edges;
};
/* Appends the frame of a (from first to last) to d.  *start is GRAM_NONE when nothing matches.  Where subsets would
 * be too many the frame stays nondeterministic; strict: that is ERR_LIMIT. */
int  dfa_build(struct dfa *d, struct nfa *a, uint32_t first, uint32_t last, bool strict, uint32_t *start);
void dfa_release(struct dfa *d);

/* What both match; or, with `without`, what x matches and y does not.  Neither may call rules.  G_GRAPH or G_FAIL. */
const struct gnode *gram_both(struct gram *g, const struct gnode *x, const struct gnode *y, bool without);
/* Text up to the first `mark`, with the mark or, where it is written otherwise, without. */
const struct gnode *gram_until(struct gram *g, const char *mark, size_t n, bool with);
/* Whether x, which calls no rules, matches s[n]. */
bool gram_matches(struct gram *g, const struct gnode *x, const char *s, size_t n);

/* ---- gram_gbnf.c ---- */

/* Adds the rules of a GBNF source to g, in a name space of their own.  Names for which it has no rule are asked for: the
 * expression, or NULL for an error. */
struct gbnf_use { const struct gnode *(*find)(void *arg, const char *name); void *arg; };
int gbnf_read(struct gram *g, const char *source, size_t n, const struct gbnf_use *use, uint32_t *root);

/* ---- gram_regex.c ---- */

/* The expression for a pattern; calls no rules.  search: it may match anywhere in the text, as JSON Schema wants.
 * spell (or NULL) writes a set of characters as the text has it. */
struct regex_use {
    bool search;
    const struct gnode *(*spell)(struct gram *g, struct cp_set *s);
};
const struct gnode *gram_regex(struct gram *g, const char *pattern, size_t n, const struct regex_use *use);

/* ---- the result ---- */

enum { GS_ACCEPT = 1, GS_COUNTED = 2, GS_TAIL = 4 };       /* TAIL: accepts and has no edges */
struct gstate {
    uint32_t edge;              /* GS_COUNTED: which struct gcount */
    uint16_t n_bytes, n_calls, n_tokens;
    uint16_t flags;
};
struct gcount { uint32_t start, min, max; };        /* start: first state of what is repeated */

struct grammar {
    _Atomic uint32_t more;      /* references but one */
    struct gstate *state;
    struct dfa_edge *edge;      /* label: set of bytes, first state of the frame that is called, or token */
    struct gcount *count;
    struct gbytes *set;         /* sets of classes of bytes */
    struct gtoken *token;
    uint32_t n_states, n_edges, n_counts, n_sets, n_tokens;
    uint32_t start, n_classes;
    uint32_t max_depth;         /* calls within calls; deeper ones are not taken */
    uint8_t class_of[256];
    struct arena arena;
};
/* Compiles rule `root` and what it needs; releases nothing. */
int gram_compile(struct gram *g, uint32_t root, struct grammar **out);

#endif
