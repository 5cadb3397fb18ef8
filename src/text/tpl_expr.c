/* tpl_expr.c - expressions, by precedence: if-else, or, and, not, comparisons, + -, ~, * / // %, **, sign, postfix.
 * Operators of one level make one flat node, so that a long sum costs no depth. */
#include <string.h>

#include "text/tpl.h"

enum level { L_OR, L_AND, L_NOT, L_COMPARE, L_SUM, L_CONCAT, L_PRODUCT, L_POWER, L_UNARY };

static struct node *parse_level(struct parser *p, enum level level);

static bool op_of_level(const struct parser *p, enum level level, enum tok *op)
{
    *op = p->cur.type;
    switch (level) {
    case L_OR: return parser_is(p, "or");
    case L_AND: return parser_is(p, "and");
    case L_COMPARE:
        if (parser_is(p, "in")) *op = T_IN;
        else if (parser_is(p, "not") && p->peek.type == T_NAME && str_same(p->peek.s, "in")) *op = T_NOT_IN;
        return *op >= T_EQ && *op <= T_NOT_IN && *op != T_ASSIGN && (*op <= T_LE || *op >= T_IN);
    case L_SUM: return *op == T_ADD || *op == T_SUB;
    case L_CONCAT: return *op == T_TILDE;
    case L_PRODUCT: return *op == T_MUL || *op == T_DIV || *op == T_FLOORDIV || *op == T_MOD;
    case L_POWER: return *op == T_POW;
    default: return false;
    }
}

/* list: the operands, ops: what stands between them. */
static struct node *parse_chain(struct parser *p, enum level level)
{
    static const uint8_t kind[] = { E_OR, E_AND, E_NOT, E_COMPARE, E_CHAIN, E_CHAIN, E_CHAIN, E_CHAIN };
    struct node *first = parse_level(p, level + 1), *chain = NULL;
    enum tok op;
    while (first && op_of_level(p, level, &op)) {
        if (!chain) {
            chain = parser_node(p, kind[level], &p->cur);
            if (!chain || !parser_append(p, chain, first, 0)) return NULL;
        }
        if (op == T_NOT_IN) parser_next(p);
        parser_next(p);
        struct node *next = parse_level(p, level + 1);
        if (!next || !parser_append(p, chain, next, (uint8_t)op)) return NULL;
    }
    return chain ? chain : first;
}

/* a: the operand.  Any number of "not" is one or two. */
static struct node *parse_not(struct parser *p)
{
    struct token at = p->cur;
    unsigned count = 0;
    while (parser_is(p, "not") && !(p->peek.type == T_NAME && str_same(p->peek.s, "in"))) {
        count++;
        parser_next(p);
    }
    struct node *e = parse_level(p, L_COMPARE);
    for (count = count ? 2 - count % 2 : 0; e && count; count--) {
        struct node *not = parser_node(p, E_NOT, &at);
        if (!not) return NULL;
        not->a = e;
        e = not;
    }
    return e;
}

/* list: positional arguments, E_NAMED (text, a), E_STAR (a), E_STARSTAR (a).  The current token is "(". */
static bool parse_call_args(struct parser *p, struct node *to)
{
    parser_next(p);
    for (bool first = true; !parser_skip(p, T_RPAREN); first = false) {
        if (!first && !parser_expect(p, T_COMMA)) return false;
        if (!first && parser_skip(p, T_RPAREN)) break;
        struct node *arg = NULL;
        struct token at = p->cur;
        if (at.type == T_MUL || at.type == T_POW || (at.type == T_NAME && p->peek.type == T_ASSIGN)) {
            arg = parser_node(p, at.type == T_MUL ? E_STAR : at.type == T_POW ? E_STARSTAR : E_NAMED, &at);
            if (!arg) return false;
            arg->text = at.s;
            parser_next(p);
            if (at.type == T_NAME) parser_next(p);
            arg->a = parse_expr(p, true);
            if (!arg->a) return false;
        } else {
            arg = parse_expr(p, true);
        }
        if (!arg || !parser_append(p, to, arg, 0)) return false;
    }
    return !p->rc;
}

/* a: what is indexed, b: the index.  Or E_SLICE, list: start, stop, step (E_CONST none when left out). */
static struct node *parse_subscript(struct parser *p, struct node *on)
{
    struct token at = p->cur;
    struct node *part[3] = { NULL, NULL, NULL };
    unsigned n = 0;
    bool slice = false;
    parser_next(p);
    while (p->cur.type != T_RBRACKET && !p->rc) {
        if (p->cur.type == T_COLON && n < 2) {
            slice = true;
            n++;
            parser_next(p);
        } else {
            if (part[n]) return parser_fail(p, "expected ], found %s", lex_name(p->cur.type));
            part[n] = parse_expr(p, true);
            if (!part[n]) return NULL;
        }
    }
    if (!parser_expect(p, T_RBRACKET)) return NULL;
    if (!slice && !part[0]) return parser_fail(p, "the subscript is empty");
    struct node *e = parser_node(p, slice ? E_SLICE : E_ITEM, &at);
    if (!e) return NULL;
    e->a = on;
    e->b = slice ? NULL : part[0];
    for (unsigned i = 0; slice && i < 3; i++) {
        if (!part[i]) {
            part[i] = parser_node(p, E_CONST, &at);
            if (!part[i]) return NULL;
            part[i]->val = v_none();
        }
        if (!parser_append(p, e, part[i], 0)) return NULL;
    }
    return e;
}

static struct node *parse_member(struct parser *p, struct node *on)
{
    parser_next(p);
    struct token at = p->cur;
    struct node *e = parser_node(p, at.type == T_INT ? E_ITEM : E_ATTR, &at);
    if (!e) return NULL;
    e->a = on;
    e->text = at.s;
    if (at.type == T_INT) {
        e->b = parser_node(p, E_CONST, &at);
        if (!e->b) return NULL;
        e->b->val = v_int(at.i);
    } else if (at.type != T_NAME) {
        return parser_fail(p, "expected a name after '.', found %s", lex_name(at.type));
    }
    parser_next(p);
    return e;
}

static struct node *parse_call(struct parser *p, struct node *on)
{
    struct node *e = parser_node(p, E_CALL, &p->cur);
    if (!e) return NULL;
    e->a = on;
    return parse_call_args(p, e) ? e : NULL;
}

static struct node *parse_postfix(struct parser *p, struct node *e)
{
    while (e && !p->rc) {
        if (p->cur.type == T_DOT) e = parse_member(p, e);
        else if (p->cur.type == T_LBRACKET) e = parse_subscript(p, e);
        else if (p->cur.type == T_LPAREN) e = parse_call(p, e);
        else break;
    }
    return p->rc ? NULL : e;
}

/* Reads a dotted name into text, which stays a slice of the source. */
static bool parse_dotted(struct parser *p, struct str *text)
{
    *text = p->cur.s;
    if (!parser_expect(p, T_NAME)) return false;
    while (p->cur.type == T_DOT) {
        parser_next(p);
        text->n = (size_t)(p->cur.s.p - text->p) + p->cur.s.n;
        if (!parser_expect(p, T_NAME)) return false;
    }
    return true;
}

static struct node *parse_primary(struct parser *p);

/* a: what is tested, text: the test, list: its arguments. */
static struct node *parse_test(struct parser *p, struct node *on)
{
    struct token at = p->cur;
    parser_next(p);
    bool negated = parser_skip_name(p, "not");
    struct node *e = parser_node(p, E_TEST, &at);
    if (!e || !parse_dotted(p, &e->text)) return NULL;
    e->a = on;
    enum tok next = p->cur.type;
    if (next == T_LPAREN) {
        if (!parse_call_args(p, e)) return NULL;
    } else if (next == T_STRING || next == T_INT || next == T_FLOAT || next == T_LBRACKET || next == T_LBRACE ||
               (next == T_NAME && !parser_is(p, "else") && !parser_is(p, "or") && !parser_is(p, "and"))) {
        if (parser_is(p, "is")) return parser_fail(p, "tests with 'is' cannot be chained");
        struct node *arg = parse_postfix(p, parse_primary(p));
        if (!arg || !parser_append(p, e, arg, 0)) return NULL;
    }
    if (!negated) return e;
    struct node *not = parser_node(p, E_NOT, &at);
    if (not) not->a = e;
    return not;
}

/* a: what is filtered (NULL: the captured text of a block), text: the filter, list: its arguments. */
static struct node *parse_filter(struct parser *p, struct node *on)
{
    struct node *e = parser_node(p, E_FILTER, &p->cur);
    if (!e || !parse_dotted(p, &e->text)) return NULL;
    e->a = on;
    if (p->cur.type == T_LPAREN && !parse_call_args(p, e)) return NULL;
    return e;
}

struct node *parse_filters(struct parser *p, struct node *on, bool inline_start)
{
    if (inline_start) on = parse_filter(p, on);
    while (!p->rc && parser_skip(p, T_PIPE)) on = parse_filter(p, on);
    return p->rc ? NULL : on;
}

static struct node *parse_unary(struct parser *p, bool with_filters)
{
    struct token at = p->cur;
    struct node *e;
    if (at.type == T_SUB || at.type == T_ADD) {
        if (!parser_enter(p)) return NULL;
        parser_next(p);
        struct node *on = parse_unary(p, false);
        e = on ? parser_node(p, at.type == T_SUB ? E_NEG : E_POS, &at) : NULL;
        if (e) e->a = on;
        p->depth--;
    } else {
        e = parse_primary(p);
    }
    e = parse_postfix(p, e);
    while (e && with_filters && !p->rc) {
        if (p->cur.type == T_PIPE) e = parse_filters(p, e, false);
        else if (parser_is(p, "is")) e = parse_test(p, e);
        else if (p->cur.type == T_LPAREN) e = parse_call(p, e);
        else break;
    }
    return p->rc ? NULL : e;
}

static struct node *parse_level(struct parser *p, enum level level)
{
    if (p->rc) return NULL;
    if (level == L_NOT) return parse_not(p);
    if (level == L_UNARY) return parse_unary(p, true);
    return parse_chain(p, level);
}

/* E_COND: a if b else c; c may be NULL. */
struct node *parse_expr(struct parser *p, bool with_cond)
{
    if (!parser_enter(p)) return NULL;
    struct node *e = parse_level(p, L_OR);
    while (e && with_cond && parser_is(p, "if")) {
        struct node *cond = parser_node(p, E_COND, &p->cur);
        parser_next(p);
        if (!cond) return NULL;
        cond->a = e;
        cond->b = parse_level(p, L_OR);
        if (!cond->b) return NULL;
        if (parser_skip_name(p, "else") && !(cond->c = parse_expr(p, true))) return NULL;
        e = cond;
    }
    p->depth--;
    return p->rc ? NULL : e;
}

static bool tuple_ends(const struct parser *p, const char *stop)
{
    enum tok t = p->cur.type;
    return t == T_VAR_END || t == T_BLOCK_END || t == T_RPAREN || (stop && parser_is(p, stop));
}

struct node *parse_tuple(struct parser *p, bool with_cond, const char *stop, bool parenthesised)
{
    struct token at = p->cur;
    struct node *first = NULL, *tuple = NULL;
    if (!tuple_ends(p, stop)) {
        first = parse_expr(p, with_cond);
        if (!first || p->cur.type != T_COMMA) return first;
    } else if (!parenthesised) {
        return parser_fail(p, "expected an expression, found %s", lex_name(at.type));
    }
    tuple = parser_node(p, E_TUPLE, &at);
    if (!tuple || (first && !parser_append(p, tuple, first, 0))) return NULL;
    while (parser_skip(p, T_COMMA) && !tuple_ends(p, stop)) {
        struct node *e = parse_expr(p, with_cond);
        if (!e || !parser_append(p, tuple, e, 0)) return NULL;
    }
    return p->rc ? NULL : tuple;
}

/* E_LIST: list.  E_DICT: list of keys and values in turn. */
static struct node *parse_collection(struct parser *p, enum node_kind kind, enum tok close)
{
    struct node *e = parser_node(p, kind, &p->cur);
    if (!e) return NULL;
    parser_next(p);
    while (!p->rc && !parser_skip(p, close)) {
        if (e->n && !parser_expect(p, T_COMMA)) return NULL;
        if (e->n && parser_skip(p, close)) break;
        struct node *x = parse_expr(p, true);
        if (!x || !parser_append(p, e, x, 0)) return NULL;
        if (kind == E_LIST) continue;
        if (!parser_expect(p, T_COLON)) return NULL;
        x = parse_expr(p, true);
        if (!x || !parser_append(p, e, x, 0)) return NULL;
    }
    return p->rc ? NULL : e;
}

static struct node *parse_name(struct parser *p)
{
    static const struct { const char *name; int8_t truth; } constant[] = {
        { "true", 1 }, { "True", 1 }, { "false", 0 }, { "False", 0 }, { "none", -1 }, { "None", -1 },
    };
    struct node *e = parser_node(p, E_NAME, &p->cur);
    if (!e) return NULL;
    e->text = p->cur.s;
    p->uses |= parser_is(p, "caller") ? USES_CALLER : parser_is(p, "varargs") ? USES_VARARGS
               : parser_is(p, "kwargs") ? USES_KWARGS : 0u;
    for (size_t i = 0; i < sizeof constant / sizeof *constant; i++)
        if (str_same(e->text, constant[i].name)) {
            e->kind = E_CONST;
            e->val = constant[i].truth < 0 ? v_none() : v_bool(constant[i].truth);
        }
    parser_next(p);
    return e;
}

/* Strings that stand next to each other are one. */
static struct node *parse_string(struct parser *p)
{
    struct node *e = parser_node(p, E_CONST, &p->cur);
    if (!e) return NULL;
    struct str s = p->cur.s;
    parser_next(p);
    while (p->cur.type == T_STRING && !p->rc) {
        char *d = arena_push(p->mem, s.n + p->cur.s.n + 1, 1);
        if (!d) return parser_fail(p, "out of memory");
        memcpy(d, s.p, s.n);
        memcpy(d + s.n, p->cur.s.p, p->cur.s.n);
        s = (struct str){ d, s.n + p->cur.s.n };
        parser_next(p);
    }
    e->val = v_str(s);
    return e;
}

static struct node *parse_primary(struct parser *p)
{
    struct node *e;
    if (p->rc) return NULL;
    switch (p->cur.type) {
    case T_NAME: return parse_name(p);
    case T_STRING: return parse_string(p);
    case T_INT:
    case T_FLOAT:
        e = parser_node(p, E_CONST, &p->cur);
        if (!e) return NULL;
        e->val = p->cur.type == T_INT ? v_int(p->cur.i) : v_float(p->cur.f);
        parser_next(p);
        return e;
    case T_LPAREN:
        parser_next(p);
        e = parse_tuple(p, true, NULL, true);
        return e && parser_expect(p, T_RPAREN) ? e : NULL;
    case T_LBRACKET: return parse_collection(p, E_LIST, T_RBRACKET);
    case T_LBRACE: return parse_collection(p, E_DICT, T_RBRACE);
    default: return parser_fail(p, "expected an expression, found %s", lex_name(p->cur.type));
    }
}
