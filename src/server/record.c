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

void record_quote(const char *s, size_t n, struct buf *out)
{
    buf_putc(out, '"');
    for (size_t i = 0, len; i < n; i += len) {
        uint32_t c = utf8_decode(s + i, n - i, &len);
        if (c == UTF8_BAD) buf_puts(out, "\\ufffd");
        else if (c == '"' || c == '\\') buf_printf(out, "\\%c", (int)c);
        else if (tricky(c) && c > 0xffff)
            buf_printf(out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 0x3ff));
        else if (tricky(c)) buf_printf(out, "\\u%04x", c);
        else buf_put(out, s + i, len);
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
    else if (r->json) buf_put(&r->b, text.data, text.len);
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

static bool says_kind(const char *key)
{
    static const char *const kind[] = { "op", "model", "role", "type", "think", "salt", "user", "pooling", "kv_type",
                                        "kv_type_v" };
    for (size_t i = 0; key && i < sizeof kind / sizeof *kind; i++)
        if (!strcmp(key, kind[i])) return true;
    return false;
}

static struct json *redacted(const struct json *j, const char *key, int depth)
{
    const char *name;
    struct json *value;
    void *it = NULL;
    if (depth > 70) return json_new_null();
    if (json_type(j) == JSON_OBJECT) {
        struct json *o = json_new_object();
        while (o && json_next(j, &it, &name, &value)) json_put(o, name, redacted(value, name, depth + 1));
        return o;
    }
    if (json_type(j) == JSON_ARRAY) {
        struct json *a = json_new_array();
        for (size_t i = 0; a && i < json_len(j); i++) json_push(a, redacted(json_at(j, i), NULL, depth + 1));
        return a;
    }
    if (json_type(j) != JSON_STRING || says_kind(key)) return json_share(j);
    size_t n;
    char text[32];
    json_str(j, &n);
    fmt_into(text, sizeof text, "(%zu bytes)", n);
    return json_new_str(text, strlen(text));
}

struct json *record_redact(const struct json *j) { return redacted(j, NULL, 0); }
