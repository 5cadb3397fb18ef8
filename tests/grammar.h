/* grammar.h - asks a compiled grammar about whole texts, byte by byte; for tests and fuzz targets. */
#ifndef HEARTH_TESTS_GRAMMAR_H
#define HEARTH_TESTS_GRAMMAR_H

#include <string.h>

#include "text/gram_run.h"

enum verdict { V_DEAD, V_OPEN, V_WHOLE };       /* cannot go on like this; may go on; may end here */

static inline enum verdict grammar_verdict(const struct grammar *g, const char *s, size_t n)
{
    struct grun r;
    enum verdict v = V_DEAD;
    if (grun_open(&r, g) == 0) {
        uint32_t c = r.start;
        for (size_t i = 0; i < n && c != GRUN_DEAD; i++) c = grun_byte(&r, c, (uint8_t)s[i]);
        if (c != GRUN_DEAD && !r.rc) v = r.config[c].ends ? V_WHOLE : V_OPEN;
    }
    grun_close(&r);
    return v;
}

#endif
