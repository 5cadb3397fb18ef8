/* hf_tensor.c - tensors under the names of Hugging Face checkpoints become tensors under GGUF's, where they lie. */
#include <string.h>

#include "base/ck.h"
#include "base/detmath.h"
#include "base/mem.h"
#include "format/hf_impl.h"

enum kind { LINEAR, NORM, PLAIN_NORM, EXPERT, GATE_UP, VECTOR, CONV, DECAY, STACK };

/* What a layer may have: its module's name, GGUF's, and the flags that its family must have, or must not.  A VECTOR (DECAY: of
 * logarithms) is a tensor by its whole name, in both worlds; # is the number of an expert.  A PLAIN_NORM never lacks its +1.  A
 * STACK of matrices may come without ".weight". */
static const struct module { const char *hf, *gguf; enum kind kind; unsigned need, never; } modules[] = {
    { "input_layernorm", "attn_norm", NORM, 0, HF_POST },
    { "post_attention_layernorm", "ffn_norm", NORM, 0, HF_SANDWICH | HF_POST | HF_NAMED_POST },
    { "post_attention_layernorm", "post_attention_norm", NORM, HF_SANDWICH, 0 },
    { "post_attention_layernorm", "post_attention_norm", NORM, HF_POST, 0 },
    { "post_attention_layernorm", "post_attention_norm", NORM, HF_NAMED_POST, 0 },
    { "pre_feedforward_layernorm", "ffn_norm", NORM, HF_SANDWICH, 0 },
    { "post_feedforward_layernorm", "post_ffw_norm", NORM, HF_SANDWICH, 0 },
    { "post_feedforward_layernorm", "post_ffw_norm", NORM, HF_POST, 0 },
    { "post_self_attn_layernorm", "post_attention_norm", NORM, HF_GLM4, 0 },
    { "post_mlp_layernorm", "post_ffw_norm", NORM, HF_GLM4, 0 },
    { "self_attn.q_proj", "attn_q", LINEAR, 0, HF_FUSED },
    { "self_attn.k_proj", "attn_k", LINEAR, 0, HF_FUSED | HF_LATENT },
    { "self_attn.v_proj", "attn_v", LINEAR, 0, HF_FUSED | HF_LATENT },
    { "self_attn.qkv_proj", "attn_qkv", LINEAR, HF_FUSED, 0 },
    { "self_attn.o_proj", "attn_output", LINEAR, 0, 0 },
    { "self_attn.q_norm", "attn_q_norm", NORM, HF_QKNORM, 0 },
    { "self_attn.k_norm", "attn_k_norm", NORM, HF_QKNORM, 0 },
    { "self_attn.sinks", "attn_sinks.weight", VECTOR, HF_OSS, 0 },
    { "self_attn.q_a_proj", "attn_q_a", LINEAR, HF_LATENT, 0 },
    { "self_attn.q_a_layernorm", "attn_q_a_norm", NORM, HF_LATENT, 0 },
    { "self_attn.q_b_proj", "attn_q_b", LINEAR, HF_LATENT, 0 },
    { "self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa", LINEAR, HF_LATENT, 0 },
    { "self_attn.kv_a_layernorm", "attn_kv_a_norm", NORM, HF_LATENT, 0 },
    { "self_attn.kv_b_proj", "attn_kv_b", LINEAR, HF_LATENT, 0 },
    { "mlp.gate_proj", "ffn_gate", LINEAR, 0, HF_GATE_UP | HF_MOE },
    { "mlp.up_proj", "ffn_up", LINEAR, 0, HF_GATE_UP | HF_MOE },
    { "mlp.gate_up_proj", "ffn_up", LINEAR, HF_GATE_UP, 0 },
    { "mlp.down_proj", "ffn_down", LINEAR, 0, HF_MOE },
    { "mlp.gate", "ffn_gate_inp", LINEAR, HF_MOE, 0 },
    { "mlp.router", "ffn_gate_inp", LINEAR, HF_OSS, 0 },
    { "block_sparse_moe.gate", "ffn_gate_inp", LINEAR, HF_MOE, 0 },
    { "block_sparse_moe.router.layer", "ffn_gate_inp", LINEAR, HF_MOE, 0 },
    { "mlp.gate.e_score_correction_bias", "exp_probs_b.bias", VECTOR, HF_ROUTED, 0 },
    { "mlp.experts.#.gate_proj", "ffn_gate_exps", EXPERT, HF_MOE, 0 },
    { "mlp.experts.#.up_proj", "ffn_up_exps", EXPERT, HF_MOE, 0 },
    { "mlp.experts.#.down_proj", "ffn_down_exps", EXPERT, HF_MOE, 0 },
    { "block_sparse_moe.experts.#.w1", "ffn_gate_exps", EXPERT, HF_MOE, 0 },
    { "block_sparse_moe.experts.#.w3", "ffn_up_exps", EXPERT, HF_MOE, 0 },
    { "block_sparse_moe.experts.#.w2", "ffn_down_exps", EXPERT, HF_MOE, 0 },
    { "mlp.switch_mlp.gate_proj", "ffn_gate_exps", LINEAR, HF_MOE, 0 },
    { "mlp.switch_mlp.up_proj", "ffn_up_exps", LINEAR, HF_MOE, 0 },
    { "mlp.switch_mlp.down_proj", "ffn_down_exps", LINEAR, HF_MOE, 0 },
    { "block_sparse_moe.switch_mlp.gate_proj", "ffn_gate_exps", LINEAR, HF_MOE, 0 },
    { "block_sparse_moe.switch_mlp.up_proj", "ffn_up_exps", LINEAR, HF_MOE, 0 },
    { "block_sparse_moe.switch_mlp.down_proj", "ffn_down_exps", LINEAR, HF_MOE, 0 },
    { "mlp.experts.down_proj", "ffn_down_exps", STACK, HF_MOE, HF_OSS },
    { "mlp.experts.gate_up_proj", "", GATE_UP, HF_MOE, HF_OSS },
    { "block_sparse_moe.input_linear", "", GATE_UP, HF_MOE, 0 },
    { "block_sparse_moe.output_linear", "ffn_down_exps", LINEAR, HF_MOE, 0 },
    { "mlp.shared_expert.gate_proj", "ffn_gate_shexp", LINEAR, HF_SHARED, HF_ROUTED },
    { "mlp.shared_expert.up_proj", "ffn_up_shexp", LINEAR, HF_SHARED, HF_ROUTED },
    { "mlp.shared_expert.down_proj", "ffn_down_shexp", LINEAR, HF_SHARED, HF_ROUTED },
    { "mlp.shared_expert_gate", "ffn_gate_inp_shexp", LINEAR, HF_SHARED, HF_ROUTED },
    { "mlp.shared_experts.gate_proj", "ffn_gate_shexp", LINEAR, HF_SHARED | HF_ROUTED, 0 },
    { "mlp.shared_experts.up_proj", "ffn_up_shexp", LINEAR, HF_SHARED | HF_ROUTED, 0 },
    { "mlp.shared_experts.down_proj", "ffn_down_shexp", LINEAR, HF_SHARED | HF_ROUTED, 0 },
    { "per_layer_input_gate", "inp_gate", LINEAR, HF_GEMMA4, 0 },
    { "per_layer_projection", "proj", LINEAR, HF_GEMMA4, 0 },
    { "post_per_layer_input_norm", "post_norm", NORM, HF_GEMMA4, 0 },
    { "layer_scalar", "layer_output_scale.weight", VECTOR, HF_GEMMA4, 0 },
    { "post_feedforward_layernorm_1", "post_ffw_norm_1", NORM, HF_GEMMA4, 0 },
    { "pre_feedforward_layernorm_2", "pre_ffw_norm_2", NORM, HF_GEMMA4, 0 },
    { "post_feedforward_layernorm_2", "post_ffw_norm_2", NORM, HF_GEMMA4, 0 },
    { "router.proj", "ffn_gate_inp", LINEAR, HF_GEMMA4, 0 },
    { "router.scale", "ffn_gate_inp.scale", VECTOR, HF_GEMMA4, 0 },
    { "router.per_expert_scale", "ffn_down_exps.scale", VECTOR, HF_GEMMA4, 0 },
    { "experts.gate_up_proj", "", GATE_UP, HF_GEMMA4, 0 },
    { "experts.down_proj", "ffn_down_exps", STACK, HF_GEMMA4, 0 },
    { "experts.switch_glu.gate_proj", "ffn_gate_exps", LINEAR, HF_GEMMA4, 0 },
    { "experts.switch_glu.up_proj", "ffn_up_exps", LINEAR, HF_GEMMA4, 0 },
    { "experts.switch_glu.down_proj", "ffn_down_exps", LINEAR, HF_GEMMA4, 0 },
    { "attention.self.query", "attn_q", LINEAR, HF_BERT, 0 },
    { "attention.self.key", "attn_k", LINEAR, HF_BERT, 0 },
    { "attention.self.value", "attn_v", LINEAR, HF_BERT, 0 },
    { "attention.output.dense", "attn_output", LINEAR, HF_BERT, 0 },
    { "attention.output.LayerNorm", "attn_output_norm", NORM, HF_BERT, 0 },
    { "intermediate.dense", "ffn_up", LINEAR, HF_BERT, 0 },
    { "output.dense", "ffn_down", LINEAR, HF_BERT, 0 },
    { "output.LayerNorm", "layer_output_norm", NORM, HF_BERT, 0 },
    { "attn.Wqkv", "attn_qkv", LINEAR, HF_NOMIC, 0 },
    { "attn.out_proj", "attn_output", LINEAR, HF_NOMIC, 0 },
    { "norm1", "attn_output_norm", NORM, HF_NOMIC, 0 },
    { "mlp.fc11", "ffn_up", LINEAR, HF_NOMIC, 0 },
    { "mlp.fc12", "ffn_gate", LINEAR, HF_NOMIC, 0 },
    { "mlp.fc2", "ffn_down", LINEAR, HF_NOMIC, 0 },
    { "norm2", "layer_output_norm", NORM, HF_NOMIC, 0 },
    { "attn_norm", "attn_norm", NORM, HF_MODERN, 0 },
    { "attn.Wqkv", "attn_qkv", LINEAR, HF_MODERN, 0 },
    { "attn.Wo", "attn_output", LINEAR, HF_MODERN, 0 },
    { "mlp_norm", "ffn_norm", NORM, HF_MODERN, 0 },
    { "mlp.Wi", "ffn_up", LINEAR, HF_MODERN, 0 },
    { "mlp.Wo", "ffn_down", LINEAR, HF_MODERN, 0 },
    { "linear_attn.in_proj_qkvz", "ssm_in", LINEAR, HF_DELTA, 0 },
    { "linear_attn.in_proj_ba", "ssm_ba", LINEAR, HF_DELTA, 0 },
    { "linear_attn.in_proj_qkv", "attn_qkv", LINEAR, HF_DELTA, 0 },
    { "linear_attn.in_proj_z", "attn_gate", LINEAR, HF_DELTA, 0 },
    { "linear_attn.in_proj_b", "ssm_beta", LINEAR, HF_DELTA, 0 },
    { "linear_attn.in_proj_a", "ssm_alpha", LINEAR, HF_DELTA, 0 },
    { "linear_attn.conv1d", "ssm_conv1d", CONV, HF_DELTA, 0 },
    { "linear_attn.A_log", "ssm_a", DECAY, HF_DELTA, 0 },
    { "linear_attn.dt_bias", "ssm_dt.bias", VECTOR, HF_DELTA, 0 },
    { "linear_attn.norm", "ssm_norm", PLAIN_NORM, HF_DELTA, 0 },
    { "linear_attn.out_proj", "ssm_out", LINEAR, HF_DELTA, 0 },
    { "operator_norm", "attn_norm", NORM, HF_CONV, 0 },
    { "ffn_norm", "ffn_norm", NORM, HF_CONV, 0 },
    { "self_attn.out_proj", "attn_output", LINEAR, HF_CONV, 0 },
    { "self_attn.q_layernorm", "attn_q_norm", NORM, HF_CONV, 0 },
    { "self_attn.k_layernorm", "attn_k_norm", NORM, HF_CONV, 0 },
    { "conv.conv", "shortconv.conv", CONV, HF_CONV, 0 },
    { "conv.in_proj", "shortconv.in_proj", LINEAR, HF_CONV, 0 },
    { "conv.out_proj", "shortconv.out_proj", LINEAR, HF_CONV, 0 },
    { "feed_forward.w1", "ffn_gate", LINEAR, HF_CONV, HF_MOE },
    { "feed_forward.w3", "ffn_up", LINEAR, HF_CONV, HF_MOE },
    { "feed_forward.w2", "ffn_down", LINEAR, HF_CONV, HF_MOE },
    { "feed_forward.gate_proj", "ffn_gate", LINEAR, HF_CONV, HF_MOE },
    { "feed_forward.up_proj", "ffn_up", LINEAR, HF_CONV, HF_MOE },
    { "feed_forward.down_proj", "ffn_down", LINEAR, HF_CONV, HF_MOE },
    { "feed_forward.gate", "ffn_gate_inp", LINEAR, HF_CONV | HF_MOE, 0 },
    { "feed_forward.expert_bias", "exp_probs_b.bias", VECTOR, HF_CONV | HF_MOE, 0 },
    { "feed_forward.experts.#.w1", "ffn_gate_exps", EXPERT, HF_CONV | HF_MOE, 0 },
    { "feed_forward.experts.#.w3", "ffn_up_exps", EXPERT, HF_CONV | HF_MOE, 0 },
    { "feed_forward.experts.#.w2", "ffn_down_exps", EXPERT, HF_CONV | HF_MOE, 0 },
    { "feed_forward.switch_mlp.gate_proj", "ffn_gate_exps", LINEAR, HF_CONV | HF_MOE, 0 },
    { "feed_forward.switch_mlp.up_proj", "ffn_up_exps", LINEAR, HF_CONV | HF_MOE, 0 },
    { "feed_forward.switch_mlp.down_proj", "ffn_down_exps", LINEAR, HF_CONV | HF_MOE, 0 },
};
enum { N_MODULE = sizeof modules / sizeof *modules };

/* What belongs to no layer, by its whole name in both worlds; the output matrix is looked for elsewhere. */
static const struct module tops[] = {
    { "embed_tokens.weight", "token_embd.weight", LINEAR, 0, 0 },
    { "norm.weight", "output_norm.weight", NORM, 0, 0 },
    { "embedding_norm.weight", "token_embd_norm.weight", PLAIN_NORM, HF_CONV, 0 },
    { "embed_tokens_per_layer.weight", "per_layer_token_embd.weight", LINEAR, HF_GEMMA4, 0 },
    { "per_layer_model_projection.weight", "per_layer_model_proj.weight", LINEAR, HF_GEMMA4, 0 },
    { "per_layer_projection_norm.weight", "per_layer_proj_norm.weight", PLAIN_NORM, HF_GEMMA4, 0 },
};

struct build {
    struct hf *h;
    const char *prefix;                     /* of the text model */
    size_t n_prefix;
    bool *used;                             /* by tensor of the files */
    size_t *stack;                          /* [layer][module]: 1 + the index of its tensor of experts */
    uint32_t *count;                        /* likewise: experts that were seen */
};

int hf_bad_tensor(struct hf *h, const struct st_tensor *t, int code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(h->err, code, "%s: tensor '%s': %s", safetensors_path(h->st, t->file),
                   gguf_show((struct gguf_str){ t->name, strlen(t->name) }).s, text);
}

static void use(struct build *b, const struct st_tensor *t) { b->used[t - safetensors_at(b->h->st, 0)] = true; }

/* ---- plain numbers ---- */

bool hf_float_type(enum st_type t, enum dtype *out)
{
    if (t != ST_F32 && t != ST_F16 && t != ST_BF16) return false;
    *out = t == ST_F32 ? DT_F32 : t == ST_F16 ? DT_F16 : DT_BF16;
    return true;
}

float *hf_add_vector(struct hf *h, const char *name, uint64_t n)
{
    float *x = n < 1 << 24 ? arena_new(&h->arena, float, (size_t)n) : NULL;
    struct gguf_tensor *t = x ? hf_add(h, name) : NULL;
    if (!x) hf_nomem(h);
    if (!t) return NULL;
    t->type = DT_F32;
    t->n_dims = 1;
    t->ne[0] = n;
    t->data = (const uint8_t *)x;
    t->bytes = 4 * n;
    return x;
}

static float half(uint32_t h)
{
    uint32_t e = h >> 10 & 31, m = h & 1023, u = (h & 0x8000) << 16;
    float f;
    if (e == 31) u |= 0x7f800000 | m << 13;
    else if (e) u |= (e + 112) << 23 | m << 13;
    memcpy(&f, &u, 4);
    if (e || !m) return f;
    return h & 0x8000 ? -(float)m * 0x1p-24f : (float)m * 0x1p-24f;
}

float hf_number(const uint8_t *p, enum dtype t, uint64_t i)
{
    const uint8_t *q = p + i * (t == DT_F32 ? 4 : 2);
    uint32_t u = (uint32_t)q[0] | (uint32_t)q[1] << 8;
    float f;
    if (t == DT_F16) return half(u);
    u = t == DT_BF16 ? u << 16 : u | (uint32_t)q[2] << 16 | (uint32_t)q[3] << 24;
    memcpy(&f, &u, 4);
    return f;
}

int hf_add_numbers(struct hf *h, const struct st_tensor *t, const char *name, uint64_t first, const uint64_t ne[2], float **out)
{
    enum dtype type;
    uint64_t n;
    if (!hf_float_type(t->type, &type))
        return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "type %s is not supported for a vector", st_type_name(t->type));
    if (!ck_mul(ne[0], ne[1], &n)) return hf_bad_tensor(h, t, ERR_LIMIT, "too large");
    float *x = hf_add_vector(h, name, n);
    if (!x) return ERR_NOMEM;
    for (uint64_t i = 0; i < n; i++) x[i] = hf_number(t->data, type, first + i);
    struct gguf_tensor *added = &h->tensor[h->n_tensors - 1];
    added->n_dims = t->n_dims > 1 ? 2 : 1;
    added->ne[0] = ne[0];
    added->ne[1] = ne[1];
    if (out) *out = x;
    return 0;
}

/* A norm or bias: a copy in float32, as the arithmetic wants it. */
static int vector(struct build *b, const struct st_tensor *t, const char *name, float plus)
{
    float *x;
    if (t->n_dims != 1 || !t->shape[0]) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must have one dimension");
    int rc = hf_add_numbers(b->h, t, name, 0, (uint64_t[]){ t->shape[0], 1 }, &x);
    if (rc < 0) return rc;
    for (uint64_t i = 0; i < t->shape[0]; i++) x[i] += plus;
    use(b, t);
    return 0;
}

/* What a state is multiplied by is e^(-e^x) to the power of the step; GGUF has -e^x. */
static int decay(struct build *b, const struct st_tensor *t, const char *name)
{
    float *x;
    if (t->n_dims != 1 || !t->shape[0]) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must have one dimension");
    int rc = hf_add_numbers(b->h, t, name, 0, (uint64_t[]){ t->shape[0], 1 }, &x);
    if (rc < 0) return rc;
    for (uint64_t i = 0; i < t->shape[0]; i++) x[i] = (float)-det_exp((double)x[i]);
    use(b, t);
    return 0;
}

/* A depth-wise convolution [channels][1][taps], or [channels][taps][1]: a copy in float32. */
static int convolution(struct build *b, const struct st_tensor *t, const char *name)
{
    uint64_t n;
    float *x;
    if (t->n_dims != 3 || !t->shape[0] || (t->shape[1] != 1 && t->shape[2] != 1) || !ck_mul(t->shape[1], t->shape[2], &n) ||
        !n || n > 64)
        return hf_bad_tensor(b->h, t, ERR_FORMAT, "must be [channels, 1, taps]");
    int rc = hf_add_numbers(b->h, t, name, 0, (uint64_t[]){ n, t->shape[0] }, &x);
    if (rc == 0) use(b, t);
    return rc;
}

/* A matrix, or a stack of them, in place. */
static int matrix(struct build *b, const struct st_tensor *t, struct gguf_tensor *out)
{
    if (t->n_dims != 2 && t->n_dims != 3) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must have two or three dimensions");
    if (!hf_float_type(t->type, &out->type)) return hf_split(b->h, b->used, t, out);
    out->n_dims = t->n_dims;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        out->ne[i] = t->shape[t->n_dims - 1 - i];
        if (!out->ne[i]) return hf_bad_tensor(b->h, t, ERR_FORMAT, "has a dimension of zero");
    }
    out->data = t->data;
    out->bytes = t->bytes;
    out->file = t->file;
    out->offset = t->offset;
    use(b, t);
    return 0;
}

static int whole_matrix(struct build *b, const struct st_tensor *t, const char *name)
{
    struct gguf_tensor x = { .ne = { 1, 1, 1, 1 } };
    int rc = matrix(b, t, &x);
    struct gguf_tensor *out = rc == 0 ? hf_add(b->h, name) : NULL;
    if (!out) return rc < 0 ? rc : ERR_NOMEM;
    x.name = out->name;
    *out = x;
    return 0;
}

/* ---- experts ---- */

static const uint8_t **new_slices(struct hf *h, struct gguf_tensor *t, uint64_t n)
{
    const uint8_t **slice = arena_new(&h->arena, const uint8_t *, (size_t)n);
    if (!slice) hf_nomem(h);
    t->slice = slice;
    return slice;
}

/* Expert e of a module: a slice of one tensor. */
static int expert(struct build *b, const struct st_tensor *t, const char *name, size_t at, uint32_t e)
{
    struct hf *h = b->h;
    struct gguf_tensor x = { .ne = { 1, 1, 1, 1 } };
    int rc = matrix(b, t, &x);
    if (rc < 0) return rc;
    if (x.n_dims != 2) return hf_bad_tensor(h, t, ERR_FORMAT, "must have two dimensions");
    if (e >= h->n_expert)
        return hf_bad_tensor(h, t, ERR_FORMAT, "expert %u of %u", e, h->n_expert);
    if (!b->stack[at]) {
        struct gguf_tensor *s = hf_add(h, name);
        if (!s) return ERR_NOMEM;
        x.name = s->name;
        x.n_dims = 3;
        x.ne[2] = h->n_expert;
        if (!ck_mul(x.bytes, h->n_expert, &x.bytes)) return hf_bad_tensor(h, t, ERR_LIMIT, "too large");
        *s = x;
        if (!new_slices(h, s, h->n_expert)) return ERR_NOMEM;
        b->stack[at] = h->n_tensors;
    }
    struct gguf_tensor *s = &h->tensor[b->stack[at] - 1];
    const uint8_t **slice = (const uint8_t **)(uintptr_t)s->slice;
    if (s->type != x.type || s->ne[0] != x.ne[0] || s->ne[1] != x.ne[1])
        return hf_bad_tensor(h, t, ERR_FORMAT, "differs in type or shape from the other experts of its layer");
    if (slice[e]) return hf_bad_tensor(h, t, ERR_FORMAT, "expert %u occurs twice", e);
    slice[e] = x.data;
    if (e == 0) s->data = x.data;
    b->count[at]++;
    return 0;
}

/* [E][2F][D] with the rows of the gate first: two tensors. */
static int gate_up(struct build *b, const struct st_tensor *t, uint32_t il)
{
    static const char *const part[] = { "ffn_gate_exps", "ffn_up_exps" };
    struct gguf_tensor x = { .ne = { 1, 1, 1, 1 } };
    int rc = matrix(b, t, &x);
    if (rc < 0) return rc;
    if (dtype_info(x.type)->family == DTF_SPLIT)
        return hf_bad_tensor(b->h, t, ERR_UNSUPPORTED, "gate and up in one quantised tensor are not supported");
    if (x.n_dims != 3 || x.ne[1] % 2) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must be [experts, 2 x width, input]");
    for (int k = 0; k < 2; k++) {
        char name[64];
        fmt_into(name, sizeof name, "blk.%u.%s.weight", il, part[k]);
        struct gguf_tensor *s = hf_add(b->h, name);
        if (!s) return ERR_NOMEM;
        uint64_t one = x.bytes / x.ne[2];
        x.name = s->name;
        *s = x;
        s->ne[1] = x.ne[1] / 2;
        s->bytes = x.bytes / 2;
        const uint8_t **slice = new_slices(b->h, s, x.ne[2]);
        if (!slice) return ERR_NOMEM;
        for (uint64_t e = 0; e < x.ne[2]; e++) slice[e] = x.data + e * one + (k ? one / 2 : 0);
        s->data = slice[0];
    }
    return 0;
}

/* ---- names ---- */

/* Whether name (n bytes) is the pattern, in which # stands for a number, which goes to *number. */
static bool matches(const char *pattern, const char *name, size_t n, uint32_t *number)
{
    const char *end = name + n;
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (name == end || *name++ != *pattern) return false;
            continue;
        }
        const char *from = name;
        uint32_t v = 0;
        for (; name < end && *name >= '0' && *name <= '9' && v < 100000; name++) v = v * 10 + (uint32_t)(*name - '0');
        if (name == from || (name - from > 1 && *from == '0')) return false;
        *number = v;
    }
    return name == end;
}

static const struct module *find_module(const struct hf_family *f, const char *name, size_t n, uint32_t *number)
{
    unsigned flags = f->flags, kept = flags & HF_LEAD ? flags & ~(unsigned)HF_MOE : flags;
    for (size_t i = 0; i < N_MODULE; i++) {
        const struct module *m = &modules[i];
        if ((flags & m->need) != m->need || (kept & m->never)) continue;
        if (matches(m->hf, name, n, number)) return m;
    }
    return NULL;
}

enum hf_matrix hf_matrix_name(const struct hf_family *f, const char *name, size_t n, const char **gguf, uint32_t *expert)
{
    const struct module *m = find_module(f, name, n, expert);
    if (!m) return HF_UNKNOWN_MODULE;
    *gguf = m->gguf;
    return m->kind == LINEAR || m->kind == STACK ? HF_MATRIX : m->kind == EXPERT ? HF_EXPERT : HF_NO_MATRIX;
}

static float plus(const struct hf *h) { return h->family->flags & HF_PLUS_ONE && !h->mlx_norms ? 1 : 0; }

/* The tensor `rest` of layer il; leaves what it does not know unused. */
static int layer_tensor(struct build *b, uint32_t il, const char *rest, const struct st_tensor *t)
{
    const char *dot = strrchr(rest, '.');
    bool weight = dot && (!strcmp(dot, ".weight") || !strcmp(dot, ".qweight")), bias = dot && !strcmp(dot, ".bias");
    size_t n = weight || bias ? (size_t)(dot - rest) : strlen(rest);
    uint32_t number = 0;
    char name[64];
    const struct module *m = find_module(b->h->family, rest, n, &number);
    /* only vectors and some stacks of experts have no .weight */
    bool bare = !weight && !bias;
    bool vectors = m && (m->kind == VECTOR || m->kind == DECAY);
    if (!m || vectors != (bare && m->kind != GATE_UP && m->kind != STACK)) return 0;
    bool shared = il >= b->h->n_layer - b->h->n_shared;
    if (shared && (!strcmp(m->gguf, "attn_k") || !strcmp(m->gguf, "attn_v") || !strcmp(m->gguf, "attn_k_norm"))) {
        use(b, t);                          /* trained, and never read */
        return 0;
    }
    if (vectors) fmt_into(name, sizeof name, "blk.%u.%s", il, m->gguf);
    else fmt_into(name, sizeof name, "blk.%u.%s.%s", il, m->gguf, bias ? "bias" : "weight");
    size_t at = (size_t)il * N_MODULE + (size_t)(m - modules);
    bool biased = m->kind == LINEAR || (m->kind == NORM && b->h->family->flags & HF_ENCODER);
    if (bias) return biased ? vector(b, t, name, 0) : 0;
    switch (m->kind) {
    case NORM: return vector(b, t, name, plus(b->h));
    case PLAIN_NORM: return vector(b, t, name, 0);
    case CONV: return convolution(b, t, name);
    case DECAY: return decay(b, t, name);
    case EXPERT: return expert(b, t, name, at, number);
    case GATE_UP: return gate_up(b, t, il);
    case VECTOR: return vector(b, t, name, 0);
    case LINEAR:
    case STACK: break;
    }
    return whole_matrix(b, t, name);
}

/* "layers.N.", of encoders also "encoder.layer.N." and "encoder.layers.N.": N and what follows. */
static const char *after_layer(const char *s, uint32_t *n)
{
    if (!strncmp(s, "encoder.layer", 13)) s += 8;
    if (strncmp(s, "layer", 5) != 0) return NULL;
    s += s[5] == 's' ? 6 : 5;
    if (*s != '.' || s[1] < '0' || s[1] > '9') return NULL;
    *n = 0;
    for (s++; *s >= '0' && *s <= '9' && *n < 100000; s++) *n = *n * 10 + (uint32_t)(*s - '0');
    return *s == '.' ? s + 1 : NULL;
}

static const char *const heads[] = { "lm_head.weight", "language_model.lm_head.weight", "model.lm_head.weight" };

static const struct st_tensor *find_head(const struct hf *h)
{
    const struct st_tensor *t = NULL;
    for (size_t i = 0; !t && i < sizeof heads / sizeof *heads; i++) t = safetensors_find(h->st, heads[i]);
    return t;
}

/* The output matrix, unless it is the embedding. */
static int head(struct build *b)
{
    struct hf *h = b->h;
    const struct json *said = json_get(h->config, "tie_word_embeddings");
    if (json_type(said) != JSON_BOOL) said = json_get(h->text, "tie_word_embeddings");
    const struct st_tensor *t = find_head(h);
    bool tied = json_type(said) == JSON_BOOL ? json_bool(said) : !t;
    if (t) use(b, t);
    if (tied) return 0;
    if (!t) return err_set(h->err, ERR_FORMAT, "%s: tensor lm_head.weight is missing", h->folder);
    return whole_matrix(b, t, "output.weight");
}

static int encoder_tensor(struct build *b, const struct st_tensor *t)
{
    const char *name = t->name + (strncmp(t->name, b->prefix, b->n_prefix) ? 0 : b->n_prefix), *gguf = NULL, *rest;
    bool is_matrix = false;
    uint32_t il;
    if ((rest = after_layer(name, &il)) && il < b->h->n_layer) return layer_tensor(b, il, rest, t);
    int rc = hf_encoder_tensor(b->h, name, t, &is_matrix, &gguf);
    if (rc < 1) return rc;
    use(b, t);
    return is_matrix && gguf ? whole_matrix(b, t, gguf) : 0;
}

static int text_tensor(struct build *b, const struct st_tensor *t)
{
    const char *s = t->name + b->n_prefix, *rest;
    uint32_t il;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
        const struct module *m = &tops[i];
        if ((b->h->family->flags & m->need) != m->need || strcmp(s, m->hf) != 0) continue;
        return m->kind == LINEAR ? whole_matrix(b, t, m->gguf) : vector(b, t, m->gguf, m->kind == NORM ? plus(b->h) : 0);
    }
    if (!(rest = after_layer(s, &il))) return 0;
    /* Layers behind the last guess further tokens; the buffers of rotary positions are computed here. */
    if (il >= b->h->n_layer || !strcmp(rest, "self_attn.rotary_emb.inv_freq")) {
        use(b, t);
        return 0;
    }
    int rc = b->h->family->flags & HF_OSS ? hf_oss_tensor(b->h, b->used, il, rest, t) : 0;
    return rc ? (rc < 0 ? rc : 0) : layer_tensor(b, il, rest, t);
}

static bool is_text(const struct build *b, const char *name)
{
    if (b->h->family->flags & HF_ENCODER) return true;
    return !strncmp(name, b->prefix, b->n_prefix) || !strncmp(name, "lm_head.", 8) || !strncmp(name,
                                                                                               "language_model.lm_head.", 23);
}

static int find_prefix(struct build *b)
{
    static const char *const prefix[] = { "model.language_model.", "language_model.model.", "model.", "language_model.", "bert.",
                                          "roberta.", "" };
    const char *table = !(b->h->family->flags & HF_ENCODER) ? "embed_tokens.weight"
        : b->h->family->flags & HF_MODERN ? "embeddings.tok_embeddings.weight" : "embeddings.word_embeddings.weight";
    char name[96];
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
        fmt_into(name, sizeof name, "%s%s", prefix[i], table);
        if (!safetensors_find(b->h->st, name)) continue;
        b->prefix = prefix[i];
        b->n_prefix = strlen(prefix[i]);
        return 0;
    }
    return err_set(b->h->err, ERR_FORMAT, "%s: has no tensor %s", b->h->folder, table);
}

static int check_all(struct build *b)
{
    struct hf *h = b->h;
    for (size_t i = 0; i < safetensors_n(h->st); i++) {
        const struct st_tensor *t = safetensors_at(h->st, i);
        if (!b->used[i] && is_text(b, t->name))
            return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "architecture %s has no use for it: the model is another one, or newer "
                                 "than this program", h->family->arch);
    }
    for (size_t i = 0; i < (size_t)h->n_layer * N_MODULE; i++)
        if (b->count[i] && b->count[i] != h->n_expert)
            return err_set(h->err, ERR_FORMAT, "%s: tensor %s has only %u of %u experts", h->folder,
                           h->tensor[b->stack[i] - 1].name,
                           b->count[i], h->n_expert);
    return 0;
}

/* Conversions to MLX turn the convolutions of delta nets, and add the +1 of the norms in the same go. */
static bool has_turned_convolutions(const struct hf *h)
{
    for (size_t i = 0; i < safetensors_n(h->st); i++) {
        const struct st_tensor *t = safetensors_at(h->st, i);
        const char *at = strstr(t->name, ".linear_attn.conv1d.weight");
        if (at && t->n_dims == 3) return t->shape[2] == 1 && t->shape[1] != 1;
    }
    return false;
}

int hf_tensors(struct hf *h)
{
    struct build b = { .h = h };
    size_t n = safetensors_n(h->st), n_at = (size_t)h->n_layer * N_MODULE;
    b.used = mem_new_array(bool, n + 1);
    b.stack = mem_new_array(size_t, n_at);
    b.count = mem_new_array(uint32_t, n_at);
    int rc = b.used && b.stack && b.count ? find_prefix(&b) : hf_nomem(h);
    h->mlx_norms = h->family->flags & HF_DELTA && has_turned_convolutions(h);
    bool encoder = h->family->flags & HF_ENCODER;
    if (rc == 0 && !encoder) rc = head(&b);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct st_tensor *t = safetensors_at(h->st, i);
        if (encoder) rc = encoder_tensor(&b, t);
        else if (!strncmp(t->name, b.prefix, b.n_prefix)) rc = text_tensor(&b, t);
    }
    if (rc == 0) rc = check_all(&b);
    mem_free(b.used);
    mem_free(b.stack);
    mem_free(b.count);
    return rc;
}
