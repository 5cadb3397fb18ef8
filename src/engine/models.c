/* models.c - the models of one process: who holds which, what is loaded and what goes, within one budget of memory.
 *
 * One thread loads, and unloads what has had its time.  The lock guards the list and is taken last: under it nothing waits and
 * nothing is called but the pools' kv_shrink, which only tries.  So an evaluation that lacks memory may unload others
 * (make_room) whatever locks of its own model it has.
 * An entry's parts belong to who took it out of the list's hands: the loader while it LOADS, who unloads it afterwards. */
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/sched.h"

enum { KEEP_MS = 300000, TELL_NS = 200000000 };
#define MS_NS UINT64_C(1000000)

/* What a model is made of. */
struct parts {
    struct hearth_model *m;
    struct hearth_engine *g;
    struct hearth_adapter **adapter;  /* [n_adapters] */
    size_t n_adapters;
};

struct entry {
    struct arena arena;               /* what `load` points to */
    struct hearth_load load;
    int state;
    struct parts parts;               /* READY */
    struct hearth_hold *hold;         /* those that hold it, or want to */
    uint32_t n_holds, n_granted;
    uint64_t ticket;                  /* when it was asked for: the smaller, the sooner */
    uint64_t tried;                   /* n_freed when it last lacked memory, plus one; 0: never */
    uint32_t keep_ms;
    bool pinned;
    uint64_t used_at, leaves_at;      /* os_now_ns; leaves_at 0: it stays */
    uint64_t beat, beat_at;           /* how far it was when it was last looked at, and since when */
    bool moved;                       /* it has got on since hearth_models_move was true */
    _Atomic uint64_t done, total;
    struct err err;
    struct entry *next;
};

struct hearth_hold {
    struct hearth_models *ms;
    struct entry *e;
    uint64_t ticket;
    bool granted;                     /* the model cannot go */
    struct hearth_hold *next;         /* of the entry */
};

struct hearth_models {
    struct hearth_models_options o;
    struct budget budget;
    struct os_thread *thread;
    _Atomic uint32_t change;
    struct lock lock;                 /* guards all below */
    struct entry *first;
    uint64_t next_ticket;
    uint64_t n_freed;                 /* counts what may leave memory to a load */
    struct entry *blocked;            /* the load that waits for what others hold, or is tried again */
    bool closing;
    uint32_t n_unloading;
    uint64_t unload_at;               /* when the last unload began or ended */
    /* the loading thread's */
    struct entry *loading;
    uint64_t told_at;
};

static void changed(struct hearth_models *ms)
{
    atomic_fetch_add(&ms->change, 1);
    os_wake_all(&ms->change);
}

/* ---- entries ---- */

static void entry_free(struct entry *e)
{
    arena_release(&e->arena);
    mem_free(e);
}

static void unlink_entry(struct hearth_models *ms, struct entry *e)
{
    struct entry **at = &ms->first;
    while (*at != e) at = &(*at)->next;
    *at = e->next;
}

static void parts_close(struct parts *p)
{
    hearth_engine_close(p->g);
    if (p->m) hearth_model_set_adapters(p->m, NULL, 0, NULL);
    for (size_t i = 0; i < p->n_adapters; i++) hearth_adapter_close(p->adapter[i]);
    mem_free(p->adapter);
    hearth_model_close(p->m);
    *p = (struct parts){ 0 };
}

/* With the lock held: what is to be told of it. */
static struct hearth_model_state state_of(struct entry *e, int state)
{
    struct hearth_model_state s = { .state = state, .done = atomic_load(&e->done), .total = atomic_load(&e->total),
                                    .n_holds = e->n_holds, .pinned = e->pinned, .leaves_ms = -1 };
    const char *path = e->load.path ? e->load.path : "";
    fmt_into(s.name, sizeof s.name, "%s", e->load.name ? e->load.name : e->load.path ? path : "spark");
    fmt_into(s.path, sizeof s.path, "%s", path);
    const struct hearth_model *m = e->parts.m;
    if (m) {
        s.weights = m->weights;
        s.heap = (uint64_t)atomic_load(&m->heap);
        m->ops->used(m->device, &s.buffers, &s.kv);
        s.n_ctx = e->parts.g->o.n_ctx;
        s.n_steps = atomic_load(&e->parts.g->n_steps);
        s.n_step_texts = atomic_load(&e->parts.g->n_step_texts);
        s.drafted = e->parts.g->guesses && e->parts.g->o.draft;
    }
    if (state == HEARTH_MODEL_FAILED) {
        s.error.code = e->err.code;
        memcpy(s.error.message, e->err.msg, sizeof s.error.message);
    }
    uint64_t now = os_now_ns();
    if (e->leaves_at) s.leaves_ms = e->leaves_at > now ? (int64_t)((e->leaves_at - now) / MS_NS) : 0;
    return s;
}

static void tell(struct hearth_models *ms, const struct hearth_model_state *s)
{
    if (ms->o.event) ms->o.event(ms->o.arg, s);
}

static bool same_text(const char *a, const char *b) { return a == b || (a && b && !strcmp(a, b)); }

static bool same_load(const struct hearth_load *a, const struct hearth_load *b)
{
    const struct hearth_model_options *x = &a->model, *y = &b->model;
    const struct hearth_engine_options *p = &a->engine, *q = &b->engine;
    if (!same_text(a->path, b->path) || a->n_adapters != b->n_adapters || x->threads != y->threads ||
        !same_text(x->cpu, y->cpu) || !same_text(x->chat_template, y->chat_template) ||
        !same_text(x->spare_template, y->spare_template) || x->kv_limit != y->kv_limit || x->cache_limit != y->cache_limit ||
        memcmp(&x->rope, &y->rope, sizeof x->rope) || p->n_ctx != q->n_ctx || p->max_running != q->max_running ||
        p->max_queued != q->max_queued || p->budget_ms != q->budget_ms || p->kv_type != q->kv_type ||
        p->kv_type_v != q->kv_type_v || p->speculate != q->speculate || p->draft != q->draft ||
        !same_text(p->kv_files, q->kv_files) || p->kv_files_limit != q->kv_files_limit)
        return false;
    for (size_t i = 0; i < a->n_adapters; i++)
        if (!same_text(a->adapters[i].path, b->adapters[i].path) || a->adapters[i].scale != b->adapters[i].scale) return false;
    return true;
}

static const char *copy_text(struct arena *a, const char *s, bool *ok)
{
    const char *copy = s ? arena_strdup(a, s, strlen(s)) : NULL;
    *ok &= !s || copy;
    return copy;
}

static struct entry *entry_new(const struct hearth_load *l)
{
    struct entry *e = mem_new(1, sizeof *e);
    if (!e) return NULL;
    bool ok = true;
    e->load = *l;
    e->load.name = copy_text(&e->arena, l->name, &ok);
    e->load.path = copy_text(&e->arena, l->path, &ok);
    e->load.model.cpu = copy_text(&e->arena, l->model.cpu, &ok);
    e->load.engine.kv_files = copy_text(&e->arena, l->engine.kv_files, &ok);
    e->load.model.chat_template = copy_text(&e->arena, l->model.chat_template, &ok);
    e->load.model.spare_template = copy_text(&e->arena, l->model.spare_template, &ok);
    struct hearth_load_adapter *a = arena_new(&e->arena, struct hearth_load_adapter, l->n_adapters + 1);
    for (size_t i = 0; a && i < l->n_adapters; i++)
        a[i] = (struct hearth_load_adapter){ copy_text(&e->arena, l->adapters[i].path, &ok), l->adapters[i].scale };
    e->load.adapters = a;
    e->state = HEARTH_MODEL_WAITS;
    if (ok && a) return e;
    entry_free(e);
    return NULL;
}

/* ---- holds, with the lock held ---- */

static bool idle(const struct entry *e) { return e->state == HEARTH_MODEL_READY && !e->n_granted; }

/* Who came before a load that waits for memory does not wait for it. */
static void grant(struct hearth_models *ms)
{
    for (struct entry *e = ms->first; e; e = e->next) {
        if (e->state != HEARTH_MODEL_READY) continue;
        for (struct hearth_hold *h = e->hold; h; h = h->next) {
            if (h->granted || (ms->blocked && h->ticket > ms->blocked->ticket)) continue;
            h->granted = true;
            e->n_granted++;
            e->leaves_at = 0;
        }
    }
}

static uint32_t keep_ms(const struct hearth_models *ms, uint32_t own)
{
    return own ? own : ms->o.keep_ms ? ms->o.keep_ms : KEEP_MS;
}

static void set_leave(struct entry *e)
{
    const uint64_t stays = e->keep_ms == HEARTH_KEEP_NOT ? 0 : e->keep_ms * MS_NS;
    e->leaves_at = e->pinned || e->keep_ms == HEARTH_KEEP_FOREVER ? 0 : e->used_at + stays;
}

/* Nobody holds it any more. */
static void rest(struct hearth_models *ms, struct entry *e)
{
    e->used_at = os_now_ns();
    set_leave(e);
    ms->n_freed++;
}

/* Takes the model away from the entry, which waits for a load again when somebody wants it, and is NULL else. */
static struct parts take_parts(struct hearth_models *ms, struct entry **at)
{
    struct entry *e = *at;
    struct parts p = e->parts;
    e->parts = (struct parts){ 0 };
    e->leaves_at = 0;
    atomic_store(&e->done, 0);
    if (e->n_holds) {
        e->state = HEARTH_MODEL_WAITS;
        e->ticket = ms->next_ticket++;
        e->tried = 0;
    } else {
        unlink_entry(ms, e);
        *at = NULL;
    }
    return p;
}

static void count_unload(struct hearth_models *ms, int by)
{
    ms->n_unloading += (uint32_t)by;
    ms->unload_at = os_now_ns();
}

/* Unloads an idle model; called with the lock, returns without. */
static void unload(struct hearth_models *ms, struct entry *e)
{
    struct entry *kept = e;
    struct hearth_model_state s = state_of(e, HEARTH_MODEL_GONE);
    struct parts p = take_parts(ms, &kept);
    count_unload(ms, 1);
    lock_give(&ms->lock);
    if (!kept) entry_free(e);
    parts_close(&p);
    lock_take(&ms->lock);
    ms->n_freed++;
    lock_give(&ms->lock);
    tell(ms, &s);
    lock_take(&ms->lock);
    count_unload(ms, -1);
    lock_give(&ms->lock);
    changed(ms);
}

/* ---- memory ---- */

/* The idle one that was held longest ago; NULL: none can go. */
static struct entry *stalest(struct hearth_models *ms)
{
    struct entry *best = NULL;
    for (struct entry *e = ms->first; e; e = e->next)
        if (idle(e) && !e->pinned && (!best || e->used_at < best->used_at)) best = e;
    return best;
}

/* The budget's reclaim: first past texts, then a model. */
static bool make_room(void *arg, uint64_t bytes)
{
    struct hearth_models *ms = arg;
    uint64_t freed = 0;
    lock_take(&ms->lock);
    for (int held = 0; held < 2; held++)
        for (struct entry *e = ms->first; e && freed < bytes; e = e->next)
            if (e->parts.m && (e->n_granted > 0) == held) freed += kv_shrink(&e->parts.m->pool, bytes - freed);
    struct entry *e = freed ? NULL : stalest(ms);
    if (e) {
        unload(ms, e);
        return true;
    }
    lock_give(&ms->lock);
    return freed > 0;
}

static uint64_t bytes_of(const struct entry *e)
{
    const struct hearth_model *m = e->parts.m;
    uint64_t buffers, allocated;
    m->ops->used(m->device, &buffers, &allocated);
    return m->weights + (uint64_t)atomic_load(&m->heap) + buffers + allocated;
}

/* Whether what others hold now, and may go afterwards, is of use to a load of so many bytes that lacks memory. */
static bool may_come_free(const struct hearth_models *ms, const struct entry *e, uint64_t bytes)
{
    uint64_t stays = 0, goes = 0;
    for (const struct entry *x = ms->first; x; x = x->next)
        if (x != e && x->state == HEARTH_MODEL_READY) *(x->pinned ? &stays : &goes) += bytes_of(x);
    return goes && stays < ms->budget.limit && bytes < ms->budget.limit - stays;
}

/* ---- loading ---- */

/* Whether somebody still wants it; tells of it now and then. */
static bool on_progress(void *arg, uint64_t done, uint64_t total)
{
    struct hearth_models *ms = arg;
    struct entry *e = ms->loading;
    uint64_t now = os_now_ns();
    atomic_store(&e->done, done);
    atomic_store(&e->total, total);
    lock_take(&ms->lock);
    bool wanted = e->n_holds > 0;
    struct hearth_model_state s = state_of(e, HEARTH_MODEL_LOADS);
    lock_give(&ms->lock);
    if (wanted && now - ms->told_at > TELL_NS) {
        ms->told_at = now;
        tell(ms, &s);
    }
    return wanted;
}

static int open_adapters(struct parts *p, const struct hearth_load *l, struct err *err)
{
    struct hearth_adapter_use *use = mem_new_array(struct hearth_adapter_use, l->n_adapters + 1);
    p->adapter = mem_new_array(struct hearth_adapter *, l->n_adapters + 1);
    int rc = use && p->adapter ? 0 : err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; rc == 0 && i < l->n_adapters; i++) {
        rc = hearth_adapter_open(&p->adapter[i], p->m, l->adapters[i].path, (struct hearth_error *)(void *)err);
        if (rc == 0) use[p->n_adapters++] = (struct hearth_adapter_use){ p->adapter[i], l->adapters[i].scale, 0, 0 };
    }
    if (rc == 0) rc = hearth_model_set_adapters(p->m, use, p->n_adapters, (struct hearth_error *)(void *)err);
    mem_free(use);
    return rc;
}

static int open_parts(struct parts *p, const struct hearth_load *l, struct opening *how, struct err *err)
{
    *p = (struct parts){ 0 };
    int rc = engine_model_open(&p->m, l->path, &l->model, how, err);
    if (rc == 0 && l->n_adapters) rc = open_adapters(p, l, err);
    if (rc == 0) rc = hearth_engine_open(&p->g, p->m, &l->engine, (struct hearth_error *)(void *)err);
    if (rc == 0 && !budget_settle(how->budget))
        rc = err_set(err, ERR_LIMIT, "%s: does not fit into the memory for all models: with it %.1f MB of %.1f MB are in use; "
                     "unload others, or raise the limit", gguf_path(p->m->gguf),
                     (double)atomic_load(&how->budget->used) / 1e6, (double)how->budget->limit / 1e6);
    if (rc < 0) parts_close(p);
    return rc;
}

/* Called with the lock, returns without. */
static void load(struct hearth_models *ms, struct entry *e)
{
    struct opening how = { .budget = &ms->budget, .progress = on_progress, .arg = ms };
    struct err err = { 0 };
    struct parts p;
    uint64_t freed = ms->n_freed;
    ms->loading = e;
    ms->told_at = os_now_ns();
    e->state = HEARTH_MODEL_LOADS;
    e->beat_at = ms->told_at;
    struct hearth_model_state s = state_of(e, HEARTH_MODEL_LOADS);
    lock_give(&ms->lock);
    tell(ms, &s);
    int rc = open_parts(&p, &e->load, &how, &err);
    lock_take(&ms->lock);
    if (rc == 0) {
        if (ms->blocked == e) ms->blocked = NULL;
        e->parts = p;
        e->state = HEARTH_MODEL_READY;
        grant(ms);
        if (!e->n_granted) rest(ms, e);
    } else if (rc == ERR_CANCELLED && e->n_holds) {    /* somebody came after all */
        e->state = HEARTH_MODEL_WAITS;
    } else if (rc == ERR_LIMIT && e->n_holds && may_come_free(ms, e, how.weights)) {
        e->state = HEARTH_MODEL_WAITS;
        e->tried = freed + 1;
    } else {
        e->state = HEARTH_MODEL_FAILED;
        e->err = err;
    }
    s = state_of(e, e->state);
    lock_give(&ms->lock);
    tell(ms, &s);
    changed(ms);
}

/* ---- the thread ---- */

static struct entry *next_load(const struct hearth_models *ms)
{
    struct entry *best = NULL;
    for (struct entry *e = ms->first; e; e = e->next)
        if (e->state == HEARTH_MODEL_WAITS && (!best || e->ticket < best->ticket)) best = e;
    return best;
}

static uint32_t n_loaded(const struct hearth_models *ms)
{
    uint32_t n = 0;
    for (const struct entry *e = ms->first; e; e = e->next) n += e->state == HEARTH_MODEL_READY;
    return n;
}

/* What nobody wants any more and takes no memory. */
static void sweep(struct hearth_models *ms)
{
    for (struct entry *e = ms->first, *next; e; e = next) {
        next = e->next;
        if (e->n_holds || (e->state != HEARTH_MODEL_FAILED && e->state != HEARTH_MODEL_WAITS)) continue;
        if (ms->blocked == e) ms->blocked = NULL;
        unlink_entry(ms, e);
        entry_free(e);
    }
}

/* One that has had its time; *wait: until the next has. */
static struct entry *expired(struct hearth_models *ms, uint64_t *wait)
{
    uint64_t now = os_now_ns();
    *wait = UINT64_MAX;
    for (struct entry *e = ms->first; e; e = e->next) {
        if (!idle(e) || (!e->leaves_at && !ms->closing)) continue;
        if (ms->closing || e->leaves_at <= now) return e;
        if (e->leaves_at - now < *wait) *wait = e->leaves_at - now;
    }
    return NULL;
}

static void keep(void *arg)
{
    struct hearth_models *ms = arg;
    for (;;) {
        uint32_t seen = atomic_load(&ms->change);
        uint64_t wait;
        lock_take(&ms->lock);
        sweep(ms);
        struct entry *e = expired(ms, &wait), *old;
        if (e) {
            unload(ms, e);
            continue;
        }
        e = next_load(ms);
        bool full = e && ms->o.max_models && n_loaded(ms) >= ms->o.max_models;
        if (full && (old = stalest(ms))) {
            unload(ms, old);
            continue;
        }
        /* What lacked memory is tried again when some may have come free, before others get any. */
        ms->blocked = e && (full || e->tried) ? e : NULL;
        grant(ms);
        if (e && !full && e->tried != ms->n_freed + 1) {
            load(ms, e);
            continue;
        }
        bool done = ms->closing && !ms->first;
        lock_give(&ms->lock);
        if (done) return;
        atomic_fetch_add(&ms->change, 1);              /* what was granted: a wait of others ends */
        os_wake_all(&ms->change);
        if (wait == UINT64_MAX) os_wait(&ms->change, seen + 1);
        else os_wait_for(&ms->change, seen + 1, wait);
    }
}

int hearth_models_open(struct hearth_models **out, const struct hearth_models_options *o, struct hearth_error *e)
{
    static const struct hearth_models_options none;
    *out = NULL;
    struct hearth_models *ms = mem_new(1, sizeof *ms);
    if (!ms) return err_set(err_of(e), ERR_NOMEM, "out of memory for the list of models");
    ms->o = o ? *o : none;
    uint64_t free = os_memory_available();
    ms->budget.limit = ms->o.memory ? ms->o.memory : free ? free - free / 8 : UINT64_MAX / 4;
    ms->budget.reclaim = make_room;
    ms->budget.arg = ms;
    int rc = os_thread_start(&ms->thread, keep, ms, err_of(e));
    if (rc < 0) mem_free(ms);
    else *out = ms;
    return rc;
}

void hearth_models_close(struct hearth_models *ms)
{
    if (!ms) return;
    lock_take(&ms->lock);
    ms->closing = true;
    lock_give(&ms->lock);
    changed(ms);
    os_thread_join(ms->thread);
    mem_free(ms);
}

/* ---- holds ---- */

int hearth_hold_open(struct hearth_hold **out, struct hearth_models *ms, const struct hearth_load *l, struct hearth_error *e)
{
    *out = NULL;
    struct hearth_hold *h = mem_new(1, sizeof *h);
    struct entry *mine = entry_new(l), *x;
    if (!h || !mine) {
        mem_free(h);
        if (mine) entry_free(mine);
        return err_set(err_of(e), ERR_NOMEM, "out of memory for a model");
    }
    lock_take(&ms->lock);
    for (x = ms->first; x && (x->state == HEARTH_MODEL_FAILED || !same_load(&x->load, l));) x = x->next;
    h->ms = ms;
    h->ticket = ms->next_ticket++;
    if (!x) {
        x = mine;
        mine = NULL;
        x->ticket = h->ticket;
        x->next = ms->first;
        ms->first = x;
    }
    h->e = x;
    h->next = x->hold;
    x->hold = h;
    x->n_holds++;
    x->keep_ms = keep_ms(ms, l->keep_ms);
    if (l->pin < 0 && x->pinned) ms->n_freed++;        /* it can make room again */
    if (l->pin) x->pinned = l->pin > 0;
    if (x->pinned) x->leaves_at = 0;                   /* now: its hold may have to wait for a load that was asked for before */
    grant(ms);
    lock_give(&ms->lock);
    if (mine) entry_free(mine);
    changed(ms);
    *out = h;
    return 0;
}

/* 0: it is there; 1: not yet; or why it will never be. */
static int look(struct hearth_hold *h, struct err *err)
{
    struct hearth_models *ms = h->ms;
    lock_take(&ms->lock);
    int rc = h->granted ? 0 : h->e->state == HEARTH_MODEL_FAILED ? h->e->err.code : 1;
    if (rc < 0 && err) *err = h->e->err;
    lock_give(&ms->lock);
    return rc;
}

int hearth_hold_wait(struct hearth_hold *h, uint32_t timeout_ms, struct hearth_error *e)
{
    struct hearth_models *ms = h->ms;
    const uint64_t start = os_now_ns(), most = timeout_ms * MS_NS;
    for (;;) {
        uint32_t seen = atomic_load(&ms->change);
        int rc = look(h, err_of(e));
        if (rc <= 0) return rc;
        uint64_t spent = os_now_ns() - start;
        if (timeout_ms == UINT32_MAX) os_wait(&ms->change, seen);
        else if (spent < most) os_wait_for(&ms->change, seen, most - spent);
        else break;
    }
    const struct entry *x = h->e;
    return err_set(err_of(e), ERR_CANCELLED, "%s: is not loaded after %u ms: %.1f MB of %.1f MB were read",
                   x->load.path ? x->load.path : "spark", timeout_ms, (double)atomic_load(&x->done) / 1e6,
                   (double)atomic_load(&x->total) / 1e6);
}

struct hearth_model *hearth_hold_model(struct hearth_hold *h) { return h->e->parts.m; }
struct hearth_engine *hearth_hold_engine(struct hearth_hold *h) { return h->e->parts.g; }

size_t hearth_hold_adapters(struct hearth_hold *h, struct hearth_adapter **out, size_t most)
{
    const struct parts *p = &h->e->parts;
    for (size_t i = 0; i < p->n_adapters && i < most; i++) out[i] = p->adapter[i];
    return p->n_adapters;
}

void hearth_hold_state(struct hearth_hold *h, struct hearth_model_state *out)
{
    lock_take(&h->ms->lock);
    *out = state_of(h->e, h->e->state);
    lock_give(&h->ms->lock);
}

void hearth_hold_close(struct hearth_hold *h)
{
    if (!h) return;
    struct hearth_models *ms = h->ms;
    struct entry *e = h->e;
    lock_take(&ms->lock);
    struct hearth_hold **at = &e->hold;
    while (*at != h) at = &(*at)->next;
    *at = h->next;
    e->n_holds--;
    if (h->granted && --e->n_granted == 0) rest(ms, e);
    else if (!h->granted && idle(e)) set_leave(e);
    lock_give(&ms->lock);
    mem_free(h);
    changed(ms);
}

/* ---- all of them ---- */

size_t hearth_models_list(struct hearth_models *ms, struct hearth_model_state *out, size_t most)
{
    size_t n = 0;
    lock_take(&ms->lock);
    for (struct entry *e = ms->first; e; e = e->next, n++)
        if (n < most) out[n] = state_of(e, e->state);
    lock_give(&ms->lock);
    return n;
}

/* With the lock held.  A load shows only how many bytes it has read. */
static bool moves(struct entry *e, uint64_t now, uint64_t load_ns)
{
    const bool loads = e->state == HEARTH_MODEL_LOADS;
    uint64_t beat = atomic_load(&e->done);
    if (!loads && (e->state != HEARTH_MODEL_READY || !engine_beat(e->parts.g, &beat))) return true;
    bool same = beat == e->beat;
    e->beat = beat;
    if (!same) e->beat_at = now;
    return !same || (loads && now - e->beat_at < load_ns);
}

bool hearth_models_move(struct hearth_models *ms, uint32_t load_ms)
{
    const uint64_t now = os_now_ns();
    lock_take(&ms->lock);
    bool all = !ms->n_unloading || now <= ms->unload_at || now - ms->unload_at < load_ms * MS_NS;
    for (struct entry *e = ms->first; e; e = e->next) {
        e->moved = moves(e, now, load_ms * MS_NS) || e->moved;
        all = all && e->moved;
    }
    for (struct entry *e = ms->first; e && all; e = e->next) e->moved = false;
    lock_give(&ms->lock);
    return all;
}

void hearth_models_memory(struct hearth_models *ms, uint64_t *limit, uint64_t *used)
{
    *limit = ms->budget.limit;
    *used = atomic_load(&ms->budget.used);
}

int hearth_models_unload(struct hearth_models *ms, const char *name, struct hearth_error *err)
{
    bool found = false;
    lock_take(&ms->lock);
    for (struct entry *e = ms->first; e; e = e->next) {
        const char *own = e->load.name ? e->load.name : e->load.path ? e->load.path : "spark";
        if (strcmp(own, name) != 0 || e->state == HEARTH_MODEL_FAILED) continue;
        found = true;
        e->pinned = false;
        e->keep_ms = HEARTH_KEEP_NOT;
        if (idle(e)) rest(ms, e);
    }
    lock_give(&ms->lock);
    changed(ms);
    return found ? 0 : err_set(err_of(err), ERR_NOTFOUND, "no model '%.200s' is loaded", name);
}
