/* net.h - what the server needs of sockets that others read and write: listening, closing, whether the other side is there.
 * Threads: any. */
#ifndef HEARTH_BASE_NET_H
#define HEARTH_BASE_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct net_listener { int fd; uint16_t port; bool loopback, local; };   /* local: a Unix socket */

/* host: a number ("127.0.0.1", "::1", "0.0.0.0"), never a name; port 0: the system chooses. */
int  net_listen(struct net_listener *out, const char *host, uint16_t port, struct err *err);
/* Only this user may connect (mode 0600).  A socket there that nobody listens on is replaced; anything else is an error. */
int  net_listen_unix(struct net_listener *out, const char *path, struct err *err);
void net_close(int fd);
void net_shutdown(int fd);                     /* both ways; whoever reads it sees its end */
/* gone[i]: the other side of fd[i] closed it, or at least the way to us.  n at most 65536. */
void net_gone(const int *fd, bool *gone, size_t n);

/* How many bytes the other side's system has taken on this connection so far, and whether some wait for it.  false: the system
 * does not tell (Unix sockets, other systems than Linux). */
bool net_unread(int fd, uint64_t *taken, bool *waits);

/* A sleep that another thread can end. */
struct net_wake { int fd[2]; };
int  net_wake_open(struct net_wake *w, struct err *err);
void net_wake_close(struct net_wake *w);       /* a zeroed one is fine */
void net_wake(struct net_wake *w);
void net_wait(struct net_wake *w, unsigned ms);

/* As many open files as the system allows this process; how many that is. */
uint64_t net_raise_files(void);

#endif
