#include "server/record.h"

#include <string.h>

#include "base/os.h"
#include "base/utf8.h"

/* Of Unicode: what moves text about or hides it. */
static bool tricky(uint32_t c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || c == 0xad || c == 0x61c || (c >= 0x200b && c <= 0x200f) ||
           (c >= 0x2028 && c <= 0x202e) || (c >= 0x2060 && c <= 0x206f) || c == 0xfeff || (c >= 0xfff9 && c <= 0xfffb) ||
               c >= 0xe0000;
}

/* What is tricky as JSON escapes it.  JSON itself has such characters only in strings, where that is the same. */
static void put_harmless(const char *s, size_t n, struct buf *out)
{
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t c = utf8_decode(s + i, n - i, &len);
        if (c == UTF8_BAD) buf_puts(out, "\\ufffd");
        else if (tricky(c) && c > 0xffff)
            buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (tricky(c)) buf_printf(out, "\\u%04x", c);
        else buf_put(out, s + i, len);
    }
}

void record_quote(const char *s, size_t n, struct buf *out)
{
    buf_putc(out, '"');
    for (size_t i = 0; i < n;) {
        size_t k = i;
        while (k < n && s[k] != '"' && s[k] != '\\') k++;
        put_harmless(s + i, k - i, out);
        if (k < n) buf_printf(out, "\\%c", s[k]);
        i = k + 1;
    }
    buf_putc(out, '"');
}

static void key_of(struct record *r, const char *key) { buf_printf(&r->b, r->json ? ",\"%s\":" : " %s=", key); }

void record_begin(struct record *r, bool json, const char *level, const char *word)
{
    char when[40];
    buf_clear(&r->b);
    r->json = json;
    os_strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S%z", os_wall_s());
    buf_printf(&r->b, json ? "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"" : "%s %s %s", when, level, word);
}

void record_str(struct record *r, const char *key, const char *value)
{
    if (!value || !*value) return;
    key_of(r, key);
    size_t n = strlen(value);
    bool plain = !r->json && n == strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@+");
    if (plain) buf_puts(&r->b, value);
    else record_quote(value, n > 2000 ? 2000 : n, &r->b);
}

void record_int(struct record *r, const char *key, int64_t value)
{
    key_of(r, key);
    buf_printf(&r->b, "%lld", (long long)value);
}

void record_ms(struct record *r, const char *key, uint64_t ns)
{
    key_of(r, key);
    buf_printf(&r->b, "%.3f", (double)ns * 1e-6);
}

void record_json(struct record *r, const char *key, const struct json *value)
{
    struct buf text = { 0 };
    json_write(value, false, &text);
    key_of(r, key);
    if (text.bad) buf_puts(&r->b, "null");
    else if (r->json) put_harmless(text.data, text.len, &r->b);
    else record_quote(text.data, text.len, &r->b);
    buf_release(&text);
}

const char *record_end(struct record *r, size_t *n)
{
    buf_puts(&r->b, r->json ? "}\n" : "\n");
    *n = r->b.bad ? 0 : r->b.len;
    return r->b.data;
}

void record_release(struct record *r) { buf_release(&r->b); }

/* ---- leaving out what was said ---- */

static bool is_one_of(const char *s, const char *const *list)
{
    while (s && *list && strcmp(s, *list) != 0) list++;
    return s && *list;
}

static struct json *size_of(const struct json *j)
{
    size_t n = json_len(j);
    char text[40];
    enum json_type t = json_type(j);
    if (t == JSON_NULL || t == JSON_BOOL) return json_share(j);
    if (t == JSON_STRING) json_str(j, &n);
    fmt_into(text, sizeof text, t == JSON_STRING ? "(%zu bytes)" : t == JSON_ARRAY ? "(%zu entries)"
                              : t == JSON_OBJECT ? "(%zu fields)" : "(a number)", n);
    return json_new_str(text, strlen(text));
}

/* Whose message it is, and how much of what is in it. */
static struct json *message(const struct json *m)
{
    static const char *const role[] = { "system", "developer", "user", "assistant", "tool", NULL };
    static const char *const part[] = { "content", "reasoning_content", "tool_calls" };
    struct json *o = json_new_object();
    const struct json *r = json_get(m, "role");
    json_put(o, "role", is_one_of(json_str(r, NULL), role) ? json_share(r) : size_of(r));
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (json_get(m, part[i])) json_put(o, part[i], size_of(json_get(m, part[i])));
    return o;
}

static struct json *messages(const struct json *list)
{
    struct json *a = json_new_array();
    for (size_t i = 0; i < json_len(list); i++) json_push(a, message(json_at(list, i)));
    return a;
}

/* Numbers, switches, and words of ours; of all else, which may be what was said or stand for it (tokens), the size. */
static struct json *settings(const struct json *j, bool top)
{
    static const char *const word[] = { "op", "model", "think", "salt", "user", "pooling", "kv_type", "kv_type_v", "rope_scaling",
                                        "context_policy", NULL };
    const char *key;
    struct json *v, *o = json_new_object();
    for (void *it = NULL; json_next(j, &it, &key, &v);) {
        enum json_type t = json_type(v);
        bool plain = t == JSON_INT || t == JSON_REAL || (t == JSON_STRING && is_one_of(key, word));
        bool group = top && t == JSON_OBJECT && (!strcmp(key, "options") || !strcmp(key, "load"));
        bool said = top && t == JSON_ARRAY && !strcmp(key, "messages");
        json_put(o, key, plain ? json_share(v) : group ? settings(v, false) : said ? messages(v) : size_of(v));
    }
    return o;
}

struct json *record_redact(const struct json *job) { return settings(job, true); }
