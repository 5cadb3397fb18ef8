/* json.h - JSON values; the only user of jansson.
 *
 * A `struct json` is reference counted by jansson: functions named new/parse/copy return a value that is the
 * caller's (json_free); get/at/next return borrowed ones that live as long as their parent; put/push take theirs.
 * Objects keep the order of insertion.  Strings are UTF-8 and may contain NUL.  Threads: one per value tree. */
#ifndef HEARTH_BASE_JSON_H
#define HEARTH_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct json;
enum json_type { JSON_NULL, JSON_BOOL, JSON_INT, JSON_REAL, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* About 1 GiB of memory: an empty object takes 78 times its text.  A tokenizer of 256,000 tokens has a quarter of it. */
enum { JSON_MOST_VALUES = 24 << 20 };
/* Parses exactly one value (any type at the top) with at most 64 levels and about JSON_MOST_VALUES numbers (ERR_LIMIT);
 * duplicate keys and invalid UTF-8 are errors that name line and column.  A whole number that does not fit 64 bits is a real. */
int  json_parse(struct json **out, const char *text, size_t n, struct err *err);
/* The same of a stranger's text: ERR_LIMIT when its values would take more than about 44 * most bytes.  `most` counts numbers; a
 * string is 3 of them, an array 4, an object 7, and each of its members 3 more than what it holds. */
int  json_parse_most(struct json **out, const char *text, size_t n, size_t most, struct err *err);
/* The same; before values are made, which take about so many bytes with the text, `may` is asked: false is ERR_CANCELLED. */
typedef bool json_may_fn(void *arg, uint64_t bytes);
int  json_parse_asking(struct json **out, const char *text, size_t n, size_t most, json_may_fn *may, void *arg, struct err *err);
void json_free(struct json *j);                                    /* NULL is fine */
struct json *json_share(const struct json *j);                     /* one more owner of the same value; NULL gives NULL */

enum json_type json_type(const struct json *j);                    /* NULL counts as JSON_NULL */
bool        json_bool(const struct json *j);
int64_t     json_int(const struct json *j);                        /* 0 unless an integer */
double      json_num(const struct json *j);                        /* integer or real, else 0 */
const char *json_str(const struct json *j, size_t *n);             /* NULL unless a string; n may be NULL */
size_t      json_len(const struct json *j);                        /* of an array or object, else 0 */
struct json *json_at(const struct json *array, size_t i);          /* NULL out of range */
struct json *json_get(const struct json *object, const char *key); /* NULL when absent */
/* Walks an object in order: start with *it = NULL; false at the end. */
bool json_next(const struct json *object, void **it, const char **key, struct json **value);

/* Constructors return NULL when out of memory (or invalid UTF-8); put and push accept NULL values and then fail. */
struct json *json_new_object(void);
struct json *json_new_array(void);
struct json *json_new_str(const char *s, size_t n);
struct json *json_new_int(int64_t v);
struct json *json_new_real(double v);
struct json *json_new_bool(bool v);
struct json *json_new_null(void);
bool json_put(struct json *object, const char *key, struct json *value);   /* takes value, also on failure */
bool json_push(struct json *array, struct json *value);                    /* takes value, also on failure */

/* Appends compact text (", " and ": " never), or indented by 2 when pretty. */
void json_write(const struct json *j, bool pretty, struct buf *out);
/* Appends s as a JSON string literal, quotes included; invalid UTF-8 becomes U+FFFD. */
void json_write_str(const char *s, size_t n, struct buf *out);

#endif
