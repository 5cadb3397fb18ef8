/* template.h - what the fuzz targets of the two template languages share: rendering with tight budgets. */
#ifndef HEARTH_TESTS_FUZZ_TEMPLATE_H
#define HEARTH_TESTS_FUZZ_TEMPLATE_H

#include <stdlib.h>
#include <string.h>

#include "text/template.h"

/* Marks as the chat does, so that strings with barriers are met too. */
static inline bool fuzz_mark(const void *arg, const char *s, size_t n, struct buf *out)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || (s[i - 1] == '<' && n > 5)) buf_putc(out, '\xff');
        buf_putc(out, s[i]);
    }
    return n > 0;
}

/* Compiles the source and renders it with each of the variables, guarded and not: text within the limits, or an error with a
 * message. */
static inline void fuzz_template(const char *source, size_t n, const char *const *variables, size_t n_variables)
{
    static const struct template_guard guard = { fuzz_mark, NULL, NULL };
    struct template *t;
    struct json *vars;
    struct err err = { 0 };
    int rc = template_compile(&t, source, n, &err);
    if (rc < 0) {
        if (t || err.code != rc || strncmp(err.msg, "template: ", 10) != 0) abort();
        return;
    }
    for (size_t k = 0; k < 2 * n_variables; k++) {
        struct template_limits lim = { .steps = 20000, .output = 100000, .memory = 4 << 20, .now = 1,
                                       .guard = k & 1 ? &guard : NULL };
        struct buf out = { 0 };
        if (json_parse(&vars, variables[k / 2], strlen(variables[k / 2]), NULL) < 0) abort();
        rc = template_render(t, vars, &lim, &out, &err);
        if (rc < 0 ? out.len != 0 || err.code != rc : out.len > lim.output) abort();
        buf_release(&out);
        json_free(vars);
    }
    template_free(t);
}

#endif
