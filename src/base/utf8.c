/* utf8.c - decoding by the range of the second byte, which alone excludes overlong forms and surrogates. */
#include "base/utf8.h"

#include <string.h>

/* What a lead byte asks for: total length (0: no lead byte) and the range of the second byte. */
struct lead { uint8_t len, lo, hi; };

static struct lead lead_of(uint8_t c)
{
    if (c < 0x80) return (struct lead){ 1, 0, 0 };
    if (c < 0xc2) return (struct lead){ 0, 0, 0 };
    if (c < 0xe0) return (struct lead){ 2, 0x80, 0xbf };
    if (c < 0xf0) return (struct lead){ 3, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf };
    if (c < 0xf5) return (struct lead){ 4, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf };
    return (struct lead){ 0, 0, 0 };
}

/* Bytes of the character at s that are there and fit: l.len when it is whole. */
static size_t matched(struct lead l, const char *s, size_t n)
{
    size_t i = 1;
    for (; i < l.len && i < n; i++) {
        uint8_t c = (uint8_t)s[i];
        if (c < (i == 1 ? l.lo : 0x80) || c > (i == 1 ? l.hi : 0xbf)) break;
    }
    return i;
}

uint32_t utf8_decode(const char *s, size_t n, size_t *len)
{
    const uint8_t *u = (const uint8_t *)s;
    struct lead l = lead_of(u[0]);
    *len = 1;
    if (l.len == 1) return u[0];
    if (!l.len || matched(l, s, n) < l.len) return UTF8_BAD;
    *len = l.len;
    uint32_t cp = u[0] & (0xffu >> (l.len + 1));
    for (unsigned i = 1; i < l.len; i++) cp = cp << 6 | (u[i] & 0x3fu);
    return cp;
}

size_t utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len; --i; cp >>= 6) out[i] = (char)(0x80 | (cp & 0x3f));
    out[0] = (char)((0xf00u >> len) | cp);
    return len;
}

size_t utf8_valid_prefix(const char *s, size_t n)
{
    size_t i = 0, len;
    while (i < n) {
        uint64_t w;
        if (n - i >= 8 && (memcpy(&w, s + i, 8), (w & 0x8080808080808080u) == 0)) {
            i += 8;
            continue;
        }
        if (utf8_decode(s + i, n - i, &len) == UTF8_BAD) break;
        i += len;
    }
    return i;
}

size_t utf8_complete(const char *s, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        struct lead l = lead_of((uint8_t)s[n - back]);
        if (l.len <= 1 && ((uint8_t)s[n - back] & 0xc0) == 0x80) continue;    /* a continuation: look further left */
        return l.len > back && matched(l, s + n - back, back) == back ? n - back : n;
    }
    return n;
}

void utf8_put_valid(struct buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t ok = utf8_valid_prefix(s + i, n - i);
        buf_put(out, s + i, ok);
        i += ok;
        if (i < n) {
            buf_put(out, "\xef\xbf\xbd", 3);
            i++;
        }
    }
}
