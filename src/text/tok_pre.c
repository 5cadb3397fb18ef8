/* tok_pre.c - splitting text into words, as the regular expressions of the models' tokenizers do.
 *
 * A pre-tokenizer is a list of stages; each stage cuts every piece that the one before it made: what it matches and the
 * text between matches become pieces.  Look-ahead sees the end of the piece as the end of the text.  Most expressions
 * are variations of one alternation - contraction, letters, digits, the rest, white space - which struct style
 * describes; the others have a function each. */
#include <string.h>

#include "base/utf8.h"
#include "text/tok.h"

struct scan {
    const struct tokenizer *t;
    const char *s;
    pre_word *word;
    void *arg;
    /* the run of white space looked at last: expressions that take a bit of a long run must not read it all again */
    size_t space_lo, space_hi, space_line, space_last;
    size_t group_at, group_n, group_stop;       /* likewise for runs of digits: what is left of the run */
};

struct ch { uint32_t cp; unsigned class, len; };        /* len 0: the end */

static __attribute__((noinline)) struct ch peek_wide(const struct scan *c, size_t at, size_t end)
{
    size_t len;
    uint32_t cp = tok_char(c->s + at, end - at, &len);
    return (struct ch){ cp, tok_class(c->t, cp), (unsigned)len };
}

static inline struct ch peek(const struct scan *c, size_t at, size_t end)
{
    if (at >= end) return (struct ch){ 0, 0, 0 };
    uint8_t b = (uint8_t)c->s[at];
    return b < 0x80 ? (struct ch){ b, c->t->class[b], 1 } : peek_wide(c, at, end);
}

/* A stage looks at `at`: bytes matched there, or minus the bytes from there on in which no match begins. */
struct style;
typedef ptrdiff_t stage_fn(struct scan *c, const struct style *y, size_t at, size_t end);

enum contraction { C_NONE, C_EXACT, C_ANY_CASE };
enum letters {
    W_SPACE,        /*  ?L+ */
    W_PREFIX,       /* [^\r\n L N]?L+       (not: the classes that cannot be the prefix; body: L or L and M) */
    W_CASED,        /* [^\r\n L N]?[upper]*[lower]+ | [^\r\n L N]?[upper]+[lower]* */
    W_EXAONE,       /* [^\r\n L N]?(LM*( LM*)*)+ */
    W_DEEPSEEK      /* [ASCII punctuation][A-Za-z]+ | W_PREFIX */
};
enum digits { D_SPACE, D_ONE, D_THREE, D_NO };
enum tail { T_NONE, T_LINES, T_LINES_SLASH, T_ONE };
enum lines { N_NONE, N_LINES };
enum spaces { S_ALL, S_BUT_LAST, S_CASCADE };

struct style {
    enum contraction contraction;
    bool contraction_after;             /* letters may end in one */
    enum letters letters;
    unsigned prefix_not, body, not_class;
    enum digits digits;
    unsigned rest_class;                /* classes of the rest ... */
    bool rest_want;                     /* ... that it must have, or must not */
    enum tail tail;
    enum lines lines;
    enum spaces spaces;
    bool han;                           /* runs of Han first */
};

/* ---- the common alternation ---- */

static unsigned lower_ascii(unsigned c, bool any) { return any && c >= 'A' && c <= 'Z' ? c + 32 : c; }

static ptrdiff_t contraction(const struct scan *c, size_t at, size_t end, bool any)
{
    if (end - at < 2 || c->s[at] != '\'') return 0;
    unsigned a = lower_ascii((uint8_t)c->s[at + 1], any);
    unsigned b = end - at > 2 ? lower_ascii((uint8_t)c->s[at + 2], any) : 0;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return 0;
}

static size_t run(const struct scan *c, size_t at, size_t end, unsigned class)
{
    for (struct ch x; (x = peek(c, at, end)).class & class;) at += x.len;
    return at;
}

static bool is_upper(const struct style *y, struct ch x)
{
    return x.class & (UNI_LU | UNI_LT | UNI_LM | UNI_LO | UNI_M) && !(x.class & y->not_class);
}

static bool is_lower(const struct style *y, struct ch x)
{
    return x.class & (UNI_LL | UNI_LM | UNI_LO | UNI_M) && !(x.class & y->not_class);
}

/* [upper]*[lower]+ from at: where it ends, 0 when it does not match. */
static size_t cased_low(const struct scan *c, const struct style *y, size_t at, size_t end)
{
    size_t last = 0;                    /* end of the last character that is both, the point to go back to */
    struct ch x;
    for (; is_upper(y, x = peek(c, at, end)); at += x.len)
        if (is_lower(y, x)) last = at + x.len;
    if (!is_lower(y, x)) return last;
    for (; is_lower(y, x = peek(c, at, end));) at += x.len;
    return at;
}

/* [upper]+[lower]* where cased_low has failed, so no lower one follows. */
static size_t cased_up(const struct scan *c, const struct style *y, size_t at, size_t end)
{
    size_t from = at;
    for (struct ch x; is_upper(y, x = peek(c, at, end));) at += x.len;
    return at > from ? at : 0;
}

static size_t exaone(const struct scan *c, size_t at, size_t end)
{
    struct ch x = peek(c, at, end);
    if (!(x.class & UNI_L)) return 0;
    for (;;) {
        at = run(c, at + x.len, end, UNI_M);
        x = peek(c, at, end);
        if (x.cp == ' ' && peek(c, at + 1, end).class & UNI_L) x = peek(c, ++at, end);
        if (!(x.class & UNI_L)) return at;
    }
}

static size_t plain_run(const struct scan *c, const struct style *y, size_t at, size_t end)
{
    size_t e = run(c, at, end, y->body);
    return e > at ? e : 0;
}

static ptrdiff_t letters(const struct scan *c, const struct style *y, size_t at, size_t end)
{
    struct ch a = peek(c, at, end);
    bool prefix = y->letters == W_SPACE ? a.cp == ' ' : a.cp != '\r' && a.cp != '\n' && !(a.class & y->prefix_not);
    size_t skip = prefix ? at + a.len : at, e = 0;
    if (y->letters == W_CASED) {
        if (prefix) e = cased_low(c, y, skip, end);
        if (!e) e = cased_low(c, y, at, end);
        if (!e && prefix) e = cased_up(c, y, skip, end);
        if (!e) e = cased_up(c, y, at, end);
    } else if (y->letters == W_EXAONE) {
        e = exaone(c, skip, end);
    } else {
        if (y->letters == W_DEEPSEEK && a.cp < 0x80 && a.class & (UNI_P | UNI_S)) {
            e = at + 1;
            while (e < end && ((c->s[e] >= 'A' && c->s[e] <= 'Z') || (c->s[e] >= 'a' && c->s[e] <= 'z'))) e++;
            if (e > at + 1) return (ptrdiff_t)(e - at);
        }
        e = prefix ? plain_run(c, y, skip, end) : 0;
        if (!e) e = plain_run(c, y, at, end);
    }
    if (!e) return 0;
    if (y->contraction_after) e += (size_t)contraction(c, e, end, true);
    return (ptrdiff_t)(e - at);
}

static ptrdiff_t digits(const struct scan *c, const struct style *y, size_t at, size_t end)
{
    size_t e = at;
    if (y->digits == D_NO) return 0;
    if (y->digits == D_SPACE) {
        if (c->s[at] == ' ') e++;
        size_t from = e;
        e = run(c, e, end, UNI_N);
        return e > from ? (ptrdiff_t)(e - at) : 0;
    }
    for (unsigned k = y->digits == D_ONE ? 1 : 3; k; k--) {
        struct ch x = peek(c, e, end);
        if (!(x.class & UNI_N)) break;
        e += x.len;
    }
    return (ptrdiff_t)(e - at);
}

static bool is_rest(const struct style *y, struct ch x)
{
    return x.len && ((x.class & y->rest_class) != 0) == y->rest_want;
}

static ptrdiff_t rest(const struct scan *c, const struct style *y, size_t at, size_t end)
{
    size_t e = at + (c->s[at] == ' '), from = e;
    for (struct ch x; is_rest(y, x = peek(c, e, end));) e += x.len;
    if (e == from) return 0;
    for (; e < end && y->tail != T_NONE; e++) {
        bool line = c->s[e] == '\r' || c->s[e] == '\n';
        if (!line && !(c->s[e] == '/' && y->tail != T_LINES)) break;
        if (y->tail == T_ONE) {
            e++;
            break;
        }
    }
    return (ptrdiff_t)(e - at);
}

/* Finds the run of white space that `at` lies in: its end, the end of its last line break (0: none), and the start
 * of its last character. */
static void look_at_space(struct scan *c, size_t at, size_t end)
{
    if (at >= c->space_lo && at < c->space_hi && c->space_hi <= end) return;
    size_t e = at;
    c->space_lo = at;
    c->space_line = 0;
    c->space_last = at;
    for (struct ch x; (x = peek(c, e, end)).class & UNI_SPACE; e += x.len) {
        c->space_last = e;
        if (x.cp == '\n' || x.cp == '\r') c->space_line = e + 1;
    }
    c->space_hi = e;
}

/* \s{512}(?!\S)|\s{256}(?!\S)| ... |\s{4}(?!\S)|\s{1,2}(?!\S)|\s */
static ptrdiff_t space_cascade(const struct scan *c, size_t at, size_t end)
{
    size_t e[513], n = 0;
    for (struct ch x; n < 513 && (x = peek(c, n ? e[n - 1] : at, end)).class & UNI_SPACE; n++)
        e[n] = (n ? e[n - 1] : at) + x.len;
    bool open = n == 513 || e[n - 1] == end;            /* white space or the end behind the n-th */
    for (size_t k = 512; k >= 1; k /= 2)
        if (n > k || (n == k && open)) return (ptrdiff_t)(e[k - 1] - at);
    return (ptrdiff_t)(e[0] - at);
}

static ptrdiff_t spaces(struct scan *c, const struct style *y, size_t at, size_t end)
{
    look_at_space(c, at, end);
    size_t hi = c->space_hi;
    if (y->lines == N_LINES && c->space_line > at) return (ptrdiff_t)(c->space_line - at);
    if (y->spaces == S_CASCADE) return space_cascade(c, at, end);
    if (hi == end) return (ptrdiff_t)(hi - at);
    if (c->space_last > at) return (ptrdiff_t)(c->space_last - at);
    return y->spaces == S_ALL ? (ptrdiff_t)(hi - at) : -(ptrdiff_t)(hi - at);
}

static ptrdiff_t common(struct scan *c, const struct style *y, size_t at, size_t end)
{
    ptrdiff_t n = 0;
    struct ch a = peek(c, at, end);
    if (y->han && a.class & UNI_HAN) return (ptrdiff_t)(run(c, at, end, UNI_HAN) - at);
    if (y->contraction != C_NONE) n = contraction(c, at, end, y->contraction == C_ANY_CASE);
    if (!n) n = letters(c, y, at, end);
    if (!n) n = digits(c, y, at, end);
    if (!n) n = rest(c, y, at, end);
    if (!n) n = a.class & UNI_SPACE ? spaces(c, y, at, end) : -(ptrdiff_t)a.len;
    return n;
}

#define LN (UNI_L | UNI_N)
#define REST .rest_class = UNI_SPACE | UNI_L | UNI_N
static const struct style gpt2 = { C_EXACT, .letters = W_SPACE, .body = UNI_L, .digits = D_SPACE, REST };
static const struct style gpt2_chameleon = { C_EXACT, .letters = W_SPACE, .body = UNI_L, .digits = D_SPACE, REST,
    .spaces = S_BUT_LAST };
static const struct style llama3 = { C_ANY_CASE, .letters = W_PREFIX, .prefix_not = LN, .body = UNI_L, .digits = D_THREE,
    REST, .tail = T_LINES, .lines = N_LINES };
static const struct style qwen2 = { C_ANY_CASE, .letters = W_PREFIX, .prefix_not = LN, .body = UNI_L, .digits = D_ONE,
    REST, .tail = T_LINES, .lines = N_LINES };
static const struct style qwen35 = { C_ANY_CASE, .letters = W_PREFIX, .prefix_not = LN, .body = UNI_L | UNI_M,
    .digits = D_ONE, .rest_class = UNI_SPACE | UNI_L | UNI_M | UNI_N, .tail = T_LINES, .lines = N_LINES };
static const struct style gpt4o = { .contraction_after = true, .letters = W_CASED, .prefix_not = LN, .digits = D_THREE,
    REST, .tail = T_LINES_SLASH, .lines = N_LINES };
static const struct style gpt4o_one = { .contraction_after = true, .letters = W_CASED, .prefix_not = LN, .digits = D_ONE,
    REST, .tail = T_LINES_SLASH, .lines = N_LINES };
static const struct style tekken = { .letters = W_CASED, .prefix_not = LN, .digits = D_ONE, REST, .tail = T_LINES_SLASH,
    .lines = N_LINES };
static const struct style kimi = { .contraction_after = true, .letters = W_CASED, .prefix_not = LN, .not_class = UNI_HAN,
    .digits = D_THREE, REST, .tail = T_LINES, .lines = N_LINES, .han = true };
static const struct style deepseek3 = { .letters = W_DEEPSEEK, .prefix_not = UNI_L | UNI_P | UNI_S,
    .body = UNI_L | UNI_M, .digits = D_NO, .rest_class = UNI_P | UNI_S, .rest_want = true, .tail = T_LINES,
    .lines = N_LINES };
static const struct style seedcoder = { C_ANY_CASE, .letters = W_PREFIX, .prefix_not = LN, .body = UNI_L,
    .digits = D_ONE, REST, .lines = N_LINES };
static const struct style jais2 = { C_ANY_CASE, .letters = W_PREFIX, .prefix_not = LN, .body = UNI_L, .digits = D_THREE,
    REST, .tail = T_LINES, .lines = N_LINES, .spaces = S_CASCADE };
static const struct style exaone_moe = { C_ANY_CASE, .letters = W_EXAONE, .prefix_not = LN, .digits = D_ONE, REST,
    .tail = T_ONE, .lines = N_LINES };

/* ---- runs and single characters of a set ---- */

struct range { uint32_t lo, hi; };

/* r is in ascending order. */
static bool in(const struct range *r, uint32_t cp)
{
    for (; r->hi && cp >= r->lo; r++)
        if (cp <= r->hi) return true;
    return false;
}

typedef bool member_fn(struct ch x);

/* Members (at most max), with optional white space before them.  Always inline: `is` is a constant of the caller. */
static inline __attribute__((always_inline))
ptrdiff_t members(const struct scan *c, size_t at, size_t end, member_fn *is, bool space, size_t max)
{
    size_t e = at;
    struct ch x = peek(c, at, end);
    while (x.len && !is(x) && !(space && x.class & UNI_SPACE)) x = peek(c, e += x.len, end);
    if (e > at) return -(ptrdiff_t)(e - at);            /* everything that cannot begin a match */
    bool lone = is(x);
    size_t first = x.len;
    if (space && x.class & UNI_SPACE) x = peek(c, e += x.len, end);
    size_t from = e;
    for (; x.len && max && is(x); max--) x = peek(c, e += x.len, end);
    if (e > from) return (ptrdiff_t)(e - at);
    return lone ? (ptrdiff_t)first : -(ptrdiff_t)first;  /* only the white space, which may be a member itself */
}

#define STAGE(name, is, space, max) \
    static ptrdiff_t name(struct scan *c, const struct style *y, size_t at, size_t end) \
    { \
        (void)y; \
        return members(c, at, end, is, space, max); \
    }

static bool is_letter(struct ch x) { return x.class & UNI_L; }
static bool is_number(struct ch x) { return x.class & UNI_N; }
static bool is_punct(struct ch x) { return x.class & UNI_P; }
static bool is_line(struct ch x) { return x.cp == '\n' || x.cp == '\r'; }
static bool is_newline(struct ch x) { return x.cp == '\n'; }
static bool not_newline(struct ch x) { return x.cp != '\n'; }
static bool is_ascii_digit(struct ch x) { return x.cp >= '0' && x.cp <= '9'; }
static bool is_punct_falcon(struct ch x) { return x.class & UNI_P || (x.len == 1 && x.cp && strchr("$+<=>^~|`", (int)x.cp)); }
static bool is_punct_default(struct ch x) { return x.class & UNI_P || (x.len == 1 && x.cp && strchr("$+<=>^~|", (int)x.cp)); }
static bool is_punct_chameleon(struct ch x) { return x.class & UNI_P || (x.cp < 0x80 && x.class & UNI_S); }

static bool is_cjk(struct ch x)
{
    static const struct range r[] = { { 0x3040, 0x309f }, { 0x30a0, 0x30ff }, { 0x4e00, 0x9fa5 }, { 0, 0 } };
    return in(r, x.cp);
}

static bool is_asian(struct ch x)
{
    static const struct range r[] = { { 0x800, 0x4e00 }, { 0x4e00, 0x9fa5 }, { 0xac00, 0xd7ff }, { 0, 0 } };
    return in(r, x.cp);
}

/* The cased letters of deepseek-llm: its tokenizer lists them, as they were in the Unicode version of its time. */
static bool is_cased(struct ch x)
{
    static const struct range out[] = {
        { 0x560, 0x588 }, { 0x10c7, 0x10c7 }, { 0x10cd, 0x10cd }, { 0x10d0, 0x10ff }, { 0x1c80, 0x1c8f },
        { 0x2d00, 0x2d2d }, { 0xa790, 0xa7fa }, { 0xab30, 0xab68 }, { 0, 0 }
    };
    static const struct range more[] = {
        { 0x10400, 0x1044f }, { 0x104b0, 0x104d3 }, { 0x104d8, 0x104fb }, { 0x10c80, 0x10cb2 }, { 0x10cc0, 0x10cf2 },
        { 0x118a0, 0x118df }, { 0x1e900, 0x1e943 }, { 0, 0 }
    };
    if (x.cp > 0xffff) return in(more, x.cp);
    return x.class & (UNI_LU | UNI_LL | UNI_LT) && !in(out, x.cp);
}

static bool is_punct_deepseek(struct ch x)
{
    static const struct range r[] = {
        { '!', '/' }, { ':', '~' }, { 0x2018, 0x201f }, { 0x3000, 0x3002 }, { 0xff01, 0xff0f }, { 0xff1a, 0xff5e }, { 0, 0 }
    };
    return in(r, x.cp);
}

static bool is_bloom(struct ch x)
{
    static const struct range out[] = {
        { '!', '!' }, { '(', ')' }, { ',', ',' }, { '.', '.' }, { '?', '?' }, { '|', '|' }, { 0x60c, 0x60c },
        { 0x6d4, 0x6d4 }, { 0x964, 0x964 }, { 0x2026, 0x2026 }, { 0x3001, 0x3002 }, { 0xff0c, 0xff0c }, { 0, 0 }
    };
    return !(x.class & UNI_SPACE) && !in(out, x.cp);
}

static bool is_afmoe_script(struct ch x)
{
    static const struct range r[] = {
        { 0xe40, 0xe7f }, { 0xe80, 0xeff }, { 0x1000, 0x109f }, { 0x1100, 0x11ff }, { 0x1780, 0x17ff },
        { 0x2f00, 0x2fdf }, { 0x3040, 0x309f }, { 0x30a0, 0x30ff }, { 0x3400, 0x4dbf }, { 0x4e00, 0x9fff },
        { 0xa9e0, 0xa9ff }, { 0xaa60, 0xaa7f }, { 0xac00, 0xd7af }, { 0xf900, 0xfaff }, { 0xff65, 0xff9f }, { 0, 0 }
    };
    return in(r, x.cp);
}

STAGE(each_line, is_line, false, 1)
STAGE(each_number, is_number, false, 1)
STAGE(numbers, is_number, false, SIZE_MAX)
STAGE(three_numbers, is_number, false, 3)
STAGE(spaced_letters, is_letter, true, SIZE_MAX)
STAGE(spaced_punct, is_punct, true, SIZE_MAX)
STAGE(spaced_cased, is_cased, true, SIZE_MAX)
STAGE(spaced_punct_deepseek, is_punct_deepseek, true, SIZE_MAX)
STAGE(asian, is_asian, false, SIZE_MAX)
STAGE(cjk, is_cjk, false, SIZE_MAX)
STAGE(afmoe_script, is_afmoe_script, false, SIZE_MAX)
STAGE(punct_falcon, is_punct_falcon, false, SIZE_MAX)
STAGE(punct_default, is_punct_default, false, SIZE_MAX)
STAGE(each_punct_chameleon, is_punct_chameleon, false, 1)

/* ---- the rest ---- */

static ptrdiff_t no_match(struct scan *c, size_t at, size_t end) { return -(ptrdiff_t)peek(c, at, end).len; }

static ptrdiff_t newline_runs(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    return members(c, at, end, c->s[at] == '\n' ? is_newline : not_newline, false, SIZE_MAX);
}

static ptrdiff_t three_digits(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    ptrdiff_t n = members(c, at, end, is_ascii_digit, false, 3);
    return n == 3 || n < 0 ? n : -n;
}

static ptrdiff_t last_space(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    if (!(peek(c, at, end).class & UNI_SPACE)) return no_match(c, at, end);
    look_at_space(c, at, end);
    ptrdiff_t n = (ptrdiff_t)(c->space_hi - at);
    return c->space_hi == end ? n : -n;
}

/*  ?[^...]+ of BLOOM: the space must be U+0020 */
static ptrdiff_t bloom(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    size_t from = at + (c->s[at] == ' ');
    ptrdiff_t n = from < end ? members(c, from, end, is_bloom, false, SIZE_MAX) : 0;
    return n > 0 ? n + (ptrdiff_t)(from - at) : no_match(c, at, end);
}

/* The length of the run of class at `at`, in characters; its end goes to *stop.  Groups are taken from the left but
 * counted from the right: the rest of the last run is remembered, so that a long one is not read for every group. */
static size_t count(struct scan *c, size_t at, size_t end, unsigned class, size_t *stop)
{
    if (at == c->group_at && c->group_n && c->group_stop <= end) {
        *stop = c->group_stop;
        return c->group_n;
    }
    size_t n = 0;
    for (struct ch x; (x = peek(c, at, end)).class & class; at += x.len) n++;
    *stop = at;
    return n;
}

/* Where the first k of the n characters counted at `at` end. */
static size_t take_group(struct scan *c, size_t at, size_t n, size_t k, size_t stop)
{
    for (size_t i = 0; i < k; i++) at += peek(c, at, stop).len;
    c->group_at = at;
    c->group_n = n - k;
    c->group_stop = stop;
    return at;
}

/* (?=(\d{3})+(?!\d)): boundaries only, three by three from the right of a run */
static ptrdiff_t thousands(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    size_t stop, n = count(c, at, end, UNI_ND, &stop);
    if (!n) return no_match(c, at, end);
    if (n < 3) return -(ptrdiff_t)(stop - at);
    ptrdiff_t len = (ptrdiff_t)(take_group(c, at, n, n % 3 ? n % 3 : 3, stop) - at);
    return n % 3 ? -len : len;
}

/* Numbers in groups of three from the right; the text before a run belongs to its first group, as in the tokenizer
 * that this one agrees with. */
static ptrdiff_t number_groups(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    size_t from = at, stop;
    for (struct ch x; at < end && !((x = peek(c, at, end)).class & UNI_N);) at += x.len;
    if (at == end) return -(ptrdiff_t)(end - from);
    size_t n = count(c, at, end, UNI_N, &stop);
    return (ptrdiff_t)(take_group(c, at, n, n % 3 ? n % 3 : 3, stop) - from);
}

/* \d{1,3}(?=(?:\d{3})*\b): groups from the right, when the run ends at the end of a word */
static ptrdiff_t digit_groups(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    size_t stop, n = count(c, at, end, UNI_ND, &stop);
    if (!n) return no_match(c, at, end);
    struct ch x = peek(c, stop, end);
    if (x.class & (UNI_L | UNI_M | UNI_N) || x.cp == '_') return -(ptrdiff_t)(stop - at);
    return (ptrdiff_t)(take_group(c, at, n, n % 3 ? n % 3 : 3, stop) - at);
}

/* [가-힣ㄱ-ㆎ]+|[punctuation]+|[ㄅ-ㄯ]+|[一-龥぀-ゟ゠-ヿ]+ */
static bool is_hangul(struct ch x) { return (x.cp >= 0xac00 && x.cp <= 0xd7a3) || (x.cp >= 0x3131 && x.cp <= 0x318e); }
static bool is_bopomofo(struct ch x) { return x.cp >= 0x3105 && x.cp <= 0x312f; }
static bool is_punct_youtu(struct ch x)
{
    static const struct range r[] = {
        { 0x2014, 0x2014 }, { 0x2018, 0x2019 }, { 0x201c, 0x201d }, { 0x2026, 0x2026 }, { 0x3001, 0x303f },
        { 0xfe30, 0xfe4f }, { 0xff01, 0xff01 }, { 0xff0c, 0xff0c }, { 0xff1a, 0xff1b }, { 0, 0 }
    };
    return in(r, x.cp);
}

static ptrdiff_t youtu(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    static member_fn *const sets[] = { is_hangul, is_punct_youtu, is_bopomofo, is_cjk };
    struct ch x = peek(c, at, end);
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (sets[i](x)) return members(c, at, end, sets[i], false, SIZE_MAX);
    return no_match(c, at, end);
}

/* <sentinel:[0-9]+> */
static ptrdiff_t sentinel(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    static const char head[] = "<sentinel:";
    size_t e = at + sizeof head - 1;
    if (end - at < sizeof head || memcmp(c->s + at, head, sizeof head - 1) != 0) return no_match(c, at, end);
    while (e < end && c->s[e] >= '0' && c->s[e] <= '9') e++;
    return e > at + sizeof head - 1 && e < end && c->s[e] == '>' ? (ptrdiff_t)(e + 1 - at) : no_match(c, at, end);
}

/* IMGIMG[A-I]{1,4}Z */
static ptrdiff_t image(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    if (end - at < 8 || memcmp(c->s + at, "IMGIMG", 6) != 0) return no_match(c, at, end);
    size_t e = at + 6;
    while (e < end && e < at + 10 && c->s[e] >= 'A' && c->s[e] <= 'I') e++;
    return e > at + 6 && e < end && c->s[e] == 'Z' ? (ptrdiff_t)(e + 1 - at) : no_match(c, at, end);
}

/* [\t\n]| {4}| {2} */
static ptrdiff_t tabs(struct scan *c, const struct style *y, size_t at, size_t end)
{
    (void)y;
    size_t n = 0;
    if (c->s[at] == '\t' || c->s[at] == '\n') return 1;
    while (n < 4 && at + n < end && c->s[at + n] == ' ') n++;
    return n == 4 ? 4 : n >= 2 ? 2 : no_match(c, at, end);
}

/* ---- sets ---- */

struct stage { stage_fn *fn; const struct style *style; };
enum { MAX_STAGES = 6 };
struct pre_set { struct stage stage[MAX_STAGES + 1]; };

enum set {
    SET_GPT2, SET_LLAMA3, SET_QWEN2, SET_QWEN35, SET_GPT4O, SET_TEKKEN, SET_DSV3, SET_DSCODER, SET_DSLLM, SET_CMDR,
    SET_FALCON, SET_DEFAULT, SET_BLOOM, SET_VIKING, SET_SEEDCODER, SET_KIMI, SET_SUPERBPE, SET_TINYAYA, SET_JAIS2,
    SET_EXAONEMOE, SET_YOUTU, SET_CHAMELEON, SET_AFMOE, SET_GEMMA4
};

static const struct pre_set sets[] = {
    [SET_GPT2] = { { { common, &gpt2 } } },
    [SET_LLAMA3] = { { { common, &llama3 } } },
    [SET_QWEN2] = { { { common, &qwen2 } } },
    [SET_QWEN35] = { { { common, &qwen35 } } },
    [SET_GPT4O] = { { { common, &gpt4o } } },
    [SET_TEKKEN] = { { { common, &tekken } } },
    [SET_DSV3] = { { { three_numbers, NULL }, { cjk, NULL }, { common, &deepseek3 } } },
    [SET_DSCODER] = { { { each_line, NULL }, { spaced_letters, NULL }, { spaced_punct, NULL }, { asian, NULL },
                        { each_number, NULL } } },
    [SET_DSLLM] = { { { each_line, NULL }, { spaced_cased, NULL }, { spaced_punct_deepseek, NULL }, { last_space, NULL },
                      { asian, NULL }, { numbers, NULL } } },
    [SET_CMDR] = { { { each_number, NULL }, { common, &gpt2 } } },
    [SET_FALCON] = { { { punct_falcon, NULL }, { common, &gpt2 }, { three_digits, NULL } } },
    [SET_DEFAULT] = { { { punct_default, NULL }, { common, &gpt2 }, { numbers, NULL }, { three_digits, NULL } } },
    [SET_BLOOM] = { { { bloom, NULL } } },
    [SET_VIKING] = { { { bloom, NULL }, { each_number, NULL } } },
    [SET_SEEDCODER] = { { { common, &seedcoder } } },
    [SET_KIMI] = { { { common, &kimi } } },
    [SET_SUPERBPE] = { { { numbers, NULL }, { thousands, NULL } } },
    [SET_TINYAYA] = { { { digit_groups, NULL }, { common, &gpt4o } } },
    [SET_JAIS2] = { { { common, &jais2 } } },
    [SET_EXAONEMOE] = { { { common, &exaone_moe } } },
    [SET_YOUTU] = { { { youtu, NULL }, { common, &gpt4o_one } } },
    [SET_CHAMELEON] = { { { sentinel, NULL }, { image, NULL }, { tabs, NULL }, { each_number, NULL },
                          { each_punct_chameleon, NULL }, { common, &gpt2_chameleon } } },
    [SET_AFMOE] = { { { number_groups, NULL }, { afmoe_script, NULL }, { common, &deepseek3 } } },
    [SET_GEMMA4] = { { { newline_runs, NULL } } }
};

enum { CLEAN = 1, IGNORE = 2, BOS = 4, SEP = 8, NO_BOS = 16 };

static const struct { const char *name; uint8_t set, flags; } names[] = {
    { "", SET_DEFAULT, CLEAN },                 { "default", SET_DEFAULT, CLEAN },
    { "llama-bpe", SET_LLAMA3, CLEAN | IGNORE | BOS },  { "llama3", SET_LLAMA3, CLEAN | IGNORE | BOS },
    { "llama-v3", SET_LLAMA3, CLEAN | IGNORE | BOS },   { "falcon3", SET_LLAMA3, CLEAN | IGNORE | BOS },
    { "falcon-h1", SET_LLAMA3, CLEAN | IGNORE | BOS },  { "pixtral", SET_LLAMA3, CLEAN | IGNORE | BOS },
    { "midm-2.0", SET_LLAMA3, CLEAN | IGNORE | BOS },   { "lfm2", SET_LLAMA3, CLEAN | IGNORE | BOS },
    { "laguna", SET_LLAMA3, CLEAN | IGNORE | BOS },     { "jina-v5-nano", SET_LLAMA3, CLEAN | IGNORE | BOS },
    { "dbrx", SET_LLAMA3, CLEAN },              { "smaug-bpe", SET_LLAMA3, CLEAN },
    { "glm4", SET_LLAMA3, CLEAN | NO_BOS },     { "chatglm-bpe", SET_LLAMA3, CLEAN | NO_BOS },
    { "qwen2", SET_QWEN2, 0 },                  { "deepseek-r1-qwen", SET_QWEN2, 0 },
    { "megrez", SET_QWEN2, 0 },                 { "stablelm2", SET_QWEN2, 0 },
    { "hunyuan", SET_QWEN2, 0 },                { "solar-open", SET_QWEN2, 0 },
    { "grok-2", SET_QWEN2, 0 },                 { "kormo", SET_QWEN2, 0 },
    { "openpangu", SET_QWEN2, 0 },              { "f2llmv2", SET_QWEN2, 0 },
    { "bailingmoe", SET_QWEN2, 0 },             { "bailingmoe2", SET_QWEN2, 0 },
    { "llada-moe", SET_QWEN2, 0 },              { "qwen35", SET_QWEN35, 0 },
    { "deepseek-llm", SET_DSLLM, 0 },           { "deepseek-coder", SET_DSCODER, 0 },
    { "deepseek-v3", SET_DSV3, 0 },             { "hunyuan-dense", SET_DSV3, 0 },
    { "joyai-llm", SET_DSV3, 0 },               { "gpt-2", SET_GPT2, CLEAN },
    { "phi-2", SET_GPT2, CLEAN },               { "mpt", SET_GPT2, CLEAN },
    { "olmo", SET_GPT2, CLEAN },                { "jais", SET_GPT2, CLEAN },
    { "jina-es", SET_GPT2, CLEAN },             { "jina-de", SET_GPT2, CLEAN },
    { "jina-v2-es", SET_GPT2, CLEAN },          { "jina-v2-de", SET_GPT2, CLEAN },
    { "gigachat", SET_GPT2, CLEAN },            { "a.x-4.0", SET_GPT2, CLEAN },
    { "mellum", SET_GPT2, CLEAN },              { "modern-bert", SET_GPT2, CLEAN },
    { "trillion", SET_GPT2, CLEAN },            { "granite-docling", SET_GPT2, CLEAN },
    { "exaone4", SET_GPT2, CLEAN },             { "roberta-bpe", SET_GPT2, CLEAN | SEP },
    { "jina-v1-en", SET_GPT2, CLEAN | SEP },    { "jina-v2-code", SET_GPT2, CLEAN | SEP },
    { "gpt-4o", SET_GPT4O, 0 },                 { "llama4", SET_GPT4O, 0 },
    { "kanana2", SET_GPT4O, 0 },                { "minimax-m2", SET_GPT4O, 0 },
    { "talkie", SET_GPT4O, 0 },                 { "tekken", SET_TEKKEN, IGNORE | BOS },
    { "starcoder", SET_CMDR, CLEAN },           { "refact", SET_CMDR, CLEAN },
    { "command-r", SET_CMDR, 0 },               { "cohere2_moe", SET_CMDR, 0 },
    { "smollm", SET_CMDR, 0 },                  { "codeshell", SET_CMDR, CLEAN },
    { "exaone", SET_CMDR, CLEAN },              { "minerva-7b", SET_CMDR, CLEAN },
    { "mellum2", SET_CMDR, CLEAN },             { "falcon", SET_FALCON, CLEAN },
    { "bloom", SET_BLOOM, CLEAN },              { "gpt3-finnish", SET_BLOOM, CLEAN },
    { "poro-chat", SET_BLOOM, CLEAN },          { "viking", SET_VIKING, 0 },
    { "seed-coder", SET_SEEDCODER, 0 },         { "kimi-k2", SET_KIMI, 0 },
    { "superbpe", SET_SUPERBPE, 0 },            { "tiny_aya", SET_TINYAYA, 0 },
    { "jais-2", SET_JAIS2, 0 },                 { "exaone-moe", SET_EXAONEMOE, 0 },
    { "youtu", SET_YOUTU, IGNORE },             { "chameleon", SET_CHAMELEON, BOS },
    { "afmoe", SET_AFMOE, 0 },                  { "gemma4", SET_GEMMA4, CLEAN }
};

const struct pre_set *pre_find(const char *name, size_t n, struct pre_info *info)
{
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i].name) != n || memcmp(names[i].name, name, n) != 0) continue;
        unsigned f = names[i].flags;
        *info = (struct pre_info){ f & CLEAN, f & IGNORE, f & BOS, f & SEP, f & NO_BOS };
        return &sets[names[i].set];
    }
    return NULL;
}

static void run_stage(struct scan *c, const struct stage *stage, size_t lo, size_t hi)
{
    if (!stage->fn) {
        c->word(c->arg, c->s + lo, hi - lo);
        return;
    }
    size_t gap = lo;
    for (size_t at = lo; at < hi;) {
        ptrdiff_t n = stage->fn(c, stage->style, at, hi);
        if (n < 0) {
            at += (size_t)-n;
            continue;
        }
        if (gap < at) run_stage(c, stage + 1, gap, at);
        run_stage(c, stage + 1, at, at + (size_t)n);
        at += (size_t)n;
        gap = at;
    }
    if (gap < hi) run_stage(c, stage + 1, gap, hi);
}

void pre_split(const struct tokenizer *t, const char *s, size_t n, pre_word *word, void *arg)
{
    struct scan c = { .t = t, .s = s, .word = word, .arg = arg };
    run_stage(&c, t->pre->stage, 0, n);
}
