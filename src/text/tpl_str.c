/* tpl_str.c - strings as templates see them: characters of UTF-8, barriers invisible.
 * A barrier belongs to the character before it; at the start of a string, to the first one. */
#include <string.h>

#include "base/uni.h"
#include "text/tokenizer.h"
#include "text/tpl.h"

static bool barrier(char c) { return c == TOKENIZER_BARRIER; }

struct str str_of(const char *s) { return (struct str){ s, strlen(s) }; }

bool str_same(struct str a, const char *b) { return strlen(b) == a.n && memcmp(a.p, b, a.n) == 0; }

bool str_empty(struct str s)
{
    for (size_t i = 0; i < s.n; i++)
        if (!barrier(s.p[i])) return false;
    return true;
}

static size_t skip_barriers(struct str s, size_t at)
{
    while (at < s.n && barrier(s.p[at])) at++;
    return at;
}

static size_t char_bytes(struct str s, size_t at)
{
    unsigned char c = (unsigned char)s.p[at];
    size_t n = c < 0xc0 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    return n > s.n - at ? s.n - at : n;
}

size_t str_step(struct str s, size_t at)
{
    size_t i = skip_barriers(s, at);
    if (i < s.n) i = skip_barriers(s, i + char_bytes(s, i));
    return i - at;
}

uint32_t str_char(struct str s, size_t at)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    at = skip_barriers(s, at);
    if (at >= s.n) return 0xfffd;
    unsigned char lead = (unsigned char)s.p[at];
    if (lead < 0x80) return lead;
    size_t n = lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
    if (!n || n > s.n - at) return 0xfffd;
    uint32_t c = lead & (0x7fu >> n);
    for (size_t i = 1; i < n; i++) {
        unsigned char b = (unsigned char)s.p[at + i];
        if ((b & 0xc0) != 0x80) return 0xfffd;
        c = c << 6 | (b & 0x3f);
    }
    return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0xfffd : c;
}

size_t str_length(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += ((unsigned char)s.p[i] & 0xc0) != 0x80 && !barrier(s.p[i]);
    return n;
}

size_t str_offset(struct str s, size_t chars)
{
    size_t at = 0;
    for (; chars && at < s.n; chars--) at += str_step(s, at);
    return at;
}

/* *seen is how many bytes were compared, also when there is no match. */
static size_t match(struct str s, size_t at, struct str what, size_t *seen)
{
    size_t i = at;
    for (size_t j = 0; j < what.n; j++) {
        if (barrier(what.p[j])) continue;
        i = skip_barriers(s, i);
        *seen = j + 1;
        if (i >= s.n || s.p[i] != what.p[j]) return SIZE_MAX;
        i++;
    }
    return i - at;
}

size_t str_match(struct str s, size_t at, struct str what)
{
    size_t seen = 0;
    return match(s, at, what, &seen);
}

/* Takes the steps of comparing; false when they are used up (the next tpl_spend reports it). */
static bool spend_quietly(struct tpl *t, size_t *work)
{
    uint64_t cost = *work / 64;
    if (cost > t->steps) cost = t->steps;
    t->steps -= cost;
    *work = 0;
    return t->steps > 0;
}

size_t str_find(struct tpl *t, struct str s, size_t at, struct str what, size_t *len)
{
    size_t work = 0, seen = 0;
    what.p += skip_barriers(what, 0);
    what.n -= skip_barriers(what, 0);
    *len = 0;
    if (!what.n) return at;
    while (at < s.n) {
        const char *hit = memchr(s.p + at, what.p[0], s.n - at);
        if (!hit) break;
        work += (size_t)(hit - s.p) - at;
        at = (size_t)(hit - s.p);
        size_t n = match(s, at, what, &seen);
        if (n != SIZE_MAX) {
            *len = n;
            spend_quietly(t, &work);
            return at;
        }
        work += seen * 4;                /* slower than scanning */
        if (work > 4096 && !spend_quietly(t, &work)) return SIZE_MAX;
        at++;
    }
    return SIZE_MAX;
}

size_t str_rfind(struct tpl *t, struct str s, struct str what, size_t *len)
{
    size_t work = 0, seen = 0;
    what.p += skip_barriers(what, 0);
    what.n -= skip_barriers(what, 0);
    *len = 0;
    if (!what.n) return s.n;
    for (size_t at = s.n; at-- > 0;) {
        work++;
        if (s.p[at] != what.p[0]) continue;
        size_t n = match(s, at, what, &seen);
        if (n != SIZE_MAX) {
            *len = n;
            return at;
        }
        work += seen * 4;                /* slower than scanning */
        if (work > 4096 && !spend_quietly(t, &work)) return SIZE_MAX;
    }
    return SIZE_MAX;
}

/* By code point, which for UTF-8 is by byte. */
int str_cmp(struct str a, struct str b)
{
    size_t i = 0, j = 0;
    for (;; i++, j++) {
        i = skip_barriers(a, i);
        j = skip_barriers(b, j);
        if (i >= a.n || j >= b.n) return (i < a.n) - (j < b.n);
        if (a.p[i] != b.p[j]) return (unsigned char)a.p[i] < (unsigned char)b.p[j] ? -1 : 1;
    }
}

bool str_eq(struct str a, struct str b) { return (a.n == b.n && memcmp(a.p, b.p, a.n) == 0) || str_cmp(a, b) == 0; }

static bool trims(struct str s, size_t at, const struct str *chars)
{
    uint32_t c = str_char(s, at);
    if (!chars) return char_is_space(c);
    for (size_t i = 0; i < chars->n; i += str_step(*chars, i))
        if (str_char(*chars, i) == c) return true;
    return false;
}

struct str str_trim(struct str s, const struct str *chars, int sides)
{
    while ((sides & 1) && s.n && trims(s, 0, chars)) {
        size_t n = str_step(s, 0);
        s.p += n;
        s.n -= n;
    }
    while ((sides & 2) && s.n) {
        size_t at = s.n;
        while (at > 0 && barrier(s.p[at - 1])) at--;
        if (at > 0) at--;
        while (at > 0 && ((unsigned char)s.p[at] & 0xc0) == 0x80) at--;
        if (!trims(s, at, chars)) break;
        s.n = at;
    }
    return s;
}

int str_trimmed(struct tpl *t, size_t gone, size_t n_chars)
{
    uint64_t work;
    return tpl_spend(t, __builtin_mul_overflow((uint64_t)gone * 8, (uint64_t)n_chars + 1, &work) ? SIZE_MAX : (size_t)work);
}

bool char_is_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

uint32_t char_lower(uint32_t c) { return c < 128 ? c + (c >= 'A' && c <= 'Z') * 32u : uni_lower(c); }
uint32_t char_upper(uint32_t c) { return c < 128 ? c - (c >= 'a' && c <= 'z') * 32u : uni_upper(c); }

unsigned char_class(uint32_t c)
{
    if (c >= 128) return uni_class(c);
    return (c >= 'a' && c <= 'z') ? UNI_LL : (c >= 'A' && c <= 'Z') ? UNI_LU : (c >= '0' && c <= '9') ? UNI_ND : 0;
}

void put_upper(struct buf *b, uint32_t c, bool title)
{
    if (c == 0xdf) buf_puts(b, title ? "Ss" : "SS");          /* the one common letter whose upper case is two */
    else put_char(b, char_upper(c));
}

void put_char(struct buf *b, uint32_t c)
{
    if (c < 0x80) {
        buf_putc(b, (char)c);
        return;
    }
    int n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char lead[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    buf_putc(b, (char)(lead[n] | c >> (6 * (n - 1))));
    for (int i = n - 2; i >= 0; i--) buf_putc(b, (char)(0x80 | (c >> (6 * i) & 0x3f)));
}

int tpl_fail_written(struct tpl *t, const struct buf *out, const char *what)
{
    if (out->bad && !out->full) return tpl_fail(t, ERR_NOMEM, "out of memory");
    return tpl_fail(t, ERR_LIMIT, "more than %zu bytes of %s", t->lim.output, what);
}

static int too_long(struct tpl *t)
{
    return tpl_fail(t, ERR_LIMIT, "a string is longer than %zu bytes", t->lim.output);
}

int str_new(struct tpl *t, const char *p, size_t n, struct value *out)
{
    return str_concat(t, (struct str){ "", 0 }, (struct str){ p, n }, out);
}

/* Grows the left side in place when it is the newest string: text is often built piece by piece. */
int str_concat(struct tpl *t, struct str a, struct str b, struct value *out)
{
    if (a.n > t->lim.output || b.n > t->lim.output - a.n) return too_long(t);
    if (a.n && a.p + a.n == t->tail && t->tail_room >= b.n) {
        int rc = tpl_spend(t, b.n);
        if (rc < 0) return rc;
        memcpy(t->tail, b.p, b.n);
        t->tail += b.n;
        t->tail_room -= b.n;
        *out = v_str((struct str){ a.p, a.n + b.n });
        return 0;
    }
    size_t n = a.n + b.n, spare = a.n < 64 ? 0 : n;
    int rc = tpl_spend(t, n);
    if (rc < 0) return rc;
    char *d = tpl_new(t, n + spare + 1, 1);
    if (!d) return t->err ? t->err->code : ERR_LIMIT;
    if (a.n) memcpy(d, a.p, a.n);
    if (b.n) memcpy(d + a.n, b.p, b.n);
    t->tail = d + n;
    t->tail_room = spare;
    *out = v_str((struct str){ d, n });
    return 0;
}

struct buf str_buf(const struct tpl *t) { return (struct buf){ .limit = t->lim.output }; }

int str_take(struct tpl *t, struct buf *b, struct value *out)
{
    int rc = b->full ? too_long(t) : b->bad ? tpl_fail(t, ERR_NOMEM, "out of memory")
                                            : str_new(t, b->data ? b->data : "", b->len, out);
    buf_release(b);
    return rc;
}
