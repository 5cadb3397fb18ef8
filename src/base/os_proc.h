/* os_proc.h - what os_proc.c asks of the files of the systems. */
#ifndef HEARTH_BASE_OS_PROC_H
#define HEARTH_BASE_OS_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

ssize_t  os_send(int fd, const void *p, size_t n);         /* without a signal when the other end is gone */
bool     os_self_path(char *dst, size_t n);                /* the file of this program */
uint64_t os_oom_kills(void);                               /* processes that the system ended for lack of memory; 0: unknown */
void     os_close_from(int fd);                            /* and all above; as signal handlers may */

/* os_proc.c: what a child does between fork and exec.  argv ends with NULL; program NULL is argv[0]. */
void os_become(const char *program, char *const *argv, int fd);

/* os_keeper.c: the process that starts others, once there is one. */
bool keeper_serves(const char *program);
int  keeper_start(const char *const *args, int fd, pid_t *pid, int *error);      /* negative, with *error: it could not */
bool keeper_ended(pid_t pid, int *status);                 /* true with -1: nobody knows of it */

#endif
