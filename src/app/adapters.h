/* adapters.h - the options --lora, --control-vector and --control-vector-layers, for every command that evaluates a model.
 * Threads: main thread. */
#ifndef HEARTH_APP_ADAPTERS_H
#define HEARTH_APP_ADAPTERS_H

#include "app/args.h"
#include "base/err.h"
#include "hearth.h"

struct adapter_options { struct opt_strs lora, steer; const char *layers; };

/* The rows; AT(field) is the offset of the command's field, `adapters` its struct adapter_options. */
#define ADAPTER_ROWS(AT) \
    { "lora", NULL, 0, OPT_STRS, "FILE[:SCALE]", NULL, "add a LoRA: a GGUF adapter or a folder of PEFT; may be repeated", NULL, \
      AT(adapters.lora), 0, 0 }, \
    { "control-vector", NULL, 0, OPT_STRS, "FILE[:SCALE]", NULL, "add a steering vector to the layers; may be repeated", NULL, \
      AT(adapters.steer), 0, 0 }, \
    { "control-vector-layers", NULL, 0, OPT_STR, "FROM-TO", "all", "steer these layers only, counted from 0", NULL, \
      AT(adapters.layers), 0, 0 }

/* The adapters of one model. */
struct adapters { struct hearth_adapter *a[2 * OPT_MAX_STRS]; size_t n; };

/* Opens them all and makes the sessions that m opens from now on begin with them.  *out is to be closed also on failure, after
 * these sessions and before m. */
int  adapters_open(struct adapters *out, struct hearth_model *m, const struct adapter_options *o, struct err *err);
void adapters_close(struct adapters *a);

#endif
