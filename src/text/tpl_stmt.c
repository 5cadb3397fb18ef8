/* tpl_stmt.c - statements, scopes, loops, macros. */
#include <string.h>

#include "text/tpl.h"

/* ---- scopes ---- */

struct scope *tpl_push_scope(struct tpl *t, struct scope *parent)
{
    struct scope *s = t->free_scopes;
    if (s) t->free_scopes = s->parent;
    else if (!(s = tpl_new(t, 1, sizeof *s))) return NULL;
    *s = (struct scope){ .parent = parent };
    t->scope = s;
    return s;
}

void tpl_pop_scope(struct tpl *t, struct scope *s)
{
    t->scope = s->parent;
    if (s->kept) return;
    while (s->vars) {
        struct var *v = s->vars;
        s->vars = v->next;
        v->next = t->free_vars;
        t->free_vars = v;
    }
    s->parent = t->free_scopes;
    t->free_scopes = s;
}

/* A macro or loop that refers to a scope may outlive it. */
static struct scope *keep_scope(struct tpl *t)
{
    for (struct scope *s = t->scope; s && !s->kept; s = s->parent) s->kept = true;
    return t->scope;
}

static struct var *find_var(struct scope *s, struct str name)
{
    for (struct var *v = s->vars; v; v = v->next)
        if (v->name.n == name.n && memcmp(v->name.p, name.p, name.n) == 0) return v;
    return NULL;
}

int tpl_set(struct tpl *t, struct scope *in, struct str name, const struct value *v)
{
    struct var *var = find_var(in, name);
    if (!var) {
        var = t->free_vars;
        if (var) t->free_vars = var->next;
        else if (!(var = tpl_new(t, 1, sizeof *var))) return t->err->code;
        var->name = name;
        var->next = in->vars;
        in->vars = var;
    }
    var->v = *v;
    return 0;
}

bool tpl_find(const struct tpl *t, struct str name, struct value *out)
{
    for (struct scope *s = t->scope; s; s = s->parent) {
        struct var *v = find_var(s, name);
        if (!v) continue;
        *out = v->v;
        return true;
    }
    return false;
}

static int assign(struct tpl *t, const struct node *target, const struct value *v)
{
    int rc = tpl_spend(t, 0);
    t->at = target;
    if (rc < 0 || target->kind == E_NAME) return rc < 0 ? rc : tpl_set(t, t->scope, target->text, v);
    if (target->kind == E_ATTR) {
        struct value ns, key = v_str(target->text);
        if (!tpl_find(t, target->a->text, &ns) || ns.type != V_NAMESPACE)
            return tpl_fail(t, ERR_FORMAT, "cannot set a member of '%.*s': not a namespace", STR_ARG(target->a->text));
        return v_dict_put(t, ns.dict, &key, v);
    }
    struct list *l;
    if ((rc = v_items(t, v, &l)) < 0) return rc;
    if (l->n != target->n)
        return tpl_fail(t, ERR_FORMAT, "cannot unpack %zu values into %u names", l->n, target->n);
    if ((rc = tpl_enter(t)) < 0) return rc;
    for (uint32_t i = 0; rc == 0 && i < target->n; i++) rc = assign(t, target->list[i], &l->at[i]);
    t->depth--;
    return rc;
}

/* ---- captured output ---- */

/* Runs a body in a scope of its own (made by the caller) and takes what it wrote. */
static int capture(struct tpl *t, const struct node *body, struct value *out, int *flow)
{
    size_t mark = t->out->len;
    int rc = tpl_exec(t, body, flow);
    if (rc == 0) rc = str_new(t, t->out->data ? t->out->data + mark : "", t->out->len - mark, out);
    t->out->len = mark;
    return rc;
}

static int capture_block(struct tpl *t, const struct node *body, struct value *out, int *flow)
{
    struct scope *s = tpl_push_scope(t, t->scope);
    if (!s) return t->err->code;
    int rc = capture(t, body, out, flow);
    tpl_pop_scope(t, s);
    return rc;
}

static int print(struct tpl *t, const struct value *v)
{
    int rc = v_print(t, v, t->out);
    if (rc == 0 && (t->out->bad || t->out->len - t->out_start > t->lim.output))
        rc = tpl_fail_written(t, t->out, "output");
    return rc;
}

/* ---- macros ---- */

static int bind_extra(struct tpl *t, const struct macro *m, const struct call *c, struct scope *s)
{
    const struct node *def = m->def;
    int64_t uses = def->val.i;
    struct value rest, named, caller = v_undef(STR("No caller defined"));
    caller.flag = UNDEF_MESSAGE;
    if (c->n > def->n && !(uses & USES_VARARGS))
        return tpl_fail(t, ERR_FORMAT, "macro '%.*s' takes not more than %u arguments", STR_ARG(def->text), def->n);
    int rc = v_list(t, V_TUPLE, c->n > def->n ? c->n - def->n : 0, &rest);
    if (rc == 0) rc = v_dict(t, V_DICT, &named);
    for (size_t i = def->n; rc == 0 && i < c->n; i++) rest.list->at[rest.list->n++] = c->pos[i];
    for (size_t i = 0; rc == 0 && i < c->n_kw; i++) {
        struct value key = v_str(c->kw[i].name);
        bool param = false;
        for (uint32_t k = 0; k < def->n; k++) param |= str_eq(def->list[k]->text, c->kw[i].name);
        if (param) continue;
        if ((uses & USES_CALLER) && str_same(c->kw[i].name, "caller")) caller = c->kw[i].v;
        else if (uses & USES_KWARGS) rc = v_dict_put(t, named.dict, &key, &c->kw[i].v);
        else rc = tpl_fail(t, ERR_FORMAT, "macro '%.*s' takes no argument '%.*s'", STR_ARG(def->text), STR_ARG(c->kw[i].name));
    }
    if (rc == 0 && (uses & USES_CALLER)) rc = tpl_set(t, s, STR("caller"), &caller);
    if (rc == 0) rc = tpl_set(t, s, STR("varargs"), &rest);
    return rc < 0 ? rc : tpl_set(t, s, STR("kwargs"), &named);
}

static int bind_params(struct tpl *t, const struct macro *m, const struct call *c, struct scope *s)
{
    int rc = bind_extra(t, m, c, s);
    /* a default sees the parameters, not what has their names outside */
    for (uint32_t i = 0; rc == 0 && i < m->def->n; i++) {
        struct value none = v_undef(m->def->list[i]->text);
        rc = tpl_set(t, s, m->def->list[i]->text, &none);
    }
    for (uint32_t i = 0; rc == 0 && i < m->def->n; i++) {
        const struct node *param = m->def->list[i];
        struct value v = v_undef(param->text);
        bool given = i < c->n;
        if (given) v = c->pos[i];
        for (size_t k = 0; k < c->n_kw; k++)
            if (str_eq(c->kw[k].name, param->text)) {
                if (given)
                    return tpl_fail(t, ERR_FORMAT, "macro %.*s: argument %.*s is given twice", STR_ARG(m->def->text),
                                    STR_ARG(param->text));
                v = c->kw[k].v;
                given = true;
            }
        if (!given && param->a) rc = tpl_eval(t, param->a, &v);
        if (rc == 0) rc = tpl_set(t, s, param->text, &v);
    }
    return rc;
}

int tpl_call_macro(struct tpl *t, const struct macro *m, const struct call *c, struct value *out)
{
    struct scope *back = t->scope;
    int flow = 0, rc;
    if (t->calls >= t->lim.depth) return tpl_fail(t, ERR_LIMIT, "more than %u levels of calls", t->lim.depth);
    struct scope *s = tpl_push_scope(t, m->scope);
    if (!s) return t->err->code;
    t->calls++;
    rc = bind_params(t, m, c, s);
    if (rc == 0) rc = capture(t, m->def->d, out, &flow);
    t->calls--;
    tpl_pop_scope(t, s);
    t->scope = back;
    return rc;
}

int tpl_new_macro(struct tpl *t, const struct node *def, struct value *out)
{
    struct macro *m = tpl_new(t, 1, sizeof *m);
    if (!m) return t->err->code;
    *m = (struct macro){ def, keep_scope(t) };
    *out = (struct value){ .type = V_MACRO, .macro = m };
    return 0;
}

static int exec_call_block(struct tpl *t, const struct node *s)
{
    struct value f, caller, v;
    struct call c;
    int rc = tpl_eval(t, s->a->a, &f);
    if (rc == 0) rc = tpl_args(t, s->a, &c);
    if (rc == 0) rc = tpl_new_macro(t, s->b, &caller);
    if (rc < 0) return rc;
    struct kwarg *kw = tpl_new(t, c.n_kw + 1, sizeof *kw);
    if (!kw) return t->err->code;
    if (c.n_kw) memcpy(kw, c.kw, c.n_kw * sizeof *kw);
    kw[c.n_kw++] = (struct kwarg){ STR("caller"), caller };
    c.kw = kw;
    t->at = s;
    rc = tpl_call(t, &f, &c, &v);
    return rc < 0 ? rc : print(t, &v);
}

/* ---- loops ---- */

static int passes(struct tpl *t, struct loop *l, const struct value *v, bool *yes)
{
    *yes = true;
    if (!l->def->c || l->filtered) return 0;
    struct scope *back = t->scope, *s = tpl_push_scope(t, l->scope);
    if (!s) return t->err->code;
    struct value cond = v_none();
    int rc = assign(t, l->def->a, v);
    if (rc == 0) rc = tpl_eval(t, l->def->c, &cond);
    *yes = v_true(&cond);
    tpl_pop_scope(t, s);
    t->scope = back;
    return rc;
}

int tpl_loop_next(struct tpl *t, struct loop *l, struct value *out, bool *got)
{
    *got = false;
    if (l->has_after) {
        *out = l->after;
        *got = true;
        l->has_after = false;
        return 0;
    }
    while (!*got && l->next < l->items->n) {
        *out = l->items->at[l->next++];
        int rc = tpl_spend(t, 0);
        if (rc == 0) rc = passes(t, l, out, got);
        if (rc < 0) return rc;
    }
    return 0;
}

static int peek(struct tpl *t, struct loop *l)
{
    bool got = true;
    int rc = l->has_after ? 0 : tpl_loop_next(t, l, &l->after, &got);
    l->has_after = rc == 0 && got;
    return rc;
}

static int loop_length(struct tpl *t, struct loop *l)
{
    if (l->length >= 0) return 0;
    if (!l->def->c) {
        l->length = (int64_t)l->items->n;
        return 0;
    }
    struct value rest, v;
    bool ahead = l->has_after, got = true;
    struct value after = l->after;
    l->has_after = false;
    int rc = v_list(t, V_LIST, 0, &rest);
    while (rc == 0 && (rc = tpl_loop_next(t, l, &v, &got)) == 0 && got) rc = v_append(t, rest.list, &v);
    if (rc < 0) return rc;
    l->items = rest.list;
    l->next = 0;
    l->filtered = true;
    l->has_after = ahead;
    l->after = after;
    l->length = (int64_t)(rest.list->n + l->index0 + 1 + ahead);
    return 0;
}

int tpl_loop_attr(struct tpl *t, struct loop *l, struct str name, struct value *out)
{
    static const char *const member[] = {
        "index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem", "depth", "depth0",
    };
    size_t k = 0;
    while (k < sizeof member / sizeof *member && !str_same(name, member[k])) k++;
    int rc = k == 3 || k == 8 ? peek(t, l) : k >= 4 && k <= 6 ? loop_length(t, l) : 0;
    if (rc < 0) return rc;
    switch (k) {
    case 0: *out = v_int((int64_t)l->index0 + 1); break;
    case 1: *out = v_int((int64_t)l->index0); break;
    case 2: *out = v_bool(l->index0 == 0); break;
    case 3: *out = v_bool(!l->has_after); break;
    case 4: *out = v_int(l->length); break;
    case 5: *out = v_int(l->length - (int64_t)l->index0); break;
    case 6: *out = v_int(l->length - (int64_t)l->index0 - 1); break;
    case 7:
    case 8:
        *out = v_undef(k == 7 ? STR("there is no previous item") : STR("there is no next item"));
        out->flag = UNDEF_MESSAGE;
        if (k == 7 && l->index0) *out = l->before;
        if (k == 8 && l->has_after) *out = l->after;
        break;
    case 9: *out = v_int((int64_t)l->depth0 + 1); break;
    case 10: *out = v_int((int64_t)l->depth0); break;
    default: return 1;
    }
    return 0;
}

static int run_turn(struct tpl *t, struct loop *l, const struct value *item, int *flow)
{
    struct value self = { .type = V_LOOP, .loop = l };
    struct scope *s = tpl_push_scope(t, t->scope);
    if (!s) return t->err->code;
    l->before = l->current;
    l->current = *item;
    int rc = assign(t, l->def->a, item);
    if (rc == 0) rc = tpl_set(t, s, STR("loop"), &self);
    if (rc == 0) rc = tpl_exec(t, l->def->d, flow);
    tpl_pop_scope(t, s);
    return rc;
}

static int run_loop(struct tpl *t, const struct node *s, const struct value *over, size_t depth0, int *flow)
{
    struct loop *l = tpl_new(t, 1, sizeof *l);
    struct value item;
    bool got = true, any = false, done = false;
    if (!l) return t->err->code;
    *l = (struct loop){ .def = s, .scope = t->scope, .depth0 = depth0, .length = -1 };
    if (s->c || s->flag) keep_scope(t);
    int rc = v_items(t, over, &l->items);
    while (rc == 0 && (rc = tpl_loop_next(t, l, &item, &got)) == 0 && got) {
        int turn = 0;
        if (any) l->index0++;
        any = true;
        rc = run_turn(t, l, &item, &turn);
        if (turn == S_BREAK) break;
        if (!turn) done = true;
    }
    /* as in jinja2, "else" runs too when no turn came to its end */
    if (rc < 0 || done || !s->n) return rc;
    struct scope *inner = tpl_push_scope(t, t->scope);
    if (!inner) return t->err->code;
    rc = tpl_exec(t, s->list[0], flow);
    tpl_pop_scope(t, inner);
    return rc;
}

int tpl_loop_again(struct tpl *t, const struct loop *l, const struct value *items, struct value *out)
{
    if (!l->def->flag) return tpl_fail(t, ERR_FORMAT, "only a loop marked recursive can be called");
    if (t->calls >= t->lim.depth) return tpl_fail(t, ERR_LIMIT, "more than %u levels of calls", t->lim.depth);
    struct scope *back = t->scope;
    size_t mark = t->out->len;
    int flow = 0, rc = tpl_enter(t);
    if (rc < 0) return rc;
    t->calls++;
    t->scope = l->scope;
    rc = run_loop(t, l->def, items, l->depth0 + 1, &flow);
    if (rc == 0) rc = str_new(t, t->out->data ? t->out->data + mark : "", t->out->len - mark, out);
    t->out->len = mark;
    t->calls--;
    t->depth--;
    t->scope = back;
    return rc;
}

/* ---- statements ---- */

static int exec_if(struct tpl *t, const struct node *s, int *flow)
{
    struct value cond;
    for (uint32_t i = 0; i + 1 < s->n; i += 2) {
        int rc = tpl_eval(t, s->list[i], &cond);
        if (rc < 0) return rc;
        if (v_true(&cond)) return tpl_exec(t, s->list[i + 1], flow);
    }
    return s->c ? tpl_exec(t, s->c, flow) : 0;
}

/* {% set x %}...{% endset %} and {% filter f %}...{% endfilter %} */
static int exec_captured(struct tpl *t, const struct node *s, int *flow)
{
    struct value v;
    int rc = capture_block(t, s->d, &v, flow);
    if (rc < 0 || *flow) return rc;
    if (s->b) {
        t->block = v;
        rc = tpl_eval(t, s->b, &v);
    }
    if (rc < 0) return rc;
    if (s->kind == S_FILTER && v.type != V_STR)
        return tpl_fail(t, ERR_FORMAT, "a filter block must give a string, not %s", v_type_name(&v));
    return s->kind == S_FILTER ? print(t, &v) : assign(t, s->a, &v);
}

/* The values of {% with %} are evaluated outside of it. */
static int exec_scope(struct tpl *t, const struct node *s, int *flow)
{
    struct scope *outer = t->scope, *inner = tpl_push_scope(t, outer);
    struct value v;
    int rc = 0;
    if (!inner) return t->err->code;
    for (uint32_t i = 0; rc == 0 && i + 1 < s->n; i += 2) {
        t->scope = outer;
        rc = tpl_eval(t, s->list[i + 1], &v);
        t->scope = inner;
        if (rc == 0) rc = assign(t, s->list[i], &v);
    }
    if (rc == 0) rc = tpl_exec(t, s->d, flow);
    tpl_pop_scope(t, inner);
    return rc;
}

static int exec_body(struct tpl *t, const struct node *s, int *flow)
{
    int rc = tpl_enter(t);
    if (rc < 0) return rc;
    for (uint32_t i = 0; rc == 0 && !*flow && i < s->n; i++) rc = tpl_exec(t, s->list[i], flow);
    t->depth--;
    return rc;
}

int tpl_exec(struct tpl *t, const struct node *s, int *flow)
{
    struct value v;
    t->at = s;
    int rc = tpl_spend(t, 0);
    if (rc < 0) return rc;
    switch ((enum node_kind)s->kind) {
    case S_TEXT:
        v = v_str(s->text);
        return print(t, &v);
    case S_PRINT:
        rc = tpl_eval(t, s->a, &v);
        t->at = s;
        return rc < 0 ? rc : print(t, &v);
    case S_BODY: return exec_body(t, s, flow);
    case S_IF: return exec_if(t, s, flow);
    case S_FOR:
        rc = tpl_eval(t, s->b, &v);
        t->at = s->b;
        return rc < 0 ? rc : run_loop(t, s, &v, 0, flow);
    case S_SET:
        rc = tpl_eval(t, s->b, &v);
        return rc < 0 ? rc : assign(t, s->a, &v);
    case S_FILTER:
    case S_SET_BLOCK: return exec_captured(t, s, flow);
    case S_MACRO:
        rc = tpl_new_macro(t, s, &v);
        return rc < 0 ? rc : tpl_set(t, t->scope, s->text, &v);
    case S_CALL: return exec_call_block(t, s);
    case S_WITH:
    case S_SCOPE: return exec_scope(t, s, flow);
    case S_BREAK:
    case S_CONTINUE: *flow = s->kind; return 0;
    default: return tpl_fail(t, ERR_FORMAT, "not a statement");
    }
}
