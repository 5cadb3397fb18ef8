/* Fuzz target: a JSON Schema compiles, or is refused with a message that begins with its place. */
#include <stdlib.h>

#include "tests/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct grammar *g;
    struct err e = { 0 };
    int rc = grammar_from_schema(&g, (const char *)data, n, &e);
    if (rc < 0 ? g || e.code != rc || strncmp(e.msg, "schema: ", 8) != 0 : !g) abort();
    if (rc == 0 && grammar_verdict(g, "", 0) != V_OPEN) abort();        /* no JSON value is empty */
    grammar_free(g);
    return 0;
}
