/* tpl_eval.c - expressions and calls. */
#include <string.h>

#include "base/os.h"
#include "text/tpl.h"

int tpl_fail(struct tpl *t, int code, const char *fmt, ...)
{
    char what[384];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(what, sizeof what, fmt, ap);
    va_end(ap);
    if (!t->at) return err_set(t->err, code, "template: %s", what);
    return err_set(t->err, code, "template: line %u, column %u: %s", t->at->line, t->at->col, what);
}

/* Rarely, so that most templates never ask for the time. */
static int look_at_clock(struct tpl *t)
{
    enum { EVERY = 4096 };
    t->look_at = t->steps > EVERY ? t->steps - EVERY : 0;
    if ((os_thread_ns() - t->start_ns) / 1000000 < t->lim.ms) return 0;
    t->steps = t->look_at = 0;
    return tpl_fail(t, ERR_LIMIT, "it took more than %u ms", t->lim.ms);
}

int tpl_spend(struct tpl *t, size_t work)
{
    uint64_t cost = 1 + work / 64;
    if (cost <= t->steps) {
        t->steps -= cost;
        return t->steps < t->look_at ? look_at_clock(t) : 0;
    }
    t->steps = 0;
    return tpl_fail(t, ERR_LIMIT, "more than %llu steps", (unsigned long long)t->lim.steps);
}

int tpl_enter(struct tpl *t)
{
    if (t->depth >= t->lim.depth * 4) return tpl_fail(t, ERR_LIMIT, "more than %u levels of nesting", t->lim.depth * 4);
    t->depth++;
    return 0;
}

void *tpl_new(struct tpl *t, size_t n, size_t size)
{
    void *p = arena_push(&t->mem, n, size);
    if (p) return p;
    size_t left = t->mem.limit - t->mem.total;
    if (size && n <= left / size) tpl_fail(t, ERR_NOMEM, "out of memory");
    else tpl_fail(t, ERR_LIMIT, "more than %zu bytes of values", t->lim.memory);
    return NULL;
}

/* Matches arguments to the parameters' names: c->a[i] is the i-th, NULL when it is not given. */
int tpl_bind(struct tpl *t, const char *name, const char *params, struct call *c)
{
    if (*params == '*') return 0;
    size_t i = 0, used = 0;
    bool optional = false;
    memset(c->a, 0, sizeof c->a);
    for (const char *p = params; *p; i++) {
        if (*p == '|') optional = true, p++;
        size_t n = strcspn(p, " |");
        if (!n) break;
        struct str word = { p, n };
        if (i < c->n) c->a[i] = &c->pos[i];
        for (size_t k = 0; k < c->n_kw; k++)
            if (c->kw[k].name.n == n && memcmp(c->kw[k].name.p, p, n) == 0) {
                if (c->a[i]) return tpl_fail(t, ERR_FORMAT, "%s: argument %.*s is given twice", name, STR_ARG(word));
                c->a[i] = &c->kw[k].v;
                used++;
            }
        if (!c->a[i] && !optional) return tpl_fail(t, ERR_FORMAT, "%s: argument %.*s is missing", name, STR_ARG(word));
        p += n;
        if (*p == ' ') p++;
    }
    if (c->n > i) return tpl_fail(t, ERR_FORMAT, "%s: too many arguments", name);
    if (used < c->n_kw) return tpl_fail(t, ERR_FORMAT, "%s: unknown argument name", name);
    return 0;
}

static int spread(struct tpl *t, const struct node *arg, struct call *c, size_t *cap)
{
    struct value v;
    struct list *l;
    int rc = tpl_eval(t, arg->a, &v);
    if (rc == 0) rc = v_items(t, &v, &l);
    if (rc < 0) return rc;
    if (l->n > *cap - c->n) {
        struct value *pos = tpl_new(t, *cap + l->n, sizeof *pos);
        if (!pos) return t->err->code;
        if (c->n) memcpy(pos, c->pos, c->n * sizeof *pos);
        c->pos = pos;
        *cap += l->n;
    }
    if (l->n) memcpy(c->pos + c->n, l->at, l->n * sizeof *l->at);
    c->n += l->n;
    return 0;
}

static int spread_named(struct tpl *t, const struct node *arg, struct call *c, size_t cap)
{
    struct value v;
    int rc = tpl_eval(t, arg->a, &v);
    if (rc < 0) return rc;
    if (v.type != V_DICT) return tpl_fail(t, ERR_FORMAT, "the value after ** must be a mapping");
    struct kwarg *kw = tpl_new(t, cap + v.dict->n, sizeof *kw);
    if (!kw) return t->err->code;
    if (c->n_kw) memcpy(kw, c->kw, c->n_kw * sizeof *kw);
    c->kw = kw;
    for (size_t i = 0; i < v.dict->n; i++) {
        if (v.dict->at[i].key.type != V_STR) return tpl_fail(t, ERR_FORMAT, "keywords must be strings");
        c->kw[c->n_kw++] = (struct kwarg){ v.dict->at[i].key.s, v.dict->at[i].val };
    }
    return 0;
}

int tpl_args(struct tpl *t, const struct node *e, struct call *c)
{
    *c = (struct call){ 0 };
    if (!e->n) return 0;
    size_t cap = e->n, named = e->n + 1;      /* one more: a call block adds its caller */
    c->pos = tpl_new(t, cap, sizeof *c->pos);
    if (!c->pos) return t->err->code;
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < e->n; i++) {
        const struct node *arg = e->list[i];
        if (arg->kind == E_STAR) {
            rc = spread(t, arg, c, &cap);
        } else if (arg->kind == E_STARSTAR) {
            rc = spread_named(t, arg, c, c->n_kw + named);
        } else if (arg->kind == E_NAMED) {
            if (!c->kw && !(c->kw = tpl_new(t, named, sizeof *c->kw))) return t->err->code;
            c->kw[c->n_kw].name = arg->text;
            rc = tpl_eval(t, arg->a, &c->kw[c->n_kw].v);
            c->n_kw++;
        } else {
            if (c->n == cap) {
                cap += e->n;
                struct value *pos = tpl_new(t, cap, sizeof *pos);
                if (!pos) return t->err->code;
                memcpy(pos, c->pos, c->n * sizeof *pos);
                c->pos = pos;
            }
            rc = tpl_eval(t, arg, &c->pos[c->n]);
            c->n++;
        }
    }
    return rc;
}

int tpl_call(struct tpl *t, const struct value *f, struct call *c, struct value *out)
{
    int rc;
    switch ((enum vtype)f->type) {
    case V_UNDEF: return v_undefined_error(t, f);
    case V_FUNC:
        rc = tpl_bind(t, f->func->name, f->func->params, c);
        return rc < 0 ? rc : f->func->fn(t, NULL, c, out);
    case V_BOUND: {
        const struct bound *b = f->bound;
        rc = tpl_bind(t, b->method->name, b->method->params, c);
        return rc < 0 ? rc : b->method->fn(t, &b->self, c, out);
    }
    case V_MACRO: return tpl_call_macro(t, f->macro, c, out);
    case V_LOOP:
        if (c->n != 1 || c->n_kw) return tpl_fail(t, ERR_FORMAT, "loop() takes one argument");
        return tpl_loop_again(t, f->loop, &c->pos[0], out);
    case V_JOINER:
        *out = v_str(f->joiner->used ? f->joiner->sep : STR(""));
        f->joiner->used = true;
        return 0;
    default: return tpl_fail(t, ERR_FORMAT, "'%s' object is not callable", v_type_name(f));
    }
}

static int eval_call(struct tpl *t, const struct node *e, struct value *out)
{
    struct value f;
    struct call c;
    int rc = tpl_eval(t, e->a, &f);
    if (rc == 0) rc = tpl_args(t, e, &c);
    t->at = e->a;
    return rc < 0 ? rc : tpl_call(t, &f, &c, out);
}

static int eval_filter(struct tpl *t, const struct node *e, struct value *out)
{
    struct value on = t->block;
    struct call c;
    int rc = e->a ? tpl_eval(t, e->a, &on) : 0;
    if (rc == 0) rc = tpl_args(t, e, &c);
    t->at = e;
    return rc < 0 ? rc : tpl_filter(t, e->text, &on, &c, out);
}

static int eval_test(struct tpl *t, const struct node *e, struct value *out)
{
    struct value on;
    struct call c;
    bool yes = false;
    int rc = tpl_eval(t, e->a, &on);
    if (rc == 0) rc = tpl_args(t, e, &c);
    t->at = e;
    if (rc == 0) rc = tpl_test(t, e->text, &on, &c, &yes);
    *out = v_bool(yes);
    return rc;
}

static int eval_chain(struct tpl *t, const struct node *e, struct value *out)
{
    struct value right;
    int rc = tpl_eval(t, e->list[0], out);
    for (uint32_t i = 1; rc == 0 && i < e->n; i++) {
        rc = tpl_eval(t, e->list[i], &right);
        t->at = e;
        if (rc == 0) rc = tpl_binary(t, (enum tok)e->ops[i], out, &right, out);
    }
    return rc;
}

static int eval_logic(struct tpl *t, const struct node *e, struct value *out)
{
    int rc = tpl_eval(t, e->list[0], out);
    for (uint32_t i = 1; rc == 0 && i < e->n && v_true(out) == (e->kind == E_AND); i++) rc = tpl_eval(t, e->list[i], out);
    return rc;
}

static int eval_compare(struct tpl *t, const struct node *e, struct value *out)
{
    struct value left, right;
    bool yes = true;
    int rc = tpl_eval(t, e->list[0], &left);
    for (uint32_t i = 1; rc == 0 && yes && i < e->n; i++) {
        rc = tpl_eval(t, e->list[i], &right);
        t->at = e;
        if (rc == 0) rc = tpl_compare(t, (enum tok)e->ops[i], &left, &right, &yes);
        left = right;
    }
    *out = v_bool(yes);
    return rc;
}

static int eval_sequence(struct tpl *t, const struct node *e, struct value *out)
{
    struct value v;
    int rc = v_list(t, e->kind == E_LIST ? V_LIST : V_TUPLE, e->n, &v);
    for (uint32_t i = 0; rc == 0 && i < e->n; i++) rc = tpl_eval(t, e->list[i], &v.list->at[v.list->n++]);
    *out = v;
    return rc;
}

static int eval_dict(struct tpl *t, const struct node *e, struct value *out)
{
    struct value d, key, val;
    int rc = v_dict(t, V_DICT, &d);
    for (uint32_t i = 0; rc == 0 && i + 1 < e->n; i += 2) {
        rc = tpl_eval(t, e->list[i], &key);
        if (rc == 0) rc = tpl_eval(t, e->list[i + 1], &val);
        t->at = e;
        if (rc == 0) rc = v_dict_put(t, d.dict, &key, &val);
    }
    *out = d;
    return rc;
}

static int eval_slice(struct tpl *t, const struct node *e, struct value *out)
{
    struct value on, part[3];
    int rc = tpl_eval(t, e->a, &on);
    for (int i = 0; rc == 0 && i < 3; i++) rc = tpl_eval(t, e->list[i], &part[i]);
    t->at = e;
    return rc < 0 ? rc : tpl_slice(t, &on, part, out);
}

static int eval_sign(struct tpl *t, const struct node *e, struct value *out)
{
    struct value v, zero = v_int(0);
    int rc = tpl_eval(t, e->a, &v);
    t->at = e;
    if (rc < 0) return rc;
    if (v.type == V_UNDEF) return v_undefined_error(t, &v);
    if (!v_number(&v)) return tpl_fail(t, ERR_FORMAT, "bad operand type for a sign: '%s'", v_type_name(&v));
    if (e->kind == E_NEG && v.type == V_FLOAT) {
        *out = v_float(-v.f);
        return 0;
    }
    return tpl_binary(t, e->kind == E_NEG ? T_SUB : T_ADD, &zero, &v, out);
}

static int eval_cond(struct tpl *t, const struct node *e, struct value *out)
{
    struct value cond;
    int rc = tpl_eval(t, e->b, &cond);
    if (rc < 0) return rc;
    if (v_true(&cond)) return tpl_eval(t, e->a, out);
    if (e->c) return tpl_eval(t, e->c, out);
    *out = v_undef(STR("the inline if was false and has no else"));
    out->flag = UNDEF_MESSAGE;
    return 0;
}

static int eval_member(struct tpl *t, const struct node *e, struct value *out)
{
    struct value on, key;
    int rc = tpl_eval(t, e->a, &on);
    if (rc == 0 && e->kind == E_ITEM) rc = tpl_eval(t, e->b, &key);
    t->at = e;
    if (rc < 0) return rc;
    return e->kind == E_ITEM ? tpl_item(t, &on, &key, out) : tpl_attr(t, &on, e->text, out);
}

static void eval_name(struct tpl *t, const struct node *e, struct value *out)
{
    if (tpl_find(t, e->text, out)) return;
    const struct global *g = tpl_global(e->text);
    *out = g ? (struct value){ .type = V_FUNC, .func = g } : v_undef(e->text);
}

static int eval_node(struct tpl *t, const struct node *e, struct value *out)
{
    int rc;
    switch ((enum node_kind)e->kind) {
    case E_CONST: *out = e->val; return 0;
    case E_NAME: eval_name(t, e, out); return 0;
    case E_LIST:
    case E_TUPLE: return eval_sequence(t, e, out);
    case E_DICT: return eval_dict(t, e, out);
    case E_ATTR:
    case E_ITEM: return eval_member(t, e, out);
    case E_SLICE: return eval_slice(t, e, out);
    case E_CALL: return eval_call(t, e, out);
    case E_FILTER: return eval_filter(t, e, out);
    case E_TEST: return eval_test(t, e, out);
    case E_NEG:
    case E_POS: return eval_sign(t, e, out);
    case E_NOT:
        rc = tpl_eval(t, e->a, out);
        *out = v_bool(rc == 0 && !v_true(out));
        return rc;
    case E_CHAIN: return eval_chain(t, e, out);
    case E_AND:
    case E_OR: return eval_logic(t, e, out);
    case E_COMPARE: return eval_compare(t, e, out);
    case E_COND: return eval_cond(t, e, out);
    default: return tpl_fail(t, ERR_FORMAT, "not an expression");
    }
}

int tpl_eval(struct tpl *t, const struct node *e, struct value *out)
{
    t->at = e;
    *out = v_none();
    int rc = tpl_enter(t);
    if (rc < 0) return rc;
    rc = tpl_spend(t, 0);
    if (rc == 0) rc = eval_node(t, e, out);
    t->depth--;
    return rc;
}
