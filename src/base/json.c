/* Some names of jansson are ours too; they live under other names here, which is why its header comes first. */
#define JSON_OBJECT JANSSON_OBJECT
#define JSON_ARRAY  JANSSON_ARRAY
#define JSON_STRING JANSSON_STRING
#define JSON_REAL   JANSSON_REAL
#define JSON_NULL   JANSSON_NULL
#define json_type   jansson_type
#include <jansson.h>
#undef JSON_OBJECT
#undef JSON_ARRAY
#undef JSON_STRING
#undef JSON_REAL
#undef JSON_NULL
#undef json_type

#include "base/json.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_DEPTH = 64, NUMBER = 44 };            /* NUMBER: bytes that one takes in an array */

static const json_t *in(const struct json *j) { return (const json_t *)(const void *)j; }
static struct json *out_of(json_t *j) { return (struct json *)(void *)j; }
/* jansson takes some values as mutable that it only reads or counts. */
static json_t *loose(const struct json *j) { return (json_t *)(uintptr_t)j; }

/* jansson recurses per level; counting brackets first keeps its stack small and our limit exact.  A text of few bytes can have
 * many values, of which each takes dozens: what they weigh is known before any is made. */
static int check_shape(const char *s, size_t n, size_t most, size_t *weighs, struct err *err)
{
    enum { STRING = 2, ARRAY = 3, OBJECT = 6 };        /* in numbers, as measured */
    unsigned depth = 0;
    size_t weight = *weighs = 0;
    size_t line = 1, start = 0;
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        char c = s[i];
        if (quoted) {
            if (c == '\\') i++;
            else if (c == '"') quoted = false;
            continue;
        }
        weight += c == ',' ? 1 : c == '"' ? STRING : c == '[' ? ARRAY : c == '{' ? OBJECT : 0;
        if (weight > most)
            return err_set(err, ERR_LIMIT, "JSON: line %zu, column %zu: more values than are taken; send less at once", line,
                           i - start + 1);
        if (c == '"') {
            quoted = true;
        } else if (c == '\n') {
            line++;
            start = i + 1;
        } else if (c == '[' || c == '{') {
            if (++depth > MAX_DEPTH)
                return err_set(err, ERR_LIMIT, "JSON: line %zu, column %zu: more than %d levels of nesting", line,
                               i - start + 1, MAX_DEPTH);
        } else if ((c == ']' || c == '}') && depth) {
            depth--;
        }
    }
    *weighs = weight;
    return 0;
}

static json_t *load(const char *text, size_t n, json_error_t *e)
{
    return json_loadb(n ? text : "", n, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, e);
}

/* Whether these are only digits, of a number that does not fit 64 bits. */
static bool too_large(const char *s, size_t n, bool negative)
{
    uint64_t v = 0;
    bool fits = true;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9') return false;
        fits = fits && !__builtin_mul_overflow(v, (uint64_t)10, &v) && !__builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v);
    }
    return !fits || v > (uint64_t)INT64_MAX + negative;
}

/* The text with a point behind whole numbers that do not fit 64 bits, so that they are read as reals. */
static void point_large_numbers(const char *s, size_t n, struct buf *out)
{
    bool quoted = false;
    for (size_t i = 0, k; i < n && !out->bad; i += k) {
        k = 1;
        if (s[i] == '"') quoted = !quoted;
        else if (quoted && s[i] == '\\' && i + 1 < n) k = 2;
        else if (!quoted && s[i] >= '0' && s[i] <= '9')
            while (i + k < n && ((s[i + k] >= '0' && s[i + k] <= '9') || strchr(".eE+-", s[i + k] ? s[i + k] : ' '))) k++;
        buf_put(out, s + i, k);
        if (k > 18 && too_large(s + i, k, i && s[i - 1] == '-')) buf_puts(out, ".0");
    }
}

int json_parse(struct json **out, const char *text, size_t n, struct err *err)
{
    return json_parse_most(out, text, n, JSON_MOST_VALUES, err);
}

int json_parse_most(struct json **out, const char *text, size_t n, size_t most, struct err *err)
{
    return json_parse_asking(out, text, n, most, NULL, NULL, err);
}

int json_parse_asking(struct json **out, const char *text, size_t n, size_t most, json_may_fn *may, void *arg, struct err *err)
{
    size_t weight;
    *out = NULL;
    int rc = check_shape(text, n, most, &weight, err);
    if (rc < 0) return rc;
    if (may && !may(arg, n + (uint64_t)weight * NUMBER)) return err_set(err, ERR_CANCELLED, "JSON: not wanted");
    json_error_t e;
    json_t *j = load(text, n, &e);
    if (!j && json_error_code(&e) == json_error_numeric_overflow) {
        struct buf pointed = { 0 };
        point_large_numbers(text, n, &pointed);
        if (pointed.bad) rc = ERR_NOMEM;
        else j = load(pointed.data, pointed.len, &e);
        buf_release(&pointed);
        if (rc < 0) return err_set(err, rc, "JSON: out of memory");
    }
    if (!j && json_error_code(&e) == json_error_out_of_memory)
        return err_set(err, ERR_NOMEM, "JSON: out of memory");
    if (!j) return err_set(err, ERR_FORMAT, "JSON: line %d, column %d: %s", e.line, e.column, e.text);
    *out = out_of(j);
    return 0;
}

/* jansson counts owners by atomic operations, but looks plainly whether there is a count: two owners may be two threads. */
static bool is_counted(const json_t *j) { return __atomic_load_n(&j->refcount, __ATOMIC_RELAXED) != (size_t)-1; }

void json_free(struct json *j)
{
    json_t *v = loose(j);
    if (v && is_counted(v) && __atomic_sub_fetch(&v->refcount, 1, __ATOMIC_ACQ_REL) == 0) json_delete(v);
}

struct json *json_share(const struct json *j)
{
    json_t *v = loose(j);
    if (v && is_counted(v)) __atomic_add_fetch(&v->refcount, 1, __ATOMIC_ACQUIRE);
    return out_of(v);
}

enum json_type json_type(const struct json *j)
{
    if (!j) return JSON_NULL;
    switch (json_typeof(in(j))) {
    case JANSSON_OBJECT: return JSON_OBJECT;
    case JANSSON_ARRAY: return JSON_ARRAY;
    case JANSSON_STRING: return JSON_STRING;
    case JANSSON_REAL: return JSON_REAL;
    case JSON_INTEGER: return JSON_INT;
    case JSON_TRUE:
    case JSON_FALSE: return JSON_BOOL;
    case JANSSON_NULL: break;
    }
    return JSON_NULL;
}

bool json_bool(const struct json *j) { return j && json_typeof(in(j)) == JSON_TRUE; }
int64_t json_int(const struct json *j) { return j ? json_integer_value(in(j)) : 0; }
double json_num(const struct json *j) { return j ? json_number_value(in(j)) : 0; }

const char *json_str(const struct json *j, size_t *n)
{
    const char *s = j ? json_string_value(in(j)) : NULL;
    if (n) *n = s ? json_string_length(in(j)) : 0;
    return s;
}

size_t json_len(const struct json *j)
{
    if (!j) return 0;
    return json_typeof(in(j)) == JANSSON_ARRAY ? json_array_size(in(j)) : json_object_size(in(j));
}

struct json *json_at(const struct json *array, size_t i) { return array ? out_of(json_array_get(in(array), i)) : NULL; }

struct json *json_get(const struct json *object, const char *key)
{
    return object ? out_of(json_object_get(in(object), key)) : NULL;
}

bool json_next(const struct json *object, void **it, const char **key, struct json **value)
{
    if (json_type(object) != JSON_OBJECT) return false;
    *it = *it ? json_object_iter_next(loose(object), *it) : json_object_iter(loose(object));
    if (!*it) return false;
    *key = json_object_iter_key(*it);
    if (value) *value = out_of(json_object_iter_value(*it));
    return true;
}

struct json *json_new_object(void) { return out_of(json_object()); }
struct json *json_new_array(void) { return out_of(json_array()); }
struct json *json_new_str(const char *s, size_t n) { return out_of(json_stringn(n ? s : "", n)); }
struct json *json_new_int(int64_t v) { return out_of(json_integer(v)); }
struct json *json_new_real(double v) { return out_of(json_real(v)); }
struct json *json_new_bool(bool v) { return out_of(v ? json_true() : json_false()); }
struct json *json_new_null(void) { return out_of(json_null()); }

bool json_put(struct json *object, const char *key, struct json *value)
{
    if (object) return json_object_set_new(loose(object), key, loose(value)) == 0;
    json_free(value);
    return false;
}

bool json_push(struct json *array, struct json *value)
{
    if (array) return json_array_append_new(loose(array), loose(value)) == 0;
    json_free(value);
    return false;
}

/* The length of the valid UTF-8 sequence at s[0..n), 0 when there is none. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
    static const uint32_t least[5] = { 0, 0, 0x80, 0x800, 0x10000 };
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : s[0] < 0xf5 ? 4 : 0;
    if (len <= 1 || len > n) return len > n ? 0 : len;
    uint32_t c = s[0] & (0x7fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((s[i] & 0xc0) != 0x80) return 0;
        c = c << 6 | (s[i] & 0x3f);
    }
    return c < least[len] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : len;
}

void json_write_str(const char *s, size_t n, struct buf *out)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    buf_putc(out, '"');
    for (size_t i = 0; i < n;) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\') {
            size_t len = utf8_len((const unsigned char *)s + i, n - i);
            if (len) buf_put(out, s + i, len);
            else buf_puts(out, "\xef\xbf\xbd");
            i += len ? len : 1;
            continue;
        }
        const char *p = named;
        while (*p && (unsigned char)*p != c) p += 2;
        if (*p) buf_printf(out, "\\%c", p[1]);
        else buf_printf(out, "\\u%04x", c);
        i++;
    }
    buf_putc(out, '"');
}

/* The fewest digits that read back as the same number, marked as a real. */
static void write_real(double v, struct buf *out)
{
    size_t at = out->len;
    for (int digits = 1; digits <= 17; digits++) {
        out->len = at;
        buf_printf(out, "%.*g", digits, v);
        if (out->bad || strtod(out->data + at, NULL) == v) break;
    }
    if (!out->bad && !strpbrk(out->data + at, ".e")) buf_puts(out, ".0");
}

static void newline(bool pretty, int depth, struct buf *out)
{
    if (!pretty) return;
    buf_putc(out, '\n');
    for (int i = 0; i < depth; i++) buf_puts(out, "  ");
}

static void write_value(const struct json *j, bool pretty, int depth, struct buf *out);

static void write_object(const struct json *j, bool pretty, int depth, struct buf *out)
{
    const char *key;
    struct json *value;
    void *it = NULL;
    char sep = '{';
    while (json_next(j, &it, &key, &value)) {
        buf_putc(out, sep);
        sep = ',';
        newline(pretty, depth + 1, out);
        json_write_str(key, strlen(key), out);
        buf_puts(out, pretty ? ": " : ":");
        write_value(value, pretty, depth + 1, out);
    }
    if (sep == '{') buf_putc(out, sep);
    else newline(pretty, depth, out);
    buf_putc(out, '}');
}

static void write_array(const struct json *j, bool pretty, int depth, struct buf *out)
{
    for (size_t i = 0; i < json_len(j); i++) {
        buf_putc(out, i ? ',' : '[');
        newline(pretty, depth + 1, out);
        write_value(json_at(j, i), pretty, depth + 1, out);
    }
    if (!json_len(j)) buf_putc(out, '[');
    else newline(pretty, depth, out);
    buf_putc(out, ']');
}

static void write_value(const struct json *j, bool pretty, int depth, struct buf *out)
{
    size_t n;
    const char *s;
    if (depth > MAX_DEPTH) out->bad = true;
    if (out->bad) return;
    switch (json_type(j)) {
    case JSON_NULL: buf_puts(out, "null"); break;
    case JSON_BOOL: buf_puts(out, json_bool(j) ? "true" : "false"); break;
    case JSON_INT: buf_printf(out, "%lld", (long long)json_int(j)); break;
    case JSON_REAL: write_real(json_num(j), out); break;
    case JSON_STRING:
        s = json_str(j, &n);
        json_write_str(s, n, out);
        break;
    case JSON_ARRAY: write_array(j, pretty, depth, out); break;
    case JSON_OBJECT: write_object(j, pretty, depth, out); break;
    }
}

void json_write(const struct json *j, bool pretty, struct buf *out) { write_value(j, pretty, 0, out); }
