/* sched.c - requests for one model: the queue, who is next, and the thread that serves them. */
#include "engine/sched.h"

#include <string.h>

#include "base/mem.h"
#include "base/os.h"

static void wake(struct hearth_engine *g)
{
    atomic_fetch_add(&g->wake, 1);
    os_wake_all(&g->wake);
}

/* Requests may be closed after their engine. */
static void engine_drop(struct hearth_engine *g)
{
    if (atomic_fetch_sub(&g->refs, 1) == 1) mem_free(g);
}

void request_drop(struct hearth_request *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1) return;
    engine_drop(r->g);
    engine_adapt_release(&r->adaption);
    mem_free(r->texts.item);
    mem_free(r->texts.ids);
    mem_free(r->texts.pair);
    mem_free(r->questions.ids);
    mem_free(r->questions.at);
    request_free_answer(r);
    mem_free(r->stream);
    mem_free(r->prompt);
    mem_free(r);
}

/* ---- the end of streams ---- */

struct hearth_event stream_event(const struct stream *x, int32_t id)
{
    const struct questions *q = &x->r->questions;
    if (x->r->kind == REQUEST_SCORE)
        return (struct hearth_event){ .request = x->r, .id = -1, .n_prompt = (uint32_t)q->at[q->n],
                                      .n_answer = (uint32_t)q->done };
    return (struct hearth_event){ .request = x->r, .completion = x->index, .id = id, .n_prompt = x->r->n_prompt,
                                  .n_kept = x->n_kept, .n_answer = x->n_answer, .session = id >= 0 && x->picked ? &x->s : NULL,
                                  .sampler = id >= 0 && x->picked ? x->sampler : NULL,
                                  .n_held = x->decoder ? (uint32_t)hearth_decoder_held(x->decoder) : 0,
                                  .n_reasoning = x->chat ? hearth_chat_n_reasoning(x->chat) : 0,
                                  .n_calls = x->chat ? hearth_chat_n_calls(x->chat) : 0,
                                  .cut = x->cut.n ? &x->cut : NULL,
                                  .guesses = x->guessed.n_drafts ? &x->guessed : NULL };
}

static void stream_release(struct stream *x)
{
    seq_release(&x->s.q);
    engine_adapt_release(&x->s.adaption);
    stream_close_answer(x);
    stream_close_guesses(x);
    mem_free(x->logits);
    mem_free(x->text);
    x->s.logits = x->logits = NULL;
    x->text = NULL;
}

void request_done(struct hearth_request *r, int finish)
{
    struct hearth_engine *g = r->g;
    r->finish = finish;
    lock_take(&g->lock);
    g->stats.n_finished++;
    lock_give(&g->lock);
    r->next = g->dead;                /* others of its streams may still be looked at */
    g->dead = r;
    atomic_store(&r->done, 1);
    os_wake_all(&r->done);
}

static void end_one(struct stream *x, int finish, int32_t id, const struct hearth_error *e)
{
    struct hearth_request *r = x->r;
    if (x->state == STREAM_ENDED) return;
    bool tells = r->o.event && finish != HEARTH_FINISH_STOPPED && (r->kind == REQUEST_ANSWER || r->n_left == 1);
    if (r->kind == REQUEST_ANSWER && finish != HEARTH_FINISH_STOPPED) stream_say_end(x);
    if (finish == HEARTH_FINISH_END && stream_stop(x)) finish = HEARTH_FINISH_STOP;      /* what was held back ended in one */
    struct hearth_event event = stream_event(x, id);
    event.finish = finish;
    event.stop = finish == HEARTH_FINISH_STOP ? stream_stop(x) : NULL;
    event.error = e;
    if (tells) r->o.event(r->o.arg, &event);
    files_keep(x);
    stream_release(x);
    x->state = STREAM_ENDED;
    r->g->ended = true;
    if (x->index == 0) r->finish = finish;
    if (--r->n_left == 0) request_done(r, r->finish);
}

static void request_end(struct hearth_request *r, int finish, const struct hearth_error *e)
{
    for (uint32_t i = 0; i < r->o.n_completions; i++) end_one(&r->stream[i], finish, -1, e);
}

void stream_end(struct stream *x, int finish, int32_t id, const struct hearth_error *e)
{
    struct hearth_request *r = x->r;
    if (r->kind == REQUEST_ANSWER || finish == HEARTH_FINISH_END) end_one(x, finish, id, e);
    else request_end(r, finish, e);   /* scores are of no use without the others */
}

/* ---- the queue ---- */

int request_called_off(const struct hearth_request *r, uint64_t now, bool closing)
{
    if (closing || atomic_load(&r->cancel)) return HEARTH_FINISH_CANCELLED;
    return r->deadline && now >= r->deadline ? HEARTH_FINISH_DEADLINE : 0;
}

static void take_out(struct hearth_engine *g, struct hearth_request **at)
{
    struct hearth_request *r = *at;
    *at = r->next;
    if (!*at) g->last = at;
    r->next = NULL;
    g->stats.n_queued--;
}

static uint32_t running_of(const struct hearth_engine *g, uint64_t user)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_run; i++) n += g->run[i]->r->o.user == user;
    return n;
}

/* The next to get a slot; NULL: none fits. */
static struct hearth_request **next_request(struct hearth_engine *g)
{
    struct hearth_request **best = NULL;
    uint32_t fewest = 0;
    for (struct hearth_request **at = &g->first; *at; at = &(*at)->next) {
        if ((*at)->looking || (best && (*at)->o.priority < (*best)->o.priority)) continue;
        uint32_t n = running_of(g, (*at)->o.user);
        if (best && (*at)->o.priority == (*best)->o.priority && n >= fewest) continue;
        best = at;
        fewest = n;
    }
    /* One that needs several slots is waited for: smaller ones do not overtake it for ever. */
    return best && g->n_run + (*best)->o.n_completions <= g->o.max_running ? best : NULL;
}

static void admit(struct hearth_engine *g, struct hearth_request *r)
{
    struct err err = { 0 };
    int rc = 0;
    for (uint32_t i = 0; i < r->o.n_completions && rc == 0; i++) rc = stream_open(&r->stream[i], &err);
    if (rc < 0) {
        request_end(r, HEARTH_FINISH_ERROR, (const struct hearth_error *)(const void *)&err);
        return;
    }
    for (uint32_t i = 0; i < r->o.n_completions; i++) {
        r->stream[i].state = i ? STREAM_FORKS : STREAM_RUNS;
        if (r->kind == REQUEST_SCORE && !i) question_next(&r->stream[i]);
        r->stream[i].age = g->next_age++;
        g->run[g->n_run++] = &r->stream[i];
    }
}

/* Ends what was called off, gives free slots away.  false: there is nothing to do, and there will not be. */
static bool arrange(struct hearth_engine *g)
{
    uint64_t now = os_now_ns();
    lock_take(&g->lock);
    bool closing = g->closing;
    lock_give(&g->lock);
    for (uint32_t i = 0; i < g->n_run; i++) {
        int finish = request_called_off(g->run[i]->r, now, closing);
        if (finish) stream_end(g->run[i], finish, -1, NULL);
    }
    texts_arrange(g, now, closing);
    uint32_t n = 0;
    for (uint32_t i = 0; i < g->n_run; i++)
        if (g->run[i]->state != STREAM_ENDED) g->run[n++] = g->run[i];
    g->n_run = n;
    for (;;) {
        struct hearth_request *gone = NULL, *next = NULL, **at;
        int finish = 0;
        lock_take(&g->lock);
        for (at = &g->first; *at && !(finish = request_called_off(*at, now, closing));) at = &(*at)->next;
        if (!*at) at = next_request(g);
        if (at) {
            *(finish ? &gone : &next) = *at;
            take_out(g, at);
        }
        lock_give(&g->lock);
        if (gone) request_end(gone, finish, NULL);
        else if (next) admit(g, next);
        else break;
    }
    for (struct hearth_request *r = g->dead, *next; r; r = next) {
        next = r->next;
        request_drop(r);
    }
    g->dead = NULL;
    lock_take(&g->lock);
    g->stats.n_running = g->n_run;
    lock_give(&g->lock);
    return !closing || g->n_run;
}

static void serve(void *arg)
{
    struct hearth_engine *g = arg;
    for (;;) {
        uint32_t seen = atomic_load(&g->wake);
        if (!arrange(g)) return;
        if (g->n_run) sched_step(g);
        if (g->texts_wait) texts_step(g);
        else if (!g->n_run) {
            atomic_store(&g->rests, true);
            os_wait(&g->wake, seen);
            atomic_store(&g->rests, false);
        }
        atomic_fetch_add(&g->beat, 1);
    }
}

bool engine_beat(const struct hearth_engine *g, uint64_t *beat)
{
    *beat = g->m->ops->beat(g->m->device) + ((uint64_t)atomic_load(&g->beat) << 16);
    return !atomic_load(&g->rests);
}

/* ---- engines ---- */

static int open_plans(struct hearth_engine *g, struct err *err)
{
    static const uint32_t T[] = { 1, 8, 64, MAX_BATCH };
    struct plan *p;
    int rc = 0;
    lock_take(&g->m->lock);
    const bool adapted = g->m->adaption.set.n > 0;
    for (size_t i = 0; i < sizeof T / sizeof *T && rc == 0; i++) rc = engine_plan(g->m, g->variant, T[i], adapted, &p, err);
    for (size_t i = 0; i < 2 && rc == 0 && g->guesses && engine_guesses(g->m); i++)
        rc = engine_plan(g->m, &g->m->variant[V_NEXT], T[i], adapted, &p, err);
    lock_give(&g->m->lock);
    return rc;
}

int hearth_engine_open(struct hearth_engine **out, struct hearth_model *m, const struct hearth_engine_options *o,
                       struct hearth_error *e)
{
    static const struct hearth_engine_options none;
    struct err *err = err_of(e);
    *out = NULL;
    if (!o) o = &none;
    struct hearth_session_options so = { .n_ctx = o->n_ctx, .kv_type = o->kv_type, .kv_type_v = o->kv_type_v };
    struct seq_options q = { .n_max = 0 };
    int rc = m->h.bidirectional ? 0 : engine_seq_options(m, &so, &q, err);
    if (rc < 0) return rc;
    if (o->max_running > MAX_RUNNING)
        return err_set(err, ERR_ARG, "%u answers at once are too many; at most %d", o->max_running, MAX_RUNNING);
    struct hearth_engine *g = mem_new(1, sizeof *g);
    if (!g) return err_set(err, ERR_NOMEM, "out of memory opening an engine");
    g->m = m;
    g->o = *o;
    g->o.n_ctx = q.n_max;
    if (!g->o.max_running) g->o.max_running = 16;
    if (!g->o.max_queued) g->o.max_queued = 512;
    if (!g->o.budget_ms) g->o.budget_ms = 100;
    for (int i = 0; i < 2; i++) g->type[i] = (enum dtype)q.key.type[i];
    g->variant = &m->variant[q.key.variant];
    g->last = &g->first;
    atomic_store(&g->refs, 1);
    rc = guesses_open(g, err);
    if (!m->h.bidirectional) sched_slope(g);
    if (rc == 0) rc = open_plans(g, err);
    if (rc == 0) rc = files_open(g, err);
    if (rc == 0) rc = os_thread_start(&g->thread, serve, g, err);
    if (rc < 0) {
        files_close(g);
        guesses_close(g);
        engine_drop(g);
        return rc;
    }
    *out = g;
    return 0;
}

void hearth_engine_close(struct hearth_engine *g)
{
    if (!g) return;
    lock_take(&g->lock);
    g->closing = true;
    lock_give(&g->lock);
    wake(g);
    os_thread_join(g->thread);
    files_close(g);
    guesses_close(g);
    engine_drop(g);
}

void hearth_engine_stats(struct hearth_engine *g, struct hearth_engine_stats *out)
{
    lock_take(&g->lock);
    *out = g->stats;
    lock_give(&g->lock);
}

/* ---- requests ---- */

static int check(const struct hearth_engine *g, const struct hearth_request_options *o, struct err *err)
{
    uint32_t n_ctx = o->n_ctx ? o->n_ctx : g->o.n_ctx;
    if (g->m->h.bidirectional)
        return err_set(err, ERR_UNSUPPORTED, "%s: this model makes embeddings, not text", gguf_path(g->m->gguf));
    if (n_ctx > g->o.n_ctx)
        return err_set(err, ERR_LIMIT, "a context of %u tokens is asked for, but this engine allows %u", n_ctx, g->o.n_ctx);
    if (!o->n || !o->ids) return err_set(err, ERR_ARG, "a prompt needs at least one token");
    if (o->context == HEARTH_CONTEXT_DROP || o->context < 0 || o->context > HEARTH_CONTEXT_SHIFT)
        return err_set(err, ERR_ARG, "context policy %d means nothing to a request", o->context);
    if (o->n >= n_ctx && (o->context == HEARTH_CONTEXT_STOP || n_ctx < 2))
        return err_set(err, ERR_LIMIT, "a prompt of %zu tokens leaves no room for an answer in the context of %u", o->n, n_ctx);
    if (o->n_completions > g->o.max_running)
        return err_set(err, ERR_LIMIT, "%u completions are asked for, at most %u run at once", o->n_completions,
                       g->o.max_running);
    return engine_check_ids(g->m, o->ids, o->n, err);
}

int request_new(struct hearth_request **out, struct hearth_engine *g, enum request_kind kind,
                const struct hearth_request_options *o, struct err *err)
{
    struct hearth_request *r = mem_new(1, sizeof *r);
    *out = r;
    if (!r) return err_set(err, ERR_NOMEM, "out of memory for a request");
    r->g = g;
    atomic_fetch_add(&g->refs, 1);
    atomic_store(&r->refs, 1);
    r->kind = kind;
    r->o = *o;
    int rc = request_copy_answer(r, o, err);
    if (rc < 0) return rc;
    if (!r->o.n_completions) r->o.n_completions = 1;
    if (o->deadline_ms) r->deadline = os_now_ns() + o->deadline_ms * UINT64_C(1000000);
    return o->adapters ? engine_adapt_set(&r->adaption, g->m, o->adapters, o->n_adapters, err) : 0;
}

int request_streams(struct hearth_request *r, uint32_t n_max, struct err *err)
{
    struct kv_pool *pool = &r->g->m->pool;
    enum dtype type[2];
    r->n_max = n_max;
    r->n_left = r->o.n_completions;
    r->stream = mem_new_array(struct stream, r->o.n_completions);
    sched_types(r, type);
    const struct kv_layout *l = kv_layout_of(pool, type);
    uint64_t need = l ? kv_bytes(pool, l, n_max, MAX_BATCH) : 0;
    if (!l || !r->stream) return err_set(err, ERR_NOMEM, "out of memory for a request");
    if (need > pool->limit)
        return err_set(err, ERR_LIMIT, "%u tokens need %.1f MB for keys and values, but all may have only %.1f MB (kv_limit)",
                       n_max, (double)need / 1e6, (double)pool->limit / 1e6);
    for (uint32_t i = 0; i < r->o.n_completions; i++) r->stream[i] = (struct stream){ .r = r, .index = i, .n_max = n_max };
    return 0;
}

/* With the lock held. */
static int append(struct hearth_engine *g, struct hearth_request *r, struct err *err)
{
    if (g->closing) return err_set(err, ERR_ARG, "the engine is closing");
    if (g->stats.n_queued >= g->o.max_queued)
        return err_set(err, ERR_LIMIT, "%u requests are waiting, at most %u may", g->stats.n_queued, g->o.max_queued);
    atomic_fetch_add(&r->refs, 1);
    if (r->kind == REQUEST_EMBED) {
        struct hearth_request **at = &g->texts;
        while (*at) at = &(*at)->next;
        *at = r;
    } else {
        *g->last = r;
        g->last = &r->next;
    }
    g->stats.n_queued++;
    g->stats.n_requests++;
    return 0;
}

int request_enqueue(struct hearth_request **out, struct hearth_request *r, struct err *err)
{
    struct hearth_engine *g = r->g;
    *out = r;
    const bool looks = files_may_have(r);
    lock_take(&g->lock);
    r->looking = looks;
    int rc = append(g, r, err);
    if (rc == 0 && looks) files_look(g);      /* with the lock held: the engine does not close meanwhile */
    lock_give(&g->lock);
    if (rc == 0) {
        wake(g);
        return 0;
    }
    *out = NULL;
    request_drop(r);
    return rc;
}

void engine_looked(struct hearth_request *r)
{
    struct hearth_engine *g = r->g;
    lock_take(&g->lock);
    r->looking = false;
    lock_give(&g->lock);
    wake(g);
    request_drop(r);
}

static int make(struct hearth_request *r, const struct hearth_request_options *o, struct err *err)
{
    uint32_t n_ctx = o->n_ctx ? o->n_ctx : r->g->o.n_ctx;
    r->prompt = mem_new_array(int32_t, o->n);
    if (!r->prompt) return err_set(err, ERR_NOMEM, "out of memory for a request");
    memcpy(r->prompt, o->ids, o->n * sizeof *o->ids);
    size_t n = o->n;
    if (n >= n_ctx) {
        hearth_context_fit(o->context, n, hearth_context_room(n_ctx, o->max_tokens), o->n_keep, &r->cut, NULL);
        n = hearth_context_cut(r->prompt, n, &r->cut);
    }
    r->n_prompt = (uint32_t)n;
    if (o->sampler) r->sampler = *o->sampler;
    else hearth_sampler_defaults(r->g->m, &r->sampler);
    return request_streams(r, o->max_tokens && o->max_tokens < n_ctx - r->n_prompt ? r->n_prompt + o->max_tokens : n_ctx, err);
}

int hearth_request_submit(struct hearth_request **out, struct hearth_engine *g, const struct hearth_request_options *o,
                          struct hearth_error *e)
{
    struct err none, *err = e ? err_of(e) : &none;
    struct hearth_request *r = NULL;
    struct hearth_request_options with = *o;
    *out = NULL;
    if (o->chat) with.ids = hearth_chat_ids(o->chat, &with.n);
    int rc = check(g, &with, err);
    if (rc == 0) rc = request_new(&r, g, REQUEST_ANSWER, &with, err);
    if (rc == 0) rc = make(r, &with, err);
    if (rc == 0) return request_enqueue(out, r, err);
    if (r) request_drop(r);
    return rc;
}

void hearth_request_cancel(struct hearth_request *r)
{
    if (!atomic_exchange(&r->cancel, 1)) wake(r->g);
}

int hearth_request_wait(struct hearth_request *r)
{
    while (!atomic_load(&r->done)) os_wait(&r->done, 0);
    return r->finish;
}

void hearth_request_close(struct hearth_request *r)
{
    if (!r) return;
    if (!atomic_load(&r->done)) hearth_request_cancel(r);
    request_drop(r);
}
