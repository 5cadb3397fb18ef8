/* build.c - walks an architecture's table once and makes the graph. */
#include <string.h>

#include "base/buf.h"
#include "model/arch.h"

static step_fn *const step_table[] = {
    [S_NORM] = step_norm,         [S_QKV] = step_qkv,   [S_QKNORM] = step_qknorm,     [S_ROPE] = step_rope,
    [S_QTEMP] = step_qtemp,       [S_ATTN] = step_attn, [S_OUT] = step_out,           [S_POSTNORM] = step_postnorm,
    [S_ADD] = step_add,           [S_FFN] = step_ffn,   [S_MOE] = step_moe,           [S_FFN_OR_MOE] = step_ffn_or_moe,
    [S_POSITIONS] = step_positions,       [S_INPUT] = step_input,     [S_KEEP] = step_keep,
    [S_TAKE] = step_take,                 [S_SCALE] = step_scale,
    [S_QKNORM_ALL] = step_qknorm_all,     [S_QKNORM_MAY] = step_qknorm_may,
    [S_ROPE_SOME] = step_rope_some,       [S_MLP] = step_mlp,
    [S_MOE_SHARED] = step_moe_shared,     [S_MOE_GATED] = step_moe_gated,
    [S_LEAD_OR_MOE] = step_lead_or_moe,   [S_ATTN_SINKS] = step_attn_sinks,
    [S_ROUTED] = step_routed,
    [S_MOE_CLAMPED] = step_moe_clamped,   [S_LATENT] = step_latent,
    [S_INPUTS] = step_inputs,             [S_ATTN_SHARED] = step_attn_shared,
    [S_FFN_BOTH] = step_ffn_both,         [S_ADD_INPUTS] = step_add_inputs,
    [S_TYPES] = step_types,               [S_FIRSTNORM] = step_firstnorm,     [S_XNORM] = step_xnorm,
    [S_NORM_MAY] = step_norm_may,
    [S_DELTA] = step_delta,               [S_SHORTCONV] = step_shortconv,
    [S_QKV_GATED] = step_qkv_gated,       [S_GATE] = step_gate,
};

/* "blk.7.attn_q.weight", or the name itself when it has no layer ("output_norm" begins with '/'); the suffix may be empty. */
static void tensor_name(char *dst, size_t n, const struct builder *b, const char *name, const char *suffix)
{
    const char *dot = *suffix ? "." : "";
    if (*name == '/') fmt_into(dst, n, "%s%s%s", name + 1, dot, suffix);
    else fmt_into(dst, n, "blk.%u.%s%s%s", b->il, name, dot, suffix);
}

const struct weight *bind(struct builder *b, const char *name, const char *suffix, const uint64_t ne[3], bool required)
{
    if (b->rc < 0) return NULL;
    char full[128];
    tensor_name(full, sizeof full, b, name, suffix);
    const struct gguf_tensor *t = gguf_tensor(b->gguf, full);
    if (!t) {
        if (required)
            b->rc = err_set(b->err, ERR_FORMAT, "%s: tensor %s is missing; the file is incomplete or not of architecture %s",
                            gguf_path(b->gguf), full, b->arch->name);
        return NULL;
    }
    for (int i = 0; i < 3; i++) {
        uint64_t want = ne[i] ? ne[i] : 1;
        if (t->ne[i] == want && t->ne[3] == 1) continue;
        b->rc = err_set(b->err, ERR_FORMAT, "%s: tensor %s has shape %llu x %llu x %llu, expected %llu x %llu x %llu",
                        gguf_path(b->gguf), full, (unsigned long long)t->ne[0], (unsigned long long)t->ne[1],
                        (unsigned long long)t->ne[2], (unsigned long long)ne[0], (unsigned long long)(ne[1] ? ne[1] : 1),
                        (unsigned long long)(ne[2] ? ne[2] : 1));
        return NULL;
    }
    if (!ne[1] && t->type != DT_F32) {
        b->rc = err_set(b->err, ERR_UNSUPPORTED, "%s: tensor %s has type %s; norms and biases must be F32",
                        gguf_path(b->gguf), full, dtype_info(t->type)->name);
        return NULL;
    }
    struct weight *w = arena_new(&b->g->arena, struct weight, 1);
    if (!w) {
        b->rc = err_set(b->err, ERR_NOMEM, "%s: out of memory", gguf_path(b->gguf));
        return NULL;
    }
    *w = (struct weight){ .name = t->name, .type = t->type, .data = t->data, .bytes = t->bytes,
                           .slice = t->slice, .id = (uint32_t)(t - gguf_tensor_at(b->gguf, 0)) + 1 };
    memcpy(w->ne, t->ne, sizeof w->ne);
    return w;
}

static const struct gguf_tensor *find(const struct builder *b, const char *name)
{
    char full[128];
    tensor_name(full, sizeof full, b, name, "weight");
    return gguf_tensor(b->gguf, full);
}

bool has_tensor(const struct builder *b, const char *name) { return find(b, name) != NULL; }

bool flat_tensor(const struct builder *b, const char *name)
{
    const struct gguf_tensor *t = find(b, name);
    return !t || t->ne[2] == 1;
}

bool known(struct builder *b, uint32_t n, const char *key)
{
    if (n && b->rc == 0) return true;
    if (b->rc == 0)
        b->rc = err_set(b->err, ERR_FORMAT, "%s: key %s is missing or 0 (layer %u)", gguf_path(b->gguf), key, b->il);
    return false;
}

vid matmul(struct builder *b, vid x, const char *name, uint32_t n_in, uint32_t n_out)
{
    const struct weight *w = bind(b, name, "weight", (uint64_t[]){ n_in, n_out, 0 }, true);
    if (!w) return -1;
    vid y = graph_value(b->g, b->g->value[x].rows, n_out);
    graph_op(b->g, OP_MATMUL, x, -1, y)->w = w;
    const struct weight *bias = bind(b, name, "bias", (uint64_t[]){ n_out, 0, 0 }, false);
    if (bias) graph_op(b->g, OP_BIAS, y, -1, y)->w = bias;
    return y;
}

static void embed(struct builder *b)
{
    const struct hparams *h = b->h;
    const struct weight *w = bind(b, "/token_embd", "weight", (uint64_t[]){ h->n_embd, h->n_vocab, 0 }, true);
    if (!w) return;
    b->x = graph_value(b->g, ROWS_T, h->n_embd);
    struct op *o = graph_op(b->g, OP_EMBED, -1, -1, b->x);
    o->w = w;
    o->f[0] = h->embed_scale;
}

/* The wanted rows, through the last norm. */
static void states(struct builder *b)
{
    b->cur = graph_value(b->g, ROWS_OUT, b->h->n_embd);
    graph_op(b->g, OP_ROWS, b->x, -1, b->cur);
    b->x = b->cur;
    if (b->h->final_norm) step_norm(b, &(struct step){ S_NORM, b->h->final_norm });
}

/* A matrix that is the embedding too is another one to adapters: as if output.weight stood behind the file's tensors. */
static void own_id(struct builder *b, uint32_t op)
{
    struct weight *w = arena_new(&b->g->arena, struct weight, 1);
    if (!w || b->g->bad) {
        b->g->bad = true;
        return;
    }
    *w = *b->g->op[op].w;
    w->id = (uint32_t)gguf_n_tensors(b->gguf) + 1;
    b->g->op[op].w = w;
}

void logits_of(struct builder *b, const char *own)
{
    const struct hparams *h = b->h;
    bool other = own && has_tensor(b, own), tied = !other && !gguf_tensor(b->gguf, "output.weight");
    const uint32_t first = b->g->n_op;
    vid logits = matmul(b, b->cur, other ? own : tied ? "/token_embd" : "/output", h->n_embd, h->n_vocab);
    if (logits < 0) return;
    if (tied) own_id(b, first);
    const struct weight *bias = tied ? bind(b, "/output", "bias", (uint64_t[]){ h->n_vocab, 0, 0 }, false) : NULL;
    if (bias) graph_op(b->g, OP_BIAS, logits, -1, logits)->w = bias;
    if (h->logit_scale != 1) graph_op(b->g, OP_SCALE, logits, -1, logits)->f[0] = h->logit_scale;
    if (h->final_softcap <= 0) return;
    graph_op(b->g, OP_SOFTCAP, logits, -1, logits)->f[0] = h->final_softcap;
}

/* The number of rows of a matrix of the head; sets the error when it is missing or makes no sense. */
static uint32_t head_rows(struct builder *b, const char *name)
{
    const struct gguf_tensor *t = gguf_tensor(b->gguf, name);
    if (t && t->ne[1] <= 1 << 16) return (uint32_t)t->ne[1];
    if (b->rc == 0)
        b->rc = t ? err_set(b->err, ERR_FORMAT, "%s: tensor %s has %llu rows", gguf_path(b->gguf), name,
                            (unsigned long long)t->ne[1])
                  : err_set(b->err, ERR_UNSUPPORTED, "%s: has no tensor %s; this model cannot rank", gguf_path(b->gguf), name);
    return 1;
}

bool model_has_dense(const struct gguf *g)
{
    return gguf_tensor(g, "dense_2.weight") && gguf_tensor(g, "dense_3.weight");
}

/* Two matrices without anything between them (EmbeddingGemma), or a classifier with or without a layer before it, which may have
 * a norm behind it. */
static void pooled_head(struct builder *b)
{
    uint32_t D = b->h->n_embd;
    b->cur = graph_value(b->g, ROWS_OUT, D);
    graph_op(b->g, OP_INPUT, -1, -1, b->cur);
    if (model_has_dense(b->gguf)) {
        uint32_t mid = head_rows(b, "dense_2.weight"), last = head_rows(b, "dense_3.weight");
        b->cur = matmul(b, b->cur, "/dense_2", D, mid);
        if (b->rc == 0) b->cur = matmul(b, b->cur, "/dense_3", mid, last);
        return;
    }
    if (gguf_tensor(b->gguf, "cls.weight")) {
        b->cur = matmul(b, b->cur, "/cls", D, D);
        graph_op(b->g, OP_ACT, b->cur, -1, b->cur)->n[0] = b->h->rank_act;
    }
    const struct weight *norm = bind(b, "/cls.norm", "weight", (uint64_t[]){ D, 0, 0 }, false);
    if (norm) {
        vid y = graph_value(b->g, ROWS_OUT, D);
        struct op *o = graph_op(b->g, OP_LAYERNORM, b->cur, -1, y);
        o->w = norm;
        o->f[0] = b->h->eps;
        b->cur = y;
    }
    uint32_t n = head_rows(b, "cls.output.weight");
    if (b->rc == 0) b->cur = matmul(b, b->cur, "/cls.output", D, n);
}

static void layer(struct builder *b)
{
    const struct hparams *h = b->h;
    bool recurrent = h->recurrent[b->il];
    if (!recurrent) b->g->kv[b->il] = (struct kv_layer){ .n_kv = h->n_kv[b->il], .dk = h->dk, .dv = h->dv };
    const struct step *s = recurrent ? h->recurrent_layer : b->arch->layer;
    for (; s->kind != S_END && b->rc == 0; s++) step_table[s->kind](b, s);
}

/* What the head for guesses must have of every token, whether it is asked or not: its keys and values. */
static void next_keys(struct builder *b)
{
    const uint32_t first = b->g->n_op;
    const vid x = b->x;
    step_norm(b, &(struct step){ S_NORM, b->h->final_norm });
    const vid states = b->cur;
    next_input(b);
    if (b->rc == 0) layer(b);
    if (b->rc < 0) return;
    graph_op(b->g, OP_KEEP, states, -1, -1);
    b->g->n_kept = b->h->n_embd;
    for (uint32_t i = first; i < b->g->n_op; i++)
        if (b->g->op[i].kind == OP_KV) b->g->op[i].n[1] = 1;
    graph_prune(b->g, first);
    b->x = x;
}

static void body(struct builder *b, bool text)
{
    const struct hparams *h = b->h;
    embed(b);
    if (b->rc == 0) rope_tables(b);
    for (b->il = 0; b->il < h->n_layer && b->rc == 0; b->il++) {
        layer(b);
        if (b->rc == 0) graph_op(b->g, OP_STEER, b->x, -1, b->x)->n[0] = (int32_t)b->il;
    }
    if (b->rc == 0 && text && h->guesses) next_keys(b);
    if (b->rc == 0) states(b);
}

/* The head for guesses, for one token of each sequence. */
static void next(struct builder *b)
{
    b->il = b->h->n_layer;
    b->cur = -1;
    rope_tables(b);
    if (b->rc == 0) next_input(b);
    if (b->rc == 0) layer(b);
    for (uint32_t i = 0; i < b->g->n_op; i++)
        if (b->g->op[i].kind == OP_ATTN) b->g->op[i].n[2] = 1;
    if (b->rc == 0) next_output(b);
    if (b->rc < 0) return;
    graph_op(b->g, OP_KEEP, b->cur, -1, -1);
    b->g->n_kept = b->h->n_embd;
    const vid wanted = graph_value(b->g, ROWS_OUT, b->h->n_embd);
    graph_op(b->g, OP_ROWS, b->cur, -1, wanted);
    b->cur = wanted;
    logits_of(b, "nextn.shared_head_head");
}

int model_graph(struct graph **out, const struct arch *a, const struct hparams *h, const struct gguf *g,
                enum graph_kind kind, struct err *err)
{
    *out = NULL;
    struct builder b = { .gguf = g, .arch = a, .h = h, .long_context = kind == GRAPH_TEXT_LONG, .err = err };
    const bool text = kind == GRAPH_TEXT || kind == GRAPH_TEXT_LONG;
    b.rc = graph_open(&b.g, h->n_layer + (h->guesses && (text || kind == GRAPH_NEXT)), err);
    if (b.rc < 0) return b.rc;
    b.g->n_slot = h->n_expert_used;
    if (kind == GRAPH_HEAD) pooled_head(&b);
    else if (kind == GRAPH_NEXT) next(&b);
    else body(&b, text);
    if (b.rc == 0 && text) logits_of(&b, NULL);
    if (b.rc == 0) graph_windows(b.g);
    if (b.rc == 0 && b.g->bad) b.rc = err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(g));
    if (b.rc < 0) {
        graph_close(b.g);
        return b.rc;
    }
    *out = b.g;
    return 0;
}
