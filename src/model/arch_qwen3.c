/* arch_qwen3.c - Qwen 3 dense: RMS norm on each q and k head before the rotation, no biases.  Source: arXiv 2505.09388.
 * The language half of Qwen3-VL is the same for text: its three positions are then equal. */
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
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_qwen3 = { "qwen3", ROPE_HALF, layer, 0 };
const struct arch arch_qwen3vl = { "qwen3vl", ROPE_HALF, layer, 0 };
