/* api_options.h - the settings that every dialect takes, under one set of names: docs/api.md lists them from this table.
 *
 * They may stand at the top of a request or in its object "options"; the top counts where both have one.  Threads: any. */
#ifndef HEARTH_SERVER_API_OPTIONS_H
#define HEARTH_SERVER_API_OPTIONS_H

#include "base/err.h"
#include "base/json.h"

/* Puts what the body asks for into the job: its "options", "load", "keep_alive", "think", "format", ...  What is null counts as
 * absent.  ERR_ARG names the field; ERR_UNSUPPORTED for what cannot be done and would change the answer. */
int api_options(const struct json *body, struct json *job, struct err *err);

/* The pieces that dialects have their own names for. */
int api_keep_alive(const struct json *v, const char *field, struct json *job, struct err *err);   /* seconds, or "10m" */
int api_think(const struct json *v, const char *field, struct json *job, struct err *err);        /* bool or a level */
int api_format(struct json *job, const char *type, const char *key, const struct json *value, struct err *err);
int api_tools(const struct json *tools, struct json *job, struct err *err);           /* as the OpenAI chat API has them */
/* "none", "auto", "required", or the name of a tool. */
int api_tool_choice(struct json *job, const char *choice, const char *name, struct err *err);

/* Names of the table for the page and its test: row i, or NULL at the end. */
struct api_option { const char *names, *where, *help; };
const struct api_option *api_option_at(size_t i);

#endif
