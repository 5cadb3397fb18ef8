/* worker_embed.c - vectors of texts and scores of documents, as requests to the model's engine. */
#include <string.h>

#include "base/mem.h"
#include "server/worker_impl.h"

enum { MAX_INPUTS = 1 << 16 };

static int no_memory(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for the vectors"); }

/* How a request ended, as told by its only completion. */
struct outcome { int finish; uint64_t tokens; struct hearth_error error; };

static bool on_event(void *arg, const struct hearth_event *ev)
{
    struct outcome *o = arg;
    o->finish = ev->finish;
    o->tokens = ev->n_prompt;
    if (ev->error) o->error = *ev->error;
    return true;
}

/* Waits for it as a task's, so that it can be cancelled; closes it. */
static int await(struct task *t, struct hearth_request *r, const struct outcome *o, struct err *err)
{
    uint64_t start = os_now_ns();
    lock_take(&t->w->lock);
    t->request = r;
    lock_give(&t->w->lock);
    if (atomic_load(&t->cancel)) hearth_request_cancel(r);
    task_waits(t);
    hearth_request_wait(r);
    task_works(t);
    lock_take(&t->w->lock);
    t->request = NULL;
    lock_give(&t->w->lock);
    hearth_request_close(r);
    t->times.prompt = os_now_ns() - start;
    if (o->finish == HEARTH_FINISH_ERROR) return err_of_hearth(err, &o->error);
    if (o->finish == HEARTH_FINISH_DEADLINE) t->kind = "deadline";
    if (o->finish == HEARTH_FINISH_CANCELLED || o->finish == HEARTH_FINISH_DEADLINE)
        return err_set(err, ERR_CANCELLED, "the job was %s", o->finish == HEARTH_FINISH_DEADLINE ? "too late" : "cancelled");
    return 0;
}

static uint32_t time_left(const struct task *t)
{
    uint64_t now = os_now_ns();
    if (!t->deadline) return 0;
    return now < t->deadline ? (uint32_t)((t->deadline - now) / 1000000) + 1 : 1;
}

/* ---- embeddings ---- */

struct embed_job {
    struct task_head head;
    const struct json *input;
    const char *pooling;
    bool normalise, truncate;
    uint32_t dims;
    const struct json *lora;
};
#define AT(field) offsetof(struct embed_job, field)
static const struct read_row embed_row[] = {
    { "input", READ_ARRAY, AT(input), 0, 0 },
    { "pooling", READ_STR, AT(pooling), 0, 0 },
    { "normalise", READ_FLAG, AT(normalise), 0, 0 },
    { "truncate", READ_FLAG, AT(truncate), 0, 0 },
    { "dims", READ_U32, AT(dims), 1, 1 << 20 },
    { "lora", READ_ARRAY, AT(lora), 0, 0 },
};

struct inputs {
    struct hearth_embed_item *item;    /* [n] */
    int32_t **ids;
    size_t *rows;
    float *out;
    size_t n, width;
    struct hearth_adapter_use *use;    /* [n_use] what "lora" says, or NULL */
    size_t n_use;
};

static void inputs_release(struct inputs *v)
{
    for (size_t i = 0; v->ids && i < v->n; i++) hearth_free(v->ids[i]);
    mem_free(v->ids);
    mem_free(v->rows);
    mem_free(v->item);
    mem_free(v->out);
    mem_free(v->use);
}

static int pooling_of(const char *word, int *out, struct err *err)
{
    static const char *const name[] = { "none", "mean", "cls", "last", "rank" };
    _Static_assert(HEARTH_POOL_NONE == 0 && HEARTH_POOL_RANK == 4, "the words are in the order of the numbers");
    for (int i = 0; word && i < 5; i++)
        if (!strcmp(name[i], word)) {
            *out = i;
            return 0;
        }
    return word ? err_set(err, ERR_ARG, "pooling must be one of none, mean, cls, last, rank, not \"%.20s\"", word) : 0;
}

static int one_input(struct inputs *v, size_t i, const struct json *in, const struct task *t, struct err *err)
{
    struct hearth_error e;
    size_t n;
    const char *s = json_str(in, &n);
    char name[32];
    fmt_into(name, sizeof name, "input %zu", i + 1);
    if (json_type(in) == JSON_ARRAY) {
        int rc = read_ids(in, name, t->loaded, &v->ids[i], err);
        if (rc < 0) return rc;
        v->item[i].n = json_len(in);
    } else if (!s)
        return err_set(err, ERR_ARG, "%s must be a string or a list of token ids", name);
    else if (hearth_tokenize(t->loaded->model, s, n, HEARTH_TOKENIZE_SPECIAL, &v->ids[i], &v->item[i].n, &e) < 0)
        return err_of_hearth(err, &e);
    v->item[i].ids = v->ids[i];
    return v->item[i].n ? 0 : err_set(err, ERR_ARG, "%s has no tokens", name);
}

static int take_inputs(struct inputs *v, const struct embed_job *f, const struct task *t, const struct hearth_embed_options *o,
                       struct err *err)
{
    size_t n = json_len(f->input), rows = 0, limit = t->loaded->info.n_embed_tokens;
    int rc = 0;
    if (n > MAX_INPUTS) return err_set(err, ERR_LIMIT, "%zu inputs, at most %d are possible", n, MAX_INPUTS);
    v->item = mem_new_array(struct hearth_embed_item, n + 1);
    v->ids = mem_new_array(int32_t *, n + 1);
    v->rows = mem_new_array(size_t, n + 1);
    if (!v->item || !v->ids || !v->rows) return no_memory(err);
    v->n = n;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = one_input(v, i, json_at(f->input, i), t, err);
        v->rows[i] = o->pooling != HEARTH_POOL_NONE ? 1 : v->item[i].n < limit ? v->item[i].n : limit;
        rows += v->rows[i];
    }
    if (rc < 0) return rc;
    if (v->width && rows * v->width > (size_t)JOB_MAX_BYTES / 4)
        return err_set(err, ERR_LIMIT, "%zu vectors of %zu numbers are too many for one answer", rows, v->width);
    if (!(v->out = mem_new(rows + 1, (v->width + 1) * sizeof *v->out))) return no_memory(err);
    float *at = v->out;
    for (size_t i = 0; i < n; at += v->rows[i++] * v->width) v->item[i].out = at;
    return 0;
}

static void put_row(const float *x, size_t n, struct buf *b)
{
    buf_putc(b, '[');
    for (size_t i = 0; i < n; i++) buf_printf(b, i ? ",%.9g" : "%.9g", (double)x[i]);
    buf_putc(b, ']');
}

static void put_vectors(const struct inputs *v, bool rows, size_t limit, struct buf *b)
{
    buf_puts(b, "\"vectors\":[");
    for (size_t i = 0; i < v->n; i++) {
        if (i) buf_putc(b, ',');
        if (rows) buf_putc(b, '[');
        for (size_t k = 0; k < v->rows[i]; k++) {
            if (k) buf_putc(b, ',');
            put_row(v->item[i].out + k * v->width, v->width, b);
        }
        if (rows) buf_putc(b, ']');
    }
    buf_puts(b, "],\"tokens\":[");
    for (size_t i = 0; i < v->n; i++) buf_printf(b, "%s%zu", i ? "," : "", v->item[i].n < limit ? v->item[i].n : limit);
    buf_putc(b, ']');
}

static int embed(struct task *t, const struct embed_job *f, struct inputs *v, struct err *err)
{
    struct hearth_embed_options o;
    struct hearth_request *r;
    struct hearth_error e;
    struct outcome end = { .finish = 0 };
    hearth_embed_defaults(&o);
    int rc = pooling_of(f->pooling, &o.pooling, err);
    if (rc < 0) return rc;
    if (!f->pooling && t->loaded->info.pooling == HEARTH_POOL_NONE) o.pooling = HEARTH_POOL_NONE;
    o.normalise = f->normalise;
    o.truncate = f->truncate;
    if (f->dims > hearth_embed_width(t->loaded->model, &o))
        return err_set(err, ERR_ARG, "dimensions is %u, but the vectors of this model have %u", f->dims,
                       hearth_embed_width(t->loaded->model, &o));
    o.n_dims = f->dims;
    v->width = hearth_embed_width(t->loaded->model, &o);
    if (!v->width) return err_set(err, ERR_UNSUPPORTED, "%s has no vectors of this pooling", t->loaded->info.path);
    rc = take_inputs(v, f, t, &o, err);
    if (rc == 0) rc = read_lora(t, f->lora, &v->use, &v->n_use, err);
    if (rc < 0) return rc;
    struct hearth_embed_request q = { .items = v->item, .n = v->n, .options = &o, .priority = t->head.priority,
                                      .adapters = v->use, .n_adapters = v->n_use,
                                      .deadline_ms = time_left(t), .event = on_event, .arg = &end };
    if (hearth_embed_submit(&r, t->loaded->engine, &q, &e) < 0) {
        if (e.code == HEARTH_ELIMIT) t->kind = "context";
        return err_of_hearth(err, &e);
    }
    return await(t, r, &end, err);
}

int op_embed(struct task *t, struct err *err)
{
    struct embed_job f = { .normalise = true };
    struct inputs v = { .item = NULL };
    struct buf b = { 0 };
    int rc = task_read(t, &(struct read_table){ embed_row, sizeof embed_row / sizeof *embed_row }, &f, err);
    if (rc == 0 && !json_len(f.input)) rc = err_set(err, ERR_ARG, "input is missing or empty");
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc == 0) rc = embed(t, &f, &v, err);
    if (rc == 0) {
        uint64_t tokens = 0;
        for (size_t i = 0; i < v.n; i++) tokens += v.item[i].n;
        bool rows = f.pooling ? !strcmp(f.pooling, "none") : t->loaded->info.pooling == HEARTH_POOL_NONE;
        put_vectors(&v, rows, t->loaded->info.n_embed_tokens, &b);
        models_count(t->w->models, t, tokens, 0, 0);
        if (b.bad) rc = no_memory(err);
        else task_done_text(t, &b);
    }
    buf_release(&b);
    inputs_release(&v);
    return rc;
}

/* ---- scores ---- */

struct rerank_job {
    struct task_head head;
    const char *query, *instruction;
    struct read_strs documents;
    bool logits;
    const struct json *lora;
};
#undef AT
#define AT(field) offsetof(struct rerank_job, field)
static const struct read_row rerank_row[] = {
    { "query", READ_STR, AT(query), 0, 0 },
    { "documents", READ_STRS, AT(documents), 0, 0 },
    { "instruction", READ_STR, AT(instruction), 0, 0 },
    { "logits", READ_FLAG, AT(logits), 0, 0 },
    { "lora", READ_ARRAY, AT(lora), 0, 0 },
};

static int rerank(struct task *t, const struct rerank_job *f, struct err *err)
{
    struct outcome end = { .finish = 0 };
    struct hearth_rerank_options o = { .instruction = f->instruction, .logits = f->logits };
    struct hearth_request *r;
    struct hearth_error e;
    float *scores = mem_new_array(float, f->documents.n);
    struct hearth_rerank_request q = { .query = f->query, .documents = f->documents.s, .n = f->documents.n, .options = &o,
                                       .scores = scores, .priority = t->head.priority, .deadline_ms = time_left(t),
                                       .event = on_event, .arg = &end };
    struct buf b = { 0 };
    struct hearth_adapter_use *use = NULL;
    int rc = scores ? read_lora(t, f->lora, &use, &q.n_adapters, err) : no_memory(err);
    q.adapters = use;
    if (rc == 0)
        rc = hearth_rerank_submit(&r, t->loaded->engine, &q, &e) < 0 ? err_of_hearth(err, &e) : await(t, r, &end, err);
    if (rc == 0) {
        buf_puts(&b, "\"scores\":");
        put_row(scores, f->documents.n, &b);
        buf_printf(&b, ",\"tokens\":%llu", (unsigned long long)end.tokens);
        models_count(t->w->models, t, end.tokens, 0, 0);
        if (b.bad) rc = no_memory(err);
        else task_done_text(t, &b);
    }
    buf_release(&b);
    mem_free(use);
    mem_free(scores);
    return rc;
}

int op_rerank(struct task *t, struct err *err)
{
    struct rerank_job f = { .query = NULL };
    int rc = task_read(t, &(struct read_table){ rerank_row, sizeof rerank_row / sizeof *rerank_row }, &f, err);
    if (rc == 0 && (!f.query || !f.documents.n)) rc = err_set(err, ERR_ARG, "query and documents are needed");
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc == 0) rc = rerank(t, &f, err);
    read_strs_release(&f.documents);
    return rc;
}
