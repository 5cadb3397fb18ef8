/* link_jobs.c - the jobs of the link: given to the engine process, their events handed out once, sent again when it dies. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "server/job_read.h"
#include "server/link_impl.h"

#define NS_PER_S UINT64_C(1000000000)
/* A job is given up after so many deaths (for lack of memory, or after a long silence, one counts twice), refused for so long. */
enum { MOST_DEATHS = 3, SUSPECT = 2, BAD_S = 300, MOST_COMPLETIONS = 64 };

static void job_free(struct link_job *j)
{
    if (!j) return;
    mem_free(j->text);
    mem_free(j->told);
    mem_free(j);
}

/* Under the lock. */
static struct link_job **find(struct link *l, uint64_t id)
{
    struct link_job **at = &l->job;
    while (*at && (*at)->id != id) at = &(*at)->next;
    return at;
}

static struct link_job *take_out(struct link *l, struct link_job **at)
{
    struct link_job *j = *at;
    if (!(*at = j->next)) l->last = at;
    l->n_jobs--;
    return j;
}

/* ---- the last event, when it is ours ---- */

static void end_job(struct link_job *j, int code, const char *kind, const char *message)
{
    struct json *e = json_new_object();
    bool ok = json_put(e, "event", json_new_str("error", 5)) && json_put(e, "code", json_new_int(code)) &&
              json_put(e, "kind", json_new_str(kind, strlen(kind))) &&
              json_put(e, "message", json_new_str(message, strlen(message)));
    (void)ok;                                          /* out of memory: what there is of it must do */
    j->fn(j->arg, e, true);
    json_free(e);
    job_free(j);
}

void link_jobs_end(struct link *l, const char *kind, const char *a, const char *b)
{
    char message[512];
    fmt_into(message, sizeof message, "%s%s", a, b);
    for (;;) {
        lock_take(&l->lock);
        struct link_job *j = l->job ? take_out(l, &l->job) : NULL;
        lock_give(&l->lock);
        if (!j) return;
        end_job(j, !strcmp(kind, "cancelled") ? ERR_CANCELLED : ERR_IO, kind, message);
    }
}

void link_jobs_tidy(struct link *l)
{
    for (;;) {
        lock_take(&l->lock);
        struct link_job **at = &l->job;
        while (*at && !((*at)->cancelled && !(*at)->sent)) at = &(*at)->next;
        struct link_job *j = *at ? take_out(l, at) : NULL;
        lock_give(&l->lock);
        if (!j) return;
        end_job(j, ERR_CANCELLED, "cancelled", "the job was cancelled");
    }
}

/* ---- sending ---- */

/* What is left of the time of a job that is sent again. */
static bool shorten(struct link_job *j)
{
    uint64_t now = os_now_ns();
    struct json *doc;
    struct buf b = { 0 };
    if (!j->deadline || !j->n_deaths) return true;
    if (json_parse(&doc, j->text, j->n, NULL) < 0) return false;
    int64_t ms = now < j->deadline ? (int64_t)((j->deadline - now) / 1000000) + 1 : 1;
    bool ok = json_put(doc, "deadline_ms", json_new_int(ms));
    if (ok) json_write(doc, false, &b);
    json_free(doc);
    size_t n = b.len;
    char *text = ok ? buf_take(&b) : NULL;
    if (!text) return false;
    mem_free(j->text);
    j->text = text;
    j->n = n;
    return true;
}

/* Under the lock.  false: it cannot be sent.  One that a dying process does not take any more waits for the next. */
static bool send_job(struct link *l, struct link_job *j)
{
    for (uint32_t i = 0; i < j->n_told; i++) {
        j->told[i].seen = 0;
        j->told[i].seen_hash = HASH_START;
    }
    j->sent = shorten(j) && frames_send(l->frames, j->id, j->text, j->n, true);
    return j->sent || frames_lost(l->frames);
}

void link_jobs_send(struct link *l)
{
    for (;;) {
        struct link_job **at, *failed = NULL;
        bool suspect = false;
        lock_take(&l->lock);
        for (struct link_job *j = l->job; j; j = j->next) suspect = suspect || (j->sent && j->n_deaths >= SUSPECT);
        for (at = &l->job; l->ready && *at && !failed; at = failed ? at : &(*at)->next) {
            struct link_job *j = *at;
            if (j->sent || j->cancelled || (suspect && j->n_deaths >= SUSPECT)) continue;
            if (!send_job(l, j)) failed = take_out(l, at);
            suspect = suspect || j->n_deaths >= SUSPECT;
        }
        lock_give(&l->lock);
        if (!failed) return;
        end_job(failed, ERR_NOMEM, "memory", "too much waits to be sent to the engine process");
    }
}

/* ---- what lasts ---- */

static void remember(struct link *l, const struct link_job *j)
{
    struct lasting *free_one = NULL, *same = NULL;
    for (size_t i = 0; i < N_LASTING; i++) {
        struct lasting *x = &l->lasting[i];
        if (x->text && x->about == j->about) same = x;
        if (!x->text && !free_one) free_one = x;
    }
    if (same) {
        mem_free(same->text);
        *same = (struct lasting){ 0 };
        free_one = same;
    }
    if (j->lasts != LASTS || !free_one) return;
    char *text = mem_strdup(j->text, j->n);
    if (text) *free_one = (struct lasting){ j->about, text, j->n };
}

static void ignore(void *arg, const struct json *event, bool last) { (void)arg, (void)event, (void)last; }

/* One that the last process did not live to do is still there. */
static bool is_under_way(struct link *l, const struct lasting *x)
{
    lock_take(&l->lock);
    const struct link_job *j = l->job;
    while (j && j->again != x) j = j->next;
    lock_give(&l->lock);
    return j != NULL;
}

void link_jobs_restore(struct link *l)
{
    for (size_t i = 0; i < N_LASTING; i++) {
        struct lasting *x = &l->lasting[i];
        struct link_job *j = x->text && !is_under_way(l, x) ? mem_new(1, sizeof *j) : NULL;
        if (!j) continue;
        *j = (struct link_job){ .n = x->n, .fn = ignore, .n_told = 1, .told = mem_new_array(struct told, 1), .again = x,
                                .text = mem_strdup(x->text, x->n) };
        if (!j->text || !j->told) {
            job_free(j);
            continue;
        }
        lock_take(&l->lock);
        j->id = ++l->next_id;
        if (!l->job) l->last = &j->next;
        j->next = l->job;
        l->job = j;
        l->n_jobs++;
        lock_give(&l->lock);
    }
}

void link_jobs_release(struct link *l)
{
    for (size_t i = 0; i < N_LASTING; i++) mem_free(l->lasting[i].text);
}

/* ---- deaths ---- */

static void remember_bad(struct link *l, uint64_t hash)
{
    size_t oldest = 0;
    for (size_t i = 1; i < N_BAD; i++)
        if (l->bad[i].until < l->bad[oldest].until) oldest = i;
    l->bad[oldest].hash = hash;
    l->bad[oldest].until = os_now_ns() + BAD_S * NS_PER_S;
}

static bool was_told(const struct link_job *j)
{
    for (uint32_t i = 0; i < j->n_told; i++)
        if (j->told[i].n) return true;
    return false;
}

/* Whether a job that the process had when it died ends now. */
static bool is_over(struct link *l, struct link_job *j)
{
    j->sent = false;
    j->n_deaths += l->out_of_memory || l->hung ? 2 : 1;
    if (j->n_deaths < MOST_DEATHS) return j->cancelled || (j->fixed && was_told(j));
    if (!j->again) remember_bad(l, j->hash);
    return true;
}

/* What the process does not survive is not done again in the next one, and the next. */
static void forget(struct link *l, struct lasting *x)
{
    link_note(l, "the engine process died each time it did what was to last (a pinned model, adapters); that is given up");
    mem_free(x->text);
    *x = (struct lasting){ 0 };
}

void link_jobs_died(struct link *l)
{
    for (;;) {
        lock_take(&l->lock);
        struct link_job **at = &l->job;
        while (*at && !((*at)->sent && is_over(l, *at))) at = &(*at)->next;
        struct link_job *j = *at ? take_out(l, at) : NULL;
        bool memory = l->out_of_memory;
        lock_give(&l->lock);
        if (!j) return;
        if (j->again) forget(l, j->again);
        if (j->cancelled) end_job(j, ERR_CANCELLED, "cancelled", "the job was cancelled");
        else end_job(j, memory ? ERR_NOMEM : ERR_IO, memory ? "memory" : "engine", l->why);
    }
}

/* ---- events ---- */

enum passing { PASS_ON, PASS_OVER, DIFFERS };

/* What becomes of an event that a repeated job gives again.  Under the lock. */
static enum passing passes(struct link_job *j, const char *name, const struct json *e, const char *text, size_t n)
{
    static const char *const of_the_moment[] = { "loading", "queued", "prefill" };
    int64_t i = json_int(json_get(e, "i"));
    for (size_t k = 0; k < 3; k++)
        if (!strcmp(name, of_the_moment[k])) return j->started ? PASS_OVER : PASS_ON;
    if (!strcmp(name, "start")) {
        bool again = j->started;
        j->started = true;
        return again ? PASS_OVER : PASS_ON;
    }
    if (i < 0 || i >= (int64_t)j->n_told) return DIFFERS;
    struct told *t = &j->told[i];
    t->seen_hash = hash_add(t->seen_hash, text, n);
    if (++t->seen > t->n) {
        t->n = t->seen;
        t->hash = t->seen_hash;
        return PASS_ON;
    }
    return t->seen == t->n && t->seen_hash != t->hash ? DIFFERS : PASS_OVER;
}

/* Done again with less than was told before. */
static bool falls_short(const struct link_job *j)
{
    for (uint32_t i = 0; !j->cancelled && i < j->n_told; i++)
        if (j->told[i].seen < j->told[i].n) return true;
    return false;
}

/* Under the lock. */
static enum passing passes_last(const struct link_job *j, const char *name)
{
    return !strcmp(name, "done") && falls_short(j) ? DIFFERS : PASS_ON;
}

int link_jobs_event(struct link *l, uint64_t id, const struct json *e, const char *text, size_t n, struct err *err)
{
    const char *name = json_str(json_get(e, "event"), NULL);
    if (!name) return err_set(err, ERR_FORMAT, "a frame that is no event");
    bool last = !strcmp(name, "done") || !strcmp(name, "error");
    lock_take(&l->lock);
    struct link_job **at = find(l, id), *j = *at;
    enum passing p = !j ? PASS_OVER : last ? passes_last(j, name) : passes(j, name, e, text, n);
    if (j && (last || p == DIFFERS)) take_out(l, at);
    lock_give(&l->lock);
    if (p == DIFFERS) {
        link_note(l, "job %llu did not go on as it had begun when it was sent again", (unsigned long long)id);
        if (l->frames && !last) frames_send(l->frames, id, "{\"op\":\"cancel\"}", 15, true);
        end_job(j, ERR_IO, "engine", "the answer could not be continued after the engine process died");
    } else if (j && p == PASS_ON) {
        if (last && j->lasts && !strcmp(name, "done")) remember(l, j);
        j->fn(j->arg, e, last);
        if (last) job_free(j);
    }
    if (last || p == DIFFERS) link_jobs_send(l);       /* one that may be to blame for deaths may have waited for it */
    return 0;
}

/* ---- what others call ---- */

/* Everything that decides about an answer is in the job, so that it can be repeated: a seed that nobody chose is chosen here. */
static bool fix_seed(struct json *job)
{
    struct json *options = json_get(job, "options");
    if (json_type(options) == JSON_NULL) {
        if (!json_put(job, "options", json_new_object())) return false;
        options = json_get(job, "options");
    }
    if (json_type(options) != JSON_OBJECT || json_type(json_get(options, "seed")) != JSON_NULL) return true;
    return json_put(options, "seed", json_new_int((int64_t)(os_random64() >> 32)));
}

static void see_what_lasts(struct link_job *j, const char *op, const struct json *job)
{
    const char *model = json_str(json_get(job, "model"), NULL);
    const struct json *pin = json_get(job, "pin");
    bool adapters = !strcmp(op, "adapters"), load = !strcmp(op, "load") && json_type(pin) == JSON_BOOL;
    if (!model || (!adapters && !load && strcmp(op, "unload") != 0)) return;
    j->about = hash_add(hash_bytes(adapters ? "adapters" : "pin", 3), model, strlen(model));
    j->lasts = adapters ? json_len(json_get(job, "use")) ? LASTS : LASTS_NO_MORE : load && json_bool(pin) ? LASTS : LASTS_NO_MORE;
}

static int make(struct link_job **out, struct json *job, struct err *err)
{
    const char *op = json_str(json_get(job, "op"), NULL);
    struct link_job *j = mem_new(1, sizeof *j);
    struct buf b = { 0 };
    int64_t n = json_int(json_get(job, "n")), ms = json_int(json_get(job, "deadline_ms"));
    *out = j;
    if (!op) return err_set(err, ERR_ARG, "a job needs \"op\"");
    json_write(job, false, &b);
    if (j && b.data) j->hash = hash_bytes(b.data, b.len);
    bool ok = !b.bad && (strcmp(op, "generate") != 0 || fix_seed(job));
    buf_clear(&b);
    if (ok) json_write(job, false, &b);
    if (!j || !ok || b.bad) {
        buf_release(&b);
        return err_set(err, ERR_NOMEM, "out of memory for a job");
    }
    see_what_lasts(j, op, job);
    j->n = b.len;
    j->text = buf_take(&b);
    j->n_told = n < 1 ? 1 : n > MOST_COMPLETIONS ? MOST_COMPLETIONS : (uint32_t)n;
    j->told = mem_new_array(struct told, j->n_told);
    if (ms > 0 && ms < INT32_MAX) j->deadline = os_now_ns() + (uint64_t)ms * 1000000;
    if (!j->told) return err_set(err, ERR_NOMEM, "out of memory for a job");
    if (j->n <= JOB_MAX_BYTES) return 0;
    return err_set(err, ERR_LIMIT, "a job of %zu bytes; at most %d are possible", j->n, JOB_MAX_BYTES);
}

/* Under the lock. */
static int may_submit(const struct link *l, const struct link_job *j, struct err *err)
{
    uint64_t now = os_now_ns();
    if (l->draining || l->closing) return err_set(err, ERR_CANCELLED, "the server is shutting down");
    if (l->down) return err_set(err, ERR_IO, "the engine process does not stay alive: %s", l->why);
    for (size_t i = 0; i < N_BAD; i++)
        if (l->bad[i].hash == j->hash && now < l->bad[i].until)
            return err_set(err, ERR_IO, "the engine process died each time this was asked; it is not tried again for %llu s",
                           (unsigned long long)((l->bad[i].until - now) / NS_PER_S + 1));
    return 0;
}

int link_submit(struct link *l, struct json *job, link_event_fn *fn, void *arg, uint64_t *id, struct err *err)
{
    struct link_job *j = NULL;
    *id = 0;
    int rc = make(&j, job, err);
    uint64_t target = (uint64_t)json_int(json_get(job, "job"));
    bool full = false;
    if (rc == 0) {
        lock_take(&l->lock);
        rc = may_submit(l, j, err);
        if (rc == 0) {
            struct link_job *other = target ? *find(l, target) : NULL;
            if (other) other->fixed = true;            /* stopped thinking, which a repeated one would not */
            j->fn = fn;
            j->arg = arg;
            j->id = *id = ++l->next_id;
            *l->last = j;
            l->last = &j->next;
            l->n_jobs++;
            full = l->ready && !send_job(l, j);
            if (full) take_out(l, find(l, j->id));
        }
        lock_give(&l->lock);
    }
    json_free(job);
    if (full) rc = err_set(err, ERR_LIMIT, "too much waits to be sent to the engine process");
    if (rc < 0) {
        *id = 0;
        job_free(j);
    }
    return rc;
}

void link_cancel(struct link *l, uint64_t id)
{
    lock_take(&l->lock);
    struct link_job *j = *find(l, id);
    if (j && !j->cancelled) {
        j->cancelled = true;
        if (j->sent && l->frames) frames_send(l->frames, id, "{\"op\":\"cancel\"}", 15, true);
        else if (l->frames) frames_wake(l->frames);
    }
    lock_give(&l->lock);
}
