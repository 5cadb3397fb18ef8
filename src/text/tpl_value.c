#include <string.h>

#include "text/tokenizer.h"
#include "text/tpl.h"

struct value v_none(void) { return (struct value){ .type = V_NONE }; }
struct value v_bool(bool b) { return (struct value){ .type = V_BOOL, .b = b }; }
struct value v_int(int64_t i) { return (struct value){ .type = V_INT, .i = i }; }
struct value v_float(double f) { return (struct value){ .type = V_FLOAT, .f = f }; }
struct value v_str(struct str s) { return (struct value){ .type = V_STR, .s = s }; }
struct value v_undef(struct str name) { return (struct value){ .type = V_UNDEF, .flag = UNDEF_PLAIN, .s = name }; }

bool v_true(const struct value *v)
{
    switch ((enum vtype)v->type) {
    case V_UNDEF:
    case V_NONE: return false;
    case V_BOOL: return v->b;
    case V_INT: return v->i != 0;
    case V_FLOAT: return v->f != 0;
    case V_STR: return !str_empty(v->s);
    case V_LIST:
    case V_TUPLE: return v->list->n != 0;
    case V_DICT: return v->dict->n != 0;
    default: return true;
    }
}

bool v_number(const struct value *v) { return v->type == V_BOOL || v->type == V_INT || v->type == V_FLOAT; }

double v_double(const struct value *v)
{
    return v->type == V_FLOAT ? v->f : v->type == V_INT ? (double)v->i : v->type == V_BOOL ? (double)v->b : 0;
}

const char *v_type_name(const struct value *v)
{
    static const char *const view[] = { "list", "range", "dict_keys", "dict_values", "dict_items" };
    static const char *const name[] = {
        "undefined", "NoneType", "bool", "int", "float", "str", "list", "tuple", "dict", "namespace", "generator",
        "function", "macro", "method", "loop", "cycler", "joiner",
    };
    return v->type == V_LIST && v->list ? view[v->list->view] : name[v->type];
}

int v_undefined_error(struct tpl *t, const struct value *v)
{
    if (v->flag == UNDEF_MESSAGE) return tpl_fail(t, ERR_FORMAT, "%.*s", STR_ARG(v->s));
    if (v->flag == UNDEF_PLAIN) return tpl_fail(t, ERR_FORMAT, "'%.*s' is undefined", STR_ARG(v->s));
    struct value holder = { .type = v->holder };
    if (v->flag == UNDEF_UNSAFE)
        return tpl_fail(t, ERR_FORMAT, "access to attribute '%.*s' of '%s' object is unsafe", STR_ARG(v->s),
                        v_type_name(&holder));
    return tpl_fail(t, ERR_FORMAT, "'%s object' has no attribute '%.*s'", v_type_name(&holder), STR_ARG(v->s));
}

static int failed(const struct tpl *t) { return t->err->code; }

int v_list(struct tpl *t, enum vtype type, size_t cap, struct value *out)
{
    struct list *l = tpl_new(t, 1, sizeof *l);
    if (!l) return failed(t);
    if (cap && !(l->at = tpl_new(t, cap, sizeof *l->at))) return failed(t);
    l->cap = cap;
    *out = (struct value){ .type = (uint8_t)type, .list = l };
    return 0;
}

bool v_plain_list(const struct value *v) { return v->type == V_TUPLE || (v->type == V_LIST && !v->list->view); }

int v_append(struct tpl *t, struct list *l, const struct value *v)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? l->cap * 2 : 4;
        struct value *at = tpl_new(t, cap, sizeof *at);
        if (!at) return failed(t);
        if (l->n) memcpy(at, l->at, l->n * sizeof *at);
        l->at = at;
        l->cap = cap;
    }
    l->at[l->n++] = *v;
    return 0;
}

int v_pair(struct tpl *t, const struct value *a, const struct value *b, struct value *out)
{
    struct value first = *a, second = *b;
    int rc = v_list(t, V_TUPLE, 2, out);
    if (rc < 0) return rc;
    out->list->at[0] = first;
    out->list->at[1] = second;
    out->list->n = 2;
    return 0;
}

int v_dict(struct tpl *t, enum vtype type, struct value *out)
{
    struct dict *d = tpl_new(t, 1, sizeof *d);
    if (!d) return failed(t);
    *out = (struct value){ .type = (uint8_t)type, .dict = d };
    return 0;
}

int v_hashable(struct tpl *t, const struct value *key)
{
    if (key->type == V_LIST || key->type == V_DICT)
        return tpl_fail(t, ERR_FORMAT, "unhashable type: '%s'", v_type_name(key));
    return 0;
}

struct value *v_dict_find(const struct dict *d, struct str key)
{
    for (size_t i = 0; i < d->n; i++)
        if (d->at[i].key.type == V_STR && str_eq(d->at[i].key.s, key)) return &d->at[i].val;
    return NULL;
}

struct value *v_dict_get(struct tpl *t, const struct dict *d, const struct value *key, int *rc)
{
    *rc = v_hashable(t, key);
    if (*rc == 0) *rc = tpl_spend(t, d->n * 8);
    if (*rc < 0) return NULL;
    if (key->type == V_STR) return v_dict_find(d, key->s);
    for (size_t i = 0; i < d->n; i++) {
        bool same;
        *rc = tpl_equal(t, &d->at[i].key, key, &same);
        if (*rc < 0) return NULL;
        if (same) return &d->at[i].val;
    }
    return NULL;
}

int v_dict_put(struct tpl *t, struct dict *d, const struct value *key, const struct value *v)
{
    int rc;
    struct value *old = v_dict_get(t, d, key, &rc);
    if (rc < 0) return rc;
    if (old) {
        *old = *v;
        return 0;
    }
    if (d->n == d->cap) {
        size_t cap = d->cap ? d->cap * 2 : 4;
        struct pair *at = tpl_new(t, cap, sizeof *at);
        if (!at) return failed(t);
        if (d->n) memcpy(at, d->at, d->n * sizeof *at);
        d->at = at;
        d->cap = cap;
    }
    d->at[d->n++] = (struct pair){ *key, *v };
    return 0;
}

int v_gen(struct tpl *t, struct list *from, const char *what, struct value *out)
{
    struct gen *g = tpl_new(t, 1, sizeof *g);
    if (!g) return failed(t);
    g->from = from;
    g->what = what;
    *out = (struct value){ .type = V_GEN, .gen = g };
    return 0;
}

static int chars_of(struct tpl *t, struct str s, struct list *l)
{
    int rc = tpl_spend(t, s.n * 8);
    for (size_t i = 0, n; rc == 0 && !str_empty(s) && i < s.n; i += n) {
        n = str_step(s, i);
        struct value c = v_str((struct str){ s.p + i, n });
        rc = v_append(t, l, &c);
    }
    return rc;
}

int v_items(struct tpl *t, const struct value *v, struct list **out)
{
    struct value l = { 0 };
    int rc;
    switch ((enum vtype)v->type) {
    case V_LIST:
    case V_TUPLE: *out = v->list; return 0;
    case V_UNDEF:
        rc = v_list(t, V_LIST, 0, &l);
        break;
    case V_STR:
        if ((rc = v_list(t, V_LIST, 0, &l)) < 0) return rc;
        rc = chars_of(t, v->s, l.list);
        break;
    case V_DICT:
        if ((rc = v_list(t, V_LIST, v->dict->n, &l)) < 0 || (rc = tpl_spend(t, v->dict->n * 8)) < 0) return rc;
        for (size_t i = 0; i < v->dict->n; i++) l.list->at[l.list->n++] = v->dict->at[i].key;
        break;
    case V_GEN: {
        struct gen *g = v->gen;
        size_t left = g->from->n - g->pos;
        if ((rc = v_list(t, V_LIST, left, &l)) < 0 || (rc = tpl_spend(t, left * 8)) < 0) return rc;
        if (left) memcpy(l.list->at, g->from->at + g->pos, left * sizeof *l.list->at);
        l.list->n = left;
        g->pos = g->from->n;
        break;
    }
    default: return tpl_fail(t, ERR_FORMAT, "'%s' object is not iterable", v_type_name(v));
    }
    if (rc == 0) *out = l.list;
    return rc;
}

static int marked(struct tpl *t, const char *s, size_t n, const struct template_guard *g, struct value *out)
{
    *out = v_str((struct str){ s, n });
    if (!g || !g->mark || !n) return 0;
    struct buf b = str_buf(t);
    if (!g->mark(g->arg, s, n, &b)) {
        buf_release(&b);
        return 0;
    }
    return str_take(t, &b, out);
}

int v_from_json(struct tpl *t, const struct json *j, const struct template_guard *g, struct value *out)
{
    size_t n;
    const char *s;
    int rc = 0;
    switch (json_type(j)) {
    case JSON_NULL: *out = v_none(); return 0;
    case JSON_BOOL: *out = v_bool(json_bool(j)); return 0;
    case JSON_INT: *out = v_int(json_int(j)); return 0;
    case JSON_REAL: *out = v_float(json_num(j)); return 0;
    case JSON_STRING: s = json_str(j, &n); return marked(t, s, n, g, out);
    default: break;
    }
    if ((rc = tpl_enter(t)) < 0) return rc;
    if (json_type(j) == JSON_ARRAY) {
        rc = v_list(t, V_LIST, json_len(j), out);
        for (size_t i = 0; rc == 0 && i < json_len(j); i++)
            rc = v_from_json(t, json_at(j, i), g, &out->list->at[out->list->n++]);
    } else {
        struct pair *at = NULL;
        struct json *v;
        void *it = NULL;
        n = json_len(j);
        rc = v_dict(t, V_DICT, out);
        if (rc == 0 && n && !(at = tpl_new(t, n, sizeof *at))) rc = failed(t);
        for (size_t i = 0; rc == 0 && i < n && json_next(j, &it, &s, &v); i++) {
            rc = marked(t, s, strlen(s), g, &at[i].key);
            if (rc == 0) rc = v_from_json(t, v, g, &at[i].val);
        }
        if (rc == 0) *out->dict = (struct dict){ at, n, n };
    }
    t->depth--;
    return rc;
}

int v_int_arg(struct tpl *t, const struct value *v, int64_t missing, int64_t *out)
{
    *out = missing;
    if (!v || v->type == V_NONE) return 0;
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (v->type != V_INT && v->type != V_BOOL)
        return tpl_fail(t, ERR_FORMAT, "expected an integer, got %s", v_type_name(v));
    *out = v->type == V_INT ? v->i : v->b;
    return 0;
}

int v_str_arg(struct tpl *t, const struct value *v, struct str *out)
{
    if (v->type == V_UNDEF) return v_undefined_error(t, v);
    if (v->type != V_STR) return tpl_fail(t, ERR_FORMAT, "expected a string, got %s", v_type_name(v));
    *out = v->s;
    return 0;
}
