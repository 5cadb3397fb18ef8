#include "base/cpu.h"
#include "base/env.h"

#include <stdlib.h>

static const struct env_info info[] = {
#define ENV(id, name, help) { name, help },
#include "base/env.def"
#undef ENV
};

const struct env_info *env_info(enum env_var v) { return &info[v]; }

const char *env_get(enum env_var v)
{
    const char *s = getenv(info[v].name);
    return s && *s ? s : NULL;
}
