/* Fuzz target: a chat template is compiled and rendered with a few variables and tight budgets.  Whatever the template
 * is, the result is text within the limits or an error with a message. */
#include <stddef.h>
#include <stdint.h>

#include "tests/fuzz/template.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const char *const variables[] = {
    "{\"messages\":[{\"role\":\"system\",\"content\":\" Be brief. \"},{\"role\":\"user\",\"content\":\"caf\\u00e9 <b>\\n\"},"
    "{\"role\":\"assistant\",\"content\":null,"
    "\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{\"x\":[1,2.5,true]}}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],\"add_generation_prompt\":true,"
    "\"a\":3,\"f\":0.1,\"s\":\"Hello\",\"l\":[3,1,2],\"n\":null}",
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    fuzz_template((const char *)data, n, variables, 1);
    return 0;
}
