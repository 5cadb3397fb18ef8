/* fetch.h - HTTP for the store: the only user of libcurl, and the only code that dials out.
 *
 * https only, but for this machine itself (loopback).  At most 10 redirects, followed here: a redirect never leads from https to
 * http, from outside to this machine, or from a public host into a private network (which is looked at when it is connected to,
 * whatever its name), and a token stays with the host (and port) that it was given for.  No content encoding is accepted.  Who
 * sends less than 1 kB/s for stall_s seconds has failed.  Proxies are those of the environment (https_proxy, no_proxy).
 * Threads: one per object; fetch_init once before, from one thread. */
#ifndef HEARTH_STORE_FETCH_H
#define HEARTH_STORE_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum { FETCH_URL = 16384, FETCH_FIELD = 1024 };

struct fetch;
int  fetch_open(struct fetch **out, struct err *err);
void fetch_close(struct fetch *f);

/* Bytes of a good answer (200 or 206) as they come; false ends the transfer. */
typedef bool fetch_sink_fn(void *arg, const void *p, size_t n);
/* Asked several times a second; false ends the transfer (ERR_CANCELLED). */
typedef bool fetch_alive_fn(void *arg);

struct fetch_request {
    const char *url, *token, *accept;      /* token: "Authorization: Bearer ..."; NULL: none */
    const char *signature;                 /* "Authorization: ..." instead, for this URL alone; NULL: none */
    bool head;
    bool range;                            /* bytes from to to, both included */
    uint64_t from, to;
    const char *ranges;                    /* several: "5-9,20-29"; or NULL */
    const char *origin;                    /* the URL whose answer named this one: rules for redirects hold; NULL: named by us */
    bool origin_inside;                    /* fetch_was_inside of that answer */
    unsigned stall_s;                      /* 0: 30 */
    fetch_sink_fn *sink;
    fetch_alive_fn *alive;
    void *arg;
    bool (*begin)(void *arg, const struct fetch *f);   /* before the first byte, with the header's fields; false ends it */
};

struct fetch_answer {
    long status;
    uint64_t length;                       /* of the body that was announced; UINT64_MAX: unknown */
    uint64_t from, total;                  /* Content-Range; total is UINT64_MAX when unknown */
    bool has_range;
    char type[256];                        /* Content-Type */
    char auth[FETCH_FIELD];                /* WWW-Authenticate */
    char next[FETCH_URL];                  /* Link: <...>; rel="next" */
    char etag[FETCH_FIELD], linked_etag[FETCH_FIELD];      /* ETag, X-Linked-Etag */
    char commit[128], why[128];            /* X-Repo-Commit, X-Error-Code */
    uint64_t linked_size;                  /* X-Linked-Size; UINT64_MAX: unknown */
    unsigned retry_s;                      /* Retry-After */
};
const struct fetch_answer *fetch_answer(const struct fetch *f);

/* 0 with the answer, whatever its status; negative when no whole answer came (ERR_IO), the sink ended it (ERR_CANCELLED), or a
 * rule above was broken (ERR_ARG). */
int fetch_do(struct fetch *f, const struct fetch_request *r, struct err *err);
/* The whole body of a small answer, at most max bytes; the body of an error is kept too. */
int fetch_text(struct fetch *f, const struct fetch_request *r, size_t max, struct buf *out, struct err *err);

/* Whether the first host of the last request lies in our own network. */
bool fetch_was_inside(const struct fetch *f);
const char *fetch_library(void);           /* "libcurl/7.88.1 OpenSSL/3.0.22 ..." */
/* Scheme, host and port of two URLs are equal. */
bool fetch_same_host(const char *a, const char *b);
/* Appends text with all but letters, digits and -._~/ as %XX. */
void fetch_escape(const char *text, struct buf *out);

#endif
