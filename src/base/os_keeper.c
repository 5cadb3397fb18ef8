/* os_keeper.c - the process that starts others for one that has given that up.
 *
 * It is forked, not executed, while there is only one thread, and has one end of a pair of sockets.  A question is a head, then
 * for a start its arguments with a descriptor; each question has one answer. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/os_proc.h"
#include "base/proc.h"
#include "base/sandbox.h"

enum { MAX_BYTES = 16384, MAX_ARGS = 32 };
struct question { int32_t pid; uint32_t n; };      /* pid: has it ended?  0: start one, whose arguments are n bytes */
struct answer { int32_t pid, error, ended, status; };

static struct { int fd; const char *program; struct lock lock; } keeper = { .fd = -1 };

bool keeper_serves(const char *program)
{
    return keeper.fd >= 0 && (!program == !keeper.program) && (!program || !strcmp(program, keeper.program));
}

static bool all_in(int fd, void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = read(fd, (char *)p + at, n - at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += (size_t)k;
    }
    return true;
}

static bool all_out(int fd, const void *p, size_t n)
{
    for (size_t at = 0; at < n;) {
        ssize_t k = os_send(fd, (const char *)p + at, n - at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) return false;
        at += (size_t)k;
    }
    return true;
}

/* A question's head, with a descriptor when fd >= 0. */
static bool send_head(int to, const struct question *q, int fd)
{
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec part = { (void *)(uintptr_t)q, sizeof *q };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1 };
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        m.msg_control = &control;
        m.msg_controllen = sizeof control;
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof fd);
        memcpy(CMSG_DATA(c), &fd, sizeof fd);
    }
    ssize_t n;
    while ((n = sendmsg(to, &m, 0)) < 0 && errno == EINTR) { }
    return n > 0 && all_out(to, (const char *)q + n, sizeof *q - (size_t)n);
}

/* *fd becomes the descriptor, or -1. */
static bool read_head(int from, struct question *q, int *fd)
{
    union { struct cmsghdr head; char room[CMSG_SPACE(sizeof(int))]; } control;
    struct iovec part = { q, sizeof *q };
    struct msghdr m = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                        .msg_controllen = CMSG_LEN(sizeof(int)) };     /* CMSG_SPACE has room for two */
    ssize_t n;
    *fd = -1;
    while ((n = recvmsg(from, &m, 0)) < 0 && errno == EINTR) { }
    if (n <= 0) return false;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (c && c->cmsg_type == SCM_RIGHTS) memcpy(fd, CMSG_DATA((struct cmsghdr *)(uintptr_t)c), sizeof *fd);
    return all_in(from, (char *)q + n, sizeof *q - (size_t)n);
}

/* ---- the keeper ---- */

/* Whether the arguments are those of a row, and one more where that ends with --. */
static bool is_row(const char *row, char *const *arg)
{
    bool open = false;
    for (; *row; arg++) {
        size_t n = strcspn(row, " ");
        if (!*arg || strlen(*arg) != n || memcmp(*arg, row, n) != 0) return false;
        open = n == 2 && !memcmp(row, "--", 2);
        row += n + (row[n] == ' ');
    }
    return !arg[0] || (open && !arg[1]);
}

static bool is_agreed(const char *const *rows, char *const *arg)
{
    while (*rows && !is_row(*rows, arg)) rows++;
    return *rows != NULL;
}

static void start(const char *program, const char *const *rows, char *args, size_t n, int fd, struct answer *a)
{
    char *argv[MAX_ARGS + 2] = { (char *)(uintptr_t)"hearth" }, self[4096];
    size_t k = 1;
    bool whole = n && !args[n - 1];                    /* first: nobody says that the last argument ends */
    for (size_t at = 0; whole && at < n && k <= MAX_ARGS; at += strlen(args + at) + 1) argv[k++] = args + at;
    if (!whole || k > MAX_ARGS || fd < 0 || !is_agreed(rows, argv + 1) || (!program && !os_self_path(self, sizeof self))) {
        a->error = EPERM;
        return;
    }
    a->pid = fork();
    if (a->pid == 0) os_become(program ? program : self, argv, fd);
    if (a->pid < 0) a->error = errno;
}

static void keep(int fd, const char *program, const char *const *rows)
{
    static char args[MAX_BYTES];
    static const int ignored[] = { SIGINT, SIGTERM, SIGHUP, SIGPIPE };
    struct question q;
    int given;
    for (size_t i = 0; i < sizeof ignored / sizeof *ignored; i++) signal(ignored[i], SIG_IGN);
    while (read_head(fd, &q, &given)) {
        struct answer a = { .pid = -1 };
        if (q.n > MAX_BYTES || (q.n && !all_in(fd, args, q.n))) break;
        if (!q.pid) start(program, rows, args, q.n, given, &a);
        else {
            pid_t got = waitpid(q.pid, &a.status, WNOHANG);
            a.ended = got != 0;
            if (got < 0) a.status = -1;
        }
        if (given >= 0) close(given);
        if (!all_out(fd, &a, sizeof a)) break;
    }
}

int proc_keep(const char *program, const char *const *rows, struct err *err)
{
    int fd[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd) < 0)
        return err_set(err, ERR_IO, "cannot make a pair of sockets: %s", strerror(errno));
    for (int i = 0; i < 2; i++) fcntl(fd[i], F_SETFD, FD_CLOEXEC);
    pid_t pid = fork();
    if (pid < 0) {
        close(fd[0]);
        close(fd[1]);
        return err_set(err, ERR_IO, "cannot start a process: %s", strerror(errno));
    }
    if (pid == 0) {
        close(fd[0]);
        proc_begin("hearth-keeper");
        sandbox_keep_secrets();                        /* nor may others write to its memory */
        keep(fd[1], program, rows);
        _exit(0);
    }
    close(fd[1]);
    keeper.fd = fd[0];
    keeper.program = program;
    sandbox_apart();
    return 0;
}

/* ---- who asks it ---- */

/* Under the lock. */
static bool ask(const struct question *q, const char *args, int fd, struct answer *a)
{
    return send_head(keeper.fd, q, fd) && (!q->n || all_out(keeper.fd, args, q->n)) && all_in(keeper.fd, a, sizeof *a);
}

int keeper_start(const char *const *args, int fd, pid_t *pid, int *error)
{
    static char text[MAX_BYTES];
    struct question q = { 0 };
    struct answer a;
    lock_take(&keeper.lock);
    bool ok = true;
    for (; *args && ok; args++) {
        size_t n = strlen(*args) + 1;
        ok = n <= sizeof text - q.n;
        if (ok) memcpy(text + q.n, *args, n);
        q.n += (uint32_t)(ok ? n : 0);
    }
    *error = E2BIG;
    if (ok && !(ok = ask(&q, text, fd, &a))) *error = EPIPE;
    lock_give(&keeper.lock);
    if (!ok) return -1;
    *pid = a.pid;
    *error = a.error;
    return a.pid > 0 ? 0 : -1;
}

bool keeper_ended(pid_t pid, int *status)
{
    struct question q = { .pid = (int32_t)pid };
    struct answer a;
    lock_take(&keeper.lock);
    bool ok = ask(&q, NULL, -1, &a);
    lock_give(&keeper.lock);
    *status = ok ? a.status : -1;
    return !ok || a.ended;
}
