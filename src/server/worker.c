#include "server/worker.h"

#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/sha256.h"
#include "server/worker_impl.h"

enum { MAX_TASKS = 65536, MAX_ROWS = 48 };
#define OWN_BYTES (UINT64_C(1) << 30)              /* that are not the models': stacks, jobs, room between blocks */

/* ---- events ---- */

static const char *kind_of(int code)
{
    switch (code) {
    case ERR_NOMEM: return "memory";
    case ERR_LIMIT:
    case ERR_ARG:
    case ERR_FORMAT: return "invalid";
    case ERR_UNSUPPORTED: return "unsupported";
    case ERR_CANCELLED: return "cancelled";
    case ERR_NOTFOUND: return "not_found";
    default: return "engine";
    }
}

static bool send_text(struct worker *w, uint64_t id, const struct buf *text, bool at_once)
{
    return !text->bad && frames_send(w->frames, id, text->data, text->len, at_once);
}

/* t: whose error it is, or NULL. */
static void send_error(struct worker *w, uint64_t id, const char *kind, const struct err *err, const struct task *t)
{
    const bool at_once = !t;                               /* it is the first thread's */
    struct json *e = json_new_object();
    struct buf b = { 0 };
    bool ok = put_str(e, "event", "error") && json_put(e, "code", json_new_int(err->code)) && put_str(e, "kind", kind) &&
              json_put(e, "message", json_new_str(err->msg, strlen(err->msg)));
    if (t && t->n_ctx) ok = ok && put_int(e, "n_prompt_tokens", t->n_prompt) && put_int(e, "n_ctx", t->n_ctx);
    if (ok) json_write(e, false, &b);
    json_free(e);
    if (!ok || !send_text(w, id, &b, at_once)) {
        static const char none[] = "{\"event\":\"error\",\"code\":-1,\"kind\":\"memory\",\"message\":\"out of memory\"}";
        /* When not even that can be sent, the process ends, and its jobs are sent to another. */
        if (!frames_send(w->frames, id, none, sizeof none - 1, at_once)) frames_break(w->frames);
    }
    buf_release(&b);
}

void task_event_text(struct task *t, const struct buf *event)
{
    if (t->over) return;
    if (send_text(t->w, t->id, event, false)) return;
    struct err err = { ERR_NOMEM, "an event is too large, or memory has run out" };
    task_fail(t, &err);
    atomic_store(&t->cancel, true);
}

void task_event(struct task *t, struct json *event)
{
    struct buf b = { 0 };
    if (event) json_write(event, false, &b);
    else b.bad = true;
    json_free(event);
    task_event_text(t, &b);
    buf_release(&b);
}

void task_done_text(struct task *t, const struct buf *fields)
{
    struct buf b = { 0 };
    if (fields->bad) b.bad = true;
    buf_printf(&b, "{\"event\":\"done\",%s,\"timings\":{\"load_ns\":%llu,\"queue_ns\":%llu,"
               "\"prompt_ns\":%llu,\"answer_ns\":%llu}}", fields->data ? fields->data : "",
               (unsigned long long)t->times.load, (unsigned long long)t->times.queue,
               (unsigned long long)t->times.prompt, (unsigned long long)t->times.answer);
    task_event_text(t, &b);
    buf_release(&b);
    t->over = true;
}

void task_done(struct task *t, struct json *answer)
{
    struct json *times = json_new_object();
    bool ok = put_int(times, "load_ns", t->times.load) && put_int(times, "queue_ns", t->times.queue) &&
              put_int(times, "prompt_ns", t->times.prompt) && put_int(times, "answer_ns", t->times.answer);
    ok = json_put(answer, "timings", times) && ok && put_str(answer, "event", "done");
    if (!ok) {
        json_free(answer);
        answer = NULL;
    }
    task_event(t, answer);
    t->over = true;
}

void task_fail(struct task *t, const struct err *err)
{
    if (t->over) return;
    t->over = true;
    bool late = err->code == ERR_CANCELLED && task_late(t) && !atomic_load(&t->cancel);
    send_error(t->w, t->id, t->kind ? t->kind : late ? "deadline" : kind_of(err->code), err, t);
}

/* ---- tasks ---- */

bool task_late(const struct task *t) { return t->deadline && os_now_ns() >= t->deadline; }

int task_go_on(const struct task *t, struct err *err)
{
    if (atomic_load(&t->cancel)) return err_set(err, ERR_CANCELLED, "the job was cancelled");
    if (task_late(t)) return err_set(err, ERR_CANCELLED, "the job was not done within its %u ms", t->head.deadline_ms);
    return 0;
}

#define HEAD(field) offsetof(struct task_head, field)
static const struct read_row head_row[] = {
    { "op", READ_STR, HEAD(op), 0, 0 },
    { "model", READ_STR, HEAD(model), 0, 0 },
    { "salt", READ_STR, HEAD(salt), 0, 0 },
    { "user", READ_STR, HEAD(user), 0, 0 },
    { "load", READ_OBJECT, HEAD(load), 0, 0 },
    { "keep_alive", READ_I64, HEAD(keep_alive), -1, 1e10 },
    { "priority", READ_I32, HEAD(priority), -1000, 1000 },
    { "deadline_ms", READ_U32, HEAD(deadline_ms), 1, 4e9 },
    { "only_loaded", READ_FLAG, HEAD(only_loaded), 0, 0 },
};
enum { N_HEAD = sizeof head_row / sizeof *head_row };

int task_read(const struct task *t, const struct read_table *more, void *to, struct err *err)
{
    struct read_row row[MAX_ROWS];
    if (N_HEAD + more->n > MAX_ROWS) return err_set(err, ERR_LIMIT, "a job with more than %d fields", MAX_ROWS);
    memcpy(row, head_row, sizeof head_row);
    if (more->n) memcpy(row + N_HEAD, more->row, more->n * sizeof *row);
    return read_object(t->doc, NULL, &(struct read_table){ row, N_HEAD + more->n }, to, err);
}

/* The fields of all jobs; others are the op's to check. */
static int read_head(struct task *t, struct err *err)
{
    t->head = (struct task_head){ .keep_alive = KEEP_DEFAULT };
    for (size_t i = 0; i < N_HEAD; i++) {
        const struct json *v = json_get(t->doc, head_row[i].name);
        int rc = json_type(v) == JSON_NULL ? 0 : read_value(v, head_row[i].name, &head_row[i], &t->head, err);
        if (rc < 0) return rc;
    }
    if (!t->head.op) return err_set(err, ERR_ARG, "a job needs \"op\"");
    if (!(t->op = op_find(t->head.op))) return err_set(err, ERR_ARG, "op: there is no \"%.40s\"", t->head.op);
    if (t->head.deadline_ms) t->deadline = t->arrived + t->head.deadline_ms * UINT64_C(1000000);
    return 0;
}

struct task *task_find(struct worker *w, uint64_t id)
{
    for (struct task *t = w->task; t; t = t->next_task)
        if (t->id == id) return t;
    return NULL;
}

static void task_release(struct task *t)
{
    struct worker *w = t->w;
    struct generation *gen = t->gen;
    task_works(t);
    lock_take(&w->lock);
    t->gen = NULL;                                 /* nobody cancels it any more */
    lock_give(&w->lock);
    if (gen) generation_close(gen);
    if (t->loaded) models_give(w->models, t);
    lock_take(&w->lock);
    *t->at_task = t->next_task;
    if (t->next_task) t->next_task->at_task = t->at_task;
    w->n_tasks--;
    lock_give(&w->lock);
    json_free(t->doc);
    mem_free(t);
    atomic_fetch_add(&w->cleared, 1);
    os_wake_all(&w->cleared);
}

void task_clear(struct task *t)
{
    struct worker *w = t->w;
    lock_take(&w->lock);
    t->next = NULL;
    *w->done_last = t;
    w->done_last = &t->next;
    lock_give(&w->lock);
    atomic_fetch_add(&w->cleared, 1);
    os_wake_all(&w->cleared);
}

static void clear_all(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        uint32_t seen = atomic_load(&w->cleared);
        lock_take(&w->lock);
        struct task *t = w->done;
        if (t && !(w->done = t->next)) w->done_last = &w->done;
        bool last = w->closing && !w->n_tasks;
        lock_give(&w->lock);
        if (t) task_release(t);
        else if (last) return;
        else os_wait(&w->cleared, seen);
    }
}

static void run_task(struct task *t)
{
    struct err err = { 0 };
    task_works(t);
    int rc = task_go_on(t, &err);
    if (rc == 0) rc = t->op->run(t, &err);
    if (rc < 0) task_fail(t, &err);
    if (rc <= 0) task_release(t);
}

static void work(void *arg)
{
    struct worker *w = arg;
    for (;;) {
        uint32_t seen = atomic_load(&w->work);
        lock_take(&w->lock);
        struct task *t = w->first;
        if (t) {
            if (!(w->first = t->next)) w->last = &w->first;
            w->n_queued--;
        } else
            w->n_idle++;
        bool closing = w->closing;
        lock_give(&w->lock);
        if (t) {
            run_task(t);
            continue;
        }
        if (!closing) os_wait(&w->work, seen);
        lock_take(&w->lock);
        w->n_idle--;
        lock_give(&w->lock);
        if (closing) return;
    }
}

/* As many threads as there are tasks at work, within a limit: some wait for models to be loaded. */
static void enqueue(struct worker *w, struct task *t)
{
    lock_take(&w->lock);
    t->next_task = w->task;
    t->at_task = &w->task;
    if (w->task) w->task->at_task = &t->next_task;
    w->task = t;
    w->n_tasks++;
    *w->last = t;
    w->last = &t->next;
    w->n_queued++;
    bool more = w->n_queued > w->n_idle && w->n_threads < sizeof w->thread / sizeof *w->thread;
    lock_give(&w->lock);
    /* Only this thread starts others.  One that cannot be started is done without, as the first could be. */
    if (more && os_thread_start(&w->thread[w->n_threads], work, w, NULL) == 0) w->n_threads++;
    atomic_fetch_add(&w->work, 1);
    os_wake_one(&w->work);                         /* all of them would only be in each other's way */
}

/* ---- frames ---- */

static void cancel(struct worker *w, uint64_t id)
{
    lock_take(&w->lock);
    struct task *t = task_find(w, id);
    if (t) {
        atomic_store(&t->cancel, true);
        if (t->gen) generation_cancel(t->gen);
        if (t->request) hearth_request_cancel(t->request);
    }
    lock_give(&w->lock);
}

static int take_job(struct worker *w, uint64_t id, struct json *doc, struct err *err)
{
    const char *op = json_str(json_get(doc, "op"), NULL);
    if (op && !strcmp(op, "cancel")) {
        json_free(doc);
        cancel(w, id);
        return 0;
    }
    lock_take(&w->lock);
    bool twice = task_find(w, id) != NULL, many = w->n_tasks >= MAX_TASKS;
    lock_give(&w->lock);
    struct task *t = twice || many ? NULL : mem_new(1, sizeof *t);
    struct err e = { 0 };
    int rc = t ? 0 : many ? err_set(&e, ERR_LIMIT, "%d jobs are at work", MAX_TASKS) : err_set(&e, ERR_NOMEM, "out of memory");
    if (t) {
        *t = (struct task){ .w = w, .id = id, .doc = doc, .arrived = os_now_ns() };
        rc = read_head(t, &e);
    }
    if (rc == 0) {
        enqueue(w, t);
        return 0;
    }
    json_free(doc);
    mem_free(t);
    if (twice) return err_set(err, ERR_FORMAT, "two jobs of the number %llu", (unsigned long long)id);
    send_error(w, id, many ? "busy" : kind_of(rc), &e, NULL);
    return 0;
}

static const struct read_row option_row[] = {
    { "memory_limit", READ_U64, offsetof(struct worker_options, memory_limit), 0, 9e18 },
    { "max_running", READ_U32, offsetof(struct worker_options, max_running), 0, 256 },
    { "max_queued", READ_U32, offsetof(struct worker_options, max_queued), 0, 1 << 20 },
    { "threads", READ_U32, offsetof(struct worker_options, threads), 0, 256 },
    { "n_ctx", READ_U32, offsetof(struct worker_options, n_ctx), 0, 1 << 24 },
    { "keep_alive_s", READ_I64, offsetof(struct worker_options, keep_alive_s), -1, 1e10 },
    { "folders", READ_STRS, offsetof(struct worker_options, folders), 0, 0 },
    { "cache_folder", READ_STR, offsetof(struct worker_options, cache_folder), 0, 0 },
    { "cache_bytes", READ_U64, offsetof(struct worker_options, cache_bytes), 0, 9e18 },
    { "speculate", READ_I32, offsetof(struct worker_options, speculate), HEARTH_SPECULATE_OFF, HEARTH_MAX_DRAFT },
    { "slot_folder", READ_STR, offsetof(struct worker_options, slot_folder), 0, 0 },
    { "draft", READ_STR, offsetof(struct worker_options, draft), 0, 0 },
    { "silence_ms", READ_U32, offsetof(struct worker_options, silence_ms), 0, 4e9 },
    { "no_sandbox", READ_FLAG, offsetof(struct worker_options, no_sandbox), 0, 0 },
};

/* Gives up everything but computing, before there are threads; says what was reached. */
static int shut_in(struct worker *w, struct buf *said, struct err *err)
{
    const struct worker_options *o = &w->o;
    struct sandbox s = { o->folders.s, o->folders.n, { o->cache_folder, o->slot_folder },
                         o->memory_limit ? o->memory_limit + OWN_BYTES : 0 };
    char hex[SHA256_HEX + 1];
    unsigned reached = 0;
    struct buf tried = { 0 };
    if (o->cache_folder && fs_make_folders(o->cache_folder, err) < 0) return err->code;
    if (o->slot_folder && fs_make_folders(o->slot_folder, err) < 0) return err->code;
    if (sha256_bytes("", 0, hex, err) < 0) return err->code;   /* the library reads its settings while it can */
    int rc = o->no_sandbox ? 0 : sandbox_compute(&s, &reached, err);
    if (rc < 0) return rc;
    if (!reached) buf_puts(said, o->no_sandbox ? "the engine is not shut in (it was asked for)"
                                               : "the engine is not shut in: this system or this build cannot do it");
    else {
        if (!sandbox_try(reached, &tried) || tried.bad)
            rc = err_set(err, ERR_IO, "the engine process could leave its sandbox: %.300s", tried.data ? tried.data : "");
        buf_printf(said, "the engine cannot %s%s%s (%s)", reached & SANDBOX_CALLS ? "open sockets or start programs" : "",
                   reached == (SANDBOX_CALLS | SANDBOX_OUTBOUND | SANDBOX_FILES) ? ", nor " : "",
                   reached & SANDBOX_FILES ? "read files outside its folders" : "", tried.data ? tried.data : "");
    }
    buf_release(&tried);
    return rc == 0 && said->bad ? err_set(err, ERR_NOMEM, "out of memory when the engine process began") : rc;
}

/* The first frame: what there is to know, and then the hello. */
static int begin(struct worker *w, struct json *doc, struct err *err)
{
    w->told = doc;
    int rc = read_object(doc, "the engine's settings", &(struct read_table){ option_row, sizeof option_row / sizeof *option_row },
                         &w->o, err);
    struct buf said = { 0 };
    if (rc == 0) rc = shut_in(w, &said, err);
    if (rc == 0) rc = models_open(&w->models, w, err);
    if (rc == 0 && w->o.slot_folder) rc = slots_open(&w->slots, err);
    if (rc == 0) rc = os_thread_start(&w->clearer, clear_all, w, err);
    if (rc == 0) rc = os_thread_start(&w->thread[0], work, w, err);
    if (rc < 0) {
        buf_release(&said);
        return rc;
    }
    w->n_threads = 1;
    struct json *hello = json_new_object();
    struct buf b = { 0 };
    bool ok = put_str(hello, "event", "hello") && put_str(hello, "version", hearth_version()) &&
              put_str(hello, "sandbox", said.data);
    if (ok) json_write(hello, false, &b);
    json_free(hello);
    ok = ok && send_text(w, 0, &b, true);
    buf_release(&b);
    buf_release(&said);
    return ok ? 0 : err_set(err, ERR_NOMEM, "out of memory when the engine process began");
}

static int on_frame(void *arg, uint64_t id, const char *text, size_t n, struct err *err)
{
    struct worker *w = arg;
    struct json *doc;
    struct err e;
    int rc = json_parse(&doc, text, n, &e);
    if (!w->models) {
        if (rc < 0) return err_set(err, rc, "%s", e.msg);
        if (id) json_free(doc);
        if (id) return err_set(err, ERR_FORMAT, "a job before the settings");
        return begin(w, doc, err);
    }
    if (rc == 0 && id) return take_job(w, id, doc, err);
    if (rc == 0) json_free(doc);
    if (!id) return err_set(err, ERR_FORMAT, "settings came twice");
    send_error(w, id, kind_of(rc), &e, NULL);
    return 0;
}

/* Whether a thread works on a job for longer than it may take. */
static bool hangs(struct worker *w, uint64_t now)
{
    bool any = false;
    lock_take(&w->lock);
    for (const struct task *t = w->task; t && !any; t = t->next_task) {
        uint64_t since = atomic_load(&t->busy_since);
        any = since && now > since && now - since > t->op->patience * UINT64_C(1000000) * w->o.silence_ms;
    }
    lock_give(&w->lock);
    return any;
}

/* That this thread goes round, no lock is held for ever, jobs are prepared, and whatever loads or computes gets on. */
static void show_life(struct worker *w)
{
    static const char alive[] = "{\"event\":\"alive\"}";
    uint64_t now = os_now_ns();
    if (!w->models || !w->o.silence_ms || now - w->shown < JOB_TICK_MS(w->o.silence_ms) * UINT64_C(1000000)) return;
    w->shown = now;
    const bool moves = models_move(w->models);         /* asked each time: it remembers what has moved */
    if (!hangs(w, now) && moves) frames_send(w->frames, 0, alive, sizeof alive - 1, true);
}

static void close_worker(struct worker *w)
{
    lock_take(&w->lock);
    w->closing = true;
    for (struct task *t = w->task; t; t = t->next_task) {
        atomic_store(&t->cancel, true);
        if (t->gen) generation_cancel(t->gen);
        if (t->request) hearth_request_cancel(t->request);
    }
    lock_give(&w->lock);
    atomic_fetch_add(&w->work, 1);
    os_wake_all(&w->work);
    for (uint32_t i = 0; i < w->n_threads; i++) os_thread_join(w->thread[i]);
    atomic_fetch_add(&w->cleared, 1);
    os_wake_all(&w->cleared);
    os_thread_join(w->clearer);
    models_close(w->models);
    slots_close(w->slots);
    frames_close(w->frames);
    read_strs_release(&w->o.folders);
    json_free(w->told);
}

int worker_run(int fd, struct err *err)
{
    struct worker w = { .frames = NULL };
    struct chan *c;
    w.last = &w.first;
    w.done_last = &w.done;
    int rc = chan_of(&c, fd, err);
    if (rc == 0) rc = frames_open(&w.frames, c, err);
    if (rc < 0) return rc;
    while ((rc = frames_step(w.frames, JOB_TICK_MS(w.o.silence_ms), on_frame, &w, err)) > 0) show_life(&w);
    close_worker(&w);
    return rc;
}
