#include "format/dialect.h"

#include <string.h>

#include "base/mem.h"
#include "format/gguf_impl.h"

/* An architecture under its own name, or another's.  A family that keeps its name counts only with one of its marks. */
static const struct family { const char *from, *to, *tensor; } families[] = {
    { "gptoss", "gpt-oss", NULL },
    { "olmo3", "olmo2", NULL },
    { "qwen25vl", "qwen2vl", NULL },
    { "gemma3", "gemma-embedding", "dense.0.weight" },      /* only where it has this tensor */
    { "gemma3", "gemma3", NULL },
    { "gemma4", "gemma4", NULL },
    { "mistral3", "mistral3", NULL },
    { "lfm2", "lfm2", NULL },
    { "qwen3next", "qwen3next", NULL },
    { "qwen35", "qwen35", NULL },
    { "qwen35moe", "qwen35moe", NULL },
    { "qwen3vl", "qwen3vl", NULL },
    { "qwen3vlmoe", "qwen3vlmoe", NULL },
};

/* Keys behind "{arch}."; to NULL: the key goes. */
static const struct rename { const char *arch, *from, *to; } keys[] = {
    { "gemma3", "rope.global.freq_base", "rope.freq_base" },
    { "gemma3", "rope.local.freq_base", "rope.freq_base_swa" },
    { "gemma-embedding", "rope.global.freq_base", "rope.freq_base" },
    { "gemma-embedding", "rope.local.freq_base", "rope.freq_base_swa" },
    { "gemma-embedding", "attention.causal", NULL },
    { "gemma-embedding", "attention.sliding_window_pattern", NULL },
    { "mistral3", "rope.scaling.beta_fast", "rope.scaling.yarn_beta_fast" },
    { "mistral3", "rope.scaling.beta_slow", "rope.scaling.yarn_beta_slow" },
    { "mistral3", "rope.scaling.mscale_all_dim", "rope.scaling.yarn_log_multiplier" },
    { "mistral3", "rope.scaling_beta", "attention.temperature_scale" },
    { "qwen2vl", "rope.mrope_section", "rope.dimension_sections" },
};

/* Parts of tensors' names; from "=x": the whole name, "x$": its end. */
static const struct rename tensors[] = {
    { "gpt-oss", ".attn_out.", ".attn_output." },
    { "gpt-oss", ".attn_sinks$", ".attn_sinks.weight" },
    { "gpt-oss", ".ffn_norm.", ".post_attention_norm." },
    { "lfm2", "=output_norm.weight", "token_embd_norm.weight" },
    { "gemma-embedding", "=dense.0.weight", "dense_2.weight" },
    { "gemma-embedding", "=dense.1.weight", "dense_3.weight" },
    { "gemma-embedding", "=norm.weight", "output_norm.weight" },
    { "qwen3next", ".ssm_dt$", ".ssm_dt.bias" },
    { "qwen35", ".ssm_dt$", ".ssm_dt.bias" },
    { "qwen35moe", ".ssm_dt$", ".ssm_dt.bias" },
};

/* What such files leave out, where they do; n_ctx: only in files of at least such a context. */
static const struct missing { const char *arch, *key; float number; const char *text; uint32_t n_ctx; } missing[] = {
    { "gemma3", "attention.layer_norm_rms_epsilon", 1e-6f, NULL, 0 },
    { "gemma3", "rope.freq_base", 1e6f, NULL, 0 },
    { "gemma3", "rope.freq_base_swa", 1e4f, NULL, 0 },
    { "gemma3", "rope.scaling.type", 0, "linear", 131072 },
    { "gemma3", "rope.scaling.factor", 8, NULL, 131072 },
    { "gemma-embedding", "attention.layer_norm_rms_epsilon", 1e-6f, NULL, 0 },
    { "gemma-embedding", "rope.freq_base", 1e6f, NULL, 0 },
    { "gemma-embedding", "rope.freq_base_swa", 1e4f, NULL, 0 },
    { "gpt-oss", "rope.scaling.type", 0, "yarn", 0 },
};

/* Widths that such files leave out, or state wrongly: the second dimension of a tensor. */
static const struct width { const char *arch, *key, *tensor; } widths[] = {
    { "gpt-oss", "expert_feed_forward_length", "blk.0.ffn_gate_exps.weight" },
    { "lfm2", "feed_forward_length", "blk.0.ffn_gate.weight" },
};

/* The rule by which text is cut; always: also where the file names another than "default". */
static const struct pre { const char *arch, *name; bool always; } pres[] = {
    { "gpt-oss", "gpt-4o", true }, { "lfm2", "lfm2", true }, { "mistral3", "tekken", false },
};

static const char *const ignored[] = { "v.", "mm.", "mtp.", "a.", "s.", "model.vision_tower." };

#define N(table) (sizeof table / sizeof *table)

struct dialect {
    struct arena arena;
    struct gguf *g;                   /* the file; closed with the result */
    const struct family *f;
    struct gguf_writer *w;
    struct buf header;
    struct gguf_tensor *tensor;
    size_t n_tensors;
};

static bool is(struct gguf_str s, const char *word) { return strlen(word) == s.n && !memcmp(s.s, word, s.n); }
static bool begins(const char *s, const char *start) { return !strncmp(s, start, strlen(start)); }

static bool is_ignored(const char *name)
{
    for (size_t i = 0; i < N(ignored); i++)
        if (begins(name, ignored[i])) return true;
    return false;
}

/* What follows "{arch}." of a key, or NULL. */
static const char *suffix_of(const char *arch, struct gguf_str key, size_t *n)
{
    size_t k = strlen(arch);
    if (key.n <= k + 1 || memcmp(key.s, arch, k) || key.s[k] != '.') return NULL;
    *n = key.n - k - 1;
    return key.s + k + 1;
}

static const struct gguf_kv *find_key(const struct gguf *g, const char *arch, const char *key)
{
    char name[160];
    fmt_into(name, sizeof name, "%s.%s", arch, key);
    return gguf_find(g, name);
}

/* The name that a tensor gets, in dst, or false: it keeps its own. */
static bool new_name(const char *arch, const char *name, char *dst, size_t n)
{
    for (size_t i = 0; i < N(tensors); i++) {
        const char *from = tensors[i].from, *to = tensors[i].to, *at;
        size_t k = strlen(from);
        if (strcmp(tensors[i].arch, arch)) continue;
        if (*from == '=') {
            if (strcmp(name, from + 1)) continue;
            fmt_into(dst, n, "%s", to);
            return true;
        }
        bool end = from[k - 1] == '$';
        size_t len = strlen(name), m = end ? k - 1 : k;
        if (end) at = len >= m && !memcmp(name + len - m, from, m) ? name + len - m : NULL;
        else at = strstr(name, from);
        if (!at) continue;
        fmt_into(dst, n, "%.*s%s%s", (int)(at - name), name, to, at + m);
        return true;
    }
    return false;
}

/* Whether a file whose architecture keeps its name has something of the dialect. */
static bool marked(const struct gguf *g, const struct family *f)
{
    char name[GGUF_MAX_NAME + 32];
    for (size_t i = 0; i < N(keys); i++)
        if (!strcmp(keys[i].arch, f->to) && keys[i].to && find_key(g, f->from, keys[i].from)) return true;
    for (size_t i = 0; i < gguf_n_tensors(g); i++) {
        const char *t = gguf_tensor_at(g, i)->name;
        if (is_ignored(t) || (new_name(f->to, t, name, sizeof name) && !gguf_tensor(g, name))) return true;
    }
    return false;
}

static const struct family *family_of(const struct gguf *g)
{
    struct gguf_str arch, type;
    if (!gguf_get_str(g, "general.architecture", &arch)) return NULL;
    if (gguf_get_str(g, "general.type", &type) && !is(type, "model")) return NULL;
    for (size_t i = 0; i < N(families); i++) {
        const struct family *f = &families[i];
        if (!is(arch, f->from) || (f->tensor && !gguf_tensor(g, f->tensor))) continue;
        return strcmp(f->from, f->to) || marked(g, f) ? f : NULL;
    }
    return NULL;
}

/* ---- keys ---- */

static const char *name_of(struct dialect *d, const char *suffix, size_t n)
{
    size_t k = strlen(d->f->to) + n + 2;
    char *s = arena_new(&d->arena, char, k);
    if (s) fmt_into(s, k, "%s.%.*s", d->f->to, (int)n, suffix);
    return s;
}

static bool is_width(const struct dialect *d, const char *s, size_t n)
{
    for (size_t i = 0; i < N(widths); i++)
        if (!strcmp(widths[i].arch, d->f->to) && strlen(widths[i].key) == n && !memcmp(widths[i].key, s, n) &&
            gguf_tensor(d->g, widths[i].tensor))
            return true;
    return false;
}

static const struct pre *pre_of(const struct dialect *d)
{
    struct gguf_str s;
    for (size_t i = 0; i < N(pres); i++) {
        if (strcmp(pres[i].arch, d->f->to)) continue;
        bool said = gguf_get_str(d->g, "tokenizer.ggml.pre", &s) && s.n && !is(s, "default");
        return pres[i].always || !said ? &pres[i] : NULL;
    }
    return NULL;
}

/* One key of the file under its new name, unless it goes or the name is taken. */
static bool put_key(struct dialect *d, const struct gguf_kv *kv)
{
    struct gguf_kv x = *kv;
    size_t n = 0;
    const char *s = suffix_of(d->f->from, kv->key, &n), *to = s;
    if (is(kv->key, "general.architecture") || (is(kv->key, "tokenizer.ggml.pre") && pre_of(d))) return true;
    if (!s) {
        gguf_copy_kv(d->w, kv);
        return true;
    }
    if (is_width(d, s, n)) return true;
    size_t n_to = n;
    for (size_t i = 0; i < N(keys); i++) {
        if (strcmp(keys[i].arch, d->f->to) || strlen(keys[i].from) != n || memcmp(keys[i].from, s, n)) continue;
        if (!keys[i].to || find_key(d->g, d->f->from, keys[i].to)) return true;
        to = keys[i].to;
        n_to = strlen(to);
    }
    const char *name = name_of(d, to, n_to);
    if (!name) return false;
    x.key = (struct gguf_str){ name, strlen(name) };
    gguf_copy_kv(d->w, &x);
    return true;
}

/* Whether the file says it, under either name. */
static bool has(const struct dialect *d, const char *key)
{
    if (find_key(d->g, d->f->from, key)) return true;
    for (size_t i = 0; i < N(keys); i++)
        if (!strcmp(keys[i].arch, d->f->to) && keys[i].to && !strcmp(keys[i].to, key) && find_key(d->g, d->f->from, keys[i].from))
            return true;
    return false;
}

static bool put_missing(struct dialect *d)
{
    int64_t n_ctx = 0;
    const struct gguf_kv *ctx = find_key(d->g, d->f->from, "context_length");
    if (ctx) gguf_item_i64(ctx, 0, &n_ctx);
    for (size_t i = 0; i < N(missing); i++) {
        const struct missing *m = &missing[i];
        if (strcmp(m->arch, d->f->to) || has(d, m->key) || n_ctx < (int64_t)m->n_ctx) continue;
        const char *name = name_of(d, m->key, strlen(m->key));
        if (!name) return false;
        if (m->text) gguf_put_str(d->w, name, m->text, strlen(m->text));
        else gguf_put_f32(d->w, name, m->number);
    }
    for (size_t i = 0; i < N(widths); i++) {
        const struct gguf_tensor *t = strcmp(widths[i].arch, d->f->to) ? NULL : gguf_tensor(d->g, widths[i].tensor);
        if (!t) continue;
        const char *name = name_of(d, widths[i].key, strlen(widths[i].key));
        if (!name) return false;
        gguf_put_u32(d->w, name, t->ne[1] < UINT32_MAX ? (uint32_t)t->ne[1] : 0);
    }
    const struct pre *pre = pre_of(d);
    if (pre) gguf_put_str(d->w, "tokenizer.ggml.pre", pre->name, strlen(pre->name));
    return true;
}

/* ---- tensors ---- */

static bool put_tensors(struct dialect *d, uint32_t *left_out)
{
    char name[GGUF_MAX_NAME + 32];
    d->tensor = arena_new(&d->arena, struct gguf_tensor, gguf_n_tensors(d->g) + 1);
    for (size_t i = 0; d->tensor && i < gguf_n_tensors(d->g); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(d->g, i);
        if (is_ignored(t->name)) {
            ++*left_out;
            continue;
        }
        struct gguf_tensor *x = &d->tensor[d->n_tensors++];
        *x = *t;
        x->file = 0;
        if (!new_name(d->f->to, t->name, name, sizeof name) || gguf_tensor(d->g, name)) continue;
        if (!(x->name = arena_strdup(&d->arena, name, strlen(name)))) return false;
    }
    return d->tensor != NULL;
}

/* ---- the result ---- */

static void release(void *owner)
{
    struct dialect *d = owner;
    gguf_writer_close(d->w);
    gguf_close(d->g);
    buf_release(&d->header);
    arena_release(&d->arena);
    mem_free(d);
}

static void willneed(void *owner) { gguf_willneed(((struct dialect *)owner)->g); }

static int translate(struct dialect *d, struct err *err)
{
    uint32_t left_out = 0;
    int rc = gguf_writer_open(&d->w, err);
    if (rc < 0) return rc;
    bool ok = true;
    gguf_put_str(d->w, "general.architecture", d->f->to, strlen(d->f->to));
    for (size_t i = 0; ok && i < gguf_n_kv(d->g); i++) ok = put_key(d, gguf_kv_at(d->g, i));
    ok = ok && put_missing(d) && put_tensors(d, &left_out);
    if (!ok) return err_set(err, ERR_NOMEM, "%s: out of memory reading the model", gguf_path(d->g));
    if (left_out) gguf_put_u32(d->w, DIALECT_IGNORED, left_out);
    rc = gguf_writer_bytes(d->w, &d->header, err);
    return rc < 0 ? err_prefix(err, rc, "%s: ", gguf_path(d->g)) : 0;
}

int dialect_translate(struct gguf **g, struct err *err)
{
    const struct family *f = family_of(*g);
    if (!f) return 0;
    struct dialect *d = mem_new(1, sizeof *d);
    int rc = d ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory reading the model", gguf_path(*g));
    if (!d) {
        gguf_close(*g);
        *g = NULL;
        return rc;
    }
    d->g = *g;
    d->f = f;
    *g = NULL;
    if ((rc = translate(d, err)) < 0) {
        release(d);
        return rc;
    }
    struct gguf_view v = { .path = gguf_path(d->g), .header = (const uint8_t *)d->header.data, .header_bytes = d->header.len,
                           .tensor = d->tensor, .n_tensors = d->n_tensors, .n_files = 1, .file_bytes = gguf_file_bytes(d->g),
                           .version = gguf_version(d->g), .owner = d, .release = release, .willneed = willneed };
    v.data = gguf_first_data(d->g, &v.data_bytes);
    return gguf_from_view(g, &v, err);
}
