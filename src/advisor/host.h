/* host.h - what this machine is, and what about it stands in a model's way.
 *
 * Read from the operating system; below `root` in tests.  How fast its memory is read is measured elsewhere and filled in.
 * Threads: any. */
#ifndef HEARTH_ADVISOR_HOST_H
#define HEARTH_ADVISOR_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "advisor/machine.h"

enum { HOST_GPUS = 16 };

struct host_gpu { char name[96], driver[24]; uint64_t memory; };     /* memory 0: unknown */

struct host {
    char cpu[128], instructions[16];
    unsigned threads, cores;               /* logical processors that may be used, physical cores among them */
    uint64_t memory, available;            /* bytes; 0: unknown */
    uint64_t container;                    /* limit of the control group; 0: none */
    char folder[256];                      /* of models */
    uint64_t disk;                         /* bytes free there; 0: unknown */
    uint64_t locked, files, space;         /* limits of the process; UINT64_MAX: none */
    struct host_gpu gpu[HOST_GPUS];
    size_t n_gpus;
    uint64_t gpu_share;                    /* what a GPU may take of the memory that it shares; 0: none */
    bool huge_never;                       /* large pages are switched off */
    double read, int8, f32;                /* measured: bytes, multiply-adds a second; 0: not */
};

/* All but folder, disk and what is measured.  root: "" */
void host_read(struct host *h, const char *root);
/* Bytes that a model may take now: what is available, or what the container still gives. */
uint64_t host_room(const struct host *h);

/* The same as a machine of the forecasts, with what was measured. */
void host_machine(const struct host *h, struct machine *out);

/* What should be known: advice i with its remedy, false past the last.  warning: something is slower or smaller than need be. */
struct host_advice { bool warning; struct buf text, remedy; };
bool host_advise(const struct host *h, size_t i, struct host_advice *out);      /* clears, and fills, the bufs of out */

#endif
