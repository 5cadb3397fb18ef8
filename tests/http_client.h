/* http_client.h - the other side of a server under test: raw bytes over a socket, with time limits. */
#ifndef HEARTH_TESTS_HTTP_CLIENT_H
#define HEARTH_TESTS_HTTP_CLIENT_H

#include "tests/testing.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static inline int client_open(int port)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
        fail_msg("cannot connect to port %d: %s", port, strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return fd;
}

static inline bool client_send(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

/* What comes until `until` is in it, the other side closes, or ms are over; the caller's (free).  *closed may be NULL. */
static inline char *client_read(int fd, const char *until, int ms, bool *closed)
{
    size_t n = 0, cap = 1 << 16;
    char *text = calloc(cap, 1);
    uint64_t end = os_now_ns() + (uint64_t)ms * 1000000;
    if (closed) *closed = false;
    while (!until || !strstr(text, until)) {
        int64_t left = (int64_t)(end - os_now_ns()) / 1000000;
        struct pollfd p = { fd, POLLIN, 0 };
        if (left <= 0 || poll(&p, 1, (int)left) <= 0) break;
        if (cap - n < 4096) {
            text = realloc(text, cap * 2);
            memset(text + cap, 0, cap);
            cap *= 2;
        }
        ssize_t k = recv(fd, text + n, cap - n - 1, 0);
        if (k <= 0) {
            if (closed) *closed = true;
            break;
        }
        n += (size_t)k;
    }
    return text;
}

/* One whole request on a connection of its own, which is read to its end; the caller's. */
static inline char *client_ask(int port, const char *request, size_t n)
{
    int fd = client_open(port);
    client_send(fd, request, n ? n : strlen(request));
    char *text = client_read(fd, NULL, 15000, NULL);
    close(fd);
    return text;
}

/* "POST", "/x", body or NULL, further lines of the header ("A: b\r\n") or "". */
static inline char *client_call(int port, const char *method, const char *path, const char *body, const char *fields)
{
    size_t n = body ? strlen(body) : 0;
    char *text = malloc(n + strlen(path) + strlen(fields) + 512);
    int k = sprintf(text, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: close\r\n%s", method, path, port, fields);
    if (body) k += sprintf(text + k, "Content-Type: application/json\r\nContent-Length: %zu\r\n", n);
    k += sprintf(text + k, "\r\n%s", body ? body : "");
    char *answer = client_ask(port, text, (size_t)k);
    free(text);
    return answer;
}

static inline int client_status(const char *answer) { return !strncmp(answer, "HTTP/1.", 7) ? atoi(answer + 9) : 0; }

static inline const char *client_body(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? end + 4 : "";
}

static inline void client_expect(char *answer, int status, const char *part)
{
    if (client_status(answer) != status) fail_msg("not %d: %s", status, answer);
    if (part && !strstr(answer, part)) fail_msg("\"%s\" is not in: %s", part, answer);
    free(answer);
}

#endif
