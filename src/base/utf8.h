/* utf8.h - strict UTF-8 (Unicode 3.9, table 3-7): no overlong forms, no surrogates, nothing past U+10FFFF.
 * Threads: any. */
#ifndef HEARTH_BASE_UTF8_H
#define HEARTH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define UTF8_BAD UINT32_MAX
#define UTF8_REPLACEMENT 0xfffdu

/* Decodes the character at s[0] of n >= 1 bytes; its length (1 to 4) goes to *len.  UTF8_BAD with *len = 1 when the
 * bytes are no character or the text ends inside one. */
uint32_t utf8_decode(const char *s, size_t n, size_t *len);

/* Writes cp (up to 0x1fffff; what is no scalar value is encoded by the same pattern) and returns 1 to 4. */
size_t utf8_encode(uint32_t cp, char out[4]);

/* Length of the longest prefix of valid characters; n when all is valid. */
size_t utf8_valid_prefix(const char *s, size_t n);
static inline bool utf8_valid(const char *s, size_t n) { return utf8_valid_prefix(s, n) == n; }

/* Length of s without an unfinished last character (one that more bytes could still complete). */
size_t utf8_complete(const char *s, size_t n);

/* Appends s with each byte that belongs to no character replaced by U+FFFD. */
void utf8_put_valid(struct buf *out, const char *s, size_t n);

#endif
