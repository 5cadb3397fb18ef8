/* session.c - one timeline of tokens: its logits, and evaluation in batches. */
#include <string.h>

#include "base/mem.h"
#include "engine/engine.h"

/* ---- what a session is to be ---- */

uint32_t engine_default_ctx(const struct hearth_model *m)
{
    uint32_t n = m->h.n_ctx_train && m->h.n_ctx_train < 4096 ? m->h.n_ctx_train : 4096;
    return m->h.n_position && m->h.n_position < n ? m->h.n_position : n;
}

static int check_options(const struct hearth_model *m, const struct hearth_session_options *o, struct err *err)
{
    if (m->h.bidirectional)
        return err_set(err, ERR_UNSUPPORTED, "%s: this model makes embeddings, not text (hearth embed)", gguf_path(m->gguf));
    if (o->n_batch > MAX_BATCH)
        return err_set(err, ERR_ARG, "a prefill chunk of %u tokens is too large; at most %d", o->n_batch, MAX_BATCH);
    if (m->h.n_position && o->n_ctx > m->h.n_position)
        return err_set(err, ERR_ARG, "a context of %u tokens is too large: %s has learned %u positions", o->n_ctx,
                       gguf_path(m->gguf), m->h.n_position);
    if (o->n_ctx > 1u << 28) return err_set(err, ERR_ARG, "a context of %u tokens is out of reach", o->n_ctx);
    return 0;
}

bool engine_kv_types(int k, int v, enum dtype out[2])
{
    static const enum dtype type[] = { DT_F16, DT_F16, DT_F32, DT_BF16, DT_Q8_0, DT_Q4_0 };
    enum { N = sizeof type / sizeof *type };
    if (k < 0 || k >= N || v < 0 || v >= N) return false;
    out[0] = type[k];
    out[1] = v == HEARTH_KV_AUTO ? type[k] : type[v];
    return true;
}

int engine_seq_options(const struct hearth_model *m, const struct hearth_session_options *o, struct seq_options *out,
                       struct err *err)
{
    enum dtype type[2];
    int rc = check_options(m, o, err);
    if (rc < 0) return rc;
    if (!engine_kv_types(o->kv_type, o->kv_type_v, type))
        return err_set(err, ERR_ARG, "unknown type %d or %d for the KV cache", o->kv_type, o->kv_type_v);
    uint32_t n_ctx = o->n_ctx ? o->n_ctx : engine_default_ctx(m);
    bool is_long = m->variant[V_LONG].graph && n_ctx > m->h.n_ctx_orig;
    *out = (struct seq_options){ .n_max = n_ctx, .alone = o->no_cache,
                                 .key = { .salt = o->cache_salt, .type = { (uint32_t)type[0], (uint32_t)type[1] },
                                          .variant = is_long ? V_LONG : V_TEXT } };
    return 0;
}

uint64_t hearth_session_bytes(struct hearth_model *m, const struct hearth_session_options *o)
{
    static const struct hearth_session_options none;
    struct seq_options q;
    if (!o) o = &none;
    if (engine_seq_options(m, o, &q, NULL) < 0) return 0;
    enum dtype type[2] = { (enum dtype)q.key.type[0], (enum dtype)q.key.type[1] };
    const struct kv_layout *l = kv_layout_of(&m->pool, type);
    uint64_t bytes = (uint64_t)m->h.n_vocab * 4 * (o->n_logits ? o->n_logits : 1) + (uint64_t)q.n_max * 4;
    if (l) bytes += kv_bytes(&m->pool, l, q.n_max, o->n_batch ? o->n_batch : MAX_BATCH);
    struct plan *p;
    if (plan_compile(&p, m->variant[V_TEXT].graph, m->ops->target, (struct plan_size){ MAX_BATCH, MAX_OUT, 0 }, NULL) == 0) {
        bytes += p->arena_bytes;
        plan_close(p);
    }
    return bytes;
}

/* ---- opening ---- */

static int check_memory(const struct hearth_session *s, struct err *err)
{
    const struct kv_pool *p = &s->m->pool;
    uint64_t need = kv_bytes(p, s->q.layout, s->q.n_max, s->n_batch);
    if (need <= p->limit) return 0;
    return err_set(err, ERR_LIMIT,
                   "%s: a context of %u tokens needs %.2f GB of memory for the KV cache, but it may have only %.2f GB; use a "
                   "smaller context (--ctx) or smaller types (--kv-type q8_0)", gguf_path(s->m->gguf), s->q.n_max,
                   (double)need / 1e9, (double)p->limit / 1e9);
}

static int open_session(struct hearth_session *s, const struct seq_options *q, struct err *err)
{
    struct hearth_model *m = s->m;
    struct seq_options with = *q;
    lock_take(&m->lock);
    int rc = engine_adapt_copy(&s->adaption, &m->adaption, err);
    lock_give(&m->lock);
    if (rc < 0) return rc;
    with.key.adapters = s->adaption.key;
    rc = seq_open(&s->q, &m->pool, &with, err);
    if (rc == 0) rc = check_memory(s, err);
    if (rc == 0 && !(s->logits = mem_new((size_t)s->n_logits * m->h.n_vocab, sizeof *s->logits)))
        rc = err_set(err, ERR_NOMEM, "%s: out of memory for %u rows of logits", gguf_path(m->gguf), s->n_logits);
    lock_take(&m->lock);
    if (rc == 0) rc = engine_adapt_plans(m, s, &s->adaption, err);
    lock_give(&m->lock);
    return rc;
}

int hearth_session_open(struct hearth_session **out, struct hearth_model *m, const struct hearth_session_options *o,
                        struct hearth_error *e)
{
    static const struct hearth_session_options none;
    struct err *err = err_of(e);
    struct seq_options q;
    *out = NULL;
    if (!o) o = &none;
    int rc = engine_seq_options(m, o, &q, err);
    if (rc < 0) return rc;
    struct hearth_session *s = mem_new(1, sizeof *s);
    if (!s) return err_set(err, ERR_NOMEM, "out of memory opening a session");
    s->m = m;
    s->n_batch = o->n_batch ? o->n_batch : MAX_BATCH;
    s->n_logits = o->n_logits ? o->n_logits : 1;
    if (s->n_logits > q.n_max) s->n_logits = q.n_max;
    s->progress = o->progress;
    s->progress_arg = o->progress_arg;
    s->variant = &m->variant[q.key.variant];
    if ((rc = open_session(s, &q, err)) < 0) {
        hearth_session_close(s);
        return rc;
    }
    *out = s;
    return 0;
}

void hearth_session_close(struct hearth_session *s)
{
    if (!s) return;
    seq_release(&s->q);
    mem_free(s->logits);
    engine_adapt_release(&s->adaption);
    mem_free(s);
}

/* ---- evaluation ---- */

int engine_check_ids(const struct hearth_model *m, const int32_t *ids, size_t n, struct err *err)
{
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (uint32_t)ids[i] >= m->h.n_vocab)
            return err_set(err, ERR_ARG, "token id %d is not in the vocabulary of 0 to %u", ids[i], m->h.n_vocab - 1);
    return 0;
}

static int too_long(const struct hearth_session *s, size_t n, struct err *err)
{
    return err_set(err, ERR_LIMIT, "%zu tokens do not fit into the context of %u (use a larger one with --ctx)", n, s->q.n_max);
}

static int check_item(const struct hearth_batch_item *it, struct err *err)
{
    const struct hearth_session *s = it->session;
    if (it->n > s->q.n_max - s->q.n) return too_long(s, it->n + s->q.n, err);
    return engine_check_ids(s->m, it->ids, it->n, err);
}

/* Items are sessions of one model and one variant, at most MAX_BATCH of them; the model's lock is held. */
static int evaluate(const struct hearth_batch_item *item, size_t n_items, uint32_t save_at, struct err *err)
{
    struct hearth_session *first = item[0].session;
    struct hearth_model *m = first->m;
    size_t total = 0, done = 0, i = 0;
    for (size_t k = 0; k < n_items; k++) {
        struct hearth_session *s = item[k].session;
        m->item[k] = (struct eval_item){ .q = &s->q, .ids = item[k].ids, .n = item[k].n, .logits = s->logits,
                                         .n_logits = s->n_logits, .save_at = save_at, .adapt = &s->adaption.set };
        if (item[k].n <= s->n_logits) m->item[k].n_guess = (uint32_t)item[k].n - 1;       /* for hearth_session_drop */
        total += item[k].n;
    }
    int rc = 0;
    while (i < n_items && rc == 0) {
        int T = engine_eval(m, first->variant, m->item + i, n_items - i, first->n_batch, err);
        if (T < 0) rc = T;
        else done += (size_t)T;
        while (i < n_items && m->item[i].at == m->item[i].n) i++;
        if (rc == 0 && first->progress && done < total && !first->progress(first->progress_arg, done, total))
            rc = err_set(err, ERR_CANCELLED, "stopped after %zu of %zu tokens", done, total);
    }
    for (size_t k = 0; k < n_items; k++) {
        struct hearth_session *s = item[k].session;
        if (!m->item[k].at) continue;                 /* what it had stays valid */
        s->n_rows = m->item[k].at < item[k].n ? 0 : item[k].n < s->n_logits ? (uint32_t)item[k].n : s->n_logits;
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
    int rc = evaluate(items, n_items, 0, err);
    lock_give(&first->m->lock);
    return rc;
}

int hearth_session_append(struct hearth_session *s, const int32_t *ids, size_t n, struct hearth_error *e)
{
    if (!n) return 0;
    return hearth_batch_append(&(struct hearth_batch_item){ s, ids, n }, 1, e);
}

int hearth_session_sync(struct hearth_session *s, const int32_t *ids, size_t n, struct hearth_error *e)
{
    struct err *err = err_of(e);
    if (!n) return err_set(err, ERR_ARG, "a session cannot be empty");
    if (n > s->q.n_max) return too_long(s, n, err);
    int rc = engine_check_ids(s->m, ids, n, err);
    if (rc < 0) return rc;
    uint32_t keep = n > s->n_logits ? (uint32_t)n - s->n_logits : 0;      /* rows that must be there are evaluated again */
    s->n_rows = 0;
    if ((rc = seq_begin(&s->q, ids, keep, err)) < 0) return rc;
    s->n_kept = s->q.n;
    const struct hearth_batch_item item = { s, ids + s->q.n, n - s->q.n };
    lock_take(&s->m->lock);
    rc = evaluate(&item, 1, seq_save_at(&s->q, keep), err);
    lock_give(&s->m->lock);
    if (rc == 0) seq_publish(&s->q);
    return rc;
}

int hearth_session_drop(struct hearth_session *s, size_t n, struct hearth_error *e)
{
    if (n > s->q.n) return err_set(err_of(e), ERR_ARG, "%zu tokens cannot be dropped from a text of %u", n, s->q.n);
    if (!n) return 0;
    const uint32_t to = s->q.n - (uint32_t)n;
    if (!seq_drop(&s->q, (uint32_t)n))
        return err_set(err_of(e), ERR_UNSUPPORTED, "%s: this model cannot go back by %zu tokens", gguf_path(s->m->gguf), n);
    const struct hearth_batch_item again = { s, s->q.ids + s->q.n, to - s->q.n };
    lock_take(&s->m->lock);
    int rc = again.n ? evaluate(&again, 1, 0, err_of(e)) : 0;
    lock_give(&s->m->lock);
    s->n_rows = 0;
    return rc;
}

const int32_t *hearth_session_ids(const struct hearth_session *s, size_t *n)
{
    *n = s->q.n;
    return s->q.ids;
}

uint32_t hearth_session_n_ctx(const struct hearth_session *s) { return s->q.n_max; }
uint32_t hearth_session_n_kept(const struct hearth_session *s) { return s->n_kept; }

const float *hearth_session_logits(const struct hearth_session *s)
{
    return s->n_rows ? s->logits + (size_t)(s->n_logits - 1) * s->m->h.n_vocab : NULL;
}

const float *hearth_session_logits_rows(const struct hearth_session *s, size_t *n)
{
    *n = s->n_rows;
    return s->n_rows ? s->logits + (size_t)(s->n_logits - s->n_rows) * s->m->h.n_vocab : NULL;
}
