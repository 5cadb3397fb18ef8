/* client.h - a question to a server that runs: what `hearth ps`, `stop` and `prove` ask.
 *
 * HTTP/1.1 without TLS, one question for each connection.  The answer's bytes are checked like any from outside.
 * Threads: any. */
#ifndef HEARTH_SERVER_CLIENT_H
#define HEARTH_SERVER_CLIENT_H

#include "base/buf.h"
#include "base/err.h"

struct client_question {
    const char *address;           /* as of dial() */
    const char *method, *path;     /* the path begins with '/' */
    const char *key;               /* NULL: none */
    const char *body;              /* JSON text, or NULL */
    unsigned timeout_ms;           /* until the whole answer is there */
};
enum { CLIENT_MAX = 16 << 20 };    /* bytes of an answer */

/* 0 with the status and the body, whatever the status. */
int client_ask(const struct client_question *q, int *status, struct buf *body, struct err *err);
/* An answer as it came, whole: its status and its body (plain, or in chunks).  ERR_FORMAT. */
int client_read(const char *text, size_t n, int *status, struct buf *body, struct err *err);

#endif
