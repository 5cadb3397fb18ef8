/* arch.h - an architecture is a table of steps.
 *
 * `struct arch` names the steps of one layer; loading, shape checks, the graph and the size of the KV cache all follow from
 * walking that table once with a builder.  What only one family needs is a step of its own, or its `setup`, which fills
 * hyper-parameters that its files leave implicit.
 * Threads: one per builder. */
#ifndef HEARTH_MODEL_ARCH_H
#define HEARTH_MODEL_ARCH_H

#include "base/err.h"
#include "format/gguf.h"
#include "graph/graph.h"

enum step_kind {
    S_NORM,        /* cur = norm(x) with weight `name`; a LayerNorm has a bias where the file has one */
    S_QKV,         /* q, k, v = projections of cur, with biases where the file has them, separate or fused */
    S_QKNORM,      /* RMSNorm of every head of q and k */
    S_ROPE,        /* rotary positions on q and k */
    S_QTEMP,       /* q scaled by position (mistral3) */
    S_ATTN,        /* k, v into the cache; cur = attention */
    S_OUT,         /* cur = output projection of cur */
    S_POSTNORM,    /* cur = norm(cur) with weight `name` */
    S_ADD,         /* x += cur */
    S_FFN,         /* cur = down(act(gate(cur)) * up(cur)); gate and up separate or fused in ffn_up */
    S_MOE,         /* the same per chosen expert, weighted */
    S_FFN_OR_MOE,  /* S_MOE where the file has experts, else S_FFN */
    S_POSITIONS,   /* x += learned positions, once before the first layer */
    S_INPUT,       /* cur = x: for a block that begins without a norm */
    S_KEEP,        /* kept = cur: for a block whose halves read the same norm */
    S_TAKE,        /* cur = kept */
    S_SCALE,       /* cur *= the file's residual_scale (granite) */
    S_QKNORM_ALL,  /* RMSNorm of the whole of q and of k */
    S_QKNORM_MAY,  /* S_QKNORM in layers that have such norms */
    S_ROPE_SOME,   /* S_ROPE in layers that are not `still` */
    S_MLP,         /* cur = down(act(up(cur))) */
    S_MOE_SHARED,  /* S_MOE plus an expert that every token meets, where the file has one */
    S_MOE_GATED,   /* the same, and that expert's part is scaled by a gate of its own */
    S_ROUTED,      /* S_MOE_SHARED in layers that have a router, S_FFN in the others */
    S_ATTN_SINKS,  /* S_ATTN with a learned score per head that has no value (gpt-oss) */
    S_LATENT,      /* S_QKV, S_ROPE and S_ATTN of latent attention (deepseek2) */
    S_INPUTS,      /* gemma4: before the first layer, every layer's own part of the input */
    S_ATTN_SHARED, /* gemma4: S_QKV to S_OUT; heads of sliding layers have their own size, some layers use another's cache */
    S_FFN_BOTH,    /* gemma4: cur = feed-forward of the norm of x, in layers with experts plus theirs */
    S_ADD_INPUTS,  /* gemma4: x += the layer's own part of the input; x *= the layer's scale */
    S_MOE_CLAMPED, /* S_MOE with biases and a clamped gated unit (gpt-oss) */
    S_LEAD_OR_MOE, /* S_FFN in the leading dense layers, S_MOE_SHARED in the others */
    S_TYPES,       /* x += the vector of the token's type (first or second text), once before the first layer */
    S_FIRSTNORM,   /* x = norm(x) with weight `name`, once before the first layer */
    S_NORM_MAY,    /* S_NORM in layers that have it, S_INPUT in others */
    S_XNORM,       /* x = norm(x) with weight `name` */
    S_DELTA,       /* cur = gated delta net of cur */
    S_SHORTCONV,   /* cur = gated short convolution of cur */
    S_QKV_GATED,   /* S_QKV where each head has a gate beside its query */
    S_GATE,        /* cur *= sigmoid of these gates */
    S_END
};

struct step { enum step_kind kind; const char *name; };

enum rope_mode { ROPE_PAIR = 0, ROPE_HALF = 1 };

/* enum vec_act of the device layer; gelu: its tanh form */
enum { ACT_SILU = 0, ACT_GELU = 1, ACT_GELU_ERF = 2, ACT_SIGMOID = 4, ACT_TANH = 5 };

struct hparams {
    uint32_t n_layer, n_embd, n_vocab, n_ctx_train;
    uint32_t *n_head, *n_kv, *n_ff;          /* [n_layer] */
    bool *sliding;                           /* [n_layer] */
    uint32_t dk, dv, n_rot;
    enum { NORM_RMS, NORM_LAYER } norm;      /* of S_NORM and S_POSTNORM */
    float eps;
    float rope_base, rope_base_sliding;
    enum rope_scaling { SCALING_FILE, SCALING_NONE, SCALING_LINEAR, SCALING_NTK, SCALING_YARN, SCALING_LLAMA3,
                        SCALING_LONGROPE } scaling;                      /* never FILE here */
    float rope_factor, rope_attn_factor, yarn_fast, yarn_slow, yarn_ext, yarn_log_multiplier;
    float llama3_low, llama3_high;
    uint32_t n_ctx_orig;
    bool scale_sliding;                      /* sliding layers use the rope scaling too */
    uint32_t window;                         /* of sliding layers; 0: none */
    float attn_scale, attn_softcap, final_softcap, embed_scale;
    float qtemp;                             /* mistral3 */
    int32_t act;                             /* ACT_* */
    uint32_t n_expert, n_expert_used, n_ff_expert;
    struct route route;
    float logit_scale;
    bool *still;                             /* [n_layer] without rotary positions (S_ROPE_SOME) */
    uint32_t n_dense;                        /* leading layers without experts */
    uint32_t n_ff_shared;                    /* of the shared expert; 0: there is none */
    uint32_t n_position;                     /* a session can have at most so many positions; 0: any number */
    enum rope_mode rope;
    uint32_t dk_sliding, n_rot_sliding;      /* gemma4: a head's size and its rotated part in sliding layers */
    bool *recurrent;                         /* [n_layer] layers that take recurrent_layer's steps and have no keys and values */
    const struct step *recurrent_layer;
    struct recurrence recur;
    bool bidirectional;                      /* every position sees the whole text: no text can be generated */
    uint32_t n_segment;                      /* rows of the table of token types (S_TYPES) */
    int pooling;                             /* POOL_* as the file says, -1 when it does not */
    int rank_pooling;                        /* what the classifier reads; 0: an encoder's first position, else the last */
    int32_t rank_act;                        /* ACT_* behind the classifier's first layer */
    const char *final_norm;                  /* before the head, or NULL */
    bool guesses;                            /* block n_layer guesses the token behind the next one */
};

enum { POOL_NONE, POOL_MEAN, POOL_CLS, POOL_LAST, POOL_RANK };   /* numbers of the file's pooling_type */

struct arch {
    const char *name;
    enum rope_mode rope;
    const struct step *layer;                /* ends with S_END */
    void (*setup)(struct hparams *h, const struct gguf *g);   /* or NULL */
};

/* NULL when Hearth does not know it. */
const struct arch *arch_find(const char *name, size_t n);
/* The i-th known architecture, NULL past the end. */
const struct arch *arch_at(size_t i);

/* What takes the place of what the file says about rotary positions; zeros: nothing. */
struct rope_options {
    enum rope_scaling scaling;
    float base, factor;
    uint32_t n_ctx_orig;
    float attn_factor, ext, fast, slow;      /* of YaRN */
    float low, high;                         /* of llama 3 */
};

/* ---- hyper-parameters (hparams.c) ---- */
/* rope may be NULL. */
int hparams_read(struct hparams *h, const struct arch *a, const struct gguf *g, const struct rope_options *rope,
                 struct arena *arena, struct err *err);
/* "{arch}.{key}" of the file; false when absent. */
bool hparam_u32(const struct gguf *g, const char *key, uint32_t *out);
bool hparam_f32(const struct gguf *g, const char *key, float *out);
/* Entry i of an array of integers or bools (or the scalar itself); 0 when absent. */
int64_t hparam_item(const struct gguf *g, const char *key, uint32_t i);

/* For setups: how the file says that experts are chosen and shared (softmax, no norm, scale 1 where it does not). */
void hparams_routing(struct hparams *h, const struct gguf *g);
/* For setups: the last nextn_predict_layers of the blocks only guess further tokens; they are no layers of the model.  The first
 * of them becomes its head for guesses where the file has all of it. */
void hparams_skip_nextn(struct hparams *h, const struct gguf *g);

/* ---- building (build.c) ---- */
struct builder {
    const struct gguf *gguf;
    const struct arch *arch;
    const struct hparams *h;
    struct graph *g;
    bool long_context;                       /* LongRoPE: the session's context exceeds the original one */
    uint32_t il;                             /* the layer being built */
    vid per_layer;                           /* gemma4: every layer's own part of the input */
    vid x, cur, q, k, v, kept, gate;
    vid angles[2];                           /* for full and sliding layers */
    struct err *err;
    int rc;                                  /* sticky */
};

/* Binds a tensor of shape ne0 x ne1 x ne2 (0: one dimension less).  NULL when it is missing: an error when required.  The
 * %u of name is the layer.  Its symbol has another name, so that the C library's bind() stays reachable. */
const struct weight *bind(struct builder *b, const char *name, const char *suffix, const uint64_t ne[3], bool required)
    __asm__("hearth_model_bind");
bool flat_tensor(const struct builder *b, const char *name);     /* its third dimension is 1 or it is not there */
vid matmul(struct builder *b, vid x, const char *name, uint32_t n_in, uint32_t n_out);
/* False, and an error that names the key, when n is 0: a width that the file must state. */
bool known(struct builder *b, uint32_t n, const char *key);
/* In place: RMSNorm of n_head heads of width numbers; name NULL: without a weight. */
void head_norm(struct builder *b, vid x, const char *name, uint32_t n_head, uint32_t width);
/* n[1] numbers for each of n[0] heads, n[2] apart in x, go to y, n[3] apart. */
void copy_heads(struct builder *b, vid x, vid y, const uint32_t n[4]);
/* The experts' part of cur; their router reads scored, their weights are multiplied by each expert's own scale where the file
 * has it. */
void moe(struct builder *b, vid scored);
bool has_tensor(const struct builder *b, const char *name);      /* "attn_q_norm": its weight, in this layer */

/* What a graph gives for each wanted row: logits (LONG: with LongRoPE's factors for long contexts), the hidden state after the
 * last norm, what the model's head for whole texts makes of a pooled state (its INPUT), or the logits of its head for guesses. */
enum graph_kind { GRAPH_TEXT, GRAPH_TEXT_LONG, GRAPH_STATES, GRAPH_HEAD, GRAPH_NEXT };
/* gguf and h must outlive the graph.  *out is the caller's (graph_close). */
int model_graph(struct graph **out, const struct arch *a, const struct hparams *h, const struct gguf *g,
                enum graph_kind kind, struct err *err);
/* The head projects embeddings; other heads rank. */
bool model_has_dense(const struct gguf *g);

/* In a builder at il = n_layer: b->x = what the head for guesses makes of the text's tokens and the states of those before them
 * (b->cur, < 0: all of them are kept ones); and of b->x, its states (b->cur). */
void next_input(struct builder *b);
void next_output(struct builder *b);
/* The head's matrix and what is done to logits, of b->cur: `own` where the file has it, else the model's. */
void logits_of(struct builder *b, const char *own);

/* ---- steps (steps_*.c) ---- */
typedef void step_fn(struct builder *b, const struct step *s);
step_fn step_norm, step_postnorm, step_add, step_qkv, step_qknorm, step_rope, step_qtemp, step_attn, step_out, step_ffn,
    step_moe, step_ffn_or_moe, step_positions, step_input, step_keep, step_take, step_scale, step_qknorm_all, step_qknorm_may,
    step_rope_some, step_mlp, step_moe_shared, step_moe_gated, step_lead_or_moe, step_routed,
    step_attn_sinks, step_moe_clamped, step_latent,
    step_inputs, step_attn_shared, step_ffn_both, step_add_inputs,
    step_types, step_firstnorm, step_norm_may, step_xnorm, step_delta, step_shortconv, step_qkv_gated, step_gate;
/* Angles of n_rot numbers without scaling or factors of the file. */
vid rope_plain(struct builder *b, double base, uint32_t n_rot);
/* The graph's rotary angles, made once before the first layer (steps_rope.c). */
void rope_tables(struct builder *b);

#endif
