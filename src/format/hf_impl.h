/* hf_impl.h - what the files that translate a Hugging Face folder share; nobody else includes it.
 *
 *   hf.c         the folder, its files, the result      hf_tok.c    tokenizer.json
 *   hf_config.c  config.json -> hyper-parameters        hf_vocab.c  tokens of either source -> keys
 *   hf_tensor.c  names and shapes of tensors            hf_spm.c    tokenizer.model
 *   hf_split.c   quantised matrices                     hf_oss.c    the experts of gpt-oss
 *   hf_rope.c    scaling of rotary positions            hf_pre.c    regular expressions -> names of splitting rules
 *   hf_hybrid.c  layers with a state of fixed size      hf_bert.c   encoders
 *   hf_gemma4.c  Gemma 4's configuration                hf_tekken.c tekken.json
 *   hf_defaults.def  what absent keys mean              hf_modules.inc  names of modules */
#ifndef HEARTH_FORMAT_HF_IMPL_H
#define HEARTH_FORMAT_HF_IMPL_H

#include "base/arena.h"
#include "base/json.h"
#include "base/os.h"
#include "format/gguf_impl.h"
#include "format/hf.h"
#include "format/safetensors.h"

enum {
    HF_MAX_CONFIG = 8 << 20,                /* bytes of the small JSON files */
    HF_MAX_TOKENIZER = 256 << 20,           /* of tokenizer.json and tokenizer.model */
    HF_MAX_IDS = 1 << 20,                   /* token ids */
    HF_MAX_LAYERS = 4096,
    HF_MAX_EXPERTS = 4096
};

/* What differs between the families; rows: hf.c. */
enum {
    HF_HALF = 1 << 0,                       /* GGUF's Q and K are permuted, these are not */
    HF_PLUS_ONE = 1 << 1,                   /* norms are stored without their +1 */
    HF_SANDWICH = 1 << 2,                   /* norms before and after attention and feed-forward */
    HF_POST = 1 << 3,                       /* only after them */
    HF_NAMED_POST = 1 << 4,                 /* what precedes the feed-forward is called post_attention_norm in GGUF too */
    HF_GLM4 = 1 << 5,                       /* the sandwich under GLM's names */
    HF_QKNORM = 1 << 6,
    HF_WINDOW = 1 << 7,                     /* sliding_window counts, in every layer */
    HF_FUSED = 1 << 8,                      /* one matrix for q, k, v */
    HF_GATE_UP = 1 << 9,                    /* one for gate and up */
    HF_MOE = 1 << 10,
    HF_LEAD = 1 << 11,                      /* some layers have no experts */
    HF_SHARED = 1 << 12,                    /* an expert that every token meets */
    HF_ROUTED = 1 << 13,                    /* the router's settings are keys */
    HF_LATENT = 1 << 14,                    /* DeepSeek's attention */
    HF_OSS = 1 << 15,                       /* gpt-oss */
    HF_LAYERNORM = 1 << 16,
    HF_DELTA = 1 << 17,                     /* Qwen's gated delta nets between layers of attention */
    HF_CONV = 1 << 18,                      /* LFM2's short convolutions between them */
    HF_BERT = 1 << 19,                      /* encoders: BERT and the RoBERTas */
    HF_NOMIC = 1 << 20,
    HF_MODERN = 1 << 21,
    HF_ENCODER = HF_BERT | HF_NOMIC | HF_MODERN,
    HF_GEMMA4 = 1 << 22,
    HF_PLAIN = 1 << 23,                     /* a feed-forward without gate, biases everywhere */
    HF_HYBRID = 1 << 24                     /* Granite 4 */
};
struct hf_family {
    const char *type, *class;               /* model_type of config.json; the class that writes it */
    const char *arch;                       /* general.architecture */
    unsigned flags;
};

struct hf {
    struct arena arena;                     /* lives as long as the result */
    const char *folder;
    const struct hf_family *family;
    struct json *config, *text;             /* config.json; its text_config, or config itself */
    struct json *generation, *tokenizer, *special;      /* the other small files; NULL when absent */
    const char *config_path;
    struct safetensors *st;                 /* NULL: no weights */
    struct safetensors *dense[2];           /* the layers behind the pooling; NULL: none */
    struct gguf_writer *w;
    struct buf header;                      /* the keys as a GGUF file without tensors */
    struct gguf_tensor *tensor;
    size_t n_tensors, cap_tensors;
    uint32_t n_layer, n_head, n_head_kv, n_embd, head_dim, n_rot, n_expert;
    uint32_t n_shared;                      /* the last layers, which use keys and values of others */
    uint32_t n_next;                        /* of the layers the last, when it guesses further tokens: 1 */
    bool mlx_norms;                         /* norms have their +1 already */
    const char *conversation;               /* the template for a folder that has none, or NULL */
    struct err *err;
};

/* ---- hf.c ---- */
char *hf_path(struct hf *h, const char *name);                       /* in the folder; NULL without memory */
int   hf_nomem(const struct hf *h);
/* The file of the folder, parsed; *out NULL when there is none. */
int   hf_json(struct hf *h, const char *name, struct json **out);
/* A tensor of the result; its name is copied.  NULL without memory, with the error set. */
struct gguf_tensor *hf_add(struct hf *h, const char *name);

/* The i-th family of an architecture, NULL past the last. */
const struct hf_family *hf_family_of_arch(struct gguf_str arch, size_t i);

/* ---- hf_config.c ---- */
int  hf_config(struct hf *h);
/* A number of the text model's config; false when absent or null.  An error when it is something else or out of range. */
int  hf_u32(struct hf *h, const struct json *j, const char *key, uint32_t *out);
bool hf_num(const struct json *j, const char *key, double *out);
void hf_put_u32(struct hf *h, const char *key, uint32_t v);          /* "{arch}.key" */
void hf_put_f32(struct hf *h, const char *key, float v);

bool hf_is_true(const struct hf *h, const char *key);
int  hf_unsupported(struct hf *h, const char *what);                 /* "config.json: WHAT is not supported" */
/* A number that the text model's config must have, 1 to max. */
int  hf_need(struct hf *h, const char *key, uint32_t max, uint32_t *out);
/* Copies a number under GGUF's name where the file has it. */
int  hf_copy_u32(struct hf *h, const char *from, const char *to);

/* The i-th text of the list under key of the text model's config; NULL when there is none. */
const char *hf_listed(const struct hf *h, const char *key, uint32_t i);

/* ---- hf_hybrid.c ---- */
/* The keys of the layers that are no attention. */
int hf_hybrid_config(struct hf *h);
/* What a family's feed-forward is wide. */
int hf_conv_width(struct hf *h, uint32_t *out);

/* ---- hf_gemma4.c ---- */
int hf_gemma4_config(struct hf *h);

/* ---- hf_bert.c ---- */
int hf_encoder_config(struct hf *h);
int hf_pooling(struct hf *h);
/* A tensor of an encoder that belongs to no layer, by its name behind the model's prefix: 1 when it is known (added already, or a
 * matrix to be added as *gguf, or without use: *gguf is NULL), 0 when not, or an error. */
int hf_encoder_tensor(struct hf *h, const char *name, const struct st_tensor *t, bool *matrix, const char **gguf);

/* ---- hf_rope.c ---- */
int hf_rope(struct hf *h);

/* ---- hf_tensor.c ---- */
int hf_tensors(struct hf *h);
/* What stands behind "mtp." in the name of a tensor of Qwen's blocks that guess further tokens, which are beside the model; NULL:
 * it is another's. */
const char *hf_after_mtp(const struct hf *h, const char *name);
/* A vector of n float32 in the arena, under a GGUF name. */
float *hf_add_vector(struct hf *h, const char *name, uint64_t n);
/* The numbers of t from `first` on as float32 in the arena, as ne[1] rows of ne[0] (a vector: 1 row); *out (may be NULL). */
int hf_add_numbers(struct hf *h, const struct st_tensor *t, const char *name, uint64_t first, const uint64_t ne[2], float **out);
/* An error about a tensor. */
int hf_bad_tensor(struct hf *h, const struct st_tensor *t, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* GGUF's name ("attn_q") of a layer's module ("self_attn.q_proj"), which may be a matrix, one of an expert or something else. */
enum hf_matrix { HF_UNKNOWN_MODULE, HF_NO_MATRIX, HF_MATRIX, HF_EXPERT };
enum hf_matrix hf_matrix_name(const struct hf_family *f, const char *name, size_t n, const char **gguf, uint32_t *expert);

/* ---- hf_oss.c ---- */
/* The tensor `rest` of layer il if it belongs to gpt-oss's experts: 1, 0 when not, or an error. */
int hf_oss_tensor(struct hf *h, bool *used, uint32_t il, const char *rest, const struct st_tensor *t);
/* Value i of a vector of F32, F16 or BF16. */
float hf_number(const uint8_t *p, enum dtype t, uint64_t i);
bool hf_float_type(enum st_type t, enum dtype *out);

/* The layers behind the pooling of a sentence encoder, from folders of their own. */
int hf_dense(struct hf *h);

/* ---- hf_split.c ---- */
/* A quantised matrix or stack of them: fills in type, shape, data and bytes; used: by tensor, for those that belong to it. */
int hf_split(struct hf *h, bool *used, const struct st_tensor *t, struct gguf_tensor *out);
/* The rows of half k (0 or 1) of every matrix of a quantised tensor, which has n of them; NULL when rows cannot be parted there,
 * or without memory. */
struct split *hf_split_half(struct hf *h, const struct gguf_tensor *t, uint64_t n, unsigned k);

/* ---- hf_vocab.c ---- */
/* GGUF's numbers; HF_LITERAL is a user-defined one that is cut out before text is normalised, until somebody decides. */
enum { HF_NORMAL = 1, HF_UNKNOWN = 2, HF_CONTROL = 3, HF_USER = 4, HF_UNUSED = 5, HF_BYTE = 6, HF_LITERAL = 7 };
struct hf_vocab {
    struct gguf_str *text;                  /* by id; .s NULL: no such token */
    float *score;
    int32_t *type;
    uint32_t n, cap;
    struct gguf_str *merge;                 /* "left right" */
    size_t n_merges, cap_merges;
    int32_t *strip;                         /* pairs */
    size_t n_strip, cap_strip;
    struct arena arena;                     /* of the texts */
    int32_t bos, eos, unk, pad;             /* -1: none */
    int add_bos, add_eos;                   /* -1: not said */
};
/* Makes id a token with this text; ERR_* with a message. */
int  hf_vocab_put(struct hf *h, struct hf_vocab *v, uint64_t id, struct gguf_str text, int32_t type, float score);
bool hf_vocab_strip(struct hf_vocab *v, uint32_t id, int32_t flags);
/* The id of a text by walking all tokens; -1 when there is none. */
int32_t hf_vocab_find(const struct hf_vocab *v, const char *text);
/* Tokens, types, special ids and what goes with them, as keys. */
int  hf_vocab_keys(struct hf *h, struct hf_vocab *v);
void hf_vocab_release(struct hf_vocab *v);

/* ---- the two sources ---- */
int hf_tokenizer_json(struct hf *h, const char *path);
int hf_tokenizer_model(struct hf *h, const char *path);
int hf_tokenizer_tekken(struct hf *h, const char *path);

/* ---- hf_pre.c ---- */
/* The name of the splitting rule for a list of stages; NULL when no rule does what they do. */
const char *hf_pre_name(const char *stages, bool ignore_merges);
/* The expression that a ByteLevel stage stands for. */
extern const char hf_pre_gpt2[];

#endif
