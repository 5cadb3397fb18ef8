/* this_machine.h - what this machine is, and how fast it proves to be now.  Main thread. */
#ifndef HEARTH_APP_THIS_MACHINE_H
#define HEARTH_APP_THIS_MACHINE_H

#include "advisor/host.h"
#include "base/err.h"

/* Measures as `hearth bench` does, with as many threads (0: one per core), in half a second; and looks where models are kept. */
int this_machine(struct host *out, unsigned threads, struct err *err);

#endif
