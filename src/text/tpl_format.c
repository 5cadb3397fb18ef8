/* tpl_format.c - "%s" % x and "{}".format(x). */
#include <math.h>
#include <string.h>

#include "text/tpl.h"

/* One field of either mini-language. */
struct field {
    struct str fill;
    char align, sign, type;       /* align: < > ^ = or 0; sign: + space or 0 */
    bool alt, comma;
    int64_t width, precision;     /* precision: -1 when not given */
};

static int64_t read_number(struct str s, size_t *at)
{
    int64_t v = 0;
    while (*at < s.n && s.p[*at] >= '0' && s.p[*at] <= '9') {
        if (v < 100000000) v = v * 10 + (s.p[*at] - '0');
        ++*at;
    }
    return v;
}

static void put_digits(struct buf *b, uint64_t v, unsigned base, bool upper)
{
    char text[64];
    size_t n = 0;
    do text[n++] = (upper ? "0123456789ABCDEF" : "0123456789abcdef")[v % base];
    while ((v /= base));
    while (n) buf_putc(b, text[--n]);
}

static void put_commas(struct buf *b, struct str digits)
{
    size_t whole = 0;
    while (whole < digits.n && digits.p[whole] >= '0' && digits.p[whole] <= '9') whole++;
    for (size_t i = 0; i < digits.n; i++) {
        if (i && i < whole && (whole - i) % 3 == 0) buf_putc(b, ',');
        buf_putc(b, digits.p[i]);
    }
}

/* The digits of a number without its sign. */
static int number_text(struct tpl *t, const struct field *f, const struct value *v, struct buf *b)
{
    bool real = f->type && strchr("fegFEG%", f->type);
    struct buf digits = str_buf(t);
    if (real || v->type == V_FLOAT) {
        double d = fabs(v_double(v));
        int precision = f->precision < 0 ? 6 : f->precision > 1000 ? 1000 : (int)f->precision;
        if (f->type == '%') d *= 100;
        switch (f->type) {
        case 'f':
        case 'F':
        case '%': buf_printf(&digits, "%.*f", precision, d); break;
        case 'e': buf_printf(&digits, "%.*e", precision, d); break;
        case 'E': buf_printf(&digits, "%.*E", precision, d); break;
        case 'G': buf_printf(&digits, "%.*G", precision, d); break;
        default:
            if (!f->type && f->precision < 0) print_float(d, &digits);
            else buf_printf(&digits, "%.*g", precision, d);
        }
        if (f->type == '%') buf_putc(&digits, '%');
    } else {
        int64_t i = v->type == V_BOOL ? v->b : v->i;
        uint64_t u = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
        char k = f->type | 32;
        if (f->alt && (k == 'x' || k == 'o' || k == 'b')) {
            buf_putc(b, '0');
            buf_putc(b, f->type);
        }
        put_digits(&digits, u, k == 'x' ? 16 : k == 'o' ? 8 : k == 'b' ? 2 : 10, f->type == 'X');
    }
    if (f->comma) put_commas(b, (struct str){ digits.data, digits.len });
    else buf_put(b, digits.data, digits.len);
    bool bad = digits.bad;
    buf_release(&digits);
    return bad ? tpl_fail(t, ERR_NOMEM, "out of memory") : 0;
}

static int put_padded(struct tpl *t, const struct field *f, struct str text, char align, struct buf *out)
{
    struct value v;
    int rc = str_pad(t, text, f->width, f->fill.n ? f->fill : STR(" "), align, &v);
    if (rc == 0) buf_put(out, v.s.p, v.s.n);
    return rc;
}

static int put_number(struct tpl *t, const struct field *f, const struct value *v, struct buf *out)
{
    struct buf b = str_buf(t);
    bool minus = v->type == V_FLOAT ? signbit(v->f) && !isnan(v->f) : v->type == V_INT && v->i < 0;
    char sign = minus ? '-' : f->sign;
    struct field inner = *f;
    int rc = 0;
    if (f->align == '=' && sign) {            /* the sign stays in front of the fill */
        buf_putc(out, sign);
        inner.width--;
    } else if (sign) {
        buf_putc(&b, sign);
    }
    rc = number_text(t, f, v, &b);
    if (rc == 0 && b.data)
        rc = put_padded(t, &inner, (struct str){ b.data, b.len }, f->align == '=' || !f->align ? '>' : f->align, out);
    buf_release(&b);
    return rc;
}

static int put_text(struct tpl *t, const struct field *f, struct str s, char align, struct buf *out)
{
    if (f->precision >= 0) s.n = str_offset(s, (size_t)f->precision);
    return put_padded(t, f, s, align, out);
}

/* ---- % ---- */

static int percent_value(struct tpl *t, struct field *f, const struct value *v, struct buf *out)
{
    char kind = f->type | 32;
    if (f->type == 's' || f->type == 'r' || f->type == 'a') {
        struct str s;
        struct buf b = str_buf(t);
        struct value text;
        int rc = f->type == 's' ? v_print(t, v, &b) : v_repr(t, v, &b);
        if (rc == 0) rc = str_take(t, &b, &text);
        else buf_release(&b);
        if (rc < 0) return rc;
        s = text.s;
        return put_text(t, f, s, f->align == '<' ? '<' : '>', out);
    }
    if (!strchr("dixofeg", kind)) return tpl_fail(t, ERR_FORMAT, "unsupported format character '%c'", f->type);
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (!v_number(v)) return tpl_fail(t, ERR_FORMAT, "%%%c needs a number, not %s", f->type, v_type_name(v));
    struct value whole = *v;
    if (strchr("dixo", kind)) {
        if (v->type == V_FLOAT) {
            if (!(fabs(v->f) < 9e18)) return tpl_fail(t, ERR_LIMIT, "an integer does not fit in 64 bits");
            whole = v_int((int64_t)v->f);
        }
        if (kind == 'd' || kind == 'i') f->type = 'd';
    }
    return put_number(t, f, &whole, out);
}

/* Reads flags, width, precision and type after '%'. */
static int percent_field(struct tpl *t, struct str fmt, size_t *at, struct field *f)
{
    for (; *at < fmt.n && strchr("-+ #0", fmt.p[*at]) && fmt.p[*at]; ++*at) {
        char c = fmt.p[*at];
        if (c == '-') f->align = '<';
        else if (c == '#') f->alt = true;
        else if (c == '0') f->fill = STR("0"), f->align = f->align ? f->align : '=';
        else f->sign = c;
    }
    if (f->align == '<') f->fill = STR(" ");
    f->width = read_number(fmt, at);
    if (*at < fmt.n && fmt.p[*at] == '.') {
        ++*at;
        f->precision = read_number(fmt, at);
    }
    if (*at >= fmt.n) return tpl_fail(t, ERR_FORMAT, "incomplete format");
    f->type = fmt.p[(*at)++];
    return 0;
}

static int percent_one(struct tpl *t, struct str fmt, size_t *at, const struct value *args, size_t *used, struct buf *out)
{
    struct field f = { .precision = -1 };
    const struct value *v = NULL;
    if (*at < fmt.n && fmt.p[*at] == '(') {
        const char *end = memchr(fmt.p + *at, ')', fmt.n - *at);
        if (!end || args->type != V_DICT) return tpl_fail(t, ERR_FORMAT, "a named field needs a mapping");
        struct str key = { fmt.p + *at + 1, (size_t)(end - fmt.p) - *at - 1 };
        v = v_dict_find(args->dict, key);
        if (!v) return tpl_fail(t, ERR_FORMAT, "no value for '%.*s'", STR_ARG(key));
        *at = (size_t)(end - fmt.p) + 1;
    }
    int rc = percent_field(t, fmt, at, &f);
    if (rc < 0) return rc;
    if (f.type == '%') {
        buf_putc(out, '%');
        return 0;
    }
    if (!v) {
        bool tuple = args->type == V_TUPLE;
        if (*used >= (tuple ? args->list->n : 1)) return tpl_fail(t, ERR_FORMAT, "not enough values for the format");
        v = tuple ? &args->list->at[*used] : args;
        ++*used;
    }
    return percent_value(t, &f, v, out);
}

int str_percent(struct tpl *t, struct str fmt, const struct value *args, struct value *out)
{
    struct buf b = str_buf(t);
    size_t used = 0;
    int rc = tpl_spend(t, fmt.n);
    for (size_t i = 0; rc == 0 && i < fmt.n && !b.bad;) {
        if (fmt.p[i] != '%') {
            buf_putc(&b, fmt.p[i++]);
            continue;
        }
        i++;
        rc = tpl_spend(t, 64 * 16);
        if (rc == 0) rc = percent_one(t, fmt, &i, args, &used, &b);
    }
    if (rc == 0 && !b.bad && args->type == V_TUPLE && used < args->list->n)
        rc = tpl_fail(t, ERR_FORMAT, "not all values are used by the format");
    if (rc == 0 && !b.bad && args->type != V_TUPLE && args->type != V_DICT && args->type != V_LIST && !used)
        rc = tpl_fail(t, ERR_FORMAT, "not all values are used by the format");
    if (rc == 0) return str_take(t, &b, out);
    buf_release(&b);
    return rc;
}

/* ---- str.format ---- */

static int read_spec(struct tpl *t, struct str spec, struct field *f)
{
    size_t at = 0, first = spec.n ? str_step(spec, 0) : 0;
    if (first < spec.n && strchr("<>^=", spec.p[first])) {
        f->fill = (struct str){ spec.p, first };
        f->align = spec.p[first];
        at = first + 1;
    } else if (spec.n && spec.p[0] && strchr("<>^=", spec.p[0])) {
        f->align = spec.p[at++];
    }
    if (at < spec.n && (spec.p[at] == '+' || spec.p[at] == ' ' || spec.p[at] == '-')) {
        f->sign = spec.p[at] == '-' ? 0 : spec.p[at];
        at++;
    }
    if (at < spec.n && spec.p[at] == '#') f->alt = true, at++;
    if (at < spec.n && spec.p[at] == '0') {
        if (!f->align) f->align = '=', f->fill = STR("0");
        at++;
    }
    f->width = read_number(spec, &at);
    if (at < spec.n && (spec.p[at] == ',' || spec.p[at] == '_')) f->comma = spec.p[at++] == ',';
    if (at < spec.n && spec.p[at] == '.') {
        at++;
        f->precision = read_number(spec, &at);
    }
    if (at < spec.n) f->type = spec.p[at++];
    return at == spec.n ? 0 : tpl_fail(t, ERR_FORMAT, "malformed format '%.*s'", STR_ARG(spec));
}

static int put_formatted(struct tpl *t, const struct value *v, struct str spec, struct buf *out)
{
    struct field f = { .precision = -1 };
    struct str s;
    int rc = read_spec(t, spec, &f);
    if (rc < 0) return rc;
    if (v_number(v) && (v->type != V_BOOL || f.type) && f.type != 's') {
        if (f.type && !strchr("dxXobfFeEgGn%", f.type))
            return tpl_fail(t, ERR_FORMAT, "unsupported format character '%c'", f.type);
        if (v->type == V_FLOAT && f.type && strchr("dxXob", f.type))
            return tpl_fail(t, ERR_FORMAT, "format '%c' needs an integer", f.type);
        return put_number(t, &f, v, out);
    }
    if (f.type && f.type != 's') return tpl_fail(t, ERR_FORMAT, "unsupported format character '%c'", f.type);
    if (v->type != V_STR && spec.n && v->type != V_UNDEF && v->type != V_BOOL)
        return tpl_fail(t, ERR_FORMAT, "a %s takes no format", v_type_name(v));
    rc = v_text(t, v, &s);
    return rc < 0 ? rc : put_text(t, &f, s, f.align ? f.align : '<', out);
}

/* The value of a field name such as 0, name, name.attr or name[key]. */
static int field_value(struct tpl *t, struct str name, const struct call *c, size_t *next, struct value *out)
{
    size_t at = 0;
    while (at < name.n && name.p[at] != '.' && name.p[at] != '[') at++;
    struct str head = { name.p, at };
    int64_t i;
    const struct value *v = NULL;
    if (!head.n || parse_int(head, 10, &i)) {
        if (!head.n) i = (int64_t)(*next)++;
        if (i >= 0 && (uint64_t)i < c->n) v = &c->pos[i];
    }
    for (size_t k = 0; !v && k < c->n_kw; k++)
        if (str_eq(c->kw[k].name, head)) v = &c->kw[k].v;
    if (!v) return tpl_fail(t, ERR_FORMAT, "format: no value for field '%.*s'", STR_ARG(head));
    *out = *v;
    int rc = 0;
    while (rc == 0 && at < name.n) {
        struct value on = *out;
        bool index = name.p[at++] == '[';
        size_t from = at;
        while (at < name.n && (index ? name.p[at] != ']' : name.p[at] != '.' && name.p[at] != '[')) at++;
        struct value key = v_str((struct str){ name.p + from, at - from });
        if (index && parse_int(key.s, 10, &i)) key = v_int(i);
        rc = index ? tpl_item(t, &on, &key, out) : tpl_attr(t, &on, key.s, out);
        if (index && at < name.n) at++;
    }
    return rc;
}

static int format_field(struct tpl *t, struct str field, const struct call *c, size_t *next, struct buf *out)
{
    size_t colon = 0;
    while (colon < field.n && field.p[colon] != ':' && field.p[colon] != '!') colon++;
    struct str name = { field.p, colon }, spec = { "", 0 };
    bool repr = false;
    struct value v, text = { 0 };
    if (colon < field.n && field.p[colon] == '!') {
        repr = colon + 1 < field.n && field.p[colon + 1] == 'r';
        colon += 2;
    }
    if (colon < field.n) spec = (struct str){ field.p + colon + 1, field.n - colon - 1 };
    int rc = field_value(t, name, c, next, &v);
    if (rc == 0 && repr) {
        struct buf b = str_buf(t);
        rc = v_repr(t, &v, &b);
        if (rc < 0) buf_release(&b);
        else rc = str_take(t, &b, &text);
        v = text;
    }
    return rc < 0 ? rc : put_formatted(t, &v, spec, out);
}

int str_format(struct tpl *t, struct str fmt, const struct call *c, struct value *out)
{
    struct buf b = str_buf(t);
    size_t next = 0;
    int rc = tpl_spend(t, fmt.n);
    for (size_t i = 0; rc == 0 && i < fmt.n && !b.bad; i++) {
        char ch = fmt.p[i];
        bool twice = i + 1 < fmt.n && fmt.p[i + 1] == ch;
        if ((ch == '{' || ch == '}') && twice) {
            buf_putc(&b, ch);
            i++;
        } else if (ch == '}') {
            rc = tpl_fail(t, ERR_FORMAT, "format: single '}'");
        } else if (ch == '{') {
            const char *end = memchr(fmt.p + i, '}', fmt.n - i);
            if (!end || memchr(fmt.p + i + 1, '{', (size_t)(end - fmt.p) - i - 1)) {
                rc = tpl_fail(t, ERR_FORMAT, "format: malformed field");
                break;
            }
            rc = tpl_spend(t, 64 * 16);
            if (rc == 0)
                rc = format_field(t, (struct str){ fmt.p + i + 1, (size_t)(end - fmt.p) - i - 1 }, c, &next, &b);
            i = (size_t)(end - fmt.p);
        } else {
            buf_putc(&b, ch);
        }
    }
    if (rc == 0) return str_take(t, &b, out);
    buf_release(&b);
    return rc;
}
