/* os_proc.c - proc.h where there is POSIX. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/os.h"
#include "base/os_proc.h"
#include "base/proc.h"

/* ---- channels ---- */

struct chan {
    int fd, wake[2];
    _Atomic bool woken;                /* a byte is in the pipe, or about to be */
};

static bool set_up(int fd)
{
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) == 0;
}

int chan_of(struct chan **out, int fd, struct err *err)
{
    struct chan *c = *out = mem_new(1, sizeof *c);
    if (!c) {
        close(fd);
        return err_set(err, ERR_NOMEM, "out of memory for a connection");
    }
    *c = (struct chan){ fd, { -1, -1 }, false };
    if (pipe(c->wake) == 0 && set_up(c->wake[0]) && set_up(c->wake[1]) && set_up(fd)) return 0;
    int rc = err_set(err, ERR_IO, "cannot set up a connection between processes: %s", strerror(errno));
    chan_close(c);
    *out = NULL;
    return rc;
}

int chan_pair(struct chan **mine, int *theirs, struct err *err)
{
    int fd[2];
    *mine = NULL;
    *theirs = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
        return err_set(err, ERR_IO, "cannot make a pair of sockets: %s", strerror(errno));
    fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    int rc = chan_of(mine, fd[0], err);
    if (rc < 0) close(fd[1]);
    else *theirs = fd[1];
    return rc;
}

void chan_close(struct chan *c)
{
    if (!c) return;
    if (c->fd >= 0) close(c->fd);
    for (int i = 0; i < 2; i++)
        if (c->wake[i] >= 0) close(c->wake[i]);
    mem_free(c);
}

static int64_t result(ssize_t n, bool end_is_closed)
{
    if (n > 0 || (n == 0 && !end_is_closed)) return n;
    return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR) ? 0 : CHAN_CLOSED;
}

int64_t chan_read(struct chan *c, void *p, size_t n) { return result(read(c->fd, p, n), true); }
int64_t chan_write(struct chan *c, const void *p, size_t n) { return result(os_send(c->fd, p, n), false); }

void chan_wait(struct chan *c, bool to_write, int timeout_ms)
{
    struct pollfd f[2] = { { .fd = c->fd, .events = (short)(POLLIN | (to_write ? POLLOUT : 0)) },
                           { .fd = c->wake[0], .events = POLLIN } };
    if (poll(f, 2, timeout_ms) <= 0 || !f[1].revents) return;
    char drop[8];
    while (read(c->wake[0], drop, sizeof drop) > 0) { }
    atomic_store(&c->woken, false);
}

void chan_wake(struct chan *c)
{
    if (!atomic_exchange(&c->woken, true) && write(c->wake[1], "", 1) < 0) { }      /* full: it will wake anyway */
}

/* ---- processes ---- */

struct proc {
    pid_t pid;
    bool kept, ended;                  /* kept: the keeper's child */
    struct proc_end end;
    uint64_t n_oom;                    /* deaths for lack of memory on this machine before */
};

static int errors_to = 2;                  /* where children write: standard error, or proc_errors */

int proc_errors(struct chan **out, struct err *err)
{
    int fd[2];
    *out = NULL;
    if (pipe(fd) < 0) return err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    fcntl(fd[1], F_SETFD, FD_CLOEXEC);
    int rc = chan_of(out, fd[0], err);
    if (rc < 0) close(fd[1]);
    else errors_to = fd[1];
    return rc;
}

/* Between fork and exec: only calls that signal handlers may make. */
void os_become(const char *program, char *const *argv, int fd)
{
    sigset_t none;
    int null = open("/dev/null", O_RDONLY);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP) signal(s, SIG_DFL);
    if (null >= 0 && null != 0) dup2(null, 0);
    if (errors_to != 2) dup2(errors_to, 2);
    dup2(2, 1);
    if (fd == PROC_FD) fcntl(fd, F_SETFD, 0);
    else dup2(fd, PROC_FD);
    os_close_from(PROC_FD + 1);
    execv(program, argv);
    _exit(127);
}

int proc_start(struct proc **out, const char *program, const char *const *args, int fd, struct err *err)
{
    enum { MAX_ARGS = 32 };
    char *argv[MAX_ARGS + 2] = { (char *)(uintptr_t)"hearth" }, self[4096];
    size_t n = 0;
    *out = NULL;
    for (; args[n] && n < MAX_ARGS; n++) argv[n + 1] = (char *)(uintptr_t)args[n];
    struct proc *p = mem_new(1, sizeof *p);
    int rc = p ? 0 : err_set(err, ERR_NOMEM, "out of memory starting a process");
    if (rc == 0 && !program && !os_self_path(self, sizeof self))
        rc = err_set(err, ERR_IO, "cannot find the file of this program to start it again");
    int error = 0;
    if (rc == 0) {
        p->n_oom = os_oom_kills();
        p->kept = keeper_serves(program);
        if (p->kept && keeper_start(args, fd, &p->pid, &error) < 0) p->pid = -1;
        if (!p->kept) p->pid = fork();
        if (p->pid == 0) os_become(program ? program : self, argv, fd);
        if (p->pid < 0) rc = err_set(err, ERR_IO, "cannot start a process: %s", strerror(p->kept ? error : errno));
    }
    close(fd);
    if (rc < 0) mem_free(p);
    else *out = p;
    return rc;
}

int64_t proc_id(const struct proc *p) { return p->pid; }

void proc_kill(struct proc *p)
{
    struct proc_end unused;
    if (!proc_ended(p, &unused)) kill(p->pid, SIGKILL);
}

static bool wait_for(struct proc *p, int options)
{
    int status = 0;
    pid_t got = 0;
    if (p->ended) return true;
    if (p->kept)
        while (!(got = keeper_ended(p->pid, &status) ? status == -1 ? -1 : p->pid : 0) && !(options & WNOHANG)) poll(NULL, 0, 1);
    else
        while ((got = waitpid(p->pid, &status, options)) < 0 && errno == EINTR) { }
    if (got == 0) return false;
    p->ended = true;                   /* also when there is no such child: somebody else has waited for it */
    if (got < 0) return true;
    if (WIFSIGNALED(status)) p->end.signal = WTERMSIG(status);
    else p->end.code = WEXITSTATUS(status);
    p->end.out_of_memory = p->end.signal == SIGKILL && os_oom_kills() > p->n_oom;
    return true;
}

bool proc_ended(struct proc *p, struct proc_end *out)
{
    bool ended = wait_for(p, WNOHANG);
    *out = p->end;
    return ended;
}

void proc_free(struct proc *p)
{
    if (!p) return;
    proc_kill(p);
    wait_for(p, 0);
    mem_free(p);
}
