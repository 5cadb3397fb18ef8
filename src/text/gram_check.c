/* gram_check.c - what must be known of rules before they become automata.
 *
 * A rule is nullable when it matches the empty text, productive when it matches any text at all.  What can never end is cut
 * out, so that no text is begun that cannot be finished.  A rule that begins with itself (left recursion) is refused: no
 * bounded number of steps would bring the next byte. */
#include <string.h>

#include "base/mem.h"
#include "text/gram.h"

struct check {
    struct gram *g;
    struct ginfo *info;
    uint64_t work;
    uint32_t *stack, *iter;     /* depth-first search: rules, and how many of their references were followed */
    uint8_t *color;
    uint32_t **ref;             /* by rule: its references, after n_ref */
    uint32_t *n_ref, *n_calls;  /* n_calls: how often it is referred to */
};

static bool spend(struct check *c, uint64_t n)
{
    c->work += n;
    if (c->work > GRAM_WORK) gram_fail(c->g, ERR_LIMIT, "it is too complex: rules that depend on rules; make it smaller");
    return !c->g->rc;
}

bool gram_nullable(const struct gnode *x, const struct ginfo *info)
{
    switch (x->op) {
    case G_EMPTY: return true;
    case G_SEQ:
        for (uint32_t i = 0; i < x->n; i++)
            if (!gram_nullable(x->kid[i], info)) return false;
        return true;
    case G_ALT:
        for (uint32_t i = 0; i < x->n; i++)
            if (gram_nullable(x->kid[i], info)) return true;
        return false;
    case G_REP: return x->min == 0 || gram_nullable(x->kid[0], info);
    case G_REF: return info && info[x->id].nullable;
    case G_GRAPH: return x->graph->accept[0];
    case G_LIST: {
        const struct glist *l = x->list;
        if (l->min) return false;                   /* separators and things are not empty */
        for (uint32_t i = 0; !l->tuple && i < l->n_items; i++)
            if (l->needed[i]) return false;
        return true;
    }
    default: return false;
    }
}

static bool productive(const struct gnode *x, const struct ginfo *info)
{
    switch (x->op) {
    case G_FAIL: return false;
    case G_SEQ:
        for (uint32_t i = 0; i < x->n; i++)
            if (!productive(x->kid[i], info)) return false;
        return true;
    case G_ALT:
        for (uint32_t i = 0; i < x->n; i++)
            if (productive(x->kid[i], info)) return true;
        return false;
    case G_REP: return x->min == 0 || productive(x->kid[0], info);
    case G_REF: return info[x->id].productive;
    case G_LIST: {
        const struct glist *l = x->list;
        bool rest = l->rest && productive(l->rest, info);
        uint32_t can = 0;
        for (uint32_t i = 0; i < l->n_items; i++) {
            bool good = productive(l->item[i], info);
            if (!good && (l->tuple || l->needed[i])) return l->tuple && i >= l->min;
            can += good;
        }
        return rest || can >= l->min;
    }
    default: return true;
    }
}

/* x without what can never end. */
static const struct gnode *prune(struct check *c, const struct gnode *x)
{
    struct gram *g = c->g;
    if (g->rc) return &gram_failure;
    if (x->op == G_REF) return c->info[x->id].productive ? x : &gram_failure;
    if (x->op == G_REP) {
        const struct gnode *kid = prune(c, x->kid[0]);
        return kid == x->kid[0] ? x : gram_rep(g, kid, x->min, x->max);
    }
    if (x->op == G_LIST) {
        for (uint32_t i = 0; i < x->list->n_items; i++) x->list->item[i] = prune(c, x->list->item[i]);
        if (x->list->rest) ((struct glist *)(uintptr_t)x->list)->rest = prune(c, x->list->rest);
        return productive(x, c->info) ? x : &gram_failure;
    }
    if (x->op != G_SEQ && x->op != G_ALT) return x;
    for (uint32_t i = 0; i < x->n; i++) x->kid[i] = prune(c, x->kid[i]);
    return x->op == G_SEQ ? gram_seq(g, x->kid, x->n) : gram_alt(g, x->kid, x->n);
}

static void fixpoint(struct check *c, bool value(const struct gnode *, const struct ginfo *), bool null)
{
    for (bool changed = true, back = true; changed && !c->g->rc; back = !back) {
        changed = false;
        for (uint32_t k = 0; k < c->g->n_rules; k++) {
            uint32_t i = back ? c->g->n_rules - 1 - k : k;
            bool *v = null ? &c->info[i].nullable : &c->info[i].productive;
            if (*v) continue;
            if (!spend(c, 4 + c->info[i].size)) return;
            if (value(c->g->rule[i].body, c->info)) *v = changed = true;
        }
    }
}

/* ---- references ---- */

/* How many nodes x has; appends the rules it calls (at its left edge only: `left`) to ref when it is not NULL. */
static uint64_t walk(const struct gnode *x, const struct ginfo *left, uint32_t *ref, uint32_t *n)
{
    uint64_t nodes = 1;
    if (x->op == G_REF) {
        if (ref) ref[*n] = x->id;
        ++*n;
    } else if (x->op == G_SEQ || x->op == G_ALT || x->op == G_REP) {
        for (uint32_t i = 0; i < (x->op == G_REP ? 1 : x->n); i++) {
            nodes += walk(x->kid[i], left, ref, n);
            if (left && x->op == G_SEQ && !gram_nullable(x->kid[i], left)) break;
        }
    } else if (x->op == G_LIST) {
        const struct glist *l = x->list;
        for (uint32_t i = 0; i < l->n_items; i++) {
            nodes += walk(l->item[i], left, ref, n);
            if (left && (l->tuple || l->needed[i])) break;
        }
        if (l->rest) nodes += walk(l->rest, left, ref, n);
        if (!left && l->sep) nodes += walk(l->sep, left, ref, n);
    }
    return nodes;
}

static bool collect(struct check *c, bool left)
{
    for (uint32_t i = 0; i < c->g->n_rules; i++) {
        uint32_t n = 0;
        const struct gnode *body = c->g->rule[i].body;
        uint64_t nodes = walk(body, left ? c->info : NULL, NULL, &n);
        if (!left) c->info[i].size = nodes > UINT32_MAX ? UINT32_MAX : (uint32_t)nodes;
        if (!spend(c, nodes)) return false;
        c->n_ref[i] = 0;
        mem_free(c->ref[i]);
        c->ref[i] = mem_new_array(uint32_t, n + 1);
        if (!c->ref[i]) return gram_nomem(c->g), false;
        walk(body, left ? c->info : NULL, c->ref[i], &c->n_ref[i]);
    }
    memset(c->n_calls, 0, c->g->n_rules * sizeof *c->n_calls);
    for (uint32_t i = 0; i < c->g->n_rules; i++)
        for (uint32_t k = 0; k < c->n_ref[i]; k++) c->n_calls[c->ref[i][k]]++;
    return true;
}

/* Depth first from every rule; back(c, rule) for one that is met while it is being visited, done(c, rule) at its end. */
static void search(struct check *c, bool back(struct check *, uint32_t), void done(struct check *, uint32_t))
{
    memset(c->color, 0, c->g->n_rules);
    for (uint32_t from = 0; from < c->g->n_rules; from++) {
        uint32_t n = 0;
        if (c->color[from]) continue;
        c->stack[n++] = from;
        c->iter[from] = 0;
        c->color[from] = 1;
        while (n && !c->g->rc) {
            uint32_t r = c->stack[n - 1];
            if (c->iter[r] < c->n_ref[r]) {
                uint32_t to = c->ref[r][c->iter[r]++];
                if (c->color[to] == 1 && !back(c, to)) return;
                if (c->color[to]) continue;
                c->color[to] = 1;
                c->iter[to] = 0;
                c->stack[n++] = to;
            } else {
                c->color[r] = 2;
                if (done) done(c, r);
                n--;
            }
        }
    }
}

static bool left_recursion(struct check *c, uint32_t rule)
{
    const struct grule *r = &c->g->rule[rule];
    char where[60] = "";
    if (c->g->source) {
        uint32_t line = 1, column = 1;
        for (const char *p = c->g->source; p < c->g->source + r->place; p++) {
            column = *p == '\n' ? 1 : column + 1;
            line += *p == '\n';
        }
        fmt_into(where, sizeof where, "line %u, column %u: ", line, column);
    }
    gram_fail(c->g, ERR_FORMAT, "%srule %.100s begins with itself (left recursion); put what it repeats in front, "
              "as in x ::= y x", where, r->name);
    return false;
}

static bool recursive(struct check *c, uint32_t rule) { return c->info[rule].kept = true; }

static uint32_t add(uint32_t a, uint32_t b) { return a > UINT32_MAX / 4 || b > UINT32_MAX / 4 ? UINT32_MAX / 2 : a + b; }
static uint32_t times(uint32_t a, uint32_t b)
{
    uint64_t v = (uint64_t)a * b;
    return v > UINT32_MAX / 2 ? UINT32_MAX / 2 : (uint32_t)v;
}

uint32_t gram_size(const struct gnode *x, const struct ginfo *info)
{
    uint32_t n = 1;
    switch (x->op) {
    case G_BYTES: return x->n;
    case G_SET: return x->n < 3 ? 4 : x->n * 2;
    case G_SEQ:
    case G_ALT:
        for (uint32_t i = 0; i < x->n; i++) n = add(n, gram_size(x->kid[i], info));
        return n;
    case G_REP: {
        uint32_t body = gram_size(x->kid[0], info), copies = x->max == GRAM_INF ? add(x->min, 1) : x->max;
        uint32_t all = times(body, copies);
        return all <= GRAM_UNROLL || copies <= 2 ? all : 2;
    }
    case G_REF: return !info || info[x->id].kept ? 2 : info[x->id].size;
    case G_LIST:
        for (uint32_t i = 0; i < x->list->n_items; i++) n = add(n, gram_size(x->list->item[i], info));
        return x->list->rest ? add(n, gram_size(x->list->rest, info)) : n;
    case G_GRAPH: return x->graph->n_states;
    default: return 1;
    }
}

/* Decides whether a rule is copied into its callers; its callees are decided. */
static void measure(struct check *c, uint32_t rule)
{
    struct ginfo *i = &c->info[rule];
    i->size = gram_size(c->g->rule[rule].body, c->info);
    for (uint32_t k = 0; k < c->n_ref[rule]; k++) {
        const struct ginfo *to = &c->info[c->ref[rule][k]];
        if (!to->kept && to->height >= i->height) i->height = to->height + 1;
    }
    if (i->size > GRAM_INLINE || i->height > 20 || (i->size > 8 && times(i->size,
        c->n_calls[rule]) > GRAM_COPIES)) i->kept = true;
}

static int check(struct check *c, uint32_t root)
{
    struct gram *g = c->g;
    size_t n = g->n_rules ? g->n_rules : 1;
    c->stack = mem_new_array(uint32_t, n);
    c->iter = mem_new_array(uint32_t, n);
    c->color = mem_new_array(uint8_t, n);
    c->ref = mem_new_array(uint32_t *, n);
    c->n_ref = mem_new_array(uint32_t, n);
    c->n_calls = mem_new_array(uint32_t, n);
    if (!c->n_calls || !c->stack || !c->iter || !c->color || !c->ref || !c->n_ref) return gram_nomem(g);
    if (!collect(c, false)) return g->rc;                  /* the sizes, for the budget */
    fixpoint(c, productive, false);
    if (!g->rc && !c->info[root].productive)
        return gram_fail(g, ERR_FORMAT, "no text matches: rule %s never ends", g->rule[root].name);
    for (uint32_t i = 0; i < g->n_rules && !g->rc; i++) g->rule[i].body = prune(c, g->rule[i].body);
    fixpoint(c, gram_nullable, true);
    if (g->rc || !collect(c, true)) return g->rc;
    search(c, left_recursion, NULL);
    if (g->rc || !collect(c, false)) return g->rc;
    search(c, recursive, measure);
    return g->rc;
}

int gram_check(struct gram *g, uint32_t root, struct ginfo *info)
{
    struct check c = { .g = g, .info = info };
    check(&c, root);
    for (uint32_t i = 0; c.ref && i < g->n_rules; i++) mem_free(c.ref[i]);
    mem_free(c.ref);
    mem_free(c.stack);
    mem_free(c.iter);
    mem_free(c.color);
    mem_free(c.n_ref);
    mem_free(c.n_calls);
    return g->rc;
}
