/* gram_gbnf.c - GBNF source to rules.
 *
 *   name ::= alternatives          a rule; it may go on over lines until the next "name ::="; "root" is the first
 *   a b | c                        sequence, choice; (...) group
 *   "text"  [a-z^]  [^a-z]  .      characters; escapes \n \r \t \\ \" \[ \] \- \^ \/ \xHH \uHHHH \UHHHHHHHH
 *   x* x+ x? x{n} x{n,} x{,m} x{n,m}
 *   <text> <[id]> !<text> !<[id]>  one token of the vocabulary, or any other one
 *   # ...                          comment */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/gram.h"

struct name { const char *s; uint32_t n, rule; };       /* rule GRAM_NONE: an empty slot */

struct gbnf {
    struct gram *g;
    const struct gbnf_use *use;         /* or NULL */
    const char *start, *at, *end;
    struct name *name;                  /* open addressing, by name */
    uint32_t mask;
    bool *defined;                      /* by rule */
    unsigned depth;
    const struct gnode **stack;         /* expressions of the lists that are being read */
    size_t n_stack, cap_stack;
};

static int fail_at(struct gbnf *p, const char *at, int code, const char *what)
{
    uint32_t line = 1;
    const char *begin = p->start;
    for (const char *nl; (nl = memchr(begin, '\n', (size_t)(at - begin))); line++) begin = nl + 1;
    size_t column = 1;
    for (const char *c = begin; c < at; c++) column += ((unsigned char)*c & 0xc0) != 0x80;
    return gram_fail(p->g, code, "line %u, column %zu: %s", line, column, what);
}

static const struct gnode *bad(struct gbnf *p, const char *what)
{
    fail_at(p, p->at, ERR_FORMAT, what);
    return &gram_failure;
}

static char peek(const struct gbnf *p) { return p->at < p->end ? *p->at : 0; }
static bool looking_at(const struct gbnf *p, const char *s)
{
    size_t n = strlen(s);
    return (size_t)(p->end - p->at) >= n && !memcmp(p->at, s, n);
}

/* White space and comments; newlines only when they may be here. */
static void skip(struct gbnf *p, bool newlines)
{
    for (; p->at < p->end; p->at++) {
        char c = *p->at;
        if (c == '#') {
            while (p->at + 1 < p->end && p->at[1] != '\n' && p->at[1] != '\r') p->at++;
        } else if (c != ' ' && c != '\t' && !(newlines && (c == '\n' || c == '\r'))) {
            break;
        }
    }
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static size_t name_length(const struct gbnf *p)
{
    const char *s = p->at;
    while (s < p->end && is_name(*s)) s++;
    return (size_t)(s - p->at);
}

/* Whether "name ::=" comes next. */
static bool at_definition(const struct gbnf *p)
{
    struct gbnf q = *p;
    size_t n = name_length(p);
    q.at += n;
    skip(&q, false);
    return n && looking_at(&q, "::=");
}

/* ---- rules by name ---- */

static struct name *find(const struct gbnf *p, const char *s, size_t n)
{
    uint32_t i = (uint32_t)(hash_bytes(s, n) >> 24) & p->mask;
    while (p->name[i].rule != GRAM_NONE && (p->name[i].n != n || memcmp(p->name[i].s, s, n) != 0)) i = (i + 1) & p->mask;
    return &p->name[i];
}

static uint32_t rule_of(struct gbnf *p, const char *s, size_t n)
{
    struct name *slot = find(p, s, n);
    if (slot->rule == GRAM_NONE) {
        char *copy = gram_push(p->g, n + 1, 1);
        if (!copy) return GRAM_NONE;
        memcpy(copy, s, n);
        *slot = (struct name){ s, (uint32_t)n, gram_rule(p->g, copy, (uint32_t)(s - p->start)) };
    }
    return slot->rule;
}

/* ---- characters ---- */

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t escaped(struct gbnf *p)
{
    char c = peek(p);
    unsigned digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    uint32_t v = 0;
    if (!digits) {
        static const char named[] = "n\nr\rt\t\\\\\"\"[[]]--^^//";
        for (const char *s = named; *s; s += 2)
            if (c == *s) {
                p->at++;
                return (unsigned char)s[1];
            }
        bad(p, "unknown escape; known are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\/ \\xHH \\uHHHH \\UHHHHHHHH");
        return 0;
    }
    for (unsigned i = 1; i <= digits; i++) {
        int h = p->at + i < p->end ? hex(p->at[i]) : -1;
        if (h < 0) {
            bad(p, "an escape lacks hexadecimal digits");
            return 0;
        }
        v = v << 4 | (unsigned)h;
    }
    if (v > GRAM_LAST_CHAR || (v >= 0xd800 && v < 0xe000)) bad(p, "this escape is no Unicode character");
    p->at += digits + 1;
    return v;
}

static uint32_t character(struct gbnf *p)
{
    if (peek(p) == '\\') {
        p->at++;
        return escaped(p);
    }
    size_t len;
    uint32_t cp = utf8_decode(p->at, (size_t)(p->end - p->at), &len);
    if (cp == UTF8_BAD) bad(p, "not valid UTF-8");
    p->at += len;
    return cp;
}

static const struct gnode *literal(struct gbnf *p)
{
    const char *open = p->at++;
    struct buf b = { 0 };
    while (!p->g->rc && peek(p) != '"') {
        char c[4];
        if (p->at >= p->end || *p->at == '\n' || *p->at == '\r') {
            p->at = open;
            bad(p, "this string has no closing quote on its line");
            break;
        }
        buf_put(&b, c, utf8_encode(character(p), c));
    }
    p->at++;
    if (b.bad) gram_nomem(p->g);
    const struct gnode *x = p->g->rc ? &gram_failure : gram_bytes(p->g, b.data, b.len);
    buf_release(&b);
    return x;
}

static const struct gnode *class(struct gbnf *p)
{
    const char *open = p->at++;
    struct cp_set s = { 0 };
    bool negated = peek(p) == '^';
    if (negated) p->at++;
    while (!p->g->rc && peek(p) != ']') {
        if (p->at >= p->end || *p->at == '\n' || *p->at == '\r') {
            p->at = open;
            bad(p, "this class of characters has no ] on its line");
            break;
        }
        const char *from = p->at;
        uint32_t lo = character(p), hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->end && p->at[1] != ']') {
            p->at++;
            hi = character(p);
        }
        if (lo > hi) {
            p->at = from;
            bad(p, "this range of characters ends before it begins");
        }
        cp_add(p->g, &s, lo, hi);
    }
    p->at++;
    if (negated && !p->g->rc) cp_negate(p->g, &s);
    return gram_set(p->g, &s);
}

/* ---- tokens ---- */

static const struct gnode *token(struct gbnf *p)
{
    const char *open = p->at;
    bool negated = *p->at == '!';
    p->at += negated + 1u;
    if (peek(p) == '[') {
        uint32_t id = 0;
        const char *digits = ++p->at;
        for (; p->at < p->end && *p->at >= '0' && *p->at <= '9' && id < 100000000;
            p->at++) id = id * 10 + (uint32_t)(*p->at - '0');
        if (p->at == digits || !looking_at(p, "]>")) return bad(p, "expected <[NUMBER]>");
        p->at += 2;
        return gram_token(p->g, (int32_t)id, NULL, negated);
    }
    while (p->at < p->end && *p->at != '>' && *p->at != '\n') p->at++;
    if (peek(p) != '>') {
        p->at = open;
        return bad(p, "this token has no closing >");
    }
    p->at++;
    size_t n = (size_t)(p->at - open) - negated;            /* the brackets belong to its text */
    if (n > 256) return bad(p, "a token of more than 256 bytes");
    char *text = gram_push(p->g, n + 1, 1);
    if (!text) return &gram_failure;
    memcpy(text, open + negated, n);
    return gram_token(p->g, -1, text, negated);
}

/* ---- expressions ---- */

static void push(struct gbnf *p, const struct gnode *x)
{
    if (p->n_stack == p->cap_stack) {
        size_t cap = p->cap_stack ? p->cap_stack * 2 : 256;
        const struct gnode **s = mem_resize(p->stack, cap, sizeof *s);
        if (!s) {
            gram_nomem(p->g);
            return;
        }
        p->stack = s;
        p->cap_stack = cap;
    }
    p->stack[p->n_stack++] = x;
}

static bool number(struct gbnf *p, uint32_t *v)
{
    uint64_t n = 0;
    const char *from = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if ((n = n * 10 + (uint64_t)(*p->at - '0')) >= GRAM_INF) n = GRAM_INF - 1;
    *v = (uint32_t)n;
    return p->at > from;
}

/* {n} {n,} {,m} {n,m} */
static const struct gnode *braces(struct gbnf *p, const struct gnode *x)
{
    uint32_t min = 0, max = GRAM_INF;
    const char *open = p->at++;
    skip(p, false);
    bool low = number(p, &min);
    skip(p, false);
    if (peek(p) == ',') {
        p->at++;
        skip(p, false);
        bool high = number(p, &max);
        if (!high) max = GRAM_INF;
        if (!low && !high) return bad(p, "expected a number of repetitions");
    } else {
        max = min;
        if (!low) return bad(p, "expected a number of repetitions");
    }
    skip(p, false);
    if (peek(p) != '}') return bad(p, "expected } after the number of repetitions");
    p->at++;
    if (min > max) {
        p->at = open;
        return bad(p, "the least number of repetitions is above the most");
    }
    return gram_rep(p->g, x, min, max);
}

static const struct gnode *alternatives(struct gbnf *p, bool nested);

static const struct gnode *atom(struct gbnf *p)
{
    char c = peek(p);
    if (c == '"') return literal(p);
    if (c == '[') return class(p);
    if (c == '<' || (c == '!' && p->at + 1 < p->end && p->at[1] == '<')) return token(p);
    if (c == '.') {
        p->at++;
        return gram_any(p->g);
    }
    if (c == '(') {
        const char *open = p->at++;
        if (++p->depth > GRAMMAR_NESTING) {
            fail_at(p, open, ERR_LIMIT, "more than 200 groups within groups");
            return &gram_failure;
        }
        const struct gnode *x = alternatives(p, true);
        p->depth--;
        if (p->g->rc) return x;
        if (peek(p) != ')') {
            p->at = open;
            return bad(p, "this ( has no )");
        }
        p->at++;
        return x;
    }
    size_t n = name_length(p);
    if (!n) return bad(p, "expected a rule name, a string, a class of characters, a token or a group");
    const struct gnode *x = gram_ref(p->g, rule_of(p, p->at, n));
    p->at += n;
    return x;
}

static bool ends_sequence(struct gbnf *p, bool nested)
{
    skip(p, nested);
    if (!nested && (peek(p) == '\n' || peek(p) == '\r')) {
        const char *here = p->at;
        skip(p, true);
        if (p->at >= p->end || at_definition(p)) p->at = here;
    }
    char c = peek(p);
    return p->g->rc || p->at >= p->end || c == '|' || (nested && c == ')') || (!nested && (c == '\n' || c == '\r'));
}

static const struct gnode *sequence(struct gbnf *p, bool nested)
{
    size_t base = p->n_stack;
    while (!ends_sequence(p, nested)) {
        const struct gnode *x = atom(p);
        unsigned times = 0;
        for (skip(p, nested); !p->g->rc; skip(p, nested)) {
            char c = peek(p);
            if (c == '*' || c == '+' || c == '?') {
                x = gram_rep(p->g, x, c == '+', c == '?' ? 1 : GRAM_INF);
                p->at++;
            } else if (c == '{') {
                x = braces(p, x);
            } else {
                break;
            }
            if (++times > GRAMMAR_NESTING) return bad(p, "more than 200 repetitions of one thing");
        }
        push(p, x);
    }
    if (p->g->rc) return &gram_failure;
    const struct gnode *x = gram_seq(p->g, p->stack + base, p->n_stack - base);
    p->n_stack = base;
    return x;
}

static const struct gnode *alternatives(struct gbnf *p, bool nested)
{
    size_t base = p->n_stack;
    for (;;) {
        const struct gnode *x = sequence(p, nested);
        push(p, x);
        if (p->g->rc) return &gram_failure;
        if (peek(p) != '|') break;
        p->at++;
        skip(p, true);
    }
    const struct gnode *x = gram_alt(p->g, p->stack + base, p->n_stack - base);
    p->n_stack = base;
    return x;
}

static void definition(struct gbnf *p)
{
    if (!at_definition(p)) {
        bad(p, "expected \"name ::=\"");
        return;
    }
    const char *name = p->at;
    size_t n = name_length(p);
    uint32_t rule = rule_of(p, name, n);
    if (p->g->rc) return;
    if (p->defined[rule]) {
        bad(p, "a rule of this name is already there");
        return;
    }
    p->defined[rule] = true;
    p->g->rule[rule].place = (uint32_t)(name - p->start);
    p->at += n;
    skip(p, false);
    p->at += 3;
    skip(p, true);
    const struct gnode *x = at_definition(p) ? &gram_nothing : alternatives(p, false);
    if (!p->g->rc) p->g->rule[rule].body = x;
}

/* Names without a rule of their own, as far as the caller knows them. */
static int find_others(struct gbnf *p)
{
    for (uint32_t i = 0; i <= p->mask && !p->g->rc; i++) {
        const struct name *x = &p->name[i];
        if (x->rule == GRAM_NONE || p->defined[x->rule]) continue;
        const struct gnode *body = p->use ? p->use->find(p->use->arg, p->g->rule[x->rule].name) : NULL;
        if (p->g->rc) break;
        if (body) {
            p->g->rule[x->rule].body = body;
            continue;
        }
        p->at = p->start + p->g->rule[x->rule].place;
        char what[160];
        fmt_into(what, sizeof what, "there is no rule named %.100s", p->g->rule[x->rule].name);
        fail_at(p, p->at, ERR_FORMAT, what);
    }
    return p->g->rc;
}

static int parse(struct gbnf *p, uint32_t *root)
{
    p->name = mem_new_array(struct name, (size_t)p->mask + 1);
    p->defined = mem_new_array(bool, GRAM_RULES);
    if (!p->name || !p->defined) return gram_nomem(p->g);
    for (uint32_t i = 0; i <= p->mask; i++) p->name[i].rule = GRAM_NONE;
    for (skip(p, true); !p->g->rc && p->at < p->end; skip(p, true)) definition(p);
    if (p->g->rc || find_others(p) < 0) return p->g->rc;
    *root = find(p, "root", 4)->rule;
    if (*root == GRAM_NONE) return gram_fail(p->g, ERR_FORMAT, "there is no rule named root, with which the text begins");
    return 0;
}

int gbnf_read(struct gram *g, const char *source, size_t n, const struct gbnf_use *use, uint32_t *root)
{
    if (n > GRAMMAR_SOURCE) return gram_fail(g, ERR_LIMIT, "%zu bytes, at most %d are allowed", n, GRAMMAR_SOURCE);
    struct gbnf p = { .g = g, .use = use, .start = source, .at = source, .end = source + n, .mask = 65535 };
    int rc = parse(&p, root);
    mem_free(p.name);
    mem_free(p.defined);
    mem_free(p.stack);
    return rc;
}

int grammar_from_gbnf(struct grammar **out, const char *source, size_t n, struct err *err)
{
    struct gram g;
    uint32_t root;
    *out = NULL;
    int rc = gram_init(&g, "grammar", err);
    g.source = source;
    if (rc == 0) rc = gbnf_read(&g, source, n, NULL, &root);
    if (rc == 0) rc = gram_compile(&g, root, out);
    gram_release(&g);
    return rc;
}
