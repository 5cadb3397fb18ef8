/* sample.c - samplers as the library offers them: one sampler, fed from a session. */
#include "base/mem.h"
#include "engine/engine.h"

static void recommend_f32(const struct gguf *g, const char *key, float *v)
{
    float x;
    if (gguf_get_f32(g, key, &x)) *v = x;
}

void hearth_sampler_defaults(const struct hearth_model *m, struct hearth_sampler_options *out)
{
    struct sampler_options d = sampler_defaults();
    *out = (struct hearth_sampler_options){
        .temperature = d.temperature,
        .top_k = d.top_k,
        .top_p = d.top_p,
        .min_p = d.min_p,
        .typical_p = d.typical_p,
        .repeat_penalty = d.repeat_penalty,
        .frequency_penalty = d.frequency_penalty,
        .presence_penalty = d.presence_penalty,
        .repeat_last_n = d.repeat_last_n,
        .min_keep = d.min_keep,
        .seed = d.seed,
    };
    if (!m) return;
    int64_t v;
    recommend_f32(m->gguf, "general.sampling.temp", &out->temperature);
    recommend_f32(m->gguf, "general.sampling.top_p", &out->top_p);
    recommend_f32(m->gguf, "general.sampling.min_p", &out->min_p);
    recommend_f32(m->gguf, "general.sampling.penalty_repeat", &out->repeat_penalty);
    if (gguf_get_i64(m->gguf, "general.sampling.top_k", &v) && v >= 0 && v < 1 << 24) out->top_k = (int32_t)v;
    if (gguf_get_i64(m->gguf, "general.sampling.penalty_last_n", &v) && v >= -1 && v < 1 << 24)
        out->repeat_last_n = (int32_t)v;
}

/* Ids that must never be picked: the file says so. */
static int suppress(struct sampler *s, const struct hearth_model *m, int32_t n, struct err *err)
{
    const struct gguf_kv *kv = gguf_find(m->gguf, "tokenizer.ggml.suppress_tokens");
    int rc = 0;
    int64_t id;
    for (uint64_t i = 0; kv && kv->type == GGUF_ARRAY && rc == 0 && i < kv->count && gguf_item_i64(kv, i, &id); i++)
        if (id >= 0 && id < n) rc = sampler_bias(s, (int32_t)id, -__builtin_inff(), err);
    return rc;
}

int hearth_sampler_open(struct hearth_sampler **out, const struct hearth_model *m, const struct hearth_sampler_options *o,
                        struct hearth_error *e)
{
    struct err *err = err_of(e);
    struct hearth_sampler_options defaults;
    hearth_sampler_defaults(m, &defaults);
    if (!o) o = &defaults;
    struct sampler_options so = {
        .temperature = o->temperature,
        .top_k = o->top_k,
        .top_p = o->top_p,
        .min_p = o->min_p,
        .typical_p = o->typical_p,
        .repeat_penalty = o->repeat_penalty,
        .frequency_penalty = o->frequency_penalty,
        .presence_penalty = o->presence_penalty,
        .repeat_last_n = o->repeat_last_n,
        .min_keep = o->min_keep,
        .seed = o->seed,
    };
    *out = mem_new(1, sizeof **out);
    if (!*out) return err_set(err, ERR_NOMEM, "out of memory opening a sampler");
    int32_t n = tokenizer_n_vocab(m->tokenizer);
    if (n > (int32_t)m->h.n_vocab) n = (int32_t)m->h.n_vocab;
    int rc = sampler_open(&(*out)->s, &so, n, err);
    if (rc == 0) rc = suppress((*out)->s, m, n, err);
    (*out)->o = *o;
    if (rc < 0) {
        hearth_sampler_close(*out);
        *out = NULL;
    }
    return rc;
}

void hearth_sampler_close(struct hearth_sampler *s)
{
    if (!s) return;
    sampler_close(s->s);
    mem_free(s);
}

int hearth_sampler_bias(struct hearth_sampler *s, int32_t id, float bias, struct hearth_error *e)
{
    return sampler_bias(s->s, id, bias, err_of(e));
}

static bool has_penalties(const struct hearth_sampler_options *o)
{
    return o->repeat_last_n != 0 && (o->repeat_penalty != 1 || o->frequency_penalty != 0 || o->presence_penalty != 0);
}

int32_t hearth_sampler_pick(struct hearth_sampler *s, const struct hearth_session *session)
{
    const float *logits = hearth_session_logits(session);
    if (!logits) return -1;
    size_t n = session->q.n;
    if (has_penalties(&s->o)) {
        size_t from = s->o.repeat_last_n > 0 && n > (size_t)s->o.repeat_last_n ? n - (size_t)s->o.repeat_last_n : 0;
        sampler_reset(s->s);
        for (size_t i = from; i < n; i++) sampler_accept(s->s, session->q.ids[i]);
    }
    return sampler_pick(s->s, logits, n);
}
