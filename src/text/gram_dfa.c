/* gram_dfa.c - subsets of a frame's states, and what can be computed with deterministic automata.
 *
 * A subset is the ascending list of those of its states that do something: have an edge that takes a byte, a rule or a
 * token, or are the last.  Calls of rules are symbols like bytes here. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "text/gram.h"

struct group { struct gbytes on; uint32_t label, head; };       /* head: first of a list of targets + 1 */
struct target { uint32_t to, next; };

struct u32s { uint32_t *v; size_t n, cap; };

struct subsets {
    struct nfa *a;
    struct dfa *d;
    uint32_t last, base, pass;
    uint32_t *seen;             /* by state of a: the pass that met it */
    uint32_t *stack;
    struct u32s member;         /* all subsets, one after another */
    struct u32s begin;          /* by subset, one more at the end */
    struct u32s now;            /* the closure being made */
    uint32_t *slot, mask;       /* subset + 1 by hash */
    struct group *group;
    size_t n_groups, cap_groups;
    struct target *target;
    size_t n_targets, cap_targets;
};

static bool room(struct gram *g, void *array, size_t n, size_t *cap, size_t size)
{
    if (n < *cap) return true;
    void **p = array;
    size_t more = *cap ? *cap * 2 : 256;
    void *q = mem_resize(*p, more, size);
    if (!q) {
        gram_nomem(g);
        return false;
    }
    *p = q;
    *cap = more;
    return true;
}

static void add(struct gram *g, struct u32s *l, uint32_t v)
{
    if (room(g, &l->v, l->n, &l->cap, sizeof v)) l->v[l->n++] = v;
}

static void spend(struct gram *g, uint64_t n)
{
    g->subset_work += n;
    if (g->subset_work > GRAM_SUBSETS) gram_fail(g, ERR_LIMIT,
        "it is too complex: too many things can come next; make it smaller");
}

static bool does_something(const struct subsets *s, uint32_t q)
{
    if (q == s->last) return true;
    for (uint32_t e = s->a->head[q]; e; e = s->a->edge[e - 1].next)
        if (s->a->edge[e - 1].label != ON_EPSILON) return true;
    return false;
}

/* Adds what can be reached from q without taking anything to s->now. */
static void close_over(struct subsets *s, uint32_t q)
{
    uint32_t n = 0;
    if (s->seen[q] == s->pass) return;
    s->seen[q] = s->pass;
    s->stack[n++] = q;
    while (n) {
        q = s->stack[--n];
        spend(s->a->g, 1);
        if (does_something(s, q)) add(s->a->g, &s->now, q);
        for (uint32_t e = s->a->head[q]; e; e = s->a->edge[e - 1].next) {
            const struct nfa_edge *x = &s->a->edge[e - 1];
            if (x->label != ON_EPSILON || s->seen[x->to] == s->pass) continue;
            s->seen[x->to] = s->pass;
            s->stack[n++] = x->to;
        }
    }
}

static int ascending(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static bool new_state(struct gram *g, struct dfa *d)
{
    if (d->n == d->cap) {
        uint32_t cap = d->cap ? d->cap * 2 : 256;
        struct dfa_state *p = d->n < GRAM_STATES ? mem_resize(d->state, cap, sizeof *p) : NULL;
        if (!p) {
            if (d->n < GRAM_STATES) gram_nomem(g);
            else gram_fail(g, ERR_LIMIT, "it needs more than %d states; make it smaller", GRAM_STATES);
            return false;
        }
        d->state = p;
        d->cap = cap;
    }
    d->state[d->n++] = (struct dfa_state){ 0 };
    return true;
}

static void new_edge(struct gram *g, struct dfa *d, uint32_t label, uint32_t to)
{
    if (d->n_edges == d->cap_edges) {
        uint32_t cap = d->cap_edges ? d->cap_edges * 2 : 1024;
        struct dfa_edge *p = d->n_edges < GRAM_STATES * 4 ? mem_resize(d->edge, cap, sizeof *p) : NULL;
        if (!p) {
            if (d->n_edges < GRAM_STATES * 4) gram_nomem(g);
            else gram_fail(g, ERR_LIMIT, "it needs more than %d transitions; make it smaller", GRAM_STATES * 4);
            return;
        }
        d->edge = p;
        d->cap_edges = cap;
    }
    d->edge[d->n_edges++] = (struct dfa_edge){ label, to };
}

static bool grow_slots(struct subsets *s)
{
    uint32_t cap = s->mask ? (s->mask + 1) * 2 : 256;
    uint32_t *slot = mem_new_array(uint32_t, cap);
    if (!slot) return gram_nomem(s->a->g), false;
    mem_free(s->slot);
    s->slot = slot;
    s->mask = cap - 1;
    for (uint32_t k = 0; k + 1 < s->begin.n; k++) {
        const uint32_t *m = s->member.v + s->begin.v[k];
        uint32_t i = (uint32_t)(hash_bytes(m, (s->begin.v[k + 1] - s->begin.v[k]) * sizeof *m) >> 16) & s->mask;
        while (s->slot[i]) i = (i + 1) & s->mask;
        s->slot[i] = k + 1;
    }
    return true;
}

/* The number of the subset in s->now, new or known. */
static uint32_t subset(struct subsets *s)
{
    struct gram *g = s->a->g;
    if (s->now.n > 1) qsort(s->now.v, s->now.n, sizeof *s->now.v, ascending);
    size_t n = s->now.n;
    if (s->begin.n * 2 > s->mask && !grow_slots(s)) return 0;
    uint32_t i = (uint32_t)(hash_bytes(s->now.v, n * sizeof *s->now.v) >> 16) & s->mask;
    for (; s->slot[i]; i = (i + 1) & s->mask) {
        uint32_t k = s->slot[i] - 1;
        if (s->begin.v[k + 1] - s->begin.v[k] == n && (!n || !memcmp(s->member.v + s->begin.v[k], s->now.v,
            n * sizeof *s->now.v)))
            return k;
    }
    uint32_t k = (uint32_t)s->begin.n - 1;
    for (size_t j = 0; j < n; j++) add(g, &s->member, s->now.v[j]);
    add(g, &s->begin, (uint32_t)s->member.n);
    if (g->rc || !new_state(g, s->d)) return 0;
    s->slot[i] = k + 1;
    for (size_t j = 0; j < n; j++)
        if (s->now.v[j] == s->last) s->d->state[s->base + k].accept = true;
    return k;
}

static void add_target(struct subsets *s, struct group *x, uint32_t to)
{
    if (!room(s->a->g, &s->target, s->n_targets, &s->cap_targets, sizeof *s->target)) return;
    s->target[s->n_targets] = (struct target){ to, x->head };
    x->head = (uint32_t)++s->n_targets;
}

static struct group *new_group(struct subsets *s, const struct gbytes *on, uint32_t label)
{
    if (!room(s->a->g, &s->group, s->n_groups, &s->cap_groups, sizeof *s->group)) return NULL;
    s->group[s->n_groups] = (struct group){ on ? *on : (struct gbytes){ { 0 } }, label, 0 };
    return &s->group[s->n_groups++];
}

/* Splits the groups of bytes so that those in `on` lead to `to` as well. */
static void split_groups(struct subsets *s, const struct gbytes *on, uint32_t to)
{
    struct gbytes left = *on;
    size_t n = s->n_groups;
    spend(s->a->g, n / 4 + 1);
    for (size_t i = 0; i < n && !gbytes_none(&left); i++) {
        struct group x = s->group[i];
        struct gbytes in, out;
        for (int w = 0; w < 4; w++) {
            in.w[w] = x.on.w[w] & left.w[w];
            out.w[w] = x.on.w[w] & ~left.w[w];
            left.w[w] &= ~in.w[w];
        }
        if (gbytes_none(&in)) continue;
        if (!gbytes_none(&out)) {
            struct group *rest = new_group(s, &out, 0);
            if (!rest) return;
            rest->head = x.head;
            s->group[i].on = in;
        }
        add_target(s, &s->group[i], to);
    }
    struct group *fresh = gbytes_none(&left) ? NULL : new_group(s, &left, 0);
    if (fresh) add_target(s, fresh, to);
}

static void add_symbol(struct subsets *s, size_t from, uint32_t label, uint32_t to)
{
    for (size_t i = from; i < s->n_groups; i++)
        if (s->group[i].label == label) {
            add_target(s, &s->group[i], to);
            return;
        }
    struct group *x = new_group(s, NULL, label);
    if (x) add_target(s, x, to);
}

static void collect(struct subsets *s, uint32_t k, uint32_t kind, size_t from)
{
    for (uint32_t j = s->begin.v[k]; j < s->begin.v[k + 1]; j++)
        for (uint32_t e = s->a->head[s->member.v[j]]; e && !s->a->g->rc; e = s->a->edge[e - 1].next) {
            const struct nfa_edge *x = &s->a->edge[e - 1];
            if (!(x->label & kind)) continue;
            if (kind == ON_SET) split_groups(s, &s->a->g->sets->set[x->label & ON_INDEX], x->to);
            else add_symbol(s, from, x->label, x->to);
        }
}

/* The edges of subset k. */
static void expand(struct subsets *s, uint32_t k)
{
    struct gram *g = s->a->g;
    s->n_groups = s->n_targets = 0;
    collect(s, k, ON_SET, 0);
    size_t bytes = s->n_groups;
    collect(s, k, ON_CALL, bytes);
    collect(s, k, ON_TOKEN, s->n_groups);
    s->d->state[s->base + k].edge = s->d->n_edges;
    for (size_t i = 0; i < s->n_groups && !g->rc; i++) {
        s->pass++;
        s->now.n = 0;
        for (uint32_t t = s->group[i].head; t; t = s->target[t - 1].next) close_over(s, s->target[t - 1].to);
        if (!s->now.n) continue;
        uint32_t to = subset(s);
        new_edge(g, s->d, i < bytes ? ON_SET | gset_id(g, &s->group[i].on) : s->group[i].label, s->base + to);
    }
    s->d->state[s->base + k].n_edges = s->d->n_edges - s->d->state[s->base + k].edge;
}

/* Drops edges to states from which nothing ends; whether the first state is good. */
static bool trim(struct gram *g, struct dfa *d, uint32_t base, uint32_t first)
{
    uint32_t n = d->n - base, n_stack = 0, e0 = d->state[base].edge;
    uint32_t *head = mem_new_array(uint32_t, n), *next = mem_new_array(uint32_t, d->n_edges - e0 + 1);
    uint32_t *from = mem_new_array(uint32_t, d->n_edges - e0 + 1), *stack = mem_new_array(uint32_t, n);
    bool *good = mem_new_array(bool, n), ok = head && next && from && stack && good, result = false;
    for (uint32_t q = 0; ok && q < n; q++) {
        const struct dfa_state *x = &d->state[base + q];
        for (uint32_t e = x->edge; e < x->edge + x->n_edges; e++) {
            uint32_t to = d->edge[e].to - base;
            from[e - e0] = q;
            next[e - e0] = head[to];
            head[to] = e - e0 + 1;
        }
        if (x->accept) {
            good[q] = true;
            stack[n_stack++] = q;
        }
    }
    while (ok && n_stack)
        for (uint32_t e = head[stack[--n_stack]]; e; e = next[e - 1])
            if (!good[from[e - 1]]) {
                good[from[e - 1]] = true;
                stack[n_stack++] = from[e - 1];
            }
    for (uint32_t q = 0; ok && q < n; q++) {
        struct dfa_state *x = &d->state[base + q];
        uint32_t kept = 0;
        for (uint32_t e = x->edge; e < x->edge + x->n_edges; e++)
            if (good[d->edge[e].to - base]) d->edge[x->edge + kept++] = d->edge[e];
        x->n_edges = kept;
    }
    if (ok) result = good[first - base];
    else gram_nomem(g);
    mem_free(head);
    mem_free(next);
    mem_free(from);
    mem_free(stack);
    mem_free(good);
    return result;
}

/* The frame as it is, without epsilon edges. */
static void plain(struct subsets *s, uint32_t first)
{
    static const uint32_t kind[3] = { ON_SET, ON_CALL, ON_TOKEN };
    struct gram *g = s->a->g;
    for (uint32_t q = 0; q < s->a->n && !g->rc; q++) new_state(g, s->d);
    for (uint32_t q = 0; q < s->a->n && !g->rc; q++) {
        struct dfa_state *x = &s->d->state[s->base + q];
        x->edge = s->d->n_edges;
        x->accept = q == s->last;
        s->pass++;
        s->now.n = 0;
        close_over(s, q == first ? first : q);
        struct u32s mine = s->now;              /* an edge of any of them is an edge of q */
        s->now = (struct u32s){ 0 };
        for (size_t i = 0; i < mine.n; i++) x->accept |= mine.v[i] == s->last;
        for (unsigned k = 0; k < 3; k++)
            for (size_t i = 0; i < mine.n; i++)
                for (uint32_t e = s->a->head[mine.v[i]]; e && !g->rc; e = s->a->edge[e - 1].next)
                    if (s->a->edge[e - 1].label & kind[k]) new_edge(g, s->d, s->a->edge[e - 1].label,
                        s->base + s->a->edge[e - 1].to);
        x = &s->d->state[s->base + q];
        x->n_edges = s->d->n_edges - x->edge;
        mem_free(s->now.v);
        s->now = mine;
    }
}

static void forget(struct subsets *s, uint32_t edges)
{
    s->d->n = s->base;
    s->d->n_edges = edges;
}

int dfa_build(struct dfa *d, struct nfa *a, uint32_t first, uint32_t last, bool strict, uint32_t *start)
{
    struct gram *g = a->g;
    struct subsets s = { .a = a, .d = d, .last = last, .base = d->n };
    uint32_t edges = d->n_edges, first_state = d->n;
    s.seen = mem_new_array(uint32_t, a->n);
    s.stack = mem_new_array(uint32_t, a->n);
    if (!s.seen || !s.stack) gram_nomem(g);
    add(g, &s.begin, 0);
    size_t most = (size_t)a->n * 8 + 2000, most_members = most * 24;
    bool over = false;
    if (!g->rc) {
        s.pass = 1;
        close_over(&s, first);
        subset(&s);
    }
    for (uint32_t k = 0; !g->rc && k + 1 < s.begin.n && !over; k++) {
        expand(&s, k);
        over = s.begin.n > most || s.member.n > most_members;
    }
    if (over && !g->rc) {
        forget(&s, edges);
        if (strict) gram_fail(g, ERR_LIMIT, "a pattern is too complex: it needs more than %zu states", most);
        else plain(&s, first);
        first_state = s.base + first;
    }
    if (!g->rc) *start = trim(g, d, s.base, first_state) ? first_state : GRAM_NONE;
    if (!g->rc && *start == GRAM_NONE) forget(&s, edges);
    mem_free(s.seen);
    mem_free(s.stack);
    mem_free(s.member.v);
    mem_free(s.begin.v);
    mem_free(s.now.v);
    mem_free(s.slot);
    mem_free(s.group);
    mem_free(s.target);
    return g->rc;
}

void dfa_release(struct dfa *d)
{
    mem_free(d->state);
    mem_free(d->edge);
    *d = (struct dfa){ 0 };
}

/* ---- products ---- */

static int regular(struct gram *g, const struct gnode *x, struct dfa *d, uint32_t *start)
{
    struct nfa a = { .g = g };
    uint32_t first, last;
    int rc = nfa_build(&a, x, &first, &last);
    if (rc == 0) rc = dfa_build(d, &a, first, last, true, start);
    for (uint32_t e = 0; rc == 0 && e < d->n_edges; e++)
        if (!(d->edge[e].label & ON_SET)) rc = gram_fail(g, ERR_UNSUPPORTED, "rules and tokens cannot be combined with patterns");
    nfa_release(&a);
    return rc;
}

struct product {
    struct gram *g;
    const struct dfa *x, *y;
    bool without;
    struct u32s px, py;         /* by state of the product; py GRAM_NONE: y has failed */
    uint32_t *slot, mask;
    struct garc *arc;
    size_t n_arcs, cap_arcs;
};

static uint32_t pair(struct product *p, uint32_t x, uint32_t y)
{
    if (p->px.n * 2 >= p->mask) {
        uint32_t cap = p->mask ? (p->mask + 1) * 2 : 256;
        uint32_t *slot = mem_new_array(uint32_t, cap);
        if (!slot) return gram_nomem(p->g), 0;
        mem_free(p->slot);
        p->slot = slot;
        p->mask = cap - 1;
        for (uint32_t k = 0; k < p->px.n; k++) {
            uint32_t i = (p->px.v[k] * 0x9e3779b1u ^ p->py.v[k] * 0x85ebca6bu) & p->mask;
            while (p->slot[i]) i = (i + 1) & p->mask;
            p->slot[i] = k + 1;
        }
    }
    uint32_t i = (x * 0x9e3779b1u ^ y * 0x85ebca6bu) & p->mask;
    for (; p->slot[i]; i = (i + 1) & p->mask)
        if (p->px.v[p->slot[i] - 1] == x && p->py.v[p->slot[i] - 1] == y) return p->slot[i] - 1;
    if (p->px.n > GRAM_UNROLL_MOST * 2) return gram_fail(p->g, ERR_LIMIT, "patterns and lengths together are too complex"), 0;
    add(p->g, &p->px, x);
    add(p->g, &p->py, y);
    p->slot[i] = (uint32_t)p->px.n;
    return (uint32_t)p->px.n - 1;
}

static void arc(struct product *p, uint32_t from, uint32_t x, uint32_t y, const struct gbytes *on)
{
    uint32_t to = pair(p, x, y);
    if (p->g->rc || !room(p->g, &p->arc, p->n_arcs, &p->cap_arcs, sizeof *p->arc)) return;
    p->arc[p->n_arcs++] = (struct garc){ from, to, *on };
}

static void expand_pair(struct product *p, uint32_t k)
{
    const struct gbytes *set = p->g->sets->set;
    const struct dfa_state *x = &p->x->state[p->px.v[k]], *y = p->py.v[k] == GRAM_NONE ? NULL : &p->y->state[p->py.v[k]];
    for (uint32_t e = x->edge; e < x->edge + x->n_edges && !p->g->rc; e++) {
        struct gbytes left = set[p->x->edge[e].label & ON_INDEX];
        for (uint32_t f = y ? y->edge : 0; y && f < y->edge + y->n_edges; f++) {
            const struct gbytes *other = &set[p->y->edge[f].label & ON_INDEX];
            struct gbytes in;
            for (int w = 0; w < 4; w++) {
                in.w[w] = left.w[w] & other->w[w];
                left.w[w] &= ~other->w[w];
            }
            if (!gbytes_none(&in)) arc(p, k, p->x->edge[e].to, p->y->edge[f].to, &in);
        }
        if (p->without && !gbytes_none(&left)) arc(p, k, p->x->edge[e].to, GRAM_NONE, &left);
    }
}

static bool accepts(const struct product *p, uint32_t k)
{
    bool y = p->py.v[k] != GRAM_NONE && p->y->state[p->py.v[k]].accept;
    return p->x->state[p->px.v[k]].accept && y != p->without;
}

/* The product as a graph; G_FAIL when nothing is accepted. */
static const struct gnode *finish(struct product *p)
{
    struct gram *g = p->g;
    struct gnode *node = gram_push(g, 1, sizeof *node);
    struct ggraph *r = gram_push(g, 1, sizeof *r);
    struct garc *copy = gram_push(g, p->n_arcs, sizeof *copy);
    bool *accept = gram_push(g, p->px.n, sizeof *accept), any = false;
    if (!node || !r || !copy || !accept) return &gram_failure;
    for (uint32_t k = 0; k < p->px.n; k++) any |= accept[k] = accepts(p, k);
    if (p->n_arcs) memcpy(copy, p->arc, p->n_arcs * sizeof *copy);
    *r = (struct ggraph){ copy, accept, (uint32_t)p->n_arcs, (uint32_t)p->px.n };
    *node = (struct gnode){ .op = G_GRAPH, .graph = r };
    return any ? node : &gram_failure;
}

const struct gnode *gram_both(struct gram *g, const struct gnode *x, const struct gnode *y, bool without)
{
    struct dfa dx = { 0 }, dy = { 0 };
    uint32_t sx = GRAM_NONE, sy = GRAM_NONE;
    const struct gnode *out = &gram_failure;
    if (!g->rc) regular(g, x, &dx, &sx);
    if (!g->rc) regular(g, y, &dy, &sy);
    struct product p = { .g = g, .x = &dx, .y = &dy, .without = without };
    if (!g->rc && sx != GRAM_NONE && (sy != GRAM_NONE || without)) {
        pair(&p, sx, sy);
        for (uint32_t k = 0; !g->rc && k < p.px.n; k++) expand_pair(&p, k);
        if (!g->rc) out = finish(&p);
    }
    dfa_release(&dx);
    dfa_release(&dy);
    mem_free(p.px.v);
    mem_free(p.py.v);
    mem_free(p.slot);
    mem_free(p.arc);
    return out;
}

const struct gnode *gram_until(struct gram *g, const char *mark, size_t n, bool with)
{
    const struct gnode *some = gram_rep(g, gram_any(g), 0, GRAM_INF), *end = gram_bytes(g, mark, n);
    const struct gnode *x = GRAM_SEQ(g, some, end), *later = GRAM_SEQ(g, some, end, gram_any(g), some);
    return with ? gram_both(g, x, later, true) : gram_both(g, some, GRAM_SEQ(g, some, end, some), true);
}

bool gram_matches(struct gram *g, const struct gnode *x, const char *s, size_t n)
{
    struct dfa d = { 0 };
    uint32_t q = GRAM_NONE;
    if (g->rc || regular(g, x, &d, &q) < 0) q = GRAM_NONE;
    for (size_t i = 0; i < n && q != GRAM_NONE; i++) {
        const struct dfa_state *st = &d.state[q];
        q = GRAM_NONE;
        for (uint32_t e = st->edge; e < st->edge + st->n_edges; e++)
            if (gbytes_has(&g->sets->set[d.edge[e].label & ON_INDEX], (uint8_t)s[i])) q = d.edge[e].to;
    }
    bool yes = q != GRAM_NONE && d.state[q].accept;
    dfa_release(&d);
    return yes;
}
