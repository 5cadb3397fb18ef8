/* os_proc_macos.c - what only macOS answers about processes. */
#include <mach-o/dyld.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/os_proc.h"
#include "base/proc.h"

ssize_t os_send(int fd, const void *p, size_t n)
{
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on);
    return send(fd, p, n, 0);
}

bool os_self_path(char *dst, size_t n)
{
    uint32_t size = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
    return _NSGetExecutablePath(dst, &size) == 0;
}

uint64_t os_oom_kills(void) { return 0; }

void os_close_from(int fd)
{
    for (int i = fd; i < 10240; i++) close(i);
}

void proc_begin(const char *name) { (void)name; }
