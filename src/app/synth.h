/* synth.h - models with random weights in the shapes of published ones: for measuring speed without a download.
 *
 *   synth_shapes.c   the published hyper-parameters     synth_vocab.c   a vocabulary of the right size and kind
 *   synth_recipe.c   which tensor gets which type       synth.c         keys, tensors, the file
 *
 * The same shape, type, options and seed give the same bytes on every machine.  Threads: one at a time. */
#ifndef HEARTH_APP_SYNTH_H
#define HEARTH_APP_SYNTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/err.h"
#include "format/gguf.h"
#include "quant/quant.h"

enum synth_vocab { VOCAB_LLAMA3, VOCAB_QWEN, VOCAB_GEMMA, VOCAB_PHI3, VOCAB_MISTRAL };

struct synth_shape {
    const char *name, *model, *arch;       /* "llama-1b", "Llama-3.2-1B", "llama" */
    enum synth_vocab vocab;
    uint32_t L, D, H, K, E, F, V, ctx;     /* K: key/value heads, E: size of a head */
    uint32_t experts, used, Fe;            /* 0: dense */
    uint32_t window;                       /* 0: none */
    float eps, base;
    float llama3;                          /* factor of Llama 3's rotary scaling, 0: none */
    float linear;                          /* factor of linear rotary scaling, 0: none */
    bool tied;                             /* the embedding is the output matrix too */
    bool bias, head_norms, post_norms;     /* on q, k and v; of q and k; behind attention and feed-forward */
    bool fused;                            /* q, k, v are one matrix, gate and up another */
};

const struct synth_shape *synth_shape_at(size_t i);                /* NULL past the end */
const struct synth_shape *synth_shape_find(const char *name);      /* NULL when there is none */

/* ---- types ---- */

struct synth_recipe {
    const char *name;
    int32_t file_type;                     /* of general.file_type, -1: none fits */
    enum dtype base;                       /* of the matrices */
    enum dtype more;                       /* of attn_v and ffn_down where a mixture spends more bits */
    enum dtype early;                      /* of attn_v and ffn_down in the first layers */
    bool pure;                             /* the output matrix has the base type too */
};

/* A mixture or a tensor type by name; ERR_ARG says which there are. */
int synth_recipe_find(struct synth_recipe *out, const char *name, struct err *err);

/* A matrix of the model: rows of n_in numbers.  name is the part that all layers share ("attn_q"). */
struct synth_matrix { const char *name; uint64_t n_in; uint32_t layer, n_layer; bool output; };
enum dtype synth_type(const struct synth_recipe *r, const struct synth_matrix *m);

/* ---- the file ---- */

struct synth {
    const struct synth_shape *shape;
    struct synth_recipe recipe;
    uint32_t n_layer;                      /* 0: the shape's own */
    uint64_t seed;
    /* Called now and then with the bytes of tensors that are made; false stops with ERR_CANCELLED.  May be NULL. */
    bool (*progress)(uint64_t done, uint64_t total);
    /* Filled by synth_put. */
    uint64_t total, n_values;
    /* Inner workings. */
    struct arena arena;
    struct quant_random random;
    uint64_t done;
};

/* Puts keys, vocabulary and tensors into w.  s must stay as it is until w is closed, then synth_release.  Failures are
 * reported here, or by the writer when it saves. */
int synth_put(struct synth *s, struct gguf_writer *w, struct err *err);
/* Only counts: fills total and n_values. */
int synth_measure(struct synth *s, struct err *err);
void synth_release(struct synth *s);

/* The vocabulary's keys; texts come from the arena. */
int synth_put_vocab(struct gguf_writer *w, enum synth_vocab kind, uint32_t n_tokens, struct arena *a, struct err *err);

#endif
