/* hf_split.c - quantised matrices of checkpoints: the tensors that belong together become one of a SPLIT type. */
#include <string.h>

#include "base/ck.h"
#include "format/hf_impl.h"
#include "format/split.h"

/* A matrix, or a stack of `stack` ones, being put together. */
struct parts {
    struct hf *h;
    bool *used;
    const struct st_tensor *t;              /* the codes */
    const char *module;                     /* its name without the last part */
    uint64_t stack, bytes;
    uint64_t scale_bytes;                   /* of one matrix, when they are not rows x scale_row */
    struct split s;
};

static int bad(struct parts *p, int code, const char *why) { return hf_bad_tensor(p->h, p->t, code, "%s", why); }

/* The tensor "module.part", which counts as used and among the bytes; NULL when there is none. */
static const struct st_tensor *part(struct parts *p, const char *name)
{
    char full[300];
    fmt_into(full, sizeof full, "%s.%s", p->module, name);
    const struct st_tensor *t = safetensors_find(p->h->st, full);
    if (!t) return NULL;
    p->used[t - safetensors_at(p->h->st, 0)] = true;
    if (!ck_add(p->bytes, t->bytes, &p->bytes)) return NULL;
    return t;
}

static bool number_type(enum st_type t, enum dtype *out)
{
    *out = t == ST_F32 ? DT_F32 : t == ST_F16 ? DT_F16 : DT_BF16;
    return t == ST_F32 || t == ST_F16 || t == ST_BF16;
}

/* Whether t has the dimensions of the codes' stack and then a x b. */
static bool has_shape(const struct parts *p, const struct st_tensor *t, uint64_t a, uint64_t b)
{
    if (t->n_dims != p->t->n_dims) return false;
    for (uint32_t i = 0; i + 2 < t->n_dims; i++)
        if (t->shape[i] != p->t->shape[i]) return false;
    return t->shape[t->n_dims - 2] == a && t->shape[t->n_dims - 1] == b;
}

/* ---- MLX ---- */

struct mlx { uint32_t group, bits; const char *mode; };

/* "quantization" of config.json, and its entry for this module where there is one. */
static int mlx_settings(struct parts *p, struct mlx *m)
{
    const struct json *q = json_get(p->h->config, "quantization"), *own;
    if (json_type(q) != JSON_OBJECT) q = json_get(p->h->config, "quantization_config");
    own = json_get(q, p->module);
    *m = (struct mlx){ 64, 4, "affine" };
    const struct json *in[] = { q, json_type(own) == JSON_OBJECT ? own : NULL };
    for (size_t i = 0; i < 2; i++) {
        const char *mode = json_str(json_get(in[i], "mode"), NULL);
        int rc = hf_u32(p->h, in[i], "group_size", &m->group);
        if (rc == 0) rc = hf_u32(p->h, in[i], "bits", &m->bits);
        if (rc < 0) return rc;
        if (mode) m->mode = mode;
    }
    return 0;
}

static bool mlx_type(const struct mlx *m, enum dtype *out)
{
    static const struct { const char *mode; uint32_t bits; enum dtype type; } row[] = {
        { "affine", 2, DT_AFFINE2 }, { "affine", 3, DT_AFFINE3 }, { "affine", 4, DT_AFFINE4 }, { "affine", 5, DT_AFFINE5 },
        { "affine", 6, DT_AFFINE6 }, { "affine", 8, DT_AFFINE8 }, { "mxfp4", 4, DT_MXFP4_ROWS }, { "mxfp8", 8, DT_MXFP8_ROWS },
        { "nvfp4", 4, DT_NVFP4_ROWS },
    };
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        if (m->bits == row[i].bits && !strcmp(m->mode, row[i].mode)) {
            *out = row[i].type;
            return true;
        }
    return false;
}

static int mlx(struct parts *p)
{
    struct mlx m;
    struct split *s = &p->s;
    const struct st_tensor *t = p->t;
    uint64_t bits;
    int rc = mlx_settings(p, &m);
    if (rc < 0) return rc;
    if (!mlx_type(&m, &s->type))
        return hf_bad_tensor(p->h, t, ERR_UNSUPPORTED, "quantised as %.20s with %u bits, which is not supported", m.mode, m.bits);
    s->rows = t->shape[t->n_dims - 2];
    s->code_row = t->shape[t->n_dims - 1] * 4;
    if (!ck_mul(s->code_row, 8, &bits) || bits % m.bits) return bad(p, ERR_FORMAT, "its rows are no whole number of values");
    s->cols = bits / m.bits;
    s->group = m.group;
    if (!m.group || s->cols % m.group)
        return hf_bad_tensor(p->h, t, ERR_FORMAT, "rows of %llu values are no whole groups of %u",
                             (unsigned long long)s->cols, m.group);
    const struct st_tensor *scales = part(p, "scales"), *biases = NULL;
    bool affine = !strcmp(m.mode, "affine");
    if (affine) biases = part(p, "biases");
    if (!scales || (affine && !biases)) return bad(p, ERR_FORMAT, "its scales or biases are missing");
    if (!has_shape(p, scales, s->rows, s->cols / m.group) || (biases && !has_shape(p, biases, s->rows, s->cols / m.group)))
        return hf_bad_tensor(p->h, scales, ERR_FORMAT, "its shape does not go with the codes and groups of %u", m.group);
    if (affine ? !number_type(scales->type, &s->number) || biases->type != scales->type : scales->type != ST_U8)
        return hf_bad_tensor(p->h, scales, ERR_UNSUPPORTED, "type %s is not supported for scales", st_type_name(scales->type));
    s->scale = scales->data;
    s->bias = biases ? biases->data : NULL;
    s->scale_row = s->cols / m.group * (st_type_bits(scales->type) / 8);
    return 0;
}

/* ---- FP8 ---- */

static int fp8(struct parts *p)
{
    struct split *s = &p->s;
    const struct st_tensor *t = p->t, *scale = part(p, "weight_scale_inv");
    s->type = DT_F8_E4M3;
    s->rows = t->shape[t->n_dims - 2];
    s->cols = s->code_row = t->shape[t->n_dims - 1];
    s->scale_rows = s->group = 128;
    const struct json *size = json_get(json_get(p->h->config, "quantization_config"), "weight_block_size");
    if (json_len(size) == 2) {
        int64_t a = json_int(json_at(size, 0)), b = json_int(json_at(size, 1));
        if (a < 1 || b < 1 || a > 1 << 20 || b > 1 << 20) return bad(p, ERR_FORMAT, "weight_block_size makes no sense");
        s->scale_rows = (uint32_t)a;
        s->group = (uint32_t)b;
    }
    if (scale) {
        uint64_t a = (s->rows + s->scale_rows - 1) / s->scale_rows, b = (s->cols + s->group - 1) / s->group;
        if (!has_shape(p, scale, a, b)) return hf_bad_tensor(p->h, scale, ERR_FORMAT,
                                                             "its shape does not go with blocks of %u x %u",
                                                             s->scale_rows, s->group);
        if (!number_type(scale->type, &s->number))
            return hf_bad_tensor(p->h, scale, ERR_UNSUPPORTED, "type %s is not supported for scales", st_type_name(scale->type));
        s->scale_row = b * (st_type_bits(scale->type) / 8);
        p->scale_bytes = a * s->scale_row;
        s->scale = scale->data;
        return 0;
    }
    if (!(scale = part(p, "weight_scale"))) return 0;
    /* one for all, or one for each row */
    uint64_t n = 1;
    for (uint32_t i = 0; i < scale->n_dims; i++) n = scale->shape[i] > 1 ? n * scale->shape[i] : n;
    if (p->stack != 1 || (n != 1 && n != s->rows) || scale->bytes != n * (st_type_bits(scale->type) / 8) ||
        !number_type(scale->type, &s->number))
        return hf_bad_tensor(p->h, scale, ERR_UNSUPPORTED, "scales of this type and shape are not supported");
    s->group = s->cols < UINT32_MAX ? (uint32_t)s->cols : UINT32_MAX;
    s->scale_rows = n == 1 ? UINT32_MAX : 1;
    s->scale_row = st_type_bits(scale->type) / 8;
    s->scale = scale->data;
    part(p, "input_scale");
    return 0;
}

/* ---- AWQ, GPTQ ---- */

static bool is_quant(const struct json *q, const char *key, const char *value)
{
    const char *s = json_str(json_get(q, key), NULL);
    return s && !strcmp(s, value);
}

/* Every value of index must be a group. */
static bool index_ok(const struct st_tensor *t, uint64_t groups)
{
    for (uint64_t i = 0; i < t->shape[0]; i++) {
        const uint8_t *d = t->data + 4 * i;
        if (((uint32_t)d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24) >= groups) return false;
    }
    return true;
}

/* Whether it says no more than the size of a group. */
static bool index_in_order(const struct st_tensor *t, uint32_t group)
{
    for (uint64_t i = 0; i < t->shape[0]; i++) {
        const uint8_t *d = t->data + 4 * i;
        if (((uint32_t)d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24) != i / group) return false;
    }
    return true;
}

static int packed(struct parts *p)
{
    const struct json *q = json_get(p->h->config, "quantization_config");
    struct split *s = &p->s;
    uint32_t bits = 4, group = 128;
    bool awq = is_quant(q, "quant_method", "awq"), gptq = is_quant(q, "quant_method", "gptq");
    const struct json *size = json_get(q, "group_size");
    int rc = hf_u32(p->h, q, "bits", &bits);
    if (rc < 0) return rc;
    if ((!awq && !gptq) || !(bits == 4 || (gptq && bits == 8)) || p->stack != 1 ||
        (json_get(q, "version") && awq && !is_quant(q, "version", "gemm") && !is_quant(q, "version", "GEMM")))
        return bad(p, ERR_UNSUPPORTED, "this way of quantising is not supported (AWQ: 4 bits, gemm; GPTQ: 4 and 8 bits)");
    uint32_t per = 32 / bits;
    const struct st_tensor *t = p->t, *zeros = part(p, "qzeros"), *scales = part(p, "scales"), *index = NULL;
    if (gptq) index = part(p, "g_idx");
    s->type = awq ? DT_AWQ4 : bits == 4 ? DT_GPTQ4 : DT_GPTQ8;
    if (!ck_mul(t->shape[0], awq ? 1 : per, &s->cols) || !ck_mul(t->shape[1], awq ? per : 1, &s->rows))
        return bad(p, ERR_FORMAT, "its shape overflows");
    if (json_type(size) == JSON_INT && json_int(size) == -1 && s->cols < UINT32_MAX) group = (uint32_t)s->cols;
    else if ((rc = hf_u32(p->h, q, "group_size", &group)) < 0) return rc;
    if (!group || s->rows % per) return bad(p, ERR_FORMAT, "its rows or groups are no whole words");
    uint64_t groups = (s->cols + group - 1) / group;
    if (!zeros || !scales || zeros->type != ST_I32 || !has_shape(p, zeros, groups, s->rows / per) ||
        !has_shape(p, scales, groups, s->rows) || !number_type(scales->type, &s->number))
        return bad(p, ERR_FORMAT, "its qzeros or scales are missing, or do not go with it");
    if (index && (index->type != ST_I32 || index->n_dims != 1 || index->shape[0] != s->cols || !index_ok(index, groups)))
        return hf_bad_tensor(p->h, index, ERR_FORMAT, "does not go with %llu columns in %llu groups", (unsigned long long)s->cols,
                             (unsigned long long)groups);
    s->code_row = t->shape[1] * 4;
    s->scale_row = s->rows * (st_type_bits(scales->type) / 8);
    s->scale = scales->data;
    s->bias = zeros->data;
    s->index = index && !index_in_order(index, group) ? index->data : NULL;
    s->group = group;
    s->zero_add = gptq && !is_quant(q, "checkpoint_format", "gptq_v2");
    return 0;
}

/* ---- the tensor ---- */

/* One struct split for each matrix of the stack. */
static int finish(struct parts *p, struct gguf_tensor *out)
{
    struct split *v = arena_new(&p->h->arena, struct split, (size_t)p->stack);
    const uint8_t **slice = p->stack > 1 ? arena_new(&p->h->arena, const uint8_t *, (size_t)p->stack) : NULL;
    uint64_t code = p->t->bytes / p->stack, scale = p->scale_bytes ? p->scale_bytes : p->s.rows * p->s.scale_row;
    if (!v || (p->stack > 1 && !slice)) return hf_nomem(p->h);
    for (uint64_t e = 0; e < p->stack; e++) {
        v[e] = p->s;
        v[e].code += e * code;
        if (v[e].scale) v[e].scale += e * scale;
        if (v[e].bias) v[e].bias += e * scale;
        if (slice) slice[e] = (const uint8_t *)&v[e];
    }
    out->type = p->s.type;
    out->n_dims = p->stack > 1 ? 3 : 2;
    out->ne[0] = p->s.cols;
    out->ne[1] = p->s.rows;
    out->ne[2] = p->stack;
    out->data = (const uint8_t *)v;
    out->slice = slice;
    out->bytes = p->bytes;
    out->file = GGUF_NO_FILE;
    return 0;
}

int hf_split(struct hf *h, bool *used, const struct st_tensor *t, struct gguf_tensor *out)
{
    const char *dot = strrchr(t->name, '.');
    size_t n = dot ? (size_t)(dot - t->name) : strlen(t->name);
    bool qweight = dot && !strcmp(dot, ".qweight");
    struct parts p = { .h = h, .used = used, .t = t, .stack = t->n_dims == 3 ? t->shape[0] : 1, .bytes = t->bytes,
                       .s = { .code = t->data, .scale_rows = 1, .factor = 1 } };
    if (!(p.module = arena_strdup(&h->arena, t->name, n))) return hf_nomem(h);
    if (t->n_dims != 2 && t->n_dims != 3) return bad(&p, ERR_FORMAT, "must have two or three dimensions");
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (!t->shape[i]) return bad(&p, ERR_FORMAT, "has a dimension of zero");
    if (p.stack > HF_MAX_EXPERTS) return bad(&p, ERR_LIMIT, "more than 4,096 experts");
    int rc;
    if (qweight && t->type == ST_I32) rc = packed(&p);
    else if (!qweight && t->type == ST_U32) rc = mlx(&p);
    else if (!qweight && t->type == ST_F8_E4M3) rc = fp8(&p);
    else return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "type %s is not supported for a matrix", st_type_name(t->type));
    if (rc < 0) return rc;
    used[t - safetensors_at(h->st, 0)] = true;
    return finish(&p, out);
}
