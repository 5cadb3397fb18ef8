/* steps_latent.c - multi-head latent attention: keys and values of all heads are products of one compressed row c per token, and
 * a small rotated part of the key is shared by the heads.
 *
 * Where the file has the two halves of the expansion apart (attn_k_b, attn_v_b), they are absorbed: q.k = (k_b^T q).c, so the
 * cache holds [c | rotated part] once per token, and the weighted sum of c goes through v_b.  Else (attn_kv_b) keys and values
 * are expanded and cached per head.  Source: arXiv 2405.04434, section 2.1 and appendix C. */
#include "model/arch.h"

/* Heads; lengths of the compressed q and of c; of a head's key: its plain and its rotated part; of its value. */
struct latent { uint32_t H, q_rank, rank, plain, pe, dk, dv; };

static bool read_latent(struct builder *b, struct latent *m)
{
    const struct hparams *h = b->h;
    *m = (struct latent){ .H = h->n_head[b->il], .pe = h->n_rot, .dk = h->dk, .dv = h->dv };
    hparam_u32(b->gguf, "attention.q_lora_rank", &m->q_rank);
    hparam_u32(b->gguf, "attention.kv_lora_rank", &m->rank);
    if (!known(b, m->rank, "attention.kv_lora_rank")) return false;
    if (!m->pe || m->pe >= m->dk || m->dk > 4096 || !m->dv || m->dv > 4096 || m->rank > 1 << 14 || m->q_rank > 1 << 16) {
        b->rc = err_set(b->err, ERR_FORMAT, "%s: latent attention with keys of %u (%u rotated), values of %u, compressed to %u "
                        "and %u makes no sense", gguf_path(b->gguf), m->dk, m->pe, m->dv, m->rank, m->q_rank);
        return false;
    }
    m->plain = m->dk - m->pe;
    return true;
}

/* In place: RMSNorm of a whole value. */
static void norm_all(struct builder *b, vid x, const char *name)
{
    const struct weight *w = b->rc < 0 ? NULL : bind(b, name, "weight", (uint64_t[]){ b->g->value[x].width, 0, 0 }, true);
    if (!w) return;
    struct op *o = graph_op(b->g, OP_NORM, x, -1, x);
    o->w = w;
    o->f[0] = b->h->eps;
}

static void rotate(struct builder *b, vid x, uint32_t n_head, uint32_t step)
{
    struct op *o = graph_op(b->g, OP_ROPE, x, b->angles[0], x);
    o->n[0] = (int32_t)n_head;
    o->n[1] = (int32_t)step;
    o->n[2] = (int32_t)b->h->n_rot;
    o->n[3] = b->h->rope == ROPE_HALF;
}

void copy_heads(struct builder *b, vid x, vid y, const uint32_t n[4])
{
    struct op *o = graph_op(b->g, OP_COPY_HEADS, x, -1, y);
    for (int i = 0; i < 4; i++) o->n[i] = (int32_t)n[i];
}

/* y's heads, to apart, are x's heads, from apart, each times a matrix of its own, which lie one behind the other. */
static void multiply_heads(struct builder *b, const struct latent *m, const char *name, vid x, vid y, const uint32_t n[4])
{
    const uint32_t n_in = n[0], n_out = n[1], from = n[2], to = n[3];
    const uint64_t apart[3] = { n_in, n_out, m->H }, joined[3] = { n_in, (uint64_t)n_out * m->H, 0 };
    const struct weight *w = bind(b, name, "weight", flat_tensor(b, name) ? joined : apart, true);
    struct weight *heads = w ? arena_new(&b->g->arena, struct weight, 1) : NULL;
    if (!w) return;
    if (flat_tensor(b, name) && m->H > 1 && dtype_info(w->type)->family == DTF_SPLIT) {
        b->rc = err_set(b->err, ERR_UNSUPPORTED, "%s: tensor %s is quantised, and its heads are not apart", gguf_path(b->gguf),
                        w->name);
        return;
    }
    if (!heads) {
        b->g->bad = true;
        return;
    }
    *heads = *w;
    for (int i = 0; i < 3; i++) heads->ne[i] = apart[i];
    struct op *o = graph_op(b->g, OP_MATMUL_HEADS, x, -1, y);
    o->w = heads;
    o->n[0] = (int32_t)m->H;
    o->n[1] = (int32_t)from;
    o->n[2] = (int32_t)to;
}

static void attend(struct builder *b, vid k, vid v, vid y)
{
    graph_op(b->g, OP_KV, k, v, -1)->n[0] = (int32_t)b->il;
    step_qtemp(b, NULL);
    struct op *o = graph_op(b->g, OP_ATTN, b->q, -1, y);
    o->f[0] = b->h->attn_scale;
    o->n[0] = (int32_t)b->il;
}

/* q: [T][H][plain | pe]; kv: [T][c | pe], both normed and rotated. */
static void absorbed(struct builder *b, const struct latent *m, vid q, vid kv)
{
    const uint32_t wide = m->rank + m->pe;
    b->g->kv[b->il] = (struct kv_layer){ .n_kv = 1, .dk = wide, .dv = m->rank, .v_in_k = true };
    b->q = graph_value(b->g, ROWS_T, m->H * wide);
    multiply_heads(b, m, "attn_k_b", q, b->q, (uint32_t[]){ m->plain, m->rank, m->dk, wide });
    copy_heads(b, graph_view(b->g, q, m->plain, m->H * m->dk - m->plain),
               graph_view(b->g, b->q, m->rank, m->H * wide - m->rank), (uint32_t[]){ m->H, m->pe, m->dk, wide });
    vid sum = graph_value(b->g, ROWS_T, m->H * m->rank);
    attend(b, kv, -1, sum);
    b->cur = graph_value(b->g, ROWS_T, m->H * m->dv);
    multiply_heads(b, m, "attn_v_b", sum, b->cur, (uint32_t[]){ m->rank, m->dv, m->rank, m->dv });
}

static void expanded(struct builder *b, const struct latent *m, vid q, vid kv)
{
    const uint32_t both = m->plain + m->dv;
    b->g->kv[b->il] = (struct kv_layer){ .n_kv = m->H, .dk = m->dk, .dv = m->dv };
    vid c = graph_value(b->g, ROWS_T, m->rank);              /* the product reads whole rows */
    copy_heads(b, kv, c, (uint32_t[]){ 1, m->rank, 0, 0 });
    vid wide = matmul(b, c, "attn_kv_b", m->rank, m->H * both);
    if (wide < 0) return;
    vid k = graph_value(b->g, ROWS_T, m->H * m->dk), v = graph_value(b->g, ROWS_T, m->H * m->dv);
    copy_heads(b, wide, k, (uint32_t[]){ m->H, m->plain, both, m->dk });
    copy_heads(b, graph_view(b->g, kv, m->rank, m->pe), graph_view(b->g, k, m->plain, m->H * m->dk - m->plain),
               (uint32_t[]){ m->H, m->pe, 0, m->dk });
    copy_heads(b, graph_view(b->g, wide, m->plain, m->H * both - m->plain), v, (uint32_t[]){ m->H, m->dv, both, m->dv });
    b->q = q;
    b->cur = graph_value(b->g, ROWS_T, m->H * m->dv);
    attend(b, k, v, b->cur);
}

void step_latent(struct builder *b, const struct step *s)
{
    (void)s;
    struct latent m;
    if (!read_latent(b, &m)) return;
    const uint32_t D = b->h->n_embd;
    vid q = b->cur;
    if (m.q_rank) {
        q = matmul(b, q, "attn_q_a", D, m.q_rank);
        norm_all(b, q, "attn_q_a_norm");
        q = matmul(b, q, "attn_q_b", m.q_rank, m.H * m.dk);
    } else {
        q = matmul(b, q, "attn_q", D, m.H * m.dk);
    }
    vid kv = matmul(b, b->cur, "attn_kv_a_mqa", D, m.rank + m.pe);
    if (b->rc < 0) return;
    norm_all(b, graph_view(b->g, kv, 0, m.rank), "attn_kv_a_norm");
    rotate(b, graph_view(b->g, kv, m.rank, m.pe), 1, m.pe);
    rotate(b, graph_view(b->g, q, m.plain, m.H * m.dk - m.plain), m.H, m.dk);
    if (b->rc < 0) return;
    if (has_tensor(b, "attn_k_b")) absorbed(b, &m, q, kv);
    else expanded(b, &m, q, kv);
}
