/* needs.c - what a model would need, from its header: by the code that allocates and the work that benchmarks count. */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/os.h"
#include "engine/engine.h"

/* What the plans compiled so far share. */
static uint64_t buffers_of(const struct hearth_model *m)
{
    uint64_t buffers = 0, allocated = 0;
    m->ops->used(m->device, &buffers, &allocated);
    return buffers;
}

static const struct graph *text_graph(const struct hearth_model *m) { return m->variant[V_TEXT].graph; }

/* Every tensor once, however many operations use it; a table that is no matrix as well is read by rows. */
static int count_weights(const struct hearth_model *m, struct hearth_needs *out, struct err *err)
{
    enum { USED = 1, MULTIPLIED = 2 };
    const struct graph *g = text_graph(m);
    const size_t n = gguf_n_tensors(m->gguf);
    uint8_t *how = mem_new_array(uint8_t, n + 2);         /* by the weight's id; the last: an output that is the embedding */
    if (!how) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(m->gguf));
    for (uint32_t k = 0; k < g->n_op; k++) {
        const struct op *o = &g->op[k];
        const struct weight *both[2] = { o->w, o->b };
        for (int i = 0; i < 2; i++)
            if (both[i]) how[both[i]->id] |= o->kind == OP_EMBED ? USED : USED | MULTIPLIED;
        if (o->route && o->route->bias) how[o->route->bias->id] |= USED | MULTIPLIED;
    }
    for (size_t i = 0; i < n; i++) {
        const struct gguf_tensor *t = gguf_tensor_at(m->gguf, i);
        bool tied = how[n + 1] && !strcmp(t->name, "token_embd.weight");
        out->n_parameters += t->ne[0] * t->ne[1] * t->ne[2] * t->ne[3];
        if (how[i + 1] & USED) out->weights += t->bytes;
        if (how[i + 1] == USED && !tied) out->embedding += t->bytes;
    }
    mem_free(how);
    return 0;
}

static struct hearth_work work_of(const struct hearth_model *m, struct engine_step s)
{
    struct engine_work w;
    engine_work(m, &s, &w);
    return (struct hearth_work){ w.bytes, w.int_macs, w.wide_macs + w.float_macs, w.few_macs };
}

static void count_work(const struct hearth_model *m, const struct hearth_needs_options *o, struct hearth_needs *out)
{
    uint32_t n = o->n_prompt ? o->n_prompt : MAX_BATCH, S = o->n_sessions ? o->n_sessions : 1;
    for (uint32_t at = 0; at < n; at += MAX_BATCH) {
        uint32_t T = n - at < MAX_BATCH ? n - at : MAX_BATCH;
        struct hearth_work w = work_of(m, (struct engine_step){ T, 1, at + T == n, at, o->kv_type, o->kv_type_v });
        out->prefill.bytes += w.bytes;
        out->prefill.int_macs += w.int_macs;
        out->prefill.float_macs += w.float_macs;
        out->prefill.few_macs += w.few_macs;
    }
    out->decode = work_of(m, (struct engine_step){ 1, S, S, n, o->kv_type, o->kv_type_v });
    struct hearth_work one = work_of(m, (struct engine_step){ 1, 1, 1, 0, o->kv_type, o->kv_type_v });
    out->n_active = (uint64_t)(one.int_macs + one.float_macs);
}

/* An encoder evaluates a text at once; 512 tokens are the usual length of a passage. */
static int count_encoder(struct hearth_model *m, const struct hearth_needs_options *o, struct hearth_needs *out, struct err *err)
{
    struct plan *p;
    uint32_t most = engine_embed_limit(m), n = o->n_ctx ? o->n_ctx : MAX_BATCH;
    if (o->n_ctx > most)
        return err_set(err, ERR_ARG, "a text of %u tokens is too long: this model embeds at most %u", o->n_ctx, most);
    out->n_ctx = n < most ? n : most;
    int rc = engine_plan(m, &m->variant[V_TEXT], out->n_ctx, false, &p, err);
    if (rc == 0) out->compute = buffers_of(m) + (uint64_t)out->n_ctx * m->h.n_embd * sizeof(float);
    return rc;
}

static int count_sessions(struct hearth_model *m, const struct hearth_needs_options *o, struct hearth_needs *out, struct err *err)
{
    struct hearth_session_options so = { .n_ctx = o->n_ctx, .kv_type = o->kv_type, .kv_type_v = o->kv_type_v };
    uint32_t S = o->n_sessions ? o->n_sessions : 1;
    struct seq_options q;
    struct plan *p;
    int rc = engine_seq_options(m, &so, &q, err);
    if (rc < 0) return rc;
    struct variant *v = &m->variant[q.key.variant];
    enum dtype type[2] = { (enum dtype)q.key.type[0], (enum dtype)q.key.type[1] };
    const struct kv_layout *l = kv_layout_of(&m->pool, type);
    if (!l) return err_set(err, ERR_NOMEM, "%s: out of memory", gguf_path(m->gguf));
    out->n_ctx = q.n_max;
    out->kv = S * kv_bytes(&m->pool, l, q.n_max, MAX_BATCH);
    out->kv_token = l->bytes[KV_FULL] / KV_PAGE;
    rc = engine_plan(m, v, S < MAX_BATCH ? S : MAX_BATCH, false, &p, err);
    if (rc == 0) rc = engine_plan(m, v, q.n_max < MAX_BATCH ? q.n_max : MAX_BATCH, false, &p, err);
    if (rc < 0) return rc;
    out->compute = buffers_of(m) + S * 4 * ((uint64_t)m->h.n_vocab + q.n_max);     /* logits, ids */
    return 0;
}

int hearth_model_needs(const char *path, const struct hearth_needs_options *o, struct hearth_needs *out, struct hearth_error *e)
{
    static const struct hearth_needs_options none;
    struct err *err = err_of(e);
    struct hearth_model *m;
    *out = (struct hearth_needs){ 0 };
    if (!o) o = &none;
    if (o->n_sessions > MAX_BATCH) return err_set(err, ERR_ARG, "%u texts at once are too many; at most %d", o->n_sessions,
                                                  MAX_BATCH);
    if (o->n_prompt > 1u << 24) return err_set(err, ERR_ARG, "a prompt of %u tokens is out of reach", o->n_prompt);
    struct hearth_model_options mo = { .threads = o->threads, .cpu = o->cpu };
    int rc = engine_model_open(&m, path, &mo, &(struct opening){ .no_ahead = true }, err);
    if (rc < 0) return rc;
    unsigned threads = 0;
    m->ops->describe(m->device, &threads);
    out->encoder = m->h.bidirectional;
    out->file_bytes = gguf_file_bytes(m->gguf);
    out->n_ctx_train = m->h.n_ctx_train;
    out->n_layer = m->h.n_layer;
    out->n_expert = m->h.n_expert;
    out->n_expert_used = m->h.n_expert_used;
    out->threads = threads;
    fmt_into(out->architecture, sizeof out->architecture, "%s", m->arch->name);
    fmt_into(out->name, sizeof out->name, "%s", m->name ? m->name : "");
    rc = count_weights(m, out, err);
    if (rc == 0) rc = out->encoder ? count_encoder(m, o, out, err) : count_sessions(m, o, out, err);
    if (rc == 0) count_work(m, o, out);
    out->other = os_memory_now();
    hearth_model_close(m);
    return rc;
}
