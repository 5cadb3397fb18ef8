/* record.h - lines of a log: a time, a word, and fields, as text or JSON; never what anybody said to a model.
 *
 * Values are made harmless: control characters, the invisible ones that turn a terminal's text around, and what is no UTF-8 are
 * escaped.
 * Threads: one per object. */
#ifndef HEARTH_SERVER_RECORD_H
#define HEARTH_SERVER_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/json.h"

struct record { struct buf b; bool json; };

void record_begin(struct record *r, bool json, const char *level, const char *word);
void record_str(struct record *r, const char *key, const char *value);         /* nothing for NULL and "" */
void record_int(struct record *r, const char *key, int64_t value);
void record_ms(struct record *r, const char *key, uint64_t ns);                /* as milliseconds */
void record_json(struct record *r, const char *key, const struct json *value);
const char *record_end(struct record *r, size_t *n);                           /* with its line end; until record_release */
void record_release(struct record *r);

/* Appends s in quotes, on one line, safe for a terminal; valid JSON too. */
void record_quote(const char *s, size_t n, struct buf *out);
/* A copy of a job (job.h) with its settings; of texts, lists and tokens only how much there is, of messages whose they are. */
struct json *record_redact(const struct json *j);

#endif
