/* serve.h - a `hearth serve` of its own for a benchmark of the server, and connections to it. */
#ifndef HEARTH_BENCH_SERVE_H
#define HEARTH_BENCH_SERVE_H

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/net.h"
#include "base/os.h"

static pid_t server;
static int port;
static char dir[64];
static struct { pid_t server; int port; char dir[64]; } aside;         /* a second one, when two are compared in turns */

static inline void die(const char *what)
{
    fprintf(stderr, "%s\n", what);
    if (server > 0) kill(server, SIGKILL);
    if (aside.server > 0) kill(aside.server, SIGKILL);
    exit(1);
}

/* The other one is spoken to from now on. */
static inline void swap_servers(void)
{
    pid_t s = server;
    int p = port;
    char d[sizeof dir];
    memcpy(d, dir, sizeof d);
    server = aside.server;
    port = aside.port;
    memcpy(dir, aside.dir, sizeof dir);
    aside.server = s;
    aside.port = p;
    memcpy(aside.dir, d, sizeof d);
}

/* ---- the server ---- */

/* more: further options, ended by NULL. */
static inline void start_server(const char *const *more)
{
    char log[128], err[128], models[128], text[4096] = "";
    const char *args[32] = { NULL, "serve", "--port", "0", "--log", log };
    size_t n_args = 6;
    for (; *more && n_args < 31; more++) args[n_args++] = *more;
    snprintf(dir, sizeof dir, "/tmp/hearth-serve-XXXXXX");
    if (!mkdtemp(dir)) die("cannot make a folder");
    snprintf(log, sizeof log, "%s/log", dir);
    snprintf(err, sizeof err, "%s/err", dir);
    snprintf(models, sizeof models, "%s/models", dir);
    args[0] = getenv("PROGRAM") ? getenv("PROGRAM") : "./hearth";
    server = fork();
    if (server == 0) {
        int fd = open(err, O_WRONLY | O_CREAT, 0600);
        dup2(fd, 2);
        setenv("HEARTH_MODELS", models, 1);
        setenv("HOME", dir, 1);
        execv(args[0], (char *const *)(uintptr_t)args);
        _exit(126);
    }
    for (int i = 0; i < 2000 && !strstr(text, "the engine:"); i++) {
        usleep(5000);
        FILE *f = fopen(err, "r");
        if (!f) continue;
        text[fread(text, 1, sizeof text - 1, f)] = 0;
        fclose(f);
        if (waitpid(server, NULL, WNOHANG) == server) die(text);
    }
    const char *at = strstr(text, "http://127.0.0.1:");
    if (!at) die("the server does not start");
    port = atoi(at + 17);
}

static inline void stop_server(void)
{
    char command[128];
    int status;
    kill(server, SIGTERM);
    waitpid(server, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status)) printf("the server ended with status %d\n", status);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (system(command) != 0) fprintf(stderr, "%s stays\n", dir);
}

static inline long rss_kb(void)
{
    char path[64];
    long size, rss = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)server);
    FILE *f = fopen(path, "r");
    if (!f || fscanf(f, "%ld %ld", &size, &rss) != 2) rss = 0;
    if (f) fclose(f);
    return rss * (sysconf(_SC_PAGESIZE) / 1024);
}

static inline int n_files(void)
{
    char path[64];
    int n = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)server);
    DIR *d = opendir(path);
    while (d && readdir(d)) n++;
    if (d) closedir(d);
    return n;
}

static inline int connect_to(bool blocks)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof a) < 0) die(strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!blocks) fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

#endif
