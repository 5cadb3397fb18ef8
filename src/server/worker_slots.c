/* worker_slots.c - texts by number, as llama-server has its slots: the last answer under each is remembered, and can be saved to
 * a file of the operator's folder, restored from one, or forgotten.
 *
 * Only the tokens are kept here; what it took to evaluate them is in the model's pages, among all past texts. */
#include <string.h>

#include "base/mem.h"
#include "server/worker_impl.h"
#include "store/name.h"

enum { MAX_FILE_NAME = 200 };

struct slot { char *model; uint64_t salt; int32_t *ids; size_t n; };
struct slots { struct lock lock; struct slot v[N_SLOTS]; };

int slots_open(struct slots **out, struct err *err)
{
    *out = mem_new(1, sizeof **out);
    return *out ? 0 : err_set(err, ERR_NOMEM, "out of memory for slots");
}

static void forget(struct slot *v)
{
    mem_free(v->model);
    mem_free(v->ids);
    *v = (struct slot){ 0 };
}

void slots_close(struct slots *s)
{
    for (size_t i = 0; s && i < N_SLOTS; i++) forget(&s->v[i]);
    mem_free(s);
}

void slots_note(struct worker *w, const struct task *t, uint32_t slot, const int32_t *ids, size_t n)
{
    struct slots *s = w->slots;
    if (!s || !n) return;
    struct slot v = { mem_strdup(t->head.model, strlen(t->head.model)), short_hash(t->head.salt), mem_new_array(int32_t, n), n };
    if (v.model && v.ids) {
        memcpy(v.ids, ids, n * sizeof *ids);
        lock_take(&s->lock);
        struct slot old = s->v[slot];
        s->v[slot] = v;
        lock_give(&s->lock);
        v = old;
    }
    forget(&v);                                                /* what was there, or what there is no memory for */
}

/* A copy of what this user has under the number, for this model; n 0: nothing. */
static int copy(struct slots *s, const struct task *t, uint32_t slot, struct slot *out, struct err *err)
{
    int rc = 0;
    *out = (struct slot){ 0 };
    lock_take(&s->lock);
    const struct slot *v = &s->v[slot];
    if (v->n && v->salt == short_hash(t->head.salt) && !strcmp(v->model, t->head.model)) {
        out->ids = mem_new_array(int32_t, v->n);
        if (out->ids) memcpy(out->ids, v->ids, v->n * sizeof *v->ids);
        else rc = err_set(err, ERR_NOMEM, "out of memory for a text");
        out->n = out->ids ? v->n : 0;
    }
    lock_give(&s->lock);
    return rc;
}

/* ---- the op ---- */

struct slot_job { struct task_head head; uint32_t slot; const char *action, *file; };
#define AT(field) offsetof(struct slot_job, field)
static const struct read_row row[] = {
    { "slot", READ_U32, AT(slot), 0, N_SLOTS - 1 },
    { "action", READ_STR, AT(action), 0, 0 },
    { "file", READ_STR, AT(file), 0, 0 },
};

static bool goes_on(void *arg, size_t done, size_t total)
{
    (void)done;
    (void)total;
    return task_go_on(arg, NULL) == 0;
}

/* A session that sees what the model's engine sees. */
static int open_session(struct task *t, struct hearth_session **out, struct err *err)
{
    const struct loaded *l = t->loaded;
    struct hearth_session_options o = { .n_ctx = l->n_ctx, .kv_type = l->kv_type, .kv_type_v = l->kv_type_v,
                                        .progress = goes_on, .progress_arg = t, .cache_salt = short_hash(t->head.salt) };
    struct hearth_error e;
    if (l->adapted) return err_set(err, ERR_UNSUPPORTED, "texts of a model with adapters are not saved");
    return hearth_session_open(out, l->model, &o, &e) < 0 ? err_of_hearth(err, &e) : 0;
}

/* Without the folder: where it is, is nobody's business. */
static int fail(const struct task *t, const struct hearth_error *e, struct err *err)
{
    const char *folder = t->w->o.slot_folder, *text = e->message;
    size_t n = strlen(folder);
    if (!strncmp(text, folder, n) && text[n] == '/') text += n + 1;
    return err_set(err, e->code, "%s", text);
}

static int answer(struct task *t, size_t n, uint64_t bytes, struct err *err)
{
    struct json *o = json_new_object();
    if (put_int(o, "n", n) && put_int(o, "bytes", bytes)) {
        task_done(t, o);
        return 0;
    }
    json_free(o);
    return err_set(err, ERR_NOMEM, "out of memory for the answer");
}

/* What has left the cache since is evaluated again. */
static int save(struct task *t, uint32_t slot, const char *path, struct err *err)
{
    struct slot v;
    struct hearth_session *s = NULL;
    struct hearth_error e;
    size_t n = 0;
    uint64_t bytes = 0;
    int rc = copy(t->w->slots, t, slot, &v, err);
    if (rc == 0 && !v.n) rc = err_set(err, ERR_NOTFOUND, "slot %u has no text of this model", slot);
    if (rc == 0) rc = models_take(t->w->models, t, 0, err);
    if (rc == 0) rc = open_session(t, &s, err);
    if (rc == 0 && (hearth_session_sync(s, v.ids, v.n, &e) < 0 || hearth_cache_save_file(s, path, &n, &bytes, &e) < 0))
        rc = fail(t, &e, err);
    hearth_session_close(s);
    mem_free(v.ids);
    return rc < 0 ? rc : answer(t, n, bytes, err);
}

static int restore(struct task *t, uint32_t slot, const char *path, struct err *err)
{
    struct hearth_session *s = NULL;
    struct hearth_error e;
    int32_t *ids = NULL;
    size_t n = 0;
    uint64_t bytes = 0;
    int rc = models_take(t->w->models, t, 0, err);
    if (rc == 0) rc = open_session(t, &s, err);
    if (rc == 0 && hearth_cache_load_file(s, path, &ids, &n, &bytes, &e) < 0) rc = fail(t, &e, err);
    hearth_session_close(s);
    if (rc == 0) slots_note(t->w, t, slot, ids, n);
    hearth_free(ids);
    return rc < 0 ? rc : answer(t, n, bytes, err);
}

static int erase(struct task *t, uint32_t slot, struct err *err)
{
    struct slots *s = t->w->slots;
    struct slot old = { 0 };
    lock_take(&s->lock);
    struct slot *v = &s->v[slot];
    if (v->n && v->salt == short_hash(t->head.salt)) {
        old = *v;
        *v = (struct slot){ 0 };
    }
    lock_give(&s->lock);
    size_t n = old.n;
    forget(&old);
    return answer(t, n, 0, err);
}

int slot_run(struct task *t, struct err *err)
{
    struct slot_job f = { .slot = 0 };
    struct buf path = { 0 };
    int rc = task_read(t, &(struct read_table){ row, sizeof row / sizeof *row }, &f, err);
    bool saves = f.action && !strcmp(f.action, "save"), restores = f.action && !strcmp(f.action, "restore");
    bool file = f.file && name_is_safe_path(f.file, MAX_FILE_NAME) && !strchr(f.file, '/') && *f.file != '.';
    if (rc == 0 && !t->w->slots)
        rc = err_set(err, ERR_UNSUPPORTED, "texts are saved only by a server that was started with --slot-save-path");
    if (rc == 0 && !f.head.model) rc = err_set(err, ERR_ARG, "model is missing");
    if (rc == 0 && !saves && !restores && (!f.action || strcmp(f.action, "erase") != 0))
        rc = err_set(err, ERR_ARG, "action must be save, restore or erase");
    if (rc == 0 && (saves || restores) && !file)
        rc = err_set(err, ERR_ARG, "filename: expected the name of a file, without a folder");
    if (rc < 0) return rc;
    buf_printf(&path, "%s/%s", t->w->o.slot_folder, file ? f.file : "");
    rc = path.bad ? err_set(err, ERR_NOMEM, "out of memory") : saves ? save(t, f.slot, path.data, err)
                                                          : restores ? restore(t, f.slot, path.data, err) : erase(t, f.slot, err);
    buf_release(&path);
    return rc;
}
