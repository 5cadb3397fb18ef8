/* env.h - the only reader of environment variables; every one is a row of env.def, which the help prints. */
#ifndef HEARTH_BASE_ENV_H
#define HEARTH_BASE_ENV_H

enum env_var {
#define ENV(id, name, help) ENV_##id,
#include "base/env.def"
#undef ENV
    N_ENV
};

struct env_info { const char *name, *help; };
const struct env_info *env_info(enum env_var v);

/* The value, or NULL when unset or empty. */
const char *env_get(enum env_var v);

#endif
