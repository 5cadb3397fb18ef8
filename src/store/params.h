/* params.h - the settings that a model, a preset or a request can carry: base/settings.def has a row for each.
 * Threads: pure functions. */
#ifndef HEARTH_STORE_PARAMS_H
#define HEARTH_STORE_PARAMS_H

#include "base/json.h"

enum param_kind {
    PARAM_NUM, PARAM_INT, PARAM_BOOL, PARAM_STR, PARAM_STRS,
    PARAM_F32 = PARAM_NUM, PARAM_I32 = PARAM_INT, PARAM_U64 = PARAM_INT        /* as options call them */
};
struct param { const char *name; enum param_kind kind; const char *option; };

const struct param *param_at(size_t i);                        /* NULL past the end */
const struct param *param_find(const char *name);              /* NULL: not known */
const struct param *param_of_option(const char *option);       /* the row that is this option of `hearth run`, or NULL */
/* Whether a JSON value is of the kind; ERR_ARG names the setting and what it needs. */
int  param_check(const struct param *p, const struct json *value, struct err *err);
/* All members of an object; ERR_ARG for one that is not known, with the nearest that is. */
int  params_check(const struct json *object, struct err *err);
/* Puts the text of one value into an object: a number, true or false, or a text; of PARAM_STRS one more of an array. */
int  params_add(struct json *object, const char *name, const char *text, struct err *err);

#endif
