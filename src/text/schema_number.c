/* schema_number.c - decimal numbers within bounds.
 *
 * "At least a" and "at most b" are each an expression over digits; both together are their intersection.  Bounded numbers are
 * written without a power of ten and with so few digits that no reader's rounding takes them out of their bounds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/schema.h"

enum { MOST_DIGITS = 18, MOST_MULTIPLE = 1000 };
static const double FAR = 1e18;

/* digits "whole.fraction", no zeros in front of whole or behind fraction; whole is "0" at least. */
struct decimal { char whole[40], fraction[40]; };

static struct decimal decimal_of(double v)
{
    struct decimal d = { "0", "" };
    char text[64], digits[40];
    int n = 1;
    for (; n < 17; n++) {
        fmt_into(text, sizeof text, "%.*e", n - 1, v);
        if (strtod(text, NULL) == v) break;
    }
    fmt_into(text, sizeof text, "%.*e", n - 1, v);
    size_t k = 0;
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p != '.') digits[k++] = *p;
    long point = strtol(p + 1, NULL, 10) + 1;           /* digits before the point */
    size_t w = 0, f = 0;
    for (long i = 0; i < point && i < 30; i++) d.whole[w++] = i < (long)k ? digits[i] : '0';
    if (!w) d.whole[w++] = '0';
    for (long i = point; i < (long)k && f < 30; i++) d.fraction[f++] = i < 0 ? '0' : digits[i];
    while (f && d.fraction[f - 1] == '0') f--;
    d.whole[w] = d.fraction[f] = 0;
    char *s = d.whole;
    while (*s == '0' && s[1]) s++;
    memmove(d.whole, s, strlen(s) + 1);
    return d;
}

static const struct gnode *digit(struct gram *g, char lo, char hi)
{
    return lo > hi ? &gram_failure : gram_range(g, (uint8_t)lo, (uint8_t)hi);
}
static const struct gnode *digits(struct gram *g, uint32_t min, uint32_t max)
{
    return gram_rep(g, digit(g, '0', '9'), min, max);
}

/* Strings of as many digits as t that are at least (at most) t. */
static const struct gnode *same_length(struct gram *g, const char *t, bool least)
{
    const struct gnode *x = &gram_nothing;
    for (size_t i = strlen(t); i--;) {
        uint32_t rest = (uint32_t)strlen(t + i + 1);
        const struct gnode *more = least ? digit(g, (char)(t[i] + 1), '9') : digit(g, '0', (char)(t[i] - 1));
        x = GRAM_ALT(g, GRAM_SEQ(g, digit(g, t[i], t[i]), x), GRAM_SEQ(g, more, digits(g, rest, rest)));
    }
    return x;
}

/* Whole numbers >= 0 of at most `most` digits that are at least (at most) t. */
static const struct gnode *whole(struct gram *g, const char *t, bool least, uint32_t most)
{
    uint32_t n = (uint32_t)strlen(t);
    const struct gnode *canonical = GRAM_ALT(g, digit(g, '0', '0'), GRAM_SEQ(g, digit(g, '1', '9'), digits(g, 0, most - 1)));
    const struct gnode *same = same_length(g, t, least), *other = &gram_failure;
    if (least && n < most) other = digits(g, n + 1, most);
    if (!least && n > 1) other = digits(g, 1, n - 1);
    return gram_both(g, canonical, GRAM_ALT(g, same, other), false);
}

/* Fractions (with their point, or nothing) that are at least (at most) f, open: but not f itself. */
static const struct gnode *fraction(struct gram *g, const char *f, bool least, bool open, uint32_t most)
{
    uint32_t n = (uint32_t)strlen(f);
    const struct gnode *point = gram_text(g, "."), *zeros = gram_rep(g, digit(g, '0', '0'), 0, most - n), *x;
    const struct gnode *positive = GRAM_SEQ(g, zeros, digit(g, '1', '9'), digits(g, 0, most));
    if (least) x = open ? positive : n ? digits(g, 0, most - n) : digits(g, 1, most);
    else x = open ? &gram_failure : n ? zeros : gram_rep(g, digit(g, '0', '0'), 1, 3);
    for (uint32_t i = n; i--;) {
        const struct gnode *step = GRAM_SEQ(g, digit(g, f[i], f[i]), x);
        const struct gnode *less = least ? digit(g, (char)(f[i] + 1), '9') : digit(g, '0', (char)(f[i] - 1));
        x = GRAM_ALT(g, step, GRAM_SEQ(g, less, digits(g, 0, most - i - 1)));
        if (!least && i) x = GRAM_ALT(g, x, &gram_nothing);         /* shorter is less */
    }
    x = GRAM_SEQ(g, point, x);
    bool none = least ? !n && !open : n || !open;
    x = none ? GRAM_ALT(g, x, &gram_nothing) : x;
    return gram_both(g, x, gram_rep(g, GRAM_SEQ(g, point, digits(g, 1, most)), 0, 1), false);
}

/* Numbers >= 0 from lo (NULL: 0) to hi (NULL: any); frac: how many digits behind the point. */
struct side { const struct decimal *at; bool open; };

static const struct gnode *bound(struct gram *g, struct side b, bool least, uint32_t most, uint32_t frac)
{
    const struct gnode *free = frac ? gram_rep(g, GRAM_SEQ(g, gram_text(g, "."), digits(g, 1, frac)), 0, 1) : &gram_nothing;
    const char *w = b.at->whole;
    const struct gnode *all = GRAM_SEQ(g, whole(g, w, least, most), free);
    const struct gnode *here = GRAM_SEQ(g, gram_text(g, w), free);
    const struct gnode *exact;
    if (frac) exact = GRAM_SEQ(g, gram_text(g, w), fraction(g, b.at->fraction, least, b.open, frac));
    else exact = (*b.at->fraction ? least : b.open) ? &gram_failure : gram_text(g, w);
    const struct gnode *beyond = gram_both(g, all, here, true);     /* those whose whole part differs */
    return GRAM_ALT(g, beyond, exact);
}

static const struct gnode *between(struct gram *g, struct side lo, struct side hi, bool fractions)
{
    uint32_t most = MOST_DIGITS, frac = 0;
    static const struct decimal zero = { "0", "" };
    if (!lo.at) lo.at = &zero;
    if (fractions) {
        size_t f = strlen(lo.at->fraction), f2 = hi.at ? strlen(hi.at->fraction) : 0, w = strlen(lo.at->whole);
        if (f2 > f) f = f2;
        if (hi.at && strlen(hi.at->whole) > w) w = strlen(hi.at->whole);
        most = w > 9 ? (uint32_t)w : 9;
        frac = f + 2 > 6 ? (uint32_t)f + 2 : 6;
        if (most + frac > 16 && f + 1 <= 16 - (most < 15 ? most : 15)) frac = 16 - (most < 15 ? most : 15);
    }
    if (strlen(lo.at->whole) > most) return &gram_failure;
    const struct gnode *x = bound(g, lo, true, most, frac);
    if (hi.at && strlen(hi.at->whole) <= most) x = gram_both(g, x, bound(g, hi, false, most, frac), false);
    return x;
}

struct bounds schema_bounds(struct schema *s, const struct conj *c)
{
    struct bounds b = { 0 };
    (void)s;
    for (size_t i = 0; i < c->n; i++) {
        const struct json *j = c->p[i].j, *ex;
        for (int hi = 0; hi < 2; hi++) {
            const struct json *v = json_get(j, hi ? "maximum" : "minimum");
            ex = json_get(j, hi ? "exclusiveMaximum" : "exclusiveMinimum");
            for (int open = 0; open < 2; open++) {
                const struct json *x = open ? ex : v;
                if (!x || json_type(x) == JSON_BOOL) continue;
                bool strict = open || (ex && json_type(ex) == JSON_BOOL && json_bool(ex));      /* draft 4 */
                double d = json_num(x);
                if (hi && (!b.has_hi || d < b.hi || (d == b.hi && strict))) b.hi = d, b.hi_open = strict, b.has_hi = true;
                if (!hi && (!b.has_lo || d > b.lo || (d == b.lo && strict))) b.lo = d, b.lo_open = strict, b.has_lo = true;
            }
        }
        const char *f = json_str(json_get(j, "format"), NULL);
        if (f && !strcmp(f, "int32")) {
            if (!b.has_lo || b.lo < -2147483648.0) b.lo = -2147483648.0, b.lo_open = false, b.has_lo = true;
            if (!b.has_hi || b.hi > 2147483647.0) b.hi = 2147483647.0, b.hi_open = false, b.has_hi = true;
        }
    }
    return b;
}

/* Digits, after a sign or none, of multiples of m: the remainder is the state. */
static const struct gnode *multiples(struct gram *g, uint32_t m)
{
    struct gnode *node = gram_push(g, 1, sizeof *node);
    struct ggraph *r = gram_push(g, 1, sizeof *r);
    size_t n = 1 + ((size_t)m + 2) * 10;
    struct garc *arc = gram_push(g, n, sizeof *arc);
    bool *accept = gram_push(g, m + 2, sizeof *accept);
    if (!node || !r || !arc || !accept) return &gram_failure;
    *r = (struct ggraph){ arc, accept, 0, m + 2 };
    for (uint32_t q = 0; q < m + 2; q++)
        for (uint32_t d = 0; d < 10; d++) {
            struct garc *a = &arc[r->n_arcs++];
            *a = (struct garc){ .from = q, .to = 2 + (q < 2 ? d : (q - 2) * 10 + d) % m };
            gbytes_add(&a->on, '0' + d, '0' + d);
        }
    struct garc *sign = &arc[r->n_arcs++];
    *sign = (struct garc){ .from = 0, .to = 1 };
    gbytes_add(&sign->on, '-', '-');
    accept[2] = true;
    *node = (struct gnode){ .op = G_GRAPH, .graph = r };
    return node;
}

static const struct gnode *bounded(struct schema *s, const struct bounds *b, bool fractions)
{
    struct gram *g = &s->g;
    static const struct decimal zero = { "0", "" };
    bool lo = b->has_lo && b->lo > -FAR, hi = b->has_hi && b->hi < FAR;
    struct decimal a = decimal_of(lo ? fabs(b->lo) : 0), z = decimal_of(hi ? fabs(b->hi) : 0);
    const struct gnode *negative = &gram_failure, *positive = &gram_failure;
    if (!lo || b->lo < 0) {                             /* -hi <= |x| <= -lo, and not 0 */
        struct side from = { &zero, true }, to = { lo ? &a : NULL, b->lo_open };
        if (hi && b->hi < 0) from = (struct side){ &z, b->hi_open };
        negative = GRAM_SEQ(g, gram_text(g, "-"), between(g, from, to, fractions));
        if (hi && b->hi < 0 && lo && b->hi < b->lo) negative = &gram_failure;
    }
    if (!hi || b->hi >= 0) {
        struct side from = { &zero, false }, to = { hi ? &z : NULL, b->hi_open };
        if (lo && b->lo >= 0) from = (struct side){ &a, b->lo_open };
        positive = between(g, from, to, fractions);
    }
    return GRAM_ALT(g, negative, positive);
}

/* Numbers have too few digits for such bounds. */
static bool too_far(struct schema *s, const struct conj *c, const struct bounds *b)
{
    const bool low = b->has_lo && b->lo >= FAR, high = b->has_hi && b->hi <= -FAR;
    for (size_t i = 0; (low || high) && i < c->n; i++) {
        const char *const word[] = { low ? "minimum" : "maximum", low ? "exclusiveMinimum" : "exclusiveMaximum" };
        for (int k = 0; k < 2; k++)
            if (fabs(json_num(json_get(c->p[i].j, word[k]))) >= FAR)
                schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, c->p[i].path, word[k]), "can only lie within 1e18 of 0");
    }
    return s->g.rc != 0;
}

const struct gnode *schema_number(struct schema *s, const struct conj *c, unsigned types)
{
    struct gram *g = &s->g;
    struct bounds b = schema_bounds(s, c);
    bool fractions = types & T_FRACTION;
    const struct gnode *multiple = NULL;
    if (too_far(s, c, &b)) return &gram_failure;
    for (size_t i = 0; i < c->n && !g->rc; i++) {
        const struct json *m = json_get(c->p[i].j, "multipleOf");
        if (!m) continue;
        double v = json_num(m);
        if (v != floor(v) || v < 1 || v > MOST_MULTIPLE) {
            schema_refuse(s, ERR_UNSUPPORTED, schema_path(s, c->p[i].path, "multipleOf"),
                          "can only be a whole number from 1 to %d", MOST_MULTIPLE);
            return &gram_failure;
        }
        fractions = false;
        const struct gnode *x = multiples(g, (uint32_t)v);
        multiple = multiple ? gram_both(g, multiple, x, false) : x;
    }
    if (!(types & T_INT)) {            /* so few digits that no reader makes a whole number of them */
        const struct gnode *nine = GRAM_SEQ(g, digit(g, '1', '9'), digits(g, 0, 8)), *last = digit(g, '1', '9');
        if (b.has_lo || b.has_hi || multiple)
            schema_refuse(s, ERR_UNSUPPORTED, c->p[0].path, "numbers that are no integers cannot have bounds");
        return GRAM_SEQ(g, gram_rep(g, gram_text(g, "-"), 0, 1), GRAM_ALT(g, digit(g, '0', '0'), nine), gram_text(g, "."),
                        digits(g, 0, 4), last);
    }
    const struct gnode *x = b.has_lo || b.has_hi ? bounded(s, &b, fractions) : fractions ? s->number : s->integer;
    return multiple ? gram_both(g, x, multiple, false) : x;
}
