/* generate.h - prompt ids in, text out: the loop that one-shot and chat share.
 *
 * Ctrl-C and SIGTERM (signals.h) end it between two steps; what was said until then is kept.
 * Threads: main thread. */
#ifndef HEARTH_APP_GENERATE_H
#define HEARTH_APP_GENERATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "app/reply.h"
#include "base/buf.h"
#include "hearth.h"

enum finish { FINISH_STOP, FINISH_LENGTH, FINISH_CANCELLED, FINISH_CALLS };
const char *finish_name(enum finish f);        /* "stop", "length", "cancelled", "tool_calls" */

/* The session must have been opened with gen_on_progress and this struct as its argument. */
struct gen_progress { uint64_t start_ns, shown_ns; };
hearth_progress_fn gen_on_progress;

enum { GEN_PLAIN = -1, GEN_ROWS = HEARTH_MAX_DRAFT + 1 };

struct gen {
    struct hearth_model *model;
    struct hearth_session *session;
    struct gen_progress *progress;
    const struct hearth_sampler_options *sampler;
    const char *const *stop;                   /* stop strings, not part of the answer */
    size_t n_stop;
    const char *const *ban;                    /* [n_ban] phrases that the answer never has */
    size_t n_ban;
    int32_t max_tokens;                        /* < 0: until the model ends or the context is full */
    int32_t min_tokens;                        /* before so many the model cannot end */
    const char *const *bias;                   /* [n_bias] biases, as bias.h reads them */
    size_t n_bias;
    int n_logprobs;                            /* < 0: none; else keep them with so many alternatives, at most MAX_LOGPROBS */
    bool after;                                /* of what was chosen from; else of what the model said */
    int speculate;                             /* GEN_PLAIN, 0: guesses when they pay, > 0: always so long.  The session needs
                                                  n_logits of GEN_ROWS */
    int guess_by;                              /* HEARTH_GUESS_* together; 0: all */
    struct hearth_session *draft;              /* of another model that guesses, too, or NULL */
    const struct hearth_grammar *grammar;      /* or NULL: any answer */
    const char *grammar_after;                 /* the text behind which it begins, or NULL: at once */
    bool continues;                            /* the answer goes on in the text of the prompt: a first space counts */
    bool (*sink)(void *arg, const char *text, size_t n);       /* false: the reader is gone, stop.  May be NULL */
    void *sink_arg;
    struct hearth_chat *chat;                  /* reads the answer: reasoning and calls are not its text.  NULL: all is text */
    bool show, hide_reasoning;                 /* what of these goes to standard output */
    int context;                               /* HEARTH_CONTEXT_SHIFT: a full context goes on without its older half */
    uint32_t n_keep;                           /* the first so many tokens stay */
};

enum { MAX_LOGPROBS = 20 };
struct gen_token { int32_t id; float logprob; size_t n; struct hearth_choice top[MAX_LOGPROBS]; };

struct gen_result {
    enum finish finish;
    bool context_full;                         /* why the finish is "length" */
    size_t n_prompt, n_kept;                   /* tokens of the prompt, how many of them were still evaluated */
    size_t n_tokens;                           /* of the answer, without the one that ended it */
    struct reply reply;                        /* of a chat */
    size_t n_guessed, n_right;                 /* tokens that were evaluated ahead; those that proved right */
    size_t n_back;                             /* tokens that were taken back for banned phrases */
    struct hearth_cut cut;                     /* what the prompt lost: the caller's */
    size_t n_shifts, n_shifted;                /* how often the context went on without its older half; tokens that went */
    size_t n_steps;                            /* tokens of the answer evaluated during decode_ns */
    uint64_t prefill_ns, decode_ns;
    struct buf text;                           /* gen_result_release */
    struct gen_token *token;                   /* [n_tokens] when logprobs were wanted */
    size_t cap_token;
};

/* HEARTH_ELIMIT when the prompt does not fit into the context, with both numbers. */
int generate(const struct gen *g, const int32_t *ids, size_t n, struct gen_result *out, struct hearth_error *e);
void gen_result_release(struct gen_result *r);

#endif
