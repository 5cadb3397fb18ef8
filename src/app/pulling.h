/* pulling.h - fetching a model with a line that shows how far it is, or lines of JSON.  Main thread. */
#ifndef HEARTH_APP_PULLING_H
#define HEARTH_APP_PULLING_H

#include "app/progress.h"
#include "store/pull.h"

struct pulling {
    bool json;                             /* one object a line on standard output */
    bool quiet;                            /* no remarks on standard error */
    bool yes;                              /* do not ask, however large */
    struct pull_options o;
    /* the rest is its own */
    const struct name *name;
    struct progress reading;               /* of files that may be equal */
    const char *refused;                   /* why it was not wanted */
    size_t in_place;                       /* files of others that are used where they lie */
    uint64_t done, total, missing, begun, shown, fetched_from;
    double speed;
    uint64_t speed_at, speed_bytes;
};

/* Above this many bytes a person is asked, and nobody else may. */
#define PULL_ASK_ABOVE 10000000000u

/* Fills in what p->o tells; pulling does it itself. */
void pulling_tell(struct pulling *p);
/* `kept` may be NULL.  ERR_CANCELLED when a signal came or the answer was no. */
int pulling(struct pulling *p, const char *operand, struct name *kept, struct err *err);

#endif
