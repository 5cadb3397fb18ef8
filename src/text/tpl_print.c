/* tpl_print.c - values as text: str() and repr() as Python gives them, json.dumps. */
#include <math.h>
#include <string.h>

#include "base/json.h"
#include "base/uni.h"
#include "text/tokenizer.h"
#include "text/tpl.h"

/* The shortest digits come from the JSON writer; Python places the point and the exponent differently. */
void print_float(double v, struct buf *out)
{
    if (!isfinite(v)) {
        buf_puts(out, isnan(v) ? "nan" : v < 0 ? "-inf" : "inf");
        return;
    }
    struct buf b = { 0 };
    struct json *j = json_new_real(v);
    json_write(j, false, &b);
    json_free(j);
    if (!j || b.bad) {
        buf_release(&b);
        out->bad = true;
        return;
    }
    char digit[40];
    int n = 0, point = -1, exp = 0;
    const char *p = b.data;
    if (signbit(v)) buf_putc(out, '-');
    for (p += *p == '-'; *p && *p != 'e'; p++) {
        if (*p == '.') point = n;
        else if ((n || *p != '0') && n < 39) digit[n++] = *p;
        else if (point >= 0) exp--;                       /* a zero right after "0." */
    }
    if (point < 0) point = n;
    if (*p == 'e') {
        bool minus = p[1] == '-';
        int e = 0;
        for (p += 2; *p; p++) e = e * 10 + (*p - '0');
        exp += minus ? -e : e;
    }
    exp += point;                                          /* 0.DIGITS * 10^exp */
    buf_release(&b);
    while (n > 1 && digit[n - 1] == '0') n--;
    if (!n) {
        digit[n++] = '0';
        exp = 1;
    }
    if (exp > 16 || exp < -3) {
        buf_putc(out, digit[0]);
        if (n > 1) buf_putc(out, '.');
        buf_put(out, digit + 1, (size_t)n - 1);
        buf_printf(out, "e%c%02d", exp - 1 < 0 ? '-' : '+', exp - 1 < 0 ? 1 - exp : exp - 1);
        return;
    }
    if (exp <= 0) buf_puts(out, "0.");
    for (int i = exp; i < 0; i++) buf_putc(out, '0');
    for (int i = 0; i < n || i < exp; i++) {
        if (i == exp && i) buf_putc(out, '.');
        buf_putc(out, i < n ? digit[i] : '0');
    }
    if (exp >= n) buf_puts(out, ".0");
}

/* Copies digits (single underscores between them are allowed) to *to; false when there are none. */
static bool take_digits(const char **p, const char *end, char **to)
{
    const char *from = *p;
    while (*p < end && ((**p >= '0' && **p <= '9') || (**p == '_' && *p > from && *p + 1 < end && (*p)[1] != '_'))) {
        if (**p != '_') *(*to)++ = **p;
        (*p)++;
    }
    return *p > from;
}

bool parse_float(struct str s, double *out)
{
    char text[256], *to = text;
    s = str_trim(s, NULL, 3);
    while (s.n && *s.p == TOKENIZER_BARRIER) s.p++, s.n--;
    while (s.n && s.p[s.n - 1] == TOKENIZER_BARRIER) s.n--;
    const char *p = s.p, *end = s.p + s.n;
    if (s.n > 200) return false;
    bool minus = p < end && *p == '-';
    if (p < end && (*p == '-' || *p == '+')) p++;
    if ((size_t)(end - p) == 3 && (memcmp(p, "inf", 3) == 0 || memcmp(p, "nan", 3) == 0)) {
        *out = *p == 'n' ? (double)NAN : minus ? -(double)INFINITY : (double)INFINITY;
        return true;
    }
    while (p + 1 < end && p[0] == '0' && p[1] >= '0' && p[1] <= '9') p++;
    if (minus) *to++ = '-';
    bool any = take_digits(&p, end, &to);
    if (!any) *to++ = '0';
    if (p < end && *p == '.') {
        p++;
        *to++ = '.';
        if (take_digits(&p, end, &to)) any = true;
        else *to++ = '0';
    }
    if (any && p < end && (*p == 'e' || *p == 'E')) {
        *to++ = *p++;
        if (p < end && (*p == '-' || *p == '+')) *to++ = *p++;
        if (!take_digits(&p, end, &to)) return false;
    }
    if (!any || p != end) return false;
    if (!memchr(text, '.', (size_t)(to - text)) && !memchr(text, 'e', (size_t)(to - text)) &&
        !memchr(text, 'E', (size_t)(to - text))) {
        *to++ = '.';
        *to++ = '0';
    }
    struct json *j;
    if (json_parse(&j, text, (size_t)(to - text), NULL) < 0) return false;
    *out = json_num(j);
    json_free(j);
    return true;
}

bool parse_int(struct str s, int base, int64_t *out)
{
    s = str_trim(s, NULL, 3);
    bool minus = false, any = false;
    uint64_t v = 0;
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (c == TOKENIZER_BARRIER) continue;
        if ((c == '-' || c == '+') && !any && !minus && i < 2) {
            minus = c == '-';
            continue;
        }
        if (c == '_' && any && i + 1 < s.n && s.p[i + 1] != '_') continue;
        int d = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'z' ? (c | 32) - 'a' + 10 : 99;
        if (d >= base || __builtin_mul_overflow(v, (uint64_t)base, &v) || __builtin_add_overflow(v, (uint64_t)d, &v))
            return false;
        any = true;
    }
    if (!any || v > (uint64_t)INT64_MAX) return false;
    *out = minus ? -(int64_t)v : (int64_t)v;
    return true;
}

static bool printable(uint32_t c)
{
    if (c < 127) return c >= 32;
    unsigned k = uni_class(c);
    return k && !(k & (UNI_CONTROL | UNI_SPACE));
}

static void repr_str(struct str s, struct buf *out)
{
    bool single = memchr(s.p, '\'', s.n) && !memchr(s.p, '"', s.n);
    char quote = single ? '"' : '\'';
    buf_putc(out, quote);
    for (size_t i = 0, n; i < s.n; i += n) {
        n = str_step(s, i);
        uint32_t c = str_char(s, i);
        if (c == '\n') buf_puts(out, "\\n");
        else if (c == '\r') buf_puts(out, "\\r");
        else if (c == '\t') buf_puts(out, "\\t");
        else if (!printable(c)) buf_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", c);
        else {
            if (c == '\\' || c == (uint32_t)quote) buf_putc(out, '\\');
            buf_put(out, s.p + i, n);
        }
    }
    buf_putc(out, quote);
}

static int repr_list(struct tpl *t, const struct value *v, struct buf *out)
{
    bool tuple = v->type == V_TUPLE, view = v->list->view > VIEW_RANGE;
    int rc = 0;
    if (v->list->view == VIEW_RANGE) {
        const int64_t *r = v->list->range;
        buf_printf(out, "range(%lld, %lld", (long long)r[0], (long long)r[1]);
        if (r[2] != 1) buf_printf(out, ", %lld", (long long)r[2]);
        buf_putc(out, ')');
        return 0;
    }
    if (view) buf_printf(out, "%s(", v_type_name(v));
    buf_putc(out, tuple ? '(' : '[');
    for (size_t i = 0; rc == 0 && i < v->list->n; i++) {
        if (i) buf_puts(out, ", ");
        rc = v_repr(t, &v->list->at[i], out);
    }
    if (tuple && v->list->n == 1) buf_putc(out, ',');
    buf_putc(out, tuple ? ')' : ']');
    if (view) buf_putc(out, ')');
    return rc;
}

static int repr_dict(struct tpl *t, const struct value *v, struct buf *out)
{
    int rc = 0;
    if (v->type == V_NAMESPACE) buf_puts(out, "<Namespace ");
    buf_putc(out, '{');
    for (size_t i = 0; rc == 0 && i < v->dict->n; i++) {
        if (i) buf_puts(out, ", ");
        rc = v_repr(t, &v->dict->at[i].key, out);
        buf_puts(out, ": ");
        if (rc == 0) rc = v_repr(t, &v->dict->at[i].val, out);
    }
    buf_putc(out, '}');
    if (v->type == V_NAMESPACE) buf_putc(out, '>');
    return rc;
}

static int repr(struct tpl *t, const struct value *v, struct buf *out)
{
    switch ((enum vtype)v->type) {
    case V_UNDEF: buf_puts(out, "Undefined"); break;
    case V_NONE: buf_puts(out, "None"); break;
    case V_BOOL: buf_puts(out, v->b ? "True" : "False"); break;
    case V_INT: buf_printf(out, "%lld", (long long)v->i); break;
    case V_FLOAT: print_float(v->f, out); break;
    case V_STR:
        if (v->flag == STR_MARKUP) buf_puts(out, "Markup(");
        repr_str(v->s, out);
        if (v->flag == STR_MARKUP) buf_putc(out, ')');
        break;
    case V_LIST:
    case V_TUPLE: return repr_list(t, v, out);
    case V_DICT:
    case V_NAMESPACE: return repr_dict(t, v, out);
    case V_GEN: buf_printf(out, "<generator object %s>", v->gen->what); break;
    case V_FUNC: buf_printf(out, "<function %s>", v->func->name); break;
    case V_MACRO: buf_printf(out, "<Macro '%.*s'>", STR_ARG(v->macro->def->text)); break;
    case V_BOUND: buf_printf(out, "<method %s>", v->bound->method->name); break;
    default: buf_printf(out, "<%s>", v_type_name(v)); break;
    }
    return 0;
}

int v_repr(struct tpl *t, const struct value *v, struct buf *out)
{
    size_t before = out->len;
    int rc = tpl_enter(t);
    if (rc < 0) return rc;
    rc = repr(t, v, out);
    t->depth--;
    if (rc == 0) rc = tpl_spend(t, (out->len - before) * 4);
    if (rc == 0 && out->bad) rc = tpl_fail_written(t, out, "text");
    return rc;
}

int v_print(struct tpl *t, const struct value *v, struct buf *out)
{
    if (v->type == V_UNDEF) return 0;
    if (v->type != V_STR) return v_repr(t, v, out);
    buf_put(out, v->s.p, v->s.n);
    return tpl_spend(t, v->s.n);
}

int v_text(struct tpl *t, const struct value *v, struct str *out)
{
    if (v->type == V_STR) {
        *out = v->s;
        return 0;
    }
    struct buf b = str_buf(t);
    struct value s = v_none();
    int rc = v_print(t, v, &b);
    if (rc < 0) buf_release(&b);
    else rc = str_take(t, &b, &s);
    if (rc == 0) *out = s.s;
    return rc;
}

/* ---- json.dumps ---- */

struct dump {
    struct tpl *t;
    struct buf *out;
    bool ascii, sort, pretty;
    struct str indent, item, colon;
};

static void dump_str(struct dump *d, struct str s)
{
    static const char named[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    buf_putc(d->out, '"');
    for (size_t i = 0, n; i < s.n; i += n) {
        n = str_step(s, i);
        uint32_t c = str_char(s, i);
        const char *p = named;
        while (*p && (unsigned char)*p != c) p += 2;
        if (*p) buf_printf(d->out, "\\%c", p[1]);
        else if (c >= 0x10000 && d->ascii)
            buf_printf(d->out, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + (c & 0x3ff));
        else if (c < 0x20 || (c >= 0x7f && d->ascii)) buf_printf(d->out, c == 0x7f ? "\x7f" : "\\u%04x", c);
        else buf_put(d->out, s.p + i, n);
    }
    buf_putc(d->out, '"');
}

static void dump_newline(struct dump *d, unsigned depth)
{
    if (!d->pretty) return;
    buf_putc(d->out, '\n');
    for (unsigned i = 0; i < depth; i++) buf_put(d->out, d->indent.p, d->indent.n);
}

static int dump_value(struct dump *d, const struct value *v, unsigned depth);

static int dump_key(struct dump *d, const struct value *key)
{
    if (key->type == V_STR) {
        dump_str(d, key->s);
        return 0;
    }
    if (key->type > V_STR || key->type == V_UNDEF)
        return tpl_fail(d->t, ERR_FORMAT, "a key of JSON must be a string, not %s", v_type_name(key));
    buf_putc(d->out, '"');
    int rc = dump_value(d, key, 0);
    buf_putc(d->out, '"');
    return rc;
}

/* Sorts a copy of the pairs by key: insertion, which is stable, with the work charged. */
static int sort_pairs(struct dump *d, struct dict *dict)
{
    struct pair *at = tpl_new(d->t, dict->n ? dict->n : 1, sizeof *at);
    if (!at) return d->t->err->code;
    for (size_t i = 0; i < dict->n; i++) {
        size_t k = i;
        for (; k > 0; k--) {
            bool less;
            int rc = tpl_less(d->t, T_LT, &dict->at[i].key, &at[k - 1].key, &less);
            if (rc < 0) return rc;
            if (!less) break;
            at[k] = at[k - 1];
        }
        at[k] = dict->at[i];
    }
    dict->at = at;
    return 0;
}

static int dump_dict(struct dump *d, const struct value *v, unsigned depth)
{
    struct dict dict = *v->dict;
    int rc = d->sort ? sort_pairs(d, &dict) : 0;
    buf_putc(d->out, '{');
    for (size_t i = 0; rc == 0 && i < dict.n; i++) {
        if (i) buf_put(d->out, d->item.p, d->item.n);
        dump_newline(d, depth + 1);
        rc = dump_key(d, &dict.at[i].key);
        buf_put(d->out, d->colon.p, d->colon.n);
        if (rc == 0) rc = dump_value(d, &dict.at[i].val, depth + 1);
    }
    if (dict.n) dump_newline(d, depth);
    buf_putc(d->out, '}');
    return rc;
}

static int dump_list(struct dump *d, const struct value *v, unsigned depth)
{
    int rc = 0;
    buf_putc(d->out, '[');
    for (size_t i = 0; rc == 0 && i < v->list->n; i++) {
        if (i) buf_put(d->out, d->item.p, d->item.n);
        dump_newline(d, depth + 1);
        rc = dump_value(d, &v->list->at[i], depth + 1);
    }
    if (v->list->n) dump_newline(d, depth);
    buf_putc(d->out, ']');
    return rc;
}

static int dump_value(struct dump *d, const struct value *v, unsigned depth)
{
    size_t before = d->out->len;
    int rc = tpl_enter(d->t);
    if (rc < 0) return rc;
    switch ((enum vtype)v->type) {
    case V_NONE: buf_puts(d->out, "null"); break;
    case V_BOOL: buf_puts(d->out, v->b ? "true" : "false"); break;
    case V_INT: buf_printf(d->out, "%lld", (long long)v->i); break;
    case V_FLOAT:
        if (isfinite(v->f)) print_float(v->f, d->out);
        else buf_puts(d->out, isnan(v->f) ? "NaN" : v->f < 0 ? "-Infinity" : "Infinity");
        break;
    case V_STR: dump_str(d, v->s); break;
    case V_LIST:
    case V_TUPLE:
        rc = v_plain_list(v) ? dump_list(d, v, depth)
                             : tpl_fail(d->t, ERR_FORMAT, "a value of type %s cannot be written as JSON", v_type_name(v));
        break;
    case V_DICT: rc = dump_dict(d, v, depth); break;
    default: rc = tpl_fail(d->t, ERR_FORMAT, "a value of type %s cannot be written as JSON", v_type_name(v));
    }
    d->t->depth--;
    if (rc == 0) rc = tpl_spend(d->t, (d->out->len - before) * 4);
    if (rc == 0 && d->out->bad) rc = tpl_fail_written(d->t, d->out, "text");
    return rc;
}

/* indent: a number of blanks, or the text itself. */
static int dump_indent(struct dump *d, const struct value *v)
{
    static const char blanks[] = "                                                                ";
    if (!v || v->type == V_NONE) return 0;
    d->pretty = true;
    d->item = STR(",");
    if (v->type == V_STR) {
        d->indent = v->s;
        return 0;
    }
    int64_t n;
    int rc = v_int_arg(d->t, v, 0, &n);
    d->indent = (struct str){ blanks, n < 0 ? 0 : n < 64 ? (size_t)n : 64 };
    return rc;
}

static int dump_separators(struct dump *d, const struct value *v)
{
    if (!v || v->type == V_NONE) return 0;
    if ((v->type != V_TUPLE && v->type != V_LIST) || v->list->n != 2 || v->list->at[0].type != V_STR ||
        v->list->at[1].type != V_STR)
        return tpl_fail(d->t, ERR_FORMAT, "separators must be two strings");
    d->item = v->list->at[0].s;
    d->colon = v->list->at[1].s;
    return 0;
}

/* a: ensure_ascii, indent, separators, sort_keys */
int v_json(struct tpl *t, const struct value *self, const struct call *c, struct value *out)
{
    struct buf b = str_buf(t);
    struct dump d = { .t = t, .out = &b, .item = STR(", "), .colon = STR(": ") };
    d.ascii = c->a[0] && v_true(c->a[0]);
    d.sort = c->a[3] && v_true(c->a[3]);
    int rc = dump_indent(&d, c->a[1]);
    if (rc == 0) rc = dump_separators(&d, c->a[2]);
    if (rc == 0) rc = dump_value(&d, self, 0);
    if (rc < 0) {
        buf_release(&b);
        return rc;
    }
    return str_take(t, &b, out);
}
