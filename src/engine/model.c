/* model.c - opening a model: file, tokenizer, architecture, graph, device. */
#include <string.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/about.h"
#include "engine/engine.h"
#include "engine/speculate.h"

_Static_assert(sizeof(struct err) == sizeof(struct hearth_error), "one error type under two names");
_Static_assert((int)HEARTH_ROPE_LONGROPE == (int)SCALING_LONGROPE && (int)HEARTH_ROPE_NTK == (int)SCALING_NTK, "one numbering");
_Static_assert((int)HEARTH_ENOTFOUND == (int)ERR_NOTFOUND && (int)HEARTH_ENOMEM == (int)ERR_NOMEM, "the same codes");

/* The embedded file (mk/embed.S); empty in a build without one. */
extern const uint8_t hearth_spark_begin[], hearth_spark_end[];

const char *hearth_version(void) { return HEARTH_VERSION; }

static int find_arch(const struct gguf *g, const struct arch **out, struct err *err)
{
    struct gguf_str type, name;
    if (gguf_get_str(g, "general.type", &type) && !(type.n == 5 && !memcmp(type.s, "model", 5)))
        return err_set(err, ERR_UNSUPPORTED, "%s: is of type '%.*s', not a model that can answer", gguf_path(g), (int)type.n,
                       type.s);
    if (!gguf_get_str(g, "general.architecture", &name))
        return err_set(err, ERR_FORMAT, "%s: key general.architecture is missing; not a model", gguf_path(g));
    *out = arch_find(name.s, name.n);
    if (*out) return 0;
    char known[300] = "";
    size_t n = 0;
    for (size_t i = 0; arch_at(i); i++) {
        size_t k = strlen(arch_at(i)->name);
        if (n + k + 8 > sizeof known) {
            memcpy(known + n, ", ...", 6);
            break;
        }
        if (n) {
            memcpy(known + n, ", ", 2);
            n += 2;
        }
        memcpy(known + n, arch_at(i)->name, k + 1);
        n += k;
    }
    return err_set(err, ERR_UNSUPPORTED, "%s: architecture '%.*s' is not supported yet (known: %s)", gguf_path(g),
                   (int)(name.n < 64 ? name.n : 64), name.s, known);
}

static bool asks(const struct rope_options *o)
{
    static const struct rope_options none;
    return o && (o->scaling || o->base != none.base || o->factor != none.factor || o->n_ctx_orig);
}

static bool rotates(const struct graph *g)
{
    for (uint32_t i = 0; i < g->n_op; i++)
        if (g->op[i].kind == OP_ROPE) return true;
    return false;
}

static struct rope_options rope_of(const struct hearth_model_options *o)
{
    const struct hearth_rope_options *r = &o->rope;
    return (struct rope_options){ .scaling = (enum rope_scaling)r->scaling, .base = r->base, .factor = r->factor,
                                  .n_ctx_orig = r->original_ctx, .attn_factor = r->attn_factor, .ext = r->ext_factor,
                                  .fast = r->beta_fast, .slow = r->beta_slow, .low = r->low_freq_factor,
                                  .high = r->high_freq_factor };
}

/* Everything that does not need a device. */
static int read_model(struct hearth_model *m, const struct rope_options *rope, struct err *err)
{
    const struct gguf *g = m->gguf;
    int rc = find_arch(g, &m->arch, err);
    if (rc < 0) return rc;
    const struct gguf_tensor *t = gguf_tensor(g, "token_embd.weight");
    if (!t)
        return err_set(err, ERR_FORMAT, "%s: has no tensor token_embd.weight; it is only a vocabulary or incomplete",
                       gguf_path(g));
    if ((rc = hparams_read(&m->h, m->arch, g, rope, &m->arena, err)) < 0) return rc;
    if (t->ne[1] > 1 << 24) return err_set(err, ERR_LIMIT, "%s: a vocabulary of %llu tokens", gguf_path(g),
                                           (unsigned long long)t->ne[1]);
    m->h.n_vocab = (uint32_t)t->ne[1];
    bool encoder = m->variant[V_TEXT].all_rows = m->h.bidirectional;
    m->variant[V_STATES].all_rows = m->variant[V_HEAD].all_rows = true;
    rc = model_graph(&m->variant[V_TEXT].graph, m->arch, &m->h, g, encoder ? GRAPH_STATES : GRAPH_TEXT, err);
    if (rc == 0 && asks(rope) && !rotates(m->variant[V_TEXT].graph))
        rc = err_set(err, ERR_ARG, "%s: architecture %s has no rotary positions that could be scaled", gguf_path(g),
                     m->arch->name);
    if (rc == 0 && m->h.scaling == SCALING_LONGROPE && !encoder)
        rc = model_graph(&m->variant[V_LONG].graph, m->arch, &m->h, g, GRAPH_TEXT_LONG, err);
    if (rc == 0 && m->h.guesses) rc = model_graph(&m->variant[V_NEXT].graph, m->arch, &m->h, g, GRAPH_NEXT, err);
    if (rc == 0 && (model_has_dense(g) || gguf_tensor(g, "cls.output.weight")))
        rc = model_graph(&m->variant[V_HEAD].graph, m->arch, &m->h, g, GRAPH_HEAD, err);
    return rc;
}

static int check_types(const struct hearth_model *m, struct err *err)
{
    for (int v = 0; v < N_VARIANT; v++) {
        const struct graph *g = m->variant[v].graph;
        for (uint32_t i = 0; g && i < g->n_op; i++) {
            const struct op *o = &g->op[i];
            if (!o->w || m->ops->supports(m->device, o->kind, o->w->type)) continue;
            return err_set(err, ERR_UNSUPPORTED, "%s: tensor %s has type %s, which cannot be computed with",
                           gguf_path(m->gguf), o->w->name, dtype_info(o->w->type)->name);
        }
    }
    return 0;
}

static int given_template(struct hearth_model *m, const char *text, struct err *err)
{
    m->tmpl_text = arena_strdup(&m->arena, text, strlen(text));
    m->tmpl_n = strlen(text);
    if (!m->tmpl_text) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(m->gguf));
    return template_compile(&m->tmpl, m->tmpl_text, m->tmpl_n, err);
}

/* The one that was given, the file's, the spare one, what the vocabulary tells. */
static int open_template(struct hearth_model *m, const struct hearth_model_options *o, struct err *err)
{
    struct gguf_str s;
    struct err why = { 0 };
    const char *usual;
    if (o && o->chat_template) {
        int rc = given_template(m, o->chat_template, err);
        return rc < 0 ? err_prefix(err, rc, "the chat template that was given: ") : 0;
    }
    bool own = gguf_get_str(m->gguf, "tokenizer.chat_template", &s) && s.n;
    if (own) {
        m->tmpl_text = s.s;
        m->tmpl_n = s.n;
        if (template_compile(&m->tmpl, s.s, s.n, &why) == 0) return 0;
    }
    if (o && o->spare_template) {
        if (given_template(m, o->spare_template, &why) == 0) return 0;
    } else if (!own) {
        m->tmpl_guessed = true;
        if (chat_default_template(m->tokenizer, &usual, NULL) < 0) return 0;
        m->tmpl_text = usual;
        m->tmpl_n = strlen(usual);
        if (template_compile(&m->tmpl, usual, m->tmpl_n, &why) == 0) return 0;
    }
    m->tmpl_error = mem_strdup(why.msg, strlen(why.msg));
    return m->tmpl_error ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(m->gguf));
}

const struct chat_style *engine_style(struct hearth_model *m)
{
    lock_take(&m->style_lock);
    if (!m->styled) chat_style_find(m->tmpl, m->tmpl_text, m->tmpl_n, &m->style);
    m->styled = true;
    lock_give(&m->style_lock);
    return &m->style;
}

static int open_batch(struct hearth_model *m, struct err *err)
{
    struct gguf_str name;
    if (gguf_get_str(m->gguf, "general.name", &name) && name.n)
        m->name = arena_strdup(&m->arena, name.s, name.n < 256 ? name.n : 256);
    m->token = arena_new(&m->arena, int32_t, MAX_BATCH);
    m->pos = arena_new(&m->arena, int64_t, MAX_BATCH);
    m->seq = arena_new(&m->arena, uint32_t, MAX_BATCH);
    m->out_row = arena_new(&m->arena, uint32_t, MAX_BATCH);
    m->out = arena_new(&m->arena, float *, MAX_BATCH);
    m->kv = arena_new(&m->arena, struct kv_view, MAX_BATCH);
    m->item = arena_new(&m->arena, struct eval_item, MAX_BATCH);
    m->adapt = arena_new(&m->arena, const struct adapt_set *, MAX_BATCH);
    if (m->token && m->pos && m->seq && m->out_row && m->out && m->kv && m->item && m->adapt) return 0;
    return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(m->gguf));
}

static uint32_t env_threads(void)
{
    const char *s = env_get(ENV_THREADS);
    uint32_t n = 0;
    for (; s && *s >= '0' && *s <= '9' && n < 100000; s++) n = n * 10 + (uint32_t)(*s - '0');
    return n;
}

/* A model that fits into a processor's own cache is computed faster by one thread than several can meet at a barrier. */
enum { SMALL_MODEL = 16 << 20 };

static uint32_t default_threads(const struct hearth_model *m)
{
    uint32_t n = env_threads();
    return n ? n : gguf_file_bytes(m->gguf) < SMALL_MODEL ? 1 : 0;
}

/* Keys and values may have three quarters of what the weights leave free, and texts that nobody works on a quarter of that. */
static int open_pool(struct hearth_model *m, const struct hearth_model_options *o, struct err *err)
{
    uint64_t free = 0, total = 0, file = gguf_file_bytes(m->gguf);
    m->ops->memory(m->device, &free, &total);
    if (m->budget && (!free || m->budget->limit < free)) free = m->budget->limit;
    uint64_t left = !free ? UINT64_MAX / 4 : free > file + free / 8 ? free - file : free / 8;
    uint64_t limit = o && o->kv_limit ? o->kv_limit : left / 4 * 3, cache = o && o->cache_limit ? o->cache_limit : limit / 4;
    kv_pool_init(&m->pool, m->ops, m->device, m->variant[V_TEXT].graph, limit);
    m->pool.budget = m->budget;
    if (cache == HEARTH_CACHE_NONE) return 0;
    m->pool.tree = prefix_open(&m->pool, cache < limit ? cache : limit);
    return m->pool.tree ? 0 : err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(m->gguf));
}

void hearth_model_memory(struct hearth_model *m, struct hearth_memory *out)
{
    struct kv_pool *p = &m->pool;
    *out = (struct hearth_memory){ 0 };
    lock_take(&p->lock);
    *out = (struct hearth_memory){ .kv_limit = p->limit, .kv_reserved = p->reserved, .kv_used = p->used, .n_pages = p->n_used };
    if (p->tree) out->cached = prefix_bytes(p->tree, &out->n_cached_pages);
    lock_give(&p->lock);
    uint64_t allocated;
    m->ops->used(m->device, &out->buffers, &allocated);
    out->weights = m->weights;
    out->heap = (uint64_t)atomic_load(&m->heap);
}

void hearth_cache_clear(struct hearth_model *m)
{
    struct kv_pool *p = &m->pool;
    lock_take(&p->lock);
    while (p->tree && prefix_evict(p->tree)) continue;
    lock_give(&p->lock);
}

/* Takes m->gguf as already open. */
static int open_rest(struct hearth_model *m, const struct hearth_model_options *o, struct err *err)
{
    struct device_options dev = { .threads = o && o->threads ? o->threads : default_threads(m),
                                  .cpu = o && o->cpu ? o->cpu : env_get(ENV_CPU), .budget = m->budget };
    struct rope_options rope = o ? rope_of(o) : (struct rope_options){ .scaling = SCALING_FILE };
    m->rope = rope;
    int rc = read_model(m, &rope, err);
    if (rc == 0) rc = tokenizer_open(&m->tokenizer, m->gguf, err);
    if (rc == 0) rc = open_template(m, o, err);
    if (rc == 0) rc = open_batch(m, err);
    m->ops = &device_cpu;
    if (rc == 0) rc = m->ops->open(&m->device, &dev, err);
    if (rc == 0) rc = check_types(m, err);
    if (rc == 0) rc = open_pool(m, o, err);
    return rc;
}

void engine_heap(struct hearth_model *m, int64_t before)
{
    engine_grew(m, mem_thread_bytes() - before);
}

void engine_grew(struct hearth_model *m, int64_t more)
{
    atomic_fetch_add(&m->heap, more);
    budget_add(m->budget, more);
    if (more > 0) budget_settle(m->budget);      /* one who goes, to make room, must not send others away as well */
}

static int too_large(const struct hearth_model *m, struct err *err)
{
    const struct budget *b = m->budget;
    return err_set(err, ERR_LIMIT, "%s: its file of %.1f MB does not fit into the memory for all models: %.1f MB of %.1f MB are "
                   "in use; unload others, or raise the limit", gguf_path(m->gguf), (double)gguf_file_bytes(m->gguf) / 1e6,
                   (double)atomic_load(&b->used) / 1e6, (double)b->limit / 1e6);
}

enum { READ_STEP = 8 << 20, OS_PAGE = 4096 };

static void touch(const struct gguf_tensor *t, uint64_t at)
{
    const uint64_t part = t->slice ? t->bytes / t->ne[2] : t->bytes;
    const uint8_t *p = t->slice ? t->slice[at / part] + at % part : t->data + at;
    (void)*(const volatile uint8_t *)p;
}

/* Touches all data in the order of the file, so that the first answer does not wait for the disk. */
static int read_ahead(const struct hearth_model *m, const struct opening *how, struct err *err)
{
    uint64_t total = 0, done = 0, told = 0;
    const uint64_t most = os_memory_available();
    for (size_t i = 0; i < gguf_n_tensors(m->gguf); i++) total += gguf_tensor_at(m->gguf, i)->bytes;
    for (size_t i = 0; i < gguf_n_tensors(m->gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);
        for (uint64_t at = 0; at < t->bytes; at += OS_PAGE) {
            if (total < most && t->data) touch(t, at);
            if (done + at < told + READ_STEP) continue;
            told = done + at;
            if (!how->progress(how->arg, told, total)) goto stopped;
        }
        done += t->bytes;
    }
    if (how->progress(how->arg, total, total)) return 0;
stopped:
    return err_set(err, ERR_CANCELLED, "%s: loading was stopped", gguf_path(m->gguf));
}

int engine_embedded_bytes(const void **p, size_t *n, struct err *err)
{
    *p = hearth_spark_begin;
    *n = (size_t)(hearth_spark_end - hearth_spark_begin);
    return *n ? 0 : err_set(err, ERR_NOTFOUND, "this build has no embedded model; name a GGUF file");
}

int engine_embedded_open(struct gguf **out, struct err *err)
{
    const void *p;
    size_t n;
    int rc = engine_embedded_bytes(&p, &n, err);
    *out = NULL;
    return rc < 0 ? rc : gguf_parse(out, p, n, "spark", err);
}

static int open_file(struct hearth_model *m, const char *path, struct opening *how, struct err *err)
{
    int rc;
    if (path) {
        rc = model_file_open(&m->gguf, path, err);
        /* Reading ahead more than fits would only push out what was just read. */
        if (rc == 0 && !how->no_ahead && gguf_file_bytes(m->gguf) < os_memory_available()) gguf_willneed(m->gguf);
    } else rc = engine_embedded_open(&m->gguf, err);
    if (rc < 0) return rc;
    how->weights = gguf_file_bytes(m->gguf);
    if (!budget_take_hard(how->budget, how->weights)) return too_large(m, err);
    m->weights = how->weights;
    return 0;
}

int engine_model_open(struct hearth_model **out, const char *path, const struct hearth_model_options *o,
                      struct opening *how, struct err *err)
{
    const int64_t before = mem_thread_bytes();
    *out = NULL;
    struct hearth_model *m = mem_new(1, sizeof *m);
    if (!m) return err_set(err, ERR_NOMEM, "out of memory");
    m->budget = how->budget;
    int rc = open_file(m, path, how, err);
    if (rc == 0) rc = open_rest(m, o, err);
    if (rc == 0 && how->progress) rc = read_ahead(m, how, err);
    engine_heap(m, before);
    if (rc < 0) {
        hearth_model_close(m);
        return rc;
    }
    *out = m;
    return 0;
}

int hearth_model_open(struct hearth_model **out, const char *path, const struct hearth_model_options *o,
                      struct hearth_error *e)
{
    return engine_model_open(out, path, o, &(struct opening){ .budget = NULL }, err_of(e));
}

int hearth_model_open_embedded(struct hearth_model **out, const struct hearth_model_options *o, struct hearth_error *e)
{
    return engine_model_open(out, NULL, o, &(struct opening){ .budget = NULL }, err_of(e));
}

void hearth_model_close(struct hearth_model *m)
{
    if (!m) return;
    for (int v = 0; v < N_VARIANT; v++) {
        for (int b = 0; b < N_BUCKET; b++) {
            struct plan *both[2] = { m->variant[v].plan[b], m->variant[v].adapted[b] };
            for (int k = 0; k < 2; k++) {
                if (both[k]) m->ops->forget(m->device, both[k]);
                plan_close(both[k]);
            }
        }
        graph_close(m->variant[v].graph);
    }
    prefix_close(m->pool.tree);
    kv_pool_release(&m->pool);
    if (m->device) m->ops->close(m->device);
    engine_adapt_release(&m->adaption);
    template_free(m->tmpl);
    mem_free(m->tmpl_error);
    gram_cache_release(&m->grammars);
    vocab_close(m->vocab);
    tokenizer_close(m->tokenizer);
    gguf_close(m->gguf);
    arena_release(&m->arena);
    budget_give(m->budget, m->weights);
    budget_add(m->budget, -atomic_load(&m->heap));
    mem_free(m);
}

int engine_can_run(const struct gguf *g, struct err *err)
{
    struct hearth_model m = { .ops = &device_cpu };
    m.gguf = (struct gguf *)(uintptr_t)g;         /* only read */
    int rc = read_model(&m, NULL, err);
    if (rc == 0) rc = check_types(&m, err);
    for (int v = 0; v < N_VARIANT; v++) graph_close(m.variant[v].graph);
    if (rc == 0) rc = tokenizer_open(&m.tokenizer, g, err);
    tokenizer_close(m.tokenizer);
    arena_release(&m.arena);
    return rc;
}

/* The header and the tokens of a file. */
static int read_tokens(struct hearth_model *m, const char *path, struct err *err)
{
    *m = (struct hearth_model){ .ops = &device_cpu };
    int rc = model_file_open(&m->gguf, path, err);
    if (rc == 0) rc = read_model(m, NULL, err);
    return rc < 0 ? rc : tokenizer_open(&m->tokenizer, m->gguf, err);
}

int hearth_draft_check(const char *path, const char *draft, struct hearth_error *e)
{
    struct hearth_model m[2] = { { .gguf = NULL }, { .gguf = NULL } };
    int rc = read_tokens(&m[0], path, err_of(e));
    if (rc == 0) rc = read_tokens(&m[1], draft, err_of(e));
    if (rc == 0) rc = speculator_fits(&m[0], &m[1], err_of(e));
    for (int i = 0; i < 2; i++) {
        for (int v = 0; v < N_VARIANT; v++) graph_close(m[i].variant[v].graph);
        tokenizer_close(m[i].tokenizer);
        gguf_close(m[i].gguf);
        arena_release(&m[i].arena);
    }
    return rc;
}

void engine_observe(struct hearth_model *m, const struct observer *o)
{
    m->observer = o;
    for (int v = 0; v < 2; v++)
        if (m->variant[v].graph) m->variant[v].graph->observed = true;
}

void hearth_model_info(const struct hearth_model *m, struct hearth_model_info *out)
{
    uint32_t n_kv = 0;                            /* layers without attention have none */
    for (uint32_t i = 0; i < m->h.n_layer && !n_kv; i++) n_kv = m->h.n_kv[i];
    *out = (struct hearth_model_info){
        .path = gguf_path(m->gguf),
        .name = m->name ? m->name : gguf_path(m->gguf),
        .architecture = m->arch->name,
        .tokenizer = tokenizer_kind(m->tokenizer),
        .file_bytes = gguf_file_bytes(m->gguf),
        .n_vocab = m->h.n_vocab,
        .n_tokens = (uint32_t)tokenizer_n_vocab(m->tokenizer),
        .n_ctx_train = m->h.n_ctx_train,
        .n_embd = m->h.n_embd,
        .n_layer = m->h.n_layer,
        .n_head = m->h.n_head[0],
        .n_head_kv = n_kv,
        .n_expert = m->h.n_expert,
        .n_expert_used = m->h.n_expert_used,
        .n_embed_tokens = engine_embed_limit(m),
        .pooling = m->h.pooling,
        .recurrent = m->variant[V_TEXT].graph->n_state != 0,
        .encoder = m->h.bidirectional,
        .guesses = engine_guesses(m),
        .has_template = m->tmpl != NULL,
    };
    const struct chat_style *style = &m->style;
    out->shows_tools = m->tmpl && style->caps.tools;
    out->reasons = m->tmpl && (style->dialect.think_open || style->dialect.channels);
    out->reasons_if_asked = out->reasons && (style->says_thinking || style->says_effort);
    if (m->tmpl && !m->tmpl_guessed) {
        out->chat_template = m->tmpl_text;
        out->n_chat_template = m->tmpl_n;
    }
    unsigned threads = 0;
    out->cpu = m->ops->describe(m->device, &threads);
    out->threads = threads;
    for (size_t i = 0; i < gguf_n_tensors(m->gguf); i++) {
        const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);
        out->n_parameters += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
    }
}
