/* keys.h - API keys: who may call, and what.
 *
 * A key file has a line for each: ROLE NAME SHA256, where ROLE is infer or manage, NAME is made of letters, digits and . _ - and
 * the last is the SHA-256 of the key in hexadecimal.  Empty lines and those that begin with # count for nothing.  Keys themselves
 * are never kept; they have 192 random bits, so that a plain hash is enough.
 * Threads: keys_find any; the others one at a time. */
#ifndef HEARTH_SERVER_KEYS_H
#define HEARTH_SERVER_KEYS_H

#include <stddef.h>

#include "base/err.h"
#include "base/sha256.h"
#include "server/http.h"

enum { KEY_NAME = 63, KEY_TEXT = 63, KEYS_MAX = 4096 };

struct key { enum role role; char name[KEY_NAME + 1], hash[SHA256_HEX + 1]; };
struct keys { struct key *v; size_t n; };

/* Errors name the file and line. */
int  keys_read(struct keys *out, const char *path, struct err *err);
int  keys_parse(struct keys *out, const char *text, size_t n, const char *path, struct err *err);
void keys_release(struct keys *k);
/* The key that text is, or NULL.  Takes the same time for every wrong one: all are compared, whole. */
const struct key *keys_find(const struct keys *k, const char *text);

/* A new key, and its line for the file. */
int  key_make(enum role role, const char *name, char key[KEY_TEXT + 1], struct buf *line, struct err *err);

#endif
