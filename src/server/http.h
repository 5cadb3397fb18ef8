/* http.h - HTTP as the dialects see it: routes, and an exchange of one request and its answer.
 *
 * A handler runs on a thread of the server when the whole body is there (limits, Host, Origin, Content-Type, key and JSON have
 * been checked).  It answers at once, or submits a job and returns; then the job's events answer, on the link's thread, through
 * the same functions.  One that works on a thread or in a process of its own calls exchange_hold before it returns.  A handler
 * that returns without any of these has its request answered with 500.
 * Writing never waits: bytes are kept until the client takes them; when a stream has more than a limit of them (a client that
 * does not read), or the client goes away, the job is cancelled and what is written is dropped.
 * Threads: any, but the calls on one exchange come one after another (handler, then events, or the holder's thread).  Strings
 * that an exchange gives are good until it is over. */
#ifndef HEARTH_SERVER_HTTP_H
#define HEARTH_SERVER_HTTP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"
#include "server/link.h"

#define HTTP_JSON "application/json; charset=utf-8"      /* the type of all answers that are JSON */

struct exchange;
struct server;                     /* server.h: options, models, metrics */

enum role { ROLE_NONE, ROLE_INFER, ROLE_MANAGE };     /* what a key must allow; NONE: anybody */
/* JSON: exchange_body, NULL when the request had no body.  RAW: the sink takes the bytes as they come, up to the limit for
 * uploads; whatever the Content-Type. */
enum body { BODY_NONE, BODY_JSON, BODY_RAW };

/* method: "GET" serves HEAD too.  path: "/v1/models/{id}"; "{id}" is one segment, "{id*}" (the last) the rest, which is not
 * empty.  A row with less braces goes before one with more; two rows may not match the same otherwise.
 * error: how this dialect writes errors, through exchange_json or exchange_text; it is called before a stream began, or within
 * one (exchange_started; then it writes the stream's own form of an error, and exchange_end is done for it).
 * kind: "invalid", "not_found", "auth", "forbidden", "method", "too_large", "busy", "loading", "draining", "deadline", "context",
 * "unsupported", "memory", "engine", "internal" - the link's kinds (job.h) and the front's own. */
struct route {
    const char *method, *path;
    enum role role;
    enum body body;
    void (*handle)(struct exchange *x);
    void (*error)(struct exchange *x, int status, const char *kind, const char *message);
    bool (*sink)(struct exchange *x, const char *bytes, size_t n);      /* BODY_RAW; false: it has answered, no more is read */
    const char *summary;           /* one line for /openapi.json, or NULL */
};
/* Every dialect has `const struct route routes_NAME[]`, whose last row is all zero, and a row ROUTES(NAME) in routes.def. */

struct server     *exchange_server(const struct exchange *x);
const struct route *exchange_route(const struct exchange *x);
const struct json *exchange_body(const struct exchange *x);                      /* NULL without one */
const char        *exchange_method(const struct exchange *x);
const char        *exchange_path(const struct exchange *x);                      /* as it was sent, without the query */
const char        *exchange_param(const struct exchange *x, const char *name);   /* of the path, decoded; NULL: none */
const char        *exchange_query(const struct exchange *x, const char *name);   /* decoded; NULL: none */
/* Of the request; NULL: none.  In the handler and the sink only. */
const char        *exchange_header(const struct exchange *x, const char *name);
const char        *exchange_user(const struct exchange *x);                      /* name of the key; "" without keys */
const char        *exchange_id(const struct exchange *x);                        /* X-Request-Id */
void               exchange_keep(struct exchange *x, void *state, void (*release)(void *state));   /* the handler's own */
void              *exchange_state(const struct exchange *x);

/* The answer.  header: before the first byte of the body.  json takes its value (NULL: error 500).  A second one is ignored. */
void exchange_set_header(struct exchange *x, const char *name, const char *value);
void exchange_json(struct exchange *x, int status, struct json *answer);
void exchange_text(struct exchange *x, int status, const char *type, const char *text, size_t n);
void exchange_fail(struct exchange *x, int status, const char *kind, const char *message);   /* as route.error writes it */
/* By an error's code (ERR_*), or an error event of the link (job.h): chooses status and kind. */
void exchange_fail_err(struct exchange *x, const struct err *err);
void exchange_fail_event(struct exchange *x, const struct json *event);
bool exchange_started(const struct exchange *x);                            /* a stream has begun: only write and end are left */
void exchange_stream(struct exchange *x, const char *type);                 /* "text/event-stream", "application/x-ndjson" */
void exchange_write(struct exchange *x, const char *bytes, size_t n);
void exchange_sse(struct exchange *x, const char *event, const struct json *data);   /* event NULL: only data */
void exchange_ndjson(struct exchange *x, const struct json *line);
void exchange_end(struct exchange *x);                                      /* of a stream; a job that still runs is cancelled */

/* Submits a job, which it takes: admission is asked, "model" (a name as the client gave it; absent: the server's own) is replaced
 * and what came with it added (server_put_model), also "salt" and "user" of the key.  false: it has been answered with an
 * error (429, 503, 404, ...).  fn is called as link.h says, also when the client has gone (the last event then is
 * of kind "cancelled"); when it returned without an answer to the last event, exchange_fail_event answers.  One job at a time;
 * the next may be submitted from within the last event. */
typedef void exchange_event_fn(struct exchange *x, const struct json *event, bool last);
bool exchange_submit(struct exchange *x, struct json *job, exchange_event_fn *fn);
/* Of an error of kind "context": both numbers, or 0. */
struct context_numbers { uint64_t n_prompt, n_ctx; };
struct context_numbers exchange_context(const struct exchange *x);
uint64_t exchange_job(const struct exchange *x);                            /* the link's number of the job, 0: none */
/* The id by which clients call this answer, without a word before it ("chatcmpl-"); and the job of another request of the same
 * key whose answer is called so, with whatever word before it.  0: none. */
void     exchange_call(struct exchange *x, const char *id);
uint64_t exchange_find_job(struct exchange *x, const char *id);

/* For work that is no job: the exchange lives until exchange_release, which must come once.  gone (may be NULL) is called
 * once, on some thread, when the client goes away before that; exchange_gone tells it too. */
void exchange_hold(struct exchange *x, void (*gone)(struct exchange *x));
void exchange_release(struct exchange *x);
bool exchange_gone(const struct exchange *x);

#endif
