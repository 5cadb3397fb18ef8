/* recipe.h - which tensor of a model gets which type: the field's mixtures as a table of rules.
 *
 * A recipe has a default type, and rules that spend more (or less) on tensors that matter more (or less); the first rule that
 * fits decides.  Threads: pure functions. */
#ifndef HEARTH_QUANT_RECIPE_H
#define HEARTH_QUANT_RECIPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "format/gguf.h"

enum recipe_id {
#define RECIPE(name, file_type, type) RECIPE_##name,
#include "quant/recipe.def"
#undef RECIPE
    N_RECIPE
};

struct recipe { const char *name; uint32_t file_type; enum dtype type; };

const struct recipe *recipe_at(enum recipe_id r);
/* Case does not matter; MXFP4 means MXFP4_MOE.  ERR_ARG says which there are. */
int recipe_find(enum recipe_id *out, const char *name, struct err *err);

/* What the rules ask of a model. */
struct recipe_model {
    char arch[64];
    uint32_t n_layer, n_expert;
    uint32_t gqa;              /* query heads per key/value head */
    uint32_t n_attn_v;         /* tensors that make attention's values */
    bool tied;                 /* no output.weight: the embedding is the output matrix too */
    bool imatrix;              /* importance is known */
};
void recipe_read_model(struct recipe_model *m, const struct gguf *g, bool imatrix);

/* Whether a tensor is left as it is: norms, biases, routers, small convolutions, positions. */
bool recipe_keeps(const struct gguf_tensor *t);
/* Whether this tensor makes attention's values: the rules count those. */
bool recipe_is_attn_v(const char *name);
/* The type of t; v says how many attn_v tensors came before it.  *fallback (may be NULL): the rows of t are no whole number of
 * the blocks that the rule asked for, so a type with smaller ones was taken. */
enum dtype recipe_type(enum recipe_id r, const struct recipe_model *m, const struct gguf_tensor *t, uint32_t v,
                       bool *fallback);
/* Whether nobody should pack t in this type without an importance matrix. */
bool recipe_needs_imatrix(enum recipe_id r, const char *name, enum dtype type);

#endif
