/* gotpl_lex.c - the tokens of Go's templates. */
#include <string.h>

#include "base/utf8.h"
#include "text/gotpl.h"

static bool space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static bool digit(char c) { return c >= '0' && c <= '9'; }

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool starts(const struct go_lexer *lx, const char *what)
{
    size_t n = strlen(what);
    return (size_t)(lx->end - lx->at) >= n && memcmp(lx->at, what, n) == 0;
}

const char *go_tok_name(enum go_tok type)
{
    static const char *const name[] = {
        "the end of the template", "text", "{{", "}}", "a word", "a field", "a variable", ".", "a string", "a number", "a number",
        "(", ")", "|", ",", "=", ":=",
    };
    return name[type];
}

static void move(struct go_lexer *lx, const char *to)
{
    for (; lx->at < to; lx->at++)
        if (*lx->at == '\n') {
            lx->line++;
            lx->line_start = lx->at + 1;
        }
}

static void place(struct go_parser *p)
{
    p->cur.line = p->base.cur.line = p->lx.line;
    p->cur.col = p->base.cur.col = (uint32_t)(p->lx.at - p->lx.line_start) + 1;
}

static void fail(struct go_parser *p, const char *what)
{
    parser_fail(&p->base, "%s", what);
    p->cur.type = GO_EOF;
    p->lx.at = p->lx.end;
    p->lx.inside = false;
}

static const char *find(const char *at, const char *end, const char *two)
{
    for (; end - at >= 2 && (at = memchr(at, two[0], (size_t)(end - at - 1))); at++)
        if (at[1] == two[1]) return at;
    return NULL;
}

/* A remark goes up to its end, which must be that of the tag. */
static bool skip_remark(struct go_parser *p)
{
    struct go_lexer *lx = &p->lx;
    const char *close = find(lx->at + 2, lx->end, "*/");
    if (!close) {
        fail(p, "this remark is not closed by */");
        return false;
    }
    move(lx, close + 2);
    lx->trim = lx->at < lx->end && space(*lx->at) && lx->at + 1 < lx->end && lx->at[1] == '-';
    if (lx->trim) move(lx, lx->at + 2);
    if (starts(lx, "}}")) {
        lx->at += 2;
        return true;
    }
    place(p);
    fail(p, "a remark must end its tag: */}}");
    return false;
}

/* Text up to the next tag; when there is none, the tag's beginning. */
static void outside(struct go_parser *p)
{
    struct go_lexer *lx = &p->lx;
    for (;;) {
        if (lx->trim)
            while (lx->at < lx->end && space(*lx->at)) move(lx, lx->at + 1);
        lx->trim = false;
        place(p);
        const char *open = find(lx->at, lx->end, "{{"), *to = open ? open : lx->end;
        bool dash = open && lx->end - open > 3 && open[2] == '-' && space(open[3]);
        p->cur.s = (struct str){ lx->at, (size_t)(to - lx->at) };
        while (dash && p->cur.s.n && space(p->cur.s.p[p->cur.s.n - 1])) p->cur.s.n--;
        move(lx, to);
        if (p->cur.s.n) {
            p->cur.type = GO_TEXT;
            return;
        }
        p->cur.type = GO_EOF;
        place(p);
        if (!open) return;
        move(lx, open + (dash ? 4 : 2));
        if (!starts(lx, "/*")) break;
        if (!skip_remark(p)) return;
    }
    p->cur.type = GO_OPEN;
    lx->inside = true;
}

/* ---- constants ---- */

static int hex_digit(char c)
{
    return digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

/* The escape behind a backslash; *code is a code point, or a byte when *byte is set. */
static bool escape(const char **at, const char *end, char quote, uint32_t *code, bool *byte)
{
    static const char plain[] = "abfnrtv\\", code_of[] = "\a\b\f\n\r\t\v\\";
    char c = **at;
    const char *k = c ? strchr(plain, c) : NULL;
    int n = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 3, base = c >= '0' && c <= '7' ? 8 : 16;
    *byte = false;
    *code = 0;
    if (k || c == quote) {
        *code = (uint32_t)(k ? code_of[k - plain] : quote);
        (*at)++;
        return true;
    }
    if (base == 16 && n == 3) return false;
    *byte = n < 4;
    *at += base == 16;
    for (; n > 0; n--, (*at)++) {
        if (*at >= end || hex_digit(**at) >= base || *code > 0x10ffff) return false;
        *code = *code * (uint32_t)base + (uint32_t)hex_digit(**at);
    }
    return *byte ? *code < 256 : *code <= 0x10ffff && (*code < 0xd800 || *code > 0xdfff);
}

/* "..." with escapes, or '.', whose value is the character's number. */
static void quoted(struct go_parser *p, char quote)
{
    struct go_lexer *lx = &p->lx;
    struct buf b = { 0 };
    uint32_t code = 0;
    bool byte, good = true;
    const char *at = lx->at + 1;
    size_t chars = 0;
    for (; good && at < lx->end && *at != quote && *at != '\n'; chars++) {
        if (*at == '\\') {
            good = ++at < lx->end && escape(&at, lx->end, quote, &code, &byte);
            if (good && byte) buf_putc(&b, (char)code);
            else if (good) put_char(&b, code);
        } else {
            struct str s = { at, (size_t)(lx->end - at) };
            code = str_char(s, 0);
            buf_put(&b, at, str_step(s, 0));
            at += str_step(s, 0);
        }
    }
    p->cur.type = quote == '"' ? GO_STRING : GO_INT;
    p->cur.i = code;
    if (!good) fail(p, "no escape that Go knows");
    else if (at >= lx->end || *at != quote) fail(p, "this string is not closed on its line");
    else if (quote == '\'' && chars != 1) fail(p, "a character constant has one character");
    else if (b.len && !utf8_valid(b.data, b.len)) fail(p, "the escapes of this string give no UTF-8");
    else {
        const char *copy = arena_strdup(p->base.mem, b.data ? b.data : "", b.len);
        if (!copy || b.bad) fail(p, "out of memory");
        p->cur.s = (struct str){ copy, b.len };
        lx->at = p->base.rc ? lx->end : at + 1;
    }
    buf_release(&b);
}

/* `...`: as it stands, but for carriage returns. */
static void raw(struct go_parser *p)
{
    struct go_lexer *lx = &p->lx;
    const char *from = lx->at + 1, *close = memchr(from, '`', (size_t)(lx->end - from));
    char *copy = close ? arena_push(p->base.mem, (size_t)(close - from) + 1, 1) : NULL;
    if (!close) {
        fail(p, "this string is not closed by `");
        return;
    }
    if (!copy) {
        fail(p, "out of memory");
        return;
    }
    size_t n = 0;
    for (const char *c = from; c < close; c++)
        if (*c != '\r') copy[n++] = *c;
    p->cur.type = GO_STRING;
    p->cur.s = (struct str){ copy, n };
    move(lx, close + 1);
}

static bool whole(struct str s, int64_t *out)
{
    bool minus = s.n && *s.p == '-';
    uint64_t v = 0, most = (uint64_t)INT64_MAX + minus;
    unsigned base = 10;
    if (s.n && (*s.p == '-' || *s.p == '+')) s.p++, s.n--;
    if (s.n > 1 && *s.p == '0') {
        char c = s.p[1] | 0x20;
        base = c == 'x' ? 16 : c == 'b' ? 2 : 8;
        size_t skip = c == 'x' || c == 'b' || c == 'o' ? 2 : 1;
        s.p += skip, s.n -= skip;
    }
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] == '_') continue;
        unsigned d = (unsigned)hex_digit(s.p[i]);
        if (d >= base || v > (most - d) / base) return false;
        v = v * base + d;
    }
    *out = minus ? (int64_t)(0 - v) : (int64_t)v;
    return s.n > 0;
}

static void number(struct go_parser *p)
{
    struct go_lexer *lx = &p->lx;
    const char *at = lx->at;
    bool point = false;
    if (*at == '-' || *at == '+') at++;
    bool hex = lx->end - at > 1 && *at == '0' && (at[1] | 0x20) == 'x';
    for (; at < lx->end && (digit(*at) || letter(*at) || *at == '.'); at++) {
        bool exp = !hex && (*at | 0x20) == 'e';
        point = point || *at == '.' || exp;
        if (exp && lx->end - at > 1 && (at[1] == '-' || at[1] == '+')) at++;
    }
    p->cur.s = (struct str){ lx->at, (size_t)(at - lx->at) };
    p->cur.type = point ? GO_FLOAT : GO_INT;
    bool good = point ? parse_float(p->cur.s, &p->cur.f) : whole(p->cur.s, &p->cur.i);
    if (!good) parser_fail(&p->base, "\"%.*s\" is no number that can be used here", STR_ARG(p->cur.s));
    if (!good) fail(p, "");
    else lx->at = at;
}

/* ---- inside a tag ---- */

static void word(struct go_parser *p, enum go_tok type, size_t skip)
{
    const char *at = p->lx.at + skip, *from = at;
    while (at < p->lx.end && (letter(*at) || digit(*at))) at++;
    p->cur.type = type;
    p->cur.s = (struct str){ from, (size_t)(at - from) };
    p->lx.at = at;
}

static bool closes(struct go_parser *p)
{
    struct go_lexer *lx = &p->lx;
    bool dash = starts(lx, " -}}") || starts(lx, "\t-}}") || starts(lx, "\n-}}") || starts(lx, "\r-}}");
    if (!dash && !starts(lx, "}}")) return false;
    p->cur.type = GO_CLOSE;
    move(lx, lx->at + (dash ? 4 : 2));
    lx->inside = false;
    lx->trim = dash;
    return true;
}

static void sign(struct go_parser *p)
{
    static const struct { const char *text; enum go_tok type; } row[] = {
        { "(", GO_LPAREN }, { ")", GO_RPAREN }, { "|", GO_PIPE }, { ",", GO_COMMA }, { ":=", GO_DECLARE }, { "=", GO_ASSIGN },
        { ".", GO_DOT },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (starts(&p->lx, row[i].text)) {
            p->cur.type = row[i].type;
            p->lx.at += strlen(row[i].text);
            return;
        }
    fail(p, "a character that has no meaning here");
}

void go_next(struct go_parser *p)
{
    struct go_lexer *lx = &p->lx;
    p->cur = (struct go_token){ .type = GO_EOF };
    if (p->base.rc) return;
    if (!lx->inside) {
        outside(p);
        return;
    }
    place(p);
    while (!closes(p)) {
        if (lx->at == lx->end) {
            fail(p, "this tag is not closed by }}");
            return;
        }
        char c = *lx->at, after = lx->end - lx->at > 1 ? lx->at[1] : 0;
        if (!space(c)) {
            place(p);
            if (c == '"' || c == '\'') quoted(p, c);
            else if (c == '`') raw(p);
            else if (c == '$') word(p, GO_VARIABLE, 1);
            else if (c == '.' && letter(after)) word(p, GO_FIELD, 1);
            else if (digit(c) || ((c == '-' || c == '+' || c == '.') && (digit(after) || (c != '.' && after == '.')))) number(p);
            else if (letter(c)) word(p, GO_WORD, 0);
            else sign(p);
            return;
        }
        p->cur.spaced = true;
        move(lx, lx->at + 1);
    }
}
