/* watch.h - a stream of tokens as text that ends at the first of some stop strings and never holds a banned phrase, wherever
 * the tokens are cut.
 *
 * Text that may be the beginning of either is held back until that is decided; with bans whole tokens are.  Stop strings are
 * compared byte by byte, banned phrases without regard to the case of ASCII letters.
 * Zero it, set d.t (and d.special, d.started), stop and ban; watch_release frees.  Threads: one per object. */
#ifndef HEARTH_TEXT_WATCH_H
#define HEARTH_TEXT_WATCH_H

#include "text/tokenizer.h"

enum { WATCH_MAX_BAN = 512 };      /* bytes of a phrase */

struct watch {
    struct detok d;
    const char *const *stop;       /* [n_stop], none empty; borrowed */
    size_t n_stop;
    const char *const *ban;        /* [n_ban], none empty; borrowed */
    size_t n_ban;
    struct buf held;
    size_t given;                  /* bytes of held that were handed out by the last call */
    struct watch_token { int32_t id; bool reached; size_t at; struct detok before; } *token;   /* [n] those whose text is held */
    size_t n, cap;
};

enum watch_state {
    WATCH_GOES_ON,
    WATCH_STOPPED,     /* a stop string came: the text before it is in out, and nothing more may be pushed */
    WATCH_BANNED       /* a phrase came: the last tokens are taken back, so many as the caller is told */
};
struct watch_result {
    const char *text;              /* [n_text] what is now certain, valid until the next call */
    size_t n_text;
    size_t n_back;                 /* WATCH_BANNED: tokens taken back */
    int32_t first;                 /* the first of them, not to be tried again there */
    const char *stop;              /* WATCH_STOPPED: the string that came */
};

/* held.bad tells of memory that ran out. */
enum watch_state watch_push(struct watch *w, int32_t id, struct watch_result *out);
/* The same for text that is no token's. */
enum watch_state watch_text(struct watch *w, const char *text, size_t n, struct watch_result *out);
/* The end of the stream: what was held back, after a last look for stop strings. */
enum watch_state watch_flush(struct watch *w, struct watch_result *out);
/* How many of the last tokens may still be taken back, when there are phrases. */
size_t watch_held(const struct watch *w);
void watch_release(struct watch *w);

#endif
