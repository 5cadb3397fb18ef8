/* engine.h - inside the engine: what a model and a session hold.  Programs use hearth.h. */
#ifndef HEARTH_ENGINE_ENGINE_H
#define HEARTH_ENGINE_ENGINE_H

#include "base/arena.h"
#include "base/err.h"
#include "base/lock.h"
#include "device/device.h"
#include "engine/seq.h"
#include "format/gguf.h"
#include "format/hf.h"
#include "hearth.h"
#include "model/arch.h"
#include "text/chat.h"
#include "text/sampler.h"
#include "text/chat_turn.h"
#include "text/gram_cache.h"
#include "text/matcher.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "text/vocab.h"

enum { MAX_BATCH = 512, MAX_OUT = 32, N_BUCKET = 7, MAX_TEXT = 32768 };

/* One graph and its plans.  An encoder's TEXT is what others have as STATES. */
struct variant {
    struct graph *graph;
    struct plan *plan[N_BUCKET];
    struct plan *adapted[N_BUCKET];   /* with room for adapters of adapt_rank */
    bool all_rows;                    /* every row may be wanted, not only MAX_OUT */
};
/* LONG: LongRoPE's long factors; STATES: made when needed; HEAD: for pooled states, NEXT: for guesses, if the file has one. */
enum { V_TEXT, V_LONG, V_STATES, V_HEAD, V_NEXT, N_VARIANT };

/* The adapters that are in use somewhere. */
struct adaption {
    struct adapt_set set;
    struct adapt_use *use;            /* owned; the set's */
    uint32_t rank;                    /* the sum of their ranks */
    uint64_t key;                     /* equal keys: the same results; 0: none */
};

struct hearth_adapter {
    struct hearth_model *m;
    struct arena arena;
    struct adapt view;                /* lies in the arena */
    uint32_t rank, n_matrices;        /* the largest rank */
    uint64_t key;
};

struct hearth_model {
    struct gguf *gguf;
    struct tokenizer *tokenizer;
    struct template *tmpl;            /* NULL: none */
    const char *tmpl_text;            /* its source, of tmpl_n bytes; in the file or the arena */
    size_t tmpl_n;
    struct lock style_lock;           /* guards the next two */
    struct chat_style style;          /* of the template; engine_style */
    bool styled, tmpl_guessed;        /* guessed: by the vocabulary, for a file that has none */
    _Atomic uint64_t digest;          /* kvfolder.c's; 0: not yet */
    char *tmpl_error;                 /* why the file's template could not be compiled, or NULL */
    const struct arch *arch;
    struct hparams h;
    struct arena arena;
    const char *name;                 /* general.name, or NULL */
    const struct device_ops *ops;
    struct device *device;
    struct variant variant[N_VARIANT];
    struct rope_options rope;         /* what it was opened with */
    uint64_t limit_at;                /* engine_limit: where it reads next */
    const struct observer *observer;  /* NULL: nobody */
    struct kv_pool pool;              /* has a lock of its own, taken last */
    struct budget *budget;            /* of all models, or NULL */
    uint64_t weights;                 /* bytes of the file */
    _Atomic int64_t heap;             /* bytes that it has there; engine_heap */
    struct vocab *vocab;              /* for grammars, made when first needed; guarded by the lock */
    struct gram_cache grammars;       /* has a lock of its own, taken last */
    struct adaption adaption;         /* what sessions begin with */
    uint32_t adapt_rank;              /* what adapted plans have room for */
    struct lock lock;                 /* one evaluation at a time; guards everything below */
    int32_t *token;                   /* [MAX_BATCH] the batch being built */
    int64_t *pos;
    uint32_t *seq, *out_row;
    float **out;
    struct kv_view *kv;
    struct eval_item *item;           /* [MAX_BATCH] */
    const struct adapt_set **adapt;
};

struct hearth_session {
    struct hearth_model *m;
    struct variant *variant;
    struct seq q;
    uint32_t n_batch, n_logits;
    uint32_t n_kept;                  /* tokens of the last sync that were there before */
    float *logits;                    /* [n_logits][n_vocab]; the last n_rows of them are valid */
    uint32_t n_rows;
    struct adaption adaption;         /* what was evaluated holds for its key only */
    hearth_progress_fn *progress;
    void *progress_arg;
};

struct held;                          /* a sampler's answer held to a grammar: grammar.c */
struct hearth_sampler {
    struct sampler *s;
    struct held *held;                /* NULL: it is free */
};
/* The logits behind the text ids[0..n), -INFINITY for what may not come next; NULL when nothing may, or after an error. */
const float *held_logits(struct held *h, const int32_t *ids, size_t n, const float *logits);
bool held_allows(struct held *h, int32_t id);
void held_free(struct held *h);
/* The text ids[0..n) goes on without a part of it, which the sampler keeps in mind all the same. */
int engine_sampler_cut(struct hearth_sampler *s, const int32_t *ids, size_t n, const struct hearth_cut *cut, struct err *err);
/* Takes g, also on failure. */
int engine_grammar(struct hearth_grammar **out, struct hearth_model *m, struct grammar *g, struct err *err);
struct hearth_grammar *engine_grammar_share(const struct hearth_grammar *g);       /* NULL is fine */
/* Holds s to g (NULL: to nothing) from position `from` on; how is copied. */
int engine_hold(struct hearth_sampler *s, const struct hearth_grammar *g, size_t from, const struct matcher_options *how,
                struct err *err);
/* Whether the text of a chat's answer goes on in the prompt's. */
bool engine_chat_continues(const struct hearth_chat *c);

/* How a model is opened among others. */
struct opening {
    struct budget *budget;            /* or NULL */
    /* Called now and then with the bytes of the file that were read; false: no further.  NULL: it is read when needed. */
    bool (*progress)(void *arg, uint64_t done, uint64_t total);
    void *arg;
    bool no_ahead;                    /* the system is not asked to read the weights ahead */
    uint64_t weights;                 /* out: bytes of the file, once it could be read */
};
int engine_embedded_open(struct gguf **out, struct err *err);         /* its file; ERR_NOTFOUND: this build has none */
/* path NULL: the embedded model. */
int engine_model_open(struct hearth_model **out, const char *path, const struct hearth_model_options *o,
                      struct opening *how, struct err *err);
/* What was allocated (or freed) for the model since `before` = mem_thread_bytes(), by this thread, belongs to its memory. */
void engine_heap(struct hearth_model *m, int64_t before);
void engine_grew(struct hearth_model *m, int64_t more);         /* by so many bytes */

/* What is known of the template, found out when first asked for (it is rendered some twenty times). */
const struct chat_style *engine_style(struct hearth_model *m);
int engine_has_template(const struct hearth_model *m, struct err *err);

/* 0 when Hearth can run this file; otherwise says what is missing. */
int engine_can_run(const struct gguf *g, struct err *err);

/* What a step must at least do: S sequences get T tokens each behind `depth` earlier ones, and n_out rows of logits are made. */
struct engine_step { uint32_t T, S, n_out; double depth; int kv_type, kv_type_v; };
struct engine_work {
    /* Multiply-adds of the matrices, by what their weights become (8 or 16 bits, floats); attention is left out. */
    double int_macs, wide_macs, float_macs;
    double few_macs;                  /* each divided by the device's `few` */
    double bytes;                     /* of weights (of experts as many as T * S random choices meet) and of the KV cache read */
};
void engine_work(const struct hearth_model *m, const struct engine_step *s, struct engine_work *out);
/* The limit of the machine, measured now with the model's threads; DEVICE_READ reads a part of its weights, another at each
 * call.  One call at a time. */
double engine_limit(struct hearth_model *m, enum device_limit what);
/* How many bytes of the weights' mapping are in huge pages.  False: the system does not say. */
bool engine_huge_bytes(const struct hearth_model *m, uint64_t *bytes);

/* Shows what every matrix but that of the logits is multiplied with.  Before the model's first session; o must outlive them. */
void engine_observe(struct hearth_model *m, const struct observer *o);
/* The most tokens of a text that can be embedded. */
uint32_t engine_embed_limit(const struct hearth_model *m);
/* Numbers that the head gives for a text; 0 when it cannot rank. */
uint32_t engine_n_rank(const struct hearth_model *m);

/* Tokens for one sequence; of its last n_logits the rows go to logits[n_logits][n_vocab], at its end. */
struct eval_item {
    struct seq *q;
    const int32_t *ids;
    size_t n, at;                     /* at: of them, those evaluated */
    float *logits;
    uint32_t n_logits;
    uint32_t save_at;                 /* of the state for the cache; not 0: these are a prompt */
    uint32_t n_guess;                 /* the last so many may be taken back */
    const struct adapt_set *adapt;    /* its adapters */
    uint32_t T;                       /* in the last batch */
};
/* One batch of at most `limit` tokens: what is left of the first item, then of the next; their `at` move.  Returns the number of
 * tokens.  An error (no pages) leaves all as they were.  With the model's lock held; allocates nothing once the plan is there. */
int engine_eval(struct hearth_model *m, struct variant *v, struct eval_item *item, size_t n_items, uint32_t limit,
                struct err *err);
/* What comes behind `token` at position q->n + ahead, by the model's head for guesses. */
struct ahead_item { struct seq *q; const struct adapt_set *adapt; int32_t token; uint32_t ahead; float *logits; };
static inline bool engine_guesses(const struct hearth_model *m) { return m->variant[V_NEXT].graph != NULL; }
/* Whether it can be asked about q's text: it knows the state of its last token. */
static inline bool engine_can_guess(const struct seq *q) { return q->kept && q->n && q->n_kept; }
/* For different sequences, one after the other for ahead = 0, 1, ..: each goes on from the state that the one before left.
 * Logits are for guesses only.  An error (no pages) changes nothing.  With the model's lock held. */
int engine_guess(struct hearth_model *m, const struct ahead_item *item, uint32_t n, struct err *err);
/* The sequence that a session's options ask for, when they make sense. */
uint32_t engine_default_ctx(const struct hearth_model *m);
int engine_seq_options(const struct hearth_model *m, const struct hearth_session_options *o, struct seq_options *out,
                       struct err *err);
/* HEARTH_KV_* of keys and of values as types; false: there is no such. */
bool engine_kv_types(int k, int v, enum dtype out[2]);

/* ERR_ARG names the first id that is not in the vocabulary. */
int engine_check_ids(const struct hearth_model *m, const int32_t *ids, size_t n, struct err *err);

/* The plan for T tokens, with or without adapters, compiled on first use. */
int engine_plan(struct hearth_model *m, struct variant *v, uint32_t T, bool adapted, struct plan **out, struct err *err);

/* Sets of adapters.  *d is the caller's (engine_adapt_release); zeroed on failure. */
int  engine_adapt_set(struct adaption *d, const struct hearth_model *m, const struct hearth_adapter_use *use, size_t n,
                      struct err *err);
int  engine_adapt_copy(struct adaption *d, const struct adaption *from, struct err *err);
void engine_adapt_release(struct adaption *d);
/* Makes later plans have room for d; under the model's lock. */
void engine_adapt_room(struct hearth_model *m, const struct adaption *d);
/* The plans that s will need with d, so that later steps allocate nothing; under the model's lock. */
int  engine_adapt_plans(struct hearth_model *m, const struct hearth_session *s, const struct adaption *d, struct err *err);

/* hearth_error and err are the same thing under two names. */
static inline struct err *err_of(struct hearth_error *e) { return (struct err *)(void *)e; }

#endif
