/* arch_deepseek2.c - DeepSeek V2, V2-Lite, V2.5, V3, R1, V3.1, Kimi K2, GLM-4.7-Flash: latent attention, leading dense layers,
 * then experts, chosen from the best groups where the file has groups, and a shared one.  Source: arXiv 2405.04434, 2412.19437.
 *
 * Scores are scaled for the longer context by (0.1 m ln factor + 1)^2 and the rotation is not, as the configurations with
 * mscale = mscale_all_dim = m say; files hold 0.1 m. */
#include <math.h>

#include "base/buf.h"
#include "base/detmath.h"
#include "model/arch.h"

static const struct step layer[] = {
    { S_NORM, "attn_norm" },
    { S_LATENT, 0 },
    { S_OUT, 0 },
    { S_ADD, 0 },
    { S_NORM, "ffn_norm" },
    { S_LEAD_OR_MOE, 0 },
    { S_ADD, 0 },
    { S_END, 0 },
};

static float score_scale(struct hparams *h, const struct gguf *g)
{
    double m = 1, ln = det_log(h->rope_factor);
    float per_ln = 0;
    if (h->scaling == SCALING_YARN) {
        hparam_f32(g, "rope.scaling.yarn_log_multiplier", &per_ln);
        h->yarn_log_multiplier = per_ln != 0;                 /* the rotation keeps its magnitude */
        m = h->rope_attn_factor * (per_ln != 0 ? 1 + per_ln * ln : 1 + 0.1 * ln);
    }
    return (float)(m * m / sqrt(h->dk ? h->dk : 1));
}

/* Older files name no way to choose: those whose choice has a bias use sigmoid scores. */
static void setup(struct hparams *h, const struct gguf *g)
{
    uint32_t gate = 0;
    hparams_skip_nextn(h, g);
    hparams_routing(h, g);
    hparam_u32(g, "expert_gating_func", &gate);
    char name[64];
    fmt_into(name, sizeof name, "blk.%u.exp_probs_b.bias", h->n_dense);
    if (!gate && gguf_tensor(g, name)) h->route.gate = ROUTE_SIGMOID;
    hparam_u32(g, "attention.key_length_mla", &h->dk);
    hparam_u32(g, "attention.value_length_mla", &h->dv);
    hparam_f32(g, "attention.temperature_scale", &h->qtemp);
    h->attn_scale = score_scale(h, g);
}

const struct arch arch_deepseek2 = { "deepseek2", ROPE_PAIR, layer, setup };
