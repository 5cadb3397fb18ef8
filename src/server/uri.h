/* uri.h - the parts of a request line and of addresses that we take apart ourselves: path, query, Host, where to listen.
 *
 * Everything is bounded: 32 segments, 64 pairs, 8 KiB.  Percent escapes are decoded once, after splitting, so that an escaped
 * slash stays within its segment; what decodes to NUL, a control character or no UTF-8 is refused, and so are . and .. segments.
 * Threads: pure functions. */
#ifndef HEARTH_SERVER_URI_H
#define HEARTH_SERVER_URI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"

enum { URI_MAX = 8192, URI_SEGMENTS = 32, URI_PAIRS = 64 };

struct uri {
    const char *path;                          /* as it came, without the query */
    const char *segment[URI_SEGMENTS];         /* decoded; "/v1/models" has two, "/" none; a last slash counts for nothing */
    size_t n_segments;
    struct { const char *name, *value; } pair[URI_PAIRS];
    size_t n_pairs;
};

/* raw: "/path?query", which is how a request must begin.  Everything lies in the arena. */
int uri_parse(struct uri *u, struct arena *a, const char *raw, struct err *err);
const char *uri_query(const struct uri *u, const char *name);      /* the first of that name; NULL: none */

/* Whether the segments match "/v1/models/{id}"; a parameter is then had by uri_param.  {x*} at the end: the rest, joined by
 * slashes (in the arena), at least one segment. */
bool uri_match(const struct uri *u, const char *pattern);
const char *uri_param(const struct uri *u, struct arena *a, const char *pattern, const char *name);

/* "host", "host:port", "[v6]:port": the host without brackets in lower case, the port or 0.  False: it is none of these. */
struct uri_host { char name[256]; uint16_t port; bool number; };    /* number: an address */
bool uri_host(struct uri_host *out, const char *text);

/* "127.0.0.1:11434", "[::1]:1234", "localhost:80" (that is 127.0.0.1), ":80" (0.0.0.0), "80", "unix:/path" (host is the path). */
struct uri_listen { char host[256]; uint16_t port; bool local; };
int uri_listen(struct uri_listen *out, const char *text, uint16_t port, struct err *err);

#endif
