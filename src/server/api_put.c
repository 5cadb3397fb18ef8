#include "server/api_put.h"

#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "base/utf8.h"

static void put_text(struct buf *b, const char *s, size_t n)
{
    if (s) json_write_str(s, n, b);
    else buf_puts(b, "null");
}

static void put_json(struct buf *b, const struct json *j)
{
    if (j) json_write(j, false, b);
    else buf_puts(b, "null");
}

static void put_real(struct buf *b, double v)
{
    struct json *j = isfinite(v) ? json_new_real(v) : json_new_null();
    if (j) json_write(j, false, b);
    else b->bad = true;
    json_free(j);
}

static void put_field(struct buf *b, char kind, va_list *ap)
{
    const struct buf *text;
    const char *s;
    switch (kind) {
    case 's':
        s = va_arg(*ap, const char *);
        put_text(b, s, s ? strlen(s) : 0);
        break;
    case 'S':
        s = va_arg(*ap, const char *);
        put_text(b, s, va_arg(*ap, size_t));
        break;
    case 'r': buf_puts(b, va_arg(*ap, const char *)); break;
    case 'i': buf_printf(b, "%d", va_arg(*ap, int)); break;
    case 'd': buf_printf(b, "%lld", (long long)va_arg(*ap, int64_t)); break;
    case 'u': buf_printf(b, "%llu", (unsigned long long)va_arg(*ap, uint64_t)); break;
    case 'f': put_real(b, va_arg(*ap, double)); break;
    case 'b': buf_puts(b, va_arg(*ap, int) ? "true" : "false"); break;
    case 'j': put_json(b, va_arg(*ap, const struct json *)); break;
    case 'B':
    case 'R':
        text = va_arg(*ap, const struct buf *);
        if (kind == 'B') put_text(b, text->data ? text->data : "", text->len);
        else buf_put(b, text->data ? text->data : "", text->len);
        if (text->bad) b->bad = true;
        break;
    default: buf_putc(b, kind); break;
    }
}

void api_put(struct buf *b, const char *form, ...)
{
    va_list ap;
    va_start(ap, form);
    for (const char *p = form; *p; p++)
        if (*p == '%' && p[1]) put_field(b, *++p, &ap);
        else buf_putc(b, *p == '\'' ? '"' : *p);
    va_end(ap);
}

void api_put_base64(struct buf *b, const void *p, size_t n)
{
    static const char digit[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *in = p;
    for (size_t i = 0; i < n; i += 3) {
        uint32_t v = (uint32_t)in[i] << 16 | (i + 1 < n ? (uint32_t)in[i + 1] << 8 : 0) | (i + 2 < n ? in[i + 2] : 0);
        char four[4] = { digit[v >> 18], digit[v >> 12 & 63], digit[v >> 6 & 63], digit[v & 63] };
        if (i + 2 >= n) four[3] = '=';
        if (i + 1 >= n) four[2] = '=';
        buf_put(b, four, 4);
    }
}

/* Days since 1970 to a date: Howard Hinnant's civil_from_days (public description). */
void api_put_time(struct buf *b, int64_t t)
{
    int64_t day = t >= 0 ? t / 86400 : -((86399 - t) / 86400), s = t - day * 86400;
    int64_t z = day + 719468, era = (z >= 0 ? z : z - 146096) / 146097, doe = z - era * 146097;
    int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365, doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    int64_t mp = (5 * doy + 2) / 153, d = doy - (153 * mp + 2) / 5 + 1, m = mp < 10 ? mp + 3 : mp - 9;
    buf_printf(b, "%04d-%02d-%02dT%02d:%02d:%02dZ", (int)(yoe + era * 400 + (m <= 2)), (int)m, (int)d, (int)(s / 3600),
               (int)(s / 60 % 60), (int)(s % 60));
}

void api_put_time_us(struct buf *b, int64_t us)
{
    api_put_time(b, us / 1000000);
    if (b->len) b->len--;                                      /* the Z */
    buf_printf(b, ".%06dZ", (int)(us % 1000000));
}

/* ---- values ---- */

bool api_set_str(struct json *o, const char *key, const char *s) { return json_put(o, key, json_new_str(s, strlen(s))); }
bool api_set_int(struct json *o, const char *key, int64_t v) { return json_put(o, key, json_new_int(v)); }
bool api_set_real(struct json *o, const char *key, double v) { return json_put(o, key, json_new_real(v)); }
bool api_set_bool(struct json *o, const char *key, bool v) { return json_put(o, key, json_new_bool(v)); }
bool api_set_copy(struct json *o, const char *key, const struct json *v) { return !v || json_put(o, key, json_share(v)); }

struct json *api_object(struct json *o, const char *key)
{
    struct json *v = json_get(o, key);
    if (v) return v;
    return json_put(o, key, json_new_object()) ? json_get(o, key) : NULL;
}

/* ---- fields ---- */

int api_nomem(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for this request"); }

static const char *type_name(enum json_type type)
{
    static const char *const name[] = { "null", "true or false", "a whole number", "a number", "a string", "an array",
                                        "an object" };
    return name[type];
}

static int wrong(const char *key, enum json_type wanted, const struct json *v, struct err *err)
{
    static const char *const got[] = { "null", "a boolean", "a whole number", "a number", "a string", "an array", "an object" };
    return err_set(err, ERR_ARG, "%s: expected %s, got %s", key, type_name(wanted), got[json_type(v)]);
}

int api_value(const struct json *o, const char *key, enum json_type type, const struct json **out, struct err *err)
{
    const struct json *v = json_get(o, key);
    *out = NULL;
    if (json_type(v) == JSON_NULL) return 0;
    if (json_type(v) != type) return wrong(key, type, v, err);
    *out = v;
    return 0;
}

int api_required(const struct json *o, const char *key, enum json_type type, const struct json **out, struct err *err)
{
    int rc = api_value(o, key, type, out, err);
    if (rc == 0 && !*out) rc = err_set(err, ERR_ARG, "%s is required", key);
    return rc;
}

int api_bool(const struct json *o, const char *key, bool *out, struct err *err)
{
    const struct json *v;
    int rc = api_value(o, key, JSON_BOOL, &v, err);
    if (v) *out = json_bool(v);
    return rc;
}

int api_int(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *out, struct err *err)
{
    const struct json *v = json_get(o, key);
    double d = json_num(v);
    if (json_type(v) == JSON_NULL) return 0;
    bool whole = json_type(v) == JSON_INT || (json_type(v) == JSON_REAL && d == floor(d) && fabs(d) < 9e15);
    if (!whole) return wrong(key, JSON_INT, v, err);
    int64_t n = json_type(v) == JSON_INT ? json_int(v) : (int64_t)d;
    if (n < min || n > max)
        return err_set(err, ERR_ARG, "%s is %lld, but must be between %lld and %lld", key, (long long)n, (long long)min,
                       (long long)max);
    *out = n;
    return 0;
}

int api_str(const struct json *o, const char *key, const char **out, struct err *err)
{
    const struct json *v;
    size_t n;
    int rc = api_value(o, key, JSON_STRING, &v, err);
    if (rc < 0 || !v) return rc;
    const char *s = json_str(v, &n);
    if (strlen(s) != n) return err_set(err, ERR_ARG, "%s has a zero byte", key);
    *out = s;
    return 0;
}

void api_blamed(const struct json *body, const char *message, char dst[API_FIELD])
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz_0123456789";
    static const char *const behind[] = { ":", " is ", " has ", " goes only " };
    size_t n = strspn(message, letters), all = n;
    char top[API_FIELD];
    while (message[all] == '.') all += 1 + strspn(message + all + 1, letters);
    dst[0] = 0;
    if (!n || all >= API_FIELD) return;
    fmt_into(top, sizeof top, "%.*s", (int)n, message);
    bool known = json_get(body, top) || json_get(json_get(body, "options"), top) || !strncmp(message + n, " is required", 12);
    for (size_t i = 0; known && i < sizeof behind / sizeof *behind; i++)
        if (!strncmp(message + all, behind[i], strlen(behind[i]))) fmt_into(dst, API_FIELD, "%.*s", (int)all, message);
}

bool api_says(const struct json *o, const char *key)
{
    const struct json *v = json_get(o, key);
    size_t n = 0;
    switch (json_type(v)) {
    case JSON_NULL: return false;
    case JSON_BOOL: return json_bool(v);
    case JSON_INT:
    case JSON_REAL: return json_num(v) != 0;
    case JSON_STRING:
        json_str(v, &n);
        return n > 0;
    case JSON_ARRAY:
    case JSON_OBJECT: break;
    }
    return json_len(v) > 0;
}

bool api_is(const struct json *v, const char *text)
{
    const char *s = json_str(v, NULL);
    return s && strcmp(s, text) == 0;
}
