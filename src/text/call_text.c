/* call_text.c - calls written as Python writes them, and Gemma's objects: whole texts turned into JSON. */
#include <string.h>

#include "text/answer_impl.h"

enum { MAX_DEPTH = 32 };

struct scan { const char *p, *end; unsigned depth; };

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static void skip_space(struct scan *s)
{
    while (s->p < s->end && space(*s->p)) s->p++;
}

static bool take(struct scan *s, char c)
{
    skip_space(s);
    if (s->p == s->end || *s->p != c) return false;
    s->p++;
    return true;
}

static bool name_byte(char c)
{
    return c == '_' || c == '.' || c == '-' || (c >= '0' && c <= '9') || ((c | 32) >= 'a' && (c | 32) <= 'z') || (c & 0x80);
}

static size_t take_name(struct scan *s, const char **name)
{
    skip_space(s);
    *name = s->p;
    while (s->p < s->end && name_byte(*s->p)) s->p++;
    return (size_t)(s->p - *name);
}

static bool take_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(s->end - s->p) < n || memcmp(s->p, word, n) != 0 || (s->p + n < s->end && name_byte(s->p[n]))) return false;
    s->p += n;
    return true;
}

/* A number as JSON has it, or one of the words. */
static bool put_plain(struct scan *s, struct buf *out)
{
    static const char *const word[][2] = { { "true", "true" }, { "false", "false" }, { "null", "null" }, { "True", "true" },
                                           { "False", "false" }, { "None", "null" } };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (take_word(s, word[i][0])) {
            buf_puts(out, word[i][1]);
            return true;
        }
    const char *from = s->p;
    while (s->p < s->end && (strchr("+-.eE", *s->p) || (*s->p >= '0' && *s->p <= '9')) && *s->p) s->p++;
    struct json *j = NULL;
    bool ok = s->p > from && json_parse(&j, from, (size_t)(s->p - from), NULL) == 0;
    json_free(j);
    if (ok) buf_put(out, from, (size_t)(s->p - from));
    return ok;
}

/* Python's string at a quote; escapes become those of JSON. */
static bool put_string(struct scan *s, struct buf *out)
{
    char quote = *s->p++;
    struct buf b = { 0 };
    while (s->p < s->end && *s->p != quote) {
        char c = *s->p++;
        if (c == '\\' && s->p < s->end) {
            c = *s->p++;
            if (c == 'n') c = '\n';
            else if (c == 't') c = '\t';
            else if (c == 'r') c = '\r';
            else if (c == 'u' && s->end - s->p >= 4) {
                struct json *j = NULL;
                struct buf q = { 0 };
                size_t n = 0;
                buf_printf(&q, "\"\\u%.4s\"", s->p);
                const char *text = q.data && json_parse(&j, q.data, q.len, NULL) == 0 ? json_str(j, &n) : NULL;
                if (text) {
                    buf_put(&b, text, n);
                    s->p += 4;
                } else buf_puts(&b, "\\u");
                json_free(j);
                buf_release(&q);
                continue;
            } else if (c != '\\' && c != '\'' && c != '"') buf_putc(&b, '\\');
        }
        buf_putc(&b, c);
    }
    bool ok = s->p < s->end;
    if (ok) {
        s->p++;
        json_write_str(b.data ? b.data : "", b.len, out);
    }
    buf_release(&b);
    return ok;
}

static bool put_value(struct scan *s, struct buf *out);

static bool put_collection(struct scan *s, char open, struct buf *out)
{
    char close = open == '(' ? ')' : open == '[' ? ']' : '}';
    s->p++;
    buf_putc(out, open == '{' ? '{' : '[');
    for (bool first = true; !take(s, close); first = false) {
        if (!first && !take(s, ',')) return false;
        if (!first && take(s, close)) break;
        if (!first) buf_puts(out, ", ");
        skip_space(s);
        if (open == '{') {
            if (s->p == s->end || (*s->p != '"' && *s->p != '\'') || !put_string(s, out) || !take(s, ':')) return false;
            buf_puts(out, ": ");
        }
        if (!put_value(s, out)) return false;
    }
    buf_putc(out, open == '{' ? '}' : ']');
    return true;
}

static bool put_value(struct scan *s, struct buf *out)
{
    skip_space(s);
    if (s->p == s->end || s->depth == MAX_DEPTH) return false;
    if (*s->p == '"' || *s->p == '\'') return put_string(s, out);
    if (*s->p != '[' && *s->p != '{' && *s->p != '(') return put_plain(s, out);
    s->depth++;
    bool ok = put_collection(s, *s->p, out);
    s->depth--;
    return ok;
}

/* name(key=value, ...): the arguments as a JSON object. */
static bool one_call(struct scan *s, const char **name, size_t *n, struct buf *out)
{
    const char *key;
    *n = take_name(s, name);
    if (!*n || !take(s, '(')) return false;
    buf_putc(out, '{');
    for (bool first = true; !take(s, ')'); first = false) {
        if (!first) take(s, ',');                       /* some leave it out */
        if (!first && take(s, ')')) break;
        size_t k = take_name(s, &key);
        if (!k || !take(s, '=')) return false;
        if (!first) buf_puts(out, ", ");
        json_write_str(key, k, out);
        buf_puts(out, ": ");
        if (!put_value(s, out)) return false;
    }
    buf_putc(out, '}');
    return true;
}

/* Twice: first to see that all of it is sound. */
static bool all_calls(struct answer *a, struct scan s, bool send)
{
    bool list = take(&s, '['), any = false;
    skip_space(&s);
    while (s.p < s.end && !(list && *s.p == ']')) {
        struct buf args = { 0 };
        const char *name;
        size_t n;
        bool ok = one_call(&s, &name, &n, &args) && !args.bad;
        if (ok && send) {
            answer_send_call(a, name, n, "", 0);
            answer_send(a, ANSWER_ARGS, args.data, args.len);
            answer_end_call(a);
        }
        buf_release(&args);
        if (!ok) return false;
        any = true;
        if (list && !take(&s, ',')) break;
        skip_space(&s);
    }
    if (list && !take(&s, ']')) return false;
    skip_space(&s);
    return any && s.p == s.end;
}

bool calls_from_python(struct answer *a, const char *text, size_t n)
{
    struct scan s = { text, text + n, 0 };
    return all_calls(a, s, false) && all_calls(a, s, true);
}

bool json_from_python(const char *text, size_t n, struct buf *out)
{
    struct scan s = { text, text + n, 0 };
    bool ok = put_value(&s, out);
    skip_space(&s);
    return ok && s.p == s.end && !out->bad;
}

/* ---- Gemma ---- */

static const char quote[] = "<|\"|>";
enum { N_QUOTE = sizeof quote - 1 };

static bool gemma_string(struct scan *s, struct buf *out)
{
    const char *from = s->p + N_QUOTE;
    for (const char *p = from; s->end - p >= N_QUOTE; p++)
        if (memcmp(p, quote, N_QUOTE) == 0) {
            json_write_str(from, (size_t)(p - from), out);
            s->p = p + N_QUOTE;
            return true;
        }
    return false;
}

static bool at_quote(const struct scan *s) { return s->end - s->p >= N_QUOTE && memcmp(s->p, quote, N_QUOTE) == 0; }

static bool gemma_value(struct scan *s, struct buf *out)
{
    skip_space(s);
    if (s->p == s->end || s->depth == MAX_DEPTH) return false;
    if (at_quote(s)) return gemma_string(s, out);
    if (*s->p == '"') return put_string(s, out);
    bool object = *s->p == '{';
    if (!object && *s->p != '[') return put_plain(s, out);
    s->p++;
    s->depth++;
    buf_putc(out, object ? '{' : '[');
    for (bool first = true; !take(s, object ? '}' : ']'); first = false) {
        if (!first && !take(s, ',')) return false;
        if (!first) buf_puts(out, ", ");
        skip_space(s);
        if (object) {
            const char *key;
            size_t n;
            if (at_quote(s)) {
                if (!gemma_string(s, out)) return false;
            } else if ((n = take_name(s, &key))) json_write_str(key, n, out);
            else return false;
            if (!take(s, ':')) return false;
            buf_puts(out, ": ");
        }
        if (!gemma_value(s, out)) return false;
    }
    s->depth--;
    buf_putc(out, object ? '}' : ']');
    return true;
}

bool json_from_gemma(const char *text, size_t n, struct buf *out)
{
    struct scan s = { text, text + n, 0 };
    skip_space(&s);
    if (s.p == s.end || *s.p != '{' || !gemma_value(&s, out)) return false;
    skip_space(&s);
    return s.p == s.end && !out->bad;
}
