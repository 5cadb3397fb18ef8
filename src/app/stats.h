/* stats.h - how an answer went, for people (one line) and programs (one JSON object). */
#ifndef HEARTH_APP_STATS_H
#define HEARTH_APP_STATS_H

#include "app/generate.h"

struct stats {
    const char *model;
    const struct hearth_model *tokens;     /* whose tokens the result's are */
    const struct gen_result *result;
    uint64_t load_ns, seed;
};

void stats_line(const struct stats *s);                        /* on standard error */
bool stats_json(const struct stats *s, struct buf *out);       /* false: out of memory */

#endif
