/* tpl_filter.c - the filters. */
#include <math.h>
#include <string.h>

#include "base/uni.h"
#include "text/tpl.h"

#define FILTER(name) static int name(struct tpl *t, const struct value *v, const struct call *c, struct value *out)

static bool truth(const struct value *v) { return v && v_true(v); }

static struct value empty_aggregate(struct str why)
{
    struct value u = v_undef(why);
    u.flag = UNDEF_MESSAGE;
    return u;
}

/* item.a.0.b for the path "a.0.b" or an integer; `missing` (or NULL) stands in for undefined. */
static int get_path(struct tpl *t, const struct value *item, const struct value *path, const struct value *missing,
                    struct value *out)
{
    *out = *item;
    if (path->type != V_STR) {
        struct value on = *out;
        return tpl_item(t, &on, path, out);
    }
    struct str s = path->s;
    for (;;) {
        const char *dot = memchr(s.p, '.', s.n);
        struct str part = { s.p, dot ? (size_t)(dot - s.p) : s.n };
        struct value on = *out, key = v_str(part);
        int64_t i;
        if (part.n && part.p[0] >= '0' && part.p[0] <= '9' && parse_int(part, 10, &i)) key = v_int(i);
        int rc = tpl_item(t, &on, &key, out);
        if (rc < 0) return rc;
        if (out->type == V_UNDEF && missing) *out = *missing;
        if (!dot) return 0;
        s.n -= part.n + 1;
        s.p = dot + 1;
    }
}

/* What items are compared by: the attribute, in lower case unless case matters. */
static int sort_key(struct tpl *t, const struct value *item, const struct value *attr, bool exact, struct value *out)
{
    int rc = 0;
    *out = *item;
    if (attr && attr->type != V_NONE) rc = get_path(t, item, attr, NULL, out);
    if (rc == 0 && !exact && out->type == V_STR) rc = str_case(t, out->s, 'l', out);
    return rc;
}

/* A tuple of keys: one, or several for "a,b".  Being a tuple, equal keys that have no order are no error. */
static int sort_keys(struct tpl *t, const struct value *item, const struct value *attr, bool exact, struct value *out)
{
    bool several = attr && attr->type == V_STR;
    struct value keys, key;
    int rc = v_list(t, V_TUPLE, 1, &keys);
    struct str s = several ? attr->s : STR("");
    if (rc == 0 && !several) {
        rc = sort_key(t, item, attr, exact, &keys.list->at[0]);
        keys.list->n = 1;
        *out = keys;
        return rc;
    }
    while (rc == 0) {
        const char *comma = memchr(s.p, ',', s.n);
        struct value part = v_str((struct str){ s.p, comma ? (size_t)(comma - s.p) : s.n });
        rc = sort_key(t, item, &part, exact, &key);
        if (rc == 0) rc = v_append(t, keys.list, &key);
        if (!comma) break;
        s.n -= part.s.n + 1;
        s.p = comma + 1;
    }
    *out = keys;
    return rc;
}

struct keyed { struct value key, val; };

static int merge(struct tpl *t, const struct keyed *from, struct keyed *to, size_t range[3], bool reverse)
{
    size_t i = range[0], j = range[1], k = range[0];
    while (k < range[2]) {
        bool right = i == range[1];
        if (!right && j < range[2]) {
            const struct value *a = &from[i].key, *b = &from[j].key;
            int rc = tpl_less(t, T_LT, reverse ? a : b, reverse ? b : a, &right);
            if (rc < 0) return rc;
        }
        to[k++] = right ? from[j++] : from[i++];
    }
    return 0;
}

/* Stable, as Python's sort is. */
static int sort(struct tpl *t, struct keyed **items, size_t n, bool reverse)
{
    struct keyed *a = *items, *b = tpl_new(t, n ? n : 1, sizeof *b);
    if (!b) return t->err->code;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t at = 0; at < n; at += 2 * width) {
            size_t mid = at + width < n ? at + width : n, end = at + 2 * width < n ? at + 2 * width : n;
            int rc = merge(t, a, b, (size_t[3]){ at, mid, end }, reverse);
            if (rc < 0) return rc;
        }
        struct keyed *swap = a;
        a = b;
        b = swap;
    }
    *items = a;
    return 0;
}

typedef int key_fn(struct tpl *t, const struct value *item, const struct value *attr, bool exact, struct value *out);

static int sort_list(struct tpl *t, const struct list *l, const struct value *attr, const bool how[2], key_fn *key,
                     struct keyed **out)
{
    bool exact = how[0], reverse = how[1];
    int rc = 0;
    *out = tpl_new(t, l->n ? l->n : 1, sizeof **out);
    if (!*out) return t->err->code;
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        (*out)[i].val = l->at[i];
        rc = key(t, &l->at[i], attr, exact, &(*out)[i].key);
    }
    return rc < 0 ? rc : sort(t, out, l->n, reverse);
}

FILTER(f_sort)
{
    struct list *l;
    struct keyed *k;
    int rc = v_items(t, v, &l);
    if (rc == 0) rc = sort_list(t, l, c->a[2], (bool[2]){ truth(c->a[1]), truth(c->a[0]) }, sort_keys, &k);
    if (rc == 0) rc = v_list(t, V_LIST, l->n, out);
    for (size_t i = 0; rc == 0 && i < l->n; i++) out->list->at[out->list->n++] = k[i].val;
    return rc;
}

FILTER(f_dictsort)
{
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (v->type != V_DICT) return tpl_fail(t, ERR_FORMAT, "dictsort needs a mapping, not %s", v_type_name(v));
    size_t n = v->dict->n;
    bool by_value = c->a[1] && c->a[1]->type == V_STR && str_same(c->a[1]->s, "value");
    struct keyed *k = tpl_new(t, n ? n : 1, sizeof *k);
    if (!k) return t->err->code;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        struct pair *p = &v->dict->at[i];
        rc = v_pair(t, &p->key, &p->val, &k[i].val);
        if (rc == 0) rc = sort_key(t, by_value ? &p->val : &p->key, NULL, truth(c->a[0]), &k[i].key);
    }
    if (rc == 0) rc = sort(t, &k, n, truth(c->a[2]));
    if (rc == 0) rc = v_list(t, V_LIST, n, out);
    for (size_t i = 0; rc == 0 && i < n; i++) out->list->at[out->list->n++] = k[i].val;
    return rc;
}

FILTER(f_groupby)
{
    struct list *l;
    struct keyed *k;
    struct value group = v_none(), pair;
    int rc = v_items(t, v, &l);
    if (rc == 0) rc = sort_list(t, l, c->a[0], (bool[2]){ truth(c->a[2]), false }, sort_key, &k);
    if (rc == 0) rc = v_list(t, V_LIST, 0, out);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        bool same = false;
        if (i) rc = tpl_equal(t, &k[i - 1].key, &k[i].key, &same);
        if (rc == 0 && !same) {
            struct value name;
            rc = v_list(t, V_LIST, 0, &group);
            if (rc == 0) rc = get_path(t, &k[i].val, c->a[0], c->a[1], &name);
            if (rc == 0) rc = v_pair(t, &name, &group, &pair);
            if (rc == 0) rc = v_append(t, out->list, &pair);
        }
        if (rc == 0) rc = v_append(t, group.list, &k[i].val);
    }
    return rc;
}

FILTER(f_unique)
{
    struct list *l;
    struct value keys, key, items;
    int rc = v_items(t, v, &l);
    if (rc == 0) rc = v_list(t, V_LIST, 0, &keys);
    if (rc == 0) rc = v_list(t, V_LIST, 0, &items);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        bool seen = false;
        rc = sort_key(t, &l->at[i], c->a[1], truth(c->a[0]), &key);
        if (rc == 0) rc = v_hashable(t, &key);
        for (size_t k = 0; rc == 0 && !seen && k < keys.list->n; k++) rc = tpl_equal(t, &keys.list->at[k], &key, &seen);
        if (rc < 0 || seen) continue;
        rc = v_append(t, keys.list, &key);
        if (rc == 0) rc = v_append(t, items.list, &l->at[i]);
    }
    return rc < 0 ? rc : v_gen(t, items.list, "do_unique", out);
}

static int extreme(struct tpl *t, const struct value *v, const struct call *c, enum tok op, struct value *out)
{
    struct list *l;
    struct value best, key;
    int rc = v_items(t, v, &l);
    *out = empty_aggregate(STR("No aggregated item, sequence was empty."));
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        bool better = i == 0;
        rc = sort_key(t, &l->at[i], c->a[1], truth(c->a[0]), &key);
        if (rc == 0 && i) rc = tpl_less(t, op, &key, &best, &better);
        if (rc < 0 || !better) continue;
        best = key;
        *out = l->at[i];
    }
    return rc;
}
FILTER(f_min) { return extreme(t, v, c, T_LT, out); }
FILTER(f_max) { return extreme(t, v, c, T_GT, out); }

FILTER(f_sum)
{
    struct list *l;
    int rc = v_items(t, v, &l);
    struct value item, sum = c->a[1] ? *c->a[1] : v_int(0);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        item = l->at[i];
        if (c->a[0] && c->a[0]->type != V_NONE) rc = get_path(t, &l->at[i], c->a[0], NULL, &item);
        if (rc == 0) rc = tpl_binary(t, T_ADD, &sum, &item, &sum);
    }
    *out = sum;
    return rc;
}

/* ---- map, select, reject ---- */

/* These take nothing from what is false, whether it can be iterated or not. */
static int items_if_true(struct tpl *t, const struct value *v, struct list **out)
{
    struct value nothing;
    if (v_true(v)) return v_items(t, v, out);
    int rc = v_list(t, V_LIST, 0, &nothing);
    *out = nothing.list;
    return rc;
}

/* The arguments after the first n. */
static struct call later_args(const struct call *c, size_t n)
{
    struct call r = *c;
    r.pos += n;
    r.n -= n;
    return r;
}

static const struct value *named(const struct call *c, const char *name)
{
    for (size_t i = 0; i < c->n_kw; i++)
        if (str_same(c->kw[i].name, name)) return &c->kw[i].v;
    return NULL;
}

FILTER(f_map)
{
    struct list *l;
    struct value items;
    const struct value *attr = c->n ? NULL : named(c, "attribute");
    if (!attr && (!c->n || c->pos[0].type != V_STR))
        return tpl_fail(t, ERR_FORMAT, "map needs the name of a filter or an attribute");
    int rc = items_if_true(t, v, &l);
    if (rc == 0) rc = v_list(t, V_LIST, l->n, &items);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        struct value *to = &items.list->at[items.list->n++];
        if (attr) {
            rc = get_path(t, &l->at[i], attr, named(c, "default"), to);
        } else {
            struct call rest = later_args(c, 1);
            rc = tpl_filter(t, c->pos[0].s, &l->at[i], &rest, to);
        }
    }
    return rc < 0 ? rc : v_gen(t, items.list, "do_map", out);
}

/* by_attr: the first argument names an attribute.  Then come the name of a test and its arguments, or nothing. */
static int select_items(struct tpl *t, const struct value *v, const struct call *c, bool by_attr, bool want,
                        struct value *out)
{
    struct list *l;
    struct value items, item;
    size_t skip = by_attr;
    if (c->n < skip) return tpl_fail(t, ERR_FORMAT, "the name of an attribute is missing");
    if (c->n > skip && c->pos[skip].type != V_STR) return tpl_fail(t, ERR_FORMAT, "the name of a test must be a string");
    int rc = items_if_true(t, v, &l);
    if (rc == 0) rc = v_list(t, V_LIST, 0, &items);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        bool yes = false;
        item = l->at[i];
        if (by_attr) rc = get_path(t, &l->at[i], &c->pos[0], NULL, &item);
        if (rc == 0 && c->n > skip) {
            struct call rest = later_args(c, skip + 1);
            rc = tpl_test(t, c->pos[skip].s, &item, &rest, &yes);
        } else {
            yes = v_true(&item);
        }
        if (rc == 0 && yes == want) rc = v_append(t, items.list, &l->at[i]);
        if (rc == 0) rc = tpl_spend(t, 0);
    }
    return rc < 0 ? rc : v_gen(t, items.list, "select_or_reject", out);
}
FILTER(f_select) { return select_items(t, v, c, false, true, out); }
FILTER(f_reject) { return select_items(t, v, c, false, false, out); }
FILTER(f_selectattr) { return select_items(t, v, c, true, true, out); }
FILTER(f_rejectattr) { return select_items(t, v, c, true, false, out); }

/* ---- sequences ---- */

FILTER(f_first)
{
    (void)c;
    struct list *l;
    if (v->type == V_GEN) {
        struct gen *g = v->gen;
        *out = g->pos < g->from->n ? g->from->at[g->pos++] : empty_aggregate(STR("No first item, sequence was empty."));
        return 0;
    }
    if (v->type == V_STR && !str_empty(v->s)) {
        *out = v_str((struct str){ v->s.p, str_step(v->s, 0) });
        return 0;
    }
    int rc = v_items(t, v, &l);
    if (rc == 0) *out = l->n ? l->at[0] : empty_aggregate(STR("No first item, sequence was empty."));
    return rc;
}

FILTER(f_last)
{
    (void)c;
    struct list *l;
    if (v->type == V_GEN) return tpl_fail(t, ERR_FORMAT, "a generator has no last item");
    int rc = v_items(t, v, &l);
    if (rc == 0) *out = l->n ? l->at[l->n - 1] : empty_aggregate(STR("No last item, sequence was empty."));
    return rc;
}

FILTER(f_length)
{
    (void)c;
    switch ((enum vtype)v->type) {
    case V_UNDEF: *out = v_int(0); return 0;
    case V_STR: *out = v_int((int64_t)str_length(v->s)); return tpl_spend(t, v->s.n);
    case V_LIST:
    case V_TUPLE: *out = v_int((int64_t)v->list->n); return 0;
    case V_DICT: *out = v_int((int64_t)v->dict->n); return 0;
    case V_LOOP: return tpl_loop_attr(t, v->loop, STR("length"), out);
    default: return tpl_fail(t, ERR_FORMAT, "object of type '%s' has no length", v_type_name(v));
    }
}

FILTER(f_list)
{
    (void)c;
    struct list *l;
    int rc = v_items(t, v, &l);
    if (rc < 0 || !l->view) {
        if (rc == 0) *out = (struct value){ .type = V_LIST, .list = l };
        return rc;
    }
    rc = v_list(t, V_LIST, l->n, out);
    for (size_t i = 0; rc == 0 && i < l->n; i++) out->list->at[out->list->n++] = l->at[i];
    return rc;
}

FILTER(f_reverse)
{
    (void)c;
    struct list *l;
    struct value r;
    int rc = v_items(t, v, &l);
    if (rc == 0) rc = v_list(t, V_LIST, l->n, &r);
    if (rc == 0) rc = tpl_spend(t, l->n * 8);
    for (size_t i = 0; rc == 0 && i < l->n; i++) r.list->at[r.list->n++] = l->at[l->n - 1 - i];
    if (rc < 0) return rc;
    if (v->type != V_STR) return v_gen(t, r.list, "reverse", out);
    struct buf b = str_buf(t);
    for (size_t i = 0; i < r.list->n; i++) buf_put(&b, r.list->at[i].s.p, r.list->at[i].s.n);
    return str_take(t, &b, out);
}

FILTER(f_items)
{
    (void)c;
    struct value l;
    if (v->type != V_DICT && v->type != V_UNDEF) return tpl_fail(t, ERR_FORMAT, "Can only get item pairs from a mapping.");
    size_t n = v->type == V_DICT ? v->dict->n : 0;
    int rc = v_list(t, V_LIST, n, &l);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = v_pair(t, &v->dict->at[i].key, &v->dict->at[i].val, &l.list->at[l.list->n++]);
    return rc < 0 ? rc : v_gen(t, l.list, "do_items", out);
}

FILTER(f_join)
{
    struct list *l;
    struct str sep = { "", 0 };
    bool by_attr = c->a[1] && c->a[1]->type != V_NONE;
    int rc = v_items(t, v, &l);
    if (rc == 0 && c->a[0]) rc = v_text(t, c->a[0], &sep);
    struct buf b = str_buf(t);
    for (size_t i = 0; rc == 0 && i < l->n && !b.bad; i++) {
        struct value item = l->at[i];
        if (by_attr) rc = get_path(t, &l->at[i], c->a[1], NULL, &item);
        if (i) buf_put(&b, sep.p, sep.n);
        if (rc == 0) rc = tpl_spend(t, sep.n);
        if (rc == 0) rc = v_print(t, &item, &b);
    }
    if (rc == 0) return str_take(t, &b, out);
    buf_release(&b);
    return rc;
}

/* Lists of `size` items, the last one filled up when there is something to fill with. */
FILTER(f_batch)
{
    struct list *l;
    struct value rows, row = v_none();
    int64_t size;
    int rc = v_items(t, v, &l);
    if (rc == 0) rc = v_int_arg(t, c->a[0], 0, &size);
    if (rc == 0 && size < 1) rc = tpl_fail(t, ERR_FORMAT, "batch needs a positive size");
    if (rc == 0) rc = v_list(t, V_LIST, 0, &rows);
    for (size_t i = 0; rc == 0 && i < l->n; i++) {
        if (i % (uint64_t)size == 0 && (rc = v_list(t, V_LIST, 0, &row)) == 0) rc = v_append(t, rows.list, &row);
        if (rc == 0) rc = v_append(t, row.list, &l->at[i]);
    }
    while (rc == 0 && l->n && c->a[1] && c->a[1]->type != V_NONE && (int64_t)row.list->n < size) {
        rc = tpl_spend(t, 0);
        if (rc == 0) rc = v_append(t, row.list, c->a[1]);
    }
    return rc < 0 ? rc : v_gen(t, rows.list, "do_batch", out);
}

/* A fixed number of lists, the longer ones first. */
FILTER(f_slice)
{
    struct list *l;
    struct value rows, row;
    int64_t n;
    int rc = v_items(t, v, &l);
    if (rc == 0) rc = v_int_arg(t, c->a[0], 0, &n);
    if (rc == 0 && n < 1) rc = tpl_fail(t, ERR_FORMAT, "slice needs a positive number");
    if (rc == 0) rc = v_list(t, V_LIST, 0, &rows);
    size_t at = 0;
    for (int64_t i = 0; rc == 0 && i < n; i++) {
        size_t take = l->n / (uint64_t)n + (i < (int64_t)(l->n % (uint64_t)n));
        rc = tpl_spend(t, 0);
        if (rc == 0) rc = v_list(t, V_LIST, 0, &row);
        for (size_t k = 0; rc == 0 && k < take; k++) rc = v_append(t, row.list, &l->at[at++]);
        if (rc == 0 && c->a[1] && c->a[1]->type != V_NONE && i >= (int64_t)(l->n % (uint64_t)n))
            rc = v_append(t, row.list, c->a[1]);
        if (rc == 0) rc = v_append(t, rows.list, &row);
    }
    return rc < 0 ? rc : v_gen(t, rows.list, "do_slice", out);
}

/* ---- numbers ---- */

FILTER(f_abs)
{
    (void)c;
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (!v_number(v)) return tpl_fail(t, ERR_FORMAT, "bad operand type for abs: '%s'", v_type_name(v));
    if (v->type == V_INT && v->i == INT64_MIN) return tpl_fail(t, ERR_LIMIT, "an integer does not fit in 64 bits");
    *out = v->type == V_FLOAT ? v_float(fabs(v->f)) : v_int(v->type == V_BOOL ? v->b : v->i < 0 ? -v->i : v->i);
    return 0;
}

/* Leaves *out as it is for what is no number. */
static int to_int(struct tpl *t, double d, struct value *out)
{
    if (isnan(d) || isinf(d)) return 0;
    if (!(d > -9.2e18 && d < 9.2e18)) return tpl_fail(t, ERR_LIMIT, "an integer does not fit in 64 bits");
    *out = v_int((int64_t)d);
    return 0;
}

FILTER(f_int)
{
    int64_t base, i;
    double d;
    int rc = v_int_arg(t, c->a[1], 10, &base);
    if (rc < 0) return rc;
    if (base < 2 || base > 36) return tpl_fail(t, ERR_FORMAT, "the base must be 2 to 36");
    *out = c->a[0] ? *c->a[0] : v_int(0);
    if (v->type == V_STR) {
        struct str s = str_trim(v->s, NULL, 3);
        if (s.n > 2 && s.p[0] == '0' && ((s.p[1] | 32) == 'x' ? base == 16 : (s.p[1] | 32) == 'o' ? base == 8
            : (s.p[1] | 32) == 'b' && base == 2))
            s = (struct str){ s.p + 2, s.n - 2 };
        if (parse_int(s, (int)base, &i)) *out = v_int(i);
        else if (parse_float(s, &d)) return to_int(t, d, out);
    } else if (v->type == V_FLOAT) {
        return to_int(t, v->f, out);
    } else if (v_number(v)) {
        *out = v_int(v->type == V_BOOL ? v->b : v->i);
    } else if (v->type == V_UNDEF) {
        return v_undefined_error(t, v);
    }
    return 0;
}

FILTER(f_float)
{
    double d;
    *out = c->a[0] ? *c->a[0] : v_float(0);
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (v_number(v)) *out = v_float(v_double(v));
    else if (v->type == V_STR && parse_float(v->s, &d)) *out = v_float(d);
    return 0;
}

FILTER(f_round)
{
    int64_t digits;
    struct str method = STR("common");
    int rc = v_int_arg(t, c->a[0], 0, &digits);
    if (rc == 0 && c->a[1]) rc = v_str_arg(t, c->a[1], &method);
    if (rc < 0) return rc;
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (!v_number(v)) return tpl_fail(t, ERR_FORMAT, "a %s cannot be rounded", v_type_name(v));
    double d = v_double(v), scale = pow(10, (double)digits);
    if (str_same(method, "ceil") || str_same(method, "floor")) {
        *out = v_float((str_same(method, "ceil") ? ceil(d * scale) : floor(d * scale)) / scale);
    } else if (!str_same(method, "common")) {
        return tpl_fail(t, ERR_FORMAT, "method must be common, ceil or floor");
    } else if (v->type != V_FLOAT && digits >= 0) {
        *out = v_int(v->type == V_BOOL ? v->b : v->i);
    } else if (digits < 0 || digits > 300 || !isfinite(d)) {
        *out = v_float(digits > 300 || !isfinite(d) ? d : nearbyint(d * scale) / scale);
    } else {
        struct buf b = { 0 };              /* decimal digits are rounded exactly, half to even */
        buf_printf(&b, "%.*f", (int)digits, d);
        if (b.bad || b.len > 200 || !parse_float((struct str){ b.data, b.len }, &d)) d = v_double(v);
        buf_release(&b);
        *out = v_float(d);
    }
    return 0;
}

/* ---- text ---- */

FILTER(f_string)
{
    (void)c;
    struct str s;
    int rc = v_text(t, v, &s);
    if (rc == 0) *out = v->type == V_STR ? *v : v_str(s);
    return rc;
}

FILTER(f_safe)
{
    int rc = f_string(t, v, c, out);
    if (rc == 0) out->flag = STR_MARKUP;
    return rc;
}

static int escape(struct tpl *t, struct str s, struct value *out)
{
    struct buf b = str_buf(t);
    int rc = tpl_spend(t, s.n * 4);
    if (rc < 0) return rc;
    for (size_t i = 0; i < s.n; i++) {
        static const char special[] = "&<>\"'";
        static const char *const name[] = { "&amp;", "&lt;", "&gt;", "&#34;", "&#39;" };
        const char *p = s.p[i] ? strchr(special, s.p[i]) : NULL;
        if (p) buf_puts(&b, name[p - special]);
        else buf_putc(&b, s.p[i]);
    }
    return str_take(t, &b, out);
}

FILTER(f_forceescape)
{
    (void)c;
    struct str s;
    int rc = v_text(t, v, &s);
    if (rc == 0) rc = escape(t, s, out);
    if (rc == 0) out->flag = STR_MARKUP;
    return rc;
}

FILTER(f_escape)
{
    if (v->type != V_STR || v->flag != STR_MARKUP) return f_forceescape(t, v, c, out);
    *out = *v;
    return 0;
}

static int text_case(struct tpl *t, const struct value *v, char how, struct value *out)
{
    struct str s;
    uint8_t flag = v->type == V_STR ? v->flag : STR_PLAIN;
    int rc = v_text(t, v, &s);
    if (rc == 0) rc = str_case(t, s, how, out);
    if (rc == 0) out->flag = flag;
    return rc;
}
FILTER(f_lower) { (void)c; return text_case(t, v, 'l', out); }
FILTER(f_upper) { (void)c; return text_case(t, v, 'u', out); }
FILTER(f_capitalize) { (void)c; return text_case(t, v, 'c', out); }

/* Words begin after white space and -({[<, unlike in the method of the same name. */
FILTER(f_title)
{
    (void)c;
    struct str s;
    struct buf b = str_buf(t);
    bool begin = true;
    int rc = v_text(t, v, &s);
    if (rc == 0) rc = tpl_spend(t, s.n * 10);
    for (size_t i = 0, n; rc == 0 && i < s.n; i += n) {
        n = str_step(s, i);
        bool upper = begin;
        uint32_t ch = str_char(s, i), to = begin ? char_upper(ch) : char_lower(ch);
        begin = char_is_space(ch) || (ch < 128 && strchr("-({[<", (int)ch));
        if (to == ch && ch != 0xdf) buf_put(&b, s.p + i, n);
        else if (upper) put_upper(&b, ch, false);
        else put_char(&b, to);
    }
    if (rc == 0) return str_take(t, &b, out);
    buf_release(&b);
    return rc;
}

FILTER(f_trim)
{
    struct str s, chars;
    bool given = c->a[0] && c->a[0]->type != V_NONE;
    uint8_t flag = v->type == V_STR ? v->flag : STR_PLAIN;
    int rc = v_text(t, v, &s);
    if (rc == 0 && given) rc = v_str_arg(t, c->a[0], &chars);
    if (rc == 0 && given) rc = str_trimmed(t, s.n / 8, chars.n);
    if (rc < 0) return rc;
    *out = v_str(str_trim(s, given ? &chars : NULL, 3));
    out->flag = flag;
    return str_trimmed(t, s.n - out->s.n, given ? chars.n : 1);
}

FILTER(f_replace)
{
    struct str s, from, to;
    int64_t count;
    int rc = v_text(t, v, &s);
    if (rc == 0) rc = v_text(t, c->a[0], &from);
    if (rc == 0) rc = v_text(t, c->a[1], &to);
    if (rc == 0) rc = v_int_arg(t, c->a[2], -1, &count);
    return rc < 0 ? rc : str_replace(t, s, from, to, count, out);
}

FILTER(f_indent)
{
    struct str s, fill;
    int64_t width = 4;
    struct value pad, lines;
    int rc = v_str_arg(t, v, &s);
    if (rc == 0 && c->a[0] && c->a[0]->type == V_STR) pad = *c->a[0];
    else {
        if (rc == 0) rc = v_int_arg(t, c->a[0], 4, &width);
        if (rc == 0) rc = str_pad(t, (struct str){ "", 0 }, width, STR(" "), '<', &pad);
    }
    if (rc == 0) rc = str_concat(t, s, STR("\n"), &lines);
    if (rc == 0) rc = str_lines(t, lines.s, false, &lines);
    if (rc < 0) return rc;
    fill = pad.s;
    struct buf b = str_buf(t);
    for (size_t i = 0; rc == 0 && i < lines.list->n; i++) {
        struct str line = lines.list->at[i].s;
        if (i) buf_putc(&b, '\n');
        if (i ? line.n || truth(c->a[2]) : truth(c->a[1])) {
            buf_put(&b, fill.p, fill.n);
            rc = tpl_spend(t, fill.n);
        }
        buf_put(&b, line.p, line.n);
    }
    if (rc == 0) return str_take(t, &b, out);
    buf_release(&b);
    return rc;
}

FILTER(f_truncate)
{
    struct str s = STR(""), end = STR("...");
    int64_t length, leeway;
    int rc = v_int_arg(t, c->a[0], 255, &length);
    if (rc == 0) rc = v_int_arg(t, c->a[3], 5, &leeway);
    if (rc == 0 && c->a[2]) rc = v_str_arg(t, c->a[2], &end);
    if (rc == 0 && (v->type == V_UNDEF || (v->type == V_DICT && (int64_t)v->dict->n <= length + leeway) ||
                    ((v->type == V_LIST || v->type == V_TUPLE) && (int64_t)v->list->n <= length + leeway))) {
        *out = *v;                     /* short enough, whatever it is */
        return 0;
    }
    if (rc == 0) rc = v_str_arg(t, v, &s);
    if (rc == 0) rc = tpl_spend(t, s.n);
    if (rc < 0) return rc;
    int64_t tail = (int64_t)str_length(end), n = (int64_t)str_length(s);
    if (length < tail || leeway < 0 || length > INT32_MAX || leeway > INT32_MAX)
        return tpl_fail(t, ERR_FORMAT, "truncate: unusable length or leeway");
    *out = v_str(s);
    if (n <= length + leeway) return 0;
    s.n = str_offset(s, (size_t)(length - tail));
    if (!truth(c->a[1])) {
        size_t at = s.n;
        while (at > 0 && s.p[at - 1] != ' ') at--;
        if (at > 0) s.n = at - 1;
    }
    return str_concat(t, s, end, out);
}

FILTER(f_wordcount)
{
    (void)c;
    struct str s;
    int64_t n = 0;
    bool in = false;
    int rc = v_text(t, v, &s);
    for (size_t i = 0; rc == 0 && i < s.n; i += str_step(s, i)) {
        uint32_t ch = str_char(s, i);
        bool word = ch == '_' || (char_class(ch) & (UNI_L | UNI_N));
        n += word && !in;
        in = word;
    }
    *out = v_int(n);
    return rc < 0 ? rc : tpl_spend(t, s.n * 10);
}

FILTER(f_center)
{
    struct str s;
    int64_t width;
    int rc = v_text(t, v, &s);
    if (rc == 0) rc = v_int_arg(t, c->a[0], 80, &width);
    return rc < 0 ? rc : str_pad(t, s, width, STR(" "), 'c', out);
}

FILTER(f_format)
{
    struct str s;
    struct value args;
    int rc = v_text(t, v, &s);
    if (rc == 0 && c->n && c->n_kw) rc = tpl_fail(t, ERR_FORMAT, "format takes values or names, not both");
    if (rc == 0) rc = c->n_kw ? v_dict(t, V_DICT, &args) : v_list(t, V_TUPLE, c->n, &args);
    for (size_t i = 0; rc == 0 && i < c->n_kw; i++) {
        struct value key = v_str(c->kw[i].name);
        rc = v_dict_put(t, args.dict, &key, &c->kw[i].v);
    }
    for (size_t i = 0; rc == 0 && !c->n_kw && i < c->n; i++) args.list->at[args.list->n++] = c->pos[i];
    return rc < 0 ? rc : str_percent(t, s, &args, out);
}

FILTER(f_default)
{
    bool missing = v->type == V_UNDEF || (truth(c->a[1]) && !v_true(v));
    *out = !missing ? *v : c->a[0] ? *c->a[0] : v_str(STR(""));
    return tpl_spend(t, 0);
}

FILTER(f_attr)
{
    struct str name;
    int rc = v_str_arg(t, c->a[0], &name);
    return rc < 0 ? rc : tpl_attr(t, v, name, out);
}

static const struct filter filters[] = {
    { "abs", "", f_abs }, { "attr", "name", f_attr }, { "batch", "linecount|fill_with", f_batch },
    { "capitalize", "", f_capitalize }, { "center", "|width", f_center }, { "count", "", f_length },
    { "d", "|default_value boolean", f_default }, { "default", "|default_value boolean", f_default },
    { "dictsort", "|case_sensitive by reverse", f_dictsort }, { "e", "", f_escape }, { "escape", "", f_escape },
    { "first", "", f_first }, { "float", "|default", f_float }, { "forceescape", "", f_forceescape },
    { "format", "*", f_format }, { "groupby", "attribute|default case_sensitive", f_groupby },
    { "indent", "|width first blank", f_indent }, { "int", "|default base", f_int }, { "items", "", f_items },
    { "join", "|d attribute", f_join }, { "last", "", f_last }, { "length", "", f_length }, { "list", "", f_list },
    { "lower", "", f_lower }, { "map", "*", f_map }, { "max", "|case_sensitive attribute", f_max },
    { "min", "|case_sensitive attribute", f_min }, { "reject", "*", f_reject }, { "rejectattr", "*", f_rejectattr },
    { "replace", "old new|count", f_replace }, { "reverse", "", f_reverse }, { "round", "|precision method", f_round },
    { "safe", "", f_safe }, { "select", "*", f_select }, { "selectattr", "*", f_selectattr },
    { "slice", "slices|fill_with", f_slice }, { "sort", "|reverse case_sensitive attribute", f_sort },
    { "string", "", f_string }, { "sum", "|attribute start", f_sum }, { "title", "", f_title },
    { "tojson", "|ensure_ascii indent separators sort_keys", v_json }, { "trim", "|chars", f_trim },
    { "truncate", "|length killwords end leeway", f_truncate }, { "unique", "|case_sensitive attribute", f_unique },
    { "upper", "", f_upper }, { "wordcount", "", f_wordcount },
};

bool tpl_has_filter(struct str name)
{
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (str_same(name, filters[i].name)) return true;
    return false;
}

int tpl_filter(struct tpl *t, struct str name, const struct value *on, struct call *c, struct value *out)
{
    struct value v = *on;                        /* out may be the same place */
    int rc = tpl_spend(t, 0);
    for (size_t i = 0; rc == 0 && i < sizeof filters / sizeof *filters; i++) {
        if (!str_same(name, filters[i].name)) continue;
        if ((rc = tpl_enter(t)) < 0) return rc;      /* map can nest */
        rc = tpl_bind(t, filters[i].name, filters[i].params, c);
        if (rc == 0) rc = filters[i].fn(t, &v, c, out);
        t->depth--;
        return rc;
    }
    return rc < 0 ? rc : tpl_fail(t, ERR_FORMAT, "no filter is named '%.*s'", STR_ARG(name));
}
