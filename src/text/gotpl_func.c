/* gotpl_func.c - commands of Go's templates: calls of functions, and what each of them does. */
#include <string.h>

#include "base/os.h"
#include "text/gotpl.h"

struct func { const char *name; uint32_t min, max; int (*fn)(struct go_run *g, const struct value *a, size_t n,
  struct value *out); };

#define FUNC(name) static int name(struct go_run *g, const struct value *a, size_t n, struct value *out)

static bool truth(const struct value *v) { return v_true(v) || go_is_struct(v); }

FUNC(f_not)
{
    (void)g;
    (void)n;
    *out = v_bool(!truth(a));
    return 0;
}

static size_t bytes_of(struct str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.n; i++) n += s.p[i] != '\xff';
    return n;
}

/* Where the n-th byte that counts lies, the barriers before it left out but for the first. */
static size_t byte_at(struct str s, size_t n)
{
    size_t i = 0;
    for (; i < s.n && n; i++) n -= s.p[i] != '\xff';
    while (i && i < s.n && s.p[i] == '\xff') i++;
    return i;
}

FUNC(f_len)
{
    (void)n;
    int rc = 0;
    if (a->type == V_STR) {
        *out = v_int((int64_t)bytes_of(a->s));
        rc = tpl_spend(g->t, a->s.n);
    } else if (a->type == V_LIST) *out = v_int((int64_t)a->list->n);
    else if (a->type == V_DICT && !go_is_struct(a)) *out = v_int((int64_t)a->dict->n);
    else rc = tpl_fail(g->t, ERR_FORMAT, "len: a %s has no length", go_type_name(a));
    return rc;
}

/* A position in something of n parts; `end`: n itself is one too. */
static int position(struct go_run *g, const char *who, const struct value *v, size_t n, bool end, size_t *out)
{
    if (v->type != V_INT) return tpl_fail(g->t, ERR_FORMAT, "%s: a %s is no position", who, go_type_name(v));
    if (v->i < 0 || (uint64_t)v->i >= n + end)
        return tpl_fail(g->t, ERR_FORMAT, "%s: position %lld is outside of what has %zu", who, (long long)v->i, n);
    *out = (size_t)v->i;
    return 0;
}

static int index_one(struct go_run *g, const struct value *on, const struct value *key, struct value *out)
{
    size_t i;
    if (on->type == V_DICT && !go_is_struct(on)) {
        if (key->type != V_STR) return tpl_fail(g->t, ERR_FORMAT, "index: a %s is no key of a map", go_type_name(key));
        return go_field(g, on, key->s, out);
    }
    if (on->type != V_LIST && on->type != V_STR) return tpl_fail(g->t, ERR_FORMAT, "index: of a %s", go_type_name(on));
    int rc = position(g, "index", key, on->type == V_STR ? bytes_of(on->s) : on->list->n, false, &i);
    if (rc < 0) return rc;
    if (on->type == V_LIST) {
        *out = on->list->at[i];
        return 0;
    }
    size_t at = byte_at(on->s, i);
    while (on->s.p[at] == '\xff') at++;
    *out = v_int((unsigned char)on->s.p[at]);
    return tpl_spend(g->t, on->s.n);
}

FUNC(f_index)
{
    struct value on = a[0];
    int rc = 0;
    if (on.type == V_NONE) return tpl_fail(g->t, ERR_FORMAT, "index: of nil");
    for (size_t i = 1; rc == 0 && i < n; i++) {
        struct value from = on;
        rc = index_one(g, &from, &a[i], &on);
    }
    *out = on;
    return rc;
}

static int slice_text(struct go_run *g, struct str s, size_t from, size_t to, struct value *out)
{
    size_t lo = byte_at(s, from), hi = to == bytes_of(s) ? s.n : byte_at(s, to);
    bool inside = (lo < s.n && ((unsigned char)s.p[lo] & 0xc0) == 0x80) || (hi < s.n && ((unsigned char)s.p[hi] & 0xc0) == 0x80);
    if (inside) return tpl_fail(g->t, ERR_FORMAT, "slice: %zu to %zu cuts a character in two", from, to);
    *out = v_str((struct str){ s.p + lo, hi > lo ? hi - lo : 0 });
    return tpl_spend(g->t, s.n);
}

FUNC(f_slice)
{
    const struct value *on = a;
    size_t from = 0, to;
    if (on->type != V_STR && on->type != V_LIST) return tpl_fail(g->t, ERR_FORMAT, "slice: of a %s", go_type_name(on));
    size_t most = to = on->type == V_STR ? bytes_of(on->s) : on->list->n;
    if (n == 4 && on->type == V_STR) return tpl_fail(g->t, ERR_FORMAT, "slice: text takes two positions");
    int rc = n > 1 ? position(g, "slice", &a[1], most, true, &from) : 0;
    if (rc == 0 && n > 2) rc = position(g, "slice", &a[2], most, true, &to);
    if (rc == 0 && from > to) rc = tpl_fail(g->t, ERR_FORMAT, "slice: from %zu to %zu", from, to);
    if (rc == 0 && n > 3) {
        size_t room;
        rc = position(g, "slice", &a[3], most, true, &room);
        if (rc == 0 && room < to) rc = tpl_fail(g->t, ERR_FORMAT, "slice: from %zu to %zu of %zu", from, to, room);
    }
    if (rc < 0) return rc;
    if (on->type == V_STR) return slice_text(g, on->s, from, to, out);
    struct list *l = tpl_new(g->t, 1, sizeof *l);
    if (!l) return g->t->err->code;
    *l = (struct list){ .at = to > from ? on->list->at + from : NULL, .n = to - from, .cap = to - from };
    *out = *on;
    out->list = l;
    return 0;
}

/* ---- comparison ---- */

static bool basic(const struct value *v) { return v->type >= V_BOOL && v->type <= V_STR; }

static int incomparable(struct go_run *g, const struct value *a, const struct value *b)
{
    return tpl_fail(g->t, ERR_FORMAT, "a %s cannot be compared with a %s", go_type_name(a), go_type_name(b));
}

static int equal(struct go_run *g, const struct value *a, const struct value *b, bool *out)
{
    *out = false;
    if (a->type != b->type && (basic(a) || basic(b)))
        return a->type == V_NONE || b->type == V_NONE ? 0 : incomparable(g, a, b);
    if (basic(a)) return tpl_equal(g->t, a, b, out);
    bool nil[2] = { a->type == V_NONE || a->holder, b->type == V_NONE || b->holder };
    if (a->type != b->type && a->type != V_NONE && b->type != V_NONE) return incomparable(g, a, b);
    if (!nil[0] && !nil[1]) return incomparable(g, a, b);
    *out = nil[0] && nil[1];
    return 0;
}

FUNC(f_eq)
{
    bool yes = false;
    int rc = 0;
    for (size_t i = 1; rc == 0 && !yes && i < n; i++) rc = equal(g, &a[0], &a[i], &yes);
    *out = v_bool(yes);
    return rc;
}

FUNC(f_ne)
{
    bool yes = false;
    (void)n;
    int rc = equal(g, &a[0], &a[1], &yes);
    *out = v_bool(!yes);
    return rc;
}

static int order(struct go_run *g, enum tok op, const struct value *a, struct value *out)
{
    bool yes = false;
    bool good = a[0].type == a[1].type && (a[0].type == V_INT || a[0].type == V_FLOAT || a[0].type == V_STR);
    if (!good) return incomparable(g, &a[0], &a[1]);
    int rc = tpl_less(g->t, op, &a[0], &a[1], &yes);
    *out = v_bool(yes);
    return rc;
}

FUNC(f_lt) { (void)n; return order(g, T_LT, a, out); }
FUNC(f_le) { (void)n; return order(g, T_LE, a, out); }
FUNC(f_gt) { (void)n; return order(g, T_GT, a, out); }
FUNC(f_ge) { (void)n; return order(g, T_GE, a, out); }

/* ---- text ---- */

FUNC(f_json)
{
    (void)n;
    struct buf b = str_buf(g->t);
    int rc = go_json(g, a, &b);
    if (rc == 0) return str_take(g->t, &b, out);
    buf_release(&b);
    return rc;
}

/* print puts blanks between operands of which neither is text, println between all. */
static int joined(struct go_run *g, const struct value *a, size_t n, bool line, struct value *out)
{
    struct buf b = str_buf(g->t);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        if (i && (line || (a[i].type != V_STR && a[i - 1].type != V_STR))) buf_putc(&b, ' ');
        rc = go_print(g, &a[i], true, &b);
    }
    if (line) buf_putc(&b, '\n');
    if (rc == 0) return str_take(g->t, &b, out);
    buf_release(&b);
    return rc;
}

FUNC(f_print) { return joined(g, a, n, false, out); }
FUNC(f_println) { return joined(g, a, n, true, out); }

FUNC(f_printf)
{
    if (a->type != V_STR) return tpl_fail(g->t, ERR_FORMAT, "printf: the format is a %s", go_type_name(a));
    struct buf b = str_buf(g->t);
    int rc = go_printf(g, a->s, a + 1, n - 1, &b);
    if (rc == 0) return str_take(g->t, &b, out);
    buf_release(&b);
    return rc;
}

static int date(struct go_run *g, int64_t days, struct value *out)
{
    char text[32];
    int64_t now = (g->t->lim.now ? g->t->lim.now : os_wall_s()) + days * 86400;
    size_t n = os_strftime(text, sizeof text, "%Y-%m-%d", now);
    return str_new(g->t, text, n, out);
}

FUNC(f_today) { (void)a; (void)n; return date(g, 0, out); }
FUNC(f_yesterday) { (void)a; (void)n; return date(g, -1, out); }

FUNC(f_typescript)
{
    (void)n;
    struct buf b = str_buf(g->t);
    int rc = go_typescript(g, a, &b);
    if (rc == 0) return str_take(g->t, &b, out);
    buf_release(&b);
    return rc;
}

/* ---- calls ---- */

enum { F_AND, F_OR };
static const struct func funcs[] = {
    { "and", 1, UINT32_MAX, NULL }, { "or", 1, UINT32_MAX, NULL },       /* they evaluate their operands themselves */
    { "not", 1, 1, f_not }, { "len", 1, 1, f_len }, { "index", 1, UINT32_MAX, f_index }, { "slice", 1, 4, f_slice },
    { "eq", 2, UINT32_MAX, f_eq }, { "ne", 2, 2, f_ne }, { "lt", 2, 2, f_lt }, { "le", 2, 2, f_le }, { "gt", 2, 2, f_gt },
    { "ge", 2, 2, f_ge }, { "print", 0, UINT32_MAX, f_print }, { "println", 0, UINT32_MAX, f_println },
    { "printf", 1, UINT32_MAX, f_printf }, { "json", 1, 1, f_json }, { "currentDate", 0, UINT32_MAX, f_today },
    { "yesterdayDate", 0, UINT32_MAX, f_yesterday }, { "toTypeScriptType", 1, 1, f_typescript },
};

int go_func_find(struct str name)
{
    for (size_t i = 0; i < sizeof funcs / sizeof *funcs; i++)
        if (str_same(name, funcs[i].name)) return (int)i;
    return -1;
}

/* The first operand that decides, else the last; what lies behind it is not looked at. */
static int logic(struct go_run *g, bool or, const struct node *c, const struct value *piped, struct value *out)
{
    int rc = 0;
    for (uint32_t i = 1; rc == 0 && i < c->n; i++) {
        rc = go_eval(g, c->list[i], out);
        if (rc == 0 && truth(out) == or) return 0;
    }
    if (rc == 0 && piped) *out = *piped;
    return rc;
}

int go_call(struct go_run *g, const struct node *c, const struct value *piped, struct value *out)
{
    struct tpl *t = g->t;
    const struct node *first = c->list[0];
    if (first->kind != G_FUNC) {
        if (c->n > 1 || piped) return tpl_fail(t, ERR_FORMAT, "only functions take arguments");
        return first->kind == G_NIL ? tpl_fail(t, ERR_FORMAT, "nil is no command") : go_eval(g, first, out);
    }
    const struct func *f = &funcs[first->val.i];
    uint32_t n = c->n - 1 + (piped != NULL);
    int rc = tpl_spend(t, 0);
    if (n < f->min || n > f->max) return tpl_fail(t, ERR_FORMAT, "%s: %u arguments are not what it takes", f->name, n);
    if (rc < 0 || !f->fn) return rc < 0 ? rc : logic(g, first->val.i == F_OR, c, piped, out);
    struct value few[6], *a = few;
    if (n > 6 && !(a = tpl_new(t, n, sizeof *a))) return t->err->code;
    for (uint32_t i = 1; rc == 0 && i < c->n; i++) rc = go_eval(g, c->list[i], &a[i - 1]);
    if (piped) a[n - 1] = *piped;
    t->at = first;
    return rc < 0 ? rc : f->fn(g, a, n, out);
}
