/* worker_ops.c - what the engine process can be asked for, and the answers that are quick. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "engine/about.h"
#include "server/worker_impl.h"

static int no_memory(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for the answer"); }

/* Takes the answer; ok: it is complete. */
static int answer(struct task *t, struct json *o, bool ok, struct err *err)
{
    if (ok) task_done(t, o);
    else json_free(o);
    return ok ? 0 : no_memory(err);
}

static int nothing_to_say(struct task *t, struct err *err)
{
    struct json *o = json_new_object();
    return answer(t, o, o != NULL, err);
}

static int missing(const char *field, struct err *err) { return err_set(err, ERR_ARG, "%s is missing", field); }

/* ---- models ---- */

static int status_run(struct task *t, struct err *err)
{
    struct task_head f = { 0 };
    int rc = task_read(t, &(struct read_table){ NULL, 0 }, &f, err);
    if (rc < 0) return rc;
    struct json *o = json_new_object();
    return answer(t, o, models_status(t->w->models, o), err);
}

struct load_job { struct task_head head; const struct json *pin; };
static const struct read_row load_row[] = { { "pin", READ_ANY, offsetof(struct load_job, pin), 0, 0 } };

static int load_run(struct task *t, struct err *err)
{
    struct load_job f = { .pin = NULL };
    int rc = task_read(t, &(struct read_table){ load_row, 1 }, &f, err);
    if (rc == 0 && f.pin && json_type(f.pin) != JSON_BOOL) rc = err_set(err, ERR_ARG, "pin must be true or false");
    if (rc == 0) rc = models_take(t->w->models, t, !f.pin ? 0 : json_bool(f.pin) ? 1 : -1, err);
    if (rc < 0) return rc;
    struct json *o = json_new_object();
    bool ok = o && put_int(o, "n_ctx", t->loaded->n_ctx) && json_put(o, "encoder", json_new_bool(t->loaded->info.encoder));
    return answer(t, o, ok, err);
}

static int unload_run(struct task *t, struct err *err)
{
    struct task_head f = { 0 };
    int rc = task_read(t, &(struct read_table){ NULL, 0 }, &f, err);
    if (rc == 0 && !f.model) rc = missing("model", err);
    if (rc == 0) rc = models_unload(t->w->models, f.model, err);
    return rc < 0 && rc != ERR_NOTFOUND ? rc : nothing_to_say(t, err);         /* one that is not there need not go */
}

/* Whether it has tokens for what comes before and behind a gap. */
static bool fills_in(const struct hearth_model *m)
{
    struct hearth_error e;
    int32_t *ids;
    size_t n;
    if (hearth_fim_prompt(m, &(struct hearth_fim){ .prefix = "a", .suffix = "b" }, &ids, &n, &e) < 0) return false;
    hearth_free(ids);
    return true;
}

/* The text of a token; "" where there is none. */
static bool put_token(const struct hearth_model *m, const char *key, int32_t id, struct json *o)
{
    struct hearth_error e;
    char *text = NULL;
    size_t n = 0;
    if (id >= 0 && hearth_detokenize(m, &id, 1, true, &text, &n, &e) < 0) n = 0;
    bool ok = json_put(o, key, json_new_str(text ? text : "", n));
    hearth_free(text);
    return ok;
}

static bool put_defaults(const struct hearth_model *m, struct json *o)
{
    struct json *d = json_new_object();
    bool ok = d && answer_options_defaults(m, d);
    return json_put(o, "defaults", d) && ok;
}

struct info_job { struct task_head head; bool file, arrays; };
static const struct read_row info_row[] = {
    { "file", READ_FLAG, offsetof(struct info_job, file), 0, 0 },
    { "arrays", READ_FLAG, offsetof(struct info_job, arrays), 0, 0 },
};

static int describe(struct task *t, const struct hearth_model *m, uint32_t n_ctx, const struct info_job *f, struct err *err)
{
    struct hearth_model_info info, *i = &info;
    hearth_model_info(m, i);
    struct json *o = json_new_object();
    bool ok = models_describe(i, n_ctx, o) && json_put(o, "infill", json_new_bool(fills_in(m)));
    ok = ok && put_token(m, "bos", hearth_token_bos(m), o) && put_token(m, "eos", hearth_token_eos(m), o) && put_defaults(m, o);
    if (ok && f->file)
        ok = json_put(o, "keys", engine_keys(m, f->arrays)) && json_put(o, "tensors", engine_tensors(m));
    if (ok && i->chat_template) ok = json_put(o, "chat_template", json_new_str(i->chat_template, i->n_chat_template));
    return answer(t, o, ok, err);
}

/* One that is not loaded is only looked at: its weights stay where they are. */
static int info_run(struct task *t, struct err *err)
{
    struct info_job f = { .file = false };
    struct hearth_model *m;
    struct hearth_model_info info;
    struct hearth_error e;
    int rc = task_read(t, &(struct read_table){ info_row, 2 }, &f, err);
    if (rc == 0 && !f.head.model) rc = missing("model", err);
    if (rc < 0) return rc;
    if (models_is_ready(t->w->models, f.head.model)) {
        rc = models_take(t->w->models, t, 0, err);
        return rc < 0 ? rc : describe(t, t->loaded->model, t->loaded->n_ctx, &f, err);
    }
    struct hearth_model_options mo = { .threads = 1, .kv_limit = 1 << 20,
                                       .chat_template = json_str(json_get(f.head.load, "chat_template"), NULL),
                                       .spare_template = json_str(json_get(f.head.load, "spare_template"), NULL) };
    rc = strcmp(f.head.model, "embedded") ? hearth_model_open(&m, f.head.model, &mo, &e)
                                          : hearth_model_open_embedded(&m, &mo, &e);
    if (rc == HEARTH_EFORMAT || rc == HEARTH_EIO) t->kind = "engine";
    if (rc < 0) return err_of_hearth(err, &e);
    hearth_model_info(m, &info);
    rc = describe(t, m, models_n_ctx(t->w, &info, 0), &f, err);
    hearth_model_close(m);
    return rc;
}

struct adapters_job { struct task_head head; const struct json *use; };
static const struct read_row adapters_row[] = { { "use", READ_ARRAY, offsetof(struct adapters_job, use), 0, 0 } };

/* They are tried at once, so that what is wrong with them is said here; then older copies of the model go. */
static int adapters_run(struct task *t, struct err *err)
{
    struct adapters_job f = { .use = NULL };
    int rc = task_read(t, &(struct read_table){ adapters_row, 1 }, &f, err);
    if (rc == 0 && !f.use) rc = missing("use", err);
    if (rc == 0 && !f.head.model) rc = missing("model", err);
    if (rc < 0) return rc;
    struct json *load = t->head.load ? json_share(t->head.load) : json_new_object();
    bool ok = json_put(load, "adapters", json_share(f.use));
    if (ok) t->head.load = load;
    rc = ok ? models_take(t->w->models, t, 0, err) : no_memory(err);
    if (rc == 0) rc = models_set_adapters(t->w->models, f.head.model, f.use, err);
    json_free(load);
    return rc < 0 ? rc : nothing_to_say(t, err);
}

/* ---- tokens ---- */

struct tokens_job { struct task_head head; struct read_text text; bool special, parse; const struct json *ids; };
#define AT(field) offsetof(struct tokens_job, field)
static const struct read_row tokenize_row[] = {
    { "text", READ_TEXT, AT(text), 0, 0 },
    { "special", READ_FLAG, AT(special), 0, 0 },
    { "parse", READ_FLAG, AT(parse), 0, 0 },
};
static const struct read_row detokenize_row[] = {
    { "ids", READ_ARRAY, AT(ids), 0, 0 },
    { "special", READ_FLAG, AT(special), 0, 0 },
};

static int put_tokens(struct task *t, const int32_t *ids, size_t n, struct buf *b, struct err *err)
{
    struct hearth_error e;
    buf_puts(b, "\"ids\":[");
    for (size_t i = 0; i < n; i++) buf_printf(b, "%s%d", i ? "," : "", ids[i]);
    buf_puts(b, "],\"pieces\":[");
    for (size_t i = 0; i < n; i++) {
        char *text;
        size_t len;
        if (hearth_detokenize(t->loaded->model, &ids[i], 1, true, &text, &len, &e) < 0) return err_of_hearth(err, &e);
        if (i) buf_putc(b, ',');
        if (utf8_valid(text, len)) json_write_str(text, len, b);
        else {
            for (size_t k = 0; k < len; k++) buf_printf(b, "%s%u", k ? "," : "[", (unsigned)(unsigned char)text[k]);
            buf_putc(b, ']');
        }
        hearth_free(text);
    }
    buf_puts(b, "]");
    return b->bad ? no_memory(err) : 0;
}

static int tokenize_run(struct task *t, struct err *err)
{
    struct tokens_job f = { .special = true };
    struct hearth_error e;
    struct buf b = { 0 };
    int32_t *ids;
    size_t n;
    int rc = task_read(t, &(struct read_table){ tokenize_row, 3 }, &f, err);
    if (rc == 0 && !f.text.s) rc = missing("text", err);
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc < 0) return rc;
    unsigned flags = (f.special ? HEARTH_TOKENIZE_SPECIAL : 0) | (f.parse ? HEARTH_TOKENIZE_PARSE : 0);
    if (hearth_tokenize(t->loaded->model, f.text.s, f.text.n, flags, &ids, &n, &e) < 0) return err_of_hearth(err, &e);
    rc = put_tokens(t, ids, n, &b, err);
    if (rc == 0) task_done_text(t, &b);
    hearth_free(ids);
    buf_release(&b);
    return rc;
}

int read_ids(const struct json *list, const char *name, const struct loaded *l, int32_t **out, struct err *err)
{
    size_t n = json_len(list);
    int rc = 0;
    *out = mem_new_array(int32_t, n + 1);
    if (!*out) return no_memory(err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        const struct json *v = json_at(list, i);
        int64_t id = json_int(v);
        if (json_type(v) != JSON_INT) rc = err_set(err, ERR_ARG, "%s must be a list of token ids", name);
        else if (id < 0 || id >= (int64_t)l->info.n_vocab)
            rc = err_set(err, ERR_ARG, "%s: there is no token %lld; the model has %u", name, (long long)id, l->info.n_vocab);
        (*out)[i] = (int32_t)id;
    }
    if (rc < 0) {
        mem_free(*out);
        *out = NULL;
    }
    return rc;
}

static int detokenize_run(struct task *t, struct err *err)
{
    struct tokens_job f = { .special = true };
    struct hearth_error e;
    int32_t *ids;
    char *text;
    size_t n;
    int rc = task_read(t, &(struct read_table){ detokenize_row, 2 }, &f, err);
    if (rc == 0 && !f.ids) rc = missing("ids", err);
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc == 0) rc = read_ids(f.ids, "ids", t->loaded, &ids, err);
    if (rc < 0) return rc;
    rc = hearth_detokenize(t->loaded->model, ids, json_len(f.ids), f.special, &text, &n, &e);
    mem_free(ids);
    if (rc < 0) return err_of_hearth(err, &e);
    struct buf b = { 0 };
    buf_puts(&b, "\"text\":");
    json_write_str(text, n, &b);
    hearth_free(text);
    rc = b.bad ? no_memory(err) : 0;
    if (rc == 0) task_done_text(t, &b);
    buf_release(&b);
    return rc;
}

/* ---- other jobs ---- */

struct stop_job { struct task_head head; uint64_t job; };
static const struct read_row stop_row[] = { { "job", READ_U64, offsetof(struct stop_job, job), 1, 9e18 } };

static int stop_thinking_run(struct task *t, struct err *err)
{
    struct stop_job f = { .job = 0 };
    struct worker *w = t->w;
    int rc = task_read(t, &(struct read_table){ stop_row, 1 }, &f, err);
    if (rc == 0 && !f.job) rc = missing("job", err);
    if (rc < 0) return rc;
    lock_take(&w->lock);
    struct task *other = task_find(w, f.job);
    bool found = other && other->gen;
    if (found) generation_stop_thinking(other->gen);
    lock_give(&w->lock);
    if (!found) return err_set(err, ERR_NOTFOUND, "there is no answer %llu at work", (unsigned long long)f.job);
    return nothing_to_say(t, err);
}

/* Texts are prepared within seconds, also 32 MB of them; files may lie on a slow disk. */
enum { TEXT = 4, FILES = 10 };
static const struct op op[] = {
    { "generate", generate_run, TEXT },
    { "embed", op_embed, TEXT },
    { "rerank", op_rerank, TEXT },
    { "template", template_run, TEXT },
    { "tokenize", tokenize_run, TEXT },
    { "detokenize", detokenize_run, TEXT },
    { "info", info_run, FILES },
    { "load", load_run, FILES },
    { "unload", unload_run, FILES },
    { "adapters", adapters_run, FILES },
    { "stop_thinking", stop_thinking_run, TEXT },
    { "slot", slot_run, FILES },
    { "status", status_run, TEXT },
};

const struct op *op_find(const char *name)
{
    for (size_t i = 0; i < sizeof op / sizeof *op; i++)
        if (!strcmp(op[i].name, name)) return &op[i];
    return NULL;
}
