/* synth.c - keys and tensors of a synthetic model.  Norms are about 1 and matrices have a spread of 1/sqrt(row length), so that
 * every layer keeps the size of its input and the logits are about normal. */
#include "app/synth.h"

#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/detmath.h"
#include "base/hash.h"

/* ---- keys ---- */

/* The name must outlive the writer's use of it, which is this call. */
struct keys { struct gguf_writer *w; const struct synth_shape *m; char name[96]; };

static const char *key(struct keys *k, const char *name)
{
    fmt_into(k->name, sizeof k->name, "%s.%s", k->m->arch, name);
    return k->name;
}

static void put_u32(struct keys *k, const char *name, uint32_t v) { gguf_put_u32(k->w, key(k, name), v); }
static void put_f32(struct keys *k, const char *name, float v) { gguf_put_f32(k->w, key(k, name), v); }
static void put_str(struct gguf_writer *w, const char *name, const char *v) { gguf_put_str(w, name, v, strlen(v)); }

static void put_keys(const struct synth *s, struct gguf_writer *w)
{
    const struct synth_shape *m = s->shape;
    struct keys k = { .w = w, .m = m };
    char name[96];
    fmt_into(name, sizeof name, "%s shape, random weights", m->model);
    put_str(w, "general.architecture", m->arch);
    put_str(w, "general.type", "model");
    put_str(w, "general.name", name);
    if (s->recipe.file_type >= 0) gguf_put_u32(w, "general.file_type", (uint32_t)s->recipe.file_type);
    gguf_put_u32(w, "general.quantization_version", 2);
    put_u32(&k, "block_count", s->n_layer);
    put_u32(&k, "context_length", m->ctx);
    put_u32(&k, "embedding_length", m->D);
    put_u32(&k, "feed_forward_length", m->F);
    put_u32(&k, "attention.head_count", m->H);
    put_u32(&k, "attention.head_count_kv", m->K);
    put_u32(&k, "attention.key_length", m->E);
    put_u32(&k, "attention.value_length", m->E);
    put_f32(&k, "attention.layer_norm_rms_epsilon", m->eps);
    put_f32(&k, "rope.freq_base", m->base);
    put_u32(&k, "rope.dimension_count", m->E);
    put_u32(&k, "vocab_size", m->V);
    if (m->window) put_u32(&k, "attention.sliding_window", m->window);
    if (m->linear > 0) {
        put_str(w, key(&k, "rope.scaling.type"), "linear");
        put_f32(&k, "rope.scaling.factor", m->linear);
    }
    if (!m->experts) return;
    put_u32(&k, "expert_count", m->experts);
    put_u32(&k, "expert_used_count", m->used);
    put_u32(&k, "expert_feed_forward_length", m->Fe);
}

/* ---- tensors ---- */

/* What one tensor's bytes are made from. */
struct part { struct synth *s; float mean, sigma; };

struct walk {
    struct synth *s;
    struct gguf_writer *w;
    uint32_t layer;
    bool bad;                              /* out of memory */
};

static int fill(void *arg, const struct gguf_tensor *t, uint64_t at, uint8_t *dst, size_t n, struct err *err)
{
    const struct part *p = arg;
    struct synth *s = p->s;
    size_t block = dtype_info(t->type)->block_bytes;
    if (at == 0) {
        /* Each tensor has its own stream: the seed and its name say what is in it, whatever else the file holds. */
        uint64_t seed = hash_add(hash_bytes(&s->seed, sizeof s->seed), t->name, strlen(t->name));
        if (!quant_random_init(&s->random, t->type, p->mean, p->sigma, seed))
            return err_set(err, ERR_ARG, "%s is no type for weights", dtype_info(t->type)->name);
    }
    quant_random_blocks(&s->random, at / block, n / block, dst);
    s->done += n;
    if (s->progress && !s->progress(s->done, s->total)) return err_set(err, ERR_CANCELLED, "stopped");
    return 0;
}

static void put(struct walk *k, const char *name, enum dtype type, const uint64_t ne[3], struct part p)
{
    struct part *own = arena_new(&k->s->arena, struct part, 1);
    uint64_t row = 0, rows = (ne[1] ? ne[1] : 1) * (ne[2] ? ne[2] : 1);
    k->bad |= !own;
    if (k->bad) return;
    *own = p;
    dtype_row_bytes(type, ne[0], &row);
    k->s->total += row * rows;
    k->s->n_values += ne[0] * rows;
    struct gguf_tensor t = { .name = name, .type = type, .n_dims = ne[2] ? 3 : ne[1] ? 2 : 1, .ne = { ne[0], ne[1], ne[2], 1 } };
    if (k->w) gguf_put_filled(k->w, &t, fill, own);
}

/* name, or "blk.N.name" unless it begins with '/'. */
static void full_name(char *dst, size_t n, const struct walk *k, const char *name, const char *suffix)
{
    if (*name == '/') fmt_into(dst, n, "%s.%s", name + 1, suffix);
    else fmt_into(dst, n, "blk.%u.%s.%s", k->layer, name, suffix);
}

static void matrices(struct walk *k, const char *name, uint64_t n_in, uint64_t n_out, uint64_t n)
{
    struct synth *s = k->s;
    struct synth_matrix m = { .name = name, .n_in = n_in, .layer = k->layer, .n_layer = s->n_layer };
    m.output = !strcmp(name, "/output") || (!strcmp(name, "/token_embd") && s->shape->tied);
    char full[64];
    full_name(full, sizeof full, k, name, "weight");
    enum dtype type = strcmp(name, "ffn_gate_inp") ? synth_type(&s->recipe, &m) : DT_F32;
    put(k, full, type, (uint64_t[]){ n_in, n_out, n }, (struct part){ s, 0, 1 / sqrtf((float)n_in) });
}

static void matrix(struct walk *k, const char *name, uint64_t n_in, uint64_t n_out) { matrices(k, name, n_in, n_out, 0); }

static void vector(struct walk *k, const char *name, const char *suffix, uint64_t n, float mean)
{
    char full[64];
    full_name(full, sizeof full, k, name, suffix);
    put(k, full, DT_F32, (uint64_t[]){ n, 0, 0 }, (struct part){ k->s, mean, 0.1f });
}

static void attention(struct walk *k, const struct synth_shape *m)
{
    uint64_t q = (uint64_t)m->H * m->E, kv = (uint64_t)m->K * m->E;
    vector(k, "attn_norm", "weight", m->D, 1);
    if (m->fused)
        matrix(k, "attn_qkv", m->D, q + 2 * kv);
    else {
        matrix(k, "attn_q", m->D, q);
        matrix(k, "attn_k", m->D, kv);
        matrix(k, "attn_v", m->D, kv);
    }
    if (m->bias) {
        vector(k, "attn_q", "bias", q, 0);
        vector(k, "attn_k", "bias", kv, 0);
        vector(k, "attn_v", "bias", kv, 0);
    }
    matrix(k, "attn_output", q, m->D);
    if (m->head_norms) {
        vector(k, "attn_q_norm", "weight", m->E, 1);
        vector(k, "attn_k_norm", "weight", m->E, 1);
    }
    if (m->post_norms) vector(k, "post_attention_norm", "weight", m->D, 1);
}

static void feed_forward(struct walk *k, const struct synth_shape *m)
{
    vector(k, "ffn_norm", "weight", m->D, 1);
    if (m->experts) {
        matrix(k, "ffn_gate_inp", m->D, m->experts);
        matrices(k, "ffn_gate_exps", m->D, m->Fe, m->experts);
        matrices(k, "ffn_up_exps", m->D, m->Fe, m->experts);
        matrices(k, "ffn_down_exps", m->Fe, m->D, m->experts);
    } else {
        if (!m->fused) matrix(k, "ffn_gate", m->D, m->F);
        matrix(k, "ffn_up", m->D, m->fused ? 2 * (uint64_t)m->F : m->F);
        matrix(k, "ffn_down", m->F, m->D);
    }
    if (m->post_norms) vector(k, "post_ffw_norm", "weight", m->D, 1);
}

/* What Llama 3 divides each rotary frequency by.  Source: the configuration's "llama3" scaling, low 1, high 4, old 8192. */
static void rope_factors(struct walk *k, const struct synth_shape *m)
{
    uint64_t n = m->E / 2;
    float *f = arena_new(&k->s->arena, float, n);
    k->bad |= !f;
    if (k->bad) return;
    for (uint64_t i = 0; i < n; i++) {
        double wave = 2 * 3.14159265358979323846 * det_exp(2.0 * (double)i / m->E * det_log((double)m->base));
        double s = (8192 / wave - 1) / (4 - 1);
        s = s < 0 ? 0 : s > 1 ? 1 : s;
        f[i] = (float)(1 / ((1 - s) / (double)m->llama3 + s));
    }
    k->s->total += n * sizeof *f;
    k->s->n_values += n;
    if (k->w) gguf_put_tensor(k->w, "rope_freqs.weight", DT_F32, 1, (uint64_t[]){ n }, f);
}

static int tensors(struct synth *s, struct gguf_writer *w, struct err *err)
{
    const struct synth_shape *m = s->shape;
    struct walk k = { .s = s, .w = w };
    if (!s->n_layer) s->n_layer = m->L;
    s->total = s->n_values = s->done = 0;
    if (m->llama3 > 0) rope_factors(&k, m);
    matrix(&k, "/token_embd", m->D, m->V);
    for (; k.layer < s->n_layer; k.layer++) {
        attention(&k, m);
        feed_forward(&k, m);
    }
    vector(&k, "/output_norm", "weight", m->D, 1);
    if (!m->tied) matrix(&k, "/output", m->D, m->V);
    return k.bad ? err_set(err, ERR_NOMEM, "out of memory making a model") : 0;
}

int synth_measure(struct synth *s, struct err *err) { return tensors(s, NULL, err); }

int synth_put(struct synth *s, struct gguf_writer *w, struct err *err)
{
    if (!s->n_layer) s->n_layer = s->shape->L;
    put_keys(s, w);
    int rc = synth_put_vocab(w, s->shape->vocab, s->shape->V, &s->arena, err);
    return rc < 0 ? rc : tensors(s, w, err);
}

void synth_release(struct synth *s) { arena_release(&s->arena); }
