/* gotpl_exec.c - runs the tree of a Go template. */
#include <string.h>

#include "text/gotpl.h"

static int put_text(struct go_run *g, const char *p, size_t n)
{
    struct tpl *t = g->t;
    int rc = tpl_spend(t, n);
    if (rc < 0) return rc;
    buf_put(t->out, p, n);
    if (t->out->bad || t->out->len - t->out_start > t->lim.output)
        return tpl_fail_written(t, t->out, "output");
    return 0;
}

/* ---- values ---- */

static int eval_pipe(struct go_run *g, const struct node *pipe, struct value *out)
{
    struct value v = v_none();
    int rc = tpl_enter(g->t);
    if (rc < 0) return rc;
    for (uint32_t i = 0; rc == 0 && i < pipe->n; i++) {
        struct value before = v;
        g->t->at = pipe->list[i];
        rc = go_call(g, pipe->list[i], i ? &before : NULL, &v);
        if (v.type == V_NONE) v.flag = NIL_INVALID;
    }
    for (uint32_t i = 0; rc == 0 && pipe->b && i < pipe->b->n; i++) g->slot[pipe->b->list[i]->val.i] = v;
    g->t->depth--;
    *out = v;
    return rc;
}

static int eval_node(struct go_run *g, const struct node *e, struct value *out)
{
    struct value on;
    int rc;
    switch ((enum go_kind)e->kind) {
    case G_DOT: *out = g->dot; return 0;
    case G_CONST: *out = e->val; return 0;
    case G_NIL: *out = v_none(); return 0;
    case G_VARIABLE: *out = g->slot[e->val.i]; return 0;
    case G_PIPE: return eval_pipe(g, e, out);
    case G_FIELD:
        rc = go_eval(g, e->a, &on);
        g->t->at = e;
        return rc < 0 ? rc : go_field(g, &on, e->text, out);
    case G_FUNC: {
        /* a function as an argument is called without any */
        struct node self = *e, *list[1] = { &self };
        struct node command = { .kind = G_COMMAND, .n = 1, .list = list, .line = e->line, .col = e->col };
        return go_call(g, &command, NULL, out);
    }
    default: return tpl_fail(g->t, ERR_FORMAT, "not a value");
    }
}

int go_eval(struct go_run *g, const struct node *e, struct value *out)
{
    g->t->at = e;
    *out = v_none();
    int rc = tpl_enter(g->t);
    if (rc < 0) return rc;
    rc = tpl_spend(g->t, 0);
    if (rc == 0) rc = eval_node(g, e, out);
    g->t->depth--;
    return rc;
}

/* ---- range ---- */

static int one_turn(struct go_run *g, const struct node *s, const struct value *index, const struct value *item, int *flow)
{
    const struct node *set = s->a->b;
    int rc = tpl_spend(g->t, 0);
    if (set) g->slot[set->list[set->n - 1]->val.i] = *item;
    if (set && set->n > 1) g->slot[set->list[0]->val.i] = *index;
    g->dot = *item;
    return rc < 0 ? rc : go_exec(g, s->b, flow);
}

static size_t count_of(const struct value *v)
{
    if (v->type == V_INT) return v->i > 0 ? (size_t)v->i : 0;
    return v->type == V_NONE ? 0 : v->type == V_DICT ? v->dict->n : v->list->n;
}

static int exec_range(struct go_run *g, const struct node *s, int *flow)
{
    struct value over, index, item, dot = g->dot;
    int rc = eval_pipe(g, s->a, &over);
    if (rc < 0) return rc;
    g->t->at = s;
    bool good = over.type == V_NONE ? over.flag == NIL_INVALID : over.type == V_INT || over.type == V_LIST || over.type == V_DICT;
    if (!good || go_is_struct(&over)) return tpl_fail(g->t, ERR_FORMAT, "range cannot go over a %s", go_type_name(&over));
    if (over.type == V_INT && s->a->b && s->a->b->n > 1)
        return tpl_fail(g->t, ERR_FORMAT, "range over a number sets one variable");
    size_t n = count_of(&over);
    if (!n) return s->c ? go_exec(g, s->c, flow) : 0;
    int turn = 0;
    for (size_t i = 0; rc == 0 && turn != G_BREAK && i < n; i++) {
        turn = 0;
        index = over.type == V_DICT ? over.dict->at[i].key : v_int((int64_t)i);
        item = over.type == V_DICT ? over.dict->at[i].val : over.type == V_LIST ? over.list->at[i] : index;
        rc = one_turn(g, s, &index, &item, &turn);
    }
    g->dot = dot;
    return rc;
}

/* ---- statements ---- */

static int exec_branch(struct go_run *g, const struct node *s, int *flow)
{
    struct value v, dot = g->dot;
    int rc = eval_pipe(g, s->a, &v);
    if (rc < 0) return rc;
    bool yes = v_true(&v) || go_is_struct(&v);
    if (!yes) return s->c ? go_exec(g, s->c, flow) : 0;
    if (s->kind == G_WITH) g->dot = v;
    rc = go_exec(g, s->b, flow);
    g->dot = dot;
    return rc;
}

int go_call_def(struct go_run *g, const struct node *body, uint32_t n_slot, const struct value *dot)
{
    struct tpl *t = g->t;
    struct value *slot = g->slot, back = g->dot;
    int flow = 0;
    if (t->calls >= t->lim.depth) return tpl_fail(t, ERR_LIMIT, "more than %u levels of calls", t->lim.depth);
    if (!(g->slot = tpl_new(t, n_slot, sizeof *slot))) return t->err->code;
    t->calls++;
    g->slot[0] = g->dot = *dot;
    int rc = go_exec(g, body, &flow);
    t->calls--;
    g->slot = slot;
    g->dot = back;
    return rc;
}

static int exec_template(struct go_run *g, const struct node *s)
{
    struct value dot = { .type = V_NONE, .flag = NIL_INVALID };
    int rc = s->a ? eval_pipe(g, s->a, &dot) : 0;
    g->t->at = s;
    if (rc == 0 && !s->b) return tpl_fail(g->t, ERR_FORMAT, "there is no template \"%.*s\"", STR_ARG(s->text));
    return rc < 0 ? rc : go_call_def(g, s->b, (uint32_t)s->val.i, &dot);
}

static int exec_action(struct go_run *g, const struct node *s)
{
    struct value v;
    struct tpl *t = g->t;
    int rc = eval_pipe(g, s->a, &v);
    if (rc < 0 || s->a->b) return rc;
    t->at = s;
    if (v.type == V_STR) return put_text(g, v.s.p, v.s.n);
    if (v.type == V_NONE) return put_text(g, "<no value>", 10);
    rc = go_print(g, &v, false, t->out);
    return rc < 0 ? rc : put_text(g, "", 0);
}

static int exec_body(struct go_run *g, const struct node *s, int *flow)
{
    int rc = tpl_enter(g->t);
    if (rc < 0) return rc;
    for (uint32_t i = 0; rc == 0 && !*flow && i < s->n; i++) rc = go_exec(g, s->list[i], flow);
    g->t->depth--;
    return rc;
}

int go_exec(struct go_run *g, const struct node *s, int *flow)
{
    g->t->at = s;
    int rc = tpl_spend(g->t, 0);
    if (rc < 0 || (g->open && s->flag)) return rc;
    switch ((enum go_kind)s->kind) {
    case G_BODY: return exec_body(g, s, flow);
    case G_TEXT: return put_text(g, s->text.p, s->text.n);
    case G_ACTION: return exec_action(g, s);
    case G_IF:
    case G_WITH: return exec_branch(g, s, flow);
    case G_RANGE: return exec_range(g, s, flow);
    case G_TEMPLATE: return exec_template(g, s);
    case G_BREAK:
    case G_CONTINUE: *flow = s->kind; return 0;
    default: return tpl_fail(g->t, ERR_FORMAT, "not a statement");
    }
}
