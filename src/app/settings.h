/* settings.h - the settings that a model or a preset brings (store/params.h) as options of a command.  Main thread. */
#ifndef HEARTH_APP_SETTINGS_H
#define HEARTH_APP_SETTINGS_H

#include "app/args.h"
#include "base/json.h"

/* Sets the fields of the rows that are meant.  What means nothing to these rows is passed over; a value that they do not take is
 * left out, and said when `whose` ("the model", "preset x") is not NULL.  Texts are borrowed from params. */
void settings_apply(const struct opt_table *t, const struct json *params, void *fields, const char *whose);
/* Whether they choose a seed. */
bool settings_seed(const struct json *params);
/* The JSON object of a text, which may be NULL: an empty object.  ERR_FORMAT. */
int  settings_parse(struct json **out, const char *text, const char *whose, struct err *err);

#endif
