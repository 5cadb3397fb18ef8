/* brings.h - what came with a model (the parts of its manifest, the preset that it gets by default) as additions to jobs.
 *
 * It is kept as the text of a JSON object: "load" and "options" as job.h has them, "system", "messages".
 * Threads: pure functions. */
#ifndef HEARTH_SERVER_BRINGS_H
#define HEARTH_SERVER_BRINGS_H

#include "base/buf.h"
#include "base/json.h"
#include "store/preset.h"
#include "store/store.h"

enum { BRINGS_MOST = 4 << 20 };        /* bytes of the text: each request gets a copy */

/* Appends the text.  The preset counts more than the parts.  left_out: settings whose values cannot be taken, and why.
 * ERR_FORMAT, ERR_LIMIT: what is damaged, without the model's name. */
int brings_read(const struct parts *p, const struct preset *preset, struct buf *out, struct buf *left_out, struct err *err);
/* Puts into a job what it does not say itself: how to load the model; of an answer options; before its messages those of the
 * model, and the system prompt unless it has one. */
int brings_put(const struct buf *text, struct json *job, struct err *err);

#endif
