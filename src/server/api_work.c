#include "server/api_work.h"

#include <stdatomic.h>

#include "base/lock.h"
#include "base/mem.h"
#include "base/os.h"

struct api_work {
    struct api_works *of;
    struct api_work *next;
    struct os_thread *thread;
    struct exchange *x;
    struct api_task task;
    _Atomic bool over;
};
struct api_works { struct lock lock; struct api_work *first; unsigned n_clients; _Atomic bool stop; };

struct api_works *api_works_new(void) { return mem_new(1, sizeof(struct api_works)); }
void api_works_stop(struct api_works *w) { atomic_store(&w->stop, true); }

/* Joins those that are over, or all. */
static void reap(struct api_works *w, bool all)
{
    struct api_work *done = NULL;
    lock_take(&w->lock);
    for (struct api_work **p = &w->first, *one; (one = *p) != NULL;) {
        if (!all && !atomic_load(&one->over)) {
            p = &one->next;
            continue;
        }
        *p = one->next;
        one->next = done;
        done = one;
    }
    lock_give(&w->lock);
    for (struct api_work *next; done; done = next) {
        next = done->next;
        os_thread_join(done->thread);
        mem_free(done);
    }
}

void api_works_free(struct api_works *w)
{
    if (!w) return;
    api_works_stop(w);
    reap(w, true);
    mem_free(w);
}

bool api_work_stopped(const struct api_work *w) { return atomic_load(&w->of->stop) || (w->x && exchange_gone(w->x)); }
struct exchange *api_work_exchange(const struct api_work *w) { return w->x; }

static void run(void *arg)
{
    struct api_work *w = arg;
    w->task.fn(w, w->task.own);
    if (w->task.own && w->task.release) w->task.release(w->task.own);
    if (w->x) {
        lock_take(&w->of->lock);
        w->of->n_clients--;
        lock_give(&w->of->lock);
        exchange_release(w->x);
    }
    w->x = NULL;
    atomic_store(&w->over, true);
}

/* A client's place among those that are worked on. */
static bool enter(struct api_works *w, const struct exchange *x)
{
    lock_take(&w->lock);
    bool free = !x || w->n_clients < API_WORKS;
    w->n_clients += x && free;
    lock_give(&w->lock);
    return free;
}

int api_work_start(struct api_works *works, struct exchange *x, const struct api_task *t, struct err *err)
{
    struct api_work *w = mem_new(1, sizeof *w);
    int rc = w ? 0 : err_set(err, ERR_NOMEM, "out of memory for this request");
    reap(works, false);
    bool entered = rc == 0 && enter(works, x);
    if (rc == 0 && !entered) rc = err_set(err, ERR_LIMIT, "%d requests of this kind are worked on already; try again", API_WORKS);
    if (rc == 0) {
        *w = (struct api_work){ .of = works, .x = x, .task = *t };
        if (x) exchange_hold(x, NULL);
        lock_take(&works->lock);                               /* the thread is known before anybody can look for it */
        rc = os_thread_start(&w->thread, run, w, err);
        if (rc == 0) {
            w->next = works->first;
            works->first = w;
        }
        if (rc < 0 && x) works->n_clients--;
        lock_give(&works->lock);
        if (rc == 0) return 0;
    }
    if (t->own && t->release) t->release(t->own);
    if (x && rc == ERR_LIMIT && !entered) exchange_fail(x, 429, "busy", err->msg);
    else if (x) exchange_fail(x, 503, "memory", "no thread for this request");
    if (x && entered) exchange_release(x);
    mem_free(w);
    return rc;
}
