/* tpl_op.c - operators, comparison, members, slices: the rules of Python. */
#include <math.h>
#include <string.h>

#include "text/tpl.h"

static int type_error(struct tpl *t, enum tok op, const struct value *a, const struct value *b)
{
    if (a->type == V_UNDEF) return v_undefined_error(t, a);
    if (b->type == V_UNDEF) return v_undefined_error(t, b);
    return tpl_fail(t, ERR_FORMAT, "unsupported operand types for %s: '%s' and '%s'", lex_name(op), v_type_name(a),
                    v_type_name(b));
}

static int64_t as_int(const struct value *v) { return v->type == V_BOOL ? v->b : v->i; }

static int overflow(struct tpl *t) { return tpl_fail(t, ERR_LIMIT, "an integer does not fit in 64 bits"); }

/* Divides rounding down. */
static int64_t floor_div(int64_t a, int64_t b)
{
    int64_t q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static int int_power(struct tpl *t, int64_t a, int64_t b, struct value *out)
{
    if (b < 0) {
        if (!a) return tpl_fail(t, ERR_FORMAT, "zero to a negative power");
        *out = v_float(pow((double)a, (double)b));
        return 0;
    }
    int64_t r = 1;
    for (; b; b >>= 1) {
        if ((b & 1) && __builtin_mul_overflow(r, a, &r)) return overflow(t);
        if (b > 1 && __builtin_mul_overflow(a, a, &a)) return overflow(t);
    }
    *out = v_int(r);
    return 0;
}

static int int_op(struct tpl *t, enum tok op, int64_t a, int64_t b, struct value *out)
{
    int64_t r = 0;
    bool bad = false;
    if ((op == T_DIV || op == T_FLOORDIV || op == T_MOD) && !b) return tpl_fail(t, ERR_FORMAT, "division by zero");
    if ((op == T_FLOORDIV || op == T_MOD) && b == -1) {
        /* INT64_MIN / -1 does not fit */
        if (op == T_FLOORDIV && a == INT64_MIN) return overflow(t);
        *out = v_int(op == T_MOD ? 0 : -a);
        return 0;
    }
    switch (op) {
    case T_ADD: bad = __builtin_add_overflow(a, b, &r); break;
    case T_SUB: bad = __builtin_sub_overflow(a, b, &r); break;
    case T_MUL: bad = __builtin_mul_overflow(a, b, &r); break;
    case T_FLOORDIV: r = floor_div(a, b); break;
    case T_MOD: r = a - b * floor_div(a, b); break;
    case T_POW: return int_power(t, a, b, out);
    default: *out = v_float((double)a / (double)b); return 0;
    }
    if (bad) return overflow(t);
    *out = v_int(r);
    return 0;
}

static int float_op(struct tpl *t, enum tok op, double a, double b, struct value *out)
{
    double r;
    if ((op == T_DIV || op == T_FLOORDIV || op == T_MOD) && b == 0) return tpl_fail(t, ERR_FORMAT, "division by zero");
    switch (op) {
    case T_ADD: r = a + b; break;
    case T_SUB: r = a - b; break;
    case T_MUL: r = a * b; break;
    case T_DIV: r = a / b; break;
    case T_POW: r = pow(a, b); break;
    default: {
        double mod = fmod(a, b);
        if (mod != 0 && (mod < 0) != (b < 0)) mod += b;
        r = op == T_MOD ? mod : floor((a - mod) / b + 0.5);
        break;
    }
    }
    if (isinf(r) && isfinite(a) && op == T_POW) return tpl_fail(t, ERR_LIMIT, "a number is too large");
    *out = v_float(r);
    return 0;
}

static int repeat_str(struct tpl *t, struct str s, int64_t times, struct value *out)
{
    if (times <= 0 || !s.n) {
        *out = v_str(STR(""));
        return 0;
    }
    if ((uint64_t)times > t->lim.output / s.n)
        return tpl_fail(t, ERR_LIMIT, "a string is longer than %zu bytes", t->lim.output);
    size_t n = s.n * (size_t)times;
    int rc = tpl_spend(t, n);
    if (rc < 0) return rc;
    char *d = tpl_new(t, n + 1, 1);
    if (!d) return t->err->code;
    for (size_t i = 0; i < n; i += s.n) memcpy(d + i, s.p, s.n);
    *out = v_str((struct str){ d, n });
    return 0;
}

static int repeat_list(struct tpl *t, const struct value *v, int64_t times, struct value *out)
{
    size_t n = v->list->n;
    if (times < 0) times = 0;
    if (n && (uint64_t)times > t->lim.memory / sizeof(struct value) / n)
        return tpl_fail(t, ERR_LIMIT, "more than %zu bytes of values", t->lim.memory);
    n *= (size_t)times;
    int rc = tpl_spend(t, n * 8);
    if (rc == 0) rc = v_list(t, v->type, n, out);
    for (size_t i = 0; rc == 0 && i < n; i++) out->list->at[out->list->n++] = v->list->at[i % v->list->n];
    return rc;
}

static int join_lists(struct tpl *t, const struct value *a, const struct value *b, struct value *out)
{
    size_t n = a->list->n + b->list->n;
    int rc = tpl_spend(t, n * 8);
    if (rc == 0) rc = v_list(t, a->type, n, out);
    if (rc < 0) return rc;
    struct list *l = out->list;
    if (a->list->n) memcpy(l->at, a->list->at, a->list->n * sizeof *l->at);
    if (b->list->n) memcpy(l->at + a->list->n, b->list->at, b->list->n * sizeof *l->at);
    l->n = n;
    return 0;
}

/* Text that is marked safe escapes what it is joined with. */
static int join_strings(struct tpl *t, const struct value *a, const struct value *b, struct value *out)
{
    struct value x = *a, y = *b;
    int rc = 0;
    struct call none = { 0 };
    if (a->flag != b->flag) {
        struct value *plain = a->flag == STR_MARKUP ? &y : &x, in = *plain;
        rc = tpl_filter(t, STR("e"), &in, &none, plain);
    }
    if (rc == 0) rc = str_concat(t, x.s, y.s, out);
    if (rc == 0) out->flag = a->flag | b->flag;
    return rc;
}

int tpl_binary(struct tpl *t, enum tok op, const struct value *a, const struct value *b, struct value *out)
{
    struct value x = *a, y = *b;        /* out may be one of them */
    if (v_number(&x) && v_number(&y) && op != T_TILDE) {
        if (x.type != V_FLOAT && y.type != V_FLOAT) return int_op(t, op, as_int(&x), as_int(&y), out);
        return float_op(t, op, v_double(&x), v_double(&y), out);
    }
    bool list = v_plain_list(&x) && (y.type != V_LIST || !y.list->view);
    if (op == T_TILDE) {
        struct str l, r;
        int rc = v_text(t, &x, &l);
        if (rc == 0) rc = v_text(t, &y, &r);
        return rc == 0 ? str_concat(t, l, r, out) : rc;
    }
    if (op == T_MOD && x.type == V_STR) return str_percent(t, x.s, &y, out);
    if (op == T_ADD && x.type == V_STR && y.type == V_STR) return join_strings(t, &x, &y, out);
    if (op == T_ADD && list && y.type == x.type) return join_lists(t, &x, &y, out);
    if (op == T_MUL) {
        bool right = y.type == V_INT || y.type == V_BOOL;
        const struct value *times = right ? &y : &x, *what = right ? &x : &y;
        if (times->type == V_INT || times->type == V_BOOL) {
            if (what->type == V_STR) return repeat_str(t, what->s, as_int(times), out);
            if (v_plain_list(what)) return repeat_list(t, what, as_int(times), out);
        }
    }
    return type_error(t, op, &x, &y);
}

static int equal_lists(struct tpl *t, const struct list *a, const struct list *b, bool *out)
{
    int rc = 0;
    *out = a->n == b->n && a->view == b->view;
    for (size_t i = 0; rc == 0 && *out && i < a->n; i++) rc = tpl_equal(t, &a->at[i], &b->at[i], out);
    return rc;
}

static int equal_dicts(struct tpl *t, const struct dict *a, const struct dict *b, bool *out)
{
    int rc = 0;
    *out = a->n == b->n;
    for (size_t i = 0; rc == 0 && *out && i < a->n; i++) {
        struct value *other = v_dict_get(t, b, &a->at[i].key, &rc);
        if (rc < 0) return rc;
        if (!other) *out = false;
        else rc = tpl_equal(t, &a->at[i].val, other, out);
    }
    return rc;
}

int tpl_equal(struct tpl *t, const struct value *a, const struct value *b, bool *out)
{
    if (v_number(a) && v_number(b)) {
        *out = a->type != V_FLOAT && b->type != V_FLOAT ? as_int(a) == as_int(b) : v_double(a) == v_double(b);
        return 0;
    }
    *out = false;
    if (a->type != b->type) return 0;
    int rc = tpl_enter(t);
    if (rc < 0) return rc;
    switch ((enum vtype)a->type) {
    case V_UNDEF:
    case V_NONE: *out = true; break;
    case V_STR:
        *out = str_eq(a->s, b->s);
        rc = tpl_spend(t, *out ? a->s.n : 0);
        break;
    case V_LIST:
    case V_TUPLE: rc = equal_lists(t, a->list, b->list, out); break;
    case V_DICT: rc = equal_dicts(t, a->dict, b->dict, out); break;
    case V_BOUND: *out = a->bound == b->bound; break;
    default: *out = a->dict == b->dict; break;       /* the same object */
    }
    t->depth--;
    if (rc == 0) rc = tpl_spend(t, 0);
    return rc;
}

static bool ordered(enum tok op, int cmp)
{
    return op == T_LT ? cmp < 0 : op == T_LE ? cmp <= 0 : op == T_GT ? cmp > 0 : cmp >= 0;
}

int tpl_less(struct tpl *t, enum tok op, const struct value *a, const struct value *b, bool *out)
{
    int rc = tpl_spend(t, 0);
    if (rc < 0) return rc;
    if (v_number(a) && v_number(b)) {
        if (a->type != V_FLOAT && b->type != V_FLOAT) {
            *out = ordered(op, (as_int(a) > as_int(b)) - (as_int(a) < as_int(b)));
        } else {
            double x = v_double(a), y = v_double(b);
            *out = op == T_LT ? x < y : op == T_LE ? x <= y : op == T_GT ? x > y : x >= y;
        }
        return 0;
    }
    if (a->type == V_STR && b->type == V_STR) {
        *out = ordered(op, str_cmp(a->s, b->s));
        return tpl_spend(t, a->s.n < b->s.n ? a->s.n : b->s.n);
    }
    if (a->type != b->type || !v_plain_list(a) || !v_plain_list(b)) return type_error(t, op, a, b);
    if ((rc = tpl_enter(t)) < 0) return rc;
    size_t i = 0, n = a->list->n < b->list->n ? a->list->n : b->list->n;
    bool same = true;
    while (rc == 0 && i < n && (rc = tpl_equal(t, &a->list->at[i], &b->list->at[i], &same)) == 0 && same) i++;
    if (rc == 0 && i < n) rc = tpl_less(t, op, &a->list->at[i], &b->list->at[i], out);
    else if (rc == 0) *out = ordered(op, (a->list->n > b->list->n) - (a->list->n < b->list->n));
    t->depth--;
    return rc;
}

int tpl_contains(struct tpl *t, const struct value *in, const struct value *what, bool *out)
{
    int rc;
    size_t len;
    *out = false;
    if (in->type == V_STR) {
        if (what->type == V_UNDEF) return v_undefined_error(t, what);
        if (what->type != V_STR)
            return tpl_fail(t, ERR_FORMAT, "'in <string>' requires a string on the left, not %s", v_type_name(what));
        *out = str_find(t, in->s, 0, what->s, &len) != SIZE_MAX;
        return tpl_spend(t, 0);
    }
    if (in->type == V_DICT) {
        *out = v_dict_get(t, in->dict, what, &rc) != NULL;
        return rc;
    }
    struct list *l;
    if ((rc = v_items(t, in, &l)) < 0) return rc;
    for (size_t i = 0; rc == 0 && !*out && i < l->n; i++) rc = tpl_equal(t, &l->at[i], what, out);
    return rc;
}

int tpl_compare(struct tpl *t, enum tok op, const struct value *a, const struct value *b, bool *out)
{
    int rc;
    switch (op) {
    case T_EQ: return tpl_equal(t, a, b, out);
    case T_NE:
        rc = tpl_equal(t, a, b, out);
        *out = !*out;
        return rc;
    case T_IN: return tpl_contains(t, b, a, out);
    case T_NOT_IN:
        rc = tpl_contains(t, b, a, out);
        *out = !*out;
        return rc;
    default: return tpl_less(t, op, a, b, out);
    }
}

/* A method or other attribute; false when there is none of that name. */
static int find_attr(struct tpl *t, const struct value *v, struct str name, struct value *out, bool *found)
{
    *found = true;
    if (v->type == V_LOOP) {
        int rc = tpl_loop_attr(t, v->loop, name, out);
        if (rc <= 0) return rc;
    }
    if (v->type == V_NAMESPACE) {
        struct value *member = v_dict_find(v->dict, name);
        if (member) *out = *member;
        *found = member != NULL;
        return 0;
    }
    if (v->type == V_MACRO && str_same(name, "name")) {
        *out = v_str(v->macro->def->text);
        return 0;
    }
    if ((name.n && name.p[0] == '_') || tpl_mutates((enum vtype)v->type, name)) {
        *out = (struct value){ .type = V_UNDEF, .flag = UNDEF_UNSAFE, .holder = v->type, .s = name };
        return 0;
    }
    const struct method *m = tpl_method((enum vtype)v->type, name);
    if (v->type == V_LIST && (v->list->view > VIEW_RANGE || (v->list->view && str_same(name, "copy")))) m = NULL;
    *found = m != NULL;
    if (!m) return 0;
    struct bound *b = tpl_new(t, 1, sizeof *b);
    if (!b) return t->err->code;
    *b = (struct bound){ *v, m };
    *out = (struct value){ .type = V_BOUND, .bound = b };
    return 0;
}

static void no_member(const struct value *v, struct str name, struct value *out)
{
    *out = (struct value){ .type = V_UNDEF, .flag = UNDEF_MEMBER, .holder = v->type, .s = name };
}

int tpl_attr(struct tpl *t, const struct value *v, struct str name, struct value *out)
{
    struct value on = *v;
    bool found;
    if (on.type == V_UNDEF) return v_undefined_error(t, &on);
    int rc = find_attr(t, &on, name, out, &found);
    if (rc < 0 || found) return rc;
    struct value *item = on.type == V_DICT ? v_dict_find(on.dict, name) : NULL;
    if (item) *out = *item;
    else no_member(&on, name, out);
    return on.type == V_DICT ? tpl_spend(t, on.dict->n * 8) : 0;
}

static int index_of(const struct value *key, size_t n, size_t *out)
{
    int64_t i = as_int(key);
    if (i < 0) i += (int64_t)n;
    *out = (size_t)i;
    return i >= 0 && i < (int64_t)n;
}

int tpl_item(struct tpl *t, const struct value *v, const struct value *key, struct value *out)
{
    struct value on = *v, k = *key;
    size_t i;
    int rc = 0;
    if (on.type == V_UNDEF) return v_undefined_error(t, &on);
    if (on.type == V_DICT) {
        if (k.type == V_LIST || k.type == V_DICT) {
            *out = v_undef(STR("the key is not hashable"));
            out->flag = UNDEF_MESSAGE;
            return 0;
        }
        struct value *item = v_dict_get(t, on.dict, &k, &rc);
        if (rc < 0) return rc;
        if (item) {
            *out = *item;
            return 0;
        }
    }
    if (k.type == V_INT || k.type == V_BOOL) {
        no_member(&on, STR("element"), out);
        if (on.type == V_TUPLE || (on.type == V_LIST && on.list->view <= VIEW_RANGE)) {
            if (index_of(&k, on.list->n, &i)) *out = on.list->at[i];
        } else if (on.type == V_STR) {
            if ((rc = tpl_spend(t, on.s.n)) < 0) return rc;
            if (index_of(&k, str_length(on.s), &i)) {
                size_t at = str_offset(on.s, i);
                *out = v_str((struct str){ on.s.p + at, str_step(on.s, at) });
            }
        }
        return 0;
    }
    bool found = false;
    if (k.type == V_STR) rc = find_attr(t, &on, k.s, out, &found);
    if (rc == 0 && !found) no_member(&on, k.type == V_STR ? k.s : STR("element"), out);
    return rc;
}

/* Start, stop and step resolved for a sequence of n; count is the number of elements. */
static int slice_range(struct tpl *t, const struct value part[3], int64_t n, int64_t r[3], size_t *count)
{
    int64_t step, lo, hi;
    int rc = v_int_arg(t, &part[2], 1, &step);
    if (rc == 0 && (step == 0 || step == INT64_MIN)) return tpl_fail(t, ERR_FORMAT, "a slice step cannot be zero");
    if (rc == 0) rc = v_int_arg(t, &part[0], step > 0 ? 0 : INT64_MAX, &lo);
    if (rc == 0) rc = v_int_arg(t, &part[1], step > 0 ? INT64_MAX : INT64_MIN, &hi);
    if (rc < 0) return rc;
    if (lo < 0) lo = lo + n;
    if (hi < 0 && part[1].type != V_NONE) hi = hi < -n ? -1 : hi + n;
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    r[0] = lo < low ? low : lo > high ? high : lo;
    r[1] = hi < low ? low : hi > high ? high : hi;
    r[2] = step;
    *count = 0;
    if (step > 0 && r[1] > r[0]) *count = (size_t)((r[1] - r[0] - 1) / step + 1);
    if (step < 0 && r[0] > r[1]) *count = (size_t)((r[0] - r[1] - 1) / -step + 1);
    return 0;
}

static int slice_str(struct tpl *t, struct str s, const int64_t r[3], size_t count, struct value *out)
{
    int rc = tpl_spend(t, s.n);
    if (rc < 0) return rc;
    if (r[2] == 1) {
        size_t from = str_offset(s, (size_t)r[0]);
        struct str rest = { s.p + from, s.n - from };
        *out = v_str((struct str){ rest.p, count ? str_offset(rest, count) : 0 });
        return 0;
    }
    struct value chars = v_str(s);
    struct list *l;
    struct buf b = str_buf(t);
    if ((rc = v_items(t, &chars, &l)) < 0) return rc;
    for (size_t i = 0; i < count; i++) {
        size_t at = (size_t)(r[0] + (int64_t)i * r[2]);
        if (at < l->n) buf_put(&b, l->at[at].s.p, l->at[at].s.n);
    }
    return str_take(t, &b, out);
}

/* What Python says of a slice of a range: its ends need not be members. */
static void slice_of_range(const int64_t range[3], const int64_t r[3], struct list *out)
{
    out->view = VIEW_RANGE;
    for (int i = 0; i < 2; i++) out->range[i] = (int64_t)((uint64_t)range[0] + (uint64_t)r[i] * (uint64_t)range[2]);
    out->range[2] = (int64_t)((uint64_t)range[2] * (uint64_t)r[2]);
}

int tpl_slice(struct tpl *t, const struct value *v, const struct value part[3], struct value *out)
{
    struct value on = *v;
    int64_t r[3] = { 0, 0, 1 };
    size_t count = 0;
    if (on.type == V_UNDEF) return v_undefined_error(t, &on);
    if (on.type != V_STR && on.type != V_TUPLE && (on.type != V_LIST || on.list->view > VIEW_RANGE))
        return tpl_fail(t, ERR_FORMAT, "'%s' object cannot be sliced", v_type_name(&on));
    size_t n = on.type == V_STR ? str_length(on.s) : on.list->n;
    int rc = slice_range(t, part, (int64_t)n, r, &count);
    if (rc < 0) return rc;
    if (on.type == V_STR) {
        rc = slice_str(t, on.s, r, count, out);
        out->flag = on.flag;
        return rc;
    }
    rc = tpl_spend(t, count * 8);
    if (rc == 0) rc = v_list(t, on.type, count, out);
    for (size_t i = 0; rc == 0 && i < count; i++) out->list->at[out->list->n++] = on.list->at[r[0] + (int64_t)i * r[2]];
    if (rc == 0 && on.type == V_LIST && on.list->view) slice_of_range(on.list->range, r, out->list);
    return rc;
}
