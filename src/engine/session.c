/* session.c - one timeline of tokens: its KV cache, its logits, and evaluation in batches. */
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"

static const uint32_t bucket_T[N_BUCKET] = { 1, 8, 64, MAX_BATCH, 2048, 8192, MAX_TEXT };

int engine_plan(struct hearth_model *m, struct variant *v, uint32_t T, struct plan **out, struct err *err)
{
    int b = 0;
    while (bucket_T[b] < T) b++;
    if (!v->plan[b]) {
        struct plan *p;
        uint32_t n_out = bucket_T[b] < MAX_OUT || v->all_rows ? bucket_T[b] : MAX_OUT;
        int rc = plan_compile(&p, v->graph, m->ops->target, bucket_T[b], n_out, err);
        if (rc < 0) return rc;
        if ((rc = m->ops->compile(m->device, p, err)) < 0) {
            plan_close(p);
            return rc;
        }
        v->plan[b] = p;
    }
    *out = v->plan[b];
    return 0;
}

/* ---- opening ---- */

static uint32_t default_ctx(const struct hearth_model *m)
{
    uint32_t n = m->h.n_ctx_train && m->h.n_ctx_train < 4096 ? m->h.n_ctx_train : 4096;
    return m->h.n_position && m->h.n_position < n ? m->h.n_position : n;
}

static uint64_t kv_size(const struct hearth_model *m, uint32_t n_ctx, int type)
{
    uint64_t pages = ((uint64_t)n_ctx + KV_PAGE - 1) / KV_PAGE;
    return pages * kv_page_layout(m->variant[V_TEXT].graph->kv, m->h.n_layer, type, NULL, NULL);
}

uint64_t hearth_session_bytes(const struct hearth_model *m, uint32_t n_ctx, int kv_type)
{
    if (!n_ctx) n_ctx = default_ctx(m);
    uint64_t bytes = kv_size(m, n_ctx, kv_type) + (uint64_t)m->h.n_vocab * 4 + (uint64_t)n_ctx * 4;
    bytes += 2 * (uint64_t)m->variant[V_TEXT].graph->n_state * sizeof(float);
    struct plan *p;
    if (plan_compile(&p, m->variant[V_TEXT].graph, m->ops->target, MAX_BATCH, MAX_OUT, NULL) == 0) {
        bytes += p->arena_bytes;
        plan_close(p);
    }
    return bytes;
}

/* The page pointers of all layers: [n_layer][n_pages] for keys, then for values. */
static int open_pages(struct hearth_session *s, struct err *err)
{
    const struct graph *g = s->variant->graph;
    uint32_t L = g->n_layer, n = s->view.n_pages;
    size_t *k_at = mem_new_array(size_t, L), *v_at = mem_new_array(size_t, L);
    s->pages = mem_new((size_t)L * 2, n * sizeof *s->pages);
    if (k_at && v_at && s->pages) {
        size_t page = kv_page_layout(g->kv, L, s->view.type, k_at, v_at);
        for (uint32_t l = 0; l < L; l++)
            for (uint32_t p = 0; p < n; p++) {
                s->pages[(size_t)l * n + p] = s->kv + p * page + k_at[l];
                s->pages[(size_t)(L + l) * n + p] = s->kv + p * page + v_at[l];
            }
        s->view.k_page = s->pages;
        s->view.v_page = s->pages + (size_t)L * n;
    }
    mem_free(k_at);
    mem_free(v_at);
    return s->view.k_page ? 0 : err_set(err, ERR_NOMEM, "out of memory opening a session");
}

static int check_memory(const struct hearth_session *s, struct err *err)
{
    uint64_t free = 0, total = 0;
    s->m->ops->memory(s->m->device, &free, &total);
    if (!free || s->kv_bytes + 2 * s->state_bytes < free) return 0;
    return err_set(err, ERR_LIMIT,
                   "%s: a context of %u tokens needs %.2f GB of memory for the KV cache, but only %.2f GB are free; use a "
                   "smaller context (--ctx)", gguf_path(s->m->gguf), s->n_ctx, (double)s->kv_bytes / 1e9, (double)free / 1e9);
}

static int open_memory(struct hearth_session *s, struct err *err)
{
    struct hearth_model *m = s->m;
    s->view.n_pages = (s->n_ctx + KV_PAGE - 1) / KV_PAGE;
    s->kv_bytes = (size_t)kv_size(m, s->n_ctx, s->view.type);
    s->state_bytes = (size_t)s->variant->graph->n_state * sizeof(float);
    int rc = check_memory(s, err);
    if (rc < 0) return rc;
    s->kv = m->ops->alloc(m->device, s->kv_bytes ? s->kv_bytes : 1);
    if (s->state_bytes) {
        s->view.state = m->ops->alloc(m->device, s->state_bytes);
        s->view.saved = m->ops->alloc(m->device, s->state_bytes);
    }
    s->ids = mem_new_array(int32_t, s->n_ctx);
    s->logits = mem_new((size_t)s->n_logits * m->h.n_vocab, sizeof *s->logits);
    if (!s->kv || !s->ids || !s->logits || (s->state_bytes && (!s->view.state || !s->view.saved)))
        return err_set(err, ERR_NOMEM, "%s: out of memory for a context of %u tokens (%.2f GB); use a smaller one (--ctx)",
                       gguf_path(m->gguf), s->n_ctx, (double)s->kv_bytes / 1e9);
    return open_pages(s, err);
}

int hearth_session_open(struct hearth_session **out, struct hearth_model *m, const struct hearth_session_options *o,
                        struct hearth_error *e)
{
    static const struct hearth_session_options none;
    struct err *err = err_of(e);
    *out = NULL;
    if (!o) o = &none;
    if (m->h.bidirectional)
        return err_set(err, ERR_UNSUPPORTED, "%s: this model makes embeddings, not text (hearth embed)", gguf_path(m->gguf));
    if (o->n_batch > MAX_BATCH)
        return err_set(err, ERR_ARG, "a prefill chunk of %u tokens is too large; at most %d", o->n_batch, MAX_BATCH);
    if (o->kv_type != HEARTH_KV_F16 && o->kv_type != HEARTH_KV_F32)
        return err_set(err, ERR_ARG, "unknown type %d for the KV cache", o->kv_type);
    if (m->h.n_position && o->n_ctx > m->h.n_position)
        return err_set(err, ERR_ARG, "a context of %u tokens is too large: %s has learned %u positions", o->n_ctx,
                       gguf_path(m->gguf), m->h.n_position);
    if (o->n_ctx > 1u << 28) return err_set(err, ERR_ARG, "a context of %u tokens is out of reach", o->n_ctx);
    struct hearth_session *s = mem_new(1, sizeof *s);
    if (!s) return err_set(err, ERR_NOMEM, "out of memory opening a session");
    s->m = m;
    s->n_ctx = o->n_ctx ? o->n_ctx : default_ctx(m);
    s->n_batch = o->n_batch ? o->n_batch : MAX_BATCH;
    s->n_logits = o->n_logits ? o->n_logits : 1;
    if (s->n_logits > s->n_ctx) s->n_logits = s->n_ctx;
    s->view.type = o->kv_type == HEARTH_KV_F32 ? KV_F32 : KV_F16;
    s->progress = o->progress;
    s->progress_arg = o->progress_arg;
    s->variant = &m->variant[m->variant[V_LONG].graph && s->n_ctx > m->h.n_ctx_orig ? V_LONG : V_TEXT];
    int rc = open_memory(s, err);
    struct plan *p;
    lock_take(&m->lock);
    /* Both plans that decoding and prefill need, so that later steps allocate nothing. */
    if (rc == 0) rc = engine_plan(m, s->variant, 1, &p, err);
    if (rc == 0) rc = engine_plan(m, s->variant, s->n_batch, &p, err);
    lock_give(&m->lock);
    if (rc < 0) {
        hearth_session_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void hearth_session_close(struct hearth_session *s)
{
    if (!s) return;
    s->m->ops->release(s->m->device, s->kv, s->kv_bytes ? s->kv_bytes : 1);
    s->m->ops->release(s->m->device, s->view.state, s->state_bytes);
    s->m->ops->release(s->m->device, s->view.saved, s->state_bytes);
    mem_free(s->pages);
    mem_free(s->ids);
    mem_free(s->logits);
    mem_free(s);
}

/* ---- evaluation ---- */

static int check_ids(const struct hearth_session *s, const int32_t *ids, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= s->m->h.n_vocab)
            return err_set(err, ERR_ARG, "token id %d is not in the vocabulary of 0 to %u", ids[i], s->m->h.n_vocab - 1);
    return 0;
}

static int check_item(const struct hearth_batch_item *it, struct err *err)
{
    const struct hearth_session *s = it->session;
    if (it->n > s->n_ctx - s->n)
        return err_set(err, ERR_LIMIT, "%zu tokens do not fit into the context of %u (use a larger one with --ctx)",
                       it->n + s->n, s->n_ctx);
    return check_ids(s, it->ids, it->n, err);
}

/* Adds the next tokens of an item to the batch; stops early where more rows of logits are wanted than a plan has. */
static void fill(struct hearth_model *m, struct params *v, const struct hearth_batch_item *it, size_t *at, uint32_t seq,
                 uint32_t limit)
{
    struct hearth_session *s = it->session;
    while (*at < it->n && v->T < limit) {
        bool wanted = it->n - *at <= s->n_logits;
        if (wanted && v->n_out == MAX_OUT) return;
        if (wanted) {
            m->out_row[v->n_out] = v->T;
            m->out[v->n_out++] = s->logits + (s->n_logits - (it->n - *at)) * (size_t)m->h.n_vocab;
        }
        m->token[v->T] = it->ids[*at];
        m->pos[v->T] = s->n + (int64_t)*at;
        m->seq[v->T++] = seq;
        ++*at;
    }
}

/* A small batch uses a plan whose room for logits may be less than MAX_OUT, never less than its tokens. */
static int run_batch(struct hearth_model *m, struct variant *variant, const struct params *v, struct err *err)
{
    struct plan *p;
    int rc = engine_plan(m, variant, v->T, &p, err);
    if (rc == 0) m->ops->run(m->device, p, v);
    return rc;
}

static void commit(const struct hearth_batch_item *it, size_t from, size_t to)
{
    struct hearth_session *s = it->session;
    memcpy(s->ids + s->n + from, it->ids + from, (to - from) * sizeof *s->ids);
}

/* Items are sessions of one model and one variant, at most MAX_BATCH of them. */
static int evaluate(const struct hearth_batch_item *item, size_t n_items, struct err *err)
{
    struct hearth_session *first = item[0].session;
    struct hearth_model *m = first->m;
    size_t total = 0, done = 0;
    for (size_t i = 0; i < n_items; i++) total += item[i].n;
    size_t i = 0, at = 0;
    int rc = 0;
    while (i < n_items && rc == 0) {
        struct params v = { .token = m->token, .pos = m->pos, .seq = m->seq, .kv = m->kv, .out_row = m->out_row,
                            .logits = m->out, .observer = m->observer };
        size_t i0 = i, at0 = at;
        uint32_t seq = 0;
        for (; i < n_items; i++, at = 0, seq++) {
            m->kv[seq] = item[i].session->view;
            fill(m, &v, &item[i], &at, seq, first->n_batch);
            if (at < item[i].n) break;
        }
        if ((rc = run_batch(m, first->variant, &v, err)) < 0) {
            i = i0;
            at = at0;
            break;
        }
        for (size_t k = i0; k <= i && k < n_items; k++) commit(&item[k], k == i0 ? at0 : 0, k == i ? at : item[k].n);
        done += v.T;
        if (first->progress && done < total && !first->progress(first->progress_arg, done, total))
            rc = err_set(err, ERR_CANCELLED, "stopped after %zu of %zu tokens", done, total);
    }
    for (size_t k = 0; k < n_items && k <= i; k++) {
        struct hearth_session *s = item[k].session;
        size_t n = k < i ? item[k].n : rc < 0 ? at : item[k].n;
        s->n += (uint32_t)n;
        s->n_rows = n < item[k].n ? 0 : n < s->n_logits ? (uint32_t)n : s->n_logits;
    }
    return rc;
}

int hearth_batch_append(const struct hearth_batch_item *items, size_t n_items, struct hearth_error *e)
{
    struct err *err = err_of(e);
    if (!n_items) return 0;
    if (n_items > MAX_BATCH) return err_set(err, ERR_ARG, "at most %d sessions can be evaluated at once", MAX_BATCH);
    struct hearth_session *first = items[0].session;
    for (size_t i = 0; i < n_items; i++) {
        const struct hearth_session *s = items[i].session;
        if (s->m != first->m || s->variant != first->variant)
            return err_set(err, ERR_ARG, "sessions of one batch must belong to one model and have the same kind of context");
        if (!items[i].n) return err_set(err, ERR_ARG, "nothing to append to session %zu of the batch", i);
        for (size_t k = 0; k < i; k++)
            if (items[k].session == s) return err_set(err, ERR_ARG, "a session is in the batch twice");
        int rc = check_item(&items[i], err);
        if (rc < 0) return rc;
    }
    lock_take(&first->m->lock);
    int rc = evaluate(items, n_items, err);
    lock_give(&first->m->lock);
    return rc;
}

int hearth_session_append(struct hearth_session *s, const int32_t *ids, size_t n, struct hearth_error *e)
{
    if (!n) return 0;
    return hearth_batch_append(&(struct hearth_batch_item){ s, ids, n }, 1, e);
}

/* A recurrent state cannot go back: a session that must goes on from the saved state or from the beginning.  What is saved is
 * the state some tokens before the end of a sync, since the next text often leaves the last one near its end. */
enum { SAVE_BEFORE_END = 32 };

/* How many of the `common` first tokens stay evaluated; the saved state is brought back when it is needed. */
static size_t rewind_to(struct hearth_session *s, size_t common, size_t keep)
{
    size_t same = common < keep ? common : keep;
    if (s->n_saved > common) s->n_saved = 0;
    if (!s->state_bytes || same == s->n) return same;
    if (!s->n_saved || s->n_saved > same) return 0;
    memcpy(s->view.state, s->view.saved, s->state_bytes);
    return s->n_saved;
}

int hearth_session_sync(struct hearth_session *s, const int32_t *ids, size_t n, struct hearth_error *e)
{
    if (!n) return err_set(err_of(e), ERR_ARG, "a session cannot be empty");
    if (n > s->n_ctx)
        return err_set(err_of(e), ERR_LIMIT, "%zu tokens do not fit into the context of %u (use a larger one with --ctx)", n,
                       s->n_ctx);
    size_t common = 0, keep = n > s->n_logits ? n - s->n_logits : 0;     /* rows that must be there are evaluated again */
    while (common < s->n && common < n && s->ids[common] == ids[common]) common++;
    int rc = check_ids(s, ids + common, n - common, err_of(e));
    if (rc < 0) return rc;
    size_t from = rewind_to(s, common, keep);
    s->n = (uint32_t)from;
    if (s->state_bytes && keep > from + SAVE_BEFORE_END) s->view.save_at = (int64_t)keep - SAVE_BEFORE_END;
    rc = hearth_batch_append(&(struct hearth_batch_item){ s, ids + from, n - from }, 1, e);
    if (s->view.save_at && s->n >= s->view.save_at) s->n_saved = (uint32_t)s->view.save_at;
    s->view.save_at = 0;
    return rc;
}

const int32_t *hearth_session_ids(const struct hearth_session *s, size_t *n)
{
    *n = s->n;
    return s->ids;
}

uint32_t hearth_session_n_ctx(const struct hearth_session *s) { return s->n_ctx; }

const float *hearth_session_logits(const struct hearth_session *s)
{
    return s->n_rows ? s->logits + (size_t)(s->n_logits - 1) * s->m->h.n_vocab : NULL;
}

const float *hearth_session_logits_rows(const struct hearth_session *s, size_t *n)
{
    *n = s->n_rows;
    return s->n_rows ? s->logits + (size_t)(s->n_logits - s->n_rows) * s->m->h.n_vocab : NULL;
}
