/* hf_tensor.c - tensors under the names of Hugging Face checkpoints become tensors under GGUF's, where they lie. */
#include <string.h>

#include "base/ck.h"
#include "base/detmath.h"
#include "base/mem.h"
#include "format/hf_impl.h"
#include "format/split.h"

enum kind { LINEAR, NORM, PLAIN_NORM, EXPERT, GATE_UP, VECTOR, CONV, DECAY, STACK };

/* What a layer may have: its module's name, GGUF's, and the flags that its family must have, or must not.  A VECTOR (DECAY: of
 * logarithms) is a tensor by its whole name, in both worlds; # is the number of an expert.  A PLAIN_NORM never lacks its +1.  A
 * STACK of matrices may come without ".weight". */
static const struct module { const char *hf, *gguf; enum kind kind; unsigned need, never; } modules[] = {
#include "format/hf_modules.inc"
};
enum { N_MODULE = sizeof modules / sizeof *modules };

/* What belongs to no layer, by its whole name in both worlds; the output matrix is looked for elsewhere. */
static const struct module tops[] = {
    { "embed_tokens.weight", "token_embd.weight", LINEAR, 0, 0 },
    { "norm.weight", "output_norm.weight", NORM, 0, 0 },
    { "norm.bias", "output_norm.bias", VECTOR, HF_PLAIN, 0 },
    { "final_layernorm.weight", "output_norm.weight", NORM, HF_PLAIN, 0 },
    { "final_layernorm.bias", "output_norm.bias", VECTOR, HF_PLAIN, 0 },
    { "embedding_norm.weight", "token_embd_norm.weight", PLAIN_NORM, HF_CONV, 0 },
    { "embed_tokens_per_layer.weight", "per_layer_token_embd.weight", LINEAR, HF_GEMMA4, 0 },
    { "per_layer_model_projection.weight", "per_layer_model_proj.weight", LINEAR, HF_GEMMA4, 0 },
    { "per_layer_projection_norm.weight", "per_layer_proj_norm.weight", PLAIN_NORM, HF_GEMMA4, 0 },
};

struct build {
    struct hf *h;
    const char *prefix;                     /* of the text model */
    size_t n_prefix;
    bool *used;                             /* by tensor of the files */
    size_t *stack;                          /* [layer][module]: 1 + the index of its tensor of experts */
    uint32_t *count;                        /* likewise: experts that were seen */
};

int hf_bad_tensor(struct hf *h, const struct st_tensor *t, int code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    return err_set(h->err, code, "%s: tensor '%s': %s", safetensors_path(h->st, t->file),
                   gguf_show((struct gguf_str){ t->name, strlen(t->name) }).s, text);
}

static void use(struct build *b, const struct st_tensor *t) { b->used[t - safetensors_at(b->h->st, 0)] = true; }

/* ---- plain numbers ---- */

bool hf_float_type(enum st_type t, enum dtype *out)
{
    if (t != ST_F32 && t != ST_F16 && t != ST_BF16) return false;
    *out = t == ST_F32 ? DT_F32 : t == ST_F16 ? DT_F16 : DT_BF16;
    return true;
}

float *hf_add_vector(struct hf *h, const char *name, uint64_t n)
{
    float *x = n < 1 << 24 ? arena_new(&h->arena, float, (size_t)n) : NULL;
    struct gguf_tensor *t = x ? hf_add(h, name) : NULL;
    if (!x) hf_nomem(h);
    if (!t) return NULL;
    t->type = DT_F32;
    t->n_dims = 1;
    t->ne[0] = n;
    t->data = (const uint8_t *)x;
    t->bytes = 4 * n;
    return x;
}

static float half_float(uint32_t h)
{
    uint32_t e = h >> 10 & 31, m = h & 1023, u = (h & 0x8000) << 16;
    float f;
    if (e == 31) u |= 0x7f800000 | m << 13;
    else if (e) u |= (e + 112) << 23 | m << 13;
    memcpy(&f, &u, 4);
    if (e || !m) return f;
    return h & 0x8000 ? -(float)m * 0x1p-24f : (float)m * 0x1p-24f;
}

float hf_number(const uint8_t *p, enum dtype t, uint64_t i)
{
    const uint8_t *q = p + i * (t == DT_F32 ? 4 : 2);
    uint32_t u = (uint32_t)q[0] | (uint32_t)q[1] << 8;
    float f;
    if (t == DT_F16) return half_float(u);
    u = t == DT_BF16 ? u << 16 : u | (uint32_t)q[2] << 16 | (uint32_t)q[3] << 24;
    memcpy(&f, &u, 4);
    return f;
}

int hf_add_numbers(struct hf *h, const struct st_tensor *t, const char *name, uint64_t first, const uint64_t ne[2], float **out)
{
    enum dtype type;
    uint64_t n;
    if (!hf_float_type(t->type, &type))
        return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "type %s is not supported for a vector", st_type_name(t->type));
    if (!ck_mul(ne[0], ne[1], &n)) return hf_bad_tensor(h, t, ERR_LIMIT, "too large");
    float *x = hf_add_vector(h, name, n);
    if (!x) return ERR_NOMEM;
    for (uint64_t i = 0; i < n; i++) x[i] = hf_number(t->data, type, first + i);
    struct gguf_tensor *added = &h->tensor[h->n_tensors - 1];
    added->n_dims = t->n_dims > 1 ? 2 : 1;
    added->ne[0] = ne[0];
    added->ne[1] = ne[1];
    if (out) *out = x;
    return 0;
}

/* A norm or bias: a copy in float32, as the arithmetic wants it. */
static int vector(struct build *b, const struct st_tensor *t, const char *name, float plus)
{
    float *x;
    if (t->n_dims != 1 || !t->shape[0]) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must have one dimension");
    int rc = hf_add_numbers(b->h, t, name, 0, (uint64_t[]){ t->shape[0], 1 }, &x);
    if (rc < 0) return rc;
    for (uint64_t i = 0; i < t->shape[0]; i++) x[i] += plus;
    use(b, t);
    return 0;
}

/* What a state is multiplied by is e^(-e^x) to the power of the step; GGUF has -e^x. */
static int decay(struct build *b, const struct st_tensor *t, const char *name)
{
    float *x;
    if (t->n_dims != 1 || !t->shape[0]) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must have one dimension");
    int rc = hf_add_numbers(b->h, t, name, 0, (uint64_t[]){ t->shape[0], 1 }, &x);
    if (rc < 0) return rc;
    for (uint64_t i = 0; i < t->shape[0]; i++) x[i] = (float)-det_exp((double)x[i]);
    use(b, t);
    return 0;
}

/* A depth-wise convolution [channels][1][taps], or [channels][taps][1]: a copy in float32. */
static int convolution(struct build *b, const struct st_tensor *t, const char *name)
{
    uint64_t n;
    float *x;
    if (t->n_dims != 3 || !t->shape[0] || (t->shape[1] != 1 && t->shape[2] != 1) || !ck_mul(t->shape[1], t->shape[2], &n) ||
        !n || n > 64)
        return hf_bad_tensor(b->h, t, ERR_FORMAT, "must be [channels, 1, taps]");
    int rc = hf_add_numbers(b->h, t, name, 0, (uint64_t[]){ n, t->shape[0] }, &x);
    if (rc == 0) use(b, t);
    return rc;
}

/* A matrix, or a stack of them, in place. */
static int matrix(struct build *b, const struct st_tensor *t, struct gguf_tensor *out)
{
    if (t->n_dims != 2 && t->n_dims != 3) return hf_bad_tensor(b->h, t, ERR_FORMAT, "must have two or three dimensions");
    if (!hf_float_type(t->type, &out->type)) return hf_split(b->h, b->used, t, out);
    out->n_dims = t->n_dims;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        out->ne[i] = t->shape[t->n_dims - 1 - i];
        if (!out->ne[i]) return hf_bad_tensor(b->h, t, ERR_FORMAT, "has a dimension of zero");
    }
    out->data = t->data;
    out->bytes = t->bytes;
    out->file = t->file;
    out->offset = t->offset;
    use(b, t);
    return 0;
}

static int whole_matrix(struct build *b, const struct st_tensor *t, const char *name)
{
    struct gguf_tensor x = { .ne = { 1, 1, 1, 1 } };
    int rc = matrix(b, t, &x);
    struct gguf_tensor *out = rc == 0 ? hf_add(b->h, name) : NULL;
    if (!out) return rc < 0 ? rc : ERR_NOMEM;
    x.name = out->name;
    *out = x;
    return 0;
}

/* ---- experts ---- */

static const uint8_t **new_slices(struct hf *h, struct gguf_tensor *t, uint64_t n)
{
    const uint8_t **slice = arena_new(&h->arena, const uint8_t *, (size_t)n);
    if (!slice) hf_nomem(h);
    t->slice = slice;
    return slice;
}

/* Expert e of a module: a slice of one tensor. */
static int expert(struct build *b, const struct st_tensor *t, const char *name, size_t at, uint32_t e)
{
    struct hf *h = b->h;
    struct gguf_tensor x = { .ne = { 1, 1, 1, 1 } };
    int rc = matrix(b, t, &x);
    if (rc < 0) return rc;
    if (x.n_dims != 2) return hf_bad_tensor(h, t, ERR_FORMAT, "must have two dimensions");
    if (e >= h->n_expert)
        return hf_bad_tensor(h, t, ERR_FORMAT, "expert %u of %u", e, h->n_expert);
    if (!b->stack[at]) {
        struct gguf_tensor *s = hf_add(h, name);
        if (!s) return ERR_NOMEM;
        x.name = s->name;
        x.n_dims = 3;
        x.ne[2] = h->n_expert;
        if (!ck_mul(x.bytes, h->n_expert, &x.bytes)) return hf_bad_tensor(h, t, ERR_LIMIT, "too large");
        *s = x;
        if (!new_slices(h, s, h->n_expert)) return ERR_NOMEM;
        b->stack[at] = h->n_tensors;
    }
    struct gguf_tensor *s = &h->tensor[b->stack[at] - 1];
    const uint8_t **slice = (const uint8_t **)(uintptr_t)s->slice;
    if (s->type != x.type || s->ne[0] != x.ne[0] || s->ne[1] != x.ne[1])
        return hf_bad_tensor(h, t, ERR_FORMAT, "differs in type or shape from the other experts of its layer");
    if (slice[e]) return hf_bad_tensor(h, t, ERR_FORMAT, "expert %u occurs twice", e);
    slice[e] = x.data;
    if (e == 0) s->data = x.data;
    b->count[at]++;
    return 0;
}

/* Rows of half k of x, n matrices, under a name of their own. */
static int half(struct build *b, const struct st_tensor *t, const struct gguf_tensor *x, const char *name, unsigned k)
{
    struct gguf_tensor *s = hf_add(b->h, name);
    if (!s) return ERR_NOMEM;
    const uint64_t n = x->n_dims > 2 ? x->ne[2] : 1, one = x->bytes / n;
    const char *own = s->name;
    *s = *x;
    s->name = own;
    s->ne[1] = x->ne[1] / 2;
    s->bytes = x->bytes / 2;
    s->offset += k ? one / 2 : 0;
    struct split *v = NULL;
    if (dtype_info(x->type)->family == DTF_SPLIT && !(v = hf_split_half(b->h, x, n, k)))
        return hf_bad_tensor(b->h, t, ERR_UNSUPPORTED, "gate and up in one tensor that is quantised this way are not supported");
    s->data = v ? (const uint8_t *)v : x->data + (k ? one / 2 : 0);
    if (n == 1) return 0;
    const uint8_t **slice = new_slices(b->h, s, n);
    if (!slice) return ERR_NOMEM;
    for (uint64_t e = 0; e < n; e++) slice[e] = v ? (const uint8_t *)&v[e] : s->data + e * one;
    return 0;
}

/* [2F][D], or [E][2F][D], with the rows of the gate first: two tensors. */
static int gate_up(struct build *b, const struct st_tensor *t, uint32_t il)
{
    static const char *const part[] = { "ffn_gate", "ffn_up" };
    struct gguf_tensor x = { .ne = { 1, 1, 1, 1 } };
    int rc = matrix(b, t, &x);
    if (rc == 0 && x.ne[1] % 2)
        rc = hf_bad_tensor(b->h, t, ERR_FORMAT, "must be [2 x width, input], or [experts, 2 x width, input]");
    for (unsigned k = 0; k < 2 && rc == 0; k++) {
        char name[64];
        fmt_into(name, sizeof name, "blk.%u.%s%s.weight", il, part[k], x.n_dims > 2 ? "_exps" : "");
        rc = half(b, t, &x, name, k);
    }
    return rc;
}

/* ---- names ---- */

/* Whether name (n bytes) is the pattern, in which # stands for a number, which goes to *number. */
static bool matches(const char *pattern, const char *name, size_t n, uint32_t *number)
{
    const char *end = name + n;
    for (; *pattern; pattern++) {
        if (*pattern != '#') {
            if (name == end || *name++ != *pattern) return false;
            continue;
        }
        const char *from = name;
        uint32_t v = 0;
        for (; name < end && *name >= '0' && *name <= '9' && v < 100000; name++) v = v * 10 + (uint32_t)(*name - '0');
        if (name == from || (name - from > 1 && *from == '0')) return false;
        *number = v;
    }
    return name == end;
}

static const struct module *find_module(const struct hf_family *f, const char *name, size_t n, uint32_t *number)
{
    unsigned flags = f->flags, kept = flags & HF_LEAD ? flags & ~(unsigned)HF_MOE : flags;
    for (size_t i = 0; i < N_MODULE; i++) {
        const struct module *m = &modules[i];
        if ((flags & m->need) != m->need || (kept & m->never)) continue;
        if (matches(m->hf, name, n, number)) return m;
    }
    return NULL;
}

enum hf_matrix hf_matrix_name(const struct hf_family *f, const char *name, size_t n, const char **gguf, uint32_t *expert)
{
    const struct module *m = find_module(f, name, n, expert);
    if (!m) return HF_UNKNOWN_MODULE;
    *gguf = m->gguf;
    return m->kind == LINEAR || m->kind == STACK ? HF_MATRIX : m->kind == EXPERT ? HF_EXPERT : HF_NO_MATRIX;
}

static float plus(const struct hf *h) { return h->family->flags & HF_PLUS_ONE && !h->mlx_norms ? 1 : 0; }

/* The tensor `rest` of layer il; leaves what it does not know unused. */
static int layer_tensor(struct build *b, uint32_t il, const char *rest, const struct st_tensor *t)
{
    const char *dot = strrchr(rest, '.');
    bool weight = dot && (!strcmp(dot, ".weight") || !strcmp(dot, ".qweight") || !strcmp(dot, ".weight_packed"));
    bool bias = dot && !strcmp(dot, ".bias");
    size_t n = weight || bias ? (size_t)(dot - rest) : strlen(rest);
    uint32_t number = 0;
    char name[64];
    const struct module *m = find_module(b->h->family, rest, n, &number);
    /* only vectors and some stacks of experts have no .weight */
    bool bare = !weight && !bias;
    bool vectors = m && (m->kind == VECTOR || m->kind == DECAY);
    if (!m || vectors != (bare && m->kind != GATE_UP && m->kind != STACK)) return 0;
    bool shared = il >= b->h->n_layer - b->h->n_shared;
    if (shared && (!strcmp(m->gguf, "attn_k") || !strcmp(m->gguf, "attn_v") || !strcmp(m->gguf, "attn_k_norm"))) {
        use(b, t);                          /* trained, and never read */
        return 0;
    }
    if (vectors) fmt_into(name, sizeof name, "blk.%u.%s", il, m->gguf);
    else fmt_into(name, sizeof name, "blk.%u.%s.%s", il, m->gguf, bias ? "bias" : "weight");
    size_t at = (size_t)il * N_MODULE + (size_t)(m - modules);
    bool biased = m->kind == LINEAR || (m->kind == NORM && b->h->family->flags & (HF_ENCODER | HF_PLAIN));
    if (bias) return biased ? vector(b, t, name, 0) : 0;
    switch (m->kind) {
    case NORM: return vector(b, t, name, plus(b->h));
    case PLAIN_NORM: return vector(b, t, name, 0);
    case CONV: return convolution(b, t, name);
    case DECAY: return decay(b, t, name);
    case EXPERT: return expert(b, t, name, at, number);
    case GATE_UP: return gate_up(b, t, il);
    case VECTOR: return vector(b, t, name, 0);
    case LINEAR:
    case STACK: break;
    }
    return whole_matrix(b, t, name);
}

/* "layers.N.", of encoders also "encoder.layer.N." and "encoder.layers.N.": N and what follows. */
static const char *after_layer(const char *s, uint32_t *n)
{
    if (!strncmp(s, "encoder.layer", 13)) s += 8;
    if (strncmp(s, "layer", 5) != 0) return NULL;
    s += s[5] == 's' ? 6 : 5;
    if (*s != '.' || s[1] < '0' || s[1] > '9') return NULL;
    *n = 0;
    for (s++; *s >= '0' && *s <= '9' && *n < 100000; s++) *n = *n * 10 + (uint32_t)(*s - '0');
    return *s == '.' ? s + 1 : NULL;
}

static const char *const heads[] = { "lm_head.weight", "language_model.lm_head.weight", "model.lm_head.weight", "lm_head.qweight",
                                     "lm_head.weight_packed" };

static const struct st_tensor *find_head(const struct hf *h)
{
    const struct st_tensor *t = NULL;
    for (size_t i = 0; !t && i < sizeof heads / sizeof *heads; i++) t = safetensors_find(h->st, heads[i]);
    return t;
}

/* The output matrix, unless it is the embedding. */
static int head(struct build *b)
{
    struct hf *h = b->h;
    const struct json *said = json_get(h->config, "tie_word_embeddings");
    if (json_type(said) != JSON_BOOL) said = json_get(h->text, "tie_word_embeddings");
    const struct st_tensor *t = find_head(h);
    const char *class = json_str(json_at(json_get(h->config, "architectures"), 0), NULL);
    bool headless = !t && class && strlen(class) > 5 && !strcmp(class + strlen(class) - 5, "Model");
    bool tied = headless || (json_type(said) == JSON_BOOL ? json_bool(said) : !t);
    if (t) use(b, t);
    if (tied) return 0;
    const struct st_tensor *bias = h->family->flags & HF_PLAIN ? safetensors_find(h->st, "lm_head.bias") : NULL;
    int rc = bias ? vector(b, bias, "output.bias", 0) : 0;
    if (rc < 0) return rc;
    if (!t) return err_set(h->err, ERR_FORMAT, "%s: tensor lm_head.weight is missing", h->folder);
    return whole_matrix(b, t, "output.weight");
}

static int encoder_tensor(struct build *b, const struct st_tensor *t)
{
    const char *name = t->name + (strncmp(t->name, b->prefix, b->n_prefix) ? 0 : b->n_prefix), *gguf = NULL, *rest;
    bool is_matrix = false;
    uint32_t il;
    if ((rest = after_layer(name, &il)) && il < b->h->n_layer) return layer_tensor(b, il, rest, t);
    int rc = hf_encoder_tensor(b->h, name, t, &is_matrix, &gguf);
    if (rc < 1) return rc;
    use(b, t);
    return is_matrix && gguf ? whole_matrix(b, t, gguf) : 0;
}

static int text_tensor(struct build *b, const struct st_tensor *t)
{
    const char *s = t->name + b->n_prefix, *rest;
    uint32_t il;
    for (size_t i = 0; i < sizeof tops / sizeof *tops; i++) {
        const struct module *m = &tops[i];
        if ((b->h->family->flags & m->need) != m->need || strcmp(s, m->hf) != 0) continue;
        return m->kind == LINEAR ? whole_matrix(b, t, m->gguf) : vector(b, t, m->gguf, m->kind == NORM ? plus(b->h) : 0);
    }
    if (!(rest = after_layer(s, &il))) return 0;
    /* Layers behind the last guess further tokens; the buffers of rotary positions are computed here, and caches not quantised
     * in a way that needs scales. */
    static const char *const left[] = { ".rotary_emb.inv_freq", ".k_scale", ".v_scale", ".q_scale", ".kv_scale",
                                        ".output_scale" };
    bool leave = il >= b->h->n_layer;
    for (size_t i = 0; i < sizeof left / sizeof *left; i++)
        leave |= strlen(rest) > strlen(left[i]) && !strcmp(rest + strlen(rest) - strlen(left[i]), left[i]);
    if (leave) {
        use(b, t);
        return 0;
    }
    int rc = b->h->family->flags & HF_OSS ? hf_oss_tensor(b->h, b->used, il, rest, t) : 0;
    return rc ? (rc < 0 ? rc : 0) : layer_tensor(b, il, rest, t);
}

const char *hf_after_mtp(const struct hf *h, const char *name)
{
    if (!(h->family->flags & HF_DELTA)) return NULL;
    if (!strncmp(name, "language_model.", 15)) name += 15;
    return strncmp(name, "mtp.", 4) ? NULL : name + 4;
}

/* Beside the model: mtp.layers.0. and what leads into that block and out of it.  What is not understood is left out with it. */
static int next_tensor(struct build *b, const char *rest, const struct st_tensor *t)
{
    uint32_t il = 0;
    const char *in = after_layer(rest, &il);
    use(b, t);
    return b->h->n_next && !il ? layer_tensor(b, b->h->n_layer - 1, in ? in : rest, t) : 0;
}

static bool is_text(const struct build *b, const char *name)
{
    if (b->h->family->flags & HF_ENCODER) return true;
    static const char *const vision[] = { "model.vision", "model.visual", "model.multi_modal_projector", "model.aligner" };
    for (size_t i = 0; i < sizeof vision / sizeof *vision; i++)
        if (!strncmp(name, vision[i], strlen(vision[i]))) return false;
    return !strncmp(name, b->prefix, b->n_prefix) || !strncmp(name, "lm_head.", 8) ||
           !strncmp(name, "language_model.lm_head.", 23);
}

static int find_prefix(struct build *b)
{
    static const char *const prefix[] = { "model.language_model.", "language_model.model.", "model.", "language_model.", "bert.",
                                          "roberta.", "" };
    const char *table = !(b->h->family->flags & HF_ENCODER) ? "embed_tokens.weight"
        : b->h->family->flags & HF_MODERN ? "embeddings.tok_embeddings.weight" : "embeddings.word_embeddings.weight";
    char name[96];
    for (size_t i = 0; i < sizeof prefix / sizeof *prefix; i++) {
        fmt_into(name, sizeof name, "%s%s", prefix[i], table);
        if (!safetensors_find(b->h->st, name)) continue;
        b->prefix = prefix[i];
        b->n_prefix = strlen(prefix[i]);
        return 0;
    }
    return err_set(b->h->err, ERR_FORMAT, "%s: has no tensor %s", b->h->folder, table);
}

static int check_all(struct build *b)
{
    struct hf *h = b->h;
    for (size_t i = 0; i < safetensors_n(h->st); i++) {
        const struct st_tensor *t = safetensors_at(h->st, i);
        if (!b->used[i] && is_text(b, t->name))
            return hf_bad_tensor(h, t, ERR_UNSUPPORTED, "architecture %s has no use for it: the model is another one, or newer "
                                 "than this program", h->family->arch);
    }
    for (size_t i = 0; i < (size_t)h->n_layer * N_MODULE; i++)
        if (b->count[i] && b->count[i] != h->n_expert)
            return err_set(h->err, ERR_FORMAT, "%s: tensor %s has only %u of %u experts", h->folder,
                           h->tensor[b->stack[i] - 1].name,
                           b->count[i], h->n_expert);
    return 0;
}

/* Conversions to MLX turn the convolutions of delta nets, and add the +1 of the norms in the same go. */
static bool has_turned_convolutions(const struct hf *h)
{
    for (size_t i = 0; i < safetensors_n(h->st); i++) {
        const struct st_tensor *t = safetensors_at(h->st, i);
        const char *at = strstr(t->name, ".linear_attn.conv1d.weight");
        if (at && t->n_dims == 3) return t->shape[2] == 1 && t->shape[1] != 1;
    }
    return false;
}

int hf_tensors(struct hf *h)
{
    struct build b = { .h = h };
    size_t n = safetensors_n(h->st), n_at = (size_t)h->n_layer * N_MODULE;
    b.used = mem_new_array(bool, n + 1);
    b.stack = mem_new_array(size_t, n_at);
    b.count = mem_new_array(uint32_t, n_at);
    int rc = b.used && b.stack && b.count ? find_prefix(&b) : hf_nomem(h);
    h->mlx_norms = h->family->flags & HF_DELTA && has_turned_convolutions(h);
    bool encoder = h->family->flags & HF_ENCODER;
    if (rc == 0 && !encoder) rc = head(&b);
    for (size_t i = 0; i < n && rc == 0; i++) {
        const struct st_tensor *t = safetensors_at(h->st, i);
        const char *rest = hf_after_mtp(h, t->name);
        if (encoder) rc = encoder_tensor(&b, t);
        else if (rest) rc = next_tensor(&b, rest, t);
        else if (!strncmp(t->name, b.prefix, b.n_prefix)) rc = text_tensor(&b, t);
    }
    if (rc == 0) rc = check_all(&b);
    mem_free(b.used);
    mem_free(b.stack);
    mem_free(b.count);
    return rc;
}

/* Sentence encoders may have two matrices behind the pooling: 2_Dense and 3_Dense, each with a file of its own. */
int hf_dense(struct hf *h)
{
    static const struct { const char *folder, *name; } part[] = { { "2_Dense", "dense_2.weight" }, { "3_Dense",
            "dense_3.weight" } };
    for (size_t i = 0; i < 2 && !strcmp(h->family->arch, "gemma-embedding"); i++) {
        const char *folder = hf_path(h, part[i].folder);
        if (!folder) return hf_nomem(h);
        int rc = safetensors_open(&h->dense[i], folder, h->err);
        if (rc == ERR_NOTFOUND) return 0;
        if (rc < 0) return rc;
        const struct st_tensor *t = safetensors_find(h->dense[i], "linear.weight");
        enum dtype type;
        if (!t || safetensors_n(h->dense[i]) != 1 || t->n_dims != 2 || !t->shape[0] || !t->shape[1] ||
            !hf_float_type(t->type, &type))
            return err_set(h->err, ERR_UNSUPPORTED, "%s: must hold one matrix of floats, linear.weight", folder);
        struct gguf_tensor *out = hf_add(h, part[i].name);
        if (!out) return ERR_NOMEM;
        out->type = type;
        out->n_dims = 2;
        out->ne[0] = t->shape[1];
        out->ne[1] = t->shape[0];
        out->data = t->data;
        out->bytes = t->bytes;
    }
    return 0;
}
