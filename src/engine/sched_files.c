/* sched_files.c - past texts of an engine in files: what new prompts have in common with them is brought into the cache before
 * they get a slot, and texts that have ended are written when nobody has gone on from them for a while.
 *
 * A thread of its own does both, since files of long texts have gigabytes.  The queue passes requests over until it has looked
 * for them; pages it shares with the cache, as any sequence does. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/sched.h"

/* Shorter texts are read again sooner than a file is looked for; more texts do not wait to be written. */
enum { SHORTEST = 256, MOST_WAITING = 64 };
#define REST_NS UINT64_C(5000000000)
#define USUAL_LIMIT (UINT64_C(8) << 30)

/* A text that has ended. */
struct ended {
    struct ended *next;
    struct prefix_key key;
    uint64_t due;                     /* when it is to be written */
    uint32_t n;
    int32_t ids[];
};

struct files {
    struct hearth_engine *g;
    struct os_thread *thread;
    char *folder;
    uint64_t limit;
    _Atomic uint32_t wake;
    struct lock lock;                 /* guards the rest; taken behind the engine's */
    struct ended *first;              /* in order of their ends */
    uint32_t n;
    bool closing;
};

static void wake(struct files *f)
{
    atomic_fetch_add(&f->wake, 1);
    os_wake_all(&f->wake);
}

/* ---- looking ---- */

bool files_may_have(const struct hearth_request *r)
{
    return r->g->files && r->kind == REQUEST_ANSWER && !r->o.no_cache && r->n_prompt >= SHORTEST;
}

void files_look(struct hearth_engine *g) { wake(g->files); }

/* A session that has nothing but its key. */
static int open_stub(struct hearth_session *s, struct hearth_engine *g, const struct prefix_key *key, uint32_t n, struct err *err)
{
    *s = (struct hearth_session){ .m = g->m, .variant = g->variant };
    return seq_open(&s->q, &g->m->pool, &(struct seq_options){ .n_max = n, .key = *key }, err);
}

static bool is_cached(struct hearth_engine *g, const struct prefix_key *key, const struct hearth_request *r)
{
    struct kv_pool *pool = &g->m->pool;
    lock_take(&pool->lock);
    uint32_t n = pool->tree ? prefix_find(pool->tree, key, r->prompt, r->n_prompt).n : r->n_prompt;
    lock_give(&pool->lock);
    return n + SHORTEST > r->n_prompt;
}

static void find(struct files *f, struct hearth_request *r)
{
    struct hearth_engine *g = f->g;
    struct hearth_session s;
    struct prefix_key key;
    size_t found = 0;
    lock_take(&g->m->lock);
    stream_key(r, &key);
    lock_give(&g->m->lock);
    if (is_cached(g, &key, r)) return;
    int rc = open_stub(&s, g, &key, 1, NULL);
    struct hearth_error e;
    if (rc == 0) rc = hearth_cache_load(&s, f->folder, r->prompt, r->n_prompt, &found, &e);
    seq_release(&s.q);
    lock_take(&g->lock);
    g->stats.n_file_errors += rc < 0;
    g->stats.n_files_found += found > 0;
    lock_give(&g->lock);
}

/* One of those that wait to be looked for; the caller's reference. */
static struct hearth_request *next_looking(struct hearth_engine *g)
{
    lock_take(&g->lock);
    struct hearth_request *r = g->first;
    while (r && !r->looking) r = r->next;
    if (r) atomic_fetch_add(&r->refs, 1);
    lock_give(&g->lock);
    return r;
}

/* ---- keeping ---- */

static bool begins_with(const struct ended *whole, const struct ended *part)
{
    return whole->n >= part->n && !memcmp(&whole->key, &part->key, sizeof whole->key) &&
           !memcmp(whole->ids, part->ids, part->n * sizeof *part->ids);
}

void files_keep(const struct stream *x)
{
    struct files *f = x->r->g->files;
    const struct seq *q = &x->s.q;
    if (!f || x->r->kind != REQUEST_ANSWER || q->alone || q->n < SHORTEST) return;
    struct ended *t = mem_new(1, sizeof *t + q->n * sizeof *t->ids), *gone = NULL;
    if (!t) return;                                           /* it can be read again */
    t->key = q->key;
    t->due = os_now_ns() + REST_NS;
    t->n = q->n;
    memcpy(t->ids, q->ids, q->n * sizeof *t->ids);
    lock_take(&f->lock);
    struct ended **at = &f->first;
    while (*at) {
        if (f->n == MOST_WAITING || begins_with(t, *at)) {    /* the oldest, and what has been gone on from */
            struct ended *old = *at;
            *at = old->next;
            old->next = gone;
            gone = old;
            f->n--;
        } else at = &(*at)->next;
    }
    *at = t;
    f->n++;
    lock_give(&f->lock);
    for (struct ended *next; gone; gone = next) {
        next = gone->next;
        mem_free(gone);
    }
    wake(f);
}

/* The first text, when it is due; else how long it is until then. */
static struct ended *next_ended(struct files *f, uint64_t *wait, bool *closing)
{
    const uint64_t now = os_now_ns();
    *wait = UINT64_MAX;
    lock_take(&f->lock);
    struct ended *t = f->first;
    *closing = f->closing;
    if (t && (f->closing || t->due <= now)) {
        f->first = t->next;
        f->n--;
    } else if (t) {
        *wait = t->due - now;
        t = NULL;
    }
    lock_give(&f->lock);
    return t;
}

/* Writes what the cache still has of it. */
static void save(struct files *f, const struct ended *t)
{
    struct hearth_engine *g = f->g;
    struct hearth_session s;
    struct hearth_error e;
    int rc = open_stub(&s, g, &t->key, t->n, err_of(&e));
    if (rc == 0) rc = seq_begin(&s.q, t->ids, t->n, err_of(&e));
    const bool enough = rc == 0 && s.q.n >= SHORTEST;
    if (enough) rc = hearth_cache_save(&s, f->folder, f->limit, &e);
    seq_release(&s.q);
    lock_take(&g->lock);
    g->stats.n_file_errors += rc < 0;
    g->stats.n_files_saved += enough && rc == 0;
    lock_give(&g->lock);
}

/* ---- the thread ---- */

static void serve(void *arg)
{
    struct files *f = arg;
    struct hearth_engine *g = f->g;
    for (;;) {
        const uint32_t seen = atomic_load(&f->wake);
        struct hearth_request *r = next_looking(g);
        if (r) {
            if (!atomic_load(&r->cancel)) find(f, r);
            engine_looked(r);
            continue;
        }
        uint64_t wait;
        bool closing;
        struct ended *t = next_ended(f, &wait, &closing);
        if (t) {
            save(f, t);
            mem_free(t);
        } else if (closing) return;
        else if (wait == UINT64_MAX) os_wait(&f->wake, seen);
        else os_wait_for(&f->wake, seen, wait);
    }
}

int files_open(struct hearth_engine *g, struct err *err)
{
    const char *folder = g->o.kv_files;
    if (!folder || g->m->h.bidirectional) return 0;
    if (!os_is_folder(folder)) return err_set(err, ERR_NOTFOUND, "%s: is not a folder that is there (kv_files)", folder);
    struct files *f = mem_new(1, sizeof *f);
    if (f) f->folder = mem_strdup(folder, strlen(folder));
    if (!f || !f->folder) {
        mem_free(f);
        return err_set(err, ERR_NOMEM, "out of memory opening an engine");
    }
    f->g = g;
    f->limit = g->o.kv_files_limit ? g->o.kv_files_limit : USUAL_LIMIT;
    int rc = os_thread_start(&f->thread, serve, f, err);
    if (rc == 0) g->files = f;
    else {
        mem_free(f->folder);
        mem_free(f);
    }
    return rc;
}

void files_close(struct hearth_engine *g)
{
    struct files *f = g->files;
    if (!f) return;
    lock_take(&f->lock);
    f->closing = true;
    lock_give(&f->lock);
    wake(f);
    os_thread_join(f->thread);
    mem_free(f->folder);
    mem_free(f);
    g->files = NULL;
}
