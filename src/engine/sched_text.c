/* sched_text.c - embeddings and scores as requests: texts of all requests in common batches, questions in slots of answers. */
#include <string.h>

#include "base/mem.h"
#include "base/os.h"
#include "engine/sched.h"

static int no_memory(struct err *err) { return err_set(err, ERR_NOMEM, "out of memory for a request"); }

/* ---- texts to embed ---- */

static void finish_texts(struct hearth_request *r, int finish, const struct hearth_error *e)
{
    struct texts *x = &r->texts;
    struct hearth_event event = { .request = r, .id = -1, .finish = finish, .n_prompt = (uint32_t)x->tokens,
                                  .n_answer = (uint32_t)x->next, .error = e };
    struct hearth_engine *g = r->g;
    lock_take(&g->lock);
    struct hearth_request **at = &g->texts;
    while (*at != r) at = &(*at)->next;
    *at = r->next;
    g->stats.n_queued--;
    lock_give(&g->lock);
    if (g->in_parts == r) {
        embed_part_release(&g->part_at);
        g->in_parts = NULL;
    }
    if (r->o.event && finish != HEARTH_FINISH_STOPPED) r->o.event(r->o.arg, &event);
    request_done(r, finish);
}

void texts_arrange(struct hearth_engine *g, uint64_t now, bool closing)
{
    for (;;) {
        int finish = 0;
        lock_take(&g->lock);
        struct hearth_request *r = g->texts;
        while (r && !(finish = request_called_off(r, now, closing))) r = r->next;
        g->texts_wait = g->texts != NULL;
        lock_give(&g->lock);
        if (!r) break;
        finish_texts(r, finish, NULL);
    }
    if (g->texts_wait || (!g->room.kv && !g->room.recurrent)) return;
    lock_take(&g->m->lock);
    embed_room_release(g->m, &g->room);
    lock_give(&g->m->lock);
}

static bool alike(const struct embed_kind *a, const struct embed_kind *b)
{
    return a->pooling == b->pooling && a->pool == b->pool && a->head == b->head;
}

/* Who gives texts to the batch next; NULL: nobody that could share it. */
static struct hearth_request *next_part(struct hearth_engine *g, const struct embed_kind *kind)
{
    struct hearth_request *best = NULL;
    for (struct hearth_request *r = g->texts; r; r = r->next) {
        if (r->texts.seen || (kind && !alike(kind, &r->texts.kind))) continue;
        if (best && r->o.priority < best->o.priority) continue;
        if (best && r->o.priority == best->o.priority && r->texts.tokens >= best->texts.tokens) continue;
        best = r;
    }
    if (best) best->texts.seen = true;
    return best;
}

/* Makes a batch of at most `limit` tokens, but at least one text; returns the number of requests that have a part in it. */
static size_t gather(struct hearth_engine *g, size_t limit)
{
    size_t n = 0, T = 0, parts = 0;
    struct hearth_request *r;
    lock_take(&g->lock);
    for (r = g->texts; r; r = r->next) r->texts.seen = false;
    while (n < EMBED_TOKENS && T < limit && (r = next_part(g, parts ? &g->part[0]->texts.kind : NULL))) {
        struct texts *x = &r->texts;
        for (x->taken = 0; n < EMBED_TOKENS && x->next + x->taken < x->n; x->taken++) {
            const struct hearth_embed_item *it = &x->item[x->next + x->taken];
            size_t used = embed_used(&x->kind, it);
            if (n && T + used > limit) break;
            T += used;
            g->text[n++] = (struct embed_text){ it, &x->o, r->o.adapters ? &r->adaption.set : &g->m->adaption.set };
        }
        if (x->taken) g->part[parts++] = r;
    }
    lock_give(&g->lock);
    return parts;
}

static size_t tokens_of(const struct hearth_request *r)
{
    size_t T = 0;
    for (size_t i = 0; i < r->texts.taken; i++) T += embed_used(&r->texts.kind, &r->texts.item[r->texts.next + i]);
    return T;
}

/* What the request's texts in the batch came to. */
static void part_done(struct hearth_request *r, const struct err *err)
{
    struct texts *x = &r->texts;
    struct hearth_engine *g = r->g;
    if (err->code < 0) {
        finish_texts(r, HEARTH_FINISH_ERROR, (const struct hearth_error *)(const void *)err);
        return;
    }
    x->tokens += tokens_of(r);
    for (size_t i = x->next; x->pair && i < x->next + x->taken; i++)
        r->scores[i] = rank_score(&r->rank, x->pair[2 * i] - x->pair[2 * i + 1]);
    x->next += x->taken;
    lock_take(&g->lock);
    g->stats.n_texts += x->taken;
    lock_give(&g->lock);
    struct hearth_event event = { .request = r, .id = -1, .n_prompt = (uint32_t)x->tokens, .n_answer = (uint32_t)x->next };
    if (x->next == x->n) finish_texts(r, HEARTH_FINISH_END, NULL);
    else if (r->o.event && !r->o.event(r->o.arg, &event)) finish_texts(r, HEARTH_FINISH_STOPPED, NULL);
}

static void learn(struct hearth_engine *g, double ns) { g->text_ns = g->text_ns > 0 ? 0.75 * g->text_ns + 0.25 * ns : ns; }

/* The next part of a text that is longer than a batch may be. */
static void part_step(struct hearth_engine *g, size_t limit)
{
    struct err err = { 0 };
    struct hearth_request *r = g->in_parts;
    struct texts *x = &r->texts;
    struct hearth_model *m = g->m;
    const struct embed_text t = { &x->item[x->next], &x->o, r->o.adapters ? &r->adaption.set : &m->adaption.set };
    const size_t before = g->part_at.at;
    lock_take(&m->lock);
    engine_adapt_room(m, &r->adaption);
    uint64_t start = os_now_ns();
    int rc = embed_run_part(m, &x->kind, &g->room, &t, &g->part_at, limit, &err);
    double ns = (double)(os_now_ns() - start);
    lock_give(&m->lock);
    if (rc == 0) learn(g, ns / (double)(g->part_at.at - before));
    if (rc == 0 && g->part_at.at < embed_used(&x->kind, t.item)) return;
    embed_part_release(&g->part_at);
    g->in_parts = NULL;
    x->taken = 1;
    part_done(r, &err);
}

void texts_step(struct hearth_engine *g)
{
    struct err err = { 0 };
    const size_t limit = g->n_run ? sched_budget(g, g->text_ns) : EMBED_TOKENS;
    size_t T = 0, at = 0, parts = g->in_parts ? 0 : gather(g, limit);
    struct hearth_model *m = g->m;
    if (parts == 1 && g->part[0]->texts.taken == 1 && tokens_of(g->part[0]) > limit && !m->h.bidirectional)
        g->in_parts = g->part[0];
    if (g->in_parts) {
        part_step(g, limit);
        return;
    }
    if (!parts) return;
    for (size_t i = 0; i < parts; i++) {
        at += g->part[i]->texts.taken;
        T += tokens_of(g->part[i]);
    }
    lock_take(&m->lock);
    for (size_t i = 0; i < parts; i++) engine_adapt_room(m, &g->part[i]->adaption);
    uint64_t start = os_now_ns();
    int rc = embed_run(m, &g->part[0]->texts.kind, &g->room, g->text, at, &err);
    double ns = (double)(os_now_ns() - start) / (double)T;
    lock_give(&m->lock);
    if (rc == 0) learn(g, ns);
    at = 0;
    for (size_t i = 0; i < parts; i++) {
        struct hearth_request *r = g->part[i];
        size_t n = r->texts.taken;
        struct err own = err;
        if (rc < 0 && parts > 1) {            /* what one asks for must not end the others */
            own = (struct err){ 0 };
            lock_take(&m->lock);
            embed_run(m, &r->texts.kind, &g->room, g->text + at, n, &own);
            lock_give(&m->lock);
        }
        at += n;
        part_done(r, &own);
    }
}

/* Copies the texts; their vectors go where the caller says. */
static int copy_texts(struct texts *x, const struct hearth_embed_item *items, size_t n, struct err *err)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        if (items[i].n > UINT32_MAX - total)
            return err_set(err, ERR_LIMIT, "texts of more than %u tokens together", UINT32_MAX);
        total += items[i].n;
    }
    x->item = mem_new_array(struct hearth_embed_item, n ? n : 1);
    x->ids = mem_new_array(int32_t, total ? total : 1);
    if (!x->item || !x->ids) return no_memory(err);
    x->n = n;
    total = 0;
    for (size_t i = 0; i < n; i++) {
        x->item[i] = items[i];
        x->item[i].ids = x->ids + total;
        if (items[i].n) memcpy(x->ids + total, items[i].ids, items[i].n * sizeof *x->ids);
        total += items[i].n;
    }
    return 0;
}

static int make_texts(struct hearth_request *r, const struct hearth_embed_item *items, size_t n,
                      const struct hearth_embed_options *o, struct err *err)
{
    struct texts *x = &r->texts;
    hearth_embed_defaults(&x->o);
    if (o) x->o = *o;
    if (!n) return err_set(err, ERR_ARG, "there is no text to embed");
    int rc = embed_kind_of(r->g->m, &x->o, &x->kind, err);
    if (rc == 0) rc = copy_texts(x, items, n, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = embed_check(r->g->m, &x->kind, &(struct embed_text){ .item = &x->item[i], .o = &x->o }, i + 1, err);
    return rc;
}

int hearth_embed_submit(struct hearth_request **out, struct hearth_engine *g, const struct hearth_embed_request *o,
                        struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct hearth_request *r = NULL;
    struct hearth_request_options common = { .priority = o->priority, .deadline_ms = o->deadline_ms, .event = o->event,
                                             .arg = o->arg, .adapters = o->adapters, .n_adapters = o->n_adapters };
    *out = NULL;
    int rc = request_new(&r, g, REQUEST_EMBED, &common, err);
    if (rc == 0) rc = make_texts(r, o->items, o->n, o->options, err);
    if (rc == 0) return request_enqueue(out, r, err);
    if (r) request_drop(r);
    return rc;
}

/* ---- questions ---- */

bool question_next(struct stream *x)
{
    struct questions *q = &x->r->questions;
    if (q->next == q->n) {
        stream_end(x, HEARTH_FINISH_END, -1, NULL);
        return false;
    }
    x->question = q->next++;
    x->n_text = (uint32_t)(q->at[x->question + 1] - q->at[x->question]);
    memcpy(x->text, q->ids + q->at[x->question], x->n_text * sizeof *x->text);
    x->begun = x->ready = false;
    return true;
}

void question_answer(struct stream *x)
{
    struct hearth_request *r = x->r;
    struct questions *q = &r->questions;
    const float *z = x->s.logits;
    r->scores[x->question] = rank_score(&r->rank, z[q->yes] - z[q->no]);
    q->done++;
    lock_take(&r->g->lock);
    r->g->stats.n_texts++;
    lock_give(&r->g->lock);
    struct hearth_event event = stream_event(x, -1);
    if (q->done < q->n && r->o.event && !r->o.event(r->o.arg, &event)) stream_end(x, HEARTH_FINISH_STOPPED, -1, NULL);
    else question_next(x);
}

/* All documents as prompts; *longest of them. */
static int make_questions(struct hearth_request *r, struct rank *rank, const char *const *documents, size_t n,
                          uint32_t *longest, struct err *err)
{
    struct questions *q = &r->questions;
    struct ids all = { 0 };
    q->at = mem_new_array(size_t, n + 1);
    if (!q->at) return no_memory(err);
    q->n = n;
    q->yes = rank->yes;
    q->no = rank->no;
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = rank_join(rank, documents[i], err);
        for (size_t k = 0; rc == 0 && k < rank->ids.n; k++) ids_push(&all, rank->ids.id[k]);
        if (rc == 0 && all.n > UINT32_MAX) rc = err_set(err, ERR_LIMIT, "documents of more than %u tokens together", UINT32_MAX);
        if (rank->ids.n > *longest) *longest = (uint32_t)rank->ids.n;
        q->at[i + 1] = all.n;
    }
    if (rc == 0 && all.bad) rc = no_memory(err);
    q->ids = all.id;
    return rc;
}

/* A classifier's documents as texts. */
static int make_pairs(struct hearth_request *r, struct rank *rank, const char *const *documents, size_t n, struct err *err)
{
    struct hearth_embed_item *item = mem_new_array(struct hearth_embed_item, n);
    struct ids all = { 0 };
    const struct hearth_embed_options o = { .pooling = HEARTH_POOL_RANK };
    int rc = item ? 0 : no_memory(err);
    r->texts.pair = mem_new(n, 2 * sizeof *r->texts.pair);
    if (!r->texts.pair) rc = no_memory(err);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        rc = rank_join(rank, documents[i], err);
        for (size_t k = 0; rc == 0 && k < rank->ids.n; k++) ids_push(&all, rank->ids.id[k]);
        if (rc == 0 && all.n > UINT32_MAX) rc = err_set(err, ERR_LIMIT, "documents of more than %u tokens together", UINT32_MAX);
        item[i] = (struct hearth_embed_item){ .n = rank->ids.n, .second = rank->pair ? rank->head.n : 0,
                                              .out = r->texts.pair + 2 * i };
    }
    if (rc == 0 && all.bad) rc = no_memory(err);
    for (size_t i = 0, at = 0; rc == 0 && i < n; at += item[i++].n) item[i].ids = all.id + at;
    if (rc == 0) rc = make_texts(r, item, n, &o, err);
    mem_free(item);
    ids_release(&all);
    return rc;
}

enum { MOST_AT_ONCE = 8 };

int hearth_rerank_submit(struct hearth_request **out, struct hearth_engine *g, const struct hearth_rerank_request *o,
                         struct hearth_error *e)
{
    static const struct hearth_rerank_options none;
    struct err *err = err_of(e);
    struct hearth_request *r = NULL;
    bool classifies = engine_n_rank(g->m) > 0;
    uint32_t longest = 0, slots = g->o.max_running < MOST_AT_ONCE ? g->o.max_running : MOST_AT_ONCE;
    struct hearth_request_options common = { .priority = o->priority, .user = o->user, .deadline_ms = o->deadline_ms,
                                             .event = o->event, .arg = o->arg, .no_cache = true,
                                             .adapters = o->adapters, .n_adapters = o->n_adapters,
                                             .n_completions = o->n < slots ? (uint32_t)o->n : slots };
    struct rank rank = { .m = g->m, .o = o->options ? o->options : &none, .query = o->query };
    *out = NULL;
    if (!o->n) return err_set(err, ERR_ARG, "there is no document to rank");
    int rc = rank_open(&rank, err);
    if (rc == 0) rc = request_new(&r, g, classifies ? REQUEST_EMBED : REQUEST_SCORE, &common, err);
    if (rc == 0) {
        r->rank.logits = rank.o->logits;
        r->scores = o->scores;
        rc = classifies ? make_pairs(r, &rank, o->documents, o->n, err)
                        : make_questions(r, &rank, o->documents, o->n, &longest, err);
    }
    if (rc == 0 && !classifies) rc = request_streams(r, longest, err);
    rank_release(&rank);
    if (rc == 0) return request_enqueue(out, r, err);
    if (r) request_drop(r);
    return rc;
}
