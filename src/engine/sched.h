/* sched.h - inside the engine that serves many: what sched.c (requests, the queue, the thread) and sched_step.c (one step) share.
 *
 * A stream is one completion.  It waits with its request, runs in a slot, and ends.  Its text is what is to be evaluated, and
 * what of that is evaluated lies in its sequence; without pages it pauses, and begins again when there are some.
 * Threads: streams that have a slot belong to the engine's thread; the queue and the counters to whoever holds the lock. */
#ifndef HEARTH_ENGINE_SCHED_H
#define HEARTH_ENGINE_SCHED_H

#include "engine/engine.h"

enum { MAX_RUNNING = 256 };

enum stream_state { STREAM_WAITS, STREAM_FORKS, STREAM_RUNS, STREAM_PAUSES, STREAM_ENDED };

struct stream {
    struct hearth_request *r;
    uint32_t index;
    enum stream_state state;
    bool begun, ready;                /* its prefix was looked for; its logits are there */
    struct hearth_session s;          /* its sequence and logits, as samplers see them */
    struct hearth_sampler *sampler;
    int32_t *text;                    /* [n_max] */
    uint32_t n_text, n_max, n_kept, n_answer;
    uint64_t age;                     /* the smaller, the longer it has a slot */
};

struct hearth_request {
    struct hearth_engine *g;
    _Atomic uint32_t refs, cancel, done;
    struct hearth_request_options o;
    struct hearth_sampler_options sampler;
    int32_t *prompt;
    uint32_t n_prompt, n_max;
    uint64_t deadline;                /* os_now_ns; 0: none */
    struct stream *stream;            /* [o.n_completions] */
    uint32_t n_left;                  /* streams that have not ended */
    int finish;                       /* of the first */
    struct hearth_request *next;      /* in the queue, or among the dead */
};

struct hearth_engine {
    struct hearth_model *m;
    struct hearth_engine_options o;
    enum dtype type[2];
    struct variant *variant;
    struct os_thread *thread;
    _Atomic uint32_t refs, wake;
    struct lock lock;                 /* guards the next five */
    struct hearth_request *first;     /* the queue, in order of arrival */
    struct hearth_request **last;
    bool closing;
    struct hearth_engine_stats stats;
    /* the thread's */
    struct stream *run[MAX_RUNNING];
    uint32_t n_run, turn;
    uint64_t next_age;
    struct hearth_request *dead;      /* all their streams have ended */
    bool ended;                       /* a stream has: one that pauses may go on */
    double plain_ns, token_ns;        /* a step that only writes; what a token of a prompt adds */
};

/* ---- sched.c ---- */

/* Ends a stream that runs or waits: says so unless finish is HEARTH_FINISH_STOPPED, and gives its memory back.  id < 0: no token
 * goes with it. */
void stream_end(struct stream *x, int finish, int32_t id, const struct hearth_error *e);
struct hearth_event stream_event(const struct stream *x, int32_t id);

/* ---- sched_step.c ---- */

/* Takes a slot's memory.  An error leaves the stream to be ended. */
int  stream_open(struct stream *x, struct err *err);
/* One step of all that run: evaluates, picks, calls back. */
void sched_step(struct hearth_engine *g);

#endif
