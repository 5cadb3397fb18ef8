/* embed.c - vectors for texts: hidden states of whole texts, pooled, then the model's head where it has one.
 *
 * A batch holds whole texts, so that attention may look ahead and one pass serves any pooling.  All layers use the same pages of
 * keys and values where a layer reads only what it has just written. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "engine/embed.h"

_Static_assert((int)HEARTH_POOL_RANK == (int)POOL_RANK && (int)HEARTH_POOL_LAST == (int)POOL_LAST, "one numbering");

/* What lives as long as one batch. */
struct batch {
    struct hearth_model *m;
    const struct embed_kind *k;
    struct embed_room *room;
    struct variant *states;
    const struct embed_text *text;
    size_t n;
    size_t used[EMBED_TOKENS];        /* tokens of each text that are evaluated */
    struct embed_part *part;          /* of the one text, or NULL: all are whole ... */
    size_t T;                         /* ... so many tokens of it */
    struct params v;
    float *rows;                      /* [n_out][D] */
    struct arena arena;
};

void hearth_embed_defaults(struct hearth_embed_options *out)
{
    *out = (struct hearth_embed_options){ .pooling = HEARTH_POOL_AUTO, .normalise = true };
}

uint32_t engine_embed_limit(const struct hearth_model *m)
{
    uint32_t n = m->h.n_ctx_train ? m->h.n_ctx_train : MAX_TEXT;
    if (m->h.n_position && m->h.n_position < n) n = m->h.n_position;
    if (m->h.scaling == SCALING_LONGROPE && m->h.n_ctx_orig < n) n = m->h.n_ctx_orig;
    return n < MAX_TEXT ? n : MAX_TEXT;
}

static uint32_t rows_of(const struct hearth_model *m, const char *name)
{
    const struct gguf_tensor *t = gguf_tensor(m->gguf, name);
    return t && t->ne[1] <= 1 << 16 ? (uint32_t)t->ne[1] : 0;
}

uint32_t engine_n_rank(const struct hearth_model *m)
{
    return model_has_dense(m->gguf) ? 0 : rows_of(m, "cls.output.weight");
}

static int pooling_of(const struct hearth_model *m, const struct hearth_embed_options *o)
{
    if (o->pooling >= 0) return o->pooling;
    if (m->h.pooling >= 0) return m->h.pooling;
    return m->h.bidirectional ? POOL_MEAN : POOL_LAST;
}

/* The states' or the head's width, before n_dims. */
static uint32_t full_width(const struct hearth_model *m, int pooling)
{
    if (pooling == POOL_RANK) return engine_n_rank(m);
    return pooling != POOL_NONE && model_has_dense(m->gguf) ? rows_of(m, "dense_3.weight") : m->h.n_embd;
}

uint32_t hearth_embed_width(const struct hearth_model *m, const struct hearth_embed_options *o)
{
    int pooling = pooling_of(m, o);
    uint32_t n = full_width(m, pooling);
    return pooling != POOL_RANK && o->n_dims && o->n_dims < n ? o->n_dims : n;
}

int embed_kind_of(const struct hearth_model *m, const struct hearth_embed_options *o, struct embed_kind *out, struct err *err)
{
    *out = (struct embed_kind){ .pooling = pooling_of(m, o), .limit = engine_embed_limit(m) };
    if (out->pooling > POOL_RANK) return err_set(err, ERR_ARG, "there is no pooling %d", out->pooling);
    out->pool = out->pooling != POOL_RANK ? out->pooling : m->h.rank_pooling ? m->h.rank_pooling
              : m->h.bidirectional ? POOL_CLS : POOL_LAST;
    out->width = full_width(m, out->pooling);
    out->head = out->pooling == POOL_RANK || (out->pooling != POOL_NONE && model_has_dense(m->gguf));
    if (out->width) return 0;
    return err_set(err, ERR_UNSUPPORTED, "%s: has no classifier (tensor cls.output.weight); it cannot rank", gguf_path(m->gguf));
}

size_t embed_used(const struct embed_kind *k, const struct hearth_embed_item *it) { return it->n < k->limit ? it->n : k->limit; }

int embed_check(const struct hearth_model *m, const struct embed_kind *k, const struct embed_text *t, size_t index,
                struct err *err)
{
    const struct hearth_embed_item *it = t->item;
    if (!it->n) return err_set(err, ERR_ARG, "text %zu has no tokens", index);
    if (it->n > k->limit && !t->o->truncate)
        return err_set(err, ERR_LIMIT, "%s: text %zu has %zu tokens, the model takes at most %u; it can be cut (--truncate)",
                       gguf_path(m->gguf), index, it->n, k->limit);
    return engine_check_ids(m, it->ids, it->n, err);
}

/* ---- one batch ---- */

/* Token i of a text that may be cut. */
static int32_t token_at(const struct hearth_model *m, const struct hearth_embed_item *it, size_t i, size_t used)
{
    int32_t last = it->ids[it->n - 1];
    bool close = used < it->n && i + 1 == used && tokenizer_token_kind(m->tokenizer, last) == TOKEN_CONTROL;
    return close ? last : it->ids[i];
}

static bool wanted(int pool, size_t i, size_t used)
{
    return pool == POOL_CLS ? i == 0 : pool == POOL_LAST ? i + 1 == used : true;
}

static size_t layer_bytes(size_t n_kv, size_t width) { return (n_kv * KV_PAGE * width * sizeof(float) + 63) & ~(size_t)63; }

/* Makes *p hold `want` bytes of the device's memory. */
static int reserve(struct hearth_model *m, uint8_t **p, size_t *have, size_t want, struct err *err)
{
    if (want <= *have) return 0;
    m->ops->release(m->device, *p, *have);
    *have = 0;
    while (!(*p = m->ops->alloc(m->device, want)) && budget_reclaim(m->budget, want)) continue;
    if (!*p) return err_set(err, ERR_NOMEM, "%s: out of memory for %zu bytes of keys and values", gguf_path(m->gguf), want);
    *have = want;
    return 0;
}

/* Whether no layer reads keys and values of another. */
static bool layers_keep_apart(const struct graph *g)
{
    int32_t written = -1;
    for (uint32_t i = 0; i < g->n_op; i++) {
        if (g->op[i].kind == OP_KV) written = g->op[i].n[0];
        if (g->op[i].kind == OP_ATTN && g->op[i].n[0] != written) return false;
    }
    return true;
}

/* The caches of the batch's texts. */
static int open_views(struct batch *b, struct err *err)
{
    const struct graph *g = b->states->graph;
    size_t k_bytes = 0, v_bytes = 0, pages = 0, at = 0;
    for (uint32_t l = 0; l < g->n_layer; l++) {
        size_t k = layer_bytes(g->kv[l].n_kv, g->kv[l].dk);
        size_t v = g->kv[l].v_in_k ? 0 : layer_bytes(g->kv[l].n_kv, g->kv[l].dv);
        if (k > k_bytes) k_bytes = k;
        if (v > v_bytes) v_bytes = v;
    }
    for (size_t i = 0; i < b->n; i++) pages += (b->used[i] + KV_PAGE - 1) / KV_PAGE;
    const size_t one = k_bytes + v_bytes, layers = !b->part && layers_keep_apart(g) ? 1 : g->n_layer;
    int rc = reserve(b->m, &b->room->kv, &b->room->kv_bytes, pages * one * layers, err);
    if (rc == 0)
        rc = reserve(b->m, &b->room->recurrent, &b->room->recurrent_bytes, b->n * (size_t)g->n_state * sizeof(float), err);
    struct kv_view *view = arena_push(&b->arena, b->n, sizeof *view);
    uint8_t **ptr = arena_push(&b->arena, pages, sizeof *ptr);
    size_t *k_at = arena_push(&b->arena, g->n_layer, sizeof *k_at), *v_at = arena_push(&b->arena, g->n_layer, sizeof *v_at);
    if (rc == 0 && (!view || !ptr || !k_at || !v_at)) rc = err_set(err, ERR_NOMEM, "out of memory");
    for (size_t p = 0; rc == 0 && p < pages; p++) ptr[p] = b->room->kv + p * one * layers;
    for (size_t l = 0; rc == 0 && l < g->n_layer; l++) {
        k_at[l] = layers > 1 ? l * one : 0;
        v_at[l] = k_at[l] + (g->kv[l].v_in_k ? 0 : k_bytes);
    }
    for (size_t i = 0; rc == 0 && i < b->n; i++) {
        view[i] = (struct kv_view){ .page = { ptr + at, ptr + at }, .k_at = k_at, .v_at = v_at, .k_type = DT_F32,
                                    .v_type = DT_F32, .state = (float *)(void *)b->room->recurrent + i * (size_t)g->n_state,
                                    .end = b->m->h.bidirectional ? (int64_t)b->used[i] : 0 };
        at += (b->used[i] + KV_PAGE - 1) / KV_PAGE;
    }
    b->v.kv = view;
    return rc;
}

/* Tokens, positions and wanted rows. */
static int fill(struct batch *b, struct err *err)
{
    size_t T = b->part ? b->T : 0, t = 0;
    const size_t from = b->part ? b->part->at : 0;
    for (size_t i = 0; i < b->n && !b->part; i++) T += b->used[i];
    int32_t *token = arena_push(&b->arena, T, sizeof *token);
    int64_t *pos = arena_push(&b->arena, T, sizeof *pos);
    uint32_t *seq = arena_push(&b->arena, T, sizeof *seq), *out_row = arena_push(&b->arena, T, sizeof *out_row);
    uint8_t *segment = arena_push(&b->arena, T, 1);
    float **out = arena_push(&b->arena, T, sizeof *out);
    size_t n_out = b->k->pool == POOL_NONE || b->k->pool == POOL_MEAN ? T : b->n;
    b->rows = arena_push(&b->arena, n_out, b->m->h.n_embd * sizeof *b->rows);
    const struct adapt_set **adapt = arena_push(&b->arena, b->n, sizeof *adapt);
    if (!adapt || !token || !pos || !seq || !out_row || !segment || !out || !b->rows)
        return err_set(err, ERR_NOMEM, "out of memory for %zu tokens", T);
    b->v = (struct params){ .T = (uint32_t)T, .token = token, .pos = pos, .seq = seq, .segment = segment, .out_row = out_row,
                            .logits = out, .adapt = adapt, .n_adapt = (uint32_t)b->n };
    for (size_t i = 0; i < b->n; i++) adapt[i] = b->text[i].adapt;
    for (size_t i = 0; i < b->n; i++) {
        const struct hearth_embed_item *it = b->text[i].item;
        for (size_t k = from; k < (b->part ? from + b->T : b->used[i]); k++, t++) {
            token[t] = token_at(b->m, it, k, b->used[i]);
            pos[t] = (int64_t)k;
            seq[t] = (uint32_t)i;
            segment[t] = it->second && k >= it->second && b->m->h.n_segment > 1;
            if (!wanted(b->k->pool, k, b->used[i])) continue;
            out[b->v.n_out] = b->rows + b->v.n_out * (size_t)b->m->h.n_embd;
            out_row[b->v.n_out++] = (uint32_t)t;
        }
    }
    return 0;
}

/* The mean of the rows of each text takes the place of the text's row. */
static int pool_mean(struct batch *b, struct err *err)
{
    size_t D = b->m->h.n_embd, at = 0;
    double *sum = arena_push(&b->arena, D, sizeof *sum);
    if (!sum) return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < b->n; i++) {
        memset(sum, 0, D * sizeof *sum);
        for (size_t k = 0; k < b->used[i]; k++, at++)
            for (size_t d = 0; d < D; d++) sum[d] += (double)b->rows[at * D + d];
        for (size_t d = 0; d < D; d++) b->rows[i * D + d] = (float)(sum[d] / (double)b->used[i]);
    }
    return 0;
}

/* Sends the pooled states through the head; b->rows becomes [n][width]. */
static int run_head(struct batch *b, struct err *err)
{
    struct hearth_model *m = b->m;
    float *y = arena_push(&b->arena, b->n, b->k->width * sizeof *y), **out = arena_push(&b->arena, b->n, sizeof *out);
    const float **in = arena_push(&b->arena, b->n, sizeof *in);
    if (!y || !out || !in) return err_set(err, ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < b->n; i++) {
        in[i] = b->rows + i * m->h.n_embd;
        out[i] = y + i * b->k->width;
    }
    struct params v = { .T = (uint32_t)b->n, .n_out = (uint32_t)b->n, .input = in, .logits = out };
    struct plan *p;
    int rc = engine_plan(m, &m->variant[V_HEAD], v.T, false, &p, err);
    if (rc < 0) return rc;
    m->ops->run(m->device, p, &v);
    b->rows = y;
    return 0;
}

static void give(const struct embed_kind *k, const struct hearth_embed_options *o, const float *x, float *out)
{
    bool rank = k->pooling == POOL_RANK, cut = !rank && o->n_dims && o->n_dims < k->width;
    size_t n = cut ? o->n_dims : k->width;
    double sum = 0;
    for (size_t d = 0; d < n; d++) sum += (double)x[d] * (double)x[d];
    double f = o->normalise && !rank && sum > 0 ? 1 / sqrt(sum) : 1;
    for (size_t d = 0; d < n; d++) out[d] = f == 1 ? x[d] : (float)((double)x[d] * f);
}

/* The buffers of a long text are as large as the caches of a long context. */
static int check_memory(const struct hearth_model *m, const struct plan *p, uint32_t T, struct err *err)
{
    uint64_t free = 0, total = 0, need = p->arena_bytes / p->max_T * T;
    m->ops->memory(m->device, &free, &total);
    if (T <= MAX_BATCH || !free || need < free) return 0;
    return err_set(err, ERR_LIMIT, "%s: a text of %u tokens needs %.2f GB of memory, but only %.2f GB are free",
                   gguf_path(m->gguf), T, (double)need / 1e9, (double)free / 1e9);
}

static int states_graph(struct hearth_model *m, struct variant **out, struct err *err)
{
    struct variant *v = *out = &m->variant[m->h.bidirectional ? V_TEXT : V_STATES];
    const int64_t before = mem_thread_bytes();
    int rc = v->graph ? 0 : model_graph(&v->graph, m->arch, &m->h, m->gguf, GRAPH_STATES, err);
    engine_heap(m, before);
    return rc;
}

static int run_batch(struct batch *b, struct err *err)
{
    const struct embed_kind *k = b->k;
    struct hearth_model *m = b->m;
    struct plan *p;
    bool adapted = false;
    for (size_t i = 0; i < b->n; i++) adapted |= b->text[i].adapt->n > 0;
    int rc = states_graph(m, &b->states, err);
    if (rc == 0) rc = fill(b, err);
    if (rc == 0) rc = open_views(b, err);
    if (rc == 0) rc = engine_plan(m, b->states, b->v.T, adapted, &p, err);
    if (rc == 0) rc = check_memory(m, p, b->v.T, err);
    if (rc < 0) return rc;
    m->ops->run(m->device, p, &b->v);
    if (k->pool == POOL_MEAN) rc = pool_mean(b, err);
    if (rc == 0 && k->head) rc = run_head(b, err);
    for (size_t i = 0, at = 0; rc == 0 && i < b->n; i++) {
        const struct embed_text *t = &b->text[i];
        size_t width = hearth_embed_width(m, t->o);
        for (size_t row = 0; row < (k->pooling == POOL_NONE ? b->used[i] : 1); row++, at++)
            give(k, t->o, b->rows + at * k->width, t->item->out + row * width);
    }
    return rc;
}

int embed_run(struct hearth_model *m, const struct embed_kind *k, struct embed_room *room, const struct embed_text *text,
              size_t n, struct err *err)
{
    struct batch b = { .m = m, .k = k, .room = room, .text = text, .n = n };
    for (size_t i = 0; i < n; i++) b.used[i] = embed_used(k, text[i].item);
    int rc = run_batch(&b, err);
    arena_release(&b.arena);
    return rc;
}

/* ---- a text in parts ---- */

/* What the rows of a part come to. */
static void take_rows(struct batch *b)
{
    const size_t D = b->m->h.n_embd;
    const struct embed_text *t = b->text;
    const size_t width = hearth_embed_width(b->m, t->o);
    for (uint32_t i = 0; i < b->v.n_out; i++) {
        const float *row = b->rows + i * D;
        if (b->k->pool == POOL_MEAN)
            for (size_t d = 0; d < D; d++) b->part->sum[d] += (double)row[d];
        else if (b->k->pooling == POOL_NONE) give(b->k, t->o, row, t->item->out + (b->part->at + i) * width);
        else memcpy(b->part->row, row, D * sizeof *row);
    }
}

/* The vector of a text that is whole. */
static int finish_parts(struct batch *b, struct err *err)
{
    const size_t D = b->m->h.n_embd;
    int rc = 0;
    if (b->k->pooling == POOL_NONE) return 0;
    for (size_t d = 0; b->k->pool == POOL_MEAN && d < D; d++) b->part->row[d] = (float)(b->part->sum[d] / (double)b->used[0]);
    b->rows = b->part->row;
    if (b->k->head) rc = run_head(b, err);
    if (rc == 0) give(b->k, b->text->o, b->rows, b->text->item->out);
    return rc;
}

static int run_part(struct batch *b, struct err *err)
{
    struct hearth_model *m = b->m;
    struct embed_part *p = b->part;
    struct plan *plan;
    if (!p->sum) p->sum = mem_new_array(double, m->h.n_embd);
    if (!p->row) p->row = mem_new_array(float, m->h.n_embd);
    if (!p->sum || !p->row) return err_set(err, ERR_NOMEM, "out of memory for a text of %zu tokens", b->used[0]);
    int rc = states_graph(m, &b->states, err);
    if (rc == 0) rc = fill(b, err);
    if (rc == 0) rc = open_views(b, err);
    if (rc == 0) rc = engine_plan(m, b->states, b->v.T, b->text->adapt->n > 0, &plan, err);
    if (rc < 0) return rc;
    m->ops->run(m->device, plan, &b->v);
    take_rows(b);
    p->at += b->T;
    return p->at == b->used[0] ? finish_parts(b, err) : 0;
}

int embed_run_part(struct hearth_model *m, const struct embed_kind *k, struct embed_room *room, const struct embed_text *text,
                   struct embed_part *part, size_t limit, struct err *err)
{
    struct batch b = { .m = m, .k = k, .room = room, .text = text, .n = 1, .part = part };
    b.used[0] = embed_used(k, text->item);
    b.T = b.used[0] - part->at < limit ? b.used[0] - part->at : limit;
    int rc = run_part(&b, err);
    arena_release(&b.arena);
    return rc;
}

void embed_part_release(struct embed_part *part)
{
    mem_free(part->sum);
    mem_free(part->row);
    *part = (struct embed_part){ 0 };
}

void embed_room_release(struct hearth_model *m, struct embed_room *room)
{
    m->ops->release(m->device, room->kv, room->kv_bytes);
    m->ops->release(m->device, room->recurrent, room->recurrent_bytes);
    *room = (struct embed_room){ 0 };
}

/* ---- all of them ---- */

static int run_all(struct hearth_model *m, const struct embed_kind *k, const struct hearth_embed_item *items, size_t n_items,
                   const struct hearth_embed_options *o, struct err *err)
{
    struct embed_text text[EMBED_TOKENS];
    struct embed_room room = { 0 };
    size_t done = 0;
    int rc = 0;
    while (rc == 0 && done < n_items) {
        size_t T = 0, n = 0;
        while (done + n < n_items && n < EMBED_TOKENS) {
            size_t used = embed_used(k, &items[done + n]);
            if (n && T + used > EMBED_TOKENS) break;
            T += used;
            text[n] = (struct embed_text){ &items[done + n], o, &m->adaption.set };
            n++;
        }
        rc = embed_run(m, k, &room, text, n, err);
        done += n;
        if (rc == 0 && o->progress && done < n_items && !o->progress(o->progress_arg, done, n_items))
            rc = err_set(err, ERR_CANCELLED, "stopped after %zu of %zu texts", done, n_items);
    }
    embed_room_release(m, &room);
    return rc;
}

int hearth_embed(struct hearth_model *m, const struct hearth_embed_item *items, size_t n_items,
                 const struct hearth_embed_options *o, struct hearth_error *e)
{
    struct hearth_embed_options usual;
    struct embed_kind k;
    hearth_embed_defaults(&usual);
    if (!o) o = &usual;
    lock_take(&m->lock);
    int rc = embed_kind_of(m, o, &k, err_of(e));
    for (size_t i = 0; rc == 0 && i < n_items; i++)
        rc = embed_check(m, &k, &(struct embed_text){ .item = &items[i], .o = o }, i + 1, err_of(e));
    if (rc == 0) rc = run_all(m, &k, items, n_items, o, err_of(e));
    lock_give(&m->lock);
    return rc;
}
