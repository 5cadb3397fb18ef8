/* tpl_is.c - the tests after "is", and the global functions. */
#include <string.h>

#include "base/os.h"
#include "text/tpl.h"

enum test {
    IS_BOOLEAN, IS_CALLABLE, IS_DEFINED, IS_DIVISIBLE, IS_EQ, IS_ESCAPED, IS_EVEN, IS_FALSE, IS_FILTER, IS_FLOAT, IS_GE,
    IS_GT, IS_IN, IS_INTEGER, IS_ITERABLE, IS_LE, IS_LOWER, IS_LT, IS_MAPPING, IS_NE, IS_NONE, IS_NUMBER, IS_ODD, IS_SAME,
    IS_SEQUENCE, IS_STRING, IS_TEST, IS_TRUE, IS_UNDEFINED, IS_UPPER
};

static const struct { const char *name; uint8_t test, args; } tests[] = {
    { "!=", IS_NE, 1 }, { "<", IS_LT, 1 }, { "<=", IS_LE, 1 }, { "==", IS_EQ, 1 }, { ">", IS_GT, 1 }, { ">=", IS_GE, 1 },
    { "boolean", IS_BOOLEAN, 0 }, { "callable", IS_CALLABLE, 0 }, { "defined", IS_DEFINED, 0 },
    { "divisibleby", IS_DIVISIBLE, 1 }, { "eq", IS_EQ, 1 }, { "equalto", IS_EQ, 1 }, { "escaped", IS_ESCAPED, 0 },
    { "even", IS_EVEN, 0 }, { "false", IS_FALSE, 0 }, { "filter", IS_FILTER, 0 }, { "float", IS_FLOAT, 0 },
    { "ge", IS_GE, 1 }, { "greaterthan", IS_GT, 1 }, { "gt", IS_GT, 1 }, { "in", IS_IN, 1 }, { "integer", IS_INTEGER, 0 },
    { "iterable", IS_ITERABLE, 0 }, { "le", IS_LE, 1 }, { "lessthan", IS_LT, 1 }, { "lower", IS_LOWER, 0 },
    { "lt", IS_LT, 1 }, { "mapping", IS_MAPPING, 0 }, { "ne", IS_NE, 1 }, { "none", IS_NONE, 0 },
    { "number", IS_NUMBER, 0 }, { "odd", IS_ODD, 0 }, { "sameas", IS_SAME, 1 }, { "sequence", IS_SEQUENCE, 0 },
    { "string", IS_STRING, 0 }, { "test", IS_TEST, 0 }, { "true", IS_TRUE, 0 }, { "undefined", IS_UNDEFINED, 0 },
    { "upper", IS_UPPER, 0 },
};

static int test_remainder(struct tpl *t, const struct value *v, int64_t by, int64_t want, bool *out)
{
    struct value divisor = v_int(by), rest;
    int rc = tpl_binary(t, T_MOD, v, &divisor, &rest);
    if (rc < 0) return rc;
    *out = v_double(&rest) == (double)want;
    return 0;
}

static int test_case(struct tpl *t, const struct value *v, const char *method, bool *out)
{
    struct str s;
    struct call none = { 0 };
    struct value yes;
    int rc = v_text(t, v, &s);
    if (rc < 0) return rc;
    struct value text = v_str(s);
    rc = tpl_method(V_STR, str_of(method))->fn(t, &text, &none, &yes);
    *out = rc == 0 && yes.b;
    return rc;
}

static bool same_object(const struct value *a, const struct value *b)
{
    if (a->type != b->type) return false;
    switch ((enum vtype)a->type) {
    case V_UNDEF:
    case V_NONE: return true;
    case V_BOOL: return a->b == b->b;
    case V_INT: return a->i == b->i;
    case V_FLOAT: return a->f == b->f;
    case V_STR: return str_eq(a->s, b->s);
    default: return a->dict == b->dict;
    }
}

static bool of_type(enum test test, const struct value *v)
{
    enum vtype y = (enum vtype)v->type;
    switch (test) {
    case IS_BOOLEAN: return y == V_BOOL;
    case IS_CALLABLE: return y == V_UNDEF || y == V_FUNC || y == V_MACRO || y == V_BOUND || y == V_LOOP || y == V_JOINER;
    case IS_DEFINED: return y != V_UNDEF;
    case IS_ESCAPED: return y == V_STR && v->flag == STR_MARKUP;
    case IS_FALSE: return y == V_BOOL && !v->b;
    case IS_FLOAT: return y == V_FLOAT;
    case IS_INTEGER: return y == V_INT;
    case IS_ITERABLE: return y == V_UNDEF || y == V_STR || y == V_LIST || y == V_TUPLE || y == V_DICT || y == V_GEN
        || y == V_LOOP;
    case IS_MAPPING: return y == V_DICT;
    case IS_NONE: return y == V_NONE;
    case IS_NUMBER: return v_number(v);
    case IS_SEQUENCE: return y == V_UNDEF || y == V_STR || y == V_TUPLE || y == V_DICT ||
        (y == V_LIST && v->list->view <= VIEW_RANGE);
    case IS_STRING: return y == V_STR;
    case IS_TRUE: return y == V_BOOL && v->b;
    default: return y == V_UNDEF;
    }
}

static bool known_test(struct str name)
{
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        if (str_same(name, tests[i].name)) return true;
    return false;
}

static int run_test(struct tpl *t, enum test test, const struct value *v, const struct call *c, bool *out)
{
    static const uint8_t op[] = { [IS_EQ] = T_EQ, [IS_NE] = T_NE, [IS_LT] = T_LT, [IS_LE] = T_LE, [IS_GT] = T_GT,
        [IS_GE] = T_GE };
    int64_t by;
    int rc;
    switch (test) {
    case IS_EQ:
    case IS_NE:
    case IS_LT:
    case IS_LE:
    case IS_GT:
    case IS_GE: return tpl_compare(t, (enum tok)op[test], v, &c->pos[0], out);
    case IS_IN: return tpl_contains(t, &c->pos[0], v, out);
    case IS_SAME: *out = same_object(v, &c->pos[0]); return 0;
    case IS_EVEN: return test_remainder(t, v, 2, 0, out);
    case IS_ODD: return test_remainder(t, v, 2, 1, out);
    case IS_DIVISIBLE:
        rc = v_int_arg(t, &c->pos[0], 0, &by);
        return rc < 0 ? rc : test_remainder(t, v, by, 0, out);
    case IS_LOWER: return test_case(t, v, "islower", out);
    case IS_UPPER: return test_case(t, v, "isupper", out);
    case IS_FILTER:
    case IS_TEST:
        if ((rc = v_hashable(t, v)) < 0) return rc;
        *out = v->type == V_STR && (test == IS_TEST ? known_test(v->s) : tpl_has_filter(v->s));
        return 0;
    default: *out = of_type(test, v); return 0;
    }
}

int tpl_test(struct tpl *t, struct str name, const struct value *on, struct call *c, bool *out)
{
    int rc = tpl_spend(t, 0);
    for (size_t i = 0; rc == 0 && i < sizeof tests / sizeof *tests; i++) {
        if (!str_same(name, tests[i].name)) continue;
        if (c->n != tests[i].args || c->n_kw)
            return tpl_fail(t, ERR_FORMAT, "test '%s' takes %u arguments", tests[i].name, tests[i].args);
        return run_test(t, (enum test)tests[i].test, on, c, out);
    }
    return rc < 0 ? rc : tpl_fail(t, ERR_FORMAT, "no test is named '%.*s'", STR_ARG(name));
}

/* ---- globals ---- */

#define GLOBAL(name) static int name(struct tpl *t, const struct value *self, const struct call *c, struct value *out)

GLOBAL(g_raise)
{
    (void)self;
    (void)out;
    struct str s;
    int rc = v_text(t, c->a[0], &s);
    if (rc < 0) return rc;
    char msg[400];
    size_t n = 0;
    for (size_t i = 0; i < s.n && n + 1 < sizeof msg; i++)
        if (s.p[i] != '\xff') msg[n++] = s.p[i];
    msg[n] = 0;
    return err_set(t->err, ERR_ARG, "%s", msg);
}

/* Copies fmt to the buffer, each directive replaced; unknown ones stay as they are. */
GLOBAL(g_strftime)
{
    (void)self;
    static const char known[] = "aAbBcCdDefFgGhHIjklmMnpPrRsStTuUVwWxXyYzZ%";
    struct str fmt;
    int rc = v_str_arg(t, c->a[0], &fmt);
    if (rc == 0) rc = tpl_spend(t, fmt.n * 64);
    if (rc < 0) return rc;
    struct buf b = str_buf(t);
    int64_t now = t->lim.now ? t->lim.now : os_wall_s();
    for (size_t i = 0; i < fmt.n; i++) {
        size_t k = i + 1;
        if (fmt.p[i] == '%' && k + 1 < fmt.n && (fmt.p[k] == '-' || fmt.p[k] == '_' || fmt.p[k] == '0')) k++;
        if (fmt.p[i] != '%' || k >= fmt.n || !fmt.p[k] || !strchr(known, fmt.p[k])) {
            buf_putc(&b, fmt.p[i]);
            continue;
        }
        if (fmt.p[k] == 'z' || fmt.p[k] == 'Z') {       /* a Python time without a zone */
            i = k;
            continue;
        }
        if (fmt.p[k] == 'f') {
            buf_puts(&b, "000000");
            i = k;
            continue;
        }
        char one[4] = { 0 }, text[128];
        memcpy(one, fmt.p + i, k + 1 - i);
        size_t n = os_strftime(text, sizeof text, one, now);
        buf_put(&b, text, n < sizeof text ? n : 0);
        i = k;
    }
    return str_take(t, &b, out);
}

GLOBAL(g_range)
{
    (void)self;
    enum { MAX_RANGE = 100000 };
    int64_t first = 0, last, step;
    int rc = v_int_arg(t, c->a[0], 0, &last);
    if (rc == 0 && c->a[1]) {
        first = last;
        rc = v_int_arg(t, c->a[1], 0, &last);
    }
    if (rc == 0) rc = v_int_arg(t, c->a[2], 1, &step);
    if (rc < 0) return rc;
    if (!step) return tpl_fail(t, ERR_FORMAT, "range: the step must not be zero");
    uint64_t span = step > 0 ? (last > first ? (uint64_t)last - (uint64_t)first : 0)
                             : (first > last ? (uint64_t)first - (uint64_t)last : 0);
    uint64_t by = step > 0 ? (uint64_t)step : 0 - (uint64_t)step;
    uint64_t n = span / by + (span % by != 0);
    if (n > MAX_RANGE) return tpl_fail(t, ERR_LIMIT, "range: more than %d numbers", MAX_RANGE);
    rc = tpl_spend(t, n * 16);
    if (rc == 0) rc = v_list(t, V_LIST, n, out);
    for (uint64_t i = 0; rc == 0 && i < n; i++)
        out->list->at[out->list->n++] = v_int((int64_t)((uint64_t)first + i * (uint64_t)step));
    if (rc < 0) return rc;
    out->list->view = VIEW_RANGE;
    out->list->range[0] = first;
    out->list->range[1] = last;
    out->list->range[2] = step;
    return 0;
}

static int put_entries(struct tpl *t, const struct value *from, struct dict *d)
{
    int rc = 0;
    if (from->type == V_DICT || from->type == V_NAMESPACE) {
        for (size_t i = 0; rc == 0 && i < from->dict->n; i++)
            rc = v_dict_put(t, d, &from->dict->at[i].key, &from->dict->at[i].val);
        return rc;
    }
    struct list *l, *pair;
    rc = v_items(t, from, &l);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        rc = v_items(t, &l->at[i], &pair);
        if (rc == 0 && pair->n != 2) rc = tpl_fail(t, ERR_FORMAT, "a dictionary is made of pairs");
        if (rc == 0) rc = v_dict_put(t, d, &pair->at[0], &pair->at[1]);
    }
    return rc;
}

static int make_dict(struct tpl *t, const struct call *c, enum vtype type, struct value *out)
{
    struct value d;
    if (c->n > 1) return tpl_fail(t, ERR_FORMAT, "at most one value and names");
    int rc = v_dict(t, type, &d);
    if (rc == 0 && c->n) rc = put_entries(t, &c->pos[0], d.dict);
    for (size_t i = 0; rc == 0 && i < c->n_kw; i++) {
        struct value key = v_str(c->kw[i].name);
        rc = v_dict_put(t, d.dict, &key, &c->kw[i].v);
    }
    *out = d;
    return rc;
}
GLOBAL(g_namespace) { (void)self; return make_dict(t, c, V_NAMESPACE, out); }
GLOBAL(g_dict) { (void)self; return make_dict(t, c, V_DICT, out); }

GLOBAL(g_cycler)
{
    (void)self;
    struct value items;
    if (!c->n) return tpl_fail(t, ERR_FORMAT, "cycler: at least one item");
    struct cycler *y = tpl_new(t, 1, sizeof *y);
    if (!y) return t->err->code;
    int rc = v_list(t, V_LIST, c->n, &items);
    if (rc < 0) return rc;
    memcpy(items.list->at, c->pos, c->n * sizeof *c->pos);
    items.list->n = c->n;
    y->items = items.list;
    *out = (struct value){ .type = V_CYCLER, .cycler = y };
    return 0;
}

GLOBAL(g_joiner)
{
    (void)self;
    struct joiner *j = tpl_new(t, 1, sizeof *j);
    if (!j) return t->err->code;
    j->sep = STR(", ");
    if (c->a[0]) {
        int rc = v_str_arg(t, c->a[0], &j->sep);
        if (rc < 0) return rc;
    }
    *out = (struct value){ .type = V_JOINER, .joiner = j };
    return 0;
}

static const struct global globals[] = {
    { "cycler", "*", g_cycler }, { "dict", "*", g_dict }, { "joiner", "|sep", g_joiner },
    { "namespace", "*", g_namespace }, { "raise_exception", "message", g_raise },
    { "range", "first|last step", g_range }, { "strftime_now", "format", g_strftime },
};

const struct global *tpl_global(struct str name)
{
    for (size_t i = 0; i < sizeof globals / sizeof *globals; i++)
        if (str_same(name, globals[i].name)) return &globals[i];
    return NULL;
}
