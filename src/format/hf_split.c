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

/* "quantization" of config.json, or the entry for this module where there is one, which then says all: what it leaves out is
 * what the mode usually has. */
static int mlx_settings(struct parts *p, struct mlx *m)
{
    const struct json *q = json_get(p->h->config, "quantization"), *own;
    if (json_type(q) != JSON_OBJECT) q = json_get(p->h->config, "quantization_config");
    own = json_get(q, p->module);
    if (json_type(own) == JSON_OBJECT) q = own;
    const char *mode = json_str(json_get(q, "mode"), NULL);
    *m = (struct mlx){ 64, 4, mode ? mode : "affine" };
    if (!strncmp(m->mode, "mxfp", 4)) m->group = 32;
    if (!strcmp(m->mode, "nvfp4")) m->group = 16;
    if (!strcmp(m->mode, "mxfp8")) m->bits = 8;
    int rc = hf_u32(p->h, q, "group_size", &m->group);
    return rc < 0 ? rc : hf_u32(p->h, q, "bits", &m->bits);
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

/* ---- the order of columns ---- */

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

/* ---- FP8 ---- */

/* Rows and columns of a block: of the usual key, or of compressed-tensors'. */
static int fp8_blocks(struct parts *p)
{
    const struct json *q = json_get(p->h->config, "quantization_config"), *size = json_get(q, "weight_block_size");
    const struct json *groups = json_get(q, "config_groups");
    const char *key;
    struct json *group;
    void *it = NULL;
    p->s.scale_rows = p->s.group = 128;
    while (json_type(groups) == JSON_OBJECT && json_len(size) != 2 && json_next(groups, &it, &key, &group))
        size = json_get(json_get(group, "weights"), "block_structure");
    if (json_len(size) != 2) return 0;
    int64_t a = json_int(json_at(size, 0)), b = json_int(json_at(size, 1));
    if (a < 1 || b < 1 || a > 1 << 20 || b > 1 << 20) return bad(p, ERR_FORMAT, "the size of its blocks makes no sense");
    p->s.scale_rows = (uint32_t)a;
    p->s.group = (uint32_t)b;
    return 0;
}

/* One scale for all, or one for each row. */
static int row_scales(struct parts *p, const struct st_tensor *scale)
{
    struct split *s = &p->s;
    uint64_t n = 1;
    for (uint32_t i = 0; i < scale->n_dims; i++) n = scale->shape[i] > 1 ? n * scale->shape[i] : n;
    if (p->stack != 1 || (n != 1 && n != s->rows) || scale->bytes != n * (st_type_bits(scale->type) / 8) ||
        !number_type(scale->type, &s->number))
        return hf_bad_tensor(p->h, scale, ERR_UNSUPPORTED, "scales of this type and shape are not supported");
    s->group = s->cols < UINT32_MAX ? (uint32_t)s->cols : UINT32_MAX;
    s->scale_rows = n == 1 ? UINT32_MAX : 1;
    s->scale_row = st_type_bits(scale->type) / 8;
    s->scale = scale->data;
    return 0;
}

static int fp8(struct parts *p)
{
    struct split *s = &p->s;
    const struct st_tensor *t = p->t, *scale = part(p, "weight_scale_inv");
    bool blocks = scale != NULL;
    s->type = DT_F8_E4M3;
    s->rows = t->shape[t->n_dims - 2];
    s->cols = s->code_row = t->shape[t->n_dims - 1];
    int rc = fp8_blocks(p);
    if (rc < 0) return rc;
    part(p, "input_scale");
    if (!scale && !(scale = part(p, "weight_scale"))) return 0;
    uint64_t a = (s->rows + s->scale_rows - 1) / s->scale_rows, b = (s->cols + s->group - 1) / s->group;
    blocks |= has_shape(p, scale, a, b) && a * b > 1 && !(a == s->rows && b == 1);
    if (!blocks) return row_scales(p, scale);
    if (!has_shape(p, scale, a, b))
        return hf_bad_tensor(p->h, scale, ERR_FORMAT, "its shape does not go with blocks of %u x %u", s->scale_rows, s->group);
    if (!number_type(scale->type, &s->number))
        return hf_bad_tensor(p->h, scale, ERR_UNSUPPORTED, "type %s is not supported for scales", st_type_name(scale->type));
    s->scale_row = b * (st_type_bits(scale->type) / 8);
    p->scale_bytes = a * s->scale_row;
    s->scale = scale->data;
    return 0;
}

/* ---- whole numbers with a scale for each row: compressed-tensors' int-quantized, and bitsandbytes' of 8 bits ---- */

static int int8(struct parts *p)
{
    struct split *s = &p->s;
    const struct st_tensor *t = p->t, *scale = part(p, "weight_scale");
    s->type = DT_INT8_ROWS;
    s->rows = t->shape[t->n_dims - 2];
    s->cols = s->code_row = t->shape[t->n_dims - 1];
    if (part(p, "weight_zero_point")) return bad(p, ERR_UNSUPPORTED, "8 bits with zero points are not supported");
    if (!scale && (scale = part(p, "SCB")) != NULL) s->factor = 1.0f / 127;
    if (!scale) return bad(p, ERR_FORMAT, "its weight_scale or SCB is missing");
    part(p, "weight_format");
    part(p, "input_scale");
    int rc = row_scales(p, scale);
    if (rc < 0 || s->scale_rows == 1) return rc;
    s->scale_rows = 1;                       /* one for all */
    s->scale_row = 0;
    return 0;
}

/* ---- compressed-tensors, packed: 2, 4 or 8 bits in words, lowest first, with the middle as zero ---- */

static uint64_t load64(const uint8_t *p)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

/* (q - zero) * scale = scale * q + bias: floats of its own, since half precision does not hold the product.  zero: words of
 * values along the rows, [rows / P][groups]. */
static int zero_points(struct parts *p, const struct st_tensor *zero, unsigned bits)
{
    struct split *s = &p->s;
    const uint64_t per = 32 / bits, groups = s->cols / s->group;
    if (zero->type != ST_I32 || !has_shape(p, zero, (s->rows + per - 1) / per, groups))
        return hf_bad_tensor(p->h, zero, ERR_FORMAT, "does not go with %llu rows in %llu groups", (unsigned long long)s->rows,
                             (unsigned long long)groups);
    float *v = arena_new(&p->h->arena, float, (size_t)(2 * s->rows * groups)), *bias = v + s->rows * groups;
    if (!v) return hf_nomem(p->h);
    for (uint64_t r = 0; r < s->rows; r++)
        for (uint64_t g = 0; g < groups; g++) {
            const uint8_t *d = zero->data + (r / per * groups + g) * 4;
            uint32_t word = (uint32_t)d[0] | (uint32_t)d[1] << 8 | (uint32_t)d[2] << 16 | (uint32_t)d[3] << 24;
            float scale = hf_number(s->scale, s->number, r * groups + g);
            v[r * groups + g] = scale;
            bias[r * groups + g] = -(float)(word >> (bits * (r % per)) & ((1u << bits) - 1)) * scale;
        }
    s->scale = (const uint8_t *)v;
    s->bias = (const uint8_t *)bias;
    s->number = DT_F32;
    s->scale_row = groups * 4;
    return 0;
}

static int compressed(struct parts *p)
{
    struct split *s = &p->s;
    const struct st_tensor *t = p->t, *shape = part(p, "weight_shape"), *scale = part(p, "weight_scale");
    const struct st_tensor *zero = part(p, "weight_zero_point"), *index = part(p, "weight_g_idx");
    static const struct { unsigned bits; enum dtype type; } row[] = { { 2, DT_AFFINE2 }, { 4, DT_AFFINE4 }, { 8, DT_AFFINE8 } };
    if (p->stack != 1 || !shape || shape->type != ST_I64 || shape->bytes != 16 || !scale || scale->n_dims != 2)
        return bad(p, ERR_FORMAT, "its weight_shape or weight_scale is missing, or makes no sense");
    s->rows = load64(shape->data);
    s->cols = load64(shape->data + 8);
    s->code_row = t->shape[1] * 4;
    size_t i = 0, n = sizeof row / sizeof *row;
    while (i < n && (s->cols > 1 << 28 || (s->cols * row[i].bits + 31) / 32 != t->shape[1])) i++;
    if (s->rows != t->shape[0] || i == n)
        return bad(p, ERR_UNSUPPORTED, "its shape does not go with weight_shape and 2, 4 or 8 bits");
    s->type = row[i].type;
    uint64_t groups = scale->shape[1];
    if (!groups || s->cols % groups || !has_shape(p, scale, s->rows, groups) || !number_type(scale->type, &s->number))
        return hf_bad_tensor(p->h, scale, ERR_UNSUPPORTED, "type %s, or this number of groups for %llu columns, is not supported",
                             st_type_name(scale->type), (unsigned long long)s->cols);
    s->group = (uint32_t)(s->cols / groups);
    s->scale = scale->data;
    s->scale_row = groups * (st_type_bits(scale->type) / 8);
    if (index && (index->type != ST_I32 || index->n_dims != 1 || index->shape[0] != s->cols || !index_in_order(index, s->group)))
        return hf_bad_tensor(p->h, index, ERR_UNSUPPORTED, "columns in another order are not supported");
    return zero ? zero_points(p, zero, row[i].bits) : 0;
}

/* ---- 4-bit floats: NVFP4 of compressed-tensors and ModelOpt, MXFP4 ---- */

static int fp4(struct parts *p)
{
    struct split *s = &p->s;
    const struct st_tensor *t = p->t, *scale = part(p, "weight_scale"), *all = part(p, "weight_global_scale");
    bool divides = all != NULL;
    if (!all) all = part(p, "weight_scale_2");
    part(p, "input_scale");
    part(p, "input_global_scale");
    if (!scale || (scale->type != ST_F8_E4M3 && scale->type != ST_U8))
        return bad(p, ERR_UNSUPPORTED, "bytes without scales of 8 bits are not supported for a matrix");
    bool nv = scale->type == ST_F8_E4M3;
    s->type = nv ? DT_NVFP4_ROWS : DT_MXFP4_ROWS;
    s->group = nv ? 16 : 32;
    s->rows = t->shape[t->n_dims - 2];
    s->code_row = t->shape[t->n_dims - 1];
    if (!ck_mul(s->code_row, 2, &s->cols) || s->cols % s->group || !has_shape(p, scale, s->rows, s->cols / s->group))
        return hf_bad_tensor(p->h, scale, ERR_FORMAT, "its shape does not go with the codes and groups of %u", s->group);
    s->scale = scale->data;
    s->scale_row = s->cols / s->group;
    if (!all) return 0;
    float f = all->type == ST_F32 && all->bytes == 4 ? hf_number(all->data, DT_F32, 0) : 0;
    if (divides) f = 1 / f;
    if (!nv || p->stack != 1 || !(f > 0) || !(f < 3e38f))
        return hf_bad_tensor(p->h, all, ERR_UNSUPPORTED, "must be one number above 0, of type F32");
    s->factor = f;
    return 0;
}

/* ---- bitsandbytes, 4 bits: a table of 16 numbers, and the largest of each block, which may be coded itself ---- */

static const struct st_tensor *floats(struct parts *p, const char *name, uint64_t n)
{
    const struct st_tensor *t = part(p, name);
    return t && t->type == ST_F32 && t->bytes == n * 4 ? t : NULL;
}

/* The largest number of each block as floats. */
static int block_tops(struct parts *p, const struct json *state, uint64_t blocks)
{
    const struct st_tensor *top = part(p, "weight.absmax"), *map, *scale;
    uint32_t per = 256;
    double offset = 0;
    p->s.scale = top ? top->data : NULL;
    if (top && top->type == ST_F32 && top->bytes == blocks * 4) return 0;
    int rc = hf_u32(p->h, state, "nested_blocksize", &per);
    if (rc < 0) return rc;
    map = floats(p, "weight.nested_quant_map", 256);
    scale = per ? floats(p, "weight.nested_absmax", (blocks + per - 1) / per) : NULL;
    if (!top || top->type != ST_U8 || top->bytes != blocks || !map || !scale || !hf_num(state, "nested_offset", &offset))
        return bad(p, ERR_FORMAT, "its absmax, or what that is coded with, is missing or does not go with it");
    float *v = arena_new(&p->h->arena, float, (size_t)blocks);
    if (!v) return hf_nomem(p->h);
    for (uint64_t i = 0; i < blocks; i++)
        v[i] = hf_number(map->data, DT_F32, top->data[i]) * hf_number(scale->data, DT_F32, i / per) + (float)offset;
    p->s.scale = (const uint8_t *)v;
    return 0;
}

static int coded4(struct parts *p, const struct json *state)
{
    struct split *s = &p->s;
    const struct json *shape = json_get(state, "shape");
    const struct st_tensor *map = floats(p, "weight.quant_map", 16);
    int64_t rows = json_int(json_at(shape, 0)), cols = json_int(json_at(shape, 1));
    uint64_t n;
    s->group = 64;
    int rc = hf_u32(p->h, state, "blocksize", &s->group);
    if (rc < 0) return rc;
    if (json_len(shape) != 2 || rows < 1 || cols < 1 || !ck_mul((uint64_t)rows, (uint64_t)cols, &n) || n / 2 != p->t->bytes ||
        !s->group || cols % s->group || cols % 2 || !map)
        return bad(p, ERR_UNSUPPORTED, "its shape, blocks or table do not go with its bytes, or blocks cross rows");
    s->type = DT_NF4_ROWS;
    s->rows = (uint64_t)rows;
    s->cols = (uint64_t)cols;
    s->code_row = s->cols / 2;
    s->scale_row = s->cols / s->group * 4;
    s->number = DT_F32;
    s->bias = map->data;
    return block_tops(p, state, n / s->group);
}

/* 0 when it is none of bitsandbytes', 1 when it is, or an error. */
static int bitsandbytes(struct parts *p)
{
    static const char *const name[] = { "weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4" };
    const struct st_tensor *t = part(p, name[0]);
    struct json *state;
    if (!t) t = part(p, name[1]);
    if (!t) return 0;
    if (t->type != ST_U8 || t->bytes > 4096 || p->stack != 1) return hf_bad_tensor(p->h, t, ERR_FORMAT, "must be a short text");
    int rc = json_parse(&state, (const char *)t->data, (size_t)t->bytes, p->h->err);
    if (rc < 0) return err_prefix(p->h->err, rc, "%s: tensor '%s': ", safetensors_path(p->h->st, t->file), t->name);
    rc = coded4(p, state);
    json_free(state);
    return rc < 0 ? rc : 1;
}

/* ---- AWQ, GPTQ ---- */

static bool is_quant(const struct json *q, const char *key, const char *value)
{
    const char *s = json_str(json_get(q, key), NULL);
    return s && !strcmp(s, value);
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
    const struct st_tensor *t = p->t, *index = gptq ? part(p, "g_idx") : NULL;
    /* what a module says by its shapes counts */
    if (index && index->n_dims == 1 && index->shape[0] && t->shape[0] <= index->shape[0] && t->shape[0] < 1 << 24)
        bits = (uint32_t)(t->shape[0] * 32 / index->shape[0]);
    if ((!awq && !gptq) || !(bits == 4 || (gptq && (bits == 2 || bits == 3 || bits == 8))) || p->stack != 1 ||
        (json_get(q, "version") && awq && !is_quant(q, "version", "gemm") && !is_quant(q, "version", "GEMM")))
        return bad(p, ERR_UNSUPPORTED, "this way of quantising is not supported (AWQ: 4 bits, gemm; GPTQ: 2, 3, 4 and 8 bits)");
    const struct st_tensor *zeros = part(p, "qzeros"), *scales = part(p, "scales");
    s->type = awq ? DT_AWQ4 : bits == 2 ? DT_GPTQ2 : bits == 3 ? DT_GPTQ3 : bits == 4 ? DT_GPTQ4 : DT_GPTQ8;
    /* columns stand below each other and rows side by side; AWQ the other way around */
    if (!ck_mul(t->shape[0], awq ? bits : 32, &s->cols) || !ck_mul(t->shape[1], awq ? 32 : bits, &s->rows))
        return bad(p, ERR_FORMAT, "its shape overflows");
    if ((!awq && s->cols % bits) || (awq && s->rows % bits)) return bad(p, ERR_FORMAT, "its words are no whole number of values");
    s->cols /= bits;
    s->rows /= bits;
    if (json_type(size) == JSON_INT && json_int(size) == -1 && s->cols < UINT32_MAX) group = (uint32_t)s->cols;
    else if ((rc = hf_u32(p->h, q, "group_size", &group)) < 0) return rc;
    if (!group || s->rows * bits % 32) return bad(p, ERR_FORMAT, "its rows or groups are no whole words");
    uint64_t groups = (s->cols + group - 1) / group;
    if (!zeros || !scales || zeros->type != ST_I32 || !has_shape(p, zeros, groups, s->rows * bits / 32) ||
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
    bool qweight = dot && !strcmp(dot, ".qweight"), words = dot && !strcmp(dot, ".weight_packed");
    struct parts p = { .h = h, .used = used, .t = t, .stack = t->n_dims == 3 ? t->shape[0] : 1, .bytes = t->bytes,
                       .s = { .code = t->data, .scale_rows = 1, .factor = 1 } };
    if (!(p.module = arena_strdup(&h->arena, t->name, n))) return hf_nomem(h);
    if (t->n_dims != 2 && t->n_dims != 3) return bad(&p, ERR_FORMAT, "must have two or three dimensions");
    for (uint32_t i = 0; i < t->n_dims; i++)
        if (!t->shape[i]) return bad(&p, ERR_FORMAT, "has a dimension of zero");
    if (p.stack > HF_MAX_EXPERTS) return bad(&p, ERR_LIMIT, "more than 4,096 experts");
    int rc;
    if (qweight && t->type == ST_I32) rc = packed(&p);
    else if (words && t->type == ST_I32) rc = compressed(&p);
    else if (!qweight && t->type == ST_U8) rc = (rc = bitsandbytes(&p)) ? rc : fp4(&p);
    else if (!qweight && t->type == ST_I8) rc = int8(&p);
    else if (!qweight && t->type == ST_U32) rc = mlx(&p);
    else if (!qweight && t->type == ST_F8_E4M3) rc = fp8(&p);
    else return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "type %s is not supported for a matrix", st_type_name(t->type));
    if (rc < 0) return rc;
    used[t - safetensors_at(h->st, 0)] = true;
    return finish(&p, out);
}

struct split *hf_split_half(struct hf *h, const struct gguf_tensor *t, uint64_t n, unsigned k)
{
    const struct split *from = (const struct split *)(const void *)t->data;
    const uint64_t rows = t->ne[1] / 2;
    const bool columns = from->index || from->type == DT_AWQ4 || (from->type >= DT_GPTQ4 && from->type <= DT_GPTQ3);
    if (columns || (from->scale_rows > 1 && from->scale_rows < t->ne[1] && rows % from->scale_rows)) return NULL;
    struct split *v = arena_new(&h->arena, struct split, (size_t)n);
    for (uint64_t e = 0; v && e < n; e++) {
        v[e] = from[e];
        v[e].rows = rows;
        v[e].code += k * rows * v[e].code_row;
        if (v[e].scale) v[e].scale += k * rows / v[e].scale_rows * v[e].scale_row;
        if (v[e].bias && v[e].type != DT_NF4_ROWS) v[e].bias += k * rows * v[e].scale_row;
    }
    return v;
}
