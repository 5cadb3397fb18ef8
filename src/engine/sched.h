/* sched.h - inside the engine that serves many: what sched.c (requests, the queue, the thread), sched_step.c (one step of
 * answers), sched_guess.c (guesses of tokens), sched_say.c (what an answer may be, and what it says), sched_files.c (past texts
 * on disk) and sched_text.c (embeddings and scores) share.
 *
 * A stream is one completion.  It waits with its request, runs in a slot, and ends.  Its text is what is to be evaluated, and
 * what of that is evaluated lies in its sequence; without pages it pauses, and begins again when there are some.
 * Threads: streams that have a slot belong to the engine's thread; the queue and the counters to whoever holds the lock. */
#ifndef HEARTH_ENGINE_SCHED_H
#define HEARTH_ENGINE_SCHED_H

#include "engine/embed.h"
#include "engine/engine.h"
#include "engine/rerank.h"
#include "engine/speculate.h"

/* More answers at once make batches that guesses would only lengthen. */
enum { MAX_RUNNING = 256, MOST_GUESSING = 8, GUESS_ROWS = MOST_GUESSING + HEARTH_MAX_DRAFT };

enum stream_state { STREAM_WAITS, STREAM_FORKS, STREAM_RUNS, STREAM_PAUSES, STREAM_ENDED };

/* SCORE: a model that writes is asked about documents; each stream takes one after another. */
enum request_kind { REQUEST_ANSWER, REQUEST_EMBED, REQUEST_SCORE };

/* What an EMBED request holds; the scores of a classifier are made from its vectors at the end. */
struct texts {
    struct embed_kind kind;
    struct hearth_embed_options o;
    struct hearth_embed_item *item;   /* [n] */
    int32_t *ids;                     /* of all */
    size_t n, next, taken;            /* the first `next` are done; then, those in the batch being made */
    bool seen;
    uint64_t tokens;                  /* evaluated so far */
    float *pair;                      /* [n][2] or NULL */
};

/* What a SCORE request holds. */
struct questions {
    int32_t *ids;                     /* of all */
    size_t *at;                       /* [n + 1] where each begins */
    size_t n, next, done;
    int32_t yes, no;
};

struct stream {
    struct hearth_request *r;
    uint32_t index;
    enum stream_state state;
    bool begun, ready;                /* its prefix was looked for; its logits are there */
    struct hearth_session s;          /* its sequence and logits, as samplers see them */
    float *logits;                    /* its own row */
    struct hearth_speculator *guesser;        /* NULL: none is used */
    struct hearth_session *draft;     /* of the engine's other model, or NULL */
    float *rows;                      /* of the last step, when that had guesses */
    uint32_t ahead;                   /* guesses behind the text; in the sequence, those that are not decided */
    struct hearth_guesses guessed;
    uint32_t again;                   /* tokens that were decided, and are evaluated again behind a state */
    bool headed;                      /* the model's own head made them */
    struct hearth_sampler *sampler;
    struct hearth_chat *chat;         /* its reader, or NULL */
    struct hearth_decoder *decoder;   /* NULL: nobody wants its text */
    bool held, picked, said_end;      /* the sampler follows a grammar; the last token was picked from logits; the end was said */
    uint32_t enough, n_back;          /* stops of thinking that were seen; tokens that were taken back */
    int32_t *text;                    /* [n_max] */
    uint32_t n_text, n_max, n_kept, n_answer;
    size_t question;                  /* which one is asked */
    struct hearth_cut cut;            /* n > 0: to be told with the next event */
    uint64_t age;                     /* the smaller, the longer it has a slot */
};

struct hearth_request {
    struct hearth_engine *g;
    _Atomic uint32_t refs, cancel, done;
    enum request_kind kind;
    struct hearth_request_options o;
    struct adaption adaption;         /* o.adapters */
    struct texts texts;
    struct questions questions;
    struct hearth_rerank_options rank;
    float *scores;                    /* the caller's */
    struct hearth_sampler_options sampler;
    int32_t *prompt;
    struct hearth_chat *chat;         /* of which streams have forks */
    struct hearth_grammar *grammar;
    const char **strings;             /* stop, then ban: one block with their bytes */
    struct hearth_bias *bias;
    _Atomic uint32_t enough;          /* times that the end of thinking was asked for */
    uint32_t n_prompt, n_max;
    struct hearth_cut cut;            /* of the prompt */
    uint64_t deadline;                /* os_now_ns; 0: none */
    struct stream *stream;            /* [o.n_completions] */
    uint32_t n_left;                  /* streams that have not ended */
    int finish;                       /* of the first */
    bool looking;                     /* its past is looked for in files: it has no slot yet; guarded by the engine's lock */
    struct hearth_request *next;      /* in the queue, or among the dead */
};

struct hearth_engine {
    struct hearth_model *m;
    struct hearth_engine_options o;
    enum dtype type[2];
    struct variant *variant;
    struct os_thread *thread;
    struct files *files;              /* past texts on disk, or NULL */
    _Atomic uint32_t refs, wake;
    _Atomic uint32_t beat;            /* counts the rounds of the thread */
    _Atomic bool rests;               /* it waits for requests */
    _Atomic uint64_t n_steps, n_step_texts;   /* texts: of all steps together */
    struct lock lock;                 /* guards the next six */
    struct hearth_request *first;     /* the queue, in order of arrival */
    struct hearth_request **last;
    struct hearth_request *texts;     /* EMBED requests that have not ended, in order of arrival */
    bool closing;
    struct hearth_engine_stats stats;
    /* the thread's */
    struct stream *run[MAX_RUNNING];
    uint32_t n_run, turn;
    uint64_t next_age;
    struct hearth_request *dead;      /* all their streams have ended */
    bool ended;                       /* a stream has: one that pauses may go on */
    double plain_ns, token_ns;        /* a step that only writes; what a token at the beginning of a prompt adds */
    double token_slope, last_chunk;   /* by how much more one that is one place further on; tokens that went along last */
    bool guesses;                     /* something may be guessed */
    float *rows;                      /* [GUESS_ROWS][n_vocab], from the first guess on */
    struct pace pace[MOST_GUESSING + 1];      /* by the number of answers */
    double head_ns[MOST_GUESSING + 1];        /* what a step of the model's head for guesses takes; 0: not seen */
    bool texts_wait;
    double text_ns;                   /* what a token of a text to embed takes */
    struct embed_room room;
    struct hearth_request *in_parts;  /* whose next text is being evaluated in parts, or NULL */
    struct embed_part part_at;
    struct embed_text text[EMBED_TOKENS];     /* the batch being made, */
    struct hearth_request *part[EMBED_TOKENS];       /* and whose its texts are, each once */
};

/* ---- sched.c ---- */

/* Ends a stream that runs or waits: says so unless finish is HEARTH_FINISH_STOPPED, and gives its memory back.  id < 0: no token
 * goes with it. */
void stream_end(struct stream *x, int finish, int32_t id, const struct hearth_error *e);
struct hearth_event stream_event(const struct stream *x, int32_t id);
/* What ends a request from outside; 0: nothing. */
int  request_called_off(const struct hearth_request *r, uint64_t now, bool closing);
/* A request without streams has ended, with its last event given. */
void request_done(struct hearth_request *r, int finish);
/* A request of one reference that is in no queue; o's numbers and callbacks are taken, not its prompt. */
int  request_new(struct hearth_request **out, struct hearth_engine *g, enum request_kind kind,
                 const struct hearth_request_options *o, struct err *err);
/* Streams for it, of prompts of at most n_max tokens; ERR_LIMIT when memory could never suffice. */
int  request_streams(struct hearth_request *r, uint32_t n_max, struct err *err);
/* Gives it to the engine; *out is set before the first event can name it.  It is released after a failure. */
int  request_enqueue(struct hearth_request **out, struct hearth_request *r, struct err *err);
void request_drop(struct hearth_request *r);
/* False: it has nothing to do.  *beat is another number each time that it has got on.  Any thread. */
bool engine_beat(const struct hearth_engine *g, uint64_t *beat);
/* Its past was looked for; takes a reference away. */
void engine_looked(struct hearth_request *r);

/* ---- sched_say.c ---- */

enum { MOST_FORCED = 64 };
/* Copies what o says of answers, for r; they are the request's. */
int  request_copy_answer(struct hearth_request *r, const struct hearth_request_options *o, struct err *err);
void request_free_answer(struct hearth_request *r);
/* The sampler and the readers of a stream; an error leaves the stream to be released. */
int  stream_open_answer(struct stream *x, struct err *err);
void stream_close_answer(struct stream *x);
/* The tokens that come next, at most `most`: n of them, the first picked unless they are forced.  0: the answer ends as *finish
 * says. */
uint32_t stream_next(struct stream *x, int32_t *ids, uint32_t most, bool *forced, int *finish, struct err *err);
enum said { SAID, SAID_STOP, SAID_BACK, SAID_NOMEM };
/* Says what a token made certain.  STOP: a stop string came.  BACK: the last *n_back tokens are no part of the answer. */
enum said stream_say(struct stream *x, int32_t id, uint32_t *n_back, int32_t *first);
void stream_say_end(struct stream *x);
const char *stream_stop(const struct stream *x);

/* ---- sched_step.c ---- */

/* Takes a slot's memory.  An error leaves the stream to be ended. */
int  stream_open(struct stream *x, struct err *err);
/* Where texts of a request are found; with the model's lock held. */
void stream_key(const struct hearth_request *r, struct prefix_key *out);
/* One step of all that run: evaluates, picks, calls back. */
void sched_step(struct hearth_engine *g);
/* How many tokens of `ns` each may be added to a step of answers. */
uint32_t sched_budget(const struct hearth_engine *g, double ns);
/* Finds out how what is read before a token makes it dearer. */
void sched_slope(struct hearth_engine *g);
/* The types of a stream's keys and values: a score's are exact. */
void sched_types(const struct hearth_request *r, enum dtype out[2]);
/* Tokens of its text that are not evaluated; and whether it only writes. */
static inline uint32_t stream_pending(const struct stream *x) { return x->n_text - x->s.q.n; }
static inline bool stream_writes(const struct stream *x)
{
    return x->begun && x->n_answer && stream_pending(x) <= 1 + x->again;
}

/* ---- sched_guess.c ---- */

/* Checks and takes what the options say; a failure leaves nothing. */
int  guesses_open(struct hearth_engine *g, struct err *err);
void guesses_close(struct hearth_engine *g);
int  stream_open_guesses(struct stream *x, struct err *err);
void stream_close_guesses(struct stream *x);
/* Before a step, without the model's lock: writes guesses behind the texts, where they are likely to pay. */
void guesses_make(struct hearth_engine *g);
/* They will not be evaluated after all. */
void guesses_forget(struct hearth_engine *g);
/* Has the tokens given that come behind the text (give: those of one place; *goes_on: more may follow), for as long as they are
 * what was guessed.  Returns how many; adds the right guesses to *right. */
uint32_t guesses_check(struct stream *x, uint32_t (*give)(struct stream *x, bool *goes_on), uint32_t *right);

/* ---- sched_files.c ---- */

int  files_open(struct hearth_engine *g, struct err *err);
/* Behind the engine's own thread: writes what is not written yet. */
void files_close(struct hearth_engine *g);
/* Whether a request that is to be queued has to be looked for, with the engine's lock held or not; and that one waits for it. */
bool files_may_have(const struct hearth_request *r);
void files_look(struct hearth_engine *g);
/* The stream has ended, and still has its sequence. */
void files_keep(const struct stream *x);

/* ---- sched_text.c ---- */

/* Ends EMBED requests that were called off. */
void texts_arrange(struct hearth_engine *g, uint64_t now, bool closing);
/* One batch of texts, if any waits. */
void texts_step(struct hearth_engine *g);
/* Gives a stream its next question; false: there is none. */
bool question_next(struct stream *x);
/* Takes the answer from the stream's logits, and goes on or ends. */
void question_answer(struct stream *x);

#endif
