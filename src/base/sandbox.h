/* sandbox.h - a process gives up what it will not need, for good.
 *
 * Before the first thread is started: what is given up is given up for all threads that come.  A system (or its settings) that
 * cannot do a part is no error: what was reached is said, and can be tried.  Threads: one. */
#ifndef HEARTH_BASE_SANDBOX_H
#define HEARTH_BASE_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct sandbox {                   /* zero-initialise */
    const char *const *read;       /* [n_read] folders and files that may be read, and no others; those not there are skipped */
    size_t n_read;
    const char *write[2];          /* folders in which files may be made and changed; NULL: none */
    uint64_t data_limit;           /* bytes of memory of its own, mapped files not counted; more is refused; 0: no limit */
};
enum { SANDBOX_CALLS = 1,          /* no sockets, no other programs, no tracing: system calls outside a list fail */
       SANDBOX_FILES = 2,          /* files outside the lists fail */
       SANDBOX_OUTBOUND = 4 };     /* nothing can be dialled */

/* For a process that computes.  *reached becomes the parts that hold. */
int sandbox_compute(const struct sandbox *s, unsigned *reached, struct err *err);
/* For a process that serves connections which others open: it may accept them, but opens none and starts no programs.
 * Threads that are already there give it up too. */
int sandbox_serve(unsigned *reached, struct err *err);
/* From here on this process, the threads that it starts and what comes of them can neither trace nor look into processes that are
 * not inside with them, whoever owns those, nor connect over TCP; files are as before.  Without it the process of proc_keep could
 * be made to do what this one has given up.  false: this system or this build cannot do it. */
bool sandbox_apart(void);

/* Tries to leave: what comes of each is appended as "socket: Operation not permitted" and so on, with "; " between.  true: all
 * was refused.  Files are tried only where the sandbox says so. */
bool sandbox_try(unsigned reached, struct buf *out);
/* No memory of this process in files after a crash, nor for other processes of the user to read. */
void sandbox_keep_secrets(void);
/* This process and its children from here on: a network of their own that leads nowhere.  ERR_UNSUPPORTED with the reason. */
int sandbox_no_network(struct err *err);

#endif
