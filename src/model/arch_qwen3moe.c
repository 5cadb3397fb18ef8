/* arch_qwen3moe.c - Qwen 3 with experts: softmax over all, top k, weights renormalised.  Source: arXiv 2505.09388.
 * The language half of Qwen3-VL with experts is the same for text. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_QKNORM, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_qwen3moe = { "qwen3moe", ROPE_HALF, layer, 0 };
const struct arch arch_qwen3vlmoe = { "qwen3vlmoe", ROPE_HALF, layer, 0 };
