/* link.c - the front's side of the engine process.  One thread starts the process, reads its events and starts it again;
 * link_jobs.c knows the jobs, and what of them was handed out. */
#include "server/link.h"

#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "server/link_impl.h"

#define NS_PER_S UINT64_C(1000000000)
enum { MANY_DEATHS = 6, MINUTE_S = 60, PAUSE_S = 10, LAST_WAIT_MS = 3000, SAVE_WAIT_MS = 20000, TICK_MS = 20 };

void link_note(const struct link *l, const char *fmt, ...)
{
    struct err line = { 0 };
    va_list ap;
    if (!l->o.note) return;
    va_start(ap, fmt);
    os_vformat(line.msg, sizeof line.msg, fmt, ap);
    va_end(ap);
    l->o.note(l->o.note_arg, line.msg);
}

static void tell(struct link *l)
{
    atomic_fetch_add(&l->changed, 1);
    os_wake_all(&l->changed);
}

static void tell_of_models(struct link *l, const struct json *event)
{
    lock_take(&l->watching);
    if (l->watch) l->watch(l->watch_arg, event);
    lock_give(&l->watching);
}

/* ---- the process ---- */

static bool put_settings(const struct link_options *o, struct buf *out)
{
    struct json *j = json_new_object(), *folders = json_new_array();
    bool ok = j && folders;
    for (uint32_t i = 0; ok && i < o->n_folders; i++) ok = json_push(folders, json_new_str(o->folders[i], strlen(o->folders[i])));
    int64_t memory = (int64_t)(o->memory_limit < INT64_MAX ? o->memory_limit : INT64_MAX);
    ok = json_put(j, "folders", folders) && ok && json_put(j, "memory_limit", json_new_int(memory)) &&
         json_put(j, "max_running", json_new_int(o->max_running)) && json_put(j, "max_queued", json_new_int(o->max_queued)) &&
         json_put(j, "threads", json_new_int(o->threads)) && json_put(j, "n_ctx", json_new_int(o->n_ctx)) &&
         json_put(j, "keep_alive_s", json_new_int(o->keep_alive_s)) && json_put(j, "no_sandbox", json_new_bool(o->no_sandbox));
    ok = ok && json_put(j, "cache_bytes", json_new_int((int64_t)o->cache_bytes)) &&
         json_put(j, "speculate", json_new_int(o->speculate)) && json_put(j, "silence_ms", json_new_int(o->silence_ms));
    if (ok && o->cache_folder) ok = json_put(j, "cache_folder", json_new_str(o->cache_folder, strlen(o->cache_folder)));
    if (ok && o->draft) ok = json_put(j, "draft", json_new_str(o->draft, strlen(o->draft)));
    if (ok && o->slot_folder) ok = json_put(j, "slot_folder", json_new_str(o->slot_folder, strlen(o->slot_folder)));
    if (ok) json_write(j, false, out);
    json_free(j);
    return ok && !out->bad;
}

/* The process and its channel; on_frame makes it ready when it says hello. */
static int start(struct link *l, struct err *err)
{
    static const char *const args[] = { "engine", NULL };
    struct buf b = { 0 };
    struct chan *mine;
    struct frames *frames = NULL;
    struct proc *proc = NULL;
    int theirs, rc = chan_pair(&mine, &theirs, err);
    if (rc == 0) rc = proc_start(&proc, l->o.program, args, theirs, err);
    if (rc < 0) {
        chan_close(mine);
        return rc;
    }
    rc = frames_open(&frames, mine, err);
    if (rc == 0 && (!put_settings(&l->o, &b) || !frames_send(frames, 0, b.data, b.len, true)))
        rc = err_set(err, ERR_NOMEM, "the engine process cannot be told its settings: out of memory, or a path is not UTF-8");
    buf_release(&b);
    if (rc < 0) {
        frames_close(frames);
        proc_free(proc);
        return rc;
    }
    l->looked = os_now_ns();
    l->silent = 0;
    lock_take(&l->lock);
    l->frames = frames;
    l->proc = proc;
    lock_give(&l->lock);
    return 0;
}

static void describe_end(const struct proc_end *e, char *out, size_t n)
{
    if (e->out_of_memory) fmt_into(out, n, "the system ended the engine process because memory ran out");
    else if (e->signal == 11 || e->signal == 7 || e->signal == 6 || e->signal == 4 || e->signal == 8)
        fmt_into(out, n, "the engine process crashed (signal %d)", e->signal);
    else if (e->signal) fmt_into(out, n, "the engine process was killed (signal %d)", e->signal);
    else fmt_into(out, n, "the engine process ended (exit code %d)", e->code);
}

/* Waits a moment for it to end by itself. */
static void wait_for_end(struct proc *p, struct proc_end *end, unsigned ms)
{
    for (unsigned waited = 0; !proc_ended(p, end) && waited < ms; waited += 5) fs_sleep_ms(5);
    if (!proc_ended(p, end)) proc_kill(p);
}

/* How often it died in the last minute, this time included. */
static unsigned count_deaths(struct link *l)
{
    uint64_t now = os_now_ns();
    unsigned n = 0;
    for (unsigned i = MANY_DEATHS - 1; i > 0; i--) l->death[i] = l->death[i - 1];
    l->death[0] = now;
    for (unsigned i = 0; i < MANY_DEATHS; i++) n += l->death[i] && now - l->death[i] < MINUTE_S * NS_PER_S;
    return n;
}

/* why: it lives, but not on. */
static void on_death(struct link *l, const char *why, bool hung)
{
    struct proc_end end = { 0 };
    struct proc *proc = l->proc;
    struct frames *frames = l->frames;
    char text[256];
    wait_for_end(proc, &end, why ? 0 : 500);
    describe_end(&end, text, sizeof text);
    if (why) fmt_into(text, sizeof text, "%s", why);
    lock_take(&l->lock);
    l->ready = false;
    l->frames = NULL;
    l->proc = NULL;
    l->n_restarts++;
    l->out_of_memory = end.out_of_memory && !hung;
    l->hung = hung;
    fmt_into(l->why, sizeof l->why, "%s", text);
    lock_give(&l->lock);
    frames_close(frames);
    proc_free(proc);
    unsigned n = count_deaths(l);
    link_note(l, "%s; it is started again", text);
    tell_of_models(l, NULL);
    link_jobs_died(l);
    uint64_t pause = n >= MANY_DEATHS ? PAUSE_S * NS_PER_S : n > 2 ? (n - 2) * NS_PER_S / 4 : 0;
    lock_take(&l->lock);
    l->start_at = os_now_ns() + pause;
    l->down = n >= MANY_DEATHS;
    lock_give(&l->lock);
    if (l->down) {
        link_note(l, "the engine process died %u times within a minute: all jobs end, and it rests for %d s", n, PAUSE_S);
        link_jobs_end(l, "engine", "the engine process does not stay alive: ", l->why);
    }
    tell(l);
}

/* ---- frames ---- */

/* Frames of no job: hello, once, and then signs of life, and what becomes of models. */
static int on_hello(struct link *l, const struct json *e, struct err *err)
{
    const char *name = json_str(json_get(e, "event"), NULL), *said = json_str(json_get(e, "sandbox"), NULL);
    if (l->ready && name && !strcmp(name, "model")) {
        tell_of_models(l, e);
        return 0;
    }
    l->silent = 0;
    if (l->ready && name && !strcmp(name, "alive")) return 0;
    if (!name || strcmp(name, "hello") != 0 || !said) return err_set(err, ERR_FORMAT, "no hello");
    lock_take(&l->lock);
    bool twice = l->ready;
    if (!l->sandbox[0]) fmt_into(l->sandbox, sizeof l->sandbox, "%s", said);
    l->ready = true;
    l->down = false;
    lock_give(&l->lock);
    if (twice) return err_set(err, ERR_FORMAT, "a second hello");
    link_jobs_restore(l);
    link_jobs_send(l);
    tell(l);
    return 0;
}

static int on_frame(void *arg, uint64_t id, const char *text, size_t n, struct err *err)
{
    struct link *l = arg;
    struct json *e;
    int rc = json_parse(&e, text, n, err);
    if (rc < 0) return rc;
    rc = id ? link_jobs_event(l, id, e, text, n, err) : on_hello(l, e, err);
    json_free(e);
    return rc;
}

static bool is_closing(struct link *l)
{
    lock_take(&l->lock);
    bool closing = l->closing;
    lock_give(&l->lock);
    return closing;
}

/* false: not now. */
static bool try_start(struct link *l)
{
    struct err err = { 0 };
    if (os_now_ns() < l->start_at) return false;
    if (start(l, &err) == 0) return true;
    lock_take(&l->lock);
    fmt_into(l->why, sizeof l->why, "%.250s", err.msg);
    l->n_restarts++;
    l->down = true;
    l->start_at = os_now_ns() + NS_PER_S;
    lock_give(&l->lock);
    link_note(l, "%s", err.msg);
    link_jobs_end(l, "engine", "", l->why);
    tell(l);
    return false;
}

static void end_process(struct link *l)
{
    struct proc_end end;
    struct proc *proc = l->proc;
    struct frames *frames = l->frames;
    lock_take(&l->lock);
    l->ready = false;
    l->frames = NULL;
    l->proc = NULL;
    lock_give(&l->lock);
    frames_close(frames);                              /* by this it knows that it is to end */
    const unsigned ms = l->o.cache_bytes ? SAVE_WAIT_MS : LAST_WAIT_MS;        /* texts that are not written yet are then */
    if (proc) wait_for_end(proc, &end, ms);
    proc_free(proc);
}

/* Whether it hangs.  Time is counted in steps: a pause of this process, or of the whole machine, is not the other's silence. */
static bool is_silent(struct link *l)
{
    const uint64_t now = os_now_ns(), limit = l->o.silence_ms * UINT64_C(1000000), passed = now - l->looked;
    l->looked = now;
    l->silent += passed < limit / 3 ? passed : limit / 3;
    return limit && l->silent >= limit;
}

static void serve(void *arg)
{
    struct link *l = arg;
    while (!is_closing(l)) {
        link_jobs_tidy(l);
        if (!l->proc && !try_start(l)) {
            fs_sleep_ms(TICK_MS);
            continue;
        }
        struct err err = { 0 };
        char why[256];
        int rc = frames_step(l->frames, JOB_TICK_MS(l->o.silence_ms), on_frame, l, &err);
        bool hung = rc > 0 && is_silent(l);
        if (hung) fmt_into(why, sizeof why, "the engine process gave no sign of life for %u ms", l->o.silence_ms);
        else fmt_into(why, sizeof why, "the engine process sent what it should not: %.150s", err.msg);
        if ((rc <= 0 || hung) && !is_closing(l)) on_death(l, rc ? why : NULL, hung);
    }
    end_process(l);
    link_jobs_end(l, "cancelled", "the server is shutting down", "");
}

/* ---- what others call ---- */

int link_open(struct link **out, const struct link_options *o, struct err *err)
{
    struct link *l = *out = mem_new(1, sizeof *l);
    if (!l) return err_set(err, ERR_NOMEM, "out of memory for the engine process");
    l->o = *o;
    l->last = &l->job;
    int rc = os_thread_start(&l->thread, serve, l, err);
    if (rc < 0) {
        mem_free(l);
        *out = NULL;
        return rc;
    }
    for (;;) {
        uint32_t seen = atomic_load(&l->changed);
        lock_take(&l->lock);
        bool ready = l->ready, failed = !ready && l->n_restarts > 0;
        lock_give(&l->lock);
        if (ready) return 0;
        if (failed) break;
        os_wait(&l->changed, seen);
    }
    err_set(err, ERR_IO, "the engine process could not begin: %s", l->why);
    link_close(l);
    *out = NULL;
    return ERR_IO;
}

bool link_drain(struct link *l, uint32_t timeout_ms)
{
    uint64_t end = os_now_ns() + timeout_ms * UINT64_C(1000000);
    for (;;) {
        lock_take(&l->lock);
        l->draining = true;
        bool over = !l->n_jobs;
        lock_give(&l->lock);
        if (over || os_now_ns() >= end) return over;
        fs_sleep_ms(2);
    }
}

void link_watch(struct link *l, link_model_fn *fn, void *arg)
{
    lock_take(&l->watching);
    l->watch = fn;
    l->watch_arg = arg;
    lock_give(&l->watching);
}

void link_abandon(struct link *l)
{
    lock_take(&l->lock);
    l->closing = true;
    if (l->frames) frames_wake(l->frames);
    lock_give(&l->lock);
}

void link_close(struct link *l)
{
    if (!l) return;
    link_abandon(l);
    os_thread_join(l->thread);
    link_jobs_release(l);
    mem_free(l);
}

void link_state(struct link *l, struct link_state *out)
{
    lock_take(&l->lock);
    *out = (struct link_state){ l->ready, l->draining, l->n_restarts, l->n_jobs, l->proc ? proc_id(l->proc) : 0, l->sandbox };
    lock_give(&l->lock);
}
