/* os_net.c - net.h where there is POSIX. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/net.h"

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

/* What the system may keep of an answer for one who does not read; it would let that grow to some MB. */
enum { BACKLOG = 1024, UNREAD = 128 << 10 };

/* Those that are accepted inherit it. */
static int listen_at(int fd)
{
    int bytes = UNREAD;
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
    return listen(fd, BACKLOG);
}

static int new_socket(int family, struct err *err)
{
    int fd = socket(family, SOCK_STREAM, 0);
    if (fd < 0) return err_set(err, ERR_IO, "cannot make a socket: %s", strerror(errno));
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    return fd;
}

static int refused(int fd, const char *what, struct err *err)
{
    int why = errno;
    close(fd);
    return err_set(err, ERR_IO, "cannot listen on %s: %s%s", what, strerror(why),
                   why == EADDRINUSE ? "; another program does (another hearth serve?); choose another port" : "");
}

int net_listen(struct net_listener *out, const char *host, uint16_t port, struct err *err)
{
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(port) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
    bool six = strchr(host, ':') != NULL;
    char what[128];
    *out = (struct net_listener){ .fd = -1 };
    snprintf(what, sizeof what, six ? "[%.80s]:%u" : "%.80s:%u", host, port);
    if (inet_pton(six ? AF_INET6 : AF_INET, host, six ? (void *)&v6.sin6_addr : (void *)&v4.sin_addr) != 1)
        return err_set(err, ERR_ARG, "\"%.80s\" is not the number of an address; write 127.0.0.1, [::1] or 0.0.0.0", host);
    int fd = new_socket(six ? AF_INET6 : AF_INET, err), on = 1;
    if (fd < 0) return fd;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (six) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
    int rc = six ? bind(fd, (struct sockaddr *)&v6, sizeof v6) : bind(fd, (struct sockaddr *)&v4, sizeof v4);
    socklen_t n = six ? sizeof v6 : sizeof v4;
    if (rc < 0 || listen_at(fd) < 0 || getsockname(fd, six ? (struct sockaddr *)&v6 : (struct sockaddr *)&v4, &n) < 0)
        return refused(fd, what, err);
    *out = (struct net_listener){ fd, ntohs(six ? v6.sin6_port : v4.sin_port),
                                  six ? IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr) : ntohl(v4.sin_addr.s_addr) >> 24 == 127, false };
    return 0;
}

/* A socket that was left behind is removed. */
static int make_room(const struct sockaddr_un *a, struct err *err)
{
    struct stat st;
    if (lstat(a->sun_path, &st) < 0) return 0;
    if (!S_ISSOCK(st.st_mode)) return err_set(err, ERR_ARG, "%s: is there already, and is no socket", a->sun_path);
    int fd = new_socket(AF_UNIX, err);
    if (fd < 0) return fd;
    bool alive = connect(fd, (const struct sockaddr *)a, sizeof *a) == 0 || errno == EAGAIN || errno == EINPROGRESS;
    close(fd);
    if (alive) return err_set(err, ERR_IO, "%s: another program listens there", a->sun_path);
    unlink(a->sun_path);
    return 0;
}

int net_listen_unix(struct net_listener *out, const char *path, struct err *err)
{
    struct sockaddr_un a = { .sun_family = AF_UNIX };
    *out = (struct net_listener){ .fd = -1 };
    if (!*path || strlen(path) >= sizeof a.sun_path)
        return err_set(err, ERR_ARG, "the path of a Unix socket has 1 to %zu bytes: \"%.200s\"", sizeof a.sun_path - 1, path);
    memcpy(a.sun_path, path, strlen(path));
    int rc = make_room(&a, err);
    if (rc < 0) return rc;
    int fd = new_socket(AF_UNIX, err);
    if (fd < 0) return fd;
    mode_t old = umask(0177);
    rc = bind(fd, (struct sockaddr *)&a, sizeof a);
    umask(old);
    if (rc < 0 || chmod(path, 0600) < 0 || listen_at(fd) < 0) return refused(fd, path, err);
    *out = (struct net_listener){ fd, 0, true, true };
    return 0;
}

void net_close(int fd)
{
    if (fd >= 0) close(fd);
}

void net_shutdown(int fd) { shutdown(fd, SHUT_RDWR); }

/* Without POLLRDHUP: nothing to read though it is readable. */
static bool at_end(int fd)
{
    char c;
    return POLLRDHUP == 0 && recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

void net_gone(const int *fd, bool *gone, size_t n)
{
    enum { SOME = 512 };
    struct pollfd p[SOME];
    for (size_t at = 0; at < n; at += SOME) {
        size_t k = n - at < SOME ? n - at : SOME;
        for (size_t i = 0; i < k; i++) p[i] = (struct pollfd){ fd[at + i], POLLRDHUP ? POLLRDHUP : POLLIN, 0 };
        if (poll(p, (nfds_t)k, 0) < 0)
            for (size_t i = 0; i < k; i++) p[i].revents = 0;
        for (size_t i = 0; i < k; i++)
            gone[at + i] = (p[i].revents & (POLLRDHUP | POLLHUP | POLLERR)) || (p[i].revents & POLLIN && at_end(fd[at + i]));
    }
}

int net_wake_open(struct net_wake *w, struct err *err)
{
    if (pipe(w->fd) < 0) {
        *w = (struct net_wake){ { 0, 0 } };
        return err_set(err, ERR_IO, "cannot make a pipe: %s", strerror(errno));
    }
    for (int i = 0; i < 2; i++) {
        fcntl(w->fd[i], F_SETFL, O_NONBLOCK);
        fcntl(w->fd[i], F_SETFD, FD_CLOEXEC);
    }
    return 0;
}

void net_wake_close(struct net_wake *w)
{
    if (w->fd[0] == w->fd[1]) return;
    close(w->fd[0]);
    close(w->fd[1]);
    *w = (struct net_wake){ { 0, 0 } };
}

void net_wake(struct net_wake *w)
{
    if (write(w->fd[1], "", 1) < 0) { }                       /* full: it will wake anyway */
}

void net_wait(struct net_wake *w, unsigned ms)
{
    struct pollfd p = { w->fd[0], POLLIN, 0 };
    char drop[256];
    if (poll(&p, 1, (int)ms) > 0)
        while (read(w->fd[0], drop, sizeof drop) > 0) { }
}

uint64_t net_raise_files(void)
{
    struct rlimit r;
    if (getrlimit(RLIMIT_NOFILE, &r) < 0) return 256;
    rlim_t most = r.rlim_max == RLIM_INFINITY || r.rlim_max > 65536 ? 65536 : r.rlim_max, had = r.rlim_cur;
    if (had >= most) return had;
    r.rlim_cur = most;
    return setrlimit(RLIMIT_NOFILE, &r) == 0 ? (uint64_t)most : (uint64_t)had;
}
