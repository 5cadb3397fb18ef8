/* os_dial.c - dial.h where there is POSIX. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/dial.h"

union address { struct sockaddr any; struct sockaddr_in v4; struct sockaddr_in6 v6; struct sockaddr_un un; };

static int not_an_address(const char *text, struct err *err)
{
    return err_set(err, ERR_ARG, "\"%.100s\" is no address; write 127.0.0.1:11434, [::1]:11434 or unix:/path", text);
}

static int read_unix(const char *path, union address *a, socklen_t *n, struct err *err)
{
    if (!*path || strlen(path) >= sizeof a->un.sun_path)
        return err_set(err, ERR_ARG, "unix:%.120s: the path of a socket has 1 to %zu bytes", path, sizeof a->un.sun_path - 1);
    a->un.sun_family = AF_UNIX;
    memcpy(a->un.sun_path, path, strlen(path) + 1);
    *n = sizeof a->un;
    return 0;
}

static int read_address(const char *text, union address *a, socklen_t *n, struct err *err)
{
    char host[64];
    *a = (union address){ .any = { 0 } };
    if (!strncmp(text, "unix:", 5)) return read_unix(text + 5, a, n, err);
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;
    char *end = NULL;
    long port = colon ? strtol(colon + 1, &end, 10) : 0;
    if (!len || len >= sizeof host || !end || *end || port < 1 || port > 65535) return not_an_address(text, err);
    bool six = text[0] == '[' && text[len - 1] == ']';
    memcpy(host, text + six, len - 2 * six);
    host[len - 2 * six] = 0;
    if (!strcmp(host, "localhost")) fmt_into(host, sizeof host, "127.0.0.1");
    if (six) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)port);
        *n = sizeof a->v6;
        return inet_pton(AF_INET6, host, &a->v6.sin6_addr) == 1 ? 0 : not_an_address(text, err);
    }
    a->v4.sin_family = AF_INET;
    a->v4.sin_port = htons((uint16_t)port);
    *n = sizeof a->v4;
    return inet_pton(AF_INET, host, &a->v4.sin_addr) == 1 ? 0 : not_an_address(text, err);
}

int dial(struct chan **out, const char *address, struct err *err)
{
    union address a;
    socklen_t n = 0;
    *out = NULL;
    int rc = read_address(address, &a, &n, err);
    if (rc < 0) return rc;
    int fd = socket(a.any.sa_family, SOCK_STREAM, 0);
    if (fd < 0) return err_set(err, ERR_IO, "cannot make a socket: %s", strerror(errno));
    /* What a signal interrupted goes on by itself: some systems then say EALREADY, and EISCONN when it is done. */
    while (connect(fd, &a.any, n) < 0 && errno != EISCONN) {
        if (errno == EALREADY) poll(&(struct pollfd){ fd, POLLOUT, 0 }, 1, -1);
        else if (errno != EINTR) {
            int why = errno;
            close(fd);
            return err_set(err, why == ECONNREFUSED || why == ENOENT ? ERR_NOTFOUND : ERR_IO, "cannot connect to %.120s: %s",
                           address, strerror(why));
        }
    }
    return chan_of(out, fd, err);
}
