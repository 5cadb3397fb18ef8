#include "base/jscan.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

void jscan_init(struct jscan *s, const char *text, size_t n)
{
    *s = (struct jscan){ .start = text, .at = text, .end = text + n };
}

void jscan_fail(struct jscan *s, const char *why)
{
    if (!s->bad) s->bad = why;
}

/* The next character that is no white space, 0 at the end and after a failure. */
static char look(struct jscan *s)
{
    if (s->bad) return 0;
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\n' || *s->at == '\r' || *s->at == '\t')) s->at++;
    return s->at < s->end ? *s->at : 0;
}

char jscan_peek(struct jscan *s)
{
    char c = look(s);
    return c && strchr("{[\"tfn-0123456789", c) ? c : 0;
}

bool jscan_open(struct jscan *s, char bracket)
{
    if (look(s) != bracket) jscan_fail(s, bracket == '{' ? "expected an object" : "expected an array");
    else if (s->depth == JSCAN_DEPTH) jscan_fail(s, "too many levels of nesting");
    if (s->bad) return false;
    s->at++;
    s->close[s->depth] = bracket == '{' ? '}' : ']';
    s->more &= ~((uint64_t)1 << s->depth);
    s->depth++;
    return true;
}

/* Whether a member follows in the list that was opened last; takes the comma, or the bracket that closes it. */
static bool member(struct jscan *s, char close)
{
    char c = look(s);
    if (s->bad) return false;
    if (!s->depth || s->close[s->depth - 1] != close) {
        jscan_fail(s, "expected another kind of value");
        return false;
    }
    uint64_t bit = (uint64_t)1 << (s->depth - 1);
    if (c == close) {
        s->at++;
        s->depth--;
        return false;
    }
    if (s->more & bit) {
        if (c != ',') {
            jscan_fail(s, close == '}' ? "expected , or }" : "expected , or ]");
            return false;
        }
        s->at++;
    }
    s->more |= bit;
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hexadecimal digits at s->at + 2, after \u. */
static bool unit(const struct jscan *s, uint32_t *out)
{
    if (s->end - s->at < 6 || s->at[0] != '\\' || s->at[1] != 'u') return false;
    *out = 0;
    for (int i = 2; i < 6; i++) {
        int h = hex(s->at[i]);
        if (h < 0) return false;
        *out = *out << 4 | (uint32_t)h;
    }
    return true;
}

static void escaped_unit(struct jscan *s, struct buf *out)
{
    uint32_t cp, low;
    char c[4];
    if (!unit(s, &cp)) {
        jscan_fail(s, "\\u needs four hexadecimal digits");
        return;
    }
    s->at += 6;
    if (cp >= 0xd800 && cp < 0xe000) {
        if (cp >= 0xdc00 || !unit(s, &low) || low < 0xdc00 || low > 0xdfff) {
            jscan_fail(s, "half of a surrogate pair");
            return;
        }
        s->at += 6;
        cp = 0x10000 + ((cp - 0xd800) << 10) + (low - 0xdc00);
    }
    if (out) buf_put(out, c, utf8_encode(cp, c));
}

static void escape(struct jscan *s, struct buf *out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = s->end - s->at > 1 ? s->at[1] : 0;
    const char *p = c ? strchr(from, c) : NULL;
    if (c == 'u') {
        escaped_unit(s, out);
    } else if (p) {
        s->at += 2;
        if (out) buf_putc(out, to[p - from]);
    } else {
        jscan_fail(s, "unknown escape sequence");
    }
}

/* out NULL: only checked. */
static void string(struct jscan *s, struct buf *out)
{
    if (look(s) != '"') {
        jscan_fail(s, "expected a string");
        return;
    }
    s->at++;
    while (!s->bad) {
        const char *from = s->at;
        while (s->at < s->end && (unsigned char)*s->at >= 0x20 && *s->at != '"' && *s->at != '\\') s->at++;
        size_t n = (size_t)(s->at - from), good = utf8_valid_prefix(from, n);
        if (good < n) {
            s->at = from + good;
            jscan_fail(s, "invalid UTF-8");
            return;
        }
        if (out) buf_put(out, from, n);
        if (s->at == s->end) {
            jscan_fail(s, "the text ends inside a string");
        } else if (*s->at == '"') {
            s->at++;
            break;
        } else if (*s->at == '\\') {
            escape(s, out);
        } else {
            jscan_fail(s, "a control character inside a string");
        }
    }
    if (out && out->bad) jscan_fail(s, "out of memory, or a string that is too long");
}

void jscan_str(struct jscan *s, struct buf *out) { string(s, out); }

bool jscan_key(struct jscan *s, struct buf *key)
{
    if (!member(s, '}')) return false;
    buf_clear(key);
    string(s, key);
    if (look(s) != ':') jscan_fail(s, "expected a : after the key");
    if (s->bad) return false;
    s->at++;
    return true;
}

bool jscan_item(struct jscan *s) { return member(s, ']'); }

/* ---- numbers and words ---- */

static size_t digits(const char *at, const char *end)
{
    size_t n = 0;
    while (at + n < end && at[n] >= '0' && at[n] <= '9') n++;
    return n;
}

/* The length of the number at s->at by the grammar of JSON; 0 when there is none.  *whole: it has only digits. */
static size_t number(struct jscan *s, bool *whole)
{
    look(s);
    if (s->bad) return 0;
    const char *p = s->at;
    *whole = p < s->end && *p != '-';
    if (p < s->end && *p == '-') p++;
    size_t n = digits(p, s->end);
    if (!n || (n > 1 && *p == '0')) return 0;
    p += n;
    if (p < s->end && *p == '.') {
        *whole = false;
        if (!(n = digits(p + 1, s->end))) return 0;
        p += 1 + n;
    }
    if (p < s->end && (*p == 'e' || *p == 'E')) {
        *whole = false;
        p++;
        if (p < s->end && (*p == '+' || *p == '-')) p++;
        if (!(n = digits(p, s->end))) return 0;
        p += n;
    }
    return (size_t)(p - s->at);
}

uint64_t jscan_u64(struct jscan *s)
{
    bool whole = false, fits = true;
    size_t n = number(s, &whole);
    uint64_t v = 0;
    for (size_t i = 0; whole && i < n; i++)
        fits = fits && !__builtin_mul_overflow(v, 10u, &v) && !__builtin_add_overflow(v, (uint64_t)(s->at[i] - '0'), &v);
    if (!n || !whole || !fits) jscan_fail(s, "expected a whole number from 0 to 2^64 - 1");
    if (s->bad) return 0;
    s->at += n;
    return v;
}

double jscan_num(struct jscan *s)
{
    bool whole = false;
    char text[64];
    size_t n = number(s, &whole);
    if (!n) jscan_fail(s, "expected a number");
    else if (n >= sizeof text) jscan_fail(s, "a number of too many digits");
    if (s->bad) return 0;
    memcpy(text, s->at, n);
    text[n] = 0;
    s->at += n;
    return strtod(text, NULL);
}

static bool word(struct jscan *s, const char *w)
{
    size_t n = strlen(w);
    look(s);
    if (s->bad || (size_t)(s->end - s->at) < n || memcmp(s->at, w, n) != 0) return false;
    s->at += n;
    return true;
}

bool jscan_bool(struct jscan *s)
{
    if (word(s, "true")) return true;
    if (!word(s, "false")) jscan_fail(s, "expected true or false");
    return false;
}

bool jscan_null(struct jscan *s) { return word(s, "null"); }

/* ---- skipping ---- */

static void skip_plain(struct jscan *s)
{
    bool whole;
    char c = look(s);
    size_t n;
    if (c == '"') string(s, NULL);
    else if ((n = number(s, &whole)) != 0) s->at += n;
    else if (!word(s, "true") && !word(s, "false") && !word(s, "null")) jscan_fail(s, "expected a value");
}

/* The key of the object's next member, without keeping it. */
static bool skip_key(struct jscan *s)
{
    if (!member(s, '}')) return false;
    string(s, NULL);
    if (look(s) != ':') jscan_fail(s, "expected a : after the key");
    if (s->bad) return false;
    s->at++;
    return true;
}

void jscan_skip(struct jscan *s)
{
    unsigned top = s->depth;
    do {
        char c = look(s);
        if (c == '{' || c == '[') jscan_open(s, c);
        else skip_plain(s);
        /* closes what is complete, up to where the value began */
        while (!s->bad && s->depth > top && !(s->close[s->depth - 1] == '}' ? skip_key(s) : member(s, ']'))) {}
    } while (!s->bad && s->depth > top);
}

/* ---- the end ---- */

bool jscan_end(struct jscan *s)
{
    if (look(s)) jscan_fail(s, "text after the end");
    if (!s->bad && (s->depth || s->at < s->end)) jscan_fail(s, "the text ends too early, or has a zero byte");
    return !s->bad;
}

int jscan_error(const struct jscan *s, const char *path, struct err *err)
{
    size_t line = 1;
    const char *begin = s->start;
    for (const char *p = s->start; p < s->at; p++)
        if (*p == '\n') {
            line++;
            begin = p + 1;
        }
    const char *why = s->bad ? s->bad : "not the JSON that was expected";
    return err_set(err, ERR_FORMAT, "%s: line %zu, column %zu: %s", path, line, (size_t)(s->at - begin) + 1, why);
}
