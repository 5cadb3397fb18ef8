/* gram_regex.c - regular expressions, as ECMA-262 and JSON Schema write them, to expressions.
 *
 *   a|b  (a)  (?:a)  (?<name>a)  * + ? {n} {n,} {n,m}, each also lazy (which changes no language)
 *   .  [a-z]  [^a-z]  \d \w \s \D \W \S  \n \r \t \f \v \0 \xHH \uHHHH \u{H...} \cA  ^ and $ at the ends of the alternatives
 *
 * \d and \w are ASCII; \s and . are what both ECMAScript and Python take.  Everything is an automaton: no pattern and no text
 * takes more than linear time.  Back references, looking around, \b and flags are refused. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gram.h"

struct regex {
    struct gram *g;
    const struct regex_use *use;
    const char *start, *at, *end;
    unsigned depth;
    const struct gnode **stack;
    size_t n_stack, cap_stack;
};

static const struct gnode *fail(struct regex *p, const char *at, int code, const char *what)
{
    size_t column = 1;
    for (const char *c = p->start; c < at; c++) column += ((unsigned char)*c & 0xc0) != 0x80;
    gram_fail(p->g, code, "pattern: character %zu: %s", column, what);
    return &gram_failure;
}

static char peek(const struct regex *p) { return p->at < p->end ? *p->at : 0; }
static bool take(struct regex *p, const char *s)
{
    size_t n = strlen(s);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, s, n) != 0) return false;
    p->at += n;
    return true;
}

static void push(struct regex *p, const struct gnode *x)
{
    if (p->n_stack == p->cap_stack) {
        size_t cap = p->cap_stack ? p->cap_stack * 2 : 64;
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

static const struct gnode *characters(struct regex *p, struct cp_set *s)
{
    return p->use->spell ? p->use->spell(p->g, s) : gram_set(p->g, s);
}

/* ---- characters ---- */

static const struct cp_range white[] = {
    { 9, 13 }, { ' ', ' ' }, { 0xa0, 0xa0 }, { 0x1680, 0x1680 }, { 0x2000, 0x200a }, { 0x2028, 0x2029 }, { 0x202f, 0x202f },
    { 0x205f, 0x205f }, { 0x3000, 0x3000 },
};
/* What only one of ECMAScript and Python calls white space. */
static const struct cp_range doubtful[] = { { 0x1c, 0x1f }, { 0x85, 0x85 }, { 0x180e, 0x180e }, { 0xfeff, 0xfeff } };

/* Adds \d, \w, \s or their opposites; false for other letters. */
static bool add_class(struct regex *p, struct cp_set *out, char c)
{
    struct cp_set s = { 0 };
    switch (c | 0x20) {
    case 'w':
        cp_add(p->g, &s, 'A', 'Z');
        cp_add(p->g, &s, 'a', 'z');
        cp_add(p->g, &s, '_', '_');
        cp_add(p->g, &s, '0', '9');
        break;
    case 'd': cp_add(p->g, &s, '0', '9'); break;
    case 's':
        for (size_t i = 0; i < sizeof white / sizeof *white; i++) cp_add(p->g, &s, white[i].lo, white[i].hi);
        for (size_t i = 0; c == 'S' && i < sizeof doubtful / sizeof *doubtful; i++)
            cp_add(p->g, &s, doubtful[i].lo, doubtful[i].hi);
        break;
    default: return false;
    }
    if (!(c & 0x20)) cp_negate(p->g, &s);
    cp_add_set(p->g, out, &s);
    cp_release(&s);
    return true;
}

static int hex(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static uint32_t hex_digits(struct regex *p, unsigned n)
{
    uint32_t v = 0;
    for (unsigned i = 0; i < n; i++) {
        int h = p->at < p->end ? hex(*p->at) : -1;
        if (h < 0) {
            fail(p, p->at, ERR_FORMAT, "expected hexadecimal digits");
            return 0;
        }
        v = v << 4 | (unsigned)h;
        p->at++;
    }
    return v;
}

static uint32_t code_point(struct regex *p)
{
    uint32_t v = 0;
    if (!take(p, "{")) {
        v = hex_digits(p, 4);
        if (v >= 0xd800 && v < 0xdc00 && take(p, "\\u")) {
            uint32_t low = hex_digits(p, 4);
            if (low >= 0xdc00 && low < 0xe000) v = 0x10000 + ((v - 0xd800) << 10) + (low - 0xdc00);
        }
    } else {
        while (p->at < p->end && hex(*p->at) >= 0 && v <= GRAM_LAST_CHAR) v = v << 4 | (unsigned)hex(*p->at++);
        if (!take(p, "}")) fail(p, p->at, ERR_FORMAT, "expected }");
    }
    if (v > GRAM_LAST_CHAR || (v >= 0xd800 && v < 0xe000)) fail(p, p->at, ERR_FORMAT, "this escape is no Unicode character");
    return v;
}

/* Behind a backslash: one character. */
static uint32_t escaped(struct regex *p)
{
    static const char named[] = "n\nr\rt\tf\fv\v";
    char c = peek(p);
    for (const char *s = named; *s; s += 2)
        if (c == *s) {
            p->at++;
            return (unsigned char)s[1];
        }
    if (c == '0' && !(p->at + 1 < p->end && p->at[1] >= '0' && p->at[1] <= '9')) {
        p->at++;
        return 0;
    }
    if (take(p, "x")) return hex_digits(p, 2);
    if (take(p, "u")) return code_point(p);
    if (c == 'c' && p->at + 1 < p->end && ((p->at[1] | 0x20) >= 'a' && (p->at[1] | 0x20) <= 'z')) {
        p->at += 2;
        return (uint32_t)p->at[-1] & 31;
    }
    if (c >= '0' && c <= '9') {
        fail(p, p->at - 1, ERR_UNSUPPORTED, "back references are not possible");
        return 0;
    }
    if (p->at >= p->end || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) {
        fail(p, p->at - 1, c == 'b' || c == 'B' || c == 'p' || c == 'P' || c == 'k' ? ERR_UNSUPPORTED : ERR_FORMAT,
             "this escape is unknown, or not possible here (\\b, \\p, \\k)");
        return 0;
    }
    size_t len;
    uint32_t cp = utf8_decode(p->at, (size_t)(p->end - p->at), &len);
    p->at += len;
    return cp;
}

/* One character of a class, or a class within it (then UTF8_BAD, and it was added). */
static uint32_t class_item(struct regex *p, struct cp_set *s)
{
    if (take(p, "\\")) {
        if (add_class(p, s, peek(p))) {
            p->at++;
            return UTF8_BAD;
        }
        if (take(p, "b")) return 8;
        return escaped(p);
    }
    size_t len;
    uint32_t cp = utf8_decode(p->at, (size_t)(p->end - p->at), &len);
    p->at += len;
    return cp;
}

static const struct gnode *class(struct regex *p)
{
    const char *open = p->at - 1;
    struct cp_set s = { 0 };
    bool negated = take(p, "^");
    while (!p->g->rc && peek(p) != ']') {
        if (p->at >= p->end) {
            fail(p, open, ERR_FORMAT, "this [ has no ]");
            break;
        }
        const char *from = p->at;
        uint32_t lo = class_item(p, &s), hi = lo;
        if (peek(p) == '-' && p->at + 1 < p->end && p->at[1] != ']') {
            p->at++;
            hi = class_item(p, &s);
            if (lo == UTF8_BAD || hi == UTF8_BAD) fail(p, from, ERR_FORMAT, "a range between classes of characters");
            else if (lo > hi) fail(p, from, ERR_FORMAT, "this range of characters ends before it begins");
        }
        if (lo != UTF8_BAD) cp_add(p->g, &s, lo, hi);
    }
    p->at++;
    if (negated && !p->g->rc) cp_negate(p->g, &s);
    return characters(p, &s);
}

static const struct gnode *any(struct regex *p)
{
    struct cp_set s = { 0 };
    cp_add(p->g, &s, '\n', '\n');
    cp_add(p->g, &s, '\r', '\r');
    cp_add(p->g, &s, 0x2028, 0x2029);
    cp_negate(p->g, &s);
    return characters(p, &s);
}

/* ---- expressions ---- */

static const struct gnode *alternatives(struct regex *p, bool outside);

static const struct gnode *group(struct regex *p)
{
    const char *open = p->at - 1;
    if (peek(p) == '?') {
        bool named = (take(p, "?<") || take(p, "?P<")) && peek(p) != '=' && peek(p) != '!';
        if (named) {
            while (p->at < p->end && *p->at != '>' && *p->at != ')') p->at++;
            if (!take(p, ">")) return fail(p, open, ERR_FORMAT, "this group's name has no >");
        } else if (!take(p, "?:")) {
            return fail(p, open, ERR_UNSUPPORTED, "looking ahead or behind, and flags, are not possible");
        }
    }
    if (++p->depth > GRAMMAR_NESTING) return fail(p, open, ERR_LIMIT, "more than 200 groups within groups");
    const struct gnode *x = alternatives(p, false);
    p->depth--;
    if (p->g->rc || take(p, ")")) return x;
    return fail(p, open, ERR_FORMAT, "this ( has no )");
}

static const struct gnode *atom(struct regex *p)
{
    struct cp_set s = { 0 };
    const char *at = p->at;
    if (take(p, "(")) return group(p);
    if (take(p, "[")) return class(p);
    if (take(p, ".")) return any(p);
    if (take(p, "\\")) {
        if (add_class(p, &s, peek(p))) {
            p->at++;
            return characters(p, &s);
        }
        uint32_t cp = escaped(p);
        cp_add(p->g, &s, cp, cp);
        return characters(p, &s);
    }
    if (strchr("*+?", *at) && *at) return fail(p, at, ERR_FORMAT, "there is nothing to repeat");
    if (*at == '^' || *at == '$') return fail(p, at, ERR_UNSUPPORTED,
        "^ and $ are only possible at the ends of the whole pattern");
    size_t len;
    uint32_t cp = utf8_decode(at, (size_t)(p->end - at), &len);
    if (cp == UTF8_BAD) return fail(p, at, ERR_FORMAT, "not valid UTF-8");
    p->at += len;
    cp_add(p->g, &s, cp, cp);
    return characters(p, &s);
}

static bool number(struct regex *p, uint32_t *v)
{
    uint64_t n = 0;
    const char *from = p->at;
    for (; p->at < p->end && *p->at >= '0' && *p->at <= '9'; p->at++)
        if ((n = n * 10 + (uint64_t)(*p->at - '0')) >= GRAM_INF) n = GRAM_INF - 1;
    *v = (uint32_t)n;
    return p->at > from;
}

/* {n}, {n,} or {n,m}; anything else is a brace like any character. */
static bool braces(struct regex *p, uint32_t *min, uint32_t *max)
{
    const char *open = p->at;
    if (!take(p, "{")) return false;
    bool ok = number(p, min);
    *max = *min;
    if (ok && take(p, ",") && !number(p, max)) *max = GRAM_INF;
    if (ok && take(p, "}")) return true;
    p->at = open;
    return false;
}

static const struct gnode *repeated(struct regex *p)
{
    const struct gnode *x = atom(p);
    for (unsigned times = 0; !p->g->rc; times++) {
        uint32_t min = 0, max = GRAM_INF;
        const char *at = p->at;
        if (take(p, "+")) min = 1;
        else if (take(p, "?")) max = 1;
        else if (!take(p, "*") && !braces(p, &min, &max)) break;
        if (times) return fail(p, at, ERR_FORMAT, "a repetition of a repetition");
        if (min > max) return fail(p, at, ERR_FORMAT, "the least number of repetitions is above the most");
        take(p, "?");
        x = gram_rep(p->g, x, min, max);
    }
    return x;
}

static const struct gnode *free_text(struct regex *p)
{
    struct cp_set s = { 0 };
    cp_add(p->g, &s, 0, GRAM_LAST_CHAR);
    return gram_rep(p->g, characters(p, &s), 0, GRAM_INF);
}

static bool at_end(const struct regex *p)
{
    return p->at >= p->end || *p->at == '|' || *p->at == ')';
}

/* outside: an alternative of the whole pattern, which may be anchored. */
static const struct gnode *sequence(struct regex *p, bool outside)
{
    size_t base = p->n_stack;
    bool first = false, last = false;
    while (outside && take(p, "^")) first = true;
    if (outside && p->use->search && !first) push(p, free_text(p));
    while (!p->g->rc && !at_end(p)) {
        if (outside && take(p, "$")) {
            last = true;
            if (!at_end(p)) fail(p, p->at - 1, ERR_UNSUPPORTED, "^ and $ are only possible at the ends of the whole pattern");
            break;
        }
        push(p, repeated(p));
    }
    if (outside && p->use->search && !last) push(p, free_text(p));
    if (p->g->rc) return &gram_failure;
    const struct gnode *x = gram_seq(p->g, p->stack + base, p->n_stack - base);
    p->n_stack = base;
    return x;
}

static const struct gnode *alternatives(struct regex *p, bool outside)
{
    size_t base = p->n_stack;
    do push(p, sequence(p, outside));
    while (!p->g->rc && take(p, "|"));
    if (p->g->rc) return &gram_failure;
    const struct gnode *x = gram_alt(p->g, p->stack + base, p->n_stack - base);
    p->n_stack = base;
    return x;
}


const struct gnode *gram_regex(struct gram *g, const char *pattern, size_t n, const struct regex_use *use)
{
    struct regex p = { .g = g, .use = use, .start = pattern, .at = pattern, .end = pattern + n };
    if (n > GRAMMAR_SOURCE / 16) {
        gram_fail(g, ERR_LIMIT, "a pattern of %zu bytes, at most %d are allowed", n, GRAMMAR_SOURCE / 16);
        return &gram_failure;
    }
    const struct gnode *x = alternatives(&p, true);
    if (!g->rc && p.at < p.end) fail(&p, p.at, ERR_FORMAT, "this ) has no (");
    mem_free(p.stack);
    return g->rc ? &gram_failure : x;
}

int grammar_from_regex(struct grammar **out, const char *pattern, size_t n, struct err *err)
{
    static const struct regex_use whole = { 0 };
    struct gram g;
    *out = NULL;
    int rc = gram_init(&g, "regex", err);
    const struct gnode *x = rc == 0 ? gram_regex(&g, pattern, n, &whole) : &gram_failure;
    uint32_t root = gram_rule(&g, "root", 0);
    if (root != GRAM_NONE) g.rule[root].body = x;
    rc = gram_compile(&g, root, out);
    gram_release(&g);
    return rc;
}
