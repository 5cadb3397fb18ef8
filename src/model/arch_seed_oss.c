/* arch_seed_oss.c - Seed-OSS: the llama block with biases on q, k and v.  Source: the model's published configuration;
 * compared with the field's standard engine. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "post_attention_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_seed_oss = { "seed_oss", ROPE_HALF, layer, 0 };
