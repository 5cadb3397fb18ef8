/* link_impl.h - inside the link: what link.c (the process) and link_jobs.c (the jobs) share.
 *
 * What was told of a completion is counted and hashed, event by event; when its job is sent again, as many events are passed
 * over, and must come to the same hash.  Events that depend on the moment (loading, queued, prefill, start) are no part of that.
 * Threads: the link's own runs everything here but what link.h offers to all. */
#ifndef HEARTH_SERVER_LINK_IMPL_H
#define HEARTH_SERVER_LINK_IMPL_H

#include <stdarg.h>

#include "base/lock.h"
#include "base/os.h"
#include "base/proc.h"
#include "server/frame.h"
#include "server/job.h"
#include "server/link.h"

struct told { uint32_t n, seen; uint64_t hash, seen_hash; };   /* of a completion; `seen`: since the job was sent last */

struct link_job {
    uint64_t id, hash;                 /* hash: of the job as it was submitted */
    char *text;                        /* [n] as it is sent */
    size_t n;
    link_event_fn *fn;
    void *arg;
    struct told *told;                 /* [n_told] */
    uint32_t n_told, n_deaths;
    uint64_t deadline;                 /* os_now_ns; 0: none */
    bool sent, cancelled, started, fixed;      /* fixed: something came in between that a repeated one would not have */
    enum { LASTS_NOT, LASTS, LASTS_NO_MORE } lasts;    /* what it did is done again in a new process, or no longer */
    uint64_t about;                    /* what it did that to: equal numbers replace each other */
    struct lasting *again;             /* it does this again */
    struct link_job *next;
};

/* A job that is sent first to each new process: a pin, adapters. */
struct lasting { uint64_t about; char *text; size_t n; };

enum { N_BAD = 16, N_LASTING = 32 };

struct link {
    struct link_options o;
    struct os_thread *thread;
    struct lock lock;                  /* guards the rest, but for what only the thread writes and reads */
    struct proc *proc;
    struct frames *frames;
    bool ready, down, draining, closing, out_of_memory, hung;      /* the last two: how it died */
    uint32_t n_restarts, n_jobs;
    uint64_t next_id, start_at;
    struct link_job *job, **last;      /* in their order */
    struct { uint64_t hash, until; } bad[N_BAD];       /* jobs that the process does not survive */
    struct lasting lasting[N_LASTING]; /* the thread's, as is the next */
    uint64_t death[8];                 /* the last ones */
    uint64_t looked, silent;           /* the thread's: when it looked at the clock; for how many ns there was no sign of life */
    char why[256], sandbox[512];
    _Atomic uint32_t changed;
    struct lock watching;              /* guards who is told of models, while they are */
    link_model_fn *watch;
    void *watch_arg;
};

void link_note(const struct link *l, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Sends those that were not sent yet, one at a time of those that may be to blame for several deaths. */
void link_jobs_send(struct link *l);
/* Those that last, to a new process. */
void link_jobs_restore(struct link *l);
void link_jobs_release(struct link *l);
/* The process died: those it had are to be sent again, or end. */
void link_jobs_died(struct link *l);
/* An event of the process. */
int  link_jobs_event(struct link *l, uint64_t id, const struct json *e, const char *text, size_t n, struct err *err);
/* Ends all with an error of that kind; the message is a then b. */
void link_jobs_end(struct link *l, const char *kind, const char *a, const char *b);
/* Ends those that were cancelled before they were sent. */
void link_jobs_tidy(struct link *l);

#endif
