/* Fuzz target: a chat template is compiled and rendered with a few variables and tight budgets.  Whatever the template
 * is, the result is text within the limits or an error with a message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char variables[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\" Be brief. \"},{\"role\":\"user\",\"content\":\"caf\\u00e9 <b>\\n\"},"
    "{\"role\":\"assistant\",\"content\":null,"
    "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,2.5,true]}}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],\"add_generation_prompt\":true,"
    "\"a\":3,\"f\":0.1,\"s\":\"Hello\",\"l\":[3,1,2],\"n\":null}";

/* Marks as the chat does, so that strings with barriers are met too. */
static bool mark(const void *arg, const char *s, size_t n, struct buf *out)
{
    (void)arg;
    if (!n) return false;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || (s[i - 1] == '<' && n > 5)) buf_putc(out, '\xff');
        buf_putc(out, s[i]);
    }
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct template_guard guard = { mark, NULL, NULL };
    struct template *t;
    struct json *vars;
    struct err err = { 0 };
    int rc = template_compile(&t, (const char *)data, n, &err);
    if (rc < 0) {
        if (t || err.code != rc || strncmp(err.msg, "template: ", 10) != 0) abort();
        return 0;
    }
    if (json_parse(&vars, variables, sizeof variables - 1, NULL) < 0) abort();
    for (int guarded = 0; guarded < 2; guarded++) {
        struct template_limits lim = { .steps = 20000, .output = 100000, .memory = 4 << 20, .now = 1, .guard = guarded ? &guard
            : NULL };
        struct buf out = { 0 };
        rc = template_render(t, vars, &lim, &out, &err);
        if (rc < 0 ? out.len != 0 || err.code != rc : out.len > lim.output) abort();
        buf_release(&out);
    }
    json_free(vars);
    template_free(t);
    return 0;
}
