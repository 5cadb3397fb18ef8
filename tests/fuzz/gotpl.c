/* Fuzz target: a template of Go is compiled and rendered, for a chat and for filling in, with tight budgets.  Whatever it is, the
 * result is text within the limits or an error with a message. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const variables[] = {
    "{\"messages\":[{\"role\":\"system\",\"content\":\" Be brief. \"},{\"role\":\"user\",\"content\":\"caf\\u00e9 <b>\\n\"},"
    "{\"role\":\"assistant\",\"content\":null,\"thinking\":\"w\","
    "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,2.5,true],\"a\":{\"b\":null}}}}]},"
    "{\"role\":\"tool\",\"name\":\"f\",\"content\":\"r\"}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"properties"
    "\":{\"x\":{\"type\":[\"string\",\"null\"],"
    "\"anyOf\":[{\"type\":\"array\"},true]}}}}}],\"reasoning_effort\":\"low\",\"a\":3,\"f\":0.1,\"s\":\"Hello"
    "\",\"l\":[3,1,2],\"n\":null}",
    "{\"prompt\":\"int main\",\"suffix\":\"}\"}",
};

/* Marks as the chat does, so that strings with barriers are met too. */
static bool mark(const void *arg, const char *s, size_t n, struct buf *out)
{
    (void)arg;
    for (size_t i = 0; i < n; i++) {
        if (i == 0 || (s[i - 1] == '<' && n > 5)) buf_putc(out, '\xff');
        buf_putc(out, s[i]);
    }
    return n > 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const struct template_guard guard = { mark, NULL, NULL };
    static const char head[] = "{{/* go */}}";
    struct template *t;
    struct json *vars;
    struct err err = { 0 };
    struct buf source = { 0 };
    buf_put(&source, head, sizeof head - 1);
    buf_put(&source, data, n);
    int rc = template_compile(&t, source.data, source.len, &err);
    buf_release(&source);
    if (rc < 0) {
        if (t || err.code != rc || strncmp(err.msg, "template: ", 10) != 0) abort();
        return 0;
    }
    for (int k = 0; k < 4; k++) {
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
    return 0;
}
