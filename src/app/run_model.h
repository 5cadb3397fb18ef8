/* run_model.h - which model `hearth run` opens: a path, a name of this machine, or one that is fetched first; and what it brings
 * with it.  Main thread. */
#ifndef HEARTH_APP_RUN_MODEL_H
#define HEARTH_APP_RUN_MODEL_H

#include "app/dialog.h"
#include "base/json.h"
#include "store/preset.h"

struct run_get { bool offline, yes; const char *preset; };     /* preset: "none", or NULL: the model's */

struct run_model {
    char path[STORE_PATH];
    struct parts parts;
    struct json *params;                   /* an object, maybe empty */
    struct preset preset;                  /* its name is "" when there is none */
};

/* Fetches a model that is not here, but for paths and offline; asks first above 10 GB (pulling.h).  ERR_CANCELLED when a signal
 * came.  m is the caller's (run_model_release), also after a failure. */
int  run_model_get(struct run_model *m, const char *operand, const struct run_get *how, struct err *err);
int  run_model_embedded(struct run_model *m, const struct run_get *how, struct err *err);      /* the one inside the program */
void run_model_release(struct run_model *m);
/* Sets the template that came with the model: that of a Modelfile, and any in Jinja, takes the place of the file's own; one in
 * Go's language that was published with it only helps out. */
void run_model_template(const struct run_model *m, struct hearth_model_options *o);
/* The system message and the messages with which a chat with this model begins. */
int  run_model_begin(const struct run_model *m, struct dialog *d, struct err *err);

#endif
