/* api_put.h - reading requests and writing answers: what all dialects share about JSON.
 *
 * Answers are written as text, by a form that looks like what comes out; jobs are built as values.  Threads: any. */
#ifndef HEARTH_SERVER_API_PUT_H
#define HEARTH_SERVER_API_PUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

/* Appends the form with each ' as " and
 *   %s const char * as a JSON string (NULL: null)   %S const char *, size_t: the same   %r const char * as it is
 *   %i int   %d int64_t   %u uint64_t   %f double (null unless finite)   %b int as true or false
 *   %j const struct json * (NULL: null)   %B const struct buf * as a JSON string   %R const struct buf * as it is */
void api_put(struct buf *b, const char *form, ...);
/* Appends the bytes as base64. */
void api_put_base64(struct buf *b, const void *p, size_t n);
/* RFC 3339 in UTC, to the second: 2026-08-21T10:00:00Z. */
void api_put_time(struct buf *b, int64_t t);
/* The same with six digits behind the second; us >= 0. */
void api_put_time_us(struct buf *b, int64_t us);

/* ---- values for jobs: each takes what it is given and returns false when memory ran out ---- */

bool api_set_str(struct json *o, const char *key, const char *s);
bool api_set_int(struct json *o, const char *key, int64_t v);
bool api_set_real(struct json *o, const char *key, double v);
bool api_set_bool(struct json *o, const char *key, bool v);
bool api_set_copy(struct json *o, const char *key, const struct json *v);       /* shares v; NULL: nothing happens */
/* The object under this key, made when it is not there.  NULL when memory ran out. */
struct json *api_object(struct json *o, const char *key);

/* ---- fields of requests: absent and null leave *out; a wrong type or range is ERR_ARG that names the field ---- */

int api_bool(const struct json *o, const char *key, bool *out, struct err *err);
int api_int(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err);
int api_str(const struct json *o, const char *key, const char **out, struct err *err);      /* no NUL inside */
/* The value when it has this type; *out NULL when it is absent. */
int api_value(const struct json *o, const char *key, enum json_type type, const struct json **out, struct err *err);
int api_required(const struct json *o, const char *key, enum json_type type, const struct json **out, struct err *err);
/* Whether a field is there and says something: not null, false, "", 0, [] or {}. */
bool api_says(const struct json *o, const char *key);
bool api_is(const struct json *v, const char *text);                            /* this string */
int  api_nomem(struct err *err);
/* The field of the body, or of its "options", that a message is about: such a message begins with its name.  "": none. */
enum { API_FIELD = 64 };
void api_blamed(const struct json *body, const char *message, char dst[API_FIELD]);

#endif
