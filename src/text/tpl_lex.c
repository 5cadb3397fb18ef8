/* tpl_lex.c - template source to tokens.
 *
 * White space follows jinja2 with trim_blocks and lstrip_blocks: "-" at a tag removes all white space on that side,
 * "+" keeps it, a block or comment takes the newline after it and the blanks before it on its own line. */
#include <string.h>

#include "text/tpl.h"

static const struct { const char *s; enum tok type; } op_table[] = {
    { "//", T_FLOORDIV }, { "**", T_POW }, { "==", T_EQ }, { "!=", T_NE }, { ">=", T_GE }, { "<=", T_LE },
    { "+", T_ADD }, { "-", T_SUB }, { "*", T_MUL }, { "/", T_DIV }, { "%", T_MOD }, { "~", T_TILDE },
    { "(", T_LPAREN }, { ")", T_RPAREN }, { "[", T_LBRACKET }, { "]", T_RBRACKET }, { "{", T_LBRACE },
    { "}", T_RBRACE }, { ">", T_GT }, { "<", T_LT }, { "=", T_ASSIGN }, { ".", T_DOT }, { ":", T_COLON },
    { "|", T_PIPE }, { ",", T_COMMA }, { ";", T_SEMICOLON },
};

const char *lex_name(enum tok type)
{
    switch (type) {
    case T_EOF: return "the end of the template";
    case T_DATA: return "text";
    case T_VAR_BEGIN: return "{{";
    case T_VAR_END: return "}}";
    case T_BLOCK_BEGIN: return "{%";
    case T_BLOCK_END: return "%}";
    case T_NAME: return "a name";
    case T_STRING: return "a string";
    case T_INT:
    case T_FLOAT: return "a number";
    case T_IN: return "in";
    case T_NOT_IN: return "not in";
    default: break;
    }
    for (size_t i = 0; i < sizeof op_table / sizeof *op_table; i++)
        if (op_table[i].type == type) return op_table[i].s;
    return "?";
}

static uint32_t column(const struct lexer *lx, const char *p) { return (uint32_t)(p - lx->line_start) + 1; }

static void fail_at(struct lexer *lx, uint32_t line, uint32_t col, const char *what)
{
    if (!lx->rc) lx->rc = err_set(lx->err, ERR_FORMAT, "template: line %u, column %u: %s", line, col, what);
}

static void fail(struct lexer *lx, const char *what) { fail_at(lx, lx->line, column(lx, lx->at), what); }

/* Moves on to p, counting the lines passed. */
static void advance(struct lexer *lx, const char *p)
{
    for (const char *nl; (nl = memchr(lx->at, '\n', (size_t)(p - lx->at)));) {
        lx->line++;
        lx->at = lx->line_start = nl + 1;
    }
    lx->at = p;
}

int lex_init(struct lexer *lx, struct arena *mem, const char *source, size_t n, struct err *err)
{
    *lx = (struct lexer){ .line = 1, .line_starting = true, .mem = mem, .err = err };
    char *d = arena_push(mem, n + 1, 1);
    if (!d) return err_set(err, ERR_NOMEM, "template: out of memory");
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        d[m++] = source[i] == '\r' ? '\n' : source[i];
        if (source[i] == '\r' && i + 1 < n && source[i + 1] == '\n') i++;
    }
    if (m && d[m - 1] == '\n') m--;
    struct str s = { d, m };
    if (memchr(d, '\xff', m)) return err_set(err, ERR_FORMAT, "template: not valid UTF-8");
    for (size_t i = 0; i < m; i += str_step(s, i))
        if (((unsigned char)d[i] & 0x80) && str_char(s, i) == 0xfffd && memcmp(d + i, "\xef\xbf\xbd", 3) != 0)
            return err_set(err, ERR_FORMAT, "template: not valid UTF-8 at byte %zu", i);
    lx->start = lx->at = lx->line_start = d;
    lx->end = d + m;
    return 0;
}

static bool looking_at(const char *p, const char *end, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(end - p) >= n && memcmp(p, what, n) == 0;
}

static const char *skip_space(const char *p, const char *end)
{
    struct str s = { p, (size_t)(end - p) };
    size_t i = 0;
    while (i < s.n && char_is_space(str_char(s, i))) i += str_step(s, i);
    return p + i;
}

/* The start of a tag that white space control removes from data[from..to). */
static const char *strip_before(struct lexer *lx, const char *from, const char *tag)
{
    char sign = tag + 2 < lx->end ? tag[2] : 0;
    if (sign == '-') return from + str_trim((struct str){ from, (size_t)(tag - from) }, NULL, 2).n;
    if (sign == '+' || tag[1] == '{') return tag;
    const char *line = tag;
    while (line > from && line[-1] != '\n') line--;
    if (line == from && !lx->line_starting) return tag;
    return skip_space(line, tag) == tag ? line : tag;
}

/* Where a tag ends that closes at p with "%}" or the like (p is at the sign or the first closing character). */
static const char *after_close(struct lexer *lx, const char *p, bool trim)
{
    char sign = *p;
    if (sign == '-' || sign == '+') p++;
    p += 2;
    if (sign == '-') p = skip_space(p, lx->end);
    else if (trim && sign != '+' && p < lx->end && *p == '\n') p++;
    lx->line_starting = p[-1] == '\n';
    return p;
}

static bool closes(const char *p, const char *end, const char *close, bool plus)
{
    if (looking_at(p, end, close)) return true;
    return p < end && (*p == '-' || (plus && *p == '+')) && looking_at(p + 1, end, close);
}

/* The end of "{%- raw" or "{% endraw" at p when it is that tag: the character where it closes, else NULL. */
static const char *keyword_tag(const char *p, const char *end, const char *word, bool plus)
{
    p += 2;
    if (p < end && (*p == '-' || *p == '+')) p++;
    p = skip_space(p, end);
    if (!looking_at(p, end, word)) return NULL;
    p = skip_space(p + strlen(word), end);
    return closes(p, end, "%}", plus) ? p : NULL;
}

/* Skips a comment whose "{#" is at lx->at. */
static void skip_comment(struct lexer *lx)
{
    const char *p = lx->at + 2;
    if (p < lx->end && (*p == '-' || *p == '+')) p++;
    for (; p < lx->end; p++)
        if (closes(p, lx->end, "#}", true)) {
            advance(lx, after_close(lx, p, true));
            return;
        }
    fail(lx, "this comment has no end, expected #}");
}

/* {% raw %}: its text is one piece of data.  body is where the opening tag closes. */
static void lex_raw(struct lexer *lx, struct token *t, const char *body)
{
    const char *from = after_close(lx, body, false);
    for (const char *p = from; p < lx->end; p++) {
        const char *close = looking_at(p, lx->end, "{%") ? keyword_tag(p, lx->end, "endraw", true) : NULL;
        if (!close) continue;
        const char *to = strip_before(lx, from, p);
        advance(lx, from);
        t->type = T_DATA;
        t->line = lx->line;
        t->col = column(lx, from);
        t->s = (struct str){ from, (size_t)(to - from) };
        advance(lx, after_close(lx, close, true));
        return;
    }
    fail(lx, "raw has no endraw");
}

static const char *find_tag(const char *p, const char *end)
{
    for (; p < end && (p = memchr(p, '{', (size_t)(end - p))); p++)
        if (p + 1 < end && (p[1] == '{' || p[1] == '%' || p[1] == '#')) return p;
    return end;
}

/* One step outside tags: data up to a tag, or the tag's begin. */
static void lex_data(struct lexer *lx, struct token *t)
{
    const char *from = lx->at, *tag = find_tag(from, lx->end);
    t->line = lx->line;
    t->col = column(lx, from);
    t->type = T_DATA;
    if (tag == lx->end) {
        t->s = (struct str){ from, (size_t)(lx->end - from) };
        if (!t->s.n) t->type = T_EOF;
        advance(lx, lx->end);
        return;
    }
    t->s = (struct str){ from, (size_t)(strip_before(lx, from, tag) - from) };
    advance(lx, tag);
    if (tag[1] == '#') {
        skip_comment(lx);
        return;
    }
    const char *raw = tag[1] == '%' ? keyword_tag(tag, lx->end, "raw", false) : NULL;
    if (raw) {
        if (t->s.n) {                       /* give the text first; the tag is seen again with nothing before it */
            lx->line_starting = false;
            return;
        }
        lex_raw(lx, t, raw);
        return;
    }
    lx->inside = true;
    lx->depth = 0;
    lx->close = tag[1] == '{' ? T_VAR_END : T_BLOCK_END;
    lx->pending = tag[1] == '{' ? T_VAR_BEGIN : T_BLOCK_BEGIN;
    lx->pending_line = lx->line;
    lx->pending_col = column(lx, tag);
    tag += 2;
    if (tag < lx->end && (*tag == '-' || *tag == '+')) tag++;
    advance(lx, tag);
}

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Reads up to max digits of the base at *p. */
static uint32_t read_digits(const char **p, const char *end, int base, int max, int *count)
{
    uint32_t v = 0;
    for (*count = 0; *count < max && *p < end; (*count)++, (*p)++) {
        int d = hex_value(**p);
        if (d < 0 || d >= base) break;
        v = v * (uint32_t)base + (uint32_t)d;
    }
    return v;
}

/* One escape sequence after the backslash, as Python's unicode-escape reads it. */
static bool unescape(const char **p, const char *end, struct buf *out)
{
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char c = *(*p)++;
    int count, want = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (c == '\n') return true;
    for (const char *q = plain; *q; q += 2)
        if (*q == c) {
            buf_putc(out, q[1]);
            return true;
        }
    if (c >= '0' && c <= '7') {
        (*p)--;
        put_char(out, read_digits(p, end, 8, 3, &count));
    } else if (want) {
        uint32_t v = read_digits(p, end, 16, want, &count);
        if (count != want || v > 0x10ffff || (v >= 0xd800 && v < 0xe000)) return false;
        put_char(out, v);
    } else {
        buf_putc(out, '\\');
        buf_putc(out, c);
    }
    return true;
}

static void lex_string(struct lexer *lx, struct token *t)
{
    const char *p = lx->at + 1, *from = p;
    bool escaped = false;
    while (p < lx->end && *p != *lx->at) {
        if (*p == '\\') escaped = true, p++;
        if (p < lx->end) p++;
    }
    if (p >= lx->end) {
        fail(lx, "this string has no end");
        return;
    }
    t->type = T_STRING;
    t->s = (struct str){ from, (size_t)(p - from) };
    if (escaped) {
        struct buf b = { .limit = t->s.n * 4 + 4 };
        bool ok = true;
        for (const char *q = from; ok && q < p;) {
            if (*q != '\\') buf_putc(&b, *q++);
            else {
                q++;
                ok = unescape(&q, p, &b);
            }
        }
        char *d = b.bad ? NULL : arena_strdup(lx->mem, b.data ? b.data : "", b.len);
        t->s = (struct str){ d, b.len };
        buf_release(&b);
        if (!ok) fail(lx, "malformed escape in this string");
        else if (!d && !lx->rc) lx->rc = err_set(lx->err, ERR_NOMEM, "template: out of memory");
    }
    advance(lx, p + 1);
}

static const char *digits(const char *p, const char *end)
{
    while (p < end && ((*p >= '0' && *p <= '9') || (*p == '_' && p + 1 < end && p[1] >= '0' && p[1] <= '9'))) p++;
    return p;
}

static bool is_digit(const char *p, const char *end) { return p < end && *p >= '0' && *p <= '9'; }

static void lex_number(struct lexer *lx, struct token *t)
{
    const char *p = lx->at, *end = lx->end;
    int base = 10;
    bool real = false;
    if (*p == '0' && p + 2 < end && strchr("xXoObB", p[1])) {
        base = (p[1] | 32) == 'x' ? 16 : (p[1] | 32) == 'o' ? 8 : 2;
        for (p += 2; p < end && (hex_value(*p) >= 0 || *p == '_'); p++) { }
    } else {
        bool member = p > lx->start && p[-1] == '.';      /* x.0.1: two subscripts, no float */
        p = digits(p, end);
        if (!member && p < end && *p == '.' && is_digit(p + 1, end)) {
            p = digits(p + 1, end);
            real = true;
        }
        const char *e = p + 1;
        if (e < end && (*e == '+' || *e == '-')) e++;
        if (!member && p < end && (*p == 'e' || *p == 'E') && is_digit(e, end)) {
            p = digits(e, end);
            real = true;
        }
    }
    struct str s = { lx->at, (size_t)(p - lx->at) };
    t->type = real ? T_FLOAT : T_INT;
    if (!real && base != 10) s = (struct str){ s.p + 2, s.n - 2 };
    if (real ? !parse_float(s, &t->f) : !parse_int(s, base, &t->i)) fail(lx, "malformed or too large number");
    advance(lx, p);
}

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || (c & 0x80);
}

static void lex_operator(struct lexer *lx, struct token *t)
{
    for (size_t i = 0; i < sizeof op_table / sizeof *op_table; i++) {
        if (!looking_at(lx->at, lx->end, op_table[i].s)) continue;
        static const char open[] = "([{", close[] = ")]}";
        const char *o = strchr(open, *lx->at), *c = strchr(close, *lx->at);
        if (o && lx->depth >= TPL_MAX_NESTING) {
            fail(lx, "more than 100 levels of brackets");
            return;
        }
        if (o) lx->nest[lx->depth++] = close[o - open];
        if (c && (!lx->depth || lx->nest[--lx->depth] != *c)) {
            fail(lx, "this bracket closes nothing");
            return;
        }
        t->type = op_table[i].type;
        advance(lx, lx->at + strlen(op_table[i].s));
        return;
    }
    fail(lx, "unexpected character");
}

static void lex_tag(struct lexer *lx, struct token *t)
{
    advance(lx, skip_space(lx->at, lx->end));
    t->line = lx->line;
    t->col = column(lx, lx->at);
    const char *p = lx->at, *close = lx->close == T_VAR_END ? "}}" : "%}";
    if (p == lx->end) {
        t->type = T_EOF;
    } else if (!lx->depth && closes(p, lx->end, close, lx->close == T_BLOCK_END)) {
        t->type = lx->close;
        lx->inside = false;
        advance(lx, after_close(lx, p, lx->close == T_BLOCK_END));
    } else if (*p == '"' || *p == '\'') {
        lex_string(lx, t);
    } else if (*p >= '0' && *p <= '9') {
        lex_number(lx, t);
    } else if (name_char(*p)) {
        while (p < lx->end && name_char(*p)) p++;
        t->type = T_NAME;
        t->s = (struct str){ lx->at, (size_t)(p - lx->at) };
        advance(lx, p);
    } else {
        lex_operator(lx, t);
    }
}

void lex_next(struct lexer *lx, struct token *t)
{
    do {
        *t = (struct token){ .type = T_EOF, .line = lx->line, .col = column(lx, lx->at) };
        if (lx->pending) {
            t->type = lx->pending;
            t->line = lx->pending_line;
            t->col = lx->pending_col;
            lx->pending = T_EOF;
        } else if (lx->inside) {
            lex_tag(lx, t);
        } else {
            lex_data(lx, t);
        }
    } while (!lx->rc && t->type == T_DATA && !t->s.n);
    if (lx->rc) t->type = T_EOF;
}
