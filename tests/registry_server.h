/* registry_server.h - a server that speaks as registries and hubs do, and that can be told to lie.
 *
 * It runs in a process of its own on 127.0.0.1; a table of routes says what it has.  `localhost` with its port counts as another
 * host, so that a redirect there shows what is sent along.  What it is to do wrong, and what it saw, lies in shared memory. */
#ifndef HEARTH_TESTS_REGISTRY_SERVER_H
#define HEARTH_TESTS_REGISTRY_SERVER_H

#include "tests/testing.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { SERVER_ROUTES = 64 };

struct server;

struct route {
    char path[256];
    const void *body;
    size_t n;
    char to[320];                          /* a redirect, when not empty */
    char fields[256];                      /* further lines of the header */
    /* Answers itself, for all paths that begin like this; or NULL. */
    void (*answer)(struct server *s, int fd, const char *request);
    bool auth, gated;                      /* wants "Bearer good"; gated: a user's token */
};

struct server_state {
    _Atomic uint64_t bytes, requests;      /* of bodies that were asked for with GET */
    _Atomic uint64_t flip;                 /* 1 + the byte that is sent wrong, of bodies above 100 kB */
    _Atomic int flips;                     /* how often; -1: always */
    _Atomic int no_ranges, wrong_range, longer, shorter, gzip, loop, cut_after, slow, status, downgrade;
    _Atomic int leaked;                    /* a token came to localhost */
    _Atomic int realm;                     /* 1: the token is to be had elsewhere */
    _Atomic int lie, count;                /* for routes that answer themselves */
    _Atomic uint64_t bytes_per_s;          /* of each connection; 0: as fast as it goes */
};

struct server {
    int fd, port;
    pid_t pid;
    struct server_state *state;
    struct route route[SERVER_ROUTES];
    size_t n;
};

struct server_client { struct server *s; int fd; };

static inline bool server_send(int fd, const char *p, size_t n)
{
    while (n) {
        ssize_t k = send(fd, p, n, MSG_NOSIGNAL);
        if (k <= 0) return false;
        p += k;
        n -= (size_t)k;
    }
    return true;
}

static inline bool server_read(int fd, char *text, size_t max)
{
    size_t n = 0;
    while (n + 1 < max) {
        ssize_t k = recv(fd, text + n, 1, 0);
        if (k <= 0) return false;
        text[++n] = 0;
        if (n >= 4 && !memcmp(text + n - 4, "\r\n\r\n", 4)) return true;
    }
    return false;
}

static inline const char *server_field(const char *text, const char *key)
{
    for (const char *line = strstr(text, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (!strncasecmp(line + 2, key, strlen(key))) return line + 2 + strlen(key);
    return NULL;
}

static inline void server_simple(int fd, int status, const char *fields, const char *body)
{
    char head[1024];
    snprintf(head, sizeof head, "HTTP/1.1 %d x\r\nContent-Length: %zu\r\n%s\r\n", status, strlen(body), fields);
    server_send(fd, head, strlen(head));
    server_send(fd, body, strlen(body));
}

static inline void server_body(struct server *s, int fd, const char *p, size_t from, size_t to)
{
    struct server_state *st = s->state;
    enum { STEP = 16384 };
    char piece[STEP];
    size_t sent = 0;
    for (size_t at = from; at < to; at += STEP) {
        size_t n = to - at < STEP ? to - at : STEP;
        memcpy(piece, p + at, n);
        uint64_t flip = atomic_load(&st->flip);
        if (to > 100000 && flip && flip - 1 >= at && flip - 1 < at + n && atomic_load(&st->flips) != 0) {
            piece[flip - 1 - at] ^= 1;
            if (atomic_load(&st->flips) > 0) atomic_fetch_sub(&st->flips, 1);
        }
        if (atomic_load(&st->cut_after) && to > 100000 && sent >= (size_t)atomic_load(&st->cut_after)) return;
        if (atomic_load(&st->slow) && to > 100000) sleep(30);
        uint64_t rate = atomic_load(&st->bytes_per_s);
        if (rate && to > 100000) {
            struct timespec t = { 0, (long)(1e9 * (double)n / (double)rate) };
            nanosleep(&t, NULL);
        }
        if (!server_send(fd, piece, n)) return;                  /* nobody reads any more */
        atomic_fetch_add(&st->bytes, n);
        sent += n;
    }
}

static inline void server_file(struct server *s, int fd, const struct route *r, const char *text, bool head)
{
    struct server_state *st = s->state;
    bool large = r->n > 100000;
    unsigned long long a = 0, b = r->n ? r->n - 1 : 0;
    const char *range = server_field(text, "Range: bytes=");
    bool partial = range && !(large && atomic_load(&st->no_ranges)) && sscanf(range, "%llu-%llu", &a, &b) >= 1;
    if (b >= r->n) b = r->n ? r->n - 1 : 0;
    char fields[512], header[1024];
    snprintf(fields, sizeof fields, "%s%s", r->fields, atomic_load(&st->gzip) && large ? "Content-Encoding: gzip\r\n" : "");
    size_t shown = partial ? (size_t)(b - a + 1) : r->n, total = r->n;
    if (large && atomic_load(&st->longer)) total += 5;
    if (large && atomic_load(&st->shorter)) shown = shown > 5 ? shown - 5 : shown;
    if (partial)
        snprintf(header, sizeof header, "HTTP/1.1 206 x\r\nContent-Range: bytes %llu-%llu/%zu\r\nContent-Length: %zu\r\n%s\r\n",
                 a + (large && atomic_load(&st->wrong_range) ? 1 : 0), b, total, shown, fields);
    else
        snprintf(header, sizeof header, "HTTP/1.1 200 x\r\nContent-Length: %zu\r\n%s\r\n",
                 total == r->n ? shown : total, fields);
    server_send(fd, header, strlen(header));
    if (!head) server_body(s, fd, r->body, (size_t)a, (size_t)(r->n ? b + 1 : 0));
}

static inline void server_route(struct server *s, int fd, const struct route *r, const char *text, bool head)
{
    const char *auth = server_field(text, "Authorization: "), *host = server_field(text, "Host: ");
    char fields[512];
    if (auth && host && !strncmp(host, "localhost", 9)) atomic_store(&s->state->leaked, 1);
    if (r->auth && (!auth || strncmp(auth, "Bearer good\r", 12))) {
        snprintf(fields, sizeof fields, "WWW-Authenticate: Bearer realm=\"http://%s:%d/token\",service=\"test\","
                 "scope=\"pull\"\r\n", atomic_load(&s->state->realm) ? "localhost" : "127.0.0.1", s->port);
        server_simple(fd, 401, fields, "{}");
    } else if (r->gated && (!auth || strncmp(auth, "Bearer mine\r", 12)))
        server_simple(fd, 403, "X-Error-Code: GatedRepo\r\n", "{}");
    else if (r->n > 100000 && atomic_load(&s->state->status))
        server_simple(fd, atomic_load(&s->state->status), "", "no");
    else if (r->to[0]) {
        snprintf(fields, sizeof fields, "Location: %s\r\n%.180s", atomic_load(&s->state->loop) ? r->path : r->to, r->fields);
        if (atomic_load(&s->state->downgrade)) snprintf(fields, sizeof fields, "Location: http://192.0.2.1/x\r\n");
        server_simple(fd, 307, fields, "");
    } else
        server_file(s, fd, r, text, head);
}

static inline void *server_client(void *arg)
{
    struct server_client c = *(struct server_client *)arg;
    char text[8192], verb[8], path[1024];
    free(arg);
    if (server_read(c.fd, text, sizeof text) && sscanf(text, "%7s %1023s", verb, path) == 2) {
        const struct route *r = NULL;
        atomic_fetch_add(&c.s->state->requests, 1);
        for (size_t i = 0; i < c.s->n; i++)
            if (!strcmp(c.s->route[i].path, path) ||
                (c.s->route[i].answer && !strncmp(c.s->route[i].path, path, strlen(c.s->route[i].path)))) r = &c.s->route[i];
        if (!strncmp(path, "/token", 6) && !r) server_simple(c.fd, 200, "", "{\"token\":\"good\"}");
        else if (!r) server_simple(c.fd, 404, "", "not here");
        else if (r->answer) r->answer(c.s, c.fd, text);
        else server_route(c.s, c.fd, r, text, !strcmp(verb, "HEAD"));
    }
    shutdown(c.fd, SHUT_WR);
    close(c.fd);
    return NULL;
}

static inline struct route *server_add(struct server *s, const char *path, const void *body, size_t n)
{
    struct route *r = &s->route[s->n++];
    *r = (struct route){ .body = body, .n = n };
    snprintf(r->path, sizeof r->path, "%s", path);
    return r;
}

static inline int server_listen(struct server *s)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t n = sizeof a;
    s->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (s->fd < 0 || bind(s->fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(s->fd, 64) < 0) return -1;
    if (getsockname(s->fd, (struct sockaddr *)&a, &n) < 0) return -1;
    s->port = ntohs(a.sin_port);
    s->state = mmap(NULL, sizeof *s->state, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return s->state == MAP_FAILED ? -1 : 0;
}

/* With the routes as they are now. */
static inline void server_start(struct server *s)
{
    s->pid = fork();
    if (s->pid) return;
    for (;;) {
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0) continue;
        struct server_client *c = malloc(sizeof *c);
        pthread_t t;
        *c = (struct server_client){ s, fd };
        if (pthread_create(&t, NULL, server_client, c) == 0) pthread_detach(t);
    }
}

static inline void server_stop(struct server *s)
{
    if (s->pid <= 0) return;
    kill(s->pid, SIGKILL);
    waitpid(s->pid, NULL, 0);
    close(s->fd);
}

/* Honest again, and nothing counted. */
static inline void server_reset(struct server *s) { memset(s->state, 0, sizeof *s->state); }

#endif
