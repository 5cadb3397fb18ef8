#include "text/gram_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

static bool room(struct grun *r, void *array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return true;
    void **p = array;
    uint32_t more = *cap ? *cap * 2 : 256;
    void *q = mem_resize(*p, more, size);
    if (!q) {
        r->rc = ERR_NOMEM;
        return false;
    }
    *p = q;
    *cap = more;
    return true;
}

static uint32_t stack_hash(uint32_t q, uint32_t count, uint32_t up)
{
    uint64_t h = (q * 0x9e3779b97f4a7c15u) ^ ((uint64_t)count << 32 | up) * 0xc2b2ae3d27d4eb4fu;
    return (uint32_t)(h >> 29);
}

static bool grow_node_slots(struct grun *r)
{
    uint32_t cap = r->node_mask ? (r->node_mask + 1) * 2 : 1024;
    uint32_t *slot = mem_new_array(uint32_t, cap);
    if (!slot) {
        r->rc = ERR_NOMEM;
        return false;
    }
    mem_free(r->node_slot);
    r->node_slot = slot;
    r->node_mask = cap - 1;
    for (uint32_t k = 1; k < r->n_nodes; k++) {
        uint32_t i = stack_hash(r->node[k].q, r->node[k].count, r->node[k].up) & r->node_mask;
        while (slot[i]) i = (i + 1) & r->node_mask;
        slot[i] = k;
    }
    return true;
}

/* GRAM_NONE when the stack would be too deep, or out of memory. */
static uint32_t stack_of(struct grun *r, uint32_t q, uint32_t count, uint32_t up)
{
    if (r->n_nodes * 2 > r->node_mask && !grow_node_slots(r)) return GRAM_NONE;
    uint32_t i = stack_hash(q, count, up) & r->node_mask;
    for (; r->node_slot[i]; i = (i + 1) & r->node_mask) {
        const struct gstack *s = &r->node[r->node_slot[i]];
        if (s->q == q && s->count == count && s->up == up) return r->node_slot[i];
    }
    uint32_t depth = r->node[up].depth + 1;
    if (depth > r->g->max_depth || !room(r, &r->node, r->n_nodes, &r->cap_nodes, sizeof *r->node)) return GRAM_NONE;
    r->node[r->n_nodes] = (struct gstack){ q, count, up, 0, depth };
    r->node_slot[i] = r->n_nodes;
    return r->n_nodes++;
}

/* ---- what a stack can do next ---- */

static void found(struct grun *r, uint32_t id)
{
    if (room(r, &r->found, r->n_found, &r->cap_found, sizeof *r->found)) r->found[r->n_found++] = id;
}

static void visit(struct grun *r, uint32_t id)
{
    if (id == GRAM_NONE || r->node[id].pass == r->pass) return;
    r->node[id].pass = r->pass;
    if (id == 0) found(r, 0);
    else if (room(r, &r->work, r->n_work, &r->cap_work, sizeof *r->work)) r->work[r->n_work++] = id;
}

static void visit_state(struct grun *r, uint32_t q, uint32_t up)
{
    if (up != GRAM_NONE) visit(r, stack_of(r, q, 0, up));
}

static void repeat(struct grun *r, struct gstack s, const struct gcount *c)
{
    if (s.count >= c->min) visit(r, s.up);
    if (s.count >= c->max && c->max != GRAM_INF) return;
    uint32_t next = s.count + 1;
    if (c->max == GRAM_INF && next > c->min) next = c->min;         /* more than enough is enough */
    bool last = c->max != GRAM_INF && next == c->max;
    visit_state(r, c->start, last ? s.up : stack_of(r, s.q, next, s.up));
}

static void drain(struct grun *r)
{
    const struct grammar *g = r->g;
    uint32_t visits = 0;
    while (r->n_work && !r->rc) {
        uint32_t id = r->work[--r->n_work];
        struct gstack s = r->node[id];
        const struct gstate *st = &g->state[s.q];
        if (++visits > GRUN_VISITS) r->rc = ERR_LIMIT;
        if (st->flags & GS_COUNTED) {
            repeat(r, s, &g->count[st->edge]);
            continue;
        }
        if (st->n_bytes || st->n_tokens) found(r, id);
        if (st->flags & GS_ACCEPT) visit(r, s.up);
        const struct dfa_edge *e = g->edge + st->edge + st->n_bytes;
        for (uint32_t i = 0; i < st->n_calls; i++) {
            bool tail = g->state[e[i].to].flags & GS_TAIL;
            visit_state(r, e[i].label, tail ? s.up : stack_of(r, e[i].to, 0, s.up));
        }
    }
    if (r->n_found > GRUN_STACKS) r->rc = ERR_LIMIT;
}

static void begin(struct grun *r)
{
    r->n_work = r->n_found = 0;
    if (++r->pass == 0) {
        for (uint32_t i = 0; i < r->n_nodes; i++) r->node[i].pass = 0;
        r->pass = 1;
    }
}

/* ---- configs ---- */

static int ascending(const void *x, const void *y)
{
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

static uint32_t config_hash(const uint32_t *v, uint32_t n)
{
    uint64_t h = 0x9e3779b97f4a7c15u + n;
    for (uint32_t i = 0; i < n; i++) h = (h ^ v[i]) * 0xff51afd7ed558ccdu, h ^= h >> 32;
    return (uint32_t)h;
}

static bool grow_config_slots(struct grun *r)
{
    uint32_t cap = r->config_mask ? (r->config_mask + 1) * 2 : 256;
    uint32_t *slot = mem_new_array(uint32_t, cap);
    if (!slot) {
        r->rc = ERR_NOMEM;
        return false;
    }
    mem_free(r->config_slot);
    r->config_slot = slot;
    r->config_mask = cap - 1;
    for (uint32_t k = 0; k < r->n_configs; k++) {
        uint32_t i = config_hash(r->pool + r->config[k].at, r->config[k].n) & r->config_mask;
        while (slot[i]) i = (i + 1) & r->config_mask;
        slot[i] = k + 1;
    }
    return true;
}

/* The repetition right below the top of a stack, when it may already end. */
static const struct gstack *repetition(const struct grun *r, uint32_t id)
{
    const struct gstack *up = &r->node[r->node[id].up];
    const struct gstate *st = id && r->node[id].up ? &r->g->state[up->q] : NULL;
    if (!st || !(st->flags & GS_COUNTED)) return NULL;
    const struct gcount *c = &r->g->count[st->edge];
    return c->max != GRAM_INF && up->count >= c->min ? up : NULL;
}

/* Of stacks that differ only in how often something was repeated, once that may end, only the one with the fewest turns stays: it
 * can do all that the others can. */
static void drop_weaker(struct grun *r)
{
    uint32_t size = 16, n = 0;
    while (size < 2 * r->n_found) size *= 2;
    while (size > r->cap_work)
        if (!room(r, &r->work, r->cap_work, &r->cap_work, sizeof *r->work)) return;
    memset(r->work, 0, size * sizeof *r->work);              /* by key: the best + 1 */
    for (uint32_t k = 0; k < r->n_found; k++) {
        uint32_t id = r->found[k], i;
        const struct gstack *s = &r->node[id], *up = repetition(r, id), *other = NULL;
        for (i = up ? stack_hash(s->q ^ up->q << 12, s->count, up->up) : 0; up; i++) {
            uint32_t at = r->work[i &= size - 1];
            if (!at) break;
            const struct gstack *t = &r->node[at - 1];
            other = &r->node[t->up];
            if (t->q == s->q && t->count == s->count && other->q == up->q && other->up == up->up) break;
        }
        if (up && (!r->work[i] || other->count > up->count)) r->work[i] = id + 1;
    }
    for (uint32_t k = 0; k < r->n_found; k++) {
        uint32_t id = r->found[k], i;
        const struct gstack *s = &r->node[id], *up = repetition(r, id);
        bool best = !up;
        for (i = up ? stack_hash(s->q ^ up->q << 12, s->count, up->up) : 0; up && r->work[i &= size - 1] && !best; i++)
            best = r->work[i] == id + 1;
        if (best) r->found[n++] = id;
    }
    r->n_found = n;
}

/* The config of the stacks in r->found; GRUN_DEAD after a failure. */
static uint32_t config_of(struct grun *r)
{
    if (r->n_found > 1 && r->g->n_counts) drop_weaker(r);
    uint32_t n = r->n_found, *v = r->found;
    if (r->rc) return GRUN_DEAD;
    if (n > 1) qsort(v, n, sizeof *v, ascending);
    if (r->n_configs * 2 >= r->config_mask && !grow_config_slots(r)) return GRUN_DEAD;
    uint32_t i = config_hash(v, n) & r->config_mask;
    for (; r->config_slot[i]; i = (i + 1) & r->config_mask) {
        const struct gconfig *c = &r->config[r->config_slot[i] - 1];
        if (c->n == n && !memcmp(r->pool + c->at, v, n * sizeof *v)) return r->config_slot[i] - 1;
    }
    if (!room(r, &r->config, r->n_configs, &r->cap_configs, sizeof *r->config)) return GRUN_DEAD;
    while (r->n_pool + n > r->cap_pool)
        if (!room(r, &r->pool, r->cap_pool, &r->cap_pool, sizeof *r->pool)) return GRUN_DEAD;
    if (n) memcpy(r->pool + r->n_pool, v, n * sizeof *v);
    r->config[r->n_configs] = (struct gconfig){ .at = r->n_pool, .n = n, .ends = n && v[0] == 0 };
    r->n_pool += n;
    r->config_slot[i] = r->n_configs + 1;
    return r->n_configs++;
}

uint32_t *grun_row(struct grun *r, uint32_t config)
{
    uint32_t *row = r->config[config].next;
    if (row) return row;
    row = arena_new(&r->rows, uint32_t, r->g->n_classes);
    if (!row) {
        r->rc = r->rows.total > GRUN_BYTES ? ERR_LIMIT : ERR_NOMEM;
        return NULL;
    }
    for (uint32_t i = 0; i < r->g->n_classes; i++) row[i] = GRAM_NONE;
    return r->config[config].next = row;
}

uint32_t grun_step(struct grun *r, uint32_t config, unsigned class)
{
    const struct grammar *g = r->g;
    struct gbytes same = { { ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0, ~(uint64_t)0 } };     /* classes that lead there too */
    uint32_t *row = grun_row(r, config);
    if (!row || r->rc) return GRUN_DEAD;
    begin(r);
    for (uint32_t k = 0; k < r->config[config].n; k++) {
        uint32_t id = r->pool[r->config[config].at + k];
        if (!id) continue;
        struct gstack s = r->node[id];
        const struct gstate *st = &g->state[s.q];
        for (const struct dfa_edge *e = g->edge + st->edge, *end = e + st->n_bytes; e < end; e++) {
            const struct gbytes *on = &g->set[e->label];
            bool in = gbytes_has(on, class);
            for (int w = 0; w < 4; w++) same.w[w] &= in ? on->w[w] : ~on->w[w];
            if (in) visit(r, stack_of(r, e->to, s.count, s.up));
        }
    }
    drain(r);
    uint32_t to = config_of(r);
    if (r->rc) return GRUN_DEAD;
    for (uint32_t i = 0; i < g->n_classes; i++)
        if (gbytes_has(&same, i)) row[i] = to;
    return to;
}

uint32_t grun_token(struct grun *r, uint32_t config, uint32_t token)
{
    const struct grammar *g = r->g;
    begin(r);
    for (uint32_t k = 0; k < r->config[config].n && !r->rc; k++) {
        uint32_t id = r->pool[r->config[config].at + k];
        if (!id) continue;
        struct gstack s = r->node[id];
        const struct gstate *st = &g->state[s.q];
        const struct dfa_edge *e = g->edge + st->edge + st->n_bytes + st->n_calls;
        for (uint32_t i = 0; i < st->n_tokens; i++)
            if (e[i].label == token) visit(r, stack_of(r, e[i].to, s.count, s.up));
    }
    drain(r);
    return config_of(r);
}

bool grun_wants_tokens(const struct grun *r, uint32_t config)
{
    for (uint32_t k = 0; r->g->n_tokens && k < r->config[config].n; k++) {
        uint32_t id = r->pool[r->config[config].at + k];
        if (id && r->g->state[r->node[id].q].n_tokens) return true;
    }
    return false;
}

uint32_t grun_union(struct grun *r, uint32_t a, uint32_t b)
{
    if (a == b || b == GRUN_DEAD) return a;
    if (a == GRUN_DEAD) return b;
    begin(r);
    for (int i = 0; i < 2; i++) {
        const struct gconfig *c = &r->config[i ? b : a];
        for (uint32_t k = 0; k < c->n && !r->rc; k++) {
            uint32_t id = r->pool[c->at + k];
            if (r->node[id].pass == r->pass) continue;
            r->node[id].pass = r->pass;
            found(r, id);
        }
    }
    if (r->n_found > GRUN_STACKS) r->rc = ERR_LIMIT;
    return config_of(r);
}

/* ---- memory ---- */

size_t grun_bytes(const struct grun *r)
{
    return r->cap_nodes * sizeof *r->node + r->cap_configs * sizeof *r->config + r->rows.total +
           4 * ((size_t)r->cap_pool + r->node_mask + r->config_mask + r->cap_work + r->cap_found);
}

static int init(struct grun *r)
{
    r->rows.limit = 2 * GRUN_BYTES;
    if (!room(r, &r->node, 0, &r->cap_nodes, sizeof *r->node)) return r->rc;
    r->node[0] = (struct gstack){ .q = GRAM_NONE };
    r->n_nodes = 1;
    begin(r);
    return config_of(r) == GRUN_DEAD ? r->rc : 0;           /* the empty config is number 0 */
}

int grun_open(struct grun *r, const struct grammar *g)
{
    *r = (struct grun){ .g = g };
    if (init(r) < 0) return r->rc;
    begin(r);
    visit_state(r, g->start, 0);
    drain(r);
    r->start = config_of(r);
    return r->rc;
}

void grun_close(struct grun *r)
{
    mem_free(r->node);
    mem_free(r->config);
    mem_free(r->pool);
    mem_free(r->node_slot);
    mem_free(r->config_slot);
    mem_free(r->work);
    mem_free(r->found);
    arena_release(&r->rows);
}

/* Copies config c of old, whose stacks are number[] in r. */
static uint32_t adopt(struct grun *r, const struct grun *old, uint32_t c, const uint32_t *number)
{
    r->n_found = 0;
    for (uint32_t k = 0; k < old->config[c].n; k++) found(r, number[old->pool[old->config[c].at + k]]);
    return config_of(r);
}

int grun_collect(struct grun *r, uint32_t *const *live, size_t n)
{
    struct grun fresh = { .g = r->g };
    uint32_t *number = mem_new_array(uint32_t, r->n_nodes);     /* 1: needed; then the new number */
    if (!number || init(&fresh) < 0) r->rc = ERR_NOMEM;
    for (size_t i = 0; !r->rc && i <= n; i++) {
        const struct gconfig *c = &r->config[i < n ? *live[i] : r->start];
        for (uint32_t k = 0; k < c->n; k++) number[r->pool[c->at + k]] = 1;
    }
    for (uint32_t k = r->n_nodes; !r->rc && k-- > 1;)           /* what is below has a smaller number */
        if (number[k]) number[r->node[k].up] = 1;
    for (uint32_t k = 1; !r->rc && k < r->n_nodes; k++)
        if (number[k]) number[k] = stack_of(&fresh, r->node[k].q, r->node[k].count, k ? r->node[k].up
            ? number[r->node[k].up] : 0 : 0);
    if (!r->rc) {
        number[0] = 0;
        for (size_t i = 0; i < n; i++) *live[i] = adopt(&fresh, r, *live[i], number);
        fresh.start = adopt(&fresh, r, r->start, number);
        if (fresh.rc) r->rc = fresh.rc;
    }
    mem_free(number);
    if (r->rc) {
        grun_close(&fresh);
        return r->rc;
    }
    grun_close(r);
    *r = fresh;
    return 0;
}
