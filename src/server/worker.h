/* worker.h - the engine process: takes jobs (job.h) from the channel PROC_FD and answers them until the other side is gone.
 *
 * It is started by link.h through the hidden command "engine".  Its first frame (number 0) tells what it may use, and it shuts
 * itself in accordingly before it reads anything else; then it says hello. */
#ifndef HEARTH_SERVER_WORKER_H
#define HEARTH_SERVER_WORKER_H

#include "base/err.h"

/* Takes fd.  Returns when the other side is gone, all jobs cancelled and all models closed; an error when it is no link. */
int worker_run(int fd, struct err *err);

#endif
