/* model_name.h - every MODEL of the command line goes through here: a path, or a name of a model on this machine.
 * Main thread. */
#ifndef HEARTH_APP_MODEL_NAME_H
#define HEARTH_APP_MODEL_NAME_H

#include "format/hf.h"
#include "hearth.h"
#include "store/store.h"

/* A path that exists is itself; else the name of a model (store.h).  ERR_NOTFOUND says what may have been meant, and how the
 * model can be had. */
int model_path(const char *operand, char path[STORE_PATH], struct err *err);
/* Whether it means the model inside the program, which has no path: no file has the name. */
bool model_is_embedded(const char *operand);
/* hearth_model_open, model_file_open and gguf_open for names, the embedded one's too. */
int named_model_open(struct hearth_model **out, const char *operand, const struct hearth_model_options *o,
                     struct hearth_error *e);
int named_file_open(struct gguf **out, const char *operand, struct err *err);
int named_gguf_open(struct gguf **out, const char *operand, struct err *err);

#endif
