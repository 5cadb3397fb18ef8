/* hf_oss.c - the experts of gpt-oss: MXFP4 blocks in which the rows of gate and up alternate.
 *
 *   mlp.experts.gate_up_proj_blocks U8 [E][2F][D/32][16], _scales U8 [E][2F][D/32], gate_up_proj_bias [E][2F]
 *   mlp.experts.down_proj_blocks    U8 [E][D][F/32][16],  _scales U8 [E][D][F/32],  down_proj_bias [E][D]
 * A byte holds two values side by side, the low half first: rows of MXFP4_ROWS, used in place with twice the step. */
#include <string.h>

#include "format/hf_impl.h"
#include "format/split.h"

static void use(const struct hf *h, bool *used, const struct st_tensor *t) { used[t - safetensors_at(h->st, 0)] = true; }

static struct gguf_tensor *new_tensor(struct hf *h, uint32_t il, const char *part)
{
    char name[64];
    fmt_into(name, sizeof name, "blk.%u.%s", il, part);
    return hf_add(h, name);
}

/* Every step-th row of the blocks, from row `first` on. */
static int experts(struct hf *h, struct gguf_tensor *out, const struct st_tensor *q, const struct st_tensor *s, uint64_t first,
                   uint64_t step)
{
    uint64_t E = q->shape[0], rows = q->shape[1], blocks = q->shape[2];
    struct split *v = arena_new(&h->arena, struct split, (size_t)E);
    const uint8_t **slice = arena_new(&h->arena, const uint8_t *, (size_t)E);
    if (!v || !slice) return hf_nomem(h);
    for (uint64_t e = 0; e < E; e++) {
        v[e] = (struct split){ .type = DT_MXFP4_ROWS, .code = q->data + (e * rows + first) * blocks * 16,
                               .scale = s->data + (e * rows + first) * blocks, .rows = rows / step, .cols = blocks * 32,
                               .code_row = step * blocks * 16, .scale_row = step * blocks, .group = 32, .scale_rows = 1,
                                   .factor = 1 };
        slice[e] = (const uint8_t *)&v[e];
    }
    out->type = DT_MXFP4_ROWS;
    out->n_dims = 3;
    out->ne[0] = blocks * 32;
    out->ne[1] = rows / step;
    out->ne[2] = E;
    out->data = (const uint8_t *)v;
    out->slice = slice;
    out->bytes = (q->bytes + s->bytes) / step;
    return 0;
}

static int blocks(struct hf *h, bool *used, uint32_t il, const struct st_tensor *q, bool gate_up)
{
    char name[300];
    fmt_into(name, sizeof name, "%.*s_scales", (int)(strlen(q->name) - 7), q->name);
    const struct st_tensor *s = safetensors_find(h->st, name);
    bool ok = q->type == ST_U8 && q->n_dims == 4 && q->shape[3] == 16 && s && s->type == ST_U8 && s->n_dims == 3;
    for (uint32_t i = 0; ok && i < 3; i++) ok = q->shape[i] && s->shape[i] == q->shape[i];
    if (!ok || q->shape[0] != h->n_expert || (gate_up && q->shape[1] % 2))
        return hf_bad_tensor(h, q, ERR_FORMAT, "must be [%u experts, rows, blocks, 16] with scales of the same rows and blocks",
                             h->n_expert);
    use(h, used, q);
    use(h, used, s);
    static const char *const part[] = { "ffn_gate_exps.weight", "ffn_up_exps.weight" };
    for (uint32_t k = 0; k < (gate_up ? 2u : 1u); k++) {
        struct gguf_tensor *out = new_tensor(h, il, gate_up ? part[k] : "ffn_down_exps.weight");
        int rc = out ? experts(h, out, q, s, k, gate_up ? 2 : 1) : ERR_NOMEM;
        if (rc < 0) return rc;
    }
    return 1;
}

/* Copies in float32: [E][every step-th value]. */
static int biases(struct hf *h, bool *used, uint32_t il, const struct st_tensor *t, bool gate_up)
{
    static const char *const part[] = { "ffn_gate_exps.bias", "ffn_up_exps.bias" };
    uint64_t step = gate_up ? 2 : 1;
    enum dtype type;
    if (t->n_dims != 2 || t->shape[0] != h->n_expert || !t->shape[1] || t->shape[1] % step || !hf_float_type(t->type, &type))
        return hf_bad_tensor(h, t, ERR_FORMAT, "must be [%u experts, values] of floats", h->n_expert);
    use(h, used, t);
    uint64_t n = t->shape[1] / step;
    for (uint64_t k = 0; k < step; k++) {
        char name[64];
        fmt_into(name, sizeof name, "blk.%u.%s", il, gate_up ? part[k] : "ffn_down_exps.bias");
        float *x = hf_add_vector(h, name, n * t->shape[0]);
        if (!x) return ERR_NOMEM;
        for (uint64_t i = 0; i < n * t->shape[0]; i++) x[i] = hf_number(t->data, type, i * step + k);
        struct gguf_tensor *out = &h->tensor[h->n_tensors - 1];
        out->n_dims = 2;
        out->ne[0] = n;
        out->ne[1] = t->shape[0];
    }
    return 1;
}

int hf_oss_tensor(struct hf *h, bool *used, uint32_t il, const char *rest, const struct st_tensor *t)
{
    if (!strcmp(rest, "mlp.experts.gate_up_proj_blocks")) return blocks(h, used, il, t, true);
    if (!strcmp(rest, "mlp.experts.down_proj_blocks")) return blocks(h, used, il, t, false);
    if (!strcmp(rest, "mlp.experts.gate_up_proj_bias")) return biases(h, used, il, t, true);
    if (!strcmp(rest, "mlp.experts.down_proj_bias")) return biases(h, used, il, t, false);
    /* as converted to MLX: gate and up are apart */
    static const struct { const char *from, *to; } apart[] = {
        { "mlp.experts.gate_proj.bias", "ffn_gate_exps.bias" }, { "mlp.experts.up_proj.bias", "ffn_up_exps.bias" },
        { "mlp.experts.down_proj.bias", "ffn_down_exps.bias" },
    };
    for (size_t i = 0; i < 3; i++) {
        char name[64];
        if (strcmp(rest, apart[i].from) != 0) continue;
        if (t->n_dims != 2 || t->shape[0] != h->n_expert || !t->shape[1])
            return hf_bad_tensor(h, t, ERR_FORMAT, "must be [%u experts, values]", h->n_expert);
        fmt_into(name, sizeof name, "blk.%u.%s", il, apart[i].to);
        use(h, used, t);
        int rc = hf_add_numbers(h, t, name, 0, (uint64_t[]){ t->shape[1], t->shape[0] }, NULL);
        return rc < 0 ? rc : 1;
    }
    return 0;
}
