/* eval.c - one batch: tokens of some sequences through the plan of their size. */
#include "base/mem.h"
#include "engine/engine.h"

static const uint32_t bucket_T[N_BUCKET] = { 1, 8, 64, MAX_BATCH, 2048, 8192, MAX_TEXT };

int engine_plan(struct hearth_model *m, struct variant *v, uint32_t T, bool adapted, struct plan **out, struct err *err)
{
    int b = 0;
    while (bucket_T[b] < T) b++;
    struct plan **at = adapted ? &v->adapted[b] : &v->plan[b];
    if (!*at) {
        const int64_t before = mem_thread_bytes();
        struct plan *p;
        uint32_t n_out = bucket_T[b] < MAX_OUT || v->all_rows ? bucket_T[b] : MAX_OUT;
        struct plan_size size = { bucket_T[b], n_out, adapted ? m->adapt_rank : 0 };
        int rc = plan_compile(&p, v->graph, m->ops->target, size, err);
        if (rc < 0) return rc;
        if ((rc = m->ops->compile(m->device, p, err)) < 0) {
            plan_close(p);
            return rc;
        }
        *at = p;
        engine_heap(m, before);
    }
    *out = *at;
    return 0;
}

int engine_adapt_plans(struct hearth_model *m, const struct hearth_session *s, const struct adaption *d, struct err *err)
{
    struct plan *p;
    engine_adapt_room(m, d);
    int rc = engine_plan(m, s->variant, 1, d->set.n > 0, &p, err);
    return rc < 0 ? rc : engine_plan(m, s->variant, s->n_batch, d->set.n > 0, &p, err);
}

/* Adds the next tokens of an item to the batch; stops early where more rows of logits are wanted than a plan has. */
static void fill(struct hearth_model *m, struct params *v, struct eval_item *it, uint32_t seq, uint32_t limit)
{
    for (it->T = 0; it->at + it->T < it->n && v->T < limit; it->T++) {
        const size_t i = it->at + it->T, left = it->n - i;
        bool wanted = left <= it->n_logits;
        if (wanted && v->n_out == MAX_OUT) return;
        if (wanted) {
            m->out_row[v->n_out] = v->T;
            m->out[v->n_out++] = it->logits + (it->n_logits - left) * (size_t)m->h.n_vocab;
        }
        m->token[v->T] = it->ids[i];
        m->pos[v->T] = it->q->n + (int64_t)it->T;
        m->seq[v->T++] = seq;
    }
}

static int make_room(struct eval_item *it, struct err *err)
{
    const size_t sure = it->n - it->at - it->n_guess;         /* more than there are behind them: not in this batch */
    const struct seq_places at = { .saved = it->save_at, .back = it->n_guess && sure <= it->T ? it->q->n + (uint32_t)sure : 0 };
    return seq_room(it->q, it->T, &at, err);
}

/* A state that many tokens led to is worth keeping as soon as it is there. */
enum { PUBLISH_EVERY = 2048 };

static void advance(struct eval_item *it)
{
    struct seq *q = it->q;
    seq_advance(q, it->ids + it->at, it->T);
    it->at += it->T;
    if (!q->state || !it->save_at || q->n_saved <= q->n_published) return;
    if (q->n_saved == it->save_at || q->n_saved - q->n_published >= PUBLISH_EVERY) seq_publish(q);
}

int engine_guess(struct hearth_model *m, const struct ahead_item *item, uint32_t n, struct err *err)
{
    struct params v = { .T = n, .token = m->token, .pos = m->pos, .seq = m->seq, .kv = m->kv, .n_out = n, .out_row = m->out_row,
                        .logits = m->out, .adapt = m->adapt, .n_adapt = n };
    bool adapted = false;
    for (uint32_t i = 0; i < n; i++) {
        struct seq *q = item[i].q;
        int rc = seq_room(q, item[i].ahead + 1, NULL, err);
        if (rc < 0) return rc;
        m->kv[i] = q->view;
        m->token[i] = item[i].token;
        m->pos[i] = q->n + (int64_t)item[i].ahead;
        m->seq[i] = m->out_row[i] = i;
        m->out[i] = item[i].logits;
        m->adapt[i] = item[i].adapt;
        adapted |= item[i].adapt->n > 0;
    }
    struct plan *p;
    int rc = engine_plan(m, &m->variant[V_NEXT], n, adapted, &p, err);
    if (rc == 0) m->ops->run(m->device, p, &v);
    return rc;
}

int engine_eval(struct hearth_model *m, struct variant *variant, struct eval_item *item, size_t n_items, uint32_t limit,
                struct err *err)
{
    struct params v = { .token = m->token, .pos = m->pos, .seq = m->seq, .kv = m->kv, .out_row = m->out_row, .logits = m->out,
                        .observer = m->observer, .adapt = m->adapt };
    bool adapted = false;
    uint32_t S = 0;
    for (; S < n_items && v.T < limit; S++) {
        fill(m, &v, &item[S], S, limit);
        int rc = item[S].T ? make_room(&item[S], err) : 0;
        if (rc < 0) return rc;
        m->kv[S] = item[S].q->view;
        m->adapt[S] = item[S].adapt;
        adapted |= item[S].T && item[S].adapt->n > 0;
    }
    v.n_adapt = S;
    struct plan *p;
    int rc = engine_plan(m, variant, v.T, adapted, &p, err);
    if (rc < 0) return rc;
    m->ops->run(m->device, p, &v);
    for (uint32_t i = 0; i < S; i++)
        if (item[i].T) advance(&item[i]);
    return (int)v.T;
}
