/* synth_recipe.c - which tensor gets which type, as the field's quantiser chooses.  Source: the GGUF notes, "recipes". */
#include <string.h>

#include "app/synth.h"
#include "base/buf.h"

#define PLAIN(type, file_type) { #type, file_type, DT_##type, DT_##type, DT_##type, false }
static const struct synth_recipe recipe[] = {
    PLAIN(F32, 0), PLAIN(F16, 1), PLAIN(BF16, 32), PLAIN(Q8_0, 7), PLAIN(Q4_0, 2), PLAIN(Q4_1, 3), PLAIN(Q5_0, 8),
    PLAIN(Q5_1, 9), PLAIN(Q6_K, 18),
    { "Q4_K_M", 15, DT_Q4_K, DT_Q6_K, DT_Q4_K, false },
    { "Q4_K_S", 14, DT_Q4_K, DT_Q4_K, DT_Q5_K, false },
    { "Q5_K_M", 17, DT_Q5_K, DT_Q6_K, DT_Q5_K, false },
    { "Q5_K_S", 16, DT_Q5_K, DT_Q5_K, DT_Q5_K, false },
};
enum { N_RECIPE = sizeof recipe / sizeof *recipe };
#undef PLAIN

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++) {
        char x = *a >= 'a' && *a <= 'z' ? (char)(*a - 32) : *a;
        if (x != *b) return false;
    }
    return !*a && !*b;
}

static bool is_weight(enum dtype t)
{
    struct quant_random r;
    return quant_random_init(&r, t, 0, 1, 0);
}

int synth_recipe_find(struct synth_recipe *out, const char *name, struct err *err)
{
    enum dtype t;
    for (size_t i = 0; i < N_RECIPE; i++)
        if (same_name(name, recipe[i].name)) {
            *out = recipe[i];
            return 0;
        }
    if (dtype_from_name(name, &t) && is_weight(t)) {
        *out = (struct synth_recipe){ dtype_info(t)->name, -1, t, t, t, false };
        return 0;
    }
    struct buf b = { 0 };
    for (size_t i = 0; i < N_RECIPE; i++) buf_printf(&b, "%s%s", i ? ", " : "", recipe[i].name);
    for (unsigned i = 0; i < N_DTYPE; i++) {
        bool listed = false;
        for (size_t k = 0; k < N_RECIPE; k++) listed |= !strcmp(recipe[k].name, dtype_info((enum dtype)i)->name);
        if (!listed && is_weight((enum dtype)i)) buf_printf(&b, ", %s", dtype_info((enum dtype)i)->name);
    }
    int rc = err_set(err, ERR_ARG, "there is no type \"%.20s\"; there are %s", name, b.data ? b.data : "");
    buf_release(&b);
    return rc;
}

/* The layers on which the _M mixtures spend more: the first and last eighth and every third between. */
static bool more_bits(uint32_t i, uint32_t n) { return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2; }

static enum dtype wanted(const struct synth_recipe *r, const struct synth_matrix *m)
{
    bool is_number = dtype_info(r->base)->family == DTF_FLOAT || r->base == DT_Q8_0;
    if (m->output) return is_number || r->pure ? r->base : DT_Q6_K;
    bool v = !strcmp(m->name, "attn_v") || !strcmp(m->name, "attn_qkv"), down = !strncmp(m->name, "ffn_down", 8);
    if (r->pure || (!v && !down)) return r->base;
    if (r->more != r->base && more_bits(m->layer, m->n_layer)) return r->more;
    return m->layer < (v ? 4 : m->n_layer / 8) ? r->early : r->base;
}

enum dtype synth_type(const struct synth_recipe *r, const struct synth_matrix *m)
{
    enum dtype t = wanted(r, m);
    if (m->n_in % dtype_info(t)->block_values == 0) return t;
    /* Rows of another length than super-blocks have. */
    switch (t) {
    case DT_Q2_K: case DT_Q3_K: case DT_TQ1_0: case DT_TQ2_0: case DT_Q1_0: case DT_Q2_0: case DT_NVFP4: t = DT_Q4_0; break;
    case DT_Q4_K: t = DT_Q5_0; break;
    case DT_Q5_K: t = DT_Q5_1; break;
    case DT_Q6_K: t = DT_Q8_0; break;
    default: t = DT_IQ4_NL; break;
    }
    return m->n_in % dtype_info(t)->block_values ? DT_F16 : t;
}
