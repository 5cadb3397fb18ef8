/* link.h - the front's side of the engine process: starts it, sends jobs, hands out events, starts it again when it dies.
 *
 * The engine process (worker.c) is this same program under the hidden command "engine"; both talk over a pair of sockets in
 * frames (frame.h) that hold the job's number and a JSON document (job.h).  When the process dies, its jobs are sent again to
 * its successor; events that were already handed out are left out of what comes then (answers are bit-identical, and it is
 * checked that they are), except those of jobs that cannot be repeated, which end with an error event of kind "engine".  A job
 * during which the process died several times gets that error too, and so does the same job for some minutes afterwards.
 * Threads: any, unless said otherwise. */
#ifndef HEARTH_SERVER_LINK_H
#define HEARTH_SERVER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct link;
struct link_options {              /* zero-initialise; borrowed until link_close */
    uint64_t memory_limit;         /* bytes for weights, keys and values of all models; 0: what the machine has free */
    uint32_t max_running, max_queued, threads, n_ctx;     /* of each model; 0: the engine's defaults */
    int64_t keep_alive_s;          /* 0: 300; -1: for ever */
    const char *const *folders;    /* [n_folders] the only ones from which the engine may read, besides the embedded model; one
                                      that is not there when the process starts cannot be read later.  "/x/y.gguf": that file */
    uint32_t n_folders;
    const char *slot_folder;       /* where texts are saved by number, made when missing; NULL: they are not */
    const char *cache_folder;      /* of saved keys and values, made when missing; NULL: none */
    uint64_t cache_bytes;          /* that its files may have; 0: none are written */
    int32_t speculate;             /* as of hearth_engine_options, where a job's "load" does not say */
    const char *draft;             /* the file of a small model that guesses for those with the same tokens; NULL: none.  It stays
                                      loaded, and is in one of the folders */
    bool no_sandbox;
    uint32_t silence_ms;           /* a process that gives no sign of life for so long has died; 0: it may be silent */
    const char *program;           /* NULL: this one */
    void (*note)(void *arg, const char *line);     /* what belongs into a log: starts, deaths, what was sent again; or NULL */
    void *note_arg;
};

/* One event of a job, on the link's own thread, in order: quickly, without waiting.  `last`: the job is over, nothing follows. */
typedef void link_event_fn(void *arg, const struct json *event, bool last);

/* Returns when the engine process is ready, or could not be started. */
int  link_open(struct link **out, const struct link_options *o, struct err *err);
/* No new jobs; waits until the present ones are over: true, or false after so long. */
bool link_drain(struct link *l, uint32_t timeout_ms);
/* Ends what is left, whatever the engine process does: it is told to end, killed when it does not, and not started again. */
void link_abandon(struct link *l);
void link_close(struct link *l);                           /* cancels what is left; each job still gets its last event */
/* Takes job, also on failure.  *id (not 0) is set before the first event comes.  ERR_ARG: no such job can be; ERR_LIMIT: too
 * large; ERR_CANCELLED: draining; ERR_IO: the engine process does not stay alive. */
int  link_submit(struct link *l, struct json *job, link_event_fn *fn, void *arg, uint64_t *id, struct err *err);
/* Who is told what becomes of models: their events (job.h, "model"), and NULL when the process died and has none any more; on the
 * link's own thread, quickly.  NULL: nobody, and no call is under way when this returns. */
typedef void link_model_fn(void *arg, const struct json *event);
void link_watch(struct link *l, link_model_fn *fn, void *arg);
void link_cancel(struct link *l, uint64_t id);             /* a job that is over or unknown is fine */

struct link_state { bool ready, draining; uint32_t n_restarts, n_jobs; int64_t pid; const char *sandbox; };
/* sandbox: a sentence about what the engine cannot do; lives as long as the link. */
void link_state(struct link *l, struct link_state *out);

#endif
