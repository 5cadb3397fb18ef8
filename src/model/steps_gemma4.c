/* steps_gemma4.c - what only Gemma 4 does.  Source: the models specification; reference logits.
 *
 * Each layer gets a part of the input of its own: a second embedding of the token and a projection of the first.  Layers with a
 * window have smaller heads and plain rotary positions; the last layers keep no keys and values but use those of the last layer
 * of their kind before them. */
#include <math.h>
#include <string.h>

#include "model/arch.h"

/* Numbers of a layer's own part, 0: there is none. */
static uint32_t own_part(const struct builder *b)
{
    uint32_t P = 0;
    hparam_u32(b->gguf, "embedding_length_per_layer_input", &P);
    return P;
}

static void scale(struct builder *b, vid x, float f) { graph_op(b->g, OP_SCALE, x, -1, x)->f[0] = f; }

void step_inputs(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    const uint32_t P = own_part(b);
    float base = h->rope_base;
    if (b->il) return;
    hparam_f32(b->gguf, "rope.freq_base_swa", &base);
    /* Which part of a head rotates in layers without a window is said by factors only. */
    if (!bind(b, "/rope_freqs", "weight", (uint64_t[]){ h->n_rot / 2, 0, 0 }, true)) return;
    b->angles[1] = rope_plain(b, base, h->n_rot_sliding);
    if (!P || b->rc < 0) return;
    if ((uint64_t)P * h->n_layer > 1 << 24) {
        b->rc = err_set(b->err, ERR_FORMAT, "%s: %u numbers for each of %u layers make no sense", gguf_path(b->gguf), P,
                        h->n_layer);
        return;
    }
    const uint32_t all = P * h->n_layer;
    const struct weight *w = bind(b, "/per_layer_token_embd", "weight", (uint64_t[]){ all, h->n_vocab, 0 }, true);
    if (!w) return;
    vid token = graph_value(b->g, ROWS_T, all);
    struct op *o = graph_op(b->g, OP_EMBED, -1, -1, token);
    o->w = w;
    o->f[0] = sqrtf((float)P);
    b->per_layer = matmul(b, b->x, "/per_layer_model_proj", h->n_embd, all);
    if (b->rc < 0) return;
    scale(b, b->per_layer, 1 / sqrtf((float)h->n_embd));
    head_norm(b, b->per_layer, "/per_layer_proj_norm", h->n_layer, P);
    graph_op(b->g, OP_ADD, b->per_layer, token, b->per_layer);
    scale(b, b->per_layer, 0.70710678f);
}

static void rotate(struct builder *b, vid x, uint32_t n_head, uint32_t dk)
{
    const bool sliding = b->h->sliding[b->il];
    struct op *o = graph_op(b->g, OP_ROPE, x, b->angles[sliding], x);
    o->n[0] = (int32_t)n_head;
    o->n[1] = (int32_t)dk;
    o->n[2] = (int32_t)(sliding ? b->h->n_rot_sliding : b->h->n_rot);
    o->n[3] = b->h->rope == ROPE_HALF;
}

/* Where there is no attn_v, values are the keys before their norm. */
static void store(struct builder *b, vid x, uint32_t dk)
{
    const uint32_t K = b->h->n_kv[b->il];
    vid k = matmul(b, x, "attn_k", b->h->n_embd, K * dk), v;
    if (b->rc < 0) return;
    if (has_tensor(b, "attn_v")) {
        v = matmul(b, x, "attn_v", b->h->n_embd, K * dk);
    } else {
        v = graph_value(b->g, ROWS_T, K * dk);
        struct op *o = graph_op(b->g, OP_COPY_HEADS, k, -1, v);
        o->n[0] = 1;
        o->n[1] = (int32_t)(K * dk);
    }
    if (b->rc < 0) return;
    head_norm(b, k, "attn_k_norm", K, dk);
    head_norm(b, v, NULL, K, dk);
    rotate(b, k, K, dk);
    graph_op(b->g, OP_KV, k, v, -1)->n[0] = (int32_t)b->il;
    b->g->kv[b->il] = (struct kv_layer){ .n_kv = K, .dk = dk, .dv = dk };
}

/* The layer whose cache this one uses: itself, or the last of its kind that has one. */
static uint32_t cache_of(const struct builder *b)
{
    const struct hparams *h = b->h;
    uint32_t shared = 0, l = b->il;
    hparam_u32(b->gguf, "attention.shared_kv_layers", &shared);
    const uint32_t own = shared < h->n_layer ? h->n_layer - shared : 0;
    while (l >= own && l > 0) l--;
    while (l < own && l > 0 && h->sliding[l] != h->sliding[b->il]) l--;
    return own && h->sliding[l] == h->sliding[b->il] ? l : h->n_layer;
}

void step_attn_shared(struct builder *b, const struct step *s)
{
    (void)s;
    const struct hparams *h = b->h;
    const bool sliding = h->sliding[b->il];
    const uint32_t dk = sliding ? h->dk_sliding : h->dk, H = h->n_head[b->il], cache = cache_of(b);
    if (!known(b, dk, "attention.key_length_swa")) return;
    vid x = b->cur, q = matmul(b, x, "attn_q", h->n_embd, H * dk);
    if (b->rc < 0) return;
    head_norm(b, q, "attn_q_norm", H, dk);
    if (b->rc < 0) return;
    rotate(b, q, H, dk);
    b->g->kv[b->il] = (struct kv_layer){ 0 };
    if (cache == b->il) store(b, x, dk);
    if (b->rc < 0) return;
    if (cache == h->n_layer || b->g->kv[cache].dk != dk || !b->g->kv[cache].n_kv || H % b->g->kv[cache].n_kv) {
        b->rc = err_set(b->err, ERR_FORMAT, "%s: layer %u has no keys and values, and none of %u numbers before it to share",
                        gguf_path(b->gguf), b->il, dk);
        return;
    }
    vid y = graph_value(b->g, ROWS_T, H * dk);
    struct op *o = graph_op(b->g, OP_ATTN, q, -1, y);
    o->f[0] = h->attn_scale;
    o->n[0] = (int32_t)cache;
    o->n[1] = sliding ? (int32_t)h->window : 0;
    b->cur = matmul(b, y, "attn_output", H * dk, h->n_embd);
}

/* The router reads the norm of x times a scale of its own. */
static vid scored(struct builder *b)
{
    const struct weight *w = bind(b, "ffn_gate_inp", "scale", (uint64_t[]){ b->h->n_embd, 0, 0 }, true);
    if (!w) return -1;
    vid y = graph_value(b->g, ROWS_T, b->h->n_embd);
    struct op *o = graph_op(b->g, OP_NORM, b->x, -1, y);
    o->w = w;
    o->f[0] = b->h->eps;
    scale(b, y, 1 / sqrtf((float)b->h->n_embd));
    return y;
}

void step_ffn_both(struct builder *b, const struct step *s)
{
    step_norm(b, &(struct step){ S_NORM, "ffn_norm" });
    if (b->rc == 0) step_ffn(b, s);
    if (b->rc < 0 || !has_tensor(b, "ffn_gate_inp")) return;
    step_postnorm(b, &(struct step){ S_POSTNORM, "post_ffw_norm_1" });
    vid dense = b->cur, by = scored(b);
    if (b->rc < 0) return;
    step_norm(b, &(struct step){ S_NORM, "pre_ffw_norm_2" });
    if (b->rc == 0) moe(b, by);
    if (b->rc == 0) step_postnorm(b, &(struct step){ S_POSTNORM, "post_ffw_norm_2" });
    if (b->rc == 0) graph_op(b->g, OP_ADD, b->cur, dense, b->cur);
}

void step_add_inputs(struct builder *b, const struct step *s)
{
    (void)s;
    const uint32_t P = own_part(b);
    if (P) {
        vid gate = matmul(b, b->x, "inp_gate", b->h->n_embd, P);
        if (gate < 0) return;
        vid y = graph_value(b->g, ROWS_T, P);
        graph_op(b->g, OP_GLU, gate, graph_view(b->g, b->per_layer, b->il * P, P), y)->n[0] = b->h->act;
        b->cur = matmul(b, y, "proj", P, b->h->n_embd);
        if (b->rc == 0) step_postnorm(b, &(struct step){ S_POSTNORM, "post_norm" });
        if (b->rc < 0) return;
        step_add(b, NULL);
    }
    const struct weight *w = bind(b, "layer_output_scale", "weight", (uint64_t[]){ 1, 0, 0 }, false);
    float f;
    if (!w) return;
    memcpy(&f, w->data, sizeof f);
    scale(b, b->x, f);
}
