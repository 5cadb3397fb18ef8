/* steps_attn.c - norms, projections, rotary positions, attention, residuals. */
#include <math.h>
#include <string.h>

#include "model/arch.h"

static vid norm(struct builder *b, vid x, const char *name)
{
    const struct weight *w = bind(b, name, "weight", (uint64_t[]){ b->h->n_embd, 0, 0 }, true);
    if (!w) return -1;
    vid y = graph_value(b->g, b->g->value[x].rows, b->h->n_embd);
    struct op *o = graph_op(b->g, b->h->norm == NORM_LAYER ? OP_LAYERNORM : OP_NORM, x, -1, y);
    o->w = w;
    if (b->h->norm == NORM_LAYER) o->b = bind(b, name, "bias", (uint64_t[]){ b->h->n_embd, 0, 0 }, false);
    o->f[0] = b->h->eps;
    return y;
}

void step_norm(struct builder *b, const struct step *s) { b->cur = norm(b, b->x, s->name); }
void step_postnorm(struct builder *b, const struct step *s) { b->cur = norm(b, b->cur, s->name); }

void step_add(struct builder *b, const struct step *s)
{
    (void)s;
    graph_op(b->g, OP_ADD, b->x, b->cur, b->x);
}

/* Three products that follow each other, so that the planner makes one step of them; then their biases. */
void step_qkv(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    uint32_t n[3] = { h->n_head[b->il] * h->dk, h->n_kv[b->il] * h->dk, h->n_kv[b->il] * h->dv };
    if (bind(b, "attn_qkv", "weight", (uint64_t[]){ h->n_embd, n[0] + n[1] + n[2], 0 }, false)) {
        vid all = matmul(b, b->cur, "attn_qkv", h->n_embd, n[0] + n[1] + n[2]);
        b->q = graph_view(b->g, all, 0, n[0]);
        b->k = graph_view(b->g, all, n[0], n[1]);
        b->v = graph_view(b->g, all, n[0] + n[1], n[2]);
        return;
    }
    static const char *const name[3] = { "attn_q", "attn_k", "attn_v" };
    vid y[3];
    for (int i = 0; i < 3; i++) {
        const struct weight *w = bind(b, name[i], "weight", (uint64_t[]){ h->n_embd, n[i], 0 }, true);
        if (!w) return;
        y[i] = graph_value(b->g, ROWS_T, n[i]);
        graph_op(b->g, OP_MATMUL, b->cur, -1, y[i])->w = w;
    }
    for (int i = 0; i < 3; i++) {
        const struct weight *w = bind(b, name[i], "bias", (uint64_t[]){ n[i], 0, 0 }, false);
        if (w) graph_op(b->g, OP_BIAS, y[i], -1, y[i])->w = w;
    }
    b->q = y[0];
    b->k = y[1];
    b->v = y[2];
}

void head_norm(struct builder *b, vid x, const char *name, uint32_t n_head, uint32_t width)
{
    const struct weight *w = name ? bind(b, name, "weight", (uint64_t[]){ width, 0, 0 }, true) : NULL;
    if (b->rc < 0) return;
    struct op *o = graph_op(b->g, OP_HEADNORM, x, -1, x);
    o->w = w;
    o->f[0] = b->h->eps;
    o->n[0] = (int32_t)n_head;
    o->n[1] = (int32_t)width;
}

void step_qknorm(struct builder *b, const struct step *s)
{
    (void)s;
    head_norm(b, b->q, "attn_q_norm", b->h->n_head[b->il], b->h->dk);
    head_norm(b, b->k, "attn_k_norm", b->h->n_kv[b->il], b->h->dk);
}

void step_qknorm_all(struct builder *b, const struct step *s)
{
    (void)s;
    head_norm(b, b->q, "attn_q_norm", 1, b->h->n_head[b->il] * b->h->dk);
    head_norm(b, b->k, "attn_k_norm", 1, b->h->n_kv[b->il] * b->h->dk);
}

void step_qknorm_may(struct builder *b, const struct step *s)
{
    if (has_tensor(b, "attn_q_norm") || has_tensor(b, "attn_k_norm")) step_qknorm(b, s);
}

static void rotate(struct builder *b, vid x, uint32_t n_head)
{
    struct op *o = graph_op(b->g, OP_ROPE, x, b->angles[b->h->sliding[b->il]], x);
    o->n[0] = (int32_t)n_head;
    o->n[1] = (int32_t)b->h->dk;
    o->n[2] = (int32_t)b->h->n_rot;
    o->n[3] = b->h->rope == ROPE_HALF;
}

void step_rope(struct builder *b, const struct step *s)
{
    (void)s;
    rotate(b, b->q, b->h->n_head[b->il]);
    rotate(b, b->k, b->h->n_kv[b->il]);
}

void step_rope_some(struct builder *b, const struct step *s)
{
    if (!b->h->still[b->il]) step_rope(b, s);
}

void step_qtemp(struct builder *b, const struct step *s)
{
    (void)s;
    if (b->h->qtemp == 0) return;
    struct op *o = graph_op(b->g, OP_QTEMP, b->q, -1, b->q);
    o->f[0] = b->h->qtemp;
    o->n[0] = (int32_t)b->h->n_ctx_orig;
}

static void attention(struct builder *b, const struct weight *sinks)
{
    const struct hparams *h = b->h;
    struct op *o = graph_op(b->g, OP_KV, b->k, b->v, -1);
    o->n[0] = (int32_t)b->il;
    b->cur = graph_value(b->g, ROWS_T, h->n_head[b->il] * h->dv);
    o = graph_op(b->g, OP_ATTN, b->q, -1, b->cur);
    o->w = sinks;
    o->f[0] = h->attn_scale;
    o->f[1] = h->attn_softcap;
    o->n[0] = (int32_t)b->il;
    o->n[1] = h->sliding[b->il] ? (int32_t)h->window : 0;
}

void step_attn(struct builder *b, const struct step *s)
{
    (void)s;
    attention(b, NULL);
}

void step_attn_sinks(struct builder *b, const struct step *s)
{
    (void)s;
    const struct weight *w = bind(b, "attn_sinks", "weight", (uint64_t[]){ b->h->n_head[b->il], 0, 0 }, true);
    if (w) attention(b, w);
}

void step_out(struct builder *b, const struct step *s)
{
    (void)s;
    b->cur = matmul(b, b->cur, "attn_output", b->h->n_head[b->il] * b->h->dv, b->h->n_embd);
}

void step_input(struct builder *b, const struct step *s)
{
    (void)s;
    b->cur = b->x;
}

void step_keep(struct builder *b, const struct step *s)
{
    (void)s;
    b->kept = b->cur;
}

void step_take(struct builder *b, const struct step *s)
{
    (void)s;
    b->cur = b->kept;
}

void step_scale(struct builder *b, const struct step *s)
{
    (void)s;
    float f = 1;
    if (hparam_f32(b->gguf, "residual_scale", &f) && f != 0) graph_op(b->g, OP_SCALE, b->cur, -1, b->cur)->f[0] = f;
}

/* The engine keeps positions below n_position, which is the number of rows. */
void step_positions(struct builder *b, const struct step *s)
{
    (void)s;
    if (b->il) return;
    const struct hparams *h = b->h;
    if (!known(b, h->n_position, "context_length")) return;
    const struct weight *w = bind(b, "/position_embd", "weight", (uint64_t[]){ h->n_embd, h->n_position, 0 }, true);
    if (!w) return;
    vid y = graph_value(b->g, ROWS_T, h->n_embd);
    graph_op(b->g, OP_POSITION, -1, -1, y)->w = w;
    graph_op(b->g, OP_ADD, b->x, y, b->x);
}
