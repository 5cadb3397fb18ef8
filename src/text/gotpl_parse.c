/* gotpl_parse.c - from the text of a Go template to its tree. */
#include <string.h>

#include "base/utf8.h"
#include "text/gotpl.h"

static struct node *node(struct go_parser *p, enum go_kind kind)
{
    struct token at = { .line = p->cur.line, .col = p->cur.col };
    return parser_node(&p->base, (enum node_kind)kind, &at);
}

static bool append(struct go_parser *p, struct node *to, struct node *child)
{
    return to && child && parser_append(&p->base, to, child, 0);
}

static bool is_word(const struct go_parser *p, const char *word) { return p->cur.type == GO_WORD && str_same(p->cur.s, word); }

static bool skip(struct go_parser *p, enum go_tok type)
{
    if (p->base.rc || p->cur.type != type) return false;
    go_next(p);
    return true;
}

static bool expect(struct go_parser *p, enum go_tok type)
{
    if (p->cur.type != type)
        parser_fail(&p->base, "expected %s, found %s", go_tok_name(type), go_tok_name(p->cur.type));
    else go_next(p);
    return !p->base.rc;
}

static bool same(struct str a, struct str b) { return a.n == b.n && memcmp(a.p, b.p, a.n) == 0; }

static struct node *parse_pipe(struct go_parser *p, enum go_tok end, bool loop);

/* ---- operands ---- */

static bool reserved(struct str s)
{
    static const char *const word[] = { "block", "break", "continue", "define", "else", "end", "if", "range", "template",
      "with" };
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (str_same(s, word[i])) return true;
    return false;
}

/* Variables and fields by whose names Ollama tells templates apart. */
static void note_name(struct go_parser *p, struct str name)
{
    static const char *const word[] = { "messages", "response", "suffix" };
    bool *said[] = { &p->tree->says_messages, &p->tree->says_response, &p->tree->says_suffix };
    for (size_t i = 0; i < 3; i++) {
        size_t k = 0;
        while (k < name.n && word[i][k] && char_lower((unsigned char)name.p[k]) == (unsigned char)word[i][k]) k++;
        if (k == name.n && !word[i][k]) *said[i] = true;
    }
}

static struct node *parse_word(struct go_parser *p)
{
    struct node *e = node(p, G_CONST);
    if (!e) return NULL;
    e->text = p->cur.s;
    bool yes = is_word(p, "true");
    if (yes || is_word(p, "false")) e->val = v_bool(yes);
    else if (is_word(p, "nil")) e->kind = G_NIL;
    else if (reserved(p->cur.s)) return parser_fail(&p->base, "expected a value, found %.*s", STR_ARG(p->cur.s));
    else {
        int k = go_func_find(p->cur.s);
        if (k < 0) return parser_fail(&p->base, "there is no function \"%.*s\"", STR_ARG(p->cur.s));
        e->kind = G_FUNC;
        e->val = v_int(k);
    }
    go_next(p);
    return e;
}

static struct node *parse_variable(struct go_parser *p)
{
    struct node *e = node(p, G_VARIABLE);
    if (!e) return NULL;
    e->text = p->cur.s;
    for (uint32_t i = p->n_var; i-- > 0;)
        if (same(p->var[i], e->text)) {
            e->val = v_int(i);
            go_next(p);
            return e;
        }
    return parser_fail(&p->base, "the variable $%.*s is not set here", STR_ARG(e->text));
}

static struct node *parse_term(struct go_parser *p)
{
    struct node *e;
    switch (p->cur.type) {
    case GO_WORD: return parse_word(p);
    case GO_VARIABLE: return parse_variable(p);
    case GO_FIELD:                            /* the loop over fields takes it */
        return node(p, G_DOT);
    case GO_DOT: e = node(p, G_DOT); break;
    case GO_LPAREN:
        go_next(p);
        e = parse_pipe(p, GO_RPAREN, false);
        return e && expect(p, GO_RPAREN) ? e : NULL;
    default:
        e = node(p, G_CONST);
        if (!e) return NULL;
        e->val = p->cur.type == GO_STRING ? v_str(p->cur.s) : p->cur.type == GO_INT ? v_int(p->cur.i) : v_float(p->cur.f);
        if (p->cur.type != GO_STRING && p->cur.type != GO_INT && p->cur.type != GO_FLOAT)
            return parser_fail(&p->base, "expected a value, found %s", go_tok_name(p->cur.type));
    }
    go_next(p);
    return p->base.rc ? NULL : e;
}

static struct node *parse_operand(struct go_parser *p)
{
    bool field = p->cur.type == GO_FIELD;
    struct node *e = parse_term(p);
    if (!e) return NULL;
    bool bare = !field && (e->kind == G_DOT || e->kind == G_NIL || e->kind == G_CONST);
    for (bool first = field; !p->base.rc && p->cur.type == GO_FIELD && (first || !p->cur.spaced); first = false) {
        if (bare) return parser_fail(&p->base, "this value has no fields");
        struct node *f = node(p, G_FIELD);
        if (!f) return NULL;
        f->a = e;
        f->text = p->cur.s;
        note_name(p, p->cur.s);
        e = f;
        go_next(p);
    }
    if (!p->base.rc && !p->cur.spaced && p->cur.type != GO_CLOSE && p->cur.type != GO_RPAREN && p->cur.type != GO_PIPE)
        return parser_fail(&p->base, "a space must stand before %s", go_tok_name(p->cur.type));
    return p->base.rc ? NULL : e;
}

/* ---- pipes ---- */

static struct node *parse_command(struct go_parser *p)
{
    struct node *c = node(p, G_COMMAND);
    while (c && !p->base.rc && p->cur.type != GO_CLOSE && p->cur.type != GO_RPAREN && p->cur.type != GO_PIPE) {
        struct node *e = parse_operand(p);
        if (!e || !append(p, c, e)) return NULL;
    }
    if (!p->base.rc && c && !c->n) return parser_fail(&p->base, "a value is missing before %s", go_tok_name(p->cur.type));
    return p->base.rc ? NULL : c;
}

/* The variables before := or =, of which a loop may have two; NULL also when there are none. */
static struct node *parse_targets(struct go_parser *p, bool loop, bool *assign)
{
    struct go_lexer lx = p->lx;
    struct go_token first = p->cur;
    struct node *set = node(p, G_BODY);
    for (;;) {
        struct node *v = node(p, G_VARIABLE);
        if (!v) return NULL;
        v->text = p->cur.s;
        go_next(p);
        if (!append(p, set, v)) return NULL;
        if (p->cur.type != GO_COMMA || !loop || set->n == 2) break;
        go_next(p);
        if (p->cur.type != GO_VARIABLE) return parser_fail(&p->base, "expected a variable, found %s", go_tok_name(p->cur.type));
    }
    *assign = p->cur.type == GO_ASSIGN;
    if (*assign || p->cur.type == GO_DECLARE) {
        go_next(p);
        return set;
    }
    if (set->n > 1 || p->cur.type == GO_COMMA) return parser_fail(&p->base, "expected :=, found %s", go_tok_name(p->cur.type));
    if (p->base.rc) return NULL;
    p->lx = lx;
    p->cur = first;
    p->base.cur.line = first.line;
    p->base.cur.col = first.col;
    return NULL;
}

/* Behind the value, which cannot see what is declared by it. */
static bool set_targets(struct go_parser *p, struct node *set, bool assign)
{
    for (uint32_t i = 0; i < set->n; i++) {
        struct node *v = set->list[i];
        if (!assign) {
            if (p->n_var == GO_MAX_SLOTS) return parser_fail(&p->base, "more than %d variables", GO_MAX_SLOTS), false;
            v->val = v_int(p->n_var);
            p->var[p->n_var++] = v->text;
            if (p->n_slot < p->n_var) p->n_slot = p->n_var;
            continue;
        }
        uint32_t k = p->n_var;
        while (k-- > 0 && !same(p->var[k], v->text)) continue;
        if (k == UINT32_MAX) return parser_fail(&p->base, "the variable $%.*s is not set here", STR_ARG(v->text)), false;
        v->val = v_int(k);
    }
    return true;
}

static struct node *parse_pipe(struct go_parser *p, enum go_tok end, bool loop)
{
    struct node *pipe = node(p, G_PIPE);
    if (!pipe || !parser_enter(&p->base)) return NULL;
    if (p->cur.type == GO_VARIABLE && end == GO_CLOSE) pipe->b = parse_targets(p, loop, &pipe->flag);
    do {
        struct node *c = p->base.rc ? NULL : parse_command(p);
        if (!c) return NULL;
        const struct node *e = c->list[0];
        if (pipe->n && (e->kind == G_CONST || e->kind == G_DOT || e->kind == G_NIL))
            return parser_fail(&p->base, "what stands behind | must be a function");
        if (!append(p, pipe, c)) return NULL;
    } while (skip(p, GO_PIPE));
    if (p->cur.type != end) parser_fail(&p->base, "expected %s, found %s", go_tok_name(end), go_tok_name(p->cur.type));
    if (!p->base.rc && pipe->b && !set_targets(p, pipe->b, pipe->flag)) return NULL;
    p->base.depth--;
    return p->base.rc ? NULL : pipe;
}

/* ---- statements ---- */

static struct node *parse_list(struct go_parser *p, bool top);

static bool parse_end(struct go_parser *p)
{
    if (!is_word(p, "end")) parser_fail(&p->base, "expected end, found %.*s", STR_ARG(p->cur.s));
    else go_next(p);
    return !p->base.rc && expect(p, GO_CLOSE);
}

/* if, with, range; "else if" is an if in the other body that shares the end. */
static struct node *parse_branch(struct go_parser *p, enum go_kind kind)
{
    static const char *const name[] = { [G_IF] = "if", [G_WITH] = "with", [G_RANGE] = "range" };
    uint32_t mark = p->n_var;
    struct node *s = node(p, kind);
    go_next(p);
    if (!s || !parser_enter(&p->base)) return NULL;
    s->a = parse_pipe(p, GO_CLOSE, kind == G_RANGE);
    if (!s->a || !expect(p, GO_CLOSE)) return NULL;
    p->base.loops += kind == G_RANGE;
    s->b = parse_list(p, false);
    p->base.loops -= kind == G_RANGE;
    if (!s->b) return NULL;
    if (is_word(p, "else")) {
        go_next(p);
        if (kind != G_RANGE && is_word(p, name[kind])) {
            s->c = node(p, G_BODY);
            struct node *inner = parse_branch(p, kind);
            if (!append(p, s->c, inner)) return NULL;
        } else if (!expect(p, GO_CLOSE) || !(s->c = parse_list(p, false)) || !parse_end(p)) {
            return NULL;
        }
    } else if (!parse_end(p)) {
        return NULL;
    }
    p->n_var = mark;
    p->base.depth--;
    return s;
}

/* The body of a define or block, which sees no variables but $. */
static bool parse_def(struct go_parser *p, struct str name)
{
    struct str kept[GO_MAX_SLOTS];
    uint32_t n_var = p->n_var, n_slot = p->n_slot;
    unsigned loops = p->base.loops;
    memcpy(kept, p->var, n_var * sizeof *kept);
    p->n_var = p->n_slot = 1;
    p->base.loops = 0;
    struct node *body = parse_list(p, false);
    if (!body || !parse_end(p)) return false;
    struct go_def *d = p->tree->defs;
    while (d && !same(d->name, name)) d = d->next;
    if (d && d->body->n && body->n)
        return parser_fail(&p->base, "there are two templates \"%.*s\"", STR_ARG(name)), false;
    if (!d && (d = arena_new(p->base.mem, struct go_def, 1))) {
        *d = (struct go_def){ .name = name, .next = p->tree->defs };
        p->tree->defs = d;
    }
    if (!d) return parser_fail(&p->base, "out of memory"), false;
    if (!d->body || body->n) {
        d->body = body;
        d->n_slot = p->n_slot;
    }
    memcpy(p->var, kept, n_var * sizeof *kept);
    p->n_var = n_var;
    p->n_slot = n_slot;
    p->base.loops = loops;
    return true;
}

static struct node *parse_call(struct go_parser *p, bool block)
{
    struct node *s = node(p, G_TEMPLATE);
    go_next(p);
    if (!s) return NULL;
    s->text = p->cur.s;
    if (!expect(p, GO_STRING)) return NULL;
    if ((block || p->cur.type != GO_CLOSE) && !(s->a = parse_pipe(p, GO_CLOSE, false))) return NULL;
    if (!expect(p, GO_CLOSE)) return NULL;
    s->d = p->calls;
    p->calls = s;
    return !block || parse_def(p, s->text) ? s : NULL;
}

static struct node *parse_jump(struct go_parser *p, enum go_kind kind)
{
    struct node *s = node(p, kind);
    if (!p->base.loops) return parser_fail(&p->base, "%.*s outside of range", STR_ARG(p->cur.s));
    go_next(p);
    return expect(p, GO_CLOSE) ? s : NULL;
}

/* NULL without an error: a definition, which gives nothing. */
static struct node *parse_tag(struct go_parser *p, bool top)
{
    if (is_word(p, "if")) return parse_branch(p, G_IF);
    if (is_word(p, "with")) return parse_branch(p, G_WITH);
    if (is_word(p, "range")) return parse_branch(p, G_RANGE);
    if (is_word(p, "break")) return parse_jump(p, G_BREAK);
    if (is_word(p, "continue")) return parse_jump(p, G_CONTINUE);
    if (is_word(p, "template") || is_word(p, "block")) return parse_call(p, is_word(p, "block"));
    if (is_word(p, "define") && top) {
        go_next(p);
        struct str name = p->cur.s;
        if (expect(p, GO_STRING) && expect(p, GO_CLOSE)) parse_def(p, name);
        return NULL;
    }
    struct node *s = node(p, G_ACTION);
    if (!s || !(s->a = parse_pipe(p, GO_CLOSE, false))) return NULL;
    return expect(p, GO_CLOSE) ? s : NULL;
}

/* Up to the else or end of the tag around it, which is then the current word; or, at the top, to the end of the source. */
static struct node *parse_list(struct go_parser *p, bool top)
{
    struct go_token open = p->cur;
    struct node *body = node(p, G_BODY);
    if (!body || !parser_enter(&p->base)) return NULL;
    while (!p->base.rc) {
        struct node *s = NULL;
        if (p->cur.type == GO_EOF) {
            if (top) break;
            p->base.cur.line = open.line;
            p->base.cur.col = open.col;
            return parser_fail(&p->base, "this block has no end");
        }
        if (p->cur.type == GO_TEXT) {
            s = node(p, G_TEXT);
            if (s) s->text = p->cur.s;
            go_next(p);
        } else {
            if (!expect(p, GO_OPEN)) return NULL;
            if (!top && (is_word(p, "end") || is_word(p, "else"))) break;
            s = parse_tag(p, top);
        }
        if (s && !append(p, body, s)) return NULL;
    }
    p->base.depth--;
    return p->base.rc ? NULL : body;
}

/* ---- the answer ---- */

/* Whether the field of that name of the dot, or what lies in it, is used here. */
static bool reads(const struct node *e, const char *name)
{
    if (e->kind == G_FIELD) {
        bool named = false;
        for (; e->kind == G_FIELD; e = e->a) named = named || str_same(e->text, name);
        return e->kind == G_DOT ? named : reads(e, name);
    }
    for (uint32_t i = 0; i < e->n; i++)
        if (reads(e->list[i], name)) return true;
    return false;
}

/* Sets the flag of every statement behind the first that prints the answer. */
static void mark_behind(struct node *body, bool *behind)
{
    for (uint32_t i = 0; i < body->n; i++) {
        struct node *s = body->list[i];
        s->flag = *behind;
        if (*behind) continue;
        if (s->kind == G_ACTION) *behind = reads(s->a, "Response");
        if (s->kind == G_IF || s->kind == G_WITH || s->kind == G_RANGE) {
            mark_behind(s->b, behind);
            if (s->c) mark_behind(s->c, behind);
        }
    }
}

/* {{ .Response }}, which a template that shows neither messages nor answer gets at its end. */
static bool add_response(struct go_parser *p, struct node *body)
{
    struct node *s = node(p, G_ACTION), *pipe = node(p, G_PIPE), *c = node(p, G_COMMAND), *f = node(p, G_FIELD);
    if (!s || !pipe || !c || !f) return false;
    f->a = node(p, G_DOT);
    f->text = STR("Response");
    s->a = pipe;
    return f->a && append(p, c, f) && append(p, pipe, c) && append(p, body, s);
}

static bool finish(struct go_parser *p, struct node *body)
{
    bool behind = false;
    p->tree->main = (struct go_def){ .body = body, .n_slot = p->n_slot };
    for (struct node *s = p->calls; s; s = s->d)
        for (struct go_def *d = p->tree->defs; d; d = d->next)
            if (same(d->name, s->text)) {
                s->b = d->body;
                s->val = v_int(d->n_slot);
            }
    if (!p->tree->says_messages && !p->tree->says_response && !add_response(p, body)) return false;
    mark_behind(body, &behind);
    return true;
}

int gotpl_compile(struct go_tree **out, struct arena *mem, const char *source, size_t n, struct err *err)
{
    if (!utf8_valid(source, n)) return err_set(err, ERR_FORMAT, "template: it is not valid UTF-8");
    char *copy = arena_push(mem, n + 1, 1);
    struct go_parser *p = arena_new(mem, struct go_parser, 1);
    *out = arena_new(mem, struct go_tree, 1);
    if (!copy || !p || !*out) return err_set(err, ERR_NOMEM, "template: out of memory");
    memcpy(copy, source, n);
    p->base.mem = mem;
    p->base.err = err;
    p->lx = (struct go_lexer){ .at = copy, .end = copy + n, .line_start = copy, .line = 1 };
    p->tree = *out;
    p->n_var = p->n_slot = 1;                          /* $, whose name is empty */
    p->var[0] = STR("");
    go_next(p);
    struct node *body = p->base.rc ? NULL : parse_list(p, true);
    if (body && finish(p, body)) return 0;
    return p->base.rc ? p->base.rc : err_set(err, ERR_NOMEM, "template: out of memory");
}
