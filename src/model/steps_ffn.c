/* steps_ffn.c - gated feed-forward, dense and by experts. */
#include "model/arch.h"

static vid glu(struct builder *b, vid gate, vid up)
{
    vid y = graph_value(b->g, b->g->value[gate].rows, b->g->value[gate].width);
    graph_op(b->g, OP_GLU, gate, up, y)->n[0] = b->h->act;
    return y;
}

/* x's gated feed-forward of width F with weights gate, up and down; gate and up may be fused in up. */
static vid ffn(struct builder *b, vid x, const char *const name[3], uint32_t F)
{
    uint32_t D = b->h->n_embd;
    vid gate, up;
    const struct weight *wg = bind(b, name[0], "weight", (uint64_t[]){ D, F, 0 }, false);
    if (wg) {
        const struct weight *wu = bind(b, name[1], "weight", (uint64_t[]){ D, F, 0 }, true);
        if (!wu) return -1;
        gate = graph_value(b->g, ROWS_T, F);
        up = graph_value(b->g, ROWS_T, F);
        graph_op(b->g, OP_MATMUL, x, -1, gate)->w = wg;
        graph_op(b->g, OP_MATMUL, x, -1, up)->w = wu;
        const struct weight *bg = bind(b, name[0], "bias", (uint64_t[]){ F, 0, 0 }, false);
        const struct weight *bu = bind(b, name[1], "bias", (uint64_t[]){ F, 0, 0 }, false);
        if (bg) graph_op(b->g, OP_BIAS, gate, -1, gate)->w = bg;
        if (bu) graph_op(b->g, OP_BIAS, up, -1, up)->w = bu;
    } else {
        vid both = matmul(b, x, name[1], D, 2 * F);
        gate = graph_view(b->g, both, 0, F);
        up = graph_view(b->g, both, F, F);
    }
    return b->rc < 0 ? -1 : matmul(b, glu(b, gate, up), name[2], F, D);
}

void step_ffn(struct builder *b, const struct step *s)
{
    (void)s;
    static const char *const name[3] = { "ffn_gate", "ffn_up", "ffn_down" };
    if (known(b, b->h->n_ff[b->il], "feed_forward_length")) b->cur = ffn(b, b->cur, name, b->h->n_ff[b->il]);
}

void step_mlp(struct builder *b, const struct step *s)
{
    (void)s;
    uint32_t F = b->h->n_ff[b->il];
    if (!known(b, F, "feed_forward_length")) return;
    vid up = matmul(b, b->cur, "ffn_up", b->h->n_embd, F);
    if (up < 0) return;
    graph_op(b->g, OP_ACT, up, -1, up)->n[0] = b->h->act;
    b->cur = matmul(b, up, "ffn_down", F, b->h->n_embd);
}

static vid experts(struct builder *b, vid x, vid sorted, const char *name, uint32_t n_in, uint32_t n_out)
{
    const struct weight *w = bind(b, name, "weight", (uint64_t[]){ n_in, n_out, b->h->n_expert }, true);
    if (!w) return -1;
    vid y = graph_value(b->g, ROWS_SLOT, n_out);
    struct op *o = graph_op(b->g, OP_MATMUL_ID, x, sorted, y);
    o->w = w;
    o->n[0] = b->g->value[x].rows == ROWS_SLOT;
    return y;
}

/* += the bias of the slot's expert. */
static void expert_bias(struct builder *b, vid slots, vid id, const char *name)
{
    uint32_t n = b->rc < 0 ? 0 : b->g->value[slots].width;
    const struct weight *w = bind(b, name, "bias", (uint64_t[]){ n, b->h->n_expert, 0 }, true);
    if (w && w->type != DT_F32)
        b->rc = err_set(b->err, ERR_UNSUPPORTED, "%s: tensor %s has type %s; biases must be F32", gguf_path(b->gguf), w->name,
                        dtype_info(w->type)->name);
    if (b->rc == 0) graph_op(b->g, OP_BIAS_ID, slots, id, slots)->w = w;
}

/* How this layer chooses: as all do, plus its own bias where the file has one. */
static const struct route *route(struct builder *b)
{
    const struct weight *bias = bind(b, "exp_probs_b", "bias", (uint64_t[]){ b->h->n_expert, 0, 0 }, false);
    if (!bias) return &b->h->route;
    struct route *r = arena_new(&b->g->arena, struct route, 1);
    if (!r) {
        b->g->bad = true;
        return &b->h->route;
    }
    *r = b->h->route;
    r->bias = bias;
    return r;
}

/* Each token's experts: their ids and weights, and the slots in the order of experts. */
struct chosen { vid id, weight, sorted; };

static bool choose(struct builder *b, vid scored, struct chosen *c)
{
    const struct hparams *h = b->h;
    if (!known(b, h->n_expert, "expert_count") || !known(b, h->n_ff_expert, "expert_feed_forward_length")) return false;
    vid scores = matmul(b, scored, "ffn_gate_inp", h->n_embd, h->n_expert);
    if (scores < 0) return false;
    c->id = graph_value(b->g, ROWS_T, h->n_expert_used);
    c->weight = graph_value(b->g, ROWS_T, h->n_expert_used);
    c->sorted = graph_value(b->g, ROWS_ONE, h->n_expert + 1);
    if (b->g->bad) return false;
    b->g->value[c->id].type = b->g->value[c->sorted].type = VALUE_I32;
    struct op *o = graph_op(b->g, OP_ROUTE, scores, -1, c->id);
    o->out2 = c->weight;
    o->route = route(b);
    graph_op(b->g, OP_SORT, c->id, -1, c->sorted);
    return b->rc == 0;
}

static void combine(struct builder *b, vid slots, const struct chosen *c)
{
    b->cur = graph_value(b->g, ROWS_T, b->h->n_embd);
    graph_op(b->g, OP_COMBINE, slots, c->weight, b->cur);
}

void moe(struct builder *b, vid scored)
{
    struct chosen c;
    uint32_t D = b->h->n_embd, F = b->h->n_ff_expert;
    vid gate, up;
    if (!choose(b, scored, &c)) return;
    const struct weight *scale = bind(b, "ffn_down_exps", "scale", (uint64_t[]){ b->h->n_expert, 0, 0 }, false);
    if (scale) graph_op(b->g, OP_SCALE_ID, c.weight, c.id, c.weight)->w = scale;
    if (has_tensor(b, "ffn_gate_up_exps")) {
        vid both = experts(b, b->cur, c.sorted, "ffn_gate_up_exps", D, 2 * F);
        if (both < 0) return;
        gate = graph_view(b->g, both, 0, F);
        up = graph_view(b->g, both, F, F);
    } else {
        gate = experts(b, b->cur, c.sorted, "ffn_gate_exps", D, F);
        up = experts(b, b->cur, c.sorted, "ffn_up_exps", D, F);
    }
    if (b->rc < 0) return;
    vid down = experts(b, glu(b, gate, up), c.sorted, "ffn_down_exps", F, D);
    if (b->rc == 0) combine(b, down, &c);
}

void step_moe(struct builder *b, const struct step *s)
{
    (void)s;
    moe(b, b->cur);
}

void step_moe_clamped(struct builder *b, const struct step *s)
{
    (void)s;
    struct chosen c;
    uint32_t D = b->h->n_embd, F = b->h->n_ff_expert;
    if (!choose(b, b->cur, &c)) return;
    vid gate = experts(b, b->cur, c.sorted, "ffn_gate_exps", D, F);
    vid up = experts(b, b->cur, c.sorted, "ffn_up_exps", D, F);
    expert_bias(b, gate, c.id, "ffn_gate_exps");
    expert_bias(b, up, c.id, "ffn_up_exps");
    if (b->rc < 0) return;
    vid y = graph_value(b->g, ROWS_SLOT, F);
    struct op *o = graph_op(b->g, OP_GLU_CLAMP, gate, up, y);
    o->f[0] = 1.702f;
    o->f[1] = 7;
    vid down = experts(b, y, c.sorted, "ffn_down_exps", F, D);
    expert_bias(b, down, c.id, "ffn_down_exps");
    if (b->rc == 0) combine(b, down, &c);
}

void step_ffn_or_moe(struct builder *b, const struct step *s)
{
    if (b->h->n_expert) step_moe(b, s);
    else step_ffn(b, s);
}

/* The experts' part of cur, then that of the shared expert, which may have a gate of its own. */
static void moe_and_shared(struct builder *b, const struct step *s, bool gated)
{
    static const char *const name[3] = { "ffn_gate_shexp", "ffn_up_shexp", "ffn_down_shexp" };
    vid x = b->cur;
    step_moe(b, s);
    if (b->rc < 0 || !b->h->n_ff_shared) return;
    vid shared = ffn(b, x, name, b->h->n_ff_shared);
    if (shared < 0) return;
    if (gated) {
        vid gate = matmul(b, x, "ffn_gate_inp_shexp", b->h->n_embd, 1);
        if (gate < 0) return;
        graph_op(b->g, OP_GATE, shared, gate, shared);
    }
    graph_op(b->g, OP_ADD, b->cur, shared, b->cur);
}

void step_moe_shared(struct builder *b, const struct step *s) { moe_and_shared(b, s, false); }
void step_moe_gated(struct builder *b, const struct step *s) { moe_and_shared(b, s, true); }

void step_lead_or_moe(struct builder *b, const struct step *s)
{
    if (b->il < b->h->n_dense) step_ffn(b, s);
    else step_moe_shared(b, s);
}

void step_routed(struct builder *b, const struct step *s)
{
    if (has_tensor(b, "ffn_gate_inp")) step_moe_shared(b, s);
    else step_ffn(b, s);
}
