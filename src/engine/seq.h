/* seq.h - one timeline of tokens in pages: what sessions and the scheduler evaluate.
 *
 * Positions 0 .. n - 1 are evaluated.  Pages come from the model's pool as the text grows; whole pages are shared with the prefix
 * cache and through it with other sequences, and copied before they are written.
 * Threads: one at a time; the pool's lock is taken inside, never held during evaluation. */
#ifndef HEARTH_ENGINE_SEQ_H
#define HEARTH_ENGINE_SEQ_H

#include "engine/kv.h"
#include "engine/prefix.h"

struct seq {
    struct kv_pool *pool;             /* borrowed */
    const struct kv_layout *layout;
    struct prefix_key key;
    bool alone;                       /* neither takes from the cache nor leaves anything there */
    uint32_t n, n_max;
    int32_t *ids;                     /* [n_max] */
    struct kv_page **page[N_KV_CLASS];        /* [n_page], NULL where there is none */
    uint8_t **data[N_KV_CLASS];       /* their memory, for the view */
    uint32_t n_page;
    uint32_t window_from;             /* pages of windows below are gone */
    struct kv_page *state, *saved, *back;     /* after n tokens; n_saved; n_back; NULL: not yet, or the model has none */
    uint32_t n_saved, n_published;    /* 0: nothing; the last state that the cache was given */
    uint32_t n_back;                  /* 0: nothing; behind which come guesses */
    float *kept;                      /* view.kept, owned */
    uint32_t n_kept;                  /* states of the last so many tokens are there */
    struct kv_view view;
};

/* What a sequence is opened for. */
struct seq_options { uint32_t n_max; struct prefix_key key; bool alone; };

/* Allocates all that grows with n_max but pages, of which it takes none.  s is released by seq_release also after a failure. */
int  seq_open(struct seq *s, struct kv_pool *pool, const struct seq_options *o, struct err *err);
/* Leaves the text to the cache and gives everything back. */
void seq_release(struct seq *s);

/* Makes s->n the length of the longest prefix of ids[0..keep) whose pages there are, its own or the cache's; what is given up
 * goes to the cache.  ids[0 .. s->n) become its text. */
int  seq_begin(struct seq *s, const int32_t *ids, uint32_t keep, struct err *err);
/* Forgets the last n <= s->n tokens; where there is a state, perhaps some more, which are to be evaluated again: it goes back to
 * one that is there, the last `back` or one behind it.  false, and nothing changes: none is, or a window's pages are gone. */
bool seq_drop(struct seq *s, uint32_t n);
/* Takes the memory for going back over guesses; false: there is none.  Without a state none is needed. */
bool seq_back_room(struct seq *s);
/* Leaves its text to the cache and gives its pages back; it can begin again. */
void seq_empty(struct seq *s);
/* Where the state of a prompt of n tokens is best kept; 0: nowhere. */
uint32_t seq_save_at(const struct seq *s, uint32_t n);
/* What is kept of the states among tokens: for the cache the one at `saved` when that is among them, else at the last end of a
 * page; for seq_drop that at `back` (0: none) when that is among them, and there is memory. */
struct seq_places { uint32_t saved, back; };
/* Makes room for the next T tokens, and sets s->view for them.  at NULL: states are left alone. */
int  seq_room(struct seq *s, uint32_t T, const struct seq_places *at, struct err *err);
/* ids[0..T) behind its text have been evaluated. */
void seq_advance(struct seq *s, const int32_t *ids, uint32_t T);
/* Gives the cache what it has; other sequences can begin with it from now on. */
void seq_publish(struct seq *s);
/* For a text that comes from elsewhere, into an empty sequence whose ids are set: takes the pages of n tokens, of windows from
 * one page on, and the state after n_saved tokens (0: none) as saved; the caller fills them. */
int  seq_fill(struct seq *s, uint32_t n, uint32_t window_from, uint32_t n_saved, struct err *err);
/* Another sequence with the same text, at most to->n_max tokens: pages are shared until one of them writes.  to is empty. */
int  seq_fork(struct seq *to, const struct seq *from, struct err *err);

#endif
