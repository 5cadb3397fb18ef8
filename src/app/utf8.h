/* utf8.h - one character at a time, strictly.  Threads: pure functions. */
#ifndef HEARTH_APP_UTF8_H
#define HEARTH_APP_UTF8_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

#define UTF8_BAD 0xffffffffu

/* Bytes (1 to 4) of the character at s[0..n), n >= 1, and its code point; a byte that begins no valid character is 1 byte
 * and UTF8_BAD.  Surrogates, overlong forms and values above U+10FFFF are not valid. */
static inline size_t utf8_next(const char *s, size_t n, uint32_t *cp)
{
    const unsigned char *p = (const unsigned char *)s;
    unsigned char b = p[0];
    size_t len = b < 0x80 ? 1 : b >= 0xc2 && b < 0xe0 ? 2 : b >= 0xe0 && b < 0xf0 ? 3 : b >= 0xf0 && b < 0xf5 ? 4 : 0;
    *cp = UTF8_BAD;
    if (len == 1) *cp = b;
    if (len < 2 || len > n) return 1;
    uint32_t v = b & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80) return 1;
        v = v << 6 | (p[i] & 0x3fu);
    }
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (v < least[len] || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return 1;
    *cp = v;
    return len;
}

/* Appends s with each bad byte as U+FFFD. */
static inline void utf8_repair(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t cp;
        len = utf8_next(s + i, n - i, &cp);
        if (cp == UTF8_BAD)
            buf_puts(out, "\xef\xbf\xbd");
        else
            buf_put(out, s + i, len);
    }
}

#endif
