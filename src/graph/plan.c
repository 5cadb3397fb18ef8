/* plan.c - graph -> operations with packing inserted -> fused steps -> memory plan.
 *
 * Adapters: each product is followed by its two low-rank ones; the latter of products that follow each other are one step each.
 * Fusing: consecutive row operations over the same rows become one step (each thread carries its tokens through all of
 * them); consecutive matrix products whose inputs were made before the step become one step (q, k, v; gate and up).
 * Memory: a value lives from the step that writes it to the last step that reads it; offsets are chosen greedily by size
 * (Pisarchyk and Lee, arXiv 2001.03288). */
#include <string.h>

#include "base/mem.h"
#include "graph/graph.h"

struct build {
    struct plan *p;
    const struct graph *g;
    const struct plan_target *target;
    uint32_t cap_op, cap_value;
};

static vid root_of(const struct plan *p, vid v) { return v >= 0 && p->value[v].base >= 0 ? p->value[v].base : v; }

/* The packed twin of x in this form, made right after the operation that last changed x. */
static vid find_pack(const struct build *b, vid x, int form)
{
    for (uint32_t i = b->p->n_op; i-- > 0;) {
        const struct op *o = &b->p->op[i];
        if (o->kind == OP_PACK && o->in[0] == x && o->n[0] == form && !o->n[1]) return o->out;
        if (root_of(b->p, o->out) == root_of(b->p, x)) return -1;      /* written since */
    }
    return -1;
}

static vid add_pack(struct build *b, vid x, int form)
{
    struct plan *p = b->p;
    struct value v = { .rows = p->value[x].rows, .type = VALUE_PACKED, .base = -1, .first = -1, .last = -1 };
    v.width = (uint32_t)b->target->form_bytes(form, p->value[x].width);
    p->value[p->n_value] = v;
    struct op *o = &p->op[p->n_op++];
    *o = (struct op){ .kind = OP_PACK, .in = { x, -1 }, .out = (vid)p->n_value, .out2 = -1 };
    o->n[0] = form;
    return (vid)p->n_value++;
}

/* The heads of o's input, each packed by itself.  Also floats: a head then begins where the device's kernels want it. */
static vid add_pack_heads(struct build *b, const struct op *o, int form)
{
    vid y = add_pack(b, o->in[0], form);
    struct value *v = &b->p->value[y];
    v->width = (uint32_t)(b->target->form_bytes(form, (size_t)o->w->ne[0]) * (size_t)o->n[0]);
    struct op *pack = &b->p->op[b->p->n_op - 1];
    pack->n[1] = o->n[0];
    pack->n[2] = o->n[1];
    pack->n[3] = (int32_t)o->w->ne[0];
    return y;
}

/* Whether an operation of graph->op[lo..hi) writes v. */
static bool graph_writes(const struct graph *g, uint32_t lo, uint32_t hi, vid v)
{
    vid root = v >= 0 && g->value[v].base >= 0 ? g->value[v].base : v;
    for (uint32_t i = lo; v >= 0 && i < hi; i++) {
        vid out = g->op[i].out;
        if (out >= 0 && (g->value[out].base >= 0 ? g->value[out].base : out) == root) return true;
    }
    return false;
}

/* The packed input of a matrix product, < 0: it reads floats as they are. */
static vid pack_input(struct build *b, const struct op *o)
{
    int form = b->target->form(o->w);
    if (o->kind == OP_MATMUL_HEADS) return add_pack_heads(b, o, form);
    if (!form) return -1;
    vid v = find_pack(b, o->in[0], form);
    return v >= 0 ? v : add_pack(b, o->in[0], form);
}

static void add_observe(struct build *b, const struct op *mat)
{
    if (!b->g->observed || b->p->value[mat->in[0]].rows == ROWS_OUT) return;
    struct op *o = &b->p->op[b->p->n_op++];
    *o = (struct op){ .kind = OP_OBSERVE, .in = { mat->in[0], mat->in[1] }, .out = -1, .out2 = -1, .w = mat->w };
    o->n[0] = mat->n[0];
    if (mat->kind != OP_MATMUL_HEADS) return;
    o->n[1] = mat->n[0];
    o->n[2] = mat->n[1];
}

/* Whether adapters may add to what o computes. */
static bool adapted(const struct build *b, const struct op *o)
{
    return b->p->rank && (o->kind == OP_MATMUL || o->kind == OP_MATMUL_ID) && o->w->id;
}

/* The low-rank products behind the matrix products graph->op[lo .. hi), which left their inputs as they were. */
static void add_low(struct build *b, uint32_t lo, uint32_t hi)
{
    struct plan *p = b->p;
    const struct op *mat = b->g->op;
    vid made[16];
    for (uint32_t k = lo; k < hi; k++) {
        if (!adapted(b, &mat[k])) continue;
        struct value v = { .rows = p->value[mat[k].out].rows, .width = p->rank, .base = -1, .first = -1, .last = -1 };
        made[k - lo] = (vid)p->n_value;
        p->value[p->n_value++] = v;
        p->op[p->n_op] = (struct op){ .kind = OP_LOW_A, .in = { mat[k].in[0], mat[k].in[1] }, .out = made[k - lo], .out2 = -1,
                                      .w = mat[k].w };
        p->op[p->n_op++].n[0] = mat[k].n[0];
    }
    for (uint32_t k = lo; k < hi; k++)
        if (adapted(b, &mat[k]))
            p->op[p->n_op++] = (struct op){ .kind = OP_LOW_B, .in = { made[k - lo], mat[k].in[1] }, .out = mat[k].out,
                                            .out2 = -1, .w = mat[k].w };
}

/* An operation that is no matrix product. */
static void add_plain(struct build *b, const struct op *o)
{
    struct plan *p = b->p;
    if (o->kind == OP_STEER && !p->rank) return;
    p->op[p->n_op++] = *o;
    if (o->kind == OP_EMBED && p->rank && o->w->id) {
        p->op[p->n_op] = *o;
        p->op[p->n_op++].kind = OP_LOW_EMBED;
    }
}

/* Matrix products that follow each other pack their inputs first, so that they can run as one step. */
static void lower(struct build *b)
{
    const struct graph *g = b->g;
    for (uint32_t i = 0; i < g->n_op;) {
        uint32_t end = i;
        while (end < g->n_op && op_info(g->op[end].kind)->shape == OP_MAT && !graph_writes(g, i, end, g->op[end].in[0]))
            end++;
        if (end == i) {
            add_plain(b, &g->op[i++]);
            continue;
        }
        vid packed[16];
        for (uint32_t k = i; k < end; k++) {
            packed[(k - i) & 15] = -1;
            add_observe(b, &g->op[k]);
            packed[(k - i) & 15] = pack_input(b, &g->op[k]);
            if (k - i == 15) end = k + 1;
        }
        for (uint32_t k = i; k < end; k++) {
            struct op o = g->op[k];
            if (packed[(k - i) & 15] >= 0) o.in[0] = packed[(k - i) & 15];
            b->p->op[b->p->n_op++] = o;
        }
        add_low(b, i, end);
        i = end;
    }
}

static enum rows domain_of(const struct plan *p, const struct op *o)
{
    vid v = o->out >= 0 ? o->out : o->in[0];
    enum rows r = p->value[v].rows;
    return r == ROWS_SLOT ? ROWS_T : r;
}

static bool written_in(const struct plan *p, const struct plan_step *s, vid v)
{
    for (uint32_t i = s->first; v >= 0 && i < s->first + s->n; i++)
        if (root_of(p, p->op[i].out) == root_of(p, v)) return true;
    return false;
}

static bool joins(const struct plan *p, const struct plan_step *s, const struct op *o)
{
    enum op_shape shape = op_info(o->kind)->shape;
    if (shape != s->shape || domain_of(p, o) != s->domain) return false;
    if (shape == OP_ROW) return true;
    return (shape == OP_MAT || shape == OP_LOW) && p->op[s->first].kind == o->kind && !written_in(p, s, o->in[0]) &&
           !written_in(p, s, o->in[1]);
}

static void fuse(struct plan *p)
{
    for (uint32_t i = 0; i < p->n_op; i++) {
        const struct op *o = &p->op[i];
        struct plan_step *s = p->n_step ? &p->step[p->n_step - 1] : NULL;
        if (s && joins(p, s, o)) {
            s->n++;
            continue;
        }
        p->step[p->n_step++] =
            (struct plan_step){ .shape = op_info(o->kind)->shape, .domain = domain_of(p, o), .first = i, .n = 1 };
    }
}

static void touch(struct plan *p, vid v, int32_t step)
{
    v = root_of(p, v);
    if (v < 0) return;
    if (p->value[v].first < 0) p->value[v].first = step;
    p->value[v].last = step;
}

static size_t rows_of(const struct plan *p, enum rows r)
{
    switch (r) {
    case ROWS_T: return p->max_T;
    case ROWS_SLOT: return (size_t)p->max_T * p->n_slot;
    case ROWS_OUT: return p->max_out;
    case ROWS_ONE: return 1;
    }
    return 0;
}

static void size_value(const struct plan *p, struct value *v)
{
    size_t number = v->type == VALUE_PACKED ? 1 : 4;
    size_t row = (size_t)v->width * number;
    if (v->type == VALUE_F32 || v->type == VALUE_PACKED) row = (row + 63) & ~(size_t)63;
    if (v->rows == ROWS_ONE)      /* SORT: see op.def */
        row = (2 * (size_t)p->max_T * p->n_slot + v->width) * 4;
    v->row_bytes = row;
}

/* The lowest offset where v fits among those already placed that live at the same time. */
static size_t find_room(const struct plan *p, const vid *placed, uint32_t n_placed, const struct value *v, size_t bytes)
{
    size_t at = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < n_placed; i++) {
            const struct value *u = &p->value[placed[i]];
            size_t ub = (u->row_bytes * rows_of(p, u->rows) + 63) & ~(size_t)63;
            if (u->last < v->first || v->last < u->first) continue;
            if (at + bytes <= u->offset || u->offset + ub <= at) continue;
            at = u->offset + ub;
            moved = true;
        }
    }
    return at;
}

static int place(struct plan *p, struct err *err)
{
    vid *order = mem_new_array(vid, p->n_value);
    vid *placed = mem_new_array(vid, p->n_value);
    uint32_t n = 0;
    if (!order || !placed) {
        mem_free(order);
        mem_free(placed);
        return err_set(err, ERR_NOMEM, "out of memory planning the buffers");
    }
    for (uint32_t i = 0; i < p->n_value; i++) {
        struct value *v = &p->value[i];
        size_value(p, v);
        if (v->base >= 0 || v->first < 0) continue;
        size_t bytes = v->row_bytes * rows_of(p, v->rows);
        uint32_t at = n++;
        while (at > 0) {
            const struct value *u = &p->value[order[at - 1]];
            if (u->row_bytes * rows_of(p, u->rows) >= bytes) break;
            order[at] = order[at - 1];
            at--;
        }
        order[at] = (vid)i;
    }
    for (uint32_t i = 0; i < n; i++) {
        struct value *v = &p->value[order[i]];
        size_t bytes = (v->row_bytes * rows_of(p, v->rows) + 63) & ~(size_t)63;
        v->offset = find_room(p, placed, i, v, bytes);
        placed[i] = order[i];
        if (v->offset + bytes > p->arena_bytes) p->arena_bytes = v->offset + bytes;
    }
    for (uint32_t i = 0; i < p->n_value; i++) {
        struct value *v = &p->value[i];
        if (v->base < 0) continue;
        v->row_bytes = p->value[v->base].row_bytes;
        v->offset = p->value[v->base].offset + (size_t)v->col * 4;
    }
    mem_free(order);
    mem_free(placed);
    return 0;
}

int plan_compile(struct plan **out, const struct graph *g, const struct plan_target *target, struct plan_size size,
                 struct err *err)
{
    *out = NULL;
    if (g->bad) return err_set(err, ERR_NOMEM, "out of memory building the graph");
    struct plan *p = mem_new(1, sizeof *p);
    if (!p) return err_set(err, ERR_NOMEM, "out of memory compiling the plan");
    p->max_T = size.max_T;
    p->max_out = size.max_out;
    p->rank = size.rank;
    p->n_slot = g->n_slot;
    p->n_layer = g->n_layer;
    p->kv = g->kv;
    uint32_t n_op = g->n_op * (size.rank ? 5 : 3), n_value = g->n_value + g->n_op * (size.rank ? 2 : 1);
    p->op = arena_new(&p->arena, struct op, n_op);
    p->value = arena_new(&p->arena, struct value, n_value);
    p->step = arena_new(&p->arena, struct plan_step, n_op);
    if (!p->op || !p->value || !p->step) {
        plan_close(p);
        return err_set(err, ERR_NOMEM, "out of memory compiling the plan");
    }
    memcpy(p->value, g->value, g->n_value * sizeof *g->value);
    p->n_value = g->n_value;
    struct build b = { .p = p, .g = g, .target = target };
    lower(&b);
    fuse(p);
    for (uint32_t s = 0; s < p->n_step; s++)
        for (uint32_t i = p->step[s].first; i < p->step[s].first + p->step[s].n; i++) {
            const struct op *o = &p->op[i];
            touch(p, o->in[0], (int32_t)s);
            touch(p, o->in[1], (int32_t)s);
            touch(p, o->out, (int32_t)s);
            touch(p, o->out2, (int32_t)s);
        }
    int rc = place(p, err);
    if (rc < 0) {
        plan_close(p);
        return rc;
    }
    p->logits = p->op[p->n_op - 1].out >= 0 ? p->op[p->n_op - 1].out : p->op[p->n_op - 1].in[0];
    *out = p;
    return 0;
}

void plan_close(struct plan *p)
{
    if (!p) return;
    arena_release(&p->arena);
    mem_free(p);
}
