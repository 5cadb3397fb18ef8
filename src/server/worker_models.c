/* worker_models.c - the models of the engine process: loaded when a job wants one, kept until another is wanted. */
#include <string.h>

#include "base/mem.h"
#include "server/worker_impl.h"

enum { DEFAULT_CTX = 4096 };

struct entry {
    struct loaded l;                   /* first: a task's pointer to it is one to the entry */
    char *path, *load;                 /* what was asked for */
    uint32_t users;
    bool ready;
    char *about;
    struct entry *next;
};

struct models {
    struct worker *w;
    struct lock lock;
    struct entry *entry;
    _Atomic uint32_t changed;
};

struct load_fields {
    uint32_t num_ctx, num_batch, num_thread;
    const char *kv_type, *kv_type_v;
    const struct json *adapters;
};

#define AT(field) offsetof(struct load_fields, field)
static const struct read_row load_row[] = {
    { "num_ctx", READ_U32, AT(num_ctx), 8, 1 << 24 },
    { "num_batch", READ_U32, AT(num_batch), 1, 1 << 20 },
    { "num_thread", READ_U32, AT(num_thread), 0, 256 },
    { "kv_type", READ_STR, AT(kv_type), 0, 0 },
    { "kv_type_v", READ_STR, AT(kv_type_v), 0, 0 },
};

int models_open(struct models **out, struct worker *w, struct err *err)
{
    *out = mem_new(1, sizeof **out);
    if (!*out) return err_set(err, ERR_NOMEM, "out of memory for models");
    (*out)->w = w;
    return 0;
}

static void entry_free(struct entry *e)
{
    hearth_engine_close(e->l.engine);
    hearth_model_close(e->l.model);
    mem_free(e->path);
    mem_free(e->load);
    mem_free(e->about);
    mem_free(e);
}

void models_close(struct models *s)
{
    if (!s) return;
    for (struct entry *e = s->entry, *next; e; e = next) {
        next = e->next;
        entry_free(e);
    }
    mem_free(s);
}

static int kv_type(const char *name, int *out, struct err *err)
{
    static const char *const word[] = { "auto", "f16", "f32", "bf16", "q8_0", "q4_0" };
    *out = HEARTH_KV_AUTO;
    for (int i = 0; name && i < 6; i++)
        if (!strcmp(word[i], name)) {
            *out = i;
            return 0;
        }
    return name ? err_set(err, ERR_ARG, "load.kv_type must be one of f16, f32, bf16, q8_0, q4_0, not \"%.20s\"", name) : 0;
}

static char *describe(const struct loaded *l)
{
    const struct hearth_model_info *i = &l->info;
    struct json *o = json_new_object();
    struct buf b = { 0 };
    bool ok = put_str(o, "path", i->path) && put_str(o, "name", i->name ? i->name : "") &&
              put_str(o, "architecture", i->architecture) && put_str(o, "tokenizer", i->tokenizer) && put_str(o, "cpu", i->cpu) &&
              put_int(o, "file_bytes", i->file_bytes) && put_int(o, "n_parameters", i->n_parameters) &&
              put_int(o, "n_ctx", l->n_ctx) && put_int(o, "n_ctx_train", i->n_ctx_train) && put_int(o, "n_vocab", i->n_vocab) &&
              put_int(o, "n_embd", i->n_embd) && put_int(o, "n_layer", i->n_layer) && put_int(o, "n_head", i->n_head) &&
              put_int(o, "n_head_kv", i->n_head_kv) && put_int(o, "n_expert", i->n_expert) && put_int(o, "threads", i->threads) &&
              put_int(o, "n_embed_tokens", i->n_embed_tokens) && json_put(o, "pooling", json_new_int(i->pooling)) &&
              json_put(o, "encoder", json_new_bool(i->encoder)) && json_put(o, "recurrent", json_new_bool(i->recurrent)) &&
              json_put(o, "has_template", json_new_bool(i->has_template));
    if (ok) json_write(o, false, &b);
    json_free(o);
    return buf_take(&b);
}

static int load(struct models *s, struct entry *e, const struct json *wish, struct err *err)
{
    const struct worker_options *o = &s->w->o;
    struct load_fields f = { 0 };
    struct hearth_engine_options eo = { .max_running = o->max_running, .max_queued = o->max_queued };
    struct hearth_error he;
    int rc = wish ? read_object(wish, "load", &(struct read_table){ load_row, sizeof load_row / sizeof *load_row }, &f, err) : 0;
    if (rc == 0) rc = kv_type(f.kv_type, &eo.kv_type, err);
    if (rc == 0) rc = kv_type(f.kv_type_v, &eo.kv_type_v, err);
    if (rc < 0) return rc;
    struct hearth_model_options mo = { .threads = f.num_thread ? f.num_thread : o->threads, .kv_limit = o->memory_limit };
    rc = strcmp(e->path, "embedded") ? hearth_model_open(&e->l.model, e->path, &mo, &he)
                                     : hearth_model_open_embedded(&e->l.model, &mo, &he);
    if (rc < 0) return err_of_hearth(err, &he);
    hearth_model_info(e->l.model, &e->l.info);
    uint32_t most = e->l.info.n_ctx_train && e->l.info.n_ctx_train < DEFAULT_CTX ? e->l.info.n_ctx_train : DEFAULT_CTX;
    e->l.n_ctx = eo.n_ctx = f.num_ctx ? f.num_ctx : o->n_ctx ? o->n_ctx : most;
    if (!e->l.info.encoder && (rc = hearth_engine_open(&e->l.engine, e->l.model, &eo, &he)) < 0) return err_of_hearth(err, &he);
    if (!(e->about = describe(&e->l))) return err_set(err, ERR_NOMEM, "out of memory for a model");
    e->l.about = e->about;
    return 0;
}

static void tell(struct models *s)
{
    atomic_fetch_add(&s->changed, 1);
    os_wake_all(&s->changed);
}

/* Takes those that nobody uses out of the list, under the lock. */
static struct entry *take_idle(struct models *s)
{
    struct entry *gone = NULL;
    for (struct entry **at = &s->entry; *at;) {
        struct entry *e = *at;
        if (e->users) {
            at = &e->next;
            continue;
        }
        *at = e->next;
        e->next = gone;
        gone = e;
    }
    return gone;
}

/* A new entry in the list, with one user; NULL: out of memory. */
static struct entry *add(struct models *s, const char *path, char **load_text)
{
    struct entry *e = mem_new(1, sizeof *e);
    if (!e || !(e->path = mem_strdup(path, strlen(path)))) {
        mem_free(e);
        return NULL;
    }
    e->load = *load_text;
    *load_text = NULL;
    e->users = 1;
    e->next = s->entry;
    s->entry = e;
    return e;
}

static void take_out(struct models *s, struct entry *e)
{
    struct entry **at = &s->entry;
    while (*at != e) at = &(*at)->next;
    *at = e->next;
}

/* The entry: ready, or *mine to load; NULL: out of memory, or not yet. */
static struct entry *find_or_add(struct models *s, const char *path, char **load_text, bool *mine, struct entry **idle)
{
    struct entry *e = s->entry;
    while (e && (strcmp(e->path, path) != 0 || strcmp(e->load, *load_text) != 0)) e = e->next;
    *mine = !e;
    *idle = e ? NULL : take_idle(s);
    if (!e) return add(s, path, load_text);
    if (!e->ready) return NULL;
    e->users++;
    return e;
}

static int wait_or_load(struct models *s, struct task *t, char **load_text, struct err *err)
{
    for (;;) {
        uint32_t seen = atomic_load(&s->changed);
        struct entry *idle;
        bool mine;
        int rc = task_go_on(t, err);
        if (rc < 0) return rc;
        lock_take(&s->lock);
        struct entry *e = find_or_add(s, t->head.model, load_text, &mine, &idle);
        lock_give(&s->lock);
        for (struct entry *next; idle; idle = next) {
            next = idle->next;
            entry_free(idle);
        }
        if (!e && mine) return err_set(err, ERR_NOMEM, "out of memory for a model");
        if (!e) {
            os_wait(&s->changed, seen);
            continue;
        }
        t->loaded = &e->l;
        if (!mine) return 0;
        rc = load(s, e, t->head.load, err);
        lock_take(&s->lock);
        e->ready = rc == 0;
        if (rc < 0) take_out(s, e);
        lock_give(&s->lock);
        if (rc < 0) {
            t->loaded = NULL;
            entry_free(e);
            /* What is wrong with a file is no mistake of the request. */
            if (rc == ERR_FORMAT || rc == ERR_IO) t->kind = "engine";
            if (rc == ERR_LIMIT) t->kind = "memory";
        }
        tell(s);
        return rc;
    }
}

int models_take(struct models *s, struct task *t, struct err *err)
{
    struct buf b = { 0 };
    if (!t->head.model) return err_set(err, ERR_ARG, "a job needs \"model\"");
    buf_puts(&b, "");
    if (t->head.load) json_write(t->head.load, false, &b);
    char *load_text = buf_take(&b);
    if (!load_text) return err_set(err, ERR_NOMEM, "out of memory for a job");
    uint64_t start = os_now_ns();
    int rc = wait_or_load(s, t, &load_text, err);
    t->times.load = os_now_ns() - start;
    mem_free(load_text);
    return rc;
}

void models_give(struct models *s, struct task *t)
{
    struct entry *e = (struct entry *)(void *)t->loaded;
    lock_take(&s->lock);
    e->users--;
    lock_give(&s->lock);
    t->loaded = NULL;
    tell(s);
}

bool models_status(struct models *s, struct json *to)
{
    struct json *list = json_new_array();
    bool ok = list != NULL;
    lock_take(&s->lock);
    for (struct entry *e = s->entry; e && ok; e = e->next) {
        struct json *m = json_new_object();
        struct hearth_engine_stats st = { 0 };
        struct hearth_memory mem = { 0 };
        if (e->ready) hearth_model_memory(e->l.model, &mem);
        if (e->ready && e->l.engine) hearth_engine_stats(e->l.engine, &st);
        ok = put_str(m, "model", e->path) && put_str(m, "state", e->ready ? "ready" : "loading") &&
             put_int(m, "bytes", e->ready ? e->l.info.file_bytes : 0) && put_int(m, "kv_bytes", mem.kv_reserved) &&
             put_int(m, "running", st.n_running) && put_int(m, "queued", st.n_queued);
        ok = json_push(list, m) && ok;
    }
    lock_give(&s->lock);
    return json_put(to, "models", list) && ok;
}
