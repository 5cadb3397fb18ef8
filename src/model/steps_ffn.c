/* steps_ffn.c - gated feed-forward, dense and by experts. */
#include "model/arch.h"

static vid glu(struct builder *b, vid gate, vid up)
{
    vid y = graph_value(b->g, b->g->value[gate].rows, b->g->value[gate].width);
    graph_op(b->g, OP_GLU, gate, up, y)->n[0] = b->h->act;
    return y;
}

void step_ffn(struct builder *b, const struct step *s)
{
    (void)s;
    uint32_t D = b->h->n_embd, F = b->h->n_ff[b->il];
    vid gate, up;
    const struct weight *wg = bind(b, "ffn_gate", "weight", (uint64_t[]){ D, F, 0 }, false);
    if (wg) {
        const struct weight *wu = bind(b, "ffn_up", "weight", (uint64_t[]){ D, F, 0 }, true);
        if (!wu) return;
        gate = graph_value(b->g, ROWS_T, F);
        up = graph_value(b->g, ROWS_T, F);
        graph_op(b->g, OP_MATMUL, b->cur, -1, gate)->w = wg;
        graph_op(b->g, OP_MATMUL, b->cur, -1, up)->w = wu;
        const struct weight *bg = bind(b, "ffn_gate", "bias", (uint64_t[]){ F, 0, 0 }, false);
        const struct weight *bu = bind(b, "ffn_up", "bias", (uint64_t[]){ F, 0, 0 }, false);
        if (bg) graph_op(b->g, OP_BIAS, gate, -1, gate)->w = bg;
        if (bu) graph_op(b->g, OP_BIAS, up, -1, up)->w = bu;
    } else {
        vid both = matmul(b, b->cur, "ffn_up", D, 2 * F);
        gate = graph_view(b->g, both, 0, F);
        up = graph_view(b->g, both, F, F);
    }
    if (b->rc < 0) return;
    b->cur = matmul(b, glu(b, gate, up), "ffn_down", F, D);
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

void step_moe(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    uint32_t D = h->n_embd, F = h->n_ff_expert, E = h->n_expert, K = h->n_expert_used;
    if (!E) {
        b->rc = err_set(b->err, ERR_FORMAT, "%s: key expert_count is missing", gguf_path(b->gguf));
        return;
    }
    vid scores = matmul(b, b->cur, "ffn_gate_inp", D, E);
    if (scores < 0) return;
    vid id = graph_value(b->g, ROWS_T, K), weight = graph_value(b->g, ROWS_T, K);
    vid sorted = graph_value(b->g, ROWS_ONE, E + 1);
    if (b->g->bad) return;
    b->g->value[id].type = b->g->value[sorted].type = VALUE_I32;
    struct op *o = graph_op(b->g, OP_ROUTE, scores, -1, id);
    o->out2 = weight;
    o->route = &h->route;
    graph_op(b->g, OP_SORT, id, -1, sorted);
    vid gate = experts(b, b->cur, sorted, "ffn_gate_exps", D, F);
    vid up = experts(b, b->cur, sorted, "ffn_up_exps", D, F);
    if (b->rc < 0) return;
    vid down = experts(b, glu(b, gate, up), sorted, "ffn_down_exps", F, D);
    b->cur = graph_value(b->g, ROWS_T, D);
    graph_op(b->g, OP_COMBINE, down, weight, b->cur);
}

void step_ffn_or_moe(struct builder *b, const struct step *s)
{
    if (b->h->n_expert) step_moe(b, s);
    else step_ffn(b, s);
}
