/* link.h - the front's side of the engine process: starts it, sends jobs, hands out events, starts it again when it dies.
 *
 * The engine process (worker.c) is this same program under the hidden command "engine"; both talk over a pair of sockets in
 * frames of a 32-bit length, the job's number and a JSON document (job.h).  When it dies, jobs that had no text event yet
 * are sent again to its successor; others are sent again too and the text that was already handed out is left out of what comes
 * (answers are bit-identical), except those that cannot be repeated, which end with an error event of kind "engine".  After
 * several deaths by the same job, that job gets the error.  Threads: any, unless said otherwise. */
#ifndef HEARTH_SERVER_LINK_H
#define HEARTH_SERVER_LINK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"

struct link;
struct link_options {              /* zero-initialise */
    uint64_t memory_limit;         /* bytes for weights, keys and values of all models; 0: what the machine has free */
    uint32_t max_running, max_queued, threads, n_ctx;     /* of each model; 0: the engine's defaults */
    int64_t keep_alive_s;          /* 0: 300; -1: for ever */
    const char *const *folders;    /* [n_folders] the only ones from which the engine may read, besides the embedded model */
    uint32_t n_folders;
    const char *cache_folder;      /* of saved keys and values; NULL: none */
    bool no_sandbox;
};

/* One event of a job, on the link's own thread, in order: quickly, without waiting.  `last`: the job is over, nothing follows. */
typedef void link_event_fn(void *arg, const struct json *event, bool last);

int  link_open(struct link **out, const struct link_options *o, struct err *err);
void link_drain(struct link *l, uint32_t timeout_ms);      /* no new jobs; waits until the present ones are over */
void link_close(struct link *l);                           /* cancels what is left; each job still gets its last event */
/* Takes job, also on failure.  *id (not 0) is set before the first event comes. */
int  link_submit(struct link *l, struct json *job, link_event_fn *fn, void *arg, uint64_t *id, struct err *err);
void link_cancel(struct link *l, uint64_t id);             /* a job that is over or unknown is fine */

struct link_state { bool ready, draining; uint32_t n_restarts, n_jobs; int64_t pid; const char *sandbox; };
void link_state(struct link *l, struct link_state *out);   /* sandbox: a sentence about what the engine cannot do */

#endif
