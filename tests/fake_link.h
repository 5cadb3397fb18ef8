/* fake_link.h - an engine process that is none: its functions take the place of link.c in a test program.
 *
 * A job's "options" say what it does: "max_tokens" texts "t0 ", "t1 ", ... one each "ms" milliseconds (0: at once), of "bytes"
 * bytes each; "fail": the kind of an error at its end instead of done; "silent": no events until it is cancelled; "hung":
 * nor then, until the link is abandoned.
 * One thread hands out all events, as link.h promises. */
#ifndef HEARTH_TESTS_FAKE_LINK_H
#define HEARTH_TESTS_FAKE_LINK_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/os.h"
#include "server/link.h"

enum { FAKE_JOBS = 4096 };
struct fake_job {
    uint64_t id, due, step;
    int64_t n, at, bytes;
    bool cancelled, silent, hung;
    char fail[32], model[128];
    link_event_fn *fn;
    void *arg;
};
struct link {
    pthread_t thread;
    pthread_mutex_t lock;
    struct fake_job job[FAKE_JOBS];
    size_t n_jobs, peak;
    uint64_t next;
    _Atomic bool stop, ready, abandoned;
    _Atomic uint64_t n_cancelled, cancelled_at, n_submitted, n_over;
    char last_model[256], last_user[64];
    bool last_only_loaded;
    link_model_fn *watch;
    void *watch_arg;
};

static inline struct json *fake_event(const char *text)
{
    struct json *j = NULL;
    json_parse(&j, text, strlen(text), NULL);
    return j;
}

static inline void fake_tell(const struct fake_job *j, const char *text, bool last)
{
    struct json *e = fake_event(text);
    j->fn(j->arg, e, last);
    json_free(e);
}

/* One step of a job; true: it was the last. */
static inline bool fake_step(struct fake_job *j)
{
    char text[256], *large;
    if (j->cancelled) {
        fake_tell(j, "{\"event\":\"error\",\"code\":-7,\"kind\":\"cancelled\",\"message\":\"cancelled\"}", true);
        return true;
    }
    if (j->at == 0) fake_tell(j, "{\"event\":\"start\",\"prompt_tokens\":3,\"cached_tokens\":0}", false);
    if (j->at < j->n && j->bytes) {
        large = malloc((size_t)j->bytes + 64);
        int k = sprintf(large, "{\"event\":\"text\",\"i\":0,\"text\":\"");
        memset(large + k, 'x', (size_t)j->bytes);
        strcpy(large + k + j->bytes, "\"}");
        fake_tell(j, large, false);
        free(large);
        j->at++;
        return false;
    }
    if (j->at < j->n) {
        snprintf(text, sizeof text, "{\"event\":\"text\",\"i\":0,\"text\":\"t%lld \"}", (long long)j->at++);
        fake_tell(j, text, false);
        return false;
    }
    if (j->fail[0]) {
        snprintf(text, sizeof text, "{\"event\":\"error\",\"code\":-1,\"kind\":\"%s\",\"message\":\"%s: it was told to fail\"}",
                 j->fail, j->model);
        fake_tell(j, text, true);
        return true;
    }
    fake_tell(j, "{\"event\":\"end\",\"i\":0,\"reason\":\"stop\",\"tokens\":1}", false);
    fake_tell(j, "{\"event\":\"done\",\"prompt_tokens\":3,\"answer_tokens\":1}", true);
    return true;
}

static inline void *fake_run(void *arg)
{
    struct link *l = arg;
    for (;;) {
        uint64_t now = os_now_ns();
        bool worked = false;
        for (size_t i = 0; i < FAKE_JOBS; i++) {
            pthread_mutex_lock(&l->lock);
            struct fake_job *j = &l->job[i], copy = *j;
            bool due = j->id && ((j->cancelled && (!j->hung || l->abandoned)) || (!j->silent && now >= j->due));
            pthread_mutex_unlock(&l->lock);
            if (!due) continue;
            worked = true;
            bool last = fake_step(&copy);
            pthread_mutex_lock(&l->lock);
            j->at = copy.at;
            j->due = now + j->step;
            if (last) {
                j->id = 0;
                l->n_jobs--;
                atomic_fetch_add(&l->n_over, 1);
            }
            pthread_mutex_unlock(&l->lock);
        }
        pthread_mutex_lock(&l->lock);
        bool over = l->stop && !l->n_jobs;
        pthread_mutex_unlock(&l->lock);
        if (over) return NULL;
        if (!worked) nanosleep(&(struct timespec){ 0, 300000 }, NULL);
    }
}

int link_open(struct link **out, const struct link_options *o, struct err *err)
{
    (void)o, (void)err;
    struct link *l = calloc(1, sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->ready = true;
    pthread_create(&l->thread, NULL, fake_run, l);
    *out = l;
    return 0;
}

bool link_drain(struct link *l, uint32_t timeout_ms)
{
    (void)l, (void)timeout_ms;
    return true;
}

void link_abandon(struct link *l)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < FAKE_JOBS; i++) l->job[i].cancelled = true;
    pthread_mutex_unlock(&l->lock);
    l->abandoned = true;
}

void link_close(struct link *l)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < FAKE_JOBS; i++) l->job[i].cancelled = true;
    pthread_mutex_unlock(&l->lock);
    l->stop = true;
    pthread_join(l->thread, NULL);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

int link_submit(struct link *l, struct json *job, link_event_fn *fn, void *arg, uint64_t *id, struct err *err)
{
    const struct json *o = json_get(job, "options");
    const char *model = json_str(json_get(job, "model"), NULL), *user = json_str(json_get(job, "user"), NULL);
    int rc = err_set(err, ERR_LIMIT, "the fake is full");
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < FAKE_JOBS; i++) {
        struct fake_job *j = &l->job[i];
        if (j->id) continue;
        *id = ++l->next;
        *j = (struct fake_job){ .id = *id, .due = os_now_ns(), .step = (uint64_t)json_int(json_get(o, "ms")) * 1000000,
                                .n = json_int(json_get(o, "max_tokens")), .bytes = json_int(json_get(o, "bytes")),
                                .silent = json_bool(json_get(o, "silent")) || json_bool(json_get(o, "hung")),
                                .hung = json_bool(json_get(o, "hung")), .fn = fn, .arg = arg };
        snprintf(j->model, sizeof j->model, "%s", model ? model : "");
        if (json_get(o, "fail")) snprintf(j->fail, sizeof j->fail, "%s", json_str(json_get(o, "fail"), NULL));
        if (++l->n_jobs > l->peak) l->peak = l->n_jobs;
        rc = 0;
        break;
    }
    snprintf(l->last_model, sizeof l->last_model, "%s", model ? model : "");
    l->last_only_loaded = json_bool(json_get(job, "only_loaded"));
    snprintf(l->last_user, sizeof l->last_user, "%s", user ? user : "");
    pthread_mutex_unlock(&l->lock);
    if (rc == 0) atomic_fetch_add(&l->n_submitted, 1);
    json_free(job);
    return rc;
}

void link_watch(struct link *l, link_model_fn *fn, void *arg)
{
    pthread_mutex_lock(&l->lock);
    l->watch = fn;
    l->watch_arg = arg;
    pthread_mutex_unlock(&l->lock);
}

/* An event of a model, as the link's thread would tell it; NULL: the process died. */
static inline void fake_model(struct link *l, const char *text)
{
    struct json *e = text ? fake_event(text) : NULL;
    pthread_mutex_lock(&l->lock);
    if (l->watch) l->watch(l->watch_arg, e);
    pthread_mutex_unlock(&l->lock);
    json_free(e);
}

void link_cancel(struct link *l, uint64_t id)
{
    pthread_mutex_lock(&l->lock);
    for (size_t i = 0; i < FAKE_JOBS; i++)
        if (id && l->job[i].id == id && !l->job[i].cancelled) {
            l->job[i].cancelled = true;
            atomic_fetch_add(&l->n_cancelled, 1);
            atomic_store(&l->cancelled_at, os_now_ns());
        }
    pthread_mutex_unlock(&l->lock);
}

void link_state(struct link *l, struct link_state *out)
{
    pthread_mutex_lock(&l->lock);
    *out = (struct link_state){ .ready = l->ready, .n_jobs = (uint32_t)l->n_jobs, .sandbox = "a fake" };
    pthread_mutex_unlock(&l->lock);
}

#endif
