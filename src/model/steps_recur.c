/* steps_recur.c - layers whose memory is a state of fixed size: gated delta nets and short convolutions, and the gate that
 * attention has beside them.  Source: arXiv 2412.06464; the LFM2 report, arXiv 2511.23404; models spec. */
#include <math.h>

#include "model/arch.h"

/* Depth-wise convolution of x over the sequence by `name`.weight. */
static vid convolve(struct builder *b, vid x, const char *name, uint32_t taps)
{
    uint32_t C = b->g->value[x].width;
    const struct weight *w = bind(b, name, "weight", (uint64_t[]){ taps, C, 0 }, true);
    if (!w) return -1;
    vid y = graph_value(b->g, ROWS_T, C);
    struct op *o = graph_op(b->g, OP_CONV, x, -1, y);
    o->w = w;
    o->n[0] = (int32_t)graph_state(b->g, (uint64_t)(taps - 1) * C);
    o->n[1] = (int32_t)taps;
    return y;
}

static bool sound_taps(struct builder *b, const char *key)
{
    if (b->rc == 0 && (b->h->recur.taps < 2 || b->h->recur.taps > 16))
        b->rc = err_set(b->err, ERR_FORMAT, "%s: key %s is %u, expected 2 to 16", gguf_path(b->gguf), key, b->h->recur.taps);
    return b->rc == 0;
}

static bool sound_heads(struct builder *b)
{
    const struct recurrence *r = &b->h->recur;
    if (!sound_taps(b, "ssm.conv_kernel")) return false;
    if (!r->n_key || !r->n_value || r->n_value > 4096 || r->n_value % r->n_key || !r->dk || r->dk > 4096 || !r->dv ||
        r->dv > 4096)
        b->rc = err_set(b->err, ERR_FORMAT, "%s: %u key heads of %u and %u value heads of %u numbers (keys ssm.*) make no sense",
                        gguf_path(b->gguf), r->n_key, r->dk, r->n_value, r->dv);
    return b->rc == 0;
}

/* How much of the state each head keeps and takes in: a value with 2 * n_value numbers. */
static vid gates(struct builder *b)
{
    const struct recurrence *r = &b->h->recur;
    uint32_t H = r->n_value;
    vid beta, alpha = -1;
    if (r->grouped) {
        beta = matmul(b, b->cur, "ssm_ba", b->h->n_embd, 2 * H);
    } else {
        beta = matmul(b, b->cur, "ssm_beta", b->h->n_embd, H);
        if (b->rc == 0) alpha = matmul(b, b->cur, "ssm_alpha", b->h->n_embd, H);
    }
    const struct weight *a = bind(b, "ssm_a", "", (uint64_t[]){ H, 0, 0 }, true);
    const struct weight *dt = bind(b, "ssm_dt", "bias", (uint64_t[]){ H, 0, 0 }, true);
    if (!a || !dt) return -1;
    vid y = graph_value(b->g, ROWS_T, 2 * H);
    struct op *o = graph_op(b->g, OP_DECAY, beta, alpha, y);
    o->w = a;
    o->b = dt;
    o->recur = r;
    return y;
}

static void unit_heads(struct builder *b, vid x, uint32_t n_head, float scale)
{
    struct op *o = graph_op(b->g, OP_L2NORM, x, -1, x);
    o->n[0] = (int32_t)n_head;
    o->n[1] = (int32_t)b->h->recur.dk;
    o->f[0] = 1e-6f;
    o->f[1] = scale;
}

/* What the convolution takes, q | k | v, and the output's gate.  Old files have one matrix with these for each key head. */
static void delta_inputs(struct builder *b, vid *all, vid *z)
{
    const struct recurrence *r = &b->h->recur;
    const uint32_t D = b->h->n_embd, keys = r->n_key * r->dk, values = r->n_value * r->dv;
    if (!has_tensor(b, "ssm_in")) {
        *all = matmul(b, b->cur, "attn_qkv", D, 2 * keys + values);
        if (b->rc == 0) *z = matmul(b, b->cur, "attn_gate", D, values);
        return;
    }
    const uint32_t n = r->n_key, dk = r->dk, part = values / n, per = 2 * dk + 2 * part;
    vid x = matmul(b, b->cur, "ssm_in", D, n * per);
    if (b->rc < 0) return;
    *all = graph_value(b->g, ROWS_T, 2 * keys + values);
    *z = graph_value(b->g, ROWS_T, values);
    copy_heads(b, x, graph_view(b->g, *all, 0, keys), (uint32_t[]){ n, dk, per, dk });
    copy_heads(b, graph_view(b->g, x, dk, dk), graph_view(b->g, *all, keys, keys), (uint32_t[]){ n, dk, per, dk });
    vid v = graph_view(b->g, *all, 2 * keys, values);
    copy_heads(b, graph_view(b->g, x, 2 * dk, part), v, (uint32_t[]){ n, part, per, part });
    copy_heads(b, graph_view(b->g, x, 2 * dk + part, part), *z, (uint32_t[]){ n, part, per, part });
}

void step_delta(struct builder *b, const struct step *s)
{
    (void)s;
    if (!sound_heads(b)) return;
    const struct recurrence *r = &b->h->recur;
    uint32_t D = b->h->n_embd, keys = r->n_key * r->dk, values = r->n_value * r->dv;
    vid all = -1, z = -1;
    delta_inputs(b, &all, &z);
    vid gate = b->rc == 0 ? gates(b) : -1;
    vid y = b->rc == 0 ? convolve(b, all, "ssm_conv1d", r->taps) : -1;
    const struct weight *norm = bind(b, "ssm_norm", "weight", (uint64_t[]){ r->dv, 0, 0 }, true);
    if (!norm) return;
    graph_op(b->g, OP_ACT, y, -1, y)->n[0] = ACT_SILU;
    unit_heads(b, graph_view(b->g, y, 0, keys), r->n_key, 1 / sqrtf((float)r->dk));
    unit_heads(b, graph_view(b->g, y, keys, keys), r->n_key, 1);
    vid o = graph_value(b->g, ROWS_T, values);
    struct op *op = graph_op(b->g, OP_DELTA, y, gate, o);
    op->recur = r;
    op->n[0] = (int32_t)graph_state(b->g, (uint64_t)r->n_value * r->dv * r->dk);
    op = graph_op(b->g, OP_HEADNORM, o, -1, o);
    op->w = norm;
    op->f[0] = b->h->eps;
    op->n[0] = (int32_t)r->n_value;
    op->n[1] = (int32_t)r->dv;
    vid gated = graph_value(b->g, ROWS_T, values);
    graph_op(b->g, OP_GLU, z, o, gated)->n[0] = ACT_SILU;
    b->cur = matmul(b, gated, "ssm_out", values, D);
}

void step_shortconv(struct builder *b, const struct step *s)
{
    (void)s;
    uint32_t D = b->h->n_embd;
    if (!sound_taps(b, "shortconv.l_cache")) return;
    vid all = matmul(b, b->cur, "shortconv.in_proj", D, 3 * D);
    if (b->rc < 0) return;
    vid x = graph_view(b->g, all, 0, D), gate = graph_view(b->g, all, D, D);
    graph_op(b->g, OP_MUL, x, graph_view(b->g, all, 2 * D, D), x);
    vid y = convolve(b, x, "shortconv.conv", b->h->recur.taps);
    if (b->rc < 0) return;
    graph_op(b->g, OP_MUL, y, gate, y);
    b->cur = matmul(b, y, "shortconv.out_proj", D, D);
}

/* attn_q has for each head its query, then its gate. */
void step_qkv_gated(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    uint32_t H = h->n_head[b->il], K = h->n_kv[b->il];
    vid both = matmul(b, b->cur, "attn_q", h->n_embd, 2 * H * h->dk);
    if (b->rc == 0) b->k = matmul(b, b->cur, "attn_k", h->n_embd, K * h->dk);
    if (b->rc == 0) b->v = matmul(b, b->cur, "attn_v", h->n_embd, K * h->dv);
    if (b->rc < 0) return;
    b->q = graph_value(b->g, ROWS_T, H * h->dk);
    b->gate = graph_value(b->g, ROWS_T, H * h->dk);
    struct op *o = graph_op(b->g, OP_SPLIT, both, -1, b->q);
    o->out2 = b->gate;
    o->n[0] = (int32_t)H;
    o->n[1] = (int32_t)h->dk;
}

void step_gate(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    if (h->dk != h->dv) {
        b->rc = err_set(b->err, ERR_FORMAT, "%s: gated attention with keys of %u and values of %u numbers makes no sense",
                        gguf_path(b->gguf), h->dk, h->dv);
        return;
    }
    vid y = graph_value(b->g, ROWS_T, b->g->value[b->cur].width);
    graph_op(b->g, OP_GLU, b->gate, b->cur, y)->n[0] = ACT_SIGMOID;
    b->cur = y;
}
