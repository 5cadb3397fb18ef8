#include "app/signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

enum { PATIENCE = 3 };

static volatile sig_atomic_t pending, times;
static int wake[2] = { -1, -1 };

static void on_signal(int sig)
{
    int saved = errno;
    if (!pending) pending = sig;
    if (++times >= PATIENCE) _exit(128 + sig);
    if (wake[1] >= 0 && write(wake[1], "", 1) < 0) { }         /* full: somebody will wake anyway */
    errno = saved;
}

void signals_init(void)
{
    if (pipe(wake) == 0)
        for (int i = 0; i < 2; i++) {
            fcntl(wake[i], F_SETFL, O_NONBLOCK);
            fcntl(wake[i], F_SETFD, FD_CLOEXEC);
        }
    struct sigaction a = { 0 };
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    sigaction(SIGHUP, &a, NULL);
    a.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &a, NULL);
}

int signals_pending(void) { return pending; }
int signals_fd(void) { return wake[0]; }

void signals_ignore(void)
{
    static const int sig[] = { SIGINT, SIGTERM, SIGHUP };
    for (size_t i = 0; i < sizeof sig / sizeof *sig; i++) signal(sig[i], SIG_IGN);
}

void signals_clear(void)
{
    char drop[16];
    while (wake[0] >= 0 && read(wake[0], drop, sizeof drop) > 0) { }
    pending = times = 0;
}
