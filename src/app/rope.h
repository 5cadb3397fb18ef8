/* rope.h - the options for contexts other than a model's own, for every command that evaluates one. */
#ifndef HEARTH_APP_ROPE_H
#define HEARTH_APP_ROPE_H

#include "app/args.h"
#include "hearth.h"

/* The rows; AT(field) is the offset of the command's field, `rope` its struct hearth_rope_options.  The words of rope-scaling
 * are HEARTH_ROPE_* in order. */
#define ROPE_ROWS(AT) \
    { "rope-scaling", NULL, 0, OPT_CHOICE, "file|none|linear|ntk|yarn|llama3|longrope", "file", \
      "how positions are stretched to longer contexts", NULL, AT(rope.scaling), 0, 0 }, \
    { "rope-scale", NULL, 0, OPT_F32, "X", "the file's", "by how much; without --rope-scaling or one in the file linear", NULL, \
      AT(rope.factor), 1e-3, 1e6 }, \
    { "rope-freq-base", NULL, 0, OPT_F32, "X", "the file's", "base of the rotary frequencies", NULL, AT(rope.base), 1, 1e12 }, \
    { "rope-orig-ctx", "yarn-orig-ctx", 0, OPT_U32, "N", "the file's", "context that the model was trained on", NULL, \
      AT(rope.original_ctx), 1, 1 << 28 }, \
    { "yarn-attn-factor", NULL, 0, OPT_F32, "X", "1", "yarn: on top of its own factor of the attention", NULL, \
      AT(rope.attn_factor), 1e-3, 1e3 }, \
    { "yarn-ext-factor", NULL, 0, OPT_F32, "X", "1", "yarn: how far short waves stay as they are", NULL, AT(rope.ext_factor), \
      1e-3, 1 }, \
    { "yarn-beta-fast", NULL, 0, OPT_F32, "X", "32", "yarn: waves with more turns stay as they are", NULL, AT(rope.beta_fast), \
      1e-3, 1e6 }, \
    { "yarn-beta-slow", NULL, 0, OPT_F32, "X", "1", "yarn: waves with fewer turns are stretched", NULL, AT(rope.beta_slow), \
      1e-3, 1e6 }, \
    { "llama3-low-freq", NULL, 0, OPT_F32, "X", "1", "llama3: waves with fewer turns are stretched", NULL, \
      AT(rope.low_freq_factor), 1e-3, 1e6 }, \
    { "llama3-high-freq", NULL, 0, OPT_F32, "X", "4", "llama3: waves with more turns stay as they are", NULL, \
      AT(rope.high_freq_factor), 1e-3, 1e6 }

#endif
