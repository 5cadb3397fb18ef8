/* Fuzz target: a regular expression compiles, or is refused with a message; what compiles reads the expression as a text. */
#include <stdlib.h>

#include "tests/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    struct grammar *g;
    struct err e = { 0 };
    int rc = grammar_from_regex(&g, (const char *)data, n, &e);
    if (rc < 0 ? g || e.code != rc || strncmp(e.msg, "regex: ", 7) != 0 : !g) abort();
    if (rc == 0) grammar_verdict(g, (const char *)data, n);
    grammar_free(g);
    return 0;
}
