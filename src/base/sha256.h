/* sha256.h - SHA-256, the name of everything in the store.
 * Threads: one per object. */
#ifndef HEARTH_BASE_SHA256_H
#define HEARTH_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { SHA256_HEX = 64 };

struct sha256;
int  sha256_new(struct sha256 **out, struct err *err);
bool sha256_add(struct sha256 *h, const void *p, size_t n);
/* 64 lower-case digits and NUL; h can be used for the next text afterwards.  False: the library failed. */
bool sha256_end(struct sha256 *h, char hex[SHA256_HEX + 1]);
void sha256_free(struct sha256 *h);                             /* NULL is fine */

int  sha256_bytes(const void *p, size_t n, char hex[SHA256_HEX + 1], struct err *err);
/* progress(arg, done, total) may be NULL; false from it ends the work with ERR_CANCELLED. */
typedef bool sha256_progress_fn(void *arg, uint64_t done, uint64_t total);
int  sha256_file(const char *path, char hex[SHA256_HEX + 1], sha256_progress_fn *progress, void *arg, struct err *err);

/* The name that git gives to a file of these bytes: SHA-1 of "blob SIZE", a zero byte, and them.  For comparing with what a
 * server says, no more. */
enum { GIT_HEX = 40 };
int  git_blob_file(const char *path, char hex[GIT_HEX + 1], struct err *err);

/* Exactly 64 lower-case hexadecimal digits, n bytes long. */
bool sha256_is_hex(const char *s, size_t n);

#endif
