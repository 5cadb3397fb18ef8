/* arch_glm4.c - GLM-4-0414 and GLM-Z1, dense: half of each head rotates; norms before and after each half; gate and up are fused.
 * GLM-4-9B and ChatGLM 3 (chatglm) have the norms before only.
 * Source: arXiv 2406.12793; reference logits.  Files of the GLM-4V models name sections of the rotation and store rows so that
 * the halves of a head rotate; for text their sections all count the same positions. */
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_QKV, 0 },
    { S_ROPE, 0 },
    { S_ATTN, 0 },
    { S_OUT, 0 },
    { S_POSTNORM, "post_attention_norm" },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_FFN, 0 },
    { S_POSTNORM, "post_ffw_norm" },
    { S_ADD, 0 },
    { S_END, 0 },
};

static const struct step layer3[] = {
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

static void setup(struct hparams *h, const struct gguf *g)
{
    if (hparam_item(g, "rope.dimension_sections", 0)) h->rope = ROPE_HALF;
}

const struct arch arch_glm4 = { "glm4", ROPE_PAIR, layer, setup };
const struct arch arch_chatglm = { "chatglm", ROPE_PAIR, layer3, 0 };
