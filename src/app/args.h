/* args.h - the command line: rows that say what an option is called, what it means and where it goes.
 *
 * `--name value`, `--name=value`, `-n value`; `--` ends the options; options and operands may mix.  The same rows print the
 * help and its example and serve `/set` in a chat.
 * Threads: pure functions. */
#ifndef HEARTH_APP_ARGS_H
#define HEARTH_APP_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum opt_kind { OPT_FLAG, OPT_STR, OPT_STRS, OPT_I32, OPT_U32, OPT_U64, OPT_F32, OPT_CHOICE };

enum { OPT_MAX_STRS = 16, OPT_MAX_OPERANDS = 8 };
struct opt_strs { const char *s[OPT_MAX_STRS]; size_t n; };

struct opt {
    const char *name;              /* without dashes */
    const char *alias;             /* another long name, or NULL */
    char letter;                   /* or 0 */
    enum opt_kind kind;
    const char *value;             /* what the help calls the value; OPT_CHOICE: the words, as "f16|f32" */
    const char *fallback;          /* what the help calls the default, or NULL */
    const char *help;
    const char *example;           /* value for the generated example, or NULL; "" for a flag */
    size_t at;                     /* offset of the field: bool, const char *, struct opt_strs, int32_t, uint32_t,
                                      uint64_t, float, or int (index of the choice) */
    double min, max;               /* of numbers, both included */
};

struct opt_table { const struct opt *row; size_t n; };

struct parsed {
    uint64_t given[2];                         /* bit i: row i appeared (at most 128 rows) */
    const char *operand[OPT_MAX_OPERANDS];     /* borrowed from argv */
    size_t n_operands;
    bool help;                                 /* --help or -h */
};

/* argv[0] is the command's own name and skipped.  Fields that do not appear keep what they hold.
 * ERR_ARG says what is wrong and, for an unknown name, what may have been meant. */
int args_parse(const struct opt_table *t, int argc, char **argv, void *fields, struct parsed *out, struct err *err);

/* One value by (alias) name or row; the messages call it `shown`. */
const struct opt *args_find(const struct opt_table *t, const char *name, size_t n);
int args_set(const struct opt *o, const char *shown, const char *value, void *fields, struct err *err);
/* Copies the fields of the rows that appeared. */
void args_copy_given(const struct opt_table *t, const struct parsed *p, void *to, const void *from);
bool args_given(const struct opt_table *t, const struct parsed *p, const char *name);
/* Appends the value of a field as text that args_set would take. */
void args_format(const struct opt *o, const void *fields, struct buf *out);

/* near_find: the word that was probably meant, or NULL. */
const char *args_nearest(const char *word, const char *(*next)(const void *arg, size_t i), const void *arg);

/* The lines of the help about the options. */
void args_help(const struct opt_table *t, struct buf *out);
/* " --temp 0.7 ..." for the rows that have an example. */
void args_example(const struct opt_table *t, struct buf *out);

#endif
