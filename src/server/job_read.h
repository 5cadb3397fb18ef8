/* job_read.h - the fields of a job's JSON objects into structs, by rows; and the options of answers.
 *
 * An unknown key, a wrong type and a number out of range are errors that name the field.  null counts as absent, and absent
 * fields keep what they hold.  Pointers point into the JSON value, but for lists of strings.
 * Threads: pure functions. */
#ifndef HEARTH_SERVER_JOB_READ_H
#define HEARTH_SERVER_JOB_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/json.h"
#include "hearth.h"

/* STR: const char *, without zero bytes.  TEXT: struct read_text.  STRS: struct read_strs.  ARRAY, OBJECT, ANY: struct json. */
enum read_kind { READ_FLAG, READ_I32, READ_U32, READ_I64, READ_U64, READ_F32, READ_STR, READ_TEXT, READ_STRS, READ_ARRAY,
                 READ_OBJECT, READ_ANY };
struct read_text { const char *s; size_t n; };
struct read_strs { const char **s; size_t n; };        /* read_strs_release */
struct read_row { const char *name; enum read_kind kind; size_t at; double min, max; };     /* numbers: both included */
struct read_table { const struct read_row *row; size_t n; };

/* where: how errors call the object ("options"), or NULL for the job itself. */
int  read_object(const struct json *o, const char *where, const struct read_table *t, void *to, struct err *err);
/* One value as the row says; name is what errors call it. */
int  read_value(const struct json *v, const char *name, const struct read_row *row, void *to, struct err *err);
void read_strs_release(struct read_strs *l);

enum { READ_MAX_STRS = 4096 };                         /* in a list of strings */

/* "options" of a generate job. */
struct answer_options {
    struct hearth_sampler_options sampler;
    int32_t max_tokens, min_tokens;                    /* -1: no limit */
    struct read_strs breakers, stop, ban;
    const struct json *logit_bias;                     /* checked: [[id or text, number, null or false], ...] */
    const char *context_policy;
    int32_t n_keep;                                    /* of a prompt that is cut; -1: all */
    bool has_seed;
};
/* out->sampler holds the defaults.  options may be NULL.  Release it, also after a failure. */
int  answer_options_read(struct answer_options *out, const struct json *options, struct err *err);
void answer_options_release(struct answer_options *o);
/* The numbers that hold where a job says nothing, under their stored names; false when out of memory. */
bool answer_options_defaults(const struct hearth_model *m, struct json *to);
/* The biases of the options; *out is the caller's (mem_free). */
int  answer_options_bias(const struct answer_options *o, const struct hearth_model *m, struct hearth_bias **out, size_t *n,
                         struct err *err);

#endif
