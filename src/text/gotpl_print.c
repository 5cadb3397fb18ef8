/* gotpl_print.c - values as text: what Go's fmt.Print, fmt.Printf and encoding/json make of them. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "text/gotpl.h"

/* The shortest digits come from the JSON writer; how says where Go changes to an exponent. */
static void put_float(double v, bool json, struct buf *out)
{
    struct buf b = { 0 };
    char digit[40];
    int n = 0, point = -1, exp = 0, zeros = 0;
    print_float(v, &b);
    const char *p = b.data ? b.data : "0";
    if (b.bad) out->bad = true;
    if (*p == '-') buf_putc(out, *p++);
    for (; *p && *p != 'e' && n < 39; p++) {
        if (*p == '.') point = n + zeros;
        else if (n || *p != '0') digit[n++] = *p;
        else zeros++;
    }
    if (point < 0) point = n + zeros;
    if (*p == 'e') {
        int e = 0;
        for (const char *d = p + 2; *d; d++) e = e * 10 + (*d - '0');
        exp = p[1] == '-' ? -e : e;
    }
    exp += point - zeros - 1;                          /* d.ddd * 10^exp */
    while (n > 1 && digit[n - 1] == '0') n--;
    if (!n) digit[n++] = '0', exp = 0;
    buf_release(&b);
    if (exp < (json ? -6 : -4) || exp >= (json ? 21 : 6)) {
        buf_putc(out, digit[0]);
        if (n > 1) buf_putc(out, '.');
        buf_put(out, digit + 1, (size_t)n - 1);
        buf_printf(out, json && exp < 0 ? "e%c%d" : "e%c%02d", exp < 0 ? '-' : '+', exp < 0 ? -exp : exp);
        return;
    }
    if (exp < 0) buf_puts(out, "0.");
    for (int i = exp + 1; i < 0; i++) buf_putc(out, '0');
    for (int i = 0; i < n || i <= exp; i++) {
        if (i == exp + 1 && i) buf_putc(out, '.');
        buf_putc(out, i < n ? digit[i] : '0');
    }
}

/* ---- JSON ---- */

static void put_json_text(struct str s, struct buf *out)
{
    static const char plain[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        unsigned char c = (unsigned char)s.p[i];
        const char *k = c ? strchr(plain, c) : NULL;
        bool line = c == 0xe2 && s.n - i > 2 && s.p[i + 1] == '\x80' && ((unsigned char)s.p[i + 2] & 0xfe) == 0xa8;
        if (k) {
            buf_putc(out, '\\');
            buf_putc(out, letter[k - plain]);
        } else if (c < 0x20 || c == '<' || c == '>' || c == '&') {
            buf_printf(out, "\\u%04x", c);
        } else if (line) {                             /* U+2028, U+2029 */
            buf_printf(out, "\\u202%c", s.p[i + 2] == '\xa8' ? '8' : '9');
            i += 2;
        } else {
            buf_putc(out, (char)c);
        }
    }
    buf_putc(out, '"');
}

static int json_dict(struct go_run *g, const struct dict *d, struct buf *out)
{
    int rc = 0;
    buf_putc(out, '{');
    for (size_t i = 0; rc == 0 && i < d->n; i++) {
        if (i) buf_putc(out, ',');
        put_json_text(d->at[i].key.s, out);
        buf_putc(out, ':');
        rc = go_json(g, &d->at[i].val, out);
    }
    buf_putc(out, '}');
    return rc;
}

static int json_list(struct go_run *g, const struct value *v, struct buf *out)
{
    const struct list *l = v->list;
    int rc = 0;
    if (v->flag == GT_TYPE && l->n == 1) return go_json(g, l->at, out);        /* one type is written without the list */
    buf_putc(out, '[');
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        if (i) buf_putc(out, ',');
        rc = go_json(g, &l->at[i], out);
    }
    buf_putc(out, ']');
    return rc;
}

int go_json(struct go_run *g, const struct value *v, struct buf *out)
{
    int rc = tpl_enter(g->t);
    if (rc == 0) rc = tpl_spend(g->t, v->type == V_STR ? v->s.n : 0);
    if (rc < 0) return rc;
    if (v->type == V_STR) put_json_text(v->s, out);
    else if (v->type == V_BOOL) buf_puts(out, v->b ? "true" : "false");
    else if (v->type == V_INT) buf_printf(out, "%lld", (long long)v->i);
    else if (v->type == V_FLOAT) put_float(v->f, true, out);
    else if (v->type == V_NONE || v->holder) buf_puts(out, "null");
    else rc = v->type == V_DICT ? json_dict(g, v->dict, out) : json_list(g, v, out);
    g->t->depth--;
    return rc;
}

/* ---- fmt ---- */

/* Types that Ollama gives a text of their own: their JSON. */
static bool speaks_json(const struct value *v)
{
    if (v->type == V_DICT) return v->flag == GT_ARGUMENTS || v->flag == GT_PROPERTIES || v->flag == GT_TOOL ||
      v->flag == GT_FUNCTION;
    return v->type == V_LIST && v->flag == GT_TOOLS;
}

static int print_dict(struct go_run *g, const struct value *v, bool nested, struct buf *out)
{
    struct value f;
    int rc = 0;
    bool is_struct = go_is_struct(v);
    if (nested && v->flag == GT_MESSAGE) buf_putc(out, '&');           /* Ollama has pointers to them */
    buf_puts(out, is_struct ? "{" : "map[");
    for (size_t i = 0; rc == 0 && (is_struct ? go_field_at(v, i, &f) : i < v->dict->n); i++) {
        if (i) buf_putc(out, ' ');
        if (!is_struct) {
            buf_put(out, v->dict->at[i].key.s.p, v->dict->at[i].key.s.n);
            buf_putc(out, ':');
            f = v->dict->at[i].val;
        }
        rc = go_print(g, &f, true, out);
    }
    buf_putc(out, is_struct ? '}' : ']');
    return rc;
}

static int print_list(struct go_run *g, const struct value *v, struct buf *out)
{
    int rc = 0;
    if (v->flag == GT_TYPE && v->list->n < 2) return v->list->n ? go_print(g, v->list->at, true, out) : 0;
    buf_putc(out, '[');
    for (size_t i = 0; rc == 0 && i < v->list->n; i++) {
        if (i) buf_putc(out, ' ');
        rc = go_print(g, &v->list->at[i], true, out);
    }
    buf_putc(out, ']');
    return rc;
}

int go_print(struct go_run *g, const struct value *v, bool nested, struct buf *out)
{
    if (speaks_json(v)) return go_json(g, v, out);
    int rc = tpl_enter(g->t);
    if (rc == 0) rc = tpl_spend(g->t, v->type == V_STR ? v->s.n : 0);
    if (rc < 0) return rc;
    if (v->type == V_STR) buf_put(out, v->s.p, v->s.n);
    else if (v->type == V_BOOL) buf_puts(out, v->b ? "true" : "false");
    else if (v->type == V_INT) buf_printf(out, "%lld", (long long)v->i);
    else if (v->type == V_FLOAT) put_float(v->f, false, out);
    else if (v->type == V_NONE) buf_puts(out, nested ? "<nil>" : "<no value>");
    else rc = v->type == V_DICT ? print_dict(g, v, nested, out) : print_list(g, v, out);
    g->t->depth--;
    if (rc == 0 && out->len > 2 * g->t->lim.output + g->t->out_start)
        rc = tpl_fail(g->t, ERR_LIMIT, "more than %zu bytes of output", g->t->lim.output);
    return rc;
}

/* ---- printf ---- */

struct verb { bool left, zero, plus; int width, precision; char c; };

static int parse_verb(struct go_run *g, struct str fmt, size_t *at, struct verb *v)
{
    size_t i = *at;
    *v = (struct verb){ .precision = -1 };
    for (; i < fmt.n && strchr("-0+", fmt.p[i]) && fmt.p[i]; i++) {
        v->left = v->left || fmt.p[i] == '-';
        v->zero = v->zero || fmt.p[i] == '0';
        v->plus = v->plus || fmt.p[i] == '+';
    }
    for (; i < fmt.n && fmt.p[i] >= '0' && fmt.p[i] <= '9' && v->width < 1000; i++) v->width = v->width * 10 + fmt.p[i] - '0';
    if (i < fmt.n && fmt.p[i] == '.')
        for (i++, v->precision = 0; i < fmt.n && fmt.p[i] >= '0' && fmt.p[i] <= '9' && v->precision < 100; i++)
            v->precision = v->precision * 10 + fmt.p[i] - '0';
    if (i == fmt.n) return tpl_fail(g->t, ERR_FORMAT, "printf: the format ends within a %%");
    v->c = fmt.p[i];
    *at = i + 1;
    if (v->width > 1000 || v->precision > 100) return tpl_fail(g->t, ERR_LIMIT,
      "printf: wider than 1000, or more than 100 digits");
    return 0;
}

static void put_quoted(struct str s, struct buf *out)
{
    static const char plain[] = "\"\\\a\b\f\n\r\t\v", letter[] = "\"\\abfnrtv";
    buf_putc(out, '"');
    for (size_t i = 0; i < s.n; i++) {
        const char *k = s.p[i] ? strchr(plain, s.p[i]) : NULL;
        if (k) buf_printf(out, "\\%c", letter[k - plain]);
        else if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f) buf_printf(out, "\\x%02x", (unsigned char)s.p[i]);
        else buf_putc(out, s.p[i]);
    }
    buf_putc(out, '"');
}

static int mismatch(struct go_run *g, const struct verb *v, const struct value *a)
{
    return tpl_fail(g->t, ERR_FORMAT, "printf: %%%c of a %s", v->c, go_type_name(a));
}

static int put_number(struct go_run *g, const struct verb *v, const struct value *a, struct buf *out)
{
    char text[512];
    int digits = v->precision < 0 ? 6 : v->precision;
    if (a->type == V_INT && v->c == 'd') {
        fmt_into(text, sizeof text, "%s%lld", v->plus && a->i >= 0 ? "+" : "", (long long)a->i);
    } else if (a->type == V_INT && (v->c == 'x' || v->c == 'X')) {
        uint64_t u = a->i < 0 ? 0 - (uint64_t)a->i : (uint64_t)a->i;
        fmt_into(text, sizeof text, v->c == 'x' ? "%s%llx" : "%s%llX", a->i < 0 ? "-" : v->plus ? "+" : "",
          (unsigned long long)u);
    } else if (a->type == V_FLOAT && strchr("fFeE", v->c)) {
        if (v->plus && !signbit(a->f)) buf_putc(out, '+');
        if ((v->c | 0x20) == 'f') fmt_into(text, sizeof text, "%.*f", digits, a->f);
        else fmt_into(text, sizeof text, v->c == 'e' ? "%.*e" : "%.*E", digits, a->f);
    } else if (a->type == V_FLOAT && v->c == 'g' && v->precision < 0 && !v->plus) {
        put_float(a->f, false, out);
        return 0;
    } else {
        return mismatch(g, v, a);
    }
    buf_puts(out, text);
    return 0;
}

/* At most so many characters of a text. */
static struct str cut(struct str s, const struct verb *v)
{
    if (v->precision >= 0) s.n = str_offset(s, (size_t)v->precision);
    return s;
}

static int put_verb(struct go_run *g, const struct verb *v, const struct value *a, struct buf *out)
{
    switch (v->c) {
    case 'v':
    case 's':
        if (a->type == V_STR) return buf_put(out, a->s.p, cut(a->s, v).n), 0;
        if (v->c == 's' && !speaks_json(a) && !(a->type == V_LIST && (a->flag == GT_STRINGS || a->flag == GT_TYPE)))
            return mismatch(g, v, a);
        return v->precision >= 0 || v->plus ? mismatch(g, v, a) : go_print(g, a, true, out);
    case 'q': return a->type == V_STR ? put_quoted(cut(a->s, v), out), 0 : mismatch(g, v, a);
    case 't': return a->type == V_BOOL ? buf_puts(out, a->b ? "true" : "false"), 0 : mismatch(g, v, a);
    case 'c':
        if (a->type != V_INT || a->i < 1 || a->i > 0x10ffff || (a->i >= 0xd800 && a->i < 0xe000)) return mismatch(g, v, a);
        return put_char(out, (uint32_t)a->i), 0;
    default: return v->c && strchr("dxXfFeEg", v->c) ? put_number(g, v, a, out) : mismatch(g, v, a);
    }
}

/* Zeros go behind a sign; text gets them too, as Go does it. */
static void put_padded(const struct verb *v, struct str s, struct buf *out)
{
    size_t chars = str_length(s), fill = (size_t)v->width > chars ? (size_t)v->width - chars : 0;
    bool zero = v->zero && !v->left, sign = zero && s.n && strchr("dfFeEgxX", v->c) && (*s.p == '-' || *s.p == '+');
    if (sign) buf_putc(out, *s.p);
    for (size_t i = 0; !v->left && i < fill; i++) buf_putc(out, zero ? '0' : ' ');
    buf_put(out, s.p + sign, s.n - sign);
    for (size_t i = 0; v->left && i < fill; i++) buf_putc(out, ' ');
}

int go_printf(struct go_run *g, struct str fmt, const struct value *arg, size_t n, struct buf *out)
{
    size_t used = 0;
    int rc = tpl_spend(g->t, fmt.n);
    for (size_t i = 0; rc == 0 && i < fmt.n;) {
        struct verb v;
        if (fmt.p[i] != '%') {
            buf_putc(out, fmt.p[i++]);
            continue;
        }
        i++;
        if ((rc = parse_verb(g, fmt, &i, &v)) < 0) return rc;
        if (v.c == '%') {
            buf_putc(out, '%');
            continue;
        }
        if (used == n) return tpl_fail(g->t, ERR_FORMAT, "printf: the format asks for more than %zu values", n);
        struct buf one = str_buf(g->t);
        rc = put_verb(g, &v, &arg[used++], &one);
        if (rc == 0) put_padded(&v, (struct str){ one.data ? one.data : "", one.len }, out);
        out->bad |= one.bad;
        out->full |= one.full;
        buf_release(&one);
    }
    if (rc == 0 && used < n) rc = tpl_fail(g->t, ERR_FORMAT, "printf: %zu values, of which the format asks for %zu", n, used);
    return rc;
}
