/* template.h - chat templates, in Jinja or in Go's language (as Ollama's models bring them), with budgets.
 *
 * Jinja behaves as Python jinja2 with trim_blocks and lstrip_blocks on, loop controls, and the globals that
 * transformers gives to chat templates (raise_exception, strftime_now, range, namespace, dict, tojson as
 * json.dumps(ensure_ascii=False)).
 * Go behaves as text/template with the functions and the data of Ollama: from the same variables it gets .Messages, .Tools and
 * .System (or turn by turn .System, .Prompt and .Response), .Think, .ThinkLevel and .IsThinkSet (of enable_thinking and
 * reasoning_effort), or .Prompt and .Suffix (of prompt and suffix); other variables under their own names.  It always ends where
 * the assistant is to speak.
 * Threads: a compiled template is immutable, any thread; rendering keeps all its state on its own. */
#ifndef HEARTH_TEXT_TEMPLATE_H
#define HEARTH_TEXT_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

struct template;

/* Whether a text is a template of Go, and not of Jinja. */
bool template_is_go(const char *source, size_t n);

/* Text that came from outside and must stay recognisable: strings of the variables (values and keys) go through
 * `mark`, which appends s[n] with TOKENIZER_BARRIER bytes in it, or returns false: nothing to mark.  The template
 * does not see the marks: comparing, searching, splitting and counting pass over them.
 * `trusted` (an object or NULL) holds more variables, whose strings are left alone. */
struct template_guard {
    bool (*mark)(const void *arg, const char *s, size_t n, struct buf *out);
    const void *arg;
    const struct json *trusted;
};

struct template_limits {            /* 0 = the default */
    uint64_t steps;                 /* 1,000,000 evaluated nodes and loop turns; work on long strings counts by length */
    size_t output;                  /* 8 MB of text, also of any one string value */
    size_t memory;                  /* 64 MB of values */
    unsigned depth;                 /* 100 levels of calls; 4 times as many of nesting in all */
    unsigned ms;                    /* 100 of the thread's processor time, looked at only after 100,000 steps */
    int64_t now;                    /* seconds since 1970 for strftime_now; 0 = the clock */
    const struct template_guard *guard;   /* NULL = all variables are trusted */
};

/* source must be UTF-8, at most 4 MB, nested no deeper than 100.  Errors name line and column.
 * *out is the caller's (template_free). */
int  template_compile(struct template **out, const char *source, size_t n, struct err *err);
void template_free(struct template *t);
/* Whether it is one of Go that fills in the middle: it reads .Suffix. */
bool template_fills(const struct template *t);

/* Appends the text; vars is an object whose members are the template's variables.  ERR_ARG with the template's own
 * message for raise_exception; ERR_LIMIT when a budget is spent; ERR_FORMAT for other errors, with line and column. */
int template_render(const struct template *t, const struct json *vars, const struct template_limits *limits,
                    struct buf *out, struct err *err);

#endif
