/* preset.h - named settings: a system prompt and values of params.h, each in a file presets/NAME.json of the store.
 *
 * File: {"hearth_preset": 1, "system": "...", "settings": {"temperature": 0.2, ...}}, either may be missing.
 * presets/defaults.json is no preset: {"models": {"qwen3:30b": "coder"}}, which preset a model gets when none is named.
 * Threads: one per object. */
#ifndef HEARTH_STORE_PRESET_H
#define HEARTH_STORE_PRESET_H

#include "base/json.h"
#include "store/store.h"

enum { PRESET_NAME = 80, PRESET_MAX = 1 << 20 };

struct preset {
    char name[PRESET_NAME + 1];
    struct json *all;                      /* the whole file, as it is written */
    const char *system;                    /* inside all, or NULL */
    const struct json *settings;           /* inside all; an object */
};

/* As a part of a model's name: letters, digits and _.-, beginning with one of the first three; not "defaults" or "none". */
int  preset_name_check(const char *name, struct err *err);
void preset_release(struct preset *p);
/* One of ours, or of LM Studio (*.preset.json); what of the latter has no meaning here is named in left_out (may be NULL), with
 * commas between.  ERR_FORMAT, ERR_ARG say what is wrong. */
int  preset_parse(struct preset *p, const char *text, size_t n, struct buf *left_out, struct err *err);
/* A new one of its two parts; settings is shared, NULL: none. */
int  preset_make(struct preset *p, const char *name, const char *system, const struct json *settings, struct err *err);
int  preset_load(struct store *s, const char *name, struct preset *p, struct err *err);      /* ERR_NOTFOUND names the nearest */
int  preset_save(struct store *s, const struct preset *p, struct err *err);
int  preset_remove(struct store *s, const char *name, struct err *err);
/* Their names in order. */
typedef int preset_fn(void *arg, const char *name, struct err *err);
int  preset_each(struct store *s, preset_fn *fn, void *arg, struct err *err);

/* Which preset a model gets when none is named; "" when none. */
int  preset_default(struct store *s, const char *model, char name[PRESET_NAME + 1], struct err *err);
int  preset_set_default(struct store *s, const char *model, const char *name, struct err *err);      /* "": none any more */

#endif
