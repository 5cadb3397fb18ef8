/* tpl_method.c - the methods of Python's str, list and dict that do not change their object; loops and cyclers. */
#include <string.h>

#include "base/uni.h"
#include "text/tpl.h"

static struct str rest(struct str s, size_t at) { return (struct str){ s.p + at, s.n - at }; }

static int append_str(struct tpl *t, struct list *l, const char *p, size_t n)
{
    struct value v = v_str((struct str){ p, n });
    return v_append(t, l, &v);
}

/* ---- case, padding ---- */

int str_case(struct tpl *t, struct str s, char how, struct value *out)
{
    int rc = tpl_spend(t, s.n * 10);
    if (rc < 0) return rc;
    struct buf b = str_buf(t);
    bool begin = true;
    for (size_t i = 0, n; i < s.n; i += n) {
        n = str_step(s, i);
        uint32_t c = str_char(s, i), to;
        bool up = how == 'u' || (begin && (how == 'c' || how == 't'));
        if (how == 's') {
            to = char_lower(c) != c ? char_lower(c) : char_upper(c);
            up = to != char_lower(c);
        } else to = up ? char_upper(c) : char_lower(c);
        begin = how == 't' && !(char_class(c) & (UNI_LU | UNI_LL | UNI_LT));
        if (to == c && !(up && c == 0xdf)) {
            buf_put(&b, s.p + i, n);
            continue;
        }
        size_t k = 0;
        while (k < n && (s.p[i + k] & 0x80) && (unsigned char)s.p[i + k] == 0xff) buf_putc(&b, s.p[i + k++]);
        if (up) put_upper(&b, c, how != 'u' && how != 's');
        else put_char(&b, to);
        for (; k < n; k++)
            if ((unsigned char)s.p[i + k] == 0xff) buf_putc(&b, s.p[i + k]);
    }
    return str_take(t, &b, out);
}

int str_pad(struct tpl *t, struct str s, int64_t width, struct str fill, char how, struct value *out)
{
    size_t n = str_length(s);
    struct buf b = str_buf(t);
    if (width < 0) width = 0;
    if ((uint64_t)width > t->lim.output) return tpl_fail(t, ERR_LIMIT, "a string is longer than %zu bytes", t->lim.output);
    size_t pad = (size_t)width > n ? (size_t)width - n : 0;
    size_t left = how == '>' ? pad : how == '^' ? pad / 2 : 0;
    if (how == 'c') left = pad / 2 + (pad & (size_t)width & 1);       /* str.center rounds otherwise than format */
    for (size_t i = 0; i < left; i++) buf_put(&b, fill.p, fill.n);
    buf_put(&b, s.p, s.n);
    for (size_t i = left; i < pad; i++) buf_put(&b, fill.p, fill.n);
    return str_take(t, &b, out);
}

static int m_lower(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return str_case(t, s->s, 'l', out);
}
static int m_upper(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return str_case(t, s->s, 'u', out);
}
static int m_capitalize(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return str_case(t, s->s, 'c', out);
}
static int m_title(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return str_case(t, s->s, 't', out);
}
static int m_swapcase(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return str_case(t, s->s, 's', out);
}

static int pad(struct tpl *t, const struct value *s, const struct call *c, char how, struct value *out)
{
    int64_t width;
    struct str fill = STR(" ");
    int rc = v_int_arg(t, c->a[0], 0, &width);
    if (rc == 0 && c->a[1]) rc = v_str_arg(t, c->a[1], &fill);
    if (rc == 0 && str_length(fill) != 1) rc = tpl_fail(t, ERR_FORMAT, "the fill character must be one character");
    return rc < 0 ? rc : str_pad(t, s->s, width, fill, how, out);
}
static int m_center(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return pad(t, s, c, 'c', out);
}
static int m_ljust(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return pad(t, s, c, '<', out);
}
static int m_rjust(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return pad(t, s, c, '>', out);
}
static int m_zfill(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    int64_t width;
    int rc = v_int_arg(t, c->a[0], 0, &width);
    bool sign = s->s.n && (s->s.p[0] == '-' || s->s.p[0] == '+');
    if (rc == 0) rc = str_pad(t, rest(s->s, sign), width - sign, STR("0"), '>', out);
    struct value tail = *out;
    return rc < 0 || !sign ? rc : str_concat(t, (struct str){ s->s.p, 1 }, tail.s, out);
}

/* ---- strip ---- */

static int strip(struct tpl *t, const struct value *s, const struct call *c, int sides, struct value *out)
{
    struct str chars;
    bool given = c->a[0] && c->a[0]->type != V_NONE;
    int rc = given ? v_str_arg(t, c->a[0], &chars) : 0;
    if (rc == 0 && given) rc = str_trimmed(t, s->s.n / 8, chars.n);
    if (rc < 0) return rc;
    *out = v_str(str_trim(s->s, given ? &chars : NULL, sides));
    return str_trimmed(t, s->s.n - out->s.n, given ? chars.n : 1);
}
static int m_strip(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return strip(t, s, c, 3, out);
}
static int m_lstrip(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return strip(t, s, c, 1, out);
}
static int m_rstrip(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return strip(t, s, c, 2, out);
}

/* ---- split and join ---- */

static int split_space(struct tpl *t, struct str s, int64_t max, struct list *l)
{
    int rc = 0;
    s = str_trim(s, NULL, 1);
    for (size_t i = 0; rc == 0 && i < s.n;) {
        if (max >= 0 && (int64_t)l->n >= max) return append_str(t, l, s.p + i, str_trim(rest(s, i), NULL, 2).n);
        size_t end = i;
        while (end < s.n && !char_is_space(str_char(s, end))) end += str_step(s, end);
        rc = append_str(t, l, s.p + i, end - i);
        while (end < s.n && char_is_space(str_char(s, end))) end += str_step(s, end);
        i = end;
    }
    return rc;
}

static int rsplit_space(struct tpl *t, struct str s, int64_t max, struct list *l)
{
    struct value all;
    int rc = v_list(t, V_LIST, 0, &all);
    if (rc == 0) rc = split_space(t, s, -1, all.list);
    if (rc < 0) return rc;
    size_t n = all.list->n, from = max < 0 || (uint64_t)max >= n ? 0 : n - (size_t)max;
    if (from) {
        struct str last = all.list->at[from - 1].s;
        s = str_trim(s, NULL, 1);
        rc = append_str(t, l, s.p, (size_t)(last.p + last.n - s.p));
    }
    for (size_t i = from; rc == 0 && i < n; i++) rc = v_append(t, l, &all.list->at[i]);
    return rc;
}

static int split_at(struct tpl *t, struct str s, struct str sep, int64_t max, struct list *l)
{
    size_t at = 0, len;
    int rc = 0;
    while (rc == 0) {
        size_t hit = max >= 0 && (int64_t)l->n >= max ? SIZE_MAX : str_find(t, s, at, sep, &len);
        rc = append_str(t, l, s.p + at, (hit == SIZE_MAX ? s.n : hit) - at);
        if (rc == 0) rc = tpl_spend(t, 0);
        if (hit == SIZE_MAX) break;
        at = hit + len;
    }
    return rc;
}

static int rsplit_at(struct tpl *t, struct str s, struct str sep, int64_t max, struct list *l)
{
    size_t len = 0, hit;
    int rc = 0;
    while (rc == 0 && (max < 0 || (int64_t)l->n < max) && (hit = str_rfind(t, s, sep, &len)) != SIZE_MAX) {
        rc = append_str(t, l, s.p + hit + len, s.n - hit - len);
        if (rc == 0) rc = tpl_spend(t, 0);
        s.n = hit;
    }
    if (rc == 0) rc = append_str(t, l, s.p, s.n);
    for (size_t i = 0; rc == 0 && i < l->n / 2; i++) {
        struct value v = l->at[i];
        l->at[i] = l->at[l->n - 1 - i];
        l->at[l->n - 1 - i] = v;
    }
    return rc;
}

static int split(struct tpl *t, const struct value *s, const struct call *c, bool right, struct value *out)
{
    struct str sep = { 0 };
    int64_t max;
    bool given = c->a[0] && c->a[0]->type != V_NONE;
    int rc = tpl_spend(t, s->s.n);
    if (rc == 0 && given) rc = v_str_arg(t, c->a[0], &sep);
    if (rc == 0) rc = v_int_arg(t, c->a[1], -1, &max);
    if (rc == 0 && given && str_empty(sep)) rc = tpl_fail(t, ERR_FORMAT, "empty separator");
    struct value l;
    if (rc == 0) rc = v_list(t, V_LIST, 0, &l);
    if (rc < 0) return rc;
    if (given) rc = right ? rsplit_at(t, s->s, sep, max, l.list) : split_at(t, s->s, sep, max, l.list);
    else rc = right ? rsplit_space(t, s->s, max, l.list) : split_space(t, s->s, max, l.list);
    *out = l;
    return rc;
}
static int m_split(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return split(t, s, c, false, out);
}
static int m_rsplit(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return split(t, s, c, true, out);
}

static bool line_end(uint32_t c)
{
    return (c >= 10 && c <= 13) || (c >= 0x1c && c <= 0x1e) || c == 0x85 || c == 0x2028 || c == 0x2029;
}

int str_lines(struct tpl *t, struct str s, bool keep, struct value *out)
{
    int rc = tpl_spend(t, s.n);
    if (rc == 0) rc = v_list(t, V_LIST, 0, out);
    for (size_t i = 0; rc == 0 && i < s.n;) {
        size_t end = i, next;
        while (end < s.n && !line_end(str_char(s, end))) end += str_step(s, end);
        next = end;
        if (end < s.n) next += str_step(s, end);
        if (end < s.n && str_char(s, end) == '\r' && next < s.n && str_char(s, next) == '\n') next += str_step(s, next);
        rc = append_str(t, out->list, s.p + i, (keep ? next : end) - i);
        i = next;
    }
    return rc;
}

static int m_splitlines(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return str_lines(t, s->s, c->a[0] && v_true(c->a[0]), out);
}

static int m_join(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    struct list *l;
    int rc = v_items(t, c->a[0], &l);
    struct buf b = str_buf(t);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        if (l->at[i].type != V_STR)
            rc = tpl_fail(t, ERR_FORMAT, "join: item %zu is a %s, not a string", i, v_type_name(&l->at[i]));
        if (i) buf_put(&b, s->s.p, s->s.n);
        if (rc == 0) rc = v_print(t, &l->at[i], &b);
        if (b.bad) break;
    }
    if (rc == 0) return str_take(t, &b, out);
    buf_release(&b);
    return rc;
}

static int partition(struct tpl *t, const struct value *s, const struct call *c, bool right, struct value *out)
{
    struct str sep;
    size_t len = 0;
    int rc = v_str_arg(t, c->a[0], &sep);
    if (rc == 0 && str_empty(sep)) rc = tpl_fail(t, ERR_FORMAT, "empty separator");
    if (rc == 0) rc = v_list(t, V_TUPLE, 3, out);
    if (rc < 0) return rc;
    size_t at = right ? str_rfind(t, s->s, sep, &len) : str_find(t, s->s, 0, sep, &len);
    struct str head = { s->s.p, at }, tail = { "", 0 };
    if (at == SIZE_MAX) {
        head = right ? tail : s->s;
        if (right) tail = s->s;
        sep = STR("");
    } else {
        tail = rest(s->s, at + len);
    }
    out->list->at[0] = v_str(head);
    out->list->at[1] = v_str(sep);
    out->list->at[2] = v_str(tail);
    out->list->n = 3;
    return tpl_spend(t, 0);
}
static int m_partition(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return partition(t, s, c, false, out);
}
static int m_rpartition(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return partition(t, s, c, true, out);
}

/* ---- replace and search ---- */

int str_replace(struct tpl *t, struct str s, struct str from, struct str to, int64_t count, struct value *out)
{
    int rc = tpl_spend(t, s.n);
    struct buf b = str_buf(t);
    size_t at = 0, len;
    bool empty = str_empty(from);
    while (rc == 0 && count != 0) {
        size_t hit = empty ? at : str_find(t, s, at, from, &len);
        if (hit == SIZE_MAX) break;
        buf_put(&b, s.p + at, hit - at);
        buf_put(&b, to.p, to.n);
        at = empty ? hit : hit + len;
        if (count > 0) count--;
        rc = tpl_spend(t, to.n);
        if (b.bad || (empty && at >= s.n)) break;
        if (empty) {
            size_t n = str_step(s, at);
            buf_put(&b, s.p + at, n);
            at += n;
        }
    }
    if (rc < 0) {
        buf_release(&b);
        return rc;
    }
    buf_put(&b, s.p + at, s.n - at);
    return str_take(t, &b, out);
}

static int m_replace(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    struct str from, to;
    int64_t count;
    int rc = v_str_arg(t, c->a[0], &from);
    if (rc == 0) rc = v_str_arg(t, c->a[1], &to);
    if (rc == 0) rc = v_int_arg(t, c->a[2], -1, &count);
    return rc < 0 ? rc : str_replace(t, s->s, from, to, count, out);
}

/* The part of s between the character positions start and end; *from is its byte offset. */
static int window(struct tpl *t, struct str s, const struct value *start, const struct value *end, struct str *out,
                  int64_t *first)
{
    int64_t lo, hi, n;
    int rc = tpl_spend(t, s.n);
    if (rc == 0) rc = v_int_arg(t, start, 0, &lo);
    if (rc == 0) rc = v_int_arg(t, end, INT64_MAX, &hi);
    if (rc < 0) return rc;
    n = (int64_t)str_length(s);
    if (lo < 0) lo = lo + n < 0 ? 0 : lo + n;
    if (hi < 0) hi = hi + n < 0 ? 0 : hi + n;
    if (lo > n) lo = n;
    if (hi > n) hi = n;
    if (hi < lo) hi = lo;
    size_t a = str_offset(s, (size_t)lo);
    struct str tail = rest(s, a);
    *out = (struct str){ tail.p, str_offset(tail, (size_t)(hi - lo)) };
    *first = lo;
    return 0;
}

static int affix(struct tpl *t, const struct value *s, const struct call *c, bool end, struct value *out)
{
    struct str w;
    int64_t first;
    int rc = window(t, s->s, c->a[1], c->a[2], &w, &first);
    if (rc < 0) return rc;
    size_t n = 1, len;
    const struct value *at = c->a[0];
    if (at->type == V_TUPLE) {
        n = at->list->n;
        at = at->list->at;
    }
    *out = v_bool(false);
    for (size_t i = 0; rc == 0 && i < n && !out->b; i++) {
        struct str what;
        rc = v_str_arg(t, &at[i], &what);
        if (rc < 0) return rc;
        if (!end) {
            out->b = str_match(w, 0, what) != SIZE_MAX;
        } else {
            size_t hit = what.n <= w.n || w.n ? str_rfind(t, w, what, &len) : SIZE_MAX;
            out->b = str_empty(what) || (hit != SIZE_MAX && str_empty(rest(w, hit + len)));
        }
    }
    return rc;
}
static int m_startswith(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return affix(t, s, c, false, out);
}
static int m_endswith(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return affix(t, s, c, true, out);
}

static int m_removeprefix(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    struct str what;
    int rc = v_str_arg(t, c->a[0], &what);
    if (rc < 0) return rc;
    size_t n = str_match(s->s, 0, what);
    *out = v_str(rest(s->s, n == SIZE_MAX ? 0 : n));
    return 0;
}

static int m_removesuffix(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    struct str what;
    size_t len;
    int rc = v_str_arg(t, c->a[0], &what);
    if (rc < 0) return rc;
    size_t hit = str_rfind(t, s->s, what, &len);
    *out = v_str(s->s);
    if (hit != SIZE_MAX && str_empty(rest(s->s, hit + len))) out->s.n = hit;
    return tpl_spend(t, 0);
}

static int find(struct tpl *t, const struct value *s, const struct call *c, bool right, int64_t *out)
{
    struct str what, w;
    int64_t first;
    size_t len;
    int rc = v_str_arg(t, c->a[0], &what);
    if (rc == 0) rc = window(t, s->s, c->a[1], c->a[2], &w, &first);
    if (rc < 0) return rc;
    size_t hit = right ? str_rfind(t, w, what, &len) : str_find(t, w, 0, what, &len);
    *out = hit == SIZE_MAX ? -1 : first + (int64_t)str_length((struct str){ w.p, hit });
    return tpl_spend(t, 0);
}
static int find_value(struct tpl *t, const struct value *s, const struct call *c, bool right, struct value *out)
{
    int64_t i = -1;
    int rc = find(t, s, c, right, &i);
    *out = v_int(i);
    return rc;
}
static int m_find(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return find_value(t, s, c, false, out);
}
static int m_rfind(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return find_value(t, s, c, true, out);
}
static int m_index(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    int rc = find_value(t, s, c, false, out);
    return rc == 0 && out->i < 0 ? tpl_fail(t, ERR_FORMAT, "substring not found") : rc;
}
static int m_rindex(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    int rc = find_value(t, s, c, true, out);
    return rc == 0 && out->i < 0 ? tpl_fail(t, ERR_FORMAT, "substring not found") : rc;
}

static int m_count(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    struct str what, w;
    int64_t first;
    size_t at = 0, len;
    int rc = v_str_arg(t, c->a[0], &what);
    if (rc == 0) rc = window(t, s->s, c->a[1], c->a[2], &w, &first);
    if (rc < 0) return rc;
    *out = v_int(0);
    if (str_empty(what)) {
        *out = v_int((int64_t)str_length(w) + 1);
        return 0;
    }
    while (rc == 0 && (at = str_find(t, w, at, what, &len)) != SIZE_MAX) {
        at += len;
        out->i++;
        rc = tpl_spend(t, 0);
    }
    return rc < 0 ? rc : tpl_spend(t, 0);
}

/* ---- classes of characters ---- */

enum { IS_DECIMAL, IS_DIGIT, IS_NUMERIC, IS_ALPHA, IS_ALNUM, IS_SPACE, IS_ASCII, IS_LOWER, IS_UPPER };

/* Digits that are no decimals: superscripts, subscripts, circled ones. */
static bool superscript(uint32_t c)
{
    return c == 0xb2 || c == 0xb3 || c == 0xb9 || c == 0x2070 || (c >= 0x2074 && c <= 0x2079) || (c >= 0x2080 && c <= 0x2089) ||
           (c >= 0x2460 && c <= 0x2468);
}

static int classify(struct tpl *t, const struct value *v, int what, struct value *out)
{
    struct str s = v->s;
    bool yes = what == IS_ASCII || !str_empty(s), cased = false;
    for (size_t i = 0; yes && !str_empty(s) && i < s.n; i += str_step(s, i)) {
        uint32_t c = str_char(s, i);
        unsigned k = char_class(c);
        bool lower = k & UNI_LL, upper = k & (UNI_LU | UNI_LT);
        switch (what) {
        case IS_DECIMAL: yes = k & UNI_ND; break;
        case IS_DIGIT: yes = (k & UNI_ND) || superscript(c); break;
        case IS_NUMERIC: yes = k & UNI_N; break;
        case IS_ALPHA: yes = k & UNI_L; break;
        case IS_ALNUM: yes = k & (UNI_L | UNI_N); break;
        case IS_SPACE: yes = char_is_space(c); break;
        case IS_ASCII: yes = c < 128; break;
        case IS_LOWER: yes = !upper; break;
        default: yes = !lower; break;
        }
        cased |= lower || upper;
    }
    *out = v_bool(yes && (what < IS_LOWER || cased));
    return tpl_spend(t, s.n * 10);
}
#define CLASS(name, what)                                                                              \
    static int name(struct tpl *t, const struct value *s, const struct call *c, struct value *out) \
    {                                                                                                  \
        (void)c;                                                                                       \
        return classify(t, s, what, out);                                                              \
    }
CLASS(m_isdecimal, IS_DECIMAL)
CLASS(m_isdigit, IS_DIGIT)
CLASS(m_isnumeric, IS_NUMERIC)
CLASS(m_isalpha, IS_ALPHA)
CLASS(m_isalnum, IS_ALNUM)
CLASS(m_isspace, IS_SPACE)
CLASS(m_islower, IS_LOWER)
CLASS(m_isupper, IS_UPPER)
CLASS(m_isascii, IS_ASCII)

static int m_format(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    return str_format(t, s->s, c, out);
}

/* ---- dict, list ---- */

static int m_get(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    int rc;
    struct value *v = v_dict_get(t, s->dict, c->a[0], &rc);
    if (rc < 0) return rc;
    *out = v ? *v : c->a[1] ? *c->a[1] : v_none();
    return 0;
}

static int entries(struct tpl *t, const struct value *s, bool keys, bool values, struct value *out)
{
    struct dict *d = s->dict;
    int rc = tpl_spend(t, d->n * 16);
    if (rc == 0) rc = v_list(t, V_LIST, d->n, out);
    if (rc == 0) out->list->view = keys && values ? VIEW_ITEMS : keys ? VIEW_KEYS : VIEW_VALUES;
    for (size_t i = 0; rc == 0 && i < d->n; i++) {
        struct value *to = &out->list->at[out->list->n++];
        if (keys && values) rc = v_pair(t, &d->at[i].key, &d->at[i].val, to);
        else *to = keys ? d->at[i].key : d->at[i].val;
    }
    return rc;
}
static int m_items(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return entries(t, s, true, true, out);
}
static int m_keys(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return entries(t, s, true, false, out);
}
static int m_values(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    return entries(t, s, false, true, out);
}
static int m_copy(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    *out = *s;                              /* nothing can change either of them */
    return tpl_spend(t, 0);
}

static int m_list_index(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    for (size_t i = 0; i < s->list->n; i++) {
        bool same;
        int rc = tpl_equal(t, &s->list->at[i], c->a[0], &same);
        *out = v_int((int64_t)i);
        if (rc < 0 || same) return rc;
    }
    return tpl_fail(t, ERR_FORMAT, "the value is not in the list");
}

static int m_list_count(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    int64_t n = 0;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < s->list->n; i++) {
        bool same = false;
        rc = tpl_equal(t, &s->list->at[i], c->a[0], &same);
        n += same;
    }
    *out = v_int(n);
    return rc;
}

/* ---- loop, cycler ---- */

static int m_loop_cycle(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    if (!c->n) return tpl_fail(t, ERR_FORMAT, "nothing to cycle through");
    *out = c->pos[s->loop->index0 % c->n];
    return 0;
}

static int m_loop_changed(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    struct loop *l = s->loop;
    struct value now;
    bool same = false;
    int rc = v_list(t, V_TUPLE, c->n, &now);
    if (rc < 0) return rc;
    if (c->n) memcpy(now.list->at, c->pos, c->n * sizeof *now.list->at);
    now.list->n = c->n;
    if (l->has_changed) rc = tpl_equal(t, &l->changed, &now, &same);
    l->has_changed = true;
    l->changed = now;
    *out = v_bool(!same);
    return rc;
}

static int m_cycler_next(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    struct cycler *y = s->cycler;
    *out = y->items->at[y->pos];
    y->pos = (y->pos + 1) % y->items->n;
    return tpl_spend(t, 0);
}

static int m_cycler_reset(struct tpl *t, const struct value *s, const struct call *c, struct value *out)
{
    (void)c;
    s->cycler->pos = 0;
    *out = v_none();
    return tpl_spend(t, 0);
}

static const struct method str_methods[] = {
    { "capitalize", "", m_capitalize }, { "casefold", "", m_lower }, { "center", "width|fillchar", m_center },
    { "count", "sub|start end", m_count }, { "endswith", "suffix|start end", m_endswith },
    { "find", "sub|start end", m_find }, { "format", "*", m_format }, { "index", "sub|start end", m_index },
    { "isalnum", "", m_isalnum }, { "isalpha", "", m_isalpha }, { "isascii", "", m_isascii }, { "isdecimal", "", m_isdecimal },
    { "isdigit", "", m_isdigit }, { "islower", "", m_islower }, { "isnumeric", "", m_isnumeric },
    { "isspace", "", m_isspace }, { "isupper", "", m_isupper }, { "join", "iterable", m_join },
    { "ljust", "width|fillchar", m_ljust }, { "lower", "", m_lower }, { "lstrip", "|chars", m_lstrip },
    { "partition", "sep", m_partition }, { "removeprefix", "prefix", m_removeprefix },
    { "removesuffix", "suffix", m_removesuffix }, { "replace", "old new|count", m_replace },
    { "rfind", "sub|start end", m_rfind }, { "rindex", "sub|start end", m_rindex },
    { "rjust", "width|fillchar", m_rjust }, { "rpartition", "sep", m_rpartition },
    { "rsplit", "|sep maxsplit", m_rsplit }, { "rstrip", "|chars", m_rstrip }, { "split", "|sep maxsplit", m_split },
    { "splitlines", "|keepends", m_splitlines }, { "startswith", "prefix|start end", m_startswith },
    { "strip", "|chars", m_strip }, { "swapcase", "", m_swapcase }, { "title", "", m_title }, { "upper", "", m_upper },
    { "zfill", "width", m_zfill }, { NULL, NULL, NULL },
};
static const struct method list_methods[] = {
    { "copy", "", m_copy }, { "count", "value", m_list_count }, { "index", "value", m_list_index }, { NULL, NULL, NULL },
};
static const struct method dict_methods[] = {
    { "copy", "", m_copy }, { "get", "key|default", m_get }, { "items", "", m_items }, { "keys", "", m_keys },
    { "values", "", m_values }, { NULL, NULL, NULL },
};
static const struct method loop_methods[] = {
    { "changed", "*", m_loop_changed }, { "cycle", "*", m_loop_cycle }, { NULL, NULL, NULL },
};
static const struct method cycler_methods[] = {
    { "next", "", m_cycler_next }, { "reset", "", m_cycler_reset }, { NULL, NULL, NULL },
};

const struct method *tpl_method(enum vtype type, struct str name)
{
    const struct method *m = NULL;
    switch (type) {
    case V_STR: m = str_methods; break;
    case V_LIST:
    case V_TUPLE: m = list_methods; break;
    case V_DICT: m = dict_methods; break;
    case V_LOOP: m = loop_methods; break;
    case V_CYCLER: m = cycler_methods; break;
    default: return NULL;
    }
    while (m->name && !str_same(name, m->name)) m++;
    return m->name ? m : NULL;
}

bool tpl_mutates(enum vtype type, struct str name)
{
    static const char *const list[] = { "append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove", NULL };
    static const char *const dict[] = { "clear", "pop", "popitem", "setdefault", "update", NULL };
    const char *const *m = type == V_LIST ? list : type == V_DICT ? dict : NULL;
    for (; m && *m; m++)
        if (str_same(name, *m)) return true;
    return false;
}
