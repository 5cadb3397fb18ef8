/* http.h - HTTP as the dialects see it: routes, and an exchange of one request and its answer.  http.c is the only user of
 * libmicrohttpd.
 *
 * A handler runs on a thread of the server when the whole body is there (limits, Host, Origin, Content-Type, keys and JSON have
 * been checked).  It answers at once, or submits a job and returns; then the job's events answer, on the link's
 * thread, through the same functions.  Writing never waits: bytes are kept (beyond a limit the job is cancelled) until
 * the client takes them.  When the client goes away the job is cancelled, and what is written is dropped. */
#ifndef HEARTH_SERVER_HTTP_H
#define HEARTH_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "server/link.h"

struct exchange;
struct server;                     /* server.h: configuration, store, models, metrics */

enum role { ROLE_NONE, ROLE_INFER, ROLE_MANAGE };     /* what a key must allow; NONE: anybody */
enum body { BODY_NONE, BODY_JSON, BODY_RAW };         /* RAW: the handler's sink takes the bytes as they come */
/* path: "/v1/models/{id}"; "{id}" is one segment, "{id*}" the rest.  error: how this dialect writes errors. */
struct route {
    const char *method, *path;
    enum role role;
    enum body body;
    void (*handle)(struct exchange *x);
    void (*error)(struct exchange *x, int status, const char *kind, const char *message);
};

struct server     *exchange_server(struct exchange *x);
const struct json *exchange_body(struct exchange *x);                       /* NULL without one */
const char        *exchange_param(struct exchange *x, const char *name);    /* of the path, decoded; NULL: none */
const char        *exchange_query(struct exchange *x, const char *name);    /* decoded; NULL: none */
const char        *exchange_header(struct exchange *x, const char *name);   /* of the request; NULL: none */
const char        *exchange_user(struct exchange *x);                       /* id of the key; "" without keys */
void               exchange_keep(struct exchange *x, void *state, void (*release)(void *state));   /* the handler's own */
void              *exchange_state(struct exchange *x);

/* The answer.  header: before the first byte of the body.  json takes its value (NULL: an error 500 is sent). */
void exchange_set_header(struct exchange *x, const char *name, const char *value);
void exchange_json(struct exchange *x, int status, struct json *answer);
void exchange_text(struct exchange *x, int status, const char *type, const char *text, size_t n);
void exchange_fail(struct exchange *x, int status, const char *kind, const char *message);   /* in the dialect's form */
bool exchange_started(const struct exchange *x);                            /* a stream has begun: only write and end are left */
void exchange_stream(struct exchange *x, const char *type);                 /* "text/event-stream", "application/x-ndjson" */
void exchange_write(struct exchange *x, const char *bytes, size_t n);
void exchange_sse(struct exchange *x, const char *event, const struct json *data);   /* event NULL: only data */
void exchange_ndjson(struct exchange *x, const struct json *line);
void exchange_end(struct exchange *x);

/* Submits a job (admission, resolving "model" by the server's store, salt and user of the key are added).  false: it has been
 * answered with an error (429, 503, 404, ...).  fn is called as link.h says; the exchange lives until `last`. */
typedef void exchange_event_fn(struct exchange *x, const struct json *event, bool last);
bool exchange_submit(struct exchange *x, struct json *job, exchange_event_fn *fn);

#endif
