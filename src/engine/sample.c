/* sample.c - samplers as the library offers them: one sampler, fed from a session. */
#include "base/mem.h"
#include "engine/engine.h"
#include "text/logprob.h"

/* The two structs name the same things; only the second is public. */
#define SAMPLER_FIELDS(X) \
    X(temperature) X(dynatemp_range) X(dynatemp_exponent) X(smoothing_factor) X(smoothing_curve) X(top_k) X(top_p) X(min_p) \
    X(typical_p) X(top_n_sigma) X(top_a) X(tfs_z) X(xtc_probability) X(xtc_threshold) X(repeat_penalty) X(frequency_penalty) \
    X(presence_penalty) X(repeat_last_n) X(dry_multiplier) X(dry_base) X(dry_allowed_length) X(dry_last_n) X(dry_breakers) \
    X(n_dry_breakers) X(mirostat) X(mirostat_tau) X(mirostat_eta) X(adaptive_target) X(adaptive_decay) X(min_keep) X(seed) \
    X(order) X(ignore_end)
#define COPY_FIELD(name) to->name = from->name;

static void give_options(struct hearth_sampler_options *to, const struct sampler_options *from) { SAMPLER_FIELDS(COPY_FIELD) }
static void take_options(struct sampler_options *to, const struct hearth_sampler_options *from) { SAMPLER_FIELDS(COPY_FIELD) }

static void recommend_f32(const struct gguf *g, const char *key, float *v)
{
    float x;
    if (gguf_get_f32(g, key, &x)) *v = x;
}

static void recommend_i32(const struct gguf *g, const char *key, int32_t least, int32_t *v)
{
    int64_t x;
    if (gguf_get_i64(g, key, &x) && x >= least && x < 1 << 24) *v = (int32_t)x;
}

void hearth_sampler_defaults(const struct hearth_model *m, struct hearth_sampler_options *out)
{
    struct sampler_options d = sampler_defaults();
    give_options(out, &d);
    if (!m) return;
    recommend_f32(m->gguf, "general.sampling.temp", &out->temperature);
    recommend_f32(m->gguf, "general.sampling.top_p", &out->top_p);
    recommend_f32(m->gguf, "general.sampling.min_p", &out->min_p);
    recommend_f32(m->gguf, "general.sampling.xtc_probability", &out->xtc_probability);
    recommend_f32(m->gguf, "general.sampling.xtc_threshold", &out->xtc_threshold);
    recommend_f32(m->gguf, "general.sampling.penalty_repeat", &out->repeat_penalty);
    recommend_f32(m->gguf, "general.sampling.mirostat_tau", &out->mirostat_tau);
    recommend_f32(m->gguf, "general.sampling.mirostat_eta", &out->mirostat_eta);
    recommend_i32(m->gguf, "general.sampling.top_k", 0, &out->top_k);
    recommend_i32(m->gguf, "general.sampling.penalty_last_n", -1, &out->repeat_last_n);
    recommend_i32(m->gguf, "general.sampling.mirostat", 0, &out->mirostat);
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
    struct sampler_options so;
    take_options(&so, o);
    *out = mem_new(1, sizeof **out);
    if (!*out) return err_set(err, ERR_NOMEM, "out of memory opening a sampler");
    int32_t n = tokenizer_n_vocab(m->tokenizer);
    if (n > (int32_t)m->h.n_vocab) n = (int32_t)m->h.n_vocab;
    int rc = sampler_open(&(*out)->s, &so, &(struct sampler_vocab){ n, m->tokenizer }, err);
    if (rc == 0) rc = suppress((*out)->s, m, n, err);
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
    held_free(s->held);
    mem_free(s);
}

int hearth_sampler_bias(struct hearth_sampler *s, int32_t id, float bias, struct hearth_error *e)
{
    return sampler_bias(s->s, id, bias, err_of(e));
}

int hearth_sampler_forbid(struct hearth_sampler *s, size_t position, int32_t id, struct hearth_error *e)
{
    return sampler_forbid(s->s, position, id, err_of(e));
}

void hearth_sampler_no_end_before(struct hearth_sampler *s, size_t position) { sampler_no_end_before(s->s, position); }

/* The row of logits of the place `back` tokens before the end, or NULL. */
static const float *row_at(const struct hearth_session *s, size_t back)
{
    size_t n;
    const float *rows = hearth_session_logits_rows(s, &n);
    return back < n ? rows + (n - 1 - back) * s->m->h.n_vocab : NULL;
}

int32_t hearth_sampler_pick_at(struct hearth_sampler *s, const struct hearth_session *session, size_t back)
{
    struct sampler_input in = { .logits = row_at(session, back) };
    in.ids = hearth_session_ids(session, &in.n);
    in.n -= in.logits ? back : 0;
    if (in.logits && s->held) in.logits = held_logits(s->held, in.ids, in.n, in.logits);
    if (!in.logits) return -1;
    int32_t id = sampler_pick(s->s, &in);
    return s->held && !held_allows(s->held, id) ? -1 : id;
}

int32_t hearth_sampler_pick(struct hearth_sampler *s, const struct hearth_session *session)
{
    return hearth_sampler_pick_at(s, session, 0);
}

_Static_assert(sizeof(struct hearth_choice) == sizeof(struct sampler_choice), "one struct under two names");
static struct sampler_choice *choices_of(struct hearth_choice *c) { return (struct sampler_choice *)(void *)c; }

float hearth_session_logprobs(const struct hearth_session *session, size_t back, int32_t id, struct hearth_choice *out, size_t *n)
{
    const float *logits = row_at(session, back);
    int32_t n_vocab = tokenizer_n_vocab(session->m->tokenizer);
    size_t none = 0;
    if (n_vocab > (int32_t)session->m->h.n_vocab) n_vocab = (int32_t)session->m->h.n_vocab;
    if (!logits && n) *n = 0;
    return logits ? logprob(logits, n_vocab, id, choices_of(out), n ? n : &none) : -__builtin_inff();
}

float hearth_sampler_logprobs(struct hearth_sampler *s, int32_t id, struct hearth_choice *out, size_t *n)
{
    if (n) *n = sampler_choices(s->s, choices_of(out), *n);
    return sampler_logprob(s->s, id);
}
