#include "graph/graph.h"

#include <string.h>

#include "base/mem.h"

static const struct op_info info[] = {
#define OP(name, shape) { #name, OP_##shape },
#include "graph/op.def"
#undef OP
};

const struct op_info *op_info(enum op_kind k) { return &info[k]; }

int graph_open(struct graph **out, uint32_t n_layer, struct err *err)
{
    *out = NULL;
    struct graph *g = mem_new(1, sizeof *g);
    if (!g) return err_set(err, ERR_NOMEM, "out of memory building the graph");
    g->n_layer = n_layer;
    g->kv = arena_new(&g->arena, struct kv_layer, n_layer);
    g->cap_op = g->cap_value = 256;
    g->op = mem_new_array(struct op, g->cap_op);
    g->value = mem_new_array(struct value, g->cap_value);
    if (!g->kv || !g->op || !g->value) {
        graph_close(g);
        return err_set(err, ERR_NOMEM, "out of memory building the graph");
    }
    *out = g;
    return 0;
}

void graph_close(struct graph *g)
{
    if (!g) return;
    mem_free(g->value);
    mem_free(g->op);
    arena_release(&g->arena);
    mem_free(g);
}

static bool grow(struct graph *g, void **array, uint32_t *cap, size_t size)
{
    uint32_t n = *cap ? *cap * 2 : 256;
    void *p = mem_resize(*array, n, size);
    if (!p) {
        g->bad = true;
        return false;
    }
    *array = p;
    *cap = n;
    return true;
}

static vid push_value(struct graph *g, struct value v)
{
    if (g->n_value + 1 >= g->cap_value) {
        void *array = g->value;
        if (!grow(g, &array, &g->cap_value, sizeof *g->value)) return (vid)g->n_value;   /* the spare slot */
        g->value = array;
    }
    g->value[g->n_value] = v;
    return (vid)g->n_value++;
}

vid graph_value(struct graph *g, enum rows rows, uint32_t width)
{
    return push_value(g, (struct value){ .rows = rows, .width = width, .base = -1, .first = -1, .last = -1 });
}

vid graph_view(struct graph *g, vid base, uint32_t col, uint32_t width)
{
    struct value v = g->value[base < 0 ? 0 : base];
    if (v.base >= 0) {
        col += v.col;
        base = v.base;
    }
    v.base = base;
    v.col = col;
    v.width = width;
    return push_value(g, v);
}

uint32_t graph_state(struct graph *g, uint64_t n)
{
    uint32_t at = g->n_state;
    n = (n + 15) & ~(uint64_t)15;
    if (n > (1u << 30) - at) g->bad = true;
    else g->n_state += (uint32_t)n;
    return at;
}

struct op *graph_op(struct graph *g, enum op_kind kind, vid in0, vid in1, vid out)
{
    if (g->n_op + 1 >= g->cap_op) {
        void *array = g->op;
        if (!grow(g, &array, &g->cap_op, sizeof *g->op)) return &g->op[g->n_op];   /* the spare slot */
        g->op = array;
    }
    struct op *o = &g->op[g->n_op++];
    *o = (struct op){ .kind = kind, .in = { in0, in1 }, .out = out, .out2 = -1 };
    return o;
}

static vid root_of(const struct graph *g, vid v) { return v >= 0 && g->value[v].base >= 0 ? g->value[v].base : v; }

void graph_prune(struct graph *g, uint32_t from)
{
    bool *needed = arena_new(&g->arena, bool, g->n_value), *stays = arena_new(&g->arena, bool, g->n_op);
    if (!needed || !stays) {
        g->bad = true;
        return;
    }
    for (uint32_t i = g->n_op; i-- > from;) {
        const struct op *o = &g->op[i];
        const vid out = root_of(g, o->out), out2 = root_of(g, o->out2);
        stays[i] = o->kind == OP_KV || o->kind == OP_KEEP || (out >= 0 && needed[out]) || (out2 >= 0 && needed[out2]);
        for (int k = 0; stays[i] && k < 2; k++)
            if (o->in[k] >= 0) needed[root_of(g, o->in[k])] = true;
    }
    uint32_t n = from;
    for (uint32_t i = from; i < g->n_op; i++)
        if (stays[i]) g->op[n++] = g->op[i];
    g->n_op = n;
}

void graph_windows(struct graph *g)
{
    for (uint32_t l = 0; l < g->n_layer; l++) {
        bool all = false;
        for (uint32_t i = 0; i < g->n_op; i++) {
            const struct op *o = &g->op[i];
            if (o->kind != OP_ATTN || (uint32_t)o->n[0] != l) continue;
            if (o->n[1] <= 0) all = true;
            else if ((uint32_t)o->n[1] > g->kv[l].window) g->kv[l].window = (uint32_t)o->n[1];
        }
        if (all) g->kv[l].window = 0;
        if (g->kv[l].window > g->window) g->window = g->kv[l].window;
    }
}

void kv_page_layout(const struct kv_layer *kv, uint32_t n_layer, const enum dtype type[2], size_t *k_at, size_t *v_at,
                    size_t bytes[N_KV_CLASS])
{
    for (int c = 0; c < N_KV_CLASS; c++) bytes[c] = 0;
    for (uint32_t l = 0; l < n_layer; l++) {
        size_t *at = &bytes[kv_class_of(&kv[l])], k = *at, rows = (size_t)kv[l].n_kv * KV_PAGE;
        if (k_at) k_at[l] = k;
        *at += (rows * dtype_padded_bytes(type[0], kv[l].dk) + 63) & ~(size_t)63;
        if (v_at) v_at[l] = kv[l].v_in_k ? k : *at;
        if (!kv[l].v_in_k) *at += (rows * dtype_padded_bytes(type[1], kv[l].dv) + 63) & ~(size_t)63;
    }
}
