/* proc.h - child processes that are this program again, and the pair of sockets to talk with them.
 *
 * Threads: any; one at a time for each object, but for chan_wake. */
#ifndef HEARTH_BASE_PROC_H
#define HEARTH_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* ---- one end of a stream of bytes, for a thread that waits and others that wake it ---- */

struct chan;
/* Two ends: one for this process, one (a descriptor that programs started by others do not inherit) to be given away. */
int  chan_pair(struct chan **mine, int *theirs, struct err *err);
int  chan_of(struct chan **out, int fd, struct err *err);            /* takes fd, also on failure */
void chan_close(struct chan *c);                                     /* NULL is fine */

enum { CHAN_CLOSED = -1 };                                           /* the other end is gone */
int64_t chan_read(struct chan *c, void *p, size_t n);                /* bytes, 0: none now, CHAN_CLOSED */
int64_t chan_write(struct chan *c, const void *p, size_t n);         /* bytes taken, 0: none now, CHAN_CLOSED */
/* Returns when there is something to read or the end of it, room to write if that is wanted, a wake since the last wait, or
 * timeout_ms have passed (< 0: never). */
void chan_wait(struct chan *c, bool to_write, int timeout_ms);
void chan_wake(struct chan *c);                                      /* any thread */

/* ---- processes ---- */

enum { PROC_FD = 3 };              /* the child's end */
struct proc;
/* Starts `program` (NULL: this one, even when its file was replaced) with args, NULL at the end; fd, which is closed here,
 * becomes its PROC_FD.  It has nothing else of this process but standard error (or proc_errors), its standard output too. */
int  proc_start(struct proc **out, const char *program, const char *const *args, int fd, struct err *err);
int64_t proc_id(const struct proc *p);
void proc_kill(struct proc *p);                                      /* at once; nothing happens when it has ended */
/* How it ended: an exit code, or a signal, or for lack of memory (the system's doing, as far as that can be known). */
struct proc_end { int code, signal; bool out_of_memory; };
bool proc_ended(struct proc *p, struct proc_end *out);               /* without waiting */
void proc_free(struct proc *p);                                      /* kills it, and waits until it is gone; NULL is fine */

/* From here on what processes write to standard error comes to this channel, which is for reading; whoever has it reads it for as
 * long as there are any.  Before proc_keep, once. */
int  proc_errors(struct chan **out, struct err *err);

/* From here on other processes are started by a small one that this call makes, so that this one can give up starting programs
 * (sandbox_serve).  It starts only `program` (NULL: this one), with the arguments of one of these rows (words with a space
 * between; NULL at the end), and one more where that ends with --.  It ends with this process, which can no longer look into it
 * or into what it starts (sandbox_apart, where the system can do that).  Before the first thread, once. */
int  proc_keep(const char *program, const char *const *rows, struct err *err);

/* In the child: what lists of processes call it, at most 15 bytes; and it is killed when the thread that started it ends, where
 * the system can do that. */
void proc_begin(const char *name);

#endif
