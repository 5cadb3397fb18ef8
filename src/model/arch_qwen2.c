/* arch_qwen2.c - Qwen 2 and 2.5 dense: biases on q, k and v.  Source: arXiv 2407.10671.  The language half of Qwen2-VL and
 * 2.5-VL is the same for text: its three positions are then equal. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

const struct arch arch_qwen2 = { "qwen2", ROPE_HALF, layer, 0 };
const struct arch arch_qwen2vl = { "qwen2vl", ROPE_HALF, layer, 0 };
