#include "format/peft.h"

#include <math.h>
#include <string.h>

#include "base/ck.h"
#include "base/mem.h"
#include "format/hf_impl.h"

enum { MAX_TENSORS = 65536 };

/* What lives as long as the result. */
struct peft {
    struct arena arena;
    const char *folder, *config_path, *path;   /* path: of the tensors */
    struct json *config;
    struct os_map map;
    struct safetensors *st;
    struct gguf_writer *w;
    struct buf header;
    struct gguf_tensor *tensor;
    size_t n;
    struct stack { size_t at; const uint8_t **slice; } *stack;     /* [n_layer][6] of experts: 1 + its tensor */
    const struct gguf *base;
    struct gguf_str arch;
    uint32_t n_layer, n_expert;
    bool mlx, rslora;
    double alpha, factor;                      /* lora_alpha; mlx: the scale itself */
    struct err *err;
};

static int nomem(const struct peft *p)
{
    return err_set(p->err, ERR_NOMEM, "%s: out of memory reading the adapter", p->folder);
}

static int bad(const struct peft *p, const struct st_tensor *t, int code, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
static int bad(const struct peft *p, const struct st_tensor *t, int code, const char *fmt, ...)
{
    char text[256];
    va_list ap;
    va_start(ap, fmt);
    os_vformat(text, sizeof text, fmt, ap);
    va_end(ap);
    struct gguf_shown name = gguf_show((struct gguf_str){ t->name, strlen(t->name) });
    return err_set(p->err, code, "%s: tensor '%s': %s", p->path, name.s, text);
}

static char *path_of(struct peft *p, const char *name)
{
    size_t n = strlen(p->folder) + strlen(name) + 2;
    char *s = arena_new(&p->arena, char, n);
    if (s) fmt_into(s, n, "%s/%s", p->folder, name);
    return s;
}

/* ---- adapter_config.json ---- */

static bool is_true(const struct json *j) { return json_type(j) == JSON_BOOL && json_bool(j); }

/* A setting that is an error unless it is absent, null, false, or the word. */
static int only(const struct peft *p, const char *key, const char *word)
{
    struct json *j = json_get(p->config, key);
    const char *s = json_str(j, NULL);
    if (!j || json_type(j) == JSON_NULL || (json_type(j) == JSON_BOOL && !json_bool(j)) || (s && word && !strcmp(s, word)))
        return 0;
    return err_set(p->err, ERR_UNSUPPORTED, "%s: %s is %.40s, which is not supported", p->config_path, key,
                   s ? s : json_type(j) == JSON_BOOL ? "true" : "set");
}

static int number(const struct peft *p, const struct json *j, const char *key, double *out)
{
    if (hf_num(j, key, out) && isfinite(*out) && fabs(*out) < 1e6) return 0;
    return err_set(p->err, ERR_FORMAT, "%s: %s is missing or no sound number", p->config_path, key);
}

static int read_mlx(struct peft *p)
{
    int rc = only(p, "fine_tune_type", "lora");
    return rc < 0 ? rc : number(p, json_get(p->config, "lora_parameters"), "scale", &p->factor);
}

static int read_config(struct peft *p)
{
    char *text;
    size_t n;
    if (!(p->config_path = path_of(p, "adapter_config.json"))) return nomem(p);
    int rc = os_read_file(p->config_path, HF_MAX_CONFIG, &text, &n, p->err);
    if (rc < 0) return rc;
    rc = json_parse(&p->config, text, n, p->err);
    mem_free(text);
    if (rc < 0) return err_prefix(p->err, rc, "%s: ", p->config_path);
    if (json_type(p->config) != JSON_OBJECT) return err_set(p->err, ERR_FORMAT, "%s: not a JSON object", p->config_path);
    p->mlx = json_get(p->config, "fine_tune_type") || json_get(p->config, "lora_parameters");
    if (p->mlx) return read_mlx(p);
    static const struct { const char *key, *word; } plain[] = {
        { "peft_type", "LORA" }, { "use_dora", NULL }, { "bias", "none" }, { "lora_bias", NULL }, { "use_qalora", NULL },
        { "target_parameters", NULL }, { "trainable_token_indices", NULL }, { "alora_invocation_tokens", NULL },
    };
    for (size_t i = 0; rc == 0 && i < sizeof plain / sizeof *plain; i++) rc = only(p, plain[i].key, plain[i].word);
    p->rslora = is_true(json_get(p->config, "use_rslora"));
    return rc < 0 ? rc : number(p, p->config, "lora_alpha", &p->alpha);
}

/* The alpha of a module: the one whose pattern its name ends with, as a whole word, else the common one. */
static double alpha_of(const struct peft *p, const char *module, size_t n)
{
    struct json *all = json_get(p->config, "alpha_pattern");
    struct json *v;
    const char *key;
    void *it = NULL;
    while (json_type(all) == JSON_OBJECT && json_next(all, &it, &key, &v)) {
        size_t k = strlen(key);
        if (k > n || memcmp(module + n - k, key, k) || (k < n && module[n - k - 1] != '.')) continue;
        if (json_type(v) == JSON_INT || json_type(v) == JSON_REAL) return json_num(v);
    }
    return p->alpha;
}

static double scale_of(const struct peft *p, const char *module, size_t n, uint64_t rank)
{
    if (p->mlx) return p->factor;
    double alpha = alpha_of(p, module, n);
    return p->rslora ? alpha / sqrt((double)rank) : alpha / (double)rank;
}

/* ---- names ---- */

/* Which half of a pair a tensor is: its module's name is name[0 .. n). */
struct part { const char *name; size_t n; bool b, table; };

static bool ends(const char *s, size_t n, const char *end, size_t *left)
{
    size_t k = strlen(end);
    if (n <= k || memcmp(s + n - k, end, k)) return false;
    *left = n - k;
    return true;
}

static bool find_part(const struct peft *p, const char *name, struct part *out)
{
    static const struct { const char *end; bool mlx, b, table; } form[] = {
        { ".lora_A.weight", false, false, false }, { ".lora_B.weight", false, true, false },
        { ".lora_A.default.weight", false, false, false }, { ".lora_B.default.weight", false, true, false },
        { ".lora_embedding_A", false, false, true }, { ".lora_embedding_B", false, true, true },
        { ".lora_embedding_A.default", false, false, true }, { ".lora_embedding_B.default", false, true, true },
        { ".lora_a", true, false, false }, { ".lora_b", true, true, false },
    };
    size_t n = strlen(name);
    for (size_t i = 0; i < sizeof form / sizeof *form; i++) {
        if (form[i].mlx != p->mlx || !ends(name, n, form[i].end, &out->n)) continue;
        out->name = name;
        out->b = form[i].b;
        out->table = form[i].table;
        if (p->mlx || strncmp(name, "base_model.model.", 17)) return true;
        out->name += 17;
        out->n -= 17;
        return out->n > 0;
    }
    return false;
}

static bool is(const struct part *q, const char *name) { return strlen(name) == q->n && !memcmp(q->name, name, q->n); }

/* What a module is in GGUF: its name, and for an expert which one, and of which stack. */
struct place { char name[96]; bool expert; uint32_t e; size_t stack; };

/* s .. end: "3.self_attn.q_proj" */
static bool layer_place(const struct peft *p, const char *s, const char *end, bool b, struct place *out)
{
    const char *from = s, *to;
    const struct hf_family *f;
    uint32_t l = 0;
    for (; s < end && *s >= '0' && *s <= '9' && l < 100000; s++) l = l * 10 + (uint32_t)(*s - '0');
    if (s == from || s == end || *s != '.' || l >= p->n_layer) return false;
    for (size_t i = 0; (f = hf_family_of_arch(p->arch, i)); i++) {
        enum hf_matrix kind = hf_matrix_name(f, s + 1, (size_t)(end - s - 1), &to, &out->e);
        if (kind != HF_MATRIX && kind != HF_EXPERT) continue;
        out->expert = kind == HF_EXPERT;
        fmt_into(out->name, sizeof out->name, "blk.%u.%s.weight.lora_%c", l, to, b ? 'b' : 'a');
        /* ffn_gate_exps, ffn_up_exps, ffn_down_exps */
        if (out->expert) out->stack = (size_t)l * 6 + (to[4] == 'g' ? 0 : to[4] == 'u' ? 2 : 4) + b;
        return true;
    }
    return false;
}

static bool place_of(const struct peft *p, const struct part *q, struct place *out)
{
    static const char *const prefix[] = { "model.language_model.", "language_model.model.", "model.", "language_model.", "" };
    const char *end = q->name + q->n, *whole = NULL;
    *out = (struct place){ .e = 0 };
    if (is(q, "lm_head") || is(q, "language_model.lm_head") || is(q, "model.lm_head")) whole = "output";
    for (size_t i = 0; !whole && i < sizeof prefix / sizeof *prefix; i++) {
        size_t k = strlen(prefix[i]);
        if (q->n < k || memcmp(q->name, prefix[i], k)) continue;
        const char *s = q->name + k;
        if (end - s == 12 && !memcmp(s, "embed_tokens", 12)) whole = "token_embd";
        else if (end - s > 7 && !memcmp(s, "layers.", 7)) return layer_place(p, s + 7, end, q->b, out);
    }
    if (whole) fmt_into(out->name, sizeof out->name, "%s.weight.lora_%c", whole, q->b ? 'b' : 'a');
    return whole != NULL;
}

/* ---- numbers ---- */

/* The numbers of a matrix [rows][cols] as floats, transposed and scaled as asked; NULL without memory. */
static const uint8_t *copy(struct peft *p, const struct st_tensor *t, enum dtype type, bool turn, float scale)
{
    const uint64_t R = t->shape[0], C = t->shape[1], n = R * C * (t->n_dims > 2 ? t->shape[2] : 1);
    float *x = arena_new(&p->arena, float, (size_t)n);
    for (uint64_t i = 0; x && i < n; i++)
        x[turn ? i % C * R + i / C : i] = hf_number(t->data, type, i) * scale;
    return (const uint8_t *)x;
}

/* Matrix x of an expert goes into its layer's stack. */
static int put_expert(struct peft *p, const struct st_tensor *t, const struct gguf_tensor *x, const struct place *at)
{
    struct stack *k = &p->stack[at->stack];
    if (at->e >= p->n_expert) return bad(p, t, ERR_FORMAT, "expert %u, but the model has %u", at->e, p->n_expert);
    if (!k->at) {
        uint8_t *zeros = arena_new(&p->arena, uint8_t, (size_t)x->bytes);
        k->slice = arena_new(&p->arena, const uint8_t *, p->n_expert);
        if (!zeros || !k->slice) return nomem(p);
        for (uint32_t i = 0; i < p->n_expert; i++) k->slice[i] = zeros;
        struct gguf_tensor *s = &p->tensor[p->n++];
        *s = *x;
        s->n_dims = 3;
        s->ne[2] = p->n_expert;
        s->slice = k->slice;
        s->data = k->slice[0];
        if (!ck_mul(x->bytes, p->n_expert, &s->bytes)) return bad(p, t, ERR_LIMIT, "too large");
        k->at = p->n;
    }
    struct gguf_tensor *s = &p->tensor[k->at - 1];
    if (s->type != x->type || s->ne[0] != x->ne[0] || s->ne[1] != x->ne[1])
        return bad(p, t, ERR_UNSUPPORTED, "is %llu x %llu (%s), other experts of its layer %llu x %llu (%s)",
                   (unsigned long long)x->ne[0], (unsigned long long)x->ne[1], dtype_info(x->type)->name,
                   (unsigned long long)s->ne[0], (unsigned long long)s->ne[1], dtype_info(s->type)->name);
    k->slice[at->e] = x->data;
    if (!at->e) s->data = x->data;
    return 0;
}

/* The same bytes in GGUF's order: a copy where they must be turned, or scaled (fold). */
static int matrix(struct peft *p, const struct st_tensor *t, const struct part *q, bool fold, struct gguf_tensor *out)
{
    enum dtype type;
    const bool stack = p->mlx && t->n_dims == 3;
    const bool embedding = q->table || !strncmp(out->name, "token_embd.", 11);
    const bool turn = p->mlx ? !stack && (q->b || !embedding) : embedding && !q->b;
    if (!hf_float_type(t->type, &type)) return bad(p, t, ERR_UNSUPPORTED, "type %s is not supported", st_type_name(t->type));
    if (t->n_dims != 2 && !stack) return bad(p, t, ERR_FORMAT, "must have two dimensions");
    *out = (struct gguf_tensor){ .name = out->name, .type = type, .n_dims = t->n_dims, .ne = { 1, 1, 1, 1 }, .data = t->data,
                                 .bytes = t->bytes, .offset = t->offset };
    for (uint32_t i = 0; i < t->n_dims; i++) {
        out->ne[i] = t->shape[turn ? i : t->n_dims - 1 - i];
        if (!out->ne[i]) return bad(p, t, ERR_FORMAT, "has a dimension of zero");
    }
    if (!turn && !(fold && q->b)) return 0;
    out->data = copy(p, t, type, turn, fold && q->b ? (float)scale_of(p, q->name, q->n, out->ne[0]) : 1);
    out->type = DT_F32;
    out->bytes = t->bytes / (type == DT_F32 ? 4 : 2) * 4;
    out->file = GGUF_NO_FILE;
    return out->data ? 0 : nomem(p);
}

static int put_tensor(struct peft *p, const struct st_tensor *t, bool fold)
{
    struct part q;
    struct place at;
    struct gguf_tensor x;
    if (!find_part(p, t->name, &q))
        return bad(p, t, ERR_UNSUPPORTED, "is no part of a LoRA; trained biases, magnitudes and whole trained copies are not "
                   "supported");
    if (!place_of(p, &q, &at))
        return bad(p, t, ERR_UNSUPPORTED, "the model (architecture %.*s, %u layers) has no such matrix", (int)p->arch.n,
                   p->arch.s, p->n_layer);
    if (!(x.name = arena_strdup(&p->arena, at.name, strlen(at.name)))) return nomem(p);
    int rc = matrix(p, t, &q, fold, &x);
    if (rc < 0) return rc;
    if (at.expert) return put_expert(p, t, &x, &at);
    p->tensor[p->n++] = x;
    return 0;
}

/* The scale that all pairs have, as the alpha of which GGUF makes it; false when they differ. */
static bool common_alpha(const struct peft *p, float *alpha)
{
    double scale = 0, rank = 0;
    for (size_t i = 0; i < safetensors_n(p->st); i++) {
        const struct st_tensor *t = safetensors_at(p->st, i);
        struct part q;
        if (!find_part(p, t->name, &q) || !q.b || t->n_dims < 2) continue;
        uint64_t r = t->shape[p->mlx && t->n_dims == 2 ? 0 : t->n_dims - 1];
        double s = scale_of(p, q.name, q.n, r);
        if (rank != 0 && fabs(s * (double)r - scale * rank) > 1e-12 * fabs(scale * rank)) return false;
        scale = s;
        rank = (double)r;
    }
    *alpha = (float)(scale * rank);
    return *alpha != 0;
}

static int put_tensors(struct peft *p)
{
    const size_t n = safetensors_n(p->st);
    float alpha = 0;
    if (n > MAX_TENSORS) return err_set(p->err, ERR_LIMIT, "%s: %zu tensors; at most %d", p->path, n, MAX_TENSORS);
    p->tensor = arena_new(&p->arena, struct gguf_tensor, n + 1);
    p->stack = arena_new(&p->arena, struct stack, (size_t)p->n_layer * 6);
    if (!p->tensor || !p->stack) return nomem(p);
    const bool fold = !common_alpha(p, &alpha);
    gguf_put_f32(p->w, "adapter.lora.alpha", fold ? 0 : alpha);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) rc = put_tensor(p, safetensors_at(p->st, i), fold);
    return rc;
}

/* ---- opening ---- */

static void close_peft(void *owner)
{
    struct peft *p = owner;
    if (!p) return;
    json_free(p->config);
    gguf_writer_close(p->w);
    safetensors_close(p->st);
    os_map_close(&p->map);
    buf_release(&p->header);
    arena_release(&p->arena);
    mem_free(p);
}

static void willneed(void *owner) { safetensors_willneed(((struct peft *)owner)->st); }

static void put_keys(struct peft *p)
{
    bool half = false;
    for (size_t i = 0; hf_family_of_arch(p->arch, i); i++) half |= (hf_family_of_arch(p->arch, i)->flags & HF_HALF) != 0;
    gguf_put_str(p->w, "general.type", "adapter", 7);
    gguf_put_str(p->w, "general.architecture", p->arch.s, p->arch.n);
    gguf_put_str(p->w, "adapter.type", "lora", 4);
    if (half) gguf_put_bool(p->w, PEFT_HALF_SPLIT, true);
}

static int translate(struct peft *p)
{
    char key[128];
    int rc = read_config(p);
    if (rc < 0) return rc;
    if (!(p->path = path_of(p, p->mlx ? "adapters.safetensors" : "adapter_model.safetensors"))) return nomem(p);
    if (!gguf_get_str(p->base, "general.architecture", &p->arch) || p->arch.n > 64 || !hf_family_of_arch(p->arch, 0))
        return err_set(p->err, ERR_UNSUPPORTED, "%s: the names of architecture '%.*s' in such adapters are not known; a GGUF "
                       "adapter would do", p->folder, (int)(p->arch.n < 64 ? p->arch.n : 64), p->arch.n ? p->arch.s : "");
    fmt_into(key, sizeof key, "%.*s.expert_count", (int)p->arch.n, p->arch.s);
    gguf_get_u32(p->base, key, &p->n_expert);
    fmt_into(key, sizeof key, "%.*s.block_count", (int)p->arch.n, p->arch.s);
    gguf_get_u32(p->base, key, &p->n_layer);
    if (p->n_expert > HF_MAX_EXPERTS || p->n_layer > HF_MAX_LAYERS)
        return err_set(p->err, ERR_LIMIT, "%s: %u layers of %u experts; at most %d of %d", gguf_path(p->base), p->n_layer,
                       p->n_expert, HF_MAX_LAYERS, HF_MAX_EXPERTS);
    rc = os_map_open(&p->map, p->path, p->err);
    if (rc == 0) rc = safetensors_parse(&p->st, p->map.data, p->map.size, p->path, p->err);
    if (rc == 0) rc = gguf_writer_open(&p->w, p->err);
    if (rc < 0) return rc;
    put_keys(p);
    rc = put_tensors(p);
    if (rc == 0) rc = gguf_writer_bytes(p->w, &p->header, p->err);
    return rc;
}

/* ---- what a path is ---- */

static const char config_name[] = "adapter_config.json";

/* The folder that path means; NULL when it is none, with *known false, or without memory. */
static char *folder_of(struct arena *a, const char *path, bool *known)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    size_t n = strlen(path);
    *known = true;
    if (os_is_folder(path)) {
        while (n > 1 && path[n - 1] == '/') n--;
        return arena_strdup(a, path, n);
    }
    if (strcmp(name, config_name) && strcmp(name, "adapter_model.safetensors") && strcmp(name, "adapters.safetensors")) {
        *known = false;
        return NULL;
    }
    return slash ? arena_strdup(a, path, slash == path ? 1 : (size_t)(slash - path)) : arena_strdup(a, ".", 1);
}

bool peft_is(const char *path)
{
    struct arena a = { 0 };
    bool known;
    const char *folder = folder_of(&a, path, &known);
    size_t n = folder ? strlen(folder) + sizeof config_name + 1 : 0;
    char *name = folder ? arena_new(&a, char, n) : NULL;
    if (name) fmt_into(name, n, "%s/%s", folder, config_name);
    bool found = name && os_file_exists(name);
    arena_release(&a);
    return found;
}

int peft_open(struct gguf **out, const char *path, const struct gguf *base, struct err *err)
{
    bool known = true;
    *out = NULL;
    struct peft *p = mem_new(1, sizeof *p);
    if (!p || !(p->folder = folder_of(&p->arena, path, &known))) {
        close_peft(p);
        if (!known) return err_set(err, ERR_ARG, "%s: not the folder of an adapter", path);
        return err_set(err, ERR_NOMEM, "%s: out of memory reading the adapter", path);
    }
    p->err = err;
    p->base = base;
    int rc = translate(p);
    if (rc < 0) {
        close_peft(p);
        return rc;
    }
    struct gguf_view v = {
        .path = p->folder,
        .header = (const uint8_t *)p->header.data,
        .header_bytes = p->header.len,
        .tensor = p->tensor,
        .n_tensors = p->n,
        .n_files = 1,
        .file_bytes = p->map.size,
        .owner = p,
        .release = close_peft,
        .willneed = willneed,
    };
    v.data = safetensors_data(p->st, 0, &v.data_bytes);
    p->err = NULL;
    return gguf_from_view(out, &v, err);
}

int adapter_file_open(struct gguf **out, const char *path, const struct gguf *base, struct err *err)
{
    return peft_is(path) ? peft_open(out, path, base, err) : gguf_open(out, path, err);
}
