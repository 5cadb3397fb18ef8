/* gram_expr.c - expressions and sets of characters. */
#include <stdarg.h>
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "text/gram.h"

const struct gnode gram_failure = { .op = G_FAIL };
const struct gnode gram_nothing = { .op = G_EMPTY };

int gram_init(struct gram *g, const char *what, struct err *err)
{
    *g = (struct gram){ .what = what, .err = err, .arena = { .limit = GRAMMAR_BYTES / 2 } };
    g->sets = gram_push(g, 1, sizeof *g->sets);
    return g->rc;
}

void gram_release(struct gram *g)
{
    mem_free(g->rule);
    mem_free(g->token);
    if (g->sets) {
        mem_free(g->sets->set);
        mem_free(g->sets->slot);
    }
    arena_release(&g->arena);
    g->sets = NULL;
}

int gram_fail(struct gram *g, int code, const char *fmt, ...)
{
    if (g->rc) return g->rc;
    char text[400];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    return g->rc = err_set(g->err, code, "%s: %s", g->what, text);
}

int gram_nomem(struct gram *g) { return gram_fail(g, ERR_NOMEM, "out of memory"); }

void *gram_push(struct gram *g, size_t n, size_t size)
{
    if (g->rc) return NULL;
    void *p = arena_push(&g->arena, n, size);
    if (!p) {
        if (g->arena.total > g->arena.limit / 2)
            gram_fail(g, ERR_LIMIT, "it needs more than %d MB to compile; make it smaller", GRAMMAR_BYTES >> 20);
        else
            gram_nomem(g);
    }
    return p;
}

static struct gnode *node(struct gram *g, enum gram_op op)
{
    struct gnode *x = gram_push(g, 1, sizeof *x);
    if (x) x->op = op;
    return x;
}

const struct gnode *gram_bytes(struct gram *g, const char *s, size_t n)
{
    if (!n) return &gram_nothing;
    struct gnode *x = node(g, G_BYTES);
    char *copy = x ? gram_push(g, n, 1) : NULL;
    if (!copy) return &gram_failure;
    memcpy(copy, s, n);
    x->bytes = copy;
    x->n = (uint32_t)n;
    return x;
}

const struct gnode *gram_text(struct gram *g, const char *s) { return gram_bytes(g, s, strlen(s)); }

static const struct gnode *with_kids(struct gram *g, enum gram_op op, const struct gnode *const *kid, size_t n)
{
    struct gnode *x = node(g, op);
    if (!x || !(x->kid = gram_push(g, n, sizeof *x->kid))) return &gram_failure;
    memcpy(x->kid, kid, n * sizeof *kid);
    x->n = (uint32_t)n;
    return x;
}

const struct gnode *gram_seq(struct gram *g, const struct gnode *const *kid, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (kid[i]->op == G_FAIL) return &gram_failure;
    if (n == 0) return &gram_nothing;
    return n == 1 ? kid[0] : with_kids(g, G_SEQ, kid, n);
}

const struct gnode *gram_alt(struct gram *g, const struct gnode *const *kid, size_t n)
{
    size_t alive = 0, last = 0;
    for (size_t i = 0; i < n; i++)
        if (kid[i]->op != G_FAIL) {
            alive++;
            last = i;
        }
    if (alive == 0) return &gram_failure;
    return alive == 1 ? kid[last] : with_kids(g, G_ALT, kid, n);
}

const struct gnode *gram_rep(struct gram *g, const struct gnode *kid, uint32_t min, uint32_t max)
{
    if (min > max) return &gram_failure;
    if (max == 0 || kid->op == G_EMPTY) return &gram_nothing;
    if (kid->op == G_FAIL) return min ? &gram_failure : &gram_nothing;
    if (min == 1 && max == 1) return kid;
    struct gnode *x = (struct gnode *)(uintptr_t)with_kids(g, G_REP, &kid, 1);
    if (x->op == G_FAIL) return x;
    x->min = min;
    x->max = max;
    return x;
}

const struct gnode *gram_ref(struct gram *g, uint32_t rule)
{
    struct gnode *x = rule == GRAM_NONE ? NULL : node(g, G_REF);
    if (!x) return &gram_failure;
    x->id = rule;
    return x;
}

const struct gnode *gram_list(struct gram *g, const struct glist *l)
{
    struct gnode *x = node(g, G_LIST);
    struct glist *copy = gram_push(g, 1, sizeof *copy);
    if (!x || !copy) return &gram_failure;
    *copy = *l;
    x->list = copy;
    return x;
}

uint32_t gram_rule(struct gram *g, const char *name, uint32_t place)
{
    if (g->rc) return GRAM_NONE;
    if (g->n_rules == g->cap_rules) {
        uint32_t cap = g->cap_rules ? g->cap_rules * 2 : 64;
        if (g->n_rules >= GRAM_RULES) {
            gram_fail(g, ERR_LIMIT, "more than %d rules", GRAM_RULES);
            return GRAM_NONE;
        }
        struct grule *r = mem_resize(g->rule, cap, sizeof *r);
        if (!r) {
            gram_nomem(g);
            return GRAM_NONE;
        }
        g->rule = r;
        g->cap_rules = cap;
    }
    g->rule[g->n_rules] = (struct grule){ name, &gram_failure, place };
    return g->n_rules++;
}

const struct gnode *gram_token(struct gram *g, int32_t id, const char *text, bool negated)
{
    struct gnode *x = node(g, G_TOKEN);
    if (!x) return &gram_failure;
    for (x->id = 0; x->id < g->n_tokens; x->id++) {
        const struct gtoken *t = &g->token[x->id];
        if (t->id == id && t->negated == negated && (!text == !t->text) && (!text || !strcmp(text, t->text))) return x;
    }
    if (g->n_tokens == 1000) {
        gram_fail(g, ERR_LIMIT, "more than 1000 different tokens in <>");
        return &gram_failure;
    }
    if (g->n_tokens == g->cap_tokens) {
        uint32_t cap = g->cap_tokens ? g->cap_tokens * 2 : 16;
        struct gtoken *t = mem_resize(g->token, cap, sizeof *t);
        if (!t) {
            gram_nomem(g);
            return &gram_failure;
        }
        g->token = t;
        g->cap_tokens = cap;
    }
    g->token[g->n_tokens++] = (struct gtoken){ id, negated, text };
    return x;
}

/* ---- characters ---- */

void cp_add(struct gram *g, struct cp_set *s, uint32_t lo, uint32_t hi)
{
    if (lo > hi || g->rc) return;
    if (s->n == s->cap) {
        uint32_t cap = s->cap ? s->cap * 2 : 16;
        struct cp_range *r = cap > 1 << 22 ? NULL : mem_resize(s->r, cap, sizeof *r);
        if (!r) {
            gram_nomem(g);
            return;
        }
        s->r = r;
        s->cap = cap;
    }
    s->r[s->n++] = (struct cp_range){ lo, hi > GRAM_LAST_CHAR ? GRAM_LAST_CHAR : hi };
}

void cp_add_set(struct gram *g, struct cp_set *s, const struct cp_set *from)
{
    for (uint32_t i = 0; i < from->n; i++) cp_add(g, s, from->r[i].lo, from->r[i].hi);
}

static void sift(struct cp_range *r, uint32_t at, uint32_t n)
{
    struct cp_range v = r[at];
    for (uint32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && r[child + 1].lo > r[child].lo) child++;
        if (r[child].lo <= v.lo) break;
        r[at] = r[child];
    }
    r[at] = v;
}

void cp_normalise(struct cp_set *s)
{
    bool sorted = true;
    for (uint32_t i = 1; i < s->n && sorted; i++) sorted = s->r[i - 1].lo <= s->r[i].lo;
    if (!sorted) {
        for (uint32_t i = s->n / 2; i--;) sift(s->r, i, s->n);
        for (uint32_t i = s->n; i-- > 1;) {
            struct cp_range t = s->r[0];
            s->r[0] = s->r[i];
            s->r[i] = t;
            sift(s->r, 0, i);
        }
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (n && s->r[i].lo <= s->r[n - 1].hi + 1) {
            if (s->r[i].hi > s->r[n - 1].hi) s->r[n - 1].hi = s->r[i].hi;
        } else {
            s->r[n++] = s->r[i];
        }
    }
    s->n = n;
}

void cp_negate(struct gram *g, struct cp_set *s)
{
    struct cp_set out = { 0 };
    cp_normalise(s);
    uint32_t next = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        if (s->r[i].lo > next) cp_add(g, &out, next, s->r[i].lo - 1);
        next = s->r[i].hi + 1;
    }
    if (next <= GRAM_LAST_CHAR) cp_add(g, &out, next, GRAM_LAST_CHAR);
    cp_release(s);
    *s = out;
}

void cp_release(struct cp_set *s)
{
    mem_free(s->r);
    *s = (struct cp_set){ 0 };
}

const struct gnode *gram_set(struct gram *g, struct cp_set *s)
{
    struct cp_set clean = { 0 };
    for (uint32_t i = 0; i < s->n; i++) {                  /* surrogates are no characters */
        struct cp_range r = s->r[i];
        if (r.lo < 0xd800) cp_add(g, &clean, r.lo, r.hi < 0xd7ff ? r.hi : 0xd7ff);
        if (r.hi > 0xdfff) cp_add(g, &clean, r.lo > 0xe000 ? r.lo : 0xe000, r.hi);
    }
    cp_release(s);
    cp_normalise(&clean);
    struct gnode *x = clean.n ? node(g, G_SET) : NULL;
    struct cp_range *copy = x ? gram_push(g, clean.n, sizeof *copy) : NULL;
    if (copy) {
        memcpy(copy, clean.r, clean.n * sizeof *copy);
        x->range = copy;
        x->n = clean.n;
    }
    cp_release(&clean);
    return copy ? x : &gram_failure;
}

const struct gnode *gram_range(struct gram *g, uint32_t lo, uint32_t hi)
{
    struct cp_set s = { 0 };
    cp_add(g, &s, lo, hi);
    return gram_set(g, &s);
}

const struct gnode *gram_any(struct gram *g) { return gram_range(g, 0, GRAM_LAST_CHAR); }
