/* admit.h - which jobs the engine gets, and which wait: a queue with limits that is fair between keys.
 *
 * At most `running` jobs are with the engine.  The others wait, each key's in the order in which they came.  A free place goes to
 * the key that has had the least work done: its jobs' costs are added up, a guess when they begin and what they were when they
 * end.  Who comes begins with what the one has that was served last, so that nobody saves up a claim; who leaves with more than
 * that is remembered until the others have as much, or nobody asks for anything.  Beyond the limits a job is refused at once.
 * Threads: any.  Nothing is called back; who gets a ticket from admit_next starts it. */
#ifndef HEARTH_SERVER_ADMIT_H
#define HEARTH_SERVER_ADMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/lock.h"

enum ticket_state { TICKET_NONE, TICKET_WAITS, TICKET_RUNS };
struct admit_user;
struct ticket {                    /* zero-initialised, part of what is admitted */
    struct ticket *prev, *next;    /* of those of its key that wait */
    struct admit_user *user;
    enum ticket_state state;
    uint64_t since, deadline;      /* ns, of os_now_ns; deadline 0: none */
    uint64_t guess;                /* of its cost, while it runs */
};

struct admit_user {
    struct admit_user *prev, *next;
    struct ticket *first, *last;
    uint32_t n;                    /* tickets */
    uint64_t served;               /* cost of what was done for it */
    char name[64];
};
struct admit {                     /* zero-initialised, then admit_limits */
    struct lock lock;
    struct admit_user *user;       /* a ring; of several who have had the same, the first from here on is next */
    uint32_t running, waiting, max_running, max_waiting, max_user, n_users;
    uint64_t clock;                /* what the one had that was served last, before */
    uint64_t mean_ns, mean_cost;   /* how long a job runs, and its cost, of late */
};

void admit_limits(struct admit *a, uint32_t running, uint32_t waiting, uint32_t per_user);
enum admission { ADMIT_RUN, ADMIT_WAIT, ADMIT_FULL, ADMIT_USER_FULL };
enum admission admit_enter(struct admit *a, struct ticket *t, const char *user, uint64_t deadline);
/* One that runs or waits goes; others are fine.  cost: in tokens, of one that ran. */
void admit_leave(struct admit *a, struct ticket *t, uint64_t cost);
/* Takes one that waits out of the queue; false: it does not wait (any more). */
bool admit_withdraw(struct admit *a, struct ticket *t);
/* The next that may run, which now does; NULL: none.  To be asked until it says so after each admit_leave and admit_limits. */
struct ticket *admit_next(struct admit *a);
/* One whose deadline is over, taken out of the queue; NULL: none. */
struct ticket *admit_late(struct admit *a, uint64_t now);
/* Seconds after which it makes sense to ask again, 1 to 60. */
unsigned admit_retry_s(struct admit *a);

#endif
