/* gram_nfa.c - expressions to nondeterministic automata over bytes.
 *
 * build() puts x between two states and promises: no new edge enters `from` or leaves `to`, so pieces can share them. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/gram.h"

static uint32_t state(struct nfa *a)
{
    if (a->n == a->cap) {
        uint32_t cap = a->cap ? a->cap * 2 : 256;
        uint32_t *h = a->n < GRAM_STATES ? mem_resize(a->head, cap, sizeof *h) : NULL;
        if (!h) {
            if (a->n < GRAM_STATES) gram_nomem(a->g);
            else gram_fail(a->g, ERR_LIMIT, "it needs more than %d states; make it smaller", GRAM_STATES);
            return 0;
        }
        a->head = h;
        a->cap = cap;
    }
    a->head[a->n] = 0;
    return a->n++;
}

static void edge(struct nfa *a, uint32_t from, uint32_t label, uint32_t to)
{
    if (a->g->rc) return;
    if (a->n_edges == a->cap_edges) {
        uint32_t cap = a->cap_edges ? a->cap_edges * 2 : 512;
        struct nfa_edge *e = a->n_edges < GRAM_STATES * 4 ? mem_resize(a->edge, cap, sizeof *e) : NULL;
        if (!e) {
            if (a->n_edges < GRAM_STATES * 4) gram_nomem(a->g);
            else gram_fail(a->g, ERR_LIMIT, "it needs more than %d transitions; make it smaller", GRAM_STATES * 4);
            return;
        }
        a->edge = e;
        a->cap_edges = cap;
    }
    a->edge[a->n_edges] = (struct nfa_edge){ label, to, a->head[from] };
    a->head[from] = ++a->n_edges;
}

static void on_bytes(struct nfa *a, uint32_t from, unsigned lo, unsigned hi, uint32_t to)
{
    struct gbytes b = { { 0 } };
    gbytes_add(&b, lo, hi);
    edge(a, from, ON_SET | gset_id(a->g, &b), to);
}

static void bytes(struct nfa *a, const char *s, size_t n, uint32_t from, uint32_t to)
{
    for (size_t i = 0; i < n && !a->g->rc; i++) {
        uint32_t next = i + 1 < n ? state(a) : to;
        on_bytes(a, from, (uint8_t)s[i], (uint8_t)s[i], next);
        from = next;
    }
}

/* ---- characters ---- */

/* tail[k]: k bytes 80..BF lead from it to the end; made when needed. */
struct utf8 { struct nfa *a; uint32_t tail[4]; };

static uint32_t tail(struct utf8 *u, unsigned k)
{
    if (u->tail[k] == GRAM_NONE) {
        uint32_t next = tail(u, k - 1);
        u->tail[k] = state(u->a);
        on_bytes(u->a, u->tail[k], 0x80, 0xbf, next);
    }
    return u->tail[k];
}

/* Encodings lo[k..n) to hi[k..n), all of n bytes, in order of the bytes; they share what is before. */
static void span(struct utf8 *u, const char *lo, const char *hi, unsigned k, unsigned n, uint32_t from)
{
    struct nfa *a = u->a;
    unsigned l = (uint8_t)lo[k], h = (uint8_t)hi[k];
    static const char least[4] = { '\x80', '\x80', '\x80', '\x80' }, most[4] = { '\xbf', '\xbf', '\xbf', '\xbf' };
    if (a->g->rc) return;
    if (k + 1 == n) {
        on_bytes(a, from, l, h, u->tail[0]);
        return;
    }
    bool all_lo = !memcmp(lo + k + 1, least, n - k - 1), all_hi = !memcmp(hi + k + 1, most, n - k - 1);
    if (l == h && !(all_lo && all_hi)) {
        uint32_t next = state(a);
        on_bytes(a, from, l, l, next);
        span(u, lo, hi, k + 1, n, next);
        return;
    }
    if (!all_lo) {
        uint32_t next = state(a);
        char end[4];
        memcpy(end, most, 4);
        on_bytes(a, from, l, l, next);
        span(u, lo, end, k + 1, n, next);
        l++;
    }
    if (!all_hi) {
        uint32_t next = state(a);
        char begin[4];
        memcpy(begin, least, 4);
        on_bytes(a, from, h, h, next);
        span(u, begin, hi, k + 1, n, next);
        h--;
    }
    if (l <= h) on_bytes(a, from, l, h, tail(u, n - k - 1));
}

static void characters(struct nfa *a, const struct cp_range *r, uint32_t n, uint32_t from, uint32_t to)
{
    static const uint32_t last[4] = { 0x7f, 0x7ff, 0xffff, GRAM_LAST_CHAR };
    struct utf8 u = { a, { to, GRAM_NONE, GRAM_NONE, GRAM_NONE } };
    struct gbytes ascii = { { 0 } };
    for (uint32_t i = 0; i < n && !a->g->rc; i++) {
        uint32_t lo = r[i].lo;
        if (lo < 0x80) {
            gbytes_add(&ascii, lo, r[i].hi < 0x7f ? r[i].hi : 0x7f);
            lo = 0x80;
        }
        for (unsigned k = 1; k < 4; k++) {
            if (lo > r[i].hi || lo > last[k]) continue;
            uint32_t hi = r[i].hi < last[k] ? r[i].hi : last[k];
            char b[4], e[4];
            utf8_encode(lo, b);
            utf8_encode(hi, e);
            span(&u, b, e, 0, k + 1, from);
            lo = hi + 1;
        }
    }
    if (!gbytes_none(&ascii)) edge(a, from, ON_SET | gset_id(a->g, &ascii), to);
}

/* ---- the rest ---- */

static void build(struct nfa *a, const struct gnode *x, uint32_t from, uint32_t to);

static void repeat_written_out(struct nfa *a, const struct gnode *body, uint32_t min, uint32_t max, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < min && !a->g->rc; i++) {
        uint32_t next = state(a);
        build(a, body, from, next);
        from = next;
    }
    if (max == GRAM_INF) {
        uint32_t loop = state(a);
        edge(a, from, ON_EPSILON, loop);
        build(a, body, loop, loop);
        edge(a, loop, ON_EPSILON, to);
        return;
    }
    for (uint32_t i = min; i < max && !a->g->rc; i++) {
        uint32_t next = state(a);
        edge(a, from, ON_EPSILON, to);
        build(a, body, from, next);
        from = next;
    }
    edge(a, from, ON_EPSILON, to);
}

static void repeat(struct nfa *a, const struct gnode *x, uint32_t from, uint32_t to)
{
    const struct gnode *body = x->kid[0];
    uint32_t min = x->min, max = x->max;
    bool nullable = gram_nullable(body, a->info);
    if (nullable) min = 0;
    uint64_t copies = max == GRAM_INF ? (uint64_t)min + 1 : max, all = copies * gram_size(body, a->info);
    bool write = all <= GRAM_UNROLL || copies <= 2;
    if (!write && a->counted && !nullable) {
        uint32_t rule = a->counted(a->arg, body, min, max);
        if (rule != GRAM_NONE) edge(a, from, ON_CALL | rule, to);
        return;
    }
    if (!write && all > GRAM_UNROLL_MOST)
        gram_fail(a->g, ERR_LIMIT, "a repetition of up to %llu times %s; at most %d states can be written out",
                  (unsigned long long)copies, nullable ? "of what may be empty" : "within a pattern or format", GRAM_UNROLL_MOST);
    repeat_written_out(a, body, min, max, from, to);
}

/* Things of a list are counted as far as it matters: to min, or to max when there is one. */
struct list_state { uint32_t *at; uint32_t cols; };

static void list_edge(struct nfa *a, const struct glist *l, const struct gnode *thing, uint32_t count, uint32_t from, uint32_t to)
{
    if (count && l->sep) {
        uint32_t mid = state(a);
        build(a, l->sep, from, mid);
        from = mid;
    }
    build(a, thing, from, to);
}

static void list(struct nfa *a, const struct glist *l, uint32_t from, uint32_t to)
{
    uint32_t top = l->max == GRAM_INF ? (l->min > 1 ? l->min : 1) : l->max, cols = top + 1;
    if (l->max == 0) {
        edge(a, from, ON_EPSILON, to);
        return;
    }
    if (top > 1000 || (uint64_t)cols * (l->n_items + 1) > GRAM_STATES) {
        gram_fail(a->g, ERR_LIMIT, "%u members with a count of up to %u; at most 1000 can be counted", l->n_items, top);
        return;
    }
    /* at[i * cols + c]: items before i are done, c things are there (or more, where the count stops) */
    uint32_t *at = mem_new_array(uint32_t, (size_t)cols * (l->n_items + 1));
    if (!at) {
        gram_nomem(a->g);
        return;
    }
    for (uint32_t i = 0; i < cols * (l->n_items + 1); i++) at[i] = state(a);
    edge(a, from, ON_EPSILON, at[0]);
    for (uint32_t i = 0; i <= l->n_items && !a->g->rc; i++) {
        for (uint32_t c = 0; c < cols && c <= i; c++) {
            uint32_t more = c < top ? c + 1 : l->max == GRAM_INF ? c : GRAM_NONE, here = at[i * cols + c];
            bool end = c >= l->min && (l->tuple || i == l->n_items);
            if (end) edge(a, here, ON_EPSILON, to);
            if (i == l->n_items) continue;
            if (more != GRAM_NONE) list_edge(a, l, l->item[i], c, here, at[(i + 1) * cols + more]);
            if (!l->tuple && !l->needed[i]) edge(a, here, ON_EPSILON, at[(i + 1) * cols + c]);
        }
    }
    for (uint32_t c = 0; l->rest && c < cols && !a->g->rc; c++) {
        uint32_t more = c < top ? c + 1 : l->max == GRAM_INF ? c : GRAM_NONE, here = at[l->n_items * cols + c];
        if (more != GRAM_NONE) list_edge(a, l, l->rest, c, here, at[l->n_items * cols + more]);
        if (c >= l->min && c > l->n_items) edge(a, here, ON_EPSILON, to);
    }
    mem_free(at);
}

static void graph(struct nfa *a, const struct ggraph *x, uint32_t from, uint32_t to)
{
    uint32_t base = a->n;
    for (uint32_t i = 0; i < x->n_states; i++) state(a);
    edge(a, from, ON_EPSILON, base);
    for (uint32_t i = 0; i < x->n_arcs && !a->g->rc; i++)
        edge(a, base + x->arc[i].from, ON_SET | gset_id(a->g, &x->arc[i].on), base + x->arc[i].to);
    for (uint32_t i = 0; i < x->n_states; i++)
        if (x->accept[i]) edge(a, base + i, ON_EPSILON, to);
}

static void sequence(struct nfa *a, const struct gnode *x, uint32_t from, uint32_t to)
{
    for (uint32_t i = 0; i < x->n && !a->g->rc; i++) {
        uint32_t next = i + 1 < x->n ? state(a) : to;
        build(a, x->kid[i], from, next);
        from = next;
    }
}

static void build(struct nfa *a, const struct gnode *x, uint32_t from, uint32_t to)
{
    if (a->g->rc) return;
    if (++a->depth > 5000) gram_fail(a->g, ERR_LIMIT, "it is nested too deep");
    switch (x->op) {
    case G_FAIL: break;
    case G_EMPTY: edge(a, from, ON_EPSILON, to); break;
    case G_BYTES: bytes(a, x->bytes, x->n, from, to); break;
    case G_SET: characters(a, x->range, x->n, from, to); break;
    case G_SEQ: sequence(a, x, from, to); break;
    case G_ALT:
        for (uint32_t i = 0; i < x->n; i++) build(a, x->kid[i], from, to);
        break;
    case G_REP: repeat(a, x, from, to); break;
    case G_REF:
        if (!a->info || a->info[x->id].kept) edge(a, from, ON_CALL | x->id, to);
        else build(a, a->g->rule[x->id].body, from, to);
        break;
    case G_TOKEN: edge(a, from, ON_TOKEN | x->id, to); break;
    case G_LIST: list(a, x->list, from, to); break;
    case G_GRAPH: graph(a, x->graph, from, to); break;
    }
    a->depth--;
}

int nfa_build(struct nfa *a, const struct gnode *x, uint32_t *first, uint32_t *last)
{
    a->n = a->n_edges = a->depth = 0;
    *first = state(a);
    *last = state(a);
    build(a, x, *first, *last);
    return a->g->rc;
}

void nfa_release(struct nfa *a)
{
    mem_free(a->head);
    mem_free(a->edge);
}
