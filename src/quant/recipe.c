#include "quant/recipe.h"

#include <string.h>

#include "base/buf.h"

static const struct recipe recipe[N_RECIPE] = {
#define RECIPE(name, file_type, type) { #name, file_type, DT_##type },
#include "quant/recipe.def"
#undef RECIPE
};

const struct recipe *recipe_at(enum recipe_id r) { return &recipe[r]; }

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if ((*a >= 'a' && *a <= 'z' ? *a - 32 : *a) != *b) return false;
    return !*a && !*b;
}

int recipe_find(enum recipe_id *out, const char *name, struct err *err)
{
    struct buf b = { 0 };
    if (same_name(name, "MXFP4")) name = recipe[RECIPE_MXFP4_MOE].name;
    for (unsigned i = 0; i < N_RECIPE; i++)
        if (same_name(name, recipe[i].name)) {
            *out = (enum recipe_id)i;
            return 0;
        }
    for (unsigned i = 0; i < N_RECIPE; i++) buf_printf(&b, "%s%s", i ? ", " : "", recipe[i].name);
    int rc = err_set(err, ERR_ARG, "there is no type \"%.20s\"; there are %s", name, b.data ? b.data : "");
    buf_release(&b);
    return rc;
}

/* ---- names ---- */

enum what { OUTPUT, EMBED, ATTN_V, ATTN_K, ATTN_Q, ATTN_OUT, FFN_DOWN, FFN_UP, OTHER };

static bool has(const char *name, const char *part) { return strstr(name, part) != NULL; }

bool recipe_is_attn_v(const char *name)
{
    return has(name, "attn_v.weight") || has(name, "attn_qkv.weight") || has(name, "attn_kv_b.weight");
}

static enum what what_is(const struct recipe_model *m, const char *name)
{
    bool embed = !strcmp(name, "token_embd.weight") || !strcmp(name, "per_layer_token_embd.weight");
    if (!strcmp(name, "output.weight") || (embed && m->tied)) return OUTPUT;
    if (embed) return EMBED;
    if (recipe_is_attn_v(name)) return ATTN_V;
    if (has(name, "attn_k.weight")) return ATTN_K;
    if (has(name, "attn_q.weight")) return ATTN_Q;
    if (has(name, "attn_output.weight")) return ATTN_OUT;
    if (has(name, "ffn_down")) return FFN_DOWN;
    if (has(name, "ffn_gate") || has(name, "ffn_up")) return FFN_UP;
    return OTHER;
}

/* The layer in "blk.N."; 0 when there is none. */
static uint32_t layer_of(const char *name)
{
    uint32_t n = 0;
    if (strncmp(name, "blk.", 4)) return 0;
    for (const char *p = name + 4; *p >= '0' && *p <= '9' && n < 100000; p++) n = n * 10 + (uint32_t)(*p - '0');
    return n;
}

bool recipe_keeps(const struct gguf_tensor *t)
{
    static const char *const part[] = {
        "_norm.weight", "ffn_gate_inp", "altup", "laurel", "per_layer_model_proj", "ssm_conv1d", "shortconv.conv.weight",
        "attn_rel_b.weight", ".patch_embd", ".position_embd", ".patch_merger", ".rel_pos", "sam.", "time_mix_first",
        "time_mix_w0", "time_mix_w1", "time_mix_w2", "time_mix_v0", "time_mix_v1", "time_mix_v2", "time_mix_a0", "time_mix_a1",
        "time_mix_a2", "time_mix_g1", "time_mix_g2", "time_mix_decay_w1", "time_mix_decay_w2", "time_mix_lerp_fused",
    };
    size_t n = strlen(t->name);
    if (t->n_dims < 2 || n < 6 || strcmp(t->name + n - 6, "weight")) return true;
    if (dtype_info(t->type)->family == DTF_PLAIN) return true;
    if (!strcmp(t->name, "position_embd.weight") || !strcmp(t->name, "token_types.weight")) return true;
    for (size_t i = 0; i < sizeof part / sizeof *part; i++)
        if (has(t->name, part[i])) return true;
    return false;
}

/* ---- rules ---- */

enum when { ALWAYS, GQA4, GQA4_OR_EXPERTS, EIGHT_EXPERTS, FIRST_2, FIRST_4, EIGHTH, SIXTEENTH, MORE, MIDDLE,
            EIGHTH_IMATRIX, EIGHTH_BARE, BARE, EIGHT_EXPERTS_MORE };

/* The layers on which the _M mixtures spend more: the first and last eighth and every third between. */
static bool more_bits(uint32_t i, uint32_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

/* i of n is the tensor's place in the model. */
static bool holds(enum when w, const struct recipe_model *m, uint32_t i, uint32_t n)
{
    switch (w) {
    case ALWAYS: return true;
    case GQA4: return m->gqa >= 4;
    case GQA4_OR_EXPERTS: return m->gqa >= 4 || m->n_expert >= 4;
    case EIGHT_EXPERTS: return m->n_expert == 8;
    case BARE: return !m->imatrix;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case EIGHTH: return i < n / 8;
    case SIXTEENTH: return i < n / 16;
    case EIGHTH_IMATRIX: return m->imatrix && i < n / 8;
    case EIGHTH_BARE: return !m->imatrix && i < n / 8;
    case MORE: return more_bits(i, n);
    case EIGHT_EXPERTS_MORE: return m->n_expert == 8 && more_bits(i, n);
    case MIDDLE: return i >= n / 8 && i < 7 * n / 8;
    }
    return false;
}

#define IN(name) ((uint64_t)1 << RECIPE_##name)
#define IQ1 (IN(IQ1_S) | IN(IQ1_M))
#define IQ2_SMALL (IN(IQ2_XXS) | IN(IQ2_XS))
#define IQ2_LARGE (IN(IQ2_S) | IN(IQ2_M))
#define IQ12 (IQ1 | IQ2_SMALL | IQ2_LARGE)
#define IQ3 (IN(IQ3_XXS) | IN(IQ3_XS) | IN(IQ3_S) | IN(IQ3_M))
#define IQ4 (IN(IQ4_NL) | IN(IQ4_XS))
#define TERNARY (IN(TQ1_0) | IN(TQ2_0) | IN(Q2_0))
#define MIXTURES (~(IQ12 | IN(F32) | IN(F16) | IN(BF16) | IN(MXFP4_MOE)))

static const struct rule { uint64_t in; enum what what; enum when when; enum dtype type; } rules[] = {
    { IQ12 | IN(IQ3_XXS), OUTPUT, ALWAYS, DT_Q5_K },
    { IN(Q8_0) | IN(MXFP4_MOE), OUTPUT, ALWAYS, DT_Q8_0 },
    { ~(IN(F32) | IN(F16) | IN(BF16)), OUTPUT, ALWAYS, DT_Q6_K },

    { IQ1 | IQ2_SMALL, EMBED, ALWAYS, DT_Q2_K },
    { IQ2_LARGE | IN(IQ3_XXS), EMBED, ALWAYS, DT_IQ3_S },
    { TERNARY, EMBED, ALWAYS, DT_Q4_K },

    { IQ12, ATTN_V, GQA4_OR_EXPERTS, DT_Q4_K },
    { IQ2_LARGE, ATTN_V, ALWAYS, DT_IQ3_S },
    { IQ12, ATTN_V, ALWAYS, DT_Q2_K },
    { IQ12, ATTN_K, EIGHT_EXPERTS, DT_Q4_K },
    { IQ2_LARGE, FFN_DOWN, EIGHTH, DT_IQ3_S },
    { IQ12, FFN_DOWN, EIGHTH, DT_Q2_K },
    { IQ12, ATTN_OUT, EIGHT_EXPERTS, DT_Q5_K },
    { IQ1, ATTN_OUT, ALWAYS, DT_IQ2_XXS },
    { IQ2_LARGE, ATTN_OUT, ALWAYS, DT_IQ3_S },

    { MIXTURES, ATTN_V, EIGHT_EXPERTS, DT_Q8_0 },
    { IN(Q2_K), ATTN_V, GQA4, DT_Q4_K },
    { IN(Q2_K), ATTN_V, ALWAYS, DT_Q3_K },
    { IN(Q2_K_S), ATTN_V, GQA4, DT_Q4_K },
    { IN(IQ3_XXS), ATTN_V, GQA4, DT_Q4_K },
    { IN(IQ3_XXS), ATTN_V, BARE, DT_IQ3_S },
    { IN(IQ3_XS) | IN(IQ3_S), ATTN_V, GQA4, DT_Q4_K },
    { IN(IQ3_M), ATTN_V, ALWAYS, DT_Q4_K },
    { IN(Q3_K_M), ATTN_V, FIRST_2, DT_Q5_K },
    { IN(Q3_K_M), ATTN_V, ALWAYS, DT_Q4_K },
    { IN(Q3_K_L), ATTN_V, ALWAYS, DT_Q5_K },
    { IQ4, ATTN_V, GQA4, DT_Q5_K },
    { IN(Q4_K_M) | IN(Q5_K_M), ATTN_V, MORE, DT_Q6_K },
    { IN(Q4_K_S), ATTN_V, FIRST_4, DT_Q5_K },

    { MIXTURES, ATTN_K, EIGHT_EXPERTS, DT_Q8_0 },
    { IN(IQ3_XS), ATTN_K, ALWAYS, DT_IQ3_XXS },
    { IN(IQ3_XXS), ATTN_K, ALWAYS, DT_IQ2_S },
    { IN(IQ3_XS), ATTN_Q, ALWAYS, DT_IQ3_XXS },
    { IN(IQ3_XXS), ATTN_Q, ALWAYS, DT_IQ2_S },

    { IN(Q2_K), FFN_DOWN, ALWAYS, DT_Q3_K },
    { IN(Q2_K_S), FFN_DOWN, EIGHTH, DT_Q4_K },
    { IN(IQ3_XXS), FFN_DOWN, EIGHTH_BARE, DT_Q4_K },
    { IN(IQ3_XXS), FFN_DOWN, BARE, DT_Q3_K },
    { IN(Q3_K_M), FFN_DOWN, SIXTEENTH, DT_Q5_K },
    { IN(Q3_K_M), FFN_DOWN, ALWAYS, DT_Q4_K },
    { IN(IQ3_M), FFN_DOWN, EIGHTH, DT_Q4_K },
    { IN(IQ3_M), FFN_DOWN, EIGHT_EXPERTS_MORE, DT_Q4_K },
    { IN(Q3_K_L), FFN_DOWN, ALWAYS, DT_Q5_K },
    { IN(Q4_K_M) | IN(Q5_K_M), FFN_DOWN, MORE, DT_Q6_K },
    { IQ4, FFN_DOWN, EIGHTH_BARE, DT_Q5_K },
    { IN(Q4_K_S), FFN_DOWN, EIGHTH, DT_Q5_K },
    { IN(Q4_0), FFN_DOWN, EIGHTH_IMATRIX, DT_Q4_1 },
    { IN(Q5_0), FFN_DOWN, EIGHTH_IMATRIX, DT_Q5_1 },

    { IN(Q2_K) | IQ3 | IN(Q3_K_S) | IN(Q3_K_M) | IQ4 | IN(Q4_K_S) | IN(Q4_K_M), ATTN_OUT, EIGHT_EXPERTS, DT_Q5_K },
    { IN(Q2_K), ATTN_OUT, ALWAYS, DT_Q3_K },
    { IN(IQ3_XXS), ATTN_OUT, ALWAYS, DT_IQ3_S },
    { IN(Q3_K_M) | IN(IQ3_M), ATTN_OUT, ALWAYS, DT_Q4_K },
    { IN(Q3_K_L), ATTN_OUT, ALWAYS, DT_Q5_K },

    { IN(IQ3_XS), FFN_UP, MIDDLE, DT_IQ3_XXS },
};

static enum dtype wanted(enum recipe_id r, const struct recipe_model *m, const struct gguf_tensor *t, uint32_t v)
{
    enum what what = what_is(m, t->name);
    uint32_t i = what == ATTN_V ? v : layer_of(t->name), n = what == ATTN_V ? m->n_attn_v : m->n_layer;
    enum dtype type = recipe[r].type;
    if (r == RECIPE_MXFP4_MOE && what != OUTPUT) return t->n_dims >= 3 ? DT_MXFP4 : DT_Q8_0;
    for (size_t k = 0; k < sizeof rules / sizeof *rules; k++) {
        if (!(rules[k].in >> r & 1) || rules[k].what != what || !holds(rules[k].when, m, i, n)) continue;
        type = rules[k].type;
        break;
    }
    /* The values of a model with 80 layers and eight query heads for each are small beside the rest. */
    bool large = !strcmp(m->arch, "llama") && m->n_layer == 80;
    if (what == ATTN_V && large && (MIXTURES >> r & 1) && (type == DT_Q3_K || type == DT_Q4_K)) return DT_Q5_K;
    return type;
}

/* A type whose blocks are smaller. */
static enum dtype smaller_blocks(enum dtype t)
{
    switch (t) {
    case DT_Q2_K: case DT_Q3_K: case DT_TQ1_0: case DT_TQ2_0: case DT_Q1_0: case DT_Q2_0: case DT_NVFP4: return DT_Q4_0;
    case DT_Q4_K: return DT_Q5_0;
    case DT_Q5_K: return DT_Q5_1;
    case DT_Q6_K: return DT_Q8_0;
    default: return dtype_info(t)->family == DTF_SUPER ? DT_IQ4_NL : DT_F16;
    }
}

enum dtype recipe_type(enum recipe_id r, const struct recipe_model *m, const struct gguf_tensor *t, uint32_t v, bool *fallback)
{
    enum dtype type = wanted(r, m, t, v), first = type;
    bool quantised = dtype_info(recipe[r].type)->family != DTF_FLOAT;
    if (what_is(m, t->name) == OUTPUT && quantised &&
        (!strcmp(m->arch, "falcon") || t->ne[0] % dtype_info(type)->block_values))
        type = DT_Q8_0;
    for (int k = 0; k < 3 && t->ne[0] % dtype_info(type)->block_values; k++) type = smaller_blocks(type);
    if (fallback) *fallback = t->ne[0] % dtype_info(first)->block_values != 0;
    return type;
}

bool recipe_needs_imatrix(enum recipe_id r, const char *name, enum dtype type)
{
    if (!strcmp(name, "token_embd.weight") || !strcmp(name, "output.weight") || !strcmp(name, "per_layer_token_embd.weight"))
        return false;
    switch (type) {
    case DT_IQ1_S: case DT_IQ1_M: case DT_IQ2_XXS: case DT_IQ2_XS: case DT_IQ2_S: case DT_IQ3_XXS: return true;
    case DT_Q2_K: return r == RECIPE_Q2_K_S;
    default: return false;
    }
}

/* ---- the model ---- */

/* A key of the architecture: a number, or the first of an array that is not 0 (some layers have no attention). */
static uint32_t key_of(const struct gguf *g, const char *arch, const char *name)
{
    char key[160];
    int64_t v = 0;
    fmt_into(key, sizeof key, "%s.%s", arch, name);
    const struct gguf_kv *kv = gguf_find(g, key);
    for (uint64_t i = 0; kv && i < kv->count && i < 4096 && v <= 0; i++)
        if (!gguf_item_i64(kv, i, &v)) return 0;
    return v > 0 && v <= UINT32_MAX ? (uint32_t)v : 0;
}

void recipe_read_model(struct recipe_model *m, const struct gguf *g, bool imatrix)
{
    struct gguf_str arch;
    *m = (struct recipe_model){ .imatrix = imatrix, .tied = !gguf_tensor(g, "output.weight") };
    if (gguf_get_str(g, "general.architecture", &arch) && arch.n < sizeof m->arch) memcpy(m->arch, arch.s, arch.n);
    m->n_layer = key_of(g, m->arch, "block_count");
    m->n_expert = key_of(g, m->arch, "expert_count");
    uint32_t heads = key_of(g, m->arch, "attention.head_count"), kv = key_of(g, m->arch, "attention.head_count_kv");
    m->gqa = kv ? heads / kv : 1;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) m->n_attn_v += recipe_is_attn_v(gguf_tensor_at(g, i)->name);
}
