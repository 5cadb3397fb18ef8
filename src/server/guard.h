/* guard.h - who may call at all: Host, Origin and Content-Type against pages that make a browser call us.
 *
 * A page can make a browser send requests here, and by a name of its own that it points at this machine (DNS rebinding) even
 * read the answers.  So Host must be a name that is ours: localhost, 127.0.0.1, [::1], the number that was listened on, all with
 * our port, or one of --host-name; and what a browser marks as coming from another site is refused unless its
 * Origin was allowed.
 * Threads: pure functions. */
#ifndef HEARTH_SERVER_GUARD_H
#define HEARTH_SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { GUARD_MAX = 48 };

struct guard {
    const char *name[GUARD_MAX];       /* "name" (any port) or "name:port" */
    size_t n_names;
    uint16_t port[GUARD_MAX];          /* our ports; Host needs none when one of them is 80 or 443 */
    size_t n_ports;
    const char *origin[GUARD_MAX];     /* "scheme://host[:port]", compared whole */
    size_t n_origins;
    bool any_type;
};

struct guard_request {
    const char *host, *origin, *site, *type;    /* header fields, NULL: absent; site: Sec-Fetch-Site */
    bool json;                                  /* it has a body that is read as JSON */
    bool local;                                 /* came over a Unix socket, which browsers cannot use */
    bool tls;
};

/* 0, or the status to refuse with and why, which names the option that would allow it. */
int guard_check(const struct guard *g, const struct guard_request *r, char *why, size_t n);
/* Whether answers may be read by the page that calls: its Origin is in the list. */
bool guard_lists(const struct guard *g, const char *origin);

#endif
