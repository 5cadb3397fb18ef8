/* tpl_parse.c - the token stream and the statements. */
#include <string.h>

#include "base/os.h"
#include "text/tpl.h"

void *parser_fail(struct parser *p, const char *fmt, ...)
{
    if (p->rc) return NULL;
    char what[256];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(what, sizeof what, fmt, ap);
    va_end(ap);
    p->rc = err_set(p->err, ERR_FORMAT, "template: line %u, column %u: %s", p->cur.line, p->cur.col, what);
    return NULL;
}

static void *nomem(struct parser *p)
{
    if (!p->rc) p->rc = err_set(p->err, ERR_NOMEM, "template: out of memory");
    return NULL;
}

void parser_next(struct parser *p)
{
    p->cur = p->peek;
    lex_next(&p->lx, &p->peek);
    if (p->lx.rc && p->cur.type == T_EOF && !p->rc) p->rc = p->lx.rc;
}

bool parser_is(const struct parser *p, const char *name) { return p->cur.type == T_NAME && str_same(p->cur.s, name); }

bool parser_skip(struct parser *p, enum tok type)
{
    if (p->rc || p->cur.type != type) return false;
    parser_next(p);
    return true;
}

bool parser_skip_name(struct parser *p, const char *name)
{
    if (p->rc || !parser_is(p, name)) return false;
    parser_next(p);
    return true;
}

bool parser_expect(struct parser *p, enum tok type)
{
    if (p->cur.type != type) parser_fail(p, "expected %s, found %s", lex_name(type), lex_name(p->cur.type));
    else parser_next(p);
    return !p->rc;
}

bool parser_enter(struct parser *p)
{
    if (p->depth++ < TPL_MAX_NESTING) return true;
    if (!p->rc)
        p->rc = err_set(p->err, ERR_LIMIT, "template: line %u, column %u: more than %d levels of nesting", p->cur.line,
                        p->cur.col, TPL_MAX_NESTING);
    return false;
}

struct node *parser_node(struct parser *p, enum node_kind kind, const struct token *at)
{
    if (p->rc) return NULL;
    struct node *e = arena_new(p->mem, struct node, 1);
    if (!e) return nomem(p);
    e->kind = (uint8_t)kind;
    e->line = at->line;
    e->col = at->col;
    return e;
}

bool parser_append(struct parser *p, struct node *to, struct node *child, uint8_t op)
{
    /* the capacity is always the power of two at or above n */
    if ((to->n & (to->n - 1)) == 0) {
        size_t cap = to->n ? (size_t)to->n * 2 : 1;
        struct node **list = arena_new(p->mem, struct node *, cap);
        uint8_t *ops = arena_push(p->mem, cap, 1);
        if (!list || !ops) return nomem(p);
        if (to->n) {
            memcpy(list, to->list, to->n * sizeof *list);
            memcpy(ops, to->ops, to->n);
        }
        to->list = list;
        to->ops = ops;
    }
    to->list[to->n] = child;
    to->ops[to->n++] = op;
    return true;
}

static struct node *parse_statement(struct parser *p);

static bool at_end_tag(const struct parser *p, const char *const *ends)
{
    for (; ends && *ends; ends++)
        if (parser_is(p, *ends)) return true;
    return false;
}

/* S_BODY, list: statements, up to the tag named in ends (or the end of the template when ends is NULL).  The name of that
 * tag is then the current token. */
static struct node *parse_body(struct parser *p, const char *const *ends)
{
    struct node *body = parser_node(p, S_BODY, &p->cur), *s;
    struct token open = p->cur;
    if (!parser_enter(p)) return NULL;
    while (body && !p->rc) {
        s = NULL;
        if (p->cur.type == T_EOF) {
            if (!ends) break;
            p->cur.line = open.line;
            p->cur.col = open.col;
            return parser_fail(p, "this block has no %s", ends[0]);
        } else if (p->cur.type == T_DATA) {
            s = parser_node(p, S_TEXT, &p->cur);
            if (s) s->text = p->cur.s;
            parser_next(p);
        } else if (p->cur.type == T_VAR_BEGIN) {
            s = parser_node(p, S_PRINT, &p->cur);
            parser_next(p);
            struct node *e = parse_tuple(p, true, NULL, false);
            if (!s || !e || !parser_expect(p, T_VAR_END)) return NULL;
            s->a = e;
        } else {
            if (!parser_expect(p, T_BLOCK_BEGIN)) return NULL;
            if (at_end_tag(p, ends)) break;
            s = parse_statement(p);
            if (!s || !parser_expect(p, T_BLOCK_END)) return NULL;
        }
        if (!s || !parser_append(p, body, s, 0)) return NULL;
    }
    p->depth--;
    return p->rc ? NULL : body;
}

/* The body after a tag's head, and its end tag. */
static struct node *parse_block(struct parser *p, const char *end)
{
    const char *const ends[] = { end, NULL };
    parser_skip(p, T_COLON);
    if (!parser_expect(p, T_BLOCK_END)) return NULL;
    struct node *body = parse_body(p, ends);
    if (body) parser_next(p);
    return p->rc ? NULL : body;
}

static struct node *target_item(struct parser *p)
{
    struct node *e;
    if (p->cur.type == T_LPAREN) {
        parser_next(p);
        if (!parser_enter(p)) return NULL;
        e = parse_target(p);
        p->depth--;
        return e && parser_expect(p, T_RPAREN) ? e : NULL;
    }
    e = parser_node(p, E_NAME, &p->cur);
    if (!e) return NULL;
    e->text = p->cur.s;
    static const char *const reserved[] = { "true", "false", "none", "True", "False", "None", NULL };
    if (p->cur.type != T_NAME || at_end_tag(p, reserved))
        return parser_fail(p, "expected a name to assign to, found %s", lex_name(p->cur.type));
    parser_next(p);
    if (p->cur.type != T_DOT) return e;
    /* E_ATTR, a: the namespace's name, text: the member */
    struct node *member = parser_node(p, E_ATTR, &p->cur);
    parser_next(p);
    if (!member) return NULL;
    member->a = e;
    member->text = p->cur.s;
    return parser_expect(p, T_NAME) ? member : NULL;
}

struct node *parse_target(struct parser *p)
{
    struct token at = p->cur;
    struct node *first = target_item(p);
    if (!first || p->cur.type != T_COMMA) return first;
    struct node *tuple = parser_node(p, E_TUPLE, &at);
    if (!tuple || !parser_append(p, tuple, first, 0)) return NULL;
    while (parser_skip(p, T_COMMA) && (p->cur.type == T_NAME || p->cur.type == T_LPAREN) && !parser_is(p, "in")) {
        struct node *e = target_item(p);
        if (!e || !parser_append(p, tuple, e, 0)) return NULL;
    }
    return p->rc ? NULL : tuple;
}

/* S_IF, list: condition and body in turn, c: the else body or NULL. */
static struct node *parse_if(struct parser *p, struct node *s)
{
    static const char *const ends[] = { "endif", "elif", "else", NULL };
    do {
        parser_next(p);
        struct node *cond = parse_tuple(p, false, NULL, false);
        parser_skip(p, T_COLON);
        if (!cond || !parser_append(p, s, cond, 0) || !parser_expect(p, T_BLOCK_END)) return NULL;
        struct node *body = parse_body(p, ends);
        if (!body || !parser_append(p, s, body, 0)) return NULL;
    } while (parser_is(p, "elif"));
    if (parser_skip_name(p, "else")) s->c = parse_block(p, "endif");
    else parser_next(p);
    return s;
}

/* S_FOR, a: target, b: iterable, c: condition or NULL, d: body, list[0]: else body if any, flag: recursive. */
static struct node *parse_for(struct parser *p, struct node *s)
{
    static const char *const ends[] = { "endfor", "else", NULL };
    parser_next(p);
    s->a = parse_target(p);
    if (!s->a) return NULL;
    if (!parser_skip_name(p, "in")) return parser_fail(p, "expected in, found %s", lex_name(p->cur.type));
    s->b = parse_tuple(p, false, "recursive", false);
    if (!s->b) return NULL;
    if (parser_skip_name(p, "if") && !(s->c = parse_expr(p, true))) return NULL;
    s->flag = parser_skip_name(p, "recursive");
    parser_skip(p, T_COLON);
    if (!parser_expect(p, T_BLOCK_END)) return NULL;
    p->loops++;
    s->d = parse_body(p, ends);
    p->loops--;
    if (!s->d) return NULL;
    if (!parser_skip_name(p, "else")) {
        parser_next(p);
        return s;
    }
    struct node *other = parse_block(p, "endfor");
    return other && parser_append(p, s, other, 0) ? s : NULL;
}

/* S_SET, a: target, b: value.  S_SET_BLOCK, a: target, b: chain of filters or NULL, d: body. */
static struct node *parse_set(struct parser *p, struct node *s)
{
    parser_next(p);
    s->a = parse_target(p);
    if (!s->a) return NULL;
    if (parser_skip(p, T_ASSIGN)) {
        s->b = parse_tuple(p, true, NULL, false);
        return s->b ? s : NULL;
    }
    s->kind = S_SET_BLOCK;
    if (p->cur.type == T_PIPE && !(s->b = parse_filters(p, NULL, false))) return NULL;
    s->d = parse_block(p, "endset");
    return s;
}

/* list: E_PARAM (text: name, a: default or NULL). */
static bool parse_signature(struct parser *p, struct node *s)
{
    if (!parser_expect(p, T_LPAREN)) return false;
    bool optional = false;
    while (!parser_skip(p, T_RPAREN)) {
        if (s->n && !parser_expect(p, T_COMMA)) return false;
        if (s->n && parser_skip(p, T_RPAREN)) break;
        struct node *param = parser_node(p, E_PARAM, &p->cur);
        if (!param) return false;
        param->text = p->cur.s;
        if (!parser_expect(p, T_NAME)) return false;
        if (parser_skip(p, T_ASSIGN)) {
            param->a = parse_expr(p, true);
            if (!param->a) return false;
            optional = true;
        } else if (optional) {
            return parser_fail(p, "a parameter without default follows one with a default");
        }
        if (!parser_append(p, s, param, 0)) return false;
    }
    return !p->rc;
}

/* Loop control does not reach through a macro or block into the loop around it. */
static struct node *parse_closed_block(struct parser *p, const char *end)
{
    unsigned loops = p->loops;
    p->loops = 0;
    struct node *body = parse_block(p, end);
    p->loops = loops;
    return body;
}

/* The body of a macro; s->val is what it uses. */
static void parse_macro_body(struct parser *p, struct node *s, const char *end)
{
    unsigned outer = p->uses;
    p->uses = 0;
    s->d = parse_closed_block(p, end);
    s->val = v_int(p->uses);
    p->uses |= outer;
}

/* S_MACRO, text: name, list: parameters, d: body, val: its USES_ bits. */
static struct node *parse_macro(struct parser *p, struct node *s)
{
    parser_next(p);
    s->text = p->cur.s;
    if (!parser_expect(p, T_NAME) || !parse_signature(p, s)) return NULL;
    parse_macro_body(p, s, "endmacro");
    return s;
}

/* S_CALL, a: the call, b: a macro named caller (S_MACRO) made of the block. */
static struct node *parse_call_block(struct parser *p, struct node *s)
{
    s->b = parser_node(p, S_MACRO, &p->cur);
    parser_next(p);
    if (!s->b) return NULL;
    s->b->text = STR("caller");
    if (p->cur.type == T_LPAREN && !parse_signature(p, s->b)) return NULL;
    s->a = parse_expr(p, true);
    if (!s->a) return NULL;
    if (s->a->kind != E_CALL) return parser_fail(p, "expected a call");
    parse_macro_body(p, s->b, "endcall");
    return s;
}

/* S_FILTER, b: chain of filters, d: body. */
static struct node *parse_filter_block(struct parser *p, struct node *s)
{
    parser_next(p);
    s->b = parse_filters(p, NULL, true);
    if (!s->b) return NULL;
    s->d = parse_block(p, "endfilter");
    return s;
}

/* S_WITH, list: targets and values in turn, d: body. */
static struct node *parse_with(struct parser *p, struct node *s)
{
    parser_next(p);
    while (!p->rc && p->cur.type != T_BLOCK_END) {
        if (s->n && !parser_expect(p, T_COMMA)) return NULL;
        struct node *target = target_item(p);
        if (!target || !parser_append(p, s, target, 0) || !parser_expect(p, T_ASSIGN)) return NULL;
        struct node *value = parse_expr(p, true);
        if (!value || !parser_append(p, s, value, 0)) return NULL;
    }
    s->d = parse_block(p, "endwith");
    return s;
}

/* S_SCOPE, d: body.  {% generation %} marks what a model is trained on; a block has a name of no use here. */
static struct node *parse_scope(struct parser *p, struct node *s)
{
    bool named = parser_is(p, "block");
    parser_next(p);
    if (named && !parser_expect(p, T_NAME)) return NULL;
    s->d = parse_closed_block(p, named ? "endblock" : "endgeneration");
    return s;
}

static struct node *parse_jump(struct parser *p, struct node *s)
{
    if (!p->loops) return parser_fail(p, "%.*s outside of a loop", STR_ARG(p->cur.s));
    parser_next(p);
    return s;
}

static struct node *parse_statement(struct parser *p)
{
    static const struct { const char *name; enum node_kind kind; struct node *(*parse)(struct parser *, struct node *);
        } tag[] = {
        { "if", S_IF, parse_if }, { "for", S_FOR, parse_for }, { "set", S_SET, parse_set },
        { "macro", S_MACRO, parse_macro }, { "call", S_CALL, parse_call_block },
        { "filter", S_FILTER, parse_filter_block }, { "with", S_WITH, parse_with },
        { "generation", S_SCOPE, parse_scope }, { "block", S_SCOPE, parse_scope },
        { "break", S_BREAK, parse_jump }, { "continue", S_CONTINUE, parse_jump },
    };
    if (p->cur.type != T_NAME) return parser_fail(p, "expected the name of a tag, found %s", lex_name(p->cur.type));
    for (size_t i = 0; i < sizeof tag / sizeof *tag; i++) {
        if (!parser_is(p, tag[i].name)) continue;
        struct node *s = parser_node(p, tag[i].kind, &p->cur);
        s = s ? tag[i].parse(p, s) : NULL;
        return p->rc ? NULL : s;
    }
    return parser_fail(p, "unknown tag %.*s", STR_ARG(p->cur.s));
}

struct node *parse_template(struct parser *p)
{
    parser_next(p);
    parser_next(p);
    return p->rc ? NULL : parse_body(p, NULL);
}
