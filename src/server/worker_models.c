/* worker_models.c - the models of the engine process: what a job says of the one that it wants becomes a hold on it. */
#include <string.h>

#include "base/mem.h"
#include "server/worker_impl.h"

enum { DEFAULT_CTX = 4096, TICK_MS = 100, MAX_NAMES = 64, MAX_LISTED = 64, MAX_TOLD = 256 };

#define DRAFT_NS UINT64_C(60000000000)     /* until one that could not be loaded is tried again */

/* What was done with a model since the process began. */
struct counts { uint64_t requests, prompt_tokens, cached_tokens, answer_tokens, prompt_ns, answer_ns, load_ns; };
struct known { char *path; char *adapters; struct counts n; uint64_t used; };

struct models {
    struct worker *w;
    struct hearth_models *pool;
    struct lock lock;
    struct hearth_hold *draft;         /* of the model that guesses for others, once somebody needs it; guarded by the lock, */
    uint32_t n_waiting;                /* as are those who wait for it, */
    bool draft_fails;                  /* whether it cannot be loaded, and goes with the last of them, */
    uint64_t draft_at;                 /* and when it may be tried again */
    struct known known[MAX_NAMES];     /* by path; guarded by the lock */
    uint64_t now;
};

/* ---- "load" ---- */

struct load_fields {
    uint32_t num_ctx, num_batch, num_thread;
    int32_t speculate;
    const char *kv_type, *kv_type_v, *scaling, *chat_template, *spare_template;
    const struct json *adapters;
    struct hearth_rope_options rope;
};

#define AT(field) offsetof(struct load_fields, field)
static const struct read_row load_row[] = {
    { "num_ctx", READ_U32, AT(num_ctx), 8, 1 << 24 },
    { "num_batch", READ_U32, AT(num_batch), 1, 1 << 20 },      /* the scheduler chooses; it does not change answers */
    { "num_thread", READ_U32, AT(num_thread), 0, 256 },
    { "speculate", READ_I32, AT(speculate), HEARTH_SPECULATE_OFF, HEARTH_MAX_DRAFT },
    { "kv_type", READ_STR, AT(kv_type), 0, 0 },
    { "kv_type_v", READ_STR, AT(kv_type_v), 0, 0 },
    { "adapters", READ_ARRAY, AT(adapters), 0, 0 },
    { "rope_scaling", READ_STR, AT(scaling), 0, 0 },
    { "chat_template", READ_STR, AT(chat_template), 0, 0 },
    { "spare_template", READ_STR, AT(spare_template), 0, 0 },
#define ROPE(option, name, alias, kind, value, fallback, help, field, min, max) { name, READ_##kind, AT(rope.field), min, max },
#include "engine/rope.def"
#undef ROPE
};

static const struct read_row adapter_row[] = {
    { "path", READ_STR, offsetof(struct hearth_load_adapter, path), 0, 0 },
    { "scale", READ_F32, offsetof(struct hearth_load_adapter, scale), -1000, 1000 },
};

/* *out stays when word is NULL. */
static int word_of(const char *word, const char *what, const char *const *list, int *out, struct err *err)
{
    if (!word) return 0;
    for (int i = 0; list[i]; i++)
        if (!strcmp(list[i], word)) {
            *out = i;
            return 0;
        }
    return err_set(err, ERR_ARG, "load.%s: there is no \"%.40s\"", what, word);
}

/* f holds what is meant where the wish says nothing. */
static int read_load(const struct json *wish, struct load_fields *f, struct hearth_load *l, struct err *err)
{
    static const char *const kv[] = { "auto", "f16", "f32", "bf16", "q8_0", "q4_0", NULL };
    static const char *const scaling[] = { "file", "none", "linear", "ntk", "yarn", "llama3", "longrope", NULL };
    _Static_assert(HEARTH_KV_Q4_0 == 5 && HEARTH_ROPE_LONGROPE == 6, "the words are in the order of the numbers");
    if (!wish) return 0;
    int rc = read_object(wish, "load", &(struct read_table){ load_row, sizeof load_row / sizeof *load_row }, f, err);
    if (rc == 0) rc = word_of(f->kv_type, "kv_type", kv, &l->engine.kv_type, err);
    if (rc == 0) rc = word_of(f->kv_type_v, "kv_type_v", kv, &l->engine.kv_type_v, err);
    if (rc == 0) rc = word_of(f->scaling, "rope_scaling", scaling, &f->rope.scaling, err);
    return rc;
}

/* The adapters of the wish, else those that the model was given by the op "adapters"; *parsed is to be freed. */
static int read_adapters(struct models *s, const char *path, const struct json *wish, struct hearth_load *l,
                         struct json **parsed, struct err *err)
{
    int rc = 0;
    *parsed = NULL;
    lock_take(&s->lock);
    for (size_t i = 0; !wish && i < MAX_NAMES; i++)
        if (s->known[i].path && s->known[i].adapters && !strcmp(s->known[i].path, path))
            rc = json_parse(parsed, s->known[i].adapters, strlen(s->known[i].adapters), err);
    lock_give(&s->lock);
    if (*parsed) wish = *parsed;
    size_t n = json_len(wish);
    if (rc < 0 || !n) return rc;
    struct hearth_load_adapter *a = mem_new_array(struct hearth_load_adapter, n);
    if (!a) return err_set(err, ERR_NOMEM, "out of memory for adapters");
    l->adapters = a;
    for (; rc == 0 && l->n_adapters < n; l->n_adapters++) {
        a[l->n_adapters].scale = 1;
        rc = read_object(json_at(wish, l->n_adapters), "load.adapters", &(struct read_table){ adapter_row, 2 },
                         &a[l->n_adapters], err);
        if (rc == 0 && !a[l->n_adapters].path) rc = err_set(err, ERR_ARG, "load.adapters: path is missing");
    }
    return rc;
}

static uint32_t keep_of(int64_t seconds)
{
    if (seconds == KEEP_DEFAULT) return 0;
    if (seconds < 0) return HEARTH_KEEP_FOREVER;
    if (seconds == 0) return HEARTH_KEEP_NOT;
    return seconds < 4000000 ? (uint32_t)seconds * 1000 : HEARTH_KEEP_FOREVER;
}

/* ---- the pool ---- */

static const char *const state_word[] = { "", "waiting", "loading", "ready", "failed", "gone" };
_Static_assert(HEARTH_MODEL_WAITS == 1 && HEARTH_MODEL_GONE == 5, "the words are in the order of HEARTH_MODEL_");

static const char *path_of(const struct hearth_model_state *st) { return st->path[0] ? st->path : "embedded"; }

/* Told beside all jobs; what cannot be told is known to who asks for the status. */
static void on_model(void *arg, const struct hearth_model_state *st)
{
    const struct models *s = arg;
    struct json *e = json_new_object();
    struct buf b = { 0 };
    bool ok = put_str(e, "event", "model") && put_str(e, "model", path_of(st)) && put_str(e, "state", state_word[st->state]) &&
              put_int(e, "done", st->done) && put_int(e, "total", st->total);
    if (ok) json_write(e, false, &b);
    if (ok && !b.bad) frames_send(s->w->frames, 0, b.data, b.len, true);
    json_free(e);
    buf_release(&b);
}

int models_open(struct models **out, struct worker *w, struct err *err)
{
    const struct worker_options *o = &w->o;
    struct hearth_models_options po = { .memory = o->memory_limit, .event = on_model,
                                        .keep_ms = o->keep_alive_s ? keep_of(o->keep_alive_s) : 0 };
    struct hearth_error e;
    struct models *s = po.arg = mem_new(1, sizeof *s);
    *out = NULL;
    if (!s) return err_set(err, ERR_NOMEM, "out of memory for models");
    s->w = w;
    if (hearth_models_open(&s->pool, &po, &e) < 0) {
        mem_free(s);
        return err_of_hearth(err, &e);
    }
    *out = s;
    return 0;
}

void models_close(struct models *s)
{
    if (!s) return;
    hearth_hold_close(s->draft);
    hearth_models_close(s->pool);
    for (size_t i = 0; i < MAX_NAMES; i++) {
        mem_free(s->known[i].path);
        mem_free(s->known[i].adapters);
    }
    mem_free(s);
}

bool models_describe(const struct hearth_model_info *i, uint32_t n_ctx, struct json *o)
{
    return put_str(o, "path", i->path) && put_str(o, "name", i->name ? i->name : "") &&
           put_str(o, "architecture", i->architecture) && put_str(o, "tokenizer", i->tokenizer) && put_str(o, "cpu", i->cpu) &&
           put_int(o, "file_bytes", i->file_bytes) && put_int(o, "n_parameters", i->n_parameters) && put_int(o, "n_ctx", n_ctx) &&
           put_int(o, "n_ctx_train", i->n_ctx_train) && put_int(o, "n_vocab", i->n_vocab) && put_int(o, "n_embd", i->n_embd) &&
           put_int(o, "n_layer", i->n_layer) && put_int(o, "n_head", i->n_head) && put_int(o, "n_head_kv", i->n_head_kv) &&
           put_int(o, "n_expert", i->n_expert) && put_int(o, "threads", i->threads) &&
           put_int(o, "n_embed_tokens", i->n_embed_tokens) && json_put(o, "pooling", json_new_int(i->pooling)) &&
           json_put(o, "encoder", json_new_bool(i->encoder)) && json_put(o, "recurrent", json_new_bool(i->recurrent)) &&
           json_put(o, "has_template", json_new_bool(i->has_template)) &&
           json_put(o, "tools", json_new_bool(i->has_template)) &&
           json_put(o, "shows_tools", json_new_bool(i->shows_tools)) && json_put(o, "reasoning", json_new_bool(i->reasons)) &&
           json_put(o, "reasoning_switch", json_new_bool(i->reasons_if_asked));
}

uint32_t models_n_ctx(const struct worker *w, const struct hearth_model_info *i, uint32_t asked)
{
    uint32_t most = i->n_ctx_train && i->n_ctx_train < DEFAULT_CTX ? i->n_ctx_train : DEFAULT_CTX;
    return asked ? asked : w->o.n_ctx ? w->o.n_ctx : most;
}

static void loaded_free(struct loaded *l)
{
    if (!l) return;
    hearth_hold_close(l->hold);
    mem_free(l->about);
    mem_free(l);
}

/* Waits for the model, and tells how far it is. */
static int wait_for(struct task *t, struct hearth_hold *hold, struct err *err)
{
    struct hearth_error e;
    uint64_t told = UINT64_MAX;
    task_waits(t);
    int rc = hearth_hold_wait(hold, 0, &e);
    while (rc == HEARTH_ECANCELLED) {
        struct hearth_model_state st;
        if ((rc = task_go_on(t, err)) < 0) return rc;
        hearth_hold_state(hold, &st);
        if (st.done != told) {
            struct json *o = json_new_object();
            told = st.done;
            if (put_str(o, "event", "loading") && put_int(o, "done", st.done) && put_int(o, "total", st.total)) task_event(t, o);
            else json_free(o);
        }
        rc = hearth_hold_wait(hold, TICK_MS, &e);
    }
    task_works(t);
    if (rc == 0) return 0;
    /* What is wrong with a file is no mistake of the request. */
    if (rc == HEARTH_EFORMAT || rc == HEARTH_EIO) t->kind = "engine";
    if (rc == HEARTH_ELIMIT) t->kind = "memory";
    return err_of_hearth(err, &e);
}

static int finish_take(struct task *t, struct loaded *l, uint32_t num_ctx, struct err *err)
{
    struct hearth_model_state st;
    struct json *o = json_new_object();
    struct buf b = { 0 };
    l->model = hearth_hold_model(l->hold);
    l->engine = hearth_hold_engine(l->hold);
    hearth_model_info(l->model, &l->info);
    l->guesses = l->guesses && !l->info.recurrent && !l->info.encoder;
    hearth_hold_state(l->hold, &st);
    l->n_ctx = st.n_ctx ? st.n_ctx : models_n_ctx(t->w, &l->info, num_ctx);
    if (models_describe(&l->info, l->n_ctx, o) && (!st.drafted || put_str(o, "draft", t->w->o.draft))) json_write(o, false, &b);
    json_free(o);
    l->about = buf_take(&b);
    return l->about ? 0 : err_set(err, ERR_NOMEM, "out of memory for a model");
}

/* What all loads begin with. */
static struct hearth_engine_options engine_of(const struct worker_options *o)
{
    return (struct hearth_engine_options){ .max_running = o->max_running, .max_queued = o->max_queued, .n_ctx = o->n_ctx,
                                           .kv_files = o->cache_bytes ? o->cache_folder : NULL,
                                           .kv_files_limit = o->cache_bytes, .speculate = o->speculate };
}

/* With the lock held: a hold to wait for; NULL: it cannot be had now. */
static struct hearth_hold *draft_hold(struct models *s)
{
    const struct worker_options *o = &s->w->o;
    struct hearth_load load = { .name = o->draft, .path = o->draft, .pin = 1, .model = { .threads = o->threads },
                                .engine = engine_of(o) };
    struct hearth_error e;
    if (!s->draft && os_now_ns() >= s->draft_at && hearth_hold_open(&s->draft, s->pool, &load, &e) < 0) s->draft = NULL;
    return s->draft_fails ? NULL : s->draft;
}

/* The model that guesses for others: loaded by the first who needs it, as it would be for answers, and held from then on.  It
 * changes no answer: where it cannot be loaded all do without, and it is tried again later.  An error: the job is cancelled. */
static int take_draft(struct models *s, struct task *t, struct hearth_model **out, struct err *err)
{
    lock_take(&s->lock);
    struct hearth_hold *h = draft_hold(s), *gone = NULL;
    s->n_waiting += h != NULL;
    lock_give(&s->lock);
    if (!h) return 0;
    int rc = wait_for(t, h, err);
    lock_take(&s->lock);
    s->n_waiting--;
    s->draft_fails = s->draft_fails || (rc < 0 && rc != ERR_CANCELLED);
    if (s->draft_fails && !s->n_waiting) {
        gone = s->draft;
        s->draft = NULL;
        s->draft_fails = false;
        s->draft_at = os_now_ns() + DRAFT_NS;
    }
    lock_give(&s->lock);
    if (rc == 0) *out = hearth_hold_model(h);
    hearth_hold_close(gone);
    if (rc == 0 || rc == ERR_CANCELLED) return rc;
    t->kind = NULL;
    return 0;
}

int models_take(struct models *s, struct task *t, int pin, struct err *err)
{
    const struct worker_options *o = &s->w->o;
    const char *path = t->head.model;
    struct load_fields f = { .speculate = o->speculate };
    struct hearth_load load = { .name = path, .keep_ms = keep_of(t->head.keep_alive), .pin = pin };
    struct hearth_error e;
    struct json *parsed = NULL;
    if (!path) return err_set(err, ERR_ARG, "a job needs \"model\"");
    if (t->head.only_loaded && !models_is_ready(s, path))
        return err_set(err, ERR_ARG, "the model is not loaded, and autoload=false does not let it be");
    load.path = strcmp(path, "embedded") ? path : NULL;
    load.engine = engine_of(o);
    int rc = read_load(t->head.load, &f, &load, err);
    load.model = (struct hearth_model_options){ .threads = f.num_thread ? f.num_thread : o->threads, .rope = f.rope,
                                                .chat_template = f.chat_template, .spare_template = f.spare_template };
    load.engine.n_ctx = f.num_ctx ? f.num_ctx : o->n_ctx;
    load.engine.speculate = f.speculate;
    load.engine.draft_if_fits = true;
    if (rc == 0 && o->draft && strcmp(o->draft, path) && f.speculate != HEARTH_SPECULATE_OFF)
        rc = take_draft(s, t, &load.engine.draft, err);
    if (rc == 0) rc = read_adapters(s, path, f.adapters, &load, &parsed, err);
    struct loaded *l = rc == 0 ? mem_new(1, sizeof *l) : NULL;
    if (rc == 0 && !l) rc = err_set(err, ERR_NOMEM, "out of memory for a model");
    uint64_t start = os_now_ns();
    if (l) {
        l->kv_type = load.engine.kv_type;
        l->kv_type_v = load.engine.kv_type_v;
        l->adapted = load.n_adapters > 0;
        l->guesses = f.speculate != HEARTH_SPECULATE_OFF;
    }
    if (rc == 0 && hearth_hold_open(&l->hold, s->pool, &load, &e) < 0) rc = err_of_hearth(err, &e);
    mem_free((void *)(uintptr_t)load.adapters);
    json_free(parsed);
    if (rc == 0) rc = wait_for(t, l->hold, err);
    t->times.load = os_now_ns() - start;
    if (rc == 0) rc = finish_take(t, l, f.num_ctx, err);
    if (rc == 0) t->loaded = l;
    else loaded_free(l);
    return rc;
}

void models_give(struct models *s, struct task *t)
{
    (void)s;
    loaded_free(t->loaded);
    t->loaded = NULL;
}

int models_unload(struct models *s, const char *path, struct err *err)
{
    struct hearth_error e;
    return hearth_models_unload(s->pool, path, &e) < 0 ? err_of_hearth(err, &e) : 0;
}

/* What comes before a file's data is read, and behind that, may take a while on a slow machine. */
bool models_move(struct models *s)
{
    enum { LOAD = 10 };
    uint32_t ms = s->w->o.silence_ms;
    return hearth_models_move(s->pool, ms < UINT32_MAX / LOAD ? LOAD * ms : UINT32_MAX);
}

bool models_is_ready(struct models *s, const char *path)
{
    struct hearth_model_state *st = mem_new_array(struct hearth_model_state, MAX_LISTED);
    size_t n = st ? hearth_models_list(s->pool, st, MAX_LISTED) : 0;
    bool ready = false;
    for (size_t i = 0; i < n && i < MAX_LISTED; i++)
        ready = ready || (st[i].state == HEARTH_MODEL_READY && !strcmp(path_of(&st[i]), path));
    mem_free(st);
    return ready;
}

/* ---- scales ---- */

struct lora_fields { uint32_t id; float scale; };
static const struct read_row lora_row[] = {
    { "id", READ_U32, offsetof(struct lora_fields, id), 0, UINT32_MAX },
    { "scale", READ_F32, offsetof(struct lora_fields, scale), -1000, 1000 },
};

/* Those that it does not name are not used. */
int read_lora(const struct task *t, const struct json *list, struct hearth_adapter_use **use, size_t *n_use, struct err *err)
{
    struct hearth_adapter *adapter[JOB_MAX_ADAPTERS];
    *use = NULL;
    *n_use = 0;
    if (!list) return 0;
    size_t n = hearth_hold_adapters(t->loaded->hold, adapter, JOB_MAX_ADAPTERS);
    if (n > JOB_MAX_ADAPTERS)
        return err_set(err, ERR_LIMIT, "lora: the model has %zu adapters; at most %d can be set", n, (int)JOB_MAX_ADAPTERS);
    struct hearth_adapter_use *u = *use = mem_new_array(struct hearth_adapter_use, n + 1);
    if (!u) return err_set(err, ERR_NOMEM, "out of memory for adapters");
    for (; *n_use < n; ++*n_use) u[*n_use].adapter = adapter[*n_use];
    for (size_t i = 0; i < json_len(list); i++) {
        struct lora_fields f = { .id = UINT32_MAX };
        int rc = read_object(json_at(list, i), "lora", &(struct read_table){ lora_row, 2 }, &f, err);
        if (rc < 0) return rc;
        if (f.id >= n) return err_set(err, ERR_ARG, "lora: there is no adapter %u; the model has %zu", f.id, n);
        u[f.id].scale = f.scale;
    }
    return 0;
}

/* ---- what is known by path ---- */

/* Under the lock.  The one that was used longest ago makes room; NULL: out of memory. */
static struct known *known_of(struct models *s, const char *path)
{
    struct known *k = NULL;
    for (size_t i = 0; i < MAX_NAMES && !k; i++)
        if (s->known[i].path && !strcmp(s->known[i].path, path)) k = &s->known[i];
    for (size_t i = 0; i < MAX_NAMES && (!k || !k->path || strcmp(k->path, path) != 0); i++)
        if (!k || s->known[i].used < k->used) k = &s->known[i];
    if (!k->path || strcmp(k->path, path) != 0) {
        mem_free(k->path);
        mem_free(k->adapters);
        *k = (struct known){ .path = mem_strdup(path, strlen(path)) };
        if (!k->path) return NULL;
    }
    k->used = ++s->now;
    return k;
}

int models_set_adapters(struct models *s, const char *path, const struct json *use, struct err *err)
{
    struct buf b = { 0 };
    json_write(use, false, &b);
    char *text = buf_take(&b);
    lock_take(&s->lock);
    struct known *k = text ? known_of(s, path) : NULL;
    if (k) {
        mem_free(k->adapters);
        k->adapters = text;
    }
    lock_give(&s->lock);
    if (k) return 0;
    mem_free(text);
    return err_set(err, ERR_NOMEM, "out of memory for adapters");
}

void models_count(struct models *s, const struct task *t, uint64_t prompt, uint64_t cached, uint64_t answer)
{
    lock_take(&s->lock);
    struct known *k = known_of(s, t->head.model);
    if (k) {
        k->n.requests++;
        k->n.prompt_tokens += prompt;
        k->n.cached_tokens += cached;
        k->n.answer_tokens += answer;
        k->n.prompt_ns += t->times.prompt;
        k->n.answer_ns += t->times.answer;
        k->n.load_ns += t->times.load;
    }
    lock_give(&s->lock);
}

static bool put_counts(struct models *s, const char *path, struct json *m)
{
    struct json *o = json_new_object();
    struct counts n = { 0 };
    lock_take(&s->lock);
    for (size_t i = 0; i < MAX_NAMES; i++)
        if (s->known[i].path && !strcmp(s->known[i].path, path)) n = s->known[i].n;
    lock_give(&s->lock);
    bool ok = put_int(o, "requests", n.requests) && put_int(o, "prompt_tokens", n.prompt_tokens) &&
              put_int(o, "cached_tokens", n.cached_tokens) && put_int(o, "answer_tokens", n.answer_tokens) &&
              put_int(o, "prompt_ns", n.prompt_ns) && put_int(o, "answer_ns", n.answer_ns) && put_int(o, "load_ns", n.load_ns);
    return json_put(m, "stats", o) && ok;
}

/* What the jobs of a model do: how many there are, and how far their answers are. */
static bool put_running(struct models *s, const char *path, struct json *m)
{
    struct json *list = json_new_array();
    uint64_t running = 0;
    bool ok = list != NULL;
    lock_take(&s->w->lock);
    for (const struct task *t = s->w->task; t; t = t->next_task) {
        if (!t->head.model || strcmp(t->head.model, path) != 0) continue;
        running++;
        if (!t->gen || !ok || json_len(list) == MAX_TOLD) continue;
        struct json *a = json_new_object();
        ok = put_int(a, "job", t->id) && put_str(a, "user", t->head.user ? t->head.user : "") && generation_tell(t->gen, a);
        ok = json_push(list, a) && ok;
    }
    lock_give(&s->w->lock);
    return json_put(m, "answers", list) && ok && put_int(m, "running", running);
}

static bool put_model(struct models *s, const struct hearth_model_state *st, struct json *m)
{
    const char *path = path_of(st);
    bool ok = put_str(m, "model", path) && put_str(m, "state", state_word[st->state]) &&
              put_int(m, "bytes", st->weights + st->heap + st->buffers) && put_int(m, "kv_bytes", st->kv) &&
              json_put(m, "expires_s", json_new_int(st->leaves_ms < 0 ? -1 : st->leaves_ms / 1000)) &&
              put_int(m, "n_ctx", st->n_ctx) && put_int(m, "done", st->done) && put_int(m, "total", st->total) &&
              put_int(m, "holds", st->n_holds) && json_put(m, "pinned", json_new_bool(st->pinned)) &&
              put_int(m, "steps", st->n_steps) && put_int(m, "step_texts", st->n_step_texts) && put_running(s, path, m);
    if (ok && st->drafted) ok = put_str(m, "draft", s->w->o.draft);
    if (ok && st->state == HEARTH_MODEL_FAILED) ok = put_str(m, "error", st->error.message);
    return ok && put_counts(s, path, m);
}

bool models_status(struct models *s, struct json *to)
{
    struct hearth_model_state *st = mem_new_array(struct hearth_model_state, MAX_LISTED);
    size_t n = st ? hearth_models_list(s->pool, st, MAX_LISTED) : 0;
    struct json *list = json_new_array(), *memory = json_new_object();
    uint64_t limit, used;
    bool ok = st && list;
    for (size_t i = 0; ok && i < n && i < MAX_LISTED; i++) {
        struct json *m = json_new_object();
        ok = put_model(s, &st[i], m);
        ok = json_push(list, m) && ok;
    }
    hearth_models_memory(s->pool, &limit, &used);
    mem_free(st);
    ok = json_put(to, "models", list) && ok && put_int(memory, "limit", limit) && put_int(memory, "used", used) &&
         put_int(memory, "total", os_memory_total()) && put_int(memory, "available", os_memory_available()) &&
         put_int(memory, "peak", os_memory_peak());
    return json_put(to, "memory", memory) && ok;
}
