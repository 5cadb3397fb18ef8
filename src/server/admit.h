/* admit.h - which jobs the engine gets, and which wait: a queue with limits that is fair between keys.
 *
 * At most `running` jobs are with the engine.  The others wait, each key's in the order in which they came; when a place is
 * free, keys take turns.  Beyond the limits a job is refused at once.
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
};

struct admit_user { struct admit_user *prev, *next; struct ticket *first, *last; uint32_t n; char name[64]; };
struct admit {                     /* zero-initialised, then admit_limits */
    struct lock lock;
    struct admit_user *user;       /* a ring; the one whose turn it is */
    uint32_t running, waiting, max_running, max_waiting, max_user;
    uint64_t mean_ns;              /* how long a job runs, of late */
};

void admit_limits(struct admit *a, uint32_t running, uint32_t waiting, uint32_t per_user);
enum admission { ADMIT_RUN, ADMIT_WAIT, ADMIT_FULL, ADMIT_USER_FULL };
enum admission admit_enter(struct admit *a, struct ticket *t, const char *user, uint64_t deadline);
/* One that runs or waits goes; others are fine. */
void admit_leave(struct admit *a, struct ticket *t);
/* Takes one that waits out of the queue; false: it does not wait (any more). */
bool admit_withdraw(struct admit *a, struct ticket *t);
/* The next that may run, which now does; NULL: none.  To be asked until it says so after each admit_leave and admit_limits. */
struct ticket *admit_next(struct admit *a);
/* One whose deadline is over, taken out of the queue; NULL: none. */
struct ticket *admit_late(struct admit *a, uint64_t now);
/* Seconds after which it makes sense to ask again, 1 to 60. */
unsigned admit_retry_s(struct admit *a);

#endif
