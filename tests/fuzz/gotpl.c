/* Fuzz target: a template of Go is compiled and rendered, for a chat and for filling in, with tight budgets.  Whatever it is, the
 * result is text within the limits or an error with a message. */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/template.h"

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
    "{\"messages\":[null,{\"role\":\"user\",\"tool_calls\":[null]}],\"tools\":[null]}",
    "{\"prompt\":\"int main\",\"suffix\":\"}\"}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char head[] = "{{/* go */}}";
    struct buf source = { 0 };
    buf_put(&source, head, sizeof head - 1);
    buf_put(&source, data, n);
    fuzz_template(source.data, source.len, variables, 3);
    buf_release(&source);
    return 0;
}
