/* os_proc_linux.c - what only Linux answers about processes. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/os_proc.h"
#include "base/proc.h"

ssize_t os_send(int fd, const void *p, size_t n) { return send(fd, p, n, MSG_NOSIGNAL); }

/* The link leads to the program that runs, whatever lies under its name by now. */
bool os_self_path(char *dst, size_t n)
{
    static const char link[] = "/proc/self/exe";
    if (n < sizeof link || access(link, X_OK) != 0) return false;
    memcpy(dst, link, sizeof link);
    return true;
}

uint64_t os_oom_kills(void)
{
    FILE *f = fopen("/proc/vmstat", "re");
    char line[128];
    unsigned long long n = 0;
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "oom_kill %llu", &n) == 1) break;
    if (f) fclose(f);
    return n;
}

void os_close_from(int fd)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)fd, ~0u, 0u) == 0) return;
#endif
    for (int i = fd; i < 65536; i++) close(i);
}

void proc_begin(const char *name)
{
    prctl(PR_SET_NAME, name);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}
